-- Each B-tree beside the key costs a third of the rate at which candles are
-- loaded, and years of candles are read by symbol and timeframe.
--
-- By symbol and time, whatever the timeframe: the key (symbol, timeframe,
-- timestamp) of the months in question finds the symbol's entries and compares
-- their times in the index.  By time alone: the months in question, and ranges
-- of their pages, since candles come roughly by time.

DROP INDEX idx_market_data_symbol_timestamp;            -- idx_market_data_unique (symbol, ..., timestamp)
DROP INDEX idx_market_data_timestamp;                   -- the same as BRIN
CREATE INDEX idx_market_data_timestamp ON market_data USING brin (timestamp) WITH (pages_per_range = 32, autosummarize = on);
