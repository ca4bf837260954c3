
-- keeping roll-ups up to date

-- A month whose partition is another one now: all its days have changed, those
-- of candles that are there and those of roll-ups without any.  One of which a
-- change might go unnoticed stays unknown.
CREATE FUNCTION note_changed_partitions()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unsettled CONSTANT text[] := ARRAY(SELECT s.partition_name FROM fx.candle_partition_states() s
                                        WHERE NOT s.settled);
    item record;
BEGIN
    DELETE FROM fx.candle_partitions p WHERE p.partition_name = ANY (unsettled);

    -- what is gone first: it may be there again under its name
    FOR item IN SELECT * FROM fx.changed_candle_partitions() p ORDER BY p.identity NULLS FIRST LOOP
        INSERT INTO fx.candle_changes (symbol, timeframe, day)
        SELECT DISTINCT m.symbol, m.timeframe, fx.fx_day(m.timestamp)
          FROM fx.market_data m
         WHERE m.timestamp >= item.since AND m.timestamp < item.until
        UNION
        SELECT r.symbol, r.source, fx.fx_day(r.timestamp)
          FROM fx.candle_rollups r
         WHERE r.timestamp >= item.since AND r.timestamp < item.until;

        IF item.identity IS NULL THEN
            DELETE FROM fx.candle_partitions p WHERE p.partition_name = item.partition_name;
        ELSIF item.partition_name <> ALL (unsettled) THEN
            INSERT INTO fx.candle_partitions (partition_name, identity, since, until)
            VALUES (item.partition_name, item.identity, item.since, item.until)
            ON CONFLICT ON CONSTRAINT candle_partitions_pkey DO UPDATE
                SET (identity, since, until) = (excluded.identity, excluded.since, excluded.until);
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION note_changed_partitions() FROM PUBLIC;

COMMENT ON FUNCTION note_changed_partitions()
    IS 'notes all days of partitions of fx.market_data that were attached, truncated, detached or dropped, for fx.refresh_candles';

-- Make the roll-ups of whole FX days of a symbol what they should be; rows
-- that are right already are not written.  Days are made of the hours written
-- before them, in which nothing is taken for changed.
CREATE FUNCTION refresh_rollups(symbol text, timeframe text, since timestamptz, until timestamptz, stored text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH built AS MATERIALIZED (
        SELECT h.* FROM fx.built_hours(symbol, since, until, stored) h
         WHERE refresh_rollups.timeframe = '1h'
        UNION ALL
        SELECT d.* FROM fx.built_days(symbol, since, until, stored, '{}') d
         WHERE refresh_rollups.timeframe = '1d'
    ), gone AS (
        DELETE FROM fx.candle_rollups r
         WHERE r.symbol = refresh_rollups.symbol AND r.timeframe = refresh_rollups.timeframe
           AND r.timestamp >= refresh_rollups.since AND r.timestamp < refresh_rollups.until
           AND NOT EXISTS (SELECT FROM built b WHERE b.timestamp = r.timestamp)
    )
    INSERT INTO fx.candle_rollups AS r (symbol, timeframe, timestamp, open_price, high_price,
                                        low_price, close_price, volume, source)
    SELECT refresh_rollups.symbol, refresh_rollups.timeframe, b.* FROM built b
    ON CONFLICT ON CONSTRAINT candle_rollups_pkey DO UPDATE
        SET (open_price, high_price, low_price, close_price, volume, source)
          = (excluded.open_price, excluded.high_price, excluded.low_price, excluded.close_price,
             excluded.volume, excluded.source)
      WHERE (r.open_price, r.high_price, r.low_price, r.close_price, r.volume, r.source)
            IS DISTINCT FROM
            (excluded.open_price, excluded.high_price, excluded.low_price, excluded.close_price,
             excluded.volume, excluded.source);
END
$$;

REVOKE ALL ON FUNCTION refresh_rollups(text, text, timestamptz, timestamptz, text[]) FROM PUBLIC;

COMMENT ON FUNCTION refresh_rollups(text, text, timestamptz, timestamptz, text[])
    IS 'makes the rows of fx.candle_rollups of a symbol and timeframe anew for FX days from since to until (excluded, starts of days), for fx.refresh_candles; hours before days';

-- One at a time.  The notes are taken first and the candles read by a later
-- statement: what is written in between stays noted.  Until the commit readers
-- see the notes and work the days out for themselves.
CREATE FUNCTION refresh_candles(max_days integer DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    item record;
    range tstzrange;
    stored text[];
    refreshed bigint := 0;
BEGIN
    IF max_days < 1 THEN
        RAISE EXCEPTION 'argument "max_days" must be greater than zero'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    PERFORM fx.lock_work('refresh_candles');
    PERFORM fx.forget_noted_changes();
    PERFORM fx.note_changed_partitions();

    FOR item IN
        WITH chosen AS (
            SELECT c.symbol, c.day FROM fx.candle_changes c
             GROUP BY c.symbol, c.day
             ORDER BY min(c.id)
             LIMIT max_days
        ), taken AS (
            DELETE FROM fx.candle_changes c
             USING chosen n
             WHERE (c.symbol, c.day) = (n.symbol, n.day)
            RETURNING c.symbol, c.timeframe, c.day
        )
        SELECT t.symbol, array_agg(DISTINCT t.timeframe) AS timeframes,
               array_agg(DISTINCT t.day) AS days
          FROM taken t
         GROUP BY t.symbol
         ORDER BY t.symbol COLLATE "C"
    LOOP
        INSERT INTO fx.candle_series (symbol, timeframe)
        SELECT item.symbol, unnest(item.timeframes)
        ON CONFLICT DO NOTHING;

        stored := (fx.candle_state(item.symbol)).stored;
        BEGIN
            -- the weeks of a long load are one range, though weekends have not changed
            FOREACH range IN ARRAY ARRAY(
                SELECT tstzrange(fx.fx_day_start(min(i.day)), fx.fx_day_start(max(i.day) + 1))
                  FROM (SELECT g.day, count(*) FILTER (WHERE g.gap > 4) OVER (ORDER BY g.day) AS island
                          FROM (SELECT d.day, d.day - lag(d.day) OVER (ORDER BY d.day) AS gap
                                  FROM unnest(item.days) AS d (day)) AS g) AS i
                 GROUP BY i.island)
            LOOP
                PERFORM fx.refresh_rollups(item.symbol, '1h', lower(range), upper(range), stored);
                PERFORM fx.refresh_rollups(item.symbol, '1d', lower(range), upper(range), stored);
            END LOOP;
            refreshed := refreshed + cardinality(item.days);
        EXCEPTION WHEN numeric_value_out_of_range THEN
            -- volumes that no candle can hold must not keep all others back
            RAISE WARNING 'could not refresh candles of "%": %', item.symbol, SQLERRM;
            INSERT INTO fx.candle_changes (symbol, timeframe, day)
            SELECT item.symbol, frame, day FROM unnest(item.timeframes) AS frame, unnest(item.days) AS day;
        END;
    END LOOP;

    RETURN refreshed;
END
$$;

REVOKE ALL ON FUNCTION refresh_candles(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION refresh_candles(integer) TO fx_app;

COMMENT ON FUNCTION refresh_candles(integer)
    IS 'makes the roll-ups of fx.candle_rollups anew for the FX days whose candles have changed, at most max_days of them (NULL: all), and returns for how many days of a symbol it did; 0 when nothing had changed. Concurrent calls wait for one another, writers and readers of candles do not; reads are right without it, and faster after it. Where the volumes of a candle are out of range it warns, leaves the symbol''s days noted and does not count them. Errors: 22023 max_days below 1';
