"""The parent's side of a worker process: hand it runs, read how they ended."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from resnet_cli.launch.outcome import Outcome
from resnet_cli.launch.python import module_words
from resnet_cli.run.run import Run
from resnet_cli.runtime.errors import FAILED


@dataclass(frozen=True, eq=False, kw_only=True)
class Slot:
    """A GPU, or a share of the CPU, for one worker process."""

    name: str
    environment: dict[str, str]
    runs: int = 1  # at a time


class WorkerHandle:
    """A worker process (local_worker.py) and the runs it has in flight.

    When its stdin is closed, by us or because we were killed, it saves and ends.
    """

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.in_flight: set[int] = set()
        self.process = subprocess.Popen(
            [sys.executable, *module_words("resnet_cli.launch.local_worker")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | slot.environment,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which decides what it means
        )
        process = self.process
        assert process.stdin and process.stdout and process.stderr
        self.stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        # lines that are not whole yet
        self._pieces: dict[IO[bytes], bytes] = {self._stdout: b"", self._stderr: b""}
        for stream in self._pieces:
            os.set_blocking(stream.fileno(), False)

    def give(self, number: int, run: Run) -> None:
        """Hands it one more run."""
        self.in_flight.add(number)
        with suppress(BrokenPipeError):  # it has just died, as `lost` will say
            self.stdin.write(json.dumps({"number": number, "run": run.to_plain()}).encode() + b"\n")
            self.stdin.flush()

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """The runs that have ended since the last call, with their numbers."""
        for line in self._lines(self._stdout):
            outcome = json.loads(line)
            number = outcome.pop("number")
            self.in_flight.discard(number)
            yield number, Outcome(**outcome)

    def warnings(self) -> list[str]:
        """The lines it has written to stderr since the last call."""
        return self._lines(self._stderr)

    def _lines(self, stream: IO[bytes]) -> list[str]:
        with suppress(BlockingIOError):
            while part := os.read(stream.fileno(), 65536):
                self._pieces[stream] += part
        *whole, self._pieces[stream] = self._pieces[stream].split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def lost(self) -> Outcome:
        """The outcome of a run in flight when the process ended."""
        code = self.process.returncode
        how = (
            f"was killed by {signal.Signals(-code).name}"
            if code < 0
            else f"ended with exit code {code}"
        )
        return Outcome(
            f"its process, {self.process.pid}, {how}; the same command continues", FAILED
        )

    def stop(self) -> None:
        """Closes its stdin: it saves what is in flight, and ends, even if it was suspended."""
        with suppress(BrokenPipeError):
            self.stdin.close()
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it at once, if it has not ended by itself, and closes its pipes."""
        self.process.kill()
        self.process.wait()
        self.stop()
        self._stdout.close()
        self._stderr.close()
