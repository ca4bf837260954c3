DROP TRIGGER IF EXISTS trades_backtest_mark_insert ON trades;
DROP TRIGGER IF EXISTS trades_backtest_mark_update ON trades;
DROP TRIGGER IF EXISTS trades_reference_guard ON trades;
DROP TRIGGER IF EXISTS backtests_reference_guard ON backtests;
DROP TRIGGER IF EXISTS strategies_reference_guard ON strategies;
DROP TRIGGER IF EXISTS strategies_version_bump ON strategies;
ALTER TABLE trades DROP COLUMN is_backtest;
