/*-------------------------------------------------------------------------
 *
 * risk_limits.c
 *	  Limits of a user in a statement: from loading them to what became of them
 *
 * Limits are loaded and written while the account is locked, so that no two
 * statements work with those of one user.  Readers without the lock see what
 * their snapshot sees.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "risk_internal.h"

/* What current_value holds: DECIMAL(18,8) */
#define CURRENT_VALUE_END	((int128) 10000000000 * FX_FIXED_ONE)

static void finish(FxRisk *risk, bool latching);
static void end_latch(FxLimit *limit, TimestampTz now);
static bool observe(FxRisk *risk, FxLimit *limit, FxView *view, bool latching);
static bool is_at_warning_level(const FxLimit *limit);
static void latch(FxRisk *risk, FxLimit *limit, const FxReading *reading, const char *reason);
static void forget_old_orders(FxRisk *risk, FxLimit *limit);

/*
 * The active limits of a user.
 */
FxRisk *
fx_risk_load(FxAccount *account)
{
	return fx_risk_load_all(account, false);
}

FxRisk *
fx_risk_load_all(FxAccount *account, bool inactive_too)
{
	FxRisk	   *risk = (FxRisk *) palloc0(sizeof(FxRisk));

	risk->account = account;
	risk->context = CurrentMemoryContext;
	risk->inactive_too = inactive_too;
	fx_limit_read_all(risk);
	if (risk->nlimits == 0)
		return risk;

	for (int i = 0; i < risk->nlimits; i++)
		end_latch(&risk->limits[i], account->now);

	/* copies of the account share what is found here */
	for (int i = 0; i < account->npositions; i++)
	{
		FxPosition *position = account->positions[i];

		if (position->quantity[FX_LONG] != 0 || position->quantity[FX_SHORT] != 0)
			fx_position_value(account, position);
	}
	fx_scope_load_all(risk, true);
	return risk;
}

bool
fx_risk_is_latched(const FxLimit *limit, TimestampTz now)
{
	return limit->breached_at != 0 && limit->breached_until > now;
}

bool
fx_risk_reads_trades(const FxRisk *risk)
{
	for (int i = 0; i < risk->nlimits; i++)
	{
		if (risk->limits[i].scope != NULL)
			return true;
	}
	return false;
}

/*
 * At the end of a statement: measure all limits as they are now, latch those
 * that are breached, and write what has changed.
 */
void
fx_risk_finish(FxRisk *risk)
{
	finish(risk, true);
}

/*
 * The same, but a limit that is breached stays as it is.
 */
void
fx_risk_write(FxRisk *risk)
{
	finish(risk, false);
}

static void
finish(FxRisk *risk, bool latching)
{
	Relation	rel = NULL;
	TupleTableSlot *slot = NULL;
	FxView		view;

	if (risk->nlimits == 0)
		return;

	CommandCounterIncrement();
	fx_scope_load_all(risk, false);
	fx_view_begin(&view, risk->account, NULL, NULL, NULL);
	for (int i = 0; i < risk->nlimits; i++)
	{
		FxLimit    *limit = &risk->limits[i];

		if (!limit->active || !observe(risk, limit, &view, latching))
			continue;
		if (rel == NULL)
		{
			rel = fx_limit_open(RowExclusiveLock);
			slot = table_slot_create(rel, NULL);
		}
		fx_limit_write(rel, slot, limit);
	}
	fx_view_end(&view);
	if (rel != NULL)
	{
		ExecDropSingleTupleTableSlot(slot);
		table_close(rel, NoLock);
	}
	fx_state_write_all(risk);
	CommandCounterIncrement();
	fx_recent_limits_put(risk);
}

/*
 * A latch whose time has passed is no longer one.  Losses in a row start again
 * after the cooldown, which would otherwise end where it began.
 */
static void
end_latch(FxLimit *limit, TimestampTz now)
{
	if (limit->breached_at == 0 || limit->breached_until > now)
		return;
	if (limit->type == FX_MAX_CONSECUTIVE_LOSSES)
		limit->cleared_at = Max(limit->cleared_at, limit->breached_until);
	limit->breached_at = 0;
	limit->dirty = true;
}

/*
 * Measure one limit and note what comes of it; true when the measure is not as
 * it is stored.
 */
static bool
observe(FxRisk *risk, FxLimit *limit, FxView *view, bool latching)
{
	FxReading	reading;
	FxMeasure	current;
	bool		warned_before = is_at_warning_level(limit);
	bool		has_current;
	bool		changed;

	if (limit->type == FX_MAX_ORDER_RATE)
		forget_old_orders(risk, limit);

	fx_risk_read(risk, limit, view, &reading);
	fx_reading_in_units_of_limit(limit, &reading, &current);
	has_current = current.known && !current.infinite && current.value < CURRENT_VALUE_END;
	changed = has_current != limit->has_current ||
		(has_current && current.value != limit->current);
	limit->has_current = has_current;
	limit->current = has_current ? current.value : 0;
	if (!latching)
		return changed;

	if (limit->warning != NULL)
	{
		fx_risk_add_event(risk->account, "warning", limit,
						  limit->has_warning_trade ? &limit->warning_trade : NULL,
						  &limit->warning_before, &limit->warning_after, &limit->warning_bound,
						  limit->warning);
		limit->warning = NULL;
	}
	else if (changed && !warned_before && limit->warning_level > 0 &&
			 limit->type != FX_MIN_EQUITY && limit->type != FX_KILL_SWITCH)
	{
		FxMeasure	utilization;

		fx_reading_utilization(&reading, &utilization);
		if (utilization.known &&
			(utilization.infinite || utilization.value >= limit->warning_level))
			fx_risk_add_event(risk->account, "warning", limit, NULL, &reading.measure, NULL,
							  &reading.bound, NULL);
	}

	if (fx_risk_latches(limit->type) && reading.breached && limit->breached_at == 0)
		latch(risk, limit, &reading,
			  fx_risk_explain(risk->account, limit, NULL, &reading, &reading));
	return changed;
}

/*
 * By the measure that was written last.
 */
static bool
is_at_warning_level(const FxLimit *limit)
{
	if (!limit->has_current || limit->current <= 0)
		return false;
	/* current / value * 100 >= level; neither product passes 112 bits */
	return limit->current * 100 * FX_FIXED_ONE >= limit->warning_level * limit->value;
}

static void
latch(FxRisk *risk, FxLimit *limit, const FxReading *reading, const char *reason)
{
	FxAccount  *account = risk->account;
	TimestampTz start;

	limit->breached_at = account->now;
	limit->breach_value = reading->measure.value;
	switch (limit->type)
	{
		case FX_DAILY_LOSS:
		case FX_WEEKLY_LOSS:
		case FX_MONTHLY_LOSS:
			fx_period_bounds(account, account->now, FX_DAY + (limit->type - FX_DAILY_LOSS),
							 &start, &limit->breached_until);
			break;
		case FX_MAX_CONSECUTIVE_LOSSES:
			limit->breached_until = limit->cooldown_seconds == 0 ? DT_NOEND :
				account->now + (int64) limit->cooldown_seconds * USECS_PER_SEC;
			break;
		default:
			limit->breached_until = DT_NOEND;
			break;
	}
	limit->dirty = true;
	fx_risk_add_event(account, "breached", limit, NULL, &reading->measure, NULL,
					  &reading->bound, reason);
}

static void
forget_old_orders(FxRisk *risk, FxLimit *limit)
{
	TimestampTz since = risk->account->now - (int64) limit->window_seconds * USECS_PER_SEC;
	int			old = 0;

	while (old < limit->norder_times && limit->order_times[old] <= since)
		old++;
	if (old == 0)
		return;
	limit->norder_times -= old;
	memmove(limit->order_times, limit->order_times + old, limit->norder_times * sizeof(TimestampTz));
	limit->dirty = true;
}
