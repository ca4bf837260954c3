/*-------------------------------------------------------------------------
 *
 * risk_report.h
 *	  Accounts as callers of SQL functions may see them
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_RISK_REPORT_H
#define FX_RISK_REPORT_H

#include "risk.h"

/* Between begin and end the owner's rights are in force */
typedef struct FxReader
{
	FxAccount  *account;
	FxRisk	   *risk;
	Oid			save_userid;
	int			save_sec_context;
} FxReader;

extern bool fx_reader_begin(FxReader *reader, const pg_uuid_t *user_id);
extern void fx_reader_end(FxReader *reader);
extern bool fx_order_side(const char *str, int len, FxSide *side);
extern bool fx_order_value_fits(int128 value);
extern void fx_order_apply(FxAccount *account, const FxOrder *order);

#endif							/* FX_RISK_REPORT_H */
