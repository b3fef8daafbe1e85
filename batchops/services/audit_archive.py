"""Moves old entries out of the database into a verifiable file; the chain goes on from the cut.

The file is on the disk before the transaction that removes the rows is committed, so that there
is no moment at which the entries are in neither place.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.utils import timezone

from batchops import permissions
from batchops.files import for_owner_alone
from batchops.models import Action, AuditEntry
from batchops.services import audit, audit_anchors, audit_export, audit_rows, permits
from batchops.services.audit_form import Row, row_hash
from batchops.services.errors import InvalidInput

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass(frozen=True, slots=True)
class Archive:
    """A written archive: which entries it holds, and the SHA-256 of the file."""

    path: Path
    first: int
    through: int
    hash: str
    entries: int
    file_digest: str


@permits.records_denials
def archive(before: dt.datetime, path: Path, *, user: User, actor: audit.Actor) -> Archive:
    """Write all entries older than `before` (aware) to a new file and remove them from the trail.

    Raises NotAllowed, or InvalidInput when there is nothing to archive, the file exists or cannot
    be written, or an entry does not verify: nothing is removed then.
    """
    permits.require(user, permissions.ARCHIVE_TRAIL, actor)
    through = _cut_before(before)
    written = _write(path, through, before)
    try:
        _remove(written, actor, before)
    except BaseException:
        written.path.unlink(missing_ok=True)
        raise
    return written


def _cut_before(before: dt.datetime) -> int:
    """The last entry of the unbroken run of entries that are older than `before`."""
    if before > timezone.now():
        raise InvalidInput("Only what is past can be archived.", "before")
    entries = AuditEntry.objects.order_by("sequence")
    younger = (
        entries.filter(at__gte=before).order_by("sequence").values_list("sequence", flat=True)
    ).first()
    older = entries.order_by("-sequence")
    last = (older if younger is None else older.filter(sequence__lt=younger)).first()
    if last is None:
        raise InvalidInput("There is no entry older than that.", "before")
    return last.sequence


def _write(path: Path, through: int, before: dt.datetime) -> Archive:
    """Write the file and wait until it is on the disk. A file that is there is left alone."""
    first = AuditEntry.objects.order_by("sequence").first()
    last = AuditEntry.objects.get(pk=through)
    assert first is not None  # noqa: S101
    entries = AuditEntry.objects.filter(sequence__lte=through).count()
    now = timezone.now()
    header: dict[str, Any] = {
        "format": audit_export.FORMAT,
        "filter": f"archive: entries before {before.astimezone(dt.UTC).isoformat()}",
        "entries": entries,
        "exported_at": now.astimezone(dt.UTC).isoformat(timespec="microseconds"),
        "whole": True,
    }
    anchor = audit_anchors.sign_head(last.sequence, last.hash)
    lines = audit_export.json_lines(_verified(audit_rows.chain(through=through)), header, anchor)
    digest = _save(path, lines)
    return Archive(path, first.sequence, through, last.hash, entries, digest)


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
        _flush_folder(path.parent)
    except FileExistsError:
        raise InvalidInput(f"{path} exists already; choose another name.", "to") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.", "to") from error
    return digest.hexdigest()


def _flush_folder(folder: Path) -> None:
    """Wait until the name of a new file is on the disk, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _verified(slices: Iterable[list[Row]]) -> Iterator[list[Row]]:
    """Pass rows on as long as each continues the chain."""
    previous: Row | None = None
    for rows in slices:
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


def _remove(written: Archive, actor: audit.Actor, before: dt.datetime) -> None:
    """Record the cut, open the trail up to it, and remove what the file holds."""
    with transaction.atomic():
        audit.record(
            audit.Fact(
                Action.AUDIT_ARCHIVED,
                actor,
                outcome="ok",
                detail={
                    "entries": written.entries,
                    "first": written.first,
                    "through": written.through,
                    "hash": written.hash,
                    "before": before.astimezone(dt.UTC).isoformat(),
                    "file": written.path.name,
                    "file_sha256": written.file_digest,
                },
            )
        )
        head = audit.locked_head()
        head.removable_through = written.through
        head.save(update_fields=["removable_through"])
        with connection.cursor() as cursor:
            cursor.execute(
                f"DELETE FROM {audit_rows.TABLE} WHERE sequence <= %s",  # noqa: S608
                [written.through],
            )
            removed = cursor.rowcount
        if removed != written.entries:
            raise InvalidInput("The trail was archived by somebody else meanwhile. Start anew.")
