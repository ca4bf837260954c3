--
-- The queries of the specification, and those that a dropped index served,
-- still go by an index
--
BEGIN;
SET LOCAL search_path = fx, public;
CREATE FUNCTION pg_temp.index_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json, COSTS off) ' || query INTO plan;
    RETURN coalesce((SELECT string_agg(DISTINCT regexp_replace(m[1], 'market_data_\d+_\d+_', 'partition_'), ', ')
                       FROM regexp_matches(plan::text, '"Index Name": "([^"]+)"', 'g') AS m), 'none')
        || CASE WHEN plan::text LIKE '%"Seq Scan"%' THEN ' and a sequential scan' ELSE '' END;
END
$$;
SET LOCAL session_replication_role = replica;
INSERT INTO users (id, email, username, password_hash)
SELECT md5('u' || n)::uuid, 'u' || n || '@example.com', 'u' || n, 'x' FROM generate_series(1, 5000) AS n;
INSERT INTO strategies (id, user_id, name, type) SELECT md5('s' || n)::uuid, md5('u' || n % 5000)::uuid, 's' || n, 'manual' FROM generate_series(1, 10000) AS n;
INSERT INTO backtests (strategy_id, user_id, name, status)
SELECT md5('s' || n % 10000)::uuid, md5('u' || n % 5000)::uuid, 'b', CASE n % 3 WHEN 0 THEN 'pending' ELSE 'completed' END FROM generate_series(1, 10000) AS n;
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
SELECT md5('u' || n % 5000)::uuid, 'S' || n % 28, 'buy', 'market', 1, 1, 'executed', timestamptz '2024-01-01' + n * interval '1 minute' FROM generate_series(1, 20000) AS n;
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) SELECT md5('u' || n % 5000)::uuid, 'l', 'daily_loss', 'absolute', 1 FROM generate_series(1, 5000) AS n;
INSERT INTO audit_log (action, resource_type, resource_id) SELECT 'INSERT', 'table' || n % 100, n::text FROM generate_series(1, 20000) AS n;
SELECT create_market_data_partitions('2020-01-01', '2020-02-01');
-- so many symbols that skipping from one to the next, as 18 can, costs more than the index of times
INSERT INTO market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
SELECT 'S' || n % 400, '1m', timestamptz '2020-01-01 00:00+00' + n / 400 * interval '40 minutes', 1, 1, 1, 1 FROM generate_series(1, 40000) AS n;
SET LOCAL session_replication_role = origin;
ANALYZE users, strategies, backtests, trades, risk_limits, audit_log, market_data;

SELECT what, pg_temp.index_of(query) AS index
  FROM (VALUES
    (1, 'user strategies with performance', $q$SELECT s.*, COUNT(b.id), AVG((b.performance_metrics->>'totalReturn')::DECIMAL) FROM strategies s LEFT JOIN backtests b ON s.id = b.strategy_id AND b.status = 'completed' WHERE s.user_id = md5('u7')::uuid AND s.deleted_at IS NULL GROUP BY s.id ORDER BY s.updated_at DESC$q$),
    (2, 'trade performance analysis', $q$SELECT symbol, COUNT(*), SUM(profit) AS total_profit FROM trades WHERE user_id = md5('u7')::uuid AND status = 'executed' GROUP BY symbol ORDER BY total_profit DESC$q$),
    (3, 'risk limit utilization', $q$SELECT rl.type, rl.limit_value FROM risk_limits rl WHERE rl.user_id = md5('u7')::uuid AND rl.is_active = true$q$),
    (4, 'users by email', $q$SELECT * FROM users WHERE email = 'u7@example.com'$q$),
    (5, 'users by email, any case', $q$SELECT * FROM users WHERE lower(email) = 'u7@example.com' AND deleted_at IS NULL$q$),
    (6, 'users by username', $q$SELECT * FROM users WHERE username = 'u7'$q$),
    (7, 'strategies of a user', $q$SELECT * FROM strategies WHERE user_id = md5('u7')::uuid$q$),
    (8, 'backtests of a user', $q$SELECT * FROM backtests WHERE user_id = md5('u7')::uuid$q$),
    (9, 'trades of a user', $q$SELECT * FROM trades WHERE user_id = md5('u7')::uuid$q$),
    (10, 'candles of a symbol', $q$SELECT * FROM market_data WHERE symbol = 'S7' AND timeframe = '1m' AND timestamp >= '2020-01-20 00:00+00' AND timestamp < '2020-01-21 00:00+00'$q$),
    (11, 'the latest candle', $q$SELECT * FROM market_data WHERE symbol = 'S7' AND timeframe = '1m' AND timestamp >= '2020-01-01 00:00+00' AND timestamp < '2020-02-01 00:00+00' ORDER BY timestamp DESC LIMIT 1$q$),
    (12, 'audit of a kind of resource', $q$SELECT * FROM audit_log WHERE resource_type = 'table7'$q$),
    (13, 'copies of a strategy', $q$SELECT * FROM strategies WHERE parent_strategy_id = md5('s7')::uuid$q$),
    (14, 'full-text search', $q$SELECT * FROM strategies s WHERE strategy_document(s.name, s.description, s.tags) @@ 's7'::tsquery AND s.deleted_at IS NULL$q$),
    (15, 'candles of a symbol, of every timeframe', $q$SELECT * FROM market_data WHERE symbol = 'S7' AND timestamp >= '2020-01-03 00:00+00' AND timestamp < '2020-01-03 02:00+00'$q$),
    (16, 'candles of a time', $q$SELECT * FROM market_data WHERE timestamp >= '2020-01-02 00:00+00' AND timestamp < '2020-01-02 00:05+00'$q$)
  ) AS v (n, what, query)
 ORDER BY n;
ROLLBACK;
