#!/bin/sh
# The examples: their files are sound, what is generated is as its generator writes it, and a few steps of each run.
. "$(dirname "$0")/t.sh"
examples=$root/examples
pictures=/usr/share/datasets/fashion-mnist
cd "$tmp" || exit 1

for f in "$examples"/*/*solver.prototxt; do
	run check "$f"
	no_err "$f" "error:"
	no_out "$f" "error:"
done

python3 "$examples/resnet20/net.py" >resnet20.prototxt
same "resnet20/train_test.prototxt is what net.py writes" resnet20.prototxt "$examples/resnet20/train_test.prototxt"

# Databases small enough for a test; the nets find them in the working folder.
fashion() {
	database=$1 stem=$2
	shift 2
	run data mnist $pictures/$stem-images-idx3-ubyte.gz $pictures/$stem-labels-idx1-ubyte.gz -o "$database" "$@"
	expect "$database" 0
}

# Without the test before the first step: that goes over whole test sets.
train() { # EXAMPLE SOLVER STEPS [options]
	[ -d "copy_$1" ] || cp -r "$examples/$1" "copy_$1"
	what="$1, $2" solver=copy_$1/quick_$2 steps=$3
	{ cat "copy_$1/$2"; echo "test_initialization: false"; } >"$solver"
	shift 3
	run train --solver "$solver" --max-iter "$steps" "$@"
	expect "$what: $steps steps" 0
	err "$what" "Optimization Done"
}

if [ -d $pictures ]; then
	fashion fashion_train_lmdb train --count 400
	fashion fashion_test_lmdb t10k --count 400
	fashion pairs_train_lmdb train --count 400 --pairs 400
	fashion pairs_test_lmdb t10k --count 400 --pairs 400
	fashion clothes_train_lmdb train --classes 0,1,2,3,4 --count 400
	fashion clothes_test_lmdb t10k --classes 0,1,2,3,4 --count 400
	fashion others_train_lmdb train --classes 5,6,7,8,9 --count 400
	fashion others_test_lmdb t10k --classes 5,6,7,8,9 --count 400
	train fashion lenet_solver.prototxt 2
	train resnet20 solver.prototxt 1
	train autoencoder solver.prototxt 2
	train siamese solver.prototxt 2
	run features "$examples/siamese/embed.prototxt" -w siamese_iter_2.caffemodel --blobs feat,label -o embedding --iterations 1
	expect "siamese: features" 0
	python3 "$examples/siamese/embedding.py" embedding/feat.npy embedding/label.npy "$examples/fashion/labels.txt" >embedding.svg
	if [ "$(grep -c 'r="2"' embedding.svg)" = 100 ]; then good; else bad "embedding.svg" "not a point for each of 100 pictures"; fi
	run features "$examples/autoencoder/train_test.prototxt" -w autoencoder_iter_2.caffemodel --blobs pixels,picture --iterations 1 -o pictures
	expect "autoencoder: features" 0
	python3 "$examples/autoencoder/before_after.py" pictures/pixels.npy pictures/picture.npy >before_after.svg
	if [ "$(grep -c 'width="3"' before_after.svg)" = 15680 ]; then good; else bad "before_after.svg" "not 20 pictures of 784 pixels"; fi
	train finetune first_solver.prototxt 2
	train finetune second_solver.prototxt 2 --weights first_iter_2.caffemodel
	err "finetune: says what was taken" "3 of 4 layers with parameters start from these weights: conv1, conv2, ip1"
else
	skip "examples on Fashion-MNIST" "the package dataset-fashion-mnist isn't here"
fi

for set in train test; do
	python3 "$examples/lstm/waves.py" $set 2 1
	run data hdf5 data=${set}_data.npy cont=${set}_cont.npy target=${set}_target.npy -o $set.h5 --list $set.txt
	expect "waves" 0
done
train lstm solver.prototxt 2
finish
