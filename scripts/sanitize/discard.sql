--
-- What the library remembers of tables, types, functions and plans, used,
-- changed and used again, in one session.  Run with :level 0 and 1 of
-- debug_discard_caches, it has to print the same.  With 1 a statement may take
-- ten seconds, so there is one of each kind.
--
\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET search_path = pg_catalog;
SET timezone = 'UTC';
SET fxplatform.clock = '2024-03-05 12:00:00+00';
SELECT fx.create_market_data_partitions('2024-03-01', '2024-04-30') > 0 AS made;
INSERT INTO fx.users (id, email, username, password_hash, preferences)
VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x', '{"initialBalance": 10000}');
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value)
SELECT '00000000-0000-4000-8000-0000000000a1', type, type, unit, 1000000
  FROM (VALUES ('daily_loss', 'absolute'), ('max_drawdown', 'absolute'), ('max_position', 'absolute'), ('max_daily_trades', 'absolute'), ('max_exposure', 'absolute')) AS v (type, unit);
SET app.current_user_id = '00000000-0000-4000-8000-0000000000a1';

SET debug_discard_caches = :level;
\set candles 'SELECT count(*) AS stored FROM fx.ingest_candles(\'[{"symbol": "EURUSD", "timeframe": "1m", "timestamp": "2024-03-05T11:59:00Z", "open": 1.1, "high": 1.2, "low": 1, "close": 1.15, "volume": 1}, {"symbol": "EURUSD", "timeframe": "1m", "timestamp": "no time"}]\')'
:candles;
SELECT close_price FROM fx.latest_candle('EURUSD', '1m');
SELECT fx.rate('EUR', 'USD', '2024-03-05 12:00+00');
\set trade 'INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (\'00000000-0000-4000-8000-0000000000a1\', \'EURUSD\', \'buy\', \'market\', 10, 1.1, \'executed\', \'2024-03-05 12:00:00+00\')'
:trade;

-- a change of everything that is remembered of these tables
SET debug_discard_caches = 0;
ALTER TABLE fx.trades ADD COLUMN note_of_test text;
ALTER TABLE fx.risk_limits ADD COLUMN note_of_test text;
ALTER TABLE fx.accounts ADD COLUMN note_of_test text;
ALTER TABLE fx.market_data ADD COLUMN note_of_test text;
ALTER TABLE fx.risk_limits ADD COLUMN twice_of_test numeric GENERATED ALWAYS AS (current_value * 2) STORED;
SET debug_discard_caches = :level;
:trade;
:candles;
SELECT close_price FROM fx.latest_candle('EURUSD', '1m');
UPDATE fx.users SET email = 'b@example.com' WHERE username = 'a';
UPDATE fx.risk_limits SET limit_value = 2000000 WHERE type = 'max_position';
SELECT count(*) AS closed FROM fx.trades AS t, fx.close_trade(t.id, 1.2, '2024-03-05 12:00+00') WHERE t.executed_at IS NOT NULL;
SELECT utilization_percentage, status FROM fx.risk_utilization('00000000-0000-4000-8000-0000000000a1') ORDER BY 1, 2;
SELECT fx.win_rate(fx.pnl_agg(profit, commission, swap)) AS win_rate FROM fx.trades;
SELECT fx.close(fx.candlestick_agg("timestamp", open_price, high_price, low_price, close_price, volume)) FROM fx.market_data;

SET debug_discard_caches = 0;
SELECT name, current_value, twice_of_test FROM fx.risk_limits ORDER BY name;
SELECT balance FROM fx.accounts;
SELECT count(*) AS problems FROM fx.verify_positions();
SELECT action, resource_type, changed_columns, count(*) FROM fx.audit_log GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
