"""Counts the faults that are tried and held, by category: `python -m tests.faults --cases 20`."""

import argparse
import os
import random
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import seed, settings

from tests.faults.cases import CATEGORIES, Bench
from tests.faults.kinds import KINDS
from tests.faults.test_mutations import MANY, Tried, hold


def main() -> int:
    """Prints a table; the exit code is 1 where something did not hold, which is shown first."""
    parser = argparse.ArgumentParser("python -m tests.faults", description=__doc__)
    parser.add_argument("--cases", type=int, default=20, help="of each category")
    parser.add_argument("--files", type=int, default=200, help="broken ones of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows: list[tuple[str, int, int]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(folder)
        for category, draw in CATEGORIES.items() if options.cases else ():
            rng, held = random.Random(f"{category}, {options.seed}"), 0
            for _ in range(options.cases):
                fault = draw(rng, bench.operations)
                try:
                    bench.hold(fault)
                    held += 1
                except AssertionError as error:
                    print(f"{category}: {fault}: {error}\n", flush=True)
            rows.append((category, options.cases, held))
        bench.nursery.close()
        for number, kind in enumerate(KINDS) if options.files else ():
            tried, fails = Tried(), 0
            here = folder / f"kind{number}"
            here.mkdir()
            os.environ["XDG_CACHE_HOME"] = str(here / "caches")
            try:
                hold(
                    kind,
                    here,
                    lambda test: seed(options.seed)(
                        settings(MANY, max_examples=options.files)(test)
                    ),
                    tried=tried,
                )
            except Exception as error:  # hypothesis stops at the first, and makes it smaller
                print(f"a broken {kind}: {error!r}\n", flush=True)
                fails = 1
            rows.append((f"a broken {kind}", tried.count, tried.count - fails))
    print("| what is broken | tried | held |\n|---|---|---|")
    for name, count, held in rows:
        print(f"| {name} | {count} | {held} |")
    return int(any(count != held for _, count, held in rows))


if __name__ == "__main__":
    raise SystemExit(main())
