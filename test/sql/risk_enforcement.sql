--
-- Limits refuse trades, however these are written, and say why; what they allow
-- is in the books, what they refuse leaves no trace
--
SET timezone = 'UTC';
-- a Tuesday
SET fxplatform.clock = '2024-03-05 12:00:00+00';
BEGIN;
SET LOCAL search_path = fx, public;
\set a1 00000000-0000-4000-8000-0000000000a1
\set a2 00000000-0000-4000-8000-0000000000a2
\set a3 00000000-0000-4000-8000-0000000000a3
INSERT INTO users (id, email, username, password_hash, preferences) VALUES
    (:'a1', '1@example.com', 'one', 'x', '{"initialBalance": 1000}'),
    (:'a2', '2@example.com', 'two', 'x', '{"initialBalance": 1000}'),
    (:'a3', '3@example.com', 'three', 'x', '{"accountCurrency": "CHF"}');

-- a trade with few words; price 0 is none
CREATE FUNCTION pg_temp.put(units numeric, symbol text DEFAULT 'EURUSD', price numeric DEFAULT 1.1, who text DEFAULT 'a1') RETURNS void LANGUAGE sql AS $$
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
    VALUES (('00000000-0000-4000-8000-0000000000' || who)::uuid, symbol, CASE WHEN units > 0 THEN 'buy' ELSE 'sell' END, 'market', abs(units), nullif(price, 0), 'executed', '2024-03-05 11:00:00+00')
$$;
-- what a statement answers
CREATE FUNCTION pg_temp.answer(statement text, OUT state text, OUT message text, OUT detail jsonb) LANGUAGE plpgsql AS $$
DECLARE
    info text;
BEGIN
    EXECUTE statement;
    state := 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS info = PG_EXCEPTION_DETAIL;
    state := SQLSTATE;
    message := SQLERRM;
    detail := CASE WHEN state IN ('XF001', 'XF002') THEN info::jsonb END;
END
$$;
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', state, message) FROM pg_temp.answer(statement) $$;
-- the books of a user in one line
CREATE FUNCTION pg_temp.books(who text DEFAULT 'a1') RETURNS text STABLE LANGUAGE sql AS $$
    SELECT concat_ws('; ', 'balance ' || trim_scale(a.balance) || ', open ' || a.open_trades,
               (SELECT string_agg(format('%s +%s -%s', p.symbol, trim_scale(p.long_quantity), trim_scale(p.short_quantity)), ', ' ORDER BY p.symbol) FROM fx.positions AS p WHERE p.user_id = a.user_id AND p.long_quantity + p.short_quantity > 0),
               (SELECT string_agg(format('%s %s/%s', l.name, trim_scale(l.current_value), trim_scale(l.limit_value)), ', ' ORDER BY l.name) FROM fx.risk_limits AS l WHERE l.user_id = a.user_id AND l.is_active))
      FROM fx.accounts AS a WHERE a.user_id = ('00000000-0000-4000-8000-0000000000' || who)::uuid
$$;
-- all that a refusal must leave as it was
CREATE FUNCTION pg_temp.picture() RETURNS text STABLE LANGUAGE sql AS $$
    SELECT md5(concat((SELECT jsonb_agg(t ORDER BY t.user_id) FROM fx.accounts AS t), (SELECT jsonb_agg(t ORDER BY t.user_id, t.symbol) FROM fx.positions AS t), (SELECT jsonb_agg(t ORDER BY t.id) FROM fx.closures AS t),
                      (SELECT jsonb_agg(t ORDER BY t.id) FROM fx.risk_limits AS t), (SELECT jsonb_agg(t ORDER BY t.id) FROM fx.risk_events AS t), (SELECT jsonb_agg(t ORDER BY t.id) FROM fx.trades AS t)))
$$;
CREATE FUNCTION pg_temp.shape(trades text) RETURNS text LANGUAGE sql AS $$
    SELECT 'INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
            SELECT ''00000000-0000-4000-8000-0000000000a1'', ''EURUSD'', CASE WHEN u > 0 THEN ''buy'' ELSE ''sell'' END, ''market'', abs(u), 1.1, ''executed'', ''2024-03-05 11:00:00+00''
              FROM unnest(''' || trades || '''::numeric[]) WITH ORDINALITY AS v (u, n) ORDER BY n'
$$;

-- rows of a statement are judged in their order, each with those before it
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) VALUES (:'a1', 'units', 'max_position', 'absolute', 10);
SELECT pg_temp.try(pg_temp.shape('{6,6}')) AS two;
SELECT pg_temp.try(pg_temp.shape('{6,8,-4}')) AS over_on_the_way;
SELECT pg_temp.books();
SELECT pg_temp.try(pg_temp.shape('{6,-4,8}')) AS never_over;
SELECT pg_temp.books();
SELECT pg_temp.try(pg_temp.shape('{-20}')) AS flip, pg_temp.try(pg_temp.shape('{-1}')) AS over_the_other_side, pg_temp.try(pg_temp.shape('{3}')) AS smaller;
SELECT pg_temp.books();
DELETE FROM trades;
SELECT pg_temp.books();
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES
    (:'a1', 'EURUSD', 'buy', 'market', 6, 1.1, 'executed', '2024-03-05 11:00:00+00'),
    (:'a1', 'EUR/USD', 'buy', 'market', 4, 1.1, 'executed', '2024-03-05 11:00:00+00'),
    (:'a1', 'GBPUSD', 'buy', 'market', 10, 1.25, 'executed', '2024-03-05 11:00:00+00');
SELECT pg_temp.books();
SAVEPOINT s;
\set VERBOSITY terse
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES
    (:'a1', 'USDCHF', 'buy', 'market', 6, 0.9, 'executed', '2024-03-05 11:00:00+00'),
    (:'a1', 'eur_usd', 'buy', 'market', 1, 1.1, 'executed', '2024-03-05 11:00:00+00');
ROLLBACK TO s;
SELECT pg_temp.books();

-- COPY
COPY trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) FROM stdin;
00000000-0000-4000-8000-0000000000a1	EURUSD	sell	market	6	1.1	executed	2024-03-05 11:00:00+00
00000000-0000-4000-8000-0000000000a1	EURUSD	buy	market	5	1.1	executed	2024-03-05 11:00:00+00
\.
SELECT pg_temp.books();
SAVEPOINT s;
COPY trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) FROM stdin;
00000000-0000-4000-8000-0000000000a1	EURUSD	buy	market	2	1.1	executed	2024-03-05 11:00:00+00
00000000-0000-4000-8000-0000000000a1	EURUSD	sell	market	6	1.1	executed	2024-03-05 11:00:00+00
\.
ROLLBACK TO s;
SELECT pg_temp.books();

-- ON CONFLICT: a row that is not inserted is not judged, one that is updated is
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price) VALUES ('00000000-0000-4000-8000-0000000000d1', :'a1', 'EURUSD', 'buy', 'limit', 1, 1.1);
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at)
VALUES ('00000000-0000-4000-8000-0000000000d1', :'a1', 'EURUSD', 'buy', 'market', 500, 1.1, 'executed', '2024-03-05 11:00:00+00') ON CONFLICT DO NOTHING;
SELECT pg_temp.books();
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at)
VALUES ('00000000-0000-4000-8000-0000000000d1', :'a1', 'EURUSD', 'buy', 'market', 1, 1.1, 'executed', '2024-03-05 11:00:00+00')
    ON CONFLICT (id) DO UPDATE SET status = 'executed', executed_at = excluded.executed_at;
SELECT pg_temp.books();
SAVEPOINT s;
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price) VALUES ('00000000-0000-4000-8000-0000000000d2', :'a1', 'GBPUSD', 'sell', 'limit', 4, 1.25);
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (:'a1', 'GBPUSD', 'sell', 'market', 18, 1.25, 'executed', '2024-03-05 11:00:00+00');
SAVEPOINT t;
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price)
VALUES ('00000000-0000-4000-8000-0000000000d2', :'a1', 'GBPUSD', 'sell', 'market', 4, 1.25)
    ON CONFLICT (id) DO UPDATE SET status = 'executed', executed_at = '2024-03-05 11:00:00+00';
ROLLBACK TO s;

-- MERGE, and a statement that writes twice
MERGE INTO trades AS t
USING (VALUES ('00000000-0000-4000-8000-0000000000d3'::uuid, 'USDCHF', 7), ('00000000-0000-4000-8000-0000000000d4', 'USDCHF', 3)) AS v (id, symbol, units) ON t.id = v.id
 WHEN NOT MATCHED THEN INSERT (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (v.id, '00000000-0000-4000-8000-0000000000a1', v.symbol, 'buy', 'market', v.units, 0.9, 'executed', '2024-03-05 11:00:00+00');
SELECT pg_temp.books();
MERGE INTO trades AS t
USING (VALUES ('00000000-0000-4000-8000-0000000000d3'::uuid, 0), ('00000000-0000-4000-8000-0000000000d5', 1)) AS v (id, units) ON t.id = v.id
 WHEN MATCHED THEN UPDATE SET closed_at = '2024-03-05 11:30:00+00', profit = 2
 WHEN NOT MATCHED THEN INSERT (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (v.id, '00000000-0000-4000-8000-0000000000a1', 'NZDUSD', 'buy', 'market', v.units, 0.6, 'executed', '2024-03-05 11:00:00+00');
SELECT pg_temp.books();
SAVEPOINT s;
MERGE INTO trades AS t USING (VALUES (5), (6)) AS v (units) ON false
 WHEN NOT MATCHED THEN INSERT (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES ('00000000-0000-4000-8000-0000000000a1', 'AUDUSD', 'buy', 'market', v.units, 0.6, 'executed', '2024-03-05 11:00:00+00');
ROLLBACK TO s;
WITH one AS (
    INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (:'a1', 'AUDUSD', 'buy', 'market', 6, 0.6, 'executed', '2024-03-05 11:00:00+00')
)
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (:'a1', 'AUDUSD', 'buy', 'market', 6, 0.6, 'executed', '2024-03-05 11:00:00+00');
ROLLBACK TO s;

-- several orders executed by one UPDATE
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price) SELECT :'a1', 'AUDUSD', 'buy', 'limit', n, 0.6 FROM generate_series(4, 6) AS n;
SAVEPOINT t;
UPDATE trades SET status = 'executed', executed_at = '2024-03-05 11:00:00+00' WHERE status = 'pending';
ROLLBACK TO t;
UPDATE trades SET status = 'executed', executed_at = '2024-03-05 11:00:00+00' WHERE status = 'pending' AND quantity <> 5;
SELECT pg_temp.books();
UPDATE trades SET status = 'cancelled' WHERE status = 'pending';
SELECT * FROM verify_positions();

-- what is rolled back leaves no trace
SELECT pg_temp.picture() AS before \gset
SAVEPOINT s;
SELECT pg_temp.put(-3), pg_temp.put(2, 'NZDUSD', 0.6), fx.deposit(:'a1', 5) \g /dev/null
UPDATE trades SET closed_at = '2024-03-05 11:30:00+00', profit = -50 WHERE symbol = 'GBPUSD' AND closed_at IS NULL;
DELETE FROM trades WHERE symbol = 'AUDUSD';
SELECT pg_temp.books();
ROLLBACK TO s;
SELECT pg_temp.picture() = :'before' AS as_before, pg_temp.books();
-- a refusal inside a transaction that goes on, and what comes after it
DO $$
BEGIN
    PERFORM pg_temp.put(1, 'NZDUSD', 0.6);
    BEGIN
        PERFORM pg_temp.put(2, 'NZDUSD', 0.6);
        PERFORM pg_temp.put(8, 'NZDUSD', 0.6);
    EXCEPTION WHEN SQLSTATE 'XF001' THEN
        RAISE NOTICE 'refused: %', SQLERRM;
    END;
    PERFORM pg_temp.put(8, 'NZDUSD', 0.6);
END
$$;
SELECT pg_temp.books();
SELECT * FROM verify_positions();
ROLLBACK TO s;

-- DETAIL has every limit: those that refuse, most used first, and the others
DELETE FROM risk_limits;
DELETE FROM trades;
DELETE FROM risk_events;
INSERT INTO risk_limits (id, user_id, name, type, limit_type, limit_value, action, symbol)
SELECT ('00000000-0000-4000-8000-0000000000e' || n)::uuid, :'a1', name, type, unit, value, action, symbol FROM (VALUES
    (1, 'units', 'max_position', 'absolute', 100, 'block', NULL), (2, 'fat "finger"', 'max_order_size', 'absolute', 50, 'block', NULL), (3, 'tickets', 'max_open_trades', 'absolute', 5, 'block', NULL),
    (4, 'exposure', 'max_exposure', 'percentage', 10, 'block', NULL), (5, 'note', 'max_order_value', 'absolute', 20, 'warn', NULL), (6, 'pounds', 'max_position', 'absolute', 1, 'block', 'GBPUSD')) AS v (n, name, type, unit, value, action, symbol);
SELECT state, message, jsonb_array_length(detail -> 'limits') AS refusing, jsonb_array_length(detail -> 'others') AS others FROM pg_temp.answer('SELECT pg_temp.put(120)');
SELECT right(l ->> 'id', 2) AS id, l ->> 'name' AS name, l ->> 'type' AS type, l ->> 'limit_type' AS unit, l -> 'limit' AS "limit", l -> 'current' AS current, l -> 'projected' AS projected,
       l -> 'bound' AS bound, round((l -> 'utilization')::numeric, 2) AS utilization, l ->> 'action' AS action, l ->> 'reason' AS reason
  FROM pg_temp.answer('SELECT pg_temp.put(120)'), jsonb_array_elements(detail -> 'limits') WITH ORDINALITY AS v (l, n) ORDER BY n;
SELECT l ->> 'name' AS name, l -> 'current' AS current, l -> 'projected' AS projected, l -> 'bound' AS bound, round((l -> 'utilization')::numeric, 2) AS utilization, l ->> 'reason' AS reason
  FROM pg_temp.answer('SELECT pg_temp.put(120)'), jsonb_array_elements(detail -> 'others') AS l ORDER BY l ->> 'id';
SELECT DISTINCT jsonb_object_agg(e.key, jsonb_typeof(e.value)) AS keys
  FROM pg_temp.answer('SELECT pg_temp.put(120)'), jsonb_array_elements((detail -> 'limits') || (detail -> 'others')) AS l, jsonb_each(l) AS e GROUP BY l ->> 'id' ORDER BY 1;
-- as an application sees it: one line, and where it was
\set VERBOSITY default
\set SHOW_CONTEXT never
SAVEPOINT s;
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (:'a1', 'EURUSD', 'buy', 'market', 51, 1.1, 'executed', '2024-03-05 11:00:00+00');
ROLLBACK TO s;
\set VERBOSITY terse
-- a bound of 0
UPDATE risk_limits SET limit_value = 0 WHERE name = 'tickets';
SELECT l ->> 'name' AS name, l -> 'utilization' AS utilization FROM pg_temp.answer('SELECT pg_temp.put(1)'), jsonb_array_elements(detail -> 'limits') AS l;
DELETE FROM risk_limits WHERE name <> 'note';

-- a warning lets pass, and is recorded
SELECT pg_temp.try('SELECT pg_temp.put(30)');
SELECT event, type, trim_scale(projected_value) AS projected, trim_scale(bound) AS bound, trade_id IS NOT NULL AS of_a_trade, right(limit_id::text, 2) AS "limit" FROM risk_events ORDER BY id;
SELECT pg_temp.books();
DELETE FROM risk_limits;
DELETE FROM trades;
DELETE FROM risk_events;

-- states of the account
SELECT pg_temp.put(10) \g /dev/null
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price) VALUES ('00000000-0000-4000-8000-0000000000d9', :'a1', 'EURUSD', 'buy', 'limit', 1, 1.1);
SELECT set_trading_state(:'a1', 'reduce_only', 'margin call') \g /dev/null
SELECT pg_temp.try('SELECT pg_temp.put(1)') AS buy, pg_temp.try('SELECT pg_temp.put(-11)') AS flip, pg_temp.try('SELECT pg_temp.put(-1, ''GBPUSD'', 1.25)') AS other, pg_temp.try('SELECT pg_temp.put(-4)') AS reduce;
SELECT pg_temp.try($$SELECT fx.close_trade(id, 1.1, '2024-03-05 11:30:00+00', quantity => 1) FROM fx.trades WHERE status = 'executed' AND closed_at IS NULL$$) AS close;
SELECT pg_temp.try($$UPDATE fx.trades SET status = 'executed', executed_at = '2024-03-05 11:00:00+00' WHERE status = 'pending'$$) AS execute, pg_temp.try($$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price) VALUES ('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 'limit', 1, 1.1)$$) AS order;
SELECT pg_temp.books();
SELECT set_trading_state(:'a1', 'halted', 'audit') \g /dev/null
SELECT pg_temp.try('SELECT pg_temp.put(1)') AS buy, pg_temp.try('SELECT pg_temp.put(-1)') AS reduce;
SELECT pg_temp.try($$SELECT fx.close_trade(id, 1.1, '2024-03-05 11:30:00+00') FROM fx.trades WHERE status = 'executed' AND closed_at IS NULL$$) AS close;
SELECT pg_temp.try($$UPDATE fx.trades SET closed_at = '2024-03-05 11:30:00+00' WHERE status = 'executed' AND closed_at IS NULL$$) AS close_by_hand;
SELECT pg_temp.try($$UPDATE fx.trades SET status = 'cancelled' WHERE status = 'pending'$$) AS cancel;
SELECT detail ? 'limits' AS has_limits, state FROM pg_temp.answer('SELECT pg_temp.put(1)');
SELECT pg_temp.try('SELECT pg_temp.put(1, who => ''a2'')') AS somebody_else;
SELECT pg_temp.books();
SELECT set_trading_state(:'a1', 'active') \g /dev/null
SELECT pg_temp.try('SELECT fx.set_trading_state(''00000000-0000-4000-8000-0000000000a1'', ''asleep'')') AS no_state;
SELECT event, reason, detail FROM risk_events WHERE event = 'state' ORDER BY id;
-- a kill switch, for a symbol and for all; a limit whose action is a state
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, symbol) VALUES (:'a1', 'no pounds', 'kill_switch', 'absolute', 0, 'GBP/USD');
SELECT pg_temp.try('SELECT pg_temp.put(1, ''GBPUSD'', 1.25)') AS pounds, pg_temp.try('SELECT pg_temp.put(1)') AS euros;
UPDATE risk_limits SET symbol = NULL;
SELECT pg_temp.try('SELECT pg_temp.put(1)') AS euros, pg_temp.try('SELECT pg_temp.put(-1)') AS reduce;
UPDATE risk_limits SET is_active = false;
SELECT pg_temp.try('SELECT pg_temp.put(1)') AS euros;
DELETE FROM risk_limits;
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, action) VALUES (:'a1', 'loss', 'daily_loss', 'absolute', 100, 'halt');
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, profit, status, executed_at, closed_at) VALUES (:'a1', 'EURUSD', 'buy', 'market', 1, 1.1, -100, 'executed', '2024-03-05 10:00:00+00', '2024-03-05 10:30:00+00');
SELECT pg_temp.try('SELECT pg_temp.put(1)') AS euros, pg_temp.try('SELECT pg_temp.put(-1)') AS reduce;
UPDATE risk_limits SET action = 'reduce_only';
SELECT pg_temp.try('SELECT pg_temp.put(1)') AS euros, pg_temp.try('SELECT pg_temp.put(-1)') AS reduce;
UPDATE risk_limits SET action = 'block';
SELECT pg_temp.try('SELECT pg_temp.put(1)') AS euros, pg_temp.try('SELECT pg_temp.put(-1)') AS reduce;
SELECT name, breached_at, breached_until, trim_scale(breach_value) AS breach_value FROM risk_limits l JOIN risk_limit_state s ON s.limit_id = l.id;
SELECT * FROM verify_positions();
DELETE FROM risk_limits;
DELETE FROM trades;
DELETE FROM risk_events;

-- fx.try_trade stores what it is refused
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) VALUES (:'a1', 'units', 'max_position', 'absolute', 10), (:'a1', 'size', 'max_order_size', 'absolute', 11);
SELECT status, reason_code, detail FROM try_trade(:'a1', 'EURUSD', 'buy', 8, 1.1, executed_at => '2024-03-05 11:00:00+00');
SELECT status, reason_code, jsonb_array_length(detail -> 'limits') AS refusing FROM try_trade(:'a1', 'EURUSD', 'buy', 12, 1.1, executed_at => '2024-03-05 11:00:00+00', external_id => 'x7', metadata => '{"a": 1}');
SELECT status, reason_code FROM try_trade(:'a1', 'EURUSD', 'buy', 2, 1.1, status => 'pending', order_type => 'limit');
SELECT set_trading_state(:'a1', 'halted') \g /dev/null
SELECT status, reason_code FROM try_trade(:'a1', 'EURUSD', 'sell', 1, 1.1, executed_at => '2024-03-05 11:00:00+00');
SELECT set_trading_state(:'a1', 'reduce_only') \g /dev/null
SELECT status, reason_code FROM try_trade(:'a1', 'EURUSD', 'buy', 1, 1.1, executed_at => '2024-03-05 11:00:00+00');
SELECT set_trading_state(:'a1', 'active') \g /dev/null
SELECT type, trim_scale(quantity) AS quantity, status, reason_code, executed_at, external_id, metadata FROM trades ORDER BY quantity, status, type;
SELECT e.event, e.type, trim_scale(e.current_value) AS current, trim_scale(e.projected_value) AS projected, trim_scale(e.bound) AS bound, t.status AS of_trade, l.name AS of_limit
  FROM risk_events AS e LEFT JOIN trades AS t ON t.id = e.trade_id LEFT JOIN risk_limits AS l ON l.id = e.limit_id WHERE e.event <> 'state' ORDER BY e.id;
SELECT pg_temp.books();
-- what is wrong with it otherwise stays an error
SELECT pg_temp.try($$SELECT fx.try_trade('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'hold', 1, 1.1)$$) AS bad_type, pg_temp.try($$SELECT fx.try_trade('00000000-0000-4000-8000-00000000dead', 'EURUSD', 'buy', 1, 1.1)$$) AS nobody;
SELECT * FROM verify_positions();
DELETE FROM risk_limits;
DELETE FROM trades;
DELETE FROM risk_events;

-- what is not known refuses, and is named
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) VALUES
    (:'a3', 'loss', 'daily_loss', 'percentage', 5), (:'a3', 'exposure', 'max_exposure', 'absolute', 1000), (:'a3', 'collar', 'price_collar', 'percentage', 2),
    (:'a3', 'size', 'max_order_size', 'absolute', 100);
SELECT l ->> 'name' AS name, l -> 'projected' AS projected, l -> 'bound' AS bound, l -> 'utilization' AS utilization, l ->> 'missing' AS missing, l ->> 'reason' AS reason
  FROM pg_temp.answer('SELECT pg_temp.put(1, who => ''a3'')'), jsonb_array_elements(detail -> 'limits') AS l ORDER BY 1;
SELECT l ->> 'name' AS name, l ->> 'missing' AS missing FROM pg_temp.answer('SELECT pg_temp.put(1, ''GBPUSD'', 0, ''a3'')'), jsonb_array_elements(detail -> 'limits') AS l ORDER BY 1;
-- prices, too old and fresh; a balance
SELECT create_market_data_partitions('2024-03-01', '2024-04-01') \g /dev/null
INSERT INTO market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
SELECT s, '1m', '2024-03-05 09:00:00+00', p, p, p, p, 1 FROM (VALUES ('EURUSD', 1.1), ('USDCHF', 0.9)) AS v (s, p);
SELECT l ->> 'name' AS name, l ->> 'missing' AS missing FROM pg_temp.answer('SELECT pg_temp.put(1, who => ''a3'')'), jsonb_array_elements(detail -> 'limits') AS l ORDER BY 1;
INSERT INTO market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
SELECT s, '1m', '2024-03-05 11:58:00+00', p, p, p, p, 1 FROM (VALUES ('EURUSD', 1.1), ('USDCHF', 0.9)) AS v (s, p);
SELECT l ->> 'name' AS name, l ->> 'missing' AS missing FROM pg_temp.answer('SELECT pg_temp.put(1, who => ''a3'')'), jsonb_array_elements(detail -> 'limits') AS l ORDER BY 1;
UPDATE users SET preferences = preferences || '{"initialBalance": 2000}' WHERE id = :'a3';
SELECT pg_temp.try('SELECT pg_temp.put(1, who => ''a3'')') AS all_known, pg_temp.try('SELECT pg_temp.put(1, price => 1.13, who => ''a3'')') AS far_away, pg_temp.try('SELECT pg_temp.put(1, price => 0, who => ''a3'')') AS at_market;
SELECT pg_temp.books('a3');
-- reducing passes whatever is not known; but a profit is not guessed
SET fxplatform.clock = '2024-03-05 20:00:00+00';
SELECT pg_temp.try('SELECT pg_temp.put(1, who => ''a3'')') AS opens,
       pg_temp.try($$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES ('00000000-0000-4000-8000-0000000000a3', 'EURUSD', 'sell', 'market', 1, 1.1, 'executed', '2024-03-05 20:00:00+00')$$) AS without_a_rate;
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, profit, status, executed_at) VALUES (:'a3', 'EURUSD', 'sell', 'market', 1, 1.1, 3, 'executed', '2024-03-05 20:00:00+00');
SELECT pg_temp.books('a3');
SET fxplatform.clock = '2024-03-05 12:00:00+00';
DELETE FROM risk_limits;
DELETE FROM trades;

-- current values follow; the query of the specification shows the truth
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, current_value) VALUES
    (:'a1', 'units', 'max_position', 'absolute', 100, 77), (:'a1', 'tickets', 'max_open_trades', 'absolute', 8, 77), (:'a1', 'loss', 'daily_loss', 'percentage', 10, 77),
    (:'a1', 'exposure', 'max_exposure', 'percentage', 50, NULL), (:'a1', 'size', 'max_order_size', 'absolute', 100, 77);
CREATE FUNCTION pg_temp.spec() RETURNS TABLE (kind text, limit_value numeric, current_value numeric, utilization numeric) LANGUAGE sql AS $$
    SELECT rl.type, trim_scale(rl.limit_value), trim_scale(rl.current_value), round(rl.current_value / rl.limit_value * 100, 2)
      FROM fx.risk_limits rl
     WHERE rl.user_id = '00000000-0000-4000-8000-0000000000a1' AND rl.is_active = true
     ORDER BY 4 DESC, 1
$$;
SELECT * FROM pg_temp.spec();
SELECT count(*) AS audited FROM audit_log WHERE resource_type = 'risk_limits' AND action = 'UPDATE' \gset before_
SELECT max(updated_at) AS updated_at FROM risk_limits \gset before_
SELECT pg_temp.put(25), pg_temp.put(20, 'GBPUSD', 1.25) \g /dev/null
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, profit, commission, status, executed_at, closed_at)
VALUES (:'a1', 'EURUSD', 'buy', 'market', 1, 1.1, -45, 5, 'executed', '2024-03-05 10:00:00+00', '2024-03-05 10:30:00+00');
SELECT * FROM pg_temp.spec();
SELECT (SELECT count(*) FROM audit_log WHERE resource_type = 'risk_limits' AND action = 'UPDATE') - :before_audited AS audited, (SELECT count(*) FROM audit_log WHERE resource_type IN ('accounts', 'positions') AND changed_columns && '{balance,open_trades}') AS of_books,
       (SELECT max(updated_at) FROM risk_limits) = :'before_updated_at' AS same_time;
SELECT count(*) AS as_reported FROM risk_utilization(:'a1') AS r JOIN risk_limits AS l ON l.id = r.limit_id WHERE r.current_value = l.current_value;
-- what an application writes there is ignored
UPDATE risk_limits SET current_value = 99;
SELECT * FROM pg_temp.spec();
SELECT count(*) AS latched FROM risk_limit_state WHERE breached_at IS NOT NULL OR breached_until IS NOT NULL OR breach_value IS NOT NULL;
SELECT fx.close_trade(id, 1.1, '2024-03-05 11:30:00+00') FROM trades WHERE symbol = 'EURUSD' AND closed_at IS NULL \g /dev/null
SELECT * FROM pg_temp.spec();
-- those of a limit that was not active, and of a new user
UPDATE risk_limits SET is_active = false WHERE name = 'units';
SELECT pg_temp.put(7) \g /dev/null
UPDATE risk_limits SET is_active = true WHERE name = 'units';
SELECT current_value FROM risk_limits WHERE name = 'units';
DELETE FROM risk_limits;

-- nothing diverts the engine: names, functions and operators of somebody else
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) VALUES (:'a1', 'units', 'max_position', 'absolute', 30);
CREATE TEMPORARY TABLE accounts (LIKE fx.accounts) ON COMMIT DROP;
CREATE TEMPORARY TABLE positions (LIKE fx.positions) ON COMMIT DROP;
CREATE TEMPORARY TABLE risk_limits (LIKE fx.risk_limits) ON COMMIT DROP;
CREATE TEMPORARY TABLE closures (LIKE fx.closures) ON COMMIT DROP;
CREATE TEMPORARY TABLE trades (LIKE fx.trades) ON COMMIT DROP;
CREATE TEMPORARY TABLE cash_flows (LIKE fx.cash_flows) ON COMMIT DROP;
CREATE TEMPORARY TABLE risk_events (LIKE fx.risk_events) ON COMMIT DROP;
CREATE TEMPORARY TABLE instruments (LIKE fx.instruments) ON COMMIT DROP;
CREATE TEMPORARY TABLE users (LIKE fx.users) ON COMMIT DROP;
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.yes(uuid, uuid) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR hostile.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = hostile.yes);
CREATE FUNCTION hostile.less(numeric, numeric) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR hostile.> (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = hostile.less);
CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz '1999-01-01 00:00+00' $$;
SELECT pg_temp.books();
SET LOCAL search_path = pg_temp, hostile, pg_catalog, fx;
SAVEPOINT s;
INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (:'a1', 'EURUSD', 'buy', 'market', 24, 1.1, 'executed', '2024-03-05 11:00:00+00');
ROLLBACK TO s;
INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES ('00000000-0000-4000-8000-0000000000d7', :'a1', 'EURUSD', 'buy', 'market', 23, 1.1, 'executed', '2024-03-05 11:00:00+00');
SELECT fx.deposit(:'a1', 10), fx.close_trade('00000000-0000-4000-8000-0000000000d7', 1.1, '2024-03-05 11:30:00+00', quantity => 1) \g /dev/null
SELECT status, reason_code FROM fx.try_trade(:'a1', 'EURUSD', 'buy', 2, 1.1, executed_at => '2024-03-05 11:00:00+00');
SELECT allowed FROM fx.check_risk(:'a1', 'EURUSD', 'buy', 2, 1.1);
INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (:'a1', 'EURUSD', 'sell', 'market', 9, 1.1, 'executed', '2024-03-05 11:00:00+00');
UPDATE fx.risk_limits SET limit_value = 29;
SELECT fx.set_trading_state(:'a1', 'halted'), fx.mark_account(:'a1') IS NOT NULL, fx.rebuild_risk_state(:'a1') \g /dev/null
RESET search_path;
SELECT pg_temp.books();
SELECT * FROM fx.verify_positions();
SELECT count(*) AS diverted FROM (SELECT FROM pg_temp.accounts UNION ALL SELECT FROM pg_temp.positions UNION ALL SELECT FROM pg_temp.closures UNION ALL SELECT FROM pg_temp.trades UNION ALL SELECT FROM pg_temp.cash_flows UNION ALL SELECT FROM pg_temp.risk_events) AS t;
ROLLBACK;

-- who may do what
BEGIN;
INSERT INTO fx.users (id, email, username, password_hash, preferences) VALUES
    (:'a1', '1@example.com', 'one', 'x', '{"initialBalance": 1000}'), (:'a2', '2@example.com', 'two', 'x', '{"initialBalance": 1000}');
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value) SELECT id, 'units', 'max_position', 'absolute', 10 FROM fx.users;
CREATE ROLE risk_reader IN ROLE fx_user;
CREATE ROLE risk_service IN ROLE fx_app;
CREATE ROLE risk_reports IN ROLE fx_reporting;
CREATE ROLE risk_stranger;
GRANT USAGE ON SCHEMA fx TO risk_stranger;
CREATE FUNCTION public.answer(statement text) RETURNS text LANGUAGE plpgsql AS $$
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
SET LOCAL app.current_user_id = :'a1';
-- a user trades for himself, within his limits, and sees his own books only
SET LOCAL ROLE risk_reader;
SELECT public.answer($$INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES ('00000000-0000-4000-8000-0000000000d1', '00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 'market', 8, 1.1, 'executed', '2024-03-05 11:00:00+00')$$) AS own,
       public.answer($$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES ('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 'market', 8, 1.1, 'executed', '2024-03-05 11:00:00+00')$$) AS too_much,
       public.answer($$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES ('00000000-0000-4000-8000-0000000000a2', 'EURUSD', 'buy', 'market', 8, 1.1, 'executed', '2024-03-05 11:00:00+00')$$) AS of_another;
SELECT status, reason_code FROM fx.try_trade(:'a1', 'EURUSD', 'buy', 8, 1.1, executed_at => '2024-03-05 11:00:00+00');
SELECT public.answer($$SELECT fx.close_trade('00000000-0000-4000-8000-0000000000d1', 1.2, '2024-03-05 11:30:00+00', quantity => 2)$$) AS close;
SELECT 'accounts' AS books, count(*) FROM fx.accounts UNION ALL SELECT 'positions', count(*) FROM fx.positions UNION ALL SELECT 'closures', count(*) FROM fx.closures UNION ALL SELECT 'events', count(*) FROM fx.risk_events ORDER BY 1;
SELECT n, public.answer(statement) AS answer FROM (VALUES
    (1, 'UPDATE fx.accounts SET balance = 1000000'), (2, $$UPDATE fx.accounts SET trading_state = 'active'$$), (3, 'UPDATE fx.positions SET long_quantity = 0'), (4, 'DELETE FROM fx.positions'), (5, 'INSERT INTO fx.closures DEFAULT VALUES'),
    (6, $$INSERT INTO fx.cash_flows (user_id, amount) VALUES ('00000000-0000-4000-8000-0000000000a1', 5)$$), (7, 'DELETE FROM fx.risk_events'), (8, 'UPDATE fx.risk_limits SET limit_value = 1000'), (9, 'UPDATE fx.risk_limits SET current_value = 0'),
    (10, $$SELECT fx.deposit('00000000-0000-4000-8000-0000000000a1', 5)$$), (11, $$SELECT fx.withdraw('00000000-0000-4000-8000-0000000000a1', 5)$$), (12, $$SELECT fx.set_trading_state('00000000-0000-4000-8000-0000000000a1', 'active')$$),
    (13, $$SELECT fx.clear_breach('00000000-0000-4000-8000-0000000000a1', 'x')$$), (14, $$SELECT fx.apply_risk_preset('00000000-0000-4000-8000-0000000000a1', 'retail')$$), (15, $$SELECT fx.rebuild_risk_state('00000000-0000-4000-8000-0000000000a1')$$),
    (16, 'SELECT * FROM fx.verify_positions()'), (17, $$SELECT fx.mark_account('00000000-0000-4000-8000-0000000000a1')$$), (18, 'SELECT fx.mark_accounts()'), (19, 'DELETE FROM fx.risk_presets'),
    (20, $$SET fxplatform.clock = '2000-01-01'$$), (21, $$SELECT * FROM fx.risk_utilization('00000000-0000-4000-8000-0000000000a1')$$), (22, $$SELECT * FROM fx.risk_utilization('00000000-0000-4000-8000-0000000000a2')$$),
    (23, $$SELECT * FROM fx.check_risk('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 1, 1.1)$$), (24, $$SELECT * FROM fx.check_risk('00000000-0000-4000-8000-0000000000a2', 'EURUSD', 'buy', 1, 1.1)$$),
    (25, $$SELECT * FROM fx.what_if('00000000-0000-4000-8000-0000000000a2', '[{"symbol": "EURUSD", "type": "buy", "quantity": 1}]')$$)) AS v (n, statement) ORDER BY n;
-- without a name nobody is anybody
SET LOCAL app.current_user_id = '';
SELECT count(*) AS accounts, (SELECT count(*) FROM fx.risk_utilization(:'a1')) AS limits FROM fx.accounts;
-- a service keeps the books through functions, not by hand
SET LOCAL ROLE risk_service;
SELECT n, public.answer(statement) AS answer FROM (VALUES
    (1, 'UPDATE fx.accounts SET balance = 1000000'), (2, 'UPDATE fx.accounts SET high_water_mark = 0'), (3, 'UPDATE fx.positions SET long_quantity = 0'), (4, 'DELETE FROM fx.accounts'), (5, 'UPDATE fx.closures SET cost = 0'), (6, 'UPDATE fx.cash_flows SET amount = 1'),
    (7, $$UPDATE fx.accounts SET trading_state = 'reduce_only'$$), (8, $$UPDATE fx.accounts SET trading_state = 'active'$$), (9, $$SELECT fx.deposit('00000000-0000-4000-8000-0000000000a1', 5)$$), (10, $$INSERT INTO fx.cash_flows (user_id, amount) VALUES ('00000000-0000-4000-8000-0000000000a1', 5)$$),
    (11, 'SELECT * FROM fx.verify_positions()'), (12, $$SELECT fx.rebuild_risk_state('00000000-0000-4000-8000-0000000000a1')$$), (13, 'SELECT fx.mark_accounts()'), (14, $$SELECT fx.apply_risk_preset('00000000-0000-4000-8000-0000000000a2', 'retail')$$)) AS v (n, statement) ORDER BY n;
SELECT right(user_id::text, 2) AS "user", trim_scale(balance) AS balance, trim_scale(net_deposits) AS deposits FROM fx.accounts ORDER BY 1;
SET LOCAL ROLE risk_reports;
SELECT (SELECT count(*) FROM fx.accounts) AS accounts, (SELECT count(*) FROM fx.positions) AS positions, public.answer('UPDATE fx.accounts SET balance = 0') AS write, public.answer($$SELECT fx.deposit('00000000-0000-4000-8000-0000000000a1', 5)$$) AS deposit;
SET LOCAL ROLE risk_stranger;
SELECT n, public.answer(statement) AS answer FROM (VALUES
    (1, 'SELECT * FROM fx.accounts'), (2, $$SELECT fx.deposit('00000000-0000-4000-8000-0000000000a1', 5)$$), (3, $$SELECT fx.close_trade('00000000-0000-4000-8000-0000000000d1', 1.2)$$), (4, $$SELECT fx.try_trade('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 1, 1.1)$$),
    (5, $$SELECT fx.risk_utilization('00000000-0000-4000-8000-0000000000a1')$$)) AS v (n, statement) ORDER BY n;
RESET ROLE;
SELECT * FROM fx.verify_positions();
ROLLBACK;
-- functions that write are nobody's until granted
SELECT proname, proacl::text LIKE '%=X/%' AND (proacl::text LIKE '{=X/%' OR proacl::text LIKE '%,=X/%') AS public, proacl IS NULL AS default_rights
  FROM pg_proc WHERE pronamespace = 'fx'::regnamespace
   AND proname IN ('deposit', 'withdraw', 'close_trade', 'try_trade', 'set_trading_state', 'clear_breach', 'apply_risk_preset', 'rebuild_risk_state', 'verify_positions', 'mark_account', 'mark_accounts')
 ORDER BY 1;
RESET fxplatform.clock;
RESET timezone;
