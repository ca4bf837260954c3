-- report.sql
--
-- Tables and a page of pictures from soak.log, soak.samples and soak.sizes.

SET search_path = soak, pg_catalog;
\pset footer off
\pset border 1
\pset null '-'

CREATE TEMP TABLE span AS
SELECT min(at) AS since, max(at) + 0.001 AS until, (max(at) + 0.001 - min(at))::numeric AS seconds FROM log;
CREATE TEMP TABLE parts AS
SELECT l.kind, width_bucket(l.at, s.since, s.until, 40) AS part, count(*) * 40 / s.seconds AS tps,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY l.ms) AS p99
  FROM log AS l, span AS s GROUP BY l.kind, part, s.seconds;
INSERT INTO parts
SELECT 'all', width_bucket(l.at, s.since, s.until, 40) AS part, count(*) * 40 / s.seconds, percentile_cont(0.99) WITHIN GROUP (ORDER BY l.ms)
  FROM log AS l, span AS s GROUP BY part, s.seconds;
CREATE TEMP TABLE lines AS
SELECT k.kind, array_agg(p.tps::float8 ORDER BY n) AS tps, array_agg(p.p99 ORDER BY n) AS p99
  FROM (SELECT DISTINCT kind FROM parts) AS k CROSS JOIN generate_series(1, 40) AS n LEFT JOIN parts AS p ON p.kind = k.kind AND p.part = n
 GROUP BY k.kind;

\echo
\echo 'By kind: latencies in ms, of the first and of the last third of the time. Refusals are answers of a limit.'
WITH thirds AS (
    SELECT coalesce(l.kind, 'all') AS kind, count(*) AS n, percentile_cont('{0.5,0.95,0.99}'::float8[]) WITHIN GROUP (ORDER BY l.ms) FILTER (WHERE l.at < s.since + s.seconds / 3) AS first,
           percentile_cont('{0.5,0.95,0.99}'::float8[]) WITHIN GROUP (ORDER BY l.ms) FILTER (WHERE l.at >= s.until - s.seconds / 3) AS last, max(l.ms) AS max, s.seconds
      FROM log AS l, span AS s GROUP BY GROUPING SETS ((l.kind, s.seconds), (s.seconds))
), refused AS (
    SELECT coalesce(kind, 'all') AS kind, count(*) AS n FROM ledger WHERE outcome IN ('refused', 'rejected') GROUP BY ROLLUP (kind)
)
SELECT t.kind, t.n AS count, round(t.n / t.seconds, 1) AS tps, coalesce(r.n, 0) AS refusals,
       round(t.first[1]::numeric, 2) AS "p50 first", round(t.last[1]::numeric, 2) AS "p50 last", round(t.first[2]::numeric, 2) AS "p95 first", round(t.last[2]::numeric, 2) AS "p95 last",
       round(t.first[3]::numeric, 2) AS "p99 first", round(t.last[3]::numeric, 2) AS "p99 last", round(t.max::numeric, 1) AS max
  FROM thirds AS t LEFT JOIN refused AS r USING (kind) ORDER BY t.kind = 'all', t.kind;

\echo 'Over time, from nothing to the greatest of the line:'
SELECT kind, blocks(tps) AS throughput, blocks(p99) AS "p99 latency" FROM lines ORDER BY kind = 'all', kind;

\echo 'Growth of tables (the twelve largest) against their rows, as the statistics have them:'
WITH ends AS (
    SELECT DISTINCT ON (relation) relation, first_value(table_bytes + index_bytes) OVER w AS before, first_value(live) OVER w AS live_before,
           last_value(table_bytes) OVER w AS table_bytes, last_value(index_bytes) OVER w AS index_bytes, last_value(live) OVER w AS live, last_value(dead) OVER w AS dead
      FROM sizes WINDOW w AS (PARTITION BY relation ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
)
SELECT relation, live_before AS "rows before", live AS rows, dead AS "dead rows", pg_size_pretty(before) AS "before", pg_size_pretty(table_bytes) AS "table", pg_size_pretty(index_bytes) AS indexes,
       round((table_bytes + index_bytes)::numeric / nullif(live, 0)) AS "bytes a row"
  FROM ends ORDER BY table_bytes + index_bytes DESC LIMIT 12;

\echo 'Retention and the other steps of maintenance:'
SELECT step, outcome, count(*) AS runs, sum(rows) AS rows, round(extract(epoch FROM max(finished_at - started_at)) * 1000) AS "longest, ms" FROM fx.maintenance_runs GROUP BY 1, 2 ORDER BY 1, 2;

\echo 'Private memory of the backends of the clients, in MB:'
WITH memory AS (
    SELECT name, at, value / 1024 AS mb FROM samples WHERE name LIKE 'backend %'
), ends AS (
    SELECT name, (array_agg(mb ORDER BY at))[1] AS first,
           (array_agg(mb ORDER BY at) FILTER (WHERE at >= (SELECT min(at) + (max(at) - min(at)) / 3 FROM memory)))[1] AS third, (array_agg(mb ORDER BY at DESC))[1] AS last, max(mb) AS most
      FROM memory GROUP BY name
)
SELECT count(*) AS backends, round(avg(first), 1) AS "at first", round(avg(third), 1) AS "after a third", round(avg(last), 1) AS "at the end", round(max(most), 1) AS most, round(max(last - third), 1) AS "greatest growth since the third"
  FROM ends;
SELECT (SELECT round(max(last - third), 1)
          FROM (SELECT (array_agg(value / 1024 ORDER BY at) FILTER (WHERE at >= (SELECT min(at) + (max(at) - min(at)) / 3 FROM samples WHERE name LIKE 'backend %')))[1] AS third,
                       (array_agg(value / 1024 ORDER BY at DESC))[1] AS last FROM samples WHERE name LIKE 'backend %' GROUP BY name) AS e) > :memory_mb AS grew \gset
\if :grew
INSERT INTO violations_found SELECT 'private memory of a backend grew by more than ' || :memory_mb || ' MB after the first third';
\endif

\echo 'Write-ahead log:'
SELECT pg_size_pretty(max(value) - min(value)) AS wal, pg_size_pretty(round((max(value) - min(value)) / (SELECT count(*) FROM log))) AS "a transaction of a client",
       pg_size_pretty(round((max(value) - min(value)) / extract(epoch FROM max(at) - min(at)))) || '/s' AS rate
  FROM samples WHERE name = 'wal';

\pset tuples_only on
\pset format unaligned
\o :page
SELECT '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Soak</title><style>body{font:14px sans-serif;margin:2em}td{padding:2px 12px}td:nth-child(n+2){min-width:12em}</style><h1>Throughput and latency over time</h1>'
       || '<p>' || (SELECT count(*) FROM log) || ' transactions in ' || (SELECT round(seconds) FROM span) || ' s. Each line has a scale of its own.</p><table><tr><th>kind<th>throughput<th>most, a second<th>p99<th>most, ms';
SELECT format('<tr><td>%s<td>%s<td>%s<td>%s<td>%s', kind, fx.sparkline(ARRAY(SELECT coalesce(u, 0) FROM unnest(tps) AS u)), round((SELECT max(u) FROM unnest(tps) AS u)::numeric, 1),
              fx.sparkline(ARRAY(SELECT coalesce(u, 0) FROM unnest(p99) AS u)), round((SELECT max(u) FROM unnest(p99) AS u)::numeric, 1))
  FROM lines ORDER BY kind = 'all', kind;
SELECT '</table></html>';
\o
