--
-- Encryption of columns by keys of a file
--
\set SHOW_CONTEXT never
LOAD 'fxplatform';
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    detail text;
BEGIN
    EXECUTE statement INTO result;
    RETURN coalesce(result, 'NULL');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || coalesce(' / ' || nullif(detail, ''), '');
END
$$;
CREATE FUNCTION pg_temp.write_keys(contents text, mask text DEFAULT '077') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    file text := current_setting('data_directory') || '/column_encryption_test.keys';
BEGIN
    EXECUTE format('COPY (SELECT %L) TO PROGRAM %L', replace(replace(contents, E'\n', '\n'), E'\r', '\r'), format('rm -f ''%s''; umask %s; sed ''s/\\\\n/\n/g; s/\\\\r/\r/g'' > ''%1$s''', file, mask));
    PERFORM set_config('fxplatform.key_file', file, false);
END
$$;
CREATE FUNCTION pg_temp.key(n integer) RETURNS text LANGUAGE sql AS $$ SELECT encode(sha256(n::text::bytea), 'base64') $$;

-- without a file, and with one that is not usable: no text is encrypted, no line of it is shown
SELECT pg_temp.try($$SELECT fx.encrypt('a', 'b')$$), pg_temp.try($$SELECT fx.newest_key_version()$$), pg_temp.try($$SELECT fx.decrypt('fx1:1:' || repeat('A', 88), 'b')$$);
SET fxplatform.key_file = '/nonexistent/keys';
SELECT pg_temp.try($$SELECT fx.encrypt('a', 'b')$$);
SET fxplatform.key_file = '/tmp';
SELECT pg_temp.try($$SELECT fx.encrypt('a', 'b')$$);
SELECT n, pg_temp.write_keys(contents, mask) IS NOT NULL AS written, pg_temp.try($$SELECT fx.encrypt('a', 'b')$$) FROM (VALUES
    (1, '', '077'), (2, '# none' || E'\n', '077'), (3, '1:' || pg_temp.key(1), '027'), (4, '1:' || pg_temp.key(1), '073'),
    (5, '1:' || pg_temp.key(1) || E'\n' || '1:' || pg_temp.key(2), '077'), (6, '0:' || pg_temp.key(1), '077'), (7, 'a:' || pg_temp.key(1), '077'),
    (8, '1:' || encode('too short', 'base64'), '077'), (9, pg_temp.key(1), '077'), (10, '1:' || pg_temp.key(1) || '=', '077'), (11, '1 :' || pg_temp.key(1), '077'),
    (12, '1:' || repeat('!', 44), '077'), (13, repeat('# much' || E'\n', 10000), '077'), (14, '1234567890:' || pg_temp.key(1), '077')) AS v (n, contents, mask) ORDER BY n;
COPY (SELECT) TO PROGRAM 'cat > /dev/null; head -c 100 /dev/zero > column_encryption_test.keys';
SELECT pg_temp.try($$SELECT fx.encrypt('a', 'b')$$);

-- what is encrypted can be read in its context, and is different each time
SELECT pg_temp.write_keys('# keys' || E'\n\n' || '1:' || pg_temp.key(1) || E'\n') IS NOT NULL AS written;
SELECT fx.newest_key_version();
CREATE TEMPORARY TABLE value AS SELECT n, t, fx.encrypt(t, 'ctx:' || n) AS v FROM (VALUES (1, ''), (2, 'secret'), (3, repeat('x', 15)), (4, repeat('x', 16)), (5, 'ä€😀'), (6, repeat('long ', 100000))) AS s (n, t);
SELECT n, left(v, 6) AS head, fx.encryption_version(v) AS version, length(v), fx.decrypt(v, 'ctx:' || n) = t AS same, fx.encrypt(t, 'ctx:' || n) <> v AS random FROM value ORDER BY n;
SELECT fx.encrypt(NULL, 'x') IS NULL AS no_text, fx.encrypt('x', NULL) IS NULL AS no_context, fx.decrypt(NULL, 'x') IS NULL AS no_value;
SELECT fx.encryption_version(v) FROM unnest(ARRAY['', 'x', 'fx1:', 'fx1:1', 'fx1::x', 'fx1:0:x', 'fx1:01:x', 'fx1:-1:x', 'fx1:2147483648:x', 'fx1:12:x', NULL]) AS v;
-- the format is fixed: AES-256-CBC and HMAC-SHA256 by pgcrypto's own functions
SELECT extnamespace::regnamespace AS crypto FROM pg_extension WHERE extname = 'pgcrypto' \gset
WITH k AS (SELECT :crypto.hmac('fxplatform column encryption', sha256('1'), 'sha256') AS enc, :crypto.hmac('fxplatform column authentication', sha256('1'), 'sha256') AS mac),
     d AS (SELECT decode(substr(v, 7), 'base64') AS d FROM value WHERE n = 2)
SELECT convert_from(:crypto.decrypt_iv(substr(d, 17, length(d) - 48), enc, substr(d, 1, 16), 'aes-cbc/pad:pkcs'), 'UTF8') AS plain,
       :crypto.hmac(convert_to('fx1:1:5:ctx:2', 'UTF8') || substr(d, 1, length(d) - 32), mac, 'sha256') = substr(d, length(d) - 31) AS mac FROM k, d;

-- another context, another key, any bit of it changed: refused, in the same words
SELECT pg_temp.try(format('SELECT fx.decrypt(%L, %L)', v, 'ctx:3')) FROM value WHERE n = 2;
SELECT count(*) AS bits, count(*) FILTER (WHERE pg_temp.try(format('SELECT fx.decrypt(%L, %L)', 'fx1:1:' || encode(set_bit(d, bit, 1 - get_bit(d, bit)), 'base64'), 'ctx:2')) ~ '^22000') AS refused
  FROM (SELECT decode(substr(v, 7), 'base64') AS d FROM value WHERE n = 2) AS s, generate_series(0, length(d) * 8 - 1) AS bit;
SELECT DISTINCT pg_temp.try(format('SELECT fx.decrypt(%L, %L)', left(v, l), 'ctx:2')) FROM value, generate_series(7, 93) AS l WHERE n = 2;
-- longer than any value
SELECT pg_temp.try($$SELECT fx.decrypt('fx1:9:' || repeat('A', 90000000), 'x')$$);
SELECT pg_temp.try($$SELECT fx.decrypt('secret', 'x')$$), pg_temp.try($$SELECT fx.decrypt('fx1:1:!!!!', 'x')$$);
SELECT pg_temp.try(format('SELECT fx.decrypt(%L, %L)', replace(v, 'fx1:1:', 'fx1:2:'), 'ctx:2')) FROM value WHERE n = 2;
SELECT pg_temp.write_keys('1:' || pg_temp.key(3)) IS NOT NULL AS another_key;
SELECT pg_temp.try(format('SELECT fx.decrypt(%L, %L)', v, 'ctx:2')) FROM value WHERE n = 2;

-- the newest encrypts, the old one decrypts, wherever it is in the file
SELECT pg_temp.write_keys('12:' || pg_temp.key(12) || E'\n' || '1:' || pg_temp.key(1) || E'\r\n' || '3:' || pg_temp.key(3)) IS NOT NULL AS written;
SELECT fx.newest_key_version(), fx.encryption_version(fx.encrypt('x', 'y')) AS encrypts;
SELECT bool_and(fx.decrypt(v, 'ctx:' || n) = t) AS readable FROM value;

SELECT pg_temp.try($$SELECT fx.encrypt(repeat('x', 64 * 1024 * 1024 + 1), 'y')$$);

-- pgcrypto's functions are told by their extension, not by their name
BEGIN;
ALTER EXTENSION pgcrypto DROP FUNCTION :crypto.encrypt_iv(bytea, bytea, bytea, text);
ALTER FUNCTION :crypto.encrypt_iv(bytea, bytea, bytea, text) COST 2;
SELECT pg_temp.try($$SELECT fx.encrypt('x', 'y')$$);
ROLLBACK;

-- the platform's own contexts are for its functions only
SELECT pg_temp.try($$SELECT fx.encrypt('x', 'fx.users.two_factor_secret:1')$$), pg_temp.try($$SELECT fx.decrypt('x', 'fx.')$$);
SET ROLE fx_app;
SELECT fx.decrypt(fx.encrypt('by the application', 'c'), 'c');
-- the server's words differ
SELECT left(pg_temp.try('SHOW fxplatform.key_file'), 5) AS show;
SELECT pg_temp.try(statement) FROM unnest(ARRAY[$$SET fxplatform.key_file = '/tmp/x'$$, $$SELECT fx.decrypt_value('x', 'y')$$, $$SELECT fx.encrypt_value('x', 'y')$$,
    $$SELECT fx.register_encrypted_column('fx.users', 'first_name')$$, 'CALL fx.rotate_encryption_keys()', $$SELECT fx.rotate_encryption_pages('fx.users', 'first_name', 'id', 'x', 1, 0, 1)$$]) AS statement;
SET ROLE fx_user;
SELECT left(pg_temp.try('SHOW fxplatform.key_file'), 5) AS show;
SELECT pg_temp.try(statement) FROM unnest(ARRAY[$$SELECT fx.encrypt('x', 'y')$$, $$SELECT fx.decrypt('x', 'y')$$, 'SELECT fx.newest_key_version()', 'SELECT * FROM fx.encrypted_columns']) AS statement;
SELECT count(*) AS shown FROM pg_settings WHERE name = 'fxplatform.key_file';
RESET ROLE;

--
-- Rotation of a column, own tables too
--
CREATE SCHEMA "Brokers";
CREATE TABLE "Brokers".account (number integer PRIMARY KEY, "Secret" text, note varchar(20), code text UNIQUE);
CREATE TABLE "Brokers".no_key (secret text);
SELECT pg_temp.try(format('SELECT fx.register_encrypted_column(%L, %L, %L)', t, c, k)) FROM (VALUES (NULL, 'x', NULL), ('"Brokers".account', NULL, NULL), ('"Brokers".account', 'secret', NULL), ('"Brokers".account', 'number', NULL),
    ('"Brokers".no_key', 'secret', NULL), ('"Brokers".account', 'Secret', 'note'), ('fx.market_data', 'symbol', NULL), ('fx.users', 'two_factor_secret', NULL), ('4294967295', 'secret', NULL)) AS v (t, c, k);
SELECT fx.register_encrypted_column('"Brokers".account', 'Secret') AS context;
SELECT pg_temp.try($$SELECT fx.register_encrypted_column('"Brokers".account', 'Secret', 'code')$$);
SELECT * FROM fx.encrypted_columns ORDER BY relation COLLATE "C";
INSERT INTO "Brokers".account SELECT n, CASE WHEN n % 7 > 0 THEN CASE WHEN n % 5 = 0 THEN 'in clear ' || n ELSE fx.encrypt('secret ' || n, '"Brokers".account.Secret:' || n) END END FROM generate_series(1, 700) AS n;
SELECT fx.encryption_version("Secret") AS version, count(*) FROM "Brokers".account GROUP BY 1 ORDER BY 1;
SELECT pg_temp.write_keys(string_agg(n || ':' || pg_temp.key(n), E'\n')) IS NOT NULL AS written FROM unnest(ARRAY[1, 12, 13]) AS n;
SELECT pg_temp.try('CALL fx.rotate_encryption_keys(0)'), pg_temp.try('CALL fx.rotate_encryption_keys(NULL)');
BEGIN;
CALL fx.rotate_encryption_keys();
ROLLBACK;
SET client_min_messages = warning;
CALL fx.rotate_encryption_keys(pages_per_batch => 2);
SELECT fx.encryption_version("Secret") AS version, count(*) FROM "Brokers".account GROUP BY 1 ORDER BY 1;
SELECT count(*) FILTER (WHERE fx.decrypt("Secret", '"Brokers".account.Secret:' || number) = CASE WHEN number % 5 = 0 THEN 'in clear ' ELSE 'secret ' END || number) AS right, count("Secret") AS of FROM "Brokers".account;
SELECT relation, key_version, rotated_at > now() - interval '1 minute' AS now FROM fx.encrypted_columns ORDER BY relation COLLATE "C";
-- nothing is left to do
CREATE TEMPORARY TABLE before AS SELECT ctid AS place, * FROM "Brokers".account;
CALL fx.rotate_encryption_keys(1000);
SELECT count(*) AS changed FROM (SELECT * FROM before EXCEPT SELECT ctid, * FROM "Brokers".account) AS s;
-- the old key can go now
SELECT pg_temp.write_keys('13:' || pg_temp.key(13)) IS NOT NULL AS written;
SELECT count(fx.decrypt("Secret", '"Brokers".account.Secret:' || number)) FROM "Brokers".account;
-- a value of another row is found
UPDATE "Brokers".account a SET "Secret" = b."Secret" FROM "Brokers".account b WHERE (a.number, b.number) = (1, 2);
SELECT pg_temp.write_keys(string_agg(n || ':' || pg_temp.key(n), E'\n')) IS NOT NULL AS written FROM unnest(ARRAY[13, 14]) AS n;
CALL fx.rotate_encryption_keys(1000);
RESET client_min_messages;
SELECT key_version FROM fx.encrypted_columns WHERE relation = '"Brokers".account';

DELETE FROM fx.encrypted_columns WHERE relation = '"Brokers".account';
UPDATE fx.encrypted_columns SET key_version = NULL, rotated_at = NULL;
DROP TABLE "Brokers".account, "Brokers".no_key;
DROP SCHEMA "Brokers";
COPY (SELECT) TO PROGRAM 'cat > /dev/null; rm column_encryption_test.keys';
