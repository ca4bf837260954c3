/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  The background workers of fxplatform
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_WORKER_H
#define FX_WORKER_H

extern void fx_define_worker_settings(void);
extern PGDLLEXPORT void fx_launcher_main(Datum arg);
extern PGDLLEXPORT void fx_maintenance_main(Datum arg);

#endif							/* FX_WORKER_H */
