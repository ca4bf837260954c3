/*-------------------------------------------------------------------------
 *
 * trade_apply.c
 *	  What a row of fx.trades does to the books of its user
 *
 * Orders and executions are judged by the account before and after them, those
 * that the user's limits have a say in.  Closings are not judged: only a halted
 * account refuses them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/uuid.h"

#include "compat.h"
#include "risk_report.h"
#include "trades.h"

static void check_untouched(FxTradeWork *work, const FxTrade *trade);
static void set_price(FxTradeWork *work, FxBooks *books, const FxTrade *old, const FxTrade *new);
static void close_units(FxTradeWork *work, FxBooks *books, const FxTrade *old,
						const FxTrade *new, int128 profit);
static bool must_judge(const FxBooks *books);
static void judge(FxTradeWork *work, FxBooks *books, FxAccount *before, FxAccount *after,
				  const FxOrder *order, bool placed_before);
static int128 difference(int128 a, int128 b);

/*
 * An order that waits.  What it would close, and what that would bring, is
 * estimated: it depends on the price, and on what is open by then.
 */
void
fx_apply_order(FxTradeWork *work, FxBooks *books, const FxTrade *trade)
{
	MemoryContext old_context;
	FxAccount  *after;
	FxOrder		order;

	if (!must_judge(books))
		return;

	/* the account must not grow in a context that ends with the row */
	fx_account_position(books->account, trade->symbol);

	old_context = MemoryContextSwitchTo(work->row_context);
	fx_make_order(books->account, trade, &order);
	after = fx_account_copy(books->account);
	fx_order_apply(after, &order);
	judge(work, books, books->account, after, &order, false);
	MemoryContextSwitchTo(old_context);
}

/*
 * An execution, recorded with its closing or still open.
 */
void
fx_apply_execution(FxTradeWork *work, FxBooks *books, const FxTrade *trade)
{
	FxAccount  *account = books->account;
	FxAccount  *before = NULL;
	FxPosition *position;
	FxOrder		order;
	int128		profit = trade->profit;
	bool		judged;

	fx_make_order(account, trade, &order);
	judged = must_judge(books) &&
		!(order.closed && trade->executed_at < account->periods[FX_DAY].started_at);
	position = fx_account_position(account, trade->symbol);
	if (judged)
	{
		MemoryContext old_context = MemoryContextSwitchTo(work->row_context);

		before = fx_account_copy(account);
		MemoryContextSwitchTo(old_context);
	}

	if (trade->is_closed)
	{
		/* costs belong to the execution, the result to the closing */
		fx_account_add_net(account, -trade->commission, trade->executed_at);
		fx_account_add_net(account, fx_fixed_net(profit, 0, trade->swap), trade->closed_at);
		fx_streak_add(books, trade->closed_at, &trade->id, true, fx_trade_net(trade));
	}
	else
	{
		if (work->is_update)
			check_untouched(work, trade);
		fx_trade_fill(work, books, trade, &order, &profit);
		fx_account_add_net(account, fx_fixed_net(profit, trade->commission, trade->swap),
						   trade->executed_at);
	}
	fx_account_count_execution(account, 1, trade->executed_at);
	if (profit != 0)
	{
		fx_fixed_add_to(&position->realized, profit, "realized_pnl");
		position->dirty = true;
	}

	if (judged)
		judge(work, books, before, account, &order, work->is_update);
}

/*
 * An insertion in the same statement, whose trigger comes first, may have
 * closed units of a row that is still as it was in the books.
 */
static void
check_untouched(FxTradeWork *work, const FxTrade *trade)
{
	FxTrade		stored;

	if (fx_trade_fetch(work, &trade->id, &stored) && stored.open != trade->open)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("trade \"%s\" was closed by another part of the statement that updates it",
					   fx_uuid_text(&trade->id)),
				errhint("Use two statements."));
}

/*
 * A trade that is in the books is closed, or gets other numbers.
 */
void
fx_apply_change(FxTradeWork *work, FxBooks *books, const FxTrade *old, const FxTrade *new)
{
	FxAccount  *account = books->account;
	bool		closes = !old->is_closed && new->is_closed;
	int128		profit = difference(new->profit, old->profit);
	int128		net = difference(fx_trade_net(new), fx_trade_net(old));

	if (closes && must_judge(books))
	{
		FxOrder		closing;

		fx_make_order(account, old, &closing);
		if (fx_risk_state(books->risk, &closing) == FX_HALTED)
			fx_risk_refuse_closing(books->risk, &closing);
	}

	if (!old->has_price && new->has_price)
		set_price(work, books, old, new);
	if (closes)
		close_units(work, books, old, new, profit);
	else if (new->is_closed && (old->is_consumed != new->is_consumed ||
								(fx_trade_net(old) < 0) != (fx_trade_net(new) < 0)))
		books->streak_stale = true;

	fx_account_add_net(account, net, closes ? new->closed_at : account->now);
	if (profit != 0)
	{
		FxPosition *position = fx_account_position(account, new->symbol);

		fx_fixed_add_to(&position->realized, profit, "realized_pnl");
		position->dirty = true;
	}
}

/*
 * The price of a trade became known.  Units of it that were closed before take
 * their cost with them now.
 */
static void
set_price(FxTradeWork *work, FxBooks *books, const FxTrade *old, const FxTrade *new)
{
	fx_closures_set_price(&new->id, old->open, new->price);
	if (!old->is_closed)
	{
		FxPosition *position = fx_account_position(books->account, new->symbol);

		check_untouched(work, new);
		fx_fixed_add_to(&position->cost[new->side], fx_cost_of(old->open, new->price),
						"cost of the position");
		position->unpriced_trades--;
		position->dirty = true;
		fx_position_note_price(position, new->price, new->executed_at);
		books->account->dirty = true;
		if (!new->is_closed)
			fx_queue_opened(work, books, new, new->open);
	}
}

/*
 * The application closed what is open of a trade, and says what it brought.
 */
static void
close_units(FxTradeWork *work, FxBooks *books, const FxTrade *old, const FxTrade *new,
			int128 profit)
{
	FxAccount  *account = books->account;
	FxPosition *position = fx_account_position(account, new->symbol);
	int128		cost = fx_single_cost(account, position, new->side, old->open, old->open,
									  new->price);
	bool		known = account->method == FX_NETTING ?
		position->unpriced_trades == 0 : new->has_price;
	FxClosure  *closure = fx_work_add_closure(work);

	closure->user_id = books->user_id;
	closure->trade_id = new->id;
	closure->symbol = pstrdup(new->symbol);
	closure->side = new->side;
	closure->quantity = old->open;
	closure->cost = cost;
	closure->close_price = new->close_price;
	if (new->close_price != 0 && known)
	{
		int128		value = fx_cost_of(old->open, new->close_price);

		closure->has_realized = true;
		closure->realized = new->side == FX_LONG ? difference(value, cost) :
			difference(cost, value);
	}
	closure->has_profit = true;
	closure->profit = profit;
	closure->method = account->method;
	closure->closed_at = new->closed_at;

	fx_position_close(position, new->side, old->open, cost);
	fx_leave_position(account, position, new->has_price);
	fx_streak_add(books, new->closed_at, &new->id, true, fx_trade_net(new));
}

/*
 * A trade as limits look at it.
 */
void
fx_make_order(const FxAccount *account, const FxTrade *trade, FxOrder *order)
{
	memset(order, 0, sizeof(*order));
	strlcpy(order->symbol, trade->symbol, sizeof(order->symbol));
	order->side = trade->side;
	order->quantity = trade->quantity;
	order->price = trade->price;
	order->costs = difference(trade->commission, trade->swap);
	order->at = trade->status == FX_TRADE_EXECUTED ? trade->executed_at : account->now;
	order->closed = trade->is_closed;
	order->has_strategy = trade->has_strategy;
	order->strategy_id = trade->strategy_id;
	order->has_id = true;
	order->id = trade->id;
}

static bool
must_judge(const FxBooks *books)
{
	return books->risk->nlimits > 0 || books->account->state != FX_ACTIVE;
}

static void
judge(FxTradeWork *work, FxBooks *books, FxAccount *before, FxAccount *after,
	  const FxOrder *order, bool placed_before)
{
	MemoryContext old_context = MemoryContextSwitchTo(work->row_context);
	FxDecision *decision;

	books->risk->placed_before = placed_before;
	decision = fx_risk_decide(books->risk, before, after, order);
	if (decision->refused)
		fx_refuse_order(books, decision, order);
	MemoryContextSwitchTo(old_context);
	fx_risk_accept(books->risk, decision, order);
}

static int128
difference(int128 a, int128 b)
{
	int128		result;

	if (fx_fixed_sub_overflow(a, b, &result))
		fx_fixed_raise(FX_FIXED_OVERFLOW, "net profit");
	return result;
}
