/*-------------------------------------------------------------------------
 *
 * risk_rows.c
 *	  Rows of fx.risk_limits and what they are in memory
 *
 * They are read by a scan of their index, and replaced directly
 * (row_update.c), without triggers, audit or updated_at.  A row that somebody
 * else has locked is not waited for, because he may be waiting for the account:
 * when he has it, his own trigger measures the limit again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
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

/* What breach_value holds: NUMERIC(28,8) */
#define BREACH_VALUE_END	((int128) 10000000000 * 10000000000 * FX_FIXED_ONE)

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

static void find_layout(Relation rel);
static void relcache_callback(Datum arg, Oid relid);
static void read_row(FxLimit *limit, HeapTuple tuple, TupleDesc desc);
static int	find_name(Datum value, const char *const *names, int count);
static FxBasis default_basis(FxRiskType type);
static void read_order_times(FxLimit *limit, Datum value);
static Datum get_order_times(const FxLimit *limit);

/*
 * Open the table, having found out where its columns are.
 */
Relation
fx_limit_open(LOCKMODE lockmode)
{
	Relation	rel = table_open(fx_require_table(TABLE_NAME), lockmode);

	if (unlikely(layout.relid != RelationGetRelid(rel)))
		find_layout(rel);
	return rel;
}

/*
 * Read the limits of the account's user, by a snapshot of now when the account
 * is locked.
 */
void
fx_limit_read_all(FxRisk *risk, bool inactive_too)
{
	FxAccount  *account = risk->account;
	Relation	rel = fx_limit_open(account->locked ? RowExclusiveLock : AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	int			size = 0;
	Snapshot	snapshot;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

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
		read_row(&risk->limits[risk->nlimits], tuple, desc);
		risk->limits[risk->nlimits++].active = active;
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
}

/*
 * Replace what the engine keeps of a limit.
 */
void
fx_limit_write(Relation rel, TupleTableSlot *slot, FxLimit *limit)
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
read_row(FxLimit *limit, HeapTuple tuple, TupleDesc desc)
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
	}
	if (!nulls[COL_ORDER_TIMES])
		read_order_times(limit, values[COL_ORDER_TIMES]);
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
read_order_times(FxLimit *limit, Datum value)
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
