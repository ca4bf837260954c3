/*-------------------------------------------------------------------------
 *
 * identity.c
 *	  For whom does the session act?
 *
 * For the user of the session that fx.use_session() bound to the backend, else
 * for whom the application says in the setting app.current_user_id, unless
 * fxplatform.require_session forbids to believe it.  The setting is '' once
 * a transaction that used SET LOCAL is over.  The lookup must never fail: row
 * security and the audit trigger depend on it, and neither may turn a typing
 * error of the pool's configuration into a failed write.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/inet.h"

#include "compat.h"
#include "identity.h"

#define IDENTITY_SETTING	"app.current_user_id"
#define ADDRESS_SETTING		"app.ip_address"
#define APPLICATION_ROLE	"fx_app"

/* A longer text is no uuid, whatever it holds */
#define IDENTITY_MAX_LEN	64

PG_FUNCTION_INFO_V1(fx_current_user_id);
PG_FUNCTION_INFO_V1(fx_acts_for_all);
PG_FUNCTION_INFO_V1(fx_client_address);

static bool parse_address(const char *str, inet **address);

/*
 * current_user_id() returns uuid
 */
Datum
fx_current_user_id(PG_FUNCTION_ARGS)
{
	static char complained[IDENTITY_MAX_LEN + 1];
	const FxSession *session = fx_bound_session();
	const char *setting;
	pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));

	/* a session that ended does not give way to the setting */
	if (session->bound)
	{
		if (!fx_session_is_live(session))
			PG_RETURN_NULL();
		*uuid = session->user_id;
		PG_RETURN_UUID_P(uuid);
	}
	if (fx_session_required())
		PG_RETURN_NULL();

	setting = GetConfigOption(IDENTITY_SETTING, true, false);
	if (setting == NULL || setting[0] == '\0')
		PG_RETURN_NULL();

	if (fx_parse_uuid(setting, strlen(setting), uuid))
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
 * acts_for_all() returns boolean
 *
 * The role asked for is the one outside all functions that run with the rights
 * of their owner: that of the session, or of SET ROLE.
 */
Datum
fx_acts_for_all(PG_FUNCTION_ARGS)
{
	Oid			application = get_role_oid(APPLICATION_ROLE, true);

	PG_RETURN_BOOL(OidIsValid(application) &&
				   has_privs_of_role(GetOuterUserId(), application));
}

/*
 * Has the role that logged in the rights of the application?  SET ROLE and
 * functions with the rights of their owner do not matter.
 */
bool
fx_session_speaks_for_others(void)
{
	Oid			application = get_role_oid(APPLICATION_ROLE, true);

	return OidIsValid(application) && has_privs_of_role(GetSessionUserId(), application);
}

/*
 * client_address() returns inet
 *
 * An application speaks for many: it says for whom in the setting, or the
 * address is not known.  Nobody else's word counts.
 */
Datum
fx_client_address(PG_FUNCTION_ARGS)
{
	const char *setting;
	inet	   *address;

	if (!fx_session_speaks_for_others())
		return inet_client_addr(fcinfo);

	setting = GetConfigOption(ADDRESS_SETTING, true, false);
	if (setting == NULL || !parse_address(setting, &address))
		PG_RETURN_NULL();
	PG_RETURN_INET_P(address);
}

/*
 * Read the address of one host, as inet_in() does, without its error.
 */
static bool
parse_address(const char *str, inet **address)
{
	inet	   *result = palloc0(sizeof(inet));

	ip_family(result) = strchr(str, ':') != NULL ? PGSQL_AF_INET6 : PGSQL_AF_INET;
	ip_bits(result) = ip_maxbits(result);
	if (pg_inet_net_pton(ip_family(result), str, ip_addr(result), -1) != ip_maxbits(result))
		return false;
	SET_INET_VARSIZE(result);
	*address = result;
	return true;
}

/*
 * Read what uuid_in() accepts, 32 hexadecimal digits with a hyphen allowed
 * after each four and braces around all, without its error.
 */
bool
fx_parse_uuid(const char *str, int len, pg_uuid_t *uuid)
{
	const char *end = str + len;
	bool		braces = len > 0 && str[0] == '{';

	if (braces)
		str++;
	for (int i = 0; i < UUID_LEN; i++)
	{
		int			value = 0;

		for (int half = 0; half < 2; half++, str++)
		{
			if (str == end)
				return false;
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
		if (str < end && *str == '-' && i % 2 == 1 && i < UUID_LEN - 1)
			str++;
	}
	if (braces && (str == end || *str++ != '}'))
		return false;
	return str == end;
}
