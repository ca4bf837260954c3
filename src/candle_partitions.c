/*-------------------------------------------------------------------------
 *
 * candle_partitions.c
 *	  What the catalogs say of the partitions of fx.market_data
 *
 * Roll-ups are trusted for a month as long as its partition is the one that
 * they were made from.  Its identity is made of its table, its file, which
 * TRUNCATE replaces, and the row of pg_inherits that attached it; of one that
 * is partitioned again, of all that lie below it.
 *
 * The catalogs are read as they are now, not by the snapshot of the query:
 * the planner does so too, and a transaction with an old snapshot reads the
 * rows of whatever partition is attached.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "compat.h"
#include "fxplatform.h"

#define STATE_COLS			4

/* What is gathered of a partition and of those below it */
typedef struct PartitionState
{
	StringInfoData identity;
	bool		settled;
	char	   *name;			/* with its schema, quoted */
} PartitionState;

PG_FUNCTION_INFO_V1(fx_candle_partition_states);

static void for_each_child(Relation inherits, Oid parent, PartitionState *state,
						   ReturnSetInfo *rsinfo);
static void add_table(PartitionState *state, Oid relid, HeapTuple attachment,
					  Relation inherits);

/*
 * candle_partition_states()
 *		returns table (partition_name text, identity text, partition oid, settled boolean)
 *
 * A partition is settled when no row of it can change from now on without a
 * note or another identity.  That is not so for what this transaction has
 * made, attached or truncated, because it can truncate the same file in place;
 * for unlogged tables, which a crash empties; and for foreign ones.
 */
Datum
fx_candle_partition_states(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			namespace = get_namespace_oid("fx", true);
	Oid			table = OidIsValid(namespace) ? get_relname_relid("market_data", namespace) : InvalidOid;

	InitMaterializedSRF(fcinfo, 0);

	if (OidIsValid(table))
	{
		Relation	inherits = table_open(InheritsRelationId, AccessShareLock);

		for_each_child(inherits, table, NULL, rsinfo);
		table_close(inherits, AccessShareLock);
	}
	return (Datum) 0;
}

/*
 * Go through the partitions of a table.  Those of the topmost become rows of
 * the result; what is below them is added to their state.
 */
static void
for_each_child(Relation inherits, Oid parent, PartitionState *state, ReturnSetInfo *rsinfo)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	check_stack_depth();

	ScanKeyInit(&key, Anum_pg_inherits_inhparent, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(parent));
	scan = systable_beginscan(inherits, InheritsParentIndexId, true, NULL, 1, &key);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_inherits form = (Form_pg_inherits) GETSTRUCT(tuple);
		PartitionState own;
		Datum		values[STATE_COLS];
		bool		nulls[STATE_COLS] = {0};

		CHECK_FOR_INTERRUPTS();
		if (form->inhdetachpending)
			continue;
		if (state != NULL)
		{
			add_table(state, form->inhrelid, tuple, inherits);
			continue;
		}

		initStringInfo(&own.identity);
		own.settled = true;
		own.name = NULL;
		add_table(&own, form->inhrelid, tuple, inherits);
		if (own.name == NULL)
			continue;			/* dropped meanwhile */

		values[0] = CStringGetTextDatum(own.name);
		values[1] = CStringGetTextDatum(own.identity.data);
		values[2] = ObjectIdGetDatum(form->inhrelid);
		values[3] = BoolGetDatum(own.settled);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	systable_endscan(scan);
}

/*
 * Add a table, and what is below it.
 */
static void
add_table(PartitionState *state, Oid relid, HeapTuple attachment, Relation inherits)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	char		relkind;

	if (!HeapTupleIsValid(tuple))
		return;
	form = (Form_pg_class) GETSTRUCT(tuple);
	relkind = form->relkind;

	if (state->name == NULL)
		state->name = fx_qualified_name(form->relnamespace, NameStr(form->relname));
	else
		appendStringInfoChar(&state->identity, ' ');
	appendStringInfo(&state->identity, "%u/%u/%u/(%u,%u)", relid, form->relfilenode,
					 HeapTupleHeaderGetRawXmin(attachment->t_data),
					 ItemPointerGetBlockNumberNoCheck(&attachment->t_self),
					 ItemPointerGetOffsetNumberNoCheck(&attachment->t_self));
	if (TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmin(tuple->t_data)) ||
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmin(attachment->t_data)) ||
		(relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE) ||
		form->relpersistence != RELPERSISTENCE_PERMANENT)
		state->settled = false;
	ReleaseSysCache(tuple);

	if (relkind == RELKIND_PARTITIONED_TABLE)
		for_each_child(inherits, relid, state, NULL);
}
