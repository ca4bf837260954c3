/*-------------------------------------------------------------------------
 *
 * audit_name.c
 *	  How the audit log names tables and rows
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "audit.h"
#include "compat.h"
#include "fxplatform.h"

/* Width of audit_log.resource_type, in characters */
#define RESOURCE_TYPE_CHARS	50

/* What a name that is too long ends with: "~" and this many hexadecimal digits */
#define DIGEST_DIGITS		16

PG_FUNCTION_INFO_V1(fx_audit_resource_type);

/*
 * audit_resource_type("table" regclass) returns text
 */
Datum
fx_audit_resource_type(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);

	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("relation with OID %u does not exist", relid));
	PG_RETURN_TEXT_P(fx_audit_resource_type_of(relid));
}

/*
 * A table of schema fx is called by its name, as the specification has it, any
 * other with its schema, so that no table passes for one of the platform.
 */
text *
fx_audit_resource_type_of(Oid relid)
{
	Oid			namespace = get_rel_namespace(relid);
	char	   *name = get_rel_name(relid);

	if (namespace != get_namespace_oid("fx", true))
		name = fx_qualified_name(namespace, name);
	return fx_audit_shorten(name, strlen(name), RESOURCE_TYPE_CHARS);
}

/*
 * Cut a name to a number of characters, and keep it apart from others that
 * begin like it.
 */
text *
fx_audit_shorten(const char *name, int len, int max_chars)
{
	pg_cryptohash_ctx *ctx;
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	StringInfoData shortened;

	if (len <= max_chars || pg_mbstrlen_with_len(name, len) <= max_chars)
		return cstring_to_text_with_len(name, len);

	ctx = pg_cryptohash_create(PG_SHA256);
	if (pg_cryptohash_init(ctx) < 0 ||
		pg_cryptohash_update(ctx, (const uint8 *) name, len) < 0 ||
		pg_cryptohash_final(ctx, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute %s hash: %s", "SHA256", pg_cryptohash_error(ctx));
	pg_cryptohash_free(ctx);

	initStringInfo(&shortened);
	appendBinaryStringInfo(&shortened, name,
						   pg_mbcharcliplen(name, len, max_chars - 1 - DIGEST_DIGITS));
	appendStringInfoChar(&shortened, '~');
	for (int i = 0; i < DIGEST_DIGITS / 2; i++)
		appendStringInfo(&shortened, "%02x", digest[i]);
	return cstring_to_text_with_len(shortened.data, shortened.len);
}
