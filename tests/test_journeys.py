"""What docs/journeys.md tells of three people, at lengths of seconds."""

import csv
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.commands import TINY, Command, last_line
from tests.helpers.processes import finish, spawn, wait_for

RESULTS = Path(__file__).parents[1] / "results"


def test_a_student_draws_figure_1_and_trains_a_part_of_it(
    command: Command, cifar10_root: Path, tmp_path: Path
) -> None:
    drawn = command("resnet-report", RESULTS / "cifar10", "--out", tmp_path / "shipped")
    assert drawn.code == 0, drawn.err
    with Image.open(tmp_path / "shipped/figure1.png") as picture:
        assert picture.width > 600
    words = ["experiment=figure1", "scale=0.0005", f"dataset.root={cifar10_root}"]
    words += [
        "dataset.train_images=320",
        "dataset.test_images=100",
        "batch_size=16",
        "eval_every=16",
    ]
    words += [f"runs={tmp_path / 'runs'}", "log_every=8", "device=cpu"]
    trained = command("resnet-train", *words)
    assert trained.code == 0, trained.err
    ours = command("resnet-report", tmp_path / "runs", "--out", tmp_path / "ours")
    assert ours.code == 0, ours.err
    assert "plain-20" in ours.out and "plain-56" in ours.out
    page = (tmp_path / "ours/report.html").read_text()
    assert "32 iterations" in page  # that it is a part is told


def test_a_researcher_kills_a_sweep_and_reads_the_spread_of_its_seeds(
    command: Command, tmp_path: Path
) -> None:
    words = [word for word in TINY if not word.startswith("model=")]
    words += ["-m", "model=plain20,resnet20", "seed=0,1", f"runs={tmp_path / 'runs'}"]
    words += ["hydra/launcher=local"]
    sweep = spawn(*words, start_new_session=True)
    wait_for(lambda: list(tmp_path.rglob("result.json")))
    os.killpg(sweep.pid, signal.SIGKILL)
    finish(sweep)
    finished = len(list(tmp_path.rglob("result.json")))
    assert finished < 4
    code, out, err = finish(spawn(*words))
    assert (code, err) == (0, "")
    assert out.count("was finished before: test error") == finished
    results = list((tmp_path / "runs").rglob("result.json"))
    assert len(results) == 4
    shown = command("resnet-report", tmp_path / "runs", "--out", tmp_path / "report")
    assert shown.code == 0, shown.err
    for network in ("plain8", "resnet8-A"):
        finals = [
            json.loads(path.read_text())["final"] for path in results if network in path.parts
        ]
        errors = [final["test_error"] for final in finals]
        mean, std = np.mean(errors), np.std(errors, ddof=1)
        assert f"({mean:.2f} ± {std:.2f})" in shown.out, (network, errors, shown.out)


def test_an_engineer_fine_tunes_on_photographs_and_exports_the_network(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime to run ONNX")
    pytest.importorskip("onnxscript", reason="needs onnxscript to write ONNX")
    monkeypatch.chdir(tmp_path)
    _photographs(Path("known"), "ant", "bee")
    _photographs(Path("photos"), "cat", "dog", "newt")
    small = ["dataset.image_size=32", "batch_size=8", "device=cpu"]
    words = ["model=resnet18", "dataset.root=known", "schedule.iterations=2", *small]
    assert command("resnet-train", *words).code == 0
    (known,) = Path("runs/known").rglob("seed0")
    words = ["resnet-eval", "--ckpt", str(known), "dataset.root=known"]
    assert command(*words, "--export", "known.safetensors").code == 0

    words = ["experiment=finetune", "model=resnet18", "weights=known.safetensors"]
    tuned = command("resnet-train", *words, "dataset.root=photos", "schedule.epochs=2", *small)
    assert tuned.code == 0 and "head" in tuned.out, tuned.err
    (run,) = Path("runs/photos").rglob("seed0")
    words = ["resnet-eval", "--ckpt", str(run), "dataset.root=photos"]
    measured = command(*words, "--per-class", "errors")
    held_out = last_line(measured)["count"]
    assert last_line(measured)["top5_error"] is None  # of three classes
    with Path("errors/confusion.csv").open() as file:
        rows = list(csv.reader(file))
    counts = np.array([row[1:4] for row in rows[1:]], dtype=int)
    assert counts.shape == (3, 3) and counts.sum() == held_out == 6
    assert Path("errors/confusion.png").stat().st_size > 1000

    assert command("resnet-eval", "--ckpt", run, "--export", "photos.onnx").code == 0
    session = onnxruntime.InferenceSession("photos.onnx")
    (scores,) = session.run(None, {"images": np.zeros((1, 3, 32, 32), np.uint8)})
    names = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    assert names == ["cat", "dog", "newt"] and scores.sum() == pytest.approx(1, abs=1e-5)


def _photographs(root: Path, *classes: str) -> None:
    """Ten pictures of each class, of one colour and noise."""
    random = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for picture in range(10):
            pixels = random.integers(0, 120, (40, 40, 3))
            pixels[..., number % 3] += 120
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{picture}.jpg")
