
-- equity from rows

CREATE TYPE equity;

CREATE FUNCTION equity_in(cstring)
RETURNS equity
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_in';

COMMENT ON FUNCTION equity_in(cstring)
    IS 'text input of type equity; errors: 22P02 malformed or impossible, 0A000 version of a newer fxplatform';

CREATE FUNCTION equity_out(equity)
RETURNS cstring
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_out';

COMMENT ON FUNCTION equity_out(equity)
    IS 'text output of type equity';

CREATE FUNCTION equity_recv(internal)
RETURNS equity
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_recv';

COMMENT ON FUNCTION equity_recv(internal)
    IS 'binary input of type equity; errors: 22P03 impossible, 08P01 malformed, 0A000 version of a newer fxplatform';

CREATE FUNCTION equity_send(equity)
RETURNS bytea
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_send';

COMMENT ON FUNCTION equity_send(equity)
    IS 'binary output of type equity';

CREATE TYPE equity (
    INPUT = equity_in,
    OUTPUT = equity_out,
    RECEIVE = equity_recv,
    SEND = equity_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = double,
    STORAGE = extended
);

COMMENT ON TYPE equity
    IS 'the trades of an equity curve, 24 bytes each, exact, by closing time (at the same moment losses first); made by fx.equity_agg, merged by fx.rollup, read by fx.equity_curve, fx.equity_points, fx.backtest_metrics, fx.drawdowns, fx.monthly_returns and fx.monte_carlo; at most 44,739,241 trades';

-- aggregates: the state is the value

CREATE FUNCTION equity_accum(equity, closed_at timestamptz, net_profit numeric)
RETURNS equity
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_accum';

COMMENT ON FUNCTION equity_accum(equity, timestamptz, numeric)
    IS 'adds a trade; NULL net_profit adds none; errors: 22004 NULL closed_at, 22008 closed_at out of range, 22003 NaN, infinite or out of range, 54000 too many trades';

CREATE FUNCTION equity_accum(equity, closed_at timestamptz, profit numeric, commission numeric, swap numeric, executed_at timestamptz)
RETURNS equity
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_accum_costs';

COMMENT ON FUNCTION equity_accum(equity, timestamptz, numeric, numeric, numeric, timestamptz)
    IS 'adds a trade with net profit - commission + swap; NULL profit adds none, a NULL cost is none, of the times one may be NULL; errors: 22004 both times NULL, 22008 time out of range, 22023 closed before executed, 22003 NaN, infinite or out of range, 54000 too many trades';

CREATE FUNCTION equity_combine(equity, equity)
RETURNS equity
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_combine';

COMMENT ON FUNCTION equity_combine(equity, equity)
    IS 'the trades of both; NULL has none; errors: 54000 too many trades, 22003 costs out of range';

CREATE AGGREGATE equity_agg(closed_at timestamptz, net_profit numeric) (
    SFUNC = equity_accum,
    STYPE = equity,
    COMBINEFUNC = equity_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE equity_agg(timestamptz, numeric)
    IS 'trades kept as rows, for their equity curve and metrics, whatever order they come in; net_profit in account currency; rows with NULL net_profit are skipped; NULL over no rows; errors as fx.equity_accum';

CREATE AGGREGATE equity_agg(closed_at timestamptz, profit numeric, commission numeric, swap numeric, executed_at timestamptz) (
    SFUNC = equity_accum,
    STYPE = equity,
    COMBINEFUNC = equity_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE equity_agg(timestamptz, numeric, numeric, numeric, timestamptz)
    IS 'the same by profit - commission + swap, and with the times of opening, from which holding and exposure follow; closed_at falls back to executed_at; errors as fx.equity_accum';

CREATE AGGREGATE rollup(equity) (
    SFUNC = equity_combine,
    STYPE = equity,
    COMBINEFUNC = equity_combine,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE rollup(equity) IS 'the trades of all values in one; NULLs are skipped, NULL over no rows; errors: 54000 too many trades';

-- accessors

CREATE FUNCTION trade_count(equity)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_trade_count';

COMMENT ON FUNCTION trade_count(equity)
    IS 'number of trades; NULL for NULL';

CREATE FUNCTION net_profit(equity)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_net_profit';

COMMENT ON FUNCTION net_profit(equity)
    IS 'sum of the net profits in account currency; NULL for NULL';

CREATE FUNCTION equity_curve(trades equity, initial_balance numeric DEFAULT 10000)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_curve_of_equity';

COMMENT ON FUNCTION equity_curve(equity, numeric)
    IS 'fx.equity_curve of trades gathered by fx.equity_agg';

CREATE FUNCTION equity_points(
    trades equity,
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
AS 'MODULE_PATHNAME', 'fx_equity_points_of_equity';

COMMENT ON FUNCTION equity_points(equity, numeric)
    IS 'fx.equity_points of trades gathered by fx.equity_agg';

CREATE FUNCTION backtest_metrics(
    trades equity,
    initial_balance numeric DEFAULT 10000,
    risk_free_rate float8 DEFAULT 0,
    periods_per_year float8 DEFAULT 252,
    period_start date DEFAULT NULL,
    period_end date DEFAULT NULL)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_backtest_metrics_of_equity';

COMMENT ON FUNCTION backtest_metrics(equity, numeric, float8, float8, date, date)
    IS 'fx.backtest_metrics of trades gathered by fx.equity_agg; costs that were not given are 0';
