"""A .caffemodel of random weights for a net, such that its activations stay of ordinary size from end to end.

The fillers of a deploy net are no use for that: they are often missing, and BatchNorm's statistics would be zero. The last layer
with weights is scaled so that a softmax behind it gets scores that differ by a few units: one that is certain of a class would hide what
engines compute differently.
"""
import array
import json
import math
import random
import os
import statistics
import subprocess
import tempfile

SCORES = 2.0  # their standard deviation
TABLE = 65521  # a prime, so that the rows of a matrix begin at different places


def varint(v):
    out = bytearray()
    while v > 127:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)
    return bytes(out)


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def values(role, shape, count, gauss, rng):
    """Weights as He et al.; statistics as of a trained net: deviations around 1, means around 0."""
    if role == "divisor":
        return array.array("f", [1.0])
    if role in ("variance", "scale"):
        return array.array("f", [0.5 + 0.5 * rng.random() for _ in range(count)])
    std = math.sqrt(2 / max(count // max(shape[0], 1), 1)) if role == "weight" and shape else 0.1
    table = array.array("f", [g * std for g in gauss])
    out = table * (count // TABLE)
    out.extend(table[:count % TABLE])
    return out


def write_file(layers, path, factor):
    """factor: of the weights of the last layer that has some."""
    rng = random.Random(1)
    gauss = [rng.gauss(0, 1) for _ in range(TABLE)]
    last = max((i for i, layer in enumerate(layers) if layer["params"]), default=-1)
    with open(path, "wb") as f:
        f.write(field(1, b"random"))  # so that the file isn't empty where nothing has parameters
        for i, layer in enumerate(layers):
            if not layer["params"]:
                continue
            body = field(1, layer["name"].encode()) + field(2, layer["type"].encode())
            for p in layer["params"]:
                data = values(p["role"], p["shape"], p["count"], gauss, rng)
                if i == last and factor != 1:
                    data = array.array("f", [v * factor for v in data])
                shape = field(7, field(1, b"".join(varint(d) for d in p["shape"])))
                body += field(7, shape + field(5, data.tobytes()))
            f.write(field(100, body))


def scores(moka, net, path, blob, facts):
    """What the softmax gets for one random input: their standard deviation."""
    given = facts["inputs"][0]
    count = math.prod(given["shape"])
    rng = random.Random(2)
    with tempfile.TemporaryDirectory() as folder:
        x = os.path.join(folder, "x.npy")
        head = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s,), }" % ", ".join(map(str, given["shape"]))
        head += " " * ((-11 - len(head)) % 64) + "\n"
        with open(x, "wb") as f:
            f.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode())
            array.array("f", [rng.gauss(0, 1) for _ in range(count)]).tofile(f)
        subprocess.run([moka, "run", net, "-w", path, "-i", f"{given['blob']}={x}", "--blobs", blob, "-o", folder], check=True,
                       capture_output=True)
        with open(os.path.join(folder, blob.replace("/", "_") + ".npy"), "rb") as f:
            data = f.read()
    y = array.array("f")
    y.frombytes(data[10 + int.from_bytes(data[8:10], "little"):])
    return statistics.pstdev(y)


def write(moka, net, path):
    facts = json.loads(subprocess.check_output([moka, "explain", net, "--format", "json"]))
    layers = facts["layers"]
    write_file(layers, path, 1)
    if layers and layers[-1]["type"] == "Softmax" and len(facts["inputs"]) == 1:
        spread = scores(moka, net, path, layers[-1]["bottoms"][0], facts)
        if spread > 0:
            write_file(layers, path, SCORES / spread)
