"""One's own photographs through the doors: split here or by the folder, named, and reported."""

import json
import shutil
from pathlib import Path

import pytest

from tests.data.trees import jpeg, write_folders
from tests.helpers.commands import Command, check_refused, last_line
from tests.helpers.runs import folder_of

SMALL = ["model=resnet20", "model.depth=8", "dataset=imagenet", "dataset.image_size=32"]
SMALL += ["schedule=imagenet_steps", "schedule.iterations=4", "eval_every=4", "batch_size=4"]
SMALL += ["device=cpu", "dataset.workers=0"]


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / "my pets" / name).mkdir(parents=True)
        for number in range(10):
            (tmp_path / "my pets" / name / f"{number}.jpg").write_bytes(jpeg(number))
    return tmp_path / "my pets"


def test_a_folder_that_is_not_split(command: Command, pets: Path, runs: Path) -> None:
    """The run says what it held out, data.json and the report keep it, and resnet-eval measures
    the same images.
    """
    words = [*SMALL, f"dataset.root={pets}", f"runs={runs}", "dataset.validation=0.3"]
    done = command("resnet-train", *words)
    assert done.code == 0, done.err
    folder = folder_of(runs)
    assert folder.relative_to(runs).parts[:2] == ("my_pets", "resnet8-A")
    assert "data     my_pets: 14 training, 6 validation images" in done.out
    assert "top-5" not in done.out
    record = json.loads((folder / "data.json").read_text())
    assert (record["name"], record["classes"]) == ("my_pets", ["cat", "dog"])
    assert record["images"] == {"train": 14, "val": 6}
    assert any("30%" in remark and "split_seed=0" in remark for remark in record["remarks"])
    result = json.loads((folder / "result.json").read_text())
    assert result["dataset"] == "my_pets"

    evaluation = folder / "single.json"
    measured = command(
        "resnet-eval", "--ckpt", folder, f"dataset.root={pets}", "--json", evaluation
    )
    assert last_line(measured)["top1_error"] == result["final"]["val_error"]
    assert last_line(measured)["count"] == 6
    assert "top-5 error" not in measured.out

    made = command("resnet-report", runs, "--out", runs / "report")
    assert made.code == 0 and "my_pets" in made.out, made
    report = (runs / "report/report.md").read_text()
    ours = report.split("## Not run")[0].split("## Before and after")[0]
    headings = [line for line in ours.splitlines() if line.startswith("#")]
    assert "## my_pets" in headings and "ImageNet" not in " ".join(headings)
    assert f"| {result['final']['val_error']:.2f} | - |" in ours  # no top-5 error of two classes

    named = command("resnet-train", *words, "dataset.label=Cats & dogs", "dry_run=true")
    assert f"{runs}/Cats_dogs/" in named.out, named


def test_validation_and_test_folders(command: Command, tmp_path: Path, runs: Path) -> None:
    """The best iterate is chosen on val/, and test/ is what is reported."""
    root = write_folders(tmp_path / "pictures")
    shutil.copytree(root / "val" / "n01440764", root / "test" / "n01440764")
    done = command("resnet-train", *SMALL, f"dataset.root={root}", f"runs={runs}")
    assert "9 training, 4 validation, 2 test images" in done.out, done
    result = json.loads((folder_of(runs) / "result.json").read_text())
    assert result["best"]["chosen_on"] == "validation"
    assert result["final"]["test_error"] in (0.0, 50.0, 100.0)
    measured = command("resnet-eval", "--ckpt", folder_of(runs), f"dataset.root={root}")
    assert last_line(measured)["top1_error"] == result["final"]["test_error"]


def test_what_does_not_fit_is_refused(command: Command, pets: Path, tmp_path: Path) -> None:
    words = [*SMALL, f"dataset.root={pets}", f"runs={tmp_path}/runs"]
    check_refused(command("resnet-train", *words, "dataset.validation=-0.2"), 2, "not negative")
    check_refused(
        command("resnet-train", *words, "dataset.validation=1.5"),
        2,
        "dataset.validation=1.5: must be a count, or a share between 0 and 1",
    )
    check_refused(command("resnet-train", *words, "dataset.validation=20"), 2, "there are 20")
    check_refused(
        command("resnet-train", *words, "dataset.name=pets"), 2, "dataset.label= names a folder"
    )
    root = write_folders(tmp_path / "split")
    refused = command(
        "resnet-train", *SMALL, f"dataset.root={root}", "dataset.validation=3", "dry_run=true"
    )
    check_refused(refused, 2, "the images of val/ are the validation images")
    (pets / "owl").mkdir()
    (pets / "owl" / "a.jpg").write_bytes(jpeg(1))
    check_refused(command("resnet-train", *words), 3, "class owl has one image")
