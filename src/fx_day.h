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

#endif							/* FX_DAY_H */
