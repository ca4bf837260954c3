
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
    entry fx.audit_log;
BEGIN
    IF TG_LEVEL = 'STATEMENT' AND TG_OP <> 'TRUNCATE' THEN
        RETURN NULL;
    END IF;
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

    entry := ROW(gen_random_uuid(), actor, TG_OP, left(TG_TABLE_NAME, 50),
                 left(coalesce(new_image ->> 'id', old_image ->> 'id'), 100),
                 old_image, new_image, NULL, NULL, clock_timestamp(), fx.current_user_id(), NULL,
                 session_user, NULL, pg_current_xact_id(), statement_timestamp(), NULL);
    entry.row_hash := fx.audit_row_hash(entry.id, entry.actor_id, entry.action, entry.resource_type,
        entry.resource_id, entry.old_values, entry.new_values, entry.changed_columns, entry.ip_address,
        entry.user_agent, entry.session_user_name, entry.application_name, entry.statement_at, entry.created_at);
    INSERT INTO fx.audit_log SELECT entry.*;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION audit_trigger_function() FROM PUBLIC;

COMMENT ON FUNCTION audit_trigger_function()
    IS 'trigger, AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW or AFTER TRUNCATE: records the change in fx.audit_log with old and new values in UTC, secrets redacted; an update that changes nothing is not recorded';

CREATE FUNCTION audit_row_hash(
    id uuid, actor_id uuid, action text, resource_type text, resource_id text,
    old_values jsonb, new_values jsonb, changed_columns text[], ip_address inet, user_agent text,
    session_user_name text, application_name text, statement_at timestamptz, created_at timestamptz)
RETURNS bytea
LANGUAGE C
IMMUTABLE
CALLED ON NULL INPUT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_audit_row_hash';

COMMENT ON FUNCTION audit_row_hash(uuid, uuid, text, text, text, jsonb, jsonb, text[], inet, text, text, text, timestamptz, timestamptz)
    IS 'the row_hash that an entry of fx.audit_log with these columns has: sha256 over their lengths and values, jsonb by its text, nulls told apart from empty values; the same in every cluster and major';
