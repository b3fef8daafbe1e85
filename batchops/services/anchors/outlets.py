"""The ways by which anchors leave the database: the log, a file, mail.

A disk or a mail server that hangs is waited for no longer than a deadline. What could not be
delivered is tried again, and is said on /readyz and on the trail's page until it could.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core import mail
from django.db import transaction
from django.utils import timezone

from batchops.audit.canonical_form import canonical_text, json_object
from batchops.courier import Courier
from batchops.files import for_owner_alone
from batchops.models import Action, AuditEntry, AuditOutlet
from batchops.services.anchors.anchor import Anchor, BadAnchor
from batchops.services.errors import InvalidInput
from batchops.services.trail import stored_rows

logger = logging.getLogger(__name__)

FILE_SECONDS: Final = 5.0
MAIL_SECONDS: Final = 30.0
SOCKET_SECONDS: Final = 10
AT_ONCE: Final = 100
"""Anchors delivered in one go, when some could not be before."""
TAIL_BYTES: Final = 64 * 1024
"""How much of the end of the anchor file is read for its last line."""

_disk: Final = Courier("disk of AUDIT_ANCHOR_FILE")
_post: Final = Courier("mail server")


def send_out() -> None:
    """Log the last anchor, and give the other outlets what they have not got yet."""
    for name in _outlets():
        _deliver(name)


def log(anchor: Anchor) -> None:
    """The outlet that is always there."""
    logger.info("Anchor of the audit trail: %s", canonical_text(anchor.to_json()))


def failing() -> list[AuditOutlet]:
    """The outlets that did not take the last anchor."""
    return list(AuditOutlet.objects.filter(failing_since__isnull=False, name__in=_outlets()))


def last_in_file() -> Anchor | None:
    """The last anchor in AUDIT_ANCHOR_FILE; None when there is none that can be read in time."""
    if not settings.AUDIT_ANCHOR_FILE:
        return None
    try:
        text = _disk.send(_tail, FILE_SECONDS)
        return Anchor.from_json(json.loads(text.splitlines()[-1]))
    except FileNotFoundError:
        return None
    except (OSError, BadAnchor, ValueError, IndexError, RecursionError) as error:
        logger.error("AUDIT_ANCHOR_FILE cannot be read: %s", error)
        return None


def read_file(path: Path) -> Iterator[Anchor]:
    """The anchors of a file of anchors or of a verifiable export.

    Raises InvalidInput, naming the line, for a file that holds none or that cannot be read.
    """
    found = 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                for anchor in _anchors_in(line, number):
                    found += 1
                    yield anchor
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InvalidInput(f"The anchors cannot be read: {reason}.", "anchor") from error
    if not found:
        raise InvalidInput("The file contains no anchor.", "anchor")


def append(path: Path, lines: list[str]) -> None:
    """Append lines to a file and wait until they are on the disk."""
    with open(path, "a", encoding="utf-8", opener=for_owner_alone) as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())


def _outlets() -> list[str]:
    """The outlets that the settings name."""
    named = {"file": settings.AUDIT_ANCHOR_FILE, "mail": settings.AUDIT_ANCHOR_EMAILS}
    return [name for name, value in named.items() if value]


def _deliver(name: str) -> None:
    numbers = (
        AuditEntry.objects.filter(action=Action.AUDIT_ANCHORED)
        .order_by("sequence")
        .values_list("sequence", flat=True)
    )
    outlet, _created = AuditOutlet.objects.get_or_create(
        name=name, defaults={"delivered_through": _before_the_last(numbers.last())}
    )
    waiting = list(numbers.filter(sequence__gt=outlet.delivered_through)[:AT_ONCE])
    if not waiting:
        return
    lines = _lines(waiting)
    try:
        if lines and name == "file":
            _disk.send(lambda: append(Path(settings.AUDIT_ANCHOR_FILE), lines), FILE_SECONDS)
        elif lines:
            _post.send(lambda: _mail(lines), MAIL_SECONDS)
    # Each library of mail backends has errors of its own.
    except Exception as error:  # noqa: BLE001
        _failed(outlet, error)
        return
    AuditOutlet.objects.filter(pk=name).update(
        delivered_through=waiting[-1], failing_since=None, error=""
    )


def _before_the_last(last: int | None) -> int:
    """A new outlet gets the last anchor, which holds the digest of those before."""
    return last - 1 if last else 0


def _lines(numbers: list[int]) -> list[str]:
    """The anchors in these entries as lines, but for those that cannot be read any more."""
    lines = []
    for row in stored_rows.by_sequences(numbers):
        with contextlib.suppress(BadAnchor):
            lines.append(canonical_text(Anchor.from_json(json_object(row.detail)).to_json()))
    return lines


def _failed(outlet: AuditOutlet, error: Exception) -> None:
    setting = "AUDIT_ANCHOR_FILE cannot be written" if outlet.name == "file" else "cannot be mailed"
    known = error.strerror if isinstance(error, OSError) else None
    why = known or (str(error) if isinstance(error, TimeoutError) else type(error).__name__)
    logger.error("Anchors of the audit trail: %s: %s", setting, why)
    with transaction.atomic():
        AuditOutlet.objects.filter(pk=outlet.name, failing_since=None).update(
            failing_since=timezone.now()
        )
        AuditOutlet.objects.filter(pk=outlet.name).update(error=f"{setting}: {why}"[:500])


def _tail() -> str:
    with Path(settings.AUDIT_ANCHOR_FILE).open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - TAIL_BYTES))
        return file.read().decode("utf-8", "replace").strip()


def _mail(lines: list[str]) -> None:
    last = Anchor.from_json(json.loads(lines[-1]))
    connection = mail.get_connection()
    if hasattr(connection, "timeout"):
        connection.timeout = min(connection.timeout or SOCKET_SECONDS, SOCKET_SECONDS)
    mail.send_mail(
        f"batchops: anchor of the audit trail at entry {last.sequence}",
        "Keep this message: it shows later that the audit trail was not rewritten or cut.\n\n"
        + "".join(f"{line}\n" for line in lines),
        None,
        settings.AUDIT_ANCHOR_EMAILS,
        connection=connection,
    )


def _anchors_in(line: str, number: int) -> Iterator[Anchor]:
    if not line.strip():
        return
    try:
        data = json.loads(line)
        if isinstance(data, dict) and "head" in data:
            yield Anchor.from_json(data["head"])
            if data.get("anchor") is not None:
                yield Anchor.from_json(data["anchor"])
        elif isinstance(data, dict) and ("action" in data or "format" in data):
            return
        else:
            yield Anchor.from_json(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(
            f"Line {number} of the file is not an anchor: {error}", "anchor"
        ) from error
