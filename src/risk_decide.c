/*-------------------------------------------------------------------------
 *
 * risk_decide.c
 *	  Whether limits allow an order
 *
 * All limits whose scope covers the order are judged, so that a refusal names
 * every one that refuses.  Limits of what is held refuse an order that makes
 * their measure larger and leaves it past the bound.  Limits of losses refuse
 * while they are breached or latched, and an order that breaches them by its
 * costs.  What cannot be measured refuses.  An order that only reduces a
 * position passes all of that; nothing passes in a halted account.
 *
 * A limit whose action is a state puts the account into that state while it is
 * breached.  An order that would breach it is refused as in that state already.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "compat.h"
#include "risk_internal.h"

static bool is_reducing(const FxAccount *before, const FxOrder *order);
static bool covers_order(const FxLimit *limit, const FxOrder *order, const FxQuote *quote);
static void judge(FxRisk *risk, FxDecision *decision, const FxLimit *limit, FxView *before,
				  FxView *after, const FxOrder *order, bool reducing);
static FxTradingState state_of_action(const FxLimit *limit);
static void demand_state(FxDecision *decision, const FxLimit *limit);
static void find_state(FxRisk *risk, const FxOrder *trade, FxDecision *decision,
					   FxVerdict *verdict, FxReading *readings);
static void blame_limit(FxDecision *decision, const FxAccount *account);
static void note_order(FxRisk *risk, FxLimit *limit);

/*
 * Judge an order by the account before and after it.  The decision is valid
 * until the next one.
 */
FxDecision *
fx_risk_decide(FxRisk *risk, FxAccount *before, FxAccount *after, const FxOrder *order)
{
	FxDecision *decision = risk->decision;
	bool		reducing = is_reducing(before, order);
	bool		is_history = order->closed && order->at < before->periods[FX_DAY].started_at;

	if (decision == NULL)
	{
		decision = (FxDecision *) MemoryContextAlloc(risk->context, sizeof(FxDecision));
		decision->verdicts = NULL;
		if (risk->nlimits > 0)
		{
			FxReading  *readings;

			decision->verdicts = (FxVerdict *)
				MemoryContextAlloc(risk->context, risk->nlimits * sizeof(FxVerdict));
			readings = (FxReading *)
				MemoryContextAlloc(risk->context, 2 * risk->nlimits * sizeof(FxReading));
			for (int i = 0; i < risk->nlimits; i++)
				decision->verdicts[i].readings = readings + 2 * i;
		}
		risk->decision = decision;
	}
	decision->state = before->state;
	decision->state_reason = before->state_reason;
	decision->state_limit = NULL;
	decision->refused = false;
	decision->halted = false;
	decision->executed = false;
	decision->tried = after != risk->account;
	decision->nverdicts = 0;

	if (is_history)
		return decision;

	if (risk->nlimits > 0)
	{
		FxPosition *position = fx_view_find_position(after, order->symbol);
		FxQuote		quote;
		FxView		view_before;
		FxView		view_after;

		if (position != NULL)
			fx_position_value(after, position);
		else
			fx_quote_get(order->symbol, after->currency, after->now, &quote);

		fx_view_begin(&view_before, before, order, NULL,
					  position != NULL ? &position->quote : &quote);
		fx_view_begin(&view_after, after, order, &view_before, view_before.quote);
		decision->executed = fx_view_is_executed(&view_after);
		for (int i = 0; i < risk->nlimits; i++)
		{
			if (covers_order(&risk->limits[i], order, view_after.quote))
				judge(risk, decision, &risk->limits[i], &view_before, &view_after, order, reducing);
		}
		fx_view_end(&view_before);
		fx_view_end(&view_after);
	}

	decision->halted = decision->state == FX_HALTED ||
		(decision->state == FX_REDUCE_ONLY && !reducing);
	decision->refused |= decision->halted;
	if (decision->halted && decision->state_limit != NULL)
		blame_limit(decision, after);
	return decision;
}

/*
 * The order takes place.  Count it where that is not in the books, and keep
 * what limits that only warn have to say until fx_risk_finish().  One that was
 * tried on a copy is an order, but no trade.
 */
void
fx_risk_accept(FxRisk *risk, const FxDecision *decision, const FxOrder *order)
{
	for (int i = 0; i < decision->nverdicts; i++)
	{
		const FxVerdict *verdict = &decision->verdicts[i];
		FxLimit    *limit = &risk->limits[verdict->limit - risk->limits];

		if (limit->type == FX_MAX_ORDER_RATE && !order->closed && !risk->placed_before)
			note_order(risk, limit);

		if (limit->scope != NULL && limit->scope->has_day && !decision->tried)
			limit->scope->day_trades = (int64) (verdict->after.value / FX_FIXED_ONE);
		if (limit->scope != NULL && limit->scope->has_positions && decision->executed &&
			!decision->tried)
		{
			if (limit->type == FX_MAX_OPEN_TRADES)
				limit->scope->open_trades = (int64) (verdict->after.value / FX_FIXED_ONE);
			fx_fixed_add_to(&fx_scope_symbol(limit->scope, order->symbol, true)->quantity[order->side],
							order->quantity, "position");
		}

		if (verdict->warning != NULL)
		{
			if (limit->warning != NULL)
				pfree(limit->warning);
			limit->warning = MemoryContextStrdup(risk->context, verdict->warning);
			limit->warning_before = verdict->before;
			limit->warning_after = verdict->after;
			limit->warning_bound = verdict->bound;
			limit->has_warning_trade = order->has_id;
			limit->warning_trade = order->id;
		}
	}
}

/*
 * Raise the error of an order that was refused.
 */
void
fx_risk_refuse(const FxRisk *risk, const FxDecision *decision, const FxOrder *order)
{
	const FxVerdict **verdicts = fx_risk_sort(decision, true);
	int			nrefused = 0;

	if (decision->halted)
		ereport(ERROR,
				errcode(ERRCODE_FX_TRADING_HALTED),
				decision->state == FX_HALTED ?
				errmsg("trading is halted for the account") :
				errmsg("the account may only reduce positions"),
				errdetail_internal("%s", fx_risk_detail(decision)),
				decision->state_limit != NULL ?
				errhint("Risk limit \"%s\" demands it.", decision->state_limit->name) :
				errhint("fx.set_trading_state() changes the state of an account."));

	while (nrefused < decision->nverdicts && verdicts[nrefused]->refused)
		nrefused++;
	if (nrefused == 0)
		elog(ERROR, "order was not refused");

	ereport(ERROR,
			errcode(ERRCODE_FX_RISK_LIMIT_EXCEEDED),
			nrefused == 1 ?
			errmsg("trade refused by risk limit \"%s\" (%s)", verdicts[0]->limit->name,
				   fx_risk_type_names[verdicts[0]->limit->type]) :
			errmsg("trade refused by risk limit \"%s\" (%s) and %d more", verdicts[0]->limit->name,
				   fx_risk_type_names[verdicts[0]->limit->type], nrefused - 1),
			errdetail_internal("%s", fx_risk_detail(decision)),
			verdicts[0]->limit->breached_at != 0 ?
			errhint("The limit stays breached until its time has passed, or fx.clear_breach() clears it.") :
			!verdicts[0]->utilization.known ?
			errhint("While that is not known, the limit refuses all orders but those that reduce a position.") : 0);
}

/*
 * The state that the account is in by itself, or that a limit demands whose
 * scope covers a trade.
 */
FxTradingState
fx_risk_state(FxRisk *risk, const FxOrder *trade)
{
	FxDecision	decision;
	FxVerdict	verdict;
	FxReading	readings[2];

	find_state(risk, trade, &decision, &verdict, readings);
	return decision.state;
}

/*
 * Raise the error of a closing in a halted account.
 */
void
fx_risk_refuse_closing(FxRisk *risk, const FxOrder *trade)
{
	FxDecision	decision;
	FxVerdict	verdict;
	FxReading	readings[2];

	find_state(risk, trade, &decision, &verdict, readings);
	fx_risk_refuse(risk, &decision, NULL);
}

/*
 * Decide as if there were an order that changes nothing.  The only verdict is
 * that of a limit which demands a state.
 */
static void
find_state(FxRisk *risk, const FxOrder *trade, FxDecision *decision, FxVerdict *verdict,
		   FxReading *readings)
{
	FxPosition *position = fx_view_find_position(risk->account, trade->symbol);
	FxQuote		quote;
	FxView		view;

	memset(decision, 0, sizeof(*decision));
	decision->state = risk->account->state;
	decision->state_reason = risk->account->state_reason;
	decision->verdicts = verdict;

	if (position != NULL)
	{
		fx_position_value(risk->account, position);
		quote = position->quote;
	}
	else
		fx_quote_get(trade->symbol, risk->account->currency, risk->account->now, &quote);

	fx_view_begin(&view, risk->account, NULL, NULL, NULL);
	for (int i = 0; i < risk->nlimits; i++)
	{
		const FxLimit *limit = &risk->limits[i];
		FxReading	reading;

		if (state_of_action(limit) <= decision->state || !covers_order(limit, trade, &quote))
			continue;
		fx_risk_read(risk, limit, &view, &reading);
		if (!reading.breached && !fx_risk_is_latched(limit, risk->account->now))
			continue;

		demand_state(decision, limit);
		readings[0] = reading;
		readings[1] = reading;
		memset(verdict, 0, sizeof(*verdict));
		verdict->limit = limit;
		verdict->before = reading.measure;
		verdict->after = reading.measure;
		verdict->bound = reading.bound;
		verdict->breached = true;
		verdict->readings = readings;
		fx_reading_utilization(&reading, &verdict->utilization);
		decision->nverdicts = 1;
	}
	fx_view_end(&view);

	decision->halted = decision->state == FX_HALTED;
	decision->refused = decision->halted;
	if (decision->halted && decision->state_limit != NULL)
		blame_limit(decision, risk->account);
}

/*
 * Does the order only take from a position?
 */
static bool
is_reducing(const FxAccount *before, const FxOrder *order)
{
	const FxPosition *position;

	if (before->method == FX_HEDGING || order->closed)
		return false;
	position = fx_view_find_position(before, order->symbol);
	return position != NULL && order->quantity <= position->quantity[FX_OTHER_SIDE(order->side)];
}

/*
 * An instrument whose currencies are not known may have any.
 */
static bool
covers_order(const FxLimit *limit, const FxOrder *order, const FxQuote *quote)
{
	if (limit->symbol[0] != '\0' && strcmp(limit->symbol, order->symbol) != 0)
		return false;
	if (limit->has_strategy &&
		(!order->has_strategy ||
		 memcmp(&limit->strategy_id, &order->strategy_id, sizeof(pg_uuid_t)) != 0))
		return false;
	return limit->currency[0] == '\0' || quote->base[0] == '\0' ||
		strcmp(limit->currency, quote->base) == 0 || strcmp(limit->currency, quote->quote) == 0;
}

static void
judge(FxRisk *risk, FxDecision *decision, const FxLimit *limit, FxView *before, FxView *after,
	  const FxOrder *order, bool reducing)
{
	FxVerdict  *verdict = &decision->verdicts[decision->nverdicts++];
	bool		latched = fx_risk_is_latched(limit, after->account->now);
	bool		breached_before;
	bool		breached_after;
	bool		breached_by_order;
	bool		unknown;
	FxReading  *reading_before = &verdict->readings[0];
	FxReading  *reading = &verdict->readings[1];

	fx_risk_read(risk, limit, after, reading);
	fx_risk_read(risk, limit, before, reading_before);
	verdict->limit = limit;
	verdict->before = reading_before->measure;
	verdict->after = reading->measure;
	verdict->bound = reading->bound;
	if (limit->type == FX_PRICE_COLLAR && limit->percentage && !after->quote->has_price)
		fx_measure_miss(&verdict->bound, "no fresh price of %s", order->symbol);
	verdict->breached = reading->breached || latched;
	verdict->refused = false;
	verdict->warning = NULL;
	verdict->reason = NULL;
	fx_reading_utilization(reading, &verdict->utilization);

	unknown = !reading->measure.known || !reading->bound.known;
	breached_before = reading_before->breached || latched;
	breached_after = reading->breached;

	/* what a reducing order costs must not keep a position open, and a result is a fact by now */
	if (reducing)
		unknown = false;
	if (reducing || (order->closed && fx_risk_latches(limit->type)))
		breached_after = false;
	breached_by_order = breached_after && limit->type != FX_KILL_SWITCH &&
		fx_reading_increases(reading_before, reading);

	if (breached_before || breached_after)
		demand_state(decision, limit);

	if (unknown || breached_by_order ||
		(limit->type == FX_KILL_SWITCH && (!reducing || state_of_action(limit) == FX_HALTED)) ||
		(breached_before && fx_risk_latches(limit->type) && !reducing))
	{
		char	   *reason = fx_risk_explain(after->account, limit, order, reading_before, reading);

		if (limit->action == FX_ACTION_WARN)
			verdict->warning = reason;
		else
		{
			verdict->reason = reason;
			verdict->refused = true;
			decision->refused = true;
		}
	}
}

/*
 * A kill switch halts whatever it covers, unless it says something milder.
 */
static FxTradingState
state_of_action(const FxLimit *limit)
{
	switch (limit->action)
	{
		case FX_ACTION_HALT:
			return FX_HALTED;
		case FX_ACTION_REDUCE_ONLY:
			return FX_REDUCE_ONLY;
		case FX_ACTION_BLOCK:
			return limit->type == FX_KILL_SWITCH ? FX_HALTED : FX_ACTIVE;
		case FX_ACTION_WARN:
			break;
	}
	return FX_ACTIVE;
}

static void
demand_state(FxDecision *decision, const FxLimit *limit)
{
	FxTradingState state = state_of_action(limit);

	if (state > decision->state)
	{
		decision->state = state;
		decision->state_reason = limit->name;
		decision->state_limit = limit;
	}
}

/*
 * The limit that demands the state refuses what is refused by the state.
 */
static void
blame_limit(FxDecision *decision, const FxAccount *account)
{
	for (int i = 0; i < decision->nverdicts; i++)
	{
		FxVerdict  *verdict = &decision->verdicts[i];

		if (verdict->limit != decision->state_limit || verdict->refused)
			continue;
		verdict->refused = true;
		verdict->reason = fx_risk_explain(account, verdict->limit, NULL, &verdict->readings[0],
										  &verdict->readings[0]);
	}
}

/*
 * Remember the time of an order, of no more of them than the limit allows.
 */
static void
note_order(FxRisk *risk, FxLimit *limit)
{
	int128		most = (limit->value + FX_FIXED_ONE - 1) / FX_FIXED_ONE;
	Size		size = (limit->norder_times + 1) * sizeof(TimestampTz);

	if (most <= 0)
		return;
	if (limit->norder_times >= most)
	{
		int			extra = limit->norder_times - (int) most + 1;

		limit->norder_times -= extra;
		memmove(limit->order_times, limit->order_times + extra,
				limit->norder_times * sizeof(TimestampTz));
	}
	limit->order_times = limit->order_times == NULL ?
		(TimestampTz *) MemoryContextAlloc(risk->context, size) :
		(TimestampTz *) repalloc(limit->order_times, size);
	limit->order_times[limit->norder_times++] = risk->account->now;
	limit->dirty = true;
}
