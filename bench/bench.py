#!/usr/bin/env python3
"""Nets, training steps, load time and memory: Moka beside the engines that the machine has, all in one run, in turns.

    bench.py BUILD [--nets a,b] [--rows 1x1,16x2] [--seconds S] [--rounds R]
             [--train-threads N] [--no-train] [--no-peers] [-o OUT.json]

Every contestant is a program that has loaded the same net with the same random weights (peer.h has the protocol). Before anything is
timed each one's outputs are compared with Moka's: whoever computes something else is out. Then they run in turns, in another
order each round, and medians over all rounds are shown. Contestants are taken where they are found:

    OpenCV, PyTorch    a Python that can import cv2 or torch (MOKA_BENCH_PYTHON names one)
    ONNX Runtime       MOKA_ORT_LIB=libonnxruntime.so.1, or the npm package onnxruntime-node in a node_modules here or at home
    ncnn               MOKA_BENCH_NCNN=the folder where it was installed: lib/libncnn.so (NCNN_SHARED_LIB), bin/caffe2ncnn and, if there,
                       bin/ncnnoptimize, which fuses layers
    BVLC Caffe         MOKA_BENCH_CAFFE=the caffe program (of its outputs only training's first loss can be compared: `caffe time`
                       shows none)
    any other          MOKA_BENCH_PEER_<Name>="program {prototxt} {caffemodel} {threads} {input} {shape} {x} {outputs}": a program that
                       speaks the protocol of peer.h. {onnx} and {batch} are there too; a command without braces gets those seven. It
                       runs the forward rows. Underscores in the name are shown as spaces.
"""
import argparse
import array
import datetime
import glob
import json
import os
import platform
import random
import re
import shlex
import statistics
import subprocess
import sys
import tempfile

import random_weights

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SHARED = os.environ.get("MOKA_SHARED", os.path.join(ROOT, "..", "shared"))
NETS = ["lenet", "squeezenet", "mobilenet1", "mobilenet2", "googlenet", "caffenet", "resnet50", "vgg16"]
ROWS = [(1, 1), (1, 2), (16, 2)]
TRAIN = [("lenet", 64), ("caffenet", 16), ("googlenet", 16), ("resnet50", 8)]
MOST_DIFFERENT = 1e-3  # of the largest value
HOOK = "MOKA_BENCH_PEER_"
HOOK_WORDS = "{prototxt} {caffemodel} {threads} {input} {shape} {x} {outputs}"


def environment(threads):
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), OPENBLAS_NUM_THREADS=str(threads), PYTHONPATH=HERE, PYTHONDONTWRITEBYTECODE="1")
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        env.pop(name, None)
    return env


class Program:
    """A contestant that is held open."""

    def __init__(self, words, threads):
        self.errors = tempfile.TemporaryFile("w+")
        self.p = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                  env=environment(threads))
        said = self.line().split()
        if len(said) != 2 or said[0] != "load":
            self.close()
            raise RuntimeError(f'said "{" ".join(said)}" where "load MS" was expected')
        self.load = float(said[1])

    def line(self):
        s = self.p.stdout.readline()
        if not s:
            self.errors.seek(0)
            raise RuntimeError((self.errors.read().strip().splitlines() or ["ended without a word"])[-1])
        return s

    def ask(self, command):
        self.p.stdin.write(command + "\n")
        self.p.stdin.flush()
        return self.line()

    def run(self, n):
        return [float(t) for t in self.ask(f"run {n}").split()]

    def output(self, path):
        if self.ask("out " + path).strip() != "ok":
            raise RuntimeError("its outputs can't be had")
        values = array.array("f")
        with open(path, "rb") as f:
            values.frombytes(f.read())
        return values

    def memory(self):
        return int(self.ask("rss"))

    def mode(self):
        self.errors.seek(0)
        found = re.findall(r"^mode (.*)$", self.errors.read(), re.M)
        return found[-1] if found else None

    def close(self):
        self.p.kill()
        self.p.wait()


class BvlcCaffe:
    """`caffe time`: loads and runs each time it is asked."""

    def __init__(self, program, net, threads):
        self.words = [program, "time", "-model", net, "-phase", "TEST"]
        self.threads, self.load = threads, None

    def call(self, words, pattern):
        env = dict(environment(self.threads), GLOG_logtostderr="1")
        out = subprocess.run(words, capture_output=True, text=True, env=env).stderr
        found = re.findall(pattern, out, re.MULTILINE)
        if not found:
            raise RuntimeError((out.strip().splitlines() or ["ended without a word"])[-1])
        return found

    def run(self, n):
        return [float(self.call(self.words + ["-iterations", str(n)], r"Average Forward pass: ([0-9.]+)")[0])]

    def memory(self):
        return None

    def mode(self):
        return None

    def close(self):
        pass


class BvlcTraining(BvlcCaffe):
    """`caffe train`, anew each time it is asked; its log says when some steps (forward, backward, update) were done."""

    LINE = r"^I\S+ (\d+):(\d+):([0-9.]+) .*\] Iteration \d+ \(.*loss = (\S+)"

    def __init__(self, program, solver, weights, threads):
        super().__init__(program, solver, threads)
        self.program, self.solver, self.weights = program, solver, weights

    def train(self, display, shown):
        """Seconds of the day at the end of every `display` steps, `shown` + 1 times, and the losses there."""
        path = self.solver + ".bvlc"
        with open(self.solver, encoding="utf-8") as f, open(path, "w", encoding="utf-8") as out:
            out.write(re.sub(r"max_iter: *\d+", f"max_iter: {display * shown + 1}\ndisplay: {display}", f.read()))
        found = self.call([self.program, "train", "-solver", path, "-weights", self.weights], self.LINE)
        return [int(h) * 3600 + int(m) * 60 + float(s) for h, m, s, _ in found], [float(loss) for *_, loss in found]

    def run(self, n):
        display = max(1, n // 5)
        at, _ = self.train(display, max(2, n // display))
        return [(b - a) % 86400 * 1e3 / display for a, b in zip(at, at[1:])]

    def output(self, path):
        return self.train(1, 1)[1][:1]


def python_with(module):
    for p in (os.environ.get("MOKA_BENCH_PYTHON"), sys.executable, "/usr/bin/python3"):
        if p and not subprocess.run([p, "-c", f"import numpy, {module}"], capture_output=True).returncode:
            return p
    return None


def find_ort():
    if os.environ.get("MOKA_ORT_LIB"):
        return os.environ["MOKA_ORT_LIB"]
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    for base in (os.getcwd(), ROOT, os.path.expanduser("~")):
        found = sorted(glob.glob(f"{base}/node_modules/onnxruntime-node/bin/napi-v*/linux/{machine}/libonnxruntime.so*"))
        if found:
            return found[-1]
    return None


def find_ncnn():
    """The library, caffe2ncnn, ncnnoptimize (or None)."""
    home = os.environ.get("MOKA_BENCH_NCNN")
    if not home:
        return None
    found = []
    for name in ("libncnn.so", "caffe2ncnn", "ncnnoptimize"):
        paths = [p for p in (os.path.join(home, d, name) for d in ("", "lib", "lib64", "bin")) if os.path.exists(p)]
        if not paths and name != "ncnnoptimize":
            sys.exit(f"MOKA_BENCH_NCNN: there is no {name} in {home}, its lib/ or its bin/")
        found.append(paths[0] if paths else None)
    return found


def find_hooks():
    return {k[len(HOOK):].replace("_", " "): v for k, v in sorted(os.environ.items()) if k.startswith(HOOK) and v}


class Peers:
    def __init__(self, build, alone):
        self.build = build
        self.moka = os.path.join(build, "bench", "peer_moka")
        self.torch = None if alone else python_with("torch")
        self.opencv = None if alone else python_with("cv2")
        self.ort = None if alone else find_ort()
        self.caffe = None if alone else os.environ.get("MOKA_BENCH_CAFFE")
        self.ncnn = None if alone else find_ncnn()
        self.hooks = {} if alone else find_hooks()

    def names(self):
        have = (("ONNX Runtime", self.ort), ("OpenCV", self.opencv), ("PyTorch", self.torch), ("ncnn", self.ncnn),
                ("BVLC Caffe", self.caffe))
        return ["Moka"] + [name for name, there in have if there] + list(self.hooks)

    def open(self, name, job, threads, train):
        if name == "BVLC Caffe":
            return BvlcTraining(self.caffe, job.solver, job.weights, threads) if train else BvlcCaffe(self.caffe, job.bvlc_net, threads)
        tail = [str(threads), job.input, job.shape, job.x, ",".join(job.outputs)]
        if train:
            words = {"Moka": [self.moka, job.solver, "train", str(threads), job.weights],
                     "PyTorch": [self.torch, f"{HERE}/peer_torch.py", job.onnx, "train"] + tail}.get(name)
        elif name in self.hooks:
            words = self.hook(self.hooks[name], job, threads)
        elif name == "ncnn":
            words = [os.path.join(self.build, "bench", "peer_ncnn"), job.ncnn(*self.ncnn[1:]), self.ncnn[0]] + tail
        else:
            words = {"Moka": [self.moka, job.net, job.weights] + tail,
                     "ONNX Runtime": [os.path.join(self.build, "bench", "peer_ort"), job.onnx, self.ort] + tail,
                     "OpenCV": [self.opencv, f"{HERE}/peer_opencv.py", job.net, job.weights] + tail,
                     "PyTorch": [self.torch, f"{HERE}/peer_torch.py", job.onnx, "-"] + tail}[name]
        return Program(words, threads) if words else None

    @staticmethod
    def hook(command, job, threads):
        values = {"prototxt": job.net, "caffemodel": job.weights, "onnx": job.onnx, "threads": threads, "batch": job.shape.split("x")[0],
                  "input": job.input, "shape": job.shape, "x": job.x, "outputs": ",".join(job.outputs)}
        words = shlex.split(command if "{" in command else command + " " + HOOK_WORDS)
        return [re.sub(r"\{(\w+)\}", lambda m: str(values.get(m.group(1), m.group(0))), w) for w in words]


class Job:
    """A net at one batch size, in the forms that the contestants read."""

    def __init__(self, moka, source, folder, batch, train=False):
        name = os.path.splitext(os.path.basename(source))[0]
        at = os.path.join(folder, name)
        self.net, self.weights, self.onnx, self.x = at + ".prototxt", at + ".caffemodel", f"{at}.{batch}.onnx", f"{at}.{batch}.f32"
        self.bvlc_net = f"{at}.{batch}.prototxt"
        self.call(moka, "convert", source, "-o", self.net)
        self.call(moka, "convert", source, "--batch", str(batch), "-o", self.bvlc_net)
        if not os.path.exists(self.weights):
            random_weights.write(moka, self.net, self.weights)
        self.call(moka, "convert", self.net, self.weights, "--batch", str(batch), "-o", self.onnx)
        facts = json.loads(subprocess.check_output([moka, "explain", self.net, "--batch", str(batch), "--format", "json"]))
        self.input, dims = facts["inputs"][0]["blob"], facts["inputs"][0]["shape"]
        self.shape = "x".join(str(d) for d in dims)
        self.outputs = facts["outputs"]
        self.macs = sum(layer["macs"] or 0 for layer in facts["layers"])
        count = 1
        for d in dims:
            count *= d
        rng = random.Random(2)
        values = [1.0] * count if train else [rng.gauss(0, 1) for _ in range(min(count, 999983))]
        if len(values) < count:
            values = (values * (count // len(values) + 1))[:count]
        with open(self.x, "wb") as f:
            array.array("f", values).tofile(f)
        if train:
            self.solver, self.bvlc_net = at + ".solver.prototxt", at + ".train.prototxt"
            self.write_training(dims)

    @staticmethod
    def call(*words):
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())

    def ncnn(self, caffe2ncnn, ncnnoptimize):
        """ncnn's form of the net, without a batch size; made once. The 0 is float32."""
        at = self.net + ".ncnn"
        if not os.path.exists(at + ".bin"):
            self.call(caffe2ncnn, self.net, self.weights, at + ".raw.param", at + ".raw.bin")
            if ncnnoptimize:
                self.call(ncnnoptimize, at + ".raw.param", at + ".raw.bin", at + ".param", at + ".bin", "0")
            else:
                os.rename(at + ".raw.param", at + ".param")
                os.rename(at + ".raw.bin", at + ".bin")
        return at + ".param"

    def write_training(self, dims):
        """The deploy net with made-up data in front, a loss behind, and without dropout, whose random numbers nobody shares."""
        with open(self.net, encoding="utf-8") as f:
            text = f.read()
        layers = re.split(r"(?m)^(?=layer \{)", text)
        shape = " ".join(f"dim: {d}" for d in dims)
        out = [layers[0]]
        for layer in layers[1:]:
            kind = re.search(r'(?m)^  type: "(\w+)"', layer).group(1)
            bottom = re.search(r'(?m)^  bottom: "(.*)"', layer)
            if kind == "Input":
                out.append(f'layer {{ name: "data" type: "DummyData" top: "{self.input}" top: "label" dummy_data_param {{\n'
                           f'  shape {{ {shape} }} shape {{ dim: {dims[0]} }}\n'
                           '  data_filler { type: "constant" value: 1 } data_filler { type: "constant" value: 0 } } }\n')
            elif kind == "Softmax":
                out.append(f'layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "{bottom.group(1)}" bottom: "label" top: "loss" }}\n')
            elif kind != "Dropout" or re.search(r'(?m)^  top: "(.*)"', layer).group(1) != bottom.group(1):
                out.append(re.sub(r"(?m)^.*use_global_stats: true\n", "", layer))
        with open(self.bvlc_net, "w", encoding="utf-8") as f:
            f.write("".join(out))
        with open(self.solver, "w", encoding="utf-8") as f:
            f.write(f'net: "{self.bvlc_net}"\nbase_lr: 0.00001\nlr_policy: "fixed"\nmomentum: 0.9\nweight_decay: 0.0005\n'
                    f'max_iter: 1000000\nsnapshot_after_train: false\nsnapshot_prefix: "{self.net}"\n')


def difference(a, b):
    if len(a) != len(b):
        return float("inf")
    most = max(abs(v) for v in a) or 1.0
    return max(abs(u - v) for u, v in zip(a, b)) / most


def first_loss(program, name, path):
    return [float(program.ask("loss"))] if name == "Moka" else list(program.output(path))


def compare(open_ones, job, train, notes):
    """Takes out whoever computes something else; what is left, with differences."""
    path = job.x + ".out"
    kept, reference = {}, None
    for name, p in open_ones.items():
        try:
            if isinstance(p, BvlcCaffe) and not train:
                p.run(1)
                kept[name] = (p, None)
                continue
            y = first_loss(p, name, path) if train else p.output(path)
        except RuntimeError as e:
            if name == "Moka":
                raise
            notes.append(f"{name} is out: {e}")
            p.close()
            continue
        reference = y if name == "Moka" else reference
        d = difference(reference, y)
        if d <= MOST_DIFFERENT:
            kept[name] = (p, d)
        else:
            notes.append(f"{name} is out: its result differs by {d:.1e} of the largest value")
            p.close()
    return kept


def measure(peers, job, batch, threads, args, train=False):
    row = {"batch": batch, "threads": threads, "macs": job.macs, "peers": {}, "notes": []}
    opened = {}
    for name in peers.names():
        try:
            p = peers.open(name, job, threads, train)
            if p:
                opened[name] = p
        except (RuntimeError, OSError) as e:
            row["notes"].append(f"{name} is out: {e}")
            if name == "Moka":
                return row
    kept = compare(opened, job, train, row["notes"])
    times = {name: [] for name in kept}
    step = {name: max(1, int(args.seconds * 1e3 / args.rounds / len(kept) / max(p.run(1)[0], 0.01))) for name, (p, _) in kept.items()}
    order = random.Random(3)
    for _ in range(args.rounds):
        names = list(kept)
        order.shuffle(names)
        for name in names:
            times[name] += kept[name][0].run(min(step[name], 200))
    for name, (p, d) in kept.items():
        row["peers"][name] = {"ms": statistics.median(times[name]), "fastest_ms": min(times[name]), "passes": len(times[name]),
                              "load_ms": p.load, "memory": p.memory(), "difference": d, "mode": p.mode()}
        p.close()
    return row


def show(row, names, peak):
    ms = {n: row["peers"][n]["ms"] for n in names if n in row["peers"]}
    words = [f"{row['net']:11} {row['batch']:5} {row['threads']:3}"] + [f"{ms[n]:12.3f}" if n in ms else f"{'-':>12}" for n in names]
    others = [v for n, v in ms.items() if n != "Moka"]
    words.append(f"{min(others) / ms['Moka']:8.2f}" if others and "Moka" in ms else f"{'-':>8}")
    if peak and "Moka" in ms:
        words.append(f"{100 * 2e-6 * row['macs'] * row.get('work', 1) / ms['Moka'] / (peak * row['threads']):7.1f}%")
    print(" ".join(words), flush=True)
    for note in row["notes"]:
        print("   ", note)


def head(title, names):
    print(f"\n{title + ', ms':11} {'batch':>5} {'thr':>3} " + " ".join(f"{n:>12}" for n in names) + f" {'speed':>8} {'of peak':>8}")


def mean(rows):
    logs = []
    for r in rows:
        others = [p["ms"] for n, p in r["peers"].items() if n != "Moka"]
        if others and "Moka" in r["peers"]:
            logs.append(min(others) / r["peers"]["Moka"]["ms"])
    if logs:
        print(f"speed against the best of the others, geometric mean: {statistics.geometric_mean(logs):.2f}")


def machine():
    cpu = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            cpu = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), "")
    except OSError:
        pass
    return {"cpu": cpu, "cores": os.cpu_count(), "system": platform.system()}


def read_args():
    p = argparse.ArgumentParser(description="Moka beside other engines")
    p.add_argument("build")
    p.add_argument("--nets", default=",".join(NETS))
    p.add_argument("--rows", default=",".join(f"{b}x{t}" for b, t in ROWS), help="batch x threads, as 1x1,16x2")
    p.add_argument("--seconds", type=float, default=6, help="of measuring, per row")
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--train-threads", type=int, default=min(2, os.cpu_count() or 1))
    p.add_argument("--no-train", action="store_true")
    p.add_argument("--no-peers", action="store_true")
    p.add_argument("-o", "--output", help="the figures as JSON")
    return p.parse_args()


def sources(wanted):
    paths = [os.path.join(SHARED, "nets", n + ".prototxt") for n in wanted]
    return [p for p in paths if os.path.exists(p)] or [os.path.join(ROOT, "examples", "fashion", "lenet_deploy.prototxt")]


def bench(args, folder):
    moka = os.path.join(args.build, "moka")
    peers = Peers(args.build, args.no_peers)
    names = peers.names()
    peak = float(subprocess.check_output([os.path.join(args.build, "bench", "bench_kernels"), "peak"], text=True))
    result = {"date": datetime.date.today().isoformat(), "machine": machine(), "peak_gflops": peak, "rows": [], "train": []}
    head("forward", names)
    for source in sources(args.nets.split(",")):
        for batch, threads in [tuple(int(v) for v in r.split("x")) for r in args.rows.split(",")]:
            row = measure(peers, Job(moka, source, folder, batch), batch, threads, args)
            row["net"] = os.path.splitext(os.path.basename(source))[0]
            result["rows"].append(row)
            show(row, names, peak)
    mean(result["rows"])
    names = [n for n in names if n in ("Moka", "PyTorch", "BVLC Caffe")]
    if not args.no_train:
        head("training", names)
    for name, batch in [] if args.no_train else TRAIN:
        source = os.path.join(SHARED, "nets", name + ".prototxt")
        if name not in args.nets.split(",") or not os.path.exists(source):
            continue
        row = measure(peers, Job(moka, source, folder, batch, True), batch, args.train_threads, args, True)
        row["net"], row["work"] = name, 3  # backward by data and by weights
        result["train"].append(row)
        show(row, names, peak)
    mean(result["train"])
    return result


def main():
    args = read_args()
    with tempfile.TemporaryDirectory() as folder:
        result = bench(args, folder)
    if args.output:
        with open(args.output, "w", encoding="utf-8") as f:
            json.dump(result, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
