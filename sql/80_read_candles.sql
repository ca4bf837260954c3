
-- what applications read of candles

CREATE FUNCTION read_candles(
    symbol_read text,
    timeframe_read text,
    since timestamptz,
    until timestamptz,
    fill text,
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
    is_filled boolean)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
-- the planner takes these functions for large, and compiling costs more than they do
SET jit = off
AS $$
DECLARE
    stored_symbol text := fx.resolve_symbol(symbol_read);
    rank integer := fx.timeframe_rank(timeframe_read);
    -- starts of the candles that hold the first and follow the last moment
    first_start timestamptz;
    last_end timestamptz;
    state record;
BEGIN
    IF symbol_read IS NULL OR timeframe_read IS NULL OR fill IS NULL OR alignment IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN symbol_read IS NULL THEN 'symbol'
                     WHEN timeframe_read IS NULL THEN 'timeframe'
                     WHEN fill IS NULL THEN 'fill' ELSE 'alignment' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF fill NOT IN ('none', 'previous', 'null') THEN
        RAISE EXCEPTION 'argument "fill" must be "none", "previous" or "null"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    since := coalesce(since, '-infinity');
    until := coalesce(until, 'infinity');
    first_start := fx.candle_start(since, timeframe_read, alignment);
    IF NOT since < until THEN
        RETURN;
    END IF;
    last_end := fx.candle_end(fx.candle_start(until - interval '1 microsecond', timeframe_read, alignment),
                              timeframe_read, alignment);

    IF fill <> 'none' THEN
        RETURN QUERY
            SELECT stored_symbol, timeframe_read, f.*
              FROM fx.filled_candles(stored_symbol, timeframe_read, since, until, fill, alignment) f
             ORDER BY 3;
        RETURN;
    END IF;

    state := fx.candle_state(stored_symbol);
    IF rank <= 3 THEN
        RETURN QUERY
            SELECT stored_symbol, timeframe_read, b.timestamp, b.open_price, b.high_price,
                   b.low_price, b.close_price, b.volume, false
              FROM fx.built_candles(stored_symbol, timeframe_read, first_start, last_end, state.stored) b
             WHERE b.timestamp >= read_candles.since
             ORDER BY 3;
    ELSIF rank = 4 THEN
        RETURN QUERY
            SELECT stored_symbol, timeframe_read, h.timestamp, h.open_price, h.high_price,
                   h.low_price, h.close_price, h.volume, false
              FROM fx.hour_candles(stored_symbol, first_start, last_end, state.stored, state.changed) h
             WHERE h.timestamp >= read_candles.since
             ORDER BY 3;
    ELSIF rank = 6 THEN
        RETURN QUERY
            SELECT stored_symbol, timeframe_read, d.timestamp, d.open_price, d.high_price,
                   d.low_price, d.close_price, d.volume, false
              FROM fx.day_candles(stored_symbol, first_start, last_end, alignment, state.stored,
                             state.changed) d
             WHERE d.timestamp >= read_candles.since AND d.timestamp < read_candles.until
             ORDER BY 3;
    ELSE
        RETURN QUERY
            SELECT stored_symbol, timeframe_read, c.timestamp, c.open_price, c.high_price,
                   c.low_price, c.close_price, c.volume, false
              FROM fx.composed_candles(stored_symbol, timeframe_read, first_start, last_end, alignment,
                                  state.stored, state.changed) c
             WHERE c.timestamp >= read_candles.since AND c.timestamp < read_candles.until
             ORDER BY 3;
    END IF;
END
$$;

COMMENT ON FUNCTION read_candles(text, text, timestamptz, timestamptz, text, text)
    IS 'rows of fx.candles';

-- Can be inlined, and names nothing that a search_path could change.
CREATE FUNCTION candles(
    symbol text,
    timeframe text,
    since timestamptz DEFAULT '-infinity',
    until timestamptz DEFAULT 'infinity',
    fill text DEFAULT 'none',
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
    is_filled boolean)
LANGUAGE sql
STABLE
PARALLEL SAFE
AS $$
    SELECT * FROM fx.read_candles($1, $2, $3, $4, $5, $6)
$$;

COMMENT ON FUNCTION candles(text, text, timestamptz, timestamptz, text, text)
    IS 'candles of a symbol that begin from since to until (excluded; NULL and infinity: all), each whole, by time, never stale: 1m 5m 15m 30m 1h (on UTC), 4h 1d 1w 1mn (by the 17:00 close of New York, or by UTC with alignment utc), up to 1h from the finest timeframe of fx.market_data that has a row in the candle, longer ones from candles of 1h or 1d where there are any, else as stored; volume is NULL where no row has one. fill: none; previous (candles missing in open market hours repeat the close before, volume 0) or null (their prices are NULL), is_filled, not into the future. The symbol may be spelled EURUSD, EUR/USD, EUR_USD. Errors: 22004 NULL symbol, timeframe, fill or alignment, 22023 unknown timeframe, fill or alignment';

-- Candles and those that the market should have had.  A stored candle of a day
-- or longer may begin elsewhere than ours, so they meet by the start of ours.
CREATE FUNCTION filled_candles(
    symbol text,
    timeframe text,
    since timestamptz,
    until timestamptz,
    fill text,
    alignment text)
RETURNS TABLE (
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint,
    is_filled boolean)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before timestamptz;
    close_before numeric;
    fill_since timestamptz;
    fill_until timestamptz := least(until, now());
BEGIN
    IF fill = 'previous' AND isfinite(since) THEN
        before := fx.last_candle_time(symbol, timeframe, since);
        SELECT c.close_price INTO close_before
          FROM fx.read_candles(symbol, timeframe, fx.candle_start(before, timeframe, alignment),
                               since, 'none', alignment) c
         ORDER BY c.timestamp DESC
         LIMIT 1;
    END IF;

    fill_since := since;
    IF NOT isfinite(since) THEN
        SELECT min(c.timestamp) INTO fill_since
          FROM fx.read_candles(symbol, timeframe, since, until, 'none', alignment) c;
    END IF;

    RETURN QUERY
        WITH known AS MATERIALIZED (
            SELECT c.timestamp AS at, fx.candle_start(c.timestamp, filled_candles.timeframe, alignment) AS starts,
                   c.open_price AS o, c.high_price AS h, c.low_price AS l, c.close_price AS cl, c.volume AS v
              FROM fx.read_candles(symbol, timeframe, since, until, 'none', alignment) c
        ), missing AS (
            SELECT e.starts
              FROM fx.expected_candles(timeframe, fill_since, fill_until, alignment) AS e (starts)
             WHERE NOT EXISTS (SELECT FROM known k WHERE k.starts = e.starts)
        ), everything AS (
            SELECT k.at, k.o, k.h, k.l, k.cl, k.v, false AS made FROM known k
            UNION ALL
            SELECT m.starts, NULL, NULL, NULL, NULL, NULL, true FROM missing m
        ), ordered AS (
            SELECT e.*, count(e.cl) OVER (ORDER BY e.at) AS known_before FROM everything e
        ), carried AS (
            SELECT o.*, CASE WHEN fill = 'previous' THEN
                            coalesce(max(o.cl) OVER (PARTITION BY o.known_before), close_before)
                        END AS previous
              FROM ordered o
        )
        SELECT c.at, coalesce(c.o, c.previous), coalesce(c.h, c.previous),
               coalesce(c.l, c.previous), coalesce(c.cl, c.previous),
               CASE WHEN c.made AND fill = 'previous' THEN 0 ELSE c.v END, c.made
          FROM carried c
         WHERE NOT c.made OR fill = 'null' OR c.previous IS NOT NULL;
END
$$;

COMMENT ON FUNCTION filled_candles(text, text, timestamptz, timestamptz, text, text)
    IS 'candles with those that are missing in open market hours, for fx.candles';
