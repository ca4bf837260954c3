--
-- The FX day rolls at 17:00 in New York
--
-- both ends of every hour over the changes of daylight saving time of 30 years,
-- forwards and backwards, and in no order
SELECT count(*) AS times,
       count(*) FILTER (WHERE fx.fx_day(at) <> ((at AT TIME ZONE 'America/New_York') + interval '7 hours')::date) AS wrong
  FROM (SELECT h + e * interval '1 microsecond' AS at
          FROM generate_series(timestamptz '1995-01-01 00:00+00', '2025-01-01 00:00+00', '1 hour') AS h, (VALUES (0), (-1)) AS v (e)
         ORDER BY h, e) AS t;
SELECT count(*) FILTER (WHERE fx.fx_day(at) <> ((at AT TIME ZONE 'America/New_York') + interval '7 hours')::date) AS wrong
  FROM (SELECT at FROM generate_series(timestamptz '1995-01-01 00:30+00', '2025-01-01 00:00+00', '5 hours') AS at ORDER BY at DESC) AS t;
SELECT count(*) FILTER (WHERE fx.fx_day(at) <> ((at AT TIME ZONE 'America/New_York') + interval '7 hours')::date) AS wrong
  FROM (SELECT at FROM generate_series(timestamptz '1850-01-01 00:30+00', '2150-01-01 00:00+00', '9 days') AS at
         ORDER BY md5(at::text)) AS t;

-- Sunday 17:00 begins Monday, in winter and in summer
SELECT at, fx.fx_day(at), to_char(fx.fx_day(at), 'Dy') AS weekday
  FROM (SELECT v.at AT TIME ZONE 'UTC' AS at
          FROM (VALUES (timestamp '2024-01-07 21:59:59.999999'), ('2024-01-07 22:00'), ('2024-07-07 20:59:59.999999'),
                       ('2024-07-07 21:00'), ('2024-03-10 20:59'), ('2024-03-10 21:00'), ('2024-11-03 21:59'), ('2024-11-03 22:00')) AS v (at)) AS t
 ORDER BY at;
SELECT fx.fx_day('infinity') AS inf, fx.fx_day('-infinity') AS neg, fx.fx_day(NULL) IS NULL AS none;
SELECT fx.fx_day('4714-11-24 00:00+00 BC') AS first, fx.fx_day('294276-12-31 23:59:59+00') AS last;
-- the session's zone does not matter
SET timezone = 'Pacific/Apia';
SELECT fx.fx_day('2024-01-07 22:00+00');

-- and when it begins: the first moment of the day, for every day of 180 years
SET timezone = 'UTC';
SELECT count(*) FILTER (WHERE fx.fx_day_start(day) <> (day - time '07:00') AT TIME ZONE 'America/New_York'
                           OR fx.fx_day(fx.fx_day_start(day)) <> day
                           OR fx.fx_day(fx.fx_day_start(day) - interval '1 microsecond') <> day - 1) AS wrong
  FROM (SELECT '1970-01-01'::date + n AS day FROM generate_series(0, 66000) AS n) AS d;
SELECT fx.fx_day_start('infinity'), fx.fx_day_start('-infinity'), fx.fx_day_start(NULL) IS NULL AS none;
SELECT fx.fx_day_start('294277-01-05');
