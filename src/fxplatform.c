/*-------------------------------------------------------------------------
 *
 * fxplatform.c
 *	  Loading of the module, and its settings
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "compat.h"
#include "fxplatform.h"
#include "worker.h"

FX_MODULE_MAGIC;

/* Read by the install script */
static bool fx_create_tables = true;

void		_PG_init(void);

/*
 * Module load callback
 */
void
_PG_init(void)
{
	DefineCustomBoolVariable("fxplatform.create_tables",
							 "Makes CREATE EXTENSION create the tables of the platform.",
							 "Off leaves them to a dump that is about to be restored.",
							 &fx_create_tables,
							 true,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);

	fx_define_worker_settings();

	MarkGUCPrefixReserved("fxplatform");
}

/*
 * Refuse a value of one of our types that begins with another version.
 */
void
fx_raise_version(const char *type, long version)
{
	ereport(ERROR,
			errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("version %ld of type %s is not supported", version, type),
			errhint("The value was made by a newer version of fxplatform."));
}
