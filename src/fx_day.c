/*-------------------------------------------------------------------------
 *
 * fx_day.c
 *	  The FX trading day, which rolls at 17:00 in New York
 *
 * The day of a time is the date of its wall clock in New York seven hours on:
 * Sunday 17:00 begins Monday.
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

/* A slot has 2^21 seconds, 24 days */
#define OFFSET_SLOT_BITS	21
#define OFFSET_SLOTS		512		/* a power of two */

/*
 * The offset of New York in one slot.  The clock changes at most once in it: two
 * changes were never closer than 47 days, in 1945.
 */
typedef struct OffsetSlot
{
	int64		number;			/* seconds from 2000 >> OFFSET_SLOT_BITS */
	int64		boundary;		/* when the clock changes next, from 2000 */
	int32		before;			/* seconds to add to UTC before that */
	int32		after;			/* and from then on, to the end of the slot */
	bool		filled;
} OffsetSlot;

PG_FUNCTION_INFO_V1(fx_fx_day);
PG_FUNCTION_INFO_V1(fx_fx_day_start);

static void fill_offset_slot(OffsetSlot *slot, int64 number);

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
	int64		secs = fx_floor_div(ts, USECS_PER_SEC);

	return (DateADT) fx_floor_div(secs + fx_new_york_offset(secs) + FX_DAY_SHIFT_SECS,
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
 *
 * Called for each row, in any order of time: what it finds is kept by slots of
 * 24 days, so that 34 years fit.
 */
int64
fx_new_york_offset(int64 secs)
{
	static OffsetSlot slots[OFFSET_SLOTS];
	int64		number = secs >> OFFSET_SLOT_BITS;
	OffsetSlot *slot = &slots[number & (OFFSET_SLOTS - 1)];

	if (unlikely(slot->number != number || !slot->filled))
		fill_offset_slot(slot, number);
	return secs < slot->boundary ? slot->before : slot->after;
}

static void
fill_offset_slot(OffsetSlot *slot, int64 number)
{
	static pg_tz *zone = NULL;
	pg_time_t	at = (pg_time_t) (number * (INT64CONST(1) << OFFSET_SLOT_BITS) + EPOCH_DIFF_SECS);
	pg_time_t	boundary;
	long		before;
	long		after;
	int			isdst;
	int			isdst_after;

	if (zone == NULL)
		zone = pg_tzset(FX_DAY_ZONE);
	if (zone == NULL)
		ereport(ERROR,
				errcode(ERRCODE_CONFIG_FILE_ERROR),
				errmsg("time zone \"%s\" is not known to this server", FX_DAY_ZONE));

	slot->filled = false;
	switch (pg_next_dst_boundary(&at, &before, &isdst, &boundary,
								 &after, &isdst_after, zone))
	{
		case 1:
			slot->boundary = (int64) boundary - EPOCH_DIFF_SECS;
			break;
		case 0:
			slot->boundary = PG_INT64_MAX;
			after = before;
			break;
		default:
			elog(ERROR, "could not find the offset of time zone \"%s\"", FX_DAY_ZONE);
	}
	slot->before = (int32) before;
	slot->after = (int32) after;
	slot->number = number;
	slot->filled = true;
}
