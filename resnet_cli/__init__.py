"""Plain and residual networks of "Deep Residual Learning for Image Recognition", trained and
tested as the paper did.

In a notebook: `resnet_cli.model("resnet56")`, `resnet_cli.load(RUN_OR_FILE)`,
`resnet_cli.runs("runs")` and `resnet_cli.train("model=resnet20", ...)`; docs/notebooks.md.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet_cli.api import Curve, Loaded, RunMetrics, load, model, runs, train

__all__ = ["Curve", "Loaded", "RunMetrics", "load", "model", "runs", "train"]
__version__ = "0.1.0"

# An empty or broken number of threads means none, and libgomp would warn of it in every process;
# it reads the environment once, when PyTorch is imported.
if os.environ.get("OMP_NUM_THREADS", "1").split(",")[0].strip().lstrip("0").isdigit() is False:
    del os.environ["OMP_NUM_THREADS"]


def __getattr__(name: str) -> Any:
    """Imports PyTorch once something is asked for that needs it."""
    if name == "train":  # the module of the command, which can be called
        return import_module("resnet_cli.train")
    if name in __all__:
        return getattr(import_module("resnet_cli.api"), name)
    raise AttributeError(f"module 'resnet_cli' has no attribute '{name}'")
