--
-- P&L of a user is read by an index that leads to his trades, whatever the
-- statistics say of users and times
--
BEGIN;
SET LOCAL session_replication_role = replica;
SET LOCAL jit = off;
-- scans of parallel workers are not counted here
SET LOCAL max_parallel_workers_per_gather = 0;
TRUNCATE fx.trades, fx.users CASCADE;
CREATE FUNCTION pg_temp.id(n integer) RETURNS uuid LANGUAGE sql AS $$
    SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid
$$;
INSERT INTO fx.users (id, email, username, password_hash) SELECT pg_temp.id(n), n || '@example.com', n, 'x' FROM generate_series(1, 200) AS n;

-- every fifth trade is of the first user, the others of all of them; one each 5 ms
CREATE FUNCTION pg_temp.trade(users integer, since integer, until integer, start timestamptz) RETURNS void LANGUAGE sql AS $$
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, profit, status, executed_at, closed_at)
    SELECT pg_temp.id(CASE WHEN n % 5 = 0 THEN 1 ELSE 1 + n % users END), 'S' || n % 3, 'buy', 'market', 1, 1, n % 7 - 3, 'executed', start + n * interval '5 ms', start + n * interval '6 ms'
      FROM generate_series(since, until) AS n
$$;

-- What is scanned of the table by each function, called as often as it takes
-- until PL/pgSQL keeps a plan.
CREATE FUNCTION pg_temp.scans() RETURNS TABLE (name text, scans bigint) LANGUAGE sql AS $$
    SELECT 'the table', pg_stat_get_xact_numscans('fx.trades'::regclass)
    UNION ALL
    SELECT CASE a.attname WHEN 'user_id' THEN 'an index by user' ELSE i.indexrelid::regclass::text END, sum(pg_stat_get_xact_numscans(i.indexrelid))::bigint
      FROM pg_index AS i
      LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
     WHERE i.indrelid = 'fx.trades'::regclass
     GROUP BY 1
$$;
CREATE FUNCTION pg_temp.scanned(usr integer, since timestamptz, until timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before jsonb;
    expected bigint := (SELECT count(*) FROM fx.trades AS t WHERE t.user_id = pg_temp.id(usr) AND t.executed_at >= coalesce(since, '-infinity') AND t.executed_at < coalesce(until, 'infinity'));
    counted bigint;
BEGIN
    before := (SELECT jsonb_object_agg(s.name, s.scans) FROM pg_temp.scans() AS s);
    FOR n IN 1 .. 7 LOOP
        SELECT sum(p.trade_count) INTO counted FROM fx.trade_performance(pg_temp.id(usr), since, until) AS p;
        ASSERT counted = expected, 'fx.trade_performance counts ' || counted;
    END LOOP;
    SELECT sum(p.trade_count) INTO counted FROM fx.pnl_report(pg_temp.id(usr), since, until, 'day') AS p;
    ASSERT counted = expected, 'fx.pnl_report counts ' || counted;
    SELECT sum(p.trade_count) INTO counted FROM fx.pnl_report(pg_temp.id(usr), since, until, 'side') AS p;
    ASSERT counted = expected, 'fx.pnl_report counts ' || counted;
    RETURN (SELECT string_agg(s.name, ', ' ORDER BY s.name) FROM pg_temp.scans() AS s WHERE s.scans > (before ->> s.name)::bigint);
END
$$;
CREATE FUNCTION pg_temp.all_scans(users integer) RETURNS TABLE (range text, usr integer, scanned text) LANGUAGE sql AS $$
    SELECT r.range, u, pg_temp.scanned(u, r.since, r.until)
      FROM (VALUES (1, 'last 10 s', timestamptz '2024-03-01 00:01:30+00', NULL::timestamptz), (2, '10 s before', '2024-03-01 00:01:20+00', '2024-03-01 00:01:30+00'), (3, 'all', NULL, NULL)) AS r (n, range, since, until),
           unnest(ARRAY[1, users]) AS u
     ORDER BY r.n, u
$$;

-- no statistics
SELECT pg_temp.trade(200, 1, 20000, '2024-03-01 00:00:00+00');
SELECT * FROM pg_temp.all_scans(200);
-- those of now
ANALYZE fx.trades;
SELECT * FROM pg_temp.all_scans(200);
-- those of a month ago
TRUNCATE fx.trades;
SELECT pg_temp.trade(200, 1, 5000, '2024-02-01 00:00:00+00');
ANALYZE fx.trades;
SELECT pg_temp.trade(200, 1, 20000, '2024-03-01 00:00:00+00');
SELECT * FROM pg_temp.all_scans(200);
-- of few users, when a third of the trades were there
TRUNCATE fx.trades;
SELECT pg_temp.trade(20, 1, 6000, '2024-03-01 00:00:00+00');
ANALYZE fx.trades;
SELECT pg_temp.trade(20, 6001, 20000, '2024-03-01 00:00:00+00');
SELECT * FROM pg_temp.all_scans(20);
ANALYZE fx.trades;
SELECT * FROM pg_temp.all_scans(20);
TRUNCATE fx.trades;
SELECT pg_temp.trade(3, 1, 20000, '2024-03-01 00:00:00+00');
ANALYZE fx.trades;
SELECT * FROM pg_temp.all_scans(3);
ROLLBACK;
