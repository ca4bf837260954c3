--
-- The views for members of pg_monitor: what they show, and to whom
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET client_min_messages = warning;
CREATE ROLE monitoring_probe IN ROLE pg_monitor;
RESET client_min_messages;
CREATE TEMPORARY VIEW views AS SELECT c.oid, c.relname FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind = 'v' AND c.relname <> 'migration_status';

-- whoever monitors reads them all, with the names of the specification; nobody else does
SELECT relname COLLATE "C" AS view, has_table_privilege('monitoring_probe', oid, 'SELECT') AS monitor,
       (SELECT bool_or(has_table_privilege(r, oid, 'SELECT')) FROM unnest('{public,fx_app,fx_user,fx_reporting}'::text[]) r) AS others FROM views ORDER BY 1;
SET ROLE monitoring_probe;
SELECT query, mean_exec_time, calls, total_exec_time FROM fx.slow_queries LIMIT 0;
SELECT schemaname, tablename, indexname, idx_scan, idx_tup_read, idx_tup_fetch FROM fx.index_usage LIMIT 0;
SELECT schemaname, tablename, size FROM fx.table_sizes LIMIT 0;
SELECT count(*) = 2 AS partition_health FROM fx.partition_health;
SELECT count(*) > 0 AS unused FROM fx.unused_indexes;
SELECT count(*) AS redundant FROM fx.redundant_indexes WHERE schemaname = 'fx';
SELECT count(*) > 0 AS cache FROM fx.cache_hit_ratio;
SELECT count(*) AS lag FROM fx.replication_lag;
SELECT count(*) AS backup, min(archive_mode) AS archive_mode FROM fx.last_backup;
SELECT count(*) >= 0 AS transactions FROM fx.long_transactions;
SELECT count(*) >= 0 AS bloat FROM fx.table_bloat;
SELECT count(*) FROM fx.users;
SET ROLE fx_reporting;
SELECT * FROM fx.slow_queries;
SELECT * FROM fx.long_transactions;
SELECT * FROM fx.backup_state();
SELECT * FROM fx.statement_statistics();
RESET ROLE;

-- partitions add up
CREATE SCHEMA m;
CREATE TABLE m.tree (id integer, at date, note text, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
CREATE INDEX tree_note ON m.tree (note);
CREATE TABLE m.tree_1 PARTITION OF m.tree FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE m.tree_2 PARTITION OF m.tree FOR VALUES FROM ('2024-02-01') TO ('2024-03-01') PARTITION BY RANGE (id);
CREATE TABLE m.tree_2_low PARTITION OF m.tree_2 FOR VALUES FROM (0) TO (1000);
CREATE TABLE m.tree_2_high PARTITION OF m.tree_2 FOR VALUES FROM (1000) TO (2000);
ALTER TABLE m.tree_1 SET (autovacuum_enabled = off);
ALTER TABLE m.tree_2_low SET (autovacuum_enabled = off);
ALTER TABLE m.tree_2_high SET (autovacuum_enabled = off);
CREATE TABLE m.empty (x integer) PARTITION BY LIST (x);
INSERT INTO m.tree SELECT n, d, repeat('x', 100) FROM generate_series(0, 1999) n, unnest('{2024-01-15,2024-02-15}'::date[]) d;
SELECT tablename, rows_estimate, partitions, total_bytes = table_bytes + toast_bytes + index_bytes AS adds_up,
       total_bytes = (SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('m.tree')) AS all_of_it, size = pg_size_pretty(total_bytes) AS pretty
  FROM fx.table_sizes WHERE schemaname = 'm' AND tablename = 'tree';
SELECT pg_stat_force_next_flush();
ANALYZE m.tree;
SELECT tablename, rows_estimate, partitions, total_bytes > 0 AS stored FROM fx.table_sizes WHERE schemaname = 'm' ORDER BY 1;
SELECT pg_stat_force_next_flush();
SELECT tablename, partition, bounds, total_bytes = table_bytes + toast_bytes + index_bytes AS adds_up, rows_estimate, live_rows, dead_rows, modified_since_analyze,
       last_vacuum IS NULL AS no_vacuum, last_analyze > now() - interval '1 minute' AS analyzed
  FROM fx.partition_sizes WHERE schemaname = 'm' ORDER BY partition;
SELECT tablename, indexname, partitions, bytes = (SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree(format('m.%I', indexname)::regclass)) AS all_of_it
  FROM fx.index_usage WHERE schemaname = 'm' ORDER BY indexname;

-- an index that is read is not unused, by whatever partition; keys are never unused
CREATE TABLE m.plain (id integer PRIMARY KEY, a integer UNIQUE, b integer, c integer, d integer, e text, f int4range, EXCLUDE USING gist (f WITH &&));
CREATE INDEX plain_b ON m.plain (b);
CREATE INDEX plain_c ON m.plain (c);
CREATE UNIQUE INDEX plain_d ON m.plain (d);
INSERT INTO m.plain SELECT n, n, n, n, n, n, int4range(n, n + 1) FROM generate_series(1, 100) n;
SELECT indexname, stats_age > '0' AS age, stats_since < now() AS since, definition FROM fx.unused_indexes WHERE schemaname = 'm' ORDER BY 1;
SET enable_seqscan = off;
SELECT count(*) FROM m.plain WHERE b = 7;
SELECT count(*) FROM m.tree_2_high WHERE note = 'y';
RESET enable_seqscan;
SELECT pg_stat_force_next_flush();
SELECT indexname FROM fx.unused_indexes WHERE schemaname = 'm' ORDER BY 1;
SELECT indexname, idx_scan, idx_tup_read, idx_tup_fetch FROM fx.index_usage WHERE schemaname = 'm' AND idx_scan > 0 AND indexname IN ('plain_b', 'tree_note') ORDER BY 1;
SELECT count(*) AS only_here FROM fx.index_usage u WHERE u.schemaname = 'm' AND u.last_idx_scan IS NULL AND u.idx_scan > 0 AND current_setting('server_version_num')::integer >= 160000;

-- redundant: prefix, same, and what only looks like it
CREATE TABLE m.r (a integer, b integer, c text, d text COLLATE "C", j jsonb, t timestamptz);
CREATE UNIQUE INDEX r_ab ON m.r (a, b);
CREATE INDEX r_a ON m.r (a);                            -- covered by r_ab
CREATE INDEX r_b ON m.r (b);                            -- covered by r_unique_ba
CREATE INDEX r_a_desc ON m.r (a DESC);
CREATE INDEX r_a_some ON m.r (a) WHERE b > 0;
CREATE INDEX r_ab_some ON m.r (a, b) WHERE b > 0;       -- covers r_a_some
CREATE INDEX r_c ON m.r (c);
CREATE INDEX r_c_pattern ON m.r (c text_pattern_ops);
CREATE INDEX r_c_collated ON m.r (c COLLATE "C", a);
CREATE INDEX r_lower ON m.r (lower(c));
CREATE INDEX r_lower_a ON m.r (lower(c), a);            -- covers r_lower
CREATE INDEX r_upper_a ON m.r (upper(c), a);
CREATE INDEX r_a_hash ON m.r USING hash (a);
CREATE INDEX r_j ON m.r USING gin (j);
CREATE INDEX r_j_path ON m.r USING gin (j jsonb_path_ops);
CREATE INDEX r_j_again ON m.r USING gin (j);            -- the same as r_j
CREATE INDEX r_jt ON m.r USING brin (t, a);
CREATE INDEX r_t ON m.r USING brin (t);
CREATE INDEX r_b_with_c ON m.r (b) INCLUDE (c);
CREATE INDEX r_b_with_d ON m.r (b) INCLUDE (d);
CREATE UNIQUE INDEX r_unique_a ON m.r (a);              -- unique alone, so it stays, and covers r_a
CREATE UNIQUE INDEX r_unique_ab ON m.r (a, b);          -- the same as r_ab
CREATE UNIQUE INDEX r_unique_ba ON m.r (b, a);
CREATE UNIQUE INDEX r_distinct ON m.r (a, b) NULLS NOT DISTINCT;
ALTER TABLE m.r ADD CONSTRAINT r_key UNIQUE (c, b);     -- covers r_c
CREATE TABLE m.target (x integer);
CREATE UNIQUE INDEX target_x ON m.target (x);
CREATE TABLE m.source (x integer REFERENCES m.target (x));
ALTER TABLE m.target ADD PRIMARY KEY (x);               -- the same as target_x, which a foreign key needs
CREATE INDEX tree_at ON m.tree (at);                    -- covered by the key, with all its parts
CREATE INDEX tree_1_at ON m.tree_1 (at);                -- covered, in one partition
SELECT tablename, indexname, covered_by FROM fx.redundant_indexes WHERE schemaname = 'm' ORDER BY 1, 2;
SELECT bytes = (SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree('m.tree_at')) AS all_of_it, definition, covered_by_definition FROM fx.redundant_indexes WHERE indexname = 'tree_at';

-- bloat: nearly none in a fresh table, whatever its columns; half in one of
-- which every other row is gone; and none where a fillfactor leaves space
CREATE TABLE m.packed (a integer, b bigint, c text, d numeric, e timestamptz, f boolean, g uuid, h text) WITH (autovacuum_enabled = off);
INSERT INTO m.packed SELECT n, n, repeat('x', n % 50), CASE WHEN n % 3 > 0 THEN n / 7.0 END, now(), n % 2 = 0, gen_random_uuid(), CASE WHEN n % 2 = 0 THEN 'some text' END FROM generate_series(1, 50000) n;
CREATE TABLE m.loose WITH (autovacuum_enabled = off, fillfactor = 50) AS SELECT * FROM m.packed;
CREATE TABLE m.holes WITH (autovacuum_enabled = off) AS SELECT * FROM m.packed;
CREATE TABLE m.never WITH (autovacuum_enabled = off) AS SELECT * FROM m.packed;
DELETE FROM m.holes WHERE a % 2 = 0;
VACUUM (ANALYZE) m.packed, m.loose, m.holes;
SET ROLE monitoring_probe;
SELECT tablename, partition, table_bytes > 0 AS stored, round(bloat_fraction, 1) AS bloat, abs(expected_bytes - table_bytes) < 0.05 * table_bytes AS as_expected, rows_estimate, fillfactor, last_vacuum > now() - interval '1 minute' AS vacuumed
  FROM fx.table_bloat WHERE schemaname = 'm' AND tablename IN ('packed', 'loose', 'holes', 'never') ORDER BY 1;
SELECT tablename, partition FROM fx.table_bloat WHERE schemaname = 'm' AND tablename = 'tree' ORDER BY 2;
RESET ROLE;

-- cache
SELECT pg_stat_force_next_flush();
SELECT count(*) FILTER (WHERE scope = 'database') AS database, count(*) FILTER (WHERE tablename = 'tree') AS tree, count(*) FILTER (WHERE tablename LIKE 'tree_%') AS partitions,
       bool_and(hit_ratio BETWEEN 0 AND 1 AND (hits + reads > 0) = (hit_ratio IS NOT NULL)) FILTER (WHERE hit_ratio IS NOT NULL) AS fractions,
       bool_and(hits + reads = 0) FILTER (WHERE hit_ratio IS NULL) AS unknown FROM fx.cache_hit_ratio;

-- whatever the caller's path finds first
CREATE SCHEMA hostile;
CREATE TABLE hostile.pg_class (x integer);
CREATE TABLE hostile.pg_stat_statements (query text);
CREATE FUNCTION hostile.pg_partition_root(oid) RETURNS regclass LANGUAGE plpgsql AS $$BEGIN RAISE 'planted'; END$$;
CREATE FUNCTION hostile.planted(name, name) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'planted'; END$$;
CREATE OPERATOR hostile.= (LEFTARG = name, RIGHTARG = name, FUNCTION = hostile.planted);
CREATE FUNCTION hostile.planted(name, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'planted'; END$$;
CREATE OPERATOR hostile.= (LEFTARG = name, RIGHTARG = text, FUNCTION = hostile.planted);
CREATE TEMPORARY TABLE pg_stat_activity (pid integer);
CREATE FUNCTION pg_temp.age(xid) RETURNS integer LANGUAGE plpgsql AS $$BEGIN RAISE 'planted'; END$$;
GRANT USAGE ON SCHEMA hostile TO monitoring_probe;
DO $$
DECLARE
    view text;
BEGIN
    FOR view IN SELECT relname FROM pg_catalog.pg_class WHERE relnamespace = 'fx'::regnamespace AND relkind = 'v' LOOP
        PERFORM set_config('search_path', 'hostile, pg_temp, pg_catalog', true);
        EXECUTE pg_catalog.format('SELECT pg_catalog.string_agg(v::pg_catalog.text, '''') FROM fx.%I v', view);
    END LOOP;
END
$$;
DROP TABLE pg_temp.pg_stat_activity;

-- pg_stat_statements in the database and not in the server, in a schema of its own, of any version, beside a table of that name
CREATE SCHEMA "Odd Schema";
CREATE EXTENSION pg_stat_statements SCHEMA "Odd Schema";
CREATE TABLE public.pg_stat_statements (query text);
SELECT EXISTS (SELECT FROM fx.slow_queries) = EXISTS (SELECT FROM pg_settings WHERE name = 'pg_stat_statements.max') AS empty_or_not;
SELECT reason = 'pg_stat_statements is not in shared_preload_libraries' OR relation::text = '"Odd Schema".pg_stat_statements' AS reason FROM fx.statement_source();
DROP EXTENSION pg_stat_statements;
SELECT * FROM fx.statement_source();

SET client_min_messages = warning;
DROP TABLE public.pg_stat_statements;
DROP SCHEMA "Odd Schema", hostile, m CASCADE;
DROP ROLE monitoring_probe;
