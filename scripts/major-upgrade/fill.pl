# fill.pl PSQL HOST PORT DATABASE
#
# Fill a platform as the tests of dump and upgrade do.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../../test/t";
use FxTest;

package Database;

sub safe_psql
{
	my ($self, $db, $sql) = @_;
	my ($stdout, $stderr) = ('', '');

	IPC::Run::run([ $self->{psql}, qw(-X -A -t -q -v ON_ERROR_STOP=1 -h), $self->{host}, '-p', $self->{port}, '-d', $db ],
		'<', \$sql, '>', \$stdout, '2>', \$stderr)
	  or die "psql failed: $stderr";
	chomp $stdout;
	return $stdout;
}

package main;

my ($psql, $host, $port, $db) = @ARGV;

fill(bless({ psql => $psql, host => $host, port => $port }, 'Database'), $db);
