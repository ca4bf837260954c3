
-- tear-sheet: groups, lists, metrics

-- A bar from zero, in a cell; low and high are the ends of all bars of a table.
CREATE FUNCTION html_bar(value numeric, low numeric, high numeric)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('<svg class="bar" viewBox="0 0 200 10" preserveAspectRatio="none" aria-hidden="true"><rect class="%s" x="%s" y="0" width="%s" height="10"/><path class="zero" d="M%s 0V10"/></svg>',
                  CASE WHEN value < 0 THEN 'loss' ELSE 'gain' END,
                  round((least(value, 0) - s.low) * 200 / s.span, 1),
                  round(abs(value) * 200 / s.span, 1), round(-s.low * 200 / s.span, 1))
      FROM (SELECT least(html_bar.low, 0) AS low,
                   coalesce(nullif(greatest(high, 0) - least(html_bar.low, 0), 0), 1) AS span) AS s
$$;

COMMENT ON FUNCTION html_bar(numeric, numeric, numeric)
    IS 'a bar for a value on an axis from low (or zero) to high (or zero), as SVG';

-- Rows of groups of trades, as summaries of fx.pnl with a name.
CREATE FUNCTION html_groups(groups jsonb, head text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat(
        '<div class="scroll"><table class="groups">', E'\n<thead><tr><th scope="col">', head,
        '</th><th scope="col">Trades</th><th scope="col">Net profit</th><th class="bar" scope="col"><span class="hidden">Net profit as a bar</span></th>',
        '<th scope="col">Win rate, %</th><th scope="col">Profit factor</th><th scope="col">Mean trade</th></tr></thead><tbody>', E'\n',
        string_agg(format('<tr><th scope="row">%s</th><td class="count">%s</td><td>%s</td><td class="bar">%s</td><td>%s</td><td>%s</td><td>%s</td></tr>',
                          CASE WHEN g.symbols > 1 THEN format('%s others', fx.html_number(g.symbols, 0))
                               ELSE coalesce(fx.html_clip(g.name, 24), '<em>not stated</em>') END,
                          fx.html_number(g.trade_count, 0), fx.html_data(g.net_profit, fx.html_money(g.net_profit)),
                          fx.html_bar(g.net_profit, g.low, g.high),
                          fx.html_percent(g.win_rate, 1), fx.html_number(g.profit_factor), fx.html_money(g.expectancy)), E'\n' ORDER BY g.place),
        E'\n</tbody></table></div>')
      FROM (SELECT g.*, min(net_profit) OVER () AS low, max(net_profit) OVER () AS high
              FROM ROWS FROM (jsonb_to_recordset(groups)
                       AS (name text, symbols numeric, trade_count numeric, net_profit numeric, win_rate numeric,
                           profit_factor numeric, expectancy numeric))
                   WITH ORDINALITY AS g (name, symbols, trade_count, net_profit, win_rate, profit_factor, expectancy, place)) AS g
$$;

COMMENT ON FUNCTION html_groups(jsonb, text)
    IS 'a table of groups of trades with bars and counts, as HTML; head names the groups; NULL for NULL';

CREATE FUNCTION tearsheet_groups(data jsonb, metrics jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    trades numeric := (data ->> 'trades')::numeric;
    hours text;
    costs text;
    day_table text;
BEGIN
    SELECT string_agg(format('<tr><th scope="row">%s</th>%s<td class="total">%s<small>%s</small></td></tr>', d.name, d.cells,
                             coalesce(fx.html_short(d.net), '&#8211;'), d.trades), E'\n' ORDER BY d.day)
      INTO hours
      FROM (SELECT w.day, w.name, sum(c.trades) AS trades, sum(c.net) AS net,
                   string_agg(CASE WHEN c.trades IS NULL THEN '<td class="z"></td>'
                                   ELSE format('<td class="%s">%s<small>%s</small></td>', fx.heat_class(c.net, c.largest), fx.html_short(c.net), c.trades) END,
                              '' ORDER BY h.hour) AS cells
              FROM unnest(ARRAY['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun']) WITH ORDINALITY AS w (name, day)
             CROSS JOIN generate_series(0, 23) AS h (hour)
              LEFT JOIN (SELECT c.*, max(abs(net)) OVER () AS largest
                           FROM jsonb_to_recordset(data -> 'hours') AS c (day integer, hour integer, trades bigint, net numeric)) AS c
                ON c.day = w.day AND c.hour = h.hour
             GROUP BY w.day, w.name) AS d
     WHERE d.trades > 0;
    SELECT concat('<div class="scroll"><table class="heat hours"><thead><tr><th scope="col">New York</th>',
                  string_agg(format('<th scope="col">%s</th>', to_char(h, 'FM00')), '' ORDER BY h),
                  E'<th scope="col">Day</th></tr></thead><tbody>\n', hours, E'\n</tbody></table></div>')
      INTO day_table
      FROM generate_series(0, 23) AS h;

    -- from what the market gave to what was kept
    SELECT string_agg(format('<tr%s><th scope="row">%s</th><td>%s</td><td class="bar">%s</td><td>%s</td></tr>', CASE WHEN c.place = 4 THEN ' class="sum"' END,
                             c.label, fx.html_data(c.value, fx.html_money(c.value)), fx.html_bar(c.value, c.low, c.high),
                             fx.html_money(round(c.value / nullif(trades, 0), 8))), E'\n' ORDER BY c.place)
      INTO costs
      FROM (SELECT c.*, min(value) OVER () AS low, max(value) OVER () AS high
              FROM (VALUES (1, 'Profit before costs', (metrics ->> 'netProfit')::numeric + (metrics ->> 'totalCommission')::numeric - (metrics ->> 'totalSwap')::numeric),
                           (2, 'Commission', -(metrics ->> 'totalCommission')::numeric),
                           (3, 'Swap', (metrics ->> 'totalSwap')::numeric),
                           (4, 'Net profit', (metrics ->> 'netProfit')::numeric)) AS c (place, label, value)) AS c;

    RETURN concat(
        E'<section class="card wide" id="symbols"><h2>By symbol</h2>\n',
        CASE WHEN trades = 0 THEN '<p class="empty">No trades.</p>' ELSE fx.html_groups(data -> 'symbols', 'Symbol') END, E'</section>\n',
        E'<section class="card wide" id="hours"><h2>By weekday and hour of opening</h2>\n',
        CASE WHEN trades = 0 THEN '<p class="empty">No trades.</p>'
             WHEN hours IS NULL THEN '<p class="empty">The trades have no times, so there are no hours to show.</p>'
             ELSE concat('<p class="note">Net profit, and below it the number of trades; New York time. A trade without a time of opening counts at its closing.</p>', E'\n', day_table) END,
        E'</section>\n<section class="card" id="sides"><h2>Long and short</h2>\n',
        CASE WHEN trades = 0 THEN '<p class="empty">No trades.</p>' ELSE fx.html_groups(data -> 'sides', 'Side') END, E'</section>\n',
        E'<section class="card" id="costs"><h2>Costs</h2>\n<div class="scroll"><table class="groups"><thead><tr><th scope="col">Part</th><th scope="col">Amount</th>',
        '<th class="bar" scope="col"><span class="hidden">Amount as a bar</span></th><th scope="col">A trade</th></tr></thead><tbody>', E'\n', costs,
        E'\n</tbody></table></div></section>\n');
END
$$;

COMMENT ON FUNCTION tearsheet_groups(jsonb, jsonb)
    IS 'profit by symbol, weekday and hour, side, and the costs, of a tear-sheet as HTML, from fx.tearsheet_data and fx.backtest_metrics; NULL for NULL';

CREATE FUNCTION tearsheet_lists(data jsonb)
RETURNS text
LANGUAGE plpgsql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
DECLARE
    timed boolean := data ->> 'since' IS NOT NULL;
    best text;
    worst text;
    drawdowns text;
    head text := concat('<div class="scroll"><table>', E'\n<thead><tr><th scope="col">#</th><th scope="col" class="text">',
                        CASE WHEN timed THEN 'Closed (UTC)' ELSE 'Trade' END,
                        '</th><th scope="col" class="text">Symbol</th><th scope="col" class="text">Side</th><th scope="col">Quantity</th>',
                        '<th scope="col">Commission</th><th scope="col">Swap</th><th scope="col">Net profit</th></tr></thead><tbody>', E'\n');
BEGIN
    SELECT string_agg(r.row, E'\n' ORDER BY r.place) FILTER (WHERE r.list = 'best'),
           string_agg(r.row, E'\n' ORDER BY r.place) FILTER (WHERE r.list = 'worst')
      INTO best, worst
      FROM (SELECT t.list, t.place,
                   format('<tr><th scope="row">%s</th><td class="text">%s</td><td class="text">%s</td><td class="text">%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>',
                          t.place, CASE WHEN timed THEN fx.html_time(t.closed) ELSE 'no. ' || t.seq END,
                          coalesce(fx.html_clip(t.symbol, 24), '&#8211;'), t.side, coalesce(fx.html_clip(t.quantity, 24), '&#8211;'),
                          fx.html_money(t.commission), fx.html_money(t.swap), fx.html_data(t.net, fx.html_money(t.net))) AS row
              FROM jsonb_to_recordset(data -> 'listed')
                       AS t (list text, place integer, seq integer, symbol text, side text, quantity text, closed timestamptz,
                             commission numeric, swap numeric, net numeric)) AS r;

    SELECT string_agg(format('<tr><th scope="row">%s</th><td class="text">%s</td><td class="text">%s</td><td class="text">%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>', d.place,
                             CASE WHEN d.started AND NOT timed THEN 'start' WHEN d.started THEN fx.html_time(d.peak) || ' (start)'
                                  WHEN timed THEN fx.html_time(d.peak) ELSE 'no. ' || d.peak_seq END,
                             CASE WHEN timed THEN fx.html_time(d.trough) ELSE 'no. ' || d.trough_seq END,
                             CASE WHEN d.recovery_seq IS NULL THEN 'open' WHEN timed THEN fx.html_time(d.recovery) ELSE 'no. ' || d.recovery_seq END,
                             fx.html_percent(d.fraction), fx.html_data(d.depth, fx.html_money(d.depth)),
                             fx.html_duration(d.seconds), fx.html_number(d.last_seq - d.peak_seq, 0)), E'\n' ORDER BY d.place)
      INTO drawdowns
      FROM ROWS FROM (jsonb_to_recordset(data -> 'drawdowns')
               AS (peak timestamptz, trough timestamptz, recovery timestamptz, started boolean, peak_seq integer, trough_seq integer,
                   recovery_seq integer, last_seq integer, depth numeric, fraction numeric, seconds numeric))
           WITH ORDINALITY AS d (peak, trough, recovery, started, peak_seq, trough_seq, recovery_seq, last_seq, depth, fraction, seconds, place);

    RETURN concat(
        E'<section class="card wide" id="drawdowns"><h2>Ten worst drawdowns</h2>\n',
        CASE WHEN drawdowns IS NULL THEN '<p class="empty">The equity never fell below its peak.</p>'
             ELSE concat('<div class="scroll"><table>', E'\n<thead><tr><th scope="col">#</th><th scope="col" class="text">Peak', CASE WHEN timed THEN ' (UTC)' END,
                         '</th><th scope="col" class="text">Trough</th><th scope="col" class="text">Recovery</th><th scope="col">Depth, %</th><th scope="col">Depth</th>',
                         '<th scope="col">Length</th><th scope="col">Trades</th></tr></thead><tbody>', E'\n', drawdowns, E'\n</tbody></table></div>') END,
        E'</section>\n<section class="card wide" id="best"><h2>Ten best trades</h2>\n',
        coalesce(head || best || E'\n</tbody></table></div>', '<p class="empty">No trades.</p>'),
        E'</section>\n<section class="card wide" id="worst"><h2>Ten worst trades</h2>\n',
        coalesce(head || worst || E'\n</tbody></table></div>', '<p class="empty">No trades.</p>'), E'</section>\n');
END
$$;

COMMENT ON FUNCTION tearsheet_lists(jsonb)
    IS 'the worst drawdowns and the best and worst trades of a tear-sheet as HTML, from fx.tearsheet_data; NULL for NULL';
