-- Candles of one hour and one day, kept up to date from the stored ones.  What
-- is stored in market_data is the truth; the rows here are worked out from it
-- and can be thrown away and made again, except for those whose source has
-- expired.

CREATE TABLE candle_rollups (
    symbol VARCHAR(20) NOT NULL,
    timeframe VARCHAR(10) NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    open_price DECIMAL(18, 8) NOT NULL,
    high_price DECIMAL(18, 8) NOT NULL,
    low_price DECIMAL(18, 8) NOT NULL,
    close_price DECIMAL(18, 8) NOT NULL,
    volume BIGINT,
    source VARCHAR(10) NOT NULL,
    PRIMARY KEY (symbol, timeframe, timestamp),
    CONSTRAINT chk_candle_rollups_timeframe CHECK (timeframe::text IN ('1h', '1d'))
) WITH (fillfactor = 90);

COMMENT ON TABLE candle_rollups IS 'Candles of 1h and 1d made from market_data by fx.refresh_candles; read them by fx.candles';
COMMENT ON COLUMN candle_rollups.source IS 'The finest timeframe of market_data that went into the candle';

-- No key beyond what makes a row its own: two writers of the same day must not
-- wait for one another.
CREATE TABLE candle_changes (
    symbol VARCHAR(20) NOT NULL,
    timeframe VARCHAR(10) NOT NULL,
    day DATE NOT NULL,
    id BIGSERIAL,
    PRIMARY KEY (symbol, day, timeframe, id)
);

COMMENT ON TABLE candle_changes IS 'FX days of which candles were written since the last fx.refresh_candles; kept by a trigger of market_data';

CREATE TABLE candle_series (
    symbol VARCHAR(20) NOT NULL,
    timeframe VARCHAR(10) NOT NULL,
    PRIMARY KEY (symbol, timeframe)
);

COMMENT ON TABLE candle_series IS 'Symbols and timeframes that market_data holds or held at the last fx.refresh_candles';

CREATE TABLE candle_horizons (
    timeframe VARCHAR(10) PRIMARY KEY,
    expired_before TIMESTAMP WITH TIME ZONE NOT NULL
);

COMMENT ON TABLE candle_horizons IS 'Up to where retention has removed candles of a timeframe; roll-ups made from them before that are final';

CREATE TABLE candle_partitions (
    partition_name TEXT PRIMARY KEY,
    identity TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL
);

COMMENT ON TABLE candle_partitions IS 'Partitions of market_data as the last fx.refresh_candles saw them; one that is gone, new or truncated since then has changed as a whole';
COMMENT ON COLUMN candle_partitions.partition_name IS 'With its schema, quoted as needed';
COMMENT ON COLUMN candle_partitions.identity IS 'Table, file and attachment; differs after TRUNCATE, DETACH and ATTACH';

-- Everybody may read candles, and nobody writes here but triggers and
-- functions with the owner's rights.
GRANT SELECT ON candle_rollups, candle_changes, candle_series, candle_horizons, candle_partitions
    TO fx_app, fx_user, fx_reporting;

-- Days are reckoned with for all candles, so that a time near the ends of the
-- calendar would stop them all.  Before 1900 New York was not a whole number of
-- hours from UTC.
ALTER TABLE market_data ADD CONSTRAINT chk_market_data_time
    CHECK (timestamp >= '1900-01-01 00:00:00+00' AND timestamp < '9999-12-01 00:00:00+00');
