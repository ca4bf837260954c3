-- mistake.sql
--	With the load held for an instant: a picture of the database, who committed
--	what and when so far, the moment, a restore point of that name, and then
--	what nobody should have run.
--
-- Psql variables: gate, and the files before, trail, moment, xid.
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
SELECT pg_advisory_lock(:gate) \g /dev/null
BEGIN ISOLATION LEVEL REPEATABLE READ;
\o :before
\ir picture.sql
\o :trail
\ir trail.sql
\o
COMMIT;
SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00' \g :moment
SELECT pg_create_restore_point('before_the_mistake') \g /dev/null

BEGIN;
TRUNCATE fx.trades;
SELECT pg_current_xact_id() \g :xid
COMMIT;
DROP TABLE fx.market_data_2024_01;
SELECT pg_advisory_unlock(:gate) \g /dev/null
