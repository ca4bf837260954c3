
-- identity

CREATE FUNCTION current_user_id()
RETURNS uuid
LANGUAGE C
STABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_current_user_id';

COMMENT ON FUNCTION current_user_id()
    IS 'the user for whom the session acts: that of the session bound by fx.use_session (NULL once it has ended); without one that of setting app.current_user_id, unless fxplatform.require_session is on; NULL when that is not set, empty or no uuid (the last with a warning, once for each value)';

-- What row security asks, once a statement
CREATE FUNCTION active_user_id()
RETURNS uuid
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    actor CONSTANT uuid := fx.current_user_id();
BEGIN
    IF EXISTS (SELECT FROM fx.users u WHERE u.id = actor AND u.deleted_at IS NULL) THEN
        RETURN actor;
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION active_user_id() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION active_user_id() TO fx_app, fx_user, fx_reporting;

COMMENT ON FUNCTION active_user_id()
    IS 'fx.current_user_id(), NULL when there is no such user or he is deleted';

CREATE FUNCTION user_is_active(user_id uuid)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM fx.users u WHERE u.id = user_is_active.user_id AND u.deleted_at IS NULL);
END
$$;

REVOKE ALL ON FUNCTION user_is_active(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION user_is_active(uuid) TO fx_app, fx_user, fx_reporting;

COMMENT ON FUNCTION user_is_active(uuid)
    IS 'whether there is such a user and he is not deleted; false for NULL';

CREATE FUNCTION deleted_user_ids()
RETURNS SETOF uuid
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT u.id FROM fx.users u WHERE u.deleted_at IS NOT NULL;
END
$$;

REVOKE ALL ON FUNCTION deleted_user_ids() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION deleted_user_ids() TO fx_app, fx_reporting;

COMMENT ON FUNCTION deleted_user_ids()
    IS 'ids of the users that are deleted softly, for the row security of fx_reporting';

CREATE FUNCTION acts_for_all()
RETURNS boolean
LANGUAGE C
STABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_acts_for_all';

COMMENT ON FUNCTION acts_for_all()
    IS 'whether the role of the session (or of SET ROLE) has the rights of fx_app, which acts for all users';

CREATE FUNCTION client_address()
RETURNS inet
LANGUAGE C
VOLATILE
AS 'MODULE_PATHNAME', 'fx_client_address';

COMMENT ON FUNCTION client_address()
    IS 'where the client is: setting app.ip_address for logins with the rights of fx_app (NULL when it is no address of a host), the address of the connection for all others (NULL on a local socket)';

-- Functions for users who act for themselves call it first.
CREATE FUNCTION check_acts_for(user_id uuid)
RETURNS void
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF user_id IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', 'user_id'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF NOT fx.acts_for_all() AND user_id IS DISTINCT FROM fx.active_user_id() THEN
        RAISE EXCEPTION 'permission denied for user "%"', user_id
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'fx_user acts for fx.current_user_id() only.';
    END IF;
END
$$;

COMMENT ON FUNCTION check_acts_for(uuid)
    IS 'does nothing when the session may act for this user: fx_app for all, fx_user for fx.current_user_id(); errors: 42501 it may not, 22004 NULL';

-- 256 random bits
CREATE FUNCTION random_token(prefix text)
RETURNS text
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_random_token';

REVOKE ALL ON FUNCTION random_token(text) FROM PUBLIC;

COMMENT ON FUNCTION random_token(text)
    IS 'the prefix and 43 characters of the alphabet of URLs, 256 random bits';

CREATE FUNCTION token_hash(token text)
RETURNS bytea
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sha256(convert_to(token, 'UTF8'))
$$;

COMMENT ON FUNCTION token_hash(text)
    IS 'what is stored of a token: sha256 of its bytes';
