#!/bin/sh
# A layer of one's own: examples/plugin built against the sources' headers, loaded in each of the ways there are, and what is
# said of a shared object that is none.
. "$(dirname "$0")/t.sh"
cd "$tmp" || exit 1
unset MOKA_PLUGIN_PATH
cc=${CC:-cc}
example=$root/examples/plugin
build() { # OUT.so FILE.c [FLAGS]
	so=$1 c=$2
	shift 2
	# shellcheck disable=SC2086
	$cc -shared -fPIC -O2 -Wall -Wextra -Werror -I"$root/include" -I"$root/src" "$@" "$c" -o "$so" >out 2>err
}
if ! command -v $cc >/dev/null; then
	skip "a plugin" "no C compiler"
	finish
fi
if build gelu.so "$example/gelu.c"; then good; else bad "the example builds" "see above"; fi

# A constant's output is known; so is its slope.
for p in /usr/bin/python3 python3; do
	$p -c 'import numpy' 2>/dev/null && python=$p && break
done
run explain "$example/net.prototxt"
expect "without it the type is unknown" 0
out "without it the type is unknown" "no such layer type is known"
run explain "$example/net.prototxt" --plugin gelu.so
expect "explain" 0
no_out "explain" "no such layer type"
out "explain" "approximate scale 0.5"
run check "$example/net.prototxt" --plugin=./gelu.so --strict
expect "check" 0
run layers Gelu --plugin gelu.so
expect "layers" 0
out "layers" "the form with tanh instead of erf"
out "layers" "runs: forward and backward"
run layers --plugin gelu.so
out "layers lists it" "(examples/plugin)"
sed 's/scale: 0.5/scale: -1/' "$example/net.prototxt" >bad.prototxt
run check bad.prototxt --plugin gelu.so
expect "its own finding" 1
out "its own finding" "layer 'tanh_form' (Gelu): scale -1 should be above 0"
sed 's/approximate/aproximate/' "$example/net.prototxt" >bad.prototxt
run check bad.prototxt --plugin gelu.so --strict
expect "a field misspelt" 1
out "a field misspelt" "did you mean 'approximate'?"

if [ -n "${python:-}" ]; then
	$python -c '
import numpy as np
np.save("x.npy", np.array([[-3, -1, -0.5, 0, 1, 2.5]], np.float32))
np.save("g.npy", np.array([[1, 2, 1, 1, -1, 0.5]], np.float32))'
	run run "$example/net.prototxt" --plugin gelu.so -i data=x.npy --backward -g exact=g.npy -g tanh_form=g.npy --blobs all -o out.d
	expect "run --backward" 0
	$python - >out 2>err <<'END'
import math
import numpy as np
x, g = np.load("x.npy").astype(float)[0], np.load("g.npy").astype(float)[0]
def exact(v):
    return v * 0.5 * (1 + math.erf(v / math.sqrt(2)))
def approx(v):
    v = 0.5 * v
    return 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v ** 3)))
def slope(f, v, h=1e-5):
    return (f(v + h) - f(v - h)) / (2 * h)
load = lambda name: np.load("out.d/%s.npy" % name)[0]
assert np.allclose(load("exact"), [exact(v) for v in x], atol=1e-6)
assert np.allclose(load("tanh_form"), [approx(v) for v in x], atol=1e-6)
want = [k * (slope(exact, v) + slope(approx, v)) for k, v in zip(g, x)]
assert np.allclose(load("data.diff"), want, atol=1e-5), (load("data.diff"), want)
END
	status=$?
	expect "its numbers, forward and backward" 0
else
	skip "run --backward" "no numpy"
fi
run time "$example/net.prototxt" --plugin gelu.so --iterations 1
expect "time" 0
run convert "$example/net.prototxt" --plugin gelu.so -o net.caffemodel
expect "convert" 0
run convert net.caffemodel --plugin gelu.so -o back.prototxt
expect "convert back" 0
if grep -q "approximate: true" back.prototxt; then good; else bad "a plugin's fields in a binary" "they are lost"; fi

# MOKA_PLUGIN_PATH: files and folders.
mkdir folder empty
cp gelu.so folder/
export MOKA_PLUGIN_PATH
for MOKA_PLUGIN_PATH in gelu.so folder "empty:folder" "$tmp/folder:" ":gelu.so"; do
	run explain "$example/net.prototxt" --strict
	expect "MOKA_PLUGIN_PATH=$MOKA_PLUGIN_PATH" 0
done
MOKA_PLUGIN_PATH=gelu.so
run explain "$example/net.prototxt" --plugin gelu.so
expect "the same file twice" 0
run explain "$example/net.prototxt" --plugin folder
expect "the same type from two files" 1
err "the same type from two files" "there is a layer type 'Gelu' already"
unset MOKA_PLUGIN_PATH

# What is no plugin.
run explain "$example/net.prototxt" --plugin nowhere.so
expect "not there" 1
err "not there" "nowhere.so"
echo "int x;" >text.so
run explain "$example/net.prototxt" --plugin text.so
expect "not a shared object" 1
err "not a shared object" "the plugin 'text.so' can't be loaded"
err "not a shared object" "hint: build it with: cc -shared"
echo "int moka_nothing = 1;" >none.c
build none.so none.c
run explain "$example/net.prototxt" --plugin none.so
expect "no layer in it" 1
err "no layer in it" "exports no 'moka_plugin_abi'"
err "no layer in it" "MOKA_PLUGIN_LAYER"
sed 's/#include <moka\/layer.h>/&\n#undef MOKA_PLUGIN_ABI\n#define MOKA_PLUGIN_ABI 7777/' "$example/gelu.c" >abi.c
build abi.so abi.c
run explain "$example/net.prototxt" --plugin abi.so
expect "another ABI" 1
err "another ABI" "its ABI number is 7777, this one's is 1"
build double.so "$example/gelu.c" -DMOKA_REAL_DOUBLE
run explain "$example/net.prototxt" --plugin double.so
expect "other sizes" 1
err "other sizes" "its structs have other sizes"
sed 's/"Gelu", "gelu_param"/"ReLU", "gelu_param"/' "$example/gelu.c" >relu.c
build relu.so relu.c
run explain "$example/net.prototxt" --plugin relu.so
expect "one of Moka's names" 1
err "one of Moka's names" "there is a layer type 'ReLU' already: it is one of Moka's own"
sed 's/\.shape = gelu_shape,/.shape = 0 ? gelu_shape : NULL,/' "$example/gelu.c" >shapeless.c
build shapeless.so shapeless.c
run explain "$example/net.prototxt" --plugin shapeless.so
expect "no shape()" 1
err "no shape()" "it has no shape()"
finish
