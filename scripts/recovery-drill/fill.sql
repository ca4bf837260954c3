-- fill.sql
--	A platform with rows in every table, generated: users who trade with limits,
--	three months of candles and ticks, backtests, an audit trail of which a part
--	was exported, sessions, keys and encrypted values.
--
-- Psql variable users: how many users.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;

CREATE EXTENSION fxplatform CASCADE;
CREATE ROLE drill_app LOGIN IN ROLE fx_app;
CREATE ROLE drill_web LOGIN IN ROLE fx_user;

-- of the platform's owner, not of the extension: a dump has it, too
CREATE FUNCTION public.user_number(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$
    SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid
$$;

SET search_path = fx, public;
SET fxplatform.password_cost = 4;

INSERT INTO users (id, email, username, password_hash, preferences)
SELECT user_number(n), 'user' || n || '@example.com', 'user' || n, 'none', '{"initialBalance": 100000}'
  FROM generate_series(1, :users) AS n;
SELECT set_password(user_number(1), 'a long enough password');
SELECT status FROM sign_in('user1', 'a long enough password');
SELECT status FROM sign_in('user1', 'not this password');
SELECT issue_api_key(user_number(1), 'of the drill'), request_email_verification(user_number(1));
SELECT secret AS totp_secret FROM enable_two_factor(user_number(2)) \gset
SELECT accept_totp(user_number(2), totp(base32_decode(:'totp_secret'), now()), now());
CREATE TABLE public.brokers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, login text);
SELECT register_encrypted_column('public.brokers', 'login') AS context \gset
INSERT INTO public.brokers (name, login) SELECT 'broker ' || n, encrypt('login ' || n, :'context') FROM generate_series(1, 20) AS n;
CALL rotate_encryption_keys();

INSERT INTO strategies (id, user_id, name, type, description, tags, is_public)
SELECT user_number(1000 + n), user_number(n), 'strategy ' || n, 'manual', 'of user ' || n, '{trend,"two words",NULL}', n % 2 = 0
  FROM generate_series(1, :users) AS n;
INSERT INTO backtests (id, strategy_id, user_id, name, status)
SELECT user_number(2000 + n), user_number(1000 + n), user_number(n), 'filled ' || n, 'running' FROM generate_series(1, :users) AS n;
SELECT complete_backtest(b.id, (SELECT jsonb_agg(jsonb_build_object('profit', (i * 37 % 101) - 48, 'commission', 0.7,
                                                                   'closedAt', timestamptz '2024-01-02 12:00+00' + i * interval '3 hours'))
                                  FROM generate_series(1, 400) AS i))
  FROM backtests AS b;

-- prices of now, by which open trades are judged, and three months of others
INSERT INTO holidays (day, name) VALUES ('2024-12-25', 'Christmas Day');
SELECT create_market_data_partitions('2024-01-01', '2024-04-01'), create_quote_partitions('2024-01-01', '2024-04-01');
CREATE UNLOGGED TABLE public.staging AS
SELECT symbol, '1m' AS timeframe, at AS "timestamp", price AS open, price + 0.001 AS high, price - 0.001 AS low, price + 0.0005 AS close, 100 AS volume
  FROM (SELECT s.symbol, t.at, round(s.base + 0.01 * sin(extract(epoch FROM t.at)::float8 / 7000)::numeric, 5) AS price
          FROM (VALUES ('EURUSD', 1.1), ('GBPUSD', 1.25)) AS s (symbol, base),
               generate_series(timestamptz '2024-01-08 00:00+00', '2024-03-28 00:00+00', interval '10 minutes') AS t (at)
         WHERE is_market_open(t.at)) AS candles;
SELECT inserted, rejected FROM load_candles('public.staging');
DROP TABLE public.staging;
SELECT inserted FROM ingest_candles(ARRAY(SELECT (symbol, '1m', date_trunc('minute', now()), price, price, price, price, 1)::candle
                                            FROM (VALUES ('EURUSD', 1.1), ('GBPUSD', 1.25)) AS v (symbol, price)));
SELECT refresh_candles();
INSERT INTO quotes (symbol, "timestamp", bid, ask)
SELECT 'EURUSD', timestamptz '2024-01-30 00:00+00' + n * interval '97 seconds', 1.1, 1.1002 FROM generate_series(1, 5000) AS n;
INSERT INTO retention_policies ("table", timeframe, keep) VALUES ('market_data', '1m', '50 years'), ('quotes', NULL, '50 years');
INSERT INTO candle_horizons VALUES ('5m', '2020-01-01 00:00+00');

-- no account's day ends while the drill runs
UPDATE accounts SET time_zone = 'UTC', day_cutoff = date_trunc('minute', now() AT TIME ZONE 'UTC' + interval '12 hours')::time;
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value)
SELECT user_number(n), type, type, unit, value
  FROM generate_series(1, :users) AS n,
       (VALUES ('max_position', 'absolute', 20000), ('daily_loss', 'percentage', 50), ('max_leverage', 'absolute', 30)) AS l (type, unit, value);
SELECT count(deposit(user_number(n), 5000, 'wire')), count(withdraw(user_number(n), 100)) FROM generate_series(1, :users) AS n;
INSERT INTO trades (user_id, strategy_id, symbol, type, order_type, quantity, price, commission, status, executed_at, external_id)
SELECT user_number(1 + n % :users), user_number(1001 + n % :users), (ARRAY['EURUSD', 'GBPUSD'])[1 + n % 2], (ARRAY['buy', 'sell'])[1 + n / :users % 2], 'market',
       100 * (1 + n % 7), (ARRAY[1.1, 1.25])[1 + n % 2] + (n % 13) / 10000.0, 0.5, 'executed', clock_timestamp(), 'filled-' || n
  FROM generate_series(1, 2000) AS n;
INSERT INTO trades (user_id, backtest_id, symbol, type, order_type, quantity, price, profit, status, executed_at)
SELECT user_number(1 + n % :users), user_number(2001 + n % :users), 'EURUSD', 'buy', 'market', n, 1.1, n - 200.5, 'executed', timestamptz '2024-01-02 00:00+00' + n * interval '1 hour'
  FROM generate_series(1, 400) AS n;
SELECT status, reason_code FROM try_trade(user_number(1), 'EURUSD', 'buy', 1000000, 1.1);
SELECT set_trading_state(user_number(3), 'reduce_only', 'of the drill');

CALL maintain();
-- the oldest part of the audit trail is kept elsewhere
SELECT seq AS last_seq, chain_hash AS last_hash FROM audit_seals ORDER BY seq OFFSET 9 LIMIT 1 \gset
SELECT remove_exported_audit(:last_seq, :'last_hash');
-- a correction, which is not rolled up yet, and a fault
SELECT updated, rejected FROM ingest_candles('[
    {"symbol": "EURUSD", "timeframe": "1m", "timestamp": "2024-01-08T10:00:00Z", "open": 1.1, "high": 1.3, "low": 1, "close": 1.2, "volume": 7},
    {"symbol": "EURUSD", "timeframe": "1m", "timestamp": "no time"}]');

CREATE PROCEDURE pg_temp.must_have_rows() LANGUAGE plpgsql AS $$
DECLARE
    relation regclass;
    found boolean;
BEGIN
    FOR relation IN SELECT oid FROM pg_class WHERE relnamespace = 'fx'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', relation) INTO found;
        IF NOT found THEN
            RAISE EXCEPTION 'the drill puts no rows into %', relation;
        END IF;
    END LOOP;
END
$$;
CALL pg_temp.must_have_rows();
