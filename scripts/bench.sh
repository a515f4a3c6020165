#!/bin/sh
# `make bench`: kernels beside their reference and the machine's peak, then nets, training steps, load time and memory beside the
# engines that the machine has (bench/bench.py says which, and where it looks). usage: bench.sh MOKA [options of bench.py]
# The figures are left in BUILD/bench.json; bench/report.py makes docs/performance.md and its picture of them.
set -eu
moka=$1
shift
build=$(dirname "$moka")
bench=$(dirname "$0")/../bench
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE || true
ninja -C "$build" bench/bench_kernels bench/peer_moka bench/peer_ort bench/peer_ncnn >/dev/null
"$build/bench/bench_kernels"
python3 "$bench/bench.py" "$build" -o "$build/bench.json" "$@"
python3 "$bench/reading.py" "$moka"
