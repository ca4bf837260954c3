
-- ingest of candles

CREATE TYPE candle AS (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume numeric
);

COMMENT ON TYPE candle
    IS 'a candle as it comes from outside, for fx.ingest_candles; timestamp is when it opens; a volume of NULL is 0';

CREATE FUNCTION forget_partitions(parent regclass)
RETURNS void
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_forget_partitions';

REVOKE ALL ON FUNCTION forget_partitions(regclass) FROM PUBLIC;

COMMENT ON FUNCTION forget_partitions(regclass)
    IS 'makes this session read anew which partitions a table has; after a wait for another session that made one; NULL and no relation do nothing';

-- Months are the owner's to make.  Whoever may write candles may have made
-- those that candles can lie in, and no others.
CREATE FUNCTION make_candle_months(months date[])
RETURNS integer
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    month date;
    made integer := 0;
BEGIN
    FOR month IN SELECT DISTINCT m FROM unnest(months) AS m ORDER BY m LOOP
        IF month IS NULL OR month < date '1970-01-01'
           OR month > (now() AT TIME ZONE 'UTC')::date + 2 THEN
            RAISE EXCEPTION 'month "%" is out of range', coalesce(month::text, 'null')
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Candles lie between 1970 and tomorrow.';
        END IF;
        made := made + fx.create_market_data_partitions(month, month + 1);
    END LOOP;
    PERFORM fx.forget_partitions('fx.market_data');
    RETURN made;
END
$$;

REVOKE ALL ON FUNCTION make_candle_months(date[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_candle_months(date[]) TO fx_app;

COMMENT ON FUNCTION make_candle_months(date[])
    IS 'makes the missing partitions of fx.market_data for the months of these days, from 1970 to tomorrow, with the rights of the owner; returns how many; for fx.ingest_candles and fx.load_candles; errors: 22023 out of range, those of fx.create_market_data_partitions';

CREATE FUNCTION has_partition(parent regclass, at timestamptz)
RETURNS boolean
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_has_partition';

COMMENT ON FUNCTION has_partition(regclass, timestamptz)
    IS 'whether a table that is partitioned by ranges of a timestamp has a partition for a time, whatever its name; NULL for NULL; errors: 42809 for another table, 42P01 no such relation';

CREATE FUNCTION candle_fault(
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume numeric,
    latest timestamptz DEFAULT NULL)
RETURNS text
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_candle_fault';

COMMENT ON FUNCTION candle_fault(text, text, timestamptz, numeric, numeric, numeric, numeric, numeric, timestamptz)
    IS 'everything for which fx.market_data would refuse a candle, joined by "; ", or NULL when nothing is wrong; a volume of NULL is 0; latest is the last time that is not in the future, NULL for any; no errors';

CREATE FUNCTION timeframe_named(name text)
RETURNS text
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_timeframe_named';

COMMENT ON FUNCTION timeframe_named(text)
    IS 'the time frame of a name: its own, 1m to 1mn, or what other platforms call it, M1 M5 M15 M30 H1 H4 D1 W1 MN1 in any case; NULL for anything else and for NULL';

CREATE FUNCTION candle_as_json(candle fx.candle)
RETURNS jsonb
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    SELECT coalesce(to_jsonb(candle), 'null')
$$;

COMMENT ON FUNCTION candle_as_json(fx.candle)
    IS 'a candle as fx.market_data_rejects keeps it, times in UTC; JSON null for NULL';

CREATE FUNCTION ingest_candles(
    candles fx.candle[],
    OUT inserted bigint,
    OUT updated bigint,
    OUT unchanged bigint,
    OUT rejected bigint,
    OUT off_market bigint)
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fx_ingest_candles';

REVOKE ALL ON FUNCTION ingest_candles(fx.candle[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ingest_candles(fx.candle[]) TO fx_app;

COMMENT ON FUNCTION ingest_candles(fx.candle[])
    IS 'writes candles to fx.market_data as if one by one in their order, makes missing partitions, keeps replaced versions in fx.market_data_revisions and faulty rows in fx.market_data_rejects; counts rows inserted, updated, unchanged and rejected, and those stored that begin while the market is closed; instruments are stored under their own symbol; runs with the rights of the caller; errors: 22004 NULL array, 42P07 a table that is no partition has the name of a month';

CREATE FUNCTION ingest_candles(
    candles jsonb,
    OUT inserted bigint,
    OUT updated bigint,
    OUT unchanged bigint,
    OUT rejected bigint,
    OUT off_market bigint)
LANGUAGE C
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'fx_ingest_candles_of_json';

REVOKE ALL ON FUNCTION ingest_candles(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ingest_candles(jsonb) TO fx_app;

COMMENT ON FUNCTION ingest_candles(jsonb)
    IS 'the same for a JSON array of objects with the columns as keys, open_price, openPrice, open or o; numbers may be strings, times without offset are UTC, volume may be absent; errors: 22004 NULL, 22023 not an array, those of the other';

-- An untyped literal would fit both, and the parser prefers text.
CREATE FUNCTION ingest_candles(
    candles text,
    OUT inserted bigint,
    OUT updated bigint,
    OUT unchanged bigint,
    OUT rejected bigint,
    OUT off_market bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT i.* INTO inserted, updated, unchanged, rejected, off_market
      FROM fx.ingest_candles(candles::jsonb) AS i;
END
$$;

REVOKE ALL ON FUNCTION ingest_candles(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ingest_candles(text) TO fx_app;

COMMENT ON FUNCTION ingest_candles(text)
    IS 'fx.ingest_candles of candles as JSON text; error 22P02 when it is not JSON';
