--
-- Monthly partitions of market data (defects 24, 25)
--
\set SHOW_CONTEXT never
BEGIN;
SET LOCAL search_path = fx, public;
SET LOCAL timezone = 'America/New_York';
SET LOCAL datestyle = 'SQL, DMY';
SELECT create_market_data_partitions('2023-12-15', '2024-03-02') AS made;
SELECT create_market_data_partitions('2023-12-01', '2024-04-01') AS made_already;
SELECT create_market_data_partitions('2024-05-05', '2024-05-05') AS none;
SET LOCAL timezone = 'UTC';
SET LOCAL datestyle = 'ISO';
SELECT c.relname COLLATE "C" AS partition, pg_get_expr(c.relpartbound, c.oid) AS bounds
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE inhparent = 'fx.market_data'::regclass AND c.relname < 'market_data_2025' ORDER BY 1;
-- one-sided: the first microsecond of a month is its own
INSERT INTO market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
VALUES ('X', '1m', '2024-02-29 23:59+00', 1, 1, 1, 1), ('X', '1m', '2024-03-01 00:00+00', 1, 1, 1, 1);
SELECT tableoid::regclass AS partition, timestamp FROM market_data ORDER BY timestamp;
-- a partition is like the others: constraints, indexes, no grants of its own, the table's owner, no leftover
SELECT count(*) FILTER (WHERE contype = 'c') AS checks, count(*) FILTER (WHERE contype = 'p') AS keys, count(*) FILTER (WHERE conname = 'attach_bounds') AS leftover
  FROM pg_constraint WHERE conrelid = 'fx.market_data_2024_02'::regclass;
SELECT count(*) AS indexes, (SELECT relacl IS NULL FROM pg_class WHERE oid = 'fx.market_data_2024_02'::regclass) AS no_grants,
       (SELECT count(*) FROM pg_index WHERE indrelid = 'fx.market_data'::regclass) AS of_the_table
  FROM pg_index WHERE indrelid = 'fx.market_data_2024_02'::regclass;
SELECT nextval('fx.market_data_id_seq') > 0 AS ids, pg_get_serial_sequence('fx.market_data', 'id') AS sequence;
-- readers and writers go on
SELECT mode FROM pg_locks WHERE relation = 'fx.market_data'::regclass AND pid = pg_backend_pid() AND mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock');
-- a table in the way
CREATE TABLE fx.market_data_2030_01 (x integer);
SAVEPOINT s;
SELECT create_market_data_partitions('2030-01-01', '2030-02-01');
ROLLBACK TO s;
SELECT create_market_data_partitions(NULL, '2030-02-01');
ROLLBACK TO s;
SELECT create_market_data_partitions('2030-02-01', NULL);
ROLLBACK TO s;
SELECT create_market_data_partitions('-infinity', '2030-02-01');
ROLLBACK TO s;
SELECT create_market_data_partitions('2030-02-01', 'infinity');
ROLLBACK TO s;
SELECT create_market_data_partitions('2030-02-01', '10000-01-01');
ROLLBACK TO s;
SELECT create_market_data_partitions('0001-01-01 BC', '0002-01-01');
ROLLBACK TO s;
SELECT create_market_data_partitions('2030-02-02', '2030-02-01');
ROLLBACK;
-- the months that the installation made: last month, this one, three ahead
SELECT count(*) AS months,
       bool_or(c.relname = 'market_data_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')) AS this_one
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE inhparent = 'fx.market_data'::regclass;
-- as somebody else who may: the partition is the owner's
BEGIN;
CREATE ROLE other_owner SUPERUSER;
SET LOCAL ROLE other_owner;
SELECT fx.create_market_data_partitions('2040-01-01', '2040-02-01');
SELECT (SELECT relowner FROM pg_class WHERE oid = 'fx.market_data_2040_01'::regclass) = (SELECT relowner FROM pg_class WHERE oid = 'fx.market_data'::regclass) AS same_owner;
ROLLBACK;
