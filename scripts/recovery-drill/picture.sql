-- picture.sql
--	What a database holds, one line each: rows and checksum of every table and
--	partition, rights, and what users are told about their profit.  The same
--	lines, the same data.
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset fieldsep ' '
SET search_path = pg_catalog;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET IntervalStyle = 'postgres';
SET bytea_output = 'hex';
SET extra_float_digits = 1;

SELECT format('SELECT %L, count(*), md5(coalesce(string_agg(md5(t::text), '''' ORDER BY md5(t::text) COLLATE "C"), '''')) FROM ONLY %s AS t',
              c.oid::regclass, c.oid::regclass)
  FROM pg_class AS c
 WHERE relnamespace IN ('fx'::regnamespace, 'public'::regnamespace) AND relkind = 'r' AND relpersistence = 'p'
 ORDER BY c.oid::regclass::text COLLATE "C"
\gexec
SELECT 'partitions', count(*), md5(string_agg(concat_ws(' ', relid::regclass, parentrelid::regclass, pg_get_expr(c.relpartbound, relid)), ',' ORDER BY relid::regclass::text COLLATE "C"))
  FROM pg_class AS p, pg_partition_tree(p.oid) AS t, pg_class AS c
 WHERE p.relnamespace = 'fx'::regnamespace AND p.relkind = 'p' AND c.oid = t.relid;
SELECT 'triggers', count(*), md5(string_agg(pg_get_triggerdef(oid), ',' ORDER BY pg_get_triggerdef(oid) COLLATE "C"))
  FROM pg_trigger WHERE NOT tgisinternal;
SELECT 'indexes', count(*), md5(string_agg(indexdef, ',' ORDER BY indexdef COLLATE "C")) FROM pg_indexes WHERE schemaname IN ('fx', 'public');
SELECT 'policies', count(*), md5(string_agg(concat_ws(' ', tablename, policyname, cmd, roles, qual, with_check), ',' ORDER BY tablename, policyname))
  FROM pg_policies WHERE schemaname = 'fx';
SELECT 'rights', count(*), md5(string_agg(concat_ws(' ', relname, grantee::regrole, privilege_type), ',' ORDER BY relname COLLATE "C", grantee::regrole::text COLLATE "C", privilege_type))
  FROM pg_class, aclexplode(relacl) WHERE relnamespace = 'fx'::regnamespace AND grantee <> 0;
SELECT 'members', count(*), md5(string_agg(concat_ws(' ', roleid::regrole, member::regrole), ',' ORDER BY roleid::regrole::text, member::regrole::text))
  FROM pg_auth_members WHERE roleid::regrole::text LIKE 'fx\_%';
SELECT 'trade_performance', count(*), md5(string_agg(concat_ws(' ', u.username, p), ',' ORDER BY u.username, p::text COLLATE "C"))
  FROM fx.users AS u, fx.trade_performance(u.id) AS p;
SELECT 'net profit of', symbol, fx.net_profit(p), 'in', fx.trade_count(p)
  FROM (SELECT symbol, fx.pnl_agg(profit, commission, swap) AS p FROM fx.trades WHERE NOT is_backtest AND status = 'executed' GROUP BY symbol) AS s
 ORDER BY symbol COLLATE "C";
