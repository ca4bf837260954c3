--
-- fx.maintain() does every step, records it, and stops at none that fails
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';
CREATE FUNCTION pg_temp.m(n integer) RETURNS timestamptz LANGUAGE sql AS
    $$SELECT date_trunc('month', now(), 'UTC') + n * interval '1 month'$$;
CREATE PROCEDURE pg_temp.run(statement text) LANGUAGE plpgsql AS $$BEGIN EXECUTE statement; END$$;
CREATE TEMPORARY VIEW runs AS
    SELECT id, step, outcome, regexp_replace(regexp_replace(detail, '\d{4}_\d\d', 'YYYY_MM', 'g'), '\d{4}-\d\d-\d\d', 'YYYY-MM-DD', 'g') AS detail,
           -- autovacuum may have been faster
           CASE step WHEN 'analyze' THEN NULL ELSE rows END AS rows, worker
      FROM fx.maintenance_runs;

-- nothing to do, nor to seal
TRUNCATE fx.audit_log;
CALL fx.maintain();
SELECT step, outcome, detail, rows, worker FROM runs ORDER BY id;
SELECT bool_and(finished_at >= started_at) AS durations FROM fx.maintenance_runs;
SELECT "table", months_ahead, last_run > now() - interval '1 hour' AS recent, last_outcome, last_error FROM fx.partition_health ORDER BY 1;
TRUNCATE fx.maintenance_runs;

-- all of it to do: a month is missing ahead, days are dirty, months have expired
SELECT fx.create_market_data_partitions(pg_temp.m(-6)::date, pg_temp.m(1)::date) > 0 AS made;
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
SELECT s, f, pg_temp.m(n) + d * interval '1 day' + interval '12 hours', 1.1, 1.2, 1.0, 1.15, d
  FROM unnest(ARRAY['EURUSD', 'USDJPY']) s, (VALUES ('1m', -6), ('1h', -4)) v (f, since), generate_series(since, -1) n, generate_series(1, 20) d;
INSERT INTO fx.retention_policies VALUES ('market_data', '1m', now() - (pg_temp.m(-3) + interval '3 days'));
CALL pg_temp.run(format('DROP TABLE fx.market_data_%s', to_char(pg_temp.m(3) AT TIME ZONE 'UTC', 'YYYY_MM')));
SELECT months_ahead, next_missing = pg_temp.m(3)::date AS next, rows_outside_policy FROM fx.partition_health WHERE "table" = 'market_data';
CALL fx.maintain();
SELECT step, outcome, detail, rows FROM runs ORDER BY id;
SELECT months_ahead, rows_outside_policy, last_outcome FROM fx.partition_health WHERE "table" = 'market_data';
SELECT count(*) FROM fx.market_data WHERE timeframe = '1m' AND timestamp < pg_temp.m(-3);
SELECT timeframe, count(*) FROM fx.candle_rollups GROUP BY 1 ORDER BY 1;
TRUNCATE fx.maintenance_runs;

-- a step that fails is recorded with its SQLSTATE, and the others run
CALL pg_temp.run(format('DROP TABLE fx.market_data_%s; CREATE TABLE fx.market_data_%1$s ()', to_char(pg_temp.m(3) AT TIME ZONE 'UTC', 'YYYY_MM')));
CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no roll-up today' USING ERRCODE = 'XX999'; END$$;
CREATE TRIGGER refuse BEFORE DELETE ON fx.candle_changes EXECUTE FUNCTION pg_temp.refuse();
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
VALUES ('EURUSD', '1m', pg_temp.m(-4) + interval '12 hours 1 minute', 1, 1, 1, 1);
CALL fx.maintain();
SELECT step, outcome, detail, rows FROM runs ORDER BY id;
SELECT last_outcome, last_error FROM fx.partition_health WHERE "table" = 'quotes';
-- and nothing was removed that is in no roll-up
SELECT count(*) FROM fx.market_data WHERE timeframe = '1m' AND timestamp < pg_temp.m(-3);
DROP TRIGGER refuse ON fx.candle_changes;
CALL pg_temp.run(format('DROP TABLE fx.market_data_%s', to_char(pg_temp.m(3) AT TIME ZONE 'UTC', 'YYYY_MM')));
CALL fx.maintain();
SELECT count(*) FROM fx.market_data WHERE timeframe = '1m' AND timestamp < pg_temp.m(-3);
SELECT last_outcome, last_error IS NOT NULL AS last_error FROM fx.partition_health WHERE "table" = 'quotes';
TRUNCATE fx.maintenance_runs;

-- a statement of retention that fails
CREATE FUNCTION pg_temp.old() RETURNS text LANGUAGE sql AS $$SELECT 'market_data_' || to_char(pg_temp.m(-8) AT TIME ZONE 'UTC', 'YYYY_MM')$$;
SELECT fx.create_market_data_partitions(pg_temp.m(-8)::date, pg_temp.m(-7)::date);
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) VALUES ('EURUSD', '1m', pg_temp.m(-8), 1, 1, 1, 1);
CALL pg_temp.run(format('CREATE VIEW public.in_the_way AS SELECT * FROM fx.%I', pg_temp.old()));
CALL fx.maintain();
SELECT step, outcome, detail, rows FROM runs WHERE step = 'retention' ORDER BY id;
DROP VIEW public.in_the_way;
TRUNCATE fx.maintenance_runs;

-- What the worker's detach leaves when it is interrupted: a mark alone is taken
-- away, a marked table that is detached is dropped, and attached again when it
-- holds what has not expired.
SELECT fx.mark_partition('market_data', pg_temp.old());
SELECT obj_description(('fx.' || pg_temp.old())::regclass) LIKE 'fxplatform: expired partition of market_data from % to %' AS marked;
SELECT regexp_replace(statement, '\d{4}_\d\d', 'YYYY_MM', 'g') FROM fx.detach_statements(false);
CREATE TABLE fx.stray PARTITION OF fx.market_data DEFAULT;
SELECT regexp_replace(statement, '\d{4}_\d\d', 'YYYY_MM', 'g') FROM fx.detach_statements(false);
DROP TABLE fx.stray;
UPDATE fx.retention_policies SET keep = '2 years';
SELECT count(*) FROM fx.detach_statements(false);
SELECT regexp_replace(statement, '\d{4}_\d\d', 'YYYY_MM', 'g') FROM fx.detach_statements(true);
CALL fx.maintain();
SELECT obj_description(('fx.' || pg_temp.old())::regclass) IS NULL AS no_mark;
SELECT step, outcome, detail, rows FROM runs WHERE step IN ('finalize', 'retention') ORDER BY id;
TRUNCATE fx.maintenance_runs;
UPDATE fx.retention_policies SET keep = now() - (pg_temp.m(-3) + interval '3 days');
SELECT fx.mark_partition('market_data', pg_temp.old());
CALL pg_temp.run(format('ALTER TABLE fx.market_data DETACH PARTITION fx.%I', pg_temp.old()));
SELECT regexp_replace(statement, '\d{4}_\d\d', 'YYYY_MM', 'g') FROM fx.detach_statements(false);
CALL pg_temp.run(format('UPDATE fx.%I SET timeframe = %L', pg_temp.old(), '1h'));
CALL fx.maintain();
SELECT step, outcome, regexp_replace(detail, '\d{4}_\d\d', 'YYYY_MM', 'g') AS detail, rows FROM runs WHERE step IN ('finalize', 'retention') ORDER BY id;
SELECT timeframe, tableoid::regclass::text = 'fx.' || pg_temp.old() AS back FROM fx.market_data WHERE timestamp = pg_temp.m(-8);
UPDATE fx.market_data SET timeframe = '1m' WHERE timestamp = pg_temp.m(-8);
SELECT fx.mark_partition('market_data', pg_temp.old());
CALL pg_temp.run(format('ALTER TABLE fx.market_data DETACH PARTITION fx.%I', pg_temp.old()));
TRUNCATE fx.maintenance_runs;
CALL fx.maintain();
SELECT to_regclass('fx.' || pg_temp.old()) IS NULL AS dropped;
SELECT step, outcome, detail, rows FROM runs WHERE step IN ('finalize', 'retention') ORDER BY id;
TRUNCATE fx.maintenance_runs;
\set VERBOSITY sqlstate
SELECT fx.drop_detached_partition('market_data', 'users', false);
SELECT fx.mark_partition('market_data', 'users');
SELECT fx.mark_partition('market_data', 'market_data_' || to_char(pg_temp.m(-1) AT TIME ZONE 'UTC', 'YYYY_MM'));
\set VERBOSITY default

-- Statistics of what changed, and of what autovacuum never looks at: the table
-- above the partitions
SELECT fx.create_market_data_partitions(pg_temp.m(-2)::date, pg_temp.m(-1)::date) = 0 AS there, 'fx.market_data_' || to_char(pg_temp.m(-2) AT TIME ZONE 'UTC', 'YYYY_MM') AS month \gset
ALTER TABLE :month SET (autovacuum_enabled = off, autovacuum_analyze_threshold = 100, autovacuum_analyze_scale_factor = 0);
CREATE TEMPORARY VIEW todo AS SELECT regexp_replace(relation::text, '\d{4}_\d\d', 'YYYY_MM') AS relation, partitioned, changed FROM fx.tables_to_analyze()
    WHERE relation IN ('fx.market_data'::regclass, :'month'::regclass);
CREATE FUNCTION pg_temp.add(since integer, until integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
    SELECT 'ANALYZED', '1m', pg_temp.m(-2) + n * interval '1 minute', 1, 1, 1, 1 FROM generate_series(since, until) n;
    SELECT pg_stat_force_next_flush()$$;
SELECT pg_stat_force_next_flush();
CALL fx.maintain();
ANALYZE fx.market_data;
SELECT reltuples AS before FROM pg_class WHERE oid = :'month'::regclass \gset
SELECT pg_temp.add(1, 100);
SELECT * FROM todo;
SELECT pg_temp.add(101, 101);
SELECT * FROM todo;
-- the table above is not looked at before an hour is over, unless a crash has lost the time
SELECT pg_stat_reset_single_table_counters('fx.market_data'::regclass);
SELECT * FROM todo;
CALL fx.maintain();
SELECT outcome, detail FROM runs WHERE step = 'analyze' ORDER BY id DESC LIMIT 1;
SELECT * FROM todo;
SELECT reltuples - :before AS more FROM pg_class WHERE oid = :'month'::regclass;
SELECT inherited, count(*) = 1 AS known FROM pg_stats WHERE schemaname = 'fx' AND tablename = 'market_data' AND attname = 'timestamp' GROUP BY 1;
SELECT p.reltuples - sum(greatest(c.reltuples, 0)) AS difference FROM pg_class p, pg_class c WHERE p.oid = 'fx.market_data'::regclass AND c.relispartition AND pg_partition_root(c.oid) = p.oid AND c.relkind = 'r' GROUP BY p.reltuples;
-- as many as its own settings say, of the rows that there are
ALTER TABLE :month RESET (autovacuum_analyze_threshold), SET (autovacuum_analyze_scale_factor = 2);
SELECT current_setting('autovacuum_analyze_threshold')::integer + 2 * reltuples::integer AS few FROM pg_class WHERE oid = :'month'::regclass \gset
SELECT pg_temp.add(102, 101 + :few);
SELECT count(*) FROM todo;
SELECT pg_temp.add(102 + :few, 102 + :few);
SELECT relation, changed - :few AS more FROM todo;
-- never analyzed as far as anybody knows, as after pg_upgrade
BEGIN;
SELECT pg_stat_reset_single_table_counters('fx.market_data'::regclass), pg_stat_reset_single_table_counters(:'month'::regclass);
DELETE FROM pg_statistic WHERE starelid = :'month'::regclass;
SELECT pg_stat_clear_snapshot();
SELECT relation, partitioned FROM todo;
ROLLBACK;
-- an error is not the end of the others, nor is it hidden
CREATE FUNCTION pg_temp.broken(x integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$BEGIN RETURN x; END$$;
CREATE TABLE fx.a_broken (x integer);
CREATE INDEX ON fx.a_broken (pg_temp.broken(x));
INSERT INTO fx.a_broken SELECT generate_series(1, 200);
CREATE OR REPLACE FUNCTION pg_temp.broken(x integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS $$BEGIN RAISE 'no statistics today' USING ERRCODE = 'XX998'; END$$;
CREATE TABLE fx.z_whole AS SELECT generate_series(1, 200) AS x;
SELECT pg_stat_force_next_flush();
CALL fx.maintain();
SELECT outcome, detail FROM runs WHERE step = 'analyze' ORDER BY id DESC LIMIT 1;
SELECT relname, reltuples FROM pg_class WHERE oid IN ('fx.a_broken'::regclass, 'fx.z_whole'::regclass) ORDER BY 1;
SELECT last_outcome, last_error FROM fx.partition_health WHERE "table" = 'quotes';
DROP TABLE fx.a_broken, fx.z_whole;
-- one table, for its owner
SELECT fx.analyze_table('fx.users') AS table, fx.analyze_table('fx.quotes') AS partitioned, fx.analyze_table(NULL) AS null, fx.analyze_table(0) AS gone;
\set VERBOSITY sqlstate
SELECT fx.analyze_table('fx.users_pkey');
SELECT fx.analyze_table('fx.partition_health');
BEGIN;
GRANT EXECUTE ON FUNCTION fx.analyze_table(regclass) TO fx_app;
SET LOCAL ROLE fx_app;
SELECT fx.analyze_table('fx.users');
ROLLBACK;
\set VERBOSITY default
DELETE FROM fx.market_data WHERE symbol = 'ANALYZED';
ALTER TABLE :month RESET (autovacuum_enabled), SET (autovacuum_analyze_scale_factor = 0.02);
TRUNCATE fx.maintenance_runs;

-- new partitions take over the storage parameters of the newest
SELECT DISTINCT ARRAY(SELECT unnest(reloptions) ORDER BY 1) AS as_migrated FROM pg_class WHERE relnamespace = 'fx'::regnamespace AND relkind = 'r' AND relispartition;
BEGIN;
DO $$
BEGIN
    EXECUTE format('ALTER TABLE fx.quotes_%s SET (fillfactor = 77), RESET (autovacuum_freeze_min_age)', to_char(pg_temp.m(3) AT TIME ZONE 'UTC', 'YYYY_MM'));
END
$$;
SELECT fx.create_quote_partitions('2001-01-01', '2001-02-01');
SELECT reloptions FROM pg_class WHERE oid = 'fx.quotes_2001_01'::regclass;
-- none where there is none
DO $$
BEGIN
    EXECUTE (SELECT format('DROP TABLE %s', string_agg(partition::text, ', ')) FROM fx.partition_bounds('fx.quotes'));
END
$$;
SELECT fx.create_quote_partitions('2001-01-01', '2001-02-01');
SELECT reloptions FROM pg_class WHERE oid = 'fx.quotes_2001_01'::regclass;
ROLLBACK;

-- the migration leaves what somebody has set himself
BEGIN;
SELECT count(*) FROM fx.migrate('2024_05_03_identity');
SELECT oid::regclass::text COLLATE "C" AS "table", reloptions FROM pg_class WHERE relnamespace = 'fx'::regnamespace AND relkind IN ('r', 't') AND reloptions IS NOT NULL ORDER BY 1;
ALTER TABLE fx.trades SET (autovacuum_vacuum_scale_factor = 0.5);
ALTER TABLE fx.backtests SET (toast.autovacuum_vacuum_scale_factor = 0.5);
SELECT count(*) FROM fx.migrate();
SELECT c.oid::regclass::text COLLATE "C" AS "table", c.reloptions, t.reloptions AS toast FROM pg_class c LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
 WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition AND (c.reloptions IS NOT NULL OR t.reloptions IS NOT NULL) ORDER BY 1;
ROLLBACK;

-- runs in which nothing was to do are kept a week, the others 90 days
INSERT INTO fx.maintenance_runs (step, started_at, outcome, rows) SELECT 'rollups', now() - d * interval '1 day', o, r
  FROM unnest(ARRAY[1, 6, 8, 89, 91]) d, (VALUES ('ok', 0), ('ok', 1), ('failed', NULL)) v (o, r);
CALL fx.maintain();
SELECT (now()::date - started_at::date) AS days, outcome, rows FROM fx.maintenance_runs WHERE started_at < now() - interval '12 hours' ORDER BY 1, 2, 3;
SELECT outcome, rows FROM fx.maintenance_runs WHERE step = 'cleanup';
TRUNCATE fx.maintenance_runs;

-- whatever the caller's path finds first
CREATE SCHEMA hostile;
SET search_path = hostile, pg_catalog, public;
CREATE FUNCTION hostile.planted(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE WARNING 'planted'; RETURN pg_catalog.int4eq($1, $2); END$$;
CREATE OPERATOR hostile.= (LEFTARG = integer, RIGHTARG = integer, FUNCTION = hostile.planted);
CREATE FUNCTION hostile.planted(bigint, integer) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE WARNING 'planted'; RETURN true; END$$;
CREATE OPERATOR hostile.= (LEFTARG = bigint, RIGHTARG = integer, FUNCTION = hostile.planted);
CREATE FUNCTION hostile.planted(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE WARNING 'planted'; RETURN true; END$$;
CREATE OPERATOR hostile.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.planted);
CREATE FUNCTION hostile.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE WARNING 'planted'; RETURN ''; END$$;
CREATE DOMAIN hostile.text AS integer;
CREATE DOMAIN hostile.jsonb AS integer;
\c -
SET search_path = hostile, pg_catalog, public;
CALL fx.maintain();
SHOW search_path;
RESET search_path;
SELECT step, outcome FROM fx.maintenance_runs ORDER BY id;
TRUNCATE fx.maintenance_runs;
SET client_min_messages = warning;
DROP SCHEMA hostile CASCADE;
RESET client_min_messages;

-- not in a transaction block, and for the owner
BEGIN;
CALL fx.maintain();
ROLLBACK;
SET ROLE fx_app;
CALL fx.maintain();
RESET ROLE;
DELETE FROM fx.retention_policies;
TRUNCATE fx.market_data, fx.market_data_revisions, fx.candle_rollups, fx.candle_changes, fx.candle_horizons, fx.candle_series, fx.maintenance_runs;
DO $$
BEGIN
    EXECUTE (SELECT format('DROP TABLE %s', string_agg(partition::text, ', ')) FROM fx.partition_bounds('fx.market_data')
              WHERE upper < date_trunc('month', now(), 'UTC'));
END
$$;
