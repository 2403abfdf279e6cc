"""Plain and residual networks of "Deep Residual Learning for Image Recognition", trained and
tested as the paper did.
"""

import os

__version__ = "0.1.0"

# An empty or broken number of threads means none, and libgomp would warn of it in every process;
# it reads the environment once, when PyTorch is imported.
if os.environ.get("OMP_NUM_THREADS", "1").split(",")[0].strip().lstrip("0").isdigit() is False:
    del os.environ["OMP_NUM_THREADS"]
