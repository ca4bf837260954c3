#!/usr/bin/env bash
#
# recovery-drill.sh
#	Lose a database and get it back, by the scripts of ops/ and in the order of
#	doc/backup.md.
#
# A throw-away cluster with rows in every table archives its WAL into an encrypted
# repository of pgBackRest and is backed up and dumped while clients write.  They
# note outside the server what was committed.  Then somebody truncates the trades
# and drops a month of candles, the server is killed by SIGKILL, and its data
# directory is removed.  What is restored is compared with what was there: to a
# point in time, to a named point and to a transaction just before the mistake by
# checksums of every table, to a moment in the middle of the load and to the very
# end by what the clients noted.  Damaged backups must not restore.
#
# FXPLATFORM_CHROOTS: see chroot.sh; with PostgreSQL 17 there, the dump and
# pg_upgrade go there, too.

# shellcheck disable=SC2154
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

clients=6
# transactions a second, so that a slow machine has as much to replay as a fast one
rate=150
users=20
gate=7001
db=fx_platform
table=''
step=''
load=()

now()
{
	date +%s%N
}

# microseconds, as the clients note them
now_us()
{
	echo $(($(now) / 1000))
}

seconds_since()
{
	awk -v ns=$(($(now) - $1)) 'BEGIN { printf "%.1f", ns / 1e9 }'
}

# begin STEP, then passed RESULT
#	A line of the table.  Whatever fails in between ends the drill.
begin()
{
	step=$1
	step_began=$(now)
	say "$1"
}

passed()
{
	row "$(seconds_since "$step_began")" "$1"
	echo "$1"
	step=''
}

row()
{
	table="$table$(printf '%-40s | %7s | %s' "$step" "$1" "$2")
"
}

# psql_at PORT ARGS...
#	What waits for a lock is an error, not a drill that hangs.
psql_at()
{
	local port=$1

	shift
	as_user env PGOPTIONS='-c lock_timeout=60s' "$bindir/psql" -X -h "$socket_dir" -p "$port" -U postgres -v ON_ERROR_STOP=1 "$@"
}

# value PORT QUERY
value()
{
	psql_at "$1" -d "$db" -A -t -q -c "$2"
}

# ops SCRIPT ARGS...
#	A script of ops/, in the environment that doc/backup.md gives it.
ops()
{
	local script=$1

	shift
	as_user env PATH="$bindir:$PATH" FX_PG_BINDIR="$bindir" "${setup[@]}" "$tree/ops/$script" "$@"
}

pgbackrest()
{
	as_user env "${setup[@]}" pgbackrest "$@"
}

# refused EXIT-CODE PATTERN COMMAND...
#	It must fail with that code and say so.
refused()
{
	local code=$1 pattern=$2 status=0 out

	shift 2
	out=$("$@" 2>&1) || status=$?
	if [ $status -ne "$code" ] || ! grep -q -- "$pattern" <<<"$out"; then
		printf '%s\n' "$out" >&2
		die "exit code $status instead of $code with \"$pattern\": $*"
	fi
	grep -- "$pattern" <<<"$out" | head -n 1 | sed 's/^/refused: /'
}

newest_backup()
{
	pgbackrest info --output=json | grep -o '"label":"[^"]*"' | tail -n 1 | cut -d '"' -f 4
}

# new_cluster DIR PORT FILE-TO-INCLUDE...
new_cluster()
{
	local dir=$1 port=$2

	shift 2
	as_user "$bindir/initdb" -k -D "$dir" -U postgres -A trust -E UTF8 --locale=C >"$work/log/initdb" 2>&1 ||
		{ cat "$work/log/initdb" >&2; die "initdb failed"; }
	{
		printf "listen_addresses = ''\nunix_socket_directories = '%s'\nport = %s\n" "$socket_dir" "$port"
		printf "fxplatform.key_file = '%s'\n" "$work/keys"
		printf "include = '%s'\n" "$server_conf" "$@"
	} | as_user tee -a "$dir/postgresql.conf" >/dev/null
}

# start DIR PORT [OPTIONS]
#	With the environment in which archive_command finds its configuration.
start()
{
	as_user env "${setup[@]}" "$bindir/pg_ctl" -D "$1" -l "$1.log" -o "-p $2 ${3:-}" -w -t 120 start >/dev/null
}

must_start()
{
	start "$@" || { tail -n 30 "$1.log" >&2; die "the server did not start"; }
}

stop_and_remove()
{
	as_user "$bindir/pg_ctl" -D "$1" -m fast -w stop >/dev/null
	as_user rm -rf "$1" "$1.log"
}

# until_value EXPECTED PORT QUERY
#	Wait for it, for two minutes at most.  A server that is gone is an error.
until_value()
{
	local i got

	for ((i = 0; i < 1200; i++)); do
		got=$(value "$2" "$3")
		[ "$got" != "$1" ] || return 0
		sleep 0.1
	done
	die "not \"$1\" but \"$got\" after two minutes: $3"
}

# restore_copy ARGS...
#	Restore beside the server and start the copy on port 5433.
restore_copy()
{
	ops restore --data-dir "$work/copy" --no-archive "$@" >/dev/null
	must_start "$work/copy" 5433 '-c fsync=off'
}

# open_copy ARGS...
#	The same, until it is open for writing.
open_copy()
{
	restore_copy "$@"
	until_value f 5433 'SELECT pg_is_in_recovery()'
}

# picture PORT FILE
picture()
{
	psql_at "$1" -d "$db" -f "$drill/picture.sql" | as_user tee "$2" >/dev/null
}

# same_picture EXPECTED GOT [EXCEPT-PATTERN]
same_picture()
{
	[ -s "$1" ] || die "there is no picture to compare with"
	diff <(grep -v "${3:-^$}" "$1") <(grep -v "${3:-^$}" "$2") >&2 || die "the tables above differ"
	echo "$(grep -c '^\(fx\|public\)\.' "$2") tables, $(awk '/^(fx|public)\./ { n += $2 } END { print n }' "$2") rows, the same"
}

# pgbench_as USER ARGS...
pgbench_as()
{
	local login=$1

	shift
	as_user env -C "$work/acks" "$bindir/pgbench" -h "$socket_dir" -p 5432 -U "$login" -d "$db" -n -j 1 -D gate=$gate -D users=$users "$@"
}

start_load()
{
	pgbench_as drill_app -c $clients -T 600 -R $rate -D n=0 --max-tries=100 -l --log-prefix=ack \
		-f "$drill/ingest.pgbench@3" -f "$drill/trade.pgbench@5" -f "$drill/backtest.pgbench@1" -f "$drill/change.pgbench@3" >"$work/log/load" 2>&1 &
	load+=($!)
	pgbench_as postgres -c 1 -T 600 -R 1 -f "$drill/maintain.pgbench" >"$work/log/maintain" 2>&1 &
	load+=($!)
}

check_load()
{
	local pid

	for pid in "${load[@]}"; do
		kill -0 "$pid" 2>/dev/null || { cat "$work/log/load" "$work/log/maintain" >&2; die "the load ended by itself"; }
	done
	! grep -i 'abort\|error' "$work/log/load" "$work/log/maintain" >&2 || die "a client of the load failed"
}

# acknowledged
#	Script, client, number and time of what clients saw committed.
acknowledged()
{
	cat "$work"/acks/ack.* | awk '$3 ~ /^[0-9]+$/ { printf "%s %s %s %d%06d\n", $4, $1, $2, $5, $6 }'
}

# compare_trail RESTORED TARGET-US [ALL]
#	The transactions RESTORED against those acknowledged and against ALL that
#	were committed (both with times): all that were acknowledged by the target
#	must be there, and none that was committed later.  What was committed by then
#	and is missing can only be what nobody had been told of.
compare_trail()
{
	awk -v target="$2" -v clients=$clients '
		{ key = $1 " " $2 " " $3 }
		FILENAME == ARGV[1] { restored[key] = $4; restored_count++; next }
		FILENAME == ARGV[2] { acked[key] = $4; next }
		{ all[key] = $4 }
		END {
			for (key in restored)
				if (restored[key] > target) { print "committed after the target, and there: " key > "/dev/stderr"; bad++ }
			for (key in acked)
				if (acked[key] <= target) {
					due++
					if (!(key in restored)) { print "acknowledged before the target, and lost: " key > "/dev/stderr"; bad++ }
				}
			for (key in all)
				if (all[key] <= target && !(key in restored)) {
					in_flight++
					if (key in acked && acked[key] <= target) bad++
				}
			if (in_flight > clients) { print "more in flight than there are clients" > "/dev/stderr"; bad++ }
			if (due == 0 || restored_count == 0) { print "nothing to compare" > "/dev/stderr"; bad++ }
			printf "%d transactions acknowledged by then are there, %d later ones are not\n", due, length(acked) - due
			exit bad > 0
		}' "$1" <(acknowledged) "${3:-/dev/null}"
}

clean_up()
{
	local status=$? pid data

	trap - EXIT
	# where the drill began to print, not where a command of it did
	exec >&3
	for pid in "${load[@]}"; do
		kill "$pid" 2>/dev/null || true
	done
	for data in "$work"/*/postmaster.pid; do
		[ -e "$data" ] || continue
		as_user "$bindir/pg_ctl" -D "$(dirname "$data")" -m immediate -w stop >/dev/null || true
	done
	[ -z "${socket_dir:-}" ] || as_user rm -rf "$socket_dir"
	if [ -n "$step" ]; then
		row "$(seconds_since "$step_began")" FAILED
		status=1
	fi
	printf '\n%-40s | %7s | %s\n%s\n' step seconds result "$table"
	if [ $status -eq 0 ]; then
		rm -rf "$work"
		echo "the drill passed"
	else
		echo "the drill FAILED; $work has what it left"
	fi
	exit $status
}

FXPLATFORM_SKIP_BROWSER=yes install_missing build
need_tool pgbackrest pgbackrest
need_tool flock util-linux
use_postgres
choose_workplace tmp_drill
rm -rf "$work"
prepare_sources
exec 3>&1
trap clean_up EXIT
trap 'exit 1' HUP INT TERM
drill=$tree/scripts/recovery-drill
as_user mkdir -p "$work"/{etc/conf.d,repo,log,lock,spool,acks,dumps,results}
as_user chmod 700 "$work"/{etc,repo,dumps}
results=$work/results
socket_dir=$(as_user mktemp -d /tmp/fxplatform.XXXXXX)
# what the scripts of ops/ read
setup=(PGBACKREST_STANZA=fx PGBACKREST_CONFIG="$work/etc/pgbackrest.conf" PGBACKREST_CONFIG_INCLUDE_PATH="$work/etc/conf.d"
	PGHOST="$socket_dir" PGPORT=5432 PGUSER=postgres PGDATABASE="$db" FX_DUMP_DIR="$work/dumps" TMPDIR="$work")

begin "build"
run_make with_llvm=no
install_into "$work/install"
passed "fxplatform $(sed -n "s/^default_version = '\(.*\)'/\1/p" "$tree/fxplatform.control") for $("$pg_config" --version)"

# shellcheck source=scripts/recovery-drill/before.sh
. "$top/scripts/recovery-drill/before.sh"
# shellcheck source=scripts/recovery-drill/after.sh
. "$top/scripts/recovery-drill/after.sh"
