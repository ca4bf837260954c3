# Four clients correct the same candles at random: no error, no deadlock, and
# every version that was ever acknowledged is either stored or kept as replaced.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "deadlock_timeout = '100ms'\nlog_lock_waits = off\n");
$node->start;

# A batch has 30 rows of 200 keys over four months, two of which have no
# partition at first; keys repeat in it.  What it wrote is noted in the same
# transaction, each version with a price of its own.
$node->safe_psql('postgres', q{
	CREATE EXTENSION fxplatform CASCADE;
	CREATE SEQUENCE version;
	CREATE TABLE acknowledged (symbol text, "timestamp" timestamptz, price numeric(18,8));
	CREATE FUNCTION correct(in_json boolean, OUT written bigint, OUT rejected bigint) LANGUAGE plpgsql AS $$
	DECLARE
		batch fx.candle[];
		counts record;
	BEGIN
		batch := ARRAY(
			SELECT ('SYM' || k % 10, '1h', timestamptz '2023-11-06 00:00+00' + (k / 10) * interval '6 days', 1, 1000000, 1, 1 + nextval('version') * 0.01, 0)::fx.candle
			  FROM (SELECT (random() * 199)::integer AS k FROM generate_series(1, 30)) AS r);
		INSERT INTO acknowledged SELECT b.symbol, b.timestamp, b.close_price FROM unnest(batch) AS b;
		IF in_json THEN
			SELECT * INTO counts FROM fx.ingest_candles(to_jsonb(batch));
		ELSE
			SELECT * INTO counts FROM fx.ingest_candles(batch);
		END IF;
		written := counts.inserted + counts.updated;
		rejected := counts.rejected;
		IF written <> 30 THEN
			RAISE EXCEPTION 'wrote % of 30 rows', written;
		END IF;
	END $$});

my $script = $node->basedir . '/correct.sql';
append_to_file($script, "SELECT correct(random() < 0.5);\n");
my ($stdout, $stderr) = run_command([ 'pgbench', '-n', '-c', '4', '-j', '2', '-T', '4', '-f', $script,
	'-h', $node->host, '-p', $node->port, 'postgres' ]);
unlike($stderr, qr/error|abort/i, 'no client failed');
my ($transactions) = $stdout =~ /number of transactions actually processed: (\d+)/;
cmp_ok($transactions // 0, '>', 50, 'many batches');
unlike(slurp_file($node->logfile), qr/ERROR|deadlock/, 'no error and no deadlock in the log of the server');

is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT price) FROM acknowledged'),
	join('|', (30 * $transactions) x 2), 'each version has its own price');
is($node->safe_psql('postgres', q{
	WITH kept AS (SELECT symbol::text, timestamp, close_price AS price FROM fx.market_data
				  UNION ALL SELECT symbol, timestamp, close_price FROM fx.market_data_revisions)
	SELECT count(*) FROM ((TABLE acknowledged EXCEPT ALL TABLE kept) UNION ALL (TABLE kept EXCEPT ALL TABLE acknowledged)) AS d}),
	'0', 'every version is stored or kept, once');
is($node->safe_psql('postgres', 'SELECT count(*) FROM fx.market_data_rejects'), '0', 'none was refused');
is($node->safe_psql('postgres', q{
	SELECT count(DISTINCT tableoid), (SELECT count(*) FROM fx.market_data_revisions) + count(*) = (SELECT count(*) FROM acknowledged) FROM fx.market_data}),
	'4|t', 'in four months');

$node->stop;
done_testing();
