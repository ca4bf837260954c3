# shellcheck shell=bash
#
# lib.sh
#	What check.sh, demo.sh and bench.sh share: installing what is missing,
#	choosing a PostgreSQL, and a throw-away cluster.
#
# The server never runs as root.  When the caller is root everything happens as
# user postgres, on a copy of the sources which that user can write; otherwise
# as the caller, in the checkout itself.

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
min_major=15

say()
{
	printf '\n==> %s\n' "$*"
}

die()
{
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# Print the pg_config of the newest PostgreSQL that has both a server and its
# headers; the caller's PG_CONFIG wins.
find_pg_config()
{
	local candidate

	for candidate in ${PG_CONFIG:-$(ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -rV) pg_config}; do
		candidate=$(command -v "$candidate" 2>/dev/null) || continue
		[ -f "$("$candidate" --pgxs)" ] || continue
		[ -x "$("$candidate" --bindir)/postgres" ] || continue
		[ "$(pg_major "$candidate")" -ge $min_major ] || continue
		echo "$candidate"
		return 0
	done
	return 1
}

pg_major()
{
	"$1" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/'
}

# What the distribution's default PostgreSQL is.
distribution_major()
{
	apt-cache show postgresql | sed -n 's/^Depends:.*postgresql-\([0-9][0-9]*\).*/\1/p' | head -n 1
}

as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# apt_install PACKAGES...
#	Packages of servers start them on installation.  Not here.
apt_install()
{
	local policy=/usr/sbin/policy-rc.d status=0

	if [ -e $policy ]; then
		policy=''
	else
		printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
		as_root chmod 755 $policy
	fi
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -q --no-install-recommends "$@" || status=$?
	if [ -n "$policy" ]; then
		as_root rm -f "$policy"
	fi
	[ $status -eq 0 ] || die "apt-get could not install $*"
}

# need_tool COMMAND PACKAGE...
#	Have a command of a tool that only some of the long targets need.
need_tool()
{
	local tool=$1

	shift
	command -v "$tool" >/dev/null && return 0
	command -v apt-get >/dev/null || die "$tool is missing here, and there is no apt-get to install it by"
	say "installing what is missing: $*"
	as_root apt-get update -q
	apt_install "$@"
	command -v "$tool" >/dev/null || die "still missing after installation: $tool"
}

# install_missing build|test
#	Have a compiler, a server with headers and, for tests, their tools.  With
#	FXPLATFORM_SKIP_BROWSER set the test that needs a browser may skip itself.
install_missing()
{
	local what=$1 packages='' major

	has_everything "$what" && return 0

	if ! command -v apt-get >/dev/null; then
		die "missing here:$(what_is_missing "$what").
This system has no apt-get. Install these by its own package manager (a
PostgreSQL of $min_major or newer with server headers and contrib, a C compiler and,
for the tests, pgTAP with pg_prove, Perl's IPC::Run and Chromium), then run this again,
with PG_CONFIG=/path/to/pg_config where it is not on the PATH."
	fi
	if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
		die "missing here:$(what_is_missing "$what"). Run this as root, or install sudo."
	fi

	say "installing what is missing:$(what_is_missing "$what")"
	as_root apt-get update -q
	if major=$(find_pg_config); then
		major=$(pg_major "$major")
	else
		major=$(distribution_major)
		if [ "${major:-0}" -lt $min_major ]; then
			die "this distribution has PostgreSQL ${major:-unknown}; fxplatform needs $min_major or newer"
		fi
	fi
	packages="build-essential clang postgresql-$major postgresql-server-dev-$major"
	if [ "$what" = test ]; then
		packages="$packages postgresql-$major-pgtap libtap-parser-sourcehandler-pgtap-perl libipc-run-perl gzip"
		[ -n "${FXPLATFORM_SKIP_BROWSER:-}" ] || packages="$packages chromium"
	fi

	# shellcheck disable=SC2086
	apt_install $packages
	has_everything "$what" || die "still missing after installation:$(what_is_missing "$what")"
}

missing()
{
	command -v gcc >/dev/null || command -v cc >/dev/null || printf ' a C compiler,'
	find_pg_config >/dev/null || printf ' PostgreSQL %s or newer with server headers,' $min_major
	if [ "$1" = test ]; then
		command -v clang >/dev/null || printf ' clang,'
		command -v pg_prove >/dev/null || printf ' pg_prove,'
		perl -MIPC::Run -e 1 2>/dev/null || printf ' IPC::Run of Perl,'
		[ -n "${FXPLATFORM_SKIP_BROWSER:-}" ] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
			command -v google-chrome >/dev/null || printf ' Chromium,'
		local config
		if config=$(find_pg_config); then
			[ -f "$("$config" --sharedir)/extension/pgtap.control" ] || printf ' pgTAP,'
		fi
	fi
}

what_is_missing()
{
	missing "$1" | sed 's/,$//'
}

has_everything()
{
	[ -z "$(missing "$1")" ]
}

# choose_workplace NAME
#	Set work to a folder of ours below the checkout, and user to who works
#	there.  Where postgres cannot reach the checkout (below /root, say) the
#	folder is in /tmp.
choose_workplace()
{
	work=$top/$1
	user=''
	# where everybody may be
	cd /
	if [ "$(id -u)" -eq 0 ]; then
		id postgres >/dev/null 2>&1 || die "there is no user postgres to run the server"
		user=postgres
		if ! runuser -u postgres -- test -x "$top" 2>/dev/null; then
			work=/tmp/fxplatform-$1-$(printf '%s' "$top" | cksum | cut -d' ' -f1)
		fi
	fi
}

as_user()
{
	if [ -n "$user" ]; then
		runuser -u "$user" -- "$@"
	else
		"$@"
	fi
}

# Set tree to sources that the user can build in.
prepare_sources()
{
	if [ -z "$user" ]; then
		tree=$top
		return
	fi
	tree=$work/src
	rm -rf "$tree"
	mkdir -p "$tree"
	tar -C "$top" --exclude=./.git --exclude='./tmp_*' --exclude=./demo_run \
		--exclude='*.o' --exclude='*.bc' --exclude='*.so' -cf - . | tar -C "$tree" -xf -
	chown -R "$user" "$work"
	chmod -R u+rwX "$work"
}

# use_postgres
#	Set pg_config and bindir to the PostgreSQL to build for.
use_postgres()
{
	pg_config=$(find_pg_config)
	bindir=$("$pg_config" --bindir)
}

# run_make ARGS...
run_make()
{
	as_user env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
		make -C "$tree" --no-print-directory -s PG_CONFIG="$pg_config" "$@"
}

# install_into DIR
#	Install below DIR, for servers of start_cluster.
install_into()
{
	as_user rm -rf "$1"
	run_make install DESTDIR="$1" >/dev/null
	use_installed "$1"
}

# use_installed DIR
#	Set server_conf to the settings that make a server look for what was
#	installed below DIR.
use_installed()
{
	local prefix=$1 libdir

	libdir=$prefix$("$pg_config" --pkglibdir)
	server_conf=$work/server.conf
	if as_user "$bindir/postgres" --describe-config | grep '^extension_destdir' >/dev/null; then
		as_user tee "$server_conf" >/dev/null <<-EOF
			extension_destdir = '$prefix'
			dynamic_library_path = '$libdir:\$libdir'
		EOF
	elif [ "$(pg_major "$pg_config")" -ge 18 ]; then
		as_user tee "$server_conf" >/dev/null <<-EOF
			extension_control_path = '$prefix$("$pg_config" --sharedir):\$system'
			dynamic_library_path = '$libdir:\$libdir'
		EOF
	else
		die "this server finds extensions only where it is installed itself.
Run \"make install\" as its owner, then \"make installcheck\" against a running server."
	fi
}

# start_cluster DIR DATABASE-SETTINGS...
#	A new cluster in DIR, reachable only through a socket in a folder that only
#	its owner can enter.  Sets PGHOST, PGPORT and PGUSER.
start_cluster()
{
	local dir=$1 setting

	shift
	as_user rm -rf "$dir"
	as_user mkdir -p "$dir"
	# a socket's path ends at 107 bytes, so it is kept short
	socket_dir=$(as_user mktemp -d /tmp/fxplatform.XXXXXX)
	as_user "$bindir/initdb" -D "$dir/data" -U postgres -A trust -N -E UTF8 --locale=C >"$dir.initdb.log" 2>&1 ||
		{ cat "$dir.initdb.log" >&2; die "initdb failed"; }
	as_user tee -a "$dir/data/postgresql.conf" >/dev/null <<-EOF
		listen_addresses = ''
		unix_socket_directories = '$socket_dir'
		port = 5432
		fsync = off
		include = '$server_conf'
	EOF
	for setting in "$@"; do
		echo "$setting" | as_user tee -a "$dir/data/postgresql.conf" >/dev/null
	done
	as_user "$bindir/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w start >/dev/null ||
		{ cat "$dir/server.log" >&2; die "the server did not start"; }
	export PGHOST=$socket_dir PGPORT=5432 PGUSER=postgres
}

# stop_cluster DIR
stop_cluster()
{
	local dir=$1

	if [ -f "$dir/data/postmaster.pid" ]; then
		as_user "$bindir/pg_ctl" -D "$dir/data" -m fast -w stop >/dev/null || true
	fi
	if [ -f "$dir/data/postgresql.conf" ]; then
		as_user rm -rf "$(sed -n "s/^unix_socket_directories = '\(.*\)'/\1/p" "$dir/data/postgresql.conf" | tail -n 1)"
	fi
	as_user rm -rf "$dir"
}
