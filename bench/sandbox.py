"""How fast the sandbox answers: requests per second of one server process, with keep-alive.

Run `python bench/sandbox.py` from the root of the project; prints a Markdown table. The client
is this process, so the figures are those of a machine that does both.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import aiohttp
from yarl import URL

ROOT = Path(__file__).resolve().parent.parent
KEY = "bench-key"
BATCHES_PATH = "/api/v1/outbound/batches"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """A running sandbox process."""

    url: str
    process_id: int

    def cpu_seconds(self) -> float:
        """User and system time used so far."""
        fields = Path(f"/proc/{self.process_id}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def peak_megabytes(self) -> float:
        """Largest resident memory so far."""
        status = Path(f"/proc/{self.process_id}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of request, so many times, so many at once."""

    name: str
    method: str
    targets: list[str]
    in_flight: int


@contextlib.contextmanager
def running_sandbox(batches: int, state: Path) -> Iterator[Server]:
    """A sandbox of its own process with a state file, until the block ends."""
    command = [sys.executable, "manage.py", "sandbox", "--port", "0", "--key", KEY, "--quiet"]
    sizes = ["--batches", str(batches), "--state", str(state)]
    process = subprocess.Popen(command + sizes, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise SystemExit("The sandbox did not start.")
        yield Server(line.split()[-1], process.pid)
    finally:
        process.terminate()
        process.wait()


async def all_ids(url: str) -> list[str]:
    """Every id, as the control endpoint lists them."""
    async with aiohttp.ClientSession() as session, session.get(url + "/_sandbox/batches") as reply:
        return [batch["batch_id"] for batch in await reply.json()]


async def measure(url: str, load: Load) -> list[float]:
    """Send all requests of a load; the seconds that each took."""
    waiting = iter(load.targets)
    durations: list[float] = []

    async def send_in_turn(session: aiohttp.ClientSession) -> None:
        for target in waiting:
            body = {"paused": len(durations) % 2 == 0} if load.method == "PUT" else None
            started = time.perf_counter()
            address = URL(url + target, encoded=True)
            async with session.request(load.method, address, json=body) as reply:
                await reply.read()
            durations.append(time.perf_counter() - started)
            reply.raise_for_status()

    connector = aiohttp.TCPConnector(limit=load.in_flight)
    headers = {"Syllable-API-Key": KEY}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        await asyncio.gather(*(send_in_turn(session) for _ in range(load.in_flight)))
    return durations


def loads(ids: list[str], requests: int) -> Iterator[Load]:
    """The requests that batchops makes: single reads, updates, and whole lists."""
    singles = [f"{BATCHES_PATH}/{quote(ids[n % len(ids)], safe='')}" for n in range(requests)]
    for in_flight in (16, 64):
        yield Load("GET one batch", "GET", singles, in_flight)
        yield Load("PUT one batch", "PUT", singles, in_flight)
    for order in ("batch_id", "last_updated_at"):
        pages = range(-(-len(ids) // 500))
        query = f"limit=500&order_by={order}&page="
        targets = [f"{BATCHES_PATH}?{query}{page}" for page in pages]
        yield Load(f"list pages of 500 by {order}", "GET", targets * max(1, 50 // len(pages)), 4)


def row(server: Server, batches: int, load: Load) -> str:
    """Run one load and put its figures in a line of the table."""
    cpu, started = server.cpu_seconds(), time.perf_counter()
    durations = asyncio.run(measure(server.url, load))
    elapsed = time.perf_counter() - started
    cpu_share = (server.cpu_seconds() - cpu) / len(durations) * 1000
    hundredths = statistics.quantiles(durations, n=100)
    cells = (
        f"{batches:,}",
        load.name,
        str(load.in_flight),
        f"{len(durations):,}",
        f"{len(durations) / elapsed:,.0f}",
        f"{hundredths[49] * 1000:.1f}",
        f"{hundredths[98] * 1000:.1f}",
        f"{cpu_share:.2f}",
        f"{server.peak_megabytes():.0f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the table for a small and a large world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="Single requests per row.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[600, 100_000])
    options = parser.parse_args()
    print("| batches | requests | in flight | sent | per s | p50 ms | p99 ms | CPU ms | peak MB |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|---:|")
    for batches in options.sizes:
        with (
            tempfile.TemporaryDirectory() as folder,
            running_sandbox(batches, Path(folder) / "world.state") as server,
        ):
            ids = asyncio.run(all_ids(server.url))
            for load in loads(ids, options.requests):
                print(row(server, batches, load), flush=True)


if __name__ == "__main__":
    main()
