-- A database for random statements: users with data, one whose session is the
-- attacker's, and some whose rows nobody may see or change
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION fxplatform CASCADE;
CREATE EXTENSION amcheck;
CREATE EXTENSION file_fdw;
CREATE ROLE fuzz_app LOGIN IN ROLE fx_app;
CREATE ROLE fuzz_user LOGIN IN ROLE fx_user;
CREATE SCHEMA fuzz;
GRANT USAGE ON SCHEMA fuzz TO fuzz_app;

-- tables that functions which take one may be given
CREATE TABLE fuzz.other (id integer, secret text);
INSERT INTO fuzz.other VALUES (1, 'CANARY');
CREATE TABLE fuzz."we""ird ☃" ("a""b" text, "CaSe" jsonb);
CREATE TABLE fuzz.staging (symbol text, timeframe text, "timestamp" text, open text, high text, low text, close text, volume text);
INSERT INTO fuzz.staging SELECT 'EURUSD', '1m', '2024-03-06T' || lpad(n::text, 2, '0') || ':00:00Z', '1.1', '1.2', '1.0', n::text, '5' FROM generate_series(0, 23) AS n;
CREATE TABLE fuzz.staging_odd (s date, tf text, t integer, o jsonb, h text, l text, c text, v text);
GRANT SELECT ON fuzz.staging, fuzz.staging_odd TO fuzz_app;
CREATE SERVER fuzz_files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE fuzz.foreign_table (line text) SERVER fuzz_files OPTIONS (filename '/dev/null');

-- raises an error that no other statement has where a text tells what is hidden
CREATE SCHEMA fuzz_look;
GRANT USAGE ON SCHEMA fuzz_look TO PUBLIC;
CREATE FUNCTION fuzz_look.hidden(shown text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF position('CANARY' IN shown) > 0 THEN
        RAISE EXCEPTION 'hidden data is shown: %', shown USING ERRCODE = 'XXLEK';
    END IF;
    RETURN shown;
END
$$;
CREATE FUNCTION fuzz_look.all(shown text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT shown';

SELECT count(fx.create_market_data_partitions('2024-01-01', '2024-06-01')), count(fx.create_quote_partitions('2024-01-01', '2024-06-01'));
SELECT count(fx.add_standard_holidays(2023, 2025));
INSERT INTO fx.instruments (symbol, base_currency, quote_currency, pip_size, contract_size)
SELECT s, left(s, 3), right(s, 3), CASE right(s, 3) WHEN 'JPY' THEN 0.01 ELSE 0.0001 END, 100000
  FROM unnest('{EURUSD,GBPUSD,USDJPY,EURGBP,XAUUSD}'::text[]) AS s ON CONFLICT DO NOTHING;
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
SELECT s, tf, at, 1.1 + n % 50 * 0.001, 1.16, 1.09, 1.1 + (n + 1) % 50 * 0.001, n
  FROM unnest('{EURUSD,GBPUSD,USDJPY}'::text[]) AS s,
       (VALUES ('15m', interval '15 minutes'), ('1m', interval '7 minutes')) AS f (tf, step),
       generate_series(timestamptz '2024-03-03 22:00+00', '2024-03-08 21:00+00', step) WITH ORDINALITY AS g (at, n);
-- prices of today, by which trades are valued
SELECT fx.create_market_data_partitions((now() - interval '2 days')::date, (now() + interval '2 days')::date) >= 0 AS made;
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
SELECT s, '1m', date_trunc('minute', now()) - n * interval '1 minute', 1.1, 1.2, 1.0, 1.1, n FROM unnest('{EURUSD,GBPUSD,USDJPY}'::text[]) AS s, generate_series(0, 300) AS n;
INSERT INTO fx.quotes (symbol, timestamp, bid, ask)
SELECT 'EURUSD', timestamptz '2024-03-04 10:00+00' + n * interval '13 seconds', 1.1 + n % 20 * 0.0001, 1.1003 + n % 20 * 0.0001 FROM generate_series(1, 2000) AS n;

-- 20 users of the application's, then the attacker, then 3 that nobody names
INSERT INTO fx.users (id, email, username, password_hash, first_name, preferences)
SELECT md5('user' || n)::uuid, 'user' || n || '@example.com', 'user' || n, fx.hash_password('right horse battery 1'),
       CASE WHEN n > 21 THEN 'CANARY' END, jsonb_build_object('accountCurrency', (ARRAY['USD', 'EUR', 'JPY'])[1 + n % 3], 'initialBalance', 10000)
  FROM generate_series(1, 24) AS n;
INSERT INTO fx.strategies (id, user_id, name, description, type, status, config, tags)
SELECT md5('strategy' || n)::uuid, md5('user' || n)::uuid, CASE WHEN n > 21 THEN 'CANARY' ELSE 'mean ' || n END,
       CASE WHEN n > 21 THEN 'CANARY trend' ELSE 'trend eurusd' END, 'manual', 'active', '{"a": 1}', '{trend}'
  FROM generate_series(1, 24) AS n;
INSERT INTO fx.backtests (id, strategy_id, user_id, name, config)
SELECT md5('backtest' || n || '-' || m)::uuid, md5('strategy' || n)::uuid, md5('user' || n)::uuid, CASE WHEN n > 21 THEN 'CANARY' ELSE 'b' END,
       '{"initialBalance": 10000, "startDate": "2024-03-01", "endDate": "2024-03-29"}'
  FROM generate_series(1, 24) AS n, generate_series(1, 5) AS m;
INSERT INTO fx.trades (id, user_id, strategy_id, symbol, type, order_type, quantity, price, commission, status, executed_at, metadata, external_id)
SELECT md5('trade' || n || '-' || m)::uuid, md5('user' || n)::uuid, md5('strategy' || n)::uuid, (ARRAY['EURUSD', 'GBPUSD', 'USDJPY'])[1 + m % 3],
       (ARRAY['buy', 'sell'])[1 + m % 2], 'market', 100 * m, 1.1, 0.5, 'executed', now() - (100 - m) * interval '1 minute',
       CASE WHEN n > 21 THEN '{"note": "CANARY"}'::jsonb ELSE '{}' END, CASE WHEN n > 21 THEN 'CANARY' END
  FROM generate_series(1, 24) AS n, generate_series(1, 20) AS m;
INSERT INTO fx.risk_limits (id, user_id, name, type, limit_type, limit_value)
SELECT md5('limit' || n || type)::uuid, md5('user' || n)::uuid, CASE WHEN n > 21 THEN 'CANARY' ELSE type END, type, kind, value
  FROM generate_series(1, 24) AS n, (VALUES ('max_order_size', 'absolute', 1e6), ('max_position', 'absolute', 1e7), ('daily_loss', 'percentage', 50), ('max_open_trades', 'absolute', 500)) AS l (type, kind, value);
SELECT count(fx.deposit(md5('user' || n)::uuid, 1000, CASE WHEN n > 21 THEN 'CANARY' ELSE 'gift' END)) FROM generate_series(1, 24) AS n;
SELECT count(fx.refresh_candles());

GRANT SELECT ON pg_backend_memory_contexts TO fuzz_app, fuzz_user;
GRANT EXECUTE ON FUNCTION pg_get_backend_memory_contexts() TO fuzz_app, fuzz_user;
ALTER DATABASE :"DBNAME" SET timezone = 'UTC';
