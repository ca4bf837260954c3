# shellcheck shell=bash disable=SC2154,SC2034
#
# valgrind.sh
#	The tests on a server under valgrind, which knows what memory contexts have
#	handed out, taken back and never been written.
#
# Errors with a function of the library in their stack are told from others, but
# all of them count: what the library has never written and hands to the server
# is noticed there.

# shellcheck source=scripts/sanitize/server.sh
. "$top/scripts/sanitize/server.sh"

need_tool valgrind valgrind
build_server
build_library

# Every test has to pass here before its memory is worth a look.
start_server
if wanted regress; then
	suite assert-regress regress
fi
if wanted isolation; then
	suite assert-isolation isolation
fi
note_crashes assert-log "$base/cluster/server.log"
stop_server

logs=$base/logs/valgrind
as_user mkdir "$logs"
wrapper=$base/postgres-valgrind
as_user tee "$wrapper" >/dev/null <<EOF
#!/bin/sh
exec nice valgrind --quiet --trace-children=yes --leak-check=no --num-callers=30 \\
	--track-origins=${FXPLATFORM_TRACK_ORIGINS:-no} --fullpath-after= \\
	--error-markers=ERROR-BEGIN,ERROR-END --suppressions='$suppressions' \\
	--log-file='$logs/%p.log' '$bindir/postgres' "\$@"
EOF
as_user chmod 755 "$wrapper"

# split_errors
#	Sort the errors into those with a source of ours in the stack and others:
#	ours.txt and others.txt, each with a line "N times" before an error.
split_errors()
{
	# a stack starts after the two words that valgrind puts before each line
	find "$logs" -name '*.log' -print0 | as_user xargs -0 awk -v ours="($tree/" -v mine="$base/logs/ours.txt" -v other="$base/logs/others.txt" '
		{ sub(/^[=*-]+[0-9]+[=*-]+ ?/, "") }
		/^ERROR-BEGIN/ { error = key = ""; inside = 1; next }
		/^ERROR-END/ {
			inside = 0
			if (!(key in seen)) { first[++kinds] = key; text[key] = error }
			seen[key]++
			next
		}
		inside {
			error = error $0 "\n"
			line = $0
			gsub(/0x[0-9A-F]+|[0-9]+ bytes|size [0-9]+/, "", line)
			if ($0 ~ /^ *(at|by) 0x|^[A-Z]/) key = key line
		}
		END {
			for (i = 1; i <= kinds; i++) {
				out = index(text[first[i]], ours) ? mine : other
				printf "%d times\n%s\n", seen[first[i]], text[first[i]] > out
			}
		}'
	as_user touch "$base/logs/ours.txt" "$base/logs/others.txt"
}

kinds()
{
	grep -c '^[0-9][0-9]* times$' "$1" || true
}

start_server "$wrapper"
for fault in uninitialised unwritten freed chunk; do
	commit_fault "fault_$fault" >>"$base/logs/fault.log"
done
split_errors
self_test 'a decision by what was never written' 'fault_uninitialised' "$base/logs/ours.txt"
self_test 'a result that was never written' 'depends on uninitialised' "$base/logs/others.txt"
self_test 'a read of freed memory' 'fault_freed' "$base/logs/ours.txt"
self_test 'a read behind the end of a chunk' 'fault_chunk' "$base/logs/ours.txt"
stop_server
as_user mv "$logs" "$base/logs/fault-valgrind"
as_user rm "$base/logs/ours.txt" "$base/logs/others.txt"
as_user mkdir "$logs"

start_server "$wrapper"
if wanted regress; then
	suite valgrind-regress regress
fi
if [ -n "$tests_isolation" ]; then
	suite valgrind-isolation isolation
fi
note_crashes valgrind-log "$base/cluster/server.log"
stop_server
split_errors
processes=$(find "$logs" -name '*.log' | wc -l)
note_stage 'errors in the library' 0 "$(kinds "$base/logs/ours.txt")" 0 "$processes processes; $base/logs/ours.txt"
note_stage 'errors in the server alone' 0 "$(kinds "$base/logs/others.txt")" 0 "$base/logs/others.txt"
head -n 200 "$base/logs/ours.txt" "$base/logs/others.txt"
