/*-------------------------------------------------------------------------
 *
 * audit_seal.c
 *	  The hash chain of the audit trail
 *
 * A seal is chained to the one before by
 *
 *		sha256(previous chain hash | seq | audit id | sealed at | row hash)
 *
 * with integers in network byte order and the time in microseconds since 2000.
 * A previous hash that is longer or shorter than one was edited, and its own
 * seal tells so: the parts before the last need no length.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "port/pg_bswap.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "fxplatform.h"

PG_FUNCTION_INFO_V1(fx_audit_chain_hash);
PG_FUNCTION_INFO_V1(fx_chain_audit_accum);

static bytea *chain_hash(const bytea *previous, int64 seq, const pg_uuid_t *audit_id,
						 TimestampTz sealed_at, const bytea *row_hash);

/*
 * audit_chain_hash(previous bytea, seq bigint, audit_id uuid,
 *					sealed_at timestamptz, row_hash bytea) returns bytea
 */
Datum
fx_audit_chain_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(chain_hash(PG_GETARG_BYTEA_PP(0), PG_GETARG_INT64(1),
								 PG_GETARG_UUID_P(2), PG_GETARG_TIMESTAMPTZ(3),
								 PG_GETARG_BYTEA_PP(4)));
}

/*
 * chain_audit_accum(state bytea, head bytea, seq bigint, audit_id uuid,
 *					 sealed_at timestamptz, row_hash bytea) returns bytea
 *
 * The first row follows "head".
 */
Datum
fx_chain_audit_accum(PG_FUNCTION_ARGS)
{
	for (int i = 1; i < 6; i++)
	{
		if (PG_ARGISNULL(i))
			ereport(ERROR,
					errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("part of a seal must not be null"));
	}

	PG_RETURN_BYTEA_P(chain_hash(PG_GETARG_BYTEA_PP(PG_ARGISNULL(0) ? 1 : 0),
								 PG_GETARG_INT64(2), PG_GETARG_UUID_P(3),
								 PG_GETARG_TIMESTAMPTZ(4), PG_GETARG_BYTEA_PP(5)));
}

static bytea *
chain_hash(const bytea *previous, int64 seq, const pg_uuid_t *audit_id,
		   TimestampTz sealed_at, const bytea *row_hash)
{
	uint8		fixed[sizeof(int64) + UUID_LEN + sizeof(int64)];
	uint64		number;
	bytea	   *result;
	pg_cryptohash_ctx *context;

	number = pg_hton64((uint64) seq);
	memcpy(fixed, &number, sizeof(number));
	memcpy(fixed + sizeof(number), audit_id->data, UUID_LEN);
	number = pg_hton64((uint64) sealed_at);
	memcpy(fixed + sizeof(number) + UUID_LEN, &number, sizeof(number));

	result = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	SET_VARSIZE(result, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);

	context = pg_cryptohash_create(PG_SHA256);
	if (pg_cryptohash_init(context) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) VARDATA_ANY(previous),
							 VARSIZE_ANY_EXHDR(previous)) < 0 ||
		pg_cryptohash_update(context, fixed, sizeof(fixed)) < 0 ||
		pg_cryptohash_update(context, (const uint8 *) VARDATA_ANY(row_hash),
							 VARSIZE_ANY_EXHDR(row_hash)) < 0 ||
		pg_cryptohash_final(context, (uint8 *) VARDATA(result), PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not compute a hash: %s", pg_cryptohash_error(context));
	pg_cryptohash_free(context);

	return result;
}
