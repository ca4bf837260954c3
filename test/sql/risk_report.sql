--
-- What an order would do to limits
--
\set SHOW_CONTEXT never
BEGIN;
SET LOCAL search_path = fx, public;
INSERT INTO users (id, email, username, password_hash, preferences) VALUES
    ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x', '{"initialBalance": 10000}'), ('00000000-0000-4000-8000-0000000000a2', 'b@example.com', 'b', 'x', '{}');
SELECT balance, account_initial_balance(jsonb_build_object('initialBalance', balance))
  FROM unnest('{"1000","1000.5","\"250.123456789\"","\"1e3\"","\"junk\"","-5","\"-5\"","[1]","null","true","0"}'::jsonb[]) WITH ORDINALITY AS v (balance, n) ORDER BY n;
SELECT account_initial_balance(NULL), account_initial_balance('[]');

-- orders
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, profit, commission, status, executed_at, closed_at)
VALUES ('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 'market', 1000, 1.1, 0, 0, 'executed', now(), NULL),
       ('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'sell', 'market', 300, 1.1, 0, 0, 'executed', now() - interval '3 days', NULL),
       ('00000000-0000-4000-8000-0000000000a1', 'GBPUSD', 'buy', 'market', 5000, 1.1, -90, 10, 'executed', now(), now()),
       ('00000000-0000-4000-8000-0000000000a1', 'GBPUSD', 'buy', 'market', 5000, 1.1, -900, 10, 'executed', now() - interval '3 days', now() - interval '3 days'),
       ('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 'market', 9000, 1.1, 0, 0, 'pending', NULL, NULL);
CREATE FUNCTION pg_temp.order(type text, quantity numeric) RETURNS TABLE (kind text, before numeric, after numeric, allowed boolean, reason text) LANGUAGE sql AS $$
    SELECT c.type, trim_scale(c.current_value), trim_scale(c.projected_value), c.allowed, regexp_replace(c.reason, '\d{4}-[-0-9T:.+]+', 'TIME', 'g') FROM fx.check_risk('00000000-0000-4000-8000-0000000000a1', 'EURUSD', $1, $2, 1.1) AS c
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
ROLLBACK TO s;
SELECT check_risk('00000000-0000-4000-8000-0000000000a1', repeat('X', 100), 'buy', 1, 1);
ROLLBACK;
