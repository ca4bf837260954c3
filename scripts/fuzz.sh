#!/usr/bin/env bash
#
# fuzz.sh [TARGET...]
# fuzz.sh replay TARGET FILE...
#	Throw hostile input at the extension, in two stages, or say again what
#	comes of inputs that libFuzzer has kept.
#
#	1. libFuzzer, guided by the coverage of the extension's own sources, on
#	   every target of test/fuzz/targets (or those named): parsers, binary and
#	   text input of types, and what is computed from what they accept.
#	2. Random calls of everything that an application or a user may call, in
#	   several sessions at once: test/fuzz/sql_fuzz.pl.
#
# Both run on libraries that stop at undefined behaviour.  PG_CONFIG chooses the
# server; one with assertions finds more.
#
#	FXPLATFORM_FUZZ_HARNESS_SECONDS	of each target (60); 0 leaves them out
#	FXPLATFORM_FUZZ_SECONDS		of the second stage (600); 0 leaves it out
#	FXPLATFORM_FUZZ_CLIENTS		sessions of the second stage (4)
#	FXPLATFORM_FUZZ_SEED		of both; printed when it is not given
#
# Corpora are kept below tmp_fuzz and grow from run to run.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

harness_seconds=${FXPLATFORM_FUZZ_HARNESS_SECONDS:-60}
sql_seconds=${FXPLATFORM_FUZZ_SECONDS:-600}
clients=${FXPLATFORM_FUZZ_CLIENTS:-4}
seed=${FXPLATFORM_FUZZ_SEED:-$((RANDOM * 32768 + RANDOM + 1))}

install_missing build
need_tool clang clang
need_tool perl perl
use_postgres
choose_workplace tmp_fuzz
trap 'stop_cluster "$work/cluster"' EXIT

# build NAME FLAGS [LIBRARIES FILES...]
#	Build a copy of the sources by clang, with more files when there are any,
#	and install it into $work/NAME.
build()
{
	local name=$1 flags=$2 libraries=${3:-}

	shift 2
	[ $# -eq 0 ] || shift
	say "building $name: $flags"
	tree=$work/$name.src
	rm -rf "$tree"
	mkdir -p "$tree"
	tar -C "$top" --exclude=./.git --exclude='./tmp_*' --exclude=./demo_run \
		--exclude='*.o' --exclude='*.bc' --exclude='*.so' -cf - . | tar -C "$tree" -xf -
	[ $# -eq 0 ] || cp "$@" "$tree/src"
	# the server's own flags are for the compiler that built it
	cat >"$tree/GNUmakefile" <<-EOF
		override CC = clang
		override with_llvm = no
		override COPT = -O1 $flags
		override SHLIB_LINK = $libraries
		override WERROR = -Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-ignored-attributes
		include Makefile
	EOF
	if [ -n "$user" ]; then
		chown -R "$user" "$work"
		chmod -R u+rwX "$work"
	fi
	run_make -j2 >"$work/$name.log" 2>&1 || { tail -n 40 "$work/$name.log" >&2; die "could not build"; }
	install_into "$work/$name"
}

# runtime_library NAME EXTENSION
#	Where clang has a library of its own.
runtime_library()
{
	local file

	file=$(clang -print-file-name="libclang_rt.$1-$(uname -m).$2")
	[ -f "$file" ] || die "clang has no $(basename "$file"): install libclang-rt-dev"
	echo "$file"
}

# fuzz_target NAME
#	Run libFuzzer on a target and add a line to the table.
fuzz_target()
{
	local name=$1 query flags log corpus findings status=0 verdict=ok

	query=$top/test/fuzz/targets/$name.sql
	log=$work/log/$name.log
	corpus=$work/corpus/$name
	findings=$work/findings/$name
	flags=$(sed -n 's/^-- flags: //p' "$query" | sed "s|-dict|-dict=$work/json.dict|")
	as_user mkdir -p "$corpus" "$findings" "$work/log"
	write_seeds "$name" "$corpus"
	as_user rm -rf "$work/single"
	as_user cp -a "$work/cluster/data" "$work/single"
	as_user rm -f "$work/single/postmaster.pid"

	# one line of input is one command in single-user mode
	printf "SELECT fuzz.run(\$fuzz\$%s\$fuzz\$, '{%s}');\n" \
		"$(grep -v '^ *--' "$query" | tr '\n' ' ')" \
		"$(printf '%s' "$flags -seed=$seed -max_total_time=$harness_seconds -timeout=10 -rss_limit_mb=3000 -print_final_stats=1 -artifact_prefix=$findings/ $corpus" | tr ' ' ',')" |
		as_user "$bindir/postgres" --single -D "$work/single" -c search_path=pg_catalog,fx fuzz >"$log" 2>&1 || status=$?
	as_user rm -rf "$work/single"

	if [ $status -ne 0 ] || ! grep -q '^TOTALS:' "$log"; then
		verdict="FINDING $(grep -aoE '^FINDING: .*|runtime error: .*|ERROR: .*|libFuzzer: .*' "$log" | head -n 1)"
		found=$((found + 1))
	fi
	printf '%-20s %9s %9s %7s %7s  %s\n' "$name" \
		"$(sed -n 's/^TOTALS: \([0-9]*\) runs.*/\1/p' "$log")" \
		"$(sed -n 's/^TOTALS: .* \([0-9]*\) accepted.*/\1/p' "$log")" \
		"$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)" \
		"$(as_user find "$corpus" -type f | wc -l)" "$verdict" >>"$work/table"
	tail -n 1 "$work/table"
}

# replay TARGET FILE...
replay()
{
	local query file

	query=$(grep -v '^ *--' "$top/test/fuzz/targets/$1.sql")
	shift
	for file in "$@"; do
		printf '%s: ' "$file"
		# shellcheck disable=SC2016
		printf '\\timing on\nSELECT fuzz.try($fuzz$%s$fuzz$, '"'\\\\x%s'"');\n' "$query" "$(od -An -v -tx1 <"$file" | tr -d ' \n')" |
			PGOPTIONS='-c search_path=pg_catalog,fx' as_user "$bindir/psql" -X -q -At -d fuzz
	done
}

# write_seeds NAME DIR
write_seeds()
{
	# shellcheck disable=SC2016
	awk -F '|' -v name="$1" '$1 == name { print $2 }' "$work/seeds" |
		as_user perl -e 'while (<STDIN>) { chomp; open my $f, ">", "$ARGV[0]/seed-$."; print $f pack("H*", $_) }' "$2"
}

found=0
ubsan=$(runtime_library ubsan_standalone so)
ubsan="$ubsan -Wl,-rpath,$(dirname "$ubsan")"
mkdir -p "$work"
[ -z "$user" ] || chown "$user" "$work"
as_user rm -f "$work/table"

if [ "$harness_seconds" -gt 0 ]; then
	runtime=$(runtime_library fuzzer_no_main a)
	build fuzzed "-g -fsanitize=fuzzer-no-link,undefined -fno-sanitize-recover=undefined" \
		"$runtime $ubsan -lstdc++" \
		"$top"/test/fuzz/fuzz_*.c
	as_user cp "$top/test/fuzz/json.dict" "$work"
	# a key, so that there is something to decrypt by
	as_user rm -f "$work/keys"
	printf '1:%s\n' "$(printf '%032d' 7 | base64)" | as_user sh -c "umask 077; cat >'$work/keys'"
	start_cluster "$work/cluster" "fxplatform.key_file = '$work/keys'" "timezone = 'UTC'"
	as_user "$bindir/createdb" fuzz
	as_user "$bindir/psql" -X -q -d fuzz -f "$top/test/fuzz/setup.sql" >/dev/null
	as_user "$bindir/psql" -X -At -d fuzz -c "SELECT target, encode(data, 'hex') FROM fuzz.seeds" | as_user tee "$work/seeds" >/dev/null
	if [ "${1:-}" = replay ]; then
		shift
		replay "$@"
		exit
	fi
	as_user "$bindir/pg_ctl" -D "$work/cluster/data" -m fast -w stop >/dev/null

	say "coverage-guided, $harness_seconds seconds a target, seed $seed"
	printf '%-20s %9s %9s %7s %7s  %s\n' target runs accepted edges corpus result
	[ $# -gt 0 ] || set -- "$top"/test/fuzz/targets/*.sql
	for target in "$@"; do
		fuzz_target "$(basename "$target" .sql)"
	done
	stop_cluster "$work/cluster"
fi

if [ "$sql_seconds" -gt 0 ]; then
	# undefined behaviour is a crash, and the server's log says where
	build checked "-g -fsanitize=undefined -fno-sanitize-recover=undefined" "$ubsan" \
		"$top/test/fuzz/sql/ubsan_options.c"
	as_user rm -rf "$work/sql" "$work/keys"
	printf '1:%s\n' "$(printf '%032d' 7 | base64)" | as_user sh -c "umask 077; cat >'$work/keys'"
	start_cluster "$work/cluster" "fxplatform.key_file = '$work/keys'" "fxplatform.password_cost = 4" \
		"log_min_messages = log" "log_checkpoints = off" "autovacuum_naptime = 5s" \
		"max_locks_per_transaction = 256" "synchronous_commit = off"
	as_user "$bindir/createdb" fuzz
	as_user "$bindir/psql" -X -q -d fuzz -f "$top/test/fuzz/sql/setup.sql" >/dev/null
	say "random statements for $sql_seconds seconds by $clients clients, seed $seed"
	as_user perl "$top/test/fuzz/sql/sql_fuzz.pl" --psql "$bindir/psql" --database fuzz --dir "$work/sql" \
		--seconds "$sql_seconds" --clients "$clients" --seed "$seed" || found=$((found + 1))
	if grep -aE 'PANIC|TRAP|runtime error|was terminated by signal|could not find|unexpected' "$work/cluster/server.log"; then
		grep -aA 2 'was terminated by signal' "$work/cluster/server.log" | head -n 40
		found=$((found + 1))
	fi
	as_user cp "$work/cluster/server.log" "$work/sql"
fi

[ "$found" -eq 0 ] || die "fuzzing found something (seed $seed)"
say "nothing found (seed $seed)"
