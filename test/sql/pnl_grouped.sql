--
-- fx.pnl_report by each grouping, against plain SQL
--
BEGIN;
SET LOCAL search_path = fx, public;
SET LOCAL timezone = 'Asia/Tokyo';
INSERT INTO users (id, email, username, password_hash) SELECT ('00000000-0000-4000-8000-0000000000a' || n)::uuid, n || '@example.com', n, 'x' FROM generate_series(1, 2) AS n;
-- what is reported is what the application wrote: no trade closes another
UPDATE accounts SET position_method = 'hedging';
INSERT INTO strategies (id, user_id, name, type) SELECT ('00000000-0000-4000-8000-0000000000b' || n)::uuid, '00000000-0000-4000-8000-0000000000a1', 's' || n, 'manual' FROM generate_series(1, 2) AS n;
INSERT INTO trades (user_id, strategy_id, symbol, type, order_type, quantity, price, profit, commission, swap, status, executed_at, reason_code)
SELECT ('00000000-0000-4000-8000-0000000000a' || 1 + (n % 10 = 0)::integer)::uuid,
       CASE WHEN n % 10 <> 0 AND n % 3 > 0 THEN ('00000000-0000-4000-8000-0000000000b' || n % 3)::uuid END,
       (ARRAY['EURUSD', 'USDJPY', 'GBPUSD'])[1 + n % 3], (ARRAY['buy', 'sell'])[1 + n % 2], 'market', 1000, 1.1,
       CASE WHEN n % 13 <> 0 THEN round((sin(n) * 100)::numeric, 2) END, 0.35, -0.01, CASE WHEN n % 7 = 0 THEN 'cancelled' ELSE 'executed' END,
       timestamptz '2024-03-01 00:00+00' + n * interval '3 hours 7 minutes', CASE WHEN n % 4 > 0 THEN 'code' || n % 4 END
  FROM generate_series(1, 400) AS n;
SELECT '00000000-0000-4000-8000-0000000000a1' AS u \gset
CREATE TEMPORARY VIEW theirs AS
SELECT *, profit - commission + swap AS net, ((executed_at AT TIME ZONE 'America/New_York') + interval '7 hours')::date AS day,
       (executed_at AT TIME ZONE 'America/New_York') AS wall
  FROM trades WHERE user_id = :'u' AND status = 'executed' AND profit IS NOT NULL;
CREATE FUNCTION pg_temp.expected("by" text) RETURNS TABLE (key text, n bigint, net numeric, wins bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format('SELECT (%s)::text, count(*), sum(net), count(*) FILTER (WHERE net > 0) FROM theirs GROUP BY 1',
        CASE "by" WHEN 'symbol' THEN 'symbol' WHEN 'strategy' THEN 'strategy_id' WHEN 'side' THEN 'type' WHEN 'reason_code' THEN 'reason_code' WHEN 'fx_day' THEN 'to_char(day, ''YYYY-MM-DD'')'
                  WHEN 'week' THEN 'to_char(day, ''IYYY-"W"IW'')' WHEN 'month' THEN 'to_char(day, ''YYYY-MM'')' WHEN 'weekday' THEN 'to_char(day, ''FMDay'')' ELSE 'to_char(wall, ''HH24'')' END);
END
$$;
SELECT "by", (SELECT count(*) FROM pnl_report(:'u', NULL, NULL, "by")) AS groups,
       (SELECT count(*) FROM ((SELECT group_key, trade_count, net_profit, win_count FROM pnl_report(:'u', NULL, NULL, "by") EXCEPT SELECT * FROM pg_temp.expected("by"))
         UNION ALL (SELECT * FROM pg_temp.expected("by") EXCEPT SELECT group_key, trade_count, net_profit, win_count FROM pnl_report(:'u', "by" => "by"))) AS d) AS differing
  FROM unnest('{symbol,strategy,fx_day,week,month,weekday,hour,side,reason_code}'::text[]) AS "by";
SELECT group_key, trade_count, net_profit, commission, swap, round(win_rate::numeric, 4) AS win_rate FROM pnl_report(:'u', '2024-03-04 00:00+00', '2024-03-20 00:00+00');
SELECT string_agg(group_key, ' ') AS weekdays FROM pnl_report(:'u', "by" => 'weekday');
SELECT count(*) = (SELECT count(DISTINCT day) FROM theirs) AS days, array_agg(group_key) = array_agg(group_key ORDER BY group_key) AS in_order FROM pnl_report(:'u', "by" => 'day');
SELECT count(*) AS none FROM pnl_report(NULL);
\set VERBOSITY terse
SAVEPOINT s;
SELECT * FROM pnl_report(:'u', NULL, NULL, 'symbol; DROP TABLE fx.trades');
ROLLBACK TO s;
SELECT * FROM pnl_report(:'u', NULL, NULL, NULL);
ROLLBACK TO s;
\set VERBOSITY sqlstate
SELECT * FROM pnl_report(:'u', NULL, NULL, NULL);
ROLLBACK TO s;
SELECT * FROM pnl_report(:'u', NULL, NULL, repeat('€', 100));
ROLLBACK;
