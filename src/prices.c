/*-------------------------------------------------------------------------
 *
 * prices.c
 *	  Instruments, their prices and what their currencies are worth, for the
 *	  risk engine
 *
 * Every trade of a user asks for the price of each symbol that he holds, and
 * for the rates to his currency.  Answers are kept in the backend for
 * fxplatform.price_cache milliseconds.  What this backend writes itself is
 * seen at once: a write of candles or instruments empties the cache, and until
 * its transaction ends nothing is kept, since it may be rolled back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "fixed.h"
#include "fx_day.h"
#include "fxplatform.h"
#include "iso8601.h"
#include "kept_plan.h"
#include "market_hours.h"
#include "prices.h"

#define TRIGGER_NAME		"forget_prices"

/* Of a symbol that is none of fx.instruments: three letters for each currency */
#define PAIR_LETTERS		6
#define CODE_LETTERS		3

/* Columns of the query for an instrument */
#define CONTRACT_COLUMNS	8

/* More quotes than this are not kept */
#define CACHED_QUOTES		4096

typedef struct QuoteKey
{
	char		symbol[FX_SYMBOL_SIZE];
	char		currency[FX_CURRENCY_MAX + 1];
} QuoteKey;

typedef struct CachedQuote
{
	QuoteKey	key;
	FxQuote		quote;
	TimestampTz as_of;			/* asked for */
	TimestampTz read_at;		/* by the clock */
	int			max_rate_age;	/* in force then */
} CachedQuote;

int			fx_price_cache = 100;

static char *clock_setting = NULL;
static bool clock_is_set = false;
static TimestampTz clock_time;

static HTAB *quotes = NULL;

/* Did this transaction write candles or instruments? */
static bool written_here = false;

PG_FUNCTION_INFO_V1(fx_forget_prices);

static bool check_clock(char **newval, void **extra, GucSource source);
static void assign_clock(const char *newval, void *extra);
static bool read_contract(const char *symbol, FxContract *contract, char *stored);
static void read_quote(const char *symbol, const char *currency, TimestampTz as_of,
					   FxQuote *quote);
static int128 get_fixed(HeapTuple row, TupleDesc tupdesc, int column, bool *isnull);
static void get_code(HeapTuple row, TupleDesc tupdesc, int column, char *code);
static bool find_rate(const char *from, const char *to, TimestampTz as_of, FxRate *rate);
static void xact_callback(XactEvent event, void *arg);

void
fx_define_price_settings(void)
{
	DefineCustomIntVariable("fxplatform.price_cache",
							"Sets how long a session relies on the prices it read for risk checks.",
							"0 reads them for every trade.",
							&fx_price_cache,
							100,
							0, 60 * 1000,
							PGC_SUSET,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	/* whoever sets the time decides which limits hold */
	DefineCustomStringVariable("fxplatform.clock",
							   "Sets the time that the risk engine takes for the present.",
							   "Empty is the time of the clock; another is for tests and replays.",
							   &clock_setting,
							   "",
							   PGC_SUSET,
							   0,
							   check_clock, assign_clock, NULL);
}

/*
 * A time without an offset is UTC: the setting does not depend on TimeZone.
 */
static bool
check_clock(char **newval, void **extra, GucSource source)
{
	TimestampTz at;

	if (**newval == '\0')
		return true;
	if (!fx_iso8601_parse(*newval, strlen(*newval), &at))
	{
		GUC_check_errdetail("It must be empty or a time in ISO 8601, like 2024-01-31T17:00:00Z.");
		return false;
	}
	*extra = fx_guc_malloc(sizeof(TimestampTz));
	if (*extra == NULL)
		return false;
	*(TimestampTz *) *extra = at;
	return true;
}

static void
assign_clock(const char *newval, void *extra)
{
	clock_is_set = extra != NULL;
	if (clock_is_set)
		clock_time = *(TimestampTz *) extra;
}

/*
 * The present of the risk engine.
 */
TimestampTz
fx_now(void)
{
	return clock_is_set ? clock_time : GetCurrentTimestamp();
}

/*
 * Symbols that differ in case and in separators mean the same instrument, also
 * in a Turkish database, where the capital of "i" is another letter than "I".
 * The buffer has FX_SYMBOL_SIZE bytes; a longer symbol has no instrument, and
 * fx.trades none.
 */
void
fx_normalize_symbol(const char *symbol, int len, char *normal)
{
	char	   *upper = NULL;
	int			out = 0;

	for (int i = 0; i < len; i++)
	{
		if (IS_HIGHBIT_SET(symbol[i]))
		{
			char	   *dotted = pnstrdup(symbol, len);

			for (char *c = dotted; *c != '\0'; c++)
				if (*c == 'i')
					*c = 'I';
			upper = str_toupper(dotted, len, DEFAULT_COLLATION_OID);
			pfree(dotted);
			symbol = upper;
			len = strlen(upper);
			break;
		}
	}
	for (int i = 0; i < len; i++)
	{
		char		c = symbol[i];

		if (c == '/' || c == '_' || c == '-' || c == '.' || c == ' ')
			continue;
		if (out >= FX_SYMBOL_SIZE - 1)
			ereport(ERROR,
					errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
					errmsg("a symbol is too long"));
		normal[out++] = c >= 'a' && c <= 'z' && upper == NULL ? c - 'a' + 'A' : c;
	}
	normal[out] = '\0';
	if (upper != NULL)
		pfree(upper);
}

/*
 * What is known of the instrument of a symbol in normal form.  False when
 * nothing is: it is not in fx.instruments, and not made of two currencies.
 */
bool
fx_contract_get(const char *symbol, FxContract *contract)
{
	char		stored[FX_SYMBOL_SIZE];

	return read_contract(symbol, contract, stored);
}

/*
 * Price and rates as of now, at most fxplatform.price_cache old.
 */
void
fx_quote_get(const char *symbol, const char *currency, TimestampTz now, FxQuote *quote)
{
	TimestampTz clock;
	int64		ttl = (int64) fx_price_cache * 1000;
	QuoteKey	key;
	CachedQuote *entry;
	bool		found;

	if (ttl == 0 || written_here)
	{
		read_quote(symbol, currency, now, quote);
		return;
	}

	if (quotes == NULL)
	{
		HASHCTL		ctl = {0};

		ctl.keysize = sizeof(QuoteKey);
		ctl.entrysize = sizeof(CachedQuote);
		ctl.hcxt = TopMemoryContext;
		quotes = hash_create("fxplatform prices", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}

	memset(&key, 0, sizeof(key));
	strlcpy(key.symbol, symbol, sizeof(key.symbol));
	strlcpy(key.currency, currency, sizeof(key.currency));
	clock = clock_is_set ? GetCurrentTimestamp() : now;

	entry = (CachedQuote *) hash_search(quotes, &key, HASH_FIND, NULL);
	if (entry != NULL && entry->max_rate_age == fx_max_rate_age &&
		clock >= entry->read_at && clock - entry->read_at <= ttl &&
		now >= entry->as_of && now - entry->as_of <= ttl)
	{
		*quote = entry->quote;
		return;
	}

	read_quote(symbol, currency, now, quote);
	if (entry == NULL && hash_get_num_entries(quotes) >= CACHED_QUOTES)
		return;
	entry = (CachedQuote *) hash_search(quotes, &key, HASH_ENTER, &found);
	entry->quote = *quote;
	entry->as_of = now;
	entry->read_at = clock;
	entry->max_rate_age = fx_max_rate_age;
}

/*
 * The same for a time in the past.
 */
void
fx_quote_get_at(const char *symbol, const char *currency, TimestampTz as_of, FxQuote *quote)
{
	read_quote(symbol, currency, as_of, quote);
}

/*
 * Is a price of that time as fresh as a candle has to be?
 */
bool
fx_price_is_fresh(TimestampTz observed_at, TimestampTz now)
{
	int64		max_age = (int64) fx_max_rate_age * USECS_PER_SEC;
	FxHolidays	holidays;

	if (observed_at >= now || now - observed_at <= max_age)
		return true;
	/* five days of seven are open, holidays apart */
	if (TIMESTAMP_NOT_FINITE(observed_at) || (now - observed_at) / 8 > max_age + USECS_PER_DAY * 400)
		return false;
	fx_read_holidays(&holidays, fx_day_of(observed_at), fx_day_of(now));
	return fx_open_usecs(observed_at, now, &holidays) <= max_age;
}

/*
 * The rate by which what a closing brings in the quote currency becomes money
 * of the account.  Where the pair itself has the account's currency as its
 * base, the price of the closing is the rate at that moment.
 */
bool
fx_profit_rate(const char *symbol, const char *currency, int128 close_price,
			   TimestampTz closed_at, FxRate *rate)
{
	FxContract	contract;

	if (!fx_contract_get(symbol, &contract))
		return false;
	if (strcmp(contract.base, currency) == 0 && close_price > 0 && close_price <= PG_INT64_MAX)
	{
		FxRateLeg  *leg = &rate->legs[0];

		strlcpy(leg->symbol, symbol, sizeof(leg->symbol));
		leg->inverse = true;
		leg->price = (int64) close_price;
		leg->observed_at = closed_at;
		leg->age = 0;
		rate->method = FX_RATE_INVERSE;
		rate->nlegs = 1;
		rate->observed_at = closed_at;
		rate->age = 0;
		return true;
	}
	return find_rate(contract.quote, currency, closed_at, rate);
}

/*
 * Candles or instruments were written by this backend.
 */
void
fx_prices_changed(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(xact_callback, NULL);
		registered = true;
	}
	written_here = true;
}

/*
 * forget_prices() returns trigger
 *
 * To be fired after any change of fx.instruments.
 */
Datum
fx_forget_prices(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" was not called by trigger manager", TRIGGER_NAME));
	/* elsewhere its NULL would suppress the row */
	if (!TRIGGER_FIRED_AFTER(trigdata->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("function \"%s\" must be fired AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE",
					   TRIGGER_NAME));
	fx_prices_changed();
	return PointerGetDatum(NULL);
}

static bool
read_contract(const char *symbol, FxContract *contract, char *stored)
{
	static SPIPlanPtr plan = NULL;
	Datum		arg = CStringGetTextDatum(symbol);
	int			len = strlen(symbol);

	memset(contract, 0, sizeof(*contract));
	strlcpy(stored, symbol, FX_SYMBOL_SIZE);

	fx_require_table("instruments");
	SPI_connect();
	if (plan == NULL)
	{
		Oid			type = TEXTOID;

		/* columns may be altered */
		plan = fx_kept_plan("SELECT i.base_currency, i.quote_currency,"
							" i.pip_size::pg_catalog.numeric, i.contract_size::pg_catalog.numeric,"
							" i.swap_long::pg_catalog.numeric, i.swap_short::pg_catalog.numeric,"
							" i.triple_swap_weekday::pg_catalog.int2, i.symbol"
							" FROM fx.instruments i"
							" WHERE pg_catalog.translate(pg_catalog.upper(i.symbol::pg_catalog.text),"
							" '/_-. ', '') OPERATOR(pg_catalog.=) $1", 1, &type);
	}
	if (SPI_execute_plan(plan, &arg, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_plan failed");
	if (SPI_processed > 0)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	tupdesc = SPI_tuptable->tupdesc;
		bool		isnull;

		contract->is_stored = true;
		get_code(row, tupdesc, 1, contract->base);
		get_code(row, tupdesc, 2, contract->quote);
		contract->pip_size = get_fixed(row, tupdesc, 3, &isnull);
		contract->contract_size = get_fixed(row, tupdesc, 4, &isnull);
		contract->swap_long = get_fixed(row, tupdesc, 5, &isnull);
		contract->has_swap_long = !isnull;
		contract->swap_short = get_fixed(row, tupdesc, 6, &isnull);
		contract->has_swap_short = !isnull;
		contract->triple_swap_weekday = DatumGetInt16(SPI_getbinval(row, tupdesc, 7, &isnull));
		strlcpy(stored, SPI_getvalue(row, tupdesc, CONTRACT_COLUMNS), FX_SYMBOL_SIZE);
	}
	SPI_finish();

	if (contract->is_stored)
		return true;
	if (len != PAIR_LETTERS)
		return false;
	for (int i = 0; i < len; i++)
	{
		if (symbol[i] < 'A' || symbol[i] > 'Z')
			return false;
	}
	strlcpy(contract->base, symbol, CODE_LETTERS + 1);
	strlcpy(contract->quote, symbol + CODE_LETTERS, CODE_LETTERS + 1);
	return true;
}

static void
read_quote(const char *symbol, const char *currency, TimestampTz as_of, FxQuote *quote)
{
	FxContract	contract;
	FxRateLeg	leg;
	char		stored[FX_SYMBOL_SIZE];

	memset(quote, 0, sizeof(*quote));
	if (read_contract(symbol, &contract, stored))
	{
		strlcpy(quote->base, contract.base, sizeof(quote->base));
		strlcpy(quote->quote, contract.quote, sizeof(quote->quote));
		quote->has_rate = find_rate(quote->quote, currency, as_of, &quote->rate);
		quote->has_base_rate = find_rate(quote->base, currency, as_of, &quote->base_rate);
	}
	if (fx_symbol_price(stored, as_of, &leg) ||
		(strcmp(stored, symbol) != 0 && fx_symbol_price(symbol, as_of, &leg)))
	{
		quote->has_price = true;
		quote->price = leg.price;
	}
}

/*
 * Names of instruments need not be codes of currencies.
 */
static bool
find_rate(const char *from, const char *to, TimestampTz as_of, FxRate *rate)
{
	return !TIMESTAMP_NOT_FINITE(as_of) && fx_currency_rate(from, to, as_of, rate);
}

static int128
get_fixed(HeapTuple row, TupleDesc tupdesc, int column, bool *isnull)
{
	Datum		value = SPI_getbinval(row, tupdesc, column, isnull);

	return *isnull ? 0 : fx_fixed_get_argument(value, "instrument");
}

static void
get_code(HeapTuple row, TupleDesc tupdesc, int column, char *code)
{
	strlcpy(code, SPI_getvalue(row, tupdesc, column), FX_CURRENCY_MAX + 1);
}

static void
xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			if (written_here)
			{
				written_here = false;
				if (quotes != NULL)
				{
					hash_destroy(quotes);
					quotes = NULL;
				}
			}
			break;
		default:
			break;
	}
}
