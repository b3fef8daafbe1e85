"""What the tests of the trail share: filling it, and tampering with it as its owner could."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from io import StringIO
from typing import Any

from django.core.management import call_command
from django.db import connection

from batchops import audit
from batchops.audit.canonical_form import row_hash
from batchops.models import Action, AuditEntry, AuditHead
from batchops.services.proof import last_seen
from batchops.services.proof.verification import Verdict
from batchops.services.trail.stored_rows import by_sequences

PROTECTION = import_module("batchops.migrations.0002_protect_the_audit_trail")
TABLE = AuditEntry._meta.db_table
MOMENT = dt.datetime(2026, 3, 24, 6, tzinfo=dt.UTC)
OLIVIA = audit.Actor("olivia", 7, "192.0.2.7")


def fill(number: int, **more: Any) -> None:
    """Append entries about batches of their own."""
    audit.record_now(*(fact(index, **more) for index in range(number)))


def fact(index: int, **more: Any) -> audit.Fact:
    values: dict[str, Any] = {
        "batch_id": f"20260324.{index}",
        "outcome": "applied",
        "reason": "wrong list",
        "before": {"paused": False, "status": "ACTIVE"},
        "after": {"paused": True, "status": "ACTIVE"},
        "detail": {"requested": {"paused": True}, "number": index},
    }
    return audit.Fact(Action.BATCH_APPLIED, OLIVIA, **(values | more))


def forget() -> None:
    """As on a host that has not seen the trail yet."""
    last_seen._path().unlink(missing_ok=True)


def command(name: str, *arguments: str) -> str:
    """What a command prints."""
    out = StringIO()
    call_command(name, *arguments, stdout=out, no_color=True)
    return out.getvalue()


def broken(verdict: Verdict) -> str:
    """The first that speaks against the trail, of a verdict that has to be bad."""
    assert verdict.outcome == "broken"
    return verdict.faults[0]


@contextmanager
def triggers_dropped() -> Iterator[None]:
    """What the owner of a database can do: no trigger watches."""
    PROTECTION.remove(connection)
    try:
        yield
    finally:
        PROTECTION.install(connection)


def run(statement: str, *parameters: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def change(sequence: int, **values: Any) -> None:
    columns = ", ".join(f"{name} = %s" for name in values)
    run(f"UPDATE {TABLE} SET {columns} WHERE sequence = %s", *values.values(), sequence)


def delete(sequence: int) -> None:
    run(f"DELETE FROM {TABLE} WHERE sequence = %s", sequence)


def renumber(sequences: Mapping[int, int]) -> None:
    """Give entries other numbers, whatever number the others have meanwhile."""
    for old, new in sequences.items():
        run(f"UPDATE {TABLE} SET sequence = %s WHERE sequence = %s", -new, old)
    run(f"UPDATE {TABLE} SET sequence = -sequence WHERE sequence < 0")


def shift(first: int, step: int) -> None:
    """Move all entries from a number on."""
    numbers = AuditEntry.objects.filter(sequence__gte=first).values_list("sequence", flat=True)
    renumber({number: number + step for number in numbers})


def copy(sequence: int, to: int, **values: Any) -> None:
    """Insert a forged entry that resembles another one."""
    entry = AuditEntry.objects.get(pk=sequence)
    entry.sequence = to
    for name, value in values.items():
        setattr(entry, name, value)
    AuditEntry.objects.bulk_create([entry])


def fit_hash(sequence: int) -> None:
    """Give an altered entry the hash that its content has now."""
    change(sequence, hash=row_hash(by_sequences([sequence])[0]))


def compute_anew(first: int) -> None:
    """Rewrite all hashes from an entry on, and the head, as if nothing had been altered."""
    numbers = AuditEntry.objects.order_by("sequence").values_list("sequence", flat=True)
    before = AuditEntry.objects.filter(sequence__lt=first).order_by("-sequence").first()
    previous = before.hash if before else audit.GENESIS
    last = before.sequence if before else 0
    for number in numbers.filter(sequence__gte=first):
        row = by_sequences([number])[0]._replace(previous_hash=previous)
        previous, last = row_hash(row), number
        change(number, previous_hash=row.previous_hash, hash=previous)
    AuditHead.objects.update(sequence=last, hash=previous)
