# Random steps of several users, and an oracle in plain SQL that says what each
# of them has to do.
#
# FXPLATFORM_ORACLE_STEPS is how many there are.  The seeds are always the same,
# unless that is set; they are printed, and FXPLATFORM_ORACLE_SEED takes one of
# them again, or "random" ones.

use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = "$FindBin::Bin/../data";
my $steps = $ENV{FXPLATFORM_ORACLE_STEPS} // 1200;
my $seed_wanted = $ENV{FXPLATFORM_ORACLE_SEED} // (defined $ENV{FXPLATFORM_ORACLE_STEPS} ? 'random' : 'fixed');
my @seeds = $seed_wanted eq 'fixed' ? (0.1, 0.2, 0.3)
	: $seed_wanted eq 'random' ? (map { sprintf '%.6f', rand } 1 .. 3)
	: ($seed_wanted) x 3;
my $refused = 0;

# days on which the clocks of America and Europe change, and the end of a year
my @begins = ('2024-03-08T16:00:00Z', '2024-10-25T09:00:00Z', '2024-12-30T20:00:00Z');

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\njit = off\ntimezone = 'UTC'");
$node->start;

foreach my $n (0 .. $#seeds)
{
	my $seed = $seeds[$n];
	my $db = "oracle_$n";
	my ($stdout, $stderr) = ('', '');

	note "seed $seed from $begins[$n]";
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, 'CREATE EXTENSION fxplatform CASCADE');
	foreach my $file ('risk_oracle.sql', 'risk_steps.sql')
	{
		$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db), '-f', "$data/$file" ], "$file: read");
	}

	my $ret = $node->psql($db, qq{
		SET search_path = oracle, pg_catalog;
		CALL prepare('$begins[$n]');
		CALL run($seed, } . int($steps / @seeds + 0.5) . ');', stdout => \$stdout, stderr => \$stderr);
	is($ret, 0, "seed $seed: ran");
	unlike($stderr, qr/WARNING/, "seed $seed: the engine and the oracle agree") or diag $stderr;

	note $node->safe_psql($db, q{
		SELECT CASE WHEN engine_result ~ '^(ok|[0-9A-Z]{5}( |$))' THEN split_part(engine_result, ' ', 1) ELSE 'read' END, count(*)
		  FROM oracle.journal GROUP BY 1 ORDER BY 2 DESC});
	$refused += $node->safe_psql($db, q{SELECT count(*) FROM oracle.journal WHERE engine_result LIKE 'XF001%'});
	is($node->safe_psql($db, 'SELECT * FROM fx.verify_positions()'), '', 'the books are what the trades add up to');

	# made again from the trades they stay the same, but for the price of the last execution, whose order is not kept
	my $positions = 'SELECT user_id, symbol, long_quantity, short_quantity, long_cost, short_cost, average_price, realized_pnl, open_trades, unpriced_trades';
	my $accounts = 'SELECT user_id, balance, net_deposits, open_trades, consecutive_losses, losing_since, last_closed_at, high_water_mark';
	my $clock = $node->safe_psql($db, 'SELECT clock FROM oracle.journal ORDER BY clock DESC LIMIT 1');

	$node->safe_psql($db, "SET fxplatform.clock = '$clock'; SELECT fx.mark_account(id) FROM fx.users;
		CREATE TABLE positions AS TABLE fx.positions; CREATE TABLE accounts AS TABLE fx.accounts;
		SELECT fx.rebuild_risk_state(id) FROM fx.users");
	is($node->safe_psql($db, "($positions FROM positions EXCEPT $positions FROM fx.positions) UNION ALL ($positions FROM fx.positions EXCEPT $positions FROM positions)"),
		'', 'positions made again are the same');
	is($node->safe_psql($db, "$accounts FROM accounts EXCEPT $accounts FROM fx.accounts"), '', 'and accounts');
	is($node->safe_psql($db, 'SELECT * FROM fx.verify_positions()'), '', 'and they are what the trades add up to');
}

cmp_ok($refused, '>', 0, 'limits refused something');

$node->stop;
done_testing();
