
-- risk limits: what holds for each, and how far they are used up

-- Settings that a type has by itself.  They are filled in, so that the table
-- says what is in force.
CREATE FUNCTION guard_risk_limit()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.currency := upper(NEW.currency COLLATE "C");

    -- what the engine keeps is not for others to write
    IF TG_OP = 'INSERT' THEN
        NEW.current_value := 0;
    ELSE
        IF NEW.user_id <> OLD.user_id THEN
            RAISE EXCEPTION 'column "user_id" of a risk limit cannot change from "%" to "%"',
                    OLD.user_id, NEW.user_id
                USING ERRCODE = 'XF003', TABLE = 'risk_limits', SCHEMA = 'fx', COLUMN = 'user_id';
        END IF;

        NEW.current_value := OLD.current_value;

        -- of another kind, with settings that were not given along with it
        IF NEW.type <> OLD.type OR NEW.limit_type <> OLD.limit_type THEN
            IF NEW.basis IS NOT DISTINCT FROM OLD.basis THEN NEW.basis := NULL; END IF;
        END IF;
        IF NEW.type <> OLD.type THEN
            IF NEW.anchor IS NOT DISTINCT FROM OLD.anchor THEN NEW.anchor := NULL; END IF;
            IF NEW.breach_op IS NOT DISTINCT FROM OLD.breach_op THEN NEW.breach_op := NULL; END IF;
            IF NEW.lock_at IS NOT DISTINCT FROM OLD.lock_at THEN NEW.lock_at := NULL; END IF;
            IF NEW.window_seconds IS NOT DISTINCT FROM OLD.window_seconds THEN
                NEW.window_seconds := NULL;
            END IF;
            IF NEW.cooldown_seconds IS NOT DISTINCT FROM OLD.cooldown_seconds THEN
                NEW.cooldown_seconds := NULL;
            END IF;
        END IF;
        IF NEW.type <> OLD.type OR NEW.symbol IS DISTINCT FROM OLD.symbol
           OR NEW.currency IS DISTINCT FROM OLD.currency
           OR NEW.strategy_id IS DISTINCT FROM OLD.strategy_id THEN
            NEW.current_value := 0;
        END IF;
    END IF;

    IF NEW.anchor IS NULL AND NEW.type IN ('daily_loss', 'weekly_loss', 'monthly_loss') THEN
        NEW.anchor := 'max';
    END IF;
    IF NEW.basis IS NULL AND NEW.limit_type = 'percentage' THEN
        NEW.basis := CASE
            WHEN NEW.type = 'trailing_drawdown' THEN 'anchor'
            WHEN NEW.type = 'concentration' THEN 'gross'
            WHEN NEW.type IN ('daily_loss', 'weekly_loss', 'monthly_loss', 'max_drawdown',
                              'trailing_drawdown_eod', 'min_equity') THEN 'initial'
            WHEN NEW.type IN ('max_position', 'max_order_size', 'max_order_value', 'max_exposure',
                              'max_symbol_exposure', 'max_currency_exposure') THEN 'equity'
        END;
    END IF;
    IF NEW.breach_op IS NULL THEN
        NEW.breach_op := CASE
            WHEN NEW.type ~ '(_loss|_losses|drawdown|drawdown_eod)$' THEN 'reach'
            ELSE 'exceed'
        END;
    END IF;
    IF NEW.window_seconds IS NULL AND NEW.type = 'max_order_rate' THEN
        NEW.window_seconds := 60;
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION guard_risk_limit()
    IS 'trigger, BEFORE INSERT OR UPDATE FOR EACH ROW on fx.risk_limits: fills in the settings that a type has by itself (anchor max; basis initial, anchor, equity or gross; breach_op reach for losses and drawdowns, else exceed; window_seconds 60), keeps current_value as the engine left it; error XF003 when user_id would change';

CREATE FUNCTION refresh_risk_limits()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_refresh_risk_limits';

REVOKE ALL ON FUNCTION refresh_risk_limits() FROM PUBLIC;

COMMENT ON FUNCTION refresh_risk_limits()
    IS 'trigger, AFTER INSERT, UPDATE, DELETE or TRUNCATE FOR EACH STATEMENT on fx.risk_limits with tables of the old and new rows: locks the accounts of their users in ascending order and measures their active limits; inactive ones keep their current_value; limits that are gone, or whose type or scope changes, lose what fx.risk_limit_state has of them';

CREATE FUNCTION risk_utilization(user_id uuid)
RETURNS TABLE (
    limit_id uuid,
    name text,
    type text,
    limit_type text,
    limit_value numeric,
    current_value numeric,
    utilization_percentage numeric,
    status text
)
LANGUAGE C
STABLE STRICT
PARALLEL SAFE
ROWS 10
AS 'MODULE_PATHNAME', 'fx_risk_utilization';

COMMENT ON FUNCTION risk_utilization(uuid)
    IS 'active limits of a user and how far each is used up at this moment, by the clock and the latest prices, in percent of its bound, highest first; current_value is in percent where the limit is; types that look at one symbol or currency show the largest, types that look at an order 0; a bound of 0 is 0 or Infinity percent; status: breached (also while a breach holds on), warning (from warning_level), ok, or unknown (NULL percent, last); no rows for NULL and for an account that the caller cannot see; error 42501 without the right to read fx.accounts and fx.risk_limits';

CREATE FUNCTION mark_account(user_id uuid)
RETURNS numeric
LANGUAGE C
STRICT
AS 'MODULE_PATHNAME', 'fx_mark_account';

COMMENT ON FUNCTION mark_account(uuid)
    IS 'observes the account of a user at the latest prices, as every trade does: begins a new trading day when one is due, raises the high-water mark, measures the limits and notes breaches and warnings in fx.risk_events; returns the equity in account currency, NULL when a price or rate is missing, and for NULL; waits for the lock of the account; errors: 23503 no such user, 40001 the account has changed since the snapshot of a REPEATABLE READ transaction';

CREATE FUNCTION clear_breach(limit_id uuid, reason text)
RETURNS boolean
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_clear_breach';

COMMENT ON FUNCTION clear_breach(uuid, text)
    IS 'ends the breach of a limit before its time and notes that with the reason in fx.risk_events; true when there was one; trailing_drawdown starts again from the equity of now, trailing_drawdown_eod too unless that is less than what was paid in, max_consecutive_losses counts from now; others are breached again by the next event while their measure still is; errors: 22004 NULL, 22023 no such limit, 55000 a trailing drawdown while the equity is not known';

REVOKE ALL ON FUNCTION mark_account(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION clear_breach(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mark_account(uuid) TO fx_app;
GRANT EXECUTE ON FUNCTION clear_breach(uuid, text) TO fx_app;
