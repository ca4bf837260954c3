/*-------------------------------------------------------------------------
 *
 * secret_keys.c
 *	  The file of keys
 *
 * Each line is "version:key", the key 32 bytes in base64, the version a number
 * from 1; empty lines and those that begin with '#' are skipped.  The highest
 * version encrypts, the others only decrypt what they encrypted.
 *
 * The file is read for each call and its contents are overwritten after it, so
 * that no key stays in memory.  No message shows a line of it, and its
 * name goes to the log only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base64.h"
#include "fmgr.h"
#include "storage/fd.h"
#include "utils/guc.h"

#include "compat.h"
#include "identity.h"
#include "secret_keys.h"

/* A larger file is not a file of keys */
#define KEY_FILE_MAX		65536

/* 32 bytes in base64 */
#define KEY_ENCODED_LEN		44

char	   *fx_key_file = NULL;

static int	read_file(char *buffer);
static void check_permissions(int fd);
static const char *find_key(const char *contents, int version, FxKey *key);
static const char *parse_line(const char *line, int len, FxKey *key);
pg_noreturn static void raise_file_error(const char *detail);

/*
 * The key of this version, or the newest.
 */
void
fx_read_key(int version, FxKey *key)
{
	char		buffer[KEY_FILE_MAX + 1];
	const char *problem;
	int			len;

	if (fx_key_file == NULL || fx_key_file[0] == '\0')
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("no key for encryption is configured"),
				errhint("A superuser sets fxplatform.key_file to the name of a file of keys."));

	len = read_file(buffer);
	buffer[len] = '\0';
	problem = strlen(buffer) == len ? find_key(buffer, version, key) : "It has a zero byte.";
	explicit_bzero(buffer, sizeof(buffer));

	if (problem != NULL)
		raise_file_error(problem);
	if (key->version == 0)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				version == FX_NEWEST_KEY ?
				errmsg("the file of keys has no key") :
				errmsg("the file of keys has no key of version %d", version));
}

static int
read_file(char *buffer)
{
	int			fd = OpenTransientFile(fx_key_file, O_RDONLY | PG_BINARY);
	int			len = 0;
	int			count;

	if (fd < 0)
		raise_file_error("It cannot be opened.");
	check_permissions(fd);
	while ((count = read(fd, buffer + len, KEY_FILE_MAX - len)) > 0)
		len += count;
	if (count < 0 || len == KEY_FILE_MAX)
	{
		explicit_bzero(buffer, KEY_FILE_MAX);
		raise_file_error(count < 0 ? "It cannot be read." : "It is too large.");
	}
	CloseTransientFile(fd);
	return len;
}

/*
 * As the server asks of the key of its certificate
 */
static void
check_permissions(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		raise_file_error("It is not a regular file.");
	if (st.st_uid != geteuid() && st.st_uid != 0)
		raise_file_error("It must be owned by the user of the server or by root.");
	if ((st.st_uid == geteuid() && (st.st_mode & (S_IRWXG | S_IRWXO))) ||
		(st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IXGRP | S_IRWXO))))
		raise_file_error("It must have permissions 0600 or less, or 0640 or less when owned by root.");
}

/*
 * Fill in the key, version 0 when there is none.  Returns what is wrong with
 * the file, wherever it is, or NULL.
 */
static const char *
find_key(const char *contents, int version, FxKey *key)
{
	const char *line = contents;
	const char *problem = NULL;
	int			seen[KEY_FILE_MAX / FX_KEY_BYTES];
	int			count = 0;

	key->version = 0;
	while (*line != '\0' && problem == NULL)
	{
		int			len = strcspn(line, "\r\n");
		FxKey		found;

		if (len > 0 && line[0] != '#')
		{
			problem = parse_line(line, len, &found);
			for (int i = 0; i < count && problem == NULL; i++)
			{
				if (seen[i] == found.version)
					problem = "A version is there twice.";
			}
			if (problem == NULL)
			{
				seen[count++] = found.version;
				if (version == FX_NEWEST_KEY ? found.version > key->version :
					found.version == version)
					*key = found;
			}
			explicit_bzero(&found, sizeof(found));
		}
		line += len;
		if (*line != '\0')
			line++;
	}
	if (problem != NULL)
		explicit_bzero(key, sizeof(FxKey));
	return problem;
}

static const char *
parse_line(const char *line, int len, FxKey *key)
{
	static const char *const problem = "Each line must be a version from 1, a colon and 32 bytes in base64.";
	const char *colon = memchr(line, ':', len);
	int			version = 0;
	char		bytes[FX_KEY_BYTES * 2];
	int			encoded_len;

	if (colon == NULL || colon == line || colon - line > 9)
		return problem;
	for (const char *digit = line; digit < colon; digit++)
	{
		if (*digit < '0' || *digit > '9')
			return problem;
		version = version * 10 + (*digit - '0');
	}

	encoded_len = len - (colon + 1 - line);
	if (version == 0 || encoded_len != KEY_ENCODED_LEN ||
		pg_b64_decode(colon + 1, encoded_len, FX_B64_BYTES(bytes), sizeof(bytes)) != FX_KEY_BYTES)
		return problem;

	key->version = version;
	memcpy(key->bytes, bytes, FX_KEY_BYTES);
	explicit_bzero(bytes, sizeof(bytes));
	return NULL;
}

static void
raise_file_error(const char *detail)
{
	ereport(ERROR,
			errcode(ERRCODE_CONFIG_FILE_ERROR),
			errmsg("the file of keys cannot be used"),
			errdetail_internal("%s", detail),
			errdetail_log("%s File: \"%s\".", detail, fx_key_file));
}

void
fx_define_secret_settings(void)
{
	DefineCustomStringVariable("fxplatform.key_file",
							   "Names the file of keys for the encryption of columns.",
							   "Lines of version:key, the key 32 bytes in base64; readable by the server's user only.",
							   &fx_key_file,
							   "",
							   PGC_SUSET,
							   GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);
}
