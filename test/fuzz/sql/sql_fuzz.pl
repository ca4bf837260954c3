#!/usr/bin/env perl
#
# sql_fuzz.pl --psql PSQL --database NAME --dir DIR --seconds N --clients N --seed N
#	Calls everything in schema fx at random, in several sessions at once, as an
#	application (a member of fx_app), as a user (of fx_user) and as the owner,
#	and says what came of it.  The database is made by setup.sql.
#
# A finding is a crash, a lost connection, a hang, an internal error, an error
# whose words or SQLSTATE say that a function broke rather than refused, data
# shown to a user that are not his, memory that grows, and anything that
# invariants.sql, rights.sql or vault.sql have to say at the end.  The
# statements before a finding are in DIR/findings-CLIENT.sql.  A client's
# statements follow from the seed and its number.
#
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use FxSession;
use FxStatements;
use FxValues;
use Getopt::Long;
use Storable qw(store retrieve);
use Time::HiRes qw(sleep time);

# Contexts of a backend and its own pages may grow by this from the middle of the
# run to its end
my $GROWTH_LIMIT = 24 * 1024 * 1024;
my $TIMEOUT = 400;
my $PATIENCE = 120;
my $BATCH = 40;
my $KEPT = 60;

# SQLSTATEs that no refusal has
my $broken = qr/^(?:XX|P0001|P0003|P0004|58|F0|03|09|24|27|2D|2F00[02]|34|39(?!P01)|42601|42703|42883|42804|42702|42725|42P0[12]|42P18|42846|0L|0P)/;
my $broken_words = qr/cache lookup failed|could not open relation|could not find|unexpected|unrecognized (?!configuration)|invalid memory alloc|CANARY|corrupt|out of shared memory/i;

# ... but for functions whose comment says so, or that pass the server's own on
my %in_order = (
	'42P01' => qr/regclass|partition|migrat|create_\w+_partitions|expire|relation|monthly|rotat|INSERT (?:quotes|market_data)/,
	'42883' => qr/expire_batch/,
	'42703' => qr/expire_batch|encrypt|rotat|redact|enable_audit|load_candles|staging_columns|estimated_rows/,
	'42804' => qr/load_candles|staging_columns/,
	# its argument is a condition
	'42601' => qr/estimated_rows/,
	'42P02' => qr/estimated_rows/,
	'F0000' => qr/crypt|key_version|two_factor/,
);

GetOptions(\my %o, 'psql=s', 'database=s', 'dir=s', 'seconds=i', 'clients=i', 'seed=i') or die "bad option\n";
mkdir $o{dir};

my $catalog = read_catalog();
my $rights = sql_file('rights.sql');
my $vault = sql_file('vault.sql');
my $deadline = time + $o{seconds};
my @clients = map { fork_client($_) } 0 .. $o{clients} - 1;

waitpid $_, 0 for @clients;
sleep 1;
report();

# Rows of a query, as arrays
sub rows
{
	my ($sql) = @_;

	open my $psql, '-|', $o{psql}, '-X', '-q', '-A', '-t', '-F', "\x1f", '-R', "\x1e", '-v', 'ON_ERROR_STOP=1', '-d', $o{database}, '-c', $sql or die "cannot run psql: $!\n";
	local $/;
	my $answer = <$psql>;
	close $psql or die "query failed: $sql\n";
	chomp $answer;
	return map { [ split /\x1f/, $_, -1 ] } split /\x1e/, $answer;
}

sub sql_file
{
	my ($file, @arguments) = @_;

	open my $psql, '-|', $o{psql}, '-X', '-q', '-A', '-t', '-d', $o{database}, @arguments, '-f', "$FindBin::Bin/$file" or die "cannot run psql: $!\n";
	local $/;
	my $answer = <$psql> // '';
	close $psql or $answer .= "$file failed\n";
	return $answer;
}

# Functions and tables, with who may use them
sub read_catalog
{
	my (@functions, %relations);

	for (rows(<<'SQL'))
SELECT p.proname, p.prokind, p.pronargdefaults, p.oid::regprocedure,
       array_to_string(ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS u (t, o) ORDER BY o), ';'),
       array_to_string(ARRAY(SELECT coalesce(a, '') FROM unnest(p.proargnames, p.proargmodes) AS u (a, m) WHERE coalesce(m, 'i') IN ('i', 'b', 'v')), ';'),
       has_function_privilege('fuzz_app', p.oid, 'EXECUTE'), has_function_privilege('fuzz_user', p.oid, 'EXECUTE'),
       EXISTS (SELECT FROM unnest(p.proargtypes) AS t JOIN pg_type y ON y.oid = t WHERE typtype = 'p') OR p.prorettype IN ('trigger'::regtype, 'cstring'::regtype), p.prorettype = 'trigger'::regtype
  FROM pg_proc p WHERE pronamespace = 'fx'::regnamespace ORDER BY p.oid::regprocedure::text COLLATE "C"
SQL
	{
		my ($name, $kind, $defaults, $signature, $types, $names, $app, $user, $pseudo, $trigger) = @$_;
		push @functions, {
			name => $name, kind => $kind, defaults => $defaults, signature => $signature, types => [ split /;/, $types ], names => [ split /;/, $names, -1 ],
			app => $app eq 't', user => $user eq 't', owner => 1, pseudo => $pseudo eq 't', trigger => $trigger eq 't' };
	}
	for (rows(<<'SQL'))
SELECT c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull AND NOT a.atthasdef,
       has_any_column_privilege('fuzz_app', c.oid, 'SELECT'), has_any_column_privilege('fuzz_user', c.oid, 'SELECT'),
       has_column_privilege('fuzz_app', c.oid, a.attnum, 'INSERT'), has_column_privilege('fuzz_user', c.oid, a.attnum, 'INSERT'),
       has_column_privilege('fuzz_app', c.oid, a.attnum, 'UPDATE'), has_column_privilege('fuzz_user', c.oid, a.attnum, 'UPDATE'),
       has_table_privilege('fuzz_app', c.oid, 'DELETE'), has_table_privilege('fuzz_user', c.oid, 'DELETE')
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
 WHERE c.relnamespace = 'fx'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
 ORDER BY c.relname COLLATE "C", a.attnum
SQL
	{
		my ($relation, $kind, $name, $type, $required, $select_app, $select_user, @may) = map { $_ eq 't' ? 1 : $_ eq 'f' ? 0 : $_ } @$_;
		my $r = $relations{$relation} ||= { name => $relation, kind => $kind, read => { app => $select_app, user => $select_user, owner => 1 } };
		push @{ $r->{columns} }, { name => $name, type => $type, required => $required };
		$r->{insert}{app} ||= $may[0]; $r->{insert}{user} ||= $may[1];
		$r->{update}{app} ||= $may[2]; $r->{update}{user} ||= $may[3];
		$r->{delete} = { app => $may[4], user => $may[5], owner => 1 };
		$r->{insert}{owner} = $r->{update}{owner} = 1;
	}
	return { functions => \@functions, relations => [ map { $relations{$_} } sort keys %relations ] };
}

sub md5_uuid
{
	my ($text) = @_;
	return join '-', unpack 'a8 a4 a4 a4 a12', Digest::MD5::md5_hex($text);
}

# One client in a process of its own
sub fork_client
{
	my ($number) = @_;
	my $process = fork // die "cannot fork: $!\n";

	return $process if $process;
	srand $o{seed} + $number;
	my $as = (qw(app user app owner))[ $number % 4 ];
	# who attacks knows the names of all
	my @users = $as eq 'user' ? 1 .. 24 : 1 .. 20;
	my @signers = $as eq 'user' ? 21 : 1 .. 20;
	my $values = FxValues->new(
		name => "$o{seed}/$number/",
		logins => [ map { ("user$_", "user$_\@example.com") } @signers ],
		ids => {
			users => [ map { md5_uuid("user$_") } @users, ($as eq 'user' ? (21) x 24 : ()) ],
			signers => [ map { md5_uuid("user$_") } @signers ],
			strategies => [ map { md5_uuid("strategy$_") } @users, ($as eq 'user' ? (21) x 24 : ()) ],
			backtests => [ map { my $n = $_; map { md5_uuid("backtest$n-$_") } 1 .. 5 } @users, ($as eq 'user' ? (21) x 20 : ()) ],
			trades => [ map { my $n = $_; map { md5_uuid("trade$n-$_") } 1 .. 20 } @users, ($as eq 'user' ? (21) x 20 : ()) ],
			risk_limits => [ map { my $n = $_; map { md5_uuid("limit$n$_") } qw(max_order_size max_position daily_loss) } @users ],
		});
	my $statements = FxStatements->new(
		values => $values,
		functions => [ grep { $_->{$as} } @{ $catalog->{functions} } ],
		relations => [ grep { $_->{read}{$as} } @{ $catalog->{relations} } ],
		tables => [ map { my $r = $_; +{ %$r, map { $_ => $r->{$_}{$as} } qw(insert update delete) } }
			  grep { $_->{kind} ne 'v' && ($_->{insert}{$as} || $_->{update}{$as} || $_->{delete}{$as}) } @{ $catalog->{relations} } ],
		look => $as eq 'user' ? 'fuzz_look.hidden' : 'fuzz_look.all',
		own_id => $as eq 'user' ? md5_uuid('user21') : undef,
		rolls_back => $as eq 'owner',
		timeout => $TIMEOUT);
	my %told = (as => $as, number => $number, functions => {}, states => {}, findings => [], memory => [], statements => 0, deadlocks => 0);

	run_client(\%told, $statements, $as, $number);
	store \%told, "$o{dir}/client-$number";
	exit 0;
}

sub run_client
{
	my ($told, $statements, $as, $number) = @_;
	my $role = $as eq 'owner' ? 'postgres' : "fuzz_$as";
	my %session = (
		psql => $o{psql}, database => $o{database}, role => $role, patience => $PATIENCE,
		options => "-c statement_timeout=$TIMEOUT -c client_min_messages=error -c application_name=fuzz$number"
		  . ($as eq 'user' ? ' -c app.current_user_id=' . md5_uuid('user21') : '') . ($number == 2 ? ' -c ' . parallel_setting() . '=on' : ''));
	my $session = FxSession->new(%session);
	my @kept;
	my $next_look = 0;

	while (time < $deadline)
	{
		my @steps;

		push @steps, @{ $statements->random_statement } while @steps < $BATCH;
		my @results = $session->run(@steps);
		for my $i (0 .. $#steps)
		{
			my $result = $results[$i] // { state => 'lost', message => 'no answer' };

			push @kept, $steps[$i]{sql} . ';' . (defined $steps[$i]{data} ? "\n$steps[$i]{data}" : '');
			shift @kept while @kept > $KEPT;
			judge($told, $steps[$i], $result, \@kept);
			if ($result->{state} eq 'lost')
			{
				# the server may be starting again
				$session->finish(1);
				for (1 .. 60)
				{
					sleep 1;
					last if ($session = eval { FxSession->new(%session) }) && $session->{pid};
				}
				last;
			}
		}
		if (time >= $next_look)
		{
			$next_look = time + 3;
			look_at_memory($told, $session);
		}
	}
	$session->finish;
	return;
}

sub parallel_setting
{
	my ($version) = rows('SHOW server_version_num');
	return $version->[0] >= 160000 ? 'debug_parallel_query' : 'force_parallel_mode';
}

sub judge
{
	my ($told, $step, $result, $kept) = @_;
	my $state = $result->{state};
	my $object = $step->{object};

	$told->{statements}++;
	$told->{states}{$state}++;
	if (defined $object)
	{
		$told->{functions}{$object}{calls}++;
		$told->{functions}{$object}{$state}++;
	}
	return if $state eq '00000' || ($step->{ignore} && $state eq $step->{ignore}) || $state eq '25P02';
	my $in_order = $in_order{$state};
	return if $in_order && "$step->{sql} " . ($object // '') =~ $in_order && $result->{message} !~ /CANARY/;
	# the lines of a COPY that is refused are read as statements; JSON has its own unexpected tokens
	return if $state ne 'lost' && $state !~ /^XX/ && $result->{message} !~ /CANARY/ && (defined $step->{data} || $state =~ /^22/);
	return unless $state eq 'lost' || $state =~ $broken || $result->{message} =~ $broken_words;

	# the same words need be told once
	my ($words) = $result->{message} =~ /^(.*)/;
	my $same = ($object // '') . $state . ($words =~ s/"[^"]*"|\d+//gr);
	return if $told->{seen}{$same}++;
	push @{ $told->{findings} }, "$state " . ($object // $step->{sql}) . ": $words";
	open my $file, '>>', "$o{dir}/findings-$told->{number}.sql" or die "cannot write: $!\n";
	print $file "-- $state as $told->{as}: ", $result->{message} =~ s/\n/\n-- /gr, "\n", join("\n", @$kept), "\n\n";
	close $file;
	return;
}

# Between statements: what the backend's contexts hold, and its own pages
sub look_at_memory
{
	my ($told, $session) = @_;
	my (undef, $contexts) = $session->run({ sql => 'SELECT sum(total_bytes) AS total FROM pg_backend_memory_contexts \gset' }, { sql => '\warn :total' });
	my $pages = 0;

	return unless $contexts && $contexts->{message} =~ /(\d+)/;
	my $total = $1;
	if (open my $status, '<', "/proc/$session->{pid}/status")
	{
		while (<$status>)
		{
			$pages = $1 * 1024 if /^RssAnon:\s+(\d+)/;
		}
	}
	push @{ $told->{memory} }, [ $session->{pid}, $total, $pages ];
	return;
}

sub report
{
	my @told = map { retrieve("$o{dir}/client-$_") } grep { -f "$o{dir}/client-$_" } 0 .. $o{clients} - 1;
	my (%functions, %states, @findings);
	my $statements = 0;

	push @findings, 'a client did not finish' if @told < $o{clients};
	for my $told (@told)
	{
		$statements += $told->{statements};
		$states{$_} += $told->{states}{$_} for keys %{ $told->{states} };
		push @findings, map { "$_ (as $told->{as})" } @{ $told->{findings} };
		for my $object (keys %{ $told->{functions} })
		{
			$functions{$object}{$_} += $told->{functions}{$object}{$_} for keys %{ $told->{functions}{$object} };
		}
		push @findings, memory_of($told);
	}
	push @findings, grep { length } split /\n/, sql_file('invariants.sql');
	push @findings, map { "row of another user: $_" } grep { length } split /\n/, sql_file('own_rows.sql', '-U', 'fuzz_user', '-v', 'own_id=' . md5_uuid('user21'), '-c', "SET app.current_user_id = '" . md5_uuid('user21') . "'");
	push @findings, map { "rights changed: $_" } difference($rights, sql_file('rights.sql'));
	push @findings, map { "hidden rows changed: $_" } difference($vault, sql_file('vault.sql'));

	my %public = map { $_->{signature} => 1 } grep { !$_->{trigger} && !grep { $_ eq 'internal' } @{ $_->{types} } } @{ $catalog->{functions} };
	my @called = grep { $functions{$_} } sort keys %public;
	my @never = grep { !$functions{$_} || !$functions{$_}{'00000'} } sort keys %public;

	printf "\n%-70s %8s %8s  %s\n", 'object', 'calls', 'good', 'refused';
	for my $object (sort keys %functions)
	{
		my $f = $functions{$object};
		printf "%-70s %8d %8d  %s\n", substr($object, 0, 70), $f->{calls}, $f->{'00000'} // 0, join ' ', map { "$_:$f->{$_}" } grep { !/^(?:calls|00000)$/ } sort keys %$f;
	}
	print "\nSQLSTATEs: ", join(' ', map { "$_:$states{$_}" } sort keys %states), "\n";
	print "\nnever called with success: ", (@never ? join(', ', @never) : 'none'), "\n";
	printf "\n%d statements in %d s (%.0f/s), seed %d; %d of %d functions called, %d with success\n", $statements, $o{seconds}, $statements / $o{seconds}, $o{seed}, scalar(@called), scalar(keys %public), scalar(grep { $functions{$_}{'00000'} } @called);
	print "FINDING: $_\n" for @findings;
	printf "%d findings%s\n", scalar(@findings), @findings ? " (statements before them: $o{dir}/findings-*.sql)" : '';
	exit(@findings ? 1 : 0);
}

# Growth of the session that lived to the end
sub memory_of
{
	my ($told) = @_;
	my @samples = @{ $told->{memory} };
	my @own = grep { $_->[0] == $samples[-1][0] } @samples;
	my $third = int(@own / 3);

	return unless $third;
	my ($before, $after, $pages_before, $pages_after) = (
		least(1, @own[ $third .. 2 * $third ]), least(1, @own[ 2 * $third .. $#own ]), least(2, @own[ $third .. 2 * $third ]), least(2, @own[ 2 * $third .. $#own ]));
	printf "memory of client %d (%s): contexts %.1f, then %.1f MB; pages %.1f, then %.1f MB\n", $told->{number}, $told->{as}, map { $_ / 1048576 } $before, $after, $pages_before, $pages_after;
	return "memory of a session (as $told->{as}) grew: contexts $before to $after, pages $pages_before to $pages_after"
	  if $after - $before > $GROWTH_LIMIT || $pages_after - $pages_before > 2 * $GROWTH_LIMIT;
	return;
}

sub least
{
	my ($column, @samples) = @_;
	my ($least) = sort { $a <=> $b } map { $_->[$column] } @samples;
	return $least;
}

sub difference
{
	my ($before, $after) = @_;
	my %before = map { $_ => 1 } split /\n/, $before;
	my %after = map { $_ => 1 } split /\n/, $after;

	return ((map { "- $_" } grep { !$after{$_} } sort keys %before), (map { "+ $_" } grep { !$before{$_} } sort keys %after));
}
