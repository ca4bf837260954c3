--
-- Deleting users softly, erasing them, and what stays
--
\set SHOW_CONTEXT never
BEGIN;
SET LOCAL fxplatform.password_cost = 4;
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    EXECUTE statement INTO result;
    RETURN coalesce(result, 'NULL');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT fx.create_user('ada.lovelace@example.com', 'countess', 'correct horse battery', 'Augusta', 'King', preferences => '{"accountCurrency": "GBP", "initialBalance": 1000, "phone": "+44 1815"}') AS ada,
       fx.create_user('bob@example.com', 'bob', 'password of bob') AS bob \gset
INSERT INTO fx.strategies (id, user_id, name, type, is_public) VALUES ('00000000-0000-4000-8000-0000000000b1', :'ada', 'of ada', 'manual', true), ('00000000-0000-4000-8000-0000000000b2', :'bob', 'of bob', 'manual', true);
INSERT INTO fx.backtests (strategy_id, user_id, name) SELECT id, user_id, 'run ' || name FROM fx.strategies;
INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, profit, status, executed_at) SELECT id, 'EURUSD', 'buy', 'market', 1, 1.1, 12.5, 'executed', now() FROM fx.users;
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value) SELECT id, 'l', 'daily_loss', 'absolute', 1 FROM fx.users;
SELECT token FROM fx.sign_in('countess', 'correct horse battery') \gset
SELECT status FROM fx.sign_in('ada.lovelace@example.com', 'wrong');
SELECT fx.issue_api_key(:'ada', 'phone of ada') AS key \gset
SELECT fx.request_email_verification(:'ada') AS email_token \gset
SELECT fx.use_session(:'token') = :'ada' AS bound;
UPDATE fx.users SET preferences = preferences || '{"theme": "dark"}' WHERE id = :'ada';
SELECT fx.leave_session() IS NOT NULL AS left;

-- what each role sees, of whom
CREATE FUNCTION pg_temp.seen() RETURNS TABLE (what text, ada bigint, bob bigint) LANGUAGE plpgsql AS $$
DECLARE
    ada uuid := current_setting('test.ada');
    bob uuid := current_setting('test.bob');
BEGIN
    FOREACH what IN ARRAY ARRAY['strategies', 'backtests', 'trades', 'risk_limits', 'sessions', 'api_keys'] LOOP
        RETURN QUERY EXECUTE format('SELECT %L::text, count(*) FILTER (WHERE user_id = $1), count(*) FILTER (WHERE user_id = $2) FROM fx.%I', what, what) USING ada, bob;
    END LOOP;
    RETURN QUERY SELECT 'users', count(*) FILTER (WHERE id = ada), count(*) FILTER (WHERE id = bob) FROM fx.users;
    RETURN QUERY SELECT 'audit_log', count(*) FILTER (WHERE ada::text IN (l.actor_id::text, l.resource_id, l.new_values ->> 'user_id')), count(*) FILTER (WHERE bob::text IN (l.actor_id::text, l.resource_id, l.new_values ->> 'user_id')) FROM fx.audit_log l;
END
$$;
SELECT set_config('test.ada', :'ada', true) IS NOT NULL AND set_config('test.bob', :'bob', true) IS NOT NULL AS set;
SET LOCAL ROLE fx_reporting;
SELECT * FROM pg_temp.seen();
SET LOCAL ROLE fx_user;
SET LOCAL app.current_user_id = :'ada';
SELECT * FROM pg_temp.seen();

-- deleted softly: signed out, keys void, hidden from reports and from other users; the application still sees him
SET LOCAL ROLE fx_app;
SELECT fx.delete_user(:'ada') AS deleted, fx.delete_user(:'ada') AS again;
RESET ROLE;
SELECT deleted_at IS NOT NULL AS deleted, email, api_key_hash FROM fx.users WHERE id = :'ada';
SELECT fx.use_session(:'token') IS NULL AS no_session, fx.verify_password('countess', 'correct horse battery') AS password, fx.verify_email(:'email_token') IS NULL AS no_email;
SELECT count(*) AS keys FROM fx.verify_api_key(:'key');
SELECT status FROM fx.sign_in('countess', 'correct horse battery');
SET LOCAL ROLE fx_reporting;
SELECT * FROM pg_temp.seen();
SET LOCAL ROLE fx_user;
SELECT * FROM pg_temp.seen();
SELECT pg_temp.try($$UPDATE fx.users SET first_name = 'x' RETURNING 1$$), pg_temp.try(format($$INSERT INTO fx.strategies (user_id, name, type) VALUES (%L, 'x', 'manual')$$, :'ada'));
SET LOCAL app.current_user_id = :'bob';
SELECT what, ada, bob FROM pg_temp.seen() WHERE what = 'strategies';
SET LOCAL ROLE fx_app;
SELECT * FROM pg_temp.seen();
-- her email is free
SELECT fx.create_user('ADA.lovelace@example.com', 'another', 'correct horse battery') IS NOT NULL AS free;
RESET ROLE;
RESET app.current_user_id;

-- erased: what is hers goes, what the books need stays
SELECT fx.create_user('x@example.com', 'to be erased', 'correct horse battery') AS x \gset
SELECT status FROM fx.sign_in('to be erased', 'correct horse battery');
SELECT fx.issue_api_key(:'x', 'x') IS NOT NULL AS key;
SET LOCAL ROLE fx_app;
SELECT fx.erase_user(:'ada') AS erased, fx.erase_user(:'ada') AS again, fx.erase_user(:'x') AS not_deleted_before;
RESET ROLE;
SELECT replace(email, id::text, 'ID') AS email, replace(username, id::text, 'ID') AS username, password_hash, first_name, last_name, status, email_verified, two_factor_enabled, two_factor_secret, api_key_hash, preferences, last_login, deleted_at IS NOT NULL AS deleted
  FROM fx.users WHERE id IN (:'ada', :'x') ORDER BY preferences;
SELECT (SELECT count(*) FROM fx.sessions WHERE user_id IN (:'ada', :'x')) AS sessions, (SELECT count(*) FROM fx.api_keys WHERE user_id IN (:'ada', :'x')) AS keys,
       (SELECT count(*) FROM fx.email_verifications WHERE user_id = :'ada') AS tokens, (SELECT count(*) FROM fx.sign_in_failures WHERE login_hash IN (fx.login_hash('countess'), fx.login_hash('ada.lovelace@example.com'))) AS failures;
SELECT symbol, sum(profit) AS profit FROM fx.trades WHERE user_id = :'ada' GROUP BY 1;
SELECT fx.verify_password(pg_catalog.replace('erased-ID', 'ID', :'ada'), 'erased') AS signs_in;
-- no table has a personal value of hers, the audit log neither; it says that there was a change
CREATE FUNCTION pg_temp.rows_with(pattern text) RETURNS TABLE ("table" text, n bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR "table" IN SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'migration' LOOP
        EXECUTE format($q$SELECT count(*) FROM %s t WHERE t::text ~* $1 AND t::text !~ 'another'$q$, "table") INTO n USING pattern;
        CONTINUE WHEN n = 0;
        RETURN NEXT;
    END LOOP;
END
$$;
SELECT * FROM pg_temp.rows_with('lovelace|countess|augusta|"King|44 1815|phone|horse') ORDER BY 1;
SELECT count(*) > 0 AS it_looks FROM pg_temp.rows_with(:'ada');
SELECT action, changed_columns, new_values ->> 'email' AS email, old_values ->> 'first_name' AS old_first_name, new_values ->> 'preferences' AS preferences, (SELECT string_agg(k, ' ' ORDER BY k COLLATE "C") FROM jsonb_object_keys(new_values -> 'redacted_hashes') AS k) AS hashed
  FROM fx.audit_log WHERE resource_type = 'users' AND resource_id = :'ada' AND changed_columns @> '{email}' ORDER BY created_at;

-- nobody else, nothing else
SET LOCAL ROLE fx_app;
SELECT pg_temp.try(statement) FROM unnest(ARRAY['SELECT fx.delete_user(NULL)', 'SELECT fx.erase_user(NULL)', $$SELECT fx.delete_user('00000000-0000-4000-8000-00000000dead')$$, $$SELECT fx.erase_user('00000000-0000-4000-8000-00000000dead')$$]) AS statement;
SET LOCAL ROLE fx_user;
SELECT pg_temp.try(statement) FROM unnest(ARRAY[format('SELECT fx.delete_user(%L)', :'bob'), format('SELECT fx.erase_user(%L)', :'bob'), 'SELECT fx.deleted_user_ids()', format('SELECT fx.end_access(%L)', :'bob')]) AS statement;
RESET ROLE;
ROLLBACK;
