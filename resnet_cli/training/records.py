"""What a run leaves behind besides its log and checkpoints: result.json and data.json."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resnet_cli.runtime.parse import read_record

LOCK = ".lock"  # of a run folder, held while the run is being trained
_ONLY_WHERE_MEASURED = ("test_top5_error", "val_top5_error")  # with more than ten classes


@dataclass(frozen=True, kw_only=True)
class Final:
    """Errors in percent at the last iteration."""

    iteration: int
    train_error: float  # running, over augmented mini-batches
    train_loss: float
    test_error: float | None
    val_error: float | None
    test_top5_error: float | None = None
    val_top5_error: float | None = None

    def __post_init__(self) -> None:
        """Raises ValueError where nothing was measured."""
        if self.test_error is None and self.val_error is None:
            raise ValueError("final.test_error and final.val_error are missing")


@dataclass(frozen=True, kw_only=True)
class Best:
    """The best iterate: its error in percent, and the images that it was chosen on."""

    iteration: int
    error: float
    chosen_on: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """result.json: written last, only by a finished run."""

    network: str
    dataset: str
    classes: int | None = None  # older results do not say
    training_images: int | None = None  # nor this
    seed: int
    parameters: int
    iterations: int
    devices: int = 1
    final: Final
    best: Best
    warmup_ended_at: int | None
    skipped_images: list[str] = field(default_factory=list)
    seconds: float
    images_per_second: float  # evaluation and saving included
    peak_memory_gib: float  # of the process so far, earlier runs of a sweep included
    peak_gpu_memory_gib: float | None = None  # of this process on its GPU; None on a CPU
    device: str
    precision: str
    compiled: str
    versions: dict[str, str]
    commit: str | None
    command: str
    finished: str
    config: dict[str, Any]

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        plain = dataclasses.asdict(self)
        for name in _ONLY_WHERE_MEASURED:
            if plain["final"][name] is None:
                del plain["final"][name]
        return plain


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """data.json: what a run's data turned out to be."""

    name: str
    classes: list[str]
    images: dict[str, int]  # of each split
    remarks: list[str] = field(default_factory=list)


def read_result(path: Path) -> Result:
    """A result.json. Raises UserError for one that is no whole result."""
    return read_record(Result, path, what="the result", remedy="delete it to have it written again")


def read_data(path: Path) -> DataRecord:
    """A data.json. Raises UserError for one that is broken."""
    return read_record(
        DataRecord, path, what="the record", remedy="delete it to have it written again"
    )
