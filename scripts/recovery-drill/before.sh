# shellcheck shell=bash disable=SC2154,SC2034
#
# before.sh
#	The drill up to the loss: data, backups, load, the mistake, the kill.

begin "cluster with rows in every table"
# the templates of ops/, edited as doc/backup.md says
sed -e "s|^repo1-path=.*|repo1-path=$work/repo|" -e "s|^log-path=.*|log-path=$work/log|" -e "s|^lock-path=.*|lock-path=$work/lock|" \
	-e "s|^spool-path=.*|spool-path=$work/spool|" -e "s|^pg1-path=.*|pg1-path=$work/data|" -e "s|^pg1-socket-path=.*|pg1-socket-path=$socket_dir|" "$tree/ops/pgbackrest.conf" |
	as_user tee "$work/etc/pgbackrest.conf" >/dev/null
[ "$(grep -c "=$work/\|=$socket_dir" "$work/etc/pgbackrest.conf")" -eq 6 ] || die "ops/pgbackrest.conf has other settings than the drill edits"
# shellcheck disable=SC2016
as_user sh -c 'umask 077
	printf "[global]\nrepo1-cipher-pass=%s\n" "$(head -c 48 /dev/urandom | base64 -w 0)" >"$1/etc/conf.d/passphrase.conf"
	printf "1:%s\n" "$(head -c 32 /dev/urandom | base64)" >"$1/keys"' sh "$work"
printf "include = '%s'\nfxplatform.key_file = '%s'\n" "$server_conf" "$work/keys" | as_user tee "$work/include.conf" >/dev/null
new_cluster "$work/data" 5432 "$tree/ops/postgresql.conf"
must_start "$work/data" 5432
psql_at 5432 -q -d postgres -c "CREATE DATABASE $db"
psql_at 5432 -q -d "$db" -o /dev/null -v users="$users" -f "$drill/fill.sql"
passed "$(value 5432 'SELECT pg_size_pretty(pg_database_size(current_database()))'), data checksums $(value 5432 'SHOW data_checksums')"

begin "encrypted repository, archiving"
as_user chmod 640 "$work/etc/conf.d/passphrase.conf"
refused 3 'has the passphrase of the backups and has mode 640' ops backup full
as_user chmod 600 "$work/etc/conf.d/passphrase.conf"
refused 1 'run pgbackrest stanza-create' ops backup full
pgbackrest stanza-create
pgbackrest check
passed "$(pgbackrest info | sed -n 's/^ *cipher: //p'), a segment was archived"

start_load
sleep 1
begin "full backup, under load"
ops backup full
full=$(newest_backup)
check_load
passed "$full"

begin "differential backup, under load"
ops backup diff
check_load
passed "$(newest_backup)"

begin "dumps, custom and plain, under load"
cat >"$results/command" <<-END
	PATH='$bindir:$PATH' '$tree/ops/backup' dump $db -- --snapshot=\$SNAPSHOT &&
	'$bindir/pg_dump' -d "$db" --snapshot=\$SNAPSHOT -f '$results/plain.sql' && touch '$results/dumped'
END
as_user env "${setup[@]}" "$bindir/psql" -X -v picture="$results/dumped.picture" -v command="$(cat "$results/command")" -f "$drill/dump.sql"
[ -e "$results/dumped" ] || die "a dump failed"
dump=$(ls -d "$work"/dumps/*Z)
check_load
passed "${dump##*/}: $(du -sh "$dump" | cut -f 1) and $(du -sh "$results/plain.sql" | cut -f 1)"

begin "incremental backup, under load"
ops backup incr
before_mistake=$(newest_backup)
check_load
passed "$before_mistake"

begin "a second run at the same time"
as_user flock "$work/dumps/.lock" sleep 3 &
sleep 0.5
refused 75 'another dump' ops backup dump
wait $!
ops backup incr &
for ((i = 0; i < 100; i++)); do
	! pgbackrest info --output=json | grep -q '"backup":{"held":true' || break
	sleep 0.05
done
refused 75 'another backup' ops backup incr
wait $!
before_mistake=$(newest_backup)
passed "the second run says so, and ends with exit code 75"

# something has to be written between a backup and the moment, and behind it
sleep 2
middle_us=$(now_us)
middle=$(date -u -d "@$((middle_us / 1000000))" '+%Y-%m-%d %H:%M:%S').$(printf '%06d' $((middle_us % 1000000)))+00
sleep 2

begin "the mistake: TRUNCATE, DROP of a month"
check_load
psql_at 5432 -d "$db" -v gate="$gate" -v before="$results/before" -v trail="$results/before.trail" \
	-v moment="$results/moment" -v xid="$results/xid" -f "$drill/mistake.sql"
moment=$(cat "$results/moment")
xid=$(cat "$results/xid")
[ "$(value 5432 "SELECT to_regclass('fx.market_data_2024_01') IS NULL AND NOT EXISTS (SELECT FROM fx.trades WHERE external_id LIKE 'filled%')")" = t ] ||
	die "the mistake did not happen"
passed "at $moment, transaction $xid"

begin "the load goes on, hourly backup, kill -9"
sleep 1
ops backup incr
sleep 3
check_load
postmaster=$(as_user head -n 1 "$work/data/postmaster.pid")
mapfile -t processes < <(ps -o pid= --ppid "$postmaster" | tr -d ' ')
as_user kill -9 "$postmaster"
# a process may have ended since it was listed
as_user kill -9 "${processes[@]}" 2>/dev/null || true
killed_us=$(now_us)
for pid in "${load[@]}"; do
	wait "$pid" || true
done
load=()
for process in "$postmaster" "${processes[@]}"; do
	while [ -e "/proc/$process" ]; do
		sleep 0.1
	done
done
as_user mkdir "$work/saved"
as_user cp -a "$work/data/pg_wal" "$work/saved/pg_wal"
as_user rm -rf "$work/data"
passed "$(acknowledged | wc -l) transactions acknowledged, data directory removed"
