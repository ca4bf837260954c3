/*-------------------------------------------------------------------------
 *
 * secret_totp.c
 *	  Codes of a second factor, RFC 6238, and base32, RFC 4648
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hmac.h"
#include "common/sha1.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "secret_keys.h"

/* RFC 4226: a shorter secret is too weak to be one */
#define SECRET_MIN_BYTES	16
#define DIGITS_MIN			6
#define DIGITS_MAX			9

PG_FUNCTION_INFO_V1(fx_totp);
PG_FUNCTION_INFO_V1(fx_base32_encode);
PG_FUNCTION_INFO_V1(fx_base32_decode);

static const char base32_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static pg_cryptohash_type find_algorithm(const text *name, int *digest_len);

/*
 * totp(secret bytea, at timestamptz, digits integer, period integer,
 *		algorithm text) returns text
 */
Datum
fx_totp(PG_FUNCTION_ARGS)
{
	bytea	   *secret = PG_GETARG_BYTEA_PP(0);
	TimestampTz at = PG_GETARG_TIMESTAMPTZ(1);
	int32		digits = PG_GETARG_INT32(2);
	int32		period = PG_GETARG_INT32(3);
	int			digest_len;
	pg_cryptohash_type algorithm = find_algorithm(PG_GETARG_TEXT_PP(4), &digest_len);
	pg_hmac_ctx *ctx;
	uint8		digest[PG_SHA512_DIGEST_LENGTH];
	int64		seconds;
	uint64		counter;
	uint32		code;
	uint32		modulus = 1;
	int			offset;

	if (VARSIZE_ANY_EXHDR(secret) < SECRET_MIN_BYTES)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("secret must have at least %d bytes", SECRET_MIN_BYTES));
	if (digits < DIGITS_MIN || digits > DIGITS_MAX)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("digits must be between %d and %d", DIGITS_MIN, DIGITS_MAX));
	if (period < 1)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("period must be at least one second"));
	if (TIMESTAMP_NOT_FINITE(at) || at < SetEpochTimestamp())
		ereport(ERROR,
				errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				errmsg("time must be finite and not before 1970"));

	seconds = (at - SetEpochTimestamp()) / USECS_PER_SEC;
	counter = pg_hton64((uint64) (seconds / period));

	ctx = pg_hmac_create(algorithm);
	if (ctx == NULL ||
		pg_hmac_init(ctx, (uint8 *) VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret)) < 0 ||
		pg_hmac_update(ctx, (uint8 *) &counter, sizeof(counter)) < 0 ||
		pg_hmac_final(ctx, digest, digest_len) < 0)
		elog(ERROR, "could not compute a keyed hash: %s", pg_hmac_error(ctx));
	pg_hmac_free(ctx);

	/* dynamic truncation, RFC 4226 section 5.3 */
	offset = digest[digest_len - 1] & 0x0f;
	code = ((uint32) (digest[offset] & 0x7f) << 24) | ((uint32) digest[offset + 1] << 16) |
		((uint32) digest[offset + 2] << 8) | digest[offset + 3];
	for (int i = 0; i < digits; i++)
		modulus *= 10;

	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%0*u", digits, code % modulus)));
}

static pg_cryptohash_type
find_algorithm(const text *name, int *digest_len)
{
	char	   *str = text_to_cstring(name);

	if (pg_strcasecmp(str, "sha1") == 0)
	{
		*digest_len = SHA1_DIGEST_LENGTH;
		return PG_SHA1;
	}
	if (pg_strcasecmp(str, "sha256") == 0)
	{
		*digest_len = PG_SHA256_DIGEST_LENGTH;
		return PG_SHA256;
	}
	if (pg_strcasecmp(str, "sha512") == 0)
	{
		*digest_len = PG_SHA512_DIGEST_LENGTH;
		return PG_SHA512;
	}
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("algorithm must be sha1, sha256 or sha512"));
}

/*
 * base32_encode(data bytea) returns text
 *
 * Without padding, as authenticators want it.
 */
Datum
fx_base32_encode(PG_FUNCTION_ARGS)
{
	bytea	   *data = PG_GETARG_BYTEA_PP(0);
	const uint8 *bytes = (const uint8 *) VARDATA_ANY(data);
	Size		len = VARSIZE_ANY_EXHDR(data);
	text	   *result = palloc(VARHDRSZ + (len * 8 + 4) / 5);
	char	   *out = VARDATA(result);
	uint32		bits = 0;
	int			count = 0;

	for (Size i = 0; i < len; i++)
	{
		bits = (bits << 8) | bytes[i];
		for (count += 8; count >= 5; count -= 5)
			*out++ = base32_digits[(bits >> (count - 5)) & 31];
	}
	if (count > 0)
		*out++ = base32_digits[(bits << (5 - count)) & 31];
	SET_VARSIZE(result, out - (char *) result);
	PG_RETURN_TEXT_P(result);
}

/*
 * base32_decode(data text) returns bytea
 *
 * In either case, with or without padding.
 */
Datum
fx_base32_decode(PG_FUNCTION_ARGS)
{
	text	   *data = PG_GETARG_TEXT_PP(0);
	const char *str = VARDATA_ANY(data);
	Size		len = VARSIZE_ANY_EXHDR(data);
	bytea	   *result = palloc(VARHDRSZ + len * 5 / 8);
	char	   *out = VARDATA(result);
	uint32		bits = 0;
	int			count = 0;

	while (len > 0 && str[len - 1] == '=')
		len--;
	for (Size i = 0; i < len; i++)
	{
		const char *digit = strchr(base32_digits, pg_toupper((unsigned char) str[i]));

		/* the value is not shown: it is a secret */
		if (digit == NULL || *digit == '\0')
			ereport(ERROR,
					errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					errmsg("text is not base32"));
		bits = (bits << 5) | (uint32) (digit - base32_digits);
		count += 5;
		if (count >= 8)
		{
			count -= 8;
			*out++ = (char) (bits >> count);
		}
	}
	SET_VARSIZE(result, out - (char *) result);
	PG_RETURN_BYTEA_P(result);
}
