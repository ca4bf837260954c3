-- How long time series are kept, and what maintenance has done.

-- Empty: nothing expires unless somebody says so.
CREATE TABLE retention_policies (
    "table" TEXT NOT NULL,
    timeframe TEXT,
    keep INTERVAL NOT NULL,
    CONSTRAINT chk_retention_policies_table
        CHECK (regexp_replace("table", '^fx[.]', '')
               IN ('market_data', 'quotes', 'candle_rollups', 'market_data_revisions')),
    CONSTRAINT chk_retention_policies_timeframe
        CHECK (CASE regexp_replace("table", '^fx[.]', '')
                   WHEN 'market_data' THEN timeframe IS NOT NULL AND timeframe
                       IN ('1m', '5m', '15m', '30m', '1h', '4h', '1d', '1w', '1mn')
                   WHEN 'candle_rollups' THEN timeframe IS NOT NULL AND timeframe IN ('1h', '1d')
                   ELSE timeframe IS NULL
               END),
    CONSTRAINT chk_retention_policies_keep CHECK (keep BETWEEN INTERVAL '1 day' AND INTERVAL '1000 years')
);

-- 'fx.market_data' and 'market_data' are one table, and no timeframe is one too
CREATE UNIQUE INDEX idx_retention_policies_unique
    ON retention_policies (regexp_replace("table", '^fx[.]', ''), coalesce(timeframe, ''));

COMMENT ON TABLE retention_policies IS 'How long rows of time series are kept; what has no row here stays for ever';
COMMENT ON COLUMN retention_policies."table" IS 'market_data, quotes, candle_rollups or market_data_revisions, with or without "fx."';
COMMENT ON COLUMN retention_policies.timeframe IS 'Whose candles, for market_data and candle_rollups; NULL for the others';
COMMENT ON COLUMN retention_policies.keep IS 'Age up to which rows stay at least, by their timestamp (replaced_at for revisions); a day or more';

CREATE TABLE maintenance_runs (
    id BIGSERIAL PRIMARY KEY,
    step TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    outcome TEXT NOT NULL,
    detail TEXT,
    rows BIGINT,
    worker BOOLEAN NOT NULL DEFAULT false,
    CONSTRAINT chk_maintenance_runs_outcome CHECK (outcome IN ('ok', 'failed', 'skipped'))
);

CREATE INDEX idx_maintenance_runs_step ON maintenance_runs (step, id);

COMMENT ON TABLE maintenance_runs IS 'Every step of maintenance that was run, by fx.maintain or by the background worker; kept 90 days, 7 days where nothing was to do';
COMMENT ON COLUMN maintenance_runs.step IS 'market_data partitions, quotes partitions, rollups, retention, finalize, cleanup or maintenance (the whole)';
COMMENT ON COLUMN maintenance_runs.detail IS 'What was done, or the SQLSTATE and the message of the error';
COMMENT ON COLUMN maintenance_runs.rows IS 'Partitions made or dropped, days rolled up, rows deleted';
COMMENT ON COLUMN maintenance_runs.worker IS 'Run by the background worker';

-- Policies decide what is destroyed: the owner sets them, the application and
-- reports see them.  Neither is of interest to a user of the platform.
GRANT SELECT ON retention_policies, maintenance_runs TO fx_app, fx_reporting;
