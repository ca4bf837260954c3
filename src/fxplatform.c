/*-------------------------------------------------------------------------
 *
 * fxplatform.c
 *	  Loading of the module, and its settings
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "fxplatform.h"
#include "identity.h"
#include "prices.h"
#include "worker.h"

FX_MODULE_MAGIC;

/* Read by the install script */
static bool fx_create_tables = true;

int			fx_max_rate_age = 2 * SECS_PER_HOUR;

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

	/* it bounds what risk checks rely on, so users may not stretch it */
	DefineCustomIntVariable("fxplatform.max_rate_age",
							"Sets the age at which a price is too old to convert currencies by.",
							"Hours in which the market is closed do not count.",
							&fx_max_rate_age,
							2 * SECS_PER_HOUR,
							0, 366 * SECS_PER_DAY,
							PGC_SUSET,
							GUC_UNIT_S,
							NULL, NULL, NULL);

	fx_define_price_settings();
	fx_define_worker_settings();
	fx_define_identity_settings();

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

/*
 * A table of the platform, which need not be there: migrations can be undone.
 */
Oid
fx_require_table(const char *name)
{
	Oid			namespace = get_namespace_oid("fx", true);
	Oid			table = OidIsValid(namespace) ? get_relname_relid(name, namespace) : InvalidOid;

	if (unlikely(!OidIsValid(table)))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation \"fx.%s\" does not exist", name),
				errhint("SELECT * FROM fx.migrate() creates it."));
	return table;
}

/*
 * The name of a table with its schema, quoted where it must be.  It is for
 * tables of ours to keep, so that quote_all_identifiers of the session, which
 * is meant for who reads or restores a name, must make no other one of it.
 */
char *
fx_qualified_name(Oid namespace, const char *name)
{
	bool		quote_all = quote_all_identifiers;
	char	   *qualified;

	quote_all_identifiers = false;
	PG_TRY();
	{
		qualified = quote_qualified_identifier(get_namespace_name(namespace), name);
	}
	PG_FINALLY();
	{
		quote_all_identifiers = quote_all;
	}
	PG_END_TRY();
	return qualified;
}

/*
 * Owners may alter their tables.
 */
void
fx_raise_no_column(Relation rel, const char *name, Oid type)
{
	ereport(ERROR,
			errcode(ERRCODE_DATATYPE_MISMATCH),
			errmsg("table \"%s\" has no column \"%s\" of type %s",
				   RelationGetRelationName(rel), name, format_type_be(type)));
}
