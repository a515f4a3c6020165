#!/bin/sh
# `make demo`: from two questions about a prototxt to a trained net, on real pictures.
# usage: demo.sh MOKA     Everything it makes goes to demo/ (not kept under version control).
set -eu
moka=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
root=$(cd "$(dirname "$0")/.." && pwd)
examples=$root/examples
pictures=/usr/share/datasets/fashion-mnist
mkdir -p "$root/demo"
cd "$root/demo"

say() {
	printf '\n== %s\n\n' "$*"
}

say "1. What is this net? (moka explain examples/seed.prototxt)"
"$moka" explain "$examples/seed.prototxt" --input data_a=1x3x8x8 --input data_b=1x3x8x8

say "2. Fashion-MNIST into Caffe's own form (moka data mnist)"
for set in train test; do
	case $set in train) stem=train ;; test) stem=t10k ;; esac
	rm -rf "fashion_${set}_lmdb"
	"$moka" data mnist "$pictures/$stem-images-idx3-ubyte.gz" "$pictures/$stem-labels-idx1-ubyte.gz" -o "fashion_${set}_lmdb"
done

say "3. Train LeNet (moka train --solver lenet_solver.prototxt)"
"$moka" train --solver "$examples/fashion/lenet_solver.prototxt" --log run.jsonl

say "4. Test it on the 10,000 test pictures (moka test)"
"$moka" test --model "$examples/fashion/lenet_train_test.prototxt" --weights fashion_lenet_iter_5000.caffemodel --iterations 100

say "5. Ten pictures it has not seen (moka data pictures, moka classify)"
rm -rf pictures
"$moka" data pictures fashion_test_lmdb -o pictures --count 10 >/dev/null
"$moka" classify "$examples/fashion/lenet_deploy.prototxt" -w fashion_lenet_iter_5000.caffemodel \
	--scale 0.00390625 --labels "$examples/fashion/labels.txt" --top 3 --show pictures/*.png

say "What to try next"
cat <<'END'
  build/moka explain examples/fashion/lenet_solver.prototxt      the net you just trained, and its schedule
  build/moka check YOUR.prototxt -w YOUR.caffemodel              everything that is wrong with a model, at once
  build/moka run YOUR.prototxt -w YOUR.caffemodel -i data=cat.jpg
  build/moka explain YOUR.prototxt --format html -o net.html     a page to keep
  build/moka help
END
