
-- changes of candles
--
-- Roll-ups are valid but for the FX days noted in fx.candle_changes, and for
-- months whose partition is not the one that was rolled up.

CREATE FUNCTION note_candle_change()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_note_candle_change';

REVOKE ALL ON FUNCTION note_candle_change() FROM PUBLIC;

COMMENT ON FUNCTION note_candle_change()
    IS 'trigger, AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW: notes symbol, timeframe and FX day of the candle in fx.candle_changes, once a transaction; runs with the rights of that table''s owner';

CREATE FUNCTION forget_noted_changes()
RETURNS void
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_forget_noted_changes';

REVOKE ALL ON FUNCTION forget_noted_changes() FROM PUBLIC;

COMMENT ON FUNCTION forget_noted_changes()
    IS 'makes this transaction note changes of candles again that it has noted before; called when the notes are taken away';

CREATE FUNCTION candle_partition_states()
RETURNS TABLE (partition_name text, identity text, partition oid, settled boolean)
LANGUAGE C
STABLE
PARALLEL SAFE
ROWS 50
AS 'MODULE_PATHNAME', 'fx_candle_partition_states';

COMMENT ON FUNCTION candle_partition_states()
    IS 'the attached partitions of fx.market_data as they are now: name with schema, quoted; what changes when the partition is truncated, detached or replaced; the table; and whether all that can happen to it from now on is noticed, which is not so for what this transaction made or truncated, for unlogged and for foreign tables';

-- Bounds are widened to whole FX days, since a daily candle may lie on both
-- sides.  A partition by something else than two times counts as all of time.
CREATE FUNCTION changed_candle_partitions()
RETURNS TABLE (partition_name text, identity text, since timestamptz, until timestamptz)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    item record;
BEGIN
    FOR item IN
        SELECT s.partition_name AS now_name, s.identity AS now_identity, s.partition AS now_oid,
               p.partition_name AS old_name, p.since AS old_since, p.until AS old_until
          FROM fx.candle_partition_states() s
          FULL JOIN fx.candle_partitions p
            ON p.partition_name = s.partition_name AND p.identity = s.identity
         WHERE s.partition_name IS NULL OR p.partition_name IS NULL
    LOOP
        partition_name := coalesce(item.now_name, item.old_name);
        identity := item.now_identity;
        IF item.now_name IS NULL THEN
            since := item.old_since;
            until := item.old_until;
        ELSE
            SELECT coalesce(b.lower, '-infinity'), coalesce(b.upper, 'infinity') INTO since, until
              FROM (SELECT) AS one
              LEFT JOIN fx.partition_bounds('fx.market_data') b ON b.partition = item.now_oid;
            since := fx.fx_day_start(fx.fx_day(since));
            until := fx.fx_day_start(fx.fx_day(until - interval '1 microsecond') + 1);
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION changed_candle_partitions()
    IS 'partitions of fx.market_data that were attached, truncated, detached (identity NULL) or dropped since the last fx.refresh_candles, and the FX days that they cover';

-- Nothing need be worked out for a partition that is empty and has no roll-ups:
-- all that comes into it is noted.  Called where nobody can write into it
-- unnoticed, by whoever made it or holds a lock on the table.
CREATE FUNCTION know_empty_partitions()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    item record;
    has_rows boolean;
BEGIN
    -- the notes of this transaction may have gone with a table of theirs
    PERFORM fx.forget_noted_changes();
    FOR item IN
        SELECT c.* FROM fx.changed_candle_partitions() c
         WHERE c.identity IS NOT NULL
           AND NOT EXISTS (SELECT FROM fx.candle_partitions p
                            WHERE p.partition_name = c.partition_name)
           AND NOT EXISTS (SELECT FROM fx.candle_rollups r
                            WHERE r.timestamp >= c.since AND r.timestamp < c.until)
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', item.partition_name) INTO has_rows;
        IF NOT has_rows THEN
            INSERT INTO fx.candle_partitions (partition_name, identity, since, until)
            VALUES (item.partition_name, item.identity, item.since, item.until)
            ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION know_empty_partitions() FROM PUBLIC;

COMMENT ON FUNCTION know_empty_partitions()
    IS 'takes partitions of fx.market_data that are new and empty for known, so that their months need no refresh';
