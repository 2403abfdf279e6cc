"""Opens photographs, and decides what happens to those that cannot be decoded."""

from collections.abc import Callable
from dataclasses import dataclass, field

from PIL.Image import Image

from resnet_cli.data.decode import decode
from resnet_cli.data.samples import Samples
from resnet_cli.runtime.errors import DataError


def open_photograph(samples: Samples, index: int) -> Image:
    """One image of a split, RGB. Raises DataError with its path."""
    return decode(samples.read(index), where=samples.path(index))


@dataclass(kw_only=True)
class BadImages:
    """The files that could not be decoded, and the policy: stop at the first, or skip some."""

    skip: bool = False
    max_skipped: int = 0
    warn: Callable[[str], None] = lambda _: None
    found: list[str] = field(default_factory=list)  # one line each

    def report(self, failures: list[str]) -> None:
        """Records failures. Raises DataError if none may be skipped, or if there are too many."""
        for failure in failures:
            if failure in self.found:
                continue
            if not self.skip:
                raise DataError(f"{failure}; dataset.on_error=skip leaves such images out")
            self.found.append(failure)
            self.warn(f"skipped: {failure} ({len(self.found)} of at most {self.max_skipped})")
            if len(self.found) > self.max_skipped:
                raise DataError(
                    f"more than dataset.max_skipped={self.max_skipped} images are broken, the "
                    f"last: {failure}"
                )
