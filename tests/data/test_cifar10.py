"""CIFAR-10: the official bytes, and what a user is told when they are not there."""

import hashlib
import http.server
import io
import resource
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torchvision

from resnet_cli.data import cifar10
from resnet_cli.runtime.errors import DataError, explain
from tests.helpers.commands import Command

LEFT = {".a.tar.gz.lock"}  # by a download that fails; older versions of filelock remove it


def test_the_images_are_torchvisions(cifar10_root: Path) -> None:
    train, test = cifar10.load(cifar10_root, download=False, mirror="")
    for split, is_train in ((train, True), (test, False)):
        theirs = torchvision.datasets.CIFAR10(cifar10_root, train=is_train)
        np.testing.assert_array_equal(split.images.permute(0, 2, 3, 1).numpy(), theirs.data)
        assert split.labels.tolist() == theirs.targets
    assert tuple(theirs.classes) == cifar10.CLASSES
    assert (len(train), len(test)) == (50_000, 10_000)


def test_a_missing_set_says_what_where_and_how(
    command: Command, tmp_path: Path, runs: Path
) -> None:
    missing = command("resnet-train", f"dataset.root={tmp_path}", f"runs={runs}")
    assert missing.code == 3
    assert f"{tmp_path}/cifar-10-batches-py/data_batch_1 is missing" in missing.err
    assert "dataset.download=true" in missing.err
    assert missing.err.count("\n") == 1
    assert not runs.exists()


def test_a_truncated_file_is_named(
    command: Command, cifar10_root: Path, tmp_path: Path, runs: Path
) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for source in (cifar10_root / "cifar-10-batches-py").iterdir():
        (folder / source.name).symlink_to(source.absolute())
    victim = folder / "data_batch_3"
    content = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(content[:1_000_000])
    truncated = command("resnet-train", f"dataset.root={tmp_path}", f"runs={runs}")
    assert truncated.code == 3
    assert f"{victim} is truncated or altered (1,000,000 bytes" in truncated.err
    assert "expected 54ebc095f3ab1f0389bbae665268c751" in truncated.err
    assert truncated.err.count("\n") == 1
    assert not runs.exists()


class Mirror(http.server.ThreadingHTTPServer):
    """Serves one archive; the first `failures` answers are cut short."""

    def __init__(self, archive: bytes, *, failures: int) -> None:
        self.archive, self.failures, self.asked = archive, failures, 0
        super().__init__(("127.0.0.1", 0), Answer)


class Answer(http.server.BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        self.server.asked += 1
        body = self.server.archive
        if self.server.asked <= self.server.failures:
            body = body[: len(body) // 2]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"bytes"))
    return buffer.getvalue()


@pytest.fixture
def mirror(archive: bytes, request: pytest.FixtureRequest) -> Iterator[Mirror]:
    server = Mirror(archive, failures=request.param)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def fetch(mirror: Mirror, archive: bytes, root: Path) -> None:
    url = f"http://127.0.0.1:{mirror.server_port}"
    md5 = hashlib.md5(archive, usedforsecurity=False).hexdigest()
    there = root / "cifar-10-batches-py/data_batch_1"
    cifar10.download_archive(
        url,
        root,
        archive="a.tar.gz",
        size=len(archive),
        md5=md5,
        is_complete=there.exists,
        pause=0.01,
    )


@pytest.mark.parametrize("mirror", [2], indirect=True)
def test_a_download_that_breaks_off_is_tried_again(
    mirror: Mirror, archive: bytes, tmp_path: Path
) -> None:
    fetch(mirror, archive, tmp_path / "new")
    assert mirror.asked == 3
    assert (tmp_path / "new/cifar-10-batches-py/data_batch_1").read_bytes() == b"bytes"


@pytest.mark.parametrize("mirror", [99], indirect=True)
def test_a_mirror_with_other_bytes_is_refused(
    mirror: Mirror, archive: bytes, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"failed 3 times .*dataset.mirror"):
        fetch(mirror, archive, tmp_path)
    assert not (tmp_path / "cifar-10-batches-py").exists()


@pytest.mark.parametrize("mirror", [0], indirect=True)
def test_two_at_once_fetch_once(mirror: Mirror, archive: bytes, tmp_path: Path) -> None:
    threads = [threading.Thread(target=fetch, args=(mirror, archive, tmp_path)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mirror.asked == 1


@pytest.mark.parametrize("mirror", [0], indirect=True)
def test_an_archive_that_never_ends_is_cut_off(
    mirror: Mirror, archive: bytes, tmp_path: Path
) -> None:
    mirror.archive = archive + bytes(10**6)
    with pytest.raises(DataError, match=rf"more than the archive's {len(archive):,} bytes"):
        fetch(mirror, archive, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= LEFT


@pytest.mark.parametrize("mirror", [0], indirect=True)
def test_a_disk_that_fills_is_told_at_once(mirror: Mirror, tmp_path: Path) -> None:
    mirror.archive = bytes(200_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as refused:
            fetch(mirror, mirror.archive, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    line, code = explain(refused.value)
    assert (code, str(tmp_path / "a.tar.gz") in line, mirror.asked) == (1, True, 1)
    assert {path.name for path in tmp_path.iterdir()} <= LEFT
