"""Keeps a run under results/: what the report reads and, of one that was stopped, an archive that
any machine can go on with.

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
from resnet_cli.analysis.responses import of_run
from resnet_cli.paper.responses import FILE as RESPONSES
from resnet_cli.run.folder import RunFolder
from resnet_cli.runtime.errors import run_command
from resnet_cli.runtime.files import write_whole
from scripts import weights_table

RESULTS = weights_table.WEIGHTS.parent
READ = ("config.yaml", "metrics.jsonl", "result.json", RESPONSES)  # by the report
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


def measure_responses(run: Path, result: dict[str, Any]) -> None:
    """For Figure 7, which is of CIFAR-10's networks; the report measures no others. The data lies
    where the run ended: an archive may have begun on another machine.
    """
    if result["dataset"].startswith("cifar"):
        root = result["config"]["dataset"]["root"]
        of_run(run, network=result["network"], root=root)


def copy_curves(run: Path, folder: Path, *, places: Places) -> None:
    """What the report reads of a run, finished or not."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in READ:
        if (run / name).is_file():
            write_whole(folder / name, without_places(run / name, places))


def file_name(place: Path) -> str:
    """`plain20-seed0` of CIFAR-10; another data set, and what a run was told, are named, too."""
    return "-".join(place.parts[place.parts[0] == "cifar10" :])


def keep_weights(run: Path, results: Path, *, place: Path) -> Path:
    """Measures a finished run and writes its weights. Raises SystemExit where that fails."""
    name = file_name(place).replace("-A-", "-").removesuffix("-seed0")  # resnet56
    path = results / "weights" / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    words = ["--ckpt", str(run), "--export", str(path)]
    if code := run_command("resnet-eval", lambda: evaluate.main_checked(words)):
        sys.exit(code)
    return path


def pack(run: Path, archive: Path, *, places: Places) -> None:
    """All that it takes to go on with a stopped run."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=(made := io.BytesIO()), mode="w") as tar:
        for name in WHOLE:
            content = without_places(run / name, places)
            member = tarfile.TarInfo(f"{run.name}/{name}")
            member.size = len(content)
            member.mtime = int((run / name).stat().st_mtime)
            tar.addfile(member, io.BytesIO(content))
    write_whole(archive, made.getvalue())


def main(words: list[str] | None = None) -> int:
    as_it_is = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_it_is)
    parser.add_argument("run", type=Path, metavar="RUN", help="runs/<dataset>/.../seed<N>")
    parser.add_argument("--weights", action="store_true", help="those of a finished run, too")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="(results)")
    options = parser.parse_args(words)
    run, results = options.run, options.results
    if not (run / "config.yaml").is_file() or not (run / "checkpoints/last.pt").is_file():
        parser.error(f"{run} is no run folder with a checkpoint")
    config = yaml.safe_load((run / "config.yaml").read_text())
    places = Places(data=config["dataset"]["root"], runs=config["runs"])
    root, parts = Path(places.runs).name, run.absolute().parts
    if root not in parts:
        parser.error(f"{run} is not below {root}/, where it was trained")
    place = Path(*parts[len(parts) - parts[::-1].index(root) :])
    record = run / "result.json"
    result = json.loads(record.read_text()) if record.is_file() else None
    if options.weights and result is None:
        parser.error(f"{run} is not finished; leave --weights out to keep it as it is")
    archive = results / "unfinished" / f"{file_name(place)}.tar"
    with RunFolder(run).locked():  # or curves and checkpoint would be of two moments
        if result is None:
            pack(run, archive, places=places)
            print(archive)
        else:
            measure_responses(run, result)
        copy_curves(run, results / place, places=places)
        print(results / place)
    if options.weights:
        print(keep_weights(run, results, place=place))
        if results == RESULTS:
            weights_table.main()
    if result is not None:
        archive.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(run_command("keep_run", main))
