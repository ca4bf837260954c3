
-- market hours
--
-- From Sunday to Friday, 17:00 in New York, without the FX days of
-- fx.holidays.

CREATE FUNCTION is_market_open(at timestamptz)
RETURNS boolean
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_is_market_open';

COMMENT ON FUNCTION is_market_open(timestamptz)
    IS 'whether the market is open: from Sunday to Friday, 17:00 in New York, but for the FX days of fx.holidays; the moment of opening is open, that of closing is not; NULL for NULL; errors: 22023 infinite, 22008 out of range, 42P01 no table';

CREATE FUNCTION open_market_time(since timestamptz, until timestamptz)
RETURNS interval
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_open_market_time';

COMMENT ON FUNCTION open_market_time(timestamptz, timestamptz)
    IS 'how long the market is open between two times, in hours and less; zero when since is not before until; NULL for NULL; errors: 22023 infinite, 22008 out of range, 42P01 no table';

CREATE FUNCTION expected_candles(
    timeframe text,
    since timestamptz,
    until timestamptz,
    alignment text DEFAULT 'new_york')
RETURNS SETOF timestamptz
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_expected_candles';

COMMENT ON FUNCTION expected_candles(text, timestamptz, timestamptz, text)
    IS 'starts of the candles that a market without a pause would have, from since to until (excluded), ascending: those in which it is open for some time; nothing for NULL; does not stop at the present; errors: 22023 infinite time, unknown timeframe or alignment, 22008 out of range, 42P01 no table';

CREATE FUNCTION candle_gaps(
    symbol text,
    timeframe text,
    since timestamptz,
    until timestamptz,
    alignment text DEFAULT 'new_york')
RETURNS TABLE (gap_start timestamptz, gap_end timestamptz, missing bigint)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
    value text;
BEGIN
    FOR name, value IN
        SELECT v.name, v.value
          FROM (VALUES ('symbol', candle_gaps.symbol), ('timeframe', candle_gaps.timeframe),
                       ('since', candle_gaps.since::text), ('until', candle_gaps.until::text),
                       ('alignment', candle_gaps.alignment)) AS v (name, value)
    LOOP
        IF value IS NULL THEN
            RAISE EXCEPTION 'argument "%" must not be null', name
                USING ERRCODE = 'null_value_not_allowed';
        END IF;
    END LOOP;

    RETURN QUERY
        WITH known AS (
            -- a stored candle of a day or longer may begin elsewhere than ours
            SELECT DISTINCT fx.candle_start(c.timestamp, candle_gaps.timeframe, candle_gaps.alignment) AS starts
              FROM fx.candles(candle_gaps.symbol, candle_gaps.timeframe, candle_gaps.since,
                              candle_gaps.until, 'none', candle_gaps.alignment) AS c
        ), expected AS (
            SELECT e.starts, row_number() OVER (ORDER BY e.starts) AS place
              FROM fx.expected_candles(candle_gaps.timeframe, candle_gaps.since,
                                       least(candle_gaps.until, now()),
                                       candle_gaps.alignment) AS e (starts)
        ), absent AS (
            -- one that has not ended may still come
            SELECT e.starts, e.place - row_number() OVER (ORDER BY e.starts) AS run
              FROM expected e
              LEFT JOIN known k ON k.starts = e.starts
             WHERE k.starts IS NULL
               AND fx.candle_end(e.starts, candle_gaps.timeframe, candle_gaps.alignment) <= now()
        )
        SELECT min(a.starts),
               fx.candle_end(max(a.starts), candle_gaps.timeframe, candle_gaps.alignment),
               count(*)
          FROM absent a
         GROUP BY a.run
         ORDER BY 1;
END
$$;

COMMENT ON FUNCTION candle_gaps(text, text, timestamptz, timestamptz, text)
    IS 'runs of candles of a symbol that fx.candles does not have although the market was open, among those that begin from since to until (excluded) and have ended by now: start of the first, end of the last, how many; a run goes on over weekends and holidays; an until of infinity is the present; errors: 22004 NULL, 22023 since is infinite, unknown timeframe or alignment, 22008 out of range';

-- A file whose clock is off has candles on Sunday morning or Friday night.
CREATE FUNCTION off_market_candles(
    symbol text,
    timeframe text,
    since timestamptz DEFAULT '-infinity',
    until timestamptz DEFAULT 'infinity')
RETURNS TABLE ("timestamp" timestamptz, close_price numeric, volume bigint)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stored_symbol text := fx.resolve_symbol(off_market_candles.symbol);
BEGIN
    PERFORM fx.timeframe_rank(off_market_candles.timeframe);
    RETURN QUERY
        SELECT m.timestamp, m.close_price, m.volume
          FROM fx.market_data m
         WHERE m.symbol = stored_symbol
           AND m.timeframe = off_market_candles.timeframe
           AND m.timestamp >= off_market_candles.since
           AND m.timestamp < off_market_candles.until
           -- a month may begin on a weekend, a week of another calendar as well
           AND m.timeframe NOT IN ('1w', '1mn')
           AND (extract(isodow FROM fx.fx_day(m.timestamp)) > 5
                OR EXISTS (SELECT FROM fx.holidays h WHERE h.day = fx.fx_day(m.timestamp)))
         ORDER BY m.timestamp;
END
$$;

COMMENT ON FUNCTION off_market_candles(text, text, timestamptz, timestamptz)
    IS 'stored candles of a symbol and timeframe of up to a day that begin, from since to until (excluded), while the market is closed: the sign of a source with another clock; none for NULL and for 1w and 1mn; error 22023 unknown timeframe';
