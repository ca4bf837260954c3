--
-- Five million candles of one minute rolled up to one hour: 28 symbols, a
-- partition a month, as fx.market_data has them but for its indexes.  Included
-- by bench.sql.
--
\echo '==> 5,000,000 candles of 1m to 1h'
SET timezone = 'UTC';
CREATE UNLOGGED TABLE candles (
    symbol varchar(20) NOT NULL, timeframe varchar(10) NOT NULL, "timestamp" timestamptz NOT NULL,
    open_price numeric(18, 8) NOT NULL, high_price numeric(18, 8) NOT NULL, low_price numeric(18, 8) NOT NULL, close_price numeric(18, 8) NOT NULL,
    volume bigint
) PARTITION BY RANGE ("timestamp");
SELECT format('CREATE UNLOGGED TABLE candles_%s PARTITION OF candles FOR VALUES FROM (%L) TO (%L)', to_char(m, 'YYYY_MM'), m, m + interval '1 month')
  FROM generate_series(timestamptz '2024-01-01', '2024-05-01', '1 month') AS m \gexec
-- as they come in: every minute a candle of each symbol
INSERT INTO candles
SELECT 'SYM' || n % 28, '1m', timestamptz '2024-01-01' + n / 28 * interval '1 minute', o,
       o + 0.0003 + n % 7 * 0.0001, o - 0.0002 - n % 5 * 0.0001, o + ((n::bigint * 31) % 9 - 4) * 0.00004, 1 + n % 1000
  FROM (SELECT n, round(1.1 + (n::bigint * 7919) % 1000003 / 10000000.0, 5) AS o FROM generate_series(0, 4999999) AS n) AS g;
-- without them the planner takes the groups for many more than they are, and
-- does not aggregate in parallel workers
CREATE STATISTICS candles_by_hour ON symbol, (date_bin('1 hour', "timestamp", '2000-01-01 00:00+00')) FROM candles;
CREATE STATISTICS candles_by_our_hour ON symbol, (fx.candle_start("timestamp", '1h')) FROM candles;
VACUUM (ANALYZE) candles;

CREATE PROCEDURE measure_candles(mode text) LANGUAGE plpgsql AS $$
DECLARE
    item record;
BEGIN
    FOR item IN SELECT * FROM (VALUES
        ('floor: count(*) by symbol and hour', 'SELECT symbol, fx.candle_start("timestamp", ''1h''), count(*) FROM candles GROUP BY 1, 2'),
        ('sequential scan: count(close_price)', 'SELECT count(close_price) FROM candles'),
        ('fx.candlestick_agg, all outputs', 'SELECT symbol, at, fx.open(k), fx.high(k), fx.low(k), fx.close(k), fx.volume(k)
            FROM (SELECT symbol, fx.candle_start("timestamp", ''1h'') AS at, fx.candlestick_agg("timestamp", open_price, high_price, low_price, close_price, volume) AS k
                    FROM candles GROUP BY 1, 2 OFFSET 0) AS c'),
        ('plain SQL: min and max over arrays', 'SELECT symbol, date_bin(''1 hour'', "timestamp", ''2000-01-01 00:00+00''),
                 (min(ARRAY[extract(epoch FROM "timestamp"), open_price]))[2], max(high_price), min(low_price),
                 (max(ARRAY[extract(epoch FROM "timestamp"), close_price]))[2], sum(volume) FROM candles GROUP BY 1, 2')
    ) AS v (what, statement) LOOP
        INSERT INTO measured VALUES ('candles 1m to 1h', mode, item.what, median_ms(item.statement, 3));
    END LOOP;
END
$$;
SET jit = off;
-- all groups in memory, whichever way they are taken
SET work_mem = '256MB';
SET max_parallel_workers_per_gather = 0;
CALL measure_candles('5M serial');
SET max_parallel_workers_per_gather = 2;
CALL measure_candles('5M parallel');
SET max_parallel_workers_per_gather = 0;
RESET work_mem;
RESET timezone;
DROP TABLE candles;
