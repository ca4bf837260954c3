
-- the newest candle of a symbol, and of every symbol

CREATE FUNCTION last_candle_time(symbol text, timeframe text, before timestamptz DEFAULT 'infinity')
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    newest timestamptz;
    found_at timestamptz;
    item text;
BEGIN
    FOREACH item IN ARRAY (fx.candle_state(symbol)).stored LOOP
        IF fx.timeframe_rank(item) <= fx.timeframe_rank(last_candle_time.timeframe) THEN
            SELECT m.timestamp INTO found_at
              FROM fx.market_data m
             WHERE m.symbol = last_candle_time.symbol AND m.timeframe = item
               AND m.timestamp < before
             ORDER BY m.timestamp DESC
             LIMIT 1;
            newest := greatest(newest, found_at);
        END IF;
    END LOOP;
    -- what its rows have expired of is known by its roll-ups
    IF EXISTS (SELECT FROM fx.candle_horizons) THEN
        FOREACH item IN ARRAY '{1h,1d}'::text[] LOOP
            IF fx.timeframe_rank(item) <= fx.timeframe_rank(last_candle_time.timeframe) THEN
                SELECT r.timestamp INTO found_at
                  FROM fx.candle_rollups r
                 WHERE r.symbol = last_candle_time.symbol AND r.timeframe = item
                   AND r.timestamp < before
                 ORDER BY r.timestamp DESC
                 LIMIT 1;
                newest := greatest(newest, found_at);
            END IF;
        END LOOP;
    END IF;
    RETURN newest;
END
$$;

COMMENT ON FUNCTION last_candle_time(text, text, timestamptz)
    IS 'timestamp of the newest stored candle of up to a timeframe that begins before a time; NULL where there is none';

CREATE FUNCTION read_latest_candle(symbol_read text, timeframe_read text)
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stored_symbol text := fx.resolve_symbol(symbol_read);
    starts timestamptz;
BEGIN
    IF symbol_read IS NULL OR timeframe_read IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN symbol_read IS NULL THEN 'symbol' ELSE 'timeframe' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    IF ARRAY(SELECT f.name FROM unnest((fx.candle_state(stored_symbol)).stored) AS f (name)
              WHERE fx.timeframe_rank(f.name) <= fx.timeframe_rank(timeframe_read))
       = ARRAY[timeframe_read]
    THEN
        RETURN QUERY SELECT l.* FROM fx.latest_stored_candle(stored_symbol, timeframe_read) l;
        RETURN;
    END IF;

    starts := fx.candle_start(fx.last_candle_time(stored_symbol, timeframe_read), timeframe_read);
    RETURN QUERY
        SELECT c.symbol, c.timeframe, c.timestamp, c.open_price, c.high_price, c.low_price,
               c.close_price, c.volume
          FROM fx.read_candles(stored_symbol, timeframe_read, starts,
                               fx.candle_end(starts, timeframe_read), 'none', 'new_york') c
         WHERE starts IS NOT NULL
         ORDER BY c.timestamp DESC
         LIMIT 1;
END
$$;

COMMENT ON FUNCTION read_latest_candle(text, text)
    IS 'row of fx.latest_candle';

CREATE FUNCTION latest_candle(symbol text, timeframe text)
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint)
LANGUAGE sql
STABLE
PARALLEL SAFE
AS $$
    SELECT * FROM fx.read_latest_candle($1, $2)
$$;

COMMENT ON FUNCTION latest_candle(text, text)
    IS 'the newest candle that fx.candles has of a symbol and timeframe, the one that is still forming included; no row where there is none. Errors: 22004 NULL, 22023 unknown timeframe';

CREATE FUNCTION read_latest_candles(timeframe_read text)
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    frames CONSTANT text[] := '{1m,5m,15m,30m,1h,4h,1d,1w,1mn}';
    finer text[];
BEGIN
    IF timeframe_read IS NULL THEN
        RAISE EXCEPTION 'argument "timeframe" must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    finer := frames[1:fx.timeframe_rank(timeframe_read)];

    -- where nothing finer is stored, the newest candle is a row
    IF NOT EXISTS (SELECT FROM fx.candle_series s WHERE s.timeframe = ANY (finer))
       AND NOT EXISTS (SELECT FROM fx.candle_changes c WHERE c.timeframe = ANY (finer))
       AND NOT EXISTS (SELECT FROM fx.changed_candle_partitions())
    THEN
        RETURN QUERY SELECT l.* FROM fx.latest_stored_candles(timeframe_read) l;
        RETURN;
    END IF;

    RETURN QUERY
        WITH known AS (
            SELECT s.symbol FROM fx.candle_series s
             WHERE s.timeframe = ANY (finer || timeframe_read)
            UNION
            SELECT c.symbol FROM fx.candle_changes c
             WHERE c.timeframe = ANY (finer || timeframe_read)
            UNION
            SELECT m.symbol
              FROM fx.changed_candle_partitions() p
              JOIN fx.market_data m ON m.timestamp >= p.since AND m.timestamp < p.until
             WHERE m.timeframe = ANY (finer || timeframe_read)
        )
        SELECT l.*
          FROM known k, LATERAL fx.read_latest_candle(k.symbol, timeframe_read) l
         ORDER BY l.symbol COLLATE "C";
END
$$;

COMMENT ON FUNCTION read_latest_candles(text)
    IS 'rows of fx.latest_candles';

CREATE FUNCTION latest_candles(timeframe text)
RETURNS TABLE (
    symbol text,
    timeframe text,
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint)
LANGUAGE sql
STABLE
PARALLEL SAFE
AS $$
    SELECT * FROM fx.read_latest_candles($1)
$$;

COMMENT ON FUNCTION latest_candles(text)
    IS 'the newest candle of a timeframe for each symbol that has one, by symbol; a walk of the index a symbol where the timeframe is the finest that is stored, else the candles are built. Errors: 22004 NULL, 22023 unknown timeframe';
