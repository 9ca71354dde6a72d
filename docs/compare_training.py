"""Trains with PyTorch on the CPU what yolox-nano has trained, from the same first weights on the same batches, and compares.

    cargo build --release --examples --bins
    target/release/yolox-nano train --train VOC2007:train --epochs 2 --batch 16 --size 160 --out runs/s0
    target/release/examples/dump_batches runs/s0 batches/s0
    pip install torch==2.11.0
    python docs/compare_training.py train batches/s0 torch/s0
    python docs/compare_training.py train batches/s0 torch/s0-moved --move 1e-7
    python docs/compare_training.py table --ours runs/s0 --torch torch/s0 --moved torch/s0-moved
    python docs/compare_training.py weights --ours runs/s0 --torch torch/s0 --moved torch/s0-moved --batches batches/s0

`train` is a second implementation of YOLOX's training, which shares no code with the first: network, assignment and loss
(https://github.com/Megvii-BaseDetection/YOLOX: yolox/models), groups of parameters (yolox/exp/yolox_base.py), learning rate
(yolox/utils/lr_scheduler.py) and the mean of the weights (yolox/utils/ema.py), around torch.optim.SGD. --move changes each
first weight by up to that part of itself: how far two runs come apart that differ by nothing but rounding. --double
computes in double precision.

`table` compares losses. It takes as many runs as there are, each option's in the same order, and prints means over windows
of steps. `weights` compares what two short runs end with.
"""

import argparse
import json
import math
import pathlib
import statistics
import struct
import time

import torch
from torch import nn
from torch.nn import functional

STRIDES = (8, 16, 32)
LOSSES = ("loss", "iou", "obj", "cls", "l1")
WINDOW = 25


def tensors(path):
    """The tensors of a safetensors file."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    types = {"F32": torch.float32, "U8": torch.uint8}
    found = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            values = bytearray(data[begin:end])
            flat = torch.frombuffer(values, dtype=types[entry["dtype"]]) if values else torch.zeros(0)
            found[name] = flat.view(entry["shape"])
    return found


# The network. Attributes are named as in Megvii's, because the tensors of weight files are.


class Layer(nn.Module):
    """Convolution, batch normalisation, SiLU."""

    def __init__(self, inputs, outputs, kernel=1, stride=1, groups=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)

    def forward(self, x):
        return functional.silu(self.bn(self.conv(x)))


class Separable(nn.Module):
    """A depthwise 3 x 3 layer and a pointwise one."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.dconv = Layer(inputs, inputs, 3, stride, groups=inputs)
        self.pconv = Layer(inputs, outputs)

    def forward(self, x):
        return self.pconv(self.dconv(x))


class Residual(nn.Module):
    def __init__(self, channels, shortcut):
        super().__init__()
        self.conv1, self.conv2, self.shortcut = Layer(channels, channels), Separable(channels, channels), shortcut

    def forward(self, x):
        y = self.conv2(self.conv1(x))
        return x + y if self.shortcut else y


class Csp(nn.Module):
    def __init__(self, inputs, outputs, blocks, shortcut):
        super().__init__()
        half = outputs // 2
        self.conv1, self.conv2, self.conv3 = Layer(inputs, half), Layer(inputs, half), Layer(outputs, outputs)
        self.m = nn.Sequential(*(Residual(half, shortcut) for _ in range(blocks)))

    def forward(self, x):
        return self.conv3(torch.cat([self.m(self.conv1(x)), self.conv2(x)], 1))


class Pyramid(nn.Module):
    """Spatial pyramid pooling."""

    def __init__(self, channels):
        super().__init__()
        self.conv1, self.conv2 = Layer(channels, channels // 2), Layer(2 * channels, channels)

    def forward(self, x):
        x = self.conv1(x)
        pooled = [functional.max_pool2d(x, size, 1, size // 2) for size in (5, 9, 13)]
        return self.conv2(torch.cat([x, *pooled], 1))


class Stem(nn.Module):
    """Every second pixel of every second row, from four corners, as channels."""

    def __init__(self):
        super().__init__()
        self.conv = Layer(12, 16, 3)

    def forward(self, x):
        corners = [x[..., y::2, left::2] for left in (0, 1) for y in (0, 1)]
        return self.conv(torch.cat(corners, 1))


class Darknet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = Stem()
        self.dark2 = nn.Sequential(Separable(16, 32, 2), Csp(32, 32, 1, True))
        self.dark3 = nn.Sequential(Separable(32, 64, 2), Csp(64, 64, 3, True))
        self.dark4 = nn.Sequential(Separable(64, 128, 2), Csp(128, 128, 3, True))
        self.dark5 = nn.Sequential(Separable(128, 256, 2), Pyramid(256), Csp(256, 256, 1, False))

    def forward(self, x):
        third = self.dark3(self.dark2(self.stem(x)))
        fourth = self.dark4(third)
        return third, fourth, self.dark5(fourth)


class Neck(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Darknet()
        self.lateral_conv0, self.C3_p4 = Layer(256, 128), Csp(256, 128, 1, False)
        self.reduce_conv1, self.C3_p3 = Layer(128, 64), Csp(128, 64, 1, False)
        self.bu_conv2, self.C3_n3 = Separable(64, 64, 2), Csp(128, 128, 1, False)
        self.bu_conv1, self.C3_n4 = Separable(128, 128, 2), Csp(256, 256, 1, False)

    def forward(self, x):
        def twice(x):
            return functional.interpolate(x, scale_factor=2, mode="nearest")

        third, fourth, fifth = self.backbone(x)
        down5 = self.lateral_conv0(fifth)
        down4 = self.reduce_conv1(self.C3_p4(torch.cat([twice(down5), fourth], 1)))
        out3 = self.C3_p3(torch.cat([twice(down4), third], 1))
        out4 = self.C3_n3(torch.cat([self.bu_conv2(out3), down4], 1))
        return out3, out4, self.C3_n4(torch.cat([self.bu_conv1(out4), down5], 1))


class Head(nn.Module):
    def __init__(self, classes):
        super().__init__()

        def branches():
            return nn.ModuleList(nn.Sequential(Separable(64, 64), Separable(64, 64)) for _ in STRIDES)

        def outputs(channels):
            return nn.ModuleList(nn.Conv2d(64, channels, 1) for _ in STRIDES)

        self.stems = nn.ModuleList(Layer(channels, 64) for channels in (64, 128, 256))
        self.cls_convs, self.reg_convs = branches(), branches()
        self.cls_preds, self.reg_preds, self.obj_preds = outputs(classes), outputs(4), outputs(1)
        for conv in (*self.cls_preds, *self.obj_preds):
            # So that everything begins as improbable as 1 %.
            nn.init.constant_(conv.bias, -math.log(99))

    def forward(self, features):
        levels = []
        for i, x in enumerate(features):
            x = self.stems[i](x)
            boxes, classes = self.reg_convs[i](x), self.cls_convs[i](x)
            rows = [self.reg_preds[i](boxes), self.obj_preds[i](boxes), self.cls_preds[i](classes)]
            levels.append(torch.cat(rows, 1).flatten(2))
        return torch.cat(levels, 2).transpose(1, 2)


class Yolox(nn.Module):
    """Pictures x 3 x height x width to pictures x anchors x (4 + 1 + classes), undecoded."""

    def __init__(self, classes):
        super().__init__()
        self.backbone, self.head = Neck(), Head(classes)

    def forward(self, x):
        return self.head(self.backbone(x))


# The loss.


def grid(height, width):
    """For all anchors column, row and stride."""
    levels = []
    for stride in STRIDES:
        y, x = torch.meshgrid(torch.arange(height // stride), torch.arange(width // stride), indexing="ij")
        levels.append(torch.stack([x.flatten(), y.flatten(), torch.full((x.numel(),), stride)], 1))
    return torch.cat(levels).to(torch.get_default_dtype())


def overlap(a, b):
    """Intersection and union of boxes (cx, cy, w, h), which are broadcast."""
    low = torch.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = torch.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    both = (high - low).prod(-1) * (low < high).all(-1)
    return both, a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - both


@torch.no_grad()
def assign(boxes, rows, anchors, objects):
    """SimOTA for one picture: anchors (their positions), their objects, and the IoUs of both. Objects: class, cx, cy, w, h."""
    stride = anchors[:, 2]
    away = ((anchors[:, None, :2] + 0.5) * stride[:, None, None] - objects[None, :, 1:3]).abs()
    near = (away < 1.5 * stride[:, None, None]).all(2).T
    candidates = near.any(0).nonzero()[:, 0]
    near = near[:, candidates]
    if not len(candidates):
        return candidates, candidates, torch.zeros(0)

    both, union = overlap(objects[:, None, 1:], boxes[candidates][None])
    iou = both / union
    probability = (rows[candidates, 5:].sigmoid() * rows[candidates, 4:5].sigmoid()).sqrt()
    wanted = functional.one_hot(objects[:, 0].long(), probability.shape[1]).to(probability.dtype)
    shape = (len(objects), *probability.shape)
    classes = functional.binary_cross_entropy(
        probability[None].expand(shape), wanted[:, None].expand(shape), reduction="none"
    ).sum(2)
    cost = classes - 3 * (iou + 1e-8).log() + 1e6 * ~near

    taken = torch.zeros_like(near)
    counts = iou.topk(min(10, len(candidates)), 1).values.sum(1).int().clamp(min=1)
    for i, count in enumerate(counts.tolist()):
        taken[i, cost[i].topk(count, largest=False).indices] = True
    contested = taken.sum(0) > 1
    cheapest = functional.one_hot(cost.argmin(0), len(objects)).T.bool()
    taken = torch.where(contested, cheapest, taken)
    place = taken.any(0).nonzero()[:, 0]
    owner = taken[:, place].int().argmax(0)
    return candidates[place], owner, iou[owner, place]


def losses(output, objects, height, width, l1):
    """The parts of the loss, of which "loss" is the sum, and the number of foreground anchors.

    Objects: a row each of picture, class, cx, cy, w, h.
    """
    anchors = grid(height, width)
    cell, stride = anchors[:, :2], anchors[:, 2:]
    boxes = torch.cat([(output[..., :2] + cell) * stride, output[..., 2:4].exp() * stride], 2)
    wanted = torch.zeros(output.shape[:2])
    zero = output.new_zeros(())
    iou, cls, distance, foreground = zero, zero, zero, 0
    for i, rows in enumerate(output):
        here = objects[objects[:, 0] == i, 1:]
        if not len(here):
            continue
        found, owner, fit = assign(boxes[i], rows, anchors, here)
        foreground += len(found)
        wanted[i, found] = 1
        ideal = here[owner]
        both, union = overlap(boxes[i, found], ideal[:, 1:])
        iou = iou + (1 - (both / (union + 1e-16)) ** 2).sum()
        classes = functional.one_hot(ideal[:, 0].long(), rows.shape[1] - 5) * fit[:, None]
        cls = cls + functional.binary_cross_entropy_with_logits(rows[found, 5:], classes, reduction="sum")
        centre = ideal[:, 1:3] / stride[found] - cell[found]
        size = (ideal[:, 3:] / stride[found] + 1e-8).log()
        distance = distance + (rows[found, :4] - torch.cat([centre, size], 1)).abs().sum()
    obj = functional.binary_cross_entropy_with_logits(output[..., 4], wanted, reduction="sum")
    count = max(foreground, 1)
    parts = {"iou": 5 * iou / count, "obj": obj / count, "cls": cls / count, "l1": distance / count if l1 else zero}
    return {"loss": sum(parts.values()), **parts}, foreground


# The training.


def learning_rate(plan, step):
    peak, warmup, flat = plan["lr"], plan["warmup"], plan["plain_from"]
    if step <= warmup and warmup:
        return peak * (step / warmup) ** 2
    if step >= flat:
        return 0.05 * peak
    return 0.05 * peak + 0.475 * peak * (1 + math.cos(math.pi * (step - warmup) / (flat - warmup)))


def optimizer(network, weight_decay):
    """Weights of convolutions decay, nothing else does."""
    groups = {"norms": [], "kernels": [], "biases": []}
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            groups["norms"].append(module.weight)
        elif isinstance(module, nn.Conv2d):
            groups["kernels"].append(module.weight)
        if isinstance(getattr(module, "bias", None), nn.Parameter):
            groups["biases"].append(module.bias)
    given = [
        {"params": values, "weight_decay": weight_decay if name == "kernels" else 0.0} for name, values in groups.items()
    ]
    return torch.optim.SGD(given, lr=0.0, momentum=0.9, nesterov=True)


@torch.no_grad()
def follow(mean, network, decay, updates):
    """The mean of the weights. In YOLOX the decay is 0.9998 and the ramp 2,000; shorter trainings have both in proportion."""
    ramp = 0.4 / (1 - decay)
    decay *= 1 - math.exp(-updates / ramp)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            mean[name].mul_(decay).add_(value, alpha=1 - decay)


def load(network, values):
    """All but the number of batches that normalisations have seen, which nothing depends on."""
    missing, unexpected = network.load_state_dict(values, strict=False)
    if unexpected or not all(name.endswith("num_batches_tracked") for name in missing):
        raise SystemExit(f"other weights than the baseline's: {missing} are missing, {unexpected} left over")


def train(args):
    batches, out = pathlib.Path(args.batches), pathlib.Path(args.out)
    plan = json.loads((batches / "plan.json").read_text())
    if plan["accumulate"] != 1:
        raise SystemExit(f"{batches}: a step of several batches is not what this compares")
    torch.manual_seed(args.seed)
    torch.set_default_dtype(torch.float64 if args.double else torch.float32)
    network = Yolox(plan["classes"])
    load(network, tensors(batches / "initial.safetensors"))
    with torch.no_grad():
        for value in network.parameters():
            value.mul_(1 + args.move * (2 * torch.rand_like(value) - 1))
    sgd = optimizer(network, plan["weight_decay"])
    mean = {name: value.clone() for name, value in network.state_dict().items()}
    out.mkdir(parents=True)
    begun = time.time()
    with open(out / "metrics.jsonl", "w", buffering=1) as metrics:
        for step in range(min(plan["batches"], args.steps or plan["batches"])):
            batch = tensors(batches / f"batch-{step:05}.safetensors")
            pixels, objects = (batch[name].to(torch.get_default_dtype()) for name in ("pixels", "objects"))
            parts, foreground = losses(network(pixels), objects, *pixels.shape[2:], step >= plan["plain_from"])
            sgd.zero_grad()
            parts["loss"].backward()
            for group in sgd.param_groups:
                group["lr"] = learning_rate(plan, step)
            sgd.step()
            follow(mean, network, plan["ema_decay"], step + 1)
            record = {name: part.item() for name, part in parts.items()}
            record |= {"kind": "step", "iteration": step + 1, "lr": learning_rate(plan, step), "foreground": foreground}
            metrics.write(json.dumps(record) + "\n")
            if step % 50 == 49:
                print(f"step {step + 1}: loss {record['loss']:.3f}, {time.time() - begun:.0f} s", flush=True)
    torch.save(mean, out / "mean.pt")
    torch.save(network.state_dict(), out / "raw.pt")


# The comparison.


def read(run):
    """For each loss its values at all steps."""
    lines = (pathlib.Path(run) / "metrics.jsonl").read_text().splitlines()
    steps = [step for step in map(json.loads, lines) if step["kind"] == "step"]
    return {name: [step[name] for step in steps] for name in (*LOSSES, "foreground", "lr")}


def windows(values):
    return [statistics.mean(values[i : i + WINDOW]) for i in range(0, len(values) - WINDOW + 1, WINDOW)]


def root_mean_square(values):
    return math.sqrt(statistics.mean(value**2 for value in values))


def apart(runs, others, name):
    """For each pair of runs the relative differences of all windows."""
    pairs = [(windows(a[name]), windows(b[name])) for a, b in zip(runs, others)]
    return [[x / y - 1 if y else 0.0 for x, y in zip(a, b)] for a, b in pairs]


def spread(runs, name):
    """For each window the standard deviation of runs of several seeds, as a part of their mean."""
    columns = [column for column in zip(*(windows(run[name]) for run in runs)) if any(column)]
    return [statistics.stdev(column) / statistics.mean(column) for column in columns] if len(runs) > 1 else []


def table(args):
    ours, theirs = [read(run) for run in args.ours], [read(run) for run in args.torch]
    groups = {"ours": ours, "moved": [read(run) for run in args.moved]}
    for a, b in zip(ours, theirs):
        if not all(math.isclose(x, y, rel_tol=1e-6, abs_tol=1e-12) for x, y in zip(a["lr"], b["lr"])):
            raise SystemExit("the learning rates differ")

    print("Means over windows of steps: the loss of the first pair, and differences of the losses of all pairs, %\n")
    print("| steps | our loss | PyTorch's | ours | moved | spread of seeds |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    found = {name: apart(runs, theirs, "loss") for name, runs in groups.items()}
    seeds = spread(ours, "loss")
    for i, pair in enumerate(zip(windows(ours[0]["loss"]), windows(theirs[0]["loss"]))):
        cells = [f"{value:.3f}" for value in pair]
        cells += [
            " ".join(f"{100 * run[i]:+.2f}" if i < len(run) else "-" for run in runs) or "-" for runs in found.values()
        ]
        cells.append(f"{100 * seeds[i]:.2f}" if seeds else "-")
        print(f"| {i * WINDOW + 1}-{(i + 1) * WINDOW} | " + " | ".join(cells) + " |")

    print("\nRoot mean square (and mean) of those differences, all windows, %\n")
    print("| loss | ours | moved | spread of seeds |\n| --- | ---: | ---: | ---: |")
    for name in (*LOSSES, "foreground"):
        cells = []
        for runs in groups.values():
            values = [100 * value for run in apart(runs, theirs, name) for value in run]
            cells.append(f"{root_mean_square(values):.2f} ({statistics.mean(values):+.2f})" if values else "-")
        seeds = spread(ours, name)
        cells.append(f"{100 * root_mean_square(seeds):.2f}" if seeds else "-")
        print(f"| {name} | " + " | ".join(cells) + " |")

    print("\nGreatest relative difference of a step's loss\n")
    print("| first steps | ours | moved |\n| --- | ---: | ---: |")
    shortest = min(len(run["loss"]) for run in (*theirs, *groups["ours"], *groups["moved"]))
    for steps in (count for count in (1, 2, 3, 4, 5, 10, 20, 40, 80) if count <= shortest):
        cells = []
        for name in ("ours", "moved"):
            pairs = [(a["loss"][i], b["loss"][i]) for a, b in zip(groups[name], theirs) for i in range(steps)]
            cells.append(f"{max(abs(x / y - 1) for x, y in pairs):.1e}" if pairs else "-")
        print(f"| {steps} | " + " | ".join(cells) + " |")


def kind(name):
    """What a tensor is for."""
    for end in ("running_mean", "running_var", "bn.weight", "bn.bias", "conv.weight"):
        if name.endswith(end):
            return end
    return "outputs' weight" if name.endswith("weight") else "outputs' bias"


def weights(args):
    """How far the final weights are apart, as a part of how far training has moved them."""
    first = tensors(pathlib.Path(args.batches) / "initial.safetensors")
    print("| tensors | raw, ours | raw, moved | mean, ours | mean, moved |\n| --- | ---: | ---: | ---: | ---: |")
    columns = []
    for ours, theirs in (("last-raw", "raw"), ("last", "mean")):
        reference = torch.load(pathlib.Path(args.torch) / f"{theirs}.pt")
        for found in (
            tensors(pathlib.Path(args.ours) / "weights" / f"{ours}.safetensors"),
            torch.load(pathlib.Path(args.moved) / f"{theirs}.pt"),
        ):
            sums = {}
            for name, begin in first.items():
                squares = sums.setdefault(kind(name), [0.0, 0.0])
                squares[0] += (found[name] - reference[name]).double().square().sum().item()
                squares[1] += (reference[name] - begin).double().square().sum().item()
            columns.append({name: math.sqrt(a / b) for name, (a, b) in sums.items()})
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(f"{column[name]:.1e}" for column in columns) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("train")
    command.add_argument("batches", help="folder written by dump_batches")
    command.add_argument("out", help="new folder")
    command.add_argument("--move", type=float, default=0.0)
    command.add_argument("--double", action="store_true")
    command.add_argument("--seed", type=int, default=0, help="of --move")
    command.add_argument("--steps", type=int)
    command.set_defaults(run=train)
    command = commands.add_parser("table")
    for name in ("ours", "torch", "moved"):
        command.add_argument(f"--{name}", nargs="+", default=[], metavar="FOLDER")
    command.set_defaults(run=table)
    command = commands.add_parser("weights")
    for name in ("ours", "torch", "moved", "batches"):
        command.add_argument(f"--{name}", required=True, metavar="FOLDER")
    command.set_defaults(run=weights)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.run(args)


if __name__ == "__main__":
    main()
