"""Whether a change of the code keeps the numbers, to the last bit.

python scripts/same_bits.py record before.json                   small runs, as digests
python scripts/same_bits.py compare before.json                  the same again: what differs?
python scripts/same_bits.py compare before.json --checkout DIR   ... with the code of another one
python scripts/same_bits.py compare before.json --only drawn     ... of some runs, in half a minute

The runs go through the commands and are read from their files alone, so that old and new code can
be compared whatever they are like inside. Recorded are SHA-256 digests of every tensor of last.pt
(of best.pt all in one), of every column of metrics.jsonl but the speed, of the scores that
resnet-eval keeps and the weights it exports, and the errors of result.json as they are.

Other versions of PyTorch and other processors round differently: a record is compared only on a
machine like the one it was made on. With RESNET_DATA set, real CIFAR-10 takes part.
Exit codes: 0 the same bits, 1 they differ or a command failed, 2 a record that cannot be compared.
"""

import argparse
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

Keys = dict[str, str | int | float]  # of the command line; lists are swept
Digests = dict[str, Any]  # what was looked at -> its digest, or the figure itself
Record = dict[str, Digests]  # run -> its digests

EVERY: Keys = {"device": "cpu", "log_every": 2, "eval_every": 8, "checkpoint_every": 8}
# Fourteen layers, two blocks a stage: shortcut B has projections and identities.
SMALL: Keys = {"model.depth": 14, "batch_size": 32, "schedule.iterations": 16, **EVERY}
SMALL |= {"dataset.train_images": 200, "dataset.test_images": 150}
DRAWN: Keys = {"model": "resnet20", "dataset": "synthetic", **SMALL}
# The error of so few images stands still at once: the rate falls by the plateau rule.
PHOTOGRAPHS: Keys = {"schedule": "imagenet", "dataset.image_size": 64, "batch_size": 8}
PHOTOGRAPHS |= {"optimizer.lr": 0.01, "schedule.patience": 1, **EVERY, "eval_every": 2}
RECOMPUTED = ("activation_checkpointing=true", "checkpointing=on")  # the key's newer and older name
SPEED = "images_per_second"
REFUSED = 2  # the exit code of a key that is not known
SHOWN = 5  # differences of a run

PROBE = """
import json, PIL, numpy, torch, torchvision
has = torch.cpu.get_capabilities()
flags = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if has.get(name)]
found = {one.__name__: one.__version__ for one in (torch, torchvision, numpy, PIL)}
found["CPU"] = " ".join([has.get("cpu_name") or has.get("architecture", "unknown"), *flags])
found["kernels"] = torch.backends.cpu.get_cpu_capability()
print(json.dumps(found | {"threads": torch.get_num_threads()}))
"""


class Failed(Exception):
    """A command that did not end as it should."""


@dataclass(frozen=True)
class Training:
    """A call of resnet-train: one run, or a sweep where a key has several values."""

    keys: Keys
    either: tuple[str, ...] = ()  # words of which a checkout knows one
    stopped: bool = False  # by SIGTERM once something is logged, then continued

    @property
    def words(self) -> list[str]:
        return ["-m"] * bool(self.swept) + [f"{key}={value}" for key, value in self.keys.items()]

    @property
    def swept(self) -> set[str]:
        return {key for key, value in self.keys.items() if "," in str(value)}


def trainings(photographs: Path) -> dict[str, Training]:
    """Every call of resnet-train under its name."""
    images = PHOTOGRAPHS | {"dataset.root": str(photographs)}
    warm_up: Keys = {"schedule.warmup_lr": 0.02, "schedule.warmup_until_error": 99}
    warm_up |= {"schedule.iterations": 130, "batch_size": 16, "optimizer.nesterov": "true"}
    warm_up |= {"bn_batch": 8, "dataset.validation": 40, "dataset.normalization": "imagenet"}
    exact: Keys = {"precision": "fp32"}  # bf16 rounds small changes of pixels away
    resnet18 = images | {"model": "resnet18", "schedule.iterations": 8}
    plain18 = images | {"model": "plain18", "schedule.iterations": 30}
    resnext: Keys = {"model": "resnext50_32x4d"}
    bottlenecks = images | {"schedule.iterations": 2}
    found = {
        "drawn": Training(DRAWN | {"shortcut": "none,A,B,C", "precision": "fp32,bf16"}),
        "warm-up": Training(DRAWN | warm_up),
        "two ranks": Training(DRAWN | {"devices": 2}),
        "recomputed": Training(DRAWN, either=RECOMPUTED),
        "compiled": Training(DRAWN | {"model.depth": 8, "compile": "on"}),
        "stopped": Training(DRAWN | {"schedule.iterations": 80}, stopped=True),
        "photographs": Training(resnet18 | exact | {"dataset.augmentation": "paper,inception"}),
        "photographs, two ranks": Training(resnet18 | {"devices": 2, "schedule.iterations": 4}),
        "photographs, stopped": Training(plain18, stopped=True),
        "bottlenecks": Training(bottlenecks | {"model": "resnet50,plain50"}),
        "bottlenecks, recomputed": Training(bottlenecks | resnext, either=RECOMPUTED),
    }
    if os.environ.get("RESNET_DATA"):
        found["CIFAR-10"] = Training(SMALL | {"dataset": "cifar10", "model": "plain20,resnet20"})
    return found


# What resnet-eval measures, and how.
PHOTOGRAPHED = "photographs dataset.augmentation=paper"
EVALUATIONS: dict[str, tuple[list[str], list[str]]] = {
    "ensemble": (["drawn precision=bf16 shortcut=A", "drawn precision=fp32 shortcut=none"], []),
    "population": (["drawn precision=bf16 shortcut=B"], ["--bn", "population"]),
    "ten crops": ([PHOTOGRAPHED], ["--views", "ten"]),
    "dense": ([PHOTOGRAPHED], ["--views", "dense", "--scales", "64", "96"]),
    "population, photographs": ([PHOTOGRAPHED], ["--bn", "population"]),
}


@dataclass(frozen=True)
class Recorder:
    """Calls the commands of one checkout in a folder for their files."""

    python: str
    checkout: Path
    folder: Path

    def record(self, only: tuple[str, ...]) -> Record:
        """The calls whose names begin so, one after the other, and what can be measured then."""
        folders: dict[str, Path] = {}
        record: Record = {}
        photographs = draw_photographs(self.folder / "photographs")
        for name, training in trainings(photographs).items():
            if not name.startswith(only):
                continue
            print(name, file=sys.stderr)
            for run, path in self.train(name, training):
                folders[run] = path
                record[run] = digest_run(path)
        for name, (measured, options) in EVALUATIONS.items():
            if folders.keys() >= set(measured):
                runs = [folders[run] for run in measured]
                record[f"resnet-eval, {name}"] = self.evaluate(runs, options)
        return record

    def machine(self) -> dict[str, Any]:
        """What the bits depend on besides the code."""
        found = dict(json.loads(self.call("-c", PROBE)[1]))
        return found | {"real CIFAR-10": bool(os.environ.get("RESNET_DATA"))}

    def train(self, name: str, training: Training) -> list[tuple[str, Path]]:
        """The folder of every run, under the name of the call and what is its own in a sweep."""
        runs = self.folder / "runs" / name
        call = ["-m", "resnet_cli.train", *training.words, f"runs={runs}"]
        if training.stopped:
            self.stop(call, runs)
        *doubtful, sure = [[word] for word in training.either] or [[]]
        if not any(self.call(*call, *words, ends=(0, REFUSED))[0] == 0 for words in doubtful):
            self.call(*call, *sure)
        found = []
        for path in runs.rglob("result.json"):
            words = shlex.split(json.loads(path.read_text())["command"])
            own = sorted(word for word in words if word.split("=")[0] in training.swept)
            found.append((" ".join([name, *own]), path.parent))
        return found

    def stop(self, call: list[str], runs: Path) -> None:
        """Starts a run and stops it somewhere in the middle."""
        process = self.start(*call)
        logged = False
        while process.poll() is None and not logged:
            time.sleep(0.02)
            logged = any(path.stat().st_size for path in runs.rglob("metrics.jsonl"))
        process.terminate()
        finish(process, (128 + signal.SIGTERM,))

    def evaluate(self, runs: list[Path], options: list[str]) -> Digests:
        """Errors and scores of the runs together; of one alone its exported weights as well."""
        names = ("figures.json", "scores.npz", "weights.safetensors")
        figures, scores, weights = (self.folder / name for name in names)
        words = [*options, "--json", str(figures), "--predictions", str(scores)]
        if len(runs) == 1:
            words += ["--export", str(weights)]
        self.call("-m", "resnet_cli.evaluate", "--ckpt", *map(str, runs), "device=cpu", *words)
        errors = json.loads(figures.read_text())
        found = {name: errors[name] for name in ("top1_error", "top5_error", "count")}
        with np.load(scores) as file:
            found |= {name: digest(torch.from_numpy(file[name])) for name in ("scores", "labels")}
        exported = load_file(weights) if len(runs) == 1 else {}
        return found | {f"exported {name}": digest(tensor) for name, tensor in exported.items()}

    def call(self, *words: str, ends: tuple[int, ...] = (0,)) -> tuple[int, str]:
        return finish(self.start(*words), ends)

    def start(self, *words: str) -> subprocess.Popen[str]:
        environment = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": str(self.checkout)}
        environment["XDG_CACHE_HOME"] = str(self.folder)  # the index of the photographs
        return subprocess.Popen(
            [self.python, *words],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def finish(process: subprocess.Popen[str], ends: tuple[int, ...]) -> tuple[int, str]:
    """Waits; the exit code and what was printed. Raises Failed for a code not among `ends`."""
    out, err = process.communicate()
    if process.returncode not in ends:
        *_, last = err.splitlines() or ["it said nothing"]
        raise Failed(f"a command ended with {process.returncode}: {last}")
    return process.returncode, out


def draw_photographs(root: Path) -> Path:
    """A tree of small JPEGs, `train|val/<class>/*.jpg`: soft blobs, each class of its own hue."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 6)):
        for label, hue in enumerate(np.eye(3)):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                height, width = generator.integers(80, 120, 2)
                blobs = 255 * generator.random((6, 6, 3)) * (0.5 + 0.5 * hue)
                image = Image.fromarray(blobs.astype(np.uint8)).resize((int(width), int(height)))
                image.save(folder / f"{number}.jpg", quality=90)
    return root


def digest(tensor: torch.Tensor) -> str:
    """SHA-256 of the type, the shape and the values, however they lie in memory."""
    values = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(f"{tensor.dtype} {list(tensor.shape)} ".encode() + values).hexdigest()


def digest_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def tensors(tree: Any, name: str = "") -> dict[str, torch.Tensor]:
    """Every tensor in nested dicts, under its path."""
    if isinstance(tree, torch.Tensor):
        return {name: tree}
    parts = tree.items() if isinstance(tree, dict) else ()
    found: dict[str, torch.Tensor] = {}
    for key, part in parts:
        found |= tensors(part, f"{name} {key}")
    return found


def digest_checkpoint(path: Path) -> dict[str, str]:
    content = torch.load(path, weights_only=True)
    return {name: digest(tensor) for name, tensor in tensors(content).items()}


def digest_run(folder: Path) -> Digests:
    """The numbers of a finished run."""
    checkpoints = folder / "checkpoints"
    last, best = (digest_checkpoint(checkpoints / name) for name in ("last.pt", "best.pt"))
    found: Digests = {f"last.pt{path}": value for path, value in last.items()}
    found["best.pt"] = digest_text(json.dumps(best, sort_keys=True))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for name in sorted({name for line in lines for name in line} - {SPEED}):
        column = json.dumps([[line["iteration"], line[name]] for line in lines if name in line])
        found[f"metrics.jsonl {name}"] = digest_text(column)
    result = json.loads((folder / "result.json").read_text())
    for part in ("final", "best"):
        found |= {f"result.json {part}.{name}": value for name, value in result[part].items()}
    return found


def differences(before: Digests, now: Digests) -> list[str]:
    """What of a run is not the same, in words."""
    found = []
    for name in before | now:
        old, new = before.get(name, "missing"), now.get(name, "missing")
        if old != new:
            short = [one[:12] if isinstance(one, str) else one for one in (old, new)]
            found.append(f"{name}: {short[0]} -> {short[1]}")
    return found


def compare(before: Record, now: Record) -> int:
    """Says which runs differ, and in what."""
    found = {run: differences(before.get(run, {}), now.get(run, {})) for run in before | now}
    found = {run: lines for run, lines in found.items() if lines}
    for run, lines in found.items():
        more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        print(f"{run}: {len(lines)} of {len(before.get(run, {}))} differ")
        print("\n".join(f"  {line}" for line in [*lines[:SHOWN], *more]))
    count = sum(map(len, before.values()))
    print(f"{len(before)} runs, {count:,} figures and digests: ", end="")
    print(f"{len(found)} runs differ" if found else "the same bits")
    return int(bool(found))


def main() -> int:
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_it_is)
    parser.add_argument("action", choices=("record", "compare"))
    parser.add_argument("file", type=Path, metavar="FILE", help="the record, as JSON")
    parser.add_argument("--python", default=sys.executable, help="runs the commands (this one)")
    here = Path(__file__).parents[1]
    parser.add_argument("--checkout", type=Path, default=here, metavar="DIR", help="(this one)")
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="calls named so")
    options = parser.parse_args()
    only = tuple(options.only)
    if not any(name.startswith(only) for name in trainings(Path())):
        parser.error(f"--only: no call is named so; there are: {'; '.join(trainings(Path()))}")
    before: dict[str, Any] = {}
    if options.action == "compare":
        try:
            before = json.loads(options.file.read_text())
        except (OSError, ValueError) as error:
            parser.error(f"{options.file} is no record: {error}")
    elif not options.file.absolute().parent.is_dir():
        parser.error(f"{options.file}: name a file in a folder that exists")
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(options.python, options.checkout.resolve(), Path(folder))
        try:
            machine = recorder.machine()
            if before and (other := differences(before["machine"], machine)):
                told = f"{options.file} cannot be compared here: {'; '.join(other)}"
                print(told, file=sys.stderr)
                return 2
            runs = recorder.record(only)
        except Failed as error:
            print(error, file=sys.stderr)
            return 1
    if before:
        asked = [run for run in before["runs"] if run in runs or run.startswith(only)]
        return compare({run: before["runs"][run] for run in asked}, runs)
    options.file.write_text(json.dumps({"machine": machine, "runs": runs}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
