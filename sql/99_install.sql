
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
