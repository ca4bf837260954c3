# shellcheck shell=bash
#
# common.sh
#	What the scripts of ops/ share.  Sourced, not run.
#
# Exit codes of all of them:
#	0	done
#	1	failed: what was to be made is not there, or not good
#	2	called wrongly
#	3	refused: it would overwrite data, or the setup is not safe
#	75	not now: another run holds the lock (EX_TEMPFAIL of sysexits.h)

set -euo pipefail
umask 077

readonly EXIT_USAGE=2 EXIT_REFUSED=3
# shellcheck disable=SC2034
readonly EXIT_BUSY=75

self=${0##*/}

# Messages go to stderr, where systemd's journal or cron's mail takes them, and
# to the file FX_BACKUP_LOG where that is set.
log()
{
	local line

	line="$(date -u +%Y-%m-%dT%H:%M:%SZ) ${self}[$$]: $*"
	printf '%s\n' "$line" >&2
	if [ -n "${FX_BACKUP_LOG:-}" ]; then
		printf '%s\n' "$line" >>"$FX_BACKUP_LOG"
	fi
}

# fail EXIT-CODE MESSAGE...
fail()
{
	local code=$1

	shift
	log "error: $*"
	exit "$code"
}

die()
{
	fail 1 "$@"
}

# The usage is the comment at the top of the script.
usage()
{
	sed -n '3,/^$/s/^#[[:blank:]]\{0,1\}//p' "$0"
	exit 0
}

wrong_call()
{
	printf '%s: %s\nTry "%s --help".\n' "$self" "$*" "$self" >&2
	exit "$EXIT_USAGE"
}

need_command()
{
	local command

	for command in "$@"; do
		command -v "$command" >/dev/null || die "$command is not installed, or not on the PATH"
	done
}

# Programs of the server, which Debian keeps off the PATH.
server_bindir()
{
	local major=$1 dir

	for dir in "${FX_PG_BINDIR:-}" "/usr/lib/postgresql/$major/bin" "$(dirname "$(command -v pg_ctl || echo /)")"; do
		if [ -x "$dir/pg_ctl" ]; then
			if [ "$("$dir/postgres" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')" = "$major" ]; then
				echo "$dir"
				return 0
			fi
		fi
	done
	die "there is no server of PostgreSQL $major here; set FX_PG_BINDIR to its programs"
}

# A name with = in it, or a URI, would be taken for a connection string.
connection_string()
{
	local name=${1//\\/\\\\}

	printf "dbname='%s'" "${name//\'/\\\'}"
}

# The files that pgBackRest reads for us, the passphrase in one of them.
pgbackrest_files()
{
	local main=${PGBACKREST_CONFIG:-/etc/pgbackrest/pgbackrest.conf}

	if [ -z "${PGBACKREST_CONFIG:-}" ] && [ ! -e "$main" ]; then
		main=/etc/pgbackrest.conf
	fi
	find "$main" "${PGBACKREST_CONFIG_INCLUDE_PATH:-/etc/pgbackrest/conf.d}" -maxdepth 1 -name '*.conf' 2>/dev/null || true
}

# check_passphrase
#	Whoever reads the passphrase reads the backups: a file that has it is for
#	its owner alone.
check_passphrase()
{
	local file mode

	while read -r file; do
		grep -qs '^[[:blank:]]*repo[0-9]*-cipher-pass[[:blank:]]*=' "$file" || continue
		mode=$(stat -L -c %a "$file")
		if [ $((0$mode & 077)) -ne 0 ]; then
			fail "$EXIT_REFUSED" "$file has the passphrase of the backups and has mode $mode: chmod 600 it"
		fi
	done < <(pgbackrest_files)
}

# check_repository
#	Only an encrypted repository that can be read.  pgBackRest's own message for
#	a wrong passphrase speaks of a format error, and "info" does not fail.
check_repository()
{
	local info

	need_command pgbackrest
	[ -n "${PGBACKREST_STANZA:-}" ] || wrong_call "set PGBACKREST_STANZA to the stanza of the cluster"
	check_passphrase
	info=$(pgbackrest info) || die "pgBackRest cannot read its configuration or its repository"
	if grep -q '^ *cipher: none' <<<"$info"; then
		fail "$EXIT_REFUSED" "the repository is not encrypted: set repo1-cipher-type before stanza-create"
	fi
	if grep -q 'FormatError\|CryptoError' <<<"$info"; then
		die "the repository cannot be decrypted: the passphrase is wrong, or backup.info is damaged"
	fi
	if grep -q 'missing stanza path' <<<"$info"; then
		die "the repository has no stanza $PGBACKREST_STANZA: run pgbackrest stanza-create"
	fi
	if grep -q '^ *status: error' <<<"$info" && ! grep -q 'no valid backups' <<<"$info"; then
		die "the repository is not in order: $(grep -A 2 '^ *status: error' <<<"$info" | tr -s ' \n' ' ')"
	fi
}

# wal_gaps DATA-DIRECTORY
#	Print the segments that are neither in the archive nor in pg_wal, between the
#	beginning of the backup restored into DATA-DIRECTORY and the end of them.
#
# At a hole recovery to the end of the archive takes the hole for that end: it
# opens the database without an error, and all that came later is lost.
# "pgbackrest verify" does not report holes either.
wal_gaps()
{
	local data=$1 major bindir segment_size start archive

	major=$(cat "$data/PG_VERSION")
	bindir=$(server_bindir "$major")
	segment_size=$("$bindir/pg_controldata" "$data" | sed -n 's/^Bytes per WAL segment: *//p')
	start=$(sed -n 's/^START WAL LOCATION: .*(file \([0-9A-F]\{24\}\))/\1/p' "$data/backup_label")
	if [ -z "$segment_size" ] || [ -z "$start" ]; then
		die "$data does not look like a restored backup"
	fi
	archive=$(pgbackrest repo-ls "archive/$PGBACKREST_STANZA" | grep -E "^$major-[0-9]+$" | sort -t - -k 2n | tail -n 1)
	[ -n "$archive" ] || die "the repository has no archive of PostgreSQL $major"
	{
		pgbackrest repo-ls --recurse "archive/$PGBACKREST_STANZA/$archive" |
			sed -n 's/.*\/\([0-9A-F]\{24\}\)-[0-9a-f]\{40\}.*/\1/p'
		find "$data/pg_wal" -maxdepth 1 -type f -regextype posix-extended -regex '.*/[0-9A-F]{24}' -printf '%f\n'
	} | sort -u |
		awk -v start="$start" -v per_log=$((4294967296 / segment_size)) '
			function hex(s,   i, n) {
				for (i = 1; i <= length(s); i++)
					n = n * 16 + index("0123456789ABCDEF", substr(s, i, 1)) - 1
				return n
			}
			function number(name) { return hex(substr(name, 9, 8)) * per_log + hex(substr(name, 17, 8)) }
			function report(timeline, n) { printf "%s%08X%08X\n", timeline, int(n / per_log), n % per_log }
			BEGIN {
				timeline = substr(start, 1, 8)
				expected = number(start)
			}
			$0 < start { next }
			{
				if (substr($0, 1, 8) != timeline) {
					# begins in the last segment of its parent or earlier, or right behind it
					timeline = substr($0, 1, 8)
					if (number($0) < expected)
						expected = number($0)
				}
				for (; expected < number($0); expected++)
					report(timeline, expected)
				expected = number($0) + 1
				seen++
			}
			END { if (seen == 0) print start }'
}
