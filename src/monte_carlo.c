/*-------------------------------------------------------------------------
 *
 * monte_carlo.c
 *	  How a strategy might have fared with its trades in another order
 *
 * Each run puts the trades in a random order, or draws as many of them with
 * replacement, and walks the curve.  The generator is the server's xoroshiro128**,
 * one stream for all runs, so that a seed gives the same result everywhere.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/pg_prng.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "compat.h"
#include "equity_agg.h"

#define MONTE_CARLO_COLS	4
#define MAX_RUNS			1000000

/* Trades between two looks for a cancellation */
#define INTERRUPT_STRIDE	0xFFFF

static const double percentiles[] = {0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99};

typedef struct Runs
{
	int32		count;
	int128	   *balances;		/* final */
	int128	   *drawdowns;		/* deepest, in money */
	double	   *fractions;		/* deepest, as share of the peak */
} Runs;

PG_FUNCTION_INFO_V1(fx_monte_carlo);
PG_FUNCTION_INFO_V1(fx_monte_carlo_of_equity);
PG_FUNCTION_INFO_V1(fx_monte_carlo_of_text);

static Datum put_percentiles(FunctionCallInfo fcinfo, FxTradesSource read);
static void run_once(int128 *nets, uint32 count, int128 balance, bool with_replacement,
					 pg_prng_state *prng, Runs *runs, int32 run);
static uint32 random_below(pg_prng_state *prng, uint32 limit);
static int	compare_amounts(const void *a, const void *b);
static int	compare_fractions(const void *a, const void *b);

/*
 * monte_carlo(trades jsonb, initial_balance numeric, runs integer, seed bigint,
 *			   with_replacement boolean)
 *		returns table (percentile float8, final_balance numeric,
 *					   max_drawdown numeric, max_drawdown_fraction float8)
 */
Datum
fx_monte_carlo(PG_FUNCTION_ARGS)
{
	return put_percentiles(fcinfo, fx_trades_read_jsonb);
}

/*
 * monte_carlo(equity, ...) returns table, with the same arguments
 */
Datum
fx_monte_carlo_of_equity(PG_FUNCTION_ARGS)
{
	return put_percentiles(fcinfo, fx_equity_read);
}

/*
 * monte_carlo(trades text, ...), with the same arguments and result
 */
Datum
fx_monte_carlo_of_text(PG_FUNCTION_ARGS)
{
	return put_percentiles(fcinfo, fx_trades_read_text);
}

static Datum
put_percentiles(FunctionCallInfo fcinfo, FxTradesSource read)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int128		balance = fx_initial_balance(PG_GETARG_DATUM(1));
	Runs		runs = {.count = PG_GETARG_INT32(2)};
	bool		with_replacement = PG_GETARG_BOOL(4);
	FxTrades	trades;
	int128	   *nets;
	pg_prng_state prng;

	if (runs.count < 1 || runs.count > MAX_RUNS)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must be between %d and %d", "runs", 1, MAX_RUNS));

	read(PG_GETARG_DATUM(0), &trades);
	InitMaterializedSRF(fcinfo, 0);

	nets = MemoryContextAllocHuge(CurrentMemoryContext, Max(trades.count, 1) * sizeof(int128));
	for (uint32 i = 0; i < trades.count; i++)
		nets[i] = trades.items[i].net;
	pfree(trades.items);

	runs.balances = palloc(runs.count * sizeof(int128));
	runs.drawdowns = palloc(runs.count * sizeof(int128));
	runs.fractions = palloc(runs.count * sizeof(double));
	pg_prng_seed(&prng, (uint64) PG_GETARG_INT64(3));
	for (int32 run = 0; run < runs.count; run++)
	{
		CHECK_FOR_INTERRUPTS();
		run_once(nets, trades.count, balance, with_replacement, &prng, &runs, run);
	}
	qsort(runs.balances, runs.count, sizeof(int128), compare_amounts);
	qsort(runs.drawdowns, runs.count, sizeof(int128), compare_amounts);
	qsort(runs.fractions, runs.count, sizeof(double), compare_fractions);

	for (int i = 0; i < lengthof(percentiles); i++)
	{
		/* the lowest value that at least this share of the runs does not pass */
		int32		rank = Max((int32) ceil(percentiles[i] * runs.count - 1e-9), 1) - 1;
		char		numbers[2][FX_FIXED_NUMERIC_SIZE] pg_attribute_aligned(MAXIMUM_ALIGNOF);
		Datum		values[MONTE_CARLO_COLS];
		bool		nulls[MONTE_CARLO_COLS] = {0};

		fx_fixed_write_numeric(runs.balances[rank], false, numbers[0]);
		fx_fixed_write_numeric(runs.drawdowns[rank], false, numbers[1]);
		values[0] = Float8GetDatum(percentiles[i]);
		values[1] = PointerGetDatum(numbers[0]);
		values[2] = PointerGetDatum(numbers[1]);
		values[3] = Float8GetDatum(runs.fractions[rank]);
		nulls[3] = trades.count == 0;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * One run.  Shuffling goes along with the walk (Fisher-Yates): what was taken
 * is swapped to the front, and the next run goes on from that order.
 */
static void
run_once(int128 *nets, uint32 count, int128 balance, bool with_replacement,
		 pg_prng_state *prng, Runs *runs, int32 run)
{
	int128		equity = balance;
	int128		peak = balance;
	int128		deepest = 0;
	double		fraction = 0;

	for (uint32 i = 0; i < count; i++)
	{
		uint32		pick = with_replacement ? random_below(prng, count) :
			i + random_below(prng, count - i);
		int128		net = nets[pick];
		int128		drawdown;

		if ((i & INTERRUPT_STRIDE) == INTERRUPT_STRIDE)
			CHECK_FOR_INTERRUPTS();
		if (!with_replacement)
		{
			nets[pick] = nets[i];
			nets[i] = net;
		}

		if (fx_fixed_add_overflow(equity, net, &equity))
			fx_fixed_raise(FX_FIXED_OVERFLOW, "equity");
		if (equity >= peak)
		{
			peak = equity;
			continue;
		}
		if (fx_fixed_sub_overflow(peak, equity, &drawdown))
			fx_fixed_raise(FX_FIXED_OVERFLOW, "drawdown");
		deepest = Max(deepest, drawdown);
		fraction = Max(fraction, (double) drawdown / (double) peak);
	}
	runs->balances[run] = equity;
	runs->drawdowns[run] = deepest;
	runs->fractions[run] = fraction;
}

/*
 * A number from 0 to limit - 1, all equally likely (Lemire's method).
 */
static uint32
random_below(pg_prng_state *prng, uint32 limit)
{
	uint32		threshold = -limit % limit;
	uint64		product;

	do
		product = (uint64) (uint32) (pg_prng_uint64(prng) >> 32) * limit;
	while ((uint32) product < threshold);
	return (uint32) (product >> 32);
}

static int
compare_amounts(const void *a, const void *b)
{
	int128		x = *(const int128 *) a;
	int128		y = *(const int128 *) b;

	return x < y ? -1 : x > y;
}

static int
compare_fractions(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y;
}
