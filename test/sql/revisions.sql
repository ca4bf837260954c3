--
-- Versions of candles that an update replaced
--
\set SHOW_CONTEXT never
BEGIN;
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO';
SELECT fx.create_market_data_partitions('2024-01-01', '2024-03-01');
CREATE VIEW revision AS
    SELECT symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume, replaced_by,
           created_at = '2020-01-01' AS made_then, replaced_at BETWEEN now() AND clock_timestamp() AS now
      FROM fx.market_data_revisions ORDER BY id;
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume, created_at)
SELECT 'EURUSD', '1h', timestamptz '2024-01-02 00:00+00' + n * interval '1 hour', 1.1, 1.2, 1.0, 1.15, n, '2020-01-01' FROM generate_series(0, 3) AS n;
-- nothing that matters
UPDATE fx.market_data SET close_price = close_price, volume = volume;
UPDATE fx.market_data SET created_at = created_at, id = id + 1000;
UPDATE fx.market_data SET close_price = 1.150 WHERE close_price = 1.15;
SELECT count(*) AS none FROM revision;
-- each column
UPDATE fx.market_data SET open_price = 1.11 WHERE volume = 0;
UPDATE fx.market_data SET high_price = 1.21 WHERE volume = 0;
SET LOCAL app.current_user_id = '00000000-0000-4000-8000-0000000000a1';
UPDATE fx.market_data SET low_price = 0.99 WHERE volume = 0;
UPDATE fx.market_data SET close_price = 1.16 WHERE volume = 0;
UPDATE fx.market_data SET volume = NULL WHERE volume = 0;
SET LOCAL app.current_user_id = '';
UPDATE fx.market_data SET volume = 7 WHERE volume IS NULL;
UPDATE fx.market_data SET symbol = 'GBPUSD' WHERE volume = 7;
UPDATE fx.market_data SET timeframe = '30m' WHERE volume = 7;
UPDATE fx.market_data SET timestamp = '2024-01-03' WHERE volume = 7;
SELECT * FROM revision;
-- several rows of one statement, and a write straight to the partition
DELETE FROM fx.market_data_revisions;
UPDATE fx.market_data_2024_01 SET close_price = 1.01 WHERE symbol = 'EURUSD';
SELECT count(*), bool_and(close_price = 1.15) AS as_before FROM revision;
-- another order of columns
DELETE FROM fx.market_data_revisions;
CREATE TABLE fx.market_data_2024_03 (close_price numeric(18,8) NOT NULL, junk integer, volume bigint DEFAULT 0, low_price numeric(18,8) NOT NULL, high_price numeric(18,8) NOT NULL,
    open_price numeric(18,8) NOT NULL, timestamp timestamptz NOT NULL, timeframe varchar(10) NOT NULL, symbol varchar(20) NOT NULL, created_at timestamptz DEFAULT now(), id bigint NOT NULL DEFAULT 1);
ALTER TABLE fx.market_data_2024_03 DROP COLUMN junk;
INSERT INTO fx.market_data_2024_03 (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume, created_at) VALUES ('USDJPY', '1h', '2024-03-01', 150, 151, 149, 150.5, 3, '2020-01-01');
DO $$
DECLARE item record;
BEGIN
    FOR item IN SELECT conname, pg_get_constraintdef(oid) AS def FROM pg_constraint WHERE conrelid = 'fx.market_data'::regclass AND contype = 'c' LOOP
        EXECUTE format('ALTER TABLE fx.market_data_2024_03 ADD CONSTRAINT %I %s', item.conname, item.def);
    END LOOP;
END $$;
ALTER TABLE fx.market_data ATTACH PARTITION fx.market_data_2024_03 FOR VALUES FROM ('2024-03-01 00:00+00') TO ('2024-04-01 00:00+00');
UPDATE fx.market_data SET volume = volume + 1;
SELECT * FROM revision;
SELECT * FROM fx.ingest_candles(ARRAY[('USDJPY', '1h', '2024-03-01', 150, 151, 149, 150.6, 3), ('USDJPY', '1h', '2024-03-01 01:00', 150, 151, 149, 150.6, 3)]::fx.candle[]);
SELECT * FROM fx.ingest_candles(ARRAY[('USDJPY', '1h', '2024-03-01', 150, 151, 149, 150.6, 3), ('USDJPY', '1h', '2024-03-01 01:00', 150, 151, 149, 150.7, 3)]::fx.candle[]);
SELECT symbol, timestamp, close_price FROM revision WHERE symbol = 'USDJPY';
-- whoever corrects candles cannot write, and so not forge, what they were
SET LOCAL ROLE fx_app;
UPDATE fx.market_data SET volume = 99 WHERE symbol = 'USDJPY';
SELECT current_user, count(*) FROM fx.market_data_revisions WHERE symbol = 'USDJPY';
SAVEPOINT s;
INSERT INTO fx.market_data_revisions SELECT * FROM fx.market_data_revisions;
ROLLBACK TO s;
UPDATE fx.market_data_revisions SET volume = 1;
ROLLBACK TO s;
DELETE FROM fx.market_data_revisions;
ROLLBACK TO s;
CREATE TEMP TABLE market_data_revisions (LIKE fx.market_data_revisions);
SET LOCAL search_path = pg_temp, public;
UPDATE fx.market_data SET volume = 100 WHERE symbol = 'USDJPY';
SELECT (SELECT count(*) FROM pg_temp.market_data_revisions) AS diverted, (SELECT count(*) FROM fx.market_data_revisions WHERE symbol = 'USDJPY') AS kept;
CREATE TEMP TABLE own (LIKE fx.market_data);
ALTER TABLE own ALTER symbol SET NOT NULL;
SAVEPOINT t;
CREATE TRIGGER forge AFTER UPDATE ON own FOR EACH ROW EXECUTE FUNCTION fx.keep_candle_revision();
ROLLBACK;
-- an error on the way restores the user
BEGIN;
SELECT fx.create_market_data_partitions('2024-01-01', '2024-02-01');
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) VALUES ('EURUSD', '1h', '2024-01-02 00:00+00', 1, 1, 1, 1);
ALTER TABLE fx.market_data_revisions ADD CONSTRAINT never CHECK (volume > 5) NOT VALID;
SET LOCAL ROLE fx_app;
SAVEPOINT s;
\set VERBOSITY sqlstate
UPDATE fx.market_data SET volume = 8;
ROLLBACK TO s;
\set VERBOSITY default
SELECT current_user;
ROLLBACK;
-- the table is gone, or the trigger is put where it does not belong
BEGIN;
CREATE TABLE t (LIKE fx.market_data);
INSERT INTO t (id, symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) VALUES (1, 'X', '1h', '2024-01-01', 1, 1, 1, 1);
SAVEPOINT s;
SELECT fx.keep_candle_revision();
ROLLBACK TO s;
CREATE TRIGGER a BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION fx.keep_candle_revision();
UPDATE t SET volume = 1;
ROLLBACK TO s;
CREATE TRIGGER a AFTER UPDATE ON t FOR EACH STATEMENT EXECUTE FUNCTION fx.keep_candle_revision();
UPDATE t SET volume = 1;
ROLLBACK TO s;
CREATE TRIGGER a AFTER INSERT OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION fx.keep_candle_revision();
DELETE FROM t;
ROLLBACK TO s;
CREATE TRIGGER a AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION fx.keep_candle_revision();
UPDATE t SET volume = 1;
SELECT symbol, volume FROM fx.market_data_revisions;
ALTER TABLE t DROP COLUMN close_price;
UPDATE t SET volume = 2;
ROLLBACK TO s;
CREATE TRIGGER a AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION fx.keep_candle_revision();
ALTER TABLE t ALTER volume TYPE numeric;
UPDATE t SET volume = 2;
ROLLBACK TO s;
CREATE TRIGGER a AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION fx.keep_candle_revision();
ALTER TABLE t ALTER symbol TYPE "char";
UPDATE t SET volume = 2;
ROLLBACK TO s;
CREATE TRIGGER a AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION fx.keep_candle_revision();
ALTER TABLE t ALTER created_at TYPE date;
UPDATE t SET volume = 2;
ROLLBACK TO s;
CREATE TRIGGER a AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION fx.keep_candle_revision();
DROP TABLE fx.market_data_revisions;
UPDATE t SET volume = 2;
ROLLBACK;
