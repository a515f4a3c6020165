"""A .caffemodel of random weights for a net, such that its activations stay of ordinary size from end to end.

The fillers of a deploy net are no use for that: they are often missing, and BatchNorm's statistics would be zero.
"""
import array
import json
import math
import random
import subprocess

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


def write(moka, net, path):
    layers = json.loads(subprocess.check_output([moka, "explain", net, "--format", "json"]))["layers"]
    rng = random.Random(1)
    gauss = [rng.gauss(0, 1) for _ in range(TABLE)]
    with open(path, "wb") as f:
        f.write(field(1, b"random"))  # so that the file isn't empty where nothing has parameters
        for layer in layers:
            if not layer["params"]:
                continue
            body = field(1, layer["name"].encode()) + field(2, layer["type"].encode())
            for p in layer["params"]:
                data = values(p["role"], p["shape"], p["count"], gauss, rng).tobytes()
                shape = field(7, field(1, b"".join(varint(d) for d in p["shape"])))
                body += field(7, shape + field(5, data))
            f.write(field(100, body))
