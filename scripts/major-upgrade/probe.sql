-- probe.sql
--	The platform works on the new major, or there is an error.
\ir ../must.sql

SELECT pg_temp.must('nothing is left to migrate', (SELECT count(*) = 0 FROM fx.migrate()));
SELECT pg_temp.must('a password is known', fx.verify_password('u1', 'a long enough password'));
SELECT pg_temp.must('another is not', NOT fx.verify_password('u1', 'not this password'));

-- the limit counts what was bought before the upgrade
DO $$
DECLARE
    probe CONSTANT uuid := '00000000-0000-4000-8000-0000000000f1';
    refusal jsonb;
BEGIN
    SET LOCAL ROLE fx_app;
    INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
    VALUES (probe, 'EURUSD', 'buy', 'market', 3, 1.1, 'executed', clock_timestamp());
    BEGIN
        INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
        VALUES (probe, 'EURUSD', 'buy', 'market', 2, 1.1, 'executed', clock_timestamp());
        RAISE EXCEPTION 'a trade beyond the limit was accepted';
    EXCEPTION WHEN SQLSTATE 'XF001' THEN
        GET STACKED DIAGNOSTICS refusal = PG_EXCEPTION_DETAIL;
        IF (refusal #>> '{limits,0,projected}')::numeric <> 11 THEN
            RAISE EXCEPTION 'the limit counts otherwise: %', refusal;
        END IF;
    END;
    RESET ROLE;
END
$$;
SELECT pg_temp.must('the position is that of both trades', (SELECT long_quantity = 9 AND short_quantity = 0 FROM fx.positions WHERE user_id = '00000000-0000-4000-8000-0000000000f1'));
SELECT pg_temp.must('the trade is in the audit trail',
    (SELECT count(*) = 2 FROM fx.audit_log WHERE resource_type = 'trades' AND new_values ->> 'user_id' = '00000000-0000-4000-8000-0000000000f1'));

-- a month that no partition was made for
SELECT pg_temp.must('candles are taken', (SELECT count(*) > 0 FROM fx.ingest_candles(
    '[{"symbol": "EURUSD", "timeframe": "1h", "timestamp": "2024-05-01T01:00:00Z", "open": 1.1, "high": 1.3, "low": 1, "close": 1.2, "volume": 7}]')));
SELECT pg_temp.must('and read', (SELECT count(*) = 1 AND min(c.close_price) = 1.2
    FROM fx.candles('EURUSD', '4h', '2024-05-01 00:00+00', '2024-05-01 04:00+00') AS c));
CALL fx.maintain();

-- those who may see their own rows only
DO $$
BEGIN
    SET LOCAL ROLE fx_user;
    PERFORM set_config('app.current_user_id', '00000000-0000-4000-8000-0000000000f1', true);
    IF (SELECT count(*) FROM fx.trades) <> 2 OR (SELECT count(*) FROM fx.users) <> 1 THEN
        RAISE EXCEPTION 'a user sees more or less than what is his';
    END IF;
    RESET ROLE;
END
$$;

CALL fx.seal_audit();
SELECT pg_temp.must('the audit trail is whole', (SELECT count(*) = 0 FROM fx.verify_audit()));
SELECT pg_temp.must('the books are right', (SELECT count(*) = 0 FROM fx.verify_positions()));
ANALYZE;
REINDEX SCHEMA fx;
