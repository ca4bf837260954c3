#!/usr/bin/env bash
#
# matrix.sh [MAJOR...]
#	The whole test suite (scripts/check.sh) on every supported PostgreSQL, one
#	after the other: by default 15, 17 and 18, or what MAJORS says.
#
# A major that is installed here is tested here, another in a chroot of the
# Debian release that has it (scripts/chroot.sh), on a copy of this tree.  No
# release of Debian has 16.  Warnings of gcc and clang are errors.  A browser is
# not installed in chroots, so the test of the tear-sheet in a browser skips
# itself there.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/chroot.sh
. "$(dirname "$0")/chroot.sh"

if [ $# -gt 0 ]; then
	majors="$*"
else
	majors=${MAJORS:-15 17 18}
fi
logs=$top/tmp_matrix
mkdir -p "$logs"

# Where a chroot has the copy, with the data for tests beside it as here.
inside=/srv/fxplatform/checkout

installed_here()
{
	local config=/usr/lib/postgresql/$1/bin/pg_config

	[ -x "$config" ] || return 1
	PG_CONFIG=$config find_pg_config >/dev/null
}

# copy_tree MAJOR
copy_tree()
{
	local root data=${FXPLATFORM_TEST_DATA:-$top/../shared/data}

	root=$(chroot_dir "$1")
	as_root rm -rf "$root${inside%/*}"
	as_root mkdir -p "$root$inside"
	tar -C "$top" --exclude=./.git --exclude='./tmp_*' --exclude=./demo_run \
		--exclude='*.o' --exclude='*.bc' --exclude='*.so' -cf - . |
		as_root tar -C "$root$inside" --no-same-owner -xf -
	if [ -d "$data" ]; then
		as_root mkdir -p "$root${inside%/*}/shared"
		as_root cp -rL "$data" "$root${inside%/*}/shared/data"
	fi
}

# describe MAJOR RUN...
#	The server and the compilers, as a line of the table.
describe()
{
	local major=$1

	shift
	# shellcheck disable=SC2016
	"$@" sh -c '
		printf "%s; gcc %s; clang %s\n" \
			"$("/usr/lib/postgresql/$1/bin/postgres" --version | sed "s/^postgres (PostgreSQL) //")" \
			"$(gcc -dumpfullversion)" "$(clang --version | sed -n "s/.*version \([^ ]*\).*/\1/p")"
	' sh "$major"
}

# test_major MAJOR
#	Leaves the log in MAJOR.log, and in MAJOR.summary a line for each suite:
#	name, passed, failed, skipped, seconds.
test_major()
{
	local major=$1 status=0 results

	: >"$logs/$major.summary"
	: >"$logs/$major.server"
	if installed_here "$major"; then
		say "PostgreSQL $major, installed here"
		choose_workplace tmp_run
		results=$work/summary
		rm -f "$results"
		(cd "$top" && CI=true PG_CONFIG=/usr/lib/postgresql/$major/bin/pg_config ./scripts/check.sh) \
			</dev/null 2>&1 | tee "$logs/$major.log" || status=$?
		describe "$major" env >"$logs/$major.server"
	else
		say "PostgreSQL $major, in $(chroot_dir "$major")"
		copy_tree "$major"
		results=$(chroot_dir "$major")$inside/tmp_run/summary
		# 18 lets pg_upgrade, which a test calls, find libraries only where the
		# server's own are; the suites themselves use what check.sh installs
		in_chroot "$major" make -C "$inside" -s with_llvm=no install \
			PG_CONFIG="/usr/lib/postgresql/$major/bin/pg_config" >"$logs/$major.log" 2>&1 ||
			{ tail -n 30 "$logs/$major.log"; return 1; }
		in_chroot "$major" env CI=true FXPLATFORM_SKIP_BROWSER=yes FXPLATFORM_TEST_DATA="${inside%/*}/shared/data" \
			PG_CONFIG="/usr/lib/postgresql/$major/bin/pg_config" "$inside/scripts/check.sh" \
			</dev/null 2>&1 | tee "$logs/$major.log" || status=$?
		describe "$major" in_chroot "$major" >"$logs/$major.server"
	fi
	cat "$results" >"$logs/$major.summary" 2>/dev/null || true
	return $status
}

bad=''
total_passed=0
total_failed=0
for major in $majors; do
	installed_here "$major" || chroot_suite "$major" >/dev/null
done
for major in $majors; do
	installed_here "$major" || take_chroot "$major"
	test_major "$major" || bad="$bad $major"
	leave_chroot "$major"
done

say "every supported server"
printf '%-11s %-10s %7s %7s %8s %9s\n' PostgreSQL suite passed failed skipped time
for major in $majors; do
	if [ ! -s "$logs/$major.summary" ]; then
		printf '%-11s %-10s %7s %7s\n' "$major" build 0 1
		total_failed=$((total_failed + 1))
	fi
	while read -r suite passed failed skipped seconds; do
		printf '%-11s %-10s %7d %7d %8d %4d:%02d min\n' "$major" "$suite" "$passed" "$failed" "$skipped" \
			$((seconds / 60)) $((seconds % 60))
		total_passed=$((total_passed + passed))
		total_failed=$((total_failed + failed))
	done <"$logs/$major.summary"
done
printf '\n'
for major in $majors; do
	printf '%s: PostgreSQL %s\n' "$major" "$(cat "$logs/$major.server")"
	grep -hE '\.(pl|sql) \.* skipped' "$logs/$major.log" | sed 's/^/    /' || true
done

# what says that a suite did not finish need not be a test that failed
if [ -n "$bad" ] && [ "$total_failed" -eq 0 ]; then
	total_failed=1
fi
printf '\nlogs: %s/MAJOR.log\n%s passed, %s failed\n' "$logs" "$total_passed" "$total_failed"
[ -z "$bad" ] || die "not everything passed on PostgreSQL$bad"
