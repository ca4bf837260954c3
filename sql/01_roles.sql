
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
