"""The index: kept, found stale, and never in the way."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resnet_cli.data import imagenet, index
from resnet_cli.data.imagenet import ImageFolders, open_folders
from resnet_cli.data.index import index_path
from resnet_cli.runtime.errors import DataError
from tests.data import trees


class Listener(list[str]):
    """What was said."""

    def open(self, root: Path, *, reindex: bool = False) -> ImageFolders:
        self.clear()
        return open_folders(root, reindex=reindex, say=self.append)


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Listener:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    return Listener()


def age(path: Path) -> None:
    """Makes sure that a change shows, however coarse the clock of the file system is."""
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))


def test_the_second_start_does_not_look_at_a_file(
    said: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = trees.write_folders(tmp_path / "images")
    first = said.open(root)
    assert said[0] == f"indexing {root} (class folders)" and said[1].startswith(
        "indexed 9 + 4 images in "
    )
    monkeypatch.setattr(imagenet, "scan", None)
    again = said.open(root)
    assert said == []
    for ours, theirs in ((first.train, again.train), (first.val, again.val)):
        for name in index.ARRAYS:
            before, after = getattr(ours, name), getattr(theirs, name)
            assert np.array_equal(before, after) and before.dtype == after.dtype
        assert ours.containers == theirs.containers
    assert (first.layout, first.classes, first.remarks) == (
        again.layout,
        again.classes,
        again.remarks,
    )


def test_a_relative_root_is_the_same_root(
    said: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = trees.write_folders(tmp_path / "images")
    said.open(root)
    monkeypatch.chdir(tmp_path)
    assert said.open(Path("images")).train.path(0).startswith(str(root))
    assert said == []


def test_files_that_came_or_went_are_found(said: Listener, tmp_path: Path) -> None:
    root = trees.write_folders(tmp_path / "images")
    said.open(root)
    folder = root / "train" / "n01443537"
    (folder / "new.jpg").write_bytes(trees.jpeg(0))
    age(folder)
    assert len(said.open(root).train) == 10
    assert said[0] == f"{folder} changed since it was indexed"
    (root / "train" / "n09").mkdir()
    (root / "train" / "n09" / "a.jpg").write_bytes(trees.jpeg(0))
    age(root / "train")
    folders = said.open(root)
    assert (
        said[0] == f"{root / 'train' / 'n09'} was added, and 1 more changed, since it was indexed"
    )
    assert (
        len(folders.train) == 11 and folders.remarks[1] == "1 of 4 classes have no validation image"
    )


WRITERS: list[tuple[Callable[[Path], Path], str]] = [
    (trees.write_shards, "train-000001.tar"),
    (trees.write_shards, "classes.txt"),
    (trees.write_kaggle, "LOC_val_solution.csv"),
    (trees.write_official, "ILSVRC2012_img_val.tar"),
]


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_a_tar_or_list_that_changed_is_named_until_it_is_indexed_again(
    write: Callable[[Path], Path], name: str, said: Listener, tmp_path: Path
) -> None:
    root = write(tmp_path / "images")
    said.open(root)
    age(root / name)
    for _ in range(2):
        with pytest.raises(
            DataError,
            match=rf"^{root / name} has changed since it was indexed; .* dataset.reindex=true$",
        ):
            said.open(root)
    said.open(root, reindex=True)
    assert said[0].startswith(f"indexing {root}")
    said.open(root)
    assert said == []


def test_shards_that_went_or_came(said: Listener, tmp_path: Path) -> None:
    root = trees.write_shards(tmp_path / "images")
    said.open(root)
    shard = root / "train-000001.tar"
    shard.rename(root / "train-000009.tar")
    with pytest.raises(DataError, match=rf"^{shard} is missing, but was there when it was indexed"):
        said.open(root)
    shard.hardlink_to(root / "train-000009.tar")
    said.open(root)
    assert said[0] == f"{root / 'train-000009.tar'} was added since it was indexed"


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\3\4", None])
def test_an_index_that_cannot_be_read_is_built_again(
    content: bytes | None, said: Listener, tmp_path: Path
) -> None:
    root = trees.write_folders(tmp_path / "images")
    said.open(root)
    index = index_path(root)
    whole = index.read_bytes()
    index.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert len(said.open(root).train) == 9
    assert said[0].startswith(f"the index {index} cannot be read (") and said[1].startswith(
        "indexing"
    )
    said.open(root)
    assert said == []


def test_an_index_of_another_version_is_built_again(
    said: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = trees.write_folders(tmp_path / "images")
    said.open(root)
    monkeypatch.setattr(index, "INDEX_VERSION", index.INDEX_VERSION + 1)
    said.open(root)
    assert said[0].startswith("indexing")


def test_a_folder_that_takes_no_index_is_no_failure(said: Listener, tmp_path: Path) -> None:
    root = trees.write_folders(tmp_path / "images")
    (tmp_path / "caches").write_text("no folder")
    for _ in range(2):
        assert len(said.open(root).train) == 9
        assert said[-1].startswith(
            f"the index cannot be stored in {tmp_path / 'caches' / 'resnet_cli'} ("
        )


def test_another_layout_at_the_same_root_is_found(said: Listener, tmp_path: Path) -> None:
    root = trees.write_folders(tmp_path / "images")
    said.open(root)
    root.rename(tmp_path / "old")
    trees.write_shards(root)
    assert said.open(root).layout == "tar shards"
    assert said[0] == "the layout was class folders and is now tar shards"


def test_processes_that_start_together_build_one_index(said: Listener, tmp_path: Path) -> None:
    root = trees.write_folders(tmp_path / "images")
    log = tmp_path / "log"
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            with log.open("a") as file:
                open_folders(root, say=lambda line: print(line, file=file, flush=True))
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert log.read_text().count("indexing") == 1


def test_real_classes(tiny_imagenet: Path, said: Listener) -> None:
    folders = said.open(tiny_imagenet)
    assert (
        np.bincount(folders.train.labels).tolist() == [500] * 20
        and np.bincount(folders.val.labels).tolist() == [50] * 20
    )
    assert folders.remarks == [
        "20 classes, 10,000 training and 1,000 validation images: not ImageNet's 1,000 / "
        "1,281,167 / 50,000"
    ]
    assert folders.classes == tuple(
        sorted(path.name for path in (tiny_imagenet / "train").iterdir())
    )
