"""An entry of the trail as people read it: one sentence, and only what differs.

Entries of a newer version, with actions and details this one does not know, read plainly.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from batchops.models import Action, AuditEntry
from batchops.syllable.instants import parse_instant
from batchops.syllable.patch import (
    PATCH_FIELDS,
    BatchPatch,
    InvalidPatch,
    describe_instant,
    describe_value,
)

TEXT_SHOWN: Final = 200
"""Characters of a free text that a sentence shows."""
DIRECTION_MARKS: Final = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
"""Characters that turn the direction of text around, with which a text could pass for another."""

_DID: Final[dict[str, str]] = {
    Action.CHANGE_REQUESTED: "drafted a change",
    Action.CHANGE_CONFIRMED: "confirmed a change",
    Action.CHANGE_DISCARDED: "discarded a draft",
    Action.CHANGE_APPROVED: "approved a change",
    Action.CHANGE_APPROVAL_EXPIRED: "saw the approval of a change expire",
    Action.CHANGE_REJECTED: "rejected a change",
    Action.CHANGE_SCHEDULED: "scheduled a change",
    Action.CHANGE_RESCHEDULED: "moved the start of a change",
    Action.CHANGE_CANCELLED: "cancelled a scheduled change",
    Action.CHANGE_STARTED: "started a change",
    Action.CHANGE_HALTED: "halted a change",
    Action.CHANGE_CONTINUED: "continued a change",
    Action.CHANGE_STOPPED: "stopped a change",
    Action.CHANGE_FINISHED: "finished a change",
    Action.CHANGE_READ_BACK: "read a change back from the vendor",
    Action.CHANGE_DENIED: "was denied a change",
    Action.HOLDS_LIFTED: "lifted holds on batches that others keep paused",
    Action.HOLDS_OVERRIDDEN: "lifted the holds of another person's pause",
    Action.OVERRIDE_SEEN: "saw that another person had lifted their holds",
    Action.RELEASES_FROZEN: "froze releases",
    Action.FREEZE_ENDED: "ended a freeze of releases",
    Action.CAMPAIGN_ZONE_SET: "set the time zone of",
    Action.RESUME_MOVED: "moved the end of a pause",
    Action.RESUME_CANCELLED: "cancelled the end of a pause",
    Action.BATCH_UNREQUESTED_CHANGE: "found an unrequested change of",
    Action.BATCH_CHANGED_OUTSIDE: "changed, outside batchops,",
    Action.BATCH_CHANGED_WITH_OUR_KEY: "changed, with the key of batchops but not through it,",
    Action.BATCH_CARRIED_OUT_LATE: "found an earlier update carried out after all on",
    Action.BATCH_STATUS_CHANGED: "saw a new status of",
    Action.BATCH_MISSING: "no longer found",
    Action.BATCH_FOUND_AGAIN: "found again",
    Action.BATCH_ID_SHARED: "found several campaigns with the id of",
    Action.BATCH_ID_UNIQUE: "found only one campaign again with the id of",
    Action.BATCH_NOT_CONFIRMED: "could not confirm the change of",
    Action.VIEW_SHARED: "shared the view",
    Action.VIEW_REMOVED: "no longer shares the view",
    Action.BATCHES_EXPORTED: "exported a list of batches",
    Action.SYNC_REQUESTED: "requested a sync",
    Action.SYNC_FAILED: "could not sync with the vendor",
    Action.SYNC_RECOVERED: "synced with the vendor again",
    Action.ACCOUNT_SIGNED_IN: "signed in",
    Action.ACCOUNT_SIGN_IN_FAILED: "failed to sign in",
    Action.ACCOUNT_SIGN_IN_HELD_BACK: "was held back at the sign-in",
    Action.ACCOUNT_PROVED: "gave the password again",
    Action.ACCOUNT_SIGNED_OUT: "signed out",
    Action.ACCOUNT_SESSION_ENDED: "ended a session of",
    Action.ACCOUNT_FACTOR_ADDED: "added a second factor to",
    Action.ACCOUNT_FACTOR_REMOVED: "removed a second factor of",
    Action.ACCOUNT_CREATED: "created the account",
    Action.ACCOUNT_CHANGED: "changed the account",
    Action.ACCOUNT_DELETED: "deleted the account",
    Action.ACCOUNT_PASSWORD: "changed the password of",
    Action.ACCOUNT_PERMISSIONS: "changed the permissions of",
    Action.GROUP_CREATED: "created the group",
    Action.GROUP_CHANGED: "changed the group",
    Action.GROUP_DELETED: "deleted the group",
    Action.ACCESS_DENIED: "was denied access",
    Action.ACCESS_DENIALS_SUMMED_UP: "summed up denied tries",
    Action.AUDIT_EXPORTED: "exported the trail",
    Action.AUDIT_ANCHORED: "recorded an anchor of the trail",
    Action.AUDIT_VERIFIED: "verified the trail",
    Action.AUDIT_ARCHIVE_REQUESTED: "asked to archive the trail",
    Action.AUDIT_ARCHIVED: "archived the trail",
    Action.AUDIT_ROLLED_BACK: "found the trail rolled back",
    Action.AUDIT_ACKNOWLEDGED: "acknowledged a fault of the trail",
    Action.AUDIT_REVIEWED: "reviewed entries",
    Action.CHANNEL_ADDED: "added the channel of notices",
    Action.CHANNEL_CHANGED: "changed the channel of notices",
    Action.CHANNEL_TESTED: "tested the channel of notices",
    Action.CHANNEL_TRIED_AGAIN: "sent again what was given up by the channel of notices",
    Action.CHANNEL_SWITCHED_OFF: "switched off the channel of notices",
    Action.AUDIT_SIGNED_OFF: "signed off a period",
    Action.AUDIT_SAMPLED: "drew a random sample",
    Action.DATABASE_BACKED_UP: "backed up the database",
    Action.DATABASE_RESTORED: "restored the database from a backup",
}
_ENDS: Final[dict[str, str]] = {
    "applied": "applied",
    "not_applied": "not applied as requested",
    "refused": "refused by the vendor",
    "failed": "failed",
    "unchanged": "already so",
    "conflict": "changed meanwhile, left alone",
    "skipped": "skipped",
    "stopped": "stopped before it was sent",
    "not_confirmed": "accepted, not confirmed",
    "refuted": "not so when read back",
    "denied": "denied",
    "ok": "",
    "outside": "",
    "as_requested": "",
    "halted": "",
    "unrequested": "",
}
_TRIED: Final = frozenset(_ENDS) - {"applied"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs, in words."""

    field: str
    before: str
    after: str


def sentence(entry: AuditEntry, zone: dt.tzinfo = dt.UTC) -> str:
    """An entry in words, such as "Olivia paused 20260324.9 · wrong list · applied".

    Never raises, whatever the entry holds.
    """
    parts = [_who_did_what(entry, zone), shown(entry.reason), _end(entry)]
    return " · ".join(part for part in parts if part)


def differences(entry: AuditEntry, zone: dt.tzinfo = dt.UTC) -> list[Difference]:
    """The fields whose value before and after differ, and only those.

    Values that mean the same to the vendor, like an automatic call rate that is absent or off, do
    not differ.
    """
    before, after = _mapping(entry.before), _mapping(entry.after)
    if entry.before is None or entry.after is None:
        return []
    names = [name for name in PATCH_FIELDS if name in before or name in after]
    names += sorted((set(before) | set(after)) - set(names))
    moved = [
        Difference(
            name,
            value_shown(name, before.get(name), zone),
            value_shown(name, after.get(name), zone),
        )
        for name in names
        if before.get(name) != after.get(name)
    ]
    return [one for one in moved if one.field not in PATCH_FIELDS or one.before != one.after]


def value_shown(field: str, value: Any, zone: dt.tzinfo = dt.UTC) -> str:
    """One recorded value in words, or as it stands where it is of no kind that is known."""
    if isinstance(value, bool) or (value is None and field in PATCH_FIELDS):
        return describe_value(field, value, zone) if field in PATCH_FIELDS else _yes(value)
    if isinstance(value, str) and (moment := _instant(value)):
        return describe_instant(moment, zone)
    if field == "call_rate" and isinstance(value, int):
        return describe_value(field, value, zone)
    if isinstance(value, list):
        return ", ".join(shown(str(inner)) for inner in value) or "none"
    return "\u2013" if value in (None, "") else shown(str(value))


def shown(text: str, limit: int = TEXT_SHOWN) -> str:
    """Free text on one line, without control and direction characters, cut when it is long."""
    kept = "".join(
        " " if unicodedata.category(character) in ("Cc", "Zl", "Zp") else character
        for character in text[: limit * 4]
        if character not in DIRECTION_MARKS
    )
    line = " ".join(kept.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _who_did_what(entry: AuditEntry, zone: dt.tzinfo) -> str:
    who = shown(entry.who) or "Somebody"
    who += "," if ", " in who else ""
    name = entry.action.removeprefix("batch.")
    detail = _mapping(entry.detail)
    asked = _patch(detail.get("requested"))
    if entry.action.startswith("batch.") and name in _ENDS and asked and asked.touched:
        return f"{who} {_asked_of(asked, shown(entry.batch_id), name != 'applied', zone)}"
    did = _DID.get(entry.action)
    if did is None:
        label = Action.label_of(shown(entry.action))
        return " ".join(part for part in (f"{who}: {label}", shown(entry.batch_id)) if part)
    about = shown(entry.batch_id) or _about(entry, detail, zone)
    return " ".join(part for part in (who, did, about) if part)


def _asked_of(asked: BatchPatch, batch: str, tried: bool, zone: dt.tzinfo) -> str:
    if tried:
        return f"asked to {asked.describe(zone)}: {batch}"
    if asked == BatchPatch(paused=True):
        return f"paused {batch}"
    if asked == BatchPatch(paused=False):
        return f"resumed {batch}"
    return f"changed {batch}: {asked.describe(zone)}"


def _about(entry: AuditEntry, detail: Mapping[str, Any], zone: dt.tzinfo) -> str:
    """What besides a batch an entry is about."""
    if entry.action in (Action.CHANGE_REQUESTED, Action.CHANGE_CONFIRMED):
        patch, number = _patch(entry.after), detail.get("batches")
        words = patch.describe(zone) if patch else ""
        batches = f"{number:,} batches" if isinstance(number, int) else ""
        return (
            ", ".join(part for part in (words, batches) if part).join(("(", ")")) if words else ""
        )
    for name in ("account", "group", "channel", "path", "what"):
        if isinstance(detail.get(name), str):
            return shown(detail[name])
    for name in ("entries", "batches"):
        if isinstance(detail.get(name), int):
            return f"({detail[name]:,} {name})"
    return ""


def _end(entry: AuditEntry) -> str:
    end = _ENDS.get(entry.outcome, entry.outcome)
    why = _mapping(entry.detail).get("why")
    parts = [shown(end)]
    if isinstance(why, str) and why and why != entry.reason:
        parts.append(shown(why))
    if entry.http_status and entry.outcome in _TRIED:
        parts.append(f"HTTP {entry.http_status}")
    return " · ".join(part for part in parts if part)


def _patch(value: Any) -> BatchPatch | None:
    if not isinstance(value, Mapping):
        return None
    try:
        return BatchPatch.from_json(value)
    except (InvalidPatch, TypeError):
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _instant(text: str) -> dt.datetime | None:
    if len(text) < 19 or text[4:5] != "-" or "T" not in text:
        return None
    try:
        return parse_instant(text)
    except ValueError:
        return None


def _yes(value: bool | None) -> str:
    return "\u2013" if value is None else "yes" if value else "no"
