-- The trades of a backtest as text of JSON
-- flags: -only_ascii=1 -max_len=4000 -dict
SELECT fx.equity_curve(t, 1e8) = fx.equity_curve(t::jsonb, 1e8) AS text_and_jsonb_agree,
       fx.backtest_metrics(t, 1e8) = fx.backtest_metrics(t::jsonb, 1e8) AS metrics_agree,
       jsonb_array_length(fx.equity_curve(t, 1e8)) = jsonb_array_length(t::jsonb) + 1 AS a_point_a_trade
  FROM (SELECT convert_from($1, 'UTF8') AS t OFFSET 0) AS s
