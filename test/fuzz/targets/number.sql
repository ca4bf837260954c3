-- Numbers from text are those of numeric, rounded to eight decimals
-- flags: -only_ascii=1 -max_len=64 -dict
SELECT n = 'NaN' OR n = round(t::numeric, 8)
           OR abs(n) = 'Infinity' AND abs(t::numeric) > 1.7e30 AND sign(n) = sign(t::numeric) AS as_numeric_reads_it
  FROM (SELECT t, fx.number_or_nan(t) AS n FROM (SELECT convert_from($1, 'UTF8') AS t OFFSET 0) AS s OFFSET 0) AS s
