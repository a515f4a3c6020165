#!/usr/bin/env python3
"""Two arrays of 28x28 pictures, values 0 to 1, in two rows of an SVG: before_after.py A.npy B.npy > out.svg. Plain Python."""
import struct
import sys

SIDE, HOW_MANY, PIXEL = 28, 10, 3


def npy(path):
    with open(path, "rb") as f:
        head = f.read(10)
        f.read(struct.unpack("<H", head[8:])[0])
        data = f.read()
    return struct.unpack("<%df" % (len(data) // 4), data)


step = (SIDE + 2) * PIXEL
print('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges">' % (step * HOW_MANY, 2 * step))
print('<rect width="100%" height="100%" fill="#888"/>')
for row, path in enumerate(sys.argv[1:3]):
    values = npy(path)
    for i in range(HOW_MANY):
        for p, v in enumerate(values[i * SIDE * SIDE:(i + 1) * SIDE * SIDE]):
            grey = max(0, min(255, round(255 * v)))
            print('<rect x="%d" y="%d" width="%d" height="%d" fill="#%02x%02x%02x"/>' % (
                i * step + (p % SIDE + 1) * PIXEL, row * step + (p // SIDE + 1) * PIXEL, PIXEL, PIXEL, grey, grey, grey))
print("</svg>")
