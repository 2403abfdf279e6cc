"""A run's folder: which run it belongs to, whether that is finished, and the lock that keeps a
second process out.
"""

import dataclasses
import json
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import yaml
from filelock import Timeout

from resnet_cli.config.plain import differences, to_plain
from resnet_cli.config.schema import RunConfig
from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import naming, write_whole
from resnet_cli.runtime.locks import locked, stand_in
from resnet_cli.runtime.parse import read_text
from resnet_cli.training.records import LOCK, DataRecord, Result, read_data, read_result


@dataclass(frozen=True)
class RunFolder:
    """`runs/<dataset>/<network>/[<other overrides>/]seed<N>/`."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def result_file(self) -> Path:
        return self.path / "result.json"

    @property
    def data_file(self) -> Path:
        return self.path / "data.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    def read_result(self) -> Result | None:
        """The result of a finished run, or None. Raises UserError for a broken one."""
        return read_result(self.result_file) if self.result_file.is_file() else None

    def write_result(self, result: Result) -> None:
        """Writes it whole: from here on the run is finished."""
        write_whole(self.result_file, json.dumps(result.to_plain(), indent=2) + "\n")

    def open(self, config: RunConfig, *, data: DataRecord) -> None:
        """Writes down which run the folder belongs to, and what its data turned out to be.

        Raises UserError where it is another's.
        """
        self.validate_same_config(config)
        self.validate_same_data(data)
        if not self.data_file.exists():
            write_whole(self.data_file, json.dumps(dataclasses.asdict(data), indent=2) + "\n")
        if not self.config_file.exists():
            write_whole(self.config_file, yaml.safe_dump(to_plain(config), sort_keys=False))

    def validate_same_config(self, config: RunConfig) -> None:
        """A folder belongs to one config. Raises UserError showing what differs."""
        if not self.config_file.is_file():
            return
        text = read_text(self.config_file, what="the config")
        try:
            changed = differences(yaml.safe_load(text), to_plain(config))
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:  # YAML's own
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                f"{self.config_file} does not fit: {reason}; move the folder away to start anew"
            ) from error
        if changed:
            raise UserError(
                f"{self} holds a run of another config ({'; '.join(changed)}); move it away "
                "or choose another runs="
            )
        if config.resume == "never" and (self.result_file.exists() or self.checkpoints.exists()):
            raise UserError(
                f"resume=never, but {self} already holds this run; move it away or choose "
                "another runs="
            )

    def validate_same_data(self, data: DataRecord) -> None:
        """A folder belongs to one set of classes and images.

        Raises UserError saying where they differ.
        """
        if (before := self.read_data()) is None:
            return
        told = ""
        if before.classes != data.classes:
            told = f"classes: {len(before.classes)} -> {len(data.classes)}"
        elif before.images != data.images:
            told = f"images: {before.images} -> {data.images}"
        if told:
            raise UserError(
                f"{self} holds a run on other data ({told}); move it away or choose another runs="
            )

    def read_data(self) -> DataRecord | None:
        """What the run's data was; None where that is not written down.

        Raises UserError for a broken file.
        """
        return read_data(self.data_file) if self.data_file.is_file() else None

    @contextmanager
    def locked(self, *, say: Callable[[str], None] | None = None) -> Iterator[None]:
        """Makes the folder and keeps a second process out of it while open.

        `say` is told where the file system has no locks. Raises UserError naming the holder.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot make the run folder {self}: {error.strerror}; choose another runs="
            ) from error
        with ExitStack() as stack:
            try:
                # a report that asks whether it is held holds it for an instant
                stack.enter_context(locked(self._lock, timeout=0.5, say=say))
            except Timeout as error:
                raise UserError(self._held()) from error
            stack.callback(self._holder.unlink, missing_ok=True)
            with naming(self._holder):
                self._holder.write_text(f"{os.getpid()} on {platform.node()}", encoding="utf-8")
            yield

    @property
    def _lock(self) -> Path:
        return self.path / LOCK

    @property
    def _holder(self) -> Path:
        """Tells a second process who holds the lock, which may not be read itself."""
        return self.path / ".holder"

    def _held(self) -> str:
        """Who trains this run, and what helps."""
        who = "another process"
        with suppress(OSError):
            who = f"process {self._holder.read_text(errors='replace')[:100]}"
        left = stand_in(self._lock)
        remedy = f"; if that is gone, delete {left}" if left.exists() else ""
        return f"{self} is being trained by {who}; wait for it, or choose another runs={remedy}"

    def clear_holder(self) -> None:
        """Removes what a process that was killed has left of its lock."""
        if self._holder.exists():
            with suppress(OSError), locked(self._lock, timeout=0):
                self._holder.unlink(missing_ok=True)
