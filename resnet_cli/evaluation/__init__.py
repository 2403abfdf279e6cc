"""Measuring a network: exact errors, our checkpoints and other projects' weights."""
