
-- users and their passwords

CREATE FUNCTION hash_password(password text)
RETURNS text
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_hash_password';

REVOKE ALL ON FUNCTION hash_password(text) FROM PUBLIC;

COMMENT ON FUNCTION hash_password(text)
    IS 'hash of a password by crypt() of pgcrypto (bf) with cost fxplatform.password_cost; error 28P01 shorter than fxplatform.password_min_length or longer than 72 bytes';

CREATE FUNCTION password_matches(password text, hash text)
RETURNS boolean
LANGUAGE C
VOLATILE
AS 'MODULE_PATHNAME', 'fx_password_matches';

REVOKE ALL ON FUNCTION password_matches(text, text) FROM PUBLIC;

COMMENT ON FUNCTION password_matches(text, text)
    IS 'whether the hash is one of the password; false, after the same time, without a hash of bcrypt';

CREATE FUNCTION hash_is_weak(hash text)
RETURNS boolean
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_hash_is_weak';

REVOKE ALL ON FUNCTION hash_is_weak(text) FROM PUBLIC;

COMMENT ON FUNCTION hash_is_weak(text)
    IS 'whether the hash cost less than fxplatform.password_cost, or is none of bcrypt';

-- The user of a login, an email in any letter case or a username; both names
-- are looked up whatever the login looks like.
CREATE FUNCTION find_login(login text, OUT user_id uuid, OUT password_hash text)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT u.id, u.password_hash
      INTO user_id, password_hash
      FROM fx.users u
     WHERE (lower(u.email) = lower(login) OR u.username = login)
       AND u.deleted_at IS NULL AND u.status = 'active'
     ORDER BY lower(u.email) = lower(login) DESC
     LIMIT 1;
END
$$;

REVOKE ALL ON FUNCTION find_login(text) FROM PUBLIC;

COMMENT ON FUNCTION find_login(text)
    IS 'the active user with this email (in any letter case, first) or username, NULLs without one';

CREATE FUNCTION create_user(
    email text, username text, password text,
    first_name text DEFAULT NULL, last_name text DEFAULT NULL,
    role text DEFAULT 'user', preferences jsonb DEFAULT '{}')
RETURNS uuid
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    argument text;
    new_id uuid;
    failed text;
BEGIN
    argument := CASE
                    WHEN email IS NULL THEN 'email'
                    WHEN username IS NULL THEN 'username'
                    WHEN password IS NULL THEN 'password'
                END;
    IF argument IS NOT NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', argument
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    INSERT INTO fx.users (email, username, password_hash, first_name, last_name, role, preferences)
    VALUES (create_user.email, create_user.username, fx.hash_password(password),
            create_user.first_name, create_user.last_name, create_user.role, coalesce(create_user.preferences, '{}'))
    RETURNING id INTO new_id;
    RETURN new_id;
EXCEPTION WHEN check_violation THEN
    -- its detail is the whole row, the hash in it
    GET STACKED DIAGNOSTICS failed = CONSTRAINT_NAME;
    RAISE EXCEPTION 'new user violates check constraint "%"', failed
        USING ERRCODE = 'check_violation', CONSTRAINT = failed;
END
$$;

REVOKE ALL ON FUNCTION create_user(text, text, text, text, text, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION create_user(text, text, text, text, text, text, jsonb) TO fx_app;

COMMENT ON FUNCTION create_user(text, text, text, text, text, text, jsonb)
    IS 'makes a user and returns his id; errors: 28P01 password too short or too long, 23505 email or username taken, 23514 no email, or preferences no object, 22004 email, username or password NULL';

CREATE FUNCTION set_password(user_id uuid, password text)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF user_id IS NULL OR password IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN user_id IS NULL THEN 'user_id' ELSE 'password' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    UPDATE fx.users u
       SET password_hash = fx.hash_password(password)
     WHERE u.id = set_password.user_id AND u.deleted_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'user "%" does not exist', user_id
            USING ERRCODE = 'no_data_found';
    END IF;

    -- who changes it because somebody else knew it wants him out
    PERFORM fx.sign_out_everywhere(user_id);
END
$$;

REVOKE ALL ON FUNCTION set_password(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION set_password(uuid, text) TO fx_app;

COMMENT ON FUNCTION set_password(uuid, text)
    IS 'sets a user''s password and ends all his sessions; errors: 28P01 too short or too long, P0002 no such user, 22004 NULL';

CREATE FUNCTION verify_password(login text, password text)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN fx.password_matches(password, (fx.find_login(login)).password_hash);
END
$$;

REVOKE ALL ON FUNCTION verify_password(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION verify_password(text, text) TO fx_app;

COMMENT ON FUNCTION verify_password(text, text)
    IS 'whether an active user has this login (email or username) and password; as long for a login that does not exist; counts no failures (fx.sign_in does); false for NULL';

-- verification of emails

CREATE FUNCTION request_email_verification(user_id uuid, valid_for interval DEFAULT '1 day')
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    token CONSTANT text := fx.random_token('fxv_');
    address text;
BEGIN
    IF user_id IS NULL OR valid_for IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN user_id IS NULL THEN 'user_id' ELSE 'valid_for' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF valid_for <= interval '0' THEN
        RAISE EXCEPTION 'argument "%" must be greater than zero', 'valid_for'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT u.email INTO address
      FROM fx.users u
     WHERE u.id = request_email_verification.user_id AND u.deleted_at IS NULL
       FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'user "%" does not exist', user_id
            USING ERRCODE = 'no_data_found';
    END IF;

    DELETE FROM fx.email_verifications v WHERE v.user_id = request_email_verification.user_id;
    INSERT INTO fx.email_verifications (token_hash, user_id, email, expires_at)
    VALUES (fx.token_hash(token), user_id, address, clock_timestamp() + valid_for);
    RETURN token;
END
$$;

REVOKE ALL ON FUNCTION request_email_verification(uuid, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION request_email_verification(uuid, interval) TO fx_app;

COMMENT ON FUNCTION request_email_verification(uuid, interval)
    IS 'returns a token to send to the user''s email, good once for fx.verify_email and valid so long; an earlier one is void; errors: P0002 no such user, 22023 not a positive time, 22004 NULL';

CREATE FUNCTION verify_email(token text)
RETURNS uuid
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    request record;
    verified uuid;
BEGIN
    DELETE FROM fx.email_verifications v
     WHERE v.token_hash = fx.token_hash(token)
    RETURNING v.user_id, v.email, v.expires_at INTO request;
    IF request.expires_at > clock_timestamp() THEN
        UPDATE fx.users u
           SET email_verified = true
         WHERE u.id = request.user_id AND u.email = request.email AND u.deleted_at IS NULL
        RETURNING u.id INTO verified;
    END IF;
    RETURN verified;
END
$$;

REVOKE ALL ON FUNCTION verify_email(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION verify_email(text) TO fx_app;

COMMENT ON FUNCTION verify_email(text)
    IS 'marks the email of a token of fx.request_email_verification as verified and returns its user; NULL when the token is unknown, used or expired, or the user has another email since';
