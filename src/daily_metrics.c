/*-------------------------------------------------------------------------
 *
 * daily_metrics.c
 *	  Metrics over the daily returns of an equity curve
 *
 * The series has a point for each weekday of the period, by FX days: the last
 * equity as of that day, carried forward over days without trades; the
 * starting balance is point 0.  A trade on a weekend counts on the next
 * weekday.  A return is the exact change of equity over the equity before,
 * rounded once; sums carry their rounding errors along.
 *
 * Formulas: Sharpe and Sortino arithmetic, as empyrical and quantstats have
 * them; ulcer index after Martin; value at risk and its tail mean historical;
 * skewness and kurtosis unbiased.  doc/metrics.md writes them out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "fx_day.h"
#include "metrics.h"

#define TAIL_SHARE			0.05

typedef struct ReturnSeries
{
	double	   *values;
	uint32		count;
	double		lowest;
	double		highest;
	bool		defined;		/* was every denominator above zero? */
	FxRatio		ulcer;
} ReturnSeries;

static void build_series(const FxTrades *trades, int128 balance,
						 DateADT first, DateADT last, ReturnSeries *series);
static void moments(const ReturnSeries *series, double mean, double *m2, double *m3, double *m4);
static double percentile(const double *sorted, uint32 count, double share);
static int	compare_doubles(const void *a, const void *b);
static bool is_weekday(DateADT day);

/*
 * All daily metrics for the days first to last, both included.
 */
void
fx_daily_metrics(const FxTrades *trades, int128 balance, DateADT first, DateADT last,
				 double risk_free_rate, double periods_per_year, DailyMetrics *metrics)
{
	ReturnSeries series;
	double		n;
	double		target;
	double		mean;
	double		downside;
	double		lower;
	double		m2;
	double		m3;
	double		m4;
	double		low_tail;
	uint32		worst;
	FxSum		sum = {0};
	FxSum		below = {0};
	FxSum		gains = {0};
	FxSum		shortfalls = {0};
	FxSum		tail = {0};

	memset(metrics, 0, sizeof(DailyMetrics));
	build_series(trades, balance, first, last, &series);
	if (!series.defined || series.count == 0)
		return;

	n = series.count;
	metrics->ulcer = series.ulcer;

	/* the return that a day without risk would bring */
	target = expm1(log1p(risk_free_rate) / periods_per_year);

	for (uint32 i = 0; i < series.count; i++)
	{
		double		excess = series.values[i] - target;

		fx_sum_add(&sum, series.values[i]);
		if (excess < 0)
		{
			fx_sum_add(&below, excess * excess);
			fx_sum_add(&shortfalls, -excess);
		}
		else
			fx_sum_add(&gains, excess);
	}
	mean = fx_sum_get(&sum) / n;

	downside = sqrt(fx_sum_get(&below) / n);
	if (downside > 0)
		metrics->sortino = fx_ratio((mean - target) / downside * sqrt(periods_per_year));
	if (fx_sum_get(&shortfalls) > 0)
		metrics->omega = fx_ratio(fx_sum_get(&gains) / fx_sum_get(&shortfalls));

	/* equal returns have no spread, whatever the rounding of their mean says */
	moments(&series, mean, &m2, &m3, &m4);
	if (series.count >= 2)
	{
		double		spread = series.lowest < series.highest ? sqrt(m2 * n / (n - 1)) : 0;

		metrics->volatility = fx_ratio(spread * sqrt(periods_per_year));
		if (spread > 0)
			metrics->sharpe = fx_ratio((mean - target) / spread * sqrt(periods_per_year));
	}
	if (series.lowest < series.highest && m2 > 0)
	{
		if (series.count >= 3)
			metrics->skewness = fx_ratio(sqrt(n * (n - 1)) / (n - 2) * m3 / (m2 * sqrt(m2)));
		if (series.count >= 4)
			metrics->excess_kurtosis = fx_ratio((n - 1) / ((n - 2) * (n - 3)) *
												((n + 1) * (m4 / (m2 * m2) - 3) + 6));
	}

	qsort(series.values, series.count, sizeof(double), compare_doubles);
	lower = percentile(series.values, series.count, TAIL_SHARE);
	metrics->value_at_risk = fx_ratio(lower);
	low_tail = fabs(lower);
	if (low_tail > 0)
		metrics->tail = fx_ratio(fabs(percentile(series.values, series.count, 1 - TAIL_SHARE)) / low_tail);

	worst = (series.count - 1) / (uint32) (1 / TAIL_SHARE) + 1;
	for (uint32 i = 0; i < worst; i++)
		fx_sum_add(&tail, series.values[i]);
	metrics->conditional_value_at_risk = fx_ratio(fx_sum_get(&tail) / worst);

	pfree(series.values);
}

/*
 * Walk the days and the trades side by side.
 */
static void
build_series(const FxTrades *trades, int128 balance, DateADT first, DateADT last,
			 ReturnSeries *series)
{
	int128		before = balance;
	int128		equity = balance;
	int128		peak = balance;
	uint32		next = 0;
	FxSum		squares = {0};

	memset(series, 0, sizeof(ReturnSeries));
	series->defined = true;
	series->values = MemoryContextAllocHuge(CurrentMemoryContext,
											((Size) (last - first) + 1) * sizeof(double));

	for (DateADT day = first; day <= last; day++)
	{
		double		value;
		double		fraction;

		if (!is_weekday(day))
			continue;
		if ((series->count & 1023) == 0)
			CHECK_FOR_INTERRUPTS();

		/* the curve has been walked before, so the sum does not overflow */
		for (; next < trades->count && fx_day_of(trades->items[next].closed_at) <= day; next++)
			equity += trades->items[next].net;

		if (before <= 0)
		{
			series->defined = false;
			return;
		}
		value = (double) (equity - before) / (double) before;
		series->lowest = series->count == 0 ? value : Min(series->lowest, value);
		series->highest = series->count == 0 ? value : Max(series->highest, value);
		series->values[series->count++] = value;

		peak = Max(peak, equity);
		fraction = (double) (peak - equity) / (double) peak;
		fx_sum_add(&squares, fraction * fraction);
		before = equity;
	}

	if (series->count > 0)
		series->ulcer = fx_ratio(sqrt(fx_sum_get(&squares) / series->count));
}

/*
 * Central moments, each over all n.
 */
static void
moments(const ReturnSeries *series, double mean, double *m2, double *m3, double *m4)
{
	FxSum		s2 = {0};
	FxSum		s3 = {0};
	FxSum		s4 = {0};

	for (uint32 i = 0; i < series->count; i++)
	{
		double		d = series->values[i] - mean;

		fx_sum_add(&s2, d * d);
		fx_sum_add(&s3, d * d * d);
		fx_sum_add(&s4, d * d * d * d);
	}
	*m2 = fx_sum_get(&s2) / series->count;
	*m3 = fx_sum_get(&s3) / series->count;
	*m4 = fx_sum_get(&s4) / series->count;
}

/*
 * Interpolated linearly between the neighbours of rank share * (n - 1).
 */
static double
percentile(const double *sorted, uint32 count, double share)
{
	double		rank = share * (count - 1);
	uint32		below = (uint32) rank;

	if (below + 1 >= count)
		return sorted[count - 1];
	return sorted[below] + (rank - below) * (sorted[below + 1] - sorted[below]);
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/*
 * Dates count from 2000-01-01, a Saturday.
 */
static bool
is_weekday(DateADT day)
{
	int			since_saturday = day % 7;

	if (since_saturday < 0)
		since_saturday += 7;
	return since_saturday >= 2;
}
