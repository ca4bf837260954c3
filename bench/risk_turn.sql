-- Each way once, from the same state.  Included by risk.sql several times.
\set clients 2
\set low 1
\set high 1000
SELECT '-T ' || :seconds AS span \gset

\set part 'opening trades'
\set script risk_open.pgbench
CALL clear_trades();
\set what 'with ten limits'
\ir risk_run.sql
CALL clear_trades();
CALL risk_triggers('DISABLE');
\set what 'without'
\ir risk_run.sql

\set part 'opening, no other trigger'
CALL clear_trades();
CALL other_triggers('DISABLE');
\set what 'with ten limits'
\ir risk_run.sql
CALL clear_trades();
CALL risk_triggers('DISABLE');
CALL other_triggers('DISABLE');
\set what 'without'
\ir risk_run.sql

\set part 'both sides, which close each other'
\set script risk_sides.pgbench
CALL clear_trades();
\set what 'with ten limits'
\ir risk_run.sql
CALL clear_trades();
CALL risk_triggers('DISABLE');
\set what 'without'
\ir risk_run.sql
CALL risk_triggers('ENABLE');
