
-- health
--
-- A list of checks, each with a number that grows worse and two bounds.  Where
-- a check cannot be made that is a finding, never an error: a probe has to hear
-- of it, and of everything else.

CREATE FUNCTION health_checks()
RETURNS TABLE (scope text, "check" text, warning numeric, critical numeric, unit text, description text)
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES
        ('platform', 'pending_migrations', 1, NULL::numeric, 'migrations', 'migrations that this version of the extension knows and that are not applied, or the other way round'),
        ('platform', 'missing_partitions', 2, 3, 'months', 'of the current month and the next three, those from the first one on that has no partition of market_data or quotes; 3: next month has none'),
        ('platform', 'failed_maintenance', 1, NULL, 'steps', 'steps of maintenance whose last run failed'),
        ('platform', 'overdue_maintenance', 300, 3600, 'seconds', 'how much later than fxplatform.maintenance_interval the background worker is, where fxplatform.databases lists this database'),
        ('platform', 'unsealed_audit', 3600, 86400, 'seconds', 'age of the oldest entry of the audit trail that has no seal'),
        ('platform', 'silent_triggers', NULL, 1, 'triggers', 'triggers of the platform that are disabled or missing: changes are not audited, limits not enforced'),
        ('platform', 'invalid_indexes', 1, NULL, 'indexes', 'indexes of the database that are not valid and not being built'),
        ('platform', 'unvalidated_constraints', 1, NULL, 'constraints', 'constraints of the platform''s tables that hold for new rows only'),
        ('server', 'xid_age', 500000000, 1200000000, 'transactions', 'age of the oldest datfrozenxid of all databases; at 2 billion the server stops writing'),
        ('server', 'mxid_age', 700000000, 1200000000, 'multixacts', 'age of the oldest datminmxid of all databases'),
        ('server', 'xmin_age', 50000000, 200000000, 'transactions', 'age of the oldest snapshot that vacuum must spare, whoever holds it'),
        ('server', 'long_transactions', 3600, 21600, 'seconds', 'age of the oldest transaction of a session of this database'),
        ('server', 'idle_in_transaction', 300, 3600, 'seconds', 'how long a session of this database has been idle in a transaction'),
        ('server', 'prepared_transactions', 300, 3600, 'seconds', 'age of the oldest prepared transaction of this database'),
        ('server', 'connections', 80, 95, 'percent', 'connections of clients, of those that ordinary roles may have'),
        ('server', 'replication_bytes', 134217728, 1073741824, 'bytes', 'WAL that a standby has not replayed yet'),
        ('server', 'replication_delay', 60, 600, 'seconds', 'time that the slowest standby is behind; on a standby, its own'),
        ('server', 'retained_wal', 1073741824, 10737418240, 'bytes', 'WAL that a slot nobody reads keeps'),
        ('server', 'lost_slots', 1, NULL, 'slots', 'replication slots whose WAL has been removed'),
        ('server', 'failed_archiving', 1, NULL, 'failures', '1 when the last attempt to archive WAL failed'),
        ('server', 'unarchived_wal', 32, 256, 'files', 'WAL files that wait for the archive'),
        ('server', 'backup_age', 93600, 180000, 'seconds', 'age of the last base backup that the server knows of, where WAL is archived'),
        ('server', 'checksum_failures', NULL, 1, 'pages', 'pages of this database that failed their checksum'),
        ('server', 'autovacuum_off', 1, NULL, 'settings', '1 when autovacuum or track_counts is off')
$$;

COMMENT ON FUNCTION health_checks()
    IS 'the checks of fx.health with their default bounds, at which they become warning and critical (NULL: never); of the platform, or of the server';

-- What a caller asks for instead: {"check": {"warning": n, "critical": n}},
-- null for a bound that is to be none, null for a check that is not to be made.
CREATE FUNCTION health_bounds(thresholds jsonb)
RETURNS TABLE (scope text, "check" text, warning numeric, critical numeric, unit text, place bigint, wanted boolean)
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem text;
BEGIN
    IF thresholds IS NULL THEN
        RAISE EXCEPTION 'argument "thresholds" must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    ELSIF jsonb_typeof(thresholds) <> 'object' THEN
        RAISE EXCEPTION 'argument "thresholds" must be an object'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    SELECT t.key INTO problem
      FROM jsonb_object_keys(thresholds) t (key)
     WHERE NOT EXISTS (SELECT FROM fx.health_checks() h WHERE h."check" = t.key)
     ORDER BY 1 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'check "%" does not exist', left(problem, 64)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'See fx.health_checks().';
    END IF;
    SELECT t.key INTO problem
      FROM jsonb_each(thresholds) t
     WHERE jsonb_typeof(t.value) NOT IN ('object', 'null')
        OR jsonb_typeof(t.value) = 'object'
           AND EXISTS (SELECT FROM jsonb_each(t.value) b
                        WHERE b.key NOT IN ('warning', 'critical') OR jsonb_typeof(b.value) NOT IN ('number', 'null'))
     ORDER BY 1 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'bounds of check "%" must be null or an object with the numbers "warning" and "critical"', problem
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    RETURN QUERY
        SELECT h.scope, h."check",
               CASE WHEN thresholds -> h."check" ? 'warning' THEN (thresholds -> h."check" ->> 'warning')::numeric
                    ELSE h.warning END,
               CASE WHEN thresholds -> h."check" ? 'critical' THEN (thresholds -> h."check" ->> 'critical')::numeric
                    ELSE h.critical END,
               h.unit, h.ordinality, coalesce(jsonb_typeof(thresholds -> h."check"), 'object') <> 'null'
          FROM fx.health_checks() WITH ORDINALITY h;
END
$$;

COMMENT ON FUNCTION health_bounds(jsonb)
    IS 'fx.health_checks with the bounds that the argument of fx.health has instead; errors: 22004 NULL, 22023 unknown check, bounds that are none';

-- Every check by itself, so that one which fails takes no other with it.  It
-- waits for no lock that is worth the name: who holds one is a finding too.
CREATE FUNCTION health_report(thresholds jsonb DEFAULT '{}')
RETURNS TABLE ("check" text, status text, value numeric, unit text, warning numeric, critical numeric,
               message text, objects text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '200ms'
SET datestyle = 'ISO'
AS $$
DECLARE
    entitled CONSTANT boolean := pg_has_role('pg_monitor', 'USAGE');
    item record;
    found record;
BEGIN
    FOR item IN SELECT b.* FROM fx.health_bounds(thresholds) b ORDER BY b.place LOOP
        "check" := item."check";
        unit := item.unit;
        warning := item.warning;
        critical := item.critical;
        value := NULL;
        objects := NULL;
        IF NOT item.wanted THEN
            status := 'off';
            message := 'not wanted';
            RETURN NEXT;
            CONTINUE;
        END IF;

        BEGIN
            IF item.scope = 'platform' THEN
                SELECT m.* INTO found FROM fx.measure_platform("check") m;
            ELSIF entitled THEN
                SELECT m.* INTO found FROM fx.measure_server("check") m;
            ELSE
                RAISE EXCEPTION 'role "%" is not a member of pg_monitor', current_user
                    USING ERRCODE = 'insufficient_privilege';
            END IF;
            value := found.value;
            objects := found.objects[1:20];
            message := found.message;
            status := coalesce(found.status,
                CASE WHEN value >= critical THEN 'critical'
                     WHEN value >= warning THEN 'warning'
                     WHEN value IS NULL THEN 'skipped'
                     ELSE 'ok' END);
        EXCEPTION WHEN OTHERS THEN
            value := NULL;
            objects := NULL;
            status := 'unknown';
            message := format('could not be checked: %s: %s', SQLSTATE, SQLERRM);
        END;
        RETURN NEXT;
    END LOOP;

    status := 'note';
    value := NULL;
    unit := NULL;
    warning := NULL;
    critical := NULL;
    objects := NULL;
    FOR "check", message IN SELECT n.topic, n.message FROM fx.health_notes() n LOOP
        RETURN NEXT;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION health_report(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION health_report(jsonb) TO pg_monitor;

COMMENT ON FUNCTION health_report(jsonb)
    IS 'fx.health as rows, one a check: status ok, warning, critical, unknown (it could not be made, and why), skipped (there is nothing to check here) or off (thresholds say so), its number and bounds, up to 20 objects that it found; then notes, which are no findings. Errors: 22004 NULL, 22023 thresholds that are none';

CREATE FUNCTION health(thresholds jsonb DEFAULT '{}')
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    checked_at CONSTANT timestamptz := clock_timestamp();
    report jsonb;
BEGIN
    SELECT jsonb_build_object(
               'status', CASE WHEN bool_or(r.status = 'critical') THEN 'critical'
                              WHEN bool_or(r.status IN ('warning', 'unknown')) THEN 'warning'
                              ELSE 'ok' END,
               'reasons', coalesce(
                   jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                                 'check', r."check", 'status', r.status, 'message', r.message,
                                 'value', r.value, 'unit', r.unit, 'warning', r.warning,
                                 'critical', r.critical, 'objects', r.objects))
                             ORDER BY array_position('{critical,warning,unknown}', r.status), r.ordinality)
                       FILTER (WHERE r.status IN ('critical', 'warning', 'unknown')), '[]'),
               'notes', coalesce(
                   jsonb_agg(jsonb_build_object('topic', r."check", 'message', r.message) ORDER BY r.ordinality)
                       FILTER (WHERE r.status = 'note'), '[]'),
               'checks', jsonb_object_agg(r."check", jsonb_strip_nulls(
                             jsonb_build_object('status', r.status, 'value', r.value, 'unit', r.unit)))
                   FILTER (WHERE r.status <> 'note'))
      INTO report
      FROM fx.health_report(thresholds) WITH ORDINALITY r;

    RETURN report || jsonb_build_object(
        'checked_at', checked_at,
        'took_ms', round(extract(epoch FROM clock_timestamp() - checked_at) * 1000, 1),
        'version', (SELECT e.extversion FROM pg_extension e WHERE e.extname = 'fxplatform'),
        'server_version', current_setting('server_version'),
        'database', current_database(),
        'in_recovery', pg_is_in_recovery());
END
$$;

REVOKE ALL ON FUNCTION health(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION health(jsonb) TO pg_monitor;

COMMENT ON FUNCTION health(jsonb)
    IS 'the state of platform and server for a probe: {"status": "ok", "warning" or "critical", "reasons": [{"check", "status", "message", "value", "unit", "warning", "critical", "objects"}], worst first and empty exactly when ok, "notes": [{"topic", "message"}] of what is no finding, "checks": {check: {"status", "value", "unit"}}, "checked_at", "took_ms", "version", "server_version", "database", "in_recovery"}. A check that cannot be made is a reason of status unknown, which counts as a warning. thresholds: {check: {"warning": n, "critical": n}} instead of the bounds of fx.health_checks, null for no bound, {check: null} for no check. For members of pg_monitor. Errors: 22004 NULL, 22023 thresholds that are none';
