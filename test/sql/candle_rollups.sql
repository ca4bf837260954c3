--
-- Roll-ups: whatever is written, candles equal those of the slow oracle, before
-- a refresh, after it, and after part of one
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET jit = off;
SET timezone = 'UTC';
\getenv abs_srcdir PG_ABS_SRCDIR
\set oracle :abs_srcdir '/candle_oracle.sql'
\i :oracle
SELECT fx.create_market_data_partitions('2023-09-01', '2023-12-01') AS partitions;
SELECT fx.refresh_candles() AS of_empty_partitions;

-- One random step: insert, correct, move or delete candles of a few symbols and
-- timeframes around the end of a month that is also the end of daylight
-- saving time in Europe, with and without a subtransaction that is rolled back.
CREATE FUNCTION random_time(tf text) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT candle_oracle.starts(timestamptz '2023-10-26 00:00+00' + floor(random() * 12 * 24 * 60) * interval '1 minute', tf, 'new_york')
$$;
CREATE FUNCTION random_step() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    kind integer := floor(random() * 10);
    sym text := (ARRAY['EURUSD', 'GBPUSD'])[1 + floor(random() * 2)::integer];
    frame text := (ARRAY['1m', '1m', '1m', '5m', '30m', '1h', '4h', '1d', '1w', '1mn'])[1 + floor(random() * 10)::integer];
    at timestamptz := random_time(frame);
    price numeric := round((1 + random())::numeric, 5);
BEGIN
    CASE
    WHEN kind <= 4 THEN
        INSERT INTO fx.market_data AS m (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
        SELECT sym, frame, b.at, price, price + 0.02, price - 0.02, price + 0.01, CASE WHEN random() < 0.9 THEN floor(random() * 100) END
          FROM (SELECT DISTINCT candle_oracle.starts(at + n * interval '1 minute', frame, 'new_york') AS at
                  FROM generate_series(0, 90) AS n WHERE random() < 0.5) AS b
        ON CONFLICT (symbol, timeframe, timestamp) DO UPDATE SET close_price = excluded.close_price, high_price = greatest(m.high_price, excluded.close_price), low_price = least(m.low_price, excluded.close_price);
    WHEN kind = 5 THEN
        UPDATE fx.market_data SET close_price = (open_price + high_price) / 2, volume = volume + 1
         WHERE symbol = sym AND timeframe = frame AND timestamp >= at AND timestamp < at + interval '3 hours';
    WHEN kind = 6 THEN
        DELETE FROM fx.market_data WHERE symbol = sym AND timeframe = frame AND timestamp >= at AND timestamp < at + interval '5 hours';
    WHEN kind = 7 THEN
        UPDATE fx.market_data m SET symbol = 'GBPUSD' WHERE symbol = 'EURUSD' AND timeframe = frame AND timestamp >= at AND timestamp < at + interval '30 minutes'
           AND NOT EXISTS (SELECT FROM fx.market_data o WHERE o.symbol = 'GBPUSD' AND (o.timeframe, o.timestamp) = (m.timeframe, m.timestamp));
    WHEN kind = 8 THEN
        -- noted in the subtransaction, gone with it, written again
        BEGIN
            DELETE FROM fx.market_data WHERE symbol = sym AND timestamp >= at AND timestamp < at + interval '2 days';
            RAISE EXCEPTION USING ERRCODE = 'XX999';
        EXCEPTION WHEN SQLSTATE 'XX999' THEN
            NULL;
        END;
        UPDATE fx.market_data SET volume = 7 WHERE symbol = sym AND timestamp >= at AND timestamp < at + interval '1 hour';
    ELSE
        PERFORM fx.refresh_candles(CASE WHEN random() < 0.5 THEN 2 END);
        UPDATE fx.market_data SET volume = 9 WHERE symbol = sym AND timestamp >= at AND timestamp < at + interval '1 hour';
    END CASE;
    RETURN kind || ' ' || sym || ' ' || frame;
END
$$;
SELECT setseed(0.4) \g /dev/null
DO $$
DECLARE
    wrong bigint;
    did text;
BEGIN
    FOR step IN 1 .. 40 LOOP
        did := random_step();
        SELECT count(*) INTO wrong FROM unnest('{EURUSD,GBPUSD}'::text[]) AS s, candle_oracle.differences(s);
        IF wrong > 0 THEN
            RAISE EXCEPTION 'step % (%): % candles differ', step, did, wrong;
        END IF;
    END LOOP;
END
$$;
-- across transactions
DO $$
DECLARE
    wrong bigint;
    did text;
BEGIN
    FOR step IN 1 .. 20 LOOP
        did := random_step();
        COMMIT;
        SELECT count(*) INTO wrong FROM unnest('{EURUSD,GBPUSD}'::text[]) AS s, candle_oracle.differences(s);
        IF wrong > 0 THEN
            RAISE EXCEPTION 'step % (%): % candles differ', step, did, wrong;
        END IF;
        COMMIT;
    END LOOP;
END
$$;
-- all of it rolled up: the roll-ups themselves are what the oracle says, and reads use them
SELECT fx.refresh_candles() > 0 AS something_to_do, fx.refresh_candles() AS nothing_left;
SELECT count(*) AS noted FROM fx.candle_changes;
SELECT r.timeframe, count(*) > 9 AS many, (SELECT count(*) FROM (
           SELECT r2.symbol::text, r2.timestamp, r2.open_price, r2.high_price, r2.low_price, r2.close_price, r2.volume FROM fx.candle_rollups r2 WHERE r2.timeframe = r.timeframe
           EXCEPT ALL SELECT s, o.* FROM unnest('{EURUSD,GBPUSD}'::text[]) AS s, candle_oracle.candles(s, r.timeframe) AS o) AS d) AS wrong
  FROM fx.candle_rollups r WHERE r.timeframe = '1h' OR true GROUP BY r.timeframe ORDER BY r.timeframe COLLATE "C";
SELECT count(*) AS wrong FROM unnest('{EURUSD,GBPUSD}'::text[]) AS s, candle_oracle.differences(s);
BEGIN;
UPDATE fx.candle_rollups SET close_price = high_price WHERE symbol = 'EURUSD';
SELECT count(*) > 0 AS reads_use_rollups FROM candle_oracle.differences('EURUSD') WHERE tf IN ('1h', '1d', '1w');
ROLLBACK;

-- a refresh writes what is wrong and nothing else
CREATE TABLE before AS SELECT xmin AS version, * FROM fx.candle_rollups;
UPDATE fx.market_data SET close_price = close_price WHERE symbol = 'EURUSD';
SELECT fx.refresh_candles() > 5 AS days, (SELECT count(*) FROM fx.candle_rollups r JOIN before b USING (symbol, timeframe, timestamp) WHERE r.xmin <> b.version) AS rewritten;
DROP TABLE before;

-- straight to a partition; a partition truncated, detached, changed while detached and attached again, dropped
CREATE PROCEDURE pg_temp.compare(what text) LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    after bigint;
BEGIN
    SELECT count(*) INTO before FROM unnest('{EURUSD,GBPUSD}'::text[]) AS s, candle_oracle.differences(s);
    PERFORM fx.refresh_candles();
    SELECT count(*) INTO after FROM unnest('{EURUSD,GBPUSD}'::text[]) AS s, candle_oracle.differences(s);
    RAISE INFO '%: % wrong before the refresh, % after it', what, before, after;
END
$$;
UPDATE fx.market_data_2023_10 SET volume = 12345;
CALL pg_temp.compare('update of a partition');
BEGIN;
TRUNCATE fx.market_data_2023_10;
SELECT count(*) AS wrong_in_the_same_transaction FROM candle_oracle.differences('EURUSD');
ROLLBACK;
SELECT count(*) AS wrong_after_rollback FROM candle_oracle.differences('EURUSD');
CREATE TABLE october AS SELECT * FROM fx.market_data_2023_10;
TRUNCATE fx.market_data_2023_10;
CALL pg_temp.compare('truncation of a partition');
INSERT INTO fx.market_data SELECT * FROM october;
CALL pg_temp.compare('rows put back');
ALTER TABLE fx.market_data DETACH PARTITION fx.market_data_2023_10;
CALL pg_temp.compare('detached');
ALTER TABLE fx.market_data ATTACH PARTITION fx.market_data_2023_10 FOR VALUES FROM ('2023-10-01 00:00+00') TO ('2023-11-01 00:00+00');
CALL pg_temp.compare('attached');
ALTER TABLE fx.market_data DETACH PARTITION fx.market_data_2023_10;
UPDATE fx.market_data_2023_10 SET volume = 54321, symbol = CASE symbol WHEN 'EURUSD' THEN 'NZDUSD' ELSE symbol END;
ALTER TABLE fx.market_data ATTACH PARTITION fx.market_data_2023_10 FOR VALUES FROM ('2023-10-01 00:00+00') TO ('2023-11-01 00:00+00');
SELECT count(*) > 0 AS unknown_symbol_is_read FROM fx.candles('NZDUSD', '1h');
CALL pg_temp.compare('detached, changed, attached');
SELECT count(*) AS wrong FROM candle_oracle.differences('NZDUSD');
DROP TABLE fx.market_data_2023_10;
CALL pg_temp.compare('dropped');
TRUNCATE fx.market_data;
SELECT count(*) AS candles FROM fx.candles('GBPUSD', '1h');
SELECT fx.refresh_candles() > 0 AS refreshed;
SELECT count(*) AS rollups FROM fx.candle_rollups;
-- another order of columns
CREATE TABLE fx.market_data_2023_10 (volume bigint, "timestamp" timestamptz NOT NULL, timeframe varchar(10) NOT NULL, low_price numeric(18,8) NOT NULL, high_price numeric(18,8) NOT NULL,
    open_price numeric(18,8) NOT NULL, symbol varchar(20) NOT NULL, close_price numeric(18,8) NOT NULL, created_at timestamptz, id bigint NOT NULL);
ALTER TABLE fx.market_data_2023_10 ADD CONSTRAINT chk_market_data_timeframe CHECK (timeframe::text IN ('1m', '5m', '15m', '30m', '1h', '4h', '1d', '1w', '1mn'));
DO $$
DECLARE
    item record;
BEGIN
    FOR item IN SELECT conname, pg_get_constraintdef(oid) AS def FROM pg_constraint WHERE conrelid = 'fx.market_data'::regclass AND contype = 'c' AND conname <> 'chk_market_data_timeframe' LOOP
        EXECUTE format('ALTER TABLE fx.market_data_2023_10 ADD CONSTRAINT %I %s', item.conname, item.def);
    END LOOP;
END
$$;
ALTER TABLE fx.market_data ATTACH PARTITION fx.market_data_2023_10 FOR VALUES FROM ('2023-10-01 00:00+00') TO ('2023-11-01 00:00+00');
SELECT fx.refresh_candles();
INSERT INTO fx.market_data SELECT id, symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume, created_at FROM october;
CALL pg_temp.compare('columns in another order');
TRUNCATE fx.market_data;
DROP TABLE fx.market_data_2023_09, fx.market_data_2023_10, fx.market_data_2023_11, october;
SELECT fx.refresh_candles() > 0 AS cleaned;
SELECT count(*) AS rollups FROM fx.candle_rollups;
DROP FUNCTION random_step(), random_time(text);
DROP SCHEMA candle_oracle CASCADE;
