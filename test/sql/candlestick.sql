--
-- fx.candlestick equals plain SQL, for any order and any split of the rows
--
-- the operators of fx.candlestick are in fx
SET search_path = fx, public;
SET timezone = 'UTC';
BEGIN;
SELECT setseed(0.25);
-- n is the order of arrival.  Group 0 has minutes as they come, the others few
-- times with many rows each; prices up to the limits, of any sign, with more
-- decimals than are kept; volumes of group 3 are NULL, of others some
CREATE TEMPORARY TABLE candle ON COMMIT DROP AS
SELECT g, n, ts, o, greatest(o, c) + up AS h, least(o, c) - down AS l, c, v
  FROM (SELECT g, n,
               CASE WHEN g = 0 THEN timestamptz '2024-01-01 00:00+00' + n * interval '1 minute'
                    ELSE timestamptz '2024-03-10 05:00+00' + (random() * g * 3)::integer * interval '1 second' END AS ts,
               CASE g % 4 WHEN 0 THEN round((random() * 2)::numeric, 5)
                          WHEN 1 THEN (ARRAY[9999999998.99999999, -9999999998.99999999, 0.00000001, -0.00000001, 0])[1 + (random() * 4)::integer]
                          WHEN 2 THEN (random() * 1000)::numeric * 1.000000001234567
                          ELSE round((random() * 100000)::numeric, 2) END AS o,
               CASE g % 4 WHEN 1 THEN -5.5 ELSE round((random() * 1000)::numeric, 8) END AS c,
               CASE WHEN random() < 0.3 THEN 0 ELSE round(random()::numeric, 4) END AS up,
               CASE WHEN random() < 0.3 THEN 0 ELSE round(random()::numeric, 4) END AS down,
               CASE WHEN g = 3 OR random() < 0.1 THEN NULL ELSE (random() * 1000000)::bigint END AS v
          FROM generate_series(0, 40) AS g, generate_series(1, 1 + 12 * g) AS n) AS r;
-- one column missing: to be skipped
INSERT INTO candle
SELECT g, 100000 + n, CASE WHEN n <> 1 THEN timestamptz '2000-01-01 00:00+00' END, CASE WHEN n <> 2 THEN -1e9 END, CASE WHEN n <> 3 THEN 1e9 END,
       CASE WHEN n <> 4 THEN -1e9 END, CASE WHEN n <> 5 THEN 1e9 END, 1000
  FROM generate_series(0, 40, 7) AS g, generate_series(1, 5) AS n;
CREATE TEMPORARY TABLE expected ON COMMIT DROP AS
SELECT g, (array_agg(round(o, 8) ORDER BY ts, n))[1] AS o, round(max(h), 8) AS h, round(min(l), 8) AS l,
       (array_agg(round(c, 8) ORDER BY ts DESC, n DESC))[1] AS c, sum(v)::bigint AS v, min(ts) AS first_at, max(ts) AS last_at
  FROM candle WHERE num_nulls(ts, o, h, l, c) = 0 GROUP BY g;
-- in the order of arrival
CREATE TEMPORARY TABLE ours ON COMMIT DROP AS
SELECT g, fx.candlestick_agg(ts, o, h, l, c, v) AS k FROM (SELECT * FROM candle ORDER BY n, g OFFSET 0) AS r GROUP BY g;

SELECT count(*) AS groups, count(v) AS with_volume FROM expected;
SELECT g AS wrong_group
  FROM expected FULL JOIN ours USING (g)
 WHERE (fx.open(k), fx.high(k), fx.low(k), fx.close(k), fx.volume(k), fx.first_at(k), fx.last_at(k))
       IS DISTINCT FROM (o, h, l, c, v, first_at, last_at)
 ORDER BY 1;
SELECT bool_and(scale(fx.open(k)) = 8 AND scale(fx.high(k)) = 8 AND scale(fx.low(k)) = 8 AND scale(fx.close(k)) = 8) AS eight_decimals FROM ours;

-- Without ties any order gives the same bytes: arrival reversed, by hash, and
-- stored and merged in parts that overlap in time
CREATE TEMPORARY TABLE single ON COMMIT DROP AS
SELECT g, row_number() OVER (ORDER BY md5(g::text || n)) AS n, timestamptz '2020-01-01 00:00+00' + row_number() OVER (ORDER BY random()) * interval '1 second' AS ts, o, h, l, c, v
  FROM candle WHERE num_nulls(ts, o, h, l, c) = 0;
CREATE TEMPORARY TABLE whole ON COMMIT DROP AS
SELECT fx.candlestick_agg(ts, o, h, l, c, v ORDER BY ts) AS k FROM single;
SELECT (SELECT fx.candlestick_agg(ts, o, h, l, c, v ORDER BY ts DESC) FROM single) = k AS reversed,
       (SELECT fx.candlestick_agg(ts, o, h, l, c, v ORDER BY n) FROM single) = k AS shuffled,
       (SELECT fx.rollup(p) FROM (SELECT fx.candlestick_agg(ts, o, h, l, c, v) AS p FROM single GROUP BY n % 37) AS parts) = k AS split,
       (SELECT fx.rollup(p::text::fx.candlestick ORDER BY i DESC) FROM (SELECT n / 100 AS i, fx.candlestick_agg(ts, o, h, l, c, v) AS p FROM single GROUP BY 1) AS parts) = k AS as_text,
       (SELECT fx.rollup(fx.candlestick(ts, o, h, l, c, v)) FROM single) = k AS by_constructor
  FROM whole;
-- with ties too, where the parts come in the order of arrival
SELECT count(*) FILTER (WHERE whole IS DISTINCT FROM k) AS wrong
  FROM (SELECT g, fx.rollup(p ORDER BY part) AS whole
          FROM (SELECT g, n / 7 AS part, fx.candlestick_agg(ts, o, h, l, c, v ORDER BY n) AS p FROM candle GROUP BY 1, 2) AS parts
         GROUP BY g) AS r FULL JOIN ours USING (g);
-- of two rows of one time the first to arrive opens, the last one closes
SELECT fx.candlestick_agg(ts, x, 10, 0, x, 1 ORDER BY x) AS up, fx.candlestick_agg(ts, x, 10, 0, x, 1 ORDER BY x DESC) AS down,
       fx.candlestick_agg(ts, x ORDER BY x) AS ticks_up, fx.candlestick_agg(ts, x ORDER BY x DESC) AS ticks_down
  FROM generate_series(1, 3) AS x, (VALUES (timestamptz '2024-01-01 00:00+00')) AS v (ts);
SELECT fx.candlestick_combine(a, b) AS ab, fx.candlestick_combine(b, a) AS ba,
       (SELECT fx.rollup(x ORDER BY n) FROM (VALUES (1, a), (2, NULL), (3, b)) AS w (n, x)) AS rolled
  FROM (SELECT fx.candlestick('2024-01-01', 1, 4, 0, 2, 1) AS a, fx.candlestick('2024-01-01', 2, 3, 1, 3, NULL) AS b) AS v;

-- parallel workers
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
CREATE TABLE public.candlestick_parallel AS SELECT * FROM single;
ALTER TABLE public.candlestick_parallel SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT fx.candlestick_agg(ts, o, h, l, c, v) FROM public.candlestick_parallel;
SELECT (SELECT fx.candlestick_agg(ts, o, h, l, c, v) FROM public.candlestick_parallel) = k AS parallel_is_serial,
       (SELECT fx.rollup(fx.candlestick(ts, o, h, l, c, v)) FROM public.candlestick_parallel) = k AS rollup_too,
       (SELECT fx.candlestick_agg(ts, o) FROM public.candlestick_parallel)
       = (SELECT fx.candlestick_agg(ts, o, o, o, o, NULL) FROM single) AS ticks_too
  FROM whole;
SET LOCAL max_parallel_workers_per_gather = 0;

-- ticks: a candle of which all prices are one
SELECT count(*) FILTER (WHERE t IS DISTINCT FROM e) AS wrong
  FROM (SELECT fx.candlestick_agg(ts, o ORDER BY n) AS t, fx.candlestick_agg(ts, o, o, o, o, NULL ORDER BY n) AS e FROM candle GROUP BY g) AS r;
-- a candle of one row, as text, as JSON
SELECT k, fx.first_at(k) = fx.last_at(k) AS same_time, fx.candlestick('2024-03-10 07:00+00', 1.1, 1.25, 1.05, 1.2, 42) = k AS same
  FROM (SELECT fx.candlestick_agg('2024-03-10 07:00+00', 1.1, 1.25, 1.05, 1.2, 42) AS k) AS v;
SELECT jsonb_pretty(fx.candlestick_agg(ts, p, p, p, p, v)::jsonb) AS json
  FROM (VALUES (timestamptz '2024-03-10 07:00+00', 1.100000005, 42), ('2024-03-10 07:00:00.25+00', 150, NULL), ('2024-03-10 08:00+00', -0.000000015, 9000000000000)) AS t (ts, p, v);
SELECT fx.candlestick_agg('2024-01-01', 1)::jsonb -> 'volume' AS no_volume;
-- volume: NULLs are skipped as by sum(), zero is a volume
SELECT fx.volume(fx.candlestick_agg('2024-01-01', 1, 1, 1, 1, v)) AS volume
  FROM (VALUES (1, 0), (1, NULL), (2, NULL), (3, 9223372036854775806), (3, 1)) AS t (g, v) GROUP BY g ORDER BY g;
-- no rows, nothing but NULLs
SELECT fx.candlestick_agg(now(), 1, 1, 1, 1, 1) IS NULL AS none, fx.candlestick_agg(now(), 1) IS NULL AS no_ticks, fx.rollup(NULL::fx.candlestick) IS NULL AS none_rolled
  FROM candle WHERE false;
SELECT fx.candlestick_agg(NULL, 1, 1, 1, 1, 1) IS NULL AS skipped, fx.candlestick_agg(NULL, 1) IS NULL AND fx.candlestick_agg(now(), NULL) IS NULL AS ticks,
       fx.rollup(NULL::fx.candlestick) IS NULL AS rolled, fx.candlestick(now(), 1, 1, NULL, 1, 1) IS NULL AS made,
       fx.candlestick(NULL, 1, 1, 1, 1, 1) IS NULL AS timeless, fx.open(NULL::fx.candlestick) IS NULL AND fx.volume(NULL::fx.candlestick) IS NULL AND fx.last_at(NULL::fx.candlestick) IS NULL AS read;
-- a bad candle that is skipped is not looked at
SELECT fx.candlestick_agg('infinity', 'NaN', 1, 2, NULL, -1) IS NULL AS not_looked_at;

-- FILTER, GROUPING SETS, windows, DISTINCT and GROUP BY of values, materialised views
SELECT fx.close(fx.candlestick_agg(t, x) FILTER (WHERE x < 3)) AS filtered
  FROM generate_series(1, 4) AS x, LATERAL (SELECT timestamptz '2024-01-01' + x * interval '1 hour' AS t) AS v;
SELECT x % 2 AS odd, fx.open(fx.candlestick_agg(t, x)), fx.close(fx.candlestick_agg(t, x))
  FROM generate_series(1, 4) AS x, LATERAL (SELECT timestamptz '2024-01-01' + x * interval '1 hour' AS t) AS v GROUP BY ROLLUP (x % 2) ORDER BY 1;
SELECT x, fx.high(running) AS running, fx.low(moving) AS moving
  FROM (SELECT x, fx.candlestick_agg(t, x) OVER (ORDER BY x) AS running, fx.candlestick_agg(t, x) OVER (ORDER BY x ROWS 1 PRECEDING) AS moving
          FROM generate_series(1, 4) AS x, LATERAL (SELECT timestamptz '2024-01-01' + x * interval '1 hour' AS t) AS v OFFSET 0) AS w ORDER BY x DESC;
SELECT count(*) AS distinct_values
  FROM (SELECT DISTINCT k FROM (SELECT k FROM ours UNION ALL SELECT k::text::fx.candlestick FROM ours) AS u) AS d;
SELECT count(*) AS joined FROM ours a JOIN (SELECT k::text::fx.candlestick AS k FROM ours) b USING (k);
SELECT a <> b AS differ, a = b AS equal FROM (SELECT fx.candlestick('2024-01-01', 1, 1, 1, 1, 0) AS a, fx.candlestick('2024-01-01', 1, 1, 1, 1, NULL) AS b) AS v;
SELECT fx.candlestick_hash(k) = fx.candlestick_hash(k::text::fx.candlestick) AS same, fx.candlestick_hash_extended(k, 0) & 4294967295 = fx.candlestick_hash(k)::bigint & 4294967295 AS unseeded,
       fx.candlestick_hash_extended(k, 0) <> fx.candlestick_hash_extended(k, 1) AS seeded FROM whole;
CREATE MATERIALIZED VIEW public.candlestick_stored AS SELECT n % 10 AS part, fx.candlestick_agg(ts, o, h, l, c, v) AS k FROM public.candlestick_parallel GROUP BY 1;
SELECT (SELECT fx.rollup(k) FROM public.candlestick_stored) = k AS stored, (SELECT min(pg_column_size(k)) FROM public.candlestick_stored) AS bytes FROM whole;

-- text and back
SELECT count(*) FILTER (WHERE k::text::fx.candlestick IS DISTINCT FROM k OR k::text::fx.candlestick::text <> k::text) AS wrong FROM ours;
SELECT t::fx.candlestick AS value
  FROM unnest(ARRAY['1:2024-01-01T00:00:00+00:00,2024-01-01T00:00:00+00:00,1,1,1,1,', '1:2024-01-01,2024-01-01T01:00:00+01,1.10,2.,.5,1e0,7.0',
                    '1:0001-01-01T00:00:00+00:00,9999-12-31T23:59:59.999999+00:00,-9999999999.99999999,9999999999.99999999,-9999999999.99999999,0,9223372036854775807']) WITH ORDINALITY AS v (t, n)
 ORDER BY n;
-- as the neighbours are
SELECT fx.candlestick('0001-01-01 00:00+00', -9999999999.99999999, 0, -9999999999.99999999, 0, NULL) AS least,
       fx.candlestick('9999-12-31 23:59:59.999999+00', 9999999999.999999994, 9999999999.99999999, 0, 0, 9223372036854775807) AS most;

-- called by hand a value is not changed in place
SELECT a, fx.candlestick_accum(a, '2024-01-02', 5) AS b, fx.candlestick_accum(a, '2024-01-02', 5, 6, 4, 5, 1) AS c, fx.candlestick_accum(a, NULL, 5) = a AS same,
       fx.candlestick_accum(a, '2024-01-02', 5, 6, 4, NULL, 1) = a AS same_too, fx.candlestick_combine(a, fx.candlestick('2023-01-01', 9, 9, 9, 9, 9)) AS d,
       fx.candlestick_combine(NULL, a) = a AS copied, fx.candlestick_combine(a, NULL) = a AS kept, fx.candlestick_combine(NULL, NULL) IS NULL AS none, a AS still
  FROM (SELECT '1:2024-01-01,2024-01-01,1,2,0.5,1.5,7'::fx.candlestick AS a OFFSET 0) AS v \gx
ROLLBACK;
