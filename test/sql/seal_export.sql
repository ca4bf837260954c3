--
-- Old parts of the audit trail are exported and removed from its beginning, and
-- the rest still follows; nobody but the owner writes any of it
--
BEGIN;
SET LOCAL search_path = fx, public;
SET LOCAL client_min_messages = warning;
TRUNCATE audit_log, audit_seals, audit_exports;
UPDATE audit_chain SET seq = 0, chain_hash = decode(repeat('00', 32), 'hex'), sealed_at = NULL, seen = NULL, seen_in = NULL;
INSERT INTO users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a1@example.com', 'a1', 'x');
INSERT INTO strategies (id, user_id, name, type)
SELECT ('00000000-0000-4000-8000-0000000000b' || n)::uuid, '00000000-0000-4000-8000-0000000000a1', 's' || n, 'manual' FROM generate_series(1, 3) AS n;
SELECT clock_timestamp() AS march \gset
INSERT INTO strategies (id, user_id, name, type)
SELECT ('00000000-0000-4000-8000-0000000000b' || n)::uuid, '00000000-0000-4000-8000-0000000000a1', 's' || n, 'manual' FROM generate_series(4, 6) AS n;
SELECT count(*) AS not_sealed FROM export_audit('infinity');
CALL seal_audit();
SELECT seq AS anchor_seq, chain_hash AS anchor_hash FROM audit_anchor() \gset

-- the rows before a time, with all that it takes to check them elsewhere
SELECT count(*) AS older_than_all FROM export_audit('2020-01-01');
CREATE TEMPORARY TABLE copy AS SELECT * FROM export_audit(:'march');
SELECT seq, entry ->> 'resource_type' AS resource_type, right(entry ->> 'resource_id', 2) AS id, entry ->> 'chain_hash' = chain_hash::text AS hash FROM copy ORDER BY seq;
SELECT array_agg(key ORDER BY key) FROM copy, jsonb_object_keys(entry) AS key WHERE seq = 1;
SELECT c.seq, c.chain_hash = audit_chain_hash(coalesce(lag(c.chain_hash) OVER (ORDER BY c.seq), decode(repeat('00', 32), 'hex')), c.seq, r.id, (c.entry ->> 'sealed_at')::timestamptz,
           audit_row_hash(r.id, actor_id, action, resource_type, resource_id, old_values, new_values, changed_columns, ip_address, user_agent, session_user_name, application_name, statement_at, created_at)) AS fits
  FROM copy c, jsonb_populate_record(NULL::audit_log, c.entry) r ORDER BY c.seq;
SELECT max(seq) AS last_seq, (SELECT chain_hash FROM copy ORDER BY seq DESC LIMIT 1) AS last_hash FROM copy \gset

-- removed by who knows the hash of the last one, in steps if he likes
SAVEPOINT s;
SELECT remove_exported_audit(:last_seq, sha256(''));
ROLLBACK TO s;
\set VERBOSITY sqlstate
SELECT remove_exported_audit(:last_seq + 100, :'last_hash');
ROLLBACK TO s;
SELECT remove_exported_audit(NULL, :'last_hash');
ROLLBACK TO s;
SELECT remove_exported_audit(1, NULL);
ROLLBACK TO s;
SELECT * FROM export_audit(NULL);
ROLLBACK TO s;
\set VERBOSITY default
-- not what is no longer whole
UPDATE audit_log SET action = 'x' WHERE id = (SELECT audit_id FROM audit_seals WHERE seq = 2);
SELECT remove_exported_audit(:last_seq, :'last_hash');
ROLLBACK TO s;
SELECT remove_exported_audit(1, (SELECT chain_hash FROM copy WHERE seq = 1)) AS removed;
SELECT remove_exported_audit(:last_seq, :'last_hash') AS removed;
SELECT seq, chain_hash = :'last_hash' AS hash, row_count, oldest <= newest AND newest < :'march' AS before, removed_by = session_user AS by_me FROM audit_exports ORDER BY seq;
SELECT count(*) AS rows, min(created_at) >= :'march' AS later FROM audit_log;
SELECT * FROM verify_audit();
SELECT * FROM verify_audit('2020-01-01');
SELECT seq, row_count FROM audit_anchor();
-- anchors of all ages
SELECT * FROM verify_audit_anchor(:anchor_seq, :'anchor_hash');
SELECT * FROM verify_audit_anchor(:last_seq, :'last_hash');
SELECT * FROM verify_audit_anchor(:last_seq, sha256(''));
SELECT * FROM verify_audit_anchor(2, (SELECT chain_hash FROM copy WHERE seq = 2));
-- the chain goes on, and what is left is still watched
UPDATE strategies SET name = 'x' WHERE name = 's1';
CALL seal_audit();
SELECT * FROM verify_audit();
SELECT max(seq) AS seq, min(seq) AS oldest FROM audit_seals;
SAVEPOINT s;
DELETE FROM audit_seals WHERE seq = 5;
SELECT kind, seq, detail FROM verify_audit() WHERE kind = 'broken chain';
ROLLBACK TO s;
DELETE FROM audit_exports WHERE seq = 4;
SELECT kind, seq, detail FROM verify_audit();
ROLLBACK TO s;
-- rows of a removed part that are put back have no place in it
INSERT INTO audit_log SELECT r.* FROM copy c, jsonb_populate_record(NULL::audit_log, c.entry) r WHERE seq = 2;
UPDATE audit_log SET transaction_id = '3' WHERE id = (SELECT (entry ->> 'id')::uuid FROM copy WHERE seq = 2);
SELECT kind, seq FROM verify_audit();
ROLLBACK TO s;
-- all of it
SELECT remove_exported_audit(s.seq, s.chain_hash) AS removed FROM audit_seals s ORDER BY seq DESC LIMIT 1;
SELECT (SELECT count(*) FROM audit_log) AS rows, (SELECT count(*) FROM audit_seals) AS seals, seq, row_count FROM audit_anchor();
SELECT * FROM verify_audit();
UPDATE strategies SET name = 'y' WHERE name = 'x';
CALL seal_audit();
SELECT seq FROM audit_seals;
SELECT * FROM verify_audit();
ROLLBACK TO s;

-- rights: no role may write, and the guard refuses whom somebody has let
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN insufficient_privilege THEN
    RETURN concat(SQLSTATE, ' ', SQLERRM);
END
$$;
CREATE TEMPORARY TABLE attempt (n serial, statement text);
INSERT INTO attempt (statement)
SELECT format(s, t) FROM unnest('{audit_log,audit_seals,audit_chain,audit_exports}'::text[]) WITH ORDINALITY AS a (t, n),
       unnest(ARRAY['DELETE FROM fx.%1$I', 'TRUNCATE fx.%1$I', 'UPDATE fx.%1$I SET ' || CASE t WHEN 'audit_log' THEN 'action = ''x''' ELSE 'seq = 1' END, 'INSERT INTO fx.%1$I SELECT * FROM fx.%1$I LIMIT 0']) AS s
 ORDER BY a.n, s;
INSERT INTO attempt (statement) VALUES ('SELECT fx.seal_audit_batch()'), ('CALL fx.seal_audit()'), ('SELECT fx.export_audit(now())'), ('SELECT fx.remove_exported_audit(1, '''')'),
    ('SELECT count(*) FROM fx.verify_audit()'), ('SELECT * FROM fx.audit_anchor()');
GRANT SELECT ON attempt TO fx_app, fx_user, fx_reporting;
DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %s TO fx_app, fx_user, fx_reporting', pg_my_temp_schema()::regnamespace); END $$;
SET LOCAL ROLE fx_user;
SELECT statement, pg_temp.try(statement) FROM attempt WHERE statement !~ '^(DELETE|UPDATE|TRUNCATE|INSERT)' ORDER BY n;
SELECT DISTINCT regexp_replace(pg_temp.try(statement), 'audit_[a-z]*', 'T') FROM attempt WHERE statement ~ '^(DELETE|UPDATE|TRUNCATE|INSERT)';
SET LOCAL ROLE fx_app;
SELECT statement, pg_temp.try(statement) FROM attempt ORDER BY n;
SET LOCAL ROLE fx_reporting;
SELECT statement, pg_temp.try(statement) FROM attempt WHERE statement !~ '^(DELETE|UPDATE|TRUNCATE|INSERT)' ORDER BY n;
RESET ROLE;
GRANT ALL ON audit_log, audit_seals, audit_chain, audit_exports TO fx_app;
SET LOCAL ROLE fx_app;
SELECT statement, pg_temp.try(statement) FROM attempt WHERE statement ~ '^(DELETE|UPDATE|TRUNCATE|INSERT)' ORDER BY n;
RESET ROLE;
-- nor does a session that plays a replica pass it
SET LOCAL session_replication_role = replica;
SET LOCAL ROLE fx_app;
SELECT statement, pg_temp.try(statement) FROM attempt WHERE statement ~ '^(DELETE|TRUNCATE) .*(log|seals)' ORDER BY n;
RESET ROLE;
SET LOCAL session_replication_role = DEFAULT;
REVOKE ALL ON audit_log, audit_seals, audit_chain, audit_exports FROM fx_app;
GRANT SELECT ON audit_log TO fx_app;
-- a foreign key still clears user_id, whoever deletes the user
SET LOCAL app.current_user_id = '00000000-0000-4000-8000-0000000000a1';
UPDATE strategies SET name = 'z' WHERE name = 's2';
SELECT count(user_id) > 0 AS users FROM audit_log;
GRANT DELETE ON users TO fx_app;
SET LOCAL ROLE fx_app;
DELETE FROM fx.users;
RESET ROLE;
SELECT count(user_id) AS users, count(actor_id) > 0 AS actors FROM audit_log;
-- the owner
SELECT statement, pg_temp.try(statement) FROM attempt WHERE statement ~ '^UPDATE .*log' ORDER BY n;
SAVEPOINT s;
SELECT guard_audit();
ROLLBACK;
