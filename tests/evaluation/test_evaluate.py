"""resnet-eval: our checkpoints, other people's weights, and files that are neither."""

import io
import json
import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.resnet import ResNet
from resnet_cli.paper.evaluations import find_evaluations
from resnet_cli.paper.runs import find
from tests.helpers.commands import TINY, Command, check_refused, last_line
from tests.helpers.processes import finish, spawn

FOREIGN = [
    "model=resnet20",
    "shortcut=B",
    "dataset=synthetic",
    "dataset.test_images=200",
    "dataset.train_images=100",
    "device=cpu",
]
FOREIGN += ["dataset.normalization=paper"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs, seeds 0 and 1, with 50 validation images."""
    runs = tmp_path_factory.mktemp("trained")
    processes = [
        spawn(*TINY, "dataset.validation=50", f"seed={seed}", f"runs={runs}") for seed in (0, 1)
    ]
    assert [finish(process)[0] for process in processes] == [0, 0]
    return runs


def folder(trained: Path, seed: int) -> Path:
    (found,) = trained.rglob(f"seed{seed}")
    return found


def result_images(root: Path) -> dict[str, int]:
    return dict(json.loads((folder(root, 0) / "data.json").read_text())["images"])


def test_a_run_measures_as_it_did_while_training(
    command: Command, trained: Path, tmp_path: Path
) -> None:
    result = json.loads((folder(trained, 0) / "result.json").read_text())
    out = tmp_path / "out.json"
    shown = last_line(command("resnet-eval", "--ckpt", folder(trained, 0), "--json", out))
    assert shown == {
        "top1_error": result["final"]["test_error"],
        "top5_error": shown["top5_error"],
        "count": 150,
    }
    written = json.loads(out.read_text())
    assert (written["top1_error"], written["network"], written["split"]) == (
        shown["top1_error"],
        "resnet8-A",
        "test",
    )
    (told,) = written["trained"]
    assert (told["network"], told["seed"], told["iteration"]) == ("resnet8-A", 0, 24)
    assert told["recipe"]["batch_size"] == 32 and "dataset.root" not in told["recipe"]
    assert written["data"]["images"] == result_images(trained)
    runs, _ = find([trained])  # resnet-report knows it by what was trained
    (evaluation,), _ = find_evaluations([out], runs)
    assert evaluation.run is not None and evaluation.run.folder == folder(trained, 0)
    best = last_line(
        command(
            "resnet-eval", "--ckpt", folder(trained, 0) / "checkpoints/best.pt", "--split", "val"
        )
    )
    assert best == {
        "top1_error": result["best"]["error"],
        "top5_error": best["top5_error"],
        "count": 50,
    }


def test_several_are_an_ensemble(command: Command, trained: Path) -> None:
    one, other = folder(trained, 0), folder(trained, 1)
    same = last_line(command("resnet-eval", "--ckpt", one, one))
    assert same == last_line(command("resnet-eval", "--ckpt", one))
    both = command("resnet-eval", "--ckpt", one, other)
    assert "resnet8-A + resnet8-A" in both.out
    assert last_line(both)["count"] == 150


def test_an_ensemble_needs_the_same_images(command: Command, trained: Path, tmp_path: Path) -> None:
    words = [word for word in TINY if not word.startswith("dataset.test_images")]
    assert (
        command(
            "resnet-train",
            *words,
            "dataset.validation=50",
            "dataset.test_images=100",
            f"runs={tmp_path}",
        ).code
        == 0
    )
    (other,) = tmp_path.rglob("seed0")
    check_refused(
        command("resnet-eval", "--ckpt", folder(trained, 0), other), 2, "they make no ensemble"
    )


@pytest.fixture
def network() -> ResNet:
    """A network whose BN has seen something, so that every value of its state matters."""
    torch.manual_seed(0)
    net = ResNet(cifar(20, shortcut=Shortcut.B))
    net(torch.randn(64, 3, 32, 32))
    return net.eval()


def akamaster(name: str) -> str:
    return name.replace("fc.", "linear.").replace(".downsample.", ".shortcut.")


WRAPPED = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "best_prec1": 91.2},
    "model": lambda state: {"model": state, "optimizer": {"lr": 0.1}},
    "module.": lambda state: {
        "state_dict": {f"module.{name}": value for name, value in state.items()}
    },
    "_orig_mod.module.": lambda state: {
        f"_orig_mod.module.{name}": value for name, value in state.items()
    },
    "akamaster": lambda state: {
        "state_dict": {f"module.{akamaster(name)}": value for name, value in state.items()}
    },
    "no counters": lambda state: {
        name: value for name, value in state.items() if "num_batches" not in name
    },
}


@pytest.mark.parametrize("form", WRAPPED)
def test_other_peoples_weights_in_every_common_form(
    command: Command, network: ResNet, tmp_path: Path, form: str
) -> None:
    torch.save(WRAPPED[form](network.state_dict()), tmp_path / "x.th")
    ours = last_line(
        command(
            "resnet-eval", "--ckpt", tmp_path / "x.th", *FOREIGN, "dataset.normalization=imagenet",
            "--json", tmp_path / "out.json",
        )
    )  # fmt: skip
    assert ours == expected(network)
    (told,) = json.loads((tmp_path / "out.json").read_text())["trained"]
    assert (told["recipe"], told["seed"]) == (None, None)  # nobody knows


def expected(network: ResNet) -> dict[str, Any]:
    """The errors by a loop of its own, ImageNet's channel normalisation written out."""
    from resnet_cli.data import synthetic

    images, labels = synthetic.draw(200, seed=1)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.inference_mode():
        order = network((images / 255 - mean) / std).argsort(dim=1, descending=True)
    right1 = (order[:, 0] == labels).sum().item()
    right5 = (order[:, :5] == labels[:, None]).any(dim=1).sum().item()
    return {
        "top1_error": pytest.approx((200 - right1) / 2),
        "top5_error": pytest.approx((200 - right5) / 2),
        "count": 200,
    }


def test_weights_alone_need_a_model(command: Command, network: ResNet, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "x.th")
    for given in ([], ["model=resnet20"], ["dataset.normalization=cifar"]):
        refused = command("resnet-eval", "--ckpt", tmp_path / "x.th", *given)
        check_refused(refused, 2, "say which network", "dataset.normalization=imagenet")


def test_another_architecture_names_the_first_keys_and_shapes(
    command: Command, network: ResNet, tmp_path: Path
) -> None:
    state = network.state_dict() | {"fc.weight": torch.zeros(10, 32)}
    torch.save(state, tmp_path / "x.th")
    wrong = command("resnet-eval", "--ckpt", tmp_path / "x.th", *FOREIGN, "model=resnet32")
    check_refused(
        wrong,
        2,
        "not of resnet32-B",
        "60 missing (layer1.3.conv1.weight, ",
        "fc.weight [10, 32], expected [10, 64]",
    )


class Code:
    """A pickle that runs a command when it is loaded carelessly."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def test_code_in_a_pickle_is_refused_and_never_run(command: Command, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save({"state_dict": Code(mark)}, tmp_path / "zip.th")
    (tmp_path / "raw.th").write_bytes(pickle.dumps(Code(mark)))
    for name in ("zip.th", "raw.th"):
        check_refused(command("resnet-eval", "--ckpt", tmp_path / name, *FOREIGN), 2, "is refused")
    assert not mark.exists()


def legacy(length: int | None = None) -> bytes:
    """An old-format file, whole or cut off."""
    buffer = io.BytesIO()
    torch.save(
        {"state_dict": {"conv1.weight": torch.randn(1000)}},
        buffer,
        _use_new_zipfile_serialization=False,
    )
    return buffer.getvalue()[:length]


UNREADABLE = {
    "legacy, cut in its tensors": legacy(2000),
    "legacy, cut in its pickle": legacy(60),
    "random": torch.randint(
        0, 256, (500,), generator=torch.Generator().manual_seed(1), dtype=torch.uint8
    )
    .numpy()
    .tobytes(),
} | {
    "missing": None,
    "empty": b"",
    "text": b"hello, world\n",
    "truncated": b"PK\x03\x04" + b"\0" * 100,
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_checkpoint_is_one_line(command: Command, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.pt"
    content = UNREADABLE[kind]
    if content is not None:
        path.write_bytes(content)
    check_refused(command("resnet-eval", "--ckpt", path, *FOREIGN), 2, str(path))


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_is_to_be_unpacked(command: Command, tmp_path: Path, mode: str) -> None:
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "last.pt")
    path = tmp_path / "run.pth.tar"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        archive.add(tmp_path / "last.pt", "run/last.pt")
    check_refused(command("resnet-eval", "--ckpt", path, *FOREIGN), 2, str(path), "unpack it")


def test_a_file_of_no_weights(command: Command, tmp_path: Path) -> None:
    torch.save({"state_dict": {"lr": 0.1}}, tmp_path / "x.pt")
    check_refused(
        command("resnet-eval", "--ckpt", tmp_path / "x.pt", *FOREIGN), 2, "found no weights"
    )


def test_weights_of_other_classes_are_refused(command: Command, tmp_path: Path) -> None:
    torch.save(
        ResNet(cifar(20, shortcut=Shortcut.B, num_classes=100)).state_dict(), tmp_path / "x.th"
    )
    check_refused(
        command("resnet-eval", "--ckpt", tmp_path / "x.th", *FOREIGN),
        2,
        "tells 100 classes apart, the data has 10",
    )


def test_cifar_networks_have_a_single_view(command: Command, trained: Path) -> None:
    check_refused(
        command("resnet-eval", "--ckpt", folder(trained, 0), "--views", "dense"),
        2,
        "section 4.2",
        "single view",
    )
    assert (
        last_line(command("resnet-eval", "--ckpt", folder(trained, 0), "--views", "single"))[
            "count"
        ]
        == 150
    )


def test_a_folder_for_json_is_refused_before_measuring(
    command: Command, trained: Path, tmp_path: Path
) -> None:
    check_refused(
        command("resnet-eval", "--ckpt", folder(trained, 0), "--json", tmp_path), 2, "--json"
    )


def test_what_was_trained_cannot_be_said_anew(command: Command, trained: Path) -> None:
    check_refused(
        command("resnet-eval", "--ckpt", folder(trained, 0), "model=resnet56"),
        2,
        "model cannot be changed here",
    )
    check_refused(
        command("resnet-eval", "--ckpt", folder(trained, 0), "precison=fp32"),
        2,
        "did you mean 'precision'",
    )
    assert (
        last_line(command("resnet-eval", "--ckpt", folder(trained, 0), "precision=fp32"))["count"]
        == 150
    )


def test_real_cifar10_from_another_root(
    command: Command, network: ResNet, cifar10_root: Path, tmp_path: Path
) -> None:
    torch.save(network.state_dict(), tmp_path / "x.th")
    words = [
        "model=resnet20",
        "shortcut=B",
        f"dataset.root={cifar10_root}",
        "dataset.test_images=500",
        "dataset.normalization=cifar",
    ]
    assert last_line(command("resnet-eval", "--ckpt", tmp_path / "x.th", *words))["count"] == 500
