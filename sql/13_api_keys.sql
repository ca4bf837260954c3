
-- API keys
--
-- A key is "fxk_", 12 characters by which it is found, and 256 random bits.
-- Those cannot be guessed, so that sha256 protects them as well as a slow hash
-- would; each request verifies one.  The hash in fx.users is bcrypt's, as the
-- specification has it, of the newest key.

CREATE FUNCTION issue_api_key(user_id uuid, name text, scopes text[] DEFAULT '{}', expires_at timestamptz DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    prefix CONSTANT text := 'fxk_' || encode(substr(uuid_send(gen_random_uuid()), 1, 6), 'hex');
    key CONSTANT text := fx.random_token(prefix || '_');
BEGIN
    IF name IS NULL OR scopes IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN name IS NULL THEN 'name' ELSE 'scopes' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF array_position(scopes, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'argument "%" must not have null elements', 'scopes'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF expires_at <= clock_timestamp() THEN
        RAISE EXCEPTION 'argument "%" must be in the future', 'expires_at'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM fx.check_acts_for(user_id);

    UPDATE fx.users u
       SET api_key_hash = fx.hash_password(key)
     WHERE u.id = issue_api_key.user_id AND u.deleted_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'user "%" does not exist', user_id
            USING ERRCODE = 'no_data_found';
    END IF;
    INSERT INTO fx.api_keys (user_id, name, prefix, key_hash, scopes, expires_at)
    VALUES (user_id, name, prefix, fx.token_hash(key), scopes, expires_at);
    RETURN key;
END
$$;

REVOKE ALL ON FUNCTION issue_api_key(uuid, text, text[], timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION issue_api_key(uuid, text, text[], timestamptz) TO fx_app, fx_user;

COMMENT ON FUNCTION issue_api_key(uuid, text, text[], timestamptz)
    IS 'makes a key of a user and returns it, once; what it may be used for (scopes) is for the application to say and check; expires_at NULL: good until it is revoked; errors: 42501 fx_user for somebody else, P0002 no such user, 22023 expired already, 22001 name over 100 characters, 22004 NULL';

CREATE FUNCTION verify_api_key(key text)
RETURNS TABLE (user_id uuid, scopes text[], key_id uuid)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    found_key record;
    now CONSTANT timestamptz := clock_timestamp();
BEGIN
    SELECT k.id, k.user_id, k.scopes, k.last_used_at
      INTO found_key
      FROM fx.api_keys k
      JOIN fx.users u ON u.id = k.user_id
     WHERE k.prefix = left(key, 16) AND k.key_hash = fx.token_hash(key)
       AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now)
       AND u.deleted_at IS NULL AND u.status = 'active';
    IF NOT FOUND THEN
        RETURN;
    END IF;

    -- once a minute is often enough, and a standby or a read-only transaction cannot
    IF coalesce(found_key.last_used_at, '-infinity') < now - interval '1 minute'
       AND current_setting('transaction_read_only') = 'off' THEN
        UPDATE fx.api_keys k SET last_used_at = now WHERE k.id = found_key.id;
    END IF;

    user_id := found_key.user_id;
    scopes := found_key.scopes;
    key_id := found_key.id;
    RETURN NEXT;
END
$$;

REVOKE ALL ON FUNCTION verify_api_key(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION verify_api_key(text) TO fx_app;

COMMENT ON FUNCTION verify_api_key(text)
    IS 'whose key it is and what it may be used for; no row when it is unknown, expired or revoked, or its user is not active';

CREATE FUNCTION revoke_api_key(key_id uuid)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    revoked record;
BEGIN
    -- of somebody else's key nobody learns even that it is there
    UPDATE fx.api_keys k
       SET revoked_at = clock_timestamp()
     WHERE k.id = key_id AND k.revoked_at IS NULL
       AND (fx.acts_for_all() OR k.user_id = fx.active_user_id())
    RETURNING k.user_id, k.created_at INTO revoked;
    IF NOT FOUND THEN
        RETURN false;
    END IF;

    -- the newest key was this one
    UPDATE fx.users u
       SET api_key_hash = NULL
     WHERE u.id = revoked.user_id AND u.api_key_hash IS NOT NULL
       AND NOT EXISTS (SELECT FROM fx.api_keys k
                        WHERE k.user_id = u.id AND k.created_at > revoked.created_at);
    RETURN true;
END
$$;

REVOKE ALL ON FUNCTION revoke_api_key(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION revoke_api_key(uuid) TO fx_app, fx_user;

COMMENT ON FUNCTION revoke_api_key(uuid)
    IS 'makes a key void, by its id in fx.api_keys; false when there is no such key to revoke, or it is not one of fx_user''s';
