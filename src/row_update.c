/*-------------------------------------------------------------------------
 *
 * row_update.c
 *	  Writes of the engine's own columns of a row
 *
 * The books change with every trade, and an UPDATE by the executor would cost
 * more than all the rest.  Here a row that the transaction has locked is
 * replaced directly.  No trigger fires, no rights are asked for and no
 * constraint is checked, so callers write only numbers that they have checked.
 * Columns that somebody has added and that are generated follow.
 * The update is HOT as long as no indexed column changes and the page has room.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "account.h"
#include "compat.h"

static void compute_generated(Relation rel, TupleTableSlot *slot);
static TM_Result write_row(Relation rel, ItemPointer tid, TupleTableSlot *slot);
static bool overwrite(HeapTuple tuple, TupleDesc tupdesc, const Datum *values, const bool *nulls,
					  const bool *replace);
static bool overwrite_value(Form_pg_attribute att, char *stored, Datum value);
pg_noreturn static void raise_nested_write(Relation rel);
static void insert_index_entries(Relation rel, TupleTableSlot *slot, FxUpdateIndexes update);

/*
 * Lock the newest version of a row against updates and fetch it.  False when
 * it is gone or, without wait, when somebody else has it.
 *
 * Under REPEATABLE READ too the newest version is taken: such a row belongs to
 * an account that is locked already and has not changed since the snapshot.
 */
bool
fx_row_lock(Relation rel, ItemPointer tid, TupleTableSlot *slot, bool wait)
{
	TM_FailureData failure;
	TM_Result	result;

	result = table_tuple_lock(rel, tid, SnapshotAny, slot, GetCurrentCommandId(false),
							  LockTupleNoKeyExclusive, wait ? LockWaitBlock : LockWaitSkip,
							  TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
	switch (result)
	{
		case TM_Ok:
			return true;

		case TM_Deleted:
		case TM_WouldBlock:
			return false;

		case TM_SelfModified:
		case TM_Invisible:
			raise_nested_write(rel);
			break;

		default:
			elog(ERROR, "unexpected result of locking a row: %u", result);
	}
	return false;
}

/*
 * Fetch a row that is locked, to replace it.
 */
void
fx_row_fetch(Relation rel, ItemPointer tid, TupleTableSlot *slot)
{
	if (!table_tuple_fetch_row_version(rel, tid, SnapshotSelf, slot))
		raise_nested_write(rel);
}

/*
 * Replace columns of the locked row in the slot.  The arrays have an item for
 * each column of the table.
 */
void
fx_row_update(Relation rel, TupleTableSlot *slot, const Datum *values, const bool *nulls,
			  const bool *replace)
{
	HeapTuple	tuple;
	ItemPointerData tid;
	bool		should_free;
	TM_Result	result;

	/* the slot's own copy of the row becomes the new one */
	ExecMaterializeSlot(slot);
	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);
	Assert(!should_free);
	tid = tuple->t_self;
	if (overwrite(tuple, RelationGetDescr(rel), values, nulls, replace))
		slot->tts_nvalid = 0;
	else
	{
		tuple = heap_modify_tuple(tuple, RelationGetDescr(rel), unconstify(Datum *, values),
								  unconstify(bool *, nulls), unconstify(bool *, replace));
		ExecForceStoreHeapTuple(tuple, slot, true);
	}

	result = write_row(rel, &tid, slot);
	switch (result)
	{
		case TM_Ok:
			break;

		case TM_SelfModified:
			raise_nested_write(rel);
			break;

		default:
			elog(ERROR, "unexpected result of updating a row: %u", result);
	}
}

/*
 * An INSERT computes all that are stored; an UPDATE would ask for the columns
 * that a statement names.
 */
static void
compute_generated(Relation rel, TupleTableSlot *slot)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result_rel = makeNode(ResultRelInfo);

	InitResultRelInfo(result_rel, rel, 0, NULL, 0);
	ExecComputeStoredGenerated(result_rel, estate, slot, CMD_INSERT);
	FreeExecutorState(estate);
}

static TM_Result
write_row(Relation rel, ItemPointer tid, TupleTableSlot *slot)
{
	TM_FailureData failure;
	TM_Result	result;
	LockTupleMode lockmode;
	FxUpdateIndexes update;
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	if (unlikely(constr != NULL && constr->has_generated_stored))
		compute_generated(rel, slot);
	result = table_tuple_update(rel, tid, slot, GetCurrentCommandId(true), GetActiveSnapshot(),
								InvalidSnapshot, true, &failure, &lockmode, &update);
	if (result == TM_Ok && unlikely(fx_any_index_wants(update)))
		insert_index_entries(rel, slot, update);
	return result;
}

/*
 * Write the values over those of the row, where each takes as much room as that
 * before, which is the rule.  False when one does not, or a NULL comes or goes.
 */
static bool
overwrite(HeapTuple tuple, TupleDesc tupdesc, const Datum *values, const bool *nulls,
		  const bool *replace)
{
	HeapTupleHeader header = tuple->t_data;
	char	   *data = (char *) header + header->t_hoff;
	int			last = tupdesc->natts - 1;
	uint32		offset = 0;

	while (last >= 0 && !replace[last])
		last--;
	if (last >= HeapTupleHeaderGetNatts(header))
		return false;

	for (int i = 0; i <= last; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);
		bool		isnull = HeapTupleHasNulls(tuple) && att_isnull(i, header->t_bits);

		if (replace[i] && nulls[i] != isnull)
			return false;
		if (isnull)
			continue;
		offset = att_align_pointer(offset, att->attalign, att->attlen, data + offset);
		if (replace[i] && !overwrite_value(att, data + offset, values[i]))
			return false;
		offset = att_addlength_pointer(offset, att->attlen, data + offset);
	}
	return true;
}

static bool
overwrite_value(Form_pg_attribute att, char *stored, Datum value)
{
	char	   *data = DatumGetPointer(value);

	if (att->attbyval)
		store_att_byval(stored, value, att->attlen);
	else if (att->attlen > 0)
		memcpy(stored, data, att->attlen);
	else
	{
		if (att->attlen != -1 || VARATT_IS_EXTERNAL(stored) || VARATT_IS_EXTERNAL(data) ||
			VARATT_IS_COMPRESSED(stored) || VARATT_IS_COMPRESSED(data) ||
			VARSIZE_ANY_EXHDR(stored) != VARSIZE_ANY_EXHDR(data))
			return false;
		memcpy(VARDATA_ANY(stored), VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
	}
	return true;
}

/*
 * The row is locked, so it was this transaction that has replaced it since: a
 * trigger that fired meanwhile wrote the books of the same user.
 */
static void
raise_nested_write(Relation rel)
{
	ereport(ERROR,
			errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			errmsg("row of table \"%s\" was changed by a trigger of the statement that keeps it",
				   RelationGetRelationName(rel)),
			errhint("Triggers of the tables of the risk engine must not write trades or cash flows of the same user."));
}

/*
 * For "an insertion" or "an update" by the executor, where triggers have a say.
 */
void
fx_raise_suppressed(const char *table, const char *what)
{
	ereport(ERROR,
			errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
			errmsg("a trigger of table \"%s\" suppressed %s of the risk engine", table, what));
}

/*
 * The primary key is as it was, and unique.  To have that checked would mean to
 * look at all the versions of the row that the transaction has left.
 */
static void
insert_index_entries(Relation rel, TupleTableSlot *slot, FxUpdateIndexes update)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result_rel = makeNode(ResultRelInfo);
	Relation	primary_key = NULL;
	int			at = 0;

	InitResultRelInfo(result_rel, rel, 0, NULL, 0);
	ExecOpenIndices(result_rel, false);
	while (at < result_rel->ri_NumIndices &&
		   !result_rel->ri_IndexRelationDescs[at]->rd_index->indisprimary)
		at++;
	if (at < result_rel->ri_NumIndices && fx_every_index_wants(update))
	{
		IndexInfo  *info = result_rel->ri_IndexRelationInfo[at];
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];

		primary_key = result_rel->ri_IndexRelationDescs[at];
		FormIndexDatum(info, slot, estate, values, isnull);
		index_insert(primary_key, values, isnull, &slot->tts_tid, rel, UNIQUE_CHECK_NO, true,
					 info);

		/* the executor leaves out what is not there */
		result_rel->ri_IndexRelationDescs[at] = NULL;
	}
	fx_insert_index_entries(result_rel, slot, estate, update);
	if (primary_key != NULL)
		result_rel->ri_IndexRelationDescs[at] = primary_key;
	ExecCloseIndices(result_rel);
	FreeExecutorState(estate);
}
