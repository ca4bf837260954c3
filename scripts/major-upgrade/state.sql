-- What a platform holds and answers, one line each, the same on every major:
-- rows and checksums of every table, what its own checks find, what it answers
-- from its tables.
\set ON_ERROR_STOP on
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET TimeZone = 'UTC';
SET DateStyle = 'ISO';
SET extra_float_digits = 1;

-- the book of partitions knows them by their files, which a restore makes anew
SELECT format('SELECT %L || count(*) || '' '' || md5(coalesce(string_agg(md5(t::text), '''' ORDER BY md5(t::text) COLLATE "C"), '''')) FROM %s AS t',
              'table ' || c.relname || ' ', c.oid::regclass)
  FROM pg_class c
 WHERE relnamespace = 'fx'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
   AND relname NOT IN ('migration', 'candle_partitions')
 ORDER BY relname COLLATE "C"
\gexec
SELECT format('SELECT %L || last_value || '' '' || is_called FROM %s', 'sequence ' || c.relname || ' ', c.oid::regclass)
  FROM pg_class c
 WHERE relnamespace = 'fx'::regnamespace AND relkind = 'S'
 ORDER BY relname COLLATE "C"
\gexec

SELECT 'partitions ' || count(*) || ' ' || md5(string_agg(concat_ws(' ', t.relid::regclass, t.parentrelid::regclass, pg_get_expr(c.relpartbound, c.oid)), ',' ORDER BY t.relid::regclass::text COLLATE "C"))
  FROM pg_class p, pg_partition_tree(p.oid) AS t, pg_class c
 WHERE p.relnamespace = 'fx'::regnamespace AND p.relkind = 'p' AND c.oid = t.relid;
SELECT 'triggers ' || count(*) || ' ' || md5(string_agg(concat_ws(' ', tgrelid::regclass, tgname, tgtype, tgenabled, tgfoid::regprocedure), ',' ORDER BY tgrelid::regclass::text COLLATE "C", tgname))
  FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'fx'::regnamespace);
SELECT 'policies ' || count(*) || ' ' || md5(string_agg(concat_ws(' ', tablename, policyname, cmd, roles, qual, with_check), ',' ORDER BY tablename, policyname))
  FROM pg_policies WHERE schemaname = 'fx';
-- 17 has a right more for the owner: those that are granted to others do not differ
SELECT 'rights ' || count(*) || ' ' || md5(string_agg(concat_ws(' ', relname, grantee::regrole, privilege_type), ',' ORDER BY relname COLLATE "C", grantee::regrole::text COLLATE "C", privilege_type))
  FROM pg_class c, aclexplode(relacl) AS a
 WHERE relnamespace = 'fx'::regnamespace AND grantee <> relowner AND grantee <> 0;
-- of the types some majors count those of arrays
SELECT 'extension ' || extversion || ' ' || count(*) || ' ' || md5(string_agg(objid::regprocedure::text, ',' ORDER BY objid::regprocedure::text COLLATE "C"))
  FROM pg_extension e, pg_depend
 WHERE extname = 'fxplatform' AND deptype = 'e' AND refobjid = e.oid AND classid = 'pg_proc'::regclass
 GROUP BY extversion;

SELECT 'problems of positions ' || count(*) FROM fx.verify_positions();
SELECT 'problems of the audit trail ' || count(*) FROM fx.verify_audit() WHERE kind <> 'unsealed';
SELECT 'candles ' || f || ' ' || count(c) || ' ' || md5(string_agg(c::text, ',' ORDER BY c."timestamp"))
  FROM unnest(ARRAY['1h', '4h', '1d']) AS f, fx.candles('EURUSD', f, '2024-01-01 00:00+00', '2024-04-01 00:00+00') AS c
 GROUP BY f ORDER BY f;
SELECT 'latest candle ' || c::text FROM fx.latest_candle('EURUSD', '1h') AS c;
SELECT 'profit of ' || symbol || ' ' || fx.net_profit(p) || ' in ' || fx.trade_count(p)
  FROM (SELECT symbol, fx.pnl_agg(profit, commission, swap) AS p FROM fx.trades GROUP BY symbol) AS s ORDER BY symbol;
SELECT 'curve of ' || name || ' ' || md5(fx.equity_curve(trades)::text) FROM fx.backtests ORDER BY name;
SELECT 'encrypted: ' || fx.decrypt(secret, 'broker') FROM public.broker;
