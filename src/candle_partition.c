/*-------------------------------------------------------------------------
 *
 * candle_partition.c
 *	  The newest candle of a series in one partition of fx.market_data
 *
 * One descent of the index on (symbol, timeframe, timestamp) finds the entry
 * before the place where the time asked for would be inserted.  Where that is
 * not simply one visible row (another page, versions of one row, a row deleted
 * or not yet committed) an ordinary scan of the index finds it.  The scan reads
 * a whole page of entries, which costs five times as much.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "candle_partition.h"
#include "compat.h"
#include "fixed.h"
#include "fxplatform.h"
#include "relcache.h"

static const struct
{
	const char *name;
	Oid			type;
}			columns[FX_CANDLE_COLUMNS] = {
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
	AttrNumber	attnums[FX_CANDLE_COLUMNS];
} PartitionFacts;

typedef enum Probe
{
	PROBE_FOUND,
	PROBE_NONE,
	PROBE_UNCLEAR
} Probe;

static HTAB *facts_cache = NULL;
static uint64 facts_changes = 0;

static Probe probe_index(FxCandlePartition *partition, Snapshot snapshot,
						 const FxCandleRequest *request, bool symbol_only, FxCandle *candle);
static bool entry_has_text(FxCandlePartition *partition, IndexTuple entry, FxCandleColumn column,
						   Datum text);
static bool scan_index(FxCandlePartition *partition, Snapshot snapshot,
					   const FxCandleRequest *request, FxCandle *candle);
static int64 read_price(Datum value, bool isnull, FxCandleColumn column);
static const PartitionFacts *find_facts(Relation heap);
static Oid	find_index(Relation heap, const AttrNumber *attnums);
static void forget_facts(Oid relid);

/*
 * Open a partition and what is needed to walk its index.
 */
void
fx_partition_open(FxCandlePartition *partition, Oid relid)
{
	const PartitionFacts *facts;

	CHECK_FOR_INTERRUPTS();
	partition->heap = table_open(relid, AccessShareLock);
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

	/* without a tuple it is for a build, and knows nothing of the index */
	partition->key = _bt_mkscankey(partition->index, NULL);
	_bt_metaversion(partition->index, &partition->key->heapkeyspace,
					&partition->key->allequalimage);
	partition->key->anynullkeys = false;
	partition->key->keysz = FX_CANDLE_KEYS;
	for (int column = 0; column < FX_CANDLE_KEYS; column++)
		partition->key->scankeys[column].sk_flags &= ~SK_ISNULL;
	partition->fetch = table_index_fetch_begin(partition->heap);
	partition->slot = table_slot_create(partition->heap, NULL);
}

void
fx_partition_close(FxCandlePartition *partition)
{
	if (partition->heap == NULL)
		return;
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

/*
 * The newest candle, with oldest <= timestamp <= at, of a partition that has
 * an index.  For a symbol alone, whether there may be one of it.
 */
bool
fx_partition_ask(FxCandlePartition *partition, Snapshot snapshot,
				 const FxCandleRequest *request, bool symbol_only, FxCandle *candle)
{
	/* a scan takes the locks that serializable transactions need */
	if (!IsolationIsSerializable())
	{
		switch (probe_index(partition, snapshot, request, symbol_only, candle))
		{
			case PROBE_FOUND:
				return true;
			case PROBE_NONE:
				return false;
			case PROBE_UNCLEAR:
				break;
		}
	}
	return symbol_only || scan_index(partition, snapshot, request, candle);
}

/*
 * The candle of a row whose columns are known by their numbers.
 */
void
fx_read_candle(TupleTableSlot *slot, const AttrNumber *attnums, FxCandle *candle)
{
	Datum		values[FX_CANDLE_COLUMNS];
	bool		nulls[FX_CANDLE_COLUMNS];

	for (int column = FX_CANDLE_TIMESTAMP; column < FX_CANDLE_COLUMNS; column++)
		values[column] = slot_getattr(slot, attnums[column], &nulls[column]);

	candle->at = DatumGetTimestampTz(values[FX_CANDLE_TIMESTAMP]);
	candle->open = read_price(values[FX_CANDLE_OPEN], nulls[FX_CANDLE_OPEN], FX_CANDLE_OPEN);
	candle->high = read_price(values[FX_CANDLE_HIGH], nulls[FX_CANDLE_HIGH], FX_CANDLE_HIGH);
	candle->low = read_price(values[FX_CANDLE_LOW], nulls[FX_CANDLE_LOW], FX_CANDLE_LOW);
	candle->close = read_price(values[FX_CANDLE_CLOSE], nulls[FX_CANDLE_CLOSE], FX_CANDLE_CLOSE);
	candle->volume_isnull = nulls[FX_CANDLE_VOLUME];
	candle->volume = candle->volume_isnull ? 0 : DatumGetInt64(values[FX_CANDLE_VOLUME]);
}

/*
 * Descend to the last entry that is not after the request.  For a symbol
 * alone, to the first one that is not before it.
 */
static Probe
probe_index(FxCandlePartition *partition, Snapshot snapshot, const FxCandleRequest *request,
			bool symbol_only, FxCandle *candle)
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

	key->keysz = symbol_only ? 1 : FX_CANDLE_KEYS;
	key->nextkey = !symbol_only;
	key->scankeys[FX_CANDLE_SYMBOL].sk_argument = request->symbol;
	key->scankeys[FX_CANDLE_TIMEFRAME].sk_argument = request->timeframe;
	key->scankeys[FX_CANDLE_TIMESTAMP].sk_argument = TimestampTzGetDatum(request->at);

	stack = fx_bt_search(index, partition->heap, key, &buffer, BT_READ, snapshot);
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
			result = entry_has_text(partition, entry, FX_CANDLE_SYMBOL, request->symbol) ?
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
	at = DatumGetTimestampTz(index_getattr(entry, FX_CANDLE_TIMESTAMP + 1,
										   RelationGetDescr(index), &isnull));
	if (!entry_has_text(partition, entry, FX_CANDLE_SYMBOL, request->symbol) ||
		!entry_has_text(partition, entry, FX_CANDLE_TIMEFRAME, request->timeframe) ||
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
	if (table_index_fetch_tuple(partition->fetch, &tid, snapshot, partition->slot,
								&call_again, &all_dead))
	{
		fx_read_candle(partition->slot, partition->attnums, candle);
		result = PROBE_FOUND;
	}
	ReleaseBuffer(buffer);
	return result;
}

/*
 * Equality under a deterministic collation is that of bytes.
 */
static bool
entry_has_text(FxCandlePartition *partition, IndexTuple entry, FxCandleColumn column, Datum text)
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
scan_index(FxCandlePartition *partition, Snapshot snapshot, const FxCandleRequest *request,
		   FxCandle *candle)
{
	ScanKeyData keys[4];
	Oid			collation = partition->index->rd_indcollation[FX_CANDLE_SYMBOL];
	bool		found;

	ScanKeyEntryInitialize(&keys[0], 0, FX_CANDLE_SYMBOL + 1, BTEqualStrategyNumber, TEXTOID,
						   collation, F_TEXTEQ, request->symbol);
	ScanKeyEntryInitialize(&keys[1], 0, FX_CANDLE_TIMEFRAME + 1, BTEqualStrategyNumber, TEXTOID,
						   partition->index->rd_indcollation[FX_CANDLE_TIMEFRAME], F_TEXTEQ,
						   request->timeframe);
	ScanKeyEntryInitialize(&keys[2], 0, FX_CANDLE_TIMESTAMP + 1, BTLessEqualStrategyNumber,
						   TIMESTAMPTZOID, InvalidOid, F_TIMESTAMPTZ_LE,
						   TimestampTzGetDatum(request->at));
	ScanKeyEntryInitialize(&keys[3], 0, FX_CANDLE_TIMESTAMP + 1, BTGreaterEqualStrategyNumber,
						   TIMESTAMPTZOID, InvalidOid, F_TIMESTAMPTZ_GE,
						   TimestampTzGetDatum(request->oldest));

	if (partition->scan == NULL)
		partition->scan = fx_index_beginscan(partition->heap, partition->index, snapshot,
											 lengthof(keys), 0);
	index_rescan(partition->scan, keys, lengthof(keys), NULL, 0);
	found = index_getnext_slot(partition->scan, BackwardScanDirection, partition->slot);
	if (found)
		fx_read_candle(partition->slot, partition->attnums, candle);
	return found;
}

/*
 * A price of DECIMAL(18,8) fits 64 bits.  The table refuses NULL and NaN, but
 * its constraints can be dropped.
 */
static int64
read_price(Datum value, bool isnull, FxCandleColumn column)
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
		fx_relcache_register(forget_facts);
	}

	facts = (PartitionFacts *) hash_search(facts_cache, &relid, HASH_FIND, NULL);
	if (facts != NULL && facts->valid)
		return facts;

	changes = facts_changes;
	fresh.relid = relid;
	for (int column = 0; column < FX_CANDLE_COLUMNS; column++)
	{
		AttrNumber	attnum = get_attnum(relid, columns[column].name);

		/* widths differ, types do not */
		if (attnum == InvalidAttrNumber || get_atttype(relid, attnum) != columns[column].type)
			fx_raise_no_column(heap, columns[column].name, columns[column].type);
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
			form->indnkeyatts >= FX_CANDLE_KEYS &&
			RelationGetIndexExpressions(index) == NIL && RelationGetIndexPredicate(index) == NIL;
		for (int column = 0; fits && column < FX_CANDLE_KEYS; column++)
		{
			Oid			collation = index->rd_indcollation[column];

			fits = form->indkey.values[column] == attnums[column] &&
				(index->rd_indoption[column] & INDOPTION_DESC) == 0 &&
				(column == FX_CANDLE_TIMESTAMP ? index->rd_opcintype[column] == TIMESTAMPTZOID :
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
forget_facts(Oid relid)
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
