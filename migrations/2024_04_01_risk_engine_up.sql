-- The books of the risk engine: what each user has, holds and may do.

CREATE TABLE accounts (
    user_id UUID PRIMARY KEY REFERENCES users(id) ON DELETE CASCADE,
    currency VARCHAR(10) NOT NULL DEFAULT 'USD',
    initial_balance NUMERIC(28,8) NOT NULL DEFAULT 0,
    balance NUMERIC(28,8) NOT NULL DEFAULT 0,
    net_deposits NUMERIC(28,8) NOT NULL DEFAULT 0,
    position_method VARCHAR(10) NOT NULL DEFAULT 'netting',
    trading_state VARCHAR(20) NOT NULL DEFAULT 'active',
    state_reason TEXT,
    time_zone VARCHAR(64) NOT NULL DEFAULT 'America/New_York',
    day_cutoff TIME NOT NULL DEFAULT '17:00',
    high_water_mark NUMERIC(28,8) NOT NULL DEFAULT 0,
    eod_high_water_mark NUMERIC(28,8) NOT NULL DEFAULT 0,
    day_started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    day_balance NUMERIC(28,8) NOT NULL,
    day_equity NUMERIC(28,8),
    day_deposits NUMERIC(28,8) NOT NULL DEFAULT 0,
    week_started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    week_balance NUMERIC(28,8) NOT NULL,
    week_equity NUMERIC(28,8),
    week_deposits NUMERIC(28,8) NOT NULL DEFAULT 0,
    month_started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    month_balance NUMERIC(28,8) NOT NULL,
    month_equity NUMERIC(28,8),
    month_deposits NUMERIC(28,8) NOT NULL DEFAULT 0,
    day_ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
    open_trades INTEGER NOT NULL DEFAULT 0,
    day_trades INTEGER NOT NULL DEFAULT 0,
    consecutive_losses INTEGER NOT NULL DEFAULT 0,
    losing_since TIMESTAMP WITH TIME ZONE,
    last_closed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    CONSTRAINT chk_accounts_currency CHECK (currency ~ '^[A-Z0-9]{3,10}$'),
    CONSTRAINT chk_accounts_initial_balance CHECK (initial_balance >= 0 AND initial_balance <> 'NaN'),
    CONSTRAINT chk_accounts_numbers CHECK (balance <> 'NaN' AND net_deposits <> 'NaN'
        AND high_water_mark <> 'NaN' AND eod_high_water_mark <> 'NaN'),
    CONSTRAINT chk_accounts_position_method CHECK (position_method::text IN ('netting', 'fifo', 'hedging')),
    CONSTRAINT chk_accounts_trading_state CHECK (trading_state::text IN ('active', 'reduce_only', 'halted')),
    CONSTRAINT chk_accounts_day_cutoff CHECK (day_cutoff < '24:00'),
    CONSTRAINT chk_accounts_counters
        CHECK (open_trades >= 0 AND day_trades >= 0 AND consecutive_losses >= 0)
) WITH (fillfactor = 50);

CREATE TABLE positions (
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    symbol VARCHAR(20) NOT NULL,
    long_quantity NUMERIC(28,8) NOT NULL DEFAULT 0,
    short_quantity NUMERIC(28,8) NOT NULL DEFAULT 0,
    long_cost NUMERIC(38,8) NOT NULL DEFAULT 0,
    short_cost NUMERIC(38,8) NOT NULL DEFAULT 0,
    average_price NUMERIC(28,8),
    realized_pnl NUMERIC(28,8) NOT NULL DEFAULT 0,
    open_trades INTEGER NOT NULL DEFAULT 0,
    unpriced_trades INTEGER NOT NULL DEFAULT 0,
    last_price NUMERIC(18,8),
    last_price_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (user_id, symbol),
    CONSTRAINT chk_positions_quantities CHECK (long_quantity >= 0 AND short_quantity >= 0
        AND long_quantity <> 'NaN' AND short_quantity <> 'NaN'),
    CONSTRAINT chk_positions_counters CHECK (open_trades >= 0 AND unpriced_trades >= 0)
) WITH (fillfactor = 50);

-- What was taken out of the positions, and what it brought.  No foreign keys to
-- trades, which would keep them from being truncated: the trigger of trades
-- takes out what belongs to trades that are gone.
CREATE TABLE closures (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    trade_id UUID NOT NULL,
    closing_trade_id UUID,
    symbol VARCHAR(20) NOT NULL,
    type VARCHAR(10) NOT NULL,
    quantity NUMERIC(18,8) NOT NULL,
    cost NUMERIC(38,8) NOT NULL,
    close_price NUMERIC(18,8),
    realized NUMERIC(38,8),
    profit NUMERIC(28,8),
    profit_source VARCHAR(15) NOT NULL,
    position_method VARCHAR(10) NOT NULL,
    conversion_rate NUMERIC,
    conversion_pair TEXT,
    conversion_at TIMESTAMP WITH TIME ZONE,
    closed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    CONSTRAINT chk_closures_type CHECK (type::text IN ('buy', 'sell')),
    CONSTRAINT chk_closures_quantity CHECK (quantity > 0 AND quantity <> 'NaN'),
    CONSTRAINT chk_closures_profit_source CHECK (profit_source::text IN ('application', 'computed')),
    CONSTRAINT chk_closures_position_method CHECK (position_method::text IN ('netting', 'fifo', 'hedging'))
);

CREATE INDEX idx_closures_trade_id ON closures (trade_id);
CREATE INDEX idx_closures_user_symbol ON closures (user_id, symbol);

CREATE TABLE cash_flows (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    amount NUMERIC(18,8) NOT NULL,
    reason TEXT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    CONSTRAINT chk_cash_flows_amount CHECK (amount <> 0 AND amount <> 'NaN')
);

CREATE INDEX idx_cash_flows_user_id ON cash_flows (user_id, created_at);

CREATE TABLE risk_events (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    event VARCHAR(20) NOT NULL,
    trade_id UUID,
    limit_id UUID,
    type VARCHAR(50),
    current_value NUMERIC,
    projected_value NUMERIC,
    bound NUMERIC,
    reason TEXT,
    detail JSONB,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    CONSTRAINT chk_risk_events_event CHECK (event::text IN ('refused', 'warning', 'breached', 'cleared', 'state'))
);

CREATE INDEX idx_risk_events_user_id ON risk_events (user_id, created_at DESC);

-- Sets of limits that a user can be given; edit them, or add some.
CREATE TABLE risk_presets (
    preset VARCHAR(50) NOT NULL,
    name VARCHAR(255) NOT NULL,
    type VARCHAR(50) NOT NULL,
    limit_type VARCHAR(20) NOT NULL,
    limit_value NUMERIC(18,8) NOT NULL,
    action VARCHAR(20),
    anchor VARCHAR(20),
    basis VARCHAR(20),
    breach_op VARCHAR(10),
    time_zone VARCHAR(64),
    day_cutoff TIME,
    PRIMARY KEY (preset, name)
);

INSERT INTO risk_presets (preset, name, type, limit_type, limit_value, action, anchor, basis, breach_op, time_zone, day_cutoff) VALUES
    ('ftmo_2step', 'daily loss', 'daily_loss', 'percentage', 5, 'block', 'balance', 'initial', 'exceed', 'Europe/Prague', '00:00'),
    ('ftmo_2step', 'maximum loss', 'max_drawdown', 'percentage', 10, 'block', NULL, 'initial', 'exceed', 'Europe/Prague', '00:00'),
    ('ftmo_1step', 'daily loss', 'daily_loss', 'percentage', 3, 'block', 'balance', 'initial', 'exceed', 'Europe/Prague', '00:00'),
    ('ftmo_1step', 'maximum loss', 'trailing_drawdown_eod', 'percentage', 10, 'block', NULL, 'initial', 'exceed', 'Europe/Prague', '00:00'),
    ('the5ers', 'daily loss', 'daily_loss', 'percentage', 5, 'block', 'max', 'anchor', 'reach', 'America/New_York', '17:00'),
    ('the5ers', 'maximum loss', 'max_drawdown', 'percentage', 10, 'block', NULL, 'initial', 'reach', 'America/New_York', '17:00'),
    ('fintokei', 'daily loss', 'daily_loss', 'percentage', 5, 'block', 'equity', 'anchor', 'reach', 'Europe/Prague', '00:00'),
    ('fintokei', 'maximum loss', 'max_drawdown', 'percentage', 10, 'block', NULL, 'initial', 'reach', 'Europe/Prague', '00:00'),
    ('retail', 'leverage', 'max_leverage', 'absolute', 30, 'block', NULL, NULL, NULL, NULL, NULL),
    ('retail', 'daily loss', 'daily_loss', 'percentage', 5, 'block', 'max', 'anchor', 'reach', NULL, NULL),
    ('retail', 'order far from the market', 'price_collar', 'percentage', 2, 'block', NULL, NULL, NULL, NULL, NULL),
    ('retail', 'orders a minute', 'max_order_rate', 'absolute', 60, 'block', NULL, NULL, NULL, NULL, NULL);

-- What the engine notes on a trade.  Its trigger refuses other writers, so
-- there are no checks of these columns: the server parses each check anew in
-- every INSERT, which costs more than judging ten limits.
ALTER TABLE trades
    ADD COLUMN open_quantity NUMERIC(18,8),
    ADD COLUMN close_price NUMERIC(18,8),
    ADD COLUMN profit_source VARCHAR(15) NOT NULL DEFAULT 'application',
    ADD COLUMN position_method VARCHAR(10),
    ADD COLUMN conversion_rate NUMERIC,
    ADD COLUMN conversion_pair TEXT,
    ADD COLUMN conversion_at TIMESTAMP WITH TIME ZONE,
    ADD CONSTRAINT chk_trades_close_price CHECK (close_price > 0 AND close_price <> 'NaN');

-- Open trades of a position, oldest first, and the newest closings of a user.
CREATE INDEX idx_trades_open ON trades (user_id, symbol, executed_at, id)
    WHERE status = 'executed' AND closed_at IS NULL AND NOT is_backtest;
CREATE INDEX idx_trades_closed ON trades (user_id, closed_at DESC, id DESC)
    WHERE status = 'executed' AND closed_at IS NOT NULL AND NOT is_backtest;

ALTER TABLE risk_limits
    ADD COLUMN symbol VARCHAR(20),
    ADD COLUMN currency VARCHAR(10),
    ADD COLUMN strategy_id UUID REFERENCES strategies(id) ON DELETE CASCADE,
    ADD COLUMN action VARCHAR(20) NOT NULL DEFAULT 'block',
    ADD COLUMN warning_level NUMERIC(5,2) NOT NULL DEFAULT 80.00,
    ADD COLUMN anchor VARCHAR(20),
    ADD COLUMN basis VARCHAR(20),
    ADD COLUMN breach_op VARCHAR(10),
    ADD COLUMN lock_at NUMERIC(18,8),
    ADD COLUMN window_seconds INTEGER,
    ADD COLUMN cooldown_seconds INTEGER,
    ADD CONSTRAINT chk_risk_limits_type CHECK (type::text IN (
        'daily_loss', 'weekly_loss', 'monthly_loss', 'max_drawdown', 'trailing_drawdown',
        'trailing_drawdown_eod', 'max_position', 'max_order_size', 'max_order_value', 'max_exposure',
        'max_symbol_exposure', 'max_currency_exposure', 'max_leverage', 'concentration',
        'max_open_trades', 'max_daily_trades', 'max_order_rate', 'max_consecutive_losses',
        'price_collar', 'min_equity', 'kill_switch')),
    ADD CONSTRAINT chk_risk_limits_unit CHECK (CASE limit_type
        WHEN 'percentage' THEN type::text NOT IN ('max_open_trades', 'max_daily_trades', 'max_order_rate',
                                            'max_consecutive_losses', 'kill_switch')
        ELSE type <> 'concentration' END),
    ADD CONSTRAINT chk_risk_limits_order_rate
        CHECK (type <> 'max_order_rate' OR limit_value BETWEEN 0 AND 1000),
    ADD CONSTRAINT chk_risk_limits_symbol CHECK (symbol IS NULL OR type::text IN (
        'max_position', 'max_order_size', 'max_order_value', 'max_exposure', 'max_symbol_exposure',
        'concentration', 'max_open_trades', 'max_daily_trades', 'max_order_rate',
        'max_consecutive_losses', 'price_collar', 'kill_switch')),
    ADD CONSTRAINT chk_risk_limits_currency CHECK (currency IS NULL OR (currency ~ '^[A-Z0-9]{3,10}$' AND type::text IN (
        'max_position', 'max_order_size', 'max_order_value', 'max_exposure', 'max_symbol_exposure',
        'max_currency_exposure', 'max_order_rate', 'price_collar', 'kill_switch'))),
    ADD CONSTRAINT chk_risk_limits_strategy CHECK (strategy_id IS NULL OR type::text IN (
        'max_position', 'max_order_size', 'max_order_value', 'max_open_trades', 'max_daily_trades',
        'max_order_rate', 'max_consecutive_losses', 'price_collar', 'kill_switch')),
    ADD CONSTRAINT chk_risk_limits_action CHECK (action::text IN ('warn', 'block', 'reduce_only', 'halt')),
    ADD CONSTRAINT chk_risk_limits_warning_level CHECK (warning_level BETWEEN 0 AND 100),
    ADD CONSTRAINT chk_risk_limits_anchor CHECK (anchor IS NULL OR (anchor::text IN ('balance', 'equity', 'max')
        AND type::text IN ('daily_loss', 'weekly_loss', 'monthly_loss'))),
    ADD CONSTRAINT chk_risk_limits_basis CHECK (basis IS NULL OR (limit_type = 'percentage' AND CASE
        WHEN type::text IN ('daily_loss', 'weekly_loss', 'monthly_loss', 'trailing_drawdown', 'trailing_drawdown_eod')
            THEN basis::text IN ('initial', 'anchor')
        WHEN type::text IN ('max_drawdown', 'min_equity') THEN basis = 'initial'
        WHEN type::text IN ('max_position', 'max_order_size', 'max_order_value', 'max_exposure',
                      'max_symbol_exposure', 'max_currency_exposure') THEN basis::text IN ('initial', 'equity')
        WHEN type = 'concentration' THEN basis::text IN ('gross', 'equity')
        ELSE false END)),
    ADD CONSTRAINT chk_risk_limits_breach_op CHECK (breach_op::text IN ('reach', 'exceed')),
    ADD CONSTRAINT chk_risk_limits_lock_at CHECK (lock_at IS NULL OR (lock_at <> 'NaN'
        AND type::text IN ('trailing_drawdown', 'trailing_drawdown_eod'))),
    ADD CONSTRAINT chk_risk_limits_window
        CHECK (window_seconds IS NULL OR (type = 'max_order_rate' AND window_seconds BETWEEN 1 AND 86400)),
    ADD CONSTRAINT chk_risk_limits_cooldown
        CHECK (cooldown_seconds IS NULL OR (type = 'max_consecutive_losses' AND cooldown_seconds > 0)),
    SET (fillfactor = 50);

CREATE INDEX idx_risk_limits_strategy_id ON risk_limits (strategy_id) WHERE strategy_id IS NOT NULL;

-- What limits have come to.  It is apart from them, so that whoever has the row
-- of a limit locked does not keep the engine from noting it.  Rows go with their
-- limits by a trigger; a foreign key would forbid to truncate risk_limits.
CREATE TABLE risk_limit_state (
    user_id UUID NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    limit_id UUID NOT NULL,
    breached_at TIMESTAMP WITH TIME ZONE,
    breached_until TIMESTAMP WITH TIME ZONE,
    breach_value NUMERIC(28,8),
    cleared_at TIMESTAMP WITH TIME ZONE,
    order_times TIMESTAMP WITH TIME ZONE[],
    PRIMARY KEY (user_id, limit_id)
) WITH (fillfactor = 50);

INSERT INTO risk_limit_state (user_id, limit_id)
SELECT user_id, id FROM risk_limits
 WHERE is_active AND type IN ('daily_loss', 'max_drawdown');

ALTER TABLE accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE positions ENABLE ROW LEVEL SECURITY;
ALTER TABLE closures ENABLE ROW LEVEL SECURITY;
ALTER TABLE cash_flows ENABLE ROW LEVEL SECURITY;
ALTER TABLE risk_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE risk_limit_state ENABLE ROW LEVEL SECURITY;

GRANT SELECT ON accounts, positions, closures, cash_flows, risk_events, risk_presets, risk_limit_state
    TO fx_app, fx_user, fx_reporting;
GRANT UPDATE (position_method, trading_state, state_reason, time_zone, day_cutoff) ON accounts TO fx_app;
GRANT INSERT ON cash_flows, risk_events TO fx_app;
GRANT INSERT, UPDATE, DELETE ON risk_presets TO fx_app;

COMMENT ON TABLE accounts IS 'What each user''s account is worth, kept by the trigger of trades in the same transaction; money in its currency';
COMMENT ON COLUMN accounts.currency IS 'From users.preferences, key accountCurrency; USD where it has none';
COMMENT ON COLUMN accounts.initial_balance IS 'From users.preferences, key initialBalance; 0 is not known';
COMMENT ON COLUMN accounts.balance IS 'initial_balance + net_deposits + profit - commission + swap of all executed trades that are not of backtests';
COMMENT ON COLUMN accounts.net_deposits IS 'Sum of cash_flows';
COMMENT ON COLUMN accounts.position_method IS 'netting (a position at its average price), fifo or hedging (each trade by itself)';
COMMENT ON COLUMN accounts.trading_state IS 'active, reduce_only (only what brings a position down) or halted (nothing)';
COMMENT ON COLUMN accounts.day_cutoff IS 'When the trading day starts, by the clock of time_zone; from 12:00 on it is the day of the next date';
COMMENT ON COLUMN accounts.high_water_mark IS 'Highest equity observed, moved by deposits and withdrawals';
COMMENT ON COLUMN accounts.eod_high_water_mark IS 'Highest balance at the end of a trading day, moved likewise';
COMMENT ON COLUMN accounts.day_balance IS 'Balance when the day started; the same for week and month';
COMMENT ON COLUMN accounts.day_equity IS 'Equity when the day started, by the prices of that moment; NULL when one was not known';
COMMENT ON COLUMN accounts.day_deposits IS 'Net deposits since the day started';
COMMENT ON COLUMN accounts.day_trades IS 'Trades executed since the day started';
COMMENT ON COLUMN accounts.consecutive_losses IS 'Trades closed last that all lost, net';
COMMENT ON TABLE positions IS 'What each user holds of each symbol, kept by the trigger of trades in the same transaction';
COMMENT ON COLUMN positions.symbol IS 'In upper case, without slash, underscore, hyphen, point and blank';
COMMENT ON COLUMN positions.long_quantity IS 'Open units bought';
COMMENT ON COLUMN positions.long_cost IS 'What the open units were bought for, in the quote currency';
COMMENT ON COLUMN positions.average_price IS 'Price at which the net position breaks even; NULL when it is 0';
COMMENT ON COLUMN positions.realized_pnl IS 'Profit of the user''s executed trades of the symbol, gross, in the account''s currency';
COMMENT ON COLUMN positions.unpriced_trades IS 'Open trades without a price, whose cost is not known';
COMMENT ON COLUMN positions.last_price IS 'Price of the newest execution';
COMMENT ON TABLE closures IS 'Each time that open units were closed: what of which trade, at what cost, and what it brought';
COMMENT ON COLUMN closures.trade_id IS 'The trade that was closed';
COMMENT ON COLUMN closures.closing_trade_id IS 'The opposite trade that closed it; NULL when it was closed by itself';
COMMENT ON COLUMN closures.type IS 'Of the trade that was closed';
COMMENT ON COLUMN closures.cost IS 'Taken out of the position with it, in the quote currency';
COMMENT ON COLUMN closures.realized IS 'In the quote currency; NULL when the application gave no price';
COMMENT ON COLUMN closures.profit IS 'In the account''s currency; NULL with an opposite trade whose profit the application wrote';
COMMENT ON COLUMN closures.conversion_rate IS 'By which realized became profit; 1 without conversion_pair';
COMMENT ON COLUMN closures.conversion_pair IS 'Symbols whose prices made the rate, joined by *';
COMMENT ON COLUMN closures.conversion_at IS 'When the older of these prices was observed';
COMMENT ON TABLE cash_flows IS 'Deposits (positive) and withdrawals (negative), never changed';
COMMENT ON TABLE risk_events IS 'What limits did: trades refused (by fx.try_trade), warnings, breaches, and who cleared them';
COMMENT ON TABLE risk_presets IS 'Sets of limits for fx.apply_risk_preset; columns as in risk_limits, and of accounts';
COMMENT ON COLUMN trades.open_quantity IS 'Units still open once part was closed; NULL before';
COMMENT ON COLUMN trades.close_price IS 'Price at which it was closed last';
COMMENT ON COLUMN trades.profit_source IS 'computed when the platform worked out profit, else application';
COMMENT ON COLUMN trades.position_method IS 'By which profit was computed';
COMMENT ON COLUMN trades.conversion_rate IS 'From the quote to the account''s currency, by which profit was computed';
COMMENT ON COLUMN trades.conversion_pair IS 'Symbols whose prices made the rate, joined by *; NULL when the currencies are the same';
COMMENT ON COLUMN trades.conversion_at IS 'When the older of these prices was observed';
COMMENT ON COLUMN risk_limits.current_value IS 'Kept by the platform: the measure, in percent for percentage limits; NULL when it is not known. What the application writes is ignored';
COMMENT ON COLUMN risk_limits.symbol IS 'Only trades of this symbol count; NULL for all';
COMMENT ON COLUMN risk_limits.currency IS 'Only trades of instruments of this currency count; NULL for all';
COMMENT ON COLUMN risk_limits.strategy_id IS 'Only trades of this strategy count; NULL for all';
COMMENT ON COLUMN risk_limits.action IS 'What a breach does: warn (it is recorded), block, reduce_only or halt';
COMMENT ON COLUMN risk_limits.warning_level IS 'Percent of the limit from which its status is warning';
COMMENT ON COLUMN risk_limits.anchor IS 'What losses of a period are measured from: balance or equity at its start, or the larger';
COMMENT ON COLUMN risk_limits.basis IS 'What a percentage is of';
COMMENT ON COLUMN risk_limits.breach_op IS 'reach: breached at the limit; exceed: above it';
COMMENT ON COLUMN risk_limits.lock_at IS 'Equity above which the floor of a trailing drawdown does not rise';
COMMENT ON COLUMN risk_limits.window_seconds IS 'Of max_order_rate';
COMMENT ON COLUMN risk_limits.cooldown_seconds IS 'How long max_consecutive_losses stays breached; NULL until it is cleared';
COMMENT ON TABLE risk_limit_state IS 'What limits that hold on or count orders have come to, kept by the trigger of trades; a row for each that was ever active';
COMMENT ON COLUMN risk_limit_state.breached_at IS 'A breached limit of losses or equity stays so until breached_until or fx.clear_breach; NULL when it is not';
COMMENT ON COLUMN risk_limit_state.breached_until IS 'infinity until it is cleared';
COMMENT ON COLUMN risk_limit_state.breach_value IS 'The measure when it was breached, in the account''s currency, or losses in a row';
COMMENT ON COLUMN risk_limit_state.cleared_at IS 'Losses in a row count from here';
COMMENT ON COLUMN risk_limit_state.order_times IS 'Of the last orders, for max_order_rate';

-- What there is already, from the trades
SELECT rebuild_risk_state(id) FROM users;
