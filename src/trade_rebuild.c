/*-------------------------------------------------------------------------
 *
 * trade_rebuild.c
 *	  Books that are made again from the trades
 *
 * What a deleted trade did to the books cannot be taken back by itself: later
 * trades were closed against it.  The books of its user are made again by
 * fx.rebuild_risk_state(), from the trades that are there.
 *
 * That includes trades written by the very statement, which the triggers that
 * follow would book once more.  Who was rebuilt, and when, is remembered to the
 * end of the transaction; after a rollback to a savepoint it is out of date, but
 * then no statement is left that could have begun before.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "compat.h"
#include "kept_plan.h"
#include "trades.h"

typedef struct Rebuilt
{
	pg_uuid_t	user_id;
	CommandId	cid;
} Rebuilt;

/* Of this transaction */
static List *rebuilt = NIL;

static void remember(const pg_uuid_t *user_id);
static void xact_callback(XactEvent event, void *arg);

/*
 * Make the books of a user again, unless he is gone.
 */
void
fx_rebuild_user(const pg_uuid_t *user_id)
{
	static SPIPlanPtr plan = NULL;
	Datum		arg = UUIDPGetDatum(user_id);

	SPI_connect();
	if (plan == NULL)
	{
		Oid			type = UUIDOID;

		plan = fx_kept_plan("SELECT fx.rebuild_risk_state(u.id) FROM fx.users u"
							" WHERE u.id OPERATOR(pg_catalog.=) $1", 1, &type);
	}
	if (SPI_execute_plan(plan, &arg, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");
	SPI_finish();
	remember(user_id);
}

/*
 * All users whose books are not those of somebody who never traded.
 */
void
fx_rebuild_all(void)
{
	SPI_connect();
	if (SPI_execute("SELECT fx.rebuild_risk_state(a.user_id)"
					" FROM (SELECT b.user_id FROM fx.accounts b"
					" WHERE b.last_closed_at IS NOT NULL OR b.day_trades OPERATOR(pg_catalog.<>) 0"
					" OR b.balance OPERATOR(pg_catalog.<>)"
					" (b.initial_balance OPERATOR(pg_catalog.+) b.net_deposits)"
					" OR EXISTS (SELECT FROM fx.positions p"
					" WHERE p.user_id OPERATOR(pg_catalog.=) b.user_id)"
					" ORDER BY b.user_id) AS a",
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed");
	SPI_finish();
}

bool
fx_any_rebuilt(void)
{
	return rebuilt != NIL;
}

/*
 * Were the books of a user made again since the command began?
 */
bool
fx_rebuilt_since(const pg_uuid_t *user_id, CommandId cid)
{
	ListCell   *cell;

	foreach(cell, rebuilt)
	{
		const Rebuilt *entry = (const Rebuilt *) lfirst(cell);

		if (entry->cid > cid && memcmp(entry->user_id.data, user_id->data, UUID_LEN) == 0)
			return true;
	}
	return false;
}

static void
remember(const pg_uuid_t *user_id)
{
	static bool registered = false;
	MemoryContext old_context;
	Rebuilt    *entry = NULL;
	ListCell   *cell;

	if (!registered)
	{
		RegisterXactCallback(xact_callback, NULL);
		registered = true;
	}

	foreach(cell, rebuilt)
	{
		Rebuilt    *other = (Rebuilt *) lfirst(cell);

		if (memcmp(other->user_id.data, user_id->data, UUID_LEN) == 0)
			entry = other;
	}
	if (entry == NULL)
	{
		old_context = MemoryContextSwitchTo(TopTransactionContext);
		entry = (Rebuilt *) palloc(sizeof(Rebuilt));
		entry->user_id = *user_id;
		rebuilt = lappend(rebuilt, entry);
		MemoryContextSwitchTo(old_context);
	}
	entry->cid = GetCurrentCommandId(false);
}

/*
 * The memory goes with the transaction.
 */
static void
xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		rebuilt = NIL;
}
