CREATE INDEX idx_trades_user_symbol_narrow ON trades (user_id, symbol, executed_at DESC);
DROP INDEX idx_trades_user_symbol_executed;
ALTER INDEX idx_trades_user_symbol_narrow RENAME TO idx_trades_user_symbol_executed;
