"""Keeps judging the trail: each night what is new, each week all of it; and says how it stands.

The walk runs in a process of its own, at low priority, so that nothing that pushes waits for it.
"""

from __future__ import annotations

import atexit
import datetime as dt
import logging
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings
from django.utils import timezone

from batchops.models import Action, AuditEntry
from batchops.services.anchors import outlets, signing_keys
from batchops.services.anchors.anchor import Anchor
from batchops.services.proof import damage, last_seen, verdicts, verification
from batchops.services.proof.verification import Progress, Verdict
from batchops.services.trail import reviewed_ranges, slices

logger = logging.getLogger(__name__)

NIGHT_HOUR: Final = 3
"""Hour of the house's day from which on the trail is verified."""
FULL_EVERY: Final = dt.timedelta(days=7)
OVERDUE: Final = dt.timedelta(hours=50)
"""Two nights, and a little."""
LONGEST_SECONDS: Final = 6 * 3600
COMMAND: Final = ("verify_audit", "--nightly")


class Night:
    """The process of this one that verifies, started when it is due, ended with this one."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0

    def start_if_due(self) -> bool:
        """Start verifying, when that is due; whether it was started."""
        if self._process is not None and self._process.poll() is None:
            if time.monotonic() - self._began > LONGEST_SECONDS:
                self._process.kill()
            return False
        if not is_due():
            return False
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *COMMAND]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own
        self._began = time.monotonic()
        atexit.register(self._process.terminate)
        return True


@dataclass(frozen=True, slots=True)
class Standing:
    """How the trail stands: what speaks against it, and the last verdict."""

    problems: tuple[str, ...]
    verdict: AuditEntry | None

    @property
    def outcome(self) -> str:
        return self.verdict.outcome if self.verdict else "not yet verified"

    @property
    def words(self) -> str:
        """The last verdict as people read it."""
        if self.verdict is None or self.verdict.outcome == "broken":
            return "something speaks against it"
        detail = self.verdict.detail
        span = f"entries {detail.get('first')} to {detail.get('last')} are as they were written"
        left = (
            "; what was archived is proven by its files alone" if detail.get("not_proven") else ""
        )
        return f"{span}{left}"


def judge(
    *,
    since: int | None = None,
    anchors: Iterable[Anchor] | None = None,
    archives: Iterable[Path] = (),
    keys: Mapping[str, Ed25519PublicKey] | None = None,
    progress: Progress = lambda *_: None,
) -> Verdict:
    """Verify the trail, also against what this host has seen of it and who reviewed what.

    Without `anchors`, those of AUDIT_ANCHOR_FILE are taken. What cannot be read is a fault. Raises
    as `verification.verify`.
    """
    keys = signing_keys.public_keys() if keys is None else keys
    kept = Path(settings.AUDIT_ANCHOR_FILE) if settings.AUDIT_ANCHOR_FILE else None
    if anchors is None:
        anchors = outlets.read_file(kept) if kept is not None and kept.exists() else ()
    try:
        verdict = verification.verify(
            since=since, anchors=anchors, archives=archives, keys=keys, progress=progress
        )
        verdict.others += _beside_the_chain(keys, since)
    except Exception as error:
        if not damage.is_shown_by(error):
            raise
        verdict = Verdict(integrity=damage.first_fault(), others=[damage.UNREADABLE])
    return verdict


def _beside_the_chain(keys: Mapping[str, Ed25519PublicKey], since: int | None) -> Iterator[str]:
    if problem := last_seen.contradiction(keys):
        yield f"The trail was rolled back or replaced: {problem}"
    if since is None:
        yield from reviewed_ranges.problems()


def nightly() -> Verdict | None:
    """Verify what came since the last good verdict, or once a week everything; and record it.

    None when it is not due, or another process is at it.
    """
    try:
        with slices.lease("verification"):
            return _nightly() if is_due() else None
    except slices.Busy:
        return None


def is_due() -> bool:
    """Whether a night has begun since the last scheduled verdict, and there is anything.

    A verdict that cannot be read counts for none.
    """
    return damage.unless_unreadable(_is_due, True)


def _is_due() -> bool:
    last = _scheduled()
    now = timezone.now().astimezone(ZoneInfo(settings.TIME_ZONE))
    night = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    if now < night:
        night -= dt.timedelta(days=1)
    return (last is None or last.at < night) and AuditEntry.objects.exists()


def standing() -> Standing:
    """How the trail stands now, with few queries."""
    return damage.unless_unreadable(_standing, Standing((damage.UNREADABLE,), None))


def alarm_text() -> str:
    """What every page says about the trail; nothing when all is well. A few short queries."""
    return damage.unless_unreadable(_alarm_text, damage.UNREADABLE)


def _standing() -> Standing:
    verdict = verdicts.latest()
    found = [alarm] if (alarm := _alarm_text()) else []
    found += [f"Anchors cannot be delivered: {outlet.error}" for outlet in outlets.failing()]
    scheduled, oldest = _scheduled(), AuditEntry.objects.order_by("sequence").first()
    since = scheduled.at if scheduled else oldest.at if oldest else None
    if since is not None and timezone.now() - since > OVERDUE:
        found.append(f"The audit trail has not been verified since {since:%Y-%m-%d %H:%M} UTC.")
    anchor = verification.last_anchor()
    if anchor is not None and anchor.key_id and anchor.is_late(timezone.now()):
        found.append(f"The audit trail has not been signed since {anchor.at}.")
    return Standing(tuple(found), verdict)


def _alarm_text() -> str:
    rolled_back = last_seen.open_alarm()
    if rolled_back is not None:
        return f"The audit trail was rolled back or replaced: {rolled_back.detail.get('why', '')}"
    if problem := last_seen.contradiction(at_once=True):
        return f"The audit trail was rolled back or replaced: {problem}"
    verdict = verdicts.latest()
    if verdict is None or verdict.outcome != "broken":
        return ""
    faults = verdict.detail.get("faults") or [""]
    return f"The audit trail does not verify: {faults[0]}"


def _nightly() -> Verdict:
    full, since = damage.unless_unreadable(_how_far, (True, None))
    verdict = judge(since=since)
    verdicts.record(verdict, full=full, scheduled=True)
    for fault in verdict.faults:
        logger.critical("The audit trail does not verify: %s", fault)
    return verdict


def _how_far() -> tuple[bool, int | None]:
    """Whether to verify everything; else from which entry on."""
    last, latest = _scheduled(), verdicts.latest()
    full = _scheduled(full=True)
    if last is None or full is None or latest is None or latest.outcome == "broken":
        return True, None
    if timezone.now() - full.at > FULL_EVERY - dt.timedelta(hours=1):
        return True, None
    good = last.detail.get("signed_through") or last.detail.get("last")
    return (False, good + 1) if type(good) is int else (True, None)


def _scheduled(**more: bool) -> AuditEntry | None:
    named = {f"detail__{name}": value for name, value in more.items()}
    found = AuditEntry.objects.filter(action=Action.AUDIT_VERIFIED, detail__scheduled=True, **named)
    return found.order_by("-sequence").first()
