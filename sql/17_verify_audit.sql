
-- checks of the audit trail
--
-- Evidence is the chain: a row is what its seal says, a seal follows from the
-- one before, the last one is the head, and the head is what somebody stored
-- elsewhere.  Whoever owns the database can make a new chain up to the head;
-- only the last step finds that.

-- Where the chain begins: after what was exported and removed.
CREATE FUNCTION audit_base(OUT seq bigint, OUT chain_hash bytea)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT e.seq, e.chain_hash INTO seq, chain_hash
      FROM fx.audit_exports e
     ORDER BY e.seq DESC
     LIMIT 1;
    IF NOT FOUND THEN
        seq := 0;
        chain_hash := decode(repeat('00', 32), 'hex');
    END IF;
END
$$;

COMMENT ON FUNCTION audit_base()
    IS 'number and hash that the oldest seal of the audit chain follows';

-- A seal is checked against the one before as that is stored.  Where that one is
-- not what it should be, the hash that it should have is good too: an edited hash
-- is one problem, not two.
CREATE FUNCTION audit_seal_problems(after_seq bigint, after_hash bytea, last_seq bigint DEFAULT NULL)
RETURNS TABLE (kind text, seq bigint, audit_id uuid, detail text)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    previous_seq bigint := after_seq;
    previous_hash bytea := after_hash;
    mended_hash bytea;          -- of the seal before, where it differs
    expected bytea;
    follows boolean;
    seal record;
BEGIN
    FOR seal IN
        SELECT s.*, a.id AS found_id, a.row_hash AS found_hash,
               fx.audit_row_hash(a.id, a.actor_id, a.action, a.resource_type, a.resource_id,
                                 a.old_values, a.new_values, a.changed_columns, a.ip_address, a.user_agent,
                                 a.session_user_name, a.application_name, a.statement_at, a.created_at) AS computed
          FROM fx.audit_seals s
          LEFT JOIN fx.audit_log a ON a.id = s.audit_id
         WHERE s.seq > after_seq AND (last_seq IS NULL OR s.seq <= last_seq)
         ORDER BY s.seq
    LOOP
        expected := fx.audit_chain_hash(previous_hash, seal.seq, seal.audit_id, seal.sealed_at, seal.row_hash);
        IF seal.chain_hash = expected AND seal.seq = previous_seq + 1 AND
           seal.computed = seal.row_hash AND seal.computed = seal.found_hash THEN
            previous_seq := seal.seq;
            previous_hash := seal.chain_hash;
            mended_hash := NULL;
            CONTINUE;
        END IF;

        follows := true;
        IF seal.seq <> previous_seq + 1 THEN
            kind := 'broken chain';
            seq := previous_seq + 1;
            audit_id := NULL;
            detail := format('Seals from this one to %s are missing.', seal.seq - 1);
            RETURN NEXT;
        END IF;
        seq := seal.seq;
        audit_id := seal.audit_id;
        IF seal.seq = previous_seq + 1 AND seal.chain_hash <> expected AND
           seal.chain_hash IS DISTINCT FROM fx.audit_chain_hash(mended_hash, seal.seq, seal.audit_id,
                                                                seal.sealed_at, seal.row_hash) THEN
            follows := false;
            kind := 'broken chain';
            detail := 'The seal does not follow from the one before: it was edited, moved or inserted.';
            RETURN NEXT;
        END IF;

        IF seal.found_id IS NULL THEN
            kind := 'missing row';
            detail := 'The row was sealed and is gone.';
            RETURN NEXT;
        ELSIF seal.computed = seal.row_hash AND seal.found_hash IS DISTINCT FROM seal.computed THEN
            kind := 'inserted row';
            detail := 'The row is what was sealed, but not what its own hash says: it was not written by the trigger, or has a new hash.';
            RETURN NEXT;
        ELSIF seal.computed <> seal.row_hash AND seal.found_hash IS DISTINCT FROM seal.computed THEN
            kind := 'edited row';
            detail := 'The row is neither what was sealed nor what its own hash says.';
            RETURN NEXT;
        ELSIF seal.computed <> seal.row_hash AND follows THEN
            -- nothing is said of a row by a seal that cannot be trusted
            kind := 'edited row';
            detail := 'The row is not what was sealed, and has a new hash.';
            RETURN NEXT;
        END IF;

        previous_seq := seal.seq;
        previous_hash := seal.chain_hash;
        mended_hash := expected;
    END LOOP;
END
$$;

REVOKE ALL ON FUNCTION audit_seal_problems(bigint, bytea, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_seal_problems(bigint, bytea, bigint) TO fx_app;

COMMENT ON FUNCTION audit_seal_problems(bigint, bytea, bigint)
    IS 'for fx.verify_audit: what is wrong with the seals after one that is taken for granted up to last_seq (NULL: all that there are), and with their rows';

-- Rows without a seal: those of transactions that the last sealing had before it
-- should have one.  What the caller's own transaction wrote is new.
CREATE FUNCTION audit_unsealed(since timestamptz)
RETURNS TABLE (kind text, seq bigint, audit_id uuid, detail text)
LANGUAGE plpgsql
STABLE
PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    item record;
    unsealed bigint := 0;
    oldest timestamptz;
BEGIN
    FOR item IN
        SELECT a.id, a.created_at,
               fx.audit_row_hash(a.id, a.actor_id, a.action, a.resource_type, a.resource_id,
                                 a.old_values, a.new_values, a.changed_columns, a.ip_address, a.user_agent,
                                 a.session_user_name, a.application_name, a.statement_at, a.created_at)
               = a.row_hash IS TRUE AS is_recorded,
               c.seen IS NOT NULL
               AND c.seen_in = (SELECT system_identifier FROM pg_control_system())
               AND a.transaction_id IS DISTINCT FROM pg_current_xact_id_if_assigned()
               AND (a.transaction_id IS NULL
                    OR pg_visible_in_snapshot(a.transaction_id, c.seen)
                    OR a.transaction_id >= pg_snapshot_xmax(pg_current_snapshot())) AS is_late
          FROM fx.audit_log a
          LEFT JOIN fx.audit_chain c ON true
         WHERE (since IS NULL OR a.created_at >= since)
           AND NOT EXISTS (SELECT FROM fx.audit_seals s WHERE s.audit_id = a.id)
         ORDER BY a.created_at, a.id
    LOOP
        IF item.is_recorded AND NOT item.is_late THEN
            oldest := coalesce(oldest, item.created_at);
            unsealed := unsealed + 1;
            CONTINUE;
        END IF;
        audit_id := item.id;
        IF item.is_recorded THEN
            kind := 'unexpected row';
            detail := 'The row has no seal, though its transaction had ended when the last ones were made: it was inserted later, or its seal was removed.';
        ELSE
            kind := 'inserted row';
            detail := 'The row has no seal and is not what its own hash says: it was not written by the trigger, or edited since.';
        END IF;
        RETURN NEXT;
    END LOOP;

    IF unsealed > 0 THEN
        kind := 'unsealed';
        audit_id := NULL;
        detail := format('%s rows are not sealed yet, the oldest of %s.', unsealed, oldest);
        RETURN NEXT;
    END IF;
END
$$;

REVOKE ALL ON FUNCTION audit_unsealed(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_unsealed(timestamptz) TO fx_app;

COMMENT ON FUNCTION audit_unsealed(timestamptz)
    IS 'for fx.verify_audit: rows of audit_log without a seal that should have one or were not written by the trigger, and one row of kind unsealed for the others, if there are any';

CREATE FUNCTION verify_audit(since timestamptz DEFAULT NULL)
RETURNS TABLE (kind text, seq bigint, audit_id uuid, detail text)
LANGUAGE plpgsql
STABLE
PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
AS $$
DECLARE
    base record;
    start record;
    head record;
    newest record;
BEGIN
    SELECT b.* INTO base FROM fx.audit_base() b;
    SELECT c.* INTO head FROM fx.audit_chain c;
    SELECT s.* INTO newest FROM fx.audit_seals s ORDER BY s.seq DESC LIMIT 1;

    -- what was sealed before is taken for granted
    SELECT s.seq, s.chain_hash INTO start
      FROM fx.audit_seals s
     WHERE s.sealed_at < since AND s.seq > base.seq
     ORDER BY s.seq DESC
     LIMIT 1;
    IF NOT FOUND THEN
        start := base;
    END IF;

    SELECT s.seq, s.audit_id INTO seq, audit_id FROM fx.audit_seals s WHERE s.seq <= base.seq ORDER BY s.seq LIMIT 1;
    IF FOUND THEN
        kind := 'broken chain';
        detail := 'The seal belongs to a part of the chain that was removed.';
        RETURN NEXT;
    END IF;

    RETURN QUERY SELECT p.* FROM fx.audit_seal_problems(start.seq, start.chain_hash) p;

    audit_id := NULL;
    kind := 'broken chain';
    IF head.seq IS NULL THEN
        detail := 'The head of the chain is missing.';
        RETURN NEXT;
    ELSIF coalesce(newest.seq, base.seq) < head.seq THEN
        seq := coalesce(newest.seq, base.seq) + 1;
        detail := format('Seals from this one to %s are missing.', head.seq);
        RETURN NEXT;
    ELSIF coalesce(newest.seq, base.seq) > head.seq THEN
        seq := newest.seq;
        detail := format('Seals after %s were inserted, or the head was edited.', head.seq);
        RETURN NEXT;
    ELSIF coalesce(newest.chain_hash, base.chain_hash) <> head.chain_hash THEN
        seq := head.seq;
        detail := 'The newest seal is not the head of the chain.';
        RETURN NEXT;
    END IF;

    RETURN QUERY SELECT u.* FROM fx.audit_unsealed(since) u;
END
$$;

REVOKE ALL ON FUNCTION verify_audit(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION verify_audit(timestamptz) TO fx_app;

COMMENT ON FUNCTION verify_audit(timestamptz)
    IS 'checks the audit trail and returns one row a problem, in the order of the chain, none when all is well. kind: edited row, missing row, inserted row (not written by the trigger), unexpected row (came after its transaction was sealed, or lost its seal), broken chain (a seal was edited, moved, inserted or removed), unsealed (one row for all that fx.seal_audit has yet to seal). seq and audit_id tell where, NULL where there is no seal or no row. since: only what was sealed or is to be sealed from then on. A chain that the owner made anew is found by fx.verify_audit_anchor';

CREATE FUNCTION verify_audit_anchor(seq bigint, chain_hash bytea)
RETURNS TABLE (kind text, detail text)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_hash bytea;
BEGIN
    IF seq IS NULL OR chain_hash IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN seq IS NULL THEN 'seq' ELSE 'chain_hash' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;

    SELECT k.chain_hash INTO found_hash
      FROM (SELECT s.seq, s.chain_hash FROM fx.audit_seals s
            UNION ALL
            SELECT e.seq, e.chain_hash FROM fx.audit_exports e
            UNION ALL
            SELECT 0, decode(repeat('00', 32), 'hex')) k
     WHERE k.seq = verify_audit_anchor.seq;

    IF found_hash = chain_hash THEN
        RETURN;
    ELSIF found_hash IS NOT NULL THEN
        kind := 'broken chain';
        detail := format('Seal %s has another hash: the chain up to it was made anew.', seq);
    ELSIF seq > 0 AND seq < (SELECT b.seq FROM fx.audit_base() b) THEN
        kind := 'exported';
        detail := format('Seal %s was exported and removed: look for it in the export.', seq);
    ELSE
        kind := 'broken chain';
        detail := format('Seal %s is missing.', seq);
    END IF;
    RETURN NEXT;
END
$$;

COMMENT ON FUNCTION verify_audit_anchor(bigint, bytea)
    IS 'is a head of the chain that fx.audit_anchor returned once, and that was kept elsewhere, still part of it? No row when it is; otherwise one, of kind broken chain, or exported where only the export can tell. That the seals up to it are what their hashes say is for fx.verify_audit. Error 22004 a null argument';
