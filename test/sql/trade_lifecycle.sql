--
-- Lifecycle of trades, and what statements that write them do to the books
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SELECT fx.create_market_data_partitions('2024-01-01', '2024-02-01') >= 0 AS made;
\set a1 00000000-0000-4000-8000-0000000000a1
\set a2 00000000-0000-4000-8000-0000000000a2
BEGIN;
SET LOCAL search_path = fx, public;
SET LOCAL fxplatform.clock = '2024-01-10T20:00:00Z';
INSERT INTO users (id, email, username, password_hash, preferences)
SELECT ('00000000-0000-4000-8000-0000000000a' || n)::uuid, n || '@example.com', n, 'x', '{"initialBalance": 100000}' FROM generate_series(1, 3) AS n;
CREATE FUNCTION pg_temp.id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT ('00000000-0000-4000-8000-00000000' || lpad(n::text, 4, '0'))::uuid
$$;
-- how many rows, or the error; and what is wrong with the books then
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    col text;
    hint text;
    detail text;
    n bigint;
BEGIN
    BEGIN
        EXECUTE statement;
        GET DIAGNOSTICS n = ROW_COUNT;
        result := 'rows ' || n;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS col = COLUMN_NAME, hint = PG_EXCEPTION_HINT, detail = PG_EXCEPTION_DETAIL;
        result := concat_ws(' | ', SQLSTATE, SQLERRM, nullif(col, ''), CASE WHEN detail NOT LIKE '{%' AND detail NOT LIKE 'Failing row%' THEN nullif(detail, '') END, nullif(hint, ''));
    END;
    RETURN concat_ws(' | ', result, (SELECT string_agg(v::text, ', ') FROM fx.verify_positions() AS v));
END
$$;
CREATE VIEW pg_temp.ticket AS
    SELECT right(id::text, 4) AS trade, right(user_id::text, 1) AS "user", symbol, type, trim_scale(quantity) AS quantity, trim_scale(price) AS price, trim_scale(open_quantity) AS open, status, closed_at,
           trim_scale(close_price) AS close_price, trim_scale(profit) AS profit, profit_source AS source, position_method AS method FROM fx.trades;
CREATE VIEW pg_temp.book AS
    SELECT right(user_id::text, 1) AS "user", symbol, trim_scale(long_quantity) AS long, trim_scale(short_quantity) AS short, trim_scale(long_cost) AS long_cost, trim_scale(short_cost) AS short_cost,
           trim_scale(average_price) AS average, trim_scale(realized_pnl) AS realized, open_trades AS trades, unpriced_trades AS unpriced, trim_scale(last_price) AS last FROM fx.positions;
CREATE VIEW pg_temp.account AS
    SELECT right(user_id::text, 1) AS "user", trim_scale(balance) AS balance, trim_scale(day_balance) AS day_balance, open_trades AS open, day_trades AS today, consecutive_losses AS losses, losing_since, last_closed_at FROM fx.accounts;

-- which status may follow which
CREATE TEMPORARY TABLE states (n int, status text, executed_at timestamptz);
INSERT INTO states VALUES (1, 'pending', NULL), (2, 'executed', '2024-01-10 10:00+00'), (3, 'rejected', NULL), (4, 'cancelled', NULL), (5, NULL, NULL);
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at)
SELECT pg_temp.id(s.n * 10 + t.n), :'a1', 'EURUSD', 'buy', 'limit', 1000, 1.1, s.status, s.executed_at FROM states s, states t;
SELECT s.status AS "from", coalesce(t.status, 'null') AS "to",
       pg_temp.try(format('UPDATE fx.trades SET status = %L, executed_at = coalesce(executed_at, ''2024-01-10 10:00+00'') WHERE id = %L', t.status, pg_temp.id(s.n * 10 + t.n))) AS result
  FROM states s, states t ORDER BY s.n, t.n;
SELECT pg_temp.try($$UPDATE fx.trades SET status = 'filled' WHERE id = '00000000-0000-4000-8000-000000000022'$$);
SELECT pg_temp.try($$UPDATE fx.trades SET status = 'filled' WHERE id = '00000000-0000-4000-8000-000000000011'$$);
SELECT * FROM pg_temp.book;
SELECT * FROM pg_temp.account ORDER BY 1;

-- what stays as it was executed
DELETE FROM trades;
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES
    (pg_temp.id(1), :'a1', 'EURUSD', 'buy', 'market', 1000, 1.1, 'executed', '2024-01-10 10:00+00'), (pg_temp.id(2), :'a1', 'EURUSD', 'buy', 'market', 1000, NULL, 'executed', '2024-01-10 10:00+00'),
    (pg_temp.id(3), :'a1', 'EURUSD', 'buy', 'limit', 1000, 1.1, 'pending', NULL);
SELECT set_clause, pg_temp.try(format('UPDATE fx.trades SET %s WHERE id = %L', set_clause, pg_temp.id(n))) AS result FROM (VALUES
    (1, 1, $$symbol = 'GBPUSD'$$), (2, 1, $$type = 'sell'$$), (3, 1, 'quantity = 2000'), (4, 1, 'price = 1.2'), (5, 1, 'price = NULL'), (6, 1, $$executed_at = executed_at + interval '1 second'$$),
    (7, 1, 'executed_at = NULL'), (8, 1, $$user_id = '00000000-0000-4000-8000-0000000000a2'$$), (9, 1, $$symbol = 'EURUSD', quantity = 1000.0, price = 1.10, metadata = '{"a": 1}'$$),
    (10, 2, 'price = 1.2'), (11, 2, 'price = 1.3'),
    (12, 3, $$symbol = 'GBPUSD', type = 'sell', quantity = 5, price = NULL, user_id = '00000000-0000-4000-8000-0000000000a2'$$),
    (13, 1, 'open_quantity = 5'), (14, 1, $$profit_source = 'computed'$$), (15, 1, $$position_method = 'fifo'$$), (16, 1, 'conversion_rate = 1'), (17, 1, $$conversion_pair = 'X'$$), (18, 1, $$conversion_at = '2024-01-10 10:00+00'$$),
    (19, 1, 'close_price = 1'), (20, 3, 'close_price = 1'), (21, 3, 'open_quantity = 1'), (22, 1, $$closed_at = 'infinity'$$), (23, 3, $$executed_at = '-infinity'$$),
    (31, 3, $$closed_at = '2024-01-10 10:00+00'$$), (24, 1, $$profit_source = repeat('long', 30)$$), (25, 1, $$conversion_pair = repeat('long', 30)$$),
    (26, 1, $$closed_at = '2024-01-10 11:00+00', close_price = 1.2, profit = 100$$), (27, 1, 'closed_at = NULL'), (28, 1, $$closed_at = '2024-01-10 12:00+00'$$), (29, 1, 'close_price = 1.3'), (30, 1, 'profit = -5, commission = 1, swap = -2')
  ) AS v (n_of_case, n, set_clause) ORDER BY n_of_case;
SELECT pg_temp.try(format($$INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at, %s) VALUES (%L, %L, 'EURUSD', 'buy', 'market', 1000, 1.1, 'executed', '2024-01-10 10:00+00', %s)$$, col, pg_temp.id(9), :'a1', val)) FROM (VALUES
    (1, 'open_quantity', '1'), (2, 'profit_source', $$'computed'$$), (3, 'position_method', $$'netting'$$), (4, 'conversion_rate', '1'), (5, 'conversion_pair', $$'X'$$), (6, 'conversion_at', $$'2024-01-10 10:00+00'$$), (7, 'close_price', '1'),
    (8, 'closed_at', $$'infinity'$$), (9, 'profit_source', $$'application'$$)) AS v (n, col, val) ORDER BY n;
SELECT pg_temp.try(format($$INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, closed_at) VALUES (%L, %L, 'EURUSD', 'buy', 'limit', 1000, '2024-01-10 10:00+00')$$, pg_temp.id(8), :'a1'));
SELECT pg_temp.try(format($$INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, status, closed_at) VALUES (%L, %L, 'EURUSD', 'buy', 'limit', 1000, 'cancelled', '2024-01-10 10:00+00')$$, pg_temp.id(8), :'a1'));
SELECT * FROM pg_temp.ticket ORDER BY 1;
SELECT * FROM pg_temp.book ORDER BY 1, 2;
SELECT * FROM pg_temp.account ORDER BY 1;

-- trades of backtests are free, and count nowhere; one that becomes one leaves the books
INSERT INTO strategies (id, user_id, name, type) VALUES (pg_temp.id(1), :'a1', 's', 'manual');
INSERT INTO backtests (id, strategy_id, user_id, name) VALUES (pg_temp.id(1), pg_temp.id(1), :'a1', 'b');
SELECT pg_temp.try(format($$INSERT INTO fx.trades (id, user_id, backtest_id, symbol, type, order_type, quantity, price, status, executed_at, open_quantity) VALUES (%L, %L, %L, 'EURUSD', 'buy', 'market', 1000, 1.1, 'executed', '2024-01-10 10:00+00', 5)$$, pg_temp.id(10), :'a1', pg_temp.id(1)));
SELECT pg_temp.try(format($$UPDATE fx.trades SET symbol = 'GBPUSD', open_quantity = 6, profit = 7, status = 'pending', close_price = 3 WHERE id = %L$$, pg_temp.id(10)));
SELECT pg_temp.try(format($$UPDATE fx.trades SET backtest_id = %L WHERE id = %L$$, pg_temp.id(1), pg_temp.id(1)));
SELECT * FROM pg_temp.account ORDER BY 1;
SELECT pg_temp.try($$DELETE FROM fx.backtests$$);
SELECT pg_temp.try($$DELETE FROM fx.strategies$$);

-- a profit that the application writes over the computed one is its own
DELETE FROM trades;
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (pg_temp.id(1), :'a1', 'EURUSD', 'buy', 'market', 1000, 1.1, 'executed', '2024-01-10 10:00+00'), (pg_temp.id(2), :'a1', 'EURUSD', 'sell', 'market', 400, 1.2, 'executed', '2024-01-10 11:00+00');
SELECT profit, profit_source, position_method, conversion_rate FROM trades ORDER BY id;
SELECT pg_temp.try(format('UPDATE fx.trades SET swap = 1 WHERE id = %L', pg_temp.id(2)));
SELECT profit_source FROM trades ORDER BY id;
SELECT pg_temp.try(format('UPDATE fx.trades SET profit = 41 WHERE id = %L', pg_temp.id(2)));
SELECT profit, profit_source, position_method, conversion_rate FROM trades ORDER BY id;

-- rows of one statement, in order: each closes what those before it opened, and none that come later
DELETE FROM trades;
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at)
SELECT pg_temp.id(n), :'a1', symbol, type, 'market', quantity, price, 'executed', '2024-01-10 10:00+00'
  FROM (VALUES (9, 'EURUSD', 'buy', 100, 1.1), (8, 'EURUSD', 'sell', 30, 1.2), (7, 'eur/usd', 'buy', 50, 1.3), (6, 'EURUSD', 'sell', 150, 1.2), (5, 'EURUSD', 'buy', 10, 1.1), (4, 'EURUSD', 'sell', 1, 1), (3, 'EURUSD', 'buy', 2, 1)) AS v (n, symbol, type, quantity, price);
SELECT * FROM pg_temp.ticket ORDER BY 1 DESC;
SELECT right(closing_trade_id::text, 1) AS by, right(trade_id::text, 1) AS trade, type, trim_scale(quantity) AS quantity, trim_scale(cost) AS cost, trim_scale(realized) AS realized FROM closures ORDER BY 1 DESC, id;
SELECT * FROM pg_temp.book;
SELECT * FROM verify_positions();
-- COPY
COPY trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) FROM stdin;
00000000-0000-4000-8000-000000000020	00000000-0000-4000-8000-0000000000a2	EURUSD	sell	market	10	1.1	executed	2024-01-10 10:00:00+00
00000000-0000-4000-8000-000000000021	00000000-0000-4000-8000-0000000000a1	EURUSD	buy	market	10	1.1	executed	2024-01-10 10:00:00+00
00000000-0000-4000-8000-000000000022	00000000-0000-4000-8000-0000000000a2	EURUSD	buy	market	10	1.1	executed	2024-01-10 10:00:00+00
\.
SELECT * FROM pg_temp.book ORDER BY 1;
SELECT * FROM verify_positions();
-- ON CONFLICT, MERGE, several statements in one
SELECT pg_temp.try(format($$INSERT INTO fx.trades AS t (id, user_id, symbol, type, order_type, quantity, price, status, executed_at)
    SELECT ('00000000-0000-4000-8000-0000000000' || n)::uuid, %L, 'GBPUSD', type, 'limit', 10, 1.2, 'pending', NULL FROM (VALUES (30, 'buy'), (31, 'sell'), (32, 'sell')) AS v (n, type)$$, :'a1'));
SELECT pg_temp.try(format($$INSERT INTO fx.trades AS t (id, user_id, symbol, type, order_type, quantity, price, status, executed_at)
    SELECT ('00000000-0000-4000-8000-0000000000' || n)::uuid, %L, 'GBPUSD', type, 'limit', 10, 1.3, 'executed', '2024-01-10 09:00+00'::timestamptz - n * interval '1 second' FROM (VALUES (30, 'buy'), (33, 'sell'), (31, 'sell')) AS v (n, type)
    ON CONFLICT (id) DO UPDATE SET status = 'executed', executed_at = '2024-01-10 10:00+00'$$, :'a1'));
SELECT * FROM pg_temp.ticket WHERE trade LIKE '003%' ORDER BY 1;
SELECT pg_temp.try(format($$MERGE INTO fx.trades t USING (VALUES (32, 'sell'), (34, 'buy'), (35, 'buy')) AS v (n, type) ON t.id = ('00000000-0000-4000-8000-0000000000' || v.n)::uuid
    WHEN MATCHED THEN UPDATE SET status = 'executed', executed_at = '2024-01-10 10:00+00'
    WHEN NOT MATCHED THEN INSERT (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (('00000000-0000-4000-8000-0000000000' || v.n)::uuid, %L, 'GBPUSD', v.type, 'market', 15, 1.1, 'executed', '2024-01-10 08:00+00')$$, :'a1'));
SELECT * FROM pg_temp.ticket WHERE trade LIKE '003%' ORDER BY 1;
SELECT pg_temp.try(format($$WITH w AS (DELETE FROM fx.trades WHERE id = %L RETURNING user_id) INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) SELECT user_id, 'GBPUSD', 'sell', 'market', 1, 1, 'executed', '2024-01-10 10:00+00' FROM w$$, pg_temp.id(35)));
SELECT pg_temp.try(format($$WITH w AS (DELETE FROM fx.trades WHERE id = %L RETURNING user_id) INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status) SELECT %L, user_id, 'GBPUSD', 'sell', 'limit', 1, 1, 'cancelled' FROM w$$, pg_temp.id(35), pg_temp.id(36)));
-- a closing and an execution of the same position at once
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (pg_temp.id(42), :'a2', 'USDCHF', 'sell', 'limit', 15, 0.9, 'pending', NULL), (pg_temp.id(40), :'a2', 'USDCHF', 'buy', 'market', 10, 0.9, 'executed', '2024-01-10 10:00+00'), (pg_temp.id(41), :'a2', 'USDCHF', 'buy', 'market', 10, 0.9, 'executed', '2024-01-10 10:00+00');
SELECT pg_temp.try(format($$UPDATE fx.trades SET status = 'executed', executed_at = coalesce(executed_at, '2024-01-10 11:00+00'), closed_at = CASE status WHEN 'executed' THEN timestamptz '2024-01-10 11:00+00' END, profit = 1 WHERE id IN (%L, %L)$$, pg_temp.id(41), pg_temp.id(42)));
-- what an insertion may close the same statement must not execute
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (pg_temp.id(43), :'a2', 'USDCAD', 'sell', 'market', 10, 1.3, 'executed', '2024-01-10 10:00+00'), (pg_temp.id(44), :'a2', 'USDCAD', 'sell', 'limit', 10, 1.3, 'pending', NULL);
SELECT pg_temp.try(format($$WITH w AS (UPDATE fx.trades SET status = 'executed', executed_at = '2024-01-10 09:00+00' WHERE id = %3$L)
    INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, profit, status, executed_at) VALUES (%1$L, %2$L, 'USDCAD', 'buy', 'market', 5, 1.3, 1, 'executed', '2024-01-10 11:00+00')$$, pg_temp.id(45), :'a2', pg_temp.id(44)));
SELECT * FROM pg_temp.book ORDER BY 1, 2;

-- times: what happened before the day began moves what the day began with
DELETE FROM trades;
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, profit, commission, swap, status, executed_at, closed_at) VALUES
    (pg_temp.id(1), :'a1', 'EURUSD', 'buy', 'market', 10, 1.1, -10, 1, 0.5, 'executed', '2024-01-09 10:00+00', '2024-01-09 11:00+00'),
    (pg_temp.id(2), :'a1', 'EURUSD', 'buy', 'market', 10, 1.1, -20, 1, 0.5, 'executed', '2024-01-09 10:00+00', '2024-01-10 11:00+00'),
    (pg_temp.id(3), :'a1', 'EURUSD', 'buy', 'market', 10, 1.1, NULL, NULL, NULL, 'executed', '2024-01-10 10:00+00', NULL);
SELECT * FROM pg_temp.account WHERE "user" = '1';
-- losses in a row: in the order of closing, corrected, and late
SELECT pg_temp.try(format($$UPDATE fx.trades SET closed_at = '2024-01-10 12:00+00', profit = -1 WHERE id = %L$$, pg_temp.id(3)));
SELECT * FROM pg_temp.account WHERE "user" = '1';
SELECT pg_temp.try(format($$UPDATE fx.trades SET profit = 1.5 WHERE id = %L$$, pg_temp.id(3)));
SELECT * FROM pg_temp.account WHERE "user" = '1';
SELECT pg_temp.try(format($$UPDATE fx.trades SET commission = 1.6 WHERE id = %L$$, pg_temp.id(3)));
SELECT * FROM pg_temp.account WHERE "user" = '1';
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, profit, status, executed_at, closed_at) VALUES
    (pg_temp.id(4), :'a1', 'EURUSD', 'buy', 'market', 10, -1, 'executed', '2024-01-10 10:00+00', '2024-01-10 12:10+00'), (pg_temp.id(5), :'a1', 'EURUSD', 'buy', 'market', 10, 0, 'executed', '2024-01-10 10:00+00', '2024-01-10 11:30+00');
SELECT * FROM pg_temp.account WHERE "user" = '1';
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, profit, status, executed_at, closed_at) VALUES
    (pg_temp.id(6), :'a1', 'EURUSD', 'buy', 'market', 10, -1, 'executed', '2024-01-10 10:00+00', '2024-01-10 12:30+00'), (pg_temp.id(7), :'a1', 'EURUSD', 'buy', 'market', 10, -1, 'executed', '2024-01-10 10:00+00', '2024-01-10 12:20+00'),
    (pg_temp.id(8), :'a1', 'EURUSD', 'buy', 'market', 10, 0, 'executed', '2024-01-10 10:00+00', '2024-01-10 12:30+00');
SELECT * FROM pg_temp.account WHERE "user" = '1';
SELECT * FROM verify_positions();

-- trades that opposite ones closed are neither won nor lost, unless the application says what they made
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, commission, status, executed_at)
SELECT pg_temp.id(60 + n), :'a2', 'EURUSD', type, 'market', 10, price, 0.01 * (n % 3), 'executed', timestamptz '2024-01-10 13:00+00' + n / 2 * interval '1 minute'
  FROM (VALUES (9, 'buy', 1.1), (8, 'sell', 1.0), (7, 'sell', 1.0), (6, 'buy', 1.1), (5, 'buy', 1.1), (4, 'sell', 1.05)) AS v (n, type, price) ORDER BY n / 2, n DESC;
SELECT * FROM pg_temp.ticket WHERE trade LIKE '006%' ORDER BY closed_at, trade;
SELECT * FROM pg_temp.account WHERE "user" = '2';
SELECT pg_temp.try(format($$UPDATE fx.trades SET profit = 0.1 WHERE id = %L$$, pg_temp.id(67)));
SELECT * FROM pg_temp.account WHERE "user" = '2';
SELECT pg_temp.try(format($$UPDATE fx.trades SET profit = 0 WHERE id = %L$$, pg_temp.id(67)));
SELECT * FROM pg_temp.account WHERE "user" = '2';

-- savepoints, and an error in the middle of a statement: nothing stays
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (pg_temp.id(10), :'a1', 'EURUSD', 'buy', 'market', 10, 1.1, 'executed', '2024-01-10 13:00+00');
SAVEPOINT s;
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (pg_temp.id(11), :'a1', 'EURUSD', 'sell', 'market', 4, 1.2, 'executed', '2024-01-10 13:00+00');
ROLLBACK TO s;
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (pg_temp.id(12), :'a1', 'EURUSD', 'sell', 'market', 3, 1.2, 'executed', '2024-01-10 13:00+00');
SELECT pg_temp.try(format($$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (%1$L, 'EURUSD', 'sell', 'market', 2, 1.2, 'executed', '2024-01-10 13:00+00'), (%1$L, 'EURJPY', 'sell', 'market', 2, 160, 'executed', '2024-01-10 13:00+00'), (%1$L, 'EURJPY', 'buy', 'market', 2, 160, 'executed', '2024-01-10 13:00+00')$$, :'a1'));
SELECT * FROM pg_temp.ticket WHERE trade >= '0010' ORDER BY 1;
SELECT * FROM pg_temp.book WHERE "user" = '1' ORDER BY 2;

-- triggers of others: one that writes another trade, one that fails in a block of its own
CREATE FUNCTION pg_temp.hedge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (NEW.user_id, 'EURUSD', 'buy', 'market', 1, 1.15, 'executed', NEW.closed_at);
    BEGIN
        RAISE EXCEPTION 'never mind';
    EXCEPTION WHEN OTHERS THEN
        NULL;
    END;
    RETURN NULL;
END
$$;
CREATE TRIGGER hedge AFTER UPDATE OF closed_at ON trades FOR EACH ROW WHEN (OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL) EXECUTE FUNCTION pg_temp.hedge();
SELECT pg_temp.try(format($$INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (%L, %L, 'EURUSD', 'sell', 'market', 7, 1.2, 'executed', '2024-01-10 13:01+00')$$, pg_temp.id(13), :'a1'));
SELECT pg_temp.try(format('SELECT fx.close_trade(id, 1.2) FROM fx.trades WHERE user_id = %L AND closed_at IS NULL AND status = ''executed''', :'a1'));
SELECT * FROM pg_temp.book WHERE "user" = '1' AND symbol = 'EURUSD';
DROP TRIGGER hedge ON trades;
-- one that closes others in turn, in the middle of the write of the first
SAVEPOINT s;
CREATE FUNCTION pg_temp.follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 5 THEN
        INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (NEW.user_id, 'EURGBP', CASE NEW.type WHEN 'buy' THEN 'sell' ELSE 'buy' END, 'market', 1, 0.85, 'executed', NEW.closed_at);
    END IF;
    BEGIN
        INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (NEW.user_id, 'EURGBP', 'buy', 'market', 100, 0.85, 'executed', NEW.closed_at);
        RAISE EXCEPTION 'never mind';
    EXCEPTION WHEN OTHERS THEN
        NULL;
    END;
    RETURN NULL;
END
$$;
INSERT INTO market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume) VALUES ('GBPUSD', '1m', '2024-01-10 13:29+00', 1.25, 1.25, 1.25, 1.25, 1);
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) SELECT :'a1', 'EURGBP', 'buy', 'market', 2, 0.85, 'executed', '2024-01-10 13:30+00' FROM generate_series(1, 5);
CREATE TRIGGER follow AFTER UPDATE OF closed_at ON trades FOR EACH ROW WHEN (OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL) EXECUTE FUNCTION pg_temp.follow();
SELECT pg_temp.try(format($$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (%L, 'EURGBP', 'sell', 'market', 4, 0.85, 'executed', '2024-01-10 13:30+00')$$, :'a1'));
ROLLBACK TO s;

-- rows written while triggers were disabled: rebuilt by the function, or a clean error
SAVEPOINT s;
ALTER TABLE trades DISABLE TRIGGER USER;
UPDATE trades SET closed_at = executed_at WHERE user_id = :'a2' AND symbol = 'USDCHF';
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (pg_temp.id(50), :'a2', 'USDCHF', 'buy', 'market', 5, 0.9, 'executed', '2024-01-10 10:00+00');
ALTER TABLE trades ENABLE TRIGGER USER;
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (:'a2', 'EURUSD', 'buy', 'market', 5, 0.9, 'executed', '2024-01-10 10:00+00');
UPDATE positions SET long_quantity = 100 WHERE user_id = :'a2' AND symbol = 'EURUSD';
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (:'a2', 'EURUSD', 'sell', 'market', 50, 0.9, 'executed', '2024-01-10 10:00+00');
ROLLBACK TO s;
ALTER TABLE trades DISABLE TRIGGER trades_lifecycle;
SELECT pg_temp.try(format($$UPDATE fx.trades SET user_id = %L, quantity = 3 WHERE id = %L$$, :'a2', pg_temp.id(10)));
SELECT * FROM pg_temp.account ORDER BY 1;
ROLLBACK TO s;

-- what is removed leaves the books, users first
SELECT pg_temp.try(format('DELETE FROM fx.trades WHERE id IN (%L, %L)', pg_temp.id(10), pg_temp.id(3)));
SELECT * FROM pg_temp.account ORDER BY 1;
SELECT pg_temp.try(format('DELETE FROM fx.users WHERE id = %L', :'a2'));
SELECT pg_temp.try('TRUNCATE fx.trades CASCADE');
SELECT * FROM pg_temp.account ORDER BY 1;
SELECT pg_temp.try('TRUNCATE fx.users CASCADE');
ROLLBACK;

-- the triggers fit their places only
\set VERBOSITY terse
SELECT fx.guard_trade();
SELECT fx.apply_trade_risk();
BEGIN;
CREATE TEMPORARY TABLE odd (id uuid, user_id uuid, status varchar(20)) ON COMMIT DROP;
CREATE FUNCTION pg_temp.try_trigger(definition text, statement text DEFAULT $$INSERT INTO pg_temp.odd DEFAULT VALUES$$) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'CREATE TRIGGER t ' || definition;
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT pg_temp.try_trigger(definition || ' EXECUTE FUNCTION ' || f, coalesce(statement, 'INSERT INTO pg_temp.odd DEFAULT VALUES')) FROM (VALUES
    (1, 'AFTER INSERT ON odd FOR EACH ROW', 'fx.guard_trade()', NULL), (2, 'BEFORE INSERT ON odd', 'fx.guard_trade()', NULL), (3, 'BEFORE INSERT ON odd FOR EACH ROW', 'fx.guard_trade()', NULL),
    (4, 'AFTER INSERT ON odd FOR EACH ROW', 'fx.apply_trade_risk()', NULL), (5, 'BEFORE INSERT ON odd', 'fx.apply_trade_risk()', NULL), (6, 'AFTER INSERT ON odd REFERENCING NEW TABLE AS n', 'fx.apply_trade_risk()', NULL)
  ) AS v (n, definition, f, statement) ORDER BY n;
INSERT INTO fx.users (id, email, username, password_hash) VALUES (:'a1', 'a@example.com', 'a', 'x');
INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status) VALUES ('00000000-0000-4000-8000-0000000000d1', :'a1', 'EURUSD', 'buy', 'limit', 1, 1, 'pending');
SELECT pg_temp.try_trigger(definition || ' EXECUTE FUNCTION fx.apply_trade_risk()', statement) FROM (VALUES
    (1, 'AFTER INSERT ON fx.trades', $$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price) VALUES ('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 'limit', 1, 1)$$),
    (2, 'AFTER UPDATE ON fx.trades REFERENCING NEW TABLE AS n', 'UPDATE fx.trades SET swap = 1'), (3, 'AFTER DELETE ON fx.trades', 'DELETE FROM fx.trades')) AS v (n, definition, statement) ORDER BY n;
-- whoever could attach them to a table of his own could write everybody's books
SET LOCAL ROLE fx_app;
CREATE TEMPORARY TABLE own (id uuid) ON COMMIT DROP;
CREATE TRIGGER t AFTER INSERT ON own REFERENCING NEW TABLE AS n EXECUTE FUNCTION fx.apply_trade_risk();
ROLLBACK;
-- without the indexes there is no order of trades
BEGIN;
INSERT INTO fx.users (id, email, username, password_hash) VALUES (:'a1', 'a@example.com', 'a', 'x');
INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at, closed_at) VALUES ('00000000-0000-4000-8000-0000000000d1', :'a1', 'EURUSD', 'buy', 'limit', 1, 1, 'executed', '2024-01-10 10:00+00', NULL), ('00000000-0000-4000-8000-0000000000d2', :'a1', 'EURUSD', 'buy', 'limit', 1, 1, 'executed', '2024-01-10 10:00+00', '2024-01-10 10:00+00');
SAVEPOINT s;
DROP INDEX fx.idx_trades_closed;
UPDATE fx.trades SET profit = -1 WHERE closed_at IS NOT NULL;
ROLLBACK TO s;
DROP INDEX fx.idx_trades_open;
INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (:'a1', 'EURUSD', 'sell', 'limit', 1, 1, 'executed', '2024-01-10 10:00+00');
ROLLBACK TO s;
ALTER TABLE fx.trades DROP CONSTRAINT trades_pkey CASCADE;
INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status) VALUES ('00000000-0000-4000-8000-0000000000d3', :'a1', 'EURUSD', 'sell', 'limit', 1, 1, 'pending');
UPDATE fx.trades SET status = 'executed', executed_at = '2024-01-10 10:00+00' WHERE status = 'pending';
ROLLBACK;
\set VERBOSITY default
DROP TABLE fx.market_data_2024_01;
