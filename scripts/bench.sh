#!/bin/sh
# `make bench`: kernels beside their reference and the machine's peak, then whole nets. usage: bench.sh MOKA
set -eu
moka=$1
build=$(dirname "$moka")
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE || true
ninja -C "$build" bench/bench_kernels >/dev/null
"$build/bench/bench_kernels"
python3 "$(dirname "$0")/bench_nets.py" "$moka"
python3 "$(dirname "$0")/../bench/reading.py" "$moka"
