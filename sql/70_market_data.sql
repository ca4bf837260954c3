
-- market data

-- A partition is made beside the table and attached, which takes SHARE UPDATE
-- EXCLUSIVE on fx.market_data: reads and writes go on.  CREATE TABLE ...
-- PARTITION OF would take ACCESS EXCLUSIVE.  The CHECK tells ATTACH that no
-- row needs to be looked at; after it the bounds say the same.
CREATE FUNCTION create_market_data_partitions(since date, until date)
RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made integer := 0;
    partition_month date;
    partition_name text;
    partition_oid oid;
    owner name;
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
    PERFORM pg_advisory_xact_lock(hashtextextended('fx.create_market_data_partitions', 0));

    SELECT pg_get_userbyid(relowner) INTO owner
      FROM pg_class WHERE oid = 'fx.market_data'::regclass;

    partition_month := date_trunc('month', since::timestamp)::date;
    WHILE partition_month < until LOOP
        partition_name := 'market_data_' || to_char(partition_month, 'YYYY_MM');
        lower_bound := to_char(partition_month, 'YYYY-MM-DD') || ' 00:00:00+00';
        partition_month := (partition_month + interval '1 month')::date;
        upper_bound := to_char(partition_month, 'YYYY-MM-DD') || ' 00:00:00+00';

        partition_oid := to_regclass(format('fx.%I', partition_name));
        IF partition_oid IS NULL THEN
            EXECUTE format(
                'CREATE TABLE fx.%1$I (
                     LIKE fx.market_data
                         INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED
                         INCLUDING STORAGE INCLUDING COMPRESSION,
                     CONSTRAINT attach_bounds CHECK (timestamp >= %2$L AND timestamp < %3$L))',
                partition_name, lower_bound, upper_bound);
            IF owner <> current_user THEN
                EXECUTE format('ALTER TABLE fx.%I OWNER TO %I', partition_name, owner);
            END IF;
            EXECUTE format(
                'ALTER TABLE fx.market_data ATTACH PARTITION fx.%I FOR VALUES FROM (%L) TO (%L)',
                partition_name, lower_bound, upper_bound);
            EXECUTE format('ALTER TABLE fx.%I DROP CONSTRAINT attach_bounds', partition_name);
            made := made + 1;
        ELSIF NOT EXISTS (SELECT FROM pg_inherits
                           WHERE inhrelid = partition_oid
                             AND inhparent = 'fx.market_data'::regclass
                             AND NOT inhdetachpending) THEN
            RAISE EXCEPTION 'table "%" is not a partition of "market_data"', partition_name
                USING ERRCODE = 'duplicate_table',
                      HINT = 'It was detached or made by hand: attach, rename or drop it.';
        END IF;
    END LOOP;

    RETURN made;
END
$$;

REVOKE ALL ON FUNCTION create_market_data_partitions(date, date) FROM PUBLIC;

COMMENT ON FUNCTION create_market_data_partitions(date, date)
    IS 'makes the monthly partitions of fx.market_data that are missing from the month of since up to until (excluded), bounds in UTC, and returns how many it made; readers and writers are not blocked; errors: 22004 NULL, 22023 dates infinite, out of range or in the wrong order, 42P07 a table of that name is no partition';
