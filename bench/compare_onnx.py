#!/usr/bin/env python3
"""Exported models beside ONNX Runtime: is what `moka convert -o model.onnx` writes the same net?

    compare_onnx.py BUILD [FOLDER|NET.prototxt...]

Each folder holds net.prototxt, weights.caffemodel and in_<input>.npy; a net alone gets random ones. Without any, the folders of
../shared/models are taken. Prints the largest
difference, as a part of the largest value of the same output. A DetectionOutput at the end, which has no ONNX nodes, is cut off: what it
reads is compared. Exit status 1 where something differs by more than 1e-4.
"""
import array
import ast
import glob
import json
import os
import re
import struct
import subprocess
import sys
import tempfile

import bench
import onnx_file


def read_npy(path):
    with open(path, "rb") as f:
        data = f.read()
    long = data[6] > 1
    n = struct.unpack("<I" if long else "<H", data[8:12 if long else 10])[0]
    start = (12 if long else 10) + n
    head = ast.literal_eval(data[start - n:start].decode())
    assert head["descr"] == "<f4" and not head["fortran_order"]
    values = array.array("f")
    values.frombytes(data[start:])
    return list(head["shape"]), values


def sizes(path, outputs):
    found = onnx_file.Model(path).output_sizes
    return [found[o] for o in outputs]


def differences(a, b, counts):
    if sum(counts) != len(a) or len(a) != len(b):
        return float("inf")
    worst = at = 0
    for n in counts:
        worst = max(worst, bench.difference(a[at:at + n], b[at:at + n]))
        at += n
    return worst


def without_detection(text):
    return re.sub(r'(?ms)^layer \{\n  name: "[^"]*"\n  type: "DetectionOutput".*?^\}\n', "", text)


class Model:
    """As bench.Job, from a folder."""

    def __init__(self, moka, folder, at):
        self.net, self.onnx, self.x = at + ".prototxt", at + ".onnx", at + ".f32"
        self.weights = os.path.join(folder, "weights.caffemodel")
        bench.Job.call(moka, "convert", os.path.join(folder, "net.prototxt"), "-o", self.net)
        with open(self.net, encoding="utf-8") as f:
            text = f.read()
        with open(self.net, "w", encoding="utf-8") as f:
            f.write(without_detection(text))
        path = glob.glob(os.path.join(folder, "in_*.npy"))[0]
        shape, values = read_npy(path)
        with open(self.x, "wb") as f:
            values.tofile(f)
        self.input, self.shape = os.path.basename(path)[3:-4], "x".join(str(d) for d in shape)
        given = ["--input", f"{self.input}={self.shape}"]
        bench.Job.call(moka, "convert", self.net, self.weights, *given, "-o", self.onnx)
        facts = json.loads(subprocess.check_output([moka, "explain", self.net, *given, "--format", "json"]))
        self.outputs = facts["outputs"]
        with open(self.net, "w", encoding="utf-8") as f:  # peer_moka sets the batch alone: the other sizes into the text
            f.write(without_detection(text))
        bench.Job.call(moka, "convert", self.net, *given, "-o", self.net + ".sized.prototxt")
        self.net += ".sized.prototxt"


def main():
    build, folders = sys.argv[1], sys.argv[2:] or sorted(glob.glob(os.path.join(bench.SHARED, "models", "*")))
    peers = bench.Peers(build, False)
    worst = compared = 0
    if not peers.ort:
        sys.exit("ONNX Runtime isn't here: MOKA_ORT_LIB=libonnxruntime.so.1")
    with tempfile.TemporaryDirectory() as work:
        for i, folder in enumerate(folders):
            moka = os.path.join(build, "moka")
            if os.path.isfile(folder):
                m = bench.Job(moka, folder, work, 2)
            elif os.path.exists(os.path.join(folder, "net.prototxt")):
                m = Model(moka, folder, os.path.join(work, str(i)))
            else:
                continue
            both = [peers.open(name, m, 1, False) for name in ("Moka", "ONNX Runtime")]
            a, b = [p.output(os.path.join(work, "y")) for p in both]
            for p in both:
                p.close()
            d = differences(a, b, sizes(m.onnx, m.outputs))
            worst, compared = max(worst, d), compared + 1
            print(f"{os.path.basename(os.path.normpath(folder)):24} {m.shape:>16} {len(a):8} values  {d:.1e}")
    print(f"{compared} models, largest difference {worst:.1e}")
    sys.exit(0 if compared and worst <= 1e-4 else 1)


if __name__ == "__main__":
    main()
