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
#include "access/htup_details.h"
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
#include "relcache.h"
#include "risk_internal.h"

#define TABLE_NAME			"risk_limits"
#define INDEX_NAME			"idx_risk_limits_user_id"

#define DEFAULT_WINDOW		60	/* seconds */

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
	COL_COOLDOWN_SECONDS
} LimitColumn;

#define LIMIT_COLUMNS		19

static const FxLimitColumn columns[LIMIT_COLUMNS] = {
	{"id", UUIDOID},
	{"user_id", UUIDOID},
	{"name", VARCHAROID},
	{"type", VARCHAROID},
	{"limit_type", VARCHAROID},
	{"limit_value", NUMERICOID},
	{"current_value", NUMERICOID},
	{"is_active", BOOLOID},
	{"symbol", VARCHAROID},
	{"currency", VARCHAROID},
	{"strategy_id", UUIDOID},
	{"action", VARCHAROID},
	{"warning_level", NUMERICOID},
	{"anchor", VARCHAROID},
	{"basis", VARCHAROID},
	{"breach_op", VARCHAROID},
	{"lock_at", NUMERICOID},
	{"window_seconds", INT4OID},
	{"cooldown_seconds", INT4OID}
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

static void scan_rows(FxRisk *risk, Relation rel, Snapshot snapshot);
static bool fetch_recent(FxRisk *risk, Relation rel, Snapshot snapshot);
static bool needs_states(const FxRisk *risk);
static bool is_of_user(HeapTuple tuple, TupleDesc desc, const pg_uuid_t *user_id);
static void find_layout(Relation rel);
static void relcache_callback(Oid relid);
static void read_row(FxLimit *limit, HeapTuple tuple, TupleDesc desc);
static int	find_name(Datum value, const char *const *names, int count);
static FxBasis default_basis(FxRiskType type);

/*
 * Open the table, having found out where its columns are.
 */
Relation
fx_limit_open(LOCKMODE lockmode)
{
	Oid			relid = OidIsValid(layout.relid) ? layout.relid : fx_require_table(TABLE_NAME);
	Relation	rel = table_open(relid, lockmode);

	if (unlikely(layout.relid != RelationGetRelid(rel)))
		find_layout(rel);
	return rel;
}

/*
 * Read the limits of the account's user and what they have come to, by a
 * snapshot of now when the account is locked.
 */
void
fx_limit_read_all(FxRisk *risk)
{
	FxAccount  *account = risk->account;
	LOCKMODE	lockmode = account->locked ? RowExclusiveLock : AccessShareLock;
	Relation	rel = fx_limit_open(lockmode);
	Relation	state_rel;
	Snapshot	snapshot;

	if (account->locked)
	{
		/* what this command has written is seen too */
		CommandCounterIncrement();
		snapshot = RegisterSnapshot(GetLatestSnapshot());
	}
	else
		snapshot = RegisterSnapshot(GetActiveSnapshot());
	risk->limits_file = rel->rd_rel->relfilenode;

	if (!account->locked || !fetch_recent(risk, rel, snapshot))
	{
		scan_rows(risk, rel, snapshot);
		/* those of limits that have become something else, too */
		if (risk->inactive_too || needs_states(risk))
		{
			state_rel = fx_state_open(lockmode);
			risk->states_file = state_rel->rd_rel->relfilenode;
			fx_state_read_all(risk, state_rel, snapshot);
			table_close(state_rel, NoLock);
		}
	}
	UnregisterSnapshot(snapshot);
	table_close(rel, NoLock);
}

static void
scan_rows(FxRisk *risk, Relation rel, Snapshot snapshot)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			size = 0;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, layout.attnum[COL_USER_ID], BTEqualStrategyNumber, F_UUID_EQ,
				UUIDPGetDatum(&risk->account->user_id));
	scan = systable_beginscan(rel, layout.index, OidIsValid(layout.index), snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		FxLimit    *limit;

		if (risk->nlimits == size)
		{
			size = Max(16, 2 * size);
			risk->limits = risk->limits == NULL ?
				(FxLimit *) palloc(size * sizeof(FxLimit)) :
				(FxLimit *) repalloc(risk->limits, size * sizeof(FxLimit));
		}
		limit = &risk->limits[risk->nlimits];
		read_row(limit, tuple, desc);
		if (limit->active || risk->inactive_too)
			risk->nlimits++;
	}
	systable_endscan(scan);
}

/*
 * The limits as this transaction has left them; false when that is not known.
 */
static bool
fetch_recent(FxRisk *risk, Relation rel, Snapshot snapshot)
{
	const FxRecentLimits *recent = fx_recent_limits_get(&risk->account->user_id);
	TupleDesc	desc = RelationGetDescr(rel);
	TupleTableSlot *slot;
	Relation	state_rel = NULL;
	bool		found = true;

	if (recent == NULL || risk->inactive_too || recent->limits_file != risk->limits_file)
		return false;

	slot = table_slot_create(rel, NULL);
	risk->limits = (FxLimit *) palloc(recent->nlimits * sizeof(FxLimit));
	for (int i = 0; found && i < recent->nlimits; i++)
	{
		ItemPointerData tid = recent->limits[i];
		HeapTuple	tuple;
		bool		should_free;

		found = table_tuple_fetch_row_version(rel, &tid, snapshot, slot);
		if (!found)
			break;
		tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);
		read_row(&risk->limits[i], tuple, desc);
		found = risk->limits[i].active && is_of_user(tuple, desc, &risk->account->user_id);
	}
	ExecDropSingleTupleTableSlot(slot);

	if (found && OidIsValid(recent->states_file))
	{
		state_rel = fx_state_open(RowExclusiveLock);
		slot = table_slot_create(state_rel, NULL);
		risk->states_file = state_rel->rd_rel->relfilenode;
		found = risk->states_file == recent->states_file;
		for (int i = 0; found && i < recent->nlimits; i++)
		{
			ItemPointerData tid = recent->states[i];

			if (ItemPointerIsValid(&tid))
				found = fx_state_fetch(&risk->limits[i], state_rel, &tid, snapshot, slot);
		}
		ExecDropSingleTupleTableSlot(slot);
		table_close(state_rel, NoLock);
	}

	if (found)
		risk->nlimits = recent->nlimits;
	else
	{
		fx_recent_limits_forget(&risk->account->user_id);
		pfree(risk->limits);
		risk->limits = NULL;
		risk->states_file = InvalidOid;
	}
	return found;
}

static bool
needs_states(const FxRisk *risk)
{
	for (int i = 0; i < risk->nlimits; i++)
	{
		if (fx_risk_keeps_state(risk->limits[i].type))
			return true;
	}
	return false;
}

static bool
is_of_user(HeapTuple tuple, TupleDesc desc, const pg_uuid_t *user_id)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, layout.attnum[COL_USER_ID], desc, &isnull);

	return !isnull && memcmp(DatumGetUUIDP(value), user_id, sizeof(pg_uuid_t)) == 0;
}

/*
 * Write the measure of a limit.  A row that somebody else has is left as it is.
 */
void
fx_limit_write(Relation rel, TupleTableSlot *slot, FxLimit *limit)
{
	int			natts = RelationGetNumberOfAttributes(rel);
	int			column = layout.attnum[COL_CURRENT_VALUE] - 1;
	Datum	   *values;
	bool	   *nulls;
	bool	   *replace;

	if (!fx_row_lock(rel, &limit->tid, slot, false))
		return;
	values = (Datum *) palloc0(natts * sizeof(Datum));
	nulls = (bool *) palloc0(natts * sizeof(bool));
	replace = (bool *) palloc0(natts * sizeof(bool));
	if (limit->has_current)
		values[column] = fx_fixed_get_numeric(limit->current);
	nulls[column] = !limit->has_current;
	replace[column] = true;
	fx_row_update(rel, slot, values, nulls, replace);
	limit->tid = slot->tts_tid;
	pfree(values);
	pfree(nulls);
	pfree(replace);
}

static void
find_layout(Relation rel)
{
	static bool registered = false;
	Oid			index = get_relname_relid(INDEX_NAME, RelationGetNamespace(rel));

	if (!registered)
	{
		fx_relcache_register(relcache_callback);
		registered = true;
	}

	layout.relid = InvalidOid;
	fx_limit_find_columns(rel, columns, layout.attnum, LIMIT_COLUMNS);
	if (!fx_limit_can_use_index(rel, index, layout.attnum[COL_USER_ID]))
		index = InvalidOid;
	layout.index = index;
	layout.relid = RelationGetRelid(rel);
}

/*
 * Columns of text may be of either type that holds it.
 */
void
fx_limit_find_columns(Relation rel, const FxLimitColumn *wanted, AttrNumber *attnums, int count)
{
	for (int i = 0; i < count; i++)
	{
		Oid			type;

		attnums[i] = get_attnum(RelationGetRelid(rel), wanted[i].name);
		if (attnums[i] == InvalidAttrNumber)
			ereport(ERROR,
					errcode(ERRCODE_UNDEFINED_COLUMN),
					errmsg("column \"%s\" of relation \"fx.%s\" does not exist", wanted[i].name,
						   RelationGetRelationName(rel)),
					errhint("SELECT * FROM fx.migrate() brings the tables up to date."));

		type = TupleDescAttr(RelationGetDescr(rel), attnums[i] - 1)->atttypid;
		if (type != wanted[i].type && !(type == TEXTOID && wanted[i].type == VARCHAROID))
			fx_raise_no_column(rel, wanted[i].name, wanted[i].type);
	}
}

/*
 * Is the index one of the table that leads to the rows of a user?  Without the
 * one that the migration made the table is read.
 */
bool
fx_limit_can_use_index(Relation rel, Oid index, AttrNumber user_id)
{
	List	   *indexes = RelationGetIndexList(rel);
	bool		usable = list_member_oid(indexes, index);

	list_free(indexes);
	if (usable)
	{
		Relation	index_rel = index_open(index, AccessShareLock);

		usable = index_rel->rd_index->indisvalid && index_rel->rd_rel->relam == BTREE_AM_OID &&
			index_rel->rd_index->indkey.values[0] == user_id &&
			heap_attisnull(index_rel->rd_indextuple, Anum_pg_index_indpred, NULL);
		index_close(index_rel, AccessShareLock);
	}
	return usable;
}

static void
relcache_callback(Oid relid)
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
	Datum		all_values[MaxHeapAttributeNumber];
	bool		all_nulls[MaxHeapAttributeNumber];

	heap_deform_tuple(tuple, desc, all_values, all_nulls);
	for (int i = 0; i < LIMIT_COLUMNS; i++)
	{
		values[i] = all_values[layout.attnum[i] - 1];
		nulls[i] = all_nulls[layout.attnum[i] - 1];
	}

	memset(limit, 0, sizeof(FxLimit));
	limit->tid = tuple->t_self;
	ItemPointerSetInvalid(&limit->state_tid);
	limit->active = !nulls[COL_IS_ACTIVE] && DatumGetBool(values[COL_IS_ACTIVE]);
	limit->id = *DatumGetUUIDP(values[COL_ID]);
	limit->name = TextDatumGetCString(values[COL_NAME]);
	limit->type = find_name(values[COL_TYPE], fx_risk_type_names, FX_RISK_TYPES);
	limit->percentage = *VARDATA_ANY(DatumGetPointer(values[COL_LIMIT_TYPE])) == 'p';
	limit->value = fx_fixed_get_argument(values[COL_LIMIT_VALUE], columns[COL_LIMIT_VALUE].name);
	limit->has_current = !nulls[COL_CURRENT_VALUE];
	if (limit->has_current)
		limit->current = fx_fixed_get_argument(values[COL_CURRENT_VALUE],
											   columns[COL_CURRENT_VALUE].name);

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
												 columns[COL_WARNING_LEVEL].name);
	limit->anchor = nulls[COL_ANCHOR] ? FX_ANCHOR_MAX :
		find_name(values[COL_ANCHOR], anchor_names, lengthof(anchor_names));
	limit->basis = nulls[COL_BASIS] ? default_basis(limit->type) :
		find_name(values[COL_BASIS], basis_names, lengthof(basis_names));
	limit->reach = nulls[COL_BREACH_OP] ?
		fx_risk_latches(limit->type) && limit->type != FX_MIN_EQUITY :
		*VARDATA_ANY(DatumGetPointer(values[COL_BREACH_OP])) == 'r';
	limit->has_lock_at = !nulls[COL_LOCK_AT];
	if (limit->has_lock_at)
		limit->lock_at = fx_fixed_get_argument(values[COL_LOCK_AT], columns[COL_LOCK_AT].name);
	limit->window_seconds = nulls[COL_WINDOW_SECONDS] ? DEFAULT_WINDOW :
		DatumGetInt32(values[COL_WINDOW_SECONDS]);
	if (!nulls[COL_COOLDOWN_SECONDS])
		limit->cooldown_seconds = DatumGetInt32(values[COL_COOLDOWN_SECONDS]);
}

static int
find_name(Datum value, const char *const *names, int count)
{
	const char *str = VARDATA_ANY(DatumGetPointer(value));
	int			len = VARSIZE_ANY_EXHDR(DatumGetPointer(value));

	for (int i = 0; i < count; i++)
	{
		if (names[i][0] == str[0] && strncmp(names[i], str, len) == 0 && names[i][len] == '\0')
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
