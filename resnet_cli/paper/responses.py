"""responses.json: Fig. 7's numbers, kept beside the run that they were measured on."""

from dataclasses import dataclass
from pathlib import Path

from resnet_cli.runtime.parse import read_record

FILE = "responses.json"


@dataclass(frozen=True, kw_only=True)
class Responses:
    """One network's layers from the first to the last, each with the std of its response."""

    layers: list[str]
    std: list[float]
    images: int
    iteration: int

    def __post_init__(self) -> None:
        """Raises ValueError where layers and figures do not go together."""
        if not self.layers or len(self.layers) != len(self.std):
            raise ValueError("layers and std are not of one length")


def kept(folder: Path) -> Responses | None:
    """Those of a run folder; None where they were not measured yet. Raises UserError."""
    if not (folder / FILE).is_file():
        return None
    return read_record(
        Responses, folder / FILE, what="the record", remedy="delete it to have it measured again"
    )


def can_show(folder: Path) -> bool:
    """Whether a run folder has them, or a checkpoint to measure them on."""
    return (folder / FILE).is_file() or any((folder / "checkpoints").glob("*.pt"))
