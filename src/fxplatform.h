/*-------------------------------------------------------------------------
 *
 * fxplatform.h
 *	  SQLSTATEs and settings shared by all files of fxplatform
 *
 *-------------------------------------------------------------------------
 */
#ifndef FXPLATFORM_H
#define FXPLATFORM_H

#include "compat.h"

#if SIZEOF_VOID_P < 8 || !defined(HAVE_INT128)
#error "fxplatform needs a 64-bit platform whose compiler has 128-bit integers"
#endif

/*
 * SQLSTATEs of class "XF", on which callers branch.  The standard keeps
 * classes that start with 0-4 or A-H for itself, which rules out "FX".
 * README.md lists them for users; the PL/pgSQL functions use the same codes.
 */
#define ERRCODE_FX_RISK_LIMIT_EXCEEDED	MAKE_SQLSTATE('X', 'F', '0', '0', '1')
#define ERRCODE_FX_TRADING_HALTED		MAKE_SQLSTATE('X', 'F', '0', '0', '2')
#define ERRCODE_FX_ILLEGAL_TRANSITION	MAKE_SQLSTATE('X', 'F', '0', '0', '3')
#define ERRCODE_FX_RATE_UNKNOWN			MAKE_SQLSTATE('X', 'F', '0', '0', '4')

/* Settings, defined in fxplatform.c */
extern int	fx_max_rate_age;	/* in seconds of open market time */

pg_noreturn extern void fx_raise_version(const char *type, long version);
extern Oid	fx_require_table(const char *name);
extern char *fx_qualified_name(Oid namespace, const char *name);

struct RelationData;
pg_noreturn extern void fx_raise_no_column(struct RelationData *rel, const char *name, Oid type);

#endif							/* FXPLATFORM_H */
