DROP INDEX IF EXISTS idx_strategies_search;
