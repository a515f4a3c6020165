#!/bin/sh
# Bad input: any bytes, in any file, on any command, get an answer with exit status 1 or 2: no crash, no hang, no gigabyte.
. "$(dirname "$0")/t.sh"
limit=20
grep -q __asan_init "$MOKA" || cap=2000000
cd "$tmp" || exit 1
golden=$root/tests/golden/findings

answer() { # NAME WORDS...: exit status 1 or 2, something said, little memory taken
	name=$1
	shift
	run "$@"
	case $status in
	1 | 2) good ;;
	*) bad "$name" "exit status $status, 1 or 2 wanted" ;;
	esac
	if [ -s out ] || [ -s err ]; then good; else bad "$name" "nothing was said"; fi
}

every_command() { # NAME FILE
	answer "$1: explain" explain "$2"
	answer "$1: check" check "$2"
	answer "$1: run" run "$2"
	answer "$1: time" time "$2" --iterations 1
	answer "$1: convert" convert "$2" -o o.prototxt
	answer "$1: convert --raw" convert --raw "$2" -o o.caffemodel
	answer "$1: npz" convert "$2" -o o.npz
	answer "$1: upgrade" upgrade "$2" o.prototxt
	answer "$1: weights" check net.prototxt -w "$2"
	answer "$1: solver" train --solver "$2"
	answer "$1: state" train --solver solver.prototxt --snapshot "$2"
	answer "$1: values" run net.prototxt -w w.caffemodel -i "data=$2"
	answer "$1: mean" convert "$2" -o o.npy
}

cat >net.prototxt <<'END'
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1" inner_product_param { num_output: 2 } }
END
npy x.npy "(1, 3)" 12
npy big.npy "(1099511627776, 3)" 12
cat >solver.prototxt <<'END'
net_param {
  layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 1 dim: 3 } } }
  layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1" inner_product_param { num_output: 2 } }
}
base_lr: 0.1
lr_policy: "fixed"
max_iter: 1
END
run convert --raw "$golden/donor.pbtxt" -o w.caffemodel
expect "weights to spoil" 0
run check net.prototxt -w w.caffemodel
out "weights to spoil fit" "took weights"

: >empty
printf '\000' >zero
# Bytes of no kind at all, the same ones every time.
awk 'BEGIN { srand(7); for (i = 0; i < 300; i++) printf "\\%03o", int(rand() * 256) }' >octal
# shellcheck disable=SC2059
printf "$(cat octal)" >random
printf '\377\330\377\340 not a picture' >jpeg.jpg
printf '\211PNG\r\n\032\n not a picture' >png.png
printf '\211HDF\r\n\032\n not hdf5' >weights.h5
printf '\223NUMPY\001\000\020\000{}             \n' >array.npy
for f in empty zero random jpeg.jpg png.png weights.h5 array.npy; do
	case $f in
	empty) ;; # an empty net is a net: see below
	*) every_command "$f" "$f" ;;
	esac
done
run explain empty
case $status in 0 | 1) good ;; *) bad "an empty file" "exit status $status" ;; esac
answer "an empty file can't run on data" run empty -i data=x.npy
answer "a folder" explain .
answer "a missing file" explain nowhere/net.prototxt

# Truncated weights: every length.
size=$(wc -c <w.caffemodel)
n=1
while [ "$n" -lt "$size" ]; do
	head -c "$n" w.caffemodel >cut.caffemodel
	run check net.prototxt -w cut.caffemodel
	case $status in 0 | 1) ;; *) bad "weights cut at $n" "exit status $status" ;; esac
	n=$((n + 7))
done
good
head -c $((size - 3)) w.caffemodel >cut.caffemodel
answer "truncated weights" run net.prototxt -w cut.caffemodel -i data=x.npy
run check net.prototxt -w cut.caffemodel
expect "truncated weights" 1
out "truncated weights: says so" "error: cut.caffemodel"

# A shape of 2^40, in each place that holds one; memory is capped, so that asking for it would be seen.
cat >huge.prototxt <<'END'
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1099511627776 dim: 3 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1" inner_product_param { num_output: 2 } }
END
answer "a shape of 2^40" run huge.prototxt -i data=x.npy -i label=x.npy
answer "a shape of 2^40: time" time huge.prototxt --iterations 1
run explain huge.prototxt --format json
case $status in 0 | 1) good ;; *) bad "a shape of 2^40: explain" "exit status $status" ;; esac
answer "a shape of 2^40 on the command line" time net.prototxt --iterations 1 --input data=1099511627776x1048576
cat >over.prototxt <<'END'
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4294967296 dim: 4294967296 dim: 4294967296 } } }
layer { name: "relu" type: "ReLU" bottom: "data" top: "y" }
END
answer "a count over 64 bits" time over.prototxt --iterations 1
cat >wide.prototxt <<'END'
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1048576 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1" inner_product_param { num_output: 1048576 } }
END
answer "four terabytes of weights" time wide.prototxt --iterations 1
answer "a .npy that says 2^40" run net.prototxt -i data=big.npy
printf '%s' "layer { name: 'ip1' type: 'InnerProduct' blobs { shape { dim: 1099511627776 } data: 1 } }" >big.txt
run convert --raw big.txt -o big.caffemodel
answer "weights that say 2^40" run net.prototxt -w big.caffemodel -i data=x.npy

# A circle; ten thousand braces.
run check "$golden/cycle.prototxt"
case $status in 0 | 1) good ;; *) bad "a circle" "exit status $status" ;; esac
answer "a circle can't run" run "$golden/cycle.prototxt"
awk 'BEGIN { for (i = 0; i < 10000; i++) printf "layer {"; for (i = 0; i < 10000; i++) printf "}" }' >braces.prototxt
every_command "ten thousand braces" braces.prototxt
awk 'BEGIN { for (i = 0; i < 10000; i++) printf "qq {"; for (i = 0; i < 10000; i++) printf "}" }' >unknown.prototxt
answer "ten thousand unknown braces" check unknown.prototxt
awk 'BEGIN { for (i = 0; i < 10000; i++) printf "qq <" }' >open.prototxt
answer "ten thousand braces left open" check open.prototxt

# A label of -3.
run run "$golden/label-range.prototxt" -i "x=$golden/scores.npy" -i "label=$golden/labels.npy"
expect "a label of -3" 1
err "a label of -3: which" "-3"

# A full disk: the old file stays whole.
printf 'precious' >kept.caffemodel
if [ -w /dev/full ]; then
	"$MOKA" explain net.prototxt >/dev/full 2>err
	status=$?
	expect "explain on a full disk" 1
	err "explain on a full disk" "No space left"
	"$MOKA" check net.prototxt --format json >/dev/full 2>err
	status=$?
	expect "check on a full disk" 1
	"$MOKA" run net.prototxt -w w.caffemodel -i data=x.npy >/dev/full 2>err
	status=$?
	expect "run on a full disk" 1
else
	skip "a full disk" "no /dev/full"
fi
# A file-size limit stands in for a disk that fills while a file is written.
awk 'BEGIN { print "layer { name: \"ip1\" type: \"InnerProduct\" blobs { shape { dim: 100000 }"
	for (i = 0; i < 100000; i++) print "data: 1"; print "} }" }' >large.txt
run convert --raw large.txt -o large.caffemodel
expect "a file of 400 kB" 0
for out in kept.caffemodel kept.npz kept.h5; do
	printf 'precious' >$out
	(
		ulimit -f 100
		timeout 20 "$MOKA" convert large.caffemodel -o $out >out 2>err
	)
	status=$?
	grep -q Sanitizer err && status=99
	expect "no room for $out" 1
	err "no room for $out: says which" "$out"
	if [ "$(cat $out)" = precious ]; then good; else bad "no room for $out" "the old file is gone"; fi
done
if ls | grep -q tmp-; then bad "no room" "a temporary file is left: $(ls | grep tmp-)"; else good; fi
answer "no such folder" convert net.prototxt -o nowhere/x.caffemodel
answer "a file where the folder should be" run net.prototxt -w w.caffemodel -i data=x.npy -o w.caffemodel
finish
