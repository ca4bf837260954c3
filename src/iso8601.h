/*-------------------------------------------------------------------------
 *
 * iso8601.h
 *	  Times as JSON carries them
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_ISO8601_H
#define FX_ISO8601_H

#include "datatype/timestamp.h"

/* Room for "294276-12-31T23:59:59.999999+00:00" and a zero byte */
#define FX_ISO8601_SIZE		36

extern bool fx_iso8601_parse(const char *str, Size len, TimestampTz *result);
extern int	fx_iso8601_write(TimestampTz ts, char *buf);

#endif							/* FX_ISO8601_H */
