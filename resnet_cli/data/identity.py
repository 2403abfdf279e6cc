"""Which classes a data set has, told in a word: two folders of 20 classes are not one data set."""

import hashlib
from collections.abc import Sequence


def fingerprint(classes: Sequence[str]) -> str:
    """16 hexadecimal digits that stand for the names of the classes and their order."""
    return hashlib.sha256("\0".join(classes).encode(errors="surrogatepass")).hexdigest()[:16]
