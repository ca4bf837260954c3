/*-------------------------------------------------------------------------
 *
 * audit_hash.c
 *	  The hash of an entry of the audit log
 *
 * sha256 over a label and the fields in a fixed order.  Each is its length, in
 * four bytes with the highest first, and its bytes; a null is the length
 * 0xFFFFFFFF and nothing more, so that no two entries have the same form.  Text
 * is in the encoding of the database, jsonb and inet are what their output
 * functions say, a uuid is its 16 bytes, a time the microseconds since
 * 2000-01-01 UTC in eight bytes, an array of text a field of four bytes with
 * the number of elements and then a field for each.  None of that depends on
 * a setting, on the cluster or on its major.
 *
 * audit_write.c puts the fields of an entry that it is about to store in the
 * order in which the SQL function takes them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "audit_hash.h"
#include "compat.h"

/* Changes whenever the form does */
#define HASH_LABEL			"fx.audit_log 1"

#define NULL_LENGTH			0xFFFFFFFF

/* Arguments of audit_row_hash(), after the id */
typedef enum HashArgument
{
	ARG_ID,
	ARG_ACTOR_ID,
	ARG_ACTION,
	ARG_RESOURCE_TYPE,
	ARG_RESOURCE_ID,
	ARG_OLD_VALUES,
	ARG_NEW_VALUES,
	ARG_CHANGED_COLUMNS,
	ARG_IP_ADDRESS,
	ARG_USER_AGENT,
	ARG_SESSION_USER_NAME,
	ARG_APPLICATION_NAME,
	ARG_STATEMENT_AT,
	ARG_CREATED_AT
} HashArgument;

PG_FUNCTION_INFO_V1(fx_audit_row_hash);

static void put_argument(AuditHasher *hasher, HashArgument arg, Datum value);
static void put_array(AuditHasher *hasher, ArrayType *array);
static void put_bytes(AuditHasher *hasher, const void *data, Size len);
pg_noreturn static void raise_failure(AuditHasher *hasher);

/*
 * audit_row_hash(id uuid, actor_id uuid, action text, resource_type text,
 *				  resource_id text, old_values jsonb, new_values jsonb,
 *				  changed_columns text[], ip_address inet, user_agent text,
 *				  session_user_name text, application_name text,
 *				  statement_at timestamptz, created_at timestamptz) returns bytea
 */
Datum
fx_audit_row_hash(PG_FUNCTION_ARGS)
{
	AuditHasher hasher;
	bytea	   *result = palloc(VARHDRSZ + FX_AUDIT_HASH_LEN);

	fx_audit_hasher_create(&hasher);
	fx_audit_hash_begin(&hasher);
	for (int arg = ARG_ID; arg <= ARG_CREATED_AT; arg++)
	{
		if (PG_ARGISNULL(arg))
			fx_audit_hash_put_null(&hasher);
		else
			put_argument(&hasher, arg, PG_GETARG_DATUM(arg));
	}
	SET_VARSIZE(result, VARHDRSZ + FX_AUDIT_HASH_LEN);
	fx_audit_hash_end(&hasher, (uint8 *) VARDATA(result));
	fx_audit_hasher_free(&hasher);
	PG_RETURN_BYTEA_P(result);
}

static void
put_argument(AuditHasher *hasher, HashArgument arg, Datum value)
{
	switch (arg)
	{
		case ARG_ID:
		case ARG_ACTOR_ID:
			fx_audit_hash_put(hasher, DatumGetUUIDP(value)->data, UUID_LEN);
			break;
		case ARG_ACTION:
		case ARG_RESOURCE_TYPE:
		case ARG_RESOURCE_ID:
		case ARG_USER_AGENT:
		case ARG_SESSION_USER_NAME:
		case ARG_APPLICATION_NAME:
			{
				text	   *string = DatumGetTextPP(value);

				fx_audit_hash_put(hasher, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
				break;
			}
		case ARG_OLD_VALUES:
		case ARG_NEW_VALUES:
			{
				Jsonb	   *jb = DatumGetJsonbP(value);
				StringInfoData string;

				initStringInfo(&string);
				JsonbToCString(&string, &jb->root, VARSIZE(jb));
				fx_audit_hash_put(hasher, string.data, string.len);
				pfree(string.data);
				break;
			}
		case ARG_CHANGED_COLUMNS:
			put_array(hasher, DatumGetArrayTypeP(value));
			break;
		case ARG_IP_ADDRESS:
			{
				char	   *string = DatumGetCString(DirectFunctionCall1(inet_out, value));

				fx_audit_hash_put(hasher, string, strlen(string));
				break;
			}
		case ARG_STATEMENT_AT:
		case ARG_CREATED_AT:
			fx_audit_hash_put_time(hasher, DatumGetTimestampTz(value));
			break;
	}
}

static void
put_array(AuditHasher *hasher, ArrayType *array)
{
	Datum	   *values;
	bool	   *nulls;
	int			count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
	fx_audit_hash_put_count(hasher, count);
	for (int i = 0; i < count; i++)
	{
		text	   *string;

		if (nulls[i])
		{
			fx_audit_hash_put_null(hasher);
			continue;
		}
		string = DatumGetTextPP(values[i]);
		fx_audit_hash_put(hasher, VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
	}
}

/*
 * The hasher's context is released with the current resource owner after an
 * error.
 */
void
fx_audit_hasher_create(AuditHasher *hasher)
{
	hasher->ctx = pg_cryptohash_create(PG_SHA256);
}

void
fx_audit_hasher_free(AuditHasher *hasher)
{
	pg_cryptohash_free(hasher->ctx);
}

void
fx_audit_hash_begin(AuditHasher *hasher)
{
	hasher->used = 0;
	if (pg_cryptohash_init(hasher->ctx) < 0)
		raise_failure(hasher);
	put_bytes(hasher, HASH_LABEL, strlen(HASH_LABEL));
}

void
fx_audit_hash_put(AuditHasher *hasher, const void *data, Size len)
{
	uint32		prefix = pg_hton32((uint32) len);

	put_bytes(hasher, &prefix, sizeof(prefix));
	put_bytes(hasher, data, len);
}

void
fx_audit_hash_put_null(AuditHasher *hasher)
{
	uint32		prefix = pg_hton32(NULL_LENGTH);

	put_bytes(hasher, &prefix, sizeof(prefix));
}

/*
 * The number of fields that follow, of an array
 */
void
fx_audit_hash_put_count(AuditHasher *hasher, int count)
{
	uint32		value = pg_hton32((uint32) count);

	fx_audit_hash_put(hasher, &value, sizeof(value));
}

void
fx_audit_hash_put_time(AuditHasher *hasher, TimestampTz at)
{
	uint64		value = pg_hton64((uint64) at);

	fx_audit_hash_put(hasher, &value, sizeof(value));
}

void
fx_audit_hash_end(AuditHasher *hasher, uint8 *digest)
{
	if (pg_cryptohash_update(hasher->ctx, hasher->buffer, hasher->used) < 0 ||
		pg_cryptohash_final(hasher->ctx, digest, FX_AUDIT_HASH_LEN) < 0)
		raise_failure(hasher);
}

static void
put_bytes(AuditHasher *hasher, const void *data, Size len)
{
	if (len > sizeof(hasher->buffer) - hasher->used)
	{
		if (pg_cryptohash_update(hasher->ctx, hasher->buffer, hasher->used) < 0)
			raise_failure(hasher);
		hasher->used = 0;
	}
	if (len > sizeof(hasher->buffer))
	{
		if (pg_cryptohash_update(hasher->ctx, data, len) < 0)
			raise_failure(hasher);
		return;
	}
	memcpy(hasher->buffer + hasher->used, data, len);
	hasher->used += len;
}

static void
raise_failure(AuditHasher *hasher)
{
	elog(ERROR, "could not compute %s hash: %s", "SHA256", pg_cryptohash_error(hasher->ctx));
}
