# Installing: in several databases of a cluster, at the same time, under odd
# settings, beside objects that somebody planted.

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use FxTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;

$node->safe_psql('postgres', 'CREATE DATABASE first');
$node->safe_psql('first', 'CREATE EXTENSION fxplatform CASCADE');
my $first = dump_of($node, 'first', '--schema-only');

$node->safe_psql('postgres', 'CREATE DATABASE second');
$node->safe_psql('second', 'CREATE EXTENSION fxplatform CASCADE');
is(dump_of($node, 'second', '--schema-only'), $first, 'a second database of the cluster is the same');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname LIKE 'fx\_%' AND NOT rolcanlogin}), '3', 'the roles are there once');
$node->safe_psql('postgres', 'CREATE DATABASE templated TEMPLATE second');
is(dump_of($node, 'templated', '--schema-only'), $first, 'so is a copy of a template');

# the roles are made while another session makes them too
$node->safe_psql('postgres', 'DROP DATABASE templated');
foreach my $db (qw(first second))
{
	$node->safe_psql($db, q{SET client_min_messages = warning; SELECT fx.migrate('none'); DROP EXTENSION fxplatform CASCADE; DROP SCHEMA fx});
}
$node->safe_psql('postgres', 'DROP ROLE fx_app, fx_user, fx_reporting');
my $one = $node->background_psql('first');
my $two = $node->background_psql('second', on_error_stop => 0);
$one->query_safe('BEGIN; CREATE EXTENSION fxplatform');
$two->query_until(qr/started/, "\\echo started\nCREATE EXTENSION fxplatform;\nSELECT count(*) || ' tables' FROM pg_class WHERE relnamespace = 'fx'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition;\n");
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'}) or die 'no wait';
$one->query_safe('COMMIT');
like($two->query("\\echo"), qr/38 tables/, 'two installations at once both succeed');
$one->quit;
$two->quit;

# odd settings
foreach my $setting ('default_transaction_isolation=serializable', 'TimeZone=Pacific/Apia', 'TimeZone=America/New_York',
	'DateStyle=SQL,DMY', 'standard_conforming_strings=off', 'search_path=nowhere', 'quote_all_identifiers=on',
	'default_table_access_method=heap', 'check_function_bodies=on', 'plpgsql.variable_conflict=use_column', 'escape_string_warning=off')
{
	my $db = 'odd';
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	local $ENV{PGOPTIONS} = "-c $setting";
	my $schema = $setting =~ /search_path/ ? 'CREATE EXTENSION pgcrypto SCHEMA public;' : '';
	$node->safe_psql($db, "$schema CREATE EXTENSION fxplatform CASCADE");
	delete $ENV{PGOPTIONS};
	is(dump_of($node, $db, '--schema-only'), $first, "the same with $setting");
	$node->safe_psql('postgres', "DROP DATABASE $db");
}

# pgcrypto elsewhere, the schema made before, with something in it
$node->safe_psql('postgres', 'CREATE DATABASE mixed');
$node->safe_psql('mixed', 'CREATE SCHEMA crypto; CREATE EXTENSION pgcrypto SCHEMA crypto; CREATE SCHEMA fx; CREATE TABLE fx.mine (x integer); CREATE EXTENSION fxplatform');
is($node->safe_psql('mixed', q{SELECT count(*) FROM fx.migration_status WHERE state = 'applied'}), '18', 'with pgcrypto elsewhere and a schema that was there');
is($node->safe_psql('mixed', 'SELECT count(*) FROM fx.mine'), '0', 'and what was in it');

# where the capital of "i" is another letter than "I"
SKIP:
{
	skip 'built without ICU', 3 if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_collation WHERE collprovider = 'i'}) eq '0';
	$node->safe_psql('postgres', q{CREATE DATABASE turkish TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' LOCALE_PROVIDER icu ICU_LOCALE 'tr'});
	is($node->safe_psql('turkish', q{
		CREATE EXTENSION fxplatform CASCADE;
		INSERT INTO fx.instruments (symbol, base_currency, quote_currency, pip_size, contract_size) VALUES ('USDINR', 'USD', 'INR', 0.0001, 100000);
		INSERT INTO fx.users (id, email, username, password_hash, preferences)
		VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x', '{"accountCurrency": "ils"}');
		INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
		SELECT '00000000-0000-4000-8000-0000000000a1', s, 'buy', 'market', 1, 80, 'executed', now() FROM unnest('{usd/inr,UsdInr,çi}'::text[]) s;
		SELECT upper('i') <> 'I', fx.instrument_symbol('usdinr'), (SELECT currency FROM fx.accounts), (SELECT string_agg(symbol, ' ' ORDER BY symbol COLLATE "C") FROM fx.positions),
			   (SELECT count(*) FROM fx.verify_positions())}), 't|USDINR|ILS|USDINR ÇI|0', 'a Turkish database');
	is($node->safe_psql('turkish', q{SELECT fx.rebuild_risk_state('00000000-0000-4000-8000-0000000000a1') \g /dev/null
		SELECT string_agg(symbol, ' ' ORDER BY symbol COLLATE "C") FROM fx.positions}), 'USDINR ÇI', 'and its books made again');
	is($node->safe_psql('turkish', q{
		INSERT INTO fx.strategies (id, user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', 's', 'manual');
		INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value, symbol, strategy_id)
		VALUES ('00000000-0000-4000-8000-0000000000a1', 'l', 'max_open_trades', 'absolute', 5, 'USDINR', '00000000-0000-4000-8000-0000000000b1');
		INSERT INTO fx.trades (user_id, strategy_id, symbol, type, order_type, quantity, price, status, executed_at)
		VALUES ('00000000-0000-4000-8000-0000000000a1', '00000000-0000-4000-8000-0000000000b1', 'usd/inr', 'buy', 'market', 1, 80, 'executed', now());
		SELECT trim_scale(current_value) FROM fx.risk_limits}), '1', 'and its limits of a strategy');
}

# functions, operators and tables named like ours, planted where they could be found first
$node->safe_psql('postgres', 'CREATE DATABASE hostile');
$node->safe_psql('hostile', q{
	CREATE TABLE public.users (id integer); CREATE TABLE public.schema_migrations (version text); CREATE TABLE public.migration (version text);
	CREATE FUNCTION public.count(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1/0';
	CREATE FUNCTION public.max(text) RETURNS text LANGUAGE sql AS 'SELECT (1/0)::text';
	CREATE FUNCTION public.format(text, name) RETURNS text LANGUAGE sql AS 'SELECT (1/0)::text';
	CREATE FUNCTION public.never(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT (1/0)::boolean';
	CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.never);
	CREATE OPERATOR public.> (LEFTARG = text, RIGHTARG = text, FUNCTION = public.never)});
{
	local $ENV{PGOPTIONS} = '-c search_path=public,pg_catalog';
	$node->safe_psql('hostile', 'CREATE EXTENSION fxplatform CASCADE');
	is($node->safe_psql('hostile', q{SELECT fx.migrate('2024_01_20_initial_schema'); SELECT pg_catalog.count(*) FROM fx.migrate()}) =~ s/.*\n//sr,
		'17', 'planted objects are not found');
}
is($node->safe_psql('hostile', 'SELECT (SELECT count(*) FROM public.users), (SELECT count(*) FROM public.schema_migrations)'), '0|0', 'and get no rows');
like(psql_output($node, 'hostile', 'DROP EXTENSION fxplatform CASCADE; CREATE FUNCTION fx.fx_day(at timestamptz) RETURNS date LANGUAGE sql AS $$SELECT NULL::date$$; CREATE EXTENSION fxplatform'),
	qr/already exists|is not a member of extension/, 'a function planted in fx is an error');

# without the tables, when told so
$node->safe_psql('postgres', 'CREATE DATABASE bare');
my ($ret, $stdout, $stderr) = $node->psql('bare', 'SET fxplatform.create_tables = off; CREATE EXTENSION fxplatform CASCADE');
like($stderr, qr/NOTICE:  fxplatform leaves its tables to the dump that is being restored/, 'create_tables = off says so');
is($node->safe_psql('bare', q{SELECT count(*) FROM fx.migration_status WHERE state = 'pending'}), '18', 'and makes none');
is($node->safe_psql('bare', 'SELECT count(*) FROM fx.migrate()'), '18', 'fx.migrate() makes them');
is(dump_of($node, 'bare', '--schema-only'), $first, 'as the installation does');

$node->stop;
done_testing();
