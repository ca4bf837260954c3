
-- metrics of a strategy's live trades

CREATE FUNCTION strategy_metrics(
    strategy_id uuid,
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    initial_balance numeric DEFAULT NULL,
    risk_free_rate float8 DEFAULT 0,
    periods_per_year float8 DEFAULT 252)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    preferences jsonb;
    gathered fx.equity;
BEGIN
    IF strategy_id IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT u.preferences INTO preferences
      FROM fx.strategies s JOIN fx.users u ON u.id = s.user_id
     WHERE s.id = strategy_metrics.strategy_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'strategy "%" does not exist', strategy_id
            USING ERRCODE = 'no_data_found';
    END IF;

    SELECT fx.equity_agg(t.closed_at, t.profit, t.commission, t.swap, t.executed_at) INTO gathered
      FROM fx.trades t
     WHERE t.strategy_id = strategy_metrics.strategy_id
       AND t.status = 'executed'
       AND NOT t.is_backtest
       AND (since IS NULL OR coalesce(t.closed_at, t.executed_at) >= since)
       AND (until IS NULL OR coalesce(t.closed_at, t.executed_at) < until);

    initial_balance := coalesce(
        initial_balance, nullif(fx.account_initial_balance(preferences), 0), 10000);
    IF gathered IS NULL THEN
        RETURN fx.backtest_metrics(jsonb '[]', initial_balance, risk_free_rate, periods_per_year);
    END IF;
    RETURN fx.backtest_metrics(gathered, initial_balance, risk_free_rate, periods_per_year);
END
$$;

COMMENT ON FUNCTION strategy_metrics(uuid, timestamptz, timestamptz, numeric, float8, float8)
    IS 'the metrics of fx.backtest_metrics for the executed trades of a strategy that have a profit, without those of backtests; by closing time (executed_at without one) from since to until, until excluded, NULL without bound; initial_balance NULL: the account''s, else 10000; NULL for a NULL strategy; errors: P0002 no such strategy, those of fx.backtest_metrics';
