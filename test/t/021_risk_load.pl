# Eight clients trade on the accounts of one user and of a thousand: every limit
# holds at every state that was ever committed, nobody deadlocks, the only error
# is a refusal by a limit, and the books equal a recomputation from the trades.
#
# FXPLATFORM_LOAD_SECONDS is how long each of the two loads runs, 8 by default.

use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{FXPLATFORM_LOAD_SECONDS} || 8;
my $clients = 8;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
fsync = off
jit = off
timezone = 'UTC'
deadlock_timeout = '50ms'
log_statement = none
});
$node->start;

# The numbers of users are the last digits of their ids: 1 to 1000 trade, from
# 2001 on there is one for each type of limit that counts.  In ledger every
# transaction that holds an account notes what it did: a sequence read under
# that lock goes in the order of the commits.  Refusals are counted in outcomes.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION fxplatform CASCADE;
CREATE SEQUENCE turn;
CREATE TABLE ledger (turn bigint, user_id uuid, symbol text, units numeric, bound numeric, flow numeric);
CREATE TABLE outcomes (what text, outcome text);

CREATE FUNCTION uid(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$
    SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid
$$;
INSERT INTO fx.users (id, email, username, password_hash, preferences)
SELECT uid(n), n || '@example.com', n, 'x', '{"initialBalance": 100000}'::jsonb FROM generate_series(1, 1000) AS n
UNION ALL SELECT uid(2000 + n), 2000 + n || '@example.com', 2000 + n, 'x', '{"initialBalance": 10000}'::jsonb FROM generate_series(1, 7) AS n;

SELECT fx.create_market_data_partitions((now() - interval '1 day')::date, (now() + interval '1 day')::date);
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
SELECT symbol, '1m', date_trunc('minute', now()), price, price, price, price, 1 FROM (VALUES ('EURUSD', 1.1), ('GBPUSD', 1.25)) AS v (symbol, price);
-- no day ends meanwhile
UPDATE fx.accounts SET time_zone = 'UTC', day_cutoff = date_trunc('minute', now() AT TIME ZONE 'UTC' + interval '12 hours')::time;

CREATE TABLE exact AS
SELECT uid(2000 + n) AS user_id, type, value FROM (VALUES
    (1, 'max_position', 100), (2, 'max_open_trades', 100), (3, 'max_daily_trades', 100), (4, 'max_exposure', 110),
    (5, 'max_symbol_exposure', 110), (6, 'max_leverage', 0.011), (7, 'max_order_rate', 100)) AS v (n, type, value);
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value, window_seconds)
SELECT user_id, type, type, 'absolute', value, CASE type WHEN 'max_order_rate' THEN 86400 END FROM exact;

-- what changes hands fast, and what only has to be computed
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value)
SELECT uid(n), type, type, unit, value FROM generate_series(1, 1000) AS n, (VALUES
    ('max_position', 'absolute', 10), ('max_open_trades', 'absolute', 12), ('max_exposure', 'absolute', 30), ('max_leverage', 'absolute', 30),
    ('daily_loss', 'percentage', 50), ('max_drawdown', 'percentage', 90), ('trailing_drawdown', 'percentage', 95), ('max_daily_trades', 'absolute', 1000000000),
    ('concentration', 'percentage', 100), ('max_currency_exposure', 'absolute', 1000)) AS l (type, unit, value);
INSERT INTO ledger SELECT nextval('turn'), user_id, NULL, NULL, limit_value FROM fx.risk_limits WHERE type = 'max_position';

-- of a refusal only: no other error is caught
CREATE FUNCTION note_refusal(what text, detail text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM jsonb_array_elements(detail::jsonb -> 'limits') AS l WHERE (l -> 'projected')::numeric <= (l -> 'bound')::numeric)
       OR jsonb_array_length(detail::jsonb -> 'limits') = 0 THEN
        RAISE EXCEPTION 'refused for no reason: %', detail;
    END IF;
    INSERT INTO outcomes VALUES (what, 'refused');
END
$$;

CREATE FUNCTION price_of(sym text) RETURNS numeric IMMUTABLE LANGUAGE sql AS $$ SELECT CASE sym WHEN 'EURUSD' THEN 1.1 ELSE 1.25 END $$;

CREATE FUNCTION order_of(usr integer, side text, units numeric, sym text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    info text;
BEGIN
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, commission, status, executed_at)
    VALUES (uid(usr), sym, side, 'market', units, price_of(sym), 0.01, 'executed', clock_timestamp());
    INSERT INTO ledger VALUES (nextval('turn'), uid(usr), sym, CASE side WHEN 'buy' THEN units ELSE -units END);
    INSERT INTO outcomes VALUES (side, 'booked');
EXCEPTION WHEN SQLSTATE 'XF001' THEN
    GET STACKED DIAGNOSTICS info = PG_EXCEPTION_DETAIL;
    PERFORM note_refusal(side, info);
END
$$;

CREATE FUNCTION try_order(usr integer, side text, units numeric, sym text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    result record;
BEGIN
    SELECT * INTO result FROM fx.try_trade(uid(usr), sym, side, units, price_of(sym));
    IF result.status = 'executed' THEN
        INSERT INTO ledger VALUES (nextval('turn'), uid(usr), sym, CASE side WHEN 'buy' THEN units ELSE -units END);
        INSERT INTO outcomes VALUES ('try', 'booked');
    ELSE
        INSERT INTO outcomes VALUES ('try', result.status);
    END IF;
END
$$;

-- orders of two users in one statement, in any order
CREATE FUNCTION basket(one integer, other integer, units numeric) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    info text;
BEGIN
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
    SELECT uid(u), sym, 'buy', 'market', units, price_of(sym), 'executed', clock_timestamp()
      FROM unnest(ARRAY[one, other]) AS u, unnest('{EURUSD,GBPUSD}'::text[]) AS sym;
    INSERT INTO ledger SELECT nextval('turn'), uid(u), sym, units FROM unnest(ARRAY[one, other]) AS u, unnest('{EURUSD,GBPUSD}'::text[]) AS sym;
    INSERT INTO outcomes VALUES ('basket', 'booked');
EXCEPTION WHEN SQLSTATE 'XF001' THEN
    GET STACKED DIAGNOSTICS info = PG_EXCEPTION_DETAIL;
    PERFORM note_refusal('basket', info);
END
$$;

-- An open trade is closed, or part of it; somebody else may have done so when
-- it is chosen before the account is locked.
CREATE FUNCTION close_one(usr integer, part boolean, lock_first boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ticket record;
    closed numeric;
BEGIN
    IF lock_first THEN
        PERFORM FROM fx.accounts WHERE user_id = uid(usr) FOR NO KEY UPDATE;
    END IF;
    SELECT id, symbol, type, coalesce(open_quantity, quantity) AS open INTO ticket
      FROM fx.trades WHERE user_id = uid(usr) AND status = 'executed' AND closed_at IS NULL ORDER BY random() LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM fx.close_trade(ticket.id, price_of(ticket.symbol) + 0.001, commission => 0.01,
                           quantity => CASE WHEN part AND ticket.open > 1 THEN 1 END);
    SELECT c.quantity INTO STRICT closed FROM fx.closures AS c WHERE c.trade_id = ticket.id AND c.closing_trade_id IS NULL ORDER BY c.id DESC LIMIT 1;
    INSERT INTO ledger VALUES (nextval('turn'), uid(usr), ticket.symbol, CASE ticket.type WHEN 'buy' THEN -closed ELSE closed END);
    INSERT INTO outcomes VALUES ('close', 'booked');
EXCEPTION WHEN SQLSTATE 'XF003' OR SQLSTATE '22023' THEN
    IF lock_first THEN
        RAISE;
    END IF;
    INSERT INTO outcomes VALUES ('close', 'too late');
END
$$;

CREATE FUNCTION close_by_update(usr integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ticket record;
BEGIN
    PERFORM FROM fx.accounts WHERE user_id = uid(usr) FOR NO KEY UPDATE;
    SELECT id, symbol, type, coalesce(open_quantity, quantity) AS open INTO ticket
      FROM fx.trades WHERE user_id = uid(usr) AND status = 'executed' AND closed_at IS NULL ORDER BY random() LIMIT 1;
    IF FOUND THEN
        UPDATE fx.trades SET closed_at = clock_timestamp(), profit = 0.5 WHERE id = ticket.id;
        INSERT INTO ledger VALUES (nextval('turn'), uid(usr), ticket.symbol, CASE ticket.type WHEN 'buy' THEN -ticket.open ELSE ticket.open END);
        INSERT INTO outcomes VALUES ('update', 'booked');
    END IF;
END
$$;

CREATE FUNCTION change_limit(usr integer, value numeric) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE fx.risk_limits SET limit_value = value WHERE user_id = uid(usr) AND type = 'max_position';
    INSERT INTO ledger VALUES (nextval('turn'), uid(usr), NULL, NULL, value);
    INSERT INTO outcomes VALUES ('limit', 'booked');
END
$$;

CREATE FUNCTION flow(usr integer, amount numeric) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM CASE WHEN amount > 0 THEN fx.deposit(uid(usr), amount) ELSE fx.withdraw(uid(usr), -amount) END;
    INSERT INTO ledger VALUES (nextval('turn'), uid(usr), NULL, NULL, NULL, amount);
    INSERT INTO outcomes VALUES ('flow', 'booked');
END
$$;

-- one attempt to take a unit of each kind of limit
CREATE FUNCTION take_unit(which integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    info text;
BEGIN
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
    VALUES (uid(2000 + which), 'EURUSD', 'buy', 'market', 1, 1.1, 'executed', clock_timestamp());
    INSERT INTO outcomes VALUES ('unit ' || which, 'booked');
EXCEPTION WHEN SQLSTATE 'XF001' THEN
    GET STACKED DIAGNOSTICS info = PG_EXCEPTION_DETAIL;
    PERFORM note_refusal('unit ' || which, info);
END
$$;

-- What a reader must never see: more open trades than allowed, books that do
-- not equal the trades.
CREATE FUNCTION look(low integer, high integer) RETURNS void LANGUAGE plpgsql STABLE AS $$
DECLARE
    item record;
BEGIN
    FOR item IN SELECT t.user_id, count(*) AS open, l.limit_value, l.current_value
                  FROM fx.trades AS t JOIN fx.risk_limits AS l ON l.user_id = t.user_id AND l.type = 'max_open_trades'
                 WHERE t.status = 'executed' AND t.closed_at IS NULL AND NOT t.is_backtest AND t.user_id BETWEEN uid(low) AND uid(high)
                 GROUP BY t.user_id, l.limit_value, l.current_value HAVING count(*) > l.limit_value OR count(*) <> l.current_value LOOP
        RAISE EXCEPTION 'reader sees a limit passed: %', item;
    END LOOP;
    FOR item IN SELECT a.user_id, a.open_trades, (SELECT count(*) FROM fx.trades AS t WHERE t.user_id = a.user_id AND t.status = 'executed' AND t.closed_at IS NULL AND NOT t.is_backtest) AS counted,
                       p.symbol, p.long_quantity, p.short_quantity, s.long, s.short
                  FROM fx.accounts AS a JOIN fx.positions AS p USING (user_id),
                       LATERAL (SELECT coalesce(sum(coalesce(t.open_quantity, t.quantity)) FILTER (WHERE t.type = 'buy'), 0) AS long,
                                       coalesce(sum(coalesce(t.open_quantity, t.quantity)) FILTER (WHERE t.type = 'sell'), 0) AS short
                                  FROM fx.trades AS t WHERE (t.user_id, t.symbol) = (p.user_id, p.symbol) AND t.status = 'executed' AND t.closed_at IS NULL AND NOT t.is_backtest) AS s
                 WHERE a.user_id BETWEEN uid(low) AND uid(high) AND (p.long_quantity, p.short_quantity) IS DISTINCT FROM (s.long, s.short) LOOP
        RAISE EXCEPTION 'reader sees a wrong position: %', item;
    END LOOP;
    RAISE LOG 'looked at the books';
END
$$;
SQL

my $tempdir = PostgreSQL::Test::Utils::tempdir;

sub script
{
	my ($name, $text) = @_;

	append_to_file("$tempdir/$name", $text);
	return "$tempdir/$name";
}

# pgbench ends with a failure when a transaction of any client fails.
sub start_pgbench
{
	my (@options) = @_;
	my %run = (out => '', err => '');

	$run{handle} = IPC::Run::start([ 'pgbench', '-n', '-h', $node->host, '-p', $node->port, @options, 'postgres' ],
		'>', \$run{out}, '2>', \$run{err});
	return \%run;
}

sub end_pgbench
{
	my ($run, $what) = @_;
	my $ended = $run->{handle}->finish;
	my ($done) = $run->{out} =~ /number of transactions actually processed: (\d+)/;

	ok($ended, "$what: no error but refusals") or diag($run->{err});
	note("$what: " . ($done // 0) . ' transactions');
	return $done // 0;
}

# The whole history in the order of the commits: no trade ever brought a
# position over the bound that held then, unless it made it smaller.
my $replay = q{
	WITH steps AS (
		SELECT user_id, symbol, turn, units,
			   (SELECT b.bound FROM ledger AS b WHERE b.user_id = l.user_id AND b.bound IS NOT NULL AND b.turn < l.turn ORDER BY b.turn DESC LIMIT 1) AS bound,
			   sum(units) OVER (PARTITION BY user_id, symbol ORDER BY turn) AS after
		  FROM ledger AS l WHERE units IS NOT NULL
	)
	SELECT count(*) FROM steps WHERE abs(after) > bound AND abs(after) > abs(after - units)};
my $flows = q{
	SELECT count(*) FROM fx.accounts AS a
	 WHERE a.net_deposits <> (SELECT coalesce(sum(flow), 0) FROM ledger AS l WHERE l.user_id = a.user_id)};
my $positions = q{
	SELECT count(*) FROM fx.positions AS p
	 WHERE p.user_id <= uid(1000)
	   AND p.long_quantity - p.short_quantity <> (SELECT coalesce(sum(units), 0) FROM ledger AS l WHERE (l.user_id, l.symbol) = (p.user_id, p.symbol))};

$node->safe_psql('postgres', 'CREATE INDEX ON ledger (user_id, turn) WHERE bound IS NOT NULL; CREATE INDEX ON ledger (user_id, symbol)');

# A unit of a limit of 100 is wanted about 200 times, by all clients at once.
my $race = start_pgbench('-c', $clients, '-j', 2, '-t', 175, '-f', script('race', "\\set which random(1, 7)\nSELECT take_unit(:which);\n"));
end_pgbench($race, 'race for the last unit');
is($node->safe_psql('postgres', q{SELECT count(*) FROM exact AS e WHERE (SELECT count(*) FROM fx.trades AS t WHERE t.user_id = e.user_id) <> 100}),
	'0', 'exactly as many trades as each limit allows');
is($node->safe_psql('postgres', q{SELECT count(*) FROM (SELECT what FROM outcomes GROUP BY what HAVING count(*) FILTER (WHERE outcome = 'booked') = 100 AND count(*) > 120) AS o}),
	'7', 'each limit refused the others');
is($node->safe_psql('postgres', q{SELECT count(*) FROM fx.risk_limits AS l JOIN exact AS e USING (user_id, type) WHERE l.current_value <> l.limit_value}),
	'0', 'and is used up exactly');
is($node->safe_psql('postgres', 'SELECT count(*) FROM fx.verify_positions()'), '0', 'books equal the trades');

# What is undone by ROLLBACK TO was written by that savepoint itself: who waits
# for a subtransaction of it that has ended waits for the whole transaction in
# PostgreSQL, and could meet it in a deadlock at any row.
my %mix = (
	buy => [ 4, q{SELECT order_of(:u, 'buy', :units, (ARRAY['EURUSD', 'GBPUSD'])[:s]);} ],
	sell => [ 3, q{SELECT order_of(:u, 'sell', :units, (ARRAY['EURUSD', 'GBPUSD'])[:s]);} ],
	try => [ 3, q{SELECT try_order(:u, (ARRAY['buy', 'sell'])[:t], :units, (ARRAY['EURUSD', 'GBPUSD'])[:s]);} ],
	several => [ 1, qq{BEGIN;\nSELECT order_of(:u, 'buy', :units, 'EURUSD');\nSAVEPOINT a;\nSELECT flow(:u, 3);\nROLLBACK TO SAVEPOINT a;\nSELECT order_of(:u, 'sell', 2, 'EURUSD');\nCOMMIT;} ],
	basket => [ 1, q{SELECT basket(:u, :v, :units);} ],
	close => [ 4, q{SELECT close_one(:u, :t = 1, :s = 1);} ],
	update => [ 1, q{SELECT close_by_update(:u);} ],
	undone => [ 1, qq{BEGIN;\nSELECT order_of(:u, 'buy', :units, 'EURUSD');\nSELECT flow(:u, 3);\nROLLBACK;} ],
	flow => [ 2, q{SELECT flow(:u, CASE :t WHEN 1 THEN 20 ELSE -10 END);} ],
	limit => [ 1, q{SELECT change_limit(:u, :units * 4);} ]);

foreach my $users (1, 1000)
{
	my $first = $users == 1 ? 1 : 2;
	my @files = map {
		my $random = "\\set u random($first, $users)\n\\set v random($first, $users)\n\\set units random(1, 4)\n\\set s random(1, 2)\n\\set t random(1, 2)\n";
		('-f', script("$_$users", "$random$mix{$_}[1]\n") . "\@$mix{$_}[0]");
	} sort keys %mix;
	my $load = start_pgbench('-c', $clients, '-j', 2, '-T', $seconds, @files);
	my $reader = start_pgbench('-c', 1, '-T', $seconds, '-f', script("look$users", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\nSELECT look($first, $users);\nCOMMIT;\n\\sleep 50 ms\n"));
	my $done = end_pgbench($load, "$users users");

	end_pgbench($reader, "reader of $users users");
	cmp_ok($done, '>', 100 * $seconds, 'there was some load');
	is($node->safe_psql('postgres', $replay), '0', 'no trade ever passed the limit of its time');
	is($node->safe_psql('postgres', $positions), '0', 'positions are what was done');
	is($node->safe_psql('postgres', $flows), '0', 'no cash flow was lost');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM fx.verify_positions()'), '0', 'books equal the trades')
	  or diag($node->safe_psql('postgres', 'SELECT * FROM fx.verify_positions() LIMIT 5'));
	is($node->safe_psql('postgres', q{
		SELECT count(*) FROM fx.risk_limits AS l JOIN fx.accounts AS a USING (user_id)
		 WHERE l.user_id <= uid(1000) AND l.current_value <> CASE l.type WHEN 'max_open_trades' THEN a.open_trades
			WHEN 'max_position' THEN coalesce((SELECT max(abs(long_quantity - short_quantity)) FROM fx.positions AS p WHERE p.user_id = l.user_id), 0) END}),
		'0', 'current values are those of the books');
}

my $log = slurp_file($node->logfile);
my @errors = grep { /ERROR|FATAL|PANIC|WARNING/ } split /\n/, $log;
is(scalar(@errors) ? $errors[0] : '', '', 'no error in the log of the server');
is($node->safe_psql('postgres', 'SELECT sum(deadlocks) FROM pg_stat_database'), '0', 'no deadlock');
my $looks = () = $log =~ /looked at the books/g;
cmp_ok($looks, '>', $seconds, 'readers looked meanwhile');
note($node->safe_psql('postgres', q{SELECT string_agg(concat_ws(' ', what, outcome, n), ', ' ORDER BY what, outcome) FROM (SELECT what, outcome, count(*) AS n FROM outcomes WHERE what NOT LIKE 'unit%' GROUP BY 1, 2) AS o}));
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM (VALUES ('buy', 'booked'), ('buy', 'refused'), ('sell', 'booked'), ('sell', 'refused'), ('try', 'booked'), ('try', 'rejected'), ('basket', 'booked'), ('basket', 'refused'),
		('close', 'booked'), ('update', 'booked'), ('flow', 'booked'), ('limit', 'booked')) AS v (what, outcome)
	 WHERE NOT EXISTS (SELECT FROM outcomes AS o WHERE (o.what, o.outcome) = (v.what, v.outcome))}),
	'0', 'everything happened, and was refused where it can be');

$node->stop;
done_testing();
