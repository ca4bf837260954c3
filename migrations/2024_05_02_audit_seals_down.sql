DROP TRIGGER IF EXISTS audit_log_guard ON audit_log;
DROP INDEX idx_audit_log_transaction_id;
DROP TABLE audit_exports, audit_chain, audit_seals;
