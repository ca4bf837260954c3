# Folders with other releases of Debian (scripts/chroot.sh): made once when two
# want one at the same time, one script's at a time, and never half of one.  What
# takes minutes and root is replaced; how they are locked and named is not.

use strict;
use warnings;
use Cwd qw(abs_path);
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

plan skip_all => 'chroots are for Linux' if $^O ne 'linux';

my $top = abs_path("$FindBin::Bin/../..");
my $dir = PostgreSQL::Test::Utils::tempdir;

# debootstrap tells that it began, waits until it is let go, and makes two files
append_to_file("$dir/lib", <<"END");
. '$top/scripts/lib.sh'
. '$top/scripts/chroot.sh'
as_root() { "\$@"; }
need_tool() { :; }
debian_mirror() { :; }
enter() { echo "\${*:2}" >>'$dir/entered'; }
unshare() { shift 3; "\$@"; }
debootstrap()
{
	echo \$BASHPID >'$dir/pid'
	echo "\$2" >>'$dir/made'
	mkdir -p "\$3/usr/sbin" "\$3/etc/apt/apt.conf.d"
	while [ -d '$dir' ] && [ ! -e '$dir/go' ]; do sleep 0.05; done
	[ ! -e '$dir/fail' ] || { echo 'no such mirror'; return 1; }
	echo whole >"\$3/last"
}
END
$ENV{FXPLATFORM_CHROOTS} = "$dir/chroots";

# A script that sources chroot.sh, running.
sub begin
{
	my ($script) = @_;
	my %run = (out => '', err => '');

	$run{harness} = IPC::Run::start([ 'bash', '-c', ". '$dir/lib'\n$script" ], '<', \undef, '>', \$run{out}, '2>', \$run{err});
	return \%run;
}

sub ended
{
	my ($run) = @_;

	$run->{harness}->finish;
	return $run->{harness}->result(0) . " $run->{out}$run->{err}";
}

sub until_true
{
	my ($what, $test) = @_;

	foreach (1 .. 20 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if $test->();
		sleep 0.05;
	}
	die "timed out: $what";
}

sub made { return -e "$dir/made" ? slurp_file("$dir/made") : ''; }

my $take = 'take_chroot 17; cat "$(chroot_dir 17)/last"';

# killed in the middle of it; nobody begins before what it started has ended, too
my $killed = begin($take);
until_true('the first begins', sub { made() eq "trixie\n" });
like(ended(begin('have_chroot 17 && echo yes || echo no')), qr/^0 no$/m, 'a chroot that is being made is none');
$killed->{harness}->signal('KILL');
my @both = map { begin($take) } 1, 2;
until_true('both wait', sub {
	$_->{harness}->pump_nb foreach @both;
	return 2 == grep { $_->{out} =~ /waiting for whoever uses the chroot for PostgreSQL 17/ } @both;
});
ok(!-e "$dir/chroots/17", 'one that was interrupted has not the name');
append_to_file("$dir/chroots/17.new/left", '');
kill 'KILL', slurp_file("$dir/pid") + 0;
$killed->{harness}->finish;

# two at once
until_true('one of them begins', sub { made() eq "trixie\n" x 2 });
append_to_file("$dir/go", '');
like(ended($_), qr/^0 .*^whole$/ms, 'has a whole one') foreach @both;
is(made(), "trixie\n" x 2, 'which one of them made');
ok(!-e "$dir/chroots/17/left", 'from the beginning');
is(join(' ', sort map { s,.*/,,r } glob "$dir/chroots/*"), '17 17.lock', 'nothing else is left');

# one at a time
my $user = begin('take_chroot 17; echo >"$FXPLATFORM_CHROOTS/used"; while [ -e "$FXPLATFORM_CHROOTS/used" ]; do sleep 0.05; done; leave_chroot 17; echo left; read -r -t 60 || true');
until_true('it is in use', sub { -e "$dir/chroots/used" });
my $next = begin('take_chroot 17; ls "$FXPLATFORM_CHROOTS"; leave_chroot 17; take_chroot 17; take_chroot 17; echo twice');
until_true('the next one waits', sub { $next->{harness}->pump_nb; $next->{out} =~ /waiting/ });
unlink "$dir/chroots/used";
unlike(ended($next), qr/^used$/m, 'the next one has it when it is left');
like($next->{out}, qr/^twice$/m, 'and takes it again');
like(ended($user), qr/^0 .*left/s, 'who left it goes on');

# what fails
append_to_file("$dir/fail", '');
like(ended(begin('take_chroot 15; echo went on')), qr/^1 .*no such mirror.*error: debootstrap could not make bookworm$/ms, 'an error of debootstrap is told');
ok(!-e "$dir/chroots/15", 'and leaves no chroot');
like(ended(begin('take_chroot 16; echo went on')), qr/^1 .*no release of Debian is known to have PostgreSQL 16$/ms, 'so is a major that Debian does not have');
like(ended(begin('in_chroot 15 true')), qr/^1 .*no complete chroot for PostgreSQL 15/ms, 'one that is not there is not entered');

done_testing();
