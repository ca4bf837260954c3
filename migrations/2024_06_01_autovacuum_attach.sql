-- In a script of the extension a grant becomes an initial privilege, and no dump
-- has those.  They go with membership: the view is a member where this script
-- has made it, and released in the end; where it was there before, it is made
-- one and released at once.
DO $$
BEGIN
    GRANT SELECT ON partition_health TO pg_monitor;

    IF EXISTS (SELECT FROM pg_init_privs WHERE classoid = 'pg_class'::regclass AND objoid = 'fx.partition_health'::regclass)
       AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = 'fx.partition_health'::regclass AND deptype = 'e') THEN
        ALTER EXTENSION fxplatform ADD VIEW partition_health;
        ALTER EXTENSION fxplatform DROP VIEW partition_health;
    END IF;
END
$$;
