--
-- Closing trades: by the opposite side and by fx.close_trade, under the three
-- methods; profits, rates, swaps
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SELECT fx.create_market_data_partitions('2024-01-01', '2024-02-01') >= 0 AS made;
BEGIN;
SET LOCAL search_path = fx, public;
SET LOCAL fxplatform.clock = '2024-01-11T22:30:00Z';
\set a1 00000000-0000-4000-8000-0000000000a1
INSERT INTO users (id, email, username, password_hash, preferences)
SELECT ('00000000-0000-4000-8000-0000000000a' || n)::uuid, n || '@example.com', n, 'x', '{"initialBalance": 100000}' FROM generate_series(1, 4) AS n;
UPDATE accounts SET position_method = CASE right(user_id::text, 1) WHEN '2' THEN 'fifo' WHEN '3' THEN 'hedging' ELSE 'netting' END;
INSERT INTO market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
VALUES ('GBPUSD', '1m', '2024-01-10 11:58+00', 1.26, 1.2602, 1.26, 1.2601, 1);
UPDATE instruments SET swap_long = -7.2, swap_short = 2.5, triple_swap_weekday = 3 WHERE symbol = 'EURUSD';

-- a trade of the number n, of user u; lots of 100000 units
CREATE FUNCTION pg_temp.fill(u int, n int, symbol text, type text, lots numeric, price numeric, at text, profit numeric DEFAULT 0)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at, profit)
    VALUES (('00000000-0000-4000-8000-00000000' || u || lpad(n::text, 3, '0'))::uuid, ('00000000-0000-4000-8000-0000000000a' || u)::uuid,
            symbol, type, 'market', lots * 100000, price, 'executed', at::timestamptz, profit)
$$;
CREATE FUNCTION pg_temp.id(u int, n int) RETURNS uuid LANGUAGE sql AS $$
    SELECT ('00000000-0000-4000-8000-00000000' || u || lpad(n::text, 3, '0'))::uuid
$$;
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    detail text;
    hint text;
BEGIN
    EXECUTE statement INTO result;
    RETURN coalesce(result, 'done');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''), nullif(hint, ''));
END
$$;
CREATE VIEW pg_temp.ticket AS
    SELECT right(id::text, 4) AS trade, type, trim_scale(quantity) AS quantity, trim_scale(price) AS price, trim_scale(open_quantity) AS open, closed_at,
           trim_scale(close_price) AS close_price, trim_scale(profit) AS profit, profit_source AS source, position_method AS method FROM fx.trades;
CREATE VIEW pg_temp.closed AS
    SELECT right(trade_id::text, 4) AS trade, right(closing_trade_id::text, 4) AS by, type, trim_scale(quantity) AS quantity, trim_scale(cost) AS cost, trim_scale(close_price) AS price,
           trim_scale(realized) AS realized, trim_scale(profit) AS profit, profit_source AS source, position_method AS method, round(conversion_rate, 8) AS rate, conversion_pair AS pair, conversion_at AS rate_at
      FROM fx.closures;
CREATE VIEW pg_temp.book AS
    SELECT right(user_id::text, 1) AS "user", symbol, trim_scale(long_quantity) AS long, trim_scale(short_quantity) AS short, trim_scale(long_cost) AS long_cost, trim_scale(short_cost) AS short_cost,
           trim_scale(average_price) AS average, trim_scale(realized_pnl) AS realized, open_trades AS trades, trim_scale(last_price) AS last FROM fx.positions;

-- the same fills under the three methods
SELECT pg_temp.fill(u, 1, 'EURUSD', 'buy', 1, 1.1000, '2024-01-10 10:00+00'),
       pg_temp.fill(u, 2, 'EUR/USD', 'buy', 1, 1.1100, '2024-01-10 10:01+00'),
       pg_temp.fill(u, 3, 'eurusd', 'sell', 1, 1.1050, '2024-01-10 10:02+00') FROM generate_series(1, 3) AS u;
SELECT * FROM pg_temp.book ORDER BY 1;
SELECT * FROM pg_temp.ticket ORDER BY 1;
SELECT * FROM pg_temp.closed ORDER BY 1, 2;
SELECT right(user_id::text, 1) AS "user", trim_scale(balance) AS balance, open_trades FROM accounts ORDER BY 1;
SELECT * FROM verify_positions();

-- flip: long 1.0, sell 1.5
SAVEPOINT s;
DELETE FROM trades;
SELECT pg_temp.fill(u, 4, 'EURUSD', 'buy', 1, 1.1000, '2024-01-10 10:00+00'), pg_temp.fill(u, 5, 'EURUSD', 'sell', 1.5, 1.1040, '2024-01-10 10:01+00') FROM generate_series(1, 3) AS u;
SELECT * FROM pg_temp.book ORDER BY 1;
SELECT * FROM pg_temp.ticket ORDER BY 1;
SELECT * FROM verify_positions();
ROLLBACK TO s;
DELETE FROM trades;
SELECT * FROM pg_temp.book ORDER BY 1;

-- a whole round trip makes the same in the quote currency by all methods
SELECT pg_temp.fill(u, 10 + n, 'EURUSD', t.type, t.lots, t.price, (timestamptz '2024-01-10 12:00+00' + n * interval '1 minute')::text)
  FROM generate_series(1, 2) AS u, (VALUES (1, 'buy', 1.37, 1.10003), (2, 'buy', 0.21, 1.10507), (3, 'sell', 0.95, 1.10111), (4, 'buy', 0.33, 1.09), (5, 'sell', 1.7, 1.10203), (6, 'buy', 0.74, 1.10999)) AS t (n, type, lots, price);
SELECT * FROM pg_temp.book ORDER BY 1;
SELECT right(user_id::text, 1) AS "user", trim_scale(sum(profit)) AS profit FROM trades GROUP BY 1 ORDER BY 1;
SELECT right(t.user_id::text, 1) AS "user", count(*) AS fills, bool_and(c.profit = t.profit) AS add_up
  FROM trades t JOIN (SELECT closing_trade_id, sum(profit) AS profit FROM closures GROUP BY 1) AS c ON c.closing_trade_id = t.id GROUP BY 1 ORDER BY 1;
SELECT * FROM verify_positions();
DELETE FROM trades;

-- golden values
SELECT pg_temp.fill(4, 1, 'EURUSD', 'buy', 1, 1.10000, '2024-01-10 10:00+00');
SELECT close_trade(pg_temp.id(4, 1), 1.10250, '2024-01-10 12:00+00');
SELECT pg_temp.fill(4, 2, 'USDJPY', 'buy', 1, 150.000, '2024-01-10 10:00+00');
SELECT close_trade(pg_temp.id(4, 2), 149.500, '2024-01-10 12:00+00');
SELECT pg_temp.fill(4, 3, 'EURGBP', 'sell', 0.5, 0.85000, '2024-01-10 10:00+00');
SELECT close_trade(pg_temp.id(4, 3), 0.84600, '2024-01-10 12:00+00');
SELECT * FROM pg_temp.ticket ORDER BY 1;
SELECT * FROM pg_temp.closed ORDER BY 1;
SELECT right(id::text, 4) AS trade, conversion_rate, conversion_pair, conversion_at FROM trades ORDER BY 1;
SELECT * FROM pg_temp.book ORDER BY 2;
SELECT trim_scale(balance) AS balance, open_trades, consecutive_losses FROM accounts WHERE user_id = '00000000-0000-4000-8000-0000000000a4';

-- swap: a night, that of Wednesday three times, none of the weekend; what is given is taken
CREATE FUNCTION pg_temp.swap(n int, type text, opened text, closed text, symbol text DEFAULT 'EURUSD', OUT profit numeric, OUT swap numeric) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.fill(4, n, symbol, type, 1, 1.1, opened);
    profit := trim_scale(fx.close_trade(pg_temp.id(4, n), 1.1, closed::timestamptz));
    SELECT trim_scale(t.swap) INTO swap FROM fx.trades t WHERE t.id = pg_temp.id(4, n);
END
$$;
SELECT x.*, s.* FROM (VALUES (11, 'buy', '2024-01-10 12:00+00', '2024-01-11 12:00+00'), (12, 'sell', '2024-01-10 12:00+00', '2024-01-11 12:00+00'),
               (13, 'buy', '2024-01-09 12:00+00', '2024-01-10 12:00+00'), (14, 'buy', '2024-01-10 21:59:59+00', '2024-01-10 22:00+00'),
               (15, 'buy', '2024-01-10 22:00+00', '2024-01-11 21:59:59.999999+00'), (16, 'buy', '2024-01-05 12:00+00', '2024-01-08 12:00+00'),
               (17, 'sell', '2024-01-02 12:00+00', '2024-01-09 12:00+00'), (18, 'buy', '2024-01-06 12:00+00', '2024-01-07 12:00+00')) AS x (n, type, opened, closed),
       LATERAL pg_temp.swap(x.n, x.type, x.opened, x.closed) AS s ORDER BY 1;
-- in another currency, without points, without an instrument
UPDATE instruments SET swap_long = 3, swap_short = NULL WHERE symbol = 'EURGBP';
SELECT * FROM pg_temp.swap(21, 'buy', '2024-01-09 10:00+00', '2024-01-10 12:00+00', 'EURGBP');
SELECT * FROM pg_temp.swap(22, 'sell', '2024-01-09 10:00+00', '2024-01-10 12:00+00', 'EURGBP');
SELECT * FROM pg_temp.swap(23, 'buy', '2024-01-09 10:00+00', '2024-01-10 12:00+00', 'XXXUSD');
SELECT * FROM verify_positions();

-- parts: profit, commission and swap add up, the rest stays open
DELETE FROM trades;
SELECT pg_temp.fill(u, 30, 'EURUSD', 'buy', 1, 1.1000, '2024-01-10 10:00+00'), pg_temp.fill(u, 31, 'EURUSD', 'buy', 1, 1.1100, '2024-01-10 10:01+00') FROM generate_series(1, 3) AS u;
SELECT u, close_trade(pg_temp.id(u, 30), 1.1200, '2024-01-10 12:00+00', 1.5, -0.25, 40000) FROM generate_series(1, 3) AS u;
SELECT * FROM pg_temp.book ORDER BY 1;
SELECT u, close_trade(pg_temp.id(u, 30), 1.1210, '2024-01-10 12:01+00', commission => 2, swap => 0.5, quantity => 60000) FROM generate_series(1, 3) AS u;
SELECT t.*, trim_scale(commission) AS commission, trim_scale(swap) AS swap FROM pg_temp.ticket t JOIN trades ON right(id::text, 4) = t.trade ORDER BY 1;
SELECT * FROM pg_temp.closed ORDER BY 1, quantity;
SELECT * FROM pg_temp.book ORDER BY 1;
SELECT right(user_id::text, 1) AS "user", trim_scale(balance) AS balance, open_trades FROM accounts ORDER BY 1;
SELECT * FROM verify_positions();

-- now, when no time is given
SELECT close_trade(pg_temp.id(3, 31), 1.1150);
SELECT closed_at FROM trades WHERE id = pg_temp.id(3, 31);

-- errors
SELECT pg_temp.fill(2, 32, 'EURUSD', 'buy', 1, 1.1, '2024-01-10 10:02+00'), pg_temp.fill(4, 33, 'EURUSD', 'buy', 1, NULL, '2024-01-10 10:02+00'), pg_temp.fill(4, 34, 'XAUUSD', 'sell', 0.001, 2000, '2024-01-10 10:02+00'),
       pg_temp.fill(4, 35, 'EURJPY', 'sell', 1, 160, '2024-01-10 10:02+00'), pg_temp.fill(4, 36, 'NOTHING', 'sell', 1, 160, '2024-01-10 10:02+00');
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status) VALUES (pg_temp.id(4, 37), '00000000-0000-4000-8000-0000000000a4', 'EURUSD', 'buy', 'limit', 1, 1, 'pending');
INSERT INTO strategies (id, user_id, name, type) VALUES (pg_temp.id(4, 1), '00000000-0000-4000-8000-0000000000a4', 's', 'manual');
INSERT INTO backtests (id, strategy_id, user_id, name) VALUES (pg_temp.id(4, 1), pg_temp.id(4, 1), '00000000-0000-4000-8000-0000000000a4', 'b');
INSERT INTO trades (id, user_id, backtest_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (pg_temp.id(4, 38), '00000000-0000-4000-8000-0000000000a4', pg_temp.id(4, 1), 'EURUSD', 'buy', 'limit', 1, 1, 'executed', '2024-01-10 10:00+00');
SELECT n, pg_temp.try(format('SELECT fx.close_trade(%s)', replace(args, '@', pg_temp.id(4, 34)::text))) FROM (VALUES
    (1, $$NULL, 1$$), (2, $$'@', NULL$$), (3, $$'@', 0$$), (4, $$'@', -1$$), (5, $$'@', 'NaN'$$), (6, $$'@', 'Infinity'$$),
    (7, $$'@', 2001, 'infinity'$$), (8, $$'@', 2001, '2024-01-10 10:01:59+00'$$), (9, $$'@', 2001, NULL, -1$$), (10, $$'@', 2001, NULL, 'NaN'$$), (11, $$'@', 2001, NULL, 0, 'Infinity'$$),
    (12, $$'@', 2001, quantity => 0$$), (13, $$'@', 2001, quantity => 100.00000001$$), (14, $$'00000000-0000-4000-8000-00000000dead', 1$$),
    (15, format('%L, 1', pg_temp.id(4, 37))), (16, format('%L, 1', pg_temp.id(4, 38))), (17, format('%L, 1', pg_temp.id(3, 31))),
    (18, format('%L, 1', pg_temp.id(2, 32))), (19, format('%L, 1', pg_temp.id(4, 33))), (20, format('%L, 1', pg_temp.id(4, 35))), (21, format('%L, 1', pg_temp.id(4, 36))),
    (22, $$'@', 2001, commission => NULL, swap => NULL, quantity => NULL$$)) AS v (n, args) ORDER BY n;
-- a price that was set late
UPDATE trades SET price = 1.1 WHERE id = pg_temp.id(4, 33);
SELECT pg_temp.try(format('SELECT fx.close_trade(%L, 1.2)', pg_temp.id(4, 33)));
SELECT * FROM verify_positions();

-- an opposite trade whose profit cannot be computed is refused, unless the application says what it made
SELECT pg_temp.try($$SELECT pg_temp.fill(4, 40, 'EURJPY', 'buy', 1, 161, '2024-01-10 11:00+00')$$);
SELECT pg_temp.try($$SELECT pg_temp.fill(4, 40, 'EURJPY', 'buy', 1, NULL, '2024-01-10 11:00+00')$$);
SELECT pg_temp.try($$SELECT pg_temp.fill(4, 40, 'EURJPY', 'buy', 1, 161, '2024-01-10 11:00+00', -650)$$);
SELECT pg_temp.try($$SELECT pg_temp.fill(4, 41, 'GBPUSD', 'buy', 1, NULL, '2024-01-10 11:00+00')$$);
SELECT pg_temp.try($$SELECT pg_temp.fill(4, 42, 'GBPUSD', 'sell', 1, 1.26, '2024-01-10 11:01+00')$$);
SELECT pg_temp.try($$SELECT pg_temp.fill(4, 42, 'GBPUSD', 'sell', 1, 1.26, '2024-01-10 11:01+00', 12.5)$$);
SELECT * FROM pg_temp.ticket WHERE trade IN ('4035', '4040', '4041', '4042') ORDER BY 1;
SELECT * FROM pg_temp.closed WHERE by IN ('4040', '4042') ORDER BY 1;
-- the price of a trade that was closed without one
UPDATE trades SET price = 1.25 WHERE id = pg_temp.id(4, 41);
SELECT * FROM pg_temp.closed WHERE by = '4042';
SELECT * FROM verify_positions();

-- halted
UPDATE accounts SET trading_state = 'halted' WHERE user_id = '00000000-0000-4000-8000-0000000000a4';
SELECT pg_temp.try(format('SELECT fx.close_trade(%L, 1.2)', pg_temp.id(4, 36)));
SELECT pg_temp.try(format('UPDATE fx.trades SET closed_at = executed_at WHERE id = %L RETURNING 1', pg_temp.id(4, 36)));
UPDATE accounts SET trading_state = 'reduce_only' WHERE user_id = '00000000-0000-4000-8000-0000000000a4';
SELECT pg_temp.try(format('UPDATE fx.trades SET closed_at = executed_at WHERE id = %L RETURNING 1', pg_temp.id(4, 36)));
SELECT * FROM verify_positions();
ROLLBACK;

-- rights: a user closes what is his own, by row security
BEGIN;
INSERT INTO fx.users (id, email, username, password_hash) SELECT ('00000000-0000-4000-8000-0000000000a' || n)::uuid, n || '@example.com', n, 'x' FROM generate_series(1, 2) AS n;
INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at)
SELECT ('00000000-0000-4000-8000-0000000000d' || n)::uuid, ('00000000-0000-4000-8000-0000000000a' || n)::uuid, 'EURUSD', 'buy', 'market', 1000, 1.1, 'executed', '2024-01-10 10:00+00' FROM generate_series(1, 2) AS n;
SET LOCAL ROLE fx_user;
SET LOCAL app.current_user_id = :'a1';
SELECT fx.close_trade('00000000-0000-4000-8000-0000000000d1', 1.2, '2024-01-10 11:00+00');
SAVEPOINT s;
SELECT fx.close_trade('00000000-0000-4000-8000-0000000000d2', 1.2, '2024-01-10 11:00+00');
ROLLBACK TO s;
SET LOCAL ROLE fx_reporting;
SELECT fx.close_trade('00000000-0000-4000-8000-0000000000d2', 1.2, '2024-01-10 11:00+00');
ROLLBACK TO s;
SET LOCAL ROLE fx_app;
SELECT fx.close_trade('00000000-0000-4000-8000-0000000000d2', 1.2, '2024-01-10 11:00+00');
SELECT * FROM fx.verify_positions();
RESET ROLE;
-- a trigger that swallows the update
SAVEPOINT s;
CREATE FUNCTION pg_temp.swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER swallow BEFORE UPDATE ON fx.trades FOR EACH ROW EXECUTE FUNCTION pg_temp.swallow();
INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES ('00000000-0000-4000-8000-0000000000d3', :'a1', 'EURUSD', 'buy', 'market', 1000, 1.1, 'executed', '2024-01-10 10:00+00');
SELECT fx.close_trade('00000000-0000-4000-8000-0000000000d3', 1.2, '2024-01-10 11:00+00');
ROLLBACK TO s;
ROLLBACK;
DROP TABLE fx.market_data_2024_01;
