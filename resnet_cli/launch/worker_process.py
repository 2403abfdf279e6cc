"""The parent's side of a worker process: hand it runs, hear how they ended."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from resnet_cli.launch.jobs import Outcome
from resnet_cli.run.run import Run
from resnet_cli.runtime.errors import FAILED


@dataclass(frozen=True, eq=False)
class Slot:
    """A place for one worker process."""

    name: str
    environment: dict[str, str]
    runs: int = 1  # at a time


class Worker:
    """A worker process and the runs it has in flight.

    Its stdin is its lifeline: closed, or the holder killed, it saves and ends.
    """

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.in_flight: set[int] = set()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "resnet_cli.launch.local_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | slot.environment,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which decides what it means
        )
        assert self.process.stdin and self.process.stdout and self.process.stderr
        self.stdin, self.stdout, self.stderr = (
            self.process.stdin,
            self.process.stdout,
            self.process.stderr,
        )
        # lines that are not whole yet
        self.pieces: dict[IO[bytes], bytes] = {self.stdout: b"", self.stderr: b""}
        for stream in self.pieces:
            os.set_blocking(stream.fileno(), False)

    def give(self, number: int, run: Run) -> None:
        self.in_flight.add(number)
        with suppress(BrokenPipeError):  # it has just died, as `lost` will tell
            self.stdin.write(json.dumps({"number": number, "run": run.to_plain()}).encode() + b"\n")
            self.stdin.flush()

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """What it has told since the last look."""
        for line in self.lines(self.stdout):
            told = json.loads(line)
            number = told.pop("number")
            self.in_flight.discard(number)
            yield number, Outcome(**told)

    def remarks(self) -> list[str]:
        """What it has said on stderr since."""
        return self.lines(self.stderr)

    def lines(self, stream: IO[bytes]) -> list[str]:
        with suppress(BlockingIOError):
            while part := os.read(stream.fileno(), 65536):
                self.pieces[stream] += part
        *whole, self.pieces[stream] = self.pieces[stream].split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def lost(self) -> Outcome:
        """What to say of the runs that a process which has ended took with it."""
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
        """Nothing more comes; what is in flight saves."""
        with suppress(BrokenPipeError):
            self.stdin.close()

    def kill(self) -> None:
        """Ends it at once, if it has not ended by itself."""
        self.process.kill()
        self.process.wait()
        self.stop()
        self.stdout.close()
        self.stderr.close()
