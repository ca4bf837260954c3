/*-------------------------------------------------------------------------
 *
 * trade_streak.c
 *	  How many trades in a row were lost
 *
 * Trades count in the order in which they were closed.  Closings come in that
 * order, as a rule, and go on from the number that is stored; where one comes
 * late, or a correction makes a win of a loss, the newest closed trades are
 * read, as far back as they lost.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "compat.h"
#include "trades.h"

#define CLOSED_INDEX		"idx_trades_closed"

static Relation open_index(void);
static bool next_closed(FxTradeWork *work, IndexScanDesc scan, TupleTableSlot *slot,
						FxTrade *trade);
static const FxTicket **find_ended(FxTradeWork *work, const FxBooks *books, int *nended);
static int	compare_ended(const void *a, const void *b);
static int	compare_closings(TimestampTz a_closed_at, const pg_uuid_t *a_id,
							 TimestampTz b_closed_at, const pg_uuid_t *b_id);

/*
 * A trade was closed.  One that opposite trades closed wholly is neither won
 * nor lost: they have the result.
 */
void
fx_streak_add(FxBooks *books, TimestampTz closed_at, const pg_uuid_t *id, bool has_result,
			  int128 net)
{
	FxAccount  *account = books->account;
	bool		is_newest;

	if (books->streak_known)
		is_newest = compare_closings(closed_at, id, books->newest_at, &books->newest_id) > 0;
	else
		is_newest = account->last_closed_at == 0 || closed_at > account->last_closed_at;

	account->dirty = true;
	if (!is_newest)
	{
		books->streak_stale = true;
		return;
	}

	books->streak_known = true;
	books->newest_at = closed_at;
	books->newest_id = *id;
	account->last_closed_at = closed_at;
	if (!has_result)
		return;
	if (net >= 0)
	{
		account->consecutive_losses = 0;
		account->losing_since = 0;
		return;
	}
	if (account->consecutive_losses == 0)
		account->losing_since = closed_at;
	account->consecutive_losses++;
}

/*
 * Count from the trades: those closed in the table, and those that the
 * statement has closed and not written yet, the newest first.
 */
void
fx_streak_count(FxTradeWork *work, FxBooks *books)
{
	FxAccount  *account = books->account;
	const FxTicket **ended;
	int			nended;
	int			next = 0;
	Relation	index = open_index();
	TupleTableSlot *slot = table_slot_create(work->trades, NULL);
	Snapshot	snapshot;
	IndexScanDesc scan;
	ScanKeyData key;
	FxTrade		trade;
	bool		has_trade;

	CommandCounterIncrement();
	ended = find_ended(work, books, &nended);
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(&books->user_id));
	scan = fx_index_beginscan(work->trades, index, snapshot, 1, 0);
	index_rescan(scan, &key, 1, NULL, 0);

	account->dirty = true;
	account->consecutive_losses = 0;
	account->losing_since = 0;
	account->last_closed_at = 0;
	has_trade = next_closed(work, scan, slot, &trade);
	while (has_trade || next < nended)
	{
		TimestampTz closed_at;
		bool		has_result;
		int128		net;

		CHECK_FOR_INTERRUPTS();
		if (has_trade && (next == nended ||
						  compare_closings(trade.closed_at, &trade.id, ended[next]->closed_at,
										   &ended[next]->id) > 0))
		{
			closed_at = trade.closed_at;
			has_result = !trade.is_consumed;
			net = fx_trade_net(&trade);
			has_trade = next_closed(work, scan, slot, &trade);
		}
		else
		{
			closed_at = ended[next]->closed_at;
			has_result = ended[next]->has_result;
			net = ended[next++]->net;
		}

		if (account->last_closed_at == 0)
			account->last_closed_at = closed_at;
		if (!has_result)
			continue;
		if (net >= 0)
			break;
		account->consecutive_losses++;
		account->losing_since = closed_at;
	}

	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	UnregisterSnapshot(snapshot);
	books->streak_stale = false;
}

static Relation
open_index(void)
{
	Oid			oid = get_relname_relid(CLOSED_INDEX, get_namespace_oid("fx", false));

	if (!OidIsValid(oid))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("index \"fx.%s\" does not exist", CLOSED_INDEX),
				errhint("Migration 2024_04_01_risk_engine creates it."));
	return index_open(oid, AccessShareLock);
}

static bool
next_closed(FxTradeWork *work, IndexScanDesc scan, TupleTableSlot *slot, FxTrade *trade)
{
	if (!index_getnext_slot(scan, ForwardScanDirection, slot))
		return false;
	fx_trade_read(slot, &work->columns, trade);
	return true;
}

/*
 * Trades of the user that the statement has closed, the newest first.
 */
static const FxTicket **
find_ended(FxTradeWork *work, const FxBooks *books, int *nended)
{
	const FxTicket **ended;
	HASH_SEQ_STATUS seq;
	const FxTicket *ticket;

	*nended = 0;
	if (work->tickets == NULL)
		return NULL;

	ended = (const FxTicket **)
		MemoryContextAllocHuge(work->context,
							   hash_get_num_entries(work->tickets) * sizeof(FxTicket *));
	hash_seq_init(&seq, work->tickets);
	while ((ticket = (const FxTicket *) hash_seq_search(&seq)) != NULL)
	{
		if (ticket->is_closed &&
			memcmp(ticket->user_id.data, books->user_id.data, UUID_LEN) == 0)
			ended[(*nended)++] = ticket;
	}
	qsort(ended, *nended, sizeof(FxTicket *), compare_ended);
	return ended;
}

static int
compare_ended(const void *a, const void *b)
{
	const FxTicket *x = *(const FxTicket *const *) a;
	const FxTicket *y = *(const FxTicket *const *) b;

	return compare_closings(y->closed_at, &y->id, x->closed_at, &x->id);
}

static int
compare_closings(TimestampTz a_closed_at, const pg_uuid_t *a_id, TimestampTz b_closed_at,
				 const pg_uuid_t *b_id)
{
	if (a_closed_at != b_closed_at)
		return a_closed_at < b_closed_at ? -1 : 1;
	return memcmp(a_id->data, b_id->data, UUID_LEN);
}
