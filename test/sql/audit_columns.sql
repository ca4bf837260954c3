--
-- What an entry of the audit log says
--
BEGIN;
SET LOCAL search_path = fx, public;
CREATE VIEW pg_temp.entries AS
SELECT *, audit_row_hash(id, actor_id, action, resource_type, resource_id, old_values, new_values, changed_columns, ip_address,
                         user_agent, session_user_name, application_name, statement_at, created_at) = row_hash AS hash_holds
  FROM audit_log;

-- every type of value, as to_jsonb has it in UTC with the default settings, whatever the session's are
CREATE DOMAIN public.positive AS numeric CHECK (VALUE > 0);
CREATE TYPE public.mood AS ENUM ('calm', 'greedy');
CREATE TYPE public.pair AS (a timestamptz, b text);
CREATE TABLE public.every_type (
    id integer PRIMARY KEY, b boolean, i2 smallint, i8 bigint, n numeric, n2 numeric(10, 2), f4 real, f8 double precision, t text, v varchar(9), c char(5),
    u uuid, d date, ts timestamp, tz timestamptz, iv interval, j json, jb jsonb, by bytea, ip inet, money_ money, m public.mood, p public.positive,
    ta text[], tza timestamptz[], pr public.pair, r tstzrange, rc regclass, gone integer, "odd ""name\" integer,
    doubled integer GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE public.every_type DROP COLUMN gone;
SELECT enable_audit('public.every_type');
SET LOCAL timezone = 'Asia/Kolkata';
SET LOCAL datestyle = 'German';
SET LOCAL intervalstyle = 'iso_8601';
SET LOCAL extra_float_digits = -5;
SET LOCAL bytea_output = 'escape';
INSERT INTO public.every_type VALUES (1, true, -2, 9223372036854775807, 1.50, 2, 0.1, 1e300, E'q"\\\n\u00e9\u0001', 'v', 'c', '00000000-0000-4000-8000-0000000000A1',
    '2024-02-29', '2024-02-29 12:00', '2024-02-29 12:00:00.5+05:30', '1 day 2 hours', '{"b": 1, "a" : 2}', '{"k": [1, null, {"x": "y"}], "e": {}}', '\x00ff', '10.0.0.1', '12.34',
    'greedy', 3, '{a,NULL,"b c"}', '{2024-02-29 12:00+05:30}', ROW('2024-02-29 12:00+05:30', 'z'), '[2024-02-29 12:00+05:30,)', 'fx.users', 7);
INSERT INTO public.every_type (id, n, f8, d, ts, tz, jb, j, ta) VALUES
    (2, 'NaN', 'NaN', 'infinity', '-infinity', 'infinity', '"scalar"', '[1]', '{}'), (3, '-Infinity', '-0', '0044-03-15 BC', NULL, '0044-03-15 00:00+00 BC', 'null', 'null', '{{a,b},{c,d}}'),
    (4, 1e-20, 0, NULL, NULL, NULL, '12.50', '"\u00e9"', NULL), (5, 12345678901234567890.123456789, 0, NULL, NULL, NULL, 'false', 'true', NULL), (6, 0, 0, NULL, NULL, NULL, '[]', '{}', NULL);
INSERT INTO public.every_type (id, n, f8, ta) SELECT 7, 0, 0, array_agg(CASE WHEN n % 5 > 0 THEN repeat('x', n % 7) END) FROM generate_series(1, 100) AS n;
SELECT jsonb_pretty(new_values) FROM audit_log WHERE resource_id = '1';
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO';
SET LOCAL intervalstyle = 'postgres';
SET LOCAL extra_float_digits = 1;
SET LOCAL bytea_output = 'hex';
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT resource_id, new_values = to_jsonb(rows) AS as_to_jsonb, new_values::text = to_jsonb(rows)::text AS to_the_letter, hash_holds
  FROM pg_temp.entries JOIN public.every_type AS rows ON resource_id = rows.id::text ORDER BY rows.id;
SET LOCAL search_path = fx, public;

-- the old values of what changed, and which columns those are
UPDATE public.every_type SET t = 'new', n = 1.5, jb = jb WHERE id = 1;
UPDATE public.every_type SET d = NULL, b = false WHERE id = 1;
SELECT changed_columns, old_values, new_values -> 't' AS t, new_values -> 'd' AS d, hash_holds FROM pg_temp.entries WHERE action = 'UPDATE' ORDER BY id;
-- a row of more than 32 columns has offsets in its jsonb
SELECT format('CREATE TABLE public.wide (%s, PRIMARY KEY (c1))', string_agg(format('c%s integer DEFAULT %s', n, n), ', ')) FROM generate_series(1, 100) AS n \gexec
SELECT enable_audit('public.wide');
INSERT INTO public.wide DEFAULT VALUES;
UPDATE public.wide SET c77 = NULL, c3 = -3;
SELECT action, changed_columns, old_values, new_values = to_jsonb(t) AS as_to_jsonb, (SELECT sum((value #>> '{}')::integer) FROM jsonb_each(new_values)) AS total, new_values -> 'c100' AS last, hash_holds
  FROM pg_temp.entries, public.wide t WHERE resource_type = 'public.wide' ORDER BY entries.id;

-- values that were not touched are not read: a toasted one keeps its pointer
CREATE TABLE public.big (id integer PRIMARY KEY, body text, n integer, updated_at timestamptz DEFAULT now());
ALTER TABLE public.big ALTER body SET STORAGE EXTERNAL;
SELECT enable_audit('public.big');
INSERT INTO public.big VALUES (1, repeat('x', 100000), 1);
UPDATE public.big SET n = 2;
UPDATE public.big SET body = repeat('x', 100000);
UPDATE public.big SET body = repeat('x', 99999) || 'y';
SELECT action, changed_columns, length(old_values ->> 'body') AS old, length(new_values ->> 'body') AS new, right(new_values ->> 'body', 2) AS ends, hash_holds
  FROM pg_temp.entries WHERE resource_type = 'public.big' ORDER BY id;
-- updated_at alone is no change
UPDATE public.big SET updated_at = '2020-01-01';
UPDATE public.big SET updated_at = '2020-01-02', n = 3;
SELECT changed_columns, old_values FROM audit_log WHERE resource_type = 'public.big' AND action = 'UPDATE' AND 'n' = ANY (changed_columns) ORDER BY id;
SELECT count(*) FROM audit_log WHERE resource_type = 'public.big';

-- who, from where, in which session
INSERT INTO users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x');
SET LOCAL app.current_user_id = '00000000-0000-4000-8000-0000000000a1';
SET LOCAL app.ip_address = '192.0.2.7';
SET LOCAL app.user_agent = 'agent/1.0';
SET LOCAL application_name = 'test of the audit';
DELETE FROM public.big;
SELECT right(user_id::text, 2) AS "user", right(actor_id::text, 2) AS actor, ip_address, user_agent, application_name, session_user_name = session_user AS session,
       transaction_id = pg_current_xact_id() AS transaction, statement_at <= created_at AND statement_at >= now() AS times, hash_holds
  FROM pg_temp.entries WHERE (resource_type, action) = ('public.big', 'DELETE');
-- what cannot be read is left out; nobody's id is kept, and refers to nobody
CREATE FUNCTION pg_temp.last_entry(OUT "user" text, OUT actor text, OUT ip_address inet, OUT agent_bytes integer, OUT hash_holds boolean) LANGUAGE sql AS $$
    SELECT right(user_id::text, 2), right(actor_id::text, 2), ip_address, octet_length(user_agent), hash_holds FROM pg_temp.entries ORDER BY id DESC LIMIT 1
$$;
SET LOCAL app.current_user_id = '00000000-0000-4000-8000-0000000000d9';
SET LOCAL app.ip_address = '192.0.2.700';
SELECT set_config('app.user_agent', repeat('é', 1000), true) IS NULL;
INSERT INTO public.big VALUES (1);
SELECT * FROM pg_temp.last_entry();
SET LOCAL app.ip_address = '2001:db8::1/64';
SET LOCAL app.user_agent = '';
SET LOCAL app.current_user_id = '';
UPDATE public.big SET n = 5;
SELECT * FROM pg_temp.last_entry();
SET LOCAL app.ip_address = '::ffff:1.2.3.4';
UPDATE public.big SET n = 6;
SELECT * FROM pg_temp.last_entry();
SET LOCAL app.ip_address = '';
UPDATE public.big SET n = 7;
SELECT * FROM pg_temp.last_entry();

-- ids ascend with time, and are uuids of version 7
SELECT bool_and(id > before) AS ascend, bool_and(created_at > earlier) AS times_differ, count(*) FILTER (WHERE id::text !~ '^.{14}7.{4}[89ab]') AS odd,
       bool_and(abs(('x0000' || left(replace(id::text, '-', ''), 12))::bit(64)::bigint - floor(extract(epoch FROM created_at) * 1000)) < 1) AS of_its_time
  FROM (SELECT id, created_at, lag(id) OVER w AS before, lag(created_at) OVER w AS earlier FROM audit_log WINDOW w AS (ORDER BY id)) AS e;

-- the hash depends on every field that it covers, and nothing else; a null is not an empty text
WITH e AS (SELECT * FROM audit_log WHERE (resource_type, action) = ('public.big', 'DELETE'))
SELECT what, audit_row_hash(coalesce((o ->> 'id')::uuid, id), coalesce((o ->> 'actor_id')::uuid, actor_id), coalesce(o ->> 'action', action), coalesce(o ->> 'resource_type', resource_type),
           coalesce(o ->> 'resource_id', resource_id), coalesce(o -> 'old_values', old_values), coalesce(o -> 'new_values', new_values), coalesce(string_to_array(o ->> 'changed_columns', ','), changed_columns),
           coalesce((o ->> 'ip_address')::inet, ip_address), coalesce(o ->> 'user_agent', user_agent), coalesce(o ->> 'session_user_name', session_user_name), coalesce(o ->> 'application_name', application_name),
           coalesce((o ->> 'statement_at')::timestamptz, statement_at), coalesce((o ->> 'created_at')::timestamptz, created_at)) = row_hash AS same
  FROM e, (VALUES ('nothing', '{}'::jsonb), ('id', '{"id": "00000000-0000-4000-8000-0000000000a1"}'), ('actor', '{"actor_id": "00000000-0000-4000-8000-0000000000a2"}'), ('action', '{"action": "INSERT"}'),
                  ('type', '{"resource_type": "x"}'), ('resource', '{"resource_id": "2"}'), ('old', '{"old_values": {}}'), ('new', '{"new_values": {}}'), ('changed', '{"changed_columns": ""}'),
                  ('address', '{"ip_address": "192.0.2.7/24"}'), ('agent', '{"user_agent": ""}'), ('session', '{"session_user_name": "x"}'), ('application', '{"application_name": ""}'),
                  ('statement', '{"statement_at": "2024-01-01"}'), ('created', '{"created_at": "2024-01-01"}')) AS v (what, o)
 ORDER BY 2 DESC, 1;
-- the same in every cluster
SELECT encode(audit_row_hash('00000000-0000-4000-8000-0000000000a1', NULL, 'UPDATE', 'users', 'é', '{"a": 1.50}', '{"b": [1, "x"]}', '{a,NULL,b}', '10.0.0.1', '', NULL, 'psql', '2024-01-01 00:00+00', '2024-01-01 00:00:00.000001+00'), 'hex') AS hash;
SELECT encode(audit_row_hash(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), 'hex') = encode(sha256('fx.audit_log 1'::bytea || decode(repeat('ffffffff', 14), 'hex')), 'hex') AS of_nulls;
ROLLBACK;
