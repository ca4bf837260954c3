--
-- Completing a backtest, and its tear-sheet
--
\set SHOW_CONTEXT never
BEGIN;
SET LOCAL search_path = fx, public;
SET LOCAL timezone = 'Asia/Tokyo';
INSERT INTO users (id, email, username, password_hash) VALUES ('00000000-0000-4000-8000-0000000000a1', 'a@example.com', 'a', 'x');
INSERT INTO strategies (id, user_id, name, type) VALUES ('00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', '<script>alert("1")</script> & Co', 'manual');
INSERT INTO backtests (id, strategy_id, user_id, name, config, status)
SELECT ('00000000-0000-4000-8000-0000000000c' || n)::uuid, '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1', 'b' || n, config, status
  FROM (VALUES (1, jsonb '{"initialBalance": "5000", "startDate": "2024-01-01", "endDate": "2024-01-31T23:00:00Z", "riskFreeRate": 0.02, "periodsPerYear": 260}', 'running'), (2, '{}', 'pending'),
               (3, '{}', 'failed'), (4, '{"initialBalance": "lots"}', 'pending'), (5, '{"startDate": "soon"}', 'pending'), (6, '{"startDate": "2024-02-30"}', 'pending'),
               (7, '{"initialBalance": [1]}', 'pending'), (8, '{"endDate": 20240101}', 'pending'), (9, '{"startDate": null}', NULL)) AS v (n, config, status);
\set trades '[{"profit": 100, "symbol": "<b>", "executedAt": "2024-01-02T12:00:00Z", "closedAt": "2024-01-03T12:00:00Z"}, {"profit": -40, "commission": 1, "symbol": "EURUSD", "executedAt": "2024-01-03T12:00:00Z", "closedAt": "2024-01-04T12:00:00Z"}]'
SELECT complete_backtest('00000000-0000-4000-8000-0000000000c1', :'trades')
     = backtest_metrics(:'trades', 5000, 0.02, 260, '2024-01-01', '2024-01-31') AS returns_the_metrics;
SELECT status, progress, results, trades = :'trades' AS trades, equity_curve = equity_curve(:'trades', 5000) AS curve,
       performance_metrics = backtest_metrics(:'trades', 5000, 0.02, 260, '2024-01-01', '2024-01-31') AS metrics,
       started_at = created_at AS started, completed_at > now() AS completed, error_message
  FROM backtests WHERE name = 'b1';
SELECT complete_backtest('00000000-0000-4000-8000-0000000000c2', '[]') ->> 'totalTrades' AS trades;
SELECT backtest_count, avg_return FROM user_strategies('00000000-0000-4000-8000-0000000000a1');

-- the page: whole, escaped, without script or anything from elsewhere
SELECT page LIKE '<!DOCTYPE html>%</html>%' AS whole, page !~* '<script|<b>|onload|javascript:' AS no_script, page !~* '(src|href)=|url\(|@import' AS no_network,
       position('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; Co' IN page) > 0 AS escaped, length(page) < 300000 AS small, page ~ '<polyline[^>]* points="0.0,' AS drawn
  FROM tearsheet('00000000-0000-4000-8000-0000000000c1') AS page;
SELECT tearsheet('00000000-0000-4000-8000-0000000000c2') LIKE '<!DOCTYPE html>%' AS never_traded;

-- errors, each by itself
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE statement;
    RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' | ', SQLSTATE, SQLERRM, nullif(detail, ''));
END
$$;
SELECT n, pg_temp.try(format('SELECT fx.complete_backtest(%L, %L)', '00000000-0000-4000-8000-0000000000c' || n, trades)) AS verdict
  FROM (VALUES (1, '[]'), (3, '[]'), (4, '[]'), (5, '[]'), (6, '[]'), (7, '[]'), (8, '[]'), (9, '[]'), (0, '[]')) AS v (n, trades) ORDER BY n;
SELECT pg_temp.try($$INSERT INTO fx.backtests (id, strategy_id, user_id, name) SELECT '00000000-0000-4000-8000-0000000000ca', strategy_id, user_id, 'ba' FROM fx.backtests WHERE name = 'b2'; SELECT fx.complete_backtest('00000000-0000-4000-8000-0000000000ca', '[{}]')$$) AS bad_trade,
       pg_temp.try($$SELECT fx.complete_backtest('00000000-0000-4000-8000-0000000000c2', NULL)$$) AS no_trades,
       pg_temp.try($$SELECT fx.complete_backtest(NULL, '[]')$$) AS no_backtest;
SELECT pg_temp.try($$SELECT fx.tearsheet('00000000-0000-4000-8000-0000000000c3')$$) AS not_completed, pg_temp.try($$SELECT fx.tearsheet(NULL)$$) AS none;
SELECT name, status, progress FROM backtests WHERE name > 'b1' ORDER BY name;
ROLLBACK;
