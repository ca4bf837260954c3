--
-- The most memory that a session took, which does one thing: in kB, from the
-- system, where it is Linux.  Called by scripts/bench.sh, once a thing.
--
\pset pager off
\pset tuples_only on
SET jit = off;
SET max_parallel_workers_per_gather = 0;
SELECT :'what' = 'curve' AS curve, :'what' = 'rows' AS rows \gset
\if :curve
SELECT pg_column_size(fx.equity_curve(trades)) FROM runs WHERE size = 100000 \g /dev/null
SELECT 'equity_curve of 100,000 trades: detoasted input ' || pg_column_size(trades || '[]') / 1024 || ' kB, output '
       || pg_column_size(fx.equity_curve(trades)) / 1024 || ' kB' FROM runs WHERE size = 100000;
\endif
\if :rows
\timing on
SELECT fx.backtest_metrics(fx.equity_agg(timestamptz '2000-01-01 00:00+00' + n * interval '1 minute', (n::bigint * 7919 % 40009 - 20000) / 100.0), 1000000) ->> 'totalTrades'
       || ' trades as rows to metrics'
  FROM (SELECT generate_series(1, 5000000) AS n) AS s;
\timing off
\endif
SELECT :'what' || ': peak of the session ' || (substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s+(\d+) kB')::bigint / 1024) || ' MB';
