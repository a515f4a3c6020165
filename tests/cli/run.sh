#!/bin/sh
# Running, timing, drawing and classifying through the program: files, names and tables.
. "$(dirname "$0")/t.sh"
cd "$tmp" || exit 1

cat >net.prototxt <<'END'
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }
layer { name: "block/ip" type: "InnerProduct" bottom: "data" top: "block/ip"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.5 } } }
layer { name: "relu" type: "ReLU" bottom: "block/ip" top: "block/ip" }
layer { name: "prob" type: "Softmax" bottom: "block/ip" top: "prob" }
END
npy x.npy "(1, 3, 4, 4)" 192
npy x2.npy "(2, 3, 4, 4)" 384
npy x3.npy "(3, 4, 4)" 192
npy g.npy "(1, 5)" 20

run run net.prototxt -i data=x.npy
expect "a table" 0
out "a table" "prob  1x5"
out "a table: top five" "top: 0: 0.2, 1: 0.2"
err "fillers are said" "no weights given"
printf 'ape\nbee\ncat\ndog\nelk\n' >words
run run net.prototxt -i data=x.npy --labels words
out "labels" "0 ape: 0.2, 1 bee: 0.2"
run run net.prototxt -i data=x.npy --labels nowhere
expect "labels that aren't there" 1

run run net.prototxt -i data=x.npy -o made/by/run
expect "a folder below folders" 0
file outputs made/by/run/prob.npy
if [ -e made/by/run/block_ip.npy ]; then bad outputs "only outputs were asked for"; else good; fi
run run net.prototxt -i data=x.npy --blobs all -o all
expect "all blobs" 0
file "all blobs" all/data.npy
file "a name with a slash" all/block_ip.npy
file "all blobs" all/prob.npy
run run net.prototxt -i data=x.npy --blobs data,block/ip -o some
expect "some blobs" 0
file "some blobs" some/block_ip.npy
if [ -e some/prob.npy ]; then bad "some blobs" "prob was not asked for"; else good; fi
same "a blob is the same however it is asked for" all/block_ip.npy some/block_ip.npy
run run net.prototxt -i data=x.npy --blobs prbo
expect "a blob that isn't there" 2
err "a blob that isn't there" "did you mean 'prob'?"

run run net.prototxt -i data=x.npy --backward -g prob=g.npy -o back --blobs all
expect backward 0
file "gradient of a parameter" "back/block_ip.0.diff.npy"
file "gradient of a parameter" "back/block_ip.1.diff.npy"
err "no loss, no force_backward" "as in Caffe no gradient flows"
if [ -e back/data.diff.npy ]; then bad backward "nobody wants the input's gradient"; else good; fi
(echo 'force_backward: true'; cat net.prototxt) >force.prototxt
run run force.prototxt -i data=x.npy --backward -g prob=g.npy -o back --blobs all
expect force_backward 0
file force_backward back/data.diff.npy
file "gradient of a blob" back/prob.diff.npy
no_err "force_backward" "no gradient flows"
run run net.prototxt -i data=x.npy --backward -g prbo=g.npy
expect "gradient for nothing" 2
run run force.prototxt -i data=x.npy --backward -g prob=x.npy
expect "gradient of another shape" 1

run run net.prototxt -i data=x2.npy
expect "another batch" 0
out "another batch" "prob  2x5"
run run net.prototxt -i data=x3.npy
out "leading ones may be left out" "prob  1x5"
run run net.prototxt -i data=g.npy -w /dev/null
expect "weights that are none" 1
run run net.prototxt -i data=x.npy --threads 1 -o one
run run net.prototxt -i data=x.npy --threads 3 -o three
same "threads change nothing" one/prob.npy three/prob.npy

# Pictures, made by the program itself where it can.
picture=$root/tests/cli/picture.png
run run net.prototxt -i "data=$picture" --blobs data -o pic
expect "a picture" 0
run run net.prototxt -i "data=$picture" --mean 1,2,3 --scale 0.5 --blobs data -o pic2
expect "mean and scale" 0
run run net.prototxt -i "data=$picture" -i "data=$picture" --blobs data
out "two pictures are a batch" "data  2x3x4x4"
run run net.prototxt -i "data=$picture" --mean 1,2 --blobs data
expect "a mean of two channels" 2
run run net.prototxt -i data=x.npy -i data=x2.npy
expect "two arrays" 2
run classify net.prototxt "$picture" --labels words --top 2 --show
expect classify 0
out classify "picture.png"
if [ "$(grep -c '^ *[01]\.[0-9]* ' out)" = 2 ]; then good; else bad classify "two classes wanted"; fi
python=
for p in /usr/bin/python3 python3; do
	$p -c 'import numpy' 2>/dev/null && python=$p && break
done
if [ -n "$python" ]; then
	$python - >out 2>err <<'END'
import numpy as np
a, b = np.load("pic/data.npy"), np.load("pic2/data.npy")
# 4x4 pixels, red = 10 x + y, green = 100, blue = 200: channels come as B, G, R
y, x = np.mgrid[0:4, 0:4]
assert a.shape == (1, 3, 4, 4), a.shape
assert (a[0, 0] == 200).all() and (a[0, 1] == 100).all() and (a[0, 2] == 10 * x + y).all(), a
assert (b == (a - np.array([1, 2, 3]).reshape(1, 3, 1, 1)) * 0.5).all()
END
	status=$?
	expect "values of a picture" 0
else
	skip "values of a picture" "no numpy"
fi

# Time.
run time net.prototxt --iterations 3
expect time 0
out time "block/ip"
out time "forward"
run time net.prototxt --iterations 3 --format json --batch 4
out "time as JSON" '"batch": 4'
out "time as JSON" '"peak_rss_bytes": '
if [ -n "$python" ]; then
	$python -c '
import json
t = json.load(open("out"))
assert set(t) == {"forward_ms", "backward_ms", "iterations", "batch", "threads", "layers", "peak_rss_bytes"}, t
assert [set(l) for l in t["layers"]] == [{"name", "type", "forward_ms", "backward_ms", "macs"}] * 4
assert t["layers"][1]["macs"] == 4 * 48 * 5' 2>err
	status=$?
	expect "time as JSON reads" 0
fi

run time net.prototxt --forward-only --iterations 2
out "how long a plan and its weights take" "MB of weights packed for it"
run time net.prototxt --forward-only --iterations 2 --format json
out "the same as JSON" '"ready_ms": '
out "the same as JSON" '"packed_bytes": '

# Pictures of nets.
run draw net.prototxt net.dot
expect "draw to dot" 0
file "draw to dot" net.dot
run explain net.prototxt -o net.html
expect html 0
file html net.html
if command -v dot >/dev/null; then
	for kind in svg png; do
		run draw net.prototxt net.$kind
		expect "draw to $kind" 0
		file "draw to $kind" net.$kind
	done
	run draw net.prototxt
	out "draw to standard output" "<svg"
else
	skip "draw to svg and png" "no Graphviz"
fi
mkdir nothing
old=$PATH
PATH=$tmp/nothing "$MOKA" draw net.prototxt none.svg >out 2>err
status=$?
PATH=$old
expect "without Graphviz" 1
err "without Graphviz" "apt install graphviz"
if [ -e none.svg ]; then bad "without Graphviz" "a file was written"; else good; fi

# The tables of layers.
run layers
expect layers 0
out layers "Convolution"
run layers Pooling
expect "layers Pooling" 0
out "layers Pooling" "pooling_param {"
out "layers Pooling" "MAX|AVE|STOCHASTIC|MIN, default MAX"
run layers POOLING relu_param
expect "layers by other names" 0
out "layers by other names" "ReLU:"
run layers Convolutoin
expect "a type that isn't there" 2
err "a type that isn't there" "did you mean 'Convolution'?"
finish
