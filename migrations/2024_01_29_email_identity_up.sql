-- One email, one user, whatever its letter case, and free again once its
-- user is deleted softly.  The plain index serves "email = ...", which the
-- unique constraint did before.

ALTER TABLE users DROP CONSTRAINT users_email_key;
CREATE UNIQUE INDEX users_email_key ON users (lower(email)) WHERE deleted_at IS NULL;
CREATE INDEX idx_users_email_lookup ON users (email);
