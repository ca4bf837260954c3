/*-------------------------------------------------------------------------
 *
 * timeframe.h
 *	  The time frames of candles, and when a candle begins
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_TIMEFRAME_H
#define FX_TIMEFRAME_H

#include "datatype/timestamp.h"

/* From the finest to the coarsest */
typedef enum FxTimeframe
{
	FX_TF_1M,
	FX_TF_5M,
	FX_TF_15M,
	FX_TF_30M,
	FX_TF_1H,
	FX_TF_4H,
	FX_TF_1D,
	FX_TF_1W,
	FX_TF_1MN
} FxTimeframe;

#define FX_TIMEFRAMES		9

extern bool fx_timeframe_parse(const char *str, int len, FxTimeframe *timeframe);
extern FxTimeframe fx_timeframe_get(const struct varlena *name);
extern bool fx_alignment_is_utc(const struct varlena *name);
extern const char *fx_timeframe_name(FxTimeframe timeframe);
extern TimestampTz fx_candle_start(FxTimeframe timeframe, TimestampTz at, bool utc);
extern TimestampTz fx_candle_end(FxTimeframe timeframe, TimestampTz start, bool utc);

#endif							/* FX_TIMEFRAME_H */
