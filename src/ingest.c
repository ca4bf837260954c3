/*-------------------------------------------------------------------------
 *
 * ingest.c
 *	  Candles into fx.market_data, a batch a call
 *
 * The result is that of writing the rows one by one in their order.  They are
 * written set-wise: sorted by key, and where a key comes more than once the
 * first rows of all keys are one statement, the second ones the next, and so
 * on.  Sorting also makes all sessions lock rows in one order, so that two
 * batches with the same keys wait for one another and never deadlock.
 * Months that have no partition are made before the first row is locked.
 *
 * The rows are handed to the statement as a named tuplestore, as transition
 * tables are: no arrays to build and to unnest.  Its columns have the types of
 * the table to the last modifier, so that nothing is cast.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

#include "candle_input.h"
#include "compat.h"
#include "fixed.h"
#include "fx_day.h"
#include "kept_plan.h"

/* Width of market_data.symbol, in characters */
#define SYMBOL_CHARS		20

/* Typmods of VARCHAR(20), VARCHAR(10) and DECIMAL(18,8) */
#define SYMBOL_TYPMOD		(VARHDRSZ + SYMBOL_CHARS)
#define TIMEFRAME_TYPMOD	(VARHDRSZ + 10)
#define PRICE_TYPMOD		(VARHDRSZ + ((18 << 16) | 8))

/* The rows to be merged: the columns of fx.candle and created_at */
#define INCOMING			"incoming"
#define INCOMING_COLUMNS	(FX_CANDLE_FIELDS + 1)

/* A batch, and what became of it */
typedef struct Batch
{
	FxCandle   *candles;		/* those without faults */
	uint32		count;
	ArrayBuildState *reasons;	/* text, NULL while there is no faulty row */
	ArrayBuildState *rejects;	/* the faulty rows: jsonb or fx.candle */
	int64		rejected;
	int64		inserted;
	int64		updated;
	int64		unchanged;
	int64		off_market;
} Batch;

typedef enum IngestQuery
{
	QUERY_MERGE,
	QUERY_REJECT_VALUES,
	QUERY_REJECT_JSON,
	QUERY_MAKE_MONTHS,
	QUERY_INSTRUMENT_SYMBOLS
} IngestQuery;

/*
 * Which rows are new is told by created_at, which is one microsecond later in
 * a row that was updated.  System columns, of which xmax would tell it as
 * well, cannot be returned by way of a partitioned table.
 */
static const char *const queries[] = {
	"INSERT INTO fx.market_data AS m (symbol, timeframe, \"timestamp\","
	" open_price, high_price, low_price, close_price, volume, created_at)"
	" SELECT i.symbol, i.timeframe, i.\"timestamp\","
	" i.open_price, i.high_price, i.low_price, i.close_price, i.volume, i.created_at"
	" FROM " INCOMING " AS i"
	" ON CONFLICT (symbol, timeframe, \"timestamp\") DO UPDATE"
	" SET open_price = excluded.open_price, high_price = excluded.high_price,"
	" low_price = excluded.low_price, close_price = excluded.close_price,"
	" volume = excluded.volume, created_at = excluded.created_at + interval '1 microsecond'"
	" WHERE (m.open_price, m.high_price, m.low_price, m.close_price, m.volume)"
	" IS DISTINCT FROM (excluded.open_price, excluded.high_price, excluded.low_price,"
	" excluded.close_price, excluded.volume)"
	" RETURNING m.created_at",
	"INSERT INTO fx.market_data_rejects (reason, candle)"
	" SELECT r.reason, fx.candle_as_json(($2)[r.n])"
	" FROM pg_catalog.unnest($1) WITH ORDINALITY AS r (reason, n)",
	"INSERT INTO fx.market_data_rejects (reason, candle)"
	" SELECT r.reason, ($2)[r.n]"
	" FROM pg_catalog.unnest($1) WITH ORDINALITY AS r (reason, n)",
	"SELECT fx.make_candle_months($1)",
	("SELECT fx.instrument_symbol(s.symbol)"
	 " FROM pg_catalog.unnest($1) WITH ORDINALITY AS s (symbol, n) ORDER BY s.n")
};

PG_FUNCTION_INFO_V1(fx_ingest_candles);
PG_FUNCTION_INFO_V1(fx_ingest_candles_of_json);
PG_FUNCTION_INFO_V1(fx_has_partition);
PG_FUNCTION_INFO_V1(fx_forget_partitions);

static void read_values(ArrayType *array, Batch *batch);
static void read_json(Jsonb *json, Batch *batch);
static void reject(Batch *batch, StringInfo faults, Datum row, bool isnull, Oid type);
static Datum store(FunctionCallInfo fcinfo, Batch *batch, bool json);
static void name_instruments(Batch *batch);
static void sort_candles(Batch *batch);
static int	compare_keys(const void *a, const void *b);
static int	compare_symbols(const void *a, const void *b);
static int	compare_rounds(const void *a, const void *b);
static void make_months(const Batch *batch);
static int	compare_dates(const void *a, const void *b);
static DateADT month_of(TimestampTz at, TimestampTz *next);
static bool partition_exists(Relation parent, TimestampTz at);
static void merge(Batch *batch, const FxCandle *candles, uint32 count);
static bool begins_off_market(const FxCandle *candle);
static SPIPlanPtr prepared(IngestQuery query, int nargs, Oid *types);
static void execute(IngestQuery query, int nargs, Oid *types, Datum *values, int expected);

/*
 * ingest_candles(candles fx.candle[]) returns record
 */
Datum
fx_ingest_candles(PG_FUNCTION_ARGS)
{
	Batch		batch = {0};

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("argument \"%s\" must not be null", "candles"));
	read_values(PG_GETARG_ARRAYTYPE_P(0), &batch);
	return store(fcinfo, &batch, false);
}

/*
 * ingest_candles(candles jsonb) returns record
 */
Datum
fx_ingest_candles_of_json(PG_FUNCTION_ARGS)
{
	Batch		batch = {0};
	Jsonb	   *json;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("argument \"%s\" must not be null", "candles"));
	json = PG_GETARG_JSONB_P(0);
	if (!JB_ROOT_IS_ARRAY(json) || JB_ROOT_IS_SCALAR(json))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("argument \"%s\" must be a JSON array", "candles"));
	read_json(json, &batch);
	return store(fcinfo, &batch, true);
}

/*
 * has_partition(parent regclass, at timestamptz) returns boolean
 */
Datum
fx_has_partition(PG_FUNCTION_ARGS)
{
	Relation	parent = try_table_open(PG_GETARG_OID(0), AccessShareLock);
	bool		result;

	if (parent == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation with OID %u does not exist", PG_GETARG_OID(0)));
	if (parent->rd_rel->relkind != RELKIND_PARTITIONED_TABLE ||
		RelationGetPartitionKey(parent)->strategy != PARTITION_STRATEGY_RANGE ||
		RelationGetPartitionKey(parent)->partnatts != 1 ||
		RelationGetPartitionKey(parent)->parttypid[0] != TIMESTAMPTZOID)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("table \"%s\" is not partitioned by ranges of a timestamp",
					   RelationGetRelationName(parent)));
	result = partition_exists(parent, PG_GETARG_TIMESTAMPTZ(1));
	table_close(parent, AccessShareLock);
	PG_RETURN_BOOL(result);
}

/*
 * forget_partitions(parent regclass) returns void
 *
 * ATTACH PARTITION waits for nobody who writes to the table.  Its message that
 * the table has changed can come while a session works out what partitions
 * there are: what there was before is then kept, and rows of the new month are
 * refused, until the table changes again.
 */
Datum
fx_forget_partitions(PG_FUNCTION_ARGS)
{
	RelationCacheInvalidateEntry(PG_GETARG_OID(0));
	PG_RETURN_VOID();
}

static void
read_values(ArrayType *array, Batch *batch)
{
	Oid			type = ARR_ELEMTYPE(array);
	TimestampTz latest = GetCurrentTimestamp() + USECS_PER_DAY;
	TupleDesc	tupdesc = lookup_rowtype_tupdesc(type, -1);
	StringInfoData faults = {0};
	Datum	   *rows;
	bool	   *row_nulls;
	int			count;

	if (tupdesc->natts != FX_CANDLE_FIELDS)
		elog(ERROR, "type fx.candle has %d attributes", tupdesc->natts);

	deconstruct_array(array, type, -1, false, TYPALIGN_DOUBLE, &rows, &row_nulls, &count);
	batch->candles = palloc_extended(Max(count, 1) * sizeof(FxCandle), MCXT_ALLOC_HUGE);
	for (int i = 0; i < count; i++)
	{
		FxCandle   *candle = &batch->candles[batch->count];

		CHECK_FOR_INTERRUPTS();
		if (row_nulls[i])
		{
			if (faults.data == NULL)
				initStringInfo(&faults);
			appendStringInfoString(&faults, "candle is null");
		}
		else
		{
			HeapTupleHeader header = DatumGetHeapTupleHeader(rows[i]);
			HeapTupleData tuple;
			Datum		values[FX_CANDLE_FIELDS];
			bool		nulls[FX_CANDLE_FIELDS];

			tuple.t_len = HeapTupleHeaderGetDatumLength(header);
			ItemPointerSetInvalid(&tuple.t_self);
			tuple.t_tableOid = InvalidOid;
			tuple.t_data = header;
			heap_deform_tuple(&tuple, tupdesc, values, nulls);
			fx_candle_from_values(values, nulls, latest, candle, &faults);
		}

		if (unlikely(faults.len > 0))
		{
			reject(batch, &faults, rows[i], row_nulls[i], type);
			continue;
		}
		candle->position = i;
		batch->count++;
	}
	ReleaseTupleDesc(tupdesc);
}

static void
read_json(Jsonb *json, Batch *batch)
{
	TimestampTz latest = GetCurrentTimestamp() + USECS_PER_DAY;
	StringInfoData faults = {0};
	JsonbIterator *iterator = JsonbIteratorInit(&json->root);
	JsonbValue	element;
	uint32		position = 0;

	batch->candles = palloc_extended(Max(JB_ROOT_COUNT(json), 1) * sizeof(FxCandle),
									 MCXT_ALLOC_HUGE);
	(void) JsonbIteratorNext(&iterator, &element, false);
	while (JsonbIteratorNext(&iterator, &element, true) == WJB_ELEM)
	{
		FxCandle   *candle = &batch->candles[batch->count];

		CHECK_FOR_INTERRUPTS();
		fx_candle_from_json(&element, latest, candle, &faults);
		if (unlikely(faults.len > 0))
		{
			reject(batch, &faults, JsonbPGetDatum(JsonbValueToJsonb(&element)), false, JSONBOID);
			continue;
		}
		candle->position = position++;
		batch->count++;
	}
}

/*
 * Gather a faulty row, and be ready for the next.
 */
static void
reject(Batch *batch, StringInfo faults, Datum row, bool isnull, Oid type)
{
	batch->reasons = accumArrayResult(batch->reasons,
									  PointerGetDatum(cstring_to_text_with_len(faults->data, faults->len)),
									  false, TEXTOID, CurrentMemoryContext);
	batch->rejects = accumArrayResult(batch->rejects, row, isnull, type, CurrentMemoryContext);
	batch->rejected++;
	resetStringInfo(faults);
}

/*
 * Write what was read, and return the counts.
 */
static Datum
store(FunctionCallInfo fcinfo, Batch *batch, bool json)
{
	TupleDesc	tupdesc;
	Datum		values[5];
	bool		nulls[5] = {0};
	FxCandle   *end = batch->candles + batch->count;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	/* the memory of SPI goes at its end, that of the batch is the caller's */
	SPI_connect();

	if (batch->count > 0)
	{
		name_instruments(batch);
		sort_candles(batch);
		make_months(batch);
		for (FxCandle *first = batch->candles; first < end;)
		{
			FxCandle   *last = first;

			CHECK_FOR_INTERRUPTS();
			while (last < end && last->occurrence == first->occurrence)
				last++;
			merge(batch, first, (uint32) (last - first));
			first = last;
		}
		for (FxCandle *candle = batch->candles; candle < end; candle++)
			batch->off_market += begins_off_market(candle);
	}

	if (batch->rejected > 0)
	{
		Oid			row_type = batch->rejects->element_type;
		Oid			types[] = {TEXTARRAYOID, get_array_type(row_type)};
		Datum		args[2];

		args[0] = makeArrayResult(batch->reasons, CurrentMemoryContext);
		args[1] = makeArrayResult(batch->rejects, CurrentMemoryContext);
		execute(json ? QUERY_REJECT_JSON : QUERY_REJECT_VALUES, 2, types, args, SPI_OK_INSERT);
	}

	SPI_finish();

	values[0] = Int64GetDatum(batch->inserted);
	values[1] = Int64GetDatum(batch->updated);
	values[2] = Int64GetDatum(batch->unchanged);
	values[3] = Int64GetDatum(batch->rejected);
	values[4] = Int64GetDatum(batch->off_market);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls));
}

/*
 * Replace symbols that mean an instrument in another spelling by the
 * instrument's own.
 */
static void
name_instruments(Batch *batch)
{
	Oid			types[] = {TEXTARRAYOID};
	const FxCandle **sorted = MemoryContextAllocHuge(CurrentMemoryContext,
													 batch->count * sizeof(FxCandle *));
	ArrayBuildState *symbols = NULL;
	Datum		args[1];
	uint32		first = 0;
	uint64		row = 0;

	for (uint32 i = 0; i < batch->count; i++)
		sorted[i] = &batch->candles[i];
	/* usually there are few, and those of one symbol stand together */
	qsort(sorted, batch->count, sizeof(FxCandle *), compare_symbols);

	for (uint32 i = 0; i < batch->count; i++)
	{
		if (i > 0 && compare_symbols(&sorted[i - 1], &sorted[i]) == 0)
			continue;
		symbols = accumArrayResult(symbols,
								   PointerGetDatum(cstring_to_text_with_len(sorted[i]->symbol,
																			sorted[i]->symbol_len)),
								   false, TEXTOID, CurrentMemoryContext);
	}
	args[0] = makeArrayResult(symbols, CurrentMemoryContext);
	execute(QUERY_INSTRUMENT_SYMBOLS, 1, types, args, SPI_OK_SELECT);

	while (first < batch->count)
	{
		uint32		next = first + 1;
		char	   *symbol;

		while (next < batch->count && compare_symbols(&sorted[first], &sorted[next]) == 0)
			next++;
		symbol = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1);
		row++;

		/* a column that was widened holds what the candles' does not */
		if (symbol != NULL && pg_mbstrlen(symbol) > SYMBOL_CHARS)
			ereport(ERROR,
					errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
					errmsg("symbol of an instrument has more than %d characters", SYMBOL_CHARS),
					errdetail("The candles of \"%.*s\" are stored under it.",
							  sorted[first]->symbol_len, sorted[first]->symbol));
		for (uint32 i = first; symbol != NULL && i < next; i++)
		{
			FxCandle   *candle = unconstify(FxCandle *, sorted[i]);

			candle->symbol = symbol;
			candle->symbol_len = strlen(symbol);
		}
		first = next;
	}
}

/*
 * Sort by key, number the rows of each key, and put the first ones of all keys
 * before the second ones.
 */
static void
sort_candles(Batch *batch)
{
	FxCandle   *candles = batch->candles;
	uint32		repeated = 0;

	/* most come sorted, so look before sorting */
	for (uint32 i = 1; i < batch->count; i++)
	{
		if (compare_keys(&candles[i - 1], &candles[i]) > 0)
		{
			qsort(candles, batch->count, sizeof(FxCandle), compare_keys);
			break;
		}
	}

	candles[0].occurrence = 0;
	for (uint32 i = 1; i < batch->count; i++)
	{
		FxCandle   *before = &candles[i - 1];
		FxCandle   *candle = &candles[i];
		bool		same = before->at == candle->at && before->timeframe == candle->timeframe &&
			compare_symbols(&before, &candle) == 0;

		candle->occurrence = same ? before->occurrence + 1 : 0;
		repeated += same;
	}
	if (repeated > 0)
		qsort(candles, batch->count, sizeof(FxCandle), compare_rounds);
}

static int
compare_symbols(const void *a, const void *b)
{
	const FxCandle *x = *(const FxCandle *const *) a;
	const FxCandle *y = *(const FxCandle *const *) b;
	int			order;

	if (x->symbol == y->symbol && x->symbol_len == y->symbol_len)
		return 0;
	order = memcmp(x->symbol, y->symbol, Min(x->symbol_len, y->symbol_len));
	return order != 0 ? order : x->symbol_len - y->symbol_len;
}

static int
compare_keys(const void *a, const void *b)
{
	const FxCandle *x = a;
	const FxCandle *y = b;
	int			order = compare_symbols(&x, &y);

	if (order != 0)
		return order;
	if (x->timeframe != y->timeframe)
		return x->timeframe < y->timeframe ? -1 : 1;
	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->position < y->position ? -1 : x->position > y->position;
}

static int
compare_rounds(const void *a, const void *b)
{
	const FxCandle *x = a;
	const FxCandle *y = b;

	if (x->occurrence != y->occurrence)
		return x->occurrence < y->occurrence ? -1 : 1;
	return compare_keys(a, b);
}

/*
 * Make the partitions that are missing.
 */
static void
make_months(const Batch *batch)
{
	Oid			types[] = {DATEARRAYOID};
	Relation	parent = table_open(get_relname_relid("market_data", get_namespace_oid("fx", false)),
									RowExclusiveLock);
	DateADT    *months = MemoryContextAllocHuge(CurrentMemoryContext, batch->count * sizeof(DateADT));
	ArrayBuildState *missing = NULL;
	TimestampTz since = DT_NOEND;
	TimestampTz until = DT_NOBEGIN;
	int			count = 0;
	Datum		args[1];

	for (uint32 i = 0; i < batch->count; i++)
	{
		TimestampTz at = batch->candles[i].at;

		if (at >= since && at < until)
			continue;
		months[count] = month_of(at, &until);
		since = months[count] * USECS_PER_DAY;
		count++;
	}
	qsort(months, count, sizeof(DateADT), compare_dates);
	for (int i = 0; i < count; i++)
	{
		if ((i == 0 || months[i] != months[i - 1]) &&
			!partition_exists(parent, months[i] * USECS_PER_DAY))
			missing = accumArrayResult(missing, DateADTGetDatum(months[i]), false, DATEOID,
									   CurrentMemoryContext);
	}
	table_close(parent, NoLock);

	if (missing != NULL)
	{
		args[0] = makeArrayResult(missing, CurrentMemoryContext);
		execute(QUERY_MAKE_MONTHS, 1, types, args, SPI_OK_SELECT);
	}
}

static int
compare_dates(const void *a, const void *b)
{
	DateADT		x = *(const DateADT *) a;
	DateADT		y = *(const DateADT *) b;

	return x < y ? -1 : x > y;
}

/*
 * The first day of the month of UTC, and when the next month begins.
 */
static DateADT
month_of(TimestampTz at, TimestampTz *next)
{
	int64		days = at / USECS_PER_DAY - (at % USECS_PER_DAY < 0);
	int			year;
	int			month;
	int			day;

	j2date((int) days + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	*next = (date2j(month == 12 ? year + 1 : year, month % 12 + 1, 1) - POSTGRES_EPOCH_JDATE) *
		USECS_PER_DAY;
	return date2j(year, month, 1) - POSTGRES_EPOCH_JDATE;
}

/*
 * Is there a partition for this time, whatever it is called?  As
 * get_partition_for_tuple() of execPartition.c finds it.
 */
static bool
partition_exists(Relation parent, TimestampTz at)
{
	PartitionKey key = RelationGetPartitionKey(parent);
	PartitionDesc partdesc = RelationGetPartitionDesc(parent, true);
	PartitionBoundInfo bounds = partdesc->boundinfo;
	Datum		value = TimestampTzGetDatum(at);
	bool		equal;
	int			offset;

	if (partdesc->nparts == 0)
		return false;
	offset = partition_range_datum_bsearch(key->partsupfunc, key->partcollation, bounds, 1,
										   &value, &equal);
	return bounds->indexes[offset + 1] >= 0 || partition_bound_has_default(bounds);
}

/*
 * Merge rows with different keys, in the order of their keys.
 */
static void
merge(Batch *batch, const FxCandle *candles, uint32 count)
{
	static TupleDesc tupdesc = NULL;
	EphemeralNamedRelationData incoming = {0};
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	SPIPlanPtr	plan;
	char		symbol[VARHDRSZ + SYMBOL_CHARS * MAX_MULTIBYTE_CHAR_LEN];
	char		timeframe[VARHDRSZ + NAMEDATALEN];
	char		prices[4][FX_FIXED_NUMERIC_SIZE] pg_attribute_aligned(MAXIMUM_ALIGNOF);
	Datum		values[INCOMING_COLUMNS];
	bool		nulls[INCOMING_COLUMNS] = {0};
	TimestampTz now = GetCurrentTimestamp();

	if (tupdesc == NULL)
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(TopMemoryContext);
		TupleDesc	made = CreateTemplateTupleDesc(INCOMING_COLUMNS);

		TupleDescInitEntry(made, 1, "symbol", VARCHAROID, SYMBOL_TYPMOD, 0);
		TupleDescInitEntry(made, 2, "timeframe", VARCHAROID, TIMEFRAME_TYPMOD, 0);
		TupleDescInitEntry(made, 3, "timestamp", TIMESTAMPTZOID, -1, 0);
		TupleDescInitEntry(made, 4, "open_price", NUMERICOID, PRICE_TYPMOD, 0);
		TupleDescInitEntry(made, 5, "high_price", NUMERICOID, PRICE_TYPMOD, 0);
		TupleDescInitEntry(made, 6, "low_price", NUMERICOID, PRICE_TYPMOD, 0);
		TupleDescInitEntry(made, 7, "close_price", NUMERICOID, PRICE_TYPMOD, 0);
		TupleDescInitEntry(made, 8, "volume", INT8OID, -1, 0);
		TupleDescInitEntry(made, 9, "created_at", TIMESTAMPTZOID, -1, 0);
		tupdesc = made;
		MemoryContextSwitchTo(oldcontext);
	}

	values[FX_CANDLE_SYMBOL] = PointerGetDatum(symbol);
	values[FX_CANDLE_TIMEFRAME] = PointerGetDatum(timeframe);
	for (int i = 0; i < lengthof(prices); i++)
		values[FX_CANDLE_OPEN + i] = PointerGetDatum(prices[i]);
	values[FX_CANDLE_FIELDS] = TimestampTzGetDatum(now);

	for (uint32 i = 0; i < count; i++)
	{
		const FxCandle *candle = &candles[i];
		const char *name = fx_timeframe_name(candle->timeframe);
		int			len = strlen(name);

		SET_VARSIZE(symbol, VARHDRSZ + candle->symbol_len);
		memcpy(VARDATA(symbol), candle->symbol, candle->symbol_len);
		SET_VARSIZE(timeframe, VARHDRSZ + len);
		memcpy(VARDATA(timeframe), name, len);
		values[FX_CANDLE_TIMESTAMP] = TimestampTzGetDatum(candle->at);
		for (int j = 0; j < lengthof(prices); j++)
			fx_fixed_write_numeric(candle->prices[j], false, prices[j]);
		values[FX_CANDLE_VOLUME] = Int64GetDatum(candle->volume);
		tuplestore_putvalues(rows, tupdesc, values, nulls);
	}

	incoming.md.name = INCOMING;
	incoming.md.tupdesc = tupdesc;
	incoming.md.enrtype = ENR_NAMED_TUPLESTORE;
	incoming.md.enrtuples = count;
	incoming.reldata = rows;
	if (SPI_register_relation(&incoming) != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation failed");

	plan = prepared(QUERY_MERGE, 0, NULL);
	if (SPI_execute_plan(plan, NULL, NULL, false, 0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not merge candles");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		created_at = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull && DatumGetTimestampTz(created_at) == now)
			batch->inserted++;
		else
			batch->updated++;
	}
	batch->unchanged += count - SPI_processed;

	SPI_freetuptable(SPI_tuptable);
	SPI_unregister_relation(INCOMING);
	tuplestore_end(rows);
}

/*
 * Does the candle begin between Friday and Sunday 17:00 New York?  The first
 * one of a month may, and weekly ones are often dated to the day before.
 */
static bool
begins_off_market(const FxCandle *candle)
{
	int			weekday;

	if (candle->timeframe > FX_TF_1D)
		return false;

	/* day zero was a Saturday */
	weekday = fx_day_of(candle->at) % 7;
	if (weekday < 0)
		weekday += 7;
	return weekday <= 1;
}

/*
 * The plan of a query, kept for the session.
 */
static SPIPlanPtr
prepared(IngestQuery query, int nargs, Oid *types)
{
	static SPIPlanPtr plans[lengthof(queries)];

	/* fx.candle is another type when the extension was created again */
	for (int i = 0; plans[query] != NULL && i < nargs; i++)
	{
		if (SPI_getargtypeid(plans[query], i) != types[i])
		{
			SPI_freeplan(plans[query]);
			plans[query] = NULL;
		}
	}
	if (plans[query] == NULL)
		plans[query] = fx_kept_plan(queries[query], nargs, types);
	return plans[query];
}

static void
execute(IngestQuery query, int nargs, Oid *types, Datum *values, int expected)
{
	int			result = SPI_execute_plan(prepared(query, nargs, types), values, NULL, false, 0);

	if (result != expected)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(result));
}
