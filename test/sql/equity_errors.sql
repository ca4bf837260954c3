--
-- What is no list of trades is refused, with the trade and the key named and no
-- more than 64 bytes of the input shown
--
\set VERBOSITY terse
CREATE FUNCTION pg_temp.refusal(trades jsonb, balance numeric DEFAULT 10000)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text; message text; detail text; hint text;
BEGIN
    PERFORM fx.equity_curve(trades, balance);
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', state, message, nullif(detail, ''));
END
$$;

SELECT left(trades::text, 72) AS trades, pg_temp.refusal(trades)
  FROM (VALUES
    -- shapes
    (1, jsonb '{}'), (2, '"x"'), (3, '1'), (4, 'null'), (5, 'true'),
    (6, '[1]'), (7, '[{"profit": 1}, []]'), (8, '[null]'), (9, '[{"profit": 1}, "x"]'),
    -- profit
    (20, '[{}]'), (21, '[{"profit": 1}, {"Profit": 1}]'), (22, '[{"profit": null}]'), (23, '[{"profit": true}]'),
    (24, '[{"profit": {}}]'), (25, '[{"profit": [1]}]'), (26, '[{"profit": ""}]'), (27, '[{"profit": "12 3"}]'),
    (28, '[{"profit": "0x10"}]'), (29, '[{"profit": "1e"}]'), (30, '[{"profit": "."}]'), (31, '[{"profit": "1.2.3"}]'),
    (32, '[{"profit": "NaN"}]'), (33, '[{"profit": "-Infinity"}]'), (34, '[{"profit": "inf"}]'),
    (35, '[{"profit": 1e131071}]'), (36, '[{"profit": "1e131072"}]'), (37, '[{"profit": "1e99999999999"}]'),
    (38, '[{"profit": 1234567890123456789012345678901234567890}]'), (39, '[{"profit": "-170141183460469231731687303715.88"}]'),
    (43, '[{"profit": "1234567890123456789012345678901234567890"}]'), (44, '[{"profit": "2e30"}]'),
    (40, '[{"profit": 1, "commission": "x"}]'), (41, '[{"profit": 1, "swap": null}]'), (42, '[{"profit": 1, "swap": false}]'),
    -- times
    (60, '[{"profit": 1, "closedAt": null}]'), (61, '[{"profit": 1, "closed_at": 1704067200}]'),
    (62, '[{"profit": 1, "closedAt": "now"}]'), (63, '[{"profit": 1, "closedAt": "infinity"}]'),
    (64, '[{"profit": 1, "closedAt": "epoch"}]'), (65, '[{"profit": 1, "closedAt": ""}]'),
    (66, '[{"profit": 1, "closedAt": "2024-02-30"}]'), (67, '[{"profit": 1, "closedAt": "2023-02-29T00:00:00Z"}]'),
    (68, '[{"profit": 1, "closedAt": "0000-01-01"}]'), (69, '[{"profit": 1, "closedAt": "2024-13-01"}]'),
    (70, '[{"profit": 1, "closedAt": "01/02/2024"}]'), (71, '[{"profit": 1, "closedAt": "2024-01-02T"}]'),
    (72, '[{"profit": 1, "closedAt": "2024-01-02T24:00:01"}]'), (73, '[{"profit": 1, "closedAt": "2024-01-02T23:60"}]'),
    (74, '[{"profit": 1, "closedAt": "2024-01-02T23:59:60.5"}]'), (75, '[{"profit": 1, "closedAt": "2024-01-02T12:00:00 UTC"}]'),
    (76, '[{"profit": 1, "closedAt": "2024-01-02T12:00:00+16:00"}]'), (77, '[{"profit": 1, "closedAt": "2024-01-02T12:00:00."}]'),
    (78, '[{"profit": 1, "closedAt": "12024-01-02"}]'), (79, '[{"profit": 1, "closedAt": " 2024-01-02"}]'),
    (83, '[{"profit": 1, "closedAt": "2024-01-02X12:00"}]'), (84, '[{"profit": 1, "closedAt": "2024-01-02T12:00:00Z+1"}]'), (85, '[{"profit": 1, "closedAt": "2024-01-02T12:00:0"}]'),
    (86, '[{"profit": 1, "closedAt": "2024-01-02T12:00:00*05"}]'), (87, '[{"profit": 1, "closedAt": "2024-01-02T12:00:00+5"}]'), (88, '[{"profit": 1, "closedAt": "2024-01-02T12:00:00+05:3"}]'),
    (89, '[{"profit": 1, "closedAt": "2024-01-02T12:00:00+05:30:4"}]'), (95, '[{"profit": 1, "closedAt": "2024-01-0a"}]'), (96, '[{"profit": 1, "closedAt": "20240102"}]'),
    (80, '[{"profit": 1, "closedAt": "2024-01-02", "executedAt": "2024-01-03"}]'),
    (81, '[{"profit": 1, "closedAt": "2024-01-02"}, {"profit": 1}]'), (82, '[{"profit": 1}, {"profit": 1, "executed_at": "2024-01-02"}]'),
    -- sums
    (90, '[{"profit": 1.7e30, "swap": 1e29}]'), (91, '[{"profit": 0, "commission": 1.7e30}, {"profit": 0, "commission": 1.7e30}]'),
    (92, '[{"profit": 0, "swap": -1.7e30}, {"profit": 0, "swap": -1.7e30}]'),
    (93, '[{"profit": 1.7e30}, {"profit": 1.7e30}]'), (94, '[{"profit": 1.7e30}, {"profit": -1.7e30}, {"profit": -1.7e30}]')
  ) AS v (n, trades)
 ORDER BY n;

-- what just fits, and what is taken as PostgreSQL takes it
SELECT pg_temp.refusal(trades) AS verdict, count(*)
  FROM (VALUES (jsonb '[{"profit": " +1.5E+2 "}]'), ('[{"profit": ".5"}]'), ('[{"profit": "5."}]'), ('[{"profit": "-0"}]'),
    ('[{"profit": "1e-999999999"}]'), ('[{"profit": "0e999999999"}]'), ('[{"profit": 1e-16383}]'),
    ('[{"profit": 1701411834604692317316873037.1588}]'),
    ('[{"profit": 1, "closedAt": "2024-02-29t23:59:60z"}]'), ('[{"profit": 1, "closedAt": "2024-12-31 24:00"}]'),
    ('[{"profit": 1, "closedAt": "2024-01-02T12:00:00,1234567-15:59:59"}]'), ('[{"profit": 1, "closedAt": "2024-01-02T12:00+0530"}]'),
    ('[{"profit": 1, "closedAt": "0001-01-01"}, {"profit": 1, "closedAt": "9999-12-31T23:59:59.9999999Z"}]')) AS v (trades)
 GROUP BY 1;
SELECT closed_at AT TIME ZONE 'UTC' AS utc
  FROM fx.equity_points('[{"profit": 1, "closedAt": "2024-02-29t23:59:60z"}, {"profit": 1, "closedAt": "2024-12-31 24:00"},
                          {"profit": 1, "closedAt": "2024-01-02T12:00:00,1234567-15:59:59"},
                          {"profit": 1, "closedAt": "2024-01-02T12:00+0530"}, {"profit": 1, "closedAt": "2024-01-02T12:00:00.9999996+05"}]')
 WHERE seq > 0 ORDER BY seq;

-- rounding at the ninth decimal is half away from zero, for numbers and strings
SELECT seq, net_profit
  FROM fx.equity_points('[{"profit": 0.000000005}, {"profit": -0.000000005}, {"profit": 0.0000000049999999999999999999999999},
                          {"profit": "0.000000005"}, {"profit": "-5e-9"}, {"profit": "1.00000000499999999999999999999999999999999"},
                          {"profit": 12345678901234567890.123456785}]') WHERE seq > 0 ORDER BY seq;

-- the balance
SELECT balance, pg_temp.refusal('[]', balance)
  FROM unnest('{0,-1,0.000000001,NaN,Infinity,-Infinity,1e40,0.00000001}'::numeric[]) WITH ORDINALITY AS b (balance, n) ORDER BY n;

-- no more than 64 bytes are shown, cut between characters
SELECT length(r) AS characters, octet_length(r) AS bytes
  FROM pg_temp.refusal(jsonb_build_array(jsonb_build_object('profit', repeat('€', 1000)))) AS r;
SELECT octet_length(r) < 200 AS short
  FROM pg_temp.refusal(jsonb_build_array(jsonb_build_object('profit', 1, 'closedAt', repeat('2', 100000)))) AS r;

-- a long call can be cancelled
CREATE TEMPORARY TABLE long AS
SELECT jsonb_agg(jsonb_build_object('profit', n % 7, 'closedAt', '2024-01-02T12:00:00Z')) AS trades FROM generate_series(1, 200000) AS n;
SET statement_timeout = '10ms';
SELECT jsonb_array_length(fx.equity_curve(trades)) FROM long, generate_series(1, 50);
RESET statement_timeout;

-- and the output has an end: more points than an array holds is an error, not a crash
SET jit = off;
CREATE FUNCTION pg_temp.huge() RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; message text;
BEGIN
    PERFORM fx.equity_curve(('[' || repeat('{"profit":123456789.12345678},', 2400000) || '{"profit":1}]')::jsonb);
    RETURN 'accepted';
EXCEPTION WHEN program_limit_exceeded THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
    RETURN concat_ws(' | ', state, message);
END
$$;
SELECT pg_temp.huge();
