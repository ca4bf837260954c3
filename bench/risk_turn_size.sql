-- One user with few trades and one with many, by so few more that they stay so;
-- trades that open, and trades of both sides, which close too.
-- Included by risk.sql several times.
\set clients 1
\set script risk_open.pgbench
\set span '-t 4000'

\set part 'user of 100 trades'
\set low 1001
\set high 1001
CALL forget_new_trades();
\set what 'with ten limits'
\ir risk_run.sql
CALL forget_new_trades();
CALL risk_triggers('DISABLE');
\set what 'without'
\ir risk_run.sql

\set part 'user of 1,000,000 trades'
\set low 1002
\set high 1002
CALL forget_new_trades();
\set what 'with ten limits'
\ir risk_run.sql
CALL forget_new_trades();
CALL risk_triggers('DISABLE');
\set what 'without'
\ir risk_run.sql

\set script risk_sides.pgbench
\set part 'both sides, user of 100 trades'
\set low 1001
\set high 1001
CALL forget_new_trades();
\set what 'with ten limits'
\ir risk_run.sql
\set part 'both sides, user of 1,000,000 trades'
\set low 1002
\set high 1002
CALL forget_new_trades();
\set what 'with ten limits'
\ir risk_run.sql
