
-- deleted users
--
-- Two steps: a soft deletion, which can be undone by hand, and an erasure, which
-- cannot.  Both keep the books: trades, strategies, backtests, limits and the
-- audit log stay, under the id of the user, which is a pseudonym then.

CREATE FUNCTION end_access(user_id uuid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE fx.sessions s SET revoked_at = clock_timestamp()
     WHERE s.user_id = end_access.user_id AND s.revoked_at IS NULL;
    UPDATE fx.api_keys k SET revoked_at = clock_timestamp()
     WHERE k.user_id = end_access.user_id AND k.revoked_at IS NULL;
    DELETE FROM fx.email_verifications v WHERE v.user_id = end_access.user_id;
END
$$;

REVOKE ALL ON FUNCTION end_access(uuid) FROM PUBLIC;

COMMENT ON FUNCTION end_access(uuid)
    IS 'ends the sessions of a user, and his keys and tokens';

CREATE FUNCTION delete_user(user_id uuid)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF user_id IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', 'user_id'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    UPDATE fx.users u
       SET deleted_at = clock_timestamp(), api_key_hash = NULL
     WHERE u.id = delete_user.user_id AND u.deleted_at IS NULL;
    IF NOT FOUND THEN
        IF NOT EXISTS (SELECT FROM fx.users u WHERE u.id = delete_user.user_id) THEN
            RAISE EXCEPTION 'user "%" does not exist', user_id
                USING ERRCODE = 'no_data_found';
        END IF;
        RETURN false;
    END IF;
    PERFORM fx.end_access(user_id);
    RETURN true;
END
$$;

REVOKE ALL ON FUNCTION delete_user(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION delete_user(uuid) TO fx_app;

COMMENT ON FUNCTION delete_user(uuid)
    IS 'deletes a user softly: sets deleted_at and ends his sessions and keys; row security of fx_user and fx_reporting hides what is his, his email is free again; false when he was deleted before; errors: P0002 no such user, 22004 NULL';

-- The audit log of fx.users has no personal value in clear, so that nothing in
-- it must be changed.
CREATE FUNCTION erase_user(user_id uuid)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    person record;
    pseudonym CONSTANT text := 'erased-' || user_id;
BEGIN
    IF user_id IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', 'user_id'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT u.email, u.username INTO person
      FROM fx.users u
     WHERE u.id = erase_user.user_id
       FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'user "%" does not exist', user_id
            USING ERRCODE = 'no_data_found';
    END IF;
    IF person.username = pseudonym THEN
        RETURN false;
    END IF;

    DELETE FROM fx.sessions s WHERE s.user_id = erase_user.user_id;
    DELETE FROM fx.api_keys k WHERE k.user_id = erase_user.user_id;
    DELETE FROM fx.two_factor t WHERE t.user_id = erase_user.user_id;
    DELETE FROM fx.email_verifications v WHERE v.user_id = erase_user.user_id;
    DELETE FROM fx.sign_in_failures f
     WHERE f.login_hash IN (fx.login_hash(person.email), fx.login_hash(person.username));

    -- what the platform reads of the preferences is about the account
    UPDATE fx.users u
       SET email = pseudonym || '@invalid',
           username = pseudonym,
           password_hash = 'erased',
           first_name = NULL,
           last_name = NULL,
           status = 'erased',
           email_verified = false,
           two_factor_enabled = false,
           two_factor_secret = NULL,
           api_key_hash = NULL,
           preferences = (SELECT coalesce(jsonb_object_agg(p.key, p.value), '{}')
                            FROM jsonb_each(u.preferences) p
                           WHERE p.key IN ('accountCurrency', 'initialBalance')),
           last_login = NULL,
           deleted_at = coalesce(u.deleted_at, clock_timestamp())
     WHERE u.id = erase_user.user_id;
    RETURN true;
END
$$;

REVOKE ALL ON FUNCTION erase_user(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_user(uuid) TO fx_app;

COMMENT ON FUNCTION erase_user(uuid)
    IS 'removes the personal data of a user for good: email, names, hashes, second factor, preferences but accountCurrency and initialBalance, sessions, keys, failed sign-ins; he is deleted softly too. Trades, strategies, backtests, limits and the audit log stay under his id; the audit log holds keyed hashes of what was erased, and ip_address and user_agent of what he did until its months are removed; false when he was erased before; errors: P0002 no such user, 22004 NULL';
