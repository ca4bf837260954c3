--
-- Secrets in the audit log
--
BEGIN;
SET LOCAL search_path = fx, public;
-- a value that is not null is not shown; equal hashes in a column mean equal values
INSERT INTO users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'secret1');
UPDATE users SET password_hash = 'secret2', two_factor_secret = 'secret2';
UPDATE users SET password_hash = 'secret1', api_key_hash = 'secret3';
UPDATE users SET two_factor_secret = NULL;
DELETE FROM users;
CREATE VIEW pg_temp.seen AS
SELECT row_number() OVER (ORDER BY id) AS n, action, changed_columns - 'updated_at' AS changed, old_values, new_values
  FROM (SELECT id, action, old_values, new_values, to_jsonb(changed_columns) AS changed_columns FROM audit_log WHERE resource_type = 'users') AS l;
SELECT n, action, changed, old_values ->> 'password_hash' AS old_password, new_values ->> 'password_hash' AS password, new_values ->> 'two_factor_secret' AS two_factor, new_values ->> 'api_key_hash' AS key FROM pg_temp.seen ORDER BY n;
WITH hashes AS (
    SELECT n, image, key, value FROM pg_temp.seen, LATERAL (VALUES ('old', old_values), ('new', new_values)) AS v (image, object), jsonb_each_text(object -> 'redacted_hashes')
), first_seen AS (
    SELECT key, value, row_number() OVER (PARTITION BY key ORDER BY min(n)) AS nth FROM hashes GROUP BY key, value
)
SELECT n, image, string_agg(CASE WHEN value ~ '^[0-9a-f]{32}$' THEN format('%s #%s', key, nth) ELSE value END, ', ' ORDER BY key COLLATE "C") AS hashes
  FROM hashes JOIN first_seen USING (key, value) WHERE key IN ('password_hash', 'two_factor_secret', 'api_key_hash') GROUP BY n, image ORDER BY n, image DESC;
SELECT count(*) AS leaks FROM audit_log WHERE concat(old_values, new_values) ~ 'secret[123]';
-- one value in two columns has two hashes
SELECT new_values #> '{redacted_hashes,password_hash}' <> new_values #> '{redacted_hashes,two_factor_secret}' AS differ FROM pg_temp.seen WHERE n = 2;
-- the hash is that of the key in fx.audit_key, of the column and the value's JSON
SELECT new_values #>> '{redacted_hashes,password_hash}' = left(encode(public.hmac('"password_hash": "secret1"'::bytea, key, 'sha256'), 'hex'), 32) AS keyed FROM pg_temp.seen, audit_key WHERE n = 1;
-- nobody else reads the key
SELECT r, has_table_privilege(r, 'audit_key', 'SELECT') FROM unnest('{fx_app,fx_user,fx_reporting}'::text[]) AS r ORDER BY 1;
-- without a key there is no hash, and nothing shows
DELETE FROM audit_key;
INSERT INTO users (email, username, password_hash) VALUES ('b@example.com', 'b', 'secret1');
SELECT new_values ->> 'password_hash' AS password, new_values ? 'redacted_hashes' AS hashes FROM audit_log ORDER BY id DESC LIMIT 1;

-- columns of one's own, of any type; secrets by name in every table
CREATE TABLE public.wallets (id integer PRIMARY KEY, seed jsonb, pin integer, at timestamptz, password_hash text, note text, redacted_hashes text);
INSERT INTO audit_key (key) VALUES (decode(repeat('00', 32), 'hex'));
SELECT enable_audit('public.wallets', redact => '{seed,pin,at}');
SET LOCAL timezone = 'Asia/Kolkata';
INSERT INTO public.wallets VALUES (1, '{"words": ["a", "b"]}', 1234, '2024-01-01 00:00+00', 'x', 'n', 'own');
SELECT new_values FROM audit_log WHERE resource_type = 'public.wallets';
ALTER TABLE public.wallets DROP COLUMN redacted_hashes;
SET LOCAL timezone = 'UTC';
UPDATE public.wallets SET pin = 1234, note = 'm';
UPDATE public.wallets SET pin = 4321;
SELECT changed_columns, old_values, new_values FROM audit_log WHERE (resource_type, action) = ('public.wallets', 'UPDATE') ORDER BY id;
-- a redacted column that is renamed does not begin to show
SAVEPOINT s;
ALTER TABLE public.wallets RENAME COLUMN seed TO words;
\set VERBOSITY sqlstate
UPDATE public.wallets SET note = 'o';
ROLLBACK TO s;
\set VERBOSITY default
ALTER TABLE public.wallets RENAME COLUMN seed TO words;
UPDATE public.wallets SET note = 'o';
ROLLBACK TO s;
ALTER TABLE public.wallets RENAME COLUMN seed TO words;
SELECT enable_audit('public.wallets', redact => '{words,pin,at}');
UPDATE public.wallets SET note = 'o';
SELECT new_values ->> 'words' AS words FROM audit_log WHERE new_values ->> 'note' = 'o';
ROLLBACK;
