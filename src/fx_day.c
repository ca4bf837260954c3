/*-------------------------------------------------------------------------
 *
 * fx_day.c
 *	  The FX trading day, which rolls at 17:00 in New York
 *
 * The day of a time is the date of its wall clock in New York seven hours on:
 * Sunday 17:00 begins Monday.  Trades come in the order of time, so the offset
 * of New York is kept with the interval for which it holds, and looked up
 * again only beyond that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "pgtime.h"

#include "compat.h"
#include "fx_day.h"

#define FX_DAY_ZONE			"America/New_York"
#define FX_DAY_SHIFT_SECS	(7 * SECS_PER_HOUR)

/* Seconds from 1970, the epoch of pg_time_t, to 2000, that of TimestampTz */
#define EPOCH_DIFF_SECS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

PG_FUNCTION_INFO_V1(fx_fx_day);
PG_FUNCTION_INFO_V1(fx_fx_day_start);

static int64 floor_div(int64 num, int64 den);

/*
 * fx_day(at timestamptz) returns date
 */
Datum
fx_fx_day(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);
	DateADT		day;

	if (TIMESTAMP_IS_NOBEGIN(at))
		DATE_NOBEGIN(day);
	else if (TIMESTAMP_IS_NOEND(at))
		DATE_NOEND(day);
	else
		day = fx_day_of(at);

	PG_RETURN_DATEADT(day);
}

/*
 * The FX day of a finite time.
 */
DateADT
fx_day_of(TimestampTz ts)
{
	int64		secs = floor_div(ts, USECS_PER_SEC);

	return (DateADT) floor_div(secs + fx_new_york_offset(secs) + FX_DAY_SHIFT_SECS,
							   SECS_PER_DAY);
}

/*
 * fx_day_start(day date) returns timestamptz
 */
Datum
fx_fx_day_start(PG_FUNCTION_ARGS)
{
	DateADT		day = PG_GETARG_DATEADT(0);
	TimestampTz start;

	if (DATE_IS_NOBEGIN(day))
		TIMESTAMP_NOBEGIN(start);
	else if (DATE_IS_NOEND(day))
		TIMESTAMP_NOEND(start);
	else
	{
		/* a day of margin for the zone */
		if (day <= DATETIME_MIN_JULIAN - POSTGRES_EPOCH_JDATE ||
			day >= TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE)
			ereport(ERROR,
					errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
					errmsg("argument \"%s\" is out of range", "day"));
		start = fx_day_start(day);
	}

	PG_RETURN_TIMESTAMPTZ(start);
}

/*
 * When a finite FX day begins: 17:00 in New York on the calendar day before.
 */
TimestampTz
fx_day_start(DateADT day)
{
	int64		wall = (int64) day * SECS_PER_DAY - FX_DAY_SHIFT_SECS;

	/*
	 * Clocks change in the small hours, so the offset of a moment some hours
	 * off is that of the moment itself.
	 */
	return (wall - fx_new_york_offset(wall + 5 * SECS_PER_HOUR)) * USECS_PER_SEC;
}

/*
 * Seconds to add to UTC for the wall clock of New York.  secs counts from
 * 2000.
 */
int64
fx_new_york_offset(int64 secs)
{
	static pg_tz *zone = NULL;
	static int64 valid_from = 1;
	static int64 valid_until = 0;	/* excluded; empty at first */
	static long offset;

	if (secs < valid_from || secs >= valid_until)
	{
		pg_time_t	at = (pg_time_t) (secs + EPOCH_DIFF_SECS);
		pg_time_t	boundary;
		long		offset_now;
		long		offset_after;
		int			isdst;
		int			isdst_after;

		if (zone == NULL)
			zone = pg_tzset(FX_DAY_ZONE);
		if (zone == NULL)
			ereport(ERROR,
					errcode(ERRCODE_CONFIG_FILE_ERROR),
					errmsg("time zone \"%s\" is not known to this server", FX_DAY_ZONE));

		switch (pg_next_dst_boundary(&at, &offset_now, &isdst, &boundary,
									 &offset_after, &isdst_after, zone))
		{
			case 1:
				valid_until = (int64) boundary - EPOCH_DIFF_SECS;
				break;
			case 0:
				valid_until = PG_INT64_MAX;
				break;
			default:
				elog(ERROR, "could not find the offset of time zone \"%s\"", FX_DAY_ZONE);
		}
		valid_from = secs;
		offset = offset_now;
	}
	return offset;
}

static int64
floor_div(int64 num, int64 den)
{
	int64		quotient = num / den;

	return num % den < 0 ? quotient - 1 : quotient;
}
