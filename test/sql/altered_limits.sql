--
-- Tables of limits that their owner altered: an error that names the column,
-- or the same answers as before
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
BEGIN;
SET LOCAL fxplatform.clock = '2024-03-05 12:00:00Z';
CREATE FUNCTION pg_temp.id(n integer) RETURNS uuid
LANGUAGE sql AS $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.buy(times integer DEFAULT 1) RETURNS integer
LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. times LOOP
        INSERT INTO fx.trades (user_id, strategy_id, symbol, type, order_type, quantity, price, status, executed_at)
        VALUES (pg_temp.id(1), pg_temp.id(2), 'EURUSD', 'buy', 'market', 1, 1.1, 'executed', '2024-03-05 11:00Z');
    END LOOP;
    RETURN times;
END $$;
-- all is as it was afterwards
CREATE FUNCTION pg_temp.try(altered text, tried text DEFAULT 'SELECT pg_temp.buy()') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE altered;
    EXECUTE tried INTO result;
    RAISE EXCEPTION '%', concat_ws(' ', 'accepted', result) USING ERRCODE = '00001';
EXCEPTION WHEN OTHERS THEN
    RETURN concat(nullif(SQLSTATE, '00001') || ' ', SQLERRM);
END $$;
INSERT INTO fx.users (id, email, username, password_hash) VALUES (pg_temp.id(1), 'a@example.com', 'a', 'x');
INSERT INTO fx.strategies (id, user_id, name, type, status) VALUES (pg_temp.id(2), pg_temp.id(1), 's', 'manual', 'active');
INSERT INTO fx.risk_limits (id, user_id, name, type, limit_type, limit_value, action, strategy_id)
VALUES (pg_temp.id(3), pg_temp.id(1), 'rate', 'max_order_rate', 'absolute', 1000, 'block', NULL),
       (pg_temp.id(4), pg_temp.id(1), 'size', 'max_position', 'absolute', 1000, 'halt', pg_temp.id(2));
SELECT pg_temp.buy();

-- every column that the engine reads, of a type that is none of its own
CREATE FUNCTION pg_temp.other_type(relation regclass) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    c record;
    o record;
BEGIN
    FOR o IN SELECT conrelid::regclass AS of_table, conname FROM pg_constraint WHERE contype IN ('c', 'f') AND relation IN (conrelid, confrelid) LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', o.of_table, o.conname);
    END LOOP;
    FOR o IN SELECT polname FROM pg_policy WHERE polrelid = relation LOOP
        EXECUTE format('DROP POLICY %I ON %s', o.polname, relation);
    END LOOP;
    FOR o IN SELECT tgname FROM pg_trigger WHERE tgrelid = relation AND NOT tgisinternal LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', o.tgname, relation);
    END LOOP;
    FOR c IN SELECT attname FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped
                AND attname NOT IN ('created_at', 'updated_at') ORDER BY attnum LOOP
        RETURN NEXT c.attname || ': ' || pg_temp.try(format('ALTER TABLE %1$s ALTER %2$I DROP DEFAULT, ALTER %2$I TYPE bytea USING convert_to(%2$I::text, ''UTF8'')',
            relation, c.attname));
    END LOOP;
END $$;
SAVEPOINT s;
SELECT pg_temp.other_type('fx.risk_limits');
ROLLBACK TO s;
SELECT pg_temp.other_type('fx.risk_limit_state');
ROLLBACK TO s;

-- text is as good as varchar
ALTER TABLE fx.risk_limits ALTER name TYPE text, ALTER basis TYPE text;
SELECT pg_temp.buy(2);
SELECT name, current_value, status FROM fx.risk_utilization(pg_temp.id(1)) ORDER BY 1;
ROLLBACK TO s;

-- numbers of trades that are no decimals, read by a limit of a strategy
SELECT pg_temp.try('ALTER TABLE fx.trades DROP CONSTRAINT ' || string_agg(quote_ident(conname), ', DROP CONSTRAINT ')
       || ', ALTER quantity TYPE double precision, ALTER open_quantity TYPE double precision', 'SELECT string_agg(name || current_value::text, '' '' ORDER BY name) FROM fx.risk_utilization(pg_temp.id(1))')
  FROM pg_constraint WHERE conrelid = 'fx.trades'::regclass AND contype = 'c' AND pg_get_constraintdef(oid) ~ 'quantity';

-- a number of orders past every end
ALTER TABLE fx.risk_limits DROP CONSTRAINT chk_risk_limits_order_rate;
UPDATE fx.risk_limits SET limit_value = 3000000000 WHERE type = 'max_order_rate';
SELECT pg_temp.buy(3);
SELECT cardinality(order_times) FROM fx.risk_limit_state WHERE limit_id = pg_temp.id(3);
ROLLBACK TO s;

-- what the engine writes itself gets lost
CREATE FUNCTION pg_temp.suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
SELECT pg_temp.try($$DELETE FROM fx.risk_limit_state; CREATE TRIGGER lost BEFORE INSERT ON fx.risk_limit_state FOR EACH ROW EXECUTE FUNCTION pg_temp.suppress()$$);
SELECT pg_temp.try($$CREATE TRIGGER lost BEFORE INSERT ON fx.closures FOR EACH ROW EXECUTE FUNCTION pg_temp.suppress()$$,
    $$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (pg_temp.id(1), 'EURUSD', 'sell', 'market', 1, 1.2, 'executed', '2024-03-05 11:30Z') RETURNING 1$$);
ROLLBACK;
