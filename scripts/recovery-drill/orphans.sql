-- orphans.sql
--	Orders and backtests of the load without an entry of the audit trail, and
--	entries without them: none, unless trades were truncated.
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
SELECT count(*)
  FROM (SELECT 'trades' AS what, external_id AS mark FROM fx.trades WHERE external_id ~ '^\d+-\d+$'
        UNION ALL SELECT 'backtests', name FROM fx.backtests WHERE name ~ '^\d+-\d+$') AS rows
  FULL JOIN (SELECT resource_type AS what, user_agent AS mark FROM fx.audit_log
              WHERE user_agent ~ '^\d+-\d+$' AND action = 'INSERT' AND resource_type IN ('trades', 'backtests')) AS trail USING (what, mark)
 WHERE rows IS NULL OR trail IS NULL;
