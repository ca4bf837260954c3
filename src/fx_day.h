/*-------------------------------------------------------------------------
 *
 * fx_day.h
 *	  The FX trading day
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_DAY_H
#define FX_DAY_H

#include "utils/date.h"
#include "utils/timestamp.h"

extern DateADT fx_day_of(TimestampTz ts);
extern TimestampTz fx_day_start(DateADT day);
extern int64 fx_new_york_offset(int64 secs);

/*
 * Divide, rounding down.
 */
static inline int64
fx_floor_div(int64 num, int64 den)
{
	int64		quotient = num / den;

	return num % den < 0 ? quotient - 1 : quotient;
}

#endif							/* FX_DAY_H */
