package FxLoad;

# A load whose every transaction is known from outside of the server, for tests
# that kill it: what was acknowledged must be there afterwards, and nothing that
# was not attempted.
#
# Transactions have a round, a client and a number that counts from 1.  pgbench
# writes a line to its log after a transaction is through, COMMIT included, so
# the number of lines of a client is the number of its last acknowledged
# transaction.  Each leaves a note of what it did in the same transaction: notes
# must reach to that number, or to the one that was under way, without a gap, and
# the tables must hold what the notes say and nothing else.

use strict;
use warnings;
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Exporter 'import';

our @EXPORT = qw(prepare_load start_load end_load verify_load $clients);

our $clients = 5;
my $tempdir = PostgreSQL::Test::Utils::tempdir;

my $objects = <<'SQL';
CREATE TABLE notes (round integer, client integer, n integer, kind text, outcome text, id uuid, amount numeric,
    PRIMARY KEY (round, client, n));

CREATE FUNCTION uid(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$
    SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid
$$;
CREATE FUNCTION key_of(round integer, client integer, n integer) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT concat_ws('/', round, client, n)
$$;

-- users 1 to 3 trade, of 11 to 19 each client has his own, 20 is being guessed
INSERT INTO fx.users (id, email, username, password_hash, preferences)
SELECT uid(n), n || '@example.com', 'user' || n, 'x', '{"initialBalance": 100000}' FROM generate_series(1, 20) AS n;
SELECT fx.set_password(id, 'a long enough password') FROM fx.users WHERE id > uid(10);
INSERT INTO fx.sign_in_failures (login_hash) SELECT fx.login_hash('user20') FROM generate_series(1, 30);
INSERT INTO fx.strategies (id, user_id, name, type) SELECT uid(n), uid(n), 'strategy', 'manual' FROM generate_series(11, 19) AS n;
INSERT INTO fx.risk_limits (id, user_id, name, type, limit_type, limit_value)
SELECT uid(n), uid(n), 'limit', 'max_order_size', 'absolute', 1000000 FROM generate_series(11, 19) AS n
UNION ALL SELECT gen_random_uuid(), uid(n), type, type, unit, value FROM generate_series(1, 3) AS n, (VALUES
    ('max_position', 'absolute', 10), ('max_open_trades', 'absolute', 12), ('max_exposure', 'absolute', 30), ('daily_loss', 'percentage', 50),
    ('max_drawdown', 'percentage', 90), ('max_daily_trades', 'absolute', 1000000000)) AS l (type, unit, value);

SELECT fx.create_market_data_partitions((now() - interval '1 day')::date, (now() + interval '1 day')::date);
INSERT INTO fx.market_data (symbol, timeframe, timestamp, open_price, high_price, low_price, close_price, volume)
SELECT symbol, '1m', date_trunc('minute', now()), price, price, price, price, 1 FROM (VALUES ('EURUSD', 1.1), ('GBPUSD', 1.25)) AS v (symbol, price);

CREATE FUNCTION price_of(sym text) RETURNS numeric IMMUTABLE LANGUAGE sql AS $$ SELECT CASE sym WHEN 'EURUSD' THEN 1.1 ELSE 1.25 END $$;

CREATE FUNCTION order_of(round integer, client integer, n integer, usr integer, side text, units numeric, sym text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    trade uuid;
BEGIN
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, commission, status, executed_at, external_id)
    VALUES (uid(usr), sym, side, 'market', units, price_of(sym), 0.01, 'executed', clock_timestamp(), key_of(round, client, n))
    RETURNING id INTO trade;
    INSERT INTO notes VALUES (round, client, n, 'order', 'executed', trade, units);
EXCEPTION WHEN SQLSTATE 'XF001' THEN
    INSERT INTO notes VALUES (round, client, n, 'order', 'refused');
END
$$;

CREATE FUNCTION try_order(round integer, client integer, n integer, usr integer, side text, units numeric, sym text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    result record;
BEGIN
    SELECT * INTO result FROM fx.try_trade(uid(usr), sym, side, units, price_of(sym), external_id => key_of(round, client, n));
    INSERT INTO notes VALUES (round, client, n, 'order', result.status, result.trade_id, units);
END
$$;

CREATE FUNCTION close_one(round integer, client integer, n integer, usr integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ticket record;
BEGIN
    PERFORM fx.lock_account(uid(usr));
    SELECT id, symbol INTO ticket FROM fx.trades WHERE user_id = uid(usr) AND status = 'executed' AND closed_at IS NULL LIMIT 1;
    IF FOUND THEN
        PERFORM fx.close_trade(ticket.id, price_of(ticket.symbol) + 0.001, commission => 0.01);
    END IF;
    INSERT INTO notes VALUES (round, client, n, 'close', CASE WHEN FOUND THEN 'closed' ELSE 'nothing' END, ticket.id);
END
$$;

CREATE FUNCTION flow(round integer, client integer, n integer, usr integer, amount numeric) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM CASE WHEN amount > 0 THEN fx.deposit(uid(usr), amount, key_of(round, client, n)) ELSE fx.withdraw(uid(usr), -amount, key_of(round, client, n)) END;
    INSERT INTO notes VALUES (round, client, n, 'flow', 'ok', uid(usr), amount);
END
$$;

-- The i-th batch of a client has the i-th candle, and the one before again with
-- its final volume.  Every round has a month of its own, which is made on the way.
CREATE FUNCTION candle_of(round integer, client integer, i integer, final boolean) RETURNS fx.candle IMMUTABLE LANGUAGE sql AS $$
    SELECT (format('R%sC%s', round, client), '1m', timestamptz '2020-01-01 00:00+00' + (round - 1) * interval '31 days' + i * interval '17 minutes',
            1 + i / 1000., 1.5 + i / 1000., 0.5 + i / 1000., 1.1 + i / 1000., CASE WHEN final THEN 1000 + i ELSE 1 END)::fx.candle
$$;

CREATE FUNCTION ingest(round integer, client integer, n integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    i CONSTANT integer := 1 + (SELECT count(*) FROM notes AS o WHERE (o.round, o.client, o.kind) = (ingest.round, ingest.client, 'ingest'));
BEGIN
    PERFORM fx.ingest_candles(CASE WHEN i > 1 THEN ARRAY[candle_of(round, client, i - 1, true)] END || candle_of(round, client, i, false));
    INSERT INTO fx.quotes (symbol, timestamp, bid, ask)
    SELECT key_of(round, client, n), date_trunc('minute', now()) + s * interval '1 second', 1.1, 1.1002 FROM generate_series(1, 3) AS s;
    INSERT INTO notes VALUES (round, client, n, 'ingest', 'ok', NULL, i);
END
$$;

CREATE FUNCTION backtest(round integer, client integer, n integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    run record;
BEGIN
    SELECT id, progress INTO run FROM fx.backtests WHERE user_id = uid(11 + client) AND status = 'running';
    IF NOT FOUND THEN
        INSERT INTO fx.backtests (strategy_id, user_id, name) VALUES (uid(11 + client), uid(11 + client), key_of(round, client, n)) RETURNING id INTO run;
        PERFORM fx.start_backtest(run.id);
        INSERT INTO notes VALUES (round, client, n, 'backtest', 'started', run.id, 0);
    ELSIF run.progress = 0 THEN
        PERFORM fx.report_progress(run.id, 50);
        INSERT INTO notes VALUES (round, client, n, 'backtest', 'progress', run.id, 50);
    ELSE
        PERFORM fx.complete_backtest(run.id, (SELECT jsonb_agg(jsonb_build_object('profit', 1, 'closedAt', timestamptz '2024-01-01 00:00+00' + s * interval '1 day')) FROM generate_series(1, 20) AS s));
        INSERT INTO notes VALUES (round, client, n, 'backtest', 'completed', run.id, 100);
    END IF;
END
$$;

CREATE FUNCTION sign_in(round integer, client integer, n integer, password text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    answer record;
BEGIN
    SELECT * INTO answer FROM fx.sign_in('user' || 11 + client, password);
    INSERT INTO notes VALUES (round, client, n, 'sign_in', answer.status, answer.session_id);
END
$$;
SQL

# Weight and text of the scripts; what is in several statements is in one
# transaction, whose end the client waits for.
my %scripts = (
	buy => [ 4, q{SELECT order_of(:round, :client_id, :n, :u, 'buy', :units, (ARRAY['EURUSD', 'GBPUSD'])[:s]);} ],
	sell => [ 3, q{SELECT order_of(:round, :client_id, :n, :u, 'sell', :units, (ARRAY['EURUSD', 'GBPUSD'])[:s]);} ],
	try => [ 3, q{SELECT try_order(:round, :client_id, :n, :u, (ARRAY['buy', 'sell'])[:s], :units, 'EURUSD');} ],
	close => [ 2, q{SELECT close_one(:round, :client_id, :n, :u);} ],
	flow => [ 1, q{SELECT flow(:round, :client_id, :n, :u, (ARRAY[20, -10])[:s]);} ],
	ingest => [ 4, q{SELECT ingest(:round, :client_id, :n);} ],
	backtest => [ 1, q{SELECT backtest(:round, :client_id, :n);} ],
	sign_in => [ 1, q{SELECT sign_in(:round, :client_id, :n, (ARRAY['a long enough password', 'a guess'])[:s]);} ],
	change => [ 3, q{BEGIN;
UPDATE fx.strategies SET config = jsonb_build_object('key', key_of(:round, :client_id, :n)) WHERE id = uid(11 + :client_id);
UPDATE fx.risk_limits SET limit_value = 1000 * :round + :n WHERE id = uid(11 + :client_id);
INSERT INTO notes VALUES (:round, :client_id, :n, 'change', 'ok', uid(11 + :client_id), 1000 * :round + :n);
COMMIT;} ]);

# what somebody does who keeps the head of the chain, and a session, elsewhere
my $keeper = <<'SQL';
CALL fx.seal_audit();
SELECT concat_ws(' ', 'anchor', seq, encode(chain_hash, 'hex')) FROM fx.audit_anchor();
SELECT concat_ws(' ', 'session', token) FROM fx.sign_in('user19', 'a long enough password');
SELECT fx.refresh_candles(max_days => 2) IS NULL;
CALL fx.maintain();
CHECKPOINT;
SELECT pg_sleep(0.02);
SQL

sub prepare_load
{
	my ($node) = @_;

	$node->safe_psql('postgres', 'SET client_min_messages = warning; CREATE EXTENSION fxplatform CASCADE; CREATE EXTENSION amcheck');
	$node->safe_psql('postgres', slurp_file("$FindBin::Bin/../candle_oracle.sql"));
	$node->safe_psql('postgres', $objects);
	foreach my $name (sort keys %scripts)
	{
		append_to_file("$tempdir/$name", "\\set n :n + 1\n\\set u random(1, 3)\n\\set units random(1, 4)\n\\set s random(1, 2)\n$scripts{$name}[1]\n");
	}
	append_to_file("$tempdir/keeper", $keeper x 1000);
	return;
}

# Start the load of a round; the clients end with their server.
sub start_load
{
	my ($node, $round, $connstr) = @_;
	my %load = (node => $node, round => $round, log => "$tempdir/round$round", kept => "$tempdir/kept$round", out => '', err => '', keeper_err => '');
	my @files = map { ('-f', "$tempdir/$_\@$scripts{$_}[0]") } sort keys %scripts;

	$connstr = ($connstr // $node->connstr('postgres')) . " application_name=load";
	$load{pgbench} = IPC::Run::start([ 'pgbench', '-n', '-c', $clients, '-j', 2, '-T', 60, '-M', (qw(simple extended prepared))[ $round % 3 ],
			'-l', "--log-prefix=$load{log}", '-D', "round=$round", '-D', 'n=0', @files, $connstr ], '>', \$load{out}, '2>', \$load{err});
	$load{keeper} = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', $connstr, '-f', "$tempdir/keeper" ],
		'>', $load{kept}, '2>', \$load{keeper_err});
	return \%load;
}

# Wait for the clients, whose server is gone, and read what they know.
sub end_load
{
	my ($load) = @_;

	$load->{pgbench}->finish;
	$load->{keeper}->finish;
	my @lines = map { split /\n/, slurp_file($_) } glob "$load->{log}.*";
	my @strange = grep { !/ / || !/^\d+ \d+ \d+ \d+ \d+ \d+$/ } @lines;
	is(scalar(@strange) ? $strange[0] : '', '', "round $load->{round}: pgbench logged transactions only");
	my %acked = map { $_ => 0 } 0 .. $clients - 1;
	$acked{ (split / /)[0] }++ foreach @lines;
	$load->{acked} = join ', ', map { "($_, $acked{$_})" } sort keys %acked;
	$load->{count} = scalar @lines;
	my @kept = split /\n/, slurp_file($load->{kept});
	$load->{anchors} = join ', ', map { /^anchor (\d+) (\w+)$/ ? "($1, '\\x$2'::bytea)" : () } @kept;
	$load->{tokens} = join ', ', map { /^session (\w+)$/ ? "('$1')" : () } @kept;
	unlike("$load->{err}$load->{keeper_err}", qr/ERROR/, "round $load->{round}: no error but the end of the server")
	  or diag($load->{err}, $load->{keeper_err});
	return;
}

# Everything that the load of a round, and those before, must have left; a query
# returns what is wrong.
sub verify_load
{
	my ($node, $load, $what) = @_;
	my $round = $load->{round};
	my (@names, @queries);
	my $none = sub {
		my ($name, $query) = @_;
		push @names, $name;
		push @queries, $query;
	};
	my $check = sub {
		my @wrong = split /\n/, $node->safe_psql('postgres', join('', map { "SELECT count(*) FROM ($_) AS q;\n" } @queries));
		foreach my $i (0 .. $#names)
		{
			is($wrong[$i], '0', "$what: $names[$i]") or diag($node->safe_psql('postgres', "SELECT * FROM ($queries[$i]) AS q LIMIT 5"));
		}
		@names = @queries = ();
	};

	$none->('all that was acknowledged is there, and at most what was under way', qq{
		SELECT * FROM (VALUES $load->{acked}) AS v (client, acked),
			   LATERAL (SELECT count(*) AS n, coalesce(max(n.n), 0) AS last FROM notes n WHERE n.round = $round AND n.client = v.client) AS s
		 WHERE s.n <> s.last OR s.last NOT IN (acked, acked + 1)});
	$none->('trades', q{
		SELECT * FROM (SELECT * FROM notes WHERE kind = 'order') AS n FULL JOIN (SELECT * FROM fx.trades WHERE external_id IS NOT NULL) AS t ON t.external_id = key_of(n.round, n.client, n.n)
		 WHERE (n.outcome, n.id, n.amount) IS DISTINCT FROM (coalesce(t.status, 'refused'), t.id, t.quantity)});
	$none->('refusals', q{
		SELECT FROM (SELECT id FROM notes WHERE kind = 'order' AND outcome = 'rejected') AS n
		  FULL JOIN (SELECT DISTINCT trade_id FROM fx.risk_events WHERE event = 'refused') AS e ON e.trade_id = n.id WHERE e.trade_id IS NULL OR n.id IS NULL});
	$none->('closed trades', q{
		SELECT n.id FROM notes AS n LEFT JOIN fx.trades AS t USING (id)
		 WHERE n.kind = 'close' AND n.outcome = 'closed' AND (t.closed_at IS NULL OR NOT EXISTS (SELECT FROM fx.closures AS c WHERE c.trade_id = n.id))});
	$none->('limits hold', q{
		SELECT user_id FROM fx.positions WHERE abs(long_quantity - short_quantity) > 10
		UNION ALL SELECT user_id FROM fx.accounts WHERE open_trades > 12 AND user_id <= uid(3)});
	$none->('cash flows', q{
		SELECT FROM (SELECT * FROM notes WHERE kind = 'flow') AS n FULL JOIN fx.cash_flows AS f ON f.reason = key_of(n.round, n.client, n.n)
		 WHERE (n.id, n.amount) IS DISTINCT FROM (f.user_id, f.amount)
		UNION ALL SELECT FROM fx.accounts AS a WHERE net_deposits <> (SELECT coalesce(sum(amount), 0) FROM notes AS n WHERE n.kind = 'flow' AND n.id = a.user_id)});
	$none->('books', 'SELECT * FROM fx.verify_positions()');
	$none->('changes of strategies and limits', q{
		SELECT uid(11 + client) FROM (SELECT client, count(*) AS changes, (array_agg((round, n) ORDER BY round DESC, n DESC))[1] AS last,
				(array_agg(key_of(round, client, n) ORDER BY round DESC, n DESC))[1] AS key, (array_agg(amount ORDER BY round DESC, n DESC))[1] AS amount
				FROM notes WHERE kind = 'change' GROUP BY client) AS n
		  JOIN fx.strategies AS s ON s.id = uid(11 + client) JOIN fx.risk_limits AS l ON l.id = uid(11 + client)
		 WHERE s.version <> changes + 1 OR s.config ->> 'key' <> n.key OR l.limit_value <> n.amount
			OR changes <> (SELECT count(*) FROM fx.audit_log AS a WHERE a.resource_type = 'strategies' AND a.resource_id = s.id::text AND a.action = 'UPDATE')
			OR changes <> (SELECT count(*) FROM fx.audit_log AS a WHERE a.resource_type = 'risk_limits' AND a.resource_id = l.id::text AND 'limit_value' = ANY (a.changed_columns))});
	$none->('every row of an audited table has its entry, and no other has one', q{
		SELECT FROM (SELECT 'trades', id::text FROM fx.trades UNION ALL SELECT 'backtests', id::text FROM fx.backtests UNION ALL SELECT 'cash_flows', id::text FROM fx.cash_flows
			UNION ALL SELECT 'strategies', id::text FROM fx.strategies UNION ALL SELECT 'risk_limits', id::text FROM fx.risk_limits) AS r (type, id)
		  FULL JOIN (SELECT resource_type, resource_id, count(*) FROM fx.audit_log WHERE action = 'INSERT' AND resource_type IN ('trades', 'backtests', 'cash_flows', 'strategies', 'risk_limits') GROUP BY 1, 2) AS a
			ON (a.resource_type, a.resource_id) = (r.type, r.id) WHERE r.id IS NULL OR a.count IS DISTINCT FROM 1});
	$none->('backtests', q{
		SELECT FROM (SELECT id, max(amount) AS last FROM notes WHERE kind = 'backtest' GROUP BY id) AS n FULL JOIN fx.backtests AS b USING (id)
		 WHERE (CASE last WHEN 100 THEN 'completed' ELSE 'running' END, last) IS DISTINCT FROM (b.status, b.progress)
			OR b.status = 'completed' AND jsonb_array_length(b.equity_curve) <> 21});
	$none->('sessions and failures', q{
		SELECT FROM (SELECT id FROM notes WHERE kind = 'sign_in' AND outcome = 'ok') AS n FULL JOIN (SELECT id FROM fx.sessions WHERE user_id <> uid(19)) AS s USING (id) WHERE n.id IS NULL OR s.id IS NULL});
	$none->('candles are those of the batches', qq{
		SELECT FROM (SELECT candle_of(round, client, i, i < last) AS c FROM (SELECT round, client, max(amount)::integer AS last FROM notes WHERE kind = 'ingest' AND round = $round GROUP BY 1, 2) AS n,
				generate_series(1, last) AS i) AS n
		  FULL JOIN (SELECT * FROM fx.market_data WHERE symbol LIKE 'R${round}C%') AS m ON (m.symbol, m.timestamp) = ((c).symbol, (c).timestamp)
		 WHERE ((c).open_price, (c).close_price, (c).volume) IS DISTINCT FROM (m.open_price, m.close_price, m.volume::numeric)});
	$none->('replaced candles', qq{
		SELECT FROM notes WHERE kind = 'ingest' AND round = $round
		HAVING count(*) - count(DISTINCT client) <> (SELECT count(*) FROM fx.market_data_revisions WHERE symbol LIKE 'R${round}C%')});
	$none->('quotes', q{
		SELECT FROM (SELECT * FROM notes WHERE kind = 'ingest') AS n FULL JOIN (SELECT symbol, count(*) AS quotes FROM fx.quotes WHERE symbol LIKE '%/%/%' GROUP BY symbol) AS q
			ON q.symbol = key_of(n.round, n.client, n.n) WHERE n.n IS NULL OR quotes IS DISTINCT FROM 3});
	my $differences = "SELECT * FROM generate_series(0, $clients - 1) AS c, LATERAL candle_oracle.differences(format('R%sC%s', $round, c), '{new_york}')";
	$none->('candles equal plain SQL', $differences);
	$check->();
	$node->safe_psql('postgres', 'SELECT fx.refresh_candles()');
	$none->('nothing is left to roll up', 'SELECT * FROM fx.candle_changes');
	$none->('roll-ups equal plain SQL', $differences);
	$none->('audit trail', q{SELECT * FROM fx.verify_audit() WHERE kind <> 'unsealed'});
	$none->('audit trail as it was anchored', "SELECT w.* FROM (VALUES $load->{anchors}) AS v (seq, hash), LATERAL fx.verify_audit_anchor(seq, hash) AS w") if $load->{anchors};
	$check->();
	$node->safe_psql('postgres', 'CALL fx.seal_audit()');
	$none->('audit trail when sealed', 'SELECT * FROM fx.verify_audit()');
	$none->('sessions that were handed out are good', "SELECT token FROM (VALUES $load->{tokens}) AS v (token) WHERE fx.use_session(token) IS DISTINCT FROM uid(19)") if $load->{tokens};
	$check->();
	is($node->safe_psql('postgres', q{SELECT (SELECT status FROM fx.sign_in('user20', 'a long enough password')), (SELECT status FROM fx.sign_in('user19', 'a long enough password'))}),
		'delayed|ok', "$what: who is guessing has to wait, others sign in");
	return;
}

1;
