--
-- What the engine keeps of limits, apart from them, and limits that change in the middle of a transaction
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
BEGIN
    EXECUTE statement;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
-- without a subtransaction
CREATE FUNCTION pg_temp.buy(units numeric DEFAULT 1, who text DEFAULT '1') RETURNS void LANGUAGE sql AS $$
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
    VALUES (('00000000-0000-4000-8000-0000000000a' || who)::uuid, 'EURUSD', 'buy', 'market', units, 1.1, 'executed', '2024-03-05 12:00:00+00')
$$;
CREATE FUNCTION pg_temp.limits(OUT name text, OUT current numeric, OUT has_row boolean, OUT latched boolean, OUT orders int) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT l.name, trim_scale(l.current_value), s.limit_id IS NOT NULL, s.breached_at IS NOT NULL, coalesce(cardinality(s.order_times), 0)
      FROM fx.risk_limits l LEFT JOIN fx.risk_limit_state s ON s.user_id = l.user_id AND s.limit_id = l.id ORDER BY l.name COLLATE "C"
$$;
\pset null ?

-- a row for each limit that holds on or counts orders, as soon as it is active
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, is_active)
SELECT :'a1', t, t, 'absolute', 1000, t <> 'weekly_loss' FROM unnest('{daily_loss,weekly_loss,max_drawdown,max_consecutive_losses,min_equity,max_order_rate,max_position,kill_switch}'::text[]) AS t WHERE t <> 'kill_switch';
SELECT * FROM pg_temp.limits();
UPDATE risk_limits SET is_active = true;
SELECT count(*) AS rows FROM risk_limit_state;
-- one that lacks it gets it when there is something to keep
DELETE FROM risk_limit_state;
SELECT pg_temp.buy();
SELECT * FROM pg_temp.limits();
SELECT pg_temp.buy();
SELECT * FROM pg_temp.limits() WHERE has_row;
-- they go with the limits
DELETE FROM risk_limits WHERE type IN ('daily_loss', 'max_order_rate');
SELECT count(*) AS rows FROM risk_limit_state;
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) SELECT u, 'rate', 'max_order_rate', 'absolute', 5 FROM unnest(ARRAY[:'a2', :'a1']::uuid[]) AS u;
SELECT count(*) AS rows FROM risk_limit_state;
SAVEPOINT s;
TRUNCATE risk_limits;
SELECT count(*) AS rows FROM risk_limit_state;
SELECT pg_temp.buy();
ROLLBACK TO s;
SELECT count(*) AS rows FROM risk_limit_state;
DELETE FROM users WHERE id = :'a2';
SELECT count(*) AS rows FROM risk_limit_state;
ROLLBACK TO s;
DELETE FROM risk_limits WHERE name <> 'rate';
SELECT user_id, count(*) AS rows FROM risk_limit_state GROUP BY 1 ORDER BY 1;

-- nobody else writes them, and a user sees his own
SET LOCAL app.current_user_id = :'a1';
SET LOCAL ROLE fx_user;
SELECT pg_temp.try('UPDATE fx.risk_limit_state SET order_times = NULL') AS written, (SELECT count(*) FROM risk_limit_state) AS seen;
SET LOCAL ROLE fx_app;
SELECT pg_temp.try('UPDATE fx.risk_limit_state SET order_times = NULL') AS written, (SELECT count(*) FROM risk_limit_state) AS seen;
SELECT pg_temp.try('SELECT FROM fx.risk_limit_state FOR UPDATE') AS locked;
DELETE FROM risk_limits WHERE user_id = '00000000-0000-4000-8000-0000000000a2';
SELECT count(*) AS rows FROM risk_limit_state;
RESET ROLE;

-- a transaction of many trades, and what it does to the limits in between
DELETE FROM trades;
SELECT pg_temp.buy(), pg_temp.buy();
SELECT * FROM pg_temp.limits();
SAVEPOINT s;
SELECT pg_temp.buy(), pg_temp.buy();
SELECT * FROM pg_temp.limits();
ROLLBACK TO s;
SELECT pg_temp.buy();
SELECT * FROM pg_temp.limits();
SAVEPOINT s;
RELEASE s;
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) VALUES (:'a1', 'units', 'max_position', 'absolute', 100);
SELECT pg_temp.buy();
SELECT * FROM pg_temp.limits();
UPDATE risk_limits SET is_active = false WHERE name = 'rate';
SELECT pg_temp.buy(), pg_temp.buy(), pg_temp.buy();
SELECT * FROM pg_temp.limits();
UPDATE risk_limits SET is_active = true, limit_value = 6 WHERE name = 'rate';
SELECT pg_temp.buy(), pg_temp.buy();
SELECT * FROM pg_temp.limits();
DELETE FROM risk_limits WHERE name = 'rate';
SELECT pg_temp.buy();
SELECT * FROM pg_temp.limits();
-- also by other ways than the triggers see, and while the table is written anew
SET LOCAL session_replication_role = replica;
UPDATE risk_limits SET limit_value = 10, is_active = false;
SET LOCAL session_replication_role = origin;
SELECT pg_temp.buy(200);
UPDATE risk_limits SET is_active = true, limit_value = 1000;
SELECT pg_temp.buy();
ALTER TABLE risk_limits ALTER COLUMN cooldown_seconds TYPE bigint;
ALTER TABLE risk_limits ALTER COLUMN cooldown_seconds TYPE integer;
SELECT pg_temp.buy();
SELECT * FROM pg_temp.limits();
-- more of them than are remembered
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) SELECT :'a1', 'n' || n, (ARRAY['max_position', 'max_order_rate', 'daily_loss'])[1 + n % 3], 'absolute', 900 FROM generate_series(1, 40) AS n;
SELECT pg_temp.buy(), pg_temp.buy();
SELECT current, orders, count(*) FROM pg_temp.limits() GROUP BY 1, 2 ORDER BY 1, 2;
DELETE FROM risk_limits;

-- another type or scope forgets all of it, also while the limit is not active
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) VALUES (:'a1', 'rate', 'max_order_rate', 'absolute', 5), (:'a1', 'same', 'max_order_rate', 'absolute', 5);
SELECT pg_temp.buy();
UPDATE risk_limits SET symbol = CASE name WHEN 'rate' THEN 'GBPUSD' END;
SELECT * FROM pg_temp.limits();
SELECT pg_temp.buy();
UPDATE risk_limits SET is_active = false;
UPDATE risk_limits SET symbol = CASE name WHEN 'same' THEN 'EURUSD' END;
SELECT * FROM pg_temp.limits();
SELECT pg_temp.buy();
UPDATE risk_limits SET is_active = true;
SELECT pg_temp.buy();
SELECT * FROM pg_temp.limits();
UPDATE risk_limits SET type = 'max_open_trades', limit_value = 100;
SELECT pg_temp.buy();
SELECT * FROM pg_temp.limits();
-- a trigger that writes the limits of a trade that is being booked
UPDATE risk_limits SET limit_value = 100;
CREATE FUNCTION pg_temp.meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE fx.risk_limits SET limit_value = limit_value + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER meddle AFTER INSERT ON trades FOR EACH ROW EXECUTE FUNCTION pg_temp.meddle();
SELECT pg_temp.try('SELECT pg_temp.buy()');
SELECT pg_temp.try('SELECT pg_temp.buy()');
SELECT * FROM pg_temp.limits();
SELECT * FROM verify_positions();
ROLLBACK;
DROP TABLE fx.market_data_2024_02, fx.market_data_2024_03;
