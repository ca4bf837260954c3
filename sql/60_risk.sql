
-- risk limits

CREATE FUNCTION account_initial_balance(preferences jsonb)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(
        (SELECT b.balance
           FROM (SELECT CASE
                            WHEN jsonb_typeof(preferences -> 'initialBalance') IN ('number', 'string')
                                 AND preferences ->> 'initialBalance' ~ '^[0-9]{1,20}([.][0-9]+)?$'
                            THEN round((preferences ->> 'initialBalance')::numeric, 8)
                        END) AS b (balance)
          -- what an account can hold
          WHERE b.balance < 100000000000000000000),
        0)
$$;

COMMENT ON FUNCTION account_initial_balance(jsonb)
    IS 'initial balance of an account, from key initialBalance of users.preferences, in account currency; 0 (not known) when it is absent or not a plain positive number';
