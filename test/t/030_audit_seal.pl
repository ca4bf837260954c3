# The chain of seals outlives what happens to a database: a dump restored into
# another cluster, where transactions have other numbers, two sealers at once
# among writers, a sealer that is killed, a prepared transaction, and millions of
# rows that are sealed already.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use FxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

sub make_node
{
	my ($name) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf('postgresql.conf', "fsync = off\njit = off\nclient_min_messages = warning\nmax_prepared_transactions = 5\ntimezone = 'Asia/Tokyo'\nautovacuum = off\nrestart_after_crash = on");
	$node->start;
	return $node;
}

my $node = make_node('main');
my $problems = q{SELECT kind, seq, detail FROM fx.verify_audit()};
my $all_sealed = q{SELECT count(*) = (SELECT count(*) FROM fx.audit_log), count(*) = max(seq), count(DISTINCT audit_id) = count(*) FROM fx.audit_seals};
$node->safe_psql('postgres', q{
	CREATE EXTENSION fxplatform CASCADE;
	INSERT INTO fx.users (id, email, username, password_hash)
	SELECT ('00000000-0000-4000-8000-0000000000a' || n)::uuid, n || '@example.com', 'u' || n, 'x' FROM generate_series(1, 4) AS n;
	CALL fx.seal_audit()});

# two sealers, in batches of a few rows, among four writers who roll some back
my $dir = PostgreSQL::Test::Utils::tempdir;
append_to_file("$dir/write.sql", q{
\set n random(1, 4)
\set what random(1, 10)
SELECT set_config('app.current_user_id', '00000000-0000-4000-8000-0000000000a' || :n, false);
BEGIN;
INSERT INTO fx.strategies (user_id, name, type) SELECT ('00000000-0000-4000-8000-0000000000a' || :n)::uuid, 'x', 'manual' FROM generate_series(1, :what);
\sleep 2 ms
\if :what < 3
ROLLBACK;
\else
UPDATE fx.strategies SET name = 'y' WHERE user_id = ('00000000-0000-4000-8000-0000000000a' || :n)::uuid AND ctid IN (SELECT ctid FROM fx.strategies WHERE name = 'x' LIMIT 3 FOR UPDATE SKIP LOCKED);
COMMIT;
\endif
});
append_to_file("$dir/seal.sql", "CALL fx.seal_audit(20);\n");
append_to_file("$dir/verify.sql", "SELECT 1 / (count(*) = 0)::integer FROM fx.verify_audit() WHERE kind <> 'unsealed';\n");
my @pgbench = ('pgbench', '-n', '-T', '6', '-h', $node->host, '-p', $node->port);
my @runs = map { [ @pgbench, @$_, 'postgres' ] }
  ([ '-c', '4', '-f', "$dir/write.sql" ], [ '-c', '2', '-f', "$dir/seal.sql" ], [ '-c', '1', '-f', "$dir/verify.sql" ]);
my @output = ('') x @runs;
my @handles = map { IPC::Run::start($runs[$_], '>&', \$output[$_]) } 0 .. $#runs;
$_->finish foreach @handles;
unlike($output[$_], qr/error|abort|fatal/i, "$runs[$_][-2]: no error") foreach 0 .. $#runs;
like($output[1], qr/actually processed: [1-9]\d/, 'sealed many times');
is($node->safe_psql('postgres', $problems . q{ WHERE kind <> 'unsealed'}), '', 'no problem but what is not sealed yet');
$node->safe_psql('postgres', 'CALL fx.seal_audit()');
is($node->safe_psql('postgres', $problems), '', 'no problem after the last sealing');
is($node->safe_psql('postgres', $all_sealed), 't|t|t', 'every row has one seal, without gaps');
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM (SELECT a.transaction_id < lag(a.transaction_id) OVER (ORDER BY s.seq) AS later
	FROM fx.audit_seals s JOIN fx.audit_log a ON a.id = s.audit_id) AS o WHERE later}), 't', 'some transactions were sealed behind younger ones');

# a prepared transaction waits as long as it likes, also across a restart
$node->safe_psql('postgres', q{
	BEGIN;
	INSERT INTO fx.strategies (user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000a1', 'prepared', 'manual');
	PREPARE TRANSACTION 'p'});
$node->safe_psql('postgres', q{INSERT INTO fx.strategies (user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000a2', 'later', 'manual')});
$node->safe_psql('postgres', 'CALL fx.seal_audit()');
$node->restart;
$node->safe_psql('postgres', q{INSERT INTO fx.strategies (user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000a2', 'latest', 'manual')});
$node->safe_psql('postgres', 'CALL fx.seal_audit()');
$node->safe_psql('postgres', q{COMMIT PREPARED 'p'});
like($node->safe_psql('postgres', $problems), qr/^unsealed\|\|1 rows/, 'a prepared transaction is not sealed before it is committed');
$node->safe_psql('postgres', 'CALL fx.seal_audit()');
is($node->safe_psql('postgres', $problems), '', 'but then');
is($node->safe_psql('postgres', q{SELECT string_agg(a.new_values ->> 'name', ' ' ORDER BY s.seq) FROM fx.audit_seals s JOIN fx.audit_log a ON a.id = s.audit_id
	WHERE a.new_values ->> 'name' IN ('prepared', 'later', 'latest')}), 'later latest prepared', 'behind what was there first');

# killed in the middle of a batch, and after some
$node->safe_psql('postgres', q{INSERT INTO fx.strategies (user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000a3', 'n', 'manual')}) foreach 1 .. 30;
my $sealed_before = $node->safe_psql('postgres', 'SELECT seq FROM fx.audit_anchor()');
$node->safe_psql('postgres', q{
	CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF (SELECT seq FROM fx.audit_chain) >= } . ($sealed_before + 10) . q{ THEN PERFORM pg_sleep(600); END IF;
		RETURN NULL; END $$;
	CREATE TRIGGER slow AFTER INSERT ON fx.audit_seals EXECUTE FUNCTION slow()});
my $sealer = $node->background_psql('postgres', on_error_stop => 0);
$sealer->query_until(qr/started/, "SELECT 'started';\nCALL fx.seal_audit(5);\n");
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'}) or die 'the sealer did not come there';
my $pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'});
kill 'KILL', $pid;
eval { $sealer->quit };
$node->poll_query_until('postgres', 'SELECT true');
$node->safe_psql('postgres', 'DROP FUNCTION slow() CASCADE');
is($node->safe_psql('postgres', 'SELECT seq FROM fx.audit_anchor()'), $sealed_before + 10, 'a killed sealer leaves whole batches');
like($node->safe_psql('postgres', $problems), qr/^unsealed\|\|20 rows are not sealed yet[^\n]*$/, 'and a chain that holds');
$node->safe_psql('postgres', 'CALL fx.seal_audit(5)');
is($node->safe_psql('postgres', $problems), '', 'the next one goes on');
is($node->safe_psql('postgres', $all_sealed), 't|t|t', 'with every row');

# an old part is removed and a few rows stay unsealed: dump and restore, here and
# in another cluster whose transactions are far behind
my ($seq, $hash) = split /\|/, $node->safe_psql('postgres', q{SELECT s.seq, s.chain_hash FROM fx.audit_seals s WHERE s.seq = 50});
my ($head_seq, $head_hash) = split /\|/, $node->safe_psql('postgres', q{SELECT seq, chain_hash FROM fx.audit_anchor()});
is($node->safe_psql('postgres', "SELECT fx.remove_exported_audit($seq, '$hash')"), '50', 'removed an old part');
$node->safe_psql('postgres', q{INSERT INTO fx.strategies (user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000a3', 'not sealed', 'manual')});
$node->safe_psql('postgres', q{DELETE FROM fx.users WHERE username = 'u4'});
$node->safe_psql('postgres', 'DO $$ BEGIN FOR i IN 1 .. 20000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/dump", 'postgres' ], 'dump');
my $other = make_node('other');
foreach my $target ([ $node, 'here' ], [ $other, 'elsewhere' ])
{
	my ($cluster, $name) = @$target;

	$cluster->safe_psql('postgres', 'CREATE DATABASE copy');
	$cluster->command_ok([ 'pg_restore', '-j2', '--exit-on-error', '-d', 'copy', "$dir/dump" ], "$name: restored");
	like($cluster->safe_psql('copy', $problems), qr/^unsealed\|\|\d+ rows are not sealed yet[^\n]*$/, "$name: the chain holds");
	is($cluster->safe_psql('copy', "SELECT * FROM fx.verify_audit_anchor($head_seq, '$head_hash')"), '', "$name: and has the head of before");
	is($cluster->safe_psql('copy', "SELECT * FROM fx.verify_audit_anchor($seq, '$hash')"), '', "$name: and what was removed");
	$cluster->safe_psql('copy', q{UPDATE fx.strategies SET name = 'copied' WHERE name = 'not sealed'});
	$cluster->safe_psql('copy', 'CALL fx.seal_audit()');
	is($cluster->safe_psql('copy', $problems), '', "$name: sealing goes on");
	is($cluster->safe_psql('copy', q{SELECT count(*) = (SELECT count(*) FROM fx.audit_log) FROM fx.audit_seals}), 't', "$name: with every row");
	$cluster->safe_psql('copy', q{UPDATE fx.strategies SET name = 'again' WHERE name = 'copied'});
	$cluster->safe_psql('copy', 'CALL fx.seal_audit()');
	is($cluster->safe_psql('copy', $problems), '', "$name: and on");
	is($cluster->safe_psql('copy', q{
		UPDATE fx.audit_log SET old_values = '{}' WHERE id = (SELECT audit_id FROM fx.audit_seals WHERE seq = 60);
		DELETE FROM fx.audit_log WHERE id = (SELECT audit_id FROM fx.audit_seals WHERE seq = 70);
		SELECT kind, seq FROM fx.verify_audit()}), "edited row|60\nmissing row|70", "$name: what is changed in the copy is found");
}
cmp_ok($node->safe_psql('postgres', 'SELECT pg_current_xact_id()'), '>', 3 * $other->safe_psql('postgres', 'SELECT pg_current_xact_id()'), 'transactions elsewhere are far behind');

# a restore that somebody seals in the middle of: nothing is made up
$other->safe_psql('postgres', 'CREATE DATABASE half');
$other->command_ok([ 'pg_restore', '--exit-on-error', '--section=pre-data', '-d', 'half', "$dir/dump" ], 'half: tables');
like(psql_output($other, 'half', 'CALL fx.seal_audit()'), qr/ERROR:  55000: the head of the audit chain is missing/, 'half: no sealing without a head');
$other->command_ok([ 'pg_restore', '--exit-on-error', '--data-only', '-n', 'fx', '-t', $_, '-d', 'half', "$dir/dump" ], "half: $_") foreach qw(audit_chain audit_exports audit_log);
like(psql_output($other, 'half', 'CALL fx.seal_audit()'), qr/ERROR:  55000: the seals up to $head_seq are missing/, 'half: no sealing without the seals');

# new rows are found without looking at those that are sealed
$node->safe_psql('postgres', q{INSERT INTO fx.strategies (user_id, name, type) SELECT '00000000-0000-4000-8000-0000000000a3', 'n', 'manual' FROM generate_series(1, 20000)});
$node->safe_psql('postgres', 'CALL fx.seal_audit()');
$node->safe_psql('postgres', 'VACUUM ANALYZE fx.audit_log, fx.audit_seals');
$node->safe_psql('postgres', q{INSERT INTO fx.strategies (user_id, name, type) SELECT '00000000-0000-4000-8000-0000000000a3', 'n', 'manual' FROM generate_series(1, 10)});
is($node->safe_psql('postgres', q{
	BEGIN;
	SELECT fx.seal_audit_batch();
	SELECT relname, seq_tup_read, idx_tup_fetch < 100 FROM pg_stat_xact_user_tables WHERE relname = 'audit_log'}), "10\naudit_log|0|t", 'ten new rows: no scan of the others');

# the extension goes and comes back
$node->safe_psql('postgres', q{DROP EXTENSION fxplatform CASCADE; CREATE EXTENSION fxplatform; CALL fx.seal_audit()});
is($node->safe_psql('postgres', $problems), '', 'the chain holds without the extension');
is($node->safe_psql('postgres', q{SELECT string_agg(tgrelid::regclass::text, ' ' ORDER BY tgrelid::regclass::text) FROM pg_trigger WHERE tgname LIKE 'audit%guard' AND tgenabled = 'A'}),
	'fx.audit_chain fx.audit_exports fx.audit_log fx.audit_seals', 'and its guards are back');

$other->stop;
$node->stop;
done_testing();
