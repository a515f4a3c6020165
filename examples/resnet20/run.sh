#!/bin/sh
# Trains and tests ResNet-20 on Fashion-MNIST, in demo/resnet20.
. "$(dirname "$0")/../prepare.sh"
fashion fashion_train_lmdb train
fashion fashion_test_lmdb t10k
"$moka" train --solver "$example/solver.prototxt" --log run.jsonl --keep-last 1
"$moka" test --model "$example/train_test.prototxt" --weights resnet20_iter_2345.caffemodel --iterations 100
"$moka" plot run.jsonl -o curves.svg
