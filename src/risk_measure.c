/*-------------------------------------------------------------------------
 *
 * risk_measure.c
 *	  What limits measure, and what they allow
 *
 * Units: positions and sizes of orders in units of the base currency, amounts
 * in the account's, counts and ratios as numbers, all at scale 8.  A limit in
 * percent compares the measure with a share of its basis; the comparison is
 * exact, only what is shown is rounded.
 *
 * Without an order, types that look at one symbol or currency show the largest,
 * and types that look at an order show 0.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "compat.h"
#include "risk_internal.h"

static void read_loss(const FxLimit *limit, FxView *view, FxReading *reading);
static void read_drawdown(const FxLimit *limit, FxView *view, FxReading *reading);
static void read_min_equity(const FxLimit *limit, FxView *view, FxReading *reading);
static void read_position(const FxLimit *limit, FxView *view, FxReading *reading);
static void get_strategy_units(const FxLimit *limit, FxView *view, int128 *quantity);
static void measure_units(const FxLimit *limit, FxView *view, FxPosition *position,
						  const int128 *quantity, FxMeasure *largest);
static void read_order(const FxLimit *limit, FxView *view, FxReading *reading);
static void read_collar(const FxLimit *limit, FxView *view, FxReading *reading);
static void read_symbol(const FxLimit *limit, FxView *view, FxReading *reading);
static void read_currency(const FxLimit *limit, FxView *view, FxReading *reading);
static void read_rate(const FxRisk *risk, const FxLimit *limit, FxView *view, FxReading *reading);
static int64 count_open_trades(const FxLimit *limit, FxView *view);
static int64 count_day_trades(const FxLimit *limit, FxView *view);
static int64 count_losses(const FxLimit *limit, FxView *view);
static void get_basis(const FxLimit *limit, FxView *view, const FxMeasure *anchor,
					  FxMeasure *basis);
static const char *pick_currency(FxView *view);
static void keep_larger(FxMeasure *largest, const FxMeasure *measure);

/*
 * Measure a limit.  Of an order's two books, that after it comes first: it
 * settles which currency both look at.
 */
void
fx_risk_read(const FxRisk *risk, const FxLimit *limit, FxView *view, FxReading *reading)
{
	FxMeasure	basis;
	FxMeasure	amount;

	reading->measure.known = true;
	reading->measure.infinite = false;
	reading->bound.known = true;
	reading->bound.infinite = false;
	reading->is_ratio = false;
	reading->breached = false;

	switch (limit->type)
	{
		case FX_DAILY_LOSS:
		case FX_WEEKLY_LOSS:
		case FX_MONTHLY_LOSS:
			read_loss(limit, view, reading);
			break;
		case FX_MAX_DRAWDOWN:
		case FX_TRAILING_DRAWDOWN:
		case FX_TRAILING_DRAWDOWN_EOD:
			/* a locked floor is compared as it is */
			read_drawdown(limit, view, reading);
			return;
		case FX_MIN_EQUITY:
			read_min_equity(limit, view, reading);
			return;
		case FX_MAX_POSITION:
			read_position(limit, view, reading);
			break;
		case FX_MAX_ORDER_SIZE:
		case FX_MAX_ORDER_VALUE:
			read_order(limit, view, reading);
			break;
		case FX_PRICE_COLLAR:
			read_collar(limit, view, reading);
			break;
		case FX_MAX_EXPOSURE:
			if (limit->symbol[0] == '\0' && limit->currency[0] == '\0')
				amount = *fx_view_gross(view);
			else
				fx_view_exposure(limit, view, &amount);
			get_basis(limit, view, NULL, &basis);
			fx_reading_set_amount(limit, reading, &amount, &basis);
			break;
		case FX_MAX_SYMBOL_EXPOSURE:
		case FX_CONCENTRATION:
			read_symbol(limit, view, reading);
			break;
		case FX_MAX_CURRENCY_EXPOSURE:
			read_currency(limit, view, reading);
			break;
		case FX_MAX_LEVERAGE:
			fx_reading_set_ratio(limit, reading, fx_view_gross(view), fx_view_equity(view));
			break;
		case FX_MAX_OPEN_TRADES:
			fx_reading_set_count(limit, reading, count_open_trades(limit, view));
			break;
		case FX_MAX_DAILY_TRADES:
			fx_reading_set_count(limit, reading, count_day_trades(limit, view));
			break;
		case FX_MAX_ORDER_RATE:
			read_rate(risk, limit, view, reading);
			break;
		case FX_MAX_CONSECUTIVE_LOSSES:
			fx_reading_set_count(limit, reading, count_losses(limit, view));
			break;
		case FX_KILL_SWITCH:
			fx_reading_set_count(limit, reading, 1);
			reading->breached = true;
			return;
	}

	if (reading->measure.known && reading->bound.known && reading->amount > 0)
	{
		int			order = fx_reading_compare(reading);

		reading->breached = limit->reach ? order >= 0 : order > 0;
	}
}

static void
read_loss(const FxLimit *limit, FxView *view, FxReading *reading)
{
	const FxPeriod *period = &view->account->periods[FX_DAY + (limit->type - FX_DAILY_LOSS)];
	const FxMeasure *equity = fx_view_equity(view);
	FxMeasure	anchor;
	FxMeasure	loss;
	FxMeasure	basis;

	if (limit->anchor == FX_ANCHOR_BALANCE)
		fx_measure_set(&anchor, period->balance);
	else if (!period->equity_known)
		fx_measure_miss(&anchor, "equity at the start of the period");
	else if (limit->anchor == FX_ANCHOR_EQUITY)
		fx_measure_set(&anchor, period->equity);
	else
		fx_measure_set(&anchor, Max(period->balance, period->equity));

	if (!anchor.known || !equity->known)
		loss = anchor.known ? *equity : anchor;
	else
	{
		int128		value = anchor.value;

		fx_fixed_add_to(&value, period->deposits, "loss");
		fx_fixed_add_to(&value, -equity->value, "loss");
		fx_measure_set(&loss, Max(value, 0));
	}
	get_basis(limit, view, &anchor, &basis);
	fx_reading_set_amount(limit, reading, &loss, &basis);
}

/*
 * The drawdowns.  Where the floor has reached lock_at it stays there, so the
 * loss is measured from what lies the bound above it.
 */
static void
read_drawdown(const FxLimit *limit, FxView *view, FxReading *reading)
{
	const FxAccount *account = view->account;
	const FxMeasure *equity = fx_view_equity(view);
	int128		start = account->initial_balance;
	int128		floor;
	bool		is_locked = false;
	FxMeasure	mark;
	FxMeasure	basis;
	FxMeasure	loss;

	fx_fixed_add_to(&start, account->net_deposits, "drawdown");
	switch (limit->type)
	{
		case FX_TRAILING_DRAWDOWN:
			fx_measure_set(&mark, account->high_water_mark);
			break;
		case FX_TRAILING_DRAWDOWN_EOD:
			fx_measure_set(&mark, Max(start, account->eod_high_water_mark));
			break;
		default:
			fx_measure_set(&mark, start);
			break;
	}

	get_basis(limit, view, &mark, &basis);
	loss = *equity;
	if (equity->known)
		fx_measure_set(&loss, 0);
	fx_reading_set_amount(limit, reading, &loss, &basis);
	if (!reading->measure.known)
		return;

	if (limit->has_lock_at && reading->bound.known)
	{
		floor = limit->lock_at;
		fx_fixed_add_to(&floor, reading->bound.value, "drawdown");
		is_locked = floor < mark.value;
		if (is_locked)
			mark.value = floor;
	}

	fx_fixed_add_to(&mark.value, -equity->value, "drawdown");
	reading->amount = Max(mark.value, 0);
	reading->measure.value = reading->amount;
	if (reading->bound.known && reading->amount > 0)
	{
		int			order;

		/* the bound may have been rounded; lock_at is exact */
		if (is_locked)
			order = equity->value < limit->lock_at ? 1 : equity->value == limit->lock_at ? 0 : -1;
		else
			order = fx_reading_compare(reading);
		reading->breached = limit->reach ? order >= 0 : order > 0;
	}
}

/*
 * What equity lacks to the floor, of which nothing is allowed.
 */
static void
read_min_equity(const FxLimit *limit, FxView *view, FxReading *reading)
{
	const FxMeasure *equity = fx_view_equity(view);
	FxMeasure	basis;
	FxMeasure	lack;
	int128		floor;

	lack = *equity;
	if (equity->known)
		fx_measure_set(&lack, 0);
	get_basis(limit, view, NULL, &basis);
	fx_reading_set_amount(limit, reading, &lack, &basis);
	if (!reading->measure.known || !reading->bound.known)
		return;

	floor = reading->bound.value;
	fx_fixed_add_to(&floor, -equity->value, "lack of equity");
	reading->amount = Max(floor, 0);
	reading->measure.value = reading->amount;
	reading->bound.value = 0;
	reading->value = 0;
	reading->breached = limit->reach ? floor >= 0 : floor > 0;
}

/*
 * Units of a symbol, or in percent what they are worth.
 */
static void
read_position(const FxLimit *limit, FxView *view, FxReading *reading)
{
	FxMeasure	largest;
	FxMeasure	basis;

	fx_measure_set(&largest, 0);
	if (view->order != NULL)
	{
		int128		quantity[FX_SIDES] = {0};

		if (limit->has_strategy)
			get_strategy_units(limit, view, quantity);
		else if (view->position != NULL)
			memcpy(quantity, view->position->quantity, sizeof(quantity));
		measure_units(limit, view, view->position, quantity, &largest);
	}
	else if (limit->has_strategy)
	{
		for (int i = 0; i < limit->scope->nsymbols; i++)
		{
			FxScopeSymbol *symbol = &limit->scope->symbols[i];

			measure_units(limit, view, fx_view_find_position(view->account, symbol->symbol),
						  symbol->quantity, &largest);
		}
	}
	else
	{
		for (int i = 0; i < view->account->npositions; i++)
			measure_units(limit, view, view->account->positions[i],
						  view->account->positions[i]->quantity, &largest);
	}

	get_basis(limit, view, NULL, &basis);
	fx_reading_set_amount(limit, reading, &largest, &basis);
}

/*
 * What the strategy of a limit has open in the order's symbol.
 */
static void
get_strategy_units(const FxLimit *limit, FxView *view, int128 *quantity)
{
	FxScopeSymbol *symbol = fx_scope_symbol(limit->scope, view->order->symbol, false);

	if (symbol != NULL)
		memcpy(quantity, symbol->quantity, sizeof(symbol->quantity));
	if (view->before != NULL && fx_view_is_executed(view))
		fx_fixed_add_to(&quantity[view->order->side], view->order->quantity, "position");
}

static void
measure_units(const FxLimit *limit, FxView *view, FxPosition *position, const int128 *quantity,
			  FxMeasure *largest)
{
	int128		units = quantity[FX_LONG];
	FxMeasure	measure;

	if (view->order == NULL &&
		(position == NULL || !fx_view_covers(limit, view->account, position)))
		return;

	if (view->account->method == FX_HEDGING)
		fx_fixed_add_to(&units, quantity[FX_SHORT], "position");
	else
		fx_fixed_add_to(&units, -quantity[FX_SHORT], "position");
	if (units < 0)
		units = -units;

	if (!limit->percentage || position == NULL)
		fx_measure_set(&measure, units);
	else
		fx_view_notional(view, position, units, &measure);
	keep_larger(largest, &measure);
}

/*
 * Size or value of the order.
 */
static void
read_order(const FxLimit *limit, FxView *view, FxReading *reading)
{
	FxMeasure	size;
	FxMeasure	basis;

	if (view->before == NULL)
		fx_measure_set(&size, 0);
	else if (limit->type == FX_MAX_ORDER_SIZE && !limit->percentage)
		fx_measure_set(&size, view->order->quantity);
	else
		fx_view_order_notional(view, &size);
	get_basis(limit, view, NULL, &basis);
	fx_reading_set_amount(limit, reading, &size, &basis);
}

/*
 * How far the price of the order is from the market.  It needs a candle: the
 * price of the last execution may be as wrong as this one.
 */
static void
read_collar(const FxLimit *limit, FxView *view, FxReading *reading)
{
	FxMeasure	distance;
	FxMeasure	basis;

	fx_measure_set(&distance, 0);
	fx_measure_set(&basis, view->quote != NULL && view->quote->has_price ? view->quote->price : 1);
	if (view->before != NULL && view->order->price > 0)
	{
		if (!view->quote->has_price)
			fx_measure_miss(&distance, "no fresh price of %s", view->order->symbol);
		else
		{
			int128		difference = view->order->price - view->quote->price;

			fx_measure_set(&distance, difference < 0 ? -difference : difference);
		}
	}
	fx_reading_set_amount(limit, reading, &distance, &basis);
}

/*
 * What the position in the order's symbol, or the largest, is worth.
 */
static void
read_symbol(const FxLimit *limit, FxView *view, FxReading *reading)
{
	FxMeasure	largest;
	FxMeasure	basis;

	fx_measure_set(&largest, 0);
	for (int i = 0; i < view->account->npositions; i++)
	{
		FxPosition *position = view->account->positions[i];
		FxMeasure	measure;
		int128		net;

		if (view->order != NULL ? position != view->position
			: !fx_view_covers(limit, view->account, position))
			continue;
		net = fx_net_units(position);
		fx_view_notional(view, position, net < 0 ? -net : net, &measure);
		keep_larger(&largest, &measure);
	}

	if (limit->type == FX_CONCENTRATION)
		fx_reading_set_ratio(limit, reading, &largest,
				  limit->basis == FX_BASIS_EQUITY ? fx_view_equity(view) : fx_view_gross(view));
	else
	{
		get_basis(limit, view, NULL, &basis);
		fx_reading_set_amount(limit, reading, &largest, &basis);
	}
}

/*
 * Sum of the legs of the currency of the scope, of one of the order's two, or
 * the largest.
 */
static void
read_currency(const FxLimit *limit, FxView *view, FxReading *reading)
{
	FxMeasure	largest;
	FxMeasure	basis;

	if (limit->currency[0] != '\0')
		fx_view_leg(view, limit->currency, &largest);
	else if (view->order != NULL)
	{
		if (view->currency == NULL && view->before != NULL)
			view->currency = view->before->currency = pick_currency(view);
		fx_view_leg(view, view->currency != NULL ? view->currency : "", &largest);
	}
	else
	{
		fx_view_legs(view);
		fx_measure_set(&largest, 0);
		for (int i = 0; i < view->nlegs; i++)
		{
			FxMeasure	sum;

			fx_view_leg(view, view->legs[i].currency, &sum);
			keep_larger(&largest, &sum);
		}
	}
	get_basis(limit, view, NULL, &basis);
	fx_reading_set_amount(limit, reading, &largest, &basis);
}

/*
 * Which of the order's currencies to judge it by: one that is not known, else
 * the larger of those whose sum it makes larger, else the larger.  One that
 * shrinks must not hide the other.
 */
static const char *
pick_currency(FxView *view)
{
	const char *currencies[] = {view->quote->base, view->quote->quote};
	const char *picked = NULL;
	int128		largest = 0;
	bool		grows = false;

	for (int i = 0; i < lengthof(currencies); i++)
	{
		FxMeasure	before;
		FxMeasure	after;
		bool		this_grows;

		fx_view_leg(view->before, currencies[i], &before);
		fx_view_leg(view, currencies[i], &after);
		if (!after.known)
			return currencies[i];
		this_grows = !before.known || after.value > before.value;
		if (picked == NULL || (this_grows && !grows) ||
			(this_grows == grows && after.value > largest))
		{
			picked = currencies[i];
			largest = after.value;
			grows = this_grows;
		}
	}
	return picked;
}

/*
 * Orders in the window, this one included.
 */
static void
read_rate(const FxRisk *risk, const FxLimit *limit, FxView *view, FxReading *reading)
{
	TimestampTz since = view->account->now - (int64) limit->window_seconds * USECS_PER_SEC;
	int64		count = 0;

	for (int i = limit->norder_times; i > 0 && limit->order_times[i - 1] > since; i--)
		count++;
	if (view->before != NULL && !view->order->closed && !risk->placed_before)
		count++;
	fx_reading_set_count(limit, reading, count);
}

static int64
count_open_trades(const FxLimit *limit, FxView *view)
{
	const FxPosition *position;
	int64		count;

	if (limit->has_strategy)
	{
		count = limit->scope->open_trades;

		/* which trades an order closes is not known here: it may be none of these */
		if (view->before != NULL && view->position != NULL)
		{
			FxSide		side = view->order->side;
			const FxPosition *before = view->before->position;

			if (view->position->quantity[side] > (before != NULL ? before->quantity[side] : 0))
				count++;
		}
		return count;
	}

	if (limit->symbol[0] == '\0')
		return view->account->open_trades;
	position = fx_view_find_position(view->account, limit->symbol);
	return position != NULL ? position->open_trades : 0;
}

static int64
count_day_trades(const FxLimit *limit, FxView *view)
{
	if (limit->scope == NULL || !limit->scope->has_day)
		return view->account->day_trades;
	return limit->scope->day_trades +
		(view->before != NULL ? view->account->day_trades - view->before->account->day_trades : 0);
}

/*
 * Losses in a row.  Of those that had been closed before the limit was cleared,
 * none counts.
 */
static int64
count_losses(const FxLimit *limit, FxView *view)
{
	const FxAccount *account = view->account;

	if (limit->scope != NULL && limit->scope->has_losses)
		return limit->scope->losses;
	if (limit->cleared_at != 0 && account->losing_since != 0 &&
		account->losing_since <= limit->cleared_at &&
		limit->scope != NULL && limit->scope->has_excluded)
		return Max(0, account->consecutive_losses - limit->scope->losses_excluded);
	return account->consecutive_losses;
}

/*
 * What a percentage is of.
 */
static void
get_basis(const FxLimit *limit, FxView *view, const FxMeasure *anchor, FxMeasure *basis)
{
	if (!limit->percentage)
		fx_measure_set(basis, 1);
	else if (limit->basis == FX_BASIS_EQUITY)
		*basis = *fx_view_equity(view);
	else if (limit->basis == FX_BASIS_ANCHOR && anchor != NULL)
		*basis = *anchor;
	else if (view->account->initial_balance > 0)
		fx_measure_set(basis, view->account->initial_balance);
	else
		fx_measure_miss(basis, "initial balance of the account");
}

/*
 * The largest of several is not known while one of them is not.
 */
static void
keep_larger(FxMeasure *largest, const FxMeasure *measure)
{
	if (largest->known && (!measure->known || measure->value > largest->value))
		*largest = *measure;
}
