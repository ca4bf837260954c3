--
-- Users, their passwords and emails
--
\set SHOW_CONTEXT never
BEGIN;
SET LOCAL fxplatform.password_cost = 4;
CREATE TEMPORARY TABLE seen (what text, value text) ON COMMIT DROP;
GRANT ALL ON seen TO fx_app;
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;

SET LOCAL ROLE fx_app;
INSERT INTO seen SELECT 'ada', fx.create_user('Ada@Example.com', 'ada', 'correct horse battery', 'Ada', preferences => '{"accountCurrency": "EUR"}');
SELECT email, username, first_name, last_name, role, status, email_verified, two_factor_enabled, preferences, password_hash ~ '^\$2a\$04\$.{53}$' AS bcrypt
  FROM fx.users WHERE id = (SELECT value::uuid FROM seen WHERE what = 'ada');

-- what is no user
SELECT n, pg_temp.try(statement) AS verdict FROM (VALUES
    (1, $$SELECT fx.create_user(NULL, 'x', 'correct horse battery')$$),
    (2, $$SELECT fx.create_user('x@example.com', NULL, 'correct horse battery')$$),
    (3, $$SELECT fx.create_user('x@example.com', 'x', NULL)$$),
    (4, $$SELECT fx.create_user('x@example.com', 'x', 'elevenchars')$$),
    (5, $$SELECT fx.create_user('x@example.com', 'x', repeat('x', 73))$$),
    (6, $$SELECT fx.create_user('nobody', 'x', 'correct horse battery')$$),
    (7, $$SELECT fx.create_user('x@example.com', 'x', 'correct horse battery', preferences => '[]')$$),
    (8, $$SELECT fx.create_user('ADA@example.com', 'x', 'correct horse battery')$$),
    (9, $$SELECT fx.create_user('x@example.com', 'ada', 'correct horse battery')$$),
    (10, $$SELECT fx.create_user('x@example.com', repeat('x', 101), 'correct horse battery')$$)
  ) AS v (n, statement) ORDER BY n;
-- a row that is refused does not show its hash
SAVEPOINT s;
SELECT fx.create_user('nobody', 'x', 'correct horse battery');
ROLLBACK TO s;

-- by email in any letter case or by username; NULL is wrong
SELECT login, password, fx.verify_password(login, password)
  FROM (VALUES ('ada@EXAMPLE.com', 'correct horse battery'), ('ada', 'correct horse battery'), ('ADA', 'correct horse battery'), ('ada', 'Correct horse battery'),
               ('ada', ''), ('ada', NULL), ('nobody', 'correct horse battery'), (NULL, 'x'), ('ada', repeat('x', 100))) AS v (login, password);
-- what bcrypt does not read is not ignored
SELECT fx.set_password(value::uuid, repeat('x', 72)) FROM seen WHERE what = 'ada';
SELECT fx.verify_password('ada', repeat('x', 72)) AS all_of_it, fx.verify_password('ada', repeat('x', 72) || 'y') AS more;
-- an umlaut is one character and two bytes
SELECT n, pg_temp.try(format('SELECT fx.set_password(%L, %L)', (SELECT value FROM seen WHERE what = 'ada'), repeat('ä', n))) FROM unnest(ARRAY[11, 12, 36, 37]) AS n;
SELECT pg_temp.try($$SELECT fx.set_password('00000000-0000-4000-8000-00000000dead', 'correct horse battery')$$), pg_temp.try($$SELECT fx.set_password(NULL, 'correct horse battery')$$),
       pg_temp.try($$SELECT fx.set_password('00000000-0000-4000-8000-00000000dead', NULL)$$);

-- hashes that are none match nothing, and are no error
RESET ROLE;
SELECT left(hash, 8) AS hash, fx.password_matches('x', hash), fx.hash_is_weak(hash)
  FROM unnest(ARRAY['x', '', '$1$salt$hash', '$2a$04$', '$2a$04$' || repeat('!', 53), '$2a$99$' || repeat('.', 53), repeat('x', 60), NULL]) AS hash;
-- the same work whatever the hash: 2^cost runs of bcrypt, by the clock, in the middle of seven
SET LOCAL fxplatform.password_cost = 8;
CREATE FUNCTION pg_temp.cost(hash text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    times float8[];
BEGIN
    FOR i IN 1..7 LOOP
        started := clock_timestamp();
        PERFORM fx.password_matches('correct horse battery', hash);
        times := times || extract(epoch FROM clock_timestamp() - started)::float8;
    END LOOP;
    RETURN (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(times) AS t);
END
$$;
WITH t AS (SELECT pg_temp.cost(fx.hash_password('another password')) AS wrong, pg_temp.cost(NULL) AS unknown, pg_temp.cost('x') AS none,
                  pg_temp.cost((SELECT password_hash FROM fx.users WHERE username = 'ada')) AS cheaper)
SELECT unknown / wrong BETWEEN 0.25 AND 4 AS unknown, none / wrong BETWEEN 0.25 AND 4 AS none, cheaper / wrong BETWEEN 0.25 AND 4 AS cheaper FROM t;
SET LOCAL fxplatform.password_cost = 4;

-- deleted and other users do not sign in
SELECT fx.set_password(value::uuid, 'correct horse battery') FROM seen WHERE what = 'ada';
SELECT fx.verify_password('ada', 'correct horse battery') AS active;
UPDATE fx.users SET status = 'suspended' WHERE username = 'ada';
SELECT fx.verify_password('ada', 'correct horse battery') AS suspended;
UPDATE fx.users SET status = 'active', deleted_at = now() WHERE username = 'ada';
SELECT fx.verify_password('ada', 'correct horse battery') AS deleted;
SELECT pg_temp.try(format('SELECT fx.set_password(%L, %L)', value, 'correct horse battery')) = format('P0002 user "%s" does not exist', value) AS deleted FROM seen WHERE what = 'ada';
UPDATE fx.users SET deleted_at = NULL WHERE username = 'ada';
-- a username that is another one's email is of no use
INSERT INTO seen SELECT 'eve', fx.create_user('eve@example.com', 'ada@example.com', 'password of eve');
SELECT fx.verify_password('ada@example.com', 'password of eve') AS eve, fx.verify_password('ada@example.com', 'correct horse battery') AS ada;

-- verification of emails: once, in time, of the address that was asked for
SET LOCAL ROLE fx_app;
INSERT INTO seen SELECT 'first', fx.request_email_verification(value::uuid) FROM seen WHERE what = 'ada';
INSERT INTO seen SELECT 'second', fx.request_email_verification(value::uuid) FROM seen WHERE what = 'ada';
SELECT value ~ '^fxv_[-_A-Za-z0-9]{43}$' AS token FROM seen WHERE what = 'second';
RESET ROLE;
SELECT count(*), bool_and(token_hash = sha256(value::bytea)) AS hashed FROM fx.email_verifications v JOIN seen ON seen.what = 'second' WHERE v.user_id = (SELECT value::uuid FROM seen WHERE what = 'ada');
SET LOCAL ROLE fx_app;
SELECT what, fx.verify_email(value) IS NULL AS void FROM seen WHERE what = 'first';
SELECT fx.verify_email('fxv_x') IS NULL AS unknown, fx.verify_email(NULL) IS NULL AS nothing;
SELECT email_verified FROM fx.users WHERE username = 'ada';
SELECT fx.verify_email(value) = (SELECT value::uuid FROM seen WHERE what = 'ada') AS verified FROM seen WHERE what = 'second';
SELECT email_verified FROM fx.users WHERE username = 'ada';
SELECT fx.verify_email(value) IS NULL AS used FROM seen WHERE what = 'second';
UPDATE fx.users SET email_verified = false WHERE username = 'ada';
UPDATE seen SET value = fx.request_email_verification((SELECT value::uuid FROM seen WHERE what = 'ada')) WHERE what = 'first';
UPDATE fx.users SET email = 'ada@example.org' WHERE username = 'ada';
SELECT fx.verify_email(value) IS NULL AS moved FROM seen WHERE what = 'first';
UPDATE seen SET value = fx.request_email_verification((SELECT value::uuid FROM seen WHERE what = 'ada'), '1 microsecond') WHERE what = 'first';
SELECT fx.verify_email(value) IS NULL AS expired FROM seen WHERE what = 'first';
SELECT email_verified FROM fx.users WHERE username = 'ada';
SELECT pg_temp.try($$SELECT fx.request_email_verification('00000000-0000-4000-8000-00000000dead')$$), pg_temp.try('SELECT fx.request_email_verification(NULL)'),
       pg_temp.try($$SELECT fx.request_email_verification('00000000-0000-4000-8000-00000000dead', '0')$$), pg_temp.try($$SELECT fx.request_email_verification('00000000-0000-4000-8000-00000000dead', NULL)$$);

-- nobody else
SET LOCAL ROLE fx_user;
SELECT pg_temp.try(statement) FROM unnest(ARRAY[$$SELECT fx.create_user('x@example.com', 'x', 'correct horse battery')$$, $$SELECT fx.set_password('00000000-0000-4000-8000-00000000dead', 'correct horse battery')$$,
    $$SELECT fx.verify_password('ada', 'x')$$, $$SELECT fx.request_email_verification('00000000-0000-4000-8000-00000000dead')$$, $$SELECT fx.verify_email('x')$$,
    $$SELECT fx.hash_password('x')$$, $$SELECT fx.password_matches('x', 'x')$$, $$SELECT fx.find_login('ada')$$]) AS statement;
RESET ROLE;
-- neither the log of changes nor any other table has a password
SELECT count(*) AS leaks FROM fx.audit_log WHERE concat(old_values, new_values) ~ 'horse|\$2a\$';
ROLLBACK;
