"""What resnet-eval writes for people and other programs: errors of each class, answers, networks as
programs.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch.testing import assert_close

from resnet_cli.data import synthetic
from tests.helpers.commands import TINY, Command, check_refused
from tests.helpers.processes import finish, spawn
from tests.helpers.runs import folder_of

TEST_IMAGES = 150


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("outputs")
    words = [*TINY, "optimizer.lr=0.02", "precision=fp32", f"runs={runs}"]
    code, _, err = finish(spawn(*words))
    assert code == 0, err
    return folder_of(runs)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_classes_and_answers(command: Command, trained: Path, tmp_path: Path) -> None:
    """Counted one by one from the scores of every image."""
    npz, answers, folder = tmp_path / "all.npz", tmp_path / "all.csv", tmp_path / "classes"
    assert command("resnet-eval", "--ckpt", trained, "--predictions", npz).code == 0
    words = ["--predictions", answers, "--per-class", folder]
    done = command("resnet-eval", "--ckpt", trained, *words)
    assert done.code == 0, done.err
    kept = np.load(npz)
    names = list(synthetic.CLASSES)
    pairs = [
        (names[label], names[scores.argmax()])
        for label, scores in zip(kept["labels"], kept["scores"], strict=True)
    ]
    rows = table(answers)
    assert [(row["class"], row["answer"]) for row in rows] == pairs
    assert [row["right"] == "1" for row in rows] == [one == other for one, other in pairs]
    top = [f"{scores.max():.4f}" for scores in kept["scores"]]
    assert [row["probability"] for row in rows] == top

    matrix = table(folder / "confusion.csv")
    for row in matrix:
        name = row.pop("class \\ answer")
        assert {other: int(count) for other, count in row.items()} == {
            other: pairs.count((name, other)) for other in row
        }
    errors = {row["class"]: row for row in table(folder / "per_class.csv")}
    assert errors.keys() == {one for one, _ in pairs}
    for name, row in errors.items():
        wrong = [other for one, other in pairs if one == name != other]
        images = [one for one, _ in pairs].count(name)
        assert (int(row["images"]), int(row["errors"])) == (images, len(wrong))
        assert float(row["error_percent"]) == pytest.approx(100 * len(wrong) / images, abs=0.005)
        if wrong:
            assert int(row["times"]) == max(map(wrong.count, wrong))
            assert wrong.count(row["mostly_taken_for"]) == int(row["times"])
    with Image.open(folder / "confusion.png") as picture:
        assert min(picture.size) > 500
        shades = {color for _, color in picture.convert("RGB").getcolors(2**24) or []}
        assert len(shades) > 5


def test_ones_own_pictures_as_csv(command: Command, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for name in ("one, two.png", "three.png"):
        pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / name)
    files = {kind: tmp_path / f"found.{kind}" for kind in ("csv", "json")}
    words = ["--images", tmp_path / "pictures", "--json", files["json"]]
    done = command("resnet-eval", "--ckpt", trained, *words, "--predictions", files["csv"])
    assert done.code == 0, done.err
    found = json.loads(files["json"].read_text())
    rows = {row["image"]: row for row in table(files["csv"])}
    assert rows.keys() == found.keys() and any("one, two" in path for path in rows)
    for path, row in rows.items():
        for number, (name, p) in enumerate(found[path], 1):
            assert row[f"class{number}"] == name
            assert float(row[f"p{number}"]) == pytest.approx(p, abs=5e-5)


def pixels_of(count: int) -> torch.Tensor:
    return synthetic.draw(TEST_IMAGES, seed=1)[0][:count]


def expected(command: Command, trained: Path, tmp_path: Path) -> torch.Tensor:
    """The scores of resnet-eval."""
    file = tmp_path / "scores.npz"
    assert command("resnet-eval", "--ckpt", trained, "--predictions", file).code == 0
    return torch.from_numpy(np.load(file)["scores"])


def test_pt2_answers_as_resnet_eval_does(
    command: Command, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any number of images, and written where the data is not."""
    scores = expected(command, trained, tmp_path)
    monkeypatch.setenv("RESNET_DATA", str(tmp_path / "nowhere"))
    file = tmp_path / "network.pt2"
    done = command("resnet-eval", "--ckpt", trained, "--export", file)
    assert done.code == 0, done.err
    extra = {"classes": "", "input": ""}
    program = torch.export.load(file, extra_files=extra).module()
    assert json.loads(extra["classes"]) == list(synthetic.CLASSES)
    for count in (1, TEST_IMAGES):
        assert_close(program(pixels_of(count)), scores[:count], rtol=0, atol=1e-5)


def test_onnx_answers_as_resnet_eval_does(command: Command, trained: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs onnxruntime to run ONNX")
    pytest.importorskip("onnxscript", reason="needs onnxscript to write ONNX")
    file = tmp_path / "network.onnx"
    done = command("resnet-eval", "--ckpt", trained, "--export", file)
    assert done.code == 0, done.err
    session = onnxruntime.InferenceSession(file)
    scores = expected(command, trained, tmp_path)
    for count in (1, TEST_IMAGES):
        (found,) = session.run(None, {"images": pixels_of(count).numpy()})
        assert_close(torch.from_numpy(found), scores[:count], rtol=0, atol=1e-5)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == list(synthetic.CLASSES)
    assert about["input"] == "uint8 RGB [N, 3, 32, 32]"


def test_torchvisions_network_as_a_program(command: Command, tmp_path: Path) -> None:
    """With its maximum pooling and projections, at ImageNet's normalization."""
    theirs = torchvision.models.resnet18().eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    words = ["model=resnet18", "shortcut=B", "dataset.normalization=imagenet"]
    words += ["dataset.image_size=64", "device=cpu", "--export", str(tmp_path / "resnet18.pt2")]
    done = command("resnet-eval", "--ckpt", tmp_path / "resnet18.pth", *words)
    assert done.code == 0, done.err
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    normalize = torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    program = torch.export.load(tmp_path / "resnet18.pt2").module()
    with torch.no_grad():
        assert_close(program(images), theirs(normalize(images / 255)).softmax(1), rtol=0, atol=1e-5)


def test_what_cannot_be_written_is_refused(
    command: Command, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*words: object, told: str) -> None:
        check_refused(command("resnet-eval", "--ckpt", trained, *words), 2, told)

    refused("--export", tmp_path / "no" / "x.onnx", told="in a folder that exists")
    refused("--export", tmp_path / "x.tflite", told=".safetensors, .pth, .onnx or .pt2")
    refused("--export", tmp_path / "x.onnx", "--bn", "population", told="--bn does not go with")
    refused("--per-class", tmp_path / "a" / "b", told="in a folder that exists")
    refused("--images", tmp_path, "--predictions", tmp_path / "x.npz", told="writes a .csv file")
    refused("--images", tmp_path, "--per-class", tmp_path, told="does not go with --images")
    monkeypatch.setitem(sys.modules, "onnx", None)
    refused("--export", tmp_path / "x.onnx", told="pip install 'resnet-cli[onnx]'")
    assert not list(tmp_path.glob("x.*"))
