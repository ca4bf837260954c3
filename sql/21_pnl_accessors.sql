
-- what can be read from P&L

CREATE FUNCTION trade_count(pnl)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_trade_count';

COMMENT ON FUNCTION trade_count(pnl) IS 'number of trades';

CREATE FUNCTION win_count(pnl)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_win_count';

COMMENT ON FUNCTION win_count(pnl) IS 'number of trades with a net profit above zero';

CREATE FUNCTION loss_count(pnl)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_loss_count';

COMMENT ON FUNCTION loss_count(pnl) IS 'number of trades with a net profit below zero';

CREATE FUNCTION breakeven_count(pnl)
RETURNS bigint
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_breakeven_count';

COMMENT ON FUNCTION breakeven_count(pnl) IS 'number of trades with a net profit of zero';

CREATE FUNCTION gross_profit(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_gross_profit';

COMMENT ON FUNCTION gross_profit(pnl) IS 'sum of the net profits of winning trades, in account currency';

CREATE FUNCTION gross_loss(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_gross_loss';

COMMENT ON FUNCTION gross_loss(pnl) IS 'sum of the net profits of losing trades, zero or negative, in account currency';

CREATE FUNCTION commission(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_commission';

COMMENT ON FUNCTION commission(pnl) IS 'sum of commissions, a cost, in account currency';

CREATE FUNCTION swap(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_swap';

COMMENT ON FUNCTION swap(pnl) IS 'sum of swaps, negative when paid, in account currency';

CREATE FUNCTION net_profit(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_net_profit';

COMMENT ON FUNCTION net_profit(pnl) IS 'sum of profit - commission + swap, in account currency';

CREATE FUNCTION average_profit(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_average_profit';

COMMENT ON FUNCTION average_profit(pnl) IS 'mean net profit of all trades, in account currency; NULL without trades';

CREATE FUNCTION average_win(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_average_win';

COMMENT ON FUNCTION average_win(pnl) IS 'mean net profit of winning trades, in account currency; NULL without one';

CREATE FUNCTION average_loss(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_average_loss';

COMMENT ON FUNCTION average_loss(pnl) IS 'mean net profit of losing trades, negative, in account currency; NULL without one';

CREATE FUNCTION largest_win(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_largest_win';

COMMENT ON FUNCTION largest_win(pnl) IS 'highest net profit of a winning trade, in account currency; NULL without one';

CREATE FUNCTION largest_loss(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_largest_loss';

COMMENT ON FUNCTION largest_loss(pnl) IS 'lowest net profit of a losing trade, negative, in account currency; NULL without one';

CREATE FUNCTION expectancy(pnl)
RETURNS numeric
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_expectancy';

COMMENT ON FUNCTION expectancy(pnl) IS 'mean net profit of all trades, break-even ones included, in account currency; NULL without trades';

CREATE FUNCTION win_rate(pnl)
RETURNS float8
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_win_rate';

COMMENT ON FUNCTION win_rate(pnl) IS 'winning trades as a fraction of all trades; NULL without trades';

CREATE FUNCTION profit_factor(pnl)
RETURNS float8
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_profit_factor';

COMMENT ON FUNCTION profit_factor(pnl) IS 'gross profit over gross loss, without sign; NULL without losing trades';

CREATE FUNCTION payoff_ratio(pnl)
RETURNS float8
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_payoff_ratio';

COMMENT ON FUNCTION payoff_ratio(pnl) IS 'average win over average loss, without sign; NULL without winning or without losing trades';

CREATE FUNCTION stddev(pnl)
RETURNS float8
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_stddev';

COMMENT ON FUNCTION stddev(pnl) IS 'sample standard deviation of net profits (divisor n - 1), in account currency; NULL for fewer than two trades';

CREATE TYPE pnl_summary AS (
    trade_count bigint,
    win_count bigint,
    loss_count bigint,
    breakeven_count bigint,
    gross_profit numeric,
    gross_loss numeric,
    commission numeric,
    swap numeric,
    net_profit numeric,
    average_profit numeric,
    average_win numeric,
    average_loss numeric,
    largest_win numeric,
    largest_loss numeric,
    expectancy numeric,
    win_rate float8,
    profit_factor float8,
    payoff_ratio float8,
    stddev float8
);

COMMENT ON TYPE pnl_summary
    IS 'every accessor of type pnl as a column; money in account currency, rates as fractions, NULL where undefined';

CREATE FUNCTION summary(pnl)
RETURNS pnl_summary
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_summary';

COMMENT ON FUNCTION summary(pnl) IS 'all accessors of a value at once, as a row';

CREATE FUNCTION pnl_to_jsonb(pnl)
RETURNS jsonb
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_pnl_to_jsonb';

COMMENT ON FUNCTION pnl_to_jsonb(pnl)
    IS 'all accessors of a value as a JSON object (tradeCount, netProfit, ...); money without trailing zeros, undefined as null';

CREATE CAST (pnl AS pnl_summary) WITH FUNCTION summary(pnl);
CREATE CAST (pnl AS jsonb) WITH FUNCTION pnl_to_jsonb(pnl);
