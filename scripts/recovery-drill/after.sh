# shellcheck shell=bash disable=SC2154,SC2034
#
# after.sh
#	The drill from the loss on: restores that must succeed, and that must not.

begin "restore to the named point, a copy"
refused 2 'needs --set' ops restore --data-dir "$work/copy" --name before_the_mistake
restore_copy --name before_the_mistake --set "$before_mistake"
# read only, as one looks at it before one decides
until_value paused 5433 'SELECT pg_get_wal_replay_pause_state()'
picture 5433 "$results/paused"
same_picture "$results/before" "$results/paused"
value 5433 'SELECT pg_wal_replay_resume()' >/dev/null
until_value f 5433 'SELECT pg_is_in_recovery()'
picture 5433 "$results/name"
same_picture "$results/before" "$results/name" >"$results/same"
stop_and_remove "$work/copy"
passed "$(cat "$results/same")"

begin "restore to before transaction $xid, a copy"
open_copy --xid "$xid" --exclusive --set "$before_mistake" --promote
picture 5433 "$results/transaction"
same_picture "$results/before" "$results/transaction" >"$results/same"
stop_and_remove "$work/copy"
passed "$(cat "$results/same")"

begin "restore to the middle of the load, a copy"
open_copy --time "$middle" --promote
psql_at 5433 -d "$db" -f "$drill/trail.sql" | as_user tee "$results/middle.trail" >/dev/null
[ "$(psql_at 5433 -d "$db" -f "$drill/orphans.sql")" = 0 ] || die "rows and audit trail differ"
compare_trail "$results/middle.trail" "$middle_us" "$results/before.trail" >"$results/same"
psql_at 5433 -d "$db" -f "$drill/probe.sql"
stop_and_remove "$work/copy"
passed "$(cat "$results/same")"

begin "restore to the end of the archive, a copy"
open_copy --latest
psql_at 5433 -d "$db" -f "$drill/trail.sql" | as_user tee "$results/latest.trail" >/dev/null
last_us=$(awk -v last=0 '$4 > last { last = $4 } END { printf "%.0f", last }' "$results/latest.trail")
compare_trail "$results/latest.trail" "$last_us" >"$results/same"
stop_and_remove "$work/copy"
rpo=$(awk -v us=$((killed_us - last_us)) 'BEGIN { printf "%.1f", us / 1e6 }')
passed "the last $rpo s before the kill are lost with the disk"

begin "... and with the WAL of the lost disk"
open_copy --latest --wal-from "$work/saved/pg_wal"
psql_at 5433 -d "$db" -f "$drill/trail.sql" | as_user tee "$results/all.trail" >/dev/null
compare_trail "$results/all.trail" "$(now_us)" >"$results/same"
psql_at 5433 -d "$db" -f "$drill/probe.sql"
stop_and_remove "$work/copy"
passed "nothing is lost: $(cat "$results/same")"

begin "a wrong passphrase"
right=("${setup[@]}")
setup+=(PGBACKREST_REPO1_CIPHER_PASS=wrong)
refused 1 'passphrase is wrong' ops restore --data-dir "$work/copy" --latest
setup=("${right[@]}")
[ ! -e "$work/copy" ] || die "something was restored"
! as_user grep -rqa 'user1@example.com\|fx_platform' "$work/repo" || die "the repository has text in clear"
passed "refused, and no text is in clear in the repository"

begin "a damaged backup"
as_user cp -a "$work/repo" "$work/damaged"
largest=$(as_user find "$work/damaged/backup/fx/$full" -type f -size +64k -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2-)
[ -n "$largest" ] || die "the backup has no file to damage"
printf 'damage' | as_user dd of="$largest" bs=1 seek=20000 conv=notrunc status=none
setup+=(PGBACKREST_REPO1_PATH="$work/damaged")
refused 1 'missing or damaged' ops verify-backup --repository
refused 1 'cannot be started' ops restore --data-dir "$work/copy" --set "$full" --immediate --no-archive
setup=("${right[@]}")
[ ! -e "$work/copy/global/pg_control" ] || die "what was restored can be started"
as_user rm -rf "$work/copy" "$work/damaged"
passed "verify-backup and restore refuse it"

begin "a WAL segment is missing"
as_user cp -a "$work/repo" "$work/holed"
last_of_backup=$(pgbackrest info --set="$before_mistake" | sed -n 's/.*wal start.stop: .* \/ //p')
needed=$(as_user find "$work/holed/archive" -regextype posix-extended -regex '.*/[0-9A-F]{24}-.*' -printf '%f\n' | sort |
	awk -v last="$last_of_backup" 'substr($0, 1, 24) > last { print; exit }')
[ -n "$needed" ] || die "there is no segment between the backup and the mistake"
as_user find "$work/holed/archive" -name "$needed" -delete
setup+=(PGBACKREST_REPO1_PATH="$work/holed")
# which pgbackrest verify does not see
ops verify-backup --repository
refused 1 "lacks 1 WAL segments, the first ${needed:0:24}" ops restore --data-dir "$work/copy" --latest --set "$before_mistake" --no-archive
[ ! -e "$work/copy/global/pg_control" ] || die "what was restored can be started"
as_user rm -rf "$work/copy"
ops restore --data-dir "$work/copy" --time "$moment" --set "$before_mistake" --no-archive --promote >/dev/null
# it may accept readers for a moment before it finds out
start "$work/copy" 5433 || true
for ((i = 0; i < 600; i++)); do
	[ -e "$work/copy/postmaster.pid" ] || break
	sleep 0.1
done
setup=("${right[@]}")
[ ! -e "$work/copy/postmaster.pid" ] || die "the server goes on with what is not the target"
as_user grep 'recovery ended before configured recovery target was reached' "$work/copy.log"
as_user rm -rf "$work/copy" "$work/copy.log" "$work/holed"
passed "the end of the archive is refused, a target ends in an error"

begin "restore to the time before the mistake"
began=$(now)
refused 1 'the oldest backup ended at' ops restore --data-dir "$work/data" --time '2020-01-01 00:00:00+00'
refused 2 'with the offset from UTC' ops restore --data-dir "$work/data" --time '2020-01-01 00:00:00'
ops restore --data-dir "$work/data" --time "$moment"
must_start "$work/data" 5432
until_value paused 5432 'SELECT pg_get_wal_replay_pause_state()'
# recovery stops at the commit of the TRUNCATE, whose lock it has replayed: the
# one table that cannot be read is the one that matters
refused 1 'canceling statement due to lock timeout' psql_at 5432 -d "$db" -c "SET lock_timeout = '1s'; SELECT count(*) FROM fx.trades"
[ "$(value 5432 'SELECT count(*) FROM fx.users')" = "$users" ] || die "there are other users than before"
value 5432 'SELECT pg_wal_replay_resume()' >/dev/null
until_value f 5432 'SELECT pg_is_in_recovery()'
picture 5432 "$results/time"
same_picture "$results/before" "$results/time" >"$results/same"
rto=$(seconds_since "$began")
passed "$(cat "$results/same"); in use after $rto s"

begin "refusals beside a server that runs"
refused 3 'a server runs' ops restore --data-dir "$work/data" --latest --delta
as_user mkdir "$work/filled"
as_user touch "$work/filled/somebodys"
refused 3 'is not empty' ops restore --data-dir "$work/filled" --latest
refused 3 'is no data directory' ops restore --data-dir "$work/filled" --latest --delta
[ -e "$work/filled/somebodys" ] || die "a file of somebody is gone"
passed "a running server, a filled folder"

begin "the application goes on"
psql_at 5432 -d "$db" -f "$drill/probe.sql"
pgbench_as drill_app -c "$clients" -t 40 -D n=100000 --max-tries=100 \
	-f "$drill/ingest.pgbench" -f "$drill/trade.pgbench" -f "$drill/backtest.pgbench" -f "$drill/change.pgbench" >"$work/log/load" 2>&1
grep -q "transactions actually processed: $((clients * 40))/$((clients * 40))$" "$work/log/load" || { cat "$work/log/load" >&2; die "the load failed"; }
psql_at 5432 -d "$db" -f "$drill/probe.sql"
passed "limits, books, roll-ups, audit trail, keys; $((clients * 40)) new transactions"

begin "full backup of the new timeline, proved"
ops backup full
ops verify-backup --include "$work/include.conf" --scratch "$work/scratch"
[ ! -e "$work/scratch" ] || die "the scratch copy is still there"
passed "timeline $(value 5432 "SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 8, 1)"), restored and verified"

begin "pg_dump into an empty cluster"
new_cluster "$work/other" 5434
must_start "$work/other" 5434 '-c fsync=off'
setup+=(PGPORT=5434)
ops restore-dump --jobs 2 "$dump" "$db"
picture 5434 "$results/custom"
# The book of partitions knows them by their files, which are new ones.  Parallel
# restores may make triggers of a partitioned table before its rows are there:
# days are noted as changed then that did not.
same_picture "$results/dumped.picture" "$results/custom" '^fx.candle_\(partitions\|changes\) ' >"$results/same"
refused 3 'there is a database' ops restore-dump "$dump" "$db"
psql_at 5434 -d "$db" -f "$drill/probe.sql"
psql_at 5434 -q -d postgres -c "ALTER DATABASE $db RENAME TO custom" -c "CREATE DATABASE $db"
psql_at 5434 -q -d "$db" -o /dev/null -f "$results/plain.sql"
picture 5434 "$results/plain"
same_picture "$results/dumped.picture" "$results/plain" '^fx.candle_partitions '
printf 'x' | as_user dd of="$dump/$db.dump" bs=1 seek=1000 conv=notrunc status=none
refused 1 'is damaged' ops restore-dump --as again "$dump" "$db"
as_user "$bindir/pg_ctl" -D "$work/other" -m immediate -w stop >/dev/null
passed "custom and plain: $(cat "$results/same")"

step="the next major"
if [ -f "$top/scripts/chroot.sh" ] && (. "$top/scripts/chroot.sh" && have_chroot 17); then
	begin "$step: dump and pg_upgrade to 17"
	"$top/scripts/major-upgrade.sh" 17
	passed "see its table above"
else
	row - "skipped: no PostgreSQL 17 here; \"make matrix\" makes chroots of other majors"
	step=''
fi

say "as measured: RPO $rpo s with the disk lost, 0 without; RTO $rto s for $(value 5432 'SELECT pg_size_pretty(pg_database_size(current_database()))')"
