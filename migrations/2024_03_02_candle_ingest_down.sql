DROP TRIGGER IF EXISTS keep_candle_revision ON market_data;
DROP TABLE quotes;
DROP TABLE market_data_revisions;
DROP TABLE market_data_rejects;
