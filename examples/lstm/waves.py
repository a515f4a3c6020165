#!/usr/bin/env python3
"""Noisy waves for the LSTM: waves.py PREFIX BATCHES SEED writes PREFIX_{data,cont,target}.npy. Plain Python.

A batch is 50 steps of 20 waves, step by step (row = step * 20 + wave), as LSTM wants its sequences. Each wave is the sum of two
sines of unknown frequency, phase and size, seen through noise; the target is the clean value three steps ahead.
cont is 0 where a wave begins."""
import math
import random
import struct
import sys

STEPS, WAVES, AHEAD, NOISE = 50, 20, 3, 0.1


def write(path, shape, values):
    head = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    head += b" " * (63 - (10 + len(head)) % 64) + b"\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + struct.pack("<%df" % len(values), *values))


def main():
    prefix, batches = sys.argv[1], int(sys.argv[2])
    random.seed(int(sys.argv[3]))
    data, cont, target = [], [], []
    for _ in range(batches):
        waves = [[(random.uniform(0.2, 0.5) * k, random.uniform(0, 2 * math.pi), random.uniform(0.3, 0.7)) for k in (1, 2)]
                 for _ in range(WAVES)]
        for t in range(STEPS):
            for wave in waves:
                data.append(sum(a * math.sin(f * t + p) for f, p, a in wave) + random.gauss(0, NOISE))
                target.append(sum(a * math.sin(f * (t + AHEAD) + p) for f, p, a in wave))
                cont.append(float(t > 0))
    rows = len(data)
    write(prefix + "_data.npy", (rows, 1), data)
    write(prefix + "_target.npy", (rows, 1), target)
    write(prefix + "_cont.npy", (rows,), cont)


main()
