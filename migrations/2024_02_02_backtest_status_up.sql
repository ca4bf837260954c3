-- Trades and curves are the largest values of the platform.  lz4 reads them
-- back twice as fast as the default compression, where the server has it.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_settings
                WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        ALTER TABLE backtests
            ALTER COLUMN trades SET COMPRESSION lz4,
            ALTER COLUMN equity_curve SET COMPRESSION lz4;
    END IF;
END
$$;
