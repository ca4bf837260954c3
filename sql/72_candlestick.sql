
-- candlesticks

CREATE TYPE candlestick;

CREATE FUNCTION candlestick_in(cstring)
RETURNS candlestick
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_in';

COMMENT ON FUNCTION candlestick_in(cstring) IS 'text input of type candlestick; errors: 22P02 malformed or impossible, 0A000 version of a newer fxplatform';

CREATE FUNCTION candlestick_out(candlestick)
RETURNS cstring
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_out';

COMMENT ON FUNCTION candlestick_out(candlestick) IS 'text output of type candlestick';

CREATE FUNCTION candlestick_recv(internal)
RETURNS candlestick
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_recv';

COMMENT ON FUNCTION candlestick_recv(internal) IS 'binary input of type candlestick; errors: 22P03 impossible, 08P01 malformed, 0A000 version of a newer fxplatform';

CREATE FUNCTION candlestick_send(candlestick)
RETURNS bytea
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_send';

COMMENT ON FUNCTION candlestick_send(candlestick) IS 'binary output of type candlestick';

CREATE TYPE candlestick (
    INPUT = candlestick_in,
    OUTPUT = candlestick_out,
    RECEIVE = candlestick_recv,
    SEND = candlestick_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = double,
    STORAGE = plain
);

COMMENT ON TYPE candlestick
    IS 'open, high, low and close with eight decimals, exact, volume, and the times of open and close; made by fx.candlestick_agg or fx.candlestick, merged by fx.rollup, read by accessors or a cast to jsonb';

-- comparison: by value, and the same content has the same bytes

CREATE FUNCTION candlestick_eq(candlestick, candlestick)
RETURNS boolean
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_eq';

COMMENT ON FUNCTION candlestick_eq(candlestick, candlestick) IS 'whether two values of type candlestick are equal';

CREATE FUNCTION candlestick_ne(candlestick, candlestick)
RETURNS boolean
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_ne';

COMMENT ON FUNCTION candlestick_ne(candlestick, candlestick) IS 'whether two values of type candlestick differ';

CREATE FUNCTION candlestick_hash(candlestick)
RETURNS integer
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_hash';

COMMENT ON FUNCTION candlestick_hash(candlestick) IS 'hash of a value of type candlestick';

CREATE FUNCTION candlestick_hash_extended(candlestick, bigint)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_hash_extended';

COMMENT ON FUNCTION candlestick_hash_extended(candlestick, bigint) IS 'seeded hash of a value of type candlestick';

CREATE OPERATOR = (
    LEFTARG = candlestick,
    RIGHTARG = candlestick,
    FUNCTION = candlestick_eq,
    COMMUTATOR = =,
    NEGATOR = <>,
    RESTRICT = eqsel,
    JOIN = eqjoinsel,
    HASHES
);

CREATE OPERATOR <> (
    LEFTARG = candlestick,
    RIGHTARG = candlestick,
    FUNCTION = candlestick_ne,
    COMMUTATOR = <>,
    NEGATOR = =,
    RESTRICT = neqsel,
    JOIN = neqjoinsel
);

CREATE OPERATOR CLASS candlestick_hash_ops
    DEFAULT FOR TYPE candlestick USING hash AS
        OPERATOR 1 =,
        FUNCTION 1 candlestick_hash(candlestick),
        FUNCTION 2 candlestick_hash_extended(candlestick, bigint);

CREATE FUNCTION candlestick(ts timestamptz, open numeric, high numeric, low numeric, close numeric, volume bigint)
RETURNS candlestick
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_make_one';

COMMENT ON FUNCTION candlestick(timestamptz, numeric, numeric, numeric, numeric, bigint)
    IS 'a candle as it is stored; prices are rounded half away from zero to eight decimals, volume may be NULL, NULL where the time or a price is; errors: 22003 NaN, infinite or from 10^10 on, 22023 a low that is not the lowest price, a high that is not the highest, negative volume, infinite time, 22008 a time outside the years 1 to 9999';

-- aggregates: the state is the value, so there is no final function

CREATE FUNCTION candlestick_accum(candlestick, ts timestamptz, open numeric, high numeric, low numeric, close numeric, volume bigint)
RETURNS candlestick
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_accum';

COMMENT ON FUNCTION candlestick_accum(candlestick, timestamptz, numeric, numeric, numeric, numeric, bigint)
    IS 'adds a candle; one with NULL time or price adds nothing, NULL volume is none; errors: 22003 NaN, infinite or from 10^10 on, 22023 a low that is not the lowest price, a high that is not the highest, negative volume, infinite time, 22008 a time outside the years 1 to 9999, 22003 sum of volumes out of range';

CREATE FUNCTION candlestick_accum(candlestick, ts timestamptz, price numeric)
RETURNS candlestick
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_accum_tick';

COMMENT ON FUNCTION candlestick_accum(candlestick, timestamptz, numeric)
    IS 'adds a tick; one with NULL time or price adds nothing; errors: 22003 NaN, infinite or from 10^10 on, 22023 infinite time, 22008 a time outside the years 1 to 9999';

CREATE FUNCTION candlestick_combine(candlestick, candlestick)
RETURNS candlestick
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_combine';

COMMENT ON FUNCTION candlestick_combine(candlestick, candlestick)
    IS 'both together, the second arrived later; NULL is none; errors: 22003 sum of volumes out of range';

CREATE AGGREGATE candlestick_agg(ts timestamptz, open numeric, high numeric, low numeric, close numeric, volume bigint) (
    SFUNC = candlestick_accum,
    STYPE = candlestick,
    COMBINEFUNC = candlestick_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE candlestick_agg(timestamptz, numeric, numeric, numeric, numeric, bigint)
    IS 'candle of candles: open of the first and close of the last by time, of several at one time the first and the last to arrive, highest high, lowest low, sum of volumes (NULL without any); candles with NULL time or price are skipped, NULL without any; errors: 22003 NaN, infinite or from 10^10 on, 22023 a low that is not the lowest price, a high that is not the highest, negative volume, infinite time, 22008 a time outside the years 1 to 9999, 22003 sum of volumes out of range';

CREATE AGGREGATE candlestick_agg(ts timestamptz, price numeric) (
    SFUNC = candlestick_accum,
    STYPE = candlestick,
    COMBINEFUNC = candlestick_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE candlestick_agg(timestamptz, numeric)
    IS 'candle of ticks: first, highest, lowest and last price, by time and then by arrival, volume NULL; ticks with NULL time or price are skipped, NULL without any; errors: 22003 NaN, infinite or from 10^10 on, 22023 infinite time, 22008 a time outside the years 1 to 9999';

-- a keyword of GROUP BY, so that CREATE AGGREGATE needs the quotes
CREATE AGGREGATE "rollup"(candlestick) (
    SFUNC = candlestick_combine,
    STYPE = candlestick,
    COMBINEFUNC = candlestick_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE "rollup"(candlestick)
    IS 'candle of all candlesticks together, the same as of their rows; NULLs are skipped, NULL without any; errors: 22003 sum of volumes out of range';

-- accessors

CREATE FUNCTION open(candlestick)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_open';

COMMENT ON FUNCTION open(candlestick)
    IS 'first price, eight decimals; NULL for NULL';

CREATE FUNCTION high(candlestick)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_high';

COMMENT ON FUNCTION high(candlestick)
    IS 'highest price, eight decimals; NULL for NULL';

CREATE FUNCTION low(candlestick)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_low';

COMMENT ON FUNCTION low(candlestick)
    IS 'lowest price, eight decimals; NULL for NULL';

CREATE FUNCTION close(candlestick)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_close';

COMMENT ON FUNCTION close(candlestick)
    IS 'last price, eight decimals; NULL for NULL';

CREATE FUNCTION volume(candlestick)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_volume';

COMMENT ON FUNCTION volume(candlestick)
    IS 'sum of the volumes that are not NULL; NULL without any and for NULL';

CREATE FUNCTION first_at(candlestick)
RETURNS timestamptz
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_first_at';

COMMENT ON FUNCTION first_at(candlestick)
    IS 'time of the candle or tick that opened; NULL for NULL';

CREATE FUNCTION last_at(candlestick)
RETURNS timestamptz
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_last_at';

COMMENT ON FUNCTION last_at(candlestick)
    IS 'time of the candle or tick that closed; NULL for NULL';

CREATE FUNCTION candlestick_to_jsonb(candlestick)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candlestick_to_jsonb';

COMMENT ON FUNCTION candlestick_to_jsonb(candlestick)
    IS 'a JSON object with the keys firstAt, lastAt (ISO 8601, UTC), open, high, low, close (exact, without trailing zeros) and volume (or null)';

CREATE CAST (candlestick AS jsonb) WITH FUNCTION candlestick_to_jsonb(candlestick);
