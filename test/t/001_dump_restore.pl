# A plain dump of a live database restores without a step before or after it,
# and a dump of the copy equals the first.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use FxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

$node->safe_psql('postgres', 'CREATE DATABASE live');
$node->safe_psql('live', 'CREATE EXTENSION fxplatform CASCADE');
fill($node, 'live');

# what a user adds of his own
$node->safe_psql('live', q{
	CREATE ROLE app_login LOGIN IN ROLE fx_app;
	CREATE ROLE user_login LOGIN IN ROLE fx_user;
	CREATE ROLE report_login LOGIN IN ROLE fx_reporting;
	ALTER TABLE fx.trades ADD COLUMN desk text DEFAULT 'london', ADD COLUMN score numeric CHECK (score < 10);
	UPDATE fx.trades SET score = quantity % 10;
	CREATE INDEX my_desk ON fx.trades (desk, score) WHERE score > 1;
	CREATE VIEW public.my_view AS SELECT symbol, fx.net_profit(fx.pnl_agg(profit, commission, swap)) AS net FROM fx.trades GROUP BY symbol;
	CREATE TABLE public.my_pnl AS SELECT user_id, fx.pnl_agg(profit) AS p FROM fx.trades GROUP BY user_id;
	GRANT SELECT ON fx.schema_migrations TO report_login;
	REVOKE DELETE ON fx.trades FROM fx_app});

my $first = dump_of($node, 'live');
my $rows = picture($node, 'live');
my $tempdir = PostgreSQL::Test::Utils::tempdir;
like($first, qr/CREATE TABLE fx.market_data_2024_02 /, 'the dump has the partitions');
unlike($first, qr/fx_migration/, 'the dump has no script of a migration');

PostgreSQL::Test::Utils::append_to_file("$tempdir/plain.sql", dump_of($node, 'live'));
PostgreSQL::Test::Utils::append_to_file("$tempdir/rls.sql", dump_of($node, 'live', '--enable-row-security'));
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$tempdir/custom", 'live' ], 'dump in custom format');

my %restores = (
	psql => [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$tempdir/plain.sql" ],
	one_transaction => [ 'psql', '-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', '-f', "$tempdir/plain.sql" ],
	parallel => [ 'pg_restore', '-j2', '--exit-on-error', "$tempdir/custom" ],
	single_transaction => [ 'pg_restore', '--single-transaction', '--exit-on-error', "$tempdir/custom" ],
	row_security => [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$tempdir/rls.sql" ]);

foreach my $how (sort keys %restores)
{
	my $copy = "copy_$how";
	$node->safe_psql('postgres', "CREATE DATABASE $copy");
	$node->safe_psql('postgres', "ALTER DATABASE $copy SET fxplatform.create_tables = off")
	  if $how eq 'row_security';
	$node->command_ok([ @{ $restores{$how} }, '-d', $copy ], "restore: $how");

	is(dump_of($node, $copy), $first, "$how: the copy's dump equals the first");
	is(picture($node, $copy), $rows, "$how: the same rows, in the audit log too");
	is($node->safe_psql($copy, q{SELECT count(*) FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
		WHERE d.deptype = 'e' AND c.relnamespace = 'fx'::regnamespace AND c.relkind IN ('r', 'p', 'S')}),
		'1', "$how: no table of the copy is a member of the extension");

	# the roles can use the copy
	my $as_app = $node->connstr($copy) . ' user=app_login';
	is($node->safe_psql($copy, q{
		INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price)
		VALUES ('00000000-0000-4000-8000-0000000000a3', 'GBPUSD', 'sell', 'market', 1, 1.2);
		SELECT count(*) FROM fx.trades}, connstr => $as_app), '41', "$how: the application writes and reads");
	is($node->safe_psql($copy, q{SELECT count(*) FROM fx.audit_log WHERE new_values ->> 'symbol' = 'GBPUSD'}),
		'1', "$how: and is audited");
	is($node->safe_psql($copy, q{SET app.current_user_id = '00000000-0000-4000-8000-0000000000a2'; SELECT count(*) FROM fx.users},
		connstr => $node->connstr($copy) . ' user=user_login'), '1', "$how: a user sees himself only");
	isnt($node->psql($copy, 'SELECT password_hash FROM fx.users', connstr => $node->connstr($copy) . ' user=report_login'),
		0, "$how: reports have no secrets");
	is($node->safe_psql($copy, 'SELECT count(*) FROM fx.migrate()'), '0', "$how: nothing is left to migrate");
}

# a dump of an older state of the schema, restored and caught up
$node->safe_psql('postgres', 'CREATE DATABASE old');
$node->safe_psql('old', q{CREATE EXTENSION fxplatform CASCADE; SELECT fx.migrate('2024_01_20_initial_schema')});
fill($node, 'old');
$rows = $node->safe_psql('old', 'SELECT count(*), sum(profit) FROM fx.trades');
PostgreSQL::Test::Utils::append_to_file("$tempdir/old.sql", dump_of($node, 'old'));
$node->safe_psql('postgres', 'CREATE DATABASE caught_up');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'caught_up', '-f', "$tempdir/old.sql" ], 'restore an older state');
is($node->safe_psql('caught_up', q{SELECT state, count(*) FROM fx.migration_status GROUP BY 1 ORDER BY 1}),
	"applied|1\npending|17", 'the copy is in that state');
is($node->safe_psql('caught_up', 'SELECT count(*) FROM fx.migrate()'), '17', 'and catches up');
is($node->safe_psql('caught_up', 'SELECT count(*), sum(profit) FROM fx.trades'), $rows, 'with its rows');
is($node->safe_psql('caught_up', 'SELECT count(*) FROM fx.trades WHERE is_backtest'), '10', 'trades of backtests are marked');
# whatever partitions there are
sub shape
{
	my %seen;

	return join "\n", grep { !$seen{$_}++ } split /\n/, $_[0] =~ s/(market_data|quotes)_\d{4}_\d{2}\S*//gr =~ s/^.*my_desk.*\n//mgr;
}
is(shape(attached($node, 'caught_up')), shape(attached($node, 'copy_psql')), 'triggers, policies and indexes are those of a new installation');

$node->stop;
done_testing();
