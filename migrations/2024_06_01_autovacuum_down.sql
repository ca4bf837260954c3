DO $$
DECLARE
    relation regclass;
BEGIN
    FOR relation IN
        SELECT c.oid
          FROM unnest('{market_data,quotes,audit_log,audit_seals,market_data_revisions,closures,risk_events,trades,accounts,positions,risk_limit_state,sessions,candle_changes,candle_rollups,backtests}'::name[]) s (name)
          JOIN pg_class t ON t.relnamespace = 'fx'::regnamespace AND t.relname = s.name
          JOIN pg_class c ON c.relkind = 'r' AND coalesce(pg_partition_root(c.oid), c.oid) = t.oid
         ORDER BY c.relname COLLATE "C"
    LOOP
        EXECUTE format('ALTER TABLE %s RESET (autovacuum_vacuum_threshold, autovacuum_vacuum_scale_factor, autovacuum_vacuum_insert_scale_factor, autovacuum_analyze_scale_factor, autovacuum_vacuum_cost_delay, autovacuum_freeze_min_age, toast.autovacuum_vacuum_scale_factor)',
                       relation);
    END LOOP;

    IF to_regclass('fx.partition_health') IS NOT NULL THEN
        REVOKE SELECT ON partition_health FROM pg_monitor;
        -- as in the script that attaches
        IF EXISTS (SELECT FROM pg_init_privs WHERE classoid = 'pg_class'::regclass AND objoid = 'fx.partition_health'::regclass)
           AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = 'fx.partition_health'::regclass AND deptype = 'e') THEN
            ALTER EXTENSION fxplatform ADD VIEW partition_health;
            ALTER EXTENSION fxplatform DROP VIEW partition_health;
        END IF;
    END IF;
END
$$;
