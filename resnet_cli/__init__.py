"""Plain and residual networks of "Deep Residual Learning for Image Recognition", trained and tested as the paper did."""

import os

__version__ = "0.1.0"

# PyTorch asks once, at its first tensor, whether large ones on a CPU are to lie in huge pages: fewer misses for the convolutions.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
