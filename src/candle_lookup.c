/*-------------------------------------------------------------------------
 *
 * candle_lookup.c
 *	  The newest stored candle of a series at some time
 *
 * A query for it costs some 40 microseconds and more with every partition.
 * Here the bounds of the partitions say where to look, the newest first, and
 * each is asked by one descent of its index (candle_partition.c).
 *
 * Whatever is not as the migrations make it is answered by a query instead: a
 * partition without that index, one that is partitioned again or foreign, a
 * table with another partition key, a caller whose rights are to columns only
 * or who is subject to row security.  So are errors about rights: what the
 * caller may see is decided here only where he may see everything.
 *
 * Locks are those of a query: AccessShareLock on the table, and on partitions
 * and indexes that are looked at, to the end of the transaction.  As in a
 * query, the lock on the table keeps partitions from going away, and those
 * detached for the snapshot are left out.  Rows are seen by the active
 * snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "candle_partition.h"
#include "compat.h"
#include "fxplatform.h"
#include "kept_plan.h"

#define TABLE_NAME			"market_data"

/* Room for a VARCHAR(20) in any encoding */
#define TEXT_BYTES			80

struct FxLookup
{
	Relation	table;
	Snapshot	snapshot;
	bool		by_query;		/* everything */
	PartitionBoundInfo bounds;
	Oid		   *oids;			/* of the partitions */
	FxCandlePartition *partitions;
	int			npartitions;
};

/* A short text without an allocation */
typedef union TextBuffer
{
	struct varlena header;		/* for its alignment */
	char		data[VARHDRSZ + TEXT_BYTES];
} TextBuffer;

static Datum make_text(TextBuffer *buffer, const char *str, int len);
static bool walk_partitions(FxLookup *lookup, const FxCandleRequest *request, bool symbol_only,
							FxCandle *candle);
static int	first_bound_after(PartitionBoundInfo bounds, TimestampTz at);
static bool bound_is_after(PartitionBoundInfo bounds, int i, TimestampTz at);
static bool ask_partition(FxLookup *lookup, int i, const FxCandleRequest *request,
						  bool symbol_only, FxCandle *candle);
static bool query_table(const FxCandleRequest *request, FxCandle *candle);

/*
 * Begin lookups that share what they open.  All of them see the snapshot that
 * is active now, which must stay so until fx_lookup_end(); on an error there
 * is nothing to do.
 */
FxLookup *
fx_lookup_begin(void)
{
	FxLookup   *lookup = (FxLookup *) palloc0(sizeof(FxLookup));
	Oid			table = fx_require_table(TABLE_NAME);
	PartitionKey key;
	PartitionDesc desc;

	/*
	 * Partitions come and go under the lock that the transaction may have
	 * already, with which table_open() does not ask for news.
	 */
	AcceptInvalidationMessages();
	lookup->table = table_open(table, AccessShareLock);
	lookup->snapshot = GetActiveSnapshot();

	key = RelationGetPartitionKey(lookup->table);
	if (key == NULL || get_partition_strategy(key) != PARTITION_STRATEGY_RANGE ||
		get_partition_natts(key) != 1 || get_partition_col_typid(key, 0) != TIMESTAMPTZOID ||
		get_partition_col_attnum(key, 0) != get_attnum(table, "timestamp") ||
		pg_class_aclcheck(table, GetUserId(), ACL_SELECT) != ACLCHECK_OK ||
		check_enable_rls(table, InvalidOid, false) == RLS_ENABLED)
	{
		lookup->by_query = true;
		return lookup;
	}

	/* kept while the table is open */
	desc = RelationGetPartitionDesc(lookup->table, true);
	lookup->bounds = desc->boundinfo;
	lookup->oids = desc->oids;
	lookup->npartitions = desc->nparts;
	lookup->partitions = (FxCandlePartition *) palloc0(desc->nparts * sizeof(FxCandlePartition));
	return lookup;
}

/*
 * The next one.
 */
bool
fx_lookup_next(FxLookup *lookup, const char *symbol, int symbol_len, FxTimeframe timeframe,
			   TimestampTz at, TimestampTz oldest, FxCandle *candle)
{
	const char *timeframe_name = fx_timeframe_name(timeframe);
	TextBuffer	symbol_buffer;
	TextBuffer	timeframe_buffer;
	FxCandleRequest		request;

	request.symbol = make_text(&symbol_buffer, symbol, symbol_len);
	request.timeframe = make_text(&timeframe_buffer, timeframe_name, strlen(timeframe_name));
	request.at = at;
	request.oldest = oldest;
	return walk_partitions(lookup, &request, false, candle);
}

/*
 * May there be a candle of the symbol, of whatever timeframe, in a partition
 * for times from oldest to at?  One that is found here may be gone, and need
 * not lie between them.
 */
bool
fx_lookup_may_have(FxLookup *lookup, const char *symbol, int symbol_len, TimestampTz at,
				   TimestampTz oldest)
{
	TextBuffer	buffer;
	FxCandleRequest		request;

	request.symbol = make_text(&buffer, symbol, symbol_len);
	request.timeframe = (Datum) 0;
	request.at = at;
	request.oldest = oldest;
	return walk_partitions(lookup, &request, true, NULL);
}

void
fx_lookup_end(FxLookup *lookup)
{
	for (int i = 0; i < lookup->npartitions; i++)
		fx_partition_close(&lookup->partitions[i]);
	table_close(lookup->table, NoLock);
	if (lookup->partitions != NULL)
		pfree(lookup->partitions);
	pfree(lookup);
}

static Datum
make_text(TextBuffer *buffer, const char *str, int len)
{
	if (unlikely(len > TEXT_BYTES))
		return PointerGetDatum(cstring_to_text_with_len(str, len));
	SET_VARSIZE(buffer, VARHDRSZ + len);
	memcpy(VARDATA(buffer), str, len);
	return PointerGetDatum(buffer);
}

/*
 * From the partition of the time back to that of the oldest.  Rows of a
 * default partition may lie anywhere between the others.
 */
static bool
walk_partitions(FxLookup *lookup, const FxCandleRequest *request, bool symbol_only, FxCandle *candle)
{
	PartitionBoundInfo bounds = lookup->bounds;
	bool		found = false;

	if (lookup->by_query)
		return symbol_only || query_table(request, candle);
	if (lookup->npartitions == 0 || request->at < request->oldest)
		return false;

	for (int i = first_bound_after(bounds, request->at); !found && i >= 0; i--)
	{
		if (bounds->indexes[i] >= 0)
			found = ask_partition(lookup, bounds->indexes[i], request, symbol_only, candle);
		if (i == 0 || !bound_is_after(bounds, i - 1, request->oldest))
			break;
	}

	if (bounds->default_index >= 0 && !(found && symbol_only))
	{
		FxCandleRequest		newer = *request;
		FxCandle	other;

		if (found)
			newer.oldest = candle->at;
		if (ask_partition(lookup, bounds->default_index, &newer, symbol_only, &other))
		{
			found = true;
			if (!symbol_only)
				*candle = other;
		}
	}
	return found;
}

/*
 * The number of bounds up to a time.  The partition of the time lies below the
 * bound of that number, and is that of the index of the same number.
 */
static int
first_bound_after(PartitionBoundInfo bounds, TimestampTz at)
{
	int			low = 0;
	int			high = bounds->ndatums;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (bound_is_after(bounds, middle, at))
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static bool
bound_is_after(PartitionBoundInfo bounds, int i, TimestampTz at)
{
	switch (bounds->kind[i][0])
	{
		case PARTITION_RANGE_DATUM_MINVALUE:
			return false;
		case PARTITION_RANGE_DATUM_MAXVALUE:
			return true;
		case PARTITION_RANGE_DATUM_VALUE:
			break;
	}
	return DatumGetTimestampTz(bounds->datums[i][0]) > at;
}

static bool
ask_partition(FxLookup *lookup, int i, const FxCandleRequest *request,
			  bool symbol_only, FxCandle *candle)
{
	FxCandlePartition *partition = &lookup->partitions[i];

	if (!partition->opened)
		fx_partition_open(partition, lookup->oids[i]);
	if (partition->empty)
		return false;
	if (partition->by_query)
		return symbol_only || query_table(request, candle);
	return fx_partition_ask(partition, lookup->snapshot, request, symbol_only, candle);
}

/*
 * The same by a query of the whole table, with the rights of the caller.
 */
static bool
query_table(const FxCandleRequest *request, FxCandle *candle)
{
	static SPIPlanPtr plan = NULL;
	Datum		args[4];
	bool		found;

	args[0] = request->symbol;
	args[1] = request->timeframe;
	args[2] = TimestampTzGetDatum(request->oldest);
	args[3] = TimestampTzGetDatum(request->at);

	SPI_connect();
	if (plan == NULL)
	{
		Oid			argtypes[4] = {TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID};

		/* in the order of FxCandleColumn */
		plan = fx_kept_plan("SELECT m.symbol, m.timeframe, m.timestamp, m.open_price,"
							" m.high_price, m.low_price, m.close_price, m.volume"
							" FROM fx." TABLE_NAME " m"
							" WHERE m.symbol OPERATOR(pg_catalog.=) $1"
							" AND m.timeframe OPERATOR(pg_catalog.=) $2"
							" AND m.timestamp OPERATOR(pg_catalog.>=) $3"
							" AND m.timestamp OPERATOR(pg_catalog.<=) $4"
							" ORDER BY m.timestamp DESC LIMIT 1",
							lengthof(argtypes), argtypes);
	}
	if (SPI_execute_plan(plan, args, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");

	found = SPI_processed > 0;
	if (found)
	{
		TupleTableSlot *slot = MakeSingleTupleTableSlot(SPI_tuptable->tupdesc, &TTSOpsHeapTuple);
		AttrNumber	attnums[FX_CANDLE_COLUMNS];

		for (int column = 0; column < FX_CANDLE_COLUMNS; column++)
			attnums[column] = column + 1;
		ExecStoreHeapTuple(SPI_tuptable->vals[0], slot, false);
		fx_read_candle(slot, attnums, candle);
		ExecDropSingleTupleTableSlot(slot);
	}
	SPI_finish();
	return found;
}

