
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
                       CASE WHEN percent
                            THEN fx.html_percent(t.value, greatest(0, scale(trim_scale(width)) - 2)) || '%'
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
    since timestamptz := data ->> 'since';
    until timestamptz := data ->> 'until';
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
                           THEN format('%1$s,%2$s %1$s,%3$s %1$s,%4$s %1$s,%5$s', c.x, y.first, y.low, y.high, y.last)
                           ELSE format('%1$s,%2$s %1$s,%3$s %1$s,%4$s %1$s,%5$s', c.x, y.first, y.high, y.low, y.last)
                      END, ' ' ORDER BY c.x),
           string_agg(CASE WHEN c.deep = c.shallow THEN c.x || ',' || y.deep
                           ELSE concat_ws(' ', c.x || ',' || y.shallow, c.x || ',' || y.deep) END, ' ' ORDER BY c.x),
           (array_agg(c.last ORDER BY c.x DESC))[1]
      INTO equity, losses, final
      FROM jsonb_to_recordset(data -> 'curve')
               AS c (x numeric, first numeric, low numeric, high numeric, last numeric,
                     shallow numeric, deep numeric),
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

    SELECT string_agg(fx.x_label(t.x, t.label), '' ORDER BY t.x),
           string_agg(format('M%s 0V300', t.x), '' ORDER BY t.x)
      INTO x_labels, lines
      FROM (SELECT round(1000 * extract(epoch FROM t.tick - since) / extract(epoch FROM until - since), 1) AS x,
                   t.label
              FROM fx.time_ticks(since, until) AS t
             WHERE timed
             UNION ALL
            SELECT round(1000 * n / trades, 1), fx.html_number(n, 0)
              FROM generate_series(0, trades, greatest(1, fx.nice_step(trades, 8))) AS n
             WHERE NOT timed AND trades > 0) AS t;
    lines := '<path class="grid" d="' || lines || '"/>';

    -- about two dozen points, evenly spread over the axis, and the last
    SELECT string_agg(fx.html_row(ARRAY[
               CASE WHEN c.seq = 0 THEN 'start' WHEN c.at IS NULL THEN 'trade ' || c.seq
                    ELSE fx.html_time(c.at) END,
               fx.html_number(c.seq, 0), fx.html_money(c.last), fx.html_money(c.drawdown),
               fx.html_percent(c.fraction)]), E'\n' ORDER BY c.n)
      INTO rows
      FROM (SELECT c.*, count(*) OVER () AS total
              FROM ROWS FROM (jsonb_to_recordset(data -> 'curve')
                       AS (seq integer, at timestamptz, last numeric, drawdown numeric, fraction numeric))
                   WITH ORDINALITY AS c (seq, at, last, drawdown, fraction, n)) AS c
     WHERE c.n = 1 OR c.n = c.total OR c.n * 24 / c.total <> (c.n - 1) * 24 / c.total;

    RETURN fx.html_section('equity', 'wide', 'Equity', concat(
        '<p class="note">Account balance after each closed trade',
        CASE WHEN NOT timed AND trades > 0 THEN ', by trade number' END,
        '. Dashed: the starting balance. Shaded: the worst drawdowns, numbered as in the list below.</p>', E'\n',
        fx.html_plot(
            format('Equity curve of %s trades, from %s to %s', trades, trim_scale(initial), trim_scale(final)),
            equity_axis,
            concat(lines, shades,
                   format('<path class="start" d="M0 %sH1000"/>',
                          round((equity_axis.high - initial) * 300 / (equity_axis.high - equity_axis.low), 1)),
                   format('<polyline class="line" points="%s"/>', equity)),
            concat(x_labels, marks), 'tall'),
        E'\n<h3>Underwater: distance from the peak</h3>\n',
        fx.html_plot(
            format('Drawdown in percent of the peak so far; deepest %s %%', fx.html_percent(deepest)),
            loss_axis, concat(lines, format('<polygon class="under" points="0,0 %s 1000,0"/>', losses)), x_labels, ''),
        fx.html_details('Table of both charts', fx.html_table('',
            ARRAY[CASE WHEN timed THEN 'Time (UTC)' ELSE 'Point' END, 'Trades so far', 'Equity', 'Drawdown',
                  'Drawdown, % of peak'], rows))));
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
    headings text[] := ARRAY['Year', 'Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec', 'Year'];
    largest numeric;
    returns text;
    money text;
    earlier text := '';
BEGIN
    IF jsonb_array_length(data -> 'years') = 0 THEN
        RETURN fx.html_section('months', 'wide', 'Monthly and annual returns',
            CASE WHEN (data ->> 'trades')::integer = 0 THEN '<p class="empty">No trades.</p>'
                 ELSE '<p class="empty">The trades have no times, so there are no months to show.</p>' END);
    END IF;

    SELECT max(abs((m.value ->> 'return')::numeric)) INTO largest
      FROM jsonb_array_elements(data -> 'years') AS y, jsonb_each(y -> 'months') AS m;

    SELECT string_agg(format('<tr><th scope="row">%s</th>%s<td class="total">%s</td></tr>',
                             y.year, m.returns, fx.html_percent(y.return)), E'\n' ORDER BY y.year),
           string_agg(format('<tr><th scope="row">%s</th>%s<td class="total">%s<small>%s</small></td></tr>',
                             y.year, m.money, fx.html_short(y.net), y.trades), E'\n' ORDER BY y.year)
      INTO returns, money
      FROM jsonb_to_recordset(data -> 'years')
               AS y (year integer, trades bigint, net numeric, return numeric, months jsonb),
           LATERAL (SELECT string_agg(format('<td class="%s">%s</td>', fx.heat_class(c.return, largest),
                                             CASE WHEN c.trades IS NOT NULL
                                                  THEN fx.html_percent(c.return, CASE WHEN abs(c.return) < 1 THEN 1 ELSE 0 END)
                                             END), '' ORDER BY n) AS returns,
                           string_agg(CASE WHEN c.trades IS NULL THEN '<td class="z"></td>'
                                           ELSE format('<td>%s<small>%s</small></td>', fx.html_short(c.net), c.trades)
                                      END, '' ORDER BY n) AS money
                      FROM generate_series(1, 12) AS n
                      LEFT JOIN LATERAL jsonb_to_record(y.months -> n::text)
                               AS c (trades bigint, net numeric, return numeric) ON true) AS m;

    IF (data #>> '{earlier,trades}')::numeric > 0 THEN
        earlier := format('<p class="note">The last 40 years are shown; %s trades before them brought the balance from %s to %s.</p>',
                          fx.html_number((data #>> '{earlier,trades}')::numeric, 0),
                          fx.html_money((data ->> 'initial')::numeric),
                          fx.html_money((data #>> '{earlier,equity}')::numeric));
    END IF;

    RETURN fx.html_section('months', 'wide', 'Monthly returns, %', concat(
        '<p class="note">Of the balance at the start of each month, by FX day (17:00 New York). ',
        'Blue gains, orange losses.</p>', earlier, E'\n', fx.html_table('heat', headings, returns),
        fx.html_details('The same in money, with the number of trades',
                        fx.html_table('heat plain', headings, money))));
END
$$;

COMMENT ON FUNCTION tearsheet_months(jsonb)
    IS 'monthly heat-map of a tear-sheet as HTML, from fx.tearsheet_data; says so where trades have no times; NULL for NULL';

CREATE FUNCTION tearsheet_years(data jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    axis fx.chart_axis;
    bars text;
    x_labels text;
    rows text;
BEGIN
    IF jsonb_array_length(data -> 'years') = 0 THEN
        RETURN '';
    END IF;

    axis := (SELECT fx.value_axis(least(min(y.return), 0), greatest(max(y.return), 0.001), true)
               FROM jsonb_to_recordset(data -> 'years') AS y (return numeric));

    SELECT string_agg(format('<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>',
                             CASE WHEN y.return < 0 THEN 'loss' ELSE 'gain' END, round(y.x - y.width / 2, 1),
                             round((axis.high - greatest(y.return, 0)) * y.unit, 1), round(y.width, 1),
                             greatest(round(abs(y.return) * y.unit, 1), 1)), '' ORDER BY y.year)
               FILTER (WHERE y.return IS NOT NULL),
           string_agg(fx.x_label(round(y.x, 1), y.year::text), '' ORDER BY y.year)
               FILTER (WHERE (y.n - y.total) % ceil(y.total / 12.0) = 0),
           string_agg(fx.html_row(ARRAY[y.year::text, fx.html_number(y.trades, 0), fx.html_money(y.net),
                                        fx.html_percent(y.return)]), E'\n' ORDER BY y.year)
      INTO bars, x_labels, rows
      FROM (SELECT y.*, 1000 * (y.n - 0.5) / y.total AS x, least(120, 700.0 / y.total) AS width,
                   300 / (axis.high - axis.low) AS unit
              FROM (SELECT y.*, row_number() OVER (ORDER BY y.year) AS n, count(*) OVER () AS total
                      FROM jsonb_to_recordset(data -> 'years')
                               AS y (year integer, trades numeric, net numeric, return numeric)) AS y) AS y;

    RETURN fx.html_section('years', '', 'Annual returns, %', concat(
        fx.html_plot('Bars of the return of each year; the table below has the same numbers', axis,
                     concat(bars, format('<path class="zero" d="M0 %sH1000"/>',
                                         round(axis.high * 300 / (axis.high - axis.low), 1))), x_labels, ''),
        fx.html_details('Table of the chart',
                        fx.html_table('', ARRAY['Year', 'Trades', 'Net profit', 'Return, %'], rows))));
END
$$;

COMMENT ON FUNCTION tearsheet_years(jsonb)
    IS 'annual bars of a tear-sheet as HTML, from fx.tearsheet_data; empty where trades have no times; NULL for NULL';

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
        RETURN fx.html_section('histogram', 'wide', 'Distribution of trades', '<p class="empty">No trades.</p>');
    END IF;

    SELECT string_agg(format('<span class="%s" style="flex-grow:%s"></span>', s.class, round(1000 * s.n / total)),
                      '' ORDER BY s.place) FILTER (WHERE s.n > 0),
           string_agg(format('<li><span class="%s"></span>%s <strong>%s</strong> (%s %%)</li>', s.class, s.label,
                             fx.html_number(s.n, 0), fx.html_percent(s.n / total, 1)), '' ORDER BY s.place)
      INTO shares, legend
      FROM (VALUES (1, 'loss', 'losing', (metrics ->> 'losingTrades')::numeric),
                   (2, 'even', 'break-even', (metrics ->> 'breakevenTrades')::numeric),
                   (3, 'gain', 'winning', (metrics ->> 'winningTrades')::numeric)) AS s (place, class, label, n);

    axis := (SELECT fx.value_axis(0, greatest(max(b.trades), 5))
               FROM jsonb_to_recordset(data -> 'bins') AS b (trades numeric));

    -- break-even trades, where there are any, stand between the losses and the gains
    WITH bin AS (
        SELECT b.*, least(min(b.n) OVER (), 0) AS first, greatest(max(b.n) OVER (), 0) AS last,
               max((b.n = 0)::integer) OVER () AS even
          FROM jsonb_to_recordset(data -> 'bins') AS b (n integer, trades numeric, low numeric, high numeric)
    ), bar AS (
        SELECT b.*, 1000.0 / (b.last - b.first + b.even) AS slot, 300 * b.trades / axis.high AS height,
               CASE WHEN b.n > 0 THEN b.n - 1 + b.even ELSE b.n END - b.first AS place
          FROM bin b
    ), edge AS (
        SELECT e.n, greatest(1, (b.last - b.first) / 6) AS every,
               (CASE WHEN e.n > 0 THEN e.n + b.even WHEN e.n = 0 THEN b.even / 2.0 ELSE e.n END - b.first) * b.slot AS x
          FROM (SELECT * FROM bar LIMIT 1) AS b, generate_series(b.first, b.last) AS e (n)
    )
    SELECT (SELECT string_agg(format('<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>',
                                     CASE sign(b.n) WHEN 1 THEN 'gain' WHEN 0 THEN 'even' ELSE 'loss' END,
                                     round((b.place + 0.04) * b.slot, 2), round(300 - b.height, 1),
                                     round(0.92 * b.slot, 2), round(b.height, 1)), '' ORDER BY b.n)
              FROM bar b),
           (SELECT string_agg(fx.x_label(round(e.x, 1), fx.html_short(e.n * width)), '' ORDER BY e.n)
              FROM edge e WHERE e.n % e.every = 0),
           (SELECT string_agg(fx.html_row(ARRAY[
                                  CASE WHEN b.n = 0 THEN 'exactly 0'
                                       ELSE fx.html_money(b.low) || ' to ' || fx.html_money(b.high) END,
                                  b.trades::text, fx.html_percent(b.trades / total)]), E'\n' ORDER BY b.n)
              FROM bar b)
      INTO bars, x_labels, rows;

    RETURN fx.html_section('histogram', CASE WHEN jsonb_array_length(data -> 'years') = 0 THEN 'wide' ELSE '' END,
        'Distribution of trades', concat(
        '<p class="note">Number of trades by net profit; the outermost bars hold everything beyond.</p>', E'\n',
        fx.html_plot(format('Histogram of the net profit of %s trades', total), axis, bars, x_labels, ''),
        '<div class="shares" aria-hidden="true">', shares, '</div><ul class="legend">', legend, '</ul>',
        fx.html_details('Table of the chart',
                        fx.html_table('', ARRAY['Net profit, from to', 'Trades', 'Share, %'], rows))));
END
$$;

COMMENT ON FUNCTION tearsheet_histogram(jsonb, jsonb)
    IS 'histogram of net profits and break-even share of a tear-sheet as HTML, from fx.tearsheet_data and fx.backtest_metrics; NULL for NULL';
