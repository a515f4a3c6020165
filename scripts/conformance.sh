#!/bin/sh
# The cases whose numbers come from real Caffe: everything with the fast build, the layers once more with the sanitized one.
# usage: conformance.sh MOKA [MOKA_SANITIZED]
set -u
shared=${MOKA_SHARED:-$(dirname "$0")/../../shared}
if [ ! -x "$shared/conformance/check" ]; then
	echo "skipped: no shared/conformance beside the project"
	echo "0 passed, 0 failed, 1 skipped"
	exit 0
fi
passed=0 failed=0
count() { # runs a check, shows what it says, adds its last line up
	out=$("$@" 2>&1)
	echo "$out"
	last=$(echo "$out" | tail -n 1)
	passed=$((passed + $(echo "$last" | sed -n 's/^\([0-9]*\) passed, .*/\1/p')))
	failed=$((failed + $(echo "$last" | sed -n 's/.* passed, \([0-9]*\) failed.*/\1/p')))
}
count "$shared/conformance/check" "$1" layers solvers
count "$shared/conformance/check" "$1" models --root "$shared"
[ -z "${2:-}" ] || count "$shared/conformance/check" "$2" layers
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
