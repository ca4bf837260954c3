/*-------------------------------------------------------------------------
 *
 * curve_metrics.c
 *	  What the equity curve of a sequence of trades says
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"

#include "compat.h"
#include "metrics.h"

/*
 * One pass over the curve.  An episode runs from the last point at the peak to
 * the first that reaches it again; begin stands for the starting balance.
 */
void
fx_curve_metrics(const FxTrades *trades, int128 balance, TimestampTz begin, CurveMetrics *metrics)
{
	int128		equity = balance;
	int128		peak = balance;
	int64		peak_at = -1;
	bool		max_is_open = false;
	double		deepest = 0;	/* fraction, of the episode at hand */
	FxSum		depths = {0};

	memset(metrics, 0, sizeof(CurveMetrics));
	metrics->peak = metrics->trough = metrics->recovered = -1;

	for (uint32 i = 0; i < trades->count; i++)
	{
		const FxTrade *trade = &trades->items[i];
		bool		ends;

		if ((i & 1023) == 0)
			CHECK_FOR_INTERRUPTS();

		if (fx_fixed_add_overflow(equity, trade->net, &equity))
			fx_fixed_raise(FX_FIXED_OVERFLOW, "equity");

		ends = equity >= peak;
		if (!ends)
		{
			/* fits: it is at most the sum of losses */
			int128		drawdown = peak - equity;
			double		fraction = (double) drawdown / (double) peak;

			deepest = Max(deepest, fraction);
			if (drawdown > metrics->max_drawdown)
			{
				metrics->max_drawdown = drawdown;
				metrics->peak = peak_at;
				metrics->trough = i;
				metrics->recovered = -1;
				max_is_open = true;
			}
			metrics->max_fraction = Max(metrics->max_fraction, fraction);
		}
		else if (max_is_open)
		{
			metrics->recovered = i;
			max_is_open = false;
		}

		if (deepest > 0 && (ends || i == trades->count - 1))
		{
			TimestampTz since = peak_at >= 0 ? trades->items[peak_at].closed_at : begin;

			metrics->episodes++;
			fx_sum_add(&depths, deepest);
			metrics->longest_usecs = Max(metrics->longest_usecs, trade->closed_at - since);
			deepest = 0;
		}
		if (ends)
		{
			peak = equity;
			peak_at = i;
		}
	}

	metrics->final_balance = equity;
	if (metrics->episodes > 0)
		metrics->average_fraction = fx_sum_get(&depths) / metrics->episodes;
}
