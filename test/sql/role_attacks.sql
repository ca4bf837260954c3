--
-- What the catalogs say about who may what, and triggers of one's own
--
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET client_min_messages = warning;

-- Functions that everybody may execute: those that read nothing (immutable), and
-- these.  They run with the rights of the caller; a new one needs a line here.
CREATE TEMPORARY TABLE allowed (signature text PRIMARY KEY);
INSERT INTO allowed VALUES
    -- identity: what the session knows of itself, and to leave it
    ('current_user_id()'), ('acts_for_all()'), ('client_address()'), ('check_acts_for(uuid)'), ('leave_session()'), ('bound_session_id()'), ('setting_interval(text)'),
    -- rows and catalogs that the caller may read
    ('migration_states()'), ('audit_resource_type(regclass)'), ('audit_anchor()'), ('audit_base()'), ('audit_snapshot_through(pg_snapshot,xid8)'), ('verify_audit_anchor(bigint,bytea)'), ('history(text,text)'), ('row_as_of(regclass,text,timestamp with time zone)'),
    ('user_strategies(uuid)'), ('search_strategies(text,uuid)'), ('tearsheet(uuid)'), ('trade_performance(uuid,timestamp with time zone,timestamp with time zone)'), ('pnl_report(uuid,timestamp with time zone,timestamp with time zone,text)'),
    ('strategy_metrics(uuid,timestamp with time zone,timestamp with time zone,numeric,double precision,double precision)'), ('trading_periods(text,time without time zone,timestamp with time zone)'),
    ('risk_utilization(uuid)'), ('check_risk(uuid,text,text,numeric,numeric)'), ('what_if(uuid,jsonb)'),
    -- market data
    ('is_market_open(timestamp with time zone)'), ('open_market_time(timestamp with time zone,timestamp with time zone)'), ('expected_candles(text,timestamp with time zone,timestamp with time zone,text)'), ('candle_gaps(text,text,timestamp with time zone,timestamp with time zone,text)'),
    ('off_market_candles(text,text,timestamp with time zone,timestamp with time zone)'), ('instrument_symbol(text)'), ('resolve_symbol(text)'), ('known_instrument(text)'), ('pips(text,numeric)'), ('pips(text,text,numeric,numeric)'), ('pip_value(text,numeric,text,timestamp with time zone)'),
    ('add_standard_holidays(integer,integer)'), ('latest_stored_candle(text,text)'), ('latest_stored_candles(text)'), ('rate(text,text,timestamp with time zone)'), ('convert(numeric,text,text,timestamp with time zone)'), ('rate_details(text,text,timestamp with time zone)'),
    ('relation_name(regclass)'), ('has_partition(regclass,timestamp with time zone)'), ('candle_as_json(candle)'), ('staging_columns(regclass)'), ('build_tick_candles(text,text,timestamp with time zone,timestamp with time zone,text,text)'), ('tick_candles(text,text,timestamp with time zone,timestamp with time zone,text,text)'),
    ('candle_partition_states()'), ('changed_candle_partitions()'), ('candle_state(text)'), ('built_candles(text,text,timestamp with time zone,timestamp with time zone,text[])'), ('built_hours(text,timestamp with time zone,timestamp with time zone,text[])'),
    ('final_rollups(text,text,timestamp with time zone,timestamp with time zone)'), ('hour_candles(text,timestamp with time zone,timestamp with time zone,text[],tstzmultirange)'), ('composed_candles(text,text,timestamp with time zone,timestamp with time zone,text,text[],tstzmultirange)'),
    ('built_days(text,timestamp with time zone,timestamp with time zone,text[],tstzmultirange)'), ('day_candles(text,timestamp with time zone,timestamp with time zone,text,text[],tstzmultirange)'), ('last_candle_time(text,text,timestamp with time zone)'),
    ('read_latest_candle(text,text)'), ('latest_candle(text,text)'), ('read_latest_candles(text)'), ('latest_candles(text)'), ('read_candles(text,text,timestamp with time zone,timestamp with time zone,text,text)'), ('candles(text,text,timestamp with time zone,timestamp with time zone,text,text)'),
    ('filled_candles(text,text,timestamp with time zone,timestamp with time zone,text,text)'), ('partition_bounds(regclass)'), ('retention_cutoff(interval,timestamp with time zone)'),
    ('marked_partitions()'), ('tables_to_analyze()'),
    -- triggers that do nothing but to the row at hand, or refuse it
    ('update_updated_at_column()'), ('guard_audit()'), ('bump_strategy_version()'), ('guard_backtest_status()'), ('mark_backtest_trade()'), ('guard_references()'), ('guard_cash_flow()'), ('guard_risk_limit()');
CREATE TEMPORARY VIEW functions AS
    SELECT p.*, replace(p.oid::regprocedure::text, 'fx.', '') AS signature, has_function_privilege('public', p.oid, 'EXECUTE') AS for_public
      FROM pg_proc p WHERE p.pronamespace = 'fx'::regnamespace;
SELECT signature AS executable_by_public FROM functions WHERE for_public AND provolatile <> 'i' EXCEPT SELECT signature FROM allowed ORDER BY 1;
SELECT signature AS no_longer_there FROM allowed EXCEPT SELECT signature FROM functions WHERE for_public AND provolatile <> 'i' ORDER BY 1;

-- An immutable function with a table in its text, or dynamic SQL
SELECT signature FROM functions p JOIN pg_language l ON l.oid = p.prolang
 WHERE for_public AND provolatile = 'i' AND lanname IN ('sql', 'plpgsql') AND prosrc ~* '\m(EXECUTE|INSERT|UPDATE|DELETE|(FROM|JOIN)\s+fx\.\w+\s*(\w+\s*)?(WHERE|JOIN|$))';

-- Rights of another: never for everybody, never without a search_path, and never with a place in it that others write
SELECT signature AS with_rights_of_the_owner FROM functions WHERE prosecdef AND (for_public OR prokind <> 'f' OR NOT coalesce(proconfig @> '{"search_path=pg_catalog, pg_temp"}', false));
-- All others in SQL have one too, but procedures, which commit, and functions that are to be inlined
SELECT signature AS without_search_path FROM functions p JOIN pg_language l ON l.oid = p.prolang
 WHERE lanname IN ('sql', 'plpgsql') AND coalesce(array_to_string(proconfig, ' '), '') !~ '\msearch_path=(pg_catalog|fx), pg_temp' ORDER BY 1;
-- Functions of other schemas that the extension owns
SELECT p.oid::regprocedure AS elsewhere FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
  JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass WHERE e.extname = 'fxplatform' AND p.pronamespace <> 'fx'::regnamespace;

-- Data of users: a table with a user or about one has row security, or none but the owner reads it
SELECT c.oid::regclass AS unguarded FROM pg_class c
 WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND (c.relname = 'users' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname IN ('user_id', 'actor_id', 'owner_id', 'ip_address', 'email') AND NOT a.attisdropped))
   AND NOT c.relrowsecurity
   AND EXISTS (SELECT FROM unnest('{public,fx_app,fx_user,fx_reporting}'::text[]) AS role
                WHERE has_any_column_privilege(role, c.oid, 'SELECT,INSERT,UPDATE') OR has_table_privilege(role, c.oid, 'DELETE,TRUNCATE'));
-- or one that refers to such a table
SELECT c.conrelid::regclass AS refers FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class r ON r.oid = c.confrelid
 WHERE c.contype = 'f' AND r.relnamespace = 'fx'::regnamespace AND r.relrowsecurity AND NOT t.relrowsecurity
   AND EXISTS (SELECT FROM unnest('{public,fx_app,fx_user,fx_reporting}'::text[]) AS role WHERE has_any_column_privilege(role, t.oid, 'SELECT,INSERT,UPDATE'));
-- A policy for fx_user that does not ask who he is, but for rows that are public
SELECT tablename, policyname FROM pg_policies WHERE schemaname = 'fx' AND 'fx_user' = ANY (roles)
   AND (coalesce(qual, with_check) !~ '(active|current)_user_id\(\)' OR cmd IN ('ALL', 'INSERT', 'UPDATE') AND with_check !~ '(active|current)_user_id\(\)');
-- and one for fx_reporting that shows deleted users
SELECT tablename, policyname FROM pg_policies WHERE schemaname = 'fx' AND 'fx_reporting' = ANY (roles)
   AND (cmd <> 'SELECT' OR qual !~ 'deleted_user_ids\(\)|deleted_at IS NULL');
SELECT tablename, policyname FROM pg_policies WHERE schemaname = 'fx' AND 'public' = ANY (roles);
-- Views read with the rights of their owner: none reads a table with row security, unless it does so for the caller
SELECT DISTINCT v.oid::regclass AS view FROM pg_class v JOIN pg_rewrite w ON w.ev_class = v.oid JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
  JOIN pg_class t ON t.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
 WHERE v.relnamespace = 'fx'::regnamespace AND v.relkind IN ('v', 'm') AND t.relrowsecurity AND NOT coalesce(v.reloptions @> '{security_invoker=true}' OR v.reloptions @> '{security_invoker=on}', false);
-- Nobody but the owner makes objects in the schema, or uses a sequence that is not for what he inserts
SELECT role FROM unnest('{public,fx_app,fx_user,fx_reporting}'::text[]) AS role WHERE has_schema_privilege(role, 'fx', 'CREATE') OR role = 'public' AND has_schema_privilege(role, 'fx', 'USAGE');
SELECT c.oid::regclass AS sequence, role FROM pg_class c, unnest('{public,fx_app,fx_user,fx_reporting}'::text[]) AS role
 WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind = 'S' AND (has_sequence_privilege(role, c.oid, 'SELECT,UPDATE') OR role <> 'fx_app' AND has_sequence_privilege(role, c.oid, 'USAGE'));
-- Nobody but the owner triggers anything by a table of his own that has rights over rows of others: no trigger function acts for its owner
SELECT p.signature AS trigger FROM functions p WHERE p.prorettype = 'trigger'::regtype AND p.for_public EXCEPT SELECT signature FROM allowed;
-- Rights that are passed on, and owners
SELECT c.oid::regclass, a.grantee::regrole FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = 'fx'::regnamespace AND a.is_grantable AND a.grantee <> c.relowner;
SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'fx'::regnamespace AND c.relowner IN ('fx_app'::regrole, 'fx_user'::regrole, 'fx_reporting'::regrole);

--
-- A table of one's own, with the platform's triggers
--
SELECT fx.create_user('trigger.ada@example.com', 'trigger.ada', 'correct horse battery', preferences => '{"initialBalance": 1000}') AS ada \gset
CREATE SCHEMA hostile;
GRANT ALL ON SCHEMA hostile TO fx_user;
SET ROLE fx_user;
SET app.current_user_id = :'ada';
CREATE TABLE hostile.rows (id uuid, user_id uuid, amount numeric, preferences jsonb, status text, is_backtest boolean);
CREATE FUNCTION pg_temp.plant(trigger text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER t %s', trigger);
    RETURN 'made';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
SELECT pg_temp.plant('AFTER INSERT ON hostile.rows FOR EACH ROW EXECUTE FUNCTION fx.apply_cash_flow()') AS money_for_nothing;
SELECT pg_temp.plant('AFTER UPDATE ON hostile.rows FOR EACH ROW EXECUTE FUNCTION fx.follow_preferences()') AS another_initial_balance;
SELECT pg_temp.plant('AFTER INSERT ON hostile.rows FOR EACH ROW EXECUTE FUNCTION fx.open_account()') AS an_account_for_another;
SELECT pg_temp.plant('AFTER INSERT ON hostile.rows REFERENCING NEW TABLE AS new_limits FOR EACH STATEMENT EXECUTE FUNCTION fx.refresh_risk_limits()') AS limits_of_another;
SELECT pg_temp.plant('AFTER INSERT ON hostile.rows REFERENCING NEW TABLE AS new_trades FOR EACH STATEMENT EXECUTE FUNCTION fx.apply_trade_risk()') AS trades_that_are_none;
SELECT pg_temp.plant('AFTER INSERT ON hostile.rows FOR EACH ROW EXECUTE FUNCTION fx.audit_trigger_function()') AS forged_entries;
SELECT pg_temp.plant('AFTER INSERT ON hostile.rows FOR EACH STATEMENT EXECUTE FUNCTION fx.note_candle_change()') AS candles_that_changed;
SELECT pg_temp.plant('AFTER INSERT ON fx.trades FOR EACH ROW EXECUTE FUNCTION fx.update_updated_at_column()') AS on_a_table_of_the_platform;
INSERT INTO hostile.rows (id, user_id, amount) VALUES (:'ada', :'ada', 1000000);
SELECT balance FROM fx.accounts;
RESET ROLE;

--
-- Deleted users in reports, and acting for one
--
SELECT fx.deposit(:'ada', 5) AS balance;
INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES (:'ada', 'EURUSD', 'buy', 'market', 1, 1.1, 'executed', now());
SELECT fx.delete_user(:'ada');
SET ROLE fx_reporting;
SELECT (SELECT count(*) FROM fx.accounts WHERE user_id = :'ada') AS accounts, (SELECT count(*) FROM fx.positions WHERE user_id = :'ada') AS positions, (SELECT count(*) FROM fx.cash_flows WHERE user_id = :'ada') AS cash_flows,
       (SELECT count(*) FROM fx.closures WHERE user_id = :'ada') AS closures, (SELECT count(*) FROM fx.risk_events WHERE user_id = :'ada') AS risk_events;
SET ROLE fx_user;
SELECT (SELECT count(*) FROM fx.accounts) AS accounts, (SELECT count(*) FROM fx.positions) AS positions, (SELECT count(*) FROM fx.cash_flows) AS cash_flows;
RESET ROLE;

DROP SCHEMA hostile CASCADE;
DELETE FROM fx.users WHERE id = :'ada';
RESET app.current_user_id;
RESET client_min_messages;
TRUNCATE fx.audit_log;
