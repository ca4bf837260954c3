# shellcheck shell=bash disable=SC2154,SC2034
#
# ubsan.sh
#	The tests with a library that reports undefined behaviour and goes on, on
#	the installed server.

# Conversions of floats that do not fit are undefined, but not in the group.
# PostgreSQL is compiled with -fwrapv, with which sums that overflow are defined,
# and not reported; the library must not rely on it, so it does without here.
build_library COPT='-fsanitize=undefined,float-cast-overflow -fno-wrapv -g -O1' SHLIB_LINK=-lubsan

# The runtime is loaded after the server has written the titles of its processes
# over their environment, so it takes no options: reports are in the logs.
start_server
commit_fault fault_overflow >"$base/logs/fault.log"
stop_server
self_test 'overflow of an integer' 'fault\.c:[0-9:]+ runtime error: signed integer overflow' "$base/logs/server.log"
as_user mv "$base/logs/server.log" "$base/logs/fault-server.log"

start_server
run_suites regress isolation tap
note_crashes ubsan-log "$base/cluster/server.log"
stop_server
note_reports 'runtime error: ' "$base/logs/server.log" "$tree/tmp_check/log"
