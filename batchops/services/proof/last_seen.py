"""Notices a database that was rolled back: what this host has seen of the trail is kept beside it.

A file in DATA_DIR, and the last line of AUDIT_ANCHOR_FILE, hold how far the trail was. They are a
lower bound, on each host its own: a trail that is shorter, or has another hash there, has lost what
was seen. A backup of the folder that is put back as a whole takes the memory with it; anchors that
were mailed or kept elsewhere do not go that way.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings
from django.utils import timezone

from batchops import audit
from batchops.models import Action, AuditEntry, AuditHead
from batchops.services.anchors import outlets, signing_keys
from batchops.services.anchors.anchor import Anchor, BadAnchor, is_hash, is_signed
from batchops.services.proof import verification

logger = logging.getLogger(__name__)

FILE_NAME: Final = "audit-last-seen.json"


@dataclass(frozen=True, slots=True)
class Seen:
    """How far the trail was, and the number of its last anchor, at an instant (UTC)."""

    sequence: int
    hash: str
    at: str
    number: int
    source: str = FILE_NAME

    @property
    def anchor(self) -> Anchor:
        return Anchor(self.sequence, self.hash, self.at, number=self.number)


def check() -> str:
    """Compare the trail with what was seen of it; the contradiction in words, or nothing.

    A contradiction is logged each time, recorded in the trail once, and shown on every page until
    `audit_anchors.acknowledge`. Where there is none, the trail as it is now is remembered.
    """
    problem = contradiction()
    if not problem:
        remember()
        return ""
    logger.critical("The audit trail was rolled back or replaced: %s", problem)
    if open_alarm() is None:
        audit.record_now(
            audit.Fact(
                Action.AUDIT_ROLLED_BACK, audit.SYSTEM, outcome="broken", detail={"why": problem}
            )
        )
    return problem


def contradiction(
    keys: Mapping[str, Ed25519PublicKey] | None = None, *, at_once: bool = False
) -> str:
    """What of the things seen the trail does not bear out, in words; nothing when it does.

    `keys` replace those of the settings; `at_once` leaves out the anchor file, whose disk may hang.
    """
    keys = signing_keys.public_keys() if keys is None else keys
    known = _read()
    found = ([known] if known else []) if at_once else all_seen()
    return next((problem for seen in found if (problem := _compared(seen, keys))), "")


def open_alarm() -> AuditEntry | None:
    """The entry that found the trail rolled back, until a person has acknowledged it."""
    found = AuditEntry.objects.filter(action=Action.AUDIT_ROLLED_BACK).order_by("-sequence").first()
    if found is None:
        return None
    later = AuditEntry.objects.filter(action=Action.AUDIT_ACKNOWLEDGED, sequence__gt=found.sequence)
    return None if later.exists() else found


def all_seen() -> Iterator[Seen]:
    """What this host remembers of the trail, and what the anchor file ends with."""
    if seen := _read():
        yield seen
    if anchor := outlets.last_in_file():
        yield Seen(
            anchor.sequence, anchor.hash, anchor.at, anchor.number, settings.AUDIT_ANCHOR_FILE
        )


def remember() -> None:
    """Keep how far the trail is now. A disk that refuses is logged and keeps nothing waiting."""
    head = AuditHead.objects.filter(pk=1).first()
    known = _read()
    if head is None or not head.sequence or (known is not None and known.hash == head.hash):
        return
    last = verification.last_anchor()
    at = timezone.now().astimezone(dt.UTC).isoformat(timespec="microseconds")
    seen = Seen(head.sequence, head.hash, at, last.number if last else 0)
    try:
        _write(json.dumps(asdict(seen)))
    except OSError as error:
        logger.error("%s cannot be written: %s", _path(), error.strerror)


def _compared(seen: Seen, keys: Mapping[str, Ed25519PublicKey]) -> str:
    oldest = AuditEntry.objects.order_by("sequence").first()
    found = AuditEntry.objects.filter(pk=seen.sequence).only("hash").first()
    if found is not None and found.hash == seen.hash:
        return ""
    if found is None and oldest is not None and seen.sequence < oldest.sequence:
        return ""  # Archived meanwhile, which verifying proves.
    if _is_acknowledged(seen, keys):
        return ""
    what = "has another hash" if found is not None else "is not there any more"
    return (
        f"entry {seen.sequence}, which {seen.source} saw at {seen.at}, {what}. If a backup was "
        "restored on purpose, say so: manage.py acknowledge_audit. Otherwise find out who did it."
    )


def _is_acknowledged(seen: Seen, keys: Mapping[str, Ed25519PublicKey]) -> bool:
    """Whether an anchor of a later moment says that a person let the trail go on regardless."""
    entry = (
        AuditEntry.objects.filter(action=Action.AUDIT_ACKNOWLEDGED).order_by("-sequence").first()
    )
    if entry is None:
        return False
    following = AuditEntry.objects.filter(pk=entry.sequence + 1, action=Action.AUDIT_ANCHORED)
    try:
        anchor = Anchor.from_json(getattr(following.first(), "detail", None))
    except BadAnchor:
        return False
    if not anchor.is_acknowledgement or (keys and not is_signed(anchor, keys)):
        return False
    moment, earlier = anchor.moment, seen.anchor.moment
    return moment is not None and earlier is not None and moment > earlier


def _path() -> Path:
    return Path(settings.DATA_DIR) / FILE_NAME


def _read() -> Seen | None:
    try:
        data = json.loads(_path().read_text(encoding="utf-8"))
        seen = Seen(int(data["sequence"]), data["hash"], str(data["at"]), int(data["number"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.error("%s cannot be read: %s", _path(), type(error).__name__)
        return None
    return seen if is_hash(seen.hash) else None


def _write(text: str) -> None:
    """Replace the file at once, readable by its owner alone."""
    handle, name = tempfile.mkstemp(dir=_path().parent, prefix=FILE_NAME)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(_path())
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
