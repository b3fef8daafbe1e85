"""Verdicts on the trail, kept in the trail: the last one is shown on its page and by /readyz."""

from __future__ import annotations

from batchops import audit
from batchops.models import Action, AuditEntry
from batchops.services.proof import damage
from batchops.services.proof.verification import Verdict


def record_once(verdict: Verdict) -> None:
    """Record a bad verdict, unless the last one says the same."""
    if damage.unless_unreadable(_last_faults, None) != verdict.faults:
        record(verdict, full=False)


def record(verdict: Verdict, *, full: bool, scheduled: bool = False) -> AuditEntry:
    """Record a verdict as an entry.

    `full`: the whole trail was walked, not only what came since a good verdict.
    """
    return audit.record_now(
        audit.Fact(
            Action.AUDIT_VERIFIED,
            audit.SYSTEM,
            outcome=verdict.outcome,
            detail={
                "entries": verdict.rows,
                "first": verdict.first,
                "last": verdict.last,
                "faults": verdict.faults,
                "not_proven": verdict.unproven,
                "acknowledged": verdict.acknowledged,
                "signed_through": verdict.signed_through,
                "anchored_through": verdict.anchored_through,
                "full": full,
                "scheduled": scheduled,
            },
        )
    )[0]


def _last_faults() -> object:
    last = latest()
    return None if last is None else last.detail["faults"]


def latest() -> AuditEntry | None:
    """The last verdict."""
    return AuditEntry.objects.filter(action=Action.AUDIT_VERIFIED).order_by("-sequence").first()
