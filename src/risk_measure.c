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

static void read_loss(const FxLimit *limit, FxBook *book, FxReading *reading);
static void read_drawdown(const FxLimit *limit, FxBook *book, FxReading *reading);
static void read_min_equity(const FxLimit *limit, FxBook *book, FxReading *reading);
static void read_position(const FxLimit *limit, FxBook *book, FxReading *reading);
static void get_strategy_units(const FxLimit *limit, FxBook *book, int128 *quantity);
static void measure_units(const FxLimit *limit, FxBook *book, FxPosition *position,
						  const int128 *quantity, FxMeasure *largest);
static void read_order(const FxLimit *limit, FxBook *book, FxReading *reading);
static void read_collar(const FxLimit *limit, FxBook *book, FxReading *reading);
static void read_symbol(const FxLimit *limit, FxBook *book, FxReading *reading);
static void read_currency(const FxLimit *limit, FxBook *book, FxReading *reading);
static void read_rate(const FxRisk *risk, const FxLimit *limit, FxBook *book, FxReading *reading);
static int64 count_open_trades(const FxLimit *limit, FxBook *book);
static int64 count_day_trades(const FxLimit *limit, FxBook *book);
static int64 count_losses(const FxLimit *limit, FxBook *book);
static void set_amount(const FxLimit *limit, FxReading *reading, const FxMeasure *amount,
					   const FxMeasure *basis);
static void set_ratio(const FxLimit *limit, FxReading *reading, const FxMeasure *amount,
					  const FxMeasure *basis);
static void set_count(const FxLimit *limit, FxReading *reading, int64 count);
static void get_basis(const FxLimit *limit, FxBook *book, const FxMeasure *anchor,
					  FxMeasure *basis);
static const FxMeasure *get_equity(FxBook *book);
static const FxMeasure *get_gross(FxBook *book);
static void get_exposure(const FxLimit *limit, FxBook *book, FxMeasure *sum);
static void get_notional(FxBook *book, FxPosition *position, int128 units, FxMeasure *result);
static void get_order_notional(FxBook *book, FxMeasure *result);
static const char *pick_currency(FxBook *book);
static void get_leg(FxBook *book, const char *currency, FxMeasure *sum);
static void get_legs(FxBook *book);
static void add_leg(FxBook *book, const char *currency, int128 amount, const char *missing);
static bool covers_position(const FxLimit *limit, FxAccount *account, FxPosition *position);
static int128 net_units(const FxPosition *position);
static void keep_larger(FxMeasure *largest, const FxMeasure *measure);
static void set_known(FxMeasure *measure, int128 value);
static void set_missing(FxMeasure *measure, const char *format,...) pg_attribute_printf(2, 3);
static int compare_products(int128 a, int128 b, int128 c, int128 d);
static void multiply(uint128 a, uint128 b, uint128 *high, uint128 *low);

/*
 * Begin to measure an account.  before is the book without the order, where
 * this is the one with it.
 */
void
fx_book_begin(FxBook *book, FxAccount *account, const FxOrder *order, FxBook *before,
			  const FxQuote *quote)
{
	book->account = account;
	book->order = order;
	book->before = before;
	book->position = order != NULL ? fx_risk_find_position(account, order->symbol) : NULL;
	book->quote = quote;
	book->currency = NULL;
	book->has_equity = false;
	book->has_gross = false;
	book->has_legs = false;
	book->legs = NULL;
	book->nlegs = 0;
}

void
fx_book_end(FxBook *book)
{
	if (book->legs != NULL)
		pfree(book->legs);
}

/*
 * The position in a symbol, or NULL: none is made.
 */
FxPosition *
fx_risk_find_position(const FxAccount *account, const char *symbol)
{
	for (int i = 0; i < account->npositions; i++)
	{
		if (strcmp(account->positions[i]->symbol, symbol) == 0)
			return account->positions[i];
	}
	return NULL;
}

/*
 * Measure a limit.  Of an order's two books, that after it comes first: it
 * settles which currency both look at.
 */
void
fx_risk_read(const FxRisk *risk, const FxLimit *limit, FxBook *book, FxReading *reading)
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
			read_loss(limit, book, reading);
			break;
		case FX_MAX_DRAWDOWN:
		case FX_TRAILING_DRAWDOWN:
		case FX_TRAILING_DRAWDOWN_EOD:
			/* a locked floor is compared as it is */
			read_drawdown(limit, book, reading);
			return;
		case FX_MIN_EQUITY:
			read_min_equity(limit, book, reading);
			return;
		case FX_MAX_POSITION:
			read_position(limit, book, reading);
			break;
		case FX_MAX_ORDER_SIZE:
		case FX_MAX_ORDER_VALUE:
			read_order(limit, book, reading);
			break;
		case FX_PRICE_COLLAR:
			read_collar(limit, book, reading);
			break;
		case FX_MAX_EXPOSURE:
			get_exposure(limit, book, &amount);
			get_basis(limit, book, NULL, &basis);
			set_amount(limit, reading, &amount, &basis);
			break;
		case FX_MAX_SYMBOL_EXPOSURE:
		case FX_CONCENTRATION:
			read_symbol(limit, book, reading);
			break;
		case FX_MAX_CURRENCY_EXPOSURE:
			read_currency(limit, book, reading);
			break;
		case FX_MAX_LEVERAGE:
			set_ratio(limit, reading, get_gross(book), get_equity(book));
			break;
		case FX_MAX_OPEN_TRADES:
			set_count(limit, reading, count_open_trades(limit, book));
			break;
		case FX_MAX_DAILY_TRADES:
			set_count(limit, reading, count_day_trades(limit, book));
			break;
		case FX_MAX_ORDER_RATE:
			read_rate(risk, limit, book, reading);
			break;
		case FX_MAX_CONSECUTIVE_LOSSES:
			set_count(limit, reading, count_losses(limit, book));
			break;
		case FX_KILL_SWITCH:
			set_count(limit, reading, 1);
			reading->breached = true;
			return;
	}

	if (reading->measure.known && reading->bound.known && reading->amount > 0)
	{
		int			order = compare_products(reading->amount, reading->factor,
											 reading->value, reading->basis);

		reading->breached = limit->reach ? order >= 0 : order > 0;
	}
}

/*
 * Does the measure go up?
 */
bool
fx_risk_increases(const FxReading *before, const FxReading *after)
{
	if (!before->measure.known || !after->measure.known)
		return true;
	if (!after->is_ratio || (before->basis == 0 && after->basis == 0))
		return after->amount > before->amount;
	return compare_products(after->amount, before->basis, before->amount, after->basis) > 0;
}

/*
 * The measure as current_value has it: in percent where the limit is.
 */
void
fx_risk_in_units_of_limit(const FxLimit *limit, const FxReading *reading, FxMeasure *result)
{
	if (!reading->measure.known || (limit->percentage && !reading->bound.known))
	{
		*result = reading->measure.known ? reading->bound : reading->measure;
		result->known = false;
	}
	else if (!limit->percentage)
		*result = reading->measure;
	else
	{
		set_known(result, 0);
		result->infinite = reading->amount > 0 &&
			(reading->basis == 0 ||
			 !fx_risk_mul_div(reading->amount, FX_PER_CENT, reading->basis, &result->value));
	}
}

/*
 * Percent of the bound that are used up.
 */
void
fx_risk_utilization_of(const FxReading *reading, FxMeasure *result)
{
	int128		amount;
	int128		bound;

	if (!reading->measure.known || !reading->bound.known)
	{
		*result = reading->measure.known ? reading->bound : reading->measure;
		result->known = false;
		return;
	}

	set_known(result, 0);
	if (reading->amount <= 0)
		return;
	if (reading->value == 0 || reading->basis == 0)
		result->infinite = true;
	else if (!__builtin_mul_overflow(reading->amount, reading->factor, &amount) &&
			 !__builtin_mul_overflow(reading->value, reading->basis, &bound))
		result->infinite = !fx_risk_mul_div(amount, FX_PER_CENT, bound, &result->value);
	else
	{
		/* numbers of this size are not known to so many digits */
		result->infinite =
			!fx_risk_mul_div(reading->amount, reading->factor, reading->basis, &amount) ||
			!fx_risk_mul_div(amount, FX_PER_CENT, reading->value, &result->value);
	}
}

/*
 * a * b / c, not negative, rounded half up.  False when it does not fit.
 */
bool
fx_risk_mul_div(int128 a, int128 b, int128 c, int128 *result)
{
	int128		product;
	uint128		high;
	uint128		low;
	uint128		quotient = 0;

	Assert(a >= 0 && b >= 0 && c > 0);
	if (likely(!__builtin_mul_overflow(a, b, &product)))
	{
		*result = fx_fixed_div(product, c);
		return true;
	}

	multiply((uint128) a, (uint128) b, &high, &low);
	if (high >= (uint128) c)
		return false;
	for (int i = 0; i < 128; i++)
	{
		/* high < c, so that no bit is lost: c is below 2^127 */
		high = high << 1 | low >> 127;
		low <<= 1;
		quotient <<= 1;
		if (high >= (uint128) c)
		{
			high -= (uint128) c;
			quotient |= 1;
		}
	}
	if (high >= (uint128) c - high)
		quotient++;
	*result = (int128) quotient;
	return quotient <= (uint128) FX_FIXED_MAX;
}

static void
read_loss(const FxLimit *limit, FxBook *book, FxReading *reading)
{
	const FxPeriod *period = &book->account->periods[FX_DAY + (limit->type - FX_DAILY_LOSS)];
	const FxMeasure *equity = get_equity(book);
	FxMeasure	anchor;
	FxMeasure	loss;
	FxMeasure	basis;

	if (limit->anchor == FX_ANCHOR_BALANCE)
		set_known(&anchor, period->balance);
	else if (!period->equity_known)
		set_missing(&anchor, "equity at the start of the period");
	else if (limit->anchor == FX_ANCHOR_EQUITY)
		set_known(&anchor, period->equity);
	else
		set_known(&anchor, Max(period->balance, period->equity));

	if (!anchor.known || !equity->known)
		loss = anchor.known ? *equity : anchor;
	else
	{
		int128		value = anchor.value;

		fx_fixed_add_to(&value, period->deposits, "loss");
		fx_fixed_add_to(&value, -equity->value, "loss");
		set_known(&loss, Max(value, 0));
	}
	get_basis(limit, book, &anchor, &basis);
	set_amount(limit, reading, &loss, &basis);
}

/*
 * The drawdowns.  Where the floor has reached lock_at it stays there, so the
 * loss is measured from what lies the bound above it.
 */
static void
read_drawdown(const FxLimit *limit, FxBook *book, FxReading *reading)
{
	const FxAccount *account = book->account;
	const FxMeasure *equity = get_equity(book);
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
			set_known(&mark, account->high_water_mark);
			break;
		case FX_TRAILING_DRAWDOWN_EOD:
			set_known(&mark, Max(start, account->eod_high_water_mark));
			break;
		default:
			set_known(&mark, start);
			break;
	}

	get_basis(limit, book, &mark, &basis);
	loss = *equity;
	if (equity->known)
		set_known(&loss, 0);
	set_amount(limit, reading, &loss, &basis);
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
			order = compare_products(reading->amount, reading->factor,
									 reading->value, reading->basis);
		reading->breached = limit->reach ? order >= 0 : order > 0;
	}
}

/*
 * What equity lacks to the floor, of which nothing is allowed.
 */
static void
read_min_equity(const FxLimit *limit, FxBook *book, FxReading *reading)
{
	const FxMeasure *equity = get_equity(book);
	FxMeasure	basis;
	FxMeasure	lack;
	int128		floor;

	lack = *equity;
	if (equity->known)
		set_known(&lack, 0);
	get_basis(limit, book, NULL, &basis);
	set_amount(limit, reading, &lack, &basis);
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
read_position(const FxLimit *limit, FxBook *book, FxReading *reading)
{
	FxMeasure	largest;
	FxMeasure	basis;

	set_known(&largest, 0);
	if (book->order != NULL)
	{
		int128		quantity[FX_SIDES] = {0};

		if (limit->has_strategy)
			get_strategy_units(limit, book, quantity);
		else if (book->position != NULL)
			memcpy(quantity, book->position->quantity, sizeof(quantity));
		measure_units(limit, book, book->position, quantity, &largest);
	}
	else if (limit->has_strategy)
	{
		for (int i = 0; i < limit->scope->nsymbols; i++)
		{
			FxScopeSymbol *symbol = &limit->scope->symbols[i];

			measure_units(limit, book, fx_risk_find_position(book->account, symbol->symbol),
						  symbol->quantity, &largest);
		}
	}
	else
	{
		for (int i = 0; i < book->account->npositions; i++)
			measure_units(limit, book, book->account->positions[i],
						  book->account->positions[i]->quantity, &largest);
	}

	get_basis(limit, book, NULL, &basis);
	set_amount(limit, reading, &largest, &basis);
}

/*
 * What the strategy of a limit has open in the order's symbol.
 */
static void
get_strategy_units(const FxLimit *limit, FxBook *book, int128 *quantity)
{
	FxScopeSymbol *symbol = fx_scope_symbol(limit->scope, book->order->symbol, false);

	if (symbol != NULL)
		memcpy(quantity, symbol->quantity, sizeof(symbol->quantity));
	if (book->before != NULL && fx_risk_is_executed(book))
		fx_fixed_add_to(&quantity[book->order->side], book->order->quantity, "position");
}

/*
 * Has the order done anything to the position?  One that is only placed, or
 * recorded closed, has not.
 */
bool
fx_risk_is_executed(const FxBook *book)
{
	const FxPosition *before = book->before->position;
	const FxPosition *after = book->position;

	for (int side = 0; side < FX_SIDES; side++)
	{
		if ((before != NULL ? before->quantity[side] : 0) !=
			(after != NULL ? after->quantity[side] : 0))
			return true;
	}
	return false;
}

static void
measure_units(const FxLimit *limit, FxBook *book, FxPosition *position, const int128 *quantity,
			  FxMeasure *largest)
{
	int128		units = quantity[FX_LONG];
	FxMeasure	measure;

	if (book->order == NULL &&
		(position == NULL || !covers_position(limit, book->account, position)))
		return;

	if (book->account->method == FX_HEDGING)
		fx_fixed_add_to(&units, quantity[FX_SHORT], "position");
	else
		fx_fixed_add_to(&units, -quantity[FX_SHORT], "position");
	if (units < 0)
		units = -units;

	if (!limit->percentage || position == NULL)
		set_known(&measure, units);
	else
		get_notional(book, position, units, &measure);
	keep_larger(largest, &measure);
}

/*
 * Size or value of the order.
 */
static void
read_order(const FxLimit *limit, FxBook *book, FxReading *reading)
{
	FxMeasure	size;
	FxMeasure	basis;

	if (book->before == NULL)
		set_known(&size, 0);
	else if (limit->type == FX_MAX_ORDER_SIZE && !limit->percentage)
		set_known(&size, book->order->quantity);
	else
		get_order_notional(book, &size);
	get_basis(limit, book, NULL, &basis);
	set_amount(limit, reading, &size, &basis);
}

/*
 * How far the price of the order is from the market.  It needs a candle: the
 * price of the last execution may be as wrong as this one.
 */
static void
read_collar(const FxLimit *limit, FxBook *book, FxReading *reading)
{
	FxMeasure	distance;
	FxMeasure	basis;

	set_known(&distance, 0);
	set_known(&basis, book->quote != NULL && book->quote->has_price ? book->quote->price : 1);
	if (book->before != NULL && book->order->price > 0)
	{
		if (!book->quote->has_price)
			set_missing(&distance, "no fresh price of %s", book->order->symbol);
		else
		{
			int128		difference = book->order->price - book->quote->price;

			set_known(&distance, difference < 0 ? -difference : difference);
		}
	}
	set_amount(limit, reading, &distance, &basis);
}

/*
 * What the position in the order's symbol, or the largest, is worth.
 */
static void
read_symbol(const FxLimit *limit, FxBook *book, FxReading *reading)
{
	FxMeasure	largest;
	FxMeasure	basis;

	set_known(&largest, 0);
	for (int i = 0; i < book->account->npositions; i++)
	{
		FxPosition *position = book->account->positions[i];
		FxMeasure	measure;
		int128		net;

		if (book->order != NULL ? position != book->position
			: !covers_position(limit, book->account, position))
			continue;
		net = net_units(position);
		get_notional(book, position, net < 0 ? -net : net, &measure);
		keep_larger(&largest, &measure);
	}

	if (limit->type == FX_CONCENTRATION)
		set_ratio(limit, reading, &largest,
				  limit->basis == FX_BASIS_EQUITY ? get_equity(book) : get_gross(book));
	else
	{
		get_basis(limit, book, NULL, &basis);
		set_amount(limit, reading, &largest, &basis);
	}
}

/*
 * Sum of the legs of the currency of the scope, of one of the order's two, or
 * the largest.
 */
static void
read_currency(const FxLimit *limit, FxBook *book, FxReading *reading)
{
	FxMeasure	largest;
	FxMeasure	basis;

	if (limit->currency[0] != '\0')
		get_leg(book, limit->currency, &largest);
	else if (book->order != NULL)
	{
		if (book->currency == NULL && book->before != NULL)
			book->currency = book->before->currency = pick_currency(book);
		get_leg(book, book->currency != NULL ? book->currency : "", &largest);
	}
	else
	{
		get_legs(book);
		set_known(&largest, 0);
		for (int i = 0; i < book->nlegs; i++)
		{
			FxMeasure	sum;

			get_leg(book, book->legs[i].currency, &sum);
			keep_larger(&largest, &sum);
		}
	}
	get_basis(limit, book, NULL, &basis);
	set_amount(limit, reading, &largest, &basis);
}

/*
 * Which of the order's currencies to judge it by: one that is not known, else
 * the larger of those whose sum it makes larger, else the larger.  One that
 * shrinks must not hide the other.
 */
static const char *
pick_currency(FxBook *book)
{
	const char *currencies[] = {book->quote->base, book->quote->quote};
	const char *picked = NULL;
	int128		largest = 0;
	bool		grows = false;

	for (int i = 0; i < lengthof(currencies); i++)
	{
		FxMeasure	before;
		FxMeasure	after;
		bool		this_grows;

		get_leg(book->before, currencies[i], &before);
		get_leg(book, currencies[i], &after);
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
 * How much is held or owed of a currency.
 */
static void
get_leg(FxBook *book, const char *currency, FxMeasure *sum)
{
	get_legs(book);
	set_known(sum, 0);
	for (int i = 0; i < book->nlegs; i++)
	{
		const FxLeg *leg = &book->legs[i];

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
 * Orders in the window, this one included.
 */
static void
read_rate(const FxRisk *risk, const FxLimit *limit, FxBook *book, FxReading *reading)
{
	TimestampTz since = book->account->now - (int64) limit->window_seconds * USECS_PER_SEC;
	int64		count = 0;

	for (int i = limit->norder_times; i > 0 && limit->order_times[i - 1] > since; i--)
		count++;
	if (book->before != NULL && !book->order->closed && !risk->placed_before)
		count++;
	set_count(limit, reading, count);
}

static int64
count_open_trades(const FxLimit *limit, FxBook *book)
{
	const FxPosition *position;
	int64		count;

	if (limit->has_strategy)
	{
		count = limit->scope->open_trades;

		/* which trades an order closes is not known here: it may be none of these */
		if (book->before != NULL && book->position != NULL)
		{
			FxSide		side = book->order->side;
			const FxPosition *before = book->before->position;

			if (book->position->quantity[side] > (before != NULL ? before->quantity[side] : 0))
				count++;
		}
		return count;
	}

	if (limit->symbol[0] == '\0')
		return book->account->open_trades;
	position = fx_risk_find_position(book->account, limit->symbol);
	return position != NULL ? position->open_trades : 0;
}

static int64
count_day_trades(const FxLimit *limit, FxBook *book)
{
	if (limit->scope == NULL || !limit->scope->has_day)
		return book->account->day_trades;
	return limit->scope->day_trades +
		(book->before != NULL ? book->account->day_trades - book->before->account->day_trades : 0);
}

/*
 * Losses in a row.  Of those that had been closed before the limit was cleared,
 * none counts.
 */
static int64
count_losses(const FxLimit *limit, FxBook *book)
{
	const FxAccount *account = book->account;

	if (limit->scope != NULL && limit->scope->has_losses)
		return limit->scope->losses;
	if (limit->cleared_at != 0 && account->losing_since != 0 &&
		account->losing_since <= limit->cleared_at &&
		limit->scope != NULL && limit->scope->has_excluded)
		return Max(0, account->consecutive_losses - limit->scope->losses_excluded);
	return account->consecutive_losses;
}

/*
 * A measure that is an amount, and its bound: the value of the limit, or a
 * percentage of the basis.
 */
static void
set_amount(const FxLimit *limit, FxReading *reading, const FxMeasure *amount,
		   const FxMeasure *basis)
{
	reading->measure = *amount;
	reading->amount = amount->known ? amount->value : 0;
	reading->value = limit->value;
	if (!limit->percentage)
	{
		reading->factor = 1;
		reading->basis = 1;
		set_known(&reading->bound, limit->value);
		return;
	}

	reading->factor = FX_PER_CENT;
	reading->basis = basis->known ? Max(basis->value, 0) : 0;
	if (!basis->known)
		reading->bound = *basis;
	else
	{
		set_known(&reading->bound, 0);
		if (!fx_risk_mul_div(limit->value, reading->basis, FX_PER_CENT, &reading->bound.value))
			fx_fixed_raise(FX_FIXED_OVERFLOW, "bound of a risk limit");
	}
}

/*
 * A measure that is a share of a basis: leverage as a ratio, concentration in
 * percent.
 */
static void
set_ratio(const FxLimit *limit, FxReading *reading, const FxMeasure *amount,
		  const FxMeasure *basis)
{
	bool		is_percent = limit->type == FX_CONCENTRATION;

	reading->is_ratio = true;
	reading->amount = amount->known ? amount->value : 0;
	reading->basis = basis->known ? Max(basis->value, 0) : 0;
	reading->value = limit->value;
	reading->factor = limit->percentage ? FX_PER_CENT : FX_FIXED_ONE;
	set_known(&reading->bound,
			  limit->percentage && !is_percent ? fx_fixed_div(limit->value, 100) : limit->value);

	if (!amount->known || !basis->known)
	{
		reading->measure = amount->known ? *basis : *amount;
		return;
	}
	set_known(&reading->measure, 0);
	if (reading->amount > 0)
		reading->measure.infinite = reading->basis == 0 ||
			!fx_risk_mul_div(reading->amount, is_percent ? FX_PER_CENT : FX_FIXED_ONE,
							 reading->basis, &reading->measure.value);
}

static void
set_count(const FxLimit *limit, FxReading *reading, int64 count)
{
	reading->amount = (int128) count * FX_FIXED_ONE;
	reading->factor = 1;
	reading->value = limit->value;
	reading->basis = 1;
	set_known(&reading->measure, reading->amount);
	set_known(&reading->bound, limit->value);
}

/*
 * What a percentage is of.
 */
static void
get_basis(const FxLimit *limit, FxBook *book, const FxMeasure *anchor, FxMeasure *basis)
{
	if (!limit->percentage)
		set_known(basis, 1);
	else if (limit->basis == FX_BASIS_EQUITY)
		*basis = *get_equity(book);
	else if (limit->basis == FX_BASIS_ANCHOR && anchor != NULL)
		*basis = *anchor;
	else if (book->account->initial_balance > 0)
		set_known(basis, book->account->initial_balance);
	else
		set_missing(basis, "initial balance of the account");
}

static const FxMeasure *
get_equity(FxBook *book)
{
	if (!book->has_equity)
	{
		book->equity.infinite = false;
		book->equity.missing[0] = '\0';
		book->equity.known = fx_account_equity(book->account, &book->equity.value,
											   book->equity.missing,
											   sizeof(book->equity.missing));
		book->has_equity = true;
	}
	return &book->equity;
}

static const FxMeasure *
get_gross(FxBook *book)
{
	if (!book->has_gross)
	{
		get_exposure(NULL, book, &book->gross);
		book->has_gross = true;
	}
	return &book->gross;
}

/*
 * Sum of what the positions in the scope of a limit, or all, are worth.
 */
static void
get_exposure(const FxLimit *limit, FxBook *book, FxMeasure *sum)
{
	int128		total = 0;

	for (int i = 0; i < book->account->npositions; i++)
	{
		FxPosition *position = book->account->positions[i];
		int128		net = net_units(position);

		if (net == 0 || (limit != NULL && !covers_position(limit, book->account, position)))
			continue;
		get_notional(book, position, net < 0 ? -net : net, sum);
		if (!sum->known)
			return;
		fx_fixed_add_to(&total, sum->value, "exposure");
	}
	set_known(sum, total);
}

/*
 * What units of a position's symbol are worth in the account's currency.
 */
static void
get_notional(FxBook *book, FxPosition *position, int128 units, FxMeasure *result)
{
	int128		price;

	if (units == 0)
	{
		set_known(result, 0);
		return;
	}

	fx_position_value(book->account, position);
	if (position->has_mark)
		price = position->mark;
	else if (book->order != NULL && position == book->position && book->order->price > 0)
		price = book->order->price;
	else
	{
		set_missing(result, "no fresh price of %s", position->symbol);
		return;
	}
	if (position->quote.has_rate)
		set_known(result, fx_rate_apply(&position->quote.rate, fx_cost_of(units, price)));
	else if (position->quote.quote[0] != '\0')
		set_missing(result, "no rate from %s to %s", position->quote.quote,
					book->account->currency);
	else
		set_missing(result, "currencies of %s", position->symbol);
}

static void
get_order_notional(FxBook *book, FxMeasure *result)
{
	const FxQuote *quote = book->quote;
	int128		price;

	if (quote->has_price)
		price = quote->price;
	else if (book->order->price > 0)
		price = book->order->price;
	else if (book->position != NULL && book->position->valued && book->position->has_mark)
		price = book->position->mark;
	else
	{
		set_missing(result, "no fresh price of %s", book->order->symbol);
		return;
	}
	if (quote->has_rate)
		set_known(result, fx_rate_apply(&quote->rate, fx_cost_of(book->order->quantity, price)));
	else if (quote->quote[0] != '\0')
		set_missing(result, "no rate from %s to %s", quote->quote, book->account->currency);
	else
		set_missing(result, "currencies of %s", book->order->symbol);
}

/*
 * What is held and owed of each currency, in the account's.
 */
static void
get_legs(FxBook *book)
{
	const FxAccount *account = book->account;

	if (book->has_legs)
		return;
	book->has_legs = true;
	book->legs = (FxLeg *) palloc((2 * account->npositions + 1) * sizeof(FxLeg));

	for (int i = 0; i < account->npositions; i++)
	{
		FxPosition *position = account->positions[i];
		const FxQuote *quote = &position->quote;
		int128		net = net_units(position);
		int128		units = net < 0 ? -net : net;
		FxMeasure	notional;
		char		missing[sizeof(notional.missing)];

		if (net == 0)
			continue;
		get_notional(book, position, units, &notional);
		add_leg(book, quote->quote, net < 0 ? notional.value : -notional.value,
				notional.known ? NULL : notional.missing);

		if (quote->has_base_rate)
		{
			units = fx_rate_apply(&quote->base_rate, units);
			add_leg(book, quote->base, net < 0 ? -units : units, NULL);
		}
		else
		{
			if (quote->base[0] != '\0')
				snprintf(missing, sizeof(missing), "no rate from %s to %s", quote->base,
						 account->currency);
			else
				snprintf(missing, sizeof(missing), "currencies of %s", position->symbol);
			add_leg(book, quote->base, 0, missing);
		}
	}
}

static void
add_leg(FxBook *book, const char *currency, int128 amount, const char *missing)
{
	FxLeg	   *leg = NULL;

	for (int i = 0; i < book->nlegs && leg == NULL; i++)
	{
		if (strcmp(book->legs[i].currency, currency) == 0)
			leg = &book->legs[i];
	}
	if (leg == NULL)
	{
		leg = &book->legs[book->nlegs++];
		strlcpy(leg->currency, currency, sizeof(leg->currency));
		set_known(&leg->sum, 0);
	}
	if (missing != NULL)
		set_missing(&leg->sum, "%s", missing);
	else if (leg->sum.known)
		fx_fixed_add_to(&leg->sum.value, amount, "currency exposure");
}

/*
 * Is a position in the scope of a limit?  One whose currencies are not known
 * may be in any.
 */
static bool
covers_position(const FxLimit *limit, FxAccount *account, FxPosition *position)
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

static int128
net_units(const FxPosition *position)
{
	return position->quantity[FX_LONG] - position->quantity[FX_SHORT];
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

static inline void
set_known(FxMeasure *measure, int128 value)
{
	measure->known = true;
	measure->infinite = false;
	measure->value = value;
	measure->missing[0] = '\0';
}

static void
set_missing(FxMeasure *measure, const char *format,...)
{
	va_list		args;

	measure->known = false;
	measure->infinite = false;
	measure->value = 0;
	va_start(args, format);
	vsnprintf(measure->missing, sizeof(measure->missing), format, args);
	va_end(args);
}

/*
 * Compare a * b with c * d, none of them negative.
 */
static int
compare_products(int128 a, int128 b, int128 c, int128 d)
{
	int128		left;
	int128		right;
	uint128		left_high;
	uint128		left_low;
	uint128		right_high;
	uint128		right_low;

	Assert(a >= 0 && b >= 0 && c >= 0 && d >= 0);
	if (likely(!__builtin_mul_overflow(a, b, &left) && !__builtin_mul_overflow(c, d, &right)))
		return left < right ? -1 : left > right;

	multiply((uint128) a, (uint128) b, &left_high, &left_low);
	multiply((uint128) c, (uint128) d, &right_high, &right_low);
	if (left_high != right_high)
		return left_high < right_high ? -1 : 1;
	return left_low < right_low ? -1 : left_low > right_low;
}

/*
 * The product of two numbers of 128 bits, in two.
 */
static void
multiply(uint128 a, uint128 b, uint128 *high, uint128 *low)
{
	uint64		a_low = (uint64) a;
	uint64		a_high = (uint64) (a >> 64);
	uint64		b_low = (uint64) b;
	uint64		b_high = (uint64) (b >> 64);
	uint128		ll = (uint128) a_low * b_low;
	uint128		lh = (uint128) a_low * b_high;
	uint128		hl = (uint128) a_high * b_low;
	uint128		middle = (ll >> 64) + (uint64) lh + (uint64) hl;

	*low = middle << 64 | (uint64) ll;
	*high = (uint128) a_high * b_high + (lh >> 64) + (hl >> 64) + (middle >> 64);
}
