-- Binary input of fx.candlestick
-- flags: -max_len=100
SELECT fx.candlestick_send(v) = $1 AS send_gives_what_came,
       v::text::fx.candlestick = v AS text_round_trip,
       (v::jsonb ->> 'high')::numeric = fx.high(v) AS json_agrees,
       (SELECT fx.rollup(w) FROM (VALUES (v), (v)) AS s (w)) IS NOT NULL AS rollup,
       fx.candlestick(fx.first_at(v), fx.open(v), fx.high(v), fx.low(v), fx.close(v), fx.volume(v)) IS NOT NULL AS can_be_made
  FROM (SELECT fuzz.receive($1, NULL::fx.candlestick) AS v OFFSET 0) AS r
