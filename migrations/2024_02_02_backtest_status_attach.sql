CREATE OR REPLACE TRIGGER guard_backtests_status
    BEFORE UPDATE OF status ON backtests
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION guard_backtest_status();
