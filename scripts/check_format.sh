#!/bin/sh
# Every C file is as clang-format 14 writes it. --fix rewrites.
set -eu
cd "$(dirname "$0")/.."
command -v clang-format >/dev/null || { echo "clang-format is not installed"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
files=$(find src include tests examples bench -name '*.[ch]' | sort)
if [ "${1:-}" = --fix ]; then
	# shellcheck disable=SC2086
	clang-format -i $files
	exit 0
fi
bad=0
for f in $files; do
	clang-format --dry-run -Werror "$f" 2>/dev/null || { echo "$f: not as clang-format writes it (make format)"; bad=$((bad + 1)); }
done
n=$(echo "$files" | wc -l)
echo "$((n - bad)) passed, $bad failed, 0 skipped"
[ "$bad" = 0 ]
