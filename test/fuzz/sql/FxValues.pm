# Expressions of random values, as text of SQL
#
# An argument gets, mostly, a value that its name asks for, so that calls reach
# deep, and else an extreme one of its type.  Only the generator's own random
# numbers decide, so that a seed repeats them.
package FxValues;

use strict;
use warnings;
use Digest::MD5 qw(md5_hex);

my %wild = (
	text => [
		q{''}, q{' '}, q{'NULL'}, q{'NaN'}, q{'-1'}, q{'1e400'}, q{'infinity'}, q{'now'}, q{'{}'}, q{'[]'}, q{'%s%n%%'},
		q{'O''Brien"; DROP TABLE fx.trades; --'}, q{E'a\\nb\\tc\\x01'}, q{repeat('x', 300)}, q{repeat('ä€😀', 20)},
		q{repeat('ä€😀', 40000)}, q{repeat('(', 10000)}, q{repeat('[', 10000)}, q{chr(1114111)}, q{U&'\\202Eabc'}, q{U&'e\\0301'},
		q{'../../etc/passwd'}, q{'"we""ird ☃"'}, q{'$1'}, q{'<script>alert(1)</script>'}, q{repeat(' ', 70) || 'x'},
		q{convert_from('\\xc3a4', 'UTF8')}, q{convert_from('\\xff', 'UTF8')}, q{convert_from('\\xe4f6fc', 'LATIN1')},
		q{'fx.trades'}, q{'pg_catalog.pg_class'}, q{'00000000-0000-0000-0000-000000000000'}, q{'2024-03-04T10:00:00Z'}, q{'1:0,0,0'},
	],
	numeric => [
		q{0}, q{1}, q{-1}, q{0.00000001}, q{-0.00000001}, q{0.000000005}, q{1e-20}, q{'NaN'::numeric}, q{'Infinity'::numeric},
		q{'-Infinity'::numeric}, q{9999999999.99999999}, q{-9999999999.99999999}, q{1e10}, q{99999999999.5}, q{1e29}, q{-1.7e30}, q{1e31},
		q{repeat('9', 40)::numeric}, q{repeat('9', 131072)::numeric}, q{(-1 * repeat('9', 131072)::numeric)}, q{('0.' || repeat('1', 16383))::numeric},
		q{9223372036854775807}, q{9223372036854775808}, q{2147483648}, q{0.1}, q{33.33333333333333333333},
	],
	timestamptz => [
		map({ "timestamptz '$_'" } '-infinity', 'infinity', '4713-11-24 00:00+00 BC', '294276-12-31 23:59:59.999999+00', '0001-01-01 00:00+00',
			'0001-12-31 23:59+00 BC', '1969-12-31 23:59:59.999999+00', '1970-01-01 00:00+00', '9999-12-31 23:59:59.999999+00', '10000-01-01 00:00+00',
			'2024-03-10 06:59:59+00', '2024-03-10 07:00+00', '2024-11-03 05:30+00', '2024-02-29 12:00+00', '2000-01-01 00:00:00.000001+00', '2262-04-11 23:47:16+00'),
		q{now()}, q{clock_timestamp() + interval '2 days'},
	],
	date => [
		map({ "date '$_'" } '-infinity', 'infinity', '4713-11-24 BC', '5874897-12-31', '0001-01-01', '9999-12-31', '10000-01-01', '1970-01-01', '2024-02-29', '2024-03-10'),
	],
	time => [ map({ "time '$_'" } '00:00', '24:00', '17:00', '23:59:59.999999', '02:30') ],
	interval => [
		map({ "interval '$_'" } '0', '1 microsecond', '1 day', '1 mon', '-1 mon -3 days', '1 mon -30 days', '178000000 years', '-178000000 years', '-1 second', '36500 days'),
	],
	integer => [ qw(0 1 -1 2 6 9 10 100 365 10000 1000001), q{2147483647}, q{(-2147483648)} ],
	smallint => [ qw(0 1 -1 7 8 32767) ],
	bigint => [ qw(0 1 -1 100 2147483648), q{9223372036854775807}, q{(-9223372036854775808)} ],
	'double precision' => [ map({ "float8 '$_'" } qw(0 -0 1 -1 0.5 0.02 252 1e308 -1e308 5e-324 NaN Infinity -Infinity 1e15)) ],
	boolean => [ qw(true false) ],
	bytea => [
		q{''::bytea}, q{'\\x00'::bytea}, q{sha256('x')}, q{sha512('x')}, q{decode(repeat('ff', 100000), 'hex')}, q{decode(repeat('00', 32), 'hex')},
		q{'abc'::bytea}, q{convert_to('äöü', 'LATIN1')},
	],
	'text[]' => [
		q{'{}'::text[]}, q{ARRAY[NULL]::text[]}, q{'{a,b,NULL}'::text[]}, q{'{{a,b},{c,d}}'::text[]}, q{'[5:7]={1m,1h,1d}'::text[]}, q{'{1m,1h,1d}'::text[]},
		q{'{1m}'::text[]}, q{'{password_hash,id}'::text[]}, q{array_fill('x'::text, ARRAY[3000])}, q{ARRAY['']}, q{ARRAY['"we""ird ☃"', 'x,y', '\\']},
		q{'{2024_01_20_initial_schema}'::text[]}, q{'{read,trade}'::text[]},
	],
	jsonb => [
		q{'null'::jsonb}, q{'{}'::jsonb}, q{'[]'::jsonb}, q{'1'::jsonb}, q{'"x"'::jsonb}, q{'[null]'::jsonb}, q{'[[]]'::jsonb}, q{'[{}]'::jsonb}, q{'{"": 1}'::jsonb},
		q{(repeat('[', 1000) || repeat(']', 1000))::jsonb}, q{(repeat('[', 100000) || repeat(']', 100000))::jsonb},
		q{(repeat('{"a":', 2000) || '1' || repeat('}', 2000))::jsonb}, q{to_jsonb(repeat('x', 300000))}, q{to_jsonb('NaN'::numeric)},
		q{to_jsonb(repeat('9', 131072)::numeric)}, q{(SELECT jsonb_agg(jsonb_build_object('profit', g, 'closedAt', timestamptz '2024-01-01' + g * interval '1 minute')) FROM generate_series(1, 3000) AS g)},
		q{(SELECT jsonb_object_agg('k' || g, g) FROM generate_series(1, 2000) AS g)}, q{'[{"profit": null}]'::jsonb}, q{'[{"profit": "1e400"}]'::jsonb},
		q{'[1, "x", true, null, {"profit": 1}]'::jsonb}, q{'{"accountCurrency": 5, "initialBalance": "x"}'::jsonb}, q{'{"initialBalance": -1e400}'::jsonb},
	],
	regclass => [
		map({ "'$_'::regclass" } qw(fx.trades fx.users fx.market_data fx.market_data_2024_03 fx.quotes fx.audit_log fx.strategies_pkey fx.partition_health fx.closures_id_seq
				pg_class pg_catalog.pg_stat_activity fuzz.other fuzz.staging fuzz.staging_odd fuzz.foreign_table pg_toast.pg_toast_1255 information_schema.tables)),
		q{'fuzz."we""ird ☃"'::regclass}, q{0::regclass}, q{4294967295::regclass},
	],
	inet => [ map({ "inet '$_'" } qw(127.0.0.1 ::1 0.0.0.0/0 10.1.2.3/8 2001:db8::1/64 255.255.255.255)) ],
	name => [ q{'user_id'::name}, q{'id'::name}, q{'market_data'::name}, q{'quotes'::name}, q{''::name}, q{'"we""ird ☃"'::name}, q{'trades'::name}, q{'two_factor_secret'::name} ],
	cstring => [ q{'1:0,0,0,0,0,0,0,0,0,0'::cstring}, q{'1:1,0,0'::cstring}, q{''::cstring}, q{'x'::cstring}, q{'1:2024-01-01,2024-01-01,1,1,1,1,'::cstring} ],
	tstzmultirange => [ q{'{}'::tstzmultirange}, q{'{(,)}'::tstzmultirange}, q{'{[2024-03-04,2024-03-05),[2024-03-06,infinity]}'::tstzmultirange}, q{'{[-infinity,2024-03-04]}'::tstzmultirange} ],
	xid8 => [ q{'0'::xid8}, q{'3'::xid8}, q{'18446744073709551615'::xid8} ],
	pg_snapshot => [ q{pg_current_snapshot()}, q{'1:1:'::pg_snapshot}, q{'10:20:10,14'::pg_snapshot} ],
	'double precision[]' => [ q{'{}'::float8[]}, q{'{1,2,3}'::float8[]}, q{'{NaN,Infinity,-Infinity,NULL,1e308,-1e308}'::float8[]}, q{'{{1,2},{3,4}}'::float8[]}, q{'[0:1]={5,5}'::float8[]}, q{'{NULL,NULL}'::float8[]} ],
	'date[]' => [ q{'{}'::date[]}, q{'{2024-03-01}'::date[]}, q{'{2024-03-01,NULL}'::date[]}, q{'{infinity,-infinity}'::date[]}, q{'{{2024-03-01},{2024-04-15}}'::date[]}, q{'{4713-11-24 BC,5874897-12-31}'::date[]} ],
	'timestamp with time zone[]' => [ q{'{}'::timestamptz[]}, q{'{NULL}'::timestamptz[]} ],
	'fx.pnl' => [
		q{(SELECT fx.pnl_agg(n) FROM generate_series(-3, 5) AS n)}, q{'1:0,0,0,0,0,0,0,0,0,0'::fx.pnl}, q{fx.pnl_accum(NULL, 1e29, 0.5, -1)}, q{fx.pnl_accum(NULL, -5)},
		q{'1:9223372036854775807,0,0,0,0,0,0,0,0,0'::fx.pnl},
	],
	'fx.equity' => [
		q{(SELECT fx.equity_agg(timestamptz '2024-01-01' + n * interval '9 hours', n % 7 - 3) FROM generate_series(1, 300) AS n)}, q{'1:1,0,0'::fx.equity},
		q{'1:0,1e29,-1e29;2024-01-02,92233720368,2024-01-01;0001-01-01,-92233720368,0001-01-01'::fx.equity}, q{'1:1,0,0;9999-12-31T23:59:59Z,5,0001-01-01'::fx.equity},
	],
	'fx.candlestick' => [
		q{fx.candlestick('2024-03-04 10:00+00', 1, 2, 0.5, 1.5, 10)}, q{'1:0001-01-01,9999-12-31T23:59:59.999999Z,-1,9999999999.99999999,-9999999999.99999999,0,9223372036854775807'::fx.candlestick},
		q{fx.candlestick('2024-03-04 10:00+00', 1, 1, 1, 1, NULL)},
	],
	'fx.chart_axis' => [ q{fx.value_axis(0, 100)}, q{fx.value_axis(-1e20, 1e-8, true)} ],
);

my %enumerated = (
	timeframe => [qw(1m 5m 15m 30m 1h 4h 1d 1w 1mn)],
	symbol => [qw(EURUSD USDJPY GBPUSD EURGBP EUR/USD eur_usd XAUUSD NOSUCH)],
	currency => [qw(USD EUR GBP JPY usd XXX)],
	side => [qw(bid ask mid)],
	alignment => [qw(new_york utc)],
	fill => [qw(none previous null)],
	order_type => [qw(market limit stop stop_limit)],
	status => [qw(pending executed cancelled rejected running completed failed active draft inactive archived)],
	state => [qw(active reduce_only halted)],
	by => [qw(symbol day week month year strategy weekday hour)],
	preset => [qw(ftmo_2step ftmo_1step the5ers)],
	limit_type => [qw(absolute percentage)],
	action => [qw(warn block reduce_only halt)],
	algorithm => [qw(sha1 sha256 sha512 md5)],
	resource_type => [qw(trades users strategies fx.trades risk_limits)],
	zone => ['UTC', 'America/New_York', 'Europe/Berlin', 'Nowhere/At_All', '+25'],
	risk_type => [
		qw(daily_loss weekly_loss monthly_loss max_drawdown trailing_drawdown trailing_drawdown_eod max_position max_order_size
		  max_order_value max_exposure max_symbol_exposure max_currency_exposure max_leverage concentration max_open_trades
		  max_daily_trades max_order_rate max_consecutive_losses price_collar min_equity kill_switch)
	],
	role => [qw(user admin fx_app)],
);

sub new
{
	my ($class, %self) = @_;

	# what part of values is extreme; changes from statement to statement
	$self{wild} = 0.3;
	return bless \%self, $class;
}

sub pick
{
	my ($self, @list) = @_;

	return $list[ rand @list ];
}

sub quote
{
	my ($text) = @_;

	$text =~ s/'/''/g;
	return "'$text'";
}

# A new id that the seed repeats
sub new_uuid
{
	my ($self) = @_;
	my $hex = md5_hex($self->{name} . rand);

	$hex =~ s/^(.{8})(.{4})(.{4})(.{4})(.{12})$/$1-$2-$3-$4-$5/;
	return $hex;
}

sub uuid_of
{
	my ($self, $kind) = @_;
	my $pool = $self->{ids}{$kind};

	return quote($self->pick(@$pool)) . '::uuid' if $pool && @$pool && rand() >= $self->{wild} / 3;
	return quote($self->pick('00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', $self->new_uuid)) . '::uuid';
}

sub remember
{
	my ($self, $kind, $id) = @_;
	my $pool = $self->{ids}{$kind} ||= [];

	push @$pool, $id;
	splice @$pool, int(rand @$pool), 1 if @$pool > 200;
	return;
}

# value(type, name, what): of an argument or column of an object
sub value
{
	my ($self, $type, $name, $object) = @_;
	my $expression;

	return 'NULL::' . ($type eq 'cstring' ? 'cstring' : $type) if rand() < $self->{wild} / 4;
	$expression = $self->meant($type, $name // '', $object // '') if rand() >= $self->{wild};
	return $expression // $self->extreme($type);
}

sub extreme
{
	my ($self, $type) = @_;

	return $self->uuid_of($self->pick('users', 'trades', 'strategies', 'backtests', 'risk_limits')) if $type eq 'uuid';
	return $self->candle if $type eq 'fx.candle';
	return 'ARRAY[' . join(', ', map { $self->candle } 1 .. 1 + rand 4) . ']::fx.candle[]' if $type eq 'fx.candle[]';
	my $list = $wild{ base_type($type) };
	return 'NULL::' . $type unless $list;
	return $self->pick(@$list);
}

# What literals of a type are listed under
sub base_type
{
	my ($type) = @_;

	$type =~ s/\(.*?\)//;
	return 'text' if $type =~ /^character varying$|^text$/;
	return 'timestamptz' if $type eq 'timestamp with time zone';
	return 'time' if $type eq 'time without time zone';
	return $type;
}

# A value that the name asks for, or undef
sub meant
{
	my ($self, $type, $name, $object) = @_;
	my $base = base_type($type);

	if ($base eq 'uuid')
	{
		return $self->uuid_of('users') if $name =~ /user|actor|^after$/;
		return $self->uuid_of('strategies') if $name =~ /strategy/ || ($name eq 'id' && $object eq 'strategies');
		return $self->uuid_of('backtests') if $name =~ /backtest/;
		return $self->uuid_of('trades') if $name =~ /trade/;
		return $self->uuid_of('risk_limits') if $name =~ /limit/;
		return $self->uuid_of($object) if $self->{ids}{$object};
		return;
	}
	return $self->meant_text($name, $object) if $base eq 'text';
	return $self->json($name, $object) if $base eq 'jsonb';
	if ($base eq 'numeric')
	{
		return sprintf '%.5f', ($name =~ /high|ask/ ? 1.16 : $name =~ /low|bid/ ? 0.94 : 1.05) + rand 0.1 if $name =~ /price|open|high|low|close|bid|ask|stop_loss|take_profit/;
		return $self->pick(1, 100, 1000, 10000, 0.01, 100000, 5000000) if $name =~ /quantity|amount|size/;
		return $self->pick(1000, 10000, 100000.5) if $name =~ /balance/;
		return $self->pick(0, 0.5, 7) if $name =~ /commission|swap/;
		return sprintf '%.2f', rand(200) - 90;
	}
	if ($base eq 'timestamptz')
	{
		return "now() - interval '" . int(rand 7200) . " seconds'" if $object eq 'trades' || $name =~ /expires|closed|executed/ && rand() < 0.5;
		return sprintf "timestamptz '2024-03-%02d %02d:%02d+00'", 1 + rand 30, rand 24, rand() < 0.7 ? 0 : rand 60;
	}
	return sprintf "date '2024-%02d-%02d'", 1 + rand 12, 1 + rand 28 if $base eq 'date';
	return $self->pick('true', 'false') if $base eq 'boolean';
	return $self->pick(1 .. 12) if $base =~ /^(?:small|big)?int(?:eger)?$/;
	return;
}

sub meant_text
{
	my ($self, $name, $object) = @_;
	my $kind =
	    $name =~ /symbol/ ? 'symbol'
	  : $name =~ /timeframe/ ? 'timeframe'
	  : $name =~ /currency/ ? 'currency'
	  : $name eq 'time_zone' ? 'zone'
	  : $name eq 'type' && $object =~ /limit|preset/ ? 'risk_type'
	  : undef;

	return quote($self->pick(qw(executed executed executed pending cancelled rejected))) if $name eq 'status' && $object eq 'trades';
	return quote($self->pick(@{ $enumerated{ $kind // $name } })) if $kind ? 1 : $enumerated{$name};
	return quote($self->pick('buy', 'sell')) if $name eq 'type' && $object ne 'strategies';
	return quote($self->pick('manual', 'ai_generated', 'backtested')) if $name eq 'type';
	return quote($self->pick(@{ $self->{logins} })) if $name eq 'login';
	return quote('right horse battery ' . $self->pick(1, 1, 1, 2)) if $name =~ /^password$/;
	return quote(substr(md5_hex(rand), 0, 12) . '@example.com') if $name eq 'email';
	return quote('u' . substr(md5_hex(rand), 0, 12)) if $name eq 'username';
	return $self->json('trades', $object) . '::text' if $name eq 'trades';
	return $self->json('candles', $object) . '::text' if $name eq 'candles';
	return $self->token($object) if $name =~ /^token$|^key$|^value$/ && rand() < 0.7;
	return quote($self->pick('market_data', 'quotes', 'fx.market_data')) if $name =~ /^parent$|^table$/;
	return $self->uuid_of('trades') . '::text' if $name eq 'resource_id' || $name eq 'id';
	return quote($self->pick('fuzz:1', 'fuzz:2')) if $name eq 'context';
	return quote($self->pick('trend', 'mean', 'eurusd', 'a b', '"exact words"')) if $name =~ /query|name|title|reason/;
	return quote(substr(md5_hex(rand), 0, 8)) if $name =~ /external_id|broker_id|code$/;
	return quote($self->pick('2024_01_20_initial_schema', '2024_03_01_instruments', 'none')) if $name eq 'target' || $name eq 'version';
	return;
}

# Secrets that another function has just made
sub token
{
	my ($self, $object) = @_;
	my $login = quote($self->pick(@{ $self->{logins} }));
	my $user = $self->uuid_of('signers');

	return "(SELECT s.token FROM fx.sign_in($login, 'right horse battery 1') AS s)" if $object =~ /session|sign_out/;
	return "(SELECT fx.request_email_verification($user))" if $object eq 'verify_email';
	return "fx.issue_api_key($user, 'fuzz', '{read}')" if $object eq 'verify_api_key';
	return "fx.encrypt('secret', 'fuzz:1')" if $object =~ /crypt/;
	return quote($self->pick('initialBalance', 'startDate', 'sharpeRatio', 'netProfit', '12.5', 'fx1:1:AAAA', '2024-01-02T03:04:05Z'));
}

sub candle
{
	my ($self) = @_;
	my @types = ('text', 'text', 'timestamptz', ('numeric') x 5);
	my @names = qw(symbol timeframe timestamp open_price high_price low_price close_price volume);

	return 'NULL::fx.candle' if rand() < $self->{wild} / 10;
	return sprintf "ROW('EURUSD', '1m', timestamptz '2024-03-04 10:%02d+00', 1.1, 1.2, 1.0, 1.1, %d)::fx.candle", rand 60, rand 100 if rand() < 0.5;
	return 'ROW(' . join(', ', map { $self->value($types[$_], $names[$_], 'candle') } 0 .. 7) . ')::fx.candle';
}

sub json
{
	my ($self, $name, $object) = @_;
	my $n = rand() < 0.2 ? 0 : 1 + rand 6;

	if ($name eq 'candles')
	{
		return "jsonb_build_array("
		  . join(', ', map { sprintf q{jsonb_build_object('symbol', %s, 'timeframe', %s, 'timestamp', %s, 'open', %s, 'high', 1.3, 'low', 0.9, 'close', %s, 'volume', %s)},
				$self->value('text', 'symbol'), $self->value('text', 'timeframe'),
				sprintf("'2024-03-%02dT%02d:00:00Z'", 1 + rand 31, rand 24), map({ $self->json_number } 1 .. 2), int rand 1000 } 1 .. $n)
		  . ")";
	}
	if ($name eq 'trades' && $object eq 'what_if')
	{
		return "jsonb_build_array("
		  . join(', ', map { sprintf q{jsonb_build_object('symbol', %s, 'type', %s, 'quantity', %s, 'price', 1.1)},
				$self->value('text', 'symbol'), $self->value('text', 'type'), $self->json_number } 1 .. $n)
		  . ")";
	}
	if ($name eq 'trades')
	{
		my $day = 1;

		return "jsonb_build_array("
		  . join(', ', map { sprintf q{jsonb_build_object('profit', %s, 'commission', 0.5, 'symbol', %s, 'type', 'buy', 'quantity', 100, 'closedAt', '2024-03-%02dT15:00:00Z')},
				$self->json_number, $self->value('text', 'symbol'), $day++ } 1 .. $n)
		  . ")";
	}
	return q{fx.backtest_metrics('[{"profit": 5, "closedAt": "2024-01-05"}, {"profit": -3, "closedAt": "2024-02-05"}]')} if $name eq 'metrics';
	return q{fx.tearsheet_data('[{"profit": 5, "closedAt": "2024-01-05"}, {"profit": -3, "closedAt": "2024-02-05"}]', 1000)} if $name eq 'data';
	return $self->pick(
		q{'{"initialBalance": 10000, "startDate": "2024-01-01", "endDate": "2024-03-29"}'::jsonb},
		q{'{"accountCurrency": "EUR", "initialBalance": 5000}'::jsonb},
		q{'{"initialBalance": "100", "riskFreeRate": 0.02}'::jsonb}, q{'{}'::jsonb}, q{'{"a": [1, {"b": null}]}'::jsonb});
}

sub json_number
{
	my ($self) = @_;

	return $self->extreme('numeric') if rand() < $self->{wild} / 3;
	return sprintf '%.4f', rand() < 0.5 ? 1 + rand 0.2 : rand(100) - 45;
}

1;
