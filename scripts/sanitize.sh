#!/usr/bin/env bash
#
# sanitize.sh MODE
#	Run the tests on a library or on a server that notices what a test cannot
#	see:
#
#	assert		a server built with assertions, plain, with parallel plans
#				forced, and with its caches discarded all the time
#	valgrind	the same server under valgrind
#	ubsan		the library built to trap undefined behaviour
#	asan		the library built to check its accesses to memory
#	coverage	which lines the tests reach
#
# Each mode first shows that it sees a fault that was made on purpose.  What
# they take, and what may be set, is in doc/testing.md.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/sanitize/common.sh
. "$top/scripts/sanitize/common.sh"

mode=${1:-}
case $mode in
	assert | valgrind | ubsan | asan | coverage) ;;
	*) die "usage: $0 assert|valgrind|ubsan|asan|coverage" ;;
esac

install_missing test
use_postgres
choose_workplace tmp_sanitize
prepare_mode "$mode"
choose_tests

# shellcheck source=/dev/null
. "$top/scripts/sanitize/$mode.sh"

finish
