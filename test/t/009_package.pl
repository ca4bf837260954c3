# What is given to others: META.json by the specification of PGXN, one version
# everywhere, and an archive that builds and installs by itself.

use strict;
use warnings;
use Cwd qw(abs_path getcwd);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use FindBin;
use IO::Uncompress::Unzip qw($UnzipError);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = abs_path("$FindBin::Bin/../..");
my ($version) = slurp_file("$top/fxplatform.control") =~ /^default_version = '(.*)'$/m;
my $text = slurp_file("$top/META.json");

# the specification: https://pgxn.org/spec/

my $semver = qr/^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[A-Za-z][0-9A-Za-z-]*)?$/;
my $range = qr/^(?:0|(?:(?:>=|<=|>|<|==|!=)\s*)?\d+\.\d+\.\d+(?:,\s*(?:>=|<=|>|<|==|!=)\s*\d+\.\d+\.\d+)*)$/;
my $term = qr{^[^\s/\\\x00-\x1f\x7f]{2,}$};
my %licenses = map { $_ => 1 } qw(agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd gfdl_1_2 gfdl_1_3 gpl_1 gpl_2 gpl_3 lgpl_2_1 lgpl_3_0 mit mozilla_1_0 mozilla_1_1 openssl perl_5 postgresql qpl_1_0 ssleay sun zlib open_source restricted unrestricted unknown);

# Everything that is wrong with a text that should be META.json.
sub problems
{
	my ($json, $exists) = @_;
	my @bad;
	my $meta = eval { JSON::PP->new->utf8->decode($json) };

	return "no JSON: $@" if $@;
	return 'no object' if ref $meta ne 'HASH';
	my %known = map { $_ => 1 } qw(abstract maintainer license meta-spec name provides version description generated_by no_index prereqs release_status resources tags);
	push @bad, map { "unknown key $_" } grep { !$known{$_} && !/^x_/i } sort keys %$meta;
	push @bad, map { "no $_" } grep { !defined $meta->{$_} || $meta->{$_} eq '' } qw(abstract maintainer license meta-spec name provides version);
	push @bad, 'name' if ($meta->{name} // '') !~ $term;
	push @bad, 'version' if ($meta->{version} // '') !~ $semver;
	push @bad, "$_ is no string" foreach grep { ref $meta->{$_} } grep { exists $meta->{$_} } qw(abstract description generated_by name version release_status);
	foreach my $who (ref $meta->{maintainer} eq 'ARRAY' ? @{ $meta->{maintainer} } : $meta->{maintainer})
	{
		push @bad, 'maintainer' if !defined $who || ref $who || $who !~ /\S/;
	}
	foreach my $license (ref $meta->{license} eq 'ARRAY' ? @{ $meta->{license} } : ref $meta->{license} eq 'HASH' ? () : $meta->{license})
	{
		push @bad, 'license' unless defined $license && $licenses{$license};
	}
	push @bad, 'release_status' unless ($meta->{release_status} // 'stable') =~ /^(?:stable|testing|unstable)$/;
	push @bad, 'release_status of a version with a suffix' if ($meta->{version} // '') =~ /-/ && ($meta->{release_status} // 'stable') eq 'stable';
	my $spec = $meta->{'meta-spec'};
	push @bad, 'meta-spec' unless ref $spec eq 'HASH' && ($spec->{version} // '') =~ /^1\.0\.\d+$/ && ($spec->{url} // 'https://x') =~ m{^https?://};
	my $provides = ref $meta->{provides} eq 'HASH' ? $meta->{provides} : {};
	push @bad, 'provides nothing' unless %$provides;
	foreach my $name (sort keys %$provides)
	{
		my $it = $provides->{$name};

		push @bad, "provides.$name" unless $name =~ $term && ref $it eq 'HASH';
		next unless ref $it eq 'HASH';
		push @bad, "provides.$name.version" unless ($it->{version} // '') =~ $semver;
		push @bad, "provides.$name.file" unless defined $it->{file} && $exists->($it->{file});
		push @bad, "provides.$name.docfile" if exists $it->{docfile} && !$exists->($it->{docfile});
		push @bad, map { "provides.$name.$_" } grep { !/^(?:file|version|abstract|docfile|x_.*)$/i } sort keys %$it;
	}
	foreach my $phase (sort keys %{ $meta->{prereqs} // {} })
	{
		push @bad, "prereqs.$phase" unless $phase =~ /^(?:configure|build|test|runtime|develop|x_.*)$/i;
		foreach my $relation (sort keys %{ $meta->{prereqs}{$phase} })
		{
			push @bad, "prereqs.$phase.$relation" unless $relation =~ /^(?:requires|recommends|suggests|conflicts|x_.*)$/i;
			my $needs = $meta->{prereqs}{$phase}{$relation};
			push @bad, map { "prereqs.$phase.$relation.$_" } grep { !/$term/ || $needs->{$_} !~ $range } sort keys %$needs;
		}
	}
	push @bad, 'tags' if exists $meta->{tags} && (ref $meta->{tags} ne 'ARRAY' || grep { ref || !length || length > 255 || m{[/\\\x00-\x1f]} } @{ $meta->{tags} });

	return join ', ', @bad;
}

my $here = sub { -f "$top/$_[0]" };
is(problems($text, $here), '', 'META.json is what PGXN asks for');

# the check itself finds what is wrong
my %faults = (
	'no JSON' => sub { $_[0] =~ s/,/;/r },
	'no license' => sub { $_[0] =~ s/"license": "[^"]*",//r },
	'license' => sub { $_[0] =~ s/"license": "[^"]*"/"license": "mine"/r },
	'version' => sub { $_[0] =~ s/"version": "[^"]*"/"version": "1.1"/r },
	'release_status' => sub { $_[0] =~ s/"release_status": "[^"]*"/"release_status": "done"/r },
	'provides.fxplatform.file' => sub { $_[0] =~ s/"file": "[^"]*"/"file": "nowhere.sql"/r },
	'prereqs.runtime.requires.PostgreSQL' => sub { $_[0] =~ s/"PostgreSQL": "15.0.0"/"PostgreSQL": "15"/r },
	'meta-spec' => sub { $_[0] =~ s/("meta-spec": \{\s*"version": )"1.0.0"/$1"2.0.0"/r },
	'unknown key licence' => sub { $_[0] =~ s/"license"/"licence"/r });
foreach my $fault (sort keys %faults)
{
	like(problems($faults{$fault}->($text), $here), qr/\Q$fault\E/, "found: $fault");
}

# one version
my $meta = decode_json($text);
is($meta->{version}, $version, 'META.json states the version of the control file');
is($meta->{provides}{fxplatform}{version}, $version, 'twice');
like(slurp_file("$top/CHANGELOG.md"), qr/^## \Q$version\E /m, 'the change log knows it');
like(slurp_file("$top/debian/changelog"), qr/\Afxplatform \(\Q$version\E-\d+\) /, 'so does that of the Debian package');

# Debian's packages are those of the template, for the supported majors of here
sub packages { return join ' ', sort map { s/PGVERSION/15/r } slurp_file("$top/debian/$_[0]") =~ /^Package: (\S+)/mg; }
like(packages('control'), qr/\b\Q@{[packages('control.in')]}\E\b/, 'debian/control has the package of the template');

SKIP:
{
	skip 'the archive is made from git, and this is no checkout', 10
	  unless -e "$top/.git" && !system("git -C '$top' rev-parse --verify --quiet HEAD >/dev/null 2>&1");

	# what is committed, in a clone of its own
	my $dir = PostgreSQL::Test::Utils::tempdir;
	my $clone = "$dir/clone";
	my $name = "fxplatform-$version";
	system_or_bail('git', 'clone', '-q', '--no-hardlinks', $top, $clone);
	command_ok([ 'make', '-C', $clone, '--no-print-directory', 'dist' ], 'make dist');

	my (%content, $status);
	my $zip = IO::Uncompress::Unzip->new("$clone/$name.zip") or die "$name.zip: $UnzipError";
	for ($status = 1; $status > 0; $status = $zip->nextStream)
	{
		my $file = $zip->getHeaderInfo->{Name};
		local $/;
		$content{$file} = $file =~ m{/$} ? undef : <$zip> // '';
	}
	is($status, 0, 'the archive can be read to its end');
	is(join(' ', grep { !m{^\Q$name\E/} } sort keys %content), '', 'everything is in one folder');
	is(join(' ', grep { m{^[^/]+/(?:\.|tmp_|results)|\.(?:o|so|bc|zip)$} } sort keys %content), '', 'nothing that was built or is about git is in it');
	is($content{"$name/META.json"}, slurp_file("$clone/META.json"), 'META.json is');
	is(problems($content{"$name/META.json"}, sub { exists $content{"$name/$_[0]"} }), '', 'and what it names');

	# it builds and installs
	foreach my $file (sort keys %content)
	{
		make_path(dirname("$dir/$file"));
		next unless defined $content{$file};
		open my $out, '>:raw', "$dir/$file" or die "$file: $!";
		print $out $content{$file};
		close $out or die "$file: $!";
	}
	local $ENV{MAKEFLAGS} = '';
	delete @ENV{qw(MAKELEVEL MFLAGS)};
	my ($pg_config) = map { chomp; $_ } `which pg_config`;
	command_ok([ 'make', '-C', "$dir/$name", '-s', "PG_CONFIG=$pg_config", 'with_llvm=no', 'COPT=-O0', 'install', "DESTDIR=$dir/root" ],
		'it builds and installs from the archive');
	chomp(my ($lib, $share) = map { `pg_config --$_` } qw(pkglibdir sharedir));
	my ($so) = glob "$dir/root$lib/fxplatform.*";
	ok(-s ($so // ''), 'the library is installed');
	is(join(' ', grep { !-s "$dir/root$share/extension/$_" } 'fxplatform.control', "fxplatform--$version.sql", 'fxplatform--1.0.0.sql',
			"fxplatform--1.0.0--$version.sql", "fxplatform--$version--1.0.0.sql"), '', 'so are all scripts');

	append_to_file("$clone/README.md", "changed\n");
	command_fails_like([ 'make', '-C', $clone, '--no-print-directory', 'dist' ], qr/error: commit these first.*README\.md/s, 'a tree with changes is refused');
}

done_testing();
