/*-------------------------------------------------------------------------
 *
 * risk_limits.c
 *	  Limits of a user: loading them, and writing what became of them
 *
 * Rows of fx.risk_limits are read by a scan of their index and replaced
 * directly (row_update.c), current_value with every statement that moves the
 * measure.  Both happen while the account is locked, so that no two statements
 * work with the limits of one user.  A row that somebody else has locked is not
 * waited for, because he may be waiting for the account: when he has it, his
 * own trigger measures the limit again.
 *
 * Readers without the lock see what their snapshot sees.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "risk_internal.h"

#define TABLE_NAME			"risk_limits"
#define INDEX_NAME			"idx_risk_limits_user_id"

#define DEFAULT_WINDOW		60	/* seconds */

/* Values that columns can hold: DECIMAL(18,8) and NUMERIC(28,8) */
#define CURRENT_VALUE_END	((int128) 10000000000 * FX_FIXED_ONE)
#define BREACH_VALUE_END	(CURRENT_VALUE_END * 10000000000)

typedef enum LimitColumn
{
	COL_ID,
	COL_USER_ID,
	COL_NAME,
	COL_TYPE,
	COL_LIMIT_TYPE,
	COL_LIMIT_VALUE,
	COL_CURRENT_VALUE,
	COL_IS_ACTIVE,
	COL_SYMBOL,
	COL_CURRENCY,
	COL_STRATEGY_ID,
	COL_ACTION,
	COL_WARNING_LEVEL,
	COL_ANCHOR,
	COL_BASIS,
	COL_BREACH_OP,
	COL_LOCK_AT,
	COL_WINDOW_SECONDS,
	COL_COOLDOWN_SECONDS,
	COL_BREACHED_AT,
	COL_BREACHED_UNTIL,
	COL_BREACH_VALUE,
	COL_CLEARED_AT,
	COL_ORDER_TIMES
} LimitColumn;

#define LIMIT_COLUMNS		24

static const char *const column_names[LIMIT_COLUMNS] = {
	"id", "user_id", "name", "type", "limit_type", "limit_value", "current_value", "is_active",
	"symbol", "currency", "strategy_id", "action", "warning_level", "anchor", "basis",
	"breach_op", "lock_at", "window_seconds", "cooldown_seconds", "breached_at",
	"breached_until", "breach_value", "cleared_at", "order_times"
};

const char *const fx_risk_type_names[FX_RISK_TYPES] = {
	"daily_loss", "weekly_loss", "monthly_loss", "max_drawdown", "trailing_drawdown",
	"trailing_drawdown_eod", "max_position", "max_order_size", "max_order_value",
	"max_exposure", "max_symbol_exposure", "max_currency_exposure", "max_leverage",
	"concentration", "max_open_trades", "max_daily_trades", "max_order_rate",
	"max_consecutive_losses", "price_collar", "min_equity", "kill_switch"
};

static const char *const action_names[] = {"warn", "block", "reduce_only", "halt"};
static const char *const anchor_names[] = {"balance", "equity", "max"};
static const char *const basis_names[] = {"initial", "anchor", "equity", "gross"};

/* Where the columns are, and the index; forgotten when the table changes */
static struct
{
	Oid			relid;
	Oid			index;			/* invalid when there is none to use */
	AttrNumber	attnum[LIMIT_COLUMNS];
}			layout;

static void finish(FxRisk *risk, bool latching);
static void find_layout(Relation rel);
static void relcache_callback(Datum arg, Oid relid);
static void read_row(FxRisk *risk, FxLimit *limit, HeapTuple tuple, TupleDesc desc);
static int	find_name(Datum value, const char *const *names, int count);
static FxBasis default_basis(FxRiskType type);
static void read_order_times(FxRisk *risk, FxLimit *limit, Datum value);
static void end_latch(FxLimit *limit, TimestampTz now);
static bool observe(FxRisk *risk, FxLimit *limit, FxView *view, bool latching);
static bool is_at_warning_level(const FxLimit *limit);
static void latch(FxRisk *risk, FxLimit *limit, const FxReading *reading, const char *reason);
static void forget_old_orders(FxRisk *risk, FxLimit *limit);
static void write_row(Relation rel, TupleTableSlot *slot, FxLimit *limit);
static Datum get_order_times(const FxLimit *limit);

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
	Relation	rel = table_open(fx_require_table(TABLE_NAME),
								 account->locked ? RowExclusiveLock : AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	int			size = 0;
	Snapshot	snapshot;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	risk->account = account;
	risk->context = CurrentMemoryContext;
	if (unlikely(layout.relid != RelationGetRelid(rel)))
		find_layout(rel);

	if (account->locked)
	{
		/* what this command has written is seen too */
		CommandCounterIncrement();
		snapshot = RegisterSnapshot(GetLatestSnapshot());
	}
	else
		snapshot = RegisterSnapshot(GetActiveSnapshot());

	ScanKeyInit(&key, layout.attnum[COL_USER_ID], BTEqualStrategyNumber, F_UUID_EQ,
				UUIDPGetDatum(&account->user_id));
	scan = systable_beginscan(rel, layout.index, OidIsValid(layout.index), snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		is_active = heap_getattr(tuple, layout.attnum[COL_IS_ACTIVE], desc, &isnull);
		bool		active = !isnull && DatumGetBool(is_active);

		if (!active && !inactive_too)
			continue;
		if (risk->nlimits == size)
		{
			size = Max(16, 2 * size);
			risk->limits = risk->limits == NULL ?
				(FxLimit *) palloc(size * sizeof(FxLimit)) :
				(FxLimit *) repalloc(risk->limits, size * sizeof(FxLimit));
		}
		read_row(risk, &risk->limits[risk->nlimits], tuple, desc);
		risk->limits[risk->nlimits++].active = active;
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);

	if (risk->nlimits > 0)
	{
		/* copies of the account share what is found here */
		for (int i = 0; i < account->npositions; i++)
		{
			FxPosition *position = account->positions[i];

			if (position->quantity[FX_LONG] != 0 || position->quantity[FX_SHORT] != 0)
				fx_position_value(account, position);
		}
		fx_scope_load_all(risk, true);
	}
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
		bool		changed = limit->active && observe(risk, limit, &view, latching);

		if (!changed && !limit->dirty)
			continue;
		if (rel == NULL)
		{
			rel = table_open(layout.relid, RowExclusiveLock);
			slot = table_slot_create(rel, NULL);
		}
		write_row(rel, slot, limit);
	}
	fx_view_end(&view);
	if (rel != NULL)
	{
		ExecDropSingleTupleTableSlot(slot);
		table_close(rel, NoLock);
		CommandCounterIncrement();
	}
}

static void
find_layout(Relation rel)
{
	static bool registered = false;
	Oid			index = get_relname_relid(INDEX_NAME, RelationGetNamespace(rel));
	List	   *indexes;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
		registered = true;
	}

	layout.relid = InvalidOid;
	for (int i = 0; i < LIMIT_COLUMNS; i++)
	{
		layout.attnum[i] = get_attnum(RelationGetRelid(rel), column_names[i]);
		if (layout.attnum[i] == InvalidAttrNumber)
			ereport(ERROR,
					errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("column \"%s\" of relation \"%s\" does not exist",
						   column_names[i], "fx." TABLE_NAME),
					errhint("SELECT * FROM fx.migrate() brings the tables up to date."));
	}

	/* without the index as the migration made it the table is read */
	layout.index = InvalidOid;
	indexes = RelationGetIndexList(rel);
	if (list_member_oid(indexes, index))
	{
		Relation	index_rel = index_open(index, AccessShareLock);

		if (index_rel->rd_index->indisvalid && index_rel->rd_rel->relam == BTREE_AM_OID &&
			index_rel->rd_index->indkey.values[0] == layout.attnum[COL_USER_ID] &&
			heap_attisnull(index_rel->rd_indextuple, Anum_pg_index_indpred, NULL))
			layout.index = index;
		index_close(index_rel, AccessShareLock);
	}
	list_free(indexes);
	layout.relid = RelationGetRelid(rel);
}

static void
relcache_callback(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == layout.relid || relid == layout.index)
		layout.relid = InvalidOid;
}

/*
 * Settings that are NULL have the defaults that the trigger on the table fills
 * in; rows older than it have them.
 */
static void
read_row(FxRisk *risk, FxLimit *limit, HeapTuple tuple, TupleDesc desc)
{
	Datum		values[LIMIT_COLUMNS];
	bool		nulls[LIMIT_COLUMNS];
	Datum	   *all_values = (Datum *) palloc(desc->natts * sizeof(Datum));
	bool	   *all_nulls = (bool *) palloc(desc->natts * sizeof(bool));

	heap_deform_tuple(tuple, desc, all_values, all_nulls);
	for (int i = 0; i < LIMIT_COLUMNS; i++)
	{
		values[i] = all_values[layout.attnum[i] - 1];
		nulls[i] = all_nulls[layout.attnum[i] - 1];
	}
	pfree(all_values);
	pfree(all_nulls);

	memset(limit, 0, sizeof(FxLimit));
	limit->tid = tuple->t_self;
	limit->id = *DatumGetUUIDP(values[COL_ID]);
	limit->name = TextDatumGetCString(values[COL_NAME]);
	limit->type = find_name(values[COL_TYPE], fx_risk_type_names, FX_RISK_TYPES);
	limit->percentage = *VARDATA_ANY(DatumGetPointer(values[COL_LIMIT_TYPE])) == 'p';
	limit->value = fx_fixed_get_argument(values[COL_LIMIT_VALUE], column_names[COL_LIMIT_VALUE]);
	limit->has_current = !nulls[COL_CURRENT_VALUE];
	if (limit->has_current)
		limit->current = fx_fixed_get_argument(values[COL_CURRENT_VALUE],
											   column_names[COL_CURRENT_VALUE]);

	if (!nulls[COL_SYMBOL])
		fx_normalize_symbol(VARDATA_ANY(DatumGetPointer(values[COL_SYMBOL])),
							VARSIZE_ANY_EXHDR(DatumGetPointer(values[COL_SYMBOL])), limit->symbol);
	if (!nulls[COL_CURRENCY])
		text_to_cstring_buffer((text *) DatumGetPointer(values[COL_CURRENCY]), limit->currency,
							   sizeof(limit->currency));
	limit->has_strategy = !nulls[COL_STRATEGY_ID];
	if (limit->has_strategy)
		limit->strategy_id = *DatumGetUUIDP(values[COL_STRATEGY_ID]);

	limit->action = find_name(values[COL_ACTION], action_names, lengthof(action_names));
	limit->warning_level = fx_fixed_get_argument(values[COL_WARNING_LEVEL],
												 column_names[COL_WARNING_LEVEL]);
	limit->anchor = nulls[COL_ANCHOR] ? FX_ANCHOR_MAX :
		find_name(values[COL_ANCHOR], anchor_names, lengthof(anchor_names));
	limit->basis = nulls[COL_BASIS] ? default_basis(limit->type) :
		find_name(values[COL_BASIS], basis_names, lengthof(basis_names));
	limit->reach = nulls[COL_BREACH_OP] ?
		fx_risk_latches(limit->type) && limit->type != FX_MIN_EQUITY :
		*VARDATA_ANY(DatumGetPointer(values[COL_BREACH_OP])) == 'r';
	limit->has_lock_at = !nulls[COL_LOCK_AT];
	if (limit->has_lock_at)
		limit->lock_at = fx_fixed_get_argument(values[COL_LOCK_AT], column_names[COL_LOCK_AT]);
	limit->window_seconds = nulls[COL_WINDOW_SECONDS] ? DEFAULT_WINDOW :
		DatumGetInt32(values[COL_WINDOW_SECONDS]);
	if (!nulls[COL_COOLDOWN_SECONDS])
		limit->cooldown_seconds = DatumGetInt32(values[COL_COOLDOWN_SECONDS]);

	if (!nulls[COL_CLEARED_AT])
		limit->cleared_at = DatumGetTimestampTz(values[COL_CLEARED_AT]);
	if (!nulls[COL_BREACHED_AT])
	{
		limit->breached_at = DatumGetTimestampTz(values[COL_BREACHED_AT]);
		limit->breached_until = nulls[COL_BREACHED_UNTIL] ? DT_NOEND :
			DatumGetTimestampTz(values[COL_BREACHED_UNTIL]);
		if (!nulls[COL_BREACH_VALUE])
			limit->breach_value = fx_fixed_get_argument(values[COL_BREACH_VALUE],
														column_names[COL_BREACH_VALUE]);
		end_latch(limit, risk->account->now);
	}
	if (!nulls[COL_ORDER_TIMES])
		read_order_times(risk, limit, values[COL_ORDER_TIMES]);
}

static int
find_name(Datum value, const char *const *names, int count)
{
	const char *str = VARDATA_ANY(DatumGetPointer(value));
	int			len = VARSIZE_ANY_EXHDR(DatumGetPointer(value));

	for (int i = 0; i < count; i++)
	{
		if (strncmp(names[i], str, len) == 0 && names[i][len] == '\0')
			return i;
	}
	/* the table checks them */
	elog(ERROR, "risk limit has setting \"%s\", which is not known", pnstrdup(str, len));
	return 0;
}

static FxBasis
default_basis(FxRiskType type)
{
	switch (type)
	{
		case FX_TRAILING_DRAWDOWN:
			return FX_BASIS_ANCHOR;
		case FX_MAX_POSITION:
		case FX_MAX_ORDER_SIZE:
		case FX_MAX_ORDER_VALUE:
		case FX_MAX_EXPOSURE:
		case FX_MAX_SYMBOL_EXPOSURE:
		case FX_MAX_CURRENCY_EXPOSURE:
			return FX_BASIS_EQUITY;
		case FX_CONCENTRATION:
			return FX_BASIS_GROSS;
		default:
			return FX_BASIS_INITIAL;
	}
}

static void
read_order_times(FxRisk *risk, FxLimit *limit, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *times;
	bool	   *nulls;
	int			count;

	deconstruct_array(array, TIMESTAMPTZOID, sizeof(TimestampTz), true, TYPALIGN_DOUBLE,
					  &times, &nulls, &count);
	limit->order_times = (TimestampTz *) palloc((count + 1) * sizeof(TimestampTz));
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			limit->order_times[limit->norder_times++] = DatumGetTimestampTz(times[i]);
	}
	pfree(times);
	pfree(nulls);
}

/*
 * A latch whose time has passed is no longer one.  Losses in a row start again
 * after the cooldown, which would otherwise end where it began.
 */
static void
end_latch(FxLimit *limit, TimestampTz now)
{
	if (limit->breached_until > now)
		return;
	if (limit->type == FX_MAX_CONSECUTIVE_LOSSES)
		limit->cleared_at = Max(limit->cleared_at, limit->breached_until);
	limit->breached_at = 0;
	limit->dirty = true;
}

/*
 * Measure one limit and note what comes of it; true when it is not as it is
 * stored.
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
		fx_risk_add_event(risk->account, "warning", limit, &limit->warning_before,
						  &limit->warning_after, &reading.bound, limit->warning);
		limit->warning = NULL;
	}
	else if (changed && !warned_before && limit->warning_level > 0 &&
			 limit->type != FX_MIN_EQUITY && limit->type != FX_KILL_SWITCH)
	{
		FxMeasure	utilization;

		fx_reading_utilization(&reading, &utilization);
		if (utilization.known &&
			(utilization.infinite || utilization.value >= limit->warning_level))
			fx_risk_add_event(risk->account, "warning", limit, &reading.measure, NULL,
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
	fx_risk_add_event(account, "breached", limit, &reading->measure, NULL, &reading->bound, reason);
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

/*
 * Replace what the engine keeps of a limit.
 */
static void
write_row(Relation rel, TupleTableSlot *slot, FxLimit *limit)
{
	int			natts = RelationGetNumberOfAttributes(rel);
	Datum	   *values;
	bool	   *nulls;
	bool	   *replace;

	if (!fx_row_lock(rel, &limit->tid, slot, false))
		return;

	values = (Datum *) palloc0(natts * sizeof(Datum));
	nulls = (bool *) palloc0(natts * sizeof(bool));
	replace = (bool *) palloc0(natts * sizeof(bool));

#define REPLACE(column, known, value) \
	do { \
		int			i = layout.attnum[column] - 1; \
		replace[i] = true; \
		nulls[i] = !(known); \
		values[i] = (known) ? (value) : (Datum) 0; \
	} while (0)

	REPLACE(COL_CURRENT_VALUE, limit->has_current, fx_fixed_get_numeric(limit->current));
	if (limit->dirty)
	{
		bool		latched = limit->breached_at != 0;

		REPLACE(COL_BREACHED_AT, latched, TimestampTzGetDatum(limit->breached_at));
		REPLACE(COL_BREACHED_UNTIL, latched, TimestampTzGetDatum(limit->breached_until));
		REPLACE(COL_BREACH_VALUE, latched && limit->breach_value < BREACH_VALUE_END,
				fx_fixed_get_numeric(limit->breach_value));
		REPLACE(COL_CLEARED_AT, limit->cleared_at != 0, TimestampTzGetDatum(limit->cleared_at));
		REPLACE(COL_ORDER_TIMES, limit->norder_times > 0, get_order_times(limit));
	}
#undef REPLACE

	fx_row_update(rel, slot, values, nulls, replace);
	limit->tid = slot->tts_tid;
	limit->dirty = false;
	pfree(values);
	pfree(nulls);
	pfree(replace);
}

static Datum
get_order_times(const FxLimit *limit)
{
	Datum	   *times = (Datum *) palloc(limit->norder_times * sizeof(Datum));

	for (int i = 0; i < limit->norder_times; i++)
		times[i] = TimestampTzGetDatum(limit->order_times[i]);
	return PointerGetDatum(construct_array(times, limit->norder_times, TIMESTAMPTZOID,
										   sizeof(TimestampTz), FLOAT8PASSBYVAL,
										   TYPALIGN_DOUBLE));
}
