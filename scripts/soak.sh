#!/usr/bin/env bash
#
# soak.sh
#	A mixed load on a throw-away cluster for FXPLATFORM_SOAK_SECONDS (600 by
#	default): eight clients, six of the application and two of users who sign in,
#	and the background worker.  Prints throughput and latencies per kind every
#	FXPLATFORM_SOAK_INTERVAL seconds (30), then tables of the whole, and verifies
#	every invariant.  Fails on a violation, an error in the log of the server, or
#	when the private memory of a client's backend grows by more than
#	FXPLATFORM_SOAK_MEMORY_MB (8) after the first third of the time.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

seconds=${FXPLATFORM_SOAK_SECONDS:-600}
interval=${FXPLATFORM_SOAK_INTERVAL:-30}
memory_mb=${FXPLATFORM_SOAK_MEMORY_MB:-8}
[[ $seconds =~ ^[1-9][0-9]*$ && $interval =~ ^[1-9][0-9]*$ && $memory_mb =~ ^[1-9][0-9]*$ ]] ||
	die "FXPLATFORM_SOAK_SECONDS, _INTERVAL and _MEMORY_MB are whole numbers"
[ "$seconds" -ge $((3 * interval)) ] || interval=$(((seconds + 2) / 3))

# scripts of bench/soak and their weights; the order is that of pgbench's numbers
app_kinds='quotes@6 candles@6 order@10 try@4 close@7 change@3 flow@1 backtest@1 user_page@6 market_page@4 equity_page@1'
own_kinds='own@20 sign_out@1'

install_missing build
use_postgres
choose_workplace tmp_soak
stop_cluster "$work/cluster"
prepare_sources
as_user mkdir -p "$work/log"
app_pid=''
own_pid=''
trap 'kill $app_pid $own_pid 2>/dev/null || true; stop_cluster "$work/cluster"' EXIT

say "building with PostgreSQL $("$pg_config" --version | sed 's/^PostgreSQL //')"
run_make with_llvm=no
install_into "$work/install"
start_cluster "$work/cluster" "shared_preload_libraries = 'fxplatform'" "fxplatform.databases = 'soak'" \
	"fxplatform.maintenance_interval = 5" "shared_buffers = '256MB'" "max_wal_size = '4GB'" "jit = off" \
	"timezone = 'UTC'" "log_line_prefix = '%m [%p] %b %e '" "log_checkpoints = off" "log_autovacuum_min_duration = -1"

sql()
{
	as_user "$bindir/psql" -X -q -A -t -d soak -v ON_ERROR_STOP=1 "$@"
}

say "making 220 users with ten limits each"
as_user "$bindir/createdb" soak
as_user "$bindir/psql" -X -q -d soak -f "$tree/bench/soak/setup.sql"
sql -f "$tree/test/candle_oracle.sql"
sql -c 'CREATE TABLE soak.violations_found (what text)'

# start_clients NAME ROLE CLIENTS KINDS
#	pgbench, whose log of transactions is $work/log/NAME.*.  Sets started.
start_clients()
{
	local name=$1 role=$2 clients=$3 files=() kind

	for kind in $4; do
		files+=(-f "$tree/bench/soak/${kind%@*}.pgbench@${kind#*@}")
	done
	as_user rm -f "$work/log/$name".*
	as_user env PGUSER="$role" PGAPPNAME=soak "$bindir/pgbench" -n -M prepared -c "$clients" -j 1 -T "$seconds" \
		-D token=none -l --log-prefix="$work/log/$name" "${files[@]}" soak >"$work/$name.out" 2>&1 &
	started=$!
}

# transactions NAME KINDS
#	The lines of a log with the kind in front: kind client ms at.
transactions()
{
	as_user cat "$work/log/$1".* | awk -v kinds="$2" '
		BEGIN { split(kinds, kind, " "); for (i in kind) sub(/@.*/, "", kind[i]) }
		NF == 6 { printf "%s %s %.3f %d.%06d\n", kind[$4 + 1], $1, $3 / 1000, $5, $6 }'
}

# show_interval SINCE UNTIL
#	What the clients have done between two times of the clock.
show_interval()
{
	{ transactions app "$app_kinds"; transactions own "$own_kinds"; } |
		awk -v since="$1" -v until="$2" '$4 >= since && $4 < until { print $1, $3; print "all", $3 }' |
		sort -k1,1 -k2,2n |
		awk -v seconds=$(($2 - $1)) '
			function line() { if (n) printf "  %-12s %9.1f %10.2f %10.2f %10.2f\n", kind, n / seconds, ms[int((n + 1) * 0.5)], ms[int(n * 0.95) + (n < 20)], ms[int(n * 0.99) + (n < 100)] }
			BEGIN { printf "  %-12s %9s %10s %10s %10s\n", "kind", "tps", "p50 ms", "p95 ms", "p99 ms" }
			$1 != kind { line(); kind = $1; n = 0 }
			{ ms[++n] = $2 }
			END { line() }'
}

# Private memory of the clients' backends, in kB: shared buffers that they have
# touched are not theirs.
sample_memory()
{
	local pid kb values=''

	for pid in $(sql -c "SELECT pid FROM pg_stat_activity WHERE application_name = 'soak'"); do
		kb=$(as_user sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2>/dev/null || true)
		[ -z "$kb" ] || values="$values, ('backend $pid', $kb)"
	done
	[ -z "$values" ] || sql -c "INSERT INTO soak.samples (name, value) VALUES ${values#, }"
}

say "eight clients for $seconds s"
# a session counts rows when it ends, so this one is another
sql -c ANALYZE -c 'SELECT soak.measure()' >/dev/null
began=$(date +%s)
start_clients app soak_app 6 "$app_kinds"
app_pid=$started
start_clients own soak_user 2 "$own_kinds"
own_pid=$started
# when every backend has done everything a few times
sleep $((interval < 5 ? interval : 5))
sample_memory
since=$began
months=6
while [ $((since + interval)) -le $((began + seconds)) ]; do
	until=$((since + interval))
	# the last sample is taken while the clients are still there
	pause=$((until - 2 - $(date +%s)))
	[ $pause -le 0 ] || sleep $pause
	kill -0 $app_pid $own_pid 2>/dev/null || break
	sample_memory
	sql -c "SELECT soak.measure(), soak.add_expired_month($months)" >/dev/null
	months=$((months + 1))
	pause=$((until - $(date +%s)))
	[ $pause -le 0 ] || sleep $pause
	say "$((until - began)) s of $seconds"
	show_interval "$since" "$until"
	since=$until
done

problems=()
wait $app_pid || problems+=("clients of the application ended early: $(grep -m 1 -i error "$work/app.out" || tail -n 1 "$work/app.out")")
wait $own_pid || problems+=("clients of the users ended early: $(grep -m 1 -i error "$work/own.out" || tail -n 1 "$work/own.out")")
app_pid=''
own_pid=''

# the worker is to have had its turn after the last of what was written
say "waiting for maintenance"
last=$(sql -c 'SELECT coalesce(max(id), 0) FROM fx.maintenance_runs')
for _ in $(seq 120); do
	[ "$(sql -c "SELECT count(*) >= 2 FROM fx.maintenance_runs WHERE id > $last AND step = 'cleanup' AND worker")" = t ] && break
	sleep 1
done
sql -c 'SELECT pg_stat_force_next_flush()' -c 'SELECT soak.measure()' >/dev/null

say "what happened"
{ transactions app "$app_kinds"; transactions own "$own_kinds"; } | as_user tee "$work/transactions" >/dev/null
sql -c 'CREATE TABLE soak.log (kind text, client integer, ms float8, at float8)' -c "\\copy soak.log FROM '$work/transactions' (DELIMITER ' ')" -c 'ANALYZE soak.log'
as_user "$bindir/psql" -X -q -d soak -v ON_ERROR_STOP=1 -v page="$work/soak.html" -v memory_mb="$memory_mb" -f "$tree/bench/soak/report.sql"
echo "pictures: $work/soak.html"

say "verifying"
as_user "$bindir/psql" -X -q -d soak -v ON_ERROR_STOP=1 -P footer=off -v out="$work/violations" -f "$tree/bench/soak/verify.sql" ||
	problems+=("an invariant could not be verified")
violations=$(as_user cat "$work/violations" 2>/dev/null | tr -d ' \n') || true
[ "${violations:-none}" = 0 ] || problems+=("${violations:-unknown} violations of invariants")
while read -r what; do
	problems+=("$what")
done < <(sql -c 'SELECT what FROM soak.violations_found')

# nothing is refused by an error, so there is to be none
errors=$(as_user grep -cE ' (ERROR|FATAL|PANIC):|TRAP:|terminated by signal' "$work/cluster/server.log" || true)
if [ "$errors" -gt 0 ]; then
	problems+=("$errors errors in the log of the server")
	as_user grep -E -A 2 ' (ERROR|FATAL|PANIC):|TRAP:|terminated by signal' "$work/cluster/server.log" | head -n 12
fi

if [ ${#problems[@]} -gt 0 ]; then
	say "failed"
	printf '%s\n' "${problems[@]}"
	as_user cp "$work/cluster/server.log" "$work/server.log"
	echo "log of the server: $work/server.log"
	exit 1
fi
say "no violation, no error"
