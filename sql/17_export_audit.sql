
-- removal of old parts of the audit trail
--
-- In two steps, and the copy in between is the caller's: what is returned by the
-- transaction that removes it is gone when it does not arrive.

CREATE FUNCTION export_audit(before timestamptz)
RETURNS TABLE (seq bigint, chain_hash bytea, entry jsonb)
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    base_seq CONSTANT bigint := (SELECT b.seq FROM fx.audit_base() b);
    end_seq bigint;
BEGIN
    IF before IS NULL THEN
        RAISE EXCEPTION 'argument "before" must not be null'
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    SELECT min(s.seq) INTO end_seq
      FROM fx.audit_log a JOIN fx.audit_seals s ON s.audit_id = a.id
     WHERE a.created_at >= before;
    RETURN QUERY
        SELECT s.seq, s.chain_hash,
               to_jsonb(a) || jsonb_build_object('seq', s.seq, 'sealed_at', s.sealed_at,
                                                 'row_hash', s.row_hash, 'chain_hash', s.chain_hash)
          FROM fx.audit_seals s JOIN fx.audit_log a ON a.id = s.audit_id
         WHERE s.seq > base_seq AND (end_seq IS NULL OR s.seq < end_seq)
         ORDER BY s.seq;
END
$$;

REVOKE ALL ON FUNCTION export_audit(timestamptz) FROM PUBLIC;

COMMENT ON FUNCTION export_audit(timestamptz)
    IS 'the beginning of the audit chain to be stored elsewhere, for the owner: all sealed rows in front of the first one that is not older than before, in the order of the chain; entry has the columns of fx.audit_log and of the seal, times in UTC. Removes nothing, which is for fx.remove_exported_audit to do; error 22004 a null argument';

CREATE FUNCTION remove_exported_audit(seq bigint, chain_hash bytea)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    base record;
    problem record;
    gone record;
BEGIN
    IF seq IS NULL OR chain_hash IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN seq IS NULL THEN 'seq' ELSE 'chain_hash' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    PERFORM FROM fx.audit_chain FOR UPDATE;
    IF NOT EXISTS (SELECT FROM fx.audit_seals s
                    WHERE s.seq = remove_exported_audit.seq AND s.chain_hash = remove_exported_audit.chain_hash) THEN
        RAISE EXCEPTION 'seal % with this hash does not exist', seq
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give number and hash of the last entry that fx.export_audit returned.';
    END IF;

    -- what is removed cannot be examined any more
    SELECT b.* INTO base FROM fx.audit_base() b;
    SELECT p.* INTO problem FROM fx.audit_seal_problems(base.seq, base.chain_hash, seq) p LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the audit chain up to seal % is not intact', seq
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Seal %s: %s. %s', problem.seq, problem.kind, problem.detail),
                  HINT = 'See fx.verify_audit().';
    END IF;

    WITH seals AS (
        DELETE FROM fx.audit_seals s WHERE s.seq <= remove_exported_audit.seq RETURNING s.audit_id
    ), entries AS (
        DELETE FROM fx.audit_log a USING seals s WHERE a.id = s.audit_id RETURNING a.created_at
    )
    SELECT count(*) AS row_count, min(e.created_at) AS oldest, max(e.created_at) AS newest
      INTO gone
      FROM entries e;
    INSERT INTO fx.audit_exports (seq, chain_hash, row_count, oldest, newest)
    VALUES (seq, chain_hash, gone.row_count, gone.oldest, gone.newest);
    RETURN gone.row_count;
END
$$;

REVOKE ALL ON FUNCTION remove_exported_audit(bigint, bytea) FROM PUBLIC;

COMMENT ON FUNCTION remove_exported_audit(bigint, bytea)
    IS 'removes rows and seals that fx.export_audit returned, up to the one with this number and hash, for the owner; the anchor stays in fx.audit_exports, and the rest of the chain follows it. Returns the number of rows; errors: 22004 a null argument, 22023 no such seal, 55000 the part is not intact';
