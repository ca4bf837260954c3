
-- health of partitions

-- With the rights of the owner: who may see how many rows have expired need
-- not be allowed to read partitions, which have no grants.
CREATE FUNCTION partition_states()
RETURNS TABLE ("table" text, partitions bigint, oldest timestamptz, newest timestamptz,
               next_missing date, months_ahead integer, rows_outside_policy bigint,
               last_run timestamptz, last_outcome text, last_error text)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    this_month CONSTANT timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    parent regclass;
BEGIN
    SELECT max(r.finished_at),
           CASE WHEN bool_or(r.outcome = 'failed') THEN 'failed'
                WHEN bool_or(r.outcome = 'skipped') THEN 'skipped'
                WHEN bool_or(r.outcome = 'ok') THEN 'ok' END
      INTO last_run, last_outcome
      FROM unnest(ARRAY['finalize', 'market_data partitions', 'quotes partitions', 'rollups', 'seal',
                        'accounts', 'retention', 'analyze', 'cleanup', 'maintenance']) s (step)
      CROSS JOIN LATERAL (
               SELECT m.finished_at, m.outcome FROM fx.maintenance_runs m
                WHERE m.step = s.step ORDER BY m.id DESC LIMIT 1) r;
    SELECT concat_ws(': ', m.step, m.detail) INTO last_error
      FROM fx.maintenance_runs m WHERE m.outcome = 'failed' ORDER BY m.id DESC LIMIT 1;

    FOREACH "table" IN ARRAY ARRAY['market_data', 'quotes'] LOOP
        parent := to_regclass('fx.' || "table");
        CONTINUE WHEN parent IS NULL;

        SELECT count(*), min(b.lower), max(b.upper)
          INTO partitions, oldest, newest
          FROM fx.partition_bounds(parent) b
         WHERE NOT b.detaching;

        months_ahead := -1;
        LOOP
            next_missing := this_month + (months_ahead + 1) * interval '1 month';
            EXIT WHEN NOT EXISTS (
                SELECT FROM fx.partition_bounds(parent) b
                 WHERE NOT b.detaching
                   AND coalesce(b.lower, '-infinity') <= next_missing::timestamp AT TIME ZONE 'UTC'
                   AND coalesce(b.upper, 'infinity')
                       >= (next_missing + interval '1 month') AT TIME ZONE 'UTC');
            months_ahead := months_ahead + 1;
            EXIT WHEN months_ahead = 1200;      -- one without an upper bound
        END LOOP;

        SELECT coalesce(sum(p.rows), 0) INTO rows_outside_policy
          FROM fx.retention_plan() p
         WHERE p."table" = partition_states."table";
        RETURN NEXT;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION partition_states() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION partition_states() TO fx_app, fx_user, fx_reporting, pg_monitor;

COMMENT ON FUNCTION partition_states()
    IS 'rows of fx.partition_health';
