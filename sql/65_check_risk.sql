
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
    IS 'what an order would do to one limit: the measure before and after it in its own units, percent of the bound used after it, whether the limit allows it, and why not';

-- Measures that come from the trades alone.  A limit of another type, or a
-- bound that is not known, refuses: nothing passes because it was not looked
-- at.  An order that brings the measure down, or leaves it, passes even when
-- the limit is breached.
CREATE FUNCTION check_risk(user_id uuid, symbol text, type text, quantity numeric, price numeric)
RETURNS SETOF risk_check
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    units numeric := CASE check_risk.type WHEN 'buy' THEN quantity WHEN 'sell' THEN -quantity END;
BEGIN
    IF check_risk.symbol IS NULL OR check_risk.type IS NULL OR check_risk.quantity IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN check_risk.symbol IS NULL THEN 'symbol'
                     WHEN check_risk.type IS NULL THEN 'type' ELSE 'quantity' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF units IS NULL THEN
        RAISE EXCEPTION 'argument "type" must be "buy" or "sell"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT (quantity > 0 AND quantity < 'Infinity') THEN
        RAISE EXCEPTION 'argument "quantity" must be a finite number greater than zero'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF price IS NOT NULL AND NOT (price > 0 AND price < 'Infinity') THEN
        RAISE EXCEPTION 'argument "price" must be a finite number greater than zero'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    RETURN QUERY
    WITH mine AS (
        SELECT t.*
          FROM fx.trades t
         WHERE t.user_id = check_risk.user_id AND t.status = 'executed' AND NOT t.is_backtest
    ), book AS (
        SELECT coalesce(sum(CASE m.type WHEN 'buy' THEN m.quantity ELSE -m.quantity END)
                            FILTER (WHERE m.closed_at IS NULL AND m.symbol = check_risk.symbol), 0) AS position,
               count(*) FILTER (WHERE m.closed_at IS NULL) AS open_trades,
               count(*) FILTER (WHERE fx.fx_day(m.executed_at) = fx.fx_day(now())) AS daily_trades,
               greatest(0, -coalesce(sum(m.profit - coalesce(m.commission, 0) + coalesce(m.swap, 0))
                            FILTER (WHERE fx.fx_day(m.closed_at) = fx.fx_day(now())), 0)) AS daily_loss
          FROM mine m
    ), measured AS (
        SELECT rl.id, rl.type::text AS limit_kind, rl.limit_value, v.before, v.after,
               fx.risk_bound(rl.type, rl.limit_type, rl.limit_value,
                             fx.account_initial_balance(u.preferences)) AS bound
          FROM fx.risk_limits rl
          JOIN fx.users u ON u.id = rl.user_id
         CROSS JOIN book b
         CROSS JOIN LATERAL (
               SELECT CASE rl.type
                          WHEN 'max_order_size' THEN 0
                          WHEN 'max_position' THEN abs(b.position)
                          WHEN 'max_open_trades' THEN b.open_trades
                          WHEN 'max_daily_trades' THEN b.daily_trades
                          WHEN 'daily_loss' THEN b.daily_loss
                      END AS before,
                      CASE rl.type
                          WHEN 'max_order_size' THEN check_risk.quantity
                          WHEN 'max_position' THEN abs(b.position + units)
                          WHEN 'max_open_trades' THEN b.open_trades + 1
                          WHEN 'max_daily_trades' THEN b.daily_trades + 1
                          WHEN 'daily_loss' THEN b.daily_loss
                      END AS after) v
         WHERE rl.user_id = check_risk.user_id AND rl.is_active
    ), judged AS (
        SELECT m.*,
               CASE
                   WHEN m.bound = 0 AND m.after <= 0 THEN 0
                   WHEN m.bound = 0 THEN m.after * 'Infinity'
                   ELSE m.after / m.bound * 100
               END AS utilization,
               CASE
                   WHEN m.after IS NULL THEN format('limits of type "%s" cannot be measured', m.limit_kind)
                   WHEN m.bound IS NULL THEN 'the initial balance of the account is not known'
                   WHEN m.limit_kind = 'daily_loss' AND m.after >= m.bound
                        THEN format('the loss of the day, %s, has reached the limit of %s',
                                    trim_scale(m.after), trim_scale(m.bound))
                   WHEN m.limit_kind <> 'daily_loss' AND m.after > m.bound AND m.after > m.before
                        THEN format('%s would go from %s to %s, above the limit of %s', m.limit_kind,
                                    trim_scale(m.before), trim_scale(m.after), trim_scale(m.bound))
               END AS refusal
          FROM measured m
    )
    SELECT j.id, j.limit_kind, j.limit_value, j.before, j.after, j.utilization,
           j.refusal IS NULL, j.refusal
      FROM judged j
     ORDER BY j.utilization DESC NULLS FIRST, j.limit_kind, j.id;
END
$$;

COMMENT ON FUNCTION check_risk(uuid, text, text, numeric, numeric)
    IS 'what an order (type buy or sell, quantity in units of the base currency, price may be NULL) would do to each active limit of the user, one row a limit, most used first; changes nothing. Measured from executed trades that are not of backtests: max_order_size and max_position (units), max_open_trades, max_daily_trades, daily_loss (realized, of the FX day); a limit of another type or with an unknown bound refuses and says so. Errors: 22004 NULL symbol, type or quantity, 22023 bad type, quantity or price';
