-- Times: what is read is what PostgreSQL reads, and can be written and read again
-- flags: -only_ascii=1 -max_len=48 -dict
SELECT at = 'infinity' OR at = t::timestamptz
           -- a seventh decimal of 5 is rounded up here, to even by the server
           OR t ~ '[.,]\d{7}' AND abs(extract(epoch FROM at - t::timestamptz)) <= 0.000001 AS as_the_server_reads_it,
       at = 'infinity' OR fx.time_or_infinity(to_jsonb(at) #>> '{}') = at
           OR at < '0001-01-01 00:00+00' OR at >= '10000-01-01 00:00+00' AS can_be_read_again
  FROM (SELECT t, fx.time_or_infinity(t) AS at FROM (SELECT convert_from($1, 'UTF8') AS t OFFSET 0) AS s OFFSET 0) AS s
