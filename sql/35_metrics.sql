
-- performance metrics

CREATE FUNCTION backtest_metrics(
    trades jsonb,
    initial_balance numeric DEFAULT 10000,
    risk_free_rate float8 DEFAULT 0,
    periods_per_year float8 DEFAULT 252,
    period_start date DEFAULT NULL,
    period_end date DEFAULT NULL)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_backtest_metrics';

COMMENT ON FUNCTION backtest_metrics(jsonb, numeric, float8, float8, date, date)
    IS 'performance metrics of a backtest as a JSON object; money in account currency, exact, losses negative, drawdowns positive; rates as fractions; times in UTC; undefined is null; daily metrics by weekdays of FX days from period_start to period_end (NULL: from the first opening to the last closing); risk_free_rate a year; NULL when one of the first four arguments is; errors: those of fx.equity_points, 22023 a rate or period out of range or a trade outside the period; definitions in doc/metrics.md';
