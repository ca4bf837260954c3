--
-- updated_at is the clock's time of the last change
--
BEGIN;
SET LOCAL search_path = fx, public;
INSERT INTO users (id, email, username, password_hash, updated_at) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x', '2020-01-01');
INSERT INTO strategies (id, user_id, name, type, updated_at) VALUES ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', 's', 'manual', '2020-01-01');
INSERT INTO backtests (id, strategy_id, user_id, name, updated_at, trades)
SELECT '00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', 'b', '2020-01-01',
       jsonb_agg(md5(n::text)) FROM generate_series(1, 5000) AS n;
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, updated_at) VALUES ('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 'market', 1, 1, '2020-01-01');
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, updated_at) VALUES ('00000000-0000-4000-8000-0000000000a1', 'l', 'daily_loss', 'absolute', 1, '2020-01-01');

-- an update that changes nothing, of toasted columns too, in whatever form the value comes
UPDATE users SET username = username;
UPDATE strategies SET name = 's', config = '{}';
UPDATE backtests SET trades = trades, name = name;
UPDATE backtests SET trades = trades::text::jsonb;
UPDATE trades SET quantity = 1.000;
UPDATE risk_limits SET current_value = 0;
SELECT (SELECT updated_at < '2021-01-01' FROM users) AS users, (SELECT updated_at < '2021-01-01' FROM strategies) AS strategies,
       (SELECT updated_at < '2021-01-01' FROM backtests) AS backtests, (SELECT updated_at < '2021-01-01' FROM trades) AS trades,
       (SELECT updated_at < '2021-01-01' FROM risk_limits) AS risk_limits;
-- one that does, on every table that has the column; twice in a transaction
CREATE TEMPORARY TABLE seen (tab text, at timestamptz) ON COMMIT DROP;
UPDATE users SET username = 'b'; UPDATE strategies SET description = 'd'; UPDATE backtests SET progress = 1; UPDATE trades SET symbol = 'X'; UPDATE risk_limits SET name = 'm';
INSERT INTO seen SELECT 'users', updated_at FROM users UNION ALL SELECT 'strategies', updated_at FROM strategies UNION ALL SELECT 'backtests', updated_at FROM backtests
    UNION ALL SELECT 'trades', updated_at FROM trades UNION ALL SELECT 'risk_limits', updated_at FROM risk_limits;
UPDATE users SET username = NULL WHERE false;
UPDATE users SET username = 'c'; UPDATE strategies SET description = NULL; UPDATE backtests SET progress = 2; UPDATE trades SET symbol = 'Y'; UPDATE risk_limits SET name = 'n';
INSERT INTO seen SELECT 'users', updated_at FROM users UNION ALL SELECT 'strategies', updated_at FROM strategies UNION ALL SELECT 'backtests', updated_at FROM backtests
    UNION ALL SELECT 'trades', updated_at FROM trades UNION ALL SELECT 'risk_limits', updated_at FROM risk_limits;
SELECT tab, bool_and(at > now()) AS after_begin, count(DISTINCT at) AS times FROM seen GROUP BY tab ORDER BY tab;
ROLLBACK;

-- the trigger function fits its place
SELECT fx.update_updated_at_column();
CREATE TABLE public.tick (id integer, updated_at timestamptz, gone text);
ALTER TABLE public.tick DROP COLUMN gone;
INSERT INTO public.tick VALUES (1);
CREATE TRIGGER t BEFORE UPDATE ON public.tick FOR EACH ROW EXECUTE FUNCTION fx.update_updated_at_column();
UPDATE public.tick SET id = 2;
SELECT id, updated_at IS NOT NULL AS set FROM public.tick;
UPDATE public.tick SET updated_at = '2020-01-01';
ALTER TABLE public.tick DISABLE TRIGGER t;
UPDATE public.tick SET updated_at = '2020-01-01';
ALTER TABLE public.tick ENABLE TRIGGER t;
UPDATE public.tick SET id = id;
SELECT updated_at < '2021-01-01' AS left_alone FROM public.tick;
DROP TRIGGER t ON public.tick;
CREATE TRIGGER t AFTER UPDATE ON public.tick FOR EACH ROW EXECUTE FUNCTION fx.update_updated_at_column();
UPDATE public.tick SET id = 3;
DROP TRIGGER t ON public.tick;
CREATE TRIGGER t BEFORE UPDATE ON public.tick EXECUTE FUNCTION fx.update_updated_at_column();
UPDATE public.tick SET id = 3;
DROP TRIGGER t ON public.tick;
CREATE TRIGGER t BEFORE INSERT ON public.tick FOR EACH ROW EXECUTE FUNCTION fx.update_updated_at_column();
INSERT INTO public.tick VALUES (4);
DROP TRIGGER t ON public.tick;
CREATE TRIGGER t BEFORE UPDATE ON public.tick FOR EACH ROW EXECUTE FUNCTION fx.update_updated_at_column();
ALTER TABLE public.tick ALTER updated_at TYPE text;
UPDATE public.tick SET id = 3;
ALTER TABLE public.tick DROP updated_at;
UPDATE public.tick SET id = 3;
DROP TABLE public.tick;
