--
-- Settings of limits, presets, baskets of orders, and who may read and write what
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SET datestyle = 'ISO';
SET fxplatform.clock = '2024-03-05 12:00:00+00';
SELECT fx.create_market_data_partitions('2024-02-01', '2024-04-01') >= 0 AS made;
BEGIN;
SET LOCAL search_path = fx, public;
\set a1 00000000-0000-4000-8000-0000000000a1
\set a2 00000000-0000-4000-8000-0000000000a2
INSERT INTO users (id, email, username, password_hash, preferences)
SELECT ('00000000-0000-4000-8000-0000000000a' || n)::uuid, n || '@example.com', n, 'x', '{"initialBalance": 10000}' FROM generate_series(1, 2) AS n;
INSERT INTO market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
SELECT s, '1m', '2024-03-05 11:59:00+00', p, p, p, p FROM (VALUES ('EURUSD', 1.1), ('GBPUSD', 1.25)) AS c (s, p);
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
\pset null ?

-- what a type has by itself
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value)
SELECT :'a1', t || ' ' || u, t, u, 1 FROM unnest('{daily_loss,weekly_loss,monthly_loss,max_drawdown,trailing_drawdown,trailing_drawdown_eod,max_position,max_order_size,max_order_value,max_exposure,max_symbol_exposure,
max_currency_exposure,max_leverage,concentration,max_open_trades,max_daily_trades,max_order_rate,max_consecutive_losses,price_collar,min_equity,kill_switch}'::text[]) AS t, unnest('{absolute,percentage}'::text[]) AS u
 WHERE (u = 'absolute' OR t NOT IN ('max_open_trades', 'max_daily_trades', 'max_order_rate', 'max_consecutive_losses', 'kill_switch')) AND (u = 'percentage' OR t <> 'concentration');
SELECT type, limit_type, anchor, basis, breach_op, window_seconds, action, warning_level FROM risk_limits ORDER BY type, limit_type;
DELETE FROM risk_limits;
-- what makes no sense together
SELECT v.settings, pg_temp.try(format('INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value, %s) VALUES (%L, ''x'', %s)', v.settings, :'a1', v.values)) AS answer
  FROM (VALUES (1, 'symbol', '''daily_loss'', ''absolute'', 1, ''EURUSD'''), (2, 'anchor', '''max_drawdown'', ''absolute'', 1, ''max'''), (3, 'basis', '''daily_loss'', ''absolute'', 1, ''initial'''),
               (4, 'basis', '''daily_loss'', ''percentage'', 1, ''equity'''), (5, 'currency', '''max_position'', ''absolute'', 1, ''usd'''), (6, 'currency', '''max_position'', ''absolute'', 1, ''U$D'''),
               (7, 'lock_at', '''daily_loss'', ''absolute'', 1, 5'), (8, 'action', '''daily_loss'', ''absolute'', 1, ''shout'''), (9, 'window_seconds', '''max_order_rate'', ''absolute'', 1, 0'), (10, 'action', '''max_order_rate'', ''absolute'', 1001, ''warn''')) AS v (n, settings, values) ORDER BY n;
DELETE FROM risk_limits;

-- what the engine keeps is ignored when others write it
INSERT INTO risk_limits (id, user_id, name, type, limit_type, limit_value, current_value)
VALUES ('00000000-0000-4000-8000-0000000000f1', :'a1', 'L', 'daily_loss', 'percentage', 5, 'NaN');
SELECT current_value, breached_at, breached_until, breach_value, cleared_at, order_times FROM risk_limits l JOIN risk_limit_state s ON s.limit_id = l.id;
SELECT updated_at AS before FROM risk_limits \gset
UPDATE risk_limits SET current_value = 'NaN';
SELECT current_value, updated_at = :'before' AS untouched FROM risk_limits;
SELECT pg_temp.try(format('UPDATE fx.risk_limits SET user_id = %L', :'a2')) AS other_user, pg_temp.try('UPDATE fx.risk_limits SET user_id = user_id') AS same;
-- neither audited nor noted as an update is what the engine writes
SELECT updated_at AS before FROM risk_limits \gset
DELETE FROM audit_log;
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (:'a1', 'EURUSD', 'buy', 'market', 1000, 1.2, 'executed', '2024-03-05 12:00+00');
SELECT trim_scale(current_value) AS current, updated_at = :'before' AS untouched, (SELECT count(*) FROM audit_log WHERE resource_type = 'risk_limits') AS audited FROM risk_limits;
-- a change is measured at once; a limit that is not active stays as it was
UPDATE risk_limits SET limit_type = 'absolute', limit_value = 200;
SELECT limit_type, trim_scale(current_value) AS current, basis, anchor FROM risk_limits;
UPDATE risk_limits SET type = 'max_position', limit_value = 5000;
SELECT type, trim_scale(current_value) AS current, basis, anchor, breach_op FROM risk_limits;
UPDATE risk_limits SET is_active = false;
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (:'a1', 'EURUSD', 'buy', 'market', 10000, 1.1, 'executed', '2024-03-05 12:00+00');
SELECT trim_scale(current_value) AS current, (SELECT count(*) FROM risk_utilization(:'a1')) AS shown FROM risk_limits;
UPDATE risk_limits SET is_active = NULL;
SELECT trim_scale(current_value) AS current, (SELECT count(*) FROM risk_utilization(:'a1')) AS shown FROM risk_limits;
UPDATE risk_limits SET is_active = true;
SELECT trim_scale(current_value) AS current, (SELECT status FROM risk_utilization(:'a1')) AS shown FROM risk_limits;
-- another scope starts anew: breach, clearing and orders go
UPDATE risk_limits SET type = 'daily_loss', limit_value = 100;
SELECT type, trim_scale(current_value) AS current, breached_at, breached_until, trim_scale(breach_value) AS value FROM risk_limits l JOIN risk_limit_state s ON s.limit_id = l.id;
UPDATE risk_limits SET limit_value = 500;
SELECT trim_scale(current_value) AS current, breached_at IS NOT NULL AS latched FROM risk_limits l JOIN risk_limit_state s ON s.limit_id = l.id;
UPDATE risk_limits SET type = 'weekly_loss';
SELECT trim_scale(current_value) AS current, breached_at IS NOT NULL AS latched FROM risk_limits l JOIN risk_limit_state s ON s.limit_id = l.id;
-- limits of several users at once
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) SELECT u, n::text, 'max_position', 'absolute', n FROM unnest(ARRAY[:'a2', :'a1']::uuid[]) AS u, generate_series(1, 200) AS n;
SELECT user_id, count(*), min(current_value), max(current_value) FROM risk_limits WHERE type = 'max_position' GROUP BY 1 ORDER BY 1;
DELETE FROM risk_limits;
DELETE FROM trades;
DELETE FROM risk_events;

-- presets
SELECT p.preset, apply_risk_preset(:'a1', p.preset), apply_risk_preset(:'a1', p.preset) AS again FROM (SELECT DISTINCT preset FROM risk_presets ORDER BY preset) AS p;
SELECT name, type, limit_type, trim_scale(limit_value) AS value, action, anchor, basis, breach_op, is_active FROM risk_limits ORDER BY name;
SELECT time_zone, day_cutoff FROM accounts WHERE user_id = :'a1';
UPDATE risk_limits SET is_active = false WHERE name = 'leverage';
UPDATE risk_limits SET limit_value = 1 WHERE name = 'maximum loss';
SELECT apply_risk_preset(:'a1', 'retail') AS wakes_one, apply_risk_preset(:'a1', 'ftmo_2step') AS changes_two;
SELECT time_zone, day_cutoff, day_ends_at FROM accounts WHERE user_id = :'a1';
INSERT INTO risk_presets (preset, name, type, limit_type, limit_value, time_zone, day_cutoff) VALUES
    ('odd', 'a', 'daily_loss', 'absolute', 1, 'UTC', '00:00'), ('odd', 'b', 'weekly_loss', 'absolute', 1, 'Europe/Prague', '00:00'), ('late', 'a', 'daily_loss', 'absolute', 1, 'UTC', '00:00'), ('late', 'b', 'weekly_loss', 'absolute', 1, 'UTC', '00:30'),
    ('nowhere', 'a', 'daily_loss', 'absolute', 1, 'Nowhere/Land', '00:00'), ('wrong', 'a', 'max_margin', 'absolute', 1, NULL, NULL), ('half', 'a', 'daily_loss', 'absolute', 1, 'UTC', '00:00'), ('half', 'b', 'weekly_loss', 'absolute', 1, NULL, NULL);
SELECT p, pg_temp.try(format('SELECT fx.apply_risk_preset(%L, %L)', :'a1', p)) FROM unnest('{odd,late,nowhere,wrong,half,none}'::text[]) AS p;
SELECT pg_temp.try(format('SELECT fx.apply_risk_preset(%L, NULL)', :'a1')), pg_temp.try('SELECT fx.apply_risk_preset(NULL, ''retail'')'), pg_temp.try('SELECT fx.apply_risk_preset(gen_random_uuid(), ''retail'')') ~ '^23503' AS no_such_user;
DELETE FROM risk_limits;

-- a basket, each order with those before it that were allowed
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) VALUES (:'a1', 'p', 'max_position', 'absolute', 100), (:'a1', 'o', 'max_open_trades', 'absolute', 3), (:'a1', 'd', 'max_daily_trades', 'absolute', 6), (:'a1', 'r', 'max_order_rate', 'absolute', 8);
SELECT trade, symbol, type, quantity, price, allowed, state, (SELECT string_agg(format('%s %s > %s', l ->> 'name', l ->> 'current', l ->> 'projected'), ', ') FROM jsonb_array_elements(limits) AS l) AS limits
  FROM what_if(:'a1', '[{"symbol": "EUR/USD", "type": "buy", "quantity": 60}, {"symbol": "EURUSD", "type": "buy", "quantity": 50, "price": 1.1}, {"symbol": "EURUSD", "type": "buy", "quantity": "40.0", "other": {"a": []}}, {"symbol": "EURUSD", "type": "buy", "quantity": 0.00000001},
                          {"symbol": "GBPUSD", "type": "sell", "quantity": 1e2, "price": "1.25"}, {"symbol": "GBPUSD", "type": "sell", "quantity": 1}, {"symbol": "EURUSD", "type": "sell", "quantity": 100}, {"symbol": "EURUSD", "type": "sell", "quantity": 5}, {"symbol": "EURUSD", "type": "sell", "quantity": 5}, {"symbol": "EURUSD", "type": "buy", "quantity": 50}]');
SELECT count(*) FROM trades;
SELECT (SELECT count(*) FROM what_if(:'a1', '[]')) AS empty, (SELECT count(*) FROM what_if(NULL, '[]')) AS nobody, (SELECT count(*) FROM what_if(:'a1', NULL)) AS nothing, (SELECT count(*) FROM what_if('00000000-0000-4000-8000-0000000000ff', '[{"symbol": "X", "type": "buy", "quantity": 1}]')) AS no_such_user;
SELECT v.trades, pg_temp.try(format('SELECT fx.what_if(%L, %L)', :'a1', v.trades)) AS answer
  FROM (VALUES (1, '{}'), (2, '7'), (3, '[7]'), (4, '[[]]'), (5, '[{}]'), (6, '[{"symbol": 5, "type": "buy", "quantity": 1}]'), (7, '[{"symbol": "", "type": "buy", "quantity": 1}]'), (8, '[{"symbol": "EURUSD", "quantity": 1}]'),
               (9, '[{"symbol": "EURUSD", "type": "hold", "quantity": 1}]'), (10, '[{"symbol": "EURUSD", "type": null, "quantity": 1}]'), (11, '[{"symbol": "EURUSD", "type": "buy"}]'), (12, '[{"symbol": "EURUSD", "type": "buy", "quantity": {"a": 1}}]'),
               (13, '[{"symbol": "EURUSD", "type": "buy", "quantity": "much"}]'), (14, '[{"symbol": "EURUSD", "type": "buy", "quantity": "NaN"}]'), (15, '[{"symbol": "EURUSD", "type": "buy", "quantity": "Infinity"}]'), (16, '[{"symbol": "EURUSD", "type": "buy", "quantity": -1}]'),
               (17, '[{"symbol": "EURUSD", "type": "buy", "quantity": 0.000000001}]'), (18, '[{"symbol": "EURUSD", "type": "buy", "quantity": 1111111111222222222233333333334444444444}]'), (19, '[{"symbol": "EURUSD", "type": "buy", "quantity": 10000000000}]'),
               (20, '[{"symbol": "EURUSD", "type": "buy", "quantity": 1}, {"symbol": "EURUSD", "type": "buy", "quantity": 1, "price": 0}]'), (21, '[{"symbol": "EURUSD", "type": "buy", "quantity": 1, "price": null}]'),
               (22, '[{"symbol": "EURUSD", "type": "buy", "quantity": 1, "price": "1111111111222222222233333333334444444444"}]'), (23, format('[{"symbol": "%s", "type": "buy", "quantity": 1}]', repeat('X', 65)))) AS v (n, trades) ORDER BY n;
SELECT pg_temp.try(format('SELECT fx.what_if(%L, (SELECT jsonb_agg(1) FROM generate_series(1, 10001)))', :'a1')) AS too_many;
SELECT count(*), count(*) FILTER (WHERE allowed) AS allowed FROM what_if(:'a1', (SELECT jsonb_agg(jsonb_build_object('symbol', 'EURUSD', 'type', CASE WHEN n % 2 = 1 THEN 'buy' ELSE 'sell' END, 'quantity', 1)) FROM generate_series(1, 10000) AS n));
SELECT pg_temp.try(format('SELECT fx.check_risk(%L, ''EURUSD'', ''buy'', %s, %s)', :'a1', q, p)) FROM (VALUES (1, '1111111111222222222233333333334444444444', '1'), (2, '10000000000', '1'), (3, '1', '10000000000'), (4, '1', '-1'), (5, '9999999999.99999999', '9999999999.99999999')) AS v (n, q, p) ORDER BY n;

-- users see what is theirs, the others nothing, whoever has no right an error
CREATE ROLE regress_nobody;
CREATE ROLE regress_columns;
GRANT USAGE ON SCHEMA fx TO regress_nobody, regress_columns;
GRANT SELECT (user_id) ON accounts TO regress_columns;
CREATE FUNCTION pg_temp.see(whose uuid) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT format('%s limits, %s checks, %s trades', (SELECT count(*) FROM fx.risk_utilization(whose)), (SELECT count(*) FROM fx.check_risk(whose, 'EURUSD', 'buy', 1, 1.1)),
                          (SELECT count(*) FROM fx.what_if(whose, '[{"symbol": "EURUSD", "type": "buy", "quantity": 1}]'))));
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
GRANT EXECUTE ON FUNCTION pg_temp.see(uuid) TO PUBLIC;
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, strategy_id) VALUES (:'a1', 's', 'max_daily_trades', 'absolute', 9, NULL);
UPDATE risk_limits SET symbol = 'EURUSD' WHERE name = 's';
SET LOCAL app.current_user_id = :'a1';
SET LOCAL ROLE fx_user;
SELECT pg_temp.see(:'a1') AS mine, pg_temp.see(:'a2') AS others, pg_temp.see('00000000-0000-4000-8000-0000000000ff') AS nobodys;
SAVEPOINT s;
SELECT mark_account(:'a1');
ROLLBACK TO s;
SELECT clear_breach(:'a1', 'x');
ROLLBACK TO s;
SELECT apply_risk_preset(:'a1', 'retail');
ROLLBACK TO s;
SET LOCAL app.current_user_id = '';
SELECT pg_temp.see(:'a1') AS without_identity;
SET LOCAL row_security = off;
SELECT pg_temp.see(:'a1');
SET LOCAL row_security = on;
SET LOCAL ROLE fx_reporting;
SELECT pg_temp.see(:'a1');
SET LOCAL ROLE fx_app;
SELECT pg_temp.see(:'a1');
SELECT mark_account(:'a1'), apply_risk_preset(:'a2', 'retail');
SELECT clear_breach(id, 'x') FROM risk_limits WHERE name = 's';
SET LOCAL ROLE regress_nobody;
SELECT pg_temp.see(:'a1');
SET LOCAL ROLE regress_columns;
SELECT pg_temp.see(:'a1');
RESET ROLE;
GRANT SELECT ON risk_limits TO regress_columns;
SET LOCAL ROLE regress_columns;
SELECT pg_temp.see(:'a1');
RESET ROLE;
SELECT mark_account(NULL) IS NULL AS nobody, pg_temp.try('SELECT fx.mark_account(''00000000-0000-4000-8000-0000000000ff'')') AS no_such_user;

-- the triggers on tables that they are not made for
CREATE TEMP TABLE odd (user_id text);
CREATE TRIGGER a AFTER INSERT ON odd FOR EACH ROW EXECUTE FUNCTION fx.refresh_risk_limits();
SELECT pg_temp.try('INSERT INTO odd VALUES (''x'')');
DROP TRIGGER a ON odd;
CREATE TRIGGER a AFTER INSERT ON odd FOR EACH STATEMENT EXECUTE FUNCTION fx.refresh_risk_limits();
SELECT pg_temp.try('INSERT INTO odd VALUES (''x'')');
DROP TRIGGER a ON odd;
CREATE TRIGGER a AFTER INSERT ON odd REFERENCING NEW TABLE AS new_limits FOR EACH STATEMENT EXECUTE FUNCTION fx.refresh_risk_limits();
SELECT pg_temp.try('INSERT INTO odd VALUES (''x'')');
-- the index may be another, or none
DROP INDEX idx_risk_limits_user_id;
SELECT count(*) FROM risk_utilization(:'a1');
CREATE INDEX idx_risk_limits_user_id ON risk_limits (user_id) WHERE is_active IS NULL;
SELECT count(*) FROM risk_utilization(:'a1');
DROP INDEX idx_risk_limits_user_id;
CREATE INDEX idx_risk_limits_user_id ON risk_limits (user_id, name);
SELECT count(*) FROM risk_utilization(:'a1');
ALTER TABLE risk_limit_state RENAME COLUMN order_times TO times;
SELECT pg_temp.try(format('SELECT fx.mark_account(%L)', :'a1'));
ALTER TABLE risk_limit_state RENAME COLUMN times TO order_times;
ALTER TABLE risk_limits RENAME COLUMN lock_at TO lock;
SELECT pg_temp.try(format('SELECT fx.mark_account(%L)', :'a1'));
SELECT pg_temp.try('DELETE FROM fx.risk_limits');
ROLLBACK;
DROP TABLE fx.market_data_2024_02, fx.market_data_2024_03;
