-- Trigger and partitions of the migration.  Safe to run again.

-- An update that changes nothing costs nothing.
CREATE OR REPLACE TRIGGER keep_candle_revision
    AFTER UPDATE ON market_data
    FOR EACH ROW WHEN (
        (OLD.symbol, OLD.timeframe, OLD.timestamp, OLD.open_price, OLD.high_price,
         OLD.low_price, OLD.close_price, OLD.volume)
        IS DISTINCT FROM
        (NEW.symbol, NEW.timeframe, NEW.timestamp, NEW.open_price, NEW.high_price,
         NEW.low_price, NEW.close_price, NEW.volume))
    EXECUTE FUNCTION keep_candle_revision();

-- last month, this one and three ahead
SELECT create_quote_partitions(
    (date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month')::date,
    (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '4 months')::date);
