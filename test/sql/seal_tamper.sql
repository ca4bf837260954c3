--
-- Whatever is done to the audit trail behind the back of its trigger is found,
-- and named; what is allowed is not
--
BEGIN;
SET LOCAL search_path = fx, public;
SET LOCAL client_min_messages = warning;
TRUNCATE audit_log, audit_seals, audit_exports;
UPDATE audit_chain SET seq = 0, chain_hash = decode(repeat('00', 32), 'hex'), sealed_at = NULL, seen = NULL, seen_in = NULL;
SELECT seq, chain_hash, row_count, sealed_at FROM audit_anchor();
SELECT count(*) AS problems FROM verify_audit();
CALL seal_audit();
SELECT seq, row_count, sealed_at FROM audit_anchor();

SET LOCAL app.current_user_id = '00000000-0000-4000-8000-0000000000a1';
INSERT INTO users (id, email, username, password_hash)
VALUES ('00000000-0000-4000-8000-0000000000a1', 'a1@example.com', 'a1', 'x'), ('00000000-0000-4000-8000-0000000000a2', 'a2@example.com', 'a2', 'x');
INSERT INTO strategies (id, user_id, name, type, config)
SELECT ('00000000-0000-4000-8000-0000000000b' || n)::uuid, '00000000-0000-4000-8000-0000000000a1', 's' || n, 'manual', '{"pair": "EUR/USD", "lots": 0.10}' FROM generate_series(1, 5) AS n;
UPDATE strategies SET name = name || 'x' WHERE name < 's3';
DELETE FROM strategies WHERE name = 's5';

-- everything is unsealed, as one problem at most; then nothing is one
CREATE VIEW pg_temp.problems AS
    SELECT p.kind, p.seq, (SELECT concat(a.action, ' ', right(a.resource_id, 2)) FROM audit_log a WHERE a.id = p.audit_id) AS entry,
           regexp_replace(p.detail, '20\d\d-.*[+]00', 'TIME') AS detail
      FROM verify_audit() p;
SELECT * FROM pg_temp.problems;
CALL seal_audit();
SHOW search_path;
SELECT * FROM pg_temp.problems;
SELECT seq, row_count, sealed_at BETWEEN now() AND clock_timestamp() AS sealed_now FROM audit_anchor();
SELECT seq, action, right(resource_id, 2) AS id, s.row_hash = a.row_hash AS own_hash,
       s.chain_hash = audit_chain_hash(coalesce(lag(s.chain_hash) OVER (ORDER BY seq), decode(repeat('00', 32), 'hex')), seq, audit_id, sealed_at, s.row_hash) AS chained,
       s.chain_hash = sha256(coalesce(lag(s.chain_hash) OVER (ORDER BY seq), decode(repeat('00', 32), 'hex')) || int8send(seq) || uuid_send(audit_id) || timestamptz_send(sealed_at) || s.row_hash) AS as_documented
  FROM audit_seals s JOIN audit_log a ON a.id = audit_id ORDER BY seq;
CALL seal_audit();
SELECT count(*) AS seals FROM audit_seals;
SELECT * FROM verify_audit_anchor((SELECT seq FROM audit_anchor()), (SELECT chain_hash FROM audit_anchor()));
SELECT * FROM verify_audit_anchor(0, decode(repeat('00', 32), 'hex'));
SELECT seq AS anchor_seq, chain_hash AS anchor_hash FROM audit_anchor() \gset

-- the foreign key clears user_id: outside of the hash
DELETE FROM users WHERE username = 'a1';
SELECT count(*) AS rows, count(user_id) AS users, count(actor_id) > 0 AS actors FROM audit_log WHERE resource_type = 'strategies' AND action = 'INSERT';
SELECT kind, seq FROM pg_temp.problems;
CALL seal_audit();
SELECT * FROM pg_temp.problems;
-- nor does it matter what the transactions are called
SAVEPOINT s;
UPDATE audit_log SET transaction_id = '99999999999';
SELECT * FROM pg_temp.problems;
ROLLBACK TO s;

-- edited rows, each column that is hashed
CREATE FUNCTION pg_temp.try(statement text) RETURNS SETOF pg_temp.problems LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        EXECUTE statement;
        RETURN QUERY SELECT * FROM pg_temp.problems;
        RAISE EXCEPTION USING ERRCODE = 'XX999';
    EXCEPTION WHEN SQLSTATE 'XX999' THEN
        NULL;
    END;
END
$$;
SELECT c.name, t.kind, t.seq, t.detail
  FROM (VALUES ('action = ''DELETE'''), ('actor_id = NULL'), ('actor_id = gen_random_uuid()'), ('resource_type = ''trades'''), ('resource_id = NULL'),
               ('old_values = ''{}'''), ('new_values = NULL'), ('new_values = new_values || ''{"name": "y"}'''), ('changed_columns = ''{}'''), ('ip_address = ''10.0.0.1'''),
               ('user_agent = '''''), ('session_user_name = ''nobody'''), ('application_name = application_name || '' '''), ('statement_at = statement_at + interval ''1 microsecond'''),
               ('created_at = created_at - interval ''1 microsecond''')) c (name),
       pg_temp.try('UPDATE audit_log SET ' || c.name || ' WHERE id = (SELECT audit_id FROM audit_seals WHERE seq = 3)') t;
SELECT t.* FROM pg_temp.try('UPDATE audit_log SET user_id = NULL, transaction_id = NULL') t;
-- with a hash that fits; with the hash alone
\set rehash 'row_hash = audit_row_hash(id, actor_id, action, resource_type, resource_id, old_values, new_values, changed_columns, ip_address, user_agent, session_user_name, application_name, statement_at, created_at)'
SAVEPOINT s;
UPDATE audit_log SET new_values = jsonb_set(new_values, '{name}', '"y"') WHERE id = (SELECT audit_id FROM audit_seals WHERE seq = 4);
UPDATE audit_log SET :rehash;
SELECT * FROM pg_temp.problems;
-- and a seal that fits
UPDATE audit_seals s SET row_hash = a.row_hash FROM audit_log a WHERE a.id = s.audit_id;
SELECT * FROM pg_temp.problems;
-- and chained again: broken behind it
UPDATE audit_seals s SET chain_hash = audit_chain_hash(b.chain_hash, s.seq, s.audit_id, s.sealed_at, s.row_hash) FROM audit_seals b WHERE s.seq = 4 AND b.seq = 3;
SELECT * FROM pg_temp.problems;
-- the whole chain made anew, and its head: only the anchor kept elsewhere tells
UPDATE audit_seals s SET chain_hash = n.chain_hash
  FROM (SELECT seq, chain_audit(decode(repeat('00', 32), 'hex'), seq, audit_id, sealed_at, row_hash) OVER (ORDER BY seq) AS chain_hash FROM audit_seals) n
 WHERE s.seq = n.seq;
SELECT * FROM pg_temp.problems;
UPDATE audit_chain c SET chain_hash = s.chain_hash FROM audit_seals s WHERE s.seq = c.seq;
SELECT * FROM pg_temp.problems;
SELECT * FROM verify_audit_anchor(:anchor_seq, :'anchor_hash');
ROLLBACK TO s;
SELECT t.* FROM pg_temp.try('UPDATE audit_log SET row_hash = sha256('''') WHERE id = (SELECT audit_id FROM audit_seals WHERE seq = 4)') t;
SELECT t.* FROM pg_temp.try('UPDATE audit_log SET row_hash = NULL WHERE id = (SELECT audit_id FROM audit_seals WHERE seq = 4)') t;

-- deleted rows, alone and with their seals, in the middle, first and last
SELECT t.* FROM pg_temp.try('DELETE FROM audit_log WHERE id IN (SELECT audit_id FROM audit_seals WHERE seq IN (1, 5, 6))') t;
SELECT t.* FROM pg_temp.try('WITH s AS (DELETE FROM audit_seals WHERE seq IN (5, 6) RETURNING audit_id) DELETE FROM audit_log WHERE id IN (SELECT audit_id FROM s)') t;
SELECT t.* FROM pg_temp.try('WITH s AS (DELETE FROM audit_seals WHERE seq IN (1, 4) RETURNING audit_id) DELETE FROM audit_log WHERE id IN (SELECT audit_id FROM s)') t;
SELECT t.* FROM pg_temp.try('WITH s AS (DELETE FROM audit_seals WHERE seq > 13 RETURNING audit_id) DELETE FROM audit_log WHERE id IN (SELECT audit_id FROM s)') t;
SELECT t.* FROM pg_temp.try('TRUNCATE audit_log, audit_seals') t;
SELECT kind, count(*) FROM pg_temp.try('TRUNCATE audit_log') GROUP BY 1;
-- the end cut off, head and all
SAVEPOINT s;
WITH s AS (DELETE FROM audit_seals WHERE seq > 6 RETURNING audit_id) DELETE FROM audit_log WHERE id IN (SELECT audit_id FROM s);
UPDATE audit_chain c SET seq = 6, chain_hash = s.chain_hash FROM audit_seals s WHERE s.seq = 6;
SELECT * FROM pg_temp.problems;
SELECT * FROM verify_audit_anchor(:anchor_seq, :'anchor_hash');
ROLLBACK TO s;

-- seals edited, moved, exchanged, removed, inserted
SELECT t.* FROM pg_temp.try('UPDATE audit_seals SET row_hash = sha256('''') WHERE seq = 4') t;
SELECT t.* FROM pg_temp.try('UPDATE audit_seals SET row_hash = '''' WHERE seq = 4') t;
SELECT t.* FROM pg_temp.try('UPDATE audit_seals SET chain_hash = sha256('''') WHERE seq = 4') t;
SELECT t.* FROM pg_temp.try('UPDATE audit_seals SET chain_hash = ''short'' WHERE seq = (SELECT max(seq) FROM audit_seals)') t;
SELECT t.* FROM pg_temp.try('UPDATE audit_seals SET sealed_at = sealed_at - interval ''1 day'' WHERE seq = 4') t;
SELECT t.* FROM pg_temp.try('UPDATE audit_seals SET audit_id = gen_random_uuid() WHERE seq = 4') t;
SELECT t.* FROM pg_temp.try('UPDATE audit_seals SET seq = CASE seq WHEN 4 THEN -7 ELSE -4 END WHERE seq IN (4, 7); UPDATE audit_seals SET seq = -seq WHERE seq < 0') t;
SELECT t.* FROM pg_temp.try('DELETE FROM audit_seals WHERE seq = 4') t;
SELECT t.* FROM pg_temp.try('UPDATE audit_log SET transaction_id = ''3''; UPDATE audit_chain SET seen = ''9:9:''; DELETE FROM audit_seals WHERE seq BETWEEN 4 AND 6') t;
SELECT t.* FROM pg_temp.try('DELETE FROM audit_seals WHERE seq = 4; UPDATE audit_seals SET seq = -seq WHERE seq > 4; UPDATE audit_seals SET seq = -seq - 1 WHERE seq < 0') t;
SELECT t.* FROM pg_temp.try('INSERT INTO audit_seals SELECT seq + 1, gen_random_uuid(), sealed_at, row_hash, chain_hash FROM audit_seals ORDER BY seq DESC LIMIT 1') t;
SELECT t.* FROM pg_temp.try('INSERT INTO audit_seals SELECT 0, gen_random_uuid(), sealed_at, row_hash, chain_hash FROM audit_seals ORDER BY seq LIMIT 1') t;
SELECT t.* FROM pg_temp.try('UPDATE audit_chain SET chain_hash = sha256('''')') t;
SELECT t.* FROM pg_temp.try('UPDATE audit_chain SET seq = 3') t;
SELECT t.* FROM pg_temp.try('DELETE FROM audit_chain') t;

-- rows that the trigger did not write: sealed or not, with a hash or without,
-- or in the name of a transaction that is over
\set forge 'INSERT INTO audit_log (action, resource_type, resource_id, new_values, transaction_id) VALUES (''INSERT'', ''strategies'', ''f1'', ''{}'''
SELECT t.* FROM pg_temp.try(:'forge' || ', pg_current_xact_id())') t;
SELECT t.* FROM pg_temp.try(:'forge' || ', pg_current_xact_id()); CALL seal_audit()') t;
SAVEPOINT s;
:forge , NULL), ('INSERT', 'strategies', 'f2', '{}', pg_current_xact_id()), ('INSERT', 'strategies', 'f3', '{}', '3'), ('INSERT', 'strategies', 'f4', '{}', '99999999999');
UPDATE audit_log SET :rehash WHERE row_hash IS NULL;
SELECT * FROM pg_temp.problems;
CALL seal_audit();
SELECT * FROM pg_temp.problems;
CALL seal_audit(recheck => true);
SELECT * FROM pg_temp.problems;
ROLLBACK TO s;

-- since: what was sealed from then on, the rest is taken for granted
SELECT clock_timestamp() AS later \gset
INSERT INTO strategies (id, user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000b6', '00000000-0000-4000-8000-0000000000a2', 's6', 'manual');
CALL seal_audit();
SAVEPOINT s;
DELETE FROM audit_log WHERE id IN (SELECT audit_id FROM audit_seals WHERE seq = 2);
UPDATE audit_log SET new_values = '{}' WHERE right(resource_id, 2) = 'b6';
SELECT kind, seq, detail FROM verify_audit();
SELECT kind, seq, detail FROM verify_audit(:'later');
SELECT kind, seq, detail FROM verify_audit('infinity');
SELECT kind, seq, detail FROM verify_audit(clock_timestamp());
SELECT count(*) FROM verify_audit('-infinity');
DELETE FROM audit_seals WHERE sealed_at < :'later' AND seq > 3;
SELECT kind, seq, detail FROM verify_audit(:'later');
ROLLBACK TO s;

-- anchors that are none
SELECT * FROM verify_audit_anchor(:anchor_seq, sha256(''));
SELECT * FROM verify_audit_anchor(:anchor_seq + 100, :'anchor_hash');
SELECT * FROM verify_audit_anchor(-1, :'anchor_hash');
\set VERBOSITY sqlstate
SELECT * FROM verify_audit_anchor(NULL, '');
ROLLBACK TO s;
SELECT * FROM verify_audit_anchor(1, NULL);
ROLLBACK TO s;
SELECT chain_audit(NULL, 1, gen_random_uuid(), now(), '');
ROLLBACK TO s;
SELECT seal_audit_batch(0);
ROLLBACK TO s;
SELECT seal_audit_batch(NULL);
ROLLBACK TO s;
SELECT seal_audit_batch(recheck => NULL);
ROLLBACK TO s;
-- no sealing while a dump is being restored
DELETE FROM audit_chain;
CALL seal_audit();
ROLLBACK TO s;
TRUNCATE audit_seals;
CALL seal_audit();
ROLLBACK TO s;
-- more than a batch cannot be sealed in a transaction
INSERT INTO strategies (user_id, name, type) SELECT '00000000-0000-4000-8000-0000000000a2', 't' || n, 'manual' FROM generate_series(1, 3) n;
CALL seal_audit(2);
ROLLBACK;
\set VERBOSITY default
