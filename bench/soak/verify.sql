-- verify.sql
--
-- What must be true after the load: a row for each invariant, with the number of
-- violations.  soak.log has the transactions that clients know to be committed.

SET search_path = soak, pg_catalog;
SET client_min_messages = warning;

SELECT fx.refresh_candles() \g /dev/null
CALL fx.seal_audit();

CREATE TEMP TABLE violations (seq serial, invariant text, violations bigint);

INSERT INTO violations (invariant, violations)
SELECT 'positions equal the trades (fx.verify_positions)', count(*) FROM fx.verify_positions();
INSERT INTO violations (invariant, violations)
SELECT 'audit trail is whole when sealed (fx.verify_audit)', count(*) FROM fx.verify_audit();

-- one kind is one script, and each transaction of it one row
INSERT INTO violations (invariant, violations)
SELECT 'what clients saw committed is in the ledger', count(*)
  FROM (SELECT kind, count(*) AS n FROM log WHERE kind !~ '_page$' GROUP BY kind) AS l
  FULL JOIN (SELECT kind, count(*) AS n FROM ledger GROUP BY kind) AS b USING (kind)
 WHERE l.n IS DISTINCT FROM b.n;
INSERT INTO violations (invariant, violations)
SELECT 'every trade is one of the ledger', count(*)
  FROM (SELECT id, outcome FROM ledger WHERE kind IN ('order', 'try', 'own') AND outcome <> 'refused') AS l FULL JOIN fx.trades AS t USING (id)
 WHERE l.outcome IS DISTINCT FROM t.status;
INSERT INTO violations (invariant, violations)
SELECT 'every position is the sum of the ledger', count(*)
  FROM (SELECT user_id, symbol, sum(units) AS units FROM ledger WHERE units IS NOT NULL GROUP BY 1, 2) AS l
  FULL JOIN (SELECT user_id, symbol, long_quantity - short_quantity AS units FROM fx.positions) AS p USING (user_id, symbol)
 WHERE coalesce(l.units, 0) <> coalesce(p.units, 0);
INSERT INTO violations (invariant, violations)
SELECT 'no trade passed the limit of the position, unless it made it smaller', count(*)
  FROM (SELECT units, sum(units) OVER (PARTITION BY user_id, symbol ORDER BY turn) AS after FROM ledger WHERE units IS NOT NULL) AS s
 WHERE abs(after) > 10 AND abs(after) > abs(after - units);
INSERT INTO violations (invariant, violations)
SELECT 'no account has more open trades than its limit', count(*) FROM fx.accounts WHERE open_trades > 12;
INSERT INTO violations (invariant, violations)
SELECT 'current values of limits are those of the books', count(*)
  FROM fx.risk_limits AS l JOIN fx.accounts AS a USING (user_id)
 WHERE l.type IN ('max_open_trades', 'max_position')
   AND l.current_value <> CASE l.type WHEN 'max_open_trades' THEN a.open_trades
        ELSE coalesce((SELECT max(abs(long_quantity - short_quantity)) FROM fx.positions AS p WHERE p.user_id = l.user_id), 0) END;
INSERT INTO violations (invariant, violations)
SELECT 'every refusal of fx.try_trade has its event', count(*)
  FROM (SELECT id FROM ledger WHERE outcome = 'rejected') AS l FULL JOIN (SELECT DISTINCT trade_id FROM fx.risk_events WHERE event = 'refused') AS e ON e.trade_id = l.id
 WHERE l.id IS NULL OR e.trade_id IS NULL;
INSERT INTO violations (invariant, violations)
SELECT 'deposits are the cash flows of the ledger', count(*)
  FROM fx.accounts AS a LEFT JOIN (SELECT user_id, sum(amount) AS flow FROM ledger WHERE kind = 'flow' GROUP BY 1) AS l USING (user_id)
 WHERE a.net_deposits <> coalesce(l.flow, 0);
INSERT INTO violations (invariant, violations)
SELECT 'strategies have as many versions as changes, each with its entry', count(*)
  FROM fx.strategies AS s LEFT JOIN (SELECT user_id, count(*) AS n FROM ledger WHERE kind = 'change' GROUP BY 1) AS l USING (user_id)
 WHERE s.version - 1 <> coalesce(l.n, 0) OR (s.config -> 'n')::bigint <> coalesce(l.n, 0)
    OR s.version - 1 <> (SELECT count(*) FROM fx.audit_log AS a WHERE a.resource_type = 'strategies' AND a.resource_id = s.id::text AND a.action = 'UPDATE');
INSERT INTO violations (invariant, violations)
SELECT 'every row of an audited table has one entry of its insertion', count(*)
  FROM (SELECT 'trades', id::text FROM fx.trades UNION ALL SELECT 'backtests', id::text FROM fx.backtests UNION ALL SELECT 'cash_flows', id::text FROM fx.cash_flows
        UNION ALL SELECT 'strategies', id::text FROM fx.strategies UNION ALL SELECT 'risk_limits', id::text FROM fx.risk_limits) AS r (type, id)
  FULL JOIN (SELECT resource_type, resource_id, count(*) FROM fx.audit_log WHERE action = 'INSERT' AND resource_type IN ('trades', 'backtests', 'cash_flows', 'strategies', 'risk_limits') GROUP BY 1, 2) AS a
    ON (a.resource_type, a.resource_id) = (r.type, r.id)
 WHERE r.id IS NULL OR a.count IS DISTINCT FROM 1;
-- the last run of a client may have been cut off between its transactions
INSERT INTO violations (invariant, violations)
SELECT 'completed backtests are those of the ledger, with their curves', count(*)
  FROM (SELECT id FROM ledger WHERE kind = 'backtest') AS l FULL JOIN (SELECT * FROM fx.backtests WHERE status = 'completed') AS b USING (id)
 WHERE l.id IS NULL OR b.status IS NULL OR jsonb_array_length(b.equity_curve) <> 501;
INSERT INTO violations (invariant, violations)
SELECT 'candles and their revisions are as many as were acknowledged', count(*)
  FROM (SELECT coalesce(sum(amount), 0) AS inserted, coalesce(sum(more), 0) AS updated FROM ledger WHERE kind = 'candles') AS l
 WHERE l.inserted <> (SELECT count(*) FROM fx.market_data WHERE symbol LIKE 'SOAK%')
    OR l.updated <> (SELECT count(*) FROM fx.market_data_revisions WHERE symbol LIKE 'SOAK%');
INSERT INTO violations (invariant, violations)
SELECT 'quotes are as many as were acknowledged', count(*)
  FROM (SELECT coalesce(sum(amount), 0) AS n FROM ledger WHERE kind = 'quotes') AS l
 WHERE l.n <> (SELECT count(*) FROM fx.quotes WHERE symbol LIKE 'SOAK%');
INSERT INTO violations (invariant, violations)
SELECT 'roll-ups equal candles computed from the minutes', count(*)
  FROM (SELECT DISTINCT symbol FROM fx.market_data WHERE symbol LIKE 'SOAK%') AS s, LATERAL candle_oracle.differences(s.symbol, '{new_york}');
INSERT INTO violations (invariant, violations)
SELECT 'nothing is left to roll up', count(*) FROM fx.candle_changes;
INSERT INTO violations (invariant, violations)
SELECT 'no orphan: closures, states of limits, positions, events', count(*) FROM (
    SELECT c.trade_id FROM fx.closures AS c WHERE NOT EXISTS (SELECT FROM fx.trades AS t WHERE t.id = c.trade_id)
    UNION ALL SELECT s.limit_id FROM fx.risk_limit_state AS s WHERE NOT EXISTS (SELECT FROM fx.risk_limits AS l WHERE l.id = s.limit_id)
    UNION ALL SELECT e.trade_id FROM fx.risk_events AS e WHERE e.trade_id IS NOT NULL AND NOT EXISTS (SELECT FROM fx.trades AS t WHERE t.id = e.trade_id)
    UNION ALL SELECT p.user_id FROM fx.positions AS p WHERE NOT EXISTS (SELECT FROM fx.accounts AS a WHERE a.user_id = p.user_id)) AS o;
INSERT INTO violations (invariant, violations)
SELECT 'expired months are gone', count(*)
  FROM unnest('{fx.market_data,fx.quotes}'::regclass[]) AS t, LATERAL fx.partition_bounds(t) AS b WHERE b.upper < now() - interval '40 days' OR b.detaching;
INSERT INTO violations (invariant, violations)
SELECT 'no step of maintenance failed, but for a lock', count(*) FROM fx.maintenance_runs WHERE outcome = 'failed' AND detail !~ '55P03';
INSERT INTO violations (invariant, violations)
SELECT 'no deadlock', coalesce(sum(deadlocks), 0) FROM pg_stat_database;
INSERT INTO violations (invariant, violations)
SELECT 'heaps are whole', count(*)
  FROM pg_class AS c, LATERAL public.verify_heapam(c.oid) WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind = 'r';
INSERT INTO violations (invariant, violations)
SELECT 'indexes find every row (else an error)', 0 * count(public.bt_index_check(c.oid, true))
  FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relnamespace = 'fx'::regnamespace;

SELECT invariant, violations FROM violations ORDER BY seq;
\pset tuples_only on
\o :out
SELECT coalesce(sum(violations), 0) FROM violations;
\o
