
-- what fx.health measures of the platform
--
-- Tables may be missing: the extension is created before them when a dump is
-- restored, and with fxplatform.create_tables = off.  Who monitors reads none of
-- them, so this has the owner's rights, and returns numbers and names.

-- As the launcher reads it (SplitGUCList): separated by commas, case as it is,
-- in double quotes where needed.  It is known in every session where the library
-- is preloaded, and a mere word of the configuration where it is not.
CREATE FUNCTION is_maintained_database()
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM regexp_matches(current_setting('fxplatform.databases', true),
                                   $re$\s*(?:"((?:[^"]|"")*)"|([^,"\s][^,"]*?))\s*(?:,|$)$re$, 'g') m (name)
         WHERE coalesce(replace(m.name[1], '""', '"'), m.name[2]) = current_database());
END
$$;

REVOKE ALL ON FUNCTION is_maintained_database() FROM PUBLIC;

COMMENT ON FUNCTION is_maintained_database()
    IS 'does fxplatform.databases list this database?';

CREATE FUNCTION silent_triggers()
RETURNS SETOF text
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('session_replication_role') <> 'origin' THEN
        RETURN NEXT 'all: session_replication_role is not origin';
    END IF;

    -- those of foreign keys too
    RETURN QUERY
        SELECT format('%s on %s: disabled', t.tgname, t.tgrelid::regclass)
          FROM pg_trigger t
          JOIN pg_class c ON c.oid = t.tgrelid
          JOIN pg_proc p ON p.oid = t.tgfoid
         WHERE c.relnamespace = to_regnamespace('fx') AND t.tgenabled IN ('D', 'R')
           AND (t.tgisinternal OR p.pronamespace = c.relnamespace)
         ORDER BY 1;

    -- What migrations attach to their tables says which there should be.
    RETURN QUERY
        SELECT DISTINCT format('%s on fx.%s: missing', t.words[1], t.words[2])
          FROM fx.migration_states() s
          JOIN fx.migration m ON m.version = s.version
         CROSS JOIN LATERAL regexp_matches(m.attach,
                   $re$\nCREATE OR REPLACE TRIGGER (\w+)\s+(?:BEFORE|AFTER)\s[^;]*?\sON (\w+)\s$re$, 'g') t (words)
          LEFT JOIN pg_trigger g ON g.tgrelid = to_regclass('fx.' || t.words[2]) AND g.tgname = t.words[1]
         WHERE s.state = 'applied' AND g.oid IS NULL
         ORDER BY 1;
END
$$;

REVOKE ALL ON FUNCTION silent_triggers() FROM PUBLIC;

COMMENT ON FUNCTION silent_triggers()
    IS 'triggers of the platform''s tables that do not fire, and why: disabled, or missing though an applied migration has made them';

CREATE FUNCTION unsealed_audit(OUT rows bigint, OUT since timestamptz, OUT elsewhere boolean)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    head record;
    known pg_snapshot;
BEGIN
    SELECT c.* INTO STRICT head FROM fx.audit_chain c;
    elsewhere := head.seq > 0 AND head.seen_in IS DISTINCT FROM (SELECT s.system_identifier FROM pg_control_system() s);
    IF elsewhere THEN
        RETURN;
    END IF;
    known := coalesce(head.seen, '1:1:');

    -- as fx.seal_audit finds them: by transaction, the oldest first
    SELECT count(*), min(u.created_at) INTO rows, since
      FROM ((SELECT a.created_at FROM fx.audit_log a
              WHERE a.transaction_id >= pg_snapshot_xmax(known)
                AND NOT EXISTS (SELECT FROM fx.audit_seals s WHERE s.audit_id = a.id)
              ORDER BY a.transaction_id
              LIMIT 1001)
            UNION ALL
            (SELECT a.created_at FROM fx.audit_log a
              WHERE a.transaction_id = ANY (ARRAY(SELECT pg_snapshot_xip(known)))
                AND NOT EXISTS (SELECT FROM fx.audit_seals s WHERE s.audit_id = a.id)
              LIMIT 1001)) u;
END
$$;

REVOKE ALL ON FUNCTION unsealed_audit() FROM PUBLIC;

COMMENT ON FUNCTION unsealed_audit()
    IS 'entries of the audit trail without a seal, counted up to about a thousand, and the time of the oldest; elsewhere: the chain was sealed in another cluster and only fx.seal_audit finds out. Error P0002: there is no head of the chain';

CREATE FUNCTION measure_platform("check" text, OUT value numeric, OUT status text, OUT message text, OUT objects text[])
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
AS $$
DECLARE
    this_month CONSTANT timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    launched_at timestamptz;
    item record;
BEGIN
    CASE "check"
        WHEN 'pending_migrations' THEN
            objects := ARRAY(SELECT format('%s: %s', m.version, m.state)
                               FROM fx.migration_states() m WHERE m.state <> 'applied');
            value := cardinality(objects);
            message := CASE value WHEN 0 THEN 'all migrations are applied'
                ELSE format('%s migrations are pending, or unknown to this version: see fx.migration_status, SELECT * FROM fx.migrate()', value) END;

        WHEN 'missing_partitions' THEN
            WITH month AS (
                SELECT n.ahead, (this_month + n.ahead * interval '1 month') AT TIME ZONE 'UTC' AS since,
                       (this_month + (n.ahead + 1) * interval '1 month') AT TIME ZONE 'UTC' AS until
                  FROM generate_series(0, 3) n (ahead)
            ), bounds AS MATERIALIZED (
                SELECT t.name, coalesce(b.lower, '-infinity') AS lower, coalesce(b.upper, 'infinity') AS upper
                  FROM unnest('{market_data,quotes}'::text[]) t (name), fx.partition_bounds(to_regclass('fx.' || t.name)) b
                 WHERE NOT b.detaching
            ), missing AS (
                SELECT t.name, min(m.ahead) AS ahead
                  FROM unnest('{market_data,quotes}'::text[]) t (name), month m
                 WHERE to_regclass('fx.' || t.name) IS NOT NULL
                   AND NOT EXISTS (SELECT FROM bounds b
                                    WHERE b.name = t.name AND b.lower <= m.since AND b.upper >= m.until)
                 GROUP BY t.name
            )
            SELECT array_agg(format('%s: %s', m.name, to_char(this_month + m.ahead * interval '1 month', 'YYYY-MM')) ORDER BY m.name),
                   CASE WHEN to_regclass('fx.market_data') IS NOT NULL THEN coalesce(max(4 - m.ahead), 0) END
              INTO objects, value
              FROM missing m;
            message := CASE WHEN value IS NULL THEN 'there are no tables'
                WHEN value = 0 THEN 'there are partitions for this month and the next three'
                ELSE format('months without a partition begin at %s: CALL fx.maintain()', array_to_string(objects, ', ')) END;

        WHEN 'failed_maintenance' THEN
            IF to_regclass('fx.maintenance_runs') IS NULL THEN
                message := 'there is no record of maintenance';
                RETURN;
            END IF;
            -- Every round ends with a cleanup: what failed before the last but
            -- one has been tried again, or is not there any more.
            SELECT array_agg(format('%s: %s', f.step, f.detail) ORDER BY f.step), count(*)
              INTO objects, value
              FROM (SELECT DISTINCT ON (m.step) m.step, m.detail
                      FROM fx.maintenance_runs m
                     WHERE m.outcome = 'failed'
                       AND m.id > coalesce((SELECT r.id FROM fx.maintenance_runs r WHERE r.step = 'cleanup'
                                             ORDER BY r.id DESC OFFSET 1 LIMIT 1), 0)
                     ORDER BY m.step, m.id DESC) f;
            message := CASE value WHEN 0 THEN 'no step of the last round failed'
                ELSE format('%s steps of the last round of maintenance failed: %s', value, objects[1]) END;

        WHEN 'overdue_maintenance' THEN
            IF NOT fx.is_maintained_database() THEN
                message := 'fxplatform.databases does not list this database';
            ELSIF pg_is_in_recovery() THEN
                message := 'the server is in recovery';
            ELSIF to_regclass('fx.maintenance_runs') IS NULL THEN
                message := 'there is no record of maintenance';
            ELSE
                SELECT a.backend_start INTO launched_at
                  FROM pg_stat_activity a WHERE a.backend_type = 'fxplatform launcher';
                IF NOT FOUND THEN
                    status := 'critical';
                    message := 'fxplatform.databases lists this database, and the launcher does not run: is fxplatform in shared_preload_libraries?';
                    RETURN;
                END IF;
                SELECT m.finished_at AS at INTO item
                  FROM fx.maintenance_runs m WHERE m.outcome <> 'skipped' ORDER BY m.id DESC LIMIT 1;
                value := round(greatest(0, extract(epoch FROM clock_timestamp() - greatest(item.at, launched_at)
                                        - current_setting('fxplatform.maintenance_interval')::interval)));
                message := CASE WHEN item.at IS NULL THEN 'no step of maintenance has been recorded yet'
                    ELSE format('the last step of maintenance ended at %s', date_trunc('second', item.at)) END;
            END IF;

        WHEN 'unsealed_audit' THEN
            IF to_regclass('fx.audit_chain') IS NULL OR to_regclass('fx.audit_seals') IS NULL THEN
                message := 'there is no chain of seals';
                RETURN;
            END IF;
            SELECT u.* INTO item FROM fx.unsealed_audit() u;
            IF item.elsewhere THEN
                status := 'warning';
                message := 'the audit trail was sealed in another cluster, and not since it was restored here: CALL fx.seal_audit()';
            ELSE
                value := round(greatest(0, coalesce(extract(epoch FROM clock_timestamp() - item.since), 0)));
                message := CASE item.rows WHEN 0 THEN 'every entry of the audit trail is sealed'
                    ELSE format('%s entries of the audit trail are not sealed, the oldest of %s: CALL fx.seal_audit()',
                                CASE WHEN item.rows > 1000 THEN 'more than 1000' ELSE item.rows::text END,
                                date_trunc('second', item.since)) END;
            END IF;

        WHEN 'silent_triggers' THEN
            objects := ARRAY(SELECT s.* FROM fx.silent_triggers() s);
            value := cardinality(objects);
            message := CASE value WHEN 0 THEN 'all triggers fire'
                ELSE format('%s triggers do not fire, %s', value, objects[1]) END;

        WHEN 'invalid_indexes' THEN
            SELECT array_agg(x.indexrelid::regclass::text ORDER BY x.indexrelid::regclass::text), count(*)
              INTO objects, value
              FROM pg_index x
             WHERE NOT (x.indisvalid AND x.indisready AND x.indislive)
               AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = x.indexrelid);
            message := CASE value WHEN 0 THEN 'all indexes are valid'
                ELSE format('%s indexes are not valid, %s for one: drop them or REINDEX INDEX CONCURRENTLY', value, objects[1]) END;

        WHEN 'unvalidated_constraints' THEN
            SELECT array_agg(format('%s on %s', c.conname, c.conrelid::regclass) ORDER BY c.conname), count(*)
              INTO objects, value
              FROM pg_constraint c
             WHERE c.connamespace = to_regnamespace('fx') AND NOT c.convalidated;
            message := CASE value WHEN 0 THEN 'all constraints are validated'
                ELSE format('%s constraints hold for new rows only, %s for one: ALTER TABLE ... VALIDATE CONSTRAINT', value, objects[1]) END;

        ELSE
            RAISE EXCEPTION 'check "%" does not exist', "check"
                USING ERRCODE = 'invalid_parameter_value';
    END CASE;
END
$$;

REVOKE ALL ON FUNCTION measure_platform(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION measure_platform(text) TO pg_monitor;

COMMENT ON FUNCTION measure_platform(text)
    IS 'one of fx.health_checks of the platform: its value, NULL where there is nothing to measure, a status where no bound decides, what it means, and the objects in question; error 22023 no such check';
