--
-- Whose rows a row may refer to (defects 10, 13), and trades that stay a
-- backtest's (22); strategies count their configurations (19)
--
BEGIN;
SET LOCAL search_path = fx, public;
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    col text;
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN foreign_key_violation THEN
    GET STACKED DIAGNOSTICS col = COLUMN_NAME;
    RETURN concat_ws(' ', SQLSTATE, col, SQLERRM);
END
$$;
INSERT INTO users (id, email, username, password_hash)
SELECT ('00000000-0000-4000-8000-0000000000a' || n)::uuid, n || '@example.com', n, 'x' FROM generate_series(1, 2) AS n;
INSERT INTO strategies (id, user_id, name, type, is_public)
SELECT ('00000000-0000-4000-8000-0000000000b' || n)::uuid, '00000000-0000-4000-8000-0000000000a1', n, 'manual', n = 2 FROM generate_series(1, 2) AS n;
INSERT INTO backtests (id, strategy_id, user_id, name) VALUES ('00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', 'b');

\set a1 00000000-0000-4000-8000-0000000000a1
\set a2 00000000-0000-4000-8000-0000000000a2
SELECT n, pg_temp.try(statement) AS verdict FROM (VALUES
    (1, $$INSERT INTO fx.strategies (user_id, name, type, parent_strategy_id) VALUES ('00000000-0000-4000-8000-0000000000a2', 'x', 'manual', '00000000-0000-4000-8000-0000000000b1')$$),
    (2, $$INSERT INTO fx.strategies (user_id, name, type, parent_strategy_id) VALUES ('00000000-0000-4000-8000-0000000000a2', 'x', 'manual', '00000000-0000-4000-8000-0000000000b2')$$),
    (3, $$INSERT INTO fx.strategies (user_id, name, type, parent_strategy_id) VALUES ('00000000-0000-4000-8000-0000000000a1', 'x', 'manual', '00000000-0000-4000-8000-0000000000b1')$$),
    (4, $$INSERT INTO fx.backtests (user_id, name, strategy_id) VALUES ('00000000-0000-4000-8000-0000000000a2', 'x', '00000000-0000-4000-8000-0000000000b1')$$),
    (5, $$INSERT INTO fx.backtests (user_id, name, strategy_id) VALUES ('00000000-0000-4000-8000-0000000000a2', 'x', '00000000-0000-4000-8000-0000000000b2')$$),
    (6, $$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, strategy_id) VALUES ('00000000-0000-4000-8000-0000000000a2', 'X', 'buy', 'market', 1, 1, '00000000-0000-4000-8000-0000000000b1')$$),
    (7, $$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, strategy_id) VALUES ('00000000-0000-4000-8000-0000000000a2', 'X', 'buy', 'market', 1, 1, '00000000-0000-4000-8000-0000000000b2')$$),
    (8, $$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, backtest_id) VALUES ('00000000-0000-4000-8000-0000000000a2', 'X', 'buy', 'market', 1, 1, '00000000-0000-4000-8000-0000000000c1')$$),
    (9, $$INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, backtest_id) VALUES ('00000000-0000-4000-8000-0000000000d1', '00000000-0000-4000-8000-0000000000a1', 'X', 'buy', 'market', 1, 1, '00000000-0000-4000-8000-0000000000c1')$$),
    (10, $$INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price) VALUES ('00000000-0000-4000-8000-0000000000d2', '00000000-0000-4000-8000-0000000000a1', 'X', 'buy', 'market', 1, 1)$$),
    (11, $$UPDATE fx.trades SET user_id = '00000000-0000-4000-8000-0000000000a2' WHERE id = '00000000-0000-4000-8000-0000000000d1'$$),
    (12, $$UPDATE fx.backtests SET user_id = '00000000-0000-4000-8000-0000000000a2' WHERE id = '00000000-0000-4000-8000-0000000000c1'$$),
    (13, $$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, strategy_id) VALUES ('00000000-0000-4000-8000-0000000000a1', 'X', 'buy', 'market', 1, 1, '00000000-0000-4000-8000-00000000dead')$$)
  ) AS v (n, statement) ORDER BY n;

-- a trade of a backtest stays one: when told otherwise, when the backtest goes; and becomes one late
SELECT right(id::text, 2) AS id, is_backtest FROM trades WHERE id::text LIKE '00000000-%d_' ORDER BY 1;
UPDATE trades SET is_backtest = false;
DELETE FROM backtests WHERE id = '00000000-0000-4000-8000-0000000000c1';
SELECT right(id::text, 2) AS id, is_backtest, backtest_id FROM trades WHERE id::text LIKE '00000000-%d_' ORDER BY 1;
INSERT INTO backtests (id, strategy_id, user_id, name) VALUES ('00000000-0000-4000-8000-0000000000c2', '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', 'b');
UPDATE trades SET backtest_id = '00000000-0000-4000-8000-0000000000c2' WHERE id = '00000000-0000-4000-8000-0000000000d2';
UPDATE trades SET backtest_id = NULL;
SELECT right(id::text, 2) AS id, is_backtest FROM trades WHERE id::text LIKE '00000000-%d_' ORDER BY 1;

-- a user whose strategy was copied can go; the copy stays (13)
DELETE FROM users WHERE id = :'a1';
SELECT name, parent_strategy_id FROM strategies WHERE user_id = :'a2';

-- version counts configurations
UPDATE strategies SET name = 'y';
SELECT version FROM strategies;
UPDATE strategies SET config = '{"a": 1}';
UPDATE strategies SET config = '{"a": 1}';
UPDATE strategies SET config = '{"a": 2}';
SELECT version FROM strategies;
UPDATE strategies SET config = '{"a": 3}', version = 10;
SELECT version FROM strategies;
ROLLBACK;

-- nothing diverts the guard, and it fits its place only
\set VERBOSITY terse
BEGIN;
INSERT INTO fx.users (id, email, username, password_hash)
SELECT ('00000000-0000-4000-8000-0000000000a' || n)::uuid, n || '@example.com', n, 'x' FROM generate_series(1, 2) AS n;
INSERT INTO fx.strategies (id, user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000b1', :'a1', 's', 'manual');
CREATE TEMPORARY TABLE strategies (id uuid, user_id uuid, is_public boolean) ON COMMIT DROP;
INSERT INTO pg_temp.strategies VALUES ('00000000-0000-4000-8000-0000000000b1', :'a2', true);
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.yes(uuid, uuid) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE OPERATOR hostile.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = hostile.yes);
SET LOCAL search_path = hostile, pg_temp, pg_catalog;
SAVEPOINT s;
INSERT INTO fx.backtests (strategy_id, user_id, name) VALUES ('00000000-0000-4000-8000-0000000000b1', :'a2', 'b');
ROLLBACK TO s;
INSERT INTO fx.backtests (strategy_id, user_id, name) VALUES ('00000000-0000-4000-8000-0000000000b1', NULL, 'b');
ROLLBACK;
SELECT fx.guard_references();
CREATE TABLE public.guarded (user_id uuid, strategy_id uuid, note text);
CREATE TRIGGER t BEFORE INSERT ON public.guarded FOR EACH ROW EXECUTE FUNCTION fx.guard_references();
INSERT INTO public.guarded VALUES (gen_random_uuid());
CREATE OR REPLACE TRIGGER t BEFORE INSERT ON public.guarded FOR EACH ROW EXECUTE FUNCTION fx.guard_references('note');
INSERT INTO public.guarded VALUES (gen_random_uuid());
CREATE OR REPLACE TRIGGER t BEFORE INSERT ON public.guarded FOR EACH ROW EXECUTE FUNCTION fx.guard_references('nothing');
INSERT INTO public.guarded VALUES (gen_random_uuid());
CREATE OR REPLACE TRIGGER t AFTER INSERT ON public.guarded FOR EACH ROW EXECUTE FUNCTION fx.guard_references('strategy_id');
INSERT INTO public.guarded VALUES (gen_random_uuid());
CREATE OR REPLACE TRIGGER t BEFORE INSERT ON public.guarded FOR EACH ROW EXECUTE FUNCTION fx.guard_references('strategy_id');
INSERT INTO public.guarded VALUES (gen_random_uuid()) RETURNING strategy_id;
DROP TABLE public.guarded;
