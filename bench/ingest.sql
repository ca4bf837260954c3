--
-- Ingest of candles: COPY into the platform's table, with everything that is
-- kept up to date on the way, against the same table with its unique index
-- only and against a plain table with the indexes of the specification; then
-- 1,000 rows a call against the plain upsert.  Included by bench.sql; :rows is
-- the number of candles copied, two million unless set.
--
\if :{?rows}
\else
    \set rows 2000000
\endif
\echo '==> ingest of candles, COPY of' :rows 'rows'
CREATE UNLOGGED TABLE source AS
SELECT 'SYM' || s AS symbol, '1m' AS timeframe, timestamptz '2024-01-01 00:00+00' + m * interval '1 minute' AS timestamp,
       round(o, 5) AS open_price, round(o + 0.0007, 5) AS high_price, round(o - 0.0008, 5) AS low_price, round(o + 0.0002, 5) AS close_price, (m % 97)::bigint AS volume
  FROM generate_series(0, 9) AS s, generate_series(0, :rows / 10 - 1) AS m, LATERAL (SELECT (1.1 + s + 0.05 * sin(m / 700.0))::numeric AS o) AS p
 ORDER BY s, m;
SELECT set_config('bench.file', current_setting('data_directory') || '/ingest.copy', false) \g /dev/null
DO $$ BEGIN EXECUTE format('COPY source TO %L', current_setting('bench.file')); END $$;
SELECT fx.create_market_data_partitions('2024-01-01', (timestamptz '2024-01-01 00:00+00' + :rows / 10 * interval '1 minute')::date + 1) \g /dev/null

-- the same partitions, the unique index, no trigger and no check
CREATE TABLE bare (LIKE fx.market_data INCLUDING DEFAULTS, PRIMARY KEY (symbol, timeframe, timestamp)) PARTITION BY RANGE (timestamp);
-- that with the checks of the platform
CREATE TABLE checked (LIKE fx.market_data INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (symbol, timeframe, timestamp)) PARTITION BY RANGE (timestamp);
DO $$
DECLARE
    item record;
BEGIN
    FOR item IN SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) AS bounds FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'fx.market_data'::regclass LOOP
        EXECUTE format('CREATE TABLE bare_%s PARTITION OF bare %s', item.relname, item.bounds);
        EXECUTE format('CREATE TABLE checked_%s PARTITION OF checked %s', item.relname, item.bounds);
    END LOOP;
END $$;
-- one table with the six indexes of the specification
CREATE TABLE spec (LIKE fx.market_data INCLUDING DEFAULTS, PRIMARY KEY (id), UNIQUE (symbol, timeframe, timestamp));
CREATE INDEX ON spec (symbol, timeframe);
CREATE INDEX ON spec (timestamp);
CREATE INDEX ON spec (symbol, timestamp);
CREATE INDEX ON spec (symbol, timeframe, timestamp DESC);

CREATE TABLE ingested (what text, part text, rows numeric, ms numeric);
CREATE PROCEDURE copy_into(target text, what text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    begun timestamptz;
    columns CONSTANT text := 'symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume';
    copied bigint;
BEGIN
    EXECUTE format('TRUNCATE %s', target);
    COMMIT;
    CHECKPOINT;
    begun := clock_timestamp();
    EXECUTE format('COPY %s (%s) FROM %L', target, columns, current_setting('bench.file'));
    GET DIAGNOSTICS copied = ROW_COUNT;
    COMMIT;
    INSERT INTO ingested VALUES (coalesce(what, target), 'copy', copied, 1000 * extract(epoch FROM clock_timestamp() - begun));
END $$;
-- each twice, in turn, so that neither has the warmer machine
CALL copy_into('bare'); CALL copy_into('checked'); CALL copy_into('fx.market_data'); CALL copy_into('spec');
ALTER TABLE fx.market_data DISABLE TRIGGER USER;
CALL copy_into('fx.market_data', 'fx.market_data, no trigger'); CALL copy_into('fx.market_data', 'fx.market_data, no trigger');
ALTER TABLE fx.market_data ENABLE TRIGGER USER;
CALL copy_into('fx.market_data'); CALL copy_into('bare'); CALL copy_into('checked');
\echo '==> rows a second of COPY; of_bare and of_spec are ratios of rates'
SELECT what, round(max(rows / ms) * 1000) AS rows_per_s, round(max(rows / ms) / (SELECT max(rows / ms) FROM ingested WHERE what = 'bare'), 2) AS of_bare,
       round(max(rows / ms) / (SELECT max(rows / ms) FROM ingested WHERE what = 'spec'), 2) AS of_spec
  FROM ingested WHERE part = 'copy' GROUP BY what ORDER BY 2 DESC;
DROP TABLE bare, checked, spec;
TRUNCATE fx.market_data, fx.candle_changes, fx.market_data_revisions;

-- 100 batches of 1,000 rows, made ready beforehand in every form
CREATE TABLE batches AS
SELECT n, array_agg((symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)::fx.candle ORDER BY place) AS rows,
       string_agg(format('(%L,%L,%L,%s,%s,%s,%s,%s)', symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume), ',' ORDER BY place) AS list,
       jsonb_agg(jsonb_build_object('symbol', symbol, 'timeframe', timeframe, 'timestamp', timestamp, 'open', open_price, 'high', high_price, 'low', low_price, 'close', close_price, 'volume', volume) ORDER BY place) AS json
  FROM (SELECT row_number() OVER () - 1 AS place, (row_number() OVER () - 1) / 1000 AS n, s.* FROM (SELECT * FROM source LIMIT 100000) AS s) AS s GROUP BY n;
CREATE TABLE corrections AS
SELECT n, array_agg((r.symbol, r.timeframe, r.timestamp, r.open_price, r.high_price + 1, r.low_price, r.close_price + k, r.volume)::fx.candle ORDER BY place) AS rows,
       string_agg(format('(%L,%L,%L,%s,%s,%s,%s,%s)', r.symbol, r.timeframe, r.timestamp, r.open_price, r.high_price + 1, r.low_price, r.close_price + k, r.volume), ',' ORDER BY place) AS list,
       jsonb_agg(jsonb_build_object('symbol', r.symbol, 'timeframe', r.timeframe, 'timestamp', r.timestamp, 'open', r.open_price, 'high', r.high_price + 1, 'low', r.low_price, 'close', r.close_price + k, 'volume', r.volume) ORDER BY place) AS json, k
  FROM batches, (VALUES (0.1), (0.2), (0.3), (0.4)) AS v (k), LATERAL unnest(batches.rows) WITH ORDINALITY AS r (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume, place)
 WHERE n < 50 GROUP BY k, n;
VACUUM (ANALYZE) batches, corrections;

CREATE FUNCTION ingest(how text, batch record) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    columns CONSTANT text := 'symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume';
    conflict CONSTANT text := 'ON CONFLICT (symbol, timeframe, timestamp) DO UPDATE SET open_price = excluded.open_price, high_price = excluded.high_price, low_price = excluded.low_price, close_price = excluded.close_price, volume = excluded.volume';
BEGIN
    CASE how
        WHEN 'plain: INSERT ... VALUES ... ON CONFLICT' THEN EXECUTE format('INSERT INTO fx.market_data (%s) VALUES %s %s', columns, batch.list, conflict);
        WHEN 'plain: INSERT ... SELECT unnest ... ON CONFLICT' THEN EXECUTE format('INSERT INTO fx.market_data (%s) SELECT * FROM unnest($1) AS r (%1$s) %s', columns, conflict) USING batch.rows;
        WHEN 'fx.ingest_candles(fx.candle[])' THEN PERFORM fx.ingest_candles(batch.rows);
        WHEN 'fx.ingest_candles(jsonb)' THEN PERFORM fx.ingest_candles(batch.json);
    END CASE;
END $$;
CREATE PROCEDURE measure_ingest(part text) LANGUAGE plpgsql AS $$
DECLARE
    how text;
    turn integer := 0;
    batch record;
    begun timestamptz;
BEGIN
    FOREACH how IN ARRAY ARRAY['fx.ingest_candles(fx.candle[])', 'plain: INSERT ... VALUES ... ON CONFLICT', 'plain: INSERT ... SELECT unnest ... ON CONFLICT', 'fx.ingest_candles(jsonb)'] LOOP
        TRUNCATE fx.market_data, fx.candle_changes, fx.market_data_revisions;
        COMMIT;
        CHECKPOINT;
        begun := clock_timestamp();
        FOR batch IN SELECT * FROM batches ORDER BY n LOOP
            PERFORM ingest(how, batch);
            COMMIT;
        END LOOP;
        INSERT INTO ingested VALUES (how, part || 'new', 100000, 1000 * extract(epoch FROM clock_timestamp() - begun));
        turn := turn + 1;
        begun := clock_timestamp();
        FOR batch IN SELECT * FROM corrections WHERE k = turn * 0.1 ORDER BY n LOOP
            PERFORM ingest(how, batch);
            COMMIT;
        END LOOP;
        INSERT INTO ingested VALUES (how, part || 'corrected', 50000, 1000 * extract(epoch FROM clock_timestamp() - begun));
    END LOOP;
END $$;
CALL measure_ingest('with triggers, ');
ALTER TABLE fx.market_data DISABLE TRIGGER USER;
CALL measure_ingest('without triggers, ');
ALTER TABLE fx.market_data ENABLE TRIGGER USER;
\echo '==> rows a second of 1,000 rows a call; of_plain is the ratio of rates to the INSERT of VALUES'
SELECT part, what, round(rows / ms * 1000) AS rows_per_s,
       round(rows / ms / (SELECT rows / ms FROM ingested p WHERE p.part = i.part AND p.what LIKE 'plain: INSERT ... VALUES%'), 2) AS of_plain
  FROM ingested i WHERE part <> 'copy' ORDER BY part DESC, 3 DESC;

-- a staging table
TRUNCATE fx.market_data, fx.candle_changes, fx.market_data_revisions, ingested;
ANALYZE source;
CREATE PROCEDURE measure_load(statement text, what text) LANGUAGE plpgsql AS $$
DECLARE
    begun timestamptz;
BEGIN
    TRUNCATE fx.market_data, fx.candle_changes;
    COMMIT;
    CHECKPOINT;
    begun := clock_timestamp();
    EXECUTE statement;
    COMMIT;
    INSERT INTO ingested SELECT what, 'staging', count(*), 1000 * extract(epoch FROM clock_timestamp() - begun) FROM source;
END $$;
CALL measure_load('INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume) SELECT * FROM source ORDER BY symbol, timeframe, timestamp ON CONFLICT (symbol, timeframe, timestamp) DO UPDATE SET open_price = excluded.open_price, high_price = excluded.high_price, low_price = excluded.low_price, close_price = excluded.close_price, volume = excluded.volume', 'plain: INSERT ... SELECT ... ON CONFLICT');
CALL measure_load('SELECT fx.load_candles(''source'')', 'fx.load_candles');
\echo '==> rows a second from a staging table'
SELECT what, round(rows / ms * 1000) AS rows_per_s, round(rows / ms / (SELECT rows / ms FROM ingested WHERE what LIKE 'plain%'), 2) AS of_plain FROM ingested ORDER BY 2;
