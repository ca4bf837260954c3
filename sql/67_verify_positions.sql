
-- the books against the trades

-- What a user holds and made of each symbol by trades and closures.  Custom
-- plans, since the plan for one user is not that for all.
CREATE FUNCTION compute_positions(for_user uuid)
RETURNS TABLE (
    user_id uuid,
    symbol text,
    long_quantity numeric,
    short_quantity numeric,
    long_cost numeric,
    short_cost numeric,
    average_price numeric,
    realized_pnl numeric,
    net numeric,
    open_trades bigint,
    unpriced_trades bigint,
    day_trades bigint)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
    RETURN QUERY
        WITH closed AS (
            SELECT c.trade_id, sum(c.quantity) AS quantity, sum(c.cost) AS cost
              FROM fx.closures c
             WHERE for_user IS NULL OR c.user_id = for_user
             GROUP BY c.trade_id
        ), traded AS (
            SELECT t.user_id,
                   translate(upper(translate(t.symbol, 'i', 'I')), '/_-. ', '') AS symbol,
                   t.type = 'buy' AS bought,
                   t.price,
                   t.closed_at IS NULL AS is_open,
                   CASE WHEN t.closed_at IS NULL
                        THEN coalesce(t.open_quantity, t.quantity) ELSE 0 END AS quantity,
                   c.quantity AS closed_quantity,
                   c.cost AS closed_cost,
                   coalesce(t.profit, 0) AS profit,
                   coalesce(t.profit, 0) - coalesce(t.commission, 0) + coalesce(t.swap, 0) AS net,
                   t.executed_at
              FROM fx.trades t
              LEFT JOIN closed c ON c.trade_id = t.id
             WHERE t.status = 'executed' AND NOT t.is_backtest
               AND (for_user IS NULL OR t.user_id = for_user)
        ), valued AS (
            -- what was paid for all that the trade opened, less what left again
            SELECT t.*,
                   CASE WHEN t.is_open OR t.closed_quantity IS NOT NULL
                        THEN coalesce(round((t.quantity + coalesce(t.closed_quantity, 0)) * t.price, 8), 0)
                             - coalesce(t.closed_cost, 0)
                        ELSE 0 END AS cost
              FROM traded t
        )
        SELECT s.user_id, s.symbol, s.long_quantity, s.short_quantity, s.long_cost, s.short_cost,
               CASE WHEN s.long_quantity <> s.short_quantity
                    THEN round((s.long_cost - s.short_cost) / (s.long_quantity - s.short_quantity), 8) END,
               s.profit, s.net, s.open_trades, s.unpriced_trades, s.day_trades
          FROM (SELECT v.user_id, v.symbol,
                       coalesce(sum(v.quantity) FILTER (WHERE v.bought), 0) AS long_quantity,
                       coalesce(sum(v.quantity) FILTER (WHERE NOT v.bought), 0) AS short_quantity,
                       coalesce(sum(v.cost) FILTER (WHERE v.bought), 0) AS long_cost,
                       coalesce(sum(v.cost) FILTER (WHERE NOT v.bought), 0) AS short_cost,
                       sum(v.profit) AS profit,
                       sum(v.net) AS net,
                       count(*) FILTER (WHERE v.is_open) AS open_trades,
                       count(*) FILTER (WHERE v.is_open AND v.price IS NULL) AS unpriced_trades,
                       count(*) FILTER (WHERE v.executed_at >= a.day_started_at) AS day_trades
                  FROM valued v
                  LEFT JOIN fx.accounts a ON a.user_id = v.user_id
                 GROUP BY v.user_id, v.symbol) AS s;
END
$$;

COMMENT ON FUNCTION compute_positions(uuid)
    IS 'what trades and closures of a user, of all for NULL, add up to, one row a symbol (normal form) of which anything was executed: the columns of fx.positions, net profit (profit - commission + swap) and executions since the start of the stored day; for fx.verify_positions and fx.rebuild_risk_state';

-- The newest unbroken run of losing closed trades of a user.  Trades that a
-- fill used up do not count: what was won or lost is on the fill.
CREATE FUNCTION compute_losing_streak(
    for_user uuid,
    OUT losses bigint, OUT losing_since timestamptz)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    breaker_at timestamptz;
    breaker_id uuid;
BEGIN
    SELECT t.closed_at, t.id INTO breaker_at, breaker_id
      FROM fx.trades t
     WHERE t.user_id = for_user
       AND t.status = 'executed' AND t.closed_at IS NOT NULL AND NOT t.is_backtest
       AND (t.open_quantity IS DISTINCT FROM 0 OR t.position_method IS NOT NULL OR t.profit <> 0)
       AND coalesce(t.profit, 0) - coalesce(t.commission, 0) + coalesce(t.swap, 0) >= 0
     ORDER BY t.closed_at DESC, t.id DESC
     LIMIT 1;
    SELECT count(*), min(t.closed_at) INTO losses, losing_since
      FROM fx.trades t
     WHERE t.user_id = for_user
       AND t.status = 'executed' AND t.closed_at IS NOT NULL AND NOT t.is_backtest
       AND (t.open_quantity IS DISTINCT FROM 0 OR t.position_method IS NOT NULL OR t.profit <> 0)
       AND (breaker_id IS NULL OR (t.closed_at, t.id) > (breaker_at, breaker_id));
END
$$;

COMMENT ON FUNCTION compute_losing_streak(uuid)
    IS 'how many of the closed trades of a user lost in a row, up to the newest, and when the first of them was closed; a break-even ends the row, trades that a fill used up do not count; 0 and NULL for none; for fx.verify_positions and fx.rebuild_risk_state';

CREATE FUNCTION verify_positions()
RETURNS TABLE (user_id uuid, symbol text, item text, stored numeric, computed numeric)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        WITH held AS MATERIALIZED (
            SELECT h.* FROM fx.compute_positions(NULL) AS h
        ), totals AS (
            SELECT h.user_id, sum(h.net) AS net, sum(h.open_trades) AS open_trades,
                   sum(h.day_trades) AS day_trades
              FROM held h
             GROUP BY h.user_id
        ), flows AS (
            SELECT f.user_id, sum(f.amount) AS amount
              FROM fx.cash_flows f
             GROUP BY f.user_id
        ), differences AS (
            SELECT u.id AS user_id, NULL::text AS symbol, i.item, i.stored, i.computed
              FROM fx.users u
              LEFT JOIN fx.accounts a ON a.user_id = u.id
              LEFT JOIN totals t ON t.user_id = u.id
              LEFT JOIN flows f ON f.user_id = u.id
             CROSS JOIN LATERAL fx.compute_losing_streak(u.id) AS s
             CROSS JOIN LATERAL (VALUES
                       ('account', CASE WHEN a.user_id IS NULL THEN 0 ELSE 1 END::numeric, 1::numeric),
                       ('balance', a.balance, a.initial_balance + coalesce(f.amount, 0) + coalesce(t.net, 0)),
                       ('net_deposits', a.net_deposits, coalesce(f.amount, 0)),
                       ('open_trades', a.open_trades, coalesce(t.open_trades, 0)),
                       ('day_trades', a.day_trades, coalesce(t.day_trades, 0)),
                       ('consecutive_losses', a.consecutive_losses, s.losses)
                   ) AS i (item, stored, computed)
             WHERE i.stored <> i.computed
            UNION ALL
            SELECT coalesce(p.user_id, h.user_id), coalesce(p.symbol::text, h.symbol),
                   i.item, i.stored, i.computed
              FROM fx.positions p
              FULL JOIN held h ON h.user_id = p.user_id AND h.symbol = p.symbol
             CROSS JOIN LATERAL (VALUES
                       ('long_quantity', coalesce(p.long_quantity, 0), coalesce(h.long_quantity, 0)),
                       ('short_quantity', coalesce(p.short_quantity, 0), coalesce(h.short_quantity, 0)),
                       ('long_cost', coalesce(p.long_cost, 0), coalesce(h.long_cost, 0)),
                       ('short_cost', coalesce(p.short_cost, 0), coalesce(h.short_cost, 0)),
                       ('average_price', p.average_price, h.average_price),
                       ('realized_pnl', coalesce(p.realized_pnl, 0), coalesce(h.realized_pnl, 0)),
                       ('open_trades', coalesce(p.open_trades, 0), coalesce(h.open_trades, 0)),
                       ('unpriced_trades', coalesce(p.unpriced_trades, 0), coalesce(h.unpriced_trades, 0))
                   ) AS i (item, stored, computed)
             WHERE i.stored IS DISTINCT FROM i.computed
        )
        SELECT d.user_id, d.symbol, d.item, d.stored, d.computed
          FROM differences d
         ORDER BY d.user_id, d.symbol COLLATE "C" NULLS FIRST, d.item COLLATE "C";
END
$$;

COMMENT ON FUNCTION verify_positions()
    IS 'differences between the books of the risk engine (fx.accounts, fx.positions) and what trades, closures and cash flows of all users add up to: symbol is NULL for items of an account (balance, net_deposits, open_trades, day_trades since the start of the stored day, consecutive_losses, or account when its row is missing); no row when all is well; fx.rebuild_risk_state mends what it finds';

-- Writers of fx.accounts by SQL say so by the setting, which the guard of the
-- table respects.  It keeps from mistakes only: those who may update these
-- columns own the table.
CREATE FUNCTION rebuild_risk_state(user_id uuid)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET fx.rebuilding_risk_state = 'on'
AS $$
DECLARE
    owner_id CONSTANT uuid := user_id;
    settings jsonb;
    old record;
    books record;
    periods record;
    past record;
    streak record;
    is_new boolean := false;
    moment timestamptz;
BEGIN
    IF owner_id IS NULL THEN
        RAISE EXCEPTION 'argument "user_id" must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    SELECT a.* INTO old FROM fx.accounts a WHERE a.user_id = owner_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        SELECT coalesce(u.preferences, '{}') INTO settings FROM fx.users u WHERE u.id = owner_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'user "%" does not exist', owner_id
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        INSERT INTO fx.accounts (user_id, currency, initial_balance, day_started_at, day_balance,
                                 week_started_at, week_balance, month_started_at, month_balance, day_ends_at)
        VALUES (owner_id, fx.account_currency(settings), fx.account_initial_balance(settings),
                '-infinity', 0, '-infinity', 0, '-infinity', 0, '-infinity')
            ON CONFLICT DO NOTHING;
        is_new := FOUND;
        SELECT a.* INTO old FROM fx.accounts a WHERE a.user_id = owner_id FOR NO KEY UPDATE;
    END IF;
    -- of trades that were removed
    DELETE FROM fx.closures c
     WHERE c.user_id = owner_id
       AND (NOT EXISTS (SELECT FROM fx.trades t WHERE t.id = c.trade_id)
            OR (c.closing_trade_id IS NOT NULL
                AND NOT EXISTS (SELECT FROM fx.trades t WHERE t.id = c.closing_trade_id)));

    -- a setting without an offset is UTC
    moment := coalesce(nullif(current_setting('fxplatform.clock', true), '')::timestamptz,
                       clock_timestamp());

    -- a day under way goes on also where the clock of the account was changed
    SELECT t.week_started_at AS week_start, t.month_started_at AS month_start,
           CASE WHEN moment >= old.day_started_at AND moment < old.day_ends_at
                THEN old.day_started_at ELSE t.day_started_at END AS day_start,
           CASE WHEN moment >= old.day_started_at AND moment < old.day_ends_at
                THEN old.day_ends_at ELSE t.day_ends_at END AS day_end
      INTO periods
      FROM fx.trading_periods(old.time_zone, old.day_cutoff, moment) AS t;

    -- positions
    DELETE FROM fx.positions p WHERE p.user_id = owner_id;
    INSERT INTO fx.positions (user_id, symbol, long_quantity, short_quantity, long_cost, short_cost,
                              average_price, realized_pnl, open_trades, unpriced_trades,
                              last_price, last_price_at)
    SELECT owner_id, h.symbol, h.long_quantity, h.short_quantity, h.long_cost, h.short_cost,
           h.average_price, h.realized_pnl, h.open_trades, h.unpriced_trades, l.price, l.executed_at
      FROM fx.compute_positions(owner_id) AS h
      LEFT JOIN (SELECT DISTINCT ON (x.symbol) x.symbol, x.price, x.executed_at
                   FROM (SELECT translate(upper(translate(t.symbol, 'i', 'I')), '/_-. ', '') AS symbol, t.price,
                                t.executed_at, t.created_at, t.id
                           FROM fx.trades t
                          WHERE t.user_id = owner_id AND t.status = 'executed' AND NOT t.is_backtest
                            AND t.price IS NOT NULL
                            AND (t.closed_at IS NULL
                                 OR t.id IN (SELECT c.trade_id FROM fx.closures c
                                              WHERE c.user_id = owner_id)
                                 OR t.id IN (SELECT c.closing_trade_id FROM fx.closures c
                                              WHERE c.user_id = owner_id
                                                AND c.closing_trade_id IS NOT NULL))) AS x
                  ORDER BY x.symbol, x.executed_at DESC, x.created_at DESC, x.id DESC) AS l
        ON l.symbol = h.symbol;

    -- what a deleted trade left of the cost of a side that holds nothing now
    UPDATE fx.closures c
       SET cost = c.cost + r.residue
      FROM (SELECT p.symbol, s.type, s.cost AS residue
              FROM fx.positions p
             CROSS JOIN LATERAL (VALUES ('buy', p.long_quantity, p.long_cost),
                                        ('sell', p.short_quantity, p.short_cost)
                                ) AS s (type, quantity, cost)
             WHERE p.user_id = owner_id AND s.quantity = 0 AND s.cost <> 0) AS r
     WHERE c.id = (SELECT max(n.id)
                     FROM fx.closures n
                     JOIN fx.trades t ON t.id = n.trade_id
                    WHERE n.user_id = owner_id AND n.symbol = r.symbol AND n.type = r.type
                      AND t.status = 'executed' AND NOT t.is_backtest);
    UPDATE fx.positions p
       SET long_cost = CASE WHEN p.long_quantity = 0 THEN 0 ELSE p.long_cost END,
           short_cost = CASE WHEN p.short_quantity = 0 THEN 0 ELSE p.short_cost END
     WHERE p.user_id = owner_id
       AND (p.long_quantity = 0 AND p.long_cost <> 0 OR p.short_quantity = 0 AND p.short_cost <> 0);
    UPDATE fx.positions p
       SET average_price = round((p.long_cost - p.short_cost) / (p.long_quantity - p.short_quantity), 8)
     WHERE p.user_id = owner_id AND p.long_quantity <> p.short_quantity
       AND p.average_price <> round((p.long_cost - p.short_cost) / (p.long_quantity - p.short_quantity), 8);

    -- the account
    SELECT coalesce((SELECT sum(f.amount) FROM fx.cash_flows f WHERE f.user_id = owner_id), 0) AS flows,
           coalesce(sum(coalesce(t.profit, 0) - coalesce(t.commission, 0) + coalesce(t.swap, 0)), 0) AS net,
           count(*) FILTER (WHERE t.closed_at IS NULL) AS open_trades,
           count(*) FILTER (WHERE t.executed_at >= periods.day_start) AS day_trades,
           max(t.closed_at) AS last_closed_at
      INTO books
      FROM fx.trades t
     WHERE t.user_id = owner_id AND t.status = 'executed' AND NOT t.is_backtest;
    SELECT s.* INTO streak FROM fx.compute_losing_streak(owner_id) AS s;

    -- The anchors.  Costs belong to the execution, a profit to the closing that brought it.
    SELECT jsonb_object_agg(s.period, old.initial_balance + f.before + t.net + c.moved) AS balance,
           jsonb_object_agg(s.period, t.held) AS held,
           jsonb_object_agg(s.period, f.since) AS deposits
      INTO past
      FROM (VALUES ('day', periods.day_start), ('week', periods.week_start),
                   ('month', periods.month_start)) AS s (period, start)
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(f.amount) FILTER (WHERE f.created_at < s.start), 0) AS before,
                  coalesce(sum(f.amount) FILTER (WHERE f.created_at >= s.start), 0) AS since
             FROM fx.cash_flows f
            WHERE f.user_id = owner_id) AS f
     CROSS JOIN LATERAL (
           SELECT coalesce(sum(coalesce(t.profit, 0) + coalesce(t.swap, 0))
                               FILTER (WHERE coalesce(t.closed_at, t.executed_at) < s.start), 0)
                  - coalesce(sum(coalesce(t.commission, 0)) FILTER (WHERE t.executed_at < s.start), 0) AS net,
                  coalesce(bool_or(t.executed_at < s.start
                                   AND (t.closed_at IS NULL
                                        OR t.closed_at >= s.start
                                           AND t.id IN (SELECT c.trade_id FROM fx.closures c
                                                         WHERE c.user_id = owner_id))), false) AS held
             FROM fx.trades t
            WHERE t.user_id = owner_id AND t.status = 'executed' AND NOT t.is_backtest) AS t
     CROSS JOIN LATERAL (
           -- of trades that closed, or were closed, more than once
           SELECT coalesce(sum(c.profit) FILTER (WHERE c.closed_at < s.start), 0)
                  - coalesce(sum(c.profit) FILTER (WHERE coalesce(t.closed_at, t.executed_at) < s.start), 0) AS moved
             FROM fx.closures c
             JOIN fx.trades t ON t.id = coalesce(c.closing_trade_id, c.trade_id)
            WHERE c.user_id = owner_id AND t.status = 'executed' AND NOT t.is_backtest) AS c;

    UPDATE fx.accounts a
       SET net_deposits = books.flows,
           balance = a.initial_balance + books.flows + books.net,
           open_trades = books.open_trades,
           day_trades = books.day_trades,
           consecutive_losses = streak.losses,
           losing_since = streak.losing_since,
           last_closed_at = books.last_closed_at,
           day_started_at = periods.day_start,
           day_ends_at = periods.day_end,
           day_balance = (past.balance ->> 'day')::numeric,
           day_equity = CASE WHEN NOT (past.held ->> 'day')::boolean THEN (past.balance ->> 'day')::numeric
                             WHEN a.day_started_at = periods.day_start THEN a.day_equity - a.day_balance
                                  + (past.balance ->> 'day')::numeric END,
           day_deposits = (past.deposits ->> 'day')::numeric,
           week_started_at = periods.week_start,
           week_balance = (past.balance ->> 'week')::numeric,
           week_equity = CASE WHEN NOT (past.held ->> 'week')::boolean THEN (past.balance ->> 'week')::numeric
                              WHEN a.week_started_at = periods.week_start THEN a.week_equity - a.week_balance
                                  + (past.balance ->> 'week')::numeric END,
           week_deposits = (past.deposits ->> 'week')::numeric,
           month_started_at = periods.month_start,
           month_balance = (past.balance ->> 'month')::numeric,
           month_equity = CASE WHEN NOT (past.held ->> 'month')::boolean THEN (past.balance ->> 'month')::numeric
                               WHEN a.month_started_at = periods.month_start THEN a.month_equity - a.month_balance
                                  + (past.balance ->> 'month')::numeric END,
           month_deposits = (past.deposits ->> 'month')::numeric,
           high_water_mark = greatest(
               CASE WHEN is_new THEN a.initial_balance + books.flows
                    ELSE a.high_water_mark + books.flows - a.net_deposits END,
               a.initial_balance + books.flows + books.net),
           eod_high_water_mark = greatest(
               CASE WHEN is_new THEN a.initial_balance + books.flows
                    ELSE a.eod_high_water_mark + books.flows - a.net_deposits END,
               (past.balance ->> 'day')::numeric + (past.deposits ->> 'day')::numeric)
     WHERE a.user_id = owner_id;

    PERFORM fx.mark_account(owner_id);
END
$$;

COMMENT ON FUNCTION rebuild_risk_state(uuid)
    IS 'computes the books of the risk engine for a user (fx.accounts, fx.positions) again from trades, closures and cash flows, under the lock of the account, which is opened when it is missing; keeps settings, currency, initial balance and high-water marks (which only rise), and what the equity was when the current day, week and month started; errors: 22004 NULL, 22023 no such user';

REVOKE ALL ON FUNCTION compute_positions(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION compute_losing_streak(uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION verify_positions() FROM PUBLIC;
REVOKE ALL ON FUNCTION rebuild_risk_state(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION compute_positions(uuid) TO fx_app;
GRANT EXECUTE ON FUNCTION compute_losing_streak(uuid) TO fx_app;
GRANT EXECUTE ON FUNCTION verify_positions() TO fx_app;
GRANT EXECUTE ON FUNCTION rebuild_risk_state(uuid) TO fx_app;
