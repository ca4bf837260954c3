
-- P&L of a user's trades by what they have in common, planned as in
-- fx.trade_performance

CREATE FUNCTION pnl_report(
    user_id uuid,
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    "by" text DEFAULT 'symbol')
RETURNS TABLE (
    group_key text,
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
)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET seq_page_cost = 0.01
SET random_page_cost = 0.01
AS $$
DECLARE
    -- what to group by, and what groups with an order of their own are sorted by
    grouping text;
    sorting text := 'NULL';
BEGIN
    IF "by" IS NULL THEN
        RAISE EXCEPTION 'argument "by" must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    CASE "by"
        WHEN 'fx_day', 'day' THEN
            grouping := $q$to_char(fx.fx_day(t.executed_at), 'YYYY-MM-DD')$q$;
            sorting := 'min(t.executed_at)';
        WHEN 'week' THEN
            grouping := $q$to_char(fx.fx_day(t.executed_at), 'IYYY-"W"IW')$q$;
            sorting := 'min(t.executed_at)';
        WHEN 'month' THEN
            grouping := $q$to_char(fx.fx_day(t.executed_at), 'YYYY-MM')$q$;
            sorting := 'min(t.executed_at)';
        WHEN 'weekday' THEN
            grouping := $q$to_char(fx.fx_day(t.executed_at), 'FMDay')$q$;
            sorting := 'min(extract(isodow FROM fx.fx_day(t.executed_at)))';
        WHEN 'hour' THEN
            grouping := $q$to_char(t.executed_at AT TIME ZONE 'America/New_York', 'HH24')$q$;
            sorting := $q$min(extract(hour FROM t.executed_at AT TIME ZONE 'America/New_York'))$q$;
        WHEN 'symbol' THEN
            grouping := 't.symbol';
        WHEN 'strategy' THEN
            grouping := 't.strategy_id';
        WHEN 'side' THEN
            grouping := 't.type';
        WHEN 'reason_code' THEN
            grouping := 't.reason_code';
        ELSE
            -- 16 characters are at most 64 bytes
            RAISE EXCEPTION 'argument "by" must not be "%"', left("by", 16)
                USING ERRCODE = 'invalid_parameter_value',
                      HINT = 'Valid values are symbol, strategy, fx_day, week, month, weekday, hour, side and reason_code.';
    END CASE;

    -- the texts above are all that is put into the statement
    RETURN QUERY EXECUTE format($q$
        SELECT g.group_key::text, s.*
          FROM (SELECT %s AS group_key, %s AS place,
                       fx.pnl_agg(t.profit, t.commission, t.swap) AS pnl
                  FROM fx.trades t
                 WHERE t.user_id = $1
                   AND t.status = 'executed'
                   AND NOT t.is_backtest
                   AND t.executed_at >= (SELECT coalesce($2, '-infinity'))
                   AND ($3 IS NULL OR t.executed_at < (SELECT $3))
                 GROUP BY 1) g
         CROSS JOIN LATERAL fx.summary(g.pnl) s
         WHERE g.pnl IS NOT NULL
         ORDER BY g.place, s.net_profit DESC, g.group_key$q$, grouping, sorting)
        USING pnl_report.user_id, since, until;
END
$$;

COMMENT ON FUNCTION pnl_report(uuid, timestamptz, timestamptz, text)
    IS 'net P&L (profit - commission + swap) of a user''s executed trades by symbol, strategy (id), fx_day (or day), week (ISO), month, weekday (all of the FX day), hour (New York), side or reason_code, without those of backtests and those without profit; one row a group, times in their order, others by net profit; columns as fx.pnl_summary; executed_at from since to until, until excluded, NULL without bound; no row for a NULL user; errors: 22004 NULL by, 22023 any other by';
