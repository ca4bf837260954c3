/*-------------------------------------------------------------------------
 *
 * trade_queue.c
 *	  Open trades of a position, the oldest first
 *
 * An execution closes trades of the other side.  They are read from the index
 * of open trades one by one, as many as it takes: a user may have a million.
 * What the statement took from a trade is remembered in a ticket until it is
 * written at its end; trades that the statement itself has opened meanwhile
 * come from a heap.  Rows of the statement whose turn has not come are in the
 * table already, but not in the books, and are passed over.
 *
 * Trades are locked when their turn comes.  One that another transaction has
 * locked is passed over first: it may wait for the account that we hold.  Only
 * when the others do not suffice is it waited for.
 *
 * The account is locked before, so that nobody else books trades of the user.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "trades.h"

#define OPEN_INDEX			"idx_trades_open"

/* Its columns */
#define OPEN_INDEX_USER		1
#define OPEN_INDEX_SYMBOL	2

/* Trades of one spelling of the symbol, in order */
typedef struct Stream
{
	IndexScanDesc scan;
	FxTicket   *head;			/* NULL at the end */
} Stream;

struct FxTradeQueue
{
	FxTradeQueue *next;
	char		symbol[FX_SYMBOL_SIZE];
	FxSide		side;
	pairingheap *opened;		/* tickets of trades that the statement opened */
	int			nstreams;
	Stream	   *streams;
	TupleTableSlot *slot;		/* for rows of the scans */
	List	   *passed_over;	/* tickets locked by somebody else */
};

static FxTradeQueue *get_queue(FxTradeWork *work, FxBooks *books, const char *symbol, FxSide side);
static FxTicket *find_oldest(FxTradeWork *work, FxTradeQueue *queue, Stream **from);
static FxTradeQueue *open_queue(FxTradeWork *work, FxBooks *books, const char *symbol, FxSide side);
static FxTradeQueue *find_queue(const FxBooks *books, const char *symbol, FxSide side);
static Relation open_index(void);
static List *find_spellings(FxTradeWork *work, Relation index, const pg_uuid_t *user_id,
							const char *symbol);
static void advance(FxTradeWork *work, FxTradeQueue *queue, Stream *stream);
static bool lock_ticket(FxTradeWork *work, FxTicket *ticket, bool wait);
static int	compare_tickets(const FxTicket *a, const FxTicket *b);
static int	compare_nodes(const pairingheap_node *a, const pairingheap_node *b, void *arg);

/*
 * The snapshot that a statement looks up trades with: it shows what was there
 * when the accounts were locked, and all rows of the statement.
 */
Snapshot
fx_trade_snapshot(FxTradeWork *work)
{
	if (work->snapshot == NULL)
	{
		CommandCounterIncrement();
		work->snapshot = RegisterSnapshot(GetTransactionSnapshot());
		work->slot = table_slot_create(work->trades, NULL);
	}
	return work->snapshot;
}

/*
 * Look up a row by its id.  It stays in the slot of the statement.
 */
bool
fx_trade_fetch(FxTradeWork *work, const pg_uuid_t *id, FxTrade *trade)
{
	Snapshot	snapshot = fx_trade_snapshot(work);
	Oid			index_oid;
	Relation	index;
	IndexScanDesc scan;
	ScanKeyData key;
	bool		found;

	RelationGetIndexList(work->trades);
	index_oid = fx_primary_key_index(work->trades, false);
	if (!OidIsValid(index_oid))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("table \"%s\" has no primary key", RelationGetRelationName(work->trades)));
	index = index_open(index_oid, AccessShareLock);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(id));
	scan = fx_index_beginscan(work->trades, index, snapshot, 1, 0);
	index_rescan(scan, &key, 1, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, work->slot);
	if (found)
	{
		ExecMaterializeSlot(work->slot);
		fx_trade_read(work->slot, &work->columns, trade);
	}
	index_endscan(scan);
	index_close(index, AccessShareLock);
	return found;
}

/*
 * The ticket of a trade.  Where it has none yet, one that says what the row
 * does.
 */
FxTicket *
fx_trade_ticket(FxTradeWork *work, const FxTrade *trade)
{
	FxTicket   *ticket;
	bool		found;

	if (work->tickets == NULL)
	{
		HASHCTL		ctl = {0};

		ctl.keysize = sizeof(pg_uuid_t);
		ctl.entrysize = sizeof(FxTicket);
		ctl.hcxt = work->context;
		work->tickets = hash_create("trades of a statement", 32, &ctl,
									HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	ticket = (FxTicket *) hash_search(work->tickets, &trade->id, HASH_ENTER, &found);
	if (!found)
	{
		memset(ticket, 0, sizeof(*ticket));
		ticket->id = trade->id;
		ticket->user_id = trade->user_id;
		ticket->side = trade->side;
		ticket->executed_at = trade->executed_at;
		ticket->open = trade->open;
		ticket->price = trade->price;
		ticket->net = fx_trade_net(trade);
		ticket->has_result = trade->profit != 0 || trade->has_method;
	}
	return ticket;
}

/*
 * The oldest trade of a side of the position that has units open, locked.
 * NULL when there is none.
 */
FxTicket *
fx_queue_oldest(FxTradeWork *work, FxBooks *books, const char *symbol, FxSide side)
{
	FxTradeQueue *queue = get_queue(work, books, symbol, side);
	FxTicket   *oldest;
	Stream	   *stream;

	while ((oldest = find_oldest(work, queue, &stream)) != NULL)
	{
		if (oldest->locked || lock_ticket(work, oldest, false))
		{
			if (oldest->open > 0)
				return oldest;
		}
		else
		{
			MemoryContext old_context = MemoryContextSwitchTo(work->context);

			queue->passed_over = lappend(queue->passed_over, oldest);
			MemoryContextSwitchTo(old_context);
			advance(work, queue, stream);
		}
	}

	while (queue->passed_over != NIL)
	{
		oldest = (FxTicket *) linitial(queue->passed_over);
		if (!oldest->locked && !lock_ticket(work, oldest, true))
			oldest->open = 0;
		if (oldest->open > 0)
			return oldest;
		queue->passed_over = list_delete_first(queue->passed_over);
	}
	return NULL;
}

/*
 * The same without a lock: it may only be looked at.
 */
const FxTicket *
fx_queue_peek(FxTradeWork *work, FxBooks *books, const char *symbol, FxSide side)
{
	Stream	   *stream;

	return find_oldest(work, get_queue(work, books, symbol, side), &stream);
}

/*
 * A row of the statement has opened units.  Where trades of its side are being
 * closed it joins them; else it will be read from the table with the others.
 */
void
fx_queue_opened(FxTradeWork *work, FxBooks *books, const FxTrade *trade, int128 open)
{
	FxTradeQueue *queue = find_queue(books, trade->symbol, trade->side);
	FxTicket   *ticket;

	if (queue == NULL)
		return;
	ticket = fx_trade_ticket(work, trade);
	ticket->open = open;
	ticket->locked = true;		/* this transaction wrote it */
	if (!ticket->queued)
	{
		ticket->queued = true;
		pairingheap_add(queue->opened, &ticket->node);
	}
}

void
fx_queue_end_all(FxBooks *books)
{
	for (FxTradeQueue *queue = books->queues; queue != NULL; queue = queue->next)
	{
		for (int i = 0; i < queue->nstreams; i++)
		{
			Relation	index = queue->streams[i].scan->indexRelation;

			index_endscan(queue->streams[i].scan);
			index_close(index, NoLock);
		}
		ExecDropSingleTupleTableSlot(queue->slot);
	}
	books->queues = NULL;
}

static FxTradeQueue *
get_queue(FxTradeWork *work, FxBooks *books, const char *symbol, FxSide side)
{
	FxTradeQueue *queue = find_queue(books, symbol, side);

	return queue != NULL ? queue : open_queue(work, books, symbol, side);
}

/*
 * The oldest that nobody else has locked, as far as is known, and the stream
 * that it comes from; NULL for one that the statement opened.
 */
static FxTicket *
find_oldest(FxTradeWork *work, FxTradeQueue *queue, Stream **from)
{
	for (;;)
	{
		FxTicket   *oldest = NULL;
		Stream	   *stream = NULL;

		if (!pairingheap_is_empty(queue->opened))
			oldest = pairingheap_container(FxTicket, node, pairingheap_first(queue->opened));
		for (int i = 0; i < queue->nstreams; i++)
		{
			FxTicket   *head = queue->streams[i].head;

			if (head != NULL && (oldest == NULL || compare_tickets(head, oldest) < 0))
			{
				oldest = head;
				stream = &queue->streams[i];
			}
		}
		*from = stream;
		if (oldest == NULL || oldest->open > 0)
			return oldest;

		if (stream != NULL)
			advance(work, queue, stream);
		else
		{
			pairingheap_remove_first(queue->opened);
			oldest->queued = false;
		}
	}
}

static FxTradeQueue *
find_queue(const FxBooks *books, const char *symbol, FxSide side)
{
	FxTradeQueue *queue = books->queues;

	while (queue != NULL && (queue->side != side || strcmp(queue->symbol, symbol) != 0))
		queue = queue->next;
	return queue;
}

static FxTradeQueue *
open_queue(FxTradeWork *work, FxBooks *books, const char *symbol, FxSide side)
{
	MemoryContext old_context = MemoryContextSwitchTo(work->context);
	FxTradeQueue *queue = (FxTradeQueue *) palloc0(sizeof(FxTradeQueue));
	Snapshot	snapshot = fx_trade_snapshot(work);
	Relation	index = open_index();
	List	   *spellings;
	ListCell   *cell;

	strlcpy(queue->symbol, symbol, sizeof(queue->symbol));
	queue->side = side;
	queue->opened = pairingheap_allocate(compare_nodes, NULL);
	queue->slot = table_slot_create(work->trades, NULL);

	spellings = find_spellings(work, index, &books->user_id, symbol);
	queue->streams = (Stream *) palloc0(Max(list_length(spellings), 1) * sizeof(Stream));
	foreach(cell, spellings)
	{
		Stream	   *stream = &queue->streams[queue->nstreams++];
		ScanKeyData keys[2];

		/* each scan has the index open for itself */
		ScanKeyInit(&keys[0], OPEN_INDEX_USER, BTEqualStrategyNumber, F_UUID_EQ,
					UUIDPGetDatum(&books->user_id));
		ScanKeyEntryInitialize(&keys[1], 0, OPEN_INDEX_SYMBOL, BTEqualStrategyNumber, InvalidOid,
							   index->rd_indcollation[OPEN_INDEX_SYMBOL - 1], F_TEXTEQ,
							   PointerGetDatum(lfirst(cell)));
		stream->scan = fx_index_beginscan(work->trades, index_open(RelationGetRelid(index), NoLock),
										  snapshot, lengthof(keys), 0);
		index_rescan(stream->scan, keys, lengthof(keys), NULL, 0);
		advance(work, queue, stream);
	}
	index_close(index, NoLock);

	queue->next = books->queues;
	books->queues = queue;
	MemoryContextSwitchTo(old_context);
	return queue;
}

static Relation
open_index(void)
{
	Oid			oid = get_relname_relid(OPEN_INDEX, get_namespace_oid("fx", false));

	if (!OidIsValid(oid))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("index \"fx.%s\" does not exist", OPEN_INDEX),
				errhint("Migration 2024_04_01_risk_engine creates it."));
	return index_open(oid, AccessShareLock);
}

/*
 * The symbols by which open trades of the user mean the instrument: one, as a
 * rule, or EURUSD and EUR/USD.  One descent of the index for each symbol that
 * the user has open trades of.
 */
static List *
find_spellings(FxTradeWork *work, Relation index, const pg_uuid_t *user_id, const char *symbol)
{
	List	   *spellings = NIL;
	Datum		last = (Datum) 0;

	for (;;)
	{
		IndexScanDesc scan;
		ScanKeyData keys[2];
		int			nkeys = 1;
		text	   *spelling;
		char		normal[FX_SYMBOL_SIZE];
		bool		isnull;

		ScanKeyInit(&keys[0], OPEN_INDEX_USER, BTEqualStrategyNumber, F_UUID_EQ,
					UUIDPGetDatum(user_id));
		if (last != (Datum) 0)
		{
			ScanKeyEntryInitialize(&keys[1], 0, OPEN_INDEX_SYMBOL, BTGreaterStrategyNumber,
								   InvalidOid, index->rd_indcollation[OPEN_INDEX_SYMBOL - 1],
								   F_TEXT_GT, last);
			nkeys = 2;
		}
		scan = fx_index_beginscan(work->trades, index, work->snapshot, nkeys, 0);
		scan->xs_want_itup = true;
		index_rescan(scan, keys, nkeys, NULL, 0);
		if (index_getnext_tid(scan, ForwardScanDirection) == NULL)
		{
			index_endscan(scan);
			break;
		}
		spelling = DatumGetTextPCopy(index_getattr(scan->xs_itup, OPEN_INDEX_SYMBOL,
												   scan->xs_itupdesc, &isnull));
		index_endscan(scan);

		last = PointerGetDatum(spelling);
		fx_normalize_symbol(VARDATA_ANY(spelling), VARSIZE_ANY_EXHDR(spelling), normal);
		if (strcmp(normal, symbol) == 0)
			spellings = lappend(spellings, spelling);
	}
	return spellings;
}

/*
 * Go on to the next trade of the side that is in the books.
 */
static void
advance(FxTradeWork *work, FxTradeQueue *queue, Stream *stream)
{
	FxTrade		trade;

	stream->head = NULL;
	while (index_getnext_slot(stream->scan, ForwardScanDirection, queue->slot))
	{
		FxTicket   *ticket;

		CHECK_FOR_INTERRUPTS();
		fx_trade_read(queue->slot, &work->columns, &trade);
		if (trade.side != queue->side || !fx_trade_is_live(&trade) || trade.is_closed)
			continue;
		if (work->is_ahead != NULL && work->is_ahead(work, &trade, queue->slot))
			continue;

		ticket = fx_trade_ticket(work, &trade);
		if (ticket->queued || ticket->open == 0)
			continue;
		ticket->tid = queue->slot->tts_tid;
		stream->head = ticket;
		break;
	}
	ExecClearTuple(queue->slot);
}

/*
 * Lock the row, and take it as it is by now.  False when, without wait,
 * somebody else has it; a row that is gone has nothing open.
 */
static bool
lock_ticket(FxTradeWork *work, FxTicket *ticket, bool wait)
{
	FxTrade		trade;

	if (!fx_row_lock(work->trades, &ticket->tid, work->slot, wait))
		return false;
	ticket->locked = true;
	if (!ticket->changed)
	{
		fx_trade_read(work->slot, &work->columns, &trade);
		ticket->open = fx_trade_is_live(&trade) ? trade.open : 0;
		ticket->net = fx_trade_net(&trade);
		ticket->has_result = trade.profit != 0 || trade.has_method;
	}
	ExecClearTuple(work->slot);
	return true;
}

static int
compare_tickets(const FxTicket *a, const FxTicket *b)
{
	if (a->executed_at != b->executed_at)
		return a->executed_at < b->executed_at ? -1 : 1;
	return memcmp(a->id.data, b->id.data, UUID_LEN);
}

/*
 * The heap gives the largest first.
 */
static int
compare_nodes(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	return compare_tickets(pairingheap_const_container(FxTicket, node, b),
						   pairingheap_const_container(FxTicket, node, a));
}
