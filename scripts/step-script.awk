# step-script.awk
#	Print the script that turns what one install script made into what
#	another one makes:
#
#	awk -f step-script.awk from=1.0.0 to=1.1.0 OLD.sql NEW.sql
#
# Both are split into statements; statements that are the same in both are left
# out, new ones are printed, changed functions are replaced, what is gone is
# dropped, and rows of fx.migration follow their scripts.  With the two files
# exchanged it prints the way back.
#
# A change that has no such step (of a type, say) is an error: then the step
# script has to be written by hand, into sql/upgrade, where it takes the place of
# this one.  test/t/008_upgrade.pl compares the catalogs after either.
#
# What follows the migrations in an install script is its own end, which does
# not belong to a step.

function fail(message)
{
	printf "step-script: %s\n", message > "/dev/stderr"
	failed = 1
	exit 1
}

function squeeze(s)
{
	gsub(/--[^\n]*/, "", s)
	gsub(/[ \t\n]+/, " ", s)
	sub(/^ /, "", s)
	sub(/ $/, "", s)
	return s
}

# The length of the parenthesis with which s begins, strings in it included.
function parenthesis(s,    i, c, depth, quoted)
{
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		if (c == "'")
			quoted = !quoted
		else if (!quoted && c == "-" && substr(s, i, 2) == "--")
			i += index(substr(s, i), "\n") - 1
		else if (!quoted && c == "(")
			depth++
		else if (!quoted && c == ")" && --depth == 0)
			return i
	}
	fail("no end of " substr(s, 1, 60))
}

# Split at the commas that are in no parenthesis and no string.
function split_list(s, list,    i, c, depth, quoted, n, item)
{
	split("", list)
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		if (c == "'")
			quoted = !quoted
		if (!quoted && (c == "(" || c == "["))
			depth++
		if (!quoted && (c == ")" || c == "]"))
			depth--
		if (c == "," && !quoted && depth == 0) {
			list[++n] = squeeze(item)
			item = ""
		} else
			item = item c
	}
	if (squeeze(item) != "")
		list[++n] = squeeze(item)
	return n + 0
}

# The types by which a routine is known, of a list of parameters that may have
# modes, names and defaults.  Sets defaults to how many there are, and bare to
# the list without them.
function signature(s,    list, n, i, p, types)
{
	defaults = 0
	bare = ""
	n = split_list(s, list)
	for (i = 1; i <= n; i++) {
		p = list[i]
		if (match(p, / (DEFAULT|=) /)) {
			p = substr(p, 1, RSTART - 1)
			defaults++
		}
		bare = bare (bare == "" ? "" : ", ") p
		if (p ~ /^OUT /)
			continue
		sub(/^(INOUT|IN|VARIADIC) /, "", p)
		if (p ~ / / && p !~ /^(double precision|character varying|bit varying|(timestamp|time) with)/)
			sub(/^[^ ]+ /, "", p)
		types = types (types == "" ? "" : ", ") p
	}
	return types
}

# An object as COMMENT, GRANT and DROP name it, with types only.
function object(s,    at, kind)
{
	s = squeeze(s)
	if (s !~ /^(FUNCTION|PROCEDURE|AGGREGATE|ROUTINE) /)
		return s
	at = index(s, "(")
	if (at == 0)
		return s
	kind = squeeze(substr(s, 1, at - 1))
	s = substr(s, at)
	return kind "(" signature(substr(s, 2, parenthesis(s) - 2)) ")"
}

# Rights are kept by object, one statement for each, in their order: their sum
# counts.
function take_right(side, statement,    head, list, names, n, i, tail, what, name)
{
	if (!match(statement, / ON /))
		fail("not understood: " statement)
	head = substr(statement, 1, RSTART + 3)
	list = substr(statement, RSTART + 4)
	if (!match(list, / (TO|FROM) [^()]*;$/))
		fail("not understood: " statement)
	tail = substr(list, RSTART)
	list = substr(list, 1, RSTART - 1)
	if (match(list, /^(FUNCTION|PROCEDURE|ROUTINE|TABLE|SCHEMA|TYPE|SEQUENCE) /)) {
		what = substr(list, 1, RLENGTH)
		list = substr(list, RLENGTH + 1)
	}
	n = split_list(list, names)
	for (i = 1; i <= n; i++) {
		name = object(what names[i])
		if (!((side, name) in rights)) {
			text[side, "rights on " name] = ""
			kind_of[side, "rights on " name] = "rights"
			target[side, "rights on " name] = name
			order[side, ++count[side]] = "rights on " name
		}
		right[side, name, ++rights[side, name]] = head what names[i] tail
	}
}

# The statement body of file side (1 or 2): what it makes, and under which key
# the other file may have the same.
function take(side, body, lead,    flat, key, kind, name, at, rest, n)
{
	if (ended[side] && body !~ /^INSERT INTO migration /)
		return
	flat = squeeze(substr(body, 1, 400))
	if (flat ~ /^(SET LOCAL|DO) /) {
		# done once, by whoever installs first
		if (flat ~ /^DO /)
			once[side] = once[side] body
		return
	}

	kind = "statement"
	key = body
	if (flat ~ /^CREATE (FUNCTION|PROCEDURE|AGGREGATE) /) {
		kind = "routine"
		at = index(body, "(")
		name = squeeze(substr(body, 8, at - 8))
		rest = substr(body, at)
		n = parenthesis(rest)
		key = name "(" signature(substr(rest, 2, n - 2)) ")"
		rest = substr(rest, n + 1)
		if (name ~ /^AGGREGATE /)
			rest = ""
		else if (match(rest, /\nLANGUAGE /))
			rest = substr(rest, 1, RSTART - 1)
		else
			fail("no line LANGUAGE in " key)
		default_count[side, key] = defaults
		shape[side, key] = bare " -> " squeeze(rest)
	} else if (flat ~ /^CREATE VIEW /) {
		kind = "view"
		match(flat, /^CREATE VIEW [^ (]+/)
		key = substr(flat, 8, RLENGTH - 7)
		rest = squeeze(body)
		match(rest, / FROM /)
		shape[side, key] = substr(rest, 1, RSTART)
	} else if (flat ~ /^CREATE TYPE [^ (]+;$/)
		key = flat
	else if (flat ~ /^CREATE (TYPE|TABLE|SEQUENCE|DOMAIN) /) {
		kind = "solid"
		match(flat, /^CREATE [A-Z]+ [^ (;]+/)
		key = substr(flat, 8, RLENGTH - 7)
	} else if (flat ~ /^COMMENT ON /) {
		kind = "comment"
		match(body, /[ \n]IS[ \n]/)
		key = "COMMENT ON " object(substr(body, 12, RSTART - 12))
		target[side, key] = substr(key, 12)
	} else if (flat ~ /^(GRANT|REVOKE) /) {
		take_right(side, squeeze(body))
		return
	} else if (flat ~ /^INSERT INTO migration /) {
		ended[side] = 1
		kind = "migration"
		match(flat, /VALUES \('[^']*'/)
		key = substr(flat, RSTART + 9, RLENGTH - 10)
		if (newest[side] != "" && key <= newest[side])
			fail("migration " key " is out of order")
		newest[side] = key
	} else if (flat !~ /^CREATE (CAST|OPERATOR) /)
		fail("not understood: " substr(flat, 1, 60))

	if ((side, key) in text)
		fail(key " is there twice")
	text[side, key] = body
	leader[side, key] = lead
	kind_of[side, key] = kind
	order[side, ++count[side]] = key
}

# statements, from lines

FNR == 1 {
	side++
	body = lead = within = ""
}

{
	line = $0
	if (body == "" && within == "") {
		if (line ~ /^\\/ || line ~ /^[ \t]*$/) {
			lead = ""
			next
		}
		if (line ~ /^[ \t]*--/) {
			lead = lead line "\n"
			next
		}
	}
	done = ""
	while (line != "") {
		if (within != "") {
			at = index(line, within)
			if (at == 0)
				break
			n = at + length(within) - 1
			within = ""
		} else {
			if (!match(line, /'|"|--|;|\$[A-Za-z_]*\$/))
				break
			token = substr(line, RSTART, RLENGTH)
			n = RSTART + RLENGTH - 1
			if (token == "--")
				break
			if (token == ";") {
				if (substr(line, n + 1) !~ /^[ \t]*(--.*)?$/)
					fail(FILENAME ":" FNR ": two statements in a line")
				take(side, body done substr(line, 1, n), lead)
				body = lead = ""
				next
			}
			if (token == "'" && substr(line, 1, RSTART) ~ /(^|[^A-Za-z_0-9])[eE]'$/)
				fail(FILENAME ":" FNR ": a string with escapes outside of a body")
			within = token
		}
		done = done substr(line, 1, n)
		line = substr(line, n + 1)
	}
	body = body done line "\n"
}

# the step

function emit(statement)
{
	printf "\n%s\n", statement
}

function replace(statement)
{
	sub(/^CREATE /, "CREATE OR REPLACE ", statement)
	return statement
}

# What a statement of rights did, undone.
function revert(statement)
{
	if (sub(/^REVOKE ALL ON FUNCTION /, "GRANT EXECUTE ON FUNCTION ", statement) ||
		sub(/^REVOKE ALL ON PROCEDURE /, "GRANT EXECUTE ON PROCEDURE ", statement))
		sub(/ FROM PUBLIC;$/, " TO PUBLIC;", statement)
	else if (sub(/^GRANT /, "REVOKE ", statement)) {
		match(statement, / TO [^;]*;$/)
		statement = substr(statement, 1, RSTART) "FROM" substr(statement, RSTART + 3)
	} else
		fail("no way to undo: " statement)
	return statement
}

# Take back what only the old script granted or revoked, and do what only the
# new one does.  What both begin with stays.  For an object that is made here,
# just do it.
function change_rights(name, anew,    same, i)
{
	if (anew) {
		for (i = 1; i <= rights[2, name]; i++)
			emit(right[2, name, i])
		return
	}
	same = 0
	while (same < rights[1, name] && same < rights[2, name] &&
		right[1, name, same + 1] == right[2, name, same + 1])
		same++
	for (i = rights[1, name]; i > same; i--)
		changed_rights = changed_rights "    " revert(right[1, name, i]) "\n"
	for (i = same + 1; i <= rights[2, name]; i++)
		changed_rights = changed_rights "    " right[2, name, i] "\n"
}

# A grant in a script of an extension makes all rights of the object initial
# ones, which no dump has: those too that its owner has granted to others.
function emit_changed_rights()
{
	if (changed_rights == "")
		return
	emit("-- What somebody granted himself stays his, and is no initial right: a dump has it.\n" \
		"DO $$\n" \
		"DECLARE\n" \
		"    theirs jsonb;\n" \
		"BEGIN\n" \
		"    SELECT jsonb_agg(jsonb_build_object('class', o.class, 'object', o.object, 'item', a.item::text)) INTO theirs\n" \
		"      FROM (SELECT 'pg_namespace'::regclass::oid, oid, nspacl, acldefault('n', nspowner) FROM pg_namespace WHERE nspname = '@extschema@'\n" \
		"             UNION ALL\n" \
		"            SELECT 'pg_proc'::regclass, oid, proacl, acldefault('f', proowner) FROM pg_proc WHERE pronamespace = '@extschema@'::regnamespace\n" \
		"             UNION ALL\n" \
		"            SELECT 'pg_class'::regclass, oid, relacl, acldefault('r', relowner) FROM pg_class WHERE relnamespace = '@extschema@'::regnamespace\n" \
		"           ) o (class, object, acl, by_default)\n" \
		"      LEFT JOIN pg_init_privs p ON (p.classoid, p.objoid, p.objsubid) = (o.class, o.object, 0)\n" \
		"     CROSS JOIN LATERAL unnest(o.acl) a (item)\n" \
		"     WHERE NOT a.item = ANY (coalesce(p.initprivs, o.by_default));\n" \
		"\n" \
		changed_rights \
		"\n" \
		"    UPDATE pg_init_privs p\n" \
		"       SET initprivs = ARRAY(\n" \
		"               SELECT i.item FROM unnest(p.initprivs) i (item)\n" \
		"                WHERE NOT EXISTS (SELECT FROM jsonb_to_recordset(theirs) t (class oid, object oid, item aclitem)\n" \
		"                                   WHERE (t.class, t.object) = (p.classoid, p.objoid) AND t.item = i.item))\n" \
		"     WHERE p.objsubid = 0\n" \
		"       AND (p.classoid, p.objoid) IN (\n" \
		"               SELECT t.class, t.object FROM jsonb_to_recordset(theirs) t (class oid, object oid));\n" \
		"    -- a function that everybody may execute again is as one that was never revoked\n" \
		"    DELETE FROM pg_init_privs p\n" \
		"     USING pg_proc f\n" \
		"     WHERE p.classoid = 'pg_proc'::regclass AND p.objoid = f.oid AND f.pronamespace = '@extschema@'::regnamespace\n" \
		"       AND p.initprivs @> acldefault('f', f.proowner) AND p.initprivs <@ acldefault('f', f.proowner);\n" \
		"END\n" \
		"$$;")
}

# Does a script make what rights are about?  Relations come without their kind.
function makes(side, name)
{
	if (name ~ /^SCHEMA / || (side, name) in text)
		return 1
	sub(/^TABLE /, "", name)
	return (side, "VIEW " name) in text || (side, "TABLE " name) in text
}

# Is what rights or a comment are about dropped?  Columns go with relations.
function is_gone(name)
{
	if (name in dropped)
		return 1
	if (sub(/^COLUMN /, "", name))
		sub(/\.[^.]*$/, "", name)
	sub(/^(TABLE|VIEW) /, "", name)
	return ("VIEW " name) in dropped
}

# Only what has another shape has to go and come again, and views over it.
function choose_recreated(    i, j, key, name, other)
{
	for (i = 1; i <= count[2]; i++) {
		key = order[2, i]
		if (!((1, key) in text) || !((1, key) in shape) || !((2, key) in shape))
			continue
		if (shape[1, key] != shape[2, key] || default_count[2, key] < default_count[1, key])
			recreated[key] = 1
	}
	for (i = 1; i <= count[1]; i++) {
		key = order[1, i]
		if (kind_of[1, key] != "routine" || !(key in recreated || !((2, key) in text)))
			continue
		name = key
		sub(/^[A-Z]+ /, "", name)
		sub(/\(.*/, "", name)
		for (j = 1; j <= count[2]; j++) {
			other = order[2, j]
			if (kind_of[2, other] == "view" && (1, other) in text &&
				text[1, other] ~ ("(^|[^a-z_0-9])" name "[(]"))
				recreated[other] = 1
		}
	}
}

function migrate_down(    i, key, list)
{
	for (i = 1; i <= count[1]; i++) {
		key = order[1, i]
		if (kind_of[1, key] == "migration" && !((2, key) in text)) {
			if (key <= newest[2])
				fail("migration " key " is gone, and it is not the newest")
			list = list (list == "" ? "" : ", ") "'" key "'"
		}
	}
	if (list == "")
		return
	emit("-- Undo the migrations that " to " does not know.  An error where that would drop data.\n" \
		"SELECT migrate(coalesce((SELECT max(s.version COLLATE \"C\") FROM migration_states() s\n" \
		"                          WHERE s.state = 'applied' AND s.version COLLATE \"C\" <= '" newest[2] "'), 'none'))\n" \
		" WHERE EXISTS (SELECT FROM migration_states() s\n" \
		"                WHERE s.state = 'applied' AND s.version IN (" list "));")
	emit("DELETE FROM migration WHERE version IN (" list ");")
}

function change_migration(key,    old, new, values)
{
	split(text[1, key], old, /\$fx_migration\$/)
	split(text[2, key], new, /\$fx_migration\$/)
	values = text[2, key]
	sub(/^[^']*'[^']*', /, "", values)
	sub(/\);$/, "", values)
	emit("UPDATE migration SET (up, down, attach) = (" values ")\n WHERE version = '" key "';")
	if (old[6] != new[6])
		attach = attach (attach == "" ? "" : ", ") "'" key "'"
}

END {
	if (failed)
		exit 1
	if (side != 2)
		fail("two install scripts are needed")
	if (once[1] != once[2])
		fail("a DO block changed")

	print "-- complain if script is sourced in psql, rather than via ALTER EXTENSION"
	printf "\\echo Use \"ALTER EXTENSION fxplatform UPDATE TO '%s'\" to load this file. \\quit\n", to
	emit("SET LOCAL search_path TO @extschema@, pg_temp;")

	choose_recreated()
	migrate_down()

	# what has to go first
	for (i = count[1]; i >= 1; i--) {
		key = order[1, i]
		if (key in recreated) {
			emit("DROP " key ";")
			dropped[key] = 1
		}
	}

	for (i = 1; i <= count[2]; i++) {
		key = order[2, i]
		kind = kind_of[2, key]
		now = text[2, key]
		if (kind == "rights")
			change_rights(target[2, key], !makes(1, target[2, key]) || is_gone(target[2, key]))
		else if (!((1, key) in text) || key in recreated || (kind == "comment" && is_gone(target[2, key])))
			emit(leader[2, key] now)
		else if (now == text[1, key])
			continue
		else if (kind ~ /^(routine|view)$/)
			emit(leader[2, key] replace(now))
		else if (kind == "comment")
			emit(now)
		else if (kind == "migration")
			change_migration(key)
		else
			fail("no step changes " key)
	}

	for (i = count[1]; i >= 1; i--) {
		key = order[1, i]
		if (kind_of[1, key] == "rights" && !((2, key) in text) && makes(2, target[1, key]))
			change_rights(target[1, key], 0)
	}
	emit_changed_rights()

	# Run again what hangs code on the tables.  Before anything is dropped, as it may
	# still be in use; on the way up, apply what is new.
	if (attach != "" || newest[2] > newest[1])
		emit("SELECT migrate_in_script(ARRAY[" attach "]::text[])\n" \
			" WHERE to_regclass('@extschema@.schema_migrations') IS NOT NULL;")

	for (i = count[1]; i >= 1; i--) {
		key = order[1, i]
		if ((2, key) in text)
			continue
		kind = kind_of[1, key]
		if (kind ~ /^(routine|view)$/) {
			emit("DROP " key ";")
			dropped[key] = 1
		} else if (kind !~ /^(rights|comment|migration)$/)
			fail("no step drops " key)
	}
	for (i = count[1]; i >= 1; i--) {
		key = order[1, i]
		kind = kind_of[1, key]
		if ((2, key) in text || kind != "comment" || is_gone(target[1, key]))
			continue
		emit(key " IS NULL;")
	}
}
