
-- rates between currencies

CREATE FUNCTION rate(from_currency text, to_currency text, as_of timestamptz DEFAULT now())
RETURNS numeric
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_rate';

COMMENT ON FUNCTION rate(text, text, timestamptz)
    IS 'units of to_currency for one of from_currency by the stored candles at a time: close of the pair, else one over that of the opposite pair, else two legs through USD, then EUR; of a pair the newest candle that had opened, of the finest timeframe that is at most fxplatform.max_rate_age old (hours of the closed market do not count); products of closes are exact, quotients have at least 16 significant digits; NULL when nothing fresh is known, and for NULL; errors: 22023 no currency code or an infinite time, 22008 out of range, 42501 no right to read the tables, 42P01 no table';

CREATE FUNCTION convert(
    amount numeric,
    from_currency text,
    to_currency text,
    as_of timestamptz DEFAULT now())
RETURNS numeric
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_convert';

COMMENT ON FUNCTION convert(numeric, text, text, timestamptz)
    IS 'an amount of from_currency in to_currency by the rate of fx.rate, computed exactly and rounded once, half away from zero, to eight decimals; NULL when no rate is fresh (never the amount or 0), and for NULL; errors: those of fx.rate, 22003 amount not finite';

CREATE FUNCTION rate_details(
    from_currency text,
    to_currency text,
    as_of timestamptz DEFAULT now())
RETURNS TABLE (
    rate numeric,
    path text[],
    method text,
    observed_at timestamptz,
    age interval)
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
ROWS 1
AS 'MODULE_PATHNAME', 'fx_rate_details';

COMMENT ON FUNCTION rate_details(text, text, timestamptz)
    IS 'the rate of fx.rate with what it is made of: symbols used, method (same, direct, inverse, cross), when the price that was observed first was (end of its candle, or as_of while that forms) and how long the market was open since; no row when there is no rate, and for NULL; errors as fx.rate';
