#!/bin/sh
# The forms that an option may take, and what wrong ones are answered.
. "$(dirname "$0")/t.sh"

cat >"$tmp/net.prototxt" <<'END'
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "relu" type: "ReLU" bottom: "data" top: "out" }
END
net=$tmp/net.prototxt

run explain "$net" --format json
expect "--name VALUE" 0
cp "$tmp/out" "$tmp/want"
for form in "--format=json" "-format json" "-format=json"; do
	# shellcheck disable=SC2086
	run explain "$net" $form
	same "$form" "$tmp/want" "$tmp/out"
	# shellcheck disable=SC2086
	run explain $form "$net"
	same "$form before the model" "$tmp/want" "$tmp/out"
done
run explain --format text --format=json -- "$net"
same "the last one counts, and --" "$tmp/want" "$tmp/out"
run explain "$net" --format JSON
same "choices in any case" "$tmp/want" "$tmp/out"
run explain "$net" -o "$tmp/net.json"
expect "-o with an ending" 0
same "-o with an ending" "$tmp/want" "$tmp/net.json"
run explain "$net" -o="$tmp/net2.json"
same "-o=FILE" "$tmp/want" "$tmp/net2.json"

for form in "--input data=1x3x8x8" "--input=data=1x3x8x8" "-input data=1,3,8,8"; do
	# shellcheck disable=SC2086
	run explain "$net" --format json $form
	expect "$form" 0
	out "$form" "[1,3,8,8]"
done
run explain "$net" --batch 7 --format json
out "--batch" "[7,3,4,4]"

wrong() { # NAME TEXT WORDS...
	name=$1 text=$2
	shift 2
	run "$@"
	expect "$name" 2
	err "$name" "$text"
	err "$name" "--help'"
}
wrong "unknown option" "did you mean '--format'?" explain "$net" --fromat json
wrong "unknown option, one dash" "unknown option '-wieghts'; did you mean '--weights'?" explain "$net" -wieghts x
wrong "far from any option" "unknown option '--zzzzzzzz'" explain "$net" --zzzzzzzz
wrong "value missing at the end" "needs a value" explain "$net" --format
wrong "value missing before an option" "is the next option" explain "$net" --format --phase test
wrong "value outside the choices" "should be 'text', 'json'" explain "$net" --format yaml
wrong "phase" "should be 'train' or 'test'" explain "$net" --phase tset
wrong "not a number" "is not a whole number" explain "$net" --batch many
wrong "number with a tail" "is not a whole number" explain "$net" --batch 3x
wrong "too small" "is outside 1 to" explain "$net" --batch 0
wrong "beyond 64 bits" "is not a whole number that fits 64 bits" explain "$net" --batch 99999999999999999999
wrong "no shape" "is not a shape" explain "$net" --input data=1x3xlarge
wrong "a shape's tail" "is not a shape" explain "$net" --input data=1x3x
wrong "negative dimension" "is not a shape" explain "$net" --input data=1x-3
wrong "33 dimensions" "more than 32 dimensions" explain "$net" --input \
	data=1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1x1
wrong "no pair" "should be BLOB=SHAPE" explain "$net" --input 1x3x8x8
wrong "no model" "what should it work on?" explain
wrong "a word too many" "'two' is one word too many" explain "$net" two
wrong "a switch with a value" "is a switch" explain "$net" --strict=perhaps
wrong "required option" "'--output OUT' is missing" convert "$net"
wrong "ending says nothing" "the ending of" convert "$net" -o "$tmp/x.xyz"
wrong "not an input" "only the net's inputs can be given" run "$net" -i "out=$net"
wrong "no such input" "its inputs are 'data'" run "$net" -i "dat=x.npy"
wrong "-g without --backward" "add --backward" run "$net" -g out=x.npy
wrong "mean" "is no list of numbers" run "$net" -i data=x.png --mean 1,2,,3
wrong "threads" "is outside" time "$net" --threads 0
for form in --strict --strict=true --strict=1 --nostrict --no-strict --strict=false; do
	run explain "$net" $form
	expect "switch $form" 0
done
run run "$net"
expect "an input without values" 1
err "an input without values" "'data' (2x3x4x4) has no values"
err "an input without values" "-i BLOB=FILE"

# What caffe's scripts pass on.
run time -model "$net" -iterations 2 -gpu 0 --logtostderr=1 -phase TEST
expect "caffe's flags" 0
err "caffe's flags" "-gpu 0: Moka computes on the processor"
cat >"$tmp/fused.prototxt" <<'END'
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 8 kernel_size: 3 pad: 1 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "prob" type: "Softmax" bottom: "conv" top: "prob" }
END
run explain "$tmp/fused.prototxt" --plan
expect "explain --plan" 0
out "explain --plan: one step" "conv + bn + relu"
out "explain --plan: memory and its bound" "Memory of blobs: "
run explain "$tmp/fused.prototxt" --plan --format json
expect "explain --plan --format json" 0
out "explain --plan --format json" '"layers": ["conv", "bn", "relu"]'
out "explain --plan --format json: memory" '"least_bytes": '
run explain "$tmp/fused.prototxt" --plan --format json --input data=0x3x8x8
out "no plan" '"plan": null'
wrong "a plan as a picture" "a plan is text or json" explain "$tmp/fused.prototxt" --plan --format dot
run time "$tmp/fused.prototxt" --forward-only --iterations 2
out "time by steps" "conv + bn + relu"
run time "$tmp/fused.prototxt" --forward-only --iterations 2 --plan off
out "time by layers" "BatchNorm"
run time "$tmp/fused.prototxt" --forward-only --iterations 2 --format json
out "time's steps as JSON" '"steps": ['
run time --model="$net" --iterations=2 --forward-only --format json
expect "time --format json" 0
out "time --format json" '"backward_ms": null'
out "time --format json" '"batch": 2'
ln -s "$MOKA" "$tmp/caffe"
"$tmp/caffe" time -model "$net" -iterations=1 >"$tmp/out" 2>"$tmp/err"
status=$?
expect "caffe time" 0
"$tmp/caffe" -model "$net" -iterations=1 time >"$tmp/out" 2>"$tmp/err"
status=$?
expect "flags before caffe's command" 0

# Colours: never into a file.
run check "$root/tests/golden/findings/unknown-type.prototxt"
no_out "no colours in a file" "$(printf '\033')"
run explain "$net"
no_out "no colours in a file" "$(printf '\033')"
LC_ALL=C "$MOKA" explain "$net" >"$tmp/out" 2>"$tmp/err"
if LC_ALL=C grep -q '[^ -~[:space:]]' "$tmp/out"; then bad "ascii locale" "bytes over 127"; else good; fi
finish
