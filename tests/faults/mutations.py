"""How a file may be broken: its bytes, its text, one value of its tree, one of its tensors."""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

Draw = Callable[[st.SearchStrategy[Any]], Any]
Path = tuple[Any, ...]  # of keys and indices

# Of every kind that a field may wrongly hold; what a field should hold is among them, too.
VALUES: list[Any] = [None, True, False, [], [1], [[]], {}, {"a": 1}, [None] * 5]
VALUES += [-1, 0, 1, 7, 2**31, 2**63, -(2**63), 2**64, 10**400, 0.5, -0.5, 1e300]
VALUES += [math.nan, math.inf, -math.inf, "", "text", "30", "x" * 5000, "a\nb", "\x1b[31m", "\0"]
VALUES += ["none", "A", "cifar10", "paper", "resnet_cli 2", "../../etc", 3.0, -0.0]

DIGITS = "9" * 5000
DEEP = "[" * 100_000 + "]" * 100_000


def paths(tree: Any, prefix: Path = ()) -> Iterator[Path]:
    """Every place in a tree of dicts and lists."""
    if prefix:
        yield prefix
    if isinstance(tree, dict | list | tuple):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from paths(value, (*prefix, key))


def at(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def mutated_tree(draw: Draw, tree: dict[str, Any], *, values: list[Any] = VALUES) -> dict[str, Any]:
    """One value of a tree replaced, taken away, doubled under a new name, or another's."""
    tree = _thawed(tree)
    everywhere = list(paths(tree))
    path = draw(st.sampled_from(everywhere))
    parent, key = at(tree, path[:-1]), path[-1]
    action = draw(st.sampled_from(["replace", "replace", "replace", "drop", "add", "swap"]))
    if action == "replace":
        parent[key] = copy.deepcopy(values[draw(st.integers(0, len(values) - 1))])
    elif action == "drop":
        del parent[key]
    elif action == "add" and isinstance(parent, dict):
        parent[draw(st.sampled_from(["newer", "", "a b", "x\ny", 1]))] = parent[key]
    else:
        parent[key] = copy.deepcopy(at(tree, draw(st.sampled_from(everywhere))))
    return tree


def _thawed(tree: Any) -> Any:
    """A copy in which tuples are lists; tensors are shared."""
    if isinstance(tree, dict):
        return {key: _thawed(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_thawed(value) for value in tree]
    return tree


def mutated_text(draw: Draw, text: str) -> str:
    """A stretch of a text replaced: by many digits, by what is nested too deep, by nothing."""
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 20)))
    return (
        text[:start] + draw(st.sampled_from(["", DIGITS, DEEP, "NaN", '"', "&a *a"])) + text[end:]
    )


def mutated_bytes(draw: Draw, content: bytes) -> bytes:
    """A byte flipped, a stretch doubled or taken away, the end cut off."""
    start = draw(st.integers(0, len(content) - 1))
    length = draw(st.integers(1, 64))
    action = draw(st.sampled_from(["flip", "flip", "cut", "take", "double", "zero"]))
    if action == "flip":
        byte = content[start] ^ draw(st.integers(1, 255))
        return content[:start] + bytes([byte]) + content[start + 1 :]
    if action == "cut":
        return content[:start]
    middle = content[start : start + length]
    middle = {"take": b"", "double": middle * 2, "zero": bytes(len(middle))}[action]
    return content[:start] + middle + content[start + length :]


def mutated_tensor(draw: Draw, tensor: Tensor) -> Tensor:
    """A tensor of another shape, type, layout or value."""
    ways: list[Callable[[Tensor], Tensor]] = [
        lambda x: torch.zeros(0, dtype=x.dtype),
        lambda x: x.flatten()[:1].clone(),
        lambda x: torch.cat([x.flatten(), x.flatten()]),
        lambda x: x.unsqueeze(0).clone(),
        lambda x: x.flatten()[:1].expand(10**12),
        lambda x: x.flatten()[0].expand(x.shape),
        lambda x: x.long(),
        lambda x: x.bool(),
        lambda x: x.half(),
        lambda x: x.double(),
        lambda x: x.to(torch.complex64),
        lambda x: x.float().to_sparse(),
        lambda x: x.to("meta"),
        lambda x: -x.float() - 1,
        lambda x: x.float() * math.nan,
        lambda x: x.float() + math.inf,
        lambda x: x.float() * 1e38,
        lambda x: x.clone(),
    ]
    return ways[draw(st.integers(0, len(ways) - 1))](tensor)
