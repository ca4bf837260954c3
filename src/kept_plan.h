/*-------------------------------------------------------------------------
 *
 * kept_plan.h
 *	  Plans that a session keeps, and whose rights they run with
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_KEPT_PLAN_H
#define FX_KEPT_PLAN_H

#include "executor/spi.h"

extern SPIPlanPtr fx_kept_plan(const char *query, int nargs, Oid *argtypes);
extern void fx_act_as_owner(Oid table, Oid *save_userid, int *save_sec_context);
extern void fx_act_as_before(Oid save_userid, int save_sec_context);

#endif							/* FX_KEPT_PLAN_H */
