"""The table of what is worth a word: how much it matters, what to do, and whom it concerns."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from batchops import permissions
from batchops.notices.models import Severity


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of notice. `permission`: who holds it is told, besides the people concerned.

    `lasts`: it is a state, watched until it is over. `groups`: facts of a while are one notice.
    """

    name: str
    label: str
    severity: Severity
    advice: str
    permission: str = ""
    lasts: bool = False
    groups: bool = False


@dataclass(frozen=True, slots=True)
class Raised:
    """Something worth a word, before it is a notice.

    `title` says it for so many facts; `about` tells it from others of its kind; `people` are the
    accounts whom it concerns by themselves, and `not_for` those who know it, having done it.
    """

    kind: Kind
    about: str
    title: Callable[[int], str]
    link: str
    number: int = 1
    change_id: uuid.UUID | None = None
    batch_id: str = ""
    campaign_id: int | None = None
    people: frozenset[int] = frozenset()
    not_for: frozenset[int] = frozenset()

    @property
    def key(self) -> str:
        return f"{self.kind.name}:{self.about}"


def always(words: str) -> Callable[[int], str]:
    """A title that is the same however many facts it is for."""
    return lambda _: words


INFO, WARNING, URGENT = Severity.INFO, Severity.WARNING, Severity.URGENT
_CONTROL: Final = permissions.CONTROL_CHANGE
_REQUEST: Final = permissions.REQUEST_CHANGE
_TRAIL: Final = permissions.VIEW_TRAIL

FINISHED: Final = Kind(
    "change.finished", "A change of mine finished as requested", INFO, "Nothing needs to be done."
)
FAILED: Final = Kind(
    "change.finished_with_failures",
    "A change of mine finished, not all as requested",
    WARNING,
    "See which batches are not as requested, and why; retry those, or leave them.",
)
STOPPED: Final = Kind(
    "change.stopped",
    "A change of mine was stopped or cancelled",
    WARNING,
    "Ask why. What was sent before has taken effect; it can be continued or undone.",
)
APPROVED: Final = Kind(
    "change.approved", "A change of mine was approved", INFO, "It runs by itself from here."
)
REJECTED: Final = Kind(
    "change.rejected",
    "A change of mine was rejected",
    WARNING,
    "Read the comment. Nothing was sent; draft another change if it is still wanted.",
)
APPROVAL_EXPIRED: Final = Kind(
    "change.approval_expired",
    "The approval of a change of mine expired",
    WARNING,
    "It has to be approved again before anything is sent.",
)
POSTPONED: Final = Kind(
    "change.postponed",
    "The start of a change of mine was moved",
    WARNING,
    "Resuming is not allowed at that hour. It starts by itself when it is allowed again.",
)
PAUSE_MOVED: Final = Kind(
    "pause.end_moved",
    "Somebody else moved or cancelled the end of a pause of mine",
    WARNING,
    "See who and why. You no longer answer for when it ends.",
)
HOLD_OVERRIDDEN: Final = Kind(
    "hold.overridden",
    "Another person lifted holds of mine",
    WARNING,
    "See who and why. If the batches should stay paused, pause them again.",
)
DRAFT_READY: Final = Kind(
    "change.awaiting_approval",
    "A change waits for my approval",
    WARNING,
    "Look at what it does, to how many batches and why; then approve or reject it.",
    permission=permissions.APPROVE_CHANGE,
    lasts=True,
)
HALTED: Final = Kind(
    "change.halted",
    "A change has halted and needs a person",
    URGENT,
    "Nothing more of it is sent until somebody continues or stops it.",
    permission=_CONTROL,
    lasts=True,
)
WAITING: Final = Kind(
    "change.waiting",
    "A change has waited for the vendor for long",
    WARNING,
    "It goes on by itself when the vendor answers. Stop it if it is no longer wanted.",
    permission=_CONTROL,
    lasts=True,
)
STARTS_SOON: Final = Kind(
    "change.starts_soon",
    "A scheduled change of mine is about to start",
    INFO,
    "Cancel it if it is no longer wanted.",
    lasts=True,
)
PAUSE_ENDS_SOON: Final = Kind(
    "pause.ends_soon",
    "A pause of mine is about to end",
    INFO,
    "Move or cancel its end if the batches should stay paused.",
    lasts=True,
)
PAUSED_WITH_NO_END: Final = Kind(
    "pause.no_end",
    "Batches have been paused with no end for long",
    WARNING,
    "Resume them, give the pause an end, or let them expire.",
    permission=_CONTROL,
    lasts=True,
)
EXPIRING: Final = Kind(
    "batch.expiring",
    "Batches are about to expire",
    INFO,
    "Requests that are not made by then are not made at all. Extend them if they should be.",
    permission=_REQUEST,
    lasts=True,
)
EXPIRING_PAUSED: Final = Kind(
    "batch.expiring_paused",
    "Paused batches are about to expire",
    WARNING,
    "What they have left is never sent unless they are resumed or extended before.",
    permission=_REQUEST,
    lasts=True,
)
CHANGED_OUTSIDE: Final = Kind(
    "batch.changed_outside",
    "Batches were changed outside batchops",
    WARNING,
    "See what was changed, and whether that was meant.",
    permission=_REQUEST,
    groups=True,
)
CHANGED_WITH_OUR_KEY: Final = Kind(
    "batch.changed_with_our_key",
    "Another tool changed batches with the key of batchops",
    URGENT,
    "Find the tool. If nobody knows it, replace the key.",
    permission=_REQUEST,
    groups=True,
)
UNREQUESTED: Final = Kind(
    "batch.unrequested_change",
    "A field of a batch changed without being requested",
    WARNING,
    "Compare before and after in the audit trail, and ask the vendor.",
    permission=_REQUEST,
    groups=True,
)
NOT_CONFIRMED: Final = Kind(
    "batch.not_confirmed",
    "The vendor accepted updates, but does not show them",
    WARNING,
    "Look at the batches at the vendor before relying on the change.",
    permission=_CONTROL,
    groups=True,
)
MISSING: Final = Kind(
    "batch.missing",
    "Batches vanished at the vendor",
    WARNING,
    "Ask the vendor, or whoever deleted them.",
    permission=_REQUEST,
    groups=True,
)
SHARED_ID: Final = Kind(
    "batch.id_shared",
    "The vendor has the same batch id in several campaigns",
    URGENT,
    "Nothing is sent to such an id. Have the vendor give the batches ids of their own.",
    permission=_REQUEST,
    lasts=True,
)
MIRROR_OLD: Final = Kind(
    "mirror.out_of_date",
    "The mirror is out of date",
    WARNING,
    "What pages show may no longer be so. See under Syncs what the vendor answers.",
    permission=permissions.RUN_SYNC,
    lasts=True,
)
KEY_REJECTED: Final = Kind(
    "key.rejected",
    "The vendor rejects the key",
    URGENT,
    "Put a valid key into SYLLABLE_API_KEY and restart. Changes wait until then.",
    permission=permissions.RUN_SYNC,
    lasts=True,
)
KEY_EXPIRES: Final = Kind(
    "key.expires",
    "The key of the vendor is about to expire",
    WARNING,
    "Have a new key issued, set it, and set SYLLABLE_KEY_EXPIRES to its date.",
    permission=permissions.RUN_SYNC,
    lasts=True,
)
TRAIL_PROBLEM: Final = Kind(
    "trail.problem",
    "Something speaks against the audit trail",
    URGENT,
    "Follow what verify_audit says. Keep the database as it is until it is understood.",
    permission=_TRAIL,
    lasts=True,
)
ANCHORS_FAIL: Final = Kind(
    "trail.anchors_not_delivered",
    "Anchors of the audit trail are not delivered",
    WARNING,
    "Mend the way by which they leave; they are sent again by themselves.",
    permission=_TRAIL,
    lasts=True,
)
TRAIL_TOUCHED: Final = Kind(
    "trail.touched",
    "The trail was archived, acknowledged or the database restored",
    URGENT,
    "Make sure that this was agreed.",
    permission=_TRAIL,
)
FAILED_SIGN_INS: Final = Kind(
    "account.failed_sign_ins",
    "Many sign-ins fail",
    WARNING,
    "See in the audit trail for which accounts and from where.",
    permission=_TRAIL,
    lasts=True,
)
ROLES: Final = Kind(
    "account.permissions",
    "Somebody's permissions were changed",
    WARNING,
    "Make sure that this was agreed.",
    permission=_TRAIL,
    groups=True,
)
DISK: Final = Kind(
    "disk.nearly_full",
    "A disk is nearly full",
    URGENT,
    "Make room before the database can no longer be written.",
    permission=permissions.RUN_SYNC,
    lasts=True,
)

CHANNEL_FAILS: Final = Kind(
    "channel.failing",
    "A channel of notices does not deliver",
    WARNING,
    "See what the other side says; it is tried again by itself, and given up in the end.",
    permission=permissions.KEEP_CHANNELS,
    lasts=True,
)
CHANNEL_OFF: Final = Kind(
    "channel.off",
    "A channel of notices was switched off by the other side",
    URGENT,
    "Give it another address, or leave it off.",
    permission=permissions.KEEP_CHANNELS,
    lasts=True,
)

KINDS: Final = {kind.name: kind for kind in list(globals().values()) if isinstance(kind, Kind)}
"""All kinds by their names."""
