-- probe.sql
--	The restored platform is right and works, or there is an error.
\ir ../must.sql

-- Hours that differ from those made of the minutes by plain SQL
CREATE FUNCTION pg_temp.wrong_hours() RETURNS bigint LANGUAGE sql AS $$
    WITH plain AS (
        SELECT symbol::text, date_bin('1 hour', "timestamp", '2000-01-01 00:00+00') AS at, (array_agg(open_price ORDER BY "timestamp"))[1] AS open,
               max(high_price) AS high, min(low_price) AS low, (array_agg(close_price ORDER BY "timestamp" DESC))[1] AS close, sum(volume)::numeric AS volume
          FROM fx.market_data WHERE timeframe = '1m' GROUP BY 1, 2
    ), ours AS (
        SELECT s.symbol::text, c."timestamp", c.open_price, c.high_price, c.low_price, c.close_price, c.volume::numeric
          FROM (SELECT DISTINCT symbol FROM fx.market_data) AS s, fx.candles(s.symbol, '1h', '2000-01-01 00:00+00', '2100-01-01 00:00+00') AS c
    )
    SELECT count(*) FROM ((TABLE plain EXCEPT ALL TABLE ours) UNION ALL (TABLE ours EXCEPT ALL TABLE plain)) AS d
$$;

SELECT pg_temp.must('nothing is left to migrate', (SELECT count(*) = 0 FROM fx.migrate()));
SELECT pg_temp.must('the books are right', (SELECT count(*) = 0 FROM fx.verify_positions()));
SELECT pg_temp.must('the audit trail is whole', (SELECT count(*) = 0 FROM fx.verify_audit() WHERE kind <> 'unsealed'));
SELECT pg_temp.must('hours are those of the minutes', pg_temp.wrong_hours() = 0);
CALL fx.seal_audit();
SELECT pg_temp.must('the audit trail can be sealed', (SELECT count(*) = 0 FROM fx.verify_audit()));
SELECT fx.refresh_candles();
SELECT pg_temp.must('hours are rolled up right', pg_temp.wrong_hours() = 0);
SELECT pg_temp.must('every stored hour has its minutes', (SELECT count(*) = 0 FROM fx.candle_rollups AS r WHERE timeframe = '1h' AND source = '1m'
    AND NOT EXISTS (SELECT FROM fx.market_data AS m WHERE m.symbol = r.symbol AND m.timeframe = '1m' AND m."timestamp" >= r."timestamp" AND m."timestamp" < r."timestamp" + interval '1 hour')));
SELECT pg_temp.must('a password is known', fx.verify_password('user1', 'a long enough password'));
SELECT pg_temp.must('another one is not', NOT fx.verify_password('user1', 'not this password'));
SELECT pg_temp.must('what is encrypted can be read', (SELECT fx.decrypt(login, context) = 'login 1'
    FROM public.brokers, fx.encrypted_columns WHERE name = 'broker 1' AND relation = 'public.brokers'));

DO $$
DECLARE
    refusal jsonb;
BEGIN
    SET LOCAL ROLE drill_app;
    BEGIN
        INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
        VALUES (public.user_number(5), 'EURUSD', 'buy', 'market', 50000, 1.1, 'executed', clock_timestamp());
        RAISE EXCEPTION 'a trade beyond the limit was accepted';
    EXCEPTION WHEN SQLSTATE 'XF001' THEN
        GET STACKED DIAGNOSTICS refusal = PG_EXCEPTION_DETAIL;
        IF refusal #>> '{limits,0,type}' <> 'max_position' THEN
            RAISE EXCEPTION 'refused by another limit: %', refusal;
        END IF;
    END;
    BEGIN
        INSERT INTO fx.trades (user_id, symbol, type, order_type, quantity, price, status, executed_at)
        VALUES (public.user_number(3), 'NZDUSD', 'buy', 'market', 1, 0.6, 'executed', clock_timestamp());
        RAISE EXCEPTION 'an account that may only reduce opened a position';
    EXCEPTION WHEN SQLSTATE 'XF002' THEN
        NULL;
    END;
END
$$;
DO $$
BEGIN
    SET LOCAL ROLE drill_web;
    PERFORM set_config('app.current_user_id', public.user_number(2)::text, true);
    IF (SELECT count(*) FROM fx.users) <> 1 OR (SELECT count(DISTINCT user_id) FROM fx.trades) <> 1 THEN
        RAISE EXCEPTION 'a user sees more or less than what is his';
    END IF;
END
$$;
