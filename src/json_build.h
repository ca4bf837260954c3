/*-------------------------------------------------------------------------
 *
 * json_build.h
 *	  Members of a JSON object of figures
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_JSON_BUILD_H
#define FX_JSON_BUILD_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#include "fixed.h"

extern void fx_json_put_null(JsonbParseState **state, const char *key);
extern void fx_json_put_count(JsonbParseState **state, const char *key, int64 count);
extern void fx_json_put_money(JsonbParseState **state, const char *key, int128 amount);
extern void fx_json_put_double(JsonbParseState **state, const char *key, double value);
extern void fx_json_put_text(JsonbParseState **state, const char *key,
							 const char *text, int len);
extern void fx_json_put_time(JsonbParseState **state, const char *key, TimestampTz at);

#endif							/* FX_JSON_BUILD_H */
