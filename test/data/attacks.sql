-- What 032_attacks.pl attacks with: users who have a row in every table, and
-- the calls and statements to try, made from the catalogs, so that what is added
-- later is tried too.

CREATE SCHEMA attack;
GRANT USAGE ON SCHEMA attack TO PUBLIC;

-- A user with rows everywhere; the name is in every text of his
CREATE FUNCTION attack.make_user(name text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    who CONSTANT uuid := fx.create_user(name || '@example.com', name, 'password of ' || name, name, name, preferences => jsonb_build_object('initialBalance', 1000, 'note', name));
    strategy uuid;
    backtest uuid;
    trade uuid;
BEGIN
    PERFORM set_config('app.current_user_id', who::text, true), set_config('app.user_agent', name, true);
    INSERT INTO fx.strategies (user_id, name, description, type, config, tags) VALUES (who, name, name, 'manual', jsonb_build_object('note', name), ARRAY[name]) RETURNING id INTO strategy;
    INSERT INTO fx.backtests (strategy_id, user_id, name, config) VALUES (strategy, who, name, jsonb_build_object('note', name)) RETURNING id INTO backtest;
    INSERT INTO fx.trades (user_id, strategy_id, broker_id, external_id, symbol, type, order_type, quantity, price, status, executed_at, metadata)
    VALUES (who, strategy, name, name, 'EURUSD', 'buy', 'market', 2, 1.1, 'executed', clock_timestamp() - interval '3 hours', jsonb_build_object('note', name)) RETURNING id INTO trade;
    PERFORM fx.close_trade(trade, 1.2, quantity => 1);
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, metadata) VALUES (who, 'EURUSD', 'buy', 'limit', 1, 1, 'pending', jsonb_build_object('note', name));
    INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value) VALUES (who, name, 'max_open_trades', 'absolute', 3);
    PERFORM fx.deposit(who, 10, name), fx.set_trading_state(who, 'reduce_only', name), fx.set_trading_state(who, 'active', name);
    PERFORM fx.sign_in(name, 'password of ' || name), fx.sign_in(name, 'wrong'), fx.issue_api_key(who, name, ARRAY[name]), fx.enable_two_factor(who, name), fx.request_email_verification(who);
    RETURN who;
END
$$;

-- All that the database has about a user, as one value
CREATE FUNCTION attack.picture(about text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    tab regclass;
    part text;
    whole text := '';
BEGIN
    FOR tab IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname LOOP
        EXECUTE format('SELECT md5(string_agg(t::text, E''\n'' ORDER BY t::text)) FROM %s t WHERE t::text ~ $1', tab) INTO part USING about;
        whole := whole || format('%s %s, ', tab, part);
    END LOOP;
    RETURN whole;
END
$$;

-- The answer of a query or a command, or its error with all that it tells
CREATE FUNCTION attack.ask(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line record;
    answer text := '';
    detail text;
    hint text;
    failed text;
BEGIN
    FOR line IN EXECUTE query LOOP
        answer := answer || line::text || E'\n';
    END LOOP;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, failed = CONSTRAINT_NAME;
    RETURN concat_ws(' ', SQLSTATE, SQLERRM, detail, hint, failed);
END
$$;

CREATE FUNCTION attack.command(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    rows bigint;
BEGIN
    EXECUTE command;
    GET DIAGNOSTICS rows = ROW_COUNT;
    RETURN rows || ' rows';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;

-- Arguments that a call may have: by the name of the parameter, else by its type
CREATE TABLE attack.sample (name text, type regtype, value text, UNIQUE (name, type));
INSERT INTO attack.sample VALUES
    ('symbol', 'text', 'EURUSD'), ('type', 'text', 'buy'), ('order_type', 'text', 'market'), ('status', 'text', 'pending'), ('timeframe', 'text', '1h'), ('resource_type', 'text', 'trades'), ('state', 'text', 'active'),
    ('bucket', 'text', 'day'), ('from_currency', 'text', 'EUR'), ('to_currency', 'text', 'USD'), ('time_zone', 'text', 'UTC'), ('setting', 'text', 'fxplatform.session_lifetime'), ('price', 'numeric', '1.1'),
    ('trades', 'jsonb', '[{"symbol": "EURUSD", "type": "buy", "quantity": 1, "price": 1.1}]'),
    ('', 'text', 'x'), ('', 'name', 'x'), ('', 'text[]', '{x}'), ('', 'jsonb', '{}'), ('', 'numeric', '1'), ('', 'integer', '1'), ('', 'bigint', '1'), ('', 'double precision', '1'), ('', 'boolean', 'false'), ('', 'bytea', 'x'),
    ('', 'timestamptz', '2024-01-03 00:00+00'), ('', 'interval', '1 day'), ('', 'inet', '10.0.0.1'), ('', 'date', '2024-01-03'), ('', 'date[]', '{2024-01-03}'), ('', 'time', '17:00'), ('', 'regclass', 'fx.trades');

-- Parameters of every function that SQL can call
CREATE VIEW attack.parameter AS
    SELECT p.oid AS function, a.n, coalesce((CASE WHEN p.proargmodes IS NULL THEN p.proargnames
                                                  ELSE (SELECT array_agg(p.proargnames[i] ORDER BY i) FROM generate_subscripts(p.proargmodes, 1) AS i WHERE p.proargmodes[i] IN ('i', 'b', 'v')) END)[a.n], '') AS name,
           a.type::regtype AS type
      FROM pg_proc p, unnest(p.proargtypes) WITH ORDINALITY AS a (type, n)
     WHERE p.pronamespace = 'fx'::regnamespace AND p.prokind = 'f' AND p.prorettype NOT IN ('trigger'::regtype, 'internal'::regtype)
       AND NOT p.proargtypes::oid[] && ARRAY['internal', 'cstring']::regtype[]::oid[];

CREATE FUNCTION attack.cast(value text, type regtype) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format('%L::%I.%I', value, n.nspname, t.typname) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = type
$$;

-- A call; ids holds arguments by name, "" what other uuids and names of rows are.  One
-- argument is replaced by text (number NULL: none).
CREATE FUNCTION attack.call(function regprocedure, ids jsonb, number bigint DEFAULT NULL, evil text DEFAULT NULL) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format('SELECT * FROM fx.%I(%s)', (SELECT proname FROM pg_proc WHERE oid = $1),
                  string_agg(attack.cast(CASE
                                             WHEN p.n = number THEN CASE WHEN p.type = 'jsonb'::regtype THEN jsonb_build_array(jsonb_build_object('symbol', evil, evil, evil))::text
                                                                         WHEN p.type = 'text[]'::regtype THEN ARRAY[evil]::text ELSE evil END
                                             WHEN p.type = 'uuid'::regtype OR p.name IN ('id', 'resource_id') THEN coalesce(ids ->> p.name, ids ->> '')
                                             ELSE coalesce((SELECT s.value FROM attack.sample s WHERE s.name = p.name AND s.type = p.type), (SELECT s.value FROM attack.sample s WHERE s.name = '' AND s.type = p.type))
                                         END, p.type), ', ' ORDER BY p.n))
      FROM attack.parameter p WHERE p.function = $1
$$;

-- Ids of a user's rows by the parameters that take them
CREATE FUNCTION attack.ids(who uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_object('', who, 'user_id', who, 'strategy_id', (SELECT min(id::text) FROM fx.strategies WHERE user_id = who), 'backtest_id', (SELECT min(id::text) FROM fx.backtests WHERE user_id = who),
                              'trade_id', (SELECT min(id::text) FROM fx.trades WHERE user_id = who AND status = 'executed'), 'limit_id', (SELECT min(id::text) FROM fx.risk_limits WHERE user_id = who),
                              'key_id', (SELECT min(id::text) FROM fx.api_keys WHERE user_id = who))
$$;

-- Every uuid that the database has about a user
CREATE FUNCTION attack.all_ids(who uuid) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
    tab record;
BEGIN
    RETURN NEXT who;
    FOR tab IN SELECT c.oid::regclass AS name FROM pg_class c WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                  AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'id' AND a.atttypid = 'uuid'::regtype)
                  AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'user_id') LOOP
        RETURN QUERY EXECUTE format('SELECT id FROM %s WHERE user_id = $1 ORDER BY id LIMIT 2', tab.name) USING who;
    END LOOP;
END
$$;

-- Relations, with the columns that a role may read ("" none)
CREATE FUNCTION attack.readable(role text) RETURNS TABLE (relation text, columns text) LANGUAGE sql STABLE AS $$
    SELECT c.oid::regclass::text, coalesce(string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attnum) FILTER (WHERE has_column_privilege(role, c.oid, a.attnum, 'SELECT')), '')
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') GROUP BY c.oid
$$;

-- Statements that write: each column, everything, and a row like one of the user's
CREATE FUNCTION attack.writes(who uuid) RETURNS TABLE (relation text, what text, statement text) LANGUAGE plpgsql AS $$
DECLARE
    tab record;
    image jsonb;
BEGIN
    FOR tab IN SELECT c.oid, c.oid::regclass::text AS name FROM pg_class c WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY c.relname LOOP
        RETURN QUERY SELECT tab.name, 'UPDATE ' || a.attname, format('UPDATE %s SET %I = NULL', tab.name, a.attname) FROM pg_attribute a WHERE a.attrelid = tab.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = '';
        RETURN QUERY VALUES (tab.name, 'DELETE', format('DELETE FROM %s', tab.name)), (tab.name, 'TRUNCATE', format('TRUNCATE %s CASCADE', tab.name)), (tab.name, 'COPY FROM', format('COPY %s FROM PROGRAM ''true''', tab.name));
        EXECUTE format('SELECT to_jsonb(t) FROM %s t WHERE t::text ~ $1 ORDER BY t::text LIMIT 1', tab.name) INTO image USING who::text;
        IF image ? 'id' AND image ? 'user_id' THEN
            image := image || jsonb_build_object('id', gen_random_uuid());
        END IF;
        RETURN QUERY SELECT tab.name, 'INSERT'::text, format('INSERT INTO %s (%s) SELECT %2$s FROM jsonb_populate_record(NULL::%1$s, %3$L)', tab.name, string_agg(quote_ident(a.attname), ', '), coalesce(image, '{}'))
                       FROM pg_attribute a WHERE a.attrelid = tab.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = '' AND a.attname NOT IN ('open_quantity', 'profit_source', 'position_method', 'conversion_rate', 'conversion_pair', 'conversion_at');
    END LOOP;
END
$$;

-- Functions and operators as those of pg_catalog, and types and tables; whoever uses
-- one fails.  For a schema that comes before pg_catalog, or (narrow) for one after it:
-- varchar in place of text, which is the better match for most columns.
CREATE FUNCTION attack.plant(target name, narrow boolean) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    item record;
    planted bigint := 0;
    normal CONSTANT oid[] := ARRAY(SELECT oid FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typname !~ '^(pg_|reg(?!class)|_pg)');
BEGIN
    FOR item IN SELECT format('CREATE FUNCTION %I.%I(%s) RETURNS %s %s LANGUAGE plpgsql AS %L', target, p.proname, a.list, CASE WHEN p.proretset THEN 'SETOF' END, format_type(p.prorettype, NULL),
                              format('BEGIN RAISE EXCEPTION USING MESSAGE = %L; END', 'planted function ' || p.proname)) AS command
                  FROM (SELECT DISTINCT ON (proname, proargtypes) * FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind IN ('f', 'a') AND proargtypes::oid[] <@ normal AND prorettype = ANY (normal)) p,
                       LATERAL (SELECT coalesce(string_agg(CASE WHEN narrow AND t = 'text'::regtype THEN 'varchar' ELSE format_type(t, NULL) END, ', ' ORDER BY i), '') AS list FROM unnest(p.proargtypes) WITH ORDINALITY AS u (t, i)) a
                 WHERE NOT narrow OR 'text'::regtype::oid = ANY (p.proargtypes::oid[])
    LOOP
        EXECUTE item.command;
        planted := planted + 1;
    END LOOP;
    FOR item IN SELECT o.oprname, CASE WHEN o.oprkind = 'b' THEN CASE WHEN narrow AND o.oprleft = 'text'::regtype THEN 'varchar' ELSE format_type(o.oprleft, NULL) END END AS l,
                       CASE WHEN narrow AND o.oprright = 'text'::regtype THEN 'varchar' ELSE format_type(o.oprright, NULL) END AS r, format_type(o.oprresult, NULL) AS result
                  FROM pg_operator o
                 WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprright = ANY (normal) AND (o.oprleft = 0 OR o.oprleft = ANY (normal)) AND o.oprresult = ANY (normal)
                   AND (NOT narrow OR 'text'::regtype IN (o.oprleft, o.oprright))
    LOOP
        planted := planted + 1;
        EXECUTE format('CREATE FUNCTION %I.planted_%s(%s) RETURNS %s LANGUAGE plpgsql AS %L', target, planted, concat_ws(', ', item.l, item.r), item.result, format('BEGIN RAISE EXCEPTION USING MESSAGE = %L; END', 'planted operator ' || item.oprname));
        EXECUTE format('CREATE OPERATOR %I.%s (%s RIGHTARG = %s, FUNCTION = %1$I.planted_%5$s)', target, item.oprname, CASE WHEN item.l IS NOT NULL THEN format('LEFTARG = %s,', item.l) ELSE '' END, item.r, planted);
    END LOOP;
    FOR item IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
                UNION SELECT unnest('{pg_class,pg_proc,pg_type,pg_attribute,pg_index,pg_inherits,pg_namespace,pg_roles,pg_extension,pg_trigger,pg_constraint,pg_settings}'::name[]) LOOP
        EXECUTE format('CREATE TABLE %I.%I (planted integer)', target, item.relname);
    END LOOP;
    -- last: they take the names of the types above
    FOR item IN SELECT unnest('{text,uuid,jsonb,inet,name,regclass,bytea,date,oid,record,xid8,pg_snapshot,tstzrange,tstzmultirange,candle,pnl}'::name[]) AS typname LOOP
        EXECUTE format('CREATE DOMAIN %I.%I AS pg_catalog.int4 CONSTRAINT planted CHECK (VALUE IS NULL AND VALUE IS NOT NULL)', target, item.typname);
    END LOOP;
    RETURN planted;
END
$$;
