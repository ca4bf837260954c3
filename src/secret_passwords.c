/*-------------------------------------------------------------------------
 *
 * secret_passwords.c
 *	  Hashes of passwords
 *
 * The hash is bcrypt's, made by crypt() of pgcrypto.  A comparison takes the
 * same time whether there is a hash or none, and whatever its cost is up to
 * fxplatform.password_cost: work of 2^cost is padded with one run of each cost
 * from that of the hash up to one below the setting, which is what is missing.
 *
 * bcrypt reads no more than 72 bytes, so that a longer password is none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "compat.h"
#include "identity.h"
#include "secret_keys.h"

#define BCRYPT_MAX_PASSWORD	72
#define BCRYPT_HASH_LEN		60
#define BCRYPT_PREFIX_LEN	7	/* $2a$10$ */
#define BCRYPT_MIN_COST		4
#define BCRYPT_MAX_COST		31

static int	password_cost = 10;
static int	password_min_length = 12;

PG_FUNCTION_INFO_V1(fx_hash_password);
PG_FUNCTION_INFO_V1(fx_password_matches);
PG_FUNCTION_INFO_V1(fx_hash_is_weak);

static text *bcrypt(text *password, text *salt);
static text *no_salt(int cost);
static int	hash_cost(const text *hash);

/*
 * hash_password(password text) returns text
 */
Datum
fx_hash_password(PG_FUNCTION_ARGS)
{
	text	   *password = PG_GETARG_TEXT_PP(0);
	Oid			types[] = {TEXTOID, INT4OID};
	Datum		salt;

	if (pg_mbstrlen_with_len(VARDATA_ANY(password), VARSIZE_ANY_EXHDR(password)) < password_min_length)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PASSWORD),
				errmsg("password must have at least %d characters", password_min_length));
	if (VARSIZE_ANY_EXHDR(password) > BCRYPT_MAX_PASSWORD)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PASSWORD),
				errmsg("password must not have more than %d bytes", BCRYPT_MAX_PASSWORD));

	salt = OidFunctionCall2(fx_pgcrypto_function("gen_salt", lengthof(types), types),
							PointerGetDatum(cstring_to_text("bf")), Int32GetDatum(password_cost));
	PG_RETURN_TEXT_P(bcrypt(password, DatumGetTextPP(salt)));
}

/*
 * password_matches(password text, hash text) returns boolean
 *
 * Not strict: without a hash, or with one of another kind, it takes its time
 * and is false.
 */
Datum
fx_password_matches(PG_FUNCTION_ARGS)
{
	text	   *password = PG_ARGISNULL(0) ? cstring_to_text("") : PG_GETARG_TEXT_PP(0);
	text	   *hash = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1);
	int			cost = hash == NULL ? 0 : hash_cost(hash);
	bool		usable = cost > 0 && !PG_ARGISNULL(0);
	text	   *result;
	bool		equal;

	if (VARSIZE_ANY_EXHDR(password) > BCRYPT_MAX_PASSWORD)
	{
		password = cstring_to_text_with_len(VARDATA_ANY(password), BCRYPT_MAX_PASSWORD);
		usable = false;
	}
	if (cost == 0)
	{
		cost = password_cost;
		hash = no_salt(cost);
	}

	result = bcrypt(password, hash);
	equal = VARSIZE_ANY_EXHDR(result) == VARSIZE_ANY_EXHDR(hash) &&
		fx_equal_bytes(VARDATA_ANY(result), VARDATA_ANY(hash), VARSIZE_ANY_EXHDR(result));
	for (; cost < password_cost; cost++)
		(void) bcrypt(password, no_salt(cost));

	PG_RETURN_BOOL(equal && usable);
}

/*
 * hash_is_weak(hash text) returns boolean
 */
Datum
fx_hash_is_weak(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(hash_cost(PG_GETARG_TEXT_PP(0)) < password_cost);
}

static text *
bcrypt(text *password, text *salt)
{
	Oid			types[] = {TEXTOID, TEXTOID};

	return DatumGetTextPP(OidFunctionCall2(fx_pgcrypto_function("crypt", lengthof(types), types),
										   PointerGetDatum(password), PointerGetDatum(salt)));
}

/*
 * A salt for a hash that is thrown away
 */
static text *
no_salt(int cost)
{
	return cstring_to_text(psprintf("$2a$%02d$......................", cost));
}

/*
 * The cost of a hash of bcrypt, 0 for anything else
 */
static int
hash_cost(const text *hash)
{
	static const char *const alphabet =
		"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	const char *str = VARDATA_ANY(hash);
	int			cost;

	if (VARSIZE_ANY_EXHDR(hash) != BCRYPT_HASH_LEN ||
		memcmp(str, "$2", 2) != 0 || (str[2] != 'a' && str[2] != 'x') ||
		str[3] != '$' || str[BCRYPT_PREFIX_LEN - 1] != '$' ||
		str[4] < '0' || str[4] > '9' || str[5] < '0' || str[5] > '9')
		return 0;
	/* what bcrypt would refuse to read as a salt */
	for (int i = BCRYPT_PREFIX_LEN; i < BCRYPT_HASH_LEN; i++)
	{
		if (memchr(alphabet, str[i], strlen(alphabet)) == NULL)
			return 0;
	}
	cost = (str[4] - '0') * 10 + (str[5] - '0');
	return cost >= BCRYPT_MIN_COST && cost <= BCRYPT_MAX_COST ? cost : 0;
}

void
fx_define_password_settings(void)
{
	DefineCustomIntVariable("fxplatform.password_cost",
							"Sets the logarithm of the work that a new hash of a password takes.",
							"Older hashes are made again at the next sign-in when it rises.",
							&password_cost,
							10,
							BCRYPT_MIN_COST, 16,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("fxplatform.password_min_length",
							"Sets the smallest number of characters of a new password.",
							NULL,
							&password_min_length,
							12,
							1, BCRYPT_MAX_PASSWORD,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);
}
