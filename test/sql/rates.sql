--
-- Rates by the stored candles, against plain SQL over the table
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SELECT fx.create_market_data_partitions('2024-01-01', '2024-06-01') >= 0 AS made;
BEGIN;
-- Every timeframe of the pair that has a fresh candle, the finest one: the
-- definition, with open time from the function that has a test of its own.
CREATE FUNCTION pg_temp.price(pair text, as_of timestamptz, OUT close numeric, OUT observed timestamptz, OUT age interval) LANGUAGE sql AS $$
    SELECT c.close_price, c.ends, fx.open_market_time(c.ends, as_of)
      FROM unnest(ARRAY['1m', '15m', '1h', '4h', '1d', '1w', '1mn']) AS t (timeframe),
           LATERAL (SELECT t.timeframe, m.close_price,
                           least(fx.candle_end(m.timestamp, t.timeframe,
                                               CASE WHEN fx.candle_start(m.timestamp, t.timeframe) = m.timestamp THEN 'new_york' ELSE 'utc' END), as_of) AS ends
                      FROM fx.market_data m WHERE m.symbol = pair AND m.timeframe = t.timeframe AND m.timestamp <= as_of
                     ORDER BY m.timestamp DESC LIMIT 1) AS c
     WHERE fx.open_market_time(c.ends, as_of) <= current_setting('fxplatform.max_rate_age')::interval
     ORDER BY fx.timeframe_rank(c.timeframe) LIMIT 1
$$;
CREATE FUNCTION pg_temp.leg(base text, quote text, as_of timestamptz, OUT num numeric, OUT den numeric, OUT name text, OUT kind text, OUT observed timestamptz, OUT age interval) LANGUAGE sql AS $$
    SELECT * FROM (SELECT p.close, NULL::numeric, base || quote, 'direct', p.observed, p.age FROM pg_temp.price(base || quote, as_of) p WHERE p.close IS NOT NULL
                   UNION ALL
                   SELECT NULL, p.close, quote || base, 'inverse', p.observed, p.age FROM pg_temp.price(quote || base, as_of) p WHERE p.close IS NOT NULL) AS l
     ORDER BY 4 LIMIT 1
$$;
CREATE FUNCTION pg_temp.rate(base text, quote text, as_of timestamptz)
RETURNS TABLE (rate numeric, path text[], method text, observed_at timestamptz, age interval) LANGUAGE sql AS $$
    SELECT CASE WHEN base = quote THEN 1 ELSE coalesce(a.num, 1) * coalesce(b.num, 1) / nullif(coalesce(a.den, 1) * coalesce(b.den, 1), 0) END, f.path, f.method, f.observed, f.age
      FROM (SELECT 1 AS place, '{}'::text[] AS path, 'same' AS method, as_of AS observed, interval '0' AS age, NULL::text AS via WHERE base = quote
            UNION ALL
            SELECT 2, ARRAY[l.name], l.kind, l.observed, l.age, NULL FROM pg_temp.leg(base, quote, as_of) l WHERE l.name IS NOT NULL
            UNION ALL
            SELECT 2 + p.place, ARRAY[x.name, y.name], 'cross', least(x.observed, y.observed), greatest(x.age, y.age), p.via
              FROM (VALUES (1, 'USD'), (2, 'EUR')) AS p (place, via), pg_temp.leg(base, p.via, as_of) x, pg_temp.leg(p.via, quote, as_of) y
             WHERE p.via NOT IN (base, quote) AND x.name IS NOT NULL AND y.name IS NOT NULL
             ORDER BY 1 LIMIT 1) AS f
      LEFT JOIN LATERAL (SELECT l.num, l.den FROM pg_temp.leg(base, coalesce(f.via, quote), as_of) l) AS a ON base <> quote
      LEFT JOIN LATERAL (SELECT l.num, l.den FROM pg_temp.leg(f.via, quote, as_of) l) AS b ON f.via IS NOT NULL
$$;

-- Pairs in all timeframes, with holes, over a weekend, a change of daylight
-- saving time and a holiday; nothing is there in all of them.
INSERT INTO fx.holidays VALUES ('2024-03-12', 'a Tuesday');
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
SELECT p.symbol, f.timeframe, at, price, price, price, price
  FROM (VALUES (1, 'EURUSD', 1.08), (2, 'USDJPY', 150), (3, 'EURGBP', 0.85), (4, 'GBPJPY', 190), (5, 'EURCHF', 0.96), (6, 'SEKEUR', 0.089)) AS p (n, symbol, base),
       (VALUES (1, '1m'), (2, '15m'), (3, '1h'), (4, '4h'), (5, '1d'), (6, '1w'), (7, '1mn')) AS f (n, timeframe),
       LATERAL (SELECT at, round((p.base * (1 + ('x' || left(md5(p.symbol || f.timeframe || at), 6))::bit(24)::integer / 1e9))::numeric, 8) AS price
                  FROM fx.expected_candles(f.timeframe, '2024-02-05', '2024-03-15') AS at
                 WHERE ('x' || substr(md5(p.symbol || f.timeframe || at), 7, 4))::bit(16)::integer % CASE f.timeframe WHEN '1m' THEN 400 WHEN '15m' THEN 30 WHEN '1h' THEN 12 WHEN '1mn' THEN 1 ELSE 2 END = 0) AS c;
SELECT timeframe, count(*) > 0 AS some FROM fx.market_data WHERE symbol = 'EURUSD' GROUP BY 1 ORDER BY fx.timeframe_rank(timeframe);
CREATE TEMP TABLE asked AS
SELECT b.code AS base, q.code AS quote,
       timestamptz '2024-03-06 00:00+00' + ('x' || left(md5(b.code || q.code || n), 8))::bit(32)::bigint % 777600 * interval '1 second' AS as_of
  FROM unnest(ARRAY['EUR', 'USD', 'JPY', 'GBP', 'CHF', 'SEK', 'AUD']) AS b (code), unnest(ARRAY['EUR', 'USD', 'JPY', 'GBP', 'CHF', 'SEK', 'AUD']) AS q (code), generate_series(1, 2) AS n;
SET LOCAL fxplatform.max_rate_age = '2h';
CREATE TEMP VIEW differing AS
    SELECT a.*, o.rate AS o_rate, f.rate AS f_rate, o.path AS o_path, f.path AS f_path, o.age AS o_age, f.age AS f_age, o.observed_at AS o_at, f.observed_at AS f_at
      FROM asked a LEFT JOIN LATERAL pg_temp.rate(a.base, a.quote, a.as_of) o ON true LEFT JOIN LATERAL fx.rate_details(a.base, a.quote, a.as_of) f ON true
     WHERE (o.path, o.method, o.observed_at, o.age) IS DISTINCT FROM (f.path, f.method, f.observed_at, f.age)
        OR abs(o.rate - f.rate) > 1e-16 * o.rate OR (o.rate IS NULL) <> (f.rate IS NULL)
        OR f.rate IS DISTINCT FROM fx.rate(a.base, a.quote, a.as_of)
        OR fx.convert(123456.78, a.base, a.quote, a.as_of) IS NULL <> (o.rate IS NULL)
        OR abs(fx.convert(123456.78, a.base, a.quote, a.as_of) - 123456.78 * o.rate) > 0.00000001;
SELECT count(*) AS wrong FROM differing;
SELECT d.method, count(*) > 2 AS many FROM asked a LEFT JOIN LATERAL fx.rate_details(a.base, a.quote, a.as_of) d ON true GROUP BY 1 ORDER BY 1;
SET LOCAL fxplatform.max_rate_age = '0';
SELECT count(*) AS wrong FROM differing;
SET LOCAL fxplatform.max_rate_age = '30d';
SELECT count(*) AS wrong FROM differing;
ROLLBACK;

-- golden values
BEGIN;
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) VALUES
    ('USDJPY', '1m', '2024-05-08 12:00+00', 149.500, 149.500, 149.500, 149.500),
    ('GBPUSD', '1m', '2024-05-08 12:00+00', 1.26010, 1.26010, 1.26010, 1.26010),
    ('EURUSD', '1h', '2024-05-08 11:00+00', 1.08, 1.08, 1.08, 1.08),
    ('EURJPY', '30m', '2024-05-08 11:30+00', 161, 161, 161, 161),
    ('EURNOK', '1h', '2024-05-08 11:00+00', 11.7, 11.7, 11.7, 11.7),
    ('USDNOK', '1d', '2024-05-06 21:00+00', 10.9, 10.9, 10.9, 10.9);
SELECT fx.convert(200, 'GBP', 'USD', '2024-05-08 12:01+00') AS gbp, fx.convert(-50000, 'JPY', 'USD', '2024-05-08 12:01+00') AS jpy,
       fx.convert(1, 'gbp', 'Jpy', '2024-05-08 12:01+00') AS cross, fx.convert(7, 'USD', 'USD', '2024-05-08 12:01+00') AS same,
       fx.convert(7, 'XYZ', 'xyz', '1999-01-01') AS whatever;
SELECT * FROM fx.rate_details('GBP', 'JPY', '2024-05-08 12:01+00');
-- through the euro where the dollar has nothing fresh, and inverse where the pair of the day is fresh
SELECT * FROM fx.rate_details('NOK', 'JPY', '2024-05-08 12:01+00');
SELECT * FROM fx.rate_details('NOK', 'USD', '2024-05-08 12:01+00');
SELECT * FROM fx.rate_details('NOK', 'USD', '2024-05-07 12:01+00');
-- the boundary: two hours after the minute, and a microsecond more
SELECT d.rate, d.age FROM fx.rate_details('USD', 'JPY', '2024-05-08 14:01+00') d;
SELECT fx.rate('USD', 'JPY', '2024-05-08 14:01:00.000001+00') IS NULL AS stale, fx.convert(1, 'USD', 'JPY', '2024-05-08 14:01:00.000001+00') IS NULL AS nothing;
-- before it there is none, within it there is one
SELECT fx.rate('USD', 'JPY', '2024-05-08 11:59:59.999999+00') IS NULL AS before, fx.rate('USD', 'JPY', '2024-05-08 12:00+00') AS forming;
-- the weekend does not age it, nor does a holiday
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) VALUES
    ('USDJPY', '1h', '2024-05-10 20:00+00', 155, 155, 155, 155);
SELECT fx.rate('USD', 'JPY', '2024-05-12 20:59+00') AS sunday, fx.rate('USD', 'JPY', '2024-05-12 23:00+00') AS two_hours_open, fx.rate('USD', 'JPY', '2024-05-12 23:00:01+00') IS NULL AS stale;
INSERT INTO fx.holidays VALUES ('2024-05-13', 'a Monday');
SELECT fx.rate('USD', 'JPY', '2024-05-13 23:00+00') AS after_the_holiday, fx.rate('USD', 'JPY', '2024-05-13 23:00:01+00') IS NULL AS stale;
-- the finest timeframe that is fresh, not the newest candle
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) VALUES
    ('CHFJPY', '1m', '2024-05-08 12:00+00', 170, 170, 170, 170), ('CHFJPY', '1h', '2024-05-08 13:00+00', 171, 171, 171, 171);
SELECT fx.rate('CHF', 'JPY', '2024-05-08 14:00+00') AS of_minutes, fx.rate('CHF', 'JPY', '2024-05-08 14:30+00') AS of_hours;
-- an instrument with a symbol of its own
INSERT INTO fx.instruments (symbol, base_currency, quote_currency, pip_size, contract_size) VALUES ('Bitcoin', 'BTC', 'USD', 1, 1), ('GOLDAUD', 'XAU', 'AUD', 0.01, 1);
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) VALUES
    ('Bitcoin', '1m', '2024-05-08 12:00+00', 62000, 62000, 62000, 62000);
SELECT * FROM fx.rate_details('jpy', 'btc', '2024-05-08 12:01+00');
SELECT fx.rate('XAU', 'AUD', '2024-05-08 12:01+00') IS NULL AS no_candles;
-- one rounding, half away from zero
SELECT fx.convert(0.00000001, 'JPY', 'USD', '2024-05-08 12:01+00') AS zero, fx.convert(0.0000007475, 'JPY', 'USD', '2024-05-08 12:01+00') AS half,
       fx.convert(-0.0000007475, 'JPY', 'USD', '2024-05-08 12:01+00') AS negative, fx.convert(0.00000074749999, 'JPY', 'USD', '2024-05-08 12:01+00') AS below,
       fx.convert(1e30, 'USD', 'JPY', '2024-05-08 12:01+00') AS large, fx.convert(1e30 + 0.00000001, 'JPY', 'USD', '2024-05-08 12:01+00') AS large_quotient;
SELECT count(*) AS wrong
  FROM (SELECT (n * 7919.123 + 1.0 / n)::numeric(30, 12) * (1 - 2 * (n % 2)) * power(10::numeric, n % 25) AS amount FROM generate_series(1, 2000) AS n) AS a
 WHERE fx.convert(amount, 'JPY', 'GBP', '2024-05-08 12:01+00') <> round(amount / (149.5 * 1.2601)::numeric(200, 150), 8)
    OR fx.convert(amount, 'GBP', 'JPY', '2024-05-08 12:01+00') <> round(amount * 149.5 * 1.2601, 8);
ROLLBACK;

-- NULL in, NULL out
SELECT fx.convert(NULL, 'USD', 'USD') IS NULL AS a, fx.convert(1, NULL, 'USD') IS NULL AS b, fx.convert(1, 'USD', NULL) IS NULL AS c,
       fx.convert(1, 'USD', 'USD', NULL) IS NULL AS d, fx.rate(NULL, NULL) IS NULL AS e, (SELECT count(*) FROM fx.rate_details('USD', NULL)) AS f,
       fx.convert(amount => 1, from_currency => 'USD', to_currency => 'USD') AS by_name;
-- errors
SELECT fx.rate('US', 'EUR');
SELECT fx.rate('USD', 'EUR/USD');
SELECT fx.rate('USD', 'ÄÖÜ');
SELECT fx.rate('USD', repeat('long', 100));
SELECT fx.rate('USD', 'EUR', 'infinity');
SELECT fx.rate('USD', 'EUR', '294276-12-31 00:00+00');
SELECT fx.convert('NaN', 'USD', 'EUR');
SELECT fx.convert('-Infinity', 'USD', 'EUR');
\set VERBOSITY sqlstate
SELECT fx.rate('US', 'EUR');
SELECT fx.rate('USD', 'EUR', 'infinity');
SELECT fx.rate('USD', 'EUR', '294276-12-31 00:00+00');
SELECT fx.convert('NaN', 'USD', 'EUR');
-- rights: to all of what is read, and the setting is not for everybody
CREATE ROLE regress_rates;
GRANT USAGE ON SCHEMA fx TO regress_rates;
SET ROLE regress_rates;
SELECT fx.rate('USD', 'EUR');
SELECT fx.rate('USD', 'USD');
RESET ROLE;
GRANT SELECT ON fx.holidays, fx.instruments TO regress_rates;
SET ROLE regress_rates;
SELECT fx.rate('USD', 'EUR');
SET fxplatform.max_rate_age = '1d';
RESET ROLE;
DROP OWNED BY regress_rates;
DROP ROLE regress_rates;
SET fxplatform.max_rate_age = -1;
SET fxplatform.max_rate_age = '367d';
\set VERBOSITY default
BEGIN;
DROP TABLE fx.instruments;
SELECT fx.rate('USD', 'EUR');
ROLLBACK;
SHOW fxplatform.max_rate_age;
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
