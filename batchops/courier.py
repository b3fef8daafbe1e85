"""Errands to a system that may be down or hang, for those who must not wait for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

Result = TypeVar("Result")

LONGEST_LINE: Final = 8
"""Errands that may wait behind one that hangs; more are refused at once."""


class Courier:
    """Does errands one after the other in a thread of its own, and nobody waits longer than asked.

    Such a thread keeps its connection, and there is never more than one that hangs.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._line: queue.Queue[tuple[Future[Any], Callable[[], Any]]] = queue.Queue(LONGEST_LINE)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def send(self, errand: Callable[[], Result], seconds: float) -> Result:
        """What the errand returns. Raises what it raises, and TimeoutError when it takes longer.

        It may still be done after that, if it was begun.
        """
        future: Future[Result] = Future()
        try:
            self._line.put_nowait((future, errand))
        except queue.Full:
            raise TimeoutError(f"The {self._name} does not answer.") from None
        self._keep_thread()
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise TimeoutError(f"The {self._name} does not answer.") from None

    def _keep_thread(self) -> None:
        # Also after a fork, which leaves all threads behind.
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            future, errand = self._line.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(errand())
            except Exception as error:  # noqa: BLE001  raised where it is waited for
                future.set_exception(error)
