#!/usr/bin/env python3
"""Holds the includes to the house: a room may include itself and the rooms below it, never those above.

A layer file may include layer.h, files of its own folder, kernels/ and base/ (and proto/ through layer.h), nothing else.
"""
import os
import re
import sys

FLOORS = ["base", "proto", "model", "kernels", "layers", "net", "data", "solvers", "explain", "export", "api", "cli"]
# Who may see whom, beyond itself: the rooms below. kernels stand on base alone; layers do not know model.
BELOW = {
    "base": [],
    "proto": ["base"],
    "model": ["proto", "base"],
    "kernels": ["base"],
    "layers": ["kernels", "proto", "base"],
    "net": ["layers", "kernels", "model", "proto", "base"],
    "data": ["net", "layers", "kernels", "model", "proto", "base"],
    "solvers": ["data", "net", "layers", "kernels", "model", "proto", "base"],
    "explain": ["net", "layers", "model", "proto", "base"],
    "export": ["net", "layers", "model", "proto", "base"],
    "api": [f for f in FLOORS if f not in ("api", "cli")],
    "cli": [f for f in FLOORS if f != "cli"],
}


def main():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src")
    bad = checked = 0
    for folder, _, files in os.walk(root):
        for name in sorted(files):
            if not name.endswith((".c", ".h")):
                continue
            path = os.path.join(folder, name)
            floor = os.path.relpath(path, root).split(os.sep)[0]
            checked += 1
            for number, line in enumerate(open(path, encoding="utf-8"), 1):
                m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
                if not m:
                    continue
                target = m.group(1)
                room = target.split("/")[0] if "/" in target else floor
                if floor not in BELOW or room not in [floor] + BELOW[floor]:
                    print(f"src/{os.path.relpath(path, root)}:{number}: {floor}/ must not include {target}")
                    bad += 1
    if not checked:
        sys.exit("no sources found")
    print(f"{checked} files follow the house" if not bad else f"{bad} includes point up the house")
    print(f"{1 if not bad else 0} passed, {1 if bad else 0} failed, 0 skipped")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
