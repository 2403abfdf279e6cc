"""How further processes of ours are started."""

from pathlib import Path

_ROOT = str(Path(__file__).parents[2])  # what this package was imported from
_START = (
    "import runpy, sys; "
    f"{_ROOT!r} in sys.path or sys.path.insert(0, {_ROOT!r}); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def module_words(module: str) -> tuple[str, ...]:
    """What to hand to this Python so that it runs a module of this very package.

    As with `-m`, but for the working folder, where a `queue.py` would stand in for Python's own
    (`python -P`).
    """
    return "-P", "-c", _START, module
