--
-- Newest candles and rates over 36 partitions and 1,000 symbols, against plain
-- SQL.  Included by bench.sql.
--
\echo '==> newest candles and rates: 36 months of 1,000 symbols'
SELECT fx.create_market_data_partitions('2021-01-01', '2024-01-01') \g /dev/null
-- what the trigger notes is of no interest here
SET session_replication_role = replica;
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
SELECT CASE s WHEN 0 THEN 'EURUSD' WHEN 1 THEN 'USDJPY' WHEN 2 THEN 'GBPUSD' ELSE 'SYM' || lpad(s::text, 3, '0') END, '1h', month + (n - 1) * interval '18 hours',
       1.1, 1.3, 1.0, 1.1 + n * 0.001, n
  FROM generate_series(timestamptz '2021-01-01 00:00+00', '2023-12-01 00:00+00', interval '1 month') AS month, generate_series(0, 999) AS s, generate_series(1, 40) AS n;
RESET session_replication_role;
INSERT INTO fx.candle_series SELECT DISTINCT symbol, timeframe FROM fx.market_data WHERE timestamp >= '2023-12-01' ON CONFLICT DO NOTHING;
VACUUM (ANALYZE) fx.market_data, fx.candle_series;

CREATE FUNCTION plain_price(pair text, as_of timestamptz) RETURNS numeric LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT close_price FROM fx.market_data
             WHERE symbol = pair AND timeframe = '1h' AND timestamp <= as_of AND timestamp > as_of - interval '5 days'
             ORDER BY timestamp DESC LIMIT 1);
END
$$;
-- One pair in one timeframe, by a plan that is kept: the least that a rate needs.
CREATE FUNCTION plain_rate(base text, quote text, as_of timestamptz) RETURNS numeric LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce(plain_price(base || quote, as_of), 1 / plain_price(quote || base, as_of),
                    coalesce(plain_price(base || 'USD', as_of), 1 / plain_price('USD' || base, as_of))
                    * coalesce(plain_price('USD' || quote, as_of), 1 / plain_price(quote || 'USD', as_of)));
END
$$;
-- Milliseconds of 1,000 calls are microseconds of one.
CREATE FUNCTION thousand(call text) RETURNS text LANGUAGE sql AS $$
    SELECT format('DO $do$ DECLARE x numeric; BEGIN FOR i IN 1 .. 1000 LOOP x := %s; END LOOP; END $do$', call)
$$;
DO $$
DECLARE
    item record;
    as_of CONSTANT text := '''2023-12-29 20:30+00''';
BEGIN
    FOR item IN SELECT * FROM (VALUES ('direct', 'EUR', 'USD'), ('inverse', 'JPY', 'USD'), ('cross', 'EUR', 'JPY'), ('none', 'JPY', 'XXX')) AS v (kind, base, quote) LOOP
        INSERT INTO measured
        SELECT '1,000 rates', item.kind, v.what, median_ms(thousand(format(v.call, item.base, item.quote, as_of)), 15)
          FROM (VALUES ('floor: a rate of a currency and itself', 'fx.rate(%1$L, %1$L, %3$s)'), ('fx.rate', 'fx.rate(%1$L, %2$L, %3$s)'),
                       ('fx.convert', 'fx.convert(1234.56, %1$L, %2$L, %3$s)'), ('plain SQL: ORDER BY ... LIMIT 1', 'plain_rate(%1$L, %2$L, %3$s)')) AS v (what, call);
    END LOOP;
    INSERT INTO measured VALUES
        ('newest candles', '1,000 symbols', 'floor: the symbols', median_ms('SELECT count(symbol) FROM fx.candle_series WHERE timeframe = ''1h''', 51)),
        ('newest candles', '1,000 symbols', 'fx.latest_stored_candles', median_ms('SELECT count(close_price) FROM fx.latest_stored_candles(''1h'')', 51)),
        ('newest candles', '1,000 symbols', 'plain SQL: LATERAL ... LIMIT 1', median_ms('SELECT count(c.close_price) FROM fx.candle_series s, LATERAL (SELECT close_price FROM fx.market_data m WHERE m.symbol = s.symbol AND m.timeframe = ''1h'' ORDER BY timestamp DESC LIMIT 1) c WHERE s.timeframe = ''1h''', 15)),
        ('newest candles', '1,000 symbols', 'plain SQL that is usual: DISTINCT ON', median_ms('SELECT count(c.close_price) FROM (SELECT DISTINCT ON (symbol) symbol, close_price FROM fx.market_data WHERE timeframe = ''1h'' ORDER BY symbol, timestamp DESC) c', 1)),
        ('newest candle', '1,000 calls', 'floor: fx.rate of a currency and itself', median_ms(thousand('fx.rate(''USD'', ''USD'')'), 15)),
        ('newest candle', '1,000 calls', 'fx.latest_stored_candle', median_ms(thousand('(SELECT close_price FROM fx.latest_stored_candle(''SYM500'', ''1h''))'), 15)),
        ('newest candle', '1,000 calls', 'plain SQL: ORDER BY ... LIMIT 1', median_ms(thousand('(SELECT close_price FROM fx.market_data WHERE symbol = ''SYM500'' AND timeframe = ''1h'' ORDER BY timestamp DESC LIMIT 1)'), 5));
END
$$;
