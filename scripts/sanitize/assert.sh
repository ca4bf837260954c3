# shellcheck shell=bash disable=SC2154,SC2034
#
# assert.sh
#	The tests on a server with assertions: as they are, with parallel plans
#	forced, and with all caches discarded at every opportunity.

# shellcheck source=scripts/sanitize/server.sh
. "$top/scripts/sanitize/server.sh"

# discarding TEST...
#	Run tests where every opportunity to lose what is cached of a catalog is
#	taken.  The extension is made before, which alone would take half an hour.
discarding()
{
	sql -c 'DROP DATABASE IF EXISTS contrib_regression' -c 'CREATE DATABASE contrib_regression TEMPLATE template0' \
		-c 'ALTER DATABASE contrib_regression SET client_min_messages = notice'
	sql -d contrib_regression -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION fxplatform CASCADE' \
		-c 'ALTER DATABASE contrib_regression SET debug_discard_caches = 1'
	run_make installcheck ISOLATION= TAP_TESTS= REGRESS="$*" EXTRA_REGRESS_OPTS=--use-existing
}

build_server
build_library

start_server
commit_fault fault_assertion >"$base/logs/fault.log"
stop_server
self_test 'a failed assertion' 'TRAP: .*fault\.c' "$base/logs/server.log"
mv "$base/logs/server.log" "$base/logs/fault-server.log"

start_server
{
	commit_fault fault_stale
	PGOPTIONS='-c debug_discard_caches=1' commit_fault fault_stale
} >"$base/logs/fault-stale.log"
[ "$(head -n 1 "$base/logs/fault-stale.log")" = 1 ] || die "self-test: see $base/logs/fault-stale.log"
self_test 'use of a catalog tuple that was released' '^0$' "$base/logs/fault-stale.log"

run_suites regress isolation tap
if wanted regress; then
	if [ "$(pg_major "$pg_config")" -ge 16 ]; then
		parallel=debug_parallel_query
	else
		parallel=force_parallel_mode
	fi
	# Two show what a worker has for itself: a custom setting that was set back
	# is unset there, and a warning that is given once is given once a process.
	tests_regress=$(every_test_but 'audit_trail identity_setting')
	PGOPTIONS="-c $parallel=regress" suite parallel-regress regress

	# These reach what the library remembers of tables, types, functions and
	# plans.  A statement takes a hundred times as long.
	# shellcheck disable=SC2086
	suite discard-regress discarding ${FXPLATFORM_DISCARD_TESTS:-audit_trail audit_columns audit_redaction trade_changes partitions load_candles
		close_trade risk_report try_trade backtest_lifecycle column_encryption}
fi
note_crashes assert-log "$base/cluster/server.log"
stop_server
