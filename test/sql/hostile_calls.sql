--
-- What random calls found: arguments that nobody was expected to give
--
\set SHOW_CONTEXT never
\set VERBOSITY terse

-- the owner's count of attempts to sign in takes nothing for granted
SELECT fx.charge_sign_in(NULL, 1, 0, NULL);
SELECT fx.charge_sign_in(sha256('hostile'), NULL, 0, NULL);
SELECT fx.charge_sign_in(sha256('hostile'), 1, NULL, NULL);
SELECT fx.charge_sign_in(sha256('hostile'), 0, 0, NULL);
SELECT fx.charge_sign_in(sha256('hostile'), 1, -1, now());
SELECT fx.charge_sign_in(sha256('hostile'), 1, 5, 'infinity');
SELECT fx.charge_sign_in('x', 1, 5, now());
SELECT fx.charge_sign_in(sha256('hostile'), 1, 9223372036854775807, now()) > interval '10 minutes' AS waits;
SELECT fx.forgive_sign_in(sha256('hostile'), true);

-- a regclass need not be that of a relation
\set VERBOSITY sqlstate
SELECT fx.has_partition(0, now());
SELECT fx.has_partition(4294967295, now());
SELECT fx.has_partition('fx.trades_pkey', now());
SELECT fx.has_partition('fx.trades', now());
SELECT fx.forget_partitions(relation) FROM unnest('{0,4294967295,fx.trades,fx.market_data,fx.trades_pkey,NULL}'::regclass[]) AS relation;
\set VERBOSITY terse
SELECT fx.has_partition(0, now());

-- the name of a table is no SQL
SELECT fx.rotate_encryption_pages('fx.users t; DROP TABLE fx.users; --', 'two_factor_secret', 'id', 'x', 1, 0, 1);
SELECT fx.rotate_encryption_pages('nowhere', 'two_factor_secret', 'id', 'x', 1, 0, 1);
SELECT fx.rotate_encryption_pages('fx.users', 'two_factor_secret', 'id', 'x', 1, 0, 1);
