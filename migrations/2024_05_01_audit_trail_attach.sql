-- The end of a statement: entries that row triggers collected are written when
-- this fires.  They queue it themselves; where it is missing they write each
-- entry by itself.  ALWAYS, because a row trigger may be.  Safe to run again.

CREATE OR REPLACE TRIGGER audit_log_flush_trigger
    AFTER INSERT ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_flush_trigger;

-- What somebody decided about an account, not what its trades make of it.
CREATE OR REPLACE TRIGGER audit_accounts_trigger
    AFTER UPDATE ON accounts
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function(
        'ignore:balance', 'ignore:net_deposits', 'ignore:high_water_mark', 'ignore:eod_high_water_mark',
        'ignore:day_started_at', 'ignore:day_balance', 'ignore:day_equity', 'ignore:day_deposits',
        'ignore:week_started_at', 'ignore:week_balance', 'ignore:week_equity', 'ignore:week_deposits',
        'ignore:month_started_at', 'ignore:month_balance', 'ignore:month_equity',
        'ignore:month_deposits', 'ignore:day_ends_at', 'ignore:open_trades', 'ignore:day_trades',
        'ignore:consecutive_losses', 'ignore:losing_since', 'ignore:last_closed_at');
CREATE OR REPLACE TRIGGER audit_accounts_truncate_trigger
    AFTER TRUNCATE ON accounts
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_cash_flows_trigger
    AFTER INSERT OR UPDATE OR DELETE ON cash_flows
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_cash_flows_truncate_trigger
    AFTER TRUNCATE ON cash_flows
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_risk_presets_trigger
    AFTER INSERT OR UPDATE OR DELETE ON risk_presets
    FOR EACH ROW EXECUTE FUNCTION audit_trigger_function();
CREATE OR REPLACE TRIGGER audit_risk_presets_truncate_trigger
    AFTER TRUNCATE ON risk_presets
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();
