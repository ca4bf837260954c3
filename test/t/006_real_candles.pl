# A moving-average cross over real candles of two pairs: its trades, equity
# curve, metrics and P&L agree with the oracle to the last digit.

use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = $ENV{FXPLATFORM_TEST_DATA} // "$FindBin::Bin/../../../shared/data";
my %files = (GBPUSD => "$data/gbpusd_m1_fxcm-nautilus_bid.csv.gz", USDJPY => "$data/usdjpy_m1_fxcm-nautilus_bid.csv.gz");
plan skip_all => 'real candles are not here (FXPLATFORM_TEST_DATA)' unless -r $files{GBPUSD} && -r $files{USDJPY};

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION fxplatform CASCADE; SET client_min_messages = warning; CREATE TABLE staging (symbol text, timeframe text, "timestamp" timestamptz, o numeric, h numeric, l numeric, c numeric, v numeric)');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'postgres', '-f', "$FindBin::Bin/../oracle.sql" ], 'the oracle');
$node->safe_psql('postgres', "COPY staging FROM PROGRAM 'gzip -dc ''$_''' (FORMAT csv, HEADER)") foreach sort values %files;

is($node->safe_psql('postgres', q{
	SELECT fx.create_market_data_partitions(min(timestamp)::date, max(timestamp)::date + 1) > 0 FROM staging;
	INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
	SELECT symbol, '1m', timestamp, o, h, l, c, v FROM staging;
	SELECT count(*), count(DISTINCT symbol) FROM fx.market_data}), "t\n58878|2", 'all candles are stored');

# long while the fast mean is above the slow one, else short; profit in dollars
$node->safe_psql('postgres', q{
	INSERT INTO fx.users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x');
	INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, profit, commission, swap, status, executed_at, closed_at)
	WITH mean AS (
		SELECT symbol, timestamp AS at, close_price AS price,
			   avg(close_price) OVER (PARTITION BY symbol ORDER BY timestamp ROWS 14 PRECEDING)
			 > avg(close_price) OVER (PARTITION BY symbol ORDER BY timestamp ROWS 59 PRECEDING) AS long
		  FROM fx.market_data
	), turn AS (
		SELECT *, lag(long) OVER (PARTITION BY symbol ORDER BY at) AS was FROM mean
	), held AS (
		SELECT *, lead(at) OVER w AS closed, lead(price) OVER w AS exit
		  FROM turn WHERE long IS DISTINCT FROM was WINDOW w AS (PARTITION BY symbol ORDER BY at)
	)
	SELECT '00000000-0000-4000-8000-0000000000a1', symbol, CASE WHEN long THEN 'buy' ELSE 'sell' END, 'market', 100000, price,
		   CASE WHEN long THEN exit - price ELSE price - exit END * 100000 / CASE symbol WHEN 'USDJPY' THEN exit ELSE 1 END,
		   3.5, CASE WHEN fx.fx_day(at) < fx.fx_day(closed) THEN -2.17 ELSE 0 END, 'executed', at, closed
	  FROM held WHERE closed IS NOT NULL;
	CREATE TABLE run AS
	SELECT symbol, jsonb_agg(jsonb_build_object('profit', profit, 'commission', commission, 'swap', swap,
			   'executed_at', executed_at, 'closed_at', closed_at) ORDER BY md5(id::text)) AS trades
	  FROM fx.trades GROUP BY symbol
	UNION ALL
	SELECT 'both', jsonb_agg(jsonb_build_object('profit', profit, 'commission', commission, 'swap', swap,
			   'executedAt', executed_at, 'closedAt', closed_at) ORDER BY closed_at, symbol) FROM fx.trades});

my $trades = $node->safe_psql('postgres', 'SELECT count(*) FROM fx.trades');
cmp_ok($trades, '>', 1000, "a strategy with $trades trades");

foreach my $symbol ('GBPUSD', 'USDJPY', 'both')
{
	is($node->safe_psql('postgres', qq{
		SELECT count(*) FROM run, LATERAL (
			SELECT seq::bigint, closed_at, net_profit, equity, peak, drawdown FROM fx.equity_points(trades, 100000)
			EXCEPT ALL SELECT i, closed, net, equity, peak, drawdown FROM oracle.points(trades, 100000)) d WHERE symbol = '$symbol'}),
		'0', "$symbol: every point of the curve");
	is($node->safe_psql('postgres', qq{SELECT fx.equity_curve(trades, 100000) = oracle.curve(trades, 100000) FROM run WHERE symbol = '$symbol'}),
		't', "$symbol: the curve as JSON");
	is($node->safe_psql('postgres', qq{
		SELECT d.* FROM run, oracle.differences(fx.backtest_metrics(trades, 100000, 0.01), oracle.metrics(trades, 100000, 0.01)) d WHERE symbol = '$symbol'}),
		'', "$symbol: every metric");
}
is($node->safe_psql('postgres', q{
	SELECT p.symbol FROM fx.trade_performance('00000000-0000-4000-8000-0000000000a1') p
	  JOIN (SELECT symbol, count(*) AS n, sum(profit) AS profit, avg(profit) AS mean, sum(CASE WHEN profit > 0 THEN 1 ELSE 0 END)::float / count(*) AS rate,
				   sum(profit - commission + swap) AS net, sum(commission) AS commission, sum(swap) AS swap,
				   count(*) FILTER (WHERE profit - commission + swap > 0) AS wins,
				   sum(profit - commission + swap) FILTER (WHERE profit - commission + swap < 0) AS lost,
				   min(profit - commission + swap) AS worst
			  FROM fx.trades GROUP BY symbol) o USING (symbol)
	 WHERE (trade_count, total_profit, avg_profit, win_rate, net_profit, p.commission, p.swap, net_win_count, net_gross_loss, net_largest_loss)
		<> (n, profit, mean, rate, net, o.commission, o.swap, wins, lost, worst)}), '', 'P&L by symbol');
my $m = $node->safe_psql('postgres', q{SELECT m -> 'totalTrades', m -> 'netProfit', m -> 'maxDrawdown', m -> 'sharpeRatio' FROM run, fx.backtest_metrics(trades, 100000) m WHERE symbol = 'both'});
note "trades, net profit, drawdown, Sharpe: $m";

$node->stop;
done_testing();
