"""resnet-train through the door a user takes."""

import fcntl
import json
import math
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from resnet_cli import __version__
from resnet_cli.config.schema import Config, fields_of
from resnet_cli.runtime.compile import validate_fused_blocks
from resnet_cli.runtime.errors import UserError
from resnet_cli.training import step as step_module
from resnet_cli.training.checkpoint import load
from tests.helpers.commands import TINY, Command, check_refused
from tests.helpers.numbers import assert_same
from tests.helpers.processes import PATIENCE


def test_a_run_leaves_what_it_says(command: Command, runs: Path) -> None:
    done = command("resnet-train", *TINY, "dataset.validation=50", f"runs={runs}")
    assert done.code == 0, done.err
    (folder,) = (path.parent for path in runs.rglob("config.yaml"))
    assert folder.relative_to(runs).parts[:2] == ("synthetic", "resnet8-A")
    assert folder.name == "seed0"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [4, 8, 12, 16, 20, 24]
    assert lines[0].keys() == {
        "iteration",
        "epoch",
        "train/loss",
        "train/error",
        "lr",
        "images_per_second",
    }
    assert lines[2].keys() == lines[0].keys() | {"val/error", "test/error"}
    # milestones at 12 and 18
    assert [line["lr"] for line in lines] == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.001, 0.001])
    assert lines[-1]["epoch"] == pytest.approx(24 * 32 / 300)

    result = json.loads((folder / "result.json").read_text())
    assert result["final"] == {
        "iteration": 24,
        "train_error": lines[-1]["train/error"],
        "train_loss": lines[-1]["train/loss"],
        "val_error": lines[-1]["val/error"],
        "test_error": lines[-1]["test/error"],
    }
    best = min((line["val/error"], line["iteration"]) for line in lines if "val/error" in line)
    assert result["best"] == {"iteration": best[1], "error": best[0], "chosen_on": "validation"}
    assert load(folder / "checkpoints/best.pt").progress.iteration == best[1]
    assert result["command"].startswith("resnet-train model=resnet20 model.depth=8")
    assert result["versions"]["torch"] == torch.__version__
    assert result["config"] == yaml.safe_load((folder / "config.yaml").read_text())

    board = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    board.Reload()
    for name in ("train/error", "test/error", "lr"):
        seen = [(event.step, pytest.approx(event.value)) for event in board.Scalars(name)]
        assert [(line["iteration"], line[name]) for line in lines if name in line] == seen
    assert "test error" in (folder / "log.txt").read_text()
    for place in ("result.json", f"tensorboard --logdir {folder}", f"resnet-eval --ckpt {folder}"):
        assert place in done.out


def test_a_small_problem_is_learned(command: Command, runs: Path) -> None:
    """64 pictures by heart: the training error ends near nothing; an unlearned net errs on 90 %."""
    small = [
        *TINY,
        "dataset.train_images=64",
        "schedule.iterations=150",
        "optimizer.lr=0.05",
        "log_every=10",
    ]
    assert command("resnet-train", *small, f"runs={runs}").code == 0
    (metrics,) = runs.rglob("metrics.jsonl")
    errors = [
        line["train/error"]
        for line in map(json.loads, metrics.read_text().splitlines())
        if "train/error" in line
    ]
    assert errors[0] > 70
    assert errors[-1] < 15


@pytest.mark.numerical
def test_runs_repeat_bit_for_bit_and_seeds_differ(command: Command, tmp_path: Path) -> None:
    words, weights = [*TINY, "precision=fp32"], []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert command("resnet-train", *words, f"seed={seed}", f"runs={tmp_path / name}").code == 0
        (last,) = (tmp_path / name).rglob("last.pt")
        weights.append(load(last).network["conv1.weight"])
    assert_same(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_dry_run_tells_the_plan_and_writes_nothing(command: Command, runs: Path) -> None:
    plan = command("resnet-train", *TINY, f"runs={runs}", "dry_run=true")
    assert plan.code == 0, plan.err
    for part in (
        "resnet8-A",
        "8 layers",
        "multiply-adds",
        "0.1 x 0.1 at 12, 18",
        "300 training",
        "24 iterations",
        str(runs),
        "expect",
    ):
        assert part in plan.out
    assert re.search(r"about \d+ (s|min)", plan.out)
    assert (
        command("resnet-train", "-m", *TINY, "seed=0,1", f"runs={runs}", "dry_run=true").code == 0
    )
    assert not runs.exists()


def test_a_dry_run_counts_only_what_is_left(command: Command, runs: Path, tmp_path: Path) -> None:
    words = [*TINY, "keep_checkpoints=[8,16]"]
    assert command("resnet-train", *words, f"runs={runs}").code == 0
    (folder,) = (path.parent for path in runs.rglob("config.yaml"))
    plan = command("resnet-train", "-m", *words, f"runs={runs}", "seed=0,1", "dry_run=true")
    assert plan.code == 0, plan.err
    assert f"{folder} is finished: " in plan.out
    assert len(re.findall("about .* images/s", plan.out)) == 1  # seed 1, which is all of the sum
    (alone,) = re.findall(r"seed1 +about (.*)", plan.out)
    assert f"2 runs: about {alone}, one after another" in plan.out

    # as a run leaves it that was stopped, once with a checkpoint that a full disk cut short
    (folder / "result.json").unlink()
    kept = folder / "checkpoints"
    (kept / "iteration-16.pt").rename(kept / "last.pt")
    for left, newest in (8, None), (16, b"PK"):
        if newest:
            (kept / "iteration-8.pt").rename(kept / "previous.pt")
            (kept / "last.pt").write_bytes(newest)
        before = sorted(path.name for path in folder.rglob("*"))
        plan = command("resnet-train", *words, f"runs={runs}", "dry_run=true")
        assert f"for the {left} iterations left (" in plan.out
        assert sorted(path.name for path in folder.rglob("*")) == before

    from_there = [*words, f"runs={tmp_path / 'new'}", f"resume={kept / 'previous.pt'}"]
    plan = command("resnet-train", *from_there, "dry_run=true")
    assert "for the 16 iterations left (" in plan.out
    refused = command("resnet-train", *from_there, "model.depth=14", "dry_run=true")
    check_refused(refused, 2, "checkpoint", "previous.pt")
    assert not (tmp_path / "new").exists()

    # where no checkpoint can be read it says what the run itself would, and moves nothing either
    (kept / "previous.pt").write_bytes(b"PK")
    before = sorted(path.name for path in folder.rglob("*"))
    for more in (["dry_run=true"], []):
        refused = command("resnet-train", *words, f"runs={runs}", *more)
        check_refused(refused, 2, "last.pt is truncated", "move the folder away to start anew")
        assert sorted(path.name for path in folder.rglob("*")) == before


def test_a_loss_that_is_no_number_stops_before_the_weights(
    command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 11th batch has a bad loss: exit 4, the checkpoint of iteration 8 stays, and nothing
    after is logged.
    """
    calls = 0

    def poisoned(logits: torch.Tensor, labels: torch.Tensor, **_: float) -> torch.Tensor:
        nonlocal calls
        calls += 1
        loss = torch.nn.functional.cross_entropy(logits, labels)
        return loss * (math.nan if calls == 11 else 1)

    monkeypatch.setattr(step_module, "cross_entropy", poisoned)
    diverged = command("resnet-train", *TINY, f"runs={runs}")
    check_refused(
        diverged, 4, "not finite at iteration 11", "lr 0.1", "last.pt", "smaller optimizer.lr"
    )
    (last,) = runs.rglob("last.pt")
    saved = load(last)
    assert saved.progress.iteration == 8
    assert all(value.isfinite().all() for value in saved.network.values())
    assert not list(runs.rglob("result.json"))
    (metrics,) = runs.rglob("metrics.jsonl")
    assert max(json.loads(line)["iteration"] for line in metrics.read_text().splitlines()) == 8


def test_a_rate_far_too_high_diverges_for_real(command: Command, runs: Path) -> None:
    diverged = command("resnet-train", *TINY, "shortcut=none", "optimizer.lr=1e30", f"runs={runs}")
    check_refused(diverged, 4, "not finite", "try a smaller optimizer.lr")
    for path in runs.rglob("*.pt"):
        assert all(value.isfinite().all() for value in load(path).network.values())


BAD = {
    "dataset.test_images=3000": (2, "dataset.test_images=3000: there are only 2,000"),
    "dataset.train_images=20000": (2, "dataset.train_images=20000: there are only 10,000"),
    "batch_size=400": (2, "batch_size=400: there are only 300 training images"),
    "device=cuda": (2, "no CUDA device"),
    "dataset.validation=10000": (2, "dataset.validation=10000"),
    "model=resnet21": (2, "did you mean"),
    "resume=nowhere.pt": (2, "nowhere.pt: no such file"),
    "runs=/proc/nowhere": (2, "cannot make the run folder /proc/nowhere/"),
}


@pytest.mark.parametrize("override", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(
    command: Command, runs: Path, override: str
) -> None:
    if override == "device=cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    code, told = BAD[override]
    words = [word for word in TINY if word.split("=")[0] != override.split("=")[0]]
    check_refused(command("resnet-train", *words, f"runs={runs}", override), code, told)
    assert not runs.exists()


def test_a_sweep_trains_all_skips_the_finished_and_goes_on_past_a_broken_one(
    command: Command, runs: Path
) -> None:
    words = [word for word in TINY if not word.startswith(("model=", "model.depth"))]
    sweep = ["-m", *words, "model=plain20,resnet20", "model.depth=8", "seed=0,1", f"runs={runs}"]
    broken = (
        runs
        / "synthetic/plain8"
        / "batch_size=32,dataset.test_images=150,dataset.train_images=300,schedule.iterations=24"
        / "seed1"
    )
    broken.mkdir(parents=True)
    (broken / "config.yaml").write_text("{model: {depth: 14}}\n")
    first = command("resnet-train", *sweep)
    assert first.code == 2
    assert "config.yaml does not fit: dataset.name is missing" in first.err
    assert len(list(runs.rglob("result.json"))) == 3
    table = first.out[first.out.rindex("4 runs in") :]
    assert table.count("test error") == 3
    assert table.count("dataset.name is missing") == 1
    (broken / "config.yaml").unlink()
    second = command("resnet-train", *sweep)
    assert second.code == 0
    assert second.out.count("is finished") == 3
    assert len(list(runs.rglob("result.json"))) == 4
    # Hydra leaves nothing of its own
    assert sorted(path.name for path in runs.iterdir()) == ["synthetic"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--model", "resnet56"], "as in model=resnet56"),
        (["--epochs", "10"], "as in schedule.epochs=10"),
        (["--batch-size=64"], "as in batch_size=64"),
        (["--lr", "0.05"], "as in optimizer.lr=0.05"),
        (["--pretrained"], "training starts from random weights"),
        (["--amp"], "say precision=bf16"),
        (["-x", "seed=1"], "as in model=resnet56 seed=1"),
        (["--multrun"], "did you mean '--multirun'?"),
    ],
)
def test_flags_that_are_none_say_how_settings_are_written(
    command: Command, words: list[str], told: str
) -> None:
    check_refused(
        command("resnet-train", *words), 2, f"unknown flag '{words[0].split('=')[0]}'", told
    )


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("device=cpu", "only on CUDA, not on cpu"),
        ("devices=2", "only on one device so far, not devices=2"),
        ("compile=on", "compile=on fuses blocks in its own way"),
        ("activation_checkpointing=true", "would compute blocks again"),
        ("sync_bn=true", "sync_bn=true exchanges statistics within them"),
        ("bn_batch=16", "bn_batch=16 normalizes parts of a batch"),
        ("shortcut=B", "shortcut=B projects"),
        ("model.activation=pre", "preact8-A is none of section 4.2's"),
        ("batch_size=131072", "batch_size=131072 is beyond their 32-bit counting"),
    ],
)
def test_fused_blocks_are_refused_in_one_line(command: Command, word: str, told: str) -> None:
    words = [one for one in TINY if one.split("=")[0] != word.split("=")[0]]
    refused = command("resnet-train", *words, "fused_blocks=true", word, "dry_run=true")
    check_refused(refused, 2, "fused_blocks=true: ", told, "leave")


def test_fused_blocks_without_triton_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="fused_blocks=true: Triton is missing"):
        validate_fused_blocks(torch.device("cuda"))


def test_help_has_examples_first_and_lists_the_choices(command: Command) -> None:
    shown = command("resnet-train", "--help").out
    assert shown.index("examples:") < shown.index("choices") < shown.index("keys (")
    for word in (
        "plain56",
        "resnet1202",
        "synthetic",
        "quickstart",
        "schedule.iterations",
        "exit codes",
    ):
        assert word in shown


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_help_is_as_wide_as_the_terminal(
    command: Command, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Each key has its sentence and its value, below what its group is about."""
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = command("resnet-train", "--help").out
    keys = shown[shown.index("keys (") : shown.index("flags:")].split("\n\n", 1)[1]
    assert max(map(len, keys.splitlines())) <= min(columns, 120)
    for name, field in fields_of(Config):
        section = next(part for part in keys.split("\n\n") if f"  {name.split('.')[0]}" in part)
        if name != "dataset.name":
            about = " ".join(section.split())
            assert f"{name}" in about and field.metadata["about"] in about
    assert "optimizer.lr=0.1 " in keys and "schedule.milestones=[0.5,0.75] " in keys
    assert keys.index("The network") < keys.index("model.depth=20") < keys.index("The images")


@pytest.mark.parametrize("name", ["resnet-train", "resnet-eval", "resnet-info", "resnet-analyze"])
def test_version(command: Command, name: str) -> None:
    assert command(name, "--version").out == f"{name} {__version__}\n"


def test_info_into_head_ends_quietly() -> None:
    words = f"{sys.executable} -m resnet_cli.train --info | head -1"
    done = subprocess.run(words, shell=True, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (done.stdout.splitlines()[0] + "\n", "")
    assert done.stdout.startswith("Hydra")


def test_an_absurd_length_is_warned_of(command: Command, runs: Path) -> None:
    """20,000 batches of 32 are 2,133 epochs of 300 images; 90 epochs are 844."""
    words = [word for word in TINY if not word.startswith("schedule.")]
    long = command(
        "resnet-train", *words, "schedule.iterations=20000", "dry_run=true", f"runs={runs}"
    )
    assert long.code == 0
    assert "20,000 iterations are 2,133 epochs of 300 training images" in long.err
    assert "schedule.epochs=90, for example, would be 844 iterations" in long.err
    assert command("resnet-train", *TINY, "dry_run=true", f"runs={runs}").err == ""


def test_hydras_own_flags_work(command: Command) -> None:
    shown = command("resnet-train", "model=plain56", "--cfg", "job")
    assert shown.code == 0
    assert yaml.safe_load(shown.out)["model"]["depth"] == 56


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--cfg nope", "invalid choice: 'nope'"),
        ("--cfg", "expected one argument"),
        ("--cfg job model=resnet21", "did you mean 'resnet20'"),
        ("--cfg job optimizer.lr=fast", "could not be converted to Float"),
        ("--cfg job model=[a", "cannot read 'model=[a'"),
        ("--cfg job seed=0,1", "one config at a time"),
        ("--cfg job --package nope", "'nope' not found"),
        ("--cfg job --info", "Only one of"),
        ("--resolve", "can only be used"),
    ],
)
def test_hydras_own_errors_are_told_as_ours(command: Command, words: str, told: str) -> None:
    check_refused(command("resnet-train", *words.split()), 2, told)


@pytest.mark.parametrize("no_color", [False, True])
def test_a_terminal_gets_a_bar(runs: Path, no_color: bool) -> None:
    """In a pseudo-terminal of 80 columns: a row for each evaluation stays, a bar moves below;
    colours unless NO_COLOR, and none in log.txt.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    environment = os.environ | {"TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    if no_color:
        environment["NO_COLOR"] = "1"
    words = [sys.executable, "-m", "resnet_cli.train", *TINY, f"runs={runs}"]
    process = subprocess.Popen(words, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    assert process.wait(PATIENCE) == 0
    text = shown.decode()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = plain.replace("\r", "\n").splitlines()
    heading = next(line for line in lines if line.startswith("iteration"))
    assert heading.split() == ["iteration", "train", "%", "test", "%", "lr", "images/s", "left"]
    rows = [line for line in lines if re.fullmatch(ROW, line)]
    assert [row.split()[0] for row in rows if row.split()[0] in ("12/24", "24/24")][-1] == "24/24"
    assert any(re.fullmatch(r"resnet8-A .*\d+/24.*", line) for line in lines)
    assert all(len(line) <= 80 for line in (heading, *rows))
    assert ("\033[1m" in text or "\033[32m" in text) is not no_color
    assert b"\033" not in next(runs.rglob("log.txt")).read_bytes()


# an evaluation at an iteration that is also logged
ROW = r" *\d+/24 +\d+\.\d\d +\d+\.\d\d +0\.[01]+ +[\d,]+( +\d+ s)?"


def test_elsewhere_lines_say_how_long_it_takes(
    command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row for each evaluation; of what is only logged, a row now and then, without the error
    that was measured earlier.
    """
    words = [*TINY, f"runs={runs}"]
    out = command("resnet-train", *words).out
    rows = [line.split()[0] for line in out.splitlines() if re.match(r" *\d+/24", line)]
    assert rows == ["12/24", "24/24"]
    assert re.search(ROW, out)
    assert "\033" not in out
    assert "\r" not in out
    monkeypatch.setattr("resnet_cli.runtime.console.LINE_EVERY", 0.0)
    lines = command("resnet-train", *words, "seed=1").out.splitlines()
    rows = [line for line in lines if re.match(r" *\d+/24", line)]
    assert [row.split()[0] for row in rows] == [f"{n}/24" for n in range(4, 25, 4)]
    heading = next(line for line in lines if line.startswith("iteration"))
    column = slice(heading.index("test %"), heading.index("test %") + len("test %"))
    assert [bool(row[column].strip()) for row in rows] == [n % 12 == 0 for n in range(4, 25, 4)]
    assert "ETA" not in heading and heading.endswith("left")


def test_compiling_is_told_while_it_does(
    command: Command, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.compile", lambda forward, **_: forward)
    out = command("resnet-train", *TINY, "compile=on", f"runs={runs}").out
    assert out.index("compiling, about 20 s\n") < out.index("12/24")
