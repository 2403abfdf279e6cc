"""CIFAR-100 from an archive that is made up: its files, labels of both kinds, and their checksums.

The official archive cannot be had without a network; its checksums are torchvision's.
"""

import hashlib
import http.server
import io
import pickle
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
from torchvision.datasets import CIFAR100

from resnet_cli.data import cifar100
from resnet_cli.runtime.errors import DataError
from tests.helpers.commands import Command, check_refused, last_line
from tests.helpers.runs import folder_of

COUNTS = {"train": 300, "test": 100}
FOLDER = "cifar-100-python"


def contents() -> dict[str, dict[str, Any]]:
    """As the official files: rows of 3,072 bytes, channel by channel, and two kinds of labels."""
    rng = np.random.default_rng(0)
    files: dict[str, dict[str, Any]] = {
        "meta": {
            "fine_label_names": [f"fine{n}" for n in range(100)],
            "coarse_label_names": [f"coarse{n}" for n in range(20)],
        }
    }
    for name, count in COUNTS.items():
        fine = [n % 100 for n in range(count)]
        files[name] = {
            "data": rng.integers(0, 256, (count, 3072), dtype=np.uint8),
            "fine_labels": fine,
            "coarse_labels": [label // 5 for label in fine],
        }
    return files


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The made-up archive; its checksums stand in for the official ones."""
    pickled = {name: pickle.dumps(content) for name, content in contents().items()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in pickled.items():
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    for name, attribute in (("train", "train_list"), ("test", "test_list")):
        monkeypatch.setattr(CIFAR100, attribute, [[name, md5(pickled[name])]])
    meta = {"filename": "meta", "key": "fine_label_names", "md5": md5(pickled["meta"])}
    monkeypatch.setattr(CIFAR100, "meta", meta)
    monkeypatch.setattr(CIFAR100, "tgz_md5", md5(buffer.getvalue()))
    return buffer.getvalue()


@pytest.fixture
def mirror(archive: bytes, tmp_path: Path) -> Iterator[str]:
    """Serves the archive under the official name."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "cifar-100-python.tar.gz").write_bytes(archive)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = partial(Quiet, directory=str(tmp_path / "served"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_checksum_is_the_official_one() -> None:
    assert CIFAR100.tgz_md5 == "eb9058c3a382ffc7106e4002c42a8d85"
    assert CIFAR100.filename == "cifar-100-python.tar.gz"


def test_images_and_both_kinds_of_labels(mirror: str, tmp_path: Path) -> None:
    """The fine ones are torchvision's, the coarse ones those of the files."""
    root = tmp_path / "data"
    fetched = cifar100.load(root, download=True, mirror=mirror, coarse=False)
    coarse = cifar100.load(root, download=False, mirror="", coarse=True)
    assert (len(fetched[2]), len(coarse[2])) == (100, 20)
    for split, rough, name in zip(fetched[:2], coarse[:2], COUNTS, strict=True):
        theirs = torchvision.datasets.CIFAR100(root, train=name == "train")
        np.testing.assert_array_equal(split.images.permute(0, 2, 3, 1).numpy(), theirs.data)
        assert split.labels.tolist() == theirs.targets
        assert rough.labels.tolist() == contents()[name]["coarse_labels"]
        assert len(split) == COUNTS[name]


def test_training_fetches_and_measures_top_5(
    command: Command, mirror: str, tmp_path: Path, runs: Path
) -> None:
    words = ["model=resnet20", "model.depth=8", "dataset=cifar100", "batch_size=32"]
    words += [f"dataset.root={tmp_path}/data", f"dataset.mirror={mirror}", f"runs={runs}"]
    words += ["schedule.iterations=4", "eval_every=4", "device=cpu"]
    missing = command("resnet-train", *words)
    check_refused(missing, 3, "CIFAR-100: ", "cifar-100-python/train is missing", "(169 MB, ")
    done = command("resnet-train", *words, "dataset.download=true")
    assert done.code == 0, done.err
    assert "resnet8-A on cifar100" in done.out and "top-5" in done.out
    folder = folder_of(runs)
    assert folder.relative_to(runs).parts[:2] == ("cifar100", "resnet8-A")
    measured = command("resnet-eval", "--ckpt", folder, f"dataset.root={tmp_path}/data")
    assert last_line(measured)["count"] == COUNTS["test"]
    made = command("resnet-report", runs, "--out", tmp_path / "report")
    assert "CIFAR-100" in made.out, made
    rough = command("resnet-train", *words, "dataset.coarse=true", f"runs={tmp_path}/rough")
    assert rough.code == 0, rough.err
    check_refused(command("resnet-train", "dataset.coarse=true"), 2, "cifar10 has no superclasses")


def test_an_altered_file_is_named(archive: bytes, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(tmp_path, filter="data")
    (tmp_path / FOLDER / "test").write_bytes(b"other")
    with pytest.raises(DataError, match=r"cifar-100-python/test is truncated or altered"):
        cifar100.load(tmp_path, download=False, mirror="", coarse=False)
