--
-- Reading candles: ranges, days of New York and of UTC, mixed timeframes, filled
-- gaps, the newest, what retention has made final
--
\set SHOW_CONTEXT never
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL timezone = 'UTC';
SET LOCAL search_path = fx, public;
\set ON_ERROR_ROLLBACK on
SELECT create_market_data_partitions('2024-02-01', '2024-05-01') AS partitions;
CREATE FUNCTION pg_temp.add(sym text, frame text, at timestamptz, o numeric, h numeric, l numeric, c numeric, v bigint DEFAULT 1) RETURNS void LANGUAGE sql AS $$
    INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume) VALUES (sym, frame, at, o, h, l, c, v)
$$;
CREATE FUNCTION pg_temp.spread_minutes(sym text, since timestamptz, until timestamptz) RETURNS bigint LANGUAGE sql AS $$
    WITH i AS (
        INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
        SELECT sym, '1m', at, 1 + n * 0.00001, 1.5 + n * 0.00001, 0.5, 1 + (n + 1) * 0.00001, 1
          FROM (SELECT at, row_number() OVER (ORDER BY at) AS n
                  FROM generate_series(since, until - interval '1 minute', '1 minute') AS at WHERE fx.is_market_open(at)) AS m
        RETURNING 1)
    SELECT count(*) FROM i
$$;

-- two weeks over the change of clocks in New York: five days a week, each of 1440 minutes, begun at 17:00
SELECT pg_temp.spread_minutes('EURUSD', '2024-03-03 00:00+00', '2024-03-17 00:00+00') AS minutes;
SELECT "timestamp", to_char(fx_day("timestamp"), 'Dy') AS day, ("timestamp" AT TIME ZONE 'America/New_York')::time AS new_york, open_price, close_price, volume
  FROM candles('EURUSD', '1d', '2024-03-01', '2024-04-01');
SELECT "timestamp", volume FROM candles('EURUSD', '1d', '2024-03-01', '2024-04-01', alignment => 'utc');
SELECT "timestamp", ("timestamp" AT TIME ZONE 'America/New_York')::time AS new_york, volume FROM candles('EURUSD', '4h', '2024-03-07 22:00+00', '2024-03-12 00:00+00');
SELECT "timestamp", open_price, high_price, low_price, close_price, volume FROM candles('EURUSD', '1w');
SELECT "timestamp", volume FROM candles('EURUSD', '1w', alignment => 'utc');
SELECT "timestamp", volume FROM candles('EURUSD', '1mn');
-- the same when rolled up
SELECT refresh_candles() AS days;
SELECT count(*) FILTER (WHERE d.volume = 1440) AS full_days, sum(d.volume) FROM candles('EURUSD', '1d') d;
SELECT count(*) AS hours, sum(volume) FROM candles('EURUSD', '1h');

-- a candle belongs to the range when it begins in it, and is whole then
SELECT "timestamp", volume FROM candles('EURUSD', '5m', '2024-03-04 10:01', '2024-03-04 10:11');
SELECT "timestamp", volume FROM candles('EURUSD', '1h', '2024-03-04 10:01', '2024-03-04 12:00:00.000001');
SELECT "timestamp", volume FROM candles('EURUSD', '1d', '2024-03-04 22:00:00.000001', '2024-03-06 22:00');
SELECT count(*) AS none FROM candles('EURUSD', '1h', '2024-03-05', '2024-03-05');
SELECT count(*) AS backwards FROM candles('EURUSD', '1h', '2024-03-06', '2024-03-05');
SELECT count(*) = (SELECT count(*) FROM candles('EURUSD', '30m')) AS all_of_time FROM candles('EURUSD', '30m', NULL, NULL);
SELECT count(*) AS far FROM candles('EURUSD', '1h', '0001-01-01', '9000-01-01');

-- spellings of the symbol; a symbol of nobody
SELECT s AS spelling, min(c.symbol) AS symbol, count(*) FROM unnest('{EURUSD,EUR/USD,EUR_USD,eurusd,eur-usd}'::text[]) AS s, candles(s, '1d') c GROUP BY s ORDER BY s COLLATE "C";
SELECT count(*) AS none FROM candles('NOBODY', '1h');

-- several timeframes: the finest that has a row in the candle, longer ones from hours, else stored ones as they are
SELECT pg_temp.add('MIXED', '1m', '2024-03-05 10:07', 1.10, 1.11, 1.09, 1.105, 5),
       pg_temp.add('MIXED', '5m', '2024-03-05 10:05', 2, 2, 2, 2, 50), pg_temp.add('MIXED', '5m', '2024-03-05 10:10', 1.2, 1.3, 1.1, 1.25, 7),
       pg_temp.add('MIXED', '1h', '2024-03-05 10:00', 3, 3, 3, 3, 500), pg_temp.add('MIXED', '1h', '2024-03-05 11:00', 1.3, 1.4, 1.2, 1.35, 9),
       pg_temp.add('MIXED', '4h', '2024-03-05 10:00', 4, 4, 4, 4, 5000), pg_temp.add('MIXED', '4h', '2024-03-06 14:00', 1.5, 1.6, 1.4, 1.55, 11),
       pg_temp.add('MIXED', '1d', '2024-03-06 22:00', 6, 6, 6, 6, 13), pg_temp.add('MIXED', '1d', '2024-03-07 22:00', 7, 7, 7, 7, NULL),
       pg_temp.add('MIXED', '1d', '2024-03-12 00:00', 8, 8, 8, 8, 17),
       pg_temp.add('MIXED', '1w', '2024-03-17 21:00', 9, 9, 9, 9, 19), pg_temp.add('MIXED', '1mn', '2024-04-01 00:00', 10, 10, 10, 10, 23) \g /dev/null
SELECT t AS timeframe, c."timestamp", c.open_price::numeric(6,3) AS o, c.high_price::numeric(6,3) AS h, c.low_price::numeric(6,3) AS l, c.close_price::numeric(6,3) AS c, c.volume AS v
  FROM unnest('{1m,5m,15m,1h,4h,1d,1w,1mn}'::text[]) WITH ORDINALITY AS f (t, n), candles('MIXED', t) c ORDER BY f.n, c."timestamp";
SELECT count(*) AS before FROM candles('MIXED', '1d') \gset
SELECT refresh_candles();
SELECT count(*) = :before AS the_same, sum(volume) FROM candles('MIXED', '1d');
SELECT timeframe, source, count(*) FROM candle_rollups WHERE symbol = 'MIXED' GROUP BY 1, 2 ORDER BY 1, 2;

-- filled: not on the weekend, not before the first nor into the future
SELECT pg_temp.add('GAPPY', '1h', '2024-03-08 19:00', 1, 2, 0.5, 1.5), pg_temp.add('GAPPY', '1h', '2024-03-10 23:00', 1.6, 1.7, 1.5, 1.65) \g /dev/null
SELECT "timestamp", open_price, close_price, volume, is_filled FROM candles('GAPPY', '1h', '2024-03-08 18:00', '2024-03-11 01:00', 'previous');
SELECT "timestamp", open_price, close_price, volume, is_filled FROM candles('GAPPY', '1h', '2024-03-08 18:00', '2024-03-11 01:00', fill => 'null');
SELECT "timestamp", close_price, is_filled FROM candles('GAPPY', '1h', '2024-03-08 20:00', '2024-03-10 23:00', 'previous');
SELECT count(*) AS none_known FROM candles('GAPPY', '1h', '2024-03-07', '2024-03-08', 'previous');
SELECT count(*) AS nobody FROM candles('NOBODY', '1h', '2024-03-07', '2024-03-08', 'previous');
SELECT count(*) FILTER (WHERE is_filled) > 1000 AS filled, max("timestamp") <= now() AS not_the_future, min("timestamp") FROM candles('GAPPY', '1h', fill => 'previous');
SELECT "timestamp", close_price, is_filled FROM candles('MIXED', '1d', '2024-03-04 22:00', '2024-03-13 21:00', 'previous');
INSERT INTO holidays (day, name) VALUES ('2024-03-08', 'a day off');
SELECT "timestamp", is_filled FROM candles('MIXED', '1d', '2024-03-04 22:00', '2024-03-12 21:00', 'null');

-- the newest
SELECT * FROM latest_candle('GAPPY', '1h');
SELECT "timestamp", close_price, volume FROM latest_candle('EUR/USD', '1m');
SELECT "timestamp", close_price, volume FROM latest_candle('EURUSD', '1d');
SELECT count(*) AS none FROM latest_candle('NOBODY', '1d');
SELECT count(*) AS too_fine FROM latest_candle('GAPPY', '5m');
SELECT symbol, "timestamp", close_price FROM latest_candles('1m');
SELECT symbol, "timestamp", close_price FROM latest_candles('1h');
SELECT symbol, "timestamp", close_price FROM latest_candles('1mn');
SELECT refresh_candles() > 0 AS refreshed;
SELECT l.symbol, l."timestamp", (l."timestamp", l.close_price) = (SELECT c."timestamp", c.close_price FROM candles(l.symbol, '1w') c ORDER BY c."timestamp" DESC LIMIT 1) AS as_candles_say FROM latest_candles('1w') l;

-- rows that have expired leave their roll-ups
SELECT count(*) AS hours, sum(volume) AS volume FROM candles('EURUSD', '1h') \gset
INSERT INTO candle_horizons VALUES ('1m', '2024-03-10 21:00');
DELETE FROM market_data WHERE symbol = 'EURUSD' AND timeframe = '1m' AND timestamp < '2024-03-10 21:00';
SELECT count(*) = :hours AS all_hours, sum(volume) = :volume AS all_volume, (SELECT sum(c.volume) FROM candles('EURUSD', '1d') c) = :volume AS in_days,
       (SELECT sum(c.volume) FROM candles('EURUSD', '1w', alignment => 'utc') c) = :volume AS in_weeks, (SELECT min(c."timestamp") FROM candles('EURUSD', '5m') c) AS first_5m
  FROM candles('EURUSD', '1h');
SELECT refresh_candles() > 0 AS refreshed;
-- a straggler cannot spoil them, and a correction of what is still there counts
SELECT pg_temp.add('EURUSD', '1m', '2024-03-05 10:00', 9, 9, 9, 9, 9) \g /dev/null
UPDATE market_data SET volume = 1001 WHERE symbol = 'EURUSD' AND timestamp = '2024-03-14 10:00';
SELECT sum(volume) - :volume AS more FROM candles('EURUSD', '1h');
SELECT refresh_candles() AS days;
SELECT sum(volume) - :volume AS more FROM candles('EURUSD', '1h');
SELECT sum(volume) - :volume AS more FROM candles('EURUSD', '1d');
SELECT "timestamp" FROM latest_candle('EURUSD', '1h');

-- errors
SELECT * FROM candles(NULL, '1h');
SELECT * FROM candles('EURUSD', NULL);
SELECT * FROM candles('EURUSD', '1h', fill => NULL);
SELECT * FROM candles('EURUSD', '1h', alignment => NULL);
SELECT * FROM candles('EURUSD', '2h');
SELECT * FROM candles('EURUSD', '1h', fill => 'linear');
SELECT * FROM candles('EURUSD', '1h', alignment => 'tokyo');
SELECT * FROM latest_candle(NULL, '1h');
SELECT * FROM latest_candle('EURUSD', NULL);
SELECT * FROM latest_candle('EURUSD', '1M');
SELECT * FROM latest_candles(NULL);
SELECT * FROM latest_candles('');
SELECT refresh_candles(0);
\set VERBOSITY sqlstate
SELECT * FROM candles(NULL, '1h');
SELECT * FROM candles('EURUSD', '2h');
SELECT * FROM candles('EURUSD', '1h', fill => 'linear');
SELECT * FROM candles('EURUSD', '1h', alignment => 'tokyo');
SELECT * FROM latest_candle(NULL, '1h');
SELECT * FROM latest_candles(NULL);
SELECT refresh_candles(0);
\set VERBOSITY default
\set ON_ERROR_ROLLBACK off
ROLLBACK;
