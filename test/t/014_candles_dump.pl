# A copy of a database reads the same candles, with roll-ups, notes that are not
# yet refreshed and expired sources, before and after its own refresh; so do a
# standby, which cannot write, and an extension that was away for a while.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use FxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "jit = off\ntimezone = 'UTC'\nclient_min_messages = warning");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE live');
$node->safe_psql('live', q{
	CREATE EXTENSION fxplatform CASCADE;
	SELECT fx.create_market_data_partitions('2023-09-01', '2023-12-01');
	INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
	SELECT s, f, timestamptz '2023-09-28 00:00+00' + n * step, 1 + n * 0.0001, 3, 0.5, 2 - n * 0.0001, n
	  FROM unnest('{EURUSD,GBPUSD}'::text[]) AS s, (VALUES ('1m', interval '7 minutes'), ('1h', '5 hours')) AS t (f, step), generate_series(1, 900) AS n
	 WHERE timestamptz '2023-09-28 00:00+00' + n * step < '2023-11-20 00:00+00'});
$node->safe_psql('live', 'SELECT fx.refresh_candles()');
# the first minutes expire; later ones are corrected, added and deleted, and a partition is truncated
$node->safe_psql('live', q{
	INSERT INTO fx.candle_horizons VALUES ('1m', '2023-09-29 21:00+00');
	DELETE FROM fx.market_data WHERE timeframe = '1m' AND timestamp < '2023-09-29 21:00+00';
	UPDATE fx.market_data SET close_price = 2.5 WHERE timestamp >= '2023-10-01 12:00+00' AND timestamp < '2023-10-02 00:00+00';
	DELETE FROM fx.market_data WHERE symbol = 'GBPUSD' AND timestamp >= '2023-10-03 12:00+00' AND timestamp < '2023-10-03 20:00+00'});
$node->safe_psql('live', 'TRUNCATE fx.market_data_2023_11');

my $candles = q{
	SELECT count(*), md5(string_agg(c::text, ' ' ORDER BY c.symbol, c.timeframe, a, c.timestamp))
	  FROM unnest('{EURUSD,GBPUSD}'::text[]) AS s, unnest('{1m,5m,15m,30m,1h,4h,1d,1w,1mn}'::text[]) AS f, unnest('{new_york,utc}'::text[]) AS a,
		   fx.candles(s, f, alignment => a) AS c};
my $notes = 'SELECT count(*) > 0 FROM fx.candle_changes';
my $dirty = $node->safe_psql('live', $candles);
is($node->safe_psql('live', $notes), 't', 'there are notes');
like($dirty, qr/^[1-9]\d{3,}\|/, 'and candles');
is($node->safe_psql('live', q{SELECT count(*) > 5 FROM fx.candles('EURUSD', '1h', until => '2023-09-29 21:00+00')}), 't', 'those of expired minutes too');

# a standby reads notes, roll-ups and rows, and writes nothing
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('live', $candles), $dirty, 'standby: the same candles');
is($standby->safe_psql('live', q{SELECT close_price FROM fx.latest_candle('EURUSD', '1h')}),
	$node->safe_psql('live', q{SELECT close_price FROM fx.latest_candle('EURUSD', '1h')}), 'standby: the same newest candle');
like(psql_output($standby, 'live', 'SELECT fx.refresh_candles()'), qr/ERROR:  25006:/, 'standby: no refresh');

# copies, by a dump of either format
my $first = dump_of($node, 'live');
my $tempdir = PostgreSQL::Test::Utils::tempdir;
append_to_file("$tempdir/plain.sql", $first);
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$tempdir/custom", 'live' ], 'dump in custom format');
my %restores = (
	psql => [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', "$tempdir/plain.sql" ],
	parallel => [ 'pg_restore', '-j2', '--exit-on-error', "$tempdir/custom" ]);
my $refreshed;
foreach my $how (sort keys %restores)
{
	my $copy = "copy_$how";

	$node->safe_psql('postgres', "CREATE DATABASE $copy");
	$node->command_ok([ @{ $restores{$how} }, '-d', $copy ], "$how: restored");
	is(dump_of($node, $copy), $first, "$how: the copy's dump equals the first");
	is($node->safe_psql($copy, $candles), $dirty, "$how: the same candles before a refresh");
	is($node->safe_psql($copy, 'SELECT fx.refresh_candles() > 0'), 't', "$how: refreshed");
	is($node->safe_psql($copy, $candles), $dirty, "$how: the same candles after it");
	is($node->safe_psql($copy, 'SELECT count(*) FROM fx.changed_candle_partitions()'), '0', "$how: all partitions are known");
	is($node->safe_psql($copy, q{
		UPDATE fx.market_data SET volume = 1000000 WHERE symbol = 'EURUSD' AND timestamp = (SELECT max(timestamp) FROM fx.market_data WHERE symbol = 'EURUSD');
		SELECT volume >= 1000000 FROM fx.candles('EURUSD', '1d') ORDER BY timestamp DESC LIMIT 1}), 't', "$how: changes are noted");
}
$node->safe_psql('live', 'SELECT fx.refresh_candles()');
is($node->safe_psql('live', $candles), $dirty, 'the first one after its refresh');
is($node->safe_psql('live', $notes), 'f', 'has no notes left');
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('live', $candles), $dirty, 'and the standby follows');
$standby->stop;

# rows written while the extension is away: nothing noted them
$node->safe_psql('live', q{
	DROP EXTENSION fxplatform CASCADE;
	UPDATE fx.market_data SET close_price = 2.75, volume = 5 WHERE symbol = 'EURUSD' AND timestamp >= '2023-10-01 00:00+00' AND timestamp < '2023-10-05 00:00+00';
	DELETE FROM fx.market_data WHERE symbol = 'GBPUSD' AND timestamp < '2023-10-02 00:00+00' AND timestamp >= '2023-09-30 00:00+00';
	CREATE EXTENSION fxplatform});
my $before = $node->safe_psql('live', $candles);
isnt($before, $dirty, 'extension away: the writes are seen');
is($node->safe_psql('live', q{SELECT (SELECT sum(volume) FROM fx.candles('EURUSD', '1h', '2023-10-01 00:00+00')) = (SELECT sum(volume) FROM fx.market_data m
	WHERE symbol = 'EURUSD' AND timestamp >= '2023-10-01 00:00+00' AND (timeframe = '1m' OR NOT EXISTS (SELECT FROM fx.market_data f WHERE f.symbol = m.symbol
	  AND f.timeframe = '1m' AND f.timestamp >= m.timestamp AND f.timestamp < m.timestamp + interval '1 hour')))}), 't', 'extension away: by the sum of an oracle');
is($node->safe_psql('live', 'SELECT fx.refresh_candles() > 0'), 't', 'extension away: refreshed');
is($node->safe_psql('live', $candles), $before, 'extension away: the same candles after a refresh');

$node->stop;
done_testing();
