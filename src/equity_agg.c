/*-------------------------------------------------------------------------
 *
 * equity_agg.c
 *	  Aggregates over trades kept as rows, for equity curves
 *
 * The state of equity_agg() is a value of its own type, in the expanded form
 * that grows in place; wherever it must be flat (stored, sent to another
 * process), the server flattens it.  The trades are brought into their order
 * then, once, and not at all where they came in it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/datetime.h"

#include "compat.h"
#include "equity_agg.h"

#define INITIAL_CAPACITY	64

PG_FUNCTION_INFO_V1(fx_equity_accum);
PG_FUNCTION_INFO_V1(fx_equity_accum_costs);
PG_FUNCTION_INFO_V1(fx_equity_combine);
PG_FUNCTION_INFO_V1(fx_equity_trade_count);
PG_FUNCTION_INFO_V1(fx_equity_net_profit);

static Size get_flat_size(ExpandedObjectHeader *header);
static void flatten_into(ExpandedObjectHeader *header, void *result, Size size);
static FxEquityBuilder *get_state(FunctionCallInfo fcinfo);
static FxEquityBuilder *copy_builder(const FxEquityBuilder *from, MemoryContext parent);
static void merge(FxEquityBuilder *into, const FxEquityBuilder *from);
static void add_trade(FxEquityBuilder *state, TimestampTz closed_at, TimestampTz opened_at,
					  int128 net);
static TimestampTz get_time(FunctionCallInfo fcinfo, int argno, const char *name);
static int	compare_trades(const void *a, const void *b);

static const ExpandedObjectMethods builder_methods = {get_flat_size, flatten_into};

/*
 * equity_accum(state equity, closed_at timestamptz, net_profit numeric)
 *		returns equity
 *
 * Not strict, because the first call has no state.  A row without net profit
 * is a trade without result and skipped.
 */
Datum
fx_equity_accum(PG_FUNCTION_ARGS)
{
	FxEquityBuilder *state;
	TimestampTz closed_at;

	if (PG_ARGISNULL(2))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("argument \"%s\" must not be null where \"%s\" is not",
					   "closed_at", "net_profit"));

	closed_at = get_time(fcinfo, 1, "closed_at");
	state = get_state(fcinfo);
	add_trade(state, closed_at, closed_at, fx_fixed_get_argument(PG_GETARG_DATUM(2), "net_profit"));
	state->held = false;
	PG_RETURN_DATUM(EOHPGetRWDatum(&state->hdr));
}

/*
 * equity_accum(state equity, closed_at timestamptz, profit numeric,
 *				commission numeric, swap numeric, executed_at timestamptz)
 *		returns equity
 *
 * A cost that is null counts as none; of the times either may be null.
 */
Datum
fx_equity_accum_costs(PG_FUNCTION_ARGS)
{
	FxEquityBuilder *state;
	TimestampTz closed_at = 0;
	TimestampTz opened_at = 0;
	int128		profit;
	int128		net;
	int128		commission = 0;
	int128		swap = 0;

	if (PG_ARGISNULL(2))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	if (PG_ARGISNULL(1) && PG_ARGISNULL(5))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("arguments \"%s\" and \"%s\" must not both be null where \"%s\" is not",
					   "closed_at", "executed_at", "profit"));

	if (!PG_ARGISNULL(1))
		closed_at = get_time(fcinfo, 1, "closed_at");
	if (!PG_ARGISNULL(5))
		opened_at = get_time(fcinfo, 5, "executed_at");
	if (PG_ARGISNULL(1))
		closed_at = opened_at;
	if (PG_ARGISNULL(5))
		opened_at = closed_at;
	if (closed_at < opened_at)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must not be before \"%s\"", "closed_at", "executed_at"));

	profit = fx_fixed_get_argument(PG_GETARG_DATUM(2), "profit");
	if (!PG_ARGISNULL(3))
		commission = fx_fixed_get_argument(PG_GETARG_DATUM(3), "commission");
	if (!PG_ARGISNULL(4))
		swap = fx_fixed_get_argument(PG_GETARG_DATUM(4), "swap");
	net = fx_fixed_net(profit, commission, swap);

	state = get_state(fcinfo);
	add_trade(state, closed_at, opened_at, net);
	fx_fixed_add_to(&state->commission, commission, "sum of commissions");
	fx_fixed_add_to(&state->swap, swap, "sum of swaps");
	state->held &= !PG_ARGISNULL(1) && !PG_ARGISNULL(5);
	PG_RETURN_DATUM(EOHPGetRWDatum(&state->hdr));
}

/*
 * equity_combine(equity, equity) returns equity
 *
 * Also the transition function of rollup().
 */
Datum
fx_equity_combine(PG_FUNCTION_ARGS)
{
	FxEquityBuilder *state;

	if (PG_ARGISNULL(1))
	{
		if (PG_ARGISNULL(0))
			PG_RETURN_NULL();
		PG_RETURN_DATUM(PG_GETARG_DATUM(0));
	}
	state = get_state(fcinfo);
	merge(state, fx_equity_open(PG_GETARG_DATUM(1)));
	PG_RETURN_DATUM(EOHPGetRWDatum(&state->hdr));
}

/*
 * trade_count(equity) returns bigint
 */
Datum
fx_equity_trade_count(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) fx_equity_open(PG_GETARG_DATUM(0))->count);
}

/*
 * net_profit(equity) returns numeric
 */
Datum
fx_equity_net_profit(PG_FUNCTION_ARGS)
{
	FxEquityBuilder *builder = fx_equity_open(PG_GETARG_DATUM(0));
	int128		sum = 0;

	/* so few amounts of 64 bits fit 128 */
	for (Size i = 0; i < builder->count; i++)
		sum += builder->trades[i].net;
	PG_RETURN_DATUM(fx_fixed_get_numeric(sum));
}

/*
 * A builder without trades, in a memory context of its own.
 */
FxEquityBuilder *
fx_equity_make(MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "fx.equity", ALLOCSET_START_SMALL_SIZES);
	FxEquityBuilder *builder = MemoryContextAllocZero(context, sizeof(FxEquityBuilder));

	EOH_init_header(&builder->hdr, &builder_methods, context);
	builder->held = true;
	builder->sorted = true;
	return builder;
}

/*
 * Make room for some trades more.
 */
void
fx_equity_reserve(FxEquityBuilder *builder, Size more)
{
	Size		wanted = builder->count + more;

	if (wanted <= builder->capacity)
		return;
	if (wanted > FX_EQUITY_MAX_TRADES)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("a value of type %s cannot hold more than %zu trades",
					   "equity", FX_EQUITY_MAX_TRADES));

	builder->capacity = Min(Max(Max(wanted, 2 * builder->capacity), INITIAL_CAPACITY),
							FX_EQUITY_MAX_TRADES);
	if (builder->trades == NULL)
		builder->trades = MemoryContextAllocHuge(builder->hdr.eoh_context,
												 builder->capacity * sizeof(FxEquityTrade));
	else
		builder->trades = repalloc_huge(builder->trades,
										builder->capacity * sizeof(FxEquityTrade));
}

/*
 * Append a trade.
 */
void
fx_equity_add(FxEquityBuilder *builder, const FxEquityTrade *trade)
{
	if (unlikely(builder->count == builder->capacity))
		fx_equity_reserve(builder, 1);
	if (builder->count > 0 && builder->sorted)
		builder->sorted = compare_trades(&builder->trades[builder->count - 1], trade) <= 0;
	builder->trades[builder->count++] = *trade;
}

/*
 * A value to read from: the builder that it is, or one made from its flat form.
 */
FxEquityBuilder *
fx_equity_open(Datum datum)
{
	FxEquityBuilder *builder;
	FxEquity   *flat;
	Size		count;

	if (VARATT_IS_EXTERNAL_EXPANDED(DatumGetPointer(datum)))
	{
		builder = (FxEquityBuilder *) DatumGetEOHP(datum);
		Assert(builder->hdr.eoh_methods == &builder_methods);
		return builder;
	}

	flat = (FxEquity *) PG_DETOAST_DATUM(datum);
	count = (VARSIZE(flat) - FX_EQUITY_HEADER) / sizeof(FxEquityTrade);
	builder = fx_equity_make(CurrentMemoryContext);
	fx_equity_reserve(builder, count);
	if (count > 0)
		memcpy(builder->trades, flat->trades, count * sizeof(FxEquityTrade));
	builder->count = count;
	builder->held = flat->held != 0;
	builder->commission = flat->commission;
	builder->swap = flat->swap;
	if ((Pointer) flat != DatumGetPointer(datum))
		pfree(flat);
	return builder;
}

/*
 * Bring the trades into their order.  The value stays the same, so that this
 * may be done to one that is not ours to change.
 */
void
fx_equity_sort(FxEquityBuilder *builder)
{
	if (!builder->sorted)
		qsort(builder->trades, builder->count, sizeof(FxEquityTrade), compare_trades);
	builder->sorted = true;
}

/*
 * The trades as the curve and the metrics want them.
 */
void
fx_equity_read(Datum datum, FxTrades *trades)
{
	FxEquityBuilder *builder = fx_equity_open(datum);

	fx_equity_sort(builder);
	memset(trades, 0, sizeof(FxTrades));
	trades->count = (uint32) builder->count;
	trades->timed = builder->count > 0;
	trades->held = builder->held && builder->count > 0;
	trades->commission = builder->commission;
	trades->swap = builder->swap;
	trades->items = MemoryContextAllocHuge(CurrentMemoryContext,
										   Max(trades->count, 1) * sizeof(FxTrade));
	for (uint32 i = 0; i < trades->count; i++)
	{
		if ((i & 0xFFFF) == 0)
			CHECK_FOR_INTERRUPTS();
		trades->items[i].net = builder->trades[i].net;
		trades->items[i].closed_at = builder->trades[i].closed_at;
		trades->items[i].opened_at = builder->trades[i].opened_at;
		trades->items[i].position = i;
	}
}

static Size
get_flat_size(ExpandedObjectHeader *header)
{
	FxEquityBuilder *builder = (FxEquityBuilder *) header;

	return FX_EQUITY_HEADER + builder->count * sizeof(FxEquityTrade);
}

static void
flatten_into(ExpandedObjectHeader *header, void *result, Size size)
{
	FxEquityBuilder *builder = (FxEquityBuilder *) header;
	FxEquity   *flat = result;

	fx_equity_sort(builder);
	memset(flat, 0, FX_EQUITY_HEADER);
	SET_VARSIZE(flat, size);
	flat->version = FX_EQUITY_VERSION;
	flat->held = builder->held;
	flat->commission = builder->commission;
	flat->swap = builder->swap;
	if (builder->count > 0)
		memcpy(flat->trades, builder->trades, builder->count * sizeof(FxEquityTrade));
}

/*
 * The state to go on with: an aggregate's own, to be changed in place, or one
 * made from the first argument, which stays as it is.
 */
static FxEquityBuilder *
get_state(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		context = CurrentMemoryContext;
	if (PG_ARGISNULL(0))
		return fx_equity_make(context);
	if (VARATT_IS_EXTERNAL_EXPANDED_RW(DatumGetPointer(PG_GETARG_DATUM(0))))
		return (FxEquityBuilder *) DatumGetEOHP(PG_GETARG_DATUM(0));
	return copy_builder(fx_equity_open(PG_GETARG_DATUM(0)), context);
}

static FxEquityBuilder *
copy_builder(const FxEquityBuilder *from, MemoryContext parent)
{
	FxEquityBuilder *builder = fx_equity_make(parent);

	merge(builder, from);
	return builder;
}

/*
 * Add the trades of another value.
 */
static void
merge(FxEquityBuilder *into, const FxEquityBuilder *from)
{
	/* also where both are the same */
	Size		count = from->count;

	fx_equity_reserve(into, count);
	for (Size i = 0; i < count; i++)
	{
		FxEquityTrade trade = from->trades[i];

		fx_equity_add(into, &trade);
	}
	into->held &= from->held;
	fx_fixed_add_to(&into->commission, from->commission, "sum of commissions");
	fx_fixed_add_to(&into->swap, from->swap, "sum of swaps");
}

static void
add_trade(FxEquityBuilder *state, TimestampTz closed_at, TimestampTz opened_at, int128 net)
{
	FxEquityTrade trade = {closed_at, (int64) net, opened_at};

	if (trade.net != net)
		fx_fixed_raise(FX_FIXED_OVERFLOW, "net profit");
	fx_equity_add(state, &trade);
}

static TimestampTz
get_time(FunctionCallInfo fcinfo, int argno, const char *name)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(argno);

	if (at < FX_EQUITY_MIN_TIME || at >= FX_EQUITY_END_TIME)
		ereport(ERROR,
				errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				errmsg("argument \"%s\" is out of range", name),
				errdetail("It must be in the years 1 to 9999."));
	return at;
}

/*
 * By closing time.  The order among trades that close at the same moment must
 * not depend on how they arrived: losses come first, so that no drawdown is
 * shown less than it may have been.
 */
static int
compare_trades(const void *a, const void *b)
{
	const FxEquityTrade *x = a;
	const FxEquityTrade *y = b;

	if (x->closed_at != y->closed_at)
		return x->closed_at < y->closed_at ? -1 : 1;
	if (x->net != y->net)
		return x->net < y->net ? -1 : 1;
	return x->opened_at < y->opened_at ? -1 : x->opened_at > y->opened_at;
}
