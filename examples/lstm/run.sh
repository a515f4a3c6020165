#!/bin/sh
# Makes noisy waves, trains the LSTM to look ahead along them, and draws its curve, in demo/lstm.
. "$(dirname "$0")/../prepare.sh"
[ -f train.h5 ] || {
	python3 "$example/waves.py" train 200 1
	python3 "$example/waves.py" test 20 2
	for set in train test; do
		"$moka" data hdf5 data=${set}_data.npy cont=${set}_cont.npy target=${set}_target.npy -o $set.h5 --list $set.txt
	done
}
"$moka" train --solver "$example/solver.prototxt" --log run.jsonl --keep-last 1
"$moka" test --model "$example/train_test.prototxt" --weights waves_iter_5000.caffemodel --iterations 20
"$moka" plot run.jsonl -o curves.svg
