--
-- Candles of every time frame begin and end where plain SQL says, without a gap
--
SET timezone = 'UTC';
SELECT name, fx.timeframe_rank(name) AS rank
  FROM unnest(ARRAY['1m', '5m', '15m', '30m', '1h', '4h', '1d', '1w', '1mn']) WITH ORDINALITY AS t (name, n) ORDER BY n;

-- When candles begin, by AT TIME ZONE.  Of a wall clock that comes twice it
-- takes the second, so that 4h is asked an hour earlier: candles begin at 17,
-- 21, 01, 05, 09 and 13, and only 01:00 is such a time, 00:00 is not.
CREATE TEMPORARY TABLE begin_at (timeframe text, alignment text, start timestamptz);
INSERT INTO begin_at
SELECT '4h', 'new_york', (wall - interval '1 hour') AT TIME ZONE 'America/New_York' + interval '1 hour'
  FROM generate_series(timestamp '1994-12-31 17:00', '2025-12-31 17:00', '4 hours') AS wall
UNION ALL
SELECT '1d', 'new_york', (day - interval '7 hours') AT TIME ZONE 'America/New_York'
  FROM generate_series(timestamp '1900-01-01', '2100-01-01', '1 day') AS day
UNION ALL
SELECT '1w', 'new_york', (day - interval '7 hours') AT TIME ZONE 'America/New_York'
  FROM generate_series(timestamp '1900-01-01', '2100-01-01', '1 day') AS day WHERE extract(isodow FROM day) = 1
UNION ALL
SELECT '1mn', 'new_york', (day - interval '7 hours') AT TIME ZONE 'America/New_York'
  FROM generate_series(timestamp '1900-01-01', '2100-01-01', '1 month') AS day
UNION ALL
SELECT timeframe, 'utc', start AT TIME ZONE 'UTC'
  FROM (VALUES ('4h', timestamp '1995-01-01', interval '4 hours'), ('1d', '1900-01-01', '1 day'),
               ('1w', '1900-01-01', '1 week'), ('1mn', '1900-01-01', '1 month')) AS v (timeframe, since, step),
       LATERAL generate_series(since, timestamp '2025-12-31', step) AS start
UNION ALL
-- the short ones: 40 hours around each change of the clock
SELECT timeframe, alignment, start
  FROM (SELECT DISTINCT d AT TIME ZONE 'UTC' AS day
          FROM generate_series(timestamp '1995-01-01', '2025-01-01', '1 day') AS d
         WHERE d AT TIME ZONE 'America/New_York' - (d - interval '1 day') AT TIME ZONE 'America/New_York' <> interval '24 hours') AS changes,
       (VALUES ('1m', interval '1 minute'), ('5m', '5 minutes'), ('15m', '15 minutes'), ('30m', '30 minutes'), ('1h', '1 hour')) AS v (timeframe, step),
       (VALUES ('new_york'), ('utc')) AS a (alignment),
       LATERAL generate_series(day - interval '30 hours', day + interval '10 hours', step) AS start;

CREATE TEMPORARY TABLE candle AS
SELECT *
  FROM (SELECT timeframe, alignment, start, lead(start) OVER (PARTITION BY timeframe, alignment ORDER BY start) AS next FROM begin_at) AS l
 WHERE next IS NOT NULL
   -- the short ones are not there between the changes
   AND (timeframe NOT IN ('1m', '5m', '15m', '30m', '1h') OR next - start <= interval '1 hour');

-- its first moment, its last and one between belong to a candle, whose end is
-- the start of the next one
SELECT timeframe, alignment, count(*) > 300 AS many, min(next - start) AS shortest, max(next - start) AS longest,
       count(*) FILTER (WHERE fx.candle_start(start, timeframe, alignment) <> start
                           OR fx.candle_start(start + (next - start) * 0.37, timeframe, alignment) <> start
                           OR fx.candle_start(next - interval '1 microsecond', timeframe, alignment) <> start
                           OR fx.candle_end(start, timeframe, alignment) <> next
                           OR fx.candle_end(start + (next - start) * 0.61, timeframe, alignment) <> next
                           OR fx.candle_end(next - interval '1 microsecond', timeframe, alignment) <> next) AS wrong
  FROM candle
 GROUP BY timeframe, alignment
 ORDER BY fx.timeframe_rank(timeframe), alignment;
-- in no order of time, and backwards
SELECT count(*) FILTER (WHERE fx.candle_start(next - interval '1 second', timeframe, alignment) <> start) AS wrong
  FROM (SELECT * FROM candle ORDER BY md5(start::text) OFFSET 0) AS c;
SELECT count(*) FILTER (WHERE fx.candle_start(next - interval '1 second', timeframe, alignment) <> start) AS wrong
  FROM (SELECT * FROM candle ORDER BY start DESC OFFSET 0) AS c;
-- every day of 30 years has six candles of 4h, and they fill it
SELECT count(*) FILTER (WHERE candles <> 6 OR since <> fx.fx_day_start(day) OR until <> fx.fx_day_start(day + 1)) AS wrong, count(*) AS days
  FROM (SELECT fx.fx_day(start) AS day, count(*) AS candles, min(start) AS since, max(next) AS until
          FROM candle WHERE timeframe = '4h' AND alignment = 'new_york' GROUP BY 1) AS d;
-- no coarser candle cuts one of 1h in two
SELECT count(*) AS cut FROM candle WHERE timeframe NOT IN ('1m', '5m', '15m', '30m') AND fx.candle_start(start, '1h') <> start;

-- a month that begins on a weekend, and a week over the end of a year
SELECT fx.candle_start(at, '1mn') AS month, fx.candle_end(at, '1mn') AS month_end, fx.candle_start(at, '1w') AS week, fx.candle_end(at, '1w') AS week_end
  FROM (VALUES (timestamptz '2024-06-02 20:59+00'), ('2024-12-31 21:59:59+00'), ('2024-12-31 22:00+00')) AS v (at) ORDER BY at;
-- both 01:30 of the day that has 25 hours, and the day that has 23
SELECT at, fx.candle_start(at, '4h'), fx.candle_end(at, '4h') - fx.candle_start(at, '4h') AS length
  FROM (VALUES (timestamptz '2024-11-03 05:30+00'), ('2024-11-03 06:30+00'), ('2024-03-10 06:30+00'), ('2024-03-10 07:30+00')) AS v (at) ORDER BY at;
-- the session's zone does not matter
SET timezone = 'Australia/Lord_Howe';
SELECT bool_and(fx.candle_start(start, timeframe, alignment) = start) AS same FROM candle WHERE start > '2020-01-01';
SET timezone = 'UTC';

-- far away from today
SELECT timeframe, bool_and(fx.candle_start(at, timeframe, alignment) <= at AND fx.candle_end(at, timeframe, alignment) > at
                           AND fx.candle_start(fx.candle_end(at, timeframe, alignment), timeframe, alignment) = fx.candle_end(at, timeframe, alignment)
                           AND fx.candle_end(fx.candle_start(at, timeframe, alignment), timeframe, alignment) = fx.candle_end(at, timeframe, alignment)) AS holds
  FROM unnest(ARRAY['1m', '5m', '15m', '30m', '1h', '4h', '1d', '1w', '1mn']) AS timeframe, (VALUES ('new_york'), ('utc')) AS a (alignment),
       generate_series(0, 2999) AS n, LATERAL (SELECT timestamptz '4713-06-01 00:00+00 BC' + n * interval '99 years 61 days 03:07:11.123457' AS at) AS t
 GROUP BY timeframe ORDER BY fx.timeframe_rank(timeframe);
SELECT fx.candle_start('infinity', '1d') AS inf, fx.candle_start('-infinity', '1m', 'utc') AS neg, fx.candle_end('infinity', '4h') AS inf_end,
       fx.candle_end('-infinity', '1mn') AS neg_end;
SELECT fx.candle_start(NULL, '1d') IS NULL AND fx.candle_start(now(), NULL) IS NULL AND fx.candle_start(now(), '1d', NULL) IS NULL
   AND fx.candle_end(NULL, '1d') IS NULL AND fx.timeframe_rank(NULL) IS NULL AS nulls;

-- errors
CREATE FUNCTION pg_temp.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    hint text;
BEGIN
    EXECUTE statement INTO result;
    RETURN 'accepted ' || result;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' ', SQLSTATE, SQLERRM, nullif(hint, ''));
END
$$;
SELECT left(name, 16) AS name, pg_temp.refusal(format('SELECT fx.timeframe_rank(%L)', name)) AS answer
  FROM unnest(ARRAY['', '1', 'm', '1M', '1H', 'M1', 'h1', '2m', '2h', '5h', '4d', '4w', '1mo', '1mn ', '15', '151', '45m', '60m', '1x', '3m', '5d',
                    repeat('x', 100), repeat('€', 100)]) WITH ORDINALITY AS v (name, n)
 ORDER BY n;
SELECT left(name, 16) AS name, pg_temp.refusal(format('SELECT fx.candle_start(''2024-01-01'', ''1d'', %L)', name)) AS answer
  FROM unnest(ARRAY['', 'UTC', 'ut', 'utcx', 'New_York', 'new york', 'new_yorkk', 'America/New_York', repeat('€', 100)]) WITH ORDINALITY AS v (name, n)
 ORDER BY n;
SELECT statement, pg_temp.refusal(statement) AS answer
  FROM unnest(ARRAY[
    'SELECT fx.candle_end(''2024-01-01'', ''2d'')', 'SELECT fx.candle_end(''2024-01-01'', ''1m'', ''gmt'')',
    -- unknown for an infinite time too
    'SELECT fx.candle_start(''infinity'', ''2d'')', 'SELECT fx.candle_end(''infinity'', ''1d'', ''gmt'')',
    'SELECT fx.candle_start(''4714-11-24 00:00+00 BC'', ''1m'')', 'SELECT fx.candle_start(''4714-11-24 00:00+00 BC'', ''4h'', ''utc'')',
    'SELECT fx.candle_start(''4714-11-24 00:00+00 BC'', ''4h'')', 'SELECT fx.candle_start(''4714-11-24 00:00+00 BC'', ''1d'')',
    'SELECT fx.candle_start(''4714-11-24 00:00+00 BC'', ''1w'')', 'SELECT fx.candle_start(''4714-11-24 00:00+00 BC'', ''1mn'')',
    'SELECT fx.candle_start(''4714-11-24 00:00+00 BC'', ''1mn'', ''utc'')', 'SELECT fx.candle_end(''294276-12-31 23:59:59+00'', ''1m'')',
    'SELECT fx.candle_end(''294276-12-31 23:59:59+00'', ''4h'')', 'SELECT fx.candle_end(''294276-12-31 23:59:59+00'', ''1d'')',
    'SELECT fx.candle_end(''294276-12-31 23:59:59+00'', ''1w'')', 'SELECT fx.candle_end(''294276-12-31 23:59:59+00'', ''1mn'', ''utc'')',
    'SELECT fx.candle_start(''294276-12-31 23:59:59+00'', ''1mn'')']) WITH ORDINALITY AS v (statement, n)
 ORDER BY n;
