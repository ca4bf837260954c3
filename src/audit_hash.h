/*-------------------------------------------------------------------------
 *
 * audit_hash.h
 *	  Hashes of the entries of the audit log
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_AUDIT_HASH_H
#define FX_AUDIT_HASH_H

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "utils/inet.h"
#include "utils/timestamp.h"

#define FX_AUDIT_HASH_LEN	PG_SHA256_DIGEST_LENGTH

/* Hashes entries, one after the other */
typedef struct AuditHasher
{
	pg_cryptohash_ctx *ctx;		/* belongs to the current resource owner */
	int			used;			/* bytes in "buffer" not yet given to "ctx" */
	uint8		buffer[1024];	/* makes few calls of many small fields */
} AuditHasher;

extern void fx_audit_hasher_create(AuditHasher *hasher);
extern void fx_audit_hasher_free(AuditHasher *hasher);
extern void fx_audit_hash_begin(AuditHasher *hasher);
extern void fx_audit_hash_put(AuditHasher *hasher, const void *data, Size len);
extern void fx_audit_hash_put_null(AuditHasher *hasher);
extern void fx_audit_hash_put_count(AuditHasher *hasher, int count);
extern void fx_audit_hash_put_time(AuditHasher *hasher, TimestampTz at);
extern void fx_audit_hash_end(AuditHasher *hasher, uint8 *digest);

#endif							/* FX_AUDIT_HASH_H */
