
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

CREATE FUNCTION attach_migrations(versions text[] DEFAULT NULL)
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
           AND (versions IS NULL OR m.version = ANY (versions))
         ORDER BY m.version
    LOOP
        PERFORM run_migration_script(item.version, item.attach, 'attach');
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION attach_migrations(text[]) FROM PUBLIC;

COMMENT ON FUNCTION attach_migrations(text[])
    IS 'makes the triggers, policies and indexes of the applied migrations (NULL: of all) again that DROP EXTENSION ... CASCADE took; changes no row';

-- What a script of the extension creates becomes a member of it, and tables
-- are data.  Only what was a member before is code.
CREATE FUNCTION migrate_in_script(attach text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = fx, pg_temp
AS $$
DECLARE
    code oid[];
    member record;
BEGIN
    SELECT array_agg(d.objid) INTO code
      FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
     WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e'
       AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'fxplatform';

    IF cardinality(attach) > 0 THEN
        PERFORM attach_migrations(attach);
    END IF;
    PERFORM migrate();

    FOR member IN
        SELECT c.oid::regclass AS name,
               CASE c.relkind
                   WHEN 'v' THEN 'VIEW'
                   WHEN 'm' THEN 'MATERIALIZED VIEW'
                   WHEN 'S' THEN 'SEQUENCE'
                   ELSE 'TABLE'
               END AS kind
          FROM pg_depend d
          JOIN pg_extension e ON e.oid = d.refobjid
          JOIN pg_class c ON c.oid = d.objid
         WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e'
           AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'fxplatform'
           AND c.oid <> ALL (code)
    LOOP
        EXECUTE format('ALTER EXTENSION fxplatform DROP %s %s', member.kind, member.name);
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION migrate_in_script(text[]) FROM PUBLIC;

COMMENT ON FUNCTION migrate_in_script(text[])
    IS 'fx.migrate() for scripts of the extension: attaches these migrations, applies what is missing, and releases what that created, which is data and no member';
