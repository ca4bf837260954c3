# What no single session can show: settings given before the module is loaded,
# a revocation that reaches other backends, guesses made at once or rolled back,
# a restart, and that no secret is in the log or in pg_stat_activity.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
fsync = off
fxplatform.password_cost = 4
fxplatform.session_recheck = 0
log_statement = all
log_min_messages = debug1
log_parameter_max_length_on_error = -1
});
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE fx');
$node->safe_psql('fx', q{
	CREATE EXTENSION fxplatform CASCADE;
	CREATE ROLE web LOGIN IN ROLE fx_user;
	CREATE ROLE app LOGIN IN ROLE fx_app;
	SELECT fx.create_user('ada@example.com', 'ada', 'correct horse battery'), fx.create_user('bob@example.com', 'bob', 'password of bob');
	INSERT INTO fx.strategies (user_id, name, type) SELECT id, username, 'manual' FROM fx.users});

sub sql { return $node->safe_psql('fx', $_[0]); }
sub as_web
{
	my ($sql, $options) = @_;
	my ($ret, $stdout, $stderr) = $node->psql('fx', $sql, on_error_stop => 0,
		connstr => $node->connstr('fx') . " user=web options='" . ($options // '') . "'");
	return $stdout;
}
my $ada = sql(q{SELECT id FROM fx.users WHERE username = 'ada'});
my $bob = sql(q{SELECT id FROM fx.users WHERE username = 'bob'});
sub sign_in { return sql(q{SELECT token FROM fx.sign_in('ada', 'correct horse battery')}); }
my $token = sign_in();

# settings that are given before the module is loaded
my $names = "SET app.current_user_id = '$bob'; SELECT string_agg(name, ',') FROM fx.strategies";
is(as_web($names), 'bob', 'the setting is believed by default');
foreach my $command ('ALTER DATABASE fx SET fxplatform.require_session = on', 'ALTER ROLE web SET fxplatform.require_session = on', undef)
{
	my $where = $command // 'postgresql.conf';
	if ($command) { sql($command); }
	else { $node->append_conf('postgresql.conf', 'fxplatform.require_session = on'); $node->reload; }

	is(as_web($names), '', "not with require_session by $where");
	is(as_web($names, '-c fxplatform.require_session=off'), '', 'the client does not turn it off');
	is(as_web("SET fxplatform.require_session = off; $names"), '', 'nor before the module is loaded');
	is(as_web("SET fxplatform.require_session = off; RESET fxplatform.require_session; $names"), '', 'nor by RESET');
	is(as_web("ALTER ROLE web SET fxplatform.require_session = off; ALTER ROLE web IN DATABASE fx SET fxplatform.require_session = off"), '', 'nor for himself');
	is(as_web($names), '', 'nor for the next time');
	is(as_web("SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET debug_parallel_query = on; SET force_parallel_mode = on;
		SET app.current_user_id = '$bob'; SELECT count(*) FROM fx.strategies WHERE fx.current_user_id() = '$bob'", '-c fxplatform.require_session=off'), '0', 'nor in a parallel worker');
	is(as_web("SELECT fx.use_session('$token') IS NOT NULL; $names"), "t\nada", 'a session counts');
	sql('ALTER DATABASE fx RESET fxplatform.require_session; ALTER ROLE web RESET fxplatform.require_session');
}
my $session = sql(q{SELECT id FROM fx.sessions LIMIT 1});
my $forged = "$bob $session";
is(as_web('SELECT fx.current_user_id() IS NULL', "-c fxplatform.bound_session=" . $forged =~ s/ /\\\\ /r), 't', 'no session is planted by the client');
is(as_web("SET fxplatform.bound_session = '$forged'; SELECT fx.current_user_id() IS NULL"), 't', 'nor by SET before the module is loaded');

is(as_web('SET ROLE fx_app; SELECT current_user'), 'web', 'nobody becomes the application');

# a revocation reaches the backends that are bound
my $first = $node->background_psql('fx', on_error_stop => 0);
$first->query_safe('SET ROLE fx_user');
is($first->query_safe("SELECT fx.use_session('$token') = '$ada'"), 't', 'one backend is bound');
is(sql("SELECT fx.sign_out('$token')"), 't', 'another signs the session out');
is($first->query_safe('SELECT fx.current_user_id() IS NULL'), 't', 'the first one is bound no longer');
$token = sign_in();
$first->query_safe("SELECT fx.use_session('$token')");
$first->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM fx.strategies');
sql("SELECT fx.delete_user('$ada')");
is($first->query_safe('SELECT fx.current_user_id() IS NULL'), 't', 'an old snapshot does not hide it');
$first->query_safe('ROLLBACK');
is($first->query_safe('SELECT fx.current_user_id() IS NULL'), 't', 'nor does a rollback undo it');
sql("UPDATE fx.users SET deleted_at = NULL WHERE id = '$ada'");
$first->quit;

# guesses: many at once, rolled back each, from new connections each
my $dir = $node->basedir;
append_to_file("$dir/guess.sql", q{
BEGIN;
SELECT status FROM fx.sign_in('ada', 'wrong' || random());
ROLLBACK;
});
$node->command_ok([ 'pgbench', '-n', '-C', '-c', '8', '-t', '20', '-f', "$dir/guess.sql", 'user=web dbname=fx' ], 'guessing');
is(sql('SELECT count(*) FROM fx.sign_in_failures'), '0', 'every failure was rolled back');
# the delay of the last guess may have just ended; then this one starts the next
sql(q{SELECT fx.sign_in('ada', 'wrong')});
my @row = split /\|/, sql(q{SELECT status, coalesce(retry_after > '0', false) FROM fx.sign_in('ada', 'wrong')});
is($row[0], 'delayed', 'and still counted');
is(sql(q{SELECT status FROM fx.sign_in('bob', 'password of bob')}), 'ok', 'others sign in');
append_to_file("$dir/count.sql", q{SELECT (status = 'failed')::integer AS looked FROM fx.sign_in('nobody at all', 'wrong' || random()) \gset
INSERT INTO guesses SELECT WHERE :looked = 1;
});
sql('CREATE TABLE guesses (); GRANT ALL ON guesses TO web; SELECT pg_sleep(1)');
$node->command_ok([ 'pgbench', '-n', '-c', '8', '-t', '5', '-f', "$dir/count.sql", 'user=web dbname=fx' ], 'guessing at once');
cmp_ok(sql('SELECT count(*) FROM guesses'), '<=', 6, 'no more passwords are looked at than one after the other');

# after a restart the table knows what was committed
sql(q{INSERT INTO fx.sign_in_failures (login_hash) SELECT fx.login_hash('carol') FROM generate_series(1, 12)});
$node->restart;
is(sql(q{SELECT status FROM fx.sign_in('carol', 'wrong')}), 'delayed', 'failures outlive a restart');
is(sql(q{SELECT status FROM fx.sign_in('bob', 'password of bob')}), 'ok', 'the memory is made anew');
$node->stop('immediate');
$node->start;
is(sql(q{SELECT status FROM fx.sign_in('bob', 'password of bob')}), 'ok', 'after a crash too');

# keys and secrets are in no log and no view
my $keys = $node->basedir . '/keys';
my @key = map { sql("SELECT encode(sha256('$_'), 'base64')") } 1 .. 2;
umask 0077;
append_to_file($keys, "1:$key[0]\n");
$node->append_conf('postgresql.conf', "fxplatform.key_file = '$keys'");
$node->restart;
my $start = -s $node->logfile;
my $secret = sql("SELECT secret FROM fx.enable_two_factor('$ada')");
append_to_file("$dir/sign_in.sql", qq{
SELECT fx.encrypt('a secret of the application', 'x'), fx.decrypt(fx.encrypt('another', 'x'), 'x');
SELECT fx.sign_in('ada', 'correct horse battery');
});
$node->command_ok([ 'pgbench', '-n', '-M', 'extended', '-t', '1', '-f', "$dir/sign_in.sql", 'fx' ], 'signing in');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%' || (SELECT password_hash FROM fx.users WHERE username = 'ada') || '%'}), '0', 'no hash is in the activity');
append_to_file($keys, "2:not a key\n");
like(($node->psql('fx', q{SELECT fx.encrypt('a', 'b')}))[2], qr/the file of keys cannot be used/, 'a broken file is refused');
my $log = substr(slurp_file($node->logfile), $start);
unlike($log, qr/\Q$key[0]\E|\Q$secret\E|not a key|\$2a\$|fxs_[-_A-Za-z0-9]{43}/, 'no key, no secret, no hash and no token is in the log');
like($log, qr/DETAIL:  Each line must be .* File: "\Q$keys\E"/, 'the log says which file it is');

# a rotation that is interrupted goes on
unlink $keys;
append_to_file($keys, "1:$key[0]\n");
sql(q{CREATE TABLE broker (id integer PRIMARY KEY, secret text);
	SELECT fx.register_encrypted_column('broker', 'secret');
	INSERT INTO broker SELECT n, fx.encrypt('secret ' || n, CASE n WHEN 1500 THEN 'elsewhere' ELSE 'public.broker.secret:' || n END) FROM generate_series(1, 2000) AS n});
append_to_file($keys, "2:$key[1]\n");
my ($ret, $stdout, $stderr) = $node->psql('fx', 'CALL fx.rotate_encryption_keys(5)');
like($stderr, qr/NOTICE:  column public\.broker\.secret: 5 of \d+ pages, \d+ values encrypted/, 'it says how far it is');
like($stderr, qr/ERROR:  value of column "secret" cannot be authenticated\nDETAIL:  Table public\.broker, row "1500"/, 'and which value is none');
my $done = sql('SELECT count(*) FROM broker WHERE fx.encryption_version(secret) = 2');
cmp_ok($done, '>', 500, 'what was done is kept');
cmp_ok($done, '<', 1500, 'up to that row');
sql('DELETE FROM broker WHERE id = 1500; CALL fx.rotate_encryption_keys()');
is(sql(q{SELECT count(*) FROM broker WHERE fx.encryption_version(secret) = 2 AND fx.decrypt(secret, 'public.broker.secret:' || id) = 'secret ' || id}), '1999', 'it goes on where it was');
is(sql(q{SELECT min(key_version) FROM fx.encrypted_columns}), '2', 'and notes it');
is(sql(qq{SELECT fx.verify_totp('$ada', fx.totp(fx.base32_decode('$secret'), clock_timestamp()))}), 't', 'the second factor works with the new key');

# migrating down refuses to drop secrets
my $before = sql(q{SELECT max(version) FROM fx.migration WHERE version < '2024_05_03'});
like(($node->psql('fx', "SELECT fx.migrate('$before')"))[2], qr/would drop data\nDETAIL:  .*table two_factor: 1 rows/, 'down with second factors is refused');
sql("SELECT fx.migrate('$before', force => true)");
is(sql(q{SELECT count(*) FROM fx.users WHERE two_factor_secret IS NOT NULL}), '0', 'ciphertext goes with its books');
sql('SELECT fx.migrate()');
is(sql(q{SELECT status FROM fx.sign_in('bob', 'password of bob')}), 'ok', 'and up again');

$node->stop;

# in a user namespace that has nobody but the caller, the owner of what root
# has installed is somebody else
SKIP:
{
	my @elsewhere = ('unshare', '--map-current-user');
	my $alien = $^X;
	skip 'no file of root, or no user namespaces', 2
	  if (stat $alien)[4] != 0 || !IPC::Run::run([ @elsewhere, 'true' ], '>', \my $nothing, '2>', \my $why);

	foreach my $file ($alien, $keys)
	{
		my $query = q{SELECT fx.decrypt(fx.encrypt('a', 'b'), 'b') = 'a' AS kept};
		IPC::Run::run([ @elsewhere, 'postgres', '--single', '-D', $node->data_dir, '-c', "fxplatform.key_file=$file", 'fx' ], '<', \$query, '>', \my $out, '2>', \my $err);
		if ($file eq $alien) { like($err, qr/the file of keys cannot be used\n.*It must be owned by the user of the server or by root\. File: "\Q$file\E"/, 'the keys of somebody else are refused'); }
		else { like($out, qr/kept = "t"/, 'but not those of the server'); }
	}
}

done_testing();
