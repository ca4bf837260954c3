# pg_upgrade carries a database with the extension and its data.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use FxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($bindir) = run_command([ 'pg_config', '--bindir' ]);
my ($pkglibdir) = run_command([ 'pg_config', '--pkglibdir' ]);
my ($settings) = run_command([ 'postgres', '--describe-config' ]);
plan skip_all => 'pg_upgrade is not installed' unless -x "$bindir/pg_upgrade";
# it loads $libdir/fxplatform, which only Debian's setting can divert
plan skip_all => 'the library is not installed where pg_upgrade looks'
  unless -e "$pkglibdir/fxplatform.so" || $settings =~ /^extension_destdir/m;

my $old = PostgreSQL::Test::Cluster->new('old');
$old->init;
$old->start;
$old->safe_psql('postgres', 'CREATE DATABASE fx');
$old->safe_psql('fx', 'CREATE EXTENSION fxplatform CASCADE');
fill($old, 'fx');
my $dump = dump_of($old, 'fx');
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;

# it writes into the folder where it runs
chdir PostgreSQL::Test::Utils::tempdir;
command_ok([ "$bindir/pg_upgrade", '--no-sync', '-b', $bindir, '-B', $bindir, '-d', $old->data_dir, '-D', $new->data_dir,
		'-s', $new->host, '-p', $old->port, '-P', $new->port ], 'pg_upgrade runs');

$new->start;
is(dump_of($new, 'fx'), $dump, 'the dump is as it was');
is($new->safe_psql('fx', 'SELECT count(*) FROM fx.migrate()'), '0', 'nothing is left to migrate');
$new->safe_psql('fx', q{UPDATE fx.users SET username = 'x' WHERE username = 'u1'});
is($new->safe_psql('fx', q{SELECT count(*) FROM fx.audit_log WHERE resource_type = 'users' AND 'username' = ANY (changed_columns)}), '1', 'triggers work');
$new->stop;

done_testing();
