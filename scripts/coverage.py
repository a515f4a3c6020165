#!/usr/bin/env python3
"""How many published nets get every shape: `coverage.py MOKA [FOLDER] [--list]`.

Every .prototxt under FOLDER (default ../shared/prototxt beside the source root) is explained in both phases as its file says.
A net counts where in one of them every blob has a shape and no finding is an error. Where a net leaves its inputs open (a
fragment; data whose source is absent), more tries give them: what the net says of them, the holes filled with
usual sizes; labels as their loss wants them. The rest is listed by reason: the first error, or the first layer type that Moka has no table of.

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
# What protobuf's own text reader refuses: a field that holds one value, given twice. Not the ones that some fork lets repeat.
ONE_VALUE = ("norm_region", "transform_param")
AT_FAULT = {"syntax", "missing-bottom", "made-later", "cycle", "duplicate-top", "bad-value", "repeated-field", "unterminated",
            "include-and-exclude", "conflict-markers", "bottom-count", "top-count", "no-layers", "not-text", "bad-blob", "mixed-syntax", "mixed-layers", "bad-escape"}


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


def net_inputs(net):
    """Blobs that come from outside the net and whose shape it leaves open."""
    made_by = {}
    for layer in net["layers"]:
        for top in layer["tops"]:
            made_by.setdefault(top, layer)
    for blob in open_blobs(net):
        maker = made_by.get(blob["name"])
        if maker is None or not maker["bottoms"]:
            yield blob


def batch_of(net):
    """What the net's own inputs say of the batch."""
    for blob in net["blobs"]:
        if dims(blob) and dims(blob)[0] and dims(blob)[0] > 0:
            return dims(blob)[0]
    return 2


# Channels, height and width that published nets were made for, tried one after another where the file says neither.
IMAGES = [(c, side, side) for c, side in [(3, 224), (1, 28), (3, 32), (1, 224), (3, 299), (6, 224), (2, 28), (3, 321), (4, 224),
                                          (9, 224), (3, 608), (2, 64), (1, 100), (10, 224), (3, 12), (3, 24), (3, 48)]]
# Samples that are no pictures, number plates, lines of text.
OTHERS = [(2, 0, 0), (3, 12, 36), (3, 32, 128), (1, 32, 128), (3, 32, 100), (1, 32, 52)]


def images_of(path):
    """The sizes to try: the usual ones, and those as wide as the file says its sequences are long."""
    text = re.sub(r"#.*", "", open(path, errors="replace").read())
    steps = sorted({int(n) for n in re.findall(r"time_step\s*:\s*(\d+)", text)})
    return IMAGES + [(3, 32, n) for n in steps] + [(1, 32, 4 * n) for n in steps] + OTHERS


LABELS = re.compile(r"label|sim|truth|gt|target|weight|bbox|roi|pts|landmark|score|mask|class|cont|clip|indicator|seq_ind", re.I)


def peers(net, name):
    """The shapes that a label could have: its loss's other bottom's, one number an item, one a place."""
    shape_of = {b["name"]: dims(b) for b in net["blobs"]}
    for layer in net["layers"]:
        if name not in layer["bottoms"]:
            continue
        recurrent = re.search("LSTM|RNN", layer["type"], re.I)
        for other in layer["bottoms"]:
            s = shape_of.get(other)
            if other != name and s and all(d is not None and d >= 0 for d in s):
                if recurrent:
                    yield s[:2]
                yield s
                yield s[:1]
                yield s[:1] + s[2:]
                yield s[:1] + [1] + s[2:]


def shape_words(shapes):
    return [w for n, s in shapes.items() for w in ("--input", "%s=%s" % (n, "x".join(map(str, s))))]


def first_shapes(net, channels, height, width):
    """Every open input: what the net says of it, holes filled; inputs that look like labels last."""
    shapes, batch = {}, batch_of(net)
    image = [batch, channels, height, width] if height else [batch, channels]
    for blob in net_inputs(net):
        said = dims(blob)
        if blob["name"] == "im_info":
            shapes[blob["name"]] = [batch, 3]
        elif blob["name"] == "gt_boxes":
            shapes[blob["name"]] = [2, 5]
        elif re.fullmatch("rois|.*_rois", blob["name"]):
            shapes[blob["name"]] = [batch, 5]
        elif said:
            fill = image if len(said) == 4 and height else [batch] + [1] * 7
            shapes[blob["name"]] = [f if d is None or d < 0 else d for d, f in zip(said, fill)]
        elif not LABELS.search(blob["name"]):
            shapes[blob["name"]] = list(image)
    return shapes


# What a finding says an input should have been: the blob, and its shape.
WANTED = (r"'([^']+)' is \d[\dx]*, \d+ values, and the new shape (\d+(?:x\d+)*) takes",
          r"bottom '([^']+)' is \d[\dx]*, but the sequence markers.* must be (\d+(?:x\d+)*)")
PAIR = r"bottom '([^']+)' is (\d[\dx]*) and bottom '([^']+)' is (\d[\dx]*): \d+ values a sample against \d+"


def sources(net, name):
    """A blob, and what it is cut from, back to the net's inputs."""
    for _ in range(8):
        yield name
        maker = [layer for layer in net["layers"] if name in layer["tops"]]
        if not maker or maker[0]["type"] != "Slice" or not maker[0]["bottoms"]:
            return
        name = maker[0]["bottoms"][0]


def say(shapes, name, want):
    changed, shapes[name] = shapes[name] != want, want
    return changed


def learn_slice(net, finding, shapes):
    """A blob that is cut has an axis too few, or one that is too short."""
    if "(Slice)" not in finding["message"]:
        return False
    layer = re.search(r"layer '([^']*)'", finding["message"]).group(1)
    bottom = [x["bottoms"][0] for x in net["layers"] if x["name"] == layer and x["bottoms"]]
    if not bottom or bottom[0] not in shapes:
        return False
    shape = shapes[bottom[0]]
    m = re.search(r"axis (\d+) is outside", finding["message"])
    if m and int(m.group(1)) < 4:
        return say(shapes, bottom[0], shape + [1] * (int(m.group(1)) + 1 - len(shape)))
    m = re.search(r"slice point (\d+) is beyond axis (\d+)", finding["message"])
    if m and int(m.group(2)) < len(shape):
        return say(shapes, bottom[0], [int(m.group(1)) + 1 if i == int(m.group(2)) else d for i, d in enumerate(shape)])
    return False


def learn_pair(net, finding, shapes):
    """A target has as many values as what it is compared with; where it is the last piece of a blob, that is longer."""
    m = re.search(PAIR, finding["message"])
    if not m:
        return False
    for name, other, mine in ((m.group(3), m.group(2), m.group(4)), (m.group(1), m.group(4), m.group(2))):
        want, have = [int(d) for d in other.split("x")], [int(d) for d in mine.split("x")]
        for source in sources(net, name):
            if source == name and source in shapes:
                return say(shapes, source, want)
            if source in shapes and len(shapes[source]) > 1 and len(have) > 1:
                shape = shapes[source]
                more = 1
                for d in want[1:]:
                    more *= d
                return say(shapes, source, [shape[0], shape[1] + more - have[1]] + shape[2:])
    return False


def learn(net, shapes):
    """Takes from the errors the shape of an input that was guessed; False where they say none."""
    for finding in errors(net):
        for pattern in WANTED:
            m = re.search(pattern, finding["message"])
            if m and m.group(1) in shapes:
                return say(shapes, m.group(1), [int(d) for d in m.group(2).split("x")])
        if "takes one image at a time" in finding["message"] and any(s[0] != 1 for s in shapes.values()):
            for name in shapes:
                shapes[name] = [1] + shapes[name][1:]
            return True
        if learn_slice(net, finding, shapes) or learn_pair(net, finding, shapes):
            return True
    return False


def try_inputs(moka, path, words, net):
    """Another explanation with open inputs given, complete if one of the tries was; and what was given."""
    last = net
    for image in images_of(path):
        shapes = first_shapes(net, *image)
        for _ in range(10):
            given = shape_words(shapes)
            second = explain(moka, path, words + given)[1]
            if second is None:
                break
            if complete(second):
                return second, given
            last = second if len(errors(second)) <= len(errors(last)) or last is net else last
            rest = [b for b in net_inputs(second) if b["name"] not in shapes]
            if errors(second) and learn(second, shapes):
                continue
            if not rest or errors(second):
                break
            name = rest[0]["name"]
            options = list(peers(second, name)) or [[batch_of(second)]]
            for option in options:
                shapes[name] = option
                third = explain(moka, path, words + shape_words(shapes))[1]
                if third and not errors(third):
                    break
        if not list(net_inputs(net)):
            break
    return last, []


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


def fault(net):
    """The first finding that says the file is wrong, whatever its inputs are."""
    for finding in errors(net):
        m = re.match(r"'([^']+)' is given twice", finding["message"])
        if finding["code"] in AT_FAULT or (m and m.group(1) in ONE_VALUE):
            return finding
    return None


def judge(job):
    moka, path = job
    best, faults = None, []
    for phase in ("test", "train"):
        status, net, said = explain(moka, path, ["--phase", phase])
        if net is None:
            return path, "crash" if status in ("crash", "hang") else "not a net", said.split("\n")[0][:200]
        if complete(net):
            return path, "ok", ""
        faults += [fault(net)]
        if list(net_inputs(net)):
            net, given = try_inputs(moka, path, ["--phase", phase], net)
            if given:
                return path, "ok, inputs given", " ".join(given)
        if best is None or len(errors(net)) < len(errors(best)):
            best = net
    why, where = (faults[0]["code"], faults[0]) if all(faults) else reason(best)
    kind = "at fault" if why in AT_FAULT or all(faults) else "open"
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
