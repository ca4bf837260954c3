/*-------------------------------------------------------------------------
 *
 * drawdowns.c
 *	  The drawdowns and the months of an equity curve
 *
 * A drawdown runs from the last point at the peak to the first that reaches it
 * again, or to the last trade where none does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/datetime.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "equity_agg.h"
#include "fx_day.h"

#define DRAWDOWNS_COLS		10
#define MONTHLY_RETURNS_COLS 5

typedef struct Drawdown
{
	int128		peak;			/* equity */
	int128		trough;
	int64		peak_at;		/* trade after which it was, -1 the start */
	int64		trough_at;
	int64		recovered_at;	/* -1 where it is not over */
	int64		last_at;		/* the recovery or the last trade */
	double		fraction;
} Drawdown;

PG_FUNCTION_INFO_V1(fx_drawdowns);
PG_FUNCTION_INFO_V1(fx_drawdowns_of_equity);
PG_FUNCTION_INFO_V1(fx_drawdowns_of_text);
PG_FUNCTION_INFO_V1(fx_monthly_returns);
PG_FUNCTION_INFO_V1(fx_monthly_returns_of_equity);
PG_FUNCTION_INFO_V1(fx_monthly_returns_of_text);

static Datum put_drawdowns(FunctionCallInfo fcinfo, FxTradesSource read);
static Datum put_months(FunctionCallInfo fcinfo, FxTradesSource read);
static Drawdown *find_drawdowns(const FxTrades *trades, int128 balance, Size *count);
static void put_drawdown(ReturnSetInfo *rsinfo, const FxTrades *trades, TimestampTz begin,
						 const Drawdown *drawdown, int32 rank);
static int	compare_drawdowns(const void *a, const void *b);
static TimestampTz first_opening(const FxTrades *trades);
static int	month_of(DateADT day);
static DateADT first_day_of(int month);

/*
 * drawdowns(trades jsonb, initial_balance numeric, top integer)
 *		returns table (rank integer, peak_at timestamptz, trough_at timestamptz,
 *					   recovered_at timestamptz, peak numeric, trough numeric,
 *					   drawdown numeric, drawdown_fraction float8,
 *					   trade_count bigint, length interval)
 */
Datum
fx_drawdowns(PG_FUNCTION_ARGS)
{
	return put_drawdowns(fcinfo, fx_trades_read_jsonb);
}

/*
 * drawdowns(equity, initial_balance numeric, top integer) returns table, as
 * above
 */
Datum
fx_drawdowns_of_equity(PG_FUNCTION_ARGS)
{
	return put_drawdowns(fcinfo, fx_equity_read);
}

/*
 * drawdowns(trades text, ...), with the same arguments and result
 */
Datum
fx_drawdowns_of_text(PG_FUNCTION_ARGS)
{
	return put_drawdowns(fcinfo, fx_trades_read_text);
}

/*
 * monthly_returns(trades jsonb, initial_balance numeric)
 *		returns table (month date, trade_count bigint, net_profit numeric,
 *					   equity numeric, return_fraction float8)
 */
Datum
fx_monthly_returns(PG_FUNCTION_ARGS)
{
	return put_months(fcinfo, fx_trades_read_jsonb);
}

/*
 * monthly_returns(equity, initial_balance numeric) returns table, as above
 */
Datum
fx_monthly_returns_of_equity(PG_FUNCTION_ARGS)
{
	return put_months(fcinfo, fx_equity_read);
}

/*
 * monthly_returns(trades text, ...), with the same arguments and result
 */
Datum
fx_monthly_returns_of_text(PG_FUNCTION_ARGS)
{
	return put_months(fcinfo, fx_trades_read_text);
}

static Datum
put_drawdowns(FunctionCallInfo fcinfo, FxTradesSource read)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int128		balance = fx_initial_balance(PG_GETARG_DATUM(1));
	int32		top = PG_GETARG_INT32(2);
	FxTrades	trades;
	Drawdown   *drawdowns;
	TimestampTz begin;
	Size		count;

	if (top < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must be greater than zero", "top"));

	read(PG_GETARG_DATUM(0), &trades);
	InitMaterializedSRF(fcinfo, 0);
	drawdowns = find_drawdowns(&trades, balance, &count);
	qsort(drawdowns, count, sizeof(Drawdown), compare_drawdowns);
	begin = first_opening(&trades);
	for (Size i = 0; i < count && i < (Size) top; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_drawdown(rsinfo, &trades, begin, &drawdowns[i], (int32) i + 1);
	}
	return (Datum) 0;
}

/*
 * Months of the FX days, without a gap.  Trades without times have none.
 */
static Datum
put_months(FunctionCallInfo fcinfo, FxTradesSource read)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int128		balance = fx_initial_balance(PG_GETARG_DATUM(1));
	int128		before = balance;
	FxTrades	trades;
	uint32		next = 0;
	int			last;

	read(PG_GETARG_DATUM(0), &trades);
	InitMaterializedSRF(fcinfo, 0);
	if (!trades.timed)
		return (Datum) 0;

	last = month_of(fx_day_of(trades.items[trades.count - 1].closed_at));
	for (int month = month_of(fx_day_of(first_opening(&trades))); month <= last; month++)
	{
		int128		equity = before;
		int128		net;
		int64		count = 0;
		char		numbers[2][FX_FIXED_NUMERIC_SIZE] pg_attribute_aligned(MAXIMUM_ALIGNOF);
		Datum		values[MONTHLY_RETURNS_COLS];
		bool		nulls[MONTHLY_RETURNS_COLS] = {0};

		CHECK_FOR_INTERRUPTS();
		for (; next < trades.count &&
			 month_of(fx_day_of(trades.items[next].closed_at)) <= month; next++, count++)
		{
			if (fx_fixed_add_overflow(equity, trades.items[next].net, &equity))
				fx_fixed_raise(FX_FIXED_OVERFLOW, "equity");
		}

		if (fx_fixed_sub_overflow(equity, before, &net))
			fx_fixed_raise(FX_FIXED_OVERFLOW, "net profit of a month");
		fx_fixed_write_numeric(net, false, numbers[0]);
		fx_fixed_write_numeric(equity, false, numbers[1]);
		values[0] = DateADTGetDatum(first_day_of(month));
		values[1] = Int64GetDatum(count);
		values[2] = PointerGetDatum(numbers[0]);
		values[3] = PointerGetDatum(numbers[1]);
		/* there is no return on nothing */
		nulls[4] = before <= 0;
		values[4] = Float8GetDatum(nulls[4] ? 0 : (double) net / (double) before);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		before = equity;
	}
	return (Datum) 0;
}

static Drawdown *
find_drawdowns(const FxTrades *trades, int128 balance, Size *count)
{
	Size		capacity = 64;
	Drawdown   *drawdowns = palloc(capacity * sizeof(Drawdown));
	int128		equity = balance;
	int128		peak = balance;
	int64		peak_at = -1;
	Drawdown   *open = NULL;

	*count = 0;
	for (uint32 i = 0; i < trades->count; i++)
	{
		int128		depth;

		if ((i & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
		if (fx_fixed_add_overflow(equity, trades->items[i].net, &equity))
			fx_fixed_raise(FX_FIXED_OVERFLOW, "equity");
		if (fx_fixed_sub_overflow(peak, equity, &depth))
			fx_fixed_raise(FX_FIXED_OVERFLOW, "drawdown");

		if (depth <= 0)
		{
			if (open != NULL)
				open->recovered_at = open->last_at = i;
			open = NULL;
			peak = equity;
			peak_at = i;
			continue;
		}
		if (open == NULL)
		{
			if (*count == capacity)
			{
				capacity *= 2;
				drawdowns = repalloc_huge(drawdowns, capacity * sizeof(Drawdown));
			}
			open = &drawdowns[(*count)++];
			open->peak = open->trough = peak;
			open->peak_at = peak_at;
			open->recovered_at = -1;
		}
		open->last_at = i;
		if (equity < open->trough)
		{
			open->trough = equity;
			open->trough_at = i;
			open->fraction = (double) depth / (double) peak;
		}
	}
	return drawdowns;
}

static void
put_drawdown(ReturnSetInfo *rsinfo, const FxTrades *trades, TimestampTz begin,
			 const Drawdown *drawdown, int32 rank)
{
	const FxTrade *items = trades->items;
	char		numbers[3][FX_FIXED_NUMERIC_SIZE] pg_attribute_aligned(MAXIMUM_ALIGNOF);
	Datum		values[DRAWDOWNS_COLS] = {0};
	bool		nulls[DRAWDOWNS_COLS] = {0};
	TimestampTz since = drawdown->peak_at >= 0 ? items[drawdown->peak_at].closed_at : begin;
	Interval	length = {0};

	fx_fixed_write_numeric(drawdown->peak, false, numbers[0]);
	fx_fixed_write_numeric(drawdown->trough, false, numbers[1]);
	fx_fixed_write_numeric(drawdown->peak - drawdown->trough, false, numbers[2]);

	values[0] = Int32GetDatum(rank);
	nulls[1] = !trades->timed || drawdown->peak_at < 0;
	if (!nulls[1])
		values[1] = TimestampTzGetDatum(items[drawdown->peak_at].closed_at);
	nulls[2] = !trades->timed;
	values[2] = TimestampTzGetDatum(items[drawdown->trough_at].closed_at);
	nulls[3] = !trades->timed || drawdown->recovered_at < 0;
	if (!nulls[3])
		values[3] = TimestampTzGetDatum(items[drawdown->recovered_at].closed_at);
	for (int i = 0; i < 3; i++)
		values[4 + i] = PointerGetDatum(numbers[i]);
	values[7] = Float8GetDatum(drawdown->fraction);
	values[8] = Int64GetDatum(drawdown->last_at - drawdown->peak_at);
	nulls[9] = !trades->timed;
	length.day = (int32) ((items[drawdown->last_at].closed_at - since) / USECS_PER_DAY);
	length.time = (items[drawdown->last_at].closed_at - since) % USECS_PER_DAY;
	values[9] = IntervalPGetDatum(&length);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * The deepest share of the peak first, of equal ones the earlier.
 */
static int
compare_drawdowns(const void *a, const void *b)
{
	const Drawdown *x = a;
	const Drawdown *y = b;

	if (x->fraction != y->fraction)
		return x->fraction > y->fraction ? -1 : 1;
	return x->trough_at < y->trough_at ? -1 : 1;
}

static TimestampTz
first_opening(const FxTrades *trades)
{
	TimestampTz first = PG_INT64_MAX;

	for (uint32 i = 0; i < trades->count; i++)
		first = Min(first, trades->items[i].opened_at);
	return first;
}

/*
 * Months counted from the year 0.
 */
static int
month_of(DateADT day)
{
	static DateADT last_day = 0;
	static int	last_month = 2000 * MONTHS_PER_YEAR;

	/* neighbours mostly have the same day */
	if (day != last_day)
	{
		int			year;
		int			month;
		int			of_month;

		j2date(day + POSTGRES_EPOCH_JDATE, &year, &month, &of_month);
		last_month = year * MONTHS_PER_YEAR + month - 1;
		last_day = day;
	}
	return last_month;
}

static DateADT
first_day_of(int month)
{
	return date2j(month / MONTHS_PER_YEAR, month % MONTHS_PER_YEAR + 1, 1) - POSTGRES_EPOCH_JDATE;
}
