ALTER TABLE market_data
    DROP CONSTRAINT chk_market_data_timeframe,
    DROP CONSTRAINT chk_market_data_timestamp,
    DROP CONSTRAINT chk_market_data_prices,
    DROP CONSTRAINT chk_market_data_volume;

ALTER TABLE risk_limits
    DROP CONSTRAINT chk_risk_limits_limit_type,
    DROP CONSTRAINT chk_risk_limits_limit_value,
    DROP CONSTRAINT chk_risk_limits_current_value;

ALTER TABLE trades
    DROP CONSTRAINT chk_trades_type,
    DROP CONSTRAINT chk_trades_order_type,
    DROP CONSTRAINT chk_trades_status,
    DROP CONSTRAINT chk_trades_numbers,
    DROP CONSTRAINT chk_trades_commission,
    DROP CONSTRAINT chk_trades_executed_at,
    DROP CONSTRAINT chk_trades_closed_at,
    DROP CONSTRAINT chk_trades_metadata;

ALTER TABLE backtests
    DROP CONSTRAINT chk_backtests_status,
    DROP CONSTRAINT chk_backtests_progress,
    DROP CONSTRAINT chk_backtests_json,
    DROP CONSTRAINT chk_backtests_total_return;

ALTER TABLE strategies
    DROP CONSTRAINT chk_strategies_type,
    DROP CONSTRAINT chk_strategies_status,
    DROP CONSTRAINT chk_strategies_json;

ALTER TABLE users
    DROP CONSTRAINT chk_users_email,
    DROP CONSTRAINT chk_users_preferences;
