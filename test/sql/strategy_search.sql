--
-- Full-text search over strategies (defect 29)
--
BEGIN;
SET LOCAL search_path = fx, public;
INSERT INTO users (id, email, username, password_hash)
SELECT ('00000000-0000-4000-8000-0000000000a' || n)::uuid, n || '@example.com', n, 'x' FROM generate_series(1, 2) AS n;
INSERT INTO strategies (user_id, name, description, type, tags, deleted_at) VALUES
    ('00000000-0000-4000-8000-0000000000a1', 'Breakout hunter', 'Trades the London open', 'manual', '{momentum}', NULL),
    ('00000000-0000-4000-8000-0000000000a1', 'Night owl', 'Buys breakouts of the Asian range', 'manual', NULL, NULL),
    ('00000000-0000-4000-8000-0000000000a2', 'Carry', NULL, 'manual', '{breakouts,swap,"mean reversion"}', NULL),
    ('00000000-0000-4000-8000-0000000000a2', 'Old breakout', 'gone', 'manual', NULL, now());
-- name before tags before description, words in their stems
SELECT name, rank > 0 AS ranked FROM search_strategies('breakout');
SELECT name FROM search_strategies('breakouts', '00000000-0000-4000-8000-0000000000a2');
SELECT name FROM search_strategies('"london open"');
SELECT name FROM search_strategies('"open london"');
SELECT name FROM search_strategies('breakout -london') ORDER BY name;
SELECT name FROM search_strategies('owl or carry') ORDER BY name;
SELECT name FROM search_strategies('reversion');
-- whatever a user types is no syntax error
SELECT query, (SELECT count(*) FROM search_strategies(query)) AS found
  FROM unnest(ARRAY['', '   ', '&|!:*()', '"', '""', '''', '\', 'a & | b', '-', '--', 'or or or', '<->', 'the', 'break:*', '%_', NULL, '%s %I', '"breakout', 'BREAKOUT']) WITH ORDINALITY AS v (query, n) ORDER BY n;
SELECT count(*) AS long FROM search_strategies(repeat('breakout ', 2000));
-- NULL user is everyone, an unknown one nobody
SELECT (SELECT count(*) FROM search_strategies('breakout', NULL)) AS everyone, (SELECT count(*) FROM search_strategies('breakout', gen_random_uuid())) AS nobody;
-- a document has an end, a row has not: two megabytes of different words
UPDATE strategies SET description = (SELECT string_agg(md5(n::text), ' ') FROM generate_series(1, 65000) AS n) WHERE name = 'Night owl';
UPDATE strategies SET tags = (SELECT array_agg(md5(n::text)) FROM generate_series(1, 20000) AS n), description = repeat('€', 500000) WHERE name = 'Carry';
SELECT name, length(description) AS letters, cardinality(tags) AS tags FROM strategies WHERE name IN ('Night owl', 'Carry') ORDER BY name;
ROLLBACK;
