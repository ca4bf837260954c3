#!/usr/bin/env bash
#
# major-upgrade.sh [MAJOR...]
#	A platform with rows in every table goes from the PostgreSQL of this machine
#	to newer majors, by default 17 and 18, in both ways that there are: its
#	pg_dump restored there, and pg_upgrade of its data directory.
#
# After each every row, checksum, right and answer must be the same
# (major-upgrade/state.sql), and the platform must work (major-upgrade/probe.sql).
# The new servers are in chroots (chroot.sh).  pg_upgrade needs the old server
# beside the new one: its files are shown in the chroot while it runs, with those
# libraries that the newer release of Debian does not have any more.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=scripts/chroot.sh
. "$(dirname "$0")/chroot.sh"

# What has to be in a chroot, and who works there
inside=/srv/fxplatform-upgrade
db=platform
table=''

# note STEP SINCE RESULT
#	A line of the table.
note()
{
	table="$table$(printf '%-28s %5d s  %s' "$1" $((SECONDS - $2)) "$3")
"
}

psql_here()
{
	as_user "$bindir/psql" -X -h "$PGHOST" -p "$PGPORT" -U postgres "$@"
}

# inside_as_user MAJOR COMMAND...
inside_as_user()
{
	local major=$1

	shift
	in_chroot "$major" runuser -u postgres -- env -C "$inside" ${library_path:+LD_LIBRARY_PATH="$library_path"} "$@"
}

# psql_inside MAJOR ARGS...
psql_inside()
{
	local major=$1

	shift
	inside_as_user "$major" "/usr/lib/postgresql/$major/bin/psql" -X -h "$inside" -p 5432 -U postgres "$@"
}

# The old platform: its state and its dump are files, its cluster is stopped.
make_old()
{
	local since=$SECONDS empty

	say "a platform on PostgreSQL $old"
	run_make with_llvm=no
	install_into "$work/install"
	note "$old: built" "$since" "$("$bindir/postgres" --version)"

	since=$SECONDS
	head -c 32 /dev/urandom | base64 | sed 's/^/1:/' | as_user sh -c "umask 077; cat >'$work/keys'"
	start_cluster "$work/old" "fxplatform.key_file = '$work/keys'"
	psql_here -q -d postgres -c "CREATE DATABASE $db"
	psql_here -q -d $db -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION fxplatform CASCADE'
	as_user env TESTDIR="$work" TESTDATADIR="$work/tmp_check" TESTLOGDIR="$work/tmp_check/log" PGUSER=postgres \
		perl -I"$(dirname "$("$pg_config" --pgxs)")/../test/perl" \
		"$tree/scripts/major-upgrade/fill.pl" "$bindir/psql" "$PGHOST" "$PGPORT" $db
	psql_here -d $db -f "$tree/scripts/major-upgrade/more.sql"
	psql_here -d $db -f "$tree/scripts/major-upgrade/state.sql" | as_user tee "$results/old" >/dev/null
	empty=$(sed -n 's/^table \([^ ]*\) 0 .*/\1/p' "$results/old")
	[ -z "$empty" ] || die "no rows were put into:" $empty
	note "$old: filled" "$since" \
		"$(grep -c '^table ' "$results/old") tables, $(awk '/^table / { n += $3 } END { print n }' "$results/old") rows"

	since=$SECONDS
	as_user "$bindir/pg_dump" -h "$PGHOST" -p "$PGPORT" -U postgres -d $db -f "$results/dump.sql"
	note "$old: pg_dump" "$since" "$(du -h "$results/dump.sql" | cut -f1)"
	as_user "$bindir/pg_ctl" -D "$work/old/data" -m fast -w stop >/dev/null
}

# prepare MAJOR
#	What the chroot has to have, and the extension installed in it.
prepare()
{
	local major=$1 root since=$SECONDS

	root=$(chroot_dir "$major")
	say "PostgreSQL $major"
	as_root rm -rf "$root$inside"
	as_root mkdir -p "$root$inside/lib"
	as_root tar -C "$work" -cf - old/data install keys server.conf | as_root tar -C "$root$inside" -xf -
	tar -C "$top" --exclude=./.git --exclude='./tmp_*' --exclude=./demo_run \
		--exclude='*.o' --exclude='*.bc' --exclude='*.so' --transform='s,^\.,src,' -cf - . |
		as_root tar -C "$root$inside" -xf -
	as_root cp "$results/dump.sql" "$root$inside/dump.sql"
	as_root sed -i "s|$work/|$inside/|g" "$root$inside/server.conf" "$root$inside/old/data/postgresql.conf"
	in_chroot "$major" chown -R postgres "$inside"

	inside_as_user "$major" make -C src -s with_llvm=no PG_CONFIG="$new_bindir/pg_config"
	in_chroot "$major" make -C "$inside/src" -s install with_llvm=no PG_CONFIG="$new_bindir/pg_config" >/dev/null
	note "$major: built" "$since" "$(inside_as_user "$major" "$new_bindir/postgres" --version)"
}

# make_cluster MAJOR DIR
#	As the old one was made; 18 would add checksums of pages.
make_cluster()
{
	local major=$1 options=''

	[ "$major" -lt 18 ] || options=--no-data-checksums
	# shellcheck disable=SC2086
	inside_as_user "$major" "$new_bindir/initdb" -D "$2" -U postgres -A trust -N -E UTF8 --locale=C $options >/dev/null
	in_chroot "$major" tee -a "$(chroot_conf "$2")" >/dev/null <<-EOF
		listen_addresses = ''
		unix_socket_directories = '$inside'
		port = 5432
		fsync = off
		fxplatform.key_file = '$inside/keys'
	EOF
}

chroot_conf()
{
	echo "$inside/$1/postgresql.conf"
}

start_new()
{
	inside_as_user "$1" "$new_bindir/pg_ctl" -D "$2" -l "$inside/$2.log" -w start >/dev/null ||
		{ in_chroot "$1" cat "$inside/$2.log" >&2; die "PostgreSQL $1 did not start"; }
}

stop_new()
{
	inside_as_user "$1" "$new_bindir/pg_ctl" -D "$2" -m fast -w stop >/dev/null
}

# examine MAJOR HOW SINCE
#	Is all there, and does it work?
examine()
{
	local major=$1 how=$2 since=$3 result="$results/$1.$2"

	psql_inside "$major" -d $db -f src/scripts/major-upgrade/state.sql >"$result"
	if ! diff "$results/old" "$result" >"$result.diff"; then
		cat "$result.diff"
		note "$major: $how" "$since" "DIFFERS"
		failed=1
		return
	fi
	note "$major: $how" "$since" "every row, right and answer as before"

	since=$SECONDS
	if psql_inside "$major" -d $db -f src/scripts/major-upgrade/probe.sql; then
		note "$major: in use" "$since" "trades judged, candles read, audit and books verified"
	else
		note "$major: in use" "$since" "FAILED"
		failed=1
	fi
}

restore_dump()
{
	local major=$1 since

	say "pg_dump of $old into $major"
	make_cluster "$major" restored
	start_new "$major" restored
	since=$SECONDS
	psql_inside "$major" -q -d postgres -c "CREATE DATABASE $db"
	psql_inside "$major" -q -v ON_ERROR_STOP=1 -d $db -o /dev/null -f dump.sql
	examine "$major" restore "$since"
	stop_new "$major" restored
}

# old_libraries MAJOR
#	Copy what the old server needs and the chroot lacks, until nothing is
#	missing, to the folder lib.
old_libraries()
{
	local major=$1 root missing name file found=yes

	root=$(chroot_dir "$major")
	while [ -n "$found" ]; do
		found=''
		# shellcheck disable=SC2016
		missing=$(inside_as_user "$major" sh -c 'ldd "$1"/* "$2"/*.so lib/* 2>/dev/null || true' sh "$bindir" "$("$pg_config" --pkglibdir)" |
			awk '/=> not found/ { print $1 }' | sort -u)
		for name in $missing; do
			file=$(ldconfig -p | awk -v name="$name" '$1 == name { print $NF; exit }')
			[ -n "$file" ] || continue
			as_root cp -L "$file" "$root$inside/lib/$name"
			found=yes
		done
	done
}

# pg_upgrade MAJOR OLD NEW LOG
pg_upgrade()
{
	inside_as_user "$1" "$new_bindir/pg_upgrade" -U postgres --no-sync -b "$bindir" -B "$new_bindir" \
		-d "$2" -D "$3" -s "$inside" 2>&1 | as_user tee "$4" >/dev/null
}

# can_upgrade_one_table MAJOR
#	Can pg_upgrade of these two releases carry a table that has nothing to do
#	with us?  What a minor release adds to the catalogs of one major cannot be
#	read by one of the next major that is older.
can_upgrade_one_table()
{
	local major=$1

	inside_as_user "$major" "$bindir/initdb" -D one_table -U postgres -A trust -N -E UTF8 --locale=C >/dev/null
	echo 'CREATE TABLE one_table (n integer)' |
		inside_as_user "$major" "$bindir/postgres" --single -D one_table postgres >/dev/null
	make_cluster "$major" one_upgraded
	pg_upgrade "$major" one_table one_upgraded "$results/$major.one_table.log"
}

upgrade_cluster()
{
	local major=$1 since ok=yes

	say "pg_upgrade of $old to $major"
	make_cluster "$major" upgraded
	chroot_binds="$(dirname "$bindir") $("$pg_config" --sharedir)"
	library_path=$inside/lib
	old_libraries "$major"
	since=$SECONDS
	pg_upgrade "$major" old/data upgraded "$results/$major.pg_upgrade.log" || ok=no
	if [ $ok = no ] && ! can_upgrade_one_table "$major"; then
		ok=never
	fi
	chroot_binds=''
	library_path=''
	case $ok in
		never)
			note "$major: pg_upgrade" "$since" "skipped: these releases cannot upgrade any database, see $results/$major.one_table.log"
			return
			;;
		no)
			tail -n 20 "$results/$major.pg_upgrade.log" >&2
			in_chroot "$major" sh -c "grep -h -B 1 -A 2 -E 'error:|ERROR:|FATAL:' $inside/upgraded/pg_upgrade_output.d/*/log/*.log" >&2 || true
			note "$major: pg_upgrade" "$since" FAILED
			failed=1
			return
			;;
	esac
	start_new "$major" upgraded
	examine "$major" pg_upgrade "$since"
	stop_new "$major" upgraded
}

clean_up()
{
	local major dir

	chroot_binds=''
	library_path=''
	stop_cluster "$work/old"
	for major in $majors; do
		have_chroot "$major" || continue
		for dir in restored upgraded old/data; do
			if [ -e "$(chroot_dir "$major")$inside/$dir/postmaster.pid" ]; then
				inside_as_user "$major" "/usr/lib/postgresql/$major/bin/pg_ctl" -D "$dir" -m immediate -w stop >/dev/null || true
			fi
		done
		if [ -d "$(chroot_dir "$major")$inside/src" ]; then
			in_chroot "$major" make -C "$inside/src" -s uninstall with_llvm=no \
				PG_CONFIG="/usr/lib/postgresql/$major/bin/pg_config" >/dev/null 2>&1 || true
		fi
		as_root rm -rf "$(chroot_dir "$major")$inside"
	done
}

majors=$(tr ' ' '\n' <<<"${*:-17 18}" | sort -nu | xargs)
FXPLATFORM_SKIP_BROWSER=yes install_missing test
PG_CONFIG=${PG_CONFIG:-$(ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -V | head -n 1)}
use_postgres
old=$(pg_major "$pg_config")
for major in $majors; do
	[ "$major" -gt "$old" ] || die "PostgreSQL $major is not newer than $old, which is here"
	take_chroot "$major"
done
choose_workplace tmp_upgrade
prepare_sources
results=$work/results
as_user mkdir -p "$work/tmp_check/log" "$results"
trap clean_up EXIT
failed=0

make_old
for major in $majors; do
	new_bindir=/usr/lib/postgresql/$major/bin
	prepare "$major"
	restore_dump "$major"
	upgrade_cluster "$major"
done

say "from PostgreSQL $old to newer majors"
printf '%s' "$table"
[ $failed -eq 0 ] || die "an upgrade lost something: see above, and $results"
