
-- time frames of candles

CREATE FUNCTION candle_start(at timestamptz, timeframe text, alignment text DEFAULT 'new_york')
RETURNS timestamptz
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_sql_candle_start';

COMMENT ON FUNCTION candle_start(timestamptz, text, text)
    IS 'when the candle of a time frame (1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w, 1mn) that holds a time begins; 1m to 1h in UTC, the others by the close at 17:00 in New York, or in UTC with alignment utc; infinite times stay; errors: 22023 unknown time frame or alignment, 22008 out of range';

CREATE FUNCTION candle_end(start timestamptz, timeframe text, alignment text DEFAULT 'new_york')
RETURNS timestamptz
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_sql_candle_end';

COMMENT ON FUNCTION candle_end(timestamptz, text, text)
    IS 'when the candle that begins at a time, or holds it, ends: the start of the next one, itself excluded; see fx.candle_start; infinite times stay; errors: 22023 unknown time frame or alignment, 22008 out of range';

CREATE FUNCTION timeframe_rank(timeframe text)
RETURNS integer
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_timeframe_rank';

COMMENT ON FUNCTION timeframe_rank(text)
    IS 'place of a time frame from the finest, 1m = 0, to the coarsest, 1mn = 8; errors: 22023 unknown';
