#!/bin/sh
# Runs test programs of a build and sums their counts up. usage: threads.sh BUILD FOLDER/TEST...
set -u
build=$1
shift
passed=0 failed=0 skipped=0
for t in "$@"; do
	out=$("$build/tests/$(echo "$t" | tr / _)" 2>&1) || echo "$out"
	last=$(echo "$out" | tail -n 1)
	case $last in
	*" passed, "*)
		passed=$((passed + $(echo "$last" | sed 's/ passed.*//')))
		failed=$((failed + $(echo "$last" | sed 's/.* passed, \([0-9]*\) failed.*/\1/')))
		skipped=$((skipped + $(echo "$last" | sed 's/.* \([0-9]*\) skipped.*/\1/')))
		;;
	*) failed=$((failed + 1)) ;;
	esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
