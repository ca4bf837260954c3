# Logical replication to a server with the same extension, by the statements of
# doc/operations.md: every row of every published table arrives once, what triggers
# make of it included, and after the switch the platform works there.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use FxTest;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $user = '00000000-0000-4000-8000-0000000000a';
my $document = slurp_file("$FindBin::Bin/../../doc/operations.md");

# The block of SQL of the document that has a text.
sub statements
{
	my ($text) = @_;
	my @blocks = grep { /\Q$text\E/ } $document =~ /^```sql\n(.*?)^```$/msg;

	die scalar(@blocks) . " blocks with \"$text\"" if @blocks != 1;
	return $blocks[0];
}

# What a block prints, as a script.
sub printed
{
	my ($node, $text) = @_;
	my ($ret, $out, $err) = $node->psql('postgres', "\\set QUIET on\n" . statements($text), on_error_die => 1);

	return $out;
}

# the same keys on both, or what is encrypted could not be read
my $keys = PostgreSQL::Test::Utils::tempdir . '/keys';
append_to_file($keys, '1:' . encode_base64('k' x 32));
chmod(0600, $keys);

my ($publisher, $subscriber) = map { PostgreSQL::Test::Cluster->new($_) } qw(publisher subscriber);
foreach my $node ($publisher, $subscriber)
{
	$node->init(allows_streaming => 'logical');
	$node->append_conf('postgresql.conf', q{
fxplatform.password_cost = 4
wal_retrieve_retry_interval = '100ms'
timezone = 'UTC'
jit = off
log_line_prefix = '%m [%p] %b %e '
});
	$node->append_conf('postgresql.conf', "fxplatform.key_file = '$keys'");
	$node->start;
	$node->safe_psql('postgres', 'SET client_min_messages = warning; CREATE EXTENSION fxplatform CASCADE');
}

# what the subscriber makes by itself
my %local = map { $_ => 1 } qw(migration schema_migrations maintenance_runs candle_changes candle_partitions candle_series candle_rollups);

sub rows_of
{
	return join "\n", grep { /^(\w+)/ && !$local{$1} } split /\n/, picture($_[0], 'postgres');
}

# every picture of the subscriber is that of the publisher
sub same
{
	my ($what) = @_;

	$publisher->wait_for_catchup('platform');
	is(rows_of($subscriber), rows_of($publisher), "$what: every row of every table");
	is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM fx.verify_positions()'), '0', "$what: balances and positions are those of the trades");
	is($subscriber->safe_psql('postgres', q{SELECT count(*) FROM fx.verify_audit() WHERE kind <> 'unsealed'}), '0', "$what: the audit trail is whole");
	return;
}

#
# From a platform with rows in every table
#

fill($publisher, 'postgres');
$publisher->safe_psql('postgres', "SELECT fx.enable_two_factor('${user}1')");
$publisher->psql('postgres', statements('CREATE PUBLICATION platform'), on_error_die => 1);
is($publisher->safe_psql('postgres', q{
		SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class AS c
		 WHERE relnamespace = 'fx'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
		   AND NOT EXISTS (SELECT FROM pg_publication_tables AS p WHERE p.tablename = c.relname)}),
	join(' ', sort keys %local), 'all tables are published but those of the copy');
is($publisher->safe_psql('postgres', q{
		SELECT string_agg(tablename, ' ') FROM pg_publication_tables JOIN pg_class AS c ON c.oid = format('%I.%I', schemaname, tablename)::regclass
		 WHERE relreplident <> 'f' AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)}), '', 'each has a replica identity');

$subscriber->safe_psql('postgres', printed($publisher, q{'SELECT fx.create_monthly_partitions}));
my ($empty, $subscribe) = statements('CREATE SUBSCRIPTION platform') =~ /^(.*COMMIT;\n)(.*)$/s;
$subscriber->psql('postgres', $empty, on_error_die => 1);
is(join(' ', grep { !/^\w+ 0\|/ } split /\n/, rows_of($subscriber)), '', 'tables of the subscriber are empty');
my $connstr = $publisher->connstr . ' dbname=postgres';
$subscriber->psql('postgres', $subscribe =~ s/CONNECTION '.*?'/CONNECTION '$connstr'/r, on_error_die => 1);
$subscriber->wait_for_subscription_sync($publisher, 'platform');
is(join(' ', rows_of($publisher) =~ /^(\w+) 0\|/mg), 'audit_exports', 'the publisher has rows in every other table that is published');
same('copied');

#
# All kinds of writes
#

$publisher->safe_psql('postgres', <<"END");
SET search_path = fx, public;
INSERT INTO risk_limits (user_id, name, type, limit_type, limit_value) VALUES ('${user}3', 'ten at most', 'max_position', 'absolute', 10);
SELECT deposit('${user}3', 100000), withdraw('${user}3', 500), deposit('${user}2', 10);
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, commission, status, executed_at)
SELECT '${user}3', 'GBPUSD', CASE WHEN n % 3 = 0 THEN 'sell' ELSE 'buy' END, 'market', 1, 1.25, 0.1, 'executed', now() - interval '1 hour' + n * interval '1 second' FROM generate_series(1, 12) AS n;
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status) VALUES ('${user}3', 'GBPUSD', 'buy', 'limit', 1, 1.2, 'pending');
UPDATE trades SET status = 'executed', executed_at = now() WHERE user_id = '${user}3' AND status = 'pending';
SELECT status FROM try_trade('${user}3', 'GBPUSD', 'buy', 1000, 1.25);
SELECT close_trade(id, 1.3) FROM trades WHERE user_id = '${user}3' AND type = 'buy' AND status = 'executed' AND closed_at IS NULL LIMIT 1;
DELETE FROM trades WHERE id = (SELECT id FROM trades WHERE user_id = '${user}3' AND status = 'executed' AND closed_at IS NULL ORDER BY id LIMIT 1);
SELECT set_trading_state('${user}1', 'halted', 'a reason');
SELECT ingest_candles('[{"symbol": "EURUSD", "timeframe": "1h", "timestamp": "2024-01-20T01:00:00Z", "open": 1, "high": 1.4, "low": 1, "close": 1.3, "volume": 9},
	{"symbol": "GBPUSD", "timeframe": "1m", "timestamp": "2024-03-02T01:00:00Z", "open": 1, "high": 1.3, "low": 1, "close": 1.2, "volume": 7},
	{"symbol": "GBPUSD", "timeframe": "no", "timestamp": "2024-03-02T01:00:00Z", "open": 1, "high": 1.3, "low": 1, "close": 1.2, "volume": 7}]');
DELETE FROM market_data WHERE symbol = 'EURUSD' AND "timestamp" >= '2024-02-10' AND "timestamp" < '2024-02-12';
UPDATE market_data SET "timestamp" = '2024-03-28 01:00+00' WHERE symbol = 'EURUSD' AND "timestamp" = '2024-02-01 01:00+00';
UPDATE strategies SET config = '{"period": 20}' WHERE name = 'strategy 1';
INSERT INTO backtests (id, strategy_id, user_id, name) VALUES ('00000000-0000-4000-8000-0000000000c9', '00000000-0000-4000-8000-0000000000b1', '${user}1', 'run 3');
SELECT start_backtest('00000000-0000-4000-8000-0000000000c9');
SELECT complete_backtest('00000000-0000-4000-8000-0000000000c9', '[{"profit": 2, "closedAt": "2024-01-02T00:00:00Z"}, {"profit": -1, "closedAt": "2024-01-03T00:00:00Z"}]');
UPDATE retention_policies SET keep = '60 days' WHERE "table" = 'quotes';
DELETE FROM retention_policies WHERE "table" = 'market_data';
SELECT status FROM sign_in('u1', 'a long enough password');
CALL seal_audit();
SELECT seq, chain_hash FROM export_audit('2100-01-01 00:00+00') ORDER BY seq OFFSET 4 LIMIT 1 \\gset
SELECT remove_exported_audit(:seq, :'chain_hash');
SELECT delete_user('${user}2');
DELETE FROM users WHERE id = '${user}2';
END
same('written');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM fx.trades WHERE user_id = ' . "'${user}2'"), '0', 'what a deletion took with it is gone');

# what is not copied: the roll-ups, which the subscriber makes of the candles
$subscriber->safe_psql('postgres', slurp_file("$FindBin::Bin/../candle_oracle.sql"));
my $wrong = q{SELECT count(*) FROM (VALUES ('EURUSD'), ('GBPUSD')) AS s (symbol), LATERAL candle_oracle.differences(symbol, '{new_york}')};
$subscriber->safe_psql('postgres', 'SELECT fx.refresh_candles()');
is($subscriber->safe_psql('postgres', "$wrong UNION ALL SELECT count(*) FROM fx.candle_changes"), "0\n0", 'candles equal plain SQL when they are rolled up');
is($subscriber->safe_psql('postgres', q{SELECT count(*) > 0 FROM fx.candle_rollups}), 't', 'which they are');

# a month that the subscriber does not have
my $log_size = -s $subscriber->logfile;
$publisher->safe_psql('postgres', q{SELECT fx.ingest_candles('[{"symbol": "EURUSD", "timeframe": "1h", "timestamp": "2022-05-20T01:00:00Z", "open": 1, "high": 1.4, "low": 1, "close": 1.3, "volume": 9}]')});
$subscriber->wait_for_log(qr/ 23514 ERROR: .*no partition of relation "market_data" found for row/, $log_size);
$subscriber->safe_psql('postgres', printed($publisher, q{'SELECT fx.create_monthly_partitions}));
same('a month made late');

#
# The switch
#

my $sequences = printed($publisher, 'SELECT setval(');
$publisher->wait_for_catchup('platform');
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION platform');
$publisher->stop;
like(psql_output($subscriber, 'postgres', "SELECT fx.deposit('${user}3', 1)"), qr/ 23505: .*cash_flows_pkey/, 'without the numbers of the publisher, new rows collide with old ones');
$subscriber->safe_psql('postgres', $sequences);
is($subscriber->safe_psql('postgres', q{
		SELECT string_agg(s.sequencename, ' ') FROM pg_sequences AS s, LATERAL
			(SELECT (xpath('/row/m/text()', query_to_xml(format('SELECT max(id) AS m FROM fx.%I', substring(sequencename FROM '^(.*)_id_seq$')), false, true, '')))[1]::text::bigint AS newest) AS t
		 WHERE schemaname = 'fx' AND sequencename LIKE '%\_id\_seq' AND newest > coalesce(last_value, 0)}), '', 'every sequence is beyond its table');

$subscriber->safe_psql('postgres', <<"END");
SET search_path = fx, public;
SELECT deposit('${user}3', 1), withdraw('${user}3', 2);
SELECT refresh_candles();
SELECT ingest_candles('[{"symbol": "EURUSD", "timeframe": "1h", "timestamp": "2024-01-20T01:00:00Z", "open": 1, "high": 1.5, "low": 1, "close": 1.4, "volume": 10},
	{"symbol": "EURUSD", "timeframe": "no", "timestamp": "2024-03-02T01:00:00Z", "open": 1, "high": 1.3, "low": 1, "close": 1.2, "volume": 7}]');
SELECT close_trade(id, 1.3) FROM trades WHERE user_id = '${user}3' AND type = 'buy' AND status = 'executed' AND closed_at IS NULL LIMIT 1;
SELECT set_trading_state('${user}1', 'active', 'the switch');
INSERT INTO trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES ('${user}3', 'GBPUSD', 'sell', 'market', 1, 1.25, 'executed', clock_timestamp());
CALL maintain();
END
is($subscriber->safe_psql('postgres', "SELECT status FROM fx.sign_in('u1', 'another password') UNION ALL SELECT status FROM fx.sign_in('u1', 'a long enough password')"), "failed\nok", 'users sign in');
my ($held) = $subscriber->safe_psql('postgres', "SELECT abs(long_quantity - short_quantity) FROM fx.positions WHERE user_id = '${user}3' AND symbol = 'GBPUSD'");
like(psql_output($subscriber, 'postgres', "INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at) VALUES ('${user}3', 'GBPUSD', 'buy', 'market', 11 + $held, 1.25, 'executed', clock_timestamp())"),
	qr/XF001: /, 'limits hold');
is($subscriber->safe_psql('postgres', q{SELECT string_agg(step || ': ' || detail, E'\n') FROM fx.maintenance_runs WHERE outcome <> 'ok'}), '', 'maintenance works');
$subscriber->safe_psql('postgres', 'CALL fx.seal_audit()');
is($subscriber->safe_psql('postgres', 'SELECT (SELECT count(*) FROM fx.verify_positions()), (SELECT count(*) FROM fx.verify_audit())'), '0|0', 'books and audit trail are right');
is($subscriber->safe_psql('postgres', $wrong), '0', 'so are the candles');
unlike(slurp_file($_->logfile), qr/(PANIC|TRAP| XX\d\d\d )/, $_->name . ': no internal error') foreach $publisher, $subscriber;

$subscriber->stop;
done_testing();
