#!/bin/sh
# Trains LeNet on five classes, fine-tunes it for five others with 250 pictures, and trains it from nothing with the same 250; in demo/finetune.
. "$(dirname "$0")/../prepare.sh"
fashion clothes_train_lmdb train --classes 0,1,2,3,4
fashion clothes_test_lmdb t10k --classes 0,1,2,3,4
fashion others_train_lmdb train --classes 5,6,7,8,9 --count 250
fashion others_test_lmdb t10k --classes 5,6,7,8,9
"$moka" train --solver "$example/first_solver.prototxt"
echo "== fine-tuned"
"$moka" train --solver "$example/second_solver.prototxt" --weights first_iter_2345.caffemodel --log fine_tuned.jsonl
echo "== from nothing"
"$moka" train --solver "$example/second_solver.prototxt" --log from_nothing.jsonl
"$moka" plot fine_tuned.jsonl from_nothing.jsonl -o curves.svg
