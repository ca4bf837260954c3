/*-------------------------------------------------------------------------
 *
 * candlestick.h
 *	  The type candlestick: open, high, low, close and volume
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_CANDLESTICK_H
#define FX_CANDLESTICK_H

#include "datatype/timestamp.h"
#include "fmgr.h"

#include "fixed.h"

#define FX_CANDLESTICK_VERSION	1

/* Set in flags when volume is not null */
#define FX_CANDLESTICK_HAS_VOLUME	0x01

/* Prices are those of DECIMAL(18,8): below 10^10 */
#define FX_CANDLESTICK_MAX_PRICE	INT64CONST(999999999999999999)

/* Times are of the years 1 to 9999, which ISO 8601 can write */
#define FX_CANDLESTICK_MIN_TIME		(INT64CONST(-730119) * USECS_PER_DAY)
#define FX_CANDLESTICK_END_TIME		(INT64CONST(2921940) * USECS_PER_DAY)

/*
 * A varlena, and the transition state of its aggregates as well.  The same
 * content has the same bytes.
 */
typedef struct FxCandlestick
{
	int32		vl_len_;		/* varlena header (do not touch directly!) */
	uint8		version;		/* FX_CANDLESTICK_VERSION */
	uint8		flags;			/* FX_CANDLESTICK_HAS_VOLUME or zero */
	uint8		unused[2];		/* zero */
	TimestampTz first_at;		/* time of the open */
	TimestampTz last_at;		/* time of the close */
	int64		open;			/* prices at scale 8 */
	int64		high;
	int64		low;
	int64		close;
	int64		volume;			/* not below zero; zero where it is null */
} FxCandlestick;

#define DatumGetCandlestickP(X)		((FxCandlestick *) PG_DETOAST_DATUM(X))
#define PG_GETARG_CANDLESTICK_P(n)	DatumGetCandlestickP(PG_GETARG_DATUM(n))

extern FxCandlestick *fx_candlestick_make(void);
extern void fx_candlestick_merge(FxCandlestick *into, const FxCandlestick *from);

#endif							/* FX_CANDLESTICK_H */
