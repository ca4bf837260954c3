/*-------------------------------------------------------------------------
 *
 * candle_input.h
 *	  Candles as they come from outside, and what is wrong with them
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_CANDLE_INPUT_H
#define FX_CANDLE_INPUT_H

#include "lib/stringinfo.h"
#include "timeframe.h"
#include "utils/jsonb.h"

/* What fx.candle has, in its order */
typedef enum FxCandleField
{
	FX_CANDLE_SYMBOL,
	FX_CANDLE_TIMEFRAME,
	FX_CANDLE_TIMESTAMP,
	FX_CANDLE_OPEN,
	FX_CANDLE_HIGH,
	FX_CANDLE_LOW,
	FX_CANDLE_CLOSE,
	FX_CANDLE_VOLUME
} FxCandleField;

#define FX_CANDLE_FIELDS	8

typedef struct FxCandle
{
	const char *symbol;			/* not terminated, in the memory of the input */
	int			symbol_len;
	FxTimeframe timeframe;
	TimestampTz at;
	int64		prices[4];		/* open, high, low, close at scale 8 */
	int64		volume;
	uint32		position;		/* in the input */
	uint32		occurrence;		/* how many of the same key come before it */
} FxCandle;

extern bool fx_candle_spelled_timeframe(const char *str, int len, FxTimeframe *timeframe);
extern void fx_candle_from_values(const Datum *values, const bool *nulls,
								  TimestampTz latest, FxCandle *candle, StringInfo faults);
extern void fx_candle_from_json(const JsonbValue *element, TimestampTz latest,
								FxCandle *candle, StringInfo faults);

#endif							/* FX_CANDLE_INPUT_H */
