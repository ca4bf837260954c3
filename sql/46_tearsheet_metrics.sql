
-- tear-sheet: metrics and their definitions

-- What a key of fx.backtest_metrics looks like on a page.
CREATE FUNCTION html_metric(metrics jsonb, key text, shape text)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
    SELECT CASE
        WHEN shape = 'time' THEN fx.html_time((metrics ->> key)::timestamptz)
        WHEN shape = 'text' THEN coalesce(fx.html_clip(metrics ->> key, 24), '&#8211;')
        ELSE fx.html_data((metrics ->> key)::numeric, CASE shape
                 WHEN 'money' THEN fx.html_money((metrics ->> key)::numeric)
                 WHEN 'percent' THEN fx.html_percent((metrics ->> key)::numeric)
                     || CASE WHEN metrics ->> key IS NULL THEN '' ELSE '&#160;%' END
                 WHEN 'count' THEN fx.html_number((metrics ->> key)::numeric, 0)
                 WHEN 'length' THEN fx.html_duration((metrics ->> key)::numeric)
                 ELSE fx.html_number((metrics ->> key)::numeric)
             END)
    END
$$;

COMMENT ON FUNCTION html_metric(jsonb, text, text)
    IS 'a performance metric as HTML; shape is money, percent, count, number, length, time or text; a dash where it is null; NULL for NULL';

CREATE FUNCTION tearsheet_headline(metrics jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('<ul class="kpi" aria-label="Key figures">', E'\n',
                  string_agg(format('<li><span>%s</span><strong>%s</strong><small>%s</small></li>', k.label,
                                    fx.html_metric(metrics, k.key, k.shape), k.more), E'\n' ORDER BY k.place),
                  E'\n</ul>\n')
      FROM (VALUES
               (1, 'netProfit', 'Net profit', 'money', 'from ' || fx.html_money((metrics ->> 'initialBalance')::numeric)),
               (2, 'totalReturn', 'Total return', 'percent', 'of the starting balance'),
               (3, 'cagr', 'CAGR', 'percent', 'growth a year'),
               (4, 'maxDrawdownFraction', 'Max. drawdown', 'percent', 'deepest ' || fx.html_money((metrics ->> 'maxDrawdown')::numeric)),
               (5, 'sharpeRatio', 'Sharpe ratio', 'number', 'Sortino ' || fx.html_number((metrics ->> 'sortinoRatio')::numeric)),
               (6, 'profitFactor', 'Profit factor', 'number', 'payoff ratio ' || fx.html_number((metrics ->> 'payoffRatio')::numeric)),
               (7, 'winRate', 'Win rate', 'percent', fx.html_number((metrics ->> 'breakevenTrades')::numeric, 0) || ' break-even'),
               (8, 'totalTrades', 'Trades', 'count', 'expectancy ' || fx.html_money((metrics ->> 'expectancy')::numeric)))
           AS k (place, key, label, shape, more)
$$;

COMMENT ON FUNCTION tearsheet_headline(jsonb)
    IS 'the key figures of a tear-sheet as HTML, from fx.backtest_metrics; NULL for NULL';

CREATE FUNCTION tearsheet_metrics(metrics jsonb)
RETURNS text
LANGUAGE sql
IMMUTABLE
STRICT
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT fx.html_section('metrics', 'wide', 'All metrics',
               concat('<div class="columns">', string_agg(t.html, E'\n' ORDER BY t.place), '</div>'))
      FROM (SELECT min(m.place) AS place,
                   concat('<table><caption>', m.part, '</caption><tbody>', E'\n',
                          string_agg(format('<tr><th scope="row">%s</th><td id="%s">%s</td></tr>', m.label, m.key,
                                            fx.html_metric(metrics, m.key, m.shape)), E'\n' ORDER BY m.place),
                          '</tbody></table>') AS html
              FROM (VALUES
                  (1, 'Return', 'initialBalance', 'Starting balance', 'money'),
                  (2, 'Return', 'finalBalance', 'Final balance', 'money'),
                  (3, 'Return', 'netProfit', 'Net profit', 'money'),
                  (4, 'Return', 'grossProfit', 'Sum of winning trades', 'money'),
                  (5, 'Return', 'grossLoss', 'Sum of losing trades', 'money'),
                  (6, 'Return', 'totalCommission', 'Commission', 'money'),
                  (7, 'Return', 'totalSwap', 'Swap', 'money'),
                  (8, 'Return', 'totalReturn', 'Total return', 'percent'),
                  (9, 'Return', 'cagr', 'CAGR', 'percent'),
                  (20, 'Risk-adjusted', 'sharpeRatio', 'Sharpe ratio', 'number'),
                  (21, 'Risk-adjusted', 'sortinoRatio', 'Sortino ratio', 'number'),
                  (22, 'Risk-adjusted', 'calmarRatio', 'Calmar ratio', 'number'),
                  (23, 'Risk-adjusted', 'omegaRatio', 'Omega ratio', 'number'),
                  (24, 'Risk-adjusted', 'tailRatio', 'Tail ratio', 'number'),
                  (25, 'Risk-adjusted', 'recoveryFactor', 'Recovery factor', 'number'),
                  (26, 'Risk-adjusted', 'sqn', 'System quality number', 'number'),
                  (27, 'Risk-adjusted', 'kellyFraction', 'Kelly fraction', 'percent'),
                  (40, 'Risk', 'volatility', 'Volatility a year', 'percent'),
                  (41, 'Risk', 'maxDrawdown', 'Maximum drawdown', 'money'),
                  (42, 'Risk', 'maxDrawdownFraction', 'Maximum drawdown of peak', 'percent'),
                  (43, 'Risk', 'averageDrawdownFraction', 'Mean drawdown of peak', 'percent'),
                  (44, 'Risk', 'maxDrawdownPeakAt', 'Peak before it', 'time'),
                  (45, 'Risk', 'maxDrawdownTroughAt', 'Trough', 'time'),
                  (46, 'Risk', 'maxDrawdownRecoveredAt', 'Recovered', 'time'),
                  (47, 'Risk', 'longestDrawdownSeconds', 'Longest drawdown', 'length'),
                  (48, 'Risk', 'ulcerIndex', 'Ulcer index', 'percent'),
                  (49, 'Risk', 'valueAtRisk95', 'Value at risk, 95 %, a day', 'percent'),
                  (50, 'Risk', 'conditionalValueAtRisk95', 'Conditional value at risk', 'percent'),
                  (51, 'Risk', 'skewness', 'Skewness', 'number'),
                  (52, 'Risk', 'excessKurtosis', 'Excess kurtosis', 'number'),
                  (60, 'Trades', 'totalTrades', 'Trades', 'count'),
                  (61, 'Trades', 'winningTrades', 'Winning', 'count'),
                  (62, 'Trades', 'losingTrades', 'Losing', 'count'),
                  (63, 'Trades', 'breakevenTrades', 'Break-even', 'count'),
                  (64, 'Trades', 'winRate', 'Win rate', 'percent'),
                  (65, 'Trades', 'profitFactor', 'Profit factor', 'number'),
                  (66, 'Trades', 'payoffRatio', 'Payoff ratio', 'number'),
                  (67, 'Trades', 'expectancy', 'Expectancy', 'money'),
                  (68, 'Trades', 'expectancyRatio', 'Expectancy ratio', 'number'),
                  (69, 'Trades', 'averageTrade', 'Mean trade', 'money'),
                  (70, 'Trades', 'averageWin', 'Mean win', 'money'),
                  (71, 'Trades', 'averageLoss', 'Mean loss', 'money'),
                  (72, 'Trades', 'largestWin', 'Largest win', 'money'),
                  (73, 'Trades', 'largestLoss', 'Largest loss', 'money'),
                  (74, 'Trades', 'maxConsecutiveWins', 'Longest run of wins', 'count'),
                  (75, 'Trades', 'maxConsecutiveLosses', 'Longest run of losses', 'count'),
                  (80, 'Time', 'firstTradeAt', 'First trade', 'time'),
                  (81, 'Time', 'lastTradeAt', 'Last trade', 'time'),
                  (82, 'Time', 'averageHoldingSeconds', 'Mean holding', 'length'),
                  (83, 'Time', 'exposureFraction', 'Time in the market', 'percent'),
                  (84, 'Time', 'periodsPerYear', 'Days a year', 'number'),
                  (85, 'Time', 'definitions', 'Definitions', 'text')) AS m (place, part, key, label, shape)
             GROUP BY m.part) AS t
$$;

COMMENT ON FUNCTION tearsheet_metrics(jsonb)
    IS 'all of fx.backtest_metrics as HTML, each with its key as id; NULL for NULL';

CREATE FUNCTION tearsheet_definitions()
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT fx.html_section('definitions', 'wide', 'Definitions', concat('<dl class="definitions">',
               string_agg(format('<div><dt>%s</dt><dd>%s</dd></div>', d.term, d.meaning), E'\n' ORDER BY d.place),
               '</dl>'))
      FROM (VALUES
          (1, 'Net profit', 'profit &#8722; commission + swap, in account currency; wins, losses and every metric go by it. A break-even trade is neither a win nor a loss and counts in the win rate&#8217;s denominator.'),
          (2, 'Drawdown', 'distance of the equity from its peak so far, the starting balance included; positive. An episode runs from its peak to the first point at the peak again.'),
          (3, 'Daily returns', 'of the last equity of each FX day, which ends at 17:00 in New York, Monday to Friday, carried forward over days without trades.'),
          (4, 'Sharpe ratio', 'mean of the daily returns above the risk-free rate over their standard deviation (n &#8722; 1), times the root of the days a year.'),
          (5, 'Sortino ratio', 'the same mean over the root of the mean square of the returns below, over all days.'),
          (6, 'CAGR', 'final over starting balance to the power of 365.25 / calendar days, less 1. Calmar ratio: CAGR / maximum drawdown.'),
          (7, 'Profit factor', 'sum of winning over sum of losing trades. Payoff ratio: mean win / mean loss. Expectancy: net profit / trades.'),
          (8, 'Value at risk', 'the 5th percentile of the daily returns; conditional: the mean of those at or below it.'),
          (9, 'Ulcer index', 'root of the mean square of the daily drawdowns. Recovery factor: net profit / maximum drawdown.'),
          (10, 'A dash', 'the figure is not defined for these trades.')) AS d (place, term, meaning)
$$;

COMMENT ON FUNCTION tearsheet_definitions()
    IS 'the definitions of a tear-sheet as HTML; more in doc/metrics.md';
