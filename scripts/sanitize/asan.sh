# shellcheck shell=bash disable=SC2154,SC2034
#
# asan.sh
#	The tests with a library that checks its accesses to the stack, to globals
#	and to what malloc() gave, on the installed server.
#
# What palloc() hands out of a block is one piece of memory to it; valgrind
# looks into that.

build_library COPT='-fsanitize=address -fno-omit-frame-pointer -g -O1 -U_FORTIFY_SOURCE'

# The runtime has to be there before the server.  Its constructor calls malloc()
# while the loader holds a lock that the interceptor of malloc() wants, and
# hangs; a library that is initialised even earlier makes that call before.
as_user tee "$base/first.c" >/dev/null <<'EOF'
#include <stdlib.h>

static void __attribute__((constructor))
first(void)
{
	void	   *volatile memory = malloc(1);

	free(memory);
}
EOF
as_user cc -shared -fPIC -Wl,-z,initfirst -o "$base/first.so" "$base/first.c"
runtime=$(cc -print-file-name=libasan.so)
[ -f "$runtime" ] || die "the compiler has no libasan.so"

reports=$base/logs/reports
as_user mkdir "$reports"
wrapper=$base/postgres-asan
# Memory contexts are never freed at exit, which is no leak; and the server
# measures the depth of its stack, so variables must stay on it.
as_user tee "$wrapper" >/dev/null <<EOF
#!/bin/sh
LD_PRELOAD='$(readlink -f "$runtime") $base/first.so'
ASAN_OPTIONS='log_path=$reports/asan:detect_leaks=0:detect_stack_use_after_return=0:verify_asan_link_order=0'
export LD_PRELOAD ASAN_OPTIONS
exec '$bindir/postgres' "\$@"
EOF
as_user chmod 755 "$wrapper"

start_server "$wrapper"
for fault in stack malloc; do
	commit_fault "fault_$fault" >>"$base/logs/fault.log"
done
stop_server
self_test 'a write behind a variable of the stack' 'stack-buffer-overflow' "$reports"/*
self_test 'a read behind what malloc() gave' 'heap-buffer-overflow' "$reports"/*
as_user mv "$reports" "$base/logs/fault-reports"
as_user mkdir "$reports"

start_server "$wrapper"
run_suites regress isolation
note_crashes asan-log "$base/cluster/server.log"
stop_server
note_reports 'ERROR: AddressSanitizer' "$reports"
# a report that says something else is none the less a report
if [ -n "$(find "$reports" -type f -size +0)" ] && [ ! -s "$base/logs/places.txt" ]; then
	die "there are reports of another kind in $reports"
fi
