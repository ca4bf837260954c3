--
-- Trigger functions where they do not belong: called by hand, and on every
-- table, event and level that they are not made for
--
-- Who may create triggers chooses the place, and a function in C that reads a
-- tuple or a transition table which is not there takes the server down.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;

CREATE FUNCTION outcome(statement text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

-- by hand: whatever is in the extension, now or later
CREATE TEMPORARY TABLE trigger_functions AS
SELECT p.oid::regprocedure AS f, p.proname AS name, l.lanname AS language
  FROM pg_depend AS d
  JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
  JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
  JOIN pg_language AS l ON l.oid = p.prolang
 WHERE e.extname = 'fxplatform' AND p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype);
SELECT count(*) FILTER (WHERE language = 'c') > 10 AS many, count(*) FILTER (WHERE language NOT IN ('c', 'plpgsql')) AS others FROM trigger_functions;
SELECT f, result
  FROM trigger_functions, outcome('SELECT ' || f) AS result
 WHERE result <> CASE language WHEN 'c' THEN format('39P01 function "%s" was not called by trigger manager', name)
                               ELSE '0A000 trigger functions can only be called as triggers' END;

-- a row in every table that has such a trigger
INSERT INTO fx.users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x');
INSERT INTO fx.strategies (id, user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', 's', 'manual');
INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status)
VALUES ('00000000-0000-4000-8000-0000000000a1', 'EURUSD', 'buy', 'limit', 1, 1, 'pending');
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value) VALUES ('00000000-0000-4000-8000-0000000000a1', 'l', 'max_position', 'absolute', 1);
SELECT fx.deposit('00000000-0000-4000-8000-0000000000a1', 1);
SELECT fx.create_market_data_partitions('2024-01-01', '2024-02-01') AS months;
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume) VALUES ('EURUSD', '1h', '2024-01-02', 1, 1, 1, 1, 1);
CREATE TABLE public.odd (n integer);
INSERT INTO public.odd VALUES (1);

-- one trigger of one row's or one statement's event, alone on the table
CREATE FUNCTION fire(f regprocedure, rel regclass, timing text, event text, level text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    names text;
    changed text;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum), min(quote_ident(attname)) FILTER (WHERE attidentity = '')
      INTO names, changed
      FROM pg_attribute
     WHERE attrelid = rel AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    SET LOCAL session_replication_role = replica;
    EXECUTE format('CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT %s FROM %s', names, rel);
    IF event = 'INSERT' THEN
        EXECUTE format('DELETE FROM %s', rel);
    END IF;
    EXECUTE format('CREATE TRIGGER t %s %s ON %s FOR EACH %s EXECUTE FUNCTION %s', timing, event, rel, level, f);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER t', rel);
    EXECUTE CASE event
        WHEN 'INSERT' THEN format('INSERT INTO %1$s (%2$s) OVERRIDING SYSTEM VALUE SELECT %2$s FROM kept', rel, names)
        WHEN 'UPDATE' THEN format('UPDATE %1$s SET %2$s = %2$s', rel, changed)
        WHEN 'DELETE' THEN format('DELETE FROM %s', rel)
        ELSE format('TRUNCATE %s CASCADE', rel) END;
    RAISE EXCEPTION 'accepted' USING ERRCODE = '00001';
EXCEPTION
    WHEN trigger_protocol_violated THEN
        RETURN CASE WHEN starts_with(SQLERRM, format('function "%s" ', (SELECT proname FROM pg_proc WHERE oid = f))) THEN 'refused' ELSE SQLERRM END;
    WHEN OTHERS THEN
        RETURN CASE SQLSTATE WHEN '00001' THEN SQLERRM ELSE SQLSTATE || ' ' || SQLERRM END;
END $$;

-- every function where the extension has put it, as it is there but for its
-- arguments and transition tables, and on a table with nothing that it knows
CREATE TEMPORARY TABLE results AS
SELECT t.f, t.name, r.rel, place, result
  FROM trigger_functions AS t
  CROSS JOIN LATERAL (
        SELECT 'public.odd'::regclass AS rel
        UNION ALL
        (SELECT g.tgrelid::regclass FROM pg_trigger AS g JOIN pg_class AS c ON c.oid = g.tgrelid AND c.relnamespace = 'fx'::regnamespace
          WHERE g.tgfoid = t.f AND g.tgparentid = 0 ORDER BY c.relname COLLATE "C" <> 'users', c.relname COLLATE "C" DESC LIMIT 1)) AS r
  CROSS JOIN (VALUES ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) AS e (event)
  CROSS JOIN (VALUES ('BEFORE'), ('AFTER')) AS w (timing)
  CROSS JOIN (VALUES ('ROW'), ('STATEMENT')) AS l (level)
  CROSS JOIN LATERAL concat_ws(' ', timing, event, level) AS place
  CROSS JOIN LATERAL fire(t.f, r.rel, timing, event, level) AS result
 WHERE t.language = 'c' AND (event, level) <> ('TRUNCATE', 'ROW');
SELECT DISTINCT name FROM results EXCEPT SELECT name FROM trigger_functions WHERE language = 'c';
SELECT name FROM trigger_functions WHERE language = 'c' EXCEPT SELECT name FROM results;
-- everything else is refused
SELECT name, rel, result, string_agg(place, ', ' ORDER BY place COLLATE "C") AS places
  FROM results WHERE result <> 'refused'
 GROUP BY name, rel, result ORDER BY name COLLATE "C", rel::text COLLATE "C", result COLLATE "C";

-- a view's rows are no tuples of a table
CREATE VIEW public.odd_view AS SELECT n FROM public.odd;
SELECT name, result
  FROM trigger_functions
  CROSS JOIN LATERAL outcome(format('CREATE OR REPLACE TRIGGER t INSTEAD OF INSERT ON public.odd_view FOR EACH ROW EXECUTE FUNCTION %s; INSERT INTO public.odd_view VALUES (1)', f)) AS result
 WHERE language = 'c' AND NOT starts_with(result, format('39P01 function "%s" must be fired ', name)) ORDER BY name COLLATE "C";

DROP VIEW public.odd_view;
DROP TABLE public.odd;
DROP FUNCTION fire, outcome;
DELETE FROM fx.users;
TRUNCATE fx.market_data;
DROP TABLE fx.market_data_2024_01;
TRUNCATE fx.audit_log, fx.candle_changes;
