-- The trades of a backtest, their curve and metrics
-- flags: -max_len=2000
WITH t AS MATERIALIZED (
    SELECT j, fx.equity_curve(j, 1e8) AS curve
      FROM (SELECT fuzz.json($1, '{profit,commission,swap,closedAt,closed_at,executedAt,executed_at,symbol,type,quantity,price,profit,closedAt}') AS j OFFSET 0) AS s
), p AS MATERIALIZED (
    SELECT p.*, 1e8 + coalesce(sum(net_profit) OVER w, 0) AS running, max(equity) OVER w AS highest
      FROM t, fx.equity_points(j, 1e8) AS p WINDOW w AS (ORDER BY seq)
)
SELECT points.wrong = 0 AS curve_is_right,
       points.n = jsonb_array_length(j) + 1 AND jsonb_array_length(curve) = points.n AS a_point_a_trade,
       (curve -> -1 ->> 'equity')::numeric = points.last AS json_agrees,
       (SELECT count(*) FILTER (WHERE (c ->> 'equity')::numeric <> p.equity OR (c ->> 'drawdown')::numeric <> p.drawdown) = 0
          FROM jsonb_array_elements(curve) WITH ORDINALITY AS s (c, n) JOIN p ON p.seq = n - 1) AS every_point_agrees,
       points.timed = 0 OR (SELECT count(*) FROM fx.equity_points(e.e, 1e8)) = points.n AND fx.net_profit(e.e) = points.last - 1e8 AS rows_agree,
       (m ->> 'finalBalance')::numeric = points.last AS final_balance,
       (m ->> 'maxDrawdown')::numeric = points.deepest AS max_drawdown,
       (m ->> 'totalTrades')::numeric = points.n - 1 AS total_trades,
       m::text !~ 'NaN|Infinity' AS metrics_are_numbers,
       (SELECT count(*) FROM fx.drawdowns(j, 1e8)) < points.n AS drawdowns_are_few,
       points.timed = 0 OR points.span > interval '10000 days' OR (SELECT sum(trade_count) FROM fx.monthly_returns(j, 1e8)) = points.n - 1 AS months_have_all,
       (SELECT count(*) FROM fx.monte_carlo(j, 1e8, 5, 1)) >= 0 AS monte_carlo,
       (SELECT count(*) FROM fx.trade_order(j)) = points.n - 1 AS order_has_all
  FROM t
 CROSS JOIN LATERAL (
        SELECT count(*) AS n, count(closed_at) AS timed, max(closed_at) - min(closed_at) AS span, max(drawdown) AS deepest, max(running) FILTER (WHERE seq = top) AS last,
               count(*) FILTER (WHERE equity <> running OR peak <> highest OR drawdown <> highest - running) AS wrong
          FROM p, (SELECT max(seq) AS top FROM p) AS s) AS points
 CROSS JOIN (SELECT fx.equity_agg(closed_at, net_profit) FILTER (WHERE closed_at IS NOT NULL) AS e FROM p) AS e
 CROSS JOIN LATERAL (SELECT CASE WHEN coalesce(points.span, '0') < interval '10000 days' THEN fx.backtest_metrics(j, 1e8) END AS m) AS m
