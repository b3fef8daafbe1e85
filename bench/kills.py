"""Workers killed at random moments: is anything lost, stuck, sent unrecorded, or told falsely?

Run `python -m bench.kills` from the root of the project; prints a Markdown table. Real workers push
changes of half of all batches each, one of them over the other's head; again and again one of them
is killed (SIGKILL) and another started. Afterwards what the sandbox received is held against the
items and the trail.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Final

from bench.push import KEY, django_ready, empty_databases, process
from bench.sandbox import ROOT
from bench.waiting import confirmed, updates
from tools import postgres

HEAD: Final = """\
| database | kills | batches | PUTs | settled by reading | without outcome | stuck | false facts \
| not as requested | trail | minutes |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---|---:|"""
LONGEST_END_SECONDS: Final = 300.0


def run(url: str, kills: int, workers: int, seed: int) -> None:
    """Confirm two changes, kill workers while they run, and look at what is left."""
    django_ready()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from batchops.models import Batch, SyncRun
    from batchops.services.mirror import sync

    call_command("migrate", verbosity=0)
    user = User.objects.create_superuser("bench")
    sync.run_sync(SyncRun.Kind.FULL)
    names = list(Batch.objects.order_by("pk").values_list("pk", flat=True))
    confirmed(user, Batch.objects.filter(pk__in=names[::2]), 0, paused=True)
    confirmed(user, Batch.objects.filter(pk__in=names[1::2]), 0, paused=True)
    began = time.monotonic()
    kill_and_replace(url, kills, workers, len(names), random.Random(seed))
    numbers = audit_of(url) | {"minutes": (time.monotonic() - began) / 60}
    print(json.dumps(numbers), flush=True)


def kill_and_replace(url: str, kills: int, workers: int, batches: int, draw: random.Random) -> None:
    from batchops.models import Change

    running = [started() for _ in range(workers)]
    try:
        for done in range(kills):
            seen = len(updates(url))
            more = draw.randint(0, max(1, (batches - seen) // (kills - done)))
            wait_for(lambda: len(updates(url)) >= seen + more, 10)  # noqa: B023
            time.sleep(draw.random() / 10)
            victim = draw.randrange(workers)
            running[victim].send_signal(signal.SIGKILL)
            running[victim].wait()
            running[victim] = started()
        wait_for(lambda: not Change.objects.open().exists(), LONGEST_END_SECONDS)
    finally:
        for worker in running:
            worker.kill()
            worker.wait()


def started() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "manage.py", "worker"], cwd=ROOT)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def audit_of(url: str) -> dict[str, object]:
    """What the sandbox received, held against the items and the trail."""
    from batchops.models import Action, AuditEntry, Change, ChangeItem
    from batchops.services.proof import verification

    applied = AuditEntry.objects.filter(action="batch.applied")
    known = set(applied.values_list("batch_id", flat=True))
    sent = [entry["batch_id"] for entry in updates(url)]
    # Nobody else works at this vendor, so each of these would be untrue.
    outside = (Action.BATCH_CHANGED_OUTSIDE, Action.BATCH_CHANGED_WITH_OUR_KEY)
    false_facts = AuditEntry.objects.filter(action__in=outside).count()
    return {
        "puts": len(sent),
        "by_reading": applied.filter(detail__in_doubt=True, detail__tries=[]).count(),
        "without_outcome": sum(batch_id not in known for batch_id in sent),
        "stuck": Change.objects.open().count(),
        "false_facts": false_facts,
        "not_as_requested": ChangeItem.objects.exclude(state="applied").count(),
        "trail": "whole" if verification.verify().is_good else "BROKEN",
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    databases = ["SQLite", "PostgreSQL"]
    parser.add_argument("--databases", nargs="+", choices=databases, default=databases)
    options = parser.parse_args()
    postgres.unwind_on_signals()
    print(HEAD, flush=True)
    with empty_databases("PostgreSQL" in options.databases) as new_database:
        for database in options.databases:
            database_url = new_database() if database == "PostgreSQL" else ""
            print(row(database, options, database_url), flush=True)


def row(database: str, options: argparse.Namespace, database_url: str) -> str:
    with (
        tempfile.TemporaryDirectory() as folder,
        process("serve", options.batches, 0.02) as server,
    ):
        url = server.stdout.readline().strip()
        environment = {
            "ENV_FILE": os.devnull,
            "DATA_DIR": folder,
            "DEBUG": "off",
            "SECRET_KEY": "bench",
            "LOG_LEVEL": "ERROR",
            "PUSH_LEASE_SECONDS": "5",
            "SYLLABLE_API_KEY": KEY,
            "SYLLABLE_BASE_URL": url,
            "SYLLABLE_MAX_IN_FLIGHT": "4",
            "SYLLABLE_TIMEOUT": "5",
            "DATABASE_URL": database_url,
        }
        asked = (url, options.kills, options.workers, options.seed)
        with process("run", *asked, module="bench.kills", **environment) as running:
            found = json.loads(running.stdout.readline())
    return (
        f"| {database} | {options.kills} | {options.batches:,} | {found['puts']:,} | "
        f"{found['by_reading']:,} | {found['without_outcome']} | {found['stuck']} | "
        f"{found['false_facts']} | {found['not_as_requested']} | {found['trail']} | "
        f"{found['minutes']:.1f} |"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--role"]:
        url, kills, workers, seed = sys.argv[3:]
        run(url, int(kills), int(workers), int(seed))
    else:
        main()
