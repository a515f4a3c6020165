#!/bin/sh
# Trains the autoencoder on Fashion-MNIST and draws ten test pictures above what comes back of them, in demo/autoencoder.
. "$(dirname "$0")/../prepare.sh"
fashion fashion_train_lmdb train
fashion fashion_test_lmdb t10k
"$moka" train --solver "$example/solver.prototxt" --log run.jsonl --keep-last 1
"$moka" test --model "$example/train_test.prototxt" --weights autoencoder_iter_12000.caffemodel --iterations 100
"$moka" features "$example/train_test.prototxt" -w autoencoder_iter_12000.caffemodel --blobs pixels,picture --iterations 1 -o pictures
python3 "$example/before_after.py" pictures/pixels.npy pictures/picture.npy >before_after.svg
echo "demo/autoencoder/before_after.svg"
