#!/bin/sh
# Conversions: text, binary, HDF5, npz and back; weights into a model; shapes changed on the way; the old tools' names.
. "$(dirname "$0")/t.sh"
cd "$tmp" || exit 1

cat >net.prototxt <<'END'
name: "two"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "deep/ip1" type: "InnerProduct" bottom: "data" top: "ip1" inner_product_param { num_output: 2 } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param { num_output: 2 bias_term: false } }
END
cat >weights.txt <<'END'
layer { name: "deep/ip1" type: "InnerProduct"
        blobs { shape { dim: 2 dim: 3 } data: [1, 2, 3, 4, 5, 6] } blobs { num: 1 channels: 1 height: 1 width: 2 data: [0.5, -0.25] } }
layer { name: "ip2" type: "InnerProduct" blobs { shape { dim: 2 dim: 2 } double_data: [1, 2, 3, 4] } }
END
npy x.npy "(1, 3)" 12

# Text and binary are one message.
run convert --raw net.prototxt -o net.caffemodel
expect "text to binary" 0
run convert --raw net.caffemodel -o back.prototxt
expect "binary to text" 0
run convert --raw back.prototxt -o again.caffemodel
same "text, binary, text, binary" net.caffemodel again.caffemodel

# Weights: into the model, and out of it in every form; the net gives the same numbers with each.
run convert --raw weights.txt -o w.caffemodel
expect weights 0
run run net.prototxt -w w.caffemodel -i data=x.npy -o want
expect "run with the weights" 0
run convert net.prototxt w.caffemodel -o full.caffemodel
expect "model and weights" 0
for made in full.caffemodel full.h5; do
	if [ $made = full.h5 ]; then
		echo 'what was here before' >full.h5
		run convert net.prototxt w.caffemodel -o full.h5
		expect "to HDF5" 0
	fi
	run run net.prototxt -w $made -i data=x.npy -o got
	expect "run with $made" 0
	no_err "run with $made: all weights" "filler"
	same "run with $made" want/ip2.npy got/ip2.npy
done
run run full.caffemodel -i data=x.npy -o own
expect "a model that carries its weights" 0
same "a model that carries its weights" want/ip2.npy own/ip2.npy
run convert net.prototxt full.h5 -o fromh5.caffemodel
expect "from HDF5" 0
run run fromh5.caffemodel -i data=x.npy -o h5
same "from HDF5" want/ip2.npy h5/ip2.npy
run convert full.h5 -o again.npz
expect "weights alone to npz" 0
run convert full.caffemodel -o full.prototxt
expect "weights are left out of text" 0
err "weights are left out of text" "--raw keeps them"
if grep -q blobs full.prototxt; then bad "weights are left out of text" "blobs in it"; else good; fi

run convert net.prototxt w.caffemodel -o full.npz
expect "to npz" 0
python=
for p in /usr/bin/python3 python3; do
	$p -c 'import numpy' 2>/dev/null && python=$p && break
done
if [ -n "$python" ]; then
	$python - >out 2>err <<'END'
import numpy as np
z = np.load("full.npz")
assert sorted(z.keys()) == ["deep/ip1.0", "deep/ip1.1", "ip2.0"], sorted(z.keys())
assert z["deep/ip1.0"].tolist() == [[1, 2, 3], [4, 5, 6]] and z["deep/ip1.0"].dtype == np.float32
assert z["deep/ip1.1"].shape == (2,) and z["deep/ip1.1"].tolist() == [0.5, -0.25]
assert z["ip2.0"].tolist() == [[1, 2], [3, 4]]
END
	status=$?
	expect "npz as numpy reads it" 0
else
	skip "npz as numpy reads it" "no numpy"
fi
if command -v unzip >/dev/null; then
	unzip -tq full.npz >out 2>err
	status=$?
	expect "npz as unzip reads it" 0
else
	skip "npz as unzip reads it" "no unzip"
fi
if command -v h5dump >/dev/null; then
	h5dump -d /data/deep/ip1/0 full.h5 >out 2>err
	status=$?
	expect "HDF5 as Caffe reads it" 0
	out "HDF5 as Caffe reads it" "H5T_IEEE_F32LE"
	out "HDF5 as Caffe reads it" "( 2, 3 ) / ( 2, 3 )"
else
	skip "HDF5 as Caffe reads it" "no h5dump"
fi

# ONNX (tests/cli/onnx.py reads what is written): the same from a model and its weights as from a model that carries them.
run convert net.prototxt w.caffemodel -o net.onnx
expect ONNX 0
run convert full.caffemodel -o own.onnx
expect "ONNX of a model that carries its weights" 0
same "ONNX of a model that carries its weights" net.onnx own.onnx
run convert net.prototxt nothere.caffemodel -o not.onnx
expect "ONNX without the weights that were named" 1
if [ -e not.onnx ]; then bad "ONNX without the weights that were named" "a file all the same"; else good; fi

# What can't be.
run convert --raw net.prototxt -o x.onnx
expect "--raw to ONNX" 2
run convert net.prototxt w.caffemodel --raw -o x.caffemodel
expect "--raw takes one file" 2
run convert --raw net.prototxt -o x.npz
expect "--raw to npz" 2
cat >other.prototxt <<'END'
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 9 } } }
layer { name: "deep/ip1" type: "InnerProduct" bottom: "data" top: "ip1" inner_product_param { num_output: 2 } }
END
run convert other.prototxt w.caffemodel -o x.caffemodel
expect "weights that don't fit" 1
if [ -e x.caffemodel ]; then bad "weights that don't fit" "a file was written"; else good; fi

# Shapes.
run convert net.prototxt --batch 8 -o batch.prototxt
expect "--batch" 0
run explain batch.prototxt --format json
out "--batch" "[8,3]"
run convert net.prototxt --input data=5x3 -o input.prototxt
run explain input.prototxt --format json
out "--input" "[5,3]"
run convert net.prototxt --input nothing=5x3 -o input.prototxt
expect "--input of nothing" 2

# Old syntax.
cat >v1.prototxt <<'END'
name: "old"
input: "data"
input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 4
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0
         convolution_param { num_output: 2 kernel_size: 3 } }
END
run convert v1.prototxt -o new.prototxt
expect "V1 to current" 0
if grep -q 'type: "Convolution"' new.prototxt && grep -q 'lr_mult: 2' new.prototxt && ! grep -q layers new.prototxt; then
	good
else
	bad "V1 to current" "not upgraded"
fi
run upgrade v1.prototxt
expect "upgrade to standard output" 0
same "upgrade is convert" out new.prototxt
run upgrade v1.prototxt up.prototxt
same "upgrade to a file" up.prototxt new.prototxt
run upgrade new.prototxt
err "nothing to upgrade" "current syntax already"
ln -s "$MOKA" upgrade_net_proto_text
./upgrade_net_proto_text v1.prototxt old_name.prototxt >out 2>err
status=$?
expect upgrade_net_proto_text 0
same upgrade_net_proto_text old_name.prototxt new.prototxt
ln -s "$MOKA" upgrade_net_proto_binary
run convert --raw v1.prototxt -o v1.caffemodel
./upgrade_net_proto_binary v1.caffemodel v1.bin >out 2>err
status=$?
expect upgrade_net_proto_binary 0
run convert --raw new.prototxt -o new.caffemodel
same upgrade_net_proto_binary v1.bin new.caffemodel
cat >solver.prototxt <<'END'
net: "net.prototxt"
base_lr: 0.01
solver_type: ADAM
END
run convert solver.prototxt -o solver_new.prototxt
expect "a solver" 0
if grep -q 'type: "Adam"' solver_new.prototxt; then good; else bad "a solver" "solver_type stays"; fi
finish
