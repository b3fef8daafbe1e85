"""How fast changes reach the vendor: batchops beside what a person would do instead.

Run `python -m bench.push` from the root of the project; prints Markdown tables. Every contender is
a process of its own and meets a sandbox of its own, in which all batches may be paused. Wall time
counts from the first look at the change to its end: comparing with the vendor (preflight), updates,
mirror and trail, but neither the start of Python nor reading back, which has a column of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any
from urllib.parse import quote

from bench.sandbox import ROOT
from tools import postgres

KEY = "bench-key"
LOOP_SAMPLE = 200
"""The loop is measured over so many updates, and its wall time scaled up."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row's conditions. Latency in seconds."""

    batches: int
    latency: float
    in_flight: int
    contender: str
    database: str = ""
    workers: int = 1

    @property
    def least_seconds(self) -> float:
        """The limit that latency and requests in flight set."""
        at_once = 1 if self.contender == "SDK loop" else self.in_flight * self.workers
        return self.batches * self.latency / at_once


@dataclass(frozen=True, slots=True)
class Result:
    """What a contender took: seconds, and mebibytes at most of one process."""

    wall: float
    cpu: float
    peak: float
    read_back: float | None = None


# What a person would do instead ---------------------------------------------------------------


def sdk_loop(url: str, ids: Sequence[str], _in_flight: int) -> None:
    from syllable_sdk import SyllableSDK, models

    update = models.CommunicationBatchUpdate(paused=True)
    with SyllableSDK(server_url=url, api_key_header=KEY) as sdk:
        for batch_id in ids:
            sdk.outbound.batches.update(batch_id=batch_id, communication_batch_update=update)


def sdk_async(url: str, ids: Sequence[str], in_flight: int) -> None:
    from syllable_sdk import SyllableSDK, models

    update = models.CommunicationBatchUpdate(paused=True)

    async def run() -> None:
        waiting = iter(ids)
        async with SyllableSDK(server_url=url, api_key_header=KEY) as sdk:

            async def update_in_turn() -> None:
                for batch_id in waiting:
                    await sdk.outbound.batches.update_async(
                        batch_id=batch_id, communication_batch_update=update
                    )

            await asyncio.gather(*(update_in_turn() for _ in range(in_flight)))

    asyncio.run(run())


def requests_pool(url: str, ids: Sequence[str], in_flight: int) -> None:
    import requests

    with requests.Session() as session, ThreadPoolExecutor(in_flight) as pool:
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=in_flight))
        session.headers["Syllable-API-Key"] = KEY

        def update(batch_id: str) -> None:
            address = f"{url}/api/v1/outbound/batches/{quote(batch_id, safe='')}"
            session.put(address, json={"paused": True}, timeout=30).raise_for_status()

        list(pool.map(update, ids))


BASELINES: dict[str, Callable[[str, Sequence[str], int], None]] = {
    "SDK loop": sdk_loop,
    "SDK async": sdk_async,
    "requests pool": requests_pool,
}
BATCHOPS = "batchops"


# The processes --------------------------------------------------------------------------------


def serve(batches: int, latency: float) -> None:
    """A sandbox in which all batches may be paused, until standard input ends."""
    from batchops.sandbox.embedded import EmbeddedSandbox, make_batch
    from batchops.sandbox.records import make_campaign
    from batchops.sandbox.world import World

    world = World([make_campaign()], [make_batch(batch_id=name) for name in batch_ids(batches)])
    with EmbeddedSandbox(world, {"latency": latency}, KEY) as sandbox:
        print(sandbox.url, flush=True)
        sys.stdin.read()


def prepare() -> None:
    """Migrate, sync, and confirm a change over all batches."""
    django_ready()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from batchops import audit
    from batchops.models import Batch, Change, SyncRun
    from batchops.services.changes import drafts, lifecycle
    from batchops.services.mirror import sync
    from batchops.syllable.patch import BatchPatch

    call_command("migrate", verbosity=0)
    user = User.objects.create_superuser("bench")
    actor = audit.Actor.of_user(user)
    sync.run_sync(SyncRun.Kind.FULL)
    change = drafts.draft(
        Batch.objects.all(),
        BatchPatch(paused=True),
        user=user,
        actor=actor,
        source=Change.Source.COMMAND,
    )
    lifecycle.confirm(change, user=user, actor=actor, reason="bench", typed_count=change.item_count)


def work() -> None:
    """Wait for the word, then push until the change has ended, and read it back."""
    django_ready()
    from batchops.models import Change
    from batchops.services.push import driver
    from batchops.services.runs import read_back

    print("ready", flush=True)
    sys.stdin.readline()
    before = used()
    started = time.time()
    change = Change.objects.get()
    while change.is_open:
        driver.drive()
        change.refresh_from_db()
    ended = time.time()
    numbers = {"started": started, "ended": ended, "cpu": used() - before, "peak": peak()}
    if sys.stdin.readline():
        began = time.perf_counter()
        read_back.read_back(change)
        numbers["read_back"] = time.perf_counter() - began
        numbers["confirmed"] = change.items.filter(confirmation="confirmed").count()
    print(json.dumps(numbers), flush=True)


def baseline(name: str, url: str, batches: int, in_flight: int) -> None:
    """One of the other ways."""
    ids = batch_ids(batches)
    before, started = used(), time.time()
    BASELINES[name](url, ids, in_flight)
    numbers = {"started": started, "ended": time.time(), "cpu": used() - before, "peak": peak()}
    print(json.dumps(numbers), flush=True)


def django_ready() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()


def batch_ids(batches: int) -> list[str]:
    return [f"20261124.{number}" for number in range(batches)]


def used() -> float:
    """Seconds of CPU of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# The measuring --------------------------------------------------------------------------------


@contextlib.contextmanager
def process(
    role: str, *arguments: object, module: str = "bench.push", **environment: str
) -> Iterator[Any]:
    """One of the processes above, spoken to through its standard input and output."""
    with subprocess.Popen(
        [sys.executable, "-m", module, "--role", role, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.stdin.close()  # type: ignore[union-attr]


def measure(case: Case, postgres_url: str) -> Result:
    """Run one case in a new world."""
    sample = min(case.batches, LOOP_SAMPLE) if case.contender == "SDK loop" else case.batches
    with process("serve", sample, case.latency) as server:
        url = server.stdout.readline().strip()
        if case.contender != BATCHOPS:
            with process("baseline", case.contender, url, sample, case.in_flight) as contender:
                return as_result([json.loads(contender.stdout.readline())], case.batches / sample)
        with tempfile.TemporaryDirectory() as folder:
            return measure_batchops(case, url, folder, postgres_url)


def measure_batchops(case: Case, url: str, folder: str, postgres_url: str) -> Result:
    environment = {
        "ENV_FILE": os.devnull,
        "DATA_DIR": folder,
        "DEBUG": "off",
        "QUEUE_URL": "memory://",
        "SECRET_KEY": "bench",
        "LOG_LEVEL": "WARNING",
        "SYLLABLE_API_KEY": KEY,
        "SYLLABLE_BASE_URL": url,
        "SYLLABLE_MAX_IN_FLIGHT": str(case.in_flight),
        "DATABASE_URL": postgres_url if case.database == "PostgreSQL" else "",
    }
    with process("prepare", **environment) as preparing:
        if preparing.wait() != 0:
            raise SystemExit("The database could not be prepared.")
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(process("work", **environment)) for _ in range(case.workers)]
        for worker in workers:
            worker.stdout.readline()
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        # Only one of them reads back.
        workers[0].stdin.write("read back\n")
        for worker in workers:
            worker.stdin.close()
        return as_result([json.loads(worker.stdout.readline()) for worker in workers])


def as_result(numbers: Sequence[dict[str, float]], factor: float = 1.0) -> Result:
    return Result(
        wall=(max(n["ended"] for n in numbers) - min(n["started"] for n in numbers)) * factor,
        cpu=sum(n["cpu"] for n in numbers) * factor,
        peak=max(n["peak"] for n in numbers),
        read_back=numbers[0].get("read_back"),
    )


def row(case: Case, results: Sequence[Result]) -> str:
    """The run with the middle wall time, as a line of the table."""
    result = sorted(results, key=lambda r: r.wall)[len(results) // 2]
    spread = f"{min(r.wall for r in results):.2f}..{max(r.wall for r in results):.2f}"
    limit = case.least_seconds
    read_back = "" if result.read_back is None else f"{result.read_back / result.wall:.1%}"
    cells = (
        f"{case.batches:,}",
        f"{case.latency * 1000:.0f}",
        str(case.in_flight),
        case.contender,
        case.database,
        str(case.workers),
        f"{result.wall:.2f}",
        spread if len(results) > 1 else "",
        f"{case.batches / result.wall:,.0f}",
        f"{result.wall / limit:.2f}" if limit else "",
        f"{result.cpu / case.batches * 1000:.2f}",
        f"{result.peak:.0f}",
        read_back,
    )
    return f"| {' | '.join(cells)} |"


HEAD = """\
| batches | latency ms | in flight | contender | database | workers | wall s | range s | PUT/s \
| ÷ limit | CPU ms per PUT | peak MiB | read-back |
|---:|---:|---:|---|---|---:|---:|---|---:|---:|---:|---:|---:|"""


def cases(options: argparse.Namespace) -> Iterator[Case]:
    for batches, latency, in_flight in product(options.batches, options.latency, options.in_flight):
        conditions = batches, latency / 1000, in_flight
        for name in BASELINES:
            if name in options.contenders:
                yield Case(*conditions, name)
        if BATCHOPS in options.contenders:
            for database, workers in product(options.databases, options.workers):
                yield Case(*conditions, BATCHOPS, database, workers)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--batches", type=int, nargs="+", default=[1_000, 10_000])
    add("--latency", type=float, nargs="+", default=[0, 50, 200], help="Milliseconds.")
    add("--in-flight", type=int, nargs="+", default=[16, 64])
    add("--workers", type=int, nargs="+", default=[1, 2])
    databases = ["SQLite", "PostgreSQL"]
    add("--databases", nargs="+", choices=databases, default=databases)
    contenders = [*BASELINES, BATCHOPS]
    add("--contenders", nargs="+", choices=contenders, default=contenders)
    add("--repeat", type=int, default=3, help="The run with the middle wall time is shown.")
    return parser


@contextlib.contextmanager
def empty_databases(wanted: bool) -> Iterator[Callable[[], str]]:
    """A factory of URLs of new databases on a throw-away PostgreSQL server."""
    if not wanted:
        yield lambda: ""
        return
    import psycopg

    with postgres.server() as url, psycopg.connect(url, autocommit=True) as connection:
        numbers = iter(range(1_000_000))

        def new() -> str:
            name = f"bench_{next(numbers)}"
            connection.execute(f"CREATE DATABASE {name}")
            return f"{url.rpartition('/')[0]}/{name}"

        yield new


def main() -> None:
    """Print the table for all cases asked for."""
    options = arguments().parse_args()
    postgres.unwind_on_signals()
    needs_postgres = "PostgreSQL" in options.databases and BATCHOPS in options.contenders
    with empty_databases(needs_postgres) as new_database:
        print(HEAD, flush=True)
        for case in cases(options):
            results = [
                measure(case, new_database() if case.database == "PostgreSQL" else "")
                for _ in range(options.repeat)
            ]
            print(row(case, results), flush=True)


def play(role: str, values: Sequence[str]) -> None:
    match role, *values:
        case "serve", batches, latency:
            serve(int(batches), float(latency))
        case "prepare", *_:
            prepare()
        case "work", *_:
            work()
        case "baseline", name, url, batches, in_flight:
            baseline(name, url, int(batches), int(in_flight))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--role"]:
        play(sys.argv[2], sys.argv[3:])
    else:
        main()
