/*-------------------------------------------------------------------------
 *
 * work_lock.c
 *	  Locks on work that only one may do at a time
 *
 * They are advisory locks of this database, but of a class of their own: the
 * functions of PostgreSQL make those of classes 1 and 2 only, so nobody can take
 * one of these but by the functions below, which are not for everybody.  Like
 * all advisory locks, one that the session holds outlives errors.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"

#include "compat.h"
#include "work_lock.h"

/* See SET_LOCKTAG_INT64 in lockfuncs.c for the others */
#define WORK_LOCK_CLASS		3

PG_FUNCTION_INFO_V1(fx_lock_work_for_transaction);
PG_FUNCTION_INFO_V1(fx_try_lock_work);

/*
 * lock_work(work text) returns void
 */
Datum
fx_lock_work_for_transaction(PG_FUNCTION_ARGS)
{
	text	   *work = PG_GETARG_TEXT_PP(0);

	(void) fx_lock_work(VARDATA_ANY(work), VARSIZE_ANY_EXHDR(work), false, true);
	PG_RETURN_VOID();
}

/*
 * try_lock_work(work text) returns boolean
 */
Datum
fx_try_lock_work(PG_FUNCTION_ARGS)
{
	text	   *work = PG_GETARG_TEXT_PP(0);

	PG_RETURN_BOOL(fx_lock_work(VARDATA_ANY(work), VARSIZE_ANY_EXHDR(work), false, false));
}

/*
 * Lock until the end of the transaction, or of the session; false when that
 * would have to wait and shall not.
 */
bool
fx_lock_work(const char *work, int len, bool session, bool wait)
{
	uint64		key = hash_bytes_extended((const unsigned char *) work, len, 0);
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (key >> 32), (uint32) key, WORK_LOCK_CLASS);
	return LockAcquire(&tag, ExclusiveLock, session, !wait) != LOCKACQUIRE_NOT_AVAIL;
}
