"""Checkpoints are whole or absent, and a broken newest one is not the end."""

import errno
import os
from pathlib import Path

import pytest
import torch

from resnet_cli.runtime.errors import Failed, UserError
from resnet_cli.training import checkpoint


def content(iteration: int) -> dict[str, object]:
    return {
        "progress": {"iteration": iteration},
        "network": {"weight": torch.full((1000,), float(iteration))},
    }


def save_three(folder: Path) -> Path:
    last = folder / checkpoint.LAST
    for iteration in (10, 20, 30):
        checkpoint.save(last, content(iteration), keep=folder / checkpoint.PREVIOUS)
    return last


def newest(folder: Path) -> tuple[int | None, list[str]]:
    lines: list[str] = []
    found = checkpoint.newest(folder, warn=lines.append)
    return (found[0]["progress"]["iteration"] if found else None), lines


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    save_three(tmp_path)
    assert newest(tmp_path) == (30, [])
    assert checkpoint.load(tmp_path / checkpoint.PREVIOUS)["progress"]["iteration"] == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "previous.pt"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "one byte", "missing"])
def test_a_broken_newest_one_falls_back(tmp_path: Path, damage: str) -> None:
    last = save_three(tmp_path)
    data = bytearray(last.read_bytes())
    if damage == "missing":  # killed between the two renames
        last.unlink()
    elif damage == "one byte":
        middle = data.index(torch.full((8,), 30.0).numpy().tobytes())
        data[middle] ^= 1
        last.write_bytes(data)
    else:
        last.write_bytes(data[: len(data) // 2 if damage == "truncated" else 0])
    iteration, lines = newest(tmp_path)
    assert iteration == 20
    assert len(lines) == (0 if damage == "missing" else 1)
    # and the good one was not replaced by the broken one
    checkpoint.save(last, content(25), keep=tmp_path / checkpoint.PREVIOUS)
    assert newest(tmp_path)[0] == 25


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


def test_a_run_folder_means_its_last_checkpoint(tmp_path: Path) -> None:
    last = save_three(tmp_path / "checkpoints")
    assert checkpoint.resolve(tmp_path) == last
    assert checkpoint.resolve(last) == last
    with pytest.raises(UserError, match=r"has no checkpoints/last.pt"):
        checkpoint.resolve(tmp_path.parent)
