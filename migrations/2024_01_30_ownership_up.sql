-- A trade of a backtest is one for good: deleting the backtest clears
-- backtest_id, and must not turn its trades into live ones.

ALTER TABLE trades ADD COLUMN is_backtest BOOLEAN NOT NULL DEFAULT false;
UPDATE trades SET is_backtest = true WHERE backtest_id IS NOT NULL;

COMMENT ON COLUMN trades.is_backtest IS 'Set once backtest_id was set, for good; such trades count in no live figure';
