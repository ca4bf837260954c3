-- Generated columns that somebody has added to the books: they follow what C
-- writes into the rows directly, with their indexes.
SET client_min_messages = warning;
SET search_path = fx, public;
BEGIN;
ALTER TABLE accounts ADD COLUMN twice numeric GENERATED ALWAYS AS (balance * 2) STORED;
ALTER TABLE positions ADD COLUMN label text GENERATED ALWAYS AS (symbol || ' ' || trim_scale(long_quantity)) STORED;
ALTER TABLE risk_limits ADD COLUMN half numeric GENERATED ALWAYS AS (current_value / 2) STORED;
ALTER TABLE trades ADD COLUMN value numeric GENERATED ALWAYS AS (quantity * price) STORED,
    ADD COLUMN is_open boolean GENERATED ALWAYS AS (closed_at IS NULL) STORED;
CREATE INDEX accounts_twice ON accounts (twice);
INSERT INTO users (id, email, username, password_hash, preferences)
VALUES ('00000000-0000-4000-8000-00000000e1f1', 'generated@example.com', 'generated', 'x', '{"initialBalance": 1000}');
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value)
VALUES ('00000000-0000-4000-8000-00000000e1f1', 'ten', 'max_position', 'absolute', 10);
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at)
VALUES ('00000000-0000-4000-8000-00000000e1f2', '00000000-0000-4000-8000-00000000e1f1', 'EURUSD', 'buy', 'market', 4, 1.1, 'executed', clock_timestamp()),
       ('00000000-0000-4000-8000-00000000e1f3', '00000000-0000-4000-8000-00000000e1f1', 'EURUSD', 'buy', 'market', 6, 1.1, 'executed', clock_timestamp());
SELECT trim_scale(long_quantity) AS quantity, label FROM positions WHERE user_id = '00000000-0000-4000-8000-00000000e1f1';
SELECT trim_scale(current_value) AS current_value, trim_scale(half) AS half
  FROM risk_limits WHERE user_id = '00000000-0000-4000-8000-00000000e1f1';

SELECT trim_scale(close_trade('00000000-0000-4000-8000-00000000e1f2', 1.2, clock_timestamp())) AS profit;
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
VALUES ('00000000-0000-4000-8000-00000000e1f1', 'EURUSD', 'sell', 'market', 6, 1.3, 'executed', clock_timestamp());
SELECT trim_scale(balance) AS balance, trim_scale(twice) AS twice FROM accounts WHERE user_id = '00000000-0000-4000-8000-00000000e1f1';
SELECT label FROM positions WHERE user_id = '00000000-0000-4000-8000-00000000e1f1';
SELECT type, trim_scale(value) AS value, is_open, closed_at IS NULL AS still_open
  FROM trades WHERE user_id = '00000000-0000-4000-8000-00000000e1f1' ORDER BY executed_at, type;
SET LOCAL enable_seqscan = off;
SELECT count(*) AS by_index FROM accounts WHERE twice = (SELECT 2 * balance FROM accounts WHERE user_id = '00000000-0000-4000-8000-00000000e1f1');
SELECT * FROM verify_positions();
ROLLBACK;
