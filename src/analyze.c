/*-------------------------------------------------------------------------
 *
 * analyze.c
 *	  Statistics of one table, as autovacuum takes them
 *
 * ANALYZE of a partitioned table takes those of all its partitions too, in the
 * same transaction when it is run in one: years of months are read again, and
 * locked until the end, for the sake of the table above them, which autovacuum
 * never looks at.  (Only 18 has ANALYZE ONLY.)  Here a partitioned table is
 * analyzed alone, from a sample across its partitions.
 *
 * The lock is taken or the table is left for another time: whoever waits for
 * autovacuum makes it give up what it has done of a large table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "commands/vacuum.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "compat.h"

PG_FUNCTION_INFO_V1(fx_analyze_table);

/*
 * analyze_table(relation regclass) returns boolean
 *
 * False when the table is locked, or gone.  SHARE UPDATE EXCLUSIVE is held
 * until the end of the transaction.
 */
Datum
fx_analyze_table(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	VacuumParams params;
	char		relkind;

	PreventCommandDuringRecovery("ANALYZE");
	if (!ConditionalLockRelationOid(relid, ShareUpdateExclusiveLock))
		PG_RETURN_BOOL(false);
	relkind = get_rel_relkind(relid);
	if (relkind == '\0')
	{
		UnlockRelationOid(relid, ShareUpdateExclusiveLock);
		PG_RETURN_BOOL(false);
	}

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" is not a table", get_rel_name(relid)));

	/* analyze_rel() would warn, and do nothing */
	if (!fx_owns_table(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, get_rel_name(relid));

	memset(&params, 0, sizeof(params));
	params.options = VACOPT_ANALYZE;
	params.log_min_duration = -1;
	analyze_rel(relid, NULL, &params, NIL, true, GetAccessStrategy(BAS_VACUUM));

	PG_RETURN_BOOL(true);
}
