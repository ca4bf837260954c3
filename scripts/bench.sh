#!/usr/bin/env bash
#
# bench.sh
#	Build without debugging aids, start a throw-away cluster and print the
#	ratios of bench/bench.sql and of bench/risk.sql.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

install_missing build
use_postgres
choose_workplace tmp_run
prepare_sources
as_user mkdir -p "$work"
trap 'stop_cluster "$work/cluster"' EXIT

say "building with PostgreSQL $("$pg_config" --version | sed 's/^PostgreSQL //')"
run_make with_llvm=no
run_make -C bench/floor with_llvm=no
install_into "$work/install"
start_cluster "$work/cluster" "shared_buffers = '1GB'" "work_mem = '256MB'" \
	"max_wal_size = '8GB'" "jit = off"

as_user "$bindir/createdb" bench
as_user "$bindir/psql" -X -q -d bench -v floor="$tree/bench/floor/fx_floor" -f "$tree/bench/bench.sql"
as_user "$bindir/createdb" bench_risk
as_user env PATH="$bindir:$PATH" "$bindir/psql" -X -q -d bench_risk -v dir="$tree/bench" -f "$tree/bench/risk.sql"
for what in nothing curve rows; do
	as_user "$bindir/psql" -X -q -d bench -v what="$what" -f "$tree/bench/memory.sql"
done
