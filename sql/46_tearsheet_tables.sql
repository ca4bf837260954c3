
-- tear-sheet: groups and lists

-- A bar from zero, in a cell; low and high are the ends of all bars of a table.
CREATE FUNCTION html_bar(value numeric, low numeric, high numeric)
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('<svg class="bar" viewBox="0 0 200 10" preserveAspectRatio="none" aria-hidden="true">',
                  format('<rect class="%s" x="%s" y="0" width="%s" height="10"/><path class="zero" d="M%s 0V10"/></svg>',
                         CASE WHEN value < 0 THEN 'loss' ELSE 'gain' END,
                         round((least(value, 0) - s.low) * 200 / s.span, 1),
                         round(abs(value) * 200 / s.span, 1), round(-s.low * 200 / s.span, 1)))
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
    SELECT fx.html_table('groups',
               ARRAY[head, 'Trades', 'Net profit', '<span class="hidden">Net profit as a bar</span>',
                     'Win rate, %', 'Profit factor', 'Mean trade'],
               string_agg(fx.html_row(ARRAY[
                   CASE WHEN g.symbols > 1 THEN fx.html_number(g.symbols, 0) || ' others'
                        ELSE coalesce(fx.html_clip(g.name, 24), '<em>not stated</em>') END,
                   fx.html_number(g.trade_count, 0), fx.html_data(g.net_profit, fx.html_money(g.net_profit)),
                   fx.html_bar(g.net_profit, g.low, g.high), fx.html_percent(g.win_rate, 1),
                   fx.html_number(g.profit_factor), fx.html_money(g.expectancy)]), E'\n' ORDER BY g.place))
      FROM (SELECT g.*, min(net_profit) OVER () AS low, max(net_profit) OVER () AS high
              FROM ROWS FROM (jsonb_to_recordset(groups)
                       AS (name text, symbols numeric, trade_count numeric, net_profit numeric,
                           win_rate numeric, profit_factor numeric, expectancy numeric))
                   WITH ORDINALITY AS g (name, symbols, trade_count, net_profit, win_rate, profit_factor,
                                         expectancy, place)) AS g
$$;

COMMENT ON FUNCTION html_groups(jsonb, text)
    IS 'a table of groups of trades with bars and counts, as HTML; head names the groups; NULL for no group';

CREATE FUNCTION tearsheet_hours(data jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH cell AS (
        SELECT c.*, max(abs(net)) OVER () AS largest
          FROM jsonb_to_recordset(data -> 'hours') AS c (day integer, hour integer, trades bigint, net numeric)
    ), day AS (
        SELECT w.day, w.name, sum(c.trades) AS trades, sum(c.net) AS net,
               string_agg(CASE WHEN c.trades IS NULL THEN '<td class="z"></td>'
                               ELSE format('<td class="%s">%s<small>%s</small></td>',
                                           fx.heat_class(c.net, c.largest), fx.html_short(c.net), c.trades)
                          END, '' ORDER BY h.hour) AS cells
          FROM unnest(ARRAY['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun']) WITH ORDINALITY AS w (name, day)
         CROSS JOIN generate_series(0, 23) AS h (hour)
          LEFT JOIN cell c ON c.day = w.day AND c.hour = h.hour
         GROUP BY w.day, w.name
        HAVING sum(c.trades) > 0
    )
    SELECT fx.html_table('heat hours',
               ARRAY['New York'] || ARRAY(SELECT to_char(h, 'FM00') FROM generate_series(0, 23) AS h ORDER BY h) || ARRAY['Day'],
               string_agg(format('<tr><th scope="row">%s</th>%s<td class="total">%s<small>%s</small></td></tr>',
                                 d.name, d.cells, fx.html_short(d.net), d.trades), E'\n' ORDER BY d.day))
      FROM day d
$$;

COMMENT ON FUNCTION tearsheet_hours(jsonb)
    IS 'heat-map by weekday and hour in New York of a tear-sheet as HTML, from fx.tearsheet_data; NULL where trades have no times, and for NULL';

CREATE FUNCTION tearsheet_costs(metrics jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH total AS (
        SELECT m.*
          FROM jsonb_to_record(metrics)
                   AS m ("netProfit" numeric, "totalCommission" numeric, "totalSwap" numeric, "totalTrades" numeric)
    ), part AS (
        -- from what the market gave to what was kept
        SELECT p.*, min(value) OVER () AS low, max(value) OVER () AS high, nullif(t."totalTrades", 0) AS trades
          FROM total t,
               LATERAL (VALUES
                   (1, 'Profit before costs', "netProfit" + "totalCommission" - "totalSwap"),
                   (2, 'Commission', -"totalCommission"),
                   (3, 'Swap', "totalSwap"),
                   (4, 'Net profit', "netProfit")) AS p (place, label, value)
    )
    SELECT fx.html_table('groups costs',
               ARRAY['Part', 'Amount', '<span class="hidden">Amount as a bar</span>', 'A trade'],
               string_agg(fx.html_row(ARRAY[label, fx.html_data(value, fx.html_money(value)), fx.html_bar(value, low, high),
                                            fx.html_money(round(value / trades, 8))]), E'\n' ORDER BY place))
      FROM part
$$;

COMMENT ON FUNCTION tearsheet_costs(jsonb)
    IS 'the way from profit before costs to net profit as a table in HTML, from fx.backtest_metrics; NULL for NULL';

CREATE FUNCTION tearsheet_groups(data jsonb, metrics jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat(
        fx.html_section('symbols', 'wide', 'By symbol', coalesce(fx.html_groups(data -> 'symbols', 'Symbol'), n.none)),
        fx.html_section('hours', 'wide', 'By weekday and hour of opening', coalesce(
            concat('<p class="note">Net profit, and below it the number of trades; New York time. ',
                   'A trade without a time of opening counts at its closing.</p>', E'\n')
                || fx.tearsheet_hours(data),
            CASE WHEN data ->> 'trades' = '0' THEN n.none
                 ELSE '<p class="empty">The trades have no times, so there are no hours to show.</p>' END)),
        fx.html_section('sides', '', 'Long and short', coalesce(fx.html_groups(data -> 'sides', 'Side'), n.none)),
        fx.html_section('costs', '', 'Costs', fx.tearsheet_costs(metrics)))
      FROM (SELECT '<p class="empty">No trades.</p>' AS none) AS n
$$;

COMMENT ON FUNCTION tearsheet_groups(jsonb, jsonb)
    IS 'profit by symbol, weekday and hour, side, and the costs, of a tear-sheet as HTML, from fx.tearsheet_data and fx.backtest_metrics; NULL for NULL';

CREATE FUNCTION tearsheet_drawdowns(data jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    WITH episode AS (
        SELECT d.*
          FROM ROWS FROM (jsonb_to_recordset(data -> 'drawdowns')
                   AS (peak timestamptz, trough timestamptz, recovery timestamptz, started boolean,
                       peak_seq integer, trough_seq integer, recovery_seq integer, last_seq integer,
                       depth numeric, fraction numeric, seconds numeric))
               WITH ORDINALITY AS d (peak, trough, recovery, started, peak_seq, trough_seq, recovery_seq,
                                     last_seq, depth, fraction, seconds, place)
    )
    SELECT fx.html_section('drawdowns', 'wide', 'Ten worst drawdowns', coalesce(
               fx.html_table('listed',
                   ARRAY['#', CASE WHEN max(trough) IS NULL THEN 'Peak' ELSE 'Peak (UTC)' END, 'Trough', 'Recovery',
                         'Depth, %', 'Depth', 'Length', 'Trades'],
                   string_agg(fx.html_row(ARRAY[
                       place::text,
                       CASE WHEN peak IS NOT NULL THEN fx.html_time(peak) || CASE WHEN started THEN ' (start)' ELSE '' END
                            WHEN started THEN 'start' ELSE 'no. ' || peak_seq END,
                       CASE WHEN trough IS NOT NULL THEN fx.html_time(trough) ELSE 'no. ' || trough_seq END,
                       CASE WHEN recovery IS NOT NULL THEN fx.html_time(recovery)
                            ELSE coalesce('no. ' || recovery_seq, 'open') END,
                       fx.html_percent(fraction), fx.html_data(depth, fx.html_money(depth)),
                       fx.html_duration(seconds), fx.html_number(last_seq - peak_seq, 0)]), E'\n' ORDER BY place)),
               '<p class="empty">The equity never fell below its peak.</p>'))
      FROM episode
$$;

COMMENT ON FUNCTION tearsheet_drawdowns(jsonb)
    IS 'the worst drawdowns of a tear-sheet as HTML, from fx.tearsheet_data; NULL for NULL';

CREATE FUNCTION tearsheet_trades(data jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    WITH trade AS (
        SELECT t.*
          FROM jsonb_to_recordset(data -> 'listed')
                   AS t (list text, place integer, seq integer, symbol text, side text, quantity text,
                         closed timestamptz, commission numeric, swap numeric, net numeric)
    ), list AS (
        SELECT l.place, l.list, fx.html_table('listed',
                   ARRAY['#', CASE WHEN max(t.closed) IS NULL THEN 'Trade' ELSE 'Closed (UTC)' END, 'Symbol', 'Side',
                         'Quantity', 'Commission', 'Swap', 'Net profit'],
                   string_agg(fx.html_row(ARRAY[
                       t.place::text, CASE WHEN t.closed IS NOT NULL THEN fx.html_time(t.closed) ELSE 'no. ' || t.seq END,
                       coalesce(fx.html_clip(t.symbol, 24), '&#8211;'), t.side,
                       coalesce(fx.html_clip(t.quantity, 24), '&#8211;'), fx.html_money(t.commission),
                       fx.html_money(t.swap), fx.html_data(t.net, fx.html_money(t.net))]), E'\n' ORDER BY t.place)) AS html
          FROM (VALUES (1, 'best'), (2, 'worst')) AS l (place, list)
          LEFT JOIN trade t USING (list)
         GROUP BY l.place, l.list
    )
    SELECT string_agg(fx.html_section(list, 'wide', format('Ten %s trades', list),
                                      CASE WHEN data ->> 'trades' = '0' THEN '<p class="empty">No trades.</p>' ELSE html END),
                      '' ORDER BY place)
      FROM list
$$;

COMMENT ON FUNCTION tearsheet_trades(jsonb)
    IS 'the best and worst trades of a tear-sheet as HTML, from fx.tearsheet_data; NULL for NULL';
