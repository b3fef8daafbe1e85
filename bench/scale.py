"""How long each page, filter, order and search takes with few batches, and with a million.

Run `python -m bench.scale` from the root of the project, on PostgreSQL through
`python -m tools.postgres .venv/bin/python -m bench.scale`. It works on the database of
DATABASE_URL, or on a SQLite file of its own, and refuses one that holds batches already. Pages are
asked for within the process, by an administrator. Prints a Markdown table of the fastest of some
tries: nothing should take more than 1.5 times as long.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GOAL = 1.5
SLOW = 5_000
"""Milliseconds; what takes so long is not asked again."""
PEOPLE = 5
CHANGES = 60
MODES = ("voice", "sms", "email")
LABELS = ("billing", "reminders", "survey", "urgent")
HISTORY_SECONDS = 60 * 86_400
RECENT_SECONDS = 9 * 86_400
"""Batches that were updated within this time before now are mostly under way."""
STATUS = """CASE WHEN {age} < {recent} THEN
      CASE WHEN {r} < 520 THEN 'ACTIVE' WHEN {r} < 740 THEN 'PAUSED' WHEN {r} < 880 THEN 'PENDING'
           WHEN {r} < 960 THEN 'FAILED' ELSE 'CANCELED' END
    ELSE
      CASE WHEN {r} < 660 THEN 'EXPIRED' WHEN {r} < 800 THEN 'ACTIVE' WHEN {r} < 860 THEN 'PAUSED'
           WHEN {r} < 940 THEN 'FAILED' ELSE 'CANCELED' END
    END"""

HOLDS = """INSERT INTO batchops_hold (batch_id, change_id, outside_name, placed_at)
    SELECT batch_id, paused_by_id, '', last_updated_at FROM batchops_batch
    WHERE paused AND batch_id NOT IN (SELECT batch_id FROM batchops_hold)"""
"""Each paused batch is held by the change that paused it, or from outside."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs=2, default=(10_000, 1_000_000))
    parser.add_argument("--campaigns", type=int, default=200)
    parser.add_argument("--entries", type=int, default=3, help="in the audit trail for each batch")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="only pages whose name contains this")
    parser.add_argument("--plans", action="store_true", help="show the statements of slow pages")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="batchops-bench-") as folder:
        _set_up(folder)
        _people_and_campaigns(arguments.campaigns)
        results: list[dict[str, float]] = []
        filled = 0
        for size in arguments.sizes:
            began = time.monotonic()
            _fill(filled, size, arguments.campaigns, arguments.entries)
            print(f"{size:,} batches made in {time.monotonic() - began:.0f} s", file=sys.stderr)
            filled = size
            results.append(_measure(arguments, size))
        _print(arguments.sizes, *results)


def _set_up(folder: str) -> None:
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DATABASE_URL", "")
    os.environ |= {
        "ENV_FILE": os.devnull,
        "DATA_DIR": folder,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "QUEUE_URL": "memory://",
        "ALLOWED_HOSTS": "testserver",
        "SECRET_KEY": "a key for measurements only, that signs nothing of worth",
    }
    import django

    django.setup()
    from django.core.management import call_command

    from batchops.models import Batch

    call_command("migrate", verbosity=0, interactive=False)
    call_command("collectstatic", verbosity=0, interactive=False)
    if Batch.objects.exists():
        sys.exit("This database holds batches already; take an empty one.")


def _people_and_campaigns(number: int) -> None:
    from django.contrib.auth.models import User
    from django.utils import timezone

    from batchops.models import Campaign, Change, SyncRun

    now = timezone.now()
    people = [
        User.objects.create_superuser(f"person-{n}", f"person-{n}@example.com", "password")
        for n in range(PEOPLE)
    ]
    Campaign.objects.bulk_create(
        Campaign(
            id=n,
            campaign_name=f"{'Reminders' if n % 3 else 'Late payments'} {n:04d}",
            mode=MODES[n % len(MODES)],
            labels=[LABELS[n % len(LABELS)]],
            hourly_rate=100 + n,
            synced_at=now,
            observed_at=now,
        )
        for n in range(1, number + 1)
    )
    for n in range(CHANGES):
        change = Change(
            id=uuid.UUID(int=n + 1),
            requested_by=people[n % PEOPLE],
            requested_by_name=people[n % PEOPLE].username,
            reason="Carrier incident",
            created_at=now - dt.timedelta(hours=n),
            state="finished",
            resume_at=now + dt.timedelta(days=1) if n % 3 == 0 else None,
        )
        change.patch_json = {"paused": True}
        change.save(force_insert=True)
    SyncRun.objects.create(
        kind="full",
        state="done",
        started_at=now,
        finished_at=now,
        alive_at=now,
        fully_synced_at=now,
    )


def _fill(first: int, last: int, campaigns: int, entries: int) -> None:
    """Make batches numbered from `first` to before `last`, and their trail, by a few statements."""
    from django.db import connection

    from batchops.models import AuditEntry, AuditHead, Batch
    from batchops.services.stats import kept_counts

    # Counted once at the end, instead of row by row.
    kept_counts.MIGRATION.remove(connection)
    names, values = zip(*_batch_columns(last, campaigns).items(), strict=True)
    _insert(Batch, names, values, first, last)
    kept_counts.ensure()
    with connection.cursor() as cursor:
        cursor.execute(HOLDS)
    if entries:
        offset = AuditHead.objects.get().sequence - first * entries
        names, values = zip(*_entry_columns(last * entries, campaigns, offset).items(), strict=True)
        _insert(AuditEntry, names, values, first * entries, last * entries)
        AuditHead.objects.update(sequence=last * entries + offset, hash="0" * 64)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM ANALYZE")


def _insert(model: Any, names: Any, values: Any, first: int, last: int) -> None:
    from django.db import connection

    is_sqlite = connection.vendor == "sqlite"
    numbers = (
        f"WITH RECURSIVE numbers(i) AS (SELECT {first} UNION ALL "
        f"SELECT i + 1 FROM numbers WHERE i + 1 < {last})"
        if is_sqlite
        else f"WITH numbers AS (SELECT i::bigint FROM generate_series({first}, {last - 1}) i)"
    )
    columns = ", ".join(f'"{name}"' for name in names)
    table = model._meta.db_table
    indexes = [(model, index) for index in model._meta.indexes]
    with connection.schema_editor() as editor:
        for one in indexes:
            editor.remove_index(*one)
    with connection.cursor() as cursor:
        into = f"INSERT INTO {table} ({columns})"
        select = f"SELECT {', '.join(values)} FROM numbers"
        cursor.execute(f"{numbers} {into} {select}" if is_sqlite else f"{into} {numbers} {select}")
    with connection.schema_editor() as editor:
        for one in indexes:
            editor.add_index(*one)


def _instant(seconds_ago: str) -> str:
    """An instant so many seconds before now, as the database stores it."""
    from django.db import connection

    if connection.vendor == "sqlite":
        return f"datetime('now', (-({seconds_ago})) || ' seconds')"
    return f"date_trunc('minute', now()) - ({seconds_ago}) * interval '1 second'"


def _json(text: str) -> str:
    from django.db import connection

    return f"'{text}'" if connection.vendor == "sqlite" else f"'{text}'::jsonb"


def _change_id(number: str) -> str:
    """The id of one of the changes."""
    from django.db import connection

    change = f"({number} % {CHANGES} + 1)"
    if connection.vendor == "sqlite":
        return f"printf('%032x', {change})"
    return f"lpad(to_hex({change}), 32, '0')::uuid"


def _flag(condition: str, value: str) -> str:
    return f"CASE WHEN {condition} THEN {value} END"


def _batch_columns(size: int, campaigns: int) -> dict[str, str]:
    """Each column of a batch as an expression of its number: the same for every database."""
    from django.db import connection

    is_sqlite = connection.vendor == "sqlite"
    r = "((i * 7919 + 11) % 1000)"
    other = "((i * 104729 + 7) % 1000)"
    age = f"(({size} - i) * {HISTORY_SECONDS // 100} / {size} * 100 + i * 31 % 100)"
    status = STATUS.format(age=age, r=r, recent=RECENT_SECONDS)
    yes, no = ("1", "0") if is_sqlite else ("true", "false")
    is_paused = (
        f"(({age} < {RECENT_SECONDS} AND {r} BETWEEN 520 AND 739) OR "
        f"({age} >= {RECENT_SECONDS} AND {r} BETWEEN 800 AND 859))"
    )
    paused = f"CASE WHEN {is_paused} THEN {yes} ELSE {no} END"
    return {
        "batch_id": _batch_id("i"),
        "campaign_id": f"((i * 48271) % {campaigns} + 1)",
        "status": status,
        "paused": paused,
        "expires_on": _flag(f"{other} < 900", _instant(f"{age} - 864000 - {other} * 300")),
        "call_rate": _flag(f"{other} % 5 = 0", f"({r} * 3)"),
        "upload_filename": "'upload-' || CAST(i AS text) || '.csv'",
        "dispatch_id": "''",
        "created_at": _instant(f"{age} + 3600"),
        "deleted_at": _flag(f"{other} BETWEEN 900 AND 909", _instant(age)),
        "deleted_reason": "''",
        "last_updated_at": _instant(age),
        "last_updated_by": "'somebody@example.com'",
        "error_message": "''",
        "synced_at": _instant("0"),
        "observed_at": _instant("0"),
        "missing_since": _flag(f"{other} BETWEEN 910 AND 911", _instant(age)),
        "changed_externally_at": _flag(f"{other} BETWEEN 920 AND 929", _instant(age)),
        "id_shared_since": _flag("i % 5000 = 77", _instant(age)),
        "shared_with": _json("[]"),
        "paused_by_id": _flag(f"{is_paused} AND {other} % 2 = 0", _change_id("i")),
    }


def _entry_columns(size: int, campaigns: int, offset: int) -> dict[str, str]:
    """Each column of an entry of the trail; its hashes are none, since nothing verifies it here."""
    r = "((i * 7919 + 11) % 1000)"
    about = "(i / 3)"
    applied = f"{r} < 850"
    age = f"(({size} - i) * 10 / {size} * {HISTORY_SECONDS // 10} + ({size} - i) % 500000)"
    return {
        "sequence": f"i + {offset} + 1",
        "at": _instant(age),
        "action": f"""CASE WHEN {applied} THEN 'batch.applied' WHEN {r} < 940 THEN
            'batch.changed_outside' WHEN {r} < 990 THEN 'change.confirmed'
            ELSE 'batch.failed' END""",
        "outcome": f"CASE WHEN {applied} THEN 'applied' WHEN {r} < 940 THEN 'outside' ELSE '' END",
        "actor_name": f"'person-' || CAST(i % {PEOPLE} AS text)",
        "actor_ip": "'192.0.2.7'",
        "actor_kind": "'person'",
        "on_behalf_of_name": "''",
        "operated_by": "''",
        "batch_id": _batch_id(about),
        "campaign_id": f"(({about} * 48271) % {campaigns} + 1)",
        "campaign_name": "'Reminders'",
        "change_id": _change_id("i"),
        "reason": "'Carrier incident'",
        "reference": "''",
        "before": _json('{"paused": false, "status": "ACTIVE"}'),
        "after": _json('{"paused": true, "status": "ACTIVE"}'),
        "http_status": "200",
        "detail": _json("{}"),
        "previous_hash": "''",
        "hash": "''",
    }


def _batch_id(number: str) -> str:
    return (
        f"'batch-' || CAST({number} AS text) || '-' || "
        f"CAST(({number} * 2654435761) % 4294967296 AS text)"
    )


# Measuring ----------------------------------------------------------------------------------


def _pages(size: int) -> Iterator[tuple[str, str]]:
    """Each page by a name: the same questions, whatever the size."""
    from django.urls import reverse

    from batchops.models import Batch

    batches = reverse("admin:batchops_batch_changelist")
    trail = reverse("admin:batchops_auditentry_changelist")
    batch = Batch.objects.order_by("pk")[size // 2]
    tail = batch.pk.rpartition("-")[2]
    yield "overview", reverse("admin:index")
    yield "batches", batches
    for show in ("everything", "on", "paused", "no_end", "mine", "expiring_24h", "expiring_7d"):
        yield f"batches: show {show}", f"{batches}?show={show}"
    for show in ("failed", "changed_externally", "shared_id", "missing"):
        yield f"batches: show {show}", f"{batches}?show={show}"
    for name, value in {
        "status": "ACTIVE",
        "campaign": "7",
        "mode": "sms",
        "label": "billing",
        "paused_by": "person-1",
    }.items():
        yield f"batches: {name}", f"{batches}?{name}={value}"
    yield "batches: status that nobody knows", f"{batches}?status=SLEEPING"
    for number, name in enumerate(
        ("id", "campaign", "status", "paused", "expiry", "rate", "updated"), 1
    ):
        yield f"batches: by {name}", f"{batches}?o={number}"
        yield f"batches: by {name}, descending", f"{batches}?o=-{number}"
    yield "batches: on, by expiry", f"{batches}?show=on&o=5"
    yield "batches: paused, by rate", f"{batches}?show=paused&o=6"
    yield "batches: failed, by expiry", f"{batches}?show=failed&o=5"
    yield "batches: sms, by expiry", f"{batches}?mode=sms&o=-5"
    yield "batches: changed outside, by rate", f"{batches}?show=changed_externally&o=6"
    yield "batches: sms and active", f"{batches}?mode=sms&status=ACTIVE"
    yield "batches: a campaign, by expiry", f"{batches}?campaign=7&o=5"
    last = size // 50
    yield "batches: page in the middle", f"{batches}?p={last // 2}"
    yield "batches: last page", f"{batches}?p={last}"
    yield "batches: by expiry, page in the middle", f"{batches}?o=5&p={last // 2}"
    yield "batches: by campaign, page in the middle", f"{batches}?o=2&p={last // 2}"
    yield "search: an id", f"{batches}?q={batch.pk}"
    yield "search: beginning of an id", f"{batches}?q={batch.pk[:-6]}"
    yield "search: middle of an id", f"{batches}?q={tail[:6]}"
    yield "search: in every id", f"{batches}?q=atch"
    yield "search: two characters", f"{batches}?q=77"
    yield "search: a campaign", f"{batches}?q=payments+0009"
    yield "search: campaigns", f"{batches}?q=payments"
    yield "search: nothing", f"{batches}?q=nowhere"
    yield "search: nothing, everything", f"{batches}?q=nowhere&show=everything"
    yield "a batch", reverse("admin:batchops_batch_change", args=[batch.pk])
    yield "campaigns", reverse("admin:batchops_campaign_changelist")
    yield "campaigns: by batches", reverse("admin:batchops_campaign_changelist") + "?o=-6"
    yield "a campaign", reverse("admin:batchops_campaign_change", args=[7])
    yield "changes", reverse("admin:batchops_change_changelist")
    yield "upcoming", reverse("admin:batchops_change_upcoming")
    yield "trail", trail
    yield "trail: action", f"{trail}?action=batch.failed"
    yield "trail: person", f"{trail}?actor=person-1"
    yield "trail: a batch", f"{trail}?batch={batch.pk}"


def _measure(arguments: Any, size: int) -> dict[str, float]:
    from django.contrib.auth.models import User
    from django.test import Client

    reader = Client()
    reader.force_login(User.objects.get(username="person-1"))
    found = {}
    for name, address in _pages(size):
        if arguments.only in name:
            found[name] = _milliseconds(reader, name, address, arguments)
    return found


def _milliseconds(reader: Any, name: str, address: str, arguments: Any) -> float:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    # SQLite works within the process, whose own time is hardly longer on a busy machine.
    clock = time.process_time if connection.vendor == "sqlite" else time.perf_counter
    times = []
    for _ in range(arguments.repeats + 1):
        began = clock()
        response = reader.get(address)
        times.append((clock() - began) * 1000)
        assert response.status_code == 200, (name, address, response.status_code)
        if times[-1] > SLOW:
            break
    # The first time, templates and statements are prepared.
    fastest = min(times)
    if arguments.plans and fastest > 90:
        with CaptureQueriesContext(connection) as queries:
            reader.get(address)
        slow = sorted(queries.captured_queries, key=lambda query: -float(query["time"]))
        for query in slow[:3]:
            print(f"{name}: {query['time']} s: {query['sql'][:1500]}", file=sys.stderr)
    return fastest


def _print(sizes: Any, few: dict[str, float], many: dict[str, float]) -> None:
    from django.db import connection

    print(f"Database: {connection.vendor}\n")
    print(f"| page | ms at {sizes[0]:,} | ms at {sizes[1]:,} | times | |")
    print("|---|---:|---:|---:|---|")
    for name, first in few.items():
        times = many[name] / first
        print(
            f"| {name} | {first:.0f} | {many[name]:.0f} | {times:.2f} "
            f"| {'' if times <= GOAL else 'above'} |"
        )


if __name__ == "__main__":
    main()
