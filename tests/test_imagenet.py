"""Photographs through the doors a user takes: resnet-train on folders and shards, resnet-eval
in all three ways.
"""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from resnet_cli.models.architecture import Shortcut, imagenet
from resnet_cli.models.resnet import ResNet
from tests.data.trees import CLASSES, write_folders, write_kaggle, write_official, write_shards
from tests.helpers.commands import Command, Outcome, check_refused, last_line
from tests.helpers.numbers import assert_same
from tests.helpers.processes import finish, spawn, wait_for
from tests.helpers.runs import ended, kill_at

SMALL = [
    "model=resnet20",
    "model.depth=8",
    "dataset=imagenet",
    "dataset.image_size=32",
    "schedule=imagenet_steps",
    "batch_size=4",
]
SMALL += [
    "schedule.iterations=12",
    "log_every=4",
    "eval_every=6",
    "checkpoint_every=4",
    "device=cpu",
    "optimizer.lr=0.01",
]
LAYOUTS = {
    "folders": write_folders,
    "kaggle": write_kaggle,
    "official": write_official,
    "shards": write_shards,
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(tmp_path_factory.mktemp("photographs"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> list[Path]:
    """Runs of seeds 0 and 1, left alone."""
    runs = tmp_path_factory.mktemp("trained")
    for seed in (0, 1):
        words = [*SMALL, f"dataset.root={photographs}", f"seed={seed}", f"runs={runs}"]
        code, _, err = finish(spawn(*words))
        assert code == 0, err
    return [path.parent for path in sorted(runs.rglob("config.yaml"))]


@pytest.fixture
def command(command: Command, photographs: Path) -> Command:
    """As everywhere; resnet-eval is told where the photographs lie, where a test does not do so: a
    checkpoint's own word is not taken for it.
    """

    def run(name: str, *words: object) -> Outcome:
        told = {"--average", "dataset.root"} & {str(word).split("=")[0] for word in words}
        root = [] if told or name != "resnet-eval" else [f"dataset.root={photographs}"]
        return command(name, *words, *root)

    return run


def test_a_run_tells_what_it_found_and_logs_validation_errors(
    photographs: Path, trained: list[Path]
) -> None:
    result = json.loads((trained[0] / "result.json").read_text())
    assert (result["network"], result["dataset"], result["classes"], result["training_images"]) == (
        "resnet8-A",
        photographs.name,
        3,
        9,
    )
    assert result["final"]["test_error"] is None and result["best"]["chosen_on"] == "validation"
    lines = [json.loads(line) for line in (trained[0] / "metrics.jsonl").read_text().splitlines()]
    assert [line["val/error"] for line in lines if "val/error" in line][-1] == result["final"][
        "val_error"
    ]
    assert "not ImageNet's 1,000 / 1,281,167 / 50,000" in (trained[0] / "log.txt").read_text()


@pytest.mark.parametrize("layout", ["kaggle", "official", "shards"])
def test_every_layout_trains_the_same_network(
    command: Command, trained: list[Path], tmp_path: Path, runs: Path, layout: str
) -> None:
    """Kaggle's validation images lie in another order, which the errors do not see."""
    root = LAYOUTS[layout](tmp_path / layout)
    done = command(
        "resnet-train", *SMALL, f"dataset.root={root}", f"runs={runs}", "dataset.workers=0"
    )
    assert done.code == 0, done.err
    (folder,) = (path.parent for path in runs.rglob("config.yaml"))
    assert_same(ended(folder)[0]["network"], ended(trained[0])[0]["network"])
    results = [
        json.loads((one / "result.json").read_text())["final"] for one in (folder, trained[0])
    ]
    assert results[0] == results[1]


def test_a_stopped_run_goes_on_bit_for_bit_with_other_workers(
    command: Command,
    photographs: Path,
    trained: list[Path],
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [*SMALL, f"dataset.root={photographs}", f"runs={runs}"]
    with monkeypatch.context() as patched:
        kill_at(patched, 5)
        assert command("resnet-train", *words, "dataset.workers=2").code == 128 + signal.SIGINT
    assert command("resnet-train", *words, "dataset.workers=0").code == 0
    (folder,) = (path.parent for path in runs.rglob("config.yaml"))
    assert_same(ended(folder), ended(trained[0]))


def start_endless(photographs: Path, runs: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """A run that would go on, in a process group of its own, once it has logged; and the loader
    processes it has.
    """
    words = [
        *SMALL,
        f"dataset.root={photographs}",
        f"runs={runs}",
        "schedule.iterations=2000",  # 888 epochs: more than 1,000 would be warned of
        "eval_every=2000",
        "log_every=1",
    ]
    process = spawn(*words, "dataset.workers=1", "compile=off", start_new_session=True)
    wait_for(
        lambda: (
            process.poll() is not None
            or any(path.stat().st_size for path in runs.rglob("metrics.jsonl"))
        )
    )
    assert process.poll() is None, process.communicate()
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout
    return process, [int(pid) for pid in children.split()]


def test_a_signal_to_all_processes_saves_and_leaves_none(photographs: Path, runs: Path) -> None:
    process, workers = start_endless(photographs, runs)
    os.killpg(process.pid, signal.SIGTERM)
    code, _, err = finish(process)
    assert code == 128 + signal.SIGTERM, err
    assert "the same command continues" in err and err.count("\n") == 1
    assert workers and not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_a_dead_loader_process_is_one_line(photographs: Path, runs: Path) -> None:
    process, workers = start_endless(photographs, runs)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    code, _, err = finish(process)
    assert code == 1, err
    assert "a loader process died" in err and err.count("\n") == 1


def test_a_plateau_lowers_the_rate_and_a_resumed_run_knows(
    command: Command, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [
        *SMALL,
        f"dataset.root={photographs}",
        "schedule=imagenet",
        "schedule.iterations=12",
        "schedule.patience=2",
        "eval_every=2",
    ]
    words += [
        "schedule.progress=90",
        "schedule.drops=2",
        "dataset.workers=0",
        "batch_size=4",
        "optimizer.lr=0.01",
        "log_every=1",
    ]
    rates = {}
    for name in ("alone", "stopped"):
        if name == "stopped":
            with monkeypatch.context() as patched:
                kill_at(patched, 7)
                assert (
                    command("resnet-train", *words, f"runs={tmp_path / name}").code
                    == 128 + signal.SIGINT
                )
        done = command("resnet-train", *words, f"runs={tmp_path / name}")
        assert done.code == 0, done.err
        (log,) = (tmp_path / name).rglob("metrics.jsonl")
        rates[name] = [json.loads(line)["lr"] for line in log.read_text().splitlines()]
    # measured at 2, 4, 6, ...: two without progress
    assert rates["alone"] == pytest.approx([0.01] * 6 + [0.001] * 4 + [0.0001] * 2)
    assert rates["stopped"] == rates["alone"]


def test_a_corrupt_photograph_stops_or_is_listed(
    command: Command, tmp_path: Path, runs: Path
) -> None:
    root = write_folders(tmp_path / "photographs")
    victim = sorted((root / "train" / CLASSES[0]).iterdir())[0]
    victim.write_bytes(b"\xff\xd8\xff not much")
    words = ["resnet-train", *SMALL, f"dataset.root={root}", f"runs={runs}", "dataset.workers=1"]
    stopped = command(*words)
    assert stopped.code == 3
    assert (
        str(victim) in stopped.err
        and "dataset.on_error=skip" in stopped.err
        and stopped.err.count("\n") == 1
    )
    skipped = command(*words, "dataset.on_error=skip")
    assert skipped.code == 0, skipped.err
    assert str(victim) in skipped.err and "1 images that could not be decoded" in skipped.out
    (result,) = runs.rglob("result.json")
    assert [str(victim) in line for line in json.loads(result.read_text())["skipped_images"]] == [
        True
    ]


@pytest.mark.parametrize("views", ["single", "ten", "dense"])
def test_the_three_ways_of_testing(
    command: Command, trained: list[Path], tmp_path: Path, views: str
) -> None:
    scales = ["--scales", "32", "48"] if views == "dense" else []
    kept = [tmp_path / f"{seed}.npz" for seed in (0, 1)]
    for run, file in zip(trained, kept, strict=True):
        one = last_line(
            command("resnet-eval", "--ckpt", run, "--views", views, *scales, "--predictions", file)
        )
        assert one["count"] == 4
        if views == "single":
            assert (
                one["top1_error"]
                == json.loads((run / "result.json").read_text())["final"]["val_error"]
            )
    both = tmp_path / "both.npz"
    ensemble = last_line(
        command("resnet-eval", "--ckpt", *trained, "--views", views, *scales, "--predictions", both)
    )
    about = tmp_path / "about.json"
    assert ensemble == last_line(
        command(
            "resnet-eval",
            "--average",
            *kept,
            "--json",
            about,
            "--predictions",
            tmp_path / "again.npz",
        )
    )
    told = json.loads(about.read_text())
    assert (told["network"], told["views"], told["classes"], len(told["checkpoints"])) == (
        "resnet8-A + resnet8-A",
        views,
        3,
        2,
    )
    with np.load(both) as file, np.load(kept[0]) as first, np.load(kept[1]) as second:
        assert file["scores"].dtype == np.float32 and file["scores"].shape == (4, 3)
        mean = (first["scores"] + second["scores"]) / 2
        np.testing.assert_allclose(file["scores"], mean, rtol=1e-6, atol=1e-6)
        assert file["labels"].tolist() == [0, 0, 1, 2]
        numbers = zip([0, 0, 1, 2], [2, 4, 3, 1], strict=True)
        assert file["paths"].tolist() == [
            f"val/{CLASSES[label]}/ILSVRC2012_val_{number:08}.JPEG" for label, number in numbers
        ]


def test_exact_bn_statistics_change_what_is_measured_and_can_be_exported(
    command: Command, trained: list[Path], tmp_path: Path
) -> None:
    files = {bn: tmp_path / f"{bn}.pth" for bn in ("running", "population")}
    for bn, file in files.items():
        shown = command("resnet-eval", "--ckpt", trained[0], "--bn", bn, "--export", file)
        assert last_line(shown)["count"] == 4
        assert ("over 8 training images" in shown.out) is (bn == "population")
    running, population = (torch.load(file, weights_only=True) for file in files.values())
    assert_same(running["conv1.weight"], population["conv1.weight"])
    assert not torch.allclose(running["bn1.running_var"], population["bn1.running_var"])


def test_the_five_likeliest_classes_of_my_own_pictures(
    command: Command, trained: list[Path], photographs: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    (mine / "below").mkdir(parents=True)
    picture = next((photographs / "val" / CLASSES[0]).iterdir())
    (mine / "cat.jpg").write_bytes(picture.read_bytes())
    (mine / "broken.png").write_bytes(b"no picture")
    Image.new("P", (50, 30)).save(mine / "below" / "grey.PNG")
    # In bf16 two batches of other sizes may round the same picture otherwise.
    words = ["resnet-eval", "--ckpt", trained[0], "precision=fp32"]
    shown = command(*words, "--images", mine, "--json", tmp_path / "out.json")
    assert shown.code == 0, shown.err
    assert "broken.png" in shown.err
    found = json.loads((tmp_path / "out.json").read_text())
    assert [Path(path).name for path in found] == ["cat.jpg", "grey.PNG"]
    for likeliest in found.values():
        assert {name for name, _ in likeliest} == set(CLASSES)
        assert sum(probability for _, probability in likeliest) == pytest.approx(1)
    kept = tmp_path / "kept.npz"
    assert command(*words, "--predictions", kept).code == 0
    with np.load(kept) as file:
        (row,) = np.flatnonzero([path.endswith(picture.name) for path in file["paths"]])
        expected = dict(zip(CLASSES, file["scores"][row].tolist(), strict=True))
    assert dict(next(iter(found.values()))) == pytest.approx(expected, abs=1e-5)


def test_torchvisions_weights_are_measured_and_come_back(
    command: Command, photographs: Path, tmp_path: Path
) -> None:
    """A network of three classes in torchvision's file, scored by its own hands."""
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=3).train()
    theirs(torch.randn(8, 3, 64, 64))  # so that BN has seen something
    torch.save(theirs.eval().state_dict(), tmp_path / "theirs.pth")
    words = [
        "model=resnet18",
        "shortcut=B",
        "dataset.normalization=imagenet",
        "dataset.image_size=64",
        f"dataset.root={photographs}",
    ]
    kept, back = tmp_path / "kept.npz", tmp_path / "back.safetensors"
    shown = command(
        "resnet-eval",
        "--ckpt",
        tmp_path / "theirs.pth",
        *words,
        "--predictions",
        kept,
        "--export",
        back,
    )
    assert last_line(shown)["count"] == 4
    transform = torchvision.transforms.Compose(
        [
            torchvision.transforms.Resize(73),
            torchvision.transforms.CenterCrop(64),
            torchvision.transforms.ToTensor(),
            torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    with np.load(kept) as file, torch.inference_mode():
        pictures = torch.stack(
            [transform(Image.open(photographs / path).convert("RGB")) for path in file["paths"]]
        )
        scores = theirs(pictures).softmax(dim=1).numpy()
        np.testing.assert_allclose(file["scores"], scores, rtol=1e-4, atol=1e-5)
    again = command("resnet-eval", "--ckpt", back, *words)
    assert last_line(again) == last_line(shown)


def test_validation_images_alone_are_enough_for_testing(
    command: Command, trained: list[Path], photographs: Path, tmp_path: Path
) -> None:
    """Most people have ImageNet's 6 GB of them."""
    shutil.copytree(photographs / "val", tmp_path / "only" / "val")
    root = f"dataset.root={tmp_path / 'only'}"
    for views in ("single", "ten"):
        alone = last_line(command("resnet-eval", "--ckpt", trained[0], root, "--views", views))
        assert alone == last_line(command("resnet-eval", "--ckpt", trained[0], "--views", views))
    check_refused(
        command("resnet-eval", "--ckpt", trained[0], root, "--bn", "population"),
        3,
        "no training images",
    )
    refused = command("resnet-train", *SMALL, root, f"runs={tmp_path / 'runs'}")
    assert (
        refused.code == 3
        and "no training images" in refused.err
        and not (tmp_path / "runs").exists()
    )


def test_a_bottleneck_must_say_where_its_stride_is(command: Command, tmp_path: Path) -> None:
    torch.save(
        ResNet(imagenet(50, shortcut=Shortcut.B, num_classes=3)).state_dict(), tmp_path / "x.pth"
    )
    check_refused(
        command(
            "resnet-eval",
            "--ckpt",
            tmp_path / "x.pth",
            "model=resnet50",
            "dataset.normalization=imagenet",
        ),
        2,
        "say model.stride_in=3x3",
    )


def test_what_cannot_be_tested_so_is_told(
    command: Command, trained: list[Path], tmp_path: Path
) -> None:
    check_refused(
        command("resnet-eval", "--ckpt", trained[0], "--views", "dense", "--scales", "16", "64"),
        2,
        "--scales 16: must be at least 32",
    )
    check_refused(
        command("resnet-eval", "--ckpt", trained[0], "--views", "dense", "--scales", "big"),
        2,
        "--scales big: expected pixels",
    )
    few = command(
        "resnet-eval",
        "--ckpt",
        trained[0],
        "--views",
        "dense",
        "--scales",
        "32",
        "dataset.test_images=2",
    )
    assert last_line(few)["count"] == 2
    check_refused(
        command("resnet-eval", "--ckpt", trained[0], "--scales", "64"),
        2,
        "--scales belongs to --views dense",
    )
    check_refused(
        command("resnet-eval", "--ckpt", trained[0], "--split", "test"), 2, "no public labels"
    )
    check_refused(
        command("resnet-eval", "--ckpt", trained[0], "--images", tmp_path / "nowhere"),
        3,
        "no such folder",
    )
    check_refused(
        command("resnet-eval", "--ckpt", trained[0], "--images", tmp_path), 3, "no picture"
    )
    check_refused(
        command("resnet-eval", "--ckpt", trained[0], "--export", tmp_path / "x.onyx"), 2, ".onnx"
    )
    check_refused(
        command("resnet-eval", "--ckpt", trained[0], "--bn-images", "5"), 2, "--bn population"
    )
    check_refused(
        command("resnet-eval", "--ckpt", *trained, "--export", tmp_path / "x.pth"), 2, "one network"
    )
    check_refused(
        command("resnet-eval", "--ckpt", trained[0], "--images", tmp_path, "--views", "ten"),
        2,
        "--views does not go with --images",
    )
    check_refused(
        command("resnet-eval", "--average", tmp_path / "a.npz", "--images", tmp_path),
        2,
        "--images does not go with --average",
    )
    check_refused(
        command("resnet-eval", "--average", tmp_path / "a.npz", "--split", "val"),
        2,
        "--split does not go with --average",
    )


def test_an_ensemble_tells_the_same_classes_apart(
    command: Command, trained: list[Path], tmp_path: Path
) -> None:
    torch.save(
        ResNet(imagenet(18, shortcut=Shortcut.A, num_classes=5)).state_dict(), tmp_path / "five.pth"
    )
    torch.save(
        ResNet(imagenet(18, shortcut=Shortcut.A, num_classes=3)).state_dict(),
        tmp_path / "three.pth",
    )
    words = [
        "model=resnet18",
        f"dataset.root={tmp_path}",
        "dataset.image_size=32",
        "dataset.normalization=paper",
    ]
    check_refused(
        command("resnet-eval", "--ckpt", tmp_path / "three.pth", tmp_path / "five.pth", *words),
        2,
        "other classes apart (5)",
        "(3)",
    )


def test_other_classes_than_were_trained_are_refused(
    command: Command, trained: list[Path], tmp_path: Path
) -> None:
    root = write_folders(tmp_path / "other")
    for split in ("train", "val"):
        (root / split / CLASSES[2]).rename(root / split / "n09999999")
    check_refused(
        command("resnet-eval", "--ckpt", trained[0], f"dataset.root={root}"),
        2,
        "trained on other classes",
        "n09999999",
    )


def test_data_that_is_not_there_is_one_line(command: Command, tmp_path: Path, runs: Path) -> None:
    words = ["resnet-train", *SMALL, f"runs={runs}"]
    check_refused(command(*words, f"dataset.root={tmp_path / 'nowhere'}"), 3, "nowhere")
    (tmp_path / "empty").mkdir()
    check_refused(command(*words, f"dataset.root={tmp_path / 'empty'}"), 3, "empty")
    root = write_folders(tmp_path / "odd")
    (root / "val" / "n00000001").mkdir()
    (root / "val" / "n00000001" / "a.jpg").write_bytes(b"")
    check_refused(command(*words, f"dataset.root={root}"), 3, "n00000001")
    assert not runs.exists()


def test_counts_that_do_not_fit_are_one_line(
    command: Command, photographs: Path, runs: Path
) -> None:
    words = ["resnet-train", *SMALL, f"dataset.root={photographs}", f"runs={runs}"]
    told = {
        "dataset.num_classes=1000": "has 3 classes",
        "model.num_classes=2": "the data has 3 classes",
        "batch_size=10": "only 9 training",
    }
    for override, part in (told | {"dataset.train_images=10": "there are only 9"}).items():
        outcome = command(*words, override)
        assert outcome.code == 2 and part in outcome.err.splitlines()[-1], outcome.err
    assert not runs.exists()


def test_a_folder_belongs_to_one_set_of_photographs(
    command: Command, photographs: Path, tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_folders(tmp_path / photographs.name)
    for split in ("train", "val"):
        (other / split / CLASSES[2]).rename(other / split / "n09999999")
    words = ["resnet-train", *SMALL, f"runs={runs}", "dataset.workers=0"]
    with monkeypatch.context() as patched:
        kill_at(patched, 5)
        command(*words, f"dataset.root={photographs}")
    stopped = command(*words, f"dataset.root={other}")
    assert stopped.code == 2 and "holds a run on other data (classes: 3 -> 3)" in stopped.err
    assert command(*words, f"dataset.root={photographs}").code == 0
    finished = command(*words, f"dataset.root={other}")
    assert finished.code == 2 and "holds a run on other data" in finished.err
    assert "is finished" in command(*words, f"dataset.root={photographs}").out


def test_under_a_plateau_rule_the_evaluations_are_part_of_the_recipe(
    command: Command, photographs: Path, runs: Path
) -> None:
    words = [
        *SMALL,
        "schedule=imagenet",
        "schedule.iterations=8",
        "batch_size=4",
        f"dataset.root={photographs}",
        "dataset.workers=0",
    ]
    for every in (2, 4):
        assert command("resnet-train", *words, f"eval_every={every}", f"runs={runs}").code == 0
    assert len(list(runs.rglob("result.json"))) == 2


def test_a_few_images_of_every_class(command: Command, photographs: Path, runs: Path) -> None:
    shown = command(
        "resnet-train",
        *SMALL,
        f"dataset.root={photographs}",
        f"runs={runs}",
        "dataset.train_images=6",
        "dry_run=true",
    )
    assert shown.code == 0, shown.err
    assert "6 training, 4 validation images" in shown.out and not runs.exists()
