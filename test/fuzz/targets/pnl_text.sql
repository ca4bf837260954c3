-- Text input of fx.pnl, lines of it, and all that can be done with values
-- flags: -only_ascii=1 -max_len=1500
WITH v AS MATERIALIZED (
    SELECT n, line::fx.pnl AS v
      FROM string_to_table(convert_from($1, 'UTF8'), E'\n') WITH ORDINALITY AS s (line, n)
)
SELECT v::text::fx.pnl = v AS text_round_trip,
       fuzz.receive(fx.pnl_send(v), v) = v AS binary_round_trip,
       fx.pnl_hash(v) = fx.pnl_hash(v::text::fx.pnl) AS hash_of_equal,
       fx.trade_count(v) = fx.win_count(v) + fx.loss_count(v) + fx.breakeven_count(v) AS counts_add_up,
       fx.net_profit(v) = fx.gross_profit(v) + fx.gross_loss(v) AS money_adds_up,
       (v::jsonb ->> 'net_profit')::numeric = fx.net_profit(v) AS json_agrees,
       (fx.summary(v)).net_profit = fx.net_profit(v) AS summary_agrees,
       fx.win_rate(v) BETWEEN 0 AND 1 AS win_rate_is_a_fraction,
       coalesce(fx.stddev(v), 0) >= 0 AS stddev_is_positive,
       rolled = back AS order_does_not_matter,
       fx.trade_count(rolled) = total AS rollup_counts,
       moving = pair AS window_agrees
  FROM (SELECT v,
               fx.rollup(v) OVER (ORDER BY n) AS rolled,
               sum(fx.trade_count(v)) OVER (ORDER BY n) AS total,
               (SELECT fx.rollup(w.v ORDER BY w.n DESC) FROM v AS w WHERE w.n <= v.n) AS back,
               fx.rollup(v) OVER (ORDER BY n ROWS 1 PRECEDING) AS moving,
               (SELECT fx.rollup(w.v) FROM v AS w WHERE w.n IN (v.n, v.n - 1)) AS pair
          FROM v) AS r
