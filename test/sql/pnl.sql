--
-- fx.pnl equals plain SQL, for any order and any split of the rows
--
-- the operators of fx.pnl are in fx
SET search_path = fx, public;
BEGIN;
-- one row a group in exact plain SQL; averages rounded as ours are
CREATE FUNCTION pg_temp.div(num numeric, den numeric) RETURNS numeric LANGUAGE sql AS $$
    SELECT round(num * 1::numeric(61, 60) / nullif(den, 0), 8)
$$;
SELECT setseed(0.75);
-- cents, full columns at their limits, JavaScript's digits, break-even, NULLs
CREATE TEMPORARY TABLE row_set ON COMMIT DROP AS
SELECT g, profit, commission, swap
  FROM (SELECT g, n,
               CASE g % 8
                   WHEN 0 THEN round(((random() - 0.45) * 500)::numeric, 2)
                   WHEN 1 THEN (ARRAY[9999999999.99999999, -9999999999.99999999, 0.00000001, -0.00000001])[1 + (random() * 3)::integer]
                   WHEN 2 THEN ((random() - 0.5) * 100)::numeric + (random() / 1e10)::numeric
                   WHEN 3 THEN 0
                   WHEN 4 THEN 1 + n
                   WHEN 5 THEN CASE WHEN random() < 0.5 THEN round((random() * 10)::numeric, 3) END
                   WHEN 6 THEN (random() * 1e9)::numeric * 123456789012345 + 0.123456785
                   ELSE -7.5
               END AS profit,
               CASE WHEN g < 8 THEN 0 WHEN random() < 0.9 THEN round((random() * 3)::numeric, 8) END AS commission,
               CASE WHEN g < 8 THEN NULL ELSE round((random() - 0.6)::numeric, (random() * 12)::integer) END AS swap
          FROM generate_series(0, 31) AS g, generate_series(1, 1 + g * g) AS n) AS r;
CREATE TEMPORARY TABLE expected ON COMMIT DROP AS
SELECT g, count(net) AS n, count(*) FILTER (WHERE net > 0) AS w, count(*) FILTER (WHERE net < 0) AS l,
       coalesce(sum(net) FILTER (WHERE net > 0), 0) AS gp, coalesce(sum(net) FILTER (WHERE net < 0), 0) AS gl,
       sum(c) AS c, sum(s) AS s, sum(net) AS net,
       max(net) FILTER (WHERE net > 0) AS lw, min(net) FILTER (WHERE net < 0) AS ll,
       stddev_samp(net * 1::numeric(31, 30)) AS sd
  FROM (SELECT g, round(profit, 8) - coalesce(round(commission, 8), 0) + coalesce(round(swap, 8), 0) AS net,
               coalesce(round(commission, 8), 0) AS c, coalesce(round(swap, 8), 0) AS s
          FROM row_set WHERE profit IS NOT NULL) AS r
 GROUP BY g;
CREATE TEMPORARY TABLE ours ON COMMIT DROP AS
SELECT g, fx.pnl_agg(profit, commission, swap) AS p FROM row_set GROUP BY g;

SELECT count(*) AS groups, sum(n) AS trades FROM expected;
SELECT e.g AS wrong_group
  FROM expected e FULL JOIN ours o ON o.g = e.g AND o.p IS NOT NULL
 WHERE (fx.trade_count(p), fx.win_count(p), fx.loss_count(p), fx.breakeven_count(p)) IS DISTINCT FROM (n, w, l, n - w - l)
    OR (fx.gross_profit(p), fx.gross_loss(p), fx.commission(p), fx.swap(p), fx.net_profit(p)) IS DISTINCT FROM (gp, gl, c, s, e.net)
    OR (fx.average_profit(p), fx.expectancy(p), fx.average_win(p), fx.average_loss(p))
        IS DISTINCT FROM (pg_temp.div(e.net, n), pg_temp.div(e.net, n), pg_temp.div(gp, w), pg_temp.div(gl, l))
    OR (fx.largest_win(p), fx.largest_loss(p)) IS DISTINCT FROM (lw, ll)
 ORDER BY 1;
-- ratios within 1e-14, NULL where they are undefined
SELECT e.g AS wrong_group, what, ours, theirs
  FROM expected e JOIN ours o USING (g), LATERAL (VALUES
       ('win_rate', fx.win_rate(p)::numeric, w::numeric / nullif(n, 0)),
       ('profit_factor', fx.profit_factor(p)::numeric, gp * 1::numeric(31, 30) / nullif(-gl, 0)),
       ('payoff_ratio', fx.payoff_ratio(p)::numeric, CASE WHEN w > 0 THEN gp * l * 1::numeric(31, 30) / nullif(-gl * w, 0) END),
       ('stddev', fx.stddev(p)::numeric, sd)) AS v (what, ours, theirs)
 WHERE (ours IS NULL) <> (theirs IS NULL) OR abs(ours - theirs) > 1e-14 * abs(theirs)
 ORDER BY 1, 2;

-- any order, any split, stored and merged again: the same bytes
CREATE TEMPORARY TABLE whole ON COMMIT DROP AS
SELECT fx.pnl_agg(profit, commission, swap) AS p FROM row_set WHERE g % 8 <> 6;
SELECT (SELECT fx.pnl_agg(profit, commission, swap ORDER BY md5(profit::text)) FROM row_set WHERE g % 8 <> 6) = p AS order_does_not_matter,
       (SELECT fx.rollup(o.p) FROM ours o WHERE g % 8 <> 6) = p AS nor_does_the_split,
       (SELECT fx.rollup(o.p::text::fx.pnl ORDER BY g DESC) FROM ours o WHERE g % 8 <> 6) = p AS nor_text
  FROM whole;
-- parallel workers too
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
CREATE TABLE public.pnl_parallel AS SELECT * FROM row_set;
ALTER TABLE public.pnl_parallel SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT fx.pnl_agg(profit, commission, swap) FROM public.pnl_parallel WHERE g % 8 <> 6;
SELECT (SELECT fx.pnl_agg(profit, commission, swap) FROM public.pnl_parallel WHERE g % 8 <> 6) = p AS parallel_is_serial FROM whole;
SET LOCAL max_parallel_workers_per_gather = 0;

-- the form with one argument takes the profit as net
SELECT bool_and(a = b) AS same
  FROM (SELECT fx.pnl_agg(profit) AS a, fx.pnl_agg(profit, 0, NULL) AS b FROM row_set GROUP BY g) AS r;
-- no rows, no profits
SELECT fx.pnl_agg(1) IS NULL AS none, fx.pnl_agg(1, 1, 1) IS NULL AS none_either, fx.rollup(NULL::fx.pnl) IS NULL AS nor_rolled
  FROM row_set WHERE false;
SELECT fx.pnl_agg(NULL) IS NULL AS only_nulls, fx.trade_count(fx.pnl_agg(x)) AS nulls_skipped
  FROM (VALUES (1), (NULL), (2)) AS v (x) WHERE true GROUP BY x IS NULL ORDER BY 2;

-- FILTER, GROUPING SETS, windows, DISTINCT and GROUP BY of values, materialised views
SELECT fx.net_profit(fx.pnl_agg(x) FILTER (WHERE x > 1)) AS filtered FROM generate_series(1, 4) AS x;
SELECT x % 2 AS odd, fx.net_profit(fx.pnl_agg(x)) FROM generate_series(1, 4) AS x GROUP BY ROLLUP (x % 2) ORDER BY 1;
SELECT x, fx.net_profit(fx.pnl_agg(x) OVER (ORDER BY x)) AS running,
       fx.net_profit(fx.pnl_agg(x) OVER (ORDER BY x ROWS 1 PRECEDING)) AS moving
  FROM generate_series(1, 4) AS x ORDER BY x;
SELECT count(*) AS distinct_values
  FROM (SELECT DISTINCT p FROM (SELECT fx.pnl_agg(x) AS p FROM generate_series(1, 6) AS x GROUP BY x % 3, x
                                UNION ALL SELECT fx.pnl_agg(1)) AS v) AS d;
SELECT count(*) FROM (SELECT fx.pnl_agg(1) AS p) a JOIN (SELECT fx.pnl_agg(1.0) AS p) b USING (p);
SELECT p <> q AS differ FROM (SELECT fx.pnl_agg(1) AS p, fx.pnl_agg(2) AS q) AS v;
SELECT x, fx.trade_count(p) FROM (SELECT x, fx.pnl_agg(x) OVER (ORDER BY x) AS p FROM generate_series(1, 4) AS x OFFSET 0) AS v ORDER BY x DESC;
CREATE MATERIALIZED VIEW public.pnl_stored AS SELECT g, fx.pnl_agg(profit, commission, swap) AS p FROM public.pnl_parallel GROUP BY g;
SELECT bool_and(s.p IS NOT DISTINCT FROM o.p) AS stored FROM public.pnl_stored s JOIN ours o USING (g);
-- binary output and input
SELECT bool_and(encode(fx.pnl_send(p), 'hex') IS NOT NULL) AS sent, min(octet_length(fx.pnl_send(p))) AS bytes FROM ours WHERE p IS NOT NULL;

-- 400 maximal values: their squares pass 2^127 by far
SELECT fx.stddev(fx.pnl_agg(x)) BETWEEN 10012523486 AND 10012523487 AS wide
  FROM (SELECT 9999999999.99999999 * CASE n % 2 WHEN 0 THEN 1 ELSE -1 END AS x FROM generate_series(1, 400) AS n) AS v;

-- zero, however it is written; nothing and nothing
SELECT fx.pnl_agg(z) FROM (VALUES (0::numeric(80, 70)), (0), (-0.0), (1e-30)) AS v (z);
SELECT fx.pnl_combine(NULL, NULL) IS NULL AS none;
-- hashes with and without a seed
SELECT fx.pnl_hash_extended(p, 0) & 4294967295 = fx.pnl_hash(p)::bigint & 4294967295 AS same, fx.pnl_hash_extended(p, 0) <> fx.pnl_hash_extended(p, 1) AS seeded
  FROM (SELECT fx.pnl_agg(1) AS p) AS v;

-- everything at once, as a row and as JSON
SELECT (fx.summary(fx.pnl_agg(x, 0.5, -0.25))).* FROM (VALUES (10), (-4), (0.75), (3)) AS v (x) \gx
SELECT fx.pnl_agg(x)::fx.pnl_summary FROM (VALUES (1)) AS v (x);
SELECT fx.pnl_agg(1)::jsonb @> '{"averageLoss": null, "largestLoss": null, "profitFactor": null, "payoffRatio": null, "stddev": null}' AS nulls;
SELECT jsonb_pretty(fx.pnl_agg(x)::jsonb) FROM (VALUES (1.50), (-0.000000015)) AS v (x);
-- called by hand a value is not changed in place
SELECT a, fx.pnl_accum(a, 5) AS b, fx.pnl_accum(a, NULL) = a AS same, fx.pnl_combine(a, a) AS c, fx.pnl_combine(NULL, a) = a AS copied
  FROM (SELECT '1:1,1,0,2,0,0,0,2,0,8e1bc9bf040000'::fx.pnl AS a) AS v;
ROLLBACK;
