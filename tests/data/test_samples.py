"""Reading by number: a file or tar that is no longer what was indexed is named, not read."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from resnet_cli.data import samples
from resnet_cli.data.samples import Samples, SamplesBuilder
from resnet_cli.runtime.errors import DataError


def gather_tar(path: Path, content: bytes, *, count: int = 1) -> Samples:
    """`count` members that are the whole file."""
    path.write_bytes(content)
    builder = SamplesBuilder()
    names, size = [f"{number}.jpg" for number in range(count)], len(content)
    builder.add(
        path, names, labels=7, offsets=[0] * count, sizes=[size] * count, stamp=samples.stamp(path)
    )
    return builder.build()


def test_a_file_that_went_is_named(tmp_path: Path) -> None:
    builder = SamplesBuilder()
    builder.add(tmp_path, ["a.jpg"], labels=0)
    with pytest.raises(
        DataError,
        match=rf"^{tmp_path}/a.jpg is missing, but was there when it was indexed; "
        r".*dataset.reindex=true$",
    ):
        builder.build().read(0)


def test_a_tar_that_changed_or_went_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train-0.tar"
    split = gather_tar(path, b"0123456789")
    assert split.path(0) == f"{path}:0.jpg"
    for content, moment in (
        (b"0123456789x", split.stamps[0, 1]),
        (b"9876543210", split.stamps[0, 1] + 1),
    ):
        path.write_bytes(content)
        os.utime(path, ns=(moment, moment))
        samples.open_tar.cache_clear()  # another process, which opens it anew
        with pytest.raises(
            DataError, match=rf"^{path} has changed since it was indexed; .*dataset.reindex=true$"
        ):
            split.read(0)
    path.unlink()
    with pytest.raises(DataError, match=rf"^{path}:0.jpg is missing"):
        split.read(0)


def test_a_tar_that_shrinks_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train-0.tar"
    split = gather_tar(path, b"0123456789")
    assert split.read(0) == b"0123456789"
    os.truncate(path, 4)
    with pytest.raises(DataError, match=rf"^{path}:0.jpg is cut off: 4 of 10 bytes$"):
        split.read(0)


def test_more_tars_than_a_process_may_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (
        len(os.listdir("/proc/self/fd"))
        if Path("/proc/self/fd").is_dir()
        else pytest.skip("counts open files in /proc")
    )
    samples.open_tar.cache_clear()
    splits = [
        gather_tar(tmp_path / f"{number}.tar", str(number).encode())
        for number in range(samples.OPEN_TARS + 50)
    ]
    for _ in range(2):
        assert [split.read(0) for split in splits] == [
            str(number).encode() for number in range(len(splits))
        ]
    assert len(os.listdir("/proc/self/fd")) - before <= samples.OPEN_TARS
    samples.open_tar.cache_clear()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_threads_read_what_they_ask_for_while_tars_are_closed_under_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "open_tar", lru_cache(maxsize=2)(samples.open_tar.__wrapped__))
    splits = [gather_tar(tmp_path / f"{number}.tar", str(number).encode()) for number in range(20)]
    order = [int(number) for number in np.random.default_rng(0).integers(0, 20, 4000)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda number: int(splits[number].read(0)), order)) == order


def test_samples_go_through_a_pickle(tmp_path: Path) -> None:
    """As they do on their way to workers that are not forked."""
    split = gather_tar(tmp_path / "a.tar", b"abc", count=3)
    split.read(0)
    again = pickle.loads(pickle.dumps(split.take(np.array([2, 0]))))
    assert [again.path(index)[-5:] for index in range(2)] == ["2.jpg", "0.jpg"] and again.read(
        1
    ) == b"abc"


def test_names_of_any_bytes(tmp_path: Path) -> None:
    names = ["ümlaut.jpg", "日本.jpg", os.fsdecode(b"latin\xfc.jpg")]
    builder = SamplesBuilder()
    builder.add(tmp_path, names, labels=[0, 1, 2])
    split = builder.build()
    for index, name in enumerate(names):
        (tmp_path / name).write_bytes(str(index).encode())
        assert split.name(index) == name and split.read(index) == str(index).encode()
