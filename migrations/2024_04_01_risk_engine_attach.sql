DO $$
DECLARE
    tab text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['accounts', 'positions', 'closures', 'cash_flows', 'risk_events',
                              'risk_limit_state'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', tab || '_app', tab);
        EXECUTE format('CREATE POLICY %I ON %I TO fx_app USING (true) WITH CHECK (true)', tab || '_app', tab);
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', tab || '_own', tab);
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO fx_user
                            USING (user_id = (SELECT current_user_id()))', tab || '_own', tab);
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', tab || '_reporting', tab);
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO fx_reporting USING (true)', tab || '_reporting', tab);
    END LOOP;
END
$$;

CREATE OR REPLACE TRIGGER users_open_account
    AFTER INSERT ON users
    FOR EACH ROW EXECUTE FUNCTION open_account();
CREATE OR REPLACE TRIGGER users_follow_preferences
    AFTER UPDATE OF preferences ON users
    FOR EACH ROW WHEN (OLD.preferences IS DISTINCT FROM NEW.preferences)
    EXECUTE FUNCTION follow_preferences();

CREATE OR REPLACE TRIGGER accounts_guard
    BEFORE UPDATE ON accounts
    FOR EACH ROW EXECUTE FUNCTION guard_account();

CREATE OR REPLACE TRIGGER cash_flows_guard
    BEFORE UPDATE OR DELETE ON cash_flows
    FOR EACH ROW EXECUTE FUNCTION guard_cash_flow();
CREATE OR REPLACE TRIGGER cash_flows_apply
    AFTER INSERT ON cash_flows
    FOR EACH ROW EXECUTE FUNCTION apply_cash_flow();

CREATE OR REPLACE TRIGGER trades_lifecycle
    BEFORE INSERT OR UPDATE ON trades
    FOR EACH ROW EXECUTE FUNCTION guard_trade();
CREATE OR REPLACE TRIGGER trades_risk_insert
    AFTER INSERT ON trades
    REFERENCING NEW TABLE AS new_trades
    FOR EACH STATEMENT EXECUTE FUNCTION apply_trade_risk();
CREATE OR REPLACE TRIGGER trades_risk_update
    AFTER UPDATE ON trades
    REFERENCING OLD TABLE AS old_trades NEW TABLE AS new_trades
    FOR EACH STATEMENT EXECUTE FUNCTION apply_trade_risk();
CREATE OR REPLACE TRIGGER trades_risk_delete
    AFTER DELETE ON trades
    REFERENCING OLD TABLE AS old_trades
    FOR EACH STATEMENT EXECUTE FUNCTION apply_trade_risk();
CREATE OR REPLACE TRIGGER trades_risk_truncate
    AFTER TRUNCATE ON trades
    FOR EACH STATEMENT EXECUTE FUNCTION apply_trade_risk();

CREATE OR REPLACE TRIGGER risk_limits_guard
    BEFORE INSERT OR UPDATE ON risk_limits
    FOR EACH ROW EXECUTE FUNCTION guard_risk_limit();
CREATE OR REPLACE TRIGGER risk_limits_refresh_insert
    AFTER INSERT ON risk_limits
    REFERENCING NEW TABLE AS new_limits
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_risk_limits();
CREATE OR REPLACE TRIGGER risk_limits_refresh_update
    AFTER UPDATE ON risk_limits
    REFERENCING OLD TABLE AS old_limits NEW TABLE AS new_limits
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_risk_limits();
CREATE OR REPLACE TRIGGER risk_limits_refresh_delete
    AFTER DELETE ON risk_limits
    REFERENCING OLD TABLE AS old_limits
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_risk_limits();
CREATE OR REPLACE TRIGGER risk_limits_refresh_truncate
    AFTER TRUNCATE ON risk_limits
    FOR EACH STATEMENT EXECUTE FUNCTION refresh_risk_limits();

CREATE OR REPLACE TRIGGER instruments_forget_prices
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON instruments
    FOR EACH STATEMENT EXECUTE FUNCTION forget_prices();
