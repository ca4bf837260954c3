/*-------------------------------------------------------------------------
 *
 * fuzz_run.c
 *	  libFuzzer inside a backend
 *
 * A target is a query with one parameter, the bytes that libFuzzer makes up.
 * It is planned once and then executed for each input in a subtransaction that
 * is always rolled back.  An error is how input is refused and is no finding,
 * unless its SQLSTATE says that something went wrong in the server or in a
 * function.  The booleans that the query returns are properties: one that is
 * false is a finding, and a column's name says which.
 *
 * libFuzzer ends the process when it is done, so this is for a server in
 * single-user mode.  Only the sources of the extension are instrumented.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

/* What the contexts of a backend may grow by, once its caches are warm */
#define GROWTH_LIMIT		(64 * 1024 * 1024)
#define WARM_UP_RUNS		8192

/* No message of ours is longer: input is not echoed in full */
#define MESSAGE_LIMIT		2000

extern int	LLVMFuzzerRunDriver(int *argc, char ***argv,
								int (*callback) (const uint8 *data, size_t size));

PG_FUNCTION_INFO_V1(fx_fuzz_run);
PG_FUNCTION_INFO_V1(fx_fuzz_try);
PG_FUNCTION_INFO_V1(fx_fuzz_receive);

static SPIPlanPtr plan;
static MemoryContext run_context;
static uint64 runs;
static uint64 accepted;
static Size warm_size;

static void prepare_target(const char *query);
static int	run_input(const uint8 *data, size_t size);
static char *try_input(const uint8 *data, size_t size, bool *finding);
static char *check_properties(void);
static char *check_error(const ErrorData *error);
static char *check_text(const char *what, const char *text);
static char *check_growth(void);
static void print_totals(void);

/*
 * fuzz.run(query text, arguments text[]): runs until an argument ends it
 */
Datum
fx_fuzz_run(PG_FUNCTION_ARGS)
{
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	Datum	   *elements;
	int			nelements;
	int			argc;
	char	  **argv;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &nelements);
	argc = nelements + 1;
	argv = MemoryContextAllocZero(TopMemoryContext, (argc + 1) * sizeof(char *));
	argv[0] = "fuzz";
	for (int i = 0; i < nelements; i++)
		argv[i + 1] = MemoryContextStrdup(TopMemoryContext, TextDatumGetCString(elements[i]));

	SPI_connect();
	prepare_target(query);
	atexit(print_totals);
	LLVMFuzzerRunDriver(&argc, &argv, run_input);
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * fuzz.try(query text, data bytea) returns text: one input, what came of it
 */
Datum
fx_fuzz_try(PG_FUNCTION_ARGS)
{
	char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	bytea	   *data = PG_GETARG_BYTEA_PP(1);
	MemoryContext caller = CurrentMemoryContext;
	char	   *verdict;
	bool		finding;

	SPI_connect();
	prepare_target(query);
	verdict = try_input((uint8 *) VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data), &finding);
	MemoryContextSwitchTo(caller);
	verdict = psprintf("%s%s", finding ? "FINDING: " : "", verdict);
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(verdict));
}

/*
 * fuzz.receive(data bytea, value anyelement) returns anyelement: binary input
 * of the type of value, as the protocol does it
 */
Datum
fx_fuzz_receive(PG_FUNCTION_ARGS)
{
	bytea	   *data;
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 1);
	Oid			receive;
	Oid			io_param;
	StringInfoData buf;
	Datum		result;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	data = PG_GETARG_BYTEA_PP(0);
	getTypeBinaryInputInfo(type, &receive, &io_param);
	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
	result = OidReceiveFunctionCall(receive, &buf, io_param, -1);
	if (buf.cursor != buf.len)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				errmsg("incorrect binary data format"));
	PG_RETURN_DATUM(result);
}

static void
prepare_target(const char *query)
{
	Oid			types[] = {BYTEAOID};

	plan = SPI_prepare(query, 1, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	run_context = AllocSetContextCreate(TopMemoryContext, "fuzz input", ALLOCSET_DEFAULT_SIZES);
}

/*
 * Called by libFuzzer.  A finding ends the process, so that its input is kept.
 */
static int
run_input(const uint8 *data, size_t size)
{
	bool		finding;
	char	   *verdict = try_input(data, size, &finding);

	runs++;
	if (!finding && verdict[0] == '\0')
		accepted++;
	if (!finding && runs % WARM_UP_RUNS == 0)
	{
		char	   *growth = check_growth();

		finding = growth != NULL;
		verdict = growth;
	}
	if (finding)
	{
		fprintf(stderr, "FINDING: %s\n", verdict);
		abort();
	}
	return 0;
}

/*
 * Run the query on an input and undo what it did.  Returns "", or why the
 * input was refused, or what is wrong with the answer.
 */
static char *
try_input(const uint8 *data, size_t size, bool *finding)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char	   *volatile verdict = NULL;

	*finding = false;
	MemoryContextReset(run_context);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(run_context);

	PG_TRY();
	{
		bytea	   *input = palloc(VARHDRSZ + size);
		Datum		values[] = {PointerGetDatum(input)};

		SET_VARSIZE(input, VARHDRSZ + size);
		memcpy(VARDATA(input), data, size);
		SPI_connect();
		if (SPI_execute_plan(plan, values, NULL, false, 0) < 0)
			elog(ERROR, "SPI_execute_plan failed");
		verdict = check_properties();
		SPI_finish();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;
		char	   *problem;

		MemoryContextSwitchTo(run_context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(run_context);
		problem = check_error(error);
		*finding = problem != NULL;
		verdict = psprintf("%s %s%s%s", unpack_sql_state(error->sqlerrcode), error->message,
						   problem != NULL ? ": " : "", problem != NULL ? problem : "");
		MemoryContextSwitchTo(caller);
		CurrentResourceOwner = owner;
		return verdict;
	}
	PG_END_TRY();

	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	*finding = verdict != NULL;
	return verdict != NULL ? verdict : "";
}

/*
 * The name of a property that does not hold, or NULL.
 */
static char *
check_properties(void)
{
	TupleDesc	tupdesc = SPI_tuptable->tupdesc;

	for (uint64 row = 0; row < SPI_processed; row++)
	{
		for (int column = 1; column <= tupdesc->natts; column++)
		{
			bool		isnull;
			Datum		value;

			if (SPI_gettypeid(tupdesc, column) != BOOLOID)
				continue;
			value = SPI_getbinval(SPI_tuptable->vals[row], tupdesc, column, &isnull);
			if (!isnull && !DatumGetBool(value))
				return MemoryContextStrdup(run_context,
										   psprintf("%s does not hold", SPI_fname(tupdesc, column)));
		}
	}
	return NULL;
}

/*
 * What is wrong with an error, or NULL.
 */
static char *
check_error(const ErrorData *error)
{
	char	   *problem;

	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TO_CATEGORY(ERRCODE_INTERNAL_ERROR) ||
		error->sqlerrcode == ERRCODE_RAISE_EXCEPTION ||
		error->sqlerrcode == ERRCODE_OUT_OF_MEMORY)
		return psprintf("an internal error (%s:%d)", error->filename, error->lineno);
	if ((problem = check_text("message", error->message)) != NULL ||
		(problem = check_text("detail", error->detail)) != NULL)
		return problem;
	return check_text("hint", error->hint);
}

static char *
check_text(const char *what, const char *text)
{
	if (text == NULL)
		return NULL;
	if (!pg_verifymbstr(text, strlen(text), true))
		return psprintf("its %s is not in the encoding of the database", what);
	if (strlen(text) > MESSAGE_LIMIT)
		return psprintf("its %s has %zu bytes", what, strlen(text));
	return NULL;
}

/*
 * Memory that outlives its input.
 */
static char *
check_growth(void)
{
	Size		size;

	MemoryContextReset(run_context);
	size = MemoryContextMemAllocated(TopMemoryContext, true);
	if (warm_size == 0)
		warm_size = size;
	if (size < warm_size + GROWTH_LIMIT)
		return NULL;
	return psprintf("memory grew from %zu to %zu bytes", warm_size, size);
}

/*
 * For the table at the end.
 */
static void
print_totals(void)
{
	fprintf(stderr, "TOTALS: %llu runs, %llu accepted, memory %zu to %zu\n",
			(unsigned long long) runs, (unsigned long long) accepted, warm_size,
			MemoryContextMemAllocated(TopMemoryContext, true));
}
