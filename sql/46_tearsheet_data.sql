
-- tear-sheet: the figures of a page
--
-- The trades are expanded once; what comes out is small for any number of them.

CREATE FUNCTION trade_order(
    trades jsonb,
    OUT seq integer,
    OUT item integer,
    OUT opened_at timestamptz,
    OUT closed_at timestamptz)
RETURNS SETOF record
LANGUAGE C
IMMUTABLE
STRICT
PARALLEL SAFE
ROWS 1000
AS 'MODULE_PATHNAME', 'fx_trade_order';

COMMENT ON FUNCTION trade_order(jsonb)
    IS 'the trades of a backtest in the order of fx.equity_points: seq from 1, item the place in the array from 1, opened_at the closing time where only that is given; times NULL where no trade has one; no row for NULL; errors as fx.equity_points';

-- A trade whose type says neither counts as neither long nor short.
CREATE FUNCTION tearsheet_data(trades jsonb, initial_balance numeric)
RETURNS jsonb
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET datestyle = 'ISO, YMD'
SET extra_float_digits = 1
SET jit = off
SET work_mem = '64MB'
AS $$
WITH point AS MATERIALIZED (
    SELECT * FROM fx.equity_points(trades, initial_balance)
), trade AS MATERIALIZED (
    SELECT o.seq, o.opened_at, o.closed_at, p.net_profit AS net, r.symbol, r.quantity,
           CASE WHEN lower(r.type) IN ('buy', 'long') THEN 'long'
                WHEN lower(r.type) IN ('sell', 'short') THEN 'short'
                ELSE 'not stated' END AS side,
           round(coalesce(r.commission, 0), 8) AS commission, round(coalesce(r.swap, 0), 8) AS swap
      FROM fx.trade_order(trades) o
      JOIN point p USING (seq)
      JOIN ROWS FROM (jsonb_to_recordset(trades)
               AS (symbol text, type text, quantity text, commission numeric, swap numeric))
           WITH ORDINALITY AS r (symbol, type, quantity, commission, swap, item) ON r.item = o.item
), span AS MATERIALIZED (
    -- where all times are equal the x axis is that of an untimed curve
    SELECT count(*) AS trades, min(opened_at) AS since, max(closed_at) AS until,
           coalesce(extract(epoch FROM max(closed_at) - min(opened_at)) > 0, false) AS timed
      FROM trade
), column_of AS (
    SELECT p.seq, p.equity, p.drawdown_fraction,
           CASE WHEN NOT s.timed THEN p.seq::float8 / greatest(s.trades, 1)
                WHEN p.seq = 0 THEN 0
                ELSE extract(epoch FROM p.closed_at - s.since)::float8
                     / extract(epoch FROM s.until - s.since)::float8 END AS x
      FROM point p, span s
), pixel AS MATERIALIZED (
    -- extremes of every pixel column keep the shape of a curve of any length
    SELECT floor(x * 900) AS px, min(seq) AS first, max(seq) AS last,
           min(equity) AS low, max(equity) AS high,
           min(drawdown_fraction) AS shallow, max(drawdown_fraction) AS deep
      FROM column_of
     GROUP BY 1
), curve AS (
    SELECT jsonb_agg(jsonb_build_object(
               'x', round((px / 0.9)::numeric, 1), 'seq', l.seq, 'at', l.closed_at,
               'first', f.equity, 'low', c.low, 'high', c.high, 'last', l.equity,
               'shallow', c.shallow, 'deep', c.deep, 'drawdown', l.drawdown,
               'fraction', l.drawdown_fraction) ORDER BY c.px) AS points
      FROM pixel c
      JOIN point f ON f.seq = c.first
      JOIN point l ON l.seq = c.last
), episode AS (
    -- a point without drawdown is a peak, and begins an episode
    SELECT seq, closed_at, peak, drawdown, drawdown_fraction AS fraction,
           count(*) FILTER (WHERE drawdown = 0) OVER (ORDER BY seq) AS n
      FROM point
), worst AS (
    SELECT n, min(seq) AS peak_seq, max(seq) + 1 AS end_seq, max(fraction) AS fraction,
           max(drawdown) AS depth
      FROM episode
     GROUP BY n
    HAVING max(drawdown) > 0
     ORDER BY max(fraction) DESC, min(seq)
     LIMIT 10
), drawdowns AS (
    SELECT jsonb_agg(jsonb_build_object(
               'depth', w.depth, 'fraction', w.fraction,
               'peak_seq', w.peak_seq, 'trough_seq', t.seq, 'recovery_seq', r.seq,
               'last_seq', coalesce(r.seq, s.trades),
               'peak', coalesce(p.closed_at, s.since), 'trough', t.closed_at,
               'recovery', r.closed_at, 'started', w.peak_seq = 0,
               'seconds', extract(epoch FROM coalesce(r.closed_at, s.until)
                                             - coalesce(p.closed_at, s.since)),
               'x1', xp.x, 'x2', coalesce(xr.x, 1)) ORDER BY w.fraction DESC, w.peak_seq) AS rows
      FROM worst w
     CROSS JOIN span s
      JOIN point p ON p.seq = w.peak_seq
      JOIN column_of xp ON xp.seq = w.peak_seq
      JOIN LATERAL (SELECT e.seq, e.closed_at FROM episode e
                     WHERE e.n = w.n AND e.drawdown = w.depth ORDER BY e.seq LIMIT 1) t ON true
      LEFT JOIN point r ON r.seq = w.end_seq
      LEFT JOIN column_of xr ON xr.seq = w.end_seq
), month_end AS (
    SELECT date_trunc('month', fx.fx_day(closed_at)::timestamp) AS month,
           max(seq) AS last, count(*) AS trades
      FROM trade
     WHERE closed_at IS NOT NULL
     GROUP BY 1
), month AS MATERIALIZED (
    SELECT m.at AS month, coalesce(e.trades, 0) AS trades, max(e.last) OVER (ORDER BY m.at) AS last
      FROM span s
     CROSS JOIN generate_series(
               greatest(date_trunc('month', fx.fx_day(s.since)::timestamp),
                        date_trunc('year', fx.fx_day(s.until)::timestamp) - interval '39 years'),
               date_trunc('month', fx.fx_day(s.until)::timestamp), interval '1 month') AS m (at)
      LEFT JOIN month_end e ON e.month = m.at
), earlier AS (
    -- what the first month shown begins with
    SELECT coalesce(max(p.equity), initial_balance) AS equity, coalesce(max(b.trades), 0) AS trades
      FROM (SELECT max(last) AS last, sum(trades) AS trades FROM month_end
             WHERE month < (SELECT min(month) FROM month)) AS b
      JOIN point p ON p.seq = b.last
), monthly AS (
    SELECT m.month, m.trades, coalesce(p.equity, b.equity) AS equity,
           lag(coalesce(p.equity, b.equity), 1, b.equity) OVER (ORDER BY m.month) AS begun
      FROM month m
     CROSS JOIN earlier b
      LEFT JOIN point p ON p.seq = m.last
), yearly AS (
    SELECT extract(year FROM month)::integer AS year, sum(trades) AS trades,
           (array_agg(begun ORDER BY month))[1] AS begun,
           (array_agg(equity ORDER BY month DESC))[1] AS equity,
           jsonb_object_agg(extract(month FROM month)::integer,
               jsonb_build_object('trades', trades, 'net', equity - begun,
                   'return', CASE WHEN begun > 0 THEN round((equity - begun) / begun, 8) END)) AS months
      FROM monthly
     GROUP BY 1
), years AS (
    SELECT jsonb_agg(jsonb_build_object(
               'year', year, 'trades', trades, 'net', equity - begun, 'months', months,
               'return', CASE WHEN begun > 0 THEN round((equity - begun) / begun, 8) END)
               ORDER BY year) AS rows
      FROM yearly
), bounds AS (
    -- single trades far away must not squeeze the others into one bin
    SELECT least(q[1], 0) AS low, greatest(q[2], 0) AS high,
           fx.nice_step(greatest(q[2], 0) - least(q[1], 0), 32) AS width
      FROM (SELECT percentile_disc(ARRAY[0.01, 0.99]) WITHIN GROUP (ORDER BY net) AS q FROM trade) AS p
), bin AS (
    SELECT CASE sign(net)
               WHEN 0 THEN 0
               WHEN 1 THEN least(greatest(ceil(net / width), 1), greatest(ceil(high / width), 1))
               ELSE greatest(least(floor(net / width), -1), least(floor(low / width), -1))
           END::integer AS n,
           count(*) AS trades, min(net) AS low, max(net) AS high
      FROM trade, bounds
     GROUP BY 1
), bins AS (
    SELECT jsonb_agg(jsonb_build_object('n', n, 'trades', trades, 'low', low, 'high', high)
                     ORDER BY n) AS rows
      FROM bin
), symbol_rank AS (
    SELECT symbol, pnl, row_number() OVER (ORDER BY abs(fx.net_profit(pnl)) DESC, symbol COLLATE "C") AS place
      FROM (SELECT symbol, fx.pnl_agg(net) AS pnl FROM trade GROUP BY symbol) AS s
), symbol_row AS (
    SELECT left(symbol, 64) AS symbol, place, 1 AS symbols, pnl FROM symbol_rank WHERE place <= 20
     UNION ALL
    SELECT NULL, 21, count(*), fx.rollup(pnl) FROM symbol_rank WHERE place > 20 HAVING count(*) > 0
), symbols AS (
    SELECT jsonb_agg(to_jsonb(fx.summary(pnl)) || jsonb_build_object(
               'name', symbol, 'symbols', symbols, 'place', place)
               ORDER BY place > 20, fx.net_profit(pnl) DESC, place) AS rows
      FROM symbol_row
), sides AS (
    SELECT jsonb_agg(to_jsonb(fx.summary(pnl)) || jsonb_build_object('name', side) ORDER BY side) AS rows
      FROM (SELECT side, fx.pnl_agg(net) AS pnl FROM trade GROUP BY side) AS s
), hours AS (
    SELECT jsonb_agg(jsonb_build_object('day', day, 'hour', hour, 'trades', n, 'net', net)
                     ORDER BY day, hour) AS rows
      FROM (SELECT extract(isodow FROM local)::integer AS day, extract(hour FROM local)::integer AS hour,
                   count(*) AS n, sum(net) AS net
              FROM (SELECT opened_at AT TIME ZONE 'America/New_York' AS local, net
                      FROM trade WHERE opened_at IS NOT NULL) AS l
             GROUP BY 1, 2) AS h
), best AS (
    SELECT t.*, 'best' AS list, row_number() OVER (ORDER BY net DESC, seq) AS place FROM trade t
     ORDER BY net DESC, seq LIMIT 10
), least_good AS (
    SELECT t.*, 'worst' AS list, row_number() OVER (ORDER BY net, seq) AS place FROM trade t
     ORDER BY net, seq LIMIT 10
), listed AS (
    SELECT jsonb_agg(jsonb_build_object(
               'list', list, 'place', place, 'seq', seq, 'symbol', left(symbol, 64), 'side', side,
               'quantity', left(quantity, 64), 'opened', opened_at, 'closed', closed_at,
               'commission', commission, 'swap', swap, 'net', net) ORDER BY list, place) AS rows
      FROM (SELECT * FROM best UNION ALL SELECT * FROM least_good) AS l
)
SELECT jsonb_build_object(
    'trades', s.trades, 'since', s.since, 'until', s.until, 'timed', s.timed,
    'initial', initial_balance,
    'curve', (SELECT points FROM curve),
    'drawdowns', coalesce((SELECT rows FROM drawdowns), '[]'),
    'years', coalesce((SELECT rows FROM years), '[]'),
    'earlier', (SELECT jsonb_build_object('trades', trades, 'equity', equity) FROM earlier),
    'width', (SELECT width FROM bounds),
    'bins', coalesce((SELECT rows FROM bins), '[]'),
    'symbols', coalesce((SELECT rows FROM symbols), '[]'),
    'sides', coalesce((SELECT rows FROM sides), '[]'),
    'hours', coalesce((SELECT rows FROM hours), '[]'),
    'listed', coalesce((SELECT rows FROM listed), '[]'))
  FROM span s
$$;

COMMENT ON FUNCTION tearsheet_data(jsonb, numeric)
    IS 'the figures of the charts and lists of fx.tearsheet as a JSON object, bounded for any number of trades: curve (at most 901 columns with their extremes), drawdowns, years (the last 40, by FX day), bins, symbols (20 and the rest together), sides, hours (New York), listed trades; money in account currency, rates as fractions, times in UTC; NULL for NULL; errors as fx.equity_points';
