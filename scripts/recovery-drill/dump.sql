-- dump.sql
--	In one snapshot, while the load runs: a picture, and dumps in both formats.
--
-- Psql variables: picture, a file; command, which finds the snapshot in SNAPSHOT.
\set ON_ERROR_STOP on
\set QUIET on
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pg_export_snapshot() AS snapshot \gset
\setenv SNAPSHOT :snapshot
\o :picture
\ir picture.sql
\o
\setenv COMMAND :command
\! sh -c "$COMMAND"
COMMIT;
