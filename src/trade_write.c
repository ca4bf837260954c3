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
#include "utils/fmgrprotos.h"

#include "compat.h"
#include "trade_write.h"

/* Of the triggers of the engine's write; 0 when there is none */
static int	write_depth = 0;

/* The transaction nest level at which it began */
static int	write_nest_level = 0;

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

	if (!registered)
	{
		RegisterXactCallback(xact_callback, NULL);
		RegisterSubXactCallback(subxact_callback, NULL);
		registered = true;
	}
	write_depth = trigger_depth() + 1;
	write_nest_level = GetCurrentTransactionNestLevel();
}

void
fx_trade_write_end(void)
{
	write_depth = 0;
}

/*
 * Was the trigger that asks fired by the engine's write?
 */
bool
fx_trade_write_is_engine(void)
{
	return unlikely(write_depth != 0) && trigger_depth() == write_depth;
}

static int
trigger_depth(void)
{
	LOCAL_FCINFO(fcinfo, 0);

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	return DatumGetInt32(pg_trigger_depth(fcinfo));
}

static void
xact_callback(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		write_depth = 0;
}

/*
 * A subtransaction that a trigger of the write rolled back leaves the write;
 * one that the write was part of does not.
 */
static void
subxact_callback(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent_subid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && GetCurrentTransactionNestLevel() <= write_nest_level)
		write_depth = 0;
}
