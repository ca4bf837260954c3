# shellcheck shell=bash disable=SC2154,SC2034
#
# ubsan.sh
#	The tests with a library that reports undefined behaviour and goes on, on
#	the installed server.

# Conversions of floats that do not fit are undefined, but not in the group.
# Dividing by zero is not: IEEE arithmetic says what comes of it.
build_library COPT='-fsanitize=undefined,float-cast-overflow -fno-sanitize=float-divide-by-zero -g -O1' SHLIB_LINK=-lubsan

reports=$base/logs/reports
as_user mkdir "$reports"
export UBSAN_OPTIONS="log_path=$reports/ubsan:print_stacktrace=1"

start_server
commit_fault fault_overflow >"$base/logs/fault.log"
stop_server
self_test 'overflow of an integer' 'fault\.c:[0-9:]+ runtime error: signed integer overflow' "$reports"/*
as_user mv "$reports" "$base/logs/fault-reports"
as_user mkdir "$reports"

start_server
run_suites regress isolation tap
note_crashes ubsan-log "$base/cluster/server.log"
stop_server
note_reports 'runtime error: '
