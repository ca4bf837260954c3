# All real data at once: candles of hours and days agree with plain SQL to the
# last digit, before and after they are rolled up; weeks have five days; the
# irregular file is noticed; rates come from it.

use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = $ENV{FXPLATFORM_TEST_DATA} // "$FindBin::Bin/../../../shared/data";
my %files = (
	gbpusd_m1 => "$data/gbpusd_m1_fxcm-nautilus_bid.csv.gz",
	usdjpy_m1 => "$data/usdjpy_m1_fxcm-nautilus_bid.csv.gz",
	eurusd_h1 => "$data/eurusd_h1_oanda-lean_bid.csv.gz",
	ecb_d1 => "$data/ecb_d1_reference-rates.csv.gz");
my $irregular = "$data/irregular_eurusd_h1_fxcm-lean_seam_as-shipped_bid.csv";
plan skip_all => 'real candles are not here (FXPLATFORM_TEST_DATA)' if grep { !-r $_ } $irregular, values %files;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\njit = off\nwork_mem = '64MB'\ntimezone = 'UTC'");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }
sql('CREATE EXTENSION fxplatform CASCADE');

# What the hours and the days must be, in plain SQL over the rows, of a symbol or
# of all.  All of candle_oracle.sql would take minutes.
sql(q{
	CREATE FUNCTION plain(sym text, frame text, starts text) RETURNS TABLE (symbol text, at timestamptz, o numeric, h numeric, l numeric, c numeric, v numeric) STABLE LANGUAGE plpgsql AS $$
	BEGIN
		RETURN QUERY EXECUTE format('SELECT m.symbol::text, %s AS at, (array_agg(open_price ORDER BY timestamp))[1], max(high_price), min(low_price),
				(array_agg(close_price ORDER BY timestamp DESC))[1], sum(volume)
			FROM fx.market_data m WHERE timeframe = ANY ($1)
			 AND ($2 IS NULL OR m.symbol = $2) GROUP BY 1, 2', starts) USING CASE frame WHEN '1h' THEN '{1m,1h}'::text[] ELSE '{1m,1h,1d}' END, sym;
	END $$;
	CREATE FUNCTION hours(sym text) RETURNS SETOF record STABLE LANGUAGE sql AS $f$ SELECT * FROM plain(sym, '1h', $$date_bin('1 hour', timestamp, '2000-01-01 00:00+00')$$) $f$;
	CREATE FUNCTION days(sym text) RETURNS SETOF record STABLE LANGUAGE sql AS $f$ SELECT * FROM plain(sym, '1d', $$CASE timeframe WHEN '1d' THEN timestamp
		ELSE (((timestamp AT TIME ZONE 'America/New_York') + interval '7 hours')::date - interval '7 hours') AT TIME ZONE 'America/New_York' END$$) $f$;
	CREATE FUNCTION ours(sym text, frame text) RETURNS TABLE (symbol text, at timestamptz, o numeric, h numeric, l numeric, c numeric, v numeric) STABLE LANGUAGE sql AS $$
		SELECT c.symbol, c.timestamp, c.open_price, c.high_price, c.low_price, c.close_price, c.volume
		  FROM (SELECT DISTINCT m.symbol FROM fx.market_data m) AS s, fx.candles(s.symbol, frame) c WHERE sym IS NULL OR s.symbol = sym $$;
	CREATE FUNCTION differing(sym text) RETURNS bigint STABLE LANGUAGE sql AS $$
		SELECT count(*) FROM (
			(SELECT * FROM ours(sym, '1h') EXCEPT ALL SELECT * FROM hours(sym) AS h (symbol text, at timestamptz, o numeric, h numeric, l numeric, c numeric, v numeric)) UNION ALL (SELECT * FROM hours(sym) AS h (symbol text, at timestamptz, o numeric, h numeric, l numeric, c numeric, v numeric) EXCEPT ALL SELECT * FROM ours(sym, '1h'))
			UNION ALL (SELECT * FROM ours(sym, '1d') EXCEPT ALL SELECT * FROM days(sym) AS d (symbol text, at timestamptz, o numeric, h numeric, l numeric, c numeric, v numeric)) UNION ALL (SELECT * FROM days(sym) AS d (symbol text, at timestamptz, o numeric, h numeric, l numeric, c numeric, v numeric) EXCEPT ALL SELECT * FROM ours(sym, '1d'))) AS x $$;});

sub staging
{
	my ($name, $source) = @_;

	sql(qq{CREATE TABLE $name (symbol text, timeframe text, "timestamp" timestamptz, open numeric, high numeric, low numeric, close numeric, volume numeric);
		COPY $name FROM $source (FORMAT csv, HEADER)});
	return;
}

foreach my $name (sort keys %files)
{
	staging($name, "PROGRAM 'gzip -dc ''$files{$name}'''");
	is(sql("SELECT inserted = (SELECT count(*) FROM $name), updated, unchanged, rejected, off_market FROM fx.load_candles('$name')"),
		't|0|0|0|0', "$name: every row is stored");
}
is(sql('SELECT count(*) FROM fx.market_data'), 30117 + 28761 + 74439 + 217555, 'all of it');

# days of EURUSD are made of its hours
sql(q{DELETE FROM fx.market_data WHERE symbol = 'EURUSD' AND timeframe = '1d'; ANALYZE fx.market_data});
sub differing { return sql("SELECT differing($_[0])"); }
is(differing("'$_'"), '0', "$_: hours and days as the plain SQL says, to the last digit") foreach qw(GBPUSD USDJPY EURUSD EURCHF);
cmp_ok(sql('SELECT fx.refresh_candles()'), '>', 200000, 'rolled up');
is(sql('SELECT fx.refresh_candles()'), '0', 'and nothing is left to do');
is(differing('NULL'), '0', 'every symbol, from the roll-ups');
is(sql(q{SELECT count(*) FROM fx.candles('EURUSD', '1d') c WHERE extract(isodow FROM fx.fx_day(c.timestamp)) > 5}), '0', 'no daily candle of a weekend in twelve years');
is(sql(q{SELECT max(n), count(*) FILTER (WHERE n = 5) > 600 FROM (
	SELECT count(*) AS n FROM fx.candles('EURUSD', '1d') c GROUP BY fx.candle_start(c.timestamp, '1w')) w}), '5|t', 'five days a week');
is(sql(q{SELECT count(*), min(c.volume) IS NOT NULL FROM fx.candles('EURCHF', '1w', '2015-01-01', '2015-02-01') c
	WHERE c.low_price < 1.05 AND c.high_price > 1.2}), '1|t', 'the week of 15 January 2015');

# what the files lack, and what the irregular one has where the market is closed
cmp_ok(sql(q{SELECT max(missing) FROM fx.candle_gaps('EURUSD', '1h', '2016-12-01', '2017-01-15')}), '>=', 100, 'the hole of December 2016');
sql(q{DELETE FROM fx.market_data WHERE symbol = 'EURUSD' AND timeframe = '1h' AND timestamp >= '2009-09-01' AND timestamp < '2009-10-01'});
staging('irregular', "'$irregular'");
my ($stored, $off_market) = split /\|/, sql(q{SELECT inserted, off_market FROM fx.load_candles('irregular')});
is($stored, '230', 'the irregular file is stored whole');
is($off_market, '7', 'and its seven hours of a closed market are counted');
is(sql(q{SELECT count(*) FROM fx.off_market_candles('EURUSD', '1h', '2009-09-01', '2009-10-01')}), '7', 'which can be listed');
is(sql(q{SELECT count(*) > 0 FROM fx.candle_gaps('EURUSD', '1h', '2009-09-14', '2009-09-26')}), 't', 'its seam is a gap');
is(differing(q{'EURUSD'}), '0', 'candles follow');
sql('SELECT fx.refresh_candles()');
is(differing(q{'EURUSD'}), '0', 'and are rolled up again');

# rates by what was known then
is(sql(q{SELECT fx.convert(100, 'GBP', 'USD', '2012-02-15 12:00+00') = 100 * (SELECT m.close_price FROM fx.market_data m
	WHERE m.symbol = 'GBPUSD' AND m.timeframe = '1m' AND m.timestamp <= '2012-02-15 12:00+00' ORDER BY m.timestamp DESC LIMIT 1)}), 't', 'a rate of a minute');
is(sql(q{SELECT fx.convert(100, 'GBP', 'USD', '1998-06-15 12:00+00') IS NULL}), 't', 'none before there was any');
is(sql(q{SELECT fx.convert(1000, 'JPY', 'USD', '2013-02-14 10:00+00') = round(1000 / (SELECT m.close_price FROM fx.market_data m
	WHERE m.symbol = 'USDJPY' AND m.timeframe = '1m' AND m.timestamp <= '2013-02-14 10:00+00' ORDER BY m.timestamp DESC LIMIT 1), 8)}), 't', 'an inverse one');

$node->stop;
done_testing();
