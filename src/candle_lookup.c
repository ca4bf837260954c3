/*-------------------------------------------------------------------------
 *
 * candle_lookup.c
 *	  The newest stored candle of a series at some time
 *
 * A query for it costs some 40 microseconds and more with every partition.
 * Here the bounds of the partitions say where to look, the newest first, and
 * each is asked by one descent of its index on (symbol, timeframe, timestamp),
 * for the entry before the place where the time would be inserted.  Where that
 * entry is not simply one visible row (another page, versions of one row, a
 * row deleted or not yet committed) an ordinary scan of the index finds it.
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

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "candle_lookup.h"
#include "compat.h"
#include "fixed.h"
#include "fxplatform.h"

#define TABLE_NAME			"market_data"

/* The columns of the index come first */
typedef enum Column
{
	COLUMN_SYMBOL,
	COLUMN_TIMEFRAME,
	COLUMN_TIMESTAMP,
	COLUMN_OPEN,
	COLUMN_HIGH,
	COLUMN_LOW,
	COLUMN_CLOSE,
	COLUMN_VOLUME,
	COLUMN_COUNT
} Column;

#define KEY_COLUMNS			3

/* Room for a VARCHAR(20) in any encoding */
#define TEXT_BYTES			80

static const struct
{
	const char *name;
	Oid			type;
}			columns[COLUMN_COUNT] = {
	{"symbol", VARCHAROID},
	{"timeframe", VARCHAROID},
	{"timestamp", TIMESTAMPTZOID},
	{"open_price", NUMERICOID},
	{"high_price", NUMERICOID},
	{"low_price", NUMERICOID},
	{"close_price", NUMERICOID},
	{"volume", INT8OID}
};

/* What is known of a partition for the rest of the session */
typedef struct PartitionFacts
{
	Oid			relid;			/* hash key */
	bool		valid;			/* false after a change of the table or its indexes */
	Oid			index;			/* on the key columns; InvalidOid when there is none */
	AttrNumber	attnums[COLUMN_COUNT];
} PartitionFacts;

/* A partition within a lookup */
typedef struct Partition
{
	bool		opened;
	bool		empty;
	bool		by_query;
	AttrNumber	attnums[COLUMN_COUNT];
	Relation	heap;
	Relation	index;
	BTScanInsert key;
	IndexFetchTableData *fetch;
	TupleTableSlot *slot;
	IndexScanDesc scan;			/* NULL until it is needed */
} Partition;

struct FxLookup
{
	Relation	table;
	Snapshot	snapshot;
	bool		by_query;		/* everything */
	PartitionBoundInfo bounds;
	Oid		   *oids;			/* of the partitions */
	Partition  *partitions;
	int			npartitions;
};

/* A request, with its names as values of type text */
typedef struct Request
{
	Datum		symbol;
	Datum		timeframe;
	TimestampTz at;
	TimestampTz oldest;
} Request;

/* A short text without an allocation */
typedef union TextBuffer
{
	struct varlena header;		/* for its alignment */
	char		data[VARHDRSZ + TEXT_BYTES];
} TextBuffer;

typedef enum Probe
{
	PROBE_FOUND,
	PROBE_NONE,
	PROBE_UNCLEAR
} Probe;

static HTAB *facts_cache = NULL;
static uint64 facts_changes = 0;

static Datum make_text(TextBuffer *buffer, const char *str, int len);
static bool walk_partitions(FxLookup *lookup, const Request *request, bool symbol_only,
							FxCandle *candle);
static int	first_bound_after(PartitionBoundInfo bounds, TimestampTz at);
static bool bound_is_after(PartitionBoundInfo bounds, int i, TimestampTz at);
static bool ask_partition(FxLookup *lookup, int i, const Request *request, bool symbol_only,
						  FxCandle *candle);
static void open_partition(FxLookup *lookup, int i);
static Probe probe_index(FxLookup *lookup, Partition *partition, const Request *request,
						 bool symbol_only, FxCandle *candle);
static bool entry_has_text(Partition *partition, IndexTuple entry, Column column, Datum text);
static bool scan_index(FxLookup *lookup, Partition *partition, const Request *request,
					   FxCandle *candle);
static bool query_table(const Request *request, FxCandle *candle);
static void read_candle(TupleTableSlot *slot, const AttrNumber *attnums, FxCandle *candle);
static int64 read_price(Datum value, bool isnull, Column column);
static const PartitionFacts *find_facts(Relation heap);
static Oid	find_index(Relation heap, const AttrNumber *attnums);
static void forget_facts(Datum arg, Oid relid);

/*
 * Find the newest candle of a series with oldest <= timestamp <= at.
 */
bool
fx_lookup_candle(const char *symbol, FxTimeframe timeframe, TimestampTz at,
				 TimestampTz oldest, FxCandle *candle)
{
	FxLookup   *lookup = fx_lookup_begin();
	bool		found = fx_lookup_next(lookup, symbol, strlen(symbol), timeframe, at, oldest, candle);

	fx_lookup_end(lookup);
	return found;
}

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
		get_partition_col_attnum(key, 0) != get_attnum(table, columns[COLUMN_TIMESTAMP].name) ||
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
	lookup->partitions = (Partition *) palloc0(desc->nparts * sizeof(Partition));
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
	Request		request;

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
	Request		request;

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
	{
		Partition  *partition = &lookup->partitions[i];

		if (partition->heap == NULL)
			continue;
		if (partition->scan != NULL)
			index_endscan(partition->scan);
		if (partition->slot != NULL)
			ExecDropSingleTupleTableSlot(partition->slot);
		if (partition->fetch != NULL)
			table_index_fetch_end(partition->fetch);
		if (partition->key != NULL)
			pfree(partition->key);
		if (partition->index != NULL)
			index_close(partition->index, NoLock);
		table_close(partition->heap, NoLock);
	}
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
walk_partitions(FxLookup *lookup, const Request *request, bool symbol_only, FxCandle *candle)
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
		Request		newer = *request;
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
ask_partition(FxLookup *lookup, int i, const Request *request, bool symbol_only,
			  FxCandle *candle)
{
	Partition  *partition = &lookup->partitions[i];

	if (!partition->opened)
		open_partition(lookup, i);
	if (partition->empty)
		return false;
	if (partition->by_query)
		return symbol_only || query_table(request, candle);

	/* a scan takes the locks that serializable transactions need */
	if (!IsolationIsSerializable())
	{
		switch (probe_index(lookup, partition, request, symbol_only, candle))
		{
			case PROBE_FOUND:
				return true;
			case PROBE_NONE:
				return false;
			case PROBE_UNCLEAR:
				break;
		}
	}
	return symbol_only || scan_index(lookup, partition, request, candle);
}

static void
open_partition(FxLookup *lookup, int i)
{
	Partition  *partition = &lookup->partitions[i];
	const PartitionFacts *facts;

	CHECK_FOR_INTERRUPTS();
	partition->heap = table_open(lookup->oids[i], AccessShareLock);
	partition->opened = true;

	if (partition->heap->rd_rel->relkind != RELKIND_RELATION)
	{
		partition->by_query = true;
		return;
	}

	facts = find_facts(partition->heap);
	if (!OidIsValid(facts->index))
	{
		partition->by_query = true;
		return;
	}
	memcpy(partition->attnums, facts->attnums, sizeof(partition->attnums));
	partition->index = index_open(facts->index, AccessShareLock);

	/* made beside updates that the snapshot may not see */
	if (partition->index->rd_index->indcheckxmin &&
		!TransactionIdPrecedes(HeapTupleHeaderGetXmin(partition->index->rd_indextuple->t_data),
							   TransactionXmin))
	{
		partition->by_query = true;
		return;
	}

	partition->key = _bt_mkscankey(partition->index, NULL);
	partition->key->anynullkeys = false;
	partition->key->keysz = KEY_COLUMNS;
	for (int column = 0; column < KEY_COLUMNS; column++)
		partition->key->scankeys[column].sk_flags &= ~SK_ISNULL;
	partition->fetch = table_index_fetch_begin(partition->heap);
	partition->slot = table_slot_create(partition->heap, NULL);
}

/*
 * Descend to the last entry that is not after the request.  For a symbol
 * alone, to the first one that is not before it.
 */
static Probe
probe_index(FxLookup *lookup, Partition *partition, const Request *request, bool symbol_only,
			FxCandle *candle)
{
	Relation	index = partition->index;
	BTScanInsert key = partition->key;
	BTStack		stack;
	Buffer		buffer;
	Page		page;
	BTPageOpaque opaque;
	OffsetNumber low;
	OffsetNumber high;
	OffsetNumber first;
	Probe		result;
	IndexTuple	entry;
	ItemPointerData tid;
	TimestampTz at;
	bool		isnull;
	bool		call_again = false;
	bool		all_dead = false;

	key->keysz = symbol_only ? 1 : KEY_COLUMNS;
	key->nextkey = !symbol_only;
	key->scankeys[COLUMN_SYMBOL].sk_argument = request->symbol;
	key->scankeys[COLUMN_TIMEFRAME].sk_argument = request->timeframe;
	key->scankeys[COLUMN_TIMESTAMP].sk_argument = TimestampTzGetDatum(request->at);

	stack = fx_bt_search(index, partition->heap, key, &buffer, BT_READ, lookup->snapshot);
	_bt_freestack(stack);
	if (!BufferIsValid(buffer))
	{
		/* rows that the snapshot sees have their entries already */
		partition->empty = true;
		return PROBE_NONE;
	}

	page = BufferGetPage(buffer);
	opaque = BTPageGetOpaque(page);
	first = P_FIRSTDATAKEY(opaque);
	low = first;
	high = OffsetNumberNext(PageGetMaxOffsetNumber(page));
	while (low < high)
	{
		OffsetNumber middle = low + (high - low) / 2;

		if (_bt_compare(index, key, page, middle) >= (key->nextkey ? 0 : 1))
			low = OffsetNumberNext(middle);
		else
			high = middle;
	}

	if (symbol_only)
	{
		if (low > PageGetMaxOffsetNumber(page))
			result = P_RIGHTMOST(opaque) ? PROBE_NONE : PROBE_UNCLEAR;
		else
		{
			entry = (IndexTuple) PageGetItem(page, PageGetItemId(page, low));
			result = entry_has_text(partition, entry, COLUMN_SYMBOL, request->symbol) ?
				PROBE_FOUND : PROBE_NONE;
		}
		_bt_relbuf(index, buffer);
		return result;
	}

	if (low == first)
	{
		result = P_LEFTMOST(opaque) ? PROBE_NONE : PROBE_UNCLEAR;
		_bt_relbuf(index, buffer);
		return result;
	}

	entry = (IndexTuple) PageGetItem(page, PageGetItemId(page, OffsetNumberPrev(low)));
	at = DatumGetTimestampTz(index_getattr(entry, COLUMN_TIMESTAMP + 1,
										   RelationGetDescr(index), &isnull));
	if (!entry_has_text(partition, entry, COLUMN_SYMBOL, request->symbol) ||
		!entry_has_text(partition, entry, COLUMN_TIMEFRAME, request->timeframe) ||
		at < request->oldest)
	{
		_bt_relbuf(index, buffer);
		return PROBE_NONE;
	}
	if (BTreeTupleIsPosting(entry))
	{
		_bt_relbuf(index, buffer);
		return PROBE_UNCLEAR;
	}

	/*
	 * Unlocked, but pinned, so that VACUUM does not give the place of the row
	 * to another one meanwhile.
	 */
	tid = entry->t_tid;
	_bt_unlockbuf(index, buffer);
	result = PROBE_UNCLEAR;
	if (table_index_fetch_tuple(partition->fetch, &tid, lookup->snapshot, partition->slot,
								&call_again, &all_dead))
	{
		read_candle(partition->slot, partition->attnums, candle);
		result = PROBE_FOUND;
	}
	ReleaseBuffer(buffer);
	return result;
}

/*
 * Equality under a deterministic collation is that of bytes.
 */
static bool
entry_has_text(Partition *partition, IndexTuple entry, Column column, Datum text)
{
	bool		isnull;
	Datum		value = index_getattr(entry, column + 1, RelationGetDescr(partition->index), &isnull);
	int			len = VARSIZE(DatumGetPointer(text)) - VARHDRSZ;

	return !isnull && VARSIZE_ANY_EXHDR(DatumGetPointer(value)) == len &&
		memcmp(VARDATA_ANY(DatumGetPointer(value)), VARDATA(DatumGetPointer(text)), len) == 0;
}

/*
 * The same by a scan of the index, which looks at every version of a row.
 */
static bool
scan_index(FxLookup *lookup, Partition *partition, const Request *request, FxCandle *candle)
{
	ScanKeyData keys[4];
	Oid			collation = partition->index->rd_indcollation[COLUMN_SYMBOL];
	bool		found;

	ScanKeyEntryInitialize(&keys[0], 0, COLUMN_SYMBOL + 1, BTEqualStrategyNumber, TEXTOID,
						   collation, F_TEXTEQ, request->symbol);
	ScanKeyEntryInitialize(&keys[1], 0, COLUMN_TIMEFRAME + 1, BTEqualStrategyNumber, TEXTOID,
						   partition->index->rd_indcollation[COLUMN_TIMEFRAME], F_TEXTEQ,
						   request->timeframe);
	ScanKeyEntryInitialize(&keys[2], 0, COLUMN_TIMESTAMP + 1, BTLessEqualStrategyNumber,
						   TIMESTAMPTZOID, InvalidOid, F_TIMESTAMPTZ_LE,
						   TimestampTzGetDatum(request->at));
	ScanKeyEntryInitialize(&keys[3], 0, COLUMN_TIMESTAMP + 1, BTGreaterEqualStrategyNumber,
						   TIMESTAMPTZOID, InvalidOid, F_TIMESTAMPTZ_GE,
						   TimestampTzGetDatum(request->oldest));

	if (partition->scan == NULL)
		partition->scan = fx_index_beginscan(partition->heap, partition->index, lookup->snapshot,
											 lengthof(keys), 0);
	index_rescan(partition->scan, keys, lengthof(keys), NULL, 0);
	found = index_getnext_slot(partition->scan, BackwardScanDirection, partition->slot);
	if (found)
		read_candle(partition->slot, partition->attnums, candle);
	return found;
}

/*
 * The same by a query of the whole table, with the rights of the caller.
 */
static bool
query_table(const Request *request, FxCandle *candle)
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
		SPIPlanPtr	prepared;

		/* in the order of the columns above */
		prepared = SPI_prepare("SELECT m.symbol, m.timeframe, m.timestamp, m.open_price,"
							   " m.high_price, m.low_price, m.close_price, m.volume"
							   " FROM fx." TABLE_NAME " m"
							   " WHERE m.symbol OPERATOR(pg_catalog.=) $1"
							   " AND m.timeframe OPERATOR(pg_catalog.=) $2"
							   " AND m.timestamp OPERATOR(pg_catalog.>=) $3"
							   " AND m.timestamp OPERATOR(pg_catalog.<=) $4"
							   " ORDER BY m.timestamp DESC LIMIT 1",
							   lengthof(argtypes), argtypes);
		if (prepared == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(prepared);
		plan = prepared;
	}
	if (SPI_execute_plan(plan, args, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");

	found = SPI_processed > 0;
	if (found)
	{
		TupleTableSlot *slot = MakeSingleTupleTableSlot(SPI_tuptable->tupdesc, &TTSOpsHeapTuple);
		AttrNumber	attnums[COLUMN_COUNT];

		for (int column = 0; column < COLUMN_COUNT; column++)
			attnums[column] = column + 1;
		ExecStoreHeapTuple(SPI_tuptable->vals[0], slot, false);
		read_candle(slot, attnums, candle);
		ExecDropSingleTupleTableSlot(slot);
	}
	SPI_finish();
	return found;
}

static void
read_candle(TupleTableSlot *slot, const AttrNumber *attnums, FxCandle *candle)
{
	Datum		values[COLUMN_COUNT];
	bool		nulls[COLUMN_COUNT];

	for (int column = COLUMN_TIMESTAMP; column < COLUMN_COUNT; column++)
		values[column] = slot_getattr(slot, attnums[column], &nulls[column]);

	candle->at = DatumGetTimestampTz(values[COLUMN_TIMESTAMP]);
	candle->open = read_price(values[COLUMN_OPEN], nulls[COLUMN_OPEN], COLUMN_OPEN);
	candle->high = read_price(values[COLUMN_HIGH], nulls[COLUMN_HIGH], COLUMN_HIGH);
	candle->low = read_price(values[COLUMN_LOW], nulls[COLUMN_LOW], COLUMN_LOW);
	candle->close = read_price(values[COLUMN_CLOSE], nulls[COLUMN_CLOSE], COLUMN_CLOSE);
	candle->volume_isnull = nulls[COLUMN_VOLUME];
	candle->volume = candle->volume_isnull ? 0 : DatumGetInt64(values[COLUMN_VOLUME]);
}

/*
 * A price of DECIMAL(18,8) fits 64 bits.  The table refuses NULL and NaN, but
 * its constraints can be dropped.
 */
static int64
read_price(Datum value, bool isnull, Column column)
{
	FxFixedStatus status = FX_FIXED_NAN;
	int128		price = 0;

	if (likely(!isnull))
		status = fx_fixed_from_numeric(pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value)),
									   &price);
	if (status == FX_FIXED_OK && (price > PG_INT64_MAX || price < PG_INT64_MIN))
		status = FX_FIXED_OVERFLOW;
	if (unlikely(status != FX_FIXED_OK))
		fx_fixed_raise(status, columns[column].name);
	return (int64) price;
}

/*
 * What is known of a partition, found out anew after a change of it.
 */
static const PartitionFacts *
find_facts(Relation heap)
{
	Oid			relid = RelationGetRelid(heap);
	PartitionFacts *facts;
	PartitionFacts fresh = {0};
	bool		found;
	uint64		changes;

	if (facts_cache == NULL)
	{
		HASHCTL		control = {0};

		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(PartitionFacts);
		facts_cache = hash_create("fxplatform candle partitions", 64, &control,
								  HASH_ELEM | HASH_BLOBS);
		CacheRegisterRelcacheCallback(forget_facts, (Datum) 0);
	}

	facts = (PartitionFacts *) hash_search(facts_cache, &relid, HASH_FIND, NULL);
	if (facts != NULL && facts->valid)
		return facts;

	changes = facts_changes;
	fresh.relid = relid;
	for (int column = 0; column < COLUMN_COUNT; column++)
	{
		AttrNumber	attnum = get_attnum(relid, columns[column].name);

		/* widths differ, types do not */
		if (attnum == InvalidAttrNumber || get_atttype(relid, attnum) != columns[column].type)
			ereport(ERROR,
					errcode(ERRCODE_DATATYPE_MISMATCH),
					errmsg("table \"%s\" has no column \"%s\" of type %s",
						   RelationGetRelationName(heap), columns[column].name,
						   format_type_be(columns[column].type)));
		fresh.attnums[column] = attnum;
	}
	fresh.index = find_index(heap, fresh.attnums);
	fresh.valid = changes == facts_changes;

	facts = (PartitionFacts *) hash_search(facts_cache, &relid, HASH_ENTER, &found);
	*facts = fresh;
	return facts;
}

/*
 * A valid index that begins with the key columns, ascending.
 */
static Oid
find_index(Relation heap, const AttrNumber *attnums)
{
	List	   *indexes = RelationGetIndexList(heap);
	Oid			found = InvalidOid;
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		Form_pg_index form = index->rd_index;
		bool		fits;

		fits = index->rd_rel->relam == BTREE_AM_OID && form->indisvalid &&
			form->indnkeyatts >= KEY_COLUMNS &&
			RelationGetIndexExpressions(index) == NIL && RelationGetIndexPredicate(index) == NIL;
		for (int column = 0; fits && column < KEY_COLUMNS; column++)
		{
			Oid			collation = index->rd_indcollation[column];

			fits = form->indkey.values[column] == attnums[column] &&
				(index->rd_indoption[column] & INDOPTION_DESC) == 0 &&
				(column == COLUMN_TIMESTAMP ? index->rd_opcintype[column] == TIMESTAMPTZOID :
				 index->rd_opfamily[column] == TEXT_BTREE_FAM_OID) &&
				(!OidIsValid(collation) ||
				 (collation == TupleDescAttr(RelationGetDescr(heap), attnums[column] - 1)->attcollation &&
				  get_collation_isdeterministic(collation)));
		}
		index_close(index, NoLock);
		if (fits)
		{
			found = RelationGetRelid(index);
			break;
		}
	}
	list_free(indexes);
	return found;
}

/*
 * Callback for changes of a table, or of any.
 */
static void
forget_facts(Datum arg, Oid relid)
{
	PartitionFacts *facts;

	facts_changes++;
	if (OidIsValid(relid))
	{
		facts = (PartitionFacts *) hash_search(facts_cache, &relid, HASH_FIND, NULL);
		if (facts != NULL)
			facts->valid = false;
	}
	else
	{
		HASH_SEQ_STATUS status;

		hash_seq_init(&status, facts_cache);
		while ((facts = (PartitionFacts *) hash_seq_search(&status)) != NULL)
			facts->valid = false;
	}
}
