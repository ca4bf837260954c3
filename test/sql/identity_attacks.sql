--
-- What a user with SQL of his own tries against the functions of identity
--
\set SHOW_CONTEXT never
LOAD 'fxplatform';
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
SELECT fx.create_user('attack.ada@example.com', 'attack.ada', 'correct horse battery') AS ada, fx.create_user('attack.bob@example.com', 'attack.bob', 'password of bob') AS bob \gset
INSERT INTO fx.strategies (user_id, name, type) VALUES (:'ada', 'of ada', 'manual'), (:'bob', 'of bob', 'manual');
SELECT token FROM fx.sign_in('attack.bob', 'password of bob') \gset
SELECT session_id AS of_ada FROM fx.sign_in('attack.ada', 'correct horse battery') \gset
SET fxplatform.require_session = on;

--
-- Objects planted in every schema that he can write
--
CREATE SCHEMA hostile;
GRANT ALL ON SCHEMA hostile TO fx_user;
SET ROLE fx_user;
CREATE FUNCTION hostile.yes(uuid, uuid) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION hostile.yes(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION hostile.yes(bytea, bytea) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION hostile.yes(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR hostile.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = hostile.yes);
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.yes);
CREATE OPERATOR hostile.= (LEFTARG = bytea, RIGHTARG = bytea, FUNCTION = hostile.yes);
CREATE OPERATOR hostile.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = hostile.yes);
CREATE FUNCTION hostile.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT '\x00'::bytea $$;
CREATE FUNCTION hostile.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'attack.ada' $$;
CREATE FUNCTION hostile.crypt(text, text) RETURNS text LANGUAGE sql AS $$ SELECT $2 $$;
CREATE FUNCTION hostile.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz '2000-01-01' $$;
CREATE FUNCTION hostile.current_user_id() RETURNS uuid LANGUAGE sql AS $$ SELECT '00000000-0000-4000-8000-00000000dead'::uuid $$;
CREATE TEMPORARY TABLE users (id uuid, email text, username text, password_hash text, status text, deleted_at timestamptz, two_factor_enabled boolean);
INSERT INTO pg_temp.users VALUES (:'ada', 'attack.ada@example.com', 'attack.ada', 'x', 'active');
CREATE TEMPORARY TABLE sessions (LIKE pg_temp.users);
SET search_path = hostile, pg_temp, pg_catalog;
SELECT status, token FROM fx.sign_in('attack.ada', 'not her password');
SELECT fx.use_session('fxs_x') IS NULL AS no_session, fx.use_session(:'token') OPERATOR(pg_catalog.=) :'bob'::uuid AS his_own, fx.current_user_id() OPERATOR(pg_catalog.=) :'bob'::uuid AS is_bob;
SELECT pg_catalog.count(*) AS his_own FROM fx.strategies;
SELECT fx.revoke_api_key(:'of_ada') AS key_of_another, fx.sign_out('x') AS session_of_another;
SELECT pg_temp.try(pg_catalog.format('SELECT fx.sign_out_everywhere(%L)', :'ada')) OPERATOR(pg_catalog.~~) '42501 %' AS signs_out_another, pg_temp.try(pg_catalog.format('SELECT fx.issue_api_key(%L, %L)', :'ada', 'x')) OPERATOR(pg_catalog.~~) '42501 %' AS key_for_another,
       pg_temp.try(pg_catalog.format('SELECT fx.enable_two_factor(%L)', :'ada')) OPERATOR(pg_catalog.~~) '42501 %' AS factor_of_another;
RESET search_path;
DROP TABLE pg_temp.users, pg_temp.sessions;

-- a setting of a function does what SET may do
SELECT pg_temp.try(statement) FROM unnest(ARRAY[$$CREATE FUNCTION hostile.f() RETURNS int LANGUAGE sql SET fxplatform.require_session = off AS 'SELECT 1'$$, $$CREATE FUNCTION hostile.f() RETURNS int LANGUAGE sql SET fxplatform.bound_session FROM CURRENT AS 'SELECT 1'$$,
    'ALTER ROLE fx_user SET fxplatform.require_session = off', $$DO 'BEGIN PERFORM set_config(''fxplatform.require_session'', ''off'', true); END'$$]) AS statement;
SELECT fx.current_user_id() = :'bob' AS is_bob;

--
-- Text that would be SQL, in every text argument
--
SELECT n, count(*) FILTER (WHERE answer IN ('NULL', 'false') OR answer ~ '^(failed|delayed|42501 permission denied for )') AS harmless, count(*) AS of
  FROM (VALUES (1, 'SELECT fx.use_session(%L)'), (2, 'SELECT fx.sign_out(%L)'), (3, 'SELECT status FROM fx.sign_in(%L, ''x'')'), (4, 'SELECT status FROM fx.sign_in(''attack.injected'', %L)'),
               (5, 'SELECT status FROM fx.sign_in(''attack.injected'', ''x'', %L)'), (6, 'SELECT fx.verify_email(%L)'), (7, 'SELECT fx.verify_totp(''00000000-0000-4000-8000-00000000dead'', %L)')) AS c (n, call),
       unnest(ARRAY[$q$'; UPDATE fx.users SET role = 'admin'; --$q$, $q$' OR true --$q$, '%I %s %L', '\'';', $q$$$; DROP TABLE fx.users; $$$q$]) AS evil,
       LATERAL pg_temp.try(format(call, evil)) AS answer
 GROUP BY n ORDER BY n;
SELECT fx.use_session(:'token') = :'bob' AS is_bob;
SELECT fx.issue_api_key(:'bob', $q$x'); DELETE FROM fx.users; --$q$, ARRAY[$q$'; DROP TABLE fx.users; --$q$]) IS NOT NULL AS issued;
SELECT name, scopes FROM fx.api_keys;
SET app.user_agent = $q$'); DELETE FROM fx.sessions; --$q$;
SET app.ip_address = $q$'; DROP TABLE fx.users; --$q$;
SELECT status FROM fx.sign_in('attack.bob', 'password of bob');
SELECT user_agent FROM fx.sessions WHERE user_agent IS NOT NULL;
RESET app.user_agent;
RESET app.ip_address;

--
-- Other users' rows, errors that tell of them, statistics
--
SELECT pg_temp.try(statement) FROM unnest(ARRAY['SELECT count(*) FROM fx.email_verifications', 'SELECT count(*) FROM fx.two_factor', $$UPDATE fx.users SET role = 'admin'$$, $$UPDATE fx.users SET status = 'x'$$,
    $$UPDATE fx.users SET deleted_at = now()$$, $$UPDATE fx.users SET email_verified = true$$, 'UPDATE fx.api_keys SET revoked_at = NULL', 'TRUNCATE fx.sessions', 'DROP TABLE fx.sessions',
    'DROP POLICY sessions_own ON fx.sessions', 'ALTER TABLE fx.sessions DISABLE ROW LEVEL SECURITY', 'SET row_security = off; SELECT count(*) FROM fx.sessions']) AS statement;
SELECT count(*) FILTER (WHERE user_id <> :'bob') AS of_others FROM fx.sessions;
-- a function that tells what it is called with is not called with rows of others
CREATE FUNCTION hostile.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END $$;
SELECT name FROM fx.strategies WHERE hostile.tell(name);
SELECT count(*) AS told FROM fx.sessions WHERE hostile.tell('one');
RESET ROLE;
ANALYZE fx.users, fx.sessions, fx.api_keys;
SET ROLE fx_user;
SELECT tablename, attname FROM pg_stats WHERE schemaname = 'fx' AND tablename IN ('users', 'sessions', 'api_keys', 'sign_in_failures', 'two_factor', 'email_verifications');
RESET ROLE;
SET ROLE fx_reporting;
SELECT tablename, attname FROM pg_stats WHERE schemaname = 'fx' AND tablename IN ('users', 'sessions', 'api_keys', 'sign_in_failures', 'two_factor', 'email_verifications');
RESET ROLE;

SET client_min_messages = warning;
DROP SCHEMA hostile CASCADE;
RESET client_min_messages;
RESET fxplatform.require_session;
SELECT fx.leave_session() IS NOT NULL AS left;
DELETE FROM fx.users WHERE id IN (:'ada', :'bob');
TRUNCATE fx.sign_in_failures;
