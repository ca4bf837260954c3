# Counters of the risk engine are updated in place of their page: no index has a
# column of theirs, and thousands of trades leave no index entry.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION fxplatform CASCADE;
INSERT INTO fx.users (id, email, username, password_hash, preferences)
SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, n || '@example.com', n, 'x', '{"initialBalance": 100000}' FROM generate_series(1, 20) AS n;
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value)
SELECT id, type, type, 'absolute', 1000000 FROM fx.users, unnest('{max_position,max_open_trades,max_exposure,max_daily_trades,daily_loss,max_leverage}'::text[]) AS type;
SQL

# columns of which nobody's update leaves an index as it is
is($node->safe_psql('postgres', q{
	SELECT string_agg(DISTINCT concat(i.indrelid::regclass, '.', a.attname), ' ' ORDER BY concat(i.indrelid::regclass, '.', a.attname))
	  FROM pg_index AS i
	  JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum > 0
	 WHERE i.indrelid IN ('fx.accounts'::regclass, 'fx.positions'::regclass, 'fx.risk_limits'::regclass)
	   AND (a.attnum = ANY (i.indkey::int2[])
			OR EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
						  AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum))}),
	'fx.accounts.user_id fx.positions.symbol fx.positions.user_id fx.risk_limits.id fx.risk_limits.is_active fx.risk_limits.strategy_id fx.risk_limits.type fx.risk_limits.user_id',
	'indexes have keys and what an administrator changes, no counter');
is($node->safe_psql('postgres', q{
	SELECT string_agg(concat(oid::regclass, ' ', (SELECT o FROM unnest(reloptions) AS o WHERE o LIKE 'fillfactor=%')), ' ' ORDER BY relname) FROM pg_class
	 WHERE oid IN ('fx.accounts'::regclass, 'fx.positions'::regclass, 'fx.risk_limits'::regclass)}),
	'fx.accounts fillfactor=50 fx.positions fillfactor=50 fx.risk_limits fillfactor=50', 'pages keep room for a second version');

my $counts = q{
	SELECT relname, n_tup_upd, n_tup_hot_upd, n_tup_upd - n_tup_hot_upd FROM pg_stat_user_tables
	 WHERE schemaname = 'fx' AND relname IN ('accounts', 'positions', 'risk_limits') ORDER BY relname};
my $trade = q{INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, commission, status, executed_at)
	VALUES (('00000000-0000-4000-8000-' || lpad((:n)::text, 12, '0'))::uuid, 'EURUSD', CASE :side WHEN 1 THEN 'sell' ELSE 'buy' END, 'market', 10, 1.1, 0.1, 'executed', now());
};

sub load_with
{
	my (@options) = @_;

	append_to_file($node->basedir . '/trade.sql', "\\set n random(1, 20)\n\\set side random(1, 3)\n$trade") unless -e $node->basedir . '/trade.sql';
	# the positions are there when counting starts
	$node->safe_psql('postgres', 'SELECT pg_stat_reset()');
	$node->command_ok([ 'pgbench', '-n', @options, '-f', $node->basedir . '/trade.sql', '-h', $node->host, '-p', $node->port, 'postgres' ], 'trades');
	# sessions that ended have reported; this one did nothing
	return map { [ split /\|/ ] } split /\n/, $node->safe_psql('postgres', $counts);
}

$node->safe_psql('postgres', q{
	INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
	SELECT id, 'EURUSD', 'buy', 'market', 10, 1.1, 'executed', now() FROM fx.users});

foreach my $row (load_with('-c', 1, '-t', 2000))
{
	my ($table, $updates, $hot, $rest) = @$row;

	cmp_ok($updates, '>=', 2000, "$table: every trade updates it ($updates)");
	is($rest, '0', "$table: in place always");
}
foreach my $row (load_with('-c', 4, '-j', 2, '-t', 1000))
{
	my ($table, $updates, $hot, $rest) = @$row;

	cmp_ok($updates, '>=', 4000, "$table: by several clients at once ($updates)");
	# a page is full for a moment where another's snapshot keeps old versions
	cmp_ok($hot, '>=', 0.99 * $updates, "$table: in place ($rest were not)");
}

$node->stop;
done_testing();
