
-- risk limits

CREATE FUNCTION account_initial_balance(preferences jsonb)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
               WHEN jsonb_typeof(preferences -> 'initialBalance') IN ('number', 'string')
                    AND preferences ->> 'initialBalance' ~ '^\d{1,20}(\.\d+)?$'
               THEN round((preferences ->> 'initialBalance')::numeric, 8)
               ELSE 0
           END
$$;

COMMENT ON FUNCTION account_initial_balance(jsonb)
    IS 'initial balance of an account, from key initialBalance of users.preferences, in account currency; 0 (not known) when it is absent or not a plain positive number';

-- What a measure may reach, in its own units; NULL when that is not known.
CREATE FUNCTION risk_bound(type text, limit_type text, limit_value numeric, initial_balance numeric)
RETURNS numeric
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
AS $$
    SELECT CASE
               WHEN limit_type = 'absolute' OR type = 'concentration' THEN limit_value
               WHEN type = 'max_leverage' THEN limit_value / 100
               WHEN initial_balance > 0 THEN limit_value / 100 * initial_balance
           END
$$;

COMMENT ON FUNCTION risk_bound(text, text, numeric, numeric)
    IS 'the bound of a limit in the units of its measure: the value itself when absolute, else a percentage of the initial balance (max_leverage: of 1:1; concentration is measured in percent already); NULL when the balance is not known';

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
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT u.id, u.name, u.type, u.limit_type, u.limit_value, u.current_value, u.utilization,
           CASE
               WHEN u.utilization IS NULL THEN 'unknown'
               WHEN u.utilization > 100 THEN 'breached'
               -- reaching a loss limit is a breach, reaching another is not
               WHEN u.utilization = 100 AND u.type ~ '(loss|drawdown)' THEN 'breached'
               WHEN u.utilization >= 80 THEN 'warning'
               ELSE 'ok'
           END
      FROM (SELECT rl.*,
                   CASE
                       WHEN b.bound = 0 AND rl.current_value <= 0 THEN 0
                       WHEN b.bound = 0 THEN rl.current_value * 'Infinity'
                       ELSE rl.current_value / b.bound * 100
                   END AS utilization
              FROM fx.risk_limits rl
              JOIN fx.users owner ON owner.id = rl.user_id
             CROSS JOIN LATERAL fx.risk_bound(
                       rl.type, rl.limit_type, rl.limit_value,
                       fx.account_initial_balance(owner.preferences)) AS b (bound)
             WHERE rl.user_id = risk_utilization.user_id AND rl.is_active) u
     ORDER BY u.utilization DESC NULLS LAST, u.type, u.name, u.id
$$;

COMMENT ON FUNCTION risk_utilization(uuid)
    IS 'active limits of a user and how far each is used up, in percent, highest first; a bound of 0 is 0 or Infinity percent; status ok, warning (from 80), breached (above 100, for losses and drawdowns from 100) or unknown (no current value, or a percentage of an unknown balance: NULL percent, last)';
