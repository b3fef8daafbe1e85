"""Several programs that are started, watched and ended together."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

POLL_SECONDS: Final = 0.1
STOP_SECONDS: Final = 45
"""Longer than the worker and the web server take to finish what they are doing."""
LEAST_STOP_SECONDS: Final = 5
QUICK_END_SECONDS: Final = 10.0
"""A program that ended sooner after its start will hardly do better the next time."""
QUICK_ENDS: Final = 3
"""After so many quick ends in a row it is not started again."""
PR_SET_PDEATHSIG: Final = 1
"""From <linux/prctl.h>."""


class ProgramEnded(Exception):
    """One of the programs ended by itself."""


@dataclass(slots=True)
class Program:
    """A program that was started; `restarts` when it ends by itself."""

    name: str
    command: Sequence[str]
    restarts: bool
    process: subprocess.Popen[bytes]
    started_at: float
    quick_ends: int = 0


class ProcessGroup:
    """A context manager: the programs started in it have ended when it is left.

    Inside, SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt. Each program gets a session of
    its own, so that Ctrl-C reaches this process alone, which then ends them in order. Where this
    process is killed, Linux asks them to end. `report` receives what a person should know.
    """

    def __init__(
        self, environment: Mapping[str, str], report: Callable[[str], object] = lambda _: None
    ) -> None:
        self._environment = {**environment, "PYTHONUNBUFFERED": "1"}
        self._report = report
        self._programs: list[Program] = []
        self._is_starting = self._was_interrupted = False

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            self._stop()
        self._kill()

    def start(self, name: str, command: Sequence[str], *, restarts: bool = False) -> None:
        """Start a program; the first word of its command is looked up on PATH.

        With `restarts` it is started again when it ends by itself, unless it does so at once.
        """
        with self._recording():
            process = self._launch(command)
            self._programs.append(Program(name, command, restarts, process, time.monotonic()))

    def _launch(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_end_with(os.getpid()),
        )

    @contextlib.contextmanager
    def _recording(self) -> Iterator[None]:
        """A program that runs but is not recorded yet would be left behind by an interruption."""
        self._is_starting = True
        try:
            yield
        finally:
            self._is_starting = False
        if self._was_interrupted:
            raise KeyboardInterrupt

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition; False when time ran out. Raises ProgramEnded."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self._watch()
            time.sleep(POLL_SECONDS)
        return True

    def wait(self) -> None:
        """Wait for the first program to end; raises ProgramEnded."""
        while True:
            self._watch()
            time.sleep(POLL_SECONDS)

    def _interrupt(self, *_: object) -> None:
        self._was_interrupted = True
        if not self._is_starting:
            raise KeyboardInterrupt

    def _watch(self) -> None:
        for program in self._programs:
            code = program.process.poll()
            if code is None:
                continue
            message = f"The {program.name} ended with exit code {code}."
            was_quick = time.monotonic() - program.started_at < QUICK_END_SECONDS
            program.quick_ends = program.quick_ends + 1 if was_quick else 0
            if not program.restarts or program.quick_ends >= QUICK_ENDS:
                raise ProgramEnded(message)
            self._report(f"{message} It is started again.")
            with self._recording():
                program.process = self._launch(program.command)
                program.started_at = time.monotonic()

    def _stop(self) -> None:
        """End the programs one after the other, those that need others first."""
        deadline = time.monotonic() + STOP_SECONDS
        for program in reversed(self._programs):
            program.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.process.wait(max(LEAST_STOP_SECONDS, deadline - time.monotonic()))

    def _kill(self) -> None:
        for program in self._programs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.process.pid, signal.SIGKILL)
            program.process.wait()


def _end_with(parent: int) -> Callable[[], None] | None:
    """What a new program does first, so that it is asked to end when its parent is killed."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)

    def ask_for_signal() -> None:
        library.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            # It was killed in between.
            os._exit(1)

    return ask_for_signal


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there. Raises OSError where this user never could."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def accepts_connections(host: str, port: int) -> bool:
    """Whether a server listens there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
