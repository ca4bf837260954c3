/*-------------------------------------------------------------------------
 *
 * kept_plan.c
 *	  Plans that a session keeps, and whose rights they run with
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/syscache.h"

#include "kept_plan.h"

/*
 * Prepare a query for the rest of the session.  To be called between
 * SPI_connect() and SPI_finish(); the server makes the plan anew by itself
 * when what it is about changes.
 */
SPIPlanPtr
fx_kept_plan(const char *query, int nargs, Oid *argtypes)
{
	SPIPlanPtr	plan = SPI_prepare(query, nargs, argtypes);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	return plan;
}

/*
 * Go on with the rights of a table's owner, as foreign keys do: whoever makes
 * the change need not be able to write what is noted of it, nor see all of it.
 * An error restores what was before.
 */
void
fx_act_as_owner(Oid table, Oid *save_userid, int *save_sec_context)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", table);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);

	GetUserIdAndSecContext(save_userid, save_sec_context);
	SetUserIdAndSecContext(owner, *save_sec_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_NOFORCE_RLS);
}

void
fx_act_as_before(Oid save_userid, int save_sec_context)
{
	SetUserIdAndSecContext(save_userid, save_sec_context);
}
