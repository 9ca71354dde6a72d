"""Times this project's runtime and onnxruntime on the same networks, by turns, and prints the ratio.

    cargo build --release
    pip install onnxruntime numpy
    python docs/compare_onnxruntime.py target/release/yolox-nano
    python docs/compare_onnxruntime.py target/release/yolox-nano --pair mine.safetensors mine.onnx --threads 1

Without --pair: the published weights, exported here. A pair is a weight file (or a name in models/manifest.json) and
its ONNX file, made by `yolox-nano export` for one square picture; --pair may be given several times.

In each round, both run once with every number of threads, one right after the other, so that a machine that is slow
for a while is slow for both. Figures are medians over the rounds of each round's median; onnxruntime gets all its
optimisations (the default), N threads inside an operation, one operation at a time.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy
import onnxruntime

WARM_UP = 5


def ours(program, weights, size, threads, runs):
    """Median milliseconds of the network, without preprocessing and postprocessing."""
    command = [program, "bench", "--json", "--threads", threads, "--runs", runs, "--size", size]
    command += ["--weights", weights] if weights else []
    output = subprocess.run([str(word) for word in command], check=True, capture_output=True).stdout
    return json.loads(output)["network_ms"]


def theirs(onnx, threads, runs):
    """Median milliseconds of a run of onnxruntime, in a session of its own."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    pixels = (numpy.arange(numpy.prod(image.shape)) * 7919 % 256).astype("f4").reshape(image.shape)
    times = []
    for run in range(WARM_UP + runs):
        start = time.perf_counter()
        session.run(None, {image.name: pixels})
        if run >= WARM_UP:
            times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def input_size(onnx):
    batch, _, height, width = onnxruntime.InferenceSession(onnx).get_inputs()[0].shape
    if batch != 1 or height != width:
        raise SystemExit(f"{onnx}: one square picture at a time can be compared, not {batch} of {height} x {width}")
    return height


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the program yolox-nano")
    parser.add_argument("--pair", nargs=2, action="append", metavar=("WEIGHTS", "ONNX"))
    parser.add_argument("--threads", default="1,2", help="numbers of threads [1,2]")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=40, help="runs a round [40]")
    args = parser.parse_args()
    threads = [int(number) for number in args.threads.split(",")]
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0
    if busy > 0.5:
        print(f"the machine is busy (load {busy:.1f}): ratios will be noise, of several threads most", file=sys.stderr)

    with tempfile.TemporaryDirectory() as folder:
        pairs = args.pair
        if not pairs:
            pairs = [(None, os.path.join(folder, "published.onnx"))]
            subprocess.run([args.program, "export", "--out", pairs[0][1]], check=True, stdout=subprocess.DEVNULL)
        times = {}
        for _ in range(args.rounds):
            for weights, onnx in pairs:
                size = input_size(onnx)
                for count in threads:
                    both = times.setdefault((onnx, count), ([], []))
                    both[0].append(ours(args.program, weights, size, count, args.runs))
                    both[1].append(theirs(onnx, count, args.runs))

    print(f"onnxruntime {onnxruntime.__version__}, {os.cpu_count()} cores, {args.rounds} rounds of {args.runs} runs\n")
    print("| network | threads | yolox-nano ms | onnxruntime ms | ratio | ratio of the rounds |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for (onnx, count), (a, b) in times.items():
        name = pathlib.Path(onnx).stem
        ratios = [x / y for x, y in zip(a, b)]
        a, b = statistics.median(a), statistics.median(b)
        print(f"| {name} | {count} | {a:.2f} | {b:.2f} | {a / b:.2f} | {min(ratios):.2f}-{max(ratios):.2f} |")


if __name__ == "__main__":
    main()
