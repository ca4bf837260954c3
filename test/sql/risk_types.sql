--
-- What each type of limit measures, allows and refuses
--
SET timezone = 'UTC';
SET fxplatform.clock = '2024-03-05 12:00:00+00';
SELECT fx.create_market_data_partitions('2024-02-01', '2024-04-01') >= 0 AS made;
BEGIN;
SET LOCAL search_path = fx, public;
\set a1 00000000-0000-4000-8000-0000000000a1
INSERT INTO users (id, email, username, password_hash, preferences) VALUES (:'a1', 'a@example.com', 'a', 'x', '{"initialBalance": 10000}');
INSERT INTO market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
SELECT s, '1m', '2024-03-05 11:59:00+00', p, p, p, p FROM (VALUES ('EURUSD', 1.1), ('GBPUSD', 1.25), ('USDJPY', 150), ('EURGBP', 0.88), ('CHFNOK', 12)) AS c (s, p);

-- An order is "side units [symbol [price [commission]]]", at the market's price, if there is one, unless it has another ("-" for none); "mark PRICE" lets EURUSD move.
-- Of a refusal: its code, and of each limit the measure before and after, the bound, and the reason.
-- Executions follow each other by a second, so that there is an order of them.
CREATE SEQUENCE pg_temp.seconds;
CREATE FUNCTION pg_temp.act(action text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    w text[] := string_to_array(action, ' ');
    detail text;
BEGIN
    IF w[1] = 'mark' THEN
        UPDATE fx.market_data SET low_price = least(low_price, w[2]::numeric), high_price = greatest(high_price, w[2]::numeric), close_price = w[2]::numeric WHERE symbol = 'EURUSD';
        RETURN 'equity ' || trim_scale(fx.mark_account('00000000-0000-4000-8000-0000000000a1'));
    END IF;
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, commission, status, executed_at)
    VALUES ('00000000-0000-4000-8000-0000000000a1', coalesce(w[3], 'EURUSD'), w[1], 'market', w[2]::numeric,
            CASE WHEN w[4] IS NULL THEN (SELECT close_price FROM fx.market_data WHERE symbol = coalesce(w[3], 'EURUSD')) WHEN w[4] <> '-' THEN w[4]::numeric END, coalesce(w[5]::numeric, 0), 'executed', timestamptz '2024-03-05 11:00:00+00' + nextval('pg_temp.seconds') * interval '1 second');
    RETURN 'ok';
EXCEPTION WHEN SQLSTATE 'XF001' OR SQLSTATE 'XF002' THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || (SELECT string_agg(format(' %s > %s of %s: %s', coalesce(l ->> 'current', '?'), coalesce(l ->> 'projected', '?'), coalesce(l ->> 'bound', '?'), l ->> 'reason'), ';')
                          FROM jsonb_array_elements(detail::jsonb -> 'limits') AS l);
END
$$;
-- A limit on an account without trades, some actions, and what is stored and shown after each; then all of it is undone.
CREATE FUNCTION pg_temp.try(spec jsonb, actions text[]) RETURNS TABLE (n bigint, action text, answer text, stored numeric, shown numeric, percent numeric, status text) LANGUAGE plpgsql AS $$
DECLARE
    done jsonb := '[]';
    step text;
    said text;
BEGIN
    BEGIN
        INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value, action, basis, anchor, breach_op, lock_at, window_seconds)
        VALUES ('00000000-0000-4000-8000-0000000000a1', 'L', spec ->> 'type', coalesce(spec ->> 'unit', 'absolute'), (spec ->> 'value')::numeric, coalesce(spec ->> 'action', 'block'), spec ->> 'basis', spec ->> 'anchor',
                spec ->> 'breach_op', (spec ->> 'lock_at')::numeric, (spec ->> 'window')::int);
        FOREACH step IN ARRAY actions LOOP
            said := pg_temp.act(step);
            done := done || (SELECT jsonb_build_array(jsonb_build_array(step, said, l.current_value, u.current_value::text, u.utilization_percentage::text, u.status))
                               FROM fx.risk_limits l JOIN fx.risk_utilization('00000000-0000-4000-8000-0000000000a1') u ON u.limit_id = l.id);
        END LOOP;
        RAISE EXCEPTION 'undo' USING ERRCODE = 'XX999';
    EXCEPTION WHEN SQLSTATE 'XX999' THEN
        RETURN QUERY SELECT d.n, d.v ->> 0, d.v ->> 1, trim_scale((d.v ->> 2)::numeric), trim_scale((d.v ->> 3)::numeric), round((d.v ->> 4)::numeric, 3), d.v ->> 5
                       FROM jsonb_array_elements(done) WITH ORDINALITY AS d (v, n);
    END;
END
$$;
\pset null ?

-- losses: E = 10000; 4000 units bought at 1.12 are 80 below it at once
SELECT * FROM pg_temp.try('{"type": "daily_loss", "value": 100}', '{buy 4000 EURUSD 1.12,buy 4000 EURUSD 1.12,buy 1 EURUSD 1.1 20,buy 1 EURUSD 1.1 19,mark 1.09,buy 1,sell 4001,buy 1}');
SELECT * FROM pg_temp.try('{"type": "daily_loss", "value": 100, "breach_op": "exceed"}', '{buy 4000 EURUSD 1.12,buy 1 EURUSD 1.1 20,buy 1 EURUSD 1.1 0.00000001}');
SELECT * FROM pg_temp.try('{"type": "daily_loss", "unit": "percentage", "value": 1}', '{buy 4000 EURUSD 1.12,buy 1 EURUSD 1.1 20,buy 1 EURUSD 1.1 19.99999999}');
SELECT * FROM pg_temp.try('{"type": "weekly_loss", "value": 100}', '{buy 4000 EURUSD 1.12,buy 4000 EURUSD 1.12}');
SELECT * FROM pg_temp.try('{"type": "weekly_loss", "unit": "percentage", "value": 1, "basis": "anchor"}', '{buy 4000 EURUSD 1.12,buy 4000 EURUSD 1.12}');
SELECT * FROM pg_temp.try('{"type": "monthly_loss", "value": 100}', '{buy 4000 EURUSD 1.12,buy 4000 EURUSD 1.12}');
SELECT * FROM pg_temp.try('{"type": "monthly_loss", "unit": "percentage", "value": 1, "anchor": "balance"}', '{buy 4000 EURUSD 1.12,buy 4000 EURUSD 1.12}');
-- drawdowns; a gain raises the mark of the trailing one, from which the loss of it counts
SELECT * FROM pg_temp.try('{"type": "max_drawdown", "value": 100}', '{buy 4000,mark 1.15,mark 1.11,mark 1.075,buy 1,sell 4000}');
SELECT * FROM pg_temp.try('{"type": "max_drawdown", "unit": "percentage", "value": 1}', '{buy 4000,mark 1.076,mark 1.075}');
SELECT * FROM pg_temp.try('{"type": "trailing_drawdown", "value": 100}', '{buy 4000,mark 1.15,mark 1.126,mark 1.125}');
SELECT * FROM pg_temp.try('{"type": "trailing_drawdown", "unit": "percentage", "value": 1}', '{buy 4000,mark 1.15,mark 1.1246,mark 1.1245}');
SELECT * FROM pg_temp.try('{"type": "trailing_drawdown", "value": 100, "lock_at": 10000}', '{buy 4000,mark 1.12,mark 1.15,mark 1.10000001,mark 1.1}');
SELECT * FROM pg_temp.try('{"type": "trailing_drawdown_eod", "value": 100}', '{buy 4000,mark 1.15,mark 1.076,mark 1.075}');
SELECT * FROM pg_temp.try('{"type": "trailing_drawdown_eod", "unit": "percentage", "value": 1, "breach_op": "exceed"}', '{buy 4000,mark 1.075,mark 1.07499999}');
SELECT * FROM pg_temp.try('{"type": "min_equity", "value": 9900}', '{buy 4000 EURUSD 1.12,buy 1000 EURUSD 1.12,buy 1 EURUSD 1.1 0.00000001,mark 1.09,buy 1,sell 5000}');
SELECT * FROM pg_temp.try('{"type": "min_equity", "unit": "percentage", "value": 99, "breach_op": "reach"}', '{buy 4000 EURUSD 1.12,buy 1000 EURUSD 1.12}');

-- what is held
SELECT * FROM pg_temp.try('{"type": "max_position", "value": 1000}', '{buy 1000,buy 0.00000001,sell 1500,sell 501,buy 1000 GBPUSD,buy 1 GBP/USD 1.25,sell 500,sell 500}');
SELECT * FROM pg_temp.try('{"type": "max_position", "value": 1000, "breach_op": "reach"}', '{buy 1000,buy 999.99999999}');
SELECT * FROM pg_temp.try('{"type": "max_position", "unit": "percentage", "value": 11}', '{buy 1000,buy 0.00000001,buy 1 EURUSD 1.1 5,buy 1000 USDJPY,mark 1.2,sell 100}');
SELECT * FROM pg_temp.try('{"type": "max_position", "unit": "percentage", "value": 11, "basis": "initial"}', '{buy 1000 EURUSD 1.1 50,buy 1}');
SELECT * FROM pg_temp.try('{"type": "max_exposure", "value": 2350}', '{buy 1000,sell 1000 GBPUSD,buy 1 USDJPY,sell 1000,buy 1250 USDJPY}');
SELECT * FROM pg_temp.try('{"type": "max_exposure", "unit": "percentage", "value": 11}', '{buy 1000,buy 1}');
SELECT * FROM pg_temp.try('{"type": "max_symbol_exposure", "value": 1100}', '{buy 1000,buy 1,sell 1100 USDJPY,sell 1 USDJPY}');
SELECT * FROM pg_temp.try('{"type": "max_symbol_exposure", "unit": "percentage", "value": 11}', '{sell 1000,sell 1}');
-- EURGBP 100 is +110 of EUR and -110 of GBP in USD; GBPUSD bought takes GBP back to zero and makes USD
SELECT * FROM pg_temp.try('{"type": "max_currency_exposure", "value": 110}', '{buy 100 EURGBP,buy 88 GBPUSD,buy 1,sell 100,sell 1 USDJPY,buy 1 USDJPY}');
SELECT * FROM pg_temp.try('{"type": "max_currency_exposure", "unit": "percentage", "value": 1.1}', '{buy 100,buy 1 EURGBP,sell 1 EURGBP}');
-- one of the two grows past the limit while the other, which the market has made larger, shrinks
SELECT * FROM pg_temp.try('{"type": "max_currency_exposure", "value": 150}', '{buy 136 EURGBP,mark 1.2,sell 130,sell 120,sell 10 GBPUSD,buy 10 GBPUSD}');
SELECT * FROM pg_temp.try('{"type": "max_leverage", "value": 2}', '{buy 18181,buy 0.9,buy 1 EURUSD 1.1 10,mark 1.05,sell 18000,sell 10000}');
SELECT * FROM pg_temp.try('{"type": "max_leverage", "unit": "percentage", "value": 200}', '{buy 18181,buy 1}');
SELECT * FROM pg_temp.try('{"type": "concentration", "unit": "percentage", "value": 60}', '{buy 100}');
SELECT * FROM pg_temp.try('{"type": "concentration", "unit": "percentage", "value": 60, "action": "warn"}', '{buy 1000,buy 1000 GBPUSD,buy 1000,buy 500 GBPUSD}');
SELECT * FROM pg_temp.try('{"type": "concentration", "unit": "percentage", "value": 11, "basis": "equity"}', '{buy 1000,buy 1,buy 880 GBPUSD}');

-- orders
SELECT * FROM pg_temp.try('{"type": "max_order_size", "value": 500}', '{buy 500,buy 500.00000001,sell 1000}');
SELECT * FROM pg_temp.try('{"type": "max_order_size", "unit": "percentage", "value": 5.5}', '{buy 500,buy 501,buy 550 USDJPY,buy 551 USDJPY}');
SELECT * FROM pg_temp.try('{"type": "max_order_value", "value": 550}', '{buy 500,buy 501,buy 440 GBPUSD,buy 441 GBPUSD}');
SELECT * FROM pg_temp.try('{"type": "max_order_value", "unit": "percentage", "value": 5.5, "basis": "initial"}', '{buy 500,buy 501}');
SELECT * FROM pg_temp.try('{"type": "price_collar", "value": 0.01}', '{buy 1,buy 1 EURUSD 1.11,buy 1 EURUSD 1.11000001,sell 2 EURUSD 1.08999999,sell 2 EURUSD 1.09}');
SELECT * FROM pg_temp.try('{"type": "price_collar", "unit": "percentage", "value": 1}', '{buy 1 EURUSD 1.111,buy 1 EURUSD 1.11100001,buy 1 USDJPY 151.5,buy 1 USDJPY 151.50000001}');
SELECT * FROM pg_temp.try('{"type": "max_order_rate", "value": 2}', '{buy 1,buy 1,buy 1,sell 1}');
SELECT * FROM pg_temp.try('{"type": "max_order_rate", "value": 2.5}', '{buy 1,buy 1,buy 1}');

-- counts
SELECT * FROM pg_temp.try('{"type": "max_open_trades", "value": 2}', '{buy 1,buy 1,buy 1,sell 1,buy 1}');
SELECT * FROM pg_temp.try('{"type": "max_daily_trades", "value": 2}', '{buy 1,buy 1,buy 1,sell 1}');
SELECT * FROM pg_temp.try('{"type": "max_consecutive_losses", "value": 2}', '{buy 4 EURUSD 1.1,sell 1 EURUSD 1.0,sell 1 EURUSD 1.0,buy 1 EURUSD 1.1,sell 1 EURUSD 1.2,buy 1}');
SELECT * FROM pg_temp.try('{"type": "kill_switch", "value": 0}', '{buy 1}');
SELECT * FROM pg_temp.try('{"type": "kill_switch", "value": 1, "action": "reduce_only"}', '{buy 1}');

-- a bound of nothing
SELECT * FROM pg_temp.try('{"type": "max_position", "value": 0}', '{buy 1}');
SELECT * FROM pg_temp.try('{"type": "max_position", "value": 0, "action": "warn"}', '{buy 1,sell 1}');
SELECT * FROM pg_temp.try('{"type": "daily_loss", "value": 0}', '{buy 1,buy 1 EURUSD 1.1 1,mark 1.09,buy 1}');
SELECT * FROM pg_temp.try('{"type": "daily_loss", "unit": "percentage", "value": 0}', '{buy 1,mark 1.09}');
SELECT * FROM pg_temp.try('{"type": "max_order_rate", "value": 0}', '{buy 1}');
-- equity that is gone
SELECT * FROM pg_temp.try('{"type": "max_leverage", "value": 1000}', '{buy 100000,mark 1.0,buy 1,mark 0.99}');
SELECT * FROM pg_temp.try('{"type": "max_exposure", "unit": "percentage", "value": 2000}', '{buy 100000,mark 0.99,buy 1,sell 100000}');

-- What is not known refuses, unless it reduces, and says what is missing: no candle, no rate, no instrument.
-- The price of the order itself is known once it is executed, while it is fresh.
SELECT * FROM pg_temp.try('{"type": "max_exposure", "value": 1000000}', '{buy 1 AUDUSD,buy 1 AUDUSD 0.7,buy 1 CHFNOK,buy 1 XYZ 5,buy 1}');
SELECT * FROM pg_temp.try('{"type": "max_order_value", "value": 1000000}', '{buy 1 AUDUSD,buy 1 AUDUSD 0.7,buy 1 CHFNOK,buy 1 XYZ 5}');
SELECT * FROM pg_temp.try('{"type": "max_currency_exposure", "value": 1000000}', '{buy 1 AUDUSD,buy 1 AUDUSD 0.7,buy 1 CHFNOK,buy 1 XYZ 5}');
SELECT * FROM pg_temp.try('{"type": "daily_loss", "value": 100}', '{buy 1 AUDUSD,buy 1 AUDUSD 0.7,buy 1 CHFNOK 12.5,buy 1 EURUSD}');
SELECT * FROM pg_temp.try('{"type": "price_collar", "value": 100}', '{buy 1 AUDUSD,buy 1 AUDUSD 0.7}');
SELECT * FROM pg_temp.try('{"type": "max_position", "value": 100}', '{buy 1 AUDUSD,buy 1 CHFNOK,buy 1 XYZ}');
SELECT * FROM pg_temp.try('{"type": "max_leverage", "value": 100, "action": "warn"}', '{buy 1 AUDUSD,buy 1 AUDUSD}');
SAVEPOINT s;
UPDATE users SET preferences = '{}';
SELECT u.name, d.* FROM (VALUES ('daily_loss'), ('max_drawdown'), ('trailing_drawdown_eod'), ('min_equity'), ('max_position')) AS u (name),
       LATERAL pg_temp.try(jsonb_build_object('type', u.name, 'unit', 'percentage', 'value', 5, 'basis', 'initial'), '{buy 1}') AS d ORDER BY 1;
ROLLBACK TO s;
-- a candle is fresh for two hours; after that an order has its own price, and what is held has none
SET LOCAL fxplatform.clock = '2024-03-05 14:00:00+00';
SELECT * FROM pg_temp.try('{"type": "max_exposure", "value": 1000000}', '{buy 1}');
SET LOCAL fxplatform.clock = '2024-03-05 14:00:00.000001+00';
SELECT * FROM pg_temp.try('{"type": "max_exposure", "value": 1000000}', '{buy 1}');

-- what the error says: all limits, those that refuse first, the most used of them before the others
SET LOCAL fxplatform.clock = '2024-03-05 12:00:00+00';
\set SHOW_CONTEXT never
INSERT INTO risk_limits (id, user_id, name, type, limit_type, limit_value, action) VALUES
    ('00000000-0000-4000-8000-0000000000f1', :'a1', 'say "so"', 'max_position', 'absolute', 10, 'block'), ('00000000-0000-4000-8000-0000000000f2', :'a1', 'some', 'max_exposure', 'percentage', 0.1, 'block'),
    ('00000000-0000-4000-8000-0000000000f3', :'a1', 'note', 'max_order_size', 'absolute', 0, 'warn'), ('00000000-0000-4000-8000-0000000000f4', :'a1', 'rate', 'max_order_rate', 'absolute', 10, 'block');
PREPARE trade(text, text, numeric) AS INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES ('00000000-0000-4000-8000-0000000000a1', $2, $1, 'market', $3, 1.1, 'executed', '2024-03-05 12:00+00');
SAVEPOINT s;
EXECUTE trade('buy', 'EURUSD', 5);
EXECUTE trade('buy', 'EURUSD', 10);
ROLLBACK TO s;
EXECUTE trade('buy', 'XYZ', 1);
ROLLBACK TO s;
UPDATE risk_limits SET type = 'daily_loss', limit_value = 1 WHERE name = 'some';
EXECUTE trade('buy', 'EURUSD', 5);
UPDATE market_data SET low_price = 0.9, close_price = 0.9 WHERE symbol = 'EURUSD';
UPDATE risk_limits SET limit_value = 0.001 WHERE name = 'some';
EXECUTE trade('buy', 'EURUSD', 1);
ROLLBACK TO s;
UPDATE risk_limits SET action = 'halt' WHERE name = 'say "so"';
EXECUTE trade('buy', 'EURUSD', 11);
ROLLBACK TO s;
DELETE FROM risk_limits;
SELECT set_trading_state(:'a1', 'reduce_only', 'as agreed');
EXECUTE trade('buy', 'EURUSD', 1);
ROLLBACK TO s;
-- a collar without a market has no bound, and a first position is all there is
DELETE FROM risk_limits;
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) VALUES (:'a1', 'collar', 'price_collar', 'percentage', 1), (:'a1', 'share', 'concentration', 'percentage', 60), (:'a1', 'equity', 'max_position', 'absolute', 0);
SELECT t.trade, t.symbol, t.price, t.allowed, l ->> 'name' AS name, l -> 'current' AS current, l -> 'projected' AS projected, l -> 'bound' AS bound, l -> 'utilization' AS used, l ->> 'missing' AS missing
  FROM what_if(:'a1', '[{"symbol": "AUDUSD", "type": "buy", "quantity": 1, "price": 0.7}, {"symbol": "AUDUSD", "type": "buy", "quantity": 1}, {"symbol": "EURUSD", "type": "buy", "quantity": 1, "price": 1.2}]') AS t, jsonb_array_elements(t.limits) AS l ORDER BY t.trade, name;
ROLLBACK;
DROP TABLE fx.market_data_2024_02, fx.market_data_2024_03;
