-- Policies and triggers of earlier migrations, as they were.

DROP POLICY IF EXISTS users_own ON users;
CREATE POLICY users_own ON users TO fx_user
    USING (id = (SELECT current_user_id()))
    WITH CHECK (id = (SELECT current_user_id()));
DROP POLICY IF EXISTS users_reporting ON users;
CREATE POLICY users_reporting ON users FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS strategies_own ON strategies;
CREATE POLICY strategies_own ON strategies TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS strategies_public ON strategies;
CREATE POLICY strategies_public ON strategies FOR SELECT TO fx_user
    USING (is_public AND deleted_at IS NULL);
DROP POLICY IF EXISTS strategies_reporting ON strategies;
CREATE POLICY strategies_reporting ON strategies FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS backtests_own ON backtests;
CREATE POLICY backtests_own ON backtests TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS backtests_reporting ON backtests;
CREATE POLICY backtests_reporting ON backtests FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS trades_own ON trades;
CREATE POLICY trades_own ON trades TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS trades_reporting ON trades;
CREATE POLICY trades_reporting ON trades FOR SELECT TO fx_reporting USING (true);

DROP POLICY IF EXISTS risk_limits_own ON risk_limits;
CREATE POLICY risk_limits_own ON risk_limits TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS risk_limits_reporting ON risk_limits;
CREATE POLICY risk_limits_reporting ON risk_limits FOR SELECT TO fx_reporting USING (true);

DO $$
DECLARE
    tab text;
BEGIN
    FOREACH tab IN ARRAY ARRAY['accounts', 'positions', 'closures', 'cash_flows', 'risk_events', 'risk_limit_state'] LOOP
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', tab || '_own', tab);
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO fx_user
                            USING (user_id = (SELECT current_user_id()))', tab || '_own', tab);
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', tab || '_reporting', tab);
        EXECUTE format('CREATE POLICY %I ON %I FOR SELECT TO fx_reporting USING (true)', tab || '_reporting', tab);
    END LOOP;
END
$$;

DROP POLICY IF EXISTS audit_log_own ON audit_log;
CREATE POLICY audit_log_own ON audit_log TO fx_user
    USING (user_id = (SELECT current_user_id()))
    WITH CHECK (user_id = (SELECT current_user_id()));
DROP POLICY IF EXISTS audit_log_reporting ON audit_log;
CREATE POLICY audit_log_reporting ON audit_log FOR SELECT TO fx_reporting USING (true);

CREATE OR REPLACE TRIGGER audit_users_trigger
    AFTER INSERT OR UPDATE OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();

DROP TABLE encrypted_columns, two_factor, api_keys, email_verifications, sign_in_failures, sessions;
DROP SEQUENCE sign_in_memory;

-- A secret that does not fit is encrypted, and what knew it is dropped above:
-- without force nothing of it is there.
ALTER TABLE users ALTER COLUMN two_factor_secret TYPE VARCHAR(32)
    USING CASE WHEN length(two_factor_secret) <= 32 THEN two_factor_secret END;

COMMENT ON COLUMN users.password_hash IS 'Hash made by crypt() of pgcrypto, never a password';
COMMENT ON COLUMN users.two_factor_secret IS NULL;
COMMENT ON COLUMN users.api_key_hash IS 'Hash made by crypt() of pgcrypto, never a key';
