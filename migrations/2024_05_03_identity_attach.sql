-- Policies that know deleted users, and what the audit of users redacts.  Safe
-- to run again.
--
-- fx_user: active_user_id() is current_user_id() unless that user is deleted,
-- once a statement.  fx_reporting: the few deleted users are gathered once a
-- statement.  fx_app sees all rows, because somebody has to.

DROP POLICY IF EXISTS users_own ON users;
CREATE POLICY users_own ON users TO fx_user
    USING (id = (SELECT current_user_id()) AND deleted_at IS NULL)
    WITH CHECK (id = (SELECT current_user_id()) AND deleted_at IS NULL);
DROP POLICY IF EXISTS users_reporting ON users;
CREATE POLICY users_reporting ON users FOR SELECT TO fx_reporting USING (deleted_at IS NULL);

DROP POLICY IF EXISTS strategies_own ON strategies;
CREATE POLICY strategies_own ON strategies TO fx_user
    USING (user_id = (SELECT active_user_id()))
    WITH CHECK (user_id = (SELECT active_user_id()));
DROP POLICY IF EXISTS strategies_public ON strategies;
CREATE POLICY strategies_public ON strategies FOR SELECT TO fx_user
    USING (is_public AND deleted_at IS NULL AND user_is_active(user_id));
DROP POLICY IF EXISTS strategies_reporting ON strategies;
CREATE POLICY strategies_reporting ON strategies FOR SELECT TO fx_reporting
    USING (user_id NOT IN (SELECT deleted_user_ids()));

DROP POLICY IF EXISTS backtests_own ON backtests;
CREATE POLICY backtests_own ON backtests TO fx_user
    USING (user_id = (SELECT active_user_id()))
    WITH CHECK (user_id = (SELECT active_user_id()));
DROP POLICY IF EXISTS backtests_reporting ON backtests;
CREATE POLICY backtests_reporting ON backtests FOR SELECT TO fx_reporting
    USING (user_id NOT IN (SELECT deleted_user_ids()));

DROP POLICY IF EXISTS trades_own ON trades;
CREATE POLICY trades_own ON trades TO fx_user
    USING (user_id = (SELECT active_user_id()))
    WITH CHECK (user_id = (SELECT active_user_id()));
DROP POLICY IF EXISTS trades_reporting ON trades;
CREATE POLICY trades_reporting ON trades FOR SELECT TO fx_reporting
    USING (user_id NOT IN (SELECT deleted_user_ids()));

DROP POLICY IF EXISTS risk_limits_own ON risk_limits;
CREATE POLICY risk_limits_own ON risk_limits TO fx_user
    USING (user_id = (SELECT active_user_id()))
    WITH CHECK (user_id = (SELECT active_user_id()));
DROP POLICY IF EXISTS risk_limits_reporting ON risk_limits;
CREATE POLICY risk_limits_reporting ON risk_limits FOR SELECT TO fx_reporting
    USING (user_id NOT IN (SELECT deleted_user_ids()));

DO $$
DECLARE
    tab text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['accounts', 'positions', 'closures', 'cash_flows', 'risk_events', 'risk_limit_state'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', tab || '_own', tab);
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO fx_user
                            USING (user_id = (SELECT active_user_id()))', tab || '_own', tab);
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', tab || '_reporting', tab);
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO fx_reporting
                            USING (user_id NOT IN (SELECT deleted_user_ids()))', tab || '_reporting', tab);
    END LOOP;
END
$$;

-- entries that a deleted user made, and those about a row of his: the row is
-- known by its image, which has user_id (or is a user's)
DROP POLICY IF EXISTS audit_log_own ON audit_log;
CREATE POLICY audit_log_own ON audit_log TO fx_user
    USING (user_id = (SELECT active_user_id()))
    WITH CHECK (user_id = (SELECT active_user_id()));
DROP POLICY IF EXISTS audit_log_reporting ON audit_log;
CREATE POLICY audit_log_reporting ON audit_log FOR SELECT TO fx_reporting
    USING (coalesce(actor_id, user_id, '00000000-0000-0000-0000-000000000000')
               NOT IN (SELECT deleted_user_ids())
           AND coalesce(CASE WHEN resource_type = 'users' THEN resource_id::text END,
                        new_values ->> 'user_id', old_values ->> 'user_id', '')
               NOT IN (SELECT deleted_user_ids()::text));

DROP POLICY IF EXISTS sessions_app ON sessions;
CREATE POLICY sessions_app ON sessions TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS sessions_own ON sessions;
CREATE POLICY sessions_own ON sessions FOR SELECT TO fx_user
    USING (user_id = (SELECT active_user_id()));
DROP POLICY IF EXISTS sessions_reporting ON sessions;
CREATE POLICY sessions_reporting ON sessions FOR SELECT TO fx_reporting
    USING (user_id NOT IN (SELECT deleted_user_ids()));

DROP POLICY IF EXISTS api_keys_app ON api_keys;
CREATE POLICY api_keys_app ON api_keys TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS api_keys_own ON api_keys;
CREATE POLICY api_keys_own ON api_keys FOR SELECT TO fx_user
    USING (user_id = (SELECT active_user_id()));
DROP POLICY IF EXISTS api_keys_reporting ON api_keys;
CREATE POLICY api_keys_reporting ON api_keys FOR SELECT TO fx_reporting
    USING (user_id NOT IN (SELECT deleted_user_ids()));

-- No personal value is in the audit log in clear, so that fx.erase_user need
-- not touch what is sealed.
CREATE OR REPLACE TRIGGER audit_users_trigger
    AFTER INSERT OR UPDATE OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function(
        'redact:email', 'redact:username', 'redact:first_name', 'redact:last_name', 'redact:preferences');
CREATE OR REPLACE TRIGGER audit_api_keys_trigger
    AFTER INSERT OR UPDATE OR DELETE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function(
        'redact:name', 'redact:key_hash', 'ignore:last_used_at');
CREATE OR REPLACE TRIGGER audit_api_keys_truncate_trigger
    AFTER TRUNCATE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();
