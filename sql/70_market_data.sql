
-- market data

-- A partition is made beside the table and attached, which takes SHARE UPDATE
-- EXCLUSIVE on the table: reads and writes go on.  CREATE TABLE ...
-- PARTITION OF would take ACCESS EXCLUSIVE.  The CHECK tells ATTACH that no
-- row needs to be looked at; after it the bounds say the same.
CREATE FUNCTION create_monthly_partitions(parent name, since date, until date)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parent_oid CONSTANT regclass := format('fx.%I', parent);
    made integer := 0;
    partition_month date;
    partition_name text;
    partition_oid oid;
    owner name;
    settings text;
    lower_bound text;
    upper_bound text;
BEGIN
    IF since IS NULL OR until IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN since IS NULL THEN 'since' ELSE 'until' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF NOT isfinite(since) OR NOT isfinite(until) THEN
        RAISE EXCEPTION 'argument "%" must be finite',
                CASE WHEN isfinite(since) THEN 'until' ELSE 'since' END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF since < date '0001-01-01' OR until > date '9999-12-01' THEN
        RAISE EXCEPTION 'argument "%" is out of range',
                CASE WHEN until > date '9999-12-01' THEN 'until' ELSE 'since' END
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF since > until THEN
        RAISE EXCEPTION 'argument "since" must not be after "until"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF since = until THEN
        RETURN 0;
    END IF;

    -- one at a time, so that two sessions do not make the same month
    PERFORM fx.lock_work(format('create %s partitions', parent));

    SELECT pg_get_userbyid(relowner) INTO owner
      FROM pg_class WHERE oid = parent_oid;

    -- A partitioned table has no storage parameters to be inherited: they are
    -- taken over from the newest month, whoever set them.
    SELECT (SELECT format(' WITH (%s)', string_agg(format('%I = %L', o.option_name, o.option_value), ', '))
              FROM pg_options_to_table(c.reloptions) o HAVING count(*) > 0) INTO settings
      FROM fx.partition_bounds(parent_oid) b
      JOIN pg_class c ON c.oid = b.partition
     WHERE NOT b.detaching AND b.upper IS NOT NULL
     ORDER BY b.upper DESC
     LIMIT 1;

    partition_month := date_trunc('month', since::timestamp)::date;
    WHILE partition_month < until LOOP
        partition_name := parent || '_' || to_char(partition_month, 'YYYY_MM');
        lower_bound := to_char(partition_month, 'YYYY-MM-DD') || ' 00:00:00+00';
        partition_month := (partition_month + interval '1 month')::date;
        upper_bound := to_char(partition_month, 'YYYY-MM-DD') || ' 00:00:00+00';

        partition_oid := to_regclass(format('fx.%I', partition_name));
        IF partition_oid IS NULL THEN
            EXECUTE format(
                'CREATE TABLE fx.%1$I (
                     LIKE fx.%4$I
                         INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED
                         INCLUDING STORAGE INCLUDING COMPRESSION,
                     CONSTRAINT attach_bounds CHECK (timestamp >= %2$L AND timestamp < %3$L))%5$s',
                partition_name, lower_bound, upper_bound, parent, coalesce(settings, ''));
            IF owner <> current_user THEN
                EXECUTE format('ALTER TABLE fx.%I OWNER TO %I', partition_name, owner);
            END IF;
            EXECUTE format(
                'ALTER TABLE fx.%I ATTACH PARTITION fx.%I FOR VALUES FROM (%L) TO (%L)',
                parent, partition_name, lower_bound, upper_bound);
            EXECUTE format('ALTER TABLE fx.%I DROP CONSTRAINT attach_bounds', partition_name);
            made := made + 1;
        ELSIF NOT EXISTS (SELECT FROM pg_inherits
                           WHERE inhrelid = partition_oid
                             AND inhparent = parent_oid
                             AND NOT inhdetachpending) THEN
            RAISE EXCEPTION 'table "%" is not a partition of "%"', partition_name, parent
                USING ERRCODE = 'duplicate_table',
                      HINT = 'It was detached or made by hand: attach, rename or drop it.';
        END IF;
    END LOOP;

    RETURN made;
END
$$;

REVOKE ALL ON FUNCTION create_monthly_partitions(name, date, date) FROM PUBLIC;

COMMENT ON FUNCTION create_monthly_partitions(name, date, date)
    IS 'body of fx.create_market_data_partitions and fx.create_quote_partitions: parent is a table of schema fx partitioned by month; errors: theirs, 42P01 no such table';

CREATE FUNCTION create_market_data_partitions(since date, until date)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made integer := fx.create_monthly_partitions('market_data', since, until);
BEGIN
    -- a later migration makes that table
    IF made > 0 AND to_regclass('fx.candle_partitions') IS NOT NULL THEN
        PERFORM fx.know_empty_partitions();
    END IF;
    RETURN made;
END
$$;

REVOKE ALL ON FUNCTION create_market_data_partitions(date, date) FROM PUBLIC;

COMMENT ON FUNCTION create_market_data_partitions(date, date)
    IS 'makes the monthly partitions of fx.market_data that are missing from the month of since up to until (excluded), bounds in UTC, with the storage parameters of the newest partition (none where there is none), and returns how many it made; readers and writers are not blocked; errors: 22004 NULL, 22023 dates infinite, out of range or in the wrong order, 42P07 a table of that name is no partition';

CREATE FUNCTION create_quote_partitions(since date, until date)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN fx.create_monthly_partitions('quotes', since, until);
END
$$;

REVOKE ALL ON FUNCTION create_quote_partitions(date, date) FROM PUBLIC;

COMMENT ON FUNCTION create_quote_partitions(date, date)
    IS 'the same for the monthly partitions of fx.quotes, with the errors of fx.create_market_data_partitions';

-- revisions

CREATE FUNCTION keep_candle_revision()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_keep_candle_revision';

REVOKE ALL ON FUNCTION keep_candle_revision() FROM PUBLIC;

COMMENT ON FUNCTION keep_candle_revision()
    IS 'trigger, AFTER UPDATE FOR EACH ROW: keeps the replaced version of a candle in fx.market_data_revisions, with the rights of that table''s owner';
