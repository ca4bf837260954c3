
-- trades as JSON text: an untyped literal would fit jsonb as well as equity, and
-- the parser prefers text to both

CREATE FUNCTION equity_curve(trades text, initial_balance numeric DEFAULT 10000)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_equity_curve_of_text';

COMMENT ON FUNCTION equity_curve(text, numeric)
    IS 'fx.equity_curve of trades as JSON text; error 22P02 when it is not JSON';

CREATE FUNCTION equity_points(
    trades text,
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
AS 'MODULE_PATHNAME', 'fx_equity_points_of_text';

COMMENT ON FUNCTION equity_points(text, numeric)
    IS 'fx.equity_points of trades as JSON text; error 22P02 when it is not JSON';

CREATE FUNCTION backtest_metrics(
    trades text,
    initial_balance numeric DEFAULT 10000,
    risk_free_rate float8 DEFAULT 0,
    periods_per_year float8 DEFAULT 252,
    period_start date DEFAULT NULL,
    period_end date DEFAULT NULL)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_backtest_metrics_of_text';

COMMENT ON FUNCTION backtest_metrics(text, numeric, float8, float8, date, date)
    IS 'fx.backtest_metrics of trades as JSON text; error 22P02 when it is not JSON';

CREATE FUNCTION drawdowns(
    trades text,
    initial_balance numeric DEFAULT 10000,
    top integer DEFAULT 10,
    OUT rank integer,
    OUT peak_at timestamptz,
    OUT trough_at timestamptz,
    OUT recovered_at timestamptz,
    OUT peak numeric,
    OUT trough numeric,
    OUT drawdown numeric,
    OUT drawdown_fraction float8,
    OUT trade_count bigint,
    OUT length interval)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 10
AS 'MODULE_PATHNAME', 'fx_drawdowns_of_text';

COMMENT ON FUNCTION drawdowns(text, numeric, integer)
    IS 'fx.drawdowns of trades as JSON text; error 22P02 when it is not JSON';

CREATE FUNCTION monthly_returns(
    trades text,
    initial_balance numeric DEFAULT 10000,
    OUT month date,
    OUT trade_count bigint,
    OUT net_profit numeric,
    OUT equity numeric,
    OUT return_fraction float8)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 36
AS 'MODULE_PATHNAME', 'fx_monthly_returns_of_text';

COMMENT ON FUNCTION monthly_returns(text, numeric)
    IS 'fx.monthly_returns of trades as JSON text; error 22P02 when it is not JSON';

CREATE FUNCTION monte_carlo(
    trades text,
    initial_balance numeric DEFAULT 10000,
    runs integer DEFAULT 1000,
    seed bigint DEFAULT 1,
    with_replacement boolean DEFAULT false,
    OUT percentile float8,
    OUT final_balance numeric,
    OUT max_drawdown numeric,
    OUT max_drawdown_fraction float8)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 9
AS 'MODULE_PATHNAME', 'fx_monte_carlo_of_text';

COMMENT ON FUNCTION monte_carlo(text, numeric, integer, bigint, boolean)
    IS 'fx.monte_carlo of trades as JSON text; error 22P02 when it is not JSON';
