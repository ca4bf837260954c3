# shellcheck shell=bash disable=SC2154,SC2034
#
# assert.sh
#	The tests on a server with assertions: as they are, with parallel plans
#	forced, and with all caches discarded at every opportunity.

# shellcheck source=scripts/sanitize/server.sh
. "$top/scripts/sanitize/server.sh"

# discarding LEVEL
#	What discard.sql prints with a level of debug_discard_caches.  The extension
#	is made before, which alone would take half an hour.
discarding()
{
	sql -c "DROP DATABASE IF EXISTS discard" -c "CREATE DATABASE discard TEMPLATE template0" &&
		sql -d discard -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION fxplatform CASCADE' &&
		sql -d discard -v level="$1" -f "$tree/scripts/sanitize/discard.sql"
}

# compare_discarding
#	The same must come of it, whatever is thrown away meanwhile.
compare_discarding()
{
	local level

	for level in 0 1; do
		discarding $level >"$base/logs/discard-$level.txt" || return 1
	done
	if diff -u "$base"/logs/discard-[01].txt; then
		echo "ok 1 - discard.sql"
	else
		echo "not ok 1 - discard.sql"
		return 1
	fi
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
	# Three show what a worker has for itself: a custom setting that was set back
	# is unset there, a warning that is given once is given once a process, and a
	# session that was revoked is noticed by the first look of each.
	tests_regress=$(every_test_but 'audit_trail identity_setting user_sessions')
	if [ -n "$tests_regress" ]; then
		PGOPTIONS="-c $parallel=regress" suite parallel-regress regress
	fi
fi
if [ -z "${FXPLATFORM_TESTS:-}" ]; then
	suite discard-caches compare_discarding
fi
note_crashes assert-log "$base/cluster/server.log"
stop_server
