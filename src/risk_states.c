/*-------------------------------------------------------------------------
 *
 * risk_states.c
 *	  Rows of fx.risk_limit_state and what they are in memory
 *
 * What a limit has come to: its latch, when it was cleared, the times of the
 * orders that it counts.  Nobody but the engine writes these rows, and only
 * while it has the account, so that nothing of this is lost to a lock that
 * somebody has on the limit itself.  They are replaced directly (row_update.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "kept_plan.h"
#include "relcache.h"
#include "risk_internal.h"

#define TABLE_NAME			"risk_limit_state"

/* What breach_value holds: NUMERIC(28,8) */
#define BREACH_VALUE_END	((int128) 10000000000 * 10000000000 * FX_FIXED_ONE)

typedef enum StateColumn
{
	COL_USER_ID,
	COL_LIMIT_ID,
	COL_BREACHED_AT,
	COL_BREACHED_UNTIL,
	COL_BREACH_VALUE,
	COL_CLEARED_AT,
	COL_ORDER_TIMES
} StateColumn;

#define STATE_COLUMNS		7

static const FxLimitColumn columns[STATE_COLUMNS] = {
	{"user_id", UUIDOID},
	{"limit_id", UUIDOID},
	{"breached_at", TIMESTAMPTZOID},
	{"breached_until", TIMESTAMPTZOID},
	{"breach_value", NUMERICOID},
	{"cleared_at", TIMESTAMPTZOID},
	{"order_times", TIMESTAMPTZARRAYOID}
};

/* What was looked up; relid is invalid when it has to be again */
static struct
{
	Oid			relid;
	Oid			index;			/* invalid when there is none to use */
	AttrNumber	attnum[STATE_COLUMNS];
}			layout;

static SPIPlanPtr prepare(const char *query, int nargs);
static void find_layout(Relation rel);
static void relcache_callback(Oid relid);
static void read_row(FxLimit *limit, TupleTableSlot *slot);
static void read_order_times(FxLimit *limit, Datum value);
static void get_values(const FxLimit *limit, Datum *values, bool *nulls);
static Datum get_order_times(const FxLimit *limit);
static void update_row(Relation rel, TupleTableSlot *slot, FxLimit *limit, const Datum *values,
					   const bool *nulls);
static void insert_row(const FxRisk *risk, FxLimit *limit, Datum *values, const bool *nulls);

Relation
fx_state_open(LOCKMODE lockmode)
{
	Oid			relid = OidIsValid(layout.relid) ? layout.relid : fx_require_table(TABLE_NAME);
	Relation	rel = table_open(relid, lockmode);

	if (unlikely(layout.relid != RelationGetRelid(rel)))
		find_layout(rel);
	return rel;
}

/*
 * Read what the limits have come to.
 */
void
fx_state_read_all(FxRisk *risk, Relation rel, Snapshot snapshot)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, layout.attnum[COL_USER_ID], BTEqualStrategyNumber, F_UUID_EQ,
				UUIDPGetDatum(&risk->account->user_id));
	scan = systable_beginscan(rel, layout.index, OidIsValid(layout.index), snapshot, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		limit_id = heap_getattr(tuple, layout.attnum[COL_LIMIT_ID],
											RelationGetDescr(rel), &isnull);

		for (int i = 0; i < risk->nlimits; i++)
		{
			FxLimit    *limit = &risk->limits[i];

			if (memcmp(&limit->id, DatumGetUUIDP(limit_id), sizeof(pg_uuid_t)) != 0)
				continue;
			ExecStoreHeapTuple(tuple, slot, false);
			read_row(limit, slot);
			limit->state_tid = tuple->t_self;
			break;
		}
	}
	systable_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
}

/*
 * Read it of one limit, where this transaction has left it; false when it is
 * not there.
 */
bool
fx_state_fetch(FxLimit *limit, Relation rel, ItemPointer tid, Snapshot snapshot,
			   TupleTableSlot *slot)
{
	bool		isnull;

	if (!table_tuple_fetch_row_version(rel, tid, snapshot, slot))
		return false;
	if (memcmp(&limit->id,
			   DatumGetUUIDP(slot_getattr(slot, layout.attnum[COL_LIMIT_ID], &isnull)),
			   sizeof(pg_uuid_t)) != 0)
		return false;
	read_row(limit, slot);
	limit->state_tid = *tid;
	return true;
}

/*
 * Write what has changed of the limits.
 */
void
fx_state_write_all(FxRisk *risk)
{
	Relation	rel = NULL;
	TupleTableSlot *slot = NULL;

	for (int i = 0; i < risk->nlimits; i++)
	{
		FxLimit    *limit = &risk->limits[i];
		bool		has_row = ItemPointerIsValid(&limit->state_tid);
		Datum		values[STATE_COLUMNS];
		bool		nulls[STATE_COLUMNS];

		if (!limit->dirty || (!has_row && !fx_risk_keeps_state(limit->type)))
			continue;
		if (rel == NULL)
		{
			rel = fx_state_open(RowExclusiveLock);
			slot = table_slot_create(rel, NULL);
		}
		get_values(limit, values, nulls);
		if (has_row)
			update_row(rel, slot, limit, values, nulls);
		else
			insert_row(risk, limit, values, nulls);
		limit->dirty = false;
	}
	if (rel != NULL)
	{
		ExecDropSingleTupleTableSlot(slot);
		table_close(rel, NoLock);
	}
}

/*
 * Take out what is kept of limits of a user that are gone.  A user that is gone
 * with them has no account, and nothing else by then.
 */
void
fx_state_delete_orphans(const pg_uuid_t *user_id)
{
	static SPIPlanPtr lock_plan = NULL;
	static SPIPlanPtr delete_plan = NULL;
	Datum		arg = UUIDPGetDatum(user_id);

	SPI_connect();
	if (lock_plan == NULL)
		lock_plan = prepare("SELECT FROM fx.accounts a WHERE a.user_id OPERATOR(pg_catalog.=) $1"
							" FOR NO KEY UPDATE", 1);
	if (delete_plan == NULL)
		delete_plan = prepare("DELETE FROM fx.risk_limit_state s"
							  " WHERE s.user_id OPERATOR(pg_catalog.=) $1"
							  " AND NOT EXISTS (SELECT FROM fx.risk_limits l"
							  " WHERE l.id OPERATOR(pg_catalog.=) s.limit_id)", 1);
	if (SPI_execute_plan(lock_plan, &arg, NULL, false, 0) != SPI_OK_SELECT ||
		SPI_execute_plan(delete_plan, &arg, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not delete states of risk limits");
	SPI_finish();
	fx_recent_limits_forget(user_id);
}

/*
 * The same when the table of the limits was truncated.
 */
void
fx_state_delete_all(void)
{
	static SPIPlanPtr plan = NULL;
	Oid			save_userid;
	int			save_sec_context;

	fx_act_as_owner(fx_require_table(TABLE_NAME), &save_userid, &save_sec_context);
	SPI_connect();
	if (plan == NULL)
		plan = prepare("DELETE FROM fx.risk_limit_state", 0);
	if (SPI_execute_plan(plan, NULL, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not delete states of risk limits");
	SPI_finish();
	fx_act_as_before(save_userid, save_sec_context);
}

/*
 * A plan that is kept, of a statement about a user, or all.
 */
static SPIPlanPtr
prepare(const char *query, int nargs)
{
	Oid			type = UUIDOID;

	return fx_kept_plan(query, nargs, &type);
}

static void
find_layout(Relation rel)
{
	static bool registered = false;

	if (!registered)
	{
		fx_relcache_register(relcache_callback);
		registered = true;
	}

	layout.relid = InvalidOid;
	fx_limit_find_columns(rel, columns, layout.attnum, STATE_COLUMNS);
	layout.index = fx_primary_key_index(rel, false);
	if (!fx_limit_can_use_index(rel, layout.index, layout.attnum[COL_USER_ID]))
		layout.index = InvalidOid;
	layout.relid = RelationGetRelid(rel);
}

static void
relcache_callback(Oid relid)
{
	if (relid == InvalidOid || relid == layout.relid || relid == layout.index)
		layout.relid = InvalidOid;
}

static void
read_row(FxLimit *limit, TupleTableSlot *slot)
{
	Datum		values[STATE_COLUMNS];
	bool		nulls[STATE_COLUMNS];

	slot_getallattrs(slot);
	for (int i = 0; i < STATE_COLUMNS; i++)
		values[i] = slot_getattr(slot, layout.attnum[i], &nulls[i]);

	if (!nulls[COL_CLEARED_AT])
		limit->cleared_at = DatumGetTimestampTz(values[COL_CLEARED_AT]);
	if (!nulls[COL_BREACHED_AT])
	{
		limit->breached_at = DatumGetTimestampTz(values[COL_BREACHED_AT]);
		limit->breached_until = nulls[COL_BREACHED_UNTIL] ? DT_NOEND :
			DatumGetTimestampTz(values[COL_BREACHED_UNTIL]);
		if (!nulls[COL_BREACH_VALUE])
			limit->breach_value = fx_fixed_get_argument(values[COL_BREACH_VALUE],
														columns[COL_BREACH_VALUE].name);
	}
	if (!nulls[COL_ORDER_TIMES])
		read_order_times(limit, values[COL_ORDER_TIMES]);
}

static void
read_order_times(FxLimit *limit, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *times;
	bool	   *nulls;
	int			count;

	deconstruct_array(array, TIMESTAMPTZOID, sizeof(TimestampTz), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &times, &nulls, &count);
	limit->order_times = (TimestampTz *) palloc((count + 1) * sizeof(TimestampTz));
	limit->norder_times = 0;
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			limit->order_times[limit->norder_times++] = DatumGetTimestampTz(times[i]);
	}
	pfree(times);
	pfree(nulls);
}

static void
get_values(const FxLimit *limit, Datum *values, bool *nulls)
{
	bool		latched = limit->breached_at != 0;

	memset(values, 0, STATE_COLUMNS * sizeof(Datum));
	memset(nulls, true, STATE_COLUMNS * sizeof(bool));

#define PUT(column, known, value) \
	do { \
		nulls[column] = !(known); \
		if (known) \
			values[column] = (value); \
	} while (0)

	PUT(COL_BREACHED_AT, latched, TimestampTzGetDatum(limit->breached_at));
	PUT(COL_BREACHED_UNTIL, latched, TimestampTzGetDatum(limit->breached_until));
	PUT(COL_BREACH_VALUE, latched && limit->breach_value < BREACH_VALUE_END,
		fx_fixed_get_numeric(limit->breach_value));
	PUT(COL_CLEARED_AT, limit->cleared_at != 0, TimestampTzGetDatum(limit->cleared_at));
	PUT(COL_ORDER_TIMES, limit->norder_times > 0, get_order_times(limit));
#undef PUT
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

/*
 * One that is gone went with its limit.
 */
static void
update_row(Relation rel, TupleTableSlot *slot, FxLimit *limit, const Datum *values,
		   const bool *nulls)
{
	int			natts = RelationGetNumberOfAttributes(rel);
	Datum	   *row_values;
	bool	   *row_nulls;
	bool	   *replace;

	if (!fx_row_lock(rel, &limit->state_tid, slot, true))
		return;

	row_values = (Datum *) palloc0(natts * sizeof(Datum));
	row_nulls = (bool *) palloc0(natts * sizeof(bool));
	replace = (bool *) palloc0(natts * sizeof(bool));
	for (int i = COL_BREACHED_AT; i < STATE_COLUMNS; i++)
	{
		row_values[layout.attnum[i] - 1] = values[i];
		row_nulls[layout.attnum[i] - 1] = nulls[i];
		replace[layout.attnum[i] - 1] = true;
	}
	fx_row_update(rel, slot, row_values, row_nulls, replace);
	limit->state_tid = slot->tts_tid;
	pfree(row_values);
	pfree(row_nulls);
	pfree(replace);
}

/*
 * The limit is new, or the trigger that makes the row was off when it was.
 */
static void
insert_row(const FxRisk *risk, FxLimit *limit, Datum *values, const bool *nulls)
{
	static SPIPlanPtr plan = NULL;
	char		spi_nulls[STATE_COLUMNS];
	Oid			save_userid;
	int			save_sec_context;
	bool		isnull;

	for (int i = 0; i < STATE_COLUMNS; i++)
		spi_nulls[i] = nulls[i] ? 'n' : ' ';
	values[COL_USER_ID] = UUIDPGetDatum(&risk->account->user_id);
	values[COL_LIMIT_ID] = UUIDPGetDatum(&limit->id);
	spi_nulls[COL_USER_ID] = spi_nulls[COL_LIMIT_ID] = ' ';

	fx_act_as_owner(fx_require_table(TABLE_NAME), &save_userid, &save_sec_context);
	SPI_connect();
	if (plan == NULL)
	{
		Oid			types[STATE_COLUMNS] = {
			UUIDOID, UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID, NUMERICOID, TIMESTAMPTZOID,
			TIMESTAMPTZARRAYOID
		};

		plan = fx_kept_plan("INSERT INTO fx.risk_limit_state (user_id, limit_id, breached_at,"
							" breached_until, breach_value, cleared_at, order_times)"
							" VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING ctid",
							STATE_COLUMNS, types);
	}
	if (SPI_execute_plan(plan, values, spi_nulls, false, 0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not insert the state of a risk limit");
	if (SPI_processed != 1)
		fx_raise_suppressed(TABLE_NAME, "an insertion");
	limit->state_tid = *(ItemPointer) DatumGetPointer(SPI_getbinval(SPI_tuptable->vals[0],
																	SPI_tuptable->tupdesc, 1,
																	&isnull));
	SPI_finish();
	fx_act_as_before(save_userid, save_sec_context);
}
