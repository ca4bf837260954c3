/*-------------------------------------------------------------------------
 *
 * trade_write.c
 *	  Which writes of trades are the engine's own
 *
 * The triggers of trades keep the books by what applications write, and must
 * neither refuse nor book again what the engine notes on the same rows.  The
 * engine's write is told from others by the depth of triggers: those that it
 * fires itself run one level below it, and a statement inside of one of them
 * is an application's again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "compat.h"
#include "trade_write.h"

typedef struct Write
{
	int			trigger_depth;	/* of the triggers that it fires */
	int			nest_level;		/* of the transaction in which it began */
} Write;

/* Those under way, the innermost first */
static List *writes = NIL;

static int	trigger_depth(void);
static void xact_callback(XactEvent event, void *arg);
static void subxact_callback(SubXactEvent event, SubTransactionId subid,
							 SubTransactionId parent_subid, void *arg);

/*
 * What comes until fx_trade_write_end() is the engine's.
 */
void
fx_trade_write_begin(void)
{
	static bool registered = false;
	MemoryContext old_context;
	Write	   *write;

	if (!registered)
	{
		RegisterXactCallback(xact_callback, NULL);
		RegisterSubXactCallback(subxact_callback, NULL);
		registered = true;
	}
	old_context = MemoryContextSwitchTo(TopTransactionContext);
	write = (Write *) palloc(sizeof(Write));
	write->trigger_depth = trigger_depth() + 1;
	write->nest_level = GetCurrentTransactionNestLevel();
	writes = lcons(write, writes);
	MemoryContextSwitchTo(old_context);
}

void
fx_trade_write_end(void)
{
	pfree(linitial(writes));
	writes = list_delete_first(writes);
}

/*
 * Was the trigger that asks fired by the engine's write?
 */
bool
fx_trade_write_is_engine(void)
{
	return unlikely(writes != NIL) &&
		trigger_depth() == ((const Write *) linitial(writes))->trigger_depth;
}

static int
trigger_depth(void)
{
	LOCAL_FCINFO(fcinfo, 0);

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	return DatumGetInt32(pg_trigger_depth(fcinfo));
}

/*
 * The memory goes with the transaction.
 */
static void
xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		writes = NIL;
}

/*
 * Writes that began in a subtransaction end with its rollback.  One that a
 * trigger rolls back in the middle of a write leaves this.
 */
static void
subxact_callback(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent_subid, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (writes != NIL &&
		   ((const Write *) linitial(writes))->nest_level >= GetCurrentTransactionNestLevel())
		fx_trade_write_end();
}
