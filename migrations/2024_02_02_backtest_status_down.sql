DROP TRIGGER IF EXISTS guard_backtests_status ON backtests;
ALTER TABLE backtests
    ALTER COLUMN trades SET COMPRESSION default,
    ALTER COLUMN equity_curve SET COMPRESSION default;
