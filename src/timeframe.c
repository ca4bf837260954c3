/*-------------------------------------------------------------------------
 *
 * timeframe.c
 *	  The time frames of candles, and when a candle begins
 *
 * A candle holds the times from its start up to the start of the next one.
 * Those of 1m to 1h are counted in UTC.  The others follow the close of New
 * York, 17:00 on the wall clock there: a day is an FX day, a week begins with
 * the FX day of a Monday, a month with its first FX day, and a day has six
 * candles of 4h, which begin at 17:00, 21:00, 01:00, 05:00, 09:00 and 13:00.
 * Where the clock changes, at 02:00, that of 01:00 has three hours or five.
 * They are in UTC as well where the caller wants that.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/datetime.h"

#include "compat.h"
#include "fx_day.h"
#include "timeframe.h"

#define USECS_PER_4H		(4 * USECS_PER_HOUR)
#define SECS_PER_4H			(4 * SECS_PER_HOUR)

/* From the close in New York to midnight */
#define CLOSE_SHIFT_SECS	(7 * SECS_PER_HOUR)

/* 2000-01-01, the day zero, was a Saturday */
#define FIRST_MONDAY		2

/* No more of an argument than this is shown in an error */
#define ECHO_BYTES			64

static const char *const names[FX_TIMEFRAMES] = {
	"1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w", "1mn"
};

/* Zero where the length is not fixed */
static const int64 lengths[FX_TIMEFRAMES] = {
	USECS_PER_MINUTE, 5 * USECS_PER_MINUTE, 15 * USECS_PER_MINUTE,
	30 * USECS_PER_MINUTE, USECS_PER_HOUR, 0, 0, 0, 0
};

static const int64 utc_lengths[FX_TIMEFRAMES] = {
	USECS_PER_MINUTE, 5 * USECS_PER_MINUTE, 15 * USECS_PER_MINUTE,
	30 * USECS_PER_MINUTE, USECS_PER_HOUR, USECS_PER_4H, USECS_PER_DAY, 0, 0
};

PG_FUNCTION_INFO_V1(fx_sql_candle_start);
PG_FUNCTION_INFO_V1(fx_sql_candle_end);
PG_FUNCTION_INFO_V1(fx_timeframe_rank);

static TimestampTz find_start(FxTimeframe timeframe, TimestampTz at, bool utc, int next);
static TimestampTz four_hours_start(TimestampTz at, int next);
static int64 week_start(int64 day);
static int64 month_start(int64 day, int next);

/*
 * candle_start(at timestamptz, timeframe text, alignment text)
 *		returns timestamptz
 */
Datum
fx_sql_candle_start(PG_FUNCTION_ARGS)
{
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(0);
	FxTimeframe timeframe = fx_timeframe_get(PG_GETARG_VARLENA_PP(1));
	bool		utc = fx_alignment_is_utc(PG_GETARG_VARLENA_PP(2));

	if (TIMESTAMP_NOT_FINITE(at))
		PG_RETURN_TIMESTAMPTZ(at);
	PG_RETURN_TIMESTAMPTZ(fx_candle_start(timeframe, at, utc));
}

/*
 * candle_end(start timestamptz, timeframe text, alignment text)
 *		returns timestamptz
 */
Datum
fx_sql_candle_end(PG_FUNCTION_ARGS)
{
	TimestampTz start = PG_GETARG_TIMESTAMPTZ(0);
	FxTimeframe timeframe = fx_timeframe_get(PG_GETARG_VARLENA_PP(1));
	bool		utc = fx_alignment_is_utc(PG_GETARG_VARLENA_PP(2));

	if (TIMESTAMP_NOT_FINITE(start))
		PG_RETURN_TIMESTAMPTZ(start);
	PG_RETURN_TIMESTAMPTZ(fx_candle_end(timeframe, start, utc));
}

/*
 * timeframe_rank(timeframe text) returns integer
 */
Datum
fx_timeframe_rank(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(fx_timeframe_get(PG_GETARG_VARLENA_PP(0)));
}

/*
 * The time frame that a name means; false for none.
 */
bool
fx_timeframe_parse(const char *str, int len, FxTimeframe *timeframe)
{
	if (len == 2)
	{
		switch (str[1])
		{
			case 'm':
				*timeframe = str[0] == '1' ? FX_TF_1M : FX_TF_5M;
				return str[0] == '1' || str[0] == '5';
			case 'h':
				*timeframe = str[0] == '1' ? FX_TF_1H : FX_TF_4H;
				return str[0] == '1' || str[0] == '4';
			case 'd':
				*timeframe = FX_TF_1D;
				return str[0] == '1';
			case 'w':
				*timeframe = FX_TF_1W;
				return str[0] == '1';
		}
	}
	else if (len == 3)
	{
		for (int i = 0; i < FX_TIMEFRAMES; i++)
		{
			if (memcmp(str, names[i], 3) == 0)
			{
				*timeframe = (FxTimeframe) i;
				return true;
			}
		}
	}
	return false;
}

/*
 * The same for an argument, which must be one.
 */
FxTimeframe
fx_timeframe_get(const struct varlena *name)
{
	const char *str = VARDATA_ANY(name);
	int			len = VARSIZE_ANY_EXHDR(name);
	FxTimeframe timeframe;

	if (unlikely(!fx_timeframe_parse(str, len, &timeframe)))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("timeframe \"%.*s\" does not exist",
					   pg_mbcliplen(str, len, ECHO_BYTES), str),
				errhint("Valid values are 1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w and 1mn."));
	return timeframe;
}

/*
 * Whether an alignment, 'new_york' or 'utc', is the latter.
 */
bool
fx_alignment_is_utc(const struct varlena *name)
{
	const char *str = VARDATA_ANY(name);
	int			len = VARSIZE_ANY_EXHDR(name);

	if (len == 8 && memcmp(str, "new_york", 8) == 0)
		return false;
	if (len == 3 && memcmp(str, "utc", 3) == 0)
		return true;
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("alignment \"%.*s\" does not exist",
				   pg_mbcliplen(str, len, ECHO_BYTES), str),
			errhint("Valid values are new_york and utc."));
	pg_unreachable();
}

const char *
fx_timeframe_name(FxTimeframe timeframe)
{
	return names[timeframe];
}

/*
 * When the candle that holds a finite time begins.
 */
TimestampTz
fx_candle_start(FxTimeframe timeframe, TimestampTz at, bool utc)
{
	TimestampTz start = find_start(timeframe, at, utc, 0);

	if (unlikely(!IS_VALID_TIMESTAMP(start)))
		ereport(ERROR,
				errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				errmsg("start of a candle of %s is out of range", names[timeframe]));
	return start;
}

/*
 * When the candle after it begins.  Any time within the candle will do.
 */
TimestampTz
fx_candle_end(FxTimeframe timeframe, TimestampTz start, bool utc)
{
	TimestampTz end = find_start(timeframe, start, utc, 1);

	if (unlikely(!IS_VALID_TIMESTAMP(end)))
		ereport(ERROR,
				errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				errmsg("end of a candle of %s is out of range", names[timeframe]));
	return end;
}

/*
 * The start of the candle that holds a time, or, if next is one, of that after
 * it.  Not checked against the range of timestamps.
 */
static TimestampTz
find_start(FxTimeframe timeframe, TimestampTz at, bool utc, int next)
{
	int64		length = utc ? utc_lengths[timeframe] : lengths[timeframe];
	int64		day;

	if (length != 0)
		return (fx_floor_div(at, length) + next) * length;
	if (timeframe == FX_TF_4H)
		return four_hours_start(at, next);

	day = utc ? fx_floor_div(at, USECS_PER_DAY) : fx_day_of(at);
	if (timeframe == FX_TF_1D)
		day += next;
	else if (timeframe == FX_TF_1W)
		day = week_start(day) + 7 * next;
	else
		day = month_start(day, next);
	return utc ? day * USECS_PER_DAY : fx_day_start((DateADT) day);
}

/*
 * A candle of 4h by the wall clock of New York.
 */
static TimestampTz
four_hours_start(TimestampTz at, int next)
{
	int64		secs = fx_floor_div(at, USECS_PER_SEC);
	int64		wall = secs + fx_new_york_offset(secs);
	int64		start;

	/* seven hours on, candles begin at multiples of four hours */
	start = (fx_floor_div(wall + CLOSE_SHIFT_SECS, SECS_PER_4H) + next) * SECS_PER_4H -
		CLOSE_SHIFT_SECS;

	/*
	 * New York is at least four hours behind, so this takes the offset of the
	 * start or of up to an hour before it.  The clock changes at 02:00, so
	 * that they are the same, but for 01:00 that comes twice, where it is
	 * that of the first one.
	 */
	return (start - fx_new_york_offset(start + 4 * SECS_PER_HOUR)) * USECS_PER_SEC;
}

/*
 * The Monday of a day's week.  Days count from 2000-01-01.
 */
static int64
week_start(int64 day)
{
	return fx_floor_div(day - FIRST_MONDAY, 7) * 7 + FIRST_MONDAY;
}

/*
 * The first day of a day's month, or of the month after.
 */
static int64
month_start(int64 day, int next)
{
	int			year;
	int			month;
	int			mday;

	j2date((int) day + POSTGRES_EPOCH_JDATE, &year, &month, &mday);
	if (next == 0)
		return day - (mday - 1);
	if (++month > MONTHS_PER_YEAR)
	{
		month = 1;
		year++;
	}
	return date2j(year, month, 1) - POSTGRES_EPOCH_JDATE;
}
