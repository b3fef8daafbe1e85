"""The sandbox inside a test or a script: a real server in a thread of this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from batchops.sandbox.faults import Faults
from batchops.sandbox.records import Campaign, Wire, make_batch, make_campaign
from batchops.sandbox.server import Sandbox, serve
from batchops.sandbox.vendor import DEFAULT_MAX_LIMIT
from batchops.sandbox.world import World, empty_world

__all__ = ["EmbeddedSandbox", "empty_world", "make_batch", "make_campaign"]

START_SECONDS: Final = 10.0
Result = TypeVar("Result")


class EmbeddedSandbox:
    """A context manager: the server runs from entry to exit on an ephemeral loopback port.

    Without a world it has one campaign (id 1) and no batch. All methods may be called from
    any thread; they raise KeyError for an unknown batch.
    """

    def __init__(
        self,
        world: World | None = None,
        faults: Faults | Mapping[str, Any] | None = None,
        key: str = "sandbox-key",
        *,
        max_limit: int = DEFAULT_MAX_LIMIT,
        seed: int | None = None,
    ) -> None:
        if not isinstance(faults, Faults):
            faults = Faults.of(**(faults or {}))
        self.key = key
        self.url = ""
        self._sandbox = Sandbox(
            world if world is not None else World([make_campaign()]),
            key=key,
            max_limit=max_limit,
            faults=faults,
            seed=seed,
        )
        self._started: Future[str] = Future()
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = self._started.result(START_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await serve(self._sandbox, "127.0.0.1", 0, self._stop, self._started.set_result)

    def _call(self, function: Callable[[], Result]) -> Result:
        """Run a function between two requests, where the state is at rest."""
        result: Future[Result] = Future()

        def run() -> None:
            try:
                result.set_result(function())
            except Exception as error:  # noqa: BLE001 - handed to the caller's thread
                result.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return result.result(START_SECONDS)

    def set_faults(self, **values: Any) -> None:
        """Change the named faults and leave the others. Raises `InvalidFaults`."""
        chooser = self._sandbox.chooser
        self._call(lambda: chooser.set(chooser.faults.updated(values)))

    def clear_faults(self) -> None:
        """End all faults."""
        self._call(lambda: self._sandbox.chooser.set(Faults()))

    def journal(self, method: str | None = None) -> list[Wire]:
        """What was received, oldest first (see `journal.Entry`)."""
        return self._call(lambda: self._sandbox.journal.entries(method=method))

    def reset_journal(self) -> None:
        """Forget what was received."""
        self._call(self._sandbox.journal.clear)

    def batch(self, batch_id: str) -> Wire:
        """A batch as it truly is now."""
        control = self._sandbox.control
        return self._call(lambda: control.raw(self._sandbox.world.batches[batch_id]))

    def batch_ids(self) -> list[str]:
        """All ids, in the order of creation."""
        return self._call(lambda: [one.batch_id for one in self._sandbox.world.batches.values()])

    def add_batch(self, **fields: Any) -> Wire:
        """Add a batch made by `make_batch`; an id that another campaign has comes twice then."""
        control = self._sandbox.control
        return self._call(lambda: control.raw(control.add_batch(**fields)))

    def edit_batch(self, batch_id: str, /, **fields: Any) -> Wire:
        """Change a batch as another user in the vendor's console would."""
        control = self._sandbox.control
        return self._call(lambda: control.raw(control.edit_batch(batch_id, **fields)))

    def delete_batch(self, batch_id: str, reason: str = "User request") -> Wire:
        """Delete a batch softly: it stays, CANCELED, with `deleted_at` and `deleted_reason`."""
        control = self._sandbox.control
        return self._call(lambda: control.raw(control.delete_batch(batch_id, reason)))

    def vanish(self, batch_id: str) -> None:
        """Make a batch as if it never was."""
        self._call(lambda: self._sandbox.world.vanish(batch_id))

    def add_campaign(self, **fields: Any) -> Campaign:
        """Add a campaign made by `make_campaign`."""
        campaign = make_campaign(**fields)
        self._call(lambda: self._sandbox.world.add_campaign(campaign))
        return campaign
