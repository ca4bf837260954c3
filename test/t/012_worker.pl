# The background worker maintains the databases that it is told to, and nothing
# of what happens to them stops it.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fxplatform'
fxplatform.databases = 'fx, "Gone, perhaps", bare, locked'
fxplatform.maintenance_interval = 1
max_worker_processes = 16
});
$node->start;

my $m = q{date_trunc('month', now(), 'UTC')};
my $insert = 'INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)';

sub sql { return $node->safe_psql('fx', $_[0]); }
sub becomes
{
	my ($query, $name, $db) = @_;
	ok($node->poll_query_until($db // 'fx', "SELECT ($query)"), $name);
	return;
}
sub partition { return sql("SELECT 'market_data_' || to_char(($m + interval '$_[0] months') AT TIME ZONE 'UTC', 'YYYY_MM')"); }
sub expired_month
{
	my ($months) = @_;
	sql(qq{SELECT fx.create_market_data_partitions(($m + interval '$months months')::date, ($m + interval '@{[$months + 1]} months')::date);
		$insert VALUES ('EURUSD', '1m', $m + interval '$months months 12 hours', 1, 1, 1, 1, 1)});
	return partition($months);
}
# rounds that have ended since now
sub after_a_round
{
	my $id = sql('SELECT coalesce(max(id), 0) FROM fx.maintenance_runs');
	becomes("SELECT count(*) >= 2 FROM fx.maintenance_runs WHERE id > $id AND step = 'cleanup' AND worker", 'another round ends');
	return;
}

# before the extension is there
$node->safe_psql('postgres', "CREATE DATABASE $_") foreach qw(fx bare);
$node->safe_psql('postgres', 'CREATE DATABASE locked ALLOW_CONNECTIONS false');
ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'fxplatform launcher'}), 'the launcher runs');
$node->wait_for_log(qr/database "bare" cannot be maintained\n.*Extension "fxplatform" is not installed/);
$node->wait_for_log(qr/database "Gone, perhaps" cannot be maintained\n.*It does not exist/);
$node->wait_for_log(qr/database "locked" cannot be maintained\n.*It does not allow connections/);

# all steps
$node->safe_psql('fx', 'CREATE EXTENSION fxplatform CASCADE');
becomes(q{SELECT count(DISTINCT step) = 8 FROM fx.maintenance_runs WHERE outcome = 'ok' AND worker AND finished_at >= started_at}, 'every step is run and recorded');
sql('DROP TABLE fx.' . partition(3));
becomes(q{SELECT months_ahead = 3 AND last_outcome = 'ok' FROM fx.partition_health WHERE "table" = 'market_data'}, 'partitions are made ahead');
my $old = expired_month(-9);
sql("$insert SELECT 'EURUSD', f, $m + n * interval '1 month' + interval '13 hours', 1, 1, 1, 1, 1 FROM (VALUES ('1m', -9), ('1m', -1), ('1h', -1)) v (f, n)");
becomes('SELECT count(*) = 0 FROM fx.candle_changes', 'roll-ups are refreshed');
is(sql('SELECT count(*) FROM fx.candle_rollups'), '5', 'all of them');
sql("INSERT INTO fx.retention_policies VALUES ('market_data', '1m', '100 days')");
becomes("SELECT to_regclass('fx.$old') IS NULL", 'an expired month is dropped');
is(sql("SELECT string_agg(regexp_replace(detail, '$old.*', ''), '; ' ORDER BY id) FROM fx.maintenance_runs WHERE outcome = 'ok' AND detail LIKE '%$old%'"),
	q{SELECT fx.mark_partition('market_data', '; ALTER TABLE fx.market_data DETACH PARTITION fx.; SELECT fx.drop_detached_partition('market_data', '},
	'by detaching it concurrently and dropping it then');
is(sql("SELECT count(*) FROM fx.maintenance_runs WHERE detail LIKE '%$old CONCURRENTLY'"), '1', 'really');
is(sql('SELECT count(*) FROM fx.candle_rollups'), '5', 'and its roll-ups stay');
becomes("SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'bare' AND backend_type <> 'client backend'", 'no worker stays connected', 'postgres');

# an error in one step
sql('CREATE TABLE fx.t(); DROP TABLE fx.' . partition(3) . '; ALTER TABLE fx.t RENAME TO ' . partition(3));
becomes(q{SELECT last_outcome = 'failed' FROM fx.partition_health WHERE "table" = 'quotes'}, 'a step fails');
like(sql(q{SELECT last_error FROM fx.partition_health WHERE "table" = 'quotes'}), qr/^market_data partitions: 42P07: /, 'with its error');
$old = expired_month(-10);
becomes("SELECT to_regclass('fx.$old') IS NULL", 'others go on');
sql('DROP TABLE fx.' . partition(3));
becomes(q{SELECT last_outcome = 'ok' FROM fx.partition_health WHERE "table" = 'quotes'}, 'and it is tried again');

# somebody reads a month that has expired: it is detached, interrupted and
# finished when he has done
sub hold
{
	my ($months) = @_;
	my $session = $node->background_psql('fx', on_error_stop => 1);
	$session->query_safe("BEGIN; SELECT count(*) FROM fx.market_data WHERE timestamp < now() - interval '7 months'");
	return ($session, expired_month($months));
}
my ($session, $reader_month) = hold(-11);
becomes("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = 'fx.$reader_month'::regclass", 'a reader interrupts a detach');
becomes("SELECT count(*) > 0 FROM fx.maintenance_runs WHERE outcome = 'failed' AND detail LIKE '%$reader_month CONCURRENTLY: 55P03: %'", 'lock_timeout is recorded');
$session->query_safe('COMMIT');
becomes("SELECT to_regclass('fx.$reader_month') IS NULL", 'it is finalised and dropped after him');
$session->quit;

# settings, on reload
$node->safe_psql('postgres', q{ALTER SYSTEM SET fxplatform.databases = 'bare'; SELECT pg_reload_conf()});
becomes(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'fxplatform maintenance'}, 'no worker runs', 'postgres');
my $runs = sql('SELECT count(*) FROM fx.maintenance_runs');
$node->safe_psql('bare', 'CREATE EXTENSION fxplatform CASCADE');
becomes(q{SELECT count(*) > 10 FROM fx.maintenance_runs}, 'a database that is listed is maintained', 'bare');
is(sql('SELECT count(*) FROM fx.maintenance_runs'), $runs, 'one that is not is left alone');
my ($ret, $out, $err) = $node->psql('postgres', q{ALTER SYSTEM SET fxplatform.databases = 'a, "b'});
like($err, qr/invalid value for parameter "fxplatform.databases"/, 'a list that is none is refused');

# the operator's own detach that was interrupted is finished, and kept
$node->safe_psql('postgres', q{ALTER SYSTEM SET fxplatform.databases = ''; SELECT pg_reload_conf()});
becomes(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'fxplatform maintenance'}, 'no worker runs', 'postgres');
$session = $node->background_psql('fx', on_error_stop => 1);
$session->query_safe('BEGIN; SELECT count(*) FROM fx.market_data');
my $recent = partition(-1);
($ret, $out, $err) = $node->psql('fx', "SET lock_timeout = '10ms'; ALTER TABLE fx.market_data DETACH PARTITION fx.$recent CONCURRENTLY");
like($err, qr/lock timeout/, 'a detach by hand is interrupted');
$session->query_safe('COMMIT');
$session->quit;

# immediate shutdown, in the middle of a detach
$old = expired_month(-12);
sql("$insert VALUES ('EURUSD', '1m', $m, 1, 1, 1, 1, 1)");
$session = $node->background_psql('fx', on_error_stop => 0);
$session->query_safe('BEGIN; SELECT count(*) FROM fx.market_data');
$node->safe_psql('postgres', q{ALTER SYSTEM SET fxplatform.databases = 'fx'; SELECT pg_reload_conf()});
becomes("SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = 'fx.$old'::regclass", 'a round has begun to detach');
$node->stop('immediate');
$node->start;
becomes("SELECT to_regclass('fx.$old') IS NULL", 'after the crash the month goes');
is(sql("SELECT count(*) FROM pg_inherits WHERE inhdetachpending"), '0', 'no detach is pending');
is(sql("SELECT to_regclass('fx.$recent') IS NOT NULL AND NOT relispartition FROM pg_class WHERE oid = 'fx.$recent'::regclass"), 't', 'what was detached by hand is kept');
eval { $session->quit };

# the database is dropped while it is listed, without force, and comes back
$node->safe_psql('postgres', 'DROP DATABASE fx');
$node->wait_for_log(qr/database "fx" cannot be maintained\n.*It does not exist/);
$node->safe_psql('postgres', 'CREATE DATABASE fx');
$node->safe_psql('fx', 'CREATE EXTENSION fxplatform CASCADE');
becomes(q{SELECT count(*) > 4 FROM fx.maintenance_runs}, 'a database of that name is maintained again');

# the extension is dropped, and with it the steps
sql('DROP EXTENSION fxplatform CASCADE');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'fxplatform launcher'}), 'the launcher lives');
$node->safe_psql('fx', 'CREATE EXTENSION fxplatform CASCADE');
after_a_round();

# who maintains by hand is not disturbed
my $by_hand = $node->background_psql('fx');
$by_hand->query_safe("BEGIN; SELECT fx.lock_work('maintain')");
becomes(q{SELECT count(*) > 0 FROM fx.maintenance_runs WHERE step = 'maintenance' AND outcome = 'skipped' AND detail = 'maintenance of this database is running already' AND worker}, 'a round is skipped while somebody is at it');
$by_hand->quit;

# another interval, on reload: the longer one after the round that is due, the
# shorter one at once
$node->safe_psql('postgres', q{ALTER SYSTEM SET fxplatform.maintenance_interval = '1d'; SELECT pg_reload_conf()});
my $last = sql('SELECT max(id) FROM fx.maintenance_runs');
becomes("SELECT count(*) > 0 FROM fx.maintenance_runs WHERE id > $last AND step = 'cleanup'", 'the round that was due');
$node->safe_psql('postgres', q{ALTER SYSTEM RESET fxplatform.maintenance_interval; SELECT pg_reload_conf()});
after_a_round();

# no slot for a worker
$node->append_conf('postgresql.conf', 'max_worker_processes = 2');
my $offset = -s $node->logfile;
$node->restart;
$node->wait_for_log(qr/database "fx" cannot be maintained\n.*There is no free slot for a background worker/, $offset);
$node->append_conf('postgresql.conf', 'max_worker_processes = 16');

# tables of somebody who is no superuser: his triggers are not run by one
sql('CREATE ROLE somebody; ALTER TABLE fx.maintenance_runs OWNER TO somebody');
$node->restart;
$node->wait_for_log(qr/database "fx" cannot be maintained\n.*belong to a role that is no superuser/);
sql('ALTER TABLE fx.maintenance_runs OWNER TO CURRENT_USER');
after_a_round();

# nothing on a standby, until it is promoted
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'fxplatform'}), '0', 'no launcher on a standby');
$node->stop;
my $before = $standby->safe_psql('fx', 'SELECT max(id) FROM fx.maintenance_runs');
$standby->promote;
ok($standby->poll_query_until('fx', "SELECT count(*) >= 5 FROM fx.maintenance_runs WHERE id > $before"), 'it starts on promotion');

# the log: reasons once, and nothing that crashed
my $log = slurp_file($node->logfile);
is(scalar(() = $log =~ /"Gone, perhaps" cannot be maintained/g), 1, 'a missing database is mentioned once');
unlike($log, qr/PANIC|TRAP|terminated by signal/, 'nothing crashed');
$standby->stop;

done_testing();
