--
-- What the risk engine has to do, in plain SQL
--
-- The oracle keeps a list of what happened, and computes everything that adds
-- up (balance, positions, counts, streak) from the beginning whenever it is
-- asked.  Only what depends on when somebody looked is kept: the anchors, the
-- high-water marks and the latches.  It calls nothing that it checks; of the
-- extension it uses the length of open market time alone.
--
-- Names without a schema are those of the oracle.
--
CREATE SCHEMA oracle;
SET search_path = oracle, pg_catalog;

CREATE TABLE accounts (
    user_id uuid PRIMARY KEY,
    currency text NOT NULL,
    initial numeric NOT NULL,
    method text NOT NULL,
    state text NOT NULL DEFAULT 'active',
    time_zone text NOT NULL,
    cutoff time NOT NULL,
    high_water_mark numeric NOT NULL,
    eod_high_water_mark numeric NOT NULL,
    day_ends_at timestamptz NOT NULL
);

CREATE TABLE periods (
    user_id uuid,
    kind text,
    started_at timestamptz NOT NULL,
    balance numeric NOT NULL,
    equity numeric,
    deposits numeric NOT NULL,
    PRIMARY KEY (user_id, kind)
);

CREATE TABLE trades (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    strategy_id uuid,
    symbol text NOT NULL,
    type text NOT NULL,
    quantity numeric NOT NULL,
    price numeric,
    profit numeric,
    commission numeric,
    swap numeric,
    status text NOT NULL,
    executed_at timestamptz,
    closed_at timestamptz,
    open_quantity numeric,
    close_price numeric,
    profit_source text NOT NULL DEFAULT 'application',
    position_method text,
    conversion_rate numeric,
    conversion_pair text,
    conversion_at timestamptz
);
CREATE INDEX ON trades (user_id);

CREATE TABLE closures (
    id serial PRIMARY KEY,
    user_id uuid NOT NULL,
    trade_id uuid NOT NULL,
    closing_trade_id uuid,
    symbol text NOT NULL,
    type text NOT NULL,
    quantity numeric NOT NULL,
    cost numeric NOT NULL,
    realized numeric,
    profit numeric,
    profit_source text NOT NULL,
    closed_at timestamptz NOT NULL
);
CREATE INDEX ON closures (user_id);

CREATE TABLE flows (user_id uuid NOT NULL, amount numeric NOT NULL);

-- executions with a price that opened or closed something, as they were booked
CREATE TABLE executions (
    id serial PRIMARY KEY,
    user_id uuid NOT NULL,
    symbol text NOT NULL,
    price numeric NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX ON executions (user_id, symbol);

CREATE TABLE limits (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    percentage boolean NOT NULL,
    value numeric NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    symbol text,
    currency text,
    strategy_id uuid,
    action text NOT NULL DEFAULT 'block',
    warning_level numeric NOT NULL DEFAULT 80,
    anchor text,
    basis text,
    breach_op text,
    lock_at numeric,
    window_seconds integer,
    cooldown_seconds integer,
    current_value numeric,
    breached_at timestamptz,
    breached_until timestamptz,
    breach_value numeric,
    cleared_at timestamptz,
    order_times timestamptz[] NOT NULL DEFAULT '{}'
);

CREATE TABLE events (user_id uuid NOT NULL, event text NOT NULL, limit_id uuid, type text);

CREATE TABLE candles (symbol text, at timestamptz, close numeric NOT NULL, PRIMARY KEY (symbol, at));

-- What an order asks for
CREATE TYPE asked AS (
    symbol text,
    type text,
    quantity numeric,
    price numeric,
    at timestamptz,
    strategy_id uuid,
    closed boolean,
    is_new boolean);

-- A rate as a fraction: an amount times num, divided by den
CREATE TYPE fraction AS (num numeric, den numeric, pair text, observed_at timestamptz);

-- What a limit sees: an amount, and what it is compared with times basis
CREATE TYPE measured AS (
    limit_id uuid,
    known boolean,
    amount numeric,
    basis numeric,
    is_ratio boolean,
    breached boolean,
    current_value numeric,
    bound_value numeric);

-- A symbol that is held, in the account's currency
CREATE TYPE holding AS (
    symbol text,
    net numeric,
    gross numeric,
    notional numeric,
    base_worth numeric);

CREATE FUNCTION now_is() RETURNS timestamptz STABLE LANGUAGE sql AS $$
    SELECT current_setting('fxplatform.clock')::timestamptz
$$;

--
-- Prices
--

CREATE FUNCTION base_of(symbol text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT left(symbol, 3) $$;
CREATE FUNCTION quote_of(symbol text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT right(symbol, 3) $$;

CREATE FUNCTION is_fresh(observed_at timestamptz, now timestamptz) RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT observed_at >= now OR fx.open_market_time(observed_at, now) <= interval '2 hours'
$$;

CREATE FUNCTION candle(of text, now timestamptz, OUT price numeric, OUT observed_at timestamptz)
STABLE LANGUAGE plpgsql AS $$
BEGIN
    SELECT c.close, least(c.at + interval '1 minute', now) INTO price, observed_at
      FROM candles c WHERE c.symbol = of AND c.at <= now ORDER BY c.at DESC LIMIT 1;
    IF NOT is_fresh(observed_at, now) THEN
        price := NULL;
    END IF;
END $$;

CREATE FUNCTION leg(from_currency text, to_currency text, now timestamptz) RETURNS fraction
STABLE LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    SELECT * INTO found FROM candle(from_currency || to_currency, now);
    IF found.price IS NOT NULL THEN
        RETURN (found.price, 1.0, from_currency || to_currency, found.observed_at);
    END IF;
    SELECT * INTO found FROM candle(to_currency || from_currency, now);
    IF found.price IS NOT NULL THEN
        RETURN (1.0, found.price, to_currency || from_currency, found.observed_at);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION rate(from_currency text, to_currency text, now timestamptz) RETURNS fraction
STABLE LANGUAGE plpgsql AS $$
DECLARE
    one fraction;
    two fraction;
    pivot text;
BEGIN
    IF from_currency = to_currency THEN
        RETURN (1.0, 1.0, NULL::text, NULL::timestamptz);
    END IF;
    one := leg(from_currency, to_currency, now);
    IF one.num IS NOT NULL THEN
        RETURN one;
    END IF;
    FOREACH pivot IN ARRAY ARRAY['USD', 'EUR'] LOOP
        CONTINUE WHEN pivot IN (from_currency, to_currency);
        one := leg(from_currency, pivot, now);
        two := leg(pivot, to_currency, now);
        IF one.num IS NOT NULL AND two.num IS NOT NULL THEN
            RETURN (one.num * two.num, one.den * two.den, one.pair || '*' || two.pair,
                    least(one.observed_at, two.observed_at));
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- By how much more digits than needed, so that it is rounded only once
CREATE FUNCTION convert(amount numeric, by fraction) RETURNS numeric IMMUTABLE LANGUAGE sql AS $$
    SELECT round(amount * by.num * 1.0000000000000000000000000000000000000000 / by.den, 8)
$$;

CREATE FUNCTION profit_rate(symbol text, currency text, close_price numeric, at timestamptz) RETURNS fraction
STABLE LANGUAGE sql AS $$
    SELECT CASE WHEN base_of(symbol) = currency THEN (1, close_price, symbol, at)::fraction
                ELSE rate(quote_of(symbol), currency, at) END
$$;

--
-- Trading days
--

-- Where the clock skips the cut, the test has it go on at a whole hour.
CREATE FUNCTION cut(name date, zone text, cutoff time) RETURNS timestamptz STABLE LANGUAGE sql AS $$
    SELECT CASE WHEN u AT TIME ZONE zone = l THEN u ELSE date_trunc('hour', u) END
      FROM (SELECT l, l AT TIME ZONE zone AS u
              FROM (SELECT CASE WHEN cutoff < '12:00' THEN name + cutoff
                                ELSE name + cutoff - interval '1 day' END AS l) AS x) AS y
$$;

CREATE FUNCTION period_start(period text, at timestamptz, zone text, cutoff time) RETURNS timestamptz
STABLE LANGUAGE sql AS $$
    SELECT max(cut(d::date, zone, cutoff))
      FROM generate_series(at::date - 35, at::date + 3, interval '1 day') AS d
     WHERE cut(d::date, zone, cutoff) <= at
       AND CASE period WHEN 'week' THEN extract(isodow FROM d) = 1
                       WHEN 'month' THEN extract(day FROM d) = 1 ELSE true END
$$;

CREATE FUNCTION period_end(period text, at timestamptz, zone text, cutoff time) RETURNS timestamptz
STABLE LANGUAGE sql AS $$
    SELECT min(cut(d::date, zone, cutoff))
      FROM generate_series(at::date - 3, at::date + 35, interval '1 day') AS d
     WHERE cut(d::date, zone, cutoff) > at
       AND CASE period WHEN 'week' THEN extract(isodow FROM d) = 1
                       WHEN 'month' THEN extract(day FROM d) = 1 ELSE true END
$$;

--
-- The books
--

CREATE FUNCTION balance_of(who uuid) RETURNS numeric STABLE LANGUAGE sql AS $$
    SELECT a.initial
           + coalesce((SELECT sum(amount) FROM flows WHERE user_id = who), 0)
           + coalesce((SELECT sum(coalesce(profit, 0) - coalesce(commission, 0) + coalesce(swap, 0))
                         FROM trades WHERE user_id = who AND status = 'executed'), 0)
      FROM accounts a WHERE a.user_id = who
$$;

-- One row for each symbol of which anything was executed
CREATE FUNCTION positions_of(who uuid, OUT symbol text, OUT long_quantity numeric, OUT short_quantity numeric,
                             OUT long_cost numeric, OUT short_cost numeric, OUT realized_pnl numeric,
                             OUT open_trades bigint, OUT unpriced_trades bigint,
                             OUT last_price numeric, OUT last_price_at timestamptz)
RETURNS SETOF record STABLE LANGUAGE sql AS $$
    WITH closed AS (
        SELECT c.trade_id, sum(c.quantity) AS quantity, sum(c.cost) AS cost
          FROM closures c WHERE c.user_id = who GROUP BY c.trade_id
    ), x AS (
        SELECT t.symbol, t.type, t.price, coalesce(t.profit, 0) AS profit, t.closed_at IS NULL AS is_open,
               CASE WHEN t.closed_at IS NULL THEN coalesce(t.open_quantity, t.quantity) ELSE 0 END AS units,
               coalesce(c.quantity, 0) AS gone, coalesce(c.cost, 0) AS cost_gone
          FROM trades t LEFT JOIN closed c ON c.trade_id = t.id
         WHERE t.user_id = who AND t.status = 'executed'
    ), s AS (
        SELECT x.symbol,
               coalesce(sum(units) FILTER (WHERE type = 'buy'), 0) AS long_quantity,
               coalesce(sum(units) FILTER (WHERE type = 'sell'), 0) AS short_quantity,
               coalesce(sum(coalesce(round((units + gone) * price, 8), 0) - cost_gone)
                        FILTER (WHERE type = 'buy'), 0) AS long_cost,
               coalesce(sum(coalesce(round((units + gone) * price, 8), 0) - cost_gone)
                        FILTER (WHERE type = 'sell'), 0) AS short_cost,
               sum(profit) AS realized_pnl,
               count(*) FILTER (WHERE is_open) AS open_trades,
               count(*) FILTER (WHERE is_open AND price IS NULL) AS unpriced_trades
          FROM x GROUP BY x.symbol
    )
    SELECT s.*, e.price, e.at
      FROM s LEFT JOIN (SELECT DISTINCT ON (x.symbol) x.symbol, x.price, x.at FROM executions x
                         WHERE x.user_id = who ORDER BY x.symbol, x.at DESC, x.id DESC) AS e USING (symbol)
$$;

-- The newest losing trades in a row, of those that a limit looks at.  A trade that a fill used up neither won nor
-- lost anything: the fill did.
CREATE FUNCTION streak_of(who uuid, since timestamptz DEFAULT NULL, of_symbol text DEFAULT NULL,
                          of_strategy uuid DEFAULT NULL, OUT losses bigint, OUT losing_since timestamptz)
STABLE LANGUAGE sql AS $$
    SELECT count(*), min(closed_at)
      FROM (SELECT closed_at, sum(CASE WHEN net < 0 THEN 0 ELSE 1 END)
                              OVER (ORDER BY closed_at DESC, id DESC) AS ended
              FROM (SELECT id, closed_at, coalesce(profit, 0) - coalesce(commission, 0) + coalesce(swap, 0) AS net
                      FROM trades
                     WHERE user_id = who AND status = 'executed' AND closed_at IS NOT NULL
                       AND NOT (coalesce(open_quantity = 0, false) AND position_method IS NULL AND coalesce(profit, 0) = 0)
                       AND (since IS NULL OR closed_at > since)
                       AND (of_symbol IS NULL OR symbol = of_symbol)
                       AND (of_strategy IS NULL OR strategy_id = of_strategy)) AS t) AS s
     WHERE ended = 0
$$;

CREATE FUNCTION mark_of(of text, last_price numeric, last_price_at timestamptz, now timestamptz) RETURNS numeric
STABLE LANGUAGE sql AS $$
    SELECT coalesce((candle(of, now)).price, CASE WHEN is_fresh(last_price_at, now) THEN last_price END)
$$;

-- NULL when it is not known
CREATE FUNCTION unrealized_of(who uuid, now timestamptz) RETURNS numeric STABLE LANGUAGE plpgsql AS $$
DECLARE
    account_currency text := (SELECT currency FROM accounts WHERE user_id = who);
    total numeric := 0;
    p record;
    mark numeric;
    worth numeric;
BEGIN
    FOR p IN SELECT * FROM positions_of(who) WHERE long_quantity > 0 OR short_quantity > 0 LOOP
        mark := mark_of(p.symbol, p.last_price, p.last_price_at, now);
        IF mark IS NULL OR p.unpriced_trades > 0 THEN
            RETURN NULL;
        END IF;
        -- nothing is nothing in any currency
        worth := (p.long_quantity - p.short_quantity) * mark - (p.long_cost - p.short_cost);
        IF worth <> 0 THEN
            total := total + convert(worth, rate(quote_of(p.symbol), account_currency, now));
        END IF;
    END LOOP;
    RETURN total;
END $$;

-- A change of the balance that belongs to a time; of the past, it moves anchors.
CREATE FUNCTION move_anchors(who uuid, net numeric, at timestamptz) RETURNS void LANGUAGE sql AS $$
    UPDATE periods SET balance = balance + net, equity = equity + net
     WHERE user_id = who AND at < started_at
$$;

-- To be called with the books as they were: latches and periods that ended since
CREATE FUNCTION roll(who uuid, ends_latches boolean DEFAULT true) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a accounts;
    p periods;
    starts timestamptz;
    balance_now numeric := balance_of(who);
BEGIN
    -- losses start again after the cooldown
    UPDATE limits SET breached_at = NULL, breached_until = NULL, breach_value = NULL,
           cleared_at = CASE WHEN type = 'max_consecutive_losses' THEN greatest(cleared_at, breached_until) ELSE cleared_at END
     WHERE user_id = who AND is_active AND breached_until <= now_is() AND ends_latches;
    SELECT * INTO a FROM accounts WHERE user_id = who;
    IF now_is() < a.day_ends_at THEN
        RETURN;
    END IF;
    FOR p IN SELECT * FROM periods WHERE user_id = who LOOP
        starts := period_start(p.kind, now_is(), a.time_zone, a.cutoff);
        IF starts > p.started_at THEN
            UPDATE periods SET started_at = starts, balance = balance_now, deposits = 0,
                               equity = balance_now + unrealized_of(who, starts - interval '1 microsecond')
             WHERE user_id = who AND kind = p.kind;
        END IF;
    END LOOP;
    UPDATE accounts SET eod_high_water_mark = greatest(eod_high_water_mark, balance_now),
                        day_ends_at = period_end('day', now_is(), time_zone, cutoff)
     WHERE user_id = who;
END $$;

CREATE FUNCTION open_account(who uuid, account_currency text, initial_balance numeric, position_method text,
                             zone text, cut_at time) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO accounts (user_id, currency, initial, method, time_zone, cutoff,
                          high_water_mark, eod_high_water_mark, day_ends_at)
    VALUES (who, account_currency, initial_balance, position_method, zone, cut_at,
            initial_balance, initial_balance, period_end('day', now_is(), zone, cut_at));
    -- another clock is for the days to come
    INSERT INTO periods
    SELECT who, k, CASE WHEN k = 'day' THEN period_start(k, now_is(), 'America/New_York', '17:00')
                        ELSE period_start(k, now_is(), zone, cut_at) END, initial_balance, initial_balance, 0
      FROM unnest(ARRAY['day', 'week', 'month']) AS k;
END $$;

--
-- Fills and closings
--

-- What leaves with units of a side that holds Q at cost C
CREATE FUNCTION average_cost(units numeric, q numeric, c numeric) RETURNS numeric IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE WHEN units = q THEN c ELSE round(c * units * 1.0000000000000000000000000000000000000000 / q, 8) END
$$;

-- tried: of an order that waits, what it would bring is estimated at the average, whatever its row says
CREATE FUNCTION fill(who uuid, trade uuid, tried boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a accounts;
    t trades;
    o trades;
    held record;
    side_quantity numeric;
    side_cost numeric;
    closing numeric := 0;
    rest numeric;
    take numeric;
    removed numeric := 0;
    piece numeric;
    spent numeric := 0;
    known boolean := true;
    realized_sum numeric;
    gain numeric;
    r fraction;
BEGIN
    SELECT * INTO a FROM accounts WHERE user_id = who;
    IF tried THEN
        UPDATE trades SET profit = 0 WHERE id = trade;
    END IF;
    SELECT * INTO t FROM trades WHERE id = trade;
    PERFORM move_anchors(who, -coalesce(t.commission, 0), t.executed_at);
    IF t.closed_at IS NOT NULL THEN
        -- it is history: nothing opens
        PERFORM move_anchors(who, coalesce(t.profit, 0) + coalesce(t.swap, 0), t.closed_at);
        RETURN;
    END IF;

    IF t.price IS NOT NULL THEN
        INSERT INTO executions (user_id, symbol, price, at) VALUES (who, t.symbol, t.price, t.executed_at);
    END IF;
    IF a.method <> 'hedging' THEN
        -- the trade itself is on its own side
        SELECT * INTO held FROM positions_of(who) WHERE symbol = t.symbol;
        side_quantity := CASE t.type WHEN 'buy' THEN held.short_quantity ELSE held.long_quantity END;
        side_cost := CASE t.type WHEN 'buy' THEN held.short_cost ELSE held.long_cost END;
        closing := least(t.quantity, side_quantity);
    END IF;
    IF closing = 0 THEN
        PERFORM move_anchors(who, coalesce(t.profit, 0) + coalesce(t.swap, 0), t.executed_at);
        RETURN;
    END IF;

    rest := closing;
    FOR o IN SELECT * FROM trades
              WHERE user_id = who AND symbol = t.symbol AND type <> t.type
                AND status = 'executed' AND closed_at IS NULL
              ORDER BY executed_at, id LOOP
        EXIT WHEN rest = 0;
        take := least(rest, coalesce(o.open_quantity, o.quantity));
        rest := rest - take;
        spent := spent + take;
        IF a.method = 'netting' OR tried THEN
            piece := average_cost(spent, closing, average_cost(closing, side_quantity, side_cost)) - removed;
        ELSE
            piece := coalesce(round(coalesce(o.open_quantity, o.quantity) * o.price, 8)
                              - round((coalesce(o.open_quantity, o.quantity) - take) * o.price, 8), 0);
        END IF;
        removed := removed + piece;
        INSERT INTO closures (user_id, trade_id, closing_trade_id, symbol, type, quantity, cost, profit_source, closed_at)
        VALUES (who, o.id, t.id, t.symbol, o.type, take, piece, 'computed', greatest(t.executed_at, o.executed_at));
        UPDATE trades SET open_quantity = coalesce(open_quantity, quantity) - take,
                          closed_at = CASE WHEN coalesce(open_quantity, quantity) = take
                                           THEN greatest(executed_at, t.executed_at) END,
                          close_price = CASE WHEN coalesce(open_quantity, quantity) = take THEN t.price END
         WHERE id = o.id;
    END LOOP;
    known := t.price IS NOT NULL AND held.unpriced_trades = 0;
    IF known THEN
        realized_sum := (CASE t.type WHEN 'sell' THEN 1 ELSE -1 END) * (round(closing * t.price, 8) - removed);
    END IF;

    IF coalesce(t.profit, 0) = 0 THEN
        r := profit_rate(t.symbol, a.currency, t.price, t.executed_at);
        IF NOT tried AND (NOT known OR r.num IS NULL) THEN
            RAISE EXCEPTION 'cost or rate not known' USING ERRCODE = 'XF004';
        END IF;
        gain := coalesce(convert(realized_sum, r), 0);
        UPDATE trades SET profit = gain, profit_source = 'computed', conversion_rate = r.num / r.den,
                          conversion_pair = r.pair, conversion_at = r.observed_at
         WHERE id = t.id;
    ELSE
        gain := t.profit;
        UPDATE closures SET profit_source = 'application' WHERE closing_trade_id = t.id;
    END IF;
    UPDATE trades SET position_method = a.method, open_quantity = quantity - closing,
                      closed_at = CASE WHEN quantity = closing THEN executed_at END
     WHERE id = t.id;

    -- what it brought, divided so that the parts add up
    UPDATE closures c
       SET realized = d.realized,
           profit = CASE WHEN c.profit_source = 'computed'
                         THEN convert(d.so_far, r) - convert(d.so_far - d.realized, r) END
      FROM (SELECT x.id, x.realized, sum(x.realized) OVER (ORDER BY x.id) AS so_far
              FROM (SELECT y.id, CASE y.type WHEN 'buy' THEN 1 ELSE -1 END
                                 * (round(y.upto * t.price, 8) - round((y.upto - y.quantity) * t.price, 8) - y.cost) AS realized
                      FROM (SELECT z.*, sum(z.quantity) OVER (ORDER BY z.id) AS upto
                              FROM closures z WHERE z.closing_trade_id = t.id) AS y) AS x) AS d
     WHERE c.id = d.id AND known;
    PERFORM move_anchors(who, gain + coalesce(t.swap, 0), t.executed_at);
END $$;

-- Units of one trade leave; what is written on the trade is up to the caller.
CREATE FUNCTION leave(who uuid, trade uuid, units numeric, at timestamptz, OUT cost numeric, OUT known boolean)
LANGUAGE plpgsql AS $$
DECLARE
    t trades;
    held record;
    had numeric;
BEGIN
    SELECT * INTO t FROM trades WHERE id = trade;
    SELECT * INTO held FROM positions_of(who) WHERE symbol = t.symbol;
    had := coalesce(t.open_quantity, t.quantity);
    IF (SELECT method FROM accounts WHERE user_id = who) = 'netting' THEN
        cost := CASE t.type WHEN 'buy' THEN average_cost(units, held.long_quantity, held.long_cost)
                            ELSE average_cost(units, held.short_quantity, held.short_cost) END;
        known := held.unpriced_trades = 0;
    ELSE
        cost := coalesce(round(had * t.price, 8) - round((had - units) * t.price, 8), 0);
        known := t.price IS NOT NULL;
    END IF;
    INSERT INTO closures (user_id, trade_id, symbol, type, quantity, cost, profit_source, closed_at)
    VALUES (who, trade, t.symbol, t.type, units, cost, 'application', at);
END $$;

CREATE FUNCTION nights(since timestamptz, until timestamptz, triple integer) RETURNS bigint
STABLE LANGUAGE sql AS $$
    SELECT coalesce(sum(CASE WHEN extract(isodow FROM d) = triple THEN 3 ELSE 1 END), 0)
      FROM generate_series(since::date - 1, until::date + 1, interval '1 day') AS d
     WHERE extract(isodow FROM d) <= 5
       AND (d::date + time '17:00') AT TIME ZONE 'America/New_York' >= since
       AND (d::date + time '17:00') AT TIME ZONE 'America/New_York' < until
$$;

CREATE FUNCTION close_trade(who uuid, trade uuid, at_price numeric, at timestamptz, fee numeric, swap_given numeric,
                            units numeric) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    a accounts;
    t trades;
    had numeric;
    closing numeric;
    left_with record;
    gain_quote numeric;
    gain numeric;
    points numeric;
    pip numeric;
    triple integer;
    carried numeric;
    r fraction;
BEGIN
    SELECT * INTO a FROM accounts WHERE user_id = who;
    SELECT * INTO t FROM trades WHERE id = trade;
    had := coalesce(t.open_quantity, t.quantity);
    closing := coalesce(units, had);
    IF t.status <> 'executed' OR t.closed_at IS NOT NULL THEN
        RAISE EXCEPTION 'not open' USING ERRCODE = 'XF003';
    END IF;
    IF at < t.executed_at OR closing > had THEN
        RAISE EXCEPTION 'bad argument' USING ERRCODE = '22023';
    END IF;
    IF a.method = 'fifo' AND trade <> (
            SELECT id FROM trades WHERE user_id = who AND symbol = t.symbol AND type = t.type
               AND status = 'executed' AND closed_at IS NULL ORDER BY executed_at, id LIMIT 1) THEN
        RAISE EXCEPTION 'not the oldest' USING ERRCODE = 'XF003';
    END IF;
    left_with := leave(who, trade, closing, at);
    r := profit_rate(t.symbol, a.currency, at_price, at);
    IF NOT left_with.known OR r.num IS NULL THEN
        RAISE EXCEPTION 'not known' USING ERRCODE = 'XF004';
    END IF;
    gain_quote := (CASE t.type WHEN 'buy' THEN 1 ELSE -1 END) * (round(closing * at_price, 8) - left_with.cost);
    gain := convert(gain_quote, r);

    carried := swap_given;
    IF carried IS NULL THEN
        SELECT CASE t.type WHEN 'buy' THEN swap_long ELSE swap_short END, pip_size, triple_swap_weekday
          INTO points, pip, triple FROM fx.instruments WHERE symbol = t.symbol;
        carried := coalesce(convert(round(points * pip / 10 * closing * nights(t.executed_at, at, triple), 8), r), 0);
    END IF;

    UPDATE closures SET realized = gain_quote, profit = gain, profit_source = 'computed'
     WHERE id = (SELECT max(id) FROM closures WHERE trade_id = trade);
    UPDATE trades SET profit = coalesce(profit, 0) + gain, commission = coalesce(commission, 0) + fee,
                      swap = coalesce(swap, 0) + carried, open_quantity = had - closing,
                      closed_at = CASE WHEN had = closing THEN at END,
                      close_price = CASE WHEN had = closing THEN at_price END,
                      profit_source = 'computed', position_method = a.method,
                      conversion_rate = r.num / r.den, conversion_pair = r.pair, conversion_at = r.observed_at
     WHERE id = trade;
    PERFORM move_anchors(who, gain - fee + carried, at);
    RETURN gain;
END $$;

--
-- What limits measure
--

-- A price of the order stands in where nobody knows that of its symbol.
CREATE FUNCTION holdings_of(who uuid, o asked) RETURNS SETOF holding STABLE LANGUAGE plpgsql AS $$
DECLARE
    account_currency text := (SELECT currency FROM accounts WHERE user_id = who);
    p record;
    mark numeric;
    h holding;
BEGIN
    FOR p IN SELECT * FROM positions_of(who) WHERE long_quantity > 0 OR short_quantity > 0 LOOP
        mark := coalesce(mark_of(p.symbol, p.last_price, p.last_price_at, now_is()),
                         CASE WHEN o.symbol = p.symbol THEN o.price END);
        h.symbol := p.symbol;
        h.net := p.long_quantity - p.short_quantity;
        h.gross := p.long_quantity + p.short_quantity;
        h.notional := CASE WHEN h.net = 0 THEN 0
                           ELSE convert(round(abs(h.net) * mark, 8), rate(quote_of(p.symbol), account_currency, now_is())) END;
        h.base_worth := CASE WHEN h.net = 0 THEN 0
                             ELSE sign(h.net) * coalesce(convert(abs(h.net), rate(base_of(p.symbol), account_currency, now_is())),
                                                         h.notional) END;
        RETURN NEXT h;
    END LOOP;
END $$;

-- The largest, or NULL while one of them is not known
CREATE FUNCTION largest_step(state numeric[], value numeric) RETURNS numeric[] IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE WHEN state[1] IS NULL OR value IS NULL THEN ARRAY[NULL]::numeric[] ELSE ARRAY[greatest(state[1], value)] END
$$;
CREATE FUNCTION largest_end(state numeric[]) RETURNS numeric IMMUTABLE LANGUAGE sql AS $$ SELECT state[1] $$;
CREATE AGGREGATE largest(numeric) (SFUNC = largest_step, STYPE = numeric[], INITCOND = '{0}', FINALFUNC = largest_end);

CREATE FUNCTION covers(l limits, of_symbol text) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$
    SELECT (l.symbol IS NULL OR l.symbol = of_symbol)
           AND (l.currency IS NULL OR l.currency IN (base_of(of_symbol), quote_of(of_symbol)))
$$;

-- Does a limit look at the order?
CREATE FUNCTION judges(l limits, o asked) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$
    SELECT covers(l, o.symbol) AND (l.strategy_id IS NULL OR l.strategy_id IS NOT DISTINCT FROM o.strategy_id)
$$;

-- In units of the currency given, what is held less what is owed of it
CREATE FUNCTION currency_sum(held holding[], of_currency text) RETURNS numeric IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE WHEN bool_or(x IS NULL) THEN NULL ELSE coalesce(abs(sum(x)), 0) END
      FROM (SELECT CASE WHEN base_of(h.symbol) = of_currency THEN h.base_worth
                        ELSE -sign(h.net) * h.notional END AS x
              FROM unnest(held) AS h
             WHERE h.net <> 0 AND of_currency IN (base_of(h.symbol), quote_of(h.symbol))) AS legs
$$;

-- phase: before, after (the order is in the books) or now (there is no order);
-- one_currency: of limits of currencies, what is seen of this one only
CREATE FUNCTION measure(who uuid, l limits, o asked, phase text, equity numeric, held holding[],
                        one_currency text DEFAULT NULL) RETURNS measured STABLE LANGUAGE plpgsql AS $$
DECLARE
    a accounts;
    p periods;
    m measured;
    mark numeric;
    start numeric;
    anchored numeric;
    amount numeric;
    basis numeric := 1;
    factor numeric := CASE WHEN l.percentage THEN 100 ELSE 1 END;
    basis_of text;
    locked boolean := false;
    order_price numeric;
    reach boolean := coalesce(l.breach_op, CASE WHEN l.type LIKE '%\_loss' OR l.type LIKE '%drawdown%'
                                                  OR l.type = 'max_consecutive_losses' THEN 'reach' ELSE 'exceed' END) = 'reach';
BEGIN
    SELECT * INTO a FROM accounts WHERE user_id = who;
    start := a.initial + coalesce((SELECT sum(f.amount) FROM flows f WHERE f.user_id = who), 0);
    m.limit_id := l.id;
    m.is_ratio := l.type IN ('max_leverage', 'concentration');
    basis_of := coalesce(l.basis, CASE WHEN l.type = 'trailing_drawdown' THEN 'anchor'
                                       WHEN l.type = 'concentration' THEN 'gross'
                                       WHEN l.type IN ('max_position', 'max_order_size', 'max_order_value', 'max_exposure',
                                                       'max_symbol_exposure', 'max_currency_exposure', 'max_leverage') THEN 'equity'
                                       ELSE 'initial' END);

    CASE
    WHEN l.type IN ('daily_loss', 'weekly_loss', 'monthly_loss') THEN
        SELECT * INTO p FROM periods
         WHERE user_id = who AND kind = CASE l.type WHEN 'daily_loss' THEN 'day' WHEN 'weekly_loss' THEN 'week' ELSE 'month' END;
        anchored := CASE coalesce(l.anchor, 'max') WHEN 'balance' THEN p.balance WHEN 'equity' THEN p.equity
                         ELSE p.equity + greatest(p.balance - p.equity, 0) END;
        amount := greatest(anchored + p.deposits - equity, 0 * (anchored + equity));
    WHEN l.type LIKE '%drawdown%' THEN
        mark := CASE l.type WHEN 'trailing_drawdown' THEN a.high_water_mark
                            WHEN 'trailing_drawdown_eod' THEN greatest(start, a.eod_high_water_mark)
                            ELSE start END;
        anchored := mark;
        amount := greatest(mark - equity, 0 * equity);
    WHEN l.type = 'min_equity' THEN
        amount := 0 * equity;
    WHEN l.type = 'max_position' AND l.strategy_id IS NOT NULL THEN
        -- as a fraction of what is open by trades of the strategy
        amount := CASE WHEN l.percentage THEN NULL ELSE 0 END;
    WHEN l.type = 'max_position' THEN
        SELECT largest(CASE WHEN NOT l.percentage THEN CASE a.method WHEN 'hedging' THEN h.gross ELSE abs(h.net) END
                            WHEN a.method <> 'hedging' THEN h.notional
                            ELSE (SELECT convert(round(h.gross * coalesce(mark_of(h.symbol, x.last_price, x.last_price_at, now_is()),
                                                                          CASE WHEN o.symbol = h.symbol THEN o.price END), 8),
                                                 rate(quote_of(h.symbol), a.currency, now_is()))
                                    FROM positions_of(who) AS x WHERE x.symbol = h.symbol) END)
          INTO amount
          FROM unnest(held) AS h WHERE CASE WHEN phase = 'now' THEN covers(l, h.symbol) ELSE h.symbol = o.symbol END;
    WHEN l.type IN ('max_order_size', 'max_order_value') THEN
        amount := 0;
        IF phase = 'after' AND l.type = 'max_order_size' AND NOT l.percentage THEN
            amount := o.quantity;
        ELSIF phase = 'after' THEN
            order_price := coalesce((candle(o.symbol, now_is())).price, o.price,
                                    (SELECT mark_of(o.symbol, x.last_price, x.last_price_at, now_is())
                                       FROM positions_of(who) AS x WHERE x.symbol = o.symbol));
            amount := convert(round(o.quantity * order_price, 8), rate(quote_of(o.symbol), a.currency, now_is()));
        END IF;
    WHEN l.type = 'price_collar' THEN
        amount := 0;
        IF phase = 'after' AND o.price IS NOT NULL THEN
            order_price := (candle(o.symbol, now_is())).price;
            amount := abs(o.price - order_price);
            IF l.percentage THEN
                basis := order_price;
            END IF;
        END IF;
    WHEN l.type IN ('max_exposure', 'max_leverage') THEN
        SELECT CASE WHEN bool_or(h.notional IS NULL) THEN NULL ELSE coalesce(sum(h.notional), 0) END INTO amount
          FROM unnest(held) AS h WHERE covers(l, h.symbol);
    WHEN l.type IN ('max_symbol_exposure', 'concentration') THEN
        SELECT largest(h.notional) INTO amount FROM unnest(held) AS h
         WHERE CASE WHEN phase = 'now' THEN covers(l, h.symbol) ELSE h.symbol = o.symbol END;
    WHEN l.type = 'max_currency_exposure' THEN
        SELECT largest(currency_sum(held, c)) INTO amount
          FROM (SELECT DISTINCT c FROM unnest(held) AS h, unnest(ARRAY[base_of(h.symbol), quote_of(h.symbol)]) AS c
                 WHERE h.net <> 0) AS x
         WHERE CASE WHEN one_currency IS NOT NULL THEN c = one_currency WHEN l.currency IS NOT NULL THEN c = l.currency
                    WHEN phase = 'now' THEN true ELSE c IN (base_of(o.symbol), quote_of(o.symbol)) END;
    WHEN l.type = 'max_open_trades' THEN
        SELECT count(*) INTO amount FROM trades t
         WHERE t.user_id = who AND t.status = 'executed' AND t.closed_at IS NULL AND covers(l, t.symbol)
           AND (l.strategy_id IS NULL OR t.strategy_id = l.strategy_id);
    WHEN l.type = 'max_daily_trades' THEN
        SELECT count(*) INTO amount FROM trades t
         WHERE t.user_id = who AND t.status = 'executed' AND covers(l, t.symbol)
           AND (l.strategy_id IS NULL OR t.strategy_id = l.strategy_id)
           AND t.executed_at >= (SELECT started_at FROM periods WHERE user_id = who AND kind = 'day');
    WHEN l.type = 'max_order_rate' THEN
        SELECT count(*) INTO amount FROM unnest(l.order_times) AS r
         WHERE r > now_is() - coalesce(l.window_seconds, 60) * interval '1 second';
        IF phase = 'after' AND o.is_new AND NOT o.closed THEN
            amount := amount + 1;
        END IF;
    WHEN l.type = 'max_consecutive_losses' THEN
        SELECT losses INTO amount FROM streak_of(who, l.cleared_at, l.symbol, l.strategy_id);
    WHEN l.type = 'kill_switch' THEN
        amount := 1;
    END CASE;

    IF m.is_ratio THEN
        basis := CASE WHEN l.type = 'max_leverage' OR basis_of = 'equity' THEN greatest(equity, 0 * equity)
                      ELSE (SELECT CASE WHEN bool_or(h.notional IS NULL) THEN NULL ELSE coalesce(sum(h.notional), 0) END
                              FROM unnest(held) AS h) END;
    ELSIF l.percentage AND l.type <> 'price_collar' THEN
        basis := CASE basis_of WHEN 'initial' THEN nullif(a.initial, 0)
                               WHEN 'anchor' THEN greatest(anchored, 0 * anchored)
                               WHEN 'equity' THEN greatest(equity, 0 * equity) END;
    END IF;

    IF l.type = 'min_equity' THEN
        m.amount := greatest(round(l.value * basis / factor, 8) - equity, 0 * (equity + basis));
        m.breached := CASE WHEN reach THEN round(l.value * basis / factor, 8) >= equity ELSE m.amount > 0 END;
    ELSE
        m.amount := amount;
        IF l.lock_at IS NOT NULL AND equity IS NOT NULL AND l.lock_at + round(l.value * basis / factor, 8) < mark THEN
            locked := true;
            m.amount := greatest(l.lock_at + round(l.value * basis / factor, 8) - equity, 0);
        END IF;
        m.breached := CASE WHEN l.type = 'kill_switch' THEN true
                           WHEN locked THEN m.amount > 0 AND (equity < l.lock_at OR reach AND equity = l.lock_at)
                           WHEN reach THEN m.amount > 0 AND m.amount * factor >= l.value * basis
                           ELSE m.amount > 0 AND m.amount * factor > l.value * basis END;
    END IF;
    m.known := m.amount IS NOT NULL AND basis IS NOT NULL;
    m.breached := coalesce(m.breached, false) AND m.known;
    m.basis := basis;
    m.bound_value := l.value;
    IF m.known AND (m.amount = 0 OR basis > 0) THEN
        m.current_value := CASE WHEN m.amount = 0 THEN 0
                                WHEN l.percentage OR m.is_ratio THEN round(m.amount * factor / basis, 8)
                                ELSE m.amount END;
        IF m.current_value >= 10000000000 THEN
            m.current_value := NULL;
        END IF;
    END IF;
    RETURN m;
END $$;

CREATE FUNCTION equity_of(who uuid) RETURNS numeric STABLE LANGUAGE sql AS $$
    SELECT balance_of(who) + unrealized_of(who, now_is())
$$;

CREATE FUNCTION latches(l limits) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$
    SELECT l.type LIKE '%\_loss' OR l.type LIKE '%drawdown%' OR l.type IN ('max_consecutive_losses', 'min_equity')
$$;

CREATE FUNCTION is_latched(l limits) RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT latches(l) AND l.breached_at IS NOT NULL AND l.breached_until > now_is()
$$;

-- What each of the limits that judge an order sees; of currencies, once for each
CREATE FUNCTION measures(who uuid, o asked, phase text) RETURNS measured[] STABLE LANGUAGE plpgsql AS $$
DECLARE
    equity numeric := equity_of(who);
    held holding[] := ARRAY(SELECT h FROM holdings_of(who, o) AS h);
    seen measured[];
BEGIN
    seen := ARRAY(
        SELECT measure(who, l, o, phase, equity, held, c)
          FROM limits l
         CROSS JOIN LATERAL unnest(CASE WHEN l.type <> 'max_currency_exposure' THEN ARRAY[NULL]
                                        WHEN l.currency IS NOT NULL THEN ARRAY[l.currency]
                                        ELSE ARRAY[base_of(o.symbol), quote_of(o.symbol)] END) WITH ORDINALITY AS c (c, n)
         WHERE l.user_id = who AND l.is_active AND judges(l, o)
         ORDER BY l.id, c.n);
    -- the larger of two currencies is not known while one of them is not
    RETURN ARRAY(
        SELECT CASE WHEN bool_and(m.known) OVER (PARTITION BY m.limit_id) THEN (m.limit_id, m.known, m.amount, m.basis, m.is_ratio, m.breached, m.current_value, m.bound_value)::measured
                    ELSE (m.limit_id, false, NULL, NULL, m.is_ratio, false, NULL, NULL)::measured END
          FROM unnest(seen) WITH ORDINALITY AS m (limit_id, known, amount, basis, is_ratio, breached, current_value, bound_value, n)
         ORDER BY n);
END $$;

CREATE FUNCTION increases(b measured, f measured) RETURNS boolean IMMUTABLE LANGUAGE sql AS $$
    SELECT CASE WHEN f.is_ratio AND (b.basis > 0 OR f.basis > 0) THEN f.amount * b.basis > b.amount * f.basis
                ELSE f.amount > b.amount END
$$;

-- Raise what the engine has to raise, if it has to refuse the order.
CREATE FUNCTION decide(who uuid, o asked, before measured[], after measured[], reducing boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    l limits;
    b measured;
    f measured;
    state text := (SELECT a.state FROM accounts a WHERE a.user_id = who);
    refusing uuid[] := '{}';
    hit boolean;
BEGIN
    FOR n IN 1 .. cardinality(after) LOOP
        b := before[n];
        f := after[n];
        SELECT * INTO l FROM limits WHERE id = f.limit_id;
        -- what a reducing order costs must not keep the position open
        hit := l.type = 'kill_switch' OR is_latched(l) OR b.breached
               OR (f.breached AND NOT reducing AND NOT (latches(l) AND o.closed));
        IF hit AND (l.action = 'halt' OR l.type = 'kill_switch' AND l.action = 'block') THEN
            state := 'halted';
        ELSIF hit AND l.action = 'reduce_only' AND state = 'active' THEN
            state := 'reduce_only';
        END IF;
        IF l.action <> 'warn' AND (
               NOT f.known
               OR CASE WHEN l.type = 'kill_switch' THEN true
                       WHEN latches(l) THEN is_latched(l) OR b.breached
                                            OR NOT o.closed AND f.breached AND increases(b, f)
                       ELSE f.breached AND (NOT b.known OR increases(b, f)) END) THEN
            refusing := refusing || l.id;
        END IF;
    END LOOP;
    IF state = 'halted' OR state = 'reduce_only' AND NOT reducing THEN
        RAISE EXCEPTION 'the account is %', state USING ERRCODE = 'XF002';
    ELSIF refusing <> '{}' AND NOT reducing THEN
        RAISE EXCEPTION 'refused' USING ERRCODE = 'XF001',
            DETAIL = (SELECT string_agg(DISTINCT r::text, ' ' ORDER BY r::text) FROM unnest(refusing) AS r);
    END IF;
END $$;

-- The end of every statement that touched an account
CREATE FUNCTION finish(who uuid, latching boolean DEFAULT true) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    equity numeric := equity_of(who);
    held holding[] := ARRAY(SELECT h FROM holdings_of(who, NULL) AS h);
    l limits;
    m measured;
    a accounts;
BEGIN
    IF latching THEN
        UPDATE accounts SET high_water_mark = greatest(high_water_mark, equity) WHERE user_id = who;
    END IF;
    SELECT * INTO a FROM accounts WHERE user_id = who;
    FOR l IN SELECT * FROM limits x WHERE x.user_id = who AND x.is_active ORDER BY x.id LOOP
        m := measure(who, l, NULL, 'now', equity, held);
        IF latching AND latches(l) AND m.breached AND l.breached_at IS NULL THEN
            UPDATE limits
               SET breached_at = now_is(),
                   breached_until = CASE
                       WHEN l.type IN ('daily_loss', 'weekly_loss', 'monthly_loss')
                       THEN period_end(CASE l.type WHEN 'daily_loss' THEN 'day' WHEN 'weekly_loss' THEN 'week' ELSE 'month' END,
                                       now_is(), a.time_zone, a.cutoff)
                       ELSE coalesce(now_is() + l.cooldown_seconds * interval '1 second', 'infinity') END,
                   breach_value = m.amount
             WHERE id = l.id;
            INSERT INTO events VALUES (who, 'breached', l.id, l.type);
        END IF;
        UPDATE limits SET current_value = m.current_value WHERE id = l.id;
    END LOOP;
END $$;

--
-- Statements
--

-- Units on the other side, where the account nets
CREATE FUNCTION reduces(who uuid, o asked) RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT NOT o.closed AND a.method <> 'hedging' AND EXISTS (
               SELECT FROM positions_of(who) AS p
                WHERE p.symbol = o.symbol
                  AND o.quantity <= CASE o.type WHEN 'buy' THEN p.short_quantity ELSE p.long_quantity END)
      FROM accounts a WHERE a.user_id = who
$$;

-- A trade that is new (was is NULL) or was pending, as it is in the list now
CREATE FUNCTION place(t trades, is_new boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    o asked := (t.symbol, t.type, t.quantity, t.price,
                CASE WHEN t.status = 'executed' THEN t.executed_at ELSE now_is() END,
                t.strategy_id, t.closed_at IS NOT NULL, is_new);
    before measured[] := measures(t.user_id, o, 'before');
    after measured[];
    reducing boolean := reduces(t.user_id, o);
    history boolean := t.closed_at IS NOT NULL AND t.executed_at < (
        SELECT started_at FROM periods WHERE user_id = t.user_id AND kind = 'day');
BEGIN
    IF is_new AND t.status NOT IN ('pending', 'executed') THEN
        INSERT INTO trades SELECT t.*;
        RETURN;
    END IF;
    BEGIN
        DELETE FROM trades WHERE id = t.id;
        INSERT INTO trades SELECT (t).*;
        -- an order that waits is tried at the price of the market where it has none
        UPDATE trades x
           SET status = 'executed', executed_at = o.at,
               price = CASE WHEN t.status = 'pending' AND t.price IS NULL
                            THEN mark_of(t.symbol, (SELECT p.last_price FROM positions_of(t.user_id) AS p WHERE p.symbol = t.symbol),
                                         (SELECT p.last_price_at FROM positions_of(t.user_id) AS p WHERE p.symbol = t.symbol), now_is())
                            ELSE t.price END
         WHERE x.id = t.id;
        PERFORM fill(t.user_id, t.id, t.status = 'pending');
        IF NOT history THEN
            after := measures(t.user_id, o, 'after');
        END IF;
        IF t.status = 'pending' THEN
            -- whether it will have lost is not known before it is executed
            FOR n IN 1 .. cardinality(after) LOOP
                IF (SELECT type FROM limits WHERE id = (after[n]).limit_id) = 'max_consecutive_losses' THEN
                    after[n] := before[n];
                END IF;
            END LOOP;
            RAISE EXCEPTION 'it was only tried' USING ERRCODE = 'P0001';
        END IF;
    EXCEPTION WHEN SQLSTATE 'P0001' THEN
        IF is_new THEN
            INSERT INTO trades SELECT (t).*;
        END IF;
    END;
    IF NOT history THEN
        PERFORM decide(t.user_id, o, before, after, reducing);
        -- no more of them than the limit allows
        UPDATE limits l
           SET order_times = (l.order_times || now_is())[greatest(cardinality(l.order_times) + 2 - ceil(l.value)::int, 1):]
         WHERE l.user_id = t.user_id AND l.is_active AND l.type = 'max_order_rate' AND judges(l, o) AND is_new AND NOT o.closed;
    END IF;
END $$;

-- Accounts are ready in the order of their users; rows come in their own.
CREATE FUNCTION insert_trades(rows jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    users uuid[] := ARRAY(SELECT DISTINCT (r ->> 'user_id')::uuid AS u FROM jsonb_array_elements(rows) AS r
                           WHERE r ->> 'status' <> 'rejected' AND NOT (r ->> 'is_backtest')::boolean ORDER BY u);
    who uuid;
    item jsonb;
    t trades;
BEGIN
    FOREACH who IN ARRAY users LOOP
        PERFORM roll(who);
    END LOOP;
    FOR item IN SELECT r FROM jsonb_array_elements(rows) WITH ORDINALITY AS r (r, n)
                 WHERE NOT (r ->> 'is_backtest')::boolean ORDER BY n LOOP
        t := jsonb_populate_record(NULL::trades, item);
        t.symbol := translate(upper(t.symbol), '/_-. ', '');
        t.profit_source := 'application';
        PERFORM place(t, true);
    END LOOP;
    FOREACH who IN ARRAY users LOOP
        PERFORM finish(who);
    END LOOP;
END $$;

CREATE FUNCTION execute_trade(which uuid, at timestamptz, at_price numeric) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t trades;
BEGIN
    SELECT * INTO t FROM trades WHERE id = which;
    PERFORM roll(t.user_id);
    t.status := 'executed';
    t.executed_at := at;
    t.price := at_price;
    PERFORM place(t, false);
    PERFORM finish(t.user_id);
END $$;

CREATE FUNCTION set_price(which uuid, at_price numeric) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t trades;
    c record;
    rest numeric;
BEGIN
    SELECT * INTO t FROM trades WHERE id = which;
    PERFORM roll(t.user_id);
    -- what was closed of it takes its cost along now, newest last
    rest := CASE WHEN t.closed_at IS NULL THEN coalesce(t.open_quantity, t.quantity) ELSE 0 END;
    FOR c IN SELECT * FROM closures WHERE trade_id = which ORDER BY id DESC LOOP
        UPDATE closures SET cost = cost + round((rest + c.quantity) * at_price, 8) - round(rest * at_price, 8) WHERE id = c.id;
        rest := rest + c.quantity;
    END LOOP;
    UPDATE trades SET price = at_price WHERE id = which;
    IF t.closed_at IS NULL THEN
        INSERT INTO executions (user_id, symbol, price, at) VALUES (t.user_id, t.symbol, at_price, t.executed_at);
    END IF;
    PERFORM finish(t.user_id);
END $$;

-- A closing is refused by nothing but a halt, of the account or by a limit that covers the trade.
CREATE FUNCTION check_halt(who uuid, t trades) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    equity numeric := equity_of(who);
    held holding[] := ARRAY(SELECT h FROM holdings_of(who, NULL) AS h);
    o asked := (t.symbol, t.type, t.quantity, t.price, now_is(), t.strategy_id, false, false);
BEGIN
    IF (SELECT state FROM accounts WHERE user_id = who) = 'halted' OR EXISTS (
            SELECT FROM limits l
             WHERE l.user_id = who AND l.is_active AND judges(l, o)
               AND (l.type = 'kill_switch' AND l.action IN ('block', 'halt')
                    OR l.action = 'halt' AND (is_latched(l) OR (measure(who, l, NULL, 'now', equity, held)).breached))) THEN
        RAISE EXCEPTION 'halted' USING ERRCODE = 'XF002';
    END IF;
END $$;

-- What the application writes was not computed.
CREATE FUNCTION write_profit(trade uuid, gain numeric) RETURNS void LANGUAGE sql AS $$
    UPDATE trades SET profit = gain, profit_source = 'application', conversion_rate = NULL, conversion_pair = NULL, conversion_at = NULL
     WHERE id = trade AND profit IS DISTINCT FROM gain
$$;

CREATE FUNCTION close_by_application(trade uuid, at timestamptz, gain numeric, fee numeric, carried numeric) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    t trades;
BEGIN
    SELECT * INTO t FROM trades WHERE id = trade;
    PERFORM roll(t.user_id);
    PERFORM check_halt(t.user_id, t);
    PERFORM leave(t.user_id, trade, coalesce(t.open_quantity, t.quantity), at);
    UPDATE closures SET profit = gain - coalesce(t.profit, 0) WHERE id = (SELECT max(id) FROM closures WHERE trade_id = trade);
    UPDATE trades SET closed_at = at, commission = fee, swap = carried WHERE id = trade;
    PERFORM write_profit(trade, gain);
    PERFORM move_anchors(t.user_id, gain - coalesce(t.profit, 0) - (fee - coalesce(t.commission, 0))
                                    + carried - coalesce(t.swap, 0), at);
    PERFORM finish(t.user_id);
END $$;

CREATE FUNCTION close_several(rows jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    who uuid;
    r record;
BEGIN
    FOR who IN SELECT DISTINCT t.user_id FROM trades t WHERE t.id IN (SELECT (j ->> 'id')::uuid FROM jsonb_array_elements(rows) AS j) LOOP
        PERFORM roll(who);
    END LOOP;
    -- a halt is one of the state before
    FOR r IN SELECT t FROM trades t WHERE t.id IN (SELECT (j ->> 'id')::uuid FROM jsonb_array_elements(rows) AS j) LOOP
        PERFORM check_halt((r.t).user_id, r.t);
    END LOOP;
    FOR r IN SELECT t.*, (j ->> 'gain')::numeric AS gain FROM jsonb_array_elements(rows) AS j JOIN trades t ON t.id = (j ->> 'id')::uuid LOOP
        PERFORM leave(r.user_id, r.id, coalesce(r.open_quantity, r.quantity), now_is());
        UPDATE closures SET profit = r.gain - coalesce(r.profit, 0) WHERE id = (SELECT max(id) FROM closures WHERE trade_id = r.id);
        UPDATE trades SET closed_at = now_is() WHERE id = r.id;
        PERFORM write_profit(r.id, r.gain);
        PERFORM move_anchors(r.user_id, r.gain - coalesce(r.profit, 0), now_is());
    END LOOP;
    FOR who IN SELECT DISTINCT t.user_id FROM trades t WHERE t.id IN (SELECT (j ->> 'id')::uuid FROM jsonb_array_elements(rows) AS j) LOOP
        PERFORM finish(who);
    END LOOP;
END $$;

CREATE FUNCTION close_by_engine(trade uuid, at_price numeric, at timestamptz, fee numeric, carried numeric, units numeric)
RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    t trades;
    gain numeric;
BEGIN
    SELECT * INTO t FROM trades WHERE id = trade;
    PERFORM roll(t.user_id);
    IF t.status = 'executed' AND t.closed_at IS NULL THEN
        PERFORM check_halt(t.user_id, t);
    END IF;
    gain := close_trade(t.user_id, trade, at_price, at, fee, carried, units);
    PERFORM finish(t.user_id);
    RETURN gain;
END $$;

CREATE FUNCTION correct_profit(trade uuid, gain numeric) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t trades;
BEGIN
    SELECT * INTO t FROM trades WHERE id = trade;
    PERFORM roll(t.user_id);
    PERFORM write_profit(trade, gain);
    PERFORM move_anchors(t.user_id, gain - coalesce(t.profit, 0), now_is());
    PERFORM finish(t.user_id);
END $$;

CREATE FUNCTION correct_costs(trade uuid, fee numeric, carried numeric) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t trades;
BEGIN
    SELECT * INTO t FROM trades WHERE id = trade;
    IF coalesce(t.commission, 0) = fee AND coalesce(t.swap, 0) = carried THEN
        UPDATE trades SET commission = fee, swap = carried WHERE id = trade;
        RETURN;
    END IF;
    PERFORM roll(t.user_id);
    UPDATE trades SET commission = fee, swap = carried WHERE id = trade;
    PERFORM move_anchors(t.user_id, coalesce(t.commission, 0) - fee + carried - coalesce(t.swap, 0), now_is());
    PERFORM finish(t.user_id);
END $$;

-- The engine has made the books of the user again.  What they were at some time is its word; the rest is not.
CREATE FUNCTION adopt(trade uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t trades;
    b record;
BEGIN
    SELECT * INTO t FROM trades WHERE id = trade;
    DELETE FROM closures WHERE trade_id = trade OR closing_trade_id = trade;
    DELETE FROM trades WHERE id = trade;
    IF t.status <> 'executed' THEN
        RETURN;
    END IF;
    -- what the deleted trade left of the cost of a side that is empty
    UPDATE closures c SET cost = c.cost + x.cost
      FROM (SELECT p.symbol, 'buy' AS type, p.long_cost AS cost FROM positions_of(t.user_id) AS p WHERE p.long_quantity = 0
            UNION ALL
            SELECT p.symbol, 'sell', p.short_cost FROM positions_of(t.user_id) AS p WHERE p.short_quantity = 0) AS x
     WHERE x.cost <> 0
       AND c.id = (SELECT max(n.id) FROM closures n WHERE n.user_id = t.user_id AND n.symbol = x.symbol AND n.type = x.type);
    SELECT * INTO b FROM fx.accounts a WHERE a.user_id = t.user_id;
    UPDATE accounts SET high_water_mark = b.high_water_mark, eod_high_water_mark = b.eod_high_water_mark,
                        day_ends_at = b.day_ends_at WHERE user_id = t.user_id;
    UPDATE periods SET started_at = CASE kind WHEN 'day' THEN b.day_started_at WHEN 'week' THEN b.week_started_at ELSE b.month_started_at END,
                       balance = CASE kind WHEN 'day' THEN b.day_balance WHEN 'week' THEN b.week_balance ELSE b.month_balance END,
                       equity = CASE kind WHEN 'day' THEN b.day_equity WHEN 'week' THEN b.week_equity ELSE b.month_equity END,
                       deposits = CASE kind WHEN 'day' THEN b.day_deposits WHEN 'week' THEN b.week_deposits ELSE b.month_deposits END
     WHERE user_id = t.user_id;
    DELETE FROM executions WHERE user_id = t.user_id;
    INSERT INTO executions (user_id, symbol, price, at)
    SELECT p.user_id, p.symbol, p.last_price, p.last_price_at FROM fx.positions p
     WHERE p.user_id = t.user_id AND p.last_price IS NOT NULL;
    PERFORM roll(t.user_id);
    PERFORM finish(t.user_id);
END $$;

CREATE FUNCTION change_initial(who uuid, new_initial numeric) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    more numeric := new_initial - (SELECT initial FROM accounts WHERE user_id = who);
BEGIN
    IF more = 0 THEN
        RETURN;
    END IF;
    PERFORM roll(who);
    UPDATE accounts SET initial = new_initial, high_water_mark = high_water_mark + more,
                        eod_high_water_mark = eod_high_water_mark + more WHERE user_id = who;
    UPDATE periods SET balance = balance + more, equity = equity + more WHERE user_id = who;
    PERFORM finish(who);
END $$;

-- The day under way goes on to the next cut of the new clock.
CREATE FUNCTION change_zone(who uuid, zone text, cut_at time) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM accounts WHERE user_id = who AND time_zone = zone AND cutoff = cut_at) THEN
        RETURN;
    END IF;
    PERFORM roll(who, false);
    UPDATE accounts SET time_zone = zone, cutoff = cut_at, day_ends_at = period_end('day', now_is(), zone, cut_at)
     WHERE user_id = who;
    UPDATE periods SET started_at = period_start(kind, now_is(), zone, cut_at) WHERE user_id = who AND kind <> 'day';
END $$;

CREATE FUNCTION cancel(trade uuid) RETURNS void LANGUAGE sql AS $$
    UPDATE trades SET status = 'cancelled' WHERE id = trade
$$;

CREATE FUNCTION pay(who uuid, paid numeric) RETURNS numeric LANGUAGE plpgsql AS $$
BEGIN
    PERFORM roll(who);
    IF balance_of(who) + paid < 0 AND paid < 0 THEN
        RAISE EXCEPTION 'more than there is' USING ERRCODE = '22023';
    END IF;
    INSERT INTO flows VALUES (who, paid);
    UPDATE accounts SET high_water_mark = high_water_mark + paid, eod_high_water_mark = eod_high_water_mark + paid
     WHERE user_id = who;
    UPDATE periods SET deposits = deposits + paid WHERE user_id = who;
    PERFORM finish(who);
    RETURN balance_of(who);
END $$;

CREATE FUNCTION observe(who uuid) RETURNS numeric LANGUAGE plpgsql AS $$
BEGIN
    PERFORM roll(who);
    PERFORM finish(who);
    RETURN equity_of(who);
END $$;

CREATE FUNCTION set_state(who uuid, new_state text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM roll(who, false);
    UPDATE accounts SET state = new_state WHERE user_id = who;
END $$;

CREATE FUNCTION put_limit(item jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l limits := jsonb_populate_record(NULL::limits, item);
BEGIN
    l.percentage := item ->> 'limit_type' = 'percentage';
    l.value := (item ->> 'limit_value')::numeric;
    l.is_active := true;
    l.action := coalesce(l.action, 'block');
    l.warning_level := coalesce(l.warning_level, 80);
    l.order_times := '{}';
    INSERT INTO limits SELECT l.*;
    PERFORM roll(l.user_id);
    PERFORM finish(l.user_id);
END $$;

CREATE FUNCTION change_limit(which uuid, new_value numeric, active boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l limits;
BEGIN
    UPDATE limits SET value = new_value, is_active = active WHERE id = which RETURNING * INTO l;
    PERFORM roll(l.user_id);
    PERFORM finish(l.user_id);
END $$;

CREATE FUNCTION clear_breach(which uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    l limits;
    equity numeric;
BEGIN
    PERFORM roll((SELECT user_id FROM limits WHERE id = which));
    SELECT * INTO l FROM limits WHERE id = which;
    equity := equity_of(l.user_id);
    IF NOT is_latched(l) AND NOT (latches(l) AND (measure(l.user_id, l, NULL, 'now', equity,
                                                          ARRAY(SELECT h FROM holdings_of(l.user_id, NULL) AS h))).breached) THEN
        PERFORM finish(l.user_id, false);
        RETURN;
    END IF;
    IF l.type LIKE 'trailing%' AND equity IS NULL THEN
        RAISE EXCEPTION 'equity is not known' USING ERRCODE = '55000';
    END IF;
    UPDATE limits SET breached_at = NULL, breached_until = NULL, breach_value = NULL, cleared_at = now_is() WHERE id = which;
    INSERT INTO events VALUES (l.user_id, 'cleared', l.id, l.type);
    IF l.type = 'trailing_drawdown' THEN
        UPDATE accounts SET high_water_mark = coalesce(equity, high_water_mark) WHERE user_id = l.user_id;
    ELSIF l.type = 'trailing_drawdown_eod' THEN
        UPDATE accounts SET eod_high_water_mark = coalesce(equity, eod_high_water_mark) WHERE user_id = l.user_id;
    END IF;
    -- what is breached still latches again at the next event
    PERFORM finish(l.user_id, false);
END $$;

-- What readers see: as if somebody had looked now, but nothing stays
CREATE FUNCTION utilization(who uuid) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    seen text;
BEGIN
    PERFORM roll(who);
    PERFORM finish(who);
    SELECT string_agg(l.id || ' ' || coalesce(trim_scale(l.current_value)::text, 'unknown'), ', ' ORDER BY l.id) INTO seen
      FROM limits l WHERE l.user_id = who AND l.is_active;
    RAISE EXCEPTION 'it was only looked at' USING ERRCODE = 'P0001';
EXCEPTION WHEN SQLSTATE 'P0001' THEN
    RETURN seen;
END $$;

-- The limits that would refuse a trade, or the state
CREATE FUNCTION check_risk(t trades) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    about text;
BEGIN
    PERFORM roll(t.user_id);
    PERFORM place(t, true);
    RAISE EXCEPTION 'it was only looked at' USING ERRCODE = 'P0001';
EXCEPTION
    WHEN SQLSTATE 'P0001' THEN
        RETURN 'allowed';
    WHEN SQLSTATE 'XF001' THEN
        GET STACKED DIAGNOSTICS about = PG_EXCEPTION_DETAIL;
        RETURN about;
    WHEN SQLSTATE 'XF002' THEN
        RETURN 'state';
END $$;

--
-- What is stored, against what it has to be
--

CREATE FUNCTION differences(who uuid) RETURNS TABLE (what text, stored jsonb, expected jsonb) STABLE LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    SELECT 'account', s.row, e.row
      FROM (SELECT jsonb_build_object('balance', b.balance, 'net_deposits', b.net_deposits, 'hwm', b.high_water_mark,
                       'eod', b.eod_high_water_mark, 'day', b.day_started_at, 'day_balance', b.day_balance, 'day_equity', b.day_equity,
                       'day_deposits', b.day_deposits, 'week', b.week_started_at, 'week_balance', b.week_balance,
                       'week_equity', b.week_equity, 'week_deposits', b.week_deposits, 'month', b.month_started_at,
                       'month_balance', b.month_balance, 'month_equity', b.month_equity, 'month_deposits', b.month_deposits,
                       'day_ends', b.day_ends_at, 'open', b.open_trades, 'day_trades', b.day_trades,
                       'losses', b.consecutive_losses, 'losing_since', b.losing_since, 'last_closed', b.last_closed_at,
                       'state', b.trading_state) AS row
              FROM fx.accounts b WHERE b.user_id = who) AS s,
           (SELECT jsonb_build_object('balance', balance_of(who),
                       'net_deposits', coalesce((SELECT sum(f.amount) FROM flows f WHERE f.user_id = who), 0),
                       'hwm', a.high_water_mark, 'eod', a.eod_high_water_mark,
                       'day', d.started_at, 'day_balance', d.balance, 'day_equity', d.equity, 'day_deposits', d.deposits,
                       'week', w.started_at, 'week_balance', w.balance, 'week_equity', w.equity, 'week_deposits', w.deposits,
                       'month', m.started_at, 'month_balance', m.balance, 'month_equity', m.equity, 'month_deposits', m.deposits,
                       'day_ends', a.day_ends_at, 'open', t.open, 'day_trades', t.today,
                       'losses', k.losses, 'losing_since', k.losing_since, 'last_closed', t.last_closed, 'state', a.state) AS row
              FROM accounts a
              JOIN periods d ON d.user_id = who AND d.kind = 'day'
              JOIN periods w ON w.user_id = who AND w.kind = 'week'
              JOIN periods m ON m.user_id = who AND m.kind = 'month'
             CROSS JOIN streak_of(who) AS k
             CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE x.closed_at IS NULL) AS open,
                                        count(*) FILTER (WHERE x.executed_at >= d.started_at) AS today,
                                        max(x.closed_at) AS last_closed
                                   FROM trades x WHERE x.user_id = who AND x.status = 'executed') AS t
             WHERE a.user_id = who) AS e
     WHERE s.row <> e.row;

    RETURN QUERY
    SELECT 'position ' || coalesce(s.row ->> 'symbol', e.row ->> 'symbol'), s.row, e.row
      FROM (SELECT jsonb_build_object('symbol', p.symbol, 'long', p.long_quantity, 'short', p.short_quantity,
                       'long_cost', p.long_cost, 'short_cost', p.short_cost, 'average', p.average_price,
                       'realized', p.realized_pnl, 'open', p.open_trades, 'unpriced', p.unpriced_trades,
                       'last', p.last_price, 'last_at', p.last_price_at) AS row
              FROM fx.positions p WHERE p.user_id = who) AS s
      FULL JOIN (SELECT jsonb_build_object('symbol', p.symbol, 'long', p.long_quantity, 'short', p.short_quantity,
                       'long_cost', p.long_cost, 'short_cost', p.short_cost,
                       'average', CASE WHEN p.long_quantity <> p.short_quantity
                                       THEN round((p.long_cost - p.short_cost) / (p.long_quantity - p.short_quantity), 8) END,
                       'realized', p.realized_pnl, 'open', p.open_trades, 'unpriced', p.unpriced_trades,
                       'last', p.last_price, 'last_at', p.last_price_at) AS row
                   FROM positions_of(who) AS p) AS e ON e.row ->> 'symbol' = s.row ->> 'symbol'
     WHERE s.row IS DISTINCT FROM e.row;

    RETURN QUERY
    SELECT 'trade', s.row, e.row
      FROM (SELECT jsonb_build_object('id', t.id, 'status', t.status, 'profit', t.profit, 'commission', t.commission,
                       'swap', t.swap, 'executed_at', t.executed_at, 'closed_at', t.closed_at, 'open', t.open_quantity,
                       'close_price', t.close_price, 'source', t.profit_source, 'method', t.position_method,
                       'rate', round(t.conversion_rate, 12), 'pair', t.conversion_pair, 'rate_at', t.conversion_at) AS row
              FROM fx.trades t WHERE t.user_id = who AND NOT t.is_backtest) AS s
      FULL JOIN (SELECT jsonb_build_object('id', t.id, 'status', t.status, 'profit', t.profit, 'commission', t.commission,
                       'swap', t.swap, 'executed_at', t.executed_at, 'closed_at', t.closed_at, 'open', t.open_quantity,
                       'close_price', t.close_price, 'source', t.profit_source, 'method', t.position_method,
                       'rate', round(t.conversion_rate, 12), 'pair', t.conversion_pair, 'rate_at', t.conversion_at) AS row
                   FROM trades t WHERE t.user_id = who) AS e ON e.row -> 'id' = s.row -> 'id'
     WHERE s.row IS DISTINCT FROM e.row;

    RETURN QUERY
    SELECT 'closure', s.row, e.row
      FROM (SELECT jsonb_build_object('trade', c.trade_id, 'by', c.closing_trade_id, 'quantity', c.quantity, 'cost', c.cost,
                       'realized', c.realized, 'profit', c.profit, 'source', c.profit_source,
                       'n', row_number() OVER (PARTITION BY c.trade_id ORDER BY c.id)) AS row
              FROM fx.closures c WHERE c.user_id = who) AS s
      FULL JOIN (SELECT jsonb_build_object('trade', c.trade_id, 'by', c.closing_trade_id, 'quantity', c.quantity, 'cost', c.cost,
                       'realized', c.realized, 'profit', c.profit, 'source', c.profit_source,
                       'n', row_number() OVER (PARTITION BY c.trade_id ORDER BY c.id)) AS row
                   FROM closures c WHERE c.user_id = who) AS e
        ON e.row -> 'trade' = s.row -> 'trade' AND e.row -> 'n' = s.row -> 'n'
     WHERE s.row IS DISTINCT FROM e.row;

    RETURN QUERY
    SELECT 'limit ' || coalesce(s.row ->> 'type', e.row ->> 'type'), s.row, e.row
      FROM (SELECT jsonb_build_object('id', l.id, 'type', l.type, 'current', l.current_value, 'breached_at', x.breached_at,
                       'until', x.breached_until, 'value', x.breach_value, 'cleared', x.cleared_at) AS row
              FROM fx.risk_limits l
              LEFT JOIN fx.risk_limit_state x ON x.user_id = l.user_id AND x.limit_id = l.id
             WHERE l.user_id = who AND l.is_active) AS s
      FULL JOIN (SELECT jsonb_build_object('id', l.id, 'type', l.type, 'current', l.current_value, 'breached_at', l.breached_at,
                       'until', l.breached_until, 'value', l.breach_value, 'cleared', l.cleared_at) AS row
                   FROM limits l WHERE l.user_id = who AND l.is_active) AS e ON e.row -> 'id' = s.row -> 'id'
     WHERE s.row IS DISTINCT FROM e.row;

    RETURN QUERY
    SELECT 'events', s.row, e.row
      FROM (SELECT jsonb_build_object('id', v.limit_id, 'event', v.event, 'type', v.type, 'count', count(*)) AS row
              FROM fx.risk_events v WHERE v.user_id = who AND v.event IN ('breached', 'cleared') GROUP BY v.limit_id, v.event, v.type) AS s
      FULL JOIN (SELECT jsonb_build_object('id', v.limit_id, 'event', v.event, 'type', v.type, 'count', count(*)) AS row
                   FROM events v WHERE v.user_id = who GROUP BY v.limit_id, v.event, v.type) AS e
        ON e.row -> 'id' = s.row -> 'id' AND e.row -> 'event' = s.row -> 'event'
     WHERE s.row IS DISTINCT FROM e.row;
END $$;
