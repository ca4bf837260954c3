--
-- Candles of ticks, against plain SQL
--
\set SHOW_CONTEXT never
BEGIN;
SET LOCAL timezone = 'UTC';
SELECT fx.create_quote_partitions('2013-01-15', '2013-03-01') AS made, fx.create_quote_partitions('2013-01-01', '2013-03-01') AS again;
-- two ticks of one time, in the order of their arrival; a spread of zero
INSERT INTO fx.quotes (symbol, timestamp, bid, ask) VALUES
    ('EURUSD', '2013-01-02 10:00:00+00', 1.1, 1.3),
    ('EURUSD', '2013-01-02 10:00:00+00', 1.2, 1.2),
    ('EURUSD', '2013-01-02 10:00:59.999999+00', 1.5, 1.6),
    ('EURUSD', '2013-01-02 10:00:59.999999+00', 1.4, 1.5),
    ('EURUSD', '2013-01-02 10:01:00+00', 1.00000001, 1.00000002);
SELECT * FROM fx.tick_candles('EURUSD', '1m', '2013-01-02', '2013-01-03');
SELECT * FROM fx.tick_candles('EURUSD', '1m', '2013-01-02', '2013-01-03', side => 'bid');
SELECT * FROM fx.tick_candles('EURUSD', '1h', side => 'ask');
-- candles begin in the range and are whole: the one that since cuts is out, the one that until cuts is in
SELECT timestamp, volume FROM fx.tick_candles('EURUSD', '1m', '2013-01-02 10:00:30+00', '2013-01-02 10:01:00.000001+00');
SELECT timestamp, volume FROM fx.tick_candles('EURUSD', '1m', '2013-01-02 10:00:00+00', '2013-01-02 10:00:30+00');
SELECT count(*) FROM fx.tick_candles('EURUSD', '1m', '2013-01-02 10:00+00', '2013-01-02 10:00+00');
SELECT count(*) FROM fx.tick_candles('EURUSD', '1m', '2013-01-03', '2013-01-02');
SELECT count(*) FROM fx.tick_candles('XXX', '1m');
SELECT timestamp, volume FROM fx.tick_candles('EURUSD', '1d', NULL, NULL), LATERAL (SELECT 1) AS x;
SELECT timestamp, volume FROM fx.tick_candles('EURUSD', '1d', alignment => 'utc');
-- many ticks, two months, many of the same time, inserted in no order of time: every candle against SQL
INSERT INTO fx.quotes (symbol, timestamp, bid, ask)
SELECT 'GBPUSD', timestamptz '2013-01-29 00:00+00' + (hashint4(n) & 1048575) / 2 * interval '1 second',
       1.5 + (hashint4(n * 3) & 1023) * 0.00001, 1.52 + (hashint4(n * 7) & 1023) * 0.00001
  FROM generate_series(1, 20000) AS n;
CREATE FUNCTION oracle(tf text, price text) RETURNS TABLE (start timestamptz, o numeric, h numeric, l numeric, c numeric, n bigint, s numeric) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT fx.candle_start(timestamp, %L), (array_agg(p ORDER BY timestamp, id))[1], max(p), min(p), (array_agg(p ORDER BY timestamp DESC, id DESC))[1], count(*), round(avg(ask - bid), 8)
           FROM (SELECT *, round(%s, 8) AS p FROM fx.quotes WHERE symbol = ''GBPUSD'') q GROUP BY 1', tf, price);
END $$;
SELECT tf, side, count(*) > 0 AS some, count(*) FILTER (WHERE (o, h, l, c, n, s) IS DISTINCT FROM (open_price, high_price, low_price, close_price, volume, spread)) AS wrong
  FROM unnest(ARRAY['1m', '15m', '1h', '4h', '1d', '1w', '1mn']) AS tf, (VALUES ('bid', 'bid'), ('ask', 'ask'), ('mid', '(bid + ask) / 2')) AS v (side, price),
       LATERAL (SELECT * FROM oracle(tf, price) FULL JOIN fx.tick_candles('GBPUSD', tf, side => side) t ON t.timestamp = start) AS j
 GROUP BY tf, side ORDER BY fx.timeframe_rank(tf), side;
-- what a tick must be
\set VERBOSITY terse
SAVEPOINT s;
INSERT INTO fx.quotes (symbol, timestamp, bid, ask) VALUES ('EURUSD', '2013-01-02', 1.2, 1.1);
ROLLBACK TO s;
INSERT INTO fx.quotes (symbol, timestamp, bid, ask) VALUES ('EURUSD', '2013-01-02', 0, 1.1);
ROLLBACK TO s;
INSERT INTO fx.quotes (symbol, timestamp, bid, ask) VALUES ('EURUSD', '2013-01-02', 1.1, 'NaN');
ROLLBACK TO s;
INSERT INTO fx.quotes (symbol, timestamp, bid, ask) VALUES ('EURUSD', '2013-01-02', 'NaN', 1.1);
ROLLBACK TO s;
INSERT INTO fx.quotes (symbol, timestamp, bid, ask) VALUES ('EURUSD', '2013-01-02', 'NaN', 'NaN');
ROLLBACK TO s;
-- errors
\set VERBOSITY default
SELECT * FROM fx.tick_candles(NULL, '1m');
ROLLBACK TO s;
SELECT * FROM fx.tick_candles('EURUSD', NULL);
ROLLBACK TO s;
SELECT * FROM fx.tick_candles('EURUSD', '1m', side => NULL);
ROLLBACK TO s;
SELECT * FROM fx.tick_candles('EURUSD', '1m', alignment => NULL);
ROLLBACK TO s;
SELECT * FROM fx.tick_candles('EURUSD', '1m', side => 'last');
ROLLBACK TO s;
SELECT * FROM fx.tick_candles('EURUSD', '2m');
ROLLBACK TO s;
SELECT * FROM fx.tick_candles('EURUSD', '1m', alignment => 'mars');
ROLLBACK TO s;
SELECT fx.create_quote_partitions(NULL, '2013-01-01');
ROLLBACK TO s;
CREATE TABLE fx.quotes_2013_05 ();
SELECT fx.create_quote_partitions('2013-05-01', '2013-06-01');
ROLLBACK TO s;
SELECT fx.create_monthly_partitions('nothing', '2013-05-01', '2013-06-01');
ROLLBACK TO s;
-- partitions: constraints, the owner's, no grants
SELECT relacl IS NULL AS no_grants, relowner = (SELECT relowner FROM pg_class WHERE oid = 'fx.quotes'::regclass) AS same_owner,
       (SELECT count(*) FROM pg_constraint WHERE conrelid = c.oid AND contype = 'c') AS checks
  FROM pg_class c WHERE oid = 'fx.quotes_2013_01'::regclass;
ROLLBACK;
SELECT count(*) AS months FROM pg_inherits WHERE inhparent = 'fx.quotes'::regclass;
