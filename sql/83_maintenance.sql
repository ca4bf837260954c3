
-- maintenance
--
-- fx.maintain() and the background worker (src/worker.c) run the same steps.
-- Only the way a partition is detached differs: the procedure does it plainly,
-- under lock_timeout; for the worker it marks the partition, and the worker
-- runs DETACH ... CONCURRENTLY, which neither a function nor a procedure may.
--
-- The mark is the comment of the partition.  It tells, after whatever crash,
-- that a table that is no longer attached was to be dropped, and where it
-- belongs if it has to go back.

CREATE FUNCTION marked_partitions()
RETURNS TABLE (parent text, partition text, since timestamptz, until timestamptz,
               attached boolean, detaching boolean)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT p.name, c.relname::text,
               substring(d.description FROM ' from (.*) to ')::timestamptz,
               substring(d.description FROM ' to (.*)$')::timestamptz,
               i.inhrelid IS NOT NULL, coalesce(i.inhdetachpending, false)
          FROM unnest(ARRAY['market_data', 'quotes']) p (name)
          JOIN pg_class t ON t.oid = to_regclass('fx.' || p.name)
          JOIN pg_class c ON c.relnamespace = t.relnamespace AND c.relkind = 'r'
          LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = t.oid
          LEFT JOIN pg_description d
            ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0
           AND d.description ~ format('^fxplatform: expired partition of %s from [-+:0-9 ]+ to [-+:0-9 ]+$', p.name)
         WHERE d.description IS NOT NULL OR i.inhdetachpending
         ORDER BY c.relname;
END
$$;

COMMENT ON FUNCTION marked_partitions()
    IS 'partitions of fx.market_data and fx.quotes on their way out: marked as expired (with the bounds in the mark), attached still or no longer, or in the middle of a concurrent detach';

-- A detach that is pending because somebody is running it right now is left to
-- him.  A mark says: drop this once it is detached.  One that the worker did
-- not come to use must not outlive its round, or a partition that somebody
-- detaches by hand to keep it would go.
CREATE FUNCTION detach_statements(interrupted boolean)
RETURNS TABLE (partition text, statement text)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT m.partition,
               CASE
                   WHEN NOT m.attached
                   THEN format('SELECT fx.drop_detached_partition(%L, %L, %L)', m.parent, m.partition, NOT interrupted)
                   WHEN m.detaching
                   THEN format('ALTER TABLE fx.%I DETACH PARTITION fx.%I FINALIZE', m.parent, m.partition)
                   WHEN interrupted THEN format('COMMENT ON TABLE fx.%I IS NULL', m.partition)
                   WHEN (SELECT p.partdefid = 0 FROM pg_partitioned_table p
                          WHERE p.partrelid = to_regclass('fx.' || m.parent))
                   THEN format('ALTER TABLE fx.%I DETACH PARTITION fx.%I CONCURRENTLY', m.parent, m.partition)
                   -- refused where there is a default partition
                   ELSE format('ALTER TABLE fx.%I DETACH PARTITION fx.%I', m.parent, m.partition)
               END
          FROM fx.marked_partitions() m
         WHERE CASE
                   WHEN m.detaching
                   THEN NOT EXISTS (SELECT FROM pg_stat_activity a
                                     WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
                                       AND a.state = 'active' AND a.query ~* 'detach[[:space:]]+partition')
                   ELSE interrupted OR NOT m.attached
                        OR fx.partition_expired(m.parent, format('fx.%I', m.partition)::regclass, m.until)
               END;
END
$$;

REVOKE ALL ON FUNCTION detach_statements(boolean) FROM PUBLIC;

COMMENT ON FUNCTION detach_statements(boolean)
    IS 'what is to be done next with each of fx.marked_partitions: the statement that detaches it, finishes an interrupted detach, or drops it; interrupted takes the mark from those that are whole, instead of detaching them';

CREATE FUNCTION mark_partition(parent text, partition text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
AS $$
DECLARE
    part record;
BEGIN
    SELECT b.* INTO STRICT part
      FROM fx.partition_bounds(format('fx.%I', parent)::regclass) b
     WHERE b.partition = format('fx.%I', mark_partition.partition)::regclass;
    IF NOT fx.partition_expired(parent, part.partition, part.upper) THEN
        RAISE EXCEPTION 'partition "%" holds rows that have not expired', partition
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    EXECUTE format('COMMENT ON TABLE %s IS %L', part.partition,
        format('fxplatform: expired partition of %s from %s to %s', parent, part.lower, part.upper));
END
$$;

REVOKE ALL ON FUNCTION mark_partition(text, text) FROM PUBLIC;

COMMENT ON FUNCTION mark_partition(text, text)
    IS 'marks a partition for the background worker to detach and drop; errors: P0002 no such partition, 55000 it holds rows that have not expired';

-- Rows may have come in until the detach was visible to everybody.
CREATE FUNCTION drop_detached_partition(parent text, partition text, by_worker boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
AS $$
DECLARE
    relation CONSTANT regclass := format('fx.%I', partition);
    item record;
BEGIN
    SELECT m.* INTO item
      FROM fx.marked_partitions() m
     WHERE m.parent = drop_detached_partition.parent
       AND m.partition = drop_detached_partition.partition AND NOT m.attached;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'table "%" is not an expired partition', partition
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;

    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', relation);
    IF fx.partition_expired(parent, relation, item.until) THEN
        EXECUTE format('DROP TABLE %s', relation);
        RETURN;
    END IF;

    EXECUTE format('COMMENT ON TABLE %s IS NULL', relation);
    EXECUTE format('ALTER TABLE fx.%I ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
        parent, relation, item.since, item.until);
    PERFORM fx.record_maintenance('retention', clock_timestamp(), 'skipped',
        format('%s holds rows that have not expired and is attached again', relation), NULL, by_worker);
END
$$;

REVOKE ALL ON FUNCTION drop_detached_partition(text, text, boolean) FROM PUBLIC;

COMMENT ON FUNCTION drop_detached_partition(text, text, boolean)
    IS 'drops a table that was marked as expired and is detached, or attaches it again when it holds rows that have not expired, and records that; error 55000 no such table';

-- runs and their record

CREATE FUNCTION record_maintenance(step text, started_at timestamptz, outcome text, detail text,
                                   rows bigint, worker boolean)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO fx.maintenance_runs (step, started_at, outcome, detail, rows, worker)
    VALUES (record_maintenance.step, record_maintenance.started_at, record_maintenance.outcome,
            left(record_maintenance.detail, 1000), record_maintenance.rows, record_maintenance.worker);
END
$$;

REVOKE ALL ON FUNCTION record_maintenance(text, timestamptz, text, text, bigint, boolean) FROM PUBLIC;

COMMENT ON FUNCTION record_maintenance(text, timestamptz, text, text, bigint, boolean)
    IS 'adds a row to fx.maintenance_runs, finished now by the clock';

CREATE FUNCTION begin_maintenance(by_worker boolean)
RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT fx.try_lock_work('maintain') THEN
        PERFORM fx.record_maintenance('maintenance', clock_timestamp(), 'skipped',
            'maintenance of this database is running already', NULL, by_worker);
        RAISE NOTICE 'maintenance of this database is running already, skipping';
        RETURN false;
    END IF;
    PERFORM fx.limit_lock_timeout();
    RETURN true;
END
$$;

REVOKE ALL ON FUNCTION begin_maintenance(boolean) FROM PUBLIC;

COMMENT ON FUNCTION begin_maintenance(boolean)
    IS 'begins a transaction of fx.maintain: false, and a run that was skipped, when another session is at it';

-- An error is recorded and does not stop the steps that follow, so every one is
-- caught here, with its SQLSTATE.  A cancelled query is no error of the step:
-- WHEN OTHERS lets it through.
CREATE FUNCTION run_maintenance_step(step text, by_worker boolean, detail text DEFAULT NULL,
                                     statement text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started_at CONSTANT timestamptz := clock_timestamp();
    this_month CONSTANT timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    done bigint;
BEGIN
    BEGIN
        CASE step
            WHEN 'market_data partitions' THEN
                done := fx.create_market_data_partitions(this_month::date, (this_month + interval '4 months')::date);
            WHEN 'quotes partitions' THEN
                done := fx.create_quote_partitions(this_month::date, (this_month + interval '4 months')::date);
            WHEN 'rollups' THEN
                done := fx.refresh_candles(max_days => 500);
            WHEN 'seal' THEN
                done := CASE WHEN to_regclass('fx.audit_chain') IS NULL THEN 0 ELSE fx.seal_audit_batch(50000) END;
            WHEN 'cleanup' THEN
                DELETE FROM fx.maintenance_runs r
                 WHERE r.started_at < now() - interval '7 days'
                   AND (r.started_at < now() - interval '90 days' OR (r.outcome = 'ok' AND r.rows = 0));
                GET DIAGNOSTICS done = ROW_COUNT;
            ELSE
                EXECUTE statement;
                -- a mark is only half of it, and one taken away none
                done := CASE WHEN statement ~ '^(SELECT fx.mark_partition|COMMENT)' THEN 0 ELSE 1 END;
        END CASE;
    EXCEPTION WHEN OTHERS THEN
        PERFORM fx.record_maintenance(step, started_at, 'failed',
            concat_ws(': ', detail, SQLSTATE, SQLERRM), NULL, by_worker);
        RETURN NULL;
    END;

    PERFORM fx.record_maintenance(step, started_at, 'ok', detail, done, by_worker);
    RETURN done;
END
$$;

REVOKE ALL ON FUNCTION run_maintenance_step(text, boolean, text, text) FROM PUBLIC;

COMMENT ON FUNCTION run_maintenance_step(text, boolean, text, text)
    IS 'runs one step of maintenance (a statement where the name of the step does not say what to do), records it in fx.maintenance_runs, and returns its rows, NULL when it failed';

CREATE FUNCTION start_retention(by_worker boolean)
RETURNS TABLE ("table" text, timeframe text, partition text, before timestamptz, statement text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
AS $$
DECLARE
    started_at CONSTANT timestamptz := clock_timestamp();
    planned bigint := 0;
    item record;
BEGIN
    BEGIN
        FOR item IN SELECT * FROM fx.prepare_retention() LOOP
            planned := planned + 1;
            "table" := item."table";
            timeframe := item.timeframe;
            partition := item.partition;
            before := item.before;
            statement := NULL;
            IF item.action = 'drop partition' THEN
                statement := CASE WHEN by_worker
                    THEN format('SELECT fx.mark_partition(%L, %L)', "table", partition)
                    ELSE format('SELECT fx.drop_expired_partition(%L, %L, %L)', "table", partition, before)
                END;
            END IF;
            RETURN NEXT;
        END LOOP;
    EXCEPTION WHEN OTHERS THEN
        PERFORM fx.record_maintenance('retention', started_at, 'failed',
            concat_ws(': ', SQLSTATE, SQLERRM), NULL, by_worker);
        RETURN;
    END;

    IF planned = 0 THEN
        PERFORM fx.record_maintenance('retention', started_at, 'ok', 'nothing has expired', 0, by_worker);
    END IF;
END
$$;

REVOKE ALL ON FUNCTION start_retention(boolean) FROM PUBLIC;

COMMENT ON FUNCTION start_retention(boolean)
    IS 'fx.prepare_retention for fx.maintain: the statement for a partition to drop, none where rows are to be deleted; a failure is recorded and nothing is removed';

CREATE FUNCTION run_expire_batch("table" text, timeframe text, partition text, before timestamptz,
                                 place jsonb, by_worker boolean)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started_at CONSTANT timestamptz := coalesce((place ->> 'started_at')::timestamptz, clock_timestamp());
    detail CONSTANT text := concat_ws(' ', 'delete', timeframe, 'from', coalesce(partition, "table"));
    total bigint := coalesce((place ->> 'total')::bigint, 0);
    gone bigint;
    next_place jsonb;
BEGIN
    BEGIN
        SELECT b.removed, b.next_place INTO gone, next_place
          FROM fx.expire_batch("table", timeframe, partition, before, place) b;
    EXCEPTION WHEN OTHERS THEN
        PERFORM fx.record_maintenance('retention', started_at, 'failed',
            concat_ws(': ', detail, SQLSTATE, SQLERRM), total, by_worker);
        RETURN NULL;
    END;

    total := total + gone;
    IF next_place IS NULL THEN
        PERFORM fx.record_maintenance('retention', started_at, 'ok', detail, total, by_worker);
    END IF;
    RETURN next_place || jsonb_build_object('started_at', started_at, 'total', total);
END
$$;

REVOKE ALL ON FUNCTION run_expire_batch(text, text, text, timestamptz, jsonb, boolean) FROM PUBLIC;

COMMENT ON FUNCTION run_expire_batch(text, text, text, timestamptz, jsonb, boolean)
    IS 'fx.expire_batch for fx.maintain: returns the place of the next batch, with what was deleted so far, or NULL when the item is done or has failed, which it records';

CREATE FUNCTION run_mark_batch(by_worker boolean, place jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started_at CONSTANT timestamptz := coalesce((place ->> 'started_at')::timestamptz, clock_timestamp());
    total bigint := coalesce((place ->> 'total')::bigint, 0);
    batch record;
BEGIN
    BEGIN
        SELECT b.marked, b.last INTO batch
          FROM fx.mark_account_batch((place ->> 'last')::uuid, 100) b;
    EXCEPTION WHEN OTHERS THEN
        PERFORM fx.record_maintenance('accounts', started_at, 'failed',
            concat_ws(': ', SQLSTATE, SQLERRM), total, by_worker);
        RETURN NULL;
    END;

    total := total + batch.marked;
    IF batch.last IS NULL THEN
        PERFORM fx.record_maintenance('accounts', started_at, 'ok', NULL, total, by_worker);
        RETURN NULL;
    END IF;
    RETURN jsonb_build_object('started_at', started_at, 'total', total, 'last', batch.last);
END
$$;

REVOKE ALL ON FUNCTION run_mark_batch(boolean, jsonb) FROM PUBLIC;

COMMENT ON FUNCTION run_mark_batch(boolean, jsonb)
    IS 'fx.mark_account_batch for fx.maintain: returns the place of the next batch, with what was marked so far, or NULL when all are done or one has failed, which it records';

-- statistics

CREATE FUNCTION analyze_table(relation regclass)
RETURNS boolean
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_analyze_table';

REVOKE ALL ON FUNCTION analyze_table(regclass) FROM PUBLIC;

COMMENT ON FUNCTION analyze_table(regclass)
    IS 'ANALYZE of one table, for its owner; of a partitioned one without its partitions, from a sample of all their rows. False when somebody has it locked, or it is gone; does not wait. NULL for NULL; errors: 42809 not a table, 42501 of another owner';

-- What autovacuum would analyze, by its own settings, and what it never does:
-- partitioned tables, and tables that nothing was written to since a restore or
-- an upgrade lost their statistics.
--
-- Nobody counts what changes in a partitioned table.  A partition that was
-- analyzed after it counts whole, of others what has changed; where a crash has
-- lost the times, the difference in rows has to do.  Not more often than once
-- an hour: its statistics serve queries over many months.
CREATE FUNCTION tables_to_analyze()
RETURNS TABLE (relation regclass, partitioned boolean, changed bigint)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        WITH known AS (
            SELECT DISTINCT s.tablename FROM pg_stats s WHERE s.schemaname = 'fx'
        ), stored AS (
            SELECT c.oid, c.relname, c.relkind, c.reltuples::float8 AS rows,
                   greatest(c.reltuples, pg_stat_get_live_tuples(c.oid))::float8 AS live,
                   pg_stat_get_mod_since_analyze(c.oid)::float8 AS changed,
                   greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) AS analyzed_at,
                   coalesce(o.options ->> 'autovacuum_analyze_threshold',
                            current_setting('autovacuum_analyze_threshold'))::float8
                   + coalesce(o.options ->> 'autovacuum_analyze_scale_factor',
                              current_setting('autovacuum_analyze_scale_factor'))::float8
                     * greatest(c.reltuples, 0) AS threshold
              FROM pg_class c
             CROSS JOIN LATERAL (
                       SELECT coalesce(jsonb_object_agg(p.option_name, p.option_value), '{}') AS options
                         FROM pg_options_to_table(c.reloptions) p) o
             WHERE c.relnamespace = to_regnamespace('fx') AND c.relkind IN ('r', 'p')
        ), parents AS (
            SELECT p.oid, p.rows, p.analyzed_at, p.threshold, sum(l.live) AS live,
                   CASE WHEN p.analyzed_at IS NULL THEN abs(sum(l.live) - greatest(p.rows, 0))
                        ELSE sum(CASE WHEN l.analyzed_at > p.analyzed_at THEN l.live ELSE l.changed END)
                   END AS changed
              FROM stored p
             CROSS JOIN LATERAL pg_partition_tree(p.oid) t
              JOIN stored l ON l.oid = t.relid AND l.relkind = 'r'
             WHERE p.relkind = 'p'
             GROUP BY p.oid, p.rows, p.analyzed_at, p.threshold
        )
        SELECT s.oid::regclass, false, s.changed::bigint
          FROM stored s
         WHERE s.relkind = 'r'
           AND (s.rows < 0 OR s.changed > s.threshold
                OR s.rows > 0 AND s.analyzed_at IS NULL
                   AND NOT EXISTS (SELECT FROM known k WHERE k.tablename = s.relname))
        UNION ALL
        SELECT p.oid::regclass, true, p.changed::bigint
          FROM parents p
         WHERE p.live > 0
           AND (p.rows < 0 OR p.changed > p.threshold)
           AND (p.analyzed_at IS NULL OR p.analyzed_at < now() - interval '1 hour')
         -- partitions first, as they tell the size of what lies above them
         ORDER BY 2, 3 DESC, 1;
END
$$;

COMMENT ON FUNCTION tables_to_analyze()
    IS 'tables of schema fx whose statistics are missing or out of date by the settings of autovacuum, those that changed most first, then partitioned tables, with the number of rows that were changed since';

CREATE FUNCTION run_analyze_batch(by_worker boolean, place jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    started_at CONSTANT timestamptz := coalesce((place ->> 'started_at')::timestamptz, clock_timestamp());
    todo jsonb := coalesce(place -> 'todo',
        (SELECT jsonb_agg(t.relation::oid ORDER BY t.ordinality) FROM fx.tables_to_analyze() WITH ORDINALITY t), '[]');
    done bigint := coalesce((place ->> 'done')::bigint, 0);
    locked bigint := coalesce((place ->> 'locked')::bigint, 0);
    error text := place ->> 'error';
    relation regclass := (todo ->> 0)::oid;
BEGIN
    todo := todo - 0;
    BEGIN
        IF fx.analyze_table(relation) THEN
            done := done + 1;
        ELSIF relation IS NOT NULL THEN
            locked := locked + 1;
        END IF;
    EXCEPTION
        WHEN lock_not_available THEN
            locked := locked + 1;
        WHEN OTHERS THEN
            error := coalesce(error, concat_ws(': ', relation, SQLSTATE, SQLERRM));
    END;

    -- Other steps wait for this one, and the next round goes on.
    IF todo <> '[]' AND clock_timestamp() < started_at + interval '5 minutes' THEN
        RETURN jsonb_build_object('started_at', started_at, 'todo', todo, 'done', done,
                                  'locked', locked, 'error', error);
    END IF;
    PERFORM fx.record_maintenance('analyze', started_at, CASE WHEN error IS NULL THEN 'ok' ELSE 'failed' END,
        nullif(concat_ws('; ', error, nullif(locked, 0) || ' tables are locked',
                         nullif(jsonb_array_length(todo), 0) || ' tables are left for the next round'), ''),
        done, by_worker);
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION run_analyze_batch(boolean, jsonb) FROM PUBLIC;

COMMENT ON FUNCTION run_analyze_batch(boolean, jsonb)
    IS 'fx.analyze_table for fx.maintain, one of fx.tables_to_analyze a call: returns what is left, or NULL when that is nothing or five minutes have passed, which it records; an error is not the end of the others';

-- A procedure that commits cannot have a search_path of its own.  It sets one
-- for each transaction, before it names a function, a type or an operator that
-- is not qualified; at the commit the caller's is back, whatever happens.  The
-- lock is one of the transaction too, so a cancelled call leaves none behind.
CREATE PROCEDURE maintain(by_worker boolean DEFAULT false)
LANGUAGE plpgsql
AS $$
DECLARE
    item pg_catalog.record;
    step pg_catalog.text;
    place pg_catalog.jsonb;
    rounds integer;
    done bigint;
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    IF NOT fx.begin_maintenance(by_worker) THEN
        RETURN;
    END IF;

    -- what an interrupted round left
    FOR item IN SELECT * FROM fx.detach_statements(interrupted => true) LOOP
        PERFORM fx.run_maintenance_step('finalize', by_worker, item.statement, item.statement);
        COMMIT;
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        IF NOT fx.begin_maintenance(by_worker) THEN
            RETURN;
        END IF;
    END LOOP;

    FOREACH step IN ARRAY ARRAY['market_data partitions', 'quotes partitions', 'rollups', 'seal'] LOOP
        rounds := 0;
        LOOP
            done := fx.run_maintenance_step(step, by_worker);
            COMMIT;
            PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
            IF NOT fx.begin_maintenance(by_worker) THEN
                RETURN;
            END IF;
            -- Writers may make days dirty as fast as this: others have a turn too.
            rounds := rounds + 1;
            EXIT WHEN step NOT IN ('rollups', 'seal') OR done IS NULL OR done = 0 OR rounds = 100;
        END LOOP;
    END LOOP;

    -- limits follow the prices; few accounts at a time, as trades wait for theirs
    place := '{}';
    LOOP
        place := fx.run_mark_batch(by_worker, place);
        COMMIT;
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        IF NOT fx.begin_maintenance(by_worker) THEN
            RETURN;
        END IF;
        EXIT WHEN place IS NULL;
    END LOOP;

    FOR item IN SELECT * FROM fx.start_retention(by_worker) LOOP
        place := '{}';
        LOOP
            IF item.statement IS NOT NULL THEN
                PERFORM fx.run_maintenance_step('retention', by_worker, item.statement, item.statement);
                place := NULL;
            ELSE
                place := fx.run_expire_batch(item."table", item.timeframe, item.partition,
                                             item.before, place, by_worker);
            END IF;
            COMMIT;
            PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
            IF NOT fx.begin_maintenance(by_worker) THEN
                RETURN;
            END IF;
            EXIT WHEN place IS NULL;
        END LOOP;
    END LOOP;

    place := '{}';
    LOOP
        place := fx.run_analyze_batch(by_worker, place);
        COMMIT;
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        IF NOT fx.begin_maintenance(by_worker) THEN
            RETURN;
        END IF;
        EXIT WHEN place IS NULL;
    END LOOP;

    PERFORM fx.run_maintenance_step('cleanup', by_worker);
END
$$;

REVOKE ALL ON PROCEDURE maintain(boolean) FROM PUBLIC;

COMMENT ON PROCEDURE maintain(boolean)
    IS 'all of maintenance, for the owner: finishes interrupted detaches, makes the partitions of this month and the next three, refreshes roll-ups, seals the audit trail, marks accounts at the latest prices, applies retention, analyzes tables whose statistics are out of date, and records each step in fx.maintenance_runs; a step that fails does not stop the others. It commits in between and cannot run in a transaction block. When another session is at it, it says so and returns. by_worker leaves partitions to drop marked for the background worker';
