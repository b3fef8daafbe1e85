"""How the audit trail behaves when it is large: writing, verifying, exporting, filtering.

Run `python -m bench.audit --rows 300000` from the root of the project, on PostgreSQL through
`python -m tools.postgres .venv/bin/python -m bench.audit`. It works on the database of
DATABASE_URL, or on a SQLite file of its own, and refuses a database that holds a trail already.
Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import random
import resource
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PEOPLE = 12
BATCHES = 60_000
CAMPAIGNS = 40
CHANGES = 4_000
REPEATS = 5
START = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
SPAN_SECONDS = 365 * 86_400
ACTIONS = (
    ("batch.applied", "applied", 70),
    ("change.confirmed", "", 4),
    ("change.finished", "ok", 4),
    ("batch.unchanged", "unchanged", 8),
    ("batch.changed_outside", "outside", 6),
    ("batch.status_changed", "outside", 4),
    ("batch.refused", "refused", 2),
    ("batch.failed", "failed", 1),
    ("account.signed_in", "ok", 1),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batchops-bench-") as folder:
        _set_up(folder)
        _fill(arguments.rows)
        _verify()
        _export()
        _filter()


def _set_up(folder: str) -> None:
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DATABASE_URL", "")
    os.environ |= {
        "ENV_FILE": os.devnull,
        "DATA_DIR": folder,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "QUEUE_URL": "memory://",
    }
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from batchops.models import AuditEntry

    call_command("migrate", verbosity=0, interactive=False)
    if AuditEntry.objects.count() > 1_000:
        sys.exit("This database holds an audit trail already; take an empty one.")
    print(f"Database: {connection.vendor}\n")


def _fill(rows: int) -> None:
    from django.db import transaction

    from batchops.models import AuditEntry, AuditHead

    started = time.perf_counter()
    _fill_what_is_named()
    head = AuditHead.objects.get(pk=1)
    chance = random.Random(5)
    weights = [weight for _, _, weight in ACTIONS]
    first = head.sequence + 1
    for start in range(first, first + rows, 5_000):
        numbers = range(start, min(start + 5_000, first + rows))
        chosen = chance.choices(ACTIONS, weights, k=len(numbers))
        with transaction.atomic():
            entries = []
            for number, (action, outcome, _) in zip(numbers, chosen, strict=True):
                entry = _entry(chance, number, (number - first) / rows, action, outcome, head.hash)
                head.sequence, head.hash = number, entry.hash
                entries.append(entry)
            AuditEntry.objects.bulk_create(entries)
            head.save(update_fields=["sequence", "hash"])
    seconds = time.perf_counter() - started
    _analyze()
    print(f"Filled {rows:,} entries in {seconds:.0f} s ({rows / seconds:,.0f} a second).\n")


def _fill_what_is_named() -> None:
    from batchops.models import Batch, Campaign, Change

    Campaign.objects.bulk_create(
        Campaign(id=n, campaign_name=f"Campaign {n}", synced_at=START, observed_at=START)
        for n in range(CAMPAIGNS)
    )
    Batch.objects.bulk_create(
        (
            Batch(
                batch_id=_batch_id(n),
                campaign_id=n % CAMPAIGNS,
                status="ACTIVE",
                synced_at=START,
                observed_at=START,
            )
            for n in range(BATCHES)
        ),
        batch_size=5_000,
    )
    Change.objects.bulk_create(
        Change(
            id=_change_id(n),
            reason=f"wrong list {n}",
            reference=f"T-{n:05}",
            source="action",
            requested_by_name=f"person{n % PEOPLE}",
            created_at=START + dt.timedelta(seconds=SPAN_SECONDS * n / CHANGES),
        )
        for n in range(CHANGES)
    )


def _batch_id(number: int) -> str:
    return f"{START + dt.timedelta(days=number // 170):%Y%m%d}.{number % 170}"


def _change_id(number: int) -> uuid.UUID:
    return uuid.UUID(int=number + 1)


def _entry(
    chance: random.Random, number: int, share: float, action: str, outcome: str, previous: str
) -> Any:
    from batchops import audit
    from batchops.models import AuditEntry

    change = min(CHANGES - 1, int(share * CHANGES))
    batch = min(BATCHES - 1, int(share * BATCHES) + chance.randrange(170))
    inside = outcome != "outside"
    about_batch = action.startswith("batch.")
    entry = AuditEntry(
        sequence=number,
        at=START + dt.timedelta(seconds=int(SPAN_SECONDS * share)),
        action=action,
        outcome=outcome,
        actor_id=change % PEOPLE if inside else None,
        actor_name=f"person{change % PEOPLE}" if inside else "console@example.com",
        actor_ip="192.0.2.7" if inside else "",
        actor_kind="person" if inside else "outside",
        batch_id=_batch_id(batch) if about_batch else "",
        campaign_id=batch % CAMPAIGNS if about_batch else None,
        campaign_name=f"Campaign {batch % CAMPAIGNS}" if about_batch else "",
        change_id=_change_id(change) if inside else None,
        reason=f"wrong list {change}" if inside else "",
        reference=f"T-{change:05}" if inside else "",
        before={"paused": False, "expires_on": None, "call_rate": None, "status": "ACTIVE"},
        after={"paused": True, "expires_on": None, "call_rate": None, "status": "ACTIVE"},
        http_status=200 if outcome == "applied" else None,
        detail={"requested": {"paused": True}, "message": "", "tries": [{"ms": number % 997}]},
        previous_hash=previous,
    )
    entry.hash = audit.chain_hash(previous, audit.canonical(entry))
    return entry


def _analyze() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def _verify() -> None:
    from batchops.services.proof import verification

    before = _peak_megabytes()
    verdict = verification.verify()
    print("| verifying | value |\n|---|---|")
    print(f"| verdict | {'good' if verdict.is_good else verdict.integrity} |")
    print(f"| entries a second | {verdict.rows_per_second:,.0f} |")
    print(f"| growth of memory | {_peak_megabytes() - before:.0f} MB |\n")


def _export() -> None:
    from batchops import audit
    from batchops.services.trail import search
    from batchops.services.trail.trail_filter import TrailFilter
    from batchops.services.trail_files import exports

    user = _auditor()
    everything = search.entries(TrailFilter())
    print("| export | seconds | rows a second | MB written | growth of memory |")
    print("|---|---|---|---|---|")
    for kind in exports.ExportFormat:
        before, started = _peak_megabytes(), time.perf_counter()
        export = exports.export(
            everything, kind, user=user, actor=audit.Actor.of_user(user), description="everything"
        )
        written = sum(map(len, export.chunks))
        seconds = time.perf_counter() - started
        print(
            f"| {kind.label} | {seconds:.1f} | {export.rows / seconds:,.0f} | "
            f"{written / 2**20:.0f} | {_peak_megabytes() - before:.0f} MB |"
        )
    print()


def _auditor() -> Any:
    from django.contrib.auth.models import User

    return User.objects.create_superuser("bench", password=None)


def _filter() -> None:
    from batchops import audit
    from batchops.services.trail import search, sign_offs
    from batchops.services.trail.trail_filter import TrailFilter

    march: dict[str, Any] = {
        "since": START + dt.timedelta(days=59),
        "until": START + dt.timedelta(days=90),
    }
    filters = {
        "everything": TrailFilter(),
        "a person": TrailFilter(person="person3"),
        "a kind of action": TrailFilter(group="batch"),
        "a rare kind of action": TrailFilter(group="account"),
        "a kind that never occurred": TrailFilter(group="access"),
        "a batch": TrailFilter(batch_id=_batch_id(400)),
        "a campaign": TrailFilter(campaign_id=7),
        "a change": TrailFilter(change_id=_change_id(30)),
        "an outcome": TrailFilter(outcome="refused"),
        "an old month": TrailFilter(**march),
        "an old month of a person": TrailFilter(person="person3", **march),
        "outside": TrailFilter(origin="outside"),
        "inside": TrailFilter(origin="inside"),
        "only what failed": TrailFilter(failed=True),
        "what failed in an old month": TrailFilter(failed=True, **march),
        "a reason": TrailFilter(search="wrong list 77"),
        "a reason of every change": TrailFilter(search="wrong list"),
        "a reason that never was": TrailFilter(search="right list"),
        "a reference": TrailFilter(search="T-00042"),
        "a batch id": TrailFilter(search=_batch_id(500)),
        "the beginning of a batch id": TrailFilter(search="20250301"),
        "the beginning of many": TrailFilter(search="2025"),
    }
    print("| first page | milliseconds (median) | slowest |\n|---|---|---|")
    _time_pages(filters.items())
    user = _auditor_again()
    actor = audit.Actor.of_user(user)
    half = START + dt.timedelta(days=182)
    _timed(
        "signing off half a year",
        lambda: sign_offs.sign_off(
            START + dt.timedelta(days=10), half, user=user, actor=actor, comment="seen"
        ),
    )
    _timed(
        "marking what a person did",
        lambda: sign_offs.mark_filtered(
            TrailFilter(person="person3", since=half), user=user, actor=actor, comment="seen"
        ),
    )
    _time_pages(
        (
            ("not reviewed", TrailFilter(not_reviewed=True)),
            ("not reviewed of a person seen", TrailFilter(not_reviewed=True, person="person3")),
            ("not reviewed, before a long review", TrailFilter(not_reviewed=True, until=half)),
        )
    )
    _timed("names of people", search.people)


def _auditor_again() -> Any:
    from django.contrib.auth.models import User

    return User.objects.get(username="bench")


def _time_pages(filters: Iterable[tuple[str, Any]]) -> None:
    from batchops.services.trail import search

    for name, trail_filter in filters:
        times = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            page = search.page(trail_filter)
            times.append((time.perf_counter() - started) * 1_000)
        found = f"{len(page.entries)} entries"
        print(f"| {name} ({found}) | {statistics.median(times):.0f} | {max(times):.0f} |")


def _timed(name: str, work: Callable[[], object]) -> None:
    started = time.perf_counter()
    work()
    milliseconds = (time.perf_counter() - started) * 1_000
    print(f"| {name} | {milliseconds:.0f} | {milliseconds:.0f} |")


def _peak_megabytes() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


if __name__ == "__main__":
    main()
