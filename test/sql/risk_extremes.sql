-- Shares of exposures whose products with one another need more than 128 bits
BEGIN;
SET search_path = fx, public;
SET client_min_messages = warning;
SET LOCAL fxplatform.clock = '2024-03-05 12:00:00+00';
\set ann '00000000-0000-4000-8000-0000000000a1'
INSERT INTO users (id, email, username, password_hash, preferences) VALUES (:'ann', 'ann@example.com', 'ann', 'x', '{"initialBalance": 9000000000}');
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) VALUES (:'ann', 'share', 'concentration', 'percentage', 60);
INSERT INTO instruments (symbol, base_currency, quote_currency, pip_size, contract_size)
SELECT base || 'USD', base, 'USD', 0.0001, 1 FROM (VALUES ('AAA'), ('BBB'), ('CCC')) AS v (base);
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
SELECT :'ann', base || 'USD', 'buy', 'market', 9900000000, 9900000000, 'executed', '2024-03-05 11:00+00' FROM (VALUES ('AAA'), ('BBB'), ('CCC')) AS v (base);
SELECT name, current_value, utilization_percentage, status FROM risk_utilization(:'ann');

-- 2 of 4, 1.5 of 3.5, and a sale that makes the largest no larger
SELECT quantity, projected_value, utilization_percentage, allowed, reason
  FROM (VALUES ('buy', 9900000000), ('buy', 4950000000), ('sell', 1)) AS v (side, quantity), check_risk(:'ann', 'AAAUSD', side, quantity, 9900000000);

-- one unit of the last decimal: from a third to a little more, which is no more to eight digits
SELECT projected_value, allowed FROM check_risk(:'ann', 'AAAUSD', 'buy', 0.00000001, 9900000000);
UPDATE risk_limits SET limit_value = 33.33333333;
SELECT projected_value, allowed, reason FROM check_risk(:'ann', 'AAAUSD', 'buy', 0.00000001, 9900000000);
SELECT projected_value, allowed, reason FROM check_risk(:'ann', 'AAAUSD', 'sell', 0.00000001, 9900000000);
ROLLBACK;
