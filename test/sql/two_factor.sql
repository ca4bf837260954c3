--
-- One-time codes of a second factor
--
\set SHOW_CONTEXT never
-- RFC 6238, appendix B
SELECT s AS seconds, fx.totp('12345678901234567890', to_timestamp(s), 8) AS sha1,
       fx.totp('12345678901234567890123456789012', to_timestamp(s), 8, 30, 'sha256') AS sha256,
       fx.totp('1234567890123456789012345678901234567890123456789012345678901234', to_timestamp(s), 8, 30, 'SHA512') AS sha512
  FROM unnest(ARRAY[59, 1111111109, 1111111111, 1234567890, 2000000000, 20000000000]) AS s ORDER BY s;
-- RFC 4226, appendix D: counters from 0 to 9
SELECT string_agg(fx.totp('12345678901234567890', to_timestamp(n), 6, 1), ' ' ORDER BY n) AS hotp FROM generate_series(0, 9) AS n;
-- a code holds for its period, whatever the time zone
SELECT fx.totp('12345678901234567890', '2024-01-01 00:00:00+00') = fx.totp('12345678901234567890', '2024-01-01 05:30:29.999999+05:30') AS same,
       fx.totp('12345678901234567890', '2024-01-01 00:00:00+00') = fx.totp('12345678901234567890', '2024-01-01 00:00:30+00') AS next;
SELECT fx.totp(NULL, now()) IS NULL AS nothing;
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
SELECT pg_temp.try(statement) FROM unnest(ARRAY[$$SELECT fx.totp('short', now())$$, $$SELECT fx.totp('12345678901234567890', now(), 5)$$, $$SELECT fx.totp('12345678901234567890', now(), 10)$$,
    $$SELECT fx.totp('12345678901234567890', now(), 6, 0)$$, $$SELECT fx.totp('12345678901234567890', now(), 6, 30, 'md5')$$, $$SELECT fx.totp('12345678901234567890', 'infinity')$$,
    $$SELECT fx.totp('12345678901234567890', '1969-12-31 23:59:59+00')$$]) AS statement;

-- RFC 4648, section 10
SELECT v, fx.base32_encode(v::bytea), convert_from(fx.base32_decode(fx.base32_encode(v::bytea)), 'UTF8') AS back FROM unnest(ARRAY['', 'f', 'fo', 'foo', 'foob', 'fooba', 'foobar']) AS v ORDER BY v;
SELECT convert_from(fx.base32_decode('mzxw6yq='), 'UTF8') AS padded, pg_temp.try($$SELECT fx.base32_decode('MZXW1')$$) AS no_digit;
SELECT bool_and(fx.base32_decode(fx.base32_encode(b)) = b) AS all_lengths FROM (SELECT substr(sha512(n::text::bytea), 1, n) AS b FROM generate_series(0, 64) AS n) AS t;
SELECT fx.url_encode('Ä b+c:d/e@f~g.h') AS encoded;

BEGIN;
SET LOCAL fxplatform.password_cost = 4;
SELECT fx.create_user('ada+x@example.com', 'factor.ada', 'correct horse battery') AS ada, fx.create_user('bob@example.com', 'factor.bob', 'password of bob') AS bob \gset
-- no key, no secret: it is never stored in clear
SELECT pg_temp.try(format('SELECT fx.enable_two_factor(%L)', :'ada'));
SELECT two_factor_secret FROM fx.users WHERE id = :'ada';

SELECT current_setting('data_directory') || '/two_factor_test.keys' AS keys \gset
SELECT format('COPY (SELECT ''1:'' || encode(sha256(''a''), ''base64'')) TO PROGRAM %L', format('umask 077; cat > ''%s''', :'keys')) AS write \gset
:write;
SET LOCAL fxplatform.key_file = :'keys';
SELECT secret, uri FROM fx.enable_two_factor(:'ada', 'FX & Co') \gset
SELECT :'secret' ~ '^[A-Z2-7]{32}$' AS secret, replace(:'uri', :'secret', '...') AS uri;
SELECT two_factor_enabled, two_factor_secret ~ '^fx1:1:' AS encrypted, position(:'secret' IN two_factor_secret) AS in_clear FROM fx.users WHERE id = :'ada';
-- it counts from the first code on
SELECT status FROM fx.sign_in('factor.ada', 'correct horse battery');
CREATE FUNCTION pg_temp.code(secret text, step integer) RETURNS text LANGUAGE sql AS $$
    SELECT fx.totp(fx.base32_decode(secret), timestamptz '2024-01-01 00:00:10+00' + step * interval '30 seconds')
$$;
CREATE FUNCTION pg_temp.accept(user_id uuid, code text, step integer) RETURNS boolean LANGUAGE sql AS $$
    SELECT fx.accept_totp(user_id, code, timestamptz '2024-01-01 00:00:10+00' + step * interval '30 seconds')
$$;
SELECT step, pg_temp.accept(:'ada', pg_temp.code(:'secret', step), 0) AS accepted FROM unnest(ARRAY[-2, 2]) AS step;
SELECT two_factor_enabled FROM fx.users WHERE id = :'ada';
SELECT pg_temp.accept(:'ada', code, 0) AS wrong FROM unnest(ARRAY['', '12345', 'abcdef', '1234567', NULL]) AS code;
-- the step before, this one, the one after; each once, none before one that was accepted
SELECT pg_temp.accept(:'ada', pg_temp.code(:'secret', -1), 0) AS before;
SELECT two_factor_enabled, confirmed_at IS NOT NULL AS confirmed FROM fx.users u JOIN fx.two_factor t ON t.user_id = u.id WHERE u.id = :'ada';
SELECT pg_temp.accept(:'ada', pg_temp.code(:'secret', -1), 0) AS replayed;
SELECT pg_temp.accept(:'ada', pg_temp.code(:'secret', 1), 0) AS after, pg_temp.accept(:'ada', pg_temp.code(:'secret', 0), 0) AS late;
SELECT pg_temp.accept(:'ada', pg_temp.code(:'secret', 1), 2) AS replayed, pg_temp.accept(:'ada', pg_temp.code(:'secret', 2), 2) AS next;
-- another user's code is none
SELECT secret AS other FROM fx.enable_two_factor(:'bob') \gset
SELECT pg_temp.accept(:'bob', pg_temp.code(:'secret', 4), 4) AS of_ada, pg_temp.accept(:'bob', pg_temp.code(:'other', 4), 4) AS of_bob;
-- nor is another user's secret: it is bound to its row
UPDATE fx.users SET two_factor_secret = (SELECT two_factor_secret FROM fx.users WHERE id = :'bob') WHERE id = :'ada';
SAVEPOINT s;
SELECT pg_temp.try(format('SELECT fx.accept_totp(%L, %L, now())', :'ada', '123456'));
ROLLBACK TO s;
-- one in clear is refused until it is encrypted
UPDATE fx.users SET two_factor_secret = :'secret' WHERE id = :'ada';
SELECT pg_temp.try(format('SELECT fx.accept_totp(%L, %L, now())', :'ada', '123456')) = format('55000 secret of the second factor of user "%s" is not encrypted', :'ada') AS refused;
UPDATE fx.users SET two_factor_secret = fx.encrypt_value(:'secret', fx.two_factor_context(:'ada')) WHERE id = :'ada';

-- signing in by it, by the clock; the password alone tells no more than that it is right
UPDATE fx.two_factor SET last_step = -1;
SELECT status, token FROM fx.sign_in('factor.ada', 'correct horse battery') UNION ALL SELECT status, token FROM fx.sign_in('factor.ada', 'wrong', '123456')
UNION ALL SELECT status, token FROM fx.sign_in('factor.ada', 'correct horse battery', 'abcdef');
SELECT status, token IS NOT NULL AS token FROM fx.sign_in('factor.ada', 'correct horse battery', fx.totp(fx.base32_decode(:'secret'), clock_timestamp()));
SELECT last_step >= floor(extract(epoch FROM now()) / 30) AS noted FROM fx.two_factor WHERE user_id = :'ada';
UPDATE fx.two_factor SET last_step = -1;
SELECT fx.verify_totp(:'ada', fx.totp(fx.base32_decode(:'secret'), clock_timestamp())) AS verified;
UPDATE fx.two_factor SET last_step = floor(extract(epoch FROM now()) / 30) + 1;
SELECT fx.verify_totp(:'ada', fx.totp(fx.base32_decode(:'secret'), clock_timestamp())) AS replayed;
-- who guesses is delayed, and then the right code does not help
SELECT count(*) AS right FROM generate_series(1, 8) AS n WHERE fx.verify_totp(:'ada', n::text);
UPDATE fx.two_factor SET last_step = -1;
SELECT fx.verify_totp(:'ada', fx.totp(fx.base32_decode(:'secret'), clock_timestamp())) AS delayed;

-- one at a time; without it passwords are enough again
SELECT pg_temp.try(format('SELECT fx.enable_two_factor(%L)', :'ada')) = format('55000 user "%s" has a second factor', :'ada') AS refused;
SET LOCAL app.current_user_id = :'ada';
SET LOCAL ROLE fx_user;
SELECT pg_temp.try(statement) FROM unnest(ARRAY['SELECT two_factor_secret FROM fx.users', 'SELECT * FROM fx.two_factor', $$SELECT fx.accept_totp('00000000-0000-4000-8000-00000000dead', '1', now())$$,
    $$SELECT fx.enable_two_factor('00000000-0000-4000-8000-00000000dead')$$, $$SELECT fx.verify_totp('00000000-0000-4000-8000-00000000dead', '1')$$, $$SELECT fx.disable_two_factor('00000000-0000-4000-8000-00000000dead')$$,
    $$SELECT fx.decrypt_value('x', 'y')$$, $$UPDATE fx.users SET two_factor_enabled = false$$]) AS statement;
SELECT fx.disable_two_factor(:'ada') AS without_code, fx.disable_two_factor(:'ada', '123456') AS wrong_code;
SET LOCAL ROLE fx_app;
SELECT fx.disable_two_factor(:'ada') AS by_app, fx.disable_two_factor(:'ada') AS again;
SELECT two_factor_enabled, two_factor_secret FROM fx.users WHERE id = :'ada';
SELECT status FROM fx.sign_in('factor.ada', 'correct horse battery');
SELECT fx.verify_totp(:'ada', '123456') AS none;
SELECT pg_temp.try(statement) FROM unnest(ARRAY['SELECT fx.enable_two_factor(NULL)', $$SELECT fx.enable_two_factor('00000000-0000-4000-8000-00000000dead', NULL)$$, $$SELECT fx.enable_two_factor('00000000-0000-4000-8000-00000000dead')$$,
    'SELECT fx.verify_totp(NULL, NULL)', 'SELECT fx.disable_two_factor(NULL)', 'SELECT * FROM fx.two_factor']) AS statement;
RESET ROLE;
SELECT count(*) AS leaks FROM fx.audit_log, unnest(ARRAY[:'secret', :'other', 'fx1:']) AS secret WHERE position(secret IN concat(old_values, new_values)) > 0;
ROLLBACK;
SELECT format('COPY (SELECT) TO PROGRAM %L', format('cat > /dev/null; rm ''%s''', :'keys')) AS remove \gset
:remove;
