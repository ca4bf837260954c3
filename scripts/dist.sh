#!/usr/bin/env bash
#
# dist.sh
#	Make fxplatform-VERSION.zip, the archive for PGXN, of what is committed.
#
# What is not committed would be missing in it, and nobody would notice: a tree
# with changes is refused.  .gitattributes says what is left out.

# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$top"
command -v git >/dev/null || die "the archive is made from git, which is not installed"
[ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$top" ] || die "the archive is made from git, and this is no checkout"
changes=$(git status --porcelain)
[ -z "$changes" ] || die "commit these first, or set them aside:
$changes"

version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" fxplatform.control)
name=fxplatform-$version
git archive --format=zip --prefix="$name/" -o "$name.zip" HEAD

say "$name.zip"
printf '%-10s %s\n' commit "$(git rev-parse HEAD)" \
	files "$(git archive HEAD | tar -tf - | grep -vc '/$')" \
	bytes "$(wc -c <"$name.zip")" \
	sha256 "$(sha256sum "$name.zip" | cut -d' ' -f1)"
