"""The HTTP server: takes requests apart, asks the vendor's side, and answers or misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from aiohttp import web

from batchops.sandbox import control, misbehaviour
from batchops.sandbox.fault_chooser import FaultChooser
from batchops.sandbox.faults import Endpoint, FaultKind, Faults
from batchops.sandbox.journal import Entry, Journal
from batchops.sandbox.rules import Invalid
from batchops.sandbox.storage import StateFile, StateFileError
from batchops.sandbox.vendor import (
    DEFAULT_MAX_LIMIT,
    Answer,
    Reply,
    Vendor,
    invalid,
    problem,
)
from batchops.sandbox.world import World

logger = logging.getLogger(__name__)

BASE_PATH: Final = "/api/v1/outbound/"
KEY_HEADER: Final = "Syllable-API-Key"
WRITE_BEHIND_SECONDS: Final = 0.2
BACKLOG: Final = 1024
_ENDPOINTS: Final = {
    ("GET", "batches", False): Endpoint.BATCHES,
    ("GET", "batches", True): Endpoint.BATCH,
    ("PUT", "batches", True): Endpoint.UPDATE,
    ("GET", "campaigns", False): Endpoint.CAMPAIGNS,
    ("GET", "campaigns", True): Endpoint.CAMPAIGN,
}


def find_endpoint(method: str, raw_path: str) -> tuple[Endpoint | None, str]:
    """What a raw path means, and the id in it.

    An id is one percent-encoded segment: it is decoded only after the path is taken apart, so
    that it may hold any character.
    """
    if not raw_path.startswith(BASE_PATH):
        return None, ""
    collection, slash, segment = raw_path.removeprefix(BASE_PATH).partition("/")
    if "/" in segment or (slash and not segment):
        return None, ""
    return _ENDPOINTS.get((method, collection, bool(segment))), unquote(segment)


class Sandbox:
    """One running fake of the vendor: its world, its faults and its journal."""

    def __init__(
        self,
        world: World,
        *,
        key: str,
        max_limit: int = DEFAULT_MAX_LIMIT,
        faults: Faults | None = None,
        seed: int | None = None,
        state_file: StateFile | None = None,
    ) -> None:
        self.world = world
        self.vendor = Vendor(world, key, max_limit=max_limit)
        self.chooser = FaultChooser(faults or Faults(), seed)
        self.journal = Journal()
        self.control = control.Control(world, self.chooser, self.journal)
        self.state_file = state_file

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request."""
        path, _, query = request.raw_path.partition("?")
        body = await request.read()
        if path.startswith(control.PREFIX):
            answer = self.control.answer(request.method, path, request.query, body)
            return await misbehaviour.deliver(request, answer, None, 0)
        endpoint, identifier = find_endpoint(request.method, path)
        batch_id = identifier if endpoint in (Endpoint.BATCH, Endpoint.UPDATE) else None
        entry = self.journal.open(request.method, path, query, batch_id, body)
        if endpoint is None:
            return await self._finish(request, entry, problem(404, "Not Found"), None)
        refused = await self._admit(request, endpoint, entry)
        if refused is not None:
            return await self._finish(request, entry, refused, None)
        fault = self.chooser.choose(endpoint, request.method, batch_id)
        entry.fault = fault
        return await self._answer(request, entry, endpoint, identifier, body, fault)

    async def _admit(
        self, request: web.BaseRequest, endpoint: Endpoint, entry: Entry
    ) -> Answer | None:
        """Hold the request up as the faults say; the refusal if it goes no further."""
        if self.chooser.in_scope(endpoint, request.method, entry.batch_id):
            if self.chooser.over_the_limit():
                return misbehaviour.too_many_requests(self.chooser)
            delay = self.chooser.delay()
            if delay:
                await asyncio.sleep(delay)
        if request.headers.get(KEY_HEADER) != self.vendor.key:
            return problem(401, "Invalid or missing API key")
        return None

    async def _answer(
        self,
        request: web.BaseRequest,
        entry: Entry,
        endpoint: Endpoint,
        identifier: str,
        body: bytes,
        fault: FaultKind | None,
    ) -> web.StreamResponse:
        if fault in misbehaviour.BROKEN_BEFORE:
            return await self._break(request, entry, fault)
        answer = misbehaviour.refusal(fault, self.chooser, entry.path)
        if answer is None:
            answer = self._vendor_answer(request, endpoint, identifier, body, fault)
        entry.applied = answer.applied
        if fault in misbehaviour.BROKEN_AFTER:
            return await self._break(request, entry, fault)
        return await self._finish(request, entry, answer, fault)

    def _vendor_answer(
        self,
        request: web.BaseRequest,
        endpoint: Endpoint,
        identifier: str,
        body: bytes,
        fault: FaultKind | None,
    ) -> Answer:
        try:
            reply = self._ask_vendor(request, endpoint, identifier, body, fault)
        except Invalid as error:
            return invalid(error)
        return misbehaviour.encode(reply, fault) if isinstance(reply, Reply) else reply

    def _ask_vendor(
        self,
        request: web.BaseRequest,
        endpoint: Endpoint,
        identifier: str,
        body: bytes,
        fault: FaultKind | None,
    ) -> Answer | Reply:
        faults, moment = self.chooser.faults, self.chooser.moment_shown(endpoint)
        match endpoint:
            case Endpoint.BATCHES:
                return self.vendor.list_batches(request.query, faults, fault, moment)
            case Endpoint.BATCH:
                return self.vendor.get_batch(identifier, faults, moment)
            case Endpoint.UPDATE:
                return self.vendor.update_batch(identifier, body, faults, fault)
            case Endpoint.CAMPAIGNS:
                return self.vendor.list_campaigns(request.query, faults, fault)
            case Endpoint.CAMPAIGN:
                return self.vendor.get_campaign(identifier, faults)

    async def _break(
        self, request: web.BaseRequest, entry: Entry, fault: FaultKind
    ) -> web.StreamResponse:
        entry.status = "reset"
        return await misbehaviour.break_connection(request, fault, self.chooser)

    async def _finish(
        self, request: web.BaseRequest, entry: Entry, answer: Answer, fault: FaultKind | None
    ) -> web.StreamResponse:
        entry.status = answer.status
        size = self.chooser.faults.oversized_bytes
        return await misbehaviour.deliver(request, answer, fault, size)

    def has_unsaved_changes(self) -> bool:
        """Whether the state file lags behind."""
        return self.state_file is not None and bool(self.world.changes)

    async def save_changes(self) -> None:
        """Write what changed to the state file, if there is one. Raises `StateFileError`.

        What could not be written is kept for the next try.
        """
        if self.state_file is None:
            return
        changes = self.world.take_changes()
        try:
            await asyncio.to_thread(self.state_file.save, changes)
        except StateFileError:
            self.world.changes = changes | self.world.changes
            raise


def loopback_address(host: str) -> str:
    """The host, when it is on this machine alone. Raises ValueError otherwise."""
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return host
    raise ValueError(
        f"{host!r} is not a loopback address: the sandbox asks for no real key, so it serves "
        "this machine only (127.0.0.1, ::1 or localhost)."
    )


async def serve(
    sandbox: Sandbox, host: str, port: int, stop: asyncio.Event, ready: Callable[[str], None]
) -> None:
    """Serve until `stop` is set; calls `ready` with the address once connections are taken.

    Port 0 picks a free one. Raises ValueError for a host beyond loopback, OSError when the
    port cannot be had.
    """
    loopback_address(host)
    runner = web.ServerRunner(web.Server(sandbox.handle, access_log=None), shutdown_timeout=0.05)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        address = runner.addresses[0]
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        ready(f"http://{shown}:{address[1]}")
        await _write_behind(sandbox, stop)
    finally:
        await runner.cleanup()
        await sandbox.save_changes()


async def _write_behind(sandbox: Sandbox, stop: asyncio.Event) -> None:
    """Keep the state file close behind until told to stop."""
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), WRITE_BEHIND_SECONDS)
        if not sandbox.has_unsaved_changes():
            continue
        try:
            await sandbox.save_changes()
        except StateFileError as error:
            logger.error("The sandbox's state was not saved: %s", error)


def run(sandbox: Sandbox, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve in this process until SIGINT or SIGTERM; raises as `serve` does."""
    asyncio.run(_run(sandbox, host, port, ready))


async def _run(sandbox: Sandbox, host: str, port: int, ready: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await serve(sandbox, host, port, stop, ready)
