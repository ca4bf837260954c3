-- Triggers of the migration.  Safe to run again.

CREATE OR REPLACE TRIGGER trades_backtest_mark_insert
    BEFORE INSERT ON trades
    FOR EACH ROW WHEN (NEW.backtest_id IS NOT NULL AND NOT NEW.is_backtest)
    EXECUTE FUNCTION mark_backtest_trade();
CREATE OR REPLACE TRIGGER trades_backtest_mark_update
    BEFORE UPDATE ON trades
    FOR EACH ROW WHEN ((OLD.is_backtest OR NEW.backtest_id IS NOT NULL) AND NOT NEW.is_backtest)
    EXECUTE FUNCTION mark_backtest_trade();

CREATE OR REPLACE TRIGGER trades_reference_guard
    BEFORE INSERT OR UPDATE OF user_id, strategy_id, backtest_id ON trades
    FOR EACH ROW WHEN (NEW.strategy_id IS NOT NULL OR NEW.backtest_id IS NOT NULL)
    EXECUTE FUNCTION guard_references('strategy_id', 'backtest_id');
CREATE OR REPLACE TRIGGER backtests_reference_guard
    BEFORE INSERT OR UPDATE OF user_id, strategy_id ON backtests
    FOR EACH ROW EXECUTE FUNCTION guard_references('strategy_id');
CREATE OR REPLACE TRIGGER strategies_reference_guard
    BEFORE INSERT OR UPDATE OF user_id, parent_strategy_id ON strategies
    FOR EACH ROW WHEN (NEW.parent_strategy_id IS NOT NULL)
    EXECUTE FUNCTION guard_references('parent_strategy_id');

CREATE OR REPLACE TRIGGER strategies_version_bump
    BEFORE UPDATE ON strategies
    FOR EACH ROW WHEN (NEW.config IS DISTINCT FROM OLD.config
                       AND NEW.version IS NOT DISTINCT FROM OLD.version)
    EXECUTE FUNCTION bump_strategy_version();
