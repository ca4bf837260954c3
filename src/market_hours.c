/*-------------------------------------------------------------------------
 *
 * market_hours.c
 *	  When the market is open, and which candles it should have
 *
 * The market is open from Sunday to Friday, 17:00 in New York: the FX days
 * Monday to Friday, without those of fx.holidays, which are closed as a whole.
 * Holidays are read once a call, by a query with the rights of the caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "compat.h"
#include "fx_day.h"
#include "fxplatform.h"
#include "kept_plan.h"
#include "market_hours.h"
#include "timeframe.h"

/* FX days from which times and days can be computed without overflow */
#define FIRST_DAY			(DATETIME_MIN_JULIAN - POSTGRES_EPOCH_JDATE + 1)
#define LAST_DAY			(TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE - 2)

/* Days between checks for a cancel */
#define INTERRUPT_DAYS		1024

PG_FUNCTION_INFO_V1(fx_is_market_open);
PG_FUNCTION_INFO_V1(fx_open_market_time);
PG_FUNCTION_INFO_V1(fx_expected_candles);

static inline bool is_weekday(DateADT day);

/*
 * is_market_open(at timestamptz) returns boolean
 */
Datum
fx_is_market_open(PG_FUNCTION_ARGS)
{
	TimestampTz at = fx_check_market_time(PG_GETARG_TIMESTAMPTZ(0), "at");
	DateADT		day = fx_day_of(at);
	FxHolidays	holidays;

	if (!is_weekday(day))
		PG_RETURN_BOOL(false);
	fx_read_holidays(&holidays, day, day);
	PG_RETURN_BOOL(holidays.count == 0);
}

/*
 * open_market_time(since timestamptz, until timestamptz) returns interval
 */
Datum
fx_open_market_time(PG_FUNCTION_ARGS)
{
	TimestampTz since = fx_check_market_time(PG_GETARG_TIMESTAMPTZ(0), "since");
	TimestampTz until = fx_check_market_time(PG_GETARG_TIMESTAMPTZ(1), "until");
	Interval   *result = (Interval *) palloc0(sizeof(Interval));
	FxHolidays	holidays;

	if (since < until)
	{
		fx_read_holidays(&holidays, fx_day_of(since), fx_day_of(until));
		result->time = fx_open_usecs(since, until, &holidays);
	}
	PG_RETURN_INTERVAL_P(result);
}

/*
 * expected_candles(timeframe text, since timestamptz, until timestamptz,
 *					alignment text)
 *		returns setof timestamptz
 */
Datum
fx_expected_candles(PG_FUNCTION_ARGS)
{
	FxTimeframe timeframe = fx_timeframe_get(PG_GETARG_VARLENA_PP(0));
	TimestampTz since = fx_check_market_time(PG_GETARG_TIMESTAMPTZ(1), "since");
	TimestampTz until = fx_check_market_time(PG_GETARG_TIMESTAMPTZ(2), "until");
	bool		utc = fx_alignment_is_utc(PG_GETARG_VARLENA_PP(3));
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	FxHolidays	holidays;
	TimestampTz candle;
	TimestampTz span_start;
	TimestampTz span_end;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (since >= until)
		return (Datum) 0;

	/* the last candle may be open only after until */
	fx_read_holidays(&holidays, fx_day_of(since),
					 fx_day_of(fx_candle_end(timeframe, until, utc)));

	candle = fx_candle_start(timeframe, since, utc);
	if (candle < since)
		candle = fx_candle_end(timeframe, candle, utc);

	while (candle < until &&
		   fx_next_open_span(candle, fx_candle_end(timeframe, until, utc), &holidays,
							 &span_start, &span_end))
	{
		/* the one in which the market opens, unless it began before since */
		candle = Max(candle, fx_candle_start(timeframe, span_start, utc));

		for (; candle < until && candle < span_end;
			 candle = fx_candle_end(timeframe, candle, utc))
		{
			Datum		value = TimestampTzGetDatum(candle);
			bool		null = false;

			CHECK_FOR_INTERRUPTS();
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &null);
		}
	}
	return (Datum) 0;
}

/*
 * Read the holidays of some FX days, both ends included, into the current
 * context.
 */
void
fx_read_holidays(FxHolidays *holidays, DateADT first, DateADT last)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext caller = CurrentMemoryContext;
	Datum		args[2] = {DateADTGetDatum(first), DateADTGetDatum(last)};

	fx_require_table("holidays");
	SPI_connect();
	if (plan == NULL)
	{
		Oid			argtypes[2] = {DATEOID, DATEOID};

		plan = fx_kept_plan("SELECT h.day FROM fx.holidays h"
							" WHERE h.day OPERATOR(pg_catalog.>=) $1"
							" AND h.day OPERATOR(pg_catalog.<=) $2"
							" ORDER BY h.day", lengthof(argtypes), argtypes);
	}

	if (SPI_execute_plan(plan, args, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");

	holidays->count = (int) SPI_processed;
	holidays->days = NULL;
	if (holidays->count > 0)
	{
		holidays->days = (DateADT *) MemoryContextAlloc(caller, holidays->count * sizeof(DateADT));
		for (int i = 0; i < holidays->count; i++)
		{
			bool		isnull;

			holidays->days[i] = DatumGetDateADT(SPI_getbinval(SPI_tuptable->vals[i],
															  SPI_tuptable->tupdesc,
															  1, &isnull));
		}
	}
	SPI_finish();
}

/*
 * Is the market open on an FX day?
 */
bool
fx_day_is_open(DateADT day, const FxHolidays *holidays)
{
	int			low = 0;
	int			high = holidays->count;

	if (!is_weekday(day))
		return false;
	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (holidays->days[middle] == day)
			return false;
		if (holidays->days[middle] < day)
			low = middle + 1;
		else
			high = middle;
	}
	return true;
}

/*
 * Microseconds from since to until in which the market is open.  The holidays
 * are those of all days in between.
 */
int64
fx_open_usecs(TimestampTz since, TimestampTz until, const FxHolidays *holidays)
{
	int64		total = 0;
	TimestampTz start;
	TimestampTz end;

	while (since < until && fx_next_open_span(since, until, holidays, &start, &end))
	{
		CHECK_FOR_INTERRUPTS();
		total += Min(end, until) - Max(start, since);
		since = end;
	}
	return total;
}

/*
 * The first stretch of open FX days that ends after a time and begins before
 * another; false when there is none.  A stretch goes from one closure to the
 * next, or to the end of a week.  It may begin before the time, but not before
 * the FX day of it.
 */
bool
fx_next_open_span(TimestampTz at, TimestampTz until, const FxHolidays *holidays,
				  TimestampTz *start, TimestampTz *end)
{
	DateADT		day = fx_day_of(at);
	DateADT		last;
	int			skipped = 0;

	while (!fx_day_is_open(day, holidays))
	{
		if (day >= LAST_DAY || (++skipped > 2 && fx_day_start(day) >= until))
			return false;
		if (skipped % INTERRUPT_DAYS == 0)
			CHECK_FOR_INTERRUPTS();
		day++;
	}
	*start = fx_day_start(day);
	if (*start >= until)
		return false;

	/* a week is a stretch of at most five days, so this ends soon */
	last = day;
	while (fx_day_is_open(last + 1, holidays))
		last++;
	*end = fx_day_start(last + 1);
	return true;
}

/*
 * The earliest time from which the market was open for no more than usecs
 * until another.  The holidays are those from the day earliest on, where the
 * walk ends.
 */
TimestampTz
fx_open_since(TimestampTz until, int64 usecs, const FxHolidays *holidays, DateADT earliest)
{
	DateADT		day = fx_day_of(until);
	TimestampTz end = until;

	for (; day >= earliest; day--)
	{
		TimestampTz start = fx_day_start(day);

		if (fx_day_is_open(day, holidays))
		{
			if (end - start > usecs)
				return end - usecs;
			usecs -= end - start;
		}
		end = start;
	}
	return end;
}

/*
 * A finite time, away from the ends of what a timestamp can hold by enough
 * for the arithmetic of days.
 */
TimestampTz
fx_check_market_time(TimestampTz at, const char *name)
{
	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must be finite", name));
	if (at < FIRST_DAY * USECS_PER_DAY || at >= LAST_DAY * USECS_PER_DAY)
		ereport(ERROR,
				errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				errmsg("argument \"%s\" is out of range", name));
	return at;
}

/*
 * 2000-01-01, the day zero, was a Saturday.
 */
static inline bool
is_weekday(DateADT day)
{
	return (day % 7 + 7) % 7 >= 2;
}
