"""After every fault the same command ends with the bits of the undisturbed run, and leaves nothing.

A seeded one of each category here, many more where slow tests run; `python -m tests.faults` counts.
"""

import errno
import random
from collections.abc import Iterator

import pytest

from tests.faults.cases import CATEGORIES, Bench
from tests.faults.nursery import Fault, compiler

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("faults"))
    yield bench
    bench.nursery.close()


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_same_command_goes_on(bench: Bench, category: str) -> None:
    bench.hold(CATEGORIES[category](random.Random(category), bench.operations))


def test_a_disk_full_from_the_first_file_on_is_named(bench: Bench) -> None:
    first = next(at for at, what in enumerate(bench.journal, start=1) if what.startswith("write"))
    bench.hold(Fault(at=first, error=errno.ENOSPC, lasting=True))


def test_tensorboards_thread_prints_no_traceback(bench: Bench) -> None:
    """It writes before the main thread goes on."""
    operations = enumerate(bench.journal, start=1)
    first = next(at for at, what in operations if what.startswith("write") and "tfevents" in what)
    bench.hold(Fault(at=first, error=errno.EIO))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("category", CATEGORIES)
def test_the_same_command_always_goes_on(bench: Bench, category: str) -> None:
    rng = random.Random(f"{category}, many")
    for _ in range(100):
        bench.hold(CATEGORIES[category](rng, bench.operations))
