CREATE INDEX idx_users_email ON users (email);
CREATE INDEX idx_users_username ON users (username);
CREATE INDEX idx_strategies_user_id ON strategies (user_id);
CREATE INDEX idx_backtests_user_id ON backtests (user_id);
CREATE INDEX idx_trades_user_id ON trades (user_id);
CREATE INDEX idx_market_data_symbol_timeframe ON market_data (symbol, timeframe);
CREATE INDEX idx_market_data_symbol_timeframe_timestamp
    ON market_data (symbol, timeframe, timestamp DESC);
CREATE INDEX idx_audit_log_resource_type ON audit_log (resource_type);
