/*-------------------------------------------------------------------------
 *
 * prices.h
 *	  Instruments, their prices and what their currencies are worth, for the
 *	  risk engine
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_PRICES_H
#define FX_PRICES_H

#include "rates.h"

/* What is known of an instrument for an account of some currency */
typedef struct FxQuote
{
	char		base[FX_CURRENCY_MAX + 1];	/* empty when the instrument is not known */
	char		quote[FX_CURRENCY_MAX + 1];
	bool		has_price;		/* a fresh one */
	int64		price;			/* at scale 8 */
	bool		has_rate;		/* from the quote currency to the account's */
	FxRate		rate;
	bool		has_base_rate;	/* from the base currency to the account's */
	FxRate		base_rate;
} FxQuote;

/* What closing a trade needs to know of its instrument */
typedef struct FxContract
{
	char		base[FX_CURRENCY_MAX + 1];
	char		quote[FX_CURRENCY_MAX + 1];
	bool		is_stored;		/* has a row in fx.instruments; the rest is valid then */
	int128		pip_size;
	int128		contract_size;
	bool		has_swap_long;
	int128		swap_long;		/* points, of a tenth of a pip, for one night */
	bool		has_swap_short;
	int128		swap_short;
	int			triple_swap_weekday;	/* ISO: 1 is Monday */
} FxContract;

/* Settings, defined in prices.c */
extern int	fx_price_cache;		/* milliseconds */

extern void fx_define_price_settings(void);
extern TimestampTz fx_now(void);
extern void fx_normalize_symbol(const char *symbol, int len, char *normal);
extern bool fx_contract_get(const char *symbol, FxContract *contract);
extern void fx_quote_get(const char *symbol, const char *currency, TimestampTz now,
						 FxQuote *quote);
extern void fx_quote_get_at(const char *symbol, const char *currency, TimestampTz as_of,
							FxQuote *quote);
extern bool fx_price_is_fresh(TimestampTz observed_at, TimestampTz now);
extern bool fx_profit_rate(const char *symbol, const char *currency, int128 close_price,
						   TimestampTz closed_at, FxRate *rate);
extern void fx_prices_changed(void);

#endif							/* FX_PRICES_H */
