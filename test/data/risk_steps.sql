--
-- Random steps for the engine and its oracle
--
-- A step is a statement for each of the two.  Both must do the same: fail with
-- the same SQLSTATE, by the same limits, or leave the same rows.
--
SET search_path = oracle, pg_catalog;

CREATE TABLE traders (
    n integer PRIMARY KEY,
    user_id uuid NOT NULL,
    currency text NOT NULL,
    initial numeric NOT NULL,
    method text NOT NULL,
    time_zone text NOT NULL,
    cutoff time NOT NULL,
    strategies uuid[] NOT NULL
);
CREATE TABLE market (symbol text PRIMARY KEY, price numeric NOT NULL, digits integer NOT NULL);
CREATE TABLE journal (n integer, clock text, engine text, oracle text, engine_result text, oracle_result text);
CREATE SEQUENCE made;

CREATE FUNCTION dice() RETURNS double precision VOLATILE LANGUAGE sql AS $$ SELECT random() $$;
CREATE FUNCTION uniform(low double precision, high double precision) RETURNS double precision VOLATILE LANGUAGE sql AS $$
    SELECT low + random() * (high - low)
$$;
CREATE FUNCTION pick(items text[]) RETURNS text VOLATILE LANGUAGE sql AS $$
    SELECT items[1 + floor(random() * cardinality(items))::int]
$$;
CREATE FUNCTION new_id() RETURNS uuid VOLATILE LANGUAGE sql AS $$
    SELECT md5('id' || nextval('made') || random())::uuid
$$;
-- from 1 to 10^to_power, most small, some with all decimals
CREATE FUNCTION some_quantity(to_power double precision) RETURNS numeric VOLATILE LANGUAGE sql AS $$
    SELECT greatest(round((10 ^ uniform(2, to_power))::numeric, CASE WHEN dice() < 0.2 THEN 8 ELSE -2 END), 0.01)
$$;

CREATE PROCEDURE set_clock(at timestamptz) LANGUAGE sql AS $$
    SELECT set_config('fxplatform.clock', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), false)
$$;

CREATE PROCEDURE prepare(begins timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    t traders;
    s uuid;
BEGIN
    CALL set_clock(begins);
    INSERT INTO traders
    SELECT n, md5('user ' || n)::uuid, v.currency, v.initial, v.method, v.time_zone, v.cutoff::time,
           ARRAY[md5('strategy ' || n)::uuid, md5('another ' || n)::uuid]
      FROM (VALUES (1, 'USD', 100000, 'netting', 'America/New_York', '17:00'),
                   (2, 'EUR', 50000, 'fifo', 'Europe/Prague', '00:00'),
                   (3, 'JPY', 20000000, 'hedging', 'Asia/Tokyo', '07:00'),
                   (4, 'GBP', 0, 'fifo', 'UTC', '00:30'),
                   (5, 'USD', 30000, 'netting', 'America/New_York', '02:30'),
                   (6, 'EUR', 200000, 'hedging', 'Australia/Lord_Howe', '21:00')
           ) AS v (n, currency, initial, method, time_zone, cutoff);
    INSERT INTO market VALUES ('EURUSD', 1.085, 5), ('GBPUSD', 1.265, 5), ('USDJPY', 150.1, 3), ('EURGBP', 0.857, 5),
                              ('EURJPY', 162.8, 3), ('AUDCAD', 0.885, 5);
    PERFORM fx.create_market_data_partitions('2024-01-01', '2025-12-01');
    UPDATE fx.instruments SET swap_long = -7.2, swap_short = 3.1 WHERE symbol IN ('EURUSD', 'EURGBP');
    UPDATE fx.instruments SET swap_long = 11.05 WHERE symbol = 'USDJPY';

    FOR t IN SELECT * FROM traders ORDER BY n LOOP
        INSERT INTO fx.users (id, email, username, password_hash, preferences)
        VALUES (t.user_id, 'user' || t.n || '@example.com', 'user' || t.n, 'x',
                jsonb_build_object('initialBalance', t.initial, 'accountCurrency', t.currency));
        UPDATE fx.accounts SET position_method = t.method, time_zone = t.time_zone, day_cutoff = t.cutoff
         WHERE user_id = t.user_id;
        FOREACH s IN ARRAY t.strategies LOOP
            INSERT INTO fx.strategies (id, user_id, name, type) VALUES (s, t.user_id, s::text, 'manual');
        END LOOP;
        PERFORM open_account(t.user_id, t.currency, t.initial, t.method, t.time_zone, t.cutoff);
    END LOOP;
END $$;

-- Mostly seconds pass, sometimes the days of some account end.
CREATE PROCEDURE pass_time() LANGUAGE plpgsql AS $$
DECLARE
    clock timestamptz := now_is();
    d double precision := dice();
BEGIN
    clock := clock + CASE
        WHEN d < 0.70 THEN uniform(0, 60) * interval '1 second'
        WHEN d < 0.90 THEN uniform(0, 30) * interval '1 minute'
        WHEN d < 0.96 THEN uniform(0, 10) * interval '1 hour'
        WHEN d < 0.97 THEN uniform(1, 6) * interval '1 day'
        ELSE interval '0' END;
    IF d >= 0.97 THEN
        -- the cut itself, and its neighbours
        SELECT a.day_ends_at + floor(uniform(-1, 2)) * interval '1 microsecond' INTO clock
          FROM (SELECT * FROM accounts ORDER BY user_id) AS a WHERE a.day_ends_at > clock + interval '1 second' ORDER BY dice() LIMIT 1;
        clock := coalesce(clock, now_is());
    END IF;
    CALL set_clock(clock);
END $$;

CREATE PROCEDURE move_prices(share double precision) LANGUAGE plpgsql AS $$
DECLARE
    m market;
    minute timestamptz := date_trunc('minute', now_is());
BEGIN
    FOR m IN SELECT * FROM market ORDER BY symbol LOOP
        CONTINUE WHEN dice() > share;
        m.price := round(m.price * (1 + uniform(-0.004, 0.004))::numeric, m.digits);
        UPDATE market SET price = m.price WHERE symbol = m.symbol;
        INSERT INTO candles VALUES (m.symbol, minute, m.price) ON CONFLICT (symbol, at) DO UPDATE SET close = m.price;
        INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price)
        VALUES (m.symbol, '1m', minute, m.price, m.price, m.price, m.price)
            ON CONFLICT (symbol, timeframe, timestamp) DO UPDATE
           SET open_price = m.price, high_price = m.price, low_price = m.price, close_price = m.price;
    END LOOP;
END $$;

CREATE FUNCTION some_trade(t traders) RETURNS jsonb VOLATILE LANGUAGE plpgsql AS $$
DECLARE
    m market;
    clock timestamptz := now_is();
    d double precision := dice();
    status text := CASE WHEN d < 0.75 THEN 'executed' WHEN d < 0.88 THEN 'pending' WHEN d < 0.98 THEN 'closed' ELSE 'rejected' END;
    at timestamptz;
    closed timestamptz;
    money numeric := t.initial / 10000 + 10;
    written numeric;
BEGIN
    SELECT * INTO m FROM (SELECT * FROM market ORDER BY symbol) AS p WHERE symbol <> 'AUDCAD' OR dice() < 0.2 ORDER BY dice() LIMIT 1;
    d := dice();
    at := CASE WHEN status IN ('pending', 'rejected') THEN NULL
               WHEN d < 0.85 THEN clock
               WHEN d < 0.92 THEN clock - uniform(0, 60) * interval '1 minute'
               WHEN d < 0.99 THEN clock - uniform(0, 96) * interval '1 hour'
               ELSE clock + uniform(0, 10) * interval '1 minute' END;
    IF status = 'closed' THEN
        at := clock - uniform(0, 72) * interval '1 hour';
        closed := at + (clock - at) * dice();
    END IF;
    d := dice();
    written := CASE WHEN status = 'closed' OR d < 0.08 THEN round(uniform(-1, 1)::numeric * money * 3, 2)
                    WHEN d < 0.9 THEN 0 END;
    RETURN jsonb_build_object(
        'id', new_id(), 'user_id', t.user_id,
        'strategy_id', CASE WHEN dice() < 0.5 THEN t.strategies[1 + floor(dice() * 2)::int] END,
        'symbol', CASE WHEN dice() < 0.9 THEN m.symbol ELSE lower(left(m.symbol, 3) || '/' || right(m.symbol, 3)) END,
        'type', pick('{buy,sell}'), 'order_type', 'market',
        'quantity', some_quantity(4.7),
        'price', CASE WHEN dice() > CASE status WHEN 'executed' THEN 0.02 ELSE 0.3 END
                      THEN round(m.price * CASE WHEN dice() < 0.8 THEN 1 ELSE uniform(0.98, 1.02) END::numeric, m.digits) END,
        'profit', written,
        'commission', CASE WHEN dice() < 0.5 THEN round(dice()::numeric * money / 20, 4) WHEN dice() < 0.9 THEN 0 END,
        'swap', CASE WHEN dice() < 0.1 THEN round(uniform(-1, 1)::numeric * money / 20, 4) WHEN dice() < 0.9 THEN 0 END,
        'is_backtest', dice() < 0.03,
        'status', CASE status WHEN 'closed' THEN 'executed' ELSE status END,
        'executed_at', at, 'closed_at', closed);
END $$;

CREATE FUNCTION some_limit(t traders) RETURNS jsonb VOLATILE LANGUAGE plpgsql AS $$
DECLARE
    kind text := pick('{daily_loss,weekly_loss,monthly_loss,max_drawdown,trailing_drawdown,trailing_drawdown_eod,max_position,
        max_order_size,max_order_value,max_exposure,max_symbol_exposure,max_currency_exposure,max_leverage,concentration,
        max_open_trades,max_daily_trades,max_order_rate,max_consecutive_losses,price_collar,min_equity}');
    is_loss boolean := kind LIKE '%loss' OR kind LIKE '%drawdown%';
    is_count boolean := kind IN ('max_open_trades', 'max_daily_trades', 'max_order_rate', 'max_consecutive_losses');
    is_size boolean := kind IN ('max_position', 'max_order_size', 'max_order_value', 'max_exposure', 'max_symbol_exposure', 'max_currency_exposure');
    unit text := CASE WHEN kind = 'concentration' OR NOT is_count AND dice() < 0.5 THEN 'percentage' ELSE 'absolute' END;
    money numeric := t.initial + 1000;
    size numeric := money / CASE t.currency WHEN 'JPY' THEN 150 ELSE 1 END;
    symbol_scope text;
    currency_scope text;
    strategy_scope uuid;
BEGIN
    IF dice() < 0.02 THEN
        kind := 'kill_switch';
        unit := 'absolute';
    END IF;
    IF kind IN ('max_position', 'max_order_size', 'max_order_value', 'max_exposure', 'max_symbol_exposure', 'concentration',
                'max_open_trades', 'max_daily_trades', 'max_order_rate', 'max_consecutive_losses', 'price_collar', 'kill_switch')
       AND dice() < 0.3 OR kind = 'kill_switch' AND dice() < 0.7 THEN
        symbol_scope := pick('{EURUSD,GBPUSD,USDJPY,EURGBP}');
    ELSIF is_size AND dice() < 0.3 THEN
        currency_scope := pick('{EUR,USD,GBP,JPY}');
    END IF;
    IF kind IN ('max_order_size', 'max_order_value', 'max_daily_trades', 'max_order_rate', 'price_collar', 'kill_switch') AND dice() < 0.2 THEN
        strategy_scope := t.strategies[1 + floor(dice() * 2)::int];
    END IF;
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'id', new_id(), 'user_id', t.user_id, 'name', kind || ' of ' || t.n, 'type', kind, 'limit_type', unit,
        'limit_value', CASE
            WHEN kind = 'concentration' THEN round(uniform(30, 100)::numeric, 2)
            WHEN kind = 'max_leverage' THEN round((10 ^ uniform(-1, 1))::numeric, 2) * CASE unit WHEN 'percentage' THEN 100 ELSE 1 END
            WHEN kind = 'price_collar' THEN CASE unit WHEN 'percentage' THEN round(uniform(0, 2)::numeric, 3) ELSE round(uniform(0, 0.03)::numeric, 4) END
            WHEN kind = 'min_equity' THEN CASE unit WHEN 'percentage' THEN 90 ELSE round(money * 0.9, 2) END
            WHEN kind = 'max_daily_trades' THEN floor(uniform(2, 20))
            WHEN is_count THEN floor(uniform(1, 8))
            WHEN kind = 'kill_switch' THEN 0
            WHEN is_loss AND unit = 'percentage' THEN round(uniform(0, 4)::numeric, 2)
            WHEN is_loss THEN round(money * uniform(0, 0.04)::numeric, 2)
            WHEN unit = 'percentage' THEN round((10 ^ uniform(1, 2.5))::numeric, 2)
            WHEN kind IN ('max_position', 'max_order_size') THEN round(size * (10 ^ uniform(-1, 0.5))::numeric, 0)
            ELSE round(money * (10 ^ uniform(-1, 0.5))::numeric, 2) END,
        'symbol', symbol_scope, 'currency', currency_scope, 'strategy_id', strategy_scope,
        'action', CASE WHEN kind = 'kill_switch' OR dice() < 0.7 THEN 'block' ELSE pick('{warn,reduce_only,halt}') END,
        'anchor', CASE WHEN kind IN ('daily_loss', 'weekly_loss', 'monthly_loss') AND dice() < 0.6 THEN pick('{balance,equity,max}') END,
        'basis', CASE WHEN unit = 'absolute' OR dice() < 0.4 THEN NULL
                      WHEN kind IN ('daily_loss', 'weekly_loss', 'monthly_loss', 'trailing_drawdown', 'trailing_drawdown_eod') THEN pick('{initial,anchor}')
                      WHEN is_size THEN pick('{initial,equity}')
                      WHEN kind = 'concentration' THEN pick('{gross,equity}') END,
        'breach_op', CASE WHEN dice() < 0.2 THEN pick('{reach,exceed}') END,
        'lock_at', CASE WHEN kind LIKE 'trailing%' AND dice() < 0.3 THEN round(money * uniform(0.97, 1)::numeric, 2) END,
        'window_seconds', CASE WHEN kind = 'max_order_rate' AND dice() < 0.5 THEN floor(uniform(1, 600)) END,
        'cooldown_seconds', CASE WHEN kind = 'max_consecutive_losses' AND dice() < 0.5 THEN floor(uniform(1, 7200)) END));
END $$;

-- The statement of a step for the engine, and that for the oracle
CREATE PROCEDURE next_step(INOUT engine text, INOUT oracle text) LANGUAGE plpgsql AS $$
DECLARE
    t traders;
    rows jsonb := '[]';
    d double precision := dice();
    x trades;
    l limits;
    item jsonb;
    numbers numeric[];
    at timestamptz;
BEGIN
    SELECT * INTO t FROM (SELECT * FROM traders ORDER BY n) AS p ORDER BY dice() LIMIT 1;
    engine := NULL;

    IF d < 0.05 THEN
        SELECT * INTO x FROM (SELECT * FROM trades ORDER BY id) AS p WHERE p.user_id = t.user_id AND p.status = 'pending' ORDER BY dice() LIMIT 1;
        IF FOUND THEN
            engine := format('UPDATE fx.trades SET status = %L WHERE id = %L', 'cancelled', x.id);
            oracle := format('SELECT cancel(%L)', x.id);
            RETURN;
        END IF;
    ELSIF d < 0.15 THEN
        SELECT * INTO x FROM (SELECT * FROM trades ORDER BY id) AS p WHERE p.user_id = t.user_id AND p.status = 'pending' ORDER BY dice() LIMIT 1;
        IF FOUND THEN
            SELECT coalesce(x.price, m.price) INTO x.price FROM market m WHERE m.symbol = x.symbol;
            engine := format('UPDATE fx.trades SET status = ''executed'', executed_at = %L, price = %s WHERE id = %L', now_is(), x.price, x.id);
            oracle := format('SELECT execute_trade(%L, %L, %s)', x.id, now_is(), x.price);
            RETURN;
        END IF;
    ELSIF d < 0.31 THEN
        SELECT * INTO x FROM (SELECT * FROM trades ORDER BY id) AS p WHERE p.user_id = t.user_id AND p.status = 'executed' AND p.closed_at IS NULL
         ORDER BY dice() < 0.3, p.executed_at, p.id LIMIT 1;
        IF FOUND THEN
            at := greatest(x.executed_at, now_is() - CASE WHEN dice() < 0.2 THEN uniform(0, 30) ELSE 0 END * interval '1 hour');
            numbers := ARRAY[round(uniform(-50, 50)::numeric, 2), round(dice()::numeric * 3, 2), round(uniform(-2, 2)::numeric, 3)];
            IF dice() < 0.4 THEN
                engine := format('UPDATE fx.trades SET closed_at = %L, profit = %s, commission = %s, swap = %s WHERE id = %L',
                                 at, numbers[1], coalesce(x.commission, 0) + numbers[2], numbers[3], x.id);
                oracle := format('SELECT close_by_application(%L, %L, %s, %s, %s)',
                                 x.id, at, numbers[1], coalesce(x.commission, 0) + numbers[2], numbers[3]);
            ELSE
                SELECT format('%L, %s, %L, %s, %s, %s', x.id, round(m.price * uniform(0.995, 1.005)::numeric, m.digits), at,
                              CASE WHEN dice() < 0.5 THEN numbers[2] ELSE 0 END,
                              CASE WHEN dice() < 0.5 THEN numbers[3]::text ELSE 'NULL' END,
                              CASE WHEN dice() < 0.4
                                   THEN greatest(round(coalesce(x.open_quantity, x.quantity) * uniform(0.01, 1)::numeric, 4), 0.0001)::text
                                   ELSE 'NULL' END)
                  INTO oracle FROM market m WHERE m.symbol = x.symbol;
                engine := format('SELECT fx.close_trade(%s)', oracle);
                oracle := format('SELECT close_by_engine(%s)', oracle);
            END IF;
            RETURN;
        END IF;
    ELSIF d < 0.32 THEN
        SELECT * INTO x FROM (SELECT * FROM trades ORDER BY id) AS p WHERE p.user_id = t.user_id AND p.status = 'executed' AND p.price IS NULL ORDER BY dice() LIMIT 1;
        IF FOUND THEN
            SELECT m.price INTO x.price FROM market m WHERE m.symbol = x.symbol;
            engine := format('UPDATE fx.trades SET price = %s WHERE id = %L', x.price, x.id);
            oracle := format('SELECT set_price(%L, %s)', x.id, x.price);
            RETURN;
        END IF;
    ELSIF d < 0.34 THEN
        SELECT * INTO x FROM (SELECT * FROM trades ORDER BY id) AS p WHERE p.user_id = t.user_id AND p.closed_at IS NOT NULL ORDER BY dice() LIMIT 1;
        IF FOUND THEN
            numbers := ARRAY[round(uniform(-50, 50)::numeric, 2)];
            engine := format('UPDATE fx.trades SET profit = %s WHERE id = %L', numbers[1], x.id);
            oracle := format('SELECT correct_profit(%L, %s)', x.id, numbers[1]);
            RETURN;
        END IF;
    ELSIF d < 0.39 THEN
        numbers := ARRAY[round((10 ^ uniform(0, 3))::numeric * greatest(t.initial / 50000, 1), 2)];
        IF dice() < 0.6 THEN
            engine := format('SELECT fx.deposit(%L, %s)', t.user_id, numbers[1]);
            oracle := format('SELECT pay(%L, %s)', t.user_id, numbers[1]);
        ELSE
            engine := format('SELECT fx.withdraw(%L, %s)', t.user_id, numbers[1]);
            oracle := format('SELECT pay(%L, -%s)', t.user_id, numbers[1]);
        END IF;
        RETURN;
    ELSIF d < 0.48 THEN
        -- what halts does so for ever, if nobody takes it away
        SELECT * INTO l FROM (SELECT * FROM limits ORDER BY id) AS p WHERE p.user_id = t.user_id AND p.is_active
         ORDER BY p.type = 'kill_switch' OR p.action = 'halt' DESC, dice() LIMIT 1;
        IF FOUND AND (dice() < 0.3 OR l.type = 'kill_switch' OR l.action = 'halt' AND dice() < 0.7 OR (SELECT count(*) FROM limits p WHERE p.user_id = t.user_id AND p.is_active) > 8) THEN
            numbers := ARRAY[round(l.value * (10 ^ uniform(-0.3, 0.5))::numeric, CASE WHEN l.type LIKE 'max_%s' OR l.type = 'max_order_rate' THEN 0 ELSE 4 END)];
            numbers[1] := least(numbers[1], 1000 * CASE WHEN l.type = 'max_order_rate' THEN 1 ELSE 1000000 END);
            IF l.type <> 'kill_switch' AND dice() < 0.5 THEN
                engine := format('UPDATE fx.risk_limits SET limit_value = %s WHERE id = %L', numbers[1], l.id);
                oracle := format('SELECT change_limit(%L, %s, true)', l.id, numbers[1]);
            ELSE
                engine := format('UPDATE fx.risk_limits SET is_active = false WHERE id = %L', l.id);
                oracle := format('SELECT change_limit(%L, %s, false)', l.id, l.value);
            END IF;
        ELSE
            item := some_limit(t);
            engine := format('INSERT INTO fx.risk_limits (%s) SELECT %s FROM jsonb_populate_record(NULL::fx.risk_limits, %L) AS r',
                             (SELECT string_agg(format('%I', k), ', ' ORDER BY k) FROM jsonb_object_keys(item) AS k),
                             (SELECT string_agg(format('r.%I', k), ', ' ORDER BY k) FROM jsonb_object_keys(item) AS k), item);
            oracle := format('SELECT put_limit(%L)', item);
        END IF;
        RETURN;
    ELSIF d < 0.51 THEN
        SELECT * INTO l FROM (SELECT * FROM limits ORDER BY id) AS p WHERE p.user_id = t.user_id AND p.is_active AND p.breached_at IS NOT NULL ORDER BY dice() LIMIT 1;
        IF FOUND THEN
            engine := format('SELECT fx.clear_breach(%L, %L)', l.id, 'looked at');
            oracle := format('SELECT clear_breach(%L)', l.id);
            RETURN;
        END IF;
    ELSIF d < 0.52 OR (d < 0.55 AND (SELECT a.state <> 'active' FROM accounts a WHERE a.user_id = t.user_id)) THEN
        oracle := pick('{active,active,reduce_only,halted}');
        IF d >= 0.52 THEN
            oracle := 'active';
        END IF;
        engine := format('SELECT fx.set_trading_state(%L, %L, %L)', t.user_id, oracle, 'a test');
        oracle := format('SELECT set_state(%L, %L)', t.user_id, oracle);
        RETURN;
    ELSIF d < 0.57 THEN
        engine := format('SELECT string_agg(u.limit_id || '' '' || CASE WHEN u.current_value < 10000000000 THEN trim_scale(u.current_value)::text
                ELSE ''unknown'' END, '', '' ORDER BY u.limit_id) FROM fx.risk_utilization(%L) AS u', t.user_id);
        oracle := format('SELECT utilization(%L)', t.user_id);
        RETURN;
    ELSIF d < 0.60 THEN
        x := jsonb_populate_record(x, some_trade(t) || jsonb_build_object('status', 'pending', 'profit', 0, 'commission', 0, 'swap', 0,
            'profit_source', 'application', 'strategy_id', NULL, 'executed_at', NULL, 'closed_at', NULL));
        engine := format('SELECT CASE WHEN bool_or(c.limit_id IS NULL) THEN ''state'' WHEN bool_and(c.allowed) IS NOT FALSE THEN ''allowed''
                ELSE string_agg(c.limit_id::text, '' '' ORDER BY c.limit_id) FILTER (WHERE NOT c.allowed) END
            FROM fx.check_risk(%L, %L, %L, %s, %s) AS c', t.user_id, x.symbol, x.type, x.quantity, coalesce(x.price::text, 'NULL'));
        x.symbol := translate(upper(x.symbol), '/_-. ', '');
        oracle := format('SELECT check_risk(%L::trades)', x);
        RETURN;
    ELSIF d < 0.63 THEN
        engine := format('SELECT fx.mark_account(%L)', t.user_id);
        oracle := format('SELECT observe(%L)', t.user_id);
        RETURN;
    END IF;

    IF d < 0.65 THEN
        SELECT * INTO x FROM (SELECT * FROM trades ORDER BY id) AS p WHERE p.user_id = t.user_id AND p.status = 'executed' ORDER BY dice() LIMIT 1;
        IF FOUND THEN
            numbers := ARRAY[round(dice()::numeric * 3, 2), round(uniform(-2, 2)::numeric, 3)];
            engine := format('UPDATE fx.trades SET commission = %s, swap = %s WHERE id = %L', numbers[1], numbers[2], x.id);
            oracle := format('SELECT correct_costs(%L, %s, %s)', x.id, numbers[1], numbers[2]);
            RETURN;
        END IF;
    ELSIF d < 0.66 THEN
        SELECT * INTO x FROM (SELECT * FROM trades ORDER BY id) AS p WHERE p.user_id = t.user_id ORDER BY dice() LIMIT 1;
        IF FOUND THEN
            engine := format('DELETE FROM fx.trades WHERE id = %L', x.id);
            oracle := format('SELECT adopt(%L)', x.id);
            RETURN;
        END IF;
    ELSIF d < 0.665 THEN
        numbers := ARRAY[round(t.initial * uniform(0.9, 1.1)::numeric + CASE WHEN dice() < 0.2 THEN 1000 ELSE 0 END, 2)];
        engine := format('UPDATE fx.users SET preferences = preferences || ''{"initialBalance": %s}'' WHERE id = %L', numbers[1], t.user_id);
        oracle := format('SELECT change_initial(%L, %s)', t.user_id, numbers[1]);
        RETURN;
    ELSIF d < 0.67 THEN
        SELECT format('%L, day_cutoff = %L', p.time_zone, p.cutoff) INTO engine
          FROM (SELECT * FROM traders ORDER BY n) AS p ORDER BY dice() LIMIT 1;
        oracle := format('SELECT change_zone(%L, %s)', t.user_id, replace(engine, 'day_cutoff = ', ''));
        engine := format('UPDATE fx.accounts SET time_zone = %s WHERE user_id = %L', engine, t.user_id);
        RETURN;
    ELSIF d < 0.70 THEN
        -- several trades at once, of different users, since the order of the rows is that of the table
        SELECT jsonb_agg(jsonb_build_object('id', p.id, 'gain', round(uniform(-50, 50)::numeric, 2)) ORDER BY p.id) INTO rows
          FROM (SELECT q.* FROM (SELECT DISTINCT ON (user_id) * FROM trades
                                  WHERE status = 'executed' AND closed_at IS NULL AND executed_at <= now_is()
                                  ORDER BY user_id, id) AS q
                 ORDER BY dice() LIMIT 3) AS p;
        IF rows IS NOT NULL THEN
            engine := format('UPDATE fx.trades t SET closed_at = %L, profit = r.gain
                FROM jsonb_to_recordset(%L) AS r (id uuid, gain numeric) WHERE t.id = r.id', now_is(), rows);
            oracle := format('SELECT close_several(%L)', rows);
            RETURN;
        END IF;
        rows := '[]';
    END IF;

    FOR n IN 1 .. CASE WHEN dice() < 0.7 THEN 1 ELSE floor(uniform(2, 5))::int END LOOP
        IF dice() < 0.1 THEN
            SELECT * INTO t FROM (SELECT * FROM traders ORDER BY n) AS p ORDER BY dice() LIMIT 1;
        END IF;
        rows := rows || some_trade(t);
    END LOOP;
    engine := format('INSERT INTO fx.trades (id, user_id, strategy_id, symbol, type, order_type, quantity, price, profit, commission, swap, status, executed_at, closed_at, is_backtest)
        SELECT r.* FROM jsonb_to_recordset(%L) AS r (id uuid, user_id uuid, strategy_id uuid, symbol text, type text, order_type text, quantity numeric,
            price numeric, profit numeric, commission numeric, swap numeric, status text, executed_at timestamptz, closed_at timestamptz,
            is_backtest boolean)', rows);
    oracle := format('SELECT insert_trades(%L)', rows);
END $$;

-- What came of a statement: a value, or the SQLSTATE and what it is about
CREATE FUNCTION attempt(statement text, OUT result text, OUT said text) LANGUAGE plpgsql AS $$
DECLARE
    state text;
    message text;
    about text;
BEGIN
    IF statement ~ '^SELECT (CASE|string_agg|check_risk|utilization)' THEN
        EXECUTE statement INTO result;
        result := coalesce(result, '');
    ELSIF statement ~ '^SELECT (fx.(close_trade|deposit|withdraw|mark_account)|close_by_engine|pay|observe)' THEN
        EXECUTE statement INTO result;
        result := 'ok ' || coalesce(trim_scale(nullif(result, '')::numeric)::text, '');
    ELSE
        EXECUTE statement;
        result := 'ok';
    END IF;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, about = PG_EXCEPTION_DETAIL;
    said := message || ' ' || about;
    result := state;
    IF state = 'XF001' THEN
        -- of the engine it is the JSON of all limits that were breached
        IF about LIKE '{%' THEN
            SELECT string_agg(DISTINCT v ->> 'id', ' ' ORDER BY v ->> 'id') INTO about
              FROM jsonb_array_elements(about::jsonb -> 'limits') AS v WHERE v ->> 'reason' IS NOT NULL AND v ->> 'action' <> 'warn';
        END IF;
        result := state || ' ' || about;
    ELSIF state NOT LIKE 'XF%' AND state NOT IN ('22023', '55000') THEN
        result := state || ' ' || message;
    END IF;
END $$;

CREATE FUNCTION compare_all() RETURNS TABLE (trader integer, what text, stored jsonb, expected jsonb) STABLE LANGUAGE sql AS $$
    SELECT t.n, d.* FROM traders t CROSS JOIN LATERAL differences(t.user_id) AS d
$$;

-- One step of both; says what differs, or NULL.
CREATE FUNCTION step(n integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    engine text;
    oracle text;
    ours record;
    theirs record;
    report text;
BEGIN
    CALL pass_time();
    CALL move_prices(CASE WHEN dice() < 0.35 THEN 0.8 ELSE 0.05 END);
    CALL next_step(engine, oracle);
    IF oracle LIKE 'SELECT adopt(%' THEN
        theirs := attempt(engine);
        ours := attempt(oracle);
    ELSE
        ours := attempt(oracle);
        theirs := attempt(engine);
    END IF;
    INSERT INTO journal VALUES (n, current_setting('fxplatform.clock'), engine, oracle, theirs.result, ours.result);
    -- a reader lists what demands a state
    IF theirs.result IS DISTINCT FROM ours.result AND NOT (ours.result = 'state' AND theirs.result <> 'allowed') THEN
        report := format(E'engine: %s (%s)\noracle: %s (%s)', theirs.result, theirs.said, ours.result, ours.said);
    ELSE
        SELECT string_agg(format(E'user %s, %s\nengine: %s\noracle: %s', c.trader, c.what,
                   (SELECT jsonb_object_agg(key, value) FROM jsonb_each(c.stored) AS s
                     WHERE c.expected IS NULL OR value IS DISTINCT FROM c.expected -> key OR key IN ('id', 'type')),
                   (SELECT jsonb_object_agg(key, value) FROM jsonb_each(c.expected) AS s
                     WHERE c.stored IS NULL OR value IS DISTINCT FROM c.stored -> key OR key IN ('id', 'type'))), E'\n')
          INTO report FROM compare_all() AS c;
    END IF;
    RETURN format(E'step %s at %s\n%s\n', n, current_setting('fxplatform.clock'), engine) || report;
END $$;

CREATE PROCEDURE run(seed double precision, steps integer) LANGUAGE plpgsql AS $$
DECLARE
    report text;
    clock text;
BEGIN
    PERFORM setseed(seed);
    FOR n IN 1 .. steps LOOP
        IF dice() < 0.04 THEN
            -- some steps that are taken back: no trace of them may be left
            clock := current_setting('fxplatform.clock');
            BEGIN
                FOR k IN 1 .. 3 LOOP
                    report := coalesce(report, step(n));
                END LOOP;
                RAISE EXCEPTION 'taken back' USING ERRCODE = 'P0002';
            EXCEPTION WHEN SQLSTATE 'P0002' THEN
                NULL;
            END;
            IF report IS NULL AND EXISTS (SELECT FROM compare_all()) THEN
                report := format('steps taken back before step %s left something', n);
            END IF;
        END IF;
        report := coalesce(report, step(n));
        IF report IS NOT NULL THEN
            RAISE WARNING E'seed %, %', seed, report;
            RETURN;
        END IF;
        COMMIT;
    END LOOP;
    RAISE NOTICE '% steps agree', steps;
END $$;
