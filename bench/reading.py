#!/usr/bin/env python3
"""Pictures a second from an LMDB of encoded 256x256 JPEGs, through crop 227, mirror and mean, by 1 and 2 reading threads.

    bench/reading.py MOKA [N]        N pictures (default 400; 50000 for the real thing)

The database is made on the spot: 16 different pictures (smooth shapes and noise, JPEG by Moka itself), each put in again and again. A net of
nothing but a Data layer is run over it by `moka test`.
"""
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib

SIDE, BATCH = 256, 50
MOKA = os.path.abspath(sys.argv[1])
N = int(sys.argv[2]) if len(sys.argv) > 2 else int(os.environ.get("MOKA_BENCH_PICTURES", "400"))


def png(path, seed):
    rng = random.Random(seed)
    waves = [(rng.uniform(1, 9), rng.uniform(1, 9), rng.uniform(0, 99)) for _ in range(3)]
    rows = bytearray()
    for y in range(SIDE):
        rows.append(0)
        for x in range(SIDE):
            for fx, fy, at in waves:
                v = (fx * x + fy * y + at) % 256
                rows.append(min(255, max(0, int(abs(v - 128) * 1.7 + rng.uniform(-12, 12)))))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)))
        f.write(chunk(b"IDAT", zlib.compress(bytes(rows), 1)) + chunk(b"IEND", b""))


def moka(*words):
    return subprocess.run([MOKA, *words], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout.decode()


def main():
    for i in range(16):
        png("p%d.png" % i, i)
    with open("list", "w") as f:
        f.writelines("p%d.png %d\n" % (i % 16, i % 10) for i in range(N))
    moka("data", "images", "./", "list", "-o", "db", "--encoded", "--encode_type", "jpg")
    with open("net.prototxt", "w") as f:
        f.write('layer { name: "data" type: "Data" top: "data" top: "label" transform_param { crop_size: 227 mirror: true '
                'mean_value: 104 mean_value: 117 mean_value: 123 } data_param { source: "db" backend: LMDB batch_size: %d } }\n'
                'layer { name: "quiet" type: "Silence" bottom: "data" }\n' % BATCH)
    moka("convert", "net.prototxt", "-o", "w.caffemodel")
    print("reading: %d JPEGs of %dx%d from LMDB, crop 227, mirror, mean, batch %d" % (N, SIDE, SIDE, BATCH))
    for threads in (1, 2):
        best = 0
        for _ in range(3):
            batches = max(N // BATCH, 4)
            best = max(best, batches * BATCH / seconds(batches, threads))
        print("  %d thread%s %8.0f pictures/s" % (threads, "s" if threads > 1 else " ", best))


def seconds(batches, threads):
    """Wall time of so many batches, less that of starting."""
    def run(n):
        began = time.monotonic()
        moka("test", "--model", "net.prototxt", "--phase", "train", "--weights", "w.caffemodel", "--iterations", str(n),
             "--read-threads", str(threads))
        return time.monotonic() - began

    return max(run(batches + 4) - run(4), 1e-6)


here = tempfile.mkdtemp()
os.chdir(here)
try:
    main()
finally:
    os.chdir("/")
    shutil.rmtree(here, ignore_errors=True)
