--
-- Instruments, pips and their value
--
\set SHOW_CONTEXT never
SET timezone = 'UTC';
SELECT count(*) AS instruments, count(*) FILTER (WHERE base_currency IN ('EUR', 'GBP', 'AUD', 'NZD', 'USD', 'CAD', 'CHF', 'JPY')) AS pairs,
       count(DISTINCT (least(base_currency, quote_currency), greatest(base_currency, quote_currency))) AS of_currencies,
       count(*) FILTER (WHERE symbol <> base_currency || quote_currency) AS misnamed, count(swap_long) + count(swap_short) AS swaps
  FROM fx.instruments;
SELECT pip_size, contract_size, triple_swap_weekday, string_agg(symbol, ' ' ORDER BY symbol COLLATE "C") AS symbols
  FROM fx.instruments GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;

-- one instrument by many names
SELECT v.name, fx.instrument_symbol(v.name), fx.resolve_symbol(v.name)
  FROM (VALUES (1, 'EURUSD'), (2, 'EUR/USD'), (3, 'EUR_USD'), (4, 'eur-usd'), (5, 'eurusd'), (6, 'Eur.Usd'), (7, 'EUR USD'), (8, 'USDEUR'),
               (9, 'EURUSDX'), (10, 'ES1!'), (11, ''), (12, '/'), (13, 'EUR%USD'), (14, NULL)) AS v (place, name)
 ORDER BY v.place;
-- what candles are stored under goes before what it means
BEGIN;
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
SELECT 'eur_usd', '1h', date_trunc('hour', now()), 1, 1, 1, 1;
SELECT fx.resolve_symbol('eur_usd') AS stored, fx.resolve_symbol('EUR/USD') AS meant, fx.instrument_symbol('eur_usd') AS instrument;
ROLLBACK;
SELECT fx.resolve_symbol('eur_usd') AS nothing_stored;
-- as its symbol an instrument may have any of them, and no two the same
BEGIN;
INSERT INTO fx.instruments (symbol, base_currency, quote_currency, pip_size, contract_size) VALUES ('BTC/USD', 'BTC', 'USD', 1, 1);
SELECT fx.instrument_symbol('btcusd') AS btc;
SAVEPOINT s;
INSERT INTO fx.instruments (symbol, base_currency, quote_currency, pip_size, contract_size) VALUES ('btc_usd', 'BTC', 'USD', 1, 1);
ROLLBACK TO s;
INSERT INTO fx.instruments (symbol, base_currency, quote_currency, pip_size, contract_size) VALUES ('EUR-USD', 'EUR', 'USD', 1, 1);
ROLLBACK;

-- pips
SELECT fx.pips('EURUSD', 'buy', 1.10000, 1.10250) AS eurusd, fx.pips('EUR/USD', 0.00250) AS difference, fx.pips('USDJPY', 'buy', 150.000, 149.500) AS usdjpy,
       fx.pips('EURGBP', 'sell', 0.85000, 0.84600) AS eurgbp, fx.pips('xauusd', 'buy', 2000, 2001.5) AS gold, fx.pips('EURUSD', 1e-9) AS tiny,
       fx.pips('EURUSD', NULL) IS NULL AS none;

-- the value of a pip: golden numbers
BEGIN;
SELECT fx.create_market_data_partitions('2024-05-01', '2024-06-01') >= 0 AS made;
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price) VALUES
    ('EURUSD', '1m', '2024-05-08 12:00+00', 1.10250, 1.10250, 1.10250, 1.10250),
    ('USDJPY', '1m', '2024-05-08 12:00+00', 149.500, 149.500, 149.500, 149.500),
    ('GBPUSD', '1m', '2024-05-08 12:00+00', 1.26010, 1.26010, 1.26010, 1.26010);
SELECT fx.pip_value('EURUSD', 100000, 'USD', '2024-05-08 12:01+00') AS eurusd,
       fx.pip_value('EURUSD', 100000, 'EUR', '2024-05-08 12:01+00') AS eurusd_in_eur,
       fx.pip_value('USDJPY', 100000, 'JPY', '2024-05-08 12:01+00') AS usdjpy_in_jpy,
       fx.pip_value('usd/jpy', 100000, 'usd', '2024-05-08 12:01+00') AS usdjpy,
       fx.pip_value('USDJPY', -100000, 'USD', '2024-05-08 12:01+00') AS short,
       fx.pip_value('EURGBP', 50000, 'USD', '2024-05-08 12:01+00') AS eurgbp;
-- USDJPY 1 lot 150.000 to 149.500, EURGBP sold 0.5 lot 0.85000 to 0.84600, and the margin of a lot at 1.10 and 30:1
SELECT fx.convert((149.500 - 150.000) * 100000, 'JPY', 'USD', '2024-05-08 12:01+00') AS usdjpy,
       fx.convert((0.85000 - 0.84600) * 50000, 'GBP', 'USD', '2024-05-08 12:01+00') AS eurgbp_at_mid,
       round(100000 * 1.10 / 30, 2) AS margin;
-- swap of -7.2 points on a Wednesday, three days: a point is a tenth of a pip
SELECT round(-7.2 * i.pip_size / 10 * i.contract_size * CASE WHEN i.triple_swap_weekday = extract(isodow FROM date '2024-05-08') THEN 3 ELSE 1 END, 2) AS swap
  FROM fx.instruments i WHERE i.symbol = 'EURUSD';
-- nothing fresh, nothing known
SELECT fx.pip_value('USDJPY', 100000, 'USD', '2024-05-08 15:00+00') IS NULL AS stale, fx.pip_value('USDJPY', 100000, 'CHF', '2024-05-08 12:01+00') IS NULL AS no_rate,
       fx.pip_value('USDJPY', NULL, 'USD') IS NULL AS none, fx.pip_value(NULL, 1, 'USD') IS NULL AS nothing;
ROLLBACK;

-- holidays
BEGIN;
SELECT fx.add_standard_holidays(2024, 2025) AS made, fx.add_standard_holidays(2024, 2026) AS more, fx.add_standard_holidays(2024, 2024) AS none;
SELECT day, name FROM fx.holidays ORDER BY day;
SELECT fx.is_market_open('2024-12-24 21:59+00') AS eve, fx.is_market_open('2024-12-24 22:00+00') AS night, fx.is_market_open('2024-12-25 22:00+00') AS after;
ROLLBACK;

-- what nobody changed is no loss when the migration is undone
BEGIN;
SELECT * FROM fx.migration_losses('{2024_03_01_instruments}');
UPDATE fx.instruments SET swap_long = -7.2, swap_short = 2.1 WHERE symbol = 'EURUSD';
SELECT updated_at > '2024-03-02' AS touched, created_at FROM fx.instruments WHERE symbol = 'EURUSD';
DELETE FROM fx.instruments WHERE symbol = 'XPDUSD';
INSERT INTO fx.holidays VALUES ('2024-12-25', 'Christmas');
SELECT * FROM fx.migration_losses('{2024_03_01_instruments}') ORDER BY object;
ROLLBACK;

-- errors
SELECT fx.pips('EURXXX', 1);
SELECT fx.pips('EURUSD', 'long', 1, 1);
SELECT fx.pips('EURUSD', 'NaN');
SELECT fx.pips('EURUSD', 'buy', 1, 'infinity');
SELECT fx.pip_value('FOO', 1, 'USD');
SELECT fx.pip_value('EURUSD', 1, 'dollars of the States');
SELECT fx.pip_value('EURUSD', 'NaN', 'USD');
SELECT fx.add_standard_holidays(NULL, 2024);
SELECT fx.add_standard_holidays(2024, NULL);
SELECT fx.add_standard_holidays(1800, 2024);
SELECT fx.add_standard_holidays(2024, 10000);
SELECT fx.add_standard_holidays(2025, 2024);
\set VERBOSITY sqlstate
SELECT fx.pips('EURXXX', 1);
SELECT fx.pips('EURUSD', 'long', 1, 1);
SELECT fx.pips('EURUSD', 'NaN');
SELECT fx.pip_value('EURUSD', 1, '$');
SELECT fx.add_standard_holidays(NULL, 2024);
SELECT fx.add_standard_holidays(1800, 2024);
SELECT fx.add_standard_holidays(2025, 2024);
-- the table refuses what makes no sense
CREATE FUNCTION pg_temp.try(changes text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    violated text;
BEGIN
    EXECUTE format('UPDATE fx.instruments SET %s WHERE symbol = ''EURUSD''', changes);
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS violated = CONSTRAINT_NAME;
    RETURN violated;
END
$$;
BEGIN;
SELECT c.change, pg_temp.try(c.change) AS violated
  FROM unnest(ARRAY['symbol = ''/''', 'base_currency = ''eur''', 'quote_currency = ''U$D''', 'quote_currency = ''EU''', 'quote_currency = ''EUR''', 'pip_size = 0',
                    'pip_size = ''NaN''', 'contract_size = -1', 'contract_size = ''NaN''', 'swap_long = ''NaN''', 'swap_short = ''NaN''',
                    'triple_swap_weekday = 0', 'triple_swap_weekday = 8', 'pip_size = 0.00001, swap_long = -3.125, triple_swap_weekday = 7']) WITH ORDINALITY AS c (change, place)
 ORDER BY c.place;
INSERT INTO fx.holidays VALUES ('infinity', 'for ever');
ROLLBACK;
-- rights
SELECT r.role, string_agg(p.privilege, ' ' ORDER BY p.place) FILTER (WHERE has_table_privilege(r.role, 'fx.instruments', p.privilege)) AS instruments,
       string_agg(p.privilege, ' ' ORDER BY p.place) FILTER (WHERE has_table_privilege(r.role, 'fx.holidays', p.privilege)) AS holidays
  FROM unnest(ARRAY['fx_app', 'fx_reporting', 'fx_user']) AS r (role),
       unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) WITH ORDINALITY AS p (privilege, place)
 GROUP BY 1 ORDER BY 1;
SET ROLE fx_user;
SELECT fx.add_standard_holidays(2024, 2024);
RESET ROLE;
RESET timezone;
