/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Differences between the supported PostgreSQL majors
 *
 * Each wrapper has the shape of the newest major and says why it is there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_COMPAT_H
#define FX_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "fxplatform needs PostgreSQL 15 or newer"
#endif

/* 18 lets a module state its name and version (pg_get_loaded_modules) */
#if PG_VERSION_NUM >= 180000
#define FX_MODULE_MAGIC \
	PG_MODULE_MAGIC_EXT(.name = "fxplatform", .version = FXPLATFORM_VERSION)
#else
#define FX_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* 18 marks functions that do not return in front, as C11 does */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 16 moved the varlena macros out of postgres.h */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 16 allocates what settings keep in a memory context of their own */
#if PG_VERSION_NUM >= 160000
#define fx_guc_malloc(size) guc_malloc(LOG, size)
#else
#define fx_guc_malloc(size) malloc(size)
#endif

/*
 * 18 takes the bytes of base64 as uint8, before they were char: a void pointer
 * is either.
 */
#define FX_B64_BYTES(bytes) ((void *) (bytes))

/* 18 lets a scan count what it reads */
#if PG_VERSION_NUM < 180000
#define fx_index_beginscan(heap, index, snapshot, nkeys, norderbys) \
	index_beginscan(heap, index, snapshot, nkeys, norderbys)
#else
#define fx_index_beginscan(heap, index, snapshot, nkeys, norderbys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, norderbys)
#endif

/* 16 wants the table of an index, 17 no longer the snapshot */
#if PG_VERSION_NUM >= 170000
#define fx_bt_search(index, heap, key, buffer, access, snapshot) \
	_bt_search(index, heap, key, buffer, access)
#elif PG_VERSION_NUM >= 160000
#define fx_bt_search(index, heap, key, buffer, access, snapshot) \
	_bt_search(index, heap, key, buffer, access, snapshot)
#else
#define fx_bt_search(index, heap, key, buffer, access, snapshot) \
	_bt_search(index, key, buffer, access, snapshot)
#endif

/* 18 can leave out a primary key that is deferrable, as those before do not */
#if PG_VERSION_NUM >= 180000
#define fx_primary_key_index(rel, deferrable_ok) RelationGetPrimaryKeyIndex(rel, deferrable_ok)
#else
#define fx_primary_key_index(rel, deferrable_ok) RelationGetPrimaryKeyIndex(rel)
#endif

/* 16 says whether all indexes want the new row, or only those that summarize */
#if PG_VERSION_NUM >= 160000
#define FxUpdateIndexes TU_UpdateIndexes
#define fx_any_index_wants(update) ((update) != TU_None)
#define fx_every_index_wants(update) ((update) == TU_All)
#define fx_insert_index_entries(rri, slot, estate, update) \
	ExecInsertIndexTuples(rri, slot, estate, true, false, NULL, NIL, (update) == TU_Summarizing)
#else
#define FxUpdateIndexes bool
#define fx_any_index_wants(update) (update)
#define fx_every_index_wants(update) (update)
#define fx_insert_index_entries(rri, slot, estate, update) \
	ExecInsertIndexTuples(rri, slot, estate, true, false, NULL, NIL)
#endif

/* 16 has one function for the owners of all kinds of objects */
#if PG_VERSION_NUM >= 160000
#define fx_owns_table(table, role) object_ownercheck(RelationRelationId, table, role)
#else
#define fx_owns_table(table, role) pg_class_ownercheck(table, role)
#endif

/* 18 took the argument run_once from PortalRun() */
#if PG_VERSION_NUM >= 180000
#define fx_portal_run(portal, count, top_level, dest, alt_dest, qc) \
	PortalRun(portal, count, top_level, dest, alt_dest, qc)
#else
#define fx_portal_run(portal, count, top_level, dest, alt_dest, qc) \
	PortalRun(portal, count, top_level, true, dest, alt_dest, qc)
#endif

/* 17 lets an index access method keep something between insertions */
#if PG_VERSION_NUM >= 170000
#define fx_index_insert_cleanup(index, info) index_insert_cleanup(index, info)
#else
#define fx_index_insert_cleanup(index, info) ((void) 0)
#endif

/* 18 has generated columns that are not stored, and null in a row */
#if PG_VERSION_NUM >= 180000
#define fx_is_virtual(att) ((att)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#else
#define fx_is_virtual(att) false
#endif

/* 19 has a statement for it; compilers heed the attribute */
#ifndef pg_fallthrough
#define pg_fallthrough __attribute__((fallthrough))
#endif

#endif							/* FX_COMPAT_H */
