# The server is killed in the middle of everything, again and again: nothing that
# was acknowledged is lost, nothing appears that was not attempted, and books,
# roll-ups and the audit trail agree.
#
# FXPLATFORM_CRASH_ROUNDS is the number of rounds, 20 by default, which take one
# minute or two.  FXPLATFORM_CRASH_SEED repeats the moments and the ways of a run, as
# far as time allows.
#
# fsync is off, as in every test: SIGKILL does not take what the system has been
# given.  What it takes is memory, of one process or of all.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use FxLoad;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $rounds = $ENV{FXPLATFORM_CRASH_ROUNDS} || 20;
my $seed = $ENV{FXPLATFORM_CRASH_SEED} || int(rand(1000000));
srand($seed);

# with "minimal", what is written to a month that the transaction has made itself
# is not in the WAL
my $wal_level = (qw(replica minimal))[ $seed % 2 ];
note("$rounds rounds, wal_level $wal_level, FXPLATFORM_CRASH_SEED=$seed");

# all: every process at once.  postmaster: the others see it and end.  backend,
# worker, background: the postmaster sees it and starts over.  recovery: all, and
# again while the server recovers.
my @ways = qw(all backend postmaster worker recovery background);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => ['--data-checksums']);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fxplatform'
fxplatform.databases = 'postgres'
fxplatform.maintenance_interval = 1
fxplatform.password_cost = 4
restart_after_crash = on
checkpoint_timeout = '30s'
jit = off
timezone = 'UTC'
log_statement = none
log_line_prefix = '%m [%p] %b %e '
});
$node->append_conf('postgresql.conf', "wal_level = $wal_level");
$node->start;
prepare_load($node);

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub pids { return split /\n/, sql("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND $_[0]"); }

# SIGKILL some processes; true when the postmaster was one of them.
sub strike
{
	my ($way) = @_;
	my %victims = (
		backend => q{application_name = 'load'},
		worker => q{backend_type = 'fxplatform maintenance'},
		background => q{backend_type IN ('checkpointer', 'background writer', 'walwriter', 'fxplatform launcher', 'autovacuum launcher')});

	if ($victims{$way})
	{
		# a worker is there for as long as a round takes, and may end before it is hit
		my ($deadline, $hit) = (time + 60, 0);
		until ($hit || time > $deadline)
		{
			my $seen = -s $node->logfile;
			my @found = pids($victims{$way});

			$hit = @found && kill('KILL', $found[ rand @found ]) && noticed($seen);
		}
		ok($hit, "a $way is killed");
		return 0;
	}
	my @children = pids('true');
	$node->kill9;
	kill('KILL', @children) if $way ne 'postmaster';
	$node->{children} = \@children;
	return 1;
}

# Did the postmaster miss a process, by its log from there?
sub noticed
{
	my ($from) = @_;
	my $deadline = time + 5;

	until (slurp_file($node->logfile, $from) =~ /terminated by signal 9/)
	{
		return 0 if time > $deadline;
		sleep(0.02);
	}
	return 1;
}

# Old processes that see only now that the postmaster is gone are in the way of a
# new one.
sub start_again
{
	my $deadline = time + 60;

	sleep(0.02) while kill(0, @{ $node->{children} }) && time < $deadline;
	until ($node->start(fail_ok => 1) || time > $deadline)
	{
		sleep(0.1);
		$node->{_pid} = undef;
	}
	return;
}

my ($done, $recovered, $crashes) = (0, 0, 0);
foreach my $round (1 .. $rounds)
{
	my $way = $ways[ ($round - 1) % @ways ];
	my $pause = 0.3 + rand(0.7);

	# a month to be dropped by the worker, which is a target too
	sql(qq{SELECT fx.create_quote_partitions((date_trunc('month', now()) - interval '@{[12 + $round]} months')::date, (date_trunc('month', now()) - interval '@{[12 + $round]} months')::date + 1);
		INSERT INTO fx.quotes (symbol, timestamp, bid, ask) SELECT 'EURUSD', date_trunc('month', now()) - interval '@{[12 + $round]} months' + n * interval '1 minute', 1, 1 FROM generate_series(1, 100) AS n;
		INSERT INTO fx.retention_policies VALUES ('quotes', NULL, '100 days') ON CONFLICT DO NOTHING});

	my $load = start_load($node, $round);
	ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM notes WHERE round = $round"), "round $round: the load runs");
	sleep($pause);
	my $gone = strike($way);
	end_load($load);
	my $began = time;
	if ($gone)
	{
		if ($way eq 'recovery')
		{
			system_or_bail('pg_ctl', '-D', $node->data_dir, '-l', $node->logfile, '-W', '-s', 'start');
			sleep(rand(0.15));
			my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
			kill('KILL', $pid);
			$crashes++;
		}
		start_again();
	}
	$node->poll_query_until('postgres', 'SELECT 1', '1');
	$recovered += time - $began;
	$crashes++;
	note(sprintf('round %s: %s killed after %.2f s, %s transactions acknowledged', $round, $way, $pause, $load->{count}));
	$done += $load->{count};
	verify_load($node, $load, "round $round ($way)");
}
cmp_ok($done, '>', 50 * $rounds, 'there was some load');
is(sql(q{
	SELECT string_agg(concat_ws(' ', v.*), ', ') FROM (VALUES ('order', 'executed'), ('order', 'refused'), ('order', 'rejected'), ('close', 'closed'), ('ingest', 'ok'), ('change', 'ok'),
		('flow', 'ok'), ('backtest', 'completed'), ('sign_in', 'ok'), ('sign_in', 'failed')) AS v (kind, outcome)
	 WHERE NOT EXISTS (SELECT FROM notes AS n WHERE (n.kind, n.outcome) = (v.kind, v.outcome))}), '', 'of every kind');

# indexes and heaps, to the last entry
is(sql(q{
	SELECT string_agg(format('%s: %s', c.oid::regclass, v.msg), E'\n') FROM pg_class AS c, LATERAL verify_heapam(c.oid) AS v
	 WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind IN ('r', 'm')}), '', 'heaps are whole');
is(sql(q{
	SELECT count(bt_index_check(c.oid, true)) > 50 FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam
	 WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relnamespace = 'fx'::regnamespace}), 't', 'indexes find every row');

# what the kills interrupted is finished by the worker that runs again
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM fx.partition_bounds('fx.quotes') WHERE upper < now() - interval '110 days' OR detaching}), 'expired months are gone in the end');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM fx.marked_partitions()}), 'and nothing is left behind');
is(sql(q{SELECT count(*) FROM fx.maintenance_runs WHERE outcome = 'failed' AND detail !~ '55P03|57014'}), '0', 'no step of maintenance failed')
  or diag(sql(q{SELECT step, detail FROM fx.maintenance_runs WHERE outcome = 'failed'}));

# Clients and processes that were cut off complain, and nobody else.
my $log = slurp_file($node->logfile);
my @errors = grep { /(ERROR|FATAL|PANIC|TRAP)/ && !/ (57P01|57P02|57P03|55006|F0001|08006) / } split /\n/, $log;
is(scalar(@errors) ? join("\n", @errors[ 0 .. ($#errors > 4 ? 4 : $#errors) ]) : '', '', 'no error in the log of the server');
my @ends = $log =~ /terminated by signal (\d+)/g;
is(scalar(grep { $_ != 9 } @ends), 0, 'no process died by itself');
note(sprintf('%s crashes, %s transactions acknowledged, %.1f s of recovery', $crashes, $done, $recovered));

$node->stop;
done_testing();
