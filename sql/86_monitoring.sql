
-- monitoring
--
-- For members of pg_monitor, and for nobody else: queries of others are in it.
-- The views read catalogs and statistics of the server with the caller's rights
-- to them; what only the owner may read comes from functions that have them.
-- They are members of the extension and granted here, so that a restored copy
-- has the grants again before its tables come.

GRANT USAGE ON SCHEMA @extschema@ TO pg_monitor;

-- pg_stat_statements may be in any schema, of any version, in the database and
-- not in the server.  Its settings exist where its library was preloaded: one
-- that somebody only wrote down is not shown by pg_settings.
CREATE FUNCTION statement_source()
RETURNS TABLE (relation regclass, reason text)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT c.oid INTO relation
      FROM pg_extension e
      JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
                      AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
      JOIN pg_class c ON c.oid = d.objid
     WHERE e.extname = 'pg_stat_statements' AND c.relname = 'pg_stat_statements';
    IF relation IS NULL THEN
        reason := 'extension pg_stat_statements is not installed in this database';
    ELSIF NOT EXISTS (SELECT FROM pg_settings s WHERE s.name = 'pg_stat_statements.max') THEN
        relation := NULL;
        reason := 'pg_stat_statements is not in shared_preload_libraries';
    END IF;
    RETURN NEXT;
END
$$;

REVOKE ALL ON FUNCTION statement_source() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION statement_source() TO pg_monitor;

COMMENT ON FUNCTION statement_source()
    IS 'one row: the view pg_stat_statements of this database, or NULL and the reason why there is none that can be read';

CREATE FUNCTION statement_statistics()
RETURNS TABLE (query text, mean_exec_time float8, calls bigint, total_exec_time float8,
               min_exec_time float8, max_exec_time float8, stddev_exec_time float8, rows bigint,
               username name, queryid bigint, shared_blks_hit bigint, shared_blks_read bigint,
               temp_blks_written bigint)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    source CONSTANT regclass := (SELECT s.relation FROM fx.statement_source() s);
BEGIN
    IF source IS NULL THEN
        RETURN;
    END IF;
    -- before 1.8 planning was not told apart from execution
    RETURN QUERY EXECUTE format($q$
        SELECT s.query, s.mean_%2$s, s.calls, s.total_%2$s, s.min_%2$s, s.max_%2$s, s.stddev_%2$s,
               s.rows, r.rolname, s.queryid, s.shared_blks_hit, s.shared_blks_read, s.temp_blks_written
          FROM %1$s s
          LEFT JOIN pg_roles r ON r.oid = s.userid
         WHERE s.dbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
         ORDER BY s.mean_%2$s DESC, s.queryid
        $q$, source,
        CASE WHEN EXISTS (SELECT FROM pg_attribute a
                           WHERE a.attrelid = source AND a.attname = 'total_exec_time' AND NOT a.attisdropped)
             THEN 'exec_time' ELSE 'time' END);
END
$$;

REVOKE ALL ON FUNCTION statement_statistics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION statement_statistics() TO pg_monitor;

COMMENT ON FUNCTION statement_statistics()
    IS 'rows of fx.slow_queries';

CREATE VIEW slow_queries AS
    SELECT query, mean_exec_time, calls, total_exec_time, min_exec_time, max_exec_time,
           stddev_exec_time, rows, username, queryid, shared_blks_hit, shared_blks_read, temp_blks_written
      FROM statement_statistics();

GRANT SELECT ON slow_queries TO pg_monitor;

COMMENT ON VIEW slow_queries
    IS 'statements of this database by their mean time, slowest first, from pg_stat_statements in whatever schema; times in milliseconds, blocks of block_size bytes. Empty where pg_stat_statements is not installed or not preloaded: fx.health() says which, in its notes. Statements of other roles are shown to members of pg_read_all_stats, as pg_monitor is';

-- tables and indexes
--
-- Partitions add up to the table that the application knows: an index counts
-- with those attached to it.

CREATE VIEW index_usage AS
    SELECT n.nspname AS schemaname, t.relname AS tablename, i.relname AS indexname,
           s.idx_scan, s.idx_tup_read, s.idx_tup_fetch, s.last_idx_scan, s.partitions, s.bytes,
           pg_size_pretty(s.bytes) AS size
      FROM (SELECT coalesce(pg_partition_root(u.indexrelid), u.indexrelid) AS root,
                   sum(u.idx_scan)::bigint AS idx_scan, sum(u.idx_tup_read)::bigint AS idx_tup_read,
                   sum(u.idx_tup_fetch)::bigint AS idx_tup_fetch,
                   -- a column since 16
                   max((to_jsonb(u) ->> 'last_idx_scan')::timestamptz) AS last_idx_scan,
                   count(*) FILTER (WHERE pg_partition_root(u.indexrelid) IS NOT NULL) AS partitions,
                   sum(pg_relation_size(u.indexrelid))::bigint AS bytes
              FROM pg_stat_user_indexes u
             GROUP BY 1) s
      JOIN pg_class i ON i.oid = s.root
      JOIN pg_index x ON x.indexrelid = s.root
      JOIN pg_class t ON t.oid = x.indrelid
      JOIN pg_namespace n ON n.oid = t.relnamespace
     ORDER BY s.idx_scan DESC, n.nspname, i.relname;

GRANT SELECT ON index_usage TO pg_monitor;

COMMENT ON VIEW index_usage
    IS 'use of every index of a table of users, most used first; partitions add up. Counters since fx.unused_indexes.stats_since, of this server only: a standby has its own';
COMMENT ON COLUMN index_usage.last_idx_scan IS 'Newest scan; NULL when there was none, and before PostgreSQL 16';
COMMENT ON COLUMN index_usage.partitions IS 'Partitions that have a part of it, 0 for the index of a plain table';
COMMENT ON COLUMN index_usage.bytes IS 'Size of the main fork';

-- Tables and materialized views with storage, partitions under their root.
-- Sizes take ACCESS SHARE, and wait for who has a table locked exclusively.
CREATE VIEW partition_sizes AS
    SELECT n.nspname AS schemaname, r.relname AS tablename, c.relname AS partition,
           pg_get_expr(c.relpartbound, c.oid) AS bounds,
           pg_size_pretty(s.total_bytes) AS size, s.total_bytes, s.table_bytes - s.toast_bytes AS table_bytes,
           s.toast_bytes, s.index_bytes, nullif(c.reltuples, -1)::bigint AS rows_estimate,
           pg_stat_get_live_tuples(c.oid) AS live_rows, pg_stat_get_dead_tuples(c.oid) AS dead_rows,
           pg_stat_get_mod_since_analyze(c.oid) AS modified_since_analyze,
           greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)) AS last_vacuum,
           greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) AS last_analyze
      FROM pg_class c
      JOIN pg_class r ON r.oid = pg_partition_root(c.oid)
      JOIN pg_namespace n ON n.oid = r.relnamespace
     CROSS JOIN LATERAL (
               SELECT coalesce(pg_total_relation_size(c.oid), 0) AS total_bytes,
                      coalesce(pg_table_size(c.oid), 0) AS table_bytes,
                      coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toast_bytes,
                      coalesce(pg_indexes_size(c.oid), 0) AS index_bytes) s
     WHERE c.relkind = 'r' AND c.relispartition
     ORDER BY n.nspname, r.relname, c.relname;

GRANT SELECT ON partition_sizes TO pg_monitor;

COMMENT ON VIEW partition_sizes
    IS 'every partition that stores rows: its bounds, size, rows, and when it was last vacuumed and analyzed, by hand or by autovacuum';
COMMENT ON COLUMN partition_sizes.tablename IS 'The partitioned table at the top';
COMMENT ON COLUMN partition_sizes.rows_estimate IS 'As of the last VACUUM or ANALYZE; NULL before the first';
COMMENT ON COLUMN partition_sizes.live_rows IS 'As counted by the statistics of this server, lost in a crash';

CREATE VIEW table_sizes AS
    SELECT n.nspname AS schemaname, r.relname AS tablename, pg_size_pretty(s.total_bytes) AS size,
           s.total_bytes, s.table_bytes, s.toast_bytes, s.index_bytes, s.rows_estimate, s.partitions
      FROM (SELECT coalesce(pg_partition_root(c.oid), c.oid) AS root,
                   coalesce(sum(z.total_bytes), 0)::bigint AS total_bytes,
                   coalesce(sum(z.table_bytes - z.toast_bytes), 0)::bigint AS table_bytes,
                   coalesce(sum(z.toast_bytes), 0)::bigint AS toast_bytes,
                   coalesce(sum(z.index_bytes), 0)::bigint AS index_bytes,
                   sum(nullif(c.reltuples, -1)) FILTER (WHERE c.relkind <> 'p')::bigint AS rows_estimate,
                   count(*) FILTER (WHERE c.relispartition AND c.relkind <> 'p') AS partitions
              FROM pg_class c
             CROSS JOIN LATERAL (
                       SELECT pg_total_relation_size(c.oid) AS total_bytes, pg_table_size(c.oid) AS table_bytes,
                              coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS toast_bytes,
                              pg_indexes_size(c.oid) AS index_bytes) z
             WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't'
             GROUP BY 1) s
      JOIN pg_class r ON r.oid = s.root
      JOIN pg_namespace n ON n.oid = r.relnamespace
     WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
     ORDER BY s.total_bytes DESC, n.nspname, r.relname;

GRANT SELECT ON table_sizes TO pg_monitor;

COMMENT ON VIEW table_sizes
    IS 'tables and materialized views of users, largest first, with indexes and TOAST; partitions add up, fx.partition_sizes has them apart';
COMMENT ON COLUMN table_sizes.total_bytes IS 'table_bytes + toast_bytes + index_bytes';
COMMENT ON COLUMN table_sizes.table_bytes IS 'Rows, with the free space and visibility maps';
COMMENT ON COLUMN table_sizes.toast_bytes IS 'What is stored out of line, with its index';
COMMENT ON COLUMN table_sizes.rows_estimate IS 'As of the last VACUUM or ANALYZE; NULL before the first';
COMMENT ON COLUMN table_sizes.partitions IS 'Partitions that store rows, 0 for a plain table';

-- An index that nothing has read may still keep rows unique, serve a foreign
-- key's checks (which are scans, and counted), or be used on a standby.  The
-- counters of a database begin where they were reset; where that is not known,
-- because it never happened or a crash has lost them all, those of the server.
CREATE VIEW unused_indexes AS
    SELECT u.schemaname, u.tablename, u.indexname, u.size, u.bytes, u.partitions,
           pg_get_indexdef(x.indexrelid) AS definition, s.stats_since, now() - s.stats_since AS stats_age
      FROM index_usage u
      JOIN pg_namespace n ON n.nspname = u.schemaname
      JOIN pg_class i ON i.relname = u.indexname AND i.relnamespace = n.oid
      JOIN pg_index x ON x.indexrelid = i.oid
     CROSS JOIN (SELECT coalesce(d.stats_reset, a.stats_reset) AS stats_since
                   FROM pg_stat_database d, pg_stat_archiver a
                  WHERE d.datname = current_database()) s
     WHERE u.idx_scan = 0
       AND NOT x.indisunique AND NOT x.indisexclusion AND NOT x.indisreplident
       AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = x.indexrelid)
     ORDER BY u.bytes DESC, u.schemaname, u.indexname;

GRANT SELECT ON unused_indexes TO pg_monitor;

COMMENT ON VIEW unused_indexes
    IS 'indexes that no query of this server has read since stats_since, largest first, but those that are there for a key, a constraint or a replica identity; one of a partitioned table when none of its parts was read. Look at the age of the counters, and at the standbys, before dropping one';
COMMENT ON COLUMN unused_indexes.stats_since IS 'When the counters began, at most: the last pg_stat_reset(), or the beginning of the server''s statistics';

-- What each column of an index is, for comparison: the column or expression,
-- its operator class, collation and order.
CREATE VIEW redundant_indexes AS
    WITH parts AS (
        SELECT x.indexrelid, x.indrelid, x.indisunique, x.indimmediate, x.indisreplident, x.indnullsnotdistinct,
               i.relam, i.relname, i.relispartition, m.amname, x.indisvalid AND x.indisready AND x.indislive AS usable,
               EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = x.indexrelid) AS for_constraint,
               coalesce(pg_get_expr(x.indpred, x.indrelid), '') AS predicate,
               ARRAY(SELECT concat_ws(' ', pg_get_indexdef(x.indexrelid, k, false), x.indclass[k - 1],
                                      x.indcollation[k - 1], x.indoption[k - 1])
                       FROM generate_series(1, x.indnkeyatts) k ORDER BY k) AS keys,
               ARRAY(SELECT pg_get_indexdef(x.indexrelid, k, false) FROM generate_series(1, x.indnatts) k) AS columns
          FROM pg_index x
          JOIN pg_class i ON i.oid = x.indexrelid
          JOIN pg_am m ON m.oid = i.relam
          JOIN pg_class t ON t.oid = x.indrelid
          JOIN pg_namespace n ON n.oid = t.relnamespace
         WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND t.relpersistence <> 't'
    ), covered AS (
        SELECT a.*, b.indexrelid AS by_index,
               row_number() OVER (PARTITION BY a.indexrelid
                                  ORDER BY b.for_constraint DESC, b.indisunique DESC, cardinality(b.keys), b.indexrelid) AS place
          FROM parts a
          JOIN parts b ON b.indrelid = a.indrelid AND b.indexrelid <> a.indexrelid AND b.usable
                      AND b.relam = a.relam AND b.predicate = a.predicate
         -- a part of a partitioned index does not go alone, and what a constraint needs stays
         WHERE NOT a.relispartition AND NOT a.for_constraint AND NOT a.indisreplident
           AND a.columns <@ b.columns
           AND CASE WHEN a.indisunique
                    THEN a.keys = b.keys AND b.indisunique AND b.indimmediate
                         AND (b.indnullsnotdistinct OR NOT a.indnullsnotdistinct)
                    WHEN a.amname = 'btree'
                    THEN a.keys = b.keys[1:cardinality(a.keys)]
                    ELSE a.keys = b.keys END
           -- of two that are the same, the one that a constraint does not need, then the younger
           AND (a.keys <> b.keys OR NOT b.columns <@ a.columns OR b.indisunique > a.indisunique
                OR b.for_constraint OR b.indisreplident OR a.indexrelid > b.indexrelid)
    )
    SELECT n.nspname AS schemaname, t.relname AS tablename, c.relname AS indexname,
           i.relname AS covered_by, pg_size_pretty(s.bytes) AS size, s.bytes,
           pg_get_indexdef(c.indexrelid) AS definition, pg_get_indexdef(c.by_index) AS covered_by_definition
      FROM covered c
      JOIN pg_class t ON t.oid = c.indrelid
      JOIN pg_namespace n ON n.oid = t.relnamespace
      JOIN pg_class i ON i.oid = c.by_index
     CROSS JOIN LATERAL (
               SELECT coalesce(sum(pg_relation_size(l.relid)), pg_relation_size(c.indexrelid), 0)::bigint AS bytes
                 FROM pg_partition_tree(c.indexrelid) l WHERE l.isleaf) s
     WHERE c.place = 1
     ORDER BY s.bytes DESC, n.nspname, c.relname;

GRANT SELECT ON redundant_indexes TO pg_monitor;

COMMENT ON VIEW redundant_indexes
    IS 'indexes whose every search another index of the table serves: a B-tree by the leading columns of a longer one, any other by one with the same columns, with the same expressions, operator classes, collations, order and predicate, and all included columns; a unique one only by another unique one on the same columns. Those of constraints and replica identities are never shown, nor a part of a partitioned index. The one that covers may be much larger: what is lost then is cache';
