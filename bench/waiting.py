"""How soon a pause takes effect while everything else runs: the promise of the worst minute.

Run `python -m bench.waiting` from the root of the project; prints a Markdown table. A worker is at
work on a change of many batches; again and again a person confirms a pause of one batch, and the
sandbox tells when its update arrived. Seconds count from the confirmation to that arrival.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from bench.push import KEY, django_ready, empty_databases, process
from bench.sandbox import ROOT
from tools import postgres

SINGLES: Final = "single-"
EMERGENCY_BATCHES: Final = 20
LONGEST_SECONDS: Final = 60.0
HEAD: Final = """\
| situation | database | pause | times | median s | slowest s |
|---|---|---|---:|---:|---:|"""


@dataclass(frozen=True, slots=True)
class Situation:
    """What else goes on. `latency` in seconds; `faults` begin once the bulk runs."""

    name: str
    latency: float = 0.2
    faults: dict[str, Any] = field(default_factory=dict)


SITUATIONS: Final = (
    Situation("bulk at 200 ms"),
    Situation("bulk under a rate limit of 20 a second", 0.05, {"rate_limit": 20}),
    Situation(
        "bulk, half of whose requests hang",
        0.2,
        {"stall_before": {"share": 0.5, "methods": ["PUT"]}, "stall_seconds": 20},
    ),
)


def serve(batches: int, singles: int, latency: float) -> None:
    """A sandbox with batches for the bulk and for the pauses, until standard input ends."""
    from batchops.sandbox.embedded import EmbeddedSandbox, make_batch
    from batchops.sandbox.records import make_campaign
    from batchops.sandbox.world import World

    names = [f"bulk-{number}" for number in range(batches)]
    names += [f"{SINGLES}{number}" for number in range(singles)]
    world = World([make_campaign()], [make_batch(batch_id=name) for name in names])
    with EmbeddedSandbox(world, {"latency": latency}, KEY) as sandbox:
        print(sandbox.url, flush=True)
        sys.stdin.read()


def ask(url: str, faults: str, times: int, priority: int) -> None:
    """Confirm the bulk, wait until a worker is at it, then pause one batch after another."""
    django_ready()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from batchops.models import Batch, SyncRun
    from batchops.services.mirror import sync

    call_command("migrate", verbosity=0)
    bulk_user, user = (User.objects.create_superuser(name) for name in ("bulk", "bench"))
    sync.run_sync(SyncRun.Kind.FULL)
    with worker():
        confirmed(bulk_user, Batch.objects.filter(pk__startswith="bulk-"), 0, call_rate=60)
        while len(updates(url)) < 50:
            time.sleep(0.1)
        control(url, "faults", "PUT", json.loads(faults))
        seconds = []
        for number in range(times):
            time.sleep(0.5)
            names = {f"{SINGLES}{number}"}
            if priority:
                first = number * EMERGENCY_BATCHES
                names = {f"bulk-{first + index}" for index in range(EMERGENCY_BATCHES)}
            confirmed(user, Batch.objects.filter(pk__in=names), priority, paused=True)
            seconds.append(arrival(url, names, dt.datetime.now(dt.UTC)))
    print(json.dumps(seconds), flush=True)


def confirmed(user: Any, batches: Any, priority: int, **patch: Any) -> None:
    from batchops import audit
    from batchops.models import Change
    from batchops.services.changes import drafts, lifecycle
    from batchops.syllable.patch import BatchPatch

    actor = audit.Actor.of_user(user)
    change = drafts.draft(
        batches,
        BatchPatch(**patch),
        user=user,
        actor=actor,
        source=Change.Source.COMMAND,
        priority=priority,
    )
    lifecycle.confirm(change, user=user, actor=actor, reason="bench", typed_count=change.item_count)


def arrival(url: str, names: set[str], since: dt.datetime) -> float:
    """Seconds until the first pause of any of these batches arrived."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        for entry in updates(url):
            if entry["batch_id"] in names and entry["body"] == {"paused": True}:
                return (dt.datetime.fromisoformat(entry["at"]) - since).total_seconds()
        time.sleep(0.05)
    return LONGEST_SECONDS


_seen: list[dict[str, Any]] = []


def updates(url: str) -> list[dict[str, Any]]:
    """All updates that the sandbox received so far."""
    after = _seen[-1]["sequence"] if _seen else 0
    _seen.extend(control(url, f"journal?method=PUT&after={after}", "GET"))
    return _seen


def control(url: str, what: str, method: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/_sandbox/{what}", data, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


@contextlib.contextmanager
def worker() -> Iterator[None]:
    """A worker process, as in production."""
    with subprocess.Popen([sys.executable, "manage.py", "worker"], cwd=ROOT) as running:
        try:
            yield
        finally:
            running.kill()


def measure(
    situation: Situation, options: argparse.Namespace, database_url: str, priority: int
) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        arguments = (options.batches, options.times, situation.latency)
        with process("serve", *arguments, module="bench.waiting") as server:
            url = server.stdout.readline().strip()
            environment = {
                "ENV_FILE": os.devnull,
                "DATA_DIR": folder,
                "DEBUG": "off",
                "SECRET_KEY": "bench",
                "LOG_LEVEL": "ERROR",
                "SYLLABLE_API_KEY": KEY,
                "SYLLABLE_BASE_URL": url,
                "DATABASE_URL": database_url,
            }
            faults = json.dumps(situation.faults)
            asked = (url, faults, options.times, priority)
            with process("ask", *asked, module="bench.waiting", **environment) as asking:
                seconds: list[float] = json.loads(asking.stdout.readline())
                return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=100_000, help="Of the bulk.")
    parser.add_argument("--times", type=int, default=40, help="Pauses in each situation.")
    databases = ["SQLite", "PostgreSQL"]
    parser.add_argument("--situations", nargs="+", type=int, default=[0, 1, 2], help="By number.")
    pauses = {"single": ("of one batch", 0), "emergency": ("emergency, of 20 of the bulk", 10)}
    parser.add_argument("--pauses", nargs="+", choices=list(pauses), default=list(pauses))
    parser.add_argument("--databases", nargs="+", choices=databases, default=databases)
    options = parser.parse_args()
    postgres.unwind_on_signals()
    print(HEAD, flush=True)
    with empty_databases("PostgreSQL" in options.databases) as new_database:
        for database in options.databases:
            for situation in (SITUATIONS[number] for number in options.situations):
                for kind, priority in (pauses[name] for name in options.pauses):
                    database_url = new_database() if database == "PostgreSQL" else ""
                    seconds = measure(situation, options, database_url, priority)
                    cells = (situation.name, database, kind, str(len(seconds)))
                    numbers = f"{statistics.median(seconds):.2f} | {max(seconds):.2f}"
                    print(f"| {' | '.join(cells)} | {numbers} |", flush=True)


def play(role: str, values: list[str]) -> None:
    match role, *values:
        case "serve", batches, singles, latency:
            serve(int(batches), int(singles), float(latency))
        case "ask", url, faults, times, priority:
            ask(url, faults, int(times), int(priority))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--role"]:
        play(sys.argv[2], sys.argv[3:])
    else:
        main()
