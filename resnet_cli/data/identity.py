"""Which classes a data set has, told in a word: two folders of 20 classes are not one data set."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path


def fingerprint(classes: Sequence[str]) -> str:
    """16 hexadecimal digits that stand for the names of the classes and their order."""
    return hashlib.sha256("\0".join(classes).encode(errors="surrogatepass")).hexdigest()[:16]


@cache
def imagenet_wnids() -> tuple[str, ...]:
    """The WordNet ids of ILSVRC 2012's 1,000 classes, in the order that every network has them."""
    file = Path(__file__).with_name("imagenet_wnids.txt")
    return tuple(file.read_text(encoding="utf-8").split())
