--
-- Decisions about accounts are audited, what trades make of them is not
--
BEGIN;
SET LOCAL search_path = fx, public;
INSERT INTO users (id, email, username, password_hash, preferences) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x', '{"initialBalance": 1000}');
SELECT deposit('00000000-0000-4000-8000-0000000000a1', 500, 'wire');
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
VALUES ('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 'market', 10, 1.1, 'executed', now());
SELECT rebuild_risk_state('00000000-0000-4000-8000-0000000000a1');
SELECT set_trading_state('00000000-0000-4000-8000-0000000000a1', 'reduce_only', 'news');
UPDATE accounts SET day_cutoff = '00:00', time_zone = 'UTC';
UPDATE risk_presets SET limit_value = 4 WHERE (preset, name) = ('the5ers', 'daily loss');
SELECT resource_type, action, changed_columns, new_values ->> 'reason' AS reason, old_values - '{day_ends_at,week_started_at,month_started_at}'::text[] AS old_values
  FROM audit_log WHERE resource_type IN ('accounts', 'positions', 'cash_flows', 'risk_presets') ORDER BY created_at, resource_type;
ROLLBACK;
