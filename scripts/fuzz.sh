#!/bin/sh
# Coverage-guided fuzzing of one target with libFuzzer (clang). usage: fuzz.sh net|roundtrip|files|image SECONDS
set -eu
cd "$(dirname "$0")/.."
target=$1 seconds=${2:-60}
flags="-fsanitize=address,undefined,fuzzer-no-link"
[ -f build-fuzz/build.ninja ] || CC=clang meson setup build-fuzz -Db_lundef=false "-Dc_args=$flags" "-Dc_link_args=$flags"
ninja -C build-fuzz src/libmoka_house.a
mkdir -p "build-fuzz/corpus-$target"
# shellcheck disable=SC2046
clang -g -D_GNU_SOURCE -fsanitize=address,undefined,fuzzer -Iinclude -Isrc -Itests/fuzz \
	"tests/fuzz/fuzz_$target.c" tests/fuzz/file.c -o "build-fuzz/fuzz_$target" \
	build-fuzz/src/libmoka_house.a $(find build-fuzz/src/kernels -name '*.a') \
	$(pkg-config --cflags --libs hdf5 lmdb libjpeg libpng zlib) -lm -lpthread
exec "build-fuzz/fuzz_$target" "build-fuzz/corpus-$target" "tests/fuzz/corpus/$target" -max_total_time="$seconds" -rss_limit_mb=4096
