/*-------------------------------------------------------------------------
 *
 * identity.c
 *	  For whom does the session act?
 *
 * Applications say so in the setting app.current_user_id, which is '' once
 * a transaction that used SET LOCAL is over.  The lookup must never fail: row
 * security and the audit trigger depend on it, and neither may turn a typing
 * error of the pool's configuration into a failed write.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/uuid.h"

#include "compat.h"

#define IDENTITY_SETTING	"app.current_user_id"

/* A longer text is no uuid, whatever it holds */
#define IDENTITY_MAX_LEN	64

PG_FUNCTION_INFO_V1(fx_current_user_id);

static bool parse_uuid(const char *str, pg_uuid_t *uuid);

/*
 * current_user_id() returns uuid
 */
Datum
fx_current_user_id(PG_FUNCTION_ARGS)
{
	static char complained[IDENTITY_MAX_LEN + 1];
	const char *setting = GetConfigOption(IDENTITY_SETTING, true, false);
	pg_uuid_t  *uuid;

	if (setting == NULL || setting[0] == '\0')
		PG_RETURN_NULL();

	uuid = palloc(sizeof(pg_uuid_t));
	if (parse_uuid(setting, uuid))
		PG_RETURN_UUID_P(uuid);

	/* The value is not shown: it may be anything, a password even. */
	if (strncmp(complained, setting, IDENTITY_MAX_LEN) != 0)
	{
		strlcpy(complained, setting, sizeof(complained));
		ereport(WARNING,
				errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				errmsg("setting \"%s\" is not a uuid", IDENTITY_SETTING),
				errdetail("The session acts for no user."));
	}
	PG_RETURN_NULL();
}

/*
 * Read what uuid_in() accepts, 32 hexadecimal digits with a hyphen allowed
 * after each four and braces around all, without its error.
 */
static bool
parse_uuid(const char *str, pg_uuid_t *uuid)
{
	bool		braces = str[0] == '{';

	if (braces)
		str++;
	for (int i = 0; i < UUID_LEN; i++)
	{
		int			value = 0;

		for (int half = 0; half < 2; half++, str++)
		{
			if (*str >= '0' && *str <= '9')
				value = value * 16 + (*str - '0');
			else if (*str >= 'a' && *str <= 'f')
				value = value * 16 + (*str - 'a' + 10);
			else if (*str >= 'A' && *str <= 'F')
				value = value * 16 + (*str - 'A' + 10);
			else
				return false;
		}
		uuid->data[i] = (unsigned char) value;
		if (*str == '-' && i % 2 == 1 && i < UUID_LEN - 1)
			str++;
	}
	if (braces && *str++ != '}')
		return false;
	return *str == '\0';
}
