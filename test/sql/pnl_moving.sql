--
-- fx.pnl in a moving window equals a new aggregation of every frame
--
SET search_path = fx, public;
BEGIN;
SELECT setseed(0.25);
-- part 0 random with break-even and NULLs, 1 two outcomes (stop and target), 2
-- falling, 3 rising, 4 nothing but NULL, 5 columns at their limits
CREATE TEMPORARY TABLE row_set ON COMMIT DROP AS
SELECT part, n, at,
       CASE part
           WHEN 0 THEN CASE WHEN random() < 0.2 THEN NULL ELSE (ARRAY[0, round((random() * 400 - 190)::numeric, 2), (random() * 10 - 5)::numeric])[1 + (random() * 2)::integer] END
           WHEN 1 THEN CASE WHEN random() < 0.6 THEN -20 ELSE 40 END
           WHEN 2 THEN 100 - n
           WHEN 3 THEN n - 100.5
           WHEN 5 THEN (ARRAY[9999999999.99999999, -9999999999.99999999, 0.00000001, NULL])[1 + (random() * 3)::integer]
       END AS profit,
       CASE WHEN random() < 0.9 THEN round((random() * 3)::numeric, 8) END AS commission,
       CASE WHEN random() < 0.9 THEN round((random() - 0.6)::numeric, 8) END AS swap,
       random() < 0.7 AS counted
  FROM (SELECT part, n, timestamptz '2024-01-01 00:00+00' + (n + (n % 7)) / 2 * interval '1 hour' AS at
          FROM generate_series(0, 5) AS part, generate_series(1, 200) AS n) AS r;
CREATE TEMPORARY TABLE value_set ON COMMIT DROP AS
SELECT part, n, CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN '1:0,0,0,0,0,0,0,0,0,0'::pnl ELSE fx.pnl_agg(profit, commission, swap) END AS p
  FROM (SELECT part, n / 3 AS n, profit, commission, swap FROM row_set) AS r
 GROUP BY part, n;
CREATE INDEX ON row_set (part, n);
CREATE INDEX ON value_set (part, n);

-- each form over a frame given in rows before and after, against a subquery for every row
CREATE FUNCTION pg_temp.wrong(frame text, low integer, high integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    wrong bigint[];
BEGIN
    EXECUTE format($q$
        SELECT ARRAY[count(*),
                     count(*) FILTER (WHERE a IS DISTINCT FROM (SELECT fx.pnl_agg(o.profit) FROM row_set o WHERE o.part = w.part AND o.n - w.n BETWEEN %2$s AND %3$s)),
                     count(*) FILTER (WHERE b IS DISTINCT FROM (SELECT fx.pnl_agg(o.profit, o.commission, o.swap) FROM row_set o WHERE o.part = w.part AND o.n - w.n BETWEEN %2$s AND %3$s)),
                     count(*) FILTER (WHERE c IS DISTINCT FROM (SELECT fx.pnl_agg(o.profit, o.commission, o.swap) FROM row_set o WHERE o.part = w.part AND o.counted AND o.n - w.n BETWEEN %2$s AND %3$s))]
          FROM (SELECT part, n, fx.pnl_agg(profit) OVER f AS a, fx.pnl_agg(profit, commission, swap) OVER f AS b,
                       fx.pnl_agg(profit, commission, swap) FILTER (WHERE counted) OVER f AS c
                  FROM row_set WINDOW f AS (PARTITION BY part ORDER BY n %1$s) OFFSET 0) AS w$q$, frame, low, high) INTO wrong;
    EXECUTE format($q$
        SELECT $1 || count(*) || count(*) FILTER (WHERE p IS DISTINCT FROM (SELECT fx.rollup(o.p) FROM value_set o WHERE o.part = w.part AND o.n - w.n BETWEEN %2$s AND %3$s))
          FROM (SELECT part, n, fx.rollup(p) OVER (PARTITION BY part ORDER BY n %1$s) AS p FROM value_set OFFSET 0) AS w$q$, frame, low, high)
       INTO wrong USING wrong;
    RETURN array_to_string(wrong, ' ');
END
$$;
SELECT frame, pg_temp.wrong(frame, low, high) AS "rows, wrong by form; values, wrong"
  FROM (VALUES ('ROWS BETWEEN 0 PRECEDING AND CURRENT ROW', 0, 0), ('ROWS 1 PRECEDING', -1, 0), ('ROWS 20 PRECEDING', -20, 0),
               ('ROWS BETWEEN 3 PRECEDING AND 4 FOLLOWING', -3, 4), ('ROWS BETWEEN 30 PRECEDING AND 10 PRECEDING', -30, -10),
               ('ROWS BETWEEN 2 FOLLOWING AND 5 FOLLOWING', 2, 5), ('ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING', 0, 1000),
               ('ROWS BETWEEN 10 PRECEDING AND UNBOUNDED FOLLOWING', -10, 1000), ('ROWS UNBOUNDED PRECEDING', -1000, 0),
               ('RANGE BETWEEN 7 PRECEDING AND 2 FOLLOWING', -7, 2), ('GROUPS BETWEEN 5 PRECEDING AND CURRENT ROW', -5, 0),
               ('ROWS BETWEEN 5 PRECEDING AND 9 PRECEDING', 1, 0)) AS v (frame, low, high);

-- frames with drawn bounds
CREATE FUNCTION pg_temp.bound(away integer) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN away < 0 THEN -away || ' PRECEDING' ELSE away || ' FOLLOWING' END
$$;
SELECT count(*) AS frames, count(*) FILTER (WHERE wrong = '1200 0 0 0 402 0') AS right
  FROM (SELECT pg_temp.wrong(format('ROWS BETWEEN %s AND %s', pg_temp.bound(low), pg_temp.bound(low + width)), low, low + width) AS wrong
          FROM (SELECT (random() * 60 - 40)::integer AS low, (random() * 30)::integer AS width FROM generate_series(1, 8)) AS d) AS w;

-- a frame of time, with peers
SELECT count(*) AS rows, count(*) FILTER (WHERE p IS DISTINCT FROM (
           SELECT fx.pnl_agg(o.profit, o.commission, o.swap) FROM row_set o
            WHERE o.part = w.part AND o.at BETWEEN w.at - interval '8 hours' AND w.at + interval '1 hour')) AS wrong
  FROM (SELECT part, at, fx.pnl_agg(profit, commission, swap) OVER (PARTITION BY part ORDER BY at RANGE BETWEEN '8 hours' PRECEDING AND '1 hour' FOLLOWING) AS p
          FROM row_set OFFSET 0) AS w;
-- EXCLUDE, and an argument that is volatile, do without removal
SELECT count(*) FILTER (WHERE a IS DISTINCT FROM b) AS wrong, count(*) FILTER (WHERE a IS DISTINCT FROM c) AS without_the_row
  FROM (SELECT fx.pnl_agg(profit) OVER (PARTITION BY part ORDER BY n ROWS 9 PRECEDING) AS a,
               fx.pnl_agg(profit + random()::integer * 0) OVER (PARTITION BY part ORDER BY n ROWS 9 PRECEDING) AS b,
               fx.pnl_agg(profit) OVER (PARTITION BY part ORDER BY n ROWS 9 PRECEDING EXCLUDE CURRENT ROW) AS c
          FROM row_set) AS w;

-- the frame is not added up again for each row: its argument is read twice
CREATE SEQUENCE pg_temp.reads;
CREATE FUNCTION pg_temp.read(x numeric) RETURNS numeric LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM nextval('pg_temp.reads');
    RETURN x;
END
$$;
SELECT count(p) FROM (SELECT fx.pnl_agg(pg_temp.read(profit)) OVER (ORDER BY n ROWS 99 PRECEDING) AS p FROM row_set WHERE part = 2) AS w;
SELECT nextval('pg_temp.reads') < 2 * 200 AS removed_not_repeated;

-- a value handed out is not changed by the rows after it
SELECT n, fx.trade_count(p), fx.largest_win(p), fx.largest_loss(p)
  FROM (SELECT n, fx.pnl_agg(profit) OVER (ORDER BY n ROWS 2 PRECEDING) AS p FROM row_set WHERE part = 3 AND n BETWEEN 98 AND 104 OFFSET 0) AS w
 ORDER BY n DESC;
ROLLBACK;

-- errors are those of the plain form
\set VERBOSITY terse
SELECT fx.pnl_agg(x) OVER (ORDER BY n ROWS 1 PRECEDING) FROM (VALUES (1, 1), (2, 'NaN'::numeric)) AS v (n, x);
SELECT fx.pnl_agg(x) OVER (ORDER BY n ROWS 1 PRECEDING) FROM (VALUES (1, 1.7e30), (2, 1.7e30)) AS v (n, x);
SELECT fx.pnl_agg(x, x, 0) OVER (ORDER BY n ROWS 1 PRECEDING) FROM (VALUES (1, 1.7e30), (2, 1.7e30)) AS v (n, x);
-- what never shares a frame is never added
SELECT fx.net_profit(fx.pnl_agg(x) OVER (ORDER BY n ROWS CURRENT ROW)) FROM (VALUES (1, 1.7e30), (2, 1.7e30)) AS v (n, x);
SELECT fx.commission(fx.pnl_agg(0, x, x) OVER (ORDER BY n ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING))
  FROM (VALUES (1, -1.6e30), (2, 1.6e30), (3, -1.6e30)) AS v (n, x);
SELECT fx.swap(fx.rollup(p) OVER (ORDER BY n ROWS BETWEEN CURRENT ROW AND 2 FOLLOWING))
  FROM (SELECT n, fx.pnl_agg(0, x, x) AS p FROM (VALUES (1, -1e30), (2, 1.6e30), (3, -1e30), (4, 1)) AS v (n, x) GROUP BY n) AS w;
-- and what leaves the frame fails where adding up the rest would
SELECT fx.pnl_agg(0, x, x) OVER (ORDER BY n ROWS 2 PRECEDING) FROM (VALUES (1, -1.6e30), (2, 1.6e30), (3, 1.6e30), (4, -1.6e30)) AS v (n, x);
SELECT fx.pnl_agg(-x, 0, x) OVER (ORDER BY n ROWS 2 PRECEDING) FROM (VALUES (1, -1.6e30), (2, 1.6e30), (3, 1.6e30), (4, -1.6e30)) AS v (n, x);
