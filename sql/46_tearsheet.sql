
-- tear-sheet

CREATE FUNCTION html_escape(value text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT replace(replace(replace(replace(replace(value,
               '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;')
$$;

COMMENT ON FUNCTION html_escape(text)
    IS 'text as content or quoted attribute of HTML; NULL for NULL';

-- Points of a polyline in a box of 960 x 240: at most the lowest and the highest
-- value of each pixel column, so that a long curve keeps its shape.
CREATE FUNCTION svg_points(series float8[])
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH point AS (
        SELECT p.y, p.n, count(*) OVER () AS total,
               min(p.y) OVER () AS low, max(p.y) OVER () AS high
          FROM unnest(series) WITH ORDINALITY AS p (y, n)
    ), kept AS (
        SELECT p.*,
               row_number() OVER (PARTITION BY p.n * 960 / (p.total + 1) ORDER BY p.y, p.n) AS rank_low,
               row_number() OVER (PARTITION BY p.n * 960 / (p.total + 1) ORDER BY p.y DESC, p.n) AS rank_high
          FROM point p
    )
    SELECT string_agg(
               round(((k.n - 1) * 960.0 / greatest(k.total - 1, 1)), 1) || ',' ||
               round((240 - 240 * (k.y - k.low) / coalesce(nullif(k.high - k.low, 0), 1))::numeric, 1),
               ' ' ORDER BY k.n)
      FROM kept k
     WHERE k.rank_low = 1 OR k.rank_high = 1
$$;

COMMENT ON FUNCTION svg_points(float8[])
    IS 'points of an SVG polyline through a series in a box of 960 x 240, lowest value at the bottom; NULL for an empty series';

CREATE FUNCTION tearsheet(backtest_id uuid)
RETURNS text
LANGUAGE plpgsql
STABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    run record;
    head text;
    figures text;
    symbols text;
    months text;
    equity text;
    underwater text;
BEGIN
    SELECT b.*, s.name AS strategy_name, s.version AS strategy_version INTO run
      FROM fx.backtests b JOIN fx.strategies s ON s.id = b.strategy_id
     WHERE b.id = backtest_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'backtest "%" does not exist', backtest_id
            USING ERRCODE = 'no_data_found';
    END IF;
    IF run.status IS DISTINCT FROM 'completed' THEN
        RAISE EXCEPTION 'backtest "%" is not completed', backtest_id
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;

    SELECT string_agg(format('<tr><th scope="row">%s</th><td>%s</td></tr>',
                             fx.html_escape(m.key),
                             coalesce(fx.html_escape(m.value), '&ndash;')), E'\n' ORDER BY m.n)
      INTO figures
      FROM unnest(ARRAY[
               'netProfit', 'totalReturn', 'cagr', 'sharpeRatio', 'sortinoRatio', 'calmarRatio',
               'volatility', 'maxDrawdown', 'maxDrawdownFraction', 'recoveryFactor', 'ulcerIndex',
               'totalTrades', 'winRate', 'profitFactor', 'payoffRatio', 'expectancy', 'sqn',
               'kellyFraction', 'maxConsecutiveWins', 'maxConsecutiveLosses', 'totalCommission',
               'totalSwap', 'initialBalance', 'finalBalance', 'firstTradeAt', 'lastTradeAt',
               'periodsPerYear', 'definitions']) WITH ORDINALITY AS k (key, n)
      CROSS JOIN LATERAL (
           SELECT k.key, k.n,
                  CASE jsonb_typeof(run.performance_metrics -> k.key)
                      WHEN 'number' THEN trim_scale(round((run.performance_metrics ->> k.key)::numeric, 6))::text
                      ELSE left(replace(run.performance_metrics ->> k.key, 'T', ' '), 16)
                  END AS value) m;

    SELECT fx.svg_points(array_agg((p.point ->> 'equity')::float8 ORDER BY p.n)),
           fx.svg_points(array_agg(-(p.point ->> 'drawdownFraction')::float8 ORDER BY p.n))
      INTO equity, underwater
      FROM jsonb_array_elements(run.equity_curve) WITH ORDINALITY AS p (point, n);

    SELECT string_agg(format('<tr><th scope="row">%s</th><td>%s</td><td>%s</td></tr>',
                             m.month, m.trades, m.equity), E'\n' ORDER BY m.month)
      INTO months
      FROM (SELECT to_char((p.point ->> 'timestamp')::timestamptz, 'YYYY-MM') AS month,
                   count(*) AS trades,
                   (array_agg(p.point ->> 'equity' ORDER BY p.n DESC))[1] AS equity
              FROM jsonb_array_elements(run.equity_curve) WITH ORDINALITY AS p (point, n)
             WHERE p.point ->> 'timestamp' IS NOT NULL
             GROUP BY 1) m;

    SELECT string_agg(format('<tr><th scope="row">%s</th><td>%s</td><td>%s</td><td>%s</td></tr>',
                             fx.html_escape(coalesce(s.symbol, '(none)')),
                             fx.trade_count(s.pnl), trim_scale(fx.net_profit(s.pnl)),
                             round(fx.win_rate(s.pnl)::numeric, 4)),
                      E'\n' ORDER BY fx.net_profit(s.pnl) DESC, s.symbol)
      INTO symbols
      FROM (SELECT t.trade ->> 'symbol' AS symbol,
                   fx.pnl_agg((t.trade ->> 'profit')::numeric,
                              (t.trade ->> 'commission')::numeric,
                              (t.trade ->> 'swap')::numeric) AS pnl
              FROM jsonb_array_elements(run.trades) AS t (trade)
             GROUP BY 1) s;

    head := fx.html_escape(format('%s: %s (version %s)', run.name, run.strategy_name, run.strategy_version));
    RETURN concat(
        '<!DOCTYPE html>', E'\n',
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<title>', head, '</title>', E'\n<style>',
        'body{font:15px/1.5 sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem;color:#222}',
        'svg{width:100%;height:auto;background:#f6f6f6}',
        'table{border-collapse:collapse;margin:1rem 0}',
        'th,td{padding:.15rem .6rem;border-bottom:1px solid #ddd;text-align:right;overflow-wrap:anywhere}',
        'th{text-align:left;font-weight:normal}pre{white-space:pre-wrap;overflow-wrap:anywhere}',
        E'</style></head>\n<body>\n',
        '<h1>', head, E'</h1>\n',
        E'<h2>Figures</h2>\n<table>\n', figures, E'\n</table>\n',
        E'<h2>Equity</h2>\n<svg viewBox="0 0 960 240" role="img" aria-label="Equity after each trade">',
        '<polyline fill="none" stroke="#0072b2" stroke-width="1.5" points="', equity, E'"/></svg>\n',
        E'<table>\n<tr><th scope="col">Month (UTC)</th><th scope="col">Trades</th><th scope="col">Equity at its end</th></tr>\n',
        months, E'\n</table>\n',
        E'<h2>Drawdown</h2>\n<svg viewBox="0 0 960 240" role="img" aria-label="Drawdown as a fraction of the peak">',
        '<polyline fill="none" stroke="#d55e00" stroke-width="1.5" points="', underwater, E'"/></svg>\n',
        E'<h2>By symbol</h2>\n<table>\n<tr><th scope="col">Symbol</th><th scope="col">Trades</th>',
        E'<th scope="col">Net profit</th><th scope="col">Win rate</th></tr>\n', symbols, E'\n</table>\n',
        '<h2>Parameters</h2><pre>', fx.html_escape(left(jsonb_pretty(run.config), 20000)), E'</pre>\n',
        E'</body></html>\n');
END
$$;

COMMENT ON FUNCTION tearsheet(uuid)
    IS 'report of a completed backtest as one self-contained HTML page: figures, equity, drawdown, months, symbols and parameters; money in account currency, rates as fractions, times in UTC; errors: P0002 no such backtest, 55000 not completed';
