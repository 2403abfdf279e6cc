"""Keeps a run under results/: of a finished one what the report reads, of a stopped one everything,
in an archive that any machine can go on with.

python -m scripts.keep_run runs/cifar10/plain20/seed0 --weights

Where the machine keeps its data and runs is replaced by `data` and `runs`. What a run cannot say,
where it was stopped and what else the machine did, goes into a note.md by hand; then
`resnet-report results --out results` draws it.
"""

import argparse
import io
import json
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from resnet_cli import evaluate
from resnet_cli.analysis import responses
from resnet_cli.runtime.errors import run_command
from scripts import weights_table

RESULTS = weights_table.WEIGHTS.parent
READ = ("config.yaml", "metrics.jsonl", "result.json", responses.FILE)  # by the report
WHOLE = ("config.yaml", "data.json", "log.txt", "metrics.jsonl", "checkpoints/last.pt")


@dataclass(frozen=True)
class Places:
    """Where one machine keeps its data and runs. A run may be continued with others."""

    data: str
    runs: str

    def hide(self, text: str) -> str:
        """`text` with `data` and `runs` in place of absolute paths."""
        for path, name in ((self.data, "data"), (self.runs, "runs")):
            text = text.replace(path, name) if path.startswith("/") else text
        return text

    def hide_in(self, record: dict[str, Any]) -> None:
        """Of a record that has a config and the command."""
        record["config"]["dataset"]["root"], record["config"]["runs"] = "data", "runs"
        record["command"] = self.hide(record["command"])


def without_places(path: Path, places: Places) -> bytes:
    """A file of a run folder."""
    content = path.read_bytes()
    if path.suffix == ".pt":
        saved = torch.load(io.BytesIO(content), weights_only=True)
        places.hide_in(saved)
        torch.save(saved, made := io.BytesIO())
        return made.getvalue()
    if path.name == "result.json":
        places.hide_in(result := json.loads(content))
        return f"{json.dumps(result, indent=2)}\n".encode()
    return places.hide(content.decode()).encode()


def keep_finished(run: Path, results: Path, *, place: Path, places: Places) -> list[Path]:
    """Copies what the report reads to `place` below `results`. Returns what was written."""
    result = json.loads((run / "result.json").read_text())
    if result["dataset"].startswith("cifar"):  # Figure 7 is of its networks
        responses.of_run(run, network=result["network"], root=places.data)
    written = []
    for name in READ:
        if (run / name).is_file():
            written.append(results / place / name)
            written[-1].parent.mkdir(parents=True, exist_ok=True)
            written[-1].write_bytes(without_places(run / name, places))
    return written


def keep_weights(run: Path, results: Path) -> Path:
    """Measures a finished run and writes its weights. Raises SystemExit where that fails."""
    result = json.loads((run / "result.json").read_text())
    seed = f"-seed{result['seed']}" if result["seed"] else ""
    network = result["network"].removesuffix("-A")  # the only shortcut of the paper's CIFAR-10
    path = results / "weights" / f"{network}{seed}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    words = ["--ckpt", str(run), "--export", str(path)]
    if code := run_command("resnet-eval", lambda: evaluate.main_checked(words)):
        sys.exit(code)
    return path


def keep_stopped(run: Path, results: Path, *, place: Path, places: Places) -> list[Path]:
    """Packs the run folder into `results/unfinished`. Returns the archive in a list."""
    archive = results / "unfinished" / f"{'-'.join(place.parts[1:])}.tar"
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w") as tar:
        for name in WHOLE:
            content = without_places(run / name, places)
            member = tarfile.TarInfo(f"{run.name}/{name}")
            member.size = len(content)
            member.mtime = int((run / name).stat().st_mtime)
            tar.addfile(member, io.BytesIO(content))
    return [archive]


def main(words: list[str] | None = None) -> int:
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_it_is)
    parser.add_argument("run", type=Path, metavar="RUN", help="runs/<dataset>/.../seed<N>")
    parser.add_argument("--weights", action="store_true", help="those of a finished run, too")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="(results)")
    options = parser.parse_args(words)
    run: Path = options.run
    if not (run / "config.yaml").is_file() or not (run / "checkpoints/last.pt").is_file():
        parser.error(f"{run} is no run folder with a checkpoint")
    config = yaml.safe_load((run / "config.yaml").read_text())
    places = Places(data=config["dataset"]["root"], runs=config["runs"])
    root, parts = Path(places.runs).name, run.absolute().parts
    if root not in parts:
        parser.error(f"{run} is not below {root}/, where it was trained")
    place = Path(*parts[len(parts) - parts[::-1].index(root) :])
    finished = (run / "result.json").is_file()
    if options.weights and not finished:
        parser.error(f"{run} is not finished; leave --weights out to keep it as it is")
    keep = keep_finished if finished else keep_stopped
    for path in keep(run, options.results, place=place, places=places):
        print(path)
    if options.weights:
        print(keep_weights(run, options.results))
        if options.results == RESULTS:
            weights_table.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
