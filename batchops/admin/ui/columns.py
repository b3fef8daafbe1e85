"""How a batch and a change are shown in one line: a pause, an expiry, what was asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from batchops.admin.ui import pills, times
from batchops.admin.ui.pills import Look
from batchops.models import Batch, Change, Hold, KnownStatus
from batchops.models.batch import counted
from batchops.services.holds import standing
from batchops.syllable.patch import BatchPatch

REASON_SHOWN: Final = 45
"""Characters of a reason in a list."""
REASON_READ: Final = 300
"""Characters of a reason on a line that the page cuts and screen readers read out."""
HOLDS_SHOWN: Final = 4
"""Holds of one batch in a list."""
HEADING_REASON_SHOWN: Final = 80
"""Characters of a reason in the heading of a change."""


def pause(batch: Batch) -> SafeString:
    """Whether a batch is paused, who paused it, until when and why."""
    if batch.paused is None:
        return quiet("Not stated")
    if not batch.paused:
        return format_html('<span class="quiet-note">{}Not paused</span>', pills.icon("play"))
    return format_html(
        '{}<span class="column-note">{}</span>',
        pills.pill("Paused", Look("pause", "pause")),
        pause_words(batch),
    )


def state(batch: Batch) -> SafeString:
    """The state of a batch on one line: paused, by whom, until when and why; or its status.

    What does not fit is cut by the page alone: it is read out in full, and shown on hover.
    """
    gone_or_ended = batch.is_gone or batch.has_ended
    flags = [pills.flag(words, look) for words, look in _flags(batch)]
    parts = [pills.batch_status(batch)] if gone_or_ended or not batch.paused else []
    note: SafeString | str = ""
    title = ""
    if batch.paused:
        parts.append(pills.pill("Paused", Look("pause", "pause")))
        note, title = pause_words(batch, REASON_READ), pause_title(batch)
    elif batch.paused is None and not gone_or_ended:
        note = title = "whether it is paused is not stated"
    elif batch.status == KnownStatus.PAUSED:
        note = title = "but the vendor says that it is not paused"
    return format_html(
        '<span class="state" title="{}">{} <span class="state-note">{}</span></span>',
        title,
        format_html_join(" ", "{}", ((part,) for part in (*parts, *flags))),
        note,
    )


def _flags(batch: Batch) -> Iterator[tuple[str, Look]]:
    """What besides its state somebody should know of a batch."""
    if batch.shares_its_id:
        yield "Id in several campaigns", Look("warning", "bad")
    if batch.changed_externally_at:
        yield "Changed outside", Look("outside", "info")


def pause_title(batch: Batch) -> str:
    """Who holds a batch, until when exactly, and the whole reasons."""
    holds = standing.of(batch)
    if not holds:
        return "Paused outside batchops"
    return "; ".join(map(_whole, holds))


def _whole(hold: Hold) -> str:
    if hold.change is None:
        return f"Paused {hold.owner}"
    kind = " (protected)" if hold.is_protected else ""
    until = f" until {times.in_words(hold.ends_at)}" if hold.ends_at else ", with no end"
    return f"Paused by {hold.owner}{kind}{until}: {hold.reason or 'no reason stated'}"


def pause_words(batch: Batch, shown: int = REASON_SHOWN) -> SafeString:
    """Who holds a batch: "by olivia until Mon 08:00: wrong list", or "2 holds: …"."""
    holds = standing.of(batch)
    if not holds:
        return format_html("{}", "outside batchops")
    if len(holds) > 1:
        words = ((hold_words(hold, shown),) for hold in holds[:HOLDS_SHOWN])
        more = len(holds) - HOLDS_SHOWN
        rest = f"; and {more:,} more" if more > 0 else ""
        return format_html(
            "{} holds: {}{}", f"{len(holds):,}", format_html_join("; ", "{}", words), rest
        )
    [hold] = holds
    if hold.change is None:
        return format_html("<bdi>{}</bdi>", hold.owner)
    until = format_html(" until {}", times.moment(hold.ends_at)) if hold.ends_at else ""
    reason = Truncator(hold.reason).chars(shown)
    why = format_html(": <bdi>{}</bdi>", reason) if reason else ""
    kind = " (protected)" if hold.is_protected else ""
    return format_html("by <bdi>{}</bdi>{}{}{}", hold.owner, kind, until, why)


def hold_words(hold: Hold, shown: int = REASON_SHOWN) -> SafeString:
    """One of several holds: "olivia (protected), wrong list, until Mon 08:00"."""
    kind = " (protected)" if hold.is_protected else ""
    reason = Truncator(hold.reason).chars(shown)
    why = format_html(", <bdi>{}</bdi>", reason) if reason else ""
    until = format_html("until {}", times.moment(hold.ends_at)) if hold.ends_at else "no end"
    return format_html("<bdi>{}</bdi>{}{}, {}", hold.owner, kind, why, until)


def expiry(batch: Batch) -> SafeString:
    """When a batch expires: how long from now, and exactly."""
    moment = batch.expires_on
    if moment is None:
        return quiet("Never")
    away = moment - timezone.now()
    words = f"in {times.span(away)}" if away.total_seconds() > 0 else f"{times.span(-away)} ago"
    return format_html(
        '<span class="nowrap">{}</span><span class="column-note nowrap">{}</span>',
        words,
        times.instant(moment),
    )


def expiry_line(batch: Batch) -> SafeString:
    """When a batch expires, on one line: how long from now, and when in few words."""
    moment = batch.expires_on
    if moment is None:
        return quiet("Never")
    away = moment - timezone.now()
    words = f"in {times.span(away)}" if away.total_seconds() > 0 else f"{times.span(-away)} ago"
    note = format_html('<span class="column-note">{}</span>', times.moment(moment))
    return format_html("{} {}", words, note)


def rate_line(batch: Batch) -> SafeString:
    """Attempts an hour on one line, and whose rate that is where it is not the batch's own."""
    if batch.auto_call_rate:
        return format_html("{}", "Automatic")
    if batch.call_rate is not None:
        return format_html("{}", f"{batch.call_rate:,}")
    rate_of_campaign = batch.campaign.hourly_rate
    if rate_of_campaign is None:
        return quiet("Campaign's")
    return format_html('{} <span class="column-note">campaign\'s</span>', f"{rate_of_campaign:,}")


def rate(batch: Batch) -> SafeString:
    """At which rate people are reached, and whose rate that is."""
    if batch.auto_call_rate:
        return format_html('{}<span class="column-note">{}</span>', "Automatic", "to the expiry")
    if batch.call_rate is not None:
        return format_html('<span class="nowrap">{} an hour</span>', f"{batch.call_rate:,}")
    rate_of_campaign = batch.campaign.hourly_rate
    if rate_of_campaign is None:
        return quiet("Campaign's")
    return format_html(
        '<span class="nowrap">{} an hour</span><span class="column-note">{}</span>',
        f"{rate_of_campaign:,}",
        "campaign's",
    )


def asked(change: Change) -> str:
    """What a change asks for, as the start of a sentence, with instants in the reader's zone."""
    words = change.summary(timezone.get_current_timezone())
    return words[:1].upper() + words[1:]


def asked_on(change: Change, number: int) -> str:
    """What a change asks for, and of how many batches: "Pause 248 batches"."""
    if change.source == Change.Source.UNDO:
        return f"{asked(change)}: {counted(number)}"
    named = {BatchPatch(paused=True): "Pause", BatchPatch(paused=False): "Resume"}
    if verb := named.get(change.patch):
        return f"{verb} {counted(number)}"
    return (
        f"Expire {counted(number)} now"
        if change.expires_now
        else f"{asked(change)}: {counted(number)}"
    )


def number_of(change: Change) -> int:
    """On how many batches a change acts, as whoever confirmed it was told."""
    return change.acting_count or change.item_count


def asked_on_all(change: Change) -> str:
    """What a change asks for, and of how many batches it does."""
    return asked_on(change, number_of(change))


def heading(change: Change) -> str:
    """A change as it is headed everywhere: "Pause 248 batches · Carrier incident"."""
    words = asked_on(change, number_of(change))
    reason = Truncator(change.reason).chars(HEADING_REASON_SHOWN)
    return f"{words} · {reason}" if reason else words


def quiet(words: str) -> SafeString:
    """Words that stand back."""
    return format_html('<span class="quiet-note">{}</span>', words)
