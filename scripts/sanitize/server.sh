# shellcheck shell=bash disable=SC2154,SC2034
#
# server.sh
#	A PostgreSQL with assertions and with the calls that tell valgrind about
#	memory contexts, from the distribution's source package of the major that
#	is installed.
#
# It takes a few minutes, so it is kept, below FXPLATFORM_CACHE or the folder
# of the run, and built again only where it is missing.

# build_server
#	Set pg_config and bindir to a copy of that server, to install into.
build_server()
{
	local major cache server

	major=$(pg_major "$pg_config")
	cache=${FXPLATFORM_CACHE:-$work}/server-$major
	server=$cache/assert
	if [ ! -e "$cache/complete" ]; then
		need_tool valgrind valgrind
		need_tool dpkg-source dpkg-dev
		need_tool bison bison
		need_tool flex flex
		need_header valgrind/memcheck.h valgrind
		need_header openssl/evp.h libssl-dev
		need_header zlib.h zlib1g-dev
		need_tool xml2-config libxml2-dev
		mkdir -p "$cache"
		if [ -n "$user" ]; then
			chown "$user" "$cache"
		fi
		say "fetching the source of PostgreSQL $major"
		as_user rm -rf "$cache/apt" "$cache/source" "$server"
		as_user mkdir -p "$cache/apt/sources.d" "$cache/apt/lists/partial" "$cache/apt/cache/archives/partial"
		fetch_source "$major" "$cache/apt"
		# Debian's patches write its own folders into the server
		as_user dpkg-source -q --no-check --skip-patches -x "$cache"/apt/*.dsc "$cache/source" 2>/dev/null ||
			die "the source package in $cache/apt cannot be unpacked"
		compile_server "$cache" "$server"
		as_user touch "$cache/complete"
	fi
	# all of PostgreSQL finds its files relative to its programs
	as_user cp -a "$server" "$base/server"
	pg_config=$base/server/bin/pg_config
	bindir=$base/server/bin
	suppressions=$base/server/valgrind.supp
	[ -f "$suppressions" ] || die "$server is not complete; remove $cache"
	# it has no setting that makes it look elsewhere
	server_conf=$base/server.conf
	as_user tee "$server_conf" </dev/null >/dev/null
	install_library()
	{
		run_make install
	}
}

# fetch_source MAJOR DIR
#	The installed version, or else the newest of the major that the mirror
#	still has.  Mirrors are those that apt is configured for, asked for sources.
fetch_source()
{
	local package=postgresql-$1 dir=$2 list='' parts='' file version installed options

	eval "$(apt-config shell list Dir::Etc::sourcelist/f parts Dir::Etc::sourceparts/d)"
	for file in "$list" "$parts"/*.list "$parts"/*.sources; do
		[ -f "$file" ] || continue
		sed -E -e 's/^deb[[:space:]]/deb-src /' -e 's/^(Types:.*[[:space:]])deb([[:space:]].*)?$/\1deb-src\2/' "$file" |
			as_user tee "$dir/sources.d/$(basename "$file")" >/dev/null
	done
	options=(-q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$dir/sources.d"
		-o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir/cache")
	as_user apt-get "${options[@]}" update >"$dir/apt.log"
	installed=$(dpkg-query -W -f '${source:Version}' "$package" 2>/dev/null || true)
	for version in $installed $(as_user apt-cache "${options[@]}" showsrc --only-source "$package" | sed -n 's/^Version: //p' | sort -rV); do
		if (cd "$dir" && as_user apt-get "${options[@]}" source --download-only "$package=$version") >>"$dir/apt.log" 2>&1; then
			[ "$version" = "$installed" ] || say "the mirror has no source of $installed; taking $version"
			return 0
		fi
	done
	die "apt-get found no source of $package; see $dir/apt.log"
}

compile_server()
{
	local cache=$1 server=$2 jobs

	jobs=$(nproc)
	say "building PostgreSQL with assertions ($jobs jobs; some minutes)"
	# -O1: fast enough under valgrind, and its stacks have few inlined frames
	(
		cd "$cache/source"
		as_user ./configure -q --prefix="$server" --enable-cassert --enable-debug --enable-tap-tests \
			--with-openssl --with-libxml --without-icu --without-readline \
			CFLAGS='-O1 -g -fno-omit-frame-pointer -DUSE_VALGRIND'
		as_user env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL nice make -s -j "$jobs" MAKELEVEL=0
		as_user env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s MAKELEVEL=0 install
		as_user env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL nice make -s -C contrib -j "$jobs" MAKELEVEL=0 install
	) >"$cache/build.log" 2>&1 || { tail -n 30 "$cache/build.log" >&2; die "the server did not build; see $cache/build.log"; }
	as_user cp "$cache/source/src/tools/valgrind.supp" "$server/valgrind.supp"
	as_user rm -rf "$cache/source"
}
