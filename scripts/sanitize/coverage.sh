# shellcheck shell=bash disable=SC2154,SC2034
#
# coverage.sh
#	Which lines of the library the tests reach: a page for people, a total by
#	file, and a list of the lines that no test reaches.

need_tool lcov lcov

build_library COPT='--coverage -O0 -U_FORTIFY_SOURCE'

# count DIR BASE FILE
#	Write what was counted in the objects of a folder, compiled in BASE, to FILE.
count()
{
	{
		as_user lcov --quiet --capture --directory "$1" --base-directory "$2" --no-external --output-file "$3.parts" &&
			# a header is counted by each source that includes it
			as_user lcov --quiet --add-tracefile "$3.parts" --output-file "$3"
	} 2>"$base/logs/lcov.log" || { cat "$base/logs/lcov.log" >&2; die "lcov failed"; }
}

# unreached FILE
#	Lines that were never executed, as "file:line: text".
unreached()
{
	awk -v prefix="$tree/" '
		/^SF:/ {
			file = substr($0, 4)
			lines = 0
			while ((getline text < file) > 0)
				line[++lines] = text
			close(file)
			if (index(file, prefix) == 1)
				file = substr(file, length(prefix) + 1)
		}
		/^DA:[0-9]+,0$/ { split(substr($0, 4), count, ","); print file ":" count[1] ":" line[count[1]] }' "$1"
}

start_server
commit_fault fault_reached >"$base/logs/fault.log"
stop_server
count "$tree/scripts/sanitize/fault" "$tree/scripts/sanitize/fault" "$base/logs/fault.info"
unreached "$base/logs/fault.info" >"$base/logs/fault-unreached.txt"
self_test 'a line that was not reached' 'PG_RETURN_INT32\(-1\)' "$base/logs/fault-unreached.txt"
if grep -q 'if (PG_GETARG_INT32(0) == 0)' "$base/logs/fault-unreached.txt"; then
	die "self-test: a line that was reached is not counted"
fi
as_user find "$tree" -name '*.gcda' -delete

start_server
run_suites regress isolation tap pgtap
stop_server

started=$SECONDS
count "$tree/src" "$tree" "$base/coverage.info"
genhtml --quiet --prefix "$tree" --output-directory "$base/html" "$base/coverage.info"
unreached "$base/coverage.info" >"$base/unreached.txt"

# Files in the order of what is left to do
totals()
{
	awk -F'[:,]' -v prefix="$tree/" '
		/^SF:/ { file = substr($0, 4 + length(prefix)) }
		/^DA:/ { lines[file]++; reached[file] += $3 > 0; all++; hit += $3 > 0 }
		END {
			for (file in lines)
				printf "%6.2f %% %6d of %6d  %s\n", 100 * reached[file] / lines[file], reached[file], lines[file], file
			printf "%6.2f %% %6d of %6d  %s\n", 100 * hit / all, hit, all, "total"
		}' "$base/coverage.info" | sort -n
}

totals >"$base/totals.txt"
cat "$base/totals.txt"
note_stage 'lines reached' "$(grep -cE '^DA:[0-9]+,[1-9]' "$base/coverage.info")" 0 $((SECONDS - started)) \
	"$(sed -n 's/ *\(.*%\).*total$/\1/p' "$base/totals.txt") of all lines"
say "page: $base/html/index.html
    lines that no test reaches: $base/unreached.txt ($(wc -l <"$base/unreached.txt"))"
