#!/bin/sh
# `make test`: every check of the project, then one line.
#
#   1. gcc and clang, warnings as errors (build/ is made by `make`; this adds build-clang/)
#   2. every test program, shell test and fuzz replay under AddressSanitizer + UndefinedBehaviorSanitizer (build-asan/)
#   3. conformance against BVLC Caffe's numbers and the published models, where ../shared is present
#   4. what threads share, under ThreadSanitizer (build-tsan/)
#   5. the kernels as a 64-bit ARM runs them, under qemu, where it and the cross compiler are there
#   6. the include-direction and format checks
set -u
cd "$(dirname "$0")/.."
export MOKA_SOURCE_ROOT="$PWD"
log=$(mktemp -d)
trap 'rm -rf "$log"' EXIT
failed_steps=0

step() { # NAME COMMAND...: prints the name; on failure the output's end
	name=$1
	shift
	printf '%-46s' "$name"
	start=$(date +%s)
	if "$@" >"$log/$(echo "$name" | tr -c 'a-z0-9\n' '_')" 2>&1; then
		printf 'ok   %3d s\n' $(($(date +%s) - start))
		grep '^skipped: no' "$log/$(echo "$name" | tr -c 'a-z0-9\n' '_')"
	else
		printf 'FAILED\n'
		tail -n 60 "$log/$(echo "$name" | tr -c 'a-z0-9\n' '_')"
		failed_steps=$((failed_steps + 1))
	fi
}

configure() { # DIR OPTIONS...
	dir=$1
	shift
	[ -f "$dir/build.ninja" ] || meson setup "$dir" "$@"
}

# Sanitized test programs live beside a real build; see meson.build for the double-precision ones.
step "gcc, warnings are errors" sh -c '[ -f build-gcc/build.ninja ] || CC=gcc meson setup build-gcc --buildtype=release --werror; ninja -C build-gcc'
if command -v clang >/dev/null; then
	step "clang, warnings are errors" sh -c '[ -f build-clang/build.ninja ] || CC=clang meson setup build-clang --werror; ninja -C build-clang'
fi
step "configure with sanitizers" configure build-asan -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1
step "build with sanitizers" ninja -C build-asan
threaded='base/test_threads kernels/test_gemm kernels/test_pair kernels/test_blocked data/test_ahead net/test_run net/test_fused_run'
step "configure with ThreadSanitizer" configure build-tsan -Db_sanitize=thread -Db_lundef=false -Doptimization=1
step "build with ThreadSanitizer" sh -c "ninja -C build-tsan $(echo "$threaded" | sed 's|\([a-z]*\)/\([a-z_]*\)|tests/\1_\2|g')"
export MOKA_PLAIN="$PWD/build-gcc/moka" # for the one test that starts the program 2,600 times
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TSAN_OPTIONS=halt_on_error=1
step "every test, sanitized" meson test -C build-asan --no-rebuild --print-errorlogs
step "thread sanitizer" sh scripts/threads.sh build-tsan $threaded
step "conformance" sh scripts/conformance.sh build-gcc/moka build-asan/moka
step "kernels on 64-bit arm" sh scripts/cross.sh build-cross
step "includes point down the house" python3 scripts/check_includes.py
step "format" sh scripts/check_format.sh

python3 scripts/sum_tests.py build-asan/meson-logs/testlog.json "$log" "$failed_steps"
