-- Secrets of second factors
-- flags: -only_ascii=1 -max_len=200
SELECT fx.base32_decode(fx.base32_encode(d)) = d AS round_trip,
       length(fx.totp(d || sha256(d), timestamptz '2024-01-01' + length(t) * interval '1 day')) = 6 AS code
  FROM (SELECT t, fx.base32_decode(t) AS d FROM (SELECT convert_from($1, 'UTF8') AS t OFFSET 0) AS s OFFSET 0) AS s
