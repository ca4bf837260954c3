--
-- What the risk engine costs: trades with ten active limits against the same
-- inserts without its triggers, in turn; reports and checks.  In a database of
-- its own, called by "make bench"; :dir is this folder, pgbench is on the path.
--
\set QUIET on
\pset pager off
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION fxplatform CASCADE;
-- seconds of a run of pgbench
\if :{?seconds}
\else
    \set seconds 3
\endif
ALTER DATABASE :"DBNAME" SET synchronous_commit = off;
ALTER DATABASE :"DBNAME" SET jit = off;
SET synchronous_commit = off;

\echo '==> 1,000 users with ten limits; one with 100 trades and one with 1,000,000'
CREATE FUNCTION uid(n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$
    SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid
$$;
INSERT INTO fx.users (id, email, username, password_hash, preferences)
SELECT uid(n), n || '@example.com', n, 'x', '{"initialBalance": 1000000}' FROM generate_series(1, 1002) AS n;
CREATE PROCEDURE put_candles() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fx.create_market_data_partitions((now() - interval '3 months')::date, (now() + interval '1 month')::date);
    INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
    SELECT s.symbol, '1m', date_trunc('minute', now()) - n * interval '1 minute', s.price, s.price, s.price, s.price, 1
      FROM (VALUES ('EURUSD', 1.1), ('GBPUSD', 1.25), ('USDJPY', 150), ('EURGBP', 0.88)) AS s (symbol, price), generate_series(0, 99) AS n
    ON CONFLICT DO NOTHING;
END
$$;
CALL put_candles();
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value)
SELECT u.id, l.type, l.type, l.unit, l.value FROM fx.users AS u, (VALUES
    ('daily_loss', 'percentage', 50), ('max_drawdown', 'percentage', 50), ('trailing_drawdown', 'percentage', 60), ('max_position', 'absolute', 9000000000),
    ('max_order_size', 'absolute', 1000000), ('max_exposure', 'absolute', 9000000000), ('max_leverage', 'absolute', 9000000), ('max_open_trades', 'absolute', 10000000),
    ('max_daily_trades', 'absolute', 10000000), ('price_collar', 'percentage', 50)) AS l (type, unit, value);

CREATE PROCEDURE risk_triggers(mode text) LANGUAGE plpgsql AS $$
DECLARE
    trigger_name text;
BEGIN
    FOR trigger_name IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'fx.trades'::regclass AND NOT tgisinternal
                           AND (tgname LIKE 'trades\_risk\_%' OR tgname = 'trades_lifecycle') LOOP
        EXECUTE format('ALTER TABLE fx.trades %s TRIGGER %I', mode, trigger_name);
    END LOOP;
END
$$;
CREATE PROCEDURE other_triggers(mode text) LANGUAGE plpgsql AS $$
DECLARE
    trigger_name text;
BEGIN
    FOR trigger_name IN SELECT tgname FROM pg_trigger WHERE tgrelid = 'fx.trades'::regclass AND NOT tgisinternal
                           AND NOT (tgname LIKE 'trades\_risk\_%' OR tgname IN ('trades_lifecycle', 'plain_check')) LOOP
        EXECUTE format('ALTER TABLE fx.trades %s TRIGGER %I', mode, trigger_name);
    END LOOP;
END
$$;
-- Each run begins with one trade in each of four symbols for each of the
-- thousand, so that all has its row.
CREATE PROCEDURE clear_trades() LANGUAGE plpgsql AS $$
BEGIN
    CALL risk_triggers('ENABLE');
    CALL other_triggers('ENABLE');
    TRUNCATE fx.trades, fx.closures, fx.audit_log;
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, commission, status, executed_at)
    SELECT uid(u), s.symbol, 'buy', 'market', 1000, s.price, 0.1, 'executed', now()
      FROM generate_series(1, 1000) AS u, (VALUES ('EURUSD', 1.1), ('GBPUSD', 1.25), ('USDJPY', 150), ('EURGBP', 0.88)) AS s (symbol, price);
    COMMIT;
    CHECKPOINT;
END
$$;

-- The check as it is usually written: sums over the trades of the user for
-- each limit, under a lock of the user.  Only four of the ten types.
CREATE FUNCTION plain_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    l record;
    measure numeric;
BEGIN
    PERFORM FROM fx.accounts AS a WHERE a.user_id = NEW.user_id FOR NO KEY UPDATE;
    FOR l IN SELECT * FROM fx.risk_limits AS rl WHERE rl.user_id = NEW.user_id AND rl.is_active ORDER BY rl.id LOOP
        CASE l.type
            WHEN 'max_position' THEN
                SELECT abs(coalesce(sum(CASE t.type WHEN 'buy' THEN t.quantity ELSE -t.quantity END), 0)) INTO measure
                  FROM fx.trades AS t WHERE t.user_id = NEW.user_id AND t.symbol = NEW.symbol AND t.status = 'executed' AND t.closed_at IS NULL;
            WHEN 'max_open_trades' THEN
                SELECT count(*) INTO measure FROM fx.trades AS t WHERE t.user_id = NEW.user_id AND t.status = 'executed' AND t.closed_at IS NULL;
            WHEN 'max_daily_trades' THEN
                SELECT count(*) INTO measure FROM fx.trades AS t WHERE t.user_id = NEW.user_id AND t.status = 'executed' AND t.executed_at >= date_trunc('day', now());
            WHEN 'daily_loss' THEN
                SELECT greatest(0, -coalesce(sum(t.profit - t.commission + t.swap), 0)) INTO measure
                  FROM fx.trades AS t WHERE t.user_id = NEW.user_id AND t.status = 'executed' AND t.closed_at >= date_trunc('day', now());
            ELSE
                CONTINUE;
        END CASE;
        IF measure > l.limit_value AND l.limit_type = 'absolute' THEN
            RAISE EXCEPTION 'limit % exceeded', l.name;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE TRIGGER plain_check AFTER INSERT ON fx.trades FOR EACH ROW EXECUTE FUNCTION plain_check();
ALTER TABLE fx.trades DISABLE TRIGGER plain_check;

-- what a run added to the two users
CREATE TABLE marks (at timestamptz);
CREATE PROCEDURE forget_new_trades() LANGUAGE plpgsql AS $$
BEGIN
    CALL risk_triggers('DISABLE');
    CALL other_triggers('DISABLE');
    DELETE FROM fx.trades WHERE user_id IN (uid(1001), uid(1002)) AND created_at > (SELECT at FROM marks);
    IF FOUND THEN
        PERFORM fx.rebuild_risk_state(uid(1001)), fx.rebuild_risk_state(uid(1002));
    END IF;
    CALL risk_triggers('ENABLE');
    CALL other_triggers('ENABLE');
    TRUNCATE fx.audit_log;
    COMMIT;
    CHECKPOINT;
END
$$;

CREATE TABLE runs (part text, what text, value numeric);

\echo '==> trades a second, two clients, 1,000 users'
\ir risk_turn.sql
\ir risk_turn.sql
\ir risk_turn.sql
\set part 'opening trades'
CALL clear_trades();
CALL risk_triggers('DISABLE');
ALTER TABLE fx.trades ENABLE TRIGGER plain_check;
\set what 'plain PL/pgSQL check of four limits'
\set clients 2
\set low 1
\set high 1000
\set script risk_open.pgbench
\ir risk_run.sql
ALTER TABLE fx.trades DISABLE TRIGGER plain_check;

\echo '==> a user of 100 trades and one of 1,000,000, one client'
CALL clear_trades();
CALL risk_triggers('DISABLE');
CALL other_triggers('DISABLE');
SET session_replication_role = replica;
INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, commission, profit, status, executed_at, closed_at)
SELECT uid(CASE WHEN n <= 100 THEN 1001 ELSE 1002 END), (ARRAY['EURUSD', 'GBPUSD', 'USDJPY', 'EURGBP'])[1 + n % 4], CASE WHEN n % 3 = 0 AND n % 10 <> 0 THEN 'sell' ELSE 'buy' END, 'market', 1000, (ARRAY[1.1, 1.25, 150, 0.88])[1 + n % 4],
       0.1, CASE WHEN n % 10 = 0 THEN 0 ELSE n % 7 - 3 END, 'executed', at, CASE WHEN n % 10 <> 0 THEN at + interval '10 minutes' END
  FROM generate_series(1, 1000100) AS n, LATERAL (SELECT now() - interval '700 days' + n * interval '1 minute' AS at) AS t;
RESET session_replication_role;
CALL other_triggers('ENABLE');
CALL risk_triggers('ENABLE');
VACUUM (ANALYZE) fx.trades;
INSERT INTO marks VALUES (now());
SELECT fx.rebuild_risk_state(uid(1001)), fx.rebuild_risk_state(uid(1002)) \g /dev/null
CALL put_candles();
\ir risk_turn_size.sql
\ir risk_turn_size.sql
\ir risk_turn_size.sql
CALL forget_new_trades();

\echo
\echo '==> medians; "of without": trades a second over those without the risk triggers (higher is better)'
WITH medians AS (
    SELECT part, what, percentile_cont(0.5) WITHIN GROUP (ORDER BY value)::numeric AS tps FROM runs GROUP BY part, what
)
SELECT m.part, m.what, round(m.tps) AS tps, round(m.tps / w.tps, 2) AS of_without
  FROM medians AS m LEFT JOIN medians AS w ON w.part = m.part AND w.what = 'without'
 ORDER BY m.part, m.tps DESC;

\echo '==> 10,000 rows in one statement, milliseconds'
CALL clear_trades();
CREATE TABLE batch AS
SELECT uid(n % 1000 + 1) AS user_id, (ARRAY['EURUSD', 'GBPUSD', 'USDJPY', 'EURGBP'])[1 + n % 4] AS symbol, 'buy' AS type, 'market' AS order_type, 1000 AS quantity,
       (ARRAY[1.1, 1.25, 150, 0.88])[1 + n % 4] AS price, 0.1 AS commission, 'executed' AS status, now() AS executed_at
  FROM generate_series(1, 10000) AS n;
SELECT set_config('bench.file', current_setting('data_directory') || '/batch.copy', false) \g /dev/null
DO $$ BEGIN EXECUTE format('COPY batch TO %L', current_setting('bench.file')); END $$;
CREATE TABLE bulk (part text, what text, ms numeric);
CREATE PROCEDURE measure_bulk(what text) LANGUAGE plpgsql AS $$
DECLARE
    item record;
    begun timestamptz;
BEGIN
    FOR item IN SELECT * FROM (VALUES
        ('INSERT, 1,000 users', 'INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, commission, status, executed_at) TABLE batch'),
        ('INSERT, one user', 'INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, commission, status, executed_at) SELECT uid(1), symbol, type, order_type, quantity, price, commission, status, executed_at FROM batch'),
        ('INSERT, one user, both sides', 'INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, commission, status, executed_at) SELECT uid(2), symbol, CASE WHEN random() < 0.5 THEN ''buy'' ELSE ''sell'' END, order_type, quantity, price, commission, status, executed_at FROM batch'),
        ('COPY, 1,000 users', format('COPY fx.trades (user_id, symbol, type, order_type, quantity, price, commission, status, executed_at) FROM %L', current_setting('bench.file')))
    ) AS v (part, statement) LOOP
        begun := clock_timestamp();
        EXECUTE item.statement;
        INSERT INTO bulk VALUES (item.part, what, 1000 * extract(epoch FROM clock_timestamp() - begun));
        COMMIT;
    END LOOP;
END
$$;
\set bulk_turn 'CALL risk_triggers(\'ENABLE\'); CALL measure_bulk(\'with ten limits\'); CALL risk_triggers(\'DISABLE\'); CALL measure_bulk(\'without\'); CALL clear_trades();'
CALL clear_trades();
:bulk_turn
:bulk_turn
:bulk_turn
WITH medians AS (
    SELECT part, what, percentile_cont(0.5) WITHIN GROUP (ORDER BY ms)::numeric AS ms FROM bulk GROUP BY part, what
)
SELECT m.part, m.what, round(m.ms, 1) AS ms, round(w.ms / m.ms, 2) AS of_without
  FROM medians AS m JOIN medians AS w ON w.part = m.part AND w.what = 'without'
 ORDER BY m.part, m.ms;

\echo '==> microseconds of a call, warm, for a user of ten limits and four positions'
CALL clear_trades();
CALL put_candles();
CREATE FUNCTION call_us(statement text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    begun timestamptz;
    times float8[] := '{}';
    loop_body text := format('DO $do$ BEGIN FOR n IN 1 .. 1000 LOOP PERFORM count(*) FROM %s; END LOOP; END $do$', statement);
BEGIN
    EXECUTE loop_body;
    FOR i IN 1 .. 9 LOOP
        begun := clock_timestamp();
        EXECUTE loop_body;
        times := times || 1000 * extract(epoch FROM clock_timestamp() - begun)::float8;
    END LOOP;
    RETURN round((SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(times) AS t)::numeric, 1);
END
$$;
SELECT 'fx.risk_utilization' AS call, call_us('fx.risk_utilization(uid(1 + n % 1000))') AS us
UNION ALL SELECT 'fx.check_risk, opening', call_us('fx.check_risk(uid(1 + n % 1000), ''EURUSD'', ''buy'', 1000, 1.1)')
UNION ALL SELECT 'fx.check_risk, reducing', call_us('fx.check_risk(uid(1 + n % 1000), ''EURUSD'', ''sell'', 1000, 1.1)')
UNION ALL SELECT 'fx.check_risk, refused by four', call_us('fx.check_risk(uid(1 + n % 1000), ''EURUSD'', ''buy'', 9000000001, 1.1)')
UNION ALL SELECT 'fx.what_if of ten orders', call_us('fx.what_if(uid(1 + n % 1000), ''[{"symbol":"EURUSD","type":"buy","quantity":1000,"price":1.1},{"symbol":"GBPUSD","type":"buy","quantity":1000,"price":1.25},{"symbol":"EURUSD","type":"buy","quantity":1000,"price":1.1},{"symbol":"GBPUSD","type":"buy","quantity":1000,"price":1.25},{"symbol":"EURUSD","type":"buy","quantity":1000,"price":1.1},{"symbol":"GBPUSD","type":"buy","quantity":1000,"price":1.25},{"symbol":"EURUSD","type":"buy","quantity":1000,"price":1.1},{"symbol":"GBPUSD","type":"buy","quantity":1000,"price":1.25},{"symbol":"EURUSD","type":"buy","quantity":1000,"price":1.1},{"symbol":"GBPUSD","type":"buy","quantity":1000,"price":1.25}]'')')
UNION ALL SELECT 'count(*) FROM fx.accounts of a user', call_us('fx.accounts WHERE user_id = uid(1 + n % 1000)');
