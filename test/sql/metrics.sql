--
-- Metrics of backtests equal those of the slow oracle
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set oracle :abs_srcdir '/oracle.sql'
\set ECHO none
BEGIN;
\i :oracle
\set ECHO all
SET LOCAL timezone = 'Asia/Tokyo';

-- money to the last digit, ratios within 1e-12, over shapes and sizes
SELECT setseed(0.25);
CREATE TEMPORARY TABLE sample ON COMMIT DROP AS
SELECT shape, size, oracle.sample(size, shape) AS trades
  FROM unnest('{plain,large,javascript,losing,unordered,equal,shuffled,past,idle,untimed,strings,executed}'::text[]) AS shape,
       unnest('{0,1,2,3,4,5,31,32,33,60,200}'::integer[]) AS size
 WHERE shape <> 'idle' OR size <= 60;
SELECT count(*) AS samples, sum(size) AS trades FROM sample;
SELECT shape, size, d.*
  FROM sample, oracle.differences(fx.backtest_metrics(trades), oracle.metrics(trades)) AS d
 ORDER BY shape, size, d.key;
SELECT shape, size, d.*
  FROM sample,
       oracle.differences(fx.backtest_metrics(trades, 123456.789, 0.035, 365), oracle.metrics(trades, 123456.789, 0.035, 365)) AS d
 ORDER BY shape, size, d.key;
-- a period that is longer than the trades
SELECT shape, size, d.*
  FROM sample,
       oracle.differences(fx.backtest_metrics(trades, 5e9, -0.01, 260, '2023-02-11', '2024-11-30'),
                          oracle.metrics(trades, 5e9, -0.01, 260, '2023-02-11', '2024-11-30')) AS d
 WHERE shape NOT IN ('idle', 'past')
 ORDER BY shape, size, d.key;
-- all keys, always
SELECT size, count(*) AS keys
  FROM sample, jsonb_object_keys(fx.backtest_metrics(trades)) WHERE shape = 'plain' AND size < 2 GROUP BY size ORDER BY size;

-- a strategy that never traded
SELECT key, value FROM jsonb_each(fx.backtest_metrics('[]', 500.5)) WHERE value <> 'null' ORDER BY key COLLATE "C";

-- by hand: 1000 -> 1100 -> 990 -> 990 -> 1210, peak 1100, deepest 110 of 1100
SELECT key, value
  FROM jsonb_each(fx.backtest_metrics(
       '[{"profit": 100, "executedAt": "2024-01-01T12:00:00Z", "closedAt": "2024-01-02T12:00:00Z"},
         {"profit": -110, "executedAt": "2024-01-02T12:00:00Z", "closedAt": "2024-01-03T12:00:00Z"},
         {"profit": 0, "executedAt": "2024-01-03T18:00:00Z", "closedAt": "2024-01-04T12:00:00Z"},
         {"profit": 220, "executedAt": "2024-01-04T12:00:00Z", "closedAt": "2024-01-05T12:00:00Z"}]', 1000))
 WHERE key IN ('totalReturn', 'maxDrawdown', 'maxDrawdownFraction', 'maxDrawdownPeakAt', 'maxDrawdownTroughAt',
               'maxDrawdownRecoveredAt', 'longestDrawdownSeconds', 'winRate', 'profitFactor', 'maxConsecutiveWins',
               'averageLoss', 'kellyFraction', 'exposureFraction', 'averageHoldingSeconds', 'breakevenTrades')
 ORDER BY key COLLATE "C";

-- a balance that is wiped out has no returns after it, and shrank by all
SELECT m -> 'cagr' AS cagr, m -> 'sharpeRatio' AS sharpe, m -> 'finalBalance' AS final
  FROM fx.backtest_metrics('[{"profit": -150, "closedAt": "2024-01-02"}, {"profit": 10, "closedAt": "2024-01-05"}]', 100) AS m;

-- equal daily returns of exactly one per cent have no spread
SELECT m -> 'volatility' AS volatility, m -> 'sharpeRatio' AS sharpe, m -> 'skewness' AS skewness
  FROM fx.backtest_metrics('[{"profit": 100, "closedAt": "2024-01-02T12:00:00Z"},
                             {"profit": 101, "closedAt": "2024-01-03T12:00:00Z"},
                             {"profit": 102.01, "closedAt": "2024-01-04T12:00:00Z"}]') AS m;

-- what cannot be represented is null: growth of a day, a hundredfold, to the 365th power
SELECT m -> 'cagr' AS cagr, m -> 'totalReturn' AS total
  FROM fx.backtest_metrics('[{"profit": 990000, "closedAt": "2024-01-02T12:00:00Z"}]') AS m;

-- equal trades have no spread, a trade of no length no exposure
SELECT m -> 'sqn' AS sqn, m -> 'exposureFraction' AS exposure, m -> 'averageHoldingSeconds' AS holding
  FROM fx.backtest_metrics('[{"profit": 5, "executedAt": "2024-01-02T12:00:00Z", "closedAt": "2024-01-02T12:00:00Z"},
                             {"profit": 5, "executedAt": "2024-01-02T12:00:00Z", "closedAt": "2024-01-02T12:00:00Z"}]') AS m;

-- NULL arguments
SELECT fx.backtest_metrics(NULL) IS NULL AS trades, fx.backtest_metrics('[]', NULL) IS NULL AS balance,
       fx.backtest_metrics('[]', 1, NULL) IS NULL AS rate, fx.backtest_metrics('[]', 1, 0, NULL) IS NULL AS periods;
ROLLBACK;

-- errors of the arguments
\set trade '[{"profit": 1, "executedAt": "2024-01-02T12:00:00Z", "closedAt": "2024-01-04T12:00:00Z"}]'
SELECT fx.backtest_metrics('[]', 1, 'NaN');
SELECT fx.backtest_metrics('[]', 1, 'Infinity');
SELECT fx.backtest_metrics('[]', 1, -1);
SELECT fx.backtest_metrics('[]', 1, 0, 0);
SELECT fx.backtest_metrics('[]', 1, 0, '-Infinity');
SELECT fx.backtest_metrics('[]', 1, 0, 252, 'infinity');
SELECT fx.backtest_metrics('[]', 1, 0, 252, NULL, '10000-01-01');
SELECT fx.backtest_metrics('[]', 1, 0, 252, '2024-01-02', '2024-01-01');
SELECT fx.backtest_metrics(:'trade', 1, 0, 252, '2024-01-03');
SELECT fx.backtest_metrics(:'trade', 1, 0, 252, NULL, '2024-01-03');
SELECT fx.backtest_metrics(:'trade', 1, 0, 252, '2024-01-02', '2024-01-04') -> 'netProfit' AS net;
-- sums that do not fit
SELECT fx.backtest_metrics('[{"profit": 1.7e30}, {"profit": 1}, {"profit": -1.7e30}, {"profit": 1e29}]', 1) -> 'netProfit';
SELECT fx.backtest_metrics('[{"profit": 1.7e30}, {"profit": -1.7e30}, {"profit": -1.7e30}]', 1);
SELECT fx.backtest_metrics('[{"profit": 1.7e30}, {"profit": 1e29}]', 1);
SELECT fx.backtest_metrics('[{"profit": 1e30}]', 1e30);
