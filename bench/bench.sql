--
-- Times of fxplatform against plain SQL and against the floor, in one run.
-- Called by "make bench"; :floor is the path of the floor's library.
--
\set QUIET on
\pset pager off
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION fxplatform CASCADE;
CREATE FUNCTION floor_walk(jsonb) RETURNS bigint LANGUAGE C IMMUTABLE STRICT AS :'floor', 'fx_floor_walk';
CREATE FUNCTION floor_read(jsonb) RETURNS bigint LANGUAGE C IMMUTABLE STRICT AS :'floor', 'fx_floor_read';

-- Median time of a statement, in milliseconds, after one run to warm up.
CREATE FUNCTION median_ms(statement text, runs integer) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    begun timestamptz;
    times float8[] := '{}';
BEGIN
    EXECUTE statement;
    FOR i IN 1 .. runs LOOP
        begun := clock_timestamp();
        EXECUTE statement;
        times := times || 1000 * extract(epoch FROM clock_timestamp() - begun)::float8;
    END LOOP;
    RETURN round((SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(times) t)::numeric, 3);
END
$$;

CREATE TABLE measured (part text, size text, what text, ms numeric);

\echo '==> P&L of 2,000,000 trades by symbol'
CREATE UNLOGGED TABLE trades (LIKE fx.trades INCLUDING DEFAULTS);
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, commission, swap, profit, status, executed_at)
SELECT ('00000000-0000-4000-8000-' || lpad((n % 1000)::text, 12, '0'))::uuid,
       'SYM' || n % 28, 'buy', 'market', 1000, 1.1, 0.35, -0.01 * (n % 7),
       round((random() * 400 - 190)::numeric, 2), 'executed', now()
  FROM generate_series(1, 2000000) AS n;
VACUUM (ANALYZE) trades;
-- in memory, all of it
SELECT count(*) FROM trades \g /dev/null

CREATE PROCEDURE measure_pnl(mode text) LANGUAGE plpgsql AS $$
DECLARE
    item record;
BEGIN
    FOR item IN SELECT * FROM (VALUES
        ('floor: count(profit)', 'SELECT symbol, count(profit) FROM trades GROUP BY symbol'),
        ('fx.pnl_agg(profit), all outputs', 'SELECT symbol, fx.summary(fx.pnl_agg(profit)) FROM trades GROUP BY symbol'),
        ('fx.pnl_agg(profit, commission, swap), all outputs', 'SELECT symbol, fx.summary(fx.pnl_agg(profit, commission, swap)) FROM trades GROUP BY symbol'),
        ('plain SQL: the spec''s three', 'SELECT symbol, count(*), sum(profit), avg(profit), sum(CASE WHEN profit > 0 THEN 1 ELSE 0 END)::float / count(*) FROM trades GROUP BY symbol'),
        ('plain SQL: nine aggregates', 'SELECT symbol, count(*), count(*) FILTER (WHERE profit > 0), count(*) FILTER (WHERE profit < 0), sum(profit), sum(profit) FILTER (WHERE profit > 0), sum(profit) FILTER (WHERE profit < 0), max(profit), min(profit), stddev_samp(profit) FROM trades GROUP BY symbol'),
        ('nine aggregates of net, as usually written', 'SELECT symbol, count(*), count(*) FILTER (WHERE net > 0), count(*) FILTER (WHERE net < 0), sum(net), sum(net) FILTER (WHERE net > 0), sum(net) FILTER (WHERE net < 0), max(net), min(net), stddev_samp(net) FROM (SELECT symbol, profit - coalesce(commission, 0) + coalesce(swap, 0) AS net FROM trades) AS t GROUP BY symbol'),
        ('nine aggregates of net, computed once a row', 'SELECT symbol, count(*), count(*) FILTER (WHERE net > 0), count(*) FILTER (WHERE net < 0), sum(net), sum(net) FILTER (WHERE net > 0), sum(net) FILTER (WHERE net < 0), max(net), min(net), stddev_samp(net) FROM (SELECT symbol, profit - coalesce(commission, 0) + coalesce(swap, 0) AS net FROM trades OFFSET 0) AS t GROUP BY symbol')
    ) AS v (what, statement) LOOP
        INSERT INTO measured VALUES ('P&L by symbol', mode, item.what, median_ms(item.statement, 5));
    END LOOP;
END
$$;
SET jit = off;
SET max_parallel_workers_per_gather = 0;
CALL measure_pnl('2M serial');
SET max_parallel_workers_per_gather = 2;
CALL measure_pnl('2M parallel');
SET max_parallel_workers_per_gather = 0;

\echo '==> equity curve and metrics of 1,000 to 100,000 trades'
-- compressed as fx.backtests has it
CREATE TABLE runs (size integer, trades jsonb COMPRESSION lz4);
INSERT INTO runs
SELECT size, (
    SELECT jsonb_agg(jsonb_build_object(
               'id', n, 'symbol', 'EURUSD', 'type', 'buy', 'quantity', 10000, 'price', 1.1,
               'profit', round((random() * 40 - 19.5)::numeric, 2), 'commission', 0.35, 'swap', -0.01 * (n % 3),
               'executed_at', timestamptz '2020-01-01 00:00+00' + n * interval '20 minutes',
               'closed_at', timestamptz '2020-01-01 00:15+00' + n * interval '20 minutes') ORDER BY n)
      FROM generate_series(1, size) AS n)
  FROM (VALUES (1000), (10000), (100000)) AS s (size);

-- The best exact plain SQL known to us for the same output
CREATE FUNCTION plain_curve(trades jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_array(jsonb_build_object('timestamp', NULL, 'equity', 10000, 'drawdown', 0, 'drawdownFraction', 0))
        || jsonb_agg(jsonb_build_object('timestamp', closed_at, 'equity', trim_scale(equity),
               'drawdown', trim_scale(peak - equity), 'drawdownFraction', ((peak - equity) / peak)::float8) ORDER BY n)
      FROM (SELECT n, closed_at, equity, greatest(max(equity) OVER (ORDER BY n), 10000) AS peak
              FROM (SELECT row_number() OVER w AS n, closed_at,
                           10000 + sum(profit - coalesce(commission, 0) + coalesce(swap, 0)) OVER w AS equity
                      FROM ROWS FROM (jsonb_to_recordset(trades)
                           AS (profit numeric, commission numeric, swap numeric, closed_at timestamptz))
                           WITH ORDINALITY AS t (profit, commission, swap, closed_at, position)
                    WINDOW w AS (ORDER BY closed_at, position ROWS UNBOUNDED PRECEDING)) AS cumulated) AS peaked
$$;

DO $$
DECLARE
    item record;
    run record;
BEGIN
    FOR run IN SELECT size FROM runs ORDER BY size LOOP
        FOR item IN SELECT * FROM (VALUES
            ('floor: detoast and walk', 'floor_walk(trades)'),
            ('floor that reads profit and time', 'floor_read(trades)'),
            ('fx.equity_curve', 'fx.equity_curve(trades)'),
            ('fx.backtest_metrics', 'fx.backtest_metrics(trades)'),
            ('fx.monte_carlo, 10 runs', '(SELECT sum(max_drawdown) FROM fx.monte_carlo(trades, 10000, 10))'),
            ('plain SQL: curve', 'plain_curve(trades)')
        ) AS v (what, call) LOOP
            INSERT INTO measured VALUES ('equity', run.size::text, item.what,
                median_ms(format('SELECT pg_column_size(%s) FROM runs WHERE size = %s', item.call, run.size),
                          CASE WHEN run.size > 10000 THEN 7 ELSE 15 END));
        END LOOP;
    END LOOP;
END
$$;

\ir trades.sql
\ir candles.sql
\ir rates.sql
\ir ingest.sql
\ir audit.sql

\echo
\echo '==> medians; "of floor": our time over the floor''s (lower is better); "plain SQL": its time over this one (higher is better)'
SELECT m.part, m.size, m.what, m.ms,
       round(m.ms / f.ms, 2) AS of_floor,
       round(p.ms / m.ms, 2) AS plain_sql
  FROM measured m
  JOIN measured f ON (f.part, f.size) = (m.part, m.size) AND f.what LIKE 'floor:%'
  JOIN measured p ON (p.part, p.size) = (m.part, m.size)
                 AND p.what LIKE 'plain SQL: %' AND p.what NOT LIKE '%three%'
 ORDER BY m.part, length(m.size), m.size, m.ms;
