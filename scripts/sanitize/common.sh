# shellcheck shell=bash disable=SC2154,SC2034
#
# common.sh
#	What the modes of sanitize.sh share: a build of their own, tests of choice,
#	a server that starts by a wrapper, and the table at the end.

# One line a stage: name|passed|failed|seconds|remark
stages=()
# How many things were found, failed tests included
findings=0

# prepare_mode MODE
#	Sources and results of a mode have a folder of their own, so that one mode
#	does not meet what another compiled.
prepare_mode()
{
	mkdir -p "$work"
	base=$work/$1
	if [ -d "$base/cluster" ]; then
		stop_cluster "$base/cluster"
	fi
	rm -rf "$base"
	mkdir -p "$base/src" "$base/logs"
	if [ -n "$user" ]; then
		chown -R "$user" "$work"
		chmod -R u+rwX "$work"
	fi
	trap 'stop_cluster "$base/cluster"' EXIT
	fresh_sources
}

# Set tree to a copy of the sources, without what was compiled.
fresh_sources()
{
	tree=$base/src
	tar -C "$top" --exclude=./.git --exclude='./tmp_*' --exclude=./demo_run \
		--exclude='*.o' --exclude='*.bc' --exclude='*.so' -cf - . | tar -C "$tree" -xf -
	if [ -n "$user" ]; then
		chown -R "$user" "$tree"
	fi
}

# choose_tests
#	Set tests_regress, tests_isolation and tests_tap: those of
#	FXPLATFORM_TESTS, or all.
choose_tests()
{
	local name

	tests_regress='' tests_isolation='' tests_tap='' tests_pgtap=''
	for name in ${FXPLATFORM_TESTS:-}; do
		if [ -f "$tree/test/sql/$name.sql" ]; then
			tests_regress="$tests_regress $name"
		elif [ -f "$tree/test/isolation/specs/$name.spec" ]; then
			tests_isolation="$tests_isolation $name"
		elif [ -f "$tree/test/t/$name.pl" ]; then
			tests_tap="$tests_tap test/t/$name.pl"
		else
			die "FXPLATFORM_TESTS: there is no test \"$name\""
		fi
	done
}

# wanted KIND
#	Whether tests of a kind are to run at all.
wanted()
{
	local chosen=tests_$1

	[ -z "${FXPLATFORM_TESTS:-}" ] || [ -n "${!chosen}" ]
}

# every_test_but "UNWANTED..."
#	The regress tests that were chosen, or all, without some.
every_test_but()
{
	local name

	for name in ${tests_regress:-$(basename -s .sql "$tree"/test/sql/*.sql)}; do
		case " $1 " in
			*" $name "*) ;;
			*) printf '%s ' "$name" ;;
		esac
	done
}

# need_header HEADER PACKAGE...
need_header()
{
	local header=$1

	shift
	have_header "$header" && return 0
	command -v apt-get >/dev/null || die "$header is missing here, and there is no apt-get to install it by"
	say "installing what is missing: $*"
	as_root apt-get update -q
	apt_install "$@"
	have_header "$header" || die "still missing after installation: $header"
}

have_header()
{
	echo "#include <$1>" | cc -E - >/dev/null 2>&1
}

# As in lib.sh, but without the copy for JIT, which would not be instrumented.
run_make()
{
	as_user env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
		make -C "$tree" --no-print-directory -s PG_CONFIG="$pg_config" with_llvm=no "$@"
}

# build_library MAKE-SETTINGS...
#	Compile and install the library and the module with faults, the same way.
#	What COPT holds comes after the server's own flags.
build_library()
{
	say "building with $("$pg_config" --version)"
	run_make "$@"
	run_make -C scripts/sanitize/fault "$@"
	install_library
}

install_library()
{
	install_into "$base/install"
	# that of a mode, too, for modes that run at the same time
	as_user cp "$server_conf" "$base/server.conf"
	server_conf=$base/server.conf
}

# start_server [WRAPPER]
#	Start a new cluster.  The wrapper is a script that is run in place of
#	postgres.
start_server()
{
	local wrapper=${1:-}

	start_cluster "$base/cluster" 'max_connections = 60' 'jit = off'
	if [ -n "$wrapper" ]; then
		as_user "$bindir/pg_ctl" -D "$base/cluster/data" -m fast -w stop >/dev/null
		as_user "$bindir/pg_ctl" -D "$base/cluster/data" -l "$base/cluster/server.log" -t 300 -p "$wrapper" -w start >/dev/null ||
			{ cat "$base/cluster/server.log" >&2; die "the server did not start by $wrapper"; }
	fi
}

# Keep the log of the server, which goes with the cluster.
stop_server()
{
	as_user "$bindir/pg_ctl" -D "$base/cluster/data" -m fast -t 300 -w stop >/dev/null ||
		die "the server did not stop; its log is $base/cluster/server.log"
	cat "$base/cluster/server.log" >>"$base/logs/server.log"
	stop_cluster "$base/cluster"
}

sql()
{
	as_user "$bindir/psql" -X -q -A -t -v ON_ERROR_STOP=1 -d postgres "$@"
}

# What ran before may have ended a session in a way that all are ended.
wait_for_server()
{
	for _ in $(seq 300); do
		as_user "$bindir/pg_isready" -q && return
		sleep 1
	done
	die "the server does not come back; its log is $base/cluster/server.log"
}

# commit_fault FUNCTION [ARGUMENT]
#	Call a function of the module with faults.  The session may end by it.
commit_fault()
{
	wait_for_server
	sql -c "CREATE OR REPLACE FUNCTION fault(integer) RETURNS integer AS '$tree/scripts/sanitize/fault/fault', '$1' LANGUAGE C STRICT" \
		-c "SELECT fault(${2:-1})" 2>&1 || true
}

# self_test NAME PATTERN FILE...
#	The report of a fault must be in one of the files: a tool that reports
#	nothing when something is wrong has not shown anything.
self_test()
{
	local name=$1 pattern=$2

	shift 2
	if ! grep -qE -- "$pattern" "$@" 2>/dev/null; then
		die "self-test: the fault \"$name\" was not reported, so this run would prove nothing (expected /$pattern/ in $*)"
	fi
	printf 'self-test: %s is reported\n' "$name"
}

# suite NAME COMMAND...
#	Run tests and note their numbers, whichever of the formats they print.
suite()
{
	local name=$1 out=$base/logs/$1.log status=0 good bad started=$SECONDS

	shift
	say "$name"
	wait_for_server
	"$@" >"$out" 2>&1 || status=$?
	LC_ALL=C grep -E '(FAILED|^not ok|Failed|Dubious|^(test/t|.*\.sql) )' "$out" || true
	good=$(grep -cE '^(test .*\.\.\. ok|ok +[0-9]+ |.*\.(pl|sql) \.* ok$)' "$out" || true)
	bad=$(grep -cE '^(test .*FAILED|not ok +[0-9]+ |.*\((Wstat|Tests): )' "$out" || true)
	if [ $status -ne 0 ] && [ "$bad" -eq 0 ]; then
		tail -n 20 "$out"
		bad=1
	fi
	if [ $status -eq 0 ] && [ "$good" -eq 0 ]; then
		die "$name: no test ran"
	fi
	if [ -s "$tree/regression.diffs" ]; then
		as_user mv "$tree/regression.diffs" "$base/logs/$name.diffs"
		head -n "${FXPLATFORM_DIFF_LINES:-60}" "$base/logs/$name.diffs"
	fi
	note_stage "$name" "$good" "$bad" $((SECONDS - started)) "$([ "$bad" -eq 0 ] || echo "$base/logs/$name.*")"
}

# note_stage NAME PASSED FAILED SECONDS REMARK
note_stage()
{
	stages+=("$1|$2|$3|$4|${5:-}")
	findings=$((findings + $3))
	printf '%s: %s passed, %s failed, %s s\n' "$1" "$2" "$3" "$4"
}

# The kinds of tests, each in the database that its runner makes.
regress()
{
	run_make installcheck ISOLATION= TAP_TESTS= \
		${tests_regress:+REGRESS="$tests_regress"} "$@"
}

isolation()
{
	run_make installcheck REGRESS= TAP_TESTS= \
		${tests_isolation:+ISOLATION="$tests_isolation"} "$@"
}

tap()
{
	TEMP_CONFIG=$server_conf run_make installcheck REGRESS= ISOLATION= \
		${tests_tap:+PROVE_TESTS="$tests_tap"} "$@"
}

# pgTAP has no part in FXPLATFORM_TESTS.
pgtap()
{
	run_make pgtapcheck "$@"
}

# run_suites KIND...
#	Those of the kinds that are wanted.
run_suites()
{
	local kind

	for kind in "$@"; do
		if wanted "$kind"; then
			suite "$mode-$kind" "$kind"
		fi
	done
}

# note_reports PATTERN PLACE...
#	What the runtime of a sanitizer wrote to the files or folders; the same report
#	is named once.
note_reports()
{
	local pattern=$1 places=$base/logs/places.txt place existing=()

	shift
	for place in "$@"; do
		[ ! -e "$place" ] || existing+=("$place")
	done
	{ grep -rhE -- "$pattern" "${existing[@]}" || true; } | sed 's/^==[0-9]*==//' | sort | uniq -c | sort -rn >"$places"
	cat "$places"
	note_stage 'reports of the runtime' 0 "$(wc -l <"$places")" 0 "$places"
}

# crashes
#	Processes of the server that ended by a signal, by its log.
crashes()
{
	grep -hE 'was terminated by signal|TRAP: |PANIC: ' "$@" 2>/dev/null || true
}

# note_crashes NAME LOG...
note_crashes()
{
	local name=$1 found

	shift
	found=$(crashes "$@")
	if [ -n "$found" ]; then
		printf '%s\n' "$found"
		note_stage "$name" 0 "$(printf '%s\n' "$found" | wc -l)" 0 'assertions or crashes in the log of the server'
	fi
}

# finish
#	The table, and the verdict.
finish()
{
	local line name passed failed seconds remark

	printf '\n%-28s %7s %7s %8s  %s\n' stage passed failed seconds remark
	printf -- '---------------------------- ------- ------- --------  ------\n'
	for line in "${stages[@]}"; do
		IFS='|' read -r name passed failed seconds remark <<<"$line"
		printf '%-28s %7s %7s %8s  %s\n' "$name" "$passed" "$failed" "$seconds" "$remark"
	done
	printf '\n%s: ' "$mode"
	if [ $findings -gt 0 ]; then
		printf '%s findings\n' $findings
		exit 1
	fi
	printf 'nothing found\n'
}
