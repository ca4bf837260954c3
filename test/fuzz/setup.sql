-- What the fuzz targets need in a database: a schema that is no part of the extension
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION fxplatform CASCADE;
CREATE SCHEMA fuzz;
SET search_path = fuzz;

CREATE FUNCTION run(query text, arguments text[]) RETURNS void
    LANGUAGE C STRICT AS '$libdir/fxplatform', 'fx_fuzz_run';
CREATE FUNCTION try(query text, data bytea) RETURNS text
    LANGUAGE C STRICT AS '$libdir/fxplatform', 'fx_fuzz_try';
CREATE FUNCTION receive(data bytea, value anyelement) RETURNS anyelement
    LANGUAGE C IMMUTABLE AS '$libdir/fxplatform', 'fx_fuzz_receive';
CREATE FUNCTION json(data bytea, keys text[]) RETURNS jsonb
    LANGUAGE C IMMUTABLE STRICT AS '$libdir/fxplatform', 'fx_fuzz_json';

SELECT fx.create_market_data_partitions('2024-03-01', '2024-04-01') > 0 AS partition_made;

-- Good input for each target, from which libFuzzer starts
CREATE TABLE seeds (target text NOT NULL, data bytea NOT NULL);

INSERT INTO seeds
SELECT 'pnl_text', convert_to(string_agg(p::text, E'\n'), 'UTF8')
  FROM (SELECT fx.pnl_agg(n * (g % 3 - 1) * power(10, g)::numeric, 0.7, -0.01) AS p
          FROM generate_series(1, 9) AS g, generate_series(1, 5) AS n GROUP BY g) AS s
UNION ALL
SELECT 'pnl_text', convert_to(fx.pnl_agg(p)::text, 'UTF8')
  FROM (VALUES (0), (1), (-1), (9999999999.99999999), (-9999999999.99999999), (1e29)) AS s (p) GROUP BY p;
INSERT INTO seeds SELECT 'pnl_binary', fx.pnl_send(convert_from(data, 'UTF8')::fx.pnl) FROM seeds WHERE target = 'pnl_text' AND position('\x0a' IN data) = 0;

INSERT INTO seeds
SELECT 'equity_text', convert_to(string_agg(e::text, E'\n'), 'UTF8')
  FROM (SELECT fx.equity_agg(timestamptz '2024-01-02' + n * interval '7 hours', n * (n % 3 - 1), 0.7, 0.01,
                             timestamptz '2024-01-02' + n * interval '5 hours') AS e
          FROM generate_series(1, 24) AS n GROUP BY n % 3) AS s
UNION ALL
SELECT 'equity_text', convert_to(fx.equity_agg(at, p)::text, 'UTF8')
  FROM (VALUES (timestamptz '0001-01-02 00:00+00', 92233720368.54775807), ('9999-12-30 00:00+00', -92233720368), ('2024-03-10 07:00+00', 0)) AS s (at, p) GROUP BY at;
INSERT INTO seeds SELECT 'equity_binary', fx.equity_send(convert_from(data, 'UTF8')::fx.equity) FROM seeds WHERE target = 'equity_text' AND position('\x0a' IN data) = 0;

INSERT INTO seeds
SELECT 'candlestick_text', convert_to(string_agg(c::text, E'\n'), 'UTF8')
  FROM (SELECT fx.candlestick(timestamptz '2024-01-02' + n * interval '1 hour', 1.1, 1.2 + n, 1.0, 1.15, nullif(n, 3)) AS c
          FROM generate_series(1, 4) AS n) AS s
UNION ALL
SELECT 'candlestick_text', convert_to(fx.candlestick(at, p, p, p, p, v)::text, 'UTF8')
  FROM (VALUES (timestamptz '0001-01-01 00:00+00', 9999999999.99999999, 0::bigint), ('9999-12-31 23:59:59.999999+00', -1, 9223372036854775807)) AS s (at, p, v);
INSERT INTO seeds SELECT 'candlestick_binary', fx.candlestick_send(convert_from(data, 'UTF8')::fx.candlestick) FROM seeds WHERE target = 'candlestick_text' AND position('\x0a' IN data) = 0;

INSERT INTO seeds
SELECT 'trades_text', convert_to(t, 'UTF8') FROM unnest(ARRAY[
    '[]', '[{"profit": 1}]',
    '[{"profit": 120.5, "commission": 0.7, "closedAt": "2024-01-02T15:00:00Z"}, {"profit": "-80", "swap": -1e-8, "closedAt": "2024-01-02 15:00:00.5+0530"}]',
    '[{"profit": 1, "executed_at": "2024-03-10T06:59:59Z", "closed_at": "2024-03-10T07:00:00Z"}, {"profit": -1, "executedAt": "2024-03-08", "closedAt": "2024-03-12T24:00:00Z"}]',
    '[{"profit": 99999999999999999999999999999, "x": [1, {"y": null}]}, {"profit": 0.000000005}]']) AS t;

-- the bytes of fuzz.json() mean little to the eye: any will do
INSERT INTO seeds
SELECT target, sha512(n::text::bytea) || decode(repeat('03000800050305010404', n), 'hex')
  FROM unnest('{trades,tearsheet,candles,audit}'::text[]) AS target, generate_series(1, 8) AS n;
INSERT INTO seeds SELECT 'candle_fault', decode(repeat(md5(n::text), 4), 'hex') FROM generate_series(1, 8) AS n;
INSERT INTO seeds VALUES ('candle_fault', '\x006414000000000b08000000120800000008080000000c0800000064004555523f');

INSERT INTO seeds
SELECT 'time', convert_to(t, 'UTF8') FROM unnest(ARRAY[
    '2024-02-29', '2024-03-10T07:00:00Z', '2024-03-10 24:00', '0001-01-01T00:00:60.123456789+15:59:59', '9999-12-31t23:59:59,5-0730']) AS t;
INSERT INTO seeds
SELECT 'number', convert_to(t, 'UTF8') FROM unnest(ARRAY['0', ' -1.50 ', '+.5e3', '1e-9', '170141183460469231731687303715.88410727', 'NaN', 'inf', '0.000000005', '1E400']) AS t;
INSERT INTO seeds SELECT 'money', numeric_send(n)
  FROM unnest('{0,1,-1,0.000000005,-0.000000015,170141183460469231731687303715,1e-30,1e40,NaN,Infinity,123456789.123456789123456789}'::numeric[]) AS n;
INSERT INTO seeds SELECT 'names', convert_to(t, 'UTF8') FROM unnest('{EUR/USD,M15,fx1:12:abc,ä<€&😀>,$2a$10$abcdefghijklmnopqrstuuJ1vJ1vJ1vJ1vJ1vJ1vJ1vJ1vJ1vJ1v}'::text[]) AS t;
INSERT INTO seeds SELECT 'base32', convert_to(t, 'UTF8') FROM unnest('{JBSWY3DPEHPK3PXP,mzxw6ytb,MZXW6===}'::text[]) AS t;
