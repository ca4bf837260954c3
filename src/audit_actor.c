/*-------------------------------------------------------------------------
 *
 * audit_actor.c
 *	  Who changes rows
 *
 * None of this may fail the write that is recorded: what a setting says and
 * cannot be read is left out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/socket.h>

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "audit.h"
#include "compat.h"
#include "identity.h"

#define IP_ADDRESS_SETTING	"app.ip_address"
#define USER_AGENT_SETTING	"app.user_agent"

/* More of a user agent is not kept, in bytes */
#define USER_AGENT_MAX		1024

/* identity.c */
extern Datum fx_current_user_id(PG_FUNCTION_ARGS);

static pg_uuid_t *current_user_uuid(void);
static inet *client_address(void);
static inet *parse_inet(const char *str);
static bool is_id_index(Relation index);

AuditActor *
fx_audit_actor(void)
{
	AuditActor *actor = palloc0(sizeof(AuditActor));
	const char *setting;

	actor->actor_id = current_user_uuid();
	actor->ip_address = client_address();
	setting = GetConfigOption(USER_AGENT_SETTING, true, false);
	if (setting != NULL && setting[0] != '\0')
		actor->user_agent =
			cstring_to_text_with_len(setting, pg_mbcliplen(setting, strlen(setting), USER_AGENT_MAX));
	actor->session_user_name = cstring_to_text(GetUserNameFromId(GetSessionUserId(), false));
	if (application_name != NULL && application_name[0] != '\0')
		actor->application_name = cstring_to_text(application_name);
	actor->statement_at = GetCurrentStatementStartTimestamp();
	return actor;
}

static pg_uuid_t *
current_user_uuid(void)
{
	LOCAL_FCINFO(fcinfo, 0);
	Datum		result;

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	result = fx_current_user_id(fcinfo);
	return fcinfo->isnull ? NULL : DatumGetUUIDP(result);
}

/*
 * What the application says, or where the connection of anybody else is from,
 * as fx.client_address() has it; but here a network will do.
 */
static inet *
client_address(void)
{
	LOCAL_FCINFO(fcinfo, 0);
	Datum		result;
	const char *setting;

	if (fx_session_speaks_for_others())
	{
		setting = GetConfigOption(IP_ADDRESS_SETTING, true, false);
		return setting != NULL ? parse_inet(setting) : NULL;
	}

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	result = inet_client_addr(fcinfo);
	return fcinfo->isnull ? NULL : DatumGetInetPP(result);
}

/*
 * What inet_in() accepts, without its error
 */
static inet *
parse_inet(const char *str)
{
	inet	   *address = palloc0(sizeof(inet));
	int			bits;

	ip_family(address) = strchr(str, ':') != NULL ? PGSQL_AF_INET6 : PGSQL_AF_INET;
	bits = pg_inet_net_pton(ip_family(address), str, ip_addr(address), -1);
	if (bits < 0 || bits > ip_maxbits(address))
		return NULL;
	ip_bits(address) = bits;
	SET_INET_VARSIZE(address);
	return address;
}

/*
 * Lock the row of a user against deletion, as a foreign key does, and say
 * whether there is one.  Somebody's uncommitted deletion is waited for.  The
 * snapshot is a new one even in a repeatable read transaction, which sees users
 * that are gone.
 */
bool
fx_audit_lock_user(const pg_uuid_t *id)
{
	Oid			namespace = get_namespace_oid("fx", true);
	Oid			relid = OidIsValid(namespace) ? get_relname_relid("users", namespace) : InvalidOid;
	Relation	users;
	Oid			index_oid;
	bool		found = false;

	if (!OidIsValid(relid))
		return false;

	/* what this command did to users counts */
	CommandCounterIncrement();

	users = table_open(relid, RowShareLock);
	index_oid = fx_primary_key_index(users, false);
	if (OidIsValid(index_oid))
	{
		Relation	index = index_open(index_oid, AccessShareLock);

		if (is_id_index(index))
		{
			Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
			IndexScanDesc scan = fx_index_beginscan(users, index, snapshot, 1, 0);
			TupleTableSlot *slot = table_slot_create(users, NULL);
			TM_FailureData failure;
			ScanKeyData key;

			ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(id));
			index_rescan(scan, &key, 1, NULL, 0);
			if (index_getnext_slot(scan, ForwardScanDirection, slot))
			{
				ItemPointerData tid = slot->tts_tid;
				AttrNumber	attnum = index->rd_index->indkey.values[0];
				bool		isnull;

				/* waiting may have led to a later version, with another id even */
				found = table_tuple_lock(users, &tid, snapshot, slot, GetCurrentCommandId(false),
										 LockTupleKeyShare, LockWaitBlock,
										 TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure) == TM_Ok;
				if (found)
					found = memcmp(DatumGetUUIDP(slot_getattr(slot, attnum, &isnull)), id,
								   UUID_LEN) == 0;
			}
			ExecDropSingleTupleTableSlot(slot);
			index_endscan(scan);
			UnregisterSnapshot(snapshot);
		}
		index_close(index, NoLock);
	}
	table_close(users, NoLock);
	return found;
}

static bool
is_id_index(Relation index)
{
	return index->rd_index->indnkeyatts == 1 &&
		TupleDescAttr(RelationGetDescr(index), 0)->atttypid == UUIDOID;
}
