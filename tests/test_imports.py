"""Imports point one way: the floors of the house, and who may know Hydra."""

import ast
from itertools import chain
from pathlib import Path

import resnet_cli

PACKAGE = Path(resnet_cli.__file__).parent

# From the roof to the ground. A package imports from the floors below its own, and nothing else of
# ours.
FLOORS = (
    {"train"},
    {"api", "evaluate", "report", "info", "analyze"},  # the doors
    {"launch", "analysis"},
    {"run", "paper"},
    {"config"},
    {"training"},
    {"evaluation"},
    {"models", "data"},
    {"runtime"},
)
KNOW_HYDRA = {"config/tree.py", "config/compose.py", "config/flags.py", "config/launcher.py"}


def imports(path: Path) -> set[str]:
    """Full names of the modules a file imports, at any depth of it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "resnet_cli":
            names |= {f"resnet_cli.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def package_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def files() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]


def test_every_package_stands_on_a_floor() -> None:
    assert {package_of(path) for path in files()} == set(chain(*FLOORS))


def test_imports_point_down() -> None:
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in files()
        for name in sorted(imports(path) - {"resnet_cli.__version__"})
        if name.startswith("resnet_cli.")
        and (there := name.split(".")[1]) != (here := package_of(path))
        and floor[there] <= floor[here]
    ]
    assert wrong == []


def test_modules_of_a_package_import_in_no_circle() -> None:
    """Within a package, too, there is an order in which its modules can be read."""
    graph = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): imports(path)
        for path in files()
    }
    left = dict(graph)
    while left:
        free = [name for name, needs in left.items() if not needs - {name} & left.keys()]
        assert free, f"these import each other in a circle: {sorted(left)}"
        for name in free:
            del left[name]


def test_triton_is_imported_only_for_fused_blocks() -> None:
    """At the head of a file, that is: a function may ask for them once they are wanted."""
    for path in files():
        if path.parent.name != "fused":
            heads = [one for one in ast.parse(path.read_text()).body if not isinstance(one, ast.If)]
            names = {
                name.name if isinstance(one, ast.Import) else f"{one.module}.{name.name}"
                for one in heads
                if isinstance(one, ast.Import | ast.ImportFrom)
                for name in one.names
            }
            assert not {name for name in names if "triton" in name or "models.fused" in name}, path


def test_hydra_stays_with_composing() -> None:
    knowing = {
        str(path.relative_to(PACKAGE))
        for path in files()
        if any(name.split(".")[0] in ("hydra", "omegaconf") for name in imports(path))
    }
    assert knowing == KNOW_HYDRA
