"""hydra/launcher=submitit_slurm: every run a job of its own.

The runs' folder must be one that all machines see.
"""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from resnet_cli.launch.display import Lines, shown
from resnet_cli.launch.jobs import Outcome
from resnet_cli.launch.sequential import train
from resnet_cli.run.run import Run, run_from_plain
from resnet_cli.runtime.errors import FAILED, Stopped, UserError, explain
from resnet_cli.runtime.signals import stop_on_signal

TICK = 0.5  # seconds between looks; submitit itself asks SLURM more seldom

# submitit's names for any executor; it wants the rest of hydra.launcher with the executor's name in
# front.
COMMON = {
    "timeout_min",
    "cpus_per_task",
    "gpus_per_node",
    "tasks_per_node",
    "mem_gb",
    "nodes",
    "name",
    "stderr_to_stdout",
}


class Task:
    """What a job does, as submitit pickles it."""

    def __call__(self, run: dict[str, Any]) -> tuple[str, int]:
        """Trains a plain `Run` on the machine it finds itself on. Returns an Outcome's parts."""
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
        """What submitit is to run when the job's turn comes again: the same, which goes on from
        its checkpoint.
        """
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, run)


def sweep(runs: Sequence[Run], where: str, settings: Mapping[str, Any]) -> list[Outcome]:
    """Submits all of them to `where` (slurm, or local to try it) and waits. Raises UserError where
    that cannot be.

    A signal cancels the jobs, which save first: raises Stopped.
    """
    jobs = submit(runs, where, settings)
    outcomes: dict[int, Outcome] = {}
    running: set[int] = set()
    with shown(runs) as display, stop_on_signal() as request:
        stopping = False
        while len(outcomes) < len(jobs):
            if request.signum is not None and not stopping:
                stopping = True
                display.warn("stopping; the jobs save first")
                for job in jobs:
                    cancel(job, where)
            for number, job in enumerate(jobs):
                if number not in outcomes:
                    look(number, job, outcomes, running, display)
            display.refresh()
            time.sleep(TICK)
    if request.signum is not None and any(outcome.code for outcome in outcomes.values()):
        raise Stopped(
            "the sweep stops, its jobs are cancelled; the same command continues",
            signum=request.signum,
        )
    return [outcomes[number] for number in range(len(runs))]


def submit(runs: Sequence[Run], where: str, settings: Mapping[str, Any]) -> list[Any]:
    """The jobs, as submitit hands them out.

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
            cluster=where,
            **({} if retries is None else {f"{where}_max_num_timeout": retries}),
        )
        executor.update_parameters(
            **{key if key in COMMON else f"{where}_{key}": value for key, value in rest.items()}
        )
        return executor.map_array(Task(), [run.to_plain() for run in runs])
    except (RuntimeError, ValueError, TypeError, submitit.core.utils.FailedJobError) as error:
        raise UserError(
            f"hydra/launcher=submitit_{where}: {(str(error).splitlines() or ['refused'])[0]}"
        ) from error


def look(
    number: int, job: Any, outcomes: dict[int, Outcome], running: set[int], display: Lines
) -> None:
    """Tells of a job that has begun or ended."""
    if job.done():
        outcomes[number] = outcome_of(job)
        display.ended(number, outcomes[number])
    elif number not in running and job.state == "RUNNING":
        running.add(number)
        display.started(number, f"job {job.job_id}")


def outcome_of(job: Any) -> Outcome:
    """A job that ended without one (killed, out of time or memory) is a failed run."""
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


def cancel(job: Any, where: str) -> None:
    """Asks a job to save and stop."""
    if where == "local":  # its own way, SIGINT, kills a second later
        with suppress(ProcessLookupError):
            os.kill(int(job.job_id), signal.SIGTERM)
    else:
        job.cancel(check=False)
