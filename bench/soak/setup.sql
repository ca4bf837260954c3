-- setup.sql
--
-- The platform that scripts/soak.sh puts its load on, and the functions that the
-- clients call.  Each writes a row of soak.ledger in its transaction: verify.sql
-- holds the tables against it, and it against what the clients know.  A number
-- drawn under the lock of an account goes in the order of its commits.

\set ON_ERROR_STOP on
SET client_min_messages = warning;

CREATE EXTENSION fxplatform CASCADE;
CREATE EXTENSION amcheck;
CREATE SCHEMA soak;
SET search_path = soak, public;

CREATE ROLE soak_app LOGIN IN ROLE fx_app;
CREATE ROLE soak_user LOGIN IN ROLE fx_user;
GRANT USAGE ON SCHEMA soak TO soak_app, soak_user;

CREATE SEQUENCE turn;
CREATE TABLE ledger (
    turn bigint NOT NULL DEFAULT nextval('turn'),
    kind text NOT NULL,
    outcome text NOT NULL,
    id uuid,                    -- of what was made or changed
    user_id uuid,
    symbol text,
    units numeric,              -- added to the position, negative when sold
    amount numeric,             -- of money, or a number of rows
    more numeric
);
CREATE TABLE prepared_trades (n integer PRIMARY KEY, trades jsonb);
GRANT INSERT, SELECT ON ledger TO soak_app, soak_user;
GRANT USAGE ON SEQUENCE turn TO soak_app, soak_user;
GRANT SELECT ON prepared_trades TO soak_app;

CREATE FUNCTION uid(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$
    SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid
$$;

CREATE FUNCTION price_of(sym text) RETURNS numeric IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE sym WHEN 'EURUSD' THEN 1.1 ELSE 1.25 END
$$;

-- 1 to 200 are traded for by the application, 201 to 220 sign in and trade themselves
INSERT INTO fx.users (id, email, username, password_hash, preferences)
SELECT uid(n), n || '@example.com', 'user' || n, 'x', '{"initialBalance": 100000}' FROM generate_series(1, 220) AS n;
SELECT count(fx.set_password(id, 'a long enough password')) FROM fx.users WHERE id > uid(200) \g /dev/null
INSERT INTO fx.strategies (id, user_id, name, type, config) SELECT uid(n), uid(n), 'strategy ' || n, 'manual', '{"n": 0}' FROM generate_series(1, 220) AS n;
-- max_position and max_open_trades refuse; max_order_size is changed all the time
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value)
SELECT uid(n), type, type, unit, value FROM generate_series(1, 220) AS n, (VALUES
    ('max_position', 'absolute', 10), ('max_open_trades', 'absolute', 12), ('max_order_size', 'absolute', 1000), ('max_exposure', 'absolute', 30),
    ('max_leverage', 'absolute', 30), ('daily_loss', 'percentage', 50), ('max_drawdown', 'percentage', 90), ('trailing_drawdown', 'percentage', 95),
    ('max_daily_trades', 'absolute', 1000000000), ('concentration', 'percentage', 100)) AS l (type, unit, value);

INSERT INTO prepared_trades
SELECT n, (SELECT jsonb_agg(jsonb_build_object('profit', ((i * 7919 + n) % 200) - 95, 'commission', 0.5, 'executedAt', timestamptz '2023-01-02 08:00+00' + i * interval '11 hours',
                                               'closedAt', timestamptz '2023-01-02 10:00+00' + i * interval '11 hours'))
             FROM generate_series(1, 500) AS i)
  FROM generate_series(1, 20) AS n;

SELECT fx.create_market_data_partitions((now() - interval '2 days')::date, (now() + interval '2 days')::date) \g /dev/null
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
SELECT s.symbol, '1m', date_trunc('minute', now()) - n * interval '1 minute', s.price, s.price, s.price, s.price, 1
  FROM (VALUES ('EURUSD', 1.1), ('GBPUSD', 1.25)) AS s (symbol, price), generate_series(0, 1440) AS n;
INSERT INTO fx.retention_policies VALUES ('market_data', '1m', '30 days'), ('quotes', NULL, '30 days');
-- no day of trading ends meanwhile
UPDATE fx.accounts SET time_zone = 'UTC', day_cutoff = date_trunc('minute', now() AT TIME ZONE 'UTC' + interval '12 hours')::time;

-- 20 candles of one of 20 symbols that end now or lately: some are there already
CREATE FUNCTION ingest(series integer, back integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    result record;
BEGIN
    SELECT i.* INTO result FROM fx.ingest_candles(
        (SELECT jsonb_agg(jsonb_build_object('symbol', 'SOAK' || series, 'timeframe', '1m', 'timestamp', at,
                                             'open', 1 + n / 1000., 'high', 2, 'low', 0.5, 'close', 1 + (back + n) / 1000., 'volume', back + n))
           FROM generate_series(0, 19) AS n, LATERAL (SELECT date_trunc('minute', now()) - (back + n) * interval '1 minute') AS t (at))) AS i;
    INSERT INTO soak.ledger (kind, outcome, amount, more) VALUES ('candles', 'ok', result.inserted, result.updated);
END
$$;

CREATE FUNCTION quote(series integer, change integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fx.quotes (symbol, timestamp, bid, ask)
    SELECT 'SOAK' || series, clock_timestamp() + n * interval '1 millisecond', 1 + change / 100000., 1.0001 + change / 100000. FROM generate_series(1, 5) AS n;
    INSERT INTO soak.ledger (kind, outcome, amount) VALUES ('quotes', 'ok', 5);
END
$$;

-- of a refusal only: no other error is caught
CREATE FUNCTION order_of(usr integer, side text, size numeric, sym text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    trade uuid;
BEGIN
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, commission, status, executed_at)
    VALUES (soak.uid(usr), sym, side, 'market', size, soak.price_of(sym), 0.01, 'executed', clock_timestamp()) RETURNING id INTO trade;
    INSERT INTO soak.ledger (kind, outcome, id, user_id, symbol, units) VALUES ('order', 'executed', trade, soak.uid(usr), sym, CASE side WHEN 'buy' THEN size ELSE -size END);
EXCEPTION WHEN SQLSTATE 'XF001' THEN
    INSERT INTO soak.ledger (kind, outcome, user_id) VALUES ('order', 'refused', soak.uid(usr));
END
$$;

CREATE FUNCTION try_order(kind text, usr uuid, side text, size numeric, sym text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    result record;
BEGIN
    SELECT t.* INTO result FROM fx.try_trade(usr, sym, side, size, soak.price_of(sym)) AS t;
    INSERT INTO soak.ledger (kind, outcome, id, user_id, symbol, units)
    VALUES (kind, result.status, result.trade_id, usr, sym, CASE WHEN result.status = 'executed' THEN CASE side WHEN 'buy' THEN size ELSE -size END END);
END
$$;

-- The oldest open trade of a symbol, in the order of idx_trades_open: by time alone
-- the planner may walk through all that was ever closed.
CREATE FUNCTION close_one(usr integer, part boolean, sym text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ticket record;
    closed numeric;
BEGIN
    PERFORM fx.lock_account(soak.uid(usr));
    SELECT t.id, t.symbol, t.type, coalesce(t.open_quantity, t.quantity) AS open INTO ticket
      FROM fx.trades AS t WHERE t.user_id = soak.uid(usr) AND t.symbol = sym AND t.status = 'executed' AND t.closed_at IS NULL AND NOT t.is_backtest
     ORDER BY t.executed_at, t.id LIMIT 1;
    IF NOT FOUND THEN
        INSERT INTO soak.ledger (kind, outcome, user_id) VALUES ('close', 'nothing', soak.uid(usr));
        RETURN;
    END IF;
    closed := CASE WHEN part AND ticket.open > 1 THEN 1 ELSE ticket.open END;
    PERFORM fx.close_trade(ticket.id, soak.price_of(ticket.symbol) + 0.001, commission => 0.01, quantity => CASE WHEN closed < ticket.open THEN closed END);
    INSERT INTO soak.ledger (kind, outcome, id, user_id, symbol, units)
    VALUES ('close', 'closed', ticket.id, soak.uid(usr), ticket.symbol, CASE ticket.type WHEN 'buy' THEN -closed ELSE closed END);
END
$$;

CREATE FUNCTION change(usr integer, value integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE fx.strategies SET config = config || jsonb_build_object('n', (config -> 'n')::integer + 1) WHERE id = soak.uid(usr);
    UPDATE fx.risk_limits SET name = 'order size ' || value, limit_value = value WHERE user_id = soak.uid(usr) AND type = 'max_order_size';
    INSERT INTO soak.ledger (kind, outcome, user_id) VALUES ('change', 'ok', soak.uid(usr));
END
$$;

CREATE FUNCTION flow(usr integer, change numeric) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM CASE WHEN change > 0 THEN fx.deposit(soak.uid(usr), change) ELSE fx.withdraw(soak.uid(usr), -change) END;
    INSERT INTO soak.ledger (kind, outcome, user_id, amount) VALUES ('flow', 'ok', soak.uid(usr), change);
END
$$;


-- What the report compares: sizes with the rows in them, partitions counted with
-- their tables, and the private memory of the clients' backends
CREATE TABLE samples (at timestamptz NOT NULL DEFAULT clock_timestamp(), name text NOT NULL, value numeric NOT NULL);
CREATE TABLE sizes (at timestamptz NOT NULL DEFAULT clock_timestamp(), relation regclass, table_bytes bigint, index_bytes bigint, live bigint, dead bigint);

CREATE FUNCTION measure() RETURNS void LANGUAGE sql AS $$
    INSERT INTO soak.sizes (relation, table_bytes, index_bytes, live, dead)
    SELECT coalesce(pg_partition_root(c.oid), c.oid)::regclass, sum(pg_table_size(c.oid)), sum(pg_indexes_size(c.oid)),
           sum(pg_stat_get_live_tuples(c.oid)), sum(pg_stat_get_dead_tuples(c.oid))
      FROM pg_class AS c
     WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind = 'r'
     GROUP BY 1;
    INSERT INTO soak.samples (name, value)
    SELECT v.* FROM (VALUES ('wal', pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')), ('commits', (SELECT sum(d.xact_commit) FROM pg_stat_database AS d))) AS v
$$;

-- a month that has expired, for the background worker to drop
CREATE FUNCTION add_expired_month(back integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    month CONSTANT timestamptz := date_trunc('month', now(), 'UTC') - back * interval '1 month';
BEGIN
    PERFORM fx.create_market_data_partitions(month::date, month::date + 1), fx.create_quote_partitions(month::date, month::date + 1);
    INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
    SELECT 'EXPIRED', '1m', month + n * interval '1 minute', 1, 1, 1, 1, 1 FROM generate_series(1, 2000) AS n;
    INSERT INTO fx.quotes (symbol, timestamp, bid, ask) SELECT 'EXPIRED', month + n * interval '1 minute', 1, 1 FROM generate_series(1, 2000) AS n;
END
$$;

-- A series as a line of blocks, each of 40 parts of the time; NULL: nothing happened
CREATE FUNCTION blocks(series float8[]) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT string_agg(coalesce(substr('▁▂▃▄▅▆▇█', 1 + least(7, floor(8 * s.value / nullif(m.high, 0)))::integer, 1), ' '), '' ORDER BY s.n)
      FROM unnest(series) WITH ORDINALITY AS s (value, n), (SELECT max(u) FROM unnest(series) AS u) AS m (high)
$$;

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA soak TO soak_app, soak_user;
