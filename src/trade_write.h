/*-------------------------------------------------------------------------
 *
 * trade_write.h
 *	  Which writes of trades are the engine's own
 *
 *-------------------------------------------------------------------------
 */
#ifndef FX_TRADE_WRITE_H
#define FX_TRADE_WRITE_H

extern void fx_trade_write_begin(void);
extern void fx_trade_write_end(void);
extern bool fx_trade_write_is_engine(void);

#endif							/* FX_TRADE_WRITE_H */
