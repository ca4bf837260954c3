--
-- P&L over moving windows equals that of the same rows gathered anew
--
SET search_path = fx, public;
CREATE TEMPORARY TABLE row_set AS
SELECT n, (n * 7919 % 1009) / 10 AS at,
       CASE WHEN n % 11 <> 0 THEN round((sin(n * 1.7) * CASE WHEN n % 97 = 0 THEN 1e25 ELSE 100 END)::numeric, n % 9) * (n % 5 <> 0)::integer END AS profit,
       CASE WHEN n % 3 <> 0 THEN (n % 7) / 10.0 END AS commission, CASE WHEN n % 4 <> 0 THEN (n % 5 - 2) / 100.0 END AS swap
  FROM generate_series(1, 600) AS n;
-- a volatile filter keeps the server from moving the frame
CREATE FUNCTION pg_temp.differs(frame text) RETURNS TABLE (frames bigint, wrong bigint, empty bigint) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format($q$
        SELECT count(*), count(*) FILTER (WHERE a IS DISTINCT FROM c OR b IS DISTINCT FROM d OR e IS DISTINCT FROM f), count(*) FILTER (WHERE a IS NULL)
          FROM (SELECT pnl_agg(profit) OVER w AS a, pnl_agg(profit, commission, swap) OVER w AS b,
                       pnl_agg(profit) FILTER (WHERE random() >= 0) OVER w AS c,
                       pnl_agg(profit, commission, swap) FILTER (WHERE random() >= 0) OVER w AS d,
                       pnl_agg(profit) FILTER (WHERE n %% 2 = 0) OVER w AS e,
                       pnl_agg(profit) FILTER (WHERE n %% 2 = 0 AND random() >= 0) OVER w AS f
                  FROM row_set WINDOW w AS (%s)) AS s$q$, frame);
END
$$;
SELECT frame, d.* FROM unnest(ARRAY[
    'ORDER BY n ROWS 0 PRECEDING', 'ORDER BY n ROWS 9 PRECEDING', 'ORDER BY n ROWS BETWEEN 3 PRECEDING AND 2 FOLLOWING', 'ORDER BY n ROWS BETWEEN 5 FOLLOWING AND 8 FOLLOWING',
    'ORDER BY n ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING', 'ORDER BY n ROWS BETWEEN 2 PRECEDING AND 3 PRECEDING', 'ORDER BY at RANGE 3 PRECEDING', 'ORDER BY at GROUPS 1 PRECEDING',
    'PARTITION BY n % 7 ORDER BY n ROWS 20 PRECEDING']) AS frame, pg_temp.differs(frame) AS d;
-- other places
SELECT n % 3 AS part, net_profit(pnl_agg(profit)) IS NOT NULL AS known, trade_count(pnl_agg(DISTINCT n % 10)) AS distinct_values
  FROM row_set WHERE n < 90 GROUP BY GROUPING SETS ((n % 3), ()) ORDER BY 1;
CREATE MATERIALIZED VIEW by_part AS SELECT at / 20 AS part, pnl_agg(profit, commission, swap) AS pnl FROM (VALUES (1, 2.5, 0.5, 0), (30, 1, 0, 0)) AS v (at, profit, commission, swap) GROUP BY 1;
SELECT part, net_profit(pnl) FROM by_part ORDER BY part;
REFRESH MATERIALIZED VIEW by_part;
SELECT net_profit(fx.rollup(pnl)) FROM by_part;
DROP MATERIALIZED VIEW by_part;
