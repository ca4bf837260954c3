--
-- Books at the ends of what they hold, and books that somebody wrote to
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
SET fxplatform.clock = '2024-03-05 12:00:00Z';

CREATE FUNCTION id(n integer) RETURNS uuid
LANGUAGE sql AS $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION trade(n integer, u integer, side text, units numeric, price numeric, profit numeric DEFAULT NULL)
RETURNS void
LANGUAGE sql AS $$
    INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at, profit)
    VALUES (id(n), id(u), 'EURUSD', side, 'market', units, price, 'executed', '2024-03-05 12:00Z', profit)
$$;
CREATE FUNCTION price(sym text, at timestamptz, price numeric) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
    VALUES (sym, '1m', at, price, price, price, price, 1)
$$;
SELECT fx.create_market_data_partitions('2024-03-01', '2024-04-01') >= 0 AS made;
INSERT INTO fx.users (id, email, username, password_hash, preferences) VALUES
    (id(1), 'a@example.com', 'a', 'x', '{"initialBalance": "99999999999999999999.99999998"}'),
    (id(2), 'b@example.com', 'b', 'x', '{}'),
    (id(3), 'c@example.com', 'c', 'x', '{}'),
    (id(4), 'd@example.com', 'd', 'x', '{}');

-- money
SELECT fx.deposit(id(1), 0.00000001);
SELECT fx.deposit(id(1), 0.00000001);
\set VERBOSITY sqlstate
SELECT fx.deposit(id(1), 0.00000001);
UPDATE fx.accounts SET initial_balance = 99999999999999999999.99999999 WHERE user_id = id(1);
\set VERBOSITY default

-- products of 256 bits: what leaves a position is rounded once, as numerics have it
SELECT trade(1, 2, 'buy', 9999999999.99999999, 9999999999.99999999);
SELECT trade(2, 2, 'buy', 9999999998.12345679, 8765432109.87654321);
SELECT long_quantity, long_cost, average_price FROM fx.positions WHERE user_id = id(2);
SELECT trade(3, 2, 'sell', 7777777777.77777777, 1.23456789, 5);
SELECT c.trade_id = id(1) AS first, c.cost,
       c.cost = round((round(9999999999.99999999 * 9999999999.99999999, 8) + round(9999999998.12345679 * 8765432109.87654321, 8))
                      * 7777777777.77777777 / (9999999999.99999999 + 9999999998.12345679), 8) AS exact
  FROM fx.closures c WHERE c.user_id = id(2);
SELECT long_quantity, long_cost, average_price FROM fx.positions WHERE user_id = id(2);
-- nothing is left of it
SELECT trade(4, 2, 'sell', 9999999999.99999999, 1.23456789, 5);
SELECT trade(5, 2, 'sell', 2222222220.34567902, 1.23456789, 5);
SELECT long_quantity, short_quantity, long_cost, short_cost, average_price, realized_pnl FROM fx.positions WHERE user_id = id(2);
-- a value that does not fit is not known
SELECT trade(6, 2, 'buy', 9999999999.99999999, 1e-8), trade(7, 2, 'buy', 9999999999.99999999, 1e-8);
SELECT price('EURUSD', '2024-03-05 11:59Z', 9999999999.99999999);
SELECT fx.mark_account(id(2));
SELECT trim_scale(high_water_mark) AS high FROM fx.accounts WHERE user_id = id(2);
SELECT price('EURUSD', '2024-03-05 21:58Z', 9999999999.99999999);
SET fxplatform.clock = '2024-03-05 22:00:00Z';
SELECT fx.lock_account(id(2));
SELECT day_balance, day_equity FROM fx.accounts WHERE user_id = id(2);
SELECT price('EURUSD', '2024-03-05 21:59Z', 4999999999.99999999);
SELECT fx.mark_account(id(2));
-- a profit that no trade can hold
\set VERBOSITY sqlstate
SELECT trade(8, 2, 'sell', 9999999999.99999999, 2);
\set VERBOSITY default
SELECT * FROM fx.verify_positions();

-- methods are for positions to come
\set VERBOSITY terse
UPDATE fx.accounts SET position_method = 'hedging' WHERE user_id = id(2);
SELECT trade(8, 2, 'sell', 9999999999.99999999, 1, -1), trade(9, 2, 'sell', 9999999999.99999999, 1, -1);
UPDATE fx.accounts SET position_method = 'hedging' WHERE user_id = id(2);
SELECT position_method FROM fx.accounts WHERE user_id = id(2);
-- and currencies for accounts without a history
UPDATE fx.accounts SET currency = 'EUR' WHERE user_id = id(2);

-- trades that the engine did not see
SET session_replication_role = replica;
SELECT trade(11, 3, 'buy', 100, 1.1);
SET session_replication_role = DEFAULT;
SELECT symbol, item, stored, computed FROM fx.verify_positions() ORDER BY 1, 2;
UPDATE fx.trades SET closed_at = executed_at, profit = 1 WHERE id = id(11);
\set VERBOSITY sqlstate
UPDATE fx.trades SET closed_at = executed_at, profit = 1 WHERE id = id(11);
\set VERBOSITY terse
SELECT fx.rebuild_risk_state(id(3));
UPDATE fx.trades SET closed_at = executed_at, profit = 1 WHERE id = id(11);
SELECT trim_scale(balance) AS balance, open_trades FROM fx.accounts WHERE user_id = id(3);

-- a time zone that the server does not know any more
SET session_replication_role = replica;
UPDATE fx.accounts SET time_zone = 'Europe/Atlantis' WHERE user_id = id(3);
SET session_replication_role = DEFAULT;
SELECT fx.deposit(id(3), 1);
UPDATE fx.accounts SET day_cutoff = '00:00' WHERE user_id = id(3);
SET session_replication_role = replica;
UPDATE fx.accounts SET time_zone = 'Europe/Prague' WHERE user_id = id(3);
SET session_replication_role = DEFAULT;

-- a trigger that writes the books of the account that is being written
CREATE FUNCTION bonus() RETURNS trigger
LANGUAGE plpgsql AS $$ BEGIN PERFORM fx.deposit(NEW.user_id, 100); RETURN NULL; END $$;
CREATE TRIGGER bonus AFTER INSERT ON fx.positions FOR EACH ROW EXECUTE FUNCTION bonus();
INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at)
VALUES (id(12), id(3), 'GBPUSD', 'buy', 'market', 1, 1.2, 'executed', '2024-03-05 12:00Z');
SELECT trim_scale(balance) AS balance, open_trades FROM fx.accounts WHERE user_id = id(3);
DROP TRIGGER bonus ON fx.positions;
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value) VALUES (id(3), 'open', 'max_open_trades', 'absolute', 2);
CREATE TRIGGER bonus AFTER INSERT ON fx.risk_events FOR EACH ROW EXECUTE FUNCTION bonus();
SELECT trade(13, 3, 'buy', 1, 1.1);
\set VERBOSITY sqlstate
SELECT trade(13, 3, 'buy', 1, 1.1);
\set VERBOSITY terse
DROP TRIGGER bonus ON fx.risk_events;
SELECT trade(13, 3, 'buy', 1, 1.1);
SELECT trim_scale(balance) AS balance, open_trades FROM fx.accounts WHERE user_id = id(3);

-- many statements of one transaction, parts of it rolled back
BEGIN;
DO $$
BEGIN
    FOR i IN 100 .. 160 LOOP
        BEGIN
            PERFORM fx.deposit(id(4), i);
            INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at, profit)
            VALUES (id(i), id(4), CASE i % 3 WHEN 0 THEN 'EURUSD' ELSE 'GBPUSD' END, CASE i % 2 WHEN 0 THEN 'buy' ELSE 'sell' END,
                    'market', i, 1, 'executed', '2024-03-05 12:00Z', 1);
            IF i % 4 = 0 THEN
                RAISE EXCEPTION 'back' USING ERRCODE = 'XX999';
            END IF;
        EXCEPTION WHEN SQLSTATE 'XX999' THEN
            NULL;
        END;
        IF i % 10 = 0 THEN
            UPDATE fx.accounts SET state_reason = 'at ' || i WHERE user_id = id(4);
        END IF;
    END LOOP;
END $$;
SELECT * FROM fx.verify_positions();
SELECT trim_scale(net_deposits) AS deposits, open_trades, state_reason FROM fx.accounts WHERE user_id = id(4);
COMMIT;
SELECT * FROM fx.verify_positions();

DELETE FROM fx.users;
TRUNCATE fx.market_data;
DROP FUNCTION bonus, price, trade, id;
TRUNCATE fx.audit_log, fx.candle_changes;
DROP TABLE fx.market_data_2024_03;
