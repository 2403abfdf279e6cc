"""A wheel in another environment, run from another folder, is the same program."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.helpers.processes import PATIENCE

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment that holds our wheel, and sees this one's libraries
    but not its checkout.
    """
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(build, check=True)
    (wheel,) = folder.glob("resnet_cli-*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env/bin/python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        str(wheel),
    ]
    subprocess.run(install, check=True)
    # A .pth line adds the folder alone: the .pth of our editable install in it is not followed.
    Path(site, "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env/bin"


def test_a_package_index_shows_a_readme_that_needs_no_files(installed: Path) -> None:
    (metadata,) = installed.parent.rglob("resnet_cli-*.dist-info/METADATA")
    readme = metadata.read_text(encoding="utf-8").split("\n\n", 1)[1]
    assert readme.startswith("# resnet_cli") and "make quickstart" in readme
    links = re.findall(r"\]\(([^)]*)\)", readme)
    assert links and all(link.startswith("https://") for link in links)
    assert "![" not in readme and "degradation-synthetic" not in readme


def run(program: Path, *arguments: str, cwd: Path) -> str:
    return subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    ).stdout


def test_the_wheel_is_the_program(installed: Path, tmp_path: Path) -> None:
    where = run(
        installed / "python", "-c", "import resnet_cli; print(resnet_cli.__file__)", cwd=tmp_path
    )
    assert str(installed.parent) in where
    rows = json.loads(run(installed / "resnet-info", "--json", "resnet110", cwd=tmp_path))
    assert rows[0]["parameters"] == 1_727_962
    words = [
        "dataset=synthetic",
        "model.depth=8",
        "dataset.train_images=200",
        "dataset.test_images=100",
        "schedule.iterations=3",
    ]
    run(installed / "resnet-train", *words, "batch_size=16", "device=cpu", cwd=tmp_path)
    (result,) = tmp_path.rglob("result.json")
    assert json.loads(result.read_text())["commit"] is None
    measured = run(
        installed / "resnet-eval", "--ckpt", str(result.parent), cwd=tmp_path
    ).splitlines()[-1]
    assert json.loads(measured)["count"] == 100
    assert "quickstart" in run(installed / "resnet-train", "--help", cwd=tmp_path)
    run(installed / "resnet-report", "runs", cwd=tmp_path)
    assert (tmp_path / "report/degradation-synthetic.png").stat().st_size > 10_000
