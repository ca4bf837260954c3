-- Binary input of fx.equity
-- flags: -max_len=1000
SELECT fx.equity_send(fuzz.receive(fx.equity_send(v), v)) = fx.equity_send(v) AS binary_round_trip,
       length(fx.equity_send(v)) = length($1) AS nothing_is_lost,
       substr(fx.equity_send(v), 1, 34) = substr($1, 1, 34) AS header_is_kept,
       v::text::fx.equity::text = v::text AS text_round_trip,
       jsonb_array_length(fx.equity_curve(v, 1e8)) = fx.trade_count(v) + 1 AS curve_has_points,
       -- metrics go by days, of which there are millions in ten thousand years
       CASE WHEN (SELECT max(y[1]::integer) - min(y[1]::integer) FROM regexp_matches(v::text, '(\d{4,})-\d\d-\d\dT', 'g') AS y) < 30
            THEN (fx.backtest_metrics(v, 1e8) ->> 'finalBalance')::numeric = 1e8 + fx.net_profit(v) END AS metrics_agree,
       (SELECT count(*) FROM fx.drawdowns(v, 1e8)) <= fx.trade_count(v) AS drawdowns_are_few
  FROM (SELECT fuzz.receive($1, NULL::fx.equity) AS v OFFSET 0) AS r
