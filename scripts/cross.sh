#!/bin/sh
# What a 64-bit ARM would run, on a machine that is none: the kernels and what they stand on (src/base, src/kernels) with their tests,
# built by Debian's cross compiler with the warnings of meson.build as errors, run under qemu-aarch64. The rest of the house needs
# libraries that a cross compiler has no copies of, and has no code of its own for any machine. usage: cross.sh [BUILD]
set -eu
cd "$(dirname "$0")/.."
build=${1:-build-cross}
cc=aarch64-linux-gnu-gcc
run=qemu-aarch64
if [ "$(uname -m)" = aarch64 ]; then
	echo "skipped: no need, this is a 64-bit ARM: every test runs its kernels"
	echo "0 passed, 0 failed, 1 skipped"
	exit 0
fi
for tool in $cc $run; do
	command -v "$tool" >/dev/null || {
		echo "skipped: no $tool (scripts/deps.sh installs it)"
		echo "0 passed, 0 failed, 1 skipped"
		exit 0
	}
done

# cmocka's header alone: beside it lie those of this machine's C library
mkdir -p "$build/include"
header=$(pkg-config --variable=includedir cmocka)
cp "${header:-/usr/include}/cmocka.h" "$build/include/"

cat >"$build/cc.sh" <<-END
	#!/bin/sh
	# one source to its object, where it has changed: nothing is known of headers, so all are built anew when one has
	out="$build/\$(echo "\${1%.c}" | tr / _).o"
	[ -f "\$out" ] && [ -z "\$(find "\$1" src include tests scripts/cross.sh -name '*.[hs]*' -newer "\$out" -print -quit)" ] &&
		[ ! "\$1" -nt "\$out" ] && exit 0
	case \$1 in
	*_neon.c) own="-fno-schedule-insns -fira-region=one" ;; # as in src/kernels/meson.build
	tests/*) own=-O1 ;; # Debian's cross compiler breaks down over one of them at -O3
	esac
	exec $cc -std=gnu17 -O3 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \\
		-Wno-missing-field-initializers -fno-math-errno -fno-trapping-math -ffp-contract=off \\
		-D_GNU_SOURCE -Iinclude -Isrc -Itests -I"$build/include" \${own:-} -c "\$1" -o "\$out"
END
# shellcheck disable=SC2010
library=$(ls src/base/*.c src/kernels/*.c | grep -v _avx)
tests=$(ls tests/kernels/test_*.c tests/base/test_threads.c)
# shellcheck disable=SC2086
printf '%s\n' $library $tests tests/t.c tests/cmocka_few.c | xargs -P "$(nproc)" -n 1 sh "$build/cc.sh"

objects=
for f in $library tests/t.c tests/cmocka_few.c; do
	objects="$objects $build/$(echo "${f%.c}" | tr / _).o"
done
names=
for f in $tests; do
	name=$(echo "${f%.c}" | tr / _)
	# shellcheck disable=SC2086
	$cc -static "$build/$name.o" $objects -o "$build/$name" -lm -lpthread
	names="$names $name"
done
# shellcheck disable=SC2086
printf '%s\n' $names | xargs -P "$(nproc)" -I NAME sh -c "$run $build/NAME >$build/NAME.log 2>&1 || true"

passed=0 failed=0 skipped=0
for name in $names; do
	last=$(tail -n 1 "$build/$name.log")
	case $last in
	*" passed, "*" skipped")
		[ "${last#* passed, 0 failed}" != "$last" ] || cat "$build/$name.log"
		# shellcheck disable=SC2046
		set -- $(echo "$last" | tr -dc '0-9 ')
		passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
		;;
	*)
		cat "$build/$name.log"
		failed=$((failed + 1))
		;;
	esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
