--
-- Tables that their owner altered, books that he wrote to himself, and
-- numbers past the ends of what is computed
--
-- Each is an error of its own, and nothing of the statement stays.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
BEGIN;
SET LOCAL fxplatform.clock = '2024-03-05 12:00:00Z';

CREATE FUNCTION pg_temp.id(n integer) RETURNS uuid
LANGUAGE sql AS $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.trade(n integer, side text, units numeric, price numeric, sym text DEFAULT 'EURUSD') RETURNS void
LANGUAGE sql AS $$
    INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at)
    VALUES (pg_temp.id(n), pg_temp.id(1), sym, side, 'market', units, price, 'executed', '2024-03-05 11:00Z')
$$;
-- the first statement as the owner, without triggers; then what is tried
CREATE FUNCTION pg_temp.try(tried text, prepared text DEFAULT 'SELECT') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    SET LOCAL session_replication_role = replica;
    EXECUTE prepared;
    SET LOCAL session_replication_role = DEFAULT;
    EXECUTE tried INTO result;
    RAISE EXCEPTION '%', concat_ws(' ', 'accepted', result) USING ERRCODE = '00001';
EXCEPTION WHEN OTHERS THEN
    RETURN concat(nullif(SQLSTATE, '00001') || ' ', SQLERRM);
END $$;
INSERT INTO fx.users (id, email, username, password_hash) VALUES (pg_temp.id(1), 'a@example.com', 'a', 'x');

-- columns that have another name or type
ALTER TABLE fx.users DISABLE TRIGGER audit_users_trigger;
SELECT pg_temp.try($$UPDATE fx.users SET prefs = '{"currency": "EUR"}'$$, 'ALTER TABLE fx.users RENAME preferences TO prefs');
SELECT pg_temp.try($$INSERT INTO fx.users (email, username, password_hash) VALUES ('b@example.com', 'b', 'x')$$, 'ALTER TABLE fx.users RENAME id TO number');
ALTER TABLE fx.users ENABLE TRIGGER audit_users_trigger;
SELECT pg_temp.try('INSERT INTO fx.cash_flows (user_id, amount) VALUES (pg_temp.id(1), 1)', 'ALTER TABLE fx.cash_flows ALTER amount TYPE double precision');
SELECT pg_temp.try('INSERT INTO fx.cash_flows (user_id, sum) VALUES (pg_temp.id(1), 1)', 'ALTER TABLE fx.cash_flows RENAME amount TO sum');
SELECT pg_temp.try('INSERT INTO fx.cash_flows (amount) VALUES (1)', 'ALTER TABLE fx.cash_flows ALTER user_id DROP NOT NULL');
SELECT pg_temp.try('SELECT fx.deposit(pg_temp.id(1), 1)');

-- counters
SELECT pg_temp.try($$SELECT pg_temp.trade(10, 'buy', 1, 1)$$, 'UPDATE fx.accounts SET day_trades = 2147483646');
SELECT pg_temp.try($$SELECT pg_temp.trade(10, 'buy', 1, 1)$$, 'UPDATE fx.accounts SET day_trades = 2147483647');
SELECT pg_temp.trade(11, 'buy', 1, 1);
SELECT pg_temp.try('SELECT fx.close_trade(pg_temp.id(11), 2)', 'UPDATE fx.accounts SET open_trades = 0');
SELECT pg_temp.try('SELECT fx.close_trade(pg_temp.id(11), 2)', 'UPDATE fx.positions SET open_trades = 0');
SELECT pg_temp.try('SELECT fx.close_trade(pg_temp.id(11), 2)', 'DELETE FROM fx.positions');
-- the same where a limit has to know the position
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value, action) VALUES (pg_temp.id(1), 'size', 'max_position', 'absolute', 5, 'halt');
SELECT pg_temp.try('SELECT fx.close_trade(pg_temp.id(11), 2)', 'DELETE FROM fx.positions');
SELECT pg_temp.try('SELECT fx.close_trade(pg_temp.id(11), 2)');
DELETE FROM fx.risk_limits;

-- what the engine writes itself gets lost
CREATE FUNCTION pg_temp.suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
SELECT pg_temp.try('SELECT fx.close_trade(pg_temp.id(11), 2)', 'CREATE TRIGGER zz BEFORE UPDATE ON fx.trades FOR EACH ROW EXECUTE FUNCTION pg_temp.suppress()');
SELECT pg_temp.try($$SELECT pg_temp.trade(12, 'sell', 1, 2)$$, 'CREATE TRIGGER zz BEFORE UPDATE ON fx.trades FOR EACH ROW EXECUTE FUNCTION pg_temp.suppress()');
SELECT pg_temp.try($$SELECT pg_temp.trade(12, 'buy', 1, 2, 'GBPUSD')$$, 'CREATE TRIGGER zz BEFORE INSERT ON fx.positions FOR EACH ROW EXECUTE FUNCTION pg_temp.suppress()');
SELECT pg_temp.try($$SELECT pg_temp.trade(12, 'buy', 1, 2)$$, 'DELETE FROM fx.accounts; CREATE TRIGGER zz BEFORE INSERT ON fx.accounts FOR EACH ROW EXECUTE FUNCTION pg_temp.suppress()');

-- a cost that no trades can have had
SELECT pg_temp.try('SELECT fx.close_trade(pg_temp.id(11), 1.6e30)', 'UPDATE fx.positions SET long_cost = -999999999999999999999999999999');
SELECT pg_temp.try('SELECT fx.close_trade(pg_temp.id(11), 1.7e30)');
SELECT pg_temp.try('SELECT fx.close_trade(pg_temp.id(11), 1.8e30)');
SELECT pg_temp.try($$SELECT pg_temp.trade(12, 'sell', 1, 1e30)$$,
                   'UPDATE fx.positions SET long_cost = -999999999999999999999999999999; ALTER TABLE fx.trades ALTER price TYPE numeric');

-- numbers that the columns held once they were widened
SELECT pg_temp.try($$SELECT pg_temp.trade(12, 'buy', 1e16, 1e15)$$, 'ALTER TABLE fx.trades ALTER price TYPE numeric, ALTER quantity TYPE numeric, ALTER open_quantity TYPE numeric');
SELECT pg_temp.try('UPDATE fx.trades SET profit = 1.5e30 WHERE id = pg_temp.id(12)',
                   $$ALTER TABLE fx.trades ALTER profit TYPE numeric;
                     INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at, closed_at, profit)
                     VALUES (pg_temp.id(12), pg_temp.id(1), 'EURUSD', 'buy', 'market', 1, 1, 'executed', '2024-03-05 11:00Z', '2024-03-05 11:00Z', -1.5e30)$$);
SELECT pg_temp.try($$SELECT fx.check_risk(pg_temp.id(1), 'EURUSD', 'buy', 1e10, 1)$$);
SELECT fx.create_market_data_partitions('2024-03-01', '2024-04-01') >= 0 AS made;
SELECT pg_temp.try($$SELECT fx.convert(1, 'EUR', 'USD', '2024-03-05 12:00Z')$$,
                   $$DROP TRIGGER keep_candle_revision ON fx.market_data;
                     ALTER TABLE fx.market_data ALTER open_price TYPE numeric, ALTER high_price TYPE numeric, ALTER low_price TYPE numeric, ALTER close_price TYPE numeric;
                     INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume) VALUES ('EURUSD', '1m', '2024-03-05 11:59Z', 1e11, 1e11, 1e11, 1e11, 1)$$);

-- numbers of another type
SELECT pg_temp.try($$SELECT fx.close_trade(pg_temp.id(11), 2, '2024-03-06 12:00Z')$$);
SELECT pg_temp.try($$SELECT fx.close_trade(pg_temp.id(11), 2, '2024-03-06 12:00Z')$$,
                   $$ALTER TABLE fx.instruments ALTER pip_size TYPE double precision, ALTER contract_size TYPE double precision, ALTER swap_long TYPE double precision, ALTER swap_short TYPE double precision, ALTER triple_swap_weekday TYPE integer$$);

-- the symbol of an instrument that its table holds and that of the candles does not
SELECT pg_temp.try($$SELECT fx.ingest_candles('[{"s": "EUR/USD", "tf": "1h", "t": "2024-03-05T10:00:00Z", "o": 1, "h": 1, "l": 1, "c": 1}]'::jsonb)$$,
                   $$ALTER TABLE fx.instruments ALTER symbol TYPE text; UPDATE fx.instruments SET symbol = repeat('/', 5000) || symbol WHERE symbol = 'EURUSD'$$);

-- numbers that the columns hold, in sums and products that nothing holds
UPDATE fx.instruments SET pip_size = 9999999999, swap_long = 9999999999 WHERE symbol = 'EURUSD';
SELECT pg_temp.try($$SELECT fx.close_trade(pg_temp.id(11), 1, '2025-03-05 12:00Z')$$);
DELETE FROM fx.trades;
UPDATE fx.accounts SET position_method = 'hedging';
INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
SELECT pg_temp.id(1), 'EURUSD', side, 'market', 9999999999.99999999, price, 'executed', '2024-03-05 11:00Z'
  FROM generate_series(1, 200), (VALUES ('buy', 9999999999), ('sell', 0.00000001)) AS v (side, price);
SELECT long_cost - short_cost AS net_cost, average_price FROM fx.positions;
SELECT pg_temp.try($$SELECT pg_temp.trade(12, 'buy', 0.00000001, 1)$$);
SELECT pg_temp.try($$SELECT pg_temp.trade(12, 'buy', 1000, 1)$$);
DELETE FROM fx.trades;
-- equity that no account holds is not known
INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
SELECT pg_temp.id(1), 'EURUSD', 'buy', 'market', 9999999999, 0.00000001, 'executed', '2024-03-05 11:00Z' FROM generate_series(1, 2);
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
VALUES ('EURUSD', '1m', '2024-03-05 11:59Z', 9999999999, 9999999999, 9999999999, 9999999999, 1);
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value) VALUES (pg_temp.id(1), 'size', 'max_position', 'percentage', 100);
SELECT utilization_percentage, status FROM fx.risk_utilization(pg_temp.id(1));
SELECT reason FROM fx.check_risk(pg_temp.id(1), 'GBPUSD', 'buy', 1, 1);
DELETE FROM fx.trades;
-- and a share of it that no column holds
UPDATE fx.accounts SET initial_balance = 1000;
SELECT pg_temp.try('SELECT status FROM fx.risk_utilization(pg_temp.id(1))',
                   'ALTER TABLE fx.risk_limits ALTER limit_value TYPE numeric; UPDATE fx.risk_limits SET limit_value = 1.7e30');
SELECT pg_temp.try('SELECT status FROM fx.risk_utilization(pg_temp.id(1))',
                   'ALTER TABLE fx.risk_limits ALTER limit_value TYPE numeric; UPDATE fx.risk_limits SET limit_value = 1.7e28');
ROLLBACK;

-- an account written by SQL after the engine wrote it, and in the very statement that locks it
INSERT INTO fx.users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-000000000001', 'a@example.com', 'a', 'x');
BEGIN;
SELECT fx.deposit('00000000-0000-4000-8000-000000000001', 1);
SET LOCAL session_replication_role = replica;
UPDATE fx.accounts SET balance = 100;
SET LOCAL session_replication_role = DEFAULT;
SELECT fx.deposit('00000000-0000-4000-8000-000000000001', 1);
WITH u AS (UPDATE fx.accounts SET state_reason = 'written' RETURNING user_id) SELECT fx.lock_account(user_id) FROM u;
SELECT fx.deposit('00000000-0000-4000-8000-000000000001', 1);
SELECT balance, state_reason FROM fx.accounts;
ROLLBACK;
BEGIN;
WITH u AS (UPDATE fx.accounts SET state_reason = 'written' RETURNING user_id) SELECT fx.lock_account(user_id) FROM u;
SELECT fx.deposit('00000000-0000-4000-8000-000000000001', 1);
SELECT balance, state_reason FROM fx.accounts;
ROLLBACK;
-- also when the engine writes it then: a day has ended
BEGIN;
SELECT fx.deposit('00000000-0000-4000-8000-000000000001', 1);
SELECT set_config('fxplatform.clock', to_char(now() + interval '10 days', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), true) IS NOT NULL AS later;
WITH u AS (UPDATE fx.accounts SET state_reason = 'written' RETURNING user_id) SELECT fx.lock_account(user_id) FROM u;
SELECT balance, state_reason, day_started_at > now() AS rolled FROM fx.accounts;
ROLLBACK;
BEGIN;
SELECT set_config('fxplatform.clock', to_char(now() + interval '10 days', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), true) IS NOT NULL AS later;
WITH u AS (UPDATE fx.accounts SET state_reason = 'written' RETURNING user_id) SELECT fx.lock_account(user_id) FROM u;
SELECT balance, state_reason, day_started_at > now() AS rolled FROM fx.accounts;
ROLLBACK;

-- an initial balance of other digits is the same; no orders at all, but a warning
BEGIN;
UPDATE fx.accounts SET initial_balance = initial_balance + 1;
ALTER TABLE fx.accounts ALTER initial_balance TYPE numeric;
UPDATE fx.accounts SET initial_balance = 1.00000000000;
SELECT initial_balance, balance, high_water_mark FROM fx.accounts;
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value, action, window_seconds)
VALUES ('00000000-0000-4000-8000-000000000001', 'none', 'max_order_rate', 'absolute', 0, 'warn', 60);
INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status)
SELECT '00000000-0000-4000-8000-000000000001', 'EURUSD', 'buy', 'limit', 1, 1, 'pending' FROM generate_series(1, 2);
SELECT event, reason FROM fx.risk_events;
ROLLBACK;

-- more prices than a session remembers: the others are read every time
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value)
VALUES ('00000000-0000-4000-8000-000000000001', 'size', 'max_position', 'absolute', 1000);
SET fxplatform.price_cache = '1min';
SELECT DISTINCT projected_value, allowed FROM generate_series(1, 4200) AS n, fx.check_risk('00000000-0000-4000-8000-000000000001', 'SYM' || n, 'buy', 7, 1);
SELECT DISTINCT projected_value, allowed FROM generate_series(1, 4200, 100) AS n, fx.check_risk('00000000-0000-4000-8000-000000000001', 'SYM' || n, 'buy', 8, 1);
RESET fxplatform.price_cache;

DELETE FROM fx.users;
TRUNCATE fx.audit_log;
