--
-- Auditing of the user's own tables
--
BEGIN;
SET LOCAL search_path = fx, public;
CREATE VIEW pg_temp.entries AS SELECT resource_type, action, resource_id, changed_columns, old_values, new_values FROM audit_log ORDER BY audit_log.id;
-- a row is named by its primary key, of one column or several, by "id" without one, or not at all
CREATE TABLE public.by_key (code text PRIMARY KEY, id integer);
CREATE TABLE public.by_two (a text, at timestamptz, id integer, PRIMARY KEY (a, at));
CREATE TABLE public.by_id (id integer);
CREATE TABLE public.by_nothing (note text);
SELECT enable_audit(t) FROM unnest('{public.by_key,public.by_two,public.by_id,public.by_nothing}'::regclass[]) AS t;
INSERT INTO public.by_key VALUES ('x"y', 7);
INSERT INTO public.by_two VALUES ('x"y', '2024-01-01 00:00+02', 7);
INSERT INTO public.by_id VALUES (7), (NULL);
INSERT INTO public.by_nothing VALUES ('n');
DELETE FROM public.by_nothing;
TRUNCATE public.by_two;
SELECT * FROM pg_temp.entries WHERE resource_type LIKE 'public.by%';
-- an id that is longer than the column is cut, and still told apart
INSERT INTO public.by_key SELECT repeat('é', 99) || c FROM unnest('{1,12,13}'::text[]) AS c;
SELECT length(resource_id), left(resource_id, 3) AS begins, right(resource_id, 17) AS ends FROM pg_temp.entries WHERE resource_type = 'public.by_key' OFFSET 1;

-- columns: ignored, dropped, added later with a default, generated
CREATE TABLE public.c (id integer PRIMARY KEY, seen timestamptz, visits integer, gone text, twice integer GENERATED ALWAYS AS (visits * 2) STORED);
SELECT enable_audit('public.c', ignore => '{seen,visits,twice}');
INSERT INTO public.c VALUES (1, '2024-01-01', 1, 'g');
UPDATE public.c SET seen = '2024-01-02', visits = 2;
UPDATE public.c SET seen = '2024-01-03', visits = 3, gone = 'h';
ALTER TABLE public.c DROP COLUMN gone;
ALTER TABLE public.c ADD COLUMN late integer DEFAULT 5;
UPDATE public.c SET late = 6;
SELECT action, changed_columns, old_values, new_values FROM pg_temp.entries WHERE resource_type = 'public.c';
-- called again, the lists are replaced
SELECT enable_audit('public.c', redact => '{visits}');
UPDATE public.c SET seen = '2024-01-04';
SELECT changed_columns, new_values ->> 'visits' AS visits FROM pg_temp.entries WHERE resource_type = 'public.c' OFFSET 3;

-- partitions count as the whole, also when written directly and when their columns are in another order
CREATE TABLE public.p (id integer, at date, n integer, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
CREATE TABLE public.p_2024 PARTITION OF public.p FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (id);
CREATE TABLE public.p_2024_1 PARTITION OF public.p_2024 FOR VALUES IN (1);
SELECT enable_audit('public.p');
CREATE TABLE public.p_2025 (gone integer, n integer, at date NOT NULL, id integer NOT NULL);
ALTER TABLE public.p_2025 DROP COLUMN gone;
ALTER TABLE public.p ATTACH PARTITION public.p_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO public.p VALUES (1, '2024-05-01', 1), (2, '2025-05-01', 2);
INSERT INTO public.p_2024_1 VALUES (1, '2024-06-01', 3);
UPDATE public.p SET n = n + 1;
UPDATE public.p SET at = '2025-07-01' WHERE at = '2024-06-01';
TRUNCATE public.p;
SELECT * FROM pg_temp.entries WHERE resource_type LIKE 'public.p%';
ALTER TABLE public.p RENAME TO q;
INSERT INTO public.q VALUES (1, '2025-05-01', 1);
SELECT resource_type FROM pg_temp.entries OFFSET (SELECT count(*) - 1 FROM audit_log);
-- inheritance: the child is a table of its own
CREATE TABLE public.child () INHERITS (public.by_id);
INSERT INTO public.child VALUES (1);
SELECT count(*) FROM pg_temp.entries WHERE resource_type = 'public.child';

-- names: outside schema fx with the schema, long ones cut
CREATE SCHEMA "a.b";
CREATE TABLE "a.b".c (id integer);
CREATE TABLE "a.b".a_table_of_the_user_with_a_name_of_nearly_sixty_three_letters_1 (id integer);
CREATE TABLE "a.b".a_table_of_the_user_with_a_name_of_nearly_sixty_three_letters_2 (id integer);
CREATE TEMPORARY TABLE strategies (id integer) ON COMMIT DROP;
SELECT audit_resource_type('fx.strategies'), audit_resource_type('"a.b".c'), audit_resource_type('pg_temp.strategies') ~ '^pg_temp_\d+\.strategies$' AS temporary;
SELECT c.relname, audit_resource_type(c.oid), length(audit_resource_type(c.oid)) FROM pg_class c WHERE relname LIKE 'a_table%' ORDER BY 1;
SELECT enable_audit(c.oid) FROM pg_class c WHERE relname LIKE 'a_table%' OR oid = 'pg_temp.strategies'::regclass;
SELECT tgname, octet_length(tgname::text) FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid WHERE relname LIKE 'a_table%' AND right(relname, 1) = '1' ORDER BY 1;
SELECT audit_resource_type(0::oid);
ROLLBACK;

-- off again, and off where it never was on
BEGIN;
SET LOCAL search_path = fx, public;
CREATE TABLE public.t (id integer);
SELECT disable_audit('public.t');
SELECT enable_audit('public.t');
CREATE TRIGGER mine AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
SELECT disable_audit('public.t');
INSERT INTO public.t VALUES (1);
SELECT count(*) FROM audit_log WHERE resource_type = 'public.t';
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'public.t'::regclass;
-- the platform's tables keep their triggers' names
SELECT enable_audit('users', redact => '{email}');
SELECT tgname FROM pg_trigger WHERE tgrelid = 'users'::regclass AND tgname LIKE 'audit%' ORDER BY 1;
INSERT INTO users (email, username, password_hash) VALUES ('a@example.com', 'a', 'x');
SELECT new_values ->> 'email' AS email, new_values ->> 'password_hash' AS password FROM audit_log WHERE resource_type = 'users';
ROLLBACK;

-- refusals
BEGIN;
CREATE TABLE public.t (id integer);
CREATE VIEW public.v AS SELECT 1 AS id;
SAVEPOINT s;
SELECT fx.enable_audit(NULL);
ROLLBACK TO s;
SELECT fx.enable_audit('public.t', redact => NULL);
ROLLBACK TO s;
SELECT fx.enable_audit('public.t', ignore => NULL);
ROLLBACK TO s;
SELECT fx.enable_audit('public.t', redact => '{id,secret}');
ROLLBACK TO s;
SELECT fx.enable_audit('public.t', ignore => '{ctid}');
ROLLBACK TO s;
SELECT fx.enable_audit('public.v');
ROLLBACK TO s;
SELECT fx.enable_audit(0::oid);
ROLLBACK TO s;
SELECT fx.enable_audit('fx.audit_log');
ROLLBACK TO s;
SELECT fx.enable_audit('fx.audit_key');
ROLLBACK TO s;
SELECT fx.disable_audit(NULL);
ROLLBACK TO s;
SELECT fx.disable_audit('fx.audit_log');
ROLLBACK TO s;
-- a trigger of one's own needs the right to the function
CREATE ROLE fx_audit_owner;
GRANT CREATE, USAGE ON SCHEMA public TO fx_audit_owner;
GRANT USAGE ON SCHEMA fx TO fx_audit_owner;
SET LOCAL ROLE fx_audit_owner;
CREATE TABLE public.his (id integer);
SAVEPOINT s;
SELECT fx.enable_audit('public.his');
ROLLBACK TO s;
CREATE TRIGGER his AFTER INSERT ON public.his FOR EACH ROW EXECUTE FUNCTION fx.audit_trigger_function();
ROLLBACK TO s;
RESET ROLE;
GRANT EXECUTE ON FUNCTION fx.audit_trigger_function(), fx.enable_audit(regclass, text[], text[]), fx.disable_audit(regclass), fx.audit_trigger_name(regclass, text) TO fx_audit_owner;
SET LOCAL ROLE fx_audit_owner;
SELECT fx.enable_audit('public.his');
INSERT INTO public.his VALUES (1);
SELECT fx.disable_audit('public.his');
SAVEPOINT s;
SELECT fx.enable_audit('fx.users');
ROLLBACK TO s;
RESET ROLE;
SELECT action, resource_type FROM fx.audit_log WHERE resource_type = 'public.his';
ROLLBACK;
