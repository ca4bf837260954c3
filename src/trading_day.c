/*-------------------------------------------------------------------------
 *
 * trading_day.c
 *	  Trading days, weeks and months of an account, and their turn
 *
 * A trading day goes from one cut to the next: at the same time of each day by
 * the wall clock of a time zone.  A cut in the first half of a day begins the
 * day of that date, a later one the day of the next: 17:00 in New York on
 * Sunday begins Monday.  Weeks begin with the day called Monday, months with
 * that called the 1st.
 *
 * A time that the clock skips is that at which it goes on.  One that it shows
 * twice is the second, as AT TIME ZONE has it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "account.h"
#include "account_rows.h"
#include "fx_day.h"
#include "kept_plan.h"
#include "market_hours.h"

/* Seconds from 1970, the epoch of pg_time_t, to 2000, that of TimestampTz */
#define EPOCH_DIFF_SECS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

/* From here on a cut begins the day of the next date */
#define NEXT_DATE_CUTOFF	(12 * USECS_PER_HOUR)

#define PERIOD_COLUMNS		5

PG_FUNCTION_INFO_V1(fx_trading_periods);

static int32 count_trades_since(const FxAccount *account, TimestampTz start);
static DateADT day_of(const FxAccount *account, TimestampTz at);
static TimestampTz day_start(const FxAccount *account, DateADT day);
static TimestampTz cut_on(const FxAccount *account, DateADT date);

/*
 * trading_periods(time_zone text, day_cutoff time, at timestamptz)
 *		returns record
 */
Datum
fx_trading_periods(PG_FUNCTION_ARGS)
{
	char	   *zone = text_to_cstring(PG_GETARG_TEXT_PP(0));
	TimestampTz at = fx_check_market_time(PG_GETARG_TIMESTAMPTZ(2), "at");
	FxAccount	account = {0};
	TupleDesc	tupdesc;
	Datum		values[PERIOD_COLUMNS];
	bool		nulls[PERIOD_COLUMNS] = {0};
	TimestampTz end;
	TimestampTz ignored;
	TimestampTz starts[FX_PERIODS];

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	account.zone = fx_zone_get(zone);
	account.cutoff = PG_GETARG_TIMEADT(1);
	if (account.zone == NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("time zone \"%s\" is not known", zone));
	if (account.cutoff >= USECS_PER_DAY)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must be before 24:00", "day_cutoff"));

	fx_period_bounds(&account, at, FX_DAY, &starts[FX_DAY], &end);
	fx_period_bounds(&account, at, FX_WEEK, &starts[FX_WEEK], &ignored);
	fx_period_bounds(&account, at, FX_MONTH, &starts[FX_MONTH], &ignored);

	values[0] = DateADTGetDatum(day_of(&account, at));
	values[1] = TimestampTzGetDatum(starts[FX_DAY]);
	values[2] = TimestampTzGetDatum(end);
	values[3] = TimestampTzGetDatum(starts[FX_WEEK]);
	values[4] = TimestampTzGetDatum(starts[FX_MONTH]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls)));
}

/*
 * The trading day, week or month that a time is in: start <= at < end.
 */
void
fx_period_bounds(const FxAccount *account, TimestampTz at, FxPeriodKind kind,
				 TimestampTz *start, TimestampTz *end)
{
	DateADT		first = day_of(account, at);
	DateADT		next = first + 1;
	int			year;
	int			month;
	int			day;

	switch (kind)
	{
		case FX_DAY:
			break;

		case FX_WEEK:
			/* day 2, the 3rd of January 2000, was a Monday */
			first = 2 + 7 * (DateADT) fx_floor_div(first - 2, 7);
			next = first + 7;
			break;

		case FX_MONTH:
			j2date(first + POSTGRES_EPOCH_JDATE, &year, &month, &day);
			first -= day - 1;
			next = date2j(month == MONTHS_PER_YEAR ? year + 1 : year,
						  month == MONTHS_PER_YEAR ? 1 : month + 1, 1) - POSTGRES_EPOCH_JDATE;
			break;
	}
	*start = day_start(account, first);
	*end = day_start(account, next);
}

/*
 * Let the periods end that are over, and begin those of now.
 *
 * This happens at the first event after a cut, so that the balance is still
 * what it was then; open positions are valued by the prices of that moment.
 */
void
fx_account_roll(FxAccount *account)
{
	TimestampTz start;
	TimestampTz end;

	if (likely(account->now < account->day_ends_at))
		return;

	account->eod_high_water_mark = Max(account->eod_high_water_mark, account->balance);

	/* backwards, as the end of the day is wanted last */
	for (int kind = FX_PERIODS - 1; kind >= FX_DAY; kind--)
	{
		FxPeriod   *period = &account->periods[kind];

		fx_period_bounds(account, account->now, (FxPeriodKind) kind, &start, &end);
		if (kind != FX_DAY && start <= period->started_at)
			continue;
		period->started_at = start;
		period->balance = account->balance;
		/* a candle that opens at the cut closes after it */
		period->equity_known = fx_account_equity_at(account, start - 1, &period->equity);
		period->deposits = 0;
	}
	account->day_ends_at = end;
	account->day_trades = count_trades_since(account, start);
	account->dirty = true;
}

/*
 * Trades that were executed in the day that begins, by a clock that goes before
 * ours.  Those of the statement at work are not in its snapshot: they count
 * when they are booked.
 */
static int32
count_trades_since(const FxAccount *account, TimestampTz start)
{
	static SPIPlanPtr plan = NULL;
	Datum		args[] = {UUIDPGetDatum(&account->user_id), TimestampTzGetDatum(start)};
	int64		count;
	bool		isnull;

	SPI_connect();
	if (plan == NULL)
	{
		Oid			argtypes[] = {UUIDOID, TIMESTAMPTZOID};

		plan = fx_kept_plan("SELECT pg_catalog.count(*) FROM fx.trades t"
							" WHERE t.user_id OPERATOR(pg_catalog.=) $1"
							" AND t.status::pg_catalog.text OPERATOR(pg_catalog.=) 'executed'"
							" AND NOT t.is_backtest"
							" AND t.executed_at OPERATOR(pg_catalog.>=) $2",
							lengthof(argtypes), argtypes);
	}
	if (SPI_execute_plan(plan, args, NULL, true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not count trades");
	count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return (int32) Min(count, PG_INT32_MAX);
}

/*
 * The name of the trading day that a time is in.
 */
static DateADT
day_of(const FxAccount *account, TimestampTz at)
{
	pg_time_t	secs = (pg_time_t) fx_floor_div(at, USECS_PER_SEC) + EPOCH_DIFF_SECS;
	struct pg_tm *local = pg_localtime(&secs, account->zone);
	DateADT		date;

	if (local == NULL)
		elog(ERROR, "could not find the local time");
	date = (DateADT) fx_floor_div(secs - EPOCH_DIFF_SECS + local->tm_gmtoff, SECS_PER_DAY);

	/* the last date whose cut is not after the time, which some zones move by a day */
	while (cut_on(account, date) > at)
		date--;
	while (cut_on(account, date + 1) <= at)
		date++;
	return account->cutoff >= NEXT_DATE_CUTOFF ? date + 1 : date;
}

static TimestampTz
day_start(const FxAccount *account, DateADT day)
{
	return cut_on(account, account->cutoff >= NEXT_DATE_CUTOFF ? day - 1 : day);
}

/*
 * When the wall clock shows the cut-off on a date.
 */
static TimestampTz
cut_on(const FxAccount *account, DateADT date)
{
	int64		wall = (int64) date * SECS_PER_DAY + account->cutoff / USECS_PER_SEC +
		EPOCH_DIFF_SECS;
	pg_time_t	before = (pg_time_t) (wall - SECS_PER_DAY);
	pg_time_t	boundary;
	long		offset;
	long		offset_after;
	int			isdst;
	int			isdst_after;
	int64		secs;

	/* the clock changes at most once in the two days around it */
	switch (pg_next_dst_boundary(&before, &offset, &isdst, &boundary,
								 &offset_after, &isdst_after, account->zone))
	{
		case 0:
			secs = wall - offset;
			break;

		case 1:
			if (wall - offset < boundary && wall - offset_after < boundary)
				secs = wall - offset;
			else if (wall - offset_after >= boundary)
				secs = wall - offset_after;
			else
			{
				/* skipped */
				return (boundary - EPOCH_DIFF_SECS) * USECS_PER_SEC;
			}
			break;

		default:
			elog(ERROR, "could not find the offset of a time zone");
	}
	return (secs - EPOCH_DIFF_SECS) * USECS_PER_SEC + account->cutoff % USECS_PER_SEC;
}
