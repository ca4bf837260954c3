--
-- What functions return does not depend on settings that any user may change
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;

-- A string with a backslash means something else where
-- standard_conforming_strings is off, unless it is E'...' or in dollars: the
-- parser warns of each other one.
SET standard_conforming_strings = off;
SELECT lanname, count(validated) > 20 AS validated
  FROM (SELECT l.lanname, CASE l.lanname WHEN 'sql' THEN fmgr_sql_validator(p.oid) ELSE plpgsql_validator(p.oid) END::text AS validated
          FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
         WHERE p.pronamespace = 'fx'::regnamespace AND l.lanname IN ('sql', 'plpgsql')) AS f
 GROUP BY lanname ORDER BY lanname;
RESET standard_conforming_strings;

-- The same calls in one session as it comes, and in one where all is unusual;
-- each parses the functions anew.
CREATE VIEW probes AS
SELECT 'config_number' AS call, string_agg(fx.config_number(jsonb_build_object('k', v), 'k')::text, ' ') AS result FROM unnest('{5000," 12.5 ",-.5e3,7.}'::text[]) AS v
UNION ALL
SELECT 'account_initial_balance', fx.account_initial_balance('{"initialBalance": "1000.25"}')::text
UNION ALL
SELECT 'html_escape', fx.html_escape(E'<a b="c">\u0001 &''')
UNION ALL
SELECT 'tearsheet', md5(regexp_replace(fx.tearsheet('[{"profit": 100.1, "commission": 0.3, "executedAt": "2024-01-02", "closedAt": "2024-01-03T10:00:00"},
    {"profit": -33.3, "executedAt": "2024-01-04T01:00:00", "closedAt": "2024-01-04T10:00:00"}]'::jsonb, 1000.5, 'A "title"'), 'Made [^<]*', '', 'g'))
UNION ALL
SELECT 'metrics', fx.backtest_metrics('[{"profit": 100.1, "closedAt": "2024-01-03T10:00:00"}, {"profit": -33.3, "closedAt": "2024-01-04T10:00:00"}]'::jsonb)::text
UNION ALL
SELECT 'curve', fx.equity_curve('[{"profit": 100.1, "closedAt": "2024-01-03T10:00:00"}, {"profit": -33.3, "closedAt": "2024-01-04T10:00:00"}]'::jsonb)::text
UNION ALL
SELECT 'aggregates', fx.pnl_agg(n)::text || fx.pnl_agg(n)::jsonb || fx.equity_agg('2024-01-01 00:00+00'::timestamptz + n * interval '1 minute', n)
                     || fx.candlestick_agg('2024-01-01 00:00+00'::timestamptz + n * interval '1 minute', n) FROM generate_series(1.1, 3.3, 0.7) AS n
UNION ALL
SELECT 'health', string_agg(h."check" || ' ' || h.status, ', ' ORDER BY h."check") FROM fx.health_report('{"long_transactions": null, "idle_in_transaction": null, "connections": null, "unsealed_audit": null}') AS h
UNION ALL
SELECT 'silent_triggers', string_agg(t, ', ' ORDER BY t) FROM fx.silent_triggers() AS t
UNION ALL
SELECT 'partitions', string_agg(format('%s %s %s', p."table", p.partitions, p.months_ahead), ', ' ORDER BY p."table") FROM fx.partition_health AS p
UNION ALL
SELECT 'redundant_indexes', string_agg(i.indexname || '', ', ' ORDER BY i.indexname) FROM fx.redundant_indexes AS i WHERE i.schemaname = 'fx';
-- a trigger that is missing is noticed in both
BEGIN;
DROP TRIGGER trades_lifecycle ON fx.trades;
SELECT jsonb_object_agg(call, result) AS as_usual FROM probes \gset
SELECT key, value FROM jsonb_each_text(:'as_usual') WHERE key IN ('config_number', 'account_initial_balance', 'html_escape', 'silent_triggers') ORDER BY key COLLATE "C";
ROLLBACK;
\c -
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET quote_all_identifiers = on;
SET transform_null_equals = on;
SET array_nulls = off;
SET bytea_output = escape;
SET DateStyle = 'SQL, DMY';
SET IntervalStyle = iso_8601;
SET TimeZone = 'Pacific/Kiritimati';
SET extra_float_digits = -15;
SET default_text_search_config = 'pg_catalog.german';
BEGIN;
DROP TRIGGER trades_lifecycle ON fx.trades;
SELECT p.call, u.value AS as_usual, p.result AS here FROM probes AS p FULL JOIN jsonb_each_text(:'as_usual') AS u ON u.key = p.call WHERE p.result IS DISTINCT FROM u.value;
SELECT count(*) AS compared FROM probes;
-- names that are kept
CREATE TABLE "Audited table" (id integer PRIMARY KEY, about regclass);
SELECT fx.enable_audit('"Audited table"');
INSERT INTO "Audited table" VALUES (1, 'fx.trades');
SELECT action, resource_type, new_values FROM fx.audit_log WHERE resource_type ~ 'Audited table';
SELECT count(*) AS entries FROM fx.history('public."Audited table"', '1');
SELECT count(*) > 0 AS refreshed FROM fx.refresh_candles();
SELECT count(*) > 0 AS partitions, count(*) FILTER (WHERE partition_name ~ '"') AS quoted FROM fx.candle_partitions;
ROLLBACK;
DROP VIEW probes;
