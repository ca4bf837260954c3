-- Candles as JSON, stored
-- flags: -max_len=1000
WITH j AS MATERIALIZED (
    SELECT fuzz.json($1, '{symbol,s,timeframe,tf,timestamp,t,open,o,high,h,low,l,close,c,volume,v,open_price}') AS j
), changed AS MATERIALIZED (
    SELECT jsonb_agg(CASE WHEN jsonb_typeof(c) = 'object' THEN c || made ELSE c END) AS j
      FROM j, jsonb_array_elements(j) WITH ORDINALITY AS s (c, n),
           LATERAL (SELECT jsonb_build_object('symbol', coalesce(c -> 'symbol', '"EURUSD"'),
                                              'timeframe', coalesce(c -> 'timeframe', '"1m"'),
                                              'timestamp', '2024-03-04T10:' || lpad((n % 60)::text, 2, '0') || ':00Z',
                                              'open', coalesce(c -> 'open', '1.1'), 'high', coalesce(c -> 'high', '1.2'),
                                              'low', coalesce(c -> 'low', '1.0'), 'close', coalesce(c -> 'close', '1.1')) AS made) AS m
)
SELECT i.inserted + i.updated + i.unchanged + i.rejected = jsonb_array_length(j) AS every_candle_is_counted
  FROM (SELECT j FROM changed WHERE j IS NOT NULL UNION ALL SELECT j FROM j) AS s, LATERAL fx.ingest_candles(j) AS i
