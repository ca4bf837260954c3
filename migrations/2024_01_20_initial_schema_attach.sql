-- Triggers, policies and partitions of the first migration: what refers to
-- functions of the extension or is made by them.  Safe to run again.

CREATE OR REPLACE TRIGGER update_users_updated_at
    BEFORE UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE OR REPLACE TRIGGER audit_users_trigger
    AFTER INSERT OR UPDATE OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_users_truncate_trigger
    AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();

CREATE OR REPLACE TRIGGER update_strategies_updated_at
    BEFORE UPDATE ON strategies
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE OR REPLACE TRIGGER audit_strategies_trigger
    AFTER INSERT OR UPDATE OR DELETE ON strategies
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_strategies_truncate_trigger
    AFTER TRUNCATE ON strategies
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();

CREATE OR REPLACE TRIGGER update_backtests_updated_at
    BEFORE UPDATE ON backtests
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE OR REPLACE TRIGGER audit_backtests_trigger
    AFTER INSERT OR UPDATE OR DELETE ON backtests
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_backtests_truncate_trigger
    AFTER TRUNCATE ON backtests
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();

CREATE OR REPLACE TRIGGER update_trades_updated_at
    BEFORE UPDATE ON trades
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE OR REPLACE TRIGGER audit_trades_trigger
    AFTER INSERT OR UPDATE OR DELETE ON trades
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_trades_truncate_trigger
    AFTER TRUNCATE ON trades
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();

CREATE OR REPLACE TRIGGER update_risk_limits_updated_at
    BEFORE UPDATE ON risk_limits
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
CREATE OR REPLACE TRIGGER audit_risk_limits_trigger
    AFTER INSERT OR UPDATE OR DELETE ON risk_limits
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_risk_limits_truncate_trigger
    AFTER TRUNCATE ON risk_limits
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();

-- fx_app sees and writes all rows: the application decides for whom it acts.
-- fx_user sees and writes what is his, and reads what is public.  Identity
-- comes from current_user_id(), once a statement; without one no row matches.

DROP POLICY IF EXISTS users_app ON users;
CREATE POLICY users_app ON users TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS users_own ON users;
CREATE POLICY users_own ON users TO fx_user
    USING (id = (SELECT current_user_id()))
    WITH CHECK (id = (SELECT current_user_id()));
DROP POLICY IF EXISTS users_reporting ON users;
CREATE POLICY users_reporting ON users FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS strategies_app ON strategies;
CREATE POLICY strategies_app ON strategies TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS strategies_own ON strategies;
CREATE POLICY strategies_own ON strategies TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS strategies_public ON strategies;
CREATE POLICY strategies_public ON strategies FOR SELECT TO fx_user
    USING (is_public AND deleted_at IS NULL);
DROP POLICY IF EXISTS strategies_reporting ON strategies;
CREATE POLICY strategies_reporting ON strategies FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS backtests_app ON backtests;
CREATE POLICY backtests_app ON backtests TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS backtests_own ON backtests;
CREATE POLICY backtests_own ON backtests TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS backtests_reporting ON backtests;
CREATE POLICY backtests_reporting ON backtests FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS trades_app ON trades;
CREATE POLICY trades_app ON trades TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS trades_own ON trades;
CREATE POLICY trades_own ON trades TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS trades_reporting ON trades;
CREATE POLICY trades_reporting ON trades FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS risk_limits_app ON risk_limits;
CREATE POLICY risk_limits_app ON risk_limits TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS risk_limits_own ON risk_limits;
CREATE POLICY risk_limits_own ON risk_limits TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS risk_limits_reporting ON risk_limits;
CREATE POLICY risk_limits_reporting ON risk_limits FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS audit_log_app ON audit_log;
CREATE POLICY audit_log_app ON audit_log TO fx_app USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS audit_log_own ON audit_log;
CREATE POLICY audit_log_own ON audit_log TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS audit_log_reporting ON audit_log;
CREATE POLICY audit_log_reporting ON audit_log FOR SELECT TO fx_reporting USING (true);

-- last month, this one and three ahead
SELECT create_market_data_partitions(
    (date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month')::date,
    (date_trunc('month', now() AT TIME ZONE 'UTC') + interval '4 months')::date);
