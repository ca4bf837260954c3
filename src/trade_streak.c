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
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "compat.h"
#include "trades.h"

#define CLOSED_INDEX		"idx_trades_closed"

/*
 * A trade was closed.
 */
void
fx_streak_add(FxBooks *books, TimestampTz closed_at, const pg_uuid_t *id, int128 net)
{
	FxAccount  *account = books->account;
	bool		is_newest;

	if (books->streak_known)
		is_newest = closed_at > books->newest_at ||
			(closed_at == books->newest_at &&
			 memcmp(id->data, books->newest_id.data, UUID_LEN) > 0);
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
 * Count from the trades, which must have been written.
 */
void
fx_streak_count(FxTradeWork *work, FxBooks *books)
{
	FxAccount  *account = books->account;
	Oid			oid = get_relname_relid(CLOSED_INDEX, get_namespace_oid("fx", false));
	Relation	index;
	TupleTableSlot *slot;
	Snapshot	snapshot;
	IndexScanDesc scan;
	ScanKeyData key;
	bool		first = true;

	if (!OidIsValid(oid))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("index \"fx.%s\" does not exist", CLOSED_INDEX),
				errhint("Migration 2024_04_01_risk_engine creates it."));

	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	index = index_open(oid, AccessShareLock);
	slot = table_slot_create(work->trades, NULL);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(&books->user_id));
	scan = fx_index_beginscan(work->trades, index, snapshot, 1, 0);
	index_rescan(scan, &key, 1, NULL, 0);

	account->dirty = true;
	account->consecutive_losses = 0;
	account->losing_since = 0;
	account->last_closed_at = 0;
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		FxTrade		trade;

		CHECK_FOR_INTERRUPTS();
		fx_trade_read(slot, work->columns, &trade);
		if (first)
			account->last_closed_at = trade.closed_at;
		first = false;
		if (fx_trade_net(&trade) >= 0)
			break;
		account->consecutive_losses++;
		account->losing_since = trade.closed_at;
	}

	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	UnregisterSnapshot(snapshot);
	books->streak_stale = false;
}
