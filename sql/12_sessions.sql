
-- sessions

CREATE FUNCTION bind_session(user_id uuid, session_id uuid, expires_at timestamptz, local boolean)
RETURNS void
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_bind_session';

REVOKE ALL ON FUNCTION bind_session(uuid, uuid, timestamptz, boolean) FROM PUBLIC;

COMMENT ON FUNCTION bind_session(uuid, uuid, timestamptz, boolean)
    IS 'binds a session to the backend without asking for its token, for fx.use_session';

CREATE FUNCTION leave_session()
RETURNS void
LANGUAGE C
VOLATILE
AS 'MODULE_PATHNAME', 'fx_leave_session';

COMMENT ON FUNCTION leave_session()
    IS 'frees the backend from the session that fx.use_session bound to it, as DISCARD ALL does; the session itself goes on';

CREATE FUNCTION bound_session_id()
RETURNS uuid
LANGUAGE C
STABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_bound_session_id';

COMMENT ON FUNCTION bound_session_id()
    IS 'id of the session that is bound to the backend, NULL without one; it may have ended, as fx.current_user_id() tells';

-- limits of failures

CREATE FUNCTION charge_sign_in(key bytea, factor integer, attempts bigint, last_at timestamptz)
RETURNS interval
LANGUAGE C
VOLATILE
AS 'MODULE_PATHNAME', 'fx_charge_sign_in';

REVOKE ALL ON FUNCTION charge_sign_in(bytea, integer, bigint, timestamptz) FROM PUBLIC;

COMMENT ON FUNCTION charge_sign_in(bytea, integer, bigint, timestamptz)
    IS 'counts an attempt in shared memory, which no rollback undoes, and returns NULL; or returns how long it has to wait; attempts and last_at say what fx.sign_in_failures knows; errors: 25006 in a read-only transaction, where a failure could not be recorded, 22004 NULL but for last_at, 22023 negative, infinite, or a key under 8 bytes';

CREATE FUNCTION forgive_sign_in(key bytea, whole boolean)
RETURNS void
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_forgive_sign_in';

REVOKE ALL ON FUNCTION forgive_sign_in(bytea, boolean) FROM PUBLIC;

COMMENT ON FUNCTION forgive_sign_in(bytea, boolean)
    IS 'takes back one attempt that fx.charge_sign_in counted, or all of them';

CREATE FUNCTION login_hash(login text)
RETURNS bytea
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sha256(convert_to('login ' || lower(coalesce(login, '')), 'UTF8'))
$$;

COMMENT ON FUNCTION login_hash(text)
    IS 'key by which failures of a login are counted, the same in any letter case';

-- What is counted by address: a network of IPv6, because whoever has one
-- address of it has them all.
CREATE FUNCTION address_key(address inet)
RETURNS bytea
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sha256(convert_to('address ' || CASE family(address)
                                               WHEN 6 THEN network(set_masklen(address, 64))::text
                                               ELSE host(address)
                                           END, 'UTF8'))
$$;

COMMENT ON FUNCTION address_key(inet)
    IS 'key by which failures of an address are counted: of the address, or of its /64 network for IPv6';

CREATE FUNCTION charge_attempt(login_hash bytea, address inet)
RETURNS interval
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    failures record;
    wait interval;
BEGIN
    IF address IS NOT NULL THEN
        SELECT count(*) AS attempts, max(f.failed_at) AS last_at
          INTO failures
          FROM fx.sign_in_failures f
         WHERE f.ip_address = address AND f.failed_at > clock_timestamp() - interval '1 day';
        wait := fx.charge_sign_in(fx.address_key(address), 10, failures.attempts, failures.last_at);
        IF wait IS NOT NULL THEN
            RETURN wait;
        END IF;
    END IF;

    SELECT count(*) AS attempts, max(f.failed_at) AS last_at
      INTO failures
      FROM fx.sign_in_failures f
     WHERE f.login_hash = charge_attempt.login_hash AND f.failed_at > clock_timestamp() - interval '1 day';
    RETURN fx.charge_sign_in(login_hash, 1, failures.attempts, failures.last_at);
END
$$;

REVOKE ALL ON FUNCTION charge_attempt(bytea, inet) FROM PUBLIC;

COMMENT ON FUNCTION charge_attempt(bytea, inet)
    IS 'counts an attempt of a login from an address (NULL: unknown) and returns NULL, or returns how long it has to wait';

CREATE FUNCTION record_failure(login_hash bytea, address inet)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO fx.sign_in_failures (login_hash, ip_address) VALUES (login_hash, address);
    DELETE FROM fx.sign_in_failures f
     WHERE f.id IN (SELECT old.id FROM fx.sign_in_failures old
                     WHERE old.failed_at < clock_timestamp() - interval '1 day'
                     LIMIT 100 FOR UPDATE SKIP LOCKED);
END
$$;

REVOKE ALL ON FUNCTION record_failure(bytea, inet) FROM PUBLIC;

COMMENT ON FUNCTION record_failure(bytea, inet)
    IS 'records a failed sign-in, and removes a hundred that are older than a day';

CREATE FUNCTION forgive_attempts(login_hash bytea, address inet)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM fx.sign_in_failures f WHERE f.login_hash = forgive_attempts.login_hash;
    PERFORM fx.forgive_sign_in(login_hash, true);
    PERFORM fx.forgive_sign_in(fx.address_key(address), false);
END
$$;

REVOKE ALL ON FUNCTION forgive_attempts(bytea, inet) FROM PUBLIC;

COMMENT ON FUNCTION forgive_attempts(bytea, inet)
    IS 'forgets the failures of a login, and one attempt of an address, after a success';

-- The answer is a row and no error: a failure has to be recorded.  It does not
-- tell whether the login exists: the password is compared all the same, and
-- attempts are counted by the login as it was written.
CREATE FUNCTION sign_in(login text, password text, totp_code text DEFAULT NULL)
RETURNS TABLE (status text, token text, user_id uuid, session_id uuid,
               expires_at timestamptz, retry_after interval)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    login_hash CONSTANT bytea := fx.login_hash(login);
    address CONSTANT inet := fx.client_address();
    found_user record;
    factor text;
    now CONSTANT timestamptz := clock_timestamp();
    ends timestamptz;
BEGIN
    retry_after := fx.charge_attempt(login_hash, address);
    IF retry_after IS NOT NULL THEN
        status := 'delayed';
        RETURN NEXT;
        RETURN;
    END IF;

    found_user := fx.find_login(login);
    IF NOT fx.password_matches(password, found_user.password_hash) THEN
        factor := 'failed';
    ELSE
        factor := fx.check_second_factor(found_user.user_id, totp_code);
    END IF;
    IF factor <> 'ok' THEN
        IF factor = 'failed' THEN
            PERFORM fx.record_failure(login_hash, address);
        END IF;
        status := factor;
        RETURN NEXT;
        RETURN;
    END IF;

    PERFORM fx.forgive_attempts(login_hash, address);
    UPDATE fx.users u
       SET last_login = now,
           password_hash = CASE WHEN fx.hash_is_weak(u.password_hash) AND length(password) >= current_setting('fxplatform.password_min_length')::integer
                                THEN fx.hash_password(password) ELSE u.password_hash END
     WHERE u.id = found_user.user_id
       AND u.password_hash = found_user.password_hash AND u.deleted_at IS NULL;
    IF NOT FOUND THEN
        status := 'failed';     -- the password was changed meanwhile
        RETURN NEXT;
        RETURN;
    END IF;
    -- sessions that ended long ago
    DELETE FROM fx.sessions s
     WHERE s.user_id = found_user.user_id
       AND least(s.revoked_at, s.expires_at) < now - interval '90 days';

    status := 'ok';
    token := fx.random_token('fxs_');
    user_id := found_user.user_id;
    ends := now + fx.setting_interval('fxplatform.session_lifetime');
    expires_at := least(ends, now + fx.setting_interval('fxplatform.session_idle_timeout'));
    INSERT INTO fx.sessions AS s (user_id, token_hash, created_at, last_used_at, expires_at, ends_at, ip_address, user_agent)
    VALUES (found_user.user_id, fx.token_hash(token), now, now, expires_at, ends, address,
            left(nullif(current_setting('app.user_agent', true), ''), 1024))
    RETURNING s.id INTO session_id;
    RETURN NEXT;
END
$$;

REVOKE ALL ON FUNCTION sign_in(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sign_in(text, text, text) TO fx_app, fx_user;

COMMENT ON FUNCTION sign_in(text, text, text)
    IS 'signs a user in by email or username and password, and by a code of his second factor when he has one; one row, status: ok (token, shown once, and until when it is good when it is not used), failed (login, password or code; which is not told), code_required (the password is right), delayed (after too many failures of the login or the address: retry_after, the password was not looked at); never an error, so that failures are recorded, but 25006 in a read-only transaction and on a standby';

-- A setting that is a time, without its unit's text
CREATE FUNCTION setting_interval(setting text)
RETURNS interval
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET intervalstyle = postgres
AS $$
    SELECT current_setting(setting)::interval
$$;

COMMENT ON FUNCTION setting_interval(text)
    IS 'value of a setting that is a time';

CREATE FUNCTION use_session(token text, local boolean DEFAULT false)
RETURNS uuid
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_session record;
    now CONSTANT timestamptz := clock_timestamp();
BEGIN
    IF local IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', 'local'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    SELECT s.id, s.user_id, s.expires_at, s.ends_at, s.last_used_at
      INTO found_session
      FROM fx.sessions s
      JOIN fx.users u ON u.id = s.user_id
     WHERE s.token_hash = fx.token_hash(token)
       AND s.revoked_at IS NULL AND s.expires_at > now
       AND u.deleted_at IS NULL AND u.status = 'active';
    IF NOT FOUND THEN
        PERFORM fx.leave_session();
        RETURN NULL;
    END IF;

    -- once a minute is often enough, and a standby or a read-only transaction cannot
    IF found_session.last_used_at < now - interval '1 minute'
       AND current_setting('transaction_read_only') = 'off' THEN
        UPDATE fx.sessions s
           SET last_used_at = now,
               expires_at = least(s.ends_at, now + fx.setting_interval('fxplatform.session_idle_timeout'))
         WHERE s.id = found_session.id AND s.revoked_at IS NULL
        RETURNING s.expires_at INTO found_session.expires_at;
        IF NOT FOUND THEN
            PERFORM fx.leave_session();     -- signed out meanwhile
            RETURN NULL;
        END IF;
    END IF;

    PERFORM fx.bind_session(found_session.user_id, found_session.id, found_session.expires_at, local);
    RETURN found_session.user_id;
END
$$;

REVOKE ALL ON FUNCTION use_session(text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION use_session(text, boolean) TO fx_app, fx_user;

COMMENT ON FUNCTION use_session(text, boolean)
    IS 'lets the backend act for the user of a session and returns his id; NULL, and the backend acts for nobody by a session, when the token is unknown, expired or signed out, or the user is not active; local: until the end of the transaction, as SET LOCAL, else until DISCARD ALL, fx.leave_session() or another call, and undone by a rollback; once the session has ended the backend acts for nobody, fxplatform.session_recheck (and the statement at work) later at most; error 22004 local NULL';

CREATE FUNCTION sign_out(token text)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ended uuid;
BEGIN
    UPDATE fx.sessions s
       SET revoked_at = clock_timestamp()
     WHERE s.token_hash = fx.token_hash(token) AND s.revoked_at IS NULL
    RETURNING s.id INTO ended;
    IF ended = fx.bound_session_id() THEN
        PERFORM fx.leave_session();
    END IF;
    RETURN ended IS NOT NULL;
END
$$;

REVOKE ALL ON FUNCTION sign_out(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sign_out(text) TO fx_app, fx_user;

COMMENT ON FUNCTION sign_out(text)
    IS 'ends a session, also in backends that are bound to it (after fxplatform.session_recheck at the latest), and frees this one; false when there was none to end';

CREATE FUNCTION sign_out_everywhere(user_id uuid)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ended bigint;
    own boolean;
BEGIN
    PERFORM fx.check_acts_for(user_id);
    own := EXISTS (SELECT FROM fx.sessions s
                    WHERE s.id = fx.bound_session_id() AND s.user_id = sign_out_everywhere.user_id);
    UPDATE fx.sessions s
       SET revoked_at = clock_timestamp()
     WHERE s.user_id = sign_out_everywhere.user_id
       AND s.revoked_at IS NULL AND s.expires_at > clock_timestamp();
    GET DIAGNOSTICS ended = ROW_COUNT;
    IF own THEN
        PERFORM fx.leave_session();
    END IF;
    RETURN ended;
END
$$;

REVOKE ALL ON FUNCTION sign_out_everywhere(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sign_out_everywhere(uuid) TO fx_app, fx_user;

COMMENT ON FUNCTION sign_out_everywhere(uuid)
    IS 'ends all sessions of a user and returns how many; errors: 42501 fx_user for somebody else, 22004 NULL';
