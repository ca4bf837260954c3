#!/bin/sh
#
# bundle-migrations.sh DIR
#	Print the migrations of DIR as rows of fx.migration, in order.
#
# A migration is VERSION_up.sql with VERSION_down.sql, and VERSION_attach.sql
# where something of it refers to functions of the extension.

set -eu

dir=$1
quote='$fx_migration$'

body()
{
	if grep -qF "$quote" "$1"; then
		echo "bundle-migrations: $1 contains $quote" >&2
		exit 1
	fi
	printf '%s\n' "$quote"
	cat "$1"
	printf '%s' "$quote"
}

for up in "$dir"/*_up.sql; do
	[ -f "$up" ] || continue
	base=${up%_up.sql}
	version=${base##*/}
	case $version in
		*[!a-z0-9_]*)
			echo "bundle-migrations: name of $up is not a version" >&2
			exit 1 ;;
	esac
	if [ ! -f "${base}_down.sql" ]; then
		echo "bundle-migrations: $up has no way back" >&2
		exit 1
	fi
	printf "\nINSERT INTO migration (version, up, down, attach) VALUES ('%s', " "$version"
	body "$up"
	printf ', '
	body "${base}_down.sql"
	printf ', '
	if [ -f "${base}_attach.sql" ]; then
		body "${base}_attach.sql"
	else
		printf "''"
	fi
	printf ');\n'
done
