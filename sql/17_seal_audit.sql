
-- seals of the audit trail
--
-- A row of audit_log is sealed after its transaction has committed: it gets the
-- next number of a chain, and a hash over itself and the seal before.  Where a
-- row stands says when it became known, so the order is safe whatever commits
-- when: rows of a transaction that is still running are sealed later, behind
-- those that were visible first.
--
-- How to find what is not sealed yet, among millions that are: audit_chain.seen
-- is a snapshot in which every visible row is sealed.  What is new belongs to a
-- transaction that was running in it or began after it.  That is no evidence,
-- only a place to look at, and holds in the cluster whose transactions it names.
-- Elsewhere, after a restore, all rows are looked through once.
--
-- Sealers, and who removes the beginning of the chain, hold a lock on the row of
-- audit_chain and read the rest under a snapshot that is younger than the lock.

CREATE FUNCTION guard_audit()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID), 'USAGE') THEN
        RAISE EXCEPTION 'table "%" is written by nobody but its owner', TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege',
                  TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA;
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION guard_audit()
    IS 'trigger, BEFORE ... FOR EACH STATEMENT: refuses (42501) who does not have the rights of the table''s owner, whatever was granted to him; foreign keys and functions with the owner''s rights pass';

CREATE FUNCTION audit_chain_hash(previous bytea, seq bigint, audit_id uuid, sealed_at timestamptz, row_hash bytea)
RETURNS bytea
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_audit_chain_hash';

COMMENT ON FUNCTION audit_chain_hash(bytea, bigint, uuid, timestamptz, bytea)
    IS 'the chain_hash of a seal: sha256 over the chain_hash of the seal before, the number (8 bytes), the id (16), the time (8, microseconds since 2000-01-01 UTC) and the row_hash; integers in network byte order; NULL when a part is';

CREATE FUNCTION chain_audit_accum(state bytea, head bytea, seq bigint, audit_id uuid, sealed_at timestamptz, row_hash bytea)
RETURNS bytea
LANGUAGE C
IMMUTABLE
PARALLEL SAFE
AS 'MODULE_PATHNAME', 'fx_chain_audit_accum';

COMMENT ON FUNCTION chain_audit_accum(bytea, bytea, bigint, uuid, timestamptz, bytea)
    IS 'transition of fx.chain_audit; error 22004 a part is null';

CREATE AGGREGATE chain_audit(head bytea, seq bigint, audit_id uuid, sealed_at timestamptz, row_hash bytea) (
    SFUNC = chain_audit_accum,
    STYPE = bytea,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE chain_audit(bytea, bigint, uuid, timestamptz, bytea)
    IS 'chain_hash of the last of some seals in a row, the first of which follows head; over a window, ORDER BY seq, that of each';

-- sealing

-- Transactions that had ended in the snapshot, up to and including the last one
-- or all.  The own transaction may write more, so it has not.
CREATE FUNCTION audit_snapshot_through(snapshot pg_snapshot, last xid8)
RETURNS pg_snapshot
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH bound AS (
        SELECT least(last::text::bigint + 1, pg_snapshot_xmax(snapshot)::text::bigint) AS xid
    ), running AS (
        SELECT r.xid::text::bigint AS xid
          FROM (SELECT pg_snapshot_xip(snapshot) UNION SELECT pg_current_xact_id_if_assigned()) r (xid)
         WHERE r.xid::text::bigint < (SELECT b.xid FROM bound b)
    )
    SELECT format('%s:%s:%s', coalesce((SELECT min(r.xid) FROM running r), b.xid), b.xid,
                  (SELECT string_agg(r.xid::text, ',' ORDER BY r.xid) FROM running r))::pg_snapshot
      FROM bound b
$$;

COMMENT ON FUNCTION audit_snapshot_through(pg_snapshot, xid8)
    IS 'the snapshot cut off after transaction last (NULL: not at all), with the own transaction among the running ones';

CREATE FUNCTION seal_audit_batch(max_rows integer DEFAULT 50000, recheck boolean DEFAULT false)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
    cluster CONSTANT bigint := (SELECT system_identifier FROM pg_control_system());
    head record;
    running xid8[];             -- when the last rows were sealed
    sealed_at timestamptz;
    batch record;
BEGIN
    IF max_rows IS NULL OR recheck IS NULL THEN
        RAISE EXCEPTION 'argument "%" must not be null', CASE WHEN recheck IS NULL THEN 'recheck' ELSE 'max_rows' END
            USING ERRCODE = 'null_value_not_allowed';
    ELSIF max_rows < 1 THEN
        RAISE EXCEPTION 'argument "max_rows" must be positive'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    SELECT c.* INTO head FROM fx.audit_chain c FOR UPDATE;
    -- Both happen while a dump is being restored, row by row and table by table.
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the head of the audit chain is missing'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Restore the row of fx.audit_chain.';
    ELSIF head.seq > coalesce((SELECT max(e.seq) FROM fx.audit_exports e), 0) AND
          NOT EXISTS (SELECT FROM fx.audit_seals) THEN
        RAISE EXCEPTION 'the seals up to % are missing', head.seq
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Restore the rows of fx.audit_seals.';
    END IF;

    sealed_at := greatest(clock_timestamp(), head.sealed_at);
    IF recheck OR head.seen_in IS DISTINCT FROM cluster THEN
        head.seen := NULL;
    END IF;
    running := ARRAY(SELECT pg_snapshot_xip(head.seen));

    -- The rows of a transaction are sealed together.  Those of transactions that
    -- were running last time come all, then new ones in order until they are
    -- enough; without a snapshot to start from, everything comes at once.
    WITH fresh AS MATERIALIZED (
        SELECT a.id, a.transaction_id
          FROM fx.audit_log a
         WHERE a.transaction_id >= pg_snapshot_xmax(head.seen)
           AND a.transaction_id <= greatest(pg_snapshot_xmax(pg_current_snapshot()), pg_current_xact_id())
           AND NOT EXISTS (SELECT FROM fx.audit_seals s WHERE s.audit_id = a.id)
         ORDER BY a.transaction_id
         FETCH FIRST max_rows ROWS WITH TIES
    ), unsealed AS (
        SELECT f.id FROM fresh f
        UNION ALL
        SELECT a.id
          FROM fx.audit_log a
         WHERE a.transaction_id = ANY (running)
           AND NOT EXISTS (SELECT FROM fx.audit_seals s WHERE s.audit_id = a.id)
        UNION ALL
        SELECT a.id
          FROM fx.audit_log a
         WHERE head.seen IS NULL
           AND NOT EXISTS (SELECT FROM fx.audit_seals s WHERE s.audit_id = a.id)
    ), hashed AS (
        SELECT a.id, a.created_at,
               fx.audit_row_hash(a.id, a.actor_id, a.action, a.resource_type, a.resource_id,
                                 a.old_values, a.new_values, a.changed_columns, a.ip_address, a.user_agent,
                                 a.session_user_name, a.application_name, a.statement_at, a.created_at) AS row_hash
          FROM unsealed u JOIN fx.audit_log a USING (id)
        OFFSET 0                -- no whole rows are sorted
    ), numbered AS (
        SELECT head.seq + row_number() OVER (ORDER BY h.created_at, h.id) AS seq, h.id, h.row_hash
          FROM hashed h
    ), sealed AS (
        INSERT INTO fx.audit_seals (seq, audit_id, sealed_at, row_hash, chain_hash)
        SELECT n.seq, n.id, sealed_at, n.row_hash,
               fx.chain_audit(head.chain_hash, n.seq, n.id, sealed_at, n.row_hash) OVER (ORDER BY n.seq)
          FROM numbered n
        RETURNING seq
    )
    SELECT count(*) AS sealed, pg_current_snapshot() AS snapshot,
           -- where to go on, unless this was all
           CASE WHEN (SELECT count(*) >= max_rows FROM fresh)
                THEN (SELECT max(f.transaction_id) FROM fresh f) END AS last
      INTO batch
      FROM sealed;

    UPDATE fx.audit_chain c
       SET seq = s.seq, chain_hash = s.chain_hash, sealed_at = s.sealed_at
      FROM fx.audit_seals s
     WHERE batch.sealed > 0 AND s.seq = head.seq + batch.sealed;
    UPDATE fx.audit_chain c
       SET seen = fx.audit_snapshot_through(batch.snapshot, batch.last), seen_in = cluster;
    RETURN batch.sealed;
END
$$;

REVOKE ALL ON FUNCTION seal_audit_batch(integer, boolean) FROM PUBLIC;

COMMENT ON FUNCTION seal_audit_batch(integer, boolean)
    IS 'one batch of fx.seal_audit in the transaction of the caller, who is the owner: seals rows of audit_log until they are at least max_rows, whole transactions only, and returns how many; less than max_rows when nothing is left. recheck looks for unsealed rows among all instead of new ones. Waits for another sealer; errors: 22004 and 22023 arguments, 55000 the chain is not there, as in the middle of a restore';

-- Like fx.maintain: without a search_path of its own, because it commits.  What
-- fits one batch needs no commit and may be sealed in a transaction block, which
-- gets its search_path back.
CREATE PROCEDURE seal_audit(max_rows integer DEFAULT 50000, recheck boolean DEFAULT false)
LANGUAGE plpgsql
AS $$
DECLARE
    path_before CONSTANT pg_catalog.text := pg_catalog.current_setting('search_path');
    sealed pg_catalog.int8;
BEGIN
    LOOP
        PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
        sealed := fx.seal_audit_batch(max_rows, recheck);
        EXIT WHEN sealed < max_rows OR recheck;
        COMMIT;
    END LOOP;
    PERFORM pg_catalog.set_config('search_path', path_before, true);
END
$$;

REVOKE ALL ON PROCEDURE seal_audit(integer, boolean) FROM PUBLIC;

COMMENT ON PROCEDURE seal_audit(integer, boolean)
    IS 'seals all rows of audit_log that are committed and not sealed yet, for the owner: numbers them, and chains their hashes. It commits after each max_rows rows or so, and cannot do that in a transaction block. recheck, for rows that were put back by hand, looks among all rows in one batch. Errors: those of fx.seal_audit_batch';

CREATE FUNCTION audit_anchor()
RETURNS TABLE (seq bigint, chain_hash bytea, row_count bigint, sealed_at timestamptz)
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
        SELECT c.seq, c.chain_hash,
               c.seq - coalesce((SELECT max(e.seq) FROM fx.audit_exports e), 0), c.sealed_at
          FROM fx.audit_chain c;
END
$$;

COMMENT ON FUNCTION audit_anchor()
    IS 'the head of the audit chain, to be stored outside of the database and given to fx.verify_audit_anchor later: number and hash of the newest seal (0 and zeros before the first), sealed rows that are still here, time of the seal';
