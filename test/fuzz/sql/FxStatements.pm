# Random statements: calls of functions in many settings, and writes of tables
#
# A statement is an array of steps; a step is a hash of sql, the object that it
# is about, and, where an error is in order, the SQLSTATEs that are no news.
package FxStatements;

use strict;
use warnings;

# Not called at random: the settings of the sessions themselves, and what runs
# its argument as SQL
my %never = map { $_ => 1 } qw(run_migration_script run_maintenance_step);

# Columns that make a row which triggers look at closely
my %complete = (
	trades => qr/^(?:user_id|symbol|type|order_type|quantity|price|status|executed_at)$/,
	cash_flows => qr/^(?:user_id|amount|reason)$/,
	risk_limits => qr/^(?:user_id|name|type|limit_type|limit_value)$/,
	market_data => qr/^(?:symbol|timeframe|timestamp|open_price|high_price|low_price|close_price|volume)$/,
	backtests => qr/^(?:user_id|strategy_id|name|config)$/,
);

# Procedures end transactions, so no block may be around them
sub new
{
	my ($class, %self) = @_;
	my $self = bless \%self, $class;

	$self->{functions} = [ grep { !$never{ $_->{name} } && !grep { $_ eq 'internal' } @{ $_->{types} } } @{ $self->{functions} } ];
	return $self;
}

sub values_of
{
	my ($self) = @_;
	return $self->{values};
}

sub random_statement
{
	my ($self) = @_;
	my $choice = rand;

	# a row of many values is stored only where all of them are tame
	$self->values_of->{wild} = $self->values_of->pick(0, 0.05, 0.3, 0.5);
	$self->values_of->{wild} /= 10 if $choice < 0.18;
	return $self->write if $choice < 0.18 && @{ $self->{tables} };
	return $self->read if $choice < 0.25;
	return $self->call($self->values_of->pick(@{ $self->{functions} }));
}

# A call of a function, in one of the settings in which it may be called
sub call
{
	my ($self, $function) = @_;
	my $v = $self->values_of;
	my @steps;

	return [ { sql => "CALL fx.$function->{name}(" . $self->arguments($function) . ')', object => $function->{signature} } ]
	  if $function->{kind} eq 'p';
	my $sql = $function->{kind} eq 'a' ? $self->aggregate($function) : $self->query($function);
	my $step = { sql => $sql, object => $function->{signature} };
	my $setting = rand;

	if ($function->{kind} eq 'f' && $setting < 0.08 && !$function->{pseudo})
	{
		@steps = $self->prepared($function);
	}
	elsif ($setting < 0.16)
	{
		@steps = (
			{ sql => 'BEGIN' }, { sql => 'SAVEPOINT s' }, $step, { sql => 'ROLLBACK TO s' }, { %$step },
			{ sql => 'ROLLBACK TO s' }, { sql => $v->pick('COMMIT', 'ROLLBACK') });
	}
	elsif ($setting < 0.20)
	{
		@steps = ({ sql => 'SET statement_timeout = ' . (1 + int rand 4) }, $step, { sql => 'SET statement_timeout = ' . $self->{timeout} });
	}
	elsif ($setting < 0.24)
	{
		@steps = (
			{ sql => 'BEGIN' }, { sql => "DECLARE c CURSOR FOR $sql", object => $function->{signature} }, { sql => 'FETCH 1 FROM c', object => $function->{signature}, ignore => '25P02' },
			{ sql => 'ROLLBACK' });
	}
	elsif ($setting < 0.28)
	{
		@steps = ({ sql => "COPY ($sql) TO STDOUT (FORMAT binary)", object => $function->{signature} });
	}
	elsif ($setting < 0.32)
	{
		# what went wrong inside is told, all else is caught
		my $other = $self->query($self->values_of->pick(grep { $_->{kind} eq 'f' } @{ $self->{functions} }));

		@steps = ({
			sql => "DO \$fuzz\$ BEGIN EXECUTE \$x\$$sql\$x\$; EXCEPTION WHEN internal_error OR raise_exception OR assert_failure THEN RAISE;"
			  . " WHEN OTHERS THEN BEGIN EXECUTE \$x\$$other\$x\$; EXCEPTION WHEN internal_error OR raise_exception OR assert_failure THEN RAISE; WHEN OTHERS THEN NULL; END; END \$fuzz\$",
			object => 'DO'
		});
	}
	else
	{
		@steps = ($step);
	}
	# what an owner may do can break what must hold, so he never commits
	if ($self->{rolls_back})
	{
		@steps = grep { $_->{sql} !~ /^(?:BEGIN|COMMIT|ROLLBACK)$/ } @steps;
		@steps = ({ sql => 'BEGIN' }, @steps, { sql => 'ROLLBACK' }, { sql => 'SET statement_timeout = ' . $self->{timeout} });
	}
	return \@steps;
}

sub arguments
{
	my ($self, $function) = @_;
	my @arguments = map { $self->values_of->value($function->{types}[$_], $function->{names}[$_], $function->{name}) } 0 .. $#{ $function->{types} };

	# arguments at the end that have defaults may be left out
	splice @arguments, @arguments - int(rand($function->{defaults} + 1)) if $function->{defaults} && rand() < 0.6;
	return join ', ', @arguments;
}

# All of a result goes through its output functions
sub query
{
	my ($self, $function) = @_;
	my $call = "fx.$function->{name}(" . $self->arguments($function) . ')';

	return "SELECT max(length($self->{look}(x::text))) FROM (SELECT $call AS x) AS s" if $function->{trigger} || rand() < 0.3;
	if (rand() < 0.15)
	{
		my @calls = map { "SELECT fx.$function->{name}(" . $self->arguments($function) . ')' } 1 .. 3;
		return "SELECT max(length($self->{look}(x::text))) FROM (" . join(' UNION ALL ', @calls) . ') AS s (x)' if !$function->{pseudo};
	}
	return "SELECT max(length($self->{look}(x::text))) FROM $call AS x";
}

sub prepared
{
	my ($self, $function) = @_;
	my @types = @{ $function->{types} };
	my $call = "fx.$function->{name}(" . join(', ', map { "\$$_" } 1 .. @types) . ')';
	my %about = (object => $function->{signature});
	my @steps = (
		{ sql => 'SET plan_cache_mode = ' . $self->values_of->pick('force_generic_plan', 'force_custom_plan') },
		{ sql => 'DEALLOCATE ALL' },
		{ sql => 'PREPARE p' . (@types ? '(' . join(', ', @types) . ')' : '') . " AS SELECT max(length($self->{look}(x::text))) FROM $call AS x", %about });

	for (1 .. 1 + rand 3)
	{
		my @arguments = map { $self->values_of->value($types[$_], $function->{names}[$_], $function->{name}) } 0 .. $#types;
		# a parameter of EXECUTE holds no query
		@arguments = map { /\bSELECT\b/ ? 'NULL' : $_ } @arguments;
		push @steps, { sql => 'EXECUTE p' . (@arguments ? '(' . join(', ', @arguments) . ')' : ''), %about, ignore => '26000' };
	}
	return (@steps, { sql => 'DEALLOCATE p', ignore => '26000' }, { sql => 'RESET plan_cache_mode' });
}

# Over random rows: plain, grouped, by grouping sets, filtered, or as a window
sub aggregate
{
	my ($self, $function) = @_;
	my $v = $self->values_of;
	my @types = @{ $function->{types} };
	my $columns = join '', map {
		my $i = $_;
		my $list = join ', ', map { $v->value($types[$i], $function->{names}[$i], $function->{name}) } 1 .. 1 + rand 4;
		", (ARRAY[$list]::$types[$i]\[])[1 + g % " . (2 + int rand 4) . "] AS a$i";
	} 0 .. $#types;
	my $call = "fx.$function->{name}(" . join(', ', map { "a$_" } 0 .. $#types);
	my $rows = $v->pick(0, 1, 3, 20, 200);
	my $from = "FROM (SELECT g$columns FROM generate_series(1, $rows) AS g) AS s";
	my $ordered = "$call ORDER BY g DESC)";
	my $frame = $v->pick(
		'', 'ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING', 'ROWS BETWEEN 3 PRECEDING AND 2 PRECEDING', 'RANGE BETWEEN 5 PRECEDING AND CURRENT ROW',
		'ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING', 'GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING EXCLUDE CURRENT ROW', 'ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING');
	my $query = $v->pick(
		"SELECT $call) AS x $from", "SELECT $ordered AS x $from GROUP BY g % 3", "SELECT $call) AS x $from GROUP BY GROUPING SETS ((g % 2), (g % 3), ())",
		"SELECT $call) FILTER (WHERE g % 2 = 0) AS x $from GROUP BY g % 5", "SELECT $call) OVER (ORDER BY g $frame) AS x $from",
		"SELECT $call) OVER (PARTITION BY g % 2 ORDER BY g $frame) AS x $from", "SELECT $call) FILTER (WHERE g % 3 > 0) OVER (ORDER BY g $frame) AS x $from");

	return "SELECT max(length($self->{look}(x::text))) FROM ($query) AS q";
}

sub read
{
	my ($self) = @_;
	my $v = $self->values_of;
	my $relation = $v->pick(@{ $self->{relations} });
	my $where = '';

	if (rand() < 0.7)
	{
		my $column = $v->pick(@{ $relation->{columns} });
		my $value = $v->value($column->{type}, $column->{name}, $relation->{name});
		$where = " WHERE x." . name($column->{name}) . ($column->{type} =~ /json/ ? ' @> ' : $v->pick(' = ', ' <> ', ' < ', ' >= ')) . $value;
	}
	return [ { sql => "SELECT max(length($self->{look}(x::text))) FROM (SELECT * FROM fx." . name($relation->{name}) . " AS x$where LIMIT 1000) AS x", object => $relation->{name} } ];
}

sub write
{
	my ($self) = @_;
	my $v = $self->values_of;
	my $table = $v->pick(@{ $self->{tables} });
	my $choice = rand;
	my @steps;

	@steps =
	    $table->{insert} && $choice < 0.55 ? $self->insert($table)
	  : $table->{insert} && $choice < 0.62 ? $self->copy($table)
	  : $table->{update} && $choice < 0.92 ? $self->update($table)
	  : $table->{delete} && rand() < 0.5 ? $self->delete($table)
	  : $table->{insert} ? $self->insert($table)
	  : ();
	if ($self->{rolls_back} || rand() < 0.15)
	{
		@steps = ({ sql => 'BEGIN' }, @steps, { sql => $self->{rolls_back} ? 'ROLLBACK' : $v->pick('COMMIT', 'ROLLBACK', 'SAVEPOINT s') }, { sql => 'ROLLBACK' });
	}
	return \@steps;
}

sub name
{
	my ($name) = @_;
	return '"' . $name =~ s/"/""/gr . '"';
}

# Required columns, and some of the others
sub some_columns
{
	my ($self, $table) = @_;
	my $complete = $complete{ $table->{name} };

	return grep { $_->{name} =~ $complete } @{ $table->{columns} } if $complete && rand() < 0.5;
	my $often = $self->values_of->pick(0.1, 0.1, 0.4);

	return grep { $_->{required} ? rand() < 0.99 : rand() < $often } @{ $table->{columns} };
}

sub column_value
{
	my ($self, $table, $column) = @_;
	my $v = $self->values_of;

	if ($column->{name} eq 'id' && $column->{type} eq 'uuid')
	{
		my $id = $v->new_uuid;
		$v->remember($table->{name}, $id);
		return FxValues::quote($id);
	}
	return FxValues::quote($self->{own_id}) if $column->{name} eq 'user_id' && $self->{own_id} && rand() < 0.8;
	return 'DEFAULT' if rand() < ($column->{required} ? $v->{wild} / 5 : 0.1);
	return $v->value($column->{type}, $column->{name}, $table->{name});
}

sub insert
{
	my ($self, $table) = @_;
	my @columns = $self->some_columns($table);
	my @rows = map { '(' . join(', ', map { $self->column_value($table, $_) } @columns) . ')' } 1 .. (rand() < 0.8 ? 1 : 5);

	return () unless @columns;
	return {
		sql => 'INSERT INTO fx.' . name($table->{name}) . ' (' . join(', ', map { name($_->{name}) } @columns) . ') VALUES ' . join(', ', @rows)
		  . $self->values_of->pick('', '', ' ON CONFLICT DO NOTHING'),
		object => "INSERT $table->{name}"
	};
}

# Text as COPY reads it; the values are words, so that some are no input
sub copy
{
	my ($self, $table) = @_;
	my $v = $self->values_of;
	my @columns = $self->some_columns($table);
	my $line = sub {
		# a COPY that is refused leaves its lines to be read as commands
		join "\t", map { tr/'"$;\\//dr =~ s/^N$/\\N/r } map {
			my $value = $self->column_value($table, $_);
			$value =~ /^'((?:[^'\\]|'')*)'(?:::\w+)?$/ ? ($1 =~ s/''/'/gr) : $value =~ /^-?[\d.]+$/ ? $value : 'N';
		} @columns;
	};

	return () unless @columns;
	return {
		sql => 'COPY fx.' . name($table->{name}) . ' (' . join(', ', map { name($_->{name}) } @columns) . ') FROM STDIN',
		data => join("\n", map { $line->() } 1 .. 1 + rand 3) . "\n\\.\n\\r",
		object => "COPY $table->{name}"
	};
}

# Some row or other of the table
sub condition
{
	my ($self, $table) = @_;
	my $v = $self->values_of;
	my ($key) = grep { $_->{name} eq 'id' || $_->{name} eq 'user_id' || $_->{name} eq 'symbol' } @{ $table->{columns} };

	($key) = @{ $table->{columns} } unless $key;
	return name($key->{name}) . ' = ' . $v->value($key->{type}, $key->{name}, $table->{name});
}

sub update
{
	my ($self, $table) = @_;
	my @columns = grep { rand() < 0.2 } @{ $table->{columns} };

	@columns = $self->values_of->pick(@{ $table->{columns} }) unless @columns;
	return {
		sql => 'UPDATE fx.' . name($table->{name}) . ' SET '
		  . join(', ', map { name($_->{name}) . ' = ' . $self->column_value($table, $_) } @columns) . ' WHERE ' . $self->condition($table),
		object => "UPDATE $table->{name}"
	};
}

sub delete
{
	my ($self, $table) = @_;

	return { sql => 'DELETE FROM fx.' . name($table->{name}) . ' WHERE ' . $self->condition($table), object => "DELETE $table->{name}" };
}

1;
