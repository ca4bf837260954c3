
-- bloat, cache, transactions, replication, backups

-- What the rows of a table would take if they were written once more, from the
-- layout of pages and tuples (PostgreSQL's documentation, "Database Page
-- Layout"): a page has a header of 24 bytes, a row a line pointer of 4, a header
-- of 23 with a bit a column where some are null, and its columns, each aligned
-- as its type is.  Widths and nulls are those of the last ANALYZE, and so are
-- rows and pages, so that all speak of the same moment; no page is read.
--
-- pg_stats hides columns that the caller may not read, so this has the owner's
-- rights.  It tells widths, no values.
CREATE FUNCTION bloat_estimates()
RETURNS TABLE (relation regclass, pages bigint, expected_pages bigint, row_bytes integer, fillfactor integer)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    page_bytes CONSTANT integer := current_setting('block_size')::integer;
    item record;
    place numeric;
    pad numeric;
BEGIN
    FOR item IN
        SELECT c.oid, c.relpages, c.reltuples, a.attlen, a.number, a.columns,
               CASE WHEN a.attlen > 0 THEN a.attlen ELSE s.stawidth END AS width,
               s.stanullfrac::numeric AS nulls, max(s.stanullfrac) OVER same_table > 0 AS some_null,
               bool_or(s.starelid IS NULL) OVER same_table AS unknown,
               -- a short variable-length value has a header of one byte, aligned to nothing
               CASE WHEN a.attlen = -1 AND s.stawidth < 128 OR a.attalign = 'c' THEN 1
                    WHEN a.attalign = 's' THEN 2 WHEN a.attalign = 'i' THEN 4 ELSE 8 END AS alignment,
               coalesce((SELECT o.option_value::integer FROM pg_options_to_table(c.reloptions) o
                          WHERE o.option_name = 'fillfactor'), 100) AS fillfactor
          FROM pg_class c
          JOIN pg_namespace n ON n.oid = c.relnamespace
         CROSS JOIN LATERAL (
                   SELECT t.*, row_number() OVER (ORDER BY t.attnum) AS number, count(*) OVER () AS columns
                     FROM pg_attribute t
                    WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped
                      -- not stored
                      AND t.attgenerated <> 'v') a
          LEFT JOIN pg_statistic s ON s.starelid = c.oid AND s.staattnum = a.attnum AND NOT s.stainherit
         WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND c.reltuples > 0 AND c.relpages > 0
           AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        WINDOW same_table AS (PARTITION BY c.oid)
         ORDER BY c.oid, a.number
    LOOP
        IF item.number = 1 THEN
            place := ceil((23 + CASE WHEN item.some_null THEN (item.columns + 7) / 8 ELSE 0 END) / 8.0) * 8;
        END IF;
        -- behind a column that is sometimes null any place is as likely as another
        pad := CASE WHEN place = trunc(place) THEN (item.alignment - place % item.alignment) % item.alignment
                    ELSE (item.alignment - 1) / 2.0 END;
        place := place + (1 - coalesce(item.nulls, 0)) * (pad + coalesce(item.width, 0));

        IF item.number = item.columns AND NOT item.unknown THEN
            relation := item.oid;
            pages := item.relpages;
            row_bytes := ceil(place / 8) * 8 + 4;
            fillfactor := item.fillfactor;
            expected_pages := ceil(item.reltuples::numeric
                / greatest(floor((page_bytes - 24) * fillfactor / 100.0 / row_bytes), 1));
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION bloat_estimates() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bloat_estimates() TO pg_monitor;

COMMENT ON FUNCTION bloat_estimates()
    IS 'rows of fx.table_bloat: pages of each table at its last ANALYZE, and how many its rows would take if written again, at row_bytes (with line pointer) and its fillfactor; without those that were never analyzed';

CREATE VIEW table_bloat AS
    SELECT n.nspname AS schemaname, coalesce(r.relname, c.relname) AS tablename,
           CASE WHEN c.relispartition THEN c.relname END AS partition,
           b.table_bytes, b.expected_bytes, greatest(b.table_bytes - b.expected_bytes, 0) AS bloat_bytes,
           pg_size_pretty(greatest(b.table_bytes - b.expected_bytes, 0)) AS bloat_size,
           round(greatest(b.table_bytes - b.expected_bytes, 0)::numeric / b.table_bytes, 4) AS bloat_fraction,
           c.reltuples::bigint AS rows_estimate, b.row_bytes, b.fillfactor,
           pg_stat_get_dead_tuples(c.oid) AS dead_rows,
           greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)) AS last_vacuum,
           greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) AS last_analyze
      FROM (SELECT e.relation, e.row_bytes, e.fillfactor,
                   e.pages * current_setting('block_size')::bigint AS table_bytes,
                   e.expected_pages * current_setting('block_size')::bigint AS expected_bytes
              FROM bloat_estimates() e) b
      JOIN pg_class c ON c.oid = b.relation
      LEFT JOIN pg_class r ON r.oid = pg_partition_root(c.oid)
      JOIN pg_namespace n ON n.oid = coalesce(r.relnamespace, c.relnamespace)
     ORDER BY bloat_bytes DESC, n.nspname, c.relname;

GRANT SELECT ON table_bloat TO pg_monitor;

COMMENT ON VIEW table_bloat
    IS 'estimate of the space in tables that their rows do not need, most first, from the statistics of the last ANALYZE and the page layout in PostgreSQL''s documentation; a few per cent are the estimate''s own, and more where rows differ much in width. Empty space that a fillfactor leaves is none. Exact numbers: pgstattuple. Tables that were never analyzed are left out, and so are indexes and TOAST';
COMMENT ON COLUMN table_bloat.table_bytes IS 'Main fork at the last VACUUM or ANALYZE';
COMMENT ON COLUMN table_bloat.bloat_fraction IS 'bloat_bytes / table_bytes, 0 to 1';
COMMENT ON COLUMN table_bloat.row_bytes IS 'Estimated mean size of a row, with its header and line pointer';
COMMENT ON COLUMN table_bloat.dead_rows IS 'As counted by the statistics of this server';

CREATE VIEW cache_hit_ratio AS
    SELECT s.scope, s.schemaname, s.tablename, s.hits, s.reads,
           round(s.hits::numeric / nullif(s.hits + s.reads, 0), 4) AS hit_ratio,
           round(s.table_hits::numeric / nullif(s.table_hits + s.table_reads, 0), 4) AS table_hit_ratio,
           round(s.index_hits::numeric / nullif(s.index_hits + s.index_reads, 0), 4) AS index_hit_ratio
      FROM (SELECT 'database' AS scope, NULL::name AS schemaname, NULL::name AS tablename,
                   d.blks_hit AS hits, d.blks_read AS reads,
                   NULL::bigint AS table_hits, NULL::bigint AS table_reads,
                   NULL::bigint AS index_hits, NULL::bigint AS index_reads
              FROM pg_stat_database d
             WHERE d.datname = current_database()
            UNION ALL
            SELECT 'table', n.nspname, r.relname, t.table_hits + t.index_hits, t.table_reads + t.index_reads,
                   t.table_hits, t.table_reads, t.index_hits, t.index_reads
              FROM (SELECT coalesce(pg_partition_root(u.relid), u.relid) AS root,
                           sum(coalesce(u.heap_blks_hit, 0) + coalesce(u.toast_blks_hit, 0))::bigint AS table_hits,
                           sum(coalesce(u.heap_blks_read, 0) + coalesce(u.toast_blks_read, 0))::bigint AS table_reads,
                           sum(coalesce(u.idx_blks_hit, 0) + coalesce(u.tidx_blks_hit, 0))::bigint AS index_hits,
                           sum(coalesce(u.idx_blks_read, 0) + coalesce(u.tidx_blks_read, 0))::bigint AS index_reads
                      FROM pg_statio_user_tables u
                     GROUP BY 1) t
              JOIN pg_class r ON r.oid = t.root
              JOIN pg_namespace n ON n.oid = r.relnamespace) s
     ORDER BY s.scope, s.reads DESC, s.schemaname, s.tablename;

GRANT SELECT ON cache_hit_ratio TO pg_monitor;

COMMENT ON VIEW cache_hit_ratio
    IS 'how many of the blocks that were asked for were in shared_buffers: one row for the database, then one a table, most reads first, partitions added up, TOAST with its table. Ratios from 0 to 1, NULL where nothing was asked for. A read may have been served by the operating system''s cache';

-- What keeps vacuum from removing dead rows, and locks from being released.
CREATE VIEW long_transactions AS
    SELECT t.kind, t.pid, t.name, t.username, t.database, t.state, t.since, clock_timestamp() - t.since AS age,
           t.xmin_age, t.wait_event, t.query
      FROM (SELECT CASE WHEN a.state LIKE 'idle in transaction%' THEN 'idle in transaction' ELSE 'transaction' END AS kind,
                   a.pid, a.application_name AS name, a.usename AS username, a.datname AS database, a.state,
                   a.xact_start AS since, greatest(age(a.backend_xmin), age(a.backend_xid)) AS xmin_age,
                   concat_ws(': ', a.wait_event_type, a.wait_event) AS wait_event, a.query
              FROM pg_stat_activity a
             WHERE a.xact_start IS NOT NULL AND a.pid <> pg_backend_pid()
               -- vacuum holds nothing back, a standby has a row of its own
               AND a.backend_type NOT IN ('autovacuum worker', 'walsender')
            UNION ALL
            SELECT 'prepared transaction', NULL, p.gid, p.owner, p.database, 'prepared', p.prepared,
                   age(p.transaction), NULL, NULL
              FROM pg_prepared_xacts p
            UNION ALL
            SELECT 'replication slot', s.active_pid, s.slot_name, NULL, s.database,
                   CASE WHEN s.active THEN 'active' ELSE 'inactive' END, NULL,
                   greatest(age(s.xmin), age(s.catalog_xmin)), NULL, NULL
              FROM pg_replication_slots s
             WHERE s.xmin IS NOT NULL OR s.catalog_xmin IS NOT NULL
            UNION ALL
            SELECT 'standby feedback', r.pid, r.application_name, r.usename, NULL, r.state, NULL,
                   age(r.backend_xmin), NULL, NULL
              FROM pg_stat_replication r
             WHERE r.backend_xmin IS NOT NULL) t
     ORDER BY t.xmin_age DESC NULLS LAST, t.since, t.pid, t.name;

GRANT SELECT ON long_transactions TO pg_monitor;

COMMENT ON VIEW long_transactions
    IS 'who holds a transaction or a snapshot open, in all databases of the server, the oldest snapshot first: transactions of sessions, idle or not, prepared transactions, replication slots, and standbys by hot_standby_feedback; the own session is left out';
COMMENT ON COLUMN long_transactions.kind IS 'transaction, idle in transaction, prepared transaction, replication slot or standby feedback';
COMMENT ON COLUMN long_transactions.name IS 'application_name, name of the prepared transaction or of the slot';
COMMENT ON COLUMN long_transactions.since IS 'Start or preparation; NULL for slots and standbys';
COMMENT ON COLUMN long_transactions.xmin_age IS 'Transactions begun since: dead rows younger than that cannot be removed; NULL where it holds none back';

CREATE VIEW replication_lag AS
    WITH here AS (
        SELECT CASE WHEN pg_is_in_recovery()
                    THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                    ELSE pg_current_wal_lsn() END AS lsn
    )
    SELECT l.kind, l.name, l.client_addr, l.state, l.sync_state, l.lag_bytes, l.lag, l.retained_bytes, l.wal_status
      FROM (SELECT 'sender' AS kind, r.application_name AS name, host(r.client_addr) AS client_addr, r.state,
                   r.sync_state, pg_wal_lsn_diff(here.lsn, r.replay_lsn)::bigint AS lag_bytes, r.replay_lag AS lag,
                   NULL::bigint AS retained_bytes, NULL::text AS wal_status
              FROM pg_stat_replication r, here
            UNION ALL
            SELECT 'slot', s.slot_name, NULL, CASE WHEN s.active THEN 'active' ELSE 'inactive' END, s.slot_type,
                   pg_wal_lsn_diff(here.lsn, s.confirmed_flush_lsn)::bigint, NULL,
                   pg_wal_lsn_diff(here.lsn, s.restart_lsn)::bigint, s.wal_status
              FROM pg_replication_slots s, here
            UNION ALL
            SELECT 'standby', coalesce(w.slot_name, w.sender_host), NULL, coalesce(w.status, 'not streaming'), NULL,
                   pg_wal_lsn_diff(here.lsn, pg_last_wal_replay_lsn())::bigint,
                   CASE WHEN here.lsn > pg_last_wal_replay_lsn() OR w.pid IS NULL
                        THEN clock_timestamp() - pg_last_xact_replay_timestamp()
                        ELSE interval '0' END,
                   NULL, NULL
              FROM here
              LEFT JOIN pg_stat_wal_receiver w ON true
             WHERE pg_is_in_recovery()) l
     ORDER BY l.kind, l.name, l.client_addr;

GRANT SELECT ON replication_lag TO pg_monitor;

COMMENT ON VIEW replication_lag
    IS 'replication as this server sees it: a row for each connection that sends WAL, each slot, and on a standby one for itself. Empty on a server without any';
COMMENT ON COLUMN replication_lag.kind IS 'sender, slot or standby';
COMMENT ON COLUMN replication_lag.state IS 'Of the connection (startup, catchup, streaming, backup, stopping), active or inactive for a slot; ''not streaming'' for a standby without a connection, as in a restore from the archive';
COMMENT ON COLUMN replication_lag.sync_state IS 'sync, async, potential or quorum for a sender, physical or logical for a slot';
COMMENT ON COLUMN replication_lag.lag_bytes IS 'WAL that was written (on a standby: received) and not replayed yet, or not confirmed by the reader of a logical slot; NULL where it is not known';
COMMENT ON COLUMN replication_lag.lag IS 'A sender''s replay_lag (NULL when all was replayed some time ago); on a standby the age of the last transaction replayed, 0 when nothing is left to replay';
COMMENT ON COLUMN replication_lag.retained_bytes IS 'WAL that the slot keeps from being removed';

-- The end of a base backup leaves a history file in pg_wal, which stays until
-- the next one ends, as long as WAL is archived.  Its times are in the time
-- zone of the log; the file's own, and the difference, are not in doubt.
-- Reading it needs more than pg_monitor has.
CREATE FUNCTION backup_state()
RETURNS TABLE (finished_at timestamptz, duration interval, label text, start_wal text, history_file text,
               history_archived boolean, archive_mode text, archive_failing boolean, files_waiting bigint,
               last_archived_wal text, last_archived_at timestamptz, last_failed_wal text, last_failed_at timestamptz)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    status text[];
    content text;
BEGIN
    archive_mode := current_setting('archive_mode');
    SELECT a.last_archived_wal, a.last_archived_time, a.last_failed_wal, a.last_failed_time,
           coalesce(a.last_failed_time > a.last_archived_time, a.last_failed_time IS NOT NULL)
      INTO last_archived_wal, last_archived_at, last_failed_wal, last_failed_at, archive_failing
      FROM pg_stat_archiver a;

    SELECT count(*) FILTER (WHERE s.name LIKE '%.ready'),
           array_agg(s.name) FILTER (WHERE s.name ~ '^[0-9A-F]{24}[.][0-9A-F]{8}[.]backup[.]done$')
      INTO files_waiting, status
      FROM pg_ls_archive_statusdir() s;

    SELECT w.name, w.modification, left(w.name, 24), coalesce(w.name || '.done' = ANY (status), false)
      INTO history_file, finished_at, start_wal, history_archived
      FROM pg_ls_waldir() w
     WHERE w.name ~ '^[0-9A-F]{24}[.][0-9A-F]{8}[.]backup$'
     ORDER BY w.modification DESC, w.name DESC
     LIMIT 1;

    -- a label is whatever the client of the backup sent
    content := encode(pg_read_binary_file('pg_wal/' || history_file, 0, 16384, true), 'escape');
    label := substring(content FROM '(?n)^LABEL: (.*)$');
    duration := substring(content FROM $re$(?n)^STOP TIME: (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) $re$)::timestamp
              - substring(content FROM $re$(?n)^START TIME: (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) $re$)::timestamp;
    RETURN NEXT;
END
$$;

REVOKE ALL ON FUNCTION backup_state() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION backup_state() TO pg_monitor;

COMMENT ON FUNCTION backup_state()
    IS 'the row of fx.last_backup';

CREATE VIEW last_backup AS
    SELECT finished_at, clock_timestamp() - finished_at AS age, duration, label, start_wal, history_file,
           history_archived, archive_mode, archive_failing, files_waiting,
           last_archived_wal, last_archived_at, last_failed_wal, last_failed_at
      FROM backup_state();

GRANT SELECT ON last_backup TO pg_monitor;

COMMENT ON VIEW last_backup
    IS 'one row: the last base backup that this server knows of, and how archiving goes. It knows of backups by the history file in pg_wal, which there is where WAL is archived; not of those of a standby, of dumps and snapshots, nor whether the backup is still there and whole';
COMMENT ON COLUMN last_backup.finished_at IS 'When the backup ended; NULL when none is known';
COMMENT ON COLUMN last_backup.label IS 'As the program that made the backup called it';
COMMENT ON COLUMN last_backup.start_wal IS 'The first WAL file that a restore of it needs';
COMMENT ON COLUMN last_backup.history_archived IS 'The history file is in the archive, and with it all WAL that the backup needs';
COMMENT ON COLUMN last_backup.archive_failing IS 'The last attempt to archive failed';
COMMENT ON COLUMN last_backup.files_waiting IS 'Files of pg_wal that are to be archived';
