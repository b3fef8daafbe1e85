"""How states look: an icon, a word and a tone. Never a colour alone."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from batchops.models import (
    TROUBLE_STATES,
    UNSETTLED_STATES,
    Batch,
    Change,
    ChangeState,
    ItemState,
    KnownStatus,
)

ICONS: Final = {
    "ban": "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM4 4l8 8",
    "bell": "M4.5 7a3.5 3.5 0 0 1 7 0c0 3 1.2 4 1.2 4H3.3S4.5 10 4.5 7zM6.8 13.4h2.4",
    "calendar": "M3 4h10v9.5H3zM3 7h10M5.5 2.5v3M10.5 2.5v3",
    "check": "M3 8.5 6.5 12 13 4.5",
    "clock": "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2zM8 5v3.3l2.3 1.3",
    "cross": "M4 4l8 8M12 4l-8 8",
    "outside": "M3 5h9L9.5 2.5M13 11H4l2.5 2.5",
    "equal": "M3.5 6h9M3.5 10h9",
    "gone": "M3.5 8h9",
    "hourglass": "M4 2.5h8M4 13.5h8M5 2.5V5l6 6v2.5M11 2.5V5l-6 6v2.5",
    "list": "M3 4h10M3 8h10M3 12h6",
    "pause": "M5.5 3.5v9M10.5 3.5v9",
    "person": "M8 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM3 13.5c.6-2.6 2.6-4 5-4s4.4 1.4 5 4",
    "play": "M5 3.5 12 8l-7 4.5z",
    "question": "M6 6a2 2 0 1 1 2.8 1.8c-.6.3-.8.7-.8 1.4M8 11.6v.4",
    "send": "M2.5 8h10M9 4.5 12.5 8 9 11.5",
    "shield": "M8 2l5 2v4c0 3-2 5-5 6-3-1-5-3-5-6V4z",
    "stop": "M4.5 4.5h7v7h-7z",
    "sync": "M13 8a5 5 0 0 1-9 3M3 8a5 5 0 0 1 9-3M12 2v3H9M4 14v-3h3",
    "undo": "M3 6h7a3.5 3.5 0 1 1 0 7H6M3 6l3-3M3 6l3 3",
    "warning": "M8 2.2l6.3 11.3H1.7zM8 6.4v3.2M8 11.4v.4",
}
"""Strokes on a field of 16 by 16."""
MOST_KEPT: Final = 512
"""Of drawn words, which come again and again. They are told apart by type, too, since a word that
is marked as safe equals the same one that is not."""


@dataclass(frozen=True, slots=True)
class Look:
    """The icon (a key of `ICONS`) and the tone: good, info, pause, warn, bad or quiet."""

    icon: str
    tone: str


STATUS_LOOKS: Final = {
    KnownStatus.PENDING: Look("clock", "info"),
    KnownStatus.ACTIVE: Look("play", "good"),
    KnownStatus.PAUSED: Look("pause", "pause"),
    KnownStatus.FAILED: Look("cross", "bad"),
    KnownStatus.CANCELED: Look("ban", "quiet"),
    KnownStatus.EXPIRED: Look("hourglass", "quiet"),
}
UNKNOWN: Final = Look("question", "quiet")

CHANGE_LOOKS: Final = {
    ChangeState.DRAFTING: Look("clock", "quiet"),
    ChangeState.DRAFT: Look("list", "quiet"),
    ChangeState.AWAITING_APPROVAL: Look("person", "warn"),
    ChangeState.SCHEDULED: Look("calendar", "info"),
    ChangeState.QUEUED: Look("clock", "info"),
    ChangeState.RUNNING: Look("sync", "info"),
    ChangeState.FINISHED: Look("check", "good"),
    ChangeState.STOPPED: Look("stop", "warn"),
    ChangeState.REJECTED: Look("cross", "bad"),
    ChangeState.DISCARDED: Look("ban", "quiet"),
}

OUTCOME_LOOKS: Final = {
    ItemState.PENDING: Look("clock", "quiet"),
    ItemState.SENDING: Look("send", "info"),
    ItemState.APPLIED: Look("check", "good"),
    ItemState.NOT_APPLIED: Look("warning", "bad"),
    ItemState.REFUSED: Look("ban", "bad"),
    ItemState.FAILED: Look("cross", "bad"),
    ItemState.UNCHANGED: Look("equal", "good"),
    ItemState.CONFLICT: Look("outside", "warn"),
    ItemState.SKIPPED: Look("gone", "quiet"),
    ItemState.STOPPED: Look("stop", "quiet"),
}
ENTRY_OUTCOMES: Final = {
    "ok": ("Done", Look("check", "good")),
    "outside": ("Outside", Look("outside", "warn")),
    "not_confirmed": ("Not confirmed", Look("question", "warn")),
    "refuted": ("Not so when read back", Look("warning", "bad")),
    "with failures": ("With failures", Look("warning", "warn")),
    "halted": ("Halted", Look("warning", "bad")),
    "unrequested": ("Unrequested change", Look("warning", "bad")),
    "denied": ("Denied", Look("ban", "bad")),
    "broken": ("Broken", Look("warning", "bad")),
    **{
        state.value: (str(state.label), look)
        for state, look in OUTCOME_LOOKS.items()
        if state not in UNSETTLED_STATES
    },
}
"""The word and the look of each known outcome of an entry; others are shown as they are."""


@functools.cache
def icon(name: str) -> SafeString:
    """A small drawing beside a word; screen readers hear the word alone."""
    return format_html(
        '<svg class="icon" viewBox="0 0 16 16" width="16" height="16" fill="none" '
        'stroke="currentColor" stroke-width="1.6" stroke-linecap="round" '
        'stroke-linejoin="round" aria-hidden="true" focusable="false"><path d="{}"/></svg>',
        mark_safe(ICONS[name]),  # noqa: S308 - a constant of this module
    )


@functools.lru_cache(MOST_KEPT, typed=True)
def pill(word: str, look: Look) -> SafeString:
    """A word with its icon on a tinted ground."""
    return format_html('<span class="pill pill-{}">{}{}</span>', look.tone, icon(look.icon), word)


@functools.lru_cache(MOST_KEPT, typed=True)
def flag(word: str, look: Look) -> SafeString:
    """A pill of its icon alone, with its word on hover and for screen readers."""
    return format_html(
        '<span class="pill pill-{} pill-flag" title="{}">{}'
        '<span class="visually-hidden">{}</span></span>',
        look.tone,
        word,
        icon(look.icon),
        word,
    )


def status(value: str) -> SafeString:
    """A status of the vendor; one that is not known is shown as the vendor wrote it."""
    if value in KnownStatus.values:
        known = KnownStatus(value)
        return pill(str(known.label), STATUS_LOOKS[known])
    return pill(value or "Not stated", UNKNOWN)


def batch_status(batch: Batch) -> SafeString:
    """The status of a batch, or that the vendor does not have it any more."""
    if batch.deleted_at:
        return pill("Deleted", Look("gone", "quiet"))
    if batch.missing_since:
        return pill("Missing", Look("question", "warn"))
    return status(batch.status)


def change_state(change: Change) -> SafeString:
    """The state of a change. Finished with failures inside is never shown as plain success."""
    if change.is_halted and change.is_open:
        return pill("Halted", Look("warning", "bad"))
    if change.waiting_reason and change.is_open:
        return pill("Waiting for the vendor", Look("clock", "warn"))
    if change.is_undone and not change.is_open:
        return pill("Undone", Look("undo", "quiet"))
    troubles = sum(int(change.counts_json.get(state, 0)) for state in TROUBLE_STATES)
    if change.state == ChangeState.FINISHED and troubles:
        return pill(f"Finished, {troubles:,} not done", Look("warning", "warn"))
    state = ChangeState(change.state)
    return pill(str(state.label), CHANGE_LOOKS[state])


def outcome(value: str) -> SafeString:
    """The state of one batch within a change."""
    state = ItemState(value)
    return pill(str(state.label), OUTCOME_LOOKS[state])
