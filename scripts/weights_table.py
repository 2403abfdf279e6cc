"""The table of results/weights/README.md, made from the headers of the files beside it.

python -m scripts.weights_table
"""

import hashlib
import re
import sys
from pathlib import Path

from resnet_cli.evaluation.card import Card, read_card

WEIGHTS = Path(__file__).parent.parent / "results" / "weights"
EMPTY = "There are no weights of full length yet."
BETWEEN = re.compile(r"(<!-- weights -->\n).*(<!-- /weights -->)", re.DOTALL)
HEAD = (
    "| file | test error | seed | measured on | config | commit | SHA-256 of the file |\n"
    "|---|---|---|---|---|---|---|\n"
)


def row(path: Path, card: Card) -> str:
    """A line of the table: errors in percent, hashes by their first digits."""
    measured = card.measured
    where = (
        f"{measured.count:,} images of {measured.dataset}; {measured.precision}, {measured.device}"
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    commit = (card.commit or "unknown")[:7]
    return (
        f"| {path.name} | {measured.top1_error:.2f} | {card.seed} | {where} | "
        f"{card.config_sha256[:8]} | {commit} | {digest[:16]} |\n"
    )


def table(folder: Path) -> str:
    """A line for each file with a card; EMPTY where there is none."""
    cards = {path: read_card(path) for path in sorted(folder.glob("*.safetensors"))}
    rows = [row(path, card) for path, card in cards.items() if card is not None]
    return HEAD + "".join(rows) if rows else f"{EMPTY}\n"


def main() -> int:
    readme = WEIGHTS / "README.md"
    made = table(WEIGHTS)
    readme.write_text(BETWEEN.sub(lambda match: match[1] + made + match[2], readme.read_text()))
    print(made, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
