/*-------------------------------------------------------------------------
 *
 * rates.h
 *	  Rates between currencies by the stored candles
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_RATES_H
#define FX_RATES_H

#include "compat.h"
#include "datatype/timestamp.h"

/* Letters of a currency code, and room for the symbol of an instrument in any encoding */
#define FX_CURRENCY_MIN		3
#define FX_CURRENCY_MAX		10
#define FX_SYMBOL_SIZE		81

typedef enum FxRateMethod
{
	FX_RATE_SAME,				/* no leg */
	FX_RATE_DIRECT,				/* one */
	FX_RATE_INVERSE,			/* one */
	FX_RATE_CROSS				/* two */
} FxRateMethod;

/* A price that goes into a rate */
typedef struct FxRateLeg
{
	char		symbol[FX_SYMBOL_SIZE];
	bool		inverse;		/* the rate is 1 / price */
	int64		price;			/* at scale 8, positive */
	TimestampTz observed_at;	/* end of its candle, or as_of when that is earlier */
	int64		age;			/* microseconds of open market from then to as_of */
} FxRateLeg;

typedef struct FxRate
{
	FxRateMethod method;
	int			nlegs;
	FxRateLeg	legs[2];
	TimestampTz observed_at;	/* of the leg observed first */
	int64		age;			/* of that leg */
} FxRate;

extern bool fx_currency_rate(const char *from, const char *to, TimestampTz as_of, FxRate *rate);
extern bool fx_symbol_price(const char *symbol, TimestampTz as_of, FxRateLeg *leg);
extern void fx_rate_fraction(const FxRate *rate, int128 *num, int128 *den);
extern int128 fx_rate_apply(const FxRate *rate, int128 amount);
extern Datum fx_rate_get_numeric(const FxRate *rate);

#endif							/* FX_RATES_H */
