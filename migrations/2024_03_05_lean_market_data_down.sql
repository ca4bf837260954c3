DROP INDEX idx_market_data_timestamp;
CREATE INDEX idx_market_data_timestamp ON market_data (timestamp);
CREATE INDEX idx_market_data_symbol_timestamp ON market_data (symbol, timestamp);
