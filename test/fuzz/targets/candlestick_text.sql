-- Text input of fx.candlestick, lines of it
-- flags: -only_ascii=1 -max_len=1000
WITH v AS MATERIALIZED (
    SELECT n, line::fx.candlestick AS v
      FROM string_to_table(convert_from($1, 'UTF8'), E'\n') WITH ORDINALITY AS s (line, n)
)
SELECT v::text::fx.candlestick = v AS text_round_trip,
       fuzz.receive(fx.candlestick_send(v), v) = v AS binary_round_trip,
       fx.candlestick_hash(v) = fx.candlestick_hash(v::text::fx.candlestick) AS hash_of_equal,
       fx.low(v) <= least(fx.open(v), fx.close(v)) AND fx.high(v) >= greatest(fx.open(v), fx.close(v)) AS extremes,
       fx.first_at(v) <= fx.last_at(v) AS times_in_order,
       (v::jsonb ->> 'high')::numeric = fx.high(v) AS json_agrees,
       fx.high(rolled) = (SELECT max(fx.high(w.v)) FROM v AS w) AND fx.low(rolled) = (SELECT min(fx.low(w.v)) FROM v AS w)
           AND fx.first_at(rolled) = (SELECT min(fx.first_at(w.v)) FROM v AS w)
           AND fx.last_at(rolled) = (SELECT max(fx.last_at(w.v)) FROM v AS w) AS rollup_agrees,
       rolled::text::fx.candlestick = rolled AS rollup_is_possible,
       -- of candles that begin, or end, at the same moment the order decides
       times < 2 * n OR rolled = (SELECT fx.rollup(w.v ORDER BY w.n DESC) FROM v AS w) AS order_does_not_matter
  FROM (SELECT v FROM v) AS v CROSS JOIN (SELECT fx.rollup(v ORDER BY n) AS rolled, count(*) AS n,
                           count(DISTINCT fx.first_at(v)) + count(DISTINCT fx.last_at(v)) AS times FROM v) AS r
