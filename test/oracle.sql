--
-- Equity curves and metrics in plain SQL: slow, in exact numerics where there
-- is money and in a hundred decimals elsewhere, written from the definitions and
-- sharing nothing with the C.  Included by tests.
--
CREATE SCHEMA oracle;

-- times one: a numeric division has no fewer decimals than its arguments
CREATE FUNCTION oracle.one() RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT 1::numeric(101, 100)
$$;

CREATE FUNCTION oracle.fx_day(at timestamptz) RETURNS date LANGUAGE sql AS $$
    SELECT ((at AT TIME ZONE 'America/New_York') + interval '7 hours')::date
$$;

-- a time without offset is UTC, whatever the session's zone
CREATE FUNCTION oracle.utc(at text) RETURNS timestamptz LANGUAGE sql SET timezone = 'UTC' AS $$
    SELECT at::timestamptz
$$;

CREATE FUNCTION oracle.trades(trades jsonb)
RETURNS TABLE (i bigint, net numeric, commission numeric, swap numeric,
               opened timestamptz, closed timestamptz, held boolean) LANGUAGE sql AS $$
    WITH field AS (
        SELECT n, round((t ->> 'profit')::numeric, 8) AS profit,
               coalesce(round((t ->> 'commission')::numeric, 8), 0) AS commission,
               coalesce(round((t ->> 'swap')::numeric, 8), 0) AS swap,
               oracle.utc(coalesce(t ->> 'executed_at', t ->> 'executedAt')) AS executed,
               oracle.utc(coalesce(t ->> 'closed_at', t ->> 'closedAt')) AS closed
          FROM jsonb_array_elements(trades) WITH ORDINALITY AS e (t, n)
    )
    SELECT row_number() OVER (ORDER BY coalesce(closed, executed), n),
           profit - commission + swap, commission, swap,
           coalesce(executed, closed), coalesce(closed, executed),
           executed IS NOT NULL AND closed IS NOT NULL
      FROM field
$$;

CREATE FUNCTION oracle.points(trades jsonb, balance numeric)
RETURNS TABLE (i bigint, closed timestamptz, net numeric, equity numeric, peak numeric,
               drawdown numeric, fraction numeric) LANGUAGE sql AS $$
    WITH point AS (
        SELECT 0::bigint AS i, NULL::timestamptz AS closed, NULL::numeric AS net
         UNION ALL
        SELECT t.i, t.closed, t.net FROM oracle.trades(trades) t
    ), cumulated AS (
        SELECT p.*, round(balance, 8) + coalesce(sum(p.net) OVER (ORDER BY p.i), 0) AS equity FROM point p
    ), peaked AS (
        SELECT c.*, max(c.equity) OVER (ORDER BY c.i) AS peak FROM cumulated c
    )
    SELECT k.i, k.closed, k.net, k.equity, k.peak, k.peak - k.equity,
           (k.peak - k.equity) * oracle.one() / k.peak
      FROM peaked k
$$;

CREATE FUNCTION oracle.curve(trades jsonb, balance numeric) RETURNS jsonb LANGUAGE sql SET timezone = 'UTC' AS $$
    SELECT jsonb_agg(jsonb_build_object(
               'timestamp', closed, 'equity', trim_scale(equity), 'drawdown', trim_scale(drawdown),
               'drawdownFraction', fraction::float8) ORDER BY i)
      FROM oracle.points(trades, balance)
$$;

CREATE FUNCTION oracle.returns(trades jsonb, balance numeric, first date, last date)
RETURNS TABLE (day date, r numeric, fraction numeric, possible boolean) LANGUAGE sql AS $$
    WITH earned AS (
        SELECT oracle.fx_day(t.closed) AS day, sum(t.net) AS net
          FROM oracle.trades(trades) t GROUP BY 1
    ), calendar AS (
        SELECT d::date AS day, round(balance, 8) + sum(coalesce(e.net, 0)) OVER (ORDER BY d) AS equity
          FROM generate_series(first::timestamp, last::timestamp, '1 day') AS d
          LEFT JOIN earned e ON e.day = d::date
    ), weekday AS (
        SELECT day, equity, lag(equity, 1, round(balance, 8)) OVER (ORDER BY day) AS before,
               greatest(max(equity) OVER (ORDER BY day), round(balance, 8)) AS peak
          FROM calendar WHERE extract(isodow FROM day) < 6
    )
    SELECT day,
           (equity - before) * oracle.one() / nullif(before, 0),
           (peak - equity) * oracle.one() / peak,
           before > 0
      FROM weekday
$$;

CREATE FUNCTION oracle.daily_metrics(trades jsonb, balance numeric, rf float8, p float8, first date, last date)
RETURNS jsonb LANGUAGE sql AS $$
    WITH r AS (
        SELECT r.*, row_number() OVER (ORDER BY r.r) AS rank FROM oracle.returns(trades, balance, first, last) r
    ), target AS (
        SELECT power((1 + rf::numeric) * oracle.one(),
                     oracle.one() / p::numeric) - 1 AS t
    ), m AS (
        SELECT count(*)::numeric AS n, avg(r) AS mean, bool_and(possible) AS possible,
               min(r) < max(r) AS spread, stddev_samp(r) AS sd, sum(fraction ^ 2) / count(*) AS ulcer2,
               sum(least(r - t, 0) ^ 2) / count(*) AS below2,
               sum(greatest(r - t, 0)) AS gains, sum(greatest(t - r, 0)) AS shortfalls,
               percentile_cont(0.05) WITHIN GROUP (ORDER BY r::float8) AS q05,
               percentile_cont(0.95) WITHIN GROUP (ORDER BY r::float8) AS q95
          FROM r, target
    ), c AS (
        SELECT avg((r - mean) ^ 2) AS m2, avg((r - mean) ^ 3) AS m3, avg((r - mean) ^ 4) AS m4,
               avg(r) FILTER (WHERE rank <= floor((n - 1) * 0.05) + 1) AS tail
          FROM r, m
    )
    SELECT CASE WHEN possible AND n > 0 THEN jsonb_build_object(
               'volatility', CASE WHEN n > 1 THEN sd * sqrt(p::numeric) END,
               'sharpeRatio', CASE WHEN n > 1 AND spread THEN (mean - t) / sd * sqrt(p::numeric) END,
               'sortinoRatio', (mean - t) / nullif(sqrt(below2), 0) * sqrt(p::numeric),
               'omegaRatio', gains / nullif(shortfalls, 0),
               'ulcerIndex', sqrt(ulcer2),
               'tailRatio', abs(q95) / nullif(abs(q05), 0),
               'valueAtRisk95', q05,
               'conditionalValueAtRisk95', tail,
               'skewness', CASE WHEN n > 2 AND spread THEN
                   sqrt(n * (n - 1)) / (n - 2) * m3 / (m2 * sqrt(m2)) END,
               'excessKurtosis', CASE WHEN n > 3 AND spread THEN
                   (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (m4 / (m2 * m2) - 3) + 6) END)
           ELSE '{"volatility": null, "sharpeRatio": null, "sortinoRatio": null, "omegaRatio": null,
                  "ulcerIndex": null, "tailRatio": null, "valueAtRisk95": null,
                  "conditionalValueAtRisk95": null, "skewness": null, "excessKurtosis": null}' END
      FROM m, c, target
$$;

-- Longest run of trades for which the sign is s.
CREATE FUNCTION oracle.streak(trades jsonb, s integer) RETURNS bigint LANGUAGE sql AS $$
    SELECT coalesce(max(length), 0)
      FROM (SELECT count(*) AS length
              FROM (SELECT i - row_number() OVER (ORDER BY i) AS island
                      FROM oracle.trades(trades) WHERE sign(net) = s) AS g
             GROUP BY island) AS runs
$$;

CREATE FUNCTION oracle.metrics(trades jsonb, balance numeric DEFAULT 10000, rf float8 DEFAULT 0,
                               p float8 DEFAULT 252, first date DEFAULT NULL, last date DEFAULT NULL)
RETURNS jsonb LANGUAGE sql SET timezone = 'UTC' AS $$
    WITH t AS MATERIALIZED (
        SELECT * FROM oracle.trades(trades)
    ), k AS MATERIALIZED (
        SELECT *, max(i) FILTER (WHERE drawdown = 0) OVER (ORDER BY i) AS peak_i
          FROM oracle.points(trades, balance)
    ), s AS (
        SELECT count(*) AS n, count(closed) = count(*) AND count(*) > 0 AS timed,
               coalesce(bool_and(held), false) AS held,
               count(*) FILTER (WHERE net > 0) AS wins, count(*) FILTER (WHERE net < 0) AS losses,
               coalesce(sum(net), 0) AS net,
               coalesce(sum(net) FILTER (WHERE net > 0), 0) AS gross_profit,
               coalesce(sum(net) FILTER (WHERE net < 0), 0) AS gross_loss,
               coalesce(sum(commission), 0) AS commission, coalesce(sum(swap), 0) AS swap,
               max(net) FILTER (WHERE net > 0) AS largest_win, min(net) FILTER (WHERE net < 0) AS largest_loss,
               avg(net) AS mean, stddev_samp(net) AS sd,
               min(opened) AS begin, max(closed) AS finish,
               avg(extract(epoch FROM closed - opened)) AS holding
          FROM t
    ), episode AS (
        SELECT peak_i, max(drawdown) AS depth, max(fraction) AS fraction,
               coalesce((SELECT min(b.i) FROM k b WHERE b.i > k.peak_i AND b.drawdown = 0 AND b.i > min(k.i)),
                        (SELECT max(b.i) FROM k b)) AS until_i,
               (SELECT min(b.i) FROM k b WHERE b.drawdown = 0 AND b.i > min(k.i)) AS recovered_i
          FROM k WHERE drawdown > 0 GROUP BY peak_i
    ), deepest AS (
        SELECT * FROM episode ORDER BY depth DESC, peak_i LIMIT 1
    ), span AS (
        SELECT e.peak_i, e.fraction,
               extract(epoch FROM (SELECT k.closed FROM k WHERE k.i = e.until_i)
                     - coalesce((SELECT k.closed FROM k WHERE k.i = e.peak_i), (SELECT begin FROM s))) AS seconds
          FROM episode e
    ), covered AS (
        SELECT extract(epoch FROM sum(upper(x) - lower(x))) AS seconds
          FROM unnest((SELECT range_agg(tstzrange(opened, closed)) FROM t WHERE held)) AS x
    ), period AS (
        SELECT coalesce($5, oracle.fx_day(begin)) AS first, coalesce($6, oracle.fx_day(finish)) AS last FROM s
    ), growth AS (
        SELECT CASE WHEN NOT timed THEN NULL
                    WHEN balance + net <= 0 THEN -1
                    -- what a double cannot hold is not defined
                    WHEN ln((balance + net) / balance) * 365.25 / (period.last - period.first + 1) > 709.78 THEN NULL
                    ELSE exp(ln((round(balance, 8) + net) * oracle.one() / round(balance, 8))
                             * 365.25 / (period.last - period.first + 1)) - 1 END AS cagr
          FROM s, period
    )
    SELECT CASE WHEN s.timed THEN oracle.daily_metrics($1, $2, $3, $4, period.first, period.last)
                ELSE oracle.daily_metrics('[]', $2, $3, $4, '2000-01-01', '2000-01-01') END
        || jsonb_build_object(
        'totalTrades', n, 'winningTrades', wins, 'losingTrades', losses, 'breakevenTrades', n - wins - losses,
        'netProfit', trim_scale(net), 'grossProfit', trim_scale(gross_profit), 'grossLoss', trim_scale(gross_loss),
        'totalCommission', trim_scale(commission), 'totalSwap', trim_scale(swap),
        'initialBalance', trim_scale(round(balance, 8)), 'finalBalance', trim_scale(round(balance, 8) + net),
        'totalReturn', CASE WHEN n > 0 THEN net / balance END,
        'cagr', (SELECT cagr FROM growth),
        'calmarRatio', (SELECT cagr FROM growth) / (SELECT nullif(max(fraction), 0) FROM k),
        'maxDrawdown', (SELECT trim_scale(max(drawdown)) FROM k),
        'maxDrawdownFraction', CASE WHEN n > 0 THEN (SELECT max(fraction) FROM k) END)
        || jsonb_build_object(
        'maxDrawdownPeakAt', (SELECT k.closed FROM deepest d JOIN k ON k.i = d.peak_i),
        'maxDrawdownTroughAt', (SELECT k.closed FROM deepest d JOIN k ON k.peak_i = d.peak_i AND k.drawdown = d.depth ORDER BY k.i LIMIT 1),
        'maxDrawdownRecoveredAt', (SELECT k.closed FROM deepest d JOIN k ON k.i = d.recovered_i),
        'longestDrawdownSeconds', (SELECT max(seconds) FROM span),
        'averageDrawdownFraction', (SELECT avg(fraction) FROM span),
        'recoveryFactor', net / (SELECT nullif(max(drawdown), 0) FROM k),
        'winRate', wins * oracle.one() / nullif(n, 0),
        'profitFactor', gross_profit / nullif(-gross_loss, 0),
        'payoffRatio', CASE WHEN wins > 0 THEN (gross_profit * losses) / nullif(-gross_loss * wins, 0) END,
        'expectancy', trim_scale(round(net * oracle.one() / nullif(n, 0), 8)),
        'expectancyRatio', net * losses / nullif(-gross_loss * n, 0),
        'averageTrade', trim_scale(round(net * oracle.one() / nullif(n, 0), 8)),
        'averageWin', trim_scale(round(gross_profit * oracle.one() / nullif(wins, 0), 8)),
        'averageLoss', trim_scale(round(gross_loss * oracle.one() / nullif(losses, 0), 8)),
        'largestWin', trim_scale(largest_win), 'largestLoss', trim_scale(largest_loss),
        'maxConsecutiveWins', oracle.streak(trades, 1), 'maxConsecutiveLosses', oracle.streak(trades, -1),
        'sqn', CASE WHEN n > 1 THEN sqrt(n::numeric) * mean / nullif(sd, 0) END,
        'kellyFraction', CASE WHEN wins > 0 AND losses > 0 THEN
            wins::numeric / n - (1 - wins::numeric / n) * (-gross_loss * wins) / (gross_profit * losses) END)
        || jsonb_build_object(
        'averageHoldingSeconds', CASE WHEN held THEN holding END,
        'exposureFraction', CASE WHEN held THEN
            (SELECT seconds FROM covered) / nullif(extract(epoch FROM finish - begin), 0) END,
        'firstTradeAt', begin, 'lastTradeAt', finish,
        'periodsPerYear', p, 'definitions', '1')
      FROM s, period
$$;

-- The keys in which two sets of metrics differ: money to the last digit, the
-- rest by more than 1e-12 of itself.
CREATE FUNCTION oracle.differences(ours jsonb, theirs jsonb)
RETURNS TABLE (key text, ours_value text, theirs_value text) LANGUAGE sql AS $$
    SELECT coalesce(a.key, b.key), a.value #>> '{}', b.value #>> '{}'
      FROM jsonb_each(ours) a FULL JOIN jsonb_each(theirs) b USING (key)
     WHERE NOT coalesce(
           CASE
               WHEN jsonb_typeof(a.value) <> jsonb_typeof(b.value) THEN false
               WHEN jsonb_typeof(a.value) <> 'number' THEN a.value = b.value
               WHEN a.key = ANY ('{netProfit,grossProfit,grossLoss,totalCommission,totalSwap,initialBalance,finalBalance,
                                   maxDrawdown,expectancy,averageTrade,averageWin,averageLoss,largestWin,largestLoss,
                                   totalTrades,winningTrades,losingTrades,breakevenTrades}') THEN a.value = b.value
               ELSE abs(a.value::numeric - b.value::numeric)
                    <= 1e-12 * greatest(abs(a.value::numeric), abs(b.value::numeric))
           END, false)
$$;

-- A backtest of n trades, made from a seed: shape decides what is odd in it.
CREATE FUNCTION oracle.sample(n integer, shape text) RETURNS jsonb LANGUAGE sql AS $$
    WITH raw AS (
        SELECT i,
               CASE shape
                   WHEN 'large' THEN round(((random() - 0.49) * 2e9)::numeric, 8)
                   WHEN 'javascript' THEN ((random() - 0.48) * 100)::numeric + (random() / 1e9)::numeric
                   WHEN 'losing' THEN round(((random() - 0.55) * 3000)::numeric, 2)
                   ELSE round(((random() - 0.48) * 200)::numeric, (random() * 4)::integer)
               END * CASE WHEN random() < 0.05 THEN 0 ELSE 1 END AS profit,
               timestamptz '2023-02-24 12:00+00'
                   + CASE shape WHEN 'unordered' THEN random() * interval '90 days'
                                WHEN 'equal' THEN floor(i / 3) * interval '3 hours'
                                WHEN 'shuffled' THEN floor(random() * n / 3) * interval '5 hours'
                                WHEN 'past' THEN i * interval '11 hours' - interval '25 years'
                                WHEN 'idle' THEN i * i * interval '7 hours'
                                ELSE i * interval '4 hours 7.5 seconds' END AS closed,
               random() * interval '20 hours' AS held
          FROM generate_series(1, n) AS i
    )
    SELECT coalesce(jsonb_agg(
               CASE shape
                   WHEN 'untimed' THEN jsonb_build_object('profit', profit)
                   WHEN 'strings' THEN jsonb_build_object('profit', profit::text, 'closedAt',
                        to_char(closed AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), 'junk', jsonb_build_array(i, '{}'))
                   WHEN 'executed' THEN jsonb_build_object('profit', profit, 'executed_at', closed, 'swap', -0.01)
                   ELSE jsonb_build_object('profit', profit, 'commission', 0.35, 'swap', round((random() - 0.7)::numeric, 3),
                        'executedAt', closed - held, 'closedAt', closed, 'symbol', 'EURUSD', 'quantity', 1000)
               END ORDER BY i), '[]')
      FROM raw
$$;
