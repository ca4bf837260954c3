/*-------------------------------------------------------------------------
 *
 * secret_keys.h
 *	  Keys of column encryption, and what encrypts with them
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_SECRET_KEYS_H
#define FX_SECRET_KEYS_H

#include "lib/stringinfo.h"

#define FX_KEY_BYTES	32

typedef struct FxKey
{
	int			version;
	uint8		bytes[FX_KEY_BYTES];
} FxKey;

/* The version that encrypts */
#define FX_NEWEST_KEY	0

extern char *fx_key_file;

extern void fx_read_key(int version, FxKey *key);
extern void fx_hmac_sha256(const uint8 *key, Size key_len, const char *data, Size len,
						   uint8 *result);
extern Oid	fx_pgcrypto_function(const char *name, int nargs, const Oid *argtypes);
extern bool fx_equal_bytes(const void *a, const void *b, Size len);

#endif							/* FX_SECRET_KEYS_H */
