--
-- Trades kept as rows give the curve and the metrics that they give as JSON
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set oracle :abs_srcdir '/oracle.sql'
\set ECHO none
BEGIN;
\i :oracle
\set ECHO all
SET LOCAL timezone = 'America/St_Johns';
SET LOCAL search_path = fx, public, pg_catalog;
SELECT setseed(0.25);
CREATE TEMPORARY TABLE sample ON COMMIT DROP AS
SELECT shape, size, oracle.sample(size, shape) AS trades
  FROM unnest('{plain,losing,unordered,past,executed}'::text[]) AS shape,
       unnest('{1,2,3,30,31,32,33,500}'::integer[]) AS size;
CREATE TEMPORARY TABLE gathered ON COMMIT DROP AS
SELECT shape, size, trades,
       equity_agg((t ->> 'closedAt')::timestamptz, (t ->> 'profit')::numeric, (t ->> 'commission')::numeric,
                  (t ->> 'swap')::numeric, coalesce(t ->> 'executedAt', t ->> 'executed_at')::timestamptz ORDER BY random()) AS rows
  FROM sample, jsonb_array_elements(trades) AS t GROUP BY shape, size, trades;
SELECT count(*) AS samples,
       count(*) FILTER (WHERE equity_curve(rows, 12345.67) = equity_curve(trades, 12345.67)) AS same_curve,
       count(*) FILTER (WHERE backtest_metrics(rows, 12345.67) = backtest_metrics(trades, 12345.67)) AS same_metrics,
       count(*) FILTER (WHERE trade_count(rows) = size) AS same_count,
       count(*) FILTER (WHERE net_profit(rows) = (backtest_metrics(trades) ->> 'netProfit')::numeric) AS same_profit
  FROM gathered;
SELECT count(*) AS points_off FROM gathered, LATERAL (
       (SELECT * FROM equity_points(rows) EXCEPT SELECT * FROM equity_points(trades))
       UNION ALL (SELECT * FROM equity_points(trades) EXCEPT SELECT * FROM equity_points(rows))) AS d;

-- the order does not matter, not even among trades that close together; text and binary are faithful
SELECT count(DISTINCT a::text) AS forms, max(a::text) AS form FROM (
  SELECT (SELECT equity_agg(at, net ORDER BY random()) FROM (VALUES
            (timestamptz '2024-01-02 15:00+00', 5.25), ('2024-01-02 15:00+00', -1), ('2024-01-02 15:00+00', 0),
            ('2024-01-01 10:00:00.5+00', -92233720368.54775808), ('2024-01-01 10:00:00.5+00', 1e-8)) AS v (at, net) WHERE n > 0) AS a
    FROM generate_series(1, 50) AS n) AS s;
SELECT count(*) AS faithful FROM gathered WHERE rows::text::equity::text = rows::text;
CREATE TEMPORARY TABLE copied (rows equity) ON COMMIT DROP;
SELECT current_setting('data_directory') || '/equity_rows.copy' AS file \gset
COPY (SELECT rows FROM gathered ORDER BY shape, size) TO :'file' (FORMAT binary);
COPY copied FROM :'file' (FORMAT binary);
SELECT count(*) AS copied FROM copied;
SELECT count(*) AS lost FROM (SELECT rows::text FROM gathered EXCEPT SELECT rows::text FROM copied) AS d;

-- merged, and gathered by parallel workers
SELECT rollup(rows)::text = (SELECT equity_agg(closed, net)::text FROM (
         SELECT t.closed, t.net FROM sample, oracle.trades(trades) AS t WHERE shape = 'losing') AS s) AS merged
  FROM (SELECT equity_agg(closed, net) AS rows FROM (
         SELECT size, t.closed, t.net FROM sample, oracle.trades(trades) AS t WHERE shape = 'losing') AS s GROUP BY size) AS g;
SELECT rollup(v::equity) AS one, rollup(v::equity) FILTER (WHERE false) IS NULL AS none
  FROM (VALUES ('1:1,0,0'), (NULL), ('1:1,0.5,-1;2024-01-01T00:00:00+00:00,1,2024-01-01T00:00:00+00:00')) AS t (v);
CREATE TABLE many AS
SELECT timestamptz '2024-01-01 00:00+00' + (n * 7919 % 20000) * interval '1 minute' AS at, round((sin(n) * 100)::numeric, 2) AS net
  FROM generate_series(1, 20000) AS n;
ANALYZE many;
SELECT equity_agg(at, net)::text AS serial FROM many \gset
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
EXPLAIN (COSTS OFF) SELECT equity_agg(at, net) FROM many;
SELECT equity_agg(at, net)::text = :'serial' AS same FROM many;
SELECT count(*) AS windows, sum(trade_count(e)) AS trades FROM (SELECT equity_agg(at, net) OVER (ORDER BY at ROWS 9 PRECEDING) AS e FROM many LIMIT 100) AS w;
-- a state called by hand is not changed
SELECT equity_accum(e, timestamptz '2024-01-02 00:00+00', 3) AS more, e AS before
  FROM (SELECT '1:0,0,0;2024-01-01T00:00:00+00:00,1,2024-01-01T00:00:00+00:00'::equity AS e OFFSET 0) AS s;

-- nor is a result that is used twice
SELECT trade_count(equity_accum(equity_agg(at, net), timestamptz '2024-01-02 00:00+00', 3)) AS more, trade_count(equity_agg(at, net)) AS itself,
       trade_count(equity_combine(equity_agg(at, net), equity_agg(at, net))) AS twice, trade_count(equity_agg(at, net)) AS still
  FROM many;

-- drawdowns
SELECT count(*) AS differing FROM sample, LATERAL (
    WITH k AS (SELECT *, max(i) FILTER (WHERE drawdown = 0) OVER (ORDER BY i) AS peak_i FROM oracle.points(trades, 1000)),
         e AS (SELECT peak_i, max(peak) AS peak, min(equity) AS trough, max(drawdown) AS depth,
                      (SELECT min(b.i) FROM k b WHERE b.drawdown = 0 AND b.i > min(k.i)) AS recovered_i FROM k WHERE drawdown > 0 GROUP BY peak_i),
         theirs AS (SELECT (SELECT closed FROM k WHERE i = e.peak_i) AS peak_at, (SELECT closed FROM k WHERE i = e.recovered_i) AS recovered_at,
                           (SELECT k.closed FROM k WHERE k.peak_i = e.peak_i AND k.drawdown = e.depth ORDER BY i LIMIT 1) AS trough_at,
                           peak, trough, depth, coalesce(recovered_i, (SELECT max(i) FROM k)) - peak_i AS n FROM e),
         ours AS (SELECT peak_at, recovered_at, trough_at, peak, trough, drawdown, trade_count FROM drawdowns(trades, 1000, 100000))
    (SELECT * FROM theirs EXCEPT SELECT * FROM ours) UNION ALL (SELECT * FROM ours EXCEPT SELECT * FROM theirs)) AS d;
SELECT bool_and(round((m ->> 'maxDrawdownFraction')::numeric, 12) = round(coalesce(w.fraction, 0)::numeric, 12)) AS worst_first,
       bool_and((m ->> 'longestDrawdownSeconds')::numeric IS NOT DISTINCT FROM w.seconds) AS longest
  FROM sample, LATERAL (SELECT backtest_metrics(trades, 1000) AS m) AS b,
       LATERAL (SELECT max(drawdown_fraction) FILTER (WHERE rank = 1) AS fraction, trim_scale(max(extract(epoch FROM length))) AS seconds
                  FROM drawdowns(trades, 1000, 100000)) AS w;
SELECT * FROM drawdowns('[{"profit": 100, "closedAt": "2024-01-01"}, {"profit": -50, "closedAt": "2024-01-02"}, {"profit": -10.5, "closedAt": "2024-01-03T12:00Z"},
                          {"profit": 70, "closedAt": "2024-01-04"}, {"profit": -300, "closedAt": "2024-01-05"}]', 1000);
SELECT rank, peak_at, trough_at, drawdown, length, trade_count FROM drawdowns('[{"profit": -1}, {"profit": 2}, {"profit": -4}]', top => 1);
SELECT count(*) AS rows FROM drawdowns('[]');

-- months
SELECT count(*) AS differing FROM sample, LATERAL (
    WITH t AS (SELECT date_trunc('month', oracle.fx_day(closed))::date AS month, * FROM oracle.trades(trades)),
         theirs AS (SELECT d::date AS month, count(t.i) AS n, coalesce(sum(t.net), 0) AS net
                      FROM generate_series((SELECT date_trunc('month', min(oracle.fx_day(opened)::timestamp)) FROM t), (SELECT max(month)::timestamp FROM t), '1 month') AS d
                      LEFT JOIN t ON t.month = d::date GROUP BY 1),
         theirs_equity AS (SELECT month, n, net, 1e6 + sum(net) OVER (ORDER BY month) AS equity FROM theirs),
         theirs_all AS (SELECT *, round(net / (equity - net), 12) AS r FROM theirs_equity),
         ours AS (SELECT month, trade_count, net_profit, equity, round(return_fraction::numeric, 12) FROM monthly_returns(trades, 1e6))
    (SELECT * FROM theirs_all EXCEPT SELECT * FROM ours) UNION ALL (SELECT * FROM ours EXCEPT SELECT * FROM theirs_all)) AS d;
SELECT * FROM monthly_returns('[{"profit": -1500, "closedAt": "2024-01-31T22:00:00Z"}, {"profit": 70, "closedAt": "2024-04-04"}]', 1000);
SELECT count(*) AS untimed FROM monthly_returns('[{"profit": 1}]');

-- other orders
SELECT * FROM monte_carlo('[{"profit": 100}, {"profit": -50}, {"profit": 30}, {"profit": -45.5}, {"profit": 0}]', 1000, 200, 7);
SELECT * FROM monte_carlo('[{"profit": 100}, {"profit": -50}, {"profit": 30}, {"profit": -45.5}, {"profit": 0}]', 1000, 200, 7, true);
SELECT max(max_drawdown) = 95.5 AS worst_order, min(max_drawdown) >= 45.5 AS best_order
  FROM monte_carlo('[{"profit": 100}, {"profit": -50}, {"profit": 30}, {"profit": -45.5}, {"profit": 0}]', 1000, 5000, 3);
SELECT count(*) FROM ((SELECT * FROM monte_carlo('[{"profit": 1}, {"profit": -2}, {"profit": 3}]', 10, 50, 1)) EXCEPT (SELECT * FROM monte_carlo('[{"profit": 1}, {"profit": -2}, {"profit": 3}]', 10, 50, 1))) AS d;
SELECT * FROM monte_carlo('[]', 10, 1) LIMIT 1;
SELECT bool_and(max_drawdown_fraction BETWEEN 0 AND 1) AS shares,
       count(*) AS percentiles FROM monte_carlo((SELECT trades FROM sample WHERE shape = 'losing' AND size = 500), 1e6, 100);

-- trades as JSON text, and NULL
SELECT equity_curve('[{"profit": 1}]'::text) = equity_curve(jsonb '[{"profit": 1}]') AS curve,
       backtest_metrics('[{"profit": 1}]'::text) = backtest_metrics(jsonb '[{"profit": 1}]') AS metrics,
       equity_curve(trades => '[]', initial_balance => 5) AS named;
SELECT equity_curve(NULL), equity_curve(NULL::equity), backtest_metrics(NULL::equity), trade_count(NULL::equity);
ROLLBACK;

-- metrics of live trades: executed ones with a profit, none of a backtest
BEGIN;
SET LOCAL search_path = fx, public;
INSERT INTO users (id, email, username, password_hash, preferences) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x', '{"initialBalance": 5000}');
INSERT INTO strategies (id, user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', 's', 'manual');
INSERT INTO backtests (id, strategy_id, user_id, name) VALUES ('00000000-0000-4000-8000-0000000000c1', '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', 'b');
INSERT INTO trades (user_id, strategy_id, backtest_id, symbol, type, order_type, quantity, price, profit, commission, swap, status, executed_at, closed_at) VALUES
  ('00000000-0000-4000-8000-0000000000a1', '00000000-0000-4000-8000-0000000000b1', NULL, 'EURUSD', 'buy', 'market', 1, 1, 100, 1, -0.5, 'executed', '2024-01-02 10:00+00', '2024-01-02 12:00+00'),
  ('00000000-0000-4000-8000-0000000000a1', '00000000-0000-4000-8000-0000000000b1', NULL, 'EURUSD', 'buy', 'market', 1, 1, -40, 1, 0, 'executed', '2024-01-03 10:00+00', '2024-01-03 12:00+00'),
  ('00000000-0000-4000-8000-0000000000a1', '00000000-0000-4000-8000-0000000000b1', NULL, 'EURUSD', 'buy', 'market', 1, 1, NULL, 1, 0, 'executed', '2024-01-03 10:00+00', NULL),
  ('00000000-0000-4000-8000-0000000000a1', '00000000-0000-4000-8000-0000000000b1', NULL, 'EURUSD', 'buy', 'market', 1, 1, 9, 1, 0, 'cancelled', NULL, NULL),
  ('00000000-0000-4000-8000-0000000000a1', '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000c1', 'EURUSD', 'buy', 'market', 1, 1, 9, 1, 0, 'executed', '2024-01-03 10:00+00', NULL);
SELECT m ->> 'totalTrades' AS n, m ->> 'netProfit' AS net, m ->> 'totalCommission' AS commission, m ->> 'initialBalance' AS balance,
       m ->> 'averageHoldingSeconds' AS held, m = backtest_metrics('[{"profit": 100, "commission": 1, "swap": -0.5, "executed_at": "2024-01-02T10:00Z", "closed_at": "2024-01-02T12:00Z"},
                             {"profit": -40, "commission": 1, "executed_at": "2024-01-03T10:00Z", "closed_at": "2024-01-03T12:00Z"}]', 5000) AS same
  FROM strategy_metrics('00000000-0000-4000-8000-0000000000b1') AS m;
SELECT strategy_metrics('00000000-0000-4000-8000-0000000000b1', since => '2024-01-02 12:00:01+00', initial_balance => 100) ->> 'finalBalance' AS later,
       strategy_metrics('00000000-0000-4000-8000-0000000000b1', until => '2024-01-01+00') ->> 'totalTrades' AS none, strategy_metrics(NULL);
\set VERBOSITY sqlstate
SELECT strategy_metrics('00000000-0000-4000-8000-0000000000b2');
ROLLBACK;

-- errors
\set VERBOSITY terse
SET search_path = fx, public;
SELECT equity_agg(NULL, 1);
SELECT equity_agg('infinity', 1);
SELECT equity_agg('0001-01-01 BC', 1);
SELECT equity_agg('10000-01-01 00:00+00', 1);
SELECT equity_agg(now(), 'NaN');
SELECT equity_agg(now(), 'Infinity');
SELECT equity_agg(now(), 92233720368.54775808);
SELECT equity_agg(now(), 1e40);
SELECT equity_agg(NULL, 1, 0, 0, NULL);
SELECT equity_agg('2024-01-01', 1, 0, 0, '2024-01-02');
SELECT equity_agg(now(), 1, 'NaN', 0, NULL);
SELECT equity_agg(now(), 1, 0, '-Infinity', NULL);
SELECT equity_agg(now(), 1, 0, 0, '-infinity');
SELECT equity_agg(now(), 1.7e30, -1.7e30, 0, NULL);
SELECT equity_agg(now(), x, x, 0, NULL) FROM (VALUES (1.7e30), (1.7e30)) AS v (x);
SELECT equity_agg(now(), x, 0, -x, NULL) FROM (VALUES (1.7e30), (1.7e30)) AS v (x);
SELECT v::equity FROM (VALUES ('')) AS t (v);
CREATE FUNCTION pg_temp.refusal(value text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN 'accepted ' || value::fx.equity::text;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT pg_temp.refusal(value)
  FROM unnest(ARRAY[
    '1:1,0,0', ' 1:0,1e2,-1;2024-01-02,5,2024-01-01;2024-01-01,1.50,2024-01-01T00:00:00Z',
    '', '1', '1:', '1:1', '1:2,0,0', '1:1,0', '1:1,0,x', '1:1,NaN,0', '2:1,0,0', '99999999999:1,0,0', '1:1,0,0;;', '1:1,0,0;2024-01-01', '1:1,0,0;2024-01-01,1',
    '1:1,0,0;2024-01-01,1,', '1:1,0,0;2024-01-01,1,2024-01-02', '1:1,0,0;now,1,2024-01-02', '1:1,0,0;2024-01-01,1e12,2024-01-01',
    '1:1,0,0;2024-01-01,1,2024-01-01,1', '1:1,0,0;2024-01-01,1;2024-01-01', repeat('€', 100)]) AS value;
CREATE TEMPORARY TABLE received (v fx.equity);
CREATE FUNCTION pg_temp.receive(value bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    file text := current_setting('data_directory') || '/equity_rows.bin';
    image oid;
BEGIN
    -- header, one row of one field, trailer
    image := lo_from_bytea(0, '\x5047434f50590aff0d0a000000000000000000'::bytea || '\x0001'::bytea
        || int4send(length(value)) || value || '\xffff'::bytea);
    PERFORM lo_export(image, file);
    PERFORM lo_unlink(image);
    EXECUTE format('COPY received FROM %L (FORMAT binary)', file);
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT pg_temp.receive(head || tail)
  FROM (VALUES ('\x0101'::bytea || decode(repeat('00', 32), 'hex'))) AS h (head),
       (VALUES (1, '\x'::bytea), (2, int8send(1000) || int8send(5) || int8send(999)), (3, int8send(1000) || int8send(5) || int8send(1001)),
               (4, int8send(9223372036854775807) || int8send(5) || int8send(1001)), (5, '\x00')) AS t (n, tail) ORDER BY n;
SELECT pg_temp.receive('\x'), pg_temp.receive('\x02'), pg_temp.receive('\x01010000');
SELECT * FROM drawdowns('[]', 10, 0);
SELECT * FROM drawdowns('[]', -1);
SELECT * FROM drawdowns('{}');
SELECT * FROM drawdowns('[{"profit": 1e30}, {"profit": 1e30}]', 1);
SELECT * FROM drawdowns('[{"profit": 1.1e30}, {"profit": -1.1e30}, {"profit": -1e30}]', 1);
SELECT * FROM monthly_returns('[]', 0);
SELECT * FROM monthly_returns('[{"profit": 1e30, "closedAt": "2024-01-01"}, {"profit": 1e30, "closedAt": "2024-01-01"}]', 1);
SELECT * FROM monthly_returns('[{"profit": -1.2e30, "closedAt": "2024-01-01"}, {"profit": -1e30, "closedAt": "2024-01-01"}]', 1.6e30);
SELECT * FROM monte_carlo('[]', 1, 0);
SELECT * FROM monte_carlo('[]', 1, 1000001);
SELECT * FROM monte_carlo('[]', 'NaN');
SELECT * FROM monte_carlo('[{"profit": 1e30}, {"profit": 1e30}]', 1);
SELECT * FROM monte_carlo('[{"profit": -0.9e30}, {"profit": -0.9e30}]', 1e30);
SELECT equity_curve('x');
RESET search_path;
-- a long run can be cancelled
SET statement_timeout = '200ms';
SELECT fx.monte_carlo((SELECT jsonb_agg(jsonb_build_object('profit', n)) FROM generate_series(1, 1000) AS n), 1, 1000000);
RESET statement_timeout;
