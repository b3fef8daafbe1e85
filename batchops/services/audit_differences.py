"""What differs between the before and the after of an entry, in words."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from batchops.models import AuditEntry
from batchops.syllable.instants import parse_instant
from batchops.syllable.patch import PATCH_FIELDS, describe_instant, describe_value, same_value

LABELS: Final = {
    "paused": "Hold",
    "expires_on": "Expiry",
    "call_rate": "Call rate",
    "auto_call_rate": "Automatic pacing",
    "status": "Status",
    "resume_at": "Resumes by itself",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that moved. `before` is empty where only the new value is known."""

    label: str
    before: str
    after: str


def differences(entry: AuditEntry, zone: dt.tzinfo = dt.UTC) -> list[Difference]:
    """The values that an entry says have moved, with instants in the zone given.

    Empty when the after is unknown. An entry that holds an after alone, like the patch of a
    request, yields its values without a before.
    """
    before, after = entry.before, entry.after
    if not isinstance(after, Mapping):
        return []
    known = before if isinstance(before, Mapping) else {}
    return [
        Difference(
            LABELS.get(name, name.replace("_", " ").capitalize()),
            in_words(name, known[name], zone) if name in known else "",
            in_words(name, value, zone),
        )
        for name, value in after.items()
        if name not in known or not _same(name, known[name], value)
    ]


def in_words(name: str, value: Any, zone: dt.tzinfo = dt.UTC) -> str:
    """A stored value in words; one that is not understood is shown as it is stored."""
    if name == "resume_at" and value is None:
        return "never"
    if name in ("expires_on", "resume_at") and isinstance(value, str):
        instant = _instant(value)
        return describe_instant(instant, zone) if instant else value
    if name in PATCH_FIELDS and (value is None or isinstance(value, bool | int)):
        return describe_value(name, value, zone)
    return _plain(value)


def _same(name: str, first: Any, second: Any) -> bool:
    if name == "expires_on":
        return first == second or _same_instants(first, second)
    return same_value(name, first, second) if name in PATCH_FIELDS else bool(first == second)


def _same_instants(first: Any, second: Any) -> bool:
    one, other = _instant(first), _instant(second)
    return one is not None and other is not None and same_value("expires_on", one, other)


def _instant(value: Any) -> dt.datetime | None:
    try:
        return parse_instant(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _plain(value: Any) -> str:
    if value is None or value in ("", []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(part, str | int) for part in value):
        return ", ".join(str(part) for part in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
