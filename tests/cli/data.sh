#!/bin/sh
# Databases of both kinds made, looked at and stopped half-way; data layers; features; the names of Caffe's tools.
. "$(dirname "$0")/t.sh"
cd "$tmp" || exit 1

# Twelve pictures of 6x8, grey: idx files as MNIST's. Picture i is i * 20 + column.
be32() { printf '%b' "\\0$(printf %o $(($1 >> 24 & 255)))\\0$(printf %o $(($1 >> 16 & 255)))\\0$(printf %o $(($1 >> 8 & 255)))\\0$(printf %o $(($1 & 255)))"; }
byte() { printf '%b' "\\0$(printf %o "$1")"; }
n=12
{
	be32 2051; be32 $n; be32 6; be32 8
	i=0
	while [ $i -lt $n ]; do
		row=
		for x in 0 1 2 3 4 5 6 7; do row="$row\\0$(printf %o $((i * 20 + x)))"; done
		printf '%b' "$row$row$row$row$row$row"
		i=$((i + 1))
	done
} >images
{
	be32 2049; be32 $n
	i=0
	while [ $i -lt $n ]; do byte $((i % 3)); i=$((i + 1)); done
} >labels

for kind in lmdb leveldb; do
	run data mnist images labels -o mnist_$kind --backend $kind
	expect "mnist, $kind" 0
	out "mnist, $kind" "mnist_$kind: 12 pictures"
	run data mnist images labels -o mnist_$kind --backend $kind
	expect "mnist, $kind: not over another" 1
	err "mnist, $kind: not over another" "it exists already"
	run data mean mnist_$kind -o mean_$kind.binaryproto --backend $kind
	expect "mean, $kind" 0
	out "mean, $kind" "12 pictures of 1x6x8"
	out "mean, $kind" "mean_value: 113.5"
	run data pictures mnist_$kind -o pictures_$kind --count 20 --skip 2 --backend $kind
	expect "pictures, $kind" 0
	file "pictures, $kind" pictures_$kind/00000002-label2.png
	file "pictures, $kind" pictures_$kind/00000011-label2.png
	run data pictures mnist_$kind -o none --skip 12 --backend $kind
	err "pictures behind the last, $kind" "12 records"
done
same "both kinds have the same mean" mean_lmdb.binaryproto mean_leveldb.binaryproto
same "both kinds have the same pictures" pictures_lmdb/00000005-label2.png pictures_leveldb/00000005-label2.png
run data mean mnist_lmdb --backend leveldb
expect "an LMDB is no LevelDB" 1
err "an LMDB is no LevelDB" "this is an LMDB"
run data mean mnist_leveldb
expect "a LevelDB is no LMDB" 1
err "a LevelDB is no LMDB" "backend: LEVELDB"
run data mean images --backend leveldb
expect "a file is no LevelDB" 1
run data mean mnist_lmdb --backend oracle
expect "no such kind" 2

# A part of a set, and pairs for a siamese net. Labels of the twelve pictures: 0 1 2 0 1 2 ...
run data mnist images labels -o chosen_lmdb --classes 2,0 --count 5
expect "chosen classes" 0
out "chosen classes" "chosen_lmdb: 5 pictures"
run data pictures chosen_lmdb -o chosen --count 9
file "class 0 is label 1 now" chosen/00000000-label1.png
file "class 2 is label 0 now" chosen/00000001-label0.png
same "the second chosen picture is number 2" chosen/00000001-label0.png pictures_lmdb/00000002-label2.png
run data mnist images labels -o none --classes 7
expect "a class that isn't there" 1
err "a class that isn't there" "none of its pictures is of the chosen classes"
run data mnist images labels -o none --classes 1,1
expect "a class twice" 2
run data mnist images labels -o none --classes 1,x
expect "no class" 2
for seed in 1 1 2; do
	rm -rf pairs_lmdb
	run data mnist images labels -o pairs_lmdb --pairs 300 --seed $seed
	expect "pairs" 0
	out "pairs" "pairs_lmdb: 300 pairs"
	[ -f pairs_$seed ] && mv pairs_$seed pairs_again
	cp pairs_lmdb/data.mdb pairs_$seed
done
same "one seed, one set of pairs" pairs_1 pairs_again
if cmp -s pairs_1 pairs_2; then bad "another seed, another set" "they are the same"; else good; fi
cat >pairs.prototxt <<'END'
layer {
  name: "pairs" type: "Data" top: "pair" top: "sim"
  data_param { source: "pairs_lmdb" batch_size: 300 backend: LMDB }
}
layer { name: "slice" type: "Slice" bottom: "pair" top: "a" top: "b" slice_param { axis: 1 slice_point: 1 } }
END
run run pairs.prototxt --blobs a,b,sim -o pairs
expect "pairs taken apart" 0
# Picture i is i * 20 + column, of class i % 3: whether label and pictures agree.
python3 - <<'END' >verdict
import ast, struct
def npy(path):
    data = open(path, "rb").read()
    n, = struct.unpack("<H", data[8:10])
    shape = ast.literal_eval(data[10:10 + n].decode())["shape"]
    return shape, struct.unpack("<%df" % ((len(data) - 10 - n) // 4), data[10 + n:])
(sa, a), (sb, b), (_, sim) = npy("pairs/a.npy"), npy("pairs/b.npy"), npy("pairs/sim.npy")
assert sa == sb == (300, 1, 6, 8), (sa, sb)
first = [[int(v[i * 48]) // 20 for i in range(300)] for v in (a, b)]
assert all((x % 3 == y % 3) == bool(s) for x, y, s in zip(*first, sim))
assert len(set(zip(*first))) > 100 and 60 < sum(sim) < 140
print("good")
END
if grep -q good verdict; then good; else bad "labels of pairs say whether both are of one class" "they don't"; fi

# Arrays for HDF5Data.
run data hdf5 data=pairs/a.npy sim=pairs/sim.npy -o arrays.h5 --list arrays.txt
expect "hdf5" 0
out "hdf5" "arrays.h5: 300 samples of 2 arrays"
cat >arrays.prototxt <<'END'
layer { name: "arrays" type: "HDF5Data" top: "data" top: "sim" hdf5_data_param { source: "arrays.txt" batch_size: 300 } }
END
run run arrays.prototxt --blobs data,sim -o arrays
expect "hdf5 is read" 0
same "hdf5: what went in comes out" arrays/data.npy pairs/a.npy
run data hdf5 data=pairs/a.npy sim -o none.h5
expect "hdf5: no array" 2
err "hdf5: no array" "TOP=FILE.npy is wanted"
run data hdf5 data=pairs/a.npy data=pairs/b.npy -o none.h5
err "hdf5: twice" "'data' is given twice"
run data hdf5 data=images -o none.h5
expect "hdf5: no .npy" 1

# Lists of pictures, stopped by one that doesn't fit, gone on with when it does.
run data pictures mnist_lmdb -o p --count 12
i=0
for f in p/*.png; do
	echo "$(basename "$f") $i"
	i=$((i + 1))
done >list
cp "$root/tests/cli/picture.png" p/wrong.png
sed '8s/.*/wrong.png 7/' list >wrong_list
for kind in lmdb leveldb; do
	run data images p/ list whole_$kind --backend $kind --gray
	expect "images, $kind" 0
	out "images, $kind" "whole_$kind: 12 pictures"
	rm -f p/wrong.png
	cp "$root/tests/cli/picture.png" p/wrong.png
	run data images p/ wrong_list -o part_$kind --backend $kind --gray --check_size
	expect "another size, $kind" 1
	err "another size, $kind" "but the first picture is 1x6x8 (--check_size)"
	err "another size, $kind" "7 of 12 pictures are in part_$kind.part"
	run data images p/ wrong_list -o part_$kind --backend $kind --gray --check_size
	expect "left over, $kind" 1
	err "left over, $kind" "left by a conversion that was stopped"
	err "left over, $kind" "say --resume"
	run data images p/ wrong_list -o part_$kind --backend $kind --check_size --resume
	expect "other options, $kind" 1
	err "other options, $kind" "begun with another list or other options"
	run data images p/ wrong_list -o part_$kind --backend $kind --gray --check_size --resume
	expect "still of another size, $kind" 1
	cp p/00000007-label1.png p/wrong.png
	run data images p/ wrong_list -o part_$kind --backend $kind --gray --check_size --resume
	expect "gone on with, $kind" 0
	out "gone on with, $kind" "5 pictures more"
	if [ -e part_$kind.part ] || [ -e part_$kind.resume ]; then bad "gone on with, $kind" "something is left over"; else good; fi
	run data pictures part_$kind -o got_$kind --count 20 --backend $kind
	run data pictures whole_$kind -o want_$kind --count 20 --backend $kind
	for f in want_$kind/*; do same "gone on with, $kind" "$f" "got_$kind/$(basename "$f")"; done
done
echo "nowhere.png 1" >>list
run data images p/ list -o left_out --resize_height 4 --resize_width 5 --encoded --encode_type jpg
expect "a picture that isn't there" 0
err "a picture that isn't there" "left out"
out "a picture that isn't there" "12 pictures, 1 left out"

# Data layers: the two kinds and the list itself give the same.
net() { # TYPE PARAMS
	echo "layer { name: 'd' type: '$1' top: 'data' top: 'label' $2 transform_param { scale: 0.5 mirror: true crop_size: 5 } }
	layer { name: 's' type: 'Reduction' bottom: 'data' top: 'sum' reduction_param { axis: 1 } }
	layer { name: 'r' type: 'Reshape' bottom: 'label' top: 'l' reshape_param { shape { dim: 0 dim: 1 } } }
	layer { name: 'ip' type: 'InnerProduct' bottom: 'l' top: 'ip' inner_product_param { num_output: 1 weight_filler { type: 'constant' value: 1 } } }
	layer { name: 'o' type: 'Concat' bottom: 'ip' bottom: 'x' top: 'both' }" | sed "s/bottom: 'x'/bottom: 'sum1'/; s/layer { name: 'o'/layer { name: 's1' type: 'Reshape' bottom: 'sum' top: 'sum1' reshape_param { shape { dim: 0 dim: 1 } } }\n layer { name: 'o'/"
}
net Data "data_param { source: 'whole_lmdb' backend: LMDB batch_size: 5 }" >lmdb.prototxt
net Data "data_param { source: 'whole_leveldb' batch_size: 5 prefetch: 2 }" >leveldb.prototxt
head -12 list >good_list
net ImageData "image_data_param { source: 'good_list' root_folder: 'p/' batch_size: 5 is_color: false }" >list.prototxt
"$MOKA" run lmdb.prototxt -i data=/dev/null >/dev/null 2>&1 # only to see that it does not crash
printf 'name: "w"\nlayer { name: "ip" type: "InnerProduct" }\n' >empty.prototxt
run convert empty.prototxt -o w.caffemodel
for kind in lmdb leveldb list; do
	run features $kind.prototxt -w w.caffemodel --blobs both,data -o features_$kind --iterations 4
	expect "features, $kind" 0
	out "features, $kind" "features_$kind/both.npy: 20 samples of 'both'"
done
same "LevelDB as LMDB" features_lmdb/data.npy features_leveldb/data.npy
same "list as LMDB" features_lmdb/data.npy features_list/data.npy
same "list as LMDB" features_lmdb/both.npy features_list/both.npy
run features lmdb.prototxt -w w.caffemodel --blobs both -o features_all
out "every sample once" "12 samples of 'both'"
run features lmdb.prototxt -w w.caffemodel --blobs both,data --db f1,f2 --backend leveldb --iterations 3
expect "features into LevelDB" 0
out "features into LevelDB" "f2: 15 samples of 'data'"
run data mean f2 --backend leveldb
out "features are read back" "15 pictures of 1x5x5"
run features lmdb.prototxt -w w.caffemodel --blobs boht --db f3
expect "no such blob" 2
err "no such blob" "did you mean 'both'?"
run features lmdb.prototxt -w w.caffemodel --blobs both,data --db f3
expect "one database for two" 2
if [ -e f3 ]; then bad "no such blob" "f3 was made"; else good; fi

# Faults of a list, and how many may be left out.
echo "this is no picture" >p/text.png
sed '3s/.*/text.png 1/; 9s/.*/gone.png 1/' good_list >bad_list
net ImageData "image_data_param { source: 'bad_list' root_folder: 'p/' batch_size: 4 is_color: false }" >bad.prototxt
run test --model bad.prototxt -w w.caffemodel --iterations 6
expect "no picture" 1
err "no picture" "bad_list:3)"
run test --model bad.prototxt -w w.caffemodel --iterations 6 --skip-bad 1
expect "one too many" 1
err "one too many" "bad_list:9)"
run test --model bad.prototxt -w w.caffemodel --iterations 6 --skip-bad 2
expect "left out" 0
err "left out" "layer 'd': 2 damaged records were left out; the first: "
run test --model bad.prototxt -w w.caffemodel --iterations 6 --skip-bad 2 --threads 1
expect "left out, one thread" 0

# HDF5Output: all batches, behind one another.
cat lmdb.prototxt - >h5.prototxt <<'END'
layer { name: 'out' type: 'HDF5Output' bottom: 'data' bottom: 'label' hdf5_output_param { file_name: 'out.h5' } }
END
run test --model h5.prototxt -w w.caffemodel --iterations 3
expect HDF5Output 0
file HDF5Output out.h5
echo out.h5 >h5list
cat >read.prototxt <<'END'
layer { name: 'd' type: 'HDF5Data' top: 'data' top: 'label' hdf5_data_param { source: 'h5list' batch_size: 15 } }
END
run features read.prototxt -w w.caffemodel --blobs data -o features_h5
out "HDF5Output is read back" "15 samples of 'data'"
run features lmdb.prototxt -w w.caffemodel --blobs data -o features_three --iterations 3
same "HDF5Output is read back" features_three/data.npy features_h5/data.npy

# MemoryData: fed, and not.
cat >memory.prototxt <<'END'
layer { name: 'm' type: 'MemoryData' top: 'data' top: 'label' memory_data_param { batch_size: 2 channels: 1 height: 2 width: 3 } }
layer { name: 'ip' type: 'InnerProduct' bottom: 'data' top: 'ip' inner_product_param { num_output: 4 weight_filler { type: 'xavier' } } }
layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'ip' bottom: 'label' top: 'loss' }
END
npy data.npy "(2, 1, 2, 3)" 48
npy label.npy "(2,)" 8
run run memory.prototxt -i data=data.npy -i label=label.npy
expect "MemoryData is fed" 0
out "MemoryData is fed" "loss"
run run memory.prototxt
expect "MemoryData is not fed" 1
err "MemoryData is not fed" "handed over by a program, and nobody does"
err "MemoryData is not fed" "-i data=FILE.npy -i label=FILE.npy"
echo 'net: "memory.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 3' >solver.prototxt
run train --solver solver.prototxt
expect "training without data" 1
err "training without data" "handed over by a program, and nobody does"

# Ten crops.
cat >deploy.prototxt <<'END'
layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 1 dim: 3 dim: 3 dim: 3 } } }
layer { name: 'ip' type: 'InnerProduct' bottom: 'data' top: 'ip' inner_product_param { num_output: 4 weight_filler { type: 'xavier' } } }
layer { name: 'prob' type: 'Softmax' bottom: 'ip' top: 'prob' }
END
run classify deploy.prototxt "$root/tests/cli/picture.png" --oversample --images-dim 4,4 --scale 0.01
expect "ten crops" 0
out "ten crops" "picture.png"
if [ "$(grep -c '^ *[01]\.[0-9]* ' out)" = 4 ]; then good; else bad "ten crops" "four classes wanted"; fi
run classify deploy.prototxt "$root/tests/cli/picture.png" --oversample --images-dim 2,2
expect "crops of less" 2
err "crops of less" "smaller than the net's input"

# The names of Caffe's tools, with their words and flags.
for tool in convert_imageset compute_image_mean extract_features convert_mnist_data convert_cifar_data upgrade_net_proto_text \
	upgrade_net_proto_binary upgrade_solver_proto_text; do
	ln -s "$MOKA" $tool
done
tool() {
	name=$1
	shift
	timeout "${limit:-60}" "./$name" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	status=$?
	if grep -qE 'Sanitizer|runtime error:' "$tmp/err"; then status=99; fi
}
tool convert_imageset -backend=leveldb -gray -resize_height=4 -resize_width 4 -shuffle -logtostderr=1 p/ good_list tool_leveldb
expect convert_imageset 0
tool compute_image_mean -backend leveldb tool_leveldb tool_mean.binaryproto
expect compute_image_mean 0
file compute_image_mean tool_mean.binaryproto
tool convert_mnist_data --backend=lmdb images labels tool_mnist
expect convert_mnist_data 0
tool extract_features w.caffemodel lmdb.prototxt both,data tool_f1,tool_f2 2 lmdb CPU
expect extract_features 0
out extract_features "tool_f2: 10 samples"
tool extract_features w.caffemodel lmdb.prototxt both tool_f3 2 oracle
expect "extract_features: no such kind" 2
tool extract_features w.caffemodel lmdb.prototxt
expect "extract_features: too few words" 2
err "extract_features: too few words" "WEIGHTS NET BLOB"
mkdir cifar made
for i in 1 2 3 4 5; do head -c 6146 /dev/zero >cifar/data_batch_$i.bin; done
head -c 3073 /dev/zero >cifar/test_batch.bin
tool convert_cifar_data cifar made leveldb
expect convert_cifar_data 0
out convert_cifar_data "made/cifar10_train_leveldb: 10 pictures"
out convert_cifar_data "made/cifar10_test_leveldb: 1 pictures"
cat >old.prototxt <<'END'
input: "data" input_dim: 1 input_dim: 1 input_dim: 2 input_dim: 2
layers { name: "r" type: RELU bottom: "data" top: "r" }
END
tool upgrade_net_proto_text old.prototxt new.caffemodel
expect upgrade_net_proto_text 0
if grep -q '"ReLU"' new.caffemodel; then good; else bad upgrade_net_proto_text "text was wanted"; fi
run convert old.prototxt -o old.caffemodel
tool upgrade_net_proto_binary old.caffemodel new.prototxt
expect upgrade_net_proto_binary 0
if grep -q 'type: ' new.prototxt; then bad upgrade_net_proto_binary "a binary was wanted"; else good; fi
echo 'net: "x" solver_type: ADAM' >old_solver
tool upgrade_solver_proto_text old_solver new_solver
expect upgrade_solver_proto_text 0
if grep -q 'type: "Adam"' new_solver; then good; else bad upgrade_solver_proto_text "no Adam"; fi
tool upgrade_net_proto_text old_solver x
expect "a solver is no net" 1
tool upgrade_net_proto_text old.prototxt
expect "no file to write" 2
# Pictures with boxes: VOC's XML and text give the same database; a small SSD net learns from it, the same with every number of readers.
mkdir boxes
i=0
for f in $(sed 's/ .*//' good_list | head -6); do
	cp "p/$f" boxes/$i.png
	if [ $i != 4 ]; then
		cat >boxes/$i.xml <<END
<?xml version="1.0"?><!-- <object> --><annotation><filename>$i.png</filename>
<size><width>8</width><height>6</height><depth>1</depth></size>
<object><name>cat</name><part><name>head</name><bndbox><xmin>0</xmin></bndbox></part><difficult>0</difficult>
 <bndbox><xmin>1</xmin><ymin>2</ymin><xmax>$((4 + i % 2))</xmax><ymax>5</ymax></bndbox></object>
<object><name> dog </name><bndbox><xmin>4</xmin><ymin>0</ymin><xmax>8</xmax><ymax>3</ymax></bndbox></object>
<object><name>cat</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>4</xmax><ymax>3</ymax></bndbox></object></annotation>
END
		printf '1 1 2 %s 5\n2 4 0 8 3\n1 0 0 4 3\n' $((4 + i % 2)) >boxes/$i.txt
	fi
	echo "$i.png $i.xml" >>xml_list
	echo "$i.png $i.txt" >>txt_list
	i=$((i + 1))
done
cat >labelmap.prototxt <<'END'
item { name: "none_of_the_above" label: 0 display_name: "background" }
item { name: "cat" label: 1 } item { name: "dog" label: 2 display_name: "a dog" }
END
ln -s "$MOKA" convert_annoset
tool convert_annoset --anno_type=detection --label_type=xml --label_map_file=labelmap.prototxt --check_label=True --min_dim=0 --max_dim=0 \
	--resize_height=0 --resize_width=0 --backend=lmdb --shuffle=False --check_size=False --encode_type=png --encoded=True boxes/ xml_list voc
expect convert_annoset 0
out convert_annoset "voc: 6 pictures"
run data images boxes/ txt_list -o txt_boxes --anno_type detection --label_type txt --encode_type png
expect "boxes in text" 0
sed -i s/cat/cow/ boxes/2.xml
run data images boxes/ xml_list -o cow --anno_type detection --label_map_file labelmap.prototxt
expect "a name that the map doesn't have" 1
err "a name that the map doesn't have" "boxes/2.xml: an object is 'cow', which the label map doesn't have"
run data images boxes/ xml_list -o none --anno_type detection
expect "no label map" 2
printf '0.png\n' >one_name
run data images boxes/ one_name -o none --anno_type detection --label_type txt
err "a line of one name" "one_name:1: a line is PICTURE BOXES"
for db in voc txt_boxes; do
	cat >$db.prototxt <<END
layer { name: "data" type: "AnnotatedData" top: "data" top: "label" transform_param { force_color: true mean_value: 100 mirror: true scale: 0.01
    resize_param { height: 32 width: 32 interp_mode: LINEAR interp_mode: AREA interp_mode: NEAREST interp_mode: CUBIC interp_mode: LANCZOS4 }
    emit_constraint { emit_type: CENTER } distort_param { brightness_prob: 0.5 brightness_delta: 32 contrast_prob: 0.5 contrast_lower: 0.5
    contrast_upper: 1.5 hue_prob: 0.5 hue_delta: 18 saturation_prob: 0.5 saturation_lower: 0.5 saturation_upper: 1.5 }
    expand_param { prob: 0.5 max_expand_ratio: 4 } }
  data_param { source: "$db" batch_size: 4 backend: LMDB }
  annotated_data_param { batch_sampler { max_sample: 1 max_trials: 1 } batch_sampler { sampler { min_scale: 0.3 max_scale: 1
    min_aspect_ratio: 0.5 max_aspect_ratio: 2 } sample_constraint { min_jaccard_overlap: 0.1 } max_sample: 1 max_trials: 50 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 8 kernel_size: 8 stride: 8 weight_filler { type: "xavier" } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "loc" type: "Convolution" bottom: "c" top: "loc" convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "locp" type: "Permute" bottom: "loc" top: "locp" permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "locf" type: "Flatten" bottom: "locp" top: "locf" }
layer { name: "conf" type: "Convolution" bottom: "c" top: "conf" convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "confp" type: "Permute" bottom: "conf" top: "confp" permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "conff" type: "Flatten" bottom: "confp" top: "conff" }
layer { name: "prior" type: "PriorBox" bottom: "c" bottom: "data" top: "prior" prior_box_param { min_size: 14 variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 } }
layer { name: "loss" type: "MultiBoxLoss" bottom: "locf" bottom: "conff" bottom: "prior" bottom: "label" top: "loss" include { phase: TRAIN }
  multibox_loss_param { num_classes: 3 } }
END
	cat >$db.solver <<END
net: "$db.prototxt" base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 max_iter: 30 random_seed: 5 snapshot_prefix: "ssd_$db" snapshot: 10 display: 0
END
	for readers in 1 2 4; do
		run train --solver $db.solver --log $db.jsonl --read-threads $readers
		expect "SSD on $db, $readers readers" 0
		mv ssd_${db}_iter_30.caffemodel ${db}_$readers
		run train --solver $db.solver --snapshot ssd_${db}_iter_10.solverstate --read-threads $readers
		expect "SSD on $db resumed, $readers readers" 0
		same "SSD on $db resumed, $readers readers" ${db}_$readers ssd_${db}_iter_30.caffemodel
		same "SSD on $db, $readers readers" ${db}_$readers ${db}_1
	done
	grep -q '"loss":0[,}]' $db.jsonl && bad "SSD on $db" "a loss of 0: no boxes arrived" || good
done
for db in voc txt_boxes; do grep -o '"iter":[0-9]*,"loss":[^,]*' $db.jsonl >$db.losses; done
same "XML as text" voc.losses txt_boxes.losses
if [ "$(wc -l <voc.losses)" -ge 20 ]; then good; else bad "XML as text" "few losses in the log"; fi
run explain voc.solver
expect "explain AnnotatedData" 0
finish
