--
-- Notes of changed candles: what the trigger refuses, whose rights it needs, one
-- note a transaction, subtransactions, hostile names
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET jit = off;
SET timezone = 'UTC';
SELECT fx.create_market_data_partitions('2023-10-01', '2023-12-01') AS partitions;
\set make_notes 'CREATE VIEW notes AS SELECT symbol, timeframe, day, count(*) FROM fx.candle_changes GROUP BY 1, 2, 3 ORDER BY symbol COLLATE "C", timeframe COLLATE "C", day;'
:make_notes
CREATE PROCEDURE put(symbol text, timeframe text, at text, target text DEFAULT 'fx.market_data') LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO %s AS m (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume) VALUES ($1, $2, $3, 1, 1, 1, 1, 1)
                    ON CONFLICT (symbol, timeframe, timestamp) DO UPDATE SET volume = m.volume + 1', target)
      USING symbol, timeframe, at::timestamptz;
END
$$;

-- as no trigger, or another than for each row after it
\set VERBOSITY sqlstate
SELECT fx.note_candle_change();
CREATE TABLE candle (symbol varchar(20), timeframe varchar(10), "timestamp" timestamptz);
CREATE TRIGGER t BEFORE INSERT ON candle FOR EACH ROW EXECUTE FUNCTION fx.note_candle_change();
INSERT INTO candle VALUES ('A', '1m', '2023-10-25 10:00+00');
DROP TRIGGER t ON candle;
CREATE TRIGGER t AFTER INSERT ON candle EXECUTE FUNCTION fx.note_candle_change();
INSERT INTO candle VALUES ('A', '1m', '2023-10-25 10:00+00');
DROP TRIGGER t ON candle;
CREATE TRIGGER t AFTER TRUNCATE ON candle EXECUTE FUNCTION fx.note_candle_change();
TRUNCATE candle;
DROP TRIGGER t ON candle;
-- a table without its columns, or of other types
CREATE TABLE odd (symbol text, timeframe text);
CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON odd FOR EACH ROW EXECUTE FUNCTION fx.note_candle_change();
INSERT INTO odd VALUES ('A', '1m');
ALTER TABLE odd ADD COLUMN "timestamp" timestamp;
INSERT INTO odd VALUES ('A', '1m');
ALTER TABLE odd ALTER COLUMN "timestamp" TYPE timestamptz, ALTER COLUMN symbol TYPE "char";
INSERT INTO odd VALUES ('A', '1m');
\set VERBOSITY terse
ALTER TABLE odd DROP COLUMN symbol;
INSERT INTO odd VALUES ('1m');
ALTER TABLE odd DROP COLUMN "timestamp", ADD COLUMN symbol text, ADD COLUMN "timestamp" timestamp;
INSERT INTO odd VALUES ('1m');
SELECT count(*) AS notes FROM notes;

-- what is no key of a candle is not noted; columns are found again after they moved
ALTER TABLE odd ALTER COLUMN "timestamp" TYPE timestamptz;
INSERT INTO odd (symbol, timeframe, "timestamp") VALUES (NULL, '1m', '2023-10-25 10:00+00'), ('A', NULL, '2023-10-25 10:00+00'), ('A', '1m', NULL), ('A', '1m', 'infinity'), ('A', '1m', '-infinity');
SELECT count(*) AS notes FROM notes;
INSERT INTO odd (symbol, timeframe, "timestamp") VALUES ('A', '1m', '2023-10-25 20:59+00'), ('A', '1m', '2023-10-25 21:00+00'), ('', '', '2023-10-25 21:00+00');
UPDATE odd SET symbol = 'B' WHERE symbol = 'A' AND "timestamp" = '2023-10-25 20:59+00';
SELECT * FROM notes;
ALTER TABLE odd DROP COLUMN timeframe, ADD COLUMN timeframe varchar;
INSERT INTO odd (symbol, timeframe, "timestamp") VALUES ('A', '5m', '2023-10-26 20:59+00');
SELECT * FROM notes WHERE timeframe = '5m';
-- a longer key than notes have room for is refused, not cut
\set VERBOSITY sqlstate
INSERT INTO odd (symbol, timeframe, "timestamp") VALUES (repeat('x', 21), '1m', '2023-10-25 10:00+00');
INSERT INTO odd (symbol, timeframe, "timestamp") VALUES (repeat('x', 20000), '1m', '2023-10-25 10:00+00');
INSERT INTO odd (symbol, timeframe, "timestamp") VALUES ('A', repeat('x', 300), '2023-10-25 10:00+00');
\set VERBOSITY default
DROP VIEW notes;
ALTER TABLE fx.candle_changes ALTER COLUMN symbol TYPE varchar(400);
:make_notes
INSERT INTO odd (symbol, timeframe, "timestamp") SELECT repeat('x', n), '1m', '2023-10-25 10:00+00' FROM generate_series(79, 82) AS n, generate_series(1, 3);
INSERT INTO odd (symbol, timeframe, "timestamp") SELECT repeat('ü', 40) || n, '1m', '2023-10-25 10:00+00' FROM generate_series(1, 2) AS n, generate_series(1, 3);
SELECT length(symbol) AS characters, octet_length(symbol) AS bytes, count FROM notes WHERE length(symbol) > 20 ORDER BY 2, symbol COLLATE "C";
DELETE FROM fx.candle_changes;
DROP VIEW notes;
ALTER TABLE fx.candle_changes ALTER COLUMN symbol TYPE varchar(20);
:make_notes
DROP TABLE odd, candle;

-- checks of the table
\set VERBOSITY sqlstate
CALL put('A', '1m', 'infinity');
CALL put('A', '1m', '2023-10-25 10:00:30+00');
CALL put('A', '2m', '2023-10-25 10:00+00');
CALL put(NULL, '1m', '2023-10-25 10:00+00');
\set VERBOSITY default
SELECT count(*) AS notes FROM notes;

-- one note a symbol, timeframe and FX day in a transaction, however it is written
BEGIN;
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
SELECT s, f, timestamptz '2023-10-31 00:00+00' + n * interval '1 hour', 1, 1, 1, 1, 1
  FROM unnest('{A,AA}'::text[]) AS s, unnest('{1m,1h}'::text[]) AS f, generate_series(0, 47) AS n ORDER BY n, s, f;
COPY fx.market_data_2023_10 (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) FROM stdin WITH (FORMAT csv);
A,1m,2023-10-31 12:10+00,1,1,1,1
A,5m,2023-10-31 12:10+00,1,1,1,1
A,5m,2023-10-30 20:55+00,1,1,1,1
A,5m,2023-10-30 21:00+00,1,1,1,1
\.
COPY fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) FROM stdin WITH (FORMAT csv);
A,5m,2023-10-31 20:55+00,1,1,1,1
A,5m,2023-10-31 21:00+00,1,1,1,1
A,5m,2023-11-01 21:00+00,1,1,1,1
\.
UPDATE fx.market_data SET volume = 2;
CALL put('A', '1m', '2023-10-31 10:00+00');
MERGE INTO fx.market_data m USING (VALUES ('A'), ('C')) AS v (s) ON m.symbol = v.s AND m.timeframe = '1m' AND m.timestamp = '2023-11-01 10:00+00'
  WHEN MATCHED THEN DELETE
  WHEN NOT MATCHED THEN INSERT (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) VALUES (v.s, '1m', '2023-11-01 10:00+00', 1, 1, 1, 1);
DELETE FROM fx.market_data WHERE timeframe = '1h';
SELECT * FROM notes;
ROLLBACK;
SELECT count(*) AS notes FROM notes;
-- the next transaction notes again
CALL put('A', '1m', '2023-10-31 10:00+00');
CALL put('A', '1m', '2023-10-31 10:00+00');
SELECT * FROM notes;
-- a row that moves to another partition, day and symbol: where it was and where it is
SELECT fx.refresh_candles() > 0 AS cleared;
UPDATE fx.market_data SET symbol = 'B', timestamp = '2023-11-02 10:00+00' WHERE symbol = 'A';
SELECT * FROM notes;
SELECT fx.refresh_candles() > 0 AS cleared;

-- notes go with the subtransaction that made them, and are made anew
BEGIN;
SAVEPOINT a;
CALL put('A', '1m', '2023-10-03 10:00+00');
SAVEPOINT b;
CALL put('A', '1m', '2023-10-04 10:00+00');
RELEASE SAVEPOINT b;
SAVEPOINT c;
CALL put('A', '1m', '2023-10-05 10:00+00');
ROLLBACK TO SAVEPOINT c;
CALL put('A', '1m', '2023-10-05 10:00+00');
SELECT day, count FROM notes WHERE symbol = 'A';
ROLLBACK TO SAVEPOINT a;
SELECT count(*) AS notes FROM notes;
CALL put('A', '1m', '2023-10-05 10:00+00');
CALL put('A', '1m', '2023-10-04 10:00+00');
CALL put('A', '1m', '2023-10-03 10:00+00');
SELECT day, count FROM notes WHERE symbol = 'A';
COMMIT;
SELECT day, count FROM notes WHERE symbol = 'A';
SELECT fx.refresh_candles() > 0 AS cleared;
-- an error in the trigger's own insertion leaves nothing behind
BEGIN;
SAVEPOINT a;
ALTER TABLE fx.candle_changes ADD CONSTRAINT refuse CHECK (symbol <> 'D');
\set VERBOSITY sqlstate
CALL put('D', '1m', '2023-10-03 10:00+00');
\set VERBOSITY default
ROLLBACK TO SAVEPOINT a;
CALL put('D', '1m', '2023-10-03 10:00+00');
COMMIT;
SELECT * FROM notes;
SELECT fx.refresh_candles() > 0 AS cleared;
-- many, some of them rolled back
DO $$
BEGIN
    FOR n IN 1 .. 600 LOOP
        BEGIN
            CALL put('E' || n % 7, '1m', '2023-10-0' || 1 + n % 9 || ' 10:00+00');
            IF n % 3 = 0 THEN
                RAISE division_by_zero;
            END IF;
            IF n % 5 = 0 THEN
                DELETE FROM fx.market_data WHERE symbol = 'E' || n % 7;
            END IF;
        EXCEPTION WHEN division_by_zero THEN
            NULL;
        END;
    END LOOP;
END
$$;
SELECT count(*) AS keys, max(count) AS most,
       (SELECT count(*) FROM (SELECT DISTINCT symbol, fx.fx_day(timestamp) FROM fx.market_data WHERE symbol LIKE 'E%'
                              EXCEPT SELECT symbol, day FROM notes) AS d) AS forgotten
  FROM notes;
SELECT fx.refresh_candles() > 0 AS cleared;
-- after the notes were taken away in the same transaction
BEGIN;
CALL put('A', '1m', '2023-10-03 10:00+00');
SELECT fx.refresh_candles() > 0 AS refreshed;
CALL put('A', '1m', '2023-10-03 10:00+00');
CALL put('A', '1m', '2023-10-03 10:00+00');
SELECT * FROM notes;
SAVEPOINT a;
SELECT fx.refresh_candles() AS days;
CALL put('A', '1m', '2023-10-03 10:00+00');
ROLLBACK TO SAVEPOINT a;
CALL put('A', '1m', '2023-10-03 10:00+00');
SELECT symbol, day FROM notes;
COMMIT;
SELECT fx.refresh_candles() AS days, (SELECT sum(volume) FROM fx.candles('A', '1d')) = (SELECT sum(volume) FROM fx.market_data WHERE symbol = 'A') AS right;

-- planted names are not taken
CREATE TEMPORARY TABLE candle_changes (symbol text, timeframe text, day date);
CREATE TEMPORARY TABLE market_data (symbol text, timeframe text, "timestamp" timestamptz, volume bigint);
CREATE TEMPORARY TABLE candle_rollups (symbol text, timeframe text, "timestamp" timestamptz);
CREATE TABLE public.candle_changes (symbol text, timeframe text, day date);
CREATE FUNCTION public.fx_day(timestamptz) RETURNS date LANGUAGE sql AS 'SELECT date ''1999-01-01''';
CREATE FUNCTION public.equal_to_nothing(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.equal_to_nothing);
SET search_path = pg_temp, public, pg_catalog;
CALL public.put('EURUSD', '1m', '2023-10-03 10:00+00');
SELECT volume FROM fx.candles('EURUSD', '1h');
SELECT fx.refresh_candles();
SELECT volume FROM fx.candles('EUR/USD', '1d');
RESET search_path;
SELECT (SELECT count(*) FROM pg_temp.candle_changes) + (SELECT count(*) FROM public.candle_changes) AS planted;
DROP OPERATOR public.= (text, text);
DROP FUNCTION public.fx_day(timestamptz), public.equal_to_nothing(text, text);
DROP TABLE public.candle_changes, pg_temp.candle_changes, pg_temp.market_data, pg_temp.candle_rollups;

-- whoever may write candles need not, and cannot, write notes
CREATE ROLE regress_candle_writer IN ROLE fx_app;
CREATE ROLE regress_nobody;
GRANT CREATE, USAGE ON SCHEMA public TO regress_candle_writer;
SET ROLE regress_candle_writer;
CALL put('A', '1m', '2023-10-04 10:00+00');
DELETE FROM fx.market_data WHERE symbol = 'A' AND timestamp = '2023-10-04 10:00+00';
SELECT current_user, symbol, day FROM fx.candle_changes;
SELECT fx.refresh_candles() AS days;
\set VERBOSITY sqlstate
INSERT INTO fx.candle_changes (symbol, timeframe, day) VALUES ('A', '1m', '2023-10-04');
DELETE FROM fx.candle_changes;
UPDATE fx.candle_rollups SET volume = 0;
TRUNCATE fx.candle_partitions;
SELECT nextval('fx.candle_changes_id_seq');
SELECT fx.forget_noted_changes();
SELECT fx.know_empty_partitions();
SELECT fx.note_changed_partitions();
SELECT fx.refresh_rollups('A', '1h', '2023-10-01', '2023-11-01', '{}');
-- nor have notes written by a trigger of his own
CREATE TABLE public.mine (symbol text, timeframe text, "timestamp" timestamptz);
CREATE TRIGGER t AFTER INSERT ON public.mine FOR EACH ROW EXECUTE FUNCTION fx.note_candle_change();
RESET ROLE;
SET ROLE regress_nobody;
SELECT fx.refresh_candles();
RESET ROLE;
\set VERBOSITY default
SELECT fx.refresh_candles(0);
-- with the rights of the table's owner, whoever that is
GRANT USAGE ON SCHEMA fx TO regress_nobody;
ALTER TABLE fx.candle_changes OWNER TO regress_nobody;
ALTER TABLE fx.candle_changes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SET ROLE regress_candle_writer;
CALL put('A', '1m', '2023-10-05 10:00+00');
RESET ROLE;
SELECT * FROM notes;
ALTER TABLE fx.candle_changes DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
DO $$ BEGIN EXECUTE format('ALTER TABLE fx.candle_changes OWNER TO %I', current_user); END $$;
CALL put('A', '1m', '2023-10-06 10:00+00');
SELECT * FROM notes;
-- a table of notes made again, under the plan kept of the old one
BEGIN;
ALTER TABLE fx.candle_changes RENAME TO kept_changes;
\set VERBOSITY sqlstate
SAVEPOINT a;
CALL put('A', '1m', '2023-10-09 10:00+00');
ROLLBACK TO SAVEPOINT a;
\set VERBOSITY default
CREATE TABLE fx.candle_changes (LIKE fx.kept_changes INCLUDING DEFAULTS);
CALL put('A', '1m', '2023-10-09 10:00+00');
SELECT * FROM notes;
SELECT symbol, day FROM fx.candle_changes;
ROLLBACK;
REVOKE ALL ON SCHEMA public FROM regress_candle_writer;
REVOKE ALL ON SCHEMA fx FROM regress_nobody;
DROP TABLE public.mine;
DROP ROLE regress_candle_writer, regress_nobody;

DROP VIEW notes;
DROP PROCEDURE put(text, text, text, text);
DELETE FROM fx.market_data;
DROP TABLE fx.market_data_2023_10, fx.market_data_2023_11;
SELECT fx.refresh_candles() > 0 AS cleaned;
DELETE FROM fx.candle_series;
TRUNCATE fx.market_data_revisions;
