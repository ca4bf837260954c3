
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

    IF to_regclass('fx.schema_migrations') IS NOT NULL THEN
        SELECT format('%s tables, newest migration %s',
                      (SELECT count(*) FROM pg_class
                        WHERE relnamespace = 'fx'::regnamespace AND relkind IN ('r', 'p')
                          AND NOT relispartition AND oid <> 'fx.migration'::regclass),
                      coalesce(max(version COLLATE "C"), 'none'))
          INTO found
          FROM fx.schema_migrations;
        RAISE NOTICE 'found % of an earlier installation', found
            USING DETAIL = 'Rows stay as they are; triggers, policies and indexes are attached again.';
    END IF;

    PERFORM fx.migrate_in_script(
        CASE WHEN found IS NOT NULL THEN ARRAY(SELECT m.version FROM fx.migration m) END);
END
$$;
