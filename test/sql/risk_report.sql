--
-- How far limits are used up, and what an order would do to them
--
\set SHOW_CONTEXT never
BEGIN;
SET LOCAL search_path = fx, public;
INSERT INTO users (id, email, username, password_hash, preferences) VALUES
    ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x', '{"initialBalance": 10000}'), ('00000000-0000-4000-8000-0000000000a2', 'b@example.com', 'b', 'x', '{}');
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, current_value, is_active)
SELECT '00000000-0000-4000-8000-0000000000a1', * FROM (VALUES
    ('01', 'daily_loss', 'absolute', 100, 79.99, true), ('02', 'daily_loss', 'absolute', 100, 80, true), ('03', 'daily_loss', 'absolute', 100, 100, true),
    ('04', 'max_position', 'absolute', 100, 100, true), ('05', 'max_position', 'absolute', 100, 100.01, true), ('06', 'max_position', 'absolute', 0, 0, true),
    ('07', 'max_position', 'absolute', 0, 1, true), ('08', 'max_position', 'absolute', 0, -1, true), ('09', 'max_position', 'absolute', 100, NULL, true),
    ('10', 'max_position', 'absolute', 100, 500, false), ('11', 'daily_loss', 'percentage', 5, 250, true), ('12', 'trailing_drawdown', 'percentage', 10, 1000, true),
    ('13', 'max_leverage', 'percentage', 3000, 15, true), ('14', 'concentration', 'percentage', 50, 25, true), ('15', 'daily_loss', 'absolute', 100, -20, true)) AS v (name, type, limit_type, limit_value, current_value, is_active);
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, current_value) VALUES ('00000000-0000-4000-8000-0000000000a2', '20', 'daily_loss', 'percentage', 5, 1);
SELECT name, type, limit_type, trim_scale(limit_value) AS "limit", trim_scale(current_value) AS current, round(utilization_percentage, 2) AS percent, status
  FROM risk_utilization('00000000-0000-4000-8000-0000000000a1');
SELECT count(DISTINCT r.limit_id) AS ids FROM risk_utilization('00000000-0000-4000-8000-0000000000a1') r JOIN risk_limits l ON l.id = r.limit_id;
-- a percentage of a balance that is not known, and then is
SELECT name, utilization_percentage, status FROM risk_utilization('00000000-0000-4000-8000-0000000000a2');
SELECT balance, account_initial_balance(jsonb_build_object('initialBalance', balance))
  FROM unnest('{"1000","1000.5","\"250.123456789\"","\"1e3\"","\"junk\"","-5","\"-5\"","[1]","null","true","0"}'::jsonb[]) WITH ORDINALITY AS v (balance, n) ORDER BY n;
SELECT account_initial_balance(NULL), account_initial_balance('[]');

-- orders
DELETE FROM risk_limits;
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, profit, commission, status, executed_at, closed_at)
VALUES ('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 'market', 1000, 1.1, 0, 0, 'executed', now(), NULL),
       ('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'sell', 'market', 300, 1.1, 0, 0, 'executed', now() - interval '3 days', NULL),
       ('00000000-0000-4000-8000-0000000000a1', 'GBPUSD', 'buy', 'market', 5000, 1.1, -90, 10, 'executed', now(), now()),
       ('00000000-0000-4000-8000-0000000000a1', 'GBPUSD', 'buy', 'market', 5000, 1.1, -900, 10, 'executed', now() - interval '3 days', now() - interval '3 days'),
       ('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 'market', 9000, 1.1, 0, 0, 'pending', NULL, NULL);
CREATE FUNCTION pg_temp.order(type text, quantity numeric) RETURNS TABLE (kind text, before numeric, after numeric, allowed boolean, reason text) LANGUAGE sql AS $$
    SELECT c.type, trim_scale(c.current_value), trim_scale(c.projected_value), c.allowed, c.reason FROM fx.check_risk('00000000-0000-4000-8000-0000000000a1', 'EURUSD', $1, $2, 1.1) AS c
$$;
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value)
SELECT '00000000-0000-4000-8000-0000000000a1', type, type, 'absolute', v FROM (VALUES ('max_position', 1000), ('max_order_size', 500), ('max_open_trades', 3), ('max_daily_trades', 3), ('daily_loss', 101)) AS l (type, v);
SELECT * FROM pg_temp.order('buy', 300);
SELECT * FROM pg_temp.order('buy', 500);
SELECT * FROM pg_temp.order('sell', 2000);
-- reaching the limit of a loss refuses; an order that brings a position down passes although the limit is breached
UPDATE risk_limits SET limit_value = CASE type WHEN 'daily_loss' THEN 100 WHEN 'max_position' THEN 100 ELSE limit_value END;
SELECT * FROM pg_temp.order('sell', 500) WHERE kind IN ('daily_loss', 'max_position');
-- what cannot be measured refuses, and says so
UPDATE risk_limits SET type = 'max_margin_usage' WHERE type = 'max_position';
UPDATE risk_limits SET limit_type = 'percentage' WHERE type = 'daily_loss';
UPDATE users SET preferences = '{}';
SELECT * FROM pg_temp.order('buy', 1) WHERE NOT allowed;
SELECT count(*) AS nobody FROM check_risk(NULL, 'EURUSD', 'buy', 1, 1);
SAVEPOINT s;
SELECT check_risk('00000000-0000-4000-8000-0000000000a1', NULL, 'buy', 1, 1);
ROLLBACK TO s;
SELECT check_risk('00000000-0000-4000-8000-0000000000a1', 'X', NULL, 1, 1);
ROLLBACK TO s;
SELECT check_risk('00000000-0000-4000-8000-0000000000a1', 'X', 'buy', NULL, 1);
ROLLBACK TO s;
SELECT check_risk('00000000-0000-4000-8000-0000000000a1', 'X', 'hold', 1, 1);
ROLLBACK TO s;
SELECT check_risk('00000000-0000-4000-8000-0000000000a1', 'X', 'buy', 0, 1);
ROLLBACK TO s;
SELECT check_risk('00000000-0000-4000-8000-0000000000a1', 'X', 'buy', 'NaN', 1);
ROLLBACK TO s;
SELECT check_risk('00000000-0000-4000-8000-0000000000a1', 'X', 'buy', 1, 'Infinity');
ROLLBACK;
