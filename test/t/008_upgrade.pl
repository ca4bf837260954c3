# Releases: an update makes what a new installation makes, with data in place and
# while others work; the way back leads to the release before; what fails leaves
# nothing; old catalogs and old dumps are served by the new library.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use FxCatalog;
use FxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $tempdir = PostgreSQL::Test::Utils::tempdir;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fxplatform'
fxplatform.databases = 'maintained'
fxplatform.maintenance_interval = 1
max_worker_processes = 16
});
$node->start;

sub sql { return $node->safe_psql(@_); }
sub version { return sql($_[0], q{SELECT extversion FROM pg_extension WHERE extname = 'fxplatform'}); }
# as rows are compared: what was applied and when is about the update itself
sub rows { return picture($node, $_[0]) =~ s/^schema_migrations .*\n?//mr; }
sub same
{
	my ($is, $wanted, $name) = @_;
	is(catalog_difference($is, $wanted), '', $name);
	return;
}

sql('postgres', 'CREATE DATABASE fresh');
sql('fresh', 'CREATE EXTENSION fxplatform CASCADE');
my $fresh = catalog($node, 'fresh');
my $current = version('fresh');
# the views of available versions do not look where Debian's setting points
my @releases = split /\n/, sql('fresh', qq{
	SELECT source FROM pg_extension_update_paths('fxplatform') WHERE target = '$current' AND path IS NOT NULL
	 ORDER BY string_to_array(source, '.')::int[]});
cmp_ok(scalar(@releases), '>', 0, 'there are earlier releases');
my %kinds = map { /^(\w+)/; $1 => 1 } @$fresh;
is(join(' ', grep { !$kinds{$_} } qw(extension member schema initial role comment function aggregate type operator class of cast relation column constraint index trigger policy migration state)),
	'', 'the catalog has objects of every kind to compare');

# every release up, back down and up again, by itself, in an empty database
my %release;
foreach my $release (@releases)
{
	my $db = "from_$release";

	sql('postgres', qq{CREATE DATABASE "$db"});
	# each function of C is looked up in the library of now
	sql($db, qq{CREATE EXTENSION fxplatform VERSION '$release' CASCADE});
	$release{$release} = catalog($node, $db);
	isnt(catalog_difference($release{$release}, $fresh), '', "$release: the release differs from $current");

	sql($db, 'ALTER EXTENSION fxplatform UPDATE');
	is(version($db), $current, "$release: updated to $current");
	same(catalog($node, $db), $fresh, "$release: the update makes what a new installation makes");

	sql($db, qq{ALTER EXTENSION fxplatform UPDATE TO '$release'});
	same(catalog($node, $db), $release{$release}, "$release: the way back leads to a new installation of it");
	sql($db, 'ALTER EXTENSION fxplatform UPDATE');
	same(catalog($node, $db), $fresh, "$release: and up again");

	# tables that somebody left at an older state, or undid, stay undone until the update
	sql($db, qq{ALTER EXTENSION fxplatform UPDATE TO '$release'; SELECT fx.migrate('2024_01_20_initial_schema')});
	sql($db, 'ALTER EXTENSION fxplatform UPDATE');
	same(catalog($node, $db), $fresh, "$release: an update applies every migration");
	sql($db, qq{SELECT fx.migrate('2024_01_20_initial_schema'); ALTER EXTENSION fxplatform UPDATE TO '$release'});
	is(sql($db, q{SELECT max(version COLLATE "C") FROM fx.schema_migrations}), '2024_01_20_initial_schema', "$release: the way back applies none");
	sql($db, q{SELECT fx.migrate('none'); ALTER EXTENSION fxplatform UPDATE});
	is(sql($db, q{SELECT to_regclass('fx.schema_migrations') IS NULL}), 't', "$release: a database without tables gets none");
	sql($db, q{SELECT fx.migrate()});
	same(catalog($node, $db), $fresh, "$release: but by fx.migrate()");
	sql('postgres', qq{DROP DATABASE "$db"});
}
my $old = $releases[-1];

# a live database of the last release, with data and with what its owner added
sql('postgres', 'CREATE DATABASE live');
sql('live', qq{CREATE EXTENSION fxplatform VERSION '$old' CASCADE});
fill($node, 'live');
my $u = '00000000-0000-4000-8000-0000000000a';
sql('live', qq{
	CREATE ROLE app_login LOGIN IN ROLE fx_app;
	ALTER TABLE fx.trades ADD COLUMN desk text DEFAULT 'london';
	CREATE INDEX my_desk ON fx.trades (desk);
	CREATE VIEW public.my_view AS SELECT symbol, fx.net_profit(fx.pnl_agg(profit, commission, swap)) AS net FROM fx.trades GROUP BY symbol;
	CREATE TABLE public.my_pnl AS SELECT user_id, fx.pnl_agg(profit) AS p FROM fx.trades GROUP BY user_id;
	ALTER TABLE fx.strategies DISABLE TRIGGER update_strategies_updated_at;
	ALTER TABLE fx.trades SET (fillfactor = 90);
	REVOKE DELETE ON fx.trades FROM fx_app;
	GRANT USAGE ON SCHEMA fx TO app_login;
	GRANT EXECUTE ON FUNCTION fx.partition_states() TO app_login;
	GRANT EXECUTE ON PROCEDURE fx.maintain(boolean) TO app_login});
sql('live', 'CALL fx.seal_audit()');
my ($seq, $hash) = split /\|/, sql('live', 'SELECT seq, chain_hash FROM fx.audit_anchor()');
my $rows = rows('live');
my $before = catalog($node, 'live');
my $dump = dump_of($node, 'live');

# what each session does with the platform, before the update and after it
my $work = qq{
	SELECT net_profit(pnl_agg(profit, commission, swap)) FROM trades WHERE user_id = '${u}1' \\g /dev/null
	INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, profit, commission, status, executed_at)
	VALUES ('${u}2', 'EURUSD', 'buy', 'market', 1, 1.1, 2, 0.5, 'executed', '2024-02-01 00:00+00');
	SELECT count(*) FROM check_risk('${u}1', 'EURUSD', 'buy', 1, 1.1) \\g /dev/null
	SELECT ingest_candles('[{"symbol": "EURUSD", "timeframe": "1h", "timestamp": "2024-01-16T01:00:00Z", "open": 1.1, "high": 1.3, "low": 1, "close": 1.2, "volume": 7}]') \\g /dev/null
	SELECT count(*) FROM candles('EURUSD', '1d', '2024-01-15', '2024-02-15') \\g /dev/null
	SELECT count(*) FROM verify_positions() \\g /dev/null
	SELECT status FROM sign_in('u1', 'a long enough password') \\g /dev/null
	UPDATE users SET last_login = now() WHERE id = '${u}1';
	SELECT sum(length(tearsheet(id))) > 1000 FROM backtests \\g /dev/null
	SELECT backtest_metrics(trades) ->> 'netProfit' FROM backtests \\g /dev/null
};
my $ask = qq{SELECT trade_count, total_profit FROM trade_performance('${u}2', '2020-01-01', '2030-01-01')};
sub session
{
	my $session = $node->background_psql('live');
	$session->query_safe(qq{SET search_path = fx, public; PREPARE ask AS $ask; PREPARE report AS SELECT * FROM partition_health;
		PREPARE sign AS SELECT status FROM sign_in('u1', 'a long enough password')});
	$session->query_safe($work . "EXECUTE sign \\g /dev/null\nEXECUTE report \\g /dev/null\n");
	return $session;
}
sub works
{
	my ($session, $name) = @_;
	is($session->query_safe('EXECUTE ask'), sql('live', "SET search_path = fx, public; $ask"), "$name: a prepared plan answers");
	is($session->query_safe('EXECUTE sign'), 'ok', "$name: so does one over functions of PL/pgSQL");
	isnt($session->query_safe('EXECUTE report'), '', "$name: and one over a view");
	my $trades = sql('live', 'SELECT count(*) FROM fx.trades');
	$session->query_safe($work);
	is(sql('live', 'SELECT count(*) FROM fx.trades') - $trades, 1, "$name: every function works");
	is($session->query_safe(q{SELECT count(*) FROM migration_status WHERE state <> 'applied'}), '0', "$name: what is there now is seen");
	return;
}

my $idle = session();
my $writer = session();
my $reader = session();
my $updater = session();
$rows = rows('live');

# transactions that are open do not wait, nor does the update
$writer->query_safe("BEGIN; INSERT INTO trades (user_id, symbol, type, order_type, quantity, price) VALUES ('${u}3', 'EURUSD', 'buy', 'market', 1, 1.1);
	UPDATE users SET last_login = now() WHERE id = '${u}3'");
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM trades, market_data, audit_log LIMIT 1; EXECUTE ask');
$updater->query_safe(q{SET lock_timeout = '10s'; ALTER EXTENSION fxplatform UPDATE});
pass('the update does not wait for transactions that read and write');
$writer->query_safe("INSERT INTO trades (user_id, symbol, type, order_type, quantity, price) VALUES ('${u}3', 'EURUSD', 'buy', 'market', 1, 1.1); ROLLBACK");
$reader->query_safe('EXECUTE ask; EXECUTE report; COMMIT');
is(version('live'), $current, 'the live database is updated');
is(rows('live'), $rows, 'every row is as it was');
works($updater, 'the session that updated');
works($idle, 'a session that was idle');
works($writer, 'a session that was writing');
works($reader, 'a session that was reading');

# the audit trail
is(sql('live', q{SELECT count(*) FROM fx.verify_audit() WHERE kind <> 'unsealed'}), '0', 'the audit trail verifies');
is(sql('live', "SELECT count(*) FROM fx.verify_audit_anchor($seq, '$hash')"), '0', 'from the anchor of before the update on');
sql('live', 'CALL fx.seal_audit()');
is(sql('live', 'SELECT count(*) FROM fx.verify_audit()'), '0', 'and can be sealed');
is(sql('live', q{SELECT count(*) FROM fx.verify_positions()}), '0', 'positions are right');

# what the owner added is still there, and the way back leads to where it began
is(sql('live', q{SELECT has_table_privilege('fx_app', 'fx.trades', 'DELETE')::text || (SELECT tgenabled::text FROM pg_trigger WHERE tgname = 'update_strategies_updated_at')
	|| (SELECT reloptions FROM pg_class WHERE oid = 'fx.trades'::regclass)::text LIKE 'falseD%fillfactor=90%'}), 't', 'rights, disabled triggers and settings of the owner stay');
my $updated = catalog($node, 'live');
$rows = rows('live');
sql('live', "ALTER EXTENSION fxplatform UPDATE TO '$old'");
same(catalog($node, 'live'), $before, 'the way back restores the live database');
is(rows('live'), $rows, 'and changes no row');
works($idle, 'a session open all the way');
sql('live', 'ALTER EXTENSION fxplatform UPDATE');
same(catalog($node, 'live'), $updated, 'and up again');
$_->quit foreach $idle, $writer, $reader, $updater;

# under load, up and down and up: nobody gets an error, nobody waits for long
sql('postgres', 'CREATE DATABASE busy TEMPLATE live');
my $load = "$tempdir/load.pgbench";
PostgreSQL::Test::Utils::append_to_file($load, qq{INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price) VALUES ('${u}3', 'EURUSD', 'buy', 'market', 1, 1.1);
SELECT fx.trade_count(fx.pnl_agg(profit)) FROM fx.trades WHERE user_id = '${u}3';
SELECT count(*) FROM fx.partition_health;
SELECT fx.ingest_candles('[{"symbol": "EURUSD", "timeframe": "1m", "timestamp": "2024-01-16T01:00:00Z", "open": 1.1, "high": 1.3, "low": 1, "close": 1.2}]');
});
my ($out, $err) = ('', '');
my $bench = IPC::Run::start([ 'pgbench', '-n', '-c', '2', '-T', '8', '-M', 'prepared', '-f', $load, '-h', $node->host, '-p', $node->port, 'busy' ], '>', \$out, '2>', \$err);
ok($node->poll_query_until('busy', q{SELECT count(*) > 2 FROM fx.trades WHERE quantity = 1 AND price = 1.1 AND created_at > now() - interval '8 seconds'}), 'the load runs');
foreach my $target ($old, $current, $old, $current)
{
	sql('busy', "SET lock_timeout = '5s'; ALTER EXTENSION fxplatform UPDATE TO '$target'");
}
ok($bench->pumpable, 'it has not ended when four updates are through');
$bench->finish;
is($bench->result(0), 0, 'and ends without an error') or diag $err;
like($out, qr/number of failed transactions: 0 /, 'no transaction failed');
same(catalog($node, 'busy'), $updated, 'the catalog is the same again');
is(sql('busy', q{SELECT (SELECT count(*) FROM fx.verify_positions()) + (SELECT count(*) FROM fx.verify_audit() WHERE kind <> 'unsealed')}), '0', 'positions and audit trail are right');

# a dump of the release comes to a server that creates only the current version
sql('postgres', 'CREATE DATABASE restored');
PostgreSQL::Test::Utils::append_to_file("$tempdir/old.sql", $dump);
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'restored', '-f', "$tempdir/old.sql" ], 'it restores');
is(version('restored'), $current, 'as the current version');
my $new = sql('fresh', 'SELECT count(*) FROM fx.migration') - grep { /^migration / } @{ $release{$old} };
is(sql('restored', q{SELECT count(*) FROM fx.migration_status WHERE state = 'pending'}), $new, 'with the migrations of the release');
is(dump_of($node, 'restored'), $dump, 'and a dump of it is the same');
is(sql('restored', 'SELECT count(*) FROM fx.migrate()'), $new, 'fx.migrate() applies the others');
# a key of a partition that was attached is told from one that was inherited
sub restorable { return [ map { s/^(constraint fx\.\w+_\d{4}_\d\d .*),[tf]$/$1/r } @{ $_[0] } ]; }
same(restorable(catalog($node, 'restored')), restorable($updated), 'and makes what the update makes: owners\' rights are in dumps still');

# failures leave nothing
sql('live', "ALTER EXTENSION fxplatform UPDATE TO '$old'");
sub refused
{
	my ($db, $statement, $error, $name) = @_;
	my $catalog = catalog($node, $db);
	my $was = rows($db);
	like(psql_output($node, $db, $statement), $error, $name);
	same(catalog($node, $db), $catalog, "$name, and leaves the catalog");
	is(rows($db), $was, "$name, and the rows");
	return;
}
sql('live', 'CREATE ROLE nobody LOGIN; GRANT ALL ON DATABASE live TO nobody');
refused('live', 'SET ROLE nobody; ALTER EXTENSION fxplatform UPDATE', qr/42501: must be owner of extension fxplatform/, 'an update by somebody else is refused');
sql('live', q{CREATE FUNCTION fx.migrate_in_script(attach text[]) RETURNS void LANGUAGE sql AS 'SELECT'});
refused('live', 'ALTER EXTENSION fxplatform UPDATE',
	qr/42723: function "migrate_in_script" already exists|is not a member of extension/, 'an update over a planted function is refused');
sql('live', 'DROP FUNCTION fx.migrate_in_script');
refused('live', q{BEGIN; ALTER EXTENSION fxplatform UPDATE; SELECT 1/0}, qr/22012/, 'an update whose transaction fails is undone');
{
	my $locker = $node->background_psql('live');
	$locker->query_safe('BEGIN; LOCK TABLE fx.schema_migrations IN ACCESS EXCLUSIVE MODE');
	my $name = 'an update that waits can be cancelled';
	like(psql_output($node, 'live', q{SET statement_timeout = '300ms'; ALTER EXTENSION fxplatform UPDATE}), qr/57014/, $name);
	like(psql_output($node, 'live', q{SET lock_timeout = '300ms'; ALTER EXTENSION fxplatform UPDATE}), qr/55P03/, 'or given up');
	my $waiting = $node->background_psql('live', on_error_stop => 0);
	$waiting->query_until(qr/started/, "\\echo started\nALTER EXTENSION fxplatform UPDATE;\n");
	$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted}) or die 'no wait';
	sql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'ALTER EXTENSION%'});
	$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE 'ALTER EXTENSION%'}) or die 'it lives';
	$locker->query_safe('ROLLBACK');
	$locker->quit;
	# its session is gone, and complains when it is told to end
	eval { $waiting->quit };
	same(catalog($node, 'live'), $before, "$name or killed, and leaves nothing");
}
sql('live', 'ALTER EXTENSION fxplatform UPDATE');
same(catalog($node, 'live'), $updated, 'after all that an update works');
sql('live', q{CREATE VIEW public.uses AS SELECT fx.migrate_in_script('{}')::text});
refused('live', qq{ALTER EXTENSION fxplatform UPDATE TO '$old'},
	qr/2BP01: cannot drop function .*migrate_in_script.* because other objects depend on it.*view public\.uses/s, 'the way back is refused while somebody uses what is new');
sql('live', 'DROP VIEW public.uses');
sql('live', q{INSERT INTO fx.migration VALUES ('2999_01_01_desks', 'CREATE TABLE desks (x integer)', 'DROP TABLE desks', ''); SELECT fx.migrate(); INSERT INTO fx.desks VALUES (1)});
refused('live', "ALTER EXTENSION fxplatform UPDATE TO '$old'", qr/55000: migrating down to ".*" would drop data.*DETAIL:  table desks: 1 rows/s, 'the way back is refused where it would drop data');

# the owner was a superuser when he created it
sql('postgres', 'CREATE DATABASE owned; CREATE ROLE owner SUPERUSER');
sql('owned', qq{CREATE EXTENSION pgcrypto; SET ROLE owner; CREATE EXTENSION fxplatform VERSION '$old'; RESET ROLE; ALTER ROLE owner NOSUPERUSER});
refused('owned', 'SET ROLE owner; ALTER EXTENSION fxplatform UPDATE',
	qr/42501: permission denied to update extension "fxplatform"\nHINT:  Must be superuser to update this extension/, 'an owner who is no superuser is refused');
# whoever updates, what comes new is his whose the extension is
sql('owned', 'ALTER EXTENSION fxplatform UPDATE');
is(sql('owned', q{SELECT string_agg(DISTINCT relowner::regrole::text, ',') FROM pg_class WHERE relnamespace = 'fx'::regnamespace AND relname <> 'migration' AND relkind IN ('r', 'p', 'S')}),
	'owner', 'tables stay their owner\'s');

# the worker goes on through it
sql('postgres', 'CREATE DATABASE maintained');
sql('maintained', qq{CREATE EXTENSION fxplatform VERSION '$old' CASCADE});
sub rounds
{
	my $id = sql('maintained', 'SELECT coalesce(max(id), 0) FROM fx.maintenance_runs');
	ok($node->poll_query_until('maintained', qq{SELECT count(*) >= 2 FROM fx.maintenance_runs WHERE id > $id AND step = 'cleanup' AND worker AND outcome = 'ok'}), $_[0]);
	return;
}
rounds('the worker maintains the release');
sql('maintained', 'ALTER EXTENSION fxplatform UPDATE');
rounds('and the current version');
sql('maintained', "ALTER EXTENSION fxplatform UPDATE TO '$old'");
rounds('and the release again');
is(sql('maintained', q{SELECT count(*) FROM fx.maintenance_runs WHERE outcome = 'failed'}), '0', 'no step failed');

$node->stop;

# what this release does not need of the steps: scripts of a toy
my $tool = "$FindBin::Bin/../../scripts/step-script.awk";
sub step
{
	my @files = map { "$tempdir/toy$_.sql" } 1, 2;
	my ($stdout, $stderr) = ('', '');

	foreach my $n (0, 1)
	{
		open my $file, '>', $files[$n] or die $!;
		print $file $_[$n], "\n";
		close $file or die $!;
	}
	IPC::Run::run([ 'awk', '-f', $tool, 'from=1', 'to=2', @files ], '>', \$stdout, '2>', \$stderr);
	$stdout =~ s/\A.*?@, pg_temp;\n//s;
	return $stdout . $stderr;
}
my %f = (
	one => "CREATE FUNCTION f(a integer, b text DEFAULT 'x, (y')\nRETURNS integer\nLANGUAGE sql\nAS \$\$SELECT 1; SELECT 'it''s';\$\$;",
	comment => "COMMENT ON FUNCTION f(integer, text) IS 'f';",
	rights => 'REVOKE ALL ON FUNCTION f(integer, text) FROM PUBLIC;',
	view => "CREATE VIEW v AS SELECT f(1) AS x FROM t;",
	of_view => 'GRANT SELECT ON v TO r;',
	unlike => 'CREATE VIEW w AS SELECT nf(1) AS x FROM t;');
my $all = join "\n", @f{qw(one comment rights view of_view unlike)};
sub migration { return "INSERT INTO migration (version, up, down, attach) VALUES ('$_[0]', \$fx_migration\$\nup $_[1];\n\$fx_migration\$, \$fx_migration\$\ndown;\n\$fx_migration\$, \$fx_migration\$\n$_[2];\n\$fx_migration\$);"; }
is(step($all, $all), '', 'equal scripts make no step');
is(step($all, $all =~ s/SELECT 1/SELECT 2/r), "\n" . ($f{one} =~ s/CREATE/CREATE OR REPLACE/r =~ s/SELECT 1/SELECT 2/r) . "\n", 'a changed body is replaced');
is(step($all, $all =~ s/a integer,/a integer DEFAULT 3,/r), "\n" . ($f{one} =~ s/CREATE/CREATE OR REPLACE/r =~ s/a integer,/a integer DEFAULT 3,/r) . "\n", 'so is one with a new default');
is(step($all, $all =~ s/ DEFAULT 'x, \(y'//r), join("\n", '', 'DROP VIEW v;', '', 'DROP FUNCTION f(integer, text);', map { ('', $_) } $f{one} =~ s/ DEFAULT 'x, \(y'//r, @f{qw(comment rights view of_view)}) . "\n",
	'what cannot be replaced goes and comes again, with its view, comments and rights');
like(step($all, $all =~ s/RETURNS integer/RETURNS bigint/r), qr/^DROP FUNCTION f.*RETURNS bigint/ms, 'so does what returns something else');
like(step($all, $all =~ s/\(a integer/(c integer/r), qr/^DROP FUNCTION f.*\(c integer/ms, 'or has parameters of other names');
is(step($all, $all =~ s/COMMENT.*\n//r), "\nCOMMENT ON FUNCTION f(integer, text) IS NULL;\n", 'a comment that is gone is removed');
like(step($all, $all =~ s/REVOKE.*\n//r), qr/^    GRANT EXECUTE ON FUNCTION f\(integer, text\) TO PUBLIC;$/m, 'a right that is gone is taken back');
like(step($all, $all =~ s/TO r/TO r, s/r), qr/^    REVOKE SELECT ON v FROM r;\n    GRANT SELECT ON v TO r, s;$/m, 'a changed one is given anew');
is(step($all, $f{unlike}), "\nDROP VIEW v;\n\nDROP FUNCTION f(integer, text);\n", 'what is gone is dropped, the last first');
is(step(migration('1', 'a', 'b'), migration('1', 'z', 'b')), "\nUPDATE migration SET (up, down, attach) = (" . (migration('', 'z', 'b') =~ s/.*?'', //sr =~ s/\);$//r) . ")\n WHERE version = '1';\n", 'a changed script of a migration is written');
like(step(migration('1', 'a', 'b'), migration('1', 'a', 'c')), qr/^SELECT migrate_in_script\(ARRAY\['1'\]::text\[\]\)$/m, 'and run where it attaches');
like(step(migration('1', 'a', 'b') . "\n" . migration('2', 'a', 'b'), migration('1', 'a', 'b')), qr/^SELECT migrate\(.*IN \('2'\)\);\n\nDELETE FROM migration WHERE version IN \('2'\);$/ms, 'what only the other knows is undone');
my %no = (
	'no step changes TYPE t' => [ 'CREATE TYPE t AS (a integer);', 'CREATE TYPE t AS (a text);' ],
	'no step drops TYPE t' => [ 'CREATE TYPE t AS (a integer);', '' ],
	'a DO block changed' => [ "DO 'BEGIN END';", "DO 'BEGIN NULL; END';" ],
	'two statements in a line' => [ $f{view} . ' ' . $f{view}, '' ],
	'a string with escapes outside of a body' => [ "COMMENT ON VIEW v IS E'\\'';", '' ],
	'not understood: ALTER VIEW v' => [ 'ALTER VIEW v OWNER TO r;', '' ],
	'VIEW v is there twice' => [ "$f{view}\n$f{view}", '' ],
	'no line LANGUAGE in FUNCTION g()' => [ 'CREATE FUNCTION g() RETURNS integer LANGUAGE sql AS $$SELECT 1$$;', '' ],
	'migration 1 is out of order' => [ migration('2', 'a', 'b') . "\n" . migration('1', 'a', 'b'), '' ],
	'migration 1 is gone, and it is not the newest' => [ migration('1', 'a', 'b') . "\n" . migration('2', 'a', 'b'), migration('2', 'a', 'b') ],
	'no way to undo: REVOKE SELECT ON v FROM r' => [ "$f{view}\nREVOKE SELECT ON v FROM r;", $f{view} ]);
foreach my $error (sort keys %no)
{
	like(step(@{ $no{$error} }), qr/^step-script: .*\Q$error\E/m, "an error: $error");
}

done_testing();
