-- What an entry of the audit log says besides the columns of the first
-- migration, and the indexes that earn their cost on every entry.

ALTER TABLE audit_log
    ADD COLUMN actor_id UUID,
    ADD COLUMN changed_columns TEXT[],
    ADD COLUMN session_user_name TEXT,
    ADD COLUMN application_name TEXT,
    ADD COLUMN transaction_id XID8,
    ADD COLUMN statement_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN row_hash BYTEA
        CONSTRAINT chk_audit_log_row_hash CHECK (octet_length(row_hash) = 32);

-- Names and ids are compared byte by byte, whatever the database's language:
-- the index of them is the dearest of all.
ALTER TABLE audit_log
    ALTER COLUMN resource_type TYPE VARCHAR(50) COLLATE "C",
    ALTER COLUMN resource_id TYPE VARCHAR(100) COLLATE "C";

-- lz4 costs a fraction of the default's time; a server built without it keeps
-- the default.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_settings
                WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        ALTER TABLE audit_log
            ALTER COLUMN old_values SET COMPRESSION lz4,
            ALTER COLUMN new_values SET COMPRESSION lz4;
    END IF;
END
$$;

UPDATE audit_log
   SET actor_id = user_id,
       row_hash = audit_row_hash(id, user_id, action, resource_type, resource_id,
                                 old_values, new_values, NULL, ip_address, user_agent,
                                 NULL, NULL, NULL, created_at);

-- Four kinds of action tell nothing apart that a time or a resource does not.
-- What is left: audit_log_pkey (ids of entries ascend with time, which finds
-- the latest), idx_audit_log_resource (the history of a row; since 2024_01_27
-- also in place of idx_audit_log_resource_type) and idx_audit_log_user_id (the
-- deletion of a user, and row security).
DROP INDEX idx_audit_log_action;

-- Entries lie in the order of their time, so that bounds of each part of the
-- table find a period, for next to nothing an entry.
DROP INDEX idx_audit_log_created_at;
CREATE INDEX idx_audit_log_created_at ON audit_log USING BRIN (created_at);

COMMENT ON COLUMN audit_log.id IS 'Ascends with created_at in entries of the trigger (uuid version 7)';
COMMENT ON COLUMN audit_log.user_id IS 'Who did it, as a reference: actor_id where that user exists, NULL when he does not or was deleted since';
COMMENT ON COLUMN audit_log.actor_id IS 'Who did it: fx.current_user_id(), kept when the user goes; NULL when the session acted for no user';
COMMENT ON COLUMN audit_log.resource_type IS 'Name of the table, of the whole where a partition was written; with its schema outside schema fx (fx.audit_resource_type)';
COMMENT ON COLUMN audit_log.resource_id IS 'Primary key of the row as text, a JSON array where it has several columns; without one the column id; NULL without either and for TRUNCATE';
COMMENT ON COLUMN audit_log.old_values IS 'DELETE: the row; UPDATE: the old values of changed_columns; otherwise NULL. Values are those of to_jsonb, in UTC; secrets as in new_values';
COMMENT ON COLUMN audit_log.new_values IS 'INSERT and UPDATE: the row. A secret that is not null is "[redacted]", and the member "redacted_hashes" has a keyed hash of it by column: equal hashes in a column, equal secrets';
COMMENT ON COLUMN audit_log.changed_columns IS 'UPDATE: the columns whose value changed, in the order of the table; otherwise NULL';
COMMENT ON COLUMN audit_log.ip_address IS 'Setting app.ip_address of logins with the rights of fx_app, NULL when it is no address; the address of the connection of all others, NULL on a local socket';
COMMENT ON COLUMN audit_log.user_agent IS 'Setting app.user_agent, the first 1,024 bytes of it';
COMMENT ON COLUMN audit_log.session_user_name IS 'Role that connected';
COMMENT ON COLUMN audit_log.application_name IS 'Setting application_name of the session, NULL when empty';
COMMENT ON COLUMN audit_log.transaction_id IS 'Top-level transaction; has no meaning in another cluster';
COMMENT ON COLUMN audit_log.statement_at IS 'When the client''s statement began';
COMMENT ON COLUMN audit_log.row_hash IS 'fx.audit_row_hash of the entry: sha256 over all columns but user_id, transaction_id and itself';

-- The key of the hashes that stand for redacted values.  It is random, part
-- of every dump, and read by the owner only: who has it can try out secrets.
CREATE TABLE audit_key (
    id BOOLEAN PRIMARY KEY DEFAULT true CONSTRAINT chk_audit_key_id CHECK (id),
    key BYTEA NOT NULL CONSTRAINT chk_audit_key_length CHECK (octet_length(key) >= 32)
);

INSERT INTO audit_key (key)
VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

COMMENT ON TABLE audit_key IS 'One row: the key of the hashes of redacted values in fx.audit_log; without it they are left out';
