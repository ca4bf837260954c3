
-- triggers that every table has: updated_at and the audit trail

CREATE FUNCTION update_updated_at_column()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_update_updated_at_column';

COMMENT ON FUNCTION update_updated_at_column()
    IS 'trigger, BEFORE UPDATE FOR EACH ROW: sets updated_at to the clock''s time unless nothing changed';

-- Owned by a superuser and run with his rights, because nobody else may write
-- the audit log.  It is fit to be called by the trigger manager alone.
--
-- The actor's row is locked like a foreign key locks it: if the user is being
-- deleted by somebody else, the entry waits and is then kept without him,
-- instead of failing the write that it records.
CREATE FUNCTION audit_trigger_function()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    secrets CONSTANT text[] := '{password_hash,two_factor_secret,api_key_hash}';
    secret text;
    actor uuid := fx.current_user_id();
    old_image jsonb;
    new_image jsonb;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NOT OLD *<> NEW THEN
            RETURN NULL;        -- nothing changed
        END IF;
    END IF;
    IF TG_OP IN ('UPDATE', 'DELETE') THEN
        old_image := to_jsonb(OLD);
    END IF;
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        new_image := to_jsonb(NEW);
    END IF;

    FOREACH secret IN ARRAY secrets LOOP
        IF jsonb_typeof(old_image -> secret) <> 'null' THEN
            old_image := jsonb_set(old_image, ARRAY[secret], '"[redacted]"');
        END IF;
        IF jsonb_typeof(new_image -> secret) <> 'null' THEN
            new_image := jsonb_set(new_image, ARRAY[secret], '"[redacted]"');
        END IF;
    END LOOP;

    IF actor IS NOT NULL THEN
        SELECT u.id INTO actor FROM fx.users u WHERE u.id = actor FOR KEY SHARE;
    END IF;

    INSERT INTO fx.audit_log (user_id, action, resource_type, resource_id,
                              old_values, new_values, created_at)
    VALUES (actor, TG_OP, left(TG_TABLE_NAME, 50),
            left(coalesce(new_image ->> 'id', old_image ->> 'id'), 100),
            old_image, new_image, clock_timestamp());
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION audit_trigger_function() FROM PUBLIC;

COMMENT ON FUNCTION audit_trigger_function()
    IS 'trigger, AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW or AFTER TRUNCATE: records the change in fx.audit_log with old and new values in UTC, secrets redacted; an update that changes nothing is not recorded';
