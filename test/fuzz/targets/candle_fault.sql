-- What is wrong with a candle: a good one can be made and stored
-- flags: -max_len=60
SELECT fault IS NULL OR octet_length(fault) < 1000 AS fault_is_short,
       fault IS NOT NULL OR fx.candlestick(at, n[1], n[2], n[3], n[4], n[5]::bigint) IS NOT NULL AS good_candle_is_one
  FROM (SELECT fx.candle_fault(encode(substr($1, 29, 30), 'escape'),
                               (ARRAY['1m', '5m', '15m', '30m', '1h', '4h', '1d', '1w', '1mn', 'H1', 'm1', '2m', ''])[1 + get_byte($1, 0) % 13],
                               at, n[1], n[2], n[3], n[4], n[5], NULL) AS fault, *
          FROM (SELECT to_timestamp(get_byte($1, 1) * 6000000 + get_byte($1, 2) * 60) AS at,
                       ARRAY(SELECT ('x' || encode(substr($1, 4 + i * 5, 4), 'hex'))::bit(32)::integer
                                    * power(10::numeric, get_byte($1, 7 + i * 5) % 32 - 12)
                               FROM generate_series(0, 4) AS i) AS n OFFSET 0) AS s OFFSET 0) AS s
