--
-- The audit trail (defects 1 to 8)
--
BEGIN;
SET LOCAL search_path = fx, public;
SET LOCAL timezone = 'Asia/Kolkata';
CREATE FUNCTION pg_temp.log(tab text) RETURNS TABLE (who text, action text, id text, old_values jsonb, new_values jsonb) LANGUAGE sql AS $$
    SELECT right(user_id::text, 2), action, right(resource_id, 2),
           old_values - '{created_at,updated_at,preferences}'::text[], new_values - '{created_at,updated_at,preferences}'::text[]
      FROM fx.audit_log WHERE resource_type = tab ORDER BY created_at
$$;
-- secrets are redacted (7), values are in UTC, updates have old values (4)
SET LOCAL app.current_user_id = '';
INSERT INTO users (id, email, username, password_hash, api_key_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'hash1', NULL);
SET LOCAL app.current_user_id = '00000000-0000-4000-8000-0000000000A1';
UPDATE users SET password_hash = 'hash2', two_factor_secret = 's', last_login = '2024-07-01 05:30+05:30';
SELECT who, action, new_values ->> 'password_hash' AS password, old_values ->> 'two_factor_secret' AS old_secret, new_values ->> 'two_factor_secret' AS secret,
       new_values ->> 'api_key_hash' AS key, new_values ->> 'last_login' AS utc FROM pg_temp.log('users');
SELECT count(*) AS leaks FROM audit_log WHERE concat(old_values, new_values) ~ 'hash1|hash2';

-- insert, update, update, delete in one transaction keep their order (4); an update that changes nothing is none (5)
INSERT INTO strategies (id, user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', 's1', 'manual');
UPDATE strategies SET name = 's2';
UPDATE strategies SET name = 's2';
UPDATE strategies SET name = 's3', tags = '{x}';
DELETE FROM strategies;
SELECT who, action, id, old_values ->> 'name' AS old, new_values ->> 'name' AS new FROM pg_temp.log('strategies');
SELECT count(DISTINCT created_at) = count(*) AS times_differ FROM audit_log;

-- no actor stops a write (1, 2): none, nobody's, no uuid at all
RESET app.current_user_id;
INSERT INTO risk_limits (id, user_id, name, type, limit_type, limit_value) VALUES ('00000000-0000-4000-8000-0000000000e1', '00000000-0000-4000-8000-0000000000a1', 'l', 'daily_loss', 'absolute', 1);
SET LOCAL app.current_user_id = '00000000-0000-4000-8000-00000000dead';
UPDATE risk_limits SET limit_value = 2;
SET LOCAL app.current_user_id = 'service:bot';
UPDATE risk_limits SET limit_value = 3;
UPDATE risk_limits SET limit_value = 4;
SELECT who, action, new_values -> 'limit_value' AS value FROM pg_temp.log('risk_limits');

-- TRUNCATE (6)
TRUNCATE risk_limits;
SELECT action, id FROM pg_temp.log('risk_limits') WHERE action = 'TRUNCATE';
-- a table without id, and one whose name is longer than the column (6)
CREATE TABLE public.a_table_of_the_user_with_a_name_of_nearly_sixty_three_letters (note text);
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON public.a_table_of_the_user_with_a_name_of_nearly_sixty_three_letters
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
INSERT INTO public.a_table_of_the_user_with_a_name_of_nearly_sixty_three_letters VALUES ('x');
SELECT action, resource_type, resource_id, new_values FROM audit_log WHERE resource_type LIKE 'public.a_table%';

-- a user deletes himself (3); what he did is kept
SET LOCAL app.current_user_id = '00000000-0000-4000-8000-0000000000a1';
INSERT INTO strategies (id, user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000b2', '00000000-0000-4000-8000-0000000000a1', 's4', 'manual');
SELECT count(*) AS by_him FROM audit_log WHERE user_id = '00000000-0000-4000-8000-0000000000a1';
DELETE FROM users;
SELECT resource_type, action, count(*), count(user_id) AS with_actor FROM audit_log GROUP BY 1, 2 ORDER BY 1, 2;
SELECT right(old_values ->> 'id', 2) AS who_went, right(actor_id::text, 2) AS actor FROM audit_log WHERE (resource_type, action) = ('users', 'DELETE');

-- nothing diverts it: a temporary table, a search path, an operator of somebody else's
CREATE TEMPORARY TABLE audit_log (LIKE fx.audit_log) ON COMMIT DROP;
CREATE TEMPORARY TABLE users (LIKE fx.users) ON COMMIT DROP;
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.no(uuid, uuid) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR hostile.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = hostile.no);
SET LOCAL search_path = hostile, pg_temp, pg_catalog;
INSERT INTO fx.users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x');
UPDATE fx.users SET username = 'b';
SELECT (SELECT pg_catalog.count(*) FROM pg_temp.audit_log) AS diverted,
       (SELECT pg_catalog.count(*) FROM fx.audit_log WHERE user_id IS NOT NULL AND action::text OPERATOR(pg_catalog.=) 'UPDATE') AS recorded;
ROLLBACK;

-- a pooled session: SET LOCAL in one transaction, a write in the next (1)
BEGIN;
SET LOCAL app.current_user_id = '00000000-0000-4000-8000-0000000000a1';
COMMIT;
SELECT current_setting('app.current_user_id', true) = '' AS empty;
INSERT INTO fx.users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x');
DELETE FROM fx.users;
DELETE FROM fx.audit_log;
