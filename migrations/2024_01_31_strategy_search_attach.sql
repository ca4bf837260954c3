CREATE INDEX IF NOT EXISTS idx_strategies_search
    ON strategies USING GIN (strategy_document(name, description, tags))
    WHERE deleted_at IS NULL;
