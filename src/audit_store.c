/*-------------------------------------------------------------------------
 *
 * audit_store.c
 *	  Storing of entries in the audit log
 *
 * Entries go into the heap and the indexes many at a time and without the
 * executor: row triggers, checks and row security of the log have no say, and
 * its foreign key is held by a lock on the actor's row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "audit.h"
#include "compat.h"
#include "fxplatform.h"

/* Entries, and bytes of them, that are stored at once */
#define CHUNK_ENTRIES		FX_AUDIT_BATCH_ROWS
#define CHUNK_BYTES			(1024 * 1024)

#define FIRST_SLOTS			4

typedef struct IndexTarget
{
	Relation	rel;
	IndexInfo  *info;
} IndexTarget;

static void open_indexes(AuditStore *store);
static TupleTableSlot *next_slot(AuditStore *store);
static void fill_index(AuditStore *store, IndexTarget *target);

/*
 * Lock and open the log.  The store lives in the current memory context.
 */
void
fx_audit_store_open(AuditStore *store)
{
	memset(store, 0, sizeof(AuditStore));
	store->log = table_open(fx_require_table("audit_log"), RowExclusiveLock);
	if (store->log->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" is not a table", "fx.audit_log"));

	store->context = CurrentMemoryContext;
	store->entry_context = AllocSetContextCreate(CurrentMemoryContext, "audit entries",
												 ALLOCSET_DEFAULT_SIZES);
	open_indexes(store);
}

/*
 * The executor would need more than indexes do that have neither an expression
 * nor a predicate, as all of ours.
 */
static void
open_indexes(AuditStore *store)
{
	List	   *oids = RelationGetIndexList(store->log);
	ListCell   *cell;

	foreach(cell, oids)
	{
		IndexTarget *target = palloc(sizeof(IndexTarget));

		target->rel = index_open(lfirst_oid(cell), RowExclusiveLock);
		target->info = BuildIndexInfo(target->rel);
		if (target->info->ii_ExclusionOps != NULL)
			ereport(ERROR,
					errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					errmsg("exclusion constraints of table \"%s\" are not supported", "fx.audit_log"));
		if (target->info->ii_Expressions != NIL || target->info->ii_Predicate != NIL)
		{
			if (store->estate == NULL)
				store->estate = CreateExecutorState();
			target->info->ii_PredicateState = ExecPrepareQual(target->info->ii_Predicate,
															  store->estate);
		}
		store->indexes = lappend(store->indexes, target);
	}
	list_free(oids);
}

/*
 * Add an entry; entries are stored when they are many.
 */
void
fx_audit_store_add(AuditStore *store, const Datum *values, const bool *nulls)
{
	MemoryContext old = MemoryContextSwitchTo(store->entry_context);
	HeapTuple	entry = heap_form_tuple(RelationGetDescr(store->log),
										unconstify(Datum *, values), unconstify(bool *, nulls));

	MemoryContextSwitchTo(old);
	/* the slot owns it, or it would be copied again */
	ExecStoreHeapTuple(entry, next_slot(store), true);
	store->bytes += entry->t_len;
	if (store->nentries == CHUNK_ENTRIES || store->bytes >= CHUNK_BYTES)
		fx_audit_store_flush(store);
}

static TupleTableSlot *
next_slot(AuditStore *store)
{
	if (store->nentries == store->nslots)
	{
		MemoryContext old = MemoryContextSwitchTo(store->context);

		/* the number of slots is a power of two whenever there is no room */
		if (store->slots == NULL)
			store->slots = palloc(FIRST_SLOTS * sizeof(TupleTableSlot *));
		else if (store->nslots >= FIRST_SLOTS && (store->nslots & (store->nslots - 1)) == 0)
			store->slots = repalloc(store->slots, 2 * store->nslots * sizeof(TupleTableSlot *));
		/* of a copy, because each slot would pin the log's own */
		if (store->tupdesc == NULL)
			store->tupdesc = CreateTupleDescCopy(RelationGetDescr(store->log));
		store->slots[store->nslots++] = MakeSingleTupleTableSlot(store->tupdesc, &TTSOpsHeapTuple);
		MemoryContextSwitchTo(old);
	}
	return store->slots[store->nentries++];
}

/*
 * Store what was made, as the owner of the log: expressions of its indexes run
 * with his rights.
 */
void
fx_audit_store_flush(AuditStore *store)
{
	Oid			save_userid;
	int			save_sec_context;
	ListCell   *cell;

	if (store->nentries == 0)
		return;

	GetUserIdAndSecContext(&save_userid, &save_sec_context);
	SetUserIdAndSecContext(store->log->rd_rel->relowner,
						   save_sec_context | SECURITY_LOCAL_USERID_CHANGE);

	table_multi_insert(store->log, store->slots, store->nentries, GetCurrentCommandId(true),
					   0, NULL);
	foreach(cell, store->indexes)
		fill_index(store, lfirst(cell));

	SetUserIdAndSecContext(save_userid, save_sec_context);

	for (int i = 0; i < store->nentries; i++)
		ExecClearTuple(store->slots[i]);
	store->nentries = 0;
	store->bytes = 0;
	MemoryContextReset(store->entry_context);
}

/*
 * One index after the other: its pages stay near.
 */
static void
fill_index(AuditStore *store, IndexTarget *target)
{
	IndexInfo  *info = target->info;
	IndexUniqueCheck check = target->rel->rd_index->indisunique ?
		UNIQUE_CHECK_YES : UNIQUE_CHECK_NO;

	if (!info->ii_ReadyForInserts)
		return;

	for (int i = 0; i < store->nentries; i++)
	{
		TupleTableSlot *slot = store->slots[i];
		Datum		values[INDEX_MAX_KEYS];
		bool		nulls[INDEX_MAX_KEYS];

		if (store->estate != NULL)
		{
			ExprContext *econtext = GetPerTupleExprContext(store->estate);

			ResetExprContext(econtext);
			econtext->ecxt_scantuple = slot;
			if (!ExecQual(info->ii_PredicateState, econtext))
				continue;
		}
		FormIndexDatum(info, slot, store->estate, values, nulls);
		index_insert(target->rel, values, nulls, &slot->tts_tid, store->log, check, false, info);
	}
}

/*
 * What was added and not stored is forgotten.
 */
void
fx_audit_store_close(AuditStore *store)
{
	ListCell   *cell;

	foreach(cell, store->indexes)
	{
		IndexTarget *target = lfirst(cell);

		fx_index_insert_cleanup(target->rel, target->info);
		index_close(target->rel, NoLock);
	}
	if (store->estate != NULL)
		FreeExecutorState(store->estate);
	table_close(store->log, NoLock);
}
