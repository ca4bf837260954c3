
-- backtests

-- A setting of a backtest's config as a number; the error names the key.
CREATE FUNCTION config_number(config jsonb, key text)
RETURNS numeric
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    value text := config ->> key;
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    END IF;
    IF jsonb_typeof(config -> key) NOT IN ('number', 'string')
       OR value COLLATE "C" !~ '^[[:space:]]*[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,3})?[[:space:]]*$' THEN
        RAISE EXCEPTION 'config key "%" is not a number', key
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Its value begins with "%s".', left(value, 32));
    END IF;
    RETURN value::numeric;
END
$$;

COMMENT ON FUNCTION config_number(jsonb, text)
    IS 'a key of a JSON configuration as a number, NULL when absent or null; error 22023 when it is something else';

-- Likewise a date: the day of an ISO-8601 date or timestamp, as it is written.
CREATE FUNCTION config_date(config jsonb, key text)
RETURNS date
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    value text := config ->> key;
    part text[];
    day date;
BEGIN
    IF value IS NULL THEN
        RETURN NULL;
    END IF;
    -- no make_date() with its error caught: a parallel query has no subtransactions
    part := regexp_match(value, '^([0-9]{4})-(0[1-9]|1[0-2])-([0-2][0-9]|3[01])([T ].*)?$');
    IF part[1] <> '0000' AND jsonb_typeof(config -> key) = 'string' THEN
        day := make_date(part[1]::integer, part[2]::integer, 1) + (part[3]::integer - 1);
        -- the 30th of February would be in March, the 0th in January
        IF to_char(day, 'MM') = part[2] THEN
            RETURN day;
        END IF;
    END IF;
    RAISE EXCEPTION 'config key "%" is not a date', key
        USING ERRCODE = 'invalid_parameter_value',
              DETAIL = format('Its value begins with "%s".', left(value, 32)),
              HINT = 'Write it as YYYY-MM-DD.';
END
$$;

COMMENT ON FUNCTION config_date(jsonb, text)
    IS 'a key of a JSON configuration as a date, NULL when absent or null; error 22023 when it is something else';

-- What a stored run is measured by, for the run and for its report.
CREATE FUNCTION configured_metrics(trades jsonb, config jsonb)
RETURNS jsonb
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT fx.backtest_metrics(
               trades,
               coalesce(fx.config_number(config, 'initialBalance'), 10000),
               coalesce(fx.config_number(config, 'riskFreeRate'), 0)::float8,
               coalesce(fx.config_number(config, 'periodsPerYear'), 252)::float8,
               fx.config_date(config, 'startDate'),
               fx.config_date(config, 'endDate'))
$$;

COMMENT ON FUNCTION configured_metrics(jsonb, jsonb)
    IS 'fx.backtest_metrics with the initialBalance (10000), riskFreeRate (0), periodsPerYear (252), startDate and endDate of a backtest''s config; NULL for NULL trades; errors: 22023 bad config, those of fx.backtest_metrics';

CREATE FUNCTION complete_backtest(backtest_id uuid, trades jsonb)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    config jsonb;
    balance numeric;
    metrics jsonb;
BEGIN
    IF trades IS NULL THEN
        RAISE EXCEPTION 'argument "trades" must not be null'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'A strategy that never traded has the trades ''[]''.';
    END IF;

    config := fx.lock_backtest(backtest_id, 'completed');
    metrics := fx.configured_metrics(trades, config);
    balance := (metrics ->> 'initialBalance')::numeric;

    UPDATE fx.backtests b
       SET trades = complete_backtest.trades,
           equity_curve = fx.equity_curve(complete_backtest.trades, balance),
           performance_metrics = metrics,
           results = jsonb_build_object(
               'totalTrades', metrics -> 'totalTrades',
               'netProfit', metrics -> 'netProfit',
               'finalBalance', metrics -> 'finalBalance',
               'totalReturn', metrics -> 'totalReturn',
               'maxDrawdown', metrics -> 'maxDrawdown',
               'sharpeRatio', metrics -> 'sharpeRatio'),
           status = 'completed',
           progress = 100,
           error_message = NULL,
           started_at = coalesce(b.started_at, b.created_at),
           completed_at = clock_timestamp()
     WHERE b.id = backtest_id;

    RETURN metrics;
END
$$;

REVOKE ALL ON FUNCTION complete_backtest(uuid, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION complete_backtest(uuid, jsonb) TO fx_app, fx_user;

COMMENT ON FUNCTION complete_backtest(uuid, jsonb)
    IS 'stores the trades of a pending or running backtest with equity curve, metrics, headline results, status, progress and times, and returns the metrics; config gives initialBalance (10000), riskFreeRate (0), periodsPerYear (252), startDate and endDate; errors: P0002 no such backtest, XF003 not pending or running, 22004 NULL trades, 22023 bad config, those of fx.backtest_metrics';
