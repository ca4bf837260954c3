
-- instruments

CREATE FUNCTION instrument_symbol(symbol text)
RETURNS text
LANGUAGE plpgsql
STABLE STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- one index; it is unique, so that a symbol as it is stored needs no second look;
    -- and in Turkish the capital of "i" is another letter than "I"
    RETURN (SELECT i.symbol
              FROM fx.instruments i
             WHERE translate(upper(i.symbol::text), '/_-. ', '')
                   = translate(upper(translate(instrument_symbol.symbol, 'i', 'I')), '/_-. ', ''));
END
$$;

COMMENT ON FUNCTION instrument_symbol(text)
    IS 'symbol in fx.instruments of the instrument that a text means: case, slash, underscore, hyphen, point and blank do not matter (EUR/USD, eur_usd, EURUSD); NULL when there is none';

CREATE FUNCTION resolve_symbol(symbol text)
RETURNS text
LANGUAGE plpgsql
STABLE STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM fx.candle_series s WHERE s.symbol = resolve_symbol.symbol)
       OR EXISTS (SELECT FROM fx.candle_changes c WHERE c.symbol = resolve_symbol.symbol) THEN
        RETURN resolve_symbol.symbol;
    END IF;
    -- rows of a partition attached as a whole are known to nobody yet
    IF EXISTS (SELECT FROM fx.changed_candle_partitions())
       AND EXISTS (SELECT FROM fx.market_data m WHERE m.symbol = resolve_symbol.symbol) THEN
        RETURN resolve_symbol.symbol;
    END IF;
    RETURN coalesce(fx.instrument_symbol(resolve_symbol.symbol), resolve_symbol.symbol);
END
$$;

COMMENT ON FUNCTION resolve_symbol(text)
    IS 'symbol under which candles are stored: the text itself where there are candles of it, else that of the instrument it means (fx.instrument_symbol), else the text; NULL for NULL';

-- The row of an instrument that a caller named, or an error.
CREATE FUNCTION known_instrument(
    symbol text,
    OUT known_symbol text, OUT quote_currency text, OUT pip_size numeric)
LANGUAGE plpgsql
STABLE STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT i.symbol, i.quote_currency, i.pip_size
      INTO known_instrument.known_symbol, known_instrument.quote_currency, known_instrument.pip_size
      FROM fx.instruments i
     WHERE translate(upper(i.symbol::text), '/_-. ', '')
           = translate(upper(translate(known_instrument.symbol, 'i', 'I')), '/_-. ', '');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'instrument "%" does not exist', left(known_instrument.symbol, 64)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Insert it into fx.instruments.';
    END IF;
END
$$;

COMMENT ON FUNCTION known_instrument(text)
    IS 'symbol, quote currency and pip size of the instrument that a text means; NULLs for NULL; error 22023 when there is none';

CREATE FUNCTION pips(symbol text, price_difference numeric)
RETURNS numeric
LANGUAGE plpgsql
STABLE STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pip numeric := (SELECT k.pip_size FROM fx.known_instrument(pips.symbol) AS k);
BEGIN
    IF price_difference::text IN ('NaN', 'Infinity', '-Infinity') THEN
        RAISE EXCEPTION 'argument "price_difference" must be finite'
            USING ERRCODE = 'numeric_value_out_of_range';
    END IF;
    RETURN round(price_difference / pip, 8);
END
$$;

COMMENT ON FUNCTION pips(text, numeric)
    IS 'a difference of prices of an instrument in pips, eight decimals; NULL for NULL; errors: 22023 unknown instrument, 22003 the difference is not finite';

CREATE FUNCTION pips(symbol text, type text, open_price numeric, close_price numeric)
RETURNS numeric
LANGUAGE plpgsql
STABLE STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF type NOT IN ('buy', 'sell') THEN
        RAISE EXCEPTION 'argument "type" must be "buy" or "sell"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN fx.pips(symbol, CASE type WHEN 'buy' THEN close_price - open_price
                                     ELSE open_price - close_price END);
END
$$;

COMMENT ON FUNCTION pips(text, text, numeric, numeric)
    IS 'pips that a trade won, negative when lost: type is buy or sell; NULL for NULL; errors: 22023 unknown instrument or type, 22003 a price is not finite';

CREATE FUNCTION pip_value(
    symbol text,
    quantity numeric,
    account_currency text,
    as_of timestamptz DEFAULT now())
RETURNS numeric
LANGUAGE plpgsql
STABLE STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    instrument record;
BEGIN
    SELECT k.quote_currency, k.pip_size INTO instrument
      FROM fx.known_instrument(pip_value.symbol) AS k;
    RETURN fx.convert(instrument.pip_size * quantity, instrument.quote_currency,
                      account_currency, as_of);
END
$$;

COMMENT ON FUNCTION pip_value(text, numeric, text, timestamptz)
    IS 'what a pip of a position is worth in the currency of an account: pip size times quantity (units, not lots) converted by fx.convert, rounded once, to eight decimals; NULL for NULL and where no rate is known; errors: 22023 unknown instrument or no currency code, 22003 quantity not finite';

-- holidays

CREATE FUNCTION add_standard_holidays(since integer, until integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made integer;
BEGIN
    IF since IS NULL OR until IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN since IS NULL THEN 'since' ELSE 'until' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF since < 1900 OR until > 9999 THEN
        RAISE EXCEPTION 'argument "%" is out of range',
                CASE WHEN since < 1900 THEN 'since' ELSE 'until' END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF since > until THEN
        RAISE EXCEPTION 'argument "since" must not be after "until"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    INSERT INTO fx.holidays (day, name)
    SELECT make_date(y.year, h.month, h.mday), h.name
      FROM generate_series(since, until) AS y (year),
           (VALUES (1, 1, 'New Year'), (12, 25, 'Christmas')) AS h (month, mday, name)
     ORDER BY 1
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;

COMMENT ON FUNCTION add_standard_holidays(integer, integer)
    IS 'adds New Year and Christmas Day of the years since to until (both included) to fx.holidays where they are missing, returns how many; needs the right to insert; errors: 22004 NULL, 22023 years out of range or in the wrong order';
