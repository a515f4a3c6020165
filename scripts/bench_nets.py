#!/usr/bin/env python3
"""Whole nets with random weights: forward milliseconds (median) by `moka time`, one and two threads, interleaved.

The nets are read from ../shared/nets where that is present; without it the project's own LeNet is timed.
"""
import json
import os
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
SHARED = os.environ.get("MOKA_SHARED", os.path.join(ROOT, "..", "shared"))
NETS = [("lenet", 1), ("lenet", 64), ("squeezenet", 1), ("mobilenet1", 1), ("mobilenet2", 1), ("googlenet", 1), ("caffenet", 1),
        ("resnet50", 1), ("vgg16", 1)]


def time_net(moka, path, batch, threads):
    out = subprocess.run([moka, "time", "--model", path, "--batch", str(batch), "--threads", str(threads), "--iterations", "7",
                          "--phase", "test", "--forward-only", "--format", "json"], capture_output=True, text=True)
    if out.returncode:
        return None
    return json.loads(out.stdout)


def main():
    moka = sys.argv[1]
    nets = [(name, os.path.join(SHARED, "nets", name + ".prototxt"), batch) for name, batch in NETS]
    nets = [n for n in nets if os.path.exists(n[1])] or [("lenet", os.path.join(ROOT, "examples/fashion/lenet_deploy.prototxt"), 64)]
    print(f"\n{'forward, ms':20} {'batch':>5} {'1 thread':>10} {'2 threads':>10} {'ratio':>7} {'GFLOP/s (1)':>12} {'peak MB':>8}")
    for name, path, batch in nets:
        one, two = time_net(moka, path, batch, 1), time_net(moka, path, batch, 2)
        if not one or not two:
            print(f"{name:20} {batch:5} failed")
            continue
        macs = sum(layer["macs"] or 0 for layer in one["layers"])
        print(f"{name:20} {batch:5} {one['forward_ms']:10.2f} {two['forward_ms']:10.2f} {one['forward_ms'] / two['forward_ms']:7.2f} "
              f"{2e-6 * macs / one['forward_ms']:12.1f} {two['peak_rss_bytes'] / 1e6:8.0f}")


if __name__ == "__main__":
    main()
