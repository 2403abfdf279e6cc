"""A run's folder: whose it is, whether it is finished, and the lock that keeps a second process out."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from resnet_cli.errors import UserError
from resnet_cli.schema import Config, differences, to_plain


@dataclass(frozen=True)
class RunFolder:
    """`runs/<dataset>/<network>/[<other overrides>/]seed<N>/`."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def result(self) -> Path:
        return self.path / "result.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    def read_result(self) -> dict[str, Any] | None:
        """The result of a finished run, or None. Raises UserError for a broken one."""
        if not self.result.is_file():
            return None
        try:
            return dict(json.loads(self.result.read_text()))
        except ValueError as error:
            raise UserError(f"{self.result} is no JSON ({error}); delete it to have it written again") from error

    def write_result(self, result: dict[str, Any]) -> None:
        part = self.result.with_name("result.json.part")
        part.write_text(json.dumps(result, indent=2) + "\n")
        os.replace(part, self.result)

    def open(self, config: Config) -> None:
        """Makes the folder and writes down whose it is. Raises UserError where it is another run's."""
        self.refuse_other(config)
        if not self.config.exists():
            self.config.write_text(yaml.safe_dump(to_plain(config), sort_keys=False))

    def refuse_other(self, config: Config) -> None:
        """A folder belongs to one config. Raises UserError showing what differs."""
        if not self.config.is_file():
            return
        try:
            changed = differences(dict(yaml.safe_load(self.config.read_text())), to_plain(config))
        except (yaml.YAMLError, TypeError, ValueError) as error:
            raise UserError(f"{self.config} cannot be read; move the folder away to start anew") from error
        if changed:
            raise UserError(f"{self} holds a run of another config ({'; '.join(changed)}); move it away or choose another runs=")
        if config.resume == "never" and (self.result.exists() or self.checkpoints.exists()):
            raise UserError(f"resume=never, but {self} already holds this run; move it away or choose another runs=")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the folder and keeps a second process out of it while open. Raises UserError naming the holder."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the run folder {self}: {error.strerror}; choose another runs=") from error
        holder = self.path / ".holder"
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            who = holder.read_text() if holder.exists() else "another process"
            raise UserError(f"{self} is being trained by {who}; wait for it, or choose another runs=") from error
        try:
            holder.write_text(f"process {os.getpid()}")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()
