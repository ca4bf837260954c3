/*-------------------------------------------------------------------------
 *
 * market_hours.h
 *	  When the market is open
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_MARKET_HOURS_H
#define FX_MARKET_HOURS_H

#include "utils/date.h"
#include "utils/timestamp.h"

/* FX days of fx.holidays, ascending */
typedef struct FxHolidays
{
	int			count;
	DateADT	   *days;
} FxHolidays;

extern void fx_read_holidays(FxHolidays *holidays, DateADT first, DateADT last);
extern bool fx_day_is_open(DateADT day, const FxHolidays *holidays);
extern int64 fx_open_usecs(TimestampTz since, TimestampTz until, const FxHolidays *holidays);
extern bool fx_next_open_span(TimestampTz at, TimestampTz until, const FxHolidays *holidays,
							  TimestampTz *start, TimestampTz *end);
extern TimestampTz fx_open_since(TimestampTz until, int64 usecs, const FxHolidays *holidays,
								 DateADT earliest);
extern TimestampTz fx_check_market_time(TimestampTz at, const char *name);

#endif							/* FX_MARKET_HOURS_H */
