
-- retention
--
-- A partition goes as a whole once every timeframe that has rows in it has
-- expired up to the partition's end.  Rows are deleted one by one only where
-- the partition has to stay for a timeframe that is kept longer: deleting what
-- is dropped a few days later anyway would cost a row trigger and dead rows for
-- nothing.  So keep is the age up to which rows stay at least.  Rows are deleted
-- by whole FX days, so that no daily candle loses half of what it is made of.

-- Partitions of a table by a range of time.  Bounds are NULL where there is
-- none: MINVALUE, MAXVALUE, DEFAULT or infinity.
CREATE FUNCTION partition_bounds(parent regclass)
RETURNS TABLE (partition regclass, lower timestamptz, upper timestamptz, detaching boolean)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
AS $$
BEGIN
    RETURN QUERY
        SELECT i.inhrelid::regclass,
               nullif(nullif(b.bounds[1]::timestamptz, '-infinity'), 'infinity'),
               nullif(nullif(b.bounds[2]::timestamptz, '-infinity'), 'infinity'),
               i.inhdetachpending
          FROM pg_inherits i
          JOIN pg_class c ON c.oid = i.inhrelid
          LEFT JOIN LATERAL (
                   SELECT regexp_match(pg_get_expr(c.relpartbound, c.oid),
                       $q$FROM \((?:'([^']*)'|MINVALUE)\) TO \((?:'([^']*)'|MAXVALUE)\)$q$) AS bounds
               ) b ON true
         WHERE i.inhparent = parent AND c.relkind = 'r';
END
$$;

COMMENT ON FUNCTION partition_bounds(regclass)
    IS 'partitions of a table that is partitioned by a range of one time: lower bound, upper bound (excluded), and whether a concurrent detach has begun; a bound is NULL where there is none, subpartitioned and foreign partitions are left out';

-- Two probes of the index (symbol, timeframe, timestamp) a series, not a scan.
CREATE FUNCTION timeframe_spans(relation regclass)
RETURNS TABLE (timeframe text, oldest timestamptz, newest timestamptz)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name CONSTANT text := fx.relation_name(relation);
BEGIN
    IF (SELECT count(*) <> 3
          FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          JOIN pg_type t ON t.oid = a.atttypid
         WHERE c.oid = relation AND c.relkind IN ('r', 'p')
           AND CASE a.attname WHEN 'symbol' THEN t.typcategory = 'S'
                              WHEN 'timeframe' THEN t.typcategory = 'S'
                              WHEN 'timestamp' THEN t.oid = 'timestamptz'::regtype END) THEN
        RAISE EXCEPTION 'argument "%" must be a table of candles, not %', 'relation', name
            USING ERRCODE = 'wrong_object_type',
                  DETAIL = 'Such a table has columns "symbol" and "timeframe" of text, and "timestamp" of type timestamp with time zone.';
    END IF;
    RETURN QUERY EXECUTE format($q$
        WITH RECURSIVE series AS (
            (SELECT m.symbol, m.timeframe FROM %1$s m ORDER BY m.symbol, m.timeframe LIMIT 1)
            UNION ALL
            SELECT n.* FROM series s, LATERAL (
                SELECT m.symbol, m.timeframe FROM %1$s m
                 WHERE (m.symbol, m.timeframe) > (s.symbol, s.timeframe)
                 ORDER BY m.symbol, m.timeframe LIMIT 1) n
        )
        SELECT s.timeframe::text,
               min((SELECT min(m.timestamp) FROM %1$s m
                     WHERE m.symbol = s.symbol AND m.timeframe = s.timeframe)),
               max((SELECT max(m.timestamp) FROM %1$s m
                     WHERE m.symbol = s.symbol AND m.timeframe = s.timeframe))
          FROM series s
         GROUP BY s.timeframe
        $q$, name);
END
$$;

REVOKE ALL ON FUNCTION timeframe_spans(regclass) FROM PUBLIC;

COMMENT ON FUNCTION timeframe_spans(regclass)
    IS 'the timeframes of a table of candles or of one partition, with the first and the last timestamp of each; walks the unique index; errors: 22004 NULL, 42P01 no such relation, 42809 no table of candles';

CREATE FUNCTION estimated_rows(relation regclass, condition text DEFAULT 'true')
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name CONSTANT text := fx.relation_name(relation);
    plan jsonb;
    counted bigint;
BEGIN
    -- The planner takes a table that was never vacuumed for ten pages at least.
    IF pg_relation_size(relation) < 4 * 1024 * 1024 THEN
        EXECUTE format('SELECT count(*) FROM %s t WHERE %s', name, condition) INTO counted;
        RETURN counted;
    END IF;
    EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM %s t WHERE %s', name, condition) INTO plan;
    RETURN (plan -> 0 -> 'Plan' ->> 'Plan Rows')::bigint;
END
$$;

REVOKE ALL ON FUNCTION estimated_rows(regclass, text) FROM PUBLIC;

COMMENT ON FUNCTION estimated_rows(regclass, text)
    IS 'how many rows of a table meet a condition, which is SQL over t: counted below 4 MB, the planner''s estimate above; volatile because EXPLAIN is; errors: 22004 NULL relation, 42P01 no such relation, those of the condition';

-- Where a feed has stopped, its last month stays.
CREATE FUNCTION retention_cutoff(keep interval, newest timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    oldest_kept CONSTANT timestamptz := now() - keep;
BEGIN
    IF newest < oldest_kept THEN
        RETURN date_trunc('month', newest, 'UTC');
    END IF;
    RETURN oldest_kept;
END
$$;

COMMENT ON FUNCTION retention_cutoff(interval, timestamptz)
    IS 'time before which rows have expired: now() - keep, or the start of the month (UTC) of the newest row when even that is older';

CREATE FUNCTION retention_plan()
RETURNS TABLE ("table" text, timeframe text, partition text, action text,
               before timestamptz, rows bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
AS $$
DECLARE
    policies jsonb;
    cutoffs jsonb := '{}';      -- by timeframe met so far; null: kept for ever
    shortest interval;
    part record;
    item record;
    found jsonb;
    longest timestamptz;
    kept boolean;
BEGIN
    -- Candles.  From the newest partition to the oldest, because the first one
    -- that holds a timeframe says how far that feed has come.
    SELECT jsonb_object_agg(p.timeframe, p.keep), min(p.keep)
      INTO policies, shortest
      FROM fx.retention_policies p
     WHERE regexp_replace(p."table", '^fx[.]', '') = 'market_data';

    FOR part IN
        SELECT b.* FROM fx.partition_bounds('fx.market_data') b
         WHERE policies IS NOT NULL AND NOT b.detaching
           AND b.lower IS NOT NULL AND b.upper IS NOT NULL
         ORDER BY b.lower DESC
    LOOP
        CONTINUE WHEN part.lower > now() - shortest AND cutoffs ?& ARRAY(SELECT jsonb_object_keys(policies));

        SELECT coalesce(jsonb_object_agg(s.timeframe, jsonb_build_array(s.oldest, s.newest)), '{}')
          INTO found
          FROM fx.timeframe_spans(part.partition) s;
        SELECT coalesce(jsonb_object_agg(k.key,
                   fx.retention_cutoff((policies ->> k.key)::interval, (k.value ->> 1)::timestamptz)), '{}')
               || cutoffs
          INTO cutoffs
          FROM jsonb_each(found) k;
        CONTINUE WHEN part.lower > now() - shortest OR cutoffs = '{}';

        -- An empty one counts as if it held all that the newer ones hold.
        SELECT bool_or(c.value IS NULL OR c.value::timestamptz < part.upper),
               CASE WHEN bool_or(c.value IS NULL) THEN '-infinity'
                    ELSE min(c.value::timestamptz) END
          INTO kept, longest
          FROM jsonb_each_text(cutoffs) c
         WHERE found = '{}' OR found ? c.key;

        "table" := 'market_data';
        partition := (SELECT c.relname FROM pg_class c WHERE c.oid = part.partition);
        IF NOT kept THEN
            timeframe := NULL;
            action := 'drop partition';
            before := part.upper;
            rows := fx.estimated_rows(part.partition);
            RETURN NEXT;
            CONTINUE;
        END IF;
        FOR item IN
            SELECT e.* FROM (
                SELECT k.key, (k.value ->> 0)::timestamptz AS oldest,
                       CASE WHEN (cutoffs ->> k.key)::timestamptz >= part.upper THEN part.upper
                            ELSE fx.fx_day_start(fx.fx_day((cutoffs ->> k.key)::timestamptz)) END AS cutoff
                  FROM jsonb_each(found) k
                 WHERE (cutoffs ->> k.key)::timestamptz > longest) e
             WHERE e.oldest < e.cutoff
             ORDER BY fx.timeframe_rank(e.key)
        LOOP
            timeframe := item.key;
            action := 'delete rows';
            before := item.cutoff;
            rows := fx.estimated_rows(part.partition,
                format('t.timeframe = %L AND t.timestamp < %L', timeframe, before));
            RETURN NEXT;
        END LOOP;
    END LOOP;

    -- Ticks go by whole months only.
    longest := NULL;
    FOR part IN
        SELECT b.*, p.keep
          FROM fx.retention_policies p, fx.partition_bounds('fx.quotes') b
         WHERE regexp_replace(p."table", '^fx[.]', '') = 'quotes' AND NOT b.detaching
           AND b.lower IS NOT NULL AND b.upper IS NOT NULL
         ORDER BY b.lower DESC
    LOOP
        IF part.upper <= longest THEN
            "table" := 'quotes';
            timeframe := NULL;
            partition := (SELECT c.relname FROM pg_class c WHERE c.oid = part.partition);
            action := 'drop partition';
            before := part.upper;
            rows := fx.estimated_rows(part.partition);
            RETURN NEXT;
        ELSIF longest IS NULL THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %s)', part.partition) INTO kept;
            IF kept THEN
                longest := least(part.lower, fx.retention_cutoff(part.keep, NULL));
            END IF;
        END IF;
    END LOOP;

    partition := NULL;
    action := 'delete rows';
    FOR item IN
        SELECT s.timeframe, s.oldest,
               fx.fx_day_start(fx.fx_day(fx.retention_cutoff(p.keep, s.newest))) AS cutoff
          FROM fx.retention_policies p, fx.timeframe_spans('fx.candle_rollups') s
         WHERE regexp_replace(p."table", '^fx[.]', '') = 'candle_rollups'
           AND p.timeframe = s.timeframe
         ORDER BY fx.timeframe_rank(s.timeframe)
    LOOP
        -- one that is not final would be missed: it is not made again until its day changes
        SELECT least(item.cutoff, min(coalesce(h.expired_before, '-infinity'))) INTO longest
          FROM (SELECT DISTINCT r.source FROM fx.candle_rollups r
                 WHERE r.timeframe = item.timeframe AND r.timestamp < item.cutoff) AS r
          LEFT JOIN fx.candle_horizons h ON h.timeframe = r.source;
        item.cutoff := fx.fx_day_start(fx.fx_day(longest));
        IF item.oldest < item.cutoff THEN
            "table" := 'candle_rollups';
            timeframe := item.timeframe;
            before := item.cutoff;
            rows := fx.estimated_rows('fx.candle_rollups',
                format('t.timeframe = %L AND t.timestamp < %L', timeframe, before));
            RETURN NEXT;
        END IF;
    END LOOP;

    -- Revisions are numbered in the order of their time, or nearly so.
    FOR item IN
        SELECT fx.fx_day_start(fx.fx_day(now() - p.keep)) AS cutoff FROM fx.retention_policies p
         WHERE regexp_replace(p."table", '^fx[.]', '') = 'market_data_revisions'
    LOOP
        IF (SELECT r.replaced_at FROM fx.market_data_revisions r ORDER BY r.id LIMIT 1) < item.cutoff THEN
            "table" := 'market_data_revisions';
            timeframe := NULL;
            before := item.cutoff;
            rows := fx.estimated_rows('fx.market_data_revisions',
                format('t.replaced_at < %L', before));
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION retention_plan() FROM PUBLIC;

COMMENT ON FUNCTION retention_plan()
    IS 'what fx.retention_policies no longer keep: partitions to drop (timeframe NULL, before: their upper bound), and timeframes of which rows before a time are to be deleted, with an estimate of the rows; never the newest month of a timeframe; changes nothing';

-- Candles and roll-ups by series in the order of the index, so that no batch
-- meets the rows that earlier ones deleted; the position says how far it is.
CREATE FUNCTION expire_batch("table" text, timeframe text, partition text, before timestamptz,
                             place jsonb DEFAULT '{}', max_rows integer DEFAULT 10000,
                             OUT removed bigint, OUT next_place jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    relation CONSTANT regclass := format('fx.%I', coalesce(partition, "table"));
    series text := place ->> 'symbol';
    reached timestamptz := coalesce((place ->> 'reached')::timestamptz, '-infinity');
    stop timestamptz;
    gone bigint;
    last_id bigint;
BEGIN
    removed := 0;
    IF "table" = 'market_data_revisions' THEN
        WITH batch AS (
            SELECT r.id, r.replaced_at FROM fx.market_data_revisions r
             WHERE r.id > coalesce((place ->> 'id')::bigint, 0)
             ORDER BY r.id LIMIT max_rows
        ), deleted AS (
            DELETE FROM fx.market_data_revisions r USING batch b
             WHERE r.id = b.id AND b.replaced_at < before
            RETURNING r.id
        )
        SELECT count(*), (SELECT max(b.id) FROM batch b) INTO removed, last_id FROM deleted;
        IF removed > 0 THEN
            next_place := jsonb_build_object('id', last_id);
        END IF;
        RETURN;
    END IF;

    IF series IS NULL THEN
        EXECUTE format('SELECT min(symbol) FROM %s', relation) INTO series;
    END IF;
    WHILE series IS NOT NULL AND removed < max_rows LOOP
        EXECUTE format('SELECT timestamp FROM %s WHERE symbol = $1 AND timeframe = $2
                            AND timestamp >= $3 AND timestamp < $4
                          ORDER BY timestamp OFFSET $5 LIMIT 1', relation)
           INTO stop USING series, timeframe, reached, before, max_rows - removed;
        EXECUTE format('DELETE FROM %s WHERE symbol = $1 AND timeframe = $2
                            AND timestamp >= $3 AND timestamp < $4', relation)
          USING series, timeframe, reached, coalesce(stop, before);
        GET DIAGNOSTICS gone = ROW_COUNT;
        removed := removed + gone;
        IF stop IS NOT NULL THEN
            reached := stop;
        ELSE
            EXECUTE format('SELECT min(symbol) FROM %s WHERE symbol > $1', relation) INTO series USING series;
            reached := '-infinity';
        END IF;
    END LOOP;
    IF series IS NOT NULL THEN
        next_place := jsonb_build_object('symbol', series, 'reached', reached);
    END IF;
END
$$;

REVOKE ALL ON FUNCTION expire_batch(text, text, text, timestamptz, jsonb, integer) FROM PUBLIC;

COMMENT ON FUNCTION expire_batch(text, text, text, timestamptz, jsonb, integer)
    IS 'deletes up to max_rows rows of one item of fx.retention_plan from place on, and returns how many and where the next batch begins, NULL when none is left';

-- Has nothing come into the partition since the plan that must stay?
CREATE FUNCTION partition_expired(parent text, relation regclass, upper timestamptz)
RETURNS boolean
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF parent = 'market_data' THEN
        RETURN NOT EXISTS (
            SELECT FROM fx.timeframe_spans(relation) s
             WHERE NOT EXISTS (SELECT FROM fx.retention_policies p
                                WHERE regexp_replace(p."table", '^fx[.]', '') = parent
                                  AND p.timeframe = s.timeframe AND now() - p.keep >= upper));
    END IF;
    RETURN EXISTS (SELECT FROM fx.retention_policies p
                    WHERE regexp_replace(p."table", '^fx[.]', '') = parent
                      AND now() - p.keep >= upper);
END
$$;

REVOKE ALL ON FUNCTION partition_expired(text, regclass, timestamptz) FROM PUBLIC;

COMMENT ON FUNCTION partition_expired(text, regclass, timestamptz)
    IS 'whether everything that a partition of fx.market_data (parent market_data) or fx.quotes (quotes: by the bound alone) holds, attached or not, has expired up to its upper bound; errors: those of fx.timeframe_spans for market_data';

-- With a plain DETACH, which waits for everybody who reads the table: up to
-- lock_timeout.
CREATE FUNCTION drop_expired_partition(parent text, partition text, upper timestamptz)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('ALTER TABLE fx.%I DETACH PARTITION fx.%I', parent, partition);
    IF NOT fx.partition_expired(parent, format('fx.%I', partition)::regclass, upper) THEN
        RAISE EXCEPTION 'partition "%" holds rows that have not expired', partition
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'They were written, or a policy was changed, while it was about to be dropped.';
    END IF;
    EXECUTE format('DROP TABLE fx.%I', partition);
END
$$;

REVOKE ALL ON FUNCTION drop_expired_partition(text, text, timestamptz) FROM PUBLIC;

COMMENT ON FUNCTION drop_expired_partition(text, text, timestamptz)
    IS 'detaches and drops a partition that fx.retention_plan names; errors: 55000 it holds rows that have not expired, 55P03 lock_timeout';

-- What is about to go must be in the roll-ups first, and these must not be
-- worked out again from what is left: the horizon makes them final.
CREATE FUNCTION prepare_retention()
RETURNS TABLE ("table" text, timeframe text, partition text, action text,
               before timestamptz, rows bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refreshed boolean := false;
BEGIN
    FOR "table", timeframe, partition, action, before, rows IN SELECT * FROM fx.retention_plan() LOOP
        IF "table" = 'market_data' THEN
            IF NOT refreshed THEN
                PERFORM fx.refresh_candles();
                refreshed := true;
            END IF;
            INSERT INTO fx.candle_horizons AS h (timeframe, expired_before)
            SELECT t.name, before
              FROM (SELECT prepare_retention.timeframe WHERE action = 'delete rows'
                     UNION ALL
                    SELECT s.timeframe
                      FROM fx.timeframe_spans(format('fx.%I', partition)::regclass) s
                     WHERE action = 'drop partition') t (name)
            ON CONFLICT ON CONSTRAINT candle_horizons_pkey DO UPDATE
               SET expired_before = greatest(h.expired_before, excluded.expired_before);
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION prepare_retention() FROM PUBLIC;

COMMENT ON FUNCTION prepare_retention()
    IS 'fx.retention_plan after refreshing all roll-ups and raising fx.candle_horizons to what the plan removes, never lower';

-- Up to two seconds, unless the caller is less patient.
CREATE FUNCTION limit_lock_timeout()
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    timeout_before CONSTANT text := current_setting('lock_timeout');
BEGIN
    IF (SELECT s.setting::integer NOT BETWEEN 1 AND 2000 FROM pg_settings s WHERE s.name = 'lock_timeout') THEN
        PERFORM set_config('lock_timeout', '2s', true);
    END IF;
    RETURN timeout_before;
END
$$;

REVOKE ALL ON FUNCTION limit_lock_timeout() FROM PUBLIC;

COMMENT ON FUNCTION limit_lock_timeout()
    IS 'sets lock_timeout to 2 s until the end of the transaction where it is longer or off, and returns what it was';

CREATE FUNCTION apply_retention(dry_run boolean DEFAULT false)
RETURNS TABLE ("table" text, timeframe text, partition text, action text,
               before timestamptz, rows bigint, outcome text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    timeout_before text;
    gone bigint;
    place jsonb;
BEGIN
    IF dry_run IS NULL THEN
        RAISE EXCEPTION 'argument "dry_run" must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF dry_run THEN
        RETURN QUERY SELECT p.*, 'planned' FROM fx.retention_plan() p;
        RETURN;
    END IF;

    IF NOT fx.try_lock_work('maintain') THEN
        RAISE EXCEPTION 'maintenance of this database is running already'
            USING ERRCODE = 'lock_not_available',
                  HINT = 'Try again when it has ended.';
    END IF;
    timeout_before := fx.limit_lock_timeout();

    FOR "table", timeframe, partition, action, before, rows IN SELECT * FROM fx.prepare_retention() LOOP
        BEGIN
            IF action = 'drop partition' THEN
                PERFORM fx.drop_expired_partition("table", partition, before);
            ELSE
                rows := 0;
                place := '{}';
                WHILE place IS NOT NULL LOOP
                    SELECT b.removed, b.next_place INTO gone, place
                      FROM fx.expire_batch("table", timeframe, partition, before, place) b;
                    rows := rows + gone;
                END LOOP;
            END IF;
            outcome := 'done';
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected OR object_in_use
                 OR dependent_objects_still_exist OR object_not_in_prerequisite_state THEN
                rows := 0;
                outcome := format('not done: %s', SQLERRM);
        END;
        RETURN NEXT;
    END LOOP;

    PERFORM set_config('lock_timeout', timeout_before, true);
END
$$;

REVOKE ALL ON FUNCTION apply_retention(boolean) FROM PUBLIC;

COMMENT ON FUNCTION apply_retention(boolean)
    IS 'does what fx.retention_plan says in one transaction, and returns what it did: rows deleted (an estimate for a dropped partition), outcome ''done'', or ''not done: '' with the reason, a lock that was not to be had within 2 s for one; the rest goes on. A dry run changes nothing (outcome ''planned''). For the owner. A partition that is dropped locks its table for a moment: the background worker does without. Errors: 22004 NULL, 55P03 maintenance is running';
