#!/usr/bin/env python3
"""Figures of bench.py -> docs/performance.md and docs/performance.svg.

    report.py BENCH.json [FOLDER]

The text around the tables is here too: the page is made anew as a whole, so that no figure outlives its run. FOLDER is docs/ unless
given.
"""
import json
import math
import os
import statistics
import sys

NAMES = ["Moka", "ONNX Runtime", "OpenCV", "PyTorch", "ncnn", "BVLC Caffe"]
COLOURS = {"Moka": "#7b3f00", "ONNX Runtime": "#5b8db8", "OpenCV": "#7aa974", "PyTorch": "#d98c4a", "ncnn": "#9673a6", "BVLC Caffe": "#999999"}
OTHER_COLOURS = ["#c0504d", "#4bacc6", "#8c8c3a", "#d17bab"]


def present(rows):
    """The engines that took part, those that bench.py doesn't know itself at the end."""
    found = {n for r in rows for n in r["peers"]}
    return [n for n in NAMES if n in found] + sorted(found - set(NAMES))


def colour(name, names):
    others = [n for n in names if n not in COLOURS]
    return COLOURS.get(name) or OTHER_COLOURS[others.index(name) % len(OTHER_COLOURS)]


def best_other(row):
    others = [p["ms"] for n, p in row["peers"].items() if n != "Moka"]
    return min(others) if others else None


def ratio(row):
    other = best_other(row)
    return other / row["peers"]["Moka"]["ms"] if other and "Moka" in row["peers"] else None


def mean(rows):
    found = [r for r in map(ratio, rows) if r]
    return statistics.geometric_mean(found) if found else None


def figure(v):
    return f"{v:.3f}" if v < 1 else f"{v:.2f}" if v < 10 else f"{v:.1f}" if v < 100 else f"{v:.0f}"


def times(rows, names, peak, work):
    out = ["| net | batch | threads | " + " | ".join(names) + " | speed | of peak |",
           "|---|--:|--:|" + "--:|" * (len(names) + 2)]
    for r in rows:
        fastest = min((p["ms"] for p in r["peers"].values()), default=None)
        cells = []
        for n in names:
            p = r["peers"].get(n)
            text = figure(p["ms"]) if p else "-"
            cells.append(f"**{text}**" if p and p["ms"] == fastest else text)
        share = "-"
        if "Moka" in r["peers"]:
            share = f'{100 * 2e-6 * r["macs"] * work / r["peers"]["Moka"]["ms"] / (peak * r["threads"]):.0f} %'
        speed = ratio(r)
        out.append(f'| {r["net"]} | {r["batch"]} | {r["threads"]} | ' + " | ".join(cells) + f' | {f"{speed:.2f}" if speed else "-"} | {share} |')
    average = mean(rows)
    if average:
        out.append("")
        out.append(f"Speed is the best other engine's time over Moka's; its geometric mean is **{average:.2f}**.")
    return "\n".join(out)


def facts(rows, names):
    """Load time and memory, of the rows with batch 1 and one thread."""
    rows = [r for r in rows if r["batch"] == 1 and r["threads"] == 1]
    names = [n for n in names if n != "BVLC Caffe"]
    out = ["| net | " + " | ".join(f"{n}, ms" for n in names) + " | " + " | ".join(f"{n}, MB" for n in names) + " |",
           "|---|" + "--:|" * (2 * len(names))]
    for r in rows:
        load = [figure(r["peers"][n]["load_ms"]) if n in r["peers"] else "-" for n in names]
        memory = [f'{r["peers"][n]["memory"] / 1e6:.0f}' if n in r["peers"] else "-" for n in names]
        out.append(f'| {r["net"]} | ' + " | ".join(load + memory) + " |")
    return "\n".join(out)


def differences(rows):
    """The largest of each engine, and which modes PyTorch and ncnn took."""
    out = []
    for n in present(rows)[1:]:
        found = [r["peers"][n]["difference"] for r in rows if n in r["peers"] and r["peers"][n]["difference"] is not None]
        modes = sorted({r["peers"][n]["mode"] for r in rows if n in r["peers"] and r["peers"][n]["mode"]})
        if found:
            out.append(f"- {n}: at most {max(found):.0e} of the largest output" + (f"; modes taken: {', '.join(modes)}" if modes else ""))
    left = sorted({f'- {r["net"]}, batch {r["batch"]}: {note}' for r in rows for note in r["notes"]})
    return "\n".join(out + left)


PAGE = """# Performance

Made by `bench/report.py` from one run of `make bench`; nothing here is typed by hand.

Measured {date} on {cpu}, {cores} cores, {system}; a loop of fused multiply-adds reaches {peak:.0f} GFLOP/s a core. Milliseconds a batch,
float32, medians; the fastest of a row is bold.

![speed of each engine, the fastest of a row being 1](performance.svg)

## Forward

{forward}
{training}
## Loading, and memory

From the start of loading to the end of the first pass, files in the page cache; and the largest resident memory of the program, its language's
own included. PyTorch reads the net through a Python reader of ONNX, which is not its fault.

{facts}

## How it was measured

Every engine runs in a program of its own that stays open; all read the same net with the same random weights (Moka and OpenCV the
.caffemodel, ONNX Runtime and PyTorch what `moka convert -o net.onnx` makes of it). Before the clock starts, each one's output for the same
input is compared with Moka's, and whoever differs by more than a thousandth of the largest value is left out. Then they run in turns,
in a new order each round. PyTorch runs traced, with oneDNN's fusions and in both memory layouts, and its fastest mode counts.
{about}"Of peak" is twice the multiply-accumulates of the net's plain arithmetic over the time; Winograd's algorithm does with fewer, so it may pass
100 %. In training it is three times the forward pass's.

{differences}
"""


ABOUT = {
    "ncnn": """ncnn runs what `caffe2ncnn` and `ncnnoptimize` make of the .caffemodel, without its 16-bit storage; its nets take one image, so a batch is
run image after image, as one blob that ncnn takes apart itself, and with images side by side, and the fastest of the three counts.
""",
    "BVLC Caffe": """BVLC Caffe is timed by `caffe time`, a program that starts anew in each round, fills the net's weights itself and shows no outputs: nothing of
it is compared. Its training steps are those of `caffe train` with the same weights and solver, by the times in its log; its first loss is compared.
""",
}


def page(result):
    rows, train = result["rows"], result["train"]
    training = ""
    if train:
        training = "\n## Training steps\n\nForward, backward, update (SGD with momentum and weight decay).\n\n"
        training += times(train, present(train), result["peak_gflops"], 3) + "\n"
    m = result["machine"]
    return PAGE.format(date=result["date"], cpu=m["cpu"] or "an unnamed processor", cores=m["cores"], system=m["system"], peak=result["peak_gflops"],
                       forward=times(rows, present(rows), result["peak_gflops"], 1), training=training, facts=facts(rows, present(rows)),
                       differences=differences(rows + train), about="".join(ABOUT[n] for n in present(rows + train) if n in ABOUT))


def picture(result):
    """A block of bars a row: how fast each engine is, the fastest being 1."""
    rows = [r for r in result["rows"] + result["train"] if r["peers"]]
    names = present(rows)
    bar, gap, left, width = 9, 10, 210, 640
    block = bar * len(names) + gap
    height = 46 + block * len(rows) + 10
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 70}" height="{height}" font-family="sans-serif" font-size="11">',
           f'<rect width="100%" height="100%" fill="#ffffff"/>']
    x = left
    for n in names:
        out.append(f'<rect x="{x}" y="12" width="12" height="12" fill="{colour(n, names)}"/><text x="{x + 17}" y="22">{n}</text>')
        x += 40 + 7 * len(n)
    for share in (0.25, 0.5, 0.75, 1):
        at = left + width * share
        out.append(f'<line x1="{at}" y1="36" x2="{at}" y2="{height - 6}" stroke="#dddddd"/><text x="{at}" y="34" fill="#777777" text-anchor="middle">{share:g}</text>')
    for i, r in enumerate(rows):
        y = 44 + i * block
        kind = " training" if r in result["train"] else ""
        label = f'{r["net"]}{kind} {r["batch"]} x {r["threads"]} thread{"s" if r["threads"] > 1 else ""}'
        out.append(f'<text x="{left - 8}" y="{y + bar * len(names) / 2 + 4}" text-anchor="end">{label}</text>')
        fastest = min(p["ms"] for p in r["peers"].values())
        for k, n in enumerate(names):
            if n in r["peers"]:
                ms = r["peers"][n]["ms"]
                length = max(width * fastest / ms, 1)
                out.append(f'<rect x="{left}" y="{y + k * bar}" width="{length:.1f}" height="{bar - 1}" fill="{colour(n, names)}"/>'
                           f'<text x="{left + length + 4:.1f}" y="{y + k * bar + 7.5}" font-size="8" fill="#555555">{figure(ms)} ms</text>')
    return "\n".join(out + ["</svg>", ""])


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__.strip())
    folder = sys.argv[2] if len(sys.argv) > 2 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "docs")
    with open(sys.argv[1], encoding="utf-8") as f:
        result = json.load(f)
    assert all(math.isfinite(p["ms"]) for r in result["rows"] for p in r["peers"].values())
    for name, text in (("performance.md", page(result)), ("performance.svg", picture(result))):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)


if __name__ == "__main__":
    main()
