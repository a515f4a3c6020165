#!/usr/bin/env python3
"""The ONNX files that moka convert writes, read back by a reader of their own: nodes, names, attributes and constants against
tests/golden/onnx/*.txt, and the parameters' bytes against what went in. With MOKA_ORT_LIB (ONNX Runtime's shared library) bench/compare_onnx.py
also runs them. MOKA_GOLDEN_UPDATE=1 writes the golden files anew.
"""
import os
import subprocess
import sys
import tempfile

ROOT = os.environ["MOKA_SOURCE_ROOT"]
MOKA = os.environ["MOKA"]
GOLDEN = os.path.join(ROOT, "tests", "golden", "onnx")
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "bench"))
import onnx_file  # noqa: E402
import random_weights  # noqa: E402

passed = failed = 0


def check(what, good, said=""):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {what}{': ' if said else ''}{said}")


def number(v):
    return f"{v:.6g}" if isinstance(v, float) else str(v)


def describe(m):
    """One line a node; constants of at most eight values are spelled out."""
    lines = ["inputs " + " ".join(m.inputs), "outputs " + " ".join(m.outputs)]
    for n in m.nodes:
        attributes = ", ".join(f"{k}={number(v)}" for k, v in n.attributes.items())
        lines.append(f"{n.op}({', '.join(n.inputs)}) -> {', '.join(n.outputs)}" + (f"  {attributes}" if attributes else ""))
    for t in m.tensors.values():
        shown = " = " + " ".join(number(v) for v in t.values) if len(t.values) <= 8 and t.values.typecode == "q" else ""
        lines.append(f"{t.name} {t.values.typecode}{t.dims}{shown}")
    return "\n".join(lines) + "\n"


def whole(m):
    """What ONNX asks of a graph: every value made once, before it is read; every constant of its stated size."""
    known = set(m.inputs) | set(m.tensors)
    if len(known) != len(m.inputs) + len(m.tensors):
        return "a name is given twice"
    for t in m.tensors.values():
        count = 1
        for d in t.dims:
            count *= d
        if count != len(t.values):
            return f"{t.name} has {len(t.values)} values for {t.dims}"
    for n in m.nodes:
        for name in n.inputs:
            if name not in known:
                return f"{name} is read before it is made"
        for name in n.outputs:
            if name in known:
                return f"{name} is made twice"
            known.add(name)
    return "" if set(m.outputs) <= known else "an output is never made"


def test_net(name, folder):
    net, weights, out = (os.path.join(p, name + e) for p, e in ((GOLDEN, ".prototxt"), (folder, ".caffemodel"), (folder, ".onnx")))
    random_weights.write(MOKA, net, weights)
    done = subprocess.run([MOKA, "convert", net, weights, "-o", out], capture_output=True, text=True)
    check(f"{name} converts", done.returncode == 0, done.stderr)
    if done.returncode:
        return
    m = onnx_file.Model(out)
    check(f"{name} is whole", not whole(m), whole(m))
    path = os.path.join(GOLDEN, name + ".txt")
    if os.environ.get("MOKA_GOLDEN_UPDATE"):
        with open(path, "w", encoding="utf-8") as f:
            f.write(describe(m))
    with open(path, encoding="utf-8") as f:
        want = f.read().splitlines()
    got = describe(m).splitlines()
    differ = [f"{g!r}, not {w!r}" for g, w in zip(got, want) if g != w] + (["another number of lines"] if len(got) != len(want) else [])
    check(f"{name} as in its golden file", not differ, "; ".join(differ[:3]))
    with open(weights, "rb") as f:
        stored = f.read()
    parameters = [t for t in m.tensors.values() if len(t.values) > 8 and stored.find(t.values.tobytes()) >= 0]
    check(f"{name}: parameters pass through unchanged", len(parameters) >= {"names": 1, "layers": 5}.get(name, 0), str(len(parameters)))


def test_large_weights(folder):
    """Weights of a size that a net which only infers leaves in its file: they must be in what is written."""
    net, weights, out = (os.path.join(folder, "large" + e) for e in (".prototxt", ".caffemodel", ".onnx"))
    with open(net, "w", encoding="utf-8") as f:
        f.write('layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 64 dim: 5 dim: 5 } } }\n'
                'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 96 kernel_size: 3 } }\n'
                'layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 70 } }\n')
    random_weights.write(MOKA, net, weights)
    subprocess.run([MOKA, "convert", net, weights, "-o", out], check=True, capture_output=True)
    with open(weights, "rb") as f:
        stored = f.read()
    found = [t for t in onnx_file.Model(out).tensors.values() if len(t.values) > 16384 and stored.find(t.values.tobytes()) >= 0]
    check("large weights pass through unchanged", len(found) == 2, str(len(found)))


def test_refused(folder):
    """What ONNX has no nodes for is named, with its line, and nothing is written."""
    net, out = os.path.join(folder, "no.prototxt"), os.path.join(folder, "no.onnx")
    with open(net, "w", encoding="utf-8") as f:
        f.write('layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }\n'
                'layer { name: "p" type: "Pooling" bottom: "data" top: "p" top: "where" pooling_param { kernel_size: 2 } }\n'
                'layer { name: "q" type: "Pooling" bottom: "data" top: "q"\n'
                '  pooling_param { pool: STOCHASTIC kernel_size: 2 } }\n'
                'layer { name: "s" type: "SPP" bottom: "data" top: "s" spp_param { pyramid_height: 2 } }\n')
    done = subprocess.run([MOKA, "convert", net, "-o", out], capture_output=True, text=True)
    check("refused", done.returncode == 1 and not os.path.exists(out), str(done.returncode))
    for line in ("no.prototxt:2:", "no.prototxt:4:19: error: layer 'q' (Pooling): STOCHASTIC", "no.prototxt:5:", "3 errors"):
        check(f"refused: says '{line}'", line in done.stderr, done.stderr)


def main():
    with tempfile.TemporaryDirectory() as folder:
        for name in ("layers", "pooling", "names"):
            test_net(name, folder)
        test_large_weights(folder)
        test_refused(folder)
    ort = os.environ.get("MOKA_ORT_LIB")
    build = os.path.dirname(MOKA)
    if ort and os.path.exists(os.path.join(build, "bench", "peer_ort")):
        nets = [os.path.join(GOLDEN, n + ".prototxt") for n in ("layers", "pooling", "names")]
        done = subprocess.run([sys.executable, os.path.join(ROOT, "bench", "compare_onnx.py"), build] + nets, capture_output=True, text=True)
        check("ONNX Runtime computes the same", done.returncode == 0, done.stdout + done.stderr)
    print(f"{passed} passed, {failed} failed, {0 if ort else 1} skipped")
    sys.exit(1 if failed else 0)


main()
