-- The value sets that the specification documents, and what a stored value
-- must be for its readers.  NaN sorts above every number, so that "x > 0"
-- accepts it; each number is compared with it by name.  The casts to text keep
-- the constraints in the form in which a dump of a dump prints them.

ALTER TABLE users
    ADD CONSTRAINT chk_users_email CHECK (email LIKE '%_@_%'),
    ADD CONSTRAINT chk_users_preferences CHECK (jsonb_typeof(preferences) = 'object');

ALTER TABLE strategies
    ADD CONSTRAINT chk_strategies_type CHECK (type::text IN ('manual', 'ai_generated', 'backtested')),
    ADD CONSTRAINT chk_strategies_status CHECK (status::text IN ('draft', 'active', 'inactive', 'archived')),
    ADD CONSTRAINT chk_strategies_json CHECK (
        jsonb_typeof(config) = 'object' AND jsonb_typeof(performance_metrics) = 'object');

ALTER TABLE backtests
    ADD CONSTRAINT chk_backtests_status CHECK (
        status::text IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    ADD CONSTRAINT chk_backtests_progress CHECK (progress BETWEEN 0 AND 100),
    ADD CONSTRAINT chk_backtests_json CHECK (
        jsonb_typeof(config) = 'object'
        AND jsonb_typeof(results) = 'object'
        AND jsonb_typeof(performance_metrics) = 'object'
        AND jsonb_typeof(trades) = 'array'
        AND jsonb_typeof(equity_curve) = 'array'),
    -- the query of a user's strategies casts it
    ADD CONSTRAINT chk_backtests_total_return CHECK (
        coalesce(jsonb_typeof(performance_metrics -> 'totalReturn'), 'null') IN ('number', 'null'));

ALTER TABLE trades
    ADD CONSTRAINT chk_trades_type CHECK (type::text IN ('buy', 'sell')),
    ADD CONSTRAINT chk_trades_order_type CHECK (order_type::text IN ('market', 'limit', 'stop', 'stop_limit')),
    ADD CONSTRAINT chk_trades_status CHECK (status::text IN ('pending', 'executed', 'cancelled', 'rejected')),
    ADD CONSTRAINT chk_trades_numbers CHECK (
        quantity <> 'NaN' AND price <> 'NaN' AND stop_loss <> 'NaN' AND take_profit <> 'NaN'
        AND commission <> 'NaN' AND swap <> 'NaN' AND profit <> 'NaN'),
    ADD CONSTRAINT chk_trades_commission CHECK (commission >= 0),
    ADD CONSTRAINT chk_trades_executed_at CHECK (status <> 'executed' OR executed_at IS NOT NULL),
    ADD CONSTRAINT chk_trades_closed_at CHECK (closed_at >= executed_at),
    ADD CONSTRAINT chk_trades_metadata CHECK (jsonb_typeof(metadata) = 'object');

ALTER TABLE risk_limits
    ADD CONSTRAINT chk_risk_limits_limit_type CHECK (limit_type::text IN ('absolute', 'percentage')),
    ADD CONSTRAINT chk_risk_limits_limit_value CHECK (limit_value >= 0 AND limit_value <> 'NaN'),
    ADD CONSTRAINT chk_risk_limits_current_value CHECK (current_value <> 'NaN');

-- Up to an hour candles align on UTC.  Longer ones follow the close of New
-- York, which is a whole hour of UTC the year round.
ALTER TABLE market_data
    ADD CONSTRAINT chk_market_data_timeframe CHECK (
        timeframe::text IN ('1m', '5m', '15m', '30m', '1h', '4h', '1d', '1w', '1mn')),
    ADD CONSTRAINT chk_market_data_timestamp CHECK (
        date_bin(CASE timeframe
                     WHEN '1m' THEN interval '1 minute'
                     WHEN '5m' THEN interval '5 minutes'
                     WHEN '15m' THEN interval '15 minutes'
                     WHEN '30m' THEN interval '30 minutes'
                     ELSE interval '1 hour'
                 END, timestamp, timestamptz '2000-01-01 00:00:00+00') = timestamp),
    ADD CONSTRAINT chk_market_data_prices CHECK (
        low_price > 0
        AND low_price <= open_price AND low_price <= close_price
        AND open_price <= high_price AND close_price <= high_price
        AND high_price <> 'NaN'),
    ADD CONSTRAINT chk_market_data_volume CHECK (volume >= 0);
