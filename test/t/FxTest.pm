package FxTest;

# What the TAP tests share: a platform with data in every table, and pictures
# of a database to compare.

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(fill dump_of picture attached psql_output);

my $user = '00000000-0000-4000-8000-0000000000a';

# Put rows into every table of a database that has the extension, in the state
# of its first migration or later.
sub fill
{
	my ($node, $db) = @_;

	$node->safe_psql($db, <<"END");
SET search_path = fx, public;
SET app.current_user_id = '${user}1';
INSERT INTO users (id, email, username, password_hash, preferences)
SELECT ('$user' || n)::uuid, 'u' || n || '\@example.com', 'u' || n, 'hash' || n, '{"initialBalance": 1000}' FROM generate_series(1, 3) AS n;
INSERT INTO strategies (id, user_id, name, type, description, tags, is_public, parent_strategy_id)
SELECT ('00000000-0000-4000-8000-0000000000b' || n)::uuid, ('$user' || 1 + n / 3)::uuid, 'strategy ' || n, 'manual', 'text ''quoted'' \\ \t', '{a,"b c",NULL}', n = 1,
       CASE n WHEN 4 THEN '00000000-0000-4000-8000-0000000000b1'::uuid END FROM generate_series(1, 4) AS n;
INSERT INTO backtests (id, strategy_id, user_id, name, status, trades)
SELECT ('00000000-0000-4000-8000-0000000000c' || n)::uuid, '00000000-0000-4000-8000-0000000000b1', '${user}1', 'run ' || n, 'running',
       '[{"profit": 1.5, "closedAt": "2024-01-02T00:00:00Z"}]' FROM generate_series(1, 2) AS n;
SELECT complete_backtest(id, trades) FROM backtests WHERE name = 'run 1';
INSERT INTO trades (user_id, backtest_id, symbol, type, order_type, quantity, price, profit, commission, status, executed_at)
SELECT ('$user' || 1 + n % 2)::uuid, CASE WHEN n % 4 = 0 THEN '00000000-0000-4000-8000-0000000000c1'::uuid END, 'EURUSD', 'buy', 'market', n, 1.1,
       n - 20.12345678, 0.5, 'executed', timestamptz '2024-01-01 00:00+00' + n * interval '1 hour' FROM generate_series(1, 40) AS n;
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) VALUES ('${user}1', 'l', 'daily_loss', 'percentage', 5);
SELECT create_market_data_partitions('2024-01-01', '2024-04-01');
INSERT INTO market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
SELECT 'EURUSD', '1h', timestamptz '2024-01-15 00:00+00' + n * interval '1 hour', 1.1, 1.2, 1.0, 1.15, n FROM generate_series(1, 1500) AS n;
UPDATE users SET last_login = '2024-01-01 00:00+00' WHERE username = 'u2';
DELETE FROM backtests WHERE name = 'run 2';
END
	return if $node->safe_psql($db, q{SELECT to_regclass('fx.retention_policies') IS NULL}) eq 't';

	# what later migrations made; the last correction is not rolled up
	$node->safe_psql($db, <<'END');
SET search_path = fx, public;
SELECT refresh_candles();
SELECT ingest_candles('[{"symbol": "EUR/USD", "timeframe": "1h", "timestamp": "2024-01-15T01:00:00Z", "open": 1.1, "high": 1.3, "low": 1, "close": 1.2, "volume": 7},
	{"symbol": "EURUSD", "timeframe": "1h", "timestamp": "no time"}]');
SELECT create_quote_partitions('2024-01-01', '2024-03-01');
INSERT INTO quotes (symbol, "timestamp", bid, ask) SELECT 'EURUSD', timestamptz '2024-01-30 00:00+00' + n * interval '6 hours', 1.1, 1.1002 FROM generate_series(1, 10) AS n;
INSERT INTO holidays (day, name) VALUES ('2024-12-25', 'Christmas Day');
INSERT INTO retention_policies ("table", timeframe, keep) VALUES ('market_data', '1m', '90 days'), ('quotes', NULL, '30 days');
INSERT INTO candle_horizons VALUES ('1m', '2020-01-01 00:00+00');
INSERT INTO maintenance_runs (step, started_at, outcome) VALUES ('rollups', now(), 'ok');
END
	return if $node->safe_psql($db, q{SELECT to_regclass('fx.accounts') IS NULL}) eq 't';

	$node->safe_psql($db, <<"END");
SET search_path = fx, public;
SELECT deposit('${user}1', 5000, 'wire'), withdraw('${user}1', 100);
SELECT close_trade(id, 1.2, '2024-01-03 00:00+00') FROM trades WHERE user_id = '${user}1' AND NOT is_backtest ORDER BY executed_at LIMIT 1;
INSERT INTO risk_events (user_id, event, reason) VALUES ('${user}1', 'state', 'for a test');
END
	return if $node->safe_psql($db, q{SELECT to_regclass('fx.sessions') IS NULL}) eq 't';

	$node->safe_psql($db, <<"END");
SET search_path = fx, public;
SELECT set_password('${user}1', 'a long enough password');
SELECT status FROM sign_in('u1', 'a long enough password');
SELECT status FROM sign_in('u1', 'another password');
SELECT issue_api_key('${user}1', 'a key'), request_email_verification('${user}1');
CALL seal_audit();
END
	return;
}

# The dump of a database, without what differs from one run to the next.
sub dump_of
{
	my ($node, $db, @options) = @_;
	my ($stdout, $stderr) = ('', '');

	IPC::Run::run([ 'pg_dump', '-h', $node->host, '-p', $node->port, '-d', $db, @options ],
		'>', \$stdout, '2>', \$stderr)
	  or die "pg_dump failed: $stderr";
	$stdout =~ s/^\\(un)?restrict .*\n//mg;
	return $stdout;
}

# Rows of every table, as counts and checksums, but for the book of partitions,
# which knows them by their files.
sub picture
{
	my ($node, $db) = @_;

	return $node->safe_psql($db, q{
		SELECT format('SELECT %L || count(*), md5(coalesce(string_agg(md5(t::text), '''' ORDER BY md5(t::text)), '''')) FROM fx.%I AS t',
					  c.relname || ' ', c.relname)
		  FROM pg_class c
		 WHERE relnamespace = 'fx'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
		   AND relname NOT IN ('migration', 'candle_partitions')
		 ORDER BY relname COLLATE "C" \gexec});
}

# What attach scripts make: triggers, policies and indexes of the tables.
sub attached
{
	my ($node, $db) = @_;

	return $node->safe_psql($db, q{
		SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text LIKE 'fx.%'
		UNION ALL SELECT concat_ws(' ', tablename, policyname, cmd, roles, qual, with_check) FROM pg_policies WHERE schemaname = 'fx'
		UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'fx'
		ORDER BY 1});
}

# Standard error of a statement that must fail, as psql prints it with its
# SQLSTATE.
sub psql_output
{
	my ($node, $db, $sql) = @_;
	my ($ret, $stdout, $stderr) = $node->psql($db, "\\set VERBOSITY verbose\n$sql");

	return $stderr;
}

1;
