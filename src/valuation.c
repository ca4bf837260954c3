/*-------------------------------------------------------------------------
 *
 * valuation.c
 *	  What positions and accounts are worth
 *
 * A position is valued at its mark: the price of a fresh candle, else that of
 * its last execution while that is fresh.  Without a mark, without a rate into
 * the account's currency, or with a trade whose price is not known, it has no
 * value that anybody knows; then neither has the account.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "account.h"
#include "account_rows.h"
#include "wide.h"

static void find_mark(const FxAccount *account, FxPosition *position, TimestampTz at);
static bool add_unrealized(const FxPosition *position, int128 *equity, char *missing,
						   Size missing_size);
static bool is_flat(const FxPosition *position);

/*
 * Find the quote of a position and its mark.  The quote is found once, and the
 * mark again when something was executed since.
 */
void
fx_position_value(FxAccount *account, FxPosition *position)
{
	if (!position->valued)
		fx_quote_get(position->symbol, account->currency, account->now, &position->quote);
	else if (position->quote.has_price ||
			 (position->marked_at == position->last_price_at &&
			  (!position->has_mark || position->mark == position->last_price)))
		return;
	find_mark(account, position, account->now);
}

/*
 * What closing a position that was valued would bring, in the account's
 * currency.  False when that is not known; missing then says what is missing,
 * if there is room.
 */
bool
fx_position_unrealized(const FxPosition *position, int128 *unrealized,
					   char *missing, Size missing_size)
{
	int128		net = position->quantity[FX_LONG] - position->quantity[FX_SHORT];
	int128		cost = position->cost[FX_LONG] - position->cost[FX_SHORT];
	int128		num;
	int128		den;
	int128		value;

	*unrealized = 0;
	if (is_flat(position))
		return true;

	if (position->unpriced_trades > 0)
	{
		snprintf(missing, missing_size, "no price of an open trade in %s", position->symbol);
		return false;
	}
	if (!position->has_mark)
	{
		snprintf(missing, missing_size, "no fresh price of %s", position->symbol);
		return false;
	}

	/*
	 * The value in the quote currency has sixteen decimals; it is rounded only
	 * when it is converted.
	 */
	if (__builtin_mul_overflow(net, (int128) position->mark, &value) ||
		__builtin_mul_overflow(cost, (int128) FX_FIXED_ONE, &cost) ||
		fx_fixed_sub_overflow(value, cost, &value))
	{
		snprintf(missing, missing_size, "value of %s is out of range", position->symbol);
		return false;
	}

	/* nothing is nothing in any currency: a position just opened needs no rate */
	if (value == 0)
		return true;
	if (!position->quote.has_rate)
	{
		if (position->quote.base[0] == '\0')
			snprintf(missing, missing_size, "no instrument %s", position->symbol);
		else
			snprintf(missing, missing_size, "no rate from %s to %s", position->quote.quote,
					 position->currency);
		return false;
	}
	fx_rate_fraction(&position->quote.rate, &num, &den);
	if (!fx_wide_mul_div_scaled(value, num, den, FX_FIXED_ONE, unrealized))
	{
		snprintf(missing, missing_size, "value of %s is out of range", position->symbol);
		return false;
	}
	return true;
}

/*
 * Balance and what all positions would bring.  False when one of them has no
 * known value.
 */
bool
fx_account_equity(FxAccount *account, int128 *equity, char *missing, Size missing_size)
{
	*equity = account->balance;
	for (int i = 0; i < account->npositions; i++)
	{
		FxPosition *position = account->positions[i];

		if (is_flat(position))
			continue;
		fx_position_value(account, position);
		if (!add_unrealized(position, equity, missing, missing_size))
			return false;
	}
	return true;
}

/*
 * The same with prices and rates as they were known at a time.
 */
bool
fx_account_equity_at(const FxAccount *account, TimestampTz as_of, int128 *equity)
{
	*equity = account->balance;
	for (int i = 0; i < account->npositions; i++)
	{
		FxPosition	position = *account->positions[i];

		if (is_flat(&position))
			continue;
		fx_quote_get_at(position.symbol, account->currency, as_of, &position.quote);
		find_mark(account, &position, as_of);
		if (!add_unrealized(&position, equity, NULL, 0))
			return false;
	}
	return true;
}

/*
 * No column holds an equity of more digits; it is as good as not known.
 */
static bool
add_unrealized(const FxPosition *position, int128 *equity, char *missing, Size missing_size)
{
	int128		unrealized;

	if (!fx_position_unrealized(position, &unrealized, missing, missing_size))
		return false;
	if (fx_fixed_add_overflow(*equity, unrealized, equity) ||
		*equity >= FX_MONEY_LIMIT || *equity <= -FX_MONEY_LIMIT)
	{
		snprintf(missing, missing_size, "equity is out of range");
		return false;
	}
	return true;
}

static void
find_mark(const FxAccount *account, FxPosition *position, TimestampTz at)
{
	position->currency = account->currency;
	position->valued = true;
	position->marked_at = position->last_price_at;
	position->has_mark = true;
	if (position->quote.has_price)
		position->mark = position->quote.price;
	else if (position->last_price != 0 && fx_price_is_fresh(position->last_price_at, at))
		position->mark = position->last_price;
	else
		position->has_mark = false;
}

static bool
is_flat(const FxPosition *position)
{
	return position->quantity[FX_LONG] == 0 && position->quantity[FX_SHORT] == 0;
}
