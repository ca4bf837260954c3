
-- load of candles from a staging table

CREATE FUNCTION number_or_nan(value text)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_number_or_nan';

COMMENT ON FUNCTION number_or_nan(text)
    IS 'a decimal number from text, rounded to eight decimals, infinite where it is out of range of 128 bits, or NaN when it is none; never an error';

CREATE FUNCTION time_or_infinity(value text)
RETURNS timestamptz
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_time_or_infinity';

COMMENT ON FUNCTION time_or_infinity(text)
    IS 'an ISO-8601 time from text, in UTC where it has no offset, or infinity when it is none; never an error';

-- The columns of a staging table as expressions over its alias s that have
-- the types of fx.candle, in its order.
CREATE FUNCTION staging_columns(staging regclass)
RETURNS text[]
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    item record;
    col record;
    missing text[] := '{}';
    expressions text[] := '{}';
BEGIN
    IF staging IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', 'staging'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM fx.relation_name(staging);
    FOR item IN
        SELECT v.names, v.kind
          FROM (VALUES (1, ARRAY['symbol', 's'], 'text'),
                       (2, ARRAY['timeframe', 'tf'], 'text'),
                       (3, ARRAY['timestamp', 'time', 't'], 'time'),
                       (4, ARRAY['open_price', 'open', 'o'], 'number'),
                       (5, ARRAY['high_price', 'high', 'h'], 'number'),
                       (6, ARRAY['low_price', 'low', 'l'], 'number'),
                       (7, ARRAY['close_price', 'close', 'c'], 'number'),
                       (8, ARRAY['volume', 'v'], 'number')) AS v (place, names, kind)
         ORDER BY v.place
    LOOP
        SELECT a.attname, a.atttypid::regtype AS type,
               coalesce(nullif(t.typbasetype, 0), t.oid)::regtype AS base, t.typcategory
          INTO col
          FROM pg_attribute a
          JOIN pg_type t ON t.oid = a.atttypid
         WHERE a.attrelid = staging AND a.attnum > 0 AND NOT a.attisdropped
           AND a.attname = ANY (item.names)
         ORDER BY array_position(item.names, a.attname::text)
         LIMIT 1;

        IF NOT FOUND THEN
            IF item.names[1] = 'volume' THEN
                expressions := expressions || 'NULL::numeric'::text;
            ELSE
                missing := missing || format('"%s"', item.names[1]);
            END IF;
        ELSIF item.kind = 'text' AND col.typcategory = 'S' THEN
            expressions := expressions || format('s.%I::text', col.attname);
        ELSIF item.kind = 'number' AND col.typcategory = 'N' AND col.base <> 'money'::regtype THEN
            expressions := expressions || format('s.%I::numeric', col.attname);
        ELSIF item.kind = 'number' AND col.typcategory = 'S' THEN
            expressions := expressions || format('fx.number_or_nan(s.%I::text)', col.attname);
        ELSIF item.kind = 'time' AND col.base = 'timestamptz'::regtype THEN
            expressions := expressions || format('s.%I', col.attname);
        ELSIF item.kind = 'time' AND col.base IN ('timestamp'::regtype, 'date'::regtype) THEN
            expressions := expressions || format('(s.%I::timestamp AT TIME ZONE ''UTC'')', col.attname);
        ELSIF item.kind = 'time' AND col.typcategory = 'S' THEN
            expressions := expressions || format('fx.time_or_infinity(s.%I::text)', col.attname);
        ELSE
            RAISE EXCEPTION 'column "%" of staging table has type %', col.attname, col.type
                USING ERRCODE = 'datatype_mismatch',
                      DETAIL = CASE item.kind WHEN 'text' THEN 'It must be text.'
                                              ELSE format('It must be a %s, or text.', item.kind) END;
        END IF;
    END LOOP;

    IF missing <> '{}' THEN
        RAISE EXCEPTION 'staging table "%" has no column %', staging, array_to_string(missing, ', ')
            USING ERRCODE = 'undefined_column',
                  HINT = 'Columns are found by name: symbol, timeframe, timestamp, open_price or open or o, and so on; volume may be absent.';
    END IF;
    RETURN expressions;
END
$$;

COMMENT ON FUNCTION staging_columns(regclass)
    IS 'for fx.load_candles: the columns of a staging table as SQL expressions over its alias s, in the order and with the types of fx.candle; errors: 22004 NULL, 42P01 no such relation, 42703 columns missing, 42804 a column has another type';

-- Runs as the caller: what he may not read is not loaded, and what he may
-- not write is not written.
CREATE FUNCTION load_candles(
    staging regclass,
    OUT inserted bigint,
    OUT updated bigint,
    OUT unchanged bigint,
    OUT rejected bigint,
    OUT off_market bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    merge_columns CONSTANT text := 'symbol, timeframe, "timestamp", open_price, high_price, low_price, close_price, volume';
    on_conflict CONSTANT text := '
        ON CONFLICT (symbol, timeframe, "timestamp") DO UPDATE
        SET open_price = excluded.open_price, high_price = excluded.high_price,
            low_price = excluded.low_price, close_price = excluded.close_price,
            volume = excluded.volume, created_at = excluded.created_at + interval ''1 microsecond''
        WHERE (m.open_price, m.high_price, m.low_price, m.close_price, m.volume)
              IS DISTINCT FROM
              (excluded.open_price, excluded.high_price, excluded.low_price, excluded.close_price, excluded.volume)
        RETURNING m.created_at';
    table_name text;
    latest timestamptz;
    stamp timestamptz;
    kind "char";
    fields text[];
    row_order text := '0';
    source text;
    ordered text;
    spellings text[];
    symbols text[];
    months date[];
    accepted bigint;
    repeated bigint;
    candle record;
    written timestamptz;
BEGIN
    fields := fx.staging_columns(staging);
    table_name := fx.relation_name(staging);

    SELECT c.relkind INTO kind FROM pg_class c WHERE c.oid = staging;
    IF kind = 'r' THEN
        -- of rows with the same key the one that stands later was written later
        row_order := 's.ctid';
        -- it must not change between the statements; who only reads it cannot lock it
        IF has_table_privilege(staging, 'UPDATE, DELETE, TRUNCATE') THEN
            EXECUTE format('LOCK TABLE %s IN SHARE MODE', table_name);
        END IF;
    END IF;

    -- symbols that mean an instrument in another spelling; OFFSET keeps the
    -- function from being called for every row
    EXECUTE format(
        'SELECT array_agg(d.symbol), array_agg(d.instrument)
           FROM (SELECT s.symbol, fx.instrument_symbol(s.symbol) AS instrument
                   FROM (SELECT DISTINCT %s AS symbol FROM %s AS s OFFSET 0) AS s OFFSET 0) AS d
          WHERE d.instrument <> d.symbol', fields[1], table_name)
       INTO spellings, symbols;

    latest := clock_timestamp() + interval '1 day';
    source := format(
        'SELECT coalesce(n.instrument, %1$s) AS symbol, fx.timeframe_named(%2$s) AS timeframe,
                %3$s AS "timestamp", %4$s AS open_price, %5$s AS high_price,
                %6$s AS low_price, %7$s AS close_price,
                coalesce(%8$s, 0) AS volume, %9$s AS place
           FROM %10$s AS s LEFT JOIN unnest($1, $2) AS n (symbol, instrument) ON n.symbol = %1$s
          WHERE fx.candle_fault(%1$s, %2$s, %3$s, %4$s, %5$s, %6$s, %7$s, %8$s, $3) IS NULL',
        fields[1], fields[2], fields[3], fields[4], fields[5], fields[6], fields[7], fields[8],
        row_order, table_name);

    EXECUTE format(
        'INSERT INTO fx.market_data_rejects (reason, candle)
         SELECT f.fault, to_jsonb(s)
           FROM %9$s AS s, LATERAL (SELECT fx.candle_fault(%1$s, %2$s, %3$s, %4$s, %5$s, %6$s, %7$s, %8$s, $1)) AS f (fault)
          WHERE f.fault IS NOT NULL',
        fields[1], fields[2], fields[3], fields[4], fields[5], fields[6], fields[7], fields[8], table_name)
      USING latest;
    GET DIAGNOSTICS rejected = ROW_COUNT;

    EXECUTE format(
        'SELECT sum(d.n), sum(d.n) FILTER (WHERE d.off),
                array_agg(DISTINCT d.month) FILTER (WHERE NOT fx.has_partition(''fx.market_data'', d.month::timestamp AT TIME ZONE ''UTC''))
           FROM (SELECT date_trunc(''month'', c."timestamp" AT TIME ZONE ''UTC'')::date AS month,
                        c.timeframe NOT IN (''1w'', ''1mn'') AND extract(isodow FROM fx.fx_day(c."timestamp")) IN (6, 7) AS off,
                        count(*) AS n
                   FROM (%s) AS c GROUP BY 1, 2) AS d', source)
       INTO accepted, off_market, months
      USING spellings, symbols, latest;
    accepted := coalesce(accepted, 0);
    off_market := coalesce(off_market, 0);
    IF months IS NOT NULL THEN
        PERFORM fx.make_candle_months(months);
    END IF;

    -- The first rows of all keys, in the order in which fx.ingest_candles locks
    -- them: a materialised query is read in its own order.
    ordered := format(
        'SELECT c.*, lag(c."timestamp") OVER w IS NOT DISTINCT FROM c."timestamp" AS again
           FROM (%s) AS c
         WINDOW w AS (PARTITION BY c.symbol COLLATE "C", fx.timeframe_rank(c.timeframe)
                      ORDER BY c."timestamp", c.place)
          ORDER BY c.symbol COLLATE "C", fx.timeframe_rank(c.timeframe), c."timestamp", c.place', source);
    stamp := clock_timestamp();
    EXECUTE format(
        'WITH ordered AS MATERIALIZED (%2$s), merged AS (
             INSERT INTO fx.market_data AS m (%1$s, created_at)
             SELECT %1$s, $4 FROM ordered AS c WHERE NOT c.again
             %3$s)
         SELECT count(*) FILTER (WHERE g.created_at = $4), count(*) FILTER (WHERE g.created_at <> $4),
                (SELECT count(*) FROM ordered AS c WHERE c.again)
           FROM merged AS g',
        merge_columns, ordered, on_conflict)
       INTO inserted, updated, repeated
      USING spellings, symbols, latest, stamp;

    -- Then the others one by one: few, or many of one key, whose order matters.
    IF repeated > 0 THEN
        FOR candle IN EXECUTE format(
            'SELECT c.* FROM (%s) AS c WHERE c.again
              ORDER BY c.symbol COLLATE "C", fx.timeframe_rank(c.timeframe), c."timestamp", c.place', ordered)
            USING spellings, symbols, latest
        LOOP
            EXECUTE format(
                'INSERT INTO fx.market_data AS m (%s, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) %s', merge_columns, on_conflict)
               INTO written
              USING candle.symbol, candle.timeframe, candle."timestamp", candle.open_price, candle.high_price,
                    candle.low_price, candle.close_price, candle.volume, clock_timestamp();
            updated := updated + (written IS NOT NULL)::integer;
        END LOOP;
    END IF;
    unchanged := accepted - inserted - updated;
END
$$;

REVOKE ALL ON FUNCTION load_candles(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION load_candles(regclass) TO fx_app;

COMMENT ON FUNCTION load_candles(regclass)
    IS 'checks the rows of a staging table and merges them into fx.market_data as fx.ingest_candles does, for any number of rows; columns are found by name, text ones are read as from JSON; the staging table stays as it is; runs with the rights of the caller; errors: 22004 NULL, 42P01 no such relation, 42703 columns missing, 42804 a column of another type, 42501 not allowed to read it';
