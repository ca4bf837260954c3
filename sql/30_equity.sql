
-- equity curves

CREATE FUNCTION fx_day(at timestamptz)
RETURNS date
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_fx_day';

COMMENT ON FUNCTION fx_day(timestamptz)
    IS 'date of the FX trading day, which rolls at 17:00 in New York: Sunday 17:00 begins Monday; infinite for infinite times, NULL for NULL';

CREATE FUNCTION fx_day_start(day date)
RETURNS timestamptz
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_fx_day_start';

COMMENT ON FUNCTION fx_day_start(date)
    IS 'when an FX trading day begins: 17:00 in New York on the calendar day before; infinite for an infinite day, error 22008 out of range';

CREATE FUNCTION equity_curve(trades jsonb, initial_balance numeric DEFAULT 10000)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_curve';

COMMENT ON FUNCTION equity_curve(jsonb, numeric)
    IS 'equity of a backtest as a JSON array of {"timestamp","equity","drawdown","drawdownFraction"}: the starting balance (timestamp null), then a point a trade by closing time (UTC); money in account currency, exact; drawdown below the peak so far, positive; NULL for NULL; errors: 22023, 22004, 22003, 22007, 22P02 bad trades or balance (naming the trade, from 0, and the key), 54000 more than a JSON array holds';

CREATE FUNCTION equity_points(
    trades jsonb,
    initial_balance numeric DEFAULT 10000,
    OUT seq integer,
    OUT closed_at timestamptz,
    OUT net_profit numeric,
    OUT equity numeric,
    OUT peak numeric,
    OUT drawdown numeric,
    OUT drawdown_fraction float8)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 1000
AS 'MODULE_PATHNAME', 'fx_equity_points';

COMMENT ON FUNCTION equity_points(jsonb, numeric)
    IS 'the points of fx.equity_curve as rows: seq 0 is the starting balance (closed_at and net_profit NULL), then one a trade by closing time; money in account currency, exact, drawdowns positive; no row for NULL; errors as fx.equity_curve without the limit of JSON arrays';
