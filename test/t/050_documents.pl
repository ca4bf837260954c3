# What README.md and doc/ say: examples run and show the output that stands
# below them, links and names lead somewhere, and nothing public goes unsaid.
#
# Every block of SQL of a page runs, in the order of the page, in one psql
# session of a superuser in a database of its own that has the extension (or
# creates it, where the page does).  Three comments, which readers do not see,
# say more:
#
#   <!-- setup: SQL -->        runs at this place, on one line or on many
#   <!-- not run: REASON -->   the next block of SQL does not run
#   <!-- output -->            the next block is what the block of SQL before it
#                              prints, errors and notices included, but for white
#                              space at the ends of lines
#
# A block that has no output below it must not fail.

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename;
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $top = abs_path("$FindBin::Bin/../..");
my @pages = ('README.md', map { "doc/" . basename($_) } sort glob "$top/doc/*.md");
my %source = map { $_ => slurp_file("$top/$_") } @pages;
my $database = 'fx_platform';

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "jit = off\nautovacuum = off\nmax_worker_processes = 8");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE with_extension');
$node->safe_psql('with_extension', 'SET client_min_messages = warning; CREATE EXTENSION fxplatform CASCADE');

examples($_) foreach @pages;

my $functions = functions();
my %settings = map { $_ => 1 } rows(q{SELECT name FROM pg_settings WHERE name LIKE 'fxplatform.%'});
my %relations = map { $_ => 1 } rows(q{
	SELECT relname FROM pg_class
	 WHERE relnamespace = 'fx'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition});
my $text = join "\n", map { $source{$_} } @pages;

links();
files();
named_functions();
settings_table();
nothing_unsaid();
sqlstates();
picture();

done_testing();

# --- examples ---------------------------------------------------------------

# Run the page as a script whose lines are those of the page, so that psql says
# where an error is, and compare what its blocks print.
sub examples
{
	my ($page) = @_;
	my ($script, $blocks, @faults) = parse($page);

	return is(join("\n", @faults), '', "$page: blocks and comments are well-formed") if @faults;
	return pass("$page: no example runs") if !@$blocks;

	my $creates = grep { $_->{sql} =~ /CREATE EXTENSION\s+(IF NOT EXISTS\s+)?fxplatform/ } @$blocks;
	my $roles = join ', ', map { "'$_'" } rows('SELECT rolname FROM pg_roles', 'postgres');
	my $dir = PostgreSQL::Test::Utils::tempdir;
	my $file = "$dir/" . basename($page);
	my $here = Cwd::cwd();
	my $output = '';

	$node->safe_psql('postgres', "CREATE DATABASE $database" . ($creates ? '' : ' TEMPLATE with_extension'));
	append_to_file($file, $script);
	{
		local $ENV{PGOPTIONS} = '-c TimeZone=UTC -c DateStyle=ISO,MDY -c IntervalStyle=postgres';
		local $ENV{PGHOST} = $node->host;
		local $ENV{PGPORT} = $node->port;
		local $ENV{PGDATABASE} = $database;
		local $ENV{PAGER} = 'cat';

		chdir $dir or die "could not enter $dir: $!";
		IPC::Run::run([ 'psql', '-X', '-q', '-f', basename($file) ], '<', \undef, '>', \$output, '2>&1',
			IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
		chdir $here or die "could not go back to $here: $!";
	}

	my $name = quotemeta basename($page);
	my $failure = qr/^psql:$name:(\d+): (?:ERROR|FATAL|PANIC|error):/m;
	my ($between, @printed) = split /^\@\@block \d+\n/m, $output;
	foreach my $block (@$blocks)
	{
		my ($inside, $after) = split /^\@\@end\n/m, shift(@printed) // '', 2;
		my $where = "$page:$block->{line}";

		if (!defined $after)
		{
			fail("$where runs to its end");
			diag($inside);
			last;
		}
		$between .= $after;
		if (defined $block->{expected})
		{
			$inside =~ s/^psql:$name:\d+: //mg;
			is(trim($inside), trim($block->{expected}), "$where shows what it says");
		}
		elsif ($inside =~ $failure)
		{
			fail("$page:$1 runs");
			diag($inside);
		}
		else
		{
			pass("$where runs");
		}
	}
	unlike($between, $failure, "$page: what is set up runs");

	# settings, tablespaces and roles are those of the cluster
	$node->safe_psql('postgres', 'ALTER SYSTEM RESET ALL');
	$node->reload;
	$node->safe_psql('postgres', "DROP DATABASE $database WITH (FORCE)");
	$node->safe_psql('postgres', "DROP TABLESPACE $_") foreach rows(q{SELECT quote_ident(spcname) FROM pg_tablespace WHERE oid >= 16384}, 'postgres');
	my $made = join ', ', rows("SELECT quote_ident(rolname) FROM pg_roles WHERE rolname NOT IN ($roles, 'fx_app', 'fx_user', 'fx_reporting')", 'postgres');
	$node->safe_psql('postgres', "DROP ROLE $made") if $made ne '';
	return;
}

sub parse
{
	my ($page) = @_;
	my @lines = split /\n/, $source{$page};
	my @script = ('') x @lines;
	my (@blocks, @faults, $mark, $fence, $language, $setup, $running);
	my $n = 0;

	foreach my $i (0 .. $#lines)
	{
		my $line = $lines[$i];
		my $at = "$page:" . ($i + 1);

		if (defined $fence)
		{
			if ($line =~ /^\Q$fence\E\s*$/)
			{
				$script[$i] = '\echo @@end' if $language eq 'run';
				undef $fence;
			}
			elsif ($language eq 'run')
			{
				$script[$i] = $line;
				$blocks[-1]{sql} .= "$line\n";
			}
			elsif ($language eq 'output')
			{
				$blocks[-1]{expected} .= "$line\n";
			}
			next;
		}
		if ($setup)
		{
			$script[$i] = $line;
			$setup = 0 if $script[$i] =~ s/\s*-->\s*$//;
			next;
		}
		if ($line =~ /^(```+)\s*(\S*)/)
		{
			$fence = $1;
			$language = $2;
			if (defined $mark && $mark eq 'output')
			{
				push @faults, "$at: output of SQL" if $language eq 'sql';
				$language = 'output';
				$blocks[-1]{expected} = '';
			}
			elsif ($language eq 'sql' && !defined $mark)
			{
				$language = 'run';
				$n++;
				push @blocks, { line => $i + 1, sql => '' };
				$script[$i] = "\\echo \@\@block $n";
				$running = 1;
			}
			elsif (defined $mark && $language ne 'sql')
			{
				push @faults, "$at: no block of SQL that would run";
			}
			$running = 0 if $language ne 'run';
			undef $mark;
		}
		elsif ($line =~ /^<!-- setup:(.*)$/)
		{
			$script[$i] = $1;
			$setup = $script[$i] !~ s/\s*-->\s*$//;
		}
		elsif ($line =~ /^<!-- not run: \S.* -->\s*$/)
		{
			$mark = 'not run';
		}
		elsif ($line =~ /^<!-- output -->\s*$/)
		{
			push @faults, "$at: output of nothing that runs" if !$running;
			$mark = 'output';
		}
		elsif ($line =~ /^<!--/)
		{
			push @faults, "$at: a comment of no known kind";
		}
		elsif ($line =~ /\S/)
		{
			push @faults, "$at: a block should follow" if defined $mark;
			$running = 0;
		}
	}
	push @faults, "$page: a block or a comment does not end" if defined $fence || $setup;
	return (join("\n", @script) . "\n", \@blocks, @faults);
}

sub trim
{
	my ($printed) = @_;

	$printed =~ s/[ \t]+$//mg;
	$printed =~ s/\A\n+//;
	$printed =~ s/\n+\z/\n/;
	return $printed;
}

# --- links, files and names -------------------------------------------------

# Pages without their blocks of code.
sub prose
{
	my ($page) = @_;
	my $prose = $source{$page};

	$prose =~ s/^```.*?^```[^\n]*\n//msg;
	return $prose;
}

# Anchors as GitHub makes them of headings.
sub anchors
{
	my ($file) = @_;
	my %anchors;
	my $page = slurp_file("$top/$file");

	$page =~ s/^```.*?^```[^\n]*\n//msg;
	while ($page =~ /^#+\s+(.*?)\s*$/mg)
	{
		my $slug = lc $1;

		$slug =~ s/\[([^\]]*)\]\([^)]*\)/$1/g;
		$slug =~ s/[^\w\- ]//g;
		$slug =~ s/ /-/g;
		my $count = $anchors{$slug}++;
		$anchors{"$slug-$count"} = 1 if $count;
	}
	return \%anchors;
}

sub links
{
	my @broken;

	foreach my $page (@pages)
	{
		my $prose = prose($page);

		while ($prose =~ /\]\(([^()\s]+)\)/g)
		{
			my $link = $1;

			next if $link =~ /^(?:https?|mailto):/;
			my ($file, $anchor) = split /#/, $link, 2;
			my $target = $file eq '' ? $page : $page eq 'README.md' ? $file : clean(dirname($page) . "/$file");
			if (!-e "$top/$target")
			{
				push @broken, "$page: $link";
			}
			elsif (defined $anchor && !anchors($target)->{$anchor})
			{
				push @broken, "$page: $link (no such heading)";
			}
		}
	}
	is(join("\n", @broken), '', 'links lead somewhere');
	return;
}

sub clean
{
	my ($path) = @_;

	$path =~ s{[^/]+/\.\./}{};
	return $path;
}

# Paths below the top in `code`, but for those with a NAME in place of a name.
sub files
{
	my @missing;
	my $dirs = join '|', map { basename($_) } grep { -d } glob "$top/*";

	foreach my $page (@pages)
	{
		my $prose = prose($page);

		while ($prose =~ /`((?:$dirs)\/[\w.\/*{},-]*)`/g)
		{
			my $path = $1;

			push @missing, "$page: $path" if $path !~ /NAME|NNN/ && !grep { -e } glob "$top/$path";
		}
	}
	is(join("\n", @missing), '', 'files are there');
	return;
}

# Functions by name: the lists of their parameters, as names and as types.
sub functions
{
	my %functions;

	foreach my $row (rows(q{
		SELECT p.proname, a.names, a.types
		  FROM pg_proc p,
			   LATERAL (SELECT coalesce(string_agg(coalesce(nullif(p.proargnames[n], ''), '-'), ' ' ORDER BY n), '') AS names,
							   coalesce(string_agg(regexp_replace(format_type(t, NULL), '^fx\.', ''), ',' ORDER BY n), '') AS types
						  FROM unnest(coalesce(p.proallargtypes, p.proargtypes)) WITH ORDINALITY AS u (t, n)
						 WHERE coalesce(p.proargmodes[n], 'i') IN ('i', 'b', 'v')) AS a
		 WHERE pronamespace = 'fx'::regnamespace}))
	{
		my ($name, $names, $types) = split /\|/, $row;
		my %known = map { $_ => 1 } (split(/ /, $names // ''), split(/,/, $types // ''));

		# as they are usually written
		$known{timestamptz} = 1 if $known{'timestamp with time zone'};
		push @{ $functions{$name} }, \%known;
	}
	return \%functions;
}

sub named_functions
{
	my @wrong;

	foreach my $page (@pages)
	{
		my $prose = prose($page);

		while ($source{$page} =~ /\bfx\.(\w+)\(/g)
		{
			push @wrong, "$page: fx.$1" if !$functions->{$1} && !$relations{$1};
		}

		# `fx.name(parameter, parameter => value, parameter type, ...)`
		while ($prose =~ /`[^`\n]*?\bfx\.(\w+)\(([^()`]*)\)/g)
		{
			my ($name, $list) = ($1, $2);
			my @arguments;

			foreach my $argument (split /,/, $list)
			{
				$argument =~ s/^\s+|\s+$|\s+(?:ORDER BY|DEFAULT) .*//g;
				$argument =~ s/^fx\.//;
				push @arguments, $1 if $argument =~ /^"?([a-z_]\w*(?:\[\])?)"?(?:\s*=>.*|\s+[a-z_][\w ]*)?$/;
			}
			next if grep { my $known = $_; !grep { !$known->{$_} } @arguments } @{ $functions->{$name} // [ {} ] };
			push @wrong, "$page: fx.$name($list)";
		}
	}
	is(join("\n", @wrong), '', 'functions are there, with the parameters that are named');
	return;
}

sub settings_table
{
	my ($table) = $source{'README.md'} =~ /^## Settings\n(.*?)^## /ms;
	my %listed;

	foreach my $row ($table =~ /^\| (`.*?) \|/mg)
	{
		$listed{ $_ =~ /\./ ? $_ : "fxplatform.$_" } = 1 foreach $row =~ /`([^`]+)`/g;
	}
	# one that SHOW ALL leaves out is known by its name
	foreach my $name (grep { /^fxplatform\./ && !$settings{$_} } keys %listed)
	{
		$settings{$name} = 1 if rows("SELECT 1 WHERE current_setting('$name', true) IS NOT NULL");
	}
	is(join("\n", sort grep { /^fxplatform\./ } keys %listed), join("\n", sort keys %settings), 'README.md has every setting');

	my @unknown;
	foreach my $page (@pages)
	{
		while ($source{$page} =~ /\bfxplatform\.([a-z_]+)\b/g)
		{
			push @unknown, "$page: fxplatform.$1" if !$settings{"fxplatform.$1"} && !-e "$top/fxplatform.$1" && !-e "$top/src/fxplatform.$1" && $1 ne 'so';
		}
	}
	is(join("\n", @unknown), '', 'settings that pages name are there');
	return;
}

# A function that nothing else uses is there for users, and the pages tell of
# it; so do they of every table and view.  Support functions of types and
# aggregates, triggers, and parts of other functions need not be told.
sub nothing_unsaid
{
	my $sources = join "\n", map { slurp_file($_) } glob "$top/src/*.c";
	my $install = slurp_file("$top/sql/99_install.sql");
	my @unsaid;

	foreach my $row (rows(q{
		WITH mentioned AS MATERIALIZED (
			SELECT DISTINCT p.oid
			  FROM (SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'fx'::regnamespace
					UNION ALL SELECT '', concat(up, attach) FROM fx.migration) AS s (name, source),
				   LATERAL regexp_split_to_table(s.source, '\W+') AS word
			  JOIN pg_proc p ON p.proname = word AND p.pronamespace = 'fx'::regnamespace
			 WHERE p.proname <> s.name)
		SELECT p.proname,
			   p.oid IN (SELECT oid FROM mentioned)
			   OR EXISTS (SELECT FROM pg_depend d
						   WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid AND d.deptype IN ('n', 'a', 'i'))
		  FROM pg_proc p WHERE p.pronamespace = 'fx'::regnamespace}))
	{
		my ($name, $used) = split /\|/, $row;

		next if $used eq 't' || $sources =~ /\bfx\.$name\b/ || $install =~ /\b$name\(/;
		push @unsaid, $name if $text !~ /\b$name\b/;
	}
	foreach my $name (sort keys %relations)
	{
		push @unsaid, $name if $text !~ /\bfx\.$name\b/;
	}
	is(join("\n", @unsaid), '', 'nothing public goes unsaid');
	return;
}

# Codes that the sources raise are told, and those told are known to the server
# or ours.  Those of internal errors, and of functions that are called as what
# they are not, nobody branches on.
sub sqlstates
{
	my ($share) = run_command([ 'pg_config', '--sharedir' ]);
	my (%by_name, %by_macro, %raised);

	foreach (split /\n/, slurp_file("$share/errcodes.txt"))
	{
		my ($code, undef, $macro, $name) = split;

		next if !defined $macro || $code !~ /^[0-9A-Z]{5}$/;
		$by_macro{$macro} = $code;
		$by_name{$name} = $code if defined $name;
	}
	my $header = slurp_file("$top/src/fxplatform.h");
	while ($header =~ /#define (ERRCODE_\w+)\s+MAKE_SQLSTATE\(([^)]*)\)/g)
	{
		my ($macro, $letters) = ($1, $2);

		$by_macro{$macro} = join '', $letters =~ /\w/g;
	}
	my %known = map { $_ => 1 } values %by_macro;

	foreach my $file (glob "$top/src/*.[ch]")
	{
		my $c = slurp_file($file);

		$raised{ $by_macro{$1} // "$1 of $file" } = 1 while $c =~ /\berrcode\((\w+)\)/g;
	}
	foreach my $file (glob "$top/sql/[0-9]*.sql")
	{
		my $sql = slurp_file($file);

		# XF000 does not leave the function that raises it
		$raised{ $by_name{$1} // $1 } = 1 while $sql =~ /ERRCODE = '(\w+)'/g;
		delete $raised{XF000};
	}
	my @untold = grep { !/^(?:39|XX)/ && $text !~ /\b$_\b/ } sort keys %raised;
	is(join("\n", @untold), '', 'SQLSTATEs that are raised are told');

	my ($table) = $source{'README.md'} =~ /^## SQLSTATEs\n(.*?)^## /ms;
	is(join(' ', grep { !$known{$_} } $table =~ /\b([0-9A-Z]{5})\b(?=[^|]*\|)/g), '', 'those of README.md exist');
	is(join(' ', grep { /^XF/ && $table !~ /\b$_\b/ } sort keys %known), '', 'README.md has all that are ours');
	return;
}

# --- the picture ------------------------------------------------------------

# Names in the picture have their kind as a class.
sub picture
{
	my $file = "$top/doc/architecture.svg";
	my $svg = slurp_file($file);
	my %known = (
		table => \%relations,
		function => $functions,
		trigger => { map { $_ => 1 } rows('SELECT tgname FROM pg_trigger WHERE NOT tgisinternal') },
		role => { map { $_ => 1 } rows('SELECT rolname FROM pg_roles') });
	my (%count, @unknown);

	is($node->safe_psql('with_extension', "SELECT xml_is_well_formed_document(pg_read_file('$file'))"), 't', 'the picture is well-formed XML');
	like($svg, qr/<svg [^>]*viewBox="[^"]+"[^>]*>\s*<title[^>]*>[^<]+<\/title>\s*<desc[^>]*>[^<]+<\/desc>/s, 'it has a viewBox, a title and a description');
	unlike($svg, qr/<script|<foreignObject|<image|\bon\w+=|href=|url\((?!#)|\@import/i, 'it runs nothing and fetches nothing');
	while ($svg =~ /<t(?:ext|span)\b[^>]*class="(\w+)[^"]*"[^>]*>([^<]*)</g)
	{
		my ($kind, $name) = ($1, $2);

		next if !$known{$kind};
		$count{$kind}++;
		$name =~ s/^fx\.|\(.*$//g;
		push @unknown, "$kind $name" if !$known{$kind}{$name};
	}
	is(join("\n", @unknown), '', 'names in the picture are there');
	is(join(' ', grep { !$count{$_} } sort keys %known), '', 'of every kind');
	return;
}

# --- the database -----------------------------------------------------------

sub rows
{
	my ($query, $db) = @_;

	# LOAD by another name than that of the functions would be another library
	return split /\n/, $node->safe_psql($db // 'with_extension', ($db ? '' : "DO \$\$ BEGIN PERFORM fx.fx_day('2024-01-01'); END \$\$;\n") . $query);
}
