
-- tear-sheet: charts
--
-- A drawing is stretched to the width of the page; labels are text beside it,
-- so that they keep their size on a telephone.

CREATE TYPE chart_axis AS (
    low numeric,
    high numeric,
    grid text,
    labels text
);

COMMENT ON TYPE chart_axis
    IS 'the value axis of a chart: its ends, the grid lines as SVG and the labels as HTML';

CREATE FUNCTION value_axis(low numeric, high numeric, percent boolean DEFAULT false)
RETURNS chart_axis
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH given AS (
        -- a flat curve runs in the middle
        SELECT CASE WHEN high > value_axis.low THEN value_axis.low ELSE value_axis.low - r.room END AS low,
               CASE WHEN high > value_axis.low THEN high ELSE value_axis.low + r.room END AS high
          FROM (SELECT greatest(abs(value_axis.low) / 50, 0.00000001) AS room) AS r
    ), step AS (
        SELECT fx.nice_step(g.high - g.low, 5) AS width, g.low, g.high FROM given g
    ), round_ends AS (
        SELECT width, floor(s.low / width) * width AS bottom, ceil(s.high / width) * width AS top FROM step s
    ), tick AS (
        SELECT value, round(300 * (top - value) / (top - bottom), 1) AS y
          FROM round_ends, generate_series(bottom, top, width) AS value
    )
    SELECT bottom, top,
           (SELECT format('<path class="grid" d="M0 %sH1000"/>',
                          string_agg(t.y::text, 'H1000M0 ' ORDER BY t.y)) FROM tick t),
           (SELECT string_agg(format('<i class="y" style="top:%s%%">%s</i>', round(t.y / 3, 1),
                       CASE WHEN percent THEN fx.html_percent(t.value, greatest(0, scale(trim_scale(width)) - 2)) || '%'
                            WHEN greatest(abs(bottom), abs(top)) < 10000000 AND scale(trim_scale(width)) < 5
                            THEN fx.html_number(t.value, greatest(0, scale(trim_scale(width))))
                            ELSE fx.html_short(t.value) END), '' ORDER BY t.y) FROM tick t)
      FROM round_ends
$$;

COMMENT ON FUNCTION value_axis(numeric, numeric, boolean)
    IS 'a value axis with about five round ticks that covers a range, for a drawing 1000 wide and 300 high; percent: values are fractions, labelled in percent; NULL for NULL';

CREATE FUNCTION html_plot(label text, axis chart_axis, drawing text, x_labels text, class text)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('<div class="plot ', class, '" role="img" aria-label="', fx.html_escape(label), '">',
                  '<svg viewBox="0 0 1000 300" preserveAspectRatio="none" aria-hidden="true">',
                  axis.grid, drawing, '</svg>', axis.labels, x_labels, '</div>')
$$;

COMMENT ON FUNCTION html_plot(text, chart_axis, text, text, text)
    IS 'a chart as HTML: a drawing of 1000 x 300 with its value axis and the labels under it';

CREATE FUNCTION x_label(x numeric, label text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('<i class="x%s" style="left:%s%%">%s</i>',
                  CASE WHEN x < 30 THEN ' first' WHEN x > 970 THEN ' last' ELSE '' END, round(x / 10, 1), label)
$$;

COMMENT ON FUNCTION x_label(numeric, text)
    IS 'a label under a chart at a place from 0 to 1000, as HTML; NULL for NULL';

-- Equity and underwater plot over the same axis, and their table.
CREATE FUNCTION tearsheet_curve(data jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    timed boolean := (data ->> 'timed')::boolean;
    trades numeric := (data ->> 'trades')::numeric;
    initial numeric := (data ->> 'initial')::numeric;
    final numeric;
    lowest numeric;
    highest numeric;
    deepest numeric;
    equity_axis fx.chart_axis;
    loss_axis fx.chart_axis;
    equity text;
    losses text;
    shades text;
    marks text;
    x_labels text;
    lines text;
    rows text;
BEGIN
    SELECT min(c.low), max(c.high), max(c.deep) INTO lowest, highest, deepest
      FROM jsonb_to_recordset(data -> 'curve') AS c (low numeric, high numeric, deep numeric);
    equity_axis := fx.value_axis(lowest, highest);
    loss_axis := fx.value_axis(-coalesce(nullif(deepest, 0), 0.01), 0, true);

    SELECT string_agg(CASE WHEN c.low = c.high THEN c.x || ',' || y.first
                           WHEN c.last >= c.first
                           THEN concat_ws(' ', c.x || ',' || y.first, c.x || ',' || y.low, c.x || ',' || y.high, c.x || ',' || y.last)
                           ELSE concat_ws(' ', c.x || ',' || y.first, c.x || ',' || y.high, c.x || ',' || y.low, c.x || ',' || y.last)
                      END, ' ' ORDER BY c.x),
           string_agg(CASE WHEN c.deep = c.shallow THEN c.x || ',' || y.deep
                           ELSE concat_ws(' ', c.x || ',' || y.shallow, c.x || ',' || y.deep) END, ' ' ORDER BY c.x),
           (array_agg(c.last ORDER BY c.x DESC))[1]
      INTO equity, losses, final
      FROM jsonb_to_recordset(data -> 'curve')
               AS c (x numeric, first numeric, low numeric, high numeric, last numeric, shallow numeric, deep numeric),
           LATERAL (SELECT 300 / (equity_axis.high - equity_axis.low) AS k, -300 / loss_axis.low AS d) AS s,
           LATERAL (SELECT round((equity_axis.high - c.first) * s.k, 1) AS first,
                           round((equity_axis.high - c.low) * s.k, 1) AS low,
                           round((equity_axis.high - c.high) * s.k, 1) AS high,
                           round((equity_axis.high - c.last) * s.k, 1) AS last,
                           round(c.shallow * s.d, 1) AS shallow, round(c.deep * s.d, 1) AS deep) AS y;
    IF trades = 0 THEN
        equity := equity || ' 1000,' || split_part(equity, ',', 2);
    END IF;

    SELECT string_agg(format('<rect class="shade" x="%s" y="0" width="%s" height="300"/>',
                             round(d.x1 * 1000, 1), greatest(round((d.x2 - d.x1) * 1000, 1), 1)), '' ORDER BY d.place),
           string_agg(format('<i class="rank" style="left:%s%%">%s</i>',
                             round((d.x1 + d.x2) * 50, 1), d.place), '' ORDER BY d.place)
      INTO shades, marks
      FROM ROWS FROM (jsonb_to_recordset(data -> 'drawdowns') AS (x1 numeric, x2 numeric))
           WITH ORDINALITY AS d (x1, x2, place)
     WHERE d.place <= 5;

    SELECT string_agg(fx.x_label(t.x, t.label), '' ORDER BY t.x), string_agg(format('M%s 0V300', t.x), '' ORDER BY t.x)
      INTO x_labels, lines
      FROM (SELECT round(1000 * extract(epoch FROM t.tick - (data ->> 'since')::timestamptz)
                         / nullif(extract(epoch FROM (data ->> 'until')::timestamptz - (data ->> 'since')::timestamptz), 0), 1) AS x, t.label
              FROM fx.time_ticks((data ->> 'since')::timestamptz, (data ->> 'until')::timestamptz) AS t
             WHERE timed
             UNION ALL
            SELECT round(1000 * n / trades, 1), fx.html_number(n, 0)
              FROM generate_series(0, trades, greatest(1, fx.nice_step(trades, 8))) AS n
             WHERE NOT timed AND trades > 0) AS t;
    lines := '<path class="grid" d="' || lines || '"/>';

    -- about two dozen points, evenly spread over the axis, and the last
    SELECT string_agg(format('<tr><th scope="row">%s</th><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>',
                             CASE WHEN c.seq = 0 THEN 'start' WHEN c.at IS NULL THEN 'trade ' || c.seq ELSE fx.html_time(c.at) END,
                             fx.html_number(c.seq, 0), fx.html_money(c.last), fx.html_money(c.drawdown),
                             fx.html_percent(c.fraction)), E'\n' ORDER BY c.n)
      INTO rows
      FROM (SELECT c.*, count(*) OVER () AS total
              FROM ROWS FROM (jsonb_to_recordset(data -> 'curve')
                       AS (seq integer, at timestamptz, last numeric, drawdown numeric, fraction numeric))
                   WITH ORDINALITY AS c (seq, at, last, drawdown, fraction, n)) AS c
     WHERE c.n = 1 OR c.n = c.total OR c.n * 24 / c.total <> (c.n - 1) * 24 / c.total;

    RETURN concat(
        E'<section class="card wide" id="equity"><h2>Equity</h2>\n',
        '<p class="note">Account balance after each closed trade', CASE WHEN NOT timed AND trades > 0 THEN ', by trade number' END,
        '. Dashed: the starting balance. Shaded: the worst drawdowns, numbered as in the list below.</p>', E'\n',
        fx.html_plot(format('Equity curve of %s trades, from %s to %s', trades, trim_scale(initial), trim_scale(final)), equity_axis,
            concat(lines, shades, format('<path class="start" d="M0 %1$sH1000"/>',
                       round((equity_axis.high - initial) * 300 / (equity_axis.high - equity_axis.low), 1)),
                   format('<polyline class="line" points="%s"/>', equity)), concat(x_labels, marks), 'tall'),
        E'\n<h3>Underwater: distance from the peak</h3>\n',
        fx.html_plot(format('Drawdown in percent of the peak so far; deepest %s %%', fx.html_percent((data #>> '{drawdowns,0,fraction}')::numeric)), loss_axis,
            concat(lines, format('<polygon class="under" points="0,0 %s 1000,0"/>', losses)), x_labels, ''),
        E'\n<details><summary>Table of both charts</summary><div class="scroll"><table>\n<thead><tr><th scope="col">',
        CASE WHEN timed THEN 'Time (UTC)' ELSE 'Point' END,
        '</th><th scope="col">Trades so far</th><th scope="col">Equity</th><th scope="col">Drawdown</th><th scope="col">Drawdown, % of peak</th></tr></thead><tbody>',
        E'\n', rows, E'\n</tbody></table></div></details></section>\n');
END
$$;

COMMENT ON FUNCTION tearsheet_curve(jsonb)
    IS 'equity curve and underwater plot of a tear-sheet as HTML, from fx.tearsheet_data; NULL for NULL';

CREATE FUNCTION heat_class(value numeric, scale numeric)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN value IS NULL THEN 'z'
        WHEN value = 0 OR scale = 0 THEN 'h0'
        ELSE CASE WHEN value > 0 THEN 'p' ELSE 'n' END
          || least(4, greatest(1, ceil(4 * sqrt((least(1, abs(value) / scale))::float8))))
    END
$$;

COMMENT ON FUNCTION heat_class(numeric, numeric)
    IS 'the CSS class of a cell of a heat-map: p1 to p4 above zero, n1 to n4 below, h0 zero, z for NULL; scale is the largest magnitude';

CREATE FUNCTION tearsheet_months(data jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    largest numeric;
    returns text;
    money text;
    years text;
    axis fx.chart_axis;
    bars text;
    x_labels text;
    head text := '<thead><tr><th scope="col">Year</th>';
    earlier text := '';
BEGIN
    IF jsonb_array_length(data -> 'years') = 0 THEN
        RETURN concat(E'<section class="card wide" id="months"><h2>Monthly and annual returns</h2>\n',
                      CASE WHEN (data ->> 'trades')::integer = 0 THEN '<p class="empty">No trades.</p>'
                           ELSE '<p class="empty">The trades have no times, so there are no months to show.</p>' END, E'</section>\n');
    END IF;

    SELECT head || string_agg(format('<th scope="col">%s</th>', m), '' ORDER BY n) || '<th scope="col">Year</th></tr></thead>'
      INTO head
      FROM unnest(ARRAY['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']) WITH ORDINALITY AS m (m, n);

    SELECT max(abs((m.value ->> 'return')::numeric)) INTO largest
      FROM jsonb_array_elements(data -> 'years') AS y, jsonb_each(y -> 'months') AS m;

    SELECT string_agg(format('<tr><th scope="row">%s</th>%s<td class="total">%s</td></tr>', y ->> 'year', m.returns,
                             fx.html_percent((y ->> 'return')::numeric)), E'\n' ORDER BY (y ->> 'year')::integer),
           string_agg(format('<tr><th scope="row">%s</th>%s<td class="total">%s<small>%s</small></td></tr>', y ->> 'year', m.money,
                             fx.html_short((y ->> 'net')::numeric), y ->> 'trades'), E'\n' ORDER BY (y ->> 'year')::integer),
           string_agg(format('<tr><th scope="row">%s</th><td>%s</td><td>%s</td><td>%s</td></tr>', y ->> 'year',
                             fx.html_number((y ->> 'trades')::numeric, 0), fx.html_money((y ->> 'net')::numeric),
                             fx.html_percent((y ->> 'return')::numeric)), E'\n' ORDER BY (y ->> 'year')::integer)
      INTO returns, money, years
      FROM jsonb_array_elements(data -> 'years') AS y,
           LATERAL (SELECT string_agg(format('<td class="%s">%s</td>', fx.heat_class((c ->> 'return')::numeric, largest),
                                             CASE WHEN c IS NULL THEN '' ELSE fx.html_percent((c ->> 'return')::numeric, CASE WHEN abs((c ->> 'return')::numeric) < 1 THEN 1 ELSE 0 END) END), '' ORDER BY n) AS returns,
                           string_agg(CASE WHEN c IS NULL THEN '<td class="z"></td>'
                                           ELSE format('<td>%s<small>%s</small></td>', fx.html_short((c ->> 'net')::numeric), c ->> 'trades') END, '' ORDER BY n) AS money
                      FROM (SELECT n, y -> 'months' -> n::text AS c FROM generate_series(1, 12) AS n) AS c) AS m;

    IF (data #>> '{earlier,trades}')::numeric > 0 THEN
        earlier := format('<p class="note">The last 40 years are shown; %s trades before them brought the balance from %s to %s.</p>',
                          fx.html_number((data #>> '{earlier,trades}')::numeric, 0), fx.html_money((data ->> 'initial')::numeric),
                          fx.html_money((data #>> '{earlier,equity}')::numeric));
    END IF;

    axis := (SELECT fx.value_axis(least(min((y ->> 'return')::numeric), 0), greatest(max((y ->> 'return')::numeric), 0.001), true)
               FROM jsonb_array_elements(data -> 'years') AS y);
    SELECT string_agg(format('<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>', CASE WHEN v.value < 0 THEN 'loss' ELSE 'gain' END,
                             round(v.x - v.w / 2, 1), round((axis.high - greatest(v.value, 0)) * v.k, 1), round(v.w, 1),
                             greatest(round(abs(v.value) * v.k, 1), 1)), '' ORDER BY v.n) FILTER (WHERE v.value IS NOT NULL),
           string_agg(fx.x_label(round(v.x, 1), v.year), '' ORDER BY v.n) FILTER (WHERE (v.n - v.total) % ceil(v.total / 12.0) = 0)
      INTO bars, x_labels
      FROM (SELECT n, total, 1000 * (n - 0.5) / total AS x, least(120, 700.0 / total) AS w, 300 / (axis.high - axis.low) AS k,
                   (y ->> 'return')::numeric AS value, y ->> 'year' AS year
              FROM (SELECT y, n, count(*) OVER () AS total FROM jsonb_array_elements(data -> 'years') WITH ORDINALITY AS y (y, n)) AS y) AS v;

    RETURN concat(
        E'<section class="card wide" id="months"><h2>Monthly returns, %</h2>\n',
        '<p class="note">Of the balance at the start of each month, by FX day (17:00 New York). Blue gains, orange losses.</p>', earlier,
        E'\n<div class="scroll"><table class="heat">', head, E'<tbody>\n', returns, E'\n</tbody></table></div>\n',
        '<details><summary>The same in money, with the number of trades</summary><div class="scroll"><table class="heat plain">', head,
        E'<tbody>\n', money, E'\n</tbody></table></div></details></section>\n',
        E'<section class="card" id="years"><h2>Annual returns, %</h2>\n',
        fx.html_plot('Bars of the return of each year; the table below has the same numbers', axis,
                     concat(bars, format('<path class="zero" d="M0 %sH1000"/>', round(axis.high * 300 / (axis.high - axis.low), 1))), x_labels, ''),
        E'\n<details><summary>Table of the chart</summary><div class="scroll"><table>\n<thead><tr><th scope="col">Year</th><th scope="col">Trades</th>',
        '<th scope="col">Net profit</th><th scope="col">Return, %</th></tr></thead><tbody>', E'\n', years,
        E'\n</tbody></table></div></details></section>\n');
END
$$;

COMMENT ON FUNCTION tearsheet_months(jsonb)
    IS 'monthly heat-map and annual bars of a tear-sheet as HTML, from fx.tearsheet_data; says so where trades have no times; NULL for NULL';

CREATE FUNCTION tearsheet_histogram(data jsonb, metrics jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    total numeric := (data ->> 'trades')::numeric;
    width numeric := (data ->> 'width')::numeric;
    axis fx.chart_axis;
    bars text;
    x_labels text;
    shares text;
    legend text;
    rows text;
BEGIN
    IF total = 0 THEN
        RETURN concat(E'<section class="card wide" id="histogram"><h2>Distribution of trades</h2>\n', E'<p class="empty">No trades.</p></section>\n');
    END IF;

    SELECT string_agg(format('<span class="%s" style="flex-grow:%s"></span>', s.class, round(1000 * s.n / total)), '' ORDER BY s.place) FILTER (WHERE s.n > 0),
           string_agg(format('<li><span class="%s"></span>%s <strong>%s</strong> (%s %%)</li>', s.class, s.label, fx.html_number(s.n, 0), fx.html_percent(s.n / total, 1)), '' ORDER BY s.place)
      INTO shares, legend
      FROM (VALUES (1, 'loss', 'losing', (metrics ->> 'losingTrades')::numeric), (2, 'even', 'break-even', (metrics ->> 'breakevenTrades')::numeric),
                   (3, 'gain', 'winning', (metrics ->> 'winningTrades')::numeric)) AS s (place, class, label, n);

    axis := (SELECT fx.value_axis(0, greatest(max(b.trades), 5)) FROM jsonb_to_recordset(data -> 'bins') AS b (trades numeric));

    -- break-even trades have a bin of no width between the losses and the gains
    WITH bin AS (
        SELECT b.n, b.trades, b.low, b.high, least(min(b.n) OVER (), 0) AS first, greatest(max(b.n) OVER (), 0) AS last,
               max((b.n = 0)::integer) OVER () AS even
          FROM jsonb_to_recordset(data -> 'bins') AS b (n integer, trades numeric, low numeric, high numeric)
    ), slot AS (
        SELECT b.*, 1000.0 / (b.last - b.first + b.even) AS w,
               (CASE WHEN b.n > 0 THEN b.n - 1 - b.first + b.even ELSE b.n - b.first END) AS place
          FROM bin b
    ), edge AS (
        SELECT n, 1000.0 * CASE WHEN n > 0 THEN n - s.first + s.even WHEN n = 0 THEN -s.first + s.even / 2.0 ELSE n - s.first END
                  / (s.last - s.first + s.even) AS x, greatest(1, (s.last - s.first) / 6) AS every
          FROM (SELECT first, last, even FROM bin LIMIT 1) AS s, generate_series(s.first, s.last) AS n
    )
    SELECT (SELECT string_agg(format('<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>', CASE sign(s.n) WHEN 1 THEN 'gain' WHEN 0 THEN 'even' ELSE 'loss' END,
                                     round(s.place * s.w + s.w * 0.04, 2), round(300 - 300 * s.trades / axis.high, 1), round(s.w * 0.92, 2), round(300 * s.trades / axis.high, 1)), '' ORDER BY s.n) FROM slot s),
           (SELECT string_agg(fx.x_label(round(e.x, 1), fx.html_short(e.n * width)), '' ORDER BY e.n) FROM edge e WHERE e.n % e.every = 0),
           (SELECT string_agg(format('<tr><th scope="row">%s</th><td class="count">%s</td><td>%s</td></tr>',
                                     CASE WHEN s.n = 0 THEN 'exactly 0' ELSE fx.html_money(s.low) || ' to ' || fx.html_money(s.high) END,
                                     s.trades, fx.html_percent(s.trades / total)), E'\n' ORDER BY s.n)
              FROM (SELECT s.n, s.trades, s.low, s.high FROM slot s) AS s)
      INTO bars, x_labels, rows;

    RETURN concat(
        '<section class="card', CASE WHEN jsonb_array_length(data -> 'years') = 0 THEN ' wide' END,
        E'" id="histogram"><h2>Distribution of trades</h2>\n', '<p class="note">Number of trades by net profit; the outermost bars hold everything beyond.</p>', E'\n',
        fx.html_plot(format('Histogram of the net profit of %s trades', total), axis, bars, x_labels, ''),
        '<div class="shares" aria-hidden="true">', shares, '</div><ul class="legend">', legend, '</ul>',
        E'\n<details><summary>Table of the chart</summary><div class="scroll"><table>\n<thead><tr><th scope="col">Net profit in the bin</th><th scope="col">Trades</th>',
        '<th scope="col">Share, %</th></tr></thead><tbody>', E'\n', rows, E'\n</tbody></table></div></details></section>\n');
END
$$;

COMMENT ON FUNCTION tearsheet_histogram(jsonb, jsonb)
    IS 'histogram of net profits and break-even share of a tear-sheet as HTML, from fx.tearsheet_data and fx.backtest_metrics; NULL for NULL';
