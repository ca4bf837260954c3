--
-- Limits of a symbol, a currency or a strategy, and statements of several rows
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET fxplatform.clock = '2024-03-05 12:00:00+00';
SELECT fx.create_market_data_partitions('2024-02-01', '2024-04-01') >= 0 AS made;
BEGIN;
SET LOCAL search_path = fx, public;
\set a1 00000000-0000-4000-8000-0000000000a1
\set s1 00000000-0000-4000-8000-0000000000e1
INSERT INTO users (id, email, username, password_hash, preferences) VALUES (:'a1', 'a@example.com', 'a', 'x', '{"initialBalance": 10000}');
INSERT INTO strategies (id, user_id, name, type) VALUES (:'s1', :'a1', 's1', 'manual'), ('00000000-0000-4000-8000-0000000000e2', :'a1', 's2', 'manual');
INSERT INTO market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
SELECT s, '1m', '2024-03-05 11:59:00+00', p, p, p, p FROM (VALUES ('EURUSD', 1.1), ('GBPUSD', 1.25), ('USDJPY', 150), ('EURGBP', 0.88)) AS c (s, p);
-- one after the other, so that the oldest is known
CREATE SEQUENCE pg_temp.seconds;
CREATE FUNCTION pg_temp.act(side text, units numeric, symbol text, strategy text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at, strategy_id)
    VALUES ('00000000-0000-4000-8000-0000000000a1', symbol, side, 'market', units, (SELECT close_price FROM fx.market_data m WHERE m.symbol = translate(upper(act.symbol), '/', '')),
            'executed', timestamptz '2024-03-05 11:00:00+00' + nextval('pg_temp.seconds') * interval '1 second', ('00000000-0000-4000-8000-0000000000' || strategy)::uuid);
    RETURN 'ok';
EXCEPTION WHEN SQLSTATE 'XF001' OR SQLSTATE 'XF002' THEN
    RETURN SQLSTATE;
END
$$;
-- A limit on an account without trades and some orders, "side units symbol [strategy]"; then all of it is undone.
CREATE FUNCTION pg_temp.try(spec jsonb, actions text[]) RETURNS TABLE (n bigint, action text, answer text, stored numeric, shown numeric) LANGUAGE plpgsql AS $$
DECLARE
    done jsonb := '[]';
    step text;
    said text;
BEGIN
    BEGIN
        INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value, symbol, currency, strategy_id)
        VALUES ('00000000-0000-4000-8000-0000000000a1', 'L', spec ->> 'type', coalesce(spec ->> 'unit', 'absolute'), (spec ->> 'value')::numeric, spec ->> 'symbol', spec ->> 'currency',
                ('00000000-0000-4000-8000-0000000000' || (spec ->> 'strategy'))::uuid);
        FOREACH step IN ARRAY actions LOOP
            said := pg_temp.act(split_part(step, ' ', 1), split_part(step, ' ', 2)::numeric, split_part(step, ' ', 3), nullif(split_part(step, ' ', 4), ''));
            done := done || (SELECT jsonb_build_array(jsonb_build_array(step, said, l.current_value, u.current_value))
                               FROM fx.risk_limits l JOIN fx.risk_utilization('00000000-0000-4000-8000-0000000000a1') u ON u.limit_id = l.id);
        END LOOP;
        RAISE EXCEPTION 'undo' USING ERRCODE = 'XX999';
    EXCEPTION WHEN SQLSTATE 'XX999' THEN
        RETURN QUERY SELECT d.n, d.v ->> 0, d.v ->> 1, trim_scale((d.v ->> 2)::numeric), trim_scale((d.v ->> 3)::numeric) FROM jsonb_array_elements(done) WITH ORDINALITY AS d (v, n);
    END;
END
$$;
\pset null ?

-- a symbol, in any way of writing it: other symbols neither count nor are judged
SELECT * FROM pg_temp.try('{"type": "max_position", "value": 100, "symbol": "eur/usd"}', '{buy 500 GBPUSD,buy 100 EURUSD,buy 1 EUR/USD,buy 1 GBPUSD,sell 150 EURUSD,sell 51 EURUSD}');
SELECT * FROM pg_temp.try('{"type": "max_order_size", "value": 100, "symbol": "EURUSD"}', '{buy 101 GBPUSD,buy 101 EURUSD,buy 100 EURUSD}');
SELECT * FROM pg_temp.try('{"type": "max_order_value", "value": 110, "symbol": "EURUSD"}', '{buy 101 GBPUSD,buy 101 EURUSD,buy 100 EURUSD}');
SELECT * FROM pg_temp.try('{"type": "max_exposure", "value": 110, "symbol": "EURUSD"}', '{buy 101 GBPUSD,buy 100 EURUSD,buy 1 EURUSD}');
SELECT * FROM pg_temp.try('{"type": "max_symbol_exposure", "value": 110, "symbol": "EURUSD"}', '{buy 101 GBPUSD,buy 100 EURUSD,buy 1 EURUSD}');
SELECT * FROM pg_temp.try('{"type": "concentration", "unit": "percentage", "value": 50, "symbol": "EURUSD"}', '{buy 88 GBPUSD,buy 100 EURUSD,buy 1 EURUSD,sell 1 GBPUSD}');
SELECT * FROM pg_temp.try('{"type": "max_open_trades", "value": 2, "symbol": "EURUSD"}', '{buy 1 GBPUSD,buy 1 EURUSD,buy 1 EURUSD,buy 1 EURUSD,buy 1 GBPUSD,sell 1 EURUSD,buy 1 EURUSD}');
SELECT * FROM pg_temp.try('{"type": "max_daily_trades", "value": 2, "symbol": "EURUSD"}', '{buy 1 GBPUSD,buy 1 EURUSD,buy 1 EURUSD,buy 1 EURUSD,buy 1 GBPUSD}');
SELECT * FROM pg_temp.try('{"type": "max_order_rate", "value": 2, "symbol": "EURUSD"}', '{buy 1 GBPUSD,buy 1 EURUSD,buy 1 EURUSD,buy 1 EURUSD,buy 1 GBPUSD}');
SELECT * FROM pg_temp.try('{"type": "kill_switch", "value": 0, "symbol": "EURUSD"}', '{buy 1 GBPUSD,buy 1 EURUSD}');
-- a currency: symbols that have it
SELECT * FROM pg_temp.try('{"type": "max_position", "value": 100, "currency": "gbp"}', '{buy 500 EURUSD,buy 100 EURGBP,buy 1 EURGBP,buy 100 GBPUSD,buy 1 GBPUSD,buy 1 USDJPY}');
SELECT * FROM pg_temp.try('{"type": "max_exposure", "value": 250, "currency": "GBP"}', '{buy 500 EURUSD,buy 100 EURGBP,buy 112 GBPUSD,buy 1 EURGBP,buy 1 EURUSD}');
SELECT * FROM pg_temp.try('{"type": "max_currency_exposure", "value": 110, "currency": "GBP"}', '{buy 500 EURUSD,buy 100 EURGBP,buy 1 EURGBP,buy 176 GBPUSD,buy 1 GBPUSD,buy 1 EURUSD}');
SELECT * FROM pg_temp.try('{"type": "max_order_rate", "value": 1, "currency": "GBP"}', '{buy 1 EURUSD,buy 1 EURGBP,buy 1 GBPUSD,buy 1 EURUSD}');
SELECT * FROM pg_temp.try('{"type": "price_collar", "value": 0, "currency": "GBP"}', '{buy 1 EURUSD,buy 1 EURGBP}');
-- what has no known currencies may have this one
SELECT * FROM pg_temp.try('{"type": "max_currency_exposure", "value": 110, "currency": "GBP"}', '{buy 1 XYZ,buy 1 EURUSD}');
SELECT * FROM pg_temp.try('{"type": "max_order_size", "value": 1, "currency": "GBP"}', '{buy 2 XYZ,buy 1 XYZ}');
-- a strategy: its trades, as far as they are open.  Under netting the oldest trades are closed, whose ever they are.
SELECT * FROM pg_temp.try('{"type": "max_position", "value": 100, "strategy": "e1"}', '{buy 500 EURUSD,buy 500 EURUSD e2,buy 100 EURUSD e1,buy 1 EURUSD e1,buy 100 GBPUSD e1,sell 1100 EURUSD e1,buy 100 EURUSD e1,buy 1 EURUSD e1}');
SELECT * FROM pg_temp.try('{"type": "max_position", "unit": "percentage", "value": 1.1, "strategy": "e1", "symbol": "EURUSD"}', '{buy 100 EURUSD e1,buy 1 EURUSD e1,buy 500 GBPUSD e1}');
SELECT * FROM pg_temp.try('{"type": "max_order_size", "value": 100, "strategy": "e1"}', '{buy 101 EURUSD,buy 101 EURUSD e2,buy 101 EURUSD e1}');
SELECT * FROM pg_temp.try('{"type": "max_order_value", "value": 100, "strategy": "e1"}', '{buy 101 EURUSD,buy 101 EURUSD e1}');
SELECT * FROM pg_temp.try('{"type": "max_open_trades", "value": 2, "strategy": "e1"}', '{buy 1 EURUSD,buy 1 EURUSD e1,buy 1 GBPUSD e1,buy 1 EURUSD e1,buy 1 EURUSD e2,sell 1 EURUSD,sell 1 EURUSD,buy 1 EURUSD e1}');
SELECT * FROM pg_temp.try('{"type": "max_daily_trades", "value": 2, "strategy": "e1"}', '{buy 1 EURUSD,buy 1 EURUSD e1,buy 1 EURUSD e1,buy 1 EURUSD e1}');
SELECT * FROM pg_temp.try('{"type": "max_order_rate", "value": 2, "strategy": "e1"}', '{buy 1 EURUSD,buy 1 EURUSD e1,buy 1 EURUSD e1,buy 1 EURUSD e1}');
SELECT * FROM pg_temp.try('{"type": "price_collar", "value": 0, "strategy": "e1"}', '{buy 1 EURUSD e1}');
SELECT * FROM pg_temp.try('{"type": "kill_switch", "value": 0, "strategy": "e1"}', '{buy 1 EURUSD,buy 1 EURUSD e2,buy 1 EURUSD e1}');
-- losses in a row of each
INSERT INTO trades (user_id, strategy_id, symbol, type, order_type, quantity, price, status, executed_at, closed_at, profit)
SELECT :'a1', s::uuid, y, 'buy', 'market', 1, 1, 'executed', '2024-03-04 10:00+00', timestamptz '2024-03-04 11:00+00' + n * interval '1 minute', p
  FROM (VALUES (1, :'s1', 'EURUSD', -1), (2, NULL, 'GBPUSD', -1), (3, :'s1', 'GBPUSD', 1), (4, :'s1', 'EURUSD', -1), (5, NULL, 'EURUSD', 0), (6, :'s1', 'GBPUSD', -1), (7, NULL, 'GBPUSD', -1)) AS t (n, s, y, p);
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, symbol, strategy_id) VALUES
    (:'a1', '1 all', 'max_consecutive_losses', 'absolute', 9, NULL, NULL), (:'a1', '2 EURUSD', 'max_consecutive_losses', 'absolute', 9, 'EURUSD', NULL), (:'a1', '3 GBPUSD', 'max_consecutive_losses', 'absolute', 9, 'GBPUSD', NULL),
    (:'a1', '4 strategy', 'max_consecutive_losses', 'absolute', 9, NULL, :'s1'), (:'a1', '5 both', 'max_consecutive_losses', 'absolute', 9, 'EURUSD', :'s1');
SELECT name, trim_scale(l.current_value) AS stored, trim_scale(u.current_value) AS shown FROM risk_limits l JOIN risk_utilization(:'a1') u USING (name) ORDER BY name;
DELETE FROM risk_limits;
DELETE FROM trades;

-- Rows of a statement are judged one after the other: what was there before counts once, and each of them as it comes.
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, strategy_id) VALUES
    (:'a1', '1', 'max_position', 'absolute', 10, NULL), (:'a1', '2', 'max_position', 'absolute', 10, :'s1'), (:'a1', '3', 'max_open_trades', 'absolute', 4, :'s1'), (:'a1', '4', 'max_daily_trades', 'absolute', 5, :'s1'), (:'a1', '5', 'max_order_rate', 'absolute', 6, :'s1');
INSERT INTO trades (user_id, strategy_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (:'a1', :'s1', 'EURUSD', 'buy', 'market', 2, 1.1, 'executed', '2024-03-05 11:00+00');
CREATE FUNCTION pg_temp.rows(VARIADIC units numeric[]) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fx.trades (user_id, strategy_id, symbol, type, order_type, quantity, price, status, executed_at)
    SELECT '00000000-0000-4000-8000-0000000000a1', '00000000-0000-4000-8000-0000000000e1', 'EURUSD', CASE WHEN u > 0 THEN 'buy' ELSE 'sell' END, 'market', abs(u), 1.1, 'executed',
           timestamptz '2024-03-05 11:00:00+00' + nextval('pg_temp.seconds') * interval '1 second' FROM unnest(units) AS u;
    RETURN (SELECT string_agg(name || ': ' || trim_scale(current_value), ', ' ORDER BY name) FROM fx.risk_limits);
EXCEPTION WHEN SQLSTATE 'XF001' THEN
    RETURN SQLERRM;
END
$$;
SAVEPOINT s;
SELECT pg_temp.rows(8.00000001) AS one, pg_temp.rows(4, 4.00000001) AS two, pg_temp.rows(9, -9) AS first_too_large, pg_temp.rows(8, -8, 1) AS back_and_forth;
ROLLBACK TO s;
SELECT pg_temp.rows(1, 1, 1, 1) AS five_open, pg_temp.rows(1, 1, 1) AS four_open;
SELECT pg_temp.rows(1) AS fifth, pg_temp.rows(-1, -1) AS closed;
ROLLBACK TO s;
\set VERBOSITY terse
COPY trades (user_id, strategy_id, symbol, type, order_type, quantity, price, status, executed_at) FROM STDIN;
00000000-0000-4000-8000-0000000000a1	00000000-0000-4000-8000-0000000000e1	EURUSD	buy	market	4	1.1	executed	2024-03-05 12:00+00
00000000-0000-4000-8000-0000000000a1	00000000-0000-4000-8000-0000000000e1	EURUSD	buy	market	5	1.1	executed	2024-03-05 12:00+00
\.
ROLLBACK TO s;
COPY trades (user_id, strategy_id, symbol, type, order_type, quantity, price, status, executed_at) FROM STDIN;
00000000-0000-4000-8000-0000000000a1	00000000-0000-4000-8000-0000000000e1	EURUSD	buy	market	4	1.1	executed	2024-03-05 12:00+00
00000000-0000-4000-8000-0000000000a1	00000000-0000-4000-8000-0000000000e1	EURUSD	buy	market	4	1.1	executed	2024-03-05 12:00+00
\.
SELECT name, trim_scale(current_value) AS current FROM risk_limits ORDER BY name;
-- an order that waits is judged by what it would do, which is not done yet
ROLLBACK TO s;
INSERT INTO trades (user_id, strategy_id, symbol, type, order_type, quantity, price, status) SELECT :'a1', :'s1', 'EURUSD', 'buy', 'limit', 8, 1.1, 'pending' FROM generate_series(1, 2);
SELECT name, trim_scale(current_value) AS current FROM risk_limits ORDER BY name;
UPDATE trades SET status = 'executed', executed_at = '2024-03-05 12:00+00' WHERE status = 'pending';
ROLLBACK TO s;

-- a halt of a scope keeps what it covers from being closed, too
DELETE FROM risk_limits;
DELETE FROM trades;
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at, strategy_id)
SELECT ('00000000-0000-4000-8000-0000000000d' || n)::uuid, :'a1', s, 'buy', 'market', 1, 1.1, 'executed', '2024-03-05 11:00:00+00', nullif(e, '')::uuid
  FROM (VALUES (1, 'EURUSD', ''), (2, 'GBP/USD', ''), (3, 'USDJPY', :'s1'), (4, 'XYZ', '')) AS v (n, s, e);
CREATE FUNCTION pg_temp.close() RETURNS TABLE (symbol varchar, closed text, updated text) LANGUAGE plpgsql AS $$
DECLARE
    id uuid;
    statement text;
    said text[];
BEGIN
    FOR id, symbol IN SELECT t.id, t.symbol FROM fx.trades t ORDER BY t.id LOOP
        said := '{}';
        FOREACH statement IN ARRAY ARRAY[format('SELECT fx.close_trade(%L, 1.1)', id), format('UPDATE fx.trades SET closed_at = %L, profit = 1 WHERE id = %L', '2024-03-05 11:30:00+00', id)] LOOP
            BEGIN
                EXECUTE statement;
                RAISE SQLSTATE 'P0001';
            EXCEPTION WHEN OTHERS THEN
                said := said || CASE SQLSTATE WHEN 'P0001' THEN 'ok' ELSE SQLSTATE END;
            END;
        END LOOP;
        closed := said[1];
        updated := said[2];
        RETURN NEXT;
    END LOOP;
END
$$;
INSERT INTO risk_limits (id, user_id, name, type, limit_type, limit_value, symbol) VALUES ('00000000-0000-4000-8000-0000000000f1', :'a1', 'halt', 'kill_switch', 'absolute', 0, 'eur/usd');
SELECT * FROM pg_temp.close();
UPDATE risk_limits SET symbol = NULL, currency = 'GBP';
SELECT * FROM pg_temp.close();
UPDATE risk_limits SET currency = NULL, strategy_id = :'s1';
SELECT * FROM pg_temp.close();
UPDATE risk_limits SET strategy_id = NULL;
SELECT * FROM pg_temp.close();
UPDATE risk_limits SET type = 'max_position', action = 'halt', symbol = 'GBPUSD';
SELECT * FROM pg_temp.close();
UPDATE risk_limits SET action = 'reduce_only';
SELECT * FROM pg_temp.close();
\set VERBOSITY default
UPDATE risk_limits SET action = 'halt';
SAVEPOINT s;
SELECT close_trade('00000000-0000-4000-8000-0000000000d2', 1.1);
ROLLBACK TO s;
ROLLBACK;
DROP TABLE fx.market_data_2024_02, fx.market_data_2024_03;
