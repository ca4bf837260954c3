--
-- Tables that are written anew between two trades of a transaction
--
-- The engine remembers where it left its rows.  Here they all move, and those
-- of other users come to lie where they were.
--
\set ON_ERROR_STOP on
SET client_min_messages = warning;
BEGIN;
SET LOCAL fxplatform.clock = '2024-03-05 12:00:00Z';

CREATE FUNCTION pg_temp.id(n integer) RETURNS uuid
LANGUAGE sql AS $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.buy(n integer, units numeric, sym text DEFAULT 'EURUSD') RETURNS void
LANGUAGE sql AS $$
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
    VALUES (pg_temp.id(n), sym, 'buy', 'market', units, 1, 'executed', '2024-03-05 11:00Z')
$$;
CREATE FUNCTION pg_temp.books(OUT who integer, OUT held text, OUT limits text) RETURNS SETOF record
LANGUAGE sql AS $$
    SELECT n,
           (SELECT string_agg(p.symbol || ' ' || trim_scale(p.long_quantity), ', ' ORDER BY p.symbol)
              FROM fx.positions p WHERE p.user_id = pg_temp.id(n)),
           (SELECT string_agg(l.name || ' ' || trim_scale(l.current_value), ', ' ORDER BY l.name)
              FROM fx.risk_limits l WHERE l.user_id = pg_temp.id(n))
      FROM generate_series(1, 3) AS n
     ORDER BY n
$$;

INSERT INTO fx.users (id, email, username, password_hash)
SELECT pg_temp.id(n), n || '@example.com', 'user' || n, 'x' FROM generate_series(1, 3) AS n;
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value, action, window_seconds)
SELECT pg_temp.id(n), l.type, l.type, 'absolute', 1000, 'warn', l.seconds
  FROM generate_series(1, 3) AS n, (VALUES ('max_position', NULL), ('max_order_rate', 3600)) AS l (type, seconds);

-- the first user's rows leave the first places, which the others take
SELECT pg_temp.buy(n, n) FROM generate_series(1, 3) AS n;
SELECT pg_temp.buy(3, 3, 'GBPUSD');
SELECT pg_temp.buy(1, 4);
SELECT * FROM pg_temp.books();

ALTER TABLE fx.positions ADD COLUMN number double precision DEFAULT random();
SELECT pg_temp.buy(n, 10) FROM generate_series(1, 3) AS n;
SELECT * FROM pg_temp.books();

CLUSTER fx.positions USING positions_pkey;
SELECT pg_temp.buy(n, 100) FROM generate_series(1, 3) AS n;
SELECT * FROM pg_temp.books();

-- those of accounts and limits
ALTER TABLE fx.accounts ADD COLUMN number double precision DEFAULT random();
ALTER TABLE fx.risk_limits ADD COLUMN number double precision DEFAULT random();
ALTER TABLE fx.risk_limit_state ADD COLUMN number double precision DEFAULT random();
SELECT pg_temp.buy(n, 1000) FROM generate_series(1, 3) AS n;
SELECT * FROM pg_temp.books();

-- what a rollback undoes was never there
SAVEPOINT before;
ALTER TABLE fx.positions ALTER number TYPE numeric;
SELECT pg_temp.buy(n, 5, 'USDJPY') FROM generate_series(1, 3) AS n;
ROLLBACK TO before;
SELECT pg_temp.buy(n, 10000) FROM generate_series(1, 3) AS n;
SELECT * FROM pg_temp.books();

-- the places are behind the end
SELECT count(pg_temp.buy(n, 1) IS NULL) FROM generate_series(1, 3) AS n, generate_series(1, 100);
SELECT pg_relation_size(relation) > 8192 AS had FROM unnest('{fx.accounts,fx.positions,fx.risk_limits,fx.risk_limit_state}'::regclass[]) AS relation;
ALTER TABLE fx.accounts DROP COLUMN number, ADD COLUMN number numeric DEFAULT random();
ALTER TABLE fx.positions DROP COLUMN number, ADD COLUMN number numeric DEFAULT random();
ALTER TABLE fx.risk_limits DROP COLUMN number, ADD COLUMN number numeric DEFAULT random();
ALTER TABLE fx.risk_limit_state DROP COLUMN number, ADD COLUMN number numeric DEFAULT random();
SELECT pg_relation_size(relation) = 8192 AS has FROM unnest('{fx.accounts,fx.positions,fx.risk_limits,fx.risk_limit_state}'::regclass[]) AS relation;
SELECT pg_temp.buy(n, 100000) FROM generate_series(1, 3) AS n;
SELECT * FROM pg_temp.books();
SELECT * FROM fx.verify_positions();
ROLLBACK;
