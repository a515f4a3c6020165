#!/usr/bin/env python3
"""`moka convert --raw` against protoc: the bytes of --encode and the text of --decode for every published file that BVLC
Caffe's schema accepts (../shared/prototxt/ENCODED.tsv: path, message, size, sha256 of the bytes, sha256 of the text).

usage: encoded.py [MOKA] [PATH-PART ...]      Python standard library only
"""
import concurrent.futures
import hashlib
import os
import subprocess
import sys
import tempfile


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def convert(moka, source, target):
    """-> None, or why not."""
    try:
        p = subprocess.run([moka, "convert", "--raw", source, "-o", target], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=120)
    except subprocess.TimeoutExpired:
        return "no answer in 120 s"
    said = p.stdout.decode(errors="replace")
    if p.returncode or "Sanitizer" in said or "runtime error:" in said:
        return f"exit {p.returncode}: {(said.strip().splitlines() or [''])[0]}"
    return None


def one(moka, root, row):
    path, _, size, encoded, decoded = row
    with tempfile.TemporaryDirectory() as tmp:
        binary, text = os.path.join(tmp, "x.caffemodel"), os.path.join(tmp, "x.prototxt")
        bad = convert(moka, os.path.join(root, path), binary)
        if bad:
            return f"{path}: {bad}"
        if os.path.getsize(binary) != int(size) or sha256(binary) != encoded:
            return f"{path}: {os.path.getsize(binary)} bytes are not the {size} of protoc --encode"
        bad = convert(moka, binary, text)
        if bad:
            return f"{path}, from binary: {bad}"
        if sha256(text) != decoded:
            return f"{path}: not the text of protoc --decode"
    return None


def main():
    moka = os.environ.get("MOKA_PLAIN") or os.environ.get("MOKA") or sys.argv[1]  # MOKA_PLAIN: a build without sanitizers
    only = sys.argv[1:] if os.environ.get("MOKA") else sys.argv[2:]
    here = os.environ.get("MOKA_SOURCE_ROOT") or os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    root = os.path.join(os.environ.get("MOKA_SHARED") or os.path.join(here, "..", "shared"), "prototxt")
    table = os.path.join(root, "ENCODED.tsv")
    if not os.path.exists(table):
        print(f"no {table}\n0 passed, 0 failed, 1 skipped")
        return 0
    rows = [line.rstrip("\n").split("\t") for line in open(table, encoding="utf-8") if not line.startswith("#")]
    rows = [r for r in rows if not only or any(o in r[0] for o in only)]
    # A sanitizer makes it ten times slower: every fourth file then, the rest is the plain build's.
    every = 4 if not only and b"__asan_init" in open(moka, "rb").read() else 1
    skipped = len(rows) - len(rows[::every])
    rows = rows[::every]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        bad = [b for b in pool.map(lambda r: one(moka, root, r), rows) if b]
    for b in bad[:40]:
        print(b)
    print(f"{len(rows) - len(bad)} passed, {len(bad)} failed, {skipped} skipped")
    return 1 if bad or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
