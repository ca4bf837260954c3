
-- newest stored candles

CREATE FUNCTION latest_stored_candle(symbol text, timeframe text)
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint)
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
ROWS 1
AS 'MODULE_PATHNAME', 'fx_latest_stored_candle';

COMMENT ON FUNCTION latest_stored_candle(text, text)
    IS 'newest row of fx.market_data of exactly this symbol and timeframe, by a walk down one index; no row when there is none, or for NULL; errors: 22023 unknown timeframe, 42501 no right to read the table, 42P01 no table';

CREATE FUNCTION latest_stored_candles(timeframe text)
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint)
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_latest_stored_candles';

COMMENT ON FUNCTION latest_stored_candles(text)
    IS 'newest row of fx.market_data of exactly this timeframe for every symbol that fx.candle_series and fx.candle_changes know, in the order of the symbols'' bytes; nothing for NULL; errors: 22023 unknown timeframe, 42501 no right to read the table, 42P01 no table';
