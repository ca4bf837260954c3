--
-- The newest stored candle by a walk of indexes, against plain SQL
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';
BEGIN;
SELECT fx.create_market_data_partitions('2023-01-01', '2024-04-01') >= 0 AS made;
CREATE FUNCTION pg_temp.differing(timeframe text) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*)
      FROM (SELECT f, row_number() OVER () AS place FROM fx.latest_stored_candles(timeframe) AS f) AS ours
      FULL JOIN (SELECT s, row_number() OVER (ORDER BY s.symbol COLLATE "C") AS place
                   FROM (SELECT DISTINCT ON (m.symbol) m.symbol::text, m.timeframe::text, m.timestamp, m.open_price, m.high_price, m.low_price, m.close_price, m.volume
                           FROM fx.market_data m WHERE m.timeframe = $1 ORDER BY m.symbol, m.timestamp DESC) AS s) AS plain USING (place)
     WHERE f::text IS DISTINCT FROM s::text
$$;
CREATE FUNCTION pg_temp.differing_one(timeframe text) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*)
      FROM unnest(ARRAY['S1', 'S2', 'S3', 'S7', 'S39', 'S4', 'S40', 'S', 'T1', 'none', '']) AS asked (symbol),
           LATERAL (SELECT (SELECT f FROM fx.latest_stored_candle(asked.symbol, timeframe) AS f)::text AS ours,
                           (SELECT s FROM (SELECT m.symbol::text, m.timeframe::text, m.timestamp, m.open_price, m.high_price, m.low_price, m.close_price, m.volume
                                             FROM fx.market_data m WHERE m.symbol = asked.symbol AND m.timeframe = $1 ORDER BY m.timestamp DESC LIMIT 1) AS s)::text AS plain) AS pair
     WHERE ours IS DISTINCT FROM plain
$$;
CREATE FUNCTION pg_temp.check() RETURNS TABLE (timeframe text, differing bigint, one bigint, found bigint) LANGUAGE sql AS $$
    SELECT t.name, pg_temp.differing(t.name), pg_temp.differing_one(t.name), (SELECT count(*) FROM fx.latest_stored_candles(t.name))
      FROM unnest(ARRAY['1m', '1h', '1d', '4h']) WITH ORDINALITY AS t (name, place) ORDER BY t.place
$$;
SELECT * FROM pg_temp.check();
-- 40 symbols that end in different months, some with the volume unknown, and one whose name begins another
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
SELECT 'S' || s, f.timeframe, at, s, s + 2, s - 0.5, s + n % 2, nullif(n % 7, 3)
  FROM generate_series(1, 40) AS s, (VALUES ('1m', '7 minutes'), ('1h', '5 hours')) AS f (timeframe, step),
       LATERAL (SELECT n, timestamptz '2023-01-15 00:00+00' + s % 14 * interval '1 month' + n * f.step::interval AS at FROM generate_series(0, 150) AS n) AS c;
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) VALUES
    ('S', '1h', '2023-02-01 00:00+00', 1e9, 9999999999.99999999, 0.00000001, 0.00000001), ('S39', '1d', '2023-01-02 22:00+00', 1, 1, 1, 1),
    ('S39', '1d', '2024-03-31 21:00+00', 2, 2, 2, 2), ('S39', '1d', '2023-12-31 22:00+00', 3, 3, 3, 3);
SELECT * FROM pg_temp.check();
SELECT * FROM fx.latest_stored_candle('S', '1h');
SELECT symbol FROM fx.latest_stored_candles('1h') LIMIT 4;
-- versions of a row: changed in place, moved in the index, deleted, put back, undone
UPDATE fx.market_data SET close_price = low_price WHERE timestamp > '2023-06-01';
SELECT * FROM pg_temp.check();
UPDATE fx.market_data SET timestamp = timestamp + interval '1 hour' WHERE timeframe = '1h' AND symbol < 'S3' AND extract(day FROM timestamp) > 10;
SELECT * FROM pg_temp.check();
DELETE FROM fx.market_data WHERE symbol > 'S2' AND extract(day FROM timestamp) > 25;
SELECT * FROM pg_temp.check();
SAVEPOINT s;
DELETE FROM fx.market_data WHERE symbol <> 'S5';
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) VALUES ('S1', '1h', '2024-03-30 00:00+00', 1, 1, 1, 1);
SELECT * FROM pg_temp.check();
ROLLBACK TO s;
SELECT * FROM pg_temp.check();
-- columns in another order
ALTER TABLE fx.market_data DETACH PARTITION fx.market_data_2023_05;
CREATE TABLE fx.other_order (close_price numeric(18, 8) NOT NULL, volume bigint DEFAULT 0, gone text, low_price numeric(18, 8) NOT NULL, timestamp timestamptz NOT NULL,
    created_at timestamptz DEFAULT now(), timeframe varchar(10) NOT NULL, high_price numeric(18, 8) NOT NULL, symbol varchar(20) NOT NULL,
    open_price numeric(18, 8) NOT NULL, id bigint NOT NULL DEFAULT nextval('fx.market_data_id_seq'));
ALTER TABLE fx.other_order DROP COLUMN gone;
INSERT INTO fx.other_order (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
SELECT symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume FROM fx.market_data_2023_05;
DO $$
DECLARE
    item record;
BEGIN
    FOR item IN SELECT conname, pg_get_constraintdef(oid) AS def FROM pg_constraint WHERE conrelid = 'fx.market_data'::regclass AND contype = 'c' ORDER BY conname LOOP
        EXECUTE format('ALTER TABLE fx.other_order ADD CONSTRAINT %I %s', item.conname, item.def);
    END LOOP;
END
$$;
SELECT * FROM pg_temp.check();
ALTER TABLE fx.market_data ATTACH PARTITION fx.other_order FOR VALUES FROM ('2023-05-01 00:00+00') TO ('2023-06-01 00:00+00');
SELECT * FROM pg_temp.check();
-- rows beside the months in a partition for the rest
CREATE TABLE fx.the_rest PARTITION OF fx.market_data DEFAULT;
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
SELECT 'S' || s, '1h', at, 7, 7, 7, 7 FROM generate_series(1, 40, 3) AS s, unnest(ARRAY[timestamptz '2019-05-05 00:00+00', '2031-01-01 00:00+00']) AS at WHERE s % 2 = 0 OR at < '2020-01-01';
SELECT * FROM pg_temp.check();
-- one that is partitioned again
CREATE TABLE fx.halves PARTITION OF fx.market_data FOR VALUES FROM ('2033-01-01 00:00+00') TO ('2034-01-01 00:00+00') PARTITION BY LIST (symbol);
CREATE TABLE fx.half_s1 PARTITION OF fx.halves FOR VALUES IN ('S1', 'S2');
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) VALUES ('S2', '1h', '2033-05-05 00:00+00', 8, 8, 8, 8);
SELECT * FROM pg_temp.check();
-- bounds at both ends of time
CREATE TABLE fx.the_past PARTITION OF fx.market_data FOR VALUES FROM (MINVALUE) TO ('2010-01-01 00:00+00');
CREATE TABLE fx.the_future PARTITION OF fx.market_data FOR VALUES FROM ('2040-01-01 00:00+00') TO (MAXVALUE);
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) VALUES
    ('S4', '1h', '2050-05-05 00:00+00', 9, 9, 9, 9), ('T1', '1h', '2001-05-05 00:00+00', 9, 9, 9, 9);
SELECT * FROM pg_temp.check();
-- no index to walk
ALTER TABLE fx.market_data DROP CONSTRAINT idx_market_data_unique;
SELECT count(*) AS indexes FROM pg_index WHERE indrelid = 'fx.market_data_2023_03'::regclass AND indkey::text LIKE '% % %';
SELECT * FROM pg_temp.check();
-- one that runs the other way, and one of part of the rows
CREATE INDEX ON fx.market_data (symbol, timeframe, timestamp DESC);
CREATE INDEX ON fx.market_data (symbol, timeframe, timestamp) WHERE close_price > 1;
SELECT * FROM pg_temp.check();
-- with more columns
CREATE INDEX ON fx.market_data (symbol, timeframe, timestamp, close_price);
SELECT * FROM pg_temp.check();
ROLLBACK;

-- where every read takes a lock that others' writes can conflict with
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
SELECT s, '1h', date_trunc('hour', now()), 1, 1, 1, 1 FROM unnest(ARRAY['AAA', 'BBB']) AS s;
SELECT symbol, timestamp = date_trunc('hour', now()) AS newest FROM fx.latest_stored_candles('1h') ORDER BY symbol;
SELECT count(*) > 0 AS locked FROM pg_locks WHERE mode = 'SIReadLock' AND pid = pg_backend_pid()
   AND relation IN (SELECT indexrelid FROM pg_index WHERE indrelid = to_regclass('fx.market_data_' || to_char(now(), 'YYYY_MM')));
ROLLBACK;

-- who may read what
BEGIN;
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
SELECT s, '1h', date_trunc('hour', now()), 1, 1, 1, 1 FROM unnest(ARRAY['AAA', 'BBB']) AS s;
CREATE ROLE regress_lookup;
GRANT USAGE ON SCHEMA fx TO regress_lookup;
GRANT SELECT ON fx.candle_series, fx.candle_changes TO regress_lookup;
SET LOCAL ROLE regress_lookup;
SAVEPOINT s;
SELECT symbol FROM fx.latest_stored_candles('1h');
ROLLBACK TO s;
SELECT symbol FROM fx.latest_stored_candle('AAA', '1h');
ROLLBACK TO s;
RESET ROLE;
GRANT SELECT (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume) ON fx.market_data TO regress_lookup;
SET LOCAL ROLE regress_lookup;
SELECT symbol FROM fx.latest_stored_candles('1h') ORDER BY symbol;
RESET ROLE;
-- policies hold
ALTER TABLE fx.market_data ENABLE ROW LEVEL SECURITY;
CREATE POLICY one ON fx.market_data TO regress_lookup USING (symbol = 'AAA');
GRANT SELECT ON fx.market_data TO regress_lookup;
SET LOCAL ROLE regress_lookup;
SELECT symbol FROM fx.latest_stored_candles('1h') ORDER BY symbol;
RESET ROLE;
ROLLBACK;
-- NULL in, nothing out; errors
SELECT count(*) FROM fx.latest_stored_candle(NULL, '1h');
SELECT count(*) FROM fx.latest_stored_candles(NULL);
SELECT * FROM fx.latest_stored_candle('EURUSD', '2h');
SELECT * FROM fx.latest_stored_candles('');
SELECT count(*) FROM fx.latest_stored_candle(repeat('x', 1000), '1h');
BEGIN;
ALTER TABLE fx.market_data RENAME COLUMN volume TO traded;
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) VALUES ('AAA', '1h', date_trunc('hour', now()), 1, 1, 1, 1);
SAVEPOINT s;
\set VERBOSITY sqlstate
SELECT * FROM fx.latest_stored_candle('AAA', '1h');
\set VERBOSITY default
ROLLBACK;
BEGIN;
DROP TABLE fx.market_data CASCADE;
SELECT * FROM fx.latest_stored_candle('AAA', '1h');
ROLLBACK;
\set VERBOSITY sqlstate
SELECT * FROM fx.latest_stored_candle('EURUSD', '2h');
RESET timezone;
