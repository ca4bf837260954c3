-- The chain of seals over audit_log: which rows there are, in which order they
-- became known, and that nobody has changed them since.

CREATE TABLE audit_seals (
    seq BIGINT PRIMARY KEY,
    audit_id UUID NOT NULL UNIQUE,
    sealed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    row_hash BYTEA NOT NULL,
    chain_hash BYTEA NOT NULL
);

COMMENT ON TABLE audit_seals IS 'Seals of the rows of audit_log, each chained to the one before; made by fx.seal_audit, checked by fx.verify_audit';
COMMENT ON COLUMN audit_seals.seq IS 'Place in the chain, without gaps';
COMMENT ON COLUMN audit_seals.audit_id IS 'The sealed row; no foreign key, because its deletion is to be found, not prevented';
COMMENT ON COLUMN audit_seals.sealed_at IS 'When it was sealed, never before the seal that it follows';
COMMENT ON COLUMN audit_seals.row_hash IS 'fx.audit_row_hash of the row as it was sealed';
COMMENT ON COLUMN audit_seals.chain_hash IS 'fx.audit_chain_hash of the seal before and this one';

CREATE TABLE audit_chain (
    is_head BOOLEAN PRIMARY KEY DEFAULT true,
    seq BIGINT NOT NULL DEFAULT 0,
    chain_hash BYTEA NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    sealed_at TIMESTAMP WITH TIME ZONE,
    seen PG_SNAPSHOT,
    seen_in BIGINT,
    CONSTRAINT chk_audit_chain_single CHECK (is_head)
);

INSERT INTO audit_chain DEFAULT VALUES;

COMMENT ON TABLE audit_chain IS 'The head of the chain of seals, one row';
COMMENT ON COLUMN audit_chain.seq IS 'The newest seal, 0 before the first';
COMMENT ON COLUMN audit_chain.chain_hash IS 'Its chain hash';
COMMENT ON COLUMN audit_chain.seen IS 'Rows of the transactions that had ended in this snapshot are sealed; NULL: look for unsealed rows among all. It says where to look and is no part of the evidence';
COMMENT ON COLUMN audit_chain.seen_in IS 'System identifier of the cluster whose transactions those are';

CREATE TABLE audit_exports (
    seq BIGINT PRIMARY KEY,
    chain_hash BYTEA NOT NULL,
    row_count BIGINT NOT NULL,
    oldest TIMESTAMP WITH TIME ZONE NOT NULL,
    newest TIMESTAMP WITH TIME ZONE NOT NULL,
    removed_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    removed_by TEXT NOT NULL DEFAULT session_user
);

COMMENT ON TABLE audit_exports IS 'Anchors of the parts of the chain that were exported and removed; what is left of it follows the newest';
COMMENT ON COLUMN audit_exports.seq IS 'The last seal that was removed';
COMMENT ON COLUMN audit_exports.chain_hash IS 'Its chain hash';
COMMENT ON COLUMN audit_exports.oldest IS 'Earliest created_at of the removed rows';
COMMENT ON COLUMN audit_exports.newest IS 'Latest created_at of the removed rows';

-- New rows are found by their transaction, whatever the order of the commits.
CREATE INDEX idx_audit_log_transaction_id ON audit_log (transaction_id);

-- Everybody who reads the whole log may check it; nobody but the owner writes.
GRANT SELECT ON audit_seals, audit_chain, audit_exports TO fx_app, fx_reporting;
