/*-------------------------------------------------------------------------
 *
 * relcache.h
 *	  News of tables that have changed
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_RELCACHE_H
#define FX_RELCACHE_H

/* relid is InvalidOid when all tables may have changed */
typedef void (*FxRelcacheCallback) (Oid relid);

extern void fx_relcache_register(FxRelcacheCallback callback);

#endif							/* FX_RELCACHE_H */
