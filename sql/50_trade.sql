
-- trades

-- The trades of a user go by idx_trades_executed, whatever the statistics say.
-- The planner takes them for scattered over the table, and those of all users in
-- the order of their time for close together: by the pages it would now and then
-- read what everybody has traded since, or the whole table.  So it is to count
-- rows, not pages, and not to know since when: of a time that is later than its
-- statistics it thinks that hardly anything has happened since, to anybody.
CREATE FUNCTION trade_performance(user_id uuid, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL)
RETURNS TABLE (
    symbol text,
    trade_count bigint,
    total_profit numeric,
    avg_profit numeric,
    win_rate float8,
    net_profit numeric,
    commission numeric,
    swap numeric,
    net_win_count bigint,
    net_loss_count bigint,
    net_breakeven_count bigint,
    net_gross_profit numeric,
    net_gross_loss numeric,
    net_average_win numeric,
    net_average_loss numeric,
    net_largest_win numeric,
    net_largest_loss numeric,
    net_expectancy numeric,
    net_win_rate float8,
    net_profit_factor float8,
    net_payoff_ratio float8,
    net_stddev float8
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET seq_page_cost = 0.01
SET random_page_cost = 0.01
AS $$
BEGIN
    -- PL/pgSQL keeps the plan, which takes longer to make than it takes to run
    -- for a user of few trades
    RETURN QUERY
    SELECT g.symbol,
           g.trade_count,
           fx.net_profit(g.gross),
           fx.net_profit(g.gross) / fx.trade_count(g.gross),
           coalesce(fx.win_count(g.gross), 0)::float8 / g.trade_count,
           n.net_profit, n.commission, n.swap,
           n.win_count, n.loss_count, n.breakeven_count,
           n.gross_profit, n.gross_loss, n.average_win, n.average_loss,
           n.largest_win, n.largest_loss, n.expectancy,
           n.win_rate, n.profit_factor, n.payoff_ratio, n.stddev
      FROM (SELECT t.symbol::text AS symbol,
                   count(*) AS trade_count,
                   fx.pnl_agg(t.profit) AS gross,
                   fx.pnl_agg(t.profit, t.commission, t.swap) AS net
              FROM fx.trades t
             WHERE t.user_id = trade_performance.user_id
               AND t.status = 'executed'
               AND NOT t.is_backtest
               AND t.executed_at >= (SELECT coalesce(since, '-infinity'))
               AND (until IS NULL OR t.executed_at < (SELECT until))
             GROUP BY t.symbol) g
      LEFT JOIN LATERAL fx.summary(g.net) n ON true
     ORDER BY 3 DESC NULLS LAST, g.symbol;
END
$$;

COMMENT ON FUNCTION trade_performance(uuid, timestamptz, timestamptz)
    IS 'executed trades of a user by symbol, most profitable first, without those of backtests; the first five columns go by gross profit as the platform''s query does, those with "net" by profit - commission + swap; money in account currency, rates as fractions, NULL where undefined; executed_at from since to until, until excluded, NULL without bound; no row for a NULL user';

-- A backtest's trade stays one when backtest_id is cleared.
CREATE FUNCTION mark_backtest_trade()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.is_backtest := true;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION mark_backtest_trade()
    IS 'trigger, BEFORE INSERT OR UPDATE FOR EACH ROW on fx.trades: sets is_backtest';

-- In C, because it runs for every trade of a strategy
CREATE FUNCTION guard_references()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_guard_references';

COMMENT ON FUNCTION guard_references()
    IS 'trigger, BEFORE INSERT OR UPDATE FOR EACH ROW, arguments: the column that refers to a strategy and, optionally, that which refers to a backtest; refuses (23503) a backtest of another user than user_id, and a strategy of another user unless it is public';
