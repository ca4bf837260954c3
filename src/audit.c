/*-------------------------------------------------------------------------
 *
 * audit.c
 *	  The trigger of the audit log
 *
 * A row trigger, because those alone fire for a partition that is written
 * directly and for rows that logical replication applies.  It copies what
 * changed; the entries are made and stored together at the end of the
 * statement, or earlier when they are many.
 *
 * The end of the statement is when a statement trigger of fx.audit_log fires:
 * with the first row an event for it is queued behind those of the statement,
 * as a foreign key's cascade queues the events of the rows it touched.  So it
 * comes for INSERT, COPY and a cascade alike, at the level of the query whose
 * events fire now.  Entries are stored one by one where that trigger is missing
 * or disabled, where this one is deferred (there is no query then), and in an
 * apply worker, which would never close the log that the event opened.
 *
 * Batches form a stack: a query run by a trigger has one of its own, told from
 * the outer one by the depth of triggers.  All row triggers of a query run in
 * its subtransaction, so that a batch belongs to one, and goes with it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "replication/logicalworker.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "audit.h"
#include "compat.h"
#include "fxplatform.h"

/* Bytes of rows to store before the end of the statement */
#define BATCH_BYTES			(1024 * 1024)

typedef struct AuditBatch
{
	struct AuditBatch *outer;	/* of the query that fired the trigger we are in */
	int			depth;			/* of triggers */
	SubTransactionId subid;
	MemoryContext context;		/* holds the batch */
	MemoryContext row_context;	/* holds what the rows point to */
	AuditActor *actor;
	AuditRow   *rows;
	int			nrows;
	int			maxrows;
	Size		bytes;
} AuditBatch;

/* The innermost batch; all are in memory of the transaction */
static AuditBatch *batches = NULL;

PG_FUNCTION_INFO_V1(fx_audit_trigger_function);

static void end_statement(int depth);
static void record_truncate(TriggerData *trigdata, int depth);
static void record_row(TriggerData *trigdata, int depth);
static bool *find_changes(const AuditTable *table, TupleTableSlot *oldslot, TupleTableSlot *newslot);
static void push_batch(int depth);
static void pop_batch(void);
static bool queue_end_of_statement(Oid function);
static Trigger *find_statement_trigger(TriggerDesc *triggers, Oid function);
static AuditRow *add_row(AuditBatch *batch, AuditTable *table, const char *action);
static HeapTuple copy_row(AuditBatch *batch, TupleTableSlot *slot);
static void write_batch(AuditBatch *batch);
static TimestampTz next_time(void);
static void register_callbacks(void);
static void xact_callback(XactEvent event, void *arg);
static void subxact_callback(SubXactEvent event, SubTransactionId subid,
							 SubTransactionId parent_subid, void *arg);

/*
 * audit_trigger_function() returns trigger
 *
 * To be fired after insert, update or delete for each row, after truncate for
 * each statement, and on fx.audit_log after insert for each statement.  Its
 * arguments are "redact:column" and "ignore:column".
 */
Datum
fx_audit_trigger_function(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	int			depth;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" was not called by trigger manager", FX_AUDIT_FUNCTION));

	register_callbacks();
	depth = DatumGetInt32(pg_trigger_depth(fcinfo));

	if (TRIGGER_FIRED_AFTER(trigdata->tg_event) && TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		record_row(trigdata, depth);
	else if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event) &&
			 TRIGGER_FIRED_AFTER(trigdata->tg_event))
		record_truncate(trigdata, depth);
	else if (TRIGGER_FIRED_AFTER(trigdata->tg_event) &&
			 TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) &&
			 RelationGetRelid(trigdata->tg_relation) == fx_require_table("audit_log"))
		end_statement(depth);
	else
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" must be fired AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW or AFTER TRUNCATE",
					   FX_AUDIT_FUNCTION));

	return PointerGetDatum(NULL);
}

/*
 * Store what the statement collected.  There is nothing when somebody inserts
 * into the log itself.
 */
static void
end_statement(int depth)
{
	if (batches == NULL || batches->depth != depth)
		return;
	write_batch(batches);
	pop_batch();
}

static void
record_truncate(TriggerData *trigdata, int depth)
{
	push_batch(depth);
	add_row(batches, fx_audit_table(trigdata), "TRUNCATE");
	write_batch(batches);
	pop_batch();
}

static void
record_row(TriggerData *trigdata, int depth)
{
	AuditTable *table = fx_audit_table(trigdata);
	bool	   *changed = NULL;
	bool		alone = false;
	AuditRow   *row;

	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
	{
		changed = find_changes(table, trigdata->tg_trigslot, trigdata->tg_newslot);
		if (changed == NULL)
			return;
	}

	/* alone when nothing will say that the statement is over */
	if (batches == NULL || batches->depth != depth)
	{
		push_batch(depth);
		alone = trigdata->tg_trigger->tgdeferrable || IsLogicalWorker() ||
			!queue_end_of_statement(trigdata->tg_trigger->tgfoid);
	}

	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
	{
		row = add_row(batches, table, "INSERT");
		row->newtup = copy_row(batches, trigdata->tg_trigslot);
	}
	else if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
	{
		row = add_row(batches, table, "DELETE");
		row->oldtup = copy_row(batches, trigdata->tg_trigslot);
	}
	else
	{
		row = add_row(batches, table, "UPDATE");
		row->oldtup = copy_row(batches, trigdata->tg_trigslot);
		row->newtup = copy_row(batches, trigdata->tg_newslot);
		row->changed = MemoryContextAlloc(batches->row_context, table->ncolumns * sizeof(bool));
		memcpy(row->changed, changed, table->ncolumns * sizeof(bool));
	}

	if (alone || batches->nrows >= FX_AUDIT_BATCH_ROWS || batches->bytes >= BATCH_BYTES)
		write_batch(batches);
	if (alone)
		pop_batch();
}

/*
 * Which columns differ?  NULL when none does that counts.  A column that the
 * statement did not touch has the bytes it had, a pointer to toasted data
 * included, so that the values themselves are read only where the bytes differ.
 */
static bool *
find_changes(const AuditTable *table, TupleTableSlot *oldslot, TupleTableSlot *newslot)
{
	bool	   *changed = palloc(table->ncolumns * sizeof(bool));
	bool		any = false;

	slot_getallattrs(oldslot);
	slot_getallattrs(newslot);
	for (int i = 0; i < table->ncolumns; i++)
	{
		const AuditColumn *column = &table->columns[i];
		int			att = column->attnum - 1;

		if (oldslot->tts_isnull[att] || newslot->tts_isnull[att])
			changed[i] = oldslot->tts_isnull[att] != newslot->tts_isnull[att];
		else
			changed[i] =
				!datumIsEqual(oldslot->tts_values[att], newslot->tts_values[att],
							  column->attbyval, column->attlen) &&
				!datum_image_eq(oldslot->tts_values[att], newslot->tts_values[att],
								column->attbyval, column->attlen);
		if (changed[i] && !column->ignored)
			any = true;
	}
	return any ? changed : NULL;
}

/*
 * Begin a batch for the query whose events fire now.
 */
static void
push_batch(int depth)
{
	MemoryContext context = AllocSetContextCreate(TopTransactionContext, "audit batch",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	AuditBatch *batch = palloc0(sizeof(AuditBatch));

	batch->context = context;
	batch->row_context = AllocSetContextCreate(context, "audit rows", ALLOCSET_DEFAULT_SIZES);
	batch->depth = depth;
	batch->subid = GetCurrentSubTransactionId();
	batch->actor = fx_audit_actor();
	batch->maxrows = 4;
	batch->rows = palloc(batch->maxrows * sizeof(AuditRow));
	MemoryContextSwitchTo(old);

	batch->outer = batches;
	batches = batch;
}

static void
pop_batch(void)
{
	AuditBatch *batch = batches;

	for (int i = 0; i < batch->nrows; i++)
		fx_audit_table_release(batch->rows[i].table);
	batches = batch->outer;
	MemoryContextDelete(batch->context);
}

/*
 * Queue our trigger of the log, and no other: there is no query to fire those
 * of its owner's for.
 */
static bool
queue_end_of_statement(Oid function)
{
	Relation	log = table_open(fx_require_table("audit_log"), RowExclusiveLock);
	Trigger    *trigger = find_statement_trigger(log->trigdesc, function);

	if (trigger != NULL)
	{
		TriggerDesc only = {0};
		ResultRelInfo target = {.type = T_ResultRelInfo};

		only.triggers = trigger;
		only.numtriggers = 1;
		only.trig_insert_after_statement = true;
		target.ri_RelationDesc = log;
		target.ri_TrigDesc = &only;
		ExecASInsertTriggers(NULL, &target, NULL);
	}

	/* the event needs the lock until it fires */
	table_close(log, NoLock);
	return trigger != NULL;
}

static Trigger *
find_statement_trigger(TriggerDesc *triggers, Oid function)
{
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (trigger->tgfoid == function &&
			trigger->tgenabled == TRIGGER_FIRES_ALWAYS &&
			trigger->tgqual == NULL &&
			TRIGGER_TYPE_MATCHES(trigger->tgtype, TRIGGER_TYPE_STATEMENT,
								 TRIGGER_TYPE_AFTER, TRIGGER_TYPE_INSERT))
			return trigger;
	}
	return NULL;
}

static AuditRow *
add_row(AuditBatch *batch, AuditTable *table, const char *action)
{
	AuditRow   *row;

	if (batch->nrows == batch->maxrows)
	{
		batch->maxrows *= 2;
		batch->rows = repalloc(batch->rows, batch->maxrows * sizeof(AuditRow));
	}
	row = &batch->rows[batch->nrows];
	memset(row, 0, sizeof(AuditRow));
	row->table = table;
	row->action = action;
	row->at = next_time();

	table->users++;
	batch->nrows++;
	return row;
}

static HeapTuple
copy_row(AuditBatch *batch, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(batch->row_context);
	HeapTuple	tuple = ExecCopySlotHeapTuple(slot);

	MemoryContextSwitchTo(old);
	batch->bytes += tuple->t_len;
	return tuple;
}

static void
write_batch(AuditBatch *batch)
{
	fx_audit_write(batch->actor, batch->rows, batch->nrows);

	for (int i = 0; i < batch->nrows; i++)
		fx_audit_table_release(batch->rows[i].table);
	batch->nrows = 0;
	batch->bytes = 0;
	MemoryContextReset(batch->row_context);
}

/*
 * The clock, but never the same time twice: entries of a session are in order.
 */
static TimestampTz
next_time(void)
{
	static TimestampTz last = 0;
	TimestampTz now = GetCurrentTimestamp();

	/* a clock that was set back by more is believed */
	if (now <= last && now > last - USECS_PER_SEC)
		now = last + 1;
	last = now;
	return now;
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
	registered = true;
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (batches != NULL)
				elog(ERROR, "entries of the audit log were not stored");
			break;
		case XACT_EVENT_ABORT:
			while (batches != NULL)
				pop_batch();
			break;
		default:
			break;
	}
}

static void
subxact_callback(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent_subid, void *arg)
{
	switch (event)
	{
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			if (batches != NULL && batches->subid == subid)
				elog(ERROR, "entries of the audit log were not stored");
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			while (batches != NULL && batches->subid == subid)
				pop_batch();
			break;
		default:
			break;
	}
}
