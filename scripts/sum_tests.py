#!/usr/bin/env python3
"""Sums the `N passed, N failed[, N skipped]` lines of every test program and of every step's log into the one last line."""
import json
import os
import re
import sys

LINE = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)


def last_counts(text):
    found = LINE.findall(text)
    return [int(x or 0) for x in found[-1]] if found else None


def main():
    testlog, steps, failed_steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
    total = [0, 0, 0]
    if os.path.exists(testlog):
        for line in open(testlog, encoding="utf-8"):
            t = json.loads(line)
            counts = last_counts(t.get("stdout") or "")
            bad = t["result"] not in ("OK", "SKIP")
            if counts is None:
                counts = [0 if bad else 1, 0, 0]
            if bad and not counts[1]:
                counts[1] = 1
            if bad:
                print(f"failed: {t['name']} ({t['result']})")
            total = [a + b for a, b in zip(total, counts)]
    for name in ("conformance", "thread_sanitizer", "kernels_on_64_bit_arm", "includes_point_down_the_house", "format"):
        path = os.path.join(steps, name)
        counts = last_counts(open(path, encoding="utf-8", errors="replace").read()) if os.path.exists(path) else None
        if counts:
            total = [a + b for a, b in zip(total, counts)]
    if failed_steps and not total[1]:
        total[1] = failed_steps
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped")
    sys.exit(1 if total[1] or failed_steps or not total[0] else 0)


if __name__ == "__main__":
    main()
