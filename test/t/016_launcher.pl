# Which databases the launcher starts a worker for, when it stops one, and what
# it says in the log of those that it cannot maintain.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
fsync = off
shared_preload_libraries = 'fxplatform'
fxplatform.maintenance_interval = 1
max_worker_processes = 16
});
$node->start;

# workers that do not end by themselves: the first step that they record keeps them
$node->safe_psql('postgres', 'CREATE DATABASE kept');
$node->safe_psql('kept', q{
	CREATE EXTENSION fxplatform CASCADE;
	CREATE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(3600); RETURN NEW; END';
	CREATE TRIGGER wait BEFORE INSERT ON fx.maintenance_runs FOR EACH ROW EXECUTE FUNCTION public.wait()});
$node->safe_psql('postgres', "CREATE DATABASE $_ TEMPLATE kept") foreach qw(dropped listed broken);
$node->safe_psql('broken', q{CREATE OR REPLACE FUNCTION public.wait() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'nothing is recorded'; END$$});
$node->safe_psql('postgres', 'CREATE DATABASE closed ALLOW_CONNECTIONS false');
$node->safe_psql('postgres', q{CREATE DATABASE torn; UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'torn'});

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub becomes
{
	my ($query, $name) = @_;
	ok($node->poll_query_until('postgres', "SELECT ($query)"), $name);
	return;
}
sub listed
{
	sql("ALTER SYSTEM SET fxplatform.databases = '$_[0]'");
	sql('SELECT pg_reload_conf()');
	return;
}
# workers that are kept, as their databases
my $workers = q{SELECT coalesce(string_agg(datname, ' ' ORDER BY datname), '') FROM pg_stat_activity WHERE backend_type = 'fxplatform maintenance' AND wait_event = 'PgSleep'};
sub worker { return sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'fxplatform maintenance' AND datname = '$_[0]'"); }
sub complaints { return scalar(() = slurp_file($node->logfile) =~ /database "$_[0]" cannot be maintained\n.*DETAIL:  $_[1]/g); }

# databases in the order of the list: when the last has its complaint, all of
# the others have had their turn
my $torn = 'It was left behind by an interrupted DROP DATABASE\.';
my $offset = -s $node->logfile;
listed('kept, listed, "kept", closed, dropped, nowhere, kept, nowhere, torn');
$node->wait_for_log(qr/database "torn" cannot be maintained\n.*$torn/, $offset);
becomes("($workers) = 'dropped kept listed'", 'a database that is listed three times has one worker');
is(complaints('closed', 'It does not allow connections\.'), 1, 'one without connections has none, and the log says why');
is(complaints('nowhere', 'It does not exist\.'), 1, 'one that does not exist has none, and the log says so once');
is(complaints('torn', $torn), 1, 'one that is half dropped has none');
is(sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'fxplatform launcher'"), '1', 'there is one launcher');

# taken off the list: its worker stops, and those of others go on
my ($kept, $stopped) = (worker('kept'), worker('listed'));
$offset = -s $node->logfile;
listed('nowhere, dropped, kept, closed, torn');
becomes("($workers) = 'dropped kept'", 'a database that is taken off the list has no worker any more');
$node->wait_for_log(qr/terminating background worker "fxplatform maintenance" due to administrator command/, $offset);
is(worker('kept'), $kept, 'the worker of one that stays is the same');

# on the list again: as if it were new
sql("UPDATE pg_database SET datconnlimit = -1 WHERE datname = 'torn'; DROP DATABASE torn");
$node->wait_for_log(qr/database "torn" cannot be maintained\n.*It does not exist\./, $offset);
listed('dropped, listed, kept');
becomes("($workers) = 'dropped kept listed'", 'one that is back has a worker at once');
isnt(worker('listed'), $stopped, 'another one');
$offset = -s $node->logfile;
listed('dropped, listed, kept, nowhere');
$node->wait_for_log(qr/database "nowhere" cannot be maintained\n.*It does not exist\./, $offset);
is(complaints('nowhere', 'It does not exist\.'), 2, 'the log says again what is wrong with one that was away');

# dropped while its worker runs
$offset = -s $node->logfile;
sql('DROP DATABASE dropped WITH (FORCE)');
$node->wait_for_log(qr/database "dropped" cannot be maintained\n.*It does not exist\./, $offset);
becomes("($workers) = 'kept listed'", 'a database is dropped with its worker');
is(worker('kept'), $kept, 'the others have theirs');

# an error that a worker cannot even record ends its round, and not those to come
foreach my $round (1 .. 2)
{
	$offset = -s $node->logfile;
	listed('kept, listed, broken') if $round == 1;
	$node->wait_for_log(qr/ERROR:  nothing is recorded(?s:.*)ERROR:  nothing is recorded/, $offset);
}
$node->safe_psql('broken', 'DROP TRIGGER wait ON fx.maintenance_runs');
ok($node->poll_query_until('broken', q{SELECT count(*) > 0 FROM fx.maintenance_runs WHERE outcome = 'ok' AND worker}), 'a round is tried again until its steps are recorded');
is(worker('kept'), $kept, 'and all others have theirs');

# a list of nobody, and a list that is none
listed('');
becomes("($workers) = ''", 'an empty list stops all');
my ($ret, $out, $err) = $node->psql('postgres', q{ALTER SYSTEM SET fxplatform.databases = 'kept,,listed'});
like($err, qr/invalid value for parameter "fxplatform\.databases".*\n.*List syntax is invalid\./, 'an empty name is refused');
$offset = -s $node->logfile;
$node->append_conf('postgresql.conf', "fxplatform.databases = 'kept, \"listed'");
sql('ALTER SYSTEM RESET fxplatform.databases');
$node->reload;
$node->wait_for_log(qr/invalid value for parameter "fxplatform\.databases"/, $offset);
is(sql('SHOW fxplatform.databases'), '', 'in the file, too');
is(sql($workers), '', 'and nothing is started for it');

$node->stop;
my $log = slurp_file($node->logfile);
is(complaints('closed', 'It does not allow connections\.'), 1, 'no complaint was repeated with every round');
unlike($log, qr/PANIC|TRAP|terminated by signal/, 'nothing crashed');
done_testing();
