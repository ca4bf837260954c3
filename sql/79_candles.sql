
-- candles of any timeframe
--
-- Up to one hour a candle is made from the finest stored timeframe that has a
-- row in it.  A longer one is made from candles of one hour (4h, 1d) or one
-- day (1w, 1mn), and where there are none it is a stored one.  Hours and days
-- are read from fx.candle_rollups, but for FX days that have changed since
-- those were made: these are made from fx.market_data on the spot.  All of a
-- call sees one snapshot, in which notes of changes, roll-ups and rows agree.

-- What the functions below pass on: stored, the timeframes that may have rows
-- of the symbol, finest first; changed, the times of changed FX days; and with
-- each candle source, the finest timeframe that went into it.

CREATE FUNCTION candle_state(symbol text, OUT stored text[], OUT changed tstzmultirange)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    frames CONSTANT text[] := '{1m,5m,15m,30m,1h,4h,1d,1w,1mn}';
    whole tstzmultirange;
BEGIN
    SELECT range_agg(tstzrange(p.since, p.until)) INTO whole
      FROM fx.changed_candle_partitions() p;
    SELECT range_agg(tstzrange(fx.fx_day_start(c.day), fx.fx_day_start(c.day + 1))) INTO changed
      FROM (SELECT DISTINCT n.day FROM fx.candle_changes n
             WHERE n.symbol = candle_state.symbol) AS c;
    changed := coalesce(changed, '{}') + coalesce(whole, '{}');

    IF whole IS NOT NULL THEN
        -- rows of a partition attached as a whole are known to nobody yet
        stored := frames;
    ELSE
        stored := ARRAY(
            SELECT t.timeframe
              FROM (SELECT s.timeframe::text FROM fx.candle_series s
                     WHERE s.symbol = candle_state.symbol
                    UNION
                    SELECT c.timeframe::text FROM fx.candle_changes c
                     WHERE c.symbol = candle_state.symbol) AS t
             WHERE t.timeframe = ANY (frames)
             ORDER BY array_position(frames, t.timeframe));
    END IF;
END
$$;

COMMENT ON FUNCTION candle_state(text)
    IS 'timeframes of fx.market_data that may hold candles of the symbol, finest first, and the FX days whose candles have changed since the last fx.refresh_candles, as ranges of time';

CREATE TYPE candle_part AS (
    "timestamp" timestamptz,
    open_price numeric,
    high_price numeric,
    low_price numeric,
    close_price numeric,
    volume bigint,
    source text
);

COMMENT ON TYPE candle_part
    IS 'a candle on its way through the functions behind fx.candles; source is the finest timeframe that went into it';

-- Candles of up to an hour from stored rows alone.
CREATE FUNCTION built_candles(symbol text, timeframe text, since timestamptz, until timestamptz, stored text[])
RETURNS SETOF candle_part
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    finer text[] := ARRAY(
        SELECT t.name FROM unnest(stored) AS t (name)
         WHERE fx.timeframe_rank(t.name) <= fx.timeframe_rank(built_candles.timeframe));
BEGIN
    IF finer = '{}' THEN
        RETURN;
    ELSIF finer = ARRAY[built_candles.timeframe] THEN
        RETURN QUERY
            SELECT m.timestamp, m.open_price, m.high_price, m.low_price, m.close_price,
                   m.volume, m.timeframe::text
              FROM fx.market_data m
             WHERE m.symbol = built_candles.symbol
               AND m.timeframe = built_candles.timeframe
               AND m.timestamp >= built_candles.since AND m.timestamp < built_candles.until;
    ELSIF cardinality(finer) = 1 THEN
        RETURN QUERY
            SELECT b.starts, fx.open(b.c), fx.high(b.c), fx.low(b.c), fx.close(b.c),
                   fx.volume(b.c), finer[1]
              FROM (SELECT fx.candle_start(m.timestamp, built_candles.timeframe) AS starts,
                           fx.candlestick_agg(m.timestamp, m.open_price, m.high_price,
                                              m.low_price, m.close_price, m.volume) AS c
                      FROM fx.market_data m
                     WHERE m.symbol = built_candles.symbol
                       AND m.timeframe = finer[1]
                       AND m.timestamp >= built_candles.since AND m.timestamp < built_candles.until
                     GROUP BY 1) AS b;
    ELSE
        RETURN QUERY
            SELECT DISTINCT ON (b.starts)
                   b.starts, fx.open(b.c), fx.high(b.c), fx.low(b.c), fx.close(b.c),
                   fx.volume(b.c), b.frame
              FROM (SELECT fx.candle_start(m.timestamp, built_candles.timeframe) AS starts,
                           m.timeframe::text AS frame,
                           fx.candlestick_agg(m.timestamp, m.open_price, m.high_price,
                                              m.low_price, m.close_price, m.volume) AS c
                      FROM fx.market_data m
                     WHERE m.symbol = built_candles.symbol
                       AND m.timeframe = ANY (finer)
                       AND m.timestamp >= built_candles.since AND m.timestamp < built_candles.until
                     GROUP BY 1, 2) AS b
             ORDER BY b.starts, fx.timeframe_rank(b.frame);
    END IF;
END
$$;

COMMENT ON FUNCTION built_candles(text, text, timestamptz, timestamptz, text[])
    IS 'candles of 1m to 1h made from fx.market_data alone, each from the finest timeframe that has a row in it; since and until (excluded) are starts of candles';

-- Hours made from stored rows, but for those whose rows have expired since.
CREATE FUNCTION built_hours(symbol text, since timestamptz, until timestamptz, stored text[])
RETURNS SETOF candle_part
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM fx.candle_horizons) THEN
        RETURN QUERY SELECT * FROM fx.built_candles(symbol, '1h', since, until, stored);
        RETURN;
    END IF;
    RETURN QUERY
        WITH final AS MATERIALIZED (
            SELECT * FROM fx.final_rollups(symbol, '1h', since, until)
        )
        SELECT f.* FROM final f
        UNION ALL
        SELECT b.* FROM fx.built_candles(symbol, '1h', since, until, stored) b
         WHERE NOT EXISTS (SELECT FROM final f WHERE f.timestamp = b.timestamp);
END
$$;

COMMENT ON FUNCTION built_hours(text, timestamptz, timestamptz, text[])
    IS 'candles of 1h made from fx.market_data, and those roll-ups whose source has expired';

CREATE FUNCTION final_rollups(symbol text, timeframe text, since timestamptz, until timestamptz)
RETURNS SETOF candle_part
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT r.timestamp, r.open_price, r.high_price, r.low_price, r.close_price,
               r.volume, r.source::text
          FROM fx.candle_rollups r
          JOIN fx.candle_horizons h ON h.timeframe = r.source AND r.timestamp < h.expired_before
           -- a day that has not ended is made of hours, of which some are final
           AND (r.timeframe = '1h' OR r.source IN ('4h', '1d')
                OR fx.candle_end(r.timestamp, r.timeframe) <= h.expired_before)
         WHERE r.symbol = final_rollups.symbol AND r.timeframe = final_rollups.timeframe
           AND r.timestamp >= since AND r.timestamp < until;
END
$$;

COMMENT ON FUNCTION final_rollups(text, text, timestamptz, timestamptz)
    IS 'roll-ups that stay as they are, because retention has removed what they were made from';

CREATE FUNCTION hour_candles(symbol text, since timestamptz, until timestamptz, stored text[], changed tstzmultirange)
RETURNS SETOF candle_part
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT r.timestamp, r.open_price, r.high_price, r.low_price, r.close_price,
               r.volume, r.source::text
          FROM fx.candle_rollups r
         WHERE r.symbol = hour_candles.symbol AND r.timeframe = '1h'
           AND r.timestamp >= since AND r.timestamp < until
           AND NOT r.timestamp <@ changed;
    RETURN QUERY
        SELECT b.*
          FROM unnest(changed * tstzmultirange(tstzrange(since, until))) AS c (days),
               LATERAL fx.built_hours(symbol, lower(c.days), upper(c.days), stored) AS b;
END
$$;

COMMENT ON FUNCTION hour_candles(text, timestamptz, timestamptz, text[], tstzmultirange)
    IS 'candles of 1h from since to until (excluded, whole hours): roll-ups, and the FX days that have changed from fx.market_data';

-- Candles of 4h, 1d, 1w and 1mn from shorter ones, and stored ones where there
-- are no shorter ones.  A stored candle of the timeframe itself keeps its own
-- timestamp, which need not be where ours begin.
CREATE FUNCTION composed_candles(symbol text, timeframe text, since timestamptz, until timestamptz, alignment text, stored text[], changed tstzmultirange)
RETURNS SETOF candle_part
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_hours boolean := composed_candles.timeframe IN ('4h', '1d');
    own text[] := ARRAY(
        SELECT t.name FROM unnest(stored) AS t (name)
         WHERE t.name = composed_candles.timeframe
            OR t.name = '4h' AND composed_candles.timeframe = '1d');
BEGIN
    RETURN QUERY
        WITH part AS (
            SELECT h.* FROM fx.hour_candles(symbol, since, until, stored, changed) h WHERE of_hours
            UNION ALL
            SELECT d.* FROM fx.day_candles(symbol, since, until, alignment, stored, changed) d WHERE NOT of_hours
        ), built AS MATERIALIZED (
            SELECT fx.candle_start(p.timestamp, composed_candles.timeframe, alignment) AS starts,
                   fx.candlestick_agg(p.timestamp, p.open_price, p.high_price,
                                      p.low_price, p.close_price, p.volume) AS c,
                   min(fx.timeframe_rank(p.source)) AS finest
              FROM part p
             GROUP BY 1
        ), kept AS (
            SELECT m.timestamp, m.open_price, m.high_price, m.low_price, m.close_price,
                   m.volume, m.timeframe::text AS frame,
                   fx.candle_start(m.timestamp, composed_candles.timeframe, alignment) AS starts
              FROM fx.market_data m
             WHERE own <> '{}'
               AND m.symbol = composed_candles.symbol AND m.timeframe = ANY (own)
               AND m.timestamp >= composed_candles.since AND m.timestamp < composed_candles.until
        ), unbuilt AS MATERIALIZED (
            SELECT k.* FROM kept k
             WHERE NOT EXISTS (SELECT FROM built b WHERE b.starts = k.starts)
        ), of_four_hours AS MATERIALIZED (
            SELECT k.starts,
                   fx.candlestick_agg(k.timestamp, k.open_price, k.high_price,
                                      k.low_price, k.close_price, k.volume) AS c
              FROM unbuilt k
             WHERE k.frame <> composed_candles.timeframe
             GROUP BY 1
        )
        SELECT b.starts, fx.open(b.c), fx.high(b.c), fx.low(b.c), fx.close(b.c), fx.volume(b.c),
               (ARRAY['1m', '5m', '15m', '30m', '1h', '4h', '1d', '1w', '1mn'])[b.finest + 1]
          FROM built b
        UNION ALL
        SELECT f.starts, fx.open(f.c), fx.high(f.c), fx.low(f.c), fx.close(f.c), fx.volume(f.c), '4h'
          FROM of_four_hours f
        UNION ALL
        SELECT u.timestamp, u.open_price, u.high_price, u.low_price, u.close_price, u.volume, u.frame
          FROM unbuilt u
         WHERE u.frame = composed_candles.timeframe
           AND NOT EXISTS (SELECT FROM of_four_hours f WHERE f.starts = u.starts);
END
$$;

COMMENT ON FUNCTION composed_candles(text, text, timestamptz, timestamptz, text, text[], tstzmultirange)
    IS 'candles of 4h and 1d made from those of 1h, of 1w and 1mn made from those of 1d, and stored ones where there are no shorter ones; since and until (excluded) are starts of candles';

CREATE FUNCTION built_days(symbol text, since timestamptz, until timestamptz, stored text[], changed tstzmultirange)
RETURNS SETOF candle_part
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        WITH final AS MATERIALIZED (
            SELECT * FROM fx.final_rollups(symbol, '1d', since, until)
        )
        SELECT f.* FROM final f
        UNION ALL
        SELECT b.* FROM fx.composed_candles(symbol, '1d', since, until, 'new_york', stored, changed) b
         WHERE NOT EXISTS (SELECT FROM final f WHERE f.timestamp = b.timestamp);
END
$$;

COMMENT ON FUNCTION built_days(text, timestamptz, timestamptz, text[], tstzmultirange)
    IS 'candles of 1d made from those of 1h, and those roll-ups whose source has expired';

CREATE FUNCTION day_candles(symbol text, since timestamptz, until timestamptz, alignment text, stored text[], changed tstzmultirange)
RETURNS SETOF candle_part
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF alignment = 'utc' THEN
        RETURN QUERY SELECT * FROM fx.composed_candles(symbol, '1d', since, until, 'utc', stored, changed);
        RETURN;
    END IF;

    RETURN QUERY
        SELECT r.timestamp, r.open_price, r.high_price, r.low_price, r.close_price,
               r.volume, r.source::text
          FROM fx.candle_rollups r
         WHERE r.symbol = day_candles.symbol AND r.timeframe = '1d'
           AND r.timestamp >= since AND r.timestamp < until
           AND NOT r.timestamp <@ changed;
    RETURN QUERY
        SELECT b.*
          FROM unnest(changed * tstzmultirange(tstzrange(since, until))) AS c (days),
               LATERAL fx.built_days(symbol, lower(c.days), upper(c.days), stored, changed) AS b;
END
$$;

COMMENT ON FUNCTION day_candles(text, timestamptz, timestamptz, text, text[], tstzmultirange)
    IS 'candles of 1d from since to until (excluded, starts of days): roll-ups, and the FX days that have changed from shorter candles; of UTC days always from shorter ones';
