# pg_upgrade carries databases with the extension and its data, of this version
# and of the release before, whose catalogs meet the library of now.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use FxCatalog;
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
$old->safe_psql('postgres', 'CREATE DATABASE fx_old');
$old->safe_psql('fx_old', q{CREATE EXTENSION fxplatform VERSION '1.0.0' CASCADE});
fill($old, 'fx_old');
my %dump = map { $_ => dump_of($old, $_) } qw(fx fx_old);
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init;

# it writes into the folder where it runs
chdir PostgreSQL::Test::Utils::tempdir;
command_ok([ "$bindir/pg_upgrade", '--no-sync', '-b', $bindir, '-B', $bindir, '-d', $old->data_dir, '-D', $new->data_dir,
		'-s', $new->host, '-p', $old->port, '-P', $new->port ], 'pg_upgrade runs');

$new->start;
foreach my $db (qw(fx fx_old))
{
	is(dump_of($new, $db), $dump{$db}, "$db: the dump is as it was");
	is($new->safe_psql($db, 'SELECT count(*) FROM fx.migrate()'), '0', "$db: nothing is left to migrate");
}
is($new->safe_psql('fx_old', q{SELECT extversion FROM pg_extension WHERE extname = 'fxplatform'}), '1.0.0', 'a release stays what it was');
$new->safe_psql('fx_old', 'ALTER EXTENSION fxplatform UPDATE');
# code, that is: tables came by the dump inside of pg_upgrade
$new->safe_psql('postgres', 'CREATE DATABASE fresh');
$new->safe_psql('fresh', 'CREATE EXTENSION fxplatform CASCADE');
sub code { return [ grep { /^(extension|member|schema|initial|role|function|aggregate|type|operator|class|of|cast|migration|state) / && !/\d{4}_\d\d\b(?!_)/ || /^relation \S+ .*"relkind": "v"/ } @{ catalog($new, $_[0]) } ]; }
is(catalog_difference(code('fx_old'), code('fresh')), '', 'and is updated as anywhere');
$new->safe_psql('fx', q{UPDATE fx.users SET username = 'x' WHERE username = 'u1'});
is($new->safe_psql('fx', q{SELECT count(*) FROM fx.audit_log WHERE resource_type = 'users' AND 'username' = ANY (changed_columns)}), '1', 'triggers work');
$new->stop;

done_testing();
