"""Several programs that are started, watched and ended together."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

POLL_SECONDS: Final = 0.1
STOP_SECONDS: Final = 45
"""Longer than the worker and the web server take to end what they are at."""
LEAST_STOP_SECONDS: Final = 5


class ProgramEnded(Exception):
    """One of the programs ended by itself."""


class Crew:
    """A context manager: the programs started in it have ended when it is left.

    Inside, SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt. Each program gets a session of
    its own, so that Ctrl-C reaches this process alone, which then ends them in order.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**environment, "PYTHONUNBUFFERED": "1"}
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._is_starting = self._was_interrupted = False

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            self._stop()
        self._kill()

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a program; the first word of its command is looked up on PATH."""
        self._is_starting = True
        try:
            self._programs[name] = subprocess.Popen(  # noqa: S603
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
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
        # A program that runs but is not noted down yet would be left behind.
        self._was_interrupted = True
        if not self._is_starting:
            raise KeyboardInterrupt

    def _watch(self) -> None:
        for name, program in self._programs.items():
            code = program.poll()
            if code is not None:
                raise ProgramEnded(f"The {name} ended with exit code {code}.")

    def _stop(self) -> None:
        """End the programs one after the other, those that need others first."""
        deadline = time.monotonic() + STOP_SECONDS
        for program in reversed(self._programs.values()):
            program.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(max(LEAST_STOP_SECONDS, deadline - time.monotonic()))

    def _kill(self) -> None:
        for program in self._programs.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()


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


def answers(host: str, port: int) -> bool:
    """Whether a server listens there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
