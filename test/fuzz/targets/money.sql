-- Numerics of any form are rounded to eight decimals, or refused
-- flags: -max_len=80
SELECT fx.net_profit(fx.pnl_agg(n)) = round(n, 8) AS rounded_half_away_from_zero,
       fx.largest_win(fx.pnl_agg(n)) = greatest(round(n, 8), 0) OR round(n, 8) <= 0 AS largest_win,
       fx.net_profit(fx.pnl_agg(n, -n, n)) = 3 * round(n, 8) AS three_times
  FROM (SELECT fuzz.receive($1, NULL::numeric) AS n OFFSET 0) AS s GROUP BY n
