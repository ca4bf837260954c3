-- Without the trigger nothing was noted: all that is there counts as changed.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_trigger
                    WHERE tgrelid = 'market_data'::regclass AND tgname = 'note_market_data_change') THEN
        DELETE FROM candle_partitions;
    END IF;
END
$$;

CREATE OR REPLACE TRIGGER note_market_data_change
    AFTER INSERT OR UPDATE OR DELETE ON market_data
    FOR EACH ROW EXECUTE FUNCTION note_candle_change();
-- Also for what logical replication applies.
ALTER TABLE market_data ENABLE ALWAYS TRIGGER note_market_data_change;

SELECT know_empty_partitions();
