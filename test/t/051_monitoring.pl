# A login that is a member of pg_monitor and nothing else watches a server that
# archives, replicates and is maintained, and whatever happens to it.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use FxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1, has_archiving => 1, extra => ['--data-checksums']);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'pg_stat_statements, fxplatform'
pg_stat_statements.track = all
max_prepared_transactions = 2
max_worker_processes = 16
wal_keep_size = 0
});
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE fx');
$node->safe_psql('fx', 'CREATE EXTENSION fxplatform CASCADE');
fill($node, 'fx');
$node->safe_psql('fx', 'CREATE ROLE probe LOGIN IN ROLE pg_monitor; CREATE ROLE app LOGIN IN ROLE fx_app');

my @views = split /\n/, $node->safe_psql('fx', q{SELECT relname FROM pg_class WHERE relnamespace = 'fx'::regnamespace AND relkind = 'v' AND relname <> 'migration_status' ORDER BY relname COLLATE "C"});
is(scalar @views, 12, 'there are twelve views to watch');

sub sql { return $node->safe_psql('fx', $_[0]); }
sub probe
{
	my ($query, $db, $server) = @_;
	$server //= $node;
	return $server->safe_psql($db // 'fx', $query, connstr => $server->connstr($db // 'fx') . ' user=probe');
}
sub check
{
	my ($name, $bounds, $server) = @_;
	return probe(sprintf(q{SELECT status FROM fx.health_report('%s') WHERE "check" = '%s'}, $bounds // '{}', $name), 'fx', $server);
}
sub becomes
{
	my ($name, $status, $bounds, $test) = @_;
	my $query = sprintf(q{SELECT status = '%s' FROM fx.health_report('%s') WHERE "check" = '%s'}, $status, $bounds // '{}', $name);
	ok($node->poll_query_until('fx', $query), $test // "$name becomes $status");
	return;
}
sub message { return probe(qq{SELECT message FROM fx.health_report() WHERE "check" = '$_[0]'}); }
sub reads_everything
{
	my ($db, $server, $test) = @_;
	my $failed = join "\n", grep { $_ ne '' } map {
		my ($ret, $out, $err) = $server->psql($db, "SELECT string_agg(v::text, '') FROM fx.$_ v", connstr => $server->connstr($db) . ' user=probe');
		$ret == 0 ? '' : "$_: $err" } @views;
	is($failed, '', "$test: the probe reads every view");
	is(probe(q{SELECT string_agg(r ->> 'message', '; ') FROM jsonb_array_elements(fx.health() -> 'reasons') r WHERE r ->> 'status' = 'unknown'}, $db, $server), '', "$test: and every check can be made");
	return;
}

# what the probe may and others may not
reads_everything('fx', $node, 'primary');
isnt($node->psql('fx', "SELECT * FROM fx.$_", connstr => $node->connstr('fx') . ' user=app'), 0, "the application does not read $_") foreach grep { $_ ne 'partition_health' } @views;
isnt($node->psql('fx', 'SELECT fx.health()', connstr => $node->connstr('fx') . ' user=app'), 0, 'nor fx.health()');
isnt($node->psql('fx', 'SELECT count(*) FROM fx.trades', connstr => $node->connstr('fx') . ' user=probe'), 0, 'the probe reads no trades');

# statements of others, from whatever schema and version
is(probe('SELECT count(*) FROM fx.slow_queries'), '0', 'no pg_stat_statements in this database');
like(probe(q{SELECT n ->> 'message' FROM jsonb_array_elements(fx.health() -> 'notes') n WHERE n ->> 'topic' = 'slow_queries'}), qr/not installed in this database/, 'a note says so');
foreach my $version ('1.7', undef)
{
	my $name = defined $version ? "version $version" : 'the newest version';

	sql('CREATE SCHEMA IF NOT EXISTS "Some where"; GRANT USAGE ON SCHEMA "Some where" TO pg_monitor; CREATE EXTENSION pg_stat_statements SCHEMA "Some where"' . (defined $version ? " VERSION '$version'" : ''));
	sql(q{SELECT count(*) AS a_slow_one FROM fx.trades, pg_sleep(0.1)});
	is(probe(q{SELECT calls > 0, mean_exec_time >= 100, total_exec_time >= mean_exec_time, username = (SELECT rolname FROM pg_roles WHERE oid = 10) FROM fx.slow_queries WHERE query LIKE 'SELECT count(*) AS a_slow_one %'}), 't|t|t|t', "$name: the probe sees statements of others");
	is(probe(q{SELECT bool_and(before >= mean_exec_time) FROM (SELECT mean_exec_time, lag(mean_exec_time) OVER () AS before FROM fx.slow_queries) q}), 't', "$name: slowest first");
	$node->safe_psql('postgres', 'SELECT count(*) AS of_another_database FROM pg_class');
	is(sql(q{SELECT count(*) FROM "Some where".pg_stat_statements WHERE query LIKE '%AS of_another_database%'}), '1', "$name: one of another database");
	is(probe(q{SELECT count(*) FROM fx.slow_queries WHERE query LIKE '%AS of_another_database%'}), '0', "$name: is not shown");
	sql('DROP EXTENSION pg_stat_statements') if defined $version;
}
is(probe(q{SELECT count(*) FROM jsonb_array_elements(fx.health() -> 'notes') n WHERE n ->> 'topic' = 'slow_queries'}), '0', 'no note now');

# backups
like(message('backup_age'), qr/knows of no base backup/, 'no backup is known');
is(check('backup_age'), 'warning', 'which is a warning');
is(probe('SELECT finished_at IS NULL AND label IS NULL AND archive_mode = $$on$$ FROM fx.last_backup'), 't', 'nor does the view know one');
$node->backup('first');
is(probe(q{SELECT finished_at > now() - interval '5 minutes', age < '5 minutes', duration >= '0' AND duration < '5 minutes', label, history_file LIKE start_wal || '.%.backup' FROM fx.last_backup}),
	't|t|t|pg_basebackup base backup|t', 'a backup is known');
is(check('backup_age'), 'ok', 'and young');
is(check('backup_age', '{"backup_age": {"critical": 0}}'), 'critical', 'or too old');
ok($node->poll_query_until('fx', 'SELECT history_archived FROM fx.last_backup'), 'its history is archived');
is($node->psql('fx', q{SELECT pg_backup_start(repeat('x', 500) || chr(228), true); SELECT pg_backup_stop(false)}), 0, 'a backup with an odd label');
is(probe(q{SELECT length(label) > 500 AND label LIKE 'xxx%' FROM fx.last_backup}), 't', 'does no harm');

# archiving
is(check('failed_archiving'), 'ok', 'archiving works');
my $archive_command = sql('SHOW archive_command');
$node->safe_psql('postgres', q{ALTER SYSTEM SET archive_command = 'false'; SELECT pg_reload_conf()});
sql('CREATE TABLE public.w (x integer); SELECT pg_switch_wal()');
becomes('failed_archiving', 'warning');
like(message('failed_archiving'), qr/archiving [0-9A-F]{24}\S* failed at .*, the last that succeeded was /, 'says what');
is(check('unarchived_wal', '{"unarchived_wal": {"warning": 1}}'), 'warning', 'files wait');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET archive_command; SELECT pg_reload_conf()});
sql('INSERT INTO public.w VALUES (1); SELECT pg_switch_wal()');
becomes('failed_archiving', 'ok', undef, 'archiving works again');

# transactions
my $session = $node->background_psql('fx');
$session->query_safe(q{SET application_name = 'idle one'; BEGIN; SELECT pg_current_xact_id()});
sql(q{BEGIN; INSERT INTO public.w VALUES (2); PREPARE TRANSACTION 'left behind'});
is(probe(q{SELECT kind, name, xmin_age >= 0 AND age > '0' FROM fx.long_transactions WHERE name IN ('idle one', 'left behind') ORDER BY 2}),
	"idle in transaction|idle one|t\nprepared transaction|left behind|t", 'open transactions are shown');
foreach my $check (qw(long_transactions idle_in_transaction prepared_transactions xmin_age))
{
	is(check($check, qq({"$check": {"warning": 0, "critical": null}})), 'warning', "$check has a bound");
	is(check($check), 'ok', "$check is ok for now");
}
like(message('prepared_transactions'), qr/prepared transaction left behind/, 'the name is told');
like(message('long_transactions'), qr/idle in transaction pid \d+ of \S+ \(idle one\), since/, 'so is the session');
$node->safe_psql('postgres', 'CREATE DATABASE other');
sql(q{COMMIT PREPARED 'left behind'});
$session->quit;
is(message('prepared_transactions'), 'none', 'they are gone');

# slots
sql(q{SELECT pg_create_physical_replication_slot('unused', true)});
sql('INSERT INTO public.w VALUES (1); SELECT pg_switch_wal(); INSERT INTO public.w VALUES (1)');
is(check('retained_wal', '{"retained_wal": {"warning": 1000000}}'), 'warning', 'a slot that nobody reads keeps WAL');
like(message('retained_wal'), qr/nobody reads slot unused, which keeps .* of WAL/, 'which one');
is(probe(q{SELECT state, sync_state, retained_bytes > 1000000, wal_status FROM fx.replication_lag WHERE kind = 'slot'}), 'inactive|physical|t|reserved', 'the view shows it');
$node->safe_psql('postgres', q{ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'; SELECT pg_reload_conf()});
sql('INSERT INTO public.w VALUES (1); SELECT pg_switch_wal()') foreach 1 .. 4;
sql('CHECKPOINT');
becomes('lost_slots', 'warning');
like(message('lost_slots'), qr/of unused for one/, 'which one');
sql(q{SELECT pg_drop_replication_slot('unused')});
$node->safe_psql('postgres', q{ALTER SYSTEM RESET max_slot_wal_keep_size; SELECT pg_reload_conf()});
is(check('lost_slots'), 'ok', 'and it is dropped');

# the worker
is(check('overdue_maintenance'), 'skipped', 'the worker is not asked to maintain this database');
$node->safe_psql('postgres', q{ALTER SYSTEM SET fxplatform.databases = 'other, fx'; ALTER SYSTEM SET fxplatform.maintenance_interval = 1; SELECT pg_reload_conf()});
ok($node->poll_query_until('fx', q{SELECT count(*) > 8 FROM fx.maintenance_runs WHERE worker}), 'it does');
is(check('overdue_maintenance'), 'ok', 'and is in time');
is(check('unsealed_audit', '{"unsealed_audit": {"warning": 60}}'), 'ok', 'and seals');
my $by_hand = $node->background_psql('fx');
$by_hand->query_safe(q{BEGIN; SELECT fx.lock_work('maintain')});
becomes('overdue_maintenance', 'warning', '{"overdue_maintenance": {"warning": 2}}', 'rounds that are all skipped are none');
$by_hand->query_safe('COMMIT');
becomes('overdue_maintenance', 'ok', '{"overdue_maintenance": {"warning": 2}}', 'and it goes on');
$by_hand->quit;
$node->safe_psql('postgres', q{ALTER SYSTEM SET fxplatform.databases = 'other'; SELECT pg_reload_conf()});
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'fxplatform maintenance' AND datname = 'fx'});

# who has a table locked does not keep the probe
$session = $node->background_psql('fx');
$session->query_safe('BEGIN; LOCK TABLE fx.maintenance_runs IN ACCESS EXCLUSIVE MODE');
is(check('failed_maintenance'), 'unknown', 'what is locked cannot be checked');
is(probe(q{SELECT h ->> 'status', (h ->> 'took_ms')::numeric < 2000 FROM fx.health() h}), 'warning|t', 'which is a warning, in time');
$session->query_safe('COMMIT');
$session->quit;

# settings
$node->safe_psql('postgres', q{ALTER SYSTEM SET autovacuum = off; SELECT pg_reload_conf()});
becomes('autovacuum_off', 'warning');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET autovacuum; SELECT pg_reload_conf()});
becomes('autovacuum_off', 'ok');

# a standby
my $standby = PostgreSQL::Test::Cluster->new('standby');
$node->backup('second');
$standby->init_from_backup($node, 'second', has_streaming => 1);
$standby->append_conf('postgresql.conf', q{hot_standby_feedback = on
wal_receiver_status_interval = 1
fxplatform.databases = 'fx'});
is(check('replication_bytes'), 'skipped', 'no standby yet');
$standby->start;
$node->wait_for_catchup($standby);
reads_everything('fx', $standby, 'standby');
is(probe(q{SELECT (h ->> 'in_recovery')::boolean, h -> 'checks' -> 'overdue_maintenance' ->> 'status', h -> 'checks' -> 'backup_age' ->> 'status' FROM fx.health() h}, 'fx', $standby), 't|skipped|skipped', 'a standby says that it is one, and what does not concern it');
is(probe(q{SELECT kind, state FROM fx.replication_lag}, 'fx', $standby), 'standby|streaming', 'it streams');
is(probe(q{SELECT kind, state, sync_state FROM fx.replication_lag}), 'sender|streaming|async', 'the primary sends');
is(check('replication_bytes'), 'ok', 'without lag');
ok($node->poll_query_until('fx', q{SELECT count(*) = 1 FROM fx.long_transactions WHERE kind = 'standby feedback' AND xmin_age >= 0}), 'its snapshot is shown on the primary');
$standby->safe_psql('fx', 'SELECT pg_wal_replay_pause()');
sql('INSERT INTO public.w SELECT generate_series(1, 10000)');
becomes('replication_bytes', 'critical', '{"replication_bytes": {"critical": 100000}}', 'the primary notices that it lags');
$standby->poll_query_until('fx', 'SELECT lag_bytes > 100000 FROM fx.replication_lag');
is(check('replication_bytes', '{"replication_bytes": {"critical": 100000}}', $standby), 'critical', 'so does the standby');
is(check('replication_delay', '{"replication_delay": {"warning": 0}}', $standby), 'warning', 'and for how long');
$standby->safe_psql('fx', 'SELECT pg_wal_replay_resume()');
becomes('replication_bytes', 'ok', '{"replication_bytes": {"critical": 100000}}', 'it has caught up');
$node->stop('immediate');
is(probe(q{SELECT kind, state FROM fx.replication_lag}, 'fx', $standby), 'standby|not streaming', 'without a primary it does not stream')
  if $standby->poll_query_until('fx', 'SELECT count(*) = 0 FROM pg_stat_wal_receiver');
reads_everything('fx', $standby, 'standby alone');
$standby->stop;
$node->start;

# what doc/monitoring.md says: the probe with its exit codes, the queries of an exporter
my $page = slurp_file("$FindBin::Bin/../../doc/monitoring.md");
my ($line) = $page =~ /```sh\n(psql .*)\n```/ or die 'no probe in the document';
$line =~ s/-d trading/-d fx/;
sub exit_code
{
	my ($setup, $command) = @_;
	my ($out, $err) = ('', '');

	sql($setup) if defined $setup;
	local $ENV{PGHOST} = $node->host;
	local $ENV{PGPORT} = $node->port;
	local $ENV{PGUSER} = 'probe';
	IPC::Run::run([ 'sh', '-c', $command // $line ], '>', \$out, '2>', \$err);
	return ($? >> 8) . " $out";
}
like(exit_code(), qr/^0 OK all checks passed$/, 'the probe ends with 0');
like(exit_code('ALTER TABLE fx.trades ADD CONSTRAINT later CHECK (quantity < 1e9) NOT VALID'), qr/^1 WARNING 1 constraints hold for new rows only/, 'with 1');
like(exit_code('ALTER TABLE fx.trades DISABLE TRIGGER audit_trades_trigger'), qr/^2 CRITICAL 1 triggers do not fire.*; 1 constraints/, 'with 2');
sql('ALTER TABLE fx.trades ENABLE TRIGGER audit_trades_trigger; ALTER TABLE fx.trades DROP CONSTRAINT later');
like(exit_code(undef, $line =~ s/-d fx/-d nowhere/r), qr/^3 $/, 'and with 3 without an answer');
my @queries = $page =~ /^  query: "(.*)"$/mg;
is(scalar @queries, 3, 'three queries of an exporter');
is($node->psql('fx', $_ =~ s/\\"/"/gr, connstr => $node->connstr('fx') . ' user=probe'), 0, 'one runs') foreach @queries;

# a copy of the database has the rights, however it was made
my $dump = PostgreSQL::Test::Utils::tempdir . '/fx.sql';
PostgreSQL::Test::Utils::append_to_file($dump, dump_of($node, 'fx'));
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'copy', '-f', $dump ], 'restore a dump');
reads_everything('copy', $node, 'copy');
is(dump_of($node, 'copy'), dump_of($node, 'fx'), 'the same dump');
is(probe(q{SELECT string_agg(r ->> 'check', ', ') FROM jsonb_array_elements(fx.health() -> 'reasons') r}, 'copy'), '', 'and the copy is well');

# ... what an older release left, and what the extension left
foreach my $how ('an update', 'a drop')
{
	my $db = $how =~ s/\W/_/gr;

	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, 'SET client_min_messages = warning; ' . ($how eq 'an update'
			? q{CREATE EXTENSION fxplatform VERSION '1.0.0' CASCADE; ALTER EXTENSION fxplatform UPDATE}
			: q{CREATE EXTENSION fxplatform CASCADE; DROP EXTENSION fxplatform CASCADE; CREATE EXTENSION fxplatform}));
	reads_everything($db, $node, "after $how");
	is($node->safe_psql($db, q{SELECT count(*) FROM pg_init_privs i JOIN pg_class c ON i.classoid = 'pg_class'::regclass AND c.oid = i.objoid
		WHERE c.relnamespace = 'fx'::regnamespace AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = i.classoid AND d.objid = c.oid AND d.deptype = 'e')}), '0', "after $how: no grant is lost in a dump");
	like(dump_of($node, $db), qr/GRANT SELECT ON TABLE fx.partition_health TO pg_monitor/, "after $how: the dump has it");
}

# the library is not preloaded, though the configuration counts on it
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\nfxplatform.databases = 'fx'");
$node->safe_psql('postgres', 'ALTER SYSTEM RESET ALL');
$node->restart;
is(check('overdue_maintenance'), 'critical', 'no launcher is critical');
like(message('overdue_maintenance'), qr/is fxplatform in shared_preload_libraries\?/, 'and why');
is(probe('SELECT count(*) FROM fx.slow_queries'), '0', 'no statements without their library');
like(probe(q{SELECT n ->> 'message' FROM jsonb_array_elements(fx.health() -> 'notes') n WHERE n ->> 'topic' = 'slow_queries'}), qr/not in shared_preload_libraries/, 'a note says so');

# a page that is damaged
is(check('checksum_failures'), 'ok', 'no checksum failed');
sql('CHECKPOINT');
my $file = $node->data_dir . '/' . sql(q{SELECT pg_relation_filepath('public.w')});
$node->stop;
open(my $fh, '+<:raw', $file) or die "could not open $file: $!";
seek($fh, 4000, 0);
print $fh 'damaged' x 10;
close($fh);
$node->start;
isnt($node->psql('fx', 'SELECT count(*) FROM public.w'), 0, 'a damaged page is an error');
becomes('checksum_failures', 'critical');

$node->stop;
done_testing();
