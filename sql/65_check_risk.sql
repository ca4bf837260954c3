
-- risk check of an order

CREATE TYPE risk_check AS (
    limit_id uuid,
    type text,
    limit_value numeric,
    current_value numeric,
    projected_value numeric,
    utilization_percentage numeric,
    allowed boolean,
    reason text
);

COMMENT ON TYPE risk_check
    IS 'what an order would do to one limit: the measure before and after it, in percent where the limit is and else in its own units, percent of the bound used after it, whether the limit allows it, and why not';

CREATE FUNCTION check_risk(user_id uuid, symbol text, type text, quantity numeric, price numeric)
RETURNS SETOF risk_check
LANGUAGE C
STABLE
PARALLEL SAFE
ROWS 10
AS 'MODULE_PATHNAME', 'fx_check_risk';

COMMENT ON FUNCTION check_risk(uuid, text, text, numeric, numeric)
    IS 'what an order (type buy or sell, quantity in units of the base currency; without a price it is taken to be executed at the market) would do to each active limit of the user that applies to it, at this moment and by the latest prices, one row a limit, what is not known first, then the most used; one more row of type trading_state, without limit_id, when the account itself is halted or may only reduce positions; changes nothing; the judgement is that of a trade inserted as executed without a strategy; no rows for a NULL user and for an account that the caller cannot see; errors: 22004 NULL symbol, type or quantity, 22023 bad type, quantity or price, 22003 quantity or price out of range, 42501 without the right to read fx.accounts and fx.risk_limits';

CREATE FUNCTION what_if(user_id uuid, trades jsonb)
RETURNS TABLE (
    trade integer,
    symbol text,
    type text,
    quantity numeric,
    price numeric,
    allowed boolean,
    state text,
    limits jsonb
)
LANGUAGE C
STABLE STRICT
PARALLEL SAFE
ROWS 10
AS 'MODULE_PATHNAME', 'fx_what_if';

COMMENT ON FUNCTION what_if(uuid, jsonb)
    IS 'what the limits of a user would say to orders given one after the other: trades is an array of at most 10000 objects with symbol, type (buy or sell), quantity (units) and, if it has one, price, as numbers or strings; one row each in their order, trade being the index from 0; each is judged as by fx.check_risk with those before it that were allowed executed; limits are those that refuse it or are breached, as in the detail of error XF001, state is the trading state that it met; changes nothing; no rows for NULL and for an account that the caller cannot see; errors: 22023, 22004, 22P02 or 22003 naming the index and the key, 54000 too many, 42501 without the right to read fx.accounts and fx.risk_limits';
