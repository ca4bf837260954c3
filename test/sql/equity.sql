--
-- Equity curves equal those of the slow oracle, and are JSONB as the server
-- itself writes it
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set oracle :abs_srcdir '/oracle.sql'
\set ECHO none
BEGIN;
\i :oracle
\set ECHO all
SET LOCAL timezone = 'America/St_Johns';

SELECT setseed(0.5);
CREATE TEMPORARY TABLE sample ON COMMIT DROP AS
SELECT shape, size, oracle.sample(size, shape) AS trades
  FROM unnest('{plain,large,javascript,losing,unordered,equal,shuffled,past,untimed,strings,executed}'::text[]) AS shape,
       unnest('{0,1,2,3,30,31,32,33,63,64,65,500}'::integer[]) AS size;

-- as rows
SELECT shape, size, count(*) AS wrong
  FROM sample, LATERAL (
       SELECT seq::bigint, closed_at, net_profit, equity, peak, drawdown FROM fx.equity_points(trades, 12345.67)
       EXCEPT
       SELECT i, closed, net, equity, peak, drawdown FROM oracle.points(trades, 12345.67)) AS d
 GROUP BY shape, size;
SELECT count(*) AS fractions_off
  FROM sample, fx.equity_points(trades, 12345.67) AS p JOIN oracle.points(trades, 12345.67) AS o ON o.i = p.seq
 WHERE abs(p.drawdown_fraction::numeric - o.fraction) > 1e-14 * o.fraction;
SELECT count(*) AS points,
       count(*) = (SELECT sum(size + 1) FROM sample) AS one_a_trade_and_the_start
  FROM sample, fx.equity_points(trades);

-- as JSON: the same value, for arrays across several strides of offsets; the
-- fractions of amounts beyond 2^53 were compared above
SELECT shape, size FROM sample
 WHERE shape <> 'large' AND fx.equity_curve(trades, 12345.67) <> oracle.curve(trades, 12345.67);
SELECT shape, size FROM sample
 WHERE jsonb_path_query_array(fx.equity_curve(trades), '$[*].equity')
    <> jsonb_path_query_array(oracle.curve(trades, 10000), '$[*].equity');
-- and the same bytes as the value that its own text gives
CREATE TEMPORARY TABLE layout (ours jsonb, pushed jsonb) ON COMMIT DROP;
ALTER TABLE layout ALTER ours SET STORAGE external, ALTER pushed SET STORAGE external;
INSERT INTO layout SELECT fx.equity_curve(trades), fx.equity_curve(trades)::text::jsonb FROM sample;
SELECT count(*) AS curves, bool_and(pg_column_size(ours) = pg_column_size(pushed)) AS same_size,
       bool_and(hash_record_extended(ROW(ours), 0) = hash_record_extended(ROW(pushed), 0)) AS same_hash,
       bool_and(ours = pushed) AS same_value
  FROM layout;
-- random access, containment, paths, deletion
SELECT bool_and(ours -> n = pushed -> n) AS elements,
       bool_and(ours @> jsonb_build_array(pushed -> n)) AS contained,
       bool_and(ours #>> ARRAY[n::text, 'equity'] = pushed #>> ARRAY[n::text, 'equity']) AS paths,
       bool_and(ours - n = pushed - n) AS deletion
  FROM layout, generate_series(0, jsonb_array_length(ours) - 1, 7) AS n;

-- by hand
SELECT jsonb_pretty(fx.equity_curve(
    '[{"profit": "1e2", "swap": -0.5, "closed_at": "2024-03-10T06:59:59.5+00"},
      {"profit": -300.123456785, "closedAt": "2024-03-10 03:00:00-05:00"}]', 1000));
SELECT fx.equity_curve('[]', 0.00000001), fx.equity_curve(NULL) IS NULL AS no_trades, fx.equity_curve('[]', NULL) IS NULL AS no_balance;
SELECT seq, equity FROM fx.equity_points('[{"profit": 5}, {"profit": -7}]', 1);
SELECT count(*) AS none FROM fx.equity_points(NULL);

-- snake case wins over camel case; unknown keys, deep junk and duplicates do no harm
SELECT seq, closed_at AT TIME ZONE 'UTC' AS utc, net_profit
  FROM fx.equity_points('[{"a": {"b": [[[{"profit": 9}]]]}, "profit": 7, "profit": 8, "PROFIT": "x",
                           "closed_at": "2024-01-02", "closedAt": "2025-01-02", "": null}]')
 WHERE seq = 1;
-- the same keys in another number, or with a missing one, between uniform trades
SELECT seq, net_profit
  FROM fx.equity_points('[{"profit": 1, "swap": 1}, {"profit": 2, "swap": 1}, {"profit": 3}, {"profit": 4, "swam": 1},
                          {"commission": 1, "profit": 5, "swap": 1}, {"profit": 6, "swap": 1}]') ORDER BY seq;

-- trades with more keys than a stride of offsets, in front of ours and behind
SELECT count(*) AS trades, count(*) FILTER (WHERE net_profit IS DISTINCT FROM seq * 1.25 - 0.5) AS wrong,
       count(*) FILTER (WHERE closed_at IS DISTINCT FROM timestamptz '2024-01-01 00:00+00' + seq * interval '1 hour') AS wrong_times
  FROM fx.equity_points((
       SELECT jsonb_agg((SELECT jsonb_object_agg(k || left('padding to sort behind', 4 + k % 19), repeat('x', (k * n) % 300)) FROM generate_series(1, 1 + n % 70) AS k)
                        || jsonb_build_object('profit', n * 1.25, 'commission', 0.5, 'closedAt', timestamptz '2024-01-01 00:00+00' + n * interval '1 hour') ORDER BY n)
         FROM generate_series(1, 200) AS n)) WHERE seq > 0;

-- a fraction above one, and tiny ones
SELECT drawdown, drawdown_fraction FROM fx.equity_points('[{"profit": -25}]', 10) WHERE seq = 1;
SELECT p -> 'drawdownFraction' AS fraction
  FROM jsonb_array_elements(fx.equity_curve('[{"profit": 1e20}, {"profit": -0.00000001}, {"profit": -1e19}]', 1)) AS p;
ROLLBACK;
