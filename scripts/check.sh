#!/usr/bin/env bash
#
# check.sh
#	Install what the tests need, build, and run all of them in a throw-away
#	cluster: pg_regress, isolation specs, TAP, pgTAP.
#
# With CI set, warnings of gcc and clang are errors.  FXPLATFORM_TAP_JOBS says how
# many TAP tests run at a time, by default one for each processor up to four.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

install_missing test
use_postgres
choose_workplace tmp_run
prepare_sources
as_user mkdir -p "$work"
trap 'stop_cluster "$work/cluster"' EXIT

tap_jobs=${FXPLATFORM_TAP_JOBS:-$(nproc)}
[ "$tap_jobs" -le 4 ] || tap_jobs=4
passed=0
failed=0
skipped=0
summary=$work/summary
as_user rm -f "$summary"

# suite NAME COMMAND...
#	Run a suite and count its tests, whichever of the three formats it prints.
suite()
{
	local name=$1 out=$work/$1.log status=0 good bad left_out since=$SECONDS

	shift
	say "$name"
	"$@" 2>&1 | tee "$out" || status=$?
	good=$(grep -cE '^(test .*\.\.\. ok|ok +[0-9]+ |.*\.(pl|sql) \.* ok( +[0-9]+ ms.*)?$)' "$out" || true)
	bad=$(grep -cE '^(test .*FAILED|not ok +[0-9]+ |.*\.(pl|sql) +\(Wstat: )' "$out" || true)
	if [ $status -ne 0 ] && [ "$bad" -eq 0 ]; then
		bad=1
	fi
	[ $status -eq 0 ] && bad=0
	left_out=$(grep -cE '^.*\.(pl|sql) \.* skipped' "$out" || true)
	passed=$((passed + good))
	failed=$((failed + bad))
	skipped=$((skipped + left_out))
	echo "$name $good $bad $left_out $((SECONDS - since))" | as_user tee -a "$summary" >/dev/null
}

show_diffs()
{
	if [ -s "$tree/regression.diffs" ]; then
		head -n 400 "$tree/regression.diffs"
	fi
}

# TAP tests make their own clusters, which read these settings.  Much of their
# time is waiting: for servers, for workers, for the disk.
tap_tests()
{
	TEMP_CONFIG=$server_conf run_make installcheck REGRESS= ISOLATION= PROVE_FLAGS="--timer --jobs=$tap_jobs"
}

say "building with PostgreSQL $("$pg_config" --version | sed 's/^PostgreSQL //')"
werror=${CI:+-Werror}
run_make clean >/dev/null
if command -v clang >/dev/null; then
	# the server's flags are for the compiler that built it
	run_make with_llvm=no CC=clang \
		WERROR="$werror -Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes"
	run_make clean >/dev/null
fi
run_make with_llvm=no WERROR="$werror"
as_user rm -rf "$tree/results" "$tree/regression.diffs" "$tree/tmp_check"
install_into "$work/install"
start_cluster "$work/cluster"

# Real candles for tests are no part of the project; they skip without them.
data=${FXPLATFORM_TEST_DATA:-$top/../shared/data}
if [ -d "$data" ]; then
	data=$(cd "$data" && pwd -P)
	if [ -n "$user" ]; then
		mkdir -p "$work/test_data"
		cp "$data"/*.csv* "$work/test_data"
		chown -R "$user" "$work/test_data"
		data=$work/test_data
	fi
	export FXPLATFORM_TEST_DATA=$data
fi

suite regress run_make installcheck ISOLATION= TAP_TESTS=
show_diffs
suite isolation run_make installcheck REGRESS= TAP_TESTS=
show_diffs
suite tap tap_tests
suite pgtap run_make pgtapcheck

say "in short"
printf '%-10s %7s %7s %8s %8s\n' suite passed failed skipped seconds
while read -r line; do
	# shellcheck disable=SC2086
	printf '%-10s %7s %7s %8s %8s\n' $line
done <"$summary"
printf '\n%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ] || exit 1
[ "$passed" -gt 0 ] || die "no test ran"
