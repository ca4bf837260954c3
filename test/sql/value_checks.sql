--
-- What a row may hold: value sets, numbers, times, shapes of JSON, candles
-- (defects 14, 15, 16, 17, 20, 21, 26)
--
BEGIN;
SET LOCAL search_path = fx, public;
INSERT INTO users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'A.b@example.com', 'a', 'x');
INSERT INTO strategies (id, user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', 's', 'manual');
INSERT INTO backtests (id, strategy_id, user_id, name) VALUES ('00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', 'b');
INSERT INTO trades (id, user_id, symbol, type, order_type, quantity, price) VALUES ('00000000-0000-4000-8000-0000000000d1', '00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 'market', 1, 1);
INSERT INTO risk_limits (id, user_id, name, type, limit_type, limit_value) VALUES ('00000000-0000-4000-8000-0000000000e1', '00000000-0000-4000-8000-0000000000a1', 'l', 'max_open_trades', 'absolute', 1);
SELECT create_market_data_partitions('2024-01-01', '2024-08-01') AS partitions;

-- the constraint that refuses an assignment to the row of a table, or 'accepted'
CREATE FUNCTION pg_temp.verdict(tab regclass, assignment text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    EXECUTE format('UPDATE %s SET %s', tab, assignment);
    RAISE EXCEPTION USING ERRCODE = 'ZZ000';
EXCEPTION
    WHEN SQLSTATE 'ZZ000' THEN RETURN 'accepted';
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS name = CONSTRAINT_NAME;
        RETURN concat_ws(' ', SQLSTATE, nullif(name, ''));
END
$$;
SELECT tab, assignment, pg_temp.verdict(tab::regclass, assignment) AS verdict
  FROM (VALUES
    ('users', $$email = 'nobody'$$), ('users', $$email = '@'$$), ('users', $$email = 'a@b'$$), ('users', $$preferences = '[]'$$), ('users', $$preferences = NULL$$),
    ('strategies', $$type = 'yolo'$$), ('strategies', $$status = 'live'$$), ('strategies', $$config = '1'$$), ('strategies', $$performance_metrics = '"x"'$$), ('strategies', $$version = 0$$),
    ('backtests', $$status = 'done'$$), ('backtests', $$progress = 250$$), ('backtests', $$progress = -1$$), ('backtests', $$progress = 100$$), ('backtests', $$trades = '{}'$$),
    ('backtests', $$equity_curve = '5'$$), ('backtests', $$results = '[]'$$), ('backtests', $$config = 'null'$$),
    ('backtests', $$performance_metrics = '{"totalReturn": "12.5%"}'$$), ('backtests', $$performance_metrics = '{"totalReturn": null}'$$), ('backtests', $$performance_metrics = '{"totalReturn": 0.125}'$$),
    ('trades', $$type = 'hodl'$$), ('trades', $$order_type = 'iceberg'$$), ('trades', $$status = 'exceuted'$$), ('trades', $$quantity = 0$$), ('trades', $$quantity = 'NaN'$$), ('trades', $$price = 'NaN'$$),
    ('trades', $$price = -1$$), ('trades', $$price = NULL$$), ('trades', $$stop_loss = 0$$), ('trades', $$stop_loss = 'NaN'$$), ('trades', $$take_profit = 'NaN'$$), ('trades', $$profit = 'NaN'$$),
    ('trades', $$profit = -5$$), ('trades', $$swap = 'NaN'$$), ('trades', $$commission = 'NaN'$$), ('trades', $$commission = -1$$), ('trades', $$profit = 'Infinity'$$), ('trades', $$metadata = '[]'$$),
    ('trades', $$status = 'executed'$$), ('trades', $$status = 'executed', executed_at = '2024-01-02'$$),
    ('trades', $$status = 'executed', executed_at = '2024-01-02', closed_at = '2024-01-01'$$), ('trades', $$status = 'executed', executed_at = '2024-01-02', closed_at = '2024-01-02'$$),
    ('risk_limits', $$limit_type = 'relative'$$), ('risk_limits', $$limit_value = -1$$), ('risk_limits', $$limit_value = 'NaN'$$), ('risk_limits', $$current_value = 'NaN'$$), ('risk_limits', $$limit_value = 0$$),
    ('risk_limits', $$current_value = NULL$$), ('risk_limits', $$current_value = 10000000000$$)) AS v (tab, assignment);

-- candles
CREATE FUNCTION pg_temp.candle(timeframe text, at timestamptz, o numeric, h numeric, l numeric, c numeric, v bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    INSERT INTO market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume) VALUES ('X', timeframe, at, o, h, l, c, v);
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS name = CONSTRAINT_NAME;
    RETURN concat_ws(' ', SQLSTATE, nullif(name, ''));
END
$$;
SELECT p, pg_temp.candle('1m', '2024-01-02 00:00+00', p[1], p[2], p[3], p[4], 1) AS verdict
  FROM unnest(ARRAY['{2,3,1,2}', '{2,1,3,2}', '{4,3,1,2}', '{2,3,1,4}', '{0.5,3,1,2}', '{2,3,1,0.5}', '{2,3,0,2}', '{-1,3,-2,2}',
                    '{NaN,3,1,2}', '{2,NaN,1,2}', '{2,3,NaN,2}', '{2,3,1,NaN}', '{NaN,NaN,NaN,NaN}', '{1,1,1,1}']::text[]) WITH ORDINALITY AS v (t, n), LATERAL (SELECT t::numeric[] AS p) AS x
 ORDER BY n;
SELECT pg_temp.candle('1m', '2024-01-02 00:01+00', 1, 1, 1, 1, -1) AS volume, pg_temp.candle('1m', '2031-01-02 00:01+00', 1, 1, 1, 1, 1) AS no_partition;
SELECT tf, at AT TIME ZONE 'UTC' AS utc, pg_temp.candle(tf, at, 1, 1, 1, 1, 0) AS verdict
  FROM (VALUES ('banana', timestamptz '2024-01-02 00:00+00'), ('1M', '2024-01-02 00:00+00'), ('1m', '2024-01-03 00:00:30+00'), ('1m', '2024-01-03 00:07+00'),
        ('5m', '2024-01-02 00:05+00'), ('5m', '2024-01-02 00:07+00'), ('15m', '2024-01-02 00:45+00'), ('15m', '2024-01-02 00:50+00'), ('30m', '2024-01-02 00:30+00'),
        ('30m', '2024-01-02 00:15+00'), ('1h', '2024-01-02 05:00+00'), ('1h', '2024-01-02 05:30+00'), ('1h', '2024-01-02 05:30+05:30'), ('4h', '2024-01-02 22:00+00'), ('4h', '2024-01-02 22:30+00'),
        -- the close of New York in winter and in summer
        ('1d', '2024-01-02 17:00 America/New_York'), ('1d', '2024-07-02 17:00 America/New_York'), ('1d', '2024-07-02 17:15 America/New_York'),
        ('1w', '2024-01-07 17:00 America/New_York'), ('1mn', '2024-01-31 17:00 America/New_York')) AS v (tf, at);

-- one email, one user, whatever its case, and free after a soft delete (defect 17)
SAVEPOINT s;
INSERT INTO users (email, username, password_hash) VALUES ('a.B@EXAMPLE.com', 'b', 'x');
ROLLBACK TO s;
UPDATE users SET deleted_at = now();
INSERT INTO users (email, username, password_hash) VALUES ('a.B@EXAMPLE.com', 'b', 'x');
SELECT username, email, deleted_at IS NULL AS active FROM users ORDER BY username;
UPDATE users SET deleted_at = NULL;
ROLLBACK;
