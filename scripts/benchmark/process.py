"""The benchmark's side of a contestant: a process that answers lines, and what it died of."""

import json
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from scripts.benchmark.plan import Deadline, NotMeasured, TimeUp

ROOT = Path(__file__).resolve().parents[2]


class Contestant:
    """A module of `contestants` as a process that answers every line with a line of JSON.

    A context manager: leaving it kills the process.
    """

    def __init__(self, command: list[str], deadline: Deadline) -> None:
        module, *words = command
        self.deadline = deadline
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed on leaving
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"scripts.benchmark.contestants.{module}", *words],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def __enter__(self) -> "Contestant":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            with suppress(BrokenPipeError):
                pipe.close()
        self.errors.close()

    def ask(self, line: str = "", *, at_least: float = 0) -> dict[str, Any]:
        """The answer, awaited until the deadline, but for `at_least` that many seconds.

        Raises NotMeasured if the process has ended, TimeUp if there is no answer in time.
        """
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin and stdout
        with suppress(BrokenPipeError):  # it has ended: `reason` says how
            print(line, file=stdin, flush=True)
        left = self.deadline.timeout()
        wait = None if left is None else max(left, at_least)
        readable, _, _ = select.select([stdout], [], [], wait)
        if not readable:
            raise TimeUp
        answer = stdout.readline()
        if not answer:
            raise NotMeasured(self.reason())
        try:
            return json.loads(answer)
        except ValueError:
            raise NotMeasured(f"it answered {answer.strip()!r}") from None

    def prepare(self, seconds: float) -> int:
        """Lets it compile and warm up. Returns how many steps make a turn of about `seconds`."""
        self.ask("1")
        return max(2, round(seconds / (self.ask("3")["seconds"] / 3)))

    def rate(self, steps: int) -> float:
        """Images/s over so many steps."""
        answer = self.ask(str(steps))
        return answer["images"] / answer["seconds"]

    def reason(self) -> str:
        """Why the process ended, in a line; all that it wrote to stderr is passed on."""
        code = self.process.wait()
        self.errors.seek(0)
        told = self.errors.read().decode(errors="replace")
        sys.stderr.write(told)
        if code < 0:
            hint = ", as Linux does when memory runs out" if code == -signal.SIGKILL else ""
            return f"killed by {signal.Signals(-code).name}{hint}"
        return f"exit code {code}: {last_error(told)}"


def output_of(
    module: str,
    words: Sequence[str],
    *,
    deadline: Deadline | None = None,
    environment: dict[str, str] | None = None,
) -> str:
    """What a module that runs to its end writes to stdout.

    Raises NotMeasured where it fails, TimeUp if it does not end before the deadline.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=deadline.timeout() if deadline else None,
        )
    except subprocess.TimeoutExpired:
        raise TimeUp from None
    if done.returncode:
        raise NotMeasured(f"exit code {done.returncode}: {last_error(done.stderr)}")
    return done.stdout


def last_error(text: str) -> str:
    """The line of a program's stderr that names its last exception, or else the last line."""
    named = re.findall(r"^[\w.]*(?:Error|Exception): .*$", text, re.MULTILINE)
    return (named or text.strip().splitlines() or ["no message"])[-1].strip()
