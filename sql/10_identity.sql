
-- identity

CREATE FUNCTION current_user_id()
RETURNS uuid
LANGUAGE C
STABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_current_user_id';

COMMENT ON FUNCTION current_user_id()
    IS 'the user for whom the session acts: setting app.current_user_id, NULL when it is not set, empty or no uuid (the last with a warning, once for each value)';
