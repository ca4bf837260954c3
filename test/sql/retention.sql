--
-- What fx.retention_policies no longer keep goes, and nothing else
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';
BEGIN;
DELETE FROM fx.market_data_revisions;
SET LOCAL search_path = fx, public;

-- policies: one a table and timeframe
INSERT INTO retention_policies VALUES ('market_data', '1m', '60 days'), ('fx.quotes', NULL, '1 day'), ('candle_rollups', '1d', '10 years');
SAVEPOINT s;
\set VERBOSITY sqlstate
INSERT INTO retention_policies VALUES ('fx.market_data', '1m', '1 year');
ROLLBACK TO s;
INSERT INTO retention_policies VALUES ('quotes', NULL, '1 year');
ROLLBACK TO s;
INSERT INTO retention_policies VALUES ('users', NULL, '1 year');
ROLLBACK TO s;
INSERT INTO retention_policies VALUES ('fx_market_data', '1h', '1 year');
ROLLBACK TO s;
INSERT INTO retention_policies VALUES ('market_data', NULL, '1 year');
ROLLBACK TO s;
INSERT INTO retention_policies VALUES ('market_data', '2m', '1 year');
ROLLBACK TO s;
INSERT INTO retention_policies VALUES ('candle_rollups', '5m', '1 year');
ROLLBACK TO s;
INSERT INTO retention_policies VALUES ('market_data_revisions', '1m', '1 year');
ROLLBACK TO s;
INSERT INTO retention_policies VALUES ('market_data_revisions', NULL, '23 hours');
ROLLBACK TO s;
INSERT INTO retention_policies VALUES ('market_data_revisions', NULL, '-1 month');
ROLLBACK TO s;
INSERT INTO retention_policies VALUES ('market_data_revisions', NULL, '1001 years');
ROLLBACK TO s;
INSERT INTO retention_policies VALUES ('market_data_revisions', NULL, NULL);
ROLLBACK TO s;
\set VERBOSITY default
DELETE FROM retention_policies;

-- Months by their distance from this one, so that nothing depends on the day:
-- m(0) is this month, m(-1) the last.
CREATE FUNCTION pg_temp.m(n integer) RETURNS timestamptz LANGUAGE sql AS
    $$SELECT date_trunc('month', now(), 'UTC') + n * interval '1 month'$$;
-- partitions as months, too
CREATE FUNCTION pg_temp.month_of(partition text) RETURNS integer LANGUAGE sql AS
    $$SELECT (extract(year FROM a) * 12 + extract(month FROM a))::integer
        FROM age(to_date(right(partition, 7), 'YYYY_MM') AT TIME ZONE 'UTC', date_trunc('month', now(), 'UTC')) a$$;
CREATE TEMPORARY VIEW plan AS
    SELECT "table", timeframe, pg_temp.month_of(partition) AS month, action, rows FROM fx.retention_plan();
CREATE TEMPORARY VIEW held AS
    SELECT timeframe, pg_temp.month_of(tableoid::regclass::text) AS month, count(*) FROM fx.market_data GROUP BY 1, 2;
CREATE FUNCTION pg_temp.fill(frame text, since integer, until integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
    SELECT s, frame, pg_temp.m(n) + d * interval '1 day' + interval '12 hours', 1.1, 1.2, 1.0, 1.15, d
      FROM unnest(ARRAY['AUDCAD', 'EURUSD', 'ZARJPY']) s, generate_series(since, until) n, generate_series(1, 20) d
$$;
SELECT create_market_data_partitions(pg_temp.m(-12)::date, pg_temp.m(1)::date) > 0 AS months;

-- nothing expires unless said
SELECT pg_temp.fill('1m', -12, -1), pg_temp.fill('1h', -8, -1);
SELECT * FROM retention_plan();
SELECT * FROM apply_retention();

-- 1m expires, 1h stays: whole months where there is no 1h, rows where there is.
-- The cutoff lies in month -4 or -3, whose 1m rows may be gone in part.
INSERT INTO retention_policies VALUES ('market_data', '1m', now() - (pg_temp.m(-3) + interval '3 days'));
SELECT * FROM plan WHERE month < -3 ORDER BY month;
SELECT count(*) FROM plan WHERE month > -3;
-- the cutoff is the start of an FX day, at most a day before the policy's
SELECT DISTINCT before = fx_day_start(fx_day(before)), before BETWEEN pg_temp.m(-3) + interval '2 days' AND pg_temp.m(-3) + interval '3 days'
  FROM retention_plan() WHERE pg_temp.month_of(partition) = -3;
-- whatever the caller's settings
CREATE TEMPORARY TABLE planned AS SELECT * FROM retention_plan();
SAVEPOINT s;
SET LOCAL timezone = 'Asia/Tokyo';
SET LOCAL datestyle = 'SQL, DMY';
SET LOCAL intervalstyle = 'sql_standard';
SELECT count(*) FROM (TABLE planned EXCEPT SELECT * FROM retention_plan()) d;
ROLLBACK TO s;
-- a dry run changes nothing
CREATE TEMPORARY TABLE before AS SELECT * FROM held;
SELECT count(*), bool_and(outcome = 'planned') FROM apply_retention(dry_run => true);
SELECT count(*) FROM (TABLE before EXCEPT TABLE held) d;
SELECT count(*) FROM candle_horizons;
-- and what it really does is the same; roll-ups are what they were
CREATE TEMPORARY TABLE candles_before AS
    SELECT t, c.* FROM unnest(ARRAY['1h', '4h', '1d']) t, unnest(ARRAY['AUDCAD', 'EURUSD', 'ZARJPY']) s,
           LATERAL fx.candles(s, t, pg_temp.m(-13), pg_temp.m(1)) c;
CREATE TEMPORARY TABLE done AS SELECT * FROM apply_retention();
SELECT "table", timeframe, pg_temp.month_of(partition) AS month, action, rows, outcome FROM done ORDER BY month;
SELECT * FROM plan;
SELECT * FROM held ORDER BY timeframe, month;
SELECT count(*) AS partitions_below FROM fx.partition_bounds('fx.market_data') WHERE upper <= pg_temp.m(-8);
SELECT timeframe, expired_before = (SELECT max(before) FROM done) AS raised FROM candle_horizons;
SELECT refresh_candles() > 0 AS refreshed;
CREATE TEMPORARY VIEW candles_after AS
    SELECT t, c.* FROM unnest(ARRAY['1h', '4h', '1d']) t, unnest(ARRAY['AUDCAD', 'EURUSD', 'ZARJPY']) s,
           LATERAL fx.candles(s, t, pg_temp.m(-13), pg_temp.m(1)) c;
SELECT (SELECT count(*) FROM candles_before) > 1000 AS many,
       (SELECT count(*) FROM (TABLE candles_before EXCEPT TABLE candles_after) d) AS lost,
       (SELECT count(*) FROM (TABLE candles_after EXCEPT TABLE candles_before) d) AS new;
-- a horizon is never lowered
UPDATE retention_policies SET keep = keep + interval '60 days';
INSERT INTO market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
VALUES ('EURUSD', '1m', pg_temp.m(-8) + interval '20 days 12:01', 1, 1, 1, 1);
SELECT count(*), min(outcome) FROM apply_retention();
SELECT timeframe, expired_before = (SELECT max(before) FROM done) AS as_before FROM candle_horizons;

-- both expire: one partition that holds both goes when the longer one has
UPDATE retention_policies SET keep = now() - (pg_temp.m(-3) + interval '3 days');
INSERT INTO retention_policies VALUES ('fx.market_data', '1h', now() - (pg_temp.m(-6) + interval '3 days'));
SELECT * FROM plan ORDER BY month;
SELECT count(*), min(outcome) FROM apply_retention();
SELECT min(month) FROM held;
-- a month whose end no timeframe needs any more, but whose last days still
-- count, waits for the drop: no row is deleted from it
UPDATE retention_policies SET keep = now() - (pg_temp.m(-1) + interval '3 days');
SELECT * FROM plan ORDER BY month;

-- the feed has stopped: its last month stays, though it is past its time
UPDATE retention_policies SET keep = '1 day';
DELETE FROM market_data WHERE timestamp >= pg_temp.m(-2);
SELECT * FROM plan ORDER BY month;
SELECT count(*), min(outcome) FROM apply_retention();
SELECT * FROM held ORDER BY timeframe, month;
-- one of them only
DELETE FROM market_data WHERE timeframe = '1h';
SELECT pg_temp.fill('1h', -1, -1);
SELECT pg_temp.month_of(partition) AS month, action, rows, outcome FROM apply_retention();
SELECT * FROM held ORDER BY timeframe, month;
-- an empty month goes when all that the newer ones hold has expired before its
-- end, and never one that is newer than every row
SELECT create_market_data_partitions(pg_temp.m(-12)::date, pg_temp.m(-9)::date) AS made;
SELECT * FROM plan ORDER BY month;
SAVEPOINT s;
INSERT INTO market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
VALUES ('EURUSD', '1d', pg_temp.m(-1) + interval '1 day', 1, 1, 1, 1);
SELECT * FROM plan ORDER BY month;
DELETE FROM market_data;
SELECT * FROM plan ORDER BY month;
ROLLBACK TO s;
SELECT count(*) FROM apply_retention();

-- ticks go by whole months
SELECT create_quote_partitions(pg_temp.m(-5)::date, pg_temp.m(1)::date) > 0 AS months;
INSERT INTO quotes (symbol, timestamp, bid, ask) SELECT 'EURUSD', pg_temp.m(n) + interval '10 days', 1, 2 FROM generate_series(-4, -1) n;
INSERT INTO retention_policies VALUES ('quotes', NULL, now() - (pg_temp.m(-2) + interval '3 days'));
SELECT * FROM plan ORDER BY month;
UPDATE retention_policies SET keep = '1 day' WHERE "table" = 'quotes';
DELETE FROM quotes WHERE timestamp >= pg_temp.m(-2);
SELECT * FROM plan ORDER BY month;
SELECT "table", pg_temp.month_of(partition) AS month, action, rows, outcome FROM apply_retention() ORDER BY month;
SELECT count(*) FROM quotes;
DELETE FROM quotes;
SELECT * FROM plan ORDER BY month;

-- roll-ups by rows, where somebody wants even those to go; the last month stays
DELETE FROM retention_policies;
DELETE FROM candle_rollups;
DELETE FROM candle_changes;
INSERT INTO candle_rollups SELECT s, f, pg_temp.m(n) + interval '36 hours', 1, 1, 1, 1, 1, '1m'
  FROM unnest(ARRAY['AUDCAD', 'EURUSD']) s, unnest(ARRAY['1h', '1d']) f, generate_series(-6, -2) n;
INSERT INTO retention_policies VALUES ('fx.candle_rollups', '1h', now() - pg_temp.m(-4));
SELECT * FROM plan;
UPDATE retention_policies SET keep = '1 day';
SELECT "table", timeframe, partition, action, rows, outcome FROM apply_retention();
SELECT timeframe, count(*), min(timestamp) >= pg_temp.m(-2) AS newest_only FROM candle_rollups GROUP BY 1 ORDER BY 1;

-- revisions by the time when they were replaced
INSERT INTO market_data_revisions (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, replaced_at)
SELECT 'EURUSD', '1m', pg_temp.m(-9), 1, 1, 1, 1, pg_temp.m(n) + interval '36 hours' FROM generate_series(-6, -1) n;
INSERT INTO retention_policies VALUES ('market_data_revisions', NULL, now() - pg_temp.m(-3));
SELECT * FROM plan;
SELECT "table", timeframe, partition, action, rows, outcome FROM apply_retention();
SELECT count(*), min(replaced_at) >= pg_temp.m(-3) AS newer FROM market_data_revisions;

-- batches: the same rows go whatever their size, and each batch has its place
SELECT create_market_data_partitions(pg_temp.m(-3)::date, pg_temp.m(-2)::date);
DO $$
DECLARE
    size integer;
    gone bigint;
    total bigint;
    batches integer;
    largest bigint;
    place jsonb;
BEGIN
    FOREACH size IN ARRAY ARRAY[1, 7, 20, 59, 60, 1000] LOOP
        DELETE FROM fx.market_data;
        PERFORM pg_temp.fill('1m', -3, -3), pg_temp.fill('5m', -3, -3);
        total := 0; batches := 0; largest := 0; place := '{}';
        WHILE place IS NOT NULL LOOP
            SELECT b.removed, b.next_place INTO gone, place
              FROM fx.expire_batch('market_data', '1m', NULL, pg_temp.m(-3) + interval '11 days', place, size) b;
            total := total + gone; batches := batches + 1; largest := greatest(largest, gone);
        END LOOP;
        RAISE NOTICE '% rows a batch: % of 30 gone in % batches, largest %, % of 60 left of 5m', size, total, batches, largest,
            (SELECT count(*) FROM fx.market_data WHERE timeframe = '5m');
    END LOOP;
END
$$;

-- what is in the way is said, and the rest goes on; a bound that is reached to
-- the second is enough for a drop
DELETE FROM market_data;
DELETE FROM retention_policies;
SELECT create_market_data_partitions(pg_temp.m(-6)::date, pg_temp.m(0)::date) > 0 AS made;
SELECT pg_temp.fill('1m', -5, -1);
INSERT INTO retention_policies VALUES ('market_data', '1m', now() - pg_temp.m(-3));
DO $$
BEGIN
    EXECUTE format('CREATE VIEW fx.in_the_way AS SELECT * FROM fx.market_data_%s', to_char(pg_temp.m(-4) AT TIME ZONE 'UTC', 'YYYY_MM'));
END
$$;
SELECT pg_temp.month_of(partition) AS month, rows, regexp_replace(outcome, '\d{4}_\d\d', 'YYYY_MM') AS outcome FROM apply_retention() ORDER BY month;
SELECT * FROM plan;
DROP VIEW in_the_way;
SET LOCAL lock_timeout = '3s';
SELECT count(*) FROM apply_retention();
SHOW lock_timeout;

-- errors, and who may
SAVEPOINT s;
SELECT * FROM apply_retention(NULL);
ROLLBACK TO s;
-- a regclass need not be that of a relation, nor a relation a table of candles
CREATE TABLE fx."of ""times""" (symbol text, timeframe integer, "timestamp" timestamptz);
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    what text;
    detail text;
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS what = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' / ', SQLSTATE, what, nullif(detail, ''));
END
$$;
SELECT call, pg_temp.try(format('SELECT * FROM fx.' || call, r)) AS answer
  FROM unnest(ARRAY['timeframe_spans(%L)', 'estimated_rows(%L)', $c$partition_expired('market_data', %L, now())$c$]) WITH ORDINALITY AS c (call, n),
       unnest(ARRAY[NULL, '0', '4294967295']) WITH ORDINALITY AS r (r, m) ORDER BY n, m;
SELECT r, pg_temp.try(format('SELECT * FROM fx.timeframe_spans(%L)', r)) AS answer
  FROM unnest(ARRAY['fx.trades', 'fx."of ""times"""', 'fx.idx_market_data_unique', 'fx.partition_health']) AS r;
SELECT pg_temp.try($$SELECT fx.estimated_rows('fx.trades', 'nothing')$$);
ALTER TABLE fx."of ""times""" ALTER COLUMN timeframe TYPE text;
INSERT INTO fx."of ""times""" VALUES ('EURUSD', '1h', '2024-01-02'), ('EURUSD', '1h', '2024-01-03'), ('GBPUSD', '1h', '2024-01-01'), ('GBPUSD', '5m', '2024-01-04');
SELECT * FROM timeframe_spans('fx."of ""times"""') ORDER BY 1;
ROLLBACK TO s;
SET LOCAL ROLE fx_app;
SELECT c AS call, has_function_privilege(c, 'EXECUTE') AS may
  FROM unnest('{fx.timeframe_spans(regclass),"fx.partition_expired(text,regclass,timestamptz)",fx.detach_statements(boolean)}'::text[]) AS c;
ROLLBACK TO s;
\set VERBOSITY sqlstate
SELECT drop_expired_partition('market_data', 'market_data_' || to_char(pg_temp.m(-1) AT TIME ZONE 'UTC', 'YYYY_MM'), pg_temp.m(0));
\set VERBOSITY default
ROLLBACK TO s;
SET LOCAL ROLE fx_app;
SELECT * FROM fx.apply_retention();
ROLLBACK TO s;
SET LOCAL ROLE fx_app;
SELECT count(*) FROM fx.retention_policies;
INSERT INTO fx.retention_policies VALUES ('market_data', '5m', '1 day');
ROLLBACK TO s;
SET LOCAL ROLE fx_user;
SELECT count(*) FROM fx.retention_policies;
ROLLBACK TO s;
SET LOCAL ROLE fx_user;
SELECT "table", months_ahead >= 3 AS ahead, next_missing > now() AS later, rows_outside_policy FROM fx.partition_health ORDER BY 1;
ROLLBACK;
