# DROP EXTENSION never takes a row, and CREATE EXTENSION takes up what it left.

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
$node->safe_psql('postgres', 'CREATE EXTENSION fxplatform CASCADE');
fill($node, 'postgres');

my $rows = picture($node, 'postgres');
# all but the book that knows partitions by their files
my @but_book = ('--exclude-table-data=fx.candle_partitions');
my $dump = dump_of($node, 'postgres', @but_book);
my $attached = attached($node, 'postgres');

like(psql_output($node, 'postgres', 'DROP EXTENSION fxplatform'),
	qr/2BP01: cannot drop extension fxplatform because other objects depend on it/, 'DROP EXTENSION is refused');
is(picture($node, 'postgres'), $rows, 'and changes nothing');

foreach my $round (1, 2)
{
	$node->safe_psql('postgres', 'SET client_min_messages = warning; DROP EXTENSION fxplatform CASCADE');
	is(picture($node, 'postgres'), $rows, "round $round: CASCADE keeps every row");
	isnt(attached($node, 'postgres'), $attached, "round $round: and takes what refers to functions");
	is($node->safe_psql('postgres', q{SET ROLE fx_user; SET app.current_user_id = '00000000-0000-4000-8000-0000000000a1';
		SELECT (SELECT count(*) FROM fx.users), (SELECT count(*) FROM fx.trades)}),
		'0|0', "round $round: a user sees nothing meanwhile");

	my ($ret, $stdout, $stderr) = $node->psql('postgres', 'CREATE EXTENSION fxplatform');
	is($ret, 0, "round $round: CREATE EXTENSION on kept tables");
	like($stderr, qr/NOTICE:  found 37 tables, newest migration 2024_06_01_autovacuum of an earlier installation/,
		"round $round: says what it found");
	is(picture($node, 'postgres'), $rows, "round $round: changes no row");
	is(attached($node, 'postgres'), $attached, "round $round: triggers, policies and indexes are back");
	is(dump_of($node, 'postgres', @but_book), $dump, "round $round: the dump is as it was");
}

# an older state is taken up, and migrated
$node->safe_psql('postgres', 'CREATE DATABASE older');
$node->safe_psql('older', q{CREATE EXTENSION fxplatform CASCADE; SELECT fx.migrate('2024_01_27_drop_covered_indexes')});
fill($node, 'older');
$node->safe_psql('older', 'SET client_min_messages = warning; DROP EXTENSION fxplatform CASCADE; CREATE EXTENSION fxplatform');
is($node->safe_psql('older', q{SELECT count(*) FROM fx.migration_status WHERE state <> 'applied'}), '0', 'an older state is migrated');
is($node->safe_psql('older', 'SELECT count(*) FROM fx.trades'), '40', 'with its rows');

$node->stop;
done_testing();
