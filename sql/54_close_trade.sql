
-- closing a trade

CREATE FUNCTION close_trade(
    trade_id uuid,
    close_price numeric,
    closed_at timestamptz DEFAULT NULL,
    commission numeric DEFAULT 0,
    swap numeric DEFAULT NULL,
    quantity numeric DEFAULT NULL)
RETURNS numeric
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_close_trade';

COMMENT ON FUNCTION close_trade(uuid, numeric, timestamptz, numeric, numeric, numeric)
    IS 'closes an executed trade, or quantity units of it, at a price and returns what this brought, gross, in the account''s currency: realized in the quote currency against the average price of the position (netting) or the trade''s own (fifo, hedging), converted at the rate of closed_at (NULL: now), rounded once to eight decimals; rate, pair and time are kept in the trade and in fx.closures; commission (NULL: 0) and swap are added to those of the trade, swap NULL is computed from the points of the instrument for the nights from executed_at to closed_at; errors: 22004 no trade or price, 22023 no such trade (that the caller may see and update), one of a backtest, or an argument out of range, XF002 the account is halted, XF003 the trade is not open, or not the oldest of a fifo account, XF004 no rate or cost is known';

REVOKE ALL ON FUNCTION close_trade(uuid, numeric, timestamptz, numeric, numeric, numeric) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION close_trade(uuid, numeric, timestamptz, numeric, numeric, numeric) TO fx_app, fx_user;
