
-- drawdowns, months and other orders of the trades

CREATE FUNCTION drawdowns(
    trades jsonb,
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
AS 'MODULE_PATHNAME', 'fx_drawdowns';

COMMENT ON FUNCTION drawdowns(jsonb, numeric, integer)
    IS 'the worst drawdowns, by share of the peak: peak_at NULL where it is the starting balance, recovered_at NULL while it lasts; equity and drawdown in account currency, drawdown positive; trades and time from the peak to the recovery or the last trade (from the first opening where the peak is the start); times and length NULL for trades without times; errors: 22023 top below 1, those of fx.equity_points';

CREATE FUNCTION monthly_returns(
    trades jsonb,
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
AS 'MODULE_PATHNAME', 'fx_monthly_returns';

COMMENT ON FUNCTION monthly_returns(jsonb, numeric)
    IS 'months of FX days from the first opening to the last closing, without a gap: trades closed, their net profit, equity at the end (account currency) and return on the equity before (NULL where that was not above zero); no row for trades without times; errors as fx.equity_points';

CREATE FUNCTION monte_carlo(
    trades jsonb,
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
AS 'MODULE_PATHNAME', 'fx_monte_carlo';

COMMENT ON FUNCTION monte_carlo(jsonb, numeric, integer, bigint, boolean)
    IS 'percentiles of final balance and of the deepest drawdown (money, and share of the peak; each column by itself, ascending) over runs with the trades in random order, in which the final balance is always the same, or drawn with replacement; the same seed gives the same result; drawdown share NULL without trades; errors: 22023 runs not between 1 and 1,000,000, those of fx.equity_points';

CREATE FUNCTION drawdowns(
    trades equity,
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
AS 'MODULE_PATHNAME', 'fx_drawdowns_of_equity';

COMMENT ON FUNCTION drawdowns(equity, numeric, integer)
    IS 'fx.drawdowns of trades gathered by fx.equity_agg';

CREATE FUNCTION monthly_returns(
    trades equity,
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
AS 'MODULE_PATHNAME', 'fx_monthly_returns_of_equity';

COMMENT ON FUNCTION monthly_returns(equity, numeric)
    IS 'fx.monthly_returns of trades gathered by fx.equity_agg';

CREATE FUNCTION monte_carlo(
    trades equity,
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
AS 'MODULE_PATHNAME', 'fx_monte_carlo_of_equity';

COMMENT ON FUNCTION monte_carlo(equity, numeric, integer, bigint, boolean)
    IS 'fx.monte_carlo of trades gathered by fx.equity_agg';
