-- Text input of fx.equity, lines of it, and curve and metrics of what it has
-- flags: -only_ascii=1 -max_len=3000
WITH v AS MATERIALIZED (
    SELECT n, line::fx.equity AS v
      FROM string_to_table(convert_from($1, 'UTF8'), E'\n') WITH ORDINALITY AS s (line, n)
), whole AS MATERIALIZED (
    SELECT fx.rollup(v ORDER BY n) AS v, sum(fx.trade_count(v)) AS total FROM v
)
SELECT v::text::fx.equity::text = v::text AS text_round_trip,
       fx.equity_send(fuzz.receive(fx.equity_send(v), v)) = fx.equity_send(v) AS binary_round_trip,
       fx.equity_send((SELECT fx.rollup(w.v ORDER BY w.n DESC) FROM v AS w)) = fx.equity_send(v) AS order_does_not_matter,
       fx.trade_count(v) = total AS rollup_counts,
       points.n = total + 1 AS a_point_a_trade,
       points.net = fx.net_profit(v) AS points_add_up,
       points.wrong = 0 AS curve_is_right,
       jsonb_array_length(fx.equity_curve(v, 1e8)) = total + 1 AS curve_has_points,
       -- metrics go by days, of which there are millions in ten thousand years
       CASE WHEN (SELECT max(y[1]::integer) - min(y[1]::integer) FROM regexp_matches(v::text, '(\d{4,})-\d\d-\d\dT', 'g') AS y) < 30
            THEN (fx.backtest_metrics(v, 1e8) ->> 'finalBalance')::numeric = 1e8 + fx.net_profit(v) END AS metrics_agree,
       (SELECT count(*) FROM fx.drawdowns(v, 1e8)) <= total AS drawdowns_are_few,
       points.span > interval '10000 days' OR (SELECT coalesce(sum(trade_count), 0) FROM fx.monthly_returns(v, 1e8)) = total AS months_have_all,
       (SELECT count(*) FROM fx.monte_carlo(v, 1e8, 10, 1)) >= 0 AS monte_carlo
  FROM whole
 CROSS JOIN LATERAL (
        SELECT count(*) AS n, coalesce(sum(net_profit), 0) AS net, max(closed_at) - min(closed_at) AS span,
               count(*) FILTER (WHERE equity <> running OR peak <> highest OR drawdown <> highest - running) AS wrong
          FROM (SELECT p.*, 1e8 + coalesce(sum(net_profit) OVER w, 0) AS running, max(equity) OVER w AS highest
                  FROM fx.equity_points(v, 1e8) AS p WINDOW w AS (ORDER BY seq)) AS q) AS points
