
-- strategies

CREATE TYPE strategy_performance AS (
    id uuid,
    user_id uuid,
    name text,
    description text,
    type text,
    status text,
    config jsonb,
    performance_metrics jsonb,
    tags text[],
    version integer,
    parent_strategy_id uuid,
    is_public boolean,
    created_at timestamptz,
    updated_at timestamptz,
    deleted_at timestamptz,
    backtest_count bigint,
    avg_return numeric
);

COMMENT ON TYPE strategy_performance
    IS 'a strategy with the number of its completed backtests and the mean of their total return (a fraction, NULL without one)';

CREATE FUNCTION user_strategies(user_id uuid)
RETURNS SETOF strategy_performance
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.id, s.user_id, s.name, s.description, s.type, s.status, s.config,
           s.performance_metrics, s.tags, s.version, s.parent_strategy_id,
           s.is_public, s.created_at, s.updated_at, s.deleted_at,
           count(b.id),
           avg((b.performance_metrics ->> 'totalReturn')::numeric)
      FROM fx.strategies s
      LEFT JOIN fx.backtests b ON b.strategy_id = s.id AND b.status = 'completed'
     WHERE s.user_id = user_strategies.user_id AND s.deleted_at IS NULL
     GROUP BY s.id
     ORDER BY s.updated_at DESC, s.id
$$;

COMMENT ON FUNCTION user_strategies(uuid)
    IS 'the strategies of a user that are not deleted, last changed first, with count and mean total return (a fraction) of their completed backtests; no row for NULL';

-- Text of a strategy for full-text search: name before tags before
-- description.  The lengths are bounded because a tsvector ends at 1 MB and a
-- row must not be refused for being long; nor is it worth a notice each time.
CREATE FUNCTION strategy_document(name text, description text, tags text[])
RETURNS tsvector
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
    SELECT setweight(to_tsvector('pg_catalog.english', coalesce(name, '')), 'A')
        || setweight(to_tsvector('pg_catalog.english',
                                 left(coalesce(array_to_string(tags, ' '), ''), 20000)), 'B')
        || setweight(to_tsvector('pg_catalog.english', left(coalesce(description, ''), 100000)), 'C')
$$;

COMMENT ON FUNCTION strategy_document(text, text, text[])
    IS 'what fx.search_strategies searches: name (weight A), the first 20,000 characters of the tags (B), the first 100,000 of the description (C), in English; NULL is empty';

CREATE TYPE strategy_match AS (
    id uuid,
    user_id uuid,
    name text,
    description text,
    type text,
    status text,
    tags text[],
    is_public boolean,
    updated_at timestamptz,
    rank real
);

COMMENT ON TYPE strategy_match IS 'a strategy found by fx.search_strategies, and how well it fits';

CREATE FUNCTION search_strategies(query text, user_id uuid DEFAULT NULL)
RETURNS SETOF strategy_match
LANGUAGE sql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
    SELECT s.id, s.user_id, s.name, s.description, s.type, s.status, s.tags,
           s.is_public, s.updated_at,
           ts_rank(fx.strategy_document(s.name, s.description, s.tags), q.query) AS rank
      FROM websearch_to_tsquery('pg_catalog.english', search_strategies.query) AS q (query)
      JOIN fx.strategies s
        ON fx.strategy_document(s.name, s.description, s.tags) @@ q.query
     WHERE s.deleted_at IS NULL
       AND (search_strategies.user_id IS NULL OR s.user_id = search_strategies.user_id)
     ORDER BY rank DESC, s.updated_at DESC, s.id
$$;

COMMENT ON FUNCTION search_strategies(text, uuid)
    IS 'strategies not deleted whose name, tags or description match, best first; query in web-search syntax (words, "a phrase", or, -without), never a syntax error; only those of user_id unless NULL; no row for an empty or NULL query';

-- The version of a strategy counts the changes of its configuration.
CREATE FUNCTION bump_strategy_version()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.version := coalesce(OLD.version, 0) + 1;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION bump_strategy_version()
    IS 'trigger, BEFORE UPDATE FOR EACH ROW on fx.strategies: raises version by one';
