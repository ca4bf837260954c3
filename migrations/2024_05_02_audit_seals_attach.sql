-- Guards of the audit trail.  Safe to run again.  They watch replication roles
-- too, and foreign keys pass: they act with the rights of the table's owner.

CREATE OR REPLACE TRIGGER audit_log_guard
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION guard_audit();
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_guard;

CREATE OR REPLACE TRIGGER audit_seals_guard
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION guard_audit();
ALTER TABLE audit_seals ENABLE ALWAYS TRIGGER audit_seals_guard;

CREATE OR REPLACE TRIGGER audit_chain_guard
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION guard_audit();
ALTER TABLE audit_chain ENABLE ALWAYS TRIGGER audit_chain_guard;

CREATE OR REPLACE TRIGGER audit_exports_guard
    BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON audit_exports
    FOR EACH STATEMENT EXECUTE FUNCTION guard_audit();
ALTER TABLE audit_exports ENABLE ALWAYS TRIGGER audit_exports_guard;
