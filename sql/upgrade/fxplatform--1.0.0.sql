-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION fxplatform CASCADE" to load this file. \quit

-- Nothing here is looked up anywhere but in pg_catalog and fx.
SET LOCAL search_path TO @extschema@, pg_temp;

-- roles
--
-- Group roles without login; people and services are made members of them.
-- They belong to the cluster, so another database may have made them already,
-- at this very moment even, and DROP EXTENSION leaves them.  They are made here
-- and not by a migration, because a restored dump needs them before its tables
-- come; so is the grant on the schema, which would not be dumped.

DO $$
DECLARE
    role_name name;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['fx_app', 'fx_user', 'fx_reporting'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role_name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;           -- made by another session meanwhile
            END;
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA @extschema@ TO fx_app, fx_user, fx_reporting;
-- locks
--
-- On work that only one may do at a time.  Whoever can connect may take any lock
-- of pg_advisory_lock, and stop it for ever; these are for the owner.

CREATE FUNCTION lock_work(work text)
RETURNS void
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_lock_work_for_transaction';

REVOKE ALL ON FUNCTION lock_work(text) FROM PUBLIC;

COMMENT ON FUNCTION lock_work(text)
    IS 'waits until no other transaction has locked this work, and locks it until the end of the transaction; NULL locks nothing';

CREATE FUNCTION try_lock_work(work text)
RETURNS boolean
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_try_lock_work';

REVOKE ALL ON FUNCTION try_lock_work(text) FROM PUBLIC;

COMMENT ON FUNCTION try_lock_work(text)
    IS 'fx.lock_work without waiting: false when somebody else has locked this work; NULL for NULL';

-- migrations
--
-- The tables are data: ordinary tables in schema fx that are never members of
-- the extension, so that a plain dump carries them whole and DROP EXTENSION
-- keeps them.  Their definitions come with the extension, as rows of this
-- table, and are applied by migrate().

CREATE TABLE migration (
    version text COLLATE "C" PRIMARY KEY,
    up text NOT NULL,
    down text NOT NULL,
    attach text NOT NULL
);

GRANT SELECT ON migration TO fx_app, fx_user, fx_reporting;

COMMENT ON TABLE migration
    IS 'scripts of the migrations that this version of fxplatform knows, in the order of their names';
COMMENT ON COLUMN migration.up IS 'makes or changes tables';
COMMENT ON COLUMN migration.down IS 'undoes up';
COMMENT ON COLUMN migration.attach
    IS 'makes what refers to functions of the extension (triggers, policies, ...); can run again';

CREATE FUNCTION migration_states()
RETURNS TABLE (version text, state text, applied_at timestamptz)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('fx.schema_migrations') IS NULL THEN
        RETURN QUERY
            SELECT m.version, 'pending', NULL::timestamptz
              FROM fx.migration m
             ORDER BY m.version;
        RETURN;
    END IF;

    RETURN QUERY
        SELECT coalesce(m.version, a.version),
               CASE
                   WHEN m.version IS NULL THEN 'unknown'
                   WHEN a.version IS NULL THEN 'pending'
                   ELSE 'applied'
               END,
               a.applied_at
          FROM fx.migration m
          FULL JOIN fx.schema_migrations a ON a.version COLLATE "C" = m.version
         ORDER BY coalesce(m.version, a.version) COLLATE "C";
END
$$;

COMMENT ON FUNCTION migration_states()
    IS 'rows of fx.migration_status';

CREATE VIEW migration_status AS
    SELECT version, state, applied_at FROM migration_states();

GRANT SELECT ON migration_status TO fx_app, fx_user, fx_reporting;

COMMENT ON VIEW migration_status
    IS 'every migration in order: applied with its time, pending, or unknown (applied by a newer version of fxplatform)';

-- Which rows would be lost by undoing the given migrations, newest first?
--
-- Nobody declares it: the scripts run in a subtransaction that is rolled back,
-- and the catalogs tell which tables and columns are gone after them.  The
-- migrations are then applied once more, because rows that they insert
-- themselves are no loss as long as nobody changed them.  A column counts for
-- each row that differs from its default.
CREATE FUNCTION migration_losses(versions text[])
RETURNS TABLE (object text, lost bigint)
LANGUAGE plpgsql
SET search_path = fx, pg_temp
AS $$
DECLARE
    step text;
    item record;
    tables oid[];
    lost_tables name[];
    columns_before jsonb;
    lost_columns jsonb;
    seeds jsonb := '{}';
    rows jsonb;
BEGIN
    SELECT array_agg(c.oid)
      INTO tables
      FROM pg_class c
     WHERE c.relnamespace = 'fx'::regnamespace
       AND c.relkind IN ('r', 'p')
       AND NOT c.relispartition
       -- books that are made again, from what is there
       AND c.relname NOT IN ('schema_migrations', 'candle_changes', 'candle_partitions', 'candle_series',
                               'positions', 'audit_key', 'audit_chain')
       AND NOT EXISTS (SELECT FROM pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND d.deptype = 'e');

    SELECT jsonb_agg(to_jsonb(b))
      INTO columns_before
      FROM (SELECT a.attrelid, a.attnum, a.attname, c.relname,
                   pg_get_expr(d.adbin, d.adrelid) AS default_value
              FROM pg_attribute a
              JOIN pg_class c ON c.oid = a.attrelid
              LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
             WHERE a.attrelid = ANY (tables)
               AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') b;

    BEGIN
        FOREACH step IN ARRAY versions LOOP
            EXECUTE (SELECT m.down FROM migration m WHERE m.version = step);
        END LOOP;

        SELECT array_agg(DISTINCT b.relname ORDER BY b.relname)
          INTO lost_tables
          FROM jsonb_to_recordset(columns_before) b (attrelid oid, relname name)
         WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = b.attrelid);

        SELECT jsonb_agg(to_jsonb(b) ORDER BY b.relname, b.attnum)
          INTO lost_columns
          FROM jsonb_to_recordset(columns_before)
                   b (attrelid oid, attnum int2, attname name, relname name, default_value text)
          JOIN pg_attribute a ON (a.attrelid, a.attnum) = (b.attrelid, b.attnum)
         WHERE a.attisdropped;

        IF lost_tables IS NOT NULL THEN
            FOR item IN
                SELECT m.up FROM migration m WHERE m.version = ANY (versions) ORDER BY m.version
            LOOP
                EXECUTE item.up;
            END LOOP;
            FOREACH step IN ARRAY lost_tables LOOP
                IF to_regclass(format('fx.%I', step)) IS NOT NULL THEN
                    EXECUTE format('SELECT jsonb_agg(to_jsonb(t)) FROM fx.%I t', step) INTO rows;
                    seeds := seeds || jsonb_build_object(step, coalesce(rows, '[]'));
                END IF;
            END LOOP;
        END IF;

        RAISE EXCEPTION USING ERRCODE = 'XF000', MESSAGE = 'dry run ends';
    EXCEPTION WHEN SQLSTATE 'XF000' THEN
        NULL;                   -- the dry run is undone, what it found stays
    END;

    -- From here on nobody adds a row: they would go with the table anyway.
    FOREACH step IN ARRAY coalesce(lost_tables, '{}') LOOP
        EXECUTE format('LOCK TABLE fx.%I IN ACCESS EXCLUSIVE MODE', step);
        object := format('table %I', step);
        IF seeds -> step = '[]' THEN
            EXECUTE format('SELECT count(*) FROM fx.%I', step) INTO lost;
        ELSE
            EXECUTE format('SELECT count(*) FROM fx.%I t
                             WHERE NOT to_jsonb(t) = ANY (ARRAY(SELECT jsonb_array_elements($1)))', step)
               INTO lost USING seeds -> step;
        END IF;
        IF lost > 0 THEN
            RETURN NEXT;
        END IF;
    END LOOP;

    FOR item IN
        SELECT c.* FROM jsonb_to_recordset(lost_columns)
            AS c (relname name, attname name, default_value text)
    LOOP
        EXECUTE format('LOCK TABLE fx.%I IN ACCESS EXCLUSIVE MODE', item.relname);
        object := format('column %I.%I', item.relname, item.attname);
        EXECUTE format('SELECT count(*) FROM fx.%I t WHERE (t.%I)::text IS DISTINCT FROM (%s)::text',
                       item.relname, item.attname, coalesce(item.default_value, 'NULL'))
           INTO lost;
        IF lost > 0 THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION migration_losses(text[]) FROM PUBLIC;

COMMENT ON FUNCTION migration_losses(text[])
    IS 'tables and columns that hold data and would be dropped by undoing these migrations, newest first, with the number of rows; changes nothing';

-- Run one script of a migration, and say in an error which it was.  The
-- condition itself stays as it is, so that a caller can still tell a
-- deadlock from a typing error.
CREATE FUNCTION run_migration_script(version text, script text, step text)
RETURNS void
LANGUAGE plpgsql
SET search_path = fx, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    state text;
    message text;
    detail text;
    hint text;
BEGIN
    EXECUTE script;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS
        state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RAISE EXCEPTION USING
        ERRCODE = state,
        MESSAGE = format('migration "%s" (%s) failed: %s', version, step, message),
        DETAIL = detail,
        HINT = hint;
END
$$;

REVOKE ALL ON FUNCTION run_migration_script(text, text, text) FROM PUBLIC;

COMMENT ON FUNCTION run_migration_script(text, text, text)
    IS 'runs one script of a migration for fx.migrate; an error names the migration and keeps its SQLSTATE';

CREATE FUNCTION migrate(target text DEFAULT NULL, force boolean DEFAULT false)
RETURNS TABLE (version text, direction text)
LANGUAGE plpgsql
SET search_path = fx, pg_temp
AS $$
DECLARE
    owner name;
    role_before text;
    newest text;
    losses text;
    undo text[];
    item record;
BEGIN
    IF force IS NULL THEN
        RAISE EXCEPTION 'argument "force" must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    SELECT r.rolname INTO owner
      FROM pg_extension e JOIN pg_roles r ON r.oid = e.extowner
     WHERE e.extname = 'fxplatform';
    IF NOT pg_has_role(owner, 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of extension fxplatform'
            USING ERRCODE = 'insufficient_privilege';
    END IF;

    -- One at a time.  Whoever waited sees what the other did, because each
    -- statement below has a snapshot of its own.
    PERFORM lock_work('migrate');

    SELECT max(m.version) INTO newest FROM migration m;
    target := coalesce(target, newest);
    IF target = 'none' THEN
        target := '';           -- before every version
    ELSIF NOT EXISTS (SELECT FROM migration m WHERE m.version = target) THEN
        RAISE EXCEPTION 'migration "%" does not exist', target
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'See fx.migration_status, or use ''none'' for the state before the first.';
    END IF;

    -- All tables have one owner, whoever of his role migrates.
    IF owner <> current_user THEN
        role_before := current_setting('role');
        PERFORM set_config('role', owner, true);
    END IF;

    SELECT array_agg(s.version ORDER BY s.version COLLATE "C" DESC)
      INTO undo
      FROM migration_states() s
     WHERE s.state <> 'pending' AND s.version COLLATE "C" > target;

    -- What a newer version of the extension applied is above all that this
    -- one knows: going to the newest leaves it, going below cannot undo it.
    SELECT string_agg(format('"%s"', s.version), ', ' ORDER BY s.version COLLATE "C")
      INTO losses
      FROM migration_states() s
     WHERE s.state = 'unknown' AND s.version = ANY (undo);
    IF losses IS NOT NULL THEN
        IF target = newest THEN
            RAISE WARNING 'migrations % are applied and not known to this version of fxplatform', losses
                USING HINT = 'Install the version of fxplatform that made them.';
            undo := NULL;
        ELSE
            RAISE EXCEPTION 'cannot undo migrations %', losses
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      DETAIL = 'They were applied by a newer version of fxplatform.',
                      HINT = 'Install the version of fxplatform that made them.';
        END IF;
    END IF;

    IF undo IS NOT NULL AND NOT force THEN
        SELECT string_agg(format('%s: %s rows', l.object, l.lost), ', ')
          INTO losses
          FROM migration_losses(undo) l;
        IF losses IS NOT NULL THEN
            RAISE EXCEPTION 'migrating down to "%" would drop data',
                    coalesce(nullif(target, ''), 'none')
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      DETAIL = losses || '.',
                      HINT = 'Make a backup, then use fx.migrate(..., force => true).';
        END IF;
    END IF;

    FOR item IN
        SELECT m.version, m.down FROM migration m
         WHERE m.version = ANY (undo) ORDER BY m.version DESC
    LOOP
        PERFORM run_migration_script(item.version, item.down, 'down');
        IF to_regclass('fx.schema_migrations') IS NOT NULL THEN
            DELETE FROM schema_migrations a WHERE a.version = item.version;
        END IF;
        version := item.version;
        direction := 'down';
        RETURN NEXT;
    END LOOP;

    FOR item IN
        SELECT m.* FROM migration m
          JOIN migration_states() s USING (version)
         WHERE s.state = 'pending' AND m.version <= target
         ORDER BY m.version
    LOOP
        PERFORM run_migration_script(item.version, item.up, 'up');
        PERFORM run_migration_script(item.version, item.attach, 'attach');
        INSERT INTO schema_migrations (version) VALUES (item.version);
        version := item.version;
        direction := 'up';
        RETURN NEXT;
    END LOOP;

    IF role_before IS NOT NULL THEN
        PERFORM set_config('role', role_before, true);
    END IF;
END
$$;

REVOKE ALL ON FUNCTION migrate(text, boolean) FROM PUBLIC;

COMMENT ON FUNCTION migrate(text, boolean)
    IS 'applies or undoes migrations until target is the newest applied one (NULL: the newest known, ''none'': before the first), returns what it did; refuses to drop rows unless force; concurrent calls wait for one another; errors: 22023 unknown target, 55000 data or an unknown migration in the way, 42501 not the owner';

CREATE FUNCTION attach_migrations()
RETURNS void
LANGUAGE plpgsql
SET search_path = fx, pg_temp
AS $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT m.version, m.attach FROM migration m
          JOIN migration_states() s USING (version)
         WHERE s.state = 'applied'
         ORDER BY m.version
    LOOP
        PERFORM run_migration_script(item.version, item.attach, 'attach');
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION attach_migrations() FROM PUBLIC;

COMMENT ON FUNCTION attach_migrations()
    IS 'makes the triggers, policies and indexes of the applied migrations again that DROP EXTENSION ... CASCADE took; changes no row';

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
    IS 'counts an attempt in shared memory, which no rollback undoes, and returns NULL; or returns how long it has to wait; attempts and last_at say what fx.sign_in_failures knows';

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
    IS 'signs a user in by email or username and password, and by a code of his second factor when he has one; one row, status: ok (token, shown once, and until when it is good when it is not used), failed (login, password or code; which is not told), code_required (the password is right), delayed (after too many failures of the login or the address: retry_after, the password was not looked at); never an error, so that failures are recorded';

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
    IS 'whether the code of a user''s second factor is right now, or 30 seconds before or after; each is accepted once, and the first one confirms the second factor; false too while failures delay it, as they do fx.sign_in; errors: 42501 fx_user for somebody else, 55000 the secret is not encrypted, or its key is not configured, 22004 NULL user_id';

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

-- triggers that every table has: updated_at and the audit trail

CREATE FUNCTION update_updated_at_column()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_update_updated_at_column';

COMMENT ON FUNCTION update_updated_at_column()
    IS 'trigger, BEFORE UPDATE FOR EACH ROW: sets updated_at to the clock''s time unless nothing changed';

-- Rows become JSON with the rights of whoever wrote them, and entries are
-- stored with those of the log's owner, whom nobody else writes for.
CREATE FUNCTION audit_trigger_function()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_audit_trigger_function';

REVOKE ALL ON FUNCTION audit_trigger_function() FROM PUBLIC;

COMMENT ON FUNCTION audit_trigger_function()
    IS 'trigger, AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW or AFTER TRUNCATE: records the change in fx.audit_log at the end of the statement; arguments "redact:column" (its value is not shown; always password_hash, two_factor_secret, api_key_hash) and "ignore:column" (its change alone is not recorded; always updated_at), see fx.enable_audit; errors: 42703 a column to redact is not there, 22023 another argument';

CREATE FUNCTION audit_resource_type("table" regclass)
RETURNS text
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_audit_resource_type';

COMMENT ON FUNCTION audit_resource_type(regclass)
    IS 'what fx.audit_log.resource_type says of a table: its name in schema fx, schema and name elsewhere; of more than 50 characters the first 33, "~" and 16 digits of the sha256 of all; errors: 42P01 no such table';

CREATE FUNCTION audit_row_hash(
    id uuid, actor_id uuid, action text, resource_type text, resource_id text,
    old_values jsonb, new_values jsonb, changed_columns text[], ip_address inet, user_agent text,
    session_user_name text, application_name text, statement_at timestamptz, created_at timestamptz)
RETURNS bytea
LANGUAGE C
IMMUTABLE
CALLED ON NULL INPUT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_audit_row_hash';

COMMENT ON FUNCTION audit_row_hash(uuid, uuid, text, text, text, jsonb, jsonb, text[], inet, text, text, text, timestamptz, timestamptz)
    IS 'the row_hash that an entry of fx.audit_log with these columns has: sha256 over their lengths and values, jsonb by its text, nulls told apart from empty values; the same in every cluster and major';

-- auditing of other tables
--
-- Whoever owns a table and may execute these functions and the trigger
-- function has it audited; nobody but the owner of the extension may, unless
-- he grants it.

-- The name of a trigger of the table that fits into a name: that of the
-- platform's own tables, with the table's cut where it is too long.
CREATE FUNCTION audit_trigger_name("table" regclass, suffix text)
RETURNS name
LANGUAGE sql
STABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ('audit_' || left(c.relname, n) || suffix)::name
      FROM pg_class c, generate_series(63, 1, -1) AS n
     WHERE c.oid = $1 AND octet_length('audit_' || left(c.relname, n) || suffix) <= 63
     ORDER BY n DESC
     LIMIT 1
$$;

REVOKE ALL ON FUNCTION audit_trigger_name(regclass, text) FROM PUBLIC;

COMMENT ON FUNCTION audit_trigger_name(regclass, text)
    IS 'audit_<table><suffix>, cut to the length of a name';

CREATE FUNCTION enable_audit("table" regclass, redact text[] DEFAULT '{}', ignore text[] DEFAULT '{}')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    target pg_class;
    argument text;
    missing text;
    arguments text;
BEGIN
    IF "table" IS NULL OR redact IS NULL OR ignore IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN "table" IS NULL THEN 'table' WHEN redact IS NULL THEN 'redact' ELSE 'ignore' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    SELECT c.* INTO target FROM pg_class c WHERE c.oid = "table";
    IF NOT FOUND OR target.relkind NOT IN ('r', 'p') THEN
        RAISE EXCEPTION '"%" is not a table', coalesce(target.relname, "table"::text)
            USING ERRCODE = 'wrong_object_type';
    END IF;
    IF "table" IN (to_regclass('fx.audit_log'), to_regclass('fx.audit_key')) THEN
        RAISE EXCEPTION 'table "%" cannot be audited', target.relname
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    FOREACH argument IN ARRAY ARRAY['redact', 'ignore'] LOOP
        SELECT n INTO missing
          FROM unnest(CASE argument WHEN 'redact' THEN redact ELSE ignore END) WITH ORDINALITY AS u (n, place)
         WHERE NOT EXISTS (SELECT FROM pg_attribute a
                            WHERE a.attrelid = "table" AND a.attname = n
                              AND a.attnum > 0 AND NOT a.attisdropped)
         ORDER BY place
         LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'column "%" of table "%" in argument "%" does not exist',
                    missing, target.relname, argument
                USING ERRCODE = 'undefined_column';
        END IF;
    END LOOP;

    SELECT string_agg(quote_literal(a), ', ' ORDER BY place)
      INTO arguments
      FROM (SELECT 'redact:' || n, place FROM unnest(redact) WITH ORDINALITY AS u (n, place)
            UNION ALL
            SELECT 'ignore:' || n, cardinality(redact) + place FROM unnest(ignore) WITH ORDINALITY AS u (n, place))
           AS u (a, place);

    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER INSERT OR UPDATE OR DELETE ON %s
                        FOR EACH ROW EXECUTE FUNCTION fx.audit_trigger_function(%s)',
                   fx.audit_trigger_name("table", '_trigger'), "table", arguments);
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER TRUNCATE ON %s
                        FOR EACH STATEMENT EXECUTE FUNCTION fx.audit_trigger_function()',
                   fx.audit_trigger_name("table", '_truncate_trigger'), "table");
END
$$;

REVOKE ALL ON FUNCTION enable_audit(regclass, text[], text[]) FROM PUBLIC;

COMMENT ON FUNCTION enable_audit(regclass, text[], text[])
    IS 'records the changes of a table in fx.audit_log from now on, also of one that is partitioned or has no primary key; redact: columns whose values are not shown, besides password_hash, two_factor_secret and api_key_hash; ignore: columns whose change alone is not recorded, besides updated_at; called again, it replaces both lists; needs the privilege TRIGGER on the table; errors: 22004 null, 42809 not a table, 22023 the log itself, 42703 a column that is not there';

CREATE FUNCTION disable_audit("table" regclass)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    item record;
BEGIN
    IF "table" IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', 'table'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF "table" = to_regclass('fx.audit_log') THEN
        RAISE EXCEPTION 'table "%" is not audited', 'audit_log'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    FOR item IN
        SELECT t.tgname FROM pg_trigger t
         WHERE t.tgrelid = "table" AND NOT t.tgisinternal AND t.tgparentid = 0
           AND t.tgfoid = 'fx.audit_trigger_function()'::regprocedure
         ORDER BY t.tgname
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', item.tgname, "table");
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION disable_audit(regclass) FROM PUBLIC;

COMMENT ON FUNCTION disable_audit(regclass)
    IS 'records changes of a table no longer, of one of the platform until its migrations are attached again; entries stay; does nothing where a table is not audited; needs the table''s ownership; errors: 22004 null, 22023 the log itself';

-- removal of old parts of the audit trail
--
-- In two steps, and the copy in between is the caller's: what is returned by the
-- transaction that removes it is gone when it does not arrive.

CREATE FUNCTION export_audit(before timestamptz)
RETURNS TABLE (seq bigint, chain_hash bytea, entry jsonb)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    base_seq CONSTANT bigint := (SELECT b.seq FROM fx.audit_base() b);
    end_seq bigint;
BEGIN
    IF before IS NULL THEN
        RAISE EXCEPTION 'argument "before" must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    SELECT min(s.seq) INTO end_seq
      FROM fx.audit_log a JOIN fx.audit_seals s ON s.audit_id = a.id
     WHERE a.created_at >= before;
    RETURN QUERY
        SELECT s.seq, s.chain_hash,
               to_jsonb(a) || jsonb_build_object('seq', s.seq, 'sealed_at', s.sealed_at,
                                                 'row_hash', s.row_hash, 'chain_hash', s.chain_hash)
          FROM fx.audit_seals s JOIN fx.audit_log a ON a.id = s.audit_id
         WHERE s.seq > base_seq AND (end_seq IS NULL OR s.seq < end_seq)
         ORDER BY s.seq;
END
$$;

REVOKE ALL ON FUNCTION export_audit(timestamptz) FROM PUBLIC;

COMMENT ON FUNCTION export_audit(timestamptz)
    IS 'the beginning of the audit chain to be stored elsewhere, for the owner: all sealed rows in front of the first one that is not older than before, in the order of the chain; entry has the columns of fx.audit_log and of the seal, times in UTC. Removes nothing, which is for fx.remove_exported_audit to do; error 22004 a null argument';

CREATE FUNCTION remove_exported_audit(seq bigint, chain_hash bytea)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    base record;
    problem record;
    gone record;
BEGIN
    IF seq IS NULL OR chain_hash IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN seq IS NULL THEN 'seq' ELSE 'chain_hash' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    PERFORM FROM fx.audit_chain FOR UPDATE;
    IF NOT EXISTS (SELECT FROM fx.audit_seals s
                    WHERE s.seq = remove_exported_audit.seq AND s.chain_hash = remove_exported_audit.chain_hash) THEN
        RAISE EXCEPTION 'seal % with this hash does not exist', seq
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give number and hash of the last entry that fx.export_audit returned.';
    END IF;

    -- what is removed cannot be examined any more
    SELECT b.* INTO base FROM fx.audit_base() b;
    SELECT p.* INTO problem FROM fx.audit_seal_problems(base.seq, base.chain_hash, seq) p LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the audit chain up to seal % is not intact', seq
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Seal %s: %s. %s', problem.seq, problem.kind, problem.detail),
                  HINT = 'See fx.verify_audit().';
    END IF;

    WITH seals AS (
        DELETE FROM fx.audit_seals s WHERE s.seq <= remove_exported_audit.seq RETURNING s.audit_id
    ), entries AS (
        DELETE FROM fx.audit_log a USING seals s WHERE a.id = s.audit_id RETURNING a.created_at
    )
    SELECT count(*) AS row_count, min(e.created_at) AS oldest, max(e.created_at) AS newest
      INTO gone
      FROM entries e;
    INSERT INTO fx.audit_exports (seq, chain_hash, row_count, oldest, newest)
    VALUES (seq, chain_hash, gone.row_count, gone.oldest, gone.newest);
    RETURN gone.row_count;
END
$$;

REVOKE ALL ON FUNCTION remove_exported_audit(bigint, bytea) FROM PUBLIC;

COMMENT ON FUNCTION remove_exported_audit(bigint, bytea)
    IS 'removes rows and seals that fx.export_audit returned, up to the one with this number and hash, for the owner; the anchor stays in fx.audit_exports, and the rest of the chain follows it. Returns the number of rows; errors: 22004 a null argument, 22023 no such seal, 55000 the part is not intact';

-- seals of the audit trail
--
-- A row of audit_log is sealed after its transaction has committed: it gets the
-- next number of a chain, and a hash over itself and the seal before.  Where a
-- row stands says when it became known, so the order is safe whatever commits
-- when: rows of a transaction that is still running are sealed later, behind
-- those that were visible first.
--
-- How to find what is not sealed yet, among millions that are: audit_chain.seen
-- is a snapshot in which every visible row is sealed.  What is new belongs to a
-- transaction that was running in it or began after it.  That is no evidence,
-- only a place to look at, and holds in the cluster whose transactions it names.
-- Elsewhere, after a restore, all rows are looked through once.
--
-- Sealers, and who removes the beginning of the chain, hold a lock on the row of
-- audit_chain and read the rest under a snapshot that is younger than the lock.

CREATE FUNCTION guard_audit()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID), 'USAGE') THEN
        RAISE EXCEPTION 'table "%" is written by nobody but its owner', TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege',
                  TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION guard_audit()
    IS 'trigger, BEFORE ... FOR EACH STATEMENT: refuses (42501) who does not have the rights of the table''s owner, whatever was granted to him; foreign keys and functions with the owner''s rights pass';

CREATE FUNCTION audit_chain_hash(previous bytea, seq bigint, audit_id uuid, sealed_at timestamptz, row_hash bytea)
RETURNS bytea
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_audit_chain_hash';

COMMENT ON FUNCTION audit_chain_hash(bytea, bigint, uuid, timestamptz, bytea)
    IS 'the chain_hash of a seal: sha256 over the chain_hash of the seal before, the number (8 bytes), the id (16), the time (8, microseconds since 2000-01-01 UTC) and the row_hash; integers in network byte order; NULL when a part is';

CREATE FUNCTION chain_audit_accum(state bytea, head bytea, seq bigint, audit_id uuid, sealed_at timestamptz, row_hash bytea)
RETURNS bytea
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_chain_audit_accum';

COMMENT ON FUNCTION chain_audit_accum(bytea, bytea, bigint, uuid, timestamptz, bytea)
    IS 'transition of fx.chain_audit; error 22004 a part is null';

CREATE AGGREGATE chain_audit(head bytea, seq bigint, audit_id uuid, sealed_at timestamptz, row_hash bytea) (
    SFUNC = chain_audit_accum,
    STYPE = bytea,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE chain_audit(bytea, bigint, uuid, timestamptz, bytea)
    IS 'chain_hash of the last of some seals in a row, the first of which follows head; over a window, ORDER BY seq, that of each';

-- sealing

-- Transactions that had ended in the snapshot, up to and including the last one
-- or all.  The own transaction may write more, so it has not.
CREATE FUNCTION audit_snapshot_through(snapshot pg_snapshot, last xid8)
RETURNS pg_snapshot
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH bound AS (
        SELECT least(last::text::bigint + 1, pg_snapshot_xmax(snapshot)::text::bigint) AS xid
    ), running AS (
        SELECT r.xid::text::bigint AS xid
          FROM (SELECT pg_snapshot_xip(snapshot) UNION SELECT pg_current_xact_id_if_assigned()) r (xid)
         WHERE r.xid::text::bigint < (SELECT b.xid FROM bound b)
    )
    SELECT format('%s:%s:%s', coalesce((SELECT min(r.xid) FROM running r), b.xid), b.xid,
                  (SELECT string_agg(r.xid::text, ',' ORDER BY r.xid) FROM running r))::pg_snapshot
      FROM bound b
$$;

COMMENT ON FUNCTION audit_snapshot_through(pg_snapshot, xid8)
    IS 'the snapshot cut off after transaction last (NULL: not at all), with the own transaction among the running ones';

CREATE FUNCTION seal_audit_batch(max_rows integer DEFAULT 50000, recheck boolean DEFAULT false)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    cluster CONSTANT bigint := (SELECT system_identifier FROM pg_control_system());
    head record;
    running xid8[];             -- when the last rows were sealed
    sealed_at timestamptz;
    batch record;
BEGIN
    IF max_rows IS NULL OR recheck IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN recheck IS NULL THEN 'recheck' ELSE 'max_rows' END
            USING ERRCODE = 'null_value_not_allowed';
    ELSIF max_rows < 1 THEN
        RAISE EXCEPTION 'argument "max_rows" must be positive'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    SELECT c.* INTO head FROM fx.audit_chain c FOR UPDATE;
    -- Both happen while a dump is being restored, row by row and table by table.
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the head of the audit chain is missing'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Restore the row of fx.audit_chain.';
    ELSIF head.seq > coalesce((SELECT max(e.seq) FROM fx.audit_exports e), 0) AND
          NOT EXISTS (SELECT FROM fx.audit_seals) THEN
        RAISE EXCEPTION 'the seals up to % are missing', head.seq
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Restore the rows of fx.audit_seals.';
    END IF;

    sealed_at := greatest(clock_timestamp(), head.sealed_at);
    IF recheck OR head.seen_in IS DISTINCT FROM cluster THEN
        head.seen := NULL;
    END IF;
    running := ARRAY(SELECT pg_snapshot_xip(head.seen));

    -- The rows of a transaction are sealed together.  Those of transactions that
    -- were running last time come all, then new ones in order until they are
    -- enough; without a snapshot to start from, everything comes at once.
    WITH fresh AS MATERIALIZED (
        SELECT a.id, a.transaction_id
          FROM fx.audit_log a
         WHERE a.transaction_id >= pg_snapshot_xmax(head.seen)
           AND a.transaction_id <= greatest(pg_snapshot_xmax(pg_current_snapshot()), pg_current_xact_id())
           AND NOT EXISTS (SELECT FROM fx.audit_seals s WHERE s.audit_id = a.id)
         ORDER BY a.transaction_id
         FETCH FIRST max_rows ROWS WITH TIES
    ), unsealed AS (
        SELECT f.id FROM fresh f
        UNION ALL
        SELECT a.id
          FROM fx.audit_log a
         WHERE a.transaction_id = ANY (running)
           AND NOT EXISTS (SELECT FROM fx.audit_seals s WHERE s.audit_id = a.id)
        UNION ALL
        SELECT a.id
          FROM fx.audit_log a
         WHERE head.seen IS NULL
           AND NOT EXISTS (SELECT FROM fx.audit_seals s WHERE s.audit_id = a.id)
    ), hashed AS (
        SELECT a.id, a.created_at,
               fx.audit_row_hash(a.id, a.actor_id, a.action, a.resource_type, a.resource_id,
                                 a.old_values, a.new_values, a.changed_columns, a.ip_address, a.user_agent,
                                 a.session_user_name, a.application_name, a.statement_at, a.created_at) AS row_hash
          FROM unsealed u JOIN fx.audit_log a USING (id)
        OFFSET 0                -- no whole rows are sorted
    ), numbered AS (
        SELECT head.seq + row_number() OVER (ORDER BY h.created_at, h.id) AS seq, h.id, h.row_hash
          FROM hashed h
    ), sealed AS (
        INSERT INTO fx.audit_seals (seq, audit_id, sealed_at, row_hash, chain_hash)
        SELECT n.seq, n.id, sealed_at, n.row_hash,
               fx.chain_audit(head.chain_hash, n.seq, n.id, sealed_at, n.row_hash) OVER (ORDER BY n.seq)
          FROM numbered n
        RETURNING seq
    )
    SELECT count(*) AS sealed, pg_current_snapshot() AS snapshot,
           -- where to go on, unless this was all
           CASE WHEN (SELECT count(*) >= max_rows FROM fresh)
                THEN (SELECT max(f.transaction_id) FROM fresh f) END AS last
      INTO batch
      FROM sealed;

    UPDATE fx.audit_chain c
       SET seq = s.seq, chain_hash = s.chain_hash, sealed_at = s.sealed_at
      FROM fx.audit_seals s
     WHERE batch.sealed > 0 AND s.seq = head.seq + batch.sealed;
    UPDATE fx.audit_chain c
       SET seen = fx.audit_snapshot_through(batch.snapshot, batch.last), seen_in = cluster;
    RETURN batch.sealed;
END
$$;

REVOKE ALL ON FUNCTION seal_audit_batch(integer, boolean) FROM PUBLIC;

COMMENT ON FUNCTION seal_audit_batch(integer, boolean)
    IS 'one batch of fx.seal_audit in the transaction of the caller, who is the owner: seals rows of audit_log until they are at least max_rows, whole transactions only, and returns how many; less than max_rows when nothing is left. recheck looks for unsealed rows among all instead of new ones. Waits for another sealer; errors: 22004 and 22023 arguments, 55000 the chain is not there, as in the middle of a restore';

-- Like fx.maintain: without a search_path of its own, because it commits.  What
-- fits one batch needs no commit and may be sealed in a transaction block, which
-- gets its search_path back.
CREATE PROCEDURE seal_audit(max_rows integer DEFAULT 50000, recheck boolean DEFAULT false)
LANGUAGE plpgsql
AS $$
DECLARE
    path_before CONSTANT pg_catalog.text := pg_catalog.current_setting('search_path');
    sealed pg_catalog.int8;
BEGIN
    LOOP
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        sealed := fx.seal_audit_batch(max_rows, recheck);
        EXIT WHEN sealed < max_rows OR recheck;
        COMMIT;
    END LOOP;
    PERFORM pg_catalog.set_config('search_path', path_before, true);
END
$$;

REVOKE ALL ON PROCEDURE seal_audit(integer, boolean) FROM PUBLIC;

COMMENT ON PROCEDURE seal_audit(integer, boolean)
    IS 'seals all rows of audit_log that are committed and not sealed yet, for the owner: numbers them, and chains their hashes. It commits after each max_rows rows or so, and cannot do that in a transaction block. recheck, for rows that were put back by hand, looks among all rows in one batch. Errors: those of fx.seal_audit_batch';

CREATE FUNCTION audit_anchor()
RETURNS TABLE (seq bigint, chain_hash bytea, row_count bigint, sealed_at timestamptz)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT c.seq, c.chain_hash,
               c.seq - coalesce((SELECT max(e.seq) FROM fx.audit_exports e), 0), c.sealed_at
          FROM fx.audit_chain c;
END
$$;

COMMENT ON FUNCTION audit_anchor()
    IS 'the head of the audit chain, to be stored outside of the database and given to fx.verify_audit_anchor later: number and hash of the newest seal (0 and zeros before the first), sealed rows that are still here, time of the seal';

-- checks of the audit trail
--
-- Evidence is the chain: a row is what its seal says, a seal follows from the
-- one before, the last one is the head, and the head is what somebody stored
-- elsewhere.  Whoever owns the database can make a new chain up to the head;
-- only the last step finds that.

-- Where the chain begins: after what was exported and removed.
CREATE FUNCTION audit_base(OUT seq bigint, OUT chain_hash bytea)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT e.seq, e.chain_hash INTO seq, chain_hash
      FROM fx.audit_exports e
     ORDER BY e.seq DESC
     LIMIT 1;
    IF NOT FOUND THEN
        seq := 0;
        chain_hash := decode(repeat('00', 32), 'hex');
    END IF;
END
$$;

COMMENT ON FUNCTION audit_base()
    IS 'number and hash that the oldest seal of the audit chain follows';

-- A seal is checked against the one before as that is stored.  Where that one is
-- not what it should be, the hash that it should have is good too: an edited hash
-- is one problem, not two.
CREATE FUNCTION audit_seal_problems(after_seq bigint, after_hash bytea, last_seq bigint DEFAULT NULL)
RETURNS TABLE (kind text, seq bigint, audit_id uuid, detail text)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    previous_seq bigint := after_seq;
    previous_hash bytea := after_hash;
    mended_hash bytea;          -- of the seal before, where it differs
    expected bytea;
    follows boolean;
    seal record;
BEGIN
    FOR seal IN
        SELECT s.*, a.id AS found_id, a.row_hash AS found_hash,
               fx.audit_row_hash(a.id, a.actor_id, a.action, a.resource_type, a.resource_id,
                                 a.old_values, a.new_values, a.changed_columns, a.ip_address, a.user_agent,
                                 a.session_user_name, a.application_name, a.statement_at, a.created_at) AS computed
          FROM fx.audit_seals s
          LEFT JOIN fx.audit_log a ON a.id = s.audit_id
         WHERE s.seq > after_seq AND (last_seq IS NULL OR s.seq <= last_seq)
         ORDER BY s.seq
    LOOP
        expected := fx.audit_chain_hash(previous_hash, seal.seq, seal.audit_id, seal.sealed_at, seal.row_hash);
        IF seal.chain_hash = expected AND seal.seq = previous_seq + 1 AND
           seal.computed = seal.row_hash AND seal.computed = seal.found_hash THEN
            previous_seq := seal.seq;
            previous_hash := seal.chain_hash;
            mended_hash := NULL;
            CONTINUE;
        END IF;

        follows := true;
        IF seal.seq <> previous_seq + 1 THEN
            kind := 'broken chain';
            seq := previous_seq + 1;
            audit_id := NULL;
            detail := format('Seals from this one to %s are missing.', seal.seq - 1);
            RETURN NEXT;
        END IF;
        seq := seal.seq;
        audit_id := seal.audit_id;
        IF seal.seq = previous_seq + 1 AND seal.chain_hash <> expected AND
           seal.chain_hash IS DISTINCT FROM fx.audit_chain_hash(mended_hash, seal.seq, seal.audit_id,
                                                                seal.sealed_at, seal.row_hash) THEN
            follows := false;
            kind := 'broken chain';
            detail := 'The seal does not follow from the one before: it was edited, moved or inserted.';
            RETURN NEXT;
        END IF;

        IF seal.found_id IS NULL THEN
            kind := 'missing row';
            detail := 'The row was sealed and is gone.';
            RETURN NEXT;
        ELSIF seal.computed = seal.row_hash AND seal.found_hash IS DISTINCT FROM seal.computed THEN
            kind := 'inserted row';
            detail := 'The row is what was sealed, but not what its own hash says: it was not written by the trigger, or has a new hash.';
            RETURN NEXT;
        ELSIF seal.computed <> seal.row_hash AND seal.found_hash IS DISTINCT FROM seal.computed THEN
            kind := 'edited row';
            detail := 'The row is neither what was sealed nor what its own hash says.';
            RETURN NEXT;
        ELSIF seal.computed <> seal.row_hash AND follows THEN
            -- nothing is said of a row by a seal that cannot be trusted
            kind := 'edited row';
            detail := 'The row is not what was sealed, and has a new hash.';
            RETURN NEXT;
        END IF;

        previous_seq := seal.seq;
        previous_hash := seal.chain_hash;
        mended_hash := expected;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION audit_seal_problems(bigint, bytea, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_seal_problems(bigint, bytea, bigint) TO fx_app;

COMMENT ON FUNCTION audit_seal_problems(bigint, bytea, bigint)
    IS 'for fx.verify_audit: what is wrong with the seals after one that is taken for granted up to last_seq (NULL: all that there are), and with their rows';

-- Rows without a seal: those of transactions that the last sealing had before it
-- should have one.  What the caller's own transaction wrote is new.
CREATE FUNCTION audit_unsealed(since timestamptz)
RETURNS TABLE (kind text, seq bigint, audit_id uuid, detail text)
LANGUAGE plpgsql
STABLE
PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    item record;
    unsealed bigint := 0;
    oldest timestamptz;
BEGIN
    FOR item IN
        SELECT a.id, a.created_at,
               fx.audit_row_hash(a.id, a.actor_id, a.action, a.resource_type, a.resource_id,
                                 a.old_values, a.new_values, a.changed_columns, a.ip_address, a.user_agent,
                                 a.session_user_name, a.application_name, a.statement_at, a.created_at)
               = a.row_hash IS TRUE AS is_recorded,
               c.seen IS NOT NULL
               AND c.seen_in = (SELECT system_identifier FROM pg_control_system())
               AND a.transaction_id IS DISTINCT FROM pg_current_xact_id_if_assigned()
               AND (a.transaction_id IS NULL
                    OR pg_visible_in_snapshot(a.transaction_id, c.seen)
                    OR a.transaction_id >= pg_snapshot_xmax(pg_current_snapshot())) AS is_late
          FROM fx.audit_log a
          LEFT JOIN fx.audit_chain c ON true
         WHERE (since IS NULL OR a.created_at >= since)
           AND NOT EXISTS (SELECT FROM fx.audit_seals s WHERE s.audit_id = a.id)
         ORDER BY a.created_at, a.id
    LOOP
        IF item.is_recorded AND NOT item.is_late THEN
            oldest := coalesce(oldest, item.created_at);
            unsealed := unsealed + 1;
            CONTINUE;
        END IF;
        audit_id := item.id;
        IF item.is_recorded THEN
            kind := 'unexpected row';
            detail := 'The row has no seal, though its transaction had ended when the last ones were made: it was inserted later, or its seal was removed.';
        ELSE
            kind := 'inserted row';
            detail := 'The row has no seal and is not what its own hash says: it was not written by the trigger, or edited since.';
        END IF;
        RETURN NEXT;
    END LOOP;

    IF unsealed > 0 THEN
        kind := 'unsealed';
        audit_id := NULL;
        detail := format('%s rows are not sealed yet, the oldest of %s.', unsealed, oldest);
        RETURN NEXT;
    END IF;
END
$$;

REVOKE ALL ON FUNCTION audit_unsealed(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_unsealed(timestamptz) TO fx_app;

COMMENT ON FUNCTION audit_unsealed(timestamptz)
    IS 'for fx.verify_audit: rows of audit_log without a seal that should have one or were not written by the trigger, and one row of kind unsealed for the others, if there are any';

CREATE FUNCTION verify_audit(since timestamptz DEFAULT NULL)
RETURNS TABLE (kind text, seq bigint, audit_id uuid, detail text)
LANGUAGE plpgsql
STABLE
PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
AS $$
DECLARE
    base record;
    start record;
    head record;
    newest record;
BEGIN
    SELECT b.* INTO base FROM fx.audit_base() b;
    SELECT c.* INTO head FROM fx.audit_chain c;
    SELECT s.* INTO newest FROM fx.audit_seals s ORDER BY s.seq DESC LIMIT 1;

    -- what was sealed before is taken for granted
    SELECT s.seq, s.chain_hash INTO start
      FROM fx.audit_seals s
     WHERE s.sealed_at < since AND s.seq > base.seq
     ORDER BY s.seq DESC
     LIMIT 1;
    IF NOT FOUND THEN
        start := base;
    END IF;

    SELECT s.seq, s.audit_id INTO seq, audit_id FROM fx.audit_seals s WHERE s.seq <= base.seq ORDER BY s.seq LIMIT 1;
    IF FOUND THEN
        kind := 'broken chain';
        detail := 'The seal belongs to a part of the chain that was removed.';
        RETURN NEXT;
    END IF;

    RETURN QUERY SELECT p.* FROM fx.audit_seal_problems(start.seq, start.chain_hash) p;

    audit_id := NULL;
    kind := 'broken chain';
    IF head.seq IS NULL THEN
        detail := 'The head of the chain is missing.';
        RETURN NEXT;
    ELSIF coalesce(newest.seq, base.seq) < head.seq THEN
        seq := coalesce(newest.seq, base.seq) + 1;
        detail := format('Seals from this one to %s are missing.', head.seq);
        RETURN NEXT;
    ELSIF coalesce(newest.seq, base.seq) > head.seq THEN
        seq := newest.seq;
        detail := format('Seals after %s were inserted, or the head was edited.', head.seq);
        RETURN NEXT;
    ELSIF coalesce(newest.chain_hash, base.chain_hash) <> head.chain_hash THEN
        seq := head.seq;
        detail := 'The newest seal is not the head of the chain.';
        RETURN NEXT;
    END IF;

    RETURN QUERY SELECT u.* FROM fx.audit_unsealed(since) u;
END
$$;

REVOKE ALL ON FUNCTION verify_audit(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION verify_audit(timestamptz) TO fx_app;

COMMENT ON FUNCTION verify_audit(timestamptz)
    IS 'checks the audit trail and returns one row a problem, in the order of the chain, none when all is well. kind: edited row, missing row, inserted row (not written by the trigger), unexpected row (came after its transaction was sealed, or lost its seal), broken chain (a seal was edited, moved, inserted or removed), unsealed (one row for all that fx.seal_audit has yet to seal). seq and audit_id tell where, NULL where there is no seal or no row. since: only what was sealed or is to be sealed from then on. A chain that the owner made anew is found by fx.verify_audit_anchor';

CREATE FUNCTION verify_audit_anchor(seq bigint, chain_hash bytea)
RETURNS TABLE (kind text, detail text)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_hash bytea;
BEGIN
    IF seq IS NULL OR chain_hash IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN seq IS NULL THEN 'seq' ELSE 'chain_hash' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    SELECT k.chain_hash INTO found_hash
      FROM (SELECT s.seq, s.chain_hash FROM fx.audit_seals s
            UNION ALL
            SELECT e.seq, e.chain_hash FROM fx.audit_exports e
            UNION ALL
            SELECT 0, decode(repeat('00', 32), 'hex')) k
     WHERE k.seq = verify_audit_anchor.seq;

    IF found_hash = chain_hash THEN
        RETURN;
    ELSIF found_hash IS NOT NULL THEN
        kind := 'broken chain';
        detail := format('Seal %s has another hash: the chain up to it was made anew.', seq);
    ELSIF seq > 0 AND seq < (SELECT b.seq FROM fx.audit_base() b) THEN
        kind := 'exported';
        detail := format('Seal %s was exported and removed: look for it in the export.', seq);
    ELSE
        kind := 'broken chain';
        detail := format('Seal %s is missing.', seq);
    END IF;
    RETURN NEXT;
END
$$;

COMMENT ON FUNCTION verify_audit_anchor(bigint, bytea)
    IS 'is a head of the chain that fx.audit_anchor returned once, and that was kept elsewhere, still part of it? No row when it is; otherwise one, of kind broken chain, or exported where only the export can tell. That the seals up to it are what their hashes say is for fx.verify_audit. Error 22004 a null argument';

-- the past of a row, from the audit trail
--
-- Both functions read audit_log with the rights of the caller, who finds what
-- its row security shows him.

CREATE FUNCTION history(resource_type text, resource_id text)
RETURNS TABLE (version bigint, audit_id uuid, action text, changed_at timestamptz,
               actor_id uuid, session_user_name text, application_name text,
               ip_address inet, user_agent text,
               changed_columns text[], old_values jsonb, new_values jsonb)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- An entry of TRUNCATE is one of every row that was there; of those it can
    -- be known by the entries before.
    RETURN QUERY
        WITH entries AS (
            SELECT a.*, lag(a.action) OVER (ORDER BY a.created_at, a.id) AS before
              FROM fx.audit_log a
             WHERE a.resource_type = history.resource_type
               AND (a.resource_id = history.resource_id OR (a.resource_id IS NULL AND a.action = 'TRUNCATE'))
        )
        SELECT row_number() OVER (ORDER BY e.created_at, e.id), e.id, e.action::text, e.created_at,
               e.actor_id, e.session_user_name, e.application_name, e.ip_address, e.user_agent,
               e.changed_columns, e.old_values, e.new_values
          FROM entries e
         WHERE e.action <> 'TRUNCATE' OR e.before IN ('INSERT', 'UPDATE')
         ORDER BY e.created_at, e.id;
END
$$;

COMMENT ON FUNCTION history(text, text)
    IS 'the versions of a row in order: who made them (actor_id, and the role that connected), when by the clock, and what changed. resource_type and resource_id as in fx.audit_log; a TRUNCATE counts where the row was there. No row when nothing was recorded or the caller may see nothing of it, or an argument is NULL';

-- An entry of INSERT or UPDATE has the whole row.  What was before the first
-- entry follows backwards from it, if the row was there when auditing began and
-- had the same key.
CREATE FUNCTION row_as_of("table" regclass, id text, at timestamptz)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry record;
    image jsonb;
BEGIN
    SELECT h.* INTO entry
      FROM fx.history(fx.audit_resource_type("table"), id) h
     WHERE h.changed_at <= at
     ORDER BY h.version DESC
     LIMIT 1;
    IF FOUND THEN
        image := CASE WHEN entry.action IN ('INSERT', 'UPDATE') THEN entry.new_values END;
    ELSE
        SELECT h.* INTO entry
          FROM fx.history(fx.audit_resource_type("table"), id) h
         WHERE h.changed_at > at
         ORDER BY h.version
         LIMIT 1;
        IF entry.action = 'DELETE' THEN
            image := entry.old_values;
        ELSIF entry.action = 'UPDATE' AND NOT EXISTS (
                SELECT FROM pg_index i
                  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
                 WHERE i.indrelid = "table" AND i.indisprimary
                   AND a.attname = ANY (entry.changed_columns)) THEN
            image := entry.new_values || entry.old_values;
        END IF;
    END IF;
    RETURN image - 'redacted_hashes';
END
$$;

COMMENT ON FUNCTION row_as_of(regclass, text, timestamptz)
    IS 'the row as it was at that time, from the audit trail: values as in fx.audit_log, secrets redacted; NULL before it was inserted, after it was deleted or truncated, when nothing is known of it, or an argument is NULL. A change counts from the time of its statement on, not of its commit. A row whose primary key changed goes on under the new one, and its past stays under the old. id is resource_id in fx.audit_log: the primary key as text, a JSON array where it has several columns';

-- encryption of columns
--
-- Keys are in a file that setting fxplatform.key_file names.  It is read in C,
-- and no key is ever part of a statement.

CREATE FUNCTION encrypt(plaintext text, context text)
RETURNS text
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_encrypt';

REVOKE ALL ON FUNCTION encrypt(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION encrypt(text, text) TO fx_app;

COMMENT ON FUNCTION encrypt(text, text)
    IS 'encrypts a text with the newest key of the file of keys (AES-256-CBC, then HMAC-SHA256) for a context, which is authenticated and not stored: say where the value belongs, such as schema.table.column:id; about 4/3 of the length and 90 bytes; NULL for NULL; errors: 55000 no file of keys is configured, F0000 it cannot be used, 42501 the context begins with "fx.", 54000 text over 64 MB';

CREATE FUNCTION decrypt(value text, context text)
RETURNS text
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_decrypt';

REVOKE ALL ON FUNCTION decrypt(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION decrypt(text, text) TO fx_app;

COMMENT ON FUNCTION decrypt(text, text)
    IS 'decrypts what fx.encrypt made for the same context; NULL for NULL; errors: 22000 it was changed or the context is another, 22023 it is not encrypted, 55000 the file of keys is not configured or has no key of its version, F0000 it cannot be used, 42501 the context begins with "fx."';

CREATE FUNCTION encrypt_value(plaintext text, context text)
RETURNS text
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_encrypt_value';

REVOKE ALL ON FUNCTION encrypt_value(text, text) FROM PUBLIC;

COMMENT ON FUNCTION encrypt_value(text, text)
    IS 'fx.encrypt for every context, also those of the platform''s own columns';

CREATE FUNCTION decrypt_value(value text, context text)
RETURNS text
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_decrypt_value';

REVOKE ALL ON FUNCTION decrypt_value(text, text) FROM PUBLIC;

COMMENT ON FUNCTION decrypt_value(text, text)
    IS 'fx.decrypt for every context, also those of the platform''s own columns';

CREATE FUNCTION encryption_version(value text)
RETURNS integer
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_encryption_version';

COMMENT ON FUNCTION encryption_version(text)
    IS 'version of the key with which fx.encrypt made this value, NULL when it is none of its values';

CREATE FUNCTION newest_key_version()
RETURNS integer
LANGUAGE C
VOLATILE
AS 'MODULE_PATHNAME', 'fx_newest_key_version';

REVOKE ALL ON FUNCTION newest_key_version() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION newest_key_version() TO fx_app;

COMMENT ON FUNCTION newest_key_version()
    IS 'version of the key that encrypts; errors: 55000 no file of keys is configured, or it has no key, F0000 it cannot be used';

CREATE FUNCTION register_encrypted_column(relation regclass, column_name name, key_column name DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    keys name[];
BEGIN
    IF relation IS NULL OR column_name IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN relation IS NULL THEN 'relation' ELSE 'column_name' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF (SELECT c.relkind FROM pg_class c WHERE c.oid = relation) <> 'r' THEN
        RAISE EXCEPTION '% is not an ordinary table', relation
            USING ERRCODE = 'wrong_object_type',
                  HINT = 'Register each partition of a partitioned table.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_attribute a
                    WHERE a.attrelid = relation AND a.attname = column_name AND NOT a.attisdropped
                      AND a.atttypid IN ('text'::regtype, 'varchar'::regtype)) THEN
        RAISE EXCEPTION 'table % has no column "%" of type %', relation, column_name, 'text'
            USING ERRCODE = 'undefined_column';
    END IF;
    -- a single column that cannot have the same value twice
    SELECT array_agg(a.attname)
      INTO keys
      FROM pg_index i
      JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
     WHERE i.indrelid = relation AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1
       AND i.indexprs IS NULL AND i.indpred IS NULL
       AND CASE WHEN key_column IS NULL THEN i.indisprimary ELSE a.attname = key_column END;
    IF keys IS NULL THEN
        RAISE EXCEPTION 'table % has no unique column to tell its rows by', relation
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    INSERT INTO fx.encrypted_columns (relation, column_name, key_column, context)
    VALUES (relation::text, column_name, keys[1], format('%s.%s', relation, column_name));
    RETURN format('%s.%s', relation, column_name);
END
$$;

REVOKE ALL ON FUNCTION register_encrypted_column(regclass, name, name) FROM PUBLIC;

COMMENT ON FUNCTION register_encrypted_column(regclass, name, name)
    IS 'has fx.rotate_encryption_keys encrypt a column anew, a text or varchar with room for it, in rows told by key_column (NULL: the primary key); returns the context of the column: that of a value is this, a colon and the text of key_column; for the owner of the platform; errors: 42809 no ordinary table, 42703 no such column, 22023 no unique column, 23505 registered already, 22004 NULL';

-- Values are found by the pages of their table, so that no index is needed and
-- each page is read once.  Values in clear are encrypted too.
CREATE FUNCTION rotate_encryption_pages(relation text, column_name text, key_column text, context text,
                                        newest integer, first_page bigint, pages integer)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    item record;
    plaintext text;
    done bigint := 0;
BEGIN
    FOR item IN EXECUTE format(
        'SELECT t.ctid AS place, t.%I::text AS key, t.%2$I::text AS value
           FROM ONLY %3$s t
          WHERE t.%2$I IS NOT NULL AND t.ctid >= $1 AND t.ctid < $2
            AND fx.encryption_version(t.%2$I) IS DISTINCT FROM $3
            FOR NO KEY UPDATE', key_column, column_name, relation)
        USING format('(%s,0)', first_page)::tid, format('(%s,0)', first_page + pages)::tid, newest
    LOOP
        BEGIN
            plaintext := CASE
                             WHEN fx.encryption_version(item.value) IS NULL THEN item.value
                             ELSE fx.decrypt_value(item.value, format('%s:%s', context, item.key))
                         END;
        EXCEPTION WHEN data_exception THEN
            RAISE EXCEPTION 'value of column "%" cannot be authenticated', column_name
                USING ERRCODE = 'data_exception',
                      DETAIL = format('Table %s, row "%s".', relation, item.key);
        END;
        EXECUTE format('UPDATE ONLY %s t SET %I = $1 WHERE t.ctid = $2', relation, column_name)
            USING fx.encrypt_value(plaintext, format('%s:%s', context, item.key)), item.place;
        done := done + 1;
    END LOOP;
    RETURN done;
END
$$;

REVOKE ALL ON FUNCTION rotate_encryption_pages(text, text, text, text, integer, bigint, integer) FROM PUBLIC;

COMMENT ON FUNCTION rotate_encryption_pages(text, text, text, text, integer, bigint, integer)
    IS 'encrypts the values of a column on some pages of its table with the newest key and returns how many; error 22000 one of them cannot be authenticated';

CREATE FUNCTION note_encryption_rotation(relation text, column_name text, newest integer)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE fx.encrypted_columns c
       SET key_version = newest, rotated_at = clock_timestamp()
     WHERE (c.relation, c.column_name) = (note_encryption_rotation.relation, note_encryption_rotation.column_name);
END
$$;

REVOKE ALL ON FUNCTION note_encryption_rotation(text, text, integer) FROM PUBLIC;

COMMENT ON FUNCTION note_encryption_rotation(text, text, integer)
    IS 'records that a column is encrypted with this key throughout';

-- It commits, so that it can neither run with the rights of its owner nor have
-- a search_path of its own: it sets that after each commit.
CREATE PROCEDURE rotate_encryption_keys(pages_per_batch integer DEFAULT 100)
LANGUAGE plpgsql
AS $$
DECLARE
    item pg_catalog.record;
    newest integer;
    page bigint;
    pages bigint;
    done bigint;
    total bigint;
    passes integer;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF pages_per_batch IS NULL OR pages_per_batch < 1 THEN
        RAISE EXCEPTION 'argument "%" must be greater than zero', 'pages_per_batch'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    newest := fx.newest_key_version();

    FOR item IN SELECT * FROM fx.encrypted_columns c ORDER BY c.relation, c.column_name LOOP
        total := 0;
        passes := 0;
        -- a row that somebody updates meanwhile may move to a page that was read
        LOOP
            done := 0;
            page := 0;
            pages := pg_catalog.pg_relation_size(item.relation::pg_catalog.regclass)
                     / pg_catalog.current_setting('block_size')::bigint;
            WHILE page < pages LOOP
                done := done + fx.rotate_encryption_pages(item.relation, item.column_name, item.key_column,
                                                          item.context, newest, page, pages_per_batch);
                page := page + pages_per_batch;
                COMMIT;
                PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
                RAISE NOTICE 'column %.%: % of % pages, % values encrypted',
                    item.relation, item.column_name, least(page, pages), pages, total + done;
            END LOOP;
            total := total + done;
            passes := passes + 1;
            EXIT WHEN done = 0 OR passes = 10;
        END LOOP;
        IF done = 0 THEN
            PERFORM fx.note_encryption_rotation(item.relation, item.column_name, newest);
        END IF;
        COMMIT;
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    END LOOP;
END
$$;

REVOKE ALL ON PROCEDURE rotate_encryption_keys(integer) FROM PUBLIC;

COMMENT ON PROCEDURE rotate_encryption_keys(integer)
    IS 'encrypts every value of the columns in fx.encrypted_columns anew that is not encrypted with the newest key, also those in clear, for the owner; commits after each batch of pages and says how far it is, so that it can be interrupted and called again; the old key can leave the file when it has ended (and no backup needs it); errors: 55000 no file of keys is configured, 22000 a value cannot be authenticated, 22023 pages_per_batch under 1';

-- P&L

CREATE TYPE pnl;

CREATE FUNCTION pnl_in(cstring)
RETURNS pnl
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_in';

COMMENT ON FUNCTION pnl_in(cstring) IS 'text input of type pnl; errors: 22P02 malformed or impossible, 0A000 version of a newer fxplatform';

CREATE FUNCTION pnl_out(pnl)
RETURNS cstring
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_out';

COMMENT ON FUNCTION pnl_out(pnl) IS 'text output of type pnl';

CREATE FUNCTION pnl_recv(internal)
RETURNS pnl
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_recv';

COMMENT ON FUNCTION pnl_recv(internal) IS 'binary input of type pnl; errors: 22P03 impossible, 08P01 malformed, 0A000 version of a newer fxplatform';

CREATE FUNCTION pnl_send(pnl)
RETURNS bytea
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_send';

COMMENT ON FUNCTION pnl_send(pnl) IS 'binary output of type pnl';

CREATE TYPE pnl (
    INPUT = pnl_in,
    OUTPUT = pnl_out,
    RECEIVE = pnl_recv,
    SEND = pnl_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = double,
    STORAGE = plain
);

COMMENT ON TYPE pnl
    IS 'what a set of trades earned: counts, sums and extremes of net profits in account currency, exact; made by fx.pnl_agg, merged by fx.rollup, read by accessors, fx.summary or a cast to jsonb';

-- comparison: by value, and the same trades give the same bytes

CREATE FUNCTION pnl_eq(pnl, pnl)
RETURNS boolean
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_eq';

COMMENT ON FUNCTION pnl_eq(pnl, pnl) IS 'whether two values of type pnl are equal';

CREATE FUNCTION pnl_ne(pnl, pnl)
RETURNS boolean
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_ne';

COMMENT ON FUNCTION pnl_ne(pnl, pnl) IS 'whether two values of type pnl differ';

CREATE FUNCTION pnl_hash(pnl)
RETURNS integer
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_hash';

COMMENT ON FUNCTION pnl_hash(pnl) IS 'hash of a value of type pnl';

CREATE FUNCTION pnl_hash_extended(pnl, bigint)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_hash_extended';

COMMENT ON FUNCTION pnl_hash_extended(pnl, bigint) IS 'seeded hash of a value of type pnl';

CREATE OPERATOR = (
    LEFTARG = pnl,
    RIGHTARG = pnl,
    FUNCTION = pnl_eq,
    COMMUTATOR = =,
    NEGATOR = <>,
    RESTRICT = eqsel,
    JOIN = eqjoinsel,
    HASHES
);

CREATE OPERATOR <> (
    LEFTARG = pnl,
    RIGHTARG = pnl,
    FUNCTION = pnl_ne,
    COMMUTATOR = <>,
    NEGATOR = =,
    RESTRICT = neqsel,
    JOIN = neqjoinsel
);

CREATE OPERATOR CLASS pnl_hash_ops
    DEFAULT FOR TYPE pnl USING hash AS
        OPERATOR 1 =,
        FUNCTION 1 pnl_hash(pnl),
        FUNCTION 2 pnl_hash_extended(pnl, bigint);

-- aggregates: the state is the value, so there is no final function

CREATE FUNCTION pnl_accum(pnl, profit numeric)
RETURNS pnl
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_accum';

COMMENT ON FUNCTION pnl_accum(pnl, numeric)
    IS 'adds a trade; NULL profit adds none; errors: 22003 NaN, infinite or out of range';

CREATE FUNCTION pnl_accum(pnl, profit numeric, commission numeric, swap numeric)
RETURNS pnl
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_accum_costs';

COMMENT ON FUNCTION pnl_accum(pnl, numeric, numeric, numeric)
    IS 'adds a trade with its costs; NULL profit adds none, NULL costs are zero; errors: 22003 NaN, infinite or out of range';

CREATE FUNCTION pnl_combine(pnl, pnl)
RETURNS pnl
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_combine';

COMMENT ON FUNCTION pnl_combine(pnl, pnl)
    IS 'trades of both; NULL is none; errors: 22003 out of range';

-- moving windows: what leaves the frame is subtracted, in the order in which it
-- came; the state is internal, because it never leaves the process

CREATE FUNCTION pnl_moving_accum(internal, profit numeric)
RETURNS internal
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_moving_accum';

COMMENT ON FUNCTION pnl_moving_accum(internal, numeric)
    IS 'adds a trade to a moving window, as fx.pnl_accum; only within an aggregate';

CREATE FUNCTION pnl_moving_accum(internal, profit numeric, commission numeric, swap numeric)
RETURNS internal
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_moving_accum';

COMMENT ON FUNCTION pnl_moving_accum(internal, numeric, numeric, numeric)
    IS 'adds a trade with its costs to a moving window, as fx.pnl_accum; only within an aggregate';

CREATE FUNCTION pnl_moving_remove(internal, profit numeric)
RETURNS internal
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_moving_remove';

COMMENT ON FUNCTION pnl_moving_remove(internal, numeric)
    IS 'removes the oldest trade of a moving window; only within an aggregate';

CREATE FUNCTION pnl_moving_remove(internal, profit numeric, commission numeric, swap numeric)
RETURNS internal
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_moving_remove';

COMMENT ON FUNCTION pnl_moving_remove(internal, numeric, numeric, numeric)
    IS 'removes the oldest trade of a moving window with its costs; only within an aggregate';

CREATE FUNCTION pnl_moving_merge(internal, pnl)
RETURNS internal
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_moving_merge';

COMMENT ON FUNCTION pnl_moving_merge(internal, pnl)
    IS 'adds a value to a moving window, as fx.pnl_combine; only within an aggregate';

CREATE FUNCTION pnl_moving_unmerge(internal, pnl)
RETURNS internal
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_moving_unmerge';

COMMENT ON FUNCTION pnl_moving_unmerge(internal, pnl)
    IS 'removes the oldest value of a moving window; only within an aggregate';

CREATE FUNCTION pnl_moving_final(internal)
RETURNS pnl
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_moving_final';

COMMENT ON FUNCTION pnl_moving_final(internal)
    IS 'value of a moving window, NULL for one without trades; only within an aggregate';

CREATE AGGREGATE pnl_agg(profit numeric) (
    SFUNC = pnl_accum,
    STYPE = pnl,
    COMBINEFUNC = pnl_combine,
    MSFUNC = pnl_moving_accum,
    MINVFUNC = pnl_moving_remove,
    MSTYPE = internal,
    MFINALFUNC = pnl_moving_final,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE pnl_agg(numeric)
    IS 'P&L of trades whose net profit is given, in account currency; more than eight decimals are rounded half away from zero; NULL profits are skipped, NULL without any; errors: 22003 NaN, infinite or out of range';

CREATE AGGREGATE pnl_agg(profit numeric, commission numeric, swap numeric) (
    SFUNC = pnl_accum,
    STYPE = pnl,
    COMBINEFUNC = pnl_combine,
    MSFUNC = pnl_moving_accum,
    MINVFUNC = pnl_moving_remove,
    MSTYPE = internal,
    MFINALFUNC = pnl_moving_final,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE pnl_agg(numeric, numeric, numeric)
    IS 'P&L of trades by net profit = profit - commission + swap, in account currency; more than eight decimals are rounded half away from zero; trades with NULL profit are skipped, NULL costs are zero, NULL without any trade; errors: 22003 NaN, infinite or out of range';

-- a keyword of GROUP BY, so that CREATE AGGREGATE needs the quotes
CREATE AGGREGATE "rollup"(pnl) (
    SFUNC = pnl_combine,
    STYPE = pnl,
    COMBINEFUNC = pnl_combine,
    MSFUNC = pnl_moving_merge,
    MINVFUNC = pnl_moving_unmerge,
    MSTYPE = internal,
    MFINALFUNC = pnl_moving_final,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE "rollup"(pnl)
    IS 'P&L of the trades of all values together, the same as of the trades themselves; NULLs are skipped, NULL without any; errors: 22003 out of range';

-- what can be read from P&L

CREATE FUNCTION trade_count(pnl)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_trade_count';

COMMENT ON FUNCTION trade_count(pnl) IS 'number of trades';

CREATE FUNCTION win_count(pnl)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_win_count';

COMMENT ON FUNCTION win_count(pnl) IS 'number of trades with a net profit above zero';

CREATE FUNCTION loss_count(pnl)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_loss_count';

COMMENT ON FUNCTION loss_count(pnl) IS 'number of trades with a net profit below zero';

CREATE FUNCTION breakeven_count(pnl)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_breakeven_count';

COMMENT ON FUNCTION breakeven_count(pnl) IS 'number of trades with a net profit of zero';

CREATE FUNCTION gross_profit(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_gross_profit';

COMMENT ON FUNCTION gross_profit(pnl) IS 'sum of the net profits of winning trades, in account currency';

CREATE FUNCTION gross_loss(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_gross_loss';

COMMENT ON FUNCTION gross_loss(pnl) IS 'sum of the net profits of losing trades, zero or negative, in account currency';

CREATE FUNCTION commission(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_commission';

COMMENT ON FUNCTION commission(pnl) IS 'sum of commissions, a cost, in account currency';

CREATE FUNCTION swap(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_swap';

COMMENT ON FUNCTION swap(pnl) IS 'sum of swaps, negative when paid, in account currency';

CREATE FUNCTION net_profit(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_net_profit';

COMMENT ON FUNCTION net_profit(pnl) IS 'sum of profit - commission + swap, in account currency';

CREATE FUNCTION average_profit(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_average_profit';

COMMENT ON FUNCTION average_profit(pnl) IS 'mean net profit of all trades, in account currency; NULL without trades';

CREATE FUNCTION average_win(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_average_win';

COMMENT ON FUNCTION average_win(pnl) IS 'mean net profit of winning trades, in account currency; NULL without one';

CREATE FUNCTION average_loss(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_average_loss';

COMMENT ON FUNCTION average_loss(pnl) IS 'mean net profit of losing trades, negative, in account currency; NULL without one';

CREATE FUNCTION largest_win(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_largest_win';

COMMENT ON FUNCTION largest_win(pnl) IS 'highest net profit of a winning trade, in account currency; NULL without one';

CREATE FUNCTION largest_loss(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_largest_loss';

COMMENT ON FUNCTION largest_loss(pnl) IS 'lowest net profit of a losing trade, negative, in account currency; NULL without one';

CREATE FUNCTION expectancy(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_expectancy';

COMMENT ON FUNCTION expectancy(pnl) IS 'mean net profit of all trades, break-even ones included, in account currency; NULL without trades';

CREATE FUNCTION win_rate(pnl)
RETURNS float8
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_win_rate';

COMMENT ON FUNCTION win_rate(pnl) IS 'winning trades as a fraction of all trades; NULL without trades';

CREATE FUNCTION profit_factor(pnl)
RETURNS float8
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_profit_factor';

COMMENT ON FUNCTION profit_factor(pnl) IS 'gross profit over gross loss, without sign; NULL without losing trades';

CREATE FUNCTION payoff_ratio(pnl)
RETURNS float8
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_payoff_ratio';

COMMENT ON FUNCTION payoff_ratio(pnl) IS 'average win over average loss, without sign; NULL without winning or without losing trades';

CREATE FUNCTION stddev(pnl)
RETURNS float8
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_stddev';

COMMENT ON FUNCTION stddev(pnl) IS 'sample standard deviation of net profits (divisor n - 1), in account currency; NULL for fewer than two trades';

CREATE TYPE pnl_summary AS (
    trade_count bigint,
    win_count bigint,
    loss_count bigint,
    breakeven_count bigint,
    gross_profit numeric,
    gross_loss numeric,
    commission numeric,
    swap numeric,
    net_profit numeric,
    average_profit numeric,
    average_win numeric,
    average_loss numeric,
    largest_win numeric,
    largest_loss numeric,
    expectancy numeric,
    win_rate float8,
    profit_factor float8,
    payoff_ratio float8,
    stddev float8
);

COMMENT ON TYPE pnl_summary
    IS 'every accessor of type pnl as a column; money in account currency, rates as fractions, NULL where undefined';

CREATE FUNCTION summary(pnl)
RETURNS pnl_summary
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_summary';

COMMENT ON FUNCTION summary(pnl) IS 'all accessors of a value at once, as a row';

CREATE FUNCTION pnl_to_jsonb(pnl)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_to_jsonb';

COMMENT ON FUNCTION pnl_to_jsonb(pnl)
    IS 'all accessors of a value as a JSON object (tradeCount, netProfit, ...); money without trailing zeros, undefined as null';

CREATE CAST (pnl AS pnl_summary) WITH FUNCTION summary(pnl);
CREATE CAST (pnl AS jsonb) WITH FUNCTION pnl_to_jsonb(pnl);

-- equity curves

CREATE FUNCTION fx_day(at timestamptz)
RETURNS date
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_fx_day';

COMMENT ON FUNCTION fx_day(timestamptz)
    IS 'date of the FX trading day, which rolls at 17:00 in New York: Sunday 17:00 begins Monday; infinite for infinite times, NULL for NULL';

CREATE FUNCTION fx_day_start(day date)
RETURNS timestamptz
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_fx_day_start';

COMMENT ON FUNCTION fx_day_start(date)
    IS 'when an FX trading day begins: 17:00 in New York on the calendar day before; infinite for an infinite day, error 22008 out of range';

CREATE FUNCTION equity_curve(trades jsonb, initial_balance numeric DEFAULT 10000)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_curve';

COMMENT ON FUNCTION equity_curve(jsonb, numeric)
    IS 'equity of a backtest as a JSON array of {"timestamp","equity","drawdown","drawdownFraction"}: the starting balance (timestamp null), then a point a trade by closing time (UTC); money in account currency, exact; drawdown below the peak so far, positive; NULL for NULL; errors: 22023, 22004, 22003, 22007, 22P02 bad trades or balance (naming the trade, from 0, and the key), 54000 more than a JSON array holds';

CREATE FUNCTION equity_points(
    trades jsonb,
    initial_balance numeric DEFAULT 10000,
    OUT seq integer,
    OUT closed_at timestamptz,
    OUT net_profit numeric,
    OUT equity numeric,
    OUT peak numeric,
    OUT drawdown numeric,
    OUT drawdown_fraction float8)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 1000
AS 'MODULE_PATHNAME', 'fx_equity_points';

COMMENT ON FUNCTION equity_points(jsonb, numeric)
    IS 'the points of fx.equity_curve as rows: seq 0 is the starting balance (closed_at and net_profit NULL), then one a trade by closing time; money in account currency, exact, drawdowns positive; no row for NULL; errors as fx.equity_curve without the limit of JSON arrays';

-- performance metrics

CREATE FUNCTION backtest_metrics(
    trades jsonb,
    initial_balance numeric DEFAULT 10000,
    risk_free_rate float8 DEFAULT 0,
    periods_per_year float8 DEFAULT 252,
    period_start date DEFAULT NULL,
    period_end date DEFAULT NULL)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_backtest_metrics';

COMMENT ON FUNCTION backtest_metrics(jsonb, numeric, float8, float8, date, date)
    IS 'performance metrics of a backtest as a JSON object; money in account currency, exact, losses negative, drawdowns positive; rates as fractions; times in UTC; undefined is null; daily metrics by weekdays of FX days from period_start to period_end (NULL: from the first opening to the last closing); risk_free_rate a year; NULL when one of the first four arguments is; errors: those of fx.equity_points, 22023 a rate or period out of range or a trade outside the period; definitions in doc/metrics.md';

-- equity from rows

CREATE TYPE equity;

CREATE FUNCTION equity_in(cstring)
RETURNS equity
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_in';

COMMENT ON FUNCTION equity_in(cstring)
    IS 'text input of type equity; errors: 22P02 malformed or impossible, 0A000 version of a newer fxplatform';

CREATE FUNCTION equity_out(equity)
RETURNS cstring
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_out';

COMMENT ON FUNCTION equity_out(equity)
    IS 'text output of type equity';

CREATE FUNCTION equity_recv(internal)
RETURNS equity
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_recv';

COMMENT ON FUNCTION equity_recv(internal)
    IS 'binary input of type equity; errors: 22P03 impossible, 08P01 malformed, 0A000 version of a newer fxplatform';

CREATE FUNCTION equity_send(equity)
RETURNS bytea
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_send';

COMMENT ON FUNCTION equity_send(equity)
    IS 'binary output of type equity';

CREATE TYPE equity (
    INPUT = equity_in,
    OUTPUT = equity_out,
    RECEIVE = equity_recv,
    SEND = equity_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = double,
    STORAGE = extended
);

COMMENT ON TYPE equity
    IS 'the trades of an equity curve, 24 bytes each, exact, by closing time (at the same moment losses first); made by fx.equity_agg, merged by fx.rollup, read by fx.equity_curve, fx.equity_points, fx.backtest_metrics, fx.drawdowns, fx.monthly_returns and fx.monte_carlo; at most 44,739,241 trades';

-- aggregates: the state is the value

CREATE FUNCTION equity_accum(equity, closed_at timestamptz, net_profit numeric)
RETURNS equity
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_accum';

COMMENT ON FUNCTION equity_accum(equity, timestamptz, numeric)
    IS 'adds a trade; NULL net_profit adds none; errors: 22004 NULL closed_at, 22008 closed_at out of range, 22003 NaN, infinite or out of range, 54000 too many trades';

CREATE FUNCTION equity_accum(equity, closed_at timestamptz, profit numeric, commission numeric, swap numeric, executed_at timestamptz)
RETURNS equity
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_accum_costs';

COMMENT ON FUNCTION equity_accum(equity, timestamptz, numeric, numeric, numeric, timestamptz)
    IS 'adds a trade with net profit - commission + swap; NULL profit adds none, a NULL cost is none, of the times one may be NULL; errors: 22004 both times NULL, 22008 time out of range, 22023 closed before executed, 22003 NaN, infinite or out of range, 54000 too many trades';

CREATE FUNCTION equity_combine(equity, equity)
RETURNS equity
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_combine';

COMMENT ON FUNCTION equity_combine(equity, equity)
    IS 'the trades of both; NULL has none; errors: 54000 too many trades, 22003 costs out of range';

CREATE AGGREGATE equity_agg(closed_at timestamptz, net_profit numeric) (
    SFUNC = equity_accum,
    STYPE = equity,
    COMBINEFUNC = equity_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE equity_agg(timestamptz, numeric)
    IS 'trades kept as rows, for their equity curve and metrics, whatever order they come in; net_profit in account currency; rows with NULL net_profit are skipped; NULL over no rows; errors as fx.equity_accum';

CREATE AGGREGATE equity_agg(closed_at timestamptz, profit numeric, commission numeric, swap numeric, executed_at timestamptz) (
    SFUNC = equity_accum,
    STYPE = equity,
    COMBINEFUNC = equity_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE equity_agg(timestamptz, numeric, numeric, numeric, timestamptz)
    IS 'the same by profit - commission + swap, and with the times of opening, from which holding and exposure follow; closed_at falls back to executed_at; errors as fx.equity_accum';

CREATE AGGREGATE rollup(equity) (
    SFUNC = equity_combine,
    STYPE = equity,
    COMBINEFUNC = equity_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE rollup(equity) IS 'the trades of all values in one; NULLs are skipped, NULL over no rows; errors: 54000 too many trades';

-- accessors

CREATE FUNCTION trade_count(equity)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_trade_count';

COMMENT ON FUNCTION trade_count(equity)
    IS 'number of trades; NULL for NULL';

CREATE FUNCTION net_profit(equity)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_net_profit';

COMMENT ON FUNCTION net_profit(equity)
    IS 'sum of the net profits in account currency; NULL for NULL';

CREATE FUNCTION equity_curve(trades equity, initial_balance numeric DEFAULT 10000)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_curve_of_equity';

COMMENT ON FUNCTION equity_curve(equity, numeric)
    IS 'fx.equity_curve of trades gathered by fx.equity_agg';

CREATE FUNCTION equity_points(
    trades equity,
    initial_balance numeric DEFAULT 10000,
    OUT seq integer,
    OUT closed_at timestamptz,
    OUT net_profit numeric,
    OUT equity numeric,
    OUT peak numeric,
    OUT drawdown numeric,
    OUT drawdown_fraction float8)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 1000
AS 'MODULE_PATHNAME', 'fx_equity_points_of_equity';

COMMENT ON FUNCTION equity_points(equity, numeric)
    IS 'fx.equity_points of trades gathered by fx.equity_agg';

CREATE FUNCTION backtest_metrics(
    trades equity,
    initial_balance numeric DEFAULT 10000,
    risk_free_rate float8 DEFAULT 0,
    periods_per_year float8 DEFAULT 252,
    period_start date DEFAULT NULL,
    period_end date DEFAULT NULL)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_backtest_metrics_of_equity';

COMMENT ON FUNCTION backtest_metrics(equity, numeric, float8, float8, date, date)
    IS 'fx.backtest_metrics of trades gathered by fx.equity_agg; costs that were not given are 0';

-- drawdowns, months and other orders of the trades

CREATE FUNCTION drawdowns(
    trades jsonb,
    initial_balance numeric DEFAULT 10000,
    top integer DEFAULT 10,
    OUT rank integer,
    OUT peak_at timestamptz,
    OUT trough_at timestamptz,
    OUT recovered_at timestamptz,
    OUT peak numeric,
    OUT trough numeric,
    OUT drawdown numeric,
    OUT drawdown_fraction float8,
    OUT trade_count bigint,
    OUT length interval)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 10
AS 'MODULE_PATHNAME', 'fx_drawdowns';

COMMENT ON FUNCTION drawdowns(jsonb, numeric, integer)
    IS 'the worst drawdowns, by share of the peak: peak_at NULL where it is the starting balance, recovered_at NULL while it lasts; equity and drawdown in account currency, drawdown positive; trades and time from the peak to the recovery or the last trade (from the first opening where the peak is the start); times and length NULL for trades without times; errors: 22023 top below 1, those of fx.equity_points';

CREATE FUNCTION monthly_returns(
    trades jsonb,
    initial_balance numeric DEFAULT 10000,
    OUT month date,
    OUT trade_count bigint,
    OUT net_profit numeric,
    OUT equity numeric,
    OUT return_fraction float8)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 36
AS 'MODULE_PATHNAME', 'fx_monthly_returns';

COMMENT ON FUNCTION monthly_returns(jsonb, numeric)
    IS 'months of FX days from the first opening to the last closing, without a gap: trades closed, their net profit, equity at the end (account currency) and return on the equity before (NULL where that was not above zero); no row for trades without times; errors as fx.equity_points';

CREATE FUNCTION monte_carlo(
    trades jsonb,
    initial_balance numeric DEFAULT 10000,
    runs integer DEFAULT 1000,
    seed bigint DEFAULT 1,
    with_replacement boolean DEFAULT false,
    OUT percentile float8,
    OUT final_balance numeric,
    OUT max_drawdown numeric,
    OUT max_drawdown_fraction float8)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 9
AS 'MODULE_PATHNAME', 'fx_monte_carlo';

COMMENT ON FUNCTION monte_carlo(jsonb, numeric, integer, bigint, boolean)
    IS 'percentiles of final balance and of the deepest drawdown (money, and share of the peak; each column by itself, ascending) over runs with the trades in random order, in which the final balance is always the same, or drawn with replacement; the same seed gives the same result; drawdown share NULL without trades; errors: 22023 runs not between 1 and 1,000,000, those of fx.equity_points';

CREATE FUNCTION drawdowns(
    trades equity,
    initial_balance numeric DEFAULT 10000,
    top integer DEFAULT 10,
    OUT rank integer,
    OUT peak_at timestamptz,
    OUT trough_at timestamptz,
    OUT recovered_at timestamptz,
    OUT peak numeric,
    OUT trough numeric,
    OUT drawdown numeric,
    OUT drawdown_fraction float8,
    OUT trade_count bigint,
    OUT length interval)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 10
AS 'MODULE_PATHNAME', 'fx_drawdowns_of_equity';

COMMENT ON FUNCTION drawdowns(equity, numeric, integer)
    IS 'fx.drawdowns of trades gathered by fx.equity_agg';

CREATE FUNCTION monthly_returns(
    trades equity,
    initial_balance numeric DEFAULT 10000,
    OUT month date,
    OUT trade_count bigint,
    OUT net_profit numeric,
    OUT equity numeric,
    OUT return_fraction float8)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 36
AS 'MODULE_PATHNAME', 'fx_monthly_returns_of_equity';

COMMENT ON FUNCTION monthly_returns(equity, numeric)
    IS 'fx.monthly_returns of trades gathered by fx.equity_agg';

CREATE FUNCTION monte_carlo(
    trades equity,
    initial_balance numeric DEFAULT 10000,
    runs integer DEFAULT 1000,
    seed bigint DEFAULT 1,
    with_replacement boolean DEFAULT false,
    OUT percentile float8,
    OUT final_balance numeric,
    OUT max_drawdown numeric,
    OUT max_drawdown_fraction float8)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 9
AS 'MODULE_PATHNAME', 'fx_monte_carlo_of_equity';

COMMENT ON FUNCTION monte_carlo(equity, numeric, integer, bigint, boolean)
    IS 'fx.monte_carlo of trades gathered by fx.equity_agg';

-- trades as JSON text: an untyped literal would fit jsonb as well as equity, and
-- the parser prefers text to both

CREATE FUNCTION equity_curve(trades text, initial_balance numeric DEFAULT 10000)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_curve_of_text';

COMMENT ON FUNCTION equity_curve(text, numeric)
    IS 'fx.equity_curve of trades as JSON text; error 22P02 when it is not JSON';

CREATE FUNCTION equity_points(
    trades text,
    initial_balance numeric DEFAULT 10000,
    OUT seq integer,
    OUT closed_at timestamptz,
    OUT net_profit numeric,
    OUT equity numeric,
    OUT peak numeric,
    OUT drawdown numeric,
    OUT drawdown_fraction float8)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 1000
AS 'MODULE_PATHNAME', 'fx_equity_points_of_text';

COMMENT ON FUNCTION equity_points(text, numeric)
    IS 'fx.equity_points of trades as JSON text; error 22P02 when it is not JSON';

CREATE FUNCTION backtest_metrics(
    trades text,
    initial_balance numeric DEFAULT 10000,
    risk_free_rate float8 DEFAULT 0,
    periods_per_year float8 DEFAULT 252,
    period_start date DEFAULT NULL,
    period_end date DEFAULT NULL)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_backtest_metrics_of_text';

COMMENT ON FUNCTION backtest_metrics(text, numeric, float8, float8, date, date)
    IS 'fx.backtest_metrics of trades as JSON text; error 22P02 when it is not JSON';

CREATE FUNCTION drawdowns(
    trades text,
    initial_balance numeric DEFAULT 10000,
    top integer DEFAULT 10,
    OUT rank integer,
    OUT peak_at timestamptz,
    OUT trough_at timestamptz,
    OUT recovered_at timestamptz,
    OUT peak numeric,
    OUT trough numeric,
    OUT drawdown numeric,
    OUT drawdown_fraction float8,
    OUT trade_count bigint,
    OUT length interval)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 10
AS 'MODULE_PATHNAME', 'fx_drawdowns_of_text';

COMMENT ON FUNCTION drawdowns(text, numeric, integer)
    IS 'fx.drawdowns of trades as JSON text; error 22P02 when it is not JSON';

CREATE FUNCTION monthly_returns(
    trades text,
    initial_balance numeric DEFAULT 10000,
    OUT month date,
    OUT trade_count bigint,
    OUT net_profit numeric,
    OUT equity numeric,
    OUT return_fraction float8)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 36
AS 'MODULE_PATHNAME', 'fx_monthly_returns_of_text';

COMMENT ON FUNCTION monthly_returns(text, numeric)
    IS 'fx.monthly_returns of trades as JSON text; error 22P02 when it is not JSON';

CREATE FUNCTION monte_carlo(
    trades text,
    initial_balance numeric DEFAULT 10000,
    runs integer DEFAULT 1000,
    seed bigint DEFAULT 1,
    with_replacement boolean DEFAULT false,
    OUT percentile float8,
    OUT final_balance numeric,
    OUT max_drawdown numeric,
    OUT max_drawdown_fraction float8)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 9
AS 'MODULE_PATHNAME', 'fx_monte_carlo_of_text';

COMMENT ON FUNCTION monte_carlo(text, numeric, integer, bigint, boolean)
    IS 'fx.monte_carlo of trades as JSON text; error 22P02 when it is not JSON';

-- strategies

CREATE TYPE strategy_performance AS (
    id uuid,
    user_id uuid,
    name text,
    description text,
    type text,
    status text,
    config jsonb,
    performance_metrics jsonb,
    tags text[],
    version integer,
    parent_strategy_id uuid,
    is_public boolean,
    created_at timestamptz,
    updated_at timestamptz,
    deleted_at timestamptz,
    backtest_count bigint,
    avg_return numeric
);

COMMENT ON TYPE strategy_performance
    IS 'a strategy with the number of its completed backtests and the mean of their total return (a fraction, NULL without one)';

CREATE FUNCTION user_strategies(user_id uuid)
RETURNS SETOF strategy_performance
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.id, s.user_id, s.name, s.description, s.type, s.status, s.config,
           s.performance_metrics, s.tags, s.version, s.parent_strategy_id,
           s.is_public, s.created_at, s.updated_at, s.deleted_at,
           count(b.id),
           avg((b.performance_metrics ->> 'totalReturn')::numeric)
      FROM fx.strategies s
      LEFT JOIN fx.backtests b ON b.strategy_id = s.id AND b.status = 'completed'
     WHERE s.user_id = user_strategies.user_id AND s.deleted_at IS NULL
     GROUP BY s.id
     ORDER BY s.updated_at DESC, s.id
$$;

COMMENT ON FUNCTION user_strategies(uuid)
    IS 'the strategies of a user that are not deleted, last changed first, with count and mean total return (a fraction) of their completed backtests; no row for NULL';

-- Text of a strategy for full-text search: name before tags before
-- description.  The lengths are bounded because a tsvector ends at 1 MB and a
-- row must not be refused for being long; nor is it worth a notice each time.
CREATE FUNCTION strategy_document(name text, description text, tags text[])
RETURNS tsvector
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
    SELECT setweight(to_tsvector('pg_catalog.english', coalesce(name, '')), 'A')
        || setweight(to_tsvector('pg_catalog.english',
                                 left(coalesce(array_to_string(tags, ' '), ''), 20000)), 'B')
        || setweight(to_tsvector('pg_catalog.english', left(coalesce(description, ''), 100000)), 'C')
$$;

COMMENT ON FUNCTION strategy_document(text, text, text[])
    IS 'what fx.search_strategies searches: name (weight A), the first 20,000 characters of the tags (B), the first 100,000 of the description (C), in English; NULL is empty';

CREATE TYPE strategy_match AS (
    id uuid,
    user_id uuid,
    name text,
    description text,
    type text,
    status text,
    tags text[],
    is_public boolean,
    updated_at timestamptz,
    rank real
);

COMMENT ON TYPE strategy_match IS 'a strategy found by fx.search_strategies, and how well it fits';

CREATE FUNCTION search_strategies(query text, user_id uuid DEFAULT NULL)
RETURNS SETOF strategy_match
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
    SELECT s.id, s.user_id, s.name, s.description, s.type, s.status, s.tags,
           s.is_public, s.updated_at,
           ts_rank(fx.strategy_document(s.name, s.description, s.tags), q.query) AS rank
      FROM websearch_to_tsquery('pg_catalog.english', search_strategies.query) AS q (query)
      JOIN fx.strategies s
        ON fx.strategy_document(s.name, s.description, s.tags) @@ q.query
     WHERE s.deleted_at IS NULL
       AND (search_strategies.user_id IS NULL OR s.user_id = search_strategies.user_id)
     ORDER BY rank DESC, s.updated_at DESC, s.id
$$;

COMMENT ON FUNCTION search_strategies(text, uuid)
    IS 'strategies not deleted whose name, tags or description match, best first; query in web-search syntax (words, "a phrase", or, -without), never a syntax error; only those of user_id unless NULL; no row for an empty or NULL query';

-- The version of a strategy counts the changes of its configuration.
CREATE FUNCTION bump_strategy_version()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.version := coalesce(OLD.version, 0) + 1;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION bump_strategy_version()
    IS 'trigger, BEFORE UPDATE FOR EACH ROW on fx.strategies: raises version by one';

-- status of backtests

-- Which changes of status are allowed; what ended stays as it ended.
CREATE FUNCTION backtest_transition_allowed(from_status text, to_status text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE coalesce(from_status, 'pending')
               WHEN 'pending' THEN to_status IN ('running', 'completed', 'failed', 'cancelled')
               WHEN 'running' THEN to_status IN ('completed', 'failed', 'cancelled')
               ELSE false
           END
$$;

COMMENT ON FUNCTION backtest_transition_allowed(text, text)
    IS 'whether a backtest may go from one status to another: pending to any, running to completed, failed or cancelled; a NULL status is pending';

-- The error is the same by hand and by function.
CREATE FUNCTION check_backtest_transition(backtest_id uuid, from_status text, to_status text)
RETURNS void
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT coalesce(fx.backtest_transition_allowed(from_status, to_status), false) THEN
        RAISE EXCEPTION 'backtest "%" cannot go from status "%" to "%"',
                backtest_id, coalesce(from_status, 'pending'), coalesce(to_status, 'null')
            USING ERRCODE = 'XF003',
                  HINT = 'A backtest goes from pending to running, and from either to completed, failed or cancelled.';
    END IF;
END
$$;

COMMENT ON FUNCTION check_backtest_transition(uuid, text, text)
    IS 'does nothing when a backtest may go from one status to another, else error XF003';

CREATE FUNCTION guard_backtest_status()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- what is no status at all is for the table's CHECK to refuse
    IF coalesce(NEW.status, 'pending') IN ('pending', 'running', 'completed', 'failed', 'cancelled') THEN
        PERFORM fx.check_backtest_transition(OLD.id, OLD.status, NEW.status);
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION guard_backtest_status()
    IS 'trigger, BEFORE UPDATE OF status FOR EACH ROW on fx.backtests, when the status changes; refuses an illegal change (XF003)';

-- Locks a backtest that is about to change its status, and returns its config.
-- The row stays locked until the transaction ends, so that of two callers the
-- second sees what the first did.
CREATE FUNCTION lock_backtest(backtest_id uuid, to_status text)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run record;
BEGIN
    SELECT b.status, b.config INTO run
      FROM fx.backtests b
     WHERE b.id = backtest_id
       FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'backtest "%" does not exist', backtest_id
            USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM fx.check_backtest_transition(backtest_id, run.status, to_status);
    RETURN run.config;
END
$$;

REVOKE ALL ON FUNCTION lock_backtest(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock_backtest(uuid, text) TO fx_app, fx_user;

COMMENT ON FUNCTION lock_backtest(uuid, text)
    IS 'locks a backtest until the transaction ends and returns its config, if it may go to the status; errors: P0002 no such backtest, XF003 illegal change of status';

CREATE FUNCTION start_backtest(backtest_id uuid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM fx.lock_backtest(backtest_id, 'running');
    UPDATE fx.backtests b
       SET status = 'running', progress = 0, started_at = clock_timestamp()
     WHERE b.id = backtest_id;
END
$$;

REVOKE ALL ON FUNCTION start_backtest(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION start_backtest(uuid) TO fx_app, fx_user;

COMMENT ON FUNCTION start_backtest(uuid)
    IS 'takes a pending backtest to running and notes the time; errors: P0002 no such backtest, XF003 not pending';

CREATE FUNCTION report_progress(backtest_id uuid, progress integer)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    status text;
BEGIN
    IF progress IS NULL OR progress NOT BETWEEN 0 AND 100 THEN
        RAISE EXCEPTION 'argument "progress" must be between 0 and 100'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE fx.backtests b
       SET progress = greatest(b.progress, report_progress.progress)
     WHERE b.id = backtest_id AND b.status = 'running';
    IF FOUND THEN
        RETURN;
    END IF;

    SELECT b.status INTO status FROM fx.backtests b WHERE b.id = backtest_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'backtest "%" does not exist', backtest_id
            USING ERRCODE = 'no_data_found';
    END IF;
    RAISE EXCEPTION 'backtest "%" is not running but "%"', backtest_id, status
        USING ERRCODE = 'XF003';
END
$$;

REVOKE ALL ON FUNCTION report_progress(uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION report_progress(uuid, integer) TO fx_app, fx_user;

COMMENT ON FUNCTION report_progress(uuid, integer)
    IS 'notes how far a running backtest is, in percent; a report that comes late does not take it back; errors: 22023 progress not from 0 to 100, P0002 no such backtest, XF003 not running';

CREATE FUNCTION fail_backtest(backtest_id uuid, error_message text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF error_message IS NULL THEN
        RAISE EXCEPTION 'argument "error_message" must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM fx.lock_backtest(backtest_id, 'failed');
    UPDATE fx.backtests b
       SET status = 'failed', error_message = fail_backtest.error_message,
           completed_at = clock_timestamp()
     WHERE b.id = backtest_id;
END
$$;

REVOKE ALL ON FUNCTION fail_backtest(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fail_backtest(uuid, text) TO fx_app, fx_user;

COMMENT ON FUNCTION fail_backtest(uuid, text)
    IS 'ends a pending or running backtest as failed, with the reason and the time; errors: 22004 NULL reason, P0002 no such backtest, XF003 it has ended';

CREATE FUNCTION cancel_backtest(backtest_id uuid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM fx.lock_backtest(backtest_id, 'cancelled');
    UPDATE fx.backtests b
       SET status = 'cancelled', completed_at = clock_timestamp()
     WHERE b.id = backtest_id;
END
$$;

REVOKE ALL ON FUNCTION cancel_backtest(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cancel_backtest(uuid) TO fx_app, fx_user;

COMMENT ON FUNCTION cancel_backtest(uuid)
    IS 'ends a pending or running backtest as cancelled, with the time; errors: P0002 no such backtest, XF003 it has ended';

-- backtests

-- A setting of a backtest's config as a number; the error names the key.
CREATE FUNCTION config_number(config jsonb, key text)
RETURNS numeric
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    value text := config ->> key;
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    END IF;
    IF jsonb_typeof(config -> key) NOT IN ('number', 'string')
       OR value !~ '^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*$' THEN
        RAISE EXCEPTION 'config key "%" is not a number', key
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Its value begins with "%s".', left(value, 32));
    END IF;
    RETURN value::numeric;
END
$$;

COMMENT ON FUNCTION config_number(jsonb, text)
    IS 'a key of a JSON configuration as a number, NULL when absent or null; error 22023 when it is something else';

-- Likewise a date: the day of an ISO-8601 date or timestamp, as it is written.
CREATE FUNCTION config_date(config jsonb, key text)
RETURNS date
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    value text := config ->> key;
    part text[];
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    END IF;
    part := regexp_match(value, '^(\d{4})-(\d{2})-(\d{2})([T ].*)?$');
    IF part IS NOT NULL AND jsonb_typeof(config -> key) = 'string' THEN
        BEGIN
            RETURN make_date(part[1]::integer, part[2]::integer, part[3]::integer);
        EXCEPTION WHEN datetime_field_overflow THEN
            NULL;               -- 2024-02-30: falls through to the error
        END;
    END IF;
    RAISE EXCEPTION 'config key "%" is not a date', key
        USING ERRCODE = 'invalid_parameter_value',
              DETAIL = format('Its value begins with "%s".', left(value, 32)),
              HINT = 'Write it as YYYY-MM-DD.';
END
$$;

COMMENT ON FUNCTION config_date(jsonb, text)
    IS 'a key of a JSON configuration as a date, NULL when absent or null; error 22023 when it is something else';

-- What a stored run is measured by, for the run and for its report.
CREATE FUNCTION configured_metrics(trades jsonb, config jsonb)
RETURNS jsonb
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT fx.backtest_metrics(
               trades,
               coalesce(fx.config_number(config, 'initialBalance'), 10000),
               coalesce(fx.config_number(config, 'riskFreeRate'), 0)::float8,
               coalesce(fx.config_number(config, 'periodsPerYear'), 252)::float8,
               fx.config_date(config, 'startDate'),
               fx.config_date(config, 'endDate'))
$$;

COMMENT ON FUNCTION configured_metrics(jsonb, jsonb)
    IS 'fx.backtest_metrics with the initialBalance (10000), riskFreeRate (0), periodsPerYear (252), startDate and endDate of a backtest''s config; NULL for NULL trades; errors: 22023 bad config, those of fx.backtest_metrics';

CREATE FUNCTION complete_backtest(backtest_id uuid, trades jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    config jsonb;
    balance numeric;
    metrics jsonb;
BEGIN
    IF trades IS NULL THEN
        RAISE EXCEPTION 'argument "trades" must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'A strategy that never traded has the trades ''[]''.';
    END IF;

    config := fx.lock_backtest(backtest_id, 'completed');
    metrics := fx.configured_metrics(trades, config);
    balance := (metrics ->> 'initialBalance')::numeric;

    UPDATE fx.backtests b
       SET trades = complete_backtest.trades,
           equity_curve = fx.equity_curve(complete_backtest.trades, balance),
           performance_metrics = metrics,
           results = jsonb_build_object(
               'totalTrades', metrics -> 'totalTrades',
               'netProfit', metrics -> 'netProfit',
               'finalBalance', metrics -> 'finalBalance',
               'totalReturn', metrics -> 'totalReturn',
               'maxDrawdown', metrics -> 'maxDrawdown',
               'sharpeRatio', metrics -> 'sharpeRatio'),
           status = 'completed',
           progress = 100,
           error_message = NULL,
           started_at = coalesce(b.started_at, b.created_at),
           completed_at = clock_timestamp()
     WHERE b.id = backtest_id;

    RETURN metrics;
END
$$;

REVOKE ALL ON FUNCTION complete_backtest(uuid, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION complete_backtest(uuid, jsonb) TO fx_app, fx_user;

COMMENT ON FUNCTION complete_backtest(uuid, jsonb)
    IS 'stores the trades of a pending or running backtest with equity curve, metrics, headline results, status, progress and times, and returns the metrics; config gives initialBalance (10000), riskFreeRate (0), periodsPerYear (252), startDate and endDate; errors: P0002 no such backtest, XF003 not pending or running, 22004 NULL trades, 22023 bad config, those of fx.backtest_metrics';

-- tear-sheet: one page
--
-- A page is also well-formed XML, so that it can be checked by any parser.

CREATE FUNCTION tearsheet_page(
    trades jsonb,
    initial_balance numeric,
    metrics jsonb,
    title text,
    facts text[],
    config jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    data jsonb := fx.tearsheet_data(trades, initial_balance);
    heading text := coalesce(nullif(btrim(title), ''), 'Backtest');
    header text;
BEGIN
    SELECT string_agg(format('<div><dt>%s</dt><dd>%s</dd></div>', f.label, f.value), '' ORDER BY f.place)
      INTO header
      FROM (SELECT n AS place, fx.html_escape(facts[n][1]) AS label, fx.html_clip(facts[n][2], 200) AS value
              FROM generate_series(1, coalesce(array_length(facts, 1), 0)) AS n
             UNION ALL
            SELECT f.*
              FROM (VALUES
                  (101, 'Trades (UTC)', CASE WHEN metrics ->> 'firstTradeAt' IS NOT NULL
                      THEN concat_ws(' to ', fx.html_metric(metrics, 'firstTradeAt', 'time'),
                                     fx.html_metric(metrics, 'lastTradeAt', 'time')) END),
                  (102, 'Starting balance', fx.html_money(initial_balance)),
                  (103, 'Commission, swap', concat_ws(', ', fx.html_metric(metrics, 'totalCommission', 'money'),
                                                      fx.html_metric(metrics, 'totalSwap', 'money'))),
                  (104, 'Days a year', fx.html_metric(metrics, 'periodsPerYear', 'text')),
                  (105, 'Definitions', 'version ' || fx.html_metric(metrics, 'definitions', 'text')))
                  AS f (place, label, value)) AS f
     WHERE f.value IS NOT NULL;

    RETURN concat(
        E'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>',
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
        '<title>', fx.html_escape(left(heading, 200)), E'</title>\n<style>', fx.tearsheet_style(), E'</style></head>\n<body>\n',
        '<header><p class="kind">Backtest tear-sheet</p><h1>', fx.html_clip(heading, 200), '</h1><dl class="facts">', header, E'</dl></header>\n<main>\n',
        fx.tearsheet_headline(metrics),
        '<div class="cards">',
        fx.tearsheet_curve(data),
        fx.tearsheet_months(data),
        fx.tearsheet_years(data),
        fx.tearsheet_histogram(data, metrics),
        fx.tearsheet_groups(data, metrics),
        fx.tearsheet_drawdowns(data),
        fx.tearsheet_trades(data),
        fx.tearsheet_metrics(metrics),
        fx.html_section('parameters', 'wide', 'Parameters',
            CASE WHEN config IS NULL OR config = '{}' THEN '<p class="empty">None recorded.</p>'
                 ELSE format('<pre>%s</pre>', fx.html_clip(jsonb_pretty(config), 12000)) END),
        fx.tearsheet_definitions(),
        E'</div></main>\n</body></html>\n');
END
$$;

COMMENT ON FUNCTION tearsheet_page(jsonb, numeric, jsonb, text, text[], jsonb)
    IS 'the page of fx.tearsheet from trades, their metrics, a title, further facts for its head as pairs of label and value (a NULL value is left out), and the configuration; NULL facts or configuration are left out';

CREATE FUNCTION tearsheet(trades jsonb, initial_balance numeric, title text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT fx.tearsheet_page(trades, initial_balance, fx.backtest_metrics(trades, initial_balance), title, NULL, NULL)
$$;

COMMENT ON FUNCTION tearsheet(jsonb, numeric, text)
    IS 'report of trades as one self-contained HTML page (UTF-8, below 300 kB for any number of trades): key figures, equity, drawdowns, months, distribution, symbols, hours, costs, best and worst trades, all metrics; money in account currency, rates in percent, times in UTC, hours in New York; NULL for NULL; errors: those of fx.backtest_metrics';

CREATE FUNCTION tearsheet(backtest_id uuid)
RETURNS text
LANGUAGE plpgsql
STABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run record;
    balance numeric;
    metrics jsonb;
BEGIN
    SELECT b.name, b.status, coalesce(b.trades, '[]') AS trades, coalesce(b.config, '{}') AS config,
           b.completed_at, s.name AS strategy, s.version, s.type,
           coalesce(b.config ->> 'accountCurrency', u.preferences ->> 'accountCurrency') AS currency
      INTO run
      FROM fx.backtests b
      LEFT JOIN fx.strategies s ON s.id = b.strategy_id
      LEFT JOIN fx.users u ON u.id = b.user_id
     WHERE b.id = backtest_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'backtest "%" does not exist', backtest_id
            USING ERRCODE = 'no_data_found';
    END IF;
    IF run.status IS DISTINCT FROM 'completed' THEN
        RAISE EXCEPTION 'backtest "%" is not completed', backtest_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Its status is "%s".', coalesce(run.status, ''));
    END IF;

    metrics := fx.configured_metrics(run.trades, run.config);
    balance := (metrics ->> 'initialBalance')::numeric;

    RETURN fx.tearsheet_page(
        run.trades, balance, metrics, run.name,
        ARRAY[['Strategy', run.strategy], ['Version', run.version::text], ['Account currency', run.currency],
              ['Period', nullif(concat_ws(' to ', coalesce(to_char(fx.config_date(run.config, 'startDate'), 'YYYY-MM-DD'), 'first trade'),
                                         coalesce(to_char(fx.config_date(run.config, 'endDate'), 'YYYY-MM-DD'), 'last trade')),
                                'first trade to last trade')],
              ['Completed (UTC)', to_char(run.completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')]],
        run.config);
END
$$;

COMMENT ON FUNCTION tearsheet(uuid)
    IS 'report of a completed backtest as one self-contained HTML page: that of fx.tearsheet(trades, initial_balance, title) with strategy, version, period and parameters; initial balance, risk-free rate, days a year and period from its config as in fx.complete_backtest; NULL for NULL; errors: P0002 no such backtest, 55000 not completed, 22023 bad config, those of fx.backtest_metrics';

-- tear-sheet: charts
--
-- A drawing is stretched to the width of the page; labels are text beside it,
-- so that they keep their size on a telephone.

CREATE TYPE chart_axis AS (
    low numeric,
    high numeric,
    grid text,
    labels text
);

COMMENT ON TYPE chart_axis
    IS 'the value axis of a chart: its ends, the grid lines as SVG and the labels as HTML';

CREATE FUNCTION value_axis(low numeric, high numeric, percent boolean DEFAULT false)
RETURNS chart_axis
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH given AS (
        -- a flat curve runs in the middle
        SELECT CASE WHEN high > value_axis.low THEN value_axis.low ELSE value_axis.low - r.room END AS low,
               CASE WHEN high > value_axis.low THEN high ELSE value_axis.low + r.room END AS high
          FROM (SELECT greatest(abs(value_axis.low) / 50, 0.00000001) AS room) AS r
    ), step AS (
        SELECT fx.nice_step(g.high - g.low, 5) AS width, g.low, g.high FROM given g
    ), round_ends AS (
        SELECT width, floor(s.low / width) * width AS bottom, ceil(s.high / width) * width AS top FROM step s
    ), tick AS (
        SELECT value, round(300 * (top - value) / (top - bottom), 1) AS y
          FROM round_ends, generate_series(bottom, top, width) AS value
    )
    SELECT bottom, top,
           (SELECT format('<path class="grid" d="M0 %sH1000"/>',
                          string_agg(t.y::text, 'H1000M0 ' ORDER BY t.y)) FROM tick t),
           (SELECT string_agg(format('<i class="y" style="top:%s%%">%s</i>', round(t.y / 3, 1),
                       CASE WHEN percent
                            THEN fx.html_percent(t.value, greatest(0, scale(trim_scale(width)) - 2)) || '%'
                            WHEN greatest(abs(bottom), abs(top)) < 10000000 AND scale(trim_scale(width)) < 5
                            THEN fx.html_number(t.value, greatest(0, scale(trim_scale(width))))
                            ELSE fx.html_short(t.value) END), '' ORDER BY t.y) FROM tick t)
      FROM round_ends
$$;

COMMENT ON FUNCTION value_axis(numeric, numeric, boolean)
    IS 'a value axis with about five round ticks that covers a range, for a drawing 1000 wide and 300 high; percent: values are fractions, labelled in percent; NULL for NULL';

CREATE FUNCTION html_plot(label text, axis chart_axis, drawing text, x_labels text, class text)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('<div class="plot ', class, '" role="img" aria-label="', fx.html_escape(label), '">',
                  '<svg viewBox="0 0 1000 300" preserveAspectRatio="none" aria-hidden="true">',
                  axis.grid, drawing, '</svg>', axis.labels, x_labels, '</div>')
$$;

COMMENT ON FUNCTION html_plot(text, chart_axis, text, text, text)
    IS 'a chart as HTML: a drawing of 1000 x 300 with its value axis and the labels under it';

CREATE FUNCTION x_label(x numeric, label text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('<i class="x%s" style="left:%s%%">%s</i>',
                  CASE WHEN x < 30 THEN ' first' WHEN x > 970 THEN ' last' ELSE '' END, round(x / 10, 1), label)
$$;

COMMENT ON FUNCTION x_label(numeric, text)
    IS 'a label under a chart at a place from 0 to 1000, as HTML; NULL for NULL';

-- Equity and underwater plot over the same axis, and their table.
CREATE FUNCTION tearsheet_curve(data jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    timed boolean := (data ->> 'timed')::boolean;
    since timestamptz := data ->> 'since';
    until timestamptz := data ->> 'until';
    trades numeric := (data ->> 'trades')::numeric;
    initial numeric := (data ->> 'initial')::numeric;
    final numeric;
    lowest numeric;
    highest numeric;
    deepest numeric;
    equity_axis fx.chart_axis;
    loss_axis fx.chart_axis;
    equity text;
    losses text;
    shades text;
    marks text;
    x_labels text;
    lines text;
    rows text;
BEGIN
    SELECT min(c.low), max(c.high), max(c.deep) INTO lowest, highest, deepest
      FROM jsonb_to_recordset(data -> 'curve') AS c (low numeric, high numeric, deep numeric);
    equity_axis := fx.value_axis(lowest, highest);
    loss_axis := fx.value_axis(-coalesce(nullif(deepest, 0), 0.01), 0, true);

    SELECT string_agg(CASE WHEN c.low = c.high THEN c.x || ',' || y.first
                           WHEN c.last >= c.first
                           THEN format('%1$s,%2$s %1$s,%3$s %1$s,%4$s %1$s,%5$s', c.x, y.first, y.low, y.high, y.last)
                           ELSE format('%1$s,%2$s %1$s,%3$s %1$s,%4$s %1$s,%5$s', c.x, y.first, y.high, y.low, y.last)
                      END, ' ' ORDER BY c.x),
           string_agg(CASE WHEN c.deep = c.shallow THEN c.x || ',' || y.deep
                           ELSE concat_ws(' ', c.x || ',' || y.shallow, c.x || ',' || y.deep) END, ' ' ORDER BY c.x),
           (array_agg(c.last ORDER BY c.x DESC))[1]
      INTO equity, losses, final
      FROM jsonb_to_recordset(data -> 'curve')
               AS c (x numeric, first numeric, low numeric, high numeric, last numeric,
                     shallow numeric, deep numeric),
           LATERAL (SELECT 300 / (equity_axis.high - equity_axis.low) AS k, -300 / loss_axis.low AS d) AS s,
           LATERAL (SELECT round((equity_axis.high - c.first) * s.k, 1) AS first,
                           round((equity_axis.high - c.low) * s.k, 1) AS low,
                           round((equity_axis.high - c.high) * s.k, 1) AS high,
                           round((equity_axis.high - c.last) * s.k, 1) AS last,
                           round(c.shallow * s.d, 1) AS shallow, round(c.deep * s.d, 1) AS deep) AS y;
    IF trades = 0 THEN
        equity := equity || ' 1000,' || split_part(equity, ',', 2);
    END IF;

    SELECT string_agg(format('<rect class="shade" x="%s" y="0" width="%s" height="300"/>',
                             round(d.x1 * 1000, 1), greatest(round((d.x2 - d.x1) * 1000, 1), 1)), '' ORDER BY d.place),
           string_agg(format('<i class="rank" style="left:%s%%">%s</i>',
                             round((d.x1 + d.x2) * 50, 1), d.place), '' ORDER BY d.place)
      INTO shades, marks
      FROM ROWS FROM (jsonb_to_recordset(data -> 'drawdowns') AS (x1 numeric, x2 numeric))
           WITH ORDINALITY AS d (x1, x2, place)
     WHERE d.place <= 5;

    SELECT string_agg(fx.x_label(t.x, t.label), '' ORDER BY t.x),
           string_agg(format('M%s 0V300', t.x), '' ORDER BY t.x)
      INTO x_labels, lines
      FROM (SELECT round(1000 * extract(epoch FROM t.tick - since) / extract(epoch FROM until - since), 1) AS x,
                   t.label
              FROM fx.time_ticks(since, until) AS t
             WHERE timed
             UNION ALL
            SELECT round(1000 * n / trades, 1), fx.html_number(n, 0)
              FROM generate_series(0, trades, greatest(1, fx.nice_step(trades, 8))) AS n
             WHERE NOT timed AND trades > 0) AS t;
    lines := '<path class="grid" d="' || lines || '"/>';

    -- about two dozen points, evenly spread over the axis, and the last
    SELECT string_agg(fx.html_row(ARRAY[
               CASE WHEN c.seq = 0 THEN 'start' WHEN c.at IS NULL THEN 'trade ' || c.seq
                    ELSE fx.html_time(c.at) END,
               fx.html_number(c.seq, 0), fx.html_money(c.last), fx.html_money(c.drawdown),
               fx.html_percent(c.fraction)]), E'\n' ORDER BY c.n)
      INTO rows
      FROM (SELECT c.*, count(*) OVER () AS total
              FROM ROWS FROM (jsonb_to_recordset(data -> 'curve')
                       AS (seq integer, at timestamptz, last numeric, drawdown numeric, fraction numeric))
                   WITH ORDINALITY AS c (seq, at, last, drawdown, fraction, n)) AS c
     WHERE c.n = 1 OR c.n = c.total OR c.n * 24 / c.total <> (c.n - 1) * 24 / c.total;

    RETURN fx.html_section('equity', 'wide', 'Equity', concat(
        '<p class="note">Account balance after each closed trade',
        CASE WHEN NOT timed AND trades > 0 THEN ', by trade number' END,
        '. Dashed: the starting balance. Shaded: the worst drawdowns, numbered as in the list below.</p>', E'\n',
        fx.html_plot(
            format('Equity curve of %s trades, from %s to %s', trades, trim_scale(initial), trim_scale(final)),
            equity_axis,
            concat(lines, shades,
                   format('<path class="start" d="M0 %sH1000"/>',
                          round((equity_axis.high - initial) * 300 / (equity_axis.high - equity_axis.low), 1)),
                   format('<polyline class="line" points="%s"/>', equity)),
            concat(x_labels, marks), 'tall'),
        E'\n<h3>Underwater: distance from the peak</h3>\n',
        fx.html_plot(
            format('Drawdown in percent of the peak so far; deepest %s %%', fx.html_percent(deepest)),
            loss_axis, concat(lines, format('<polygon class="under" points="0,0 %s 1000,0"/>', losses)), x_labels, ''),
        fx.html_details('Table of both charts', fx.html_table('',
            ARRAY[CASE WHEN timed THEN 'Time (UTC)' ELSE 'Point' END, 'Trades so far', 'Equity', 'Drawdown',
                  'Drawdown, % of peak'], rows))));
END
$$;

COMMENT ON FUNCTION tearsheet_curve(jsonb)
    IS 'equity curve and underwater plot of a tear-sheet as HTML, from fx.tearsheet_data; NULL for NULL';

CREATE FUNCTION heat_class(value numeric, scale numeric)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN value IS NULL THEN 'z'
        WHEN value = 0 OR scale = 0 THEN 'h0'
        ELSE CASE WHEN value > 0 THEN 'p' ELSE 'n' END
          || least(4, greatest(1, ceil(4 * sqrt((least(1, abs(value) / scale))::float8))))
    END
$$;

COMMENT ON FUNCTION heat_class(numeric, numeric)
    IS 'the CSS class of a cell of a heat-map: p1 to p4 above zero, n1 to n4 below, h0 zero, z for NULL; scale is the largest magnitude';

CREATE FUNCTION tearsheet_months(data jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    headings text[] := ARRAY['Year', 'Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec', 'Year'];
    largest numeric;
    returns text;
    money text;
    earlier text := '';
BEGIN
    IF jsonb_array_length(data -> 'years') = 0 THEN
        RETURN fx.html_section('months', 'wide', 'Monthly and annual returns',
            CASE WHEN (data ->> 'trades')::integer = 0 THEN '<p class="empty">No trades.</p>'
                 ELSE '<p class="empty">The trades have no times, so there are no months to show.</p>' END);
    END IF;

    SELECT max(abs((m.value ->> 'return')::numeric)) INTO largest
      FROM jsonb_array_elements(data -> 'years') AS y, jsonb_each(y -> 'months') AS m;

    SELECT string_agg(format('<tr><th scope="row">%s</th>%s<td class="total">%s</td></tr>',
                             y.year, m.returns, fx.html_percent(y.return)), E'\n' ORDER BY y.year),
           string_agg(format('<tr><th scope="row">%s</th>%s<td class="total">%s<small>%s</small></td></tr>',
                             y.year, m.money, fx.html_short(y.net), y.trades), E'\n' ORDER BY y.year)
      INTO returns, money
      FROM jsonb_to_recordset(data -> 'years')
               AS y (year integer, trades bigint, net numeric, return numeric, months jsonb),
           LATERAL (SELECT string_agg(format('<td class="%s">%s</td>', fx.heat_class(c.return, largest),
                                             CASE WHEN c.trades IS NOT NULL
                                                  THEN fx.html_percent(c.return, CASE WHEN abs(c.return) < 1 THEN 1 ELSE 0 END)
                                             END), '' ORDER BY n) AS returns,
                           string_agg(CASE WHEN c.trades IS NULL THEN '<td class="z"></td>'
                                           ELSE format('<td>%s<small>%s</small></td>', fx.html_short(c.net), c.trades)
                                      END, '' ORDER BY n) AS money
                      FROM generate_series(1, 12) AS n
                      LEFT JOIN LATERAL jsonb_to_record(y.months -> n::text)
                               AS c (trades bigint, net numeric, return numeric) ON true) AS m;

    IF (data #>> '{earlier,trades}')::numeric > 0 THEN
        earlier := format('<p class="note">The last 40 years are shown; %s trades before them brought the balance from %s to %s.</p>',
                          fx.html_number((data #>> '{earlier,trades}')::numeric, 0),
                          fx.html_money((data ->> 'initial')::numeric),
                          fx.html_money((data #>> '{earlier,equity}')::numeric));
    END IF;

    RETURN fx.html_section('months', 'wide', 'Monthly returns, %', concat(
        '<p class="note">Of the balance at the start of each month, by FX day (17:00 New York). ',
        'Blue gains, orange losses.</p>', earlier, E'\n', fx.html_table('heat', headings, returns),
        fx.html_details('The same in money, with the number of trades',
                        fx.html_table('heat plain', headings, money))));
END
$$;

COMMENT ON FUNCTION tearsheet_months(jsonb)
    IS 'monthly heat-map of a tear-sheet as HTML, from fx.tearsheet_data; says so where trades have no times; NULL for NULL';

CREATE FUNCTION tearsheet_years(data jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    axis fx.chart_axis;
    bars text;
    x_labels text;
    rows text;
BEGIN
    IF jsonb_array_length(data -> 'years') = 0 THEN
        RETURN '';
    END IF;

    axis := (SELECT fx.value_axis(least(min(y.return), 0), greatest(max(y.return), 0.001), true)
               FROM jsonb_to_recordset(data -> 'years') AS y (return numeric));

    SELECT string_agg(format('<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>',
                             CASE WHEN y.return < 0 THEN 'loss' ELSE 'gain' END, round(y.x - y.width / 2, 1),
                             round((axis.high - greatest(y.return, 0)) * y.unit, 1), round(y.width, 1),
                             greatest(round(abs(y.return) * y.unit, 1), 1)), '' ORDER BY y.year)
               FILTER (WHERE y.return IS NOT NULL),
           string_agg(fx.x_label(round(y.x, 1), y.year::text), '' ORDER BY y.year)
               FILTER (WHERE (y.n - y.total) % ceil(y.total / 12.0) = 0),
           string_agg(fx.html_row(ARRAY[y.year::text, fx.html_number(y.trades, 0), fx.html_money(y.net),
                                        fx.html_percent(y.return)]), E'\n' ORDER BY y.year)
      INTO bars, x_labels, rows
      FROM (SELECT y.*, 1000 * (y.n - 0.5) / y.total AS x, least(120, 700.0 / y.total) AS width,
                   300 / (axis.high - axis.low) AS unit
              FROM (SELECT y.*, row_number() OVER (ORDER BY y.year) AS n, count(*) OVER () AS total
                      FROM jsonb_to_recordset(data -> 'years')
                               AS y (year integer, trades numeric, net numeric, return numeric)) AS y) AS y;

    RETURN fx.html_section('years', '', 'Annual returns, %', concat(
        fx.html_plot('Bars of the return of each year; the table below has the same numbers', axis,
                     concat(bars, format('<path class="zero" d="M0 %sH1000"/>',
                                         round(axis.high * 300 / (axis.high - axis.low), 1))), x_labels, ''),
        fx.html_details('Table of the chart',
                        fx.html_table('', ARRAY['Year', 'Trades', 'Net profit', 'Return, %'], rows))));
END
$$;

COMMENT ON FUNCTION tearsheet_years(jsonb)
    IS 'annual bars of a tear-sheet as HTML, from fx.tearsheet_data; empty where trades have no times; NULL for NULL';

CREATE FUNCTION tearsheet_histogram(data jsonb, metrics jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    total numeric := (data ->> 'trades')::numeric;
    width numeric := (data ->> 'width')::numeric;
    axis fx.chart_axis;
    bars text;
    x_labels text;
    shares text;
    legend text;
    rows text;
BEGIN
    IF total = 0 THEN
        RETURN fx.html_section('histogram', 'wide', 'Distribution of trades', '<p class="empty">No trades.</p>');
    END IF;

    SELECT string_agg(format('<span class="%s" style="flex-grow:%s"></span>', s.class, round(1000 * s.n / total)),
                      '' ORDER BY s.place) FILTER (WHERE s.n > 0),
           string_agg(format('<li><span class="%s"></span>%s <strong>%s</strong> (%s %%)</li>', s.class, s.label,
                             fx.html_number(s.n, 0), fx.html_percent(s.n / total, 1)), '' ORDER BY s.place)
      INTO shares, legend
      FROM (VALUES (1, 'loss', 'losing', (metrics ->> 'losingTrades')::numeric),
                   (2, 'even', 'break-even', (metrics ->> 'breakevenTrades')::numeric),
                   (3, 'gain', 'winning', (metrics ->> 'winningTrades')::numeric)) AS s (place, class, label, n);

    axis := (SELECT fx.value_axis(0, greatest(max(b.trades), 5))
               FROM jsonb_to_recordset(data -> 'bins') AS b (trades numeric));

    -- break-even trades, where there are any, stand between the losses and the gains
    WITH bin AS (
        SELECT b.*, least(min(b.n) OVER (), 0) AS first, greatest(max(b.n) OVER (), 0) AS last,
               max((b.n = 0)::integer) OVER () AS even
          FROM jsonb_to_recordset(data -> 'bins') AS b (n integer, trades numeric, low numeric, high numeric)
    ), bar AS (
        SELECT b.*, 1000.0 / (b.last - b.first + b.even) AS slot, 300 * b.trades / axis.high AS height,
               CASE WHEN b.n > 0 THEN b.n - 1 + b.even ELSE b.n END - b.first AS place
          FROM bin b
    ), edge AS (
        SELECT e.n, greatest(1, (b.last - b.first) / 6) AS every,
               (CASE WHEN e.n > 0 THEN e.n + b.even WHEN e.n = 0 THEN b.even / 2.0 ELSE e.n END - b.first) * b.slot AS x
          FROM (SELECT * FROM bar LIMIT 1) AS b, generate_series(b.first, b.last) AS e (n)
    )
    SELECT (SELECT string_agg(format('<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>',
                                     CASE sign(b.n) WHEN 1 THEN 'gain' WHEN 0 THEN 'even' ELSE 'loss' END,
                                     round((b.place + 0.04) * b.slot, 2), round(300 - b.height, 1),
                                     round(0.92 * b.slot, 2), round(b.height, 1)), '' ORDER BY b.n)
              FROM bar b),
           (SELECT string_agg(fx.x_label(round(e.x, 1), fx.html_short(e.n * width)), '' ORDER BY e.n)
              FROM edge e WHERE e.n % e.every = 0),
           (SELECT string_agg(fx.html_row(ARRAY[
                                  CASE WHEN b.n = 0 THEN 'exactly 0'
                                       ELSE fx.html_money(b.low) || ' to ' || fx.html_money(b.high) END,
                                  b.trades::text, fx.html_percent(b.trades / total)]), E'\n' ORDER BY b.n)
              FROM bar b)
      INTO bars, x_labels, rows;

    RETURN fx.html_section('histogram', CASE WHEN jsonb_array_length(data -> 'years') = 0 THEN 'wide' ELSE '' END,
        'Distribution of trades', concat(
        '<p class="note">Number of trades by net profit; the outermost bars hold everything beyond.</p>', E'\n',
        fx.html_plot(format('Histogram of the net profit of %s trades', total), axis, bars, x_labels, ''),
        '<div class="shares" aria-hidden="true">', shares, '</div><ul class="legend">', legend, '</ul>',
        fx.html_details('Table of the chart',
                        fx.html_table('', ARRAY['Net profit, from to', 'Trades', 'Share, %'], rows))));
END
$$;

COMMENT ON FUNCTION tearsheet_histogram(jsonb, jsonb)
    IS 'histogram of net profits and break-even share of a tear-sheet as HTML, from fx.tearsheet_data and fx.backtest_metrics; NULL for NULL';

-- tear-sheet: the figures of a page
--
-- The trades are expanded once; what comes out is small for any number of them.

CREATE FUNCTION trade_order(
    trades jsonb,
    OUT seq integer,
    OUT item integer,
    OUT opened_at timestamptz,
    OUT closed_at timestamptz)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 1000
AS 'MODULE_PATHNAME', 'fx_trade_order';

COMMENT ON FUNCTION trade_order(jsonb)
    IS 'the trades of a backtest in the order of fx.equity_points: seq from 1, item the place in the array from 1, opened_at the closing time where only that is given; times NULL where no trade has one; no row for NULL; errors as fx.equity_points';

-- A trade whose type says neither counts as neither long nor short.
CREATE FUNCTION tearsheet_data(trades jsonb, initial_balance numeric)
RETURNS jsonb
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
SET extra_float_digits = 1
SET jit = off
SET work_mem = '64MB'
AS $$
WITH point AS MATERIALIZED (
    SELECT * FROM fx.equity_points(trades, initial_balance)
), trade AS MATERIALIZED (
    SELECT o.seq, o.opened_at, o.closed_at, p.net_profit AS net, r.symbol, r.quantity,
           CASE WHEN lower(r.type) IN ('buy', 'long') THEN 'long'
                WHEN lower(r.type) IN ('sell', 'short') THEN 'short'
                ELSE 'not stated' END AS side,
           round(coalesce(r.commission, 0), 8) AS commission, round(coalesce(r.swap, 0), 8) AS swap
      FROM fx.trade_order(trades) o
      JOIN point p USING (seq)
      JOIN ROWS FROM (jsonb_to_recordset(trades)
               AS (symbol text, type text, quantity text, commission numeric, swap numeric))
           WITH ORDINALITY AS r (symbol, type, quantity, commission, swap, item) ON r.item = o.item
), span AS MATERIALIZED (
    -- where all times are equal the x axis is that of an untimed curve
    SELECT count(*) AS trades, min(opened_at) AS since, max(closed_at) AS until,
           coalesce(extract(epoch FROM max(closed_at) - min(opened_at)) > 0, false) AS timed
      FROM trade
), column_of AS (
    SELECT p.seq, p.equity, p.drawdown_fraction,
           CASE WHEN NOT s.timed THEN p.seq::float8 / greatest(s.trades, 1)
                WHEN p.seq = 0 THEN 0
                ELSE extract(epoch FROM p.closed_at - s.since)::float8
                     / extract(epoch FROM s.until - s.since)::float8 END AS x
      FROM point p, span s
), pixel AS MATERIALIZED (
    -- extremes of every pixel column keep the shape of a curve of any length
    SELECT floor(x * 900) AS px, min(seq) AS first, max(seq) AS last,
           min(equity) AS low, max(equity) AS high,
           min(drawdown_fraction) AS shallow, max(drawdown_fraction) AS deep
      FROM column_of
     GROUP BY 1
), curve AS (
    SELECT jsonb_agg(jsonb_build_object(
               'x', round((px / 0.9)::numeric, 1), 'seq', l.seq, 'at', l.closed_at,
               'first', f.equity, 'low', c.low, 'high', c.high, 'last', l.equity,
               'shallow', c.shallow, 'deep', c.deep, 'drawdown', l.drawdown,
               'fraction', l.drawdown_fraction) ORDER BY c.px) AS points
      FROM pixel c
      JOIN point f ON f.seq = c.first
      JOIN point l ON l.seq = c.last
), episode AS (
    -- a point without drawdown is a peak, and begins an episode
    SELECT seq, closed_at, peak, drawdown, drawdown_fraction AS fraction,
           count(*) FILTER (WHERE drawdown = 0) OVER (ORDER BY seq) AS n
      FROM point
), worst AS (
    SELECT n, min(seq) AS peak_seq, max(seq) + 1 AS end_seq, max(fraction) AS fraction,
           max(drawdown) AS depth
      FROM episode
     GROUP BY n
    HAVING max(drawdown) > 0
     ORDER BY max(fraction) DESC, min(seq)
     LIMIT 10
), drawdowns AS (
    SELECT jsonb_agg(jsonb_build_object(
               'depth', w.depth, 'fraction', w.fraction,
               'peak_seq', w.peak_seq, 'trough_seq', t.seq, 'recovery_seq', r.seq,
               'last_seq', coalesce(r.seq, s.trades),
               'peak', coalesce(p.closed_at, s.since), 'trough', t.closed_at,
               'recovery', r.closed_at, 'started', w.peak_seq = 0,
               'seconds', extract(epoch FROM coalesce(r.closed_at, s.until)
                                             - coalesce(p.closed_at, s.since)),
               'x1', xp.x, 'x2', coalesce(xr.x, 1)) ORDER BY w.fraction DESC, w.peak_seq) AS rows
      FROM worst w
     CROSS JOIN span s
      JOIN point p ON p.seq = w.peak_seq
      JOIN column_of xp ON xp.seq = w.peak_seq
      JOIN LATERAL (SELECT e.seq, e.closed_at FROM episode e
                     WHERE e.n = w.n AND e.drawdown = w.depth ORDER BY e.seq LIMIT 1) t ON true
      LEFT JOIN point r ON r.seq = w.end_seq
      LEFT JOIN column_of xr ON xr.seq = w.end_seq
), month_end AS (
    SELECT date_trunc('month', fx.fx_day(closed_at)::timestamp) AS month,
           max(seq) AS last, count(*) AS trades
      FROM trade
     WHERE closed_at IS NOT NULL
     GROUP BY 1
), month AS MATERIALIZED (
    SELECT m.at AS month, coalesce(e.trades, 0) AS trades, max(e.last) OVER (ORDER BY m.at) AS last
      FROM span s
     CROSS JOIN generate_series(
               greatest(date_trunc('month', fx.fx_day(s.since)::timestamp),
                        date_trunc('year', fx.fx_day(s.until)::timestamp) - interval '39 years'),
               date_trunc('month', fx.fx_day(s.until)::timestamp), interval '1 month') AS m (at)
      LEFT JOIN month_end e ON e.month = m.at
), earlier AS (
    -- what the first month shown begins with
    SELECT coalesce(max(p.equity), initial_balance) AS equity, coalesce(max(b.trades), 0) AS trades
      FROM (SELECT max(last) AS last, sum(trades) AS trades FROM month_end
             WHERE month < (SELECT min(month) FROM month)) AS b
      JOIN point p ON p.seq = b.last
), monthly AS (
    SELECT m.month, m.trades, coalesce(p.equity, b.equity) AS equity,
           lag(coalesce(p.equity, b.equity), 1, b.equity) OVER (ORDER BY m.month) AS begun
      FROM month m
     CROSS JOIN earlier b
      LEFT JOIN point p ON p.seq = m.last
), yearly AS (
    SELECT extract(year FROM month)::integer AS year, sum(trades) AS trades,
           (array_agg(begun ORDER BY month))[1] AS begun,
           (array_agg(equity ORDER BY month DESC))[1] AS equity,
           jsonb_object_agg(extract(month FROM month)::integer,
               jsonb_build_object('trades', trades, 'net', equity - begun,
                   'return', CASE WHEN begun > 0 THEN round((equity - begun) / begun, 8) END)) AS months
      FROM monthly
     GROUP BY 1
), years AS (
    SELECT jsonb_agg(jsonb_build_object(
               'year', year, 'trades', trades, 'net', equity - begun, 'months', months,
               'return', CASE WHEN begun > 0 THEN round((equity - begun) / begun, 8) END)
               ORDER BY year) AS rows
      FROM yearly
), bounds AS (
    -- single trades far away must not squeeze the others into one bin
    SELECT least(q[1], 0) AS low, greatest(q[2], 0) AS high,
           fx.nice_step(greatest(q[2], 0) - least(q[1], 0), 32) AS width
      FROM (SELECT percentile_disc(ARRAY[0.01, 0.99]) WITHIN GROUP (ORDER BY net) AS q FROM trade) AS p
), bin AS (
    SELECT CASE sign(net)
               WHEN 0 THEN 0
               WHEN 1 THEN least(greatest(ceil(net / width), 1), greatest(ceil(high / width), 1))
               ELSE greatest(least(floor(net / width), -1), least(floor(low / width), -1))
           END::integer AS n,
           count(*) AS trades, min(net) AS low, max(net) AS high
      FROM trade, bounds
     GROUP BY 1
), bins AS (
    SELECT jsonb_agg(jsonb_build_object('n', n, 'trades', trades, 'low', low, 'high', high)
                     ORDER BY n) AS rows
      FROM bin
), symbol_rank AS (
    SELECT symbol, pnl, row_number() OVER (ORDER BY abs(fx.net_profit(pnl)) DESC, symbol COLLATE "C") AS place
      FROM (SELECT symbol, fx.pnl_agg(net) AS pnl FROM trade GROUP BY symbol) AS s
), symbol_row AS (
    SELECT left(symbol, 64) AS symbol, place, 1 AS symbols, pnl FROM symbol_rank WHERE place <= 20
     UNION ALL
    SELECT NULL, 21, count(*), fx.rollup(pnl) FROM symbol_rank WHERE place > 20 HAVING count(*) > 0
), symbols AS (
    SELECT jsonb_agg(to_jsonb(fx.summary(pnl)) || jsonb_build_object(
               'name', symbol, 'symbols', symbols, 'place', place)
               ORDER BY place > 20, fx.net_profit(pnl) DESC, place) AS rows
      FROM symbol_row
), sides AS (
    SELECT jsonb_agg(to_jsonb(fx.summary(pnl)) || jsonb_build_object('name', side) ORDER BY side) AS rows
      FROM (SELECT side, fx.pnl_agg(net) AS pnl FROM trade GROUP BY side) AS s
), hours AS (
    SELECT jsonb_agg(jsonb_build_object('day', day, 'hour', hour, 'trades', n, 'net', net)
                     ORDER BY day, hour) AS rows
      FROM (SELECT extract(isodow FROM local)::integer AS day, extract(hour FROM local)::integer AS hour,
                   count(*) AS n, sum(net) AS net
              FROM (SELECT opened_at AT TIME ZONE 'America/New_York' AS local, net
                      FROM trade WHERE opened_at IS NOT NULL) AS l
             GROUP BY 1, 2) AS h
), best AS (
    SELECT t.*, 'best' AS list, row_number() OVER (ORDER BY net DESC, seq) AS place FROM trade t
     ORDER BY net DESC, seq LIMIT 10
), least_good AS (
    SELECT t.*, 'worst' AS list, row_number() OVER (ORDER BY net, seq) AS place FROM trade t
     ORDER BY net, seq LIMIT 10
), listed AS (
    SELECT jsonb_agg(jsonb_build_object(
               'list', list, 'place', place, 'seq', seq, 'symbol', left(symbol, 64), 'side', side,
               'quantity', left(quantity, 64), 'opened', opened_at, 'closed', closed_at,
               'commission', commission, 'swap', swap, 'net', net) ORDER BY list, place) AS rows
      FROM (SELECT * FROM best UNION ALL SELECT * FROM least_good) AS l
)
SELECT jsonb_build_object(
    'trades', s.trades, 'since', s.since, 'until', s.until, 'timed', s.timed,
    'initial', initial_balance,
    'curve', (SELECT points FROM curve),
    'drawdowns', coalesce((SELECT rows FROM drawdowns), '[]'),
    'years', coalesce((SELECT rows FROM years), '[]'),
    'earlier', (SELECT jsonb_build_object('trades', trades, 'equity', equity) FROM earlier),
    'width', (SELECT width FROM bounds),
    'bins', coalesce((SELECT rows FROM bins), '[]'),
    'symbols', coalesce((SELECT rows FROM symbols), '[]'),
    'sides', coalesce((SELECT rows FROM sides), '[]'),
    'hours', coalesce((SELECT rows FROM hours), '[]'),
    'listed', coalesce((SELECT rows FROM listed), '[]'))
  FROM span s
$$;

COMMENT ON FUNCTION tearsheet_data(jsonb, numeric)
    IS 'the figures of the charts and lists of fx.tearsheet as a JSON object, bounded for any number of trades: curve (at most 901 columns with their extremes), drawdowns, years (the last 40, by FX day), bins, symbols (20 and the rest together), sides, hours (New York), listed trades; money in account currency, rates as fractions, times in UTC; NULL for NULL; errors as fx.equity_points';

-- tear-sheet: text, numbers and axes
--
-- Everything that goes into a page is ASCII but for the user's own text, so
-- that these functions work in a database of any encoding.

-- XML forbids these control characters, and HTML calls them errors.
CREATE FUNCTION html_escape(value text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT regexp_replace(
               replace(replace(replace(replace(replace(value,
                   '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;'),
               '[\u0001-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffe\uffff]', '&#65533;', 'g')
$$;

COMMENT ON FUNCTION html_escape(text)
    IS 'text as content or quoted attribute of HTML or XML; control characters become U+FFFD; NULL for NULL';

CREATE FUNCTION html_clip(value text, length integer)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '<bdi>' || fx.html_escape(left(value, length))
        || CASE WHEN char_length(value) > length THEN '&#8230;' ELSE '' END || '</bdi>'
$$;

COMMENT ON FUNCTION html_clip(text, integer)
    IS 'at most so many characters of a text as HTML, isolated from the direction of the text around it; NULL for NULL';

CREATE FUNCTION html_money(value numeric)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN value IS NULL THEN '&#8211;'
        WHEN abs(value) >= 1000000000000000 THEN fx.html_short(value)
        ELSE CASE WHEN value < 0 THEN '&#8722;' ELSE '' END
          || CASE WHEN abs(value) >= 0.095 OR value = 0
                  THEN to_char(abs(value), 'FM999,999,999,999,999,990.00')
                  ELSE rtrim(to_char(abs(value), 'FM0.00000000'), '0') END
    END
$$;

COMMENT ON FUNCTION html_money(numeric)
    IS 'an amount of money for a page: two decimals, up to eight for less than a tenth, thousands separated; short from 10^15 on; a dash for NULL';

CREATE FUNCTION html_percent(value numeric, decimals integer DEFAULT 2)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN value IS NULL THEN '&#8211;'
        WHEN abs(value) >= 10000
        THEN CASE WHEN value < 0 THEN '&#8722;' ELSE '' END || fx.html_short(abs(value) * 100)
        ELSE CASE WHEN round(value * 100, decimals) < 0 THEN '&#8722;' ELSE '' END
          || to_char(abs(round(value * 100, decimals)), 'FM999,990.' || repeat('0', decimals))
    END
$$;

COMMENT ON FUNCTION html_percent(numeric, integer)
    IS 'a fraction as a percentage for a page, without the sign; short beyond a million percent; a dash for NULL';

CREATE FUNCTION html_number(value numeric, decimals integer DEFAULT 2)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN value IS NULL THEN '&#8211;'
        WHEN abs(value) >= 1000000000 THEN fx.html_short(value)
        ELSE CASE WHEN round(value, decimals) < 0 THEN '&#8722;' ELSE '' END
          || rtrim(to_char(abs(round(value, decimals)), 'FM999,999,990.' || repeat('0', decimals)), '.')
    END
$$;

COMMENT ON FUNCTION html_number(numeric, integer)
    IS 'a number for a page with so many decimals, thousands separated; short beyond a thousand million; a dash for NULL';

-- Three significant digits say enough on a cell of a heat-map.
CREATE FUNCTION html_short(value numeric)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN value IS NULL THEN '&#8211;'
        WHEN value < 0 THEN '&#8722;' || fx.html_short(-value)
        WHEN value >= 999500000000000
        THEN replace(trim(to_char(value, '9.99EEEE')), 'e+', 'e')
        WHEN value >= 999500000000 THEN trim_scale(round(value / 1000000000000, 1)) || 'T'
        WHEN value >= 999500000 THEN trim_scale(round(value / 1000000000, 1)) || 'B'
        WHEN value >= 999500 THEN trim_scale(round(value / 1000000, 1)) || 'M'
        WHEN value >= 10000 THEN round(value / 1000) || 'k'
        WHEN value >= 999.5 THEN trim_scale(round(value / 1000, 1)) || 'k'
        WHEN value >= 10 THEN round(value)::text
        WHEN value >= 0.1 THEN trim_scale(round(value, 1))::text
        WHEN value = 0 THEN '0'
        WHEN value >= 0.001 THEN trim_scale(round(value, 3))::text
        ELSE trim(to_char(value, '9EEEE'))
    END
$$;

COMMENT ON FUNCTION html_short(numeric)
    IS 'a number in few characters, such as 950, 1.2k or 3.4M, for a cell or an axis of a page; a dash for NULL';

-- The exact value goes along with what is shown of it, for machines.
CREATE FUNCTION html_data(value numeric, shown text)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('<data value="%s"%s>%s</data>', trim_scale(value),
                  CASE WHEN value < 0 THEN ' class="neg"' ELSE '' END, shown)
$$;

COMMENT ON FUNCTION html_data(numeric, text)
    IS 'HTML that shows a text for a number and carries the exact number; empty value for NULL';

CREATE FUNCTION nice_step(span numeric, parts integer)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT trim_scale(step)
      FROM (SELECT greatest(-8, floor(log(greatest(span, 0.00000001) / parts)))::integer AS exponent) AS e,
           unnest(ARRAY[1, 2, 5, 10, 20]) AS digit,
           LATERAL (SELECT digit * ('1e' || exponent)::numeric AS step) AS s
     WHERE step * parts >= span
     ORDER BY step
     LIMIT 1
$$;

COMMENT ON FUNCTION nice_step(numeric, integer)
    IS 'the smallest of 1, 2, 5 times a power of ten, not below 0.00000001, of which so many parts cover a span; NULL for NULL';

CREATE FUNCTION time_ticks(since timestamptz, until timestamptz, OUT tick timestamptz, OUT label text)
RETURNS SETOF record
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 8
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    WITH step AS (
        SELECT s.width::interval, s.start, s.shape
          FROM (VALUES
                   ('1 second', 'second', 'HH24:MI:SS'), ('10 seconds', 'minute', 'HH24:MI:SS'),
                   ('1 minute', 'minute', 'HH24:MI'), ('10 minutes', 'hour', 'HH24:MI'),
                   ('1 hour', 'hour', 'HH24:MI'), ('3 hours', 'day', 'HH24:MI'),
                   ('12 hours', 'day', 'DD Mon HH24:MI'), ('1 day', 'day', 'DD Mon'),
                   ('2 days', 'month', 'DD Mon'), ('7 days', 'week', 'DD Mon'),
                   ('14 days', 'week', 'DD Mon'), ('1 month', 'month', 'Mon YYYY'),
                   ('3 months', 'year', 'Mon YYYY'), ('6 months', 'year', 'Mon YYYY'),
                   ('1 year', 'year', 'YYYY'), ('2 years', 'decade', 'YYYY'),
                   ('5 years', 'decade', 'YYYY'), ('10 years', 'decade', 'YYYY'),
                   ('50 years', 'decade', 'YYYY'), ('200 years', 'decade', 'YYYY'),
                   ('1000 years', 'decade', 'YYYY'), ('2000 years', 'decade', 'YYYY')) AS s (width, start, shape)
         WHERE s.width::interval * 9 >= until - since
         ORDER BY s.width::interval
         LIMIT 1
    )
    SELECT at, to_char(at, step.shape)
      FROM step, generate_series(date_trunc(step.start, since), until, step.width) AS at
     WHERE at >= since
$$;

COMMENT ON FUNCTION time_ticks(timestamptz, timestamptz)
    IS 'up to ten round times, in UTC, between two times, with a label each, for the axis of a chart; none for NULL';

CREATE FUNCTION html_time(at timestamptz)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN at IS NULL THEN '&#8211;'
                ELSE format('<time datetime="%sZ">%s</time>',
                            to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS'),
                            to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')) END
$$;

COMMENT ON FUNCTION html_time(timestamptz)
    IS 'a time in UTC for a page, to the minute; a dash for NULL';

CREATE FUNCTION html_duration(seconds numeric)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN seconds IS NULL THEN '&#8211;'
        WHEN seconds >= 864000 THEN to_char(round(seconds / 86400), 'FM9,999,990') || ' d'
        WHEN seconds >= 86400
        THEN div(seconds, 86400) || ' d ' || div(seconds % 86400, 3600) || ' h'
        WHEN seconds >= 3600 THEN div(seconds, 3600) || ' h ' || div(seconds % 3600, 60) || ' min'
        WHEN seconds >= 60 THEN div(seconds, 60) || ' min'
        ELSE trim_scale(round(seconds, 1)) || ' s'
    END
$$;

COMMENT ON FUNCTION html_duration(numeric)
    IS 'a length of time, given in seconds, in its two largest units for a page; a dash for NULL';

CREATE FUNCTION html_row(cells text[])
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('<tr><th scope="row">', cells[1], '</th><td>',
                  array_to_string(cells[2:], '</td><td>', ''), '</td></tr>')
$$;

COMMENT ON FUNCTION html_row(text[])
    IS 'a row of a table from cells in HTML, the first of which names it; a NULL cell is empty; NULL for NULL';

CREATE FUNCTION html_table(class text, headings text[], rows text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('<div class="scroll"><table class="', class, E'">\n<thead><tr><th scope="col">',
                  array_to_string(headings, '</th><th scope="col">'),
                  E'</th></tr></thead><tbody>\n', rows, E'\n</tbody></table></div>')
$$;

COMMENT ON FUNCTION html_table(text, text[], text)
    IS 'a table that scrolls by itself where it is wider than the page, from headings and rows in HTML; NULL for NULL';

CREATE FUNCTION html_details(summary text, content text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat(E'\n<details><summary>', summary, '</summary>', content, '</details>')
$$;

COMMENT ON FUNCTION html_details(text, text)
    IS 'HTML content that is closed at first under a line that names it; NULL for NULL';

CREATE FUNCTION html_section(id text, class text, heading text, content text)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('<section class="card ', class, '" id="', id, '"><h2>', heading, E'</h2>\n', content, E'</section>\n')
$$;

COMMENT ON FUNCTION html_section(text, text, text, text)
    IS 'a part of a page with a heading, all in HTML; class is empty or wide; NULL content is empty';

-- tear-sheet: metrics and their definitions

-- What a key of fx.backtest_metrics looks like on a page.
CREATE FUNCTION html_metric(metrics jsonb, key text, shape text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    SELECT CASE
        WHEN shape = 'time' THEN fx.html_time((metrics ->> key)::timestamptz)
        WHEN shape = 'text' THEN coalesce(fx.html_clip(metrics ->> key, 24), '&#8211;')
        ELSE fx.html_data((metrics ->> key)::numeric, CASE shape
                 WHEN 'money' THEN fx.html_money((metrics ->> key)::numeric)
                 WHEN 'percent' THEN fx.html_percent((metrics ->> key)::numeric)
                     || CASE WHEN metrics ->> key IS NULL THEN '' ELSE '&#160;%' END
                 WHEN 'count' THEN fx.html_number((metrics ->> key)::numeric, 0)
                 WHEN 'length' THEN fx.html_duration((metrics ->> key)::numeric)
                 ELSE fx.html_number((metrics ->> key)::numeric)
             END)
    END
$$;

COMMENT ON FUNCTION html_metric(jsonb, text, text)
    IS 'a performance metric as HTML; shape is money, percent, count, number, length, time or text; a dash where it is null; NULL for NULL';

CREATE FUNCTION tearsheet_headline(metrics jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('<ul class="kpi" aria-label="Key figures">', E'\n',
                  string_agg(format('<li><span>%s</span><strong>%s</strong><small>%s</small></li>', k.label,
                                    fx.html_metric(metrics, k.key, k.shape), k.more), E'\n' ORDER BY k.place),
                  E'\n</ul>\n')
      FROM (VALUES
               (1, 'netProfit', 'Net profit', 'money', 'from ' || fx.html_money((metrics ->> 'initialBalance')::numeric)),
               (2, 'totalReturn', 'Total return', 'percent', 'of the starting balance'),
               (3, 'cagr', 'CAGR', 'percent', 'growth a year'),
               (4, 'maxDrawdownFraction', 'Max. drawdown', 'percent', 'deepest ' || fx.html_money((metrics ->> 'maxDrawdown')::numeric)),
               (5, 'sharpeRatio', 'Sharpe ratio', 'number', 'Sortino ' || fx.html_number((metrics ->> 'sortinoRatio')::numeric)),
               (6, 'profitFactor', 'Profit factor', 'number', 'payoff ratio ' || fx.html_number((metrics ->> 'payoffRatio')::numeric)),
               (7, 'winRate', 'Win rate', 'percent', fx.html_number((metrics ->> 'breakevenTrades')::numeric, 0) || ' break-even'),
               (8, 'totalTrades', 'Trades', 'count', 'expectancy ' || fx.html_money((metrics ->> 'expectancy')::numeric)))
           AS k (place, key, label, shape, more)
$$;

COMMENT ON FUNCTION tearsheet_headline(jsonb)
    IS 'the key figures of a tear-sheet as HTML, from fx.backtest_metrics; NULL for NULL';

CREATE FUNCTION tearsheet_metrics(metrics jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT fx.html_section('metrics', 'wide', 'All metrics',
               concat('<div class="columns">', string_agg(t.html, E'\n' ORDER BY t.place), '</div>'))
      FROM (SELECT min(m.place) AS place,
                   concat('<table><caption>', m.part, '</caption><tbody>', E'\n',
                          string_agg(format('<tr><th scope="row">%s</th><td id="%s">%s</td></tr>', m.label, m.key,
                                            fx.html_metric(metrics, m.key, m.shape)), E'\n' ORDER BY m.place),
                          '</tbody></table>') AS html
              FROM (VALUES
                  (1, 'Return', 'initialBalance', 'Starting balance', 'money'),
                  (2, 'Return', 'finalBalance', 'Final balance', 'money'),
                  (3, 'Return', 'netProfit', 'Net profit', 'money'),
                  (4, 'Return', 'grossProfit', 'Sum of winning trades', 'money'),
                  (5, 'Return', 'grossLoss', 'Sum of losing trades', 'money'),
                  (6, 'Return', 'totalCommission', 'Commission', 'money'),
                  (7, 'Return', 'totalSwap', 'Swap', 'money'),
                  (8, 'Return', 'totalReturn', 'Total return', 'percent'),
                  (9, 'Return', 'cagr', 'CAGR', 'percent'),
                  (20, 'Risk-adjusted', 'sharpeRatio', 'Sharpe ratio', 'number'),
                  (21, 'Risk-adjusted', 'sortinoRatio', 'Sortino ratio', 'number'),
                  (22, 'Risk-adjusted', 'calmarRatio', 'Calmar ratio', 'number'),
                  (23, 'Risk-adjusted', 'omegaRatio', 'Omega ratio', 'number'),
                  (24, 'Risk-adjusted', 'tailRatio', 'Tail ratio', 'number'),
                  (25, 'Risk-adjusted', 'recoveryFactor', 'Recovery factor', 'number'),
                  (26, 'Risk-adjusted', 'sqn', 'System quality number', 'number'),
                  (27, 'Risk-adjusted', 'kellyFraction', 'Kelly fraction', 'percent'),
                  (40, 'Risk', 'volatility', 'Volatility a year', 'percent'),
                  (41, 'Risk', 'maxDrawdown', 'Maximum drawdown', 'money'),
                  (42, 'Risk', 'maxDrawdownFraction', 'Maximum drawdown of peak', 'percent'),
                  (43, 'Risk', 'averageDrawdownFraction', 'Mean drawdown of peak', 'percent'),
                  (44, 'Risk', 'maxDrawdownPeakAt', 'Peak before it', 'time'),
                  (45, 'Risk', 'maxDrawdownTroughAt', 'Trough', 'time'),
                  (46, 'Risk', 'maxDrawdownRecoveredAt', 'Recovered', 'time'),
                  (47, 'Risk', 'longestDrawdownSeconds', 'Longest drawdown', 'length'),
                  (48, 'Risk', 'ulcerIndex', 'Ulcer index', 'percent'),
                  (49, 'Risk', 'valueAtRisk95', 'Value at risk, 95 %, a day', 'percent'),
                  (50, 'Risk', 'conditionalValueAtRisk95', 'Conditional value at risk', 'percent'),
                  (51, 'Risk', 'skewness', 'Skewness', 'number'),
                  (52, 'Risk', 'excessKurtosis', 'Excess kurtosis', 'number'),
                  (60, 'Trades', 'totalTrades', 'Trades', 'count'),
                  (61, 'Trades', 'winningTrades', 'Winning', 'count'),
                  (62, 'Trades', 'losingTrades', 'Losing', 'count'),
                  (63, 'Trades', 'breakevenTrades', 'Break-even', 'count'),
                  (64, 'Trades', 'winRate', 'Win rate', 'percent'),
                  (65, 'Trades', 'profitFactor', 'Profit factor', 'number'),
                  (66, 'Trades', 'payoffRatio', 'Payoff ratio', 'number'),
                  (67, 'Trades', 'expectancy', 'Expectancy', 'money'),
                  (68, 'Trades', 'expectancyRatio', 'Expectancy ratio', 'number'),
                  (69, 'Trades', 'averageTrade', 'Mean trade', 'money'),
                  (70, 'Trades', 'averageWin', 'Mean win', 'money'),
                  (71, 'Trades', 'averageLoss', 'Mean loss', 'money'),
                  (72, 'Trades', 'largestWin', 'Largest win', 'money'),
                  (73, 'Trades', 'largestLoss', 'Largest loss', 'money'),
                  (74, 'Trades', 'maxConsecutiveWins', 'Longest run of wins', 'count'),
                  (75, 'Trades', 'maxConsecutiveLosses', 'Longest run of losses', 'count'),
                  (80, 'Time', 'firstTradeAt', 'First trade', 'time'),
                  (81, 'Time', 'lastTradeAt', 'Last trade', 'time'),
                  (82, 'Time', 'averageHoldingSeconds', 'Mean holding', 'length'),
                  (83, 'Time', 'exposureFraction', 'Time in the market', 'percent'),
                  (84, 'Time', 'periodsPerYear', 'Days a year', 'number'),
                  (85, 'Time', 'definitions', 'Definitions', 'text')) AS m (place, part, key, label, shape)
             GROUP BY m.part) AS t
$$;

COMMENT ON FUNCTION tearsheet_metrics(jsonb)
    IS 'all of fx.backtest_metrics as HTML, each with its key as id; NULL for NULL';

CREATE FUNCTION tearsheet_definitions()
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT fx.html_section('definitions', 'wide', 'Definitions', concat('<dl class="definitions">',
               string_agg(format('<div><dt>%s</dt><dd>%s</dd></div>', d.term, d.meaning), E'\n' ORDER BY d.place),
               '</dl>'))
      FROM (VALUES
          (1, 'Net profit', 'profit &#8722; commission + swap, in account currency; wins, losses and every metric go by it. A break-even trade is neither a win nor a loss and counts in the win rate&#8217;s denominator.'),
          (2, 'Drawdown', 'distance of the equity from its peak so far, the starting balance included; positive. An episode runs from its peak to the first point at the peak again.'),
          (3, 'Daily returns', 'of the last equity of each FX day, which ends at 17:00 in New York, Monday to Friday, carried forward over days without trades.'),
          (4, 'Sharpe ratio', 'mean of the daily returns above the risk-free rate over their standard deviation (n &#8722; 1), times the root of the days a year.'),
          (5, 'Sortino ratio', 'the same mean over the root of the mean square of the returns below, over all days.'),
          (6, 'CAGR', 'final over starting balance to the power of 365.25 / calendar days, less 1. Calmar ratio: CAGR / maximum drawdown.'),
          (7, 'Profit factor', 'sum of winning over sum of losing trades. Payoff ratio: mean win / mean loss. Expectancy: net profit / trades.'),
          (8, 'Value at risk', 'the 5th percentile of the daily returns; conditional: the mean of those at or below it.'),
          (9, 'Ulcer index', 'root of the mean square of the daily drawdowns. Recovery factor: net profit / maximum drawdown.'),
          (10, 'A dash', 'the figure is not defined for these trades.')) AS d (place, term, meaning)
$$;

COMMENT ON FUNCTION tearsheet_definitions()
    IS 'the definitions of a tear-sheet as HTML; more in doc/metrics.md';

-- tear-sheet: style
--
-- Blue against orange is told apart by readers with any colour blindness, and
-- the numbers are always there.  A page is XML too: no < and no & in here.

CREATE FUNCTION tearsheet_style()
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT $css$
:root{--ink:#17222e;--soft:#566473;--rule:#e3e8ed;--paper:#fff;--back:#f3f5f7;--gain:#1f5fa8;--loss:#c2570c;--shade:#f6c9a4}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
header,main{max-width:1160px;margin:0 auto;padding:0 20px}
header{padding-top:32px}
.kind{margin:0;color:var(--soft);font-size:12px;font-weight:600;letter-spacing:.08em;text-transform:uppercase}
h1{margin:2px 0 12px;font-size:28px;line-height:1.25;font-weight:650;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{margin:0 0 4px;font-size:17px;line-height:1.3;font-weight:650}
h3{margin:18px 0 4px;font-size:13px;font-weight:600;color:var(--soft)}
bdi{overflow-wrap:anywhere}
dl{margin:0}dd{margin:0}
.facts{display:flex;flex-wrap:wrap;gap:6px 28px}
.facts dt,.kpi span{color:var(--soft);font-size:12px}
.facts dd{font-size:14px;font-weight:550}
.facts div{min-width:0;max-width:100%}
.kpi{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:12px;list-style:none;margin:24px 0 16px;padding:0}
.kpi li{background:var(--paper);border:1px solid var(--rule);border-radius:10px;padding:12px 16px;min-width:0}
.kpi span,.kpi strong,.kpi small{display:block;overflow-wrap:anywhere}
.kpi strong{font-size:23px;line-height:1.3;font-weight:650;letter-spacing:-.01em}
.kpi small{color:var(--soft);font-size:12px}
.neg{color:#a8480a}
.cards{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px;padding-bottom:40px}
.card{background:var(--paper);border:1px solid var(--rule);border-radius:10px;padding:18px 20px;min-width:0}
.wide{grid-column:1/-1}
.note,.empty{margin:0 0 10px;color:var(--soft);font-size:13px}
.empty{padding:12px 0}
.plot{position:relative;height:190px;margin:18px 10px 30px 62px}
.tall{height:300px;margin-top:28px}
.plot svg{display:block;width:100%;height:100%;overflow:visible}
.plot path,.plot polyline,.plot polygon{fill:none;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.plot .grid{stroke:var(--rule);stroke-width:1}
.plot .zero,.bar .zero{stroke:#8a97a5;stroke-width:1;vector-effect:non-scaling-stroke}
.plot .start{stroke:#6d7a88;stroke-width:1;stroke-dasharray:5 4}
.plot .line{stroke:var(--gain);stroke-width:1.7}
.plot .under{fill:#e9a673;fill-opacity:.55;stroke:var(--loss);stroke-width:1}
.shade{fill:var(--shade);fill-opacity:.4}
.gain{fill:var(--gain);background:var(--gain)}
.loss{fill:var(--loss);background:var(--loss)}
.even{fill:#8a97a5;background:#8a97a5}
.plot i{position:absolute;font-style:normal;font-size:11.5px;line-height:14px;color:var(--soft);white-space:nowrap}
.plot .y{right:100%;margin:-7px 8px 0 0}
.plot .x{top:100%;margin-top:7px;transform:translateX(-50%)}
.plot .first{transform:none}
.plot .last{transform:translateX(-100%)}
.plot .rank{top:-17px;transform:translateX(-50%);color:#a8480a;font-weight:650}
.scroll{position:relative;overflow-x:auto;max-width:100%}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{padding:5px 8px;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap}
th{font-weight:500}
thead th{color:var(--soft);font-size:12px;vertical-align:bottom}
th:first-child,caption,.listed th:nth-child(-n+4),.listed td:nth-child(-n+4){text-align:left}
tbody tr:last-child>*{border-bottom:0}
.costs tbody tr:last-child>*{border-top:1px solid #8a97a5;font-weight:650}
.bar{display:block;width:100%;height:12px}
.wide .groups td:nth-child(4){width:34%}
.bar{min-width:90px}
.card:not(.wide) .bar{min-width:48px}
.card:not(.wide) .groups td:nth-child(4){width:20%}
.card:not(.wide) .costs td:nth-child(4){width:auto}
.card:not(.wide) .costs td:nth-child(3){width:34%}
.card:not(.wide) .groups th,.card:not(.wide) .groups td{padding:5px 6px}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.heat td,.heat th{padding:6px 5px;text-align:center;border:2px solid var(--paper)}
.heat td{min-width:34px;border-radius:6px}
.heat th:first-child{text-align:left;padding-left:0;color:var(--soft)}
.heat td small{display:block;font-size:10.5px;line-height:1.1;opacity:.85}
.heat .total{font-weight:650}
.hours td,.hours th{padding:5px 1px;font-size:11.5px;min-width:30px}
.h0{background:#eef1f4}
.p1{background:#dde9f5}.p2{background:#b3cfea}.p3{background:#6fa6d8}.p4{background:#1f5fa8;color:#fff}
.n1{background:#fbe6d6}.n2{background:#f5c39b}.n3{background:#e7934f}.n4{background:#b04a06;color:#fff}
.shares{display:flex;height:10px;gap:2px;margin:4px 0 8px}
.shares span{flex:1 1 0;min-width:2px;border-radius:2px}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;margin:0;padding:0;font-size:13px}
.legend span{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:6px}
details{margin-top:10px;border-top:1px solid var(--rule);padding-top:8px;font-size:13px}
summary{cursor:pointer;color:var(--gain)}
.columns{columns:3 300px;column-gap:32px}
.columns table{break-inside:avoid;margin-bottom:18px}
caption{padding:0 0 4px;font-weight:650}
.columns th,.columns td{padding:4px 0}
.columns th{white-space:normal;padding-right:10px}
pre{margin:6px 0 0;padding:12px 14px;background:var(--back);border-radius:8px;font:12.5px/1.5 ui-monospace,"SF Mono",Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}
.definitions{columns:2 320px;column-gap:32px;font-size:13px}
.definitions div{break-inside:avoid;margin-bottom:10px}
.definitions dt{font-weight:650}
.definitions dd{color:var(--soft)}
@media (max-width:820px){.cards{grid-template-columns:minmax(0,1fr)}.kpi{grid-template-columns:repeat(2,minmax(0,1fr))}}
@media (max-width:560px){header,main{padding-left:12px;padding-right:12px}header{padding-top:20px}h1{font-size:22px}.card{padding:14px 12px}.kpi strong{font-size:19px}.kpi li{padding:10px 12px}.tall{height:220px}.plot{margin-left:52px}.plot .x:nth-of-type(even){display:none}}
@page{margin:12mm}
@media print{body{background:#fff;font-size:12px;-webkit-print-color-adjust:exact;print-color-adjust:exact}header,main{max-width:none;padding:0}.card,.kpi li{border-color:#c9d1d9}.plot,tr,li{break-inside:avoid}h2,h3{break-after:avoid}.scroll{overflow:visible}summary{color:var(--soft);list-style:none}details::details-content{display:block;content-visibility:visible;block-size:auto}table{font-size:11px}.heat td,.heat th{padding:3px 1px;min-width:0;font-size:10px}.hours td,.hours th{font-size:8px}.heat td small{font-size:7px}.kpi{grid-template-columns:repeat(4,minmax(0,1fr));margin:14px 0}.tall{height:210px}.plot{height:150px}.tall.plot{height:210px}.plot .rank{top:2px}.cards{display:block}.card{margin-bottom:12px}}
$css$
$$;

COMMENT ON FUNCTION tearsheet_style()
    IS 'the style sheet of a tear-sheet';

-- tear-sheet: groups and lists

-- A bar from zero, in a cell; low and high are the ends of all bars of a table.
CREATE FUNCTION html_bar(value numeric, low numeric, high numeric)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('<svg class="bar" viewBox="0 0 200 10" preserveAspectRatio="none" aria-hidden="true">',
                  format('<rect class="%s" x="%s" y="0" width="%s" height="10"/><path class="zero" d="M%s 0V10"/></svg>',
                         CASE WHEN value < 0 THEN 'loss' ELSE 'gain' END,
                         round((least(value, 0) - s.low) * 200 / s.span, 1),
                         round(abs(value) * 200 / s.span, 1), round(-s.low * 200 / s.span, 1)))
      FROM (SELECT least(html_bar.low, 0) AS low,
                   coalesce(nullif(greatest(high, 0) - least(html_bar.low, 0), 0), 1) AS span) AS s
$$;

COMMENT ON FUNCTION html_bar(numeric, numeric, numeric)
    IS 'a bar for a value on an axis from low (or zero) to high (or zero), as SVG';

-- Rows of groups of trades, as summaries of fx.pnl with a name.
CREATE FUNCTION html_groups(groups jsonb, head text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT fx.html_table('groups',
               ARRAY[head, 'Trades', 'Net profit', '<span class="hidden">Net profit as a bar</span>',
                     'Win rate, %', 'Profit factor', 'Mean trade'],
               string_agg(fx.html_row(ARRAY[
                   CASE WHEN g.symbols > 1 THEN fx.html_number(g.symbols, 0) || ' others'
                        ELSE coalesce(fx.html_clip(g.name, 24), '<em>not stated</em>') END,
                   fx.html_number(g.trade_count, 0), fx.html_data(g.net_profit, fx.html_money(g.net_profit)),
                   fx.html_bar(g.net_profit, g.low, g.high), fx.html_percent(g.win_rate, 1),
                   fx.html_number(g.profit_factor), fx.html_money(g.expectancy)]), E'\n' ORDER BY g.place))
      FROM (SELECT g.*, min(net_profit) OVER () AS low, max(net_profit) OVER () AS high
              FROM ROWS FROM (jsonb_to_recordset(groups)
                       AS (name text, symbols numeric, trade_count numeric, net_profit numeric,
                           win_rate numeric, profit_factor numeric, expectancy numeric))
                   WITH ORDINALITY AS g (name, symbols, trade_count, net_profit, win_rate, profit_factor,
                                         expectancy, place)) AS g
$$;

COMMENT ON FUNCTION html_groups(jsonb, text)
    IS 'a table of groups of trades with bars and counts, as HTML; head names the groups; NULL for no group';

CREATE FUNCTION tearsheet_hours(data jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH cell AS (
        SELECT c.*, max(abs(net)) OVER () AS largest
          FROM jsonb_to_recordset(data -> 'hours') AS c (day integer, hour integer, trades bigint, net numeric)
    ), day AS (
        SELECT w.day, w.name, sum(c.trades) AS trades, sum(c.net) AS net,
               string_agg(CASE WHEN c.trades IS NULL THEN '<td class="z"></td>'
                               ELSE format('<td class="%s">%s<small>%s</small></td>',
                                           fx.heat_class(c.net, c.largest), fx.html_short(c.net), c.trades)
                          END, '' ORDER BY h.hour) AS cells
          FROM unnest(ARRAY['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun']) WITH ORDINALITY AS w (name, day)
         CROSS JOIN generate_series(0, 23) AS h (hour)
          LEFT JOIN cell c ON c.day = w.day AND c.hour = h.hour
         GROUP BY w.day, w.name
        HAVING sum(c.trades) > 0
    )
    SELECT fx.html_table('heat hours',
               ARRAY['New York'] || ARRAY(SELECT to_char(h, 'FM00') FROM generate_series(0, 23) AS h ORDER BY h) || ARRAY['Day'],
               string_agg(format('<tr><th scope="row">%s</th>%s<td class="total">%s<small>%s</small></td></tr>',
                                 d.name, d.cells, fx.html_short(d.net), d.trades), E'\n' ORDER BY d.day))
      FROM day d
$$;

COMMENT ON FUNCTION tearsheet_hours(jsonb)
    IS 'heat-map by weekday and hour in New York of a tear-sheet as HTML, from fx.tearsheet_data; NULL where trades have no times, and for NULL';

CREATE FUNCTION tearsheet_costs(metrics jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH total AS (
        SELECT m.*
          FROM jsonb_to_record(metrics)
                   AS m ("netProfit" numeric, "totalCommission" numeric, "totalSwap" numeric, "totalTrades" numeric)
    ), part AS (
        -- from what the market gave to what was kept
        SELECT p.*, min(value) OVER () AS low, max(value) OVER () AS high, nullif(t."totalTrades", 0) AS trades
          FROM total t,
               LATERAL (VALUES
                   (1, 'Profit before costs', "netProfit" + "totalCommission" - "totalSwap"),
                   (2, 'Commission', -"totalCommission"),
                   (3, 'Swap', "totalSwap"),
                   (4, 'Net profit', "netProfit")) AS p (place, label, value)
    )
    SELECT fx.html_table('groups costs',
               ARRAY['Part', 'Amount', '<span class="hidden">Amount as a bar</span>', 'A trade'],
               string_agg(fx.html_row(ARRAY[label, fx.html_data(value, fx.html_money(value)), fx.html_bar(value, low, high),
                                            fx.html_money(round(value / trades, 8))]), E'\n' ORDER BY place))
      FROM part
$$;

COMMENT ON FUNCTION tearsheet_costs(jsonb)
    IS 'the way from profit before costs to net profit as a table in HTML, from fx.backtest_metrics; NULL for NULL';

CREATE FUNCTION tearsheet_groups(data jsonb, metrics jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat(
        fx.html_section('symbols', 'wide', 'By symbol', coalesce(fx.html_groups(data -> 'symbols', 'Symbol'), n.none)),
        fx.html_section('hours', 'wide', 'By weekday and hour of opening', coalesce(
            concat('<p class="note">Net profit, and below it the number of trades; New York time. ',
                   'A trade without a time of opening counts at its closing.</p>', E'\n')
                || fx.tearsheet_hours(data),
            CASE WHEN data ->> 'trades' = '0' THEN n.none
                 ELSE '<p class="empty">The trades have no times, so there are no hours to show.</p>' END)),
        fx.html_section('sides', '', 'Long and short', coalesce(fx.html_groups(data -> 'sides', 'Side'), n.none)),
        fx.html_section('costs', '', 'Costs', fx.tearsheet_costs(metrics)))
      FROM (SELECT '<p class="empty">No trades.</p>' AS none) AS n
$$;

COMMENT ON FUNCTION tearsheet_groups(jsonb, jsonb)
    IS 'profit by symbol, weekday and hour, side, and the costs, of a tear-sheet as HTML, from fx.tearsheet_data and fx.backtest_metrics; NULL for NULL';

CREATE FUNCTION tearsheet_drawdowns(data jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    WITH episode AS (
        SELECT d.*
          FROM ROWS FROM (jsonb_to_recordset(data -> 'drawdowns')
                   AS (peak timestamptz, trough timestamptz, recovery timestamptz, started boolean,
                       peak_seq integer, trough_seq integer, recovery_seq integer, last_seq integer,
                       depth numeric, fraction numeric, seconds numeric))
               WITH ORDINALITY AS d (peak, trough, recovery, started, peak_seq, trough_seq, recovery_seq,
                                     last_seq, depth, fraction, seconds, place)
    )
    SELECT fx.html_section('drawdowns', 'wide', 'Ten worst drawdowns', coalesce(
               fx.html_table('listed',
                   ARRAY['#', CASE WHEN max(trough) IS NULL THEN 'Peak' ELSE 'Peak (UTC)' END, 'Trough', 'Recovery',
                         'Depth, %', 'Depth', 'Length', 'Trades'],
                   string_agg(fx.html_row(ARRAY[
                       place::text,
                       CASE WHEN peak IS NOT NULL THEN fx.html_time(peak) || CASE WHEN started THEN ' (start)' ELSE '' END
                            WHEN started THEN 'start' ELSE 'no. ' || peak_seq END,
                       CASE WHEN trough IS NOT NULL THEN fx.html_time(trough) ELSE 'no. ' || trough_seq END,
                       CASE WHEN recovery IS NOT NULL THEN fx.html_time(recovery)
                            ELSE coalesce('no. ' || recovery_seq, 'open') END,
                       fx.html_percent(fraction), fx.html_data(depth, fx.html_money(depth)),
                       fx.html_duration(seconds), fx.html_number(last_seq - peak_seq, 0)]), E'\n' ORDER BY place)),
               '<p class="empty">The equity never fell below its peak.</p>'))
      FROM episode
$$;

COMMENT ON FUNCTION tearsheet_drawdowns(jsonb)
    IS 'the worst drawdowns of a tear-sheet as HTML, from fx.tearsheet_data; NULL for NULL';

CREATE FUNCTION tearsheet_trades(data jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    WITH trade AS (
        SELECT t.*
          FROM jsonb_to_recordset(data -> 'listed')
                   AS t (list text, place integer, seq integer, symbol text, side text, quantity text,
                         closed timestamptz, commission numeric, swap numeric, net numeric)
    ), list AS (
        SELECT l.place, l.list, fx.html_table('listed',
                   ARRAY['#', CASE WHEN max(t.closed) IS NULL THEN 'Trade' ELSE 'Closed (UTC)' END, 'Symbol', 'Side',
                         'Quantity', 'Commission', 'Swap', 'Net profit'],
                   string_agg(fx.html_row(ARRAY[
                       t.place::text, CASE WHEN t.closed IS NOT NULL THEN fx.html_time(t.closed) ELSE 'no. ' || t.seq END,
                       coalesce(fx.html_clip(t.symbol, 24), '&#8211;'), t.side,
                       coalesce(fx.html_clip(t.quantity, 24), '&#8211;'), fx.html_money(t.commission),
                       fx.html_money(t.swap), fx.html_data(t.net, fx.html_money(t.net))]), E'\n' ORDER BY t.place)) AS html
          FROM (VALUES (1, 'best'), (2, 'worst')) AS l (place, list)
          LEFT JOIN trade t USING (list)
         GROUP BY l.place, l.list
    )
    SELECT string_agg(fx.html_section(list, 'wide', format('Ten %s trades', list),
                                      CASE WHEN data ->> 'trades' = '0' THEN '<p class="empty">No trades.</p>' ELSE html END),
                      '' ORDER BY place)
      FROM list
$$;

COMMENT ON FUNCTION tearsheet_trades(jsonb)
    IS 'the best and worst trades of a tear-sheet as HTML, from fx.tearsheet_data; NULL for NULL';

-- sparklines

CREATE FUNCTION sparkline(series double precision[])
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    low float8;
    high float8;
    bad bigint;
    scaled float8[] := series;
BEGIN
    IF array_ndims(series) > 1 THEN
        RAISE EXCEPTION 'argument "series" must have one dimension'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It has %s.', array_ndims(series));
    END IF;

    SELECT min(s.value), max(s.value),
           min(s.n) FILTER (WHERE s.value IN ('NaN', 'Infinity', '-Infinity'))
      INTO low, high, bad
      FROM unnest(series) WITH ORDINALITY AS s (value, n);
    IF bad IS NOT NULL THEN
        RAISE EXCEPTION 'argument "series" must hold finite numbers'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Its element number %s is not.', bad);
    END IF;

    -- width_bucket() multiplies the span, which must stay within a double; then
    -- what is below one is nothing, and must not underflow
    IF greatest(high, -low) > 1e307 THEN
        scaled := ARRAY(SELECT CASE WHEN abs(s.value) < 1 THEN 0 ELSE s.value / 32 END
                          FROM unnest(series) WITH ORDINALITY AS s (value, n) ORDER BY s.n);
        low := CASE WHEN abs(low) < 1 THEN 0 ELSE low / 32 END;
        high := CASE WHEN abs(high) < 1 THEN 0 ELSE high / 32 END;
    END IF;

    RETURN (SELECT coalesce(string_agg(
                       CASE WHEN s.value IS NULL THEN ' '
                            WHEN low = high THEN chr(9604)
                            ELSE chr(9600 + least(8, width_bucket(s.value, low, high, 8))) END, '' ORDER BY s.n), '')
              FROM unnest(scaled) WITH ORDINALITY AS s (value, n));
END
$$;

COMMENT ON FUNCTION sparkline(double precision[])
    IS 'a line of block characters, U+2581 for the lowest to U+2588 for the highest of a series, one an element; a space for a NULL element; U+2584 for all of a constant series; empty for an empty array; NULL for NULL; errors: 22023 NaN, infinity or more than one dimension, 54000 in a database whose encoding lacks the characters';

-- trades

CREATE FUNCTION trade_performance(user_id uuid, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (
    symbol text,
    trade_count bigint,
    total_profit numeric,
    avg_profit numeric,
    win_rate float8,
    net_profit numeric,
    commission numeric,
    swap numeric,
    net_win_count bigint,
    net_loss_count bigint,
    net_breakeven_count bigint,
    net_gross_profit numeric,
    net_gross_loss numeric,
    net_average_win numeric,
    net_average_loss numeric,
    net_largest_win numeric,
    net_largest_loss numeric,
    net_expectancy numeric,
    net_win_rate float8,
    net_profit_factor float8,
    net_payoff_ratio float8,
    net_stddev float8
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- PL/pgSQL keeps the plan, which takes longer to make than it takes to run
    -- for a user of few trades
    RETURN QUERY
    SELECT g.symbol,
           g.trade_count,
           fx.net_profit(g.gross),
           fx.net_profit(g.gross) / fx.trade_count(g.gross),
           coalesce(fx.win_count(g.gross), 0)::float8 / g.trade_count,
           n.net_profit, n.commission, n.swap,
           n.win_count, n.loss_count, n.breakeven_count,
           n.gross_profit, n.gross_loss, n.average_win, n.average_loss,
           n.largest_win, n.largest_loss, n.expectancy,
           n.win_rate, n.profit_factor, n.payoff_ratio, n.stddev
      FROM (SELECT t.symbol::text AS symbol,
                   count(*) AS trade_count,
                   fx.pnl_agg(t.profit) AS gross,
                   fx.pnl_agg(t.profit, t.commission, t.swap) AS net
              FROM fx.trades t
             WHERE t.user_id = trade_performance.user_id
               AND t.status = 'executed'
               AND NOT t.is_backtest
               AND t.executed_at >= coalesce(since, '-infinity')
               AND (until IS NULL OR t.executed_at < until)
             GROUP BY t.symbol) g
      LEFT JOIN LATERAL fx.summary(g.net) n ON true
     ORDER BY 3 DESC NULLS LAST, g.symbol;
END
$$;

COMMENT ON FUNCTION trade_performance(uuid, timestamptz, timestamptz)
    IS 'executed trades of a user by symbol, most profitable first, without those of backtests; the first five columns go by gross profit as the platform''s query does, those with "net" by profit - commission + swap; money in account currency, rates as fractions, NULL where undefined; executed_at from since to until, until excluded, NULL without bound; no row for a NULL user';

-- A backtest's trade stays one when backtest_id is cleared.
CREATE FUNCTION mark_backtest_trade()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.is_backtest := true;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION mark_backtest_trade()
    IS 'trigger, BEFORE INSERT OR UPDATE FOR EACH ROW on fx.trades: sets is_backtest';

-- In C, because it runs for every trade of a strategy
CREATE FUNCTION guard_references()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_guard_references';

COMMENT ON FUNCTION guard_references()
    IS 'trigger, BEFORE INSERT OR UPDATE FOR EACH ROW, arguments: the column that refers to a strategy and, optionally, that which refers to a backtest; refuses (23503) a backtest of another user than user_id, and a strategy of another user unless it is public';

-- P&L of a user's trades by what they have in common

CREATE FUNCTION pnl_report(
    user_id uuid,
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    "by" text DEFAULT 'symbol')
RETURNS TABLE (
    group_key text,
    trade_count bigint,
    win_count bigint,
    loss_count bigint,
    breakeven_count bigint,
    gross_profit numeric,
    gross_loss numeric,
    commission numeric,
    swap numeric,
    net_profit numeric,
    average_profit numeric,
    average_win numeric,
    average_loss numeric,
    largest_win numeric,
    largest_loss numeric,
    expectancy numeric,
    win_rate float8,
    profit_factor float8,
    payoff_ratio float8,
    stddev float8
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- what to group by, and what groups with an order of their own are sorted by
    grouping text;
    sorting text := 'NULL';
BEGIN
    IF "by" IS NULL THEN
        RAISE EXCEPTION 'argument "by" must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    CASE "by"
        WHEN 'fx_day', 'day' THEN
            grouping := $q$to_char(fx.fx_day(t.executed_at), 'YYYY-MM-DD')$q$;
            sorting := 'min(t.executed_at)';
        WHEN 'week' THEN
            grouping := $q$to_char(fx.fx_day(t.executed_at), 'IYYY-"W"IW')$q$;
            sorting := 'min(t.executed_at)';
        WHEN 'month' THEN
            grouping := $q$to_char(fx.fx_day(t.executed_at), 'YYYY-MM')$q$;
            sorting := 'min(t.executed_at)';
        WHEN 'weekday' THEN
            grouping := $q$to_char(fx.fx_day(t.executed_at), 'FMDay')$q$;
            sorting := 'min(extract(isodow FROM fx.fx_day(t.executed_at)))';
        WHEN 'hour' THEN
            grouping := $q$to_char(t.executed_at AT TIME ZONE 'America/New_York', 'HH24')$q$;
            sorting := $q$min(extract(hour FROM t.executed_at AT TIME ZONE 'America/New_York'))$q$;
        WHEN 'symbol' THEN
            grouping := 't.symbol';
        WHEN 'strategy' THEN
            grouping := 't.strategy_id';
        WHEN 'side' THEN
            grouping := 't.type';
        WHEN 'reason_code' THEN
            grouping := 't.reason_code';
        ELSE
            -- 16 characters are at most 64 bytes
            RAISE EXCEPTION 'argument "by" must not be "%"', left("by", 16)
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Valid values are symbol, strategy, fx_day, week, month, weekday, hour, side and reason_code.';
    END CASE;

    -- the texts above are all that is put into the statement
    RETURN QUERY EXECUTE format($q$
        SELECT g.group_key::text, s.*
          FROM (SELECT %s AS group_key, %s AS place,
                       fx.pnl_agg(t.profit, t.commission, t.swap) AS pnl
                  FROM fx.trades t
                 WHERE t.user_id = $1
                   AND t.status = 'executed'
                   AND NOT t.is_backtest
                   AND t.executed_at >= coalesce($2, '-infinity')
                   AND ($3 IS NULL OR t.executed_at < $3)
                 GROUP BY 1) g
         CROSS JOIN LATERAL fx.summary(g.pnl) s
         WHERE g.pnl IS NOT NULL
         ORDER BY g.place, s.net_profit DESC, g.group_key$q$, grouping, sorting)
        USING pnl_report.user_id, since, until;
END
$$;

COMMENT ON FUNCTION pnl_report(uuid, timestamptz, timestamptz, text)
    IS 'net P&L (profit - commission + swap) of a user''s executed trades by symbol, strategy (id), fx_day (or day), week (ISO), month, weekday (all of the FX day), hour (New York), side or reason_code, without those of backtests and those without profit; one row a group, times in their order, others by net profit; columns as fx.pnl_summary; executed_at from since to until, until excluded, NULL without bound; no row for a NULL user; errors: 22004 NULL by, 22023 any other by';

-- metrics of a strategy's live trades

CREATE FUNCTION strategy_metrics(
    strategy_id uuid,
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    initial_balance numeric DEFAULT NULL,
    risk_free_rate float8 DEFAULT 0,
    periods_per_year float8 DEFAULT 252)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    preferences jsonb;
    gathered fx.equity;
BEGIN
    IF strategy_id IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT u.preferences INTO preferences
      FROM fx.strategies s JOIN fx.users u ON u.id = s.user_id
     WHERE s.id = strategy_metrics.strategy_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'strategy "%" does not exist', strategy_id
            USING ERRCODE = 'no_data_found';
    END IF;

    SELECT fx.equity_agg(t.closed_at, t.profit, t.commission, t.swap, t.executed_at) INTO gathered
      FROM fx.trades t
     WHERE t.strategy_id = strategy_metrics.strategy_id
       AND t.status = 'executed'
       AND NOT t.is_backtest
       AND (since IS NULL OR coalesce(t.closed_at, t.executed_at) >= since)
       AND (until IS NULL OR coalesce(t.closed_at, t.executed_at) < until);

    initial_balance := coalesce(
        initial_balance, nullif(fx.account_initial_balance(preferences), 0), 10000);
    IF gathered IS NULL THEN
        RETURN fx.backtest_metrics(jsonb '[]', initial_balance, risk_free_rate, periods_per_year);
    END IF;
    RETURN fx.backtest_metrics(gathered, initial_balance, risk_free_rate, periods_per_year);
END
$$;

COMMENT ON FUNCTION strategy_metrics(uuid, timestamptz, timestamptz, numeric, float8, float8)
    IS 'the metrics of fx.backtest_metrics for the executed trades of a strategy that have a profit, without those of backtests; by closing time (executed_at without one) from since to until, until excluded, NULL without bound; initial_balance NULL: the account''s, else 10000; NULL for a NULL strategy; errors: P0002 no such strategy, those of fx.backtest_metrics';

-- lifecycle of trades
--
-- In C, because they run for every trade.

CREATE FUNCTION guard_trade()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_guard_trade';

COMMENT ON FUNCTION guard_trade()
    IS 'trigger, BEFORE INSERT OR UPDATE FOR EACH ROW on fx.trades: pending goes to executed, cancelled or rejected, executed to closed (closed_at is set), nothing goes back; of an executed trade user_id, symbol, type, quantity, executed_at and the price, once it is known, stay as they are; open_quantity, profit_source, position_method and conversion_* are the platform''s, close_price comes with closed_at, and that not while the trade is pending; a profit that the application writes over a computed one makes it the application''s; trades of backtests are free; errors: XF003 an illegal change, 22008 a time that is not finite';

CREATE FUNCTION apply_trade_risk()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_apply_trade_risk';

COMMENT ON FUNCTION apply_trade_risk()
    IS 'trigger, AFTER INSERT, UPDATE or DELETE FOR EACH STATEMENT on fx.trades with transition tables, and AFTER TRUNCATE: books executions and closings in fx.accounts, fx.positions and fx.closures, row by row in order, and refuses what limits of the user do not allow; what was removed is taken out by fx.rebuild_risk_state; errors: XF001 refused by limits, XF002 the account is halted or may only reduce positions, XF004 the profit of a closing cannot be computed, 40001 the account has changed since the snapshot (REPEATABLE READ and SERIALIZABLE), 55000 and 0A000 one statement does to trades what takes two';

REVOKE ALL ON FUNCTION guard_trade() FROM PUBLIC;
REVOKE ALL ON FUNCTION apply_trade_risk() FROM PUBLIC;

-- closing a trade

CREATE FUNCTION close_trade(
    trade_id uuid,
    close_price numeric,
    closed_at timestamptz DEFAULT NULL,
    commission numeric DEFAULT 0,
    swap numeric DEFAULT NULL,
    quantity numeric DEFAULT NULL)
RETURNS numeric
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_close_trade';

COMMENT ON FUNCTION close_trade(uuid, numeric, timestamptz, numeric, numeric, numeric)
    IS 'closes an executed trade, or quantity units of it, at a price and returns what this brought, gross, in the account''s currency: realized in the quote currency against the average price of the position (netting) or the trade''s own (fifo, hedging), converted at the rate of closed_at (NULL: now), rounded once to eight decimals; rate, pair and time are kept in the trade and in fx.closures; commission (NULL: 0) and swap are added to those of the trade, swap NULL is computed from the points of the instrument for the nights from executed_at to closed_at; errors: 22004 no trade or price, 22023 no such trade (that the caller may see and update), one of a backtest, or an argument out of range, XF002 the account is halted, XF003 the trade is not open, or not the oldest of a fifo account, XF004 no rate or cost is known';

REVOKE ALL ON FUNCTION close_trade(uuid, numeric, timestamptz, numeric, numeric, numeric) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION close_trade(uuid, numeric, timestamptz, numeric, numeric, numeric) TO fx_app, fx_user;

-- accounts

CREATE FUNCTION account_currency(preferences jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
               WHEN jsonb_typeof(preferences -> 'accountCurrency') = 'string'
                    AND upper(preferences ->> 'accountCurrency') ~ '^[A-Z0-9]{3,10}$'
               THEN upper(preferences ->> 'accountCurrency')
               ELSE 'USD'
           END
$$;

COMMENT ON FUNCTION account_currency(jsonb)
    IS 'currency of an account, from key accountCurrency of users.preferences, in upper case; USD when it is absent or not a code of three to ten letters and digits';

CREATE FUNCTION trading_periods(
    time_zone text,
    day_cutoff time,
    at timestamptz DEFAULT now(),
    OUT day date,
    OUT day_started_at timestamptz,
    OUT day_ends_at timestamptz,
    OUT week_started_at timestamptz,
    OUT month_started_at timestamptz)
LANGUAGE C
STABLE STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_trading_periods';

COMMENT ON FUNCTION trading_periods(text, time, timestamptz)
    IS 'the trading day, week and month that a time is in, for accounts whose days start at day_cutoff by the clock of time_zone: day is its name, which for a cut at or after 12:00 is the date that follows (17:00 in New York on Sunday starts Monday); weeks start with the day named Monday, months with that named the 1st; a cut that the clock skips is the moment at which it goes on; NULLs for NULL; errors: 22023 no such time zone, 24:00, a time that is not finite, 22008 out of range';

CREATE FUNCTION open_account()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_open_account';

REVOKE ALL ON FUNCTION open_account() FROM PUBLIC;

COMMENT ON FUNCTION open_account()
    IS 'trigger, AFTER INSERT FOR EACH ROW on fx.users: makes the row of fx.accounts, with the currency and initial balance of the preferences';

CREATE FUNCTION follow_preferences()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_follow_preferences';

REVOKE ALL ON FUNCTION follow_preferences() FROM PUBLIC;

COMMENT ON FUNCTION follow_preferences()
    IS 'trigger, AFTER UPDATE FOR EACH ROW on fx.users: takes a change of accountCurrency or initialBalance over to the account, whose balance, high-water marks and values at the start of day, week and month move by the difference; error XF003 when the currency of an account with trades or cash flows would change';

CREATE FUNCTION guard_account()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_guard_account';

REVOKE ALL ON FUNCTION guard_account() FROM PUBLIC;

COMMENT ON FUNCTION guard_account()
    IS 'trigger, BEFORE UPDATE FOR EACH ROW on fx.accounts: lets SQL change trading_state and state_reason (noted in fx.risk_events), time_zone and day_cutoff (the current day then ends at the next cut of the new clock), initial_balance (all that counts from it moves along), position_method while nothing is open, and currency while there are neither trades nor cash flows; errors: XF003 any other column, or not now, 22023 no such time zone';

CREATE FUNCTION lock_account(user_id uuid)
RETURNS void
LANGUAGE C
STRICT
AS 'MODULE_PATHNAME', 'fx_lock_account';

COMMENT ON FUNCTION lock_account(uuid)
    IS 'locks the account of a user to the end of the transaction, as every trade does, and opens it when it is missing; nothing for NULL; errors: 23503 no such user, 40001 the account has changed since the snapshot of a REPEATABLE READ transaction';

-- cash flows

CREATE FUNCTION apply_cash_flow()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_apply_cash_flow';

REVOKE ALL ON FUNCTION apply_cash_flow() FROM PUBLIC;

COMMENT ON FUNCTION apply_cash_flow()
    IS 'trigger, AFTER INSERT FOR EACH ROW on fx.cash_flows: adds the amount, negative for a withdrawal, to balance and net_deposits of the account and moves its high-water marks along; error 22023 when more is withdrawn than the balance';

CREATE FUNCTION guard_cash_flow()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- they go with their user
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM fx.users u WHERE u.id = OLD.user_id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'cash flows cannot be changed'
        USING ERRCODE = 'XF003',
              HINT = 'Insert one with the opposite amount.';
END
$$;

COMMENT ON FUNCTION guard_cash_flow()
    IS 'trigger, BEFORE UPDATE OR DELETE FOR EACH ROW on fx.cash_flows: refuses both with XF003, but for the deletion that follows that of the user';

-- The amount of a deposit or withdrawal, rounded as it is stored.
CREATE FUNCTION cash_amount(user_id uuid, amount numeric)
RETURNS numeric
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF user_id IS NULL OR amount IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN user_id IS NULL THEN 'user_id' ELSE 'amount' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF amount IN ('NaN', 'Infinity', '-Infinity') THEN
        RAISE EXCEPTION 'argument "amount" must be finite'
            USING ERRCODE = 'numeric_value_out_of_range';
    END IF;
    IF round(amount, 8) <= 0 THEN
        RAISE EXCEPTION 'argument "amount" must be greater than zero'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN round(amount, 8);
END
$$;

COMMENT ON FUNCTION cash_amount(uuid, numeric)
    IS 'an amount of fx.deposit or fx.withdraw, at eight decimals; errors: 22004 NULL, 22003 not finite, 22023 not above zero';

CREATE FUNCTION deposit(user_id uuid, amount numeric, reason text DEFAULT NULL)
RETURNS numeric
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO fx.cash_flows (user_id, amount, reason)
    VALUES (deposit.user_id, fx.cash_amount(deposit.user_id, deposit.amount), deposit.reason);
    RETURN (SELECT a.balance FROM fx.accounts a WHERE a.user_id = deposit.user_id);
END
$$;

COMMENT ON FUNCTION deposit(uuid, numeric, text)
    IS 'pays an amount in account currency into the account of a user, as a row of fx.cash_flows, and returns the new balance; it is no profit: high-water marks and the bounds of loss limits move along; errors: 22004 NULL, 22003 not finite or too large, 22023 not greater than zero when rounded to eight decimals, 23503 no such user';

CREATE FUNCTION withdraw(user_id uuid, amount numeric, reason text DEFAULT NULL)
RETURNS numeric
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO fx.cash_flows (user_id, amount, reason)
    VALUES (withdraw.user_id, - fx.cash_amount(withdraw.user_id, withdraw.amount), withdraw.reason);
    RETURN (SELECT a.balance FROM fx.accounts a WHERE a.user_id = withdraw.user_id);
END
$$;

COMMENT ON FUNCTION withdraw(uuid, numeric, text)
    IS 'pays an amount in account currency out of the account of a user, as a row of fx.cash_flows, and returns the new balance; it is no loss: high-water marks and the bounds of loss limits move along; errors: 22004 NULL, 22003 not finite or too large, 22023 not greater than zero when rounded to eight decimals, or more than the balance, 23503 no such user';

CREATE FUNCTION set_trading_state(user_id uuid, state text, reason text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF user_id IS NULL OR state IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN user_id IS NULL THEN 'user_id' ELSE 'state' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF state NOT IN ('active', 'reduce_only', 'halted') THEN
        RAISE EXCEPTION 'argument "state" must be "active", "reduce_only" or "halted"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM fx.lock_account(set_trading_state.user_id);
    UPDATE fx.accounts a
       SET trading_state = set_trading_state.state,
           state_reason = set_trading_state.reason
     WHERE a.user_id = set_trading_state.user_id;
END
$$;

COMMENT ON FUNCTION set_trading_state(uuid, text, text)
    IS 'lets a user trade (active), only reduce what he holds (reduce_only), or do nothing but cancel orders (halted), from his next trade on; the reason is shown with what is refused, and a row of fx.risk_events tells of the change; errors: 22004 NULL user or state, 22023 no such state, 23503 no such user';

REVOKE ALL ON FUNCTION lock_account(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION deposit(uuid, numeric, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION withdraw(uuid, numeric, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION set_trading_state(uuid, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock_account(uuid) TO fx_app;
GRANT EXECUTE ON FUNCTION deposit(uuid, numeric, text) TO fx_app;
GRANT EXECUTE ON FUNCTION withdraw(uuid, numeric, text) TO fx_app;
GRANT EXECUTE ON FUNCTION set_trading_state(uuid, text, text) TO fx_app;

-- risk limits

CREATE FUNCTION account_initial_balance(preferences jsonb)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(
        (SELECT b.balance
           FROM (SELECT CASE
                            WHEN jsonb_typeof(preferences -> 'initialBalance') IN ('number', 'string')
                                 AND preferences ->> 'initialBalance' ~ '^\d{1,20}(\.\d+)?$'
                            THEN round((preferences ->> 'initialBalance')::numeric, 8)
                        END) AS b (balance)
          -- what an account can hold
          WHERE b.balance < 100000000000000000000),
        0)
$$;

COMMENT ON FUNCTION account_initial_balance(jsonb)
    IS 'initial balance of an account, from key initialBalance of users.preferences, in account currency; 0 (not known) when it is absent or not a plain positive number';

-- risk limits: what holds for each, and how far they are used up

-- Settings that a type has by itself.  They are filled in, so that the table
-- says what is in force.
CREATE FUNCTION guard_risk_limit()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.currency := upper(NEW.currency);

    -- what the engine keeps is not for others to write
    IF TG_OP = 'INSERT' THEN
        NEW.current_value := 0;
    ELSE
        IF NEW.user_id <> OLD.user_id THEN
            RAISE EXCEPTION 'column "user_id" of a risk limit cannot change from "%" to "%"',
                    OLD.user_id, NEW.user_id
                USING ERRCODE = 'XF003', TABLE = 'risk_limits', SCHEMA = 'fx', COLUMN = 'user_id';
        END IF;

        NEW.current_value := OLD.current_value;

        -- of another kind, with settings that were not given along with it
        IF NEW.type <> OLD.type OR NEW.limit_type <> OLD.limit_type THEN
            IF NEW.basis IS NOT DISTINCT FROM OLD.basis THEN NEW.basis := NULL; END IF;
        END IF;
        IF NEW.type <> OLD.type THEN
            IF NEW.anchor IS NOT DISTINCT FROM OLD.anchor THEN NEW.anchor := NULL; END IF;
            IF NEW.breach_op IS NOT DISTINCT FROM OLD.breach_op THEN NEW.breach_op := NULL; END IF;
            IF NEW.lock_at IS NOT DISTINCT FROM OLD.lock_at THEN NEW.lock_at := NULL; END IF;
            IF NEW.window_seconds IS NOT DISTINCT FROM OLD.window_seconds THEN
                NEW.window_seconds := NULL;
            END IF;
            IF NEW.cooldown_seconds IS NOT DISTINCT FROM OLD.cooldown_seconds THEN
                NEW.cooldown_seconds := NULL;
            END IF;
        END IF;
        IF NEW.type <> OLD.type OR NEW.symbol IS DISTINCT FROM OLD.symbol
           OR NEW.currency IS DISTINCT FROM OLD.currency
           OR NEW.strategy_id IS DISTINCT FROM OLD.strategy_id THEN
            NEW.current_value := 0;
        END IF;
    END IF;

    IF NEW.anchor IS NULL AND NEW.type IN ('daily_loss', 'weekly_loss', 'monthly_loss') THEN
        NEW.anchor := 'max';
    END IF;
    IF NEW.basis IS NULL AND NEW.limit_type = 'percentage' THEN
        NEW.basis := CASE
            WHEN NEW.type = 'trailing_drawdown' THEN 'anchor'
            WHEN NEW.type = 'concentration' THEN 'gross'
            WHEN NEW.type IN ('daily_loss', 'weekly_loss', 'monthly_loss', 'max_drawdown',
                              'trailing_drawdown_eod', 'min_equity') THEN 'initial'
            WHEN NEW.type IN ('max_position', 'max_order_size', 'max_order_value', 'max_exposure',
                              'max_symbol_exposure', 'max_currency_exposure') THEN 'equity'
        END;
    END IF;
    IF NEW.breach_op IS NULL THEN
        NEW.breach_op := CASE
            WHEN NEW.type ~ '(_loss|_losses|drawdown|drawdown_eod)$' THEN 'reach'
            ELSE 'exceed'
        END;
    END IF;
    IF NEW.window_seconds IS NULL AND NEW.type = 'max_order_rate' THEN
        NEW.window_seconds := 60;
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION guard_risk_limit()
    IS 'trigger, BEFORE INSERT OR UPDATE FOR EACH ROW on fx.risk_limits: fills in the settings that a type has by itself (anchor max; basis initial, anchor, equity or gross; breach_op reach for losses and drawdowns, else exceed; window_seconds 60), keeps current_value as the engine left it; error XF003 when user_id would change';

CREATE FUNCTION refresh_risk_limits()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_refresh_risk_limits';

REVOKE ALL ON FUNCTION refresh_risk_limits() FROM PUBLIC;

COMMENT ON FUNCTION refresh_risk_limits()
    IS 'trigger, AFTER INSERT, UPDATE, DELETE or TRUNCATE FOR EACH STATEMENT on fx.risk_limits with tables of the old and new rows: locks the accounts of their users in ascending order and measures their active limits; inactive ones keep their current_value; limits that are gone, or whose type or scope changes, lose what fx.risk_limit_state has of them';

CREATE FUNCTION risk_utilization(user_id uuid)
RETURNS TABLE (
    limit_id uuid,
    name text,
    type text,
    limit_type text,
    limit_value numeric,
    current_value numeric,
    utilization_percentage numeric,
    status text
)
LANGUAGE C
STABLE STRICT
PARALLEL SAFE
ROWS 10
AS 'MODULE_PATHNAME', 'fx_risk_utilization';

COMMENT ON FUNCTION risk_utilization(uuid)
    IS 'active limits of a user and how far each is used up at this moment, by the clock and the latest prices, in percent of its bound, highest first; current_value is in percent where the limit is; types that look at one symbol or currency show the largest, types that look at an order 0; a bound of 0 is 0 or Infinity percent; status: breached (also while a breach holds on), warning (from warning_level), ok, or unknown (NULL percent, last); no rows for NULL and for an account that the caller cannot see; error 42501 without the right to read fx.accounts and fx.risk_limits';

CREATE FUNCTION mark_account(user_id uuid)
RETURNS numeric
LANGUAGE C
STRICT
AS 'MODULE_PATHNAME', 'fx_mark_account';

COMMENT ON FUNCTION mark_account(uuid)
    IS 'observes the account of a user at the latest prices, as every trade does: begins a new trading day when one is due, raises the high-water mark, measures the limits and notes breaches and warnings in fx.risk_events; returns the equity in account currency, NULL when a price or rate is missing, and for NULL; waits for the lock of the account; errors: 23503 no such user, 40001 the account has changed since the snapshot of a REPEATABLE READ transaction';

CREATE FUNCTION clear_breach(limit_id uuid, reason text)
RETURNS boolean
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_clear_breach';

COMMENT ON FUNCTION clear_breach(uuid, text)
    IS 'ends the breach of a limit before its time and notes that with the reason in fx.risk_events; true when there was one; trailing_drawdown starts again from the equity of now, trailing_drawdown_eod too unless that is less than what was paid in, max_consecutive_losses counts from now; others are breached again by the next event while their measure still is; errors: 22004 NULL, 22023 no such limit, 55000 a trailing drawdown while the equity is not known';

REVOKE ALL ON FUNCTION mark_account(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION clear_breach(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mark_account(uuid) TO fx_app;
GRANT EXECUTE ON FUNCTION clear_breach(uuid, text) TO fx_app;

-- sets of limits

CREATE FUNCTION apply_risk_preset(user_id uuid, preset text)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    wanted record;
    existing uuid;
    was_changed boolean;
    changed integer := 0;
BEGIN
    IF apply_risk_preset.user_id IS NULL OR apply_risk_preset.preset IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN apply_risk_preset.user_id IS NULL THEN 'user_id' ELSE 'preset' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    SELECT count(*) AS rows, count(DISTINCT p.time_zone) AS zones,
           count(DISTINCT p.day_cutoff) AS cutoffs,
           max(p.time_zone) AS time_zone, max(p.day_cutoff) AS day_cutoff
      INTO wanted
      FROM fx.risk_presets p
     WHERE p.preset = apply_risk_preset.preset;
    IF wanted.rows = 0 THEN
        RAISE EXCEPTION 'risk preset "%" does not exist', left(apply_risk_preset.preset, 64)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('There are: %s.',
                                (SELECT string_agg(DISTINCT p.preset, ', ') FROM fx.risk_presets p));
    END IF;
    IF wanted.zones > 1 OR wanted.cutoffs > 1 THEN
        RAISE EXCEPTION 'rows of risk preset "%" disagree about the %',
                left(apply_risk_preset.preset, 64),
                CASE WHEN wanted.zones > 1 THEN 'time zone' ELSE 'cut-off' END
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'An account has one trading day.';
    END IF;

    -- before the limits, as trades do
    PERFORM fx.lock_account(apply_risk_preset.user_id);
    UPDATE fx.accounts a
       SET time_zone = coalesce(wanted.time_zone, a.time_zone),
           day_cutoff = coalesce(wanted.day_cutoff, a.day_cutoff)
     WHERE a.user_id = apply_risk_preset.user_id
       AND (a.time_zone, a.day_cutoff)
           IS DISTINCT FROM (coalesce(wanted.time_zone, a.time_zone),
                             coalesce(wanted.day_cutoff, a.day_cutoff));

    FOR wanted IN
        SELECT * FROM fx.risk_presets p WHERE p.preset = apply_risk_preset.preset ORDER BY p.name
    LOOP
        SELECT l.id INTO existing
          FROM fx.risk_limits l
         WHERE l.user_id = apply_risk_preset.user_id AND l.name = wanted.name
         ORDER BY l.created_at, l.id
         LIMIT 1;
        IF existing IS NULL THEN
            INSERT INTO fx.risk_limits
                   (user_id, name, type, limit_type, limit_value, action, anchor, basis, breach_op)
            VALUES (apply_risk_preset.user_id, wanted.name, wanted.type, wanted.limit_type,
                    wanted.limit_value, coalesce(wanted.action, 'block'), wanted.anchor,
                    wanted.basis, wanted.breach_op);
            changed := changed + 1;
        ELSE
            -- Settings that the preset leaves open are those of the type.  They
            -- come with its change, so it is made before those that are given.
            UPDATE fx.risk_limits l
               SET type = wanted.type, limit_type = wanted.limit_type,
                   limit_value = wanted.limit_value
             WHERE l.id = existing
               AND (l.type, l.limit_type) IS DISTINCT FROM (wanted.type, wanted.limit_type);
            was_changed := FOUND;
            UPDATE fx.risk_limits l
               SET limit_value = wanted.limit_value,
                   action = coalesce(wanted.action, 'block'), anchor = wanted.anchor,
                   basis = wanted.basis, breach_op = wanted.breach_op, is_active = true
             WHERE l.id = existing
               AND (NOT coalesce(l.is_active, false)
                    OR (l.limit_value, l.action)
                       IS DISTINCT FROM (wanted.limit_value, coalesce(wanted.action, 'block'))
                    OR (wanted.anchor IS NOT NULL AND l.anchor IS DISTINCT FROM wanted.anchor)
                    OR (wanted.basis IS NOT NULL AND l.basis IS DISTINCT FROM wanted.basis)
                    OR (wanted.breach_op IS NOT NULL
                        AND l.breach_op IS DISTINCT FROM wanted.breach_op));
            IF FOUND OR was_changed THEN
                changed := changed + 1;
            END IF;
        END IF;
    END LOOP;
    RETURN changed;
END
$$;

COMMENT ON FUNCTION apply_risk_preset(uuid, text)
    IS 'gives a user the limits of a preset of fx.risk_presets, and his trading day its time zone and cut-off: a limit of his that has the name of one of the preset becomes like it, others are added, all others stay; returns how many limits were made or changed; errors: 22004 NULL, 22023 no such preset, or one whose rows have different time zones or cut-offs, 23503 no such user';

REVOKE ALL ON FUNCTION apply_risk_preset(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION apply_risk_preset(uuid, text) TO fx_app;

-- risk check of an order

CREATE TYPE risk_check AS (
    limit_id uuid,
    type text,
    limit_value numeric,
    current_value numeric,
    projected_value numeric,
    utilization_percentage numeric,
    allowed boolean,
    reason text
);

COMMENT ON TYPE risk_check
    IS 'what an order would do to one limit: the measure before and after it, in percent where the limit is and else in its own units, percent of the bound used after it, whether the limit allows it, and why not';

CREATE FUNCTION check_risk(user_id uuid, symbol text, type text, quantity numeric, price numeric)
RETURNS SETOF risk_check
LANGUAGE C
STABLE
PARALLEL SAFE
ROWS 10
AS 'MODULE_PATHNAME', 'fx_check_risk';

COMMENT ON FUNCTION check_risk(uuid, text, text, numeric, numeric)
    IS 'what an order (type buy or sell, quantity in units of the base currency; without a price it is taken to be executed at the market) would do to each active limit of the user that applies to it, at this moment and by the latest prices, one row a limit, what is not known first, then the most used; one more row of type trading_state, without limit_id, when the account itself is halted or may only reduce positions; changes nothing; the judgement is that of a trade inserted as executed without a strategy; no rows for a NULL user and for an account that the caller cannot see; errors: 22004 NULL symbol, type or quantity, 22023 bad type, quantity or price, 22003 quantity or price out of range, 42501 without the right to read fx.accounts and fx.risk_limits';

CREATE FUNCTION what_if(user_id uuid, trades jsonb)
RETURNS TABLE (
    trade integer,
    symbol text,
    type text,
    quantity numeric,
    price numeric,
    allowed boolean,
    state text,
    limits jsonb
)
LANGUAGE C
STABLE STRICT
PARALLEL SAFE
ROWS 10
AS 'MODULE_PATHNAME', 'fx_what_if';

COMMENT ON FUNCTION what_if(uuid, jsonb)
    IS 'what the limits of a user would say to orders given one after the other: trades is an array of at most 10000 objects with symbol, type (buy or sell), quantity (units) and, if it has one, price, as numbers or strings; one row each in their order, trade being the index from 0; each is judged as by fx.check_risk with those before it that were allowed executed; limits are those that refuse it or are breached, as in the detail of error XF001, state is the trading state that it met; changes nothing; no rows for NULL and for an account that the caller cannot see; errors: 22023, 22004, 22P02 or 22003 naming the index and the key, 54000 too many, 42501 without the right to read fx.accounts and fx.risk_limits';

-- trades that may be refused
--
-- The two functions of C know what was refused in this transaction; they take
-- nobody's word for it.

CREATE FUNCTION refusal_reason()
RETURNS text
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_refusal_reason';

COMMENT ON FUNCTION refusal_reason()
    IS 'why the last trade that was refused in this transaction was: the type of the first limit that refused it, or halted or reduce_only, the state of the account; NULL when none was, or fx.record_refusal has recorded it';

CREATE FUNCTION record_refusal(trade_id uuid)
RETURNS void
LANGUAGE C
STRICT
AS 'MODULE_PATHNAME', 'fx_record_refusal';

COMMENT ON FUNCTION record_refusal(uuid)
    IS 'records the last refusal of this transaction, once, in fx.risk_events: a row for each limit that refused, and one for the state of the account; trade_id is a rejected trade of the same user, which the caller can see; does nothing for NULL; errors: 55000 no trade was refused, 22023 no such trade';

CREATE FUNCTION try_trade(
    OUT trade_id uuid,
    user_id uuid,
    symbol text,
    type text,
    quantity numeric,
    price numeric DEFAULT NULL,
    order_type text DEFAULT 'market',
    strategy_id uuid DEFAULT NULL,
    INOUT status text DEFAULT 'executed',
    executed_at timestamptz DEFAULT now(),
    stop_loss numeric DEFAULT NULL,
    take_profit numeric DEFAULT NULL,
    commission numeric DEFAULT 0,
    broker_id text DEFAULT NULL,
    external_id text DEFAULT NULL,
    metadata jsonb DEFAULT '{}',
    OUT reason_code text,
    OUT detail jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    why text;
BEGIN
    IF status IS NULL OR status NOT IN ('executed', 'pending') THEN
        RAISE EXCEPTION 'argument "status" must be "executed" or "pending"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    BEGIN
        INSERT INTO fx.trades AS t (user_id, strategy_id, broker_id, symbol, type, order_type,
                                    quantity, price, stop_loss, take_profit, commission, status,
                                    executed_at, external_id, metadata)
        VALUES (try_trade.user_id, try_trade.strategy_id, try_trade.broker_id, try_trade.symbol,
                try_trade.type, try_trade.order_type, try_trade.quantity, try_trade.price,
                try_trade.stop_loss, try_trade.take_profit, try_trade.commission, try_trade.status,
                CASE try_trade.status WHEN 'executed' THEN try_trade.executed_at END,
                try_trade.external_id, try_trade.metadata)
        RETURNING t.id INTO try_trade.trade_id;
        RETURN;
    EXCEPTION WHEN SQLSTATE 'XF001' OR SQLSTATE 'XF002' THEN
        GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL;
    END;

    status := 'rejected';
    reason_code := fx.refusal_reason();
    detail := why::jsonb;
    INSERT INTO fx.trades AS t (user_id, strategy_id, broker_id, symbol, type, order_type,
                                quantity, price, stop_loss, take_profit, commission, status,
                                reason_code, external_id, metadata)
    VALUES (try_trade.user_id, try_trade.strategy_id, try_trade.broker_id, try_trade.symbol,
            try_trade.type, try_trade.order_type, try_trade.quantity, try_trade.price,
            try_trade.stop_loss, try_trade.take_profit, try_trade.commission, try_trade.status,
            try_trade.reason_code, try_trade.external_id, try_trade.metadata)
    RETURNING t.id INTO try_trade.trade_id;
    PERFORM fx.record_refusal(try_trade.trade_id);
END
$$;

COMMENT ON FUNCTION try_trade(uuid, text, text, numeric, numeric, text, uuid, text, timestamptz, numeric, numeric, numeric, text, text, jsonb)
    IS 'inserts a trade, executed (at executed_at) or pending, with the rights of the caller; where limits or the state of the account refuse it (XF001, XF002) it is inserted as rejected instead, with reason_code (the type of the first limit that refused, or halted or reduce_only), and the refusals are recorded in fx.risk_events; returns its id and status, and of a refusal the reason and the JSON that the error would have as its detail; other errors are those of an insert, and 22023 for another status';

REVOKE ALL ON FUNCTION refusal_reason() FROM PUBLIC;
REVOKE ALL ON FUNCTION record_refusal(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION try_trade(uuid, text, text, numeric, numeric, text, uuid, text, timestamptz, numeric, numeric, numeric, text, text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION refusal_reason() TO fx_app, fx_user;
GRANT EXECUTE ON FUNCTION record_refusal(uuid) TO fx_app, fx_user;
GRANT EXECUTE ON FUNCTION try_trade(uuid, text, text, numeric, numeric, text, uuid, text, timestamptz, numeric, numeric, numeric, text, text, jsonb) TO fx_app, fx_user;

-- the books against the trades

-- What a user holds and made of each symbol by trades and closures.  Custom
-- plans, since the plan for one user is not that for all.
CREATE FUNCTION compute_positions(for_user uuid)
RETURNS TABLE (
    user_id uuid,
    symbol text,
    long_quantity numeric,
    short_quantity numeric,
    long_cost numeric,
    short_cost numeric,
    average_price numeric,
    realized_pnl numeric,
    net numeric,
    open_trades bigint,
    unpriced_trades bigint,
    day_trades bigint)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
        WITH closed AS (
            SELECT c.trade_id, sum(c.quantity) AS quantity, sum(c.cost) AS cost
              FROM fx.closures c
             WHERE for_user IS NULL OR c.user_id = for_user
             GROUP BY c.trade_id
        ), traded AS (
            SELECT t.user_id,
                   translate(upper(t.symbol), '/_-. ', '') AS symbol,
                   t.type = 'buy' AS bought,
                   t.price,
                   t.closed_at IS NULL AS is_open,
                   CASE WHEN t.closed_at IS NULL
                        THEN coalesce(t.open_quantity, t.quantity) ELSE 0 END AS quantity,
                   c.quantity AS closed_quantity,
                   c.cost AS closed_cost,
                   coalesce(t.profit, 0) AS profit,
                   coalesce(t.profit, 0) - coalesce(t.commission, 0) + coalesce(t.swap, 0) AS net,
                   t.executed_at
              FROM fx.trades t
              LEFT JOIN closed c ON c.trade_id = t.id
             WHERE t.status = 'executed' AND NOT t.is_backtest
               AND (for_user IS NULL OR t.user_id = for_user)
        ), valued AS (
            -- what was paid for all that the trade opened, less what left again
            SELECT t.*,
                   CASE WHEN t.is_open OR t.closed_quantity IS NOT NULL
                        THEN coalesce(round((t.quantity + coalesce(t.closed_quantity, 0)) * t.price, 8), 0)
                             - coalesce(t.closed_cost, 0)
                        ELSE 0 END AS cost
              FROM traded t
        )
        SELECT s.user_id, s.symbol, s.long_quantity, s.short_quantity, s.long_cost, s.short_cost,
               CASE WHEN s.long_quantity <> s.short_quantity
                    THEN round((s.long_cost - s.short_cost) / (s.long_quantity - s.short_quantity), 8) END,
               s.profit, s.net, s.open_trades, s.unpriced_trades, s.day_trades
          FROM (SELECT v.user_id, v.symbol,
                       coalesce(sum(v.quantity) FILTER (WHERE v.bought), 0) AS long_quantity,
                       coalesce(sum(v.quantity) FILTER (WHERE NOT v.bought), 0) AS short_quantity,
                       coalesce(sum(v.cost) FILTER (WHERE v.bought), 0) AS long_cost,
                       coalesce(sum(v.cost) FILTER (WHERE NOT v.bought), 0) AS short_cost,
                       sum(v.profit) AS profit,
                       sum(v.net) AS net,
                       count(*) FILTER (WHERE v.is_open) AS open_trades,
                       count(*) FILTER (WHERE v.is_open AND v.price IS NULL) AS unpriced_trades,
                       count(*) FILTER (WHERE v.executed_at >= a.day_started_at) AS day_trades
                  FROM valued v
                  LEFT JOIN fx.accounts a ON a.user_id = v.user_id
                 GROUP BY v.user_id, v.symbol) AS s;
END
$$;

COMMENT ON FUNCTION compute_positions(uuid)
    IS 'what trades and closures of a user, of all for NULL, add up to, one row a symbol (normal form) of which anything was executed: the columns of fx.positions, net profit (profit - commission + swap) and executions since the start of the stored day; for fx.verify_positions and fx.rebuild_risk_state';

-- The newest unbroken run of losing closed trades of a user.  Trades that a
-- fill used up do not count: what was won or lost is on the fill.
CREATE FUNCTION compute_losing_streak(
    for_user uuid,
    OUT losses bigint, OUT losing_since timestamptz)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    breaker_at timestamptz;
    breaker_id uuid;
BEGIN
    SELECT t.closed_at, t.id INTO breaker_at, breaker_id
      FROM fx.trades t
     WHERE t.user_id = for_user
       AND t.status = 'executed' AND t.closed_at IS NOT NULL AND NOT t.is_backtest
       AND (t.open_quantity IS DISTINCT FROM 0 OR t.position_method IS NOT NULL OR t.profit <> 0)
       AND coalesce(t.profit, 0) - coalesce(t.commission, 0) + coalesce(t.swap, 0) >= 0
     ORDER BY t.closed_at DESC, t.id DESC
     LIMIT 1;
    SELECT count(*), min(t.closed_at) INTO losses, losing_since
      FROM fx.trades t
     WHERE t.user_id = for_user
       AND t.status = 'executed' AND t.closed_at IS NOT NULL AND NOT t.is_backtest
       AND (t.open_quantity IS DISTINCT FROM 0 OR t.position_method IS NOT NULL OR t.profit <> 0)
       AND (breaker_id IS NULL OR (t.closed_at, t.id) > (breaker_at, breaker_id));
END
$$;

COMMENT ON FUNCTION compute_losing_streak(uuid)
    IS 'how many of the closed trades of a user lost in a row, up to the newest, and when the first of them was closed; a break-even ends the row, trades that a fill used up do not count; 0 and NULL for none; for fx.verify_positions and fx.rebuild_risk_state';

CREATE FUNCTION verify_positions()
RETURNS TABLE (user_id uuid, symbol text, item text, stored numeric, computed numeric)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        WITH held AS MATERIALIZED (
            SELECT h.* FROM fx.compute_positions(NULL) AS h
        ), totals AS (
            SELECT h.user_id, sum(h.net) AS net, sum(h.open_trades) AS open_trades,
                   sum(h.day_trades) AS day_trades
              FROM held h
             GROUP BY h.user_id
        ), flows AS (
            SELECT f.user_id, sum(f.amount) AS amount
              FROM fx.cash_flows f
             GROUP BY f.user_id
        ), differences AS (
            SELECT u.id AS user_id, NULL::text AS symbol, i.item, i.stored, i.computed
              FROM fx.users u
              LEFT JOIN fx.accounts a ON a.user_id = u.id
              LEFT JOIN totals t ON t.user_id = u.id
              LEFT JOIN flows f ON f.user_id = u.id
             CROSS JOIN LATERAL fx.compute_losing_streak(u.id) AS s
             CROSS JOIN LATERAL (VALUES
                       ('account', CASE WHEN a.user_id IS NULL THEN 0 ELSE 1 END::numeric, 1::numeric),
                       ('balance', a.balance, a.initial_balance + coalesce(f.amount, 0) + coalesce(t.net, 0)),
                       ('net_deposits', a.net_deposits, coalesce(f.amount, 0)),
                       ('open_trades', a.open_trades, coalesce(t.open_trades, 0)),
                       ('day_trades', a.day_trades, coalesce(t.day_trades, 0)),
                       ('consecutive_losses', a.consecutive_losses, s.losses)
                   ) AS i (item, stored, computed)
             WHERE i.stored <> i.computed
            UNION ALL
            SELECT coalesce(p.user_id, h.user_id), coalesce(p.symbol::text, h.symbol),
                   i.item, i.stored, i.computed
              FROM fx.positions p
              FULL JOIN held h ON h.user_id = p.user_id AND h.symbol = p.symbol
             CROSS JOIN LATERAL (VALUES
                       ('long_quantity', coalesce(p.long_quantity, 0), coalesce(h.long_quantity, 0)),
                       ('short_quantity', coalesce(p.short_quantity, 0), coalesce(h.short_quantity, 0)),
                       ('long_cost', coalesce(p.long_cost, 0), coalesce(h.long_cost, 0)),
                       ('short_cost', coalesce(p.short_cost, 0), coalesce(h.short_cost, 0)),
                       ('average_price', p.average_price, h.average_price),
                       ('realized_pnl', coalesce(p.realized_pnl, 0), coalesce(h.realized_pnl, 0)),
                       ('open_trades', coalesce(p.open_trades, 0), coalesce(h.open_trades, 0)),
                       ('unpriced_trades', coalesce(p.unpriced_trades, 0), coalesce(h.unpriced_trades, 0))
                   ) AS i (item, stored, computed)
             WHERE i.stored IS DISTINCT FROM i.computed
        )
        SELECT d.user_id, d.symbol, d.item, d.stored, d.computed
          FROM differences d
         ORDER BY d.user_id, d.symbol COLLATE "C" NULLS FIRST, d.item COLLATE "C";
END
$$;

COMMENT ON FUNCTION verify_positions()
    IS 'differences between the books of the risk engine (fx.accounts, fx.positions) and what trades, closures and cash flows of all users add up to: symbol is NULL for items of an account (balance, net_deposits, open_trades, day_trades since the start of the stored day, consecutive_losses, or account when its row is missing); no row when all is well; fx.rebuild_risk_state mends what it finds';

-- Writers of fx.accounts by SQL say so by the setting, which the guard of the
-- table respects.  It keeps from mistakes only: those who may update these
-- columns own the table.
CREATE FUNCTION rebuild_risk_state(user_id uuid)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET fx.rebuilding_risk_state = 'on'
AS $$
DECLARE
    owner_id CONSTANT uuid := user_id;
    settings jsonb;
    old record;
    books record;
    periods record;
    past record;
    streak record;
    is_new boolean := false;
    moment timestamptz;
BEGIN
    IF owner_id IS NULL THEN
        RAISE EXCEPTION 'argument "user_id" must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    SELECT a.* INTO old FROM fx.accounts a WHERE a.user_id = owner_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        SELECT coalesce(u.preferences, '{}') INTO settings FROM fx.users u WHERE u.id = owner_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'user "%" does not exist', owner_id
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        INSERT INTO fx.accounts (user_id, currency, initial_balance, day_started_at, day_balance,
                                 week_started_at, week_balance, month_started_at, month_balance, day_ends_at)
        VALUES (owner_id, fx.account_currency(settings), fx.account_initial_balance(settings),
                '-infinity', 0, '-infinity', 0, '-infinity', 0, '-infinity')
            ON CONFLICT DO NOTHING;
        is_new := FOUND;
        SELECT a.* INTO old FROM fx.accounts a WHERE a.user_id = owner_id FOR NO KEY UPDATE;
    END IF;
    -- of trades that were removed
    DELETE FROM fx.closures c
     WHERE c.user_id = owner_id
       AND (NOT EXISTS (SELECT FROM fx.trades t WHERE t.id = c.trade_id)
            OR (c.closing_trade_id IS NOT NULL
                AND NOT EXISTS (SELECT FROM fx.trades t WHERE t.id = c.closing_trade_id)));

    -- a setting without an offset is UTC
    moment := coalesce(nullif(current_setting('fxplatform.clock', true), '')::timestamptz,
                       clock_timestamp());

    -- a day under way goes on also where the clock of the account was changed
    SELECT t.week_started_at AS week_start, t.month_started_at AS month_start,
           CASE WHEN moment >= old.day_started_at AND moment < old.day_ends_at
                THEN old.day_started_at ELSE t.day_started_at END AS day_start,
           CASE WHEN moment >= old.day_started_at AND moment < old.day_ends_at
                THEN old.day_ends_at ELSE t.day_ends_at END AS day_end
      INTO periods
      FROM fx.trading_periods(old.time_zone, old.day_cutoff, moment) AS t;

    -- positions
    DELETE FROM fx.positions p WHERE p.user_id = owner_id;
    INSERT INTO fx.positions (user_id, symbol, long_quantity, short_quantity, long_cost, short_cost,
                              average_price, realized_pnl, open_trades, unpriced_trades,
                              last_price, last_price_at)
    SELECT owner_id, h.symbol, h.long_quantity, h.short_quantity, h.long_cost, h.short_cost,
           h.average_price, h.realized_pnl, h.open_trades, h.unpriced_trades, l.price, l.executed_at
      FROM fx.compute_positions(owner_id) AS h
      LEFT JOIN (SELECT DISTINCT ON (x.symbol) x.symbol, x.price, x.executed_at
                   FROM (SELECT translate(upper(t.symbol), '/_-. ', '') AS symbol, t.price,
                                t.executed_at, t.created_at, t.id
                           FROM fx.trades t
                          WHERE t.user_id = owner_id AND t.status = 'executed' AND NOT t.is_backtest
                            AND t.price IS NOT NULL
                            AND (t.closed_at IS NULL
                                 OR t.id IN (SELECT c.trade_id FROM fx.closures c
                                              WHERE c.user_id = owner_id)
                                 OR t.id IN (SELECT c.closing_trade_id FROM fx.closures c
                                              WHERE c.user_id = owner_id
                                                AND c.closing_trade_id IS NOT NULL))) AS x
                  ORDER BY x.symbol, x.executed_at DESC, x.created_at DESC, x.id DESC) AS l
        ON l.symbol = h.symbol;

    -- what a deleted trade left of the cost of a side that holds nothing now
    UPDATE fx.closures c
       SET cost = c.cost + r.residue
      FROM (SELECT p.symbol, s.type, s.cost AS residue
              FROM fx.positions p
             CROSS JOIN LATERAL (VALUES ('buy', p.long_quantity, p.long_cost),
                                        ('sell', p.short_quantity, p.short_cost)
                                ) AS s (type, quantity, cost)
             WHERE p.user_id = owner_id AND s.quantity = 0 AND s.cost <> 0) AS r
     WHERE c.id = (SELECT max(n.id)
                     FROM fx.closures n
                     JOIN fx.trades t ON t.id = n.trade_id
                    WHERE n.user_id = owner_id AND n.symbol = r.symbol AND n.type = r.type
                      AND t.status = 'executed' AND NOT t.is_backtest);
    UPDATE fx.positions p
       SET long_cost = CASE WHEN p.long_quantity = 0 THEN 0 ELSE p.long_cost END,
           short_cost = CASE WHEN p.short_quantity = 0 THEN 0 ELSE p.short_cost END
     WHERE p.user_id = owner_id
       AND (p.long_quantity = 0 AND p.long_cost <> 0 OR p.short_quantity = 0 AND p.short_cost <> 0);
    UPDATE fx.positions p
       SET average_price = round((p.long_cost - p.short_cost) / (p.long_quantity - p.short_quantity), 8)
     WHERE p.user_id = owner_id AND p.long_quantity <> p.short_quantity
       AND p.average_price <> round((p.long_cost - p.short_cost) / (p.long_quantity - p.short_quantity), 8);

    -- the account
    SELECT coalesce((SELECT sum(f.amount) FROM fx.cash_flows f WHERE f.user_id = owner_id), 0) AS flows,
           coalesce(sum(coalesce(t.profit, 0) - coalesce(t.commission, 0) + coalesce(t.swap, 0)), 0) AS net,
           count(*) FILTER (WHERE t.closed_at IS NULL) AS open_trades,
           count(*) FILTER (WHERE t.executed_at >= periods.day_start) AS day_trades,
           max(t.closed_at) AS last_closed_at
      INTO books
      FROM fx.trades t
     WHERE t.user_id = owner_id AND t.status = 'executed' AND NOT t.is_backtest;
    SELECT s.* INTO streak FROM fx.compute_losing_streak(owner_id) AS s;

    -- The anchors.  Costs belong to the execution, a profit to the closing that brought it.
    SELECT jsonb_object_agg(s.period, old.initial_balance + f.before + t.net + c.moved) AS balance,
           jsonb_object_agg(s.period, t.held) AS held,
           jsonb_object_agg(s.period, f.since) AS deposits
      INTO past
      FROM (VALUES ('day', periods.day_start), ('week', periods.week_start),
                   ('month', periods.month_start)) AS s (period, start)
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(f.amount) FILTER (WHERE f.created_at < s.start), 0) AS before,
                  coalesce(sum(f.amount) FILTER (WHERE f.created_at >= s.start), 0) AS since
             FROM fx.cash_flows f
            WHERE f.user_id = owner_id) AS f
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(coalesce(t.profit, 0) + coalesce(t.swap, 0))
                               FILTER (WHERE coalesce(t.closed_at, t.executed_at) < s.start), 0)
                  - coalesce(sum(coalesce(t.commission, 0)) FILTER (WHERE t.executed_at < s.start), 0) AS net,
                  coalesce(bool_or(t.executed_at < s.start
                                   AND (t.closed_at IS NULL
                                        OR t.closed_at >= s.start
                                           AND t.id IN (SELECT c.trade_id FROM fx.closures c
                                                         WHERE c.user_id = owner_id))), false) AS held
             FROM fx.trades t
            WHERE t.user_id = owner_id AND t.status = 'executed' AND NOT t.is_backtest) AS t
     CROSS JOIN LATERAL (
           -- of trades that closed, or were closed, more than once
           SELECT coalesce(sum(c.profit) FILTER (WHERE c.closed_at < s.start), 0)
                  - coalesce(sum(c.profit) FILTER (WHERE coalesce(t.closed_at, t.executed_at) < s.start), 0) AS moved
             FROM fx.closures c
             JOIN fx.trades t ON t.id = coalesce(c.closing_trade_id, c.trade_id)
            WHERE c.user_id = owner_id AND t.status = 'executed' AND NOT t.is_backtest) AS c;

    UPDATE fx.accounts a
       SET net_deposits = books.flows,
           balance = a.initial_balance + books.flows + books.net,
           open_trades = books.open_trades,
           day_trades = books.day_trades,
           consecutive_losses = streak.losses,
           losing_since = streak.losing_since,
           last_closed_at = books.last_closed_at,
           day_started_at = periods.day_start,
           day_ends_at = periods.day_end,
           day_balance = (past.balance ->> 'day')::numeric,
           day_equity = CASE WHEN NOT (past.held ->> 'day')::boolean THEN (past.balance ->> 'day')::numeric
                             WHEN a.day_started_at = periods.day_start THEN a.day_equity - a.day_balance
                                  + (past.balance ->> 'day')::numeric END,
           day_deposits = (past.deposits ->> 'day')::numeric,
           week_started_at = periods.week_start,
           week_balance = (past.balance ->> 'week')::numeric,
           week_equity = CASE WHEN NOT (past.held ->> 'week')::boolean THEN (past.balance ->> 'week')::numeric
                              WHEN a.week_started_at = periods.week_start THEN a.week_equity - a.week_balance
                                  + (past.balance ->> 'week')::numeric END,
           week_deposits = (past.deposits ->> 'week')::numeric,
           month_started_at = periods.month_start,
           month_balance = (past.balance ->> 'month')::numeric,
           month_equity = CASE WHEN NOT (past.held ->> 'month')::boolean THEN (past.balance ->> 'month')::numeric
                               WHEN a.month_started_at = periods.month_start THEN a.month_equity - a.month_balance
                                  + (past.balance ->> 'month')::numeric END,
           month_deposits = (past.deposits ->> 'month')::numeric,
           high_water_mark = greatest(
               CASE WHEN is_new THEN a.initial_balance + books.flows
                    ELSE a.high_water_mark + books.flows - a.net_deposits END,
               a.initial_balance + books.flows + books.net),
           eod_high_water_mark = greatest(
               CASE WHEN is_new THEN a.initial_balance + books.flows
                    ELSE a.eod_high_water_mark + books.flows - a.net_deposits END,
               (past.balance ->> 'day')::numeric + (past.deposits ->> 'day')::numeric)
     WHERE a.user_id = owner_id;

    PERFORM fx.mark_account(owner_id);
END
$$;

COMMENT ON FUNCTION rebuild_risk_state(uuid)
    IS 'computes the books of the risk engine for a user (fx.accounts, fx.positions) again from trades, closures and cash flows, under the lock of the account, which is opened when it is missing; keeps settings, currency, initial balance and high-water marks (which only rise), and what the equity was when the current day, week and month started; errors: 22004 NULL, 22023 no such user';

REVOKE ALL ON FUNCTION compute_positions(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION compute_losing_streak(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION verify_positions() FROM PUBLIC;
REVOKE ALL ON FUNCTION rebuild_risk_state(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION compute_positions(uuid) TO fx_app;
GRANT EXECUTE ON FUNCTION compute_losing_streak(uuid) TO fx_app;
GRANT EXECUTE ON FUNCTION verify_positions() TO fx_app;
GRANT EXECUTE ON FUNCTION rebuild_risk_state(uuid) TO fx_app;

-- accounts follow the prices between trades, too

-- Those of which something can have changed: open positions, a day that has
-- ended, a latch that is over, orders that have left their window.
CREATE FUNCTION mark_account_batch(after uuid, batch bigint, OUT marked bigint, OUT last uuid)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    -- a setting without an offset is UTC, as it is in C
    at CONSTANT timestamptz := coalesce(nullif(current_setting('fxplatform.clock', true), '')::timestamptz,
                                        clock_timestamp());
    account uuid;
BEGIN
    marked := 0;
    -- of a database whose migration is still to come
    IF to_regclass('fx.accounts') IS NULL THEN
        RETURN;
    END IF;
    FOR account IN
        SELECT a.user_id
          FROM fx.accounts a
         WHERE (after IS NULL OR a.user_id > after)
           AND (a.open_trades > 0
                OR EXISTS (SELECT FROM fx.risk_limits l
                             LEFT JOIN fx.risk_limit_state s
                               ON s.user_id = l.user_id AND s.limit_id = l.id
                            WHERE l.user_id = a.user_id AND l.is_active
                              AND (a.day_ends_at <= at OR s.breached_until <= at
                                   OR l.type = 'max_order_rate' AND l.current_value > 0)))
         ORDER BY a.user_id
         LIMIT batch
    LOOP
        last := account;
        -- whoever has it observes it himself; waiting for him could end in a deadlock
        PERFORM FROM fx.accounts a WHERE a.user_id = account FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            PERFORM fx.mark_account(account);
            marked := marked + 1;
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION mark_account_batch(uuid, bigint) FROM PUBLIC;

COMMENT ON FUNCTION mark_account_batch(uuid, bigint)
    IS 'fx.mark_account for at most so many accounts (NULL: all) that follow a user, in the order of ids; returns how many were marked and the last user looked at, NULL at the end';

CREATE FUNCTION mark_accounts()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT m.marked FROM fx.mark_account_batch(NULL, NULL) AS m);
END
$$;

REVOKE ALL ON FUNCTION mark_accounts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mark_accounts() TO fx_app;

COMMENT ON FUNCTION mark_accounts()
    IS 'fx.mark_account for every account of which something can have changed since its last event (open positions, the end of a day or of a breach, orders a minute); accounts that a transaction has locked at that moment are left out, as it observes them itself; keeps the others locked to the end of the transaction, fx.maintain does not; returns how many were marked';

-- market data

-- A partition is made beside the table and attached, which takes SHARE UPDATE
-- EXCLUSIVE on the table: reads and writes go on.  CREATE TABLE ...
-- PARTITION OF would take ACCESS EXCLUSIVE.  The CHECK tells ATTACH that no
-- row needs to be looked at; after it the bounds say the same.
CREATE FUNCTION create_monthly_partitions(parent name, since date, until date)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parent_oid CONSTANT regclass := format('fx.%I', parent);
    made integer := 0;
    partition_month date;
    partition_name text;
    partition_oid oid;
    owner name;
    lower_bound text;
    upper_bound text;
BEGIN
    IF since IS NULL OR until IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN since IS NULL THEN 'since' ELSE 'until' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF NOT isfinite(since) OR NOT isfinite(until) THEN
        RAISE EXCEPTION 'argument "%" must be finite',
                CASE WHEN isfinite(since) THEN 'until' ELSE 'since' END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF since < date '0001-01-01' OR until > date '9999-12-01' THEN
        RAISE EXCEPTION 'argument "%" is out of range',
                CASE WHEN until > date '9999-12-01' THEN 'until' ELSE 'since' END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF since > until THEN
        RAISE EXCEPTION 'argument "since" must not be after "until"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF since = until THEN
        RETURN 0;
    END IF;

    -- one at a time, so that two sessions do not make the same month
    PERFORM fx.lock_work(format('create %s partitions', parent));

    SELECT pg_get_userbyid(relowner) INTO owner
      FROM pg_class WHERE oid = parent_oid;

    partition_month := date_trunc('month', since::timestamp)::date;
    WHILE partition_month < until LOOP
        partition_name := parent || '_' || to_char(partition_month, 'YYYY_MM');
        lower_bound := to_char(partition_month, 'YYYY-MM-DD') || ' 00:00:00+00';
        partition_month := (partition_month + interval '1 month')::date;
        upper_bound := to_char(partition_month, 'YYYY-MM-DD') || ' 00:00:00+00';

        partition_oid := to_regclass(format('fx.%I', partition_name));
        IF partition_oid IS NULL THEN
            EXECUTE format(
                'CREATE TABLE fx.%1$I (
                     LIKE fx.%4$I
                         INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED
                         INCLUDING STORAGE INCLUDING COMPRESSION,
                     CONSTRAINT attach_bounds CHECK (timestamp >= %2$L AND timestamp < %3$L))',
                partition_name, lower_bound, upper_bound, parent);
            IF owner <> current_user THEN
                EXECUTE format('ALTER TABLE fx.%I OWNER TO %I', partition_name, owner);
            END IF;
            EXECUTE format(
                'ALTER TABLE fx.%I ATTACH PARTITION fx.%I FOR VALUES FROM (%L) TO (%L)',
                parent, partition_name, lower_bound, upper_bound);
            EXECUTE format('ALTER TABLE fx.%I DROP CONSTRAINT attach_bounds', partition_name);
            made := made + 1;
        ELSIF NOT EXISTS (SELECT FROM pg_inherits
                           WHERE inhrelid = partition_oid
                             AND inhparent = parent_oid
                             AND NOT inhdetachpending) THEN
            RAISE EXCEPTION 'table "%" is not a partition of "%"', partition_name, parent
                USING ERRCODE = 'duplicate_table',
                      HINT = 'It was detached or made by hand: attach, rename or drop it.';
        END IF;
    END LOOP;

    RETURN made;
END
$$;

REVOKE ALL ON FUNCTION create_monthly_partitions(name, date, date) FROM PUBLIC;

COMMENT ON FUNCTION create_monthly_partitions(name, date, date)
    IS 'body of fx.create_market_data_partitions and fx.create_quote_partitions: parent is a table of schema fx partitioned by month; errors: theirs, 42P01 no such table';

CREATE FUNCTION create_market_data_partitions(since date, until date)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made integer := fx.create_monthly_partitions('market_data', since, until);
BEGIN
    -- a later migration makes that table
    IF made > 0 AND to_regclass('fx.candle_partitions') IS NOT NULL THEN
        PERFORM fx.know_empty_partitions();
    END IF;
    RETURN made;
END
$$;

REVOKE ALL ON FUNCTION create_market_data_partitions(date, date) FROM PUBLIC;

COMMENT ON FUNCTION create_market_data_partitions(date, date)
    IS 'makes the monthly partitions of fx.market_data that are missing from the month of since up to until (excluded), bounds in UTC, and returns how many it made; readers and writers are not blocked; errors: 22004 NULL, 22023 dates infinite, out of range or in the wrong order, 42P07 a table of that name is no partition';

CREATE FUNCTION create_quote_partitions(since date, until date)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN fx.create_monthly_partitions('quotes', since, until);
END
$$;

REVOKE ALL ON FUNCTION create_quote_partitions(date, date) FROM PUBLIC;

COMMENT ON FUNCTION create_quote_partitions(date, date)
    IS 'the same for the monthly partitions of fx.quotes, with the errors of fx.create_market_data_partitions';

-- revisions

CREATE FUNCTION keep_candle_revision()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_keep_candle_revision';

REVOKE ALL ON FUNCTION keep_candle_revision() FROM PUBLIC;

COMMENT ON FUNCTION keep_candle_revision()
    IS 'trigger, AFTER UPDATE FOR EACH ROW: keeps the replaced version of a candle in fx.market_data_revisions, with the rights of that table''s owner';

-- time frames of candles

CREATE FUNCTION candle_start(at timestamptz, timeframe text, alignment text DEFAULT 'new_york')
RETURNS timestamptz
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_sql_candle_start';

COMMENT ON FUNCTION candle_start(timestamptz, text, text)
    IS 'when the candle of a time frame (1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w, 1mn) that holds a time begins; 1m to 1h in UTC, the others by the close at 17:00 in New York, or in UTC with alignment utc; infinite times stay; errors: 22023 unknown time frame or alignment, 22008 out of range';

CREATE FUNCTION candle_end(start timestamptz, timeframe text, alignment text DEFAULT 'new_york')
RETURNS timestamptz
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_sql_candle_end';

COMMENT ON FUNCTION candle_end(timestamptz, text, text)
    IS 'when the candle that begins at a time, or holds it, ends: the start of the next one, itself excluded; see fx.candle_start; infinite times stay; errors: 22023 unknown time frame or alignment, 22008 out of range';

CREATE FUNCTION timeframe_rank(timeframe text)
RETURNS integer
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_timeframe_rank';

COMMENT ON FUNCTION timeframe_rank(text)
    IS 'place of a time frame from the finest, 1m = 0, to the coarsest, 1mn = 8; errors: 22023 unknown';

-- candlesticks

CREATE TYPE candlestick;

CREATE FUNCTION candlestick_in(cstring)
RETURNS candlestick
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_in';

COMMENT ON FUNCTION candlestick_in(cstring) IS 'text input of type candlestick; errors: 22P02 malformed or impossible, 0A000 version of a newer fxplatform';

CREATE FUNCTION candlestick_out(candlestick)
RETURNS cstring
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_out';

COMMENT ON FUNCTION candlestick_out(candlestick) IS 'text output of type candlestick';

CREATE FUNCTION candlestick_recv(internal)
RETURNS candlestick
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_recv';

COMMENT ON FUNCTION candlestick_recv(internal) IS 'binary input of type candlestick; errors: 22P03 impossible, 08P01 malformed, 0A000 version of a newer fxplatform';

CREATE FUNCTION candlestick_send(candlestick)
RETURNS bytea
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_send';

COMMENT ON FUNCTION candlestick_send(candlestick) IS 'binary output of type candlestick';

CREATE TYPE candlestick (
    INPUT = candlestick_in,
    OUTPUT = candlestick_out,
    RECEIVE = candlestick_recv,
    SEND = candlestick_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = double,
    STORAGE = plain
);

COMMENT ON TYPE candlestick
    IS 'open, high, low and close with eight decimals, exact, volume, and the times of open and close; made by fx.candlestick_agg or fx.candlestick, merged by fx.rollup, read by accessors or a cast to jsonb';

-- comparison: by value, and the same content has the same bytes

CREATE FUNCTION candlestick_eq(candlestick, candlestick)
RETURNS boolean
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_eq';

COMMENT ON FUNCTION candlestick_eq(candlestick, candlestick) IS 'whether two values of type candlestick are equal';

CREATE FUNCTION candlestick_ne(candlestick, candlestick)
RETURNS boolean
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_ne';

COMMENT ON FUNCTION candlestick_ne(candlestick, candlestick) IS 'whether two values of type candlestick differ';

CREATE FUNCTION candlestick_hash(candlestick)
RETURNS integer
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_hash';

COMMENT ON FUNCTION candlestick_hash(candlestick) IS 'hash of a value of type candlestick';

CREATE FUNCTION candlestick_hash_extended(candlestick, bigint)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_hash_extended';

COMMENT ON FUNCTION candlestick_hash_extended(candlestick, bigint) IS 'seeded hash of a value of type candlestick';

CREATE OPERATOR = (
    LEFTARG = candlestick,
    RIGHTARG = candlestick,
    FUNCTION = candlestick_eq,
    COMMUTATOR = =,
    NEGATOR = <>,
    RESTRICT = eqsel,
    JOIN = eqjoinsel,
    HASHES
);

CREATE OPERATOR <> (
    LEFTARG = candlestick,
    RIGHTARG = candlestick,
    FUNCTION = candlestick_ne,
    COMMUTATOR = <>,
    NEGATOR = =,
    RESTRICT = neqsel,
    JOIN = neqjoinsel
);

CREATE OPERATOR CLASS candlestick_hash_ops
    DEFAULT FOR TYPE candlestick USING hash AS
        OPERATOR 1 =,
        FUNCTION 1 candlestick_hash(candlestick),
        FUNCTION 2 candlestick_hash_extended(candlestick, bigint);

CREATE FUNCTION candlestick(ts timestamptz, open numeric, high numeric, low numeric, close numeric, volume bigint)
RETURNS candlestick
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_make_one';

COMMENT ON FUNCTION candlestick(timestamptz, numeric, numeric, numeric, numeric, bigint)
    IS 'a candle as it is stored; prices are rounded half away from zero to eight decimals, volume may be NULL, NULL where the time or a price is; errors: 22003 NaN, infinite or from 10^10 on, 22023 a low that is not the lowest price, a high that is not the highest, negative volume, infinite time, 22008 a time outside the years 1 to 9999';

-- aggregates: the state is the value, so there is no final function

CREATE FUNCTION candlestick_accum(candlestick, ts timestamptz, open numeric, high numeric, low numeric, close numeric, volume bigint)
RETURNS candlestick
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_accum';

COMMENT ON FUNCTION candlestick_accum(candlestick, timestamptz, numeric, numeric, numeric, numeric, bigint)
    IS 'adds a candle; one with NULL time or price adds nothing, NULL volume is none; errors: 22003 NaN, infinite or from 10^10 on, 22023 a low that is not the lowest price, a high that is not the highest, negative volume, infinite time, 22008 a time outside the years 1 to 9999, 22003 sum of volumes out of range';

CREATE FUNCTION candlestick_accum(candlestick, ts timestamptz, price numeric)
RETURNS candlestick
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_accum_tick';

COMMENT ON FUNCTION candlestick_accum(candlestick, timestamptz, numeric)
    IS 'adds a tick; one with NULL time or price adds nothing; errors: 22003 NaN, infinite or from 10^10 on, 22023 infinite time, 22008 a time outside the years 1 to 9999';

CREATE FUNCTION candlestick_combine(candlestick, candlestick)
RETURNS candlestick
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_combine';

COMMENT ON FUNCTION candlestick_combine(candlestick, candlestick)
    IS 'both together, the second arrived later; NULL is none; errors: 22003 sum of volumes out of range';

CREATE AGGREGATE candlestick_agg(ts timestamptz, open numeric, high numeric, low numeric, close numeric, volume bigint) (
    SFUNC = candlestick_accum,
    STYPE = candlestick,
    COMBINEFUNC = candlestick_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE candlestick_agg(timestamptz, numeric, numeric, numeric, numeric, bigint)
    IS 'candle of candles: open of the first and close of the last by time, of several at one time the first and the last to arrive, highest high, lowest low, sum of volumes (NULL without any); candles with NULL time or price are skipped, NULL without any; errors: 22003 NaN, infinite or from 10^10 on, 22023 a low that is not the lowest price, a high that is not the highest, negative volume, infinite time, 22008 a time outside the years 1 to 9999, 22003 sum of volumes out of range';

CREATE AGGREGATE candlestick_agg(ts timestamptz, price numeric) (
    SFUNC = candlestick_accum,
    STYPE = candlestick,
    COMBINEFUNC = candlestick_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE candlestick_agg(timestamptz, numeric)
    IS 'candle of ticks: first, highest, lowest and last price, by time and then by arrival, volume NULL; ticks with NULL time or price are skipped, NULL without any; errors: 22003 NaN, infinite or from 10^10 on, 22023 infinite time, 22008 a time outside the years 1 to 9999';

-- a keyword of GROUP BY, so that CREATE AGGREGATE needs the quotes
CREATE AGGREGATE "rollup"(candlestick) (
    SFUNC = candlestick_combine,
    STYPE = candlestick,
    COMBINEFUNC = candlestick_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE "rollup"(candlestick)
    IS 'candle of all candlesticks together, the same as of their rows; NULLs are skipped, NULL without any; errors: 22003 sum of volumes out of range';

-- accessors

CREATE FUNCTION open(candlestick)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_open';

COMMENT ON FUNCTION open(candlestick)
    IS 'first price, eight decimals; NULL for NULL';

CREATE FUNCTION high(candlestick)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_high';

COMMENT ON FUNCTION high(candlestick)
    IS 'highest price, eight decimals; NULL for NULL';

CREATE FUNCTION low(candlestick)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_low';

COMMENT ON FUNCTION low(candlestick)
    IS 'lowest price, eight decimals; NULL for NULL';

CREATE FUNCTION close(candlestick)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_close';

COMMENT ON FUNCTION close(candlestick)
    IS 'last price, eight decimals; NULL for NULL';

CREATE FUNCTION volume(candlestick)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_volume';

COMMENT ON FUNCTION volume(candlestick)
    IS 'sum of the volumes that are not NULL; NULL without any and for NULL';

CREATE FUNCTION first_at(candlestick)
RETURNS timestamptz
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_first_at';

COMMENT ON FUNCTION first_at(candlestick)
    IS 'time of the candle or tick that opened; NULL for NULL';

CREATE FUNCTION last_at(candlestick)
RETURNS timestamptz
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_last_at';

COMMENT ON FUNCTION last_at(candlestick)
    IS 'time of the candle or tick that closed; NULL for NULL';

CREATE FUNCTION candlestick_to_jsonb(candlestick)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_to_jsonb';

COMMENT ON FUNCTION candlestick_to_jsonb(candlestick)
    IS 'a JSON object with the keys firstAt, lastAt (ISO 8601, UTC), open, high, low, close (exact, without trailing zeros) and volume (or null)';

CREATE CAST (candlestick AS jsonb) WITH FUNCTION candlestick_to_jsonb(candlestick);

-- market hours
--
-- From Sunday to Friday, 17:00 in New York, without the FX days of
-- fx.holidays.

CREATE FUNCTION is_market_open(at timestamptz)
RETURNS boolean
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_is_market_open';

COMMENT ON FUNCTION is_market_open(timestamptz)
    IS 'whether the market is open: from Sunday to Friday, 17:00 in New York, but for the FX days of fx.holidays; the moment of opening is open, that of closing is not; NULL for NULL; errors: 22023 infinite, 22008 out of range, 42P01 no table';

CREATE FUNCTION open_market_time(since timestamptz, until timestamptz)
RETURNS interval
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_open_market_time';

COMMENT ON FUNCTION open_market_time(timestamptz, timestamptz)
    IS 'how long the market is open between two times, in hours and less; zero when since is not before until; NULL for NULL; errors: 22023 infinite, 22008 out of range, 42P01 no table';

CREATE FUNCTION expected_candles(
    timeframe text,
    since timestamptz,
    until timestamptz,
    alignment text DEFAULT 'new_york')
RETURNS SETOF timestamptz
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_expected_candles';

COMMENT ON FUNCTION expected_candles(text, timestamptz, timestamptz, text)
    IS 'starts of the candles that a market without a pause would have, from since to until (excluded), ascending: those in which it is open for some time; nothing for NULL; does not stop at the present; errors: 22023 infinite time, unknown timeframe or alignment, 22008 out of range, 42P01 no table';

CREATE FUNCTION candle_gaps(
    symbol text,
    timeframe text,
    since timestamptz,
    until timestamptz,
    alignment text DEFAULT 'new_york')
RETURNS TABLE (gap_start timestamptz, gap_end timestamptz, missing bigint)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
    value text;
BEGIN
    FOR name, value IN
        SELECT v.name, v.value
          FROM (VALUES ('symbol', candle_gaps.symbol), ('timeframe', candle_gaps.timeframe),
                       ('since', candle_gaps.since::text), ('until', candle_gaps.until::text),
                       ('alignment', candle_gaps.alignment)) AS v (name, value)
    LOOP
        IF value IS NULL THEN
            RAISE EXCEPTION 'argument "%" must not be null', name
                USING ERRCODE = 'null_value_not_allowed';
        END IF;
    END LOOP;

    RETURN QUERY
        WITH known AS (
            -- a stored candle of a day or longer may begin elsewhere than ours
            SELECT DISTINCT fx.candle_start(c.timestamp, candle_gaps.timeframe, candle_gaps.alignment) AS starts
              FROM fx.candles(candle_gaps.symbol, candle_gaps.timeframe, candle_gaps.since,
                              candle_gaps.until, 'none', candle_gaps.alignment) AS c
        ), expected AS (
            SELECT e.starts, row_number() OVER (ORDER BY e.starts) AS place
              FROM fx.expected_candles(candle_gaps.timeframe, candle_gaps.since,
                                       least(candle_gaps.until, now()),
                                       candle_gaps.alignment) AS e (starts)
        ), absent AS (
            -- one that has not ended may still come
            SELECT e.starts, e.place - row_number() OVER (ORDER BY e.starts) AS run
              FROM expected e
              LEFT JOIN known k ON k.starts = e.starts
             WHERE k.starts IS NULL
               AND fx.candle_end(e.starts, candle_gaps.timeframe, candle_gaps.alignment) <= now()
        )
        SELECT min(a.starts),
               fx.candle_end(max(a.starts), candle_gaps.timeframe, candle_gaps.alignment),
               count(*)
          FROM absent a
         GROUP BY a.run
         ORDER BY 1;
END
$$;

COMMENT ON FUNCTION candle_gaps(text, text, timestamptz, timestamptz, text)
    IS 'runs of candles of a symbol that fx.candles does not have although the market was open, among those that begin from since to until (excluded) and have ended by now: start of the first, end of the last, how many; a run goes on over weekends and holidays; an until of infinity is the present; errors: 22004 NULL, 22023 since is infinite, unknown timeframe or alignment, 22008 out of range';

-- A file whose clock is off has candles on Sunday morning or Friday night.
CREATE FUNCTION off_market_candles(
    symbol text,
    timeframe text,
    since timestamptz DEFAULT '-infinity',
    until timestamptz DEFAULT 'infinity')
RETURNS TABLE ("timestamp" timestamptz, close_price numeric, volume bigint)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stored_symbol text := fx.resolve_symbol(off_market_candles.symbol);
BEGIN
    PERFORM fx.timeframe_rank(off_market_candles.timeframe);
    RETURN QUERY
        SELECT m.timestamp, m.close_price, m.volume
          FROM fx.market_data m
         WHERE m.symbol = stored_symbol
           AND m.timeframe = off_market_candles.timeframe
           AND m.timestamp >= off_market_candles.since
           AND m.timestamp < off_market_candles.until
           -- a month may begin on a weekend, a week of another calendar as well
           AND m.timeframe NOT IN ('1w', '1mn')
           AND (extract(isodow FROM fx.fx_day(m.timestamp)) > 5
                OR EXISTS (SELECT FROM fx.holidays h WHERE h.day = fx.fx_day(m.timestamp)))
         ORDER BY m.timestamp;
END
$$;

COMMENT ON FUNCTION off_market_candles(text, text, timestamptz, timestamptz)
    IS 'stored candles of a symbol and timeframe of up to a day that begin, from since to until (excluded), while the market is closed: the sign of a source with another clock; none for NULL and for 1w and 1mn; error 22023 unknown timeframe';

-- instruments

CREATE FUNCTION instrument_symbol(symbol text)
RETURNS text
LANGUAGE plpgsql
STABLE STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- one index; it is unique, so that a symbol as it is stored needs no second look
    RETURN (SELECT i.symbol
              FROM fx.instruments i
             WHERE translate(upper(i.symbol::text), '/_-. ', '')
                   = translate(upper(instrument_symbol.symbol), '/_-. ', ''));
END
$$;

COMMENT ON FUNCTION instrument_symbol(text)
    IS 'symbol in fx.instruments of the instrument that a text means: case, slash, underscore, hyphen, point and blank do not matter (EUR/USD, eur_usd, EURUSD); NULL when there is none';

CREATE FUNCTION resolve_symbol(symbol text)
RETURNS text
LANGUAGE plpgsql
STABLE STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM fx.candle_series s WHERE s.symbol = resolve_symbol.symbol)
       OR EXISTS (SELECT FROM fx.candle_changes c WHERE c.symbol = resolve_symbol.symbol) THEN
        RETURN resolve_symbol.symbol;
    END IF;
    -- rows of a partition attached as a whole are known to nobody yet
    IF EXISTS (SELECT FROM fx.changed_candle_partitions())
       AND EXISTS (SELECT FROM fx.market_data m WHERE m.symbol = resolve_symbol.symbol) THEN
        RETURN resolve_symbol.symbol;
    END IF;
    RETURN coalesce(fx.instrument_symbol(resolve_symbol.symbol), resolve_symbol.symbol);
END
$$;

COMMENT ON FUNCTION resolve_symbol(text)
    IS 'symbol under which candles are stored: the text itself where there are candles of it, else that of the instrument it means (fx.instrument_symbol), else the text; NULL for NULL';

-- The row of an instrument that a caller named, or an error.
CREATE FUNCTION known_instrument(
    symbol text,
    OUT known_symbol text, OUT quote_currency text, OUT pip_size numeric)
LANGUAGE plpgsql
STABLE STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT i.symbol, i.quote_currency, i.pip_size
      INTO known_instrument.known_symbol, known_instrument.quote_currency, known_instrument.pip_size
      FROM fx.instruments i
     WHERE translate(upper(i.symbol::text), '/_-. ', '')
           = translate(upper(known_instrument.symbol), '/_-. ', '');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'instrument "%" does not exist', left(known_instrument.symbol, 64)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Insert it into fx.instruments.';
    END IF;
END
$$;

COMMENT ON FUNCTION known_instrument(text)
    IS 'symbol, quote currency and pip size of the instrument that a text means; NULLs for NULL; error 22023 when there is none';

CREATE FUNCTION pips(symbol text, price_difference numeric)
RETURNS numeric
LANGUAGE plpgsql
STABLE STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pip numeric := (SELECT k.pip_size FROM fx.known_instrument(pips.symbol) AS k);
BEGIN
    IF price_difference::text IN ('NaN', 'Infinity', '-Infinity') THEN
        RAISE EXCEPTION 'argument "price_difference" must be finite'
            USING ERRCODE = 'numeric_value_out_of_range';
    END IF;
    RETURN round(price_difference / pip, 8);
END
$$;

COMMENT ON FUNCTION pips(text, numeric)
    IS 'a difference of prices of an instrument in pips, eight decimals; NULL for NULL; errors: 22023 unknown instrument, 22003 the difference is not finite';

CREATE FUNCTION pips(symbol text, type text, open_price numeric, close_price numeric)
RETURNS numeric
LANGUAGE plpgsql
STABLE STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF type NOT IN ('buy', 'sell') THEN
        RAISE EXCEPTION 'argument "type" must be "buy" or "sell"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN fx.pips(symbol, CASE type WHEN 'buy' THEN close_price - open_price
                                     ELSE open_price - close_price END);
END
$$;

COMMENT ON FUNCTION pips(text, text, numeric, numeric)
    IS 'pips that a trade won, negative when lost: type is buy or sell; NULL for NULL; errors: 22023 unknown instrument or type, 22003 a price is not finite';

CREATE FUNCTION pip_value(
    symbol text,
    quantity numeric,
    account_currency text,
    as_of timestamptz DEFAULT now())
RETURNS numeric
LANGUAGE plpgsql
STABLE STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    instrument record;
BEGIN
    SELECT k.quote_currency, k.pip_size INTO instrument
      FROM fx.known_instrument(pip_value.symbol) AS k;
    RETURN fx.convert(instrument.pip_size * quantity, instrument.quote_currency,
                      account_currency, as_of);
END
$$;

COMMENT ON FUNCTION pip_value(text, numeric, text, timestamptz)
    IS 'what a pip of a position is worth in the currency of an account: pip size times quantity (units, not lots) converted by fx.convert, rounded once, to eight decimals; NULL for NULL and where no rate is known; errors: 22023 unknown instrument or no currency code, 22003 quantity not finite';

-- holidays

CREATE FUNCTION add_standard_holidays(since integer, until integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made integer;
BEGIN
    IF since IS NULL OR until IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN since IS NULL THEN 'since' ELSE 'until' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF since < 1900 OR until > 9999 THEN
        RAISE EXCEPTION 'argument "%" is out of range',
                CASE WHEN since < 1900 THEN 'since' ELSE 'until' END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF since > until THEN
        RAISE EXCEPTION 'argument "since" must not be after "until"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    INSERT INTO fx.holidays (day, name)
    SELECT make_date(y.year, h.month, h.mday), h.name
      FROM generate_series(since, until) AS y (year),
           (VALUES (1, 1, 'New Year'), (12, 25, 'Christmas')) AS h (month, mday, name)
     ORDER BY 1
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;

COMMENT ON FUNCTION add_standard_holidays(integer, integer)
    IS 'adds New Year and Christmas Day of the years since to until (both included) to fx.holidays where they are missing, returns how many; needs the right to insert; errors: 22004 NULL, 22023 years out of range or in the wrong order';

-- newest stored candles

CREATE FUNCTION latest_stored_candle(symbol text, timeframe text)
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint)
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
ROWS 1
AS 'MODULE_PATHNAME', 'fx_latest_stored_candle';

COMMENT ON FUNCTION latest_stored_candle(text, text)
    IS 'newest row of fx.market_data of exactly this symbol and timeframe, by a walk down one index; no row when there is none, or for NULL; errors: 22023 unknown timeframe, 42501 no right to read the table, 42P01 no table';

CREATE FUNCTION latest_stored_candles(timeframe text)
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint)
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_latest_stored_candles';

COMMENT ON FUNCTION latest_stored_candles(text)
    IS 'newest row of fx.market_data of exactly this timeframe for every symbol that fx.candle_series and fx.candle_changes know, in the order of the symbols'' bytes; nothing for NULL; errors: 22023 unknown timeframe, 42501 no right to read the table, 42P01 no table';

-- prices for the risk engine

CREATE FUNCTION forget_prices()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_forget_prices';

REVOKE ALL ON FUNCTION forget_prices() FROM PUBLIC;

COMMENT ON FUNCTION forget_prices()
    IS 'trigger, AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE on fx.instruments: the session reads prices and instruments anew for its next risk check (other sessions within fxplatform.price_cache)';

-- rates between currencies

CREATE FUNCTION rate(from_currency text, to_currency text, as_of timestamptz DEFAULT now())
RETURNS numeric
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_rate';

COMMENT ON FUNCTION rate(text, text, timestamptz)
    IS 'units of to_currency for one of from_currency by the stored candles at a time: close of the pair, else one over that of the opposite pair, else two legs through USD, then EUR; of a pair the newest candle that had opened, of the finest timeframe that is at most fxplatform.max_rate_age old (hours of the closed market do not count); products of closes are exact, quotients have at least 16 significant digits; NULL when nothing fresh is known, and for NULL; errors: 22023 no currency code or an infinite time, 22008 out of range, 42501 no right to read the tables, 42P01 no table';

CREATE FUNCTION convert(
    amount numeric,
    from_currency text,
    to_currency text,
    as_of timestamptz DEFAULT now())
RETURNS numeric
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_convert';

COMMENT ON FUNCTION convert(numeric, text, text, timestamptz)
    IS 'an amount of from_currency in to_currency by the rate of fx.rate, computed exactly and rounded once, half away from zero, to eight decimals; NULL when no rate is fresh (never the amount or 0), and for NULL; errors: those of fx.rate, 22003 amount not finite';

CREATE FUNCTION rate_details(
    from_currency text,
    to_currency text,
    as_of timestamptz DEFAULT now())
RETURNS TABLE (
    rate numeric,
    path text[],
    method text,
    observed_at timestamptz,
    age interval)
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
ROWS 1
AS 'MODULE_PATHNAME', 'fx_rate_details';

COMMENT ON FUNCTION rate_details(text, text, timestamptz)
    IS 'the rate of fx.rate with what it is made of: symbols used, method (same, direct, inverse, cross), when the price that was observed first was (end of its candle, or as_of while that forms) and how long the market was open since; no row when there is no rate, and for NULL; errors as fx.rate';

-- ingest of candles

CREATE TYPE candle AS (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume numeric
);

COMMENT ON TYPE candle
    IS 'a candle as it comes from outside, for fx.ingest_candles; timestamp is when it opens; a volume of NULL is 0';

-- Months are the owner's to make.  Whoever may write candles may have made
-- those that candles can lie in, and no others.
CREATE FUNCTION make_candle_months(months date[])
RETURNS integer
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    month date;
    made integer := 0;
BEGIN
    FOR month IN SELECT DISTINCT m FROM unnest(months) AS m ORDER BY m LOOP
        IF month IS NULL OR month < date '1970-01-01'
           OR month > (now() AT TIME ZONE 'UTC')::date + 2 THEN
            RAISE EXCEPTION 'month "%" is out of range', coalesce(month::text, 'null')
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Candles lie between 1970 and tomorrow.';
        END IF;
        made := made + fx.create_market_data_partitions(month, month + 1);
    END LOOP;
    RETURN made;
END
$$;

REVOKE ALL ON FUNCTION make_candle_months(date[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_candle_months(date[]) TO fx_app;

COMMENT ON FUNCTION make_candle_months(date[])
    IS 'makes the missing partitions of fx.market_data for the months of these days, from 1970 to tomorrow, with the rights of the owner; returns how many; for fx.ingest_candles and fx.load_candles; errors: 22023 out of range, those of fx.create_market_data_partitions';

CREATE FUNCTION has_partition(parent regclass, at timestamptz)
RETURNS boolean
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_has_partition';

COMMENT ON FUNCTION has_partition(regclass, timestamptz)
    IS 'whether a table that is partitioned by ranges of a timestamp has a partition for a time, whatever its name; NULL for NULL; error 42809 for another table';

CREATE FUNCTION candle_fault(
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume numeric,
    latest timestamptz DEFAULT NULL)
RETURNS text
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candle_fault';

COMMENT ON FUNCTION candle_fault(text, text, timestamptz, numeric, numeric, numeric, numeric, numeric, timestamptz)
    IS 'everything for which fx.market_data would refuse a candle, joined by "; ", or NULL when nothing is wrong; a volume of NULL is 0; latest is the last time that is not in the future, NULL for any; no errors';

CREATE FUNCTION timeframe_named(name text)
RETURNS text
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_timeframe_named';

COMMENT ON FUNCTION timeframe_named(text)
    IS 'the time frame of a name: its own, 1m to 1mn, or what other platforms call it, M1 M5 M15 M30 H1 H4 D1 W1 MN1 in any case; NULL for anything else and for NULL';

CREATE FUNCTION candle_as_json(candle fx.candle)
RETURNS jsonb
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    SELECT coalesce(to_jsonb(candle), 'null')
$$;

COMMENT ON FUNCTION candle_as_json(fx.candle)
    IS 'a candle as fx.market_data_rejects keeps it, times in UTC; JSON null for NULL';

CREATE FUNCTION ingest_candles(
    candles fx.candle[],
    OUT inserted bigint,
    OUT updated bigint,
    OUT unchanged bigint,
    OUT rejected bigint,
    OUT off_market bigint)
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fx_ingest_candles';

REVOKE ALL ON FUNCTION ingest_candles(fx.candle[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ingest_candles(fx.candle[]) TO fx_app;

COMMENT ON FUNCTION ingest_candles(fx.candle[])
    IS 'writes candles to fx.market_data as if one by one in their order, makes missing partitions, keeps replaced versions in fx.market_data_revisions and faulty rows in fx.market_data_rejects; counts rows inserted, updated, unchanged and rejected, and those stored that begin while the market is closed; instruments are stored under their own symbol; runs with the rights of the caller; errors: 22004 NULL array, 42P07 a table that is no partition has the name of a month';

CREATE FUNCTION ingest_candles(
    candles jsonb,
    OUT inserted bigint,
    OUT updated bigint,
    OUT unchanged bigint,
    OUT rejected bigint,
    OUT off_market bigint)
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fx_ingest_candles_of_json';

REVOKE ALL ON FUNCTION ingest_candles(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ingest_candles(jsonb) TO fx_app;

COMMENT ON FUNCTION ingest_candles(jsonb)
    IS 'the same for a JSON array of objects with the columns as keys, open_price, openPrice, open or o; numbers may be strings, times without offset are UTC, volume may be absent; errors: 22004 NULL, 22023 not an array, those of the other';

-- An untyped literal would fit both, and the parser prefers text.
CREATE FUNCTION ingest_candles(
    candles text,
    OUT inserted bigint,
    OUT updated bigint,
    OUT unchanged bigint,
    OUT rejected bigint,
    OUT off_market bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT i.* INTO inserted, updated, unchanged, rejected, off_market
      FROM fx.ingest_candles(candles::jsonb) AS i;
END
$$;

REVOKE ALL ON FUNCTION ingest_candles(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ingest_candles(text) TO fx_app;

COMMENT ON FUNCTION ingest_candles(text)
    IS 'fx.ingest_candles of candles as JSON text; error 22P02 when it is not JSON';

-- load of candles from a staging table

CREATE FUNCTION number_or_nan(value text)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_number_or_nan';

COMMENT ON FUNCTION number_or_nan(text)
    IS 'a decimal number from text, rounded to eight decimals, or NaN when it is none; never an error';

CREATE FUNCTION time_or_infinity(value text)
RETURNS timestamptz
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_time_or_infinity';

COMMENT ON FUNCTION time_or_infinity(text)
    IS 'an ISO-8601 time from text, in UTC where it has no offset, or infinity when it is none; never an error';

-- The columns of a staging table as expressions over its alias s that have
-- the types of fx.candle, in its order.
CREATE FUNCTION staging_columns(staging regclass)
RETURNS text[]
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    item record;
    col record;
    missing text[] := '{}';
    expressions text[] := '{}';
BEGIN
    FOR item IN
        SELECT v.names, v.kind
          FROM (VALUES (1, ARRAY['symbol', 's'], 'text'),
                       (2, ARRAY['timeframe', 'tf'], 'text'),
                       (3, ARRAY['timestamp', 'time', 't'], 'time'),
                       (4, ARRAY['open_price', 'open', 'o'], 'number'),
                       (5, ARRAY['high_price', 'high', 'h'], 'number'),
                       (6, ARRAY['low_price', 'low', 'l'], 'number'),
                       (7, ARRAY['close_price', 'close', 'c'], 'number'),
                       (8, ARRAY['volume', 'v'], 'number')) AS v (place, names, kind)
         ORDER BY v.place
    LOOP
        SELECT a.attname, a.atttypid::regtype AS type,
               coalesce(nullif(t.typbasetype, 0), t.oid)::regtype AS base, t.typcategory
          INTO col
          FROM pg_attribute a
          JOIN pg_type t ON t.oid = a.atttypid
         WHERE a.attrelid = staging AND a.attnum > 0 AND NOT a.attisdropped
           AND a.attname = ANY (item.names)
         ORDER BY array_position(item.names, a.attname::text)
         LIMIT 1;

        IF NOT FOUND THEN
            IF item.names[1] = 'volume' THEN
                expressions := expressions || 'NULL::numeric'::text;
            ELSE
                missing := missing || format('"%s"', item.names[1]);
            END IF;
        ELSIF item.kind = 'text' AND col.typcategory = 'S' THEN
            expressions := expressions || format('s.%I::text', col.attname);
        ELSIF item.kind = 'number' AND col.typcategory = 'N' AND col.base <> 'money'::regtype THEN
            expressions := expressions || format('s.%I::numeric', col.attname);
        ELSIF item.kind = 'number' AND col.typcategory = 'S' THEN
            expressions := expressions || format('fx.number_or_nan(s.%I::text)', col.attname);
        ELSIF item.kind = 'time' AND col.base = 'timestamptz'::regtype THEN
            expressions := expressions || format('s.%I', col.attname);
        ELSIF item.kind = 'time' AND col.base IN ('timestamp'::regtype, 'date'::regtype) THEN
            expressions := expressions || format('(s.%I::timestamp AT TIME ZONE ''UTC'')', col.attname);
        ELSIF item.kind = 'time' AND col.typcategory = 'S' THEN
            expressions := expressions || format('fx.time_or_infinity(s.%I::text)', col.attname);
        ELSE
            RAISE EXCEPTION 'column "%" of staging table has type %', col.attname, col.type
                USING ERRCODE = 'datatype_mismatch',
                      DETAIL = CASE item.kind WHEN 'text' THEN 'It must be text.'
                                              ELSE format('It must be a %s, or text.', item.kind) END;
        END IF;
    END LOOP;

    IF missing <> '{}' THEN
        RAISE EXCEPTION 'staging table "%" has no column %', staging, array_to_string(missing, ', ')
            USING ERRCODE = 'undefined_column',
                  HINT = 'Columns are found by name: symbol, timeframe, timestamp, open_price or open or o, and so on; volume may be absent.';
    END IF;
    RETURN expressions;
END
$$;

COMMENT ON FUNCTION staging_columns(regclass)
    IS 'for fx.load_candles: the columns of a staging table as SQL expressions over its alias s, in the order and with the types of fx.candle; errors: 42703 columns missing, 42804 a column has another type';

-- Runs as the caller: what he may not read is not loaded, and what he may
-- not write is not written.
CREATE FUNCTION load_candles(
    staging regclass,
    OUT inserted bigint,
    OUT updated bigint,
    OUT unchanged bigint,
    OUT rejected bigint,
    OUT off_market bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    merge_columns CONSTANT text := 'symbol, timeframe, "timestamp", open_price, high_price, low_price, close_price, volume';
    on_conflict CONSTANT text := '
        ON CONFLICT (symbol, timeframe, "timestamp") DO UPDATE
        SET open_price = excluded.open_price, high_price = excluded.high_price,
            low_price = excluded.low_price, close_price = excluded.close_price,
            volume = excluded.volume, created_at = excluded.created_at + interval ''1 microsecond''
        WHERE (m.open_price, m.high_price, m.low_price, m.close_price, m.volume)
              IS DISTINCT FROM
              (excluded.open_price, excluded.high_price, excluded.low_price, excluded.close_price, excluded.volume)
        RETURNING m.created_at';
    latest timestamptz;
    stamp timestamptz;
    kind "char";
    fields text[];
    row_order text := '0';
    source text;
    ordered text;
    spellings text[];
    symbols text[];
    months date[];
    accepted bigint;
    repeated bigint;
    candle record;
    written timestamptz;
BEGIN
    IF staging IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', 'staging'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    fields := fx.staging_columns(staging);

    SELECT c.relkind INTO kind FROM pg_class c WHERE c.oid = staging;
    IF kind = 'r' THEN
        -- of rows with the same key the one that stands later was written later
        row_order := 's.ctid';
        -- it must not change between the statements; who only reads it cannot lock it
        IF has_table_privilege(staging, 'UPDATE, DELETE, TRUNCATE') THEN
            EXECUTE format('LOCK TABLE %s IN SHARE MODE', staging);
        END IF;
    END IF;

    -- symbols that mean an instrument in another spelling; OFFSET keeps the
    -- function from being called for every row
    EXECUTE format(
        'SELECT array_agg(d.symbol), array_agg(d.instrument)
           FROM (SELECT s.symbol, fx.instrument_symbol(s.symbol) AS instrument
                   FROM (SELECT DISTINCT %s AS symbol FROM %s AS s OFFSET 0) AS s OFFSET 0) AS d
          WHERE d.instrument <> d.symbol', fields[1], staging)
       INTO spellings, symbols;

    latest := clock_timestamp() + interval '1 day';
    source := format(
        'SELECT coalesce(n.instrument, %1$s) AS symbol, fx.timeframe_named(%2$s) AS timeframe,
                %3$s AS "timestamp", %4$s AS open_price, %5$s AS high_price,
                %6$s AS low_price, %7$s AS close_price,
                coalesce(%8$s, 0) AS volume, %9$s AS place
           FROM %10$s AS s LEFT JOIN unnest($1, $2) AS n (symbol, instrument) ON n.symbol = %1$s
          WHERE fx.candle_fault(%1$s, %2$s, %3$s, %4$s, %5$s, %6$s, %7$s, %8$s, $3) IS NULL',
        fields[1], fields[2], fields[3], fields[4], fields[5], fields[6], fields[7], fields[8],
        row_order, staging);

    EXECUTE format(
        'INSERT INTO fx.market_data_rejects (reason, candle)
         SELECT f.fault, to_jsonb(s)
           FROM %9$s AS s, LATERAL (SELECT fx.candle_fault(%1$s, %2$s, %3$s, %4$s, %5$s, %6$s, %7$s, %8$s, $1)) AS f (fault)
          WHERE f.fault IS NOT NULL',
        fields[1], fields[2], fields[3], fields[4], fields[5], fields[6], fields[7], fields[8], staging)
      USING latest;
    GET DIAGNOSTICS rejected = ROW_COUNT;

    EXECUTE format(
        'SELECT sum(d.n), sum(d.n) FILTER (WHERE d.off),
                array_agg(DISTINCT d.month) FILTER (WHERE NOT fx.has_partition(''fx.market_data'', d.month::timestamp AT TIME ZONE ''UTC''))
           FROM (SELECT date_trunc(''month'', c."timestamp" AT TIME ZONE ''UTC'')::date AS month,
                        c.timeframe NOT IN (''1w'', ''1mn'') AND extract(isodow FROM fx.fx_day(c."timestamp")) IN (6, 7) AS off,
                        count(*) AS n
                   FROM (%s) AS c GROUP BY 1, 2) AS d', source)
       INTO accepted, off_market, months
      USING spellings, symbols, latest;
    accepted := coalesce(accepted, 0);
    off_market := coalesce(off_market, 0);
    IF months IS NOT NULL THEN
        PERFORM fx.make_candle_months(months);
    END IF;

    -- The first rows of all keys, in the order in which fx.ingest_candles locks
    -- them: a materialised query is read in its own order.
    ordered := format(
        'SELECT c.*, lag(c."timestamp") OVER w IS NOT DISTINCT FROM c."timestamp" AS again
           FROM (%s) AS c
         WINDOW w AS (PARTITION BY c.symbol COLLATE "C", fx.timeframe_rank(c.timeframe)
                      ORDER BY c."timestamp", c.place)
          ORDER BY c.symbol COLLATE "C", fx.timeframe_rank(c.timeframe), c."timestamp", c.place', source);
    stamp := clock_timestamp();
    EXECUTE format(
        'WITH ordered AS MATERIALIZED (%2$s), merged AS (
             INSERT INTO fx.market_data AS m (%1$s, created_at)
             SELECT %1$s, $4 FROM ordered AS c WHERE NOT c.again
             %3$s)
         SELECT count(*) FILTER (WHERE g.created_at = $4), count(*) FILTER (WHERE g.created_at <> $4),
                (SELECT count(*) FROM ordered AS c WHERE c.again)
           FROM merged AS g',
        merge_columns, ordered, on_conflict)
       INTO inserted, updated, repeated
      USING spellings, symbols, latest, stamp;

    -- Then the others one by one: few, or many of one key, whose order matters.
    IF repeated > 0 THEN
        FOR candle IN EXECUTE format(
            'SELECT c.* FROM (%s) AS c WHERE c.again
              ORDER BY c.symbol COLLATE "C", fx.timeframe_rank(c.timeframe), c."timestamp", c.place', ordered)
            USING spellings, symbols, latest
        LOOP
            EXECUTE format(
                'INSERT INTO fx.market_data AS m (%s, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) %s', merge_columns, on_conflict)
               INTO written
              USING candle.symbol, candle.timeframe, candle."timestamp", candle.open_price, candle.high_price,
                    candle.low_price, candle.close_price, candle.volume, clock_timestamp();
            updated := updated + (written IS NOT NULL)::integer;
        END LOOP;
    END IF;
    unchanged := accepted - inserted - updated;
END
$$;

REVOKE ALL ON FUNCTION load_candles(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION load_candles(regclass) TO fx_app;

COMMENT ON FUNCTION load_candles(regclass)
    IS 'checks the rows of a staging table and merges them into fx.market_data as fx.ingest_candles does, for any number of rows; columns are found by name, text ones are read as from JSON; the staging table stays as it is; runs with the rights of the caller; errors: 22004 NULL, 42703 columns missing, 42804 a column of another type, 42501 not allowed to read it';

-- candles of ticks

-- PL/pgSQL would take the columns symbol and timeframe for the arguments; the
-- function below gives them their public names.
CREATE FUNCTION build_tick_candles(
    symbol_read text,
    timeframe_read text,
    since timestamptz,
    until timestamptz,
    side text,
    alignment text)
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint,
    spread numeric)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stored_symbol text := symbol_read;
    first_start timestamptz;
    last_end timestamptz;
BEGIN
    IF symbol_read IS NULL OR timeframe_read IS NULL OR side IS NULL OR alignment IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN symbol_read IS NULL THEN 'symbol'
                     WHEN timeframe_read IS NULL THEN 'timeframe'
                     WHEN side IS NULL THEN 'side' ELSE 'alignment' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF side NOT IN ('bid', 'ask', 'mid') THEN
        RAISE EXCEPTION 'argument "side" must be "bid", "ask" or "mid"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- the first candle that begins at since or later, and the end of the last
    -- one that begins before until
    since := coalesce(since, '-infinity');
    until := coalesce(until, 'infinity');
    first_start := fx.candle_start(since, timeframe_read, alignment);
    IF NOT since < until THEN
        RETURN;
    END IF;
    IF first_start < since THEN
        first_start := fx.candle_end(since, timeframe_read, alignment);
    END IF;
    last_end := fx.candle_end(until - interval '1 microsecond', timeframe_read, alignment);

    IF NOT EXISTS (SELECT FROM fx.quotes q WHERE q.symbol = symbol_read) THEN
        stored_symbol := coalesce(fx.instrument_symbol(symbol_read), symbol_read);
    END IF;

    -- Ticks of one time count by arrival, so the order is that of the key; the
    -- candle's start in front lets the groups be formed without another sort.
    RETURN QUERY
        SELECT stored_symbol, timeframe_read, c.start, fx.open(c.candle), fx.high(c.candle),
               fx.low(c.candle), fx.close(c.candle), c.ticks, c.spread
          FROM (SELECT t.start, fx.candlestick_agg(t.at, t.price) AS candle, count(*) AS ticks,
                       round(avg(t.spread), 8) AS spread
                  FROM (SELECT fx.candle_start(q.timestamp, timeframe_read, alignment) AS start,
                               q.timestamp AS at,
                               CASE side WHEN 'bid' THEN q.bid WHEN 'ask' THEN q.ask
                                         ELSE (q.bid + q.ask) / 2 END AS price,
                               q.ask - q.bid AS spread
                          FROM fx.quotes q
                         WHERE q.symbol = stored_symbol
                           AND q.timestamp >= first_start AND q.timestamp < last_end
                         ORDER BY start, q.timestamp, q.id) AS t
                 GROUP BY t.start) AS c
         ORDER BY c.start;
END
$$;

COMMENT ON FUNCTION build_tick_candles(text, text, timestamptz, timestamptz, text, text)
    IS 'body of fx.tick_candles';

CREATE FUNCTION tick_candles(
    symbol text,
    timeframe text,
    since timestamptz DEFAULT '-infinity',
    until timestamptz DEFAULT 'infinity',
    side text DEFAULT 'mid',
    alignment text DEFAULT 'new_york')
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint,
    spread numeric)
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM fx.build_tick_candles($1, $2, $3, $4, $5, $6)
$$;

COMMENT ON FUNCTION tick_candles(text, text, timestamptz, timestamptz, text, text)
    IS 'candles of the ticks of fx.quotes that begin from since to until (excluded; NULL and infinity: all), each of all its ticks, by time; side is bid, ask or mid, the mean of both; of ticks of one time the order of arrival counts; volume is the number of ticks, spread the mean of ask - bid to eight decimals; candles without ticks are left out; timeframes and alignment as for fx.candles; the symbol may be spelled EURUSD, EUR/USD, EUR_USD; errors: 22004 NULL symbol, timeframe, side or alignment, 22023 unknown timeframe, side or alignment';

-- changes of candles
--
-- Roll-ups are valid but for the FX days noted in fx.candle_changes, and for
-- months whose partition is not the one that was rolled up.

CREATE FUNCTION note_candle_change()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_note_candle_change';

REVOKE ALL ON FUNCTION note_candle_change() FROM PUBLIC;

COMMENT ON FUNCTION note_candle_change()
    IS 'trigger, AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW: notes symbol, timeframe and FX day of the candle in fx.candle_changes, once a transaction; runs with the rights of that table''s owner';

CREATE FUNCTION forget_noted_changes()
RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_forget_noted_changes';

REVOKE ALL ON FUNCTION forget_noted_changes() FROM PUBLIC;

COMMENT ON FUNCTION forget_noted_changes()
    IS 'makes this transaction note changes of candles again that it has noted before; called when the notes are taken away';

CREATE FUNCTION candle_partition_states()
RETURNS TABLE (partition_name text, identity text, partition oid, settled boolean)
LANGUAGE C
STABLE
PARALLEL SAFE
ROWS 50
AS 'MODULE_PATHNAME', 'fx_candle_partition_states';

COMMENT ON FUNCTION candle_partition_states()
    IS 'the attached partitions of fx.market_data as they are now: name with schema, quoted; what changes when the partition is truncated, detached or replaced; the table; and whether all that can happen to it from now on is noticed, which is not so for what this transaction made or truncated, for unlogged and for foreign tables';

-- Bounds are widened to whole FX days, since a daily candle may lie on both
-- sides.  A partition by something else than two times counts as all of time.
CREATE FUNCTION changed_candle_partitions()
RETURNS TABLE (partition_name text, identity text, since timestamptz, until timestamptz)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT s.partition_name AS now_name, s.identity AS now_identity, s.partition AS now_oid,
               p.partition_name AS old_name, p.since AS old_since, p.until AS old_until
          FROM fx.candle_partition_states() s
          FULL JOIN fx.candle_partitions p
            ON p.partition_name = s.partition_name AND p.identity = s.identity
         WHERE s.partition_name IS NULL OR p.partition_name IS NULL
    LOOP
        partition_name := coalesce(item.now_name, item.old_name);
        identity := item.now_identity;
        IF item.now_name IS NULL THEN
            since := item.old_since;
            until := item.old_until;
        ELSE
            SELECT coalesce(b.lower, '-infinity'), coalesce(b.upper, 'infinity') INTO since, until
              FROM (SELECT) AS one
              LEFT JOIN fx.partition_bounds('fx.market_data') b ON b.partition = item.now_oid;
            since := fx.fx_day_start(fx.fx_day(since));
            until := fx.fx_day_start(fx.fx_day(until - interval '1 microsecond') + 1);
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION changed_candle_partitions()
    IS 'partitions of fx.market_data that were attached, truncated, detached (identity NULL) or dropped since the last fx.refresh_candles, and the FX days that they cover';

-- Nothing need be worked out for a partition that is empty and has no roll-ups:
-- all that comes into it is noted.  Called where nobody can write into it
-- unnoticed, by whoever made it or holds a lock on the table.
CREATE FUNCTION know_empty_partitions()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    item record;
    has_rows boolean;
BEGIN
    -- the notes of this transaction may have gone with a table of theirs
    PERFORM fx.forget_noted_changes();
    FOR item IN
        SELECT c.* FROM fx.changed_candle_partitions() c
         WHERE c.identity IS NOT NULL
           AND NOT EXISTS (SELECT FROM fx.candle_partitions p
                            WHERE p.partition_name = c.partition_name)
           AND NOT EXISTS (SELECT FROM fx.candle_rollups r
                            WHERE r.timestamp >= c.since AND r.timestamp < c.until)
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', item.partition_name) INTO has_rows;
        IF NOT has_rows THEN
            INSERT INTO fx.candle_partitions (partition_name, identity, since, until)
            VALUES (item.partition_name, item.identity, item.since, item.until)
            ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION know_empty_partitions() FROM PUBLIC;

COMMENT ON FUNCTION know_empty_partitions()
    IS 'takes partitions of fx.market_data that are new and empty for known, so that their months need no refresh';

-- candles of any timeframe
--
-- Up to one hour a candle is made from the finest stored timeframe that has a
-- row in it.  A longer one is made from candles of one hour (4h, 1d) or one
-- day (1w, 1mn), and where there are none it is a stored one.  Hours and days
-- are read from fx.candle_rollups, but for FX days that have changed since
-- those were made: these are made from fx.market_data on the spot.  All of a
-- call sees one snapshot, in which notes of changes, roll-ups and rows agree.

-- What the functions below pass on: stored, the timeframes that may have rows
-- of the symbol, finest first; changed, the times of changed FX days; and with
-- each candle source, the finest timeframe that went into it.

CREATE FUNCTION candle_state(symbol text, OUT stored text[], OUT changed tstzmultirange)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    frames CONSTANT text[] := '{1m,5m,15m,30m,1h,4h,1d,1w,1mn}';
    whole tstzmultirange;
BEGIN
    SELECT range_agg(tstzrange(p.since, p.until)) INTO whole
      FROM fx.changed_candle_partitions() p;
    SELECT range_agg(tstzrange(fx.fx_day_start(c.day), fx.fx_day_start(c.day + 1))) INTO changed
      FROM (SELECT DISTINCT n.day FROM fx.candle_changes n
             WHERE n.symbol = candle_state.symbol) AS c;
    changed := coalesce(changed, '{}') + coalesce(whole, '{}');

    IF whole IS NOT NULL THEN
        -- rows of a partition attached as a whole are known to nobody yet
        stored := frames;
    ELSE
        stored := ARRAY(
            SELECT t.timeframe
              FROM (SELECT s.timeframe::text FROM fx.candle_series s
                     WHERE s.symbol = candle_state.symbol
                    UNION
                    SELECT c.timeframe::text FROM fx.candle_changes c
                     WHERE c.symbol = candle_state.symbol) AS t
             WHERE t.timeframe = ANY (frames)
             ORDER BY array_position(frames, t.timeframe));
    END IF;
END
$$;

COMMENT ON FUNCTION candle_state(text)
    IS 'timeframes of fx.market_data that may hold candles of the symbol, finest first, and the FX days whose candles have changed since the last fx.refresh_candles, as ranges of time';

CREATE TYPE candle_part AS (
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint,
    source text
);

COMMENT ON TYPE candle_part
    IS 'a candle on its way through the functions behind fx.candles; source is the finest timeframe that went into it';

-- Candles of up to an hour from stored rows alone.
CREATE FUNCTION built_candles(symbol text, timeframe text, since timestamptz, until timestamptz, stored text[])
RETURNS SETOF candle_part
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    finer text[] := ARRAY(
        SELECT t.name FROM unnest(stored) AS t (name)
         WHERE fx.timeframe_rank(t.name) <= fx.timeframe_rank(built_candles.timeframe));
BEGIN
    IF finer = '{}' THEN
        RETURN;
    ELSIF finer = ARRAY[built_candles.timeframe] THEN
        RETURN QUERY
            SELECT m.timestamp, m.open_price, m.high_price, m.low_price, m.close_price,
                   m.volume, m.timeframe::text
              FROM fx.market_data m
             WHERE m.symbol = built_candles.symbol
               AND m.timeframe = built_candles.timeframe
               AND m.timestamp >= built_candles.since AND m.timestamp < built_candles.until;
    ELSIF cardinality(finer) = 1 THEN
        RETURN QUERY
            SELECT b.starts, fx.open(b.c), fx.high(b.c), fx.low(b.c), fx.close(b.c),
                   fx.volume(b.c), finer[1]
              FROM (SELECT fx.candle_start(m.timestamp, built_candles.timeframe) AS starts,
                           fx.candlestick_agg(m.timestamp, m.open_price, m.high_price,
                                              m.low_price, m.close_price, m.volume) AS c
                      FROM fx.market_data m
                     WHERE m.symbol = built_candles.symbol
                       AND m.timeframe = finer[1]
                       AND m.timestamp >= built_candles.since AND m.timestamp < built_candles.until
                     GROUP BY 1) AS b;
    ELSE
        RETURN QUERY
            SELECT DISTINCT ON (b.starts)
                   b.starts, fx.open(b.c), fx.high(b.c), fx.low(b.c), fx.close(b.c),
                   fx.volume(b.c), b.frame
              FROM (SELECT fx.candle_start(m.timestamp, built_candles.timeframe) AS starts,
                           m.timeframe::text AS frame,
                           fx.candlestick_agg(m.timestamp, m.open_price, m.high_price,
                                              m.low_price, m.close_price, m.volume) AS c
                      FROM fx.market_data m
                     WHERE m.symbol = built_candles.symbol
                       AND m.timeframe = ANY (finer)
                       AND m.timestamp >= built_candles.since AND m.timestamp < built_candles.until
                     GROUP BY 1, 2) AS b
             ORDER BY b.starts, fx.timeframe_rank(b.frame);
    END IF;
END
$$;

COMMENT ON FUNCTION built_candles(text, text, timestamptz, timestamptz, text[])
    IS 'candles of 1m to 1h made from fx.market_data alone, each from the finest timeframe that has a row in it; since and until (excluded) are starts of candles';

-- Hours made from stored rows, but for those whose rows have expired since.
CREATE FUNCTION built_hours(symbol text, since timestamptz, until timestamptz, stored text[])
RETURNS SETOF candle_part
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM fx.candle_horizons) THEN
        RETURN QUERY SELECT * FROM fx.built_candles(symbol, '1h', since, until, stored);
        RETURN;
    END IF;
    RETURN QUERY
        WITH final AS MATERIALIZED (
            SELECT * FROM fx.final_rollups(symbol, '1h', since, until)
        )
        SELECT f.* FROM final f
        UNION ALL
        SELECT b.* FROM fx.built_candles(symbol, '1h', since, until, stored) b
         WHERE NOT EXISTS (SELECT FROM final f WHERE f.timestamp = b.timestamp);
END
$$;

COMMENT ON FUNCTION built_hours(text, timestamptz, timestamptz, text[])
    IS 'candles of 1h made from fx.market_data, and those roll-ups whose source has expired';

CREATE FUNCTION final_rollups(symbol text, timeframe text, since timestamptz, until timestamptz)
RETURNS SETOF candle_part
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT r.timestamp, r.open_price, r.high_price, r.low_price, r.close_price,
               r.volume, r.source::text
          FROM fx.candle_rollups r
          JOIN fx.candle_horizons h ON h.timeframe = r.source AND r.timestamp < h.expired_before
           -- a day that has not ended is made of hours, of which some are final
           AND (r.timeframe = '1h' OR r.source IN ('4h', '1d')
                OR fx.candle_end(r.timestamp, r.timeframe) <= h.expired_before)
         WHERE r.symbol = final_rollups.symbol AND r.timeframe = final_rollups.timeframe
           AND r.timestamp >= since AND r.timestamp < until;
END
$$;

COMMENT ON FUNCTION final_rollups(text, text, timestamptz, timestamptz)
    IS 'roll-ups that stay as they are, because retention has removed what they were made from';

CREATE FUNCTION hour_candles(symbol text, since timestamptz, until timestamptz, stored text[], changed tstzmultirange)
RETURNS SETOF candle_part
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT r.timestamp, r.open_price, r.high_price, r.low_price, r.close_price,
               r.volume, r.source::text
          FROM fx.candle_rollups r
         WHERE r.symbol = hour_candles.symbol AND r.timeframe = '1h'
           AND r.timestamp >= since AND r.timestamp < until
           AND NOT r.timestamp <@ changed;
    RETURN QUERY
        SELECT b.*
          FROM unnest(changed * tstzmultirange(tstzrange(since, until))) AS c (days),
               LATERAL fx.built_hours(symbol, lower(c.days), upper(c.days), stored) AS b;
END
$$;

COMMENT ON FUNCTION hour_candles(text, timestamptz, timestamptz, text[], tstzmultirange)
    IS 'candles of 1h from since to until (excluded, whole hours): roll-ups, and the FX days that have changed from fx.market_data';

-- Candles of 4h, 1d, 1w and 1mn from shorter ones, and stored ones where there
-- are no shorter ones.  A stored candle of the timeframe itself keeps its own
-- timestamp, which need not be where ours begin.
CREATE FUNCTION composed_candles(symbol text, timeframe text, since timestamptz, until timestamptz, alignment text, stored text[], changed tstzmultirange)
RETURNS SETOF candle_part
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_hours boolean := composed_candles.timeframe IN ('4h', '1d');
    own text[] := ARRAY(
        SELECT t.name FROM unnest(stored) AS t (name)
         WHERE t.name = composed_candles.timeframe
            OR t.name = '4h' AND composed_candles.timeframe = '1d');
BEGIN
    RETURN QUERY
        WITH part AS (
            SELECT h.* FROM fx.hour_candles(symbol, since, until, stored, changed) h WHERE of_hours
            UNION ALL
            SELECT d.* FROM fx.day_candles(symbol, since, until, alignment, stored, changed) d WHERE NOT of_hours
        ), built AS MATERIALIZED (
            SELECT fx.candle_start(p.timestamp, composed_candles.timeframe, alignment) AS starts,
                   fx.candlestick_agg(p.timestamp, p.open_price, p.high_price,
                                      p.low_price, p.close_price, p.volume) AS c,
                   min(fx.timeframe_rank(p.source)) AS finest
              FROM part p
             GROUP BY 1
        ), kept AS (
            SELECT m.timestamp, m.open_price, m.high_price, m.low_price, m.close_price,
                   m.volume, m.timeframe::text AS frame,
                   fx.candle_start(m.timestamp, composed_candles.timeframe, alignment) AS starts
              FROM fx.market_data m
             WHERE own <> '{}'
               AND m.symbol = composed_candles.symbol AND m.timeframe = ANY (own)
               AND m.timestamp >= composed_candles.since AND m.timestamp < composed_candles.until
        ), unbuilt AS MATERIALIZED (
            SELECT k.* FROM kept k
             WHERE NOT EXISTS (SELECT FROM built b WHERE b.starts = k.starts)
        ), of_four_hours AS MATERIALIZED (
            SELECT k.starts,
                   fx.candlestick_agg(k.timestamp, k.open_price, k.high_price,
                                      k.low_price, k.close_price, k.volume) AS c
              FROM unbuilt k
             WHERE k.frame <> composed_candles.timeframe
             GROUP BY 1
        )
        SELECT b.starts, fx.open(b.c), fx.high(b.c), fx.low(b.c), fx.close(b.c), fx.volume(b.c),
               (ARRAY['1m', '5m', '15m', '30m', '1h', '4h', '1d', '1w', '1mn'])[b.finest + 1]
          FROM built b
        UNION ALL
        SELECT f.starts, fx.open(f.c), fx.high(f.c), fx.low(f.c), fx.close(f.c), fx.volume(f.c), '4h'
          FROM of_four_hours f
        UNION ALL
        SELECT u.timestamp, u.open_price, u.high_price, u.low_price, u.close_price, u.volume, u.frame
          FROM unbuilt u
         WHERE u.frame = composed_candles.timeframe
           AND NOT EXISTS (SELECT FROM of_four_hours f WHERE f.starts = u.starts);
END
$$;

COMMENT ON FUNCTION composed_candles(text, text, timestamptz, timestamptz, text, text[], tstzmultirange)
    IS 'candles of 4h and 1d made from those of 1h, of 1w and 1mn made from those of 1d, and stored ones where there are no shorter ones; since and until (excluded) are starts of candles';

CREATE FUNCTION built_days(symbol text, since timestamptz, until timestamptz, stored text[], changed tstzmultirange)
RETURNS SETOF candle_part
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        WITH final AS MATERIALIZED (
            SELECT * FROM fx.final_rollups(symbol, '1d', since, until)
        )
        SELECT f.* FROM final f
        UNION ALL
        SELECT b.* FROM fx.composed_candles(symbol, '1d', since, until, 'new_york', stored, changed) b
         WHERE NOT EXISTS (SELECT FROM final f WHERE f.timestamp = b.timestamp);
END
$$;

COMMENT ON FUNCTION built_days(text, timestamptz, timestamptz, text[], tstzmultirange)
    IS 'candles of 1d made from those of 1h, and those roll-ups whose source has expired';

CREATE FUNCTION day_candles(symbol text, since timestamptz, until timestamptz, alignment text, stored text[], changed tstzmultirange)
RETURNS SETOF candle_part
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF alignment = 'utc' THEN
        RETURN QUERY SELECT * FROM fx.composed_candles(symbol, '1d', since, until, 'utc', stored, changed);
        RETURN;
    END IF;

    RETURN QUERY
        SELECT r.timestamp, r.open_price, r.high_price, r.low_price, r.close_price,
               r.volume, r.source::text
          FROM fx.candle_rollups r
         WHERE r.symbol = day_candles.symbol AND r.timeframe = '1d'
           AND r.timestamp >= since AND r.timestamp < until
           AND NOT r.timestamp <@ changed;
    RETURN QUERY
        SELECT b.*
          FROM unnest(changed * tstzmultirange(tstzrange(since, until))) AS c (days),
               LATERAL fx.built_days(symbol, lower(c.days), upper(c.days), stored, changed) AS b;
END
$$;

COMMENT ON FUNCTION day_candles(text, timestamptz, timestamptz, text, text[], tstzmultirange)
    IS 'candles of 1d from since to until (excluded, starts of days): roll-ups, and the FX days that have changed from shorter candles; of UTC days always from shorter ones';

-- the newest candle of a symbol, and of every symbol

CREATE FUNCTION last_candle_time(symbol text, timeframe text, before timestamptz DEFAULT 'infinity')
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    newest timestamptz;
    found_at timestamptz;
    item text;
BEGIN
    FOREACH item IN ARRAY (fx.candle_state(symbol)).stored LOOP
        IF fx.timeframe_rank(item) <= fx.timeframe_rank(last_candle_time.timeframe) THEN
            SELECT m.timestamp INTO found_at
              FROM fx.market_data m
             WHERE m.symbol = last_candle_time.symbol AND m.timeframe = item
               AND m.timestamp < before
             ORDER BY m.timestamp DESC
             LIMIT 1;
            newest := greatest(newest, found_at);
        END IF;
    END LOOP;
    -- what its rows have expired of is known by its roll-ups
    IF EXISTS (SELECT FROM fx.candle_horizons) THEN
        FOREACH item IN ARRAY '{1h,1d}'::text[] LOOP
            IF fx.timeframe_rank(item) <= fx.timeframe_rank(last_candle_time.timeframe) THEN
                SELECT r.timestamp INTO found_at
                  FROM fx.candle_rollups r
                 WHERE r.symbol = last_candle_time.symbol AND r.timeframe = item
                   AND r.timestamp < before
                 ORDER BY r.timestamp DESC
                 LIMIT 1;
                newest := greatest(newest, found_at);
            END IF;
        END LOOP;
    END IF;
    RETURN newest;
END
$$;

COMMENT ON FUNCTION last_candle_time(text, text, timestamptz)
    IS 'timestamp of the newest stored candle of up to a timeframe that begins before a time; NULL where there is none';

CREATE FUNCTION read_latest_candle(symbol_read text, timeframe_read text)
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stored_symbol text := fx.resolve_symbol(symbol_read);
    starts timestamptz;
BEGIN
    IF symbol_read IS NULL OR timeframe_read IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN symbol_read IS NULL THEN 'symbol' ELSE 'timeframe' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    IF ARRAY(SELECT f.name FROM unnest((fx.candle_state(stored_symbol)).stored) AS f (name)
              WHERE fx.timeframe_rank(f.name) <= fx.timeframe_rank(timeframe_read))
       = ARRAY[timeframe_read]
    THEN
        RETURN QUERY SELECT l.* FROM fx.latest_stored_candle(stored_symbol, timeframe_read) l;
        RETURN;
    END IF;

    starts := fx.candle_start(fx.last_candle_time(stored_symbol, timeframe_read), timeframe_read);
    RETURN QUERY
        SELECT c.symbol, c.timeframe, c.timestamp, c.open_price, c.high_price, c.low_price,
               c.close_price, c.volume
          FROM fx.read_candles(stored_symbol, timeframe_read, starts,
                               fx.candle_end(starts, timeframe_read), 'none', 'new_york') c
         WHERE starts IS NOT NULL
         ORDER BY c.timestamp DESC
         LIMIT 1;
END
$$;

COMMENT ON FUNCTION read_latest_candle(text, text)
    IS 'row of fx.latest_candle';

CREATE FUNCTION latest_candle(symbol text, timeframe text)
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint)
LANGUAGE sql
STABLE
PARALLEL SAFE
AS $$
    SELECT * FROM fx.read_latest_candle($1, $2)
$$;

COMMENT ON FUNCTION latest_candle(text, text)
    IS 'the newest candle that fx.candles has of a symbol and timeframe, the one that is still forming included; no row where there is none. Errors: 22004 NULL, 22023 unknown timeframe';

CREATE FUNCTION read_latest_candles(timeframe_read text)
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    frames CONSTANT text[] := '{1m,5m,15m,30m,1h,4h,1d,1w,1mn}';
    finer text[];
BEGIN
    IF timeframe_read IS NULL THEN
        RAISE EXCEPTION 'argument "timeframe" must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    finer := frames[1:fx.timeframe_rank(timeframe_read)];

    -- where nothing finer is stored, the newest candle is a row
    IF NOT EXISTS (SELECT FROM fx.candle_series s WHERE s.timeframe = ANY (finer))
       AND NOT EXISTS (SELECT FROM fx.candle_changes c WHERE c.timeframe = ANY (finer))
       AND NOT EXISTS (SELECT FROM fx.changed_candle_partitions())
    THEN
        RETURN QUERY SELECT l.* FROM fx.latest_stored_candles(timeframe_read) l;
        RETURN;
    END IF;

    RETURN QUERY
        WITH known AS (
            SELECT s.symbol FROM fx.candle_series s
             WHERE s.timeframe = ANY (finer || timeframe_read)
            UNION
            SELECT c.symbol FROM fx.candle_changes c
             WHERE c.timeframe = ANY (finer || timeframe_read)
            UNION
            SELECT m.symbol
              FROM fx.changed_candle_partitions() p
              JOIN fx.market_data m ON m.timestamp >= p.since AND m.timestamp < p.until
             WHERE m.timeframe = ANY (finer || timeframe_read)
        )
        SELECT l.*
          FROM known k, LATERAL fx.read_latest_candle(k.symbol, timeframe_read) l
         ORDER BY l.symbol COLLATE "C";
END
$$;

COMMENT ON FUNCTION read_latest_candles(text)
    IS 'rows of fx.latest_candles';

CREATE FUNCTION latest_candles(timeframe text)
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint)
LANGUAGE sql
STABLE
PARALLEL SAFE
AS $$
    SELECT * FROM fx.read_latest_candles($1)
$$;

COMMENT ON FUNCTION latest_candles(text)
    IS 'the newest candle of a timeframe for each symbol that has one, by symbol; a walk of the index a symbol where the timeframe is the finest that is stored, else the candles are built. Errors: 22004 NULL, 22023 unknown timeframe';

-- what applications read of candles

CREATE FUNCTION read_candles(
    symbol_read text,
    timeframe_read text,
    since timestamptz,
    until timestamptz,
    fill text,
    alignment text)
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint,
    is_filled boolean)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
-- the planner takes these functions for large, and compiling costs more than they do
SET jit = off
AS $$
DECLARE
    stored_symbol text := fx.resolve_symbol(symbol_read);
    rank integer := fx.timeframe_rank(timeframe_read);
    -- starts of the candles that hold the first and follow the last moment
    first_start timestamptz;
    last_end timestamptz;
    state record;
BEGIN
    IF symbol_read IS NULL OR timeframe_read IS NULL OR fill IS NULL OR alignment IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN symbol_read IS NULL THEN 'symbol'
                     WHEN timeframe_read IS NULL THEN 'timeframe'
                     WHEN fill IS NULL THEN 'fill' ELSE 'alignment' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF fill NOT IN ('none', 'previous', 'null') THEN
        RAISE EXCEPTION 'argument "fill" must be "none", "previous" or "null"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    since := coalesce(since, '-infinity');
    until := coalesce(until, 'infinity');
    first_start := fx.candle_start(since, timeframe_read, alignment);
    IF NOT since < until THEN
        RETURN;
    END IF;
    last_end := fx.candle_end(fx.candle_start(until - interval '1 microsecond', timeframe_read, alignment),
                              timeframe_read, alignment);

    IF fill <> 'none' THEN
        RETURN QUERY
            SELECT stored_symbol, timeframe_read, f.*
              FROM fx.filled_candles(stored_symbol, timeframe_read, since, until, fill, alignment) f
             ORDER BY 3;
        RETURN;
    END IF;

    state := fx.candle_state(stored_symbol);
    IF rank <= 3 THEN
        RETURN QUERY
            SELECT stored_symbol, timeframe_read, b.timestamp, b.open_price, b.high_price,
                   b.low_price, b.close_price, b.volume, false
              FROM fx.built_candles(stored_symbol, timeframe_read, first_start, last_end, state.stored) b
             WHERE b.timestamp >= read_candles.since
             ORDER BY 3;
    ELSIF rank = 4 THEN
        RETURN QUERY
            SELECT stored_symbol, timeframe_read, h.timestamp, h.open_price, h.high_price,
                   h.low_price, h.close_price, h.volume, false
              FROM fx.hour_candles(stored_symbol, first_start, last_end, state.stored, state.changed) h
             WHERE h.timestamp >= read_candles.since
             ORDER BY 3;
    ELSIF rank = 6 THEN
        RETURN QUERY
            SELECT stored_symbol, timeframe_read, d.timestamp, d.open_price, d.high_price,
                   d.low_price, d.close_price, d.volume, false
              FROM fx.day_candles(stored_symbol, first_start, last_end, alignment, state.stored,
                             state.changed) d
             WHERE d.timestamp >= read_candles.since AND d.timestamp < read_candles.until
             ORDER BY 3;
    ELSE
        RETURN QUERY
            SELECT stored_symbol, timeframe_read, c.timestamp, c.open_price, c.high_price,
                   c.low_price, c.close_price, c.volume, false
              FROM fx.composed_candles(stored_symbol, timeframe_read, first_start, last_end, alignment,
                                  state.stored, state.changed) c
             WHERE c.timestamp >= read_candles.since AND c.timestamp < read_candles.until
             ORDER BY 3;
    END IF;
END
$$;

COMMENT ON FUNCTION read_candles(text, text, timestamptz, timestamptz, text, text)
    IS 'rows of fx.candles';

-- Can be inlined, and names nothing that a search_path could change.
CREATE FUNCTION candles(
    symbol text,
    timeframe text,
    since timestamptz DEFAULT '-infinity',
    until timestamptz DEFAULT 'infinity',
    fill text DEFAULT 'none',
    alignment text DEFAULT 'new_york')
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint,
    is_filled boolean)
LANGUAGE sql
STABLE
PARALLEL SAFE
AS $$
    SELECT * FROM fx.read_candles($1, $2, $3, $4, $5, $6)
$$;

COMMENT ON FUNCTION candles(text, text, timestamptz, timestamptz, text, text)
    IS 'candles of a symbol that begin from since to until (excluded; NULL and infinity: all), each whole, by time, never stale: 1m 5m 15m 30m 1h (on UTC), 4h 1d 1w 1mn (by the 17:00 close of New York, or by UTC with alignment utc), up to 1h from the finest timeframe of fx.market_data that has a row in the candle, longer ones from candles of 1h or 1d where there are any, else as stored; volume is NULL where no row has one. fill: none; previous (candles missing in open market hours repeat the close before, volume 0) or null (their prices are NULL), is_filled, not into the future. The symbol may be spelled EURUSD, EUR/USD, EUR_USD. Errors: 22004 NULL symbol, timeframe, fill or alignment, 22023 unknown timeframe, fill or alignment';

-- Candles and those that the market should have had.  A stored candle of a day
-- or longer may begin elsewhere than ours, so they meet by the start of ours.
CREATE FUNCTION filled_candles(
    symbol text,
    timeframe text,
    since timestamptz,
    until timestamptz,
    fill text,
    alignment text)
RETURNS TABLE (
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint,
    is_filled boolean)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before timestamptz;
    close_before numeric;
    fill_since timestamptz;
    fill_until timestamptz := least(until, now());
BEGIN
    IF fill = 'previous' AND isfinite(since) THEN
        before := fx.last_candle_time(symbol, timeframe, since);
        SELECT c.close_price INTO close_before
          FROM fx.read_candles(symbol, timeframe, fx.candle_start(before, timeframe, alignment),
                               since, 'none', alignment) c
         ORDER BY c.timestamp DESC
         LIMIT 1;
    END IF;

    fill_since := since;
    IF NOT isfinite(since) THEN
        SELECT min(c.timestamp) INTO fill_since
          FROM fx.read_candles(symbol, timeframe, since, until, 'none', alignment) c;
    END IF;

    RETURN QUERY
        WITH known AS MATERIALIZED (
            SELECT c.timestamp AS at, fx.candle_start(c.timestamp, filled_candles.timeframe, alignment) AS starts,
                   c.open_price AS o, c.high_price AS h, c.low_price AS l, c.close_price AS cl, c.volume AS v
              FROM fx.read_candles(symbol, timeframe, since, until, 'none', alignment) c
        ), missing AS (
            SELECT e.starts
              FROM fx.expected_candles(timeframe, fill_since, fill_until, alignment) AS e (starts)
             WHERE NOT EXISTS (SELECT FROM known k WHERE k.starts = e.starts)
        ), everything AS (
            SELECT k.at, k.o, k.h, k.l, k.cl, k.v, false AS made FROM known k
            UNION ALL
            SELECT m.starts, NULL, NULL, NULL, NULL, NULL, true FROM missing m
        ), ordered AS (
            SELECT e.*, count(e.cl) OVER (ORDER BY e.at) AS known_before FROM everything e
        ), carried AS (
            SELECT o.*, CASE WHEN fill = 'previous' THEN
                            coalesce(max(o.cl) OVER (PARTITION BY o.known_before), close_before)
                        END AS previous
              FROM ordered o
        )
        SELECT c.at, coalesce(c.o, c.previous), coalesce(c.h, c.previous),
               coalesce(c.l, c.previous), coalesce(c.cl, c.previous),
               CASE WHEN c.made AND fill = 'previous' THEN 0 ELSE c.v END, c.made
          FROM carried c
         WHERE NOT c.made OR fill = 'null' OR c.previous IS NOT NULL;
END
$$;

COMMENT ON FUNCTION filled_candles(text, text, timestamptz, timestamptz, text, text)
    IS 'candles with those that are missing in open market hours, for fx.candles';

-- keeping roll-ups up to date

-- A month whose partition is another one now: all its days have changed, those
-- of candles that are there and those of roll-ups without any.  One of which a
-- change might go unnoticed stays unknown.
CREATE FUNCTION note_changed_partitions()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unsettled CONSTANT text[] := ARRAY(SELECT s.partition_name FROM fx.candle_partition_states() s
                                        WHERE NOT s.settled);
    item record;
BEGIN
    DELETE FROM fx.candle_partitions p WHERE p.partition_name = ANY (unsettled);

    -- what is gone first: it may be there again under its name
    FOR item IN SELECT * FROM fx.changed_candle_partitions() p ORDER BY p.identity NULLS FIRST LOOP
        INSERT INTO fx.candle_changes (symbol, timeframe, day)
        SELECT DISTINCT m.symbol, m.timeframe, fx.fx_day(m.timestamp)
          FROM fx.market_data m
         WHERE m.timestamp >= item.since AND m.timestamp < item.until
        UNION
        SELECT r.symbol, r.source, fx.fx_day(r.timestamp)
          FROM fx.candle_rollups r
         WHERE r.timestamp >= item.since AND r.timestamp < item.until;

        IF item.identity IS NULL THEN
            DELETE FROM fx.candle_partitions p WHERE p.partition_name = item.partition_name;
        ELSIF item.partition_name <> ALL (unsettled) THEN
            INSERT INTO fx.candle_partitions (partition_name, identity, since, until)
            VALUES (item.partition_name, item.identity, item.since, item.until)
            ON CONFLICT ON CONSTRAINT candle_partitions_pkey DO UPDATE
                SET (identity, since, until) = (excluded.identity, excluded.since, excluded.until);
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION note_changed_partitions() FROM PUBLIC;

COMMENT ON FUNCTION note_changed_partitions()
    IS 'notes all days of partitions of fx.market_data that were attached, truncated, detached or dropped, for fx.refresh_candles';

-- Make the roll-ups of whole FX days of a symbol what they should be; rows
-- that are right already are not written.  Days are made of the hours written
-- before them, in which nothing is taken for changed.
CREATE FUNCTION refresh_rollups(symbol text, timeframe text, since timestamptz, until timestamptz, stored text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH built AS MATERIALIZED (
        SELECT h.* FROM fx.built_hours(symbol, since, until, stored) h
         WHERE refresh_rollups.timeframe = '1h'
        UNION ALL
        SELECT d.* FROM fx.built_days(symbol, since, until, stored, '{}') d
         WHERE refresh_rollups.timeframe = '1d'
    ), gone AS (
        DELETE FROM fx.candle_rollups r
         WHERE r.symbol = refresh_rollups.symbol AND r.timeframe = refresh_rollups.timeframe
           AND r.timestamp >= refresh_rollups.since AND r.timestamp < refresh_rollups.until
           AND NOT EXISTS (SELECT FROM built b WHERE b.timestamp = r.timestamp)
    )
    INSERT INTO fx.candle_rollups AS r (symbol, timeframe, timestamp, open_price, high_price,
                                        low_price, close_price, volume, source)
    SELECT refresh_rollups.symbol, refresh_rollups.timeframe, b.* FROM built b
    ON CONFLICT ON CONSTRAINT candle_rollups_pkey DO UPDATE
        SET (open_price, high_price, low_price, close_price, volume, source)
          = (excluded.open_price, excluded.high_price, excluded.low_price, excluded.close_price,
             excluded.volume, excluded.source)
      WHERE (r.open_price, r.high_price, r.low_price, r.close_price, r.volume, r.source)
            IS DISTINCT FROM
            (excluded.open_price, excluded.high_price, excluded.low_price, excluded.close_price,
             excluded.volume, excluded.source);
END
$$;

REVOKE ALL ON FUNCTION refresh_rollups(text, text, timestamptz, timestamptz, text[]) FROM PUBLIC;

COMMENT ON FUNCTION refresh_rollups(text, text, timestamptz, timestamptz, text[])
    IS 'makes the rows of fx.candle_rollups of a symbol and timeframe anew for FX days from since to until (excluded, starts of days), for fx.refresh_candles; hours before days';

-- One at a time.  The notes are taken first and the candles read by a later
-- statement: what is written in between stays noted.  Until the commit readers
-- see the notes and work the days out for themselves.
CREATE FUNCTION refresh_candles(max_days integer DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    item record;
    range tstzrange;
    stored text[];
    refreshed bigint := 0;
BEGIN
    IF max_days < 1 THEN
        RAISE EXCEPTION 'argument "max_days" must be greater than zero'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    PERFORM fx.lock_work('refresh_candles');
    PERFORM fx.forget_noted_changes();
    PERFORM fx.note_changed_partitions();

    FOR item IN
        WITH chosen AS (
            SELECT c.symbol, c.day FROM fx.candle_changes c
             GROUP BY c.symbol, c.day
             ORDER BY min(c.id)
             LIMIT max_days
        ), taken AS (
            DELETE FROM fx.candle_changes c
             USING chosen n
             WHERE (c.symbol, c.day) = (n.symbol, n.day)
            RETURNING c.symbol, c.timeframe, c.day
        )
        SELECT t.symbol, array_agg(DISTINCT t.timeframe) AS timeframes,
               array_agg(DISTINCT t.day) AS days
          FROM taken t
         GROUP BY t.symbol
         ORDER BY t.symbol COLLATE "C"
    LOOP
        INSERT INTO fx.candle_series (symbol, timeframe)
        SELECT item.symbol, unnest(item.timeframes)
        ON CONFLICT DO NOTHING;

        stored := (fx.candle_state(item.symbol)).stored;
        BEGIN
            -- the weeks of a long load are one range, though weekends have not changed
            FOREACH range IN ARRAY ARRAY(
                SELECT tstzrange(fx.fx_day_start(min(i.day)), fx.fx_day_start(max(i.day) + 1))
                  FROM (SELECT g.day, count(*) FILTER (WHERE g.gap > 4) OVER (ORDER BY g.day) AS island
                          FROM (SELECT d.day, d.day - lag(d.day) OVER (ORDER BY d.day) AS gap
                                  FROM unnest(item.days) AS d (day)) AS g) AS i
                 GROUP BY i.island)
            LOOP
                PERFORM fx.refresh_rollups(item.symbol, '1h', lower(range), upper(range), stored);
                PERFORM fx.refresh_rollups(item.symbol, '1d', lower(range), upper(range), stored);
            END LOOP;
            refreshed := refreshed + cardinality(item.days);
        EXCEPTION WHEN numeric_value_out_of_range THEN
            -- volumes that no candle can hold must not keep all others back
            RAISE WARNING 'could not refresh candles of "%": %', item.symbol, SQLERRM;
            INSERT INTO fx.candle_changes (symbol, timeframe, day)
            SELECT item.symbol, frame, day FROM unnest(item.timeframes) AS frame, unnest(item.days) AS day;
        END;
    END LOOP;

    RETURN refreshed;
END
$$;

REVOKE ALL ON FUNCTION refresh_candles(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION refresh_candles(integer) TO fx_app;

COMMENT ON FUNCTION refresh_candles(integer)
    IS 'makes the roll-ups of fx.candle_rollups anew for the FX days whose candles have changed, at most max_days of them (NULL: all), and returns for how many days of a symbol it did; 0 when nothing had changed. Concurrent calls wait for one another, writers and readers of candles do not; reads are right without it, and faster after it. Where the volumes of a candle are out of range it warns, leaves the symbol''s days noted and does not count them. Errors: 22023 max_days below 1';

-- retention
--
-- A partition goes as a whole once every timeframe that has rows in it has
-- expired up to the partition's end.  Rows are deleted one by one only where
-- the partition has to stay for a timeframe that is kept longer: deleting what
-- is dropped a few days later anyway would cost a row trigger and dead rows for
-- nothing.  So keep is the age up to which rows stay at least.  Rows are deleted
-- by whole FX days, so that no daily candle loses half of what it is made of.

-- Partitions of a table by a range of time.  Bounds are NULL where there is
-- none: MINVALUE, MAXVALUE, DEFAULT or infinity.
CREATE FUNCTION partition_bounds(parent regclass)
RETURNS TABLE (partition regclass, lower timestamptz, upper timestamptz, detaching boolean)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
AS $$
BEGIN
    RETURN QUERY
        SELECT i.inhrelid::regclass,
               nullif(nullif(b.bounds[1]::timestamptz, '-infinity'), 'infinity'),
               nullif(nullif(b.bounds[2]::timestamptz, '-infinity'), 'infinity'),
               i.inhdetachpending
          FROM pg_inherits i
          JOIN pg_class c ON c.oid = i.inhrelid
          LEFT JOIN LATERAL (
                   SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid),
                       $q$FROM \((?:'([^']*)'|MINVALUE)\) TO \((?:'([^']*)'|MAXVALUE)\)$q$) AS bounds
               ) b ON true
         WHERE i.inhparent = parent AND c.relkind = 'r';
END
$$;

COMMENT ON FUNCTION partition_bounds(regclass)
    IS 'partitions of a table that is partitioned by a range of one time: lower bound, upper bound (excluded), and whether a concurrent detach has begun; a bound is NULL where there is none, subpartitioned and foreign partitions are left out';

-- Two probes of the index (symbol, timeframe, timestamp) a series, not a scan.
CREATE FUNCTION timeframe_spans(relation regclass)
RETURNS TABLE (timeframe text, oldest timestamptz, newest timestamptz)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY EXECUTE format($q$
        WITH RECURSIVE series AS (
            (SELECT m.symbol, m.timeframe FROM %1$s m ORDER BY m.symbol, m.timeframe LIMIT 1)
            UNION ALL
            SELECT n.* FROM series s, LATERAL (
                SELECT m.symbol, m.timeframe FROM %1$s m
                 WHERE (m.symbol, m.timeframe) > (s.symbol, s.timeframe)
                 ORDER BY m.symbol, m.timeframe LIMIT 1) n
        )
        SELECT s.timeframe::text,
               min((SELECT min(m.timestamp) FROM %1$s m
                     WHERE m.symbol = s.symbol AND m.timeframe = s.timeframe)),
               max((SELECT max(m.timestamp) FROM %1$s m
                     WHERE m.symbol = s.symbol AND m.timeframe = s.timeframe))
          FROM series s
         GROUP BY s.timeframe
        $q$, relation);
END
$$;

COMMENT ON FUNCTION timeframe_spans(regclass)
    IS 'the timeframes of a table of candles or of one partition, with the first and the last timestamp of each; walks the unique index';

CREATE FUNCTION estimated_rows(relation regclass, condition text DEFAULT 'true')
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    plan jsonb;
    counted bigint;
BEGIN
    -- The planner takes a table that was never vacuumed for ten pages at least.
    IF pg_relation_size(relation) < 4 * 1024 * 1024 THEN
        EXECUTE format('SELECT count(*) FROM %s t WHERE %s', relation, condition) INTO counted;
        RETURN counted;
    END IF;
    EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM %s t WHERE %s', relation, condition) INTO plan;
    RETURN (plan -> 0 -> 'Plan' ->> 'Plan Rows')::bigint;
END
$$;

REVOKE ALL ON FUNCTION estimated_rows(regclass, text) FROM PUBLIC;

COMMENT ON FUNCTION estimated_rows(regclass, text)
    IS 'how many rows of a table meet a condition, which is SQL over t: counted below 4 MB, the planner''s estimate above; volatile because EXPLAIN is';

-- Where a feed has stopped, its last month stays.
CREATE FUNCTION retention_cutoff(keep interval, newest timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    oldest_kept CONSTANT timestamptz := now() - keep;
BEGIN
    IF newest < oldest_kept THEN
        RETURN date_trunc('month', newest, 'UTC');
    END IF;
    RETURN oldest_kept;
END
$$;

COMMENT ON FUNCTION retention_cutoff(interval, timestamptz)
    IS 'time before which rows have expired: now() - keep, or the start of the month (UTC) of the newest row when even that is older';

CREATE FUNCTION retention_plan()
RETURNS TABLE ("table" text, timeframe text, partition text, action text,
               before timestamptz, rows bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
AS $$
DECLARE
    policies jsonb;
    cutoffs jsonb := '{}';      -- by timeframe met so far; null: kept for ever
    shortest interval;
    part record;
    item record;
    found jsonb;
    longest timestamptz;
    kept boolean;
BEGIN
    -- Candles.  From the newest partition to the oldest, because the first one
    -- that holds a timeframe says how far that feed has come.
    SELECT jsonb_object_agg(p.timeframe, p.keep), min(p.keep)
      INTO policies, shortest
      FROM fx.retention_policies p
     WHERE regexp_replace(p."table", '^fx[.]', '') = 'market_data';

    FOR part IN
        SELECT b.* FROM fx.partition_bounds('fx.market_data') b
         WHERE policies IS NOT NULL AND NOT b.detaching
           AND b.lower IS NOT NULL AND b.upper IS NOT NULL
         ORDER BY b.lower DESC
    LOOP
        CONTINUE WHEN part.lower > now() - shortest AND cutoffs ?& ARRAY(SELECT jsonb_object_keys(policies));

        SELECT coalesce(jsonb_object_agg(s.timeframe, jsonb_build_array(s.oldest, s.newest)), '{}')
          INTO found
          FROM fx.timeframe_spans(part.partition) s;
        SELECT coalesce(jsonb_object_agg(k.key,
                   fx.retention_cutoff((policies ->> k.key)::interval, (k.value ->> 1)::timestamptz)), '{}')
               || cutoffs
          INTO cutoffs
          FROM jsonb_each(found) k;
        CONTINUE WHEN part.lower > now() - shortest OR cutoffs = '{}';

        -- An empty one counts as if it held all that the newer ones hold.
        SELECT bool_or(c.value IS NULL OR c.value::timestamptz < part.upper),
               CASE WHEN bool_or(c.value IS NULL) THEN '-infinity'
                    ELSE min(c.value::timestamptz) END
          INTO kept, longest
          FROM jsonb_each_text(cutoffs) c
         WHERE found = '{}' OR found ? c.key;

        "table" := 'market_data';
        partition := (SELECT c.relname FROM pg_class c WHERE c.oid = part.partition);
        IF NOT kept THEN
            timeframe := NULL;
            action := 'drop partition';
            before := part.upper;
            rows := fx.estimated_rows(part.partition);
            RETURN NEXT;
            CONTINUE;
        END IF;
        FOR item IN
            SELECT e.* FROM (
                SELECT k.key, (k.value ->> 0)::timestamptz AS oldest,
                       CASE WHEN (cutoffs ->> k.key)::timestamptz >= part.upper THEN part.upper
                            ELSE fx.fx_day_start(fx.fx_day((cutoffs ->> k.key)::timestamptz)) END AS cutoff
                  FROM jsonb_each(found) k
                 WHERE (cutoffs ->> k.key)::timestamptz > longest) e
             WHERE e.oldest < e.cutoff
             ORDER BY fx.timeframe_rank(e.key)
        LOOP
            timeframe := item.key;
            action := 'delete rows';
            before := item.cutoff;
            rows := fx.estimated_rows(part.partition,
                format('t.timeframe = %L AND t.timestamp < %L', timeframe, before));
            RETURN NEXT;
        END LOOP;
    END LOOP;

    -- Ticks go by whole months only.
    longest := NULL;
    FOR part IN
        SELECT b.*, p.keep
          FROM fx.retention_policies p, fx.partition_bounds('fx.quotes') b
         WHERE regexp_replace(p."table", '^fx[.]', '') = 'quotes' AND NOT b.detaching
           AND b.lower IS NOT NULL AND b.upper IS NOT NULL
         ORDER BY b.lower DESC
    LOOP
        IF part.upper <= longest THEN
            "table" := 'quotes';
            timeframe := NULL;
            partition := (SELECT c.relname FROM pg_class c WHERE c.oid = part.partition);
            action := 'drop partition';
            before := part.upper;
            rows := fx.estimated_rows(part.partition);
            RETURN NEXT;
        ELSIF longest IS NULL THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %s)', part.partition) INTO kept;
            IF kept THEN
                longest := least(part.lower, fx.retention_cutoff(part.keep, NULL));
            END IF;
        END IF;
    END LOOP;

    partition := NULL;
    action := 'delete rows';
    FOR item IN
        SELECT s.timeframe, s.oldest,
               fx.fx_day_start(fx.fx_day(fx.retention_cutoff(p.keep, s.newest))) AS cutoff
          FROM fx.retention_policies p, fx.timeframe_spans('fx.candle_rollups') s
         WHERE regexp_replace(p."table", '^fx[.]', '') = 'candle_rollups'
           AND p.timeframe = s.timeframe
         ORDER BY fx.timeframe_rank(s.timeframe)
    LOOP
        -- one that is not final would be missed: it is not made again until its day changes
        SELECT least(item.cutoff, min(coalesce(h.expired_before, '-infinity'))) INTO longest
          FROM (SELECT DISTINCT r.source FROM fx.candle_rollups r
                 WHERE r.timeframe = item.timeframe AND r.timestamp < item.cutoff) AS r
          LEFT JOIN fx.candle_horizons h ON h.timeframe = r.source;
        item.cutoff := fx.fx_day_start(fx.fx_day(longest));
        IF item.oldest < item.cutoff THEN
            "table" := 'candle_rollups';
            timeframe := item.timeframe;
            before := item.cutoff;
            rows := fx.estimated_rows('fx.candle_rollups',
                format('t.timeframe = %L AND t.timestamp < %L', timeframe, before));
            RETURN NEXT;
        END IF;
    END LOOP;

    -- Revisions are numbered in the order of their time, or nearly so.
    FOR item IN
        SELECT fx.fx_day_start(fx.fx_day(now() - p.keep)) AS cutoff FROM fx.retention_policies p
         WHERE regexp_replace(p."table", '^fx[.]', '') = 'market_data_revisions'
    LOOP
        IF (SELECT r.replaced_at FROM fx.market_data_revisions r ORDER BY r.id LIMIT 1) < item.cutoff THEN
            "table" := 'market_data_revisions';
            timeframe := NULL;
            before := item.cutoff;
            rows := fx.estimated_rows('fx.market_data_revisions',
                format('t.replaced_at < %L', before));
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION retention_plan() FROM PUBLIC;

COMMENT ON FUNCTION retention_plan()
    IS 'what fx.retention_policies no longer keep: partitions to drop (timeframe NULL, before: their upper bound), and timeframes of which rows before a time are to be deleted, with an estimate of the rows; never the newest month of a timeframe; changes nothing';

-- Candles and roll-ups by series in the order of the index, so that no batch
-- meets the rows that earlier ones deleted; the position says how far it is.
CREATE FUNCTION expire_batch("table" text, timeframe text, partition text, before timestamptz,
                             place jsonb DEFAULT '{}', max_rows integer DEFAULT 10000,
                             OUT removed bigint, OUT next_place jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relation CONSTANT regclass := format('fx.%I', coalesce(partition, "table"));
    series text := place ->> 'symbol';
    reached timestamptz := coalesce((place ->> 'reached')::timestamptz, '-infinity');
    stop timestamptz;
    gone bigint;
    last_id bigint;
BEGIN
    removed := 0;
    IF "table" = 'market_data_revisions' THEN
        WITH batch AS (
            SELECT r.id, r.replaced_at FROM fx.market_data_revisions r
             WHERE r.id > coalesce((place ->> 'id')::bigint, 0)
             ORDER BY r.id LIMIT max_rows
        ), deleted AS (
            DELETE FROM fx.market_data_revisions r USING batch b
             WHERE r.id = b.id AND b.replaced_at < before
            RETURNING r.id
        )
        SELECT count(*), (SELECT max(b.id) FROM batch b) INTO removed, last_id FROM deleted;
        IF removed > 0 THEN
            next_place := jsonb_build_object('id', last_id);
        END IF;
        RETURN;
    END IF;

    IF series IS NULL THEN
        EXECUTE format('SELECT min(symbol) FROM %s', relation) INTO series;
    END IF;
    WHILE series IS NOT NULL AND removed < max_rows LOOP
        EXECUTE format('SELECT timestamp FROM %s WHERE symbol = $1 AND timeframe = $2
                            AND timestamp >= $3 AND timestamp < $4
                          ORDER BY timestamp OFFSET $5 LIMIT 1', relation)
           INTO stop USING series, timeframe, reached, before, max_rows - removed;
        EXECUTE format('DELETE FROM %s WHERE symbol = $1 AND timeframe = $2
                            AND timestamp >= $3 AND timestamp < $4', relation)
          USING series, timeframe, reached, coalesce(stop, before);
        GET DIAGNOSTICS gone = ROW_COUNT;
        removed := removed + gone;
        IF stop IS NOT NULL THEN
            reached := stop;
        ELSE
            EXECUTE format('SELECT min(symbol) FROM %s WHERE symbol > $1', relation) INTO series USING series;
            reached := '-infinity';
        END IF;
    END LOOP;
    IF series IS NOT NULL THEN
        next_place := jsonb_build_object('symbol', series, 'reached', reached);
    END IF;
END
$$;

REVOKE ALL ON FUNCTION expire_batch(text, text, text, timestamptz, jsonb, integer) FROM PUBLIC;

COMMENT ON FUNCTION expire_batch(text, text, text, timestamptz, jsonb, integer)
    IS 'deletes up to max_rows rows of one item of fx.retention_plan from place on, and returns how many and where the next batch begins, NULL when none is left';

-- Has nothing come into the partition since the plan that must stay?
CREATE FUNCTION partition_expired(parent text, relation regclass, upper timestamptz)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF parent = 'market_data' THEN
        RETURN NOT EXISTS (
            SELECT FROM fx.timeframe_spans(relation) s
             WHERE NOT EXISTS (SELECT FROM fx.retention_policies p
                                WHERE regexp_replace(p."table", '^fx[.]', '') = parent
                                  AND p.timeframe = s.timeframe AND now() - p.keep >= upper));
    END IF;
    RETURN EXISTS (SELECT FROM fx.retention_policies p
                    WHERE regexp_replace(p."table", '^fx[.]', '') = parent
                      AND now() - p.keep >= upper);
END
$$;

COMMENT ON FUNCTION partition_expired(text, regclass, timestamptz)
    IS 'whether everything that a partition of fx.market_data or fx.quotes holds, attached or not, has expired up to its upper bound';

-- With a plain DETACH, which waits for everybody who reads the table: up to
-- lock_timeout.
CREATE FUNCTION drop_expired_partition(parent text, partition text, upper timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('ALTER TABLE fx.%I DETACH PARTITION fx.%I', parent, partition);
    IF NOT fx.partition_expired(parent, format('fx.%I', partition)::regclass, upper) THEN
        RAISE EXCEPTION 'partition "%" holds rows that have not expired', partition
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'They were written, or a policy was changed, while it was about to be dropped.';
    END IF;
    EXECUTE format('DROP TABLE fx.%I', partition);
END
$$;

REVOKE ALL ON FUNCTION drop_expired_partition(text, text, timestamptz) FROM PUBLIC;

COMMENT ON FUNCTION drop_expired_partition(text, text, timestamptz)
    IS 'detaches and drops a partition that fx.retention_plan names; errors: 55000 it holds rows that have not expired, 55P03 lock_timeout';

-- What is about to go must be in the roll-ups first, and these must not be
-- worked out again from what is left: the horizon makes them final.
CREATE FUNCTION prepare_retention()
RETURNS TABLE ("table" text, timeframe text, partition text, action text,
               before timestamptz, rows bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refreshed boolean := false;
BEGIN
    FOR "table", timeframe, partition, action, before, rows IN SELECT * FROM fx.retention_plan() LOOP
        IF "table" = 'market_data' THEN
            IF NOT refreshed THEN
                PERFORM fx.refresh_candles();
                refreshed := true;
            END IF;
            INSERT INTO fx.candle_horizons AS h (timeframe, expired_before)
            SELECT t.name, before
              FROM (SELECT prepare_retention.timeframe WHERE action = 'delete rows'
                     UNION ALL
                    SELECT s.timeframe
                      FROM fx.timeframe_spans(format('fx.%I', partition)::regclass) s
                     WHERE action = 'drop partition') t (name)
            ON CONFLICT ON CONSTRAINT candle_horizons_pkey DO UPDATE
               SET expired_before = greatest(h.expired_before, excluded.expired_before);
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION prepare_retention() FROM PUBLIC;

COMMENT ON FUNCTION prepare_retention()
    IS 'fx.retention_plan after refreshing all roll-ups and raising fx.candle_horizons to what the plan removes, never lower';

-- Up to two seconds, unless the caller is less patient.
CREATE FUNCTION limit_lock_timeout()
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    timeout_before CONSTANT text := current_setting('lock_timeout');
BEGIN
    IF (SELECT s.setting::integer NOT BETWEEN 1 AND 2000 FROM pg_settings s WHERE s.name = 'lock_timeout') THEN
        PERFORM set_config('lock_timeout', '2s', true);
    END IF;
    RETURN timeout_before;
END
$$;

REVOKE ALL ON FUNCTION limit_lock_timeout() FROM PUBLIC;

COMMENT ON FUNCTION limit_lock_timeout()
    IS 'sets lock_timeout to 2 s until the end of the transaction where it is longer or off, and returns what it was';

CREATE FUNCTION apply_retention(dry_run boolean DEFAULT false)
RETURNS TABLE ("table" text, timeframe text, partition text, action text,
               before timestamptz, rows bigint, outcome text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    timeout_before text;
    gone bigint;
    place jsonb;
BEGIN
    IF dry_run IS NULL THEN
        RAISE EXCEPTION 'argument "dry_run" must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF dry_run THEN
        RETURN QUERY SELECT p.*, 'planned' FROM fx.retention_plan() p;
        RETURN;
    END IF;

    IF NOT fx.try_lock_work('maintain') THEN
        RAISE EXCEPTION 'maintenance of this database is running already'
            USING ERRCODE = 'lock_not_available',
                  HINT = 'Try again when it has ended.';
    END IF;
    timeout_before := fx.limit_lock_timeout();

    FOR "table", timeframe, partition, action, before, rows IN SELECT * FROM fx.prepare_retention() LOOP
        BEGIN
            IF action = 'drop partition' THEN
                PERFORM fx.drop_expired_partition("table", partition, before);
            ELSE
                rows := 0;
                place := '{}';
                WHILE place IS NOT NULL LOOP
                    SELECT b.removed, b.next_place INTO gone, place
                      FROM fx.expire_batch("table", timeframe, partition, before, place) b;
                    rows := rows + gone;
                END LOOP;
            END IF;
            outcome := 'done';
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected OR object_in_use
                 OR dependent_objects_still_exist OR object_not_in_prerequisite_state THEN
                rows := 0;
                outcome := format('not done: %s', SQLERRM);
        END;
        RETURN NEXT;
    END LOOP;

    PERFORM set_config('lock_timeout', timeout_before, true);
END
$$;

REVOKE ALL ON FUNCTION apply_retention(boolean) FROM PUBLIC;

COMMENT ON FUNCTION apply_retention(boolean)
    IS 'does what fx.retention_plan says in one transaction, and returns what it did: rows deleted (an estimate for a dropped partition), outcome ''done'', or ''not done: '' with the reason, a lock that was not to be had within 2 s for one; the rest goes on. A dry run changes nothing (outcome ''planned''). For the owner. A partition that is dropped locks its table for a moment: the background worker does without. Errors: 22004 NULL, 55P03 maintenance is running';

-- maintenance
--
-- fx.maintain() and the background worker (src/worker.c) run the same steps.
-- Only the way a partition is detached differs: the procedure does it plainly,
-- under lock_timeout; for the worker it marks the partition, and the worker
-- runs DETACH ... CONCURRENTLY, which neither a function nor a procedure may.
--
-- The mark is the comment of the partition.  It tells, after whatever crash,
-- that a table that is no longer attached was to be dropped, and where it
-- belongs if it has to go back.

CREATE FUNCTION marked_partitions()
RETURNS TABLE (parent text, partition text, since timestamptz, until timestamptz,
               attached boolean, detaching boolean)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT p.name, c.relname::text,
               substring(d.description FROM ' from (.*) to ')::timestamptz,
               substring(d.description FROM ' to (.*)$')::timestamptz,
               i.inhrelid IS NOT NULL, coalesce(i.inhdetachpending, false)
          FROM unnest(ARRAY['market_data', 'quotes']) p (name)
          JOIN pg_class t ON t.oid = to_regclass('fx.' || p.name)
          JOIN pg_class c ON c.relnamespace = t.relnamespace AND c.relkind = 'r'
          LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = t.oid
          LEFT JOIN pg_description d
            ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0
           AND d.description ~ format('^fxplatform: expired partition of %s from [-+:0-9 ]+ to [-+:0-9 ]+$', p.name)
         WHERE d.description IS NOT NULL OR i.inhdetachpending
         ORDER BY c.relname;
END
$$;

COMMENT ON FUNCTION marked_partitions()
    IS 'partitions of fx.market_data and fx.quotes on their way out: marked as expired (with the bounds in the mark), attached still or no longer, or in the middle of a concurrent detach';

-- A detach that is pending because somebody is running it right now is left to
-- him.  A mark says: drop this once it is detached.  One that the worker did
-- not come to use must not outlive its round, or a partition that somebody
-- detaches by hand to keep it would go.
CREATE FUNCTION detach_statements(interrupted boolean)
RETURNS TABLE (partition text, statement text)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT m.partition,
               CASE
                   WHEN NOT m.attached
                   THEN format('SELECT fx.drop_detached_partition(%L, %L, %L)', m.parent, m.partition, NOT interrupted)
                   WHEN m.detaching
                   THEN format('ALTER TABLE fx.%I DETACH PARTITION fx.%I FINALIZE', m.parent, m.partition)
                   WHEN interrupted THEN format('COMMENT ON TABLE fx.%I IS NULL', m.partition)
                   WHEN (SELECT p.partdefid = 0 FROM pg_partitioned_table p
                          WHERE p.partrelid = to_regclass('fx.' || m.parent))
                   THEN format('ALTER TABLE fx.%I DETACH PARTITION fx.%I CONCURRENTLY', m.parent, m.partition)
                   -- refused where there is a default partition
                   ELSE format('ALTER TABLE fx.%I DETACH PARTITION fx.%I', m.parent, m.partition)
               END
          FROM fx.marked_partitions() m
         WHERE CASE
                   WHEN m.detaching
                   THEN NOT EXISTS (SELECT FROM pg_stat_activity a
                                     WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
                                       AND a.state = 'active' AND a.query ~* 'detach[[:space:]]+partition')
                   ELSE interrupted OR NOT m.attached
                        OR fx.partition_expired(m.parent, format('fx.%I', m.partition)::regclass, m.until)
               END;
END
$$;

COMMENT ON FUNCTION detach_statements(boolean)
    IS 'what is to be done next with each of fx.marked_partitions: the statement that detaches it, finishes an interrupted detach, or drops it; interrupted takes the mark from those that are whole, instead of detaching them';

CREATE FUNCTION mark_partition(parent text, partition text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
AS $$
DECLARE
    part record;
BEGIN
    SELECT b.* INTO STRICT part
      FROM fx.partition_bounds(format('fx.%I', parent)::regclass) b
     WHERE b.partition = format('fx.%I', mark_partition.partition)::regclass;
    IF NOT fx.partition_expired(parent, part.partition, part.upper) THEN
        RAISE EXCEPTION 'partition "%" holds rows that have not expired', partition
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    EXECUTE format('COMMENT ON TABLE %s IS %L', part.partition,
        format('fxplatform: expired partition of %s from %s to %s', parent, part.lower, part.upper));
END
$$;

REVOKE ALL ON FUNCTION mark_partition(text, text) FROM PUBLIC;

COMMENT ON FUNCTION mark_partition(text, text)
    IS 'marks a partition for the background worker to detach and drop; errors: P0002 no such partition, 55000 it holds rows that have not expired';

-- Rows may have come in until the detach was visible to everybody.
CREATE FUNCTION drop_detached_partition(parent text, partition text, by_worker boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
AS $$
DECLARE
    relation CONSTANT regclass := format('fx.%I', partition);
    item record;
BEGIN
    SELECT m.* INTO item
      FROM fx.marked_partitions() m
     WHERE m.parent = drop_detached_partition.parent
       AND m.partition = drop_detached_partition.partition AND NOT m.attached;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'table "%" is not an expired partition', partition
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;

    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', relation);
    IF fx.partition_expired(parent, relation, item.until) THEN
        EXECUTE format('DROP TABLE %s', relation);
        RETURN;
    END IF;

    EXECUTE format('COMMENT ON TABLE %s IS NULL', relation);
    EXECUTE format('ALTER TABLE fx.%I ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
        parent, relation, item.since, item.until);
    PERFORM fx.record_maintenance('retention', clock_timestamp(), 'skipped',
        format('%s holds rows that have not expired and is attached again', relation), NULL, by_worker);
END
$$;

REVOKE ALL ON FUNCTION drop_detached_partition(text, text, boolean) FROM PUBLIC;

COMMENT ON FUNCTION drop_detached_partition(text, text, boolean)
    IS 'drops a table that was marked as expired and is detached, or attaches it again when it holds rows that have not expired, and records that; error 55000 no such table';

-- runs and their record

CREATE FUNCTION record_maintenance(step text, started_at timestamptz, outcome text, detail text,
                                   rows bigint, worker boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO fx.maintenance_runs (step, started_at, outcome, detail, rows, worker)
    VALUES (record_maintenance.step, record_maintenance.started_at, record_maintenance.outcome,
            left(record_maintenance.detail, 1000), record_maintenance.rows, record_maintenance.worker);
END
$$;

REVOKE ALL ON FUNCTION record_maintenance(text, timestamptz, text, text, bigint, boolean) FROM PUBLIC;

COMMENT ON FUNCTION record_maintenance(text, timestamptz, text, text, bigint, boolean)
    IS 'adds a row to fx.maintenance_runs, finished now by the clock';

CREATE FUNCTION begin_maintenance(by_worker boolean)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT fx.try_lock_work('maintain') THEN
        PERFORM fx.record_maintenance('maintenance', clock_timestamp(), 'skipped',
            'maintenance of this database is running already', NULL, by_worker);
        RAISE NOTICE 'maintenance of this database is running already, skipping';
        RETURN false;
    END IF;
    PERFORM fx.limit_lock_timeout();
    RETURN true;
END
$$;

REVOKE ALL ON FUNCTION begin_maintenance(boolean) FROM PUBLIC;

COMMENT ON FUNCTION begin_maintenance(boolean)
    IS 'begins a transaction of fx.maintain: false, and a run that was skipped, when another session is at it';

-- An error is recorded and does not stop the steps that follow, so every one is
-- caught here, with its SQLSTATE.  A cancelled query is no error of the step:
-- WHEN OTHERS lets it through.
CREATE FUNCTION run_maintenance_step(step text, by_worker boolean, detail text DEFAULT NULL,
                                     statement text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started_at CONSTANT timestamptz := clock_timestamp();
    this_month CONSTANT timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    done bigint;
BEGIN
    BEGIN
        CASE step
            WHEN 'market_data partitions' THEN
                done := fx.create_market_data_partitions(this_month::date, (this_month + interval '4 months')::date);
            WHEN 'quotes partitions' THEN
                done := fx.create_quote_partitions(this_month::date, (this_month + interval '4 months')::date);
            WHEN 'rollups' THEN
                done := fx.refresh_candles(max_days => 500);
            WHEN 'seal' THEN
                done := CASE WHEN to_regclass('fx.audit_chain') IS NULL THEN 0 ELSE fx.seal_audit_batch(50000) END;
            WHEN 'cleanup' THEN
                DELETE FROM fx.maintenance_runs r
                 WHERE r.started_at < now() - interval '7 days'
                   AND (r.started_at < now() - interval '90 days' OR (r.outcome = 'ok' AND r.rows = 0));
                GET DIAGNOSTICS done = ROW_COUNT;
            ELSE
                EXECUTE statement;
                -- a mark is only half of it, and one taken away none
                done := CASE WHEN statement ~ '^(SELECT fx.mark_partition|COMMENT)' THEN 0 ELSE 1 END;
        END CASE;
    EXCEPTION WHEN OTHERS THEN
        PERFORM fx.record_maintenance(step, started_at, 'failed',
            concat_ws(': ', detail, SQLSTATE, SQLERRM), NULL, by_worker);
        RETURN NULL;
    END;

    PERFORM fx.record_maintenance(step, started_at, 'ok', detail, done, by_worker);
    RETURN done;
END
$$;

REVOKE ALL ON FUNCTION run_maintenance_step(text, boolean, text, text) FROM PUBLIC;

COMMENT ON FUNCTION run_maintenance_step(text, boolean, text, text)
    IS 'runs one step of maintenance (a statement where the name of the step does not say what to do), records it in fx.maintenance_runs, and returns its rows, NULL when it failed';

CREATE FUNCTION start_retention(by_worker boolean)
RETURNS TABLE ("table" text, timeframe text, partition text, before timestamptz, statement text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
AS $$
DECLARE
    started_at CONSTANT timestamptz := clock_timestamp();
    planned bigint := 0;
    item record;
BEGIN
    BEGIN
        FOR item IN SELECT * FROM fx.prepare_retention() LOOP
            planned := planned + 1;
            "table" := item."table";
            timeframe := item.timeframe;
            partition := item.partition;
            before := item.before;
            statement := NULL;
            IF item.action = 'drop partition' THEN
                statement := CASE WHEN by_worker
                    THEN format('SELECT fx.mark_partition(%L, %L)', "table", partition)
                    ELSE format('SELECT fx.drop_expired_partition(%L, %L, %L)', "table", partition, before)
                END;
            END IF;
            RETURN NEXT;
        END LOOP;
    EXCEPTION WHEN OTHERS THEN
        PERFORM fx.record_maintenance('retention', started_at, 'failed',
            concat_ws(': ', SQLSTATE, SQLERRM), NULL, by_worker);
        RETURN;
    END;

    IF planned = 0 THEN
        PERFORM fx.record_maintenance('retention', started_at, 'ok', 'nothing has expired', 0, by_worker);
    END IF;
END
$$;

REVOKE ALL ON FUNCTION start_retention(boolean) FROM PUBLIC;

COMMENT ON FUNCTION start_retention(boolean)
    IS 'fx.prepare_retention for fx.maintain: the statement for a partition to drop, none where rows are to be deleted; a failure is recorded and nothing is removed';

CREATE FUNCTION run_expire_batch("table" text, timeframe text, partition text, before timestamptz,
                                 place jsonb, by_worker boolean)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started_at CONSTANT timestamptz := coalesce((place ->> 'started_at')::timestamptz, clock_timestamp());
    detail CONSTANT text := concat_ws(' ', 'delete', timeframe, 'from', coalesce(partition, "table"));
    total bigint := coalesce((place ->> 'total')::bigint, 0);
    gone bigint;
    next_place jsonb;
BEGIN
    BEGIN
        SELECT b.removed, b.next_place INTO gone, next_place
          FROM fx.expire_batch("table", timeframe, partition, before, place) b;
    EXCEPTION WHEN OTHERS THEN
        PERFORM fx.record_maintenance('retention', started_at, 'failed',
            concat_ws(': ', detail, SQLSTATE, SQLERRM), total, by_worker);
        RETURN NULL;
    END;

    total := total + gone;
    IF next_place IS NULL THEN
        PERFORM fx.record_maintenance('retention', started_at, 'ok', detail, total, by_worker);
    END IF;
    RETURN next_place || jsonb_build_object('started_at', started_at, 'total', total);
END
$$;

REVOKE ALL ON FUNCTION run_expire_batch(text, text, text, timestamptz, jsonb, boolean) FROM PUBLIC;

COMMENT ON FUNCTION run_expire_batch(text, text, text, timestamptz, jsonb, boolean)
    IS 'fx.expire_batch for fx.maintain: returns the place of the next batch, with what was deleted so far, or NULL when the item is done or has failed, which it records';

CREATE FUNCTION run_mark_batch(by_worker boolean, place jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started_at CONSTANT timestamptz := coalesce((place ->> 'started_at')::timestamptz, clock_timestamp());
    total bigint := coalesce((place ->> 'total')::bigint, 0);
    batch record;
BEGIN
    BEGIN
        SELECT b.marked, b.last INTO batch
          FROM fx.mark_account_batch((place ->> 'last')::uuid, 100) b;
    EXCEPTION WHEN OTHERS THEN
        PERFORM fx.record_maintenance('accounts', started_at, 'failed',
            concat_ws(': ', SQLSTATE, SQLERRM), total, by_worker);
        RETURN NULL;
    END;

    total := total + batch.marked;
    IF batch.last IS NULL THEN
        PERFORM fx.record_maintenance('accounts', started_at, 'ok', NULL, total, by_worker);
        RETURN NULL;
    END IF;
    RETURN jsonb_build_object('started_at', started_at, 'total', total, 'last', batch.last);
END
$$;

REVOKE ALL ON FUNCTION run_mark_batch(boolean, jsonb) FROM PUBLIC;

COMMENT ON FUNCTION run_mark_batch(boolean, jsonb)
    IS 'fx.mark_account_batch for fx.maintain: returns the place of the next batch, with what was marked so far, or NULL when all are done or one has failed, which it records';

-- A procedure that commits cannot have a search_path of its own.  It sets one
-- for each transaction, before it names a function, a type or an operator that
-- is not qualified; at the commit the caller's is back, whatever happens.  The
-- lock is one of the transaction too, so a cancelled call leaves none behind.
CREATE PROCEDURE maintain(by_worker boolean DEFAULT false)
LANGUAGE plpgsql
AS $$
DECLARE
    item pg_catalog.record;
    step pg_catalog.text;
    place pg_catalog.jsonb;
    rounds integer;
    done bigint;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF NOT fx.begin_maintenance(by_worker) THEN
        RETURN;
    END IF;

    -- what an interrupted round left
    FOR item IN SELECT * FROM fx.detach_statements(interrupted => true) LOOP
        PERFORM fx.run_maintenance_step('finalize', by_worker, item.statement, item.statement);
        COMMIT;
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        IF NOT fx.begin_maintenance(by_worker) THEN
            RETURN;
        END IF;
    END LOOP;

    FOREACH step IN ARRAY ARRAY['market_data partitions', 'quotes partitions', 'rollups', 'seal'] LOOP
        rounds := 0;
        LOOP
            done := fx.run_maintenance_step(step, by_worker);
            COMMIT;
            PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
            IF NOT fx.begin_maintenance(by_worker) THEN
                RETURN;
            END IF;
            -- Writers may make days dirty as fast as this: others have a turn too.
            rounds := rounds + 1;
            EXIT WHEN step NOT IN ('rollups', 'seal') OR done IS NULL OR done = 0 OR rounds = 100;
        END LOOP;
    END LOOP;

    -- limits follow the prices; few accounts at a time, as trades wait for theirs
    place := '{}';
    LOOP
        place := fx.run_mark_batch(by_worker, place);
        COMMIT;
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        IF NOT fx.begin_maintenance(by_worker) THEN
            RETURN;
        END IF;
        EXIT WHEN place IS NULL;
    END LOOP;

    FOR item IN SELECT * FROM fx.start_retention(by_worker) LOOP
        place := '{}';
        LOOP
            IF item.statement IS NOT NULL THEN
                PERFORM fx.run_maintenance_step('retention', by_worker, item.statement, item.statement);
                place := NULL;
            ELSE
                place := fx.run_expire_batch(item."table", item.timeframe, item.partition,
                                             item.before, place, by_worker);
            END IF;
            COMMIT;
            PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
            IF NOT fx.begin_maintenance(by_worker) THEN
                RETURN;
            END IF;
            EXIT WHEN place IS NULL;
        END LOOP;
    END LOOP;

    PERFORM fx.run_maintenance_step('cleanup', by_worker);
END
$$;

REVOKE ALL ON PROCEDURE maintain(boolean) FROM PUBLIC;

COMMENT ON PROCEDURE maintain(boolean)
    IS 'all of maintenance, for the owner: finishes interrupted detaches, makes the partitions of this month and the next three, refreshes roll-ups, seals the audit trail, marks accounts at the latest prices, applies retention, and records each step in fx.maintenance_runs; a step that fails does not stop the others. It commits in between and cannot run in a transaction block. When another session is at it, it says so and returns. by_worker leaves partitions to drop marked for the background worker';

-- health of partitions

-- With the rights of the owner: who may see how many rows have expired need
-- not be allowed to read partitions, which have no grants.
CREATE FUNCTION partition_states()
RETURNS TABLE ("table" text, partitions bigint, oldest timestamptz, newest timestamptz,
               next_missing date, months_ahead integer, rows_outside_policy bigint,
               last_run timestamptz, last_outcome text, last_error text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_month CONSTANT timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    parent regclass;
BEGIN
    SELECT max(r.finished_at),
           CASE WHEN bool_or(r.outcome = 'failed') THEN 'failed'
                WHEN bool_or(r.outcome = 'skipped') THEN 'skipped'
                WHEN bool_or(r.outcome = 'ok') THEN 'ok' END
      INTO last_run, last_outcome
      FROM unnest(ARRAY['finalize', 'market_data partitions', 'quotes partitions', 'rollups',
                        'retention', 'cleanup', 'maintenance']) s (step)
      CROSS JOIN LATERAL (
               SELECT m.finished_at, m.outcome FROM fx.maintenance_runs m
                WHERE m.step = s.step ORDER BY m.id DESC LIMIT 1) r;
    SELECT concat_ws(': ', m.step, m.detail) INTO last_error
      FROM fx.maintenance_runs m WHERE m.outcome = 'failed' ORDER BY m.id DESC LIMIT 1;

    FOREACH "table" IN ARRAY ARRAY['market_data', 'quotes'] LOOP
        parent := to_regclass('fx.' || "table");
        CONTINUE WHEN parent IS NULL;

        SELECT count(*), min(b.lower), max(b.upper)
          INTO partitions, oldest, newest
          FROM fx.partition_bounds(parent) b
         WHERE NOT b.detaching;

        months_ahead := -1;
        LOOP
            next_missing := this_month + (months_ahead + 1) * interval '1 month';
            EXIT WHEN NOT EXISTS (
                SELECT FROM fx.partition_bounds(parent) b
                 WHERE NOT b.detaching
                   AND coalesce(b.lower, '-infinity') <= next_missing::timestamp AT TIME ZONE 'UTC'
                   AND coalesce(b.upper, 'infinity')
                       >= (next_missing + interval '1 month') AT TIME ZONE 'UTC');
            months_ahead := months_ahead + 1;
            EXIT WHEN months_ahead = 1200;      -- one without an upper bound
        END LOOP;

        SELECT coalesce(sum(p.rows), 0) INTO rows_outside_policy
          FROM fx.retention_plan() p
         WHERE p."table" = partition_states."table";
        RETURN NEXT;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION partition_states() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION partition_states() TO fx_app, fx_user, fx_reporting;

COMMENT ON FUNCTION partition_states()
    IS 'rows of fx.partition_health';

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

INSERT INTO migration (version, up, down, attach) VALUES ('2024_01_20_initial_schema', $fx_migration$
-- The tables of the specification, by its names.  What differs from it does
-- not run as written or is unsafe, and is listed in README.md.

CREATE TABLE users (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    email VARCHAR(255) UNIQUE NOT NULL,
    username VARCHAR(100) UNIQUE NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    first_name VARCHAR(100),
    last_name VARCHAR(100),
    role VARCHAR(50) DEFAULT 'user',
    status VARCHAR(20) DEFAULT 'active',
    email_verified BOOLEAN DEFAULT false,
    two_factor_enabled BOOLEAN DEFAULT false,
    two_factor_secret VARCHAR(32),
    api_key_hash VARCHAR(255),
    preferences JSONB DEFAULT '{}',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    last_login TIMESTAMP WITH TIME ZONE,
    deleted_at TIMESTAMP WITH TIME ZONE
);

CREATE INDEX idx_users_email ON users (email);
CREATE INDEX idx_users_username ON users (username);
CREATE INDEX idx_users_role ON users (role);
CREATE INDEX idx_users_status ON users (status);
CREATE INDEX idx_users_created_at ON users (created_at);
CREATE INDEX idx_users_deleted_at ON users (deleted_at) WHERE deleted_at IS NOT NULL;

COMMENT ON TABLE users IS 'People and services with an account on the platform';
COMMENT ON COLUMN users.password_hash IS 'Hash made by crypt() of pgcrypto, never a password';
COMMENT ON COLUMN users.api_key_hash IS 'Hash made by crypt() of pgcrypto, never a key';
COMMENT ON COLUMN users.preferences IS 'Object; "accountCurrency" (USD) and "initialBalance" (0) are read by the platform';
COMMENT ON COLUMN users.deleted_at IS 'When the user was deleted softly, NULL while not';

CREATE TABLE strategies (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL
        CONSTRAINT fk_strategies_user REFERENCES users (id) ON DELETE CASCADE,
    name VARCHAR(255) NOT NULL,
    description TEXT,
    type VARCHAR(50) NOT NULL,
    status VARCHAR(20) DEFAULT 'draft',
    config JSONB NOT NULL DEFAULT '{}',
    performance_metrics JSONB DEFAULT '{}',
    tags TEXT[],
    version INTEGER DEFAULT 1
        CONSTRAINT chk_strategies_version CHECK (version >= 1),
    -- a copy outlives what it was copied from, and does not hold its owner
    parent_strategy_id UUID REFERENCES strategies (id) ON DELETE SET NULL,
    is_public BOOLEAN DEFAULT false,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    deleted_at TIMESTAMP WITH TIME ZONE
);

CREATE INDEX idx_strategies_user_id ON strategies (user_id);
CREATE INDEX idx_strategies_status ON strategies (status);
CREATE INDEX idx_strategies_type ON strategies (type);
CREATE INDEX idx_strategies_created_at ON strategies (created_at);
CREATE INDEX idx_strategies_deleted_at ON strategies (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX idx_strategies_tags ON strategies USING GIN (tags);
CREATE INDEX idx_strategies_config ON strategies USING GIN (config);
CREATE INDEX idx_strategies_user_status_created ON strategies (user_id, status, created_at DESC);
CREATE INDEX idx_strategies_active ON strategies (user_id, created_at DESC)
    WHERE status = 'active' AND deleted_at IS NULL;
-- without it each deleted strategy scans the table for its copies
CREATE INDEX idx_strategies_parent_strategy_id ON strategies (parent_strategy_id);

COMMENT ON TABLE strategies IS 'Trading strategies of a user';
COMMENT ON COLUMN strategies.type IS 'manual, ai_generated or backtested';
COMMENT ON COLUMN strategies.status IS 'draft, active, inactive or archived';
COMMENT ON COLUMN strategies.version IS 'Counts the changes of config, from 1';
COMMENT ON COLUMN strategies.is_public IS 'Whether other users may see it, copy it and refer to it';
COMMENT ON COLUMN strategies.deleted_at IS 'When the strategy was deleted softly, NULL while not';

CREATE TABLE backtests (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    strategy_id UUID NOT NULL
        CONSTRAINT fk_backtests_strategy REFERENCES strategies (id) ON DELETE CASCADE,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name VARCHAR(255) NOT NULL,
    status VARCHAR(20) DEFAULT 'pending',
    progress INTEGER DEFAULT 0,
    config JSONB NOT NULL DEFAULT '{}',
    results JSONB DEFAULT '{}',
    performance_metrics JSONB DEFAULT '{}',
    trades JSONB DEFAULT '[]',
    equity_curve JSONB DEFAULT '[]',
    error_message TEXT,
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE INDEX idx_backtests_strategy_id ON backtests (strategy_id);
CREATE INDEX idx_backtests_user_id ON backtests (user_id);
CREATE INDEX idx_backtests_status ON backtests (status);
CREATE INDEX idx_backtests_created_at ON backtests (created_at);
CREATE INDEX idx_backtests_completed_at ON backtests (completed_at);
CREATE INDEX idx_backtests_config ON backtests USING GIN (config);
CREATE INDEX idx_backtests_user_status_created ON backtests (user_id, status, created_at DESC);
CREATE INDEX idx_backtests_completed ON backtests (strategy_id, completed_at DESC)
    WHERE status = 'completed';

COMMENT ON TABLE backtests IS 'Runs of a strategy over past prices';
COMMENT ON COLUMN backtests.status IS 'pending, running, completed, failed or cancelled';
COMMENT ON COLUMN backtests.progress IS 'Percent done, 0 to 100';
COMMENT ON COLUMN backtests.config IS 'Object; "initialBalance", "startDate", "endDate", "riskFreeRate" and "periodsPerYear" are read by fx.complete_backtest';
COMMENT ON COLUMN backtests.results IS 'Object, the headline numbers of performance_metrics';
COMMENT ON COLUMN backtests.performance_metrics IS 'Object, as fx.backtest_metrics returns it';
COMMENT ON COLUMN backtests.trades IS 'Array of trades, as fx.equity_curve reads it';
COMMENT ON COLUMN backtests.equity_curve IS 'Array, as fx.equity_curve returns it';

CREATE TABLE trades (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    strategy_id UUID REFERENCES strategies (id) ON DELETE SET NULL,
    backtest_id UUID REFERENCES backtests (id) ON DELETE SET NULL,
    broker_id VARCHAR(50),
    symbol VARCHAR(20) NOT NULL,
    type VARCHAR(10) NOT NULL,
    order_type VARCHAR(20) NOT NULL,
    quantity DECIMAL(18, 8) NOT NULL
        CONSTRAINT chk_trades_quantity CHECK (quantity > 0),
    price DECIMAL(18, 8),
    stop_loss DECIMAL(18, 8),
    take_profit DECIMAL(18, 8),
    commission DECIMAL(18, 8) DEFAULT 0,
    swap DECIMAL(18, 8) DEFAULT 0,
    profit DECIMAL(18, 8) DEFAULT 0,
    status VARCHAR(20) DEFAULT 'pending',
    executed_at TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE,
    closed_at TIMESTAMP WITH TIME ZONE,
    reason_code VARCHAR(50),
    external_id VARCHAR(100),
    metadata JSONB DEFAULT '{}',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    CONSTRAINT chk_trades_prices CHECK (
        price > 0
        AND (stop_loss IS NULL OR stop_loss > 0)
        AND (take_profit IS NULL OR take_profit > 0))
);

CREATE INDEX idx_trades_user_id ON trades (user_id);
CREATE INDEX idx_trades_strategy_id ON trades (strategy_id);
CREATE INDEX idx_trades_backtest_id ON trades (backtest_id);
CREATE INDEX idx_trades_symbol ON trades (symbol);
CREATE INDEX idx_trades_status ON trades (status);
CREATE INDEX idx_trades_type ON trades (type);
CREATE INDEX idx_trades_executed_at ON trades (executed_at);
CREATE INDEX idx_trades_created_at ON trades (created_at);
CREATE INDEX idx_trades_user_symbol_executed ON trades (user_id, symbol, executed_at DESC);
CREATE INDEX idx_trades_executed ON trades (user_id, executed_at DESC)
    WHERE status = 'executed';

COMMENT ON TABLE trades IS 'Orders and what became of them';
COMMENT ON COLUMN trades.symbol IS 'Instrument, such as EURUSD';
COMMENT ON COLUMN trades.type IS 'buy or sell';
COMMENT ON COLUMN trades.order_type IS 'market, limit, stop or stop_limit';
COMMENT ON COLUMN trades.quantity IS 'Units of the base currency, above zero';
COMMENT ON COLUMN trades.price IS 'Quote currency per unit of the base currency';
COMMENT ON COLUMN trades.commission IS 'Cost in account currency, subtracted from profit';
COMMENT ON COLUMN trades.swap IS 'Overnight financing in account currency, added to profit; negative when paid';
COMMENT ON COLUMN trades.profit IS 'Gross profit in account currency, before commission and swap';
COMMENT ON COLUMN trades.status IS 'pending, executed, cancelled or rejected';
COMMENT ON COLUMN trades.closed_at IS 'When the position was closed, not before executed_at';

CREATE TABLE risk_limits (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name VARCHAR(255) NOT NULL,
    type VARCHAR(50) NOT NULL,
    limit_type VARCHAR(20) NOT NULL,
    limit_value DECIMAL(18, 8) NOT NULL,
    current_value DECIMAL(18, 8) DEFAULT 0,
    is_active BOOLEAN DEFAULT true,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE INDEX idx_risk_limits_user_id ON risk_limits (user_id);
CREATE INDEX idx_risk_limits_type ON risk_limits (type);
CREATE INDEX idx_risk_limits_is_active ON risk_limits (is_active);

COMMENT ON TABLE risk_limits IS 'Limits on what a user may lose or hold';
COMMENT ON COLUMN risk_limits.type IS 'What is limited: daily_loss, max_position, max_leverage, ...';
COMMENT ON COLUMN risk_limits.limit_type IS 'absolute (units of the measure) or percentage (of its basis)';
COMMENT ON COLUMN risk_limits.current_value IS 'The measure now, in its own units also where the limit is a percentage; NULL when unknown';

-- A partitioned key must contain the partition column, so the unique key of
-- a candle is its primary key and id is a plain column.
CREATE TABLE market_data (
    id BIGSERIAL,
    symbol VARCHAR(20) NOT NULL,
    timeframe VARCHAR(10) NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    open_price DECIMAL(18, 8) NOT NULL,
    high_price DECIMAL(18, 8) NOT NULL,
    low_price DECIMAL(18, 8) NOT NULL,
    close_price DECIMAL(18, 8) NOT NULL,
    volume BIGINT DEFAULT 0,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    CONSTRAINT idx_market_data_unique PRIMARY KEY (symbol, timeframe, timestamp)
) PARTITION BY RANGE (timestamp);

CREATE INDEX idx_market_data_symbol_timeframe ON market_data (symbol, timeframe);
CREATE INDEX idx_market_data_timestamp ON market_data (timestamp);
CREATE INDEX idx_market_data_symbol_timestamp ON market_data (symbol, timestamp);
CREATE INDEX idx_market_data_symbol_timeframe_timestamp
    ON market_data (symbol, timeframe, timestamp DESC);

COMMENT ON TABLE market_data IS 'Candles, one partition a month of UTC';
COMMENT ON COLUMN market_data.timeframe IS 'Length of the candle: 1m 5m 15m 30m 1h 4h 1d 1w 1mn';
COMMENT ON COLUMN market_data.timestamp IS 'When the candle opens';
COMMENT ON COLUMN market_data.volume IS 'Traded units or ticks, whole numbers';

CREATE TABLE audit_log (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID REFERENCES users (id) ON DELETE SET NULL,
    action VARCHAR(100) NOT NULL,
    resource_type VARCHAR(50) NOT NULL,
    resource_id VARCHAR(100),
    old_values JSONB,
    new_values JSONB,
    ip_address INET,
    user_agent TEXT,
    -- not NOW(): the changes of one transaction keep their order
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp()
);

CREATE INDEX idx_audit_log_user_id ON audit_log (user_id);
CREATE INDEX idx_audit_log_action ON audit_log (action);
CREATE INDEX idx_audit_log_resource_type ON audit_log (resource_type);
CREATE INDEX idx_audit_log_created_at ON audit_log (created_at);
CREATE INDEX idx_audit_log_resource ON audit_log (resource_type, resource_id);

COMMENT ON TABLE audit_log IS 'Changes of audited tables, written by triggers only';
COMMENT ON COLUMN audit_log.user_id IS 'Who did it: app.current_user_id, NULL when not set or not a user';
COMMENT ON COLUMN audit_log.action IS 'INSERT, UPDATE, DELETE or TRUNCATE';
COMMENT ON COLUMN audit_log.resource_type IS 'Name of the table';
COMMENT ON COLUMN audit_log.resource_id IS 'The id of the row, as text';
COMMENT ON COLUMN audit_log.created_at IS 'When the change was made, by the clock, not when its transaction began';

CREATE TABLE schema_migrations (
    version VARCHAR(255) PRIMARY KEY,
    applied_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

COMMENT ON TABLE schema_migrations IS 'Migrations that are applied, kept by fx.migrate';

-- Grants, one decision a table and role.  Partitions get none, because a
-- grant on a partition bypasses the row security of its parent.

GRANT SELECT, INSERT, UPDATE, DELETE
    ON users, strategies, backtests, trades, risk_limits, market_data TO fx_app;
GRANT USAGE ON SEQUENCE market_data_id_seq TO fx_app;
GRANT SELECT ON audit_log, schema_migrations TO fx_app;

-- Own rows only, by the policies.  Limits are set for a user, not by him, and
-- his books are not his to erase.
GRANT SELECT (id, email, username, first_name, last_name, role, status, email_verified,
              two_factor_enabled, preferences, created_at, updated_at, last_login, deleted_at)
    ON users TO fx_user;
GRANT UPDATE (first_name, last_name) ON users TO fx_user;
GRANT SELECT, INSERT, UPDATE, DELETE ON strategies, backtests TO fx_user;
GRANT SELECT, INSERT, UPDATE ON trades TO fx_user;
GRANT SELECT ON risk_limits, market_data, audit_log, schema_migrations TO fx_user;

-- Everything but secrets.
GRANT SELECT (id, email, username, first_name, last_name, role, status, email_verified,
              two_factor_enabled, preferences, created_at, updated_at, last_login, deleted_at)
    ON users TO fx_reporting;
GRANT SELECT ON strategies, backtests, trades, risk_limits, market_data, audit_log,
    schema_migrations TO fx_reporting;

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE strategies ENABLE ROW LEVEL SECURITY;
ALTER TABLE backtests ENABLE ROW LEVEL SECURITY;
ALTER TABLE trades ENABLE ROW LEVEL SECURITY;
ALTER TABLE risk_limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
$fx_migration$, $fx_migration$
-- Children before their parents; partitions, indexes and triggers go along.
DROP TABLE schema_migrations;
DROP TABLE audit_log;
DROP TABLE market_data;
DROP TABLE risk_limits;
DROP TABLE trades;
DROP TABLE backtests;
DROP TABLE strategies;
DROP TABLE users;
$fx_migration$, $fx_migration$
-- Triggers, policies and partitions of the first migration: what refers to
-- functions of the extension or is made by them.  Safe to run again.

CREATE OR REPLACE TRIGGER update_users_updated_at
    BEFORE UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE OR REPLACE TRIGGER audit_users_trigger
    AFTER INSERT OR UPDATE OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_users_truncate_trigger
    AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();

CREATE OR REPLACE TRIGGER update_strategies_updated_at
    BEFORE UPDATE ON strategies
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE OR REPLACE TRIGGER audit_strategies_trigger
    AFTER INSERT OR UPDATE OR DELETE ON strategies
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_strategies_truncate_trigger
    AFTER TRUNCATE ON strategies
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();

CREATE OR REPLACE TRIGGER update_backtests_updated_at
    BEFORE UPDATE ON backtests
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE OR REPLACE TRIGGER audit_backtests_trigger
    AFTER INSERT OR UPDATE OR DELETE ON backtests
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_backtests_truncate_trigger
    AFTER TRUNCATE ON backtests
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();

CREATE OR REPLACE TRIGGER update_trades_updated_at
    BEFORE UPDATE ON trades
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE OR REPLACE TRIGGER audit_trades_trigger
    AFTER INSERT OR UPDATE OR DELETE ON trades
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_trades_truncate_trigger
    AFTER TRUNCATE ON trades
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();

CREATE OR REPLACE TRIGGER update_risk_limits_updated_at
    BEFORE UPDATE ON risk_limits
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE OR REPLACE TRIGGER audit_risk_limits_trigger
    AFTER INSERT OR UPDATE OR DELETE ON risk_limits
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_risk_limits_truncate_trigger
    AFTER TRUNCATE ON risk_limits
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();

-- fx_app sees and writes all rows: the application decides for whom it acts.
-- fx_user sees and writes what is his, and reads what is public.  Identity
-- comes from current_user_id(), once a statement; without one no row matches.

DROP POLICY IF EXISTS users_app ON users;
CREATE POLICY users_app ON users TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS users_own ON users;
CREATE POLICY users_own ON users TO fx_user
    USING (id = (SELECT current_user_id()))
    WITH CHECK (id = (SELECT current_user_id()));
DROP POLICY IF EXISTS users_reporting ON users;
CREATE POLICY users_reporting ON users FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS strategies_app ON strategies;
CREATE POLICY strategies_app ON strategies TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS strategies_own ON strategies;
CREATE POLICY strategies_own ON strategies TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS strategies_public ON strategies;
CREATE POLICY strategies_public ON strategies FOR SELECT TO fx_user
    USING (is_public AND deleted_at IS NULL);
DROP POLICY IF EXISTS strategies_reporting ON strategies;
CREATE POLICY strategies_reporting ON strategies FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS backtests_app ON backtests;
CREATE POLICY backtests_app ON backtests TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS backtests_own ON backtests;
CREATE POLICY backtests_own ON backtests TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS backtests_reporting ON backtests;
CREATE POLICY backtests_reporting ON backtests FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS trades_app ON trades;
CREATE POLICY trades_app ON trades TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS trades_own ON trades;
CREATE POLICY trades_own ON trades TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS trades_reporting ON trades;
CREATE POLICY trades_reporting ON trades FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS risk_limits_app ON risk_limits;
CREATE POLICY risk_limits_app ON risk_limits TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS risk_limits_own ON risk_limits;
CREATE POLICY risk_limits_own ON risk_limits TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS risk_limits_reporting ON risk_limits;
CREATE POLICY risk_limits_reporting ON risk_limits FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS audit_log_app ON audit_log;
CREATE POLICY audit_log_app ON audit_log TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS audit_log_own ON audit_log;
CREATE POLICY audit_log_own ON audit_log TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS audit_log_reporting ON audit_log;
CREATE POLICY audit_log_reporting ON audit_log FOR SELECT TO fx_reporting USING (true);

-- last month, this one and three ahead
SELECT create_market_data_partitions(
    (date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month')::date,
    (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '4 months')::date);
$fx_migration$);

INSERT INTO migration (version, up, down, attach) VALUES ('2024_01_27_drop_covered_indexes', $fx_migration$
-- Indexes of the first migration that another one serves as well: each is
-- the prefix of its cover, or its mirror.  They cost load speed and memory
-- and answer no query of their own.

DROP INDEX idx_users_email;                             -- users_email_key (email)
DROP INDEX idx_users_username;                          -- users_username_key (username)
DROP INDEX idx_strategies_user_id;                      -- idx_strategies_user_status_created (user_id, ...)
DROP INDEX idx_backtests_user_id;                       -- idx_backtests_user_status_created (user_id, ...)
DROP INDEX idx_trades_user_id;                          -- idx_trades_user_symbol_executed (user_id, ...)
DROP INDEX idx_market_data_symbol_timeframe;            -- idx_market_data_unique (symbol, timeframe, ...)
DROP INDEX idx_market_data_symbol_timeframe_timestamp;  -- idx_market_data_unique, read backwards
DROP INDEX idx_audit_log_resource_type;                 -- idx_audit_log_resource (resource_type, ...)
$fx_migration$, $fx_migration$
CREATE INDEX idx_users_email ON users (email);
CREATE INDEX idx_users_username ON users (username);
CREATE INDEX idx_strategies_user_id ON strategies (user_id);
CREATE INDEX idx_backtests_user_id ON backtests (user_id);
CREATE INDEX idx_trades_user_id ON trades (user_id);
CREATE INDEX idx_market_data_symbol_timeframe ON market_data (symbol, timeframe);
CREATE INDEX idx_market_data_symbol_timeframe_timestamp
    ON market_data (symbol, timeframe, timestamp DESC);
CREATE INDEX idx_audit_log_resource_type ON audit_log (resource_type);
$fx_migration$, '');

INSERT INTO migration (version, up, down, attach) VALUES ('2024_01_28_value_checks', $fx_migration$
-- The value sets that the specification documents, and what a stored value
-- must be for its readers.  NaN sorts above every number, so that "x > 0"
-- accepts it; each number is compared with it by name.  The casts to text keep
-- the constraints in the form in which a dump of a dump prints them.

ALTER TABLE users
    ADD CONSTRAINT chk_users_email CHECK (email LIKE '%_@_%'),
    ADD CONSTRAINT chk_users_preferences CHECK (jsonb_typeof(preferences) = 'object');

ALTER TABLE strategies
    ADD CONSTRAINT chk_strategies_type CHECK (type::text IN ('manual', 'ai_generated', 'backtested')),
    ADD CONSTRAINT chk_strategies_status CHECK (status::text IN ('draft', 'active', 'inactive', 'archived')),
    ADD CONSTRAINT chk_strategies_json CHECK (
        jsonb_typeof(config) = 'object' AND jsonb_typeof(performance_metrics) = 'object');

ALTER TABLE backtests
    ADD CONSTRAINT chk_backtests_status CHECK (
        status::text IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    ADD CONSTRAINT chk_backtests_progress CHECK (progress BETWEEN 0 AND 100),
    ADD CONSTRAINT chk_backtests_json CHECK (
        jsonb_typeof(config) = 'object'
        AND jsonb_typeof(results) = 'object'
        AND jsonb_typeof(performance_metrics) = 'object'
        AND jsonb_typeof(trades) = 'array'
        AND jsonb_typeof(equity_curve) = 'array'),
    -- the query of a user's strategies casts it
    ADD CONSTRAINT chk_backtests_total_return CHECK (
        coalesce(jsonb_typeof(performance_metrics -> 'totalReturn'), 'null') IN ('number', 'null'));

ALTER TABLE trades
    ADD CONSTRAINT chk_trades_type CHECK (type::text IN ('buy', 'sell')),
    ADD CONSTRAINT chk_trades_order_type CHECK (order_type::text IN ('market', 'limit', 'stop', 'stop_limit')),
    ADD CONSTRAINT chk_trades_status CHECK (status::text IN ('pending', 'executed', 'cancelled', 'rejected')),
    ADD CONSTRAINT chk_trades_numbers CHECK (
        quantity <> 'NaN' AND price <> 'NaN' AND stop_loss <> 'NaN' AND take_profit <> 'NaN'
        AND commission <> 'NaN' AND swap <> 'NaN' AND profit <> 'NaN'),
    ADD CONSTRAINT chk_trades_commission CHECK (commission >= 0),
    ADD CONSTRAINT chk_trades_executed_at CHECK (status <> 'executed' OR executed_at IS NOT NULL),
    ADD CONSTRAINT chk_trades_closed_at CHECK (closed_at >= executed_at),
    ADD CONSTRAINT chk_trades_metadata CHECK (jsonb_typeof(metadata) = 'object');

ALTER TABLE risk_limits
    ADD CONSTRAINT chk_risk_limits_limit_type CHECK (limit_type::text IN ('absolute', 'percentage')),
    ADD CONSTRAINT chk_risk_limits_limit_value CHECK (limit_value >= 0 AND limit_value <> 'NaN'),
    ADD CONSTRAINT chk_risk_limits_current_value CHECK (current_value <> 'NaN');

-- Up to an hour candles align on UTC.  Longer ones follow the close of New
-- York, which is a whole hour of UTC the year round.
ALTER TABLE market_data
    ADD CONSTRAINT chk_market_data_timeframe CHECK (
        timeframe::text IN ('1m', '5m', '15m', '30m', '1h', '4h', '1d', '1w', '1mn')),
    ADD CONSTRAINT chk_market_data_timestamp CHECK (
        date_bin(CASE timeframe
                     WHEN '1m' THEN interval '1 minute'
                     WHEN '5m' THEN interval '5 minutes'
                     WHEN '15m' THEN interval '15 minutes'
                     WHEN '30m' THEN interval '30 minutes'
                     ELSE interval '1 hour'
                 END, timestamp, timestamptz '2000-01-01 00:00:00+00') = timestamp),
    ADD CONSTRAINT chk_market_data_prices CHECK (
        low_price > 0
        AND low_price <= open_price AND low_price <= close_price
        AND open_price <= high_price AND close_price <= high_price
        AND high_price <> 'NaN'),
    ADD CONSTRAINT chk_market_data_volume CHECK (volume >= 0);
$fx_migration$, $fx_migration$
ALTER TABLE market_data
    DROP CONSTRAINT chk_market_data_timeframe,
    DROP CONSTRAINT chk_market_data_timestamp,
    DROP CONSTRAINT chk_market_data_prices,
    DROP CONSTRAINT chk_market_data_volume;

ALTER TABLE risk_limits
    DROP CONSTRAINT chk_risk_limits_limit_type,
    DROP CONSTRAINT chk_risk_limits_limit_value,
    DROP CONSTRAINT chk_risk_limits_current_value;

ALTER TABLE trades
    DROP CONSTRAINT chk_trades_type,
    DROP CONSTRAINT chk_trades_order_type,
    DROP CONSTRAINT chk_trades_status,
    DROP CONSTRAINT chk_trades_numbers,
    DROP CONSTRAINT chk_trades_commission,
    DROP CONSTRAINT chk_trades_executed_at,
    DROP CONSTRAINT chk_trades_closed_at,
    DROP CONSTRAINT chk_trades_metadata;

ALTER TABLE backtests
    DROP CONSTRAINT chk_backtests_status,
    DROP CONSTRAINT chk_backtests_progress,
    DROP CONSTRAINT chk_backtests_json,
    DROP CONSTRAINT chk_backtests_total_return;

ALTER TABLE strategies
    DROP CONSTRAINT chk_strategies_type,
    DROP CONSTRAINT chk_strategies_status,
    DROP CONSTRAINT chk_strategies_json;

ALTER TABLE users
    DROP CONSTRAINT chk_users_email,
    DROP CONSTRAINT chk_users_preferences;
$fx_migration$, '');

INSERT INTO migration (version, up, down, attach) VALUES ('2024_01_29_email_identity', $fx_migration$
-- One email, one user, whatever its letter case, and free again once its
-- user is deleted softly.  The plain index serves "email = ...", which the
-- unique constraint did before.

ALTER TABLE users DROP CONSTRAINT users_email_key;
CREATE UNIQUE INDEX users_email_key ON users (lower(email)) WHERE deleted_at IS NULL;
CREATE INDEX idx_users_email_lookup ON users (email);
$fx_migration$, $fx_migration$
DROP INDEX idx_users_email_lookup;
DROP INDEX users_email_key;
ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE (email);
$fx_migration$, '');

INSERT INTO migration (version, up, down, attach) VALUES ('2024_01_30_ownership', $fx_migration$
-- A trade of a backtest is one for good: deleting the backtest clears
-- backtest_id, and must not turn its trades into live ones.

ALTER TABLE trades ADD COLUMN is_backtest BOOLEAN NOT NULL DEFAULT false;
UPDATE trades SET is_backtest = true WHERE backtest_id IS NOT NULL;

COMMENT ON COLUMN trades.is_backtest IS 'Set once backtest_id was set, for good; such trades count in no live figure';
$fx_migration$, $fx_migration$
DROP TRIGGER IF EXISTS trades_backtest_mark_insert ON trades;
DROP TRIGGER IF EXISTS trades_backtest_mark_update ON trades;
DROP TRIGGER IF EXISTS trades_reference_guard ON trades;
DROP TRIGGER IF EXISTS backtests_reference_guard ON backtests;
DROP TRIGGER IF EXISTS strategies_reference_guard ON strategies;
DROP TRIGGER IF EXISTS strategies_version_bump ON strategies;
ALTER TABLE trades DROP COLUMN is_backtest;
$fx_migration$, $fx_migration$
-- Triggers of the migration.  Safe to run again.

CREATE OR REPLACE TRIGGER trades_backtest_mark_insert
    BEFORE INSERT ON trades
    FOR EACH ROW WHEN (NEW.backtest_id IS NOT NULL AND NOT NEW.is_backtest)
    EXECUTE FUNCTION mark_backtest_trade();
CREATE OR REPLACE TRIGGER trades_backtest_mark_update
    BEFORE UPDATE ON trades
    FOR EACH ROW WHEN ((OLD.is_backtest OR NEW.backtest_id IS NOT NULL) AND NOT NEW.is_backtest)
    EXECUTE FUNCTION mark_backtest_trade();

CREATE OR REPLACE TRIGGER trades_reference_guard
    BEFORE INSERT OR UPDATE OF user_id, strategy_id, backtest_id ON trades
    FOR EACH ROW WHEN (NEW.strategy_id IS NOT NULL OR NEW.backtest_id IS NOT NULL)
    EXECUTE FUNCTION guard_references('strategy_id', 'backtest_id');
CREATE OR REPLACE TRIGGER backtests_reference_guard
    BEFORE INSERT OR UPDATE OF user_id, strategy_id ON backtests
    FOR EACH ROW EXECUTE FUNCTION guard_references('strategy_id');
CREATE OR REPLACE TRIGGER strategies_reference_guard
    BEFORE INSERT OR UPDATE OF user_id, parent_strategy_id ON strategies
    FOR EACH ROW WHEN (NEW.parent_strategy_id IS NOT NULL)
    EXECUTE FUNCTION guard_references('parent_strategy_id');

CREATE OR REPLACE TRIGGER strategies_version_bump
    BEFORE UPDATE ON strategies
    FOR EACH ROW WHEN (NEW.config IS DISTINCT FROM OLD.config
                       AND NEW.version IS NOT DISTINCT FROM OLD.version)
    EXECUTE FUNCTION bump_strategy_version();
$fx_migration$);

INSERT INTO migration (version, up, down, attach) VALUES ('2024_01_31_strategy_search', $fx_migration$
-- Full-text search over strategies.  The index is made by the attach script,
-- because its expression is a function of the extension.
$fx_migration$, $fx_migration$
DROP INDEX IF EXISTS idx_strategies_search;
$fx_migration$, $fx_migration$
CREATE INDEX IF NOT EXISTS idx_strategies_search
    ON strategies USING GIN (strategy_document(name, description, tags))
    WHERE deleted_at IS NULL;
$fx_migration$);

INSERT INTO migration (version, up, down, attach) VALUES ('2024_02_01_trade_pnl_index', $fx_migration$
-- The index of a user's executed trades carries what P&L reads, so that
-- fx.trade_performance need not visit the table: a user's 200,000 trades among
-- two millions take a quarter of the time.  A maintained roll-up would read
-- faster still, but its trigger made an insert a third slower and concurrent
-- trades of one user wait for each other's commit; the same columns in the
-- index by symbol made it an eighth slower.  This costs an insert less than the
-- noise; an update of profit takes half as long again, since it is never HOT.
CREATE INDEX idx_trades_executed_pnl ON trades (user_id, executed_at DESC)
    INCLUDE (symbol, is_backtest, profit, commission, swap)
    WHERE status = 'executed';
DROP INDEX IF EXISTS idx_trades_executed;
ALTER INDEX idx_trades_executed_pnl RENAME TO idx_trades_executed;
$fx_migration$, $fx_migration$
CREATE INDEX idx_trades_executed_narrow ON trades (user_id, executed_at DESC)
    WHERE status = 'executed';
DROP INDEX IF EXISTS idx_trades_executed;
ALTER INDEX idx_trades_executed_narrow RENAME TO idx_trades_executed;
$fx_migration$, '');

INSERT INTO migration (version, up, down, attach) VALUES ('2024_02_02_backtest_status', $fx_migration$
-- Trades and curves are the largest values of the platform.  lz4 reads them
-- back twice as fast as the default compression, where the server has it.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_settings
                WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        ALTER TABLE backtests
            ALTER COLUMN trades SET COMPRESSION lz4,
            ALTER COLUMN equity_curve SET COMPRESSION lz4;
    END IF;
END
$$;
$fx_migration$, $fx_migration$
DROP TRIGGER IF EXISTS guard_backtests_status ON backtests;
ALTER TABLE backtests
    ALTER COLUMN trades SET COMPRESSION default,
    ALTER COLUMN equity_curve SET COMPRESSION default;
$fx_migration$, $fx_migration$
CREATE OR REPLACE TRIGGER guard_backtests_status
    BEFORE UPDATE OF status ON backtests
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION guard_backtest_status();
$fx_migration$);

INSERT INTO migration (version, up, down, attach) VALUES ('2024_03_01_instruments', $fx_migration$
-- What is traded, and when the market is closed besides the weekends.

CREATE TABLE instruments (
    symbol VARCHAR(20) PRIMARY KEY,
    base_currency VARCHAR(10) NOT NULL,
    quote_currency VARCHAR(10) NOT NULL,
    pip_size DECIMAL(18, 8) NOT NULL,
    contract_size DECIMAL(18, 8) NOT NULL,
    swap_long DECIMAL(18, 8),
    swap_short DECIMAL(18, 8),
    triple_swap_weekday SMALLINT NOT NULL DEFAULT 3,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    CONSTRAINT chk_instruments_symbol CHECK (symbol ~ '[A-Za-z0-9]'),
    CONSTRAINT chk_instruments_currencies CHECK (
        base_currency ~ '^[A-Z0-9]{3,10}$' AND quote_currency ~ '^[A-Z0-9]{3,10}$'
        AND base_currency::text <> quote_currency::text),
    -- NaN sorts above every number
    CONSTRAINT chk_instruments_sizes CHECK (
        pip_size > 0 AND pip_size <> 'NaN' AND contract_size > 0 AND contract_size <> 'NaN'),
    CONSTRAINT chk_instruments_swap CHECK (swap_long <> 'NaN' AND swap_short <> 'NaN'),
    CONSTRAINT chk_instruments_triple_swap_weekday CHECK (triple_swap_weekday BETWEEN 1 AND 7)
);

-- EUR/USD, EUR_USD and eurusd are one instrument; fx.instrument_symbol uses it.
CREATE UNIQUE INDEX idx_instruments_normal_symbol
    ON instruments (translate(upper(symbol::text), '/_-. ', ''));

COMMENT ON TABLE instruments IS 'What is traded: currency pairs and metals';
COMMENT ON COLUMN instruments.symbol IS 'Name under which candles and trades are stored, EURUSD; EUR/USD, EUR_USD and eurusd mean the same';
COMMENT ON COLUMN instruments.base_currency IS 'What a unit of quantity is';
COMMENT ON COLUMN instruments.quote_currency IS 'In what its price is';
COMMENT ON COLUMN instruments.pip_size IS 'A pip, in the quote currency: 0.0001, 0.01 where that is JPY, 0.01 for metals';
COMMENT ON COLUMN instruments.contract_size IS 'Units of the base currency in a lot: 100000 of a currency, ounces of a metal';
COMMENT ON COLUMN instruments.swap_long IS 'Swap of a bought lot held over a night, in points (a tenth of a pip), negative when paid; NULL where it is not known';
COMMENT ON COLUMN instruments.swap_short IS 'The same for a sold lot';
COMMENT ON COLUMN instruments.triple_swap_weekday IS 'Day whose close in New York carries the swap of the weekend: 1 Monday to 7 Sunday, 3 for pairs settled after two days, 4 after one';

CREATE TABLE holidays (
    day DATE PRIMARY KEY,
    name TEXT NOT NULL,
    CONSTRAINT chk_holidays_day CHECK (isfinite(day))
);

COMMENT ON TABLE holidays IS 'FX days, from 17:00 in New York on the day before, on which the market is closed';

-- The crosses of eight currencies in the order of the market.  Fixed times:
-- going down, a row that nobody changed is no loss.
INSERT INTO instruments (symbol, base_currency, quote_currency, pip_size, contract_size,
                         triple_swap_weekday, created_at, updated_at)
SELECT b.code || q.code, b.code, q.code,
       CASE q.code WHEN 'JPY' THEN 0.01 ELSE 0.0001 END, 100000,
       -- settled after one day
       CASE b.code || q.code WHEN 'USDCAD' THEN 4 ELSE 3 END,
       '2024-03-01 00:00:00+00', '2024-03-01 00:00:00+00'
  FROM unnest(ARRAY['EUR', 'GBP', 'AUD', 'NZD', 'USD', 'CAD', 'CHF', 'JPY'])
           WITH ORDINALITY AS b (code, place)
  JOIN unnest(ARRAY['EUR', 'GBP', 'AUD', 'NZD', 'USD', 'CAD', 'CHF', 'JPY'])
           WITH ORDINALITY AS q (code, place) ON b.place < q.place;

INSERT INTO instruments (symbol, base_currency, quote_currency, pip_size, contract_size,
                         created_at, updated_at)
SELECT m.code || 'USD', m.code, 'USD', 0.01, m.ounces,
       '2024-03-01 00:00:00+00', '2024-03-01 00:00:00+00'
  FROM (VALUES ('XAU', 100), ('XAG', 5000), ('XPT', 100), ('XPD', 100)) AS m (code, ounces);

GRANT SELECT, INSERT, UPDATE, DELETE ON instruments, holidays TO fx_app;
GRANT SELECT ON instruments, holidays TO fx_user, fx_reporting;
$fx_migration$, $fx_migration$
DROP TABLE holidays;
DROP TABLE instruments;
$fx_migration$, $fx_migration$
CREATE OR REPLACE TRIGGER update_instruments_updated_at
    BEFORE UPDATE ON instruments
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
$fx_migration$);

INSERT INTO migration (version, up, down, attach) VALUES ('2024_03_02_candle_ingest', $fx_migration$
-- What the ingest of candles leaves behind besides the candles themselves: rows
-- that were refused, and versions that were corrected.  And the ticks.

CREATE TABLE market_data_rejects (
    id BIGSERIAL PRIMARY KEY,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp(),
    reason TEXT NOT NULL,
    candle JSONB NOT NULL
);

CREATE INDEX idx_market_data_rejects_received_at ON market_data_rejects (received_at);

COMMENT ON TABLE market_data_rejects IS 'Candles that fx.ingest_candles and fx.load_candles refused; kept until somebody deletes them';
COMMENT ON COLUMN market_data_rejects.reason IS 'Everything that is wrong with the row, joined by "; "';
COMMENT ON COLUMN market_data_rejects.candle IS 'The row as it came';

-- The key of a candle is not unique here: it has a row a correction.
CREATE TABLE market_data_revisions (
    id BIGSERIAL PRIMARY KEY,
    symbol VARCHAR(20) NOT NULL,
    timeframe VARCHAR(10) NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    open_price DECIMAL(18, 8) NOT NULL,
    high_price DECIMAL(18, 8) NOT NULL,
    low_price DECIMAL(18, 8) NOT NULL,
    close_price DECIMAL(18, 8) NOT NULL,
    volume BIGINT,
    created_at TIMESTAMP WITH TIME ZONE,
    replaced_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    replaced_by UUID
);

CREATE INDEX idx_market_data_revisions_candle
    ON market_data_revisions (symbol, timeframe, timestamp, replaced_at);

COMMENT ON TABLE market_data_revisions IS 'Versions of candles that an UPDATE replaced, written by a trigger of market_data only; the current version is there';
COMMENT ON COLUMN market_data_revisions.created_at IS 'created_at of the version that was replaced';
COMMENT ON COLUMN market_data_revisions.replaced_at IS 'When it was replaced, by the clock: the version held up to then';
COMMENT ON COLUMN market_data_revisions.replaced_by IS 'Who did it: app.current_user_id, NULL when not set; no reference, because the user may go';

-- Two ticks can have the same time; then they are told apart by arrival.
CREATE TABLE quotes (
    id BIGSERIAL,
    symbol VARCHAR(20) NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    bid DECIMAL(18, 8) NOT NULL,
    ask DECIMAL(18, 8) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    PRIMARY KEY (symbol, timestamp, id),
    -- NaN sorts above every number, so a bid of NaN is above every other ask
    CONSTRAINT chk_quotes_prices CHECK (bid > 0 AND bid <= ask AND ask <> 'NaN')
) PARTITION BY RANGE (timestamp);

COMMENT ON TABLE quotes IS 'Ticks, one partition a month of UTC';
COMMENT ON COLUMN quotes.id IS 'Order of arrival among ticks of the same time';
COMMENT ON COLUMN quotes.bid IS 'At most ask: a crossed quote is one of two feeds, or of a stale side, and has no middle';

-- Grants, one decision a table and role; partitions get none.

-- a refused row can be brought by the application, and is not its to change
GRANT SELECT, INSERT ON market_data_rejects TO fx_app;
GRANT USAGE ON SEQUENCE market_data_rejects_id_seq TO fx_app;
GRANT SELECT ON market_data_rejects TO fx_reporting;
-- written with the rights of the owner
GRANT SELECT ON market_data_revisions TO fx_app, fx_user, fx_reporting;
GRANT SELECT, INSERT, UPDATE, DELETE ON quotes TO fx_app;
GRANT USAGE ON SEQUENCE quotes_id_seq TO fx_app;
GRANT SELECT ON quotes TO fx_user, fx_reporting;
$fx_migration$, $fx_migration$
DROP TRIGGER IF EXISTS keep_candle_revision ON market_data;
DROP TABLE quotes;
DROP TABLE market_data_revisions;
DROP TABLE market_data_rejects;
$fx_migration$, $fx_migration$
-- Trigger and partitions of the migration.  Safe to run again.

-- An update that changes nothing costs nothing.
CREATE OR REPLACE TRIGGER keep_candle_revision
    AFTER UPDATE ON market_data
    FOR EACH ROW WHEN (
        OLD.symbol IS DISTINCT FROM NEW.symbol
        OR OLD.timeframe IS DISTINCT FROM NEW.timeframe
        OR OLD.timestamp IS DISTINCT FROM NEW.timestamp
        OR OLD.open_price IS DISTINCT FROM NEW.open_price
        OR OLD.high_price IS DISTINCT FROM NEW.high_price
        OR OLD.low_price IS DISTINCT FROM NEW.low_price
        OR OLD.close_price IS DISTINCT FROM NEW.close_price
        OR OLD.volume IS DISTINCT FROM NEW.volume)
    EXECUTE FUNCTION keep_candle_revision();

-- last month, this one and three ahead
SELECT create_quote_partitions(
    (date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month')::date,
    (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '4 months')::date);
$fx_migration$);

INSERT INTO migration (version, up, down, attach) VALUES ('2024_03_03_candle_rollups', $fx_migration$
-- Candles of one hour and one day, kept up to date from the stored ones.  What
-- is stored in market_data is the truth; the rows here are worked out from it
-- and can be thrown away and made again, except for those whose source has
-- expired.

CREATE TABLE candle_rollups (
    symbol VARCHAR(20) NOT NULL,
    timeframe VARCHAR(10) NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    open_price DECIMAL(18, 8) NOT NULL,
    high_price DECIMAL(18, 8) NOT NULL,
    low_price DECIMAL(18, 8) NOT NULL,
    close_price DECIMAL(18, 8) NOT NULL,
    volume BIGINT,
    source VARCHAR(10) NOT NULL,
    PRIMARY KEY (symbol, timeframe, timestamp),
    CONSTRAINT chk_candle_rollups_timeframe CHECK (timeframe::text IN ('1h', '1d'))
) WITH (fillfactor = 90);

COMMENT ON TABLE candle_rollups IS 'Candles of 1h and 1d made from market_data by fx.refresh_candles; read them by fx.candles';
COMMENT ON COLUMN candle_rollups.source IS 'The finest timeframe of market_data that went into the candle';

-- No key beyond what makes a row its own: two writers of the same day must not
-- wait for one another.
CREATE TABLE candle_changes (
    symbol VARCHAR(20) NOT NULL,
    timeframe VARCHAR(10) NOT NULL,
    day DATE NOT NULL,
    id BIGSERIAL,
    PRIMARY KEY (symbol, day, timeframe, id)
);

COMMENT ON TABLE candle_changes IS 'FX days of which candles were written since the last fx.refresh_candles; kept by a trigger of market_data';

CREATE TABLE candle_series (
    symbol VARCHAR(20) NOT NULL,
    timeframe VARCHAR(10) NOT NULL,
    PRIMARY KEY (symbol, timeframe)
);

COMMENT ON TABLE candle_series IS 'Symbols and timeframes that market_data holds or held at the last fx.refresh_candles';

CREATE TABLE candle_horizons (
    timeframe VARCHAR(10) PRIMARY KEY,
    expired_before TIMESTAMP WITH TIME ZONE NOT NULL
);

COMMENT ON TABLE candle_horizons IS 'Up to where retention has removed candles of a timeframe; roll-ups made from them before that are final';

CREATE TABLE candle_partitions (
    partition_name TEXT PRIMARY KEY,
    identity TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL
);

COMMENT ON TABLE candle_partitions IS 'Partitions of market_data as the last fx.refresh_candles saw them; one that is gone, new or truncated since then has changed as a whole';
COMMENT ON COLUMN candle_partitions.partition_name IS 'With its schema, quoted as needed';
COMMENT ON COLUMN candle_partitions.identity IS 'Table, file and attachment; differs after TRUNCATE, DETACH and ATTACH';

-- Everybody may read candles, and nobody writes here but triggers and
-- functions with the owner's rights.
GRANT SELECT ON candle_rollups, candle_changes, candle_series, candle_horizons, candle_partitions
    TO fx_app, fx_user, fx_reporting;

-- Days are reckoned with for all candles, so that a time near the ends of the
-- calendar would stop them all.  Before 1900 New York was not a whole number of
-- hours from UTC.
ALTER TABLE market_data ADD CONSTRAINT chk_market_data_time
    CHECK (timestamp >= '1900-01-01 00:00:00+00' AND timestamp < '9999-12-01 00:00:00+00');
$fx_migration$, $fx_migration$
DROP TRIGGER IF EXISTS note_market_data_change ON market_data;
DROP TABLE candle_partitions, candle_horizons, candle_series, candle_changes, candle_rollups;
ALTER TABLE market_data DROP CONSTRAINT chk_market_data_time;
$fx_migration$, $fx_migration$
-- Without the trigger nothing was noted: all that is there counts as changed.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_trigger
                    WHERE tgrelid = 'market_data'::regclass AND tgname = 'note_market_data_change') THEN
        DELETE FROM candle_partitions;
    END IF;
END
$$;

CREATE OR REPLACE TRIGGER note_market_data_change
    AFTER INSERT OR UPDATE OR DELETE ON market_data
    FOR EACH ROW EXECUTE FUNCTION note_candle_change();
-- Also for what logical replication applies.
ALTER TABLE market_data ENABLE ALWAYS TRIGGER note_market_data_change;

SELECT know_empty_partitions();
$fx_migration$);

INSERT INTO migration (version, up, down, attach) VALUES ('2024_03_04_maintenance', $fx_migration$
-- How long time series are kept, and what maintenance has done.

-- Empty: nothing expires unless somebody says so.
CREATE TABLE retention_policies (
    "table" TEXT NOT NULL,
    timeframe TEXT,
    keep INTERVAL NOT NULL,
    CONSTRAINT chk_retention_policies_table
        CHECK (regexp_replace("table", '^fx[.]', '')
               IN ('market_data', 'quotes', 'candle_rollups', 'market_data_revisions')),
    CONSTRAINT chk_retention_policies_timeframe
        CHECK (CASE regexp_replace("table", '^fx[.]', '')
                   WHEN 'market_data' THEN timeframe IS NOT NULL AND timeframe
                       IN ('1m', '5m', '15m', '30m', '1h', '4h', '1d', '1w', '1mn')
                   WHEN 'candle_rollups' THEN timeframe IS NOT NULL AND timeframe IN ('1h', '1d')
                   ELSE timeframe IS NULL
               END),
    CONSTRAINT chk_retention_policies_keep CHECK (keep BETWEEN INTERVAL '1 day' AND INTERVAL '1000 years')
);

-- 'fx.market_data' and 'market_data' are one table, and no timeframe is one too
CREATE UNIQUE INDEX idx_retention_policies_unique
    ON retention_policies (regexp_replace("table", '^fx[.]', ''), coalesce(timeframe, ''));

COMMENT ON TABLE retention_policies IS 'How long rows of time series are kept; what has no row here stays for ever';
COMMENT ON COLUMN retention_policies."table" IS 'market_data, quotes, candle_rollups or market_data_revisions, with or without "fx."';
COMMENT ON COLUMN retention_policies.timeframe IS 'Whose candles, for market_data and candle_rollups; NULL for the others';
COMMENT ON COLUMN retention_policies.keep IS 'Age up to which rows stay at least, by their timestamp (replaced_at for revisions); a day or more';

CREATE TABLE maintenance_runs (
    id BIGSERIAL PRIMARY KEY,
    step TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    outcome TEXT NOT NULL,
    detail TEXT,
    rows BIGINT,
    worker BOOLEAN NOT NULL DEFAULT false,
    CONSTRAINT chk_maintenance_runs_outcome CHECK (outcome IN ('ok', 'failed', 'skipped'))
);

CREATE INDEX idx_maintenance_runs_step ON maintenance_runs (step, id);

COMMENT ON TABLE maintenance_runs IS 'Every step of maintenance that was run, by fx.maintain or by the background worker; kept 90 days, 7 days where nothing was to do';
COMMENT ON COLUMN maintenance_runs.step IS 'market_data partitions, quotes partitions, rollups, retention, finalize, cleanup or maintenance (the whole)';
COMMENT ON COLUMN maintenance_runs.detail IS 'What was done, or the SQLSTATE and the message of the error';
COMMENT ON COLUMN maintenance_runs.rows IS 'Partitions made or dropped, days rolled up, rows deleted';
COMMENT ON COLUMN maintenance_runs.worker IS 'Run by the background worker';

-- Policies decide what is destroyed: the owner sets them, the application and
-- reports see them.  Neither is of interest to a user of the platform.
GRANT SELECT ON retention_policies, maintenance_runs TO fx_app, fx_reporting;
$fx_migration$, $fx_migration$
DROP VIEW IF EXISTS partition_health;
DROP TABLE maintenance_runs, retention_policies;
$fx_migration$, $fx_migration$
CREATE OR REPLACE VIEW partition_health AS
    SELECT "table", partitions, oldest, newest, next_missing, months_ahead,
           rows_outside_policy, last_run, last_outcome, last_error
      FROM partition_states();

GRANT SELECT ON partition_health TO fx_app, fx_user, fx_reporting;

COMMENT ON VIEW partition_health IS 'Each partitioned table of time series: its months, the next month that is missing, rows that a retention policy no longer keeps, and how maintenance went last';
COMMENT ON COLUMN partition_health.oldest IS 'Lower bound of the oldest partition; NULL when it has none';
COMMENT ON COLUMN partition_health.newest IS 'Upper bound of the newest partition, excluded';
COMMENT ON COLUMN partition_health.next_missing IS 'The first month from the current one on that has no partition';
COMMENT ON COLUMN partition_health.months_ahead IS 'Months with a partition after the current one, up to next_missing; -1 when the current one has none';
COMMENT ON COLUMN partition_health.rows_outside_policy IS 'Estimate of the rows that fx.apply_retention would remove now';
COMMENT ON COLUMN partition_health.last_run IS 'End of the last step of maintenance, NULL before the first';
COMMENT ON COLUMN partition_health.last_outcome IS 'failed when the last run of any step failed, then skipped, then ok';
COMMENT ON COLUMN partition_health.last_error IS 'Detail of the last step that failed, as long as fx.maintenance_runs keeps it';
$fx_migration$);

INSERT INTO migration (version, up, down, attach) VALUES ('2024_03_05_lean_market_data', $fx_migration$
-- Each B-tree beside the key costs a third of the rate at which candles are
-- loaded, and years of candles are read by symbol and timeframe.
--
-- By symbol and time, whatever the timeframe: the key (symbol, timeframe,
-- timestamp) of the months in question finds the symbol's entries and compares
-- their times in the index.  By time alone: the months in question, and ranges
-- of their pages, since candles come roughly by time.

DROP INDEX idx_market_data_symbol_timestamp;            -- idx_market_data_unique (symbol, ..., timestamp)
DROP INDEX idx_market_data_timestamp;                   -- the same as BRIN
CREATE INDEX idx_market_data_timestamp ON market_data USING brin (timestamp) WITH (pages_per_range = 32, autosummarize = on);
$fx_migration$, $fx_migration$
DROP INDEX idx_market_data_timestamp;
CREATE INDEX idx_market_data_timestamp ON market_data (timestamp);
CREATE INDEX idx_market_data_symbol_timestamp ON market_data (symbol, timestamp);
$fx_migration$, '');

INSERT INTO migration (version, up, down, attach) VALUES ('2024_04_01_risk_engine', $fx_migration$
-- The books of the risk engine: what each user has, holds and may do.

CREATE TABLE accounts (
    user_id UUID PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
    currency VARCHAR(10) NOT NULL DEFAULT 'USD',
    initial_balance NUMERIC(28,8) NOT NULL DEFAULT 0,
    balance NUMERIC(28,8) NOT NULL DEFAULT 0,
    net_deposits NUMERIC(28,8) NOT NULL DEFAULT 0,
    position_method VARCHAR(10) NOT NULL DEFAULT 'netting',
    trading_state VARCHAR(20) NOT NULL DEFAULT 'active',
    state_reason TEXT,
    time_zone VARCHAR(64) NOT NULL DEFAULT 'America/New_York',
    day_cutoff TIME NOT NULL DEFAULT '17:00',
    high_water_mark NUMERIC(28,8) NOT NULL DEFAULT 0,
    eod_high_water_mark NUMERIC(28,8) NOT NULL DEFAULT 0,
    day_started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    day_balance NUMERIC(28,8) NOT NULL,
    day_equity NUMERIC(28,8),
    day_deposits NUMERIC(28,8) NOT NULL DEFAULT 0,
    week_started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    week_balance NUMERIC(28,8) NOT NULL,
    week_equity NUMERIC(28,8),
    week_deposits NUMERIC(28,8) NOT NULL DEFAULT 0,
    month_started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    month_balance NUMERIC(28,8) NOT NULL,
    month_equity NUMERIC(28,8),
    month_deposits NUMERIC(28,8) NOT NULL DEFAULT 0,
    day_ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
    open_trades INTEGER NOT NULL DEFAULT 0,
    day_trades INTEGER NOT NULL DEFAULT 0,
    consecutive_losses INTEGER NOT NULL DEFAULT 0,
    losing_since TIMESTAMP WITH TIME ZONE,
    last_closed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    CONSTRAINT chk_accounts_currency CHECK (currency ~ '^[A-Z0-9]{3,10}$'),
    CONSTRAINT chk_accounts_initial_balance CHECK (initial_balance >= 0 AND initial_balance <> 'NaN'),
    CONSTRAINT chk_accounts_numbers CHECK (balance <> 'NaN' AND net_deposits <> 'NaN'
        AND high_water_mark <> 'NaN' AND eod_high_water_mark <> 'NaN'),
    CONSTRAINT chk_accounts_position_method CHECK (position_method::text IN ('netting', 'fifo', 'hedging')),
    CONSTRAINT chk_accounts_trading_state CHECK (trading_state::text IN ('active', 'reduce_only', 'halted')),
    CONSTRAINT chk_accounts_day_cutoff CHECK (day_cutoff < '24:00'),
    CONSTRAINT chk_accounts_counters
        CHECK (open_trades >= 0 AND day_trades >= 0 AND consecutive_losses >= 0)
) WITH (fillfactor = 50);

CREATE TABLE positions (
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    symbol VARCHAR(20) NOT NULL,
    long_quantity NUMERIC(28,8) NOT NULL DEFAULT 0,
    short_quantity NUMERIC(28,8) NOT NULL DEFAULT 0,
    long_cost NUMERIC(38,8) NOT NULL DEFAULT 0,
    short_cost NUMERIC(38,8) NOT NULL DEFAULT 0,
    average_price NUMERIC(28,8),
    realized_pnl NUMERIC(28,8) NOT NULL DEFAULT 0,
    open_trades INTEGER NOT NULL DEFAULT 0,
    unpriced_trades INTEGER NOT NULL DEFAULT 0,
    last_price NUMERIC(18,8),
    last_price_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (user_id, symbol),
    CONSTRAINT chk_positions_quantities CHECK (long_quantity >= 0 AND short_quantity >= 0
        AND long_quantity <> 'NaN' AND short_quantity <> 'NaN'),
    CONSTRAINT chk_positions_counters CHECK (open_trades >= 0 AND unpriced_trades >= 0)
) WITH (fillfactor = 50);

-- What was taken out of the positions, and what it brought.  No foreign keys to
-- trades, which would keep them from being truncated: the trigger of trades
-- takes out what belongs to trades that are gone.
CREATE TABLE closures (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    trade_id UUID NOT NULL,
    closing_trade_id UUID,
    symbol VARCHAR(20) NOT NULL,
    type VARCHAR(10) NOT NULL,
    quantity NUMERIC(18,8) NOT NULL,
    cost NUMERIC(38,8) NOT NULL,
    close_price NUMERIC(18,8),
    realized NUMERIC(38,8),
    profit NUMERIC(28,8),
    profit_source VARCHAR(15) NOT NULL,
    position_method VARCHAR(10) NOT NULL,
    conversion_rate NUMERIC,
    conversion_pair TEXT,
    conversion_at TIMESTAMP WITH TIME ZONE,
    closed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    CONSTRAINT chk_closures_type CHECK (type::text IN ('buy', 'sell')),
    CONSTRAINT chk_closures_quantity CHECK (quantity > 0 AND quantity <> 'NaN'),
    CONSTRAINT chk_closures_profit_source CHECK (profit_source::text IN ('application', 'computed')),
    CONSTRAINT chk_closures_position_method CHECK (position_method::text IN ('netting', 'fifo', 'hedging'))
);

CREATE INDEX idx_closures_trade_id ON closures (trade_id);
CREATE INDEX idx_closures_user_symbol ON closures (user_id, symbol);

CREATE TABLE cash_flows (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    amount NUMERIC(18,8) NOT NULL,
    reason TEXT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    CONSTRAINT chk_cash_flows_amount CHECK (amount <> 0 AND amount <> 'NaN')
);

CREATE INDEX idx_cash_flows_user_id ON cash_flows (user_id, created_at);

CREATE TABLE risk_events (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    event VARCHAR(20) NOT NULL,
    trade_id UUID,
    limit_id UUID,
    type VARCHAR(50),
    current_value NUMERIC,
    projected_value NUMERIC,
    bound NUMERIC,
    reason TEXT,
    detail JSONB,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    CONSTRAINT chk_risk_events_event CHECK (event::text IN ('refused', 'warning', 'breached', 'cleared', 'state'))
);

CREATE INDEX idx_risk_events_user_id ON risk_events (user_id, created_at DESC);

-- Sets of limits that a user can be given; edit them, or add some.
CREATE TABLE risk_presets (
    preset VARCHAR(50) NOT NULL,
    name VARCHAR(255) NOT NULL,
    type VARCHAR(50) NOT NULL,
    limit_type VARCHAR(20) NOT NULL,
    limit_value NUMERIC(18,8) NOT NULL,
    action VARCHAR(20),
    anchor VARCHAR(20),
    basis VARCHAR(20),
    breach_op VARCHAR(10),
    time_zone VARCHAR(64),
    day_cutoff TIME,
    PRIMARY KEY (preset, name)
);

INSERT INTO risk_presets (preset, name, type, limit_type, limit_value, action, anchor, basis, breach_op, time_zone, day_cutoff) VALUES
    ('ftmo_2step', 'daily loss', 'daily_loss', 'percentage', 5, 'block', 'balance', 'initial', 'exceed', 'Europe/Prague', '00:00'),
    ('ftmo_2step', 'maximum loss', 'max_drawdown', 'percentage', 10, 'block', NULL, 'initial', 'exceed', 'Europe/Prague', '00:00'),
    ('ftmo_1step', 'daily loss', 'daily_loss', 'percentage', 3, 'block', 'balance', 'initial', 'exceed', 'Europe/Prague', '00:00'),
    ('ftmo_1step', 'maximum loss', 'trailing_drawdown_eod', 'percentage', 10, 'block', NULL, 'initial', 'exceed', 'Europe/Prague', '00:00'),
    ('the5ers', 'daily loss', 'daily_loss', 'percentage', 5, 'block', 'max', 'anchor', 'reach', 'America/New_York', '17:00'),
    ('the5ers', 'maximum loss', 'max_drawdown', 'percentage', 10, 'block', NULL, 'initial', 'reach', 'America/New_York', '17:00'),
    ('fintokei', 'daily loss', 'daily_loss', 'percentage', 5, 'block', 'equity', 'anchor', 'reach', 'Europe/Prague', '00:00'),
    ('fintokei', 'maximum loss', 'max_drawdown', 'percentage', 10, 'block', NULL, 'initial', 'reach', 'Europe/Prague', '00:00'),
    ('retail', 'leverage', 'max_leverage', 'absolute', 30, 'block', NULL, NULL, NULL, NULL, NULL),
    ('retail', 'daily loss', 'daily_loss', 'percentage', 5, 'block', 'max', 'anchor', 'reach', NULL, NULL),
    ('retail', 'order far from the market', 'price_collar', 'percentage', 2, 'block', NULL, NULL, NULL, NULL, NULL),
    ('retail', 'orders a minute', 'max_order_rate', 'absolute', 60, 'block', NULL, NULL, NULL, NULL, NULL);

-- What the engine notes on a trade.  Its trigger refuses other writers, so
-- there are no checks of these columns: the server parses each check anew in
-- every INSERT, which costs more than judging ten limits.
ALTER TABLE trades
    ADD COLUMN open_quantity NUMERIC(18,8),
    ADD COLUMN close_price NUMERIC(18,8),
    ADD COLUMN profit_source VARCHAR(15) NOT NULL DEFAULT 'application',
    ADD COLUMN position_method VARCHAR(10),
    ADD COLUMN conversion_rate NUMERIC,
    ADD COLUMN conversion_pair TEXT,
    ADD COLUMN conversion_at TIMESTAMP WITH TIME ZONE,
    ADD CONSTRAINT chk_trades_close_price CHECK (close_price > 0 AND close_price <> 'NaN');

-- Open trades of a position, oldest first, and the newest closings of a user.
CREATE INDEX idx_trades_open ON trades (user_id, symbol, executed_at, id)
    WHERE status = 'executed' AND closed_at IS NULL AND NOT is_backtest;
CREATE INDEX idx_trades_closed ON trades (user_id, closed_at DESC, id DESC)
    WHERE status = 'executed' AND closed_at IS NOT NULL AND NOT is_backtest;

ALTER TABLE risk_limits
    ADD COLUMN symbol VARCHAR(20),
    ADD COLUMN currency VARCHAR(10),
    ADD COLUMN strategy_id UUID REFERENCES strategies(id) ON DELETE CASCADE,
    ADD COLUMN action VARCHAR(20) NOT NULL DEFAULT 'block',
    ADD COLUMN warning_level NUMERIC(5,2) NOT NULL DEFAULT 80.00,
    ADD COLUMN anchor VARCHAR(20),
    ADD COLUMN basis VARCHAR(20),
    ADD COLUMN breach_op VARCHAR(10),
    ADD COLUMN lock_at NUMERIC(18,8),
    ADD COLUMN window_seconds INTEGER,
    ADD COLUMN cooldown_seconds INTEGER,
    ADD CONSTRAINT chk_risk_limits_type CHECK (type::text IN (
        'daily_loss', 'weekly_loss', 'monthly_loss', 'max_drawdown', 'trailing_drawdown',
        'trailing_drawdown_eod', 'max_position', 'max_order_size', 'max_order_value', 'max_exposure',
        'max_symbol_exposure', 'max_currency_exposure', 'max_leverage', 'concentration',
        'max_open_trades', 'max_daily_trades', 'max_order_rate', 'max_consecutive_losses',
        'price_collar', 'min_equity', 'kill_switch')),
    ADD CONSTRAINT chk_risk_limits_unit CHECK (CASE limit_type
        WHEN 'percentage' THEN type::text NOT IN ('max_open_trades', 'max_daily_trades', 'max_order_rate',
                                            'max_consecutive_losses', 'kill_switch')
        ELSE type <> 'concentration' END),
    ADD CONSTRAINT chk_risk_limits_order_rate
        CHECK (type <> 'max_order_rate' OR limit_value BETWEEN 0 AND 1000),
    ADD CONSTRAINT chk_risk_limits_symbol CHECK (symbol IS NULL OR type::text IN (
        'max_position', 'max_order_size', 'max_order_value', 'max_exposure', 'max_symbol_exposure',
        'concentration', 'max_open_trades', 'max_daily_trades', 'max_order_rate',
        'max_consecutive_losses', 'price_collar', 'kill_switch')),
    ADD CONSTRAINT chk_risk_limits_currency CHECK (currency IS NULL OR (currency ~ '^[A-Z0-9]{3,10}$' AND type::text IN (
        'max_position', 'max_order_size', 'max_order_value', 'max_exposure', 'max_symbol_exposure',
        'max_currency_exposure', 'max_order_rate', 'price_collar', 'kill_switch'))),
    ADD CONSTRAINT chk_risk_limits_strategy CHECK (strategy_id IS NULL OR type::text IN (
        'max_position', 'max_order_size', 'max_order_value', 'max_open_trades', 'max_daily_trades',
        'max_order_rate', 'max_consecutive_losses', 'price_collar', 'kill_switch')),
    ADD CONSTRAINT chk_risk_limits_action CHECK (action::text IN ('warn', 'block', 'reduce_only', 'halt')),
    ADD CONSTRAINT chk_risk_limits_warning_level CHECK (warning_level BETWEEN 0 AND 100),
    ADD CONSTRAINT chk_risk_limits_anchor CHECK (anchor IS NULL OR (anchor::text IN ('balance', 'equity', 'max')
        AND type::text IN ('daily_loss', 'weekly_loss', 'monthly_loss'))),
    ADD CONSTRAINT chk_risk_limits_basis CHECK (basis IS NULL OR (limit_type = 'percentage' AND CASE
        WHEN type::text IN ('daily_loss', 'weekly_loss', 'monthly_loss', 'trailing_drawdown', 'trailing_drawdown_eod')
            THEN basis::text IN ('initial', 'anchor')
        WHEN type::text IN ('max_drawdown', 'min_equity') THEN basis = 'initial'
        WHEN type::text IN ('max_position', 'max_order_size', 'max_order_value', 'max_exposure',
                      'max_symbol_exposure', 'max_currency_exposure') THEN basis::text IN ('initial', 'equity')
        WHEN type = 'concentration' THEN basis::text IN ('gross', 'equity')
        ELSE false END)),
    ADD CONSTRAINT chk_risk_limits_breach_op CHECK (breach_op::text IN ('reach', 'exceed')),
    ADD CONSTRAINT chk_risk_limits_lock_at CHECK (lock_at IS NULL OR (lock_at <> 'NaN'
        AND type::text IN ('trailing_drawdown', 'trailing_drawdown_eod'))),
    ADD CONSTRAINT chk_risk_limits_window
        CHECK (window_seconds IS NULL OR (type = 'max_order_rate' AND window_seconds BETWEEN 1 AND 86400)),
    ADD CONSTRAINT chk_risk_limits_cooldown
        CHECK (cooldown_seconds IS NULL OR (type = 'max_consecutive_losses' AND cooldown_seconds > 0)),
    SET (fillfactor = 50);

CREATE INDEX idx_risk_limits_strategy_id ON risk_limits (strategy_id) WHERE strategy_id IS NOT NULL;

-- What limits have come to.  It is apart from them, so that whoever has the row
-- of a limit locked does not keep the engine from noting it.  Rows go with their
-- limits by a trigger; a foreign key would forbid to truncate risk_limits.
CREATE TABLE risk_limit_state (
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    limit_id UUID NOT NULL,
    breached_at TIMESTAMP WITH TIME ZONE,
    breached_until TIMESTAMP WITH TIME ZONE,
    breach_value NUMERIC(28,8),
    cleared_at TIMESTAMP WITH TIME ZONE,
    order_times TIMESTAMP WITH TIME ZONE[],
    PRIMARY KEY (user_id, limit_id)
) WITH (fillfactor = 50);

INSERT INTO risk_limit_state (user_id, limit_id)
SELECT user_id, id FROM risk_limits
 WHERE is_active AND type IN ('daily_loss', 'max_drawdown');

ALTER TABLE accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE positions ENABLE ROW LEVEL SECURITY;
ALTER TABLE closures ENABLE ROW LEVEL SECURITY;
ALTER TABLE cash_flows ENABLE ROW LEVEL SECURITY;
ALTER TABLE risk_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE risk_limit_state ENABLE ROW LEVEL SECURITY;

GRANT SELECT ON accounts, positions, closures, cash_flows, risk_events, risk_presets, risk_limit_state
    TO fx_app, fx_user, fx_reporting;
GRANT UPDATE (position_method, trading_state, state_reason, time_zone, day_cutoff) ON accounts TO fx_app;
GRANT INSERT ON cash_flows, risk_events TO fx_app;
GRANT INSERT, UPDATE, DELETE ON risk_presets TO fx_app;

COMMENT ON TABLE accounts IS 'What each user''s account is worth, kept by the trigger of trades in the same transaction; money in its currency';
COMMENT ON COLUMN accounts.currency IS 'From users.preferences, key accountCurrency; USD where it has none';
COMMENT ON COLUMN accounts.initial_balance IS 'From users.preferences, key initialBalance; 0 is not known';
COMMENT ON COLUMN accounts.balance IS 'initial_balance + net_deposits + profit - commission + swap of all executed trades that are not of backtests';
COMMENT ON COLUMN accounts.net_deposits IS 'Sum of cash_flows';
COMMENT ON COLUMN accounts.position_method IS 'netting (a position at its average price), fifo or hedging (each trade by itself)';
COMMENT ON COLUMN accounts.trading_state IS 'active, reduce_only (only what brings a position down) or halted (nothing)';
COMMENT ON COLUMN accounts.day_cutoff IS 'When the trading day starts, by the clock of time_zone; from 12:00 on it is the day of the next date';
COMMENT ON COLUMN accounts.high_water_mark IS 'Highest equity observed, moved by deposits and withdrawals';
COMMENT ON COLUMN accounts.eod_high_water_mark IS 'Highest balance at the end of a trading day, moved likewise';
COMMENT ON COLUMN accounts.day_balance IS 'Balance when the day started; the same for week and month';
COMMENT ON COLUMN accounts.day_equity IS 'Equity when the day started, by the prices of that moment; NULL when one was not known';
COMMENT ON COLUMN accounts.day_deposits IS 'Net deposits since the day started';
COMMENT ON COLUMN accounts.day_trades IS 'Trades executed since the day started';
COMMENT ON COLUMN accounts.consecutive_losses IS 'Trades closed last that all lost, net';
COMMENT ON TABLE positions IS 'What each user holds of each symbol, kept by the trigger of trades in the same transaction';
COMMENT ON COLUMN positions.symbol IS 'In upper case, without slash, underscore, hyphen, point and blank';
COMMENT ON COLUMN positions.long_quantity IS 'Open units bought';
COMMENT ON COLUMN positions.long_cost IS 'What the open units were bought for, in the quote currency';
COMMENT ON COLUMN positions.average_price IS 'Price at which the net position breaks even; NULL when it is 0';
COMMENT ON COLUMN positions.realized_pnl IS 'Profit of the user''s executed trades of the symbol, gross, in the account''s currency';
COMMENT ON COLUMN positions.unpriced_trades IS 'Open trades without a price, whose cost is not known';
COMMENT ON COLUMN positions.last_price IS 'Price of the newest execution';
COMMENT ON TABLE closures IS 'Each time that open units were closed: what of which trade, at what cost, and what it brought';
COMMENT ON COLUMN closures.trade_id IS 'The trade that was closed';
COMMENT ON COLUMN closures.closing_trade_id IS 'The opposite trade that closed it; NULL when it was closed by itself';
COMMENT ON COLUMN closures.type IS 'Of the trade that was closed';
COMMENT ON COLUMN closures.cost IS 'Taken out of the position with it, in the quote currency';
COMMENT ON COLUMN closures.realized IS 'In the quote currency; NULL when the application gave no price';
COMMENT ON COLUMN closures.profit IS 'In the account''s currency; NULL with an opposite trade whose profit the application wrote';
COMMENT ON COLUMN closures.conversion_rate IS 'By which realized became profit; 1 without conversion_pair';
COMMENT ON COLUMN closures.conversion_pair IS 'Symbols whose prices made the rate, joined by *';
COMMENT ON COLUMN closures.conversion_at IS 'When the older of these prices was observed';
COMMENT ON TABLE cash_flows IS 'Deposits (positive) and withdrawals (negative), never changed';
COMMENT ON TABLE risk_events IS 'What limits did: trades refused (by fx.try_trade), warnings, breaches, and who cleared them';
COMMENT ON TABLE risk_presets IS 'Sets of limits for fx.apply_risk_preset; columns as in risk_limits, and of accounts';
COMMENT ON COLUMN trades.open_quantity IS 'Units still open once part was closed; NULL before';
COMMENT ON COLUMN trades.close_price IS 'Price at which it was closed last';
COMMENT ON COLUMN trades.profit_source IS 'computed when the platform worked out profit, else application';
COMMENT ON COLUMN trades.position_method IS 'By which profit was computed';
COMMENT ON COLUMN trades.conversion_rate IS 'From the quote to the account''s currency, by which profit was computed';
COMMENT ON COLUMN trades.conversion_pair IS 'Symbols whose prices made the rate, joined by *; NULL when the currencies are the same';
COMMENT ON COLUMN trades.conversion_at IS 'When the older of these prices was observed';
COMMENT ON COLUMN risk_limits.current_value IS 'Kept by the platform: the measure, in percent for percentage limits; NULL when it is not known. What the application writes is ignored';
COMMENT ON COLUMN risk_limits.symbol IS 'Only trades of this symbol count; NULL for all';
COMMENT ON COLUMN risk_limits.currency IS 'Only trades of instruments of this currency count; NULL for all';
COMMENT ON COLUMN risk_limits.strategy_id IS 'Only trades of this strategy count; NULL for all';
COMMENT ON COLUMN risk_limits.action IS 'What a breach does: warn (it is recorded), block, reduce_only or halt';
COMMENT ON COLUMN risk_limits.warning_level IS 'Percent of the limit from which its status is warning';
COMMENT ON COLUMN risk_limits.anchor IS 'What losses of a period are measured from: balance or equity at its start, or the larger';
COMMENT ON COLUMN risk_limits.basis IS 'What a percentage is of';
COMMENT ON COLUMN risk_limits.breach_op IS 'reach: breached at the limit; exceed: above it';
COMMENT ON COLUMN risk_limits.lock_at IS 'Equity above which the floor of a trailing drawdown does not rise';
COMMENT ON COLUMN risk_limits.window_seconds IS 'Of max_order_rate';
COMMENT ON COLUMN risk_limits.cooldown_seconds IS 'How long max_consecutive_losses stays breached; NULL until it is cleared';
COMMENT ON TABLE risk_limit_state IS 'What limits that hold on or count orders have come to, kept by the trigger of trades; a row for each that was ever active';
COMMENT ON COLUMN risk_limit_state.breached_at IS 'A breached limit of losses or equity stays so until breached_until or fx.clear_breach; NULL when it is not';
COMMENT ON COLUMN risk_limit_state.breached_until IS 'infinity until it is cleared';
COMMENT ON COLUMN risk_limit_state.breach_value IS 'The measure when it was breached, in the account''s currency, or losses in a row';
COMMENT ON COLUMN risk_limit_state.cleared_at IS 'Losses in a row count from here';
COMMENT ON COLUMN risk_limit_state.order_times IS 'Of the last orders, for max_order_rate';

-- What there is already, from the trades
SELECT rebuild_risk_state(id) FROM users;
$fx_migration$, $fx_migration$
DROP TRIGGER IF EXISTS users_open_account ON users;
DROP TRIGGER IF EXISTS users_follow_preferences ON users;
DROP TRIGGER IF EXISTS trades_lifecycle ON trades;
DROP TRIGGER IF EXISTS trades_risk_insert ON trades;
DROP TRIGGER IF EXISTS trades_risk_update ON trades;
DROP TRIGGER IF EXISTS trades_risk_delete ON trades;
DROP TRIGGER IF EXISTS trades_risk_truncate ON trades;
DROP TRIGGER IF EXISTS risk_limits_guard ON risk_limits;
DROP TRIGGER IF EXISTS risk_limits_refresh_insert ON risk_limits;
DROP TRIGGER IF EXISTS risk_limits_refresh_update ON risk_limits;
DROP TRIGGER IF EXISTS risk_limits_refresh_delete ON risk_limits;
DROP TRIGGER IF EXISTS risk_limits_refresh_truncate ON risk_limits;
DROP TRIGGER IF EXISTS instruments_forget_prices ON instruments;
DROP INDEX IF EXISTS idx_trades_open, idx_trades_closed, idx_risk_limits_strategy_id;
ALTER TABLE risk_limits
    DROP CONSTRAINT chk_risk_limits_type,
    DROP CONSTRAINT chk_risk_limits_order_rate,
    DROP COLUMN symbol,
    DROP COLUMN currency,
    DROP COLUMN strategy_id,
    DROP COLUMN action,
    DROP COLUMN warning_level,
    DROP COLUMN anchor,
    DROP COLUMN basis,
    DROP COLUMN breach_op,
    DROP COLUMN lock_at,
    DROP COLUMN window_seconds,
    DROP COLUMN cooldown_seconds,
    DROP CONSTRAINT IF EXISTS chk_risk_limits_unit,
    RESET (fillfactor);
ALTER TABLE trades
    DROP COLUMN open_quantity,
    DROP COLUMN close_price,
    DROP COLUMN profit_source,
    DROP COLUMN position_method,
    DROP COLUMN conversion_rate,
    DROP COLUMN conversion_pair,
    DROP COLUMN conversion_at;
DROP TABLE risk_limit_state, risk_presets, risk_events, cash_flows, closures, positions, accounts;
COMMENT ON COLUMN risk_limits.current_value IS 'The measure now, in its own units also where the limit is a percentage; NULL when unknown';
$fx_migration$, $fx_migration$
DO $$
DECLARE
    tab text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['accounts', 'positions', 'closures', 'cash_flows', 'risk_events',
                              'risk_limit_state'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', tab || '_app', tab);
        EXECUTE format('CREATE POLICY %I ON %I TO fx_app USING (true) WITH CHECK (true)', tab || '_app', tab);
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', tab || '_own', tab);
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO fx_user
                            USING (user_id = (SELECT current_user_id()))', tab || '_own', tab);
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', tab || '_reporting', tab);
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO fx_reporting USING (true)', tab || '_reporting', tab);
    END LOOP;
END
$$;

CREATE OR REPLACE TRIGGER users_open_account
    AFTER INSERT ON users
    FOR EACH ROW EXECUTE FUNCTION open_account();
CREATE OR REPLACE TRIGGER users_follow_preferences
    AFTER UPDATE OF preferences ON users
    FOR EACH ROW WHEN (OLD.preferences IS DISTINCT FROM NEW.preferences)
    EXECUTE FUNCTION follow_preferences();

CREATE OR REPLACE TRIGGER accounts_guard
    BEFORE UPDATE ON accounts
    FOR EACH ROW EXECUTE FUNCTION guard_account();

CREATE OR REPLACE TRIGGER cash_flows_guard
    BEFORE UPDATE OR DELETE ON cash_flows
    FOR EACH ROW EXECUTE FUNCTION guard_cash_flow();
CREATE OR REPLACE TRIGGER cash_flows_apply
    AFTER INSERT ON cash_flows
    FOR EACH ROW EXECUTE FUNCTION apply_cash_flow();

CREATE OR REPLACE TRIGGER trades_lifecycle
    BEFORE INSERT OR UPDATE ON trades
    FOR EACH ROW EXECUTE FUNCTION guard_trade();
CREATE OR REPLACE TRIGGER trades_risk_insert
    AFTER INSERT ON trades
    REFERENCING NEW TABLE AS new_trades
    FOR EACH STATEMENT EXECUTE FUNCTION apply_trade_risk();
CREATE OR REPLACE TRIGGER trades_risk_update
    AFTER UPDATE ON trades
    REFERENCING OLD TABLE AS old_trades NEW TABLE AS new_trades
    FOR EACH STATEMENT EXECUTE FUNCTION apply_trade_risk();
CREATE OR REPLACE TRIGGER trades_risk_delete
    AFTER DELETE ON trades
    REFERENCING OLD TABLE AS old_trades
    FOR EACH STATEMENT EXECUTE FUNCTION apply_trade_risk();
CREATE OR REPLACE TRIGGER trades_risk_truncate
    AFTER TRUNCATE ON trades
    FOR EACH STATEMENT EXECUTE FUNCTION apply_trade_risk();

CREATE OR REPLACE TRIGGER risk_limits_guard
    BEFORE INSERT OR UPDATE ON risk_limits
    FOR EACH ROW EXECUTE FUNCTION guard_risk_limit();
CREATE OR REPLACE TRIGGER risk_limits_refresh_insert
    AFTER INSERT ON risk_limits
    REFERENCING NEW TABLE AS new_limits
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_risk_limits();
CREATE OR REPLACE TRIGGER risk_limits_refresh_update
    AFTER UPDATE ON risk_limits
    REFERENCING OLD TABLE AS old_limits NEW TABLE AS new_limits
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_risk_limits();
CREATE OR REPLACE TRIGGER risk_limits_refresh_delete
    AFTER DELETE ON risk_limits
    REFERENCING OLD TABLE AS old_limits
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_risk_limits();
CREATE OR REPLACE TRIGGER risk_limits_refresh_truncate
    AFTER TRUNCATE ON risk_limits
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_risk_limits();

CREATE OR REPLACE TRIGGER instruments_forget_prices
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON instruments
    FOR EACH STATEMENT EXECUTE FUNCTION forget_prices();
$fx_migration$);

INSERT INTO migration (version, up, down, attach) VALUES ('2024_05_01_audit_trail', $fx_migration$
-- What an entry of the audit log says besides the columns of the first
-- migration, and the indexes that earn their cost on every entry.

ALTER TABLE audit_log
    ADD COLUMN actor_id UUID,
    ADD COLUMN changed_columns TEXT[],
    ADD COLUMN session_user_name TEXT,
    ADD COLUMN application_name TEXT,
    ADD COLUMN transaction_id XID8,
    ADD COLUMN statement_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN row_hash BYTEA
        CONSTRAINT chk_audit_log_row_hash CHECK (octet_length(row_hash) = 32);

-- Names and ids are compared byte by byte, whatever the database's language:
-- the index of them is the dearest of all.
ALTER TABLE audit_log
    ALTER COLUMN resource_type TYPE VARCHAR(50) COLLATE "C",
    ALTER COLUMN resource_id TYPE VARCHAR(100) COLLATE "C";

-- lz4 costs a fraction of the default's time; a server built without it keeps
-- the default.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_settings
                WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        ALTER TABLE audit_log
            ALTER COLUMN old_values SET COMPRESSION lz4,
            ALTER COLUMN new_values SET COMPRESSION lz4;
    END IF;
END
$$;

UPDATE audit_log
   SET actor_id = user_id,
       row_hash = audit_row_hash(id, user_id, action, resource_type, resource_id,
                                 old_values, new_values, NULL, ip_address, user_agent,
                                 NULL, NULL, NULL, created_at);

-- Four kinds of action tell nothing apart that a time or a resource does not.
-- What is left: audit_log_pkey (ids of entries ascend with time, which finds
-- the latest), idx_audit_log_resource (the history of a row; since 2024_01_27
-- also in place of idx_audit_log_resource_type) and idx_audit_log_user_id (the
-- deletion of a user, and row security).
DROP INDEX idx_audit_log_action;

-- Entries lie in the order of their time, so that bounds of each part of the
-- table find a period, for next to nothing an entry.
DROP INDEX idx_audit_log_created_at;
CREATE INDEX idx_audit_log_created_at ON audit_log USING BRIN (created_at);

COMMENT ON COLUMN audit_log.id IS 'Ascends with created_at in entries of the trigger (uuid version 7)';
COMMENT ON COLUMN audit_log.user_id IS 'Who did it, as a reference: actor_id where that user exists, NULL when he does not or was deleted since';
COMMENT ON COLUMN audit_log.actor_id IS 'Who did it: fx.current_user_id(), kept when the user goes; NULL when the session acted for no user';
COMMENT ON COLUMN audit_log.resource_type IS 'Name of the table, of the whole where a partition was written; with its schema outside schema fx (fx.audit_resource_type)';
COMMENT ON COLUMN audit_log.resource_id IS 'Primary key of the row as text, a JSON array where it has several columns; without one the column id; NULL without either and for TRUNCATE';
COMMENT ON COLUMN audit_log.old_values IS 'DELETE: the row; UPDATE: the old values of changed_columns; otherwise NULL. Values are those of to_jsonb, in UTC; secrets as in new_values';
COMMENT ON COLUMN audit_log.new_values IS 'INSERT and UPDATE: the row. A secret that is not null is "[redacted]", and the member "redacted_hashes" has a keyed hash of it by column: equal hashes in a column, equal secrets';
COMMENT ON COLUMN audit_log.changed_columns IS 'UPDATE: the columns whose value changed, in the order of the table; otherwise NULL';
COMMENT ON COLUMN audit_log.ip_address IS 'Setting app.ip_address of logins with the rights of fx_app, NULL when it is no address; the address of the connection of all others, NULL on a local socket';
COMMENT ON COLUMN audit_log.user_agent IS 'Setting app.user_agent, the first 1,024 bytes of it';
COMMENT ON COLUMN audit_log.session_user_name IS 'Role that connected';
COMMENT ON COLUMN audit_log.application_name IS 'Setting application_name of the session, NULL when empty';
COMMENT ON COLUMN audit_log.transaction_id IS 'Top-level transaction; has no meaning in another cluster';
COMMENT ON COLUMN audit_log.statement_at IS 'When the client''s statement began';
COMMENT ON COLUMN audit_log.row_hash IS 'fx.audit_row_hash of the entry: sha256 over all columns but user_id, transaction_id and itself';

-- The key of the hashes that stand for redacted values.  It is random, part
-- of every dump, and read by the owner only: who has it can try out secrets.
CREATE TABLE audit_key (
    id BOOLEAN PRIMARY KEY DEFAULT true CONSTRAINT chk_audit_key_id CHECK (id),
    key BYTEA NOT NULL CONSTRAINT chk_audit_key_length CHECK (octet_length(key) >= 32)
);

INSERT INTO audit_key (key)
VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

COMMENT ON TABLE audit_key IS 'One row: the key of the hashes of redacted values in fx.audit_log; without it they are left out';
$fx_migration$, $fx_migration$
DROP TRIGGER IF EXISTS audit_accounts_trigger ON accounts;
DROP TRIGGER IF EXISTS audit_accounts_truncate_trigger ON accounts;
DROP TRIGGER IF EXISTS audit_cash_flows_trigger ON cash_flows;
DROP TRIGGER IF EXISTS audit_cash_flows_truncate_trigger ON cash_flows;
DROP TRIGGER IF EXISTS audit_risk_presets_trigger ON risk_presets;
DROP TRIGGER IF EXISTS audit_risk_presets_truncate_trigger ON risk_presets;

DROP TABLE audit_key;

DROP TRIGGER IF EXISTS audit_log_flush_trigger ON audit_log;

DROP INDEX idx_audit_log_created_at;
CREATE INDEX idx_audit_log_created_at ON audit_log (created_at);
CREATE INDEX idx_audit_log_action ON audit_log (action);

ALTER TABLE audit_log
    ALTER COLUMN old_values SET COMPRESSION default,
    ALTER COLUMN new_values SET COMPRESSION default,
    ALTER COLUMN resource_type TYPE VARCHAR(50) COLLATE "default",
    ALTER COLUMN resource_id TYPE VARCHAR(100) COLLATE "default";

ALTER TABLE audit_log
    DROP COLUMN actor_id,
    DROP COLUMN changed_columns,
    DROP COLUMN session_user_name,
    DROP COLUMN application_name,
    DROP COLUMN transaction_id,
    DROP COLUMN statement_at,
    DROP COLUMN row_hash;

COMMENT ON COLUMN audit_log.id IS NULL;
COMMENT ON COLUMN audit_log.user_id IS 'Who did it: app.current_user_id, NULL when not set or not a user';
COMMENT ON COLUMN audit_log.resource_type IS 'Name of the table';
COMMENT ON COLUMN audit_log.resource_id IS 'The id of the row, as text';
COMMENT ON COLUMN audit_log.old_values IS NULL;
COMMENT ON COLUMN audit_log.new_values IS NULL;
COMMENT ON COLUMN audit_log.ip_address IS NULL;
COMMENT ON COLUMN audit_log.user_agent IS NULL;
$fx_migration$, $fx_migration$
-- The end of a statement: entries that row triggers collected are written when
-- this fires.  They queue it themselves; where it is missing they write each
-- entry by itself.  ALWAYS, because a row trigger may be.  Safe to run again.

CREATE OR REPLACE TRIGGER audit_log_flush_trigger
    AFTER INSERT ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_flush_trigger;

-- What somebody decided about an account, not what its trades make of it.
CREATE OR REPLACE TRIGGER audit_accounts_trigger
    AFTER UPDATE ON accounts
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function(
        'ignore:balance', 'ignore:net_deposits', 'ignore:high_water_mark', 'ignore:eod_high_water_mark',
        'ignore:day_started_at', 'ignore:day_balance', 'ignore:day_equity', 'ignore:day_deposits',
        'ignore:week_started_at', 'ignore:week_balance', 'ignore:week_equity', 'ignore:week_deposits',
        'ignore:month_started_at', 'ignore:month_balance', 'ignore:month_equity',
        'ignore:month_deposits', 'ignore:day_ends_at', 'ignore:open_trades', 'ignore:day_trades',
        'ignore:consecutive_losses', 'ignore:losing_since', 'ignore:last_closed_at');
CREATE OR REPLACE TRIGGER audit_accounts_truncate_trigger
    AFTER TRUNCATE ON accounts
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_cash_flows_trigger
    AFTER INSERT OR UPDATE OR DELETE ON cash_flows
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_cash_flows_truncate_trigger
    AFTER TRUNCATE ON cash_flows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_risk_presets_trigger
    AFTER INSERT OR UPDATE OR DELETE ON risk_presets
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_risk_presets_truncate_trigger
    AFTER TRUNCATE ON risk_presets
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();
$fx_migration$);

INSERT INTO migration (version, up, down, attach) VALUES ('2024_05_02_audit_seals', $fx_migration$
-- The chain of seals over audit_log: which rows there are, in which order they
-- became known, and that nobody has changed them since.

CREATE TABLE audit_seals (
    seq BIGINT PRIMARY KEY,
    audit_id UUID NOT NULL UNIQUE,
    sealed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    row_hash BYTEA NOT NULL,
    chain_hash BYTEA NOT NULL
);

COMMENT ON TABLE audit_seals IS 'Seals of the rows of audit_log, each chained to the one before; made by fx.seal_audit, checked by fx.verify_audit';
COMMENT ON COLUMN audit_seals.seq IS 'Place in the chain, without gaps';
COMMENT ON COLUMN audit_seals.audit_id IS 'The sealed row; no foreign key, because its deletion is to be found, not prevented';
COMMENT ON COLUMN audit_seals.sealed_at IS 'When it was sealed, never before the seal that it follows';
COMMENT ON COLUMN audit_seals.row_hash IS 'fx.audit_row_hash of the row as it was sealed';
COMMENT ON COLUMN audit_seals.chain_hash IS 'fx.audit_chain_hash of the seal before and this one';

CREATE TABLE audit_chain (
    is_head BOOLEAN PRIMARY KEY DEFAULT true,
    seq BIGINT NOT NULL DEFAULT 0,
    chain_hash BYTEA NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    sealed_at TIMESTAMP WITH TIME ZONE,
    seen PG_SNAPSHOT,
    seen_in BIGINT,
    CONSTRAINT chk_audit_chain_single CHECK (is_head)
);

INSERT INTO audit_chain DEFAULT VALUES;

COMMENT ON TABLE audit_chain IS 'The head of the chain of seals, one row';
COMMENT ON COLUMN audit_chain.seq IS 'The newest seal, 0 before the first';
COMMENT ON COLUMN audit_chain.chain_hash IS 'Its chain hash';
COMMENT ON COLUMN audit_chain.seen IS 'Rows of the transactions that had ended in this snapshot are sealed; NULL: look for unsealed rows among all. It says where to look and is no part of the evidence';
COMMENT ON COLUMN audit_chain.seen_in IS 'System identifier of the cluster whose transactions those are';

CREATE TABLE audit_exports (
    seq BIGINT PRIMARY KEY,
    chain_hash BYTEA NOT NULL,
    row_count BIGINT NOT NULL,
    oldest TIMESTAMP WITH TIME ZONE NOT NULL,
    newest TIMESTAMP WITH TIME ZONE NOT NULL,
    removed_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    removed_by TEXT NOT NULL DEFAULT session_user
);

COMMENT ON TABLE audit_exports IS 'Anchors of the parts of the chain that were exported and removed; what is left of it follows the newest';
COMMENT ON COLUMN audit_exports.seq IS 'The last seal that was removed';
COMMENT ON COLUMN audit_exports.chain_hash IS 'Its chain hash';
COMMENT ON COLUMN audit_exports.oldest IS 'Earliest created_at of the removed rows';
COMMENT ON COLUMN audit_exports.newest IS 'Latest created_at of the removed rows';

-- New rows are found by their transaction, whatever the order of the commits.
CREATE INDEX idx_audit_log_transaction_id ON audit_log (transaction_id);

-- Everybody who reads the whole log may check it; nobody but the owner writes.
GRANT SELECT ON audit_seals, audit_chain, audit_exports TO fx_app, fx_reporting;
$fx_migration$, $fx_migration$
DROP TRIGGER IF EXISTS audit_log_guard ON audit_log;
DROP INDEX idx_audit_log_transaction_id;
DROP TABLE audit_exports, audit_chain, audit_seals;
$fx_migration$, $fx_migration$
-- Guards of the audit trail.  Safe to run again.  They watch replication roles
-- too, and foreign keys pass: they act with the rights of the table's owner.

CREATE OR REPLACE TRIGGER audit_log_guard
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION guard_audit();
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_guard;

CREATE OR REPLACE TRIGGER audit_seals_guard
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION guard_audit();
ALTER TABLE audit_seals ENABLE ALWAYS TRIGGER audit_seals_guard;

CREATE OR REPLACE TRIGGER audit_chain_guard
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION guard_audit();
ALTER TABLE audit_chain ENABLE ALWAYS TRIGGER audit_chain_guard;

CREATE OR REPLACE TRIGGER audit_exports_guard
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON audit_exports
    FOR EACH STATEMENT EXECUTE FUNCTION guard_audit();
ALTER TABLE audit_exports ENABLE ALWAYS TRIGGER audit_exports_guard;
$fx_migration$);

INSERT INTO migration (version, up, down, attach) VALUES ('2024_05_03_identity', $fx_migration$
-- Sessions, API keys, second factors, and the books of encrypted columns.

-- Room for the ciphertext of a second factor's secret.
ALTER TABLE users ALTER COLUMN two_factor_secret TYPE VARCHAR(255);

COMMENT ON COLUMN users.password_hash IS 'Hash made by crypt() of pgcrypto (bf), never a password; fx.set_password writes it';
COMMENT ON COLUMN users.two_factor_secret IS 'Encrypted by fx.enable_two_factor, context fx.users.two_factor_secret:id; never in clear';
COMMENT ON COLUMN users.api_key_hash IS 'bcrypt hash of the newest key in fx.api_keys that is not revoked, never a key';

CREATE TABLE sessions (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash BYTEA NOT NULL
        CONSTRAINT chk_sessions_token_hash CHECK (octet_length(token_hash) = 32),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    last_used_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    ip_address INET,
    user_agent TEXT,
    CONSTRAINT chk_sessions_expires_at CHECK (expires_at <= ends_at)
);

CREATE UNIQUE INDEX idx_sessions_token_hash ON sessions (token_hash);
CREATE INDEX idx_sessions_user_id ON sessions (user_id);

COMMENT ON TABLE sessions IS 'Sessions of signed-in users, made by fx.sign_in';
COMMENT ON COLUMN sessions.token_hash IS 'sha256 of the token, which is stored nowhere';
COMMENT ON COLUMN sessions.last_used_at IS 'The last fx.use_session, to the minute';
COMMENT ON COLUMN sessions.expires_at IS 'Moved ahead by each fx.use_session, up to ends_at';
COMMENT ON COLUMN sessions.ends_at IS 'End of the session however much it is used';
COMMENT ON COLUMN sessions.revoked_at IS 'When it was signed out, NULL while not';
COMMENT ON COLUMN sessions.ip_address IS 'From where it was signed in (fx.client_address)';
COMMENT ON COLUMN sessions.user_agent IS 'Setting app.user_agent at sign-in';

CREATE TABLE sign_in_failures (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login_hash BYTEA NOT NULL,
    ip_address INET,
    failed_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX idx_sign_in_failures_login ON sign_in_failures (login_hash, failed_at);
CREATE INDEX idx_sign_in_failures_ip_address ON sign_in_failures (ip_address, failed_at)
    WHERE ip_address IS NOT NULL;
CREATE INDEX idx_sign_in_failures_failed_at ON sign_in_failures (failed_at);

COMMENT ON TABLE sign_in_failures IS 'Failed sign-ins of the last day, whether the login exists or not; a sign-in that succeeds removes those of its login';
COMMENT ON COLUMN sign_in_failures.login_hash IS 'sha256 of the login in lower case, or of what else was tried in vain';

-- Failed attempts are counted in shared memory too, where no rollback reaches
-- them.  Its handle is kept in a sequence for the same reason.
CREATE SEQUENCE sign_in_memory;

COMMENT ON SEQUENCE sign_in_memory IS 'Handle of the shared memory that counts failed sign-ins; it outlives no restart, and a wrong one is noticed';

CREATE TABLE email_verifications (
    token_hash BYTEA PRIMARY KEY
        CONSTRAINT chk_email_verifications_token_hash CHECK (octet_length(token_hash) = 32),
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    email VARCHAR(255) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE INDEX idx_email_verifications_user_id ON email_verifications (user_id);

COMMENT ON TABLE email_verifications IS 'Requests of fx.request_email_verification that are open, at most one a user';
COMMENT ON COLUMN email_verifications.token_hash IS 'sha256 of the token, which is stored nowhere';
COMMENT ON COLUMN email_verifications.email IS 'The address that is to be verified; another one since makes the token void';

CREATE TABLE api_keys (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name VARCHAR(100) NOT NULL,
    prefix VARCHAR(20) NOT NULL,
    key_hash BYTEA NOT NULL
        CONSTRAINT chk_api_keys_key_hash CHECK (octet_length(key_hash) = 32),
    scopes TEXT[] NOT NULL DEFAULT '{}',
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    expires_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT chk_api_keys_scopes CHECK (array_position(scopes, NULL) IS NULL)
);

CREATE UNIQUE INDEX idx_api_keys_prefix ON api_keys (prefix);
CREATE INDEX idx_api_keys_user_id ON api_keys (user_id);

COMMENT ON TABLE api_keys IS 'Keys made by fx.issue_api_key';
COMMENT ON COLUMN api_keys.prefix IS 'First part of the key, by which it is found and told apart';
COMMENT ON COLUMN api_keys.key_hash IS 'sha256 of the whole key: its 256 random bits need no slow hash';
COMMENT ON COLUMN api_keys.scopes IS 'What the key may be used for, in words of the application';
COMMENT ON COLUMN api_keys.expires_at IS 'NULL: until it is revoked';
COMMENT ON COLUMN api_keys.last_used_at IS 'The last fx.verify_api_key that accepted it, to the minute';

CREATE TABLE two_factor (
    user_id UUID PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    requested_at TIMESTAMP WITH TIME ZONE,
    confirmed_at TIMESTAMP WITH TIME ZONE,
    last_step BIGINT NOT NULL DEFAULT -1
);

-- Who has a secret already.
INSERT INTO two_factor (user_id)
SELECT id FROM users WHERE two_factor_secret IS NOT NULL;

COMMENT ON TABLE two_factor IS 'State of the second factor of each user who has a two_factor_secret';
COMMENT ON COLUMN two_factor.requested_at IS 'When fx.enable_two_factor made the secret, NULL when it is older than the platform''s functions';
COMMENT ON COLUMN two_factor.confirmed_at IS 'When the first code was right; users.two_factor_enabled is set then';
COMMENT ON COLUMN two_factor.last_step IS 'Number of the time step of the last code that was accepted; neither it nor an earlier one is accepted again';

CREATE TABLE encrypted_columns (
    relation TEXT NOT NULL,
    column_name TEXT NOT NULL,
    key_column TEXT NOT NULL,
    context TEXT NOT NULL,
    key_version INTEGER,
    rotated_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (relation, column_name)
);

INSERT INTO encrypted_columns (relation, column_name, key_column, context)
VALUES ('fx.users', 'two_factor_secret', 'id', 'fx.users.two_factor_secret');

COMMENT ON TABLE encrypted_columns IS 'Columns whose values fx.rotate_encryption_keys encrypts anew, added by fx.register_encrypted_column';
COMMENT ON COLUMN encrypted_columns.key_column IS 'Column that identifies the row';
COMMENT ON COLUMN encrypted_columns.context IS 'The context of a value is this, a colon and the text of its key_column';
COMMENT ON COLUMN encrypted_columns.key_version IS 'Newest key when the column was last encrypted anew, NULL before';

-- Users see and end their own sessions and keys; hashes are for the functions
-- alone, and so are failures, tokens and the state of second factors.
GRANT SELECT (id, user_id, created_at, last_used_at, expires_at, ends_at, revoked_at, ip_address, user_agent)
    ON sessions TO fx_app, fx_user;
GRANT SELECT (id, user_id, created_at, last_used_at, expires_at, ends_at, revoked_at)
    ON sessions TO fx_reporting;
GRANT SELECT (id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at)
    ON api_keys TO fx_app, fx_user, fx_reporting;
GRANT SELECT ON encrypted_columns TO fx_app;

ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
$fx_migration$, $fx_migration$
-- Policies and triggers of earlier migrations, as they were.

DROP POLICY IF EXISTS users_own ON users;
CREATE POLICY users_own ON users TO fx_user
    USING (id = (SELECT current_user_id()))
    WITH CHECK (id = (SELECT current_user_id()));
DROP POLICY IF EXISTS users_reporting ON users;
CREATE POLICY users_reporting ON users FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS strategies_own ON strategies;
CREATE POLICY strategies_own ON strategies TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS strategies_public ON strategies;
CREATE POLICY strategies_public ON strategies FOR SELECT TO fx_user
    USING (is_public AND deleted_at IS NULL);
DROP POLICY IF EXISTS strategies_reporting ON strategies;
CREATE POLICY strategies_reporting ON strategies FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS backtests_own ON backtests;
CREATE POLICY backtests_own ON backtests TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS backtests_reporting ON backtests;
CREATE POLICY backtests_reporting ON backtests FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS trades_own ON trades;
CREATE POLICY trades_own ON trades TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS trades_reporting ON trades;
CREATE POLICY trades_reporting ON trades FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS risk_limits_own ON risk_limits;
CREATE POLICY risk_limits_own ON risk_limits TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS risk_limits_reporting ON risk_limits;
CREATE POLICY risk_limits_reporting ON risk_limits FOR SELECT TO fx_reporting USING (true);

DO $$
DECLARE
    tab text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['accounts', 'positions', 'closures', 'cash_flows', 'risk_events', 'risk_limit_state'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', tab || '_own', tab);
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO fx_user
                            USING (user_id = (SELECT current_user_id()))', tab || '_own', tab);
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', tab || '_reporting', tab);
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO fx_reporting USING (true)', tab || '_reporting', tab);
    END LOOP;
END
$$;

DROP POLICY IF EXISTS audit_log_own ON audit_log;
CREATE POLICY audit_log_own ON audit_log TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS audit_log_reporting ON audit_log;
CREATE POLICY audit_log_reporting ON audit_log FOR SELECT TO fx_reporting USING (true);

CREATE OR REPLACE TRIGGER audit_users_trigger
    AFTER INSERT OR UPDATE OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();

DROP TABLE encrypted_columns, two_factor, api_keys, email_verifications, sign_in_failures, sessions;
DROP SEQUENCE sign_in_memory;

-- A secret that does not fit is encrypted, and what knew it is dropped above:
-- without force nothing of it is there.
ALTER TABLE users ALTER COLUMN two_factor_secret TYPE VARCHAR(32)
    USING CASE WHEN length(two_factor_secret) <= 32 THEN two_factor_secret END;

COMMENT ON COLUMN users.password_hash IS 'Hash made by crypt() of pgcrypto, never a password';
COMMENT ON COLUMN users.two_factor_secret IS NULL;
COMMENT ON COLUMN users.api_key_hash IS 'Hash made by crypt() of pgcrypto, never a key';
$fx_migration$, $fx_migration$
-- Policies that know deleted users, and what the audit of users redacts.  Safe
-- to run again.
--
-- fx_user: active_user_id() is current_user_id() unless that user is deleted,
-- once a statement.  fx_reporting: the few deleted users are gathered once a
-- statement.  fx_app sees all rows, because somebody has to.

DROP POLICY IF EXISTS users_own ON users;
CREATE POLICY users_own ON users TO fx_user
    USING (id = (SELECT current_user_id()) AND deleted_at IS NULL)
    WITH CHECK (id = (SELECT current_user_id()) AND deleted_at IS NULL);
DROP POLICY IF EXISTS users_reporting ON users;
CREATE POLICY users_reporting ON users FOR SELECT TO fx_reporting USING (deleted_at IS NULL);

DROP POLICY IF EXISTS strategies_own ON strategies;
CREATE POLICY strategies_own ON strategies TO fx_user
    USING (user_id = (SELECT active_user_id()))
    WITH CHECK (user_id = (SELECT active_user_id()));
DROP POLICY IF EXISTS strategies_public ON strategies;
CREATE POLICY strategies_public ON strategies FOR SELECT TO fx_user
    USING (is_public AND deleted_at IS NULL AND user_is_active(user_id));
DROP POLICY IF EXISTS strategies_reporting ON strategies;
CREATE POLICY strategies_reporting ON strategies FOR SELECT TO fx_reporting
    USING (user_id NOT IN (SELECT deleted_user_ids()));

DROP POLICY IF EXISTS backtests_own ON backtests;
CREATE POLICY backtests_own ON backtests TO fx_user
    USING (user_id = (SELECT active_user_id()))
    WITH CHECK (user_id = (SELECT active_user_id()));
DROP POLICY IF EXISTS backtests_reporting ON backtests;
CREATE POLICY backtests_reporting ON backtests FOR SELECT TO fx_reporting
    USING (user_id NOT IN (SELECT deleted_user_ids()));

DROP POLICY IF EXISTS trades_own ON trades;
CREATE POLICY trades_own ON trades TO fx_user
    USING (user_id = (SELECT active_user_id()))
    WITH CHECK (user_id = (SELECT active_user_id()));
DROP POLICY IF EXISTS trades_reporting ON trades;
CREATE POLICY trades_reporting ON trades FOR SELECT TO fx_reporting
    USING (user_id NOT IN (SELECT deleted_user_ids()));

DROP POLICY IF EXISTS risk_limits_own ON risk_limits;
CREATE POLICY risk_limits_own ON risk_limits TO fx_user
    USING (user_id = (SELECT active_user_id()))
    WITH CHECK (user_id = (SELECT active_user_id()));
DROP POLICY IF EXISTS risk_limits_reporting ON risk_limits;
CREATE POLICY risk_limits_reporting ON risk_limits FOR SELECT TO fx_reporting
    USING (user_id NOT IN (SELECT deleted_user_ids()));

DO $$
DECLARE
    tab text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['accounts', 'positions', 'closures', 'cash_flows', 'risk_events', 'risk_limit_state'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', tab || '_own', tab);
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO fx_user
                            USING (user_id = (SELECT active_user_id()))', tab || '_own', tab);
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', tab || '_reporting', tab);
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO fx_reporting
                            USING (user_id NOT IN (SELECT deleted_user_ids()))', tab || '_reporting', tab);
    END LOOP;
END
$$;

-- entries that a deleted user made, and those about a row of his: the row is
-- known by its image, which has user_id (or is a user's)
DROP POLICY IF EXISTS audit_log_own ON audit_log;
CREATE POLICY audit_log_own ON audit_log TO fx_user
    USING (user_id = (SELECT active_user_id()))
    WITH CHECK (user_id = (SELECT active_user_id()));
DROP POLICY IF EXISTS audit_log_reporting ON audit_log;
CREATE POLICY audit_log_reporting ON audit_log FOR SELECT TO fx_reporting
    USING (coalesce(actor_id, user_id, '00000000-0000-0000-0000-000000000000')
               NOT IN (SELECT deleted_user_ids())
           AND coalesce(CASE WHEN resource_type = 'users' THEN resource_id::text END,
                        new_values ->> 'user_id', old_values ->> 'user_id', '')
               NOT IN (SELECT deleted_user_ids()::text));

DROP POLICY IF EXISTS sessions_app ON sessions;
CREATE POLICY sessions_app ON sessions TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS sessions_own ON sessions;
CREATE POLICY sessions_own ON sessions FOR SELECT TO fx_user
    USING (user_id = (SELECT active_user_id()));
DROP POLICY IF EXISTS sessions_reporting ON sessions;
CREATE POLICY sessions_reporting ON sessions FOR SELECT TO fx_reporting
    USING (user_id NOT IN (SELECT deleted_user_ids()));

DROP POLICY IF EXISTS api_keys_app ON api_keys;
CREATE POLICY api_keys_app ON api_keys TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS api_keys_own ON api_keys;
CREATE POLICY api_keys_own ON api_keys FOR SELECT TO fx_user
    USING (user_id = (SELECT active_user_id()));
DROP POLICY IF EXISTS api_keys_reporting ON api_keys;
CREATE POLICY api_keys_reporting ON api_keys FOR SELECT TO fx_reporting
    USING (user_id NOT IN (SELECT deleted_user_ids()));

-- No personal value is in the audit log in clear, so that fx.erase_user need
-- not touch what is sealed.
CREATE OR REPLACE TRIGGER audit_users_trigger
    AFTER INSERT OR UPDATE OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function(
        'redact:email', 'redact:username', 'redact:first_name', 'redact:last_name', 'redact:preferences');
CREATE OR REPLACE TRIGGER audit_api_keys_trigger
    AFTER INSERT OR UPDATE OR DELETE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function(
        'redact:name', 'redact:key_hash', 'ignore:last_used_at');
CREATE OR REPLACE TRIGGER audit_api_keys_truncate_trigger
    AFTER TRUNCATE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();
$fx_migration$);

-- installation
--
-- Make the tables, and release them: they are data, not members.  Three
-- cases: a restore, where the dump brings them; tables that an earlier
-- installation left, which get their triggers and policies back; a new
-- database.

-- CREATE EXTENSION silences notices, and what was found is worth one
SET LOCAL client_min_messages TO notice;

DO $$
DECLARE
    members oid[];
    member record;
    found text;
BEGIN
    -- Every dump begins with row_security = off (but for one made with
    -- --enable-row-security, for which there is the setting).
    IF current_setting('row_security') = 'off' OR
       NOT current_setting('fxplatform.create_tables')::boolean THEN
        RAISE NOTICE 'fxplatform leaves its tables to the dump that is being restored'
            USING HINT = 'Without a dump, SELECT * FROM fx.migrate() creates them.';
        RETURN;
    END IF;

    SELECT array_agg(objid) INTO members
      FROM pg_depend
     WHERE classid = 'pg_class'::regclass AND deptype = 'e'
       AND refclassid = 'pg_extension'::regclass
       AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'fxplatform');

    IF to_regclass('fx.schema_migrations') IS NOT NULL THEN
        SELECT format('%s tables, newest migration %s',
                      (SELECT count(*) FROM pg_class
                        WHERE relnamespace = 'fx'::regnamespace AND relkind IN ('r', 'p')
                          AND NOT relispartition AND oid <> ALL (members)),
                      coalesce(max(version COLLATE "C"), 'none'))
          INTO found
          FROM fx.schema_migrations;
        RAISE NOTICE 'found % of an earlier installation', found
            USING DETAIL = 'Rows stay as they are; triggers, policies and indexes are attached again.';
        PERFORM fx.attach_migrations();
    END IF;

    PERFORM fx.migrate();

    FOR member IN
        SELECT c.oid::regclass AS name,
               CASE c.relkind
                   WHEN 'v' THEN 'VIEW'
                   WHEN 'm' THEN 'MATERIALIZED VIEW'
                   WHEN 'S' THEN 'SEQUENCE'
                   ELSE 'TABLE'
               END AS kind
          FROM pg_depend d
          JOIN pg_class c ON c.oid = d.objid
         WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e'
           AND d.refclassid = 'pg_extension'::regclass
           AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'fxplatform')
           AND c.oid <> ALL (members)
    LOOP
        EXECUTE format('ALTER EXTENSION fxplatform DROP %s %s', member.kind, member.name);
    END LOOP;
END
$$;
