--
-- Ingest of candles, against the same rows written one by one
--
\set SHOW_CONTEXT never
BEGIN;
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO';
CREATE VIEW stored AS
    SELECT symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume FROM fx.market_data ORDER BY symbol COLLATE "C", timeframe COLLATE "C", timestamp;
-- nothing
SELECT * FROM fx.ingest_candles('{}'::fx.candle[]);
SELECT * FROM fx.ingest_candles('[]'::jsonb);
-- the three shapes of keys; an untyped literal is JSON; missing months are made
SELECT * FROM fx.ingest_candles('[
    {"symbol": "EURUSD", "timeframe": "1m", "timestamp": "2012-02-29T10:00:00Z", "open_price": 1.1, "high_price": 1.2, "low_price": 1.0, "close_price": 1.15, "volume": 10},
    {"symbol": "EURUSD", "timeFrame": "M5", "timestamp": "2012-02-29 10:05", "openPrice": "1.1", "highPrice": "1.2", "lowPrice": "1.0e0", "closePrice": " 1.15", "extra": [{}]},
    {"s": "EUR/USD", "tf": "h1", "t": "2012-05-02T12:00:00+02:00", "o": 1.1, "h": 1.2, "l": 1.0, "c": 1.15, "v": "12"}]');
SELECT * FROM stored;
SELECT count(*) AS months FROM pg_inherits i JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'fx.market_data'::regclass AND relname LIKE 'market_data_2012%';
-- again: nothing is written
CREATE TEMP TABLE before AS SELECT ctid AS c, created_at FROM fx.market_data_2012_02;
SELECT * FROM fx.ingest_candles('[{"symbol": "EURUSD", "timeframe": "M1", "time": "2012-02-29T10:00:00Z", "open": 1.10, "high": 1.2, "low": 1.0, "close": 1.15, "volume": 10.0}]');
SELECT count(*) AS touched FROM (SELECT ctid, created_at FROM fx.market_data_2012_02 EXCEPT SELECT c, created_at FROM before) AS d;
-- the spelling of the table wins, of others the one listed first
SELECT * FROM fx.ingest_candles('[{"o": 7, "open": 1.12, "open_price": 1.11, "openPrice": 5, "symbol": "EURUSD", "timeframe": "1m", "timestamp": "2012-02-29T10:00:00Z", "high": 1.2, "low": 1.0, "close": 1.15, "volume": 10.0}]');
SELECT open_price FROM fx.market_data WHERE timestamp = '2012-02-29 10:00';
SELECT open_price, close_price, volume FROM fx.market_data_revisions;
-- a batch is as if one by one: the key comes four times
SELECT * FROM fx.ingest_candles(ARRAY[
    ('GBPUSD', '1h', '2024-01-02 01:00', 1, 2, 1, 1.5, 1), ('GBPUSD', '1h', '2024-01-02 00:00', 1, 2, 1, 1.1, NULL), ('GBPUSD', '1h', '2024-01-02 01:00', 1, 2, 1, 1.6, 1),
    ('GBPUSD', '1h', '2024-01-02 01:00', 1, 2, 1, 1.6, 1.000), ('gbp_usd', 'H1', '2024-01-02 01:00', 1, 2, 1, 1.5, 1)]::fx.candle[]);
SELECT * FROM stored WHERE symbol = 'GBPUSD';
SELECT close_price, created_at < replaced_at AS held FROM fx.market_data_revisions WHERE symbol = 'GBPUSD' ORDER BY id;
-- more than eight decimals are rounded as the column rounds, and checked after that
SELECT * FROM fx.ingest_candles(ARRAY[('ROUND', '1h', '2024-01-02', 1.000000005, 1.000000014, 1.000000015, 1.0000000149, 1)]::fx.candle[]);
SELECT open_price, high_price, low_price, close_price FROM stored WHERE symbol = 'ROUND';
SELECT reason FROM fx.market_data_rejects;
SELECT * FROM fx.ingest_candles(ARRAY[('ROUND', '1h', '2024-01-02', 1.000000005, 1.000000025, 1.0000000049, 1.0000000149, 1)]::fx.candle[]);
SELECT open_price, high_price, low_price, close_price FROM stored WHERE symbol = 'ROUND';
-- the largest
SELECT * FROM fx.ingest_candles(ARRAY[('12345678901234567890', '1mn', '2024-01-01', 9999999999.99999999, 9999999999.99999999, 0.00000001, 0.00000001, 9223372036854775807)]::fx.candle[]);
SELECT * FROM stored WHERE symbol LIKE '1234%';
-- names of timeframes
SELECT n, fx.timeframe_named(n) FROM unnest('{1m,5m,15m,30m,1h,4h,1d,1w,1mn,M1,m5,M15,M30,H1,h4,D1,W1,MN1,mn1,Mn1,1M,1H,1MN,2m,M2,"",MN,M10}'::text[]) n;
-- off the market: from Friday to Sunday 17:00 in New York, summer and winter
SELECT * FROM fx.ingest_candles(ARRAY(SELECT ('OFF', '1h', at, 1, 1, 1, 1, 0)::fx.candle FROM unnest('{2024-01-05 21:00,2024-01-05 22:00,2024-01-06 12:00,2024-01-07 21:00,2024-01-07 22:00,2024-07-05 20:00,2024-07-05 21:00,2024-07-07 20:00,2024-07-07 21:00}'::timestamptz[]) at));
SELECT * FROM fx.ingest_candles(ARRAY[('OFF', '1w', '2024-01-06', 1, 1, 1, 1, 0), ('OFF', '1mn', '2024-06-01', 1, 1, 1, 1, 0), ('OFF', '1d', '2024-01-06', 1, 1, 1, 1, 0)]::fx.candle[]);
-- a partition made by hand under another name is found
CREATE TABLE by_hand (LIKE fx.market_data INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE fx.market_data ATTACH PARTITION by_hand FOR VALUES FROM ('2011-01-01 00:00+00') TO ('2011-07-01 00:00+00');
SELECT fx.has_partition('fx.market_data', at) FROM unnest('{2010-12-31 23:59:59.999999,2011-01-01,2011-06-30 23:59:59.999999,2011-07-01,infinity,-infinity,NULL}'::timestamptz[]) at;
SELECT * FROM fx.ingest_candles(ARRAY[('HAND', '1m', '2011-06-30 23:59', 1, 1, 1, 1, 0), ('HAND', '1m', '2011-07-01 00:00', 1, 1, 1, 1, 0)]::fx.candle[]);
SELECT tableoid::regclass, timestamp FROM fx.market_data WHERE symbol = 'HAND' ORDER BY 2;
-- arrays of more dimensions, and of slices
SELECT * FROM fx.ingest_candles(ARRAY[[('DIM', '1h', '2024-01-02', 1, 1, 1, 1, 0)], [('DIM', '1h', '2024-01-02 01:00', 1, 1, 1, 1, 0)]]::fx.candle[]);
-- random batches with many repeated keys and faults, in both forms, against one row at a time
CREATE TABLE slow (symbol text, timeframe text, "timestamp" timestamptz, open_price numeric(18,8), high_price numeric(18,8), low_price numeric(18,8), close_price numeric(18,8), volume bigint, PRIMARY KEY (symbol, timeframe, timestamp));
CREATE TABLE versions (symbol text, "timestamp" timestamptz, close_price numeric(18,8));
CREATE FUNCTION slow_ingest(rows fx.candle[], OUT i int, OUT u int, OUT s int, OUT x int) LANGUAGE plpgsql AS $$
DECLARE c fx.candle; old slow; n text;
BEGIN
    i := 0; u := 0; s := 0; x := 0;
    FOREACH c IN ARRAY rows LOOP
        IF c.close_price IS NULL OR c.timeframe <> '1h' OR c.close_price > c.high_price OR c."timestamp" IS NULL THEN x := x + 1; CONTINUE; END IF;
        n := CASE WHEN c.symbol IN ('EUR/USD', 'eurusd') THEN 'EURUSD' ELSE c.symbol END;
        SELECT * INTO old FROM slow WHERE (symbol, timeframe, timestamp) = (n, c.timeframe, c."timestamp");
        IF NOT FOUND THEN INSERT INTO slow VALUES (n, c.timeframe, c."timestamp", c.open_price, c.high_price, c.low_price, c.close_price, c.volume); i := i + 1;
        ELSIF old.close_price = c.close_price THEN s := s + 1;
        ELSE
            INSERT INTO versions VALUES (n, c."timestamp", old.close_price);
            UPDATE slow SET close_price = c.close_price WHERE (symbol, timeframe, timestamp) = (n, c.timeframe, c."timestamp"); u := u + 1;
        END IF;
    END LOOP;
END $$;
DELETE FROM fx.market_data; DELETE FROM fx.market_data_revisions; DELETE FROM fx.market_data_rejects;
CREATE TABLE batches AS
    SELECT b, array_agg((CASE r[1] % 6 WHEN 0 THEN 'EUR/USD' WHEN 1 THEN 'eurusd' WHEN 2 THEN 'EURUSD' WHEN 3 THEN 'Straße' ELSE 'S' || r[1] % 9 END, CASE WHEN r[2] % 23 = 0 THEN '2h' ELSE '1h' END,
                         timestamptz '2024-01-31 20:00' + r[3] % 8 * interval '1 hour', 1, 2, 0.5, CASE WHEN r[4] % 19 = 0 THEN NULL ELSE 1 + (r[5] % 22) * 0.05 END, 3)::fx.candle ORDER BY n) AS rows
      FROM generate_series(1, 40) AS b, generate_series(1, 100) AS n,
           LATERAL (SELECT ARRAY[hashint4(b * 1000 + n) & 65535, hashint4(b * 2000 + n * 3) & 65535, hashint4(b * 3000 + n * 7) & 65535, hashint4(b * 5000 + n * 11) & 65535, hashint4(b * 7000 + n * 13) & 65535]) AS l (r)
     GROUP BY b;
CREATE TABLE results (b integer, inserted bigint, updated bigint, unchanged bigint, rejected bigint, off_market bigint, i int, u int, s int, x int);
DO $$
DECLARE batch record;
BEGIN
    FOR batch IN SELECT * FROM batches ORDER BY b LOOP
        IF batch.b % 2 = 0 THEN
            INSERT INTO results SELECT batch.b, f.*, s.* FROM fx.ingest_candles(batch.rows) AS f, slow_ingest(batch.rows) AS s;
        ELSE
            INSERT INTO results SELECT batch.b, f.*, s.* FROM fx.ingest_candles(to_jsonb(batch.rows)) AS f, slow_ingest(batch.rows) AS s;
        END IF;
    END LOOP;
END $$;
SELECT count(*) AS batches, count(*) FILTER (WHERE (inserted, updated, unchanged, rejected) <> (i, u, s, x)) AS wrong, min(updated) > 0 AND max(unchanged) > 0 AND min(rejected) > 0 AND max(inserted) > 0 AS all_kinds FROM results;
SELECT count(*) FROM ((SELECT * FROM stored EXCEPT ALL SELECT * FROM slow) UNION ALL (SELECT * FROM slow EXCEPT ALL SELECT * FROM stored)) AS d;
SELECT count(*) FROM ((SELECT symbol, timestamp, close_price FROM fx.market_data_revisions EXCEPT ALL SELECT * FROM versions) UNION ALL (SELECT * FROM versions EXCEPT ALL SELECT symbol, timestamp, close_price FROM fx.market_data_revisions)) AS d;
SELECT (SELECT sum(rejected) FROM results) = (SELECT count(*) FROM fx.market_data_rejects) AS kept, (SELECT sum(updated) FROM results) = (SELECT count(*) FROM fx.market_data_revisions) AS revised;
-- with the rights of the application, which cannot make partitions itself
SAVEPOINT s;
SET LOCAL ROLE fx_app;
SELECT * FROM fx.ingest_candles(ARRAY[('APP', '1m', '2010-06-30 23:59', 1, 1, 1, 1, 0), ('APP', '1m', '2010-06-30 23:59:01', 1, 1, 1, 1, 0)]::fx.candle[]);
SELECT relname, relowner = (SELECT relowner FROM pg_class WHERE oid = 'fx.market_data'::regclass) AS of_the_owner FROM pg_class WHERE oid = 'fx.market_data_2010_06'::regclass;
SELECT fx.make_candle_months('{2010-01-31,2010-01-01}'), fx.make_candle_months('{}'), fx.make_candle_months(NULL);
SAVEPOINT t;
SELECT fx.make_candle_months('{1969-12-31}');
ROLLBACK TO t;
SELECT fx.make_candle_months('{2200-01-01}') IS NULL;
ROLLBACK TO t;
SELECT fx.make_candle_months('{NULL}');
ROLLBACK TO t;
SELECT fx.create_market_data_partitions('2010-01-01', '2010-02-01');
ROLLBACK TO s;
SET LOCAL ROLE fx_user;
SELECT * FROM fx.ingest_candles('{}'::fx.candle[]);
ROLLBACK TO s;
SET LOCAL ROLE fx_user;
SELECT * FROM fx.ingest_candles('[]');
ROLLBACK TO s;
SET LOCAL ROLE fx_user;
SELECT fx.make_candle_months('{2010-01-01}');
ROLLBACK TO s;
-- a table in the way of a month; nothing is half done
CREATE TABLE fx.market_data_2009_06 ();
SAVEPOINT t;
SELECT * FROM fx.ingest_candles(ARRAY[('X', '1m', '2009-06-01', 1, 1, 1, 1, 0)]::fx.candle[]);
ROLLBACK TO t;
SELECT count(*) FROM fx.market_data WHERE timestamp < '2010-01-01';
-- under any setting and in the way of temporary tables
CREATE TEMP TABLE market_data (symbol text);
CREATE TEMP TABLE incoming (symbol text);
SET LOCAL search_path = pg_temp, public;
SET LOCAL plpgsql.variable_conflict = 'use_column';
SET LOCAL timezone = 'America/New_York';
SELECT * FROM fx.ingest_candles('[{"s": "PATH", "tf": "H1", "t": "2024-01-03T12:00:00", "o": 1, "h": 1, "l": 1, "c": 1}]');
SELECT timestamp AT TIME ZONE 'UTC' AS utc FROM fx.market_data WHERE symbol = 'PATH';
ROLLBACK;
-- what is rolled back to a savepoint is gone, and can come again in the same session
BEGIN;
SAVEPOINT s;
SELECT * FROM fx.ingest_candles(ARRAY[('X', '1m', '2008-06-01', 1, 1, 1, 1, 0)]::fx.candle[]);
ROLLBACK TO s;
SELECT * FROM fx.ingest_candles(ARRAY[('X', '1m', '2008-06-01', 1, 1, 1, 1, 0)]::fx.candle[]);
SELECT tableoid::regclass FROM fx.market_data WHERE symbol = 'X';
ROLLBACK;
