"""Moves old entries out of the database into a verifiable file; the chain goes on from the cut.

One person asks, another carries it out. The file is on the disk before the first row is removed,
so that there is no moment at which the entries are in neither place.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.utils import timezone

from batchops import audit, permissions
from batchops.audit.canonical_form import FORMAT, GENESIS, Row, row_hash
from batchops.files import flush, for_owner_alone
from batchops.models import Action, AuditEntry
from batchops.services import authorization
from batchops.services.anchors.anchor import signed
from batchops.services.errors import InvalidInput
from batchops.services.proof import verification
from batchops.services.trail import slices, stored_rows
from batchops.services.trail.slices import STEP_ROWS
from batchops.services.trail_files import exports

if TYPE_CHECKING:
    from django.contrib.auth.models import User

REQUEST_DAYS: Final = 30
"""How long a request can be carried out."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A written archive: which entries it holds, and the SHA-256 of the file."""

    file: str
    first: int
    through: int
    hash: str
    entries: int
    file_digest: str


@authorization.records_denials
def request(before: dt.datetime, *, reason: str, user: User, actor: audit.Actor) -> AuditEntry:
    """Ask that all entries older than `before` (aware) leave the database for a file.

    Another person carries it out. Raises NotAllowed, or InvalidInput when there is nothing that
    old or it has to be kept longer (`AUDIT_RETENTION_DAYS`).
    """
    authorization.require(user, permissions.ARCHIVE_TRAIL, actor)
    reason = reason.strip()
    if not reason:
        raise InvalidInput("Say why: the reason becomes part of the trail.", "reason")
    through = _cut_before(before)
    last, oldest = AuditEntry.objects.get(pk=through), _oldest()
    return audit.record_now(
        audit.Fact(
            Action.AUDIT_ARCHIVE_REQUESTED,
            actor,
            outcome="ok",
            reason=reason,
            detail={
                "before": before.astimezone(dt.UTC).isoformat(),
                "first": oldest,
                "through": through,
                "hash": last.hash,
                "entries": through - oldest + 1,
                "retention_days": settings.AUDIT_RETENTION_DAYS,
            },
        )
    )[0]


@authorization.records_denials
def carry_out(sequence: int, path: Path, *, user: User, actor: audit.Actor) -> Archive:
    """Write what another person asked to archive to a new file, and remove it from the database.

    Once more for the same request, it removes what a crash has left. Raises NotAllowed, Busy, or
    InvalidInput when the request is no longer good, the file exists or cannot be written, or the
    trail does not verify: nothing is removed then.
    """
    authorization.require(user, permissions.ARCHIVE_TRAIL, actor)
    asked = _asked(sequence, user, actor)
    with slices.lease("archive") as lease:
        done = _done(sequence)
        if done is None:
            before = dt.datetime.fromisoformat(asked.detail["before"])
            done = _write(path, asked.detail["through"], before)
            try:
                _record(done, sequence, before, actor)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        _remove(done.through, lease)
    return done


def _asked(sequence: int, user: User, actor: audit.Actor) -> AuditEntry:
    """The request of an entry, if another person made it. Raises InvalidInput, NotAllowed."""
    asked = AuditEntry.objects.filter(
        pk=sequence, action=Action.AUDIT_ARCHIVE_REQUESTED, outcome="ok"
    ).first()
    if asked is None or asked.actor_id is None:
        raise InvalidInput(f"Entry {sequence} asks for no archive.", "confirm")
    if asked.actor_id == user.pk or asked.actor_name == actor.name:
        raise authorization.denied(
            "You asked for this archive: another person has to carry it out.",
            actor,
            None,
            permissions.ARCHIVE_TRAIL,
        )
    asker = get_user_model().objects.filter(pk=asked.actor_id, is_active=True).first()
    if asker is None or not asker.has_perm(permissions.ARCHIVE_TRAIL):
        raise InvalidInput("Who asked for it may no longer archive. Ask again.", "confirm")
    if asked.at < timezone.now() - dt.timedelta(days=REQUEST_DAYS):
        raise InvalidInput(f"It was requested more than {REQUEST_DAYS} days ago. Ask again.")
    return asked


def _done(sequence: int) -> Archive | None:
    """The archive that was written for a request before, if it was."""
    archived = AuditEntry.objects.filter(action=Action.AUDIT_ARCHIVED).order_by("-sequence")
    for entry in archived.filter(sequence__gt=sequence):
        detail = entry.detail
        if detail.get("request") == sequence:
            names = ("file", "first", "through", "hash", "entries", "file_sha256")
            return Archive(*(detail[name] for name in names))
    return None


def _cut_before(before: dt.datetime) -> int:
    """The last entry of the unbroken run of entries that are older than `before`.

    The last anchor stays, for the next one to follow.
    """
    floor = timezone.now() - dt.timedelta(days=settings.AUDIT_RETENTION_DAYS)
    if before > floor:
        raise InvalidInput(
            f"Entries are kept for {settings.AUDIT_RETENTION_DAYS:,} days (AUDIT_RETENTION_DAYS): "
            f"only what is older than {floor.astimezone(dt.UTC):%Y-%m-%d} can be archived.",
            "before",
        )
    entries = AuditEntry.objects.order_by("sequence")
    younger = entries.filter(at__gte=before).values_list("sequence", flat=True).first()
    older = entries.order_by("-sequence")
    last = (older if younger is None else older.filter(sequence__lt=younger)).first()
    anchor = verification.last_anchor()
    through = 0 if last is None else last.sequence
    if anchor is not None:
        through = min(through, anchor.sequence)
    if not AuditEntry.objects.filter(sequence__lte=through).exists():
        raise InvalidInput("No entry is older than that.", "before")
    return through


def _oldest() -> int:
    found = AuditEntry.objects.order_by("sequence").values_list("sequence", flat=True).first()
    assert found is not None  # noqa: S101 - a request was recorded
    return found


def _write(path: Path, through: int, before: dt.datetime) -> Archive:
    """Write the file and wait until it is on the disk. A file that is there is left alone."""
    verdict = verification.verify()
    if not verdict.is_good:
        raise InvalidInput(f"{verdict.faults[0]} Nothing was archived.")
    first = _oldest()
    if through < first:
        raise InvalidInput("It was archived by somebody else meanwhile. Ask again.")
    last = AuditEntry.objects.get(pk=through)
    now = timezone.now()
    header: dict[str, Any] = {
        "format": FORMAT,
        "filter": f"archive: entries before {before.astimezone(dt.UTC).isoformat()}",
        "entries": through - first + 1,
        "exported_at": now.astimezone(dt.UTC).isoformat(timespec="microseconds"),
        "whole": True,
    }
    stored = verification.last_anchor(through=through)
    previous = stored.digest() if stored else GENESIS
    ends = (signed(last.sequence, last.hash, previous=previous), stored)
    lines = exports.json_lines(_verified(stored_rows.chain(through=through)), header, ends)
    digest = _save(path, lines)
    return Archive(path.name, first, through, last.hash, through - first + 1, digest)


def _save(path: Path, chunks: Iterator[bytes]) -> str:
    """Write chunks to a new file, and flush file and folder; returns the SHA-256."""
    digest = hashlib.sha256()
    try:
        with open(path, "xb", opener=for_owner_alone) as file:
            try:
                for chunk in chunks:
                    file.write(chunk)
                    digest.update(chunk)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        # The name of the new file, too.
        flush(path.parent)
    except FileExistsError:
        raise InvalidInput(f"{path} already exists; choose another name.", "to") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.", "to") from error
    return digest.hexdigest()


def _verified(parts: Iterable[list[Row]]) -> Iterator[list[Row]]:
    """Pass rows on as long as each continues the chain."""
    previous: Row | None = None
    for rows in parts:
        for row in rows:
            follows = previous is None or (
                row.sequence == previous.sequence + 1 and row.previous_hash == previous.hash
            )
            if not follows or row_hash(row) != row.hash:
                raise InvalidInput(
                    f"Entry {row.sequence} does not verify: run verify_audit. "
                    "Nothing was archived.",
                )
            previous = row
        yield rows


def _record(written: Archive, request: int, before: dt.datetime, actor: audit.Actor) -> None:
    """Record the cut, and open the trail up to it."""
    with transaction.atomic():
        audit.record(
            audit.Fact(
                Action.AUDIT_ARCHIVED,
                actor,
                outcome="ok",
                detail={
                    "request": request,
                    "entries": written.entries,
                    "first": written.first,
                    "through": written.through,
                    "hash": written.hash,
                    "before": before.astimezone(dt.UTC).isoformat(),
                    "retention_days": settings.AUDIT_RETENTION_DAYS,
                    "file": written.file,
                    "file_sha256": written.file_digest,
                },
            )
        )
        head = audit.locked_head()
        head.removable_through = written.through
        head.save(update_fields=["removable_through"])


def _remove(through: int, lease: slices.Lease) -> None:
    """Remove what is archived, oldest first, in slices."""
    left = AuditEntry.objects.filter(sequence__lte=through).order_by("sequence")
    if (first := left.first()) is not None:
        ends = range(first.sequence + STEP_ROWS - 1, through + STEP_ROWS, STEP_ROWS)
        slices.in_slices((min(end, through) for end in ends), _remove_through, lease)


def _remove_through(through: int) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # The role that batchops runs as may not delete; this function removes what is archived.
            cursor.execute("SELECT audit_remove_archived(%s)", [through])
        else:
            cursor.execute(f"DELETE FROM {stored_rows.TABLE} WHERE sequence <= %s", [through])  # noqa: S608
