CREATE OR REPLACE TRIGGER note_market_data_change
    AFTER INSERT OR UPDATE OR DELETE ON market_data
    FOR EACH ROW EXECUTE FUNCTION note_candle_change();
