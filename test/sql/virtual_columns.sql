-- Columns that are worked out when they are read, which 18 has: the audit trail
-- keeps nothing of them, and C code that writes rows leaves them alone.  Before
-- 18 there is nothing to see, and the answer is the same.
SET client_min_messages = warning;
SET search_path = fx, public;
SELECT current_setting('server_version_num')::integer >= 180000 AS has_virtual \gset
\set audited t
\set restored t
\set booked t
\set closed t
BEGIN;
\if :has_virtual
CREATE TABLE public.with_virtual (id integer PRIMARY KEY, twice integer GENERATED ALWAYS AS (visits * 2) VIRTUAL, visits integer);
SELECT enable_audit('public.with_virtual') \g /dev/null
INSERT INTO public.with_virtual (id, visits) VALUES (1, 1), (2, 2);
UPDATE public.with_virtual SET visits = visits + 1;
DELETE FROM public.with_virtual WHERE twice = 6;
SELECT array_agg(concat_ws(' ', action, old_values, new_values, changed_columns) ORDER BY action, resource_id) = ARRAY[
       'DELETE {"id": 2, "visits": 3}', 'INSERT {"id": 1, "visits": 1}', 'INSERT {"id": 2, "visits": 2}',
       'UPDATE {"visits": 1} {"id": 1, "visits": 2} {visits}', 'UPDATE {"visits": 2} {"id": 2, "visits": 3} {visits}'] AS audited
  FROM audit_log WHERE resource_type = 'public.with_virtual' \gset
SELECT row_as_of('public.with_virtual', '1', clock_timestamp()) = '{"id": 1, "visits": 2}' AS restored \gset

ALTER TABLE trades ADD COLUMN value numeric GENERATED ALWAYS AS (quantity * price) VIRTUAL;
ALTER TABLE accounts ADD COLUMN twice numeric GENERATED ALWAYS AS (balance * 2) VIRTUAL;
ALTER TABLE positions ADD COLUMN twice numeric GENERATED ALWAYS AS (realized_pnl * 2) VIRTUAL;
INSERT INTO users (id, email, username, password_hash, preferences)
VALUES ('00000000-0000-4000-8000-00000000e1e1', 'virtual@example.com', 'virtual', 'x', '{"initialBalance": 1000}');
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) VALUES ('00000000-0000-4000-8000-00000000e1e1', 'ten', 'max_position', 'absolute', 10);
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at)
VALUES ('00000000-0000-4000-8000-00000000e1e2', '00000000-0000-4000-8000-00000000e1e1', 'EURUSD', 'buy', 'market', 10, 1.1, 'executed', clock_timestamp());
ALTER TABLE accounts ADD COLUMN late text;
SELECT close_trade('00000000-0000-4000-8000-00000000e1e2', 1.2, clock_timestamp()) = 1 AS closed \gset
SELECT (SELECT balance = 1001 AND twice = 2002 FROM accounts WHERE user_id = '00000000-0000-4000-8000-00000000e1e1') AND
       (SELECT value = 11 FROM trades WHERE user_id = '00000000-0000-4000-8000-00000000e1e1') AND
       (SELECT twice = 2 FROM positions WHERE user_id = '00000000-0000-4000-8000-00000000e1e1') AND
       NOT EXISTS (SELECT FROM verify_positions()) AS booked \gset
\endif
ROLLBACK;
SELECT :'audited' AS audited, :'restored' AS restored, :'booked' AS booked, :'closed' AS closed;
