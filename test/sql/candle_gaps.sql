--
-- Gaps in open market hours, against the set of minutes that should be there
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SELECT fx.create_market_data_partitions('2024-03-01', '2024-05-01') >= 0 AS made;
BEGIN;
CREATE FUNCTION pg_temp.put(symbol text, timeframe text, VARIADIC at timestamptz[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) SELECT symbol, timeframe, a, 1, 1, 1, 1 FROM unnest(at) AS a
$$;
-- nothing stored: one gap over the weekend of the change of daylight saving time
SELECT * FROM fx.candle_gaps('NONE', '1h', '2024-03-07 00:00+00', '2024-03-12 00:00+00');
SELECT * FROM fx.candle_gaps('NONE', '1h', '2024-03-09 00:00+00', '2024-03-10 21:00+00');
-- Friday's last hour and Sunday's first: one run; alone each is one
SELECT pg_temp.put('GAPS', '1h', VARIADIC ARRAY(SELECT e FROM fx.expected_candles('1h', '2024-03-07', '2024-03-13') AS e
                                                 WHERE e NOT IN ('2024-03-08 21:00+00', '2024-03-10 21:00+00', '2024-03-12 10:00+00', '2024-03-12 11:00+00')));
SELECT * FROM fx.candle_gaps('GAPS', '1h', '2024-03-07', '2024-03-13');
SELECT * FROM fx.candle_gaps('GAPS', '1h', '2024-03-07', '2024-03-10');
SELECT * FROM fx.candle_gaps('GAPS', '1h', '2024-03-12 10:00:00.000001+00', '2024-03-12 11:00:00.000001+00');
SELECT * FROM fx.candle_gaps('gaps', '1h', '2024-03-07', '2024-03-08') ORDER BY 1 LIMIT 1;
-- coarser candles are built from these, so nothing is missing in them
SELECT * FROM fx.candle_gaps('GAPS', '4h', '2024-03-07 02:00+00', '2024-03-13');
SELECT * FROM fx.candle_gaps('GAPS', '1d', '2024-03-06 22:00+00', '2024-03-12 21:00+00');
SELECT * FROM fx.candle_gaps('GAPS', '1d', '2024-03-05', '2024-03-15');
SELECT * FROM fx.candle_gaps('GAPS', '1d', '2024-03-05', '2024-03-15', 'utc');
SELECT * FROM fx.candle_gaps('GAPS', '1w', '2024-02-25', '2024-03-25');
-- a holiday is no gap
INSERT INTO fx.holidays VALUES ('2024-03-13', 'a Wednesday'), ('2024-03-14', 'a Thursday');
SELECT * FROM fx.candle_gaps('GAPS', '1h', '2024-03-12', '2024-03-15');
-- the symbol may be spelled as one likes
SELECT pg_temp.put('EURUSD', '1h', VARIADIC ARRAY(SELECT e FROM fx.expected_candles('1h', '2024-03-05', '2024-03-06') AS e WHERE e <> '2024-03-05 03:00+00'));
SELECT * FROM fx.candle_gaps('eur/usd', '1h', '2024-03-05', '2024-03-06');
-- random holes in the minutes of a fortnight
SELECT pg_temp.put('RANDOM', '1m', VARIADIC ARRAY(SELECT e FROM fx.expected_candles('1m', '2024-03-04', '2024-03-18') AS e
                                                  WHERE ('x' || left(md5(extract(epoch FROM e)::text), 4))::bit(16)::integer % 50 > 2 AND extract(epoch FROM e)::bigint / 60 % 1440 NOT BETWEEN 400 AND 460));
WITH missing AS (
    SELECT m FROM generate_series(timestamptz '2024-03-04 00:00+00', '2024-03-17 23:59+00', '1 minute') AS m
     WHERE fx.is_market_open(m) AND NOT EXISTS (SELECT FROM fx.market_data d WHERE d.symbol = 'RANDOM' AND d.timestamp = m)
), gaps AS (SELECT * FROM fx.candle_gaps('RANDOM', '1m', '2024-03-04', '2024-03-18'))
SELECT (SELECT count(*) FROM missing) = (SELECT sum(g.missing) FROM gaps g) AS all_of_them,
       (SELECT count(*) FROM missing x WHERE NOT EXISTS (SELECT FROM gaps g WHERE x.m >= g.gap_start AND x.m < g.gap_end)) AS outside,
       (SELECT count(*) FROM gaps g WHERE g.missing * interval '1 minute' <> fx.open_market_time(g.gap_start, g.gap_end)) AS not_whole,
       -- no two that touch: there is a candle in the open time between
       (SELECT count(*) FROM gaps g JOIN gaps h ON h.gap_start >= g.gap_end AND fx.open_market_time(g.gap_end, h.gap_start) = interval '0') AS touching,
       (SELECT count(*) > 100 FROM gaps) AS many;
-- what begins while the market is closed: a clock that is off
SELECT pg_temp.put('SHIFTED', '1h', VARIADIC ARRAY(SELECT e + interval '6 hours' FROM fx.expected_candles('1h', '2024-03-06', '2024-03-12') AS e));
SELECT min(timestamp) AS first, max(timestamp) AS last, count(*) AS candles FROM fx.off_market_candles('SHIFTED', '1h');
SELECT * FROM fx.off_market_candles('SHIFTED', '1h', '2024-03-09 02:00+00', '2024-03-09 04:00+00') ORDER BY timestamp;
SELECT count(*) AS none FROM fx.off_market_candles('RANDOM', '1m');
SELECT count(*) AS none FROM fx.off_market_candles(NULL, '1m');
SELECT count(*) AS none FROM fx.off_market_candles('SHIFTED', '1w');
ROLLBACK;
-- what has not ended by now is not missing yet
SELECT coalesce(max(gap_end) <= now(), true) AS ended, count(*) <= 1 AS at_most_one, coalesce(sum(missing) <= 65, true) AS no_more
  FROM fx.candle_gaps('NONE', '1m', now() - interval '65 minutes', now() + interval '65 minutes');
SELECT count(*) AS none FROM fx.candle_gaps('NONE', '1h', now() + interval '1 day', now() + interval '9 days');
SELECT count(*) AS none FROM fx.candle_gaps('NONE', '1h', '2024-03-06', '2024-03-05');
-- errors
SELECT * FROM fx.candle_gaps(NULL, '1h', now(), now());
SELECT * FROM fx.candle_gaps('EURUSD', NULL, now(), now());
SELECT * FROM fx.candle_gaps('EURUSD', '1h', NULL, now());
SELECT * FROM fx.candle_gaps('EURUSD', '1h', now(), NULL);
SELECT * FROM fx.candle_gaps('EURUSD', '1h', now(), now(), NULL);
SELECT * FROM fx.candle_gaps('EURUSD', '1h', '-infinity', now());
SELECT count(*) AS none FROM fx.candle_gaps('EURUSD', '1h', now(), 'infinity');
SELECT * FROM fx.candle_gaps('EURUSD', '3h', now(), now());
SELECT * FROM fx.candle_gaps('EURUSD', '1h', now(), now(), 'london');
SELECT * FROM fx.off_market_candles('EURUSD', '3h');
\set VERBOSITY sqlstate
SELECT * FROM fx.candle_gaps(NULL, '1h', now(), now());
SELECT * FROM fx.candle_gaps('EURUSD', '1h', '-infinity', now());
SELECT * FROM fx.candle_gaps('EURUSD', '3h', now(), now());
RESET timezone;
-- leave nothing to the tests that follow
TRUNCATE fx.market_data, fx.market_data_revisions, fx.candle_rollups, fx.candle_changes, fx.candle_series, fx.holidays;
DO $$
BEGIN
    EXECUTE (SELECT format('DROP TABLE %s', string_agg(partition::text, ', ')) FROM fx.partition_bounds('fx.market_data')
              WHERE upper < date_trunc('month', now(), 'UTC'));
END
$$;
SELECT fx.refresh_candles() >= 0 AS refreshed;
