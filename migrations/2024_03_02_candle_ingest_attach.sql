-- Trigger and partitions of the migration.  Safe to run again.

-- An update that changes nothing costs nothing.
CREATE OR REPLACE TRIGGER keep_candle_revision
    AFTER UPDATE ON market_data
    FOR EACH ROW WHEN (
        OLD.symbol IS DISTINCT FROM NEW.symbol
        OR OLD.timeframe IS DISTINCT FROM NEW.timeframe
        OR OLD.timestamp IS DISTINCT FROM NEW.timestamp
        OR OLD.open_price IS DISTINCT FROM NEW.open_price
        OR OLD.high_price IS DISTINCT FROM NEW.high_price
        OR OLD.low_price IS DISTINCT FROM NEW.low_price
        OR OLD.close_price IS DISTINCT FROM NEW.close_price
        OR OLD.volume IS DISTINCT FROM NEW.volume)
    EXECUTE FUNCTION keep_candle_revision();

-- last month, this one and three ahead
SELECT create_quote_partitions(
    (date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month')::date,
    (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '4 months')::date);
