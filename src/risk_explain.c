/*-------------------------------------------------------------------------
 *
 * risk_explain.c
 *	  What limits say, to people and to programs
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "iso8601.h"
#include "risk_internal.h"

/* What each type measures, for sentences */
static const char *const nouns[FX_RISK_TYPES] = {
	"the loss of the day", "the loss of the week", "the loss of the month", "the drawdown",
	"the trailing drawdown", "the drawdown from the best end of a day", "the position in %s",
	"the size of the order", "the value of the order", "the exposure", "the exposure in %s",
	"the exposure to a currency", "the leverage", "the share of %s", "the number of open trades",
	"the number of trades of the day", "the number of orders in the window",
	"the number of losses in a row", "the distance from the market", "the lack of equity",
	"the kill switch"
};

static const char *const action_names[] = {"warn", "block", "reduce_only", "halt"};
static const char *const state_names[] = {"active", "reduce_only", "halted"};

static void put_noun(StringInfo buf, const FxLimit *limit, const FxOrder *order);
static void put_amount(StringInfo buf, const FxAccount *account, const FxLimit *limit,
					   const FxMeasure *measure);
static void put_bound(StringInfo buf, const FxAccount *account, const FxLimit *limit,
					  const FxReading *reading);
static void put_verdict(StringInfo buf, const FxVerdict *verdict);
static void put_key(StringInfo buf, const char *key);
static void put_text(StringInfo buf, const char *key, const char *text);
static void put_number(StringInfo buf, const char *key, const FxMeasure *measure);
static int	compare_refusals(const void *a, const void *b);
static int	compare_verdicts(const void *a, const void *b);

const char *
fx_risk_state_name(FxTradingState state)
{
	return state_names[state];
}

/*
 * Why a limit refuses an order; without one, that it is breached.
 */
char *
fx_risk_explain(const FxAccount *account, const FxLimit *limit, const FxOrder *order,
				const FxReading *before, const FxReading *after)
{
	StringInfoData buf;
	bool		latched = fx_risk_is_latched(limit, account->now);

	initStringInfo(&buf);
	if (limit->type == FX_KILL_SWITCH)
		appendStringInfoString(&buf, "the kill switch is on");
	else if (latched)
	{
		FxMeasure	value = {.known = true, .value = limit->breach_value};
		char		at[FX_ISO8601_SIZE];

		put_noun(&buf, limit, order);
		appendStringInfoString(&buf, " breached the limit with ");
		put_amount(&buf, account, limit, &value);
		fx_iso8601_write(limit->breached_at, at);
		appendStringInfo(&buf, " at %s, which holds until ", at);
		if (limit->breached_until == DT_NOEND)
			appendStringInfoString(&buf, "it is cleared");
		else
		{
			fx_iso8601_write(limit->breached_until, at);
			appendStringInfoString(&buf, at);
		}
	}
	else if (!after->measure.known || !after->bound.known)
	{
		appendStringInfo(&buf, "%s cannot be measured (%s)", fx_risk_type_names[limit->type],
						 after->measure.known ? after->bound.missing : after->measure.missing);
	}
	else if (limit->type == FX_MIN_EQUITY)
	{
		appendStringInfoString(&buf, order != NULL && !before->breached ?
							   "the equity would go " : "the equity is ");
		put_amount(&buf, account, limit, before->breached ? &before->measure : &after->measure);
		appendStringInfoString(&buf, " below the minimum");
	}
	else if (order == NULL || (before->breached && fx_risk_latches(limit->type)))
	{
		put_noun(&buf, limit, order);
		appendStringInfoString(&buf, ", ");
		put_amount(&buf, account, limit, &before->measure);
		appendStringInfoString(&buf, limit->reach ? ", has reached the limit of "
							   : ", is above the limit of ");
		put_bound(&buf, account, limit, before);
	}
	else if (fx_risk_is_per_order(limit->type))
	{
		put_noun(&buf, limit, order);
		appendStringInfoString(&buf, ", ");
		put_amount(&buf, account, limit, &after->measure);
		appendStringInfoString(&buf, limit->reach ? ", reaches the limit of "
							   : ", is above the limit of ");
		put_bound(&buf, account, limit, after);
	}
	else
	{
		put_noun(&buf, limit, order);
		appendStringInfoString(&buf, " would go from ");
		put_amount(&buf, account, limit, &before->measure);
		appendStringInfoString(&buf, " to ");
		put_amount(&buf, account, limit, &after->measure);
		appendStringInfoString(&buf, limit->reach ? ", reaching the limit of "
							   : ", above the limit of ");
		put_bound(&buf, account, limit, after);
	}
	return buf.data;
}

/*
 * The verdicts: what is not known, then those used up most; but before all,
 * where that is wanted, those that refuse.
 */
const FxVerdict **
fx_risk_sort(const FxDecision *decision, bool refused_first)
{
	const FxVerdict **verdicts = (const FxVerdict **)
		palloc((decision->nverdicts + 1) * sizeof(FxVerdict *));

	for (int i = 0; i < decision->nverdicts; i++)
		verdicts[i] = &decision->verdicts[i];
	qsort(verdicts, decision->nverdicts, sizeof(FxVerdict *),
		  refused_first ? compare_refusals : compare_verdicts);

	/* the limit that demands the state has the first word about it */
	for (int i = 0; refused_first && decision->halted && i < decision->nverdicts; i++)
	{
		const FxVerdict *verdict = verdicts[i];

		if (verdict->limit != decision->state_limit)
			continue;
		memmove(verdicts + 1, verdicts, i * sizeof(FxVerdict *));
		verdicts[0] = verdict;
		break;
	}
	return verdicts;
}

/*
 * A JSON array of the verdicts that count (refuse, or are breached), or of the
 * others.
 */
void
fx_risk_put_verdicts(StringInfo buf, const FxDecision *decision, bool counting)
{
	const FxVerdict **verdicts = fx_risk_sort(decision, true);
	bool		first = true;

	appendStringInfoChar(buf, '[');
	for (int i = 0; i < decision->nverdicts; i++)
	{
		if ((verdicts[i]->refused || verdicts[i]->breached) != counting)
			continue;
		if (!first)
			appendStringInfoString(buf, ", ");
		put_verdict(buf, verdicts[i]);
		first = false;
	}
	appendStringInfoChar(buf, ']');
	pfree(verdicts);
}

/*
 * The detail of a refusal: one line of JSON.
 */
char *
fx_risk_detail(const FxDecision *decision)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "{\"limits\": ");
	fx_risk_put_verdicts(&buf, decision, true);
	appendStringInfoString(&buf, ", \"others\": ");
	fx_risk_put_verdicts(&buf, decision, false);
	appendStringInfo(&buf, ", \"state\": \"%s\"", state_names[decision->state]);
	if (decision->halted && decision->state_limit == NULL)
		put_text(&buf, "state_reason", decision->state_reason);
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

static void
put_noun(StringInfo buf, const FxLimit *limit, const FxOrder *order)
{
	const char *noun = nouns[limit->type];
	const char *slot = strstr(noun, "%s");

	if (slot == NULL)
		appendStringInfoString(buf, noun);
	else
	{
		appendBinaryStringInfo(buf, noun, slot - noun);
		appendStringInfoString(buf, order != NULL ? order->symbol :
							   limit->symbol[0] != '\0' ? limit->symbol : "a symbol");
	}
}

/*
 * A number with its unit, as the limit measures it.
 */
static void
put_amount(StringInfo buf, const FxAccount *account, const FxLimit *limit,
		   const FxMeasure *measure)
{
	char		number[FX_FIXED_TEXT_SIZE];

	if (!measure->known)
	{
		appendStringInfoString(buf, "an unknown value");
		return;
	}
	if (measure->infinite)
	{
		appendStringInfoString(buf, "infinity");
		return;
	}
	fx_fixed_write_text(measure->value, number);
	appendStringInfoString(buf, number);
	switch (limit->type)
	{
		case FX_MAX_LEVERAGE:
			appendStringInfoString(buf, ":1");
			break;
		case FX_CONCENTRATION:
			appendStringInfoChar(buf, '%');
			break;
		case FX_MAX_OPEN_TRADES:
		case FX_MAX_DAILY_TRADES:
		case FX_MAX_ORDER_RATE:
		case FX_MAX_CONSECUTIVE_LOSSES:
		case FX_PRICE_COLLAR:
		case FX_KILL_SWITCH:
			break;
		case FX_MAX_POSITION:
		case FX_MAX_ORDER_SIZE:
			if (!limit->percentage)
			{
				appendStringInfoString(buf, measure->value == FX_FIXED_ONE ? " unit" : " units");
				break;
			}
			/* FALLTHROUGH */
		default:
			appendStringInfo(buf, " %s", account->currency);
			break;
	}
}

static void
put_bound(StringInfo buf, const FxAccount *account, const FxLimit *limit,
		  const FxReading *reading)
{
	put_amount(buf, account, limit, &reading->bound);
	if (limit->percentage && !reading->is_ratio && limit->type != FX_MIN_EQUITY)
	{
		char		number[FX_FIXED_TEXT_SIZE];

		fx_fixed_write_text(limit->value, number);
		appendStringInfo(buf, " (%s%%)", number);
	}
}

static void
put_verdict(StringInfo buf, const FxVerdict *verdict)
{
	const FxLimit *limit = verdict->limit;
	FxMeasure	value = {.known = true, .value = limit->value};

	appendStringInfo(buf, "{\"id\": \"%s\"",
					 DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&limit->id))));
	put_text(buf, "name", limit->name);
	put_text(buf, "type", fx_risk_type_names[limit->type]);
	put_text(buf, "limit_type", limit->percentage ? "percentage" : "absolute");
	put_number(buf, "limit", &value);
	put_number(buf, "current", &verdict->before);
	put_number(buf, "projected", &verdict->after);
	put_number(buf, "bound", &verdict->bound);
	put_number(buf, "utilization", &verdict->utilization);
	put_text(buf, "action", action_names[limit->action]);
	put_text(buf, "reason", verdict->reason);
	if (!verdict->utilization.known)
		put_text(buf, "missing", verdict->utilization.missing);
	appendStringInfoChar(buf, '}');
}

static void
put_key(StringInfo buf, const char *key)
{
	appendStringInfo(buf, ", \"%s\": ", key);
}

static void
put_text(StringInfo buf, const char *key, const char *text)
{
	put_key(buf, key);
	if (text == NULL)
		appendStringInfoString(buf, "null");
	else
		escape_json(buf, text);
}

static void
put_number(StringInfo buf, const char *key, const FxMeasure *measure)
{
	char		number[FX_FIXED_TEXT_SIZE];

	put_key(buf, key);
	if (!measure->known)
		appendStringInfoString(buf, "null");
	else if (measure->infinite)
		appendStringInfoString(buf, "\"Infinity\"");
	else
	{
		fx_fixed_write_text(measure->value, number);
		appendStringInfoString(buf, number);
	}
}

static int
compare_refusals(const void *a, const void *b)
{
	const FxVerdict *left = *(const FxVerdict *const *) a;
	const FxVerdict *right = *(const FxVerdict *const *) b;

	if (left->refused != right->refused)
		return left->refused ? -1 : 1;
	return compare_verdicts(a, b);
}

static int
compare_verdicts(const void *a, const void *b)
{
	const FxVerdict *left = *(const FxVerdict *const *) a;
	const FxVerdict *right = *(const FxVerdict *const *) b;
	const FxMeasure *used_left = &left->utilization;
	const FxMeasure *used_right = &right->utilization;
	int			order;

	if (used_left->known != used_right->known)
		return used_left->known ? 1 : -1;
	if (used_left->known && used_left->infinite != used_right->infinite)
		return used_left->infinite ? -1 : 1;
	if (used_left->known && !used_left->infinite && used_left->value != used_right->value)
		return used_left->value > used_right->value ? -1 : 1;
	if (left->limit->type != right->limit->type)
		return strcmp(fx_risk_type_names[left->limit->type],
					  fx_risk_type_names[right->limit->type]);
	order = strcmp(left->limit->name, right->limit->name);
	return order != 0 ? order : memcmp(&left->limit->id, &right->limit->id, sizeof(pg_uuid_t));
}
