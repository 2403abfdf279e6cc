"""Weights of one network as the start of another run, and on some of the classes it knows."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from resnet_cli.data.identity import imagenet_wnids
from tests.data.trees import CLASSES, write_folders
from tests.helpers.commands import TINY, Command, check_refused, last_line
from tests.helpers.numbers import assert_same
from tests.helpers.runs import folder_of, saved_values
from tests.test_photographs import SMALL, pets

__all__ = ["pets"]  # the fixture
HEAD = ("fc.weight", "fc.bias")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of ten classes of generated images."""
    from tests.helpers.processes import finish, spawn

    runs = tmp_path_factory.mktemp("first")
    code, _, err = finish(spawn(*TINY, "schedule.iterations=4", "eval_every=4", f"runs={runs}"))
    assert code == 0, err
    return folder_of(runs)


def start_of(runs: Path) -> dict[str, torch.Tensor]:
    """The weights of a run that has made one step at rate 0."""
    return dict(saved_values(folder_of(runs) / "checkpoints/last.pt")["network"])


STILL = ["optimizer.lr=0", "optimizer.weight_decay=0", "schedule.iterations=1"]


def test_a_run_starts_from_another_with_a_head_of_its_own(
    command: Command, first: Path, pets: Path, runs: Path, tmp_path: Path
) -> None:
    """At rate 0, everything but BN's averages and the head is what the file has."""
    theirs = saved_values(first / "checkpoints/last.pt")["network"]
    torch.save({f"module.{name}": value for name, value in theirs.items()}, tmp_path / "other.pth")
    exported = tmp_path / "first.safetensors"
    assert command("resnet-eval", "--ckpt", first, "--export", exported).code == 0
    for number, file in enumerate((first, tmp_path / "other.pth", exported)):
        here = runs / str(number)
        words = [*SMALL, *STILL, f"dataset.root={pets}", f"runs={here}", f"weights={file}"]
        done = command("resnet-train", *words)
        assert done.code == 0, done.err
        assert "all but its head: that tells 10 " in done.out
        ours = start_of(here)
        learned = [name for name in ours if "running" not in name and "num_" not in name]
        for name in {*learned} - {*HEAD}:
            assert_same(ours[name], theirs[name])
        assert ours["fc.weight"].shape == (2, 64)
    again = command("resnet-train", *words, "schedule.iterations=2", "resume=auto")
    assert again.code == 0
    exported.unlink()
    assert "is finished" in command("resnet-train", *words).out  # it needs the file no more


def test_the_head_comes_along_where_the_classes_are_the_same(
    command: Command, first: Path, runs: Path
) -> None:
    theirs = saved_values(first / "checkpoints/last.pt")["network"]
    words = [*TINY, *STILL, f"runs={runs}", f"weights={first}"]
    done = command("resnet-train", *words)
    assert "starting from" in done.out and "all but its head" not in done.out, done
    assert_same(start_of(runs)["fc.weight"], theirs["fc.weight"])


def test_torchvisions_weights(command: Command, pets: Path, runs: Path, tmp_path: Path) -> None:
    theirs = torchvision.models.resnet18().state_dict()
    torch.save(theirs, tmp_path / "resnet18.pth")
    words = ["experiment=finetune", "model=resnet18", "shortcut=B", "dataset.image_size=32"]
    words += [f"dataset.root={pets}", f"weights={tmp_path}/resnet18.pth", f"runs={runs}"]
    words += ["dataset.workers=0", "device=cpu", "batch_size=4", *STILL]
    done = command("resnet-train", *words)
    assert done.code == 0, done.err
    ours = start_of(runs)
    assert_same(ours["layer4.1.conv2.weight"], theirs["layer4.1.conv2.weight"])
    assert folder_of(runs).relative_to(runs).parts[2].startswith("finetune,")


def test_what_does_not_fit_is_refused(
    command: Command, first: Path, runs: Path, tmp_path: Path
) -> None:
    words = [*TINY, f"runs={runs}"]
    refused = command("resnet-train", *words, f"weights={tmp_path}/none.pth")
    check_refused(refused, 2, "none.pth", "no such file")
    refused = command("resnet-train", *words, "shortcut=none", f"weights={first}")
    check_refused(refused, 2, "they are of resnet8-A, not of plain8")
    refused = command("resnet-train", *words, "model.depth=14", f"weights={first}", "dry_run=true")
    check_refused(refused, 2, "they are of resnet8-A, not of resnet14-A")
    (tmp_path / "broken.pth").write_bytes(b"PK nothing")
    check_refused(
        command("resnet-train", *words, f"weights={tmp_path}/broken.pth"), 2, "broken.pth"
    )
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "small.pth")
    refused = command("resnet-train", *words, f"weights={tmp_path}/small.pth")
    check_refused(refused, 2, "small.pth is not of resnet8-A")
    assert not runs.exists()


def test_a_network_of_1000_classes_on_a_folder_of_some(command: Command, tmp_path: Path) -> None:
    """Each class is known by its WordNet id: a bias that answers with one class errs on all the
    others.
    """
    root = write_folders(tmp_path / "three")
    network = torchvision.models.resnet18()
    wnids = imagenet_wnids()
    classes = [*CLASSES[:2], "n02085620"]
    assert [wnids.index(one) for one in classes] == [0, 1, 151]  # tench, goldfish, Chihuahua
    for split in ("train", "val"):
        (root / split / CLASSES[2]).rename(root / split / classes[2])
    counts = {name: len(list((root / "val" / name).iterdir())) for name in classes}
    words = ["model=resnet18", "shortcut=B", "dataset.normalization=imagenet", "device=cpu"]
    words += [f"dataset.root={root}", "dataset.image_size=32", "dataset.workers=0"]
    for name in classes:
        with torch.no_grad():
            network.fc.weight.zero_()
            network.fc.bias.zero_()
            network.fc.bias[wnids.index(name)] = 1.0
        torch.save(network.state_dict(), tmp_path / "resnet18.pth")
        measured = command("resnet-eval", "--ckpt", tmp_path / "resnet18.pth", *words)
        expected = 100 * (1 - counts[name] / sum(counts.values()))
        assert last_line(measured)["top1_error"] == pytest.approx(expected)
    assert "among the network's 1,000 classes" in measured.out
    (root / "val" / CLASSES[0]).rename(root / "val" / "cat")
    (root / "train" / CLASSES[0]).rename(root / "train" / "cat")
    refused = command("resnet-eval", "--ckpt", tmp_path / "resnet18.pth", *words)
    check_refused(refused, 2, "tells 1,000 classes apart, the data has 3")


def test_the_wordnet_ids_are_imagenets(imagenet_sample: Path) -> None:
    """The sample has every fifth class."""
    wnids = imagenet_wnids()
    assert len(set(wnids)) == 1000 and list(wnids) == sorted(wnids)
    assert sorted(path.name for path in (imagenet_sample / "val").iterdir()) == list(wnids[::5])


def test_some_classes_of_our_own_run(command: Command, runs: Path, tmp_path: Path) -> None:
    """Without the first class, the others keep their numbers."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("a", "b", "c"):
            (tmp_path / "all" / split / name).mkdir(parents=True)
            for number in range(4):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "all" / split / name / f"{number}.png")
    words = [*SMALL, f"dataset.root={tmp_path}/all", f"runs={runs}"]
    assert command("resnet-train", *words).code == 0
    kept = tmp_path / "kept.npz"
    whole = ["resnet-eval", "--ckpt", folder_of(runs), f"dataset.root={tmp_path}/all"]
    assert command(*whole, "--predictions", kept).code == 0
    arrays = np.load(kept)
    scores, labels = arrays["scores"], arrays["labels"]
    wrong = scores.argmax(axis=1) != labels
    for split in ("train", "val"):
        (tmp_path / "some" / split).mkdir(parents=True)
        for name in ("b", "c"):
            (tmp_path / "some" / split / name).symlink_to(tmp_path / "all" / split / name)
    part = command("resnet-eval", "--ckpt", folder_of(runs), f"dataset.root={tmp_path}/some")
    assert last_line(part)["top1_error"] == pytest.approx(100 * wrong[labels > 0].mean())
    assert json.loads(part.out.splitlines()[-1])["count"] == 8
