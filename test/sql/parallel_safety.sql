-- What is labelled PARALLEL SAFE runs in a worker: make every query run there
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');

-- a parallel query cannot start subtransactions, which catching an error takes
SELECT p.oid::regprocedure
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
 WHERE p.pronamespace = 'fx'::regnamespace AND l.lanname = 'plpgsql' AND p.proparallel <> 'u' AND p.prosrc ~* '\mexception\s+when\M'
 ORDER BY 1;

SELECT day, fx.config_date(jsonb_build_object('startDate', day), 'startDate') AS read
  FROM (VALUES ('2024-02-29'), ('2024-12-31T23:00:00Z'), ('0001-01-01'), (NULL)) AS v (day);

-- each by itself: an error ends a query
\set VERBOSITY sqlstate
SELECT format('SELECT fx.config_date(%L, ''startDate'')', jsonb_build_object('startDate', day))
  FROM (VALUES ('2023-02-29'), ('2024-04-31'), ('2024-01-00'), ('2024-00-10'), ('2024-13-01'), ('0000-01-01'), ('2024-01-32'), (E'\u0662\u0660\u0662\u0664-01-01'), ('2024-1-1')) AS v (day)
\gexec
\set VERBOSITY default
SELECT fx.config_date('{"startDate": "2023-02-29"}', 'startDate');
