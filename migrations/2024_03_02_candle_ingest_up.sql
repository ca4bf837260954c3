-- What the ingest of candles leaves behind besides the candles themselves: rows
-- that were refused, and versions that were corrected.  And the ticks.

CREATE TABLE market_data_rejects (
    id BIGSERIAL PRIMARY KEY,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp(),
    reason TEXT NOT NULL,
    candle JSONB NOT NULL
);

CREATE INDEX idx_market_data_rejects_received_at ON market_data_rejects (received_at);

COMMENT ON TABLE market_data_rejects IS 'Candles that fx.ingest_candles and fx.load_candles refused; kept until somebody deletes them';
COMMENT ON COLUMN market_data_rejects.reason IS 'Everything that is wrong with the row, joined by "; "';
COMMENT ON COLUMN market_data_rejects.candle IS 'The row as it came';

-- The key of a candle is not unique here: it has a row a correction.
CREATE TABLE market_data_revisions (
    id BIGSERIAL PRIMARY KEY,
    symbol VARCHAR(20) NOT NULL,
    timeframe VARCHAR(10) NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    open_price DECIMAL(18, 8) NOT NULL,
    high_price DECIMAL(18, 8) NOT NULL,
    low_price DECIMAL(18, 8) NOT NULL,
    close_price DECIMAL(18, 8) NOT NULL,
    volume BIGINT,
    created_at TIMESTAMP WITH TIME ZONE,
    replaced_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    replaced_by UUID
);

CREATE INDEX idx_market_data_revisions_candle
    ON market_data_revisions (symbol, timeframe, timestamp, replaced_at);

COMMENT ON TABLE market_data_revisions IS 'Versions of candles that an UPDATE replaced, written by a trigger of market_data only; the current version is there';
COMMENT ON COLUMN market_data_revisions.created_at IS 'created_at of the version that was replaced';
COMMENT ON COLUMN market_data_revisions.replaced_at IS 'When it was replaced, by the clock: the version held up to then';
COMMENT ON COLUMN market_data_revisions.replaced_by IS 'Who did it: app.current_user_id, NULL when not set; no reference, because the user may go';

-- Two ticks can have the same time; then they are told apart by arrival.
CREATE TABLE quotes (
    id BIGSERIAL,
    symbol VARCHAR(20) NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    bid DECIMAL(18, 8) NOT NULL,
    ask DECIMAL(18, 8) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW(),
    PRIMARY KEY (symbol, timestamp, id),
    -- NaN sorts above every number, so a bid of NaN is above every other ask
    CONSTRAINT chk_quotes_prices CHECK (bid > 0 AND bid <= ask AND ask <> 'NaN')
) PARTITION BY RANGE (timestamp);

COMMENT ON TABLE quotes IS 'Ticks, one partition a month of UTC';
COMMENT ON COLUMN quotes.id IS 'Order of arrival among ticks of the same time';
COMMENT ON COLUMN quotes.bid IS 'At most ask: a crossed quote is one of two feeds, or of a stale side, and has no middle';

-- Grants, one decision a table and role; partitions get none.

-- a refused row can be brought by the application, and is not its to change
GRANT SELECT, INSERT ON market_data_rejects TO fx_app;
GRANT USAGE ON SEQUENCE market_data_rejects_id_seq TO fx_app;
GRANT SELECT ON market_data_rejects TO fx_reporting;
-- written with the rights of the owner
GRANT SELECT ON market_data_revisions TO fx_app, fx_user, fx_reporting;
GRANT SELECT, INSERT, UPDATE, DELETE ON quotes TO fx_app;
GRANT USAGE ON SEQUENCE quotes_id_seq TO fx_app;
GRANT SELECT ON quotes TO fx_user, fx_reporting;
