-- What fill.pl leaves empty, something encrypted, and for probe.sql a user with a
-- limit and a trade
\set ON_ERROR_STOP on
\set QUIET on
\o /dev/null
INSERT INTO fx.users (id, email, username, password_hash, preferences)
VALUES ('00000000-0000-4000-8000-0000000000f1', 'probe@example.com', 'probe', 'none', '{"initialBalance": 10000}');
INSERT INTO fx.risk_limits (user_id, name, type, limit_type, limit_value)
VALUES ('00000000-0000-4000-8000-0000000000f1', 'ten units at most', 'max_position', 'absolute', 10);
INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
VALUES ('00000000-0000-4000-8000-0000000000f1', 'EURUSD', 'buy', 'market', 6, 1.1, 'executed', now());

SELECT fx.enable_two_factor('00000000-0000-4000-8000-0000000000f1');
CREATE TABLE public.broker AS SELECT fx.encrypt('the key of the broker', 'broker') AS secret;

SELECT seq, chain_hash FROM fx.export_audit('2100-01-01 00:00+00') ORDER BY seq OFFSET 4 LIMIT 1
\gset
SELECT fx.remove_exported_audit(:seq, :'chain_hash');
CALL fx.seal_audit();
