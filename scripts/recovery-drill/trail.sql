-- trail.sql
--	The transactions of the load whose traces are here: script, client, number,
--	and when it was committed, in microseconds since 1970.  Traces that a
--	TRUNCATE of trades leaves: the audit trail, and candles.
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' '
SELECT script, split_part(mark, '-', 1), split_part(mark, '-', 2), (extract(epoch FROM at) * 1000000)::bigint
  FROM (SELECT 0 AS script, substr(symbol, 5) || '-' || volume AS mark, pg_xact_commit_timestamp(xmin) AS at
          FROM fx.market_data WHERE symbol LIKE 'LOAD%' AND volume > 0
        UNION ALL
        SELECT DISTINCT CASE resource_type WHEN 'trades' THEN 1 WHEN 'backtests' THEN 2 WHEN 'strategies' THEN 3 END, user_agent, pg_xact_commit_timestamp(xmin)
          FROM fx.audit_log WHERE user_agent ~ '^\d+-\d+$' AND (resource_type, action) IN (('trades', 'INSERT'), ('backtests', 'INSERT'), ('strategies', 'UPDATE'))) AS marks
 ORDER BY 2, 3, 1;
