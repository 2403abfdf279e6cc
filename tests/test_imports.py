"""Imports point one way, and nothing below the commands knows Hydra."""

import ast
from pathlib import Path

import resnet_cli

PACKAGE = Path(resnet_cli.__file__).parent

# What each room may import of ours, besides itself and the leaves. Commands on top may import anything but each other.
LEAVES = {"capture", "compilation", "console", "errors", "files", "hardware", "signals"}
ROOMS: dict[str, set[str]] = {
    "models": set(),
    "data": set(),
    "distributed": set(),
    "evaluation": {"models", "data", "distributed"},
    "training": {"models", "data", "distributed", "evaluation"},
    "paper": {"training", "schema"},
    "schema": {"models", "data", "training"},
    "analysis": {"models", "data", "evaluation", "training", "schema", "parts"},
    "folder": {"schema"},
    "parts": {"models", "data", "distributed", "evaluation", "training", "schema"},
    "summary": {"models", "data", "training", "schema", "folder", "parts"},
    "worker": {"models", "data", "distributed", "evaluation", "training", "schema", "folder", "parts", "summary"},
    "rank": {"distributed", "schema", "folder", "worker"},
    "sweeps": {"data", "distributed", "training", "schema", "folder", "summary", "worker", "rank", "resolve"},
    "checks": {"models", "data", "schema", "training"},
    "launchers": set(),
    "resolve": {"distributed", "schema", "training"},
    "config": {"checks", "launchers", "resolve", "models", "data", "training", "schema"},
    "bench": {"models", "data", "evaluation", "parts", "subjects"},
    "subjects": {"models", "data", "evaluation", "training", "schema", "config"},
}
COMMANDS = {"train", "evaluate", "info", "report"}
KNOW_HYDRA = {"config", "launchers", "train"}


def imports(path: Path) -> set[str]:
    """Full names of the modules a file imports, at any depth of it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "resnet_cli" else {node.module}
    return names


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def files() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]


def test_every_file_stands_in_a_known_room() -> None:
    assert {room(path) for path in files()} == LEAVES | ROOMS.keys() | COMMANDS


def test_imports_point_one_way() -> None:
    wrong = []
    for path in files():
        here = room(path)
        for name in imports(path):
            if not name.startswith("resnet_cli.") or name == "resnet_cli.__version__":
                continue
            there = name.split(".")[1]
            allowed = there == here or there in LEAVES or there in ROOMS.get(here, set())
            if here in COMMANDS:
                allowed = there not in COMMANDS
            if here in LEAVES:
                allowed = there in LEAVES
            if not allowed:
                wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert wrong == []


def test_hydra_stays_on_top() -> None:
    knowing = {room(path) for path in files() if any(name.split(".")[0] in ("hydra", "omegaconf") for name in imports(path))}
    assert knowing == KNOW_HYDRA
