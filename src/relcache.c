/*-------------------------------------------------------------------------
 *
 * relcache.c
 *	  News of tables that have changed
 *
 * Whoever remembers something of a table is told when it changes.  The server
 * has room for ten listeners in a backend, its own included, and ends the
 * session when there are more: this is one for all of ours.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/inval.h"

#include "relcache.h"

/* More than there are files that register one */
#define MAX_CALLBACKS		32

static FxRelcacheCallback callbacks[MAX_CALLBACKS];
static int	ncallbacks = 0;

static void tell_all(Datum arg, Oid relid);

/*
 * Have a function called for every change, to the end of the session.
 */
void
fx_relcache_register(FxRelcacheCallback callback)
{
	if (ncallbacks == MAX_CALLBACKS)
		elog(ERROR, "too many relcache callbacks");
	if (ncallbacks == 0)
		CacheRegisterRelcacheCallback(tell_all, (Datum) 0);
	callbacks[ncallbacks++] = callback;
}

static void
tell_all(Datum arg, Oid relid)
{
	for (int i = 0; i < ncallbacks; i++)
		callbacks[i] (relid);
}
