
-- lifecycle of trades
--
-- In C, because they run for every trade.

CREATE FUNCTION guard_trade()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_guard_trade';

COMMENT ON FUNCTION guard_trade()
    IS 'trigger, BEFORE INSERT OR UPDATE FOR EACH ROW on fx.trades: pending goes to executed, cancelled or rejected, executed to closed (closed_at is set), nothing goes back; of an executed trade user_id, symbol, type, quantity, executed_at and the price, once it is known, stay as they are; open_quantity, profit_source, position_method and conversion_* are the platform''s, close_price comes with closed_at, and that not while the trade is pending; a profit that the application writes over a computed one makes it the application''s; trades of backtests are free; errors: XF003 an illegal change, 22008 a time that is not finite';

CREATE FUNCTION apply_trade_risk()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_apply_trade_risk';

COMMENT ON FUNCTION apply_trade_risk()
    IS 'trigger, AFTER INSERT, UPDATE or DELETE FOR EACH STATEMENT on fx.trades with transition tables, and AFTER TRUNCATE: books executions and closings in fx.accounts, fx.positions and fx.closures, row by row in order, and refuses what limits of the user do not allow; what was removed is taken out by fx.rebuild_risk_state; errors: XF001 refused by limits, XF002 the account is halted or may only reduce positions, XF004 the profit of a closing cannot be computed, 40001 the account has changed since the snapshot (REPEATABLE READ and SERIALIZABLE), 55000 and 0A000 one statement does to trades what takes two';

REVOKE ALL ON FUNCTION guard_trade() FROM PUBLIC;
REVOKE ALL ON FUNCTION apply_trade_risk() FROM PUBLIC;
