--
-- A user's P&L is read from the index alone, by the function too
--
INSERT INTO fx.users (id, email, username, password_hash)
SELECT ('00000000-0000-4000-8000-0000000000a' || n)::uuid, n || '@example.com', n, 'x' FROM generate_series(0, 9) AS n;
INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, profit, status, executed_at)
SELECT ('00000000-0000-4000-8000-0000000000a' || n % 10)::uuid, 'SYM' || n % 7, 'buy', 'market', 1, 1, n % 100 - 50, 'executed', timestamptz '2024-01-01 00:00+00' + n * interval '1 minute'
  FROM generate_series(1, 20000) AS n;
VACUUM (ANALYZE) fx.trades;
EXPLAIN (COSTS OFF)
SELECT symbol, count(*), fx.pnl_agg(profit), fx.pnl_agg(profit, commission, swap) FROM fx.trades
 WHERE user_id = '00000000-0000-4000-8000-0000000000a1' AND status = 'executed' AND NOT is_backtest GROUP BY symbol;
-- the blocks that the function reads: a few of the index, where the table of ten
-- users' trades has some hundred for each
CREATE FUNCTION pg_temp.heap_blocks() RETURNS bigint LANGUAGE sql AS $$
    SELECT pg_stat_get_xact_blocks_fetched('fx.trades'::regclass)
$$;
BEGIN;
SELECT pg_temp.heap_blocks() AS before \gset
SELECT sum(trade_count) AS trades, count(*) AS symbols FROM fx.trade_performance('00000000-0000-4000-8000-0000000000a1');
SELECT sum(trade_count) AS trades FROM fx.pnl_report('00000000-0000-4000-8000-0000000000a1', '2024-01-05 00:00+00', '2024-01-06 00:00+00');
-- the visibility map is read, the table is not
SELECT pg_temp.heap_blocks() - :before < 20 AS index_only;
COMMIT;
DELETE FROM fx.users WHERE id::text LIKE '00000000-0000-4000-8000-0000000000a_';
TRUNCATE fx.audit_log;
