"""Programs that are started together end together, whenever the end comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from batchops.processes import QUICK_ENDS, ProcessGroup, ProgramEnded


@pytest.fixture(autouse=True)
def own_signal_handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


def test_a_signal_while_a_program_is_being_started_leaves_no_orphan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def interrupted(*command: Any, **options: Any) -> subprocess.Popen[bytes]:
        begun.append(start(*command, **options))
        os.kill(os.getpid(), signal.SIGTERM)
        return begun[0]

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    try:
        with pytest.raises(KeyboardInterrupt), ProcessGroup(os.environ) as group:
            group.start("sleeper", sleeping)
        assert begun[0].poll() is not None
    finally:
        begun[0].kill()
        begun[0].wait()


def test_a_program_that_ends_again_and_again_is_not_started_for_ever() -> None:
    said: list[str] = []
    failing = [sys.executable, "-c", "raise SystemExit(3)"]
    with (
        pytest.raises(ProgramEnded, match="The worker ended with exit code 3"),
        ProcessGroup(os.environ, said.append) as group,
    ):
        group.start("worker", failing, restarts=True)
        group.wait()
    assert said == ["The worker ended with exit code 3. It is started again."] * (QUICK_ENDS - 1)
