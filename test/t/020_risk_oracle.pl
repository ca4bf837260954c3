# Random steps of several users, and an oracle in plain SQL that says what each
# of them has to do.
#
# The seed is printed; with FXPLATFORM_ORACLE_SEED the same steps are taken
# again.  FXPLATFORM_ORACLE_STEPS is how many there are.

use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = "$FindBin::Bin/../data";
my $steps = $ENV{FXPLATFORM_ORACLE_STEPS} // 600;
my @seeds = defined $ENV{FXPLATFORM_ORACLE_SEED} ? ($ENV{FXPLATFORM_ORACLE_SEED})
	: map { sprintf '%.6f', rand } 1 .. 3;

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
		SELECT split_part(engine_result, ' ', 1), count(*) FROM oracle.journal GROUP BY 1 ORDER BY 2 DESC});
	cmp_ok($node->safe_psql($db, q{SELECT count(*) FROM oracle.journal WHERE engine_result LIKE 'XF001%'}), '>', 0,
		'limits refused something');
	is($node->safe_psql($db, 'SELECT * FROM fx.verify_positions()'), '', 'the books are what the trades add up to');

	# made again from the trades they stay the same
	$node->safe_psql($db, 'CREATE TABLE books AS SELECT * FROM fx.positions;
		CREATE TABLE accounts AS SELECT user_id, balance, net_deposits, open_trades, day_trades, consecutive_losses, losing_since,
			last_closed_at FROM fx.accounts');
	$node->safe_psql($db, "SET fxplatform.clock = '" . $node->safe_psql($db, 'SELECT clock FROM oracle.journal ORDER BY clock DESC LIMIT 1') . "';
		SELECT fx.rebuild_risk_state(id) FROM fx.users");
	is($node->safe_psql($db, '(TABLE books EXCEPT TABLE fx.positions) UNION ALL (TABLE fx.positions EXCEPT TABLE books)'), '',
		'positions made again are the same');
	is($node->safe_psql($db, 'SELECT user_id, balance, net_deposits, open_trades, consecutive_losses, losing_since, last_closed_at FROM accounts
		EXCEPT SELECT user_id, balance, net_deposits, open_trades, consecutive_losses, losing_since, last_closed_at FROM fx.accounts'), '',
		'and accounts');
}

$node->stop;
done_testing();
