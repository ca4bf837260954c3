--
-- Sealing in batches that commit, and what others have planted in its way
--
\set reset 'TRUNCATE fx.audit_log, fx.audit_seals, fx.audit_exports; UPDATE fx.audit_chain SET seq = 0, chain_hash = decode(repeat(''00'', 32), ''hex''), sealed_at = NULL, seen = NULL, seen_in = NULL;'
SET client_min_messages = warning;
:reset
INSERT INTO fx.users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a1@example.com', 'a1', 'x');
-- without a snapshot to start from everything is one batch
INSERT INTO fx.strategies (user_id, name, type) SELECT '00000000-0000-4000-8000-0000000000a1', 'old' || n, 'manual' FROM generate_series(1, 4) n;
BEGIN;
SELECT fx.seal_audit_batch(2) AS sealed;
COMMIT;
-- later whole transactions, at least as many rows as asked for
INSERT INTO fx.strategies (user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000a1', 'one', 'manual');
INSERT INTO fx.strategies (user_id, name, type) SELECT '00000000-0000-4000-8000-0000000000a1', 'three', 'manual' FROM generate_series(1, 3);
INSERT INTO fx.strategies (user_id, name, type) SELECT '00000000-0000-4000-8000-0000000000a1', 'two', 'manual' FROM generate_series(1, 2);
INSERT INTO fx.strategies (user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000a1', 'last', 'manual');
SELECT fx.seal_audit_batch(2) AS sealed, (SELECT count(DISTINCT sealed_at) FROM fx.audit_seals) AS batches_before;
SELECT fx.seal_audit_batch(2) AS sealed;
SELECT fx.seal_audit_batch(2) AS sealed;
SELECT fx.seal_audit_batch(2) AS sealed;
SELECT * FROM fx.verify_audit();
-- in the order of their times, each batch behind the one before
SELECT s.seq, a.new_values ->> 'name' AS name, dense_rank() OVER (ORDER BY s.sealed_at) AS batch
  FROM fx.audit_seals s JOIN fx.audit_log a ON a.id = s.audit_id WHERE a.new_values ? 'name' ORDER BY s.seq;
SELECT count(*) AS out_of_order FROM (SELECT s.sealed_at < lag(s.sealed_at) OVER (ORDER BY s.seq) OR s.sealed_at < a.created_at AS wrong
                                        FROM fx.audit_seals s JOIN fx.audit_log a ON a.id = s.audit_id) o WHERE wrong;
-- nothing left, nothing done; an aborted transaction leaves nothing
SELECT fx.seal_audit_batch() AS sealed;
BEGIN;
UPDATE fx.strategies SET name = 'gone';
ROLLBACK;
CALL fx.seal_audit(1);
SELECT seq FROM fx.audit_anchor();
-- a clock that went back does not take the seals along
UPDATE fx.audit_chain SET sealed_at = '2999-01-01 00:00+00';
UPDATE fx.strategies SET name = 'later' WHERE name = 'last';
CALL fx.seal_audit();
SELECT sealed_at = '2999-01-01 00:00+00' AS not_before FROM fx.audit_seals ORDER BY seq DESC LIMIT 1;
-- a table of one row
\set VERBOSITY sqlstate
INSERT INTO fx.audit_chain (is_head) VALUES (true);
INSERT INTO fx.audit_chain (is_head) VALUES (false);
\set VERBOSITY default

-- planted names are not taken
UPDATE fx.strategies SET name = 'x' WHERE name = 'one';
CREATE TEMPORARY TABLE audit_log (LIKE fx.audit_log);
CREATE TEMPORARY TABLE audit_seals (LIKE fx.audit_seals);
CREATE TEMPORARY TABLE audit_chain (LIKE fx.audit_chain);
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.no(bigint, integer) RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''planted''; END';
CREATE OPERATOR hostile.< (LEFTARG = bigint, RIGHTARG = integer, FUNCTION = hostile.no);
CREATE FUNCTION hostile.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''planted''; END';
CREATE FUNCTION hostile.current_setting(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''planted''; END';
CREATE FUNCTION hostile.audit_row_hash(uuid, uuid, text, text, text, jsonb, jsonb, text[], inet, text, text, text, timestamptz, timestamptz) RETURNS bytea LANGUAGE sql AS 'SELECT ''''::bytea';
SET search_path = hostile, pg_temp, pg_catalog;
CALL fx.seal_audit(1);
SELECT * FROM fx.verify_audit();
SELECT pg_catalog.count(*) AS versions FROM fx.audit_log l, fx.history(l.resource_type, l.resource_id) h WHERE l.new_values ->> 'name' OPERATOR(pg_catalog.=) 'x';
SHOW search_path;
RESET search_path;
SELECT (SELECT count(*) FROM pg_temp.audit_log) + (SELECT count(*) FROM pg_temp.audit_seals) + (SELECT count(*) FROM pg_temp.audit_chain) AS diverted,
       (SELECT count(*) FROM fx.audit_seals) = (SELECT count(*) FROM fx.audit_log) AS sealed;
DROP TABLE pg_temp.audit_log, pg_temp.audit_seals, pg_temp.audit_chain;
DROP SCHEMA hostile CASCADE;
SELECT fx.chain_audit_accum(NULL, NULL, NULL, NULL, NULL, NULL);
DELETE FROM fx.users;
:reset
