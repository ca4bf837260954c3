-- The tables of the specification, by its names.  What differs from it does
-- not run as written or is unsafe, and is listed in README.md.

CREATE TABLE users (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    email VARCHAR(255) UNIQUE NOT NULL,
    username VARCHAR(100) UNIQUE NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    first_name VARCHAR(100),
    last_name VARCHAR(100),
    role VARCHAR(50) DEFAULT 'user',
    status VARCHAR(20) DEFAULT 'active',
    email_verified BOOLEAN DEFAULT false,
    two_factor_enabled BOOLEAN DEFAULT false,
    two_factor_secret VARCHAR(32),
    api_key_hash VARCHAR(255),
    preferences JSONB DEFAULT '{}',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    last_login TIMESTAMP WITH TIME ZONE,
    deleted_at TIMESTAMP WITH TIME ZONE
);

CREATE INDEX idx_users_email ON users (email);
CREATE INDEX idx_users_username ON users (username);
CREATE INDEX idx_users_role ON users (role);
CREATE INDEX idx_users_status ON users (status);
CREATE INDEX idx_users_created_at ON users (created_at);
CREATE INDEX idx_users_deleted_at ON users (deleted_at) WHERE deleted_at IS NOT NULL;

COMMENT ON TABLE users IS 'People and services with an account on the platform';
COMMENT ON COLUMN users.password_hash IS 'Hash made by crypt() of pgcrypto, never a password';
COMMENT ON COLUMN users.api_key_hash IS 'Hash made by crypt() of pgcrypto, never a key';
COMMENT ON COLUMN users.preferences IS 'Object; "accountCurrency" (USD) and "initialBalance" (0) are read by the platform';
COMMENT ON COLUMN users.deleted_at IS 'When the user was deleted softly, NULL while not';

CREATE TABLE strategies (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL
        CONSTRAINT fk_strategies_user REFERENCES users (id) ON DELETE CASCADE,
    name VARCHAR(255) NOT NULL,
    description TEXT,
    type VARCHAR(50) NOT NULL,
    status VARCHAR(20) DEFAULT 'draft',
    config JSONB NOT NULL DEFAULT '{}',
    performance_metrics JSONB DEFAULT '{}',
    tags TEXT[],
    version INTEGER DEFAULT 1
        CONSTRAINT chk_strategies_version CHECK (version >= 1),
    -- a copy outlives what it was copied from, and does not hold its owner
    parent_strategy_id UUID REFERENCES strategies (id) ON DELETE SET NULL,
    is_public BOOLEAN DEFAULT false,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    deleted_at TIMESTAMP WITH TIME ZONE
);

CREATE INDEX idx_strategies_user_id ON strategies (user_id);
CREATE INDEX idx_strategies_status ON strategies (status);
CREATE INDEX idx_strategies_type ON strategies (type);
CREATE INDEX idx_strategies_created_at ON strategies (created_at);
CREATE INDEX idx_strategies_deleted_at ON strategies (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX idx_strategies_tags ON strategies USING GIN (tags);
CREATE INDEX idx_strategies_config ON strategies USING GIN (config);
CREATE INDEX idx_strategies_user_status_created ON strategies (user_id, status, created_at DESC);
CREATE INDEX idx_strategies_active ON strategies (user_id, created_at DESC)
    WHERE status = 'active' AND deleted_at IS NULL;
-- without it each deleted strategy scans the table for its copies
CREATE INDEX idx_strategies_parent_strategy_id ON strategies (parent_strategy_id);

COMMENT ON TABLE strategies IS 'Trading strategies of a user';
COMMENT ON COLUMN strategies.type IS 'manual, ai_generated or backtested';
COMMENT ON COLUMN strategies.status IS 'draft, active, inactive or archived';
COMMENT ON COLUMN strategies.version IS 'Counts the changes of config, from 1';
COMMENT ON COLUMN strategies.is_public IS 'Whether other users may see it, copy it and refer to it';
COMMENT ON COLUMN strategies.deleted_at IS 'When the strategy was deleted softly, NULL while not';

CREATE TABLE backtests (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    strategy_id UUID NOT NULL
        CONSTRAINT fk_backtests_strategy REFERENCES strategies (id) ON DELETE CASCADE,
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name VARCHAR(255) NOT NULL,
    status VARCHAR(20) DEFAULT 'pending',
    progress INTEGER DEFAULT 0,
    config JSONB NOT NULL DEFAULT '{}',
    results JSONB DEFAULT '{}',
    performance_metrics JSONB DEFAULT '{}',
    trades JSONB DEFAULT '[]',
    equity_curve JSONB DEFAULT '[]',
    error_message TEXT,
    started_at TIMESTAMP WITH TIME ZONE,
    completed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE INDEX idx_backtests_strategy_id ON backtests (strategy_id);
CREATE INDEX idx_backtests_user_id ON backtests (user_id);
CREATE INDEX idx_backtests_status ON backtests (status);
CREATE INDEX idx_backtests_created_at ON backtests (created_at);
CREATE INDEX idx_backtests_completed_at ON backtests (completed_at);
CREATE INDEX idx_backtests_config ON backtests USING GIN (config);
CREATE INDEX idx_backtests_user_status_created ON backtests (user_id, status, created_at DESC);
CREATE INDEX idx_backtests_completed ON backtests (strategy_id, completed_at DESC)
    WHERE status = 'completed';

COMMENT ON TABLE backtests IS 'Runs of a strategy over past prices';
COMMENT ON COLUMN backtests.status IS 'pending, running, completed, failed or cancelled';
COMMENT ON COLUMN backtests.progress IS 'Percent done, 0 to 100';
COMMENT ON COLUMN backtests.config IS 'Object; "initialBalance", "startDate", "endDate", "riskFreeRate" and "periodsPerYear" are read by fx.complete_backtest';
COMMENT ON COLUMN backtests.results IS 'Object, the headline numbers of performance_metrics';
COMMENT ON COLUMN backtests.performance_metrics IS 'Object, as fx.backtest_metrics returns it';
COMMENT ON COLUMN backtests.trades IS 'Array of trades, as fx.equity_curve reads it';
COMMENT ON COLUMN backtests.equity_curve IS 'Array, as fx.equity_curve returns it';

CREATE TABLE trades (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    strategy_id UUID REFERENCES strategies (id) ON DELETE SET NULL,
    backtest_id UUID REFERENCES backtests (id) ON DELETE SET NULL,
    broker_id VARCHAR(50),
    symbol VARCHAR(20) NOT NULL,
    type VARCHAR(10) NOT NULL,
    order_type VARCHAR(20) NOT NULL,
    quantity DECIMAL(18, 8) NOT NULL
        CONSTRAINT chk_trades_quantity CHECK (quantity > 0),
    price DECIMAL(18, 8),
    stop_loss DECIMAL(18, 8),
    take_profit DECIMAL(18, 8),
    commission DECIMAL(18, 8) DEFAULT 0,
    swap DECIMAL(18, 8) DEFAULT 0,
    profit DECIMAL(18, 8) DEFAULT 0,
    status VARCHAR(20) DEFAULT 'pending',
    executed_at TIMESTAMP WITH TIME ZONE,
    expires_at TIMESTAMP WITH TIME ZONE,
    closed_at TIMESTAMP WITH TIME ZONE,
    reason_code VARCHAR(50),
    external_id VARCHAR(100),
    metadata JSONB DEFAULT '{}',
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    CONSTRAINT chk_trades_prices CHECK (
        price > 0
        AND (stop_loss IS NULL OR stop_loss > 0)
        AND (take_profit IS NULL OR take_profit > 0))
);

CREATE INDEX idx_trades_user_id ON trades (user_id);
CREATE INDEX idx_trades_strategy_id ON trades (strategy_id);
CREATE INDEX idx_trades_backtest_id ON trades (backtest_id);
CREATE INDEX idx_trades_symbol ON trades (symbol);
CREATE INDEX idx_trades_status ON trades (status);
CREATE INDEX idx_trades_type ON trades (type);
CREATE INDEX idx_trades_executed_at ON trades (executed_at);
CREATE INDEX idx_trades_created_at ON trades (created_at);
CREATE INDEX idx_trades_user_symbol_executed ON trades (user_id, symbol, executed_at DESC);
CREATE INDEX idx_trades_executed ON trades (user_id, executed_at DESC)
    WHERE status = 'executed';

COMMENT ON TABLE trades IS 'Orders and what became of them';
COMMENT ON COLUMN trades.symbol IS 'Instrument, such as EURUSD';
COMMENT ON COLUMN trades.type IS 'buy or sell';
COMMENT ON COLUMN trades.order_type IS 'market, limit, stop or stop_limit';
COMMENT ON COLUMN trades.quantity IS 'Units of the base currency, above zero';
COMMENT ON COLUMN trades.price IS 'Quote currency per unit of the base currency';
COMMENT ON COLUMN trades.commission IS 'Cost in account currency, subtracted from profit';
COMMENT ON COLUMN trades.swap IS 'Overnight financing in account currency, added to profit; negative when paid';
COMMENT ON COLUMN trades.profit IS 'Gross profit in account currency, before commission and swap';
COMMENT ON COLUMN trades.status IS 'pending, executed, cancelled or rejected';
COMMENT ON COLUMN trades.closed_at IS 'When the position was closed, not before executed_at';

CREATE TABLE risk_limits (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name VARCHAR(255) NOT NULL,
    type VARCHAR(50) NOT NULL,
    limit_type VARCHAR(20) NOT NULL,
    limit_value DECIMAL(18, 8) NOT NULL,
    current_value DECIMAL(18, 8) DEFAULT 0,
    is_active BOOLEAN DEFAULT true,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

CREATE INDEX idx_risk_limits_user_id ON risk_limits (user_id);
CREATE INDEX idx_risk_limits_type ON risk_limits (type);
CREATE INDEX idx_risk_limits_is_active ON risk_limits (is_active);

COMMENT ON TABLE risk_limits IS 'Limits on what a user may lose or hold';
COMMENT ON COLUMN risk_limits.type IS 'What is limited: daily_loss, max_position, max_leverage, ...';
COMMENT ON COLUMN risk_limits.limit_type IS 'absolute (units of the measure) or percentage (of its basis)';
COMMENT ON COLUMN risk_limits.current_value IS 'The measure now, in its own units also where the limit is a percentage; NULL when unknown';

-- A partitioned key must contain the partition column, so the unique key of
-- a candle is its primary key and id is a plain column.
CREATE TABLE market_data (
    id BIGSERIAL,
    symbol VARCHAR(20) NOT NULL,
    timeframe VARCHAR(10) NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    open_price DECIMAL(18, 8) NOT NULL,
    high_price DECIMAL(18, 8) NOT NULL,
    low_price DECIMAL(18, 8) NOT NULL,
    close_price DECIMAL(18, 8) NOT NULL,
    volume BIGINT DEFAULT 0,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    CONSTRAINT idx_market_data_unique PRIMARY KEY (symbol, timeframe, timestamp)
) PARTITION BY RANGE (timestamp);

CREATE INDEX idx_market_data_symbol_timeframe ON market_data (symbol, timeframe);
CREATE INDEX idx_market_data_timestamp ON market_data (timestamp);
CREATE INDEX idx_market_data_symbol_timestamp ON market_data (symbol, timestamp);
CREATE INDEX idx_market_data_symbol_timeframe_timestamp
    ON market_data (symbol, timeframe, timestamp DESC);

COMMENT ON TABLE market_data IS 'Candles, one partition a month of UTC';
COMMENT ON COLUMN market_data.timeframe IS 'Length of the candle: 1m 5m 15m 30m 1h 4h 1d 1w 1mn';
COMMENT ON COLUMN market_data.timestamp IS 'When the candle opens';
COMMENT ON COLUMN market_data.volume IS 'Traded units or ticks, whole numbers';

CREATE TABLE audit_log (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID REFERENCES users (id) ON DELETE SET NULL,
    action VARCHAR(100) NOT NULL,
    resource_type VARCHAR(50) NOT NULL,
    resource_id VARCHAR(100),
    old_values JSONB,
    new_values JSONB,
    ip_address INET,
    user_agent TEXT,
    -- not NOW(): the changes of one transaction keep their order
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp()
);

CREATE INDEX idx_audit_log_user_id ON audit_log (user_id);
CREATE INDEX idx_audit_log_action ON audit_log (action);
CREATE INDEX idx_audit_log_resource_type ON audit_log (resource_type);
CREATE INDEX idx_audit_log_created_at ON audit_log (created_at);
CREATE INDEX idx_audit_log_resource ON audit_log (resource_type, resource_id);

COMMENT ON TABLE audit_log IS 'Changes of audited tables, written by triggers only';
COMMENT ON COLUMN audit_log.user_id IS 'Who did it: app.current_user_id, NULL when not set or not a user';
COMMENT ON COLUMN audit_log.action IS 'INSERT, UPDATE, DELETE or TRUNCATE';
COMMENT ON COLUMN audit_log.resource_type IS 'Name of the table';
COMMENT ON COLUMN audit_log.resource_id IS 'The id of the row, as text';
COMMENT ON COLUMN audit_log.created_at IS 'When the change was made, by the clock, not when its transaction began';

CREATE TABLE schema_migrations (
    version VARCHAR(255) PRIMARY KEY,
    applied_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
);

COMMENT ON TABLE schema_migrations IS 'Migrations that are applied, kept by fx.migrate';

-- Grants, one decision a table and role.  Partitions get none, because a
-- grant on a partition bypasses the row security of its parent.

GRANT SELECT, INSERT, UPDATE, DELETE
    ON users, strategies, backtests, trades, risk_limits, market_data TO fx_app;
GRANT USAGE ON SEQUENCE market_data_id_seq TO fx_app;
GRANT SELECT ON audit_log, schema_migrations TO fx_app;

-- Own rows only, by the policies.  Limits are set for a user, not by him, and
-- his books are not his to erase.
GRANT SELECT (id, email, username, first_name, last_name, role, status, email_verified,
              two_factor_enabled, preferences, created_at, updated_at, last_login, deleted_at)
    ON users TO fx_user;
GRANT UPDATE (first_name, last_name) ON users TO fx_user;
GRANT SELECT, INSERT, UPDATE, DELETE ON strategies, backtests TO fx_user;
GRANT SELECT, INSERT, UPDATE ON trades TO fx_user;
GRANT SELECT ON risk_limits, market_data, audit_log, schema_migrations TO fx_user;

-- Everything but secrets.
GRANT SELECT (id, email, username, first_name, last_name, role, status, email_verified,
              two_factor_enabled, preferences, created_at, updated_at, last_login, deleted_at)
    ON users TO fx_reporting;
GRANT SELECT ON strategies, backtests, trades, risk_limits, market_data, audit_log,
    schema_migrations TO fx_reporting;

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE strategies ENABLE ROW LEVEL SECURITY;
ALTER TABLE backtests ENABLE ROW LEVEL SECURITY;
ALTER TABLE trades ENABLE ROW LEVEL SECURITY;
ALTER TABLE risk_limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
