DROP TRIGGER IF EXISTS audit_accounts_trigger ON accounts;
DROP TRIGGER IF EXISTS audit_accounts_truncate_trigger ON accounts;
DROP TRIGGER IF EXISTS audit_cash_flows_trigger ON cash_flows;
DROP TRIGGER IF EXISTS audit_cash_flows_truncate_trigger ON cash_flows;
DROP TRIGGER IF EXISTS audit_risk_presets_trigger ON risk_presets;
DROP TRIGGER IF EXISTS audit_risk_presets_truncate_trigger ON risk_presets;

DROP TABLE audit_key;

DROP TRIGGER IF EXISTS audit_log_flush_trigger ON audit_log;

DROP INDEX idx_audit_log_created_at;
CREATE INDEX idx_audit_log_created_at ON audit_log (created_at);
CREATE INDEX idx_audit_log_action ON audit_log (action);

ALTER TABLE audit_log
    ALTER COLUMN old_values SET COMPRESSION default,
    ALTER COLUMN new_values SET COMPRESSION default,
    ALTER COLUMN resource_type TYPE VARCHAR(50) COLLATE "default",
    ALTER COLUMN resource_id TYPE VARCHAR(100) COLLATE "default";

ALTER TABLE audit_log
    DROP COLUMN actor_id,
    DROP COLUMN changed_columns,
    DROP COLUMN session_user_name,
    DROP COLUMN application_name,
    DROP COLUMN transaction_id,
    DROP COLUMN statement_at,
    DROP COLUMN row_hash;

COMMENT ON COLUMN audit_log.id IS NULL;
COMMENT ON COLUMN audit_log.user_id IS 'Who did it: app.current_user_id, NULL when not set or not a user';
COMMENT ON COLUMN audit_log.resource_type IS 'Name of the table';
COMMENT ON COLUMN audit_log.resource_id IS 'The id of the row, as text';
COMMENT ON COLUMN audit_log.old_values IS NULL;
COMMENT ON COLUMN audit_log.new_values IS NULL;
COMMENT ON COLUMN audit_log.ip_address IS NULL;
COMMENT ON COLUMN audit_log.user_agent IS NULL;
