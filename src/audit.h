/*-------------------------------------------------------------------------
 *
 * audit.h
 *	  The parts of the audit trigger
 *
 * audit.c collects rows, audit_table.c knows their tables, audit_image.c turns
 * them into jsonb without what audit_redact.c hides, audit_write.c makes the
 * entries and audit_store.c stores them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_AUDIT_H
#define FX_AUDIT_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/execnodes.h"
#include "utils/inet.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define FX_AUDIT_FUNCTION	"audit_trigger_function"

/* Of a redacted value, and the member of an image that has their hashes */
#define FX_AUDIT_REDACTED	"[redacted]"
#define FX_AUDIT_HASHES_KEY "redacted_hashes"

/* Bytes of such a hash that are kept */
#define FX_AUDIT_REDACTED_HASH_LEN	16

/*
 * Rows to store before the end of the statement.  So few that their memory is
 * not given back to the system and asked for again each time.
 */
#define FX_AUDIT_BATCH_ROWS 128

/* How a value becomes JSON */
typedef enum AuditKind
{
	AUDIT_BOOLEAN,
	AUDIT_INT16,
	AUDIT_INT32,
	AUDIT_INT64,
	AUDIT_NUMERIC,
	AUDIT_TEXT,
	AUDIT_UUID,
	AUDIT_DATE,
	AUDIT_TIMESTAMP,
	AUDIT_TIMESTAMPTZ,
	AUDIT_JSONB,
	AUDIT_TEXT_ARRAY,			/* of one dimension, others are AUDIT_OTHER */
	AUDIT_OTHER					/* by to_jsonb() */
} AuditKind;

typedef struct AuditColumn
{
	AttrNumber	attnum;
	AuditKind	kind;
	int16		attlen;
	bool		attbyval;
	bool		redacted;		/* its value is not shown */
	bool		ignored;		/* its change alone is none */
	FmgrInfo	to_jsonb;		/* of the last two */
	const char *name;
	int			name_len;
	const char *key;			/* the name as JSON, with a colon and a space */
	int			key_len;
} AuditColumn;

/* In AuditTable.order: not a column, but the hashes of those redacted */
#define AUDIT_HASHES		(-1)

typedef struct AuditTable
{
	Oid			trigger;		/* hash key, must be first */
	Oid			relid;
	Oid			whole;			/* whose partition it is, or itself */
	bool		valid;			/* the catalogs still say so */
	int			users;			/* batches that refer to it */
	MemoryContext context;		/* holds all of it */
	TupleDesc	tupdesc;
	text	   *resource_type;
	int			ncolumns;
	AuditColumn *columns;		/* without dropped ones, in the order of the table */
	int			norder;
	int		   *order;			/* subscripts of "columns" in jsonb's order of keys */
	int			nids;
	int		   *ids;			/* subscripts of the columns that name a row */
	bool		has_redacted;
	bool		needs_settings; /* some value's text depends on settings */
} AuditTable;

/* A change of a row, as it was collected */
typedef struct AuditRow
{
	AuditTable *table;
	const char *action;
	HeapTuple	oldtup;			/* of UPDATE and DELETE */
	HeapTuple	newtup;			/* of INSERT and UPDATE */
	bool	   *changed;		/* UPDATE: which of "columns" changed */
	TimestampTz at;
} AuditRow;

/* Who changes rows, the same for all rows of a statement; NULL where unknown */
typedef struct AuditActor
{
	pg_uuid_t  *actor_id;
	inet	   *ip_address;
	text	   *user_agent;
	text	   *session_user_name;
	text	   *application_name;
	TimestampTz statement_at;
} AuditActor;

/* An image of a row, in both forms; the buffers are used again */
typedef struct AuditImage
{
	StringInfoData jsonb;		/* a datum of type jsonb */
	StringInfoData text;		/* the same as its output function says */
} AuditImage;

/* Entries on their way into the log */
typedef struct AuditStore
{
	Relation	log;
	MemoryContext context;		/* lives as long as the store */
	MemoryContext entry_context;	/* holds entries until they are stored */
	TupleDesc	tupdesc;		/* of slots */
	TupleTableSlot **slots;
	int			nslots;			/* made */
	int			nentries;		/* in slots */
	Size		bytes;
	List	   *indexes;
	EState	   *estate;			/* NULL while no index needs one */
} AuditStore;

/* The key of the hashes of redacted values */
typedef struct AuditKey
{
	const uint8 *data;			/* NULL: there is none */
	Size		len;
} AuditKey;

/* audit_table.c */
extern AuditTable *fx_audit_table(TriggerData *trigdata);
extern void fx_audit_table_release(AuditTable *table);

/* audit_image.c */
extern void fx_audit_image_init(AuditImage *image);
extern void fx_audit_image_of(AuditImage *image, const AuditTable *table,
							  const Datum *values, const bool *nulls,
							  const bool *included, const AuditKey *key);
extern text *fx_audit_resource_id_of(AuditImage *scratch, const AuditTable *table,
									 const Datum *values, const bool *nulls);

/* audit_redact.c */
extern void fx_audit_read_key(AuditKey *key);
extern void fx_audit_hash_redacted(const AuditKey *key, const AuditColumn *column,
								   const StringInfo value, char *hex);

/* audit_name.c */
extern text *fx_audit_shorten(const char *name, int len, int max_chars);
extern text *fx_audit_resource_type_of(Oid relid);

/* audit_actor.c */
extern AuditActor *fx_audit_actor(void);
extern bool fx_audit_lock_user(const pg_uuid_t *id);

/* audit_store.c */
extern void fx_audit_store_open(AuditStore *store);
extern void fx_audit_store_add(AuditStore *store, const Datum *values, const bool *nulls);
extern void fx_audit_store_flush(AuditStore *store);
extern void fx_audit_store_close(AuditStore *store);

/* audit_write.c */
extern void fx_audit_write(const AuditActor *actor, AuditRow *rows, int nrows);

#endif							/* FX_AUDIT_H */
