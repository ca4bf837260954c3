/*-------------------------------------------------------------------------
 *
 * identity.h
 *	  For whom the session acts, and sessions that are bound to a backend
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_IDENTITY_H
#define FX_IDENTITY_H

#include "utils/uuid.h"

/* The session that is bound to this backend, if any */
typedef struct FxSession
{
	bool		bound;
	pg_uuid_t	user_id;
	pg_uuid_t	session_id;
} FxSession;

extern bool fx_parse_uuid(const char *str, int len, pg_uuid_t *uuid);
extern const FxSession *fx_bound_session(void);
extern bool fx_session_is_live(const FxSession *session);
extern bool fx_session_required(void);
extern bool fx_session_speaks_for_others(void);

/* All settings of identity and secrets; the first calls the others */
extern void fx_define_identity_settings(void);
extern void fx_define_failure_settings(void);
extern void fx_define_password_settings(void);
extern void fx_define_secret_settings(void);

#endif							/* FX_IDENTITY_H */
