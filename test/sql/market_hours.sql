--
-- When the market is open, against the wall clock of New York minute by minute
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';
BEGIN;
-- the FX day, from the definition
CREATE FUNCTION pg_temp.day(at timestamptz) RETURNS date LANGUAGE sql AS $$
    SELECT ((at AT TIME ZONE 'America/New_York') + interval '7 hours')::date
$$;
CREATE FUNCTION pg_temp.open(at timestamptz) RETURNS boolean LANGUAGE sql AS $$
    SELECT extract(isodow FROM pg_temp.day(at)) < 6 AND NOT EXISTS (SELECT FROM fx.holidays h WHERE h.day = pg_temp.day(at))
$$;
INSERT INTO fx.holidays VALUES ('2024-12-25', 'Christmas'), ('2025-01-01', 'New Year'), ('2024-03-09', 'a Saturday'),
    ('2024-11-01', 'a Friday'), ('2024-11-04', 'the Monday after'), ('2024-07-04', 'a Thursday');

-- both ends of the hours of Fridays and Sundays of 14 years, and of all of one
SELECT count(*) AS times, count(*) FILTER (WHERE fx.is_market_open(at)) AS open,
       count(*) FILTER (WHERE fx.is_market_open(at) <> pg_temp.open(at)) AS wrong
  FROM (SELECT h + e * interval '1 microsecond' AS at
          FROM generate_series(timestamptz '2012-01-01 00:00+00', '2026-01-01 00:00+00', '1 hour') AS h, (VALUES (0), (-1)) AS v (e)
         WHERE extract(isodow FROM h) IN (5, 7) OR h BETWEEN '2024-02-25' AND '2025-01-05') AS t;
-- to the microsecond, in winter, summer and the weekends of the changes
SELECT v.at, fx.is_market_open(v.at) AS open
  FROM (VALUES (timestamptz '2024-01-05 21:59:59.999999+00'), ('2024-01-05 22:00+00'), ('2024-01-07 21:59:59.999999+00'), ('2024-01-07 22:00+00'),
               ('2024-03-08 21:59:59.999999+00'), ('2024-03-08 22:00+00'), ('2024-03-10 20:59:59.999999+00'), ('2024-03-10 21:00+00'),
               ('2024-10-31 20:59:59.999999+00'), ('2024-10-31 21:00+00'), ('2024-11-04 21:59:59.999999+00'), ('2024-11-04 22:00+00'),
               ('2024-12-24 21:59:59.999999+00'), ('2024-12-24 22:00+00'), ('2024-12-25 21:59:59.999999+00'), ('2024-12-25 22:00+00')) AS v (at)
 ORDER BY v.at;

-- open time is the number of open minutes
CREATE TEMP TABLE minutes AS
SELECT m.at, m.open, count(*) FILTER (WHERE m.open) OVER (PARTITION BY m.part ORDER BY m.at) AS upto
  FROM (SELECT p.part, at, pg_temp.open(at) AS open
          FROM (VALUES (1, timestamptz '2024-10-28 00:00+00', timestamptz '2024-11-12 00:00+00'), (2, '2024-03-04 00:00+00', '2024-03-16 00:00+00')) AS p (part, since, until),
               generate_series(p.since, p.until, '1 minute') AS at OFFSET 0) AS m;
CREATE INDEX ON minutes (at);
ANALYZE minutes;
-- open minutes from since to until: those upto until less those upto since, both without themselves
SELECT count(*) AS pairs, count(DISTINCT fx.open_market_time(a.at, b.at)) > 500 AS various,
       count(*) FILTER (WHERE fx.open_market_time(a.at, b.at) <>
                              (b.upto - b.open::integer - a.upto + a.open::integer) * interval '1 minute') AS wrong
  FROM (SELECT * FROM minutes WHERE extract(epoch FROM at)::bigint / 60 % 197 = 0) AS a
  JOIN (SELECT * FROM minutes WHERE extract(epoch FROM at)::bigint / 60 % 181 = 0) AS b ON b.at >= a.at AND b.at < a.at + interval '30 days';
SELECT fx.open_market_time('2024-01-01', '2024-02-01') AS january, fx.open_market_time('2024-12-20 20:00+00', '2024-12-29 23:30+00') AS christmas,
       fx.open_market_time('2024-01-07 21:59:59.999999+00', '2024-01-07 22:00:00.000001+00') AS opening,
       fx.open_market_time('2024-01-06', '2024-01-07') AS saturday, fx.open_market_time('2024-01-05', '2024-01-04') AS backwards,
       fx.open_market_time('1900-01-01', '2100-01-01') AS centuries;

-- candles to expect are those with an open minute
CREATE FUNCTION pg_temp.wrong_candles(timeframe text, alignment text, since timestamptz, until timestamptz) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*)
      FROM (SELECT e FROM fx.expected_candles(timeframe, since, until, alignment) AS e) AS ours
      FULL JOIN (SELECT DISTINCT fx.candle_start(m.at, timeframe, alignment) AS o FROM minutes m WHERE m.open) AS oracle ON o = e
     WHERE (e IS NULL OR o IS NULL) AND coalesce(e, o) >= since AND coalesce(e, o) < until
$$;
SELECT a.alignment, t.timeframe, sum(pg_temp.wrong_candles(t.timeframe, a.alignment, r.since, r.until)) AS wrong,
       sum((SELECT count(*) FROM fx.expected_candles(t.timeframe, r.since, r.until, a.alignment))) AS candles
  FROM unnest(ARRAY['1m', '5m', '15m', '30m', '1h', '4h', '1d', '1w']) WITH ORDINALITY AS t (timeframe, place),
       unnest(ARRAY['new_york', 'utc']) AS a (alignment),
       (VALUES (timestamptz '2024-10-29 00:00+00', timestamptz '2024-11-10 21:00+00'), ('2024-10-30 10:07:13+00', '2024-11-05 03:03:03+00'),
               ('2024-11-02 05:00+00', '2024-11-04 23:00+00'), ('2024-03-05 00:00+00', '2024-03-14 22:00+00'), ('2024-03-08 21:59+00', '2024-03-10 21:01+00')) AS r (since, until)
 GROUP BY 1, 2, t.place ORDER BY 1, t.place;
-- a day begins on Sunday, never on Friday; in UTC Sunday has a stub
SELECT e AS day, to_char(e, 'Dy') FROM fx.expected_candles('1d', '2024-03-07', '2024-03-14') AS e ORDER BY e;
SELECT e AS day, to_char(e, 'Dy') FROM fx.expected_candles('1d', '2024-03-07', '2024-03-14', 'utc') AS e ORDER BY e;
SELECT e AS month FROM fx.expected_candles('1mn', '2024-01-01', '2024-07-01') AS e ORDER BY e;
SELECT e AS month FROM fx.expected_candles('1mn', '2024-01-01', '2024-07-01', 'utc') AS e ORDER BY e;
SELECT count(*) AS none FROM fx.expected_candles('1m', '2024-03-09 00:00+00', '2024-03-10 21:00+00');
SELECT count(*) AS none FROM fx.expected_candles('1m', '2024-03-07', '2024-03-07');
SELECT count(*) AS none FROM fx.expected_candles('1m', '2024-03-08', '2024-03-07');
-- a week of holidays has no candle
INSERT INTO fx.holidays SELECT d::date, 'closed' FROM generate_series(timestamp '2024-05-06', '2024-05-10', '1 day') AS d;
SELECT e AS week FROM fx.expected_candles('1w', '2024-04-27', '2024-05-20') AS e ORDER BY e;

-- the session's zone does not matter
SET LOCAL timezone = 'Asia/Tokyo';
SELECT fx.is_market_open('2024-03-08 21:59+00') AS open, fx.is_market_open('2024-03-08 22:00+00') AS closed;
SET LOCAL timezone = 'UTC';
-- NULL in, NULL out
SELECT fx.is_market_open(NULL) IS NULL AS a, fx.open_market_time(NULL, now()) IS NULL AS b, fx.open_market_time(now(), NULL) IS NULL AS c,
       (SELECT count(*) FROM fx.expected_candles('1h', NULL, now())) AS d;
-- no dates beyond what a time can hold
SELECT fx.open_market_time('4713-12-01 00:00+00 BC', '4712-01-01 00:00+00 BC'), fx.is_market_open('294276-12-20 00:00+00');
ROLLBACK;

-- errors
SELECT fx.is_market_open('infinity');
SELECT fx.open_market_time('-infinity', now());
SELECT fx.open_market_time(now(), 'infinity');
SELECT fx.expected_candles('1h', '-infinity', now());
SELECT fx.expected_candles('2h', now(), now());
SELECT fx.expected_candles('1h', now(), now(), 'london');
SELECT fx.is_market_open('4714-11-24 00:00+00 BC');
SELECT fx.is_market_open('294276-12-31 23:00+00');
\set VERBOSITY sqlstate
SELECT fx.is_market_open('infinity');
SELECT fx.is_market_open('294276-12-31 23:00+00');
-- a role that may not read the holidays learns nothing about them
CREATE ROLE regress_hours;
GRANT USAGE ON SCHEMA fx TO regress_hours;
SET ROLE regress_hours;
SELECT fx.is_market_open('2024-01-03');
RESET ROLE;
REVOKE USAGE ON SCHEMA fx FROM regress_hours;
DROP ROLE regress_hours;
-- without the table there is an answer to what is missing
\set VERBOSITY default
BEGIN;
DROP TABLE fx.holidays;
SELECT fx.is_market_open('2024-01-03');
ROLLBACK;
RESET timezone;
