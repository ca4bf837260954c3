
-- accounts

CREATE FUNCTION account_currency(preferences jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
               WHEN jsonb_typeof(preferences -> 'accountCurrency') = 'string'
                    AND upper((preferences ->> 'accountCurrency') COLLATE "C") ~ '^[A-Z0-9]{3,10}$'
               THEN upper((preferences ->> 'accountCurrency') COLLATE "C")
               ELSE 'USD'
           END
$$;

COMMENT ON FUNCTION account_currency(jsonb)
    IS 'currency of an account, from key accountCurrency of users.preferences, in upper case; USD when it is absent or not a code of three to ten letters and digits';

CREATE FUNCTION trading_periods(
    time_zone text,
    day_cutoff time,
    at timestamptz DEFAULT now(),
    OUT day date,
    OUT day_started_at timestamptz,
    OUT day_ends_at timestamptz,
    OUT week_started_at timestamptz,
    OUT month_started_at timestamptz)
LANGUAGE C
STABLE STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_trading_periods';

COMMENT ON FUNCTION trading_periods(text, time, timestamptz)
    IS 'the trading day, week and month that a time is in, for accounts whose days start at day_cutoff by the clock of time_zone: day is its name, which for a cut at or after 12:00 is the date that follows (17:00 in New York on Sunday starts Monday); weeks start with the day named Monday, months with that named the 1st; a cut that the clock skips is the moment at which it goes on; NULLs for NULL; errors: 22023 no such time zone, 24:00, a time that is not finite, 22008 out of range';

CREATE FUNCTION open_account()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_open_account';

REVOKE ALL ON FUNCTION open_account() FROM PUBLIC;

COMMENT ON FUNCTION open_account()
    IS 'trigger, AFTER INSERT FOR EACH ROW on fx.users: makes the row of fx.accounts, with the currency and initial balance of the preferences';

CREATE FUNCTION follow_preferences()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_follow_preferences';

REVOKE ALL ON FUNCTION follow_preferences() FROM PUBLIC;

COMMENT ON FUNCTION follow_preferences()
    IS 'trigger, AFTER UPDATE FOR EACH ROW on fx.users: takes a change of accountCurrency or initialBalance over to the account, whose balance, high-water marks and values at the start of day, week and month move by the difference; error XF003 when the currency of an account with trades or cash flows would change';

CREATE FUNCTION guard_account()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_guard_account';

REVOKE ALL ON FUNCTION guard_account() FROM PUBLIC;

COMMENT ON FUNCTION guard_account()
    IS 'trigger, BEFORE UPDATE FOR EACH ROW on fx.accounts: lets SQL change trading_state and state_reason (noted in fx.risk_events), time_zone and day_cutoff (the current day then ends at the next cut of the new clock), initial_balance (all that counts from it moves along), position_method while nothing is open, and currency while there are neither trades nor cash flows; errors: XF003 any other column, or not now, 22023 no such time zone';

CREATE FUNCTION lock_account(user_id uuid)
RETURNS void
LANGUAGE C
STRICT
AS 'MODULE_PATHNAME', 'fx_lock_account';

COMMENT ON FUNCTION lock_account(uuid)
    IS 'locks the account of a user to the end of the transaction, as every trade does, and opens it when it is missing; nothing for NULL; errors: 23503 no such user, 40001 the account has changed since the snapshot of a REPEATABLE READ transaction';

-- cash flows

CREATE FUNCTION apply_cash_flow()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_apply_cash_flow';

REVOKE ALL ON FUNCTION apply_cash_flow() FROM PUBLIC;

COMMENT ON FUNCTION apply_cash_flow()
    IS 'trigger, AFTER INSERT FOR EACH ROW on fx.cash_flows: adds the amount, negative for a withdrawal, to balance and net_deposits of the account and moves its high-water marks along; error 22023 when more is withdrawn than the balance';

CREATE FUNCTION guard_cash_flow()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- they go with their user
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM fx.users u WHERE u.id = OLD.user_id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'cash flows cannot be changed'
        USING ERRCODE = 'XF003',
              HINT = 'Insert one with the opposite amount.';
END
$$;

COMMENT ON FUNCTION guard_cash_flow()
    IS 'trigger, BEFORE UPDATE OR DELETE FOR EACH ROW on fx.cash_flows: refuses both with XF003, but for the deletion that follows that of the user';

-- The amount of a deposit or withdrawal, rounded as it is stored.
CREATE FUNCTION cash_amount(user_id uuid, amount numeric)
RETURNS numeric
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF user_id IS NULL OR amount IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN user_id IS NULL THEN 'user_id' ELSE 'amount' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF amount IN ('NaN', 'Infinity', '-Infinity') THEN
        RAISE EXCEPTION 'argument "amount" must be finite'
            USING ERRCODE = 'numeric_value_out_of_range';
    END IF;
    IF round(amount, 8) <= 0 THEN
        RAISE EXCEPTION 'argument "amount" must be greater than zero'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN round(amount, 8);
END
$$;

COMMENT ON FUNCTION cash_amount(uuid, numeric)
    IS 'an amount of fx.deposit or fx.withdraw, at eight decimals; errors: 22004 NULL, 22003 not finite, 22023 not above zero';

CREATE FUNCTION deposit(user_id uuid, amount numeric, reason text DEFAULT NULL)
RETURNS numeric
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO fx.cash_flows (user_id, amount, reason)
    VALUES (deposit.user_id, fx.cash_amount(deposit.user_id, deposit.amount), deposit.reason);
    RETURN (SELECT a.balance FROM fx.accounts a WHERE a.user_id = deposit.user_id);
END
$$;

COMMENT ON FUNCTION deposit(uuid, numeric, text)
    IS 'pays an amount in account currency into the account of a user, as a row of fx.cash_flows, and returns the new balance; it is no profit: high-water marks and the bounds of loss limits move along; errors: 22004 NULL, 22003 not finite or too large, 22023 not greater than zero when rounded to eight decimals, 23503 no such user';

CREATE FUNCTION withdraw(user_id uuid, amount numeric, reason text DEFAULT NULL)
RETURNS numeric
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO fx.cash_flows (user_id, amount, reason)
    VALUES (withdraw.user_id, - fx.cash_amount(withdraw.user_id, withdraw.amount), withdraw.reason);
    RETURN (SELECT a.balance FROM fx.accounts a WHERE a.user_id = withdraw.user_id);
END
$$;

COMMENT ON FUNCTION withdraw(uuid, numeric, text)
    IS 'pays an amount in account currency out of the account of a user, as a row of fx.cash_flows, and returns the new balance; it is no loss: high-water marks and the bounds of loss limits move along; errors: 22004 NULL, 22003 not finite or too large, 22023 not greater than zero when rounded to eight decimals, or more than the balance, 23503 no such user';

CREATE FUNCTION set_trading_state(user_id uuid, state text, reason text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF user_id IS NULL OR state IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null',
                CASE WHEN user_id IS NULL THEN 'user_id' ELSE 'state' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF state NOT IN ('active', 'reduce_only', 'halted') THEN
        RAISE EXCEPTION 'argument "state" must be "active", "reduce_only" or "halted"'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM fx.lock_account(set_trading_state.user_id);
    UPDATE fx.accounts a
       SET trading_state = set_trading_state.state,
           state_reason = set_trading_state.reason
     WHERE a.user_id = set_trading_state.user_id;
END
$$;

COMMENT ON FUNCTION set_trading_state(uuid, text, text)
    IS 'lets a user trade (active), only reduce what he holds (reduce_only), or do nothing but cancel orders (halted), from his next trade on; the reason is shown with what is refused, and a row of fx.risk_events tells of the change; errors: 22004 NULL user or state, 22023 no such state, 23503 no such user';

REVOKE ALL ON FUNCTION lock_account(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION deposit(uuid, numeric, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION withdraw(uuid, numeric, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION set_trading_state(uuid, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock_account(uuid) TO fx_app;
GRANT EXECUTE ON FUNCTION deposit(uuid, numeric, text) TO fx_app;
GRANT EXECUTE ON FUNCTION withdraw(uuid, numeric, text) TO fx_app;
GRANT EXECUTE ON FUNCTION set_trading_state(uuid, text, text) TO fx_app;
