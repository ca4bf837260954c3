# fx.migrate() goes up and down, refuses to lose data, leaves nothing half done,
# and runs once at a time.

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
$node->safe_psql('postgres', 'CREATE DATABASE fx');
$node->safe_psql('fx', 'CREATE EXTENSION fxplatform CASCADE');

sub sql { return $node->safe_psql('fx', $_[0]); }
sub refusal { return psql_output($node, 'fx', $_[0]); }
sub newest { return sql(q{SELECT coalesce(max(version COLLATE "C"), 'none') FROM fx.migration_status WHERE state = 'applied'}); }

is(sql(q{SELECT bool_and(state = 'applied' AND applied_at IS NOT NULL) FROM fx.migration_status}), 't', 'a new database has all');
is(sql('SELECT count(*) FROM fx.migrate()'), '0', 'and nothing to do');
my @versions = split /\n/, sql('SELECT version FROM fx.migration ORDER BY version');
my $newest = $versions[-1];
my $schema = dump_of($node, 'fx', '--schema-only');

# every step down and up again, each way one step and all at once
my %at;
foreach my $version ((reverse @versions), 'none')
{
	sql("SELECT fx.migrate('$version')");
	is(newest(), $version, "down to $version");
	$at{$version} = dump_of($node, 'fx', '--schema-only');
}
is(sql(q{SELECT count(*) FROM pg_class WHERE relnamespace = 'fx'::regnamespace AND relkind IN ('r', 'p')}), '1', 'no table is left but fx.migration');
foreach my $version (@versions)
{
	sql("SELECT fx.migrate('$version')");
	is(dump_of($node, 'fx', '--schema-only'), $at{$version}, "up to $version is what it was");
}
sql(q{SELECT fx.migrate('none')});
sql(q{SELECT fx.migrate()});
is(dump_of($node, 'fx', '--schema-only'), $schema, 'all the way down and up is what it was');

# targets
like(refusal(q{SELECT fx.migrate('2024_99')}), qr/22023: migration "2024_99" does not exist.*HINT:  See fx.migration_status/s, 'an unknown target is refused');
like(refusal(q{SELECT fx.migrate(force => NULL)}), qr/22004: argument "force" must not be null/, 'so is no answer');

# data in the way
fill($node, 'fx');
my $rows = picture($node, 'fx');
my $stderr = refusal(q{SELECT fx.migrate('none')});
like($stderr, qr/55000: migrating down to "none" would drop data/, 'down with data is refused');
like($stderr, qr/DETAIL:  table accounts: 3 rows, table api_keys: 1 rows, table audit_log: \d+ rows, table audit_seals: \d+ rows, table backtests: 1 rows, table candle_horizons: 1 rows, table candle_rollups: \d+ rows, table cash_flows: 2 rows, table closures: 1 rows, table email_verifications: 1 rows, table holidays: 1 rows, table maintenance_runs: 1 rows, table market_data: 1500 rows, table market_data_rejects: 1 rows, table market_data_revisions: 1 rows, table quotes: 10 rows, table retention_policies: 2 rows, table risk_events: 1 rows, table risk_limit_state: 1 rows, table risk_limits: 1 rows, table sessions: 1 rows, table sign_in_failures: 1 rows, table strategies: 4 rows, table trades: 40 rows, table users: 3 rows\./, 'with the counts');
like($stderr, qr/HINT:  Make a backup, then use fx.migrate\(..., force => true\)/, 'and a hint');
like(refusal(qq{SELECT fx.migrate('$versions[3]')}), qr/55000: .*DETAIL:  .*, column trades.is_backtest: 10 rows/s, 'a column with data is data');
is(picture($node, 'fx'), $rows, 'nothing changed');
is(newest(), $newest, 'not even the state');
like(refusal(qq{SELECT fx.migrate('2024_03_05_lean_market_data')}), qr/55000: .*DETAIL:  table accounts: 3 rows, .*column risk_limits.anchor: 1 rows/s, 'nor are the accounts dropped');
sql(qq{SELECT fx.migrate('2024_03_05_lean_market_data', force => true)});
$rows = picture($node, 'fx');
sql(qq{SELECT fx.migrate('2024_03_04_maintenance')});
is(picture($node, 'fx') =~ s/^schema_migrations.*\n?//mr, $rows =~ s/^schema_migrations.*\n?//mr, 'a step that drops no data goes without force');
sql('SELECT fx.migrate()');
sql('DELETE FROM fx.risk_limits');
sql('UPDATE fx.trades SET backtest_id = NULL');
sql(q{ALTER TABLE fx.trades DISABLE TRIGGER trades_backtest_mark_update; UPDATE fx.trades SET is_backtest = false});
sql('TRUNCATE fx.accounts, fx.candle_horizons, fx.candle_rollups, fx.holidays, fx.maintenance_runs, fx.market_data_rejects, fx.market_data_revisions, fx.quotes, fx.retention_policies');
sql('TRUNCATE fx.audit_log');
sql(qq{SELECT fx.migrate('$versions[3]')});
is(newest(), $versions[3], 'a column that holds only its default is no data');
sql('SELECT fx.migrate()');
sql(q{SELECT fx.migrate('none', force => true)});
is(newest(), 'none', 'force drops it');
sql('SELECT fx.migrate()');

# rows that a migration brings itself do not count until somebody changes them
sql(q{INSERT INTO fx.migration VALUES ('2999_01_01_seed',
	'CREATE TABLE seed (id integer PRIMARY KEY, v text); INSERT INTO seed VALUES (1, ''a''), (2, ''b'')', 'DROP TABLE seed', '');
	SELECT fx.migrate()});
is(sql('SELECT count(*) FROM fx.seed'), '2', 'a migration brings rows');
sql("SELECT fx.migrate('$newest')");
sql('SELECT fx.migrate()');
sql(q{UPDATE fx.seed SET v = 'c' WHERE id = 2; INSERT INTO fx.seed VALUES (3, 'd')});
like(refusal("SELECT fx.migrate('$newest')"), qr/DETAIL:  table seed: 2 rows\./, 'only changed and added rows count');
sql("SELECT fx.migrate('$newest', true)");
sql(q{DELETE FROM fx.migration WHERE version LIKE '2999%'});

# a migration that fails leaves nothing, of those before it neither
foreach my $step (qw(up attach))
{
	my $good = $step eq 'up' ? '' : 'CREATE TABLE bad2 (x integer); ';
	sql(qq{INSERT INTO fx.migration VALUES ('2999_01_01_good', 'CREATE TABLE good (x integer)', 'DROP TABLE good', ''),
		('2999_01_02_bad', 'CREATE TABLE bad1 (x integer); } . ($step eq 'up' ? 'SELECT 1/0' : '') . qq{', '', '} . ($step eq 'up' ? '' : 'SELECT 1/0') . q{')});
	like(refusal('SELECT fx.migrate()'), qr/22012: migration "2999_01_02_bad" \($step\) failed: division by zero/, "$step: the error names the migration and keeps its cause");
	is(sql(q{SELECT to_regclass('fx.good') IS NULL AND to_regclass('fx.bad1') IS NULL}), 't', "$step: nothing is left");
	is(newest(), $newest, "$step: nothing is recorded");
	sql(q{DELETE FROM fx.migration WHERE version LIKE '2999%'});
}
sql(q{BEGIN; SELECT fx.migrate('none'); ROLLBACK});
is(newest(), $newest, 'a transaction that rolls back undoes it');

# a migration that a newer version applied
sql(q{INSERT INTO fx.schema_migrations VALUES ('2998_01_01_future')});
is(sql(q{SELECT state FROM fx.migration_status WHERE version LIKE '2998%'}), 'unknown', 'an unknown migration is shown');
like(refusal('SELECT fx.migrate()'), qr/WARNING:.*migrations "2998_01_01_future" are applied and not known/, 'going to the newest warns');
like(refusal("SELECT fx.migrate('$versions[0]')"), qr/55000: cannot undo migrations "2998_01_01_future"/, 'going below it is refused');
sql(q{DELETE FROM fx.schema_migrations WHERE version LIKE '2998%'});

# who may
sql('CREATE ROLE somebody; GRANT USAGE ON SCHEMA fx TO somebody; CREATE ROLE second SUPERUSER');
like(refusal('SET ROLE somebody; SELECT fx.migrate()'), qr/42501: permission denied for function migrate/, 'others may not call it');
sql('GRANT EXECUTE ON FUNCTION fx.migrate(text, boolean) TO somebody');
like(refusal('SET ROLE somebody; SELECT fx.migrate()'), qr/42501: must be owner of extension fxplatform/, 'nor run it when they may');
sql(q{SET ROLE second; SELECT fx.migrate('none'); SELECT fx.migrate()});
is(sql(q{SELECT string_agg(DISTINCT relowner::regrole::text, ',') FROM pg_class WHERE relnamespace = 'fx'::regnamespace AND relkind IN ('r', 'p', 'S', 'i', 'I')}),
	sql('SELECT current_user'), 'whoever migrates, the tables have one owner');
is($node->safe_psql('fx', q{SET ROLE second; SELECT FROM fx.migrate(); SELECT current_user}), 'second', 'and the role is as it was');

# one at a time: the second waits, and then has nothing to do
sql(q{SELECT fx.migrate('none')});
my $first = $node->background_psql('fx');
$first->query_safe('BEGIN; SELECT fx.migrate()');
my $second = $node->background_psql('fx');
$second->query_until(qr/started/, "\\echo started\nSELECT count(*) || ' done' FROM fx.migrate();\n");
$node->poll_query_until('fx', q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted})
  or die 'the second call does not wait';
like(refusal(q{SET statement_timeout = '50ms'; SELECT fx.migrate()}), qr/57014/, 'a call that waits can be cancelled');
$first->query_safe('COMMIT');
like($second->query("\\echo"), qr/0 done/, 'the second call did nothing');
$first->quit;
$second->quit;
is(newest(), $newest, 'all are applied, once');

$node->stop;
done_testing();
