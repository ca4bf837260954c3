# Values that are larger than a value can be, which takes more than a gigabyte
# to try: an error that says so, not one of the allocator, and a session that
# goes on.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $needed = 3 * 1024;
my $available = -r '/proc/meminfo' && slurp_file('/proc/meminfo') =~ /^MemAvailable: +(\d+) kB/m ? $1 / 1024 : 0;
plan skip_all => "not known to have $needed MB of memory" if $available < $needed;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nwal_level = minimal\nmax_wal_senders = 0\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION fxplatform CASCADE;
	CREATE TABLE days AS SELECT fx.equity_agg('2024-01-01 00:00Z'::timestamptz + n * interval '1 second', 1) AS day FROM generate_series(1, 1000000) AS n;
	CREATE TABLE letters (id integer PRIMARY KEY, a text, b text);
	SELECT fx.enable_audit('letters')});

my ($ret, $out, $err) = $node->psql('postgres', q{
	\set VERBOSITY verbose
	SELECT fx.trade_count(fx.rollup(day)) FROM days, generate_series(1, 45);
	INSERT INTO letters VALUES (1, repeat('a', 140000000), repeat('b', 140000000));
	SELECT fx.trade_count(fx.rollup(day)) FROM days, generate_series(1, 2);
	SELECT (SELECT count(*) FROM letters), (SELECT count(*) FROM fx.audit_log)}, on_error_stop => 0);
like($err, qr/ERROR:  54000: a value of type equity cannot hold more than \d+ trades/, 'more trades than an equity holds');
like($err, qr/ERROR:  54000: total size of jsonb object elements exceeds the maximum of \d+ bytes/, 'a row that is larger than an entry of the audit log');
is($out, "2000000\n0|0", 'the session goes on, and nothing of the row is left');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal|out of memory/, 'memory was enough');

$node->stop;
done_testing();
