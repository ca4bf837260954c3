-- Rows that nobody was given the name of: the same before and after
SELECT 'users', md5(string_agg(t::text, ',' ORDER BY id)) FROM fx.users AS t WHERE first_name = 'CANARY'
UNION ALL SELECT 'strategies', md5(string_agg(t::text, ',' ORDER BY id)) FROM fx.strategies AS t WHERE name = 'CANARY'
UNION ALL SELECT 'backtests', md5(string_agg(t::text, ',' ORDER BY id)) FROM fx.backtests AS t WHERE name = 'CANARY'
UNION ALL SELECT 'trades', md5(string_agg(t::text, ',' ORDER BY id)) FROM fx.trades AS t WHERE external_id = 'CANARY'
UNION ALL SELECT 'limits', md5(string_agg(concat_ws(',', id, user_id, type, limit_value, is_active), ',' ORDER BY id)) FROM fx.risk_limits AS t WHERE name = 'CANARY'
UNION ALL SELECT 'cash flows', md5(string_agg(t::text, ',' ORDER BY id)) FROM fx.cash_flows AS t WHERE reason = 'CANARY';
