--
-- The story of "make demo": candles, a strategy, its backtest, live trades,
-- a risk check.  Everything is generated; nothing is real.
--
\set QUIET on
\pset pager off
\pset null -
\set ON_ERROR_STOP on
\timing off

\echo
\echo '==> CREATE EXTENSION fxplatform CASCADE'
SET client_min_messages = warning;
CREATE EXTENSION fxplatform CASCADE;
RESET client_min_messages;
SET search_path = fx, public;
SET timezone = 'UTC';
SELECT version AS migration, state FROM migration_status;

\echo '==> a user, a strategy, and 90 days of generated EURUSD candles'
INSERT INTO users (id, email, username, password_hash, preferences)
VALUES ('00000000-0000-4000-8000-000000000001', 'ada@example.com', 'ada',
        crypt('not a real password', gen_salt('bf', 4)),
        '{"accountCurrency": "USD", "initialBalance": 10000}');
SET app.current_user_id = '00000000-0000-4000-8000-000000000001';
INSERT INTO strategies (id, user_id, name, description, type, status, config, tags)
VALUES ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000001',
        'Moving-average cross', 'Long while the fast mean is above the slow one, else short',
        'backtested', 'active', '{"fast": 24, "slow": 96}', '{trend,eurusd}');

SELECT create_market_data_partitions('2024-01-01', '2024-04-01') AS partitions_made;
-- A random walk in steps of a tenth of a pip, five days a week
SELECT setseed(0.42) \g /dev/null
INSERT INTO market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
SELECT 'EURUSD', '15m', at, open, greatest(open, close) + wick * 0.00001,
       least(open, close) - wick * 0.00001, close, 100 + wick
  FROM (SELECT at, wick,
               1.1 + 0.00001 * sum(step) OVER w - 0.00001 * step AS open,
               1.1 + 0.00001 * sum(step) OVER w AS close
          FROM (SELECT at, round((random() - 0.5) * 160 + 3 * sin(extract(epoch FROM at) / 300000))::integer AS step,
                       floor(random() * 20)::integer AS wick
                  FROM generate_series(timestamptz '2024-01-01 22:00+00',
                                       '2024-03-29 20:45+00', '15 minutes') AS at
                 WHERE extract(isodow FROM fx_day(at)) < 6) AS steps
        WINDOW w AS (ORDER BY at)) AS candles;
SELECT count(*) AS candles, min(low_price) AS low, max(high_price) AS high FROM market_data;

\echo '==> the last days of them, as the market counts days: from 17:00 to 17:00 in New York'
SELECT refresh_candles() AS days_rolled_up;
SELECT to_char(fx_day("timestamp"), 'Dy YYYY-MM-DD') AS day, open_price::numeric(9, 5) AS open, high_price::numeric(9, 5) AS high,
       low_price::numeric(9, 5) AS low, close_price::numeric(9, 5) AS close, volume
  FROM candles('EUR/USD', '1d', '2024-03-24');

\echo '==> the strategy in SQL: its trades, as the backtest stores them'
INSERT INTO backtests (id, strategy_id, user_id, name, config)
VALUES ('00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-000000000002',
        '00000000-0000-4000-8000-000000000001', 'First quarter of 2024',
        '{"initialBalance": 10000, "startDate": "2024-01-01", "endDate": "2024-03-29"}');

CREATE TEMPORARY TABLE signals AS
WITH means AS (
    SELECT timestamp AS at, close_price AS price,
           avg(close_price) OVER (ORDER BY timestamp ROWS 23 PRECEDING)
         > avg(close_price) OVER (ORDER BY timestamp ROWS 95 PRECEDING) AS long,
           row_number() OVER (ORDER BY timestamp) AS n
      FROM market_data WHERE symbol = 'EURUSD' AND timeframe = '15m'
), turns AS (
    SELECT *, lag(long) OVER (ORDER BY at) AS was_long FROM means WHERE n >= 96
)
SELECT at AS executed_at, lead(at) OVER w AS closed_at, long,
       price AS entry, lead(price) OVER w AS exit
  FROM turns
 WHERE long IS DISTINCT FROM was_long
WINDOW w AS (ORDER BY at);

SELECT complete_backtest('00000000-0000-4000-8000-000000000003', (
    SELECT jsonb_agg(jsonb_build_object(
               'symbol', 'EURUSD',
               'type', CASE WHEN long THEN 'buy' ELSE 'sell' END,
               'quantity', 20000,
               'price', entry,
               'profit', CASE WHEN long THEN exit - entry ELSE entry - exit END * 20000,
               'commission', 0.60,
               'executedAt', executed_at,
               'closedAt', closed_at) ORDER BY executed_at)
      FROM signals WHERE closed_at IS NOT NULL)) \g /dev/null

\echo '==> what it earned: exact money, ratios as fractions'
SELECT key AS metric, coalesce(value, '-') AS value
  FROM backtests b,
       jsonb_each_text(b.performance_metrics) AS m (key, value)
 WHERE key IN ('totalTrades', 'netProfit', 'totalReturn', 'cagr', 'sharpeRatio', 'sortinoRatio',
               'maxDrawdown', 'maxDrawdownFraction', 'winRate', 'profitFactor', 'expectancy', 'sqn')
 ORDER BY array_position(ARRAY['totalTrades', 'netProfit', 'totalReturn', 'cagr', 'sharpeRatio',
               'sortinoRatio', 'maxDrawdown', 'maxDrawdownFraction', 'winRate', 'profitFactor',
               'expectancy', 'sqn'], key);

\echo '==> its equity curve in a line, and the end of it'
SELECT sparkline(array_agg(equity ORDER BY part)) AS equity, min(equity)::numeric(10, 2) AS lowest, max(equity)::numeric(10, 2) AS highest
  FROM (SELECT c.seq * 64 / (jsonb_array_length(b.trades) + 1) AS part, avg(c.equity)::float8 AS equity
          FROM backtests b, equity_points(b.trades) AS c
         GROUP BY 1) AS means;
SELECT seq, closed_at, net_profit, equity, drawdown, round(drawdown_fraction::numeric, 6) AS fraction
  FROM backtests b, equity_points(b.trades)
 ORDER BY seq DESC LIMIT 5;

\echo '==> the same in plain SQL, slowly: not a digit differs'
WITH plain AS (
    SELECT row_number() OVER w AS seq, 10000 + sum(profit - commission) OVER w AS equity
      FROM backtests b, jsonb_to_recordset(b.trades)
               AS t (profit numeric, commission numeric, "closedAt" timestamptz)
    WINDOW w AS (ORDER BY "closedAt" ROWS UNBOUNDED PRECEDING)
)
SELECT count(*) AS trades, count(*) FILTER (WHERE c.equity <> p.equity) AS different,
       max(p.equity) FILTER (WHERE p.seq = n.trades) = (n.results ->> 'finalBalance')::numeric AS same_balance
  FROM plain p
  JOIN (SELECT c.* FROM backtests b, equity_points(b.trades) c) AS c USING (seq)
 CROSS JOIN (SELECT results, jsonb_array_length(trades) AS trades FROM backtests) AS n
 GROUP BY n.results, n.trades;

\echo '==> live trades of the same user, by symbol'
INSERT INTO trades (user_id, strategy_id, symbol, type, order_type, quantity, price,
                    commission, profit, status, executed_at, closed_at)
SELECT '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002',
       (ARRAY['EURUSD', 'GBPUSD', 'USDJPY'])[1 + n % 3],
       CASE n % 2 WHEN 0 THEN 'buy' ELSE 'sell' END, 'market', 1000 * (1 + n % 5), 1.1, 0.35,
       round((random() * 40 - 18)::numeric, 2), 'executed',
       timestamptz '2024-01-02 08:00+00' + n * interval '5 hours',
       timestamptz '2024-01-02 10:00+00' + n * interval '5 hours'
  FROM generate_series(1, 300) AS n;
SELECT symbol, trade_count, total_profit, round(avg_profit, 4) AS avg_profit,
       round(win_rate::numeric, 4) AS win_rate, net_profit, commission,
       round(net_profit_factor::numeric, 4) AS net_profit_factor
  FROM trade_performance('00000000-0000-4000-8000-000000000001');

\echo '==> limits, and what an order would do to each of them'
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value)
VALUES ('00000000-0000-4000-8000-000000000001', 'No order above a lot', 'max_order_size', 'absolute', 100000),
       ('00000000-0000-4000-8000-000000000001', 'No position above a lot', 'max_position', 'absolute', 100000),
       ('00000000-0000-4000-8000-000000000001', 'Stop at 5 % a day', 'daily_loss', 'percentage', 5);
SELECT type, limit_value, projected_value, round(utilization_percentage, 1) AS percent, allowed, reason
  FROM check_risk('00000000-0000-4000-8000-000000000001', 'EURUSD', 'buy', 80000, 1.1);

\echo '==> it is executed, and the same again is refused'
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
VALUES ('00000000-0000-4000-8000-000000000001', 'EURUSD', 'buy', 'market', 80000, 1.1, 'executed', now());
SELECT status, reason_code, jsonb_pretty(detail -> 'limits' -> 0) AS refused_by
  FROM try_trade('00000000-0000-4000-8000-000000000001', 'EURUSD', 'buy', 80000, 1.1);
SELECT type, trim_scale(limit_value) AS "limit", trim_scale(current_value) AS current,
       round(utilization_percentage, 1) AS percent, status
  FROM risk_utilization('00000000-0000-4000-8000-000000000001');

\echo '==> sold at a profit, more than was held: the position turns'
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
VALUES ('00000000-0000-4000-8000-000000000001', 'EURUSD', 'sell', 'market', 90000, 1.104, 'executed', now());
SELECT symbol, trim_scale(long_quantity) AS long, trim_scale(short_quantity) AS short,
       average_price, realized_pnl
  FROM positions WHERE long_quantity + short_quantity > 0;
SELECT balance, day_balance, open_trades, (SELECT count(*) FROM verify_positions()) AS differences
  FROM accounts;

\echo '==> who did what'
SELECT resource_type, action, count(*) FROM audit_log GROUP BY 1, 2 ORDER BY 1, 2;
CALL seal_audit();
SELECT a.row_count AS sealed, (SELECT count(*) FROM verify_audit()) AS problems FROM audit_anchor() a;
