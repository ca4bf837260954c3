
-- triggers that every table has: updated_at and the audit trail

CREATE FUNCTION update_updated_at_column()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_update_updated_at_column';

COMMENT ON FUNCTION update_updated_at_column()
    IS 'trigger, BEFORE UPDATE FOR EACH ROW: sets updated_at to the clock''s time unless nothing changed';

-- Rows become JSON with the rights of whoever wrote them, and entries are
-- stored with those of the log's owner, whom nobody else writes for.
CREATE FUNCTION audit_trigger_function()
RETURNS trigger
LANGUAGE C
AS 'MODULE_PATHNAME', 'fx_audit_trigger_function';

REVOKE ALL ON FUNCTION audit_trigger_function() FROM PUBLIC;

COMMENT ON FUNCTION audit_trigger_function()
    IS 'trigger, AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW or AFTER TRUNCATE: records the change in fx.audit_log at the end of the statement; arguments "redact:column" (its value is not shown; always password_hash, two_factor_secret, api_key_hash) and "ignore:column" (its change alone is not recorded; always updated_at), see fx.enable_audit; errors: 42703 a column to redact is not there, 22023 another argument';

CREATE FUNCTION audit_resource_type("table" regclass)
RETURNS text
LANGUAGE C
STABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_audit_resource_type';

COMMENT ON FUNCTION audit_resource_type(regclass)
    IS 'what fx.audit_log.resource_type says of a table: its name in schema fx, schema and name elsewhere; of more than 50 characters the first 33, "~" and 16 digits of the sha256 of all; errors: 42P01 no such table';

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
