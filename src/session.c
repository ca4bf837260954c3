/*-------------------------------------------------------------------------
 *
 * session.c
 *	  Sessions of users that are bound to a backend
 *
 * Which session is bound is the value of a setting, fxplatform.bound_session,
 * that only this file may change: its check refuses everybody else, superusers
 * included.  Being a setting it follows transactions as SET and SET LOCAL do, is
 * forgotten by DISCARD ALL, and reaches parallel workers.
 *
 * A revoked session must stop counting in backends that are bound to it.  They
 * look it up again when they have not done so for fxplatform.session_recheck,
 * in the newest snapshot whatever that of the transaction is.  What they found
 * is kept outside transactions: a rollback does not make it untrue.
 *
 * Whoever connects can give a value to a setting that no loaded module has
 * defined.  The server drops it when the module is loaded and the setting turns
 * out to be a superuser's, but with it goes the value that the superuser had set.
 * If that happens to fxplatform.require_session, it counts as on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/base64.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "fxplatform.h"
#include "identity.h"
#include "kept_plan.h"

#define BOUND_SETTING		"fxplatform.bound_session"
#define REQUIRED_SETTING	"fxplatform.require_session"

/* Text of a uuid */
#define UUID_TEXT_LEN		36

/* Bytes of a token that are random */
#define TOKEN_BYTES			32

static const char *const live_query =
	"SELECT s.expires_at FROM fx.sessions s JOIN fx.users u"
	" ON u.id OPERATOR(pg_catalog.=) s.user_id"
	" WHERE s.id OPERATOR(pg_catalog.=) $1 AND s.user_id OPERATOR(pg_catalog.=) $2"
	" AND s.revoked_at IS NULL AND u.deleted_at IS NULL"
	" AND u.status::pg_catalog.text OPERATOR(pg_catalog.=) 'active'";

/* Settings */
static char *bound_session_text = NULL;
static bool require_session = false;
static int	session_recheck = 10;	/* seconds */
static int	session_idle_timeout;	/* read by SQL */
static int	session_lifetime;		/* read by SQL */

/* The value of bound_session_text */
static FxSession bound_session;

/* Set while this file changes bound_session_text */
static bool binding = false;

/* Whether require_session was given a value that its check has seen */
static bool require_session_seen = false;

/* What is known of the session looked up last, whatever became of the transaction */
static struct
{
	pg_uuid_t	session_id;
	TimestampTz checked_at;		/* 0: never */
	TimestampTz expires_at;		/* DT_NOBEGIN: it has ended */
}			known;

PG_FUNCTION_INFO_V1(fx_bind_session);
PG_FUNCTION_INFO_V1(fx_leave_session);
PG_FUNCTION_INFO_V1(fx_bound_session_id);
PG_FUNCTION_INFO_V1(fx_random_token);

static bool check_bound_session(char **newval, void **extra, GucSource source);
static void assign_bound_session(const char *newval, void *extra);
static bool check_require_session(bool *newval, void **extra, GucSource source);
static void set_bound_session(const char *value, bool local);
static TimestampTz look_up_session(const FxSession *session);

const FxSession *
fx_bound_session(void)
{
	return &bound_session;
}

bool
fx_session_required(void)
{
	return require_session;
}

/*
 * Has the session neither ended nor been revoked, as far as is known?
 */
bool
fx_session_is_live(const FxSession *session)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz due = known.checked_at + session_recheck * USECS_PER_SEC;

	/* once a statement at most, and once an interval in a long one */
	if (known.checked_at == 0 ||
		memcmp(&known.session_id, &session->session_id, sizeof(pg_uuid_t)) != 0 ||
		(session_recheck > 0 ? now > due : GetCurrentStatementStartTimestamp() > due))
	{
		known.checked_at = 0;
		known.expires_at = look_up_session(session);
		known.session_id = session->session_id;
		known.checked_at = GetCurrentTimestamp();
	}
	return now < known.expires_at;
}

/*
 * When does the session expire?  DT_NOBEGIN when it has ended.
 *
 * Runs with the rights of the table's owner, as foreign keys do, in a snapshot
 * of its own: that of the transaction may be older than the revocation.
 */
static TimestampTz
look_up_session(const FxSession *session)
{
	static SPIPlanPtr live_plan = NULL;
	Oid			namespace = get_namespace_oid("fx", true);
	Oid			table = OidIsValid(namespace) ? get_relname_relid("sessions", namespace) : InvalidOid;
	Oid			save_userid;
	int			save_sec_context;
	Datum		args[2];
	Snapshot	snapshot;
	TimestampTz expires_at = DT_NOBEGIN;

	/* without the table there are no sessions */
	if (!OidIsValid(table))
		return expires_at;

	fx_act_as_owner(table, &save_userid, &save_sec_context);
	SPI_connect();

	if (live_plan == NULL)
	{
		Oid			types[2] = {UUIDOID, UUIDOID};

		live_plan = fx_kept_plan(live_query, lengthof(types), types);
	}

	args[0] = UUIDPGetDatum(&session->session_id);
	args[1] = UUIDPGetDatum(&session->user_id);
	/* a parallel worker has the snapshots of its leader only */
	snapshot = RegisterSnapshot(IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot());
	if (SPI_execute_snapshot(live_plan, args, NULL, snapshot, InvalidSnapshot,
							 true, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up a session");
	if (SPI_processed > 0)
	{
		bool		isnull;

		expires_at = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0],
													   SPI_tuptable->tupdesc, 1, &isnull));
	}
	UnregisterSnapshot(snapshot);

	SPI_finish();
	fx_act_as_before(save_userid, save_sec_context);
	return expires_at;
}

/*
 * bind_session(user_id uuid, session_id uuid, expires_at timestamptz,
 *				local boolean) returns void
 *
 * The caller has looked the session up.
 */
Datum
fx_bind_session(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *session_id = PG_GETARG_UUID_P(1);
	char	   *value = psprintf("%s %s",
								 DatumGetCString(DirectFunctionCall1(uuid_out, PG_GETARG_DATUM(0))),
								 DatumGetCString(DirectFunctionCall1(uuid_out, PG_GETARG_DATUM(1))));

	set_bound_session(value, PG_GETARG_BOOL(3));

	known.session_id = *session_id;
	known.expires_at = PG_GETARG_TIMESTAMPTZ(2);
	known.checked_at = GetCurrentTimestamp();
	PG_RETURN_VOID();
}

/*
 * leave_session() returns void
 */
Datum
fx_leave_session(PG_FUNCTION_ARGS)
{
	set_bound_session("", false);
	/* a session that was signed out is looked up, should a rollback bind it again */
	known.checked_at = 0;
	PG_RETURN_VOID();
}

/*
 * bound_session_id() returns uuid
 */
Datum
fx_bound_session_id(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *result;

	if (!bound_session.bound)
		PG_RETURN_NULL();
	result = palloc(sizeof(pg_uuid_t));
	*result = bound_session.session_id;
	PG_RETURN_UUID_P(result);
}

/*
 * random_token(prefix text) returns text
 *
 * The prefix, and 256 random bits in the alphabet of URLs.
 */
Datum
fx_random_token(PG_FUNCTION_ARGS)
{
	text	   *prefix = PG_GETARG_TEXT_PP(0);
	char		bytes[TOKEN_BYTES];
	char		encoded[TOKEN_BYTES * 2];
	StringInfoData token;
	int			len;

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR,
				errcode(ERRCODE_INTERNAL_ERROR),
				errmsg("could not generate random values"));
	len = pg_b64_encode(FX_B64_BYTES(bytes), sizeof(bytes), encoded, sizeof(encoded));
	if (len < 0)
		elog(ERROR, "could not encode random values");

	initStringInfo(&token);
	appendBinaryStringInfo(&token, VARDATA_ANY(prefix), VARSIZE_ANY_EXHDR(prefix));
	for (int i = 0; i < len && encoded[i] != '='; i++)
		appendStringInfoChar(&token, encoded[i] == '+' ? '-' : encoded[i] == '/' ? '_' : encoded[i]);
	explicit_bzero(bytes, sizeof(bytes));
	explicit_bzero(encoded, sizeof(encoded));
	PG_RETURN_TEXT_P(cstring_to_text_with_len(token.data, token.len));
}

static void
set_bound_session(const char *value, bool local)
{
	PG_TRY();
	{
		binding = true;
		(void) set_config_option(BOUND_SETTING, value, PGC_SUSET, PGC_S_SESSION,
								 local ? GUC_ACTION_LOCAL : GUC_ACTION_SET, true, 0, false);
	}
	PG_FINALLY();
	{
		binding = false;
	}
	PG_END_TRY();
}

/*
 * Refuse the value unless it comes from set_bound_session(), of this process
 * or of the leader of this parallel worker.
 */
static bool
check_bound_session(char **newval, void **extra, GucSource source)
{
	FxSession	session = {0};
	FxSession  *copy;

	if (*newval != NULL && **newval != '\0')
	{
		if (!binding && !InitializingParallelWorker)
		{
			GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
			GUC_check_errmsg("parameter \"%s\" cannot be set", BOUND_SETTING);
			GUC_check_errhint("Use fx.use_session.");
			return false;
		}
		if (strlen(*newval) != 2 * UUID_TEXT_LEN + 1 ||
			!fx_parse_uuid(*newval, UUID_TEXT_LEN, &session.user_id) ||
			!fx_parse_uuid(*newval + UUID_TEXT_LEN + 1, UUID_TEXT_LEN, &session.session_id))
			return false;
		session.bound = true;
	}

	copy = fx_guc_malloc(sizeof(FxSession));
	if (copy == NULL)
		return false;
	*copy = session;
	*extra = copy;
	return true;
}

static void
assign_bound_session(const char *newval, void *extra)
{
	bound_session = *(FxSession *) extra;
}

static bool
check_require_session(bool *newval, void **extra, GucSource source)
{
	if (source != PGC_S_DEFAULT)
		require_session_seen = true;
	return true;
}

void
fx_define_identity_settings(void)
{
	bool		given = GetConfigOption(REQUIRED_SETTING, true, false) != NULL;

	DefineCustomStringVariable(BOUND_SETTING,
							   "Shows the user and the session that are bound to this backend.",
							   "Set by fx.use_session only.",
							   &bound_session_text,
							   "",
							   PGC_SUSET,
							   GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							   check_bound_session, assign_bound_session, NULL);

	DefineCustomBoolVariable(REQUIRED_SETTING,
							 "Believes no identity but that of a session bound by fx.use_session.",
							 "Off believes the setting app.current_user_id where no session is bound.",
							 &require_session,
							 false,
							 PGC_SUSET,
							 0,
							 check_require_session, NULL, NULL);
	if (given && !require_session_seen)
		SetConfigOption(REQUIRED_SETTING, "on", PGC_SUSET, PGC_S_OVERRIDE);

	DefineCustomIntVariable("fxplatform.session_recheck",
							"Sets the time after which a bound backend looks its session up again.",
							"A revoked session counts no longer than this.",
							&session_recheck,
							10,
							0, SECS_PER_HOUR,
							PGC_SUSET,
							GUC_UNIT_S,
							NULL, NULL, NULL);

	DefineCustomIntVariable("fxplatform.session_idle_timeout",
							"Sets the time after which a session that is not used ends.",
							NULL,
							&session_idle_timeout,
							24 * SECS_PER_HOUR,
							1, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_S,
							NULL, NULL, NULL);

	DefineCustomIntVariable("fxplatform.session_lifetime",
							"Sets the time after which a session ends however much it is used.",
							NULL,
							&session_lifetime,
							30 * SECS_PER_DAY,
							1, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_S,
							NULL, NULL, NULL);

	fx_define_failure_settings();
	fx_define_password_settings();
	fx_define_secret_settings();
}
