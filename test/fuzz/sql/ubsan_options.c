/*-------------------------------------------------------------------------
 *
 * ubsan_options.c
 *	  What UBSan does in a server, which hides its environment
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

extern PGDLLEXPORT const char *__ubsan_default_options(void);

/* signals are the postmaster's to tell of */
const char *
__ubsan_default_options(void)
{
	return "abort_on_error=1:print_stacktrace=1:handle_segv=0:handle_sigbus=0:handle_sigill=0:handle_sigfpe=0";
}
