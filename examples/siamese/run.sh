#!/bin/sh
# Trains the siamese net on pairs of Fashion-MNIST and draws where it puts the 10,000 test pictures, in demo/siamese.
. "$(dirname "$0")/../prepare.sh"
fashion pairs_train_lmdb train --pairs 120000
fashion pairs_test_lmdb t10k --pairs 10000
fashion fashion_test_lmdb t10k
"$moka" train --solver "$example/solver.prototxt" --log run.jsonl --keep-last 1
"$moka" features "$example/embed.prototxt" -w siamese_iter_10000.caffemodel --blobs feat,label -o embedding
python3 "$example/embedding.py" embedding/feat.npy embedding/label.npy "$example/../fashion/labels.txt" >embedding.svg
echo "demo/siamese/embedding.svg"
