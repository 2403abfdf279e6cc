"""Shards hold what the source holds, byte for byte; a kill, a second start or a damaged shard
change nothing about it.
"""

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_cli.data.decode import decode
from resnet_cli.data.imagenet import open_folders
from resnet_cli.runtime.errors import DataError
from tests.data import trees
from tests.helpers.commands import Outcome, check_refused
from tests.helpers.processes import PATIENCE, wait_for

SCRIPT = Path(__file__).parents[1] / "scripts" / "prepare_imagenet.py"


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))


def prepare(*arguments: object) -> Outcome:
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.name not in ("prepare.json", ".prepare.lock")
    }


@pytest.mark.parametrize(
    "write", [trees.write_folders, trees.write_kaggle, trees.write_official, trees.write_shards]
)
def test_shards_are_the_source_byte_for_byte_whatever_its_layout(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    if write is trees.write_official:
        pytest.importorskip("scipy")
    source = write(tmp_path / "source")
    done = prepare(source, tmp_path / "shards", "--per-shard", 4)
    assert done.code == 0, done
    assert done.out.startswith("9 + 4 images in 4 shards") and done.out.endswith(
        f"dataset.root={tmp_path / 'shards'}\n"
    )
    ours, theirs = open_folders(tmp_path / "shards"), open_folders(source)
    assert (ours.layout, ours.classes) == ("tar shards", theirs.classes)
    for after, before in ((ours.train, theirs.train), (ours.val, theirs.val)):
        assert after.labels.tolist() == before.labels.tolist()
        assert [after.read(index) for index in range(len(after))] == [
            before.read(index) for index in range(len(before))
        ]
    prepare(trees.write_folders(tmp_path / "folders"), tmp_path / "again", "--per-shard", 4)
    assert bytes_of(tmp_path / "again") == bytes_of(tmp_path / "shards")


def test_shards_have_the_webdataset_form(tmp_path: Path) -> None:
    prepare(trees.write_folders(tmp_path / "source"), tmp_path / "shards")
    with tarfile.open(tmp_path / "shards" / "val-000000.tar") as tar:
        names = tar.getnames()
        assert names[:4] == [
            f"n01440764/ILSVRC2012_val_0000000{number}.{suffix}"
            for number in (2, 4)
            for suffix in ("jpg", "cls")
        ]
        labels = [tar.extractfile(name).read() for name in names[1::2]]  # type: ignore[union-attr]
    assert labels == [b"0", b"0", b"1", b"2"]
    assert (tmp_path / "shards" / "classes.txt").read_text().split() == list(trees.CLASSES)


def test_sha256sum_checks_them(tmp_path: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("needs sha256sum")
    prepare(trees.write_folders(tmp_path / "source"), tmp_path / "shards", "--per-shard", 4)
    check = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"],
        cwd=tmp_path / "shards",
        capture_output=True,
        text=True,
        check=True,
    )
    assert check.stdout.count(": OK\n") == len(check.stdout.splitlines()) == 5


def test_resizing_reduces_the_shorter_side_and_leaves_small_images_alone(tmp_path: Path) -> None:
    source = trees.write_folders(tmp_path / "source")
    folder = source / "train" / "n01440764"
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    y, x = np.mgrid[:60, :90]
    picture = Image.fromarray(np.stack([x * 2, y * 3, x + y], axis=-1).astype(np.uint8))
    picture.save(folder / "a.png", exif=exif)
    picture.convert("CMYK").save(folder / "b.jpg", quality=98)
    assert prepare(source, tmp_path / "shards", "--resize", 30).code == 0
    ours, theirs = open_folders(tmp_path / "shards").train, open_folders(source).train
    resized = {}
    for index in range(len(theirs)):
        if theirs.name(index) in ("a.png", "b.jpg"):
            resized[theirs.name(index)] = decode(ours.read(index), where="ours")
        else:
            assert ours.read(index) == theirs.read(index)  # 8..19 pixels
    expected = picture.resize((45, 30), Image.Resampling.BOX)
    upright = np.asarray(resized["a.png"].transpose(Image.Transpose.ROTATE_90))
    for found in (upright, np.asarray(resized["b.jpg"])):
        assert found.shape == (30, 45, 3)
        assert np.abs(found.astype(int) - np.asarray(expected)).mean() < 3


def test_killed_anywhere_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    """A pipe in place of an image holds the script up where we want it killed: in the second
    shard of the training images.
    """
    source, shards = trees.write_folders(tmp_path / "source"), tmp_path / "shards"
    prepare(source, tmp_path / "uninterrupted", "--per-shard", 3)
    victim = source / "train" / "n01443537" / "n01443537_1.JPEG"
    content = victim.read_bytes()
    victim.unlink()
    os.mkfifo(victim)
    process = subprocess.Popen(
        [sys.executable, SCRIPT, source, shards, "--per-shard", "3"], stderr=subprocess.DEVNULL
    )
    wait_for(lambda: process.poll() is not None or (shards / "train-000001.tar.part").exists())
    assert process.poll() is None
    with pytest.raises(DataError, match="contains only some of the shards"):
        open_folders(shards)
    check_refused(prepare(source, shards, "--per-shard", 3), 2, "another process is writing to")
    process.send_signal(signal.SIGKILL)
    process.wait()
    victim.unlink()
    victim.write_bytes(content)
    kept = {
        name: (shards / name).stat().st_mtime_ns
        for name in ("val-000000.tar", "val-000001.tar", "train-000000.tar")
    }
    assert prepare(source, shards, "--per-shard", 3).code == 0
    assert bytes_of(shards) == bytes_of(tmp_path / "uninterrupted")
    assert {name: (shards / name).stat().st_mtime_ns for name in kept} == kept


def test_a_second_start_verifies_and_mends(tmp_path: Path) -> None:
    source, shards = trees.write_folders(tmp_path / "source"), tmp_path / "shards"
    prepare(source, shards, "--per-shard", 4)
    before = {path: path.stat().st_mtime_ns for path in shards.glob("*.tar")}
    whole = bytes_of(shards)
    assert prepare(source, shards, "--per-shard", 4).code == 0
    assert {path: path.stat().st_mtime_ns for path in shards.glob("*.tar")} == before
    victim = shards / "train-000001.tar"
    victim.write_bytes(victim.read_bytes().replace(b"JFIF", b"JUNK", 1))
    (shards / "classes.txt").unlink()
    again = prepare(source, shards, "--per-shard", 4)
    assert again.code == 0 and f"{victim} is not as it was written: writing it again" in again.err
    assert bytes_of(shards) == whole


def test_other_images_or_options_are_refused(tmp_path: Path) -> None:
    source, shards = trees.write_folders(tmp_path / "source"), tmp_path / "shards"
    prepare(source, shards)
    whole = bytes_of(shards)
    refused = prepare(source, shards, "--resize", 16)
    assert refused.code == 2 and refused.err.splitlines()[-1].endswith(
        f"{shards} was begun with resize None, not 16: choose another folder, or delete this "
        "one to begin anew"
    )
    moved = source.rename(tmp_path / "moved")
    assert prepare(moved, shards).code == 0  # the same images elsewhere
    victim = moved / "train" / "n01443537" / "n01443537_1.JPEG"
    victim.rename(victim.with_name("renamed.JPEG"))
    refused = prepare(moved, shards)
    assert refused.code == 2 and "was begun with other images: choose another folder" in refused.err
    assert bytes_of(shards) == whole


def test_bad_usage_and_bad_images_are_one_line(tmp_path: Path) -> None:
    source, shards = trees.write_folders(tmp_path / "source"), tmp_path / "shards"
    check_refused(prepare(source, source), 2, "is source and destination")
    check_refused(prepare(tmp_path / "nothing", shards), 3, "nothing is missing")
    trees.write_shards(tmp_path / "theirs")
    assert (
        prepare(source, tmp_path / "theirs")
        .err.splitlines()[-1]
        .endswith("train-000000.tar was not made here: choose an empty folder")
    )
    assert prepare(source, shards, "--resize", "0").code == 2
    victim = source / "train" / "n01443537" / "n01443537_1.JPEG"
    victim.write_bytes(victim.read_bytes()[:200])
    broken = prepare(source, shards, "--resize", 16)
    assert (
        broken.code == 3
        and f"prepare_imagenet: {victim} is not a readable image: " in broken.err.splitlines()[-1]
    )
    victim.write_bytes(trees.jpeg(5))  # mended: it goes on
    assert prepare(source, shards, "--resize", 16).code == 0


def test_names_that_differ_in_suffix_or_dots_keep_keys_of_their_own(tmp_path: Path) -> None:
    source = trees.write_folders(tmp_path / "source")
    folder = source / "train" / "n01440764"
    for name, form in (("a.b.jpg", "JPEG"), ("a.b.png", "PNG"), ("a_b.bmp", "BMP")):
        buffer = io.BytesIO()
        Image.new("RGB", (4, 4)).save(buffer, form)
        (folder / name).write_bytes(buffer.getvalue())
    assert prepare(source, tmp_path / "shards").code == 0
    train = open_folders(tmp_path / "shards").train
    found = [train.name(index) for index in range(len(train)) if "/a" in train.name(index)]
    assert found == ["n01440764/a_b.jpg", "n01440764/a_b_png.png", "n01440764/a_b_bmp.bmp"]


def test_real_images_survive(tiny_imagenet: Path, tmp_path: Path) -> None:
    assert prepare(tiny_imagenet, tmp_path / "shards", "--per-shard", 3000).code == 0
    ours, theirs = open_folders(tmp_path / "shards"), open_folders(tiny_imagenet)
    assert ours.classes == theirs.classes
    for after, before in ((ours.train, theirs.train), (ours.val, theirs.val)):
        assert np.array_equal(after.labels, before.labels)
        assert all(after.read(index) == before.read(index) for index in range(len(after)))
