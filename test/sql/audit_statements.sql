--
-- Every way to write, and what an error undoes
--
BEGIN;
SET LOCAL search_path = fx, public;
CREATE TABLE public.t (id integer PRIMARY KEY, n integer);
SELECT enable_audit('public.t');
CREATE VIEW pg_temp.entries AS
SELECT action, count(*), min(resource_id::integer) AS first, max(resource_id::integer) AS last,
       count(DISTINCT id) = count(*) AND count(DISTINCT created_at) = count(*) AS all_differ,
       bool_and(audit_row_hash(id, actor_id, action, resource_type, resource_id, old_values, new_values, changed_columns, ip_address, user_agent,
                               session_user_name, application_name, statement_at, created_at) = row_hash) AS hashes_hold
  FROM audit_log WHERE resource_type = 'public.t' GROUP BY action;
-- more rows than are stored at once, in the order in which they were written
INSERT INTO public.t SELECT n, n FROM generate_series(1, 5000) AS n;
UPDATE public.t SET n = n + 1 WHERE id % 2 = 0;
DELETE FROM public.t WHERE id > 4000;
SELECT * FROM pg_temp.entries ORDER BY 1;
SELECT bool_and(resource_id::integer = place) AS in_order FROM (SELECT resource_id, row_number() OVER (ORDER BY id) AS place FROM audit_log WHERE (resource_type, action) = ('public.t', 'INSERT')) AS l;
-- none is missing in an index
SET LOCAL enable_seqscan = off;
SELECT count(*) FROM audit_log WHERE resource_type = 'public.t' AND resource_id = '4999';
SELECT count(*) FROM audit_log WHERE created_at >= now();
SET LOCAL enable_seqscan = on;
TRUNCATE public.t, audit_log;
COPY public.t FROM stdin;
1	1
2	2
\.
INSERT INTO public.t VALUES (2, 3), (3, 3), (4, 4) ON CONFLICT (id) DO UPDATE SET n = excluded.n;
INSERT INTO public.t VALUES (2, 4) ON CONFLICT DO NOTHING;
MERGE INTO public.t USING (VALUES (1, NULL), (2, 20), (9, 9)) AS s (id, n) ON s.id = t.id
 WHEN MATCHED AND s.n IS NULL THEN DELETE WHEN MATCHED THEN UPDATE SET n = s.n WHEN NOT MATCHED THEN INSERT VALUES (s.id, s.n);
WITH a AS (DELETE FROM public.t WHERE id = 4 RETURNING *), b AS (UPDATE public.t SET n = 0 WHERE id = 3) INSERT INTO public.t SELECT 40, n FROM a;
UPDATE public.t SET id = 41 WHERE id = 40;
TRUNCATE public.t;
SELECT action, resource_id, old_values, new_values FROM audit_log WHERE resource_type = 'public.t' ORDER BY id;

-- what is rolled back leaves nothing: a savepoint, a block, a statement that fails at its last row
TRUNCATE audit_log;
SAVEPOINT s;
INSERT INTO public.t VALUES (1, 1);
ROLLBACK TO s;
DO $$
BEGIN
    INSERT INTO public.t VALUES (2, 2);
    BEGIN
        INSERT INTO public.t VALUES (3, 3);
        INSERT INTO public.t SELECT n, 0 FROM generate_series(3000, 2, -1) AS n;
    EXCEPTION WHEN unique_violation THEN
        INSERT INTO public.t VALUES (4, 4);
    END;
END
$$;
CREATE FUNCTION pg_temp.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.n = 1500 THEN
        RAISE EXCEPTION 'no' USING ERRCODE = 'XX999';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER z_fail AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION pg_temp.fail();
DO $$
BEGIN
    INSERT INTO public.t SELECT n, n FROM generate_series(1000, 2000) AS n;
EXCEPTION WHEN SQLSTATE 'XX999' THEN
    NULL;
END
$$;
SELECT action, resource_id FROM audit_log WHERE resource_type = 'public.t' ORDER BY id;
DROP TRIGGER z_fail ON public.t;

-- a trigger that writes, in the middle of a statement and through a block that fails; a function that writes and reads the log
TRUNCATE audit_log;
CREATE FUNCTION pg_temp.nest() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    seen bigint;
BEGIN
    IF NEW.n < 3 THEN
        INSERT INTO public.t VALUES (NEW.id * 10, NEW.n + 1);
        SELECT count(*) INTO seen FROM fx.audit_log WHERE resource_id = (NEW.id * 10)::text;
        IF seen <> 1 THEN
            RAISE EXCEPTION 'the entry of % is not there', NEW.id * 10;
        END IF;
        BEGIN
            INSERT INTO public.t VALUES (NEW.id * 10 + 1, 9);
            RAISE EXCEPTION 'undone' USING ERRCODE = 'XX999';
        EXCEPTION WHEN SQLSTATE 'XX999' THEN
            NULL;
        END;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER nest AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION pg_temp.nest();
INSERT INTO public.t VALUES (5, 1), (6, 2), (7, 3);
SELECT resource_id, new_values FROM audit_log WHERE resource_type = 'public.t' ORDER BY resource_id;
DROP TRIGGER nest ON public.t;

-- cascades: a user's strategies, backtests and limits go with him, who does it himself
TRUNCATE audit_log;
INSERT INTO users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x');
SET LOCAL app.current_user_id = '00000000-0000-4000-8000-0000000000a1';
INSERT INTO strategies (id, user_id, name, type) SELECT ('00000000-0000-4000-8000-0000000000b' || n)::uuid, '00000000-0000-4000-8000-0000000000a1', 's', 'manual' FROM generate_series(1, 2) AS n;
INSERT INTO backtests (strategy_id, user_id, name) SELECT id, user_id, 'b' FROM strategies;
UPDATE users SET first_name = 'himself';
DELETE FROM users;
SELECT resource_type, action, count(*), count(user_id) AS referring, count(actor_id) AS acting FROM audit_log GROUP BY 1, 2 ORDER BY 1, 2;
-- who is born in the statement refers to himself
INSERT INTO users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x');
SELECT count(user_id) FROM audit_log WHERE resource_type = 'users' AND user_id IS NOT NULL;
RESET app.current_user_id;

-- triggers that are deferred, or without the log's own, store one entry after the other
CREATE TABLE public.d (id integer);
CREATE CONSTRAINT TRIGGER later AFTER INSERT OR UPDATE OR DELETE ON public.d DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
INSERT INTO public.d VALUES (1), (2);
SELECT count(*) FROM audit_log WHERE resource_type = 'public.d';
SET CONSTRAINTS ALL IMMEDIATE;
SELECT count(*) FROM audit_log WHERE resource_type = 'public.d';
ALTER TABLE audit_log DISABLE TRIGGER audit_log_flush_trigger;
TRUNCATE public.t;
INSERT INTO public.t SELECT n, n FROM generate_series(1, 3) AS n;
SELECT count(*) FROM audit_log WHERE (resource_type, action) = ('public.t', 'INSERT') AND (new_values -> 'id')::integer < 4;
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_flush_trigger;

-- as ordinary triggers under session_replication_role, unless told otherwise
TRUNCATE public.t, audit_log;
SET LOCAL session_replication_role = replica;
INSERT INTO public.t VALUES (1, 1);
SELECT count(*) FROM audit_log WHERE resource_id = '1';
ALTER TABLE public.t ENABLE ALWAYS TRIGGER audit_t_trigger;
INSERT INTO public.t VALUES (2, 2);
SELECT count(*) FROM audit_log WHERE resource_id = '2';
SET LOCAL session_replication_role = origin;

-- indexes that the log's owner adds, of expressions and of some rows
CREATE INDEX of_expression ON audit_log (lower(resource_type)) WHERE action = 'INSERT';
INSERT INTO public.t VALUES (3, 3);
UPDATE public.t SET n = 30 WHERE id = 3;
SET LOCAL enable_seqscan = off;
SELECT action FROM audit_log WHERE lower(resource_type) = 'public.t' AND action = 'INSERT' AND resource_id = '3';
DROP INDEX of_expression;

-- writers need no right on the log, and nothing of theirs is in the way
CREATE ROLE fx_audit_writer;
GRANT USAGE ON SCHEMA public TO fx_audit_writer;
GRANT USAGE ON SCHEMA fx TO fx_audit_writer;
GRANT INSERT ON public.t TO fx_audit_writer;
ALTER TABLE audit_log FORCE ROW LEVEL SECURITY;
SET LOCAL ROLE fx_audit_writer;
CREATE TEMPORARY TABLE audit_log (id uuid, action text) ON COMMIT DROP;
CREATE TEMPORARY TABLE audit_key (key bytea) ON COMMIT DROP;
SET LOCAL search_path = pg_temp, fx, pg_catalog;
INSERT INTO public.t VALUES (8, 8);
RESET ROLE;
SET LOCAL search_path = pg_catalog;
SELECT (SELECT count(*) FROM fx.audit_log WHERE resource_id = '8') AS recorded, (SELECT count(*) FROM pg_temp.audit_log) AS diverted;
ROLLBACK;

-- misuse
BEGIN;
SET LOCAL search_path = fx, public;
CREATE TABLE public.t (id integer);
SAVEPOINT s;
CREATE TRIGGER misuse BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
INSERT INTO public.t VALUES (1);
ROLLBACK TO s;
CREATE TRIGGER misuse AFTER INSERT ON public.t FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();
INSERT INTO public.t VALUES (1);
ROLLBACK TO s;
CREATE TRIGGER misuse AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION audit_trigger_function('hide:id');
INSERT INTO public.t VALUES (1);
ROLLBACK TO s;
SELECT enable_audit('public.t');
ALTER TABLE audit_log RENAME TO log;
INSERT INTO public.t VALUES (1);
ROLLBACK TO s;
SELECT enable_audit('public.t');
ALTER TABLE audit_log ALTER COLUMN user_agent TYPE integer USING 0;
INSERT INTO public.t VALUES (1);
ROLLBACK TO s;
SELECT enable_audit('public.t');
ALTER TABLE audit_log ADD EXCLUDE USING btree (id WITH =);
INSERT INTO public.t VALUES (1);
ROLLBACK TO s;
SELECT enable_audit('public.t');
ALTER TABLE audit_log RENAME TO log;
CREATE TABLE audit_log (LIKE log) PARTITION BY RANGE (created_at);
INSERT INTO public.t VALUES (1);
ROLLBACK TO s;
-- a log with fewer columns, and others, still serves
SELECT enable_audit('public.t');
ALTER TABLE audit_log DROP COLUMN user_agent, ADD COLUMN note text DEFAULT 'n', DROP COLUMN row_hash;
INSERT INTO public.t VALUES (1);
SELECT action, resource_type, resource_id, new_values, note FROM audit_log WHERE resource_type = 'public.t';
ROLLBACK;
