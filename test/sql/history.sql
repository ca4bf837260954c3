--
-- The versions of a row, and the row as it was, from the audit trail
--
BEGIN;
SET LOCAL search_path = fx, public;
SET LOCAL client_min_messages = warning;
TRUNCATE audit_log;
CREATE TEMPORARY TABLE moment (name text PRIMARY KEY, at timestamptz);
CREATE FUNCTION pg_temp.mark(text) RETURNS void LANGUAGE sql AS $$ INSERT INTO pg_temp.moment VALUES ($1, clock_timestamp()) $$;
CREATE FUNCTION pg_temp.at(text) RETURNS timestamptz LANGUAGE sql AS $$ SELECT at FROM pg_temp.moment WHERE name = $1 $$;
\set a1 00000000-0000-4000-8000-0000000000a1
\set b1 00000000-0000-4000-8000-0000000000b1
\set no_times '''{created_at,updated_at,preferences,config,performance_metrics}''::text[]'
SELECT count(*) AS nothing_known FROM history('strategies', :'b1');
SELECT pg_temp.mark('before');
SET LOCAL app.current_user_id = :'a1';
INSERT INTO users (id, email, username, password_hash, first_name) VALUES (:'a1', 'a1@example.com', 'a1', 'x', 'Ada');
SET LOCAL app.ip_address = '192.0.2.7';
SET LOCAL app.user_agent = 'terminal 3';
INSERT INTO strategies (id, user_id, name, type, description) VALUES (:'b1', :'a1', 's1', 'manual', 'first');
SELECT pg_temp.mark('inserted');
SET LOCAL app.current_user_id = '';
SET LOCAL app.ip_address = '';
SET LOCAL app.user_agent = '';
UPDATE strategies SET name = 's2', tags = '{x}' WHERE id = :'b1';
SELECT pg_temp.mark('renamed');
UPDATE strategies SET description = NULL WHERE id = :'b1';
INSERT INTO strategies (user_id, name, type) VALUES (:'a1', 'another', 'manual');
UPDATE strategies SET description = 'second' WHERE id = :'b1';
SELECT pg_temp.mark('described');
DELETE FROM strategies WHERE id = :'b1';
SELECT pg_temp.mark('deleted');
INSERT INTO strategies (id, user_id, name, type) VALUES (:'b1', :'a1', 'again', 'manual');
SELECT pg_temp.mark('again');

SELECT version, action, right(actor_id::text, 2) AS actor, session_user_name = session_user AS by_me, application_name, ip_address, user_agent, changed_columns,
       old_values - :no_times ->> 'name' AS old_name, new_values ->> 'name' AS new_name, old_values ? 'type' AS whole_old
  FROM history('strategies', :'b1') ORDER BY version;
SELECT bool_and(changed_at > before) AS in_order, bool_and(audit_id IN (SELECT id FROM audit_log)) AS ids
  FROM (SELECT *, lag(changed_at, 1, '-infinity') OVER (ORDER BY version) AS before FROM history('strategies', :'b1')) h;
SELECT name, row_as_of('fx.strategies', :'b1', at) ->> 'name' AS name_then, row_as_of('fx.strategies', :'b1', at) ->> 'description' AS description,
       row_as_of('fx.strategies', :'b1', at) -> 'tags' AS tags FROM moment ORDER BY at;
-- every column, as it is now
SELECT row_as_of('fx.strategies', :'b1', 'infinity') = to_jsonb(s) AS as_it_is FROM strategies s WHERE id = :'b1' AND set_config('timezone', 'UTC', true) <> '';
SELECT row_as_of('fx.strategies', :'b1', '-infinity'), row_as_of('fx.strategies', 'nobody', now()), row_as_of(NULL, :'b1', now()), row_as_of('fx.strategies', NULL, now()), row_as_of('fx.strategies', :'b1', NULL);
SELECT count(*) AS nothing FROM history(NULL, NULL);

-- secrets stay redacted
UPDATE users SET password_hash = 'y' WHERE id = :'a1';
SELECT version, new_values ->> 'password_hash' AS password, changed_columns FROM history('users', :'a1') ORDER BY version;
SELECT r ->> 'password_hash' AS password, r ? 'redacted_hashes' AS hashes, r ->> 'role' AS role FROM row_as_of('fx.users', :'a1', 'infinity') r;

-- TRUNCATE ends every row, once
SELECT pg_temp.mark('before truncate');
TRUNCATE strategies CASCADE;
SELECT pg_temp.mark('truncated');
TRUNCATE strategies CASCADE;
INSERT INTO strategies (id, user_id, name, type) VALUES (:'b1', :'a1', 'back', 'manual');
SELECT version, action FROM history('strategies', :'b1') ORDER BY version;
SELECT row_as_of('fx.strategies', :'b1', pg_temp.at('before truncate')) ->> 'name' AS before, row_as_of('fx.strategies', :'b1', pg_temp.at('truncated')) ->> 'name' AS after,
       row_as_of('fx.strategies', :'b1', 'infinity') ->> 'name' AS now;
SELECT count(*) AS of_no_row FROM history('strategies', 'nobody');

-- a row that was there before it was audited is known back to the beginning
CREATE TABLE public.audited_later (id integer PRIMARY KEY, a text, b text);
INSERT INTO public.audited_later VALUES (1, 'a', 'b'), (2, 'a', 'b'), (3, 'a', 'b');
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON public.audited_later FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
SELECT clock_timestamp() AS then \gset
UPDATE public.audited_later SET a = 'A' WHERE id = 1;
UPDATE public.audited_later SET b = 'B' WHERE id = 1;
DELETE FROM public.audited_later WHERE id = 2;
SELECT id, row_as_of('public.audited_later', id::text, :'then') AS then, row_as_of('public.audited_later', id::text, clock_timestamp()) AS now FROM generate_series(1, 3) AS id;
-- a row that got another key is none of that key before
UPDATE public.audited_later SET id = 4 WHERE id = 3;
SELECT id, row_as_of('public.audited_later', id::text, :'then') AS then, row_as_of('public.audited_later', id::text, clock_timestamp()) AS now FROM generate_series(3, 4) AS id;
-- a key of several columns
CREATE TABLE public.two_keys (a integer, b text, c text, PRIMARY KEY (a, b));
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON public.two_keys FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
INSERT INTO public.two_keys VALUES (1, 'x "y"', 'c');
SELECT h.action, row_as_of('public.two_keys', l.resource_id, clock_timestamp()) FROM audit_log l, history(l.resource_type, l.resource_id) h WHERE l.resource_type = audit_resource_type('public.two_keys');

-- whoever may not read the log has no history, and a user what he may see of it
SELECT count(*) AS all_of_it FROM history('strategies', :'b1');
SET LOCAL app.current_user_id = :'a1';
SET LOCAL ROLE fx_user;
SELECT count(*) AS what_he_did, bool_and(actor_id = :'a1') AS he_did FROM fx.history('strategies', :'b1');
SET LOCAL ROLE fx_reporting;
SELECT count(*) > 0 AS found FROM fx.history('strategies', :'b1');
RESET ROLE;
CREATE ROLE regress_nobody;
GRANT USAGE ON SCHEMA fx TO regress_nobody;
SET LOCAL ROLE regress_nobody;
\set VERBOSITY sqlstate
SAVEPOINT s;
SELECT count(*) FROM fx.history('strategies', '1');
ROLLBACK TO s;
SELECT fx.row_as_of('fx.strategies', '1', now());
ROLLBACK;
\set VERBOSITY default
