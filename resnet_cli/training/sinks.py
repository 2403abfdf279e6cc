"""Weights & Biases and MLflow: views of metrics.jsonl in other programs' books.

A run keeps what it is called there in sinks.json, so that a resumed run continues the same curves.
"""

import dataclasses
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from resnet_cli.runtime.errors import UserError
from resnet_cli.runtime.files import write_whole
from resnet_cli.runtime.parse import read_record

SINKS = ("wandb", "mlflow")  # the keys, the extras, and the packages
_RECORD = "sinks.json"
_SECONDS = 30  # that a server is waited for when a run starts, and again when it ends


@dataclass(frozen=True, kw_only=True)
class Described:
    """What a sink shows of a run beside its curves."""

    name: str  # cifar10/resnet56-A/seed0
    hparams: Mapping[str, Any]
    command: str


class Sink(Protocol):
    """A run in another program's books. Its methods raise whatever that program does."""

    run: str  # the run's name there, for a later start

    def log(self, iteration: int, values: Mapping[str, float]) -> None: ...

    def close(self, *, finished: bool) -> None: ...


class _WandB:
    """`project` is made where there is none; WANDB_MODE, WANDB_ENTITY, ... are wandb's own."""

    def __init__(self, project: str, *, run: str | None, about: Described, folder: Path) -> None:
        import wandb

        quiet: dict[str, Any] = {"silent": True, "console": "off", "disable_git": True}
        wandb.setup(wandb.Settings(**quiet))
        offline = wandb.setup().settings.mode in ("offline", "disabled")
        if not offline and not wandb.login(prompt=False):
            raise UserError(
                f"wandb={project}: nobody is logged in; run `wandb login`, or set "
                "WANDB_MODE=offline"
            )
        self.run, self.teardown = run or secrets.token_hex(8), wandb.teardown
        self.there = wandb.init(
            project=project,
            id=self.run,
            name=about.name,
            notes=about.command,
            config=dict(about.hparams),
            dir=folder,
            resume=None if offline else "allow",
            reinit="create_new",  # several runs may share a process
            settings=wandb.Settings(**quiet, init_timeout=_SECONDS, finish_timeout=_SECONDS),
        )

    def log(self, iteration: int, values: Mapping[str, float]) -> None:
        try:
            self.there.log(dict(values), step=iteration, commit=True)
        except ConnectionError:  # to its own process, without which its exit hook would fail, too
            with suppress(Exception):
                self.teardown(exit_code=1)
            raise

    def close(self, *, finished: bool) -> None:
        self.there.finish(exit_code=0 if finished else 1)


class _MLflow:
    """`experiment` is made where there is none, at MLFLOW_TRACKING_URI or else in ./mlruns."""

    def __init__(self, experiment: str, *, run: str | None, about: Described) -> None:
        # Newer ones want to hear that files, not a database, are meant. And seven attempts of two
        # minutes each would hold up training.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", f"{_SECONDS // 3}")
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.tracking import is_tracking_uri_set

        local = None if is_tracking_uri_set() else Path("mlruns").absolute().as_uri()
        self.metric, self.client = Metric, MlflowClient(tracking_uri=local)
        if run is not None:
            self.client.update_run(run, status="RUNNING")
            self.run = run
            return
        made = self.client.create_run(self._experiment(experiment), run_name=about.name)
        self.run = made.info.run_id
        params = [Param(name, str(value)) for name, value in about.hparams.items()]
        note = [RunTag("mlflow.note.content", about.command)]
        self.client.log_batch(self.run, params=params, tags=note)

    def _experiment(self, name: str) -> str:
        """The id of an experiment, made where there is none: of two runs, one comes first."""
        from mlflow import MlflowException

        for _ in range(2):
            if (found := self.client.get_experiment_by_name(name)) is not None:
                return str(found.experiment_id)
            try:
                return str(self.client.create_experiment(name))
            except MlflowException as error:
                raced = error
        raise raced

    def log(self, iteration: int, values: Mapping[str, float]) -> None:
        now = time.time_ns() // 10**6
        metrics = [self.metric(name, value, now, iteration) for name, value in values.items()]
        self.client.log_batch(self.run, metrics=metrics)

    def close(self, *, finished: bool) -> None:
        self.client.set_terminated(self.run, status="FINISHED" if finished else "KILLED")


@dataclass(kw_only=True)
class _Kept:
    """What sinks.json holds of a sink."""

    target: str  # the project or experiment
    run: str
    last: int  # the last iteration that it was given


class Sinks:
    """The sinks of a run. One that fails is told of once and left out; training goes on."""

    def __init__(
        self,
        folder: Path,
        targets: Mapping[str, str],
        *,
        about: Described,
        warn: Callable[[str], None],
    ) -> None:
        """`targets`: the project or experiment of each sink that is wanted, by its key.

        Raises UserError where nobody is logged in, and for a broken sinks.json.
        """
        self._file, self._warn = folder / _RECORD, warn
        self._kept: dict[str, _Kept] = {}
        self._open: dict[str, Sink] = {}
        if targets and self._file.exists():
            self._kept = read_record(
                dict[str, _Kept], self._file, what="the record", remedy="delete it to begin anew"
            )
        for key, target in targets.items():
            if (kept := self._kept.get(key)) is not None and kept.target != target:
                del self._kept[key]
            self._try(key, partial(self._open_one, key, target, about, folder))

    def _open_one(self, key: str, target: str, about: Described, folder: Path) -> None:
        run = self._kept[key].run if key in self._kept else None
        if key == "wandb":
            self._open[key] = _WandB(target, run=run, about=about, folder=folder)
        else:
            self._open[key] = _MLflow(target, run=run, about=about)
        if run is None:
            self._kept[key] = _Kept(target=target, run=self._open[key].run, last=-1)
        self._save()

    def write(self, points: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Gives each sink what it has not got yet: a resumed run repeats some points, and a sink
        that is asked for later, or failed, has missed some.
        """
        points = list(points)
        for key in list(self._open):
            self._try(key, partial(self._write_one, key, points))

    def _write_one(self, key: str, points: list[tuple[int, Mapping[str, float]]]) -> None:
        kept = self._kept[key]
        new = [point for point in points if point[0] > kept.last]
        for iteration, values in new:
            self._open[key].log(iteration, values)
            kept.last = iteration
        if new:
            self._save()

    def close(self, *, finished: bool) -> None:
        """Ends the run in every book: as done, or as stopped and to be continued."""
        for key, sink in list(self._open.items()):
            self._try(key, partial(sink.close, finished=finished))
        self._open.clear()

    def _save(self) -> None:
        kept = {key: dataclasses.asdict(one) for key, one in self._kept.items()}
        write_whole(self._file, json.dumps(kept, indent=2) + "\n")

    def _try(self, key: str, call: Callable[[], None]) -> None:
        """Calls another project's code, whose errors are of any kind."""
        try:
            call()
        except UserError:
            raise
        except Exception as error:
            self._open.pop(key, None)
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            self._warn(
                f"{key} fails ({reason[:200]}); training goes on without it: metrics.jsonl has all"
            )


def validate_installed(key: str, target: str) -> None:
    """Raises UserError where the package of a sink is missing, or its `target` is no name."""
    if target.lower() in ("true", "false", "yes", "no", "on", "off", "1", "0"):
        what = "project" if key == "wandb" else "experiment"
        raise UserError(f"{key}={target.lower()}: name the {what}, as in {key}=resnet")
    if find_spec(key) is None:
        raise UserError(
            f"{key}={target} needs {key}, which is not installed: pip install 'resnet-cli[{key}]'"
        )
