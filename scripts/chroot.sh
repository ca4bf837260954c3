# shellcheck shell=bash
#
# chroot.sh
#	Debian releases in a folder, for the PostgreSQL majors that this machine
#	does not have.  To be sourced after lib.sh.
#
#	chroot_dir MAJOR		where it is or would be
#	have_chroot MAJOR		is it there and complete?
#	take_chroot MAJOR		have it to ourselves, and make it, unless it is there
#	leave_chroot MAJOR		let others have it
#	in_chroot MAJOR COMMAND...	run a command in it, as root, in /
#
# They are kept in tmp_chroot below the checkout, or in FXPLATFORM_CHROOTS, about
# 2 GB each; to start afresh remove the folder.  What is mounted for a command is
# mounted in a namespace of its own and gone with the last of its processes, so
# that nothing of this machine can hang below a folder that somebody removes.
#
# A chroot is one script's at a time, from take_chroot on: others wait.  Who needs
# several takes them in the order of their numbers, or leaves one before the next.

# the open lock of each major that we have
declare -A chroot_lock=()

# chroot_suite MAJOR
#	The release of Debian that has it.
chroot_suite()
{
	case $1 in
		15) echo bookworm ;;
		17) echo trixie ;;
		18) echo sid ;;
		*) die "no release of Debian is known to have PostgreSQL $1" ;;
	esac
}

chroot_dir()
{
	echo "${FXPLATFORM_CHROOTS:-$top/tmp_chroot}/$1"
}

have_chroot()
{
	[ -e "$(chroot_dir "$1")/.complete" ]
}

# The mirror that this machine's apt uses, so that a local one serves here too.
debian_mirror()
{
	apt-get indextargets --format "\$(SITE)" 'Origin: Debian' 'Label: Debian' 2>/dev/null | head -n 1
}

# enter DIR COMMAND...
#	In the root DIR, with this machine's devices and its own view of processes.
#	chroot_binds lists folders of this machine, each seen at the same path
#	inside.
enter()
{
	local dir=$1

	shift
	# shellcheck disable=SC2016
	as_root env -u PGHOST -u PGPORT -u PGUSER -u PGDATA -u PG_CONFIG -u TMPDIR \
		LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		unshare --mount --propagation private sh -c '
			set -e
			dir=$1 binds=$2
			shift 2
			mount -t proc proc "$dir/proc"
			mount --rbind /dev "$dir/dev"
			for bind in $binds; do
				mkdir -p "$dir$bind"
				mount --bind "$bind" "$dir$bind"
			done
			exec chroot "$dir" "$@"
		' enter "$dir" "${chroot_binds:-}" "$@"
}

in_chroot()
{
	local major=$1

	shift
	have_chroot "$major" || die "there is no complete chroot for PostgreSQL $major in $(chroot_dir "$major")"
	enter "$(chroot_dir "$major")" "$@"
}

# take_chroot MAJOR
#	The lock is that of an open file, which those inherit whom we start: after a
#	kill it lasts as long as one of them.
take_chroot()
{
	local major=$1 lock fd

	[ "$(uname -s)" = Linux ] || die "only Linux has chroots of Debian"
	[ -z "${chroot_lock[$major]:-}" ] || return 0
	chroot_suite "$major" >/dev/null
	lock=$(chroot_dir "$major").lock
	while :; do
		as_root mkdir -p "$(dirname "$lock")"
		as_root touch "$lock"
		# reading is enough for a lock, and all that an ordinary user may do
		exec {fd}<"$lock"
		if ! flock --nonblock $fd; then
			say "waiting for whoever uses the chroot for PostgreSQL $major ($lock)"
			flock $fd
		fi
		# somebody who starts afresh removes locks, too
		[ ! "$lock" -ef "/proc/self/fd/$fd" ] || break
		exec {fd}<&-
	done
	chroot_lock[$major]=$fd
	have_chroot "$major" || make_chroot "$major"
}

leave_chroot()
{
	local fd=${chroot_lock[$1]:-}

	[ -n "$fd" ] || return 0
	unset "chroot_lock[$1]"
	exec {fd}<&-
}

# make_chroot MAJOR
#	With everything that building and testing need.  It gets its name only when
#	it is complete, and on disk; what an interrupted one left goes first.
make_chroot()
{
	local major=$1 dir new suite mirror

	suite=$(chroot_suite "$major")
	need_tool debootstrap debootstrap debian-archive-keyring
	dir=$(chroot_dir "$major")
	new=$dir.new
	mirror=$(debian_mirror)

	say "making a chroot of Debian $suite for PostgreSQL $major (some minutes, 2 GB)"
	as_root rm -rf --one-file-system "$new" "$dir"
	# debootstrap mounts, too, and unmounts only when it is not killed
	# shellcheck disable=SC2086
	as_root unshare --mount --propagation private debootstrap --variant=minbase "$suite" "$new" $mirror 2>&1 |
		as_root tee "$new.log" >/dev/null ||
		{ tail -n 20 "$new.log" >&2; die "debootstrap could not make $suite"; }
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$new/usr/sbin/policy-rc.d" >/dev/null
	as_root chmod 755 "$new/usr/sbin/policy-rc.d"
	# a mirror that stands still is as good for a test
	echo 'Acquire::Check-Valid-Until "false";' | as_root tee "$new/etc/apt/apt.conf.d/90still" >/dev/null
	# clusters that Debian would make by itself are of no use here
	as_root mkdir -p "$new/etc/postgresql-common"
	echo 'create_main_cluster = false' | as_root tee "$new/etc/postgresql-common/createcluster.conf" >/dev/null
	# shellcheck disable=SC2016
	enter "$new" sh -c 'apt-get update -q && apt-cache show "$1" >/dev/null' sh "postgresql-$major" 2>&1 |
		as_root tee -a "$new.log" >/dev/null ||
		die "Debian $suite has no PostgreSQL $major (any more)"
	enter "$new" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
		build-essential clang gzip libipc-run-perl libtap-parser-sourcehandler-pgtap-perl \
		"postgresql-$major" "postgresql-server-dev-$major" "postgresql-$major-pgtap" 2>&1 |
		as_root tee -a "$new.log" >/dev/null ||
		{ tail -n 20 "$new.log" >&2; die "apt-get could not install PostgreSQL $major into $new"; }
	enter "$new" apt-get clean
	as_root sync -f "$new"
	as_root touch "$new/.complete"
	as_root mv -T "$new" "$dir"
	as_root rm -f "$new.log"
}
