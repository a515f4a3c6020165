#!/usr/bin/env python3
"""moka train, test and plot as people and their scripts use them: logs, runs that are the same again, stops, curves.

The data are made here: ten blurred patterns with noise, so that a small net learns them in a second.
"""
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

MOKA = os.environ.get("MOKA") or sys.argv[1]
counts = {"passed": 0, "failed": 0, "skipped": 0}
STATE_OK = re.compile(r"^s_iter_\d+\.(caffemodel|solverstate)$")


def check(name, ok, why=""):
    counts["passed" if ok else "failed"] += 1
    if not ok:
        print("FAILED %s: %s" % (name, why))


def moka(*words, program=None, status=0, name=None, timeout=120):
    r = subprocess.run([program or MOKA] + list(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       stdin=subprocess.DEVNULL, timeout=timeout)
    out, err = r.stdout.decode(), r.stderr.decode()
    bad = r.returncode != status or "Sanitizer" in err or "runtime error:" in err
    check(name or " ".join(words), not bad, "status %d, %d wanted: %s" % (r.returncode, status, (out + err)[-1500:]))
    return out, err


def read(path):
    with open(path, "rb") as f:
        return f.read()


def lines(path):
    return [json.loads(line) for line in open(path)]


# ---- data, net, solver -------------------------------------------------------------------------

def make_data(n=600, side=8):
    rng = random.Random(1)
    patterns = [[rng.randrange(200) for _ in range(side * side)] for _ in range(10)]
    images, labels = bytearray(), bytearray()
    for i in range(n):
        k = i * 7 % 10
        labels.append(k)
        images += bytes(min(255, max(0, p + rng.randrange(-50, 56))) for p in patterns[k])
    with open("images", "wb") as f:
        f.write(struct.pack(">IIII", 0x803, n, side, side) + images)
    with open("labels", "wb") as f:
        f.write(struct.pack(">II", 0x801, n) + labels)
    moka("data", "mnist", "images", "labels", "-o", "db", name="data")


NET = """name: "Patterns"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { scale: 0.00390625 mirror: true crop_size: 7 } data_param { source: "db" backend: LMDB batch_size: 16 } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { scale: 0.00390625 crop_size: 7 } data_param { source: "db" backend: LMDB batch_size: 70 } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 24 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "drop1" type: "Dropout" bottom: "ip1" top: "ip1" dropout_param { dropout_ratio: 0.2 } }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip2" bottom: "label" top: "accuracy" include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""


def solver(path, **changes):
    fields = dict(net='"net.prototxt"', test_iter="3", test_interval="25", base_lr="0.05", momentum="0.9",
                  weight_decay="0.0005", lr_policy='"step"', gamma="0.5", stepsize="40", display="10", max_iter="100",
                  snapshot="30", snapshot_prefix='"snap/s"', random_seed="7")
    fields.update(changes)
    with open(path, "w") as f:
        f.writelines("%s: %s\n" % item for item in fields.items())
    return path


def fresh():
    shutil.rmtree("snap", ignore_errors=True)
    os.mkdir("snap")


# ---- the log as scripts read it ----------------------------------------------------------------------

def glog_seconds(line):
    """As extract_seconds.py: the first word is a letter, month and day, the second the time."""
    words = line.strip().split()
    month, day = int(words[0][1:3]), int(words[0][3:])
    clock, micro = words[1].rsplit(".", 1)
    h, m, s = (int(x) for x in clock.split(":"))
    return ((month * 31 + day) * 24 + h) * 3600 + m * 60 + s + int(micro) * 1e-6


def caffe_log():
    fresh()
    solver("solver.prototxt", test_compute_loss="true")
    _, err = moka("train", "--solver", "solver.prototxt", "--log", "run.jsonl", name="train")
    with open("caffe.log", "w") as f:
        f.write(err)
    text = err.splitlines()
    start = [i for i, line in enumerate(text) if "Solving" in line]
    check("log: start", len(start) == 1 and "Solving Patterns" in text[start[0]], err[:300])
    check("log: no empty line", all(text[start[0]:]))
    iteration, tests, trains, rates, speeds = -1, {}, {}, {}, 0
    for line in text[start[0]:]:
        glog_seconds(line)  # every line has its time
        m = re.search(r"Iteration (\d+)", line)
        iteration = float(m.group(1)) if m else iteration
        m = re.search(r"Test net output #(\d+): (\S+) = ([.\deE+-]+)", line)
        if m:
            tests.setdefault(iteration, {})[m.group(2)] = float(m.group(3))
        m = re.search(r"Train net output #(\d+): (\S+) = ([.\deE+-]+)", line)
        if m:
            trains.setdefault(iteration, {})[m.group(2)] = float(m.group(3))
        m = re.search(r"lr = ([-+]?[0-9]*\.?[0-9]+([eE]?[-+]?[0-9]+)?)", line)
        if m:
            rates[iteration] = float(m.group(1))
        speeds += bool(re.search(r"Iteration \d+ \([\d.e+-]+ iter/s, [\d.e+-]+s/10 iters\), loss = [\d.e+-]+$", line))
    check("log: displays", sorted(trains) == [10.0 * i for i in range(10)], str(sorted(trains)))
    check("log: speeds", speeds == 10, str(speeds))
    check("log: tests", sorted(tests) == [0, 25, 50, 75, 100], str(sorted(tests)))
    check("log: outputs", set(tests[0]) == {"accuracy", "loss"}, str(tests[0]))
    check("log: rates", rates[0] == 0.05 and rates[40] == 0.025 and rates[80] == 0.0125, str(rates))
    check("log: it learns", tests[100]["accuracy"] > 0.5 > 0.3 > tests[0]["accuracy"], str(tests))
    check("log: last", re.search(r"Iteration 100, loss = [\d.]+\n", err) is not None)
    check("log: test loss", len(re.findall(r"Test loss: [\d.]+\n", err)) == 5)
    check("log: end", text[-1].endswith("] Optimization Done."), text[-1])
    events = lines("run.jsonl")
    check("jsonl: iterations", [e["iter"] for e in events if e["event"] == "train"] == list(range(100)))
    said = {e["iter"]: e["outputs"]["accuracy"] for e in events if e["event"] == "test"}
    check("jsonl: tests", all(abs(said[k] - v["accuracy"]) < 1e-5 for k, v in tests.items()), str(said))


# ---- the same again -----------------------------------------------------------------------------------

def snapshot_bytes(ending="", last=100):
    return [read("snap/s_iter_%d.%s%s" % (last, kind, ending)) for kind in ("caffemodel", "solverstate")]


def losses(path):
    return {e["iter"]: e["loss"] for e in lines(path) if e["event"] == "train"}


def tests_of(path):
    return {e["iter"]: e["outputs"] for e in lines(path) if e["event"] == "test"}


def same_again():
    for form, ending in (("BINARYPROTO", ""), ("HDF5", ".h5")):
        solver("again.prototxt", snapshot_format=form)
        fresh()
        moka("train", "--solver", "again.prototxt", "--threads", "1", "--log", "one.jsonl")
        want = snapshot_bytes(ending)
        for threads in ("1", "2"):
            fresh()
            moka("train", "--solver", "again.prototxt", "--threads", threads, "--log", "two.jsonl")
            check("%s: same with %s threads" % (form, threads), snapshot_bytes(ending) == want)
        kept = {n: read("snap/" + n) for n in os.listdir("snap") if "_30." in n}
        for threads in ("1", "2"):
            fresh()
            for n, data in kept.items():
                with open("snap/" + n, "wb") as f:
                    f.write(data)
            moka("train", "--solver", "again.prototxt", "--snapshot", "snap/s_iter_30.solverstate" + ending,
                 "--threads", threads, "--log", "rest%s.jsonl" % threads)
            check("%s: resumed with %s threads" % (form, threads), snapshot_bytes(ending) == want)
            whole, rest = losses("one.jsonl"), losses("rest%s.jsonl" % threads)
            check("%s: resumed losses" % form, rest == {k: v for k, v in whole.items() if k >= 30})
            whole, rest = tests_of("one.jsonl"), tests_of("rest%s.jsonl" % threads)
            check("%s: resumed tests" % form, rest == {k: v for k, v in whole.items() if k >= 30}, str(rest))
            os.unlink("rest%s.jsonl" % threads)


# ---- every kind of data, whoever reads it ------------------------------------------------------------------

SOURCES = {
    "LMDB": 'type: "Data" transform_param { scale: 0.004 mirror: true crop_size: 7 } data_param { source: "db" backend: LMDB batch_size: 16 rand_skip: 50 }',
    "LevelDB": 'type: "Data" transform_param { scale: 0.004 mirror: true crop_size: 7 } data_param { source: "level" backend: LEVELDB batch_size: 16 }',
    "ImageData": 'type: "ImageData" transform_param { scale: 0.004 mirror: true crop_size: 7 } '
                 'image_data_param { source: "list" root_folder: "pictures/" is_color: false shuffle: true rand_skip: 9 batch_size: 16 }',
    "HDF5Data": 'type: "HDF5Data" hdf5_data_param { source: "h5list" shuffle: true batch_size: 16 }',
    "WindowData": 'type: "WindowData" transform_param { mirror: true crop_size: 6 } '
                  'window_data_param { source: "windows" scale: 0.004 batch_size: 16 fg_fraction: 0.5 context_pad: 1 }',
}


def make_sources():
    moka("data", "mnist", "images", "labels", "-o", "level", "--backend", "leveldb", name="leveldb")
    moka("data", "pictures", "db", "-o", "pictures", "--count", "60", name="pictures")
    names = sorted(os.listdir("pictures"))
    with open("list", "w") as f:
        f.writelines("%s %s\n" % (n, re.search(r"label(\d)", n).group(1)) for n in names)
    with open("windows", "w") as f:
        for i, n in enumerate(names[:20]):
            f.write("# %d\npictures/%s\n3\n8\n8\n2\n%d 0.9 0 0 6 6\n0 0.1 1 1 7 7\n" % (i, n, 1 + i % 9))
    with open("out.prototxt", "w") as f:
        f.write(NET.split("layer { name: \"ip1\"")[0] + 'layer { name: "out" type: "HDF5Output" bottom: "data" bottom: "label" '
                'hdf5_output_param { file_name: "data.h5" } }')
    moka("run", "out.prototxt", "--phase", "test", name="HDF5Output")
    with open("h5list", "w") as f:
        f.write("data.h5\n")


def sources():
    """Every source, read ahead by 1, 2 and 4 threads, in one piece and resumed: the same weights, bit for bit. A LevelDB is read by both
    nets at once."""
    make_sources()
    for kind, layer in SOURCES.items():
        with open("source.prototxt", "w") as f:
            f.write('layer { name: "data" top: "data" top: "label" %s }\n' % layer + "layer { name: \"ip1\"" +
                    NET.split("layer { name: \"ip1\"")[1])
        solver("source_solver.prototxt", net='"source.prototxt"', max_iter="40", snapshot="15", test_interval="20")
        want = None
        for threads in ("1", "2", "4"):
            fresh()
            moka("train", "--solver", "source_solver.prototxt", "--read-threads", threads, name=kind)
            got = snapshot_bytes(last=40)
            want = want or got
            check("%s: %s reading threads" % (kind, threads), got == want)
            kept = {n: read("snap/" + n) for n in os.listdir("snap") if "_15." in n}
            fresh()
            for n, data in kept.items():
                with open("snap/" + n, "wb") as f:
                    f.write(data)
            moka("train", "--solver", "source_solver.prototxt", "--snapshot", "snap/s_iter_15.solverstate",
                 "--read-threads", threads, name=kind + ", resumed")
            check("%s: resumed, %s reading threads" % (kind, threads), snapshot_bytes(last=40) == want)
    check("LevelDB: nothing is left beside it", not [n for n in os.listdir(".") if ".view-" in n])


def unseeded():
    """Without a seed: the run says which it took, which repeats it; a resumed run says that it isn't the same run."""
    fresh()
    solver("unseeded.prototxt", random_seed="-1", snapshot="30")
    _, err = moka("train", "--solver", "unseeded.prototxt", name="unseeded")
    m = re.search(r"note: random_seed isn't set; --seed (\d+) repeats this run", err)
    check("unseeded: says its seed", m is not None, err[:500])
    want = snapshot_bytes()
    _, err = moka("train", "--solver", "unseeded.prototxt", "--snapshot", "snap/s_iter_30.solverstate", name="unseeded, resumed")
    check("unseeded: resumed says so", "not with those of the run that wrote 'snap/s_iter_30.solverstate'" in err, err[:500])
    fresh()
    moka("train", "--solver", "unseeded.prototxt", "--seed", m.group(1) if m else "1", name="unseeded, again")
    check("unseeded: repeated", snapshot_bytes() == want)


def no_room():
    """No room for a snapshot (a limit on the size of files stands for a full disk): an end with a word, what was there stays whole."""
    fresh()
    solver("room.prototxt", max_iter="60", snapshot="30")
    moka("train", "--solver", "room.prototxt", name="room")
    kept = {n: read("snap/" + n) for n in os.listdir("snap")}
    r = subprocess.run([MOKA, "train", "--solver", "room.prototxt", "--snapshot", "snap/s_iter_30.solverstate"], stderr=subprocess.PIPE,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048)), timeout=120)
    err = r.stderr.decode()
    check("no room: status", r.returncode == 1, "%d: %s" % (r.returncode, err[-800:]))
    check("no room: says what and which snapshot", "File too large" in err and "s_iter_30.solverstate" in err, err[-800:])
    check("no room: what was there stays", {n: read("snap/" + n) for n in os.listdir("snap")} == kept, str(os.listdir("snap")))


def explained_rates():
    """The rates that explain tells beforehand are those that the run has, through a warm-up too."""
    for more in (dict(warmup_iter="8", warmup_start_lr="0.001"),
                 dict(lr_policy='"multistep"', stepvalue="9\nstepvalue: 9\nstepvalue: 30", warmup_iter="12", warmup_start_lr="0"),
                 dict(lr_policy='"inv"', power="0.75", gamma="0.01")):
        fresh()
        solver("rates.prototxt", max_iter="60", snapshot="0", test_interval="100", **more)
        moka("train", "--solver", "rates.prototxt", "--log", "rates.jsonl", name="rates")
        had = {e["iter"]: e["lr"] for e in lines("rates.jsonl") if e["event"] == "train"}
        out, _ = moka("explain", "rates.prototxt", name="rates, explained")
        told = {int(i): float(lr) for i, lr in re.findall(r"^ +(\d+)  ([\d.e-]+)", out.split("learning rate")[-1], re.M)}
        told = {i: lr for i, lr in told.items() if i in had}
        check("rates: enough rows", len(told) >= 4, out[-2000:])
        check("rates: as told", all(abs(had[i] - lr) <= 1e-3 * lr for i, lr in told.items()), "%s %s" % (told, had))


def leftovers():
    """What a killed run left half-written goes at the next start; what others write stays."""
    fresh()
    solver("left.prototxt", max_iter="5", snapshot="5")
    dead, alive = "snap/s_iter_3.caffemodel.tmp-2147483646", "snap/s_iter_3.solverstate.tmp-%d" % os.getpid()
    for name in (dead, alive, "snap/other.caffemodel.tmp-2147483646"):
        open(name, "w").close()
    moka("train", "--solver", "left.prototxt", name="leftovers")
    check("leftovers: gone", not os.path.exists(dead))
    check("leftovers: others' stay", os.path.exists(alive) and os.path.exists("snap/other.caffemodel.tmp-2147483646"))


# ---- other forms of the log ------------------------------------------------------------------------------

def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff


def fields(data):
    """Number, wire type and value of each field of a protocol buffer."""
    at = 0

    def varint():
        nonlocal at
        v = shift = 0
        while True:
            byte = data[at]
            at += 1
            v |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return v
    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 1:
            yield key >> 3, struct.unpack_from("<d", data, at)[0]
            at += 8
        elif key & 7 == 5:
            yield key >> 3, struct.unpack_from("<f", data, at)[0]
            at += 4
        else:
            n = varint()
            yield key >> 3, data[at:at + n]
            at += n


def tensorboard():
    fresh()
    moka("train", "--solver", "solver.prototxt", "--log", "tb", "--log-format", "tensorboard")
    names = os.listdir("tb")
    check("tensorboard: file", len(names) == 1 and "tfevents" in names[0], str(names))
    data, at, events, good = read("tb/" + names[0]), 0, [], True
    while at < len(data):
        (n,), (crc,) = struct.unpack_from("<Q", data, at), struct.unpack_from("<I", data, at + 8)
        body = data[at + 12:at + 12 + n]
        good &= crc == masked(data[at:at + 8]) and struct.unpack_from("<I", data, at + 12 + n)[0] == masked(body)
        events.append(dict(fields(body)))
        at += 16 + n
    check("tensorboard: checksums", good and at == len(data))
    check("tensorboard: version", events[0].get(3) == b"brain.Event:2", str(events[0]))
    check("tensorboard: clock", all(abs(e[1] - time.time()) < 600 for e in events))
    scalars = {}
    for e in events[1:]:
        value = dict(fields(dict(fields(e[5]))[1]))
        scalars.setdefault(value[1].decode(), {})[e.get(2, 0)] = value[2]
    check("tensorboard: tags", set(scalars) == {"train/loss", "train/lr", "test/accuracy", "test/loss"}, str(set(scalars)))
    want = losses("run.jsonl")
    check("tensorboard: losses", all(abs(scalars["train/loss"][k] - v) <= 1e-6 * abs(v) for k, v in want.items()))
    check("tensorboard: tests", sorted(scalars["test/accuracy"]) == [0, 25, 50, 75, 100])


def csv_log():
    fresh()
    moka("train", "--solver", "solver.prototxt", "--log", "run.csv", "--log-format", "csv", "--max-iter", "60")
    moka("train", "--solver", "solver.prototxt", "--log", "run.csv", "--log-format", "csv", "--snapshot",
         "snap/s_iter_60.solverstate")
    rows = [line.rstrip("\n").split(",") for line in open("run.csv")]
    head = rows[0]
    check("csv: header", head == "event,iter,seconds,loss,lr,net,test_accuracy,test_loss,file".split(","), str(head))
    check("csv: widths", all(len(r) == len(head) for r in rows))
    check("csv: one header", sum(r[0] == "event" for r in rows) == 1)
    train = {int(r[1]): float(r[3]) for r in rows if r[0] == "train"}
    want = losses("run.jsonl")
    check("csv: losses", train == want, "differ")
    check("csv: tests", any(r[0] == "test" and float(r[6]) > 0.5 for r in rows))
    moka("train", "--solver", "solver.prototxt", "--log-format", "csv", status=2, name="csv: where to?")
    moka("train", "--solver", "solver.prototxt", "--log", "x", "--log-format", "xml", status=2, name="csv: no such form")


# ---- stops ------------------------------------------------------------------------------------------------

def stops():
    fresh()
    solver("slow.prototxt", max_iter="100000000", snapshot="0", display="0", test_interval="1000000")
    p = subprocess.Popen([MOKA, "train", "--solver", "slow.prototxt"], stderr=subprocess.PIPE)
    time.sleep(1.0)
    p.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    p.send_signal(signal.SIGINT)
    err = p.communicate(timeout=60)[1].decode()
    states = sorted(n for n in os.listdir("snap") if n.endswith(".solverstate"))
    check("signals", p.returncode == 0 and len(states) == 2 and "as asked" in err, "%s %s" % (states, err[-400:]))
    fresh()
    _, err = moka("train", "--solver", "slow.prototxt", "--max-time", "0.5", name="max-time")
    check("max-time says so", "the 0.5 seconds are over" in err, err[-300:])
    fresh()
    moka("train", "--solver", "solver.prototxt", "--early-stop", "2", status=2, name="early-stop needs keep-best")
    _, err = moka("train", "--solver", "solver.prototxt", "--keep-best", "accuracy", "--keep-last", "1",
                  "--early-stop", "3", "--max-iter", "20000", name="keep-best")
    left = sorted(n for n in os.listdir("snap") if "_iter_" in n)
    check("keep-last", len(left) == 2, str(left))
    check("keep-best file", os.path.exists("snap/s_best.caffemodel"))
    best = json.load(open("snap/s_best.json"))
    out, _ = moka("test", "--model", "net.prototxt", "--weights", "snap/s_best.caffemodel", "--iterations", "3",
                  name="test of the best")
    check("early-stop says so", "has not improved in 3 tests" in err, err[-400:])
    check("keep-best value", best["output"] == "accuracy" and 0.5 < best["value"] <= 1 and "accuracy = " in out, str(best))
    _, err = moka("train", "--solver", "solver.prototxt", "--keep-best", "acuracy", status=1, name="keep-best misspelt")
    check("keep-best misspelt: hint", "did you mean 'accuracy'?" in err, err)


def truncated():
    """A database that shrinks under the reader: an end with a word, and the snapshots stay good."""
    fresh()
    shutil.rmtree("db2", ignore_errors=True)
    shutil.copytree("db", "db2")
    with open("net2.prototxt", "w") as f:
        f.write(NET.replace('"db"', '"db2"'))
    solver("cut.prototxt", net='"net2.prototxt"', max_iter="100000000", snapshot="50", display="0", test_interval="1000000")
    p = subprocess.Popen([MOKA, "train", "--solver", "cut.prototxt", "--keep-last", "3"], stderr=subprocess.PIPE)
    for _ in range(600):
        time.sleep(0.05)
        if os.path.exists("snap/s_iter_100.solverstate") or p.poll() is not None:
            break
    name = "db2/data.mdb" if os.path.isdir("db2") else "db2"
    os.truncate(name, 8192)
    err = p.communicate(timeout=60)[1].decode()
    check("truncated: status", p.returncode == 1, "%d: %s" % (p.returncode, err[-400:]))
    m = re.search(r"the last complete snapshot is '([^']+)' \(iteration (\d+)\)", err)
    check("truncated: says which snapshot", m is not None, err[-400:])
    if m:
        solver("cut.prototxt", max_iter=str(int(m.group(2)) + 1), display="0")
        moka("train", "--solver", "cut.prototxt", "--snapshot", m.group(1), name="truncated: goes on")


# ---- trials --------------------------------------------------------------------------------------------------

def trials():
    fresh()
    out, err = moka("train", "--solver", "solver.prototxt", "--dry-run", "--log", "dry.jsonl")
    check("dry-run: says", "parameters" in out and "each snapshot" in out and "nothing was written" in out, out)
    check("dry-run: writes nothing", not os.listdir("snap") and not os.path.exists("dry.jsonl"))
    _, err = moka("train", "--solver", "solver.prototxt", "--overfit", "1", "--max-iter", "300", "--log", "over.jsonl")
    check("overfit", losses("over.jsonl")[299] < 0.05, str(losses("over.jsonl")[299]))
    fresh()
    out, err = moka("train", "--solver", "solver.prototxt", "--find-lr", name="find-lr")
    m = re.search(r"^base_lr: ([\d.e+-]+)$", out, re.M)
    check("find-lr: suggests", m is not None and 1e-3 < float(m.group(1)) < 2, out)
    check("find-lr: files", sorted(os.listdir("snap")) == ["s_find_lr.jsonl", "s_find_lr.svg"], str(os.listdir("snap")))
    ET.parse("snap/s_find_lr.svg")
    points = lines("snap/s_find_lr.jsonl")
    check("find-lr: points", points[-1]["event"] == "find-lr" and points[0]["lr"] < points[-2]["lr"])
    moka("train", "--solver", "solver.prototxt", "--find-lr", "--rates", "1:0.1", status=2, name="find-lr: wrong way round")


def diverging():
    fresh()
    solver("bad.prototxt", base_lr="1e30")
    _, err = moka("train", "--solver", "bad.prototxt", status=1, name="diverging")
    for word in ("training has diverged", "seen first in layer 'ip", "rate 1e+30", "the net's input 'data' is 0 to ",
                 "lower base_lr", "_diverged_iter_"):
        check("diverging: " + word, word in err, err[-900:])
    check("diverging: snapshot", any("diverged" in n for n in os.listdir("snap")))


def fine_tuning():
    fresh()
    moka("train", "--solver", "solver.prototxt", name="fine-tuning: before")
    with open("net3.prototxt", "w") as f:
        f.write(NET.replace("num_output: 24", "num_output: 25"))
    solver("tune.prototxt", net='"net3.prototxt"', max_iter="2")
    words = ["train", "--solver", "tune.prototxt", "--weights", "snap/s_iter_100.caffemodel"]
    _, err = moka(*words, name="fine-tuning")
    check("fine-tuning: which dimension", "dimension 0 is 25 in the net and 24 in the file" in err, err[:600])
    _, err = moka(*words, "--strict", status=1, name="fine-tuning: strict")
    # weights in HDF5
    moka("convert", "net.prototxt", "snap/s_iter_100.caffemodel", "-o", "w.h5", name="fine-tuning: to HDF5")
    _, err = moka("train", "--solver", "solver.prototxt", "--weights", "w.h5", "--max-iter", "1", "--strict",
                  name="fine-tuning: from HDF5")
    check("fine-tuning: taken", "2 of 2 layers with parameters start from these weights: ip1, ip2" in err, err[:600])
    moka(*words, "--snapshot", "snap/s_iter_100.solverstate", status=2, name="weights and snapshot")


def as_caffe():
    link = os.path.abspath("caffe")
    os.symlink(os.path.abspath(MOKA), link)
    fresh()
    _, err = moka("train", "-solver=solver.prototxt", "-gpu", "0", "-sigint_effect=stop", "-sighup_effect", "snapshot",
                  "-iterations=50", "-level=0", "-logtostderr=1", "-snapshot=", program=link, name="caffe train")
    check("caffe train: words", "Starting Optimization" in err and "Optimization Done." in err, err[:300])
    _, err = moka("test", "-model", "net.prototxt", "-weights", "snap/s_iter_100.caffemodel", "-iterations", "2",
                  "-gpu=all", program=link, name="caffe test")
    check("caffe test: batches", len(re.findall(r"Batch [01], accuracy = [\d.]+\n", err)) == 2, err)
    check("caffe test: loss", re.search(r"\] Loss: [\d.]+\n", err) is not None, err)
    check("caffe test: means", re.search(r"\] loss = ([\d.e-]+) \(\* 1 = \1 loss\)\n", err) is not None, err)


# ---- curves ----------------------------------------------------------------------------------------------------

def curves():
    _, err = moka("plot", "run.jsonl", "caffe.log", "-o", "c.svg", name="plot")
    root = ET.parse("c.svg").getroot()
    text = "".join(root.itertext())
    check("plot: words", all(w in text for w in ("run.jsonl", "caffe.log", "loss", "test accuracy", "learning rate")), text)
    paths = root.findall(".//{http://www.w3.org/2000/svg}path")
    check("plot: curves", len(paths) == 10 and all(len(p.get("d")) > 20 for p in paths), str(len(paths)))
    moka("plot", "run.jsonl", "-o", "c.html", "--x", "seconds", "--smooth", "0.5", "--y", "log", name="plot: html")
    html = read("c.html").decode()
    check("plot: html", html.startswith("<!DOCTYPE html>") and "accuracy" in html and "<svg" in html)
    out, _ = moka("plot", "run.jsonl", "snap/none.jsonl", status=1, name="plot: no such file")
    moka("plot", "images", status=1, name="plot: no run")
    moka("plot", "run.jsonl", "-o", "c.gif", status=2, name="plot: no such form")
    # any bytes: no crash, and what can be read is drawn
    rng, good = random.Random(3), read("run.jsonl")
    for i in range(40):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 200)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with open("fuzzed.jsonl", "wb") as f:
            f.write(data[:rng.randrange(len(data))])
        r = subprocess.run([MOKA, "plot", "fuzzed.jsonl", "-o", "f.svg"], stderr=subprocess.PIPE, timeout=60)
        ok = r.returncode in (0, 1) and b"Sanitizer" not in r.stderr and b"runtime error" not in r.stderr
        check("plot: damaged %d" % i, ok, r.stderr.decode(errors="replace")[-300:])
        if ok and r.returncode == 0:
            try:
                ET.parse("f.svg")
            except ET.ParseError as e:
                check("plot: damaged %d: XML" % i, False, str(e))
    # long, with holes and values far off
    with open("long.jsonl", "w") as f:
        for i in range(50000):
            loss = "null" if i % 1000 == 0 else "1e30" if i == 77 else "%.6g" % (math.exp(-i / 9e3) + rng.random() / 9)
            f.write('{"event":"train","iter":%d,"loss":%s,"lr":0.1,"seconds":%d}\n' % (i, loss, i))
    moka("plot", "long.jsonl", "-o", "long.svg", name="plot: long")
    check("plot: thinned", os.path.getsize("long.svg") < 300000, str(os.path.getsize("long.svg")))


def main():
    here = tempfile.mkdtemp()
    global MOKA
    MOKA = os.path.abspath(MOKA)
    os.chdir(here)
    try:
        make_data()
        with open("net.prototxt", "w") as f:
            f.write(NET)
        for part in (caffe_log, same_again, sources, leftovers, unseeded, no_room, explained_rates, tensorboard, csv_log, stops, truncated, trials, diverging, fine_tuning,
                     as_caffe, curves):
            if len(sys.argv) > 2 and part.__name__ not in sys.argv[2:] and part is not caffe_log:
                continue
            part()
    finally:
        shutil.rmtree(here, ignore_errors=True)
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    sys.exit(counts["failed"] > 0)


main()
