--
-- Backtests go through their states in the allowed order only, by function or by hand
--
BEGIN;
SET LOCAL search_path = fx, public;
INSERT INTO users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x');
INSERT INTO strategies (id, user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', 's', 'manual');
INSERT INTO backtests (id, strategy_id, user_id, name, status)
SELECT ('00000000-0000-4000-8000-0000000000c' || n)::uuid, '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', coalesce(status, 'none'), status
  FROM (VALUES (1, 'pending'), (2, 'running'), (3, 'completed'), (4, 'failed'), (5, 'cancelled'), (6, NULL)) AS v (n, status);
CREATE FUNCTION pg_temp.verdict(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RAISE SQLSTATE 'TEST0';
EXCEPTION WHEN SQLSTATE 'TEST0' THEN RETURN 'yes';
          WHEN OTHERS THEN RETURN SQLSTATE;
END
$$;
-- every change, by hand
SELECT b.name AS "from", string_agg(s || ' ' || pg_temp.verdict(format('UPDATE backtests SET status = %L WHERE id = %L', s, b.id)), ', ' ORDER BY n) AS "to"
  FROM backtests b, unnest('{pending,running,completed,failed,cancelled}'::text[]) WITH ORDINALITY AS t (s, n) GROUP BY b.id, b.name ORDER BY b.id;
-- and by function
SELECT b.name AS "from", string_agg(f || ' ' || pg_temp.verdict(format('SELECT ' || f || '(%L%s)', b.id, a)), ', ' ORDER BY n) AS allowed
  FROM backtests b, (VALUES (1, 'start_backtest', ''), (2, 'report_progress', ', 50'), (3, 'complete_backtest', ', ''[]'''), (4, 'fail_backtest', ', ''boom'''), (5, 'cancel_backtest', '')) AS t (n, f, a)
 GROUP BY b.id, b.name ORDER BY b.id;
-- what they write
SELECT start_backtest('00000000-0000-4000-8000-0000000000c1'), report_progress('00000000-0000-4000-8000-0000000000c1', 40), report_progress('00000000-0000-4000-8000-0000000000c1', 30);
SELECT status, progress, started_at IS NOT NULL AS started, completed_at IS NOT NULL AS ended FROM backtests WHERE id = '00000000-0000-4000-8000-0000000000c1';
SELECT fail_backtest('00000000-0000-4000-8000-0000000000c1', 'no data'), cancel_backtest('00000000-0000-4000-8000-0000000000c2');
SELECT name, status, progress, error_message, completed_at >= coalesce(started_at, created_at) AS ended FROM backtests WHERE name IN ('pending', 'running') ORDER BY name;
-- a completed run may be annotated
UPDATE backtests SET results = results || '{"note": "x"}', status = status WHERE name = 'completed';
\set VERBOSITY terse
SAVEPOINT s; SELECT start_backtest('00000000-0000-4000-8000-0000000000cf');
ROLLBACK TO s; SELECT start_backtest('00000000-0000-4000-8000-0000000000c3');
ROLLBACK TO s; SELECT report_progress('00000000-0000-4000-8000-0000000000cf', 1);
ROLLBACK TO s; SELECT report_progress('00000000-0000-4000-8000-0000000000c3', 1);
ROLLBACK TO s; SELECT report_progress('00000000-0000-4000-8000-0000000000c6', 101);
ROLLBACK TO s; SELECT report_progress('00000000-0000-4000-8000-0000000000c6', NULL);
ROLLBACK TO s; SELECT fail_backtest('00000000-0000-4000-8000-0000000000c6', NULL);
ROLLBACK TO s; SELECT cancel_backtest(NULL);
ROLLBACK TO s; UPDATE backtests SET status = 'running' WHERE name = 'completed';
ROLLBACK TO s; UPDATE backtests SET status = NULL WHERE name = 'completed';
ROLLBACK TO s;
-- a user runs his own backtests and does not see those of others
INSERT INTO users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a2', 'b@example.com', 'b', 'x');
SET LOCAL ROLE fx_user;
SET LOCAL app.current_user_id = '00000000-0000-4000-8000-0000000000a1';
SELECT pg_temp.verdict($$SELECT start_backtest('00000000-0000-4000-8000-0000000000c6'), report_progress('00000000-0000-4000-8000-0000000000c6', 7), complete_backtest('00000000-0000-4000-8000-0000000000c6', '[]')$$) AS own;
SET LOCAL app.current_user_id = '00000000-0000-4000-8000-0000000000a2';
SELECT pg_temp.verdict($$SELECT start_backtest('00000000-0000-4000-8000-0000000000c6')$$) AS start_other,
       pg_temp.verdict($$SELECT report_progress('00000000-0000-4000-8000-0000000000c6', 7)$$) AS report_other,
       pg_temp.verdict($$SELECT strategy_metrics('00000000-0000-4000-8000-0000000000b1')$$) AS metrics_of_other;
RESET ROLE;
-- compressed with lz4 where the server has it
SELECT attname, attcompression = CASE WHEN 'lz4' = ANY ((SELECT enumvals FROM pg_settings WHERE name = 'default_toast_compression')::text[]) THEN 'l' ELSE '' END AS as_wished
  FROM pg_attribute WHERE attrelid = 'fx.backtests'::regclass AND attname IN ('trades', 'equity_curve') ORDER BY attname;
ROLLBACK;
