"""hydra/launcher=submitit_slurm: each run is a job of its own.

The folder `runs` must be one that all machines see.
"""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from resnet_cli.launch.display import LineDisplay, make_display
from resnet_cli.launch.outcome import Outcome
from resnet_cli.launch.sequential import train
from resnet_cli.run.run import Run, run_from_plain
from resnet_cli.runtime.errors import FAILED, Stopped, UserError, explain
from resnet_cli.runtime.signals import stop_on_signal

_POLL_SECONDS = 0.5  # submitit itself asks SLURM less often

# submitit's names for any executor; it wants the rest of hydra.launcher prefixed with the
# executor's name
_COMMON = {
    "timeout_min",
    "cpus_per_task",
    "gpus_per_node",
    "tasks_per_node",
    "mem_gb",
    "nodes",
    "name",
    "stderr_to_stdout",
}


class _Task:
    """What a job does, as submitit pickles it."""

    def __call__(self, run: dict[str, Any]) -> tuple[str, int]:
        """Trains a plain `Run` on the machine of the job. Returns the parts of its Outcome."""
        try:
            outcome = train(run_from_plain(run), patient=True)
        except Stopped as stopped:
            signum = stopped.exit_code - 128
            if signum in (signal.SIGUSR1, signal.SIGUSR2) and callable(signal.getsignal(signum)):
                # saved; now submitit's own handler puts the job back into the queue
                signal.raise_signal(signum)
            outcome = Outcome(str(stopped), stopped.exit_code)
        except (UserError, OSError, RuntimeError) as error:
            outcome = Outcome(*explain(error))
        return outcome.line, outcome.code

    def checkpoint(self, run: dict[str, Any]) -> Any:
        """What submitit runs when the job's turn comes again: the run, from its checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, run)


def sweep(runs: Sequence[Run], *, cluster: str, settings: Mapping[str, Any]) -> list[Outcome]:
    """Submits all runs to the `cluster` (slurm, or local to try it) and waits for them.

    A signal cancels the jobs, which save first. Raises UserError where nothing can be submitted,
    and Stopped after a signal.
    """
    jobs = _submit(runs, cluster=cluster, settings=settings)
    outcomes: dict[int, Outcome] = {}
    running: set[int] = set()
    with make_display(runs) as display, stop_on_signal() as request, request.deferred():
        stopping = False
        while len(outcomes) < len(jobs):
            if request.signum is not None and not stopping:
                stopping = True
                display.warn("stopping; the jobs save first")
                for job in jobs:
                    _cancel(job, cluster=cluster)
            for number, job in enumerate(jobs):
                if number not in outcomes:
                    _update(number, job, outcomes=outcomes, running=running, display=display)
            display.refresh()
            time.sleep(_POLL_SECONDS)
    if request.signum is not None and any(outcome.code for outcome in outcomes.values()):
        raise Stopped(
            "the sweep stops, its jobs are cancelled; the same command continues",
            signum=request.signum,
        )
    return [outcomes[number] for number in range(len(runs))]


def _submit(runs: Sequence[Run], *, cluster: str, settings: Mapping[str, Any]) -> list[Any]:
    """Returns submitit's jobs.

    Raises UserError where there is no such cluster, or it refuses.
    """
    import submitit

    rest = dict(settings)
    for key in ("nodes", "tasks_per_node"):
        if rest.get(key) not in (None, 1):
            raise UserError(
                f"hydra.launcher.{key}={rest[key]}: a job starts the processes of its run "
                "itself; say devices=N, and gpus_per_node=N"
            )
    folder, retries = rest.pop("submitit_folder"), rest.pop("max_num_timeout", None)
    try:
        executor = submitit.AutoExecutor(
            folder,
            cluster=cluster,
            **({} if retries is None else {f"{cluster}_max_num_timeout": retries}),
        )
        executor.update_parameters(
            **{key if key in _COMMON else f"{cluster}_{key}": value for key, value in rest.items()}
        )
        return executor.map_array(_Task(), [run.to_plain() for run in runs])
    except (RuntimeError, ValueError, TypeError, submitit.core.utils.FailedJobError) as error:
        raise UserError(
            f"hydra/launcher=submitit_{cluster}: {(str(error).splitlines() or ['refused'])[0]}"
        ) from error


def _update(
    number: int,
    job: Any,
    *,
    outcomes: dict[int, Outcome],
    running: set[int],
    display: LineDisplay,
) -> None:
    """Notes and shows that a job has started or ended."""
    if job.done():
        outcomes[number] = _outcome_of(job)
        display.ended(number, outcomes[number])
    elif number not in running and job.state == "RUNNING":
        running.add(number)
        display.started(number, f"job {job.job_id}")


def _outcome_of(job: Any) -> Outcome:
    """The outcome of a job, which has failed if it left no result (killed, out of time, memory)."""
    try:
        line, code = job.results()[0]  # of several ranks the first one's
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return Outcome(
            f"job {job.job_id} ended without a result ({reason}); see {job.paths.stderr}; the "
            "same command continues",
            FAILED,
        )
    return Outcome(line, code if code < 128 else FAILED)


def _cancel(job: Any, *, cluster: str) -> None:
    """Asks a job to save and stop."""
    if cluster == "local":  # submitit would send SIGINT and kill a second later
        with suppress(ProcessLookupError):
            os.kill(int(job.job_id), signal.SIGTERM)
    else:
        job.cancel(check=False)
