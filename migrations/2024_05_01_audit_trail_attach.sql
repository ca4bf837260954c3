-- The end of a statement: entries that row triggers collected are written when
-- this fires.  They queue it themselves; where it is missing they write each
-- entry by itself.  ALWAYS, because a row trigger may be.  Safe to run again.

CREATE OR REPLACE TRIGGER audit_log_flush_trigger
    AFTER INSERT ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_trigger_function();
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_flush_trigger;
