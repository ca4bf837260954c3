/*-------------------------------------------------------------------------
 *
 * audit_redact.c
 *	  Hashes that stand for redacted values
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "audit.h"
#include "compat.h"

/*
 * Read the key with the rights of nobody: no reader of ours needs any.  Without
 * a key there are no hashes.
 */
void
fx_audit_read_key(AuditKey *key)
{
	Oid			relid = get_relname_relid("audit_key", get_namespace_oid("fx", false));
	Relation	rel;
	Snapshot	snapshot;
	TableScanDesc scan;
	TupleTableSlot *slot;
	AttrNumber	attnum;

	if (!OidIsValid(relid))
		return;

	rel = table_open(relid, AccessShareLock);
	attnum = get_attnum(relid, "key");
	if (attnum > 0 && TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atttypid == BYTEAOID)
	{
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		scan = table_beginscan(rel, snapshot, 0, NULL);
		slot = table_slot_create(rel, NULL);
		if (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		{
			bool		isnull;
			Datum		value = slot_getattr(slot, attnum, &isnull);

			if (!isnull)
			{
				bytea	   *copy = DatumGetByteaPCopy(value);

				key->data = (uint8 *) VARDATA(copy);
				key->len = VARSIZE(copy) - VARHDRSZ;
			}
		}
		ExecDropSingleTupleTableSlot(slot);
		table_endscan(scan);
		UnregisterSnapshot(snapshot);
	}
	table_close(rel, AccessShareLock);
}

/*
 * HMAC of the column's name and the value's JSON, so that a value that two
 * columns share does not show.
 */
void
fx_audit_hash_redacted(const AuditKey *key, const AuditColumn *column, const StringInfo value,
					   char *hex)
{
	pg_hmac_ctx *ctx = pg_hmac_create(PG_SHA256);
	uint8		digest[PG_SHA256_DIGEST_LENGTH];

	if (pg_hmac_init(ctx, key->data, key->len) < 0 ||
		pg_hmac_update(ctx, (const uint8 *) column->key, column->key_len) < 0 ||
		pg_hmac_update(ctx, (const uint8 *) value->data, value->len) < 0 ||
		pg_hmac_final(ctx, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute %s hash: %s", "SHA256", pg_hmac_error(ctx));
	pg_hmac_free(ctx);
	hex_encode((const char *) digest, FX_AUDIT_REDACTED_HASH_LEN, hex);
}
