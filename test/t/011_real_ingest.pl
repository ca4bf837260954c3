# All real candles and ticks go in as they are, by every way; what is irregular
# is noticed, and what does not fit is kept with the reason.

use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = $ENV{FXPLATFORM_TEST_DATA} // "$FindBin::Bin/../../../shared/data";
my %files = (
	gbpusd => 'gbpusd_m1_fxcm-nautilus_bid.csv.gz',
	usdjpy => 'usdjpy_m1_fxcm-nautilus_bid.csv.gz',
	usdjpy_ask => 'usdjpy_m1_fxcm-nautilus_ask.csv.gz',
	oanda => 'eurusd_h1_oanda-lean_bid.csv.gz',
	seam => 'irregular_eurusd_h1_fxcm-lean_seam_as-shipped_bid.csv',
	ecb => 'ecb_d1_reference-rates.csv.gz',
	ticks => 'usdjpy_ticks_truefx-nautilus.csv');
plan skip_all => 'real candles are not here (FXPLATFORM_TEST_DATA)' if grep { !-r "$data/$_" } values %files;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION fxplatform CASCADE');

foreach my $file (sort keys %files)
{
	my $columns = $file eq 'ticks' ? 'symbol text, "timestamp" timestamptz, bid numeric, ask numeric'
	  : 'symbol text, timeframe text, "timestamp" text, open text, high text, low text, close text, volume text';
	my $program = ($files{$file} =~ /gz$/ ? 'gzip -dc' : 'cat') . " ''$data/$files{$file}''";
	$node->safe_psql('postgres', qq{SET client_min_messages = warning; CREATE TABLE $file ($columns);
		COPY $file FROM PROGRAM '$program' (FORMAT csv, HEADER)});
}

# by load_candles: all text, timeframes as M1, H1, D1
is($node->safe_psql('postgres', "SELECT * FROM fx.load_candles('gbpusd')"), '30117|0|0|0|0', 'GBPUSD');
is($node->safe_psql('postgres', "SELECT inserted, updated, unchanged, rejected FROM fx.load_candles('usdjpy')"), '28761|0|0|0', 'USDJPY');
is($node->safe_psql('postgres', "SELECT inserted, updated, unchanged, rejected FROM fx.load_candles('oanda')"), '74439|0|0|0', 'EURUSD of twelve years, months made on the way');
my $ecb = $node->safe_psql('postgres', "SELECT inserted, updated, unchanged, rejected FROM fx.load_candles('ecb')");
is($ecb, $node->safe_psql('postgres', q{
	SELECT count(*) FILTER (WHERE ok), 0, 0, count(*) FILTER (WHERE NOT ok)
	  FROM (SELECT close::numeric > 0 AND close::numeric < 10000000000 AS ok FROM ecb) AS e}), "the ECB's rates: $ecb");

# twice is once
is($node->safe_psql('postgres', "SELECT inserted, updated, unchanged, rejected FROM fx.load_candles('gbpusd')"), '0|0|30117|0', 'again: nothing changes');

# what is stored is the file, digit for digit
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM (
		SELECT symbol, timestamp::timestamptz, open::numeric(18,8), high::numeric(18,8), low::numeric(18,8), close::numeric(18,8) FROM gbpusd
		EXCEPT SELECT symbol, timestamp, open_price, high_price, low_price, close_price FROM fx.market_data WHERE timeframe = '1m') AS d}), '0', 'digit for digit');

# the file whose offset jumps: its candles of a closed market are noticed
my $off = $node->safe_psql('postgres', "SELECT off_market FROM fx.load_candles('seam')");
is($off, $node->safe_psql('postgres', 'SELECT count(*) FROM seam WHERE extract(isodow FROM fx.fx_day(timestamp::timestamptz)) IN (6, 7)'), "the irregular file: $off candles off the market");
cmp_ok($off, '>', 0, 'it is noticed');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM fx.market_data_revisions WHERE symbol = 'EURUSD' AND timeframe = '1h'}), '>', 0,
	'and what it replaced of the regular one is kept');

# corrections by JSON in batches of 1,000: the other side of the quotes
$node->safe_psql('postgres', q{
	CREATE TABLE counts AS
	WITH batches AS (
		SELECT jsonb_agg(to_jsonb(f)) AS batch FROM (SELECT *, row_number() OVER (ORDER BY timestamp) / 1000 AS n FROM usdjpy_ask) AS f GROUP BY n)
	SELECT i.* FROM batches, LATERAL fx.ingest_candles(batch) AS i});
is($node->safe_psql('postgres', q{
	SELECT sum(inserted), sum(updated + unchanged), sum(rejected), sum(updated) > 1000 AND sum(updated) = (SELECT count(*) FROM fx.market_data_revisions WHERE symbol = 'USDJPY' AND timeframe = '1m')
	  FROM counts}), '0|28761|0|t', 'as corrections, in JSON');

# ticks with duplicate times
$node->safe_psql('postgres', q{
	SELECT fx.create_quote_partitions(min(timestamp AT TIME ZONE 'UTC')::date, max(timestamp AT TIME ZONE 'UTC')::date + 1) FROM ticks;
	INSERT INTO fx.quotes (symbol, timestamp, bid, ask) SELECT * FROM ticks});
is($node->safe_psql('postgres', q{
	SELECT count(*) > 0, sum(volume), count(*) FILTER (WHERE (open_price, high_price, low_price, close_price) IS DISTINCT FROM (o, h, l, c))
	  FROM fx.tick_candles('USD/JPY', '5m', side => 'bid') t
	  FULL JOIN (SELECT date_bin('5 minutes', timestamp, '2000-01-01 00:00+00') AS start, (array_agg(bid ORDER BY timestamp, id))[1] AS o, max(bid) AS h, min(bid) AS l,
						(array_agg(bid ORDER BY timestamp DESC, id DESC))[1] AS c FROM fx.quotes GROUP BY 1) AS o ON start = timestamp}), 't|1000|0', 'candles of the ticks');

$node->stop;
done_testing();
