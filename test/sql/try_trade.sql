--
-- Trades that may be refused: judged in order, refused as a whole or recorded
-- as rejected
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';
\set a1 00000000-0000-4000-8000-0000000000a1
\set a2 00000000-0000-4000-8000-0000000000a2
BEGIN;
SET LOCAL search_path = fx, public;
SET LOCAL fxplatform.clock = '2024-01-10T20:00:00Z';
INSERT INTO users (id, email, username, password_hash, preferences)
SELECT ('00000000-0000-4000-8000-0000000000a' || n)::uuid, n || '@example.com', n, 'x', '{"initialBalance": 100000}' FROM generate_series(1, 2) AS n;
INSERT INTO strategies (id, user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000b1', :'a1', 's', 'manual');
INSERT INTO risk_limits (id, user_id, name, type, limit_type, limit_value) VALUES
    ('00000000-0000-4000-8000-0000000000c1', :'a1', 'small orders', 'max_order_size', 'absolute', 1000), ('00000000-0000-4000-8000-0000000000c2', :'a1', 'few trades', 'max_open_trades', 'absolute', 3),
    ('00000000-0000-4000-8000-0000000000c3', :'a1', 'small position', 'max_position', 'absolute', 1500);
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
    hint text;
BEGIN
    EXECUTE statement;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN 'rows ' || n;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(hint, ''));
END
$$;
CREATE FUNCTION pg_temp.insert(rows text) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.try('INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at, closed_at, profit)
        SELECT ''00000000-0000-4000-8000-0000000000a1'', v.symbol, v.type, ''market'', v.quantity, 1.1, v.status, CASE v.status WHEN ''executed'' THEN timestamptz ''2024-01-10 19:00+00'' - coalesce(v.age, ''0'')::interval END, v.closed_at::timestamptz, v.profit
          FROM (VALUES ' || rows || ') AS v (symbol, type, quantity, status, age, closed_at, profit)')
$$;

-- row by row: the second goes past the limit; one that reduces makes room for the next
SELECT pg_temp.insert($$('EURUSD', 'buy', 1000, 'executed', NULL, NULL, 0), ('EURUSD', 'buy', 501, 'executed', NULL, NULL, 0)$$);
SELECT pg_temp.insert($$('EURUSD', 'buy', 1000, 'executed', NULL, NULL, 0), ('EURUSD', 'buy', 500, 'executed', NULL, NULL, 0)$$);
SELECT pg_temp.insert($$('EURUSD', 'buy', 1, 'executed', NULL, NULL, 0), ('EURUSD', 'sell', 1, 'executed', NULL, NULL, 0)$$);
SELECT pg_temp.insert($$('EURUSD', 'sell', 1, 'executed', NULL, NULL, 0), ('EURUSD', 'buy', 1, 'executed', NULL, NULL, 0)$$);
-- what reduces passes though it is large; a flip that ends past the limit does not
SELECT pg_temp.insert($$('EURUSD', 'sell', 1500, 'executed', NULL, NULL, 0)$$);
SELECT pg_temp.insert($$('EURUSD', 'buy', 1000, 'executed', NULL, NULL, 0), ('EURUSD', 'sell', 2600, 'executed', NULL, NULL, 0)$$);
-- history is booked, whatever it is; what was closed today is judged
SELECT pg_temp.insert($$('EURUSD', 'buy', 5000, 'executed', '1 day', '2024-01-09 20:00+00', -5)$$);
SELECT pg_temp.insert($$('EURUSD', 'buy', 5000, 'executed', '1 hour', '2024-01-10 19:00+00', -5)$$);
-- pending orders are judged, and again when they are executed
SELECT pg_temp.insert($$('EURUSD', 'buy', 1001, 'pending', NULL, NULL, 0)$$);
SELECT pg_temp.insert($$('EURUSD', 'buy', 1000, 'pending', NULL, NULL, 0), ('EURUSD', 'buy', 999, 'pending', NULL, NULL, 0)$$);
SELECT pg_temp.try($$UPDATE fx.trades SET status = 'executed', executed_at = '2024-01-10 19:00+00' WHERE status = 'pending'$$);
SELECT pg_temp.try($$UPDATE fx.trades SET status = 'executed', executed_at = '2024-01-10 19:00+00' WHERE status = 'pending' AND quantity = 999$$);
SELECT pg_temp.try($$UPDATE fx.trades SET status = 'cancelled' WHERE status = 'pending'$$);
SELECT status, trim_scale(quantity) AS quantity, count(*) FROM trades GROUP BY 1, 2 ORDER BY 1, 2;
SELECT * FROM verify_positions();

-- instead of the error a rejected trade and its reasons
SELECT trade_id IS NOT NULL AS has_id, status, reason_code, detail FROM try_trade(:'a1', 'EURUSD', 'buy', 501, 1.1);
SELECT status, reason_code, jsonb_path_query_array(detail, '$.limits[*].name') AS limits, jsonb_path_query_array(detail, '$.others[*].name') AS others FROM try_trade(:'a1', 'EURUSD', 'buy', 1501, 1.1);
SELECT status, reason_code, jsonb_path_query_array(detail, '$.limits[*].name') AS limits FROM try_trade(:'a1', 'EURUSD', 'buy', 5000, 1.1, 'limit', status => 'pending', stop_loss => 1, take_profit => 1.2, commission => 3, broker_id => 'b', external_id => 'e', metadata => '{"k": 1}', strategy_id => '00000000-0000-4000-8000-0000000000b1');
SELECT status, reason_code, trim_scale(quantity) AS quantity, executed_at, order_type, broker_id, external_id, metadata, strategy_id IS NOT NULL AS strategy, stop_loss IS NOT NULL AS stop, commission FROM trades WHERE status = 'rejected' ORDER BY quantity;
SELECT e.event, t.reason_code, l.name, e.type, e.current_value, e.projected_value, e.bound, e.reason, e.detail ->> 'name' AS detail FROM risk_events e JOIN trades t ON t.id = e.trade_id LEFT JOIN risk_limits l ON l.id = e.limit_id WHERE e.event = 'refused' ORDER BY t.quantity, l.name;
-- accepted
SELECT trade_id, status, reason_code IS NULL AS nothing FROM try_trade(:'a1', 'EURUSD', 'sell', 1, 1.1, executed_at => '2024-01-10 19:30+00') \gset try_
SELECT :'try_status' AS status, :'try_nothing' AS nothing, status, executed_at FROM trades WHERE id = :'try_trade_id';
SELECT trade_id, status FROM try_trade(:'a1', 'EURUSD', 'sell', 1, status => 'pending') \gset try_
SELECT :'try_status' AS status, status, executed_at FROM trades WHERE id = :'try_trade_id';
-- by the state of the account
UPDATE accounts SET trading_state = 'reduce_only', state_reason = 'enough' WHERE user_id = :'a1';
SELECT status, reason_code, detail -> 'state' AS state FROM try_trade(:'a1', 'EURUSD', 'buy', 1, 1.1);
UPDATE accounts SET trading_state = 'halted' WHERE user_id = :'a1';
SELECT status, reason_code, detail -> 'state' AS state FROM try_trade(:'a1', 'EURUSD', 'buy', 1, 1.1);
SELECT event, type, reason, limit_id, detail -> 'state' AS state FROM risk_events WHERE event = 'refused' AND limit_id IS NULL ORDER BY id;
UPDATE accounts SET trading_state = 'active' WHERE user_id = :'a1';
-- errors of another kind stay errors
SELECT pg_temp.try($$SELECT fx.try_trade('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 1, 1.1, status => 'rejected')$$);
SELECT pg_temp.try($$SELECT fx.try_trade('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 1, 1.1, status => NULL)$$);
SELECT pg_temp.try($$SELECT fx.try_trade('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'hold', 1, 1.1)$$);
SELECT pg_temp.try($$SELECT fx.try_trade('00000000-0000-4000-8000-00000000dead', 'EURUSD', 'buy', 1, 1.1)$$);
-- whoever asks for a record gets that of what was refused, once, on a trade that was rejected
SELECT refusal_reason();
SELECT pg_temp.try(format('SELECT fx.record_refusal(%L)', id)) FROM trades WHERE status = 'rejected' ORDER BY quantity LIMIT 1;
SELECT pg_temp.insert($$('EURUSD', 'buy', 1001, 'executed', NULL, NULL, 0)$$);
SELECT refusal_reason();
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, status) VALUES ('00000000-0000-4000-8000-0000000000d1', :'a1', 'EURUSD', 'buy', 'limit', 1, 'cancelled');
SELECT pg_temp.try($$SELECT fx.record_refusal('00000000-0000-4000-8000-0000000000d1')$$);
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, status) VALUES ('00000000-0000-4000-8000-0000000000d2', :'a2', 'EURUSD', 'buy', 'limit', 1, 'rejected');
SELECT pg_temp.try($$SELECT fx.record_refusal('00000000-0000-4000-8000-0000000000d2')$$);
SELECT pg_temp.try($$SELECT fx.record_refusal(NULL)$$);
-- a user for himself: he needs no right to write events
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pg_temp TO PUBLIC;
SET LOCAL ROLE fx_user;
SET LOCAL app.current_user_id = :'a1';
SELECT status, reason_code FROM try_trade(:'a1', 'EURUSD', 'buy', 2000, 1.1);
SELECT count(*) FROM risk_events WHERE event = 'refused' AND projected_value = 2000;
SELECT refusal_reason();
SELECT pg_temp.try($$SELECT fx.record_refusal('00000000-0000-4000-8000-0000000000d2')$$);
SELECT pg_temp.try($$SELECT fx.try_trade('00000000-0000-4000-8000-0000000000a2', 'EURUSD', 'buy', 1, 1.1)$$);
SELECT pg_temp.try($$INSERT INTO fx.risk_events (user_id, event) VALUES ('00000000-0000-4000-8000-0000000000a1', 'refused')$$);
SET LOCAL ROLE fx_reporting;
SELECT pg_temp.try($$SELECT fx.try_trade('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 1, 1.1)$$);
RESET ROLE;
-- limits of a strategy count the rows of the statement in order, too
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, strategy_id) VALUES (:'a2', 'two of the strategy', 'max_open_trades', 'absolute', 2, '00000000-0000-4000-8000-0000000000b1'), (:'a2', 'three a day', 'max_daily_trades', 'absolute', 3, NULL);
UPDATE strategies SET is_public = true;
CREATE FUNCTION pg_temp.of_strategy(n int) RETURNS text LANGUAGE sql AS $$
    SELECT pg_temp.try(format('INSERT INTO fx.trades (user_id, strategy_id, symbol, type, order_type, quantity, price, status, executed_at) SELECT ''00000000-0000-4000-8000-0000000000a2'', ''00000000-0000-4000-8000-0000000000b1'', ''EURUSD'', ''buy'', ''market'', 1, 1.1, ''executed'', ''2024-01-10 19:00+00'' FROM generate_series(1, %s)', n))
$$;
SELECT pg_temp.of_strategy(3);
SELECT pg_temp.of_strategy(2);
SELECT pg_temp.of_strategy(1);
SELECT name, current_value FROM risk_limits WHERE user_id = :'a2' ORDER BY name;
SELECT pg_temp.try($$SELECT fx.close_trade(id, 1.2, '2024-01-10 19:30+00') FROM fx.trades WHERE user_id = '00000000-0000-4000-8000-0000000000a2' AND status = 'executed' LIMIT 1$$);
SELECT name, current_value FROM risk_limits WHERE user_id = :'a2' ORDER BY name;
SELECT pg_temp.of_strategy(1);
SELECT pg_temp.of_strategy(1);
SELECT * FROM verify_positions();
ROLLBACK;
