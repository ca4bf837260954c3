/*-------------------------------------------------------------------------
 *
 * candle_changes.c
 *	  The trigger that notes which candles were written
 *
 * Roll-ups of an FX day are worked out again when a candle of that day was
 * written.  The day is noted as a row of fx.candle_changes, in the transaction
 * of the write, so that both become visible together: a reader finds either
 * the old candles and the old roll-up, or the new candles and the note.
 *
 * One note a transaction is enough for a symbol, timeframe and day.  What was
 * noted is remembered in memory, with the subtransaction that did it: when
 * that is rolled back its rows are gone, and so must be the memory of them.
 * The row before is compared first, because candles come sorted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "fx_day.h"
#include "fxplatform.h"
#include "kept_plan.h"
#include "prices.h"
#include "relcache.h"

#define TRIGGER_NAME		"note_candle_change"

/* Room for VARCHAR(20) and VARCHAR(10) in any encoding; what is longer is noted each time */
#define SYMBOL_BYTES		80
#define TIMEFRAME_BYTES		40

typedef struct Series
{
	uint8		symbol_len;
	uint8		timeframe_len;
	char		symbol[SYMBOL_BYTES];
	char		timeframe[TIMEFRAME_BYTES];
} Series;

typedef struct NoteKey
{
	Series		series;			/* zeroed beyond the lengths */
	DateADT		day;
} NoteKey;

typedef struct Note
{
	NoteKey		key;			/* hash key, must be first */
	SubTransactionId subid;		/* who inserted the row */
	dlist_node	node;			/* in the order of insertion */
} Note;

/* A candle's key, in the tuple's memory */
typedef struct CandleKey
{
	text	   *symbol;
	text	   *timeframe;
	TimestampTz at;
} CandleKey;

/* Where the columns are, for the relation seen last */
static struct
{
	Oid			relid;
	AttrNumber	symbol;
	AttrNumber	timeframe;
	AttrNumber	timestamp;
}			columns;

/* What was noted in this transaction; NULL at its beginning */
static HTAB *notes = NULL;

/* The same, the newest last: those of a subtransaction lie together at the end */
static dlist_head notes_in_order = DLIST_STATIC_INIT(notes_in_order);

/* The note found last: its series, and the times of its day */
static Series last_series;
static TimestampTz last_since;
static TimestampTz last_until = DT_NOBEGIN; /* no note: no time is before it */

static SPIPlanPtr insert_plan = NULL;

PG_FUNCTION_INFO_V1(fx_note_candle_change);
PG_FUNCTION_INFO_V1(fx_forget_noted_changes);

static void find_columns(Relation rel);
static AttrNumber find_column(TupleDesc tupdesc, Relation rel, const char *name, bool is_time);
static void note_row(TriggerData *trigdata, TupleTableSlot *slot);
static bool is_last(const CandleKey *candle);
static void note(const CandleKey *candle);
static void insert_note(const CandleKey *candle, DateADT day);
static void forget_all(void);
static void register_callbacks(void);
static void xact_callback(XactEvent event, void *arg);
static void subxact_callback(SubXactEvent event, SubTransactionId subid,
							 SubTransactionId parent_subid, void *arg);
static void relcache_callback(Oid relid);

/*
 * note_candle_change() returns trigger
 *
 * To be fired after insert, update or delete for each row, on a table with the
 * columns "symbol", "timeframe" and "timestamp" of fx.market_data.
 */
Datum
fx_note_candle_change(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" was not called by trigger manager", TRIGGER_NAME));

	if (!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" must be fired AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW",
					   TRIGGER_NAME));

	if (unlikely(columns.relid != RelationGetRelid(trigdata->tg_relation)))
		find_columns(trigdata->tg_relation);

	fx_prices_changed();
	note_row(trigdata, trigdata->tg_trigslot);
	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		note_row(trigdata, trigdata->tg_newslot);

	return PointerGetDatum(NULL);
}

/*
 * forget_noted_changes() returns void
 */
Datum
fx_forget_noted_changes(PG_FUNCTION_ARGS)
{
	forget_all();
	PG_RETURN_VOID();
}

/*
 * Look up the columns of a partition: their numbers may differ from those of
 * its parent.
 */
static void
find_columns(Relation rel)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);

	register_callbacks();

	columns.relid = InvalidOid;
	columns.symbol = find_column(tupdesc, rel, "symbol", false);
	columns.timeframe = find_column(tupdesc, rel, "timeframe", false);
	columns.timestamp = find_column(tupdesc, rel, "timestamp", true);
	columns.relid = RelationGetRelid(rel);
}

static AttrNumber
find_column(TupleDesc tupdesc, Relation rel, const char *name, bool is_time)
{
	int			attnum = SPI_fnumber(tupdesc, name);
	Oid			type = attnum > 0 ? TupleDescAttr(tupdesc, attnum - 1)->atttypid : InvalidOid;

	if (is_time ? type != TIMESTAMPTZOID : (type != VARCHAROID && type != TEXTOID))
		fx_raise_no_column(rel, name, is_time ? TIMESTAMPTZOID : VARCHAROID);
	return attnum;
}

static void
note_row(TriggerData *trigdata, TupleTableSlot *slot)
{
	CandleKey	candle;
	bool		nulls[3];

	candle.symbol = (text *) DatumGetPointer(slot_getattr(slot, columns.symbol, &nulls[0]));
	candle.timeframe = (text *) DatumGetPointer(slot_getattr(slot, columns.timeframe, &nulls[1]));
	candle.at = DatumGetTimestampTz(slot_getattr(slot, columns.timestamp, &nulls[2]));

	/* such a row cannot become part of a roll-up */
	if (unlikely(nulls[0] || nulls[1] || nulls[2] || TIMESTAMP_NOT_FINITE(candle.at)))
		return;

	/* a key is too short to be toasted, but a table of somebody else's may be odd */
	candle.symbol = (text *) pg_detoast_datum_packed((struct varlena *) candle.symbol);
	candle.timeframe = (text *) pg_detoast_datum_packed((struct varlena *) candle.timeframe);

	if (!is_last(&candle))
		note(&candle);
}

/*
 * Is the candle of the series and the day of the one before?
 */
static inline bool
is_last(const CandleKey *candle)
{
	return candle->at < last_until && candle->at >= last_since &&
		VARSIZE_ANY_EXHDR(candle->symbol) == last_series.symbol_len &&
		memcmp(VARDATA_ANY(candle->symbol), last_series.symbol, last_series.symbol_len) == 0 &&
		VARSIZE_ANY_EXHDR(candle->timeframe) == last_series.timeframe_len &&
		memcmp(VARDATA_ANY(candle->timeframe), last_series.timeframe, last_series.timeframe_len) == 0;
}

/*
 * Note the candle's day, unless this transaction has done so.
 */
static void
note(const CandleKey *candle)
{
	Size		symbol_len = VARSIZE_ANY_EXHDR(candle->symbol);
	Size		timeframe_len = VARSIZE_ANY_EXHDR(candle->timeframe);
	DateADT		day = fx_day_of(candle->at);
	NoteKey		key;
	Note	   *entry;
	bool		found;

	if (symbol_len > SYMBOL_BYTES || timeframe_len > TIMEFRAME_BYTES)
	{
		insert_note(candle, day);
		return;
	}

	if (notes == NULL)
	{
		HASHCTL		ctl = {0};

		register_callbacks();
		ctl.keysize = sizeof(NoteKey);
		ctl.entrysize = sizeof(Note);
		ctl.hcxt = TopTransactionContext;
		notes = hash_create("noted changes of candles", 256, &ctl,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}

	memset(&key, 0, sizeof(key));
	key.series.symbol_len = (uint8) symbol_len;
	key.series.timeframe_len = (uint8) timeframe_len;
	memcpy(key.series.symbol, VARDATA_ANY(candle->symbol), symbol_len);
	memcpy(key.series.timeframe, VARDATA_ANY(candle->timeframe), timeframe_len);
	key.day = day;

	/* remembered only after the row is there: the insertion may fail */
	if (hash_search(notes, &key, HASH_FIND, NULL) == NULL)
	{
		insert_note(candle, day);
		entry = hash_search(notes, &key, HASH_ENTER, &found);
		entry->subid = GetCurrentSubTransactionId();
		dlist_push_tail(&notes_in_order, &entry->node);
	}

	last_series = key.series;
	last_since = fx_day_start(day);
	last_until = fx_day_start(day + 1);
}

/*
 * Insert the row with the rights of the table's owner, as foreign keys do:
 * whoever writes candles need not be able to write notes.
 */
static void
insert_note(const CandleKey *candle, DateADT day)
{
	Oid			save_userid;
	int			save_sec_context;
	Datum		values[3];

	fx_act_as_owner(fx_require_table("candle_changes"), &save_userid, &save_sec_context);
	SPI_connect();

	if (insert_plan == NULL)
	{
		Oid			types[3] = {TEXTOID, TEXTOID, DATEOID};

		insert_plan = fx_kept_plan("INSERT INTO fx.candle_changes (symbol, timeframe, day)"
								   " VALUES ($1, $2, $3)", 3, types);
	}

	values[0] = PointerGetDatum(candle->symbol);
	values[1] = PointerGetDatum(candle->timeframe);
	values[2] = DateADTGetDatum(day);
	if (SPI_execute_plan(insert_plan, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not note a change of candles");

	SPI_finish();
	fx_act_as_before(save_userid, save_sec_context);
}

/*
 * The memory of the notes goes with the transaction.
 */
static void
forget_all(void)
{
	notes = NULL;
	dlist_init(&notes_in_order);
	last_until = DT_NOBEGIN;
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
	fx_relcache_register(relcache_callback);
	registered = true;
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			forget_all();
			break;
		default:
			break;
	}
}

/*
 * Notes pass to the parent when a subtransaction commits, and are gone when it
 * is rolled back.
 */
static void
subxact_callback(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent_subid, void *arg)
{
	dlist_node *node;

	if (dlist_is_empty(&notes_in_order))
		return;

	switch (event)
	{
		case SUBXACT_EVENT_COMMIT_SUB:
			for (node = dlist_tail_node(&notes_in_order);;
				 node = dlist_prev_node(&notes_in_order, node))
			{
				Note	   *entry = dlist_container(Note, node, node);

				if (entry->subid != subid)
					break;
				entry->subid = parent_subid;
				if (!dlist_has_prev(&notes_in_order, node))
					break;
			}
			break;

		case SUBXACT_EVENT_ABORT_SUB:
			while (!dlist_is_empty(&notes_in_order))
			{
				Note	   *entry = dlist_tail_element(Note, node, &notes_in_order);

				if (entry->subid != subid)
					break;
				dlist_delete(&entry->node);
				hash_search(notes, &entry->key, HASH_REMOVE, NULL);
			}
			last_until = DT_NOBEGIN;
			break;

		default:
			break;
	}
}

static void
relcache_callback(Oid relid)
{
	if (relid == InvalidOid || relid == columns.relid)
		columns.relid = InvalidOid;
}
