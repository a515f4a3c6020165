#!/bin/sh
# The shared library shows the functions of include/moka/moka.h and nothing else. usage: exports.sh LIBRARY
set -u
header=$(dirname "$0")/../../include/moka/moka.h
declared=$(sed -n 's/^[a-z].*[ *]\(moka_[a-z_]*\)(.*/\1/p' "$header" | sort -u)
shown=$(nm -D --defined-only "$1" | awk '$2 != "A" && $3 !~ /^(__asan|__odr_asan|_init|_fini)/ { print $3 }' | sort -u)
if [ -n "$declared" ] && [ "$declared" = "$shown" ]; then
	echo "1 passed, 0 failed, 0 skipped"
else
	echo "declared:" $declared
	echo "shown:   " $shown
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
fi
