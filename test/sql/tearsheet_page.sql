--
-- The tear-sheet: a page that is whole, true, bounded, and the same for everybody
--
\set SHOW_CONTEXT never
\set VERBOSITY terse
BEGIN;
SET LOCAL search_path = fx, public;

CREATE TEMPORARY TABLE run (name text PRIMARY KEY, trades jsonb, balance numeric, title text) ON COMMIT DROP;
INSERT INTO run VALUES
    ('no trade', '[]', 10000, 'Nothing'),
    ('no title', '[]', 10000, E' \t'),
    ('one trade', '[{"profit": "5", "closedAt": "2024-01-02"}]', 10, 'One'),
    ('no times', '[{"profit": 1}, {"profit": -2, "symbol": "EURUSD", "type": "buy"}, {"profit": 0}]', 10, 'Untimed'),
    ('break-even', '[{"profit": 0, "closedAt": "2024-01-02"}, {"profit": 2, "commission": 2, "closedAt": "2024-01-03"}]', 10, 'Even'),
    ('equal times', '[{"profit": 1, "closedAt": "2024-01-02"}, {"profit": -3, "closedAt": "2024-01-02"}]', 10, 'At once'),
    ('huge', '[{"profit": 999999999999999999999999999.12345678, "closedAt": "2024-01-02"}, {"profit": -99999999999999999999999999, "closedAt": "2025-01-03"}]', 10, 'Huge'),
    ('tiny', '[{"profit": 0.00000001, "closedAt": "2024-01-02T10:00:00,5"}, {"profit": -0.00000002, "closed_at": "2024-01-02T10:00:01.1234567"}]', 0.00000005, 'Tiny'),
    ('below zero', '[{"profit": -50, "closedAt": "2024-01-02"}, {"profit": -100, "closedAt": "2025-02-03"}, {"profit": 30, "closedAt": "2026-02-03"}]', 10, 'Ruin'),
    ('ages', '[{"profit": -5, "closedAt": "0001-01-01"}, {"profit": -1, "closedAt": "9999-12-31T23:59:60"}, {"profit": 3, "closedAt": "5000-02-03"}]', 10, 'Ages'),
    ('odd keys', '[{"profit": -5, "symbol": {"a": [1]}, "type": 7, "quantity": [1, 2]}, {"profit": 1, "symbol": null, "type": null, "quantity": null}, {"profit": 1, "symbol": "", "type": "SELL", "quantity": "x"}]', 10, 'Odd'),
    ('hostile', jsonb_build_array(jsonb_build_object('profit', 1, 'closedAt', '2024-01-02', 'type', '<b>', 'quantity', repeat('<', 5000),
        'symbol', E'</style><script>alert(1)</script>"''&\u0001\u202E\uFFFF]]>')), 10, E'</title><script>alert("1")</script>\u202Eevil\u0007' || repeat('x', 5000));
INSERT INTO run
SELECT 'many symbols', jsonb_agg(jsonb_build_object('profit', n % 7 - 3 + n * 0.001, 'symbol', 'S' || n, 'closedAt', timestamptz '1960-01-01 00:00Z' + n * interval '1 day')), 100, 'Symbols'
  FROM generate_series(1, 25000) AS n;
-- 1,000 trades: every weekday, costs, wins, losses and break-evens
INSERT INTO run
SELECT 'usual', jsonb_agg(jsonb_build_object('profit', (n * 7919 % 401 - 190) / 4.0, 'commission', 0.5, 'swap', -(n % 3) / 10.0, 'symbol', (ARRAY['EURUSD', 'USDJPY', 'XAUUSD'])[1 + n % 3],
           'type', CASE WHEN n % 5 < 3 THEN 'buy' ELSE 'sell' END, 'quantity', 1000 * n, 'executedAt', timestamptz '2022-03-01 12:30Z' + n * interval '25 hours', 'closedAt', timestamptz '2022-03-01 12:30Z' + n * interval '28 hours')), 10000, 'Usual'
  FROM generate_series(1, 1000) AS n;

CREATE TEMPORARY TABLE page ON COMMIT DROP AS
SELECT name, trades, balance, text, xmlparse(DOCUMENT text) AS doc FROM (SELECT r.*, tearsheet(trades, balance, title) AS text FROM run r) AS p;

-- well-formed (or xmlparse had failed), whole, without script, nothing from elsewhere, no attribute left empty by a NULL
SELECT name, length(text) < 300000 AS small, array_length(xpath('//section', doc), 1) AS sections, array_length(xpath('//script', doc), 1) AS scripts,
       text LIKE '<!DOCTYPE html>%<html lang="en">%<meta charset="utf-8"/><meta name="viewport"%</html>%' AS whole,
       text !~* '<script|javascript:|\son\w+=|(src|href)\s*=|url\(|@import|https?:' AS alone,
       text ~ '(x|y|width|height|points|d|style|datetime)="Z?"|NaN' AS holes
  FROM page ORDER BY name COLLATE "C";

-- hostile text stays text
SELECT (xpath('//h1/bdi/text()', doc))[1]::text = replace(replace(left(E'</title><script>alert("1")</script>\u202Eevil\uFFFD' || repeat('x', 5000), 200), '<', '&lt;'), '>', '&gt;') || U&'\2026' AS title,
       (xpath('count(//head/title) + count(//title/*)', doc))[1] AS titles,
       text ~ '&lt;/style&gt;&lt;script&gt;' AS symbol
  FROM page WHERE name = 'hostile';
SELECT html_escape(E'<a b="c" d=''e''>&\u0001\t\n'), html_clip('abc', 3), html_clip('abcd', 3), html_clip('<&', 1), html_escape(NULL) IS NULL AS none;

-- what needs times says so
SELECT name, (xpath('//section[@id="months"]/p[@class="empty"]/text()', doc))[1] AS months, (xpath('//section[@id="hours"]/p[@class="empty"]/text()', doc))[1] AS hours
  FROM page WHERE name IN ('no trade', 'no times', 'one trade') ORDER BY name COLLATE "C";

-- every metric is on the page, exactly
SELECT p.name, count(*) AS keys, count(*) FILTER (WHERE cell[1] IS NULL) AS missing,
       count(*) FILTER (WHERE jsonb_typeof(m.value) = 'number' AND cell[1]::text::numeric IS DISTINCT FROM (m.value #>> '{}')::numeric) AS wrong
  FROM page p, jsonb_each(backtest_metrics(trades, balance)) AS m,
       LATERAL (SELECT CASE jsonb_typeof(m.value)
                    WHEN 'number' THEN xpath(format('//td[@id="%s"]/data/@value', m.key), doc)
                    WHEN 'null' THEN xpath(format('//td[@id="%s" and contains(., "%s")]', m.key, U&'\2013'), doc)
                    ELSE xpath(format('//td[@id="%s"]//text()', m.key), doc) END AS cell) AS c
 WHERE p.name IN ('usual', 'huge', 'tiny', 'no trade', 'below zero')
 GROUP BY p.name ORDER BY p.name COLLATE "C";

-- groups, bins and cells hold every trade and every cent once
SELECT p.name, m ->> 'totalTrades' AS trades,
       (SELECT sum(n::text::numeric) FROM unnest(xpath('//section[@id="histogram"]//td[1]/text()', doc)) AS n) AS bins,
       (SELECT sum(replace(n::text, ',', '')::numeric) FROM unnest(xpath('//section[@id="symbols"]//td[1]/text()', doc)) AS n) AS symbols,
       (SELECT sum(replace(n::text, ',', '')::numeric) FROM unnest(xpath('//section[@id="sides"]//td[1]/text()', doc)) AS n) AS sides,
       (SELECT sum(n::text::numeric) FROM unnest(xpath('//section[@id="hours"]//td[not(@class="total")]/small/text()', doc)) AS n) AS hours,
       (SELECT sum(n::text::numeric) FROM unnest(xpath('//section[@id="hours"]//td[@class="total"]/small/text()', doc)) AS n) AS days,
       (SELECT sum(n::text::numeric) FROM unnest(xpath('//section[@id="symbols"]//data/@value', doc)) AS n) = (m ->> 'netProfit')::numeric AS net_by_symbol,
       (SELECT sum(n::text::numeric) FROM unnest(xpath('//section[@id="sides"]//data/@value', doc)) AS n) = (m ->> 'netProfit')::numeric AS net_by_side,
       (SELECT (array_agg(v))[1:3] = ARRAY[(m ->> 'netProfit')::numeric + (m ->> 'totalCommission')::numeric - (m ->> 'totalSwap')::numeric, -(m ->> 'totalCommission')::numeric, (m ->> 'totalSwap')::numeric]
          FROM (SELECT v::text::numeric FROM unnest(xpath('//section[@id="costs"]//data/@value', doc)) AS v) AS v) AS costs
  FROM page p, backtest_metrics(trades, balance) AS m
 WHERE p.name IN ('usual', 'many symbols', 'one trade', 'break-even', 'huge', 'odd keys', 'no times', 'no trade')
 ORDER BY p.name COLLATE "C";
-- losses, break-even trades and gains each have bins of their own, of one width, the outermost open
SELECT r.name, count(*) AS bins, sum(b.trades) FILTER (WHERE b.n < 0) = (m ->> 'losingTrades')::numeric AS losses,
       coalesce(sum(b.trades) FILTER (WHERE b.n = 0), 0) = (m ->> 'breakevenTrades')::numeric AS even, sum(b.trades) FILTER (WHERE b.n > 0) = (m ->> 'winningTrades')::numeric AS gains,
       bool_and(CASE WHEN b.n < 0 THEN b.low >= b.n * width AND b.high < (b.n + 1) * width WHEN b.n > 0 THEN b.low > (b.n - 1) * width AND b.high <= b.n * width ELSE b.low = 0 AND b.high = 0 END
                OR b.n IN (b.first, b.last)) AS bounds
  FROM run r, backtest_metrics(trades, balance) AS m, tearsheet_data(trades, balance) AS d,
       LATERAL (SELECT b.*, (d ->> 'width')::numeric AS width, min(b.n) OVER () AS first, max(b.n) OVER () AS last FROM jsonb_to_recordset(d -> 'bins') AS b (n integer, trades numeric, low numeric, high numeric)) AS b
 WHERE r.name IN ('usual', 'many symbols', 'no times', 'huge', 'tiny') GROUP BY r.name, m ORDER BY r.name COLLATE "C";
SELECT (xpath('//section[@id="symbols"]//tbody/tr[last()]/th/text()', doc))[1] AS the_rest, array_length(xpath('//section[@id="symbols"]//tbody/tr', doc), 1) AS rows,
       array_length(xpath('//section[@id="months"]//table[@class="heat"]//tbody/tr', doc), 1) AS years
  FROM page WHERE name = 'many symbols';

-- months by FX day: the last trade of January and the first of February are on either side of 17:00 New York
SELECT y ->> 'year' AS year, m.key AS month, m.value
  FROM jsonb_array_elements(tearsheet_data('[{"profit": 100, "closedAt": "2024-01-31T21:59:59Z"}, {"profit": -55, "closedAt": "2024-01-31T22:00:00Z"}, {"profit": 21, "closedAt": "2024-04-01T12:00:00Z"}]', 1000) -> 'years') AS y,
       jsonb_each(y -> 'months') AS m ORDER BY m.key::integer;
-- weekday and hour in New York, in winter and in summer, by opening
SELECT tearsheet_data('[{"profit": 1, "closedAt": "2024-01-08T02:00:00Z"}, {"profit": 2, "executedAt": "2024-07-08T02:00:00Z", "closedAt": "2024-07-09T02:00:00Z"}]', 1000) -> 'hours' AS hours;

-- monthly returns compound to the total
SELECT abs(exp(sum(ln(1 + (m.value ->> 'return')::numeric))) - 1 - (backtest_metrics(r.trades, r.balance) ->> 'totalReturn')::numeric) < 0.000001 AS compounds
  FROM run r, jsonb_array_elements(tearsheet_data(r.trades, r.balance) -> 'years') AS y, jsonb_each(y -> 'months') AS m
 WHERE name = 'usual' GROUP BY r.trades, r.balance;

-- drawdowns against the plain definition: the run of points below each peak
WITH e AS (SELECT p.*, count(*) FILTER (WHERE drawdown = 0) OVER (ORDER BY seq) AS n FROM run r, equity_points(trades, balance) AS p WHERE name = 'usual'),
plain AS (
    SELECT row_number() OVER (ORDER BY max(drawdown_fraction) DESC, min(seq)) AS place, max(drawdown) AS depth, min(seq) AS peak_seq,
           CASE WHEN max(seq) < 1000 THEN max(seq) + 1 END AS recovery_seq
      FROM e GROUP BY n HAVING max(drawdown) > 0
)
SELECT count(*) AS drawdowns, bool_and(d.depth = p.depth AND d.peak_seq = p.peak_seq AND d.recovery_seq IS NOT DISTINCT FROM p.recovery_seq
           AND (SELECT drawdown FROM e WHERE seq = d.trough_seq) = d.depth) AS same
  FROM run r, ROWS FROM (jsonb_to_recordset(tearsheet_data(trades, balance) -> 'drawdowns') AS (depth numeric, peak_seq integer, trough_seq integer, recovery_seq integer))
       WITH ORDINALITY AS d (depth, peak_seq, trough_seq, recovery_seq, place) JOIN plain p USING (place)
 WHERE r.name = 'usual';

-- the same page in any session
SET LOCAL timezone = 'Asia/Kolkata';
SET LOCAL datestyle = 'German, DMY';
SET LOCAL intervalstyle = 'iso_8601';
SET LOCAL extra_float_digits = -15;
SET LOCAL search_path = pg_temp;
SET LOCAL work_mem = '64kB';
SET LOCAL bytea_output = 'escape';
SET LOCAL xmloption = content;
SELECT bool_and(p.text = fx.tearsheet(r.trades, r.balance, r.title)) AS same FROM pg_temp.page p JOIN pg_temp.run r USING (name);
SET LOCAL search_path = fx, public;
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO';
SELECT backtest_metrics('[]', 10000, 0, 260) ->> 'periodsPerYear' AS periods;
SET LOCAL extra_float_digits = 1;

-- small and quick for any number of trades
CREATE TEMPORARY TABLE many ON COMMIT DROP AS
SELECT jsonb_agg(jsonb_build_object('profit', (n::bigint * 7919 % 100003 - 49000) / 1000.0, 'commission', 0.7, 'symbol', repeat('S', 100) || n % 500, 'type', repeat('t', 50), 'quantity', repeat('9', 40),
           'closedAt', timestamptz '1950-01-01 00:00Z' + n * interval '3 hours')) AS trades FROM generate_series(1, 200000) AS n;
SELECT length(page) < 300000 AS small, octet_length(page) < 300000 AS in_bytes, xmlparse(DOCUMENT page) IS NOT NULL AS whole FROM many, tearsheet(trades, 10000, 'Many') AS page;
DROP TABLE many;

-- numbers, lengths and axes
SELECT v, html_money(v), html_short(v), html_percent(v), html_number(v) FROM unnest(ARRAY[NULL, 0, -0.00000001, 0.05, 0.0949, 0.096, -1234.565, 999.5, 12345, 999499, 999500, 1234567890, 1e12, 123456789012345678, 1e30, -1e30]) AS v;
SELECT v, html_duration(v) FROM unnest(ARRAY[NULL, 0, 59.94, 60, 3599, 3600, 90061, 863999, 864000, 3e10]) AS v;
SELECT span, parts, nice_step(span, parts) FROM (VALUES (10, 5), (11, 5), (0, 4), (0.00000003, 1), (1e30, 7), (1, 1), (7, 3), (-5, 2)) AS v (span, parts);
SELECT (value_axis(-7, 12)).*;
SELECT (value_axis(5, 5)).low, (value_axis(5, 5)).high;
SELECT s, u, string_agg(label, ' | ' ORDER BY tick) FROM (VALUES
    (timestamptz '2024-01-02 00:00Z', timestamptz '2024-01-02 00:00:05Z'), ('2024-01-02 00:00Z', '2024-01-02 01:00Z'), ('2024-01-02 00:00Z', '2024-01-05 01:00Z'), ('2024-01-02 00:00Z', '2024-02-15 01:00Z'),
    ('2022-01-02 00:00Z', '2024-02-15 01:00Z'), ('1990-01-02 00:00Z', '2024-02-15 01:00Z'), ('0001-01-01 00:00Z', '9999-12-31 00:00Z')) AS v (s, u), time_ticks(s, u) GROUP BY s, u ORDER BY u - s;

-- errors of the trades; what is NULL gives NULL
\set VERBOSITY default
SELECT tearsheet(NULL, 1, 'x') IS NULL AND tearsheet('[]', NULL, 'x') IS NULL AND tearsheet('[]', 1, NULL) IS NULL AND tearsheet(NULL) IS NULL AS nothing;
SAVEPOINT s;
SELECT tearsheet('[{"profit": 1}, {}]', 1, 'x');
ROLLBACK TO s;
SELECT tearsheet('[{"profit": 1}]', 0, 'x');
ROLLBACK TO s;
SELECT trade_order('{}');
ROLLBACK TO s;
SELECT nice_step(1, 0);
ROLLBACK TO s;
SELECT nice_step(1, -1);
ROLLBACK TO s;
SELECT nice_step('NaN', 1);
ROLLBACK TO s;
SELECT nice_step('-Infinity', 1);
ROLLBACK TO s;
SELECT nice_step(('9' || repeat('0', 131071))::numeric, 1);
ROLLBACK TO s;
SELECT nice_step(NULL, 0) IS NULL AND nice_step('NaN', NULL) IS NULL AS nothing;
SELECT * FROM trade_order('[{"profit": 1, "closedAt": "2024-01-03"}, {"profit": 2, "executedAt": "2024-01-01", "closedAt": "2024-01-02"}]');
SELECT * FROM trade_order('[{"profit": 1}]');

-- the page of a backtest: what is known of it, and nothing that is not
INSERT INTO users (id, email, username, password_hash, preferences) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x', '{"accountCurrency": "CHF"}');
INSERT INTO strategies (id, user_id, name, type, version) VALUES ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', '"Moving" & <mean>', 'manual', 3);
INSERT INTO backtests (id, strategy_id, user_id, name, config, status)
SELECT ('00000000-0000-4000-8000-0000000000c' || n)::uuid, '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', 'run ' || n, config, 'running'
  FROM (VALUES (1, jsonb '{"initialBalance": "5000", "startDate": "2024-01-01", "endDate": "2024-01-31", "riskFreeRate": 0.02, "periodsPerYear": 260, "note": "</pre><script>"}'), (2, '{}'), (3, '{}')) AS v (n, config);
UPDATE backtests SET config = jsonb_build_object('long', repeat('&', 100000)) WHERE name = 'run 2';
SELECT complete_backtest('00000000-0000-4000-8000-0000000000c1', '[{"profit": 100, "closedAt": "2024-01-03"}, {"profit": -40, "closedAt": "2024-01-04"}]') \g /dev/null
SELECT complete_backtest('00000000-0000-4000-8000-0000000000c2', '[]') \g /dev/null
UPDATE backtests SET completed_at = '2024-02-01 10:11Z' WHERE status = 'completed';
SELECT unnest(xpath('//dl[@class="facts"]/div/dt/text()', doc)) AS label, unnest(xpath('//dl[@class="facts"]/div/dd', doc)) AS value
  FROM xmlparse(DOCUMENT tearsheet('00000000-0000-4000-8000-0000000000c1')) AS doc;
SELECT bool_and((xpath(format('string(//td[@id="%s"]/data/@value)', key), doc))[1]::text = coalesce(value #>> '{}', '')) AS metrics_as_stored, count(*)
  FROM backtests b, jsonb_each(performance_metrics), xmlparse(DOCUMENT tearsheet(b.id)) AS doc
 WHERE b.name = 'run 1' AND jsonb_typeof(value) IN ('number', 'null') AND key !~ 'At$';
SELECT xpath('//section[@id="parameters"]//pre//text()', doc) AS parameters FROM xmlparse(DOCUMENT tearsheet('00000000-0000-4000-8000-0000000000c1')) AS doc;
SELECT length((xpath('string(//section[@id="parameters"]//pre)', doc))[1]::text) < 70000 AS bounded FROM xmlparse(DOCUMENT tearsheet('00000000-0000-4000-8000-0000000000c2')) AS doc;
-- as a literal without a type it is a backtest
SAVEPOINT s;
SELECT tearsheet('00000000-0000-4000-8000-0000000000c3');
ROLLBACK TO s;
SELECT tearsheet('00000000-0000-4000-8000-0000000000c9');
ROLLBACK TO s;
\set VERBOSITY sqlstate
SELECT tearsheet('00000000-0000-4000-8000-0000000000c3');
ROLLBACK TO s;
SELECT tearsheet('00000000-0000-4000-8000-0000000000c9');
ROLLBACK TO s;
UPDATE backtests SET config = config || '{"endDate": "2024-01-03"}' WHERE name = 'run 1';
SELECT tearsheet('00000000-0000-4000-8000-0000000000c1');
ROLLBACK TO s;
-- a user has the page of his own run, and no other
SET LOCAL ROLE fx_user;
SET LOCAL app.current_user_id = '00000000-0000-4000-8000-0000000000a1';
SELECT tearsheet('00000000-0000-4000-8000-0000000000c1') ~ 'CHF' AS own;
SET LOCAL app.current_user_id = '00000000-0000-4000-8000-0000000000a2';
SELECT tearsheet('00000000-0000-4000-8000-0000000000c1');
ROLLBACK TO s;
SET LOCAL ROLE fx_reporting;
SELECT tearsheet('00000000-0000-4000-8000-0000000000c1') ~ 'CHF' AS reporting;
ROLLBACK;
