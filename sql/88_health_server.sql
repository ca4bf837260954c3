
-- what fx.health measures of the server, with the caller's rights, and its notes

CREATE FUNCTION measure_server("check" text, OUT value numeric, OUT status text, OUT message text, OUT objects text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
AS $$
DECLARE
    item record;
    slots bigint;
BEGIN
    CASE
        WHEN "check" IN ('xid_age', 'mxid_age') THEN
            SELECT d.datname, CASE "check" WHEN 'xid_age' THEN age(d.datfrozenxid) ELSE mxid_age(d.datminmxid) END AS age
              INTO item FROM pg_database d ORDER BY 2 DESC, 1 LIMIT 1;
            value := item.age;
            objects := ARRAY[item.datname];
            message := format('database %s has not been frozen for %s %s', item.datname, value,
                              CASE "check" WHEN 'xid_age' THEN 'transactions' ELSE 'multixacts' END);

        WHEN "check" IN ('xmin_age', 'long_transactions', 'idle_in_transaction', 'prepared_transactions') THEN
            SELECT t.*, CASE "check" WHEN 'xmin_age' THEN t.xmin_age
                                     WHEN 'idle_in_transaction' THEN extract(epoch FROM clock_timestamp() - a.state_change)
                                     ELSE extract(epoch FROM t.age) END AS number
              INTO item
              FROM fx.long_transactions t
              LEFT JOIN pg_stat_activity a ON a.pid = t.pid
             WHERE (t.database IS NULL OR t.database = current_database())
               AND CASE "check" WHEN 'long_transactions' THEN t.kind IN ('transaction', 'idle in transaction')
                                WHEN 'idle_in_transaction' THEN t.kind = 'idle in transaction'
                                WHEN 'prepared_transactions' THEN t.kind = 'prepared transaction'
                                ELSE t.xmin_age IS NOT NULL END
             ORDER BY number DESC NULLS LAST LIMIT 1;
            value := round(greatest(0, coalesce(item.number, 0)));
            IF FOUND THEN
                objects := ARRAY[coalesce('pid ' || item.pid, item.name)];
                message := format('%s %s of %s%s, since %s', item.kind, objects[1], coalesce(item.username, 'the server'),
                                  ' (' || nullif(item.name, '') || ')',
                                  coalesce(date_trunc('second', item.since)::text, 'it was made'));
            ELSE
                message := 'none';
            END IF;

        WHEN "check" = 'connections' THEN
            SELECT count(*) AS used,
                   current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
                   -- a setting since 16
                   - coalesce(current_setting('reserved_connections', true)::integer, 0) AS usable
              INTO item FROM pg_stat_activity a WHERE a.backend_type = 'client backend';
            value := round(100.0 * item.used / greatest(item.usable, 1), 1);
            message := format('%s of %s connections are in use', item.used, item.usable);

        WHEN "check" IN ('replication_bytes', 'replication_delay') THEN
            SELECT l.*, CASE "check" WHEN 'replication_bytes' THEN l.lag_bytes::numeric
                                     ELSE coalesce(extract(epoch FROM l.lag), 0) END AS number
              INTO item FROM fx.replication_lag l
             WHERE l.kind = 'standby' OR l.kind = 'sender' AND l.state <> 'backup' AND l.lag_bytes IS NOT NULL
             ORDER BY number DESC NULLS LAST LIMIT 1;
            IF NOT FOUND THEN
                message := 'no standby is connected';
            ELSE
                value := round(greatest(0, item.number));
                objects := ARRAY[coalesce(nullif(item.name, ''), item.kind)];
                message := format('%s is %s and %s bytes behind', objects[1], item.state, coalesce(item.lag_bytes, 0));
            END IF;

        WHEN "check" IN ('retained_wal', 'lost_slots') THEN
            SELECT array_agg(l.name ORDER BY l.retained_bytes DESC NULLS LAST, l.name), max(l.retained_bytes), count(*)
              INTO objects, value, slots
              FROM fx.replication_lag l
             WHERE l.kind = 'slot'
               AND CASE "check" WHEN 'lost_slots' THEN l.wal_status = 'lost'
                                ELSE l.state = 'inactive' AND l.wal_status <> 'lost' END;
            IF "check" = 'lost_slots' THEN
                value := slots;
                message := CASE value WHEN 0 THEN 'no slot has lost WAL'
                    ELSE format('the WAL of %s slots has been removed, of %s for one: drop it and make its reader anew', value, objects[1]) END;
            ELSE
                value := coalesce(value, 0);
                message := CASE slots WHEN 0 THEN 'every slot is in use'
                    ELSE format('nobody reads slot %s, which keeps %s of WAL', objects[1], pg_size_pretty(value)) END;
            END IF;

        WHEN "check" IN ('failed_archiving', 'unarchived_wal', 'backup_age') THEN
            SELECT b.* INTO item FROM fx.backup_state() b;
            IF item.archive_mode = 'off' THEN
                message := 'WAL is not archived';
            ELSIF pg_is_in_recovery() AND (item.archive_mode <> 'always' OR "check" = 'backup_age') THEN
                message := 'known on the primary';
            ELSIF "check" = 'failed_archiving' THEN
                value := item.archive_failing::integer;
                message := CASE value WHEN 0 THEN 'the last attempt to archive WAL did not fail'
                    ELSE format('archiving %s failed at %s, the last that succeeded was %s', item.last_failed_wal,
                                date_trunc('second', item.last_failed_at), coalesce(item.last_archived_wal, 'none')) END;
            ELSIF "check" = 'unarchived_wal' THEN
                value := item.files_waiting;
                message := format('%s WAL files wait for the archive', value);
            ELSIF item.finished_at IS NULL THEN
                status := 'warning';
                message := 'WAL is archived, and the server knows of no base backup';
            ELSE
                value := round(greatest(0, extract(epoch FROM clock_timestamp() - item.finished_at)));
                message := format('the last base backup ended at %s', date_trunc('second', item.finished_at));
            END IF;

        WHEN "check" = 'checksum_failures' THEN
            IF current_setting('data_checksums') = 'off' THEN
                message := 'data checksums are off';
            ELSE
                -- the shared catalogs are no database's
                SELECT coalesce(sum(d.checksum_failures), 0) INTO value
                  FROM pg_stat_database d WHERE d.datname = current_database() OR d.datid = 0;
                message := format('%s pages failed their checksum', value);
            END IF;

        WHEN "check" = 'autovacuum_off' THEN
            value := (current_setting('autovacuum') = 'off' OR current_setting('track_counts') = 'off')::integer;
            message := CASE value WHEN 0 THEN 'autovacuum is on'
                ELSE 'autovacuum or track_counts is off: dead rows stay, statistics age' END;

        ELSE
            RAISE EXCEPTION 'check "%" does not exist', "check"
                USING ERRCODE = 'invalid_parameter_value';
    END CASE;
END
$$;

REVOKE ALL ON FUNCTION measure_server(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION measure_server(text) TO pg_monitor;

COMMENT ON FUNCTION measure_server(text)
    IS 'one of fx.health_checks of the server, with the columns of fx.measure_platform; error 22023 no such check';

CREATE FUNCTION health_notes()
RETURNS TABLE (topic text, message text)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT n.topic, n.message
          FROM (VALUES
                   (1, 'slow_queries', (SELECT 'fx.slow_queries is empty: ' || s.reason FROM fx.statement_source() s)),
                   (2, 'data_checksums', CASE WHEN current_setting('data_checksums') = 'off'
                       THEN 'data checksums are off: damage by storage is not noticed' END),
                   (3, 'archive_mode', CASE WHEN current_setting('archive_mode') = 'off' AND NOT pg_is_in_recovery()
                       THEN 'WAL is not archived: no recovery to a point in time, and fx.last_backup knows of no backup' END),
                   (4, 'fsync', CASE WHEN current_setting('fsync') = 'off'
                       THEN 'fsync is off: a crash of the operating system may destroy the cluster' END),
                   (5, 'full_page_writes', CASE WHEN current_setting('full_page_writes') = 'off'
                       THEN 'full_page_writes is off: pages may be torn in a crash, unless storage writes them whole' END)
               ) n (place, topic, message)
         WHERE n.message IS NOT NULL
         ORDER BY n.place;
END
$$;

REVOKE ALL ON FUNCTION health_notes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION health_notes() TO pg_monitor;

COMMENT ON FUNCTION health_notes()
    IS 'the notes of fx.health: what is worth to be known and no finding';
