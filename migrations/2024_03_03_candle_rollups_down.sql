DROP TRIGGER IF EXISTS note_market_data_change ON market_data;
DROP TABLE candle_partitions, candle_horizons, candle_series, candle_changes, candle_rollups;
ALTER TABLE market_data DROP CONSTRAINT chk_market_data_time;
