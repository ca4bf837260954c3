--
-- Reading money and times: thousands of random texts and numbers, compared with
-- what the server's own types make of them
--
SET timezone = 'UTC';
SET datestyle = 'ISO';
SELECT setseed(0.125);

-- decimal texts with signs, points, exponents and white space
CREATE TEMPORARY TABLE texts AS
SELECT n, concat(
           CASE WHEN random() < 0.1 THEN ' ' END, (ARRAY['', '-', '+'])[1 + (random() * 2)::integer],
           CASE WHEN random() < 0.3 THEN '000' END,
           substr(n::text || md5digits, 1, (random() * 24)::integer + 1),
           CASE WHEN random() < 0.8 THEN '.' || substr(reverse(md5digits), 1, (random() * 22)::integer) END,
           CASE WHEN random() < 0.3 THEN (ARRAY['e', 'E'])[1 + (random())::integer] || (random() * 40 - 30)::integer END,
           CASE WHEN random() < 0.1 THEN E'\t\n' END) AS t
  FROM (SELECT n, translate(md5(n::text), 'abcdef', '950505') AS md5digits FROM generate_series(1, 20000) AS n) AS d;
DELETE FROM texts WHERE abs(t::numeric) > 1e30;
SELECT count(*) > 19000 AS texts, count(*) FILTER (WHERE abs(t::numeric) < 1e-8) > 1000 AS tiny, count(*) FILTER (WHERE abs(t::numeric) > 1e18) > 1000 AS large
  FROM texts;
-- as a string, as a JSON number, as an argument of an aggregate
SELECT t AS wrong, round(t::numeric, 8) AS wanted, p.net_profit AS string
  FROM texts, fx.equity_points(jsonb_build_array(jsonb_build_object('profit', t)), 1) AS p
 WHERE seq = 1 AND p.net_profit <> round(t::numeric, 8) ORDER BY n;
SELECT t AS wrong, round(t::numeric, 8) AS wanted, p.net_profit AS number
  FROM texts, fx.equity_points(jsonb_build_array(jsonb_build_object('profit', t::numeric)), 1) AS p
 WHERE seq = 1 AND p.net_profit <> round(t::numeric, 8) ORDER BY n;
SELECT t AS wrong, round(t::numeric, 8) AS wanted, fx.net_profit(fx.pnl_agg(t::numeric)) AS aggregate
  FROM texts GROUP BY n, t HAVING fx.net_profit(fx.pnl_agg(t::numeric)) <> round(t::numeric, 8) ORDER BY n;
-- and written again: as text, and without trailing zeros in JSON
SELECT t AS wrong FROM texts, fx.equity_curve(jsonb_build_array(jsonb_build_object('profit', t)), 1) AS c
 WHERE c #>> '{1,equity}' <> trim_scale(round(t::numeric, 8) + 1)::text ORDER BY n;
SELECT t AS wrong FROM texts GROUP BY n, t
HAVING split_part(fx.pnl_agg(t::numeric)::text, ',', 4)::numeric + split_part(fx.pnl_agg(t::numeric)::text, ',', 5)::numeric <> round(t::numeric, 8) ORDER BY n;
-- around the ends of the range
SELECT fx.net_profit(fx.pnl_agg(1701411834604692317316873037158.84105727));
SELECT fx.net_profit(fx.pnl_agg(1701411834604692317316873037158.84105728));
SELECT fx.net_profit(fx.pnl_agg(1701411834604692317316873037158.841057274999));
SELECT fx.net_profit(fx.pnl_agg(1701411834604692317316873037158.841057275));

-- times in every form, over all centuries
CREATE TEMPORARY TABLE times AS
SELECT n, to_char(at, 'YYYY-MM-DD') || CASE WHEN form = 0 THEN '' ELSE
           (ARRAY['T', ' ', 't'])[1 + (random() * 2)::integer] || to_char(at, 'HH24:MI')
           || CASE WHEN form > 1 THEN to_char(at, ':SS') ELSE '' END
           || CASE WHEN form = 4 THEN to_char(at, '.US') WHEN form = 3 THEN substr(to_char(at, '.US'), 1, 2 + (random() * 5)::integer) ELSE '' END
           || CASE WHEN form > 3 THEN (101 + 2 * (random() * 449)::integer)::text ELSE '' END
           || (ARRAY['', 'Z', '+00', '-05', '+05:30', '-0330', '+15:59', '-15:59:59'])[1 + (random() * 7)::integer] END AS t
  FROM (SELECT n, (random() * 4)::integer AS form, timestamp '0002-01-01' + random() * interval '9990 years' AS at FROM generate_series(1, 20000) AS n) AS r;
SELECT t AS wrong, closed_at FROM times, fx.equity_points(jsonb_build_array(jsonb_build_object('profit', 1, 'closedAt', t)), 1)
 WHERE seq = 1 AND closed_at <> t::timestamptz ORDER BY n;
-- and written again
SELECT t AS wrong FROM times, fx.equity_curve(jsonb_build_array(jsonb_build_object('profit', 1, 'closedAt', t)), 1) AS c
 WHERE c #> '{1,timestamp}' <> to_jsonb(t::timestamptz) ORDER BY n;
