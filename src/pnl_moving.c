/*-------------------------------------------------------------------------
 *
 * pnl_moving.c
 *	  Aggregates over profits in a moving window
 *
 * Counts and sums are exact integers, so that what leaves the frame is
 * subtracted.  The extremes cannot be: for these the state keeps, in the order
 * of arrival, those values that no later one in the frame exceeds.  The first
 * of them is the extreme of the frame, and a value is queued and dropped at
 * most once, so that a row costs the same however wide the frame is and
 * however often an extreme leaves it.
 *
 * The server removes rows in the order in which it added them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/memutils.h"

#include "compat.h"
#include "pnl.h"

#define QUEUE_INITIAL_SIZE	16

typedef struct QueuedAmount
{
	int64		position;		/* of its value among all values added */
	int128		amount;
} QueuedAmount;

typedef struct ExtremeQueue
{
	QueuedAmount *items;		/* a ring */
	int64		size;			/* of the ring, a power of two */
	int64		first;			/* counted up, never back */
	int64		last;			/* one after the last, counted likewise */
	bool		lowest;			/* extreme is the minimum */
} ExtremeQueue;

typedef struct MovingPnl
{
	MemoryContext context;		/* of the aggregate */
	FxPnl		sums;			/* of the frame; its extremes have no meaning */
	int64		added;			/* values, those that left included */
	int64		removed;
	ExtremeQueue wins;
	ExtremeQueue losses;
} MovingPnl;

PG_FUNCTION_INFO_V1(fx_pnl_moving_accum);
PG_FUNCTION_INFO_V1(fx_pnl_moving_remove);
PG_FUNCTION_INFO_V1(fx_pnl_moving_merge);
PG_FUNCTION_INFO_V1(fx_pnl_moving_unmerge);
PG_FUNCTION_INFO_V1(fx_pnl_moving_final);

static MovingPnl *get_or_make_state(FunctionCallInfo fcinfo);
static void add_value(MovingPnl *state, const FxPnl *value);
static void remove_value(MovingPnl *state, const FxPnl *value);
static void enqueue(MemoryContext context, ExtremeQueue *queue, int64 position, int128 amount);
static void dequeue(ExtremeQueue *queue, int64 position);
static int128 get_extreme(const ExtremeQueue *queue);

/*
 * pnl_moving_accum(state internal, profit numeric [, commission numeric, swap
 *		numeric]) returns internal
 *
 * A row without profit counts for nothing, but the state must not be null.
 */
Datum
fx_pnl_moving_accum(PG_FUNCTION_ARGS)
{
	MovingPnl  *state = get_or_make_state(fcinfo);
	FxPnl		trade;

	if (fx_pnl_get_trade(fcinfo, &trade))
		add_value(state, &trade);
	PG_RETURN_POINTER(state);
}

/*
 * pnl_moving_remove(state internal, profit numeric [, commission numeric, swap
 *		numeric]) returns internal
 */
Datum
fx_pnl_moving_remove(PG_FUNCTION_ARGS)
{
	MovingPnl  *state = get_or_make_state(fcinfo);
	FxPnl		trade;

	if (fx_pnl_get_trade(fcinfo, &trade))
		remove_value(state, &trade);
	PG_RETURN_POINTER(state);
}

/*
 * pnl_moving_merge(state internal, pnl) returns internal
 */
Datum
fx_pnl_moving_merge(PG_FUNCTION_ARGS)
{
	MovingPnl  *state = get_or_make_state(fcinfo);

	if (!PG_ARGISNULL(1))
		add_value(state, PG_GETARG_PNL_P(1));
	PG_RETURN_POINTER(state);
}

/*
 * pnl_moving_unmerge(state internal, pnl) returns internal
 */
Datum
fx_pnl_moving_unmerge(PG_FUNCTION_ARGS)
{
	MovingPnl  *state = get_or_make_state(fcinfo);

	if (!PG_ARGISNULL(1))
		remove_value(state, PG_GETARG_PNL_P(1));
	PG_RETURN_POINTER(state);
}

/*
 * pnl_moving_final(state internal) returns pnl
 *
 * Null where the frame has no value, as outside of windows.
 */
Datum
fx_pnl_moving_final(PG_FUNCTION_ARGS)
{
	const MovingPnl *state = get_or_make_state(fcinfo);
	FxPnl	   *result;

	if (state->added == state->removed)
		PG_RETURN_NULL();

	result = palloc(sizeof(FxPnl));
	*result = state->sums;
	result->largest_win = get_extreme(&state->wins);
	result->largest_loss = get_extreme(&state->losses);
	PG_RETURN_POINTER(result);
}

static MovingPnl *
get_or_make_state(FunctionCallInfo fcinfo)
{
	MemoryContext context;
	MovingPnl  *state;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "aggregate function called in non-aggregate context");
	if (likely(!PG_ARGISNULL(0)))
		return (MovingPnl *) PG_GETARG_POINTER(0);

	state = MemoryContextAllocZero(context, sizeof(MovingPnl));
	state->context = context;
	fx_pnl_init(&state->sums);
	state->losses.lowest = true;
	return state;
}

static void
add_value(MovingPnl *state, const FxPnl *value)
{
	fx_pnl_merge(&state->sums, value);
	if (value->wins > 0)
		enqueue(state->context, &state->wins, state->added, value->largest_win);
	if (value->losses > 0)
		enqueue(state->context, &state->losses, state->added, value->largest_loss);
	state->added++;
}

static void
remove_value(MovingPnl *state, const FxPnl *value)
{
	fx_pnl_unmerge(&state->sums, value);
	dequeue(&state->wins, state->removed);
	dequeue(&state->losses, state->removed);
	state->removed++;
	Assert(state->removed <= state->added);
}

/*
 * Append an amount, and drop those before it that can no more be the extreme.
 */
static void
enqueue(MemoryContext context, ExtremeQueue *queue, int64 position, int128 amount)
{
	QueuedAmount *item;

	while (queue->last > queue->first)
	{
		item = &queue->items[(queue->last - 1) & (queue->size - 1)];
		if (queue->lowest ? item->amount < amount : item->amount > amount)
			break;
		queue->last--;
	}

	if (queue->last - queue->first == queue->size)
	{
		int64		size = queue->size == 0 ? QUEUE_INITIAL_SIZE : 2 * queue->size;
		QueuedAmount *items = MemoryContextAllocHuge(context, size * sizeof(QueuedAmount));

		for (int64 i = queue->first; i < queue->last; i++)
			items[i & (size - 1)] = queue->items[i & (queue->size - 1)];
		if (queue->items != NULL)
			pfree(queue->items);
		queue->items = items;
		queue->size = size;
	}

	item = &queue->items[queue->last++ & (queue->size - 1)];
	item->position = position;
	item->amount = amount;
}

static void
dequeue(ExtremeQueue *queue, int64 position)
{
	if (queue->last > queue->first &&
		queue->items[queue->first & (queue->size - 1)].position == position)
		queue->first++;
}

static int128
get_extreme(const ExtremeQueue *queue)
{
	if (queue->last == queue->first)
		return 0;
	return queue->items[queue->first & (queue->size - 1)].amount;
}
