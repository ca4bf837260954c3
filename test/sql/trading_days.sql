--
-- Trading days, weeks and months: when they begin, and what an account was worth then
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET fxplatform.clock = '2024-03-05 12:00:00Z';

CREATE FUNCTION id(n integer) RETURNS uuid
LANGUAGE sql AS $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;

-- without the decimals that are zero
CREATE FUNCTION books(n integer, OUT balance numeric, OUT deposits numeric, OUT high numeric, OUT eod numeric)
LANGUAGE sql AS $$
    SELECT trim_scale(a.balance), trim_scale(a.net_deposits), trim_scale(a.high_water_mark),
           trim_scale(a.eod_high_water_mark)
      FROM fx.accounts a WHERE a.user_id = id(n)
$$;
CREATE FUNCTION periods(n integer)
RETURNS TABLE (period text, started_at timestamptz, balance numeric, equity numeric, deposits numeric)
LANGUAGE sql AS $$
    SELECT p.period, p.started_at, trim_scale(p.balance), trim_scale(p.equity), trim_scale(p.deposits)
      FROM fx.accounts a
     CROSS JOIN LATERAL (VALUES
           ('day', a.day_started_at, a.day_balance, a.day_equity, a.day_deposits),
           ('month', a.month_started_at, a.month_balance, a.month_equity, a.month_deposits),
           ('week', a.week_started_at, a.week_balance, a.week_equity, a.week_deposits)
         ) AS p (period, started_at, balance, equity, deposits)
     WHERE a.user_id = id(n)
     ORDER BY p.period
$$;

-- Sunday 17:00 in New York is Monday; both changes of the clock
SELECT p.* FROM (VALUES ('2024-03-08 21:59:59.999999Z'::timestamptz), ('2024-03-08 22:00Z'), ('2024-03-10 20:59Z'),
                        ('2024-03-10 21:00Z'), ('2024-03-31 21:00Z'), ('2024-11-03 21:59Z'), ('2024-11-03 22:00Z')) AS t (at)
 CROSS JOIN LATERAL fx.trading_periods('America/New_York', '17:00', t.at) AS p ORDER BY t.at;
-- midnight in Prague, and before noon elsewhere
SELECT p.* FROM fx.trading_periods('Europe/Prague', '00:00', '2024-03-31 21:59Z') AS p;
SELECT p.* FROM fx.trading_periods('Europe/Prague', '00:00', '2024-03-31 22:00Z') AS p;
SELECT p.* FROM fx.trading_periods('UTC', '11:59:59.999999', '2024-01-01 11:59:59.999998Z') AS p;
SELECT p.* FROM fx.trading_periods('UTC', '12:00', '2024-01-01 12:00Z') AS p;
-- a cut that the clock skips, and one that it shows twice
SELECT p.day, p.day_started_at FROM fx.trading_periods('America/New_York', '02:30', '2024-03-10 12:00Z') AS p;
SELECT p.day, p.day_started_at FROM fx.trading_periods('America/New_York', '01:30', '2024-11-03 12:00Z') AS p;
SELECT p.day, p.day_started_at FROM fx.trading_periods('Africa/Cairo', '00:00', '2024-04-26 12:00Z') AS p;
-- no 30th of December 2011
SELECT p.day, p.day_started_at, p.day_ends_at FROM fx.trading_periods('Pacific/Apia', '06:00', '2011-12-30 12:00Z') AS p;
-- every moment is in its day, and days follow each other
SELECT count(*) AS moments,
       count(*) FILTER (WHERE t.at < p.day_started_at OR t.at >= p.day_ends_at
                           OR p.week_started_at > p.day_started_at OR p.month_started_at > p.day_started_at
                           OR n.day_started_at <> p.day_ends_at) AS wrong
  FROM (VALUES ('America/New_York', '17:00'::time), ('Europe/Prague', '00:00'), ('America/Havana', '00:30'),
               ('Australia/Lord_Howe', '02:15'), ('America/New_York', '02:30'), ('Africa/Casablanca', '03:00')) AS z (zone, cutoff)
 CROSS JOIN generate_series('2024-01-01 00:00Z'::timestamptz, '2024-12-31 00:00Z', interval '5 hours 17 minutes') AS t (at)
 CROSS JOIN LATERAL fx.trading_periods(z.zone, z.cutoff, t.at) AS p
 CROSS JOIN LATERAL fx.trading_periods(z.zone, z.cutoff, p.day_ends_at) AS n;
SELECT p.* FROM fx.trading_periods(NULL, '17:00') AS p;
\set VERBOSITY terse
SELECT fx.trading_periods('Europe/Atlantis', '17:00');
SELECT fx.trading_periods('UTC', '24:00');
SELECT fx.trading_periods('UTC', '17:00', 'infinity');
SELECT fx.trading_periods('UTC', '17:00', '294276-12-31 23:59Z');
\set VERBOSITY default

--
-- The turn of a day
--
INSERT INTO fx.users (id, email, username, password_hash, preferences)
VALUES (id(1), 'a@example.com', 'a', 'x', '{"initialBalance": 1000}');
SELECT fx.deposit(id(1), 10);
SET fxplatform.clock = '2024-03-05 21:59:59.999999Z';
SELECT fx.lock_account(id(1));
SELECT * FROM periods(1);
SET fxplatform.clock = '2024-03-05 22:00:00Z';
SELECT fx.lock_account(id(1));
SELECT * FROM periods(1);
SELECT * FROM books(1);
-- a week and a month later, by whatever comes first; a flow belongs to the new day
SET fxplatform.clock = '2024-04-08 01:00:00Z';
SELECT fx.withdraw(id(1), 5);
SELECT * FROM periods(1);
-- a clock that goes back turns no day back
SET fxplatform.clock = '2024-04-05 01:00:00Z';
SELECT fx.deposit(id(1), 1);
SELECT * FROM periods(1);
-- another clock: the day goes on to its next cut
SET fxplatform.clock = '2024-04-08 01:00:00Z';
UPDATE fx.accounts SET time_zone = 'Europe/Prague', day_cutoff = '00:00' WHERE user_id = id(1);
SELECT * FROM periods(1);
SELECT day_ends_at FROM fx.accounts WHERE user_id = id(1);
SET fxplatform.clock = '2024-04-08 22:00:00Z';
SELECT fx.lock_account(id(1));
SELECT * FROM periods(1);
-- the old day ends first
SET fxplatform.clock = '2024-04-20 12:00:00Z';
UPDATE fx.accounts SET time_zone = 'UTC', day_cutoff = '00:30' WHERE user_id = id(1);
SELECT * FROM periods(1);
SELECT day_ends_at FROM fx.accounts WHERE user_id = id(1);

--
-- With something open
--
SELECT fx.create_market_data_partitions('2024-03-01', '2024-07-01') >= 0 AS made;
CREATE FUNCTION price(sym text, at timestamptz, price numeric) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
    VALUES (sym, '1m', at, price, price, price, price, 1)
$$;
CREATE FUNCTION trade(n integer, sym text, side text, units numeric, price numeric, at timestamptz) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at, commission)
    VALUES (id(n), id(2), sym, side, 'market', units, price, 'executed', at, 2)
$$;
SET fxplatform.clock = '2024-06-03 12:00:00Z';
INSERT INTO fx.users (id, email, username, password_hash, preferences)
VALUES (id(2), 'b@example.com', 'b', 'x', '{"initialBalance": 10000}');
-- 21:00 in June
SELECT price('EURUSD', '2024-06-03 20:58Z', 1.1010), price('EURUSD', '2024-06-03 20:59Z', 1.1020),
       price('EURUSD', '2024-06-03 21:00Z', 1.2000), price('USDJPY', '2024-06-03 20:59Z', 150);
SELECT trade(11, 'EUR/USD', 'buy', 10000, 1.1000, '2024-06-03 12:00Z');
SELECT trade(12, 'usdjpy', 'sell', 1000, 151.5, '2024-06-03 12:00Z');
SELECT * FROM books(2);
-- by the prices of 21:00, whenever that is: 9996 + 20 + 1500 JPY at 150
SET fxplatform.clock = '2024-06-03 21:30:00Z';
SELECT fx.lock_account(id(2));
SELECT * FROM periods(2);
SELECT day_trades, open_trades FROM fx.accounts WHERE user_id = id(2);
-- what happened before and is told now belongs to the day before
SELECT trade(13, 'EURUSD', 'buy', 10000, 1.1010, '2024-06-03 20:00Z');
UPDATE fx.trades SET profit = 50, closed_at = '2024-06-03 20:30Z' WHERE id = id(11);
UPDATE fx.trades SET swap = -1 WHERE id = id(12);
SELECT * FROM periods(2);
SELECT * FROM books(2);
SELECT day_trades, open_trades FROM fx.accounts WHERE user_id = id(2);
-- without a price the balance is all that is known
SET fxplatform.clock = '2024-06-05 21:30:00Z';
SELECT fx.lock_account(id(2));
SELECT * FROM periods(2);
SELECT * FROM books(2);
-- an execution is a price while it is fresh, and a candle is a better one
SET fxplatform.clock = '2024-06-06 20:30:00Z';
UPDATE fx.trades SET profit = 10, closed_at = '2024-06-06 20:30Z' WHERE id = id(12);
SELECT trade(14, 'EURUSD', 'buy', 10000, 1.1050, '2024-06-06 20:30Z');
SET fxplatform.clock = '2024-06-06 21:00:00Z';
SELECT fx.lock_account(id(2));
SELECT * FROM periods(2);
SELECT price('EURUSD', '2024-06-07 20:59Z', 1.3);
SET fxplatform.clock = '2024-06-07 21:00:00Z';
SELECT fx.lock_account(id(2));
SELECT * FROM periods(2);
SELECT * FROM books(2);
-- a mark observes the high-water mark
SELECT trim_scale(fx.mark_account(id(2))) AS equity;
SELECT * FROM books(2);
-- over a weekend, whose candle is the last of Friday
SET fxplatform.clock = '2024-06-10 03:00:00Z';
SELECT fx.lock_account(id(2));
SELECT * FROM periods(2);

SELECT * FROM fx.verify_positions();
DELETE FROM fx.users;
TRUNCATE fx.market_data;
DROP FUNCTION trade, price, books, periods, id;
TRUNCATE fx.audit_log, fx.candle_changes;
DROP TABLE fx.market_data_2024_03, fx.market_data_2024_04, fx.market_data_2024_05, fx.market_data_2024_06;
