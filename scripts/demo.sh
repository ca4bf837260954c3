#!/usr/bin/env bash
#
# demo.sh [stop]
#	Install what is missing, build, start a throw-away cluster and tell the
#	story of demo/demo.sql in it.  The cluster keeps running until "stop".

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

if [ "${1:-}" = stop ]; then
	choose_workplace demo_run
	if [ ! -d "$work" ]; then
		echo "no demo is running"
		exit 0
	fi
	use_postgres
	stop_cluster "$work/cluster"
	rm -rf "$work"
	echo "the demo is stopped and its files are removed"
	exit 0
fi

install_missing build
use_postgres
choose_workplace demo_run
stop_cluster "$work/cluster"
say "building with PostgreSQL $("$pg_config" --version | sed 's/^PostgreSQL //')"
prepare_sources
as_user mkdir -p "$work"
run_make with_llvm=no
install_into "$work/install"

say "starting a cluster of its own in $work/cluster"
start_cluster "$work/cluster"

as_user "$bindir/createdb" fxdemo
as_user "$bindir/psql" -X -q -d fxdemo -v ON_ERROR_STOP=1 -f "$tree/demo/demo.sql"

say "writing the tear-sheet"
as_user "$bindir/psql" -X -q -A -t -d fxdemo -v ON_ERROR_STOP=1 \
	-c "SELECT fx.tearsheet(id) FROM fx.backtests WHERE status = 'completed' ORDER BY completed_at LIMIT 1" \
	-o "$work/tearsheet.html"
echo "$work/tearsheet.html ($(wc -c <"$work/tearsheet.html") bytes)"

cat <<EOF

==> the database is yours until "make demo-stop"

  psql -h $PGHOST -p $PGPORT -U $PGUSER fxdemo
EOF
