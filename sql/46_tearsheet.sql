
-- tear-sheet: one page
--
-- A page is also well-formed XML, so that it can be checked by any parser.

CREATE FUNCTION tearsheet_page(
    trades jsonb,
    initial_balance numeric,
    metrics jsonb,
    title text,
    facts text[],
    config jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    data jsonb := fx.tearsheet_data(trades, initial_balance);
    heading text := coalesce(nullif(btrim(title), ''), 'Backtest');
    header text;
BEGIN
    SELECT string_agg(format('<div><dt>%s</dt><dd>%s</dd></div>', f.label, f.value), '' ORDER BY f.place)
      INTO header
      FROM (SELECT n AS place, fx.html_escape(facts[n][1]) AS label, fx.html_clip(facts[n][2], 200) AS value
              FROM generate_series(1, coalesce(array_length(facts, 1), 0)) AS n
             UNION ALL
            SELECT f.*
              FROM (VALUES
                  (101, 'Trades (UTC)', CASE WHEN metrics ->> 'firstTradeAt' IS NOT NULL
                      THEN concat_ws(' to ', fx.html_metric(metrics, 'firstTradeAt', 'time'),
                                     fx.html_metric(metrics, 'lastTradeAt', 'time')) END),
                  (102, 'Starting balance', fx.html_money(initial_balance)),
                  (103, 'Commission, swap', concat_ws(', ', fx.html_metric(metrics, 'totalCommission', 'money'),
                                                      fx.html_metric(metrics, 'totalSwap', 'money'))),
                  (104, 'Days a year', fx.html_metric(metrics, 'periodsPerYear', 'text')),
                  (105, 'Definitions', 'version ' || fx.html_metric(metrics, 'definitions', 'text')))
                  AS f (place, label, value)) AS f
     WHERE f.value IS NOT NULL;

    RETURN concat(
        E'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>',
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
        '<title>', fx.html_escape(left(heading, 200)), E'</title>\n<style>', fx.tearsheet_style(), E'</style></head>\n<body>\n',
        '<header><p class="kind">Backtest tear-sheet</p><h1>', fx.html_clip(heading, 200), '</h1><dl class="facts">', header, E'</dl></header>\n<main>\n',
        fx.tearsheet_headline(metrics),
        '<div class="cards">',
        fx.tearsheet_curve(data),
        fx.tearsheet_months(data),
        fx.tearsheet_years(data),
        fx.tearsheet_histogram(data, metrics),
        fx.tearsheet_groups(data, metrics),
        fx.tearsheet_drawdowns(data),
        fx.tearsheet_trades(data),
        fx.tearsheet_metrics(metrics),
        fx.html_section('parameters', 'wide', 'Parameters',
            CASE WHEN config IS NULL OR config = '{}' THEN '<p class="empty">None recorded.</p>'
                 ELSE format('<pre>%s</pre>', fx.html_clip(jsonb_pretty(config), 12000)) END),
        fx.tearsheet_definitions(),
        E'</div></main>\n</body></html>\n');
END
$$;

COMMENT ON FUNCTION tearsheet_page(jsonb, numeric, jsonb, text, text[], jsonb)
    IS 'the page of fx.tearsheet from trades, their metrics, a title, further facts for its head as pairs of label and value (a NULL value is left out), and the configuration; NULL facts or configuration are left out';

CREATE FUNCTION tearsheet(trades jsonb, initial_balance numeric, title text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT fx.tearsheet_page(trades, initial_balance, fx.backtest_metrics(trades, initial_balance), title, NULL, NULL)
$$;

COMMENT ON FUNCTION tearsheet(jsonb, numeric, text)
    IS 'report of trades as one self-contained HTML page (UTF-8, below 300 kB for any number of trades): key figures, equity, drawdowns, months, distribution, symbols, hours, costs, best and worst trades, all metrics; money in account currency, rates in percent, times in UTC, hours in New York; NULL for NULL; errors: those of fx.backtest_metrics';

CREATE FUNCTION tearsheet(backtest_id uuid)
RETURNS text
LANGUAGE plpgsql
STABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    run record;
    balance numeric;
    metrics jsonb;
BEGIN
    SELECT b.name, b.status, coalesce(b.trades, '[]') AS trades, coalesce(b.config, '{}') AS config,
           b.completed_at, s.name AS strategy, s.version, s.type,
           coalesce(b.config ->> 'accountCurrency', u.preferences ->> 'accountCurrency') AS currency
      INTO run
      FROM fx.backtests b
      LEFT JOIN fx.strategies s ON s.id = b.strategy_id
      LEFT JOIN fx.users u ON u.id = b.user_id
     WHERE b.id = backtest_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'backtest "%" does not exist', backtest_id
            USING ERRCODE = 'no_data_found';
    END IF;
    IF run.status IS DISTINCT FROM 'completed' THEN
        RAISE EXCEPTION 'backtest "%" is not completed', backtest_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Its status is "%s".', coalesce(run.status, ''));
    END IF;

    metrics := fx.configured_metrics(run.trades, run.config);
    balance := (metrics ->> 'initialBalance')::numeric;

    RETURN fx.tearsheet_page(
        run.trades, balance, metrics, run.name,
        ARRAY[['Strategy', run.strategy], ['Version', run.version::text], ['Account currency', run.currency],
              ['Period', nullif(concat_ws(' to ', coalesce(to_char(fx.config_date(run.config, 'startDate'), 'YYYY-MM-DD'), 'first trade'),
                                         coalesce(to_char(fx.config_date(run.config, 'endDate'), 'YYYY-MM-DD'), 'last trade')),
                                'first trade to last trade')],
              ['Completed (UTC)', to_char(run.completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')]],
        run.config);
END
$$;

COMMENT ON FUNCTION tearsheet(uuid)
    IS 'report of a completed backtest as one self-contained HTML page: that of fx.tearsheet(trades, initial_balance, title) with strategy, version, period and parameters; initial balance, risk-free rate, days a year and period from its config as in fx.complete_backtest; NULL for NULL; errors: P0002 no such backtest, 55000 not completed, 22023 bad config, those of fx.backtest_metrics';
