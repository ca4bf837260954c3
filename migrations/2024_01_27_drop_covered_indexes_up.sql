-- Indexes of the first migration that another one serves as well: each is
-- the prefix of its cover, or its mirror.  They cost load speed and memory
-- and answer no query of their own.

DROP INDEX idx_users_email;                             -- users_email_key (email)
DROP INDEX idx_users_username;                          -- users_username_key (username)
DROP INDEX idx_strategies_user_id;                      -- idx_strategies_user_status_created (user_id, ...)
DROP INDEX idx_backtests_user_id;                       -- idx_backtests_user_status_created (user_id, ...)
DROP INDEX idx_trades_user_id;                          -- idx_trades_user_symbol_executed (user_id, ...)
DROP INDEX idx_market_data_symbol_timeframe;            -- idx_market_data_unique (symbol, timeframe, ...)
DROP INDEX idx_market_data_symbol_timeframe_timestamp;  -- idx_market_data_unique, read backwards
DROP INDEX idx_audit_log_resource_type;                 -- idx_audit_log_resource (resource_type, ...)
