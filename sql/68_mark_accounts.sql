
-- accounts follow the prices between trades, too

-- Those of which something can have changed: open positions, a day that has
-- ended, a latch that is over, orders that have left their window.
CREATE FUNCTION mark_account_batch(after uuid, batch bigint, OUT marked bigint, OUT last uuid)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    -- a setting without an offset is UTC, as it is in C
    at CONSTANT timestamptz := coalesce(nullif(current_setting('fxplatform.clock', true), '')::timestamptz,
                                        clock_timestamp());
    account uuid;
BEGIN
    marked := 0;
    -- of a database whose migration is still to come
    IF to_regclass('fx.accounts') IS NULL THEN
        RETURN;
    END IF;
    FOR account IN
        SELECT a.user_id
          FROM fx.accounts a
         WHERE (after IS NULL OR a.user_id > after)
           AND (a.open_trades > 0
                OR EXISTS (SELECT FROM fx.risk_limits l
                             LEFT JOIN fx.risk_limit_state s
                               ON s.user_id = l.user_id AND s.limit_id = l.id
                            WHERE l.user_id = a.user_id AND l.is_active
                              AND (a.day_ends_at <= at OR s.breached_until <= at
                                   OR l.type = 'max_order_rate' AND l.current_value > 0)))
         ORDER BY a.user_id
         LIMIT batch
    LOOP
        last := account;
        -- whoever has it observes it himself; waiting for him could end in a deadlock
        PERFORM FROM fx.accounts a WHERE a.user_id = account FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            PERFORM fx.mark_account(account);
            marked := marked + 1;
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION mark_account_batch(uuid, bigint) FROM PUBLIC;

COMMENT ON FUNCTION mark_account_batch(uuid, bigint)
    IS 'fx.mark_account for at most so many accounts (NULL: all) that follow a user, in the order of ids; returns how many were marked and the last user looked at, NULL at the end';

CREATE FUNCTION mark_accounts()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT m.marked FROM fx.mark_account_batch(NULL, NULL) AS m);
END
$$;

REVOKE ALL ON FUNCTION mark_accounts() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mark_accounts() TO fx_app;

COMMENT ON FUNCTION mark_accounts()
    IS 'fx.mark_account for every account of which something can have changed since its last event (open positions, the end of a day or of a breach, orders a minute); accounts that a transaction has locked at that moment are left out, as it observes them itself; keeps the others locked to the end of the transaction, fx.maintain does not; returns how many were marked';
