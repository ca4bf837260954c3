--
-- Closing trades: golden values of profit, conversion, swap and cost, by each
-- method, whole and in parts
--
SET timezone = 'UTC';
SET fxplatform.clock = '2024-03-08 12:00:00+00';
BEGIN;
SET LOCAL search_path = fx, public;
INSERT INTO users (id, email, username, password_hash, preferences)
SELECT ('00000000-0000-4000-8000-0000000000a' || n)::uuid, n || '@example.com', n, 'x', jsonb_build_object('initialBalance', 100000, 'accountCurrency', c) FROM (VALUES (1, 'USD'), (2, 'USD'), (3, 'USD'), (4, 'EUR')) AS v (n, c);
UPDATE accounts SET position_method = 'fifo' WHERE user_id = '00000000-0000-4000-8000-0000000000a2';
UPDATE accounts SET position_method = 'hedging' WHERE user_id = '00000000-0000-4000-8000-0000000000a3';
CREATE FUNCTION pg_temp.put(id text, who integer, symbol text, units numeric, price numeric, at text DEFAULT '2024-03-06 10:00') RETURNS void LANGUAGE sql AS $$
    INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at)
    VALUES (('00000000-0000-4000-8000-0000000000' || id)::uuid, ('00000000-0000-4000-8000-0000000000a' || who)::uuid, symbol, CASE WHEN units > 0 THEN 'buy' ELSE 'sell' END, 'market', abs(units), price, 'executed', (at || '+00')::timestamptz)
$$;
CREATE FUNCTION pg_temp.close(id text, price numeric, at text DEFAULT '2024-03-06 20:00', quantity numeric DEFAULT NULL, commission numeric DEFAULT 0, swap numeric DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN trim_scale(fx.close_trade(('00000000-0000-4000-8000-0000000000' || id)::uuid, price, (at || '+00')::timestamptz, commission, swap, quantity));
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
CREATE VIEW pg_temp.seen AS
SELECT right(id::text, 2) AS id, symbol, type, trim_scale(quantity) AS quantity, trim_scale(open_quantity) AS open, to_char(closed_at, 'DD HH24:MI') AS closed, trim_scale(close_price) AS close_price, trim_scale(profit) AS profit, trim_scale(commission) AS commission,
       trim_scale(swap) AS swap, profit_source AS source, position_method AS method, trim_scale(round(conversion_rate, 12)) AS rate, conversion_pair AS pair, to_char(conversion_at, 'DD HH24:MI') AS rate_at FROM fx.trades;
CREATE VIEW pg_temp.book AS
SELECT right(user_id::text, 1) AS "user", symbol, trim_scale(long_quantity) AS long, trim_scale(long_cost) AS long_cost, trim_scale(short_quantity) AS short, trim_scale(short_cost) AS short_cost, trim_scale(average_price) AS average, trim_scale(realized_pnl) AS realized, open_trades AS open FROM fx.positions;
CREATE VIEW pg_temp.parts AS
SELECT right(trade_id::text, 2) AS trade, right(closing_trade_id::text, 2) AS by, trim_scale(quantity) AS quantity, trim_scale(cost) AS cost, trim_scale(close_price) AS price, trim_scale(realized) AS realized, trim_scale(profit) AS profit, profit_source AS source, position_method AS method FROM fx.closures ORDER BY id;
-- rates
SELECT create_market_data_partitions('2024-03-01', '2024-04-01') \g /dev/null
INSERT INTO market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
SELECT s, '1m', t, p, p, p, p, 1 FROM (VALUES ('GBPUSD', 1.2601), ('EURUSD', 1.1), ('USDCAD', 1.35)) AS v (s, p), generate_series(timestamptz '2024-03-06 09:00+00', '2024-03-08 12:00+00', '1 hour') AS t;

-- one lot of EURUSD, 25 pips; one of USDJPY, 50 down, at the closing price; half of EURGBP by GBPUSD; USDCAD by its own price
SELECT pg_temp.put('01', 1, 'EURUSD', 100000, 1.1), pg_temp.put('02', 1, 'USDJPY', 100000, 150), pg_temp.put('03', 1, 'EURGBP', -50000, 0.85), pg_temp.put('04', 1, 'USDCAD', 100000, 1.35) \g /dev/null
SELECT pg_temp.close('01', 1.1025), pg_temp.close('02', 149.5), pg_temp.close('03', 0.846), pg_temp.close('04', 1.36);
SELECT * FROM pg_temp.seen ORDER BY id;
SELECT * FROM pg_temp.parts;
SELECT trim_scale(balance) AS balance FROM accounts WHERE user_id = '00000000-0000-4000-8000-0000000000a1';
SELECT * FROM pg_temp.book ORDER BY 1, 2;
-- the account of another currency: the base of the pair, a cross, and no rate
SELECT pg_temp.put('05', 4, 'EURUSD', 100000, 1.1), pg_temp.put('06', 4, 'GBPCAD', 1000, 1.7), pg_temp.put('07', 4, 'AUDNZD', 1000, 1.09) \g /dev/null
SELECT pg_temp.close('05', 1.1025), pg_temp.close('06', 1.71), pg_temp.close('07', 1.1);
SELECT * FROM pg_temp.seen WHERE id IN ('05', '06', '07') ORDER BY id;
-- the application knows what that brought
UPDATE trades SET closed_at = '2024-03-06 20:00+00', close_price = 1.1, profit = 5.5 WHERE id = '00000000-0000-4000-8000-000000000007';
SELECT * FROM pg_temp.seen WHERE id = '07';
SELECT * FROM verify_positions();

-- long 1.0 at 1.1000, 1.0 at 1.1100, sold 1.0 at 1.1050
SELECT pg_temp.put('1' || who, who, 'EURUSD', 100000, 1.1, '2024-03-06 10:00'), pg_temp.put('2' || who, who, 'EURUSD', 100000, 1.11, '2024-03-06 11:00'), pg_temp.put('3' || who, who, 'EURUSD', -100000, 1.105, '2024-03-06 12:00') FROM generate_series(1, 3) AS who \g /dev/null
SELECT * FROM pg_temp.seen WHERE id ~ '^[123][123]$' ORDER BY right(id, 1), id;
SELECT * FROM pg_temp.book WHERE symbol = 'EURUSD' ORDER BY 1, 2;
SELECT * FROM pg_temp.parts WHERE trade ~ '^[123][123]$';
-- hedging closes a ticket
SELECT pg_temp.close('13', 1.105), pg_temp.close('33', 1.104);
SELECT * FROM pg_temp.book WHERE symbol = 'EURUSD' ORDER BY 1, 2;
-- in fifo only the oldest; in netting any, at the average
SELECT pg_temp.put('42', 2, 'EURUSD', 100000, 1.12, '2024-03-06 13:00'), pg_temp.put('41', 1, 'EURUSD', 100000, 1.12, '2024-03-06 13:00') \g /dev/null
SELECT pg_temp.close('42', 1.13) AS newer, pg_temp.close('22', 1.13) AS oldest, pg_temp.close('42', 1.13) AS then, pg_temp.close('41', 1.13) AS netting;
SELECT * FROM pg_temp.book WHERE symbol = 'EURUSD' ORDER BY 1, 2;
SELECT * FROM verify_positions();

-- flip: long 1.0 at 1.1000, sold 1.5 at 1.1040
SELECT pg_temp.put('5' || who, who, 'GBPUSD', 100000, 1.1, '2024-03-06 10:00'), pg_temp.put('6' || who, who, 'GBPUSD', -150000, 1.104, '2024-03-06 12:00') FROM generate_series(1, 2) AS who \g /dev/null
SELECT * FROM pg_temp.seen WHERE id ~ '^[56][12]$' ORDER BY right(id, 1), id;
SELECT * FROM pg_temp.book WHERE symbol = 'GBPUSD' ORDER BY 1, 2;
-- one fill uses up three trades, the last in part: profits of the parts add up to that of the fill
SELECT pg_temp.put('7' || n, 2, 'NZDUSD', n, 0.6 + n * 0.00333333, '2024-03-06 1' || n || ':00') FROM generate_series(1, 3) AS n \g /dev/null
SELECT pg_temp.put('74', 2, 'NZDUSD', -5.5, 0.61111111, '2024-03-06 15:00') \g /dev/null
SELECT * FROM pg_temp.seen WHERE id ~ '^7' ORDER BY id;
SELECT * FROM pg_temp.parts WHERE by = '74';
SELECT (SELECT profit FROM trades WHERE id = '00000000-0000-4000-8000-000000000074') = sum(profit) AS adds_up FROM closures WHERE closing_trade_id = '00000000-0000-4000-8000-000000000074';
SELECT * FROM verify_positions();

-- in parts: thirds of an average that does not end
SELECT pg_temp.put('81', 1, 'AUDUSD', 1, 0.65, '2024-03-06 10:00'), pg_temp.put('82', 1, 'AUDUSD', 2, 0.66666667, '2024-03-06 11:00') \g /dev/null
SELECT pg_temp.close('82', 0.7, quantity => 1, commission => 0.5) AS part, pg_temp.close('82', 0.7, quantity => 1.5) AS too_much, pg_temp.close('82', 0.71, quantity => 1, commission => 0.25) AS rest, pg_temp.close('82', 0.71) AS again;
SELECT * FROM pg_temp.seen WHERE id = '82';
SELECT * FROM pg_temp.parts WHERE trade = '82';
SELECT pg_temp.close('81', 0.7);
SELECT * FROM pg_temp.book WHERE symbol = 'AUDUSD';
SELECT * FROM verify_positions();

-- swap: 1 lot, -7.2 points, Wednesday is triple; each 17:00 of New York (22:00 UTC) from Monday to Friday; short 2.5
UPDATE instruments SET swap_long = -7.2, swap_short = 2.5 WHERE symbol = 'EURUSD';
UPDATE instruments SET swap_long = -6 WHERE symbol = 'USDJPY';
SELECT n, opened, closed, pg_temp.put(id, 3, symbol, units, price, opened) IS NULL AS opened, pg_temp.close(id, price, closed, swap => given) AS profit
  FROM (VALUES
    (1, '91', 'EURUSD', 100000, 1.1, '2024-03-06 10:00', '2024-03-07 10:00', NULL), (2, '92', 'EURUSD', 100000, 1.1, '2024-03-05 10:00', '2024-03-06 10:00', NULL), (3, '93', 'EURUSD', -50000, 1.1, '2024-03-04 10:00', '2024-03-08 10:00', NULL),
    (4, '94', 'EURUSD', 100000, 1.1, '2024-03-06 21:59:59', '2024-03-06 22:00:00', NULL), (5, '95', 'EURUSD', 100000, 1.1, '2024-03-06 22:00:00', '2024-03-07 21:59:59', NULL), (6, '96', 'EURUSD', 100000, 1.1, '2024-03-01 10:00', '2024-03-04 10:00', NULL),
    (7, '97', 'EURUSD', 100000, 1.1, '2024-03-06 10:00', '2024-03-07 10:00', -3.3), (8, '98', 'USDJPY', 100000, 150, '2024-03-06 10:00', '2024-03-07 10:00', NULL), (9, '99', 'USDJPY', -100000, 150, '2024-03-06 10:00', '2024-03-07 10:00', NULL)) AS v (n, id, symbol, units, price, opened, closed, given)
 ORDER BY n;
SELECT id, symbol, type, closed, swap FROM pg_temp.seen WHERE id LIKE '9%' ORDER BY id;

-- what cannot be
SELECT pg_temp.put('a8', 1, 'EURCHF', 10, 0.95) \g /dev/null
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, status, executed_at) VALUES ('00000000-0000-4000-8000-0000000000a9', '00000000-0000-4000-8000-0000000000a1', 'EURJPY', 'buy', 'market', 10, 'executed', '2024-03-06 10:00:00+00');
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price) VALUES ('00000000-0000-4000-8000-0000000000b0', '00000000-0000-4000-8000-0000000000a1', 'EURJPY', 'buy', 'limit', 10, 160);
SELECT n, answer FROM (VALUES (1, pg_temp.close('a8', 0.96)), (2, pg_temp.close('a9', 161)), (3, pg_temp.close('b0', 161)), (4, pg_temp.close('01', 1.2)), (5, pg_temp.close('ff', 1.2)), (6, pg_temp.close('a8', NULL)), (7, pg_temp.close('a8', 0)), (8, pg_temp.close('a8', 'NaN')), (9, pg_temp.close('a8', 'Infinity')),
    (10, pg_temp.close('a8', 1, '2024-03-06 09:59')), (11, pg_temp.close('a8', 1, quantity => 0)), (12, pg_temp.close('a8', 1, quantity => -1)), (13, pg_temp.close('a8', 1, commission => -1)), (14, pg_temp.close('a8', 1, commission => NULL)), (15, pg_temp.close('a8', 1, swap => 'NaN')), (16, pg_temp.close('a8', 1, quantity => 10.00000001))) AS v (n, answer) ORDER BY n;
SELECT * FROM verify_positions();
ROLLBACK;
RESET fxplatform.clock;
RESET timezone;
