"""Comparisons whose failures say by how much two results differ."""

from typing import Any

import torch


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Equal to the last bit, all the way down through dicts and lists."""
    if isinstance(one, torch.Tensor):
        torch.testing.assert_close(
            one, other, rtol=0, atol=0, msg=lambda text: f"{where}: {text}" if where else text
        )
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same(left, right, f"{where}/{place}")
    else:
        assert one == other, f"{where}: {one!r} is not {other!r}"
