"""What is said about the project in several places is the same in all of them."""

import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import yaml

from resnet_cli import __version__
from scripts.oldest import oldest

ROOT = Path(__file__).resolve().parent.parent
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = CONFIG["project"]
JOB = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]


def minor(version: str) -> tuple[int, int]:
    major, minor, *_ = version.split(".")
    return int(major), int(minor)


def test_the_version_is_told_once() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == __version__
    assert f"## [{__version__}] - " in (ROOT / "CHANGELOG.md").read_text()


def test_ci_has_every_python_that_is_promised() -> None:
    classified = re.findall(r":: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
    lowest, highest = re.findall(r"3\.\d+", PROJECT["requires-python"])
    promised = [f"3.{number}" for number in range(minor(lowest)[1], minor(highest)[1])]
    assert classified == promised == JOB["strategy"]["matrix"]["python"]


def test_ci_tests_the_oldest_that_is_allowed() -> None:
    """Of everything that a user installs, extras included."""
    constraints = set(oldest(PROJECT))
    asked = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["onnx"]]
    for bound in asked:
        name, version = bound.split(",")[0].split(">=")
        assert f"{name}=={version}" in constraints
    assert not any(one.startswith("pytest") for one in constraints)
    (step,) = (one for one in JOB["steps"] if one.get("if") == "matrix.versions == 'oldest'")
    assert "scripts/oldest.py" in step["run"] and "PIP_CONSTRAINT" in step["run"]


def test_the_source_distribution_takes_from_the_root_alone(tmp_path: Path) -> None:
    """`tests` would also match runs/tests, `/tests` does not."""
    taken = CONFIG["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [path for path in taken if not (ROOT / path.lstrip("/")).exists()] == []
    (tmp_path / "runs/tests").mkdir(parents=True)
    (tmp_path / "runs/tests/README.md").touch()
    for name in ("pyproject.toml", "README.md", "LICENSE", "resnet_cli/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text())
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    (archive,) = tmp_path.glob("dist/*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert names == {"pyproject.toml", "README.md", "LICENSE", "resnet_cli/__init__.py", "PKG-INFO"}
