/*-------------------------------------------------------------------------
 *
 * position.c
 *	  What an execution does to a position
 *
 * Quantities are units of the base currency, costs amounts of the quote
 * currency, both at scale 8 and exact: a cost is rounded once when a trade
 * opens, and what is taken out of it is rounded once, so that nothing is left
 * when the last unit goes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "account.h"
#include "wide.h"

static void check_quantity(const FxPosition *position, FxSide side, int128 quantity);

/*
 * quantity * price, rounded half away from zero.
 */
int128
fx_cost_of(int128 quantity, int128 price)
{
	int128		cost;

	if (unlikely(!fx_wide_mul_div(quantity, price, FX_FIXED_ONE, &cost)))
		fx_fixed_raise(FX_FIXED_OVERFLOW, "cost of the position");
	return cost;
}

/*
 * The part of a side's cost that goes with some of its quantity, at the
 * average.
 */
int128
fx_position_average_cost(const FxPosition *position, FxSide side, int128 quantity)
{
	int128		cost;

	check_quantity(position, side, quantity);
	if (quantity == position->quantity[side])
		return position->cost[side];
	/* less than all of it */
	if (!fx_wide_mul_div(position->cost[side], quantity, position->quantity[side], &cost))
		elog(ERROR, "part of a cost is out of range");
	return cost;
}

/*
 * A trade opens a quantity; price is 0 when it is not known.
 */
void
fx_position_open(FxPosition *position, FxSide side, int128 quantity, int128 price, TimestampTz at)
{
	fx_fixed_add_to(&position->quantity[side], quantity, "quantity of the position");
	if (price != 0)
	{
		fx_fixed_add_to(&position->cost[side], fx_cost_of(quantity, price),
						"cost of the position");
		fx_position_note_price(position, price, at);
	}
	else
		position->unpriced_trades++;
	position->open_trades++;
	position->dirty = true;
}

/*
 * A quantity is closed and takes some of the cost with it.
 */
void
fx_position_close(FxPosition *position, FxSide side, int128 quantity, int128 cost)
{
	check_quantity(position, side, quantity);
	position->quantity[side] -= quantity;
	fx_fixed_add_to(&position->cost[side], -cost, "cost of the position");
	position->dirty = true;
}

/*
 * Something was executed at a price.
 */
void
fx_position_note_price(FxPosition *position, int128 price, TimestampTz at)
{
	/* what no price column holds */
	if (price <= 0 || price > PG_INT64_MAX)
		return;
	if (position->last_price != 0 && at < position->last_price_at)
		return;
	position->last_price = (int64) price;
	position->last_price_at = at;
	position->dirty = true;
}

/*
 * An order is executed.  Unless the account hedges, it first closes what is
 * open on the other side.
 *
 * fifo_cost is what the trades that a FIFO account closes by it had cost.  An
 * estimate by the average is made where it is NULL.
 */
void
fx_position_fill(FxAccount *account, const FxOrder *order, const int128 *fifo_cost, FxFill *fill)
{
	FxPosition *position = fx_account_position(account, order->symbol);
	FxSide		other = FX_OTHER_SIDE(order->side);

	memset(fill, 0, sizeof(*fill));
	if (order->closed)
		return;

	if (account->method != FX_HEDGING)
		fill->closed = Min(order->quantity, position->quantity[other]);
	fill->opened = order->quantity - fill->closed;

	if (fill->closed > 0)
	{
		if (account->method == FX_FIFO && fifo_cost != NULL)
			fill->removed = *fifo_cost;
		else
			fill->removed = fx_position_average_cost(position, other, fill->closed);

		if (order->price != 0 && position->unpriced_trades == 0)
		{
			int128		value = fx_cost_of(fill->closed, order->price);
			bool		wrapped;

			fill->has_realized = true;
			wrapped = other == FX_LONG ?
				fx_fixed_sub_overflow(value, fill->removed, &fill->realized) :
				fx_fixed_sub_overflow(fill->removed, value, &fill->realized);
			if (wrapped)
				fx_fixed_raise(FX_FIXED_OVERFLOW, "profit");
			fill->has_rate = fx_profit_rate(order->symbol, account->currency, order->price,
											order->at, &fill->rate);
			if (fill->has_rate)
			{
				fill->has_profit = true;
				fill->profit = fx_rate_apply(&fill->rate, fill->realized);
			}
		}
		fx_position_close(position, other, fill->closed, fill->removed);
		if (order->price != 0)
			fx_position_note_price(position, order->price, order->at);
	}
	if (fill->opened > 0)
		fx_position_open(position, order->side, fill->opened, order->price, order->at);
}

/*
 * Nothing leaves a position that is not in it, unless trades were written while
 * the triggers were off.
 */
static void
check_quantity(const FxPosition *position, FxSide side, int128 quantity)
{
	if (unlikely(quantity > position->quantity[side]))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("position of %s does not agree with the trades", position->symbol),
				errhint("SELECT fx.rebuild_risk_state(user_id) mends the books of a user."));
}
