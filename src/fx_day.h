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

#endif							/* FX_DAY_H */
