#!/usr/bin/env python3
"""Points of a plane as an SVG: embedding.py POINTS.npy LABELS.npy NAMES.txt > embedding.svg. Plain Python, no numpy."""
import ast
import struct
import sys

COLOURS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"]
SIZE, MARGIN, LEGEND = 720, 30, 150


def npy(path):
    """The values of a float32 array, and its shape."""
    with open(path, "rb") as f:
        head = f.read(10)
        shape = ast.literal_eval(f.read(struct.unpack("<H", head[8:])[0]).decode())["shape"]
        data = f.read()
    return struct.unpack("<%df" % (len(data) // 4), data), shape


def agreement(points, labels):
    """The share of points whose nearest neighbour among them is of their class."""
    right = 0
    for i, (x, y) in enumerate(points):
        nearest = min((j for j in range(len(points)) if j != i), key=lambda j: (points[j][0] - x) ** 2 + (points[j][1] - y) ** 2)
        right += labels[i] == labels[nearest]
    return right / len(points)


def main():
    values, shape = npy(sys.argv[1])
    labels, _ = npy(sys.argv[2])
    with open(sys.argv[3]) as f:
        names = f.read().split("\n")
    xs, ys = values[0::shape[1]], values[1::shape[1]]
    low, high = (min(xs), min(ys)), (max(xs), max(ys))
    scale = (SIZE - 2 * MARGIN) / max(high[0] - low[0], high[1] - low[1])
    print('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">' % (SIZE + LEGEND, SIZE))
    print('<rect width="100%" height="100%" fill="white"/>')
    for x, y, label in list(zip(xs, ys, labels))[:4000]:
        print('<circle cx="%.1f" cy="%.1f" r="2" fill="%s" fill-opacity="0.6"/>' % (
            MARGIN + (x - low[0]) * scale, SIZE - MARGIN - (y - low[1]) * scale, COLOURS[int(label) % 10]))
    for i, name in enumerate(n for n in names if n):
        print('<circle cx="%d" cy="%d" r="5" fill="%s"/>' % (SIZE + 10, MARGIN + 22 * i, COLOURS[i % 10]))
        print('<text x="%d" y="%d">%s</text>' % (SIZE + 22, MARGIN + 22 * i + 5, name.replace("&", "&amp;").replace("<", "&lt;")))
    print("</svg>")
    some = list(zip(xs, ys))[:1500]
    print("of %d points, %.3f have a nearest neighbour of their own class" % (len(some), agreement(some, labels)), file=sys.stderr)


main()
