#!/usr/bin/env python3
"""How many published nets get every shape: `coverage.py MOKA [FOLDER] [--list]`.

Every .prototxt under FOLDER (default ../shared/prototxt beside the source root) is explained in both phases as its file says.
A net counts where in one of them every blob has a shape and no finding is an error. Where a net leaves its inputs open (a
fragment; data whose source is absent), a second try gives them: 1x3x224x224, or what --input can say for the
open blobs. The rest is listed by reason: the first error, or the first layer type that Moka has no table of.

Not counted: solvers, files that are no net, and nets that are at fault themselves (a syntax error, a bottom nobody
makes, a field that no Caffe has): those are listed by their finding under "at fault".
"""
import collections
import concurrent.futures
import json
import os
import re
import subprocess
import sys

# Findings that say the file is wrong whatever program reads it.
AT_FAULT = {"syntax", "missing-bottom", "made-later", "cycle", "duplicate-top", "bad-value", "repeated-field", "unterminated",
            "include-and-exclude", "conflict-markers", "bottom-count", "top-count", "no-layers", "not-text", "bad-blob"}


def explain(moka, path, words):
    try:
        p = subprocess.run([moka, "explain", path, "--format", "json", *words], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=60)
    except subprocess.TimeoutExpired:
        return "hang", None, ""
    if p.returncode not in (0, 1):
        return "crash", None, p.stderr.decode("utf-8", "replace")
    try:
        return p.returncode, json.loads(p.stdout), ""
    except ValueError:
        return p.returncode, None, p.stderr.decode("utf-8", "replace")


def dims(blob):
    return blob.get("shape")


def open_blobs(net):
    """Blobs whose shape isn't known."""
    return [b for b in net["blobs"] if dims(b) is None or any(d is None or d < 0 for d in dims(b))]


def errors(net):
    return [f for f in net["findings"] if f["severity"] == "error"]


def complete(net):
    return bool(net["blobs"]) and not open_blobs(net) and not errors(net)


def guesses(net):
    """--input words for what the net leaves open from outside: labels are one number an item."""
    words = []
    for name in net_inputs(net):
        label = re.search(r"label|sim|clip|cont|idx|index", name, re.I)
        words += ["--input", name + ("=1" if label else "=1x3x224x224")]
    return words


def net_inputs(net):
    unknown = {b["name"] for b in open_blobs(net)}
    made_by = {}
    for layer in net["layers"]:
        for top in layer["tops"]:
            made_by.setdefault(top, layer)
    for name in sorted(unknown):
        maker = made_by.get(name)
        if maker is None or not maker["bottoms"]:
            yield name


def reason(net):
    bad = errors(net)
    if bad:
        return bad[0]["code"], bad[0]
    unknown = [f for f in net["findings"] if f["code"] == "unknown-layer-type"]
    if unknown:
        m = re.search(r"\(([^)]*)\)", unknown[0]["message"])
        return "unknown type " + (m.group(1) if m else "?"), unknown[0]
    shapeless = {b["name"] for b in open_blobs(net)}
    for layer in net["layers"]:
        if any(t in shapeless for t in layer["tops"]):
            return "no shape: " + layer["type"], {"message": layer["name"], "line": 0}
    return "no blobs", {"message": "", "line": 0}


def judge(job):
    moka, path = job
    best = None
    for phase in ("test", "train"):
        status, net, said = explain(moka, path, ["--phase", phase])
        if net is None:
            return path, "crash" if status in ("crash", "hang") else "not a net", said.split("\n")[0][:200]
        if complete(net):
            return path, "ok", ""
        words = guesses(net)
        if words:
            _, second, _ = explain(moka, path, ["--phase", phase, *words])
            if second and complete(second):
                return path, "ok, inputs given", ""
            net = second or net
        if best is None or len(errors(net)) < len(errors(best)):
            best = net
    why, where = reason(best)
    kind = "at fault" if why in AT_FAULT else "open"
    return path, kind, "%s\t%s:%s %s" % (why, where.get("line"), where.get("column", 0), where["message"][:160])


def is_solver(path):
    text = re.sub(r"#.*", "", open(path, errors="replace").read())
    return not re.search(r"\b(layers?|input)\s*[:{]", text) and re.search(r"\b(base_lr|net|train_net|max_iter)\s*:", text)


def main():
    words = [w for w in sys.argv[1:] if not w.startswith("--")]
    if not words:
        sys.exit(__doc__)
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    folder = words[1] if len(words) > 1 else os.environ.get("MOKA_SHARED", os.path.join(root, "..", "shared")) + "/prototxt"
    if not os.path.isdir(folder):
        sys.exit("coverage.py: there is no folder '%s'" % folder)
    paths = sorted(os.path.join(d, f) for d, _, files in os.walk(folder) for f in files if f.endswith((".prototxt", ".txt")))
    nets = [p for p in paths if not is_solver(p)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        results = list(pool.map(judge, [(words[0], p) for p in nets]))
    count = collections.Counter(kind for _, kind, _ in results)
    groups = collections.defaultdict(list)
    for path, kind, why in results:
        if not kind.startswith("ok"):
            groups[kind, why.split("\t")[0]].append((os.path.relpath(path, folder), why.split("\t")[-1]))
    for (kind, why), members in sorted(groups.items(), key=lambda g: (g[0][0], -len(g[1]))):
        print("%4d  %s: %s" % (len(members), kind, why))
        for path, where in members if "--list" in sys.argv else members[:2]:
            print("          %s  %s" % (path, where))
    good = count["ok"] + count["ok, inputs given"]
    valid = good + count["open"] + count["crash"]
    print("\n%d files, %d solvers, %d no net, %d nets at fault themselves" %
          (len(paths), len(paths) - len(nets), count["not a net"], count["at fault"]))
    print("%d of %d valid nets get every shape (%.1f %%), %d of them with inputs given; %d crashes" %
          (good, valid, 100.0 * good / max(valid, 1), count["ok, inputs given"], count["crash"]))
    sys.exit(1 if count["crash"] else 0)


if __name__ == "__main__":
    main()
