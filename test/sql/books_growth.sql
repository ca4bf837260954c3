-- More of everything than there is room for at first, and numbers at the edge
BEGIN;
SET search_path = fx, public;
SET client_min_messages = warning;
SET LOCAL timezone = 'UTC';
SET LOCAL fxplatform.clock = '2024-03-05 12:00:00+00';
\set ann '00000000-0000-4000-8000-0000000000a1'
\set bob '00000000-0000-4000-8000-0000000000a2'
INSERT INTO users (id, email, username, password_hash, preferences) VALUES (:'ann', 'ann@example.com', 'ann', 'x', '{"initialBalance": 1000000}'), (:'bob', 'bob@example.com', 'bob', 'x', '{"initialBalance": 1000000}');
UPDATE accounts SET position_method = 'fifo' WHERE user_id = :'bob';
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value, symbol) VALUES (:'ann', 'all', 'max_open_trades', 'absolute', 1000, NULL), (:'ann', 'one', 'max_open_trades', 'absolute', 2, 'S07');
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM);
END
$$;

-- forty symbols of one user, by one statement and by forty
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
SELECT :'ann', 'S' || lpad(n::text, 2, '0'), 'buy', 'market', n, 2, 'executed', '2024-03-05 11:00+00' FROM generate_series(1, 40) AS n;
DO $$
BEGIN
    FOR n IN 1..40 LOOP
        INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
        VALUES ('00000000-0000-4000-8000-0000000000a1', 'T' || n, 'sell', 'market', n, 2, 'executed', '2024-03-05 11:30+00');
    END LOOP;
END
$$;
SELECT count(*), sum(long_quantity), sum(short_quantity) FROM positions WHERE user_id = :'ann';
SELECT name, trim_scale(current_value) AS current FROM risk_limits ORDER BY name;
SELECT pg_temp.try($$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) SELECT '00000000-0000-4000-8000-0000000000a1', 'S07', 'buy', 'market', 1, 2, 'executed', '2024-03-05 11:31+00' FROM generate_series(1, 2)$$);

-- one sale that closes a hundred trades, the oldest first
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
SELECT :'bob', 'EURUSD', 'buy', 'market', 10, 1 + n * 0.001, 'executed', timestamptz '2024-03-05 08:00+00' + n * interval '1 minute' FROM generate_series(1, 101) AS n;
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (:'bob', 'EURUSD', 'sell', 'market', 1005, 1.2, 'executed', '2024-03-05 11:40+00');
SELECT count(*), trim_scale(sum(quantity)) AS quantity FROM closures;
SELECT trim_scale(long_quantity) AS long, open_trades FROM positions WHERE user_id = :'bob';
SELECT * FROM verify_positions();

-- swap of a position over the start of the year 2000: Tuesday 28 December to Tuesday 4 January, Wednesday three times
UPDATE instruments SET swap_long = -10, triple_swap_weekday = 3 WHERE symbol = 'GBPUSD';
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price, status, executed_at)
VALUES ('00000000-0000-4000-8000-0000000000b1', :'bob', 'GBPUSD', 'buy', 'market', 100000, 1.5, 'executed', '1999-12-28 12:00+00');
SELECT count(*) AS closed FROM close_trade('00000000-0000-4000-8000-0000000000b1', 1.5, '2000-01-04 12:00+00');
SELECT trim_scale(swap) AS swap FROM trades WHERE id = '00000000-0000-4000-8000-0000000000b1';

-- a week before 2000: off market by the ingest as by the calendar
SELECT i.off_market, c.off_market AS by_calendar
  FROM (SELECT jsonb_agg(jsonb_build_object('symbol', 'EURUSD', 'timeframe', '1h', 'timestamp', at, 'open', 1, 'high', 1, 'low', 1, 'close', 1)) AS candles,
               count(*) FILTER (WHERE extract(isodow FROM fx_day(at)) > 5) AS off_market
          FROM generate_series(timestamptz '1998-06-01 00:00+00', '1998-06-14 23:00+00', '1 hour') AS at) AS c,
       ingest_candles(c.candles) AS i;

-- more drawdowns than there is room for, all alike
SELECT count(*), count(DISTINCT drawdown), max(rank), min(trough_at) = min(trough_at) FILTER (WHERE rank = 1) AS earlier_first
  FROM drawdowns((SELECT jsonb_agg(jsonb_build_object('profit', CASE WHEN n % 2 = 0 THEN 50 ELSE -50 END, 'closedAt', timestamptz '2024-01-01 00:00+00' + n * interval '1 hour')) FROM generate_series(0, 399) AS n), 1000, 1000);

-- two spellings of a symbol with a letter beyond ASCII
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
SELECT :'ann', spelling, 'buy', 'market', 1, 2, 'executed', '2024-03-05 11:50+00' FROM unnest(ARRAY[E'eur/\u00fc', E'EUR-\u00fc']) AS spelling;
SELECT trim_scale(long_quantity) AS long FROM positions WHERE symbol > 'EUR' AND symbol < 'EUS' AND user_id = :'ann';

SELECT pg_temp.try($$SET fxplatform.clock = 'soon'$$), pg_temp.try($$SET fxplatform.clock = '2024-03-05 12:00'$$);
ROLLBACK;
