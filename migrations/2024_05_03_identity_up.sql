-- Sessions, API keys, second factors, and the books of encrypted columns.

-- Room for the ciphertext of a second factor's secret.
ALTER TABLE users ALTER COLUMN two_factor_secret TYPE VARCHAR(255);

COMMENT ON COLUMN users.password_hash IS 'Hash made by crypt() of pgcrypto (bf), never a password; fx.set_password writes it';
COMMENT ON COLUMN users.two_factor_secret IS 'Encrypted by fx.enable_two_factor, context fx.users.two_factor_secret:id; never in clear';
COMMENT ON COLUMN users.api_key_hash IS 'bcrypt hash of the newest key in fx.api_keys that is not revoked, never a key';

CREATE TABLE sessions (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token_hash BYTEA NOT NULL
        CONSTRAINT chk_sessions_token_hash CHECK (octet_length(token_hash) = 32),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    last_used_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ends_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    ip_address INET,
    user_agent TEXT,
    CONSTRAINT chk_sessions_expires_at CHECK (expires_at <= ends_at)
);

CREATE UNIQUE INDEX idx_sessions_token_hash ON sessions (token_hash);
CREATE INDEX idx_sessions_user_id ON sessions (user_id);

COMMENT ON TABLE sessions IS 'Sessions of signed-in users, made by fx.sign_in';
COMMENT ON COLUMN sessions.token_hash IS 'sha256 of the token, which is stored nowhere';
COMMENT ON COLUMN sessions.last_used_at IS 'The last fx.use_session, to the minute';
COMMENT ON COLUMN sessions.expires_at IS 'Moved ahead by each fx.use_session, up to ends_at';
COMMENT ON COLUMN sessions.ends_at IS 'End of the session however much it is used';
COMMENT ON COLUMN sessions.revoked_at IS 'When it was signed out, NULL while not';
COMMENT ON COLUMN sessions.ip_address IS 'From where it was signed in (fx.client_address)';
COMMENT ON COLUMN sessions.user_agent IS 'Setting app.user_agent at sign-in';

CREATE TABLE sign_in_failures (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login_hash BYTEA NOT NULL,
    ip_address INET,
    failed_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX idx_sign_in_failures_login ON sign_in_failures (login_hash, failed_at);
CREATE INDEX idx_sign_in_failures_ip_address ON sign_in_failures (ip_address, failed_at)
    WHERE ip_address IS NOT NULL;
CREATE INDEX idx_sign_in_failures_failed_at ON sign_in_failures (failed_at);

COMMENT ON TABLE sign_in_failures IS 'Failed sign-ins of the last day, whether the login exists or not; a sign-in that succeeds removes those of its login';
COMMENT ON COLUMN sign_in_failures.login_hash IS 'sha256 of the login in lower case, or of what else was tried in vain';

-- Failed attempts are counted in shared memory too, where no rollback reaches
-- them.  Its handle is kept in a sequence for the same reason.
CREATE SEQUENCE sign_in_memory;

COMMENT ON SEQUENCE sign_in_memory IS 'Handle of the shared memory that counts failed sign-ins; it outlives no restart, and a wrong one is noticed';

CREATE TABLE email_verifications (
    token_hash BYTEA PRIMARY KEY
        CONSTRAINT chk_email_verifications_token_hash CHECK (octet_length(token_hash) = 32),
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    email VARCHAR(255) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL
);

CREATE INDEX idx_email_verifications_user_id ON email_verifications (user_id);

COMMENT ON TABLE email_verifications IS 'Requests of fx.request_email_verification that are open, at most one a user';
COMMENT ON COLUMN email_verifications.token_hash IS 'sha256 of the token, which is stored nowhere';
COMMENT ON COLUMN email_verifications.email IS 'The address that is to be verified; another one since makes the token void';

CREATE TABLE api_keys (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name VARCHAR(100) NOT NULL,
    prefix VARCHAR(20) NOT NULL,
    key_hash BYTEA NOT NULL
        CONSTRAINT chk_api_keys_key_hash CHECK (octet_length(key_hash) = 32),
    scopes TEXT[] NOT NULL DEFAULT '{}',
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT clock_timestamp(),
    expires_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT chk_api_keys_scopes CHECK (array_position(scopes, NULL) IS NULL)
);

CREATE UNIQUE INDEX idx_api_keys_prefix ON api_keys (prefix);
CREATE INDEX idx_api_keys_user_id ON api_keys (user_id);

COMMENT ON TABLE api_keys IS 'Keys made by fx.issue_api_key';
COMMENT ON COLUMN api_keys.prefix IS 'First part of the key, by which it is found and told apart';
COMMENT ON COLUMN api_keys.key_hash IS 'sha256 of the whole key: its 256 random bits need no slow hash';
COMMENT ON COLUMN api_keys.scopes IS 'What the key may be used for, in words of the application';
COMMENT ON COLUMN api_keys.expires_at IS 'NULL: until it is revoked';
COMMENT ON COLUMN api_keys.last_used_at IS 'The last fx.verify_api_key that accepted it, to the minute';

CREATE TABLE two_factor (
    user_id UUID PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    requested_at TIMESTAMP WITH TIME ZONE,
    confirmed_at TIMESTAMP WITH TIME ZONE,
    last_step BIGINT NOT NULL DEFAULT -1
);

-- Who has a secret already.
INSERT INTO two_factor (user_id)
SELECT id FROM users WHERE two_factor_secret IS NOT NULL;

COMMENT ON TABLE two_factor IS 'State of the second factor of each user who has a two_factor_secret';
COMMENT ON COLUMN two_factor.requested_at IS 'When fx.enable_two_factor made the secret, NULL when it is older than the platform''s functions';
COMMENT ON COLUMN two_factor.confirmed_at IS 'When the first code was right; users.two_factor_enabled is set then';
COMMENT ON COLUMN two_factor.last_step IS 'Number of the time step of the last code that was accepted; neither it nor an earlier one is accepted again';

CREATE TABLE encrypted_columns (
    relation TEXT NOT NULL,
    column_name TEXT NOT NULL,
    key_column TEXT NOT NULL,
    context TEXT NOT NULL,
    key_version INTEGER,
    rotated_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (relation, column_name)
);

INSERT INTO encrypted_columns (relation, column_name, key_column, context)
VALUES ('fx.users', 'two_factor_secret', 'id', 'fx.users.two_factor_secret');

COMMENT ON TABLE encrypted_columns IS 'Columns whose values fx.rotate_encryption_keys encrypts anew, added by fx.register_encrypted_column';
COMMENT ON COLUMN encrypted_columns.key_column IS 'Column that identifies the row';
COMMENT ON COLUMN encrypted_columns.context IS 'The context of a value is this, a colon and the text of its key_column';
COMMENT ON COLUMN encrypted_columns.key_version IS 'Newest key when the column was last encrypted anew, NULL before';

-- Users see and end their own sessions and keys; hashes are for the functions
-- alone, and so are failures, tokens and the state of second factors.
GRANT SELECT (id, user_id, created_at, last_used_at, expires_at, ends_at, revoked_at, ip_address, user_agent)
    ON sessions TO fx_app, fx_user;
GRANT SELECT (id, user_id, created_at, last_used_at, expires_at, ends_at, revoked_at)
    ON sessions TO fx_reporting;
GRANT SELECT (id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at)
    ON api_keys TO fx_app, fx_user, fx_reporting;
GRANT SELECT ON encrypted_columns TO fx_app;

ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
