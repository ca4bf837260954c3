CREATE INDEX idx_trades_executed_narrow ON trades (user_id, executed_at DESC)
    WHERE status = 'executed';
DROP INDEX IF EXISTS idx_trades_executed;
ALTER INDEX idx_trades_executed_narrow RENAME TO idx_trades_executed;
