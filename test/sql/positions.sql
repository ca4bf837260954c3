--
-- The books compared with the trades, and made again from them
--
SET search_path = fx, public;
SET timezone = 'UTC';
SET fxplatform.clock = '2024-03-06T15:00:00Z';
\set ann '00000000-0000-4000-8000-0000000000a1'
\set bob '00000000-0000-4000-8000-0000000000b1'
\set cyd '00000000-0000-4000-8000-0000000000c1'

-- nobody, nothing
SELECT count(*) FROM users;
SELECT * FROM verify_positions();

INSERT INTO users (id, email, username, password_hash, preferences) VALUES
    (:'ann', 'ann@example.com', 'ann', 'x', '{"initialBalance": 10000}'),
    (:'bob', 'bob@example.com', 'bob', 'x', '{"initialBalance": 5000, "accountCurrency": "EUR"}'),
    (:'cyd', 'cyd@example.com', 'cyd', 'x', '{}');
UPDATE accounts SET position_method = 'fifo' WHERE user_id = :'bob';
UPDATE accounts SET position_method = 'hedging' WHERE user_id = :'cyd';

CREATE FUNCTION trade(who uuid, nth int, pair text, side text, units numeric, at_price numeric, at timestamptz, gain numeric DEFAULT 0,
                      fee numeric DEFAULT 0, closed timestamptz DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    INSERT INTO fx.trades (id, user_id, symbol, type, order_type, quantity, price, profit, commission, status, executed_at, closed_at)
    VALUES (('00000000-0000-4000-8000-000000000' || lpad(nth::text, 3, '0'))::uuid, who, pair, side, 'market', units, at_price, gain, fee,
            'executed', at, closed)
$$;

-- ann nets two trades, and has lost two in the past
SELECT trade(:'ann', 1, 'EURUSD', 'buy', 100000, 1.1, '2024-03-04 10:00+00', 0, 3);
SELECT trade(:'ann', 2, 'EUR/USD', 'buy', 100000, 1.11, '2024-03-05 10:00+00');
SELECT trade(:'ann', 3, 'eurusd', 'sell', 120000, 1.105, '2024-03-06 10:00+00', 0, 2.5);
SELECT trade(:'ann', 4, 'USDJPY', 'sell', 5000, 150, '2024-03-06 09:00+00');
SELECT trade(:'ann', 5, 'GBPUSD', 'buy', 1000, 1.26, '2024-03-06 09:00+00', -20, 1, '2024-03-06 14:00+00');
SELECT trade(:'ann', 6, 'GBPUSD', 'buy', 1000, 1.26, '2024-03-06 09:30+00', -10, 1, '2024-03-06 14:30+00');
-- bob takes them in turn, and wrote one result himself
SELECT trade(:'bob', 11, 'EURUSD', 'sell', 3000, 1.1, '2024-03-06 10:00+00');
SELECT trade(:'bob', 12, 'EURUSD', 'sell', 3000, 1.12, '2024-03-06 10:30+00');
SELECT trade(:'bob', 13, 'EURUSD', 'buy', 4000, 1.13, '2024-03-06 11:00+00', -77);
-- cyd holds both sides, one without a price
SELECT trade(:'cyd', 21, 'EURUSD', 'buy', 3000, 1.1, '2024-03-06 10:00+00');
SELECT trade(:'cyd', 22, 'EURUSD', 'sell', 1000, NULL, '2024-03-06 10:30+00');
SELECT deposit(:'bob', 250), withdraw(:'bob', 50);

-- what the application does to closed trades is followed
UPDATE trades SET profit = -22.5, swap = -1.25 WHERE id = '00000000-0000-4000-8000-000000000005';
SELECT * FROM verify_positions();
SELECT u.username, p.symbol, p.long_quantity, p.short_quantity, p.long_cost, p.short_cost, p.average_price, p.realized_pnl,
       p.open_trades, p.unpriced_trades, p.last_price
  FROM positions p JOIN users u ON u.id = p.user_id ORDER BY 1, 2;
SELECT u.username, a.balance, a.net_deposits, a.open_trades, a.day_trades, a.consecutive_losses, a.losing_since
  FROM accounts a JOIN users u ON u.id = a.user_id ORDER BY 1;

-- every kind of damage is found
CREATE TABLE good_positions AS TABLE positions;
SET session_replication_role = replica;
UPDATE positions SET long_quantity = long_quantity + 1, long_cost = long_cost - 1 WHERE user_id = :'ann' AND symbol = 'EURUSD';
UPDATE positions SET short_quantity = short_quantity + 0.5, short_cost = 0, realized_pnl = realized_pnl + 0.00000001
 WHERE user_id = :'ann' AND symbol = 'USDJPY';
UPDATE positions SET average_price = NULL WHERE user_id = :'bob';
UPDATE positions SET open_trades = 5, unpriced_trades = 0 WHERE user_id = :'cyd';
DELETE FROM positions WHERE user_id = :'ann' AND symbol = 'GBPUSD';
INSERT INTO positions (user_id, symbol, long_quantity) VALUES (:'bob', 'NZDUSD', 7);
UPDATE accounts SET balance = balance + 100, consecutive_losses = 7, day_trades = 0 WHERE user_id = :'ann';
UPDATE accounts SET net_deposits = 0, open_trades = 9 WHERE user_id = :'bob';
DELETE FROM accounts WHERE user_id = :'cyd';
RESET session_replication_role;
SELECT u.username, v.symbol, v.item, v.stored, v.computed
  FROM verify_positions() v JOIN users u ON u.id = v.user_id ORDER BY u.username, v.symbol NULLS FIRST, v.item;

-- and mended
SELECT rebuild_risk_state(id) FROM users ORDER BY username;
SELECT * FROM verify_positions();
(TABLE good_positions EXCEPT TABLE positions) UNION ALL (TABLE positions EXCEPT TABLE good_positions);
SELECT u.username, a.currency, a.initial_balance, a.balance, a.net_deposits, a.day_started_at, a.day_balance, a.day_equity, a.day_deposits,
       a.week_balance, a.month_balance, a.day_ends_at
  FROM accounts a JOIN users u ON u.id = a.user_id ORDER BY 1;
-- settings stay, but for those of an account that was opened again
SELECT u.username, a.position_method FROM accounts a JOIN users u ON u.id = a.user_id ORDER BY 1;

-- trades that are deleted never were; what they left of a cost goes with them
DELETE FROM trades WHERE id = '00000000-0000-4000-8000-000000000002';
SELECT * FROM verify_positions();
SELECT symbol, long_quantity, short_quantity, long_cost, short_cost, average_price, realized_pnl FROM positions WHERE user_id = :'ann' ORDER BY 1;
SELECT balance, open_trades, consecutive_losses FROM accounts WHERE user_id = :'ann';
SELECT trade(:'ann', 7, 'EURUSD', 'buy', 30000, 1.1, '2024-03-06 12:00+00');
SELECT * FROM verify_positions();
-- a backtest is no trade either
UPDATE trades SET is_backtest = true WHERE id = '00000000-0000-4000-8000-000000000007';
SELECT * FROM verify_positions();
SELECT symbol, long_quantity, short_quantity, long_cost, short_cost FROM positions WHERE user_id = :'ann' ORDER BY 1;
DELETE FROM trades WHERE user_id = :'ann';
SELECT symbol FROM positions WHERE user_id = :'ann';
SELECT balance, open_trades, consecutive_losses, losing_since, last_closed_at FROM accounts WHERE user_id = :'ann';
SET client_min_messages = warning;
TRUNCATE trades CASCADE;
RESET client_min_messages;
SELECT * FROM verify_positions();
SELECT count(*) FROM positions;
DELETE FROM users WHERE id = :'cyd';
SELECT * FROM verify_positions();

-- arguments
\set SHOW_CONTEXT never
SELECT rebuild_risk_state(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT rebuild_risk_state('00000000-0000-4000-8000-00000000dead');
\echo :LAST_ERROR_SQLSTATE

-- who may
SELECT r, has_function_privilege(r, 'fx.verify_positions()', 'EXECUTE') AS verify,
       has_function_privilege(r, 'fx.rebuild_risk_state(uuid)', 'EXECUTE') AS rebuild
  FROM unnest(ARRAY['public', 'fx_app', 'fx_user', 'fx_reporting']) AS r;
SET ROLE fx_app;
SELECT rebuild_risk_state(:'bob');
SELECT * FROM verify_positions();
RESET ROLE;
DELETE FROM fx.users;
TRUNCATE fx.audit_log;
DROP TABLE good_positions;
DROP FUNCTION trade;
