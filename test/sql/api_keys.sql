--
-- Keys of the API: shown once, found by their prefix, with scopes and an end
--
\set SHOW_CONTEXT never
BEGIN;
SET LOCAL fxplatform.password_cost = 4;
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
SELECT fx.create_user('ada@example.com', 'ada', 'correct horse battery') AS ada, fx.create_user('bob@example.com', 'bob', 'password of bob') AS bob \gset

SET LOCAL ROLE fx_app;
SELECT fx.issue_api_key(:'ada', 'bot') AS first \gset
SELECT fx.issue_api_key(:'ada', 'trader', '{read,trade}', now() + interval '1 day') AS second \gset
SELECT :'first' ~ '^fxk_[0-9a-f]{12}_[-_A-Za-z0-9]{43}$' AS shape, octet_length(:'first') AS bytes, :'first' <> :'second' AS differ;
SELECT user_id = :'ada' AS is_ada, scopes FROM fx.verify_api_key(:'first');
SELECT user_id = :'ada' AS is_ada, scopes, key_id = (SELECT id FROM fx.api_keys WHERE name = 'trader') AS key FROM fx.verify_api_key(:'second');
SELECT count(*) AS wrong FROM unnest(ARRAY[:'first' || 'x', left(:'first', -1), upper(:'first'), left(:'first', 16), left(:'first', 17) || right(:'second', 43), '', NULL]) AS key, fx.verify_api_key(key);
SELECT name, scopes, expires_at > now() AS expires, last_used_at > now() AS used, revoked_at FROM fx.api_keys ORDER BY name;
RESET ROLE;
-- what is stored: sha256 of each, and bcrypt of the newest where the specification has it
SELECT name, key_hash = sha256((CASE name WHEN 'bot' THEN :'first' ELSE :'second' END)::bytea) AS hashed FROM fx.api_keys ORDER BY name;
SELECT fx.password_matches(:'first', api_key_hash) AS first, fx.password_matches(:'second', api_key_hash) AS newest FROM fx.users WHERE id = :'ada';
-- a key is found by an index
SET LOCAL enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT FROM fx.api_keys k WHERE k.prefix = left(:'first', 16) \g (format=unaligned tuples_only=on) | grep -c idx_api_keys_prefix
RESET enable_seqscan;

-- its end
UPDATE fx.api_keys SET expires_at = now() WHERE name = 'trader';
SELECT count(*) AS expired FROM fx.verify_api_key(:'second');
UPDATE fx.api_keys SET expires_at = NULL WHERE name = 'trader';
SELECT count(*) AS for_ever FROM fx.verify_api_key(:'second');
UPDATE fx.users SET status = 'suspended' WHERE id = :'ada';
SELECT count(*) AS suspended FROM fx.verify_api_key(:'second');
UPDATE fx.users SET status = 'active', deleted_at = now() WHERE id = :'ada';
SELECT count(*) AS deleted FROM fx.verify_api_key(:'second');
UPDATE fx.users SET deleted_at = NULL WHERE id = :'ada';
SELECT id AS bot FROM fx.api_keys WHERE name = 'bot' \gset
SELECT id AS trader FROM fx.api_keys WHERE name = 'trader' \gset
SELECT fx.revoke_api_key(:'bot') AS revoked, fx.revoke_api_key(:'bot') AS again, fx.revoke_api_key(NULL) AS nothing;
SELECT count(*) AS revoked FROM fx.verify_api_key(:'first');
SELECT api_key_hash IS NOT NULL AS newest_stays FROM fx.users WHERE id = :'ada';

-- a user has his own, and of others learns nothing
SELECT fx.issue_api_key(:'bob', 'of bob') AS third \gset
SELECT id AS of_bob FROM fx.api_keys WHERE name = 'of bob' \gset
SET LOCAL app.current_user_id = :'ada';
SET LOCAL ROLE fx_user;
SELECT name FROM fx.api_keys ORDER BY name;
SELECT fx.revoke_api_key(:'of_bob') AS of_bob, fx.revoke_api_key(:'trader') AS own;
SELECT fx.issue_api_key(:'ada', 'mine', '{read}') IS NOT NULL AS own;
SELECT pg_temp.try(format('SELECT fx.issue_api_key(%L, %L)', :'bob', 'x')) = format('42501 permission denied for user "%s"', :'bob') AS refused;
SELECT pg_temp.try(statement) FROM unnest(ARRAY['SELECT key_hash FROM fx.api_keys', $$SELECT * FROM fx.verify_api_key('x')$$, $$UPDATE fx.api_keys SET scopes = '{trade}'$$, 'DELETE FROM fx.api_keys',
    $$SELECT fx.issue_api_key('00000000-0000-4000-8000-00000000dead', 'x')$$, $$SELECT fx.issue_api_key(NULL, 'x')$$]) AS statement;
SET LOCAL app.current_user_id = '';
SELECT count(*) AS nobody FROM fx.api_keys;
SET LOCAL ROLE fx_reporting;
SELECT name FROM fx.api_keys ORDER BY name;
SELECT pg_temp.try(statement) FROM unnest(ARRAY['SELECT key_hash FROM fx.api_keys', $$SELECT fx.issue_api_key('00000000-0000-4000-8000-00000000dead', 'x')$$]) AS statement;
SET LOCAL ROLE fx_app;
SELECT pg_temp.try(statement) FROM unnest(ARRAY['SELECT key_hash FROM fx.api_keys', $$SELECT fx.issue_api_key('00000000-0000-4000-8000-00000000dead', 'x')$$,
    format('SELECT fx.issue_api_key(%L, NULL)', :'ada'), format('SELECT fx.issue_api_key(%L, %L, NULL)', :'ada', 'x'), format('SELECT fx.issue_api_key(%L, %L, %L)', :'ada', 'x', '{NULL}'),
    format('SELECT fx.issue_api_key(%L, %L, %L, %L)', :'ada', 'x', '{}', now()), format('SELECT fx.issue_api_key(%L, %L)', :'ada', repeat('x', 101))]) AS statement;
RESET ROLE;

-- the audit log has what was done with keys, and no key
SELECT action, changed_columns, coalesce(new_values, old_values) ->> 'key_hash' AS key, count(*) FROM fx.audit_log WHERE resource_type = 'api_keys' GROUP BY 1, 2, 3 ORDER BY 1, 2;
SELECT count(*) AS leaks FROM fx.audit_log, unnest(ARRAY[:'first', :'second', :'third']) AS key WHERE position(key IN concat(old_values, new_values)) > 0;
ROLLBACK;
