# A session of psql that is fed statements and says what came of each
#
# After every statement psql writes its SQLSTATE, behind what the server said,
# to the same stream.
package FxSession;

use strict;
use warnings;
use IO::Select;
use IPC::Open3;
use Symbol qw(gensym);

sub new
{
	my ($class, %self) = @_;
	my $self = bless \%self, $class;

	$self->connect;
	return $self;
}

sub connect
{
	my ($self) = @_;

	local $ENV{PGOPTIONS} = $self->{options};
	open my $null, '>', '/dev/null' or die "cannot open /dev/null: $!\n";
	$self->{process} = open3($self->{in}, '>&' . fileno($null), $self->{out} = gensym(), $self->{psql}, '-X', '-q', '-A', '-t', '-U', $self->{role}, '-d', $self->{database});
	close $null;
	$self->{in}->blocking(0);
	my ($result) = $self->run({ sql => 'SELECT pg_backend_pid() AS pid \gset' });
	my ($pid) = $self->run({ sql => '\warn :pid' });
	($self->{pid}) = $pid->{message} =~ /(\d+)/;
	return defined $self->{pid};
}

# run(steps): a result for each, of state and message; fewer where the
# connection is lost
sub run
{
	my ($self, @steps) = @_;
	my $script = '';
	my $said = '';
	my @results;

	for my $step (@steps)
	{
		$script .= $step->{sql} . ($step->{sql} =~ /^\\|\\gset$/ ? "\n" : ";\n");
		$script .= "$step->{data}\n" if defined $step->{data};
		$script .= "\\warn \x01:SQLSTATE\n";
	}
	my $out = $self->{out};
	my $readers = IO::Select->new($out);
	my $writers = IO::Select->new($self->{in});
	local $SIG{PIPE} = 'IGNORE';

	while (@results < @steps)
	{
		my ($readable, $writable) = IO::Select->select($readers, length $script ? $writers : undef, undef, $self->{patience});

		return @results unless $readable || $writable;
		if (@{ $writable || [] })
		{
			my $n = syswrite $self->{in}, $script, 32768;
			substr($script, 0, $n) = '' if $n;
			$script = '' if !defined $n && !$!{EAGAIN};
		}
		if (@{ $readable || [] })
		{
			my $n = sysread $out, $said, 65536, length $said;

			while ($said =~ s/\A(.*?)\x01(\w{5})\n//s)
			{
				push @results, { message => $1, state => $2 };
			}
			return (@results, { message => $said, state => 'lost' }) unless $n;
		}
	}
	return @results;
}

# finish(hard): one that does not answer is not waited for
sub finish
{
	my ($self, $hard) = @_;

	close $self->{in};
	kill TERM => $self->{process} if $hard;
	waitpid $self->{process}, 0;
	return;
}

1;
