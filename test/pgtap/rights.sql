-- Who may what: a decision for each table and role, and that it holds

BEGIN;

SELECT plan(37);

-- each table and role; a new table needs a line here
CREATE TEMPORARY TABLE decision (tab text, app text, usr text, reporting text);
INSERT INTO decision VALUES
    ('users',             'DELETE,INSERT,SELECT,UPDATE', 'some columns', 'some columns'),
    ('strategies',        'DELETE,INSERT,SELECT,UPDATE', 'DELETE,INSERT,SELECT,UPDATE', 'SELECT'),
    ('backtests',         'DELETE,INSERT,SELECT,UPDATE', 'DELETE,INSERT,SELECT,UPDATE', 'SELECT'),
    ('trades',            'DELETE,INSERT,SELECT,UPDATE', 'INSERT,SELECT,UPDATE', 'SELECT'),
    ('risk_limits',       'DELETE,INSERT,SELECT,UPDATE', 'SELECT', 'SELECT'),
    ('accounts',          'SELECT', 'SELECT', 'SELECT'),
    ('positions',         'SELECT', 'SELECT', 'SELECT'),
    ('closures',          'SELECT', 'SELECT', 'SELECT'),
    ('cash_flows',        'INSERT,SELECT', 'SELECT', 'SELECT'),
    ('risk_events',       'INSERT,SELECT', 'SELECT', 'SELECT'),
    ('risk_limit_state',  'SELECT', 'SELECT', 'SELECT'),
    ('risk_presets',      'DELETE,INSERT,SELECT,UPDATE', 'SELECT', 'SELECT'),
    ('market_data',       'DELETE,INSERT,SELECT,UPDATE', 'SELECT', 'SELECT'),
    ('audit_log',         'SELECT', 'SELECT', 'SELECT'),
    ('audit_chain',       'SELECT', 'none', 'SELECT'),
    ('audit_exports',     'SELECT', 'none', 'SELECT'),
    ('audit_key',         'none', 'none', 'none'),
    ('audit_seals',       'SELECT', 'none', 'SELECT'),
    ('api_keys',          'some columns', 'some columns', 'some columns'),
    ('email_verifications', 'none', 'none', 'none'),
    ('encrypted_columns', 'SELECT', 'none', 'none'),
    ('sessions',          'some columns', 'some columns', 'some columns'),
    ('sign_in_failures',  'none', 'none', 'none'),
    ('two_factor',        'none', 'none', 'none'),
    ('candle_changes',    'SELECT', 'SELECT', 'SELECT'),
    ('candle_horizons',   'SELECT', 'SELECT', 'SELECT'),
    ('candle_partitions', 'SELECT', 'SELECT', 'SELECT'),
    ('candle_rollups',    'SELECT', 'SELECT', 'SELECT'),
    ('candle_series',     'SELECT', 'SELECT', 'SELECT'),
    ('holidays',          'DELETE,INSERT,SELECT,UPDATE', 'SELECT', 'SELECT'),
    ('instruments',       'DELETE,INSERT,SELECT,UPDATE', 'SELECT', 'SELECT'),
    ('maintenance_runs',  'SELECT', 'none', 'SELECT'),
    ('market_data_rejects', 'INSERT,SELECT', 'none', 'SELECT'),
    ('market_data_revisions', 'SELECT', 'SELECT', 'SELECT'),
    ('partition_health',  'SELECT', 'SELECT', 'SELECT'),
    ('quotes',            'DELETE,INSERT,SELECT,UPDATE', 'SELECT', 'SELECT'),
    ('retention_policies', 'SELECT', 'none', 'SELECT'),
    ('schema_migrations', 'SELECT', 'SELECT', 'SELECT'),
    ('cache_hit_ratio', 'none', 'none', 'none'),
    ('index_usage', 'none', 'none', 'none'),
    ('last_backup', 'none', 'none', 'none'),
    ('long_transactions', 'none', 'none', 'none'),
    ('partition_sizes', 'none', 'none', 'none'),
    ('redundant_indexes', 'none', 'none', 'none'),
    ('replication_lag', 'none', 'none', 'none'),
    ('slow_queries', 'none', 'none', 'none'),
    ('table_bloat', 'none', 'none', 'none'),
    ('table_sizes', 'none', 'none', 'none'),
    ('unused_indexes', 'none', 'none', 'none'),
    ('migration',         'SELECT', 'SELECT', 'SELECT'),
    ('migration_status',  'SELECT', 'SELECT', 'SELECT');

CREATE FUNCTION pg_temp.granted(rel oid, role text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(
        (SELECT string_agg(a.privilege_type, ',' ORDER BY a.privilege_type)
           FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = rel AND a.grantee = role::regrole),
        CASE WHEN EXISTS (SELECT FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attrelid = rel AND a.grantee = role::regrole)
             THEN 'some columns' ELSE 'none' END)
$$;
SELECT results_eq(
    $$SELECT relname::text COLLATE "default", pg_temp.granted(oid, 'fx_app'), pg_temp.granted(oid, 'fx_user'), pg_temp.granted(oid, 'fx_reporting')
        FROM pg_class WHERE relnamespace = 'fx'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT relispartition
       ORDER BY relname COLLATE "C"$$,
    $$SELECT tab, app, usr, reporting FROM decision ORDER BY tab COLLATE "C"$$,
    'every table has the grants that were decided');
SELECT is_empty(
    $$SELECT oid::regclass FROM pg_class WHERE relnamespace = 'fx'::regnamespace AND relispartition AND relkind = 'r' AND relacl IS NOT NULL$$,
    'partitions have none');
SELECT is_empty(
    $$SELECT c.oid::regclass FROM pg_class c, aclexplode(c.relacl) a
       WHERE relnamespace = 'fx'::regnamespace AND a.grantee = 0$$,
    'PUBLIC has none');
SELECT results_eq(
    $$SELECT attname::text COLLATE "default" FROM pg_attribute WHERE attrelid = 'fx.users'::regclass AND attnum > 0
         AND NOT has_column_privilege('fx_user', attrelid, attnum, 'SELECT') ORDER BY 1$$,
    $$VALUES ('api_key_hash'), ('password_hash'), ('two_factor_secret')$$, 'a user does not read secrets');
SELECT results_eq(
    $$SELECT attname::text COLLATE "default" FROM pg_attribute WHERE attrelid = 'fx.users'::regclass AND attnum > 0
         AND NOT has_column_privilege('fx_reporting', attrelid, attnum, 'SELECT') ORDER BY 1$$,
    $$VALUES ('api_key_hash'), ('password_hash'), ('two_factor_secret')$$, 'nor do reports');
SELECT results_eq(
    $$SELECT attname::text COLLATE "default" FROM pg_attribute WHERE attrelid = 'fx.users'::regclass AND attnum > 0
         AND has_column_privilege('fx_user', attrelid, attnum, 'UPDATE') ORDER BY 1$$,
    $$VALUES ('first_name'), ('last_name')$$, 'a user writes his name');
SELECT is_empty(
    $$SELECT rolname FROM pg_roles WHERE rolname IN ('fx_app', 'fx_user', 'fx_reporting')
         AND (rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls)$$, 'roles are groups without login or power');
SELECT results_eq(
    $$SELECT relname::text COLLATE "default" FROM pg_class WHERE relnamespace = 'fx'::regnamespace AND relrowsecurity ORDER BY 1$$,
    $$VALUES ('accounts'), ('api_keys'), ('audit_log'), ('backtests'), ('cash_flows'), ('closures'), ('positions'), ('risk_events'), ('risk_limit_state'), ('risk_limits'), ('sessions'), ('strategies'), ('trades'), ('users')$$,
    'tables of users have row security');
SELECT is_empty(
    $$SELECT relname, role FROM pg_class, unnest('{fx_app,fx_user,fx_reporting}'::name[]) AS role
       WHERE relnamespace = 'fx'::regnamespace AND relrowsecurity
         AND NOT EXISTS (SELECT FROM pg_policies WHERE schemaname = 'fx' AND tablename = relname AND role = ANY (roles))$$,
    'and a policy for each role');

INSERT INTO fx.users (id, email, username, password_hash)
SELECT ('00000000-0000-4000-8000-0000000000a' || n)::uuid, n || '@example.com', n, 'x' FROM generate_series(1, 2) AS n;
INSERT INTO fx.strategies (user_id, name, type, is_public) SELECT id, username || p, 'manual', p FROM fx.users, (VALUES (true), (false)) AS v (p);
INSERT INTO fx.backtests (strategy_id, user_id, name) SELECT s.id, s.user_id, 'b' FROM fx.strategies s WHERE NOT is_public;
INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price) SELECT id, 'X', 'buy', 'market', 1, 1 FROM fx.users;
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value) SELECT id, 'l', 'daily_loss', 'absolute', 1 FROM fx.users;
UPDATE fx.audit_log SET user_id = '00000000-0000-4000-8000-0000000000a2' WHERE resource_type = 'trades';
-- pgTAP keeps its books in temporary tables
DO $$
DECLARE
    books text := pg_my_temp_schema()::regnamespace;
BEGIN
    EXECUTE format('GRANT ALL ON SCHEMA %s TO fx_app, fx_user, fx_reporting', books);
    EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA %s TO fx_app, fx_user, fx_reporting', books);
    EXECUTE format('GRANT ALL ON ALL SEQUENCES IN SCHEMA %s TO fx_app, fx_user, fx_reporting', books);
END
$$;

SET LOCAL app.current_user_id = '00000000-0000-4000-8000-0000000000a1';
SET LOCAL ROLE fx_user;
SELECT results_eq('SELECT username::text FROM fx.users', $$VALUES ('1')$$, 'a user sees himself');
SELECT results_eq('SELECT name::text FROM fx.strategies ORDER BY 1', $$VALUES ('1false'), ('1true'), ('2true')$$, 'his strategies and public ones');
SELECT results_eq('SELECT count(*) FROM fx.backtests', 'VALUES (1::bigint)', 'his backtests');
SELECT results_eq('SELECT count(*) FROM fx.trades', 'VALUES (1::bigint)', 'his trades');
SELECT results_eq('SELECT count(*) FROM fx.risk_limits', 'VALUES (1::bigint)', 'his limits');
SELECT results_eq('SELECT count(*) FROM fx.audit_log', 'VALUES (0::bigint)', 'what he did');
SELECT results_eq($$SELECT count(*) FROM fx.risk_utilization('00000000-0000-4000-8000-0000000000a2')$$, 'VALUES (0::bigint)', 'no function shows him more');
SELECT throws_ok('SELECT password_hash FROM fx.users', '42501', NULL, 'no secret');
SELECT throws_ok('SELECT * FROM fx.users', '42501', NULL, 'not by a star either');
SELECT throws_ok($$UPDATE fx.users SET role = 'admin'$$, '42501', NULL, 'he does not promote himself');
SELECT throws_ok($$UPDATE fx.users SET preferences = '{"initialBalance": 1e9}'$$, '42501', NULL, 'nor enriches himself');
SELECT lives_ok($$UPDATE fx.users SET first_name = 'Ada'$$, 'he writes his name');
SELECT throws_ok($$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price) VALUES ('00000000-0000-4000-8000-0000000000a2', 'X', 'buy', 'market', 1, 1)$$,
    '42501', NULL, 'he does not trade for another');
SELECT lives_ok($$INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price) VALUES ('00000000-0000-4000-8000-0000000000a1', 'X', 'buy', 'market', 1, 1)$$, 'he trades for himself');
SELECT throws_ok($$UPDATE fx.trades SET user_id = '00000000-0000-4000-8000-0000000000a2'$$, '42501', NULL, 'he gives no trade away');
SELECT throws_ok('DELETE FROM fx.trades', '42501', NULL, 'he deletes no trade');
SELECT throws_ok('UPDATE fx.risk_limits SET limit_value = 1e6', '42501', NULL, 'he loosens no limit');
SELECT is_empty($$UPDATE fx.strategies SET name = 'x' WHERE user_id <> '00000000-0000-4000-8000-0000000000a1' RETURNING 1$$, 'he changes no strategy of another, public or not');
SELECT throws_ok($$INSERT INTO fx.audit_log (action, resource_type) VALUES ('x', 'x')$$, '42501', NULL, 'he forges no audit row');
SELECT throws_ok('SELECT fx.migrate()', '42501', NULL, 'he does not migrate');
SET LOCAL app.current_user_id = '';
SELECT is_empty('SELECT id FROM fx.users UNION ALL SELECT id FROM fx.trades UNION ALL SELECT id FROM fx.backtests UNION ALL SELECT id FROM fx.risk_limits', 'without an identity he sees nothing');

SET LOCAL ROLE fx_app;
SELECT results_eq('SELECT count(*) FROM fx.trades', 'VALUES (3::bigint)', 'the application sees all rows');
SELECT throws_ok('DELETE FROM fx.audit_log', '42501', NULL, 'and deletes no audit row');
SELECT throws_ok($$UPDATE fx.audit_log SET action = 'x'$$, '42501', NULL, 'nor changes one');
SELECT throws_ok('TRUNCATE fx.trades', '42501', NULL, 'nor truncates');

SET LOCAL ROLE fx_reporting;
SELECT results_eq('SELECT (SELECT count(*) FROM fx.trades), (SELECT count(username) FROM fx.users)', 'VALUES (3::bigint, 2::bigint)', 'reports read all rows');
SELECT throws_ok('SELECT two_factor_secret FROM fx.users', '42501', NULL, 'but no secret');
SELECT throws_ok($$INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value) VALUES (NULL, 'x', 'x', 'absolute', 1)$$, '42501', NULL, 'and write nothing');
RESET ROLE;

SELECT * FROM finish();

ROLLBACK;
