
-- status of backtests

-- Which changes of status are allowed; what ended stays as it ended.
CREATE FUNCTION backtest_transition_allowed(from_status text, to_status text)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE coalesce(from_status, 'pending')
               WHEN 'pending' THEN to_status IN ('running', 'completed', 'failed', 'cancelled')
               WHEN 'running' THEN to_status IN ('completed', 'failed', 'cancelled')
               ELSE false
           END
$$;

COMMENT ON FUNCTION backtest_transition_allowed(text, text)
    IS 'whether a backtest may go from one status to another: pending to any, running to completed, failed or cancelled; a NULL status is pending';

-- The error is the same by hand and by function.
CREATE FUNCTION check_backtest_transition(backtest_id uuid, from_status text, to_status text)
RETURNS void
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT coalesce(fx.backtest_transition_allowed(from_status, to_status), false) THEN
        RAISE EXCEPTION 'backtest "%" cannot go from status "%" to "%"',
                backtest_id, coalesce(from_status, 'pending'), coalesce(to_status, 'null')
            USING ERRCODE = 'XF003',
                  HINT = 'A backtest goes from pending to running, and from either to completed, failed or cancelled.';
    END IF;
END
$$;

COMMENT ON FUNCTION check_backtest_transition(uuid, text, text)
    IS 'does nothing when a backtest may go from one status to another, else error XF003';

CREATE FUNCTION guard_backtest_status()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- what is no status at all is for the table's CHECK to refuse
    IF coalesce(NEW.status, 'pending') IN ('pending', 'running', 'completed', 'failed', 'cancelled') THEN
        PERFORM fx.check_backtest_transition(OLD.id, OLD.status, NEW.status);
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION guard_backtest_status()
    IS 'trigger, BEFORE UPDATE OF status FOR EACH ROW on fx.backtests, when the status changes; refuses an illegal change (XF003)';

-- The audit trail refers to the actor, whose row it locks at the end of a change
-- (src/audit_actor.c).  Who deletes a user has that row before those of his
-- backtests; so it comes first here, too, or the two wait for each other.
CREATE FUNCTION lock_actor()
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM fx.users u WHERE u.id = fx.current_user_id() FOR KEY SHARE;
END
$$;

REVOKE ALL ON FUNCTION lock_actor() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock_actor() TO fx_app, fx_user;

COMMENT ON FUNCTION lock_actor()
    IS 'keeps fx.current_user_id() from being deleted until the transaction ends, waiting for a deletion under way; does nothing without one';

-- Locks a backtest that is about to change its status, and returns its config.
-- The row stays locked until the transaction ends, so that of two callers the
-- second sees what the first did.
CREATE FUNCTION lock_backtest(backtest_id uuid, to_status text)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run record;
BEGIN
    PERFORM fx.lock_actor();
    SELECT b.status, b.config INTO run
      FROM fx.backtests b
     WHERE b.id = backtest_id
       FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'backtest "%" does not exist', backtest_id
            USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM fx.check_backtest_transition(backtest_id, run.status, to_status);
    RETURN run.config;
END
$$;

REVOKE ALL ON FUNCTION lock_backtest(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock_backtest(uuid, text) TO fx_app, fx_user;

COMMENT ON FUNCTION lock_backtest(uuid, text)
    IS 'locks a backtest until the transaction ends and returns its config, if it may go to the status; errors: P0002 no such backtest, XF003 illegal change of status';

CREATE FUNCTION start_backtest(backtest_id uuid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM fx.lock_backtest(backtest_id, 'running');
    UPDATE fx.backtests b
       SET status = 'running', progress = 0, started_at = clock_timestamp()
     WHERE b.id = backtest_id;
END
$$;

REVOKE ALL ON FUNCTION start_backtest(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION start_backtest(uuid) TO fx_app, fx_user;

COMMENT ON FUNCTION start_backtest(uuid)
    IS 'takes a pending backtest to running and notes the time; errors: P0002 no such backtest, XF003 not pending';

CREATE FUNCTION report_progress(backtest_id uuid, progress integer)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    status text;
BEGIN
    IF progress IS NULL OR progress NOT BETWEEN 0 AND 100 THEN
        RAISE EXCEPTION 'argument "progress" must be between 0 and 100'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM fx.lock_actor();
    UPDATE fx.backtests b
       SET progress = greatest(b.progress, report_progress.progress)
     WHERE b.id = backtest_id AND b.status = 'running';
    IF FOUND THEN
        RETURN;
    END IF;

    SELECT b.status INTO status FROM fx.backtests b WHERE b.id = backtest_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'backtest "%" does not exist', backtest_id
            USING ERRCODE = 'no_data_found';
    END IF;
    RAISE EXCEPTION 'backtest "%" is not running but "%"', backtest_id, status
        USING ERRCODE = 'XF003';
END
$$;

REVOKE ALL ON FUNCTION report_progress(uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION report_progress(uuid, integer) TO fx_app, fx_user;

COMMENT ON FUNCTION report_progress(uuid, integer)
    IS 'notes how far a running backtest is, in percent; a report that comes late does not take it back; errors: 22023 progress not from 0 to 100, P0002 no such backtest, XF003 not running';

CREATE FUNCTION fail_backtest(backtest_id uuid, error_message text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF error_message IS NULL THEN
        RAISE EXCEPTION 'argument "error_message" must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM fx.lock_backtest(backtest_id, 'failed');
    UPDATE fx.backtests b
       SET status = 'failed', error_message = fail_backtest.error_message,
           completed_at = clock_timestamp()
     WHERE b.id = backtest_id;
END
$$;

REVOKE ALL ON FUNCTION fail_backtest(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION fail_backtest(uuid, text) TO fx_app, fx_user;

COMMENT ON FUNCTION fail_backtest(uuid, text)
    IS 'ends a pending or running backtest as failed, with the reason and the time; errors: 22004 NULL reason, P0002 no such backtest, XF003 it has ended';

CREATE FUNCTION cancel_backtest(backtest_id uuid)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM fx.lock_backtest(backtest_id, 'cancelled');
    UPDATE fx.backtests b
       SET status = 'cancelled', completed_at = clock_timestamp()
     WHERE b.id = backtest_id;
END
$$;

REVOKE ALL ON FUNCTION cancel_backtest(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cancel_backtest(uuid) TO fx_app, fx_user;

COMMENT ON FUNCTION cancel_backtest(uuid)
    IS 'ends a pending or running backtest as cancelled, with the time; errors: P0002 no such backtest, XF003 it has ended';
