--
-- What a trade may become, and what of it may change
--
SET timezone = 'UTC';
SET fxplatform.clock = '2024-03-05 12:00:00+00';
BEGIN;
SET LOCAL search_path = fx, public;
\set a1 00000000-0000-4000-8000-0000000000a1
INSERT INTO users (id, email, username, password_hash, preferences)
SELECT ('00000000-0000-4000-8000-0000000000a' || n)::uuid, n || '@example.com', n, 'x', '{"initialBalance": 1000}' FROM generate_series(1, 2) AS n;
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE statement;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN 'ok ' || n;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
-- one trade in each state; closed by the application, by close_trade and by a fill
CREATE FUNCTION pg_temp.trade(id text, symbol text, status text, closed boolean DEFAULT false) RETURNS void LANGUAGE sql AS $$
    INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at, closed_at, profit)
    VALUES (('00000000-0000-4000-8000-0000000000' || id)::uuid, '00000000-0000-4000-8000-0000000000a1', symbol, 'buy', 'market', 10, 1.1, status,
            CASE status WHEN 'executed' THEN timestamptz '2024-03-05 10:00:00+00' END, CASE WHEN closed THEN timestamptz '2024-03-05 11:00:00+00' END, CASE WHEN closed THEN 4 ELSE 0 END)
$$;
SELECT pg_temp.trade('d1', 'EURUSD', 'pending'), pg_temp.trade('d2', 'EURUSD', 'executed'), pg_temp.trade('d3', 'EURUSD', 'rejected'), pg_temp.trade('d4', 'EURUSD', 'cancelled'), pg_temp.trade('d5', 'GBPUSD', 'executed', true),
       pg_temp.trade('d6', 'GBPUSD', 'executed'), pg_temp.trade('d7', 'USDCHF', 'executed') \g /dev/null
SELECT close_trade('00000000-0000-4000-8000-0000000000d6', 1.2, '2024-03-05 11:00:00+00') AS profit;
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at, profit) VALUES ('00000000-0000-4000-8000-0000000000d8', :'a1', 'USDCHF', 'sell', 'market', 10, 1.1, 'executed', '2024-03-05 11:00:00+00', 6);
SELECT right(id::text, 2) AS id, symbol, type, status, closed_at, trim_scale(open_quantity) AS open, trim_scale(close_price) AS close_price, trim_scale(profit) AS profit, profit_source, position_method, trim_scale(conversion_rate) AS rate, conversion_pair, conversion_at FROM trades ORDER BY id;

-- every change of status
SELECT f.status AS from, t.status AS to, pg_temp.try(format('UPDATE fx.trades SET status = %L, executed_at = CASE %1$L WHEN ''executed'' THEN timestamptz ''2024-03-05 10:00:00+00'' END WHERE id = %L', t.status, v.id)) AS answer
  FROM unnest('{pending,executed,rejected,cancelled}'::text[]) WITH ORDINALITY AS f (status, n), unnest('{pending,executed,rejected,cancelled}'::text[]) WITH ORDINALITY AS t (status, n),
       LATERAL (SELECT ('00000000-0000-4000-8000-0000000000' || (10 + 4 * f.n + t.n)::text)::uuid AS id, pg_temp.trade((10 + 4 * f.n + t.n)::text, 'NZDUSD', f.status) IS NULL AS made OFFSET 0) AS v
 WHERE v.made ORDER BY f.n, t.n;
SELECT pg_temp.try('UPDATE fx.trades SET status = ''executed'' WHERE id = ''00000000-0000-4000-8000-0000000000d1''') AS without_a_time;

-- every column of an open trade, of one closed by each of the three, and of a pending one
SELECT v.n, c.set, pg_temp.try(format('UPDATE fx.trades SET %s WHERE id = %L', c.set, ('00000000-0000-4000-8000-0000000000' || v.id)::uuid)) AS answer
  FROM (VALUES (1, 'pending', 'd1'), (2, 'open', 'd2'), (3, 'closed by hand', 'd5'), (4, 'closed by close_trade', 'd6'), (5, 'used up', 'd7'), (6, 'used up by it', 'd8')) AS v (n, what, id),
       unnest(ARRAY['user_id = ''00000000-0000-4000-8000-0000000000a2''', 'symbol = ''AUDUSD''', 'type = ''sell''', 'quantity = 11', 'price = 1.2', 'price = NULL', 'executed_at = ''2024-03-05 09:00:00+00''',
                    'closed_at = NULL', 'closed_at = ''2024-03-05 11:45:00+00''', 'open_quantity = 1', 'profit_source = ''computed''', 'position_method = ''fifo''', 'conversion_rate = 2', 'conversion_pair = ''X''', 'conversion_at = ''2024-03-05 11:00:00+00''', 'close_price = 3']) WITH ORDINALITY AS c (set, n)
 WHERE v.n <> 2 OR c.set NOT LIKE 'closed_at = ''%'
 ORDER BY v.n, c.n;
SELECT right(id::text, 2) AS id, pg_temp.try(format('UPDATE fx.trades SET profit = coalesce(profit, 0) + 1, commission = 2, swap = -1, stop_loss = 1, metadata = ''{"a": 1}'', reason_code = ''x'' WHERE id = %L', id)) AS may_be_corrected FROM trades WHERE right(id::text, 2) LIKE 'd%' ORDER BY id;
SELECT right(id::text, 2) AS id, trim_scale(profit) AS profit, profit_source FROM trades WHERE right(id::text, 2) LIKE 'd%' AND closed_at IS NOT NULL ORDER BY id;
-- the same value is no change; another name of the symbol is one
SELECT pg_temp.try('UPDATE fx.trades SET symbol = symbol, quantity = 10.0, price = 1.10, user_id = user_id, executed_at = executed_at, status = status') AS same, pg_temp.try('UPDATE fx.trades SET symbol = ''EUR/USD'' WHERE id = ''00000000-0000-4000-8000-0000000000d2''') AS renamed;
-- in an INSERT
SELECT c.columns, pg_temp.try(format('INSERT INTO fx.trades (id, user_id, type, order_type, symbol, quantity, price, %s) VALUES (%L, %L, ''buy'', ''market'', ''EURUSD'', 1, 1.1, %s)', c.columns, '00000000-0000-4000-8000-00000000000' || c.n, '00000000-0000-4000-8000-0000000000a1', c.values)) AS answer
  FROM (VALUES (1, 'open_quantity', '1'), (2, 'profit_source', '''computed'''), (3, 'position_method', '''fifo'''), (4, 'conversion_rate', '1'), (5, 'conversion_pair', '''X'''), (6, 'conversion_at', '''2024-03-05 10:00+00'''),
               (7, 'close_price', '1.2'), (8, 'close_price, status, executed_at, closed_at', '1.2, ''executed'', ''2024-03-05 10:00+00'', ''2024-03-05 10:30+00'''), (9, 'closed_at', '''2024-03-05 10:30+00''')) AS c (n, columns, values) ORDER BY n;

-- a price that was not known can be set once
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, status, executed_at) VALUES ('00000000-0000-4000-8000-0000000000e1', :'a1', 'NZDUSD', 'buy', 'market', 10, 'executed', '2024-03-05 10:00:00+00');
SELECT trim_scale(long_quantity) AS long, trim_scale(long_cost) AS cost, average_price, unpriced_trades FROM positions WHERE symbol = 'NZDUSD';
SELECT pg_temp.try('UPDATE fx.trades SET price = 0.6 WHERE id = ''00000000-0000-4000-8000-0000000000e1''') AS once, pg_temp.try('UPDATE fx.trades SET price = 0.7 WHERE id = ''00000000-0000-4000-8000-0000000000e1''') AS twice;
SELECT * FROM verify_positions();

-- a backtest's trades are free, and in no book
INSERT INTO strategies (id, user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000b1', :'a1', 's', 'manual');
INSERT INTO backtests (id, strategy_id, user_id, name) VALUES ('00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-0000000000b1', :'a1', 'b');
INSERT INTO trades (id, user_id, backtest_id, symbol, type, order_type, quantity, price, status, executed_at, closed_at, profit) VALUES ('00000000-0000-4000-8000-0000000000e2', :'a1', '00000000-0000-4000-8000-0000000000c1', 'AUDUSD', 'buy', 'market', 10, 1.1, 'executed', '2024-03-05 10:00:00+00', '2024-03-05 11:00:00+00', 500);
SELECT pg_temp.try('UPDATE fx.trades SET closed_at = NULL, symbol = ''XAUUSD'', quantity = 3, status = ''pending'', profit = 7 WHERE id = ''00000000-0000-4000-8000-0000000000e2''') AS backtest;
SELECT count(*) AS positions FROM positions WHERE symbol IN ('AUDUSD', 'XAUUSD');
-- and one that becomes a backtest's leaves the books
SELECT trim_scale(balance) AS balance, open_trades FROM accounts WHERE user_id = :'a1';
UPDATE trades SET backtest_id = '00000000-0000-4000-8000-0000000000c1' WHERE right(id::text, 2) IN ('d2', 'd5');
SELECT trim_scale(balance) AS balance, open_trades FROM accounts WHERE user_id = :'a1';
SELECT * FROM verify_positions();
DELETE FROM trades WHERE right(id::text, 2) IN ('d6', 'd8');
SELECT trim_scale(balance) AS balance, open_trades FROM accounts WHERE user_id = :'a1';
SELECT * FROM verify_positions();
TRUNCATE trades CASCADE;
SELECT trim_scale(balance) AS balance, open_trades, day_trades FROM accounts WHERE user_id = :'a1';
SELECT * FROM verify_positions();
ROLLBACK;
RESET fxplatform.clock;
RESET timezone;
