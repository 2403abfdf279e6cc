"""The loss on a plane through the trained weights (Li et al. 2018, "Visualizing the Loss Landscape
of Neural Nets"): L(w + a d + b e), with two random directions that are filter-normalised.

Each filter of a direction is as long as that filter of the network, so that landscapes of different
networks compare. Biases and BN stay as they are, and BN normalises by its running averages, as when
testing.
"""

import csv
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from resnet_cli.analysis.walk import batches
from resnet_cli.data.images import Split
from resnet_cli.models.fold_bn import FoldedBN
from resnet_cli.models.resnet import Network
from resnet_cli.paper.why.records import Point, from_csv, line, to_csv
from resnet_cli.runtime.device import autocast, free_memory
from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import write_whole

_BYTES = 1000  # that a point takes as a row, until it is drawn


def grid(points: int, reach: float) -> list[tuple[float, float]]:
    """points x points places from -reach to reach, those near the middle first.

    Raises UserError for more than memory holds.
    """
    needed = points**2 * _BYTES
    if needed > free_memory(torch.device("cpu")):
        raise UserError(
            f"--grid {points}: {points**2:,} points take {needed / 2**30:,.0f} GiB, more than is "
            "free; use a smaller one"
        )
    step = 2 * reach / (points - 1)
    # the middle is 0 exactly, and a finer grid has the same numbers where it has the same points
    at = [round(number * step - reach, 12) + 0.0 for number in range(points)]
    places = [(a, b) for a in at for b in at]
    return sorted(places, key=lambda place: max(map(abs, place)))


def direction(network: Network, generator: torch.Generator) -> list[Tensor]:
    """A random direction in the weights, each of its filters as long as the network's; 0 for biases
    and BN.
    """
    found = []
    for weight in network.parameters():
        if weight.dim() <= 1:
            found.append(torch.zeros_like(weight))
            continue
        drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        own = weight.detach().double().cpu().flatten(1).norm(dim=1)
        scale = own / drawn.flatten(1).norm(dim=1)
        drawn *= scale.view(-1, *[1] * (weight.dim() - 1))
        found.append(drawn.to(weight))
    return found


class Plane:
    """A network whose weights move on the plane; `folded` is what is measured."""

    def __init__(self, network: Network, *, seed: int) -> None:
        self.network = network.requires_grad_(False)
        self.start = [weight.clone() for weight in network.parameters()]
        generator = torch.Generator().manual_seed(seed)
        self.directions = direction(network, generator), direction(network, generator)
        self.folded = FoldedBN(network)

    @torch.no_grad()
    def move(self, a: float, b: float) -> None:
        """To w + a d + b e."""
        weights = zip(self.network.parameters(), self.start, *self.directions, strict=True)
        for weight, start, one, other in weights:
            weight.copy_(start + a * one + b * other)
        self.folded.refresh()

    @torch.inference_mode()
    def measure(
        self,
        split: Split,
        normalizer: Callable[[Tensor], Tensor],
        *,
        dtype: torch.dtype,
        batch_size: int = 250,
    ) -> tuple[float, float]:
        """Mean cross-entropy in nats, and error in percent, where the weights are."""
        totals = torch.zeros(2, dtype=torch.float64, device=split.labels.device)
        for images, labels in batches(split, normalizer, batch_size):
            with autocast(images.device, dtype):
                logits = self.folded.network(images).float()
            totals[0] += cross_entropy(logits, labels, reduction="sum").double()
            totals[1] += (logits.argmax(dim=1) != labels).sum()
        loss, wrong = (totals / len(split)).tolist()
        return loss, 100 * wrong


def digest(network: Network) -> str:
    """A short hash of all tensors of a network."""
    found = hashlib.sha256()
    for name, value in network.state_dict().items():
        found.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:12]


def _key(row: Point) -> tuple[str, int | None]:
    return row.network, row.seed


def kept(path: Path, wanted: Sequence[dict[str, Any]]) -> list[Point]:
    """The rows of a landscape that was begun; a line that was cut off is forgotten.

    `wanted` are the columns of what is to be measured. Raises UserError for a file that is none, or
    holds the same network measured otherwise.
    """
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        write_whole(path, whole)
    try:
        rows = from_csv(Point, path) if whole.count(b"\n") > 1 else []
    except ValueError as error:
        raise UserError(f"{path}: {error}; move it away, or name another --out") from error
    for row in rows:
        for columns in wanted:
            for name, value in columns.items():
                here = getattr(row, name)
                if _key(row) == (columns["network"], columns["seed"]) and here != value:
                    raise UserError(
                        f"{path} holds {row.network} with {name} {here}, not {value}: continue with"
                        " the same settings, or name another --out"
                    )
    return rows


def measure_points(
    plane: Plane,
    places: Iterable[tuple[float, float]],
    measure: Callable[[], tuple[float, float]],
    *,
    of: dict[str, Any],
    path: Path,
    after_first: Callable[[], None] = lambda: None,
) -> list[Point]:
    """The loss at these places, each written to `path` as soon as it is known."""
    rows = []
    if not path.is_file() or not path.stat().st_size:
        write_whole(
            path, to_csv([Point(**of, a=0, b=0, loss=0, error=0)]).partition("\n")[0] + "\n"
        )
    with path.open("a", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        for a, b in places:
            plane.move(a, b)
            loss, error = measure()
            rows.append(Point(**of, a=a, b=b, loss=loss, error=error))
            writer.writerow(line(rows[-1]))
            file.flush()
            if len(rows) == 1:
                after_first()
    return rows
