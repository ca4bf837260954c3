DROP TRIGGER IF EXISTS users_open_account ON users;
DROP TRIGGER IF EXISTS users_follow_preferences ON users;
DROP TRIGGER IF EXISTS trades_lifecycle ON trades;
DROP TRIGGER IF EXISTS trades_risk_insert ON trades;
DROP TRIGGER IF EXISTS trades_risk_update ON trades;
DROP TRIGGER IF EXISTS trades_risk_delete ON trades;
DROP TRIGGER IF EXISTS trades_risk_truncate ON trades;
DROP TRIGGER IF EXISTS risk_limits_guard ON risk_limits;
DROP TRIGGER IF EXISTS risk_limits_refresh_insert ON risk_limits;
DROP TRIGGER IF EXISTS risk_limits_refresh_update ON risk_limits;
DROP TRIGGER IF EXISTS risk_limits_refresh_delete ON risk_limits;
DROP TRIGGER IF EXISTS risk_limits_refresh_truncate ON risk_limits;
DROP TRIGGER IF EXISTS instruments_forget_prices ON instruments;
DROP INDEX IF EXISTS idx_trades_open, idx_trades_closed, idx_risk_limits_strategy_id;
ALTER TABLE risk_limits
    DROP CONSTRAINT chk_risk_limits_type,
    DROP CONSTRAINT chk_risk_limits_order_rate,
    DROP COLUMN symbol,
    DROP COLUMN currency,
    DROP COLUMN strategy_id,
    DROP COLUMN action,
    DROP COLUMN warning_level,
    DROP COLUMN anchor,
    DROP COLUMN basis,
    DROP COLUMN breach_op,
    DROP COLUMN lock_at,
    DROP COLUMN window_seconds,
    DROP COLUMN cooldown_seconds,
    DROP CONSTRAINT IF EXISTS chk_risk_limits_unit,
    RESET (fillfactor);
ALTER TABLE trades
    DROP COLUMN open_quantity,
    DROP COLUMN close_price,
    DROP COLUMN profit_source,
    DROP COLUMN position_method,
    DROP COLUMN conversion_rate,
    DROP COLUMN conversion_pair,
    DROP COLUMN conversion_at;
DROP TABLE risk_limit_state, risk_presets, risk_events, cash_flows, closures, positions, accounts;
COMMENT ON COLUMN risk_limits.current_value IS 'The measure now, in its own units also where the limit is a percentage; NULL when unknown';
