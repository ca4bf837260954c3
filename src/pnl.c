/*-------------------------------------------------------------------------
 *
 * pnl.c
 *	  Aggregates over profits
 *
 * The state of pnl_agg() is the value that it returns, so there is no final
 * function, partial results travel between parallel workers as ordinary
 * values, and a stored value can be merged later.  A row costs the decoding of
 * its numerics into integers and a few additions; no numeric function runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/memutils.h"

#include "compat.h"
#include "pnl.h"

PG_FUNCTION_INFO_V1(fx_pnl_accum);
PG_FUNCTION_INFO_V1(fx_pnl_accum_costs);
PG_FUNCTION_INFO_V1(fx_pnl_combine);

static FxPnl *get_state(FunctionCallInfo fcinfo);
static FxPnl *get_or_make_state(FunctionCallInfo fcinfo);
static int128 get_net(FunctionCallInfo fcinfo, int128 *commission, int128 *swap);
static void add_trade(FxPnl *pnl, int128 net);
static void subtract_sum(int128 *sum, int128 amount, const char *what);

/*
 * pnl_accum(state pnl, profit numeric) returns pnl
 *
 * Not strict, because the first call has no state.  A row without profit is
 * skipped.
 */
Datum
fx_pnl_accum(PG_FUNCTION_ARGS)
{
	FxPnl	   *state;

	if (PG_ARGISNULL(1))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_POINTER(get_state(fcinfo));
	}

	state = get_or_make_state(fcinfo);
	add_trade(state, fx_fixed_get_argument(PG_GETARG_DATUM(1), "profit"));
	PG_RETURN_POINTER(state);
}

/*
 * pnl_accum(state pnl, profit numeric, commission numeric, swap numeric)
 *		returns pnl
 */
Datum
fx_pnl_accum_costs(PG_FUNCTION_ARGS)
{
	FxPnl	   *state;
	int128		net;
	int128		commission;
	int128		swap;

	if (PG_ARGISNULL(1))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_POINTER(get_state(fcinfo));
	}

	net = get_net(fcinfo, &commission, &swap);
	state = get_or_make_state(fcinfo);
	add_trade(state, net);
	fx_fixed_add_to(&state->commission, commission, "sum of commissions");
	fx_fixed_add_to(&state->swap, swap, "sum of swaps");
	PG_RETURN_POINTER(state);
}

/*
 * pnl_combine(pnl, pnl) returns pnl
 *
 * Also the transition function of rollup().  The second argument is another
 * aggregate's, or a row's, and is not touched.
 */
Datum
fx_pnl_combine(PG_FUNCTION_ARGS)
{
	FxPnl	   *state;

	if (PG_ARGISNULL(1))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_POINTER(get_state(fcinfo));
	}

	state = get_or_make_state(fcinfo);
	fx_pnl_merge(state, PG_GETARG_PNL_P(1));
	PG_RETURN_POINTER(state);
}

/*
 * A palloc'd value without trades.
 */
FxPnl *
fx_pnl_make(void)
{
	FxPnl	   *pnl = palloc(sizeof(FxPnl));

	fx_pnl_init(pnl);
	return pnl;
}

void
fx_pnl_init(FxPnl *pnl)
{
	memset(pnl, 0, sizeof(FxPnl));
	SET_VARSIZE(pnl, sizeof(FxPnl));
	pnl->version = FX_PNL_VERSION;
}

/*
 * The trade in the arguments after the state: its profit, or profit, commission
 * and swap.  False where the profit is null.
 */
bool
fx_pnl_get_trade(FunctionCallInfo fcinfo, FxPnl *trade)
{
	if (PG_ARGISNULL(1))
		return false;

	fx_pnl_init(trade);
	if (PG_NARGS() == 2)
		add_trade(trade, fx_fixed_get_argument(PG_GETARG_DATUM(1), "profit"));
	else
		add_trade(trade, get_net(fcinfo, &trade->commission, &trade->swap));
	return true;
}

/*
 * Add the trades of another value.
 */
void
fx_pnl_merge(FxPnl *into, const FxPnl *from)
{
	into->largest_win = Max(into->largest_win, from->largest_win);
	into->largest_loss = Min(into->largest_loss, from->largest_loss);

	if (__builtin_add_overflow(into->trades, from->trades, &into->trades))
		fx_fixed_raise(FX_FIXED_OVERFLOW, "number of trades");
	/* neither is above the number of trades */
	into->wins += from->wins;
	into->losses += from->losses;

	fx_fixed_add_to(&into->gross_profit, from->gross_profit, "sum of winning trades");
	fx_fixed_add_to(&into->gross_loss, from->gross_loss, "sum of losing trades");
	fx_fixed_add_to(&into->commission, from->commission, "sum of commissions");
	fx_fixed_add_to(&into->swap, from->swap, "sum of swaps");
	fx_wide_add_words(&into->squares, from->squares.word, FX_WIDE_WORDS);
}

/*
 * Take out trades that were added before.  The extremes stay as they are.
 */
void
fx_pnl_unmerge(FxPnl *from, const FxPnl *part)
{
	from->trades -= part->trades;
	from->wins -= part->wins;
	from->losses -= part->losses;
	/* no part of sums without change of sign is above them */
	from->gross_profit -= part->gross_profit;
	from->gross_loss -= part->gross_loss;
	subtract_sum(&from->commission, part->commission, "sum of commissions");
	subtract_sum(&from->swap, part->swap, "sum of swaps");
	fx_wide_subtract(&from->squares, &part->squares);
}

/*
 * The state to go on with.  As an aggregate's it is ours to change; a caller
 * that runs the function by hand keeps his value.
 */
static FxPnl *
get_state(FunctionCallInfo fcinfo)
{
	FxPnl	   *state;

	if (likely(AggCheckCallContext(fcinfo, NULL)))
		return PG_GETARG_PNL_P(0);

	state = (FxPnl *) PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(0));
	return state;
}

static FxPnl *
get_or_make_state(FunctionCallInfo fcinfo)
{
	MemoryContext aggcontext;
	MemoryContext old;
	FxPnl	   *state;

	if (likely(!PG_ARGISNULL(0)))
		return get_state(fcinfo);
	if (!AggCheckCallContext(fcinfo, &aggcontext))
		return fx_pnl_make();

	old = MemoryContextSwitchTo(aggcontext);
	state = fx_pnl_make();
	MemoryContextSwitchTo(old);
	return state;
}

/*
 * Net profit of the arguments profit, commission and swap.  A cost that is null
 * counts as none.
 */
static inline int128
get_net(FunctionCallInfo fcinfo, int128 *commission, int128 *swap)
{
	int128		profit = fx_fixed_get_argument(PG_GETARG_DATUM(1), "profit");

	*commission = PG_ARGISNULL(2) ? 0 : fx_fixed_get_argument(PG_GETARG_DATUM(2), "commission");
	*swap = PG_ARGISNULL(3) ? 0 : fx_fixed_get_argument(PG_GETARG_DATUM(3), "swap");
	return fx_fixed_net(profit, *commission, *swap);
}

static inline void
add_trade(FxPnl *pnl, int128 net)
{
	pnl->trades++;
	if (net > 0)
	{
		pnl->wins++;
		fx_fixed_add_to(&pnl->gross_profit, net, "sum of winning trades");
		if (net > pnl->largest_win)
			pnl->largest_win = net;
	}
	else if (net < 0)
	{
		pnl->losses++;
		fx_fixed_add_to(&pnl->gross_loss, net, "sum of losing trades");
		if (net < pnl->largest_loss)
			pnl->largest_loss = net;
	}
	/* fits, because the sums above did */
	fx_wide_add_square(&pnl->squares, net);
}

static inline void
subtract_sum(int128 *sum, int128 amount, const char *what)
{
	int128		total;

	if (unlikely(fx_fixed_sub_overflow(*sum, amount, &total)))
		fx_fixed_raise(FX_FIXED_OVERFLOW, what);
	*sum = total;
}
