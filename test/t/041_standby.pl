# A standby answers every question that the primary answers, and refuses every
# change in plain words; so does a read-only transaction of the primary.  When the
# primary is killed in the middle of everything, the promoted standby has what
# was acknowledged, and goes on; twice, for two degrees of synchronous commit.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use FxLoad;
use FxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use MIME::Base64 qw(encode_base64);
use Time::HiRes qw(sleep);

my $primary = PostgreSQL::Test::Cluster->new('first');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', q{
shared_preload_libraries = 'fxplatform'
fxplatform.databases = 'postgres'
fxplatform.maintenance_interval = 1
fxplatform.password_cost = 4
fxplatform.session_recheck = '100ms'
shared_buffers = '32MB'
max_connections = 40
jit = off
timezone = 'UTC'
log_statement = none
log_line_prefix = '%m [%p] %b %e '
});
my $keys = PostgreSQL::Test::Utils::tempdir . '/keys';
append_to_file($keys, '1:' . encode_base64('k' x 32));
chmod(0600, $keys);
$primary->append_conf('postgresql.conf', "fxplatform.key_file = '$keys'");
$primary->start;
prepare_load($primary);

sub standby_of
{
	my ($node, $name) = @_;
	my $standby = PostgreSQL::Test::Cluster->new($name);

	$node->backup($name);
	$standby->init_from_backup($node, $name, has_streaming => 1);
	$standby->start;
	$node->append_conf('postgresql.conf', "synchronous_standby_names = '$name'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT sync_state = 'sync' FROM pg_stat_replication") or die 'the standby is not synchronous';
	return $standby;
}

#
# Every function
#

$primary->safe_psql('postgres', 'CREATE DATABASE filled');
$primary->safe_psql('filled', 'CREATE EXTENSION fxplatform CASCADE');
fill($primary, 'filled');
my $user = '00000000-0000-4000-8000-0000000000a1';
my $token = $primary->safe_psql('filled', "SELECT token FROM fx.sign_in('u1', 'a long enough password')");
$primary->safe_psql('filled', "UPDATE fx.sessions SET last_used_at = last_used_at - interval '1 hour'");

my $key = $primary->safe_psql('filled', "SELECT fx.issue_api_key('$user', 'another key')");
my $sealed = $primary->safe_psql('filled', q{SELECT fx.encrypt('secret', 'context')});
my $trades = q{'[{"profit": 5, "closedAt": "2024-01-02T00:00:00Z"}, {"profit": -2, "closedAt": "2024-01-03T00:00:00Z"}]'};

# What is passed: to an argument of a function, to any argument of a name, to any
# of a type; else NULL.
my %value_of = (
	'add_standard_holidays.since' => 2030, 'add_standard_holidays.until' => 2031, 'audit_snapshot_through.snapshot' => q{'10:20:10'}, 'check_backtest_transition.from_status' => q{'pending'},
	'check_backtest_transition.to_status' => q{'running'}, 'create_monthly_partitions.parent' => q{'quotes'}, 'decrypt.value' => "'$sealed'", 'decrypt_value.value' => "'$sealed'",
	'estimated_rows.condition' => q{'true'}, 'register_encrypted_column.relation' => q{'public.secrets'}, 'register_encrypted_column.column_name' => q{'secret'}, 'html_groups.groups' => q{'[]'}, 'backtest_metrics.period_start' => 'NULL', 'backtest_metrics.period_end' => 'NULL', 'totp.secret' => q{'\x00112233445566778899aabbccddeeff'}, 'drop_detached_partition.partition' => q{'quotes_2024_01'},
	'create_market_data_partitions.since' => q{'2031-01-01'}, 'create_market_data_partitions.until' => q{'2031-02-01'}, 'create_quote_partitions.since' => q{'2031-01-01'}, 'create_quote_partitions.until' => q{'2031-02-01'},
	'create_monthly_partitions.since' => q{'2031-01-01'}, 'create_monthly_partitions.until' => q{'2031-02-01'}, 'run_expire_batch.partition' => q{'market_data_2024_01'}, 'totp.digits' => 6,
	'ingest_candles.candles' => q{'[{"symbol": "EURUSD", "timeframe": "1h", "timestamp": "2024-01-20T00:00:00Z", "open": 1, "high": 1, "low": 1, "close": 1, "volume": 1}]'},
	'ingest_candles.fx.candle[]' => q{ARRAY[('EURUSD', '1h', '2024-01-20 00:00+00', 1, 1, 1, 1, 1)]}, 'issue_api_key.expires_at' => 'NULL', 'mark_partition.parent' => q{'quotes'},
	'mark_partition.partition' => q{'quotes_2024_01'}, 'drop_detached_partition.parent' => q{'quotes'}, 'drop_expired_partition.parent' => q{'quotes'}, 'drop_expired_partition.partition' => q{'quotes_2024_01'},
	'drop_expired_partition.before' => q{'2024-02-01 00:00+00'}, 'expire_batch.table' => q{'market_data'}, 'expire_batch.partition' => q{'market_data_2024_01'}, 'run_expire_batch.table' => q{'market_data'},
	'partition_expired.parent' => q{'quotes'}, 'partition_expired.relation' => q{'fx.quotes_2024_01'}, 'migrate.target' => q{'none'}, 'migrate.force' => 'true', 'migration_losses.versions' => q{'{2024_03_02_candle_ingest}'},
	'register_encrypted_column.key_column' => 'NULL', (map { ($_ . '.backtest_id' => q{'00000000-0000-4000-8000-0000000000c3'}) } qw(start_backtest complete_backtest cancel_backtest fail_backtest lock_backtest)),
	'lock_backtest.to_status' => q{'running'}, 'report_progress.backtest_id' => q{'00000000-0000-4000-8000-0000000000c4'},
	'rotate_encryption_pages.relation' => q{'fx.users'}, 'rotate_encryption_pages.column_name' => q{'two_factor_secret'}, 'rotate_encryption_pages.key_column' => q{'id'}, 'run_migration_script.script' => q{'CREATE TABLE fx.more ()'},
	'set_trading_state.state' => q{'halted'}, 'apply_risk_preset.preset' => q{'the5ers'}, 'setting_interval.setting' => q{'lock_timeout'}, 'timeframe_named.name' => q{'H1'}, 'totp.algorithm' => q{'sha1'},
	'trading_periods.time_zone' => q{'UTC'}, 'verify_api_key.key' => "'$key'", 'what_if.trades' => q{'[{"symbol": "EURUSD", "type": "buy", "quantity": 1, "price": 1.1}]'}, 'load_candles.staging' => q{'public.staging'},
	'staging_columns.staging' => q{'public.staging'}, 'timeframe_spans.relation' => q{'fx.market_data'}, 'row_as_of.id' => q{'00000000-0000-4000-8000-0000000000b1'}, 'history.resource_type' => q{'strategies'},
	'history.resource_id' => q{'00000000-0000-4000-8000-0000000000b1'}, 'tick_candles.since' => q{'2024-01-30 00:00+00'}, 'audit_snapshot_through.last' => 'NULL', 'create_user.email' => q{'new@example.com'});
my %by_name = (
	'user_id' => "'$user'", 'strategy_id' => q{'00000000-0000-4000-8000-0000000000b1'}, 'backtest_id' => q{'00000000-0000-4000-8000-0000000000c1'},
	'trade_id' => qq{(SELECT id FROM fx.trades WHERE user_id = '$user' AND closed_at IS NULL AND NOT is_backtest ORDER BY executed_at, id LIMIT 1)},
	'limit_id' => q{(SELECT id FROM fx.risk_limits LIMIT 1)}, 'key_id' => q{(SELECT id FROM fx.api_keys LIMIT 1)}, 'session_id' => q{(SELECT id FROM fx.sessions ORDER BY id LIMIT 1)},
	'symbol' => q{'EURUSD'}, 'symbol_read' => q{'EURUSD'}, 'timeframe' => q{'1h'}, 'timeframe_read' => q{'1h'}, 'type' => q{'buy'}, 'side' => q{'bid'}, 'alignment' => q{'new_york'}, 'fill' => q{'previous'},
	'from_currency' => q{'EUR'}, 'to_currency' => q{'USD'}, 'account_currency' => q{'USD'}, 'login' => q{'u1'}, 'password' => q{'a long enough password'}, 'token' => "'$token'", 'by' => q{'symbol'},
	'query' => q{'strategy'}, 'table' => q{'fx.strategies'}, 'work' => q{'maintain'}, 'step' => q{'rollups'}, 'order_type' => q{'market'}, 'status' => q{'executed'}, 'outcome' => q{'ok'}, 'trades' => $trades,
	'context' => q{'context'}, 'since' => q{'2024-01-16'}, 'until' => q{'2024-03-01'}, 'as_of' => q{'2024-01-20 12:00+00'});
my %by_type = (
	'uuid' => "'$user'", 'text' => q{'text'}, 'name' => q{'name'}, 'numeric' => '1.1', 'integer' => '1', 'bigint' => '1', 'boolean' => 'false', 'double precision' => '1',
	'timestamp with time zone' => q{'2024-01-20 12:00+00'}, 'date' => q{'2024-01-20'}, 'date[]' => q{'{2023-01-20}'}, 'interval' => q{'1 hour'}, 'jsonb' => q{'{}'}, 'json' => q{'{}'},
	'text[]' => q{'{}'}, 'bytea' => q{'\x0011223344556677'}, 'inet' => q{'192.0.2.1'}, 'regclass' => q{'fx.market_data'}, 'oid' => q{'fx.market_data'::regclass}, 'time without time zone' => q{'17:00'});
my %own_types = (
	'fx.pnl' => qq{(SELECT fx.pnl_agg(p) FROM unnest('{1,-2,3}'::numeric[]) AS p)}, 'fx.equity' => q{(SELECT fx.equity_agg('2024-01-01 00:00+00'::timestamptz + n * interval '1 day', n) FROM generate_series(1, 3) AS n)},
	'fx.candlestick' => q{fx.candlestick('2024-01-20 12:00+00', 1, 2, 1, 2, 1)});

$primary->safe_psql('filled', q{
	INSERT INTO fx.backtests (id, strategy_id, user_id, name, status) SELECT ('00000000-0000-4000-8000-0000000000c' || n)::uuid, '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', n, s FROM (VALUES (3, 'pending'), (4, 'running')) AS v (n, s);
	CREATE TABLE public.secrets (id integer PRIMARY KEY, secret text);
	CREATE TABLE public.staging (symbol text, timeframe text, "timestamp" timestamptz, open numeric, high numeric, low numeric, close numeric, volume numeric);
	INSERT INTO public.staging VALUES ('EURUSD', '1h', '2024-01-20 00:00+00', 1, 1, 1, 1, 1)});

# Answers that differ from one call to the next, or from server to server, as all of health do
my %differs = map { $_ => 1 } qw(encrypt encrypt_value hash_password random_token tables_to_analyze run_analyze_batch run_mark_batch);
# Changes of shared memory take no transaction id
my %is_change = map { $_ => 1 } qw(charge_sign_in charge_attempt forgive_sign_in);
# These look whether they may, or can do half of what they do
my %does_without = map { $_ => 1 } qw(use_session verify_api_key analyze_table run_analyze_batch);

# all functions, by their names, and how to call them
sub calls
{
	my ($node) = @_;
	my @calls;

	foreach my $line (split /\n/, $node->safe_psql('filled', q{
		SELECT concat_ws('|', p.oid::regprocedure, p.provolatile, p.prokind, p.proname,
				(SELECT string_agg(concat_ws('~', coalesce(p.proargnames[a.n], ''), format_type(a.type, NULL)), ';' ORDER BY a.n)
				   FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) WITH ORDINALITY AS a (type, n)
				  WHERE p.proargmodes IS NULL OR p.proargmodes[a.n] IN ('i', 'b', 'v')))
		  FROM pg_proc AS p
		 WHERE p.pronamespace = 'fx'::regnamespace AND p.prokind IN ('f', 'p') AND p.prorettype NOT IN ('trigger'::regtype, 'internal'::regtype, 'cstring'::regtype)
		   AND NOT p.proargtypes::oid[] && '{internal,cstring}'::regtype[]::oid[]
		 ORDER BY p.oid::regprocedure::text COLLATE "C"}))
	{
		my ($signature, $volatile, $kind, $name, $arguments) = split /\|/, $line;
		my @values = map {
			my ($argument, $type) = split /~/;
			($value_of{"$name.$type"} // $value_of{"$name.$argument"} // $own_types{$type} // $by_name{$argument} // $by_type{$type} // 'NULL') . "::$type";
		} split /;/, $arguments // '';
		my $call = "fx.$name(" . join(', ', @values) . ')';
		push @calls, { signature => $signature, volatile => $volatile, name => $name,
			sql => $kind eq 'p' ? "CALL $call" : "SELECT md5(string_agg(r::text, E'\\n')) FROM $call AS r" };
	}
	return @calls;
}

# signature => message and SQLSTATE, or 00000 and the result
sub answers
{
	my ($node, $setting, @calls) = @_;

	return answers_of($node, map { "$setting\n\\echo == $_->{signature}\n$_->{sql};\n\\echo :SQLSTATE\n\\if :ERROR\n\\echo :LAST_ERROR_MESSAGE\n\\endif\n" } @calls);
}

# signature => t or f, whether the function writes; SQLSTATE where it fails
sub writers
{
	my ($node, @calls) = @_;

	return answers_of($node, map {
		"BEGIN;\n\\echo == $_->{signature}\n\\o /dev/null\n$_->{sql};\n\\o\n\\if :ERROR\n\\echo :SQLSTATE\n\\else\nSELECT pg_current_xact_id_if_assigned() IS NOT NULL;\n\\endif\nROLLBACK;\n" } @calls);
}

sub answers_of
{
	my ($node, @script) = @_;
	my ($out, $err);

	$node->psql('filled', join('', @script), stdout => \$out, stderr => \$err, on_error_stop => 0);
	my %answers = map { /^(.*)\n((?:.*\n)*)$/ ? ($1 => $2) : () } split /^== /m, "$out\n";
	$answers{$_} = join ' ', reverse split /\n/, $answers{$_} foreach keys %answers;
	return \%answers;
}

my $standby = standby_of($primary, 'second');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
my @calls = calls($primary);
my $on_standby = answers($standby, '', @calls);
my $read_only = answers($primary, 'SET default_transaction_read_only = on;', @calls);
my $writes = writers($primary, @calls);
my @wrong;
my (@failing, %answered);
my %counts = (reads => 0, writes => 0);
foreach my $call (@calls)
{
	my ($signature, $name, $writes) = ($call->{signature}, $call->{name}, $writes->{ $call->{signature} } // 'no answer');
	my @answers = map { $_->{$signature} // 'no answer' } $on_standby, $read_only;

	if ($writes !~ /^[tf]$/)
	{
		# nothing that the call could change, or no transaction block for it
		push @failing, "$name $writes";
		push @wrong, "$signature: $_" foreach grep { !/ (25006|$writes)$/ } @answers;
		next;
	}
	$writes = 't' if $is_change{$name};
	$counts{ $writes eq 't' ? 'writes' : 'reads' }++;
	push @wrong, "$signature is $call->{volatile}, and writes" if $writes eq 't' && $call->{volatile} ne 'v';
	if ($writes eq 't' && !$does_without{$name})
	{
		push @wrong, "$signature: $_" foreach grep { !/ 25006$/ } @answers;
	}
	elsif ($call->{volatile} ne 'v' || $answers[0] !~ / 25006$/)
	{
		push @wrong, "$signature on the standby: $answers[0]" if $answers[0] !~ /^00000/;
		push @wrong, "$signature: $answers[0], but $answers[1] on the primary" if !$differs{$name} && $name !~ /^health/ && $answers[0] ne $answers[1];
		$answered{$name} = 1;
	}
}
is(join("\n", @wrong), '', 'functions answer as on the primary, or say that the transaction is read-only');
cmp_ok($counts{reads}, '>', 200, "$counts{reads} functions read");
cmp_ok($counts{writes}, '>', 60, "$counts{writes} functions write");
cmp_ok(scalar(@failing), '<', 15, 'and few have no case here: ' . join(', ', @failing));
is(join(' ', grep { !$answered{$_} } qw(candles latest_candle latest_candles latest_stored_candle candle_gaps rate rate_details convert pip_value trade_performance pnl_report
	strategy_metrics backtest_metrics equity_curve equity_points tearsheet user_strategies search_strategies risk_utilization check_risk what_if verify_positions verify_audit
	audit_anchor verify_audit_anchor history row_as_of retention_plan partition_states verify_password verify_api_key use_session)), '', 'what a standby is there for works');

# what is read from as a table
my $views = $primary->safe_psql('filled', q{
	SELECT string_agg(format('SELECT count(*) >= 0 FROM %s;', c.oid::regclass), E'\n' ORDER BY c.relname) FROM pg_class AS c WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind IN ('v', 'm')});
cmp_ok(scalar(split /\n/, $views), '>', 1, 'there are views');
my ($ret, $out, $err) = $standby->psql('filled', $views);
is("$ret$err", '0', 'views work on the standby');

# the clearest of errors for the calls that somebody will make by mistake
like(psql_output($standby, 'filled', $_->[0]), $_->[1], $_->[0])
  foreach [ q{SELECT fx.sign_in('u1', 'a long enough password')}, qr/25006: attempts to sign in cannot be counted in a read-only transaction\nHINT:  Sign in on the primary server/ ],
  [ q{CALL fx.maintain()}, qr/25006: cannot execute INSERT in a read-only transaction/ ],
  [ q{CALL fx.seal_audit()}, qr/25006: cannot execute SELECT FOR UPDATE in a read-only transaction/ ],
  [ q{SELECT fx.refresh_candles()}, qr/25006: cannot execute \w+ in a read-only transaction/ ],
  [ q{INSERT INTO fx.strategies (user_id, name, type) SELECT id, 'name', 'manual' FROM fx.users}, qr/25006: cannot execute INSERT in a read-only transaction/ ];
is($standby->safe_psql('filled', q{SELECT count(*) FROM fx.migrate()}), '0', 'migrate() with nothing to do is no change');

# Whoever has signed in on the primary reads his own rows, until he signs out
my $own = q{SELECT (SELECT count(*) FROM fx.trades), (SELECT count(*) FROM fx.users), (SELECT count(*) FROM fx.strategies WHERE user_id <> fx.current_user_id() AND NOT is_public), (SELECT count(*) FROM fx.trade_performance(fx.current_user_id()))};
is($standby->safe_psql('filled', "SET ROLE fx_user; SET app.current_user_id = '$user'; $own"), $primary->safe_psql('filled', "SET ROLE fx_user; SET app.current_user_id = '$user'; $own"), 'row security is that of the primary');
like($standby->safe_psql('filled', "SET ROLE fx_user; SET app.current_user_id = '$user'; $own"), qr/^[1-9]\d*\|1\|0\|[1-9]/, 'and shows his own rows only');
is($standby->safe_psql('filled', "SET ROLE fx_user; $own"), '0|0|0|0', 'nobody sees nothing');
my $session = $standby->background_psql('filled', on_error_stop => 1);
$session->query_safe("SET fxplatform.require_session = on; SET fxplatform.session_recheck = '100ms'; SET ROLE fx_user; SET app.current_user_id = '$user'");
is($session->query_safe($own), '0|0|0|0', 'where sessions are required, the setting is not believed');
is($session->query_safe("SELECT fx.use_session('$token')"), $user, 'a session of the primary is one on the standby');
like($session->query_safe($own), qr/^[1-9]\d*\|1\|0\|[1-9]/, 'and shows his own rows only');
is($primary->safe_psql('filled', "SELECT fx.sign_out('$token')"), 't', 'he signs out on the primary');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
sleep(0.2);
is($session->query_safe($own), '0|0|0|0', 'and is nobody on the standby');
$session->quit;

#
# The primary is killed, and the standby is promoted
#

is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'fxplatform'}), '0', 'nobody maintains a standby');
my $done = 0;
my @logs = ($primary->logfile, $standby->logfile);
foreach my $round (1, 2)
{
	my $level = (qw(remote_apply on))[ $round - 1 ];
	my $load = start_load($primary, $round, $primary->connstr('postgres') . " options='-c synchronous_commit=$level'");

	ok($primary->poll_query_until('postgres', "SELECT count(*) > 0 FROM notes WHERE round = $round"), "$level: the load runs");
	sleep(1 + rand(1));
	my @pids = split /\n/, $primary->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()});
	$primary->kill9;
	kill('KILL', @pids);
	$standby->promote;
	end_load($load);
	cmp_ok($load->{count}, '>', 50, "$level: $load->{count} transactions acknowledged");
	$done += $load->{count};
	$standby->append_conf('postgresql.conf', q{synchronous_standby_names = ''});
	$standby->reload;
	verify_load($standby, $load, "promoted ($level)");

	# it goes on: the worker, new months, trades
	my $runs = $standby->safe_psql('postgres', 'SELECT coalesce(max(id), 0) FROM fx.maintenance_runs');
	ok($standby->poll_query_until('postgres', "SELECT count(*) > 0 FROM fx.maintenance_runs WHERE id > $runs AND worker AND step = 'cleanup'"), 'maintenance goes on');
	is($standby->safe_psql('postgres', "SELECT fx.create_market_data_partitions('203$round-01-01', '203$round-03-01')"), '2', 'months are made');
	last if $round == 2;

	$primary = $standby;
	$standby = standby_of($primary, 'third');
	push @logs, $standby->logfile;
}
is($standby->safe_psql('filled', q{SELECT (SELECT count(*) FROM fx.verify_positions()), (SELECT count(*) FROM fx.verify_audit() WHERE kind <> 'unsealed'), (SELECT status FROM fx.sign_in('u1', 'a long enough password'))}),
	'0|0|ok', 'the other database is whole too, and lets users in');

# the logs of all three, but for clients whose server went
foreach my $log (map { slurp_file($_) } @logs)
{
	my @errors = grep { /(PANIC|TRAP| XX\d\d\d )/ } split /\n/, $log;
	is(scalar(@errors) ? $errors[0] : '', '', 'no internal error in the log');
}
note("$done transactions acknowledged");

$standby->stop;
done_testing();
