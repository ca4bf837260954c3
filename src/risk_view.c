/*-------------------------------------------------------------------------
 *
 * risk_view.c
 *	  What an account is worth and holds, as limits look at it
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "risk_internal.h"

static void add_leg(FxView *view, const char *currency, int128 amount, const char *missing);

/*
 * Begin to measure an account.  before is the view without the order, where
 * this is the one with it.
 */
void
fx_view_begin(FxView *view, FxAccount *account, const FxOrder *order, FxView *before,
			  const FxQuote *quote)
{
	view->account = account;
	view->order = order;
	view->before = before;
	view->position = order != NULL ? fx_view_find_position(account, order->symbol) : NULL;
	view->quote = quote;
	view->currency = NULL;
	view->has_equity = false;
	view->has_gross = false;
	view->has_legs = false;
	view->legs = NULL;
	view->nlegs = 0;
}

void
fx_view_end(FxView *view)
{
	if (view->legs != NULL)
		pfree(view->legs);
}

/*
 * The position in a symbol, or NULL: none is made.
 */
FxPosition *
fx_view_find_position(const FxAccount *account, const char *symbol)
{
	for (int i = 0; i < account->npositions; i++)
	{
		if (strcmp(account->positions[i]->symbol, symbol) == 0)
			return account->positions[i];
	}
	return NULL;
}

/*
 * Has the order done anything to the position?  One that is only placed, or
 * recorded closed, has not.
 */
bool
fx_view_is_executed(const FxView *view)
{
	const FxPosition *before = view->before->position;
	const FxPosition *after = view->position;

	for (int side = 0; side < FX_SIDES; side++)
	{
		if ((before != NULL ? before->quantity[side] : 0) !=
			(after != NULL ? after->quantity[side] : 0))
			return true;
	}
	return false;
}

const FxMeasure *
fx_view_equity(FxView *view)
{
	if (!view->has_equity)
	{
		view->equity.infinite = false;
		view->equity.missing[0] = '\0';
		view->equity.known = fx_account_equity(view->account, &view->equity.value,
											   view->equity.missing,
											   sizeof(view->equity.missing));
		view->has_equity = true;
	}
	return &view->equity;
}

const FxMeasure *
fx_view_gross(FxView *view)
{
	if (!view->has_gross)
	{
		fx_view_exposure(NULL, view, &view->gross);
		view->has_gross = true;
	}
	return &view->gross;
}

/*
 * Sum of what the positions in the scope of a limit, or all, are worth.
 */
void
fx_view_exposure(const FxLimit *limit, FxView *view, FxMeasure *sum)
{
	int128		total = 0;

	for (int i = 0; i < view->account->npositions; i++)
	{
		FxPosition *position = view->account->positions[i];
		int128		net = fx_net_units(position);

		if (net == 0 || (limit != NULL && !fx_view_covers(limit, view->account, position)))
			continue;
		fx_view_notional(view, position, net < 0 ? -net : net, sum);
		if (!sum->known)
			return;
		fx_fixed_add_to(&total, sum->value, "exposure");
	}
	fx_measure_set(sum, total);
}

/*
 * What units of a position's symbol are worth in the account's currency.
 */
void
fx_view_notional(FxView *view, FxPosition *position, int128 units, FxMeasure *result)
{
	int128		price;

	if (units == 0)
	{
		fx_measure_set(result, 0);
		return;
	}

	fx_position_value(view->account, position);
	if (position->has_mark)
		price = position->mark;
	else if (view->order != NULL && position == view->position && view->order->price > 0)
		price = view->order->price;
	else
	{
		fx_measure_miss(result, "no fresh price of %s", position->symbol);
		return;
	}
	if (position->quote.has_rate)
		fx_measure_set(result, fx_rate_apply(&position->quote.rate, fx_cost_of(units, price)));
	else if (position->quote.quote[0] != '\0')
		fx_measure_miss(result, "no rate from %s to %s", position->quote.quote,
					view->account->currency);
	else
		fx_measure_miss(result, "no instrument %s", position->symbol);
}

void
fx_view_order_notional(FxView *view, FxMeasure *result)
{
	const FxQuote *quote = view->quote;
	int128		price;

	if (quote->has_price)
		price = quote->price;
	else if (view->order->price > 0)
		price = view->order->price;
	else if (view->position != NULL && view->position->valued && view->position->has_mark)
		price = view->position->mark;
	else
	{
		fx_measure_miss(result, "no fresh price of %s", view->order->symbol);
		return;
	}
	if (quote->has_rate)
		fx_measure_set(result, fx_rate_apply(&quote->rate, fx_cost_of(view->order->quantity, price)));
	else if (quote->quote[0] != '\0')
		fx_measure_miss(result, "no rate from %s to %s", quote->quote, view->account->currency);
	else
		fx_measure_miss(result, "no instrument %s", view->order->symbol);
}

/*
 * What is held and owed of each currency, in the account's.  The base currency
 * is worth what the units are at their price, where it has no rate of its own.
 */
void
fx_view_legs(FxView *view)
{
	const FxAccount *account = view->account;

	if (view->has_legs)
		return;
	view->has_legs = true;
	view->legs = (FxLeg *) palloc((2 * account->npositions + 1) * sizeof(FxLeg));

	for (int i = 0; i < account->npositions; i++)
	{
		FxPosition *position = account->positions[i];
		const FxQuote *quote = &position->quote;
		int128		net = fx_net_units(position);
		int128		units = net < 0 ? -net : net;
		FxMeasure	notional;
		char		missing[sizeof(notional.missing)];

		if (net == 0)
			continue;
		fx_view_notional(view, position, units, &notional);
		add_leg(view, quote->quote, net < 0 ? notional.value : -notional.value,
				notional.known ? NULL : notional.missing);

		if (quote->has_base_rate)
		{
			units = fx_rate_apply(&quote->base_rate, units);
			add_leg(view, quote->base, net < 0 ? -units : units, NULL);
		}
		else if (quote->base[0] != '\0' && notional.known)
			add_leg(view, quote->base, net < 0 ? -notional.value : notional.value, NULL);
		else
		{
			if (quote->base[0] != '\0')
				snprintf(missing, sizeof(missing), "no rate from %s to %s", quote->base,
						 account->currency);
			else
				snprintf(missing, sizeof(missing), "no instrument %s", position->symbol);
			add_leg(view, quote->base, 0, missing);
		}
	}
}

static void
add_leg(FxView *view, const char *currency, int128 amount, const char *missing)
{
	FxLeg	   *leg = NULL;

	for (int i = 0; i < view->nlegs && leg == NULL; i++)
	{
		if (strcmp(view->legs[i].currency, currency) == 0)
			leg = &view->legs[i];
	}
	if (leg == NULL)
	{
		leg = &view->legs[view->nlegs++];
		strlcpy(leg->currency, currency, sizeof(leg->currency));
		fx_measure_set(&leg->sum, 0);
	}
	if (missing != NULL)
		fx_measure_miss(&leg->sum, "%s", missing);
	else if (leg->sum.known)
		fx_fixed_add_to(&leg->sum.value, amount, "currency exposure");
}

/*
 * Is a position in the scope of a limit?  One whose currencies are not known
 * may be in any.
 */
bool
fx_view_covers(const FxLimit *limit, FxAccount *account, FxPosition *position)
{
	if (limit->symbol[0] != '\0' && strcmp(limit->symbol, position->symbol) != 0)
		return false;
	if (limit->currency[0] == '\0')
		return true;
	fx_position_value(account, position);
	return position->quote.base[0] == '\0' ||
		strcmp(position->quote.base, limit->currency) == 0 ||
		strcmp(position->quote.quote, limit->currency) == 0;
}

int128
fx_net_units(const FxPosition *position)
{
	return position->quantity[FX_LONG] - position->quantity[FX_SHORT];
}

/*
 * How much is held or owed of a currency.
 */
void
fx_view_leg(FxView *view, const char *currency, FxMeasure *sum)
{
	fx_view_legs(view);
	fx_measure_set(sum, 0);
	for (int i = 0; i < view->nlegs; i++)
	{
		const FxLeg *leg = &view->legs[i];

		/* what nobody knows the currency of may be this one */
		if (leg->currency[0] == '\0')
		{
			*sum = leg->sum;
			return;
		}
		if (strcmp(leg->currency, currency) == 0)
		{
			*sum = leg->sum;
			if (sum->value < 0)
				sum->value = -sum->value;
		}
	}
}

/*
 * A measure that is not known, for want of what the text says.
 */
void
fx_measure_miss(FxMeasure *measure, const char *format,...)
{
	va_list		args;

	measure->known = false;
	measure->infinite = false;
	measure->value = 0;
	va_start(args, format);
	vsnprintf(measure->missing, sizeof(measure->missing), format, args);
	va_end(args);
}
