--
-- What is wrong with a candle is kept with it, and never aborts the batch
--
\set SHOW_CONTEXT never
BEGIN;
SET LOCAL timezone = 'America/New_York';
SET LOCAL datestyle = 'SQL, DMY';
-- each fault of a row, and all of them together
SELECT fx.candle_fault('EURUSD', '1m', '2024-01-02 00:00+00', 1, 2, 0.5, 1.5, 7) IS NULL AS good;
SELECT f, fx.candle_fault(s, tf, t::timestamptz, o, h, l, c, v, '2024-06-01 00:00+00')
  FROM (VALUES
    (1, NULL, '1m', '2024-01-02 00:00+00', 1, 2, 0.5, 1.5, 7),
    (2, '', '1m', '2024-01-02 00:00+00', 1, 2, 0.5, 1.5, 7),
    (3, '123456789012345678901', '1m', '2024-01-02 00:00+00', 1, 2, 0.5, 1.5, 7),
    (4, 'EURUSD', NULL, '2024-01-02 00:00+00', 1, 2, 0.5, 1.5, 7),
    (5, 'EURUSD', '1M', '2024-01-02 00:00+00', 1, 2, 0.5, 1.5, 7),
    (6, 'EURUSD', '1m', NULL, 1, 2, 0.5, 1.5, 7),
    (7, 'EURUSD', '1m', 'infinity', 1, 2, 0.5, 1.5, 7),
    (8, 'EURUSD', '1m', '-infinity', 1, 2, 0.5, 1.5, 7),
    (9, 'EURUSD', '1m', '1969-12-31 23:59+00', 1, 2, 0.5, 1.5, 7),
    (10, 'EURUSD', '1m', '1970-01-01 00:00+00', 1, 2, 0.5, 1.5, 7),
    (11, 'EURUSD', '1m', '2024-06-01 00:00+00', 1, 2, 0.5, 1.5, 7),
    (12, 'EURUSD', '1m', '2024-06-01 00:01+00', 1, 2, 0.5, 1.5, 7),
    (13, 'EURUSD', '1m', '2024-01-02 00:00:00.000001+00', 1, 2, 0.5, 1.5, 7),
    (14, 'EURUSD', '5m', '2024-01-02 00:01+00', 1, 2, 0.5, 1.5, 7),
    (15, 'EURUSD', '15m', '1971-01-02 00:05+00', 1, 2, 0.5, 1.5, 7),
    (16, 'EURUSD', '30m', '2024-01-02 00:15+00', 1, 2, 0.5, 1.5, 7),
    (17, 'EURUSD', '1h', '2024-01-02 00:30+00', 1, 2, 0.5, 1.5, 7),
    (18, 'EURUSD', '1mn', '2024-01-02 00:30+00', 1, 2, 0.5, 1.5, 7),
    (19, 'EURUSD', '1m', '2024-01-02 00:00+00', NULL, 2, 0.5, 1.5, 7),
    (20, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 'NaN', 0.5, 1.5, 7),
    (21, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 2, '-Infinity', 1.5, 7),
    (22, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 2, 0.5, 1e40, 7),
    (23, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 9999999999.999999995, 0.5, 1.5, 7),
    (24, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 2, 0, 1.5, 7),
    (25, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 2, 0.000000004, 1.5, 7),
    (26, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 2, -1, 1.5, 7),
    (27, 'EURUSD', '1m', '2024-01-02 00:00+00', 3, 2, 0.5, 1.5, 7),
    (28, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 2, 0.5, 2.00000001, 7),
    (29, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 2, 1.1, 1.5, 7),
    (30, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 2, 0.5, 0.4, 7),
    (31, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 0.5, 2, 1, 7),
    (32, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 2, 0.5, 1.5, -1),
    (33, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 2, 0.5, 1.5, 0.5),
    (34, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 2, 0.5, 1.5, 9223372036854775808),
    (35, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 2, 0.5, 1.5, 'NaN'),
    (36, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 2, 0.5, 1.5, 1e300),
    (37, 'EURUSD', '1m', '2024-01-02 00:00+00', 1, 2, 0.5, 1.5, NULL),
    (38, 'ÄÖÜäöüßÄÖÜäöüßÄÖÜäöü', '1m', '2024-01-02 00:00+00', 1, 2, 0.5, 1.5, 0),
    (39, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (40, '', 'x', 'infinity', 0, -1, 'NaN', 1e12, -1)) AS v (f, s, tf, t, o, h, l, c, v)
 ORDER BY f;
-- these rules are those of the table: what has no fault goes in, what has one does not
CREATE FUNCTION table_takes(s text, tf text, t timestamptz, o numeric, h numeric, l numeric, c numeric, v bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume) VALUES (s, tf, t, o, h, l, c, v);
    DELETE FROM fx.market_data;
    RETURN true;
EXCEPTION WHEN check_violation OR numeric_value_out_of_range OR not_null_violation OR string_data_right_truncation THEN
    RETURN false;
END $$;
SELECT fx.create_market_data_partitions('1970-01-01', '1970-02-01'), fx.create_market_data_partitions('2024-01-01', '2024-02-01');
WITH cases AS (
    SELECT (ARRAY['1m', '5m', '15m', '30m', '1h', '4h', '1d', '1w', '1mn', '2m', '1M'])[1 + n % 11] AS tf,
           (ARRAY['2024-01-02', '1970-01-02'])[1 + n % 2]::timestamptz + (hashint4(n) & 127) * (ARRAY[interval '1 hour', '1 minute', '5 minutes', '15 minutes', '30 minutes', '1 second'])[1 + (hashint4(n + 7) & 1023) % 6] AS t,
           (ARRAY[1, 2, 3, 0, 0.000000004, 0.000000005, 1.000000004, 10000000000, -1, NULL])[1 + CASE WHEN hashint4(n * 3) & 7 = 0 THEN n % 10 ELSE 0 END] AS o,
           (ARRAY[3, 1.000000004, 'NaN', 9999999999.99999999, 9999999999.999999995])[1 + CASE WHEN hashint4(n * 5) & 7 = 0 THEN n % 5 ELSE 0 END] AS h,
           (ARRAY[1, 0.99999999, 0.999999995, 2, 0, 'NaN'])[1 + CASE WHEN hashint4(n * 7) & 3 = 0 THEN n % 6 ELSE 0 END] AS l,
           (ARRAY[2, 3, 3.000000004, 3.000000005, 1, 0.999999994])[1 + n % 6] AS c,
           (ARRAY[0, 5, -1])[1 + CASE WHEN hashint4(n * 11) & 7 = 0 THEN n % 3 ELSE 0 END] AS v
      FROM generate_series(1, 5000) AS n)
SELECT count(*) FILTER (WHERE takes) BETWEEN 500 AND 4500 AS both_kinds, count(*) FILTER (WHERE takes <> (fault IS NULL)) AS differences
  FROM (SELECT table_takes('EURUSD', tf, t, o, h, l, c, v) AS takes, fx.candle_fault('EURUSD', tf, t, o, h, l, c, v) AS fault FROM cases) AS r;
-- JSON: what is wrong with an element, by its key
CREATE FUNCTION with_key(key text, value jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_array(jsonb_build_object('symbol', 'EURUSD', 'timeframe', '1h', 'timestamp', '2024-01-02T00:00:00Z', 'open', 1, 'high', 2, 'low', 0.5, 'close', 1.5) || jsonb_build_object(key, value))
$$;
CREATE TABLE counted AS
    SELECT v.*, i.* FROM (VALUES
        ('symbol', '1'::jsonb), ('symbol', 'null'), ('symbol', '""'), ('symbol', '["EURUSD"]'), ('symbol', to_jsonb(repeat('x', 100000))), ('symbol', '"\ud83d\ude00\ud83d\ude00"'),
        ('timeframe', '60'), ('timeframe', 'true'), ('timeframe', '"1M"'), ('timeframe', '{}'),
        ('timestamp', '1704153600'), ('timestamp', '"now"'), ('timestamp', '"infinity"'), ('timestamp', '"2024-02-30"'), ('timestamp', '"2024-13-01T00:00:00Z"'), ('timestamp', '"02/01/2024"'), ('timestamp', '""'), ('timestamp', 'null'), ('timestamp', '"2999-01-01"'), ('timestamp', '"1900-01-01"'), ('timestamp', to_jsonb(repeat('2024-01-02', 1000))),
        ('open', '"NaN"'), ('open', '"Infinity"'), ('open', '"-inf"'), ('open', '"1,5"'), ('open', '"1.5 "'), ('open', '"0x1"'), ('open', '"1e400"'), ('open', '"1e-400"'), ('open', '1e130000'), ('open', '1234567890123456789012345678901234567890'), ('open', '"1234567890123456789012345678901234567890"'), ('open', '""'), ('open', '" "'), ('open', 'true'), ('open', 'null'), ('open', '[1]'), ('open', '{"open": 1}'), ('open', to_jsonb(repeat('9', 200000))), ('open', '"1_0"'), ('open', '"٣"'),
        ('open', '-1'), ('close', '3'), ('low', '1.2'), ('high', '0.1'),
        ('volume', 'null'), ('volume', '0.5'), ('volume', '"x"'), ('volume', '-1'), ('volume', '9223372036854775808'), ('volume', '9223372036854775807'), ('volume', '1e3'), ('volume', '1.0')) AS v (key, value), LATERAL fx.ingest_candles(with_key(key, value)) AS i;
SELECT key, left(value::text, 30) AS value, inserted + updated + unchanged AS stored, rejected FROM counted WHERE rejected = 0 ORDER BY key COLLATE "C", counted.value::text COLLATE "C";
SELECT count(*) FROM counted WHERE inserted + updated + unchanged + rejected <> 1;
SELECT key, left(value::text, 30) AS value, reason FROM (SELECT row_number() OVER (ORDER BY id) AS n, reason FROM fx.market_data_rejects) AS r JOIN (SELECT row_number() OVER () AS n, key, value FROM counted WHERE rejected = 1) AS c USING (n) ORDER BY n;
SELECT bool_and(candle = with_key(key, value) -> 0) AS kept_as_it_came
  FROM (SELECT row_number() OVER (ORDER BY id) AS n, candle FROM fx.market_data_rejects) AS r
  JOIN (SELECT row_number() OVER () AS n, key, value FROM counted WHERE rejected = 1) AS c USING (n);
DELETE FROM fx.market_data_rejects;
-- elements that are no objects, empty ones, nested ones
SELECT * FROM fx.ingest_candles('[null, 1, "x", true, [], {}, [[[]]], {"symbol": {"symbol": "EURUSD"}}]');
SELECT reason, candle FROM fx.market_data_rejects ORDER BY id;
SELECT rejected FROM fx.ingest_candles(('[' || repeat('[', 1000) || repeat(']', 1000) || ', ' || repeat('{"open":', 1000) || '1' || repeat('}', 1000) || ']')::jsonb);
-- duplicate keys: the last wins, as in all of jsonb
SELECT inserted, rejected FROM fx.ingest_candles('[{"symbol": 5, "symbol": "DUP", "timeframe": "1h", "timestamp": "2024-01-02", "open": "x", "open": 1, "high": 1, "low": 1, "close": 1}]');
-- good ones beside bad ones
SELECT * FROM fx.ingest_candles('[{}, {"symbol": "OK", "timeframe": "1h", "timestamp": "2024-01-02", "open": 1, "high": 1, "low": 1, "close": 1}, {}]');
DELETE FROM fx.market_data_rejects;
-- composite rows that are faulty are kept as JSON, times in UTC
SELECT rejected FROM fx.ingest_candles(ARRAY[NULL, (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), ('X', '1h', '2024-01-02 00:30+00', 'NaN', 1, 1, 1.5000, 0.5)]::fx.candle[]);
SELECT reason, candle FROM fx.market_data_rejects ORDER BY id;
-- a few minutes from now is not the future, two days are
SELECT inserted, rejected FROM fx.ingest_candles(ARRAY[('NOW', '1h', date_trunc('hour', clock_timestamp()) + interval '2 hours', 1, 1, 1, 1, 0), ('NOW', '1h', date_trunc('hour', clock_timestamp()) + interval '2 days', 1, 1, 1, 1, 0)]::fx.candle[]);
-- errors of the call itself
SAVEPOINT s;
SELECT * FROM fx.ingest_candles(NULL::fx.candle[]);
ROLLBACK TO s;
SELECT * FROM fx.ingest_candles(NULL::jsonb);
ROLLBACK TO s;
SELECT * FROM fx.ingest_candles(NULL::text);
ROLLBACK TO s;
SELECT * FROM fx.ingest_candles('{}'::jsonb);
ROLLBACK TO s;
SELECT * FROM fx.ingest_candles('"x"'::jsonb);
ROLLBACK TO s;
SELECT * FROM fx.ingest_candles('null'::jsonb);
ROLLBACK TO s;
SELECT * FROM fx.ingest_candles('[');
ROLLBACK TO s;
SELECT fx.has_partition('fx.strategies', now());
ROLLBACK TO s;
CREATE TABLE by_list (x integer) PARTITION BY LIST (x);
SELECT fx.has_partition('by_list', now());
ROLLBACK TO s;
CREATE TABLE by_date (x date) PARTITION BY RANGE (x);
SELECT fx.has_partition('by_date', now());
ROLLBACK TO s;
CREATE TABLE empty (x timestamptz) PARTITION BY RANGE (x);
SELECT fx.has_partition('empty', now());
CREATE TABLE rest PARTITION OF empty DEFAULT;
SELECT fx.has_partition('empty', now());
ROLLBACK;

-- the type of the rows is another when the extension is created again
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT rejected FROM fx.ingest_candles(ARRAY[NULL]::fx.candle[]);
SAVEPOINT s;
SET LOCAL fxplatform.create_tables = off;
DROP EXTENSION fxplatform CASCADE;
CREATE EXTENSION fxplatform;
SELECT rejected FROM fx.ingest_candles(ARRAY[NULL]::fx.candle[]);
ROLLBACK TO s;
SELECT rejected FROM fx.ingest_candles(ARRAY[NULL]::fx.candle[]);
SELECT reason, count(*) FROM fx.market_data_rejects GROUP BY 1;
ROLLBACK;
