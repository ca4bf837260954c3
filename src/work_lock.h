/*-------------------------------------------------------------------------
 *
 * work_lock.h
 *	  Locks on work that only one may do at a time
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_WORK_LOCK_H
#define FX_WORK_LOCK_H

/* The work of fx.maintain() and of the worker */
#define FX_MAINTENANCE_WORK	"maintain"

extern bool fx_lock_work(const char *work, int len, bool session, bool wait);

#endif							/* FX_WORK_LOCK_H */
