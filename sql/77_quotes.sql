
-- candles of ticks

-- PL/pgSQL would take the columns symbol and timeframe for the arguments; the
-- function below gives them their public names.
CREATE FUNCTION build_tick_candles(
    symbol_read text,
    timeframe_read text,
    since timestamptz,
    until timestamptz,
    side text,
    alignment text)
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint,
    spread numeric)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stored_symbol text := symbol_read;
    first_start timestamptz;
    last_end timestamptz;
BEGIN
    IF symbol_read IS NULL OR timeframe_read IS NULL OR side IS NULL OR alignment IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN symbol_read IS NULL THEN 'symbol'
                     WHEN timeframe_read IS NULL THEN 'timeframe'
                     WHEN side IS NULL THEN 'side' ELSE 'alignment' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF side NOT IN ('bid', 'ask', 'mid') THEN
        RAISE EXCEPTION 'argument "side" must be "bid", "ask" or "mid"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- the first candle that begins at since or later, and the end of the last
    -- one that begins before until
    since := coalesce(since, '-infinity');
    until := coalesce(until, 'infinity');
    first_start := fx.candle_start(since, timeframe_read, alignment);
    IF NOT since < until THEN
        RETURN;
    END IF;
    IF first_start < since THEN
        first_start := fx.candle_end(since, timeframe_read, alignment);
    END IF;
    last_end := fx.candle_end(until - interval '1 microsecond', timeframe_read, alignment);

    IF NOT EXISTS (SELECT FROM fx.quotes q WHERE q.symbol = symbol_read) THEN
        stored_symbol := coalesce(fx.instrument_symbol(symbol_read), symbol_read);
    END IF;

    -- Ticks of one time count by arrival, so the order is that of the key; the
    -- candle's start in front lets the groups be formed without another sort.
    RETURN QUERY
        SELECT stored_symbol, timeframe_read, c.start, fx.open(c.candle), fx.high(c.candle),
               fx.low(c.candle), fx.close(c.candle), c.ticks, c.spread
          FROM (SELECT t.start, fx.candlestick_agg(t.at, t.price) AS candle, count(*) AS ticks,
                       round(avg(t.spread), 8) AS spread
                  FROM (SELECT fx.candle_start(q.timestamp, timeframe_read, alignment) AS start,
                               q.timestamp AS at,
                               CASE side WHEN 'bid' THEN q.bid WHEN 'ask' THEN q.ask
                                         ELSE (q.bid + q.ask) / 2 END AS price,
                               q.ask - q.bid AS spread
                          FROM fx.quotes q
                         WHERE q.symbol = stored_symbol
                           AND q.timestamp >= first_start AND q.timestamp < last_end
                         ORDER BY start, q.timestamp, q.id) AS t
                 GROUP BY t.start) AS c
         ORDER BY c.start;
END
$$;

COMMENT ON FUNCTION build_tick_candles(text, text, timestamptz, timestamptz, text, text)
    IS 'body of fx.tick_candles';

CREATE FUNCTION tick_candles(
    symbol text,
    timeframe text,
    since timestamptz DEFAULT '-infinity',
    until timestamptz DEFAULT 'infinity',
    side text DEFAULT 'mid',
    alignment text DEFAULT 'new_york')
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint,
    spread numeric)
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM fx.build_tick_candles($1, $2, $3, $4, $5, $6)
$$;

COMMENT ON FUNCTION tick_candles(text, text, timestamptz, timestamptz, text, text)
    IS 'candles of the ticks of fx.quotes that begin from since to until (excluded; NULL and infinity: all), each of all its ticks, by time; side is bid, ask or mid, the mean of both; of ticks of one time the order of arrival counts; volume is the number of ticks, spread the mean of ask - bid to eight decimals; candles without ticks are left out; timeframes and alignment as for fx.candles; the symbol may be spelled EURUSD, EUR/USD, EUR_USD; errors: 22004 NULL symbol, timeframe, side or alignment, 22023 unknown timeframe, side or alignment';
