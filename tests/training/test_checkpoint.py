"""Checkpoints are whole or absent, read into typed values or refused by name, and a broken newest
one is not the end.
"""

import errno
import math
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_cli.config.plain import from_plain
from resnet_cli.models.architecture import Shortcut, cifar
from resnet_cli.models.resnet import ResNet
from resnet_cli.runtime.errors import Failed, UserError
from resnet_cli.training import checkpoint
from tests.helpers.numbers import assert_same
from tests.training.checkpoints import (
    DEEP,
    content,
    made_up,
    momentum_of,
    small_network,
    small_optimizer,
    write_nested,
)


def save_three(folder: Path) -> Path:
    last = folder / checkpoint.LAST
    for iteration in (10, 20, 30):
        checkpoint.save(last, content(iteration), keep=folder / checkpoint.PREVIOUS)
    return last


def newest(folder: Path) -> tuple[int | None, list[str]]:
    lines: list[str] = []
    found = checkpoint.newest(folder, warn=lines.append)
    return (found[0].progress.iteration if found else None), lines


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    save_three(tmp_path)
    assert newest(tmp_path) == (30, [])
    assert checkpoint.load(tmp_path / checkpoint.PREVIOUS).progress.iteration == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "one byte", "missing"])
def test_a_broken_newest_one_falls_back(tmp_path: Path, damage: str) -> None:
    last = save_three(tmp_path)
    data = bytearray(last.read_bytes())
    if damage == "missing":
        last.unlink()
    elif damage == "one byte":  # the archive's checksum finds it
        middle = data.index(torch.full((4,), 30.0).numpy().tobytes())
        data[middle] ^= 1
        last.write_bytes(data)
        with pytest.raises(UserError, match="does not match its checksum"):
            checkpoint.load(last)
    else:
        last.write_bytes(data[: len(data) // 2 if damage == "truncated" else 0])
    iteration, lines = newest(tmp_path)
    assert iteration == 20
    assert len(lines) == (0 if damage == "missing" else 1)
    # and the good one was not replaced by the broken one
    checkpoint.save(last, content(25), keep=tmp_path / checkpoint.PREVIOUS)
    assert newest(tmp_path)[0] == 25


def test_one_that_does_not_fit_the_run_falls_back(tmp_path: Path) -> None:
    save_three(tmp_path)

    def validate(saved: checkpoint.Checkpoint, path: Path) -> None:
        if saved.progress.iteration > 20:
            raise UserError(f"{path} does not fit")

    lines: list[str] = []
    found = checkpoint.newest(tmp_path, warn=lines.append, validate=validate)
    assert found is not None and found[0].progress.iteration == 20
    (line,) = lines
    assert "last.pt does not fit; falling back to previous.pt, iteration 20" in line


def test_all_broken_is_said(tmp_path: Path) -> None:
    save_three(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"PK nonsense")
    with pytest.raises(UserError, match=r"no checkpoint in .* can be read"):
        newest(tmp_path)


def test_nothing_there_is_no_error(tmp_path: Path) -> None:
    assert newest(tmp_path / "nowhere") == (None, [])


def test_a_full_disk_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = save_three(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        Failed,
        match=r"cannot save .*last.pt: No space left on device; what was saved before stands",
    ):
        checkpoint.save(last, content(40), keep=tmp_path / checkpoint.PREVIOUS)
    assert newest(tmp_path) == (30, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


@pytest.mark.parametrize("links", [True, False])
def test_a_reader_finds_a_whole_last_one_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Looked at before and after each change of a name."""
    last, seen = save_three(tmp_path), []
    replace = os.replace

    def look_and_replace(source: Path, target: Path) -> None:
        seen.append(checkpoint.load(last).progress.iteration)
        replace(source, target)
        seen.append(checkpoint.load(last).progress.iteration)

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "replace", look_and_replace)
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    for iteration in (40, 50):
        checkpoint.save(last, content(iteration), keep=tmp_path / checkpoint.PREVIOUS)
    assert seen == [30, 30, 30, 40, 40, 40, 40, 50]
    assert checkpoint.load(tmp_path / checkpoint.PREVIOUS).progress.iteration == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


def test_a_save_goes_on_where_a_kill_left_one_file_under_both_names(tmp_path: Path) -> None:
    last, previous = save_three(tmp_path), tmp_path / checkpoint.PREVIOUS
    previous.unlink()
    os.link(last, previous)
    checkpoint.save(last, content(40), keep=previous)
    assert checkpoint.load(last).progress.iteration == 40
    assert checkpoint.load(previous).progress.iteration == 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


def test_a_run_folder_means_its_last_checkpoint(tmp_path: Path) -> None:
    last = save_three(tmp_path / "checkpoints")
    assert checkpoint.resolve(tmp_path) == last
    assert checkpoint.resolve(last) == last
    with pytest.raises(UserError, match=r"has no checkpoints/last.pt"):
        checkpoint.resolve(tmp_path.parent)


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    ours = made_up()
    checkpoint.save(tmp_path / "x.pt", ours.to_content())
    theirs = checkpoint.load(tmp_path / "x.pt")
    assert (theirs.progress, theirs.config, theirs.classes) == (
        ours.progress,
        ours.config,
        ours.classes,
    )
    assert theirs.network.keys() == ours.network.keys()
    assert_same(ours.network, theirs.network)
    assert_same(theirs.totals, ours.totals)
    assert theirs.scaler is None


Change = Callable[[dict[str, Any]], Any]


def put(*path: str | int, value: Any) -> Change:
    """Sets a field, however deep it lies."""

    def change(tree: dict[Any, Any]) -> None:
        for name in path[:-1]:
            tree = tree[name]
        tree[path[-1]] = value

    return change


def drop(*path: str) -> Change:
    def change(tree: dict[str, Any]) -> None:
        for name in path[:-1]:
            tree = tree[name]
        del tree[path[-1]]

    return change


WEIGHT = ("network", "0.weight")
SOUND = torch.zeros(4, 3, 3, 3)
with warnings.catch_warnings(action="ignore"):  # PyTorch means to give them up
    QUANTIZED = torch.quantize_per_tensor(SOUND, 0.1, 0, torch.qint8)
BROKEN: dict[str, tuple[Change, str]] = {
    "no progress": (drop("progress"), "progress is missing"),
    "no iteration": (drop("progress", "iteration"), "progress.iteration is missing"),
    "no totals": (drop("totals"), "totals is missing"),
    "a field more": (put("ema", value=1), "unknown field ema: from a newer version?"),
    "a deep field more": (put("progress", "ema", value=1), "unknown field progress.ema"),
    "a newer version": (put("format", value="resnet_cli 2"), "newer version of resnet-train"),
    "a format in words": (put("format", value="resnet_cli two"), "newer version of resnet-train"),
    "another precision": (
        put("progress", "precisions", value=["fp32", "int8"]),
        "progress.precisions holds int8",
    ),
    "iteration negative": (put("progress", "iteration", value=-1), "progress.iteration is -1"),
    "iteration text": (put("progress", "iteration", value="30"), "progress.iteration is '30'"),
    "iteration null": (put("progress", "iteration", value=None), "progress.iteration is None"),
    "iteration bool": (put("progress", "iteration", value=True), "progress.iteration is True"),
    "iteration huge": (put("progress", "iteration", value=10**500), "progress.iteration is 1000"),
    "logged later": (put("progress", "logged", value=(31, 0.0, 0)), "after iteration 30"),
    "logged short": (put("progress", "logged", value=(30, 0.0)), "progress.at_log is"),
    "seconds NaN": (put("progress", "seconds", value=math.nan), "progress.seconds is nan"),
    "best NaN": (put("progress", "best_error", value=math.nan), "progress.best_error is nan"),
    "best, but where": (put("progress", "best_iteration", value=None), "do not go together"),
    "last a list": (put("progress", "last", value=[]), "progress.last is []"),
    "config a list": (put("config", value=[]), "config is []"),
    "classes numbers": (put("classes", value=[1, 2]), "classes[0] is 1"),
    "network a list": (put("network", value=[]), "network is []"),
    "network of text": (put("network", value={"fc.weight": "1"}), "network.'fc.weight' is '1'"),
    "NaN": (put(*WEIGHT, value=SOUND * math.nan), "'0.weight' holds values that are not finite"),
    "infinite": (put(*WEIGHT, value=SOUND + math.inf), "holds values that are not finite"),
    "integers": (put(*WEIGHT, value=SOUND.long()), "'0.weight' is of int64"),
    "bools": (put(*WEIGHT, value=SOUND.bool()), "'0.weight' is of bool"),
    "complex": (put(*WEIGHT, value=SOUND.to(torch.complex64)), "'0.weight' is of complex64"),
    "sparse": (put(*WEIGHT, value=SOUND.to_sparse()), "'0.weight' is no plain tensor"),
    "meta": (put(*WEIGHT, value=SOUND.to("meta")), "'0.weight' is no plain tensor"),
    "quantized": (
        put(*WEIGHT, value=QUANTIZED),
        "'0.weight' is no plain tensor",
    ),
    "expanded": (
        put(*WEIGHT, value=torch.zeros(1).expand(10**12)),
        "'0.weight' claims 4,000,000,000,000 bytes and holds 4",
    ),
    "negative variance": (
        put("network", "1.running_var", value=-torch.ones(4)),
        "'1.running_var' holds a negative variance",
    ),
    "a negative count": (
        put("network", "1.num_batches_tracked", value=torch.tensor(-1)),
        "'1.num_batches_tracked' is no count",
    ),
    "totals NaN": (
        put("totals", value=torch.full((1, 3), math.nan, dtype=torch.float64)),
        "totals are not finite",
    ),
    "totals float32": (put("totals", value=torch.zeros(1, 3)), "totals is no plain tensor"),
    "totals of four": (
        put("totals", value=torch.zeros(1, 4, dtype=torch.float64)),
        "totals are of shape [1, 4]",
    ),
    "scaler of half": (put("scaler", value={"scale": 2.0}), "scaler.growth_factor is missing"),
    "mean of grey": (
        put("normalizer", "mean", value=torch.zeros(1, 1, 1)),
        "the mean of the pixels is of shape [1, 1, 1]",
    ),
    "std 0": (put("normalizer", "std", value=torch.zeros(3, 1, 1)), "not above 0"),
    "mean NaN": (
        put("normalizer", "mean", value=torch.full((3, 1, 1), math.nan)),
        "the mean of the pixels is not finite",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    change, told = BROKEN[kind]
    values = content()
    change(values)
    path = tmp_path / "x.pt"
    checkpoint.save(path, values)
    with pytest.raises(UserError) as raised:
        checkpoint.load(path)
    assert told in str(raised.value) and str(path) in str(raised.value)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 400


MISFITS: dict[str, tuple[Change, str]] = {
    "smaller": (
        put("momentum", 0, "momentum_buffer", value=torch.zeros(1)),
        "[1] of torch.float32",
    ),
    "no elements": (put("momentum", 0, "momentum_buffer", value=torch.zeros(0)), "is [0] of"),
    "larger": (
        put("momentum", 0, "momentum_buffer", value=torch.zeros(4, 3, 3, 4)),
        "the momentum of '0.weight' is [4, 3, 3, 4]",
    ),
    "transposed": (
        put("momentum", 0, "momentum_buffer", value=torch.zeros(3, 4, 3, 3)),
        "the momentum of '0.weight' is [3, 4, 3, 3]",
    ),
    "half": (
        put("momentum", 0, "momentum_buffer", value=SOUND.half()),
        "of torch.float16, the parameter",
    ),
    "expanded": (
        put("momentum", 0, "momentum_buffer", value=torch.zeros(1).expand(4, 3, 3, 3)),
        "claims 432 bytes and holds 4",
    ),
    "NaN": (
        put("momentum", 0, "momentum_buffer", value=SOUND * math.nan),
        "'momentum of 0.weight' holds values that are not finite",
    ),
    "of one less": (lambda tree: tree["momentum"].popitem(), "momentum of 3 parameters, not of"),
    "under another number": (put("momentum", 7, value={}), "momentum of 5 parameters"),
    "empty": (put("momentum", 0, value={}), "no momentum of '0.weight'"),
    "another network": (
        put("network", value=small_network(width=5).state_dict()),
        "is not of small",
    ),
    "no counter": (drop("network", "1.num_batches_tracked"), "'1.num_batches_tracked' is no"),
    "double weights": (put(*WEIGHT, value=SOUND.double()), "'0.weight' is no torch.float32"),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_momentum_that_is_not_the_networks_never_reaches_a_kernel(
    tmp_path: Path, kind: str
) -> None:
    """Fused SGD would write past the end of a buffer that is too small."""
    change, told = MISFITS[kind]
    values = content()
    change(values)
    path = tmp_path / "x.pt"
    checkpoint.save(path, values)
    with pytest.raises(UserError) as raised:
        checkpoint.validate_fits(checkpoint.load(path), small_network(), path=path, name="small")
    assert told in str(raised.value) and "\n" not in str(raised.value)


def test_momentum_is_copied_into_the_optimizers_own_buffers() -> None:
    network = small_network()
    optimizer, saved = small_optimizer(network), made_up()
    buffers = [optimizer.state[weight]["momentum_buffer"] for weight in network.parameters()]
    checkpoint.restore_momentum(saved, optimizer)
    assert [id(optimizer.state[weight]["momentum_buffer"]) for weight in network.parameters()] == [
        id(buffer) for buffer in buffers
    ]
    for number, buffer in enumerate(buffers):
        assert_same(buffer, saved.momentum[number]["momentum_buffer"])
    without = torch.optim.SGD(network.parameters(), 0.1)
    checkpoint.restore_momentum(saved, without)
    assert without.state_dict()["state"] == {}


def test_nested_100000_deep_is_refused(tmp_path: Path) -> None:
    """What no pickler writes: a list of a list of a list..."""
    path = tmp_path / "x.pt"
    checkpoint.save(path, content() | {"config": {"model": DEEP}})
    write_nested(path, depth=100_000)
    saved = checkpoint.load(path)
    with pytest.raises(ValueError, match=r"^model=\[\[\[\[.* does not fit"):
        from_plain(saved.config)
    checkpoint.save(path, content() | {"progress": DEEP})
    write_nested(path, depth=100_000)
    with pytest.raises(UserError, match=r"progress is \[\[\[\[.*, expected named values"):
        checkpoint.load(path)


def test_checking_costs_under_a_percent_of_the_steps_between_two_checkpoints(
    tmp_path: Path,
) -> None:
    """ResNet-20, 128 images a step, 1,000 steps."""
    network = ResNet(cifar(20, shortcut=Shortcut.A))
    values = content() | {"network": network.state_dict(), "momentum": momentum_of(network)}
    path = tmp_path / "x.pt"
    checkpoint.save(path, values)

    def check() -> None:
        saved = checkpoint.load(path)
        checkpoint.validate_fits(saved, network, path=path, name="resnet20-A")

    def step() -> None:
        network(torch.zeros(128, 3, 32, 32)).sum().backward()

    def seconds(of: Callable[[], None], times: int) -> float:
        measured = []
        for _ in range(times):
            began = time.process_time()
            of()
            measured.append(time.process_time() - began)
        return min(measured)

    assert seconds(check, 5) < 0.01 * 1000 * seconds(step, 2)
