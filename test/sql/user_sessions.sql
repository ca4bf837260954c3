--
-- Signing in, sessions, and for whom a backend with one acts
--
\set SHOW_CONTEXT never
LOAD 'fxplatform';
SET fxplatform.password_cost = 4;
CREATE ROLE regress_fx_web IN ROLE fx_user;
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE statement INTO result;
    RETURN coalesce(result, 'NULL');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT fx.create_user('session.ada@example.com', 'session.ada', 'correct horse battery') AS ada,
       fx.create_user('session.bob@example.com', 'session.bob', 'password of bob') AS bob \gset
INSERT INTO fx.strategies (user_id, name, type) VALUES (:'ada', 'of ada', 'manual'), (:'bob', 'of bob', 'manual');

-- a login and its password: a token of which only the hash is stored
SELECT * FROM fx.sign_in('session.ada', 'wrong');
SET app.ip_address = '192.0.2.7';
SET app.user_agent = 'test';
SELECT status, token, user_id = :'ada' AS is_ada, session_id, expires_at - clock_timestamp() BETWEEN '23 hours' AND '24 hours' AS a_day, coalesce(retry_after::text, 'none') AS retry_after
  FROM fx.sign_in('SESSION.ada@example.com', 'correct horse battery') \gset
SELECT :'status' AS status, :'token' ~ '^fxs_[-_A-Za-z0-9]{43}$' AS token, :'is_ada' AS is_ada, :'a_day' AS a_day, :'retry_after' AS retry_after;
SELECT token_hash = sha256(:'token'::bytea) AS hashed, ip_address, user_agent, revoked_at, ends_at - created_at AS at_most
  FROM fx.sessions WHERE id = :'session_id';
SELECT last_login > clock_timestamp() - interval '1 minute' AS noted FROM fx.users WHERE id = :'ada';
SELECT status, token FROM fx.sign_in('session.ada', NULL) UNION ALL SELECT status, token FROM fx.sign_in(NULL, NULL) UNION ALL SELECT status, token FROM fx.sign_in('session.bob', 'correct horse battery');

-- a rise of the cost reaches the hash at the next sign-in
SET fxplatform.password_cost = 5;
SELECT status FROM fx.sign_in('session.ada', 'correct horse battery');
SELECT left(password_hash, 7) AS hash FROM fx.users WHERE id = :'ada';
SET fxplatform.password_cost = 4;
SELECT status FROM fx.sign_in('session.ada', 'correct horse battery');
SELECT left(password_hash, 7) AS hash FROM fx.users WHERE id = :'ada';

--
-- A bound backend acts for its user, whatever the setting says
--
SET ROLE fx_user;
SET app.current_user_id = :'bob';
SELECT fx.current_user_id() = :'bob' AS believed;
SELECT fx.use_session(:'token') = :'ada' AS bound;
SELECT fx.current_user_id() = :'ada' AS is_ada, fx.bound_session_id() = :'session_id' AS session;
SELECT name FROM fx.strategies ORDER BY 1;
-- it is not for the user to change
SELECT pg_temp.try(statement) FROM unnest(ARRAY[$$SET fxplatform.bound_session = ''$$, 'RESET fxplatform.bound_session', 'SET fxplatform.require_session = off', 'SET fxplatform.session_recheck = 3600',
    $$SELECT set_config('fxplatform.bound_session', '', false)$$, $$SELECT fx.bind_session('00000000-0000-4000-8000-00000000dead', '00000000-0000-4000-8000-00000000dead', now() + '1 day', false)$$,
    $$CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql SET fxplatform.bound_session = '' AS 'SELECT 1'$$]) AS statement;
RESET ROLE;
-- nor for a superuser, but by a token
SELECT pg_temp.try(format('SET fxplatform.bound_session = %L', :'bob' || ' ' || :'session_id'));
SET ROLE fx_user;
-- tokens are not guessed; one that is wrong leaves the backend to nobody
SELECT fx.use_session(left(:'token', -1) || 'x') IS NULL AS forged, fx.current_user_id() = :'bob' AS by_setting;
SELECT fx.use_session(:'token') IS NOT NULL AS again;
SELECT fx.use_session(NULL) IS NULL AS nothing, fx.bound_session_id() IS NULL AS free;
SELECT pg_temp.try($$SELECT fx.use_session('x', NULL)$$);

-- with require_session the setting alone is nothing
RESET ROLE;
SET fxplatform.require_session = on;
SET ROLE fx_user;
SELECT fx.current_user_id() IS NULL AS not_believed;
SELECT count(*) FROM fx.strategies;
SELECT fx.use_session(:'token') = :'ada' AS bound, fx.current_user_id() = :'ada' AS is_ada;
SELECT name FROM fx.strategies ORDER BY 1;
-- what a user may do for himself he may not do for another
SELECT fx.sign_out_everywhere(:'ada') > 0 AS own;
SELECT fx.current_user_id() IS NULL AS signed_out, fx.use_session(:'token') IS NULL AS void;
SELECT pg_temp.try(format('SELECT fx.sign_out_everywhere(%L)', :'bob')) = format('42501 permission denied for user "%s"', :'bob') AS refused, pg_temp.try('SELECT fx.sign_out_everywhere(NULL)');

-- transactions: as SET and SET LOCAL
SELECT token, session_id FROM fx.sign_in('session.ada', 'correct horse battery') \gset
BEGIN;
SELECT fx.use_session(:'token', local => true) = :'ada' AS bound, fx.current_user_id() = :'ada' AS is_ada;
COMMIT;
SELECT fx.current_user_id() IS NULL AS free;
BEGIN;
SELECT fx.use_session(:'token') = :'ada' AS bound;
ROLLBACK;
SELECT fx.current_user_id() IS NULL AS free;
BEGIN;
SELECT fx.use_session(:'token') = :'ada' AS bound;
SAVEPOINT s;
SELECT fx.use_session('x') IS NULL AS free;
ROLLBACK TO s;
SELECT fx.current_user_id() = :'ada' AS is_ada;
COMMIT;
SELECT fx.current_user_id() = :'ada' AS stays;
SELECT fx.leave_session() IS NOT NULL AS left, fx.current_user_id() IS NULL AS free;
SELECT fx.use_session(:'token') = :'ada' AS bound;
RESET ROLE;
-- one of a pool's next clients finds it free
DISCARD ALL;
SELECT fx.current_user_id() IS NULL AS free, fx.bound_session_id() IS NULL AS no_session;
\set SHOW_CONTEXT never
SET fxplatform.password_cost = 4;
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE statement INTO result;
    RETURN coalesce(result, 'NULL');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;

-- parallel workers act for the same user
BEGIN;
SELECT fx.use_session(:'token') = :'ada' AS bound;
CREATE TABLE public.many AS SELECT n FROM generate_series(1, 10000) AS n;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL parallel_leader_participation = off;
SET LOCAL app.current_user_id = :'bob';
SELECT count(*) FROM public.many WHERE n % 2 = 0 AND fx.current_user_id()::text || n = :'ada' || n;
ROLLBACK;

-- the end of a session: signed out, expired, its user gone; at once where it is looked up again
SET fxplatform.session_recheck = 0;
SELECT fx.use_session(:'token') = :'ada' AS bound;
UPDATE fx.sessions SET revoked_at = now() WHERE id = :'session_id';
SELECT fx.current_user_id() IS NULL AS revoked;
UPDATE fx.sessions SET revoked_at = NULL WHERE id = :'session_id';
SELECT fx.current_user_id() = :'ada' AS is_ada;
UPDATE fx.sessions SET expires_at = now() WHERE id = :'session_id';
SELECT fx.current_user_id() IS NULL AS expired, fx.use_session(:'token') IS NULL AS void;
UPDATE fx.sessions SET expires_at = ends_at WHERE id = :'session_id';
SELECT fx.use_session(:'token') = :'ada' AS bound;
UPDATE fx.users SET status = 'suspended' WHERE id = :'ada';
SELECT fx.current_user_id() IS NULL AS suspended, fx.use_session(:'token') IS NULL AS void;
UPDATE fx.users SET status = 'active', deleted_at = now() WHERE id = :'ada';
SELECT fx.use_session(:'token') IS NULL AS deleted;
UPDATE fx.users SET deleted_at = NULL WHERE id = :'ada';
SELECT fx.use_session(:'token') = :'ada' AS bound;
SELECT fx.sign_out(:'token') AS signed_out, fx.current_user_id() IS NULL AS free, fx.sign_out(:'token') AS again, fx.sign_out(NULL) AS nothing;
-- a backend that does not look again yet believes what it saw
SET fxplatform.session_recheck = '1h';
SELECT token, session_id FROM fx.sign_in('session.ada', 'correct horse battery') \gset
SELECT fx.use_session(:'token') = :'ada' AS bound;
UPDATE fx.sessions SET revoked_at = now() WHERE id = :'session_id';
SELECT fx.current_user_id() = :'ada' AS still;
SELECT fx.use_session(:'token') IS NULL AS void, fx.current_user_id() IS NULL AS free;
SET fxplatform.session_recheck = 0;
SELECT token, session_id FROM fx.sign_in('session.ada', 'correct horse battery') \gset
SELECT fx.use_session(:'token') = :'ada' AS bound;

-- use moves the end ahead, to the minute, never beyond the life of the session
UPDATE fx.sessions SET last_used_at = now() - interval '10 minutes', expires_at = now() + interval '5 minutes' WHERE id = :'session_id';
SET fxplatform.session_idle_timeout = '2h';
SELECT fx.use_session(:'token') = :'ada' AS bound;
SELECT expires_at - now() BETWEEN '119 minutes' AND '121 minutes' AS two_hours, last_used_at > now() - interval '1 minute' AS used FROM fx.sessions WHERE id = :'session_id';
UPDATE fx.sessions SET expires_at = now() + interval '5 minutes' WHERE id = :'session_id';
SELECT fx.use_session(:'token') = :'ada' AS bound;
SELECT expires_at < now() + interval '6 minutes' AS not_yet FROM fx.sessions WHERE id = :'session_id';
UPDATE fx.sessions SET last_used_at = now() - interval '10 minutes', expires_at = now() + interval '5 minutes', ends_at = now() + interval '7 minutes' WHERE id = :'session_id';
SELECT fx.use_session(:'token') = :'ada' AS bound;
SELECT expires_at = ends_at AS at_the_end FROM fx.sessions WHERE id = :'session_id';
UPDATE fx.sessions SET last_used_at = now() - interval '10 minutes', expires_at = now() + interval '5 minutes' WHERE id = :'session_id';
BEGIN READ ONLY;
SELECT fx.use_session(:'token', true) = :'ada' AS bound;
COMMIT;
BEGIN READ ONLY;
SELECT pg_temp.try($$SELECT status FROM fx.sign_in('session.ada', 'correct horse battery')$$);
COMMIT;
SET fxplatform.session_lifetime = '1h';
SELECT expires_at < now() + interval '61 minutes' AS an_hour FROM fx.sign_in('session.ada', 'correct horse battery');
RESET fxplatform.session_lifetime;
RESET fxplatform.session_idle_timeout;

-- a new password ends all sessions
SELECT fx.set_password(:'ada', 'new horse battery');
SELECT fx.use_session(:'token') IS NULL AS void, count(*) AS live FROM fx.sessions WHERE user_id = :'ada' AND revoked_at IS NULL;

--
-- Failures: the same for who exists and who does not, by login and by address, whatever is rolled back
--
SELECT fx.leave_session() IS NOT NULL AS left;
SELECT fx.forgive_attempts(fx.login_hash('session.ada'), '192.0.2.7');
RESET app.ip_address;
CREATE FUNCTION pg_temp.attempts(login text, n integer) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(status || CASE WHEN retry_after > '0' THEN ' ' || ceil(extract(epoch FROM retry_after)) ELSE '' END, ', ') FROM generate_series(1, n) AS i, fx.sign_in(login, 'wrong' || i)
$$;
SELECT pg_temp.attempts('session.ada', 7) AS known;
SELECT pg_temp.attempts('session.nobody', 7) AS unknown;
-- the right password does not help then, nor another letter case
SELECT status, token FROM fx.sign_in('session.ada', 'new horse battery') UNION ALL SELECT status, token FROM fx.sign_in('Session.ADA', 'new horse battery');
BEGIN;
SELECT pg_temp.attempts('session.rolled.back', 7) AS rolled_back;
ROLLBACK;
SELECT pg_temp.attempts('session.rolled.back', 2) AS rolled_back;
-- it grows, up to a limit: what the table knows is where the memory begins
SET fxplatform.sign_in_max_delay = '30s';
SELECT n AS attempts, round(extract(epoch FROM fx.charge_sign_in(sha256(n::text::bytea), 1, n, clock_timestamp()))) AS wait FROM generate_series(4, 12) AS n;
-- so long without an attempt takes one back
SELECT fx.charge_sign_in('\x0102030405060708', 1, 8, clock_timestamp() - interval '61 seconds') IS NULL AS two_taken_back;
SELECT ceil(extract(epoch FROM fx.charge_sign_in('\x0102030405060708', 1, 0, NULL))) AS as_after_seven;
SET fxplatform.sign_in_max_delay = 0;
SELECT pg_temp.attempts('session.off', 10) AS off;
RESET fxplatform.sign_in_max_delay;
SELECT pg_temp.try($$SELECT fx.charge_sign_in('\x01', 1, 0, NULL)$$);
-- by address, ten times as many; another address is free
SET fxplatform.sign_in_failures = 1;
SET app.ip_address = '198.51.100.1';
SELECT string_agg(s.status, ' ') FROM generate_series(1, 11) AS n, fx.sign_in('session.sprayed' || n, 'wrong') AS s;
SET app.ip_address = '198.51.100.2';
SELECT status FROM fx.sign_in('session.sprayed12', 'wrong');
-- a network of IPv6 is one
SELECT fx.address_key('2001:db8::1') = fx.address_key('2001:db8::ffff:1') AS same, fx.address_key('2001:db8:0:1::1') = fx.address_key('2001:db8::1') AS other;
RESET fxplatform.sign_in_failures;
-- the rows outlive the memory
SELECT count(*) AS failures, count(DISTINCT ip_address) AS addresses FROM fx.sign_in_failures WHERE login_hash = fx.login_hash('session.ADA');
UPDATE fx.sign_in_failures SET failed_at = now() - interval '2 days' WHERE login_hash = fx.login_hash('session.nobody');
SELECT status FROM fx.sign_in('session.somebody', 'wrong');
SELECT count(*) AS old FROM fx.sign_in_failures WHERE login_hash = fx.login_hash('session.nobody');
-- a success forgives the login
SELECT fx.forgive_sign_in(fx.login_hash('session.bob'), true);
SELECT pg_temp.attempts('session.bob', 4);
SELECT status FROM fx.sign_in('session.bob', 'password of bob');
SELECT pg_temp.attempts('session.bob', 4);
SELECT count(*) FROM fx.sign_in_failures WHERE login_hash = fx.login_hash('session.bob');
-- attempts at thousands of logins push out none that waits
SELECT fx.charge_sign_in(sha256('session.waits'), 1, 12, clock_timestamp()) > '0' AS waits;
SELECT count(*) AS free FROM generate_series(1, 20000) AS n WHERE fx.charge_sign_in(sha256(n::text::bytea || 'x'), 1, 0, NULL) IS NULL;
SELECT fx.charge_sign_in(sha256('session.waits'), 1, 0, NULL) > '0' AS waits_still;

-- whose word counts for the address
SELECT fx.client_address() AS of_an_application;
SET app.ip_address = 'no address';
SELECT fx.client_address() IS NULL AS none;
SET app.ip_address = '2001:db8::1';
SELECT fx.client_address();
SET SESSION AUTHORIZATION regress_fx_web;
SELECT fx.client_address() IS DISTINCT FROM '2001:db8::1' AS of_a_user, fx.acts_for_all();
RESET SESSION AUTHORIZATION;
SELECT fx.acts_for_all() AS superuser;
SET ROLE fx_app;
SELECT fx.acts_for_all() AS app;
RESET ROLE;

-- who reads what: his own sessions, and no hash
SELECT fx.sign_out_everywhere(:'ada') >= 0 AS ended;
SET app.current_user_id = :'bob';
SET ROLE fx_user;
SELECT count(*) AS own, count(*) FILTER (WHERE user_id <> :'bob') AS of_others FROM fx.sessions;
SELECT pg_temp.try(statement) FROM unnest(ARRAY['SELECT token_hash FROM fx.sessions', 'SELECT * FROM fx.sign_in_failures', $$INSERT INTO fx.sessions (user_id) VALUES ('00000000-0000-4000-8000-00000000dead')$$,
    'DELETE FROM fx.sessions', 'UPDATE fx.sessions SET expires_at = now()', $$SELECT fx.forgive_sign_in('\x0102030405060708', true)$$, $$SELECT setval('fx.sign_in_memory', 1)$$, 'SELECT last_value FROM fx.sign_in_memory',
    $$SELECT fx.charge_attempt('\x0102030405060708', NULL)$$, $$SELECT fx.random_token('x')$$]) AS statement;
SET ROLE fx_app;
SELECT count(*) > 0 AS app FROM fx.sessions;
SELECT pg_temp.try(statement) FROM unnest(ARRAY['SELECT token_hash FROM fx.sessions', 'SELECT * FROM fx.sign_in_failures', 'DELETE FROM fx.sessions']) AS statement;
SET ROLE fx_reporting;
SELECT count(*) > 0 AS reporting FROM fx.sessions;
SELECT pg_temp.try(statement) FROM unnest(ARRAY['SELECT token_hash FROM fx.sessions', 'SELECT ip_address FROM fx.sessions', $$SELECT fx.use_session('x')$$, $$SELECT * FROM fx.sign_in('x', 'y')$$]) AS statement;
RESET ROLE;
-- neither tokens nor passwords are in the audit log
SELECT count(*) AS leaks FROM fx.audit_log WHERE concat(old_values, new_values) ~ 'fxs_|horse|\$2a\$|session\.(ada|bob)';

RESET app.current_user_id;
DELETE FROM fx.users WHERE id IN (:'ada', :'bob');
SELECT count(*) FROM fx.sessions;
TRUNCATE fx.sign_in_failures;
DROP ROLE regress_fx_web;
