/*-------------------------------------------------------------------------
 *
 * metrics.h
 *	  Performance metrics of a sequence of trades
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_METRICS_H
#define FX_METRICS_H

#include "datatype/timestamp.h"
#include "utils/date.h"

#include "trade_reader.h"

/* A ratio that may be undefined */
typedef struct FxRatio
{
	double		value;
	bool		defined;
} FxRatio;

/* What the trades, one by one, say; money at scale 8 */
typedef struct TradeMetrics
{
	uint32		wins;
	uint32		losses;
	int128		gross_profit;	/* sum of winning nets */
	int128		gross_loss;		/* sum of losing nets, not above zero */
	int128		largest_win;	/* undefined without wins */
	int128		largest_loss;	/* undefined without losses */
	uint32		max_consecutive_wins;
	uint32		max_consecutive_losses;
	FxRatio		sqn;
} TradeMetrics;

/* What the curve over the trades says, from curve_metrics.c; indexes are of trades, -1 the start */
typedef struct CurveMetrics
{
	int128		final_balance;
	int128		max_drawdown;	/* in money */
	int64		peak;			/* last point at the peak before max_drawdown */
	int64		trough;			/* first point at max_drawdown, -1 for none */
	int64		recovered;		/* first point at the peak again, -1 for none */
	double		max_fraction;	/* may be of another episode */
	uint32		episodes;
	double		average_fraction;	/* of the deepest of each episode */
	int64		longest_usecs;	/* from peak to recovery or to the last trade */
} CurveMetrics;

extern void fx_curve_metrics(const FxTrades *trades, int128 balance, TimestampTz begin,
							 CurveMetrics *metrics);

/* What the equity at the end of each FX day says; from daily_metrics.c */
typedef struct DailyMetrics
{
	FxRatio		volatility;
	FxRatio		sharpe;
	FxRatio		sortino;
	FxRatio		omega;
	FxRatio		tail;
	FxRatio		value_at_risk;
	FxRatio		conditional_value_at_risk;
	FxRatio		skewness;
	FxRatio		excess_kurtosis;
	FxRatio		ulcer;
} DailyMetrics;

extern void fx_daily_metrics(const FxTrades *trades, int128 balance,
							 DateADT first, DateADT last,
							 double risk_free_rate, double periods_per_year,
							 DailyMetrics *metrics);

/* A sum of doubles with the error of the additions carried along (Neumaier) */
typedef struct FxSum
{
	double		sum;
	double		error;
} FxSum;

static inline void
fx_sum_add(FxSum *s, double x)
{
	double		total = s->sum + x;

	if (fabs(s->sum) >= fabs(x))
		s->error += (s->sum - total) + x;
	else
		s->error += (x - total) + s->sum;
	s->sum = total;
}

static inline double
fx_sum_get(const FxSum *s)
{
	return s->sum + s->error;
}

static inline FxRatio
fx_ratio(double value)
{
	FxRatio		ratio = {value, isfinite(value)};

	return ratio;
}

#endif							/* FX_METRICS_H */
