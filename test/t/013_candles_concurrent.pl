# While candles are written, corrected, deleted, truncated and moved, and their
# roll-ups refreshed, no reader ever sees a stale or a missing candle.
#
# A reader compares fx.candles with the oracle in one snapshot.  It locks the
# table before it takes that, since TRUNCATE and ATTACH do not wait for
# snapshots.  Writers own the keys that they hold a lock on when they wait, and
# lock the table before a partition: nobody may deadlock.

use strict;
use warnings;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = 10;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
fsync = off
jit = off
timezone = 'UTC'
max_prepared_transactions = 5
deadlock_timeout = '50ms'
log_statement = none
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION fxplatform CASCADE');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'postgres', '-f', "$FindBin::Bin/../candle_oracle.sql" ], 'the oracle');

$node->safe_psql('postgres', <<'SQL');
SELECT fx.create_market_data_partitions('2023-10-01', '2023-12-01');

-- The time of a slot from 0 to 47 of five days around the end of October.  A
-- writer has minutes, hours and days of its own.
CREATE FUNCTION slot_time(frame text, slot integer, writer integer) RETURNS timestamptz IMMUTABLE LANGUAGE sql AS $$
    SELECT timestamptz '2023-10-29 20:00+00' + CASE frame
        WHEN '1m' THEN slot * interval '157 minutes' + writer * interval '1 minute'
        WHEN '1h' THEN slot / 2 * interval '5 hours' + writer * interval '1 hour'
        ELSE slot % 5 * interval '1 day' + writer * interval '1 hour' END
$$;

CREATE FUNCTION put(symbol text, frame text, slot integer, writer integer, price numeric, target text DEFAULT 'market_data') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    at timestamptz := slot_time(frame, slot, writer);
BEGIN
    IF target <> 'market_data' THEN
        target := to_char(at, '"market_data_"YYYY_MM');
    END IF;
    EXECUTE format('INSERT INTO fx.%I (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
                    VALUES ($1, $2, $3, $4, $4 + 0.2, $4 - 0.2, $4 + 0.1, 5)
                    ON CONFLICT (symbol, timeframe, timestamp) DO UPDATE SET close_price = excluded.close_price,
                        high_price = excluded.high_price, low_price = excluded.low_price, open_price = excluded.open_price', target)
      USING symbol, frame, at, price;
END
$$;

-- a writer's candles of some slots are corrected or deleted, or moved to
-- GBPUSD where that has none
CREATE FUNCTION rework(what integer, sym text, frame text, slot integer, writer integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    times timestamptz[] := ARRAY(SELECT DISTINCT slot_time(frame, s % 48, writer) FROM generate_series(slot, slot + 4) AS s ORDER BY 1);
BEGIN
    CASE what
    WHEN 0 THEN
        UPDATE fx.market_data SET close_price = (close_price + low_price) / 2, volume = volume + 1
         WHERE symbol = sym AND timeframe = frame AND timestamp = ANY (times);
    WHEN 1 THEN
        UPDATE fx.market_data m SET symbol = 'GBPUSD'
         WHERE m.symbol = sym AND m.timeframe = frame AND m.timestamp = ANY (times)
           AND NOT EXISTS (SELECT FROM fx.market_data o WHERE o.symbol = 'GBPUSD' AND (o.timeframe, o.timestamp) = (m.timeframe, m.timestamp));
    ELSE
        DELETE FROM fx.market_data WHERE symbol = sym AND timeframe = frame AND timestamp = ANY (times);
    END CASE;
END
$$;

CREATE FUNCTION compare(sym text, alignment text) RETURNS void LANGUAGE plpgsql STABLE AS $$
DECLARE
    item record;
BEGIN
    FOR item IN SELECT * FROM candle_oracle.differences(sym, ARRAY[alignment]) LIMIT 1 LOOP
        RAISE EXCEPTION 'reader of % sees a wrong candle: %', sym, item;
    END LOOP;
    RAISE LOG 'compared with roll-ups %, notes %', EXISTS (SELECT FROM fx.candle_rollups r WHERE r.symbol = sym),
        EXISTS (SELECT FROM fx.candle_changes c WHERE c.symbol = sym);
END
$$;
SQL

my $tempdir = PostgreSQL::Test::Utils::tempdir;

# A pgbench script; @N in it is the Nth random symbol, timeframe and slot.
sub script
{
	my ($name, $text) = @_;
	my $random = join '', map { "\\set s$_ random(1, 3)\n\\set f$_ random(1, 6)\n\\set t$_ random(0, 47)\n" } 1 .. 4;

	$text =~ s/\@(\d)/(ARRAY['EURUSD', 'GBPUSD', 'USDCHF'])[:s$1], (ARRAY['1m', '1m', '1m', '1h', '1h', '1d'])[:f$1], :t$1/g;
	append_to_file("$tempdir/$name", $random
		  . "\\set price random(100000, 120000)\n\\set what random(0, 2)\n\\set chance random(0, 1)\n\\set mine :client_id\n\\set any random(0, 3)\n$text");
	return "$tempdir/$name";
}

# one statement, of any key
my $single = script('single', q{
SELECT put(@1, :any, :price / 100000.0);
});
my $direct = script('direct', q{
BEGIN;
LOCK TABLE ONLY fx.market_data IN ACCESS SHARE MODE;
SELECT put(@1, :any, :price / 100000.0, 'partition');
COMMIT;
});
# own keys, with subtransactions that stay and that do not
my $savepoints = script('savepoints', q{
BEGIN;
SELECT put(@1, :mine, :price / 100000.0);
SAVEPOINT a;
SELECT rework(:what, @2, :mine);
SAVEPOINT b;
SELECT put(@3, :mine, :price / 100000.0);
RELEASE SAVEPOINT b;
\if :chance
ROLLBACK TO SAVEPOINT a;
\endif
SELECT put(@3, :mine, :price / 99000.0);
SELECT rework(:what, @4, :mine);
COMMIT;
});
# a refresh between writes, also one that is rolled back
my $inside = script('inside', q{
BEGIN;
SELECT put(@1, :mine, :price / 100000.0);
SELECT rework(:what, @2, :mine);
SAVEPOINT a;
SELECT fx.refresh_candles(2);
SELECT put(@1, :mine, :price / 98000.0);
SELECT rework(:what, @3, :mine);
\if :chance
ROLLBACK TO SAVEPOINT a;
\endif
SELECT put(@1, :mine, :price / 97000.0);
COMMIT;
});
my $prepared = script('prepared', q{
BEGIN;
SELECT put(@1, :mine, :price / 100000.0);
SELECT rework(:what, @2, :mine);
PREPARE TRANSACTION 'writer :client_id';
\if :chance
COMMIT PREPARED 'writer :client_id';
\else
ROLLBACK PREPARED 'writer :client_id';
\endif
});
my $undone = script('undone', q{
BEGIN;
SELECT put(@1, :mine, :price / 100000.0);
SELECT rework(:what, @2, :mine);
SELECT fx.refresh_candles(1);
ROLLBACK;
});
my $refresh = script('refresh', q{
\set days random(0, 3)
SELECT fx.refresh_candles(nullif(:days, 0));
\sleep 20 ms
});
my $truncate = script('truncate', q{
TRUNCATE fx.market_data_2023_11;
\sleep 700 ms
});
my $reattach = script('reattach', q{
BEGIN;
ALTER TABLE fx.market_data DETACH PARTITION fx.market_data_2023_10;
UPDATE fx.market_data_2023_10 SET close_price = (close_price + high_price) / 2 WHERE :chance = 1 OR symbol = 'EURUSD';
DELETE FROM fx.market_data_2023_10 WHERE symbol = 'USDCHF';
ALTER TABLE fx.market_data ATTACH PARTITION fx.market_data_2023_10 FOR VALUES FROM ('2023-10-01 00:00+00') TO ('2023-11-01 00:00+00');
COMMIT;
\sleep 700 ms
});
my $read = script('read', q{
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
LOCK TABLE fx.market_data IN ACCESS SHARE MODE;
SELECT compare((ARRAY['EURUSD', 'GBPUSD', 'USDCHF'])[:s1], (ARRAY['new_york', 'utc'])[:chance + 1]);
COMMIT;
});

my %roles = (
	writers => [ '-c3', '-f', "$single\@3", '-f', "$direct\@2", '-f', "$savepoints\@3", '-f', "$inside\@1", '-f', "$undone\@1", '-f', "$prepared\@1", '-R60' ],
	refresher => [ '-c1', '-f', $refresh ],
	administrator => [ '-c1', '-f', $truncate, '-f', $reattach ],
	readers => [ '-c2', '-f', $read ]);
my %runs;
foreach my $role (sort keys %roles)
{
	my %run = (out => '', err => '');
	$run{handle} = IPC::Run::start([ 'pgbench', '-n', '-T', $seconds, '-h', $node->host, '-p', $node->port, @{ $roles{$role} }, 'postgres' ],
		'>', \$run{out}, '2>', \$run{err});
	$runs{$role} = \%run;
}
foreach my $role (sort keys %runs)
{
	my $run = $runs{$role};
	my $ended = $run->{handle}->finish;
	my ($done) = $run->{out} =~ /number of transactions actually processed: (\d+)/;

	ok($ended, "$role: no transaction failed") or diag($run->{err});
	cmp_ok($done // 0, '>', 5, "$role: some work was done");
	note("$role: " . ($done // 0) . ' transactions');
}

my $log = slurp_file($node->logfile);
my @errors = grep { /deadlock detected|ERROR|FATAL|PANIC/ } split /\n/, $log;
is(scalar(@errors) ? $errors[0] : '', '', 'no deadlock and no other error');
my $both = () = $log =~ /compared with roll-ups t, notes t/g;
cmp_ok($both, '>', 5, 'readers had roll-ups and notes to combine');

# all refreshed: the roll-ups themselves are right
$node->safe_psql('postgres', 'SELECT fx.refresh_candles(3)') for 1 .. 2;
is($node->safe_psql('postgres', q{SELECT sum(n) FROM (SELECT count(*) AS n FROM unnest('{EURUSD,GBPUSD,USDCHF}'::text[]) AS s, candle_oracle.differences(s)) AS d}),
	'0', 'reads are right after part of a refresh');
$node->safe_psql('postgres', 'SELECT fx.refresh_candles()');
is($node->safe_psql('postgres', 'SELECT fx.refresh_candles(), (SELECT count(*) FROM fx.candle_changes)'), '0|0', 'nothing is left to refresh');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fx.changed_candle_partitions()}), '0', 'no partition is unknown');
is($node->safe_psql('postgres', q{SELECT count(*) FROM unnest('{EURUSD,GBPUSD,USDCHF}'::text[]) AS s, candle_oracle.differences(s)}),
	'0', 'reads are right after a whole refresh');
is($node->safe_psql('postgres', q{
	WITH ours AS (
		SELECT symbol::text, timeframe::text, timestamp, open_price, high_price, low_price, close_price, volume FROM fx.candle_rollups
	), oracle AS (
		SELECT s, f, o.* FROM unnest('{EURUSD,GBPUSD,USDCHF}'::text[]) AS s, unnest('{1h,1d}'::text[]) AS f, candle_oracle.candles(s, f) AS o
	)
	SELECT (SELECT count(*) > 20 FROM oracle), (SELECT count(*) FROM (SELECT * FROM ours EXCEPT ALL SELECT * FROM oracle) AS d),
		   (SELECT count(*) FROM (SELECT * FROM oracle EXCEPT ALL SELECT * FROM ours) AS d)}),
	't|0|0', 'the roll-ups are those of a roll-up from scratch');

$node->stop;
done_testing();
