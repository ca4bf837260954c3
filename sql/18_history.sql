
-- the past of a row, from the audit trail
--
-- Both functions read audit_log with the rights of the caller, who finds what
-- its row security shows him.

CREATE FUNCTION history(resource_type text, resource_id text)
RETURNS TABLE (version bigint, audit_id uuid, action text, changed_at timestamptz,
               actor_id uuid, session_user_name text, application_name text,
               ip_address inet, user_agent text,
               changed_columns text[], old_values jsonb, new_values jsonb)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- An entry of TRUNCATE is one of every row that was there; of those it can
    -- be known by the entries before.
    RETURN QUERY
        WITH entries AS (
            SELECT a.*, lag(a.action) OVER (ORDER BY a.created_at, a.id) AS before
              FROM fx.audit_log a
             WHERE a.resource_type = history.resource_type
               AND (a.resource_id = history.resource_id OR (a.resource_id IS NULL AND a.action = 'TRUNCATE'))
        )
        SELECT row_number() OVER (ORDER BY e.created_at, e.id), e.id, e.action::text, e.created_at,
               e.actor_id, e.session_user_name, e.application_name, e.ip_address, e.user_agent,
               e.changed_columns, e.old_values, e.new_values
          FROM entries e
         WHERE e.action <> 'TRUNCATE' OR e.before IN ('INSERT', 'UPDATE')
         ORDER BY e.created_at, e.id;
END
$$;

COMMENT ON FUNCTION history(text, text)
    IS 'the versions of a row in order: who made them (actor_id, and the role that connected), when by the clock, and what changed. resource_type and resource_id as in fx.audit_log; a TRUNCATE counts where the row was there. No row when nothing was recorded or the caller may see nothing of it, or an argument is NULL';

-- An entry of INSERT or UPDATE has the whole row.  What was before the first
-- entry follows backwards from it, if the row was there when auditing began and
-- had the same key.
CREATE FUNCTION row_as_of("table" regclass, id text, at timestamptz)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    entry record;
    image jsonb;
BEGIN
    SELECT h.* INTO entry
      FROM fx.history(fx.audit_resource_type("table"), id) h
     WHERE h.changed_at <= at
     ORDER BY h.version DESC
     LIMIT 1;
    IF FOUND THEN
        image := CASE WHEN entry.action IN ('INSERT', 'UPDATE') THEN entry.new_values END;
    ELSE
        SELECT h.* INTO entry
          FROM fx.history(fx.audit_resource_type("table"), id) h
         WHERE h.changed_at > at
         ORDER BY h.version
         LIMIT 1;
        IF entry.action = 'DELETE' THEN
            image := entry.old_values;
        ELSIF entry.action = 'UPDATE' AND NOT EXISTS (
                SELECT FROM pg_index i
                  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
                 WHERE i.indrelid = "table" AND i.indisprimary
                   AND a.attname = ANY (entry.changed_columns)) THEN
            image := entry.new_values || entry.old_values;
        END IF;
    END IF;
    RETURN image - 'redacted_hashes';
END
$$;

COMMENT ON FUNCTION row_as_of(regclass, text, timestamptz)
    IS 'the row as it was at that time, from the audit trail: values as in fx.audit_log, secrets redacted; NULL before it was inserted, after it was deleted or truncated, when nothing is known of it, or an argument is NULL. A change counts from the time of its statement on, not of its commit. A row whose primary key changed goes on under the new one, and its past stays under the old. id is resource_id in fx.audit_log: the primary key as text, a JSON array where it has several columns';
