-- Binary input of fx.pnl
-- flags: -max_len=400
SELECT fx.pnl_send(v) = $1 AS send_gives_what_came,
       v::text::fx.pnl = v AS text_round_trip,
       (v::jsonb ->> 'net_profit')::numeric = fx.net_profit(v) AS json_agrees,
       fx.trade_count(v) = fx.win_count(v) + fx.loss_count(v) + fx.breakeven_count(v) AS counts_add_up,
       (fx.summary(v)).net_profit = fx.net_profit(v) AS summary_agrees,
       coalesce(fx.stddev(v), 0) >= 0 AS stddev_is_positive,
       fx.trade_count((SELECT fx.rollup(w) FROM (VALUES (v), (v)) AS s (w))) = 2 * fx.trade_count(v)::numeric AS rollup_counts
  FROM (SELECT fuzz.receive($1, NULL::fx.pnl) AS v OFFSET 0) AS r
