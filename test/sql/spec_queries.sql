--
-- The three query patterns of the specification run as written, and the
-- functions for them agree
--
BEGIN;
SET LOCAL search_path = fx, public;
INSERT INTO users (id, email, username, password_hash) VALUES
    ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x'), ('00000000-0000-4000-8000-0000000000a2', 'b@example.com', 'b', 'x');
INSERT INTO strategies (id, user_id, name, type, updated_at, deleted_at)
SELECT ('00000000-0000-4000-8000-0000000000b' || n)::uuid, '00000000-0000-4000-8000-0000000000a1', 's' || n, 'manual',
       timestamptz '2024-01-01' + n * interval '1 day', CASE n WHEN 3 THEN now() END FROM generate_series(1, 4) AS n;
INSERT INTO backtests (strategy_id, user_id, name, status, performance_metrics)
SELECT ('00000000-0000-4000-8000-0000000000b' || 1 + n % 2)::uuid, '00000000-0000-4000-8000-0000000000a1', 'b' || n,
       CASE WHEN n < 6 THEN 'completed' ELSE 'failed' END, jsonb_build_object('totalReturn', n * 0.013) FROM generate_series(1, 7) AS n;
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, profit, commission, swap, status, executed_at)
SELECT '00000000-0000-4000-8000-0000000000a1', (ARRAY['EURUSD', 'GBPUSD', 'USDJPY'])[1 + n % 3], 'buy', 'market', 1, 1,
       (n * 37 % 101 - 45) * 1.25 + n % 3, 0.4, -0.01 * (n % 4), CASE n % 10 WHEN 0 THEN 'pending' ELSE 'executed' END,
       timestamptz '2024-01-01 00:00+00' + n * interval '1 hour' FROM generate_series(1, 60) AS n;
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, is_active)
SELECT '00000000-0000-4000-8000-0000000000a1', 'l' || n, (ARRAY['max_open_trades', 'max_position', 'max_order_size', 'kill_switch'])[n], 'absolute', 100 * n, n <> 4 FROM generate_series(1, 4) AS n;

PREPARE user_strategies (uuid) AS
SELECT s.*,
       COUNT(b.id) as backtest_count,
       AVG((b.performance_metrics->>'totalReturn')::DECIMAL) as avg_return
FROM strategies s
LEFT JOIN backtests b ON s.id = b.strategy_id AND b.status = 'completed'
WHERE s.user_id = $1 AND s.deleted_at IS NULL
GROUP BY s.id
ORDER BY s.updated_at DESC;
PREPARE trade_performance (uuid) AS
SELECT symbol,
       COUNT(*) as trade_count,
       SUM(profit) as total_profit,
       AVG(profit) as avg_profit,
       SUM(CASE WHEN profit > 0 THEN 1 ELSE 0 END)::FLOAT / COUNT(*) as win_rate
FROM trades
WHERE user_id = $1 AND status = 'executed'
GROUP BY symbol
ORDER BY total_profit DESC;
PREPARE risk_utilization (uuid) AS
SELECT rl.type, rl.limit_value, rl.current_value,
       (rl.current_value / rl.limit_value * 100) as utilization_percentage
FROM risk_limits rl
WHERE rl.user_id = $1 AND rl.is_active = true
ORDER BY utilization_percentage DESC;

CREATE TEMPORARY TABLE spec_strategies ON COMMIT DROP AS EXECUTE user_strategies('00000000-0000-4000-8000-0000000000a1');
SELECT name, backtest_count, avg_return FROM spec_strategies;
SELECT name, backtest_count, avg_return FROM user_strategies('00000000-0000-4000-8000-0000000000a1');
SELECT count(*) AS different
  FROM spec_strategies s FULL JOIN user_strategies('00000000-0000-4000-8000-0000000000a1') u USING (id)
 WHERE to_jsonb(s) <> to_jsonb(u) OR s.id IS NULL OR u.id IS NULL;
EXECUTE trade_performance('00000000-0000-4000-8000-0000000000a1');
SELECT symbol, trade_count, total_profit, avg_profit, win_rate FROM trade_performance('00000000-0000-4000-8000-0000000000a1');
SELECT symbol, net_profit, commission, swap, net_win_count, net_loss_count, net_expectancy, net_largest_loss FROM trade_performance('00000000-0000-4000-8000-0000000000a1');
EXECUTE risk_utilization('00000000-0000-4000-8000-0000000000a1');
SELECT type, limit_value, current_value, utilization_percentage, status FROM risk_utilization('00000000-0000-4000-8000-0000000000a1');

-- the period excludes its end; other users and NULL have no rows
SELECT sum(trade_count) AS trades, min(net_profit) IS NOT NULL AS money
  FROM trade_performance('00000000-0000-4000-8000-0000000000a1', '2024-01-01 05:00+00', '2024-01-01 09:00+00');
SELECT (SELECT count(*) FROM trade_performance('00000000-0000-4000-8000-0000000000a2')) AS other,
       (SELECT count(*) FROM trade_performance(NULL)) AS nobody, (SELECT count(*) FROM user_strategies(NULL)) AS no_strategies,
       (SELECT count(*) FROM risk_utilization(NULL)) AS no_limits;
-- trades of backtests count in the query as written, and not in the function (defect 22)
INSERT INTO trades (user_id, backtest_id, symbol, type, order_type, quantity, price, profit, status, executed_at)
SELECT '00000000-0000-4000-8000-0000000000a1', (SELECT id FROM backtests WHERE name = 'b1'), 'EURUSD', 'buy', 'market', 1, 1, 1000, 'executed', '2024-01-05 00:00+00';
DELETE FROM backtests WHERE name = 'b1';
SELECT symbol, trade_count FROM trade_performance('00000000-0000-4000-8000-0000000000a1') WHERE symbol = 'EURUSD';
-- a symbol whose profits are all NULL comes last and has counts
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, profit, status, executed_at)
VALUES ('00000000-0000-4000-8000-0000000000a1', 'AUDUSD', 'buy', 'market', 1, 1, NULL, 'executed', now());
SELECT symbol, trade_count, total_profit, win_rate, net_profit FROM trade_performance('00000000-0000-4000-8000-0000000000a1') OFFSET 3;
ROLLBACK;
