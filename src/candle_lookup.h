/*-------------------------------------------------------------------------
 *
 * candle_lookup.h
 *	  The newest stored candle of a series at some time
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_CANDLE_LOOKUP_H
#define FX_CANDLE_LOOKUP_H

#include "datatype/timestamp.h"
#include "timeframe.h"

/* A row of fx.market_data */
typedef struct FxCandle
{
	TimestampTz at;				/* when it opens */
	int64		open;			/* prices at scale 8 (fixed.h) */
	int64		high;
	int64		low;
	int64		close;
	int64		volume;			/* 0 when null */
	bool		volume_isnull;
} FxCandle;

typedef struct FxLookup FxLookup;

extern FxLookup *fx_lookup_begin(void);
extern bool fx_lookup_next(FxLookup *lookup, const char *symbol, int symbol_len,
						   FxTimeframe timeframe, TimestampTz at, TimestampTz oldest,
						   FxCandle *candle);
extern bool fx_lookup_may_have(FxLookup *lookup, const char *symbol, int symbol_len,
							   TimestampTz at, TimestampTz oldest);
extern void fx_lookup_end(FxLookup *lookup);

#endif							/* FX_CANDLE_LOOKUP_H */
