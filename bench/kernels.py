"""Every CUDA kernel at the shapes of real GANs, beside cuBLAS, cuDNN and PyTorch: `python bench/kernels.py`.

Convolutions forward and backward in tf32, fp32 and bf16, norms, losses, optimizers, random numbers, pictures, dense
layers; our versions from naive to chosen beside the vendor's kernel in the same precision and layout. Each side is
checked against float64 first. Times are the device's alone (`measure/clock.py`), in turns, medians; useful TFLOP/s and
GB/s by the formulas of `cases/shapes.py`, as a share of what this device did at most in this run
(`measure/ceilings.py`). `ratio` is the vendor's time to that of the row: above 1 the row is faster. A JSON row a side.
Needs a GPU, CuPy and PyTorch;
`--device emulated` takes the same way without one, on tiny shapes, with times that mean nothing.
"""

import argparse
import json
import re
import time
from functools import partial
from importlib.util import find_spec
from itertools import chain, zip_longest
from pathlib import Path

from cases.loops import cases
from cases.passes import PRODUCTS
from cases.shapes import NETWORKS
from cases.sides import Passes, Subject, case_subject, error, on_gpu, product_subject, use_precision
from measure.ceilings import ceilings, floor_us
from measure.clock import REPEATS, HostClock, clock, measure, share_stream, summary
from measure.record import clocks, environment, save

from inachus.kernels import use

TOLERANCES = {"tf32": 5e-3, "bf16": 4e-2, "fp32": 1e-4, "": 1e-4}  # largest error relative to the largest result
SHORT = 20  # microseconds below which a kernel is also timed warm, in a graph
LAYERS = [  # network, batch
    ("dcgan-64", 128),
    ("resnet-9", 1),
    ("unet-256", 1),
    ("patchgan-6", 1),
    ("patchgan-3", 1),
    ("dcgan-64", 64),
    ("unet-256", 4),
    ("resnet-9", 4),
    ("patchgan-6", 4),
]
QUICK = {  # of the first sizes these layers
    "dcgan-64": ".*",
    "resnet-9": "first|block|up1|last",
    "unet-256": "down1|down4|down7|up2|up6",
    "patchgan-6": "D4",
}
VERSIONS = {"D2", "G3", "block"}  # the layers whose naive versions are timed in a quick run
DENSE = [("gan", 64, 256, 100), ("gan", 64, 512, 256), ("gan", 64, 784, 512), ("", 4096, 4096, 4096)]  # M, N, K


class Bench:
    """Measures subjects one by one until the time is up; `rows` is what was found."""

    def __init__(self, args: argparse.Namespace, with_torch: bool):
        self.args, self.with_torch, self.on, self.rows, self.broken = args, with_torch, clock(), [], 0
        self.end = time.monotonic() + args.budget
        self.ceilings = {} if args.toy else ceilings(self.on, with_torch)
        self.facts = environment(on_gpu()) | {"ceilings": self.ceilings}

    def left(self) -> float:
        """Seconds until the end of the budget."""
        return self.end - time.monotonic()

    def run(self) -> None:
        """Everything asked for, as far as the time goes."""
        jobs = [(name, job) for name, job in self.jobs() if re.search(self.args.only, name)]
        for done, (name, job) in enumerate(jobs):
            if self.left() < 0 or self.broken > 2:
                print(f"stopped after {done} of {len(jobs)} sizes; next is {name}", flush=True)
                return
            try:
                for subject in job():
                    self.measure(subject)
                self.broken = 0
            except Exception as problem:  # the others are worth their rows; but a device can be lost
                self.broken += 1
                self.rows.append({"op": "", "network": name, "impl": "ours", "failed": _words(problem)})
                print(f"{name}: {_words(problem)}", flush=True)
            self.save()

    def jobs(self):
        """(name, function that gives subjects) of every size: layers, other kernels and more layers in turn."""
        networks = [("toy", 2)] if self.args.toy else LAYERS[: 4 if self.args.quick else None]
        passes = [
            [
                (f"{network} batch {batch} {layer.name}", partial(self.passes, network, layer, batch))
                for layer in NETWORKS[network]
                if not self.args.quick or re.fullmatch(QUICK.get(network, ".*"), layer.name)
            ]
            for network, batch in networks
        ]
        some = [(f"{c.network} {c.op} {c.layer}", partial(self.case, c)) for c in cases(self.args.toy)]
        for network, *size in [("toy", 33, 20, 17)] if self.args.toy else DENSE:
            some.append((f"{network} matmul {size}", partial(self.dense, network, *size)))
        for jobs in zip_longest(passes[0], some, chain(*passes[1:])):
            yield from filter(None, jobs)

    def case(self, case):
        """The subject of a kernel that is bound by memory."""
        yield case_subject(case, self.with_torch)

    def passes(self, network, layer, batch):
        """The subjects of a layer, in the precisions asked for."""
        found = Passes(network, layer, batch, self.with_torch)
        versions = not self.args.quick or layer.name in VERSIONS
        for op in found.names:
            for precision in self.args.precisions if op in PRODUCTS else [""]:
                use_precision(precision or "tf32", self.with_torch)
                if self.args.tune and op in PRODUCTS:
                    self.tune(found, op, precision)
                yield found.subject(op, precision, versions, self.args.tiles)

    def tune(self, found, op, precision):
        """Measures every tile for a pass; the winners go to the user's cache, and from there into `ours`."""
        from inachus.kernels.cuda.convolution import tiles

        kernel, *shape = found.convolution(op)
        choice = tiles.tune(kernel, tuple(shape), precision, found.there.x)
        print(f"tuned {found.network} {found.layer.name} {op} {precision}: {choice.tile} / {choice.splits}", flush=True)

    def dense(self, network, M, N, K):
        """The subjects of a dense layer."""
        for precision in self.args.precisions:
            use_precision(precision, self.with_torch)
            yield product_subject(network, M, N, K, precision, self.with_torch, True)

    def measure(self, subject: Subject) -> None:
        """Checks every side, times those that are right, and adds their rows."""
        sides, errors = dict(subject.sides), {}
        for name in subject.sides:
            try:
                result = sides[name]()()
                errors[name] = None if name in subject.unchecked else error(result, subject)
            except Exception as problem:  # one side of many
                self.wrong(subject, name, {"failed": _words(problem)})
                del sides[name]
        for name, off in errors.items():
            if off is not None and not off < TOLERANCES[subject.precision]:
                self.wrong(subject, name, {"err": off, "failed": "wrong"})
                del sides[name]
        if not sides:
            return
        times = measure(self.on, sides, self.args.seconds)
        self.add(subject, times, errors, warm=False)
        pair = [name for name in ("ours", subject.rival) if name in sides and name != "cublas"]  # CuPy captures none
        if not isinstance(self.on, HostClock) and any(summary(times[name])["median_us"] < SHORT for name in pair):
            self.warm(subject, pair, errors)

    def warm(self, subject, names, errors):
        """Rows of the same calls, many in a graph, with their data in the cache."""
        graphs = {}
        for name in names:
            try:
                graphs[name] = self.on.repeated(subject.sides[name], with_torch=name != "ours")
            except Exception as problem:  # not everything can be captured
                self.wrong(subject, name, {"failed": f"no graph: {_words(problem)}", "warm": True})
        if graphs:
            times = measure(self.on, graphs, self.args.seconds, flush=False)
            self.add(subject, {n: [us / REPEATS for us in all_us] for n, all_us in times.items()}, errors, warm=True)

    def add(self, subject, times, errors, warm):
        """A row for each side, and a line on the screen."""
        medians = {name: summary(us)["median_us"] for name, us in times.items()}
        for name, us in times.items():
            size, median = subject.sizes.get(name, subject.bytes), medians[name]
            least = floor_us(subject.flops, size, subject.precision, self.ceilings)
            self.rows.append(_head(subject, name) | summary(us) | {
                "tflops": round(subject.flops / median / 1e6, 3) if subject.flops else None,
                "gbps": round(size / median / 1e3, 1),
                "roofline_pct": round(100 * least / median, 1) if least else None,
                "ratio": round(medians[subject.rival] / median, 3) if subject.rival in medians else None,
                "err": errors[name] and float(f"{errors[name]:.2e}"),
                "warm": warm,
            })
            print(line(self.rows[-1]), flush=True)

    def wrong(self, subject, name, what):
        """A row of a side that was not timed."""
        self.rows.append(_head(subject, name) | what)
        print(line(self.rows[-1]), flush=True)

    def save(self) -> Path | None:
        """Writes what there is, if it was asked for."""
        if self.args.out or self.args.save:
            return save("kernels", self.rows, self.facts | {"clocks_after": clocks()}, self.args.out)
        return None


def _words(problem):
    return f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}"


def _head(subject, name):
    return {"op": subject.op, "network": subject.network, "layer": subject.layer, "shape": subject.shape,
            "precision": subject.precision or "float32", "impl": name}


def line(row: dict) -> str:
    """A row in words."""
    head = f"{row['network']:10} {row['layer']:34.34} {row['op']:15} {row['precision']:7} {row['impl']:20.20}"
    if "failed" in row:
        return f"{head} {row['failed']} {row.get('err', '')}"
    speed = f"{row['tflops']:8.2f} TFLOP/s" if row["tflops"] else f"{row['gbps']:8.0f} GB/s   "
    share = f"{row['roofline_pct']:6.1f} % of the roof" if row["roofline_pct"] else ""
    ratio = f" ratio {row['ratio']:.2f}" if row["ratio"] else ""
    return f"{head} {row['median_us']:10.2f} us {speed}{share}{ratio}{' warm' * row['warm']}"


def options() -> argparse.Namespace:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--device", default="cuda", choices=("cuda", "emulated"))
    p.add_argument("--precisions", nargs="+", default=None, help="of tf32 fp32 bf16; all, in a quick run the first two")
    p.add_argument("--quick", action="store_true", help="DCGAN-64 at batch 128 and a few layers of the others")
    p.add_argument("--toy", action="store_true", help="tiny shapes, each array an allocation of its own: for checkers")
    p.add_argument("--tiles", action="store_true", help="also every tile that fits, beside the chosen one")
    p.add_argument("--tune", action="store_true", help="first find the best tile for each pass (minutes)")
    p.add_argument("--only", default="", metavar="REGEX", help="sizes whose name it finds")
    p.add_argument("--seconds", type=float, default=0.02, help="of work for each side, at most (0.02)")
    p.add_argument("--budget", type=float, default=float("inf"), help="seconds after which no new size is begun")
    p.add_argument("--without-torch", action="store_true", help="our side and cuBLAS alone")
    p.add_argument("--save", action="store_true", help="write bench/results/kernels-CARD-DATE.json")
    p.add_argument("--out", type=Path, metavar="DIR", help="write it there")
    args = p.parse_args()
    args.toy = args.toy or args.device == "emulated"
    args.precisions = args.precisions or (["tf32", "fp32"] if args.quick else ["tf32", "fp32", "bf16"])
    return args


def main() -> None:
    """Prints a line a row and, with --save or --out, writes them as JSON."""
    args = options()
    use(args.device)
    with_torch = not args.without_torch and find_spec("torch") is not None
    if with_torch:
        import torch

        torch.set_grad_enabled(False)
        torch.backends.cudnn.benchmark = True
        if on_gpu():
            share_stream()
    if args.toy and on_gpu():
        import cupy

        cupy.cuda.set_allocator(None)
    bench = Bench(args, with_torch)
    print(json.dumps(bench.facts), flush=True)
    bench.run()
    wrong = [row for row in bench.rows if row["impl"] == "ours" and "failed" in row and not row.get("warm")]
    print(f"{len(bench.rows)} rows; ours failed in {len(wrong)}", flush=True)
    if file := bench.save():
        print(file)
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
