--
-- Trades in the table of the platform: one user with many among two million,
-- one with few, all of them, moving windows, trades as rows, and what the index
-- costs an insert.  Included by bench.sql.
--
\echo '==> fx.trades with 2,000,000 rows'
INSERT INTO fx.users (id, email, username, password_hash)
SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, n || '@example.com', n, 'x'
  FROM generate_series(0, 9000) AS n;
-- the foreign keys hold; checking them row by row would take most of the time
SET session_replication_role = replica;
-- user 0 has 200,000, the others 200
INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, commission, swap, profit, status, executed_at, closed_at)
SELECT ('00000000-0000-4000-8000-' || lpad((CASE WHEN n % 10 = 0 THEN 0 ELSE 1 + n % 9000 END)::text, 12, '0'))::uuid,
       'SYM' || n % 28, 'buy', 'market', 1000, 1.1, 0.35, -0.01 * (n % 7), round((random() * 400 - 190)::numeric, 2),
       'executed', at, at + interval '30 minutes'
  FROM generate_series(1, 2000000) AS n,
       LATERAL (SELECT timestamptz '2020-01-01 00:00+00' + n * interval '1 minute' AS at) AS t;
RESET session_replication_role;
VACUUM (ANALYZE) fx.trades;

CREATE FUNCTION spec_query(user_id uuid) RETURNS text LANGUAGE sql AS $$
    SELECT format('SELECT symbol, count(*), sum(profit), avg(profit), sum(CASE WHEN profit > 0 THEN 1 ELSE 0 END)::float / count(*)
                     FROM fx.trades WHERE user_id = %L AND status = ''executed'' GROUP BY symbol ORDER BY 3 DESC', user_id)
$$;
CREATE PROCEDURE measure_users(index text) LANGUAGE plpgsql AS $$
DECLARE
    many CONSTANT uuid := '00000000-0000-4000-8000-000000000000';
    few CONSTANT uuid := '00000000-0000-4000-8000-000000000017';
BEGIN
    INSERT INTO measured VALUES
        ('user of 200k', index, 'fx.trade_performance', median_ms(format('SELECT * FROM fx.trade_performance(%L)', many), 7)),
        ('user of 200k', index, 'floor: count(profit)', median_ms(format('SELECT symbol, count(profit) FROM fx.trades WHERE user_id = %L AND status = ''executed'' GROUP BY symbol', many), 7)),
        ('user of 200k', index, 'plain SQL: the query of the specification', median_ms(spec_query(many), 7)),
        ('user of 200', index, 'fx.trade_performance', median_ms(format('SELECT * FROM fx.trade_performance(%L)', few), 200)),
        ('user of 200', index, 'floor: count(profit)', median_ms(format('SELECT symbol, count(profit) FROM fx.trades WHERE user_id = %L AND status = ''executed'' GROUP BY symbol', few), 200)),
        ('user of 200', index, 'plain SQL: the query of the specification', median_ms(spec_query(few), 200)),
        ('user of 200', index, 'fx.pnl_agg, all outputs', median_ms(format('SELECT symbol, fx.summary(fx.pnl_agg(profit, commission, swap)) FROM fx.trades WHERE user_id = %L AND status = ''executed'' GROUP BY symbol', few), 200));
END
$$;
-- microseconds of an insert by itself, in batches of 10,000
CREATE PROCEDURE measure_inserts(index text) LANGUAGE plpgsql AS $$
DECLARE
    begun timestamptz;
    times numeric[] := '{}';
BEGIN
    FOR batch IN 1 .. 7 LOOP
        begun := clock_timestamp();
        FOR n IN 1 .. 10000 LOOP
            INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, commission, profit, status, executed_at)
            VALUES (('00000000-0000-4000-8000-' || lpad((n % 9000)::text, 12, '0'))::uuid, 'SYM' || n % 28, 'buy', 'market', 1000, 1.1, 0.35, n % 50,
                    'executed', clock_timestamp());
        END LOOP;
        times := times || extract(epoch FROM clock_timestamp() - begun) * 100;
        COMMIT;
    END LOOP;
    INSERT INTO inserts SELECT index, round(percentile_cont(0.5) WITHIN GROUP (ORDER BY t)::numeric, 1) FROM unnest(times) AS t;
END
$$;
CREATE TABLE inserts (index text, us numeric);

CALL measure_users('covering');
SET max_parallel_workers_per_gather = 2;
INSERT INTO measured VALUES
    ('all users', '2M parallel', 'floor: count(profit)', median_ms('SELECT symbol, count(profit) FROM fx.trades GROUP BY symbol', 5)),
    ('all users', '2M parallel', 'fx.pnl_agg(profit, commission, swap)', median_ms('SELECT symbol, fx.summary(fx.pnl_agg(profit, commission, swap)) FROM fx.trades WHERE status = ''executed'' AND NOT is_backtest GROUP BY symbol', 5)),
    ('all users', '2M parallel', 'plain SQL: sums', median_ms('SELECT symbol, sum(profit), sum(commission), sum(swap) FROM fx.trades WHERE status = ''executed'' AND NOT is_backtest GROUP BY symbol', 5));
SET max_parallel_workers_per_gather = 0;

\echo '==> moving windows and trades as rows'
INSERT INTO measured VALUES
    ('window', '200k rows, 1,000 wide', 'floor: count(profit)', median_ms('SELECT max(c) FROM (SELECT count(profit) OVER (ORDER BY executed_at ROWS 999 PRECEDING) AS c FROM fx.trades WHERE user_id = ''00000000-0000-4000-8000-000000000000'') AS s', 3)),
    ('window', '200k rows, 1,000 wide', 'fx.pnl_agg(profit)', median_ms('SELECT max(fx.net_profit(c)) FROM (SELECT fx.pnl_agg(profit) OVER (ORDER BY executed_at ROWS 999 PRECEDING) AS c FROM fx.trades WHERE user_id = ''00000000-0000-4000-8000-000000000000'') AS s', 3)),
    ('window', '200k rows, 1,000 wide', 'plain SQL: sum(profit)', median_ms('SELECT max(c) FROM (SELECT sum(profit) OVER (ORDER BY executed_at ROWS 999 PRECEDING) AS c FROM fx.trades WHERE user_id = ''00000000-0000-4000-8000-000000000000'') AS s', 3)),
    ('rows to metrics', '2M', 'floor: count(profit)', median_ms('SELECT count(profit) FROM fx.trades', 3)),
    ('rows to metrics', '2M', 'fx.equity_agg and metrics', median_ms('SELECT fx.backtest_metrics(fx.equity_agg(closed_at, profit, commission, swap, executed_at)) FROM fx.trades', 3)),
    ('rows to metrics', '2M', 'plain SQL: drawdown alone', median_ms('SELECT max(p - e) FROM (SELECT e, max(e) OVER (ORDER BY closed_at, id) AS p FROM (SELECT closed_at, id, 10000 + sum(profit - commission + swap) OVER (ORDER BY closed_at, id) AS e FROM fx.trades) AS c) AS d', 1));

-- both begin with an index made in one go, and after a checkpoint
REINDEX INDEX fx.idx_trades_executed;
CHECKPOINT;
CALL measure_inserts('covering');
CREATE INDEX narrow ON fx.trades (user_id, executed_at DESC) WHERE status = 'executed';
DROP INDEX fx.idx_trades_executed;
CHECKPOINT;
CALL measure_inserts('narrow');
VACUUM (ANALYZE) fx.trades;
CALL measure_users('narrow');
\echo '==> microseconds of an insert into fx.trades, by the index of executed trades'
SELECT index, us, round(us / (SELECT us FROM inserts WHERE index = 'narrow'), 2) AS of_narrow FROM inserts;
