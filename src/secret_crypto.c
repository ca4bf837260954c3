/*-------------------------------------------------------------------------
 *
 * secret_crypto.c
 *	  Authenticated encryption of column values
 *
 * A value is "fx1:version:data", the data in base64: a random initialisation
 * vector of 16 bytes, AES-256-CBC of the text with PKCS padding, and HMAC-SHA256
 * over the version, the context, the vector and the ciphertext, each with its
 * length.  The keys of the cipher and of the HMAC are derived from the key of
 * that version by HMAC-SHA256 of a label.  The MAC is checked before anything is
 * decrypted.
 *
 * The cipher is pgcrypto's.  It is called as a C function, so that a key is
 * never part of a query; the hash is the server's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "common/base64.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "compat.h"
#include "secret_keys.h"

#define PREFIX				"fx1:"
#define PREFIX_LEN			(sizeof(PREFIX) - 1)
#define IV_BYTES			16
#define MAC_BYTES			PG_SHA256_DIGEST_LENGTH
#define BLOCK_BYTES			16
#define VERSION_DIGITS		9

/* Contexts of the platform's own columns */
#define RESERVED_CONTEXT	"fx."

/* There are several copies of the text in memory at a time */
#define PLAINTEXT_MAX		(64 * 1024 * 1024)

/* What that becomes; a longer value was made by nobody */
#define DATA_MAX			(IV_BYTES + PLAINTEXT_MAX + BLOCK_BYTES + MAC_BYTES)

/* Functions of pgcrypto that were found; the names are constants */
static struct
{
	const char *name;			/* NULL: free */
	Oid			oid;
}			functions[4];
static bool functions_registered = false;

PG_FUNCTION_INFO_V1(fx_encrypt);
PG_FUNCTION_INFO_V1(fx_decrypt);
PG_FUNCTION_INFO_V1(fx_encrypt_value);
PG_FUNCTION_INFO_V1(fx_decrypt_value);
PG_FUNCTION_INFO_V1(fx_encryption_version);
PG_FUNCTION_INFO_V1(fx_newest_key_version);

static void check_context(const text *context);
static text *encrypt_text(const text *plaintext, const text *context);
static text *decrypt_text(const text *value, const text *context);
static int	value_version(const text *value, int *data_at);
static void derive_keys(const FxKey *key, bytea *cipher_key, uint8 *mac_key);
static void authenticate(const uint8 *mac_key, int version, const text *context,
						 const char *data, Size len, uint8 *mac);
static bytea *run_cipher(const char *function, const char *data, Size len,
						 bytea *key, const char *iv);
pg_noreturn static void raise_not_authentic(void);
static Oid	find_pgcrypto_function(const char *name, int nargs, const Oid *argtypes);
static void forget_functions(Datum arg, int cacheid, uint32 hashvalue);

/*
 * encrypt(plaintext text, context text) returns text
 */
Datum
fx_encrypt(PG_FUNCTION_ARGS)
{
	check_context(PG_GETARG_TEXT_PP(1));
	return fx_encrypt_value(fcinfo);
}

/*
 * decrypt(value text, context text) returns text
 */
Datum
fx_decrypt(PG_FUNCTION_ARGS)
{
	check_context(PG_GETARG_TEXT_PP(1));
	return fx_decrypt_value(fcinfo);
}

/*
 * encrypt_value(plaintext text, context text) returns text
 */
Datum
fx_encrypt_value(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(encrypt_text(PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1)));
}

/*
 * decrypt_value(value text, context text) returns text
 */
Datum
fx_decrypt_value(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(decrypt_text(PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1)));
}

/*
 * encryption_version(value text) returns integer
 */
Datum
fx_encryption_version(PG_FUNCTION_ARGS)
{
	int			data_at;
	int			version = value_version(PG_GETARG_TEXT_PP(0), &data_at);

	if (version == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(version);
}

/*
 * newest_key_version() returns integer
 */
Datum
fx_newest_key_version(PG_FUNCTION_ARGS)
{
	FxKey		key;

	fx_read_key(FX_NEWEST_KEY, &key);
	explicit_bzero(key.bytes, sizeof(key.bytes));
	PG_RETURN_INT32(key.version);
}

static void
check_context(const text *context)
{
	if (VARSIZE_ANY_EXHDR(context) >= strlen(RESERVED_CONTEXT) &&
		memcmp(VARDATA_ANY(context), RESERVED_CONTEXT, strlen(RESERVED_CONTEXT)) == 0)
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("context must not begin with \"%s\"", RESERVED_CONTEXT),
				errdetail("Such contexts are those of the platform's own columns."));
}

static text *
encrypt_text(const text *plaintext, const text *context)
{
	FxKey		key;
	bytea	   *cipher_key = palloc(VARHDRSZ + FX_KEY_BYTES);
	uint8		mac_key[FX_KEY_BYTES];
	char		iv[IV_BYTES];
	bytea	   *ciphertext;
	Size		len;
	char	   *data;
	char	   *head;
	text	   *result;
	int			head_len;
	int			encoded_len;

	if (VARSIZE_ANY_EXHDR(plaintext) > PLAINTEXT_MAX)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("text to encrypt must not have more than %d bytes", PLAINTEXT_MAX));
	if (!pg_strong_random(iv, sizeof(iv)))
		ereport(ERROR,
				errcode(ERRCODE_INTERNAL_ERROR),
				errmsg("could not generate random values"));

	fx_read_key(FX_NEWEST_KEY, &key);
	derive_keys(&key, cipher_key, mac_key);
	ciphertext = run_cipher("encrypt_iv", VARDATA_ANY(plaintext), VARSIZE_ANY_EXHDR(plaintext),
							cipher_key, iv);

	len = IV_BYTES + VARSIZE_ANY_EXHDR(ciphertext);
	data = palloc(len + MAC_BYTES);
	memcpy(data, iv, IV_BYTES);
	memcpy(data + IV_BYTES, VARDATA_ANY(ciphertext), len - IV_BYTES);
	authenticate(mac_key, key.version, context, data, len, (uint8 *) data + len);

	head = psprintf(PREFIX "%d:", key.version);
	head_len = strlen(head);
	encoded_len = pg_b64_enc_len(len + MAC_BYTES);
	result = palloc(VARHDRSZ + head_len + encoded_len);
	memcpy(VARDATA(result), head, head_len);
	encoded_len = pg_b64_encode(FX_B64_BYTES(data), len + MAC_BYTES, VARDATA(result) + head_len, encoded_len);
	if (encoded_len < 0)
		elog(ERROR, "could not encode a value");
	SET_VARSIZE(result, VARHDRSZ + head_len + encoded_len);

	explicit_bzero(&key, sizeof(key));
	explicit_bzero(VARDATA(cipher_key), FX_KEY_BYTES);
	explicit_bzero(mac_key, sizeof(mac_key));
	return result;
}

static text *
decrypt_text(const text *value, const text *context)
{
	int			data_at;
	int			version = value_version(value, &data_at);
	int			encoded_len = VARSIZE_ANY_EXHDR(value) - data_at;
	FxKey		key;
	bytea	   *cipher_key = palloc(VARHDRSZ + FX_KEY_BYTES);
	uint8		mac_key[FX_KEY_BYTES];
	uint8		mac[MAC_BYTES];
	char	   *data;
	int			len;
	bool		authentic;
	bytea	   *plaintext = NULL;

	if (version == 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("value is not encrypted"));
	if (encoded_len > pg_b64_enc_len(DATA_MAX))
		raise_not_authentic();

	data = palloc(pg_b64_dec_len(encoded_len) + 1);
	len = pg_b64_decode(VARDATA_ANY(value) + data_at, encoded_len, FX_B64_BYTES(data),
						pg_b64_dec_len(encoded_len));
	if (len < IV_BYTES + BLOCK_BYTES + MAC_BYTES || (len - IV_BYTES - MAC_BYTES) % BLOCK_BYTES != 0)
		raise_not_authentic();
	len -= MAC_BYTES;

	fx_read_key(version, &key);
	derive_keys(&key, cipher_key, mac_key);
	explicit_bzero(&key, sizeof(key));
	authenticate(mac_key, version, context, data, len, mac);
	explicit_bzero(mac_key, sizeof(mac_key));
	authentic = fx_equal_bytes(mac, data + len, MAC_BYTES);
	if (authentic)
		plaintext = run_cipher("decrypt_iv", data + IV_BYTES, len - IV_BYTES, cipher_key, data);
	explicit_bzero(VARDATA(cipher_key), FX_KEY_BYTES);
	if (!authentic)
		raise_not_authentic();
	return (text *) plaintext;
}

/*
 * The version of a value's key, and where its data begin; 0 when it is none.
 */
static int
value_version(const text *value, int *data_at)
{
	const char *str = VARDATA_ANY(value);
	int			len = VARSIZE_ANY_EXHDR(value);
	int			at = PREFIX_LEN;
	int			version = 0;

	*data_at = 0;
	if (len < PREFIX_LEN || memcmp(str, PREFIX, PREFIX_LEN) != 0)
		return 0;
	while (at < len && at < PREFIX_LEN + VERSION_DIGITS && str[at] >= '0' && str[at] <= '9')
		version = version * 10 + (str[at++] - '0');
	if (at == len || str[at] != ':' || str[PREFIX_LEN] == '0')
		return 0;
	*data_at = at + 1;
	return version;
}

static void
derive_keys(const FxKey *key, bytea *cipher_key, uint8 *mac_key)
{
	static const char cipher_label[] = "fxplatform column encryption";
	static const char mac_label[] = "fxplatform column authentication";

	SET_VARSIZE(cipher_key, VARHDRSZ + FX_KEY_BYTES);
	fx_hmac_sha256(key->bytes, FX_KEY_BYTES, cipher_label, strlen(cipher_label),
				   (uint8 *) VARDATA(cipher_key));
	fx_hmac_sha256(key->bytes, FX_KEY_BYTES, mac_label, strlen(mac_label), mac_key);
}

static void
authenticate(const uint8 *mac_key, int version, const text *context,
			 const char *data, Size len, uint8 *mac)
{
	StringInfoData message;

	initStringInfo(&message);
	appendStringInfo(&message, PREFIX "%d:" UINT64_FORMAT ":", version,
					 (uint64) VARSIZE_ANY_EXHDR(context));
	appendBinaryStringInfo(&message, VARDATA_ANY(context), VARSIZE_ANY_EXHDR(context));
	appendBinaryStringInfo(&message, data, len);
	fx_hmac_sha256(mac_key, FX_KEY_BYTES, message.data, message.len, mac);
	pfree(message.data);
}

static bytea *
run_cipher(const char *function, const char *data, Size len, bytea *key, const char *iv)
{
	Oid			types[] = {BYTEAOID, BYTEAOID, BYTEAOID, TEXTOID};

	return DatumGetByteaPP(OidFunctionCall4(fx_pgcrypto_function(function, lengthof(types), types),
											PointerGetDatum(cstring_to_text_with_len(data, len)),
											PointerGetDatum(key),
											PointerGetDatum(cstring_to_text_with_len(iv, IV_BYTES)),
											PointerGetDatum(cstring_to_text("aes-cbc/pad:pkcs"))));
}

static void
raise_not_authentic(void)
{
	ereport(ERROR,
			errcode(ERRCODE_DATA_EXCEPTION),
			errmsg("value cannot be authenticated"),
			errdetail("It was changed, or encrypted for another context or with another key."));
}

void
fx_hmac_sha256(const uint8 *key, Size key_len, const char *data, Size len, uint8 *result)
{
	pg_hmac_ctx *ctx = pg_hmac_create(PG_SHA256);

	if (ctx == NULL || pg_hmac_init(ctx, key, key_len) < 0 ||
		pg_hmac_update(ctx, (const uint8 *) data, len) < 0 ||
		pg_hmac_final(ctx, result, PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not compute a keyed hash: %s", pg_hmac_error(ctx));
	pg_hmac_free(ctx);
}

/*
 * A function of pgcrypto, in whatever schema it is.  It is told by being a
 * member of the extension: others may make functions in that schema.  What was
 * found is kept until the catalog of functions changes.
 */
Oid
fx_pgcrypto_function(const char *name, int nargs, const Oid *argtypes)
{
	int			free = 0;

	if (!functions_registered)
	{
		CacheRegisterSyscacheCallback(PROCOID, forget_functions, (Datum) 0);
		functions_registered = true;
	}
	while (free < lengthof(functions) && functions[free].name != NULL)
	{
		if (strcmp(functions[free].name, name) == 0)
			return functions[free].oid;
		free++;
	}
	if (free == lengthof(functions))
		elog(ERROR, "too many functions of pgcrypto");

	functions[free].oid = find_pgcrypto_function(name, nargs, argtypes);
	functions[free].name = name;
	return functions[free].oid;
}

static Oid
find_pgcrypto_function(const char *name, int nargs, const Oid *argtypes)
{
	Oid			extension = get_extension_oid("pgcrypto", false);
	CatCList   *candidates = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
	Oid			result = InvalidOid;

	for (int i = 0; i < candidates->n_members && !OidIsValid(result); i++)
	{
		Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(&candidates->members[i]->tuple);

		if (proc->pronargs == nargs &&
			memcmp(proc->proargtypes.values, argtypes, nargs * sizeof(Oid)) == 0 &&
			getExtensionOfObject(ProcedureRelationId, proc->oid) == extension)
			result = proc->oid;
	}
	ReleaseCatCacheList(candidates);

	if (!OidIsValid(result))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_FUNCTION),
				errmsg("extension \"%s\" has no function \"%s\" that is needed", "pgcrypto", name));
	return result;
}

static void
forget_functions(Datum arg, int cacheid, uint32 hashvalue)
{
	memset(functions, 0, sizeof(functions));
}

/*
 * Compare without telling by the time where the difference is.
 */
bool
fx_equal_bytes(const void *a, const void *b, Size len)
{
	const volatile uint8 *left = a;
	const volatile uint8 *right = b;
	uint8		difference = 0;

	for (Size i = 0; i < len; i++)
		difference |= left[i] ^ right[i];
	return difference == 0;
}
