-- locks
--
-- On work that only one may do at a time.  Whoever can connect may take any lock
-- of pg_advisory_lock, and stop it for ever; these are for the owner.

CREATE FUNCTION lock_work(work text)
RETURNS void
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_lock_work_for_transaction';

REVOKE ALL ON FUNCTION lock_work(text) FROM PUBLIC;

COMMENT ON FUNCTION lock_work(text)
    IS 'waits until no other transaction has locked this work, and locks it until the end of the transaction; NULL locks nothing';

CREATE FUNCTION try_lock_work(work text)
RETURNS boolean
LANGUAGE C
VOLATILE
STRICT
AS 'MODULE_PATHNAME', 'fx_try_lock_work';

REVOKE ALL ON FUNCTION try_lock_work(text) FROM PUBLIC;

COMMENT ON FUNCTION try_lock_work(text)
    IS 'fx.lock_work without waiting: false when somebody else has locked this work; NULL for NULL';
