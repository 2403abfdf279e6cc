"""Plain and residual networks of "Deep Residual Learning for Image Recognition", trained and
tested as the paper did.
"""

__version__ = "0.1.0"
