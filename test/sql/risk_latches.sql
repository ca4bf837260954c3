--
-- Breaches that hold on, what ends them, and what limits do besides refusing
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT fx.create_market_data_partitions('2024-02-01', '2024-05-01') >= 0 AS made;
BEGIN;
SET LOCAL search_path = fx, public;
\set a1 00000000-0000-4000-8000-0000000000a1
INSERT INTO users (id, email, username, password_hash, preferences) VALUES (:'a1', 'a@example.com', 'a', 'x', '{"initialBalance": 10000}');
-- Let it be some time, with that price of EURUSD.
CREATE FUNCTION pg_temp.at(at timestamptz, price numeric) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('fxplatform.clock', at::text, true);
    INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
    VALUES ('EURUSD', '1m', date_trunc('minute', at - interval '1 minute'), price, price, price, price)
    ON CONFLICT (symbol, timeframe, timestamp) DO UPDATE SET open_price = price, high_price = price, low_price = price, close_price = price;
END
$$;
CREATE FUNCTION pg_temp.trade(side text, units numeric, at_price numeric DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
    VALUES ('00000000-0000-4000-8000-0000000000a1', 'EURUSD', side, 'market', units,
            coalesce(at_price, (SELECT close_price FROM fx.market_data WHERE symbol = 'EURUSD' ORDER BY timestamp DESC LIMIT 1)), 'executed', current_setting('fxplatform.clock')::timestamptz);
    RETURN 'ok';
EXCEPTION WHEN SQLSTATE 'XF001' OR SQLSTATE 'XF002' THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
CREATE FUNCTION pg_temp.latch(OUT name text, OUT current numeric, OUT at timestamptz, OUT until timestamptz, OUT value numeric, OUT cleared timestamptz, OUT status text) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT l.name, trim_scale(l.current_value), s.breached_at, s.breached_until, trim_scale(s.breach_value), s.cleared_at, u.status
      FROM fx.risk_limits l JOIN fx.risk_utilization(l.user_id) u ON u.limit_id = l.id LEFT JOIN fx.risk_limit_state s ON s.limit_id = l.id ORDER BY l.name
$$;
CREATE FUNCTION pg_temp.events(OUT event text, OUT name text, OUT current numeric, OUT projected numeric, OUT bound numeric, OUT reason text) RETURNS SETOF record LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM fx.risk_events RETURNING *)
    SELECT g.event, l.name, trim_scale(g.current_value), trim_scale(g.projected_value), trim_scale(g.bound), g.reason
      FROM gone g LEFT JOIN fx.risk_limits l ON l.id = g.limit_id ORDER BY g.id
$$;
\pset null ?

-- losses hold on to the end of their period, also when they are won back
SELECT pg_temp.at('2024-03-05 12:00+00', 1.1) \g /dev/null
SELECT pg_temp.trade('buy', 4000);
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) SELECT :'a1', t, t, 'absolute', 100 FROM unnest('{daily_loss,weekly_loss,monthly_loss}'::text[]) AS t;
SELECT pg_temp.at('2024-03-05 13:00+00', 1.0799) \g /dev/null
SELECT mark_account(:'a1');
SELECT * FROM pg_temp.latch();
SELECT pg_temp.at('2024-03-05 14:00+00', 1.07) \g /dev/null
SELECT mark_account(:'a1');
SELECT * FROM pg_temp.latch();
SELECT pg_temp.at('2024-03-05 15:00+00', 1.1) \g /dev/null
SELECT pg_temp.trade('buy', 1) AS opens, pg_temp.trade('sell', 1000) AS reduces;
SELECT * FROM pg_temp.latch();
SELECT limit_value, current_value, projected_value, utilization_percentage, allowed, reason FROM check_risk(:'a1', 'EURUSD', 'buy', 1, NULL) WHERE type = 'daily_loss';
-- the day turns at 17:00 in New York, the week on Sunday, when the clock there has changed, the month on the last day
SELECT pg_temp.at('2024-03-05 21:59:59.999999+00', 1.1) \g /dev/null
SELECT pg_temp.trade('buy', 1);
SELECT pg_temp.at('2024-03-05 22:00+00', 1.1) \g /dev/null
SELECT pg_temp.trade('buy', 1);
SELECT * FROM pg_temp.latch();
SELECT pg_temp.at('2024-03-10 20:59:59+00', 1.1) \g /dev/null
SELECT mark_account(:'a1');
SELECT name, status FROM pg_temp.latch();
SELECT pg_temp.at('2024-03-10 21:00+00', 1.1) \g /dev/null
SELECT mark_account(:'a1');
SELECT name, status FROM pg_temp.latch();
SELECT pg_temp.at('2024-03-31 20:59:59+00', 1.1) \g /dev/null
SELECT pg_temp.trade('buy', 1);
SELECT pg_temp.at('2024-03-31 21:00+00', 1.1) \g /dev/null
SELECT pg_temp.trade('buy', 1);
SELECT * FROM pg_temp.latch();
SELECT * FROM pg_temp.events();
-- what a reader sees is over although nobody has written it
UPDATE risk_limits SET limit_value = 50;
SELECT pg_temp.at('2024-04-01 12:00+00', 1.08) \g /dev/null
SELECT mark_account(:'a1');
SELECT pg_temp.at('2024-04-01 12:01+00', 1.1) \g /dev/null
SELECT (SELECT string_agg(name || ' ' || status, ', ' ORDER BY name) FROM risk_utilization(:'a1')) AS latched;
SELECT pg_temp.at('2024-04-01 21:00+00', 1.1) \g /dev/null
SELECT (SELECT string_agg(name || ' ' || status, ', ' ORDER BY name) FROM risk_utilization(:'a1')) AS day_over, (SELECT count(breached_at) FROM risk_limit_state) AS stored;
DELETE FROM risk_limits;
DELETE FROM trades;
DELETE FROM risk_events;

-- drawdowns and the minimum hold on until they are cleared; then the trailing ones start again, the others come back
SELECT pg_temp.at('2024-04-02 12:00+00', 1.1) \g /dev/null
SELECT pg_temp.trade('buy', 10000);
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) VALUES
    (:'a1', '1', 'max_drawdown', 'absolute', 100), (:'a1', '2', 'trailing_drawdown', 'absolute', 100), (:'a1', '3', 'trailing_drawdown_eod', 'absolute', 100), (:'a1', '4', 'min_equity', 'absolute', 9900);
SELECT pg_temp.at('2024-04-02 13:00+00', 1.08) \g /dev/null
SELECT mark_account(:'a1');
SELECT * FROM pg_temp.latch();
SELECT pg_temp.at('2024-04-03 13:00+00', 1.08) \g /dev/null
SELECT pg_temp.trade('buy', 1);
SELECT name, clear_breach(id, 'looked at ' || name), clear_breach(id, 'again') AS twice FROM risk_limits ORDER BY name;
SELECT trim_scale(high_water_mark) AS high_water_mark, trim_scale(eod_high_water_mark) AS eod_high_water_mark FROM accounts;
SELECT * FROM pg_temp.latch();
SELECT mark_account(:'a1');
SELECT * FROM pg_temp.latch();
SELECT * FROM pg_temp.events();
-- the mark cannot start again at what nobody knows
SELECT pg_temp.at('2024-04-03 14:00+00', 1.05) \g /dev/null
SELECT mark_account(:'a1');
SELECT name, status FROM pg_temp.latch() WHERE name = '2';
SET LOCAL fxplatform.clock = '2024-04-03 20:00+00';
SAVEPOINT s;
SELECT clear_breach(id, 'unknown') FROM risk_limits WHERE name = '2';
ROLLBACK TO s;
SELECT clear_breach(id, 'known') FROM risk_limits WHERE name = '1';
SELECT clear_breach(NULL, 'x');
ROLLBACK TO s;
SELECT clear_breach(:'a1', NULL);
ROLLBACK TO s;
SELECT clear_breach(:'a1', 'x');
ROLLBACK TO s;
DELETE FROM risk_limits;
DELETE FROM trades;
DELETE FROM risk_events;

-- losses in a row: until they are cleared, or the cooldown is over; both start the count anew
SELECT pg_temp.at('2024-04-04 12:00+00', 1.1) \g /dev/null
SELECT pg_temp.trade('buy', 100);
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, cooldown_seconds, symbol) VALUES
    (:'a1', 'all', 'max_consecutive_losses', 'absolute', 2, NULL, NULL), (:'a1', 'cool', 'max_consecutive_losses', 'absolute', 2, 600, NULL), (:'a1', 'cool EURUSD', 'max_consecutive_losses', 'absolute', 2, 600, 'EUR/USD');
SELECT pg_temp.at('2024-04-04 12:01+00', 1.1) \g /dev/null
SELECT pg_temp.trade('sell', 1, 1.09);
SELECT pg_temp.at('2024-04-04 12:02+00', 1.1) \g /dev/null
SELECT pg_temp.trade('sell', 1, 1.09);
SELECT * FROM pg_temp.latch();
SELECT pg_temp.trade('buy', 1);
SELECT pg_temp.at('2024-04-04 12:05+00', 1.1) \g /dev/null
SELECT clear_breach(id, 'go on') FROM risk_limits WHERE name = 'all';
SELECT pg_temp.trade('buy', 1);
SELECT pg_temp.at('2024-04-04 12:12+00', 1.1) \g /dev/null
SELECT pg_temp.trade('buy', 1);
SELECT * FROM pg_temp.latch();
SELECT consecutive_losses, losing_since FROM accounts;
SELECT pg_temp.at('2024-04-04 12:13+00', 1.1) \g /dev/null
SELECT pg_temp.trade('sell', 1, 1.09);
SELECT name, current, status FROM pg_temp.latch();
SELECT pg_temp.at('2024-04-04 12:14+00', 1.1) \g /dev/null
SELECT pg_temp.trade('sell', 1, 1.09), pg_temp.trade('buy', 1);
SELECT * FROM pg_temp.latch();
SELECT event, name, current, bound, reason FROM pg_temp.events();
DELETE FROM risk_limits;
DELETE FROM trades;
DELETE FROM risk_events;

-- a limit may put the account into a state instead
SELECT pg_temp.at('2024-04-05 12:00+00', 1.1) \g /dev/null
SELECT pg_temp.trade('buy', 1000);
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, action) VALUES (:'a1', 'loss', 'daily_loss', 'absolute', 10, 'reduce_only'), (:'a1', 'size', 'max_position', 'absolute', 2000, 'halt');
SELECT pg_temp.trade('buy', 1), pg_temp.trade('buy', 1000), pg_temp.trade('sell', 1);
SELECT pg_temp.at('2024-04-05 13:00+00', 1.09) \g /dev/null
SELECT pg_temp.trade('buy', 1), mark_account(:'a1'), pg_temp.trade('buy', 1), pg_temp.trade('sell', 2000), pg_temp.trade('sell', 1);
SELECT limit_id IS NULL AS account, type, trim_scale(current_value) AS before, trim_scale(projected_value) AS after, allowed, reason FROM check_risk(:'a1', 'EURUSD', 'buy', 1, NULL);
UPDATE risk_limits SET limit_value = 500 WHERE name = 'size';
SELECT pg_temp.trade('sell', 1), pg_temp.trade('buy', 1);
SELECT type, allowed, reason FROM check_risk(:'a1', 'EURUSD', 'sell', 1, NULL);
-- also closings
\set VERBOSITY terse
SELECT close_trade((SELECT id FROM trades WHERE closed_at IS NULL LIMIT 1), 1.09);
ROLLBACK TO s;
DELETE FROM risk_limits;
DELETE FROM trades;
DELETE FROM risk_events;
SELECT pg_temp.at('2024-04-05 12:00+00', 1.1) \g /dev/null
SELECT pg_temp.trade('buy', 1000);
SELECT set_trading_state(:'a1', 'reduce_only', 'on holiday'), pg_temp.trade('buy', 1) AS opens, pg_temp.trade('sell', 1001) AS flips, pg_temp.trade('sell', 1) AS reduces;
SELECT * FROM check_risk(:'a1', 'EURUSD', 'buy', 1, NULL);
SELECT count(*) FROM check_risk(:'a1', 'EURUSD', 'sell', 1, NULL);
SELECT set_trading_state(:'a1', 'halted'), pg_temp.trade('sell', 1) AS reduces;
SELECT * FROM check_risk(:'a1', 'EURUSD', 'sell', 1, NULL);
SELECT set_trading_state(:'a1', 'active');
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, action) VALUES (:'a1', 'stop', 'kill_switch', 'absolute', 0, 'reduce_only');
SELECT pg_temp.trade('buy', 1), pg_temp.trade('sell', 1);
UPDATE risk_limits SET action = 'block';
SELECT pg_temp.trade('buy', 1), pg_temp.trade('sell', 1);
UPDATE risk_limits SET action = 'warn';
SELECT pg_temp.trade('buy', 1), pg_temp.trade('sell', 1);
UPDATE risk_limits SET action = 'block', is_active = false;
SELECT pg_temp.trade('buy', 1), pg_temp.trade('sell', 1);
DELETE FROM risk_limits;
DELETE FROM trades;
DELETE FROM risk_events;

-- or only take note: one event a statement, with the last order that passed the limit; else one when the warning level is passed
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, action, warning_level) VALUES (:'a1', 'note', 'max_position', 'absolute', 100, 'warn', 50), (:'a1', 'rate', 'max_order_rate', 'absolute', 3, 'warn', 100);
SELECT pg_temp.trade('buy', 49), pg_temp.trade('buy', 1), pg_temp.trade('buy', 50), pg_temp.trade('buy', 1);
SELECT e.event, t.quantity FROM risk_events e LEFT JOIN trades t ON t.id = e.trade_id ORDER BY e.id;
SELECT * FROM pg_temp.events();
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) SELECT :'a1', 'EURUSD', 'buy', 'market', n, 1.1, 'executed', '2024-04-05 12:00+00' FROM generate_series(1, 5) AS n;
SELECT * FROM pg_temp.events();
SELECT name, trim_scale(current_value) AS current, cardinality(order_times) AS times FROM risk_limits l LEFT JOIN risk_limit_state s ON s.limit_id = l.id ORDER BY name;
-- orders of the last minute; an order that waits is counted when it is placed, not again when it is executed
SELECT pg_temp.at('2024-04-05 12:00:59.999999+00', 1.1) \g /dev/null
SELECT mark_account(:'a1');
SELECT name, trim_scale(current_value) AS current, cardinality(order_times) AS times FROM risk_limits l JOIN risk_limit_state s ON s.limit_id = l.id WHERE name = 'rate';
SELECT pg_temp.at('2024-04-05 12:01:00+00', 1.1) \g /dev/null
SELECT (SELECT trim_scale(current_value) FROM risk_utilization(:'a1') WHERE name = 'rate') AS now, (SELECT trim_scale(current_value) FROM risk_limits WHERE name = 'rate') AS stored, mark_account(:'a1');
SELECT name, trim_scale(current_value) AS current, cardinality(order_times) AS times FROM risk_limits l JOIN risk_limit_state s ON s.limit_id = l.id WHERE name = 'rate';
DELETE FROM trades;
UPDATE risk_limits SET action = 'block', limit_value = 2, window_seconds = 10 WHERE name = 'rate';
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status) VALUES ('00000000-0000-4000-8000-0000000000d1', :'a1', 'EURUSD', 'buy', 'limit', 1, 1.1, 'pending');
UPDATE trades SET status = 'executed', executed_at = '2024-04-05 12:01:00+00' WHERE status = 'pending';
SELECT trim_scale(current_value) AS current, order_times FROM risk_limits l JOIN risk_limit_state s ON s.limit_id = l.id WHERE name = 'rate';
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at, closed_at, profit) VALUES (:'a1', 'EURUSD', 'buy', 'limit', 1, 1.1, 'executed', '2024-04-05 12:01:00+00', '2024-04-05 12:01:00+00', 0);
SELECT trim_scale(current_value) AS current FROM risk_limits WHERE name = 'rate';
SELECT pg_temp.at('2024-04-05 12:01:05+00', 1.1) \g /dev/null
SELECT pg_temp.trade('buy', 1), pg_temp.trade('buy', 1);
SELECT pg_temp.at('2024-04-05 12:01:10+00', 1.1) \g /dev/null
SELECT pg_temp.trade('buy', 1), pg_temp.trade('buy', 1);
SELECT trim_scale(current_value) AS current, order_times FROM risk_limits l JOIN risk_limit_state s ON s.limit_id = l.id WHERE name = 'rate';
ROLLBACK;
DROP TABLE fx.market_data_2024_02, fx.market_data_2024_03, fx.market_data_2024_04;
