--
-- fx.health() finds what is wrong, says what is missing, and never fails
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET client_min_messages = warning;
CREATE ROLE health_probe IN ROLE pg_monitor;
CREATE ROLE health_stranger;
GRANT USAGE ON SCHEMA fx TO health_stranger;
RESET client_min_messages;
CREATE FUNCTION pg_temp.m(n integer) RETURNS timestamptz LANGUAGE sql AS
    $$SELECT date_trunc('month', now(), 'UTC') + n * interval '1 month'$$;
CREATE FUNCTION pg_temp.name(parent text, n integer) RETURNS text LANGUAGE sql AS
    $$SELECT format('fx.%s_%s', parent, to_char(pg_temp.m(n) AT TIME ZONE 'UTC', 'YYYY_MM'))$$;
-- one check of the platform, without what differs from day to day
CREATE FUNCTION pg_temp.found(wanted text, OUT status text, OUT value numeric, OUT message text, OUT objects text[]) LANGUAGE sql AS $$
    SELECT r.status, r.value, regexp_replace(regexp_replace(r.message, '\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+]\d\d', 'TIME', 'g'), '\d{4}-\d\d', 'YYYY-MM', 'g'),
           regexp_replace(r.objects::text, '\d{4}-\d\d', 'YYYY-MM', 'g')::text[] FROM fx.health_report() r WHERE r."check" = wanted$$;
TRUNCATE fx.audit_log, fx.maintenance_runs;

-- a member of pg_monitor reads it, nobody else
SET ROLE health_probe;
SELECT jsonb_object_agg(k, jsonb_typeof(v)) FROM jsonb_each(fx.health()) h (k, v);
SELECT h ->> 'database' = current_database() AS database, (h ->> 'in_recovery')::boolean AS in_recovery, (h ->> 'checked_at')::timestamptz - now() < '1 minute' AS checked_at,
       h ->> 'version' = (SELECT extversion FROM pg_extension WHERE extname = 'fxplatform') AS version, h ->> 'server_version' = current_setting('server_version') AS server_version, (h ->> 'took_ms')::numeric > 0 AS took
  FROM fx.health() h;
SELECT "check", scope, unit FROM fx.health_checks() ORDER BY "check" COLLATE "C";
SELECT count(*) AS checks, count(*) FILTER (WHERE status IN ('unknown', 'off')) AS not_made FROM fx.health_report() WHERE status <> 'note';
-- reasons are there exactly when it is not ok, and bounds decide
SELECT h ->> 'status' AS status, h -> 'reasons' AS reasons FROM fx.health((SELECT jsonb_object_agg("check", NULL) FROM fx.health_checks())) h;
SELECT h ->> 'status' AS status, h -> 'reasons' -> 0 ->> 'check' AS check, h -> 'reasons' -> 0 ->> 'status' AS because
  FROM (VALUES ('{"warning": 0, "critical": null}'::jsonb), ('{"warning": 0, "critical": 0}'), ('{"critical": 0}'), ('{"warning": 1e10}'), ('{}')) b (bounds),
       fx.health((SELECT jsonb_object_agg("check", NULL) FROM fx.health_checks()) || jsonb_build_object('connections', bounds)) h;
RESET ROLE;
SET ROLE fx_app;
SELECT fx.health();
SELECT fx.health_report();
SELECT fx.measure_platform('unsealed_audit');
RESET ROLE;

-- thresholds that are none
\set VERBOSITY sqlstate
SELECT fx.health(NULL);
SELECT fx.health('[]');
SELECT fx.health('{"nothing": null}');
SELECT fx.health('{"connections": 80}');
SELECT fx.health('{"connections": {"warning": "80"}}');
SELECT fx.health('{"connections": {"warnings": 80}}');
SELECT fx.measure_platform('nothing');
SELECT fx.measure_server('nothing');
\set VERBOSITY default
SELECT fx.health(jsonb_build_object(repeat('x', 100), NULL));

-- whoever may call it and is not a member of pg_monitor hears that
GRANT EXECUTE ON FUNCTION fx.health(jsonb), fx.health_report(jsonb), fx.health_notes(), fx.statement_source() TO health_stranger;
SET ROLE health_stranger;
SELECT status, message, count(*) FROM fx.health_report() WHERE status <> 'note' GROUP BY 1, 2 ORDER BY 3;
SELECT fx.health() ->> 'status' AS status;
RESET ROLE;

-- partitions
SELECT * FROM pg_temp.found('missing_partitions');
BEGIN;
DO $$BEGIN EXECUTE 'DROP TABLE ' || pg_temp.name('quotes', 3); END$$;
SELECT status, value, objects FROM pg_temp.found('missing_partitions');
DO $$BEGIN EXECUTE 'DROP TABLE ' || pg_temp.name('quotes', 2); END$$;
SELECT status, value FROM pg_temp.found('missing_partitions');
DO $$BEGIN EXECUTE 'DROP TABLE ' || pg_temp.name('market_data', 1); END$$;
SELECT * FROM pg_temp.found('missing_partitions');
DO $$BEGIN EXECUTE 'DROP TABLE ' || pg_temp.name('quotes', 0); END$$;
SELECT status, value, objects FROM pg_temp.found('missing_partitions');
CREATE TABLE fx.quotes_rest PARTITION OF fx.quotes DEFAULT;
SELECT status, value, objects FROM pg_temp.found('missing_partitions');
ROLLBACK;

-- maintenance: what failed in the last round, or since
SELECT * FROM pg_temp.found('failed_maintenance');
INSERT INTO fx.maintenance_runs (step, started_at, outcome, detail) VALUES ('rollups', now(), 'failed', '22012: division by zero'), ('seal', now(), 'ok', NULL), ('retention', now(), 'failed', '55P03: locked');
SELECT * FROM pg_temp.found('failed_maintenance');
INSERT INTO fx.maintenance_runs (step, started_at, outcome) VALUES ('cleanup', now(), 'ok'), ('rollups', now(), 'ok');
SELECT status, value FROM pg_temp.found('failed_maintenance');
INSERT INTO fx.maintenance_runs (step, started_at, outcome) VALUES ('cleanup', now(), 'ok');
SELECT status, value FROM pg_temp.found('failed_maintenance');
INSERT INTO fx.maintenance_runs (step, started_at, outcome, detail) VALUES ('cleanup', now(), 'failed', 'XX000: no');
SELECT status, objects FROM pg_temp.found('failed_maintenance');
TRUNCATE fx.maintenance_runs;

-- does the worker maintain this database?  The setting is the launcher's, so only
-- its reading of lists is shown here
SELECT * FROM pg_temp.found('overdue_maintenance');
CREATE FUNCTION pg_temp.lists(list text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE replace(replace(replace(pg_get_functiondef('fx.is_maintained_database'::regproc), 'fx.is_maintained_database()', 'pg_temp.is_maintained_database()'),
        $r$current_setting('fxplatform.databases', true)$r$, quote_literal(list)), 'current_database()', quote_literal('a "b", C'));
    RETURN pg_temp.is_maintained_database();
END
$$;
SELECT list, pg_temp.lists(list) FROM (VALUES ('"a ""b"", C"'), ('x, "a ""b"", C" ,y'), ('a "b", C'), ('"a ""b"", c"'), (''), ('"x","a ""b"", C"'), ('"xa ""b"", C"')) v (list);

-- the audit trail
SELECT * FROM pg_temp.found('unsealed_audit');
BEGIN;
INSERT INTO fx.users (id, email, username, password_hash) SELECT ('00000000-0000-4000-8000-0000000000' || 10 + n)::uuid, n || '@health.example.com', 'health' || n, 'x' FROM generate_series(1, 3) n;
SELECT status, message LIKE '% entries of the audit trail are not sealed, the oldest of TIME: CALL fx.seal_audit()' AS message, value < 60 AS young FROM pg_temp.found('unsealed_audit');
SELECT r.status FROM fx.health_report('{"unsealed_audit": {"critical": 0}}') r WHERE r."check" = 'unsealed_audit';
SELECT fx.seal_audit_batch() > 0 AS sealed;
SELECT * FROM pg_temp.found('unsealed_audit');
UPDATE fx.users SET first_name = 'x' WHERE username = 'health1';
SELECT rows, elsewhere FROM fx.unsealed_audit();
UPDATE fx.users SET first_name = n::text FROM generate_series(1, 1) n WHERE username LIKE 'health_';
UPDATE fx.audit_chain SET seen_in = 1;
SELECT * FROM pg_temp.found('unsealed_audit');
DELETE FROM fx.audit_chain;
SELECT status, message FROM pg_temp.found('unsealed_audit');
ROLLBACK;
-- rows of a transaction that was running when the others were sealed
BEGIN;
INSERT INTO fx.users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-000000000011', '1@health.example.com', 'health1', 'x');
SELECT fx.seal_audit_batch() > 0 AS sealed;
UPDATE fx.audit_chain SET seen = format('%s:%s:%s', t, t + 1, t)::pg_snapshot FROM (SELECT pg_current_xact_id()::text::bigint AS t) x;
SELECT rows FROM fx.unsealed_audit();
DELETE FROM fx.audit_seals WHERE seq = (SELECT max(seq) FROM fx.audit_seals);
SELECT rows, since IS NOT NULL AS since FROM fx.unsealed_audit();
ROLLBACK;

-- triggers
SELECT * FROM pg_temp.found('silent_triggers');
BEGIN;
ALTER TABLE fx.trades DISABLE TRIGGER trades_risk_insert;
ALTER TABLE fx.users ENABLE REPLICA TRIGGER audit_users_trigger;
DROP TRIGGER audit_log_guard ON fx.audit_log;
SELECT * FROM pg_temp.found('silent_triggers');
ALTER TABLE fx.strategies DISABLE TRIGGER ALL;
SELECT status, value > 10 AS foreign_keys_too, cardinality(objects) <= 20 AS not_all_of_them FROM pg_temp.found('silent_triggers');
SET LOCAL session_replication_role = replica;
SELECT objects[1] FROM pg_temp.found('silent_triggers');
ROLLBACK;
-- what the migrations attach is what there is: no trigger is forgotten
SELECT count(*) AS triggers FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'fx'::regnamespace AND NOT t.tgisinternal AND NOT c.relispartition \gset
SELECT count(*) FILTER (WHERE attached) = :triggers AS known, string_agg(tgname, ', ') FILTER (WHERE NOT attached) AS not_known
  FROM (SELECT t.tgname, EXISTS (SELECT FROM fx.migration m WHERE m.attach ~ ('\nCREATE OR REPLACE TRIGGER ' || t.tgname || '\s')) AS attached
          FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = 'fx'::regnamespace AND NOT t.tgisinternal AND NOT c.relispartition) t;
BEGIN;
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN SELECT format('DROP TRIGGER %I ON %s', t.tgname, t.tgrelid::regclass) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
                      WHERE c.relnamespace = 'fx'::regnamespace AND NOT t.tgisinternal AND NOT c.relispartition LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
SELECT count(*) = :triggers AS missing, bool_and(s LIKE '% on fx.%: missing') AS all_of_them FROM fx.silent_triggers() s;
ROLLBACK;

-- indexes and constraints
SELECT * FROM pg_temp.found('invalid_indexes');
CREATE TABLE public.with_invalid (x integer);
INSERT INTO public.with_invalid VALUES (1), (1);
CREATE UNIQUE INDEX CONCURRENTLY with_invalid_x ON public.with_invalid (x);
SELECT * FROM pg_temp.found('invalid_indexes');
DROP TABLE public.with_invalid;
SELECT * FROM pg_temp.found('unvalidated_constraints');
BEGIN;
ALTER TABLE fx.trades ADD CONSTRAINT chk_health CHECK (quantity < 1e9) NOT VALID;
SELECT * FROM pg_temp.found('unvalidated_constraints');
ROLLBACK;

-- an older state, and one from the future
BEGIN;
SELECT count(*) FROM fx.migrate('2024_05_03_identity');
SELECT * FROM pg_temp.found('pending_migrations');
INSERT INTO fx.schema_migrations VALUES ('2999_01_01_future');
SELECT objects FROM pg_temp.found('pending_migrations');
ROLLBACK;

-- the oldest states, down to no table at all: never an error
BEGIN;
SELECT version, (SELECT string_agg(format('%s: %s', r ->> 'check', r ->> 'message'), '; ') FROM jsonb_array_elements(h -> 'reasons') r WHERE r ->> 'status' = 'unknown') AS unknown,
       h -> 'checks' -> 'pending_migrations' -> 'value' AS pending
  FROM (SELECT m.version, fx.health() AS h FROM (SELECT version FROM fx.migration ORDER BY version DESC) m, LATERAL (SELECT count(*) FROM fx.migrate(m.version, true)) x) v;
SELECT count(*) FROM fx.migrate('none', true);
SELECT "check", status, message FROM fx.health_report() r JOIN fx.health_checks() c USING ("check") WHERE c.scope = 'platform';
SET LOCAL ROLE health_probe;
SELECT jsonb_array_length(h -> 'reasons') AS reasons FROM fx.health() h;
ROLLBACK;

-- whatever the caller's path finds first
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE 'planted'; END$$;
CREATE FUNCTION hostile.planted(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'planted'; END$$;
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.planted);
CREATE TEMPORARY TABLE pg_trigger (x integer);
CREATE TEMPORARY TABLE maintenance_runs (x integer);
SET search_path = hostile, pg_temp, pg_catalog;
SELECT fx.health() -> 'checks' -> 'silent_triggers' ->> 'status';
RESET search_path;
DROP TABLE pg_temp.pg_trigger, pg_temp.maintenance_runs;
SET client_min_messages = warning;
DROP SCHEMA hostile CASCADE;

-- cancelled, it is cancelled
SET statement_timeout = '1ms';
\set VERBOSITY sqlstate
SELECT fx.health() FROM generate_series(1, 100);
RESET statement_timeout;
\set VERBOSITY default

REVOKE ALL ON FUNCTION fx.health(jsonb), fx.health_report(jsonb), fx.health_notes(), fx.statement_source() FROM health_stranger;
REVOKE USAGE ON SCHEMA fx FROM health_stranger;
DROP ROLE health_probe, health_stranger;
TRUNCATE fx.audit_log;
