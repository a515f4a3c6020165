#!/bin/sh
# Writes what is generated under docs/: docs.sh [MOKA]. With --check it writes nothing and says whether it is as it would be written.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
check=
if [ "${1:-}" = --check ]; then
	check=1
	shift
fi
moka=${1:-${MOKA:-$root/build/moka}}
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
unset MOKA_PLUGIN_PATH
"$moka" layers --format markdown >"$tmp"
if [ -z "$check" ]; then
	cat "$tmp" >"$root/docs/layers.md"
elif ! diff -u "$root/docs/layers.md" "$tmp" | head -40 >&2 || ! cmp -s "$root/docs/layers.md" "$tmp"; then
	echo "docs/layers.md is not what the tables say: run scripts/docs.sh" >&2
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
else
	echo "1 passed, 0 failed, 0 skipped"
fi
