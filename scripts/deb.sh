#!/usr/bin/env bash
#
# deb.sh
#	Build the Debian packages in a copy of this tree, have lintian look at them,
#	unpack the one for the server that is here, and run the regression tests
#	against what it contains.
#
# The packages stay in tmp_deb/packages.  Nothing is installed.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

install_missing build
need_tool dpkg-buildpackage dpkg-dev
need_tool dh debhelper
need_tool dh_pgxs_test postgresql-server-dev-all
need_tool lintian lintian
use_postgres
choose_workplace tmp_deb
trap 'stop_cluster "$work/cluster"' EXIT
major=$(pg_major "$pg_config")
version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" "$top/fxplatform.control")
tree=$work/fxplatform-$version

say "copying the sources to $tree"
rm -rf "$work"
mkdir -p "$tree"
tar -C "$top" --exclude=./.git --exclude='./tmp_*' --exclude=./demo_run --exclude='./*.zip' \
	--exclude='*.o' --exclude='*.bc' --exclude='*.so' -cf - . | tar -C "$tree" -xf -
if [ -n "$user" ]; then
	chown -R "$user" "$work"
fi

# in_tree COMMAND...
in_tree()
{
	# shellcheck disable=SC2016
	as_user env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL sh -c 'cd "$1" && shift && exec "$@"' sh "$tree" "$@"
}

say "building the packages (dpkg-buildpackage -us -uc -b)"
in_tree dpkg-buildpackage -us -uc -b >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log" >&2; die "the build failed"; }
as_user mkdir "$work/packages"
for file in "$work"/*.deb "$work"/*.ddeb "$work"/*.changes "$work"/*.buildinfo; do
	if [ -f "$file" ]; then
		as_user mv "$file" "$work/packages"
	fi
done
package=$(ls "$work/packages/postgresql-$major-fxplatform_"*.deb 2>/dev/null) ||
	die "no package for PostgreSQL $major, which is what is installed here"

say "lintian"
status=0
as_user lintian --fail-on error "$work"/packages/*.changes >"$work/lintian.log" 2>&1 || status=$?
cat "$work/lintian.log"
[ $status -eq 0 ] || die "lintian found errors"

say "unpacking ${package##*/}, and testing against it"
as_user dpkg -x "$package" "$work/root"
use_installed "$work/root"
start_cluster "$work/cluster"
as_user "$bindir/psql" -X -q -v ON_ERROR_STOP=1 -d postgres -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION fxplatform CASCADE'
created=$(as_user "$bindir/psql" -X -At -d postgres -c "SELECT extversion FROM pg_extension WHERE extname = 'fxplatform'")
[ "$created" = "$version" ] || die "the package creates version $created instead of $version"
tests=$work/installcheck.log
status=0
run_make installcheck ISOLATION= TAP_TESTS= >"$tests" 2>&1 || status=$?
grep -E '^(not ok|test .*FAILED)' "$tests" || true
[ $status -eq 0 ] || { tail -n 5 "$tests" >&2; die "the tests failed: $tests"; }

say "done"
lines()
{
	grep -c "^$1:" "$work/lintian.log" || true
}
printf '%-24s %s\n' package "${package##*/}" \
	bytes "$(wc -c <"$package")" \
	'files in it' "$(dpkg-deb -c "$package" | grep -vc '/$')" \
	depends "$(dpkg-deb -f "$package" Depends)" \
	'lintian errors' "$(lines E)" \
	'lintian warnings' "$(lines W)" \
	'CREATE EXTENSION' "version $created" \
	'regression tests passed' "$(grep -cE '^(ok +[0-9]+ |test .*\.\.\. ok)' "$tests")" \
	'packages in' "$work/packages"
