--
-- Load of a staging table, against fx.ingest_candles of the same rows
--
\set SHOW_CONTEXT never
BEGIN;
SET LOCAL timezone = 'America/New_York';
SET LOCAL datestyle = 'SQL, DMY';
CREATE VIEW stored AS
    SELECT symbol, timeframe, timestamp AT TIME ZONE 'UTC' AS utc, open_price, high_price, low_price, close_price, volume FROM fx.market_data ORDER BY symbol COLLATE "C", timeframe COLLATE "C", timestamp;
-- text as it comes from a file, columns in any order, good rows beside bad ones, repeated keys in the order of the table
CREATE TABLE file (note text, volume text, close text, low text, high text, open text, "timestamp" text, timeframe text, symbol text);
INSERT INTO file (symbol, timeframe, timestamp, open, high, low, close, volume, note) VALUES
    ('EURUSD', 'H1', '2007-01-02T00:00:00Z', '1.1', '1.2', '1.0', '1.15', '7', 'a'),
    ('EUR/USD', '1h', '2007-01-02 02:00:00+02', '1.1', '1.2', '1.0', '1.16', '7', 'corrected'),
    ('eurusd', 'h1', '2007-01-02T00:00:00', '1.1', '1.2', '1.0', '1.160', '7', 'the same'),
    ('EURUSD', 'M15', '2007-01-06T00:15:00Z', '1.1', '1.2', '1.0', '1.15', NULL, 'Saturday'),
    ('EURUSD', 'H1', '2007-01-02T00:30:00Z', '1.1', '1.2', '1.0', '1.15', '7', 'b'),
    ('EURUSD', 'H1', 'yesterday', 'x', 'NaN', '1e400', '', '0.5', NULL),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    ('GBPUSD', 'MN1', '2007-02-01', '1.000000005', '1.1', '1', '1', '0', 'rounded');
CREATE TEMP TABLE before AS SELECT ctid AS c, * FROM file;
SELECT * FROM fx.load_candles('file');
SELECT * FROM stored;
SELECT close_price FROM fx.market_data_revisions ORDER BY id;
SELECT reason, candle FROM fx.market_data_rejects ORDER BY id;
SELECT * FROM fx.load_candles('file');
SELECT count(*) AS staging_changed FROM (SELECT ctid, * FROM file EXCEPT SELECT * FROM before) AS d;
SELECT mode FROM pg_locks WHERE relation = 'file'::regclass AND pid = pg_backend_pid() AND mode = 'ShareLock';
-- typed columns, each in several types; short names; no volume; columns that are dropped
CREATE TEMP TABLE typed (s varchar(10), gone integer, tf char(3), t timestamp, o float8, h real, l integer, c numeric(10,2));
ALTER TABLE typed DROP COLUMN gone;
INSERT INTO typed VALUES ('USDJPY', '1d', '2007-03-04 22:00', 100.25, 101.5, 99, 100.1), ('USDJPY', '1d', 'infinity', 'NaN', 'Infinity', 99, NULL);
SELECT * FROM fx.load_candles('typed');
SELECT * FROM stored WHERE symbol = 'USDJPY';
SELECT reason FROM fx.market_data_rejects ORDER BY id DESC LIMIT 1;
CREATE DOMAIN price AS numeric CHECK (value < 1000);
CREATE VIEW seen AS SELECT 'USDJPY' AS symbol, '1w'::text AS timeframe, date '2007-03-05' AS time, 1.5::price AS open_price, 2::bigint AS high_price, 1::smallint AS low_price, 1 AS close_price, 3::price AS v;
SELECT * FROM fx.load_candles('seen');
SELECT * FROM stored WHERE timeframe = '1w';
CREATE TEMP TABLE none (LIKE typed);
SELECT * FROM fx.load_candles('none');
-- names that need quotes
CREATE SCHEMA "Odd ""schema""";
CREATE TABLE "Odd ""schema"""."My; table" AS TABLE typed LIMIT 1;
SELECT * FROM fx.load_candles('"Odd ""schema"""."My; table"');
-- many rows with repeated keys and faults: what fx.ingest_candles makes of the same
CREATE TABLE many AS
    SELECT n, CASE r[1] % 5 WHEN 0 THEN 'EUR/USD' WHEN 1 THEN 'EURUSD' WHEN 2 THEN 'Straße' ELSE 'S' || r[1] % 9 END AS symbol, (ARRAY['1h', 'H1', '1d', '15m', '2h'])[1 + r[2] % 5] AS timeframe,
           timestamptz '2007-03-31 20:00+00' + r[3] % 40 * interval '30 minutes' AS timestamp, 1 AS o, 2 AS h, 0.5 AS l, CASE WHEN r[4] % 19 = 0 THEN NULL ELSE 1 + (r[5] % 22) * 0.05 END AS c, r[5] % 3 AS v
      FROM generate_series(1, 6000) AS n,
           LATERAL (SELECT ARRAY[hashint4(n) & 65535, hashint4(n * 3) & 65535, hashint4(n * 7) & 65535, hashint4(n * 11) & 65535, hashint4(n * 13) & 65535]) AS l (r)
     ORDER BY n;
DELETE FROM fx.market_data; DELETE FROM fx.market_data_revisions; DELETE FROM fx.market_data_rejects;
SAVEPOINT s;
CREATE TEMP TABLE loaded ON COMMIT DROP AS SELECT * FROM fx.load_candles('many');
SELECT inserted > 100 AS inserted, updated > 100 AS updated, unchanged > 20 AS unchanged, rejected > 100 AS rejected, off_market > 100 AS off_market FROM loaded;
CREATE TEMP TABLE one AS SELECT 'd' AS what, symbol, timeframe, timestamp, close_price, volume FROM fx.market_data UNION ALL SELECT 'r', symbol, timeframe, timestamp, close_price, volume FROM fx.market_data_revisions UNION ALL SELECT reason, candle ->> 'symbol', candle ->> 'timeframe', (candle ->> 'timestamp')::timestamptz, NULL, NULL FROM fx.market_data_rejects;
DELETE FROM fx.market_data; DELETE FROM fx.market_data_revisions; DELETE FROM fx.market_data_rejects;
SELECT i = l AS equal FROM fx.ingest_candles((SELECT array_agg((symbol, timeframe, timestamp, o, h, l, c, v)::fx.candle ORDER BY n) FROM many)) AS i, loaded AS l;
CREATE TEMP TABLE two AS SELECT 'd' AS what, symbol, timeframe, timestamp, close_price, volume FROM fx.market_data UNION ALL SELECT 'r', symbol, timeframe, timestamp, close_price, volume FROM fx.market_data_revisions UNION ALL SELECT reason, candle ->> 'symbol', candle ->> 'timeframe', (candle ->> 'timestamp')::timestamptz, NULL, NULL FROM fx.market_data_rejects;
SELECT count(*) AS differences FROM ((TABLE one EXCEPT ALL TABLE two) UNION ALL (TABLE two EXCEPT ALL TABLE one)) AS d;
ROLLBACK TO s;
-- with the rights of the caller
CREATE TABLE secret AS TABLE typed LIMIT 1;
CREATE TABLE shown AS TABLE typed LIMIT 1;
GRANT SELECT ON shown TO fx_app;
SET LOCAL ROLE fx_app;
SELECT inserted + unchanged AS stored FROM fx.load_candles('shown');
SELECT * FROM fx.load_candles('secret');
ROLLBACK TO s;
SET LOCAL ROLE fx_user;
SELECT * FROM fx.load_candles('typed');
ROLLBACK TO s;
-- errors
SELECT * FROM fx.load_candles(NULL);
ROLLBACK TO s;
CREATE TEMP TABLE bad (symbol text, open text, high text, close text);
SELECT * FROM fx.load_candles('bad');
ROLLBACK TO s;
CREATE TEMP TABLE bad (symbol integer, timeframe text, "timestamp" timestamptz, o text, h text, l text, c text);
SELECT * FROM fx.load_candles('bad');
ROLLBACK TO s;
CREATE TEMP TABLE bad (symbol text, timeframe text, "timestamp" bigint, o text, h text, l text, c text);
SELECT * FROM fx.load_candles('bad');
ROLLBACK TO s;
CREATE TEMP TABLE bad (symbol text, timeframe text, "timestamp" timestamptz, o money, h text, l text, c text);
SELECT * FROM fx.load_candles('bad');
ROLLBACK TO s;
SELECT * FROM fx.load_candles('nothing');
ROLLBACK TO s;
SELECT * FROM fx.load_candles(4294967295);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SELECT * FROM fx.staging_columns(NULL);
ROLLBACK TO s;
SELECT fx.number_or_nan(v) FROM unnest('{1.5, x, NaN, 1e50, -Infinity, 1e-9, NULL}'::text[]) v;
SELECT fx.time_or_infinity(v) = timestamptz '2024-01-02 00:00+00', isfinite(fx.time_or_infinity(v)) FROM unnest('{2024-01-02, 2024-01-02T01:00:00+01:00, now, "", NULL}'::text[]) v;
ROLLBACK;
