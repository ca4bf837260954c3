--
-- Accounts: opened with their users, moved by cash flows, kept from being written by hand
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

INSERT INTO fx.users (id, email, username, password_hash, preferences) VALUES
    (id(1), 'a@example.com', 'a', 'x', '{"initialBalance": 1000, "accountCurrency": "eur"}'),
    (id(2), 'b@example.com', 'b', 'x', '{"initialBalance": "none", "accountCurrency": "E!"}'),
    (id(3), 'c@example.com', 'c', 'x', NULL);
SELECT a.user_id = id(1) AS first, a.currency, trim_scale(a.initial_balance) AS initial, trim_scale(a.balance) AS balance,
       a.position_method, a.trading_state, a.time_zone, a.day_cutoff, a.day_ends_at
  FROM fx.accounts a ORDER BY a.user_id;
SELECT * FROM periods(1);

-- cash flows
SELECT fx.deposit(id(1), 500.125);
SELECT fx.withdraw(id(1), 0.123456785, 'fee');
INSERT INTO fx.cash_flows (user_id, amount) VALUES (id(1), 20), (id(2), 7), (id(1), -20);
SELECT amount, reason FROM fx.cash_flows ORDER BY id;
SELECT * FROM books(1);
SELECT * FROM periods(1);
SELECT * FROM books(2);

\set VERBOSITY terse
SELECT fx.deposit(NULL, 1);
SELECT fx.deposit(id(1), NULL);
SELECT fx.deposit(id(1), 0);
SELECT fx.deposit(id(1), -5);
SELECT fx.deposit(id(1), 0.000000004);
SELECT fx.deposit(id(1), 'NaN');
SELECT fx.withdraw(id(1), 'Infinity');
SELECT fx.deposit(id(1), 1234567890123456789012345678901234567890);
SELECT fx.deposit(id(9), 1);
SELECT fx.withdraw(id(1), 1500.001543215);
INSERT INTO fx.cash_flows (user_id, amount) VALUES (id(2), -7.00000001);
UPDATE fx.cash_flows SET amount = 1;
DELETE FROM fx.cash_flows;
\set VERBOSITY sqlstate
SELECT fx.deposit(id(1), NULL);
SELECT fx.deposit(id(1), 0);
SELECT fx.deposit(id(1), 'NaN');
SELECT fx.deposit(id(1), 10000000000);
SELECT fx.deposit(id(9), 1);
SELECT fx.withdraw(id(1), 1500.001543215);
UPDATE fx.cash_flows SET amount = 1;
\set VERBOSITY default
-- all of it
SELECT fx.withdraw(id(2), 7);
SELECT * FROM books(2);

-- a flow that is rolled back is no flow
BEGIN;
SELECT fx.deposit(id(1), 1);
SAVEPOINT s;
SELECT fx.deposit(id(1), 10);
ROLLBACK TO s;
SELECT fx.deposit(id(1), 100);
SELECT * FROM books(1);
ROLLBACK;
SELECT * FROM books(1);

--
-- Settings
--
\set VERBOSITY terse
UPDATE fx.accounts SET balance = 0 WHERE user_id = id(1);
UPDATE fx.accounts SET day_equity = NULL WHERE user_id = id(1);
UPDATE fx.accounts SET user_id = id(9) WHERE user_id = id(1);
UPDATE fx.accounts SET time_zone = 'Europe/Atlantis' WHERE user_id = id(1);
UPDATE fx.accounts SET day_cutoff = '24:00' WHERE user_id = id(1);
UPDATE fx.accounts SET time_zone = NULL WHERE user_id = id(1);
UPDATE fx.accounts SET initial_balance = 'NaN' WHERE user_id = id(1);
UPDATE fx.accounts SET initial_balance = -1 WHERE user_id = id(1);
UPDATE fx.accounts SET currency = 'USD' WHERE user_id = id(1);
UPDATE fx.accounts SET currency = 'x' WHERE user_id = id(3);
UPDATE fx.users SET preferences = '{"accountCurrency": "GBP"}' WHERE id = id(1);
SELECT fx.set_trading_state(id(1), NULL);
SELECT fx.set_trading_state(id(1), 'stopped');
SELECT fx.set_trading_state(id(9), 'halted');
\set VERBOSITY sqlstate
UPDATE fx.accounts SET balance = 0 WHERE user_id = id(1);
UPDATE fx.accounts SET time_zone = 'Europe/Atlantis' WHERE user_id = id(1);
UPDATE fx.users SET preferences = '{"accountCurrency": "GBP"}' WHERE id = id(1);
SELECT fx.set_trading_state(id(1), NULL);
SELECT fx.set_trading_state(id(1), 'stopped');
SELECT fx.set_trading_state(id(9), 'halted');
\set VERBOSITY default
-- what it has is not changed
UPDATE fx.accounts SET balance = balance, currency = 'EUR', user_id = user_id WHERE user_id = id(1);

SELECT fx.set_trading_state(id(1), 'halted', 'a check');
SELECT fx.set_trading_state(id(1), 'halted', 'a check');
UPDATE fx.accounts SET trading_state = 'active', state_reason = NULL WHERE user_id = id(1);
SELECT event, reason, detail FROM fx.risk_events ORDER BY id;

-- another initial balance moves all that was counted from it
UPDATE fx.users SET preferences = '{"initialBalance": 1100, "accountCurrency": "EUR"}' WHERE id = id(1);
SELECT * FROM books(1);
SELECT * FROM periods(1);
UPDATE fx.accounts SET initial_balance = 1000 WHERE user_id = id(1);
SELECT * FROM books(1);
-- a currency follows while there is nothing in it, and nothing else does
UPDATE fx.users SET preferences = '{"accountCurrency": "jpy", "theme": "dark"}' WHERE id = id(3);
UPDATE fx.accounts SET currency = 'CHF' WHERE user_id = id(3);
UPDATE fx.users SET preferences = '{"accountCurrency": "jpy", "theme": "light"}' WHERE id = id(3);
SELECT currency, balance FROM fx.accounts WHERE user_id = id(3);
-- what is no code is the default
UPDATE fx.users SET preferences = '{"accountCurrency": {"code": "JPY"}}' WHERE id = id(3);
SELECT currency FROM fx.accounts WHERE user_id = id(3);

--
-- Rows that are missing, and tables that are not as they were made
--
SET session_replication_role = replica;
INSERT INTO fx.users (id, email, username, password_hash, preferences)
VALUES (id(4), 'd@example.com', 'd', 'x', '{"initialBalance": 50}');
SET session_replication_role = DEFAULT;
SELECT count(*) FROM fx.accounts WHERE user_id = id(4);
SELECT fx.deposit(id(4), 1.5);
SELECT fx.lock_account(NULL);
BEGIN READ ONLY;
SELECT fx.lock_account(id(4));
ROLLBACK;
\set VERBOSITY terse
SELECT fx.lock_account(id(9));
\set VERBOSITY sqlstate
SELECT fx.lock_account(id(9));
\set VERBOSITY default

BEGIN;
ALTER TABLE fx.accounts DROP COLUMN created_at;
ALTER TABLE fx.accounts ADD COLUMN note text DEFAULT 'mine';
SELECT fx.deposit(id(4), 1);
SELECT note, trim_scale(balance) AS balance FROM fx.accounts WHERE user_id = id(4);
SAVEPOINT s;
ALTER TABLE fx.accounts ALTER COLUMN open_trades TYPE bigint;
SELECT fx.deposit(id(4), 1);
ROLLBACK TO s;
ALTER TABLE fx.accounts DROP CONSTRAINT accounts_pkey;
SELECT fx.deposit(id(4), 1);
ROLLBACK TO s;
ALTER TABLE fx.accounts RENAME TO gone;
SELECT fx.deposit(id(4), 1);
ROLLBACK;
SELECT fx.deposit(id(4), 1);

-- the triggers by themselves
CREATE TABLE odd (id text, user_id uuid, amount text, preferences text);
CREATE TRIGGER t BEFORE INSERT ON odd FOR EACH ROW EXECUTE FUNCTION fx.apply_cash_flow();
INSERT INTO odd VALUES ('1', id(4), '1');
DROP TRIGGER t ON odd;
CREATE TRIGGER t AFTER INSERT ON odd FOR EACH ROW EXECUTE FUNCTION fx.apply_cash_flow();
INSERT INTO odd VALUES ('1', id(4), '1');
DROP TRIGGER t ON odd;
CREATE TRIGGER t AFTER INSERT ON odd FOR EACH ROW EXECUTE FUNCTION fx.open_account();
INSERT INTO odd VALUES ('1', id(4), '1');
DROP TRIGGER t ON odd;
CREATE TRIGGER t AFTER INSERT ON odd FOR EACH ROW EXECUTE FUNCTION fx.follow_preferences();
INSERT INTO odd VALUES ('1', id(4), '1');
DROP TRIGGER t ON odd;
CREATE TRIGGER t BEFORE INSERT ON odd FOR EACH ROW EXECUTE FUNCTION fx.guard_account();
INSERT INTO odd VALUES ('1', id(4), '1');
DROP TABLE odd;

-- rights
SET ROLE fx_app;
SELECT fx.deposit('00000000-0000-4000-8000-000000000004', 1);
UPDATE fx.accounts SET trading_state = 'reduce_only' WHERE user_id = '00000000-0000-4000-8000-000000000004';
\set VERBOSITY terse
UPDATE fx.accounts SET balance = 1;
SET fx.rebuilding_risk_state = 'on';
UPDATE fx.accounts SET time_zone = 'Europe/Atlantis';
RESET fx.rebuilding_risk_state;
SET ROLE fx_user;
SELECT fx.deposit('00000000-0000-4000-8000-000000000004', 1);
SET app.current_user_id = '00000000-0000-4000-8000-000000000004';
SELECT trading_state, trim_scale(balance) AS balance FROM fx.accounts;
UPDATE fx.accounts SET trading_state = 'active';
\set VERBOSITY default
RESET ROLE;
RESET app.current_user_id;

SELECT * FROM fx.verify_positions();
-- the books go with their users
DELETE FROM fx.users;
SELECT (SELECT count(*) FROM fx.accounts) AS accounts, (SELECT count(*) FROM fx.cash_flows) AS flows,
       (SELECT count(*) FROM fx.risk_events) AS events;
DROP FUNCTION books, periods, id;
TRUNCATE fx.audit_log, fx.candle_changes;
