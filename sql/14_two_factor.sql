
-- second factors: one-time codes by RFC 6238

CREATE FUNCTION totp(secret bytea, at timestamptz, digits integer DEFAULT 6, period integer DEFAULT 30,
                     algorithm text DEFAULT 'sha1')
RETURNS text
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_totp';

COMMENT ON FUNCTION totp(bytea, timestamptz, integer, integer, text)
    IS 'code of a secret at a time, RFC 6238; period in seconds, algorithm sha1, sha256 or sha512; errors: 22023 secret under 16 bytes, digits not 6 to 9, no such algorithm, 22008 time before 1970 or infinite';

CREATE FUNCTION base32_encode(data bytea)
RETURNS text
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_base32_encode';

COMMENT ON FUNCTION base32_encode(bytea)
    IS 'bytes in base32 (RFC 4648) without padding, as authenticators take secrets';

CREATE FUNCTION base32_decode(data text)
RETURNS bytea
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_base32_decode';

COMMENT ON FUNCTION base32_decode(text)
    IS 'bytes of a text in base32 (RFC 4648), in either case, with or without padding; error 22P02 it is none';

CREATE FUNCTION url_encode(value text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(string_agg(CASE
                                   WHEN b.byte BETWEEN 48 AND 57 OR b.byte BETWEEN 65 AND 90
                                        OR b.byte BETWEEN 97 AND 122 OR b.byte IN (45, 46, 95, 126)
                                   THEN chr(b.byte)
                                   ELSE '%' || upper(lpad(to_hex(b.byte), 2, '0'))
                               END, '' ORDER BY b.place), '')
      FROM (SELECT place, get_byte(convert_to(value, 'UTF8'), place) AS byte
              FROM generate_series(0, octet_length(convert_to(value, 'UTF8')) - 1) AS place) b
$$;

COMMENT ON FUNCTION url_encode(text)
    IS 'text for a part of a URL, everything but letters, digits, -, ., _ and ~ percent-encoded';

CREATE FUNCTION enable_two_factor(user_id uuid, issuer text DEFAULT 'fxplatform')
RETURNS TABLE (secret text, uri text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    address text;
BEGIN
    IF issuer IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', 'issuer'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM fx.check_acts_for(user_id);
    SELECT u.email INTO address
      FROM fx.users u
     WHERE u.id = user_id AND u.deleted_at IS NULL
       FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'user "%" does not exist', user_id
            USING ERRCODE = 'no_data_found';
    END IF;
    IF EXISTS (SELECT FROM fx.two_factor t WHERE t.user_id = enable_two_factor.user_id AND t.confirmed_at IS NOT NULL)
       OR (SELECT u.two_factor_enabled FROM fx.users u WHERE u.id = enable_two_factor.user_id) THEN
        RAISE EXCEPTION 'user "%" has a second factor', user_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Use fx.disable_two_factor first.';
    END IF;

    -- 160 bits, as RFC 4226 recommends
    secret := fx.base32_encode(substr(fx.token_hash(fx.random_token('')), 1, 20));
    UPDATE fx.users u
       SET two_factor_secret = fx.encrypt_value(secret, fx.two_factor_context(user_id))
     WHERE u.id = user_id;
    INSERT INTO fx.two_factor AS t (user_id, requested_at)
    VALUES (enable_two_factor.user_id, clock_timestamp())
    ON CONFLICT ON CONSTRAINT two_factor_pkey
    DO UPDATE SET requested_at = excluded.requested_at, last_step = -1;

    uri := format('otpauth://totp/%s:%s?secret=%s&issuer=%s&algorithm=SHA1&digits=6&period=30',
                  fx.url_encode(issuer), fx.url_encode(address), secret, fx.url_encode(issuer));
    RETURN NEXT;
END
$$;

REVOKE ALL ON FUNCTION enable_two_factor(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION enable_two_factor(uuid, text) TO fx_app, fx_user;

COMMENT ON FUNCTION enable_two_factor(uuid, text)
    IS 'makes the secret of a user''s second factor and returns it, once, in base32 and as a URI for authenticators; it counts from the first code that fx.verify_totp accepts; errors: 55000 he has one, or no file of keys is configured to encrypt the secret, 42501 fx_user for somebody else, P0002 no such user, 22004 NULL';

CREATE FUNCTION two_factor_context(user_id uuid)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'fx.users.two_factor_secret:' || user_id
$$;

COMMENT ON FUNCTION two_factor_context(uuid)
    IS 'context in which users.two_factor_secret is encrypted';

-- Whoever sees a code may not use it once more: a step of time is accepted
-- once, and none before it.
CREATE FUNCTION accept_totp(user_id uuid, code text, at timestamptz)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    encrypted text;
    secret bytea;
    step bigint;
    accepted bigint;
BEGIN
    SELECT u.two_factor_secret INTO encrypted
      FROM fx.users u
      JOIN fx.two_factor t ON t.user_id = u.id
     WHERE u.id = user_id AND u.deleted_at IS NULL;
    IF encrypted IS NULL THEN
        RETURN false;
    END IF;
    IF fx.encryption_version(encrypted) IS NULL THEN
        RAISE EXCEPTION 'secret of the second factor of user "%" is not encrypted', user_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'CALL fx.rotate_encryption_keys() encrypts it.';
    END IF;
    secret := fx.base32_decode(fx.decrypt_value(encrypted, fx.two_factor_context(user_id)));

    -- a step before and after, for clocks that differ
    FOR step IN SELECT floor(extract(epoch FROM at) / 30)::bigint + d FROM generate_series(-1, 1) AS d LOOP
        IF fx.totp(secret, to_timestamp(step * 30)) = code THEN
            accepted := step;
        END IF;
    END LOOP;

    UPDATE fx.two_factor t
       SET last_step = accepted,
           confirmed_at = coalesce(t.confirmed_at, clock_timestamp())
     WHERE t.user_id = accept_totp.user_id AND t.last_step < accepted;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE fx.users u
       SET two_factor_enabled = true
     WHERE u.id = user_id AND u.two_factor_enabled IS NOT TRUE;
    RETURN true;
END
$$;

REVOKE ALL ON FUNCTION accept_totp(uuid, text, timestamptz) FROM PUBLIC;

COMMENT ON FUNCTION accept_totp(uuid, text, timestamptz)
    IS 'whether the code is right at the time, and not used before; the first one confirms the second factor; error 55000 the secret is not encrypted, or its key is not configured';

CREATE FUNCTION verify_totp(user_id uuid, code text)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key CONSTANT bytea := sha256(convert_to('totp ' || user_id, 'UTF8'));
BEGIN
    PERFORM fx.check_acts_for(user_id);
    -- six digits are few: they are limited as passwords are
    IF fx.charge_attempt(key, NULL) IS NOT NULL THEN
        RETURN false;
    END IF;
    IF fx.accept_totp(user_id, code, clock_timestamp()) THEN
        PERFORM fx.forgive_attempts(key, NULL);
        RETURN true;
    END IF;
    PERFORM fx.record_failure(key, NULL);
    RETURN false;
END
$$;

REVOKE ALL ON FUNCTION verify_totp(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION verify_totp(uuid, text) TO fx_app, fx_user;

COMMENT ON FUNCTION verify_totp(uuid, text)
    IS 'whether the code of a user''s second factor is right now, or 30 seconds before or after; each is accepted once, and the first one confirms the second factor; false too while failures delay it, as they do fx.sign_in; errors: 42501 fx_user for somebody else, 55000 the secret is not encrypted, or its key is not configured, 22004 NULL user_id, 25006 in a read-only transaction';

CREATE FUNCTION check_second_factor(user_id uuid, code text)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (SELECT u.two_factor_enabled FROM fx.users u WHERE u.id = user_id) IS NOT TRUE THEN
        RETURN 'ok';
    END IF;
    IF code IS NULL THEN
        RETURN 'code_required';
    END IF;
    RETURN CASE WHEN fx.accept_totp(user_id, code, clock_timestamp()) THEN 'ok' ELSE 'failed' END;
END
$$;

REVOKE ALL ON FUNCTION check_second_factor(uuid, text) FROM PUBLIC;

COMMENT ON FUNCTION check_second_factor(uuid, text)
    IS 'ok (also without a second factor), code_required or failed, for fx.sign_in';

CREATE FUNCTION disable_two_factor(user_id uuid, code text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM fx.check_acts_for(user_id);
    IF NOT fx.acts_for_all() AND NOT fx.verify_totp(user_id, code) THEN
        RETURN false;
    END IF;
    DELETE FROM fx.two_factor t WHERE t.user_id = disable_two_factor.user_id;
    UPDATE fx.users u
       SET two_factor_enabled = false, two_factor_secret = NULL
     WHERE u.id = disable_two_factor.user_id
       AND (u.two_factor_enabled OR u.two_factor_secret IS NOT NULL);
    RETURN FOUND;
END
$$;

REVOKE ALL ON FUNCTION disable_two_factor(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION disable_two_factor(uuid, text) TO fx_app, fx_user;

COMMENT ON FUNCTION disable_two_factor(uuid, text)
    IS 'removes a user''s second factor; fx_user needs a code of it, fx_app (for who lost his) does not; false without one, or when the code is wrong; errors: 42501 fx_user for somebody else, 22004 NULL user_id';
